//! The directory that logins are checked against: the settings `ldap_…`.

use std::net::IpAddr;
use std::path::PathBuf;

use clap::Args;
use serde::{Deserialize, Serialize};

use super::ConfigError;

/// The directory that logins are checked against.
#[derive(Debug, Clone, Default, PartialEq, Args, Serialize, Deserialize)]
#[command(next_help_heading = "LDAP directory")]
#[serde(default)]
pub struct LdapSettings {
    /// LDAP directory that logins are checked against: ldaps://HOST, ldap://HOST with --ldap-start-tls, or ldapi://SOCKET
    #[arg(long, value_name = "URL", env = "SEALGATE_LDAP_URL", global = true)]
    pub ldap_url: Option<String>,
    /// Does ldap:// turn to TLS before anything else is said?
    #[arg(long, value_name = "BOOL", env = "SEALGATE_LDAP_START_TLS", global = true)]
    pub ldap_start_tls: Option<bool>,
    /// Certificates (PEM) of who signs for the directory; default: those that the host trusts
    #[arg(long, value_name = "FILE", env = "SEALGATE_LDAP_CA_FILE", global = true)]
    pub ldap_ca_file: Option<PathBuf>,
    /// Who looks people up in the directory
    #[arg(long, value_name = "DN", env = "SEALGATE_LDAP_LOOKUP_DN", global = true)]
    pub ldap_lookup_dn: Option<String>,
    /// File of that one's password
    #[arg(long, value_name = "FILE", env = "SEALGATE_LDAP_LOOKUP_PASSWORD_FILE", global = true)]
    pub ldap_lookup_password_file: Option<PathBuf>,
    /// Where people are looked for, and below it
    #[arg(long, value_name = "DN", env = "SEALGATE_LDAP_USER_BASE", global = true)]
    pub ldap_user_base: Option<String>,
    /// Filter that finds one by {username}
    #[arg(long, value_name = "FILTER", env = "SEALGATE_LDAP_USER_FILTER", global = true)]
    pub ldap_user_filter: Option<String>,
    /// Where groups are looked for, and below it; default: nobody has any
    #[arg(long, value_name = "DN", env = "SEALGATE_LDAP_GROUP_BASE", global = true)]
    pub ldap_group_base: Option<String>,
    /// Filter that finds somebody's groups by {dn} or {username}
    #[arg(long, value_name = "FILTER", env = "SEALGATE_LDAP_GROUP_FILTER", global = true)]
    pub ldap_group_filter: Option<String>,
    /// Role of a login that names none; default: it has to
    #[arg(long, value_name = "ARN", env = "SEALGATE_LDAP_ROLE_ARN", global = true)]
    pub ldap_role_arn: Option<String>,
}

/// A directory, and how people are found in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LdapConfig {
    /// `ldap://host[:port]`, `ldaps://host[:port]`, or `ldapi://` with the percent-encoded path of a socket.
    pub url: String,
    /// Does `ldap://` turn to TLS before anything else is said?
    pub start_tls: bool,
    /// Certificates (PEM) of who signs for the directory; without it, those that the host trusts.
    pub ca_file: Option<PathBuf>,
    /// Who looks people up.
    pub lookup_dn: String,
    /// The file that holds that one's password.
    pub lookup_password_file: PathBuf,
    /// Where people are looked for, and below it.
    pub user_base: String,
    /// The filter (RFC 4515) that finds one; `{username}` stands for what was typed.
    pub user_filter: String,
    /// The attribute that this filter compares with `{username}`: it has the name as the directory spells it.
    pub user_attribute: String,
    /// Where groups are looked for, and below it; without it nobody has any.
    pub group_base: Option<String>,
    /// The filter that finds somebody's groups; `{dn}` and `{username}` stand for whose.
    pub group_filter: String,
    /// The role of a login that names none.
    pub role_arn: Option<String>,
}

impl LdapConfig {
    /// Is everything said under TLS?
    pub fn is_tls(&self) -> bool {
        self.start_tls || self.url.starts_with("ldaps://")
    }

    /// Reads the settings; `None` when there is no directory.
    pub(super) fn read(raw: &LdapSettings) -> Result<Option<Self>, ConfigError> {
        let Some(url) = raw.ldap_url.clone() else {
            return only_with_a_directory(raw).map_or(Ok(None), |name| Err(invalid(name, "needs ldap_url")));
        };
        let start_tls = raw.ldap_start_tls.unwrap_or(false);
        check_url(&url, start_tls)?;
        let user_filter = raw.ldap_user_filter.clone().unwrap_or_else(|| "(uid={username})".to_owned());
        let user_attribute = attribute_in(&user_filter).filter(|_| is_filter(&user_filter, &["{username}"]));
        let user_attribute = user_attribute.ok_or_else(|| {
            invalid("ldap_user_filter", "must compare an attribute with {username}, as (uid={username}) does")
        })?;
        let group_filter = raw.ldap_group_filter.clone().unwrap_or_else(|| "(member={dn})".to_owned());
        if !is_filter(&group_filter, &["{dn}", "{username}"]) {
            let message = "must be a filter with {dn} or {username} in it, such as (member={dn})";
            return Err(invalid("ldap_group_filter", message));
        }
        if raw.ldap_group_filter.is_some() && raw.ldap_group_base.is_none() {
            return Err(invalid("ldap_group_filter", "needs ldap_group_base"));
        }
        if raw.ldap_role_arn.as_deref().is_some_and(|arn| !is_role(arn)) {
            return Err(invalid(
                "ldap_role_arn",
                "must be a role's, as arn:aws:iam::111122223333:role/people",
            ));
        }
        let config = Self {
            start_tls,
            ca_file: raw.ldap_ca_file.clone(),
            lookup_dn: needed("ldap_lookup_dn", &raw.ldap_lookup_dn)?,
            lookup_password_file: needed("ldap_lookup_password_file", &raw.ldap_lookup_password_file)?,
            user_base: needed("ldap_user_base", &raw.ldap_user_base)?,
            user_attribute: user_attribute.to_owned(),
            user_filter,
            group_base: raw.ldap_group_base.clone(),
            group_filter,
            role_arn: raw.ldap_role_arn.clone(),
            url,
        };
        if config.ca_file.is_some() && !config.is_tls() {
            return Err(invalid("ldap_ca_file", "is for ldaps:// and ldap_start_tls alone"));
        }
        // A bind without a name is one of nobody, which directories let succeed.
        if config.lookup_dn.is_empty() {
            return Err(invalid("ldap_lookup_dn", "must not be empty"));
        }
        Ok(Some(config))
    }
}

fn invalid(setting: &'static str, message: &str) -> ConfigError {
    ConfigError::Invalid { setting, message: message.to_owned() }
}

fn needed<T: Clone>(setting: &'static str, value: &Option<T>) -> Result<T, ConfigError> {
    value.clone().ok_or_else(|| invalid(setting, "is needed with ldap_url"))
}

/// A setting that says nothing without `ldap_url`.
fn only_with_a_directory(raw: &LdapSettings) -> Option<&'static str> {
    [
        ("ldap_start_tls", raw.ldap_start_tls == Some(true)),
        ("ldap_ca_file", raw.ldap_ca_file.is_some()),
        ("ldap_lookup_dn", raw.ldap_lookup_dn.is_some()),
        ("ldap_lookup_password_file", raw.ldap_lookup_password_file.is_some()),
        ("ldap_user_base", raw.ldap_user_base.is_some()),
        ("ldap_group_base", raw.ldap_group_base.is_some()),
        ("ldap_role_arn", raw.ldap_role_arn.is_some()),
    ]
    .into_iter()
    .find_map(|(setting, is_given)| is_given.then_some(setting))
}

/// Passwords travel under TLS, or stay on this host.
fn check_url(url: &str, start_tls: bool) -> Result<(), ConfigError> {
    let wanted = "must be ldap://HOST[:PORT], ldaps://HOST[:PORT] or ldapi://%2FPATH%2FOF%2FSOCKET";
    let (scheme, rest) = url.split_once("://").ok_or_else(|| invalid("ldap_url", wanted))?;
    let place = rest.strip_suffix('/').unwrap_or(rest);
    if place.is_empty() || place.contains(['/', '?', '#', '@', ' ']) {
        return Err(invalid("ldap_url", wanted));
    }
    if start_tls && scheme != "ldap" {
        return Err(invalid("ldap_start_tls", "is for ldap:// alone"));
    }
    match scheme {
        "ldaps" | "ldapi" => Ok(()),
        "ldap" if start_tls || is_loopback(place) => Ok(()),
        "ldap" => Err(invalid(
            "ldap_url",
            "would send passwords in the clear: use ldaps://, or ldap:// with ldap_start_tls = true",
        )),
        _ => Err(invalid("ldap_url", wanted)),
    }
}

/// Is `HOST[:PORT]` this host?
fn is_loopback(place: &str) -> bool {
    let (host, port) = place.rsplit_once(':').unwrap_or((place, ""));
    // The last colon of an address of version 6 may be its own.
    let host = if port.ends_with(']') { place } else { host };
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    host.eq_ignore_ascii_case("localhost")
        || bare.parse().is_ok_and(|address: IpAddr| address.to_canonical().is_loopback())
}

/// Is it a filter, with one of these names in it and no others?
fn is_filter(filter: &str, names: &[&str]) -> bool {
    let filled = names.iter().fold(filter.to_owned(), |filter, name| filter.replace(name, "x"));
    filled != filter && !filled.contains(['{', '}']) && ldap3::parse_filter(&filled).is_ok()
}

/// `uid` of `(uid={username})`, and of `(uid:caseExactMatch:={username})`.
fn attribute_in(filter: &str) -> Option<&str> {
    let (before, _) = filter.split_once("={username}")?;
    let (_, attribute) = before.rsplit_once('(')?;
    let attribute = attribute.split(':').next().unwrap_or_default();
    let is_name = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b';');
    (!attribute.is_empty() && attribute.bytes().all(is_name)).then_some(attribute)
}

fn is_role(arn: &str) -> bool {
    let Some((account, name)) = arn.strip_prefix("arn:aws:iam::").and_then(|rest| rest.split_once(":role/"))
    else {
        return false;
    };
    account.len() == 12 && account.bytes().all(|b| b.is_ascii_digit()) && !name.is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw(url: &str) -> LdapSettings {
        LdapSettings {
            ldap_url: Some(url.to_owned()),
            ldap_lookup_dn: Some("cn=reader,dc=example".to_owned()),
            ldap_lookup_password_file: Some("/etc/reader".into()),
            ldap_user_base: Some("ou=people,dc=example".to_owned()),
            ..LdapSettings::default()
        }
    }

    fn read(raw: &LdapSettings) -> Result<LdapConfig, String> {
        LdapConfig::read(raw).map(Option::unwrap).map_err(|error| error.to_string())
    }

    #[test]
    fn passwords_do_not_travel_in_the_clear() {
        for url in
            ["ldaps://dir", "ldap://localhost", "ldap://127.0.0.1:389/", "ldap://[::1]", "ldap://[::1]:389"]
        {
            assert!(read(&raw(url)).is_ok(), "{url}");
        }
        assert!(read(&raw("ldapi://%2Frun%2Fslapd%2Fldapi")).is_ok());
        for url in
            ["ldap://dir", "ldap://10.0.0.1:389", "ldap://localhost.example", "ldap://[2001:db8::1]:389"]
        {
            assert!(read(&raw(url)).unwrap_err().contains("in the clear"), "{url}");
            assert!(read(&LdapSettings { ldap_start_tls: Some(true), ..raw(url) }).is_ok(), "{url}");
        }
        for url in ["dir", "http://dir", "ldap://", "ldap:///dc=x", "ldap://dir/dc=x", "ldap://a@localhost"] {
            assert!(read(&raw(url)).unwrap_err().contains("must be ldap://HOST"), "{url}");
        }
        let both = LdapSettings { ldap_start_tls: Some(true), ..raw("ldaps://dir") };
        assert!(read(&both).unwrap_err().contains("ldap_start_tls"));
        let plain = LdapSettings { ldap_ca_file: Some("x".into()), ..raw("ldap://localhost") };
        assert!(read(&plain).unwrap_err().contains("ldap_ca_file"));
    }

    #[test]
    fn filters_are_read_at_the_start() {
        let with = |filter: &str| {
            read(&LdapSettings { ldap_user_filter: Some(filter.to_owned()), ..raw("ldaps://d") })
        };
        for (filter, attribute) in [
            ("(uid={username})", "uid"),
            ("(&(objectClass=user)(sAMAccountName={username}))", "sAMAccountName"),
            ("(|(uid:caseExactMatch:={username})(mail={username}))", "uid"),
        ] {
            assert_eq!(with(filter).unwrap().user_attribute, attribute);
        }
        for filter in
            ["", "(uid=ada)", "(uid={username}", "{username}", "(uid={username})(mail={dn})", "(uid={user})"]
        {
            assert!(with(filter).unwrap_err().contains("ldap_user_filter"), "{filter}");
        }
        let groups = |filter: &str| {
            let (base, filter) = (Some("ou=groups".to_owned()), Some(filter.to_owned()));
            read(&LdapSettings { ldap_group_base: base, ldap_group_filter: filter, ..raw("ldaps://d") })
        };
        assert!(groups("(|(member={dn})(memberUid={username}))").is_ok());
        assert!(groups("(objectClass=group)").unwrap_err().contains("ldap_group_filter"));
    }

    #[test]
    fn what_goes_together() {
        assert_eq!(LdapConfig::read(&LdapSettings::default()).unwrap(), None);
        let alone = LdapSettings { ldap_url: None, ..raw("") };
        assert!(LdapConfig::read(&alone).unwrap_err().to_string().contains("ldap_lookup_dn: needs ldap_url"));
        let without = LdapSettings { ldap_user_base: None, ..raw("ldaps://d") };
        assert!(read(&without).unwrap_err().contains("ldap_user_base: is needed"));
        let nobody = LdapSettings { ldap_lookup_dn: Some(String::new()), ..raw("ldaps://d") };
        assert!(read(&nobody).unwrap_err().contains("ldap_lookup_dn"));
        for arn in ["people", "arn:aws:iam::1:role/x", "arn:aws:iam::111122223333:user/x"] {
            let role = LdapSettings { ldap_role_arn: Some(arn.to_owned()), ..raw("ldaps://d") };
            assert!(read(&role).unwrap_err().contains("ldap_role_arn"), "{arn}");
        }
    }
}
