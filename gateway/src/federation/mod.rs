//! Logins with what people have already: tokens of an OpenID Connect provider, passwords of an LDAP directory. Who it is, and
//! nothing of what they may: that is for roles and their policies.

pub mod ldap;
pub mod oidc;
