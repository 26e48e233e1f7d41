//! Logins against an LDAP directory (RFC 4511): somebody is looked up, and the directory asked whether the password is theirs.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use kms_core::secret::SecretBytes;
use ldap3::{LdapConnAsync, LdapConnSettings, Scope, SearchEntry, SearchOptions};
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use rustls_platform_verifier::BuilderVerifierExt;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::config::LdapConfig;

/// How long a login may take as a whole.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Most logins that are under way at the directory; further ones wait.
const MAX_LOGINS: usize = 32;
/// The longest name that is looked up, in bytes.
const MAX_USERNAME_LEN: usize = 256;
/// The longest password that is tried, in bytes.
const MAX_PASSWORD_LEN: usize = 1024;
/// Most groups of somebody.
const MAX_GROUPS: usize = 1000;

/// Result codes of the protocol, RFC 4511, appendix A.
mod code {
    pub(super) const SUCCESS: u32 = 0;
    pub(super) const SIZE_LIMIT_EXCEEDED: u32 = 4;
    pub(super) const AUTH_METHOD_NOT_SUPPORTED: u32 = 7;
    pub(super) const STRONGER_AUTH_REQUIRED: u32 = 8;
    pub(super) const CONFIDENTIALITY_REQUIRED: u32 = 13;
    pub(super) const CONSTRAINT_VIOLATION: u32 = 19;
    pub(super) const NO_SUCH_OBJECT: u32 = 32;
    pub(super) const INVALID_DN_SYNTAX: u32 = 34;
    pub(super) const INAPPROPRIATE_AUTHENTICATION: u32 = 48;
    pub(super) const INVALID_CREDENTIALS: u32 = 49;
    pub(super) const INSUFFICIENT_ACCESS: u32 = 50;
    pub(super) const UNWILLING_TO_PERFORM: u32 = 53;
}

/// Somebody who has logged in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LdapUser {
    /// Their distinguished name, as the directory writes it.
    pub dn: String,
    /// Their name as the directory spells it, whichever way it was typed: policies compare it.
    pub username: String,
    /// The distinguished names of their groups, as the directory writes them.
    pub groups: Vec<String>,
}

/// Why nobody has logged in.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LdapError {
    /// There is no such user, or the password is another; which of the two is not told.
    #[error("the user name or the password is wrong")]
    InvalidCredentials,
    /// The directory does not answer, or not now.
    #[error("the directory is unavailable: {0}")]
    Unavailable(String),
    /// The directory refuses what the settings say.
    #[error("the settings do not suit the directory: {0}")]
    Misconfigured(String),
}

/// The directory; one for the process. Each login has connections of its own.
pub struct Ldap {
    config: LdapConfig,
    lookup_password: SecretBytes,
    tls: Option<Arc<ClientConfig>>,
    logins: Semaphore,
}

impl Ldap {
    /// Reads certificates; the directory is not asked before somebody logs in.
    ///
    /// # Errors
    /// `Misconfigured` when there are no certificates to trust, or the password is not text.
    pub fn open(config: &LdapConfig, lookup_password: SecretBytes) -> Result<Self, LdapError> {
        let tls = config.is_tls().then(|| client_config(config)).transpose()?;
        if lookup_password.expose().is_empty() || str::from_utf8(lookup_password.expose()).is_err() {
            return Err(LdapError::Misconfigured("ldap_lookup_password_file holds no text".to_owned()));
        }
        Ok(Self { config: config.clone(), lookup_password, tls, logins: Semaphore::new(MAX_LOGINS) })
    }

    /// Who this is, if the password is theirs.
    ///
    /// The client library keeps copies of passwords in buffers that it does not clear.
    ///
    /// # Errors
    /// See [`LdapError`]; what is wrong with directory or settings is for the log.
    pub async fn login(&self, username: &str, password: &str) -> Result<LdapUser, LdapError> {
        // Without a password a bind succeeds for everybody, as nobody: RFC 4513, 5.1.2.
        if username.is_empty() || password.is_empty() {
            return Err(LdapError::InvalidCredentials);
        }
        if username.len() > MAX_USERNAME_LEN || password.len() > MAX_PASSWORD_LEN {
            return Err(LdapError::InvalidCredentials);
        }
        let login = async {
            let _one = self.logins.acquire().await;
            self.find_and_bind(username, password).await
        };
        // The client library panics at answers that are no LDAP.
        match tokio::time::timeout(TIMEOUT, AssertUnwindSafe(login).catch_unwind()).await {
            Ok(Ok(done)) => done,
            Ok(Err(_)) => Err(LdapError::Unavailable("it does not speak LDAP".to_owned())),
            Err(_) => Err(LdapError::Unavailable(format!("no answer for {} s", TIMEOUT.as_secs()))),
        }
    }

    async fn find_and_bind(&self, username: &str, password: &str) -> Result<LdapUser, LdapError> {
        let LdapConfig { lookup_dn, user_base, user_attribute, user_filter, .. } = &self.config;
        let mut lookup = self.connect().await?;
        let lookup_password = str::from_utf8(self.lookup_password.expose()).unwrap_or_default();
        lookup.bind(lookup_dn, lookup_password).await.map_err(|error| match error {
            LdapError::InvalidCredentials => {
                LdapError::Misconfigured(format!("{lookup_dn} can't log in with ldap_lookup_password_file"))
            }
            other => other,
        })?;
        let filter = filled(user_filter, username, "");
        let found = lookup.search(user_base, &filter, user_attribute, 1).await?;
        let Some([user]) = found.as_deref() else {
            if found.is_none() {
                tracing::warn!("a login's name is that of more than one user below {user_base}");
            }
            return Err(LdapError::InvalidCredentials);
        };
        // Without a name a bind succeeds for everybody, too.
        if user.dn.is_empty() {
            return Err(LdapError::InvalidCredentials);
        }
        self.connect().await?.bind(&user.dn, password).await?;
        let username = spelled(user, user_attribute, username).ok_or_else(|| {
            LdapError::Misconfigured(format!("{lookup_dn} can't read {user_attribute} of {}", user.dn))
        })?;
        let mut groups = Vec::new();
        if let Some(base) = &self.config.group_base {
            let filter = filled(&self.config.group_filter, &username, &user.dn);
            // No attribute: RFC 4511, 4.5.1.8.
            let found = lookup.search(base, &filter, "1.1", MAX_GROUPS).await?;
            // A policy may deny by a group that would be left out.
            let found = found.ok_or_else(|| {
                LdapError::Misconfigured(format!("{} is in more than {MAX_GROUPS} groups", user.dn))
            })?;
            groups = found.into_iter().map(|group| group.dn).collect();
        }
        Ok(LdapUser { dn: user.dn.clone(), username, groups })
    }

    async fn connect(&self) -> Result<Connection, LdapError> {
        let mut settings = LdapConnSettings::new().set_starttls(self.config.start_tls);
        if let Some(tls) = &self.tls {
            settings = settings.set_config(tls.clone());
        }
        let connected = LdapConnAsync::with_settings(settings, &self.config.url).await;
        let (connection, ldap) = connected.map_err(unavailable)?;
        let mut driver = JoinSet::new();
        driver.spawn(async move {
            if let Err(error) = connection.drive().await {
                tracing::debug!(%error, "a connection to the directory broke");
            }
        });
        Ok(Connection { ldap, _driver: driver })
    }
}

/// A connection, closed when it is dropped.
struct Connection {
    ldap: ldap3::Ldap,
    /// Moves its bytes; ends with it.
    _driver: JoinSet<()>,
}

impl Connection {
    async fn bind(&mut self, dn: &str, password: &str) -> Result<(), LdapError> {
        let result = self.ldap.simple_bind(dn, password).await.map_err(unavailable)?;
        match result.rc {
            code::SUCCESS => Ok(()),
            code::INVALID_CREDENTIALS
            // Entries that are gone or have no password; accounts that are locked, disabled, or want a new one.
            | code::NO_SUCH_OBJECT
            | code::INVALID_DN_SYNTAX
            | code::CONSTRAINT_VIOLATION
            | code::INAPPROPRIATE_AUTHENTICATION
            | code::INSUFFICIENT_ACCESS
            | code::UNWILLING_TO_PERFORM => Err(LdapError::InvalidCredentials),
            code::AUTH_METHOD_NOT_SUPPORTED
            | code::STRONGER_AUTH_REQUIRED
            | code::CONFIDENTIALITY_REQUIRED => Err(LdapError::Misconfigured(result.to_string())),
            _ => Err(LdapError::Unavailable(result.to_string())),
        }
    }

    /// The entries that a filter finds, with one attribute; `None` when there are more than `max`.
    async fn search(
        &mut self,
        base: &str,
        filter: &str,
        attribute: &str,
        max: usize,
    ) -> Result<Option<Vec<SearchEntry>>, LdapError> {
        let limit = i32::try_from(max + 1).unwrap_or(i32::MAX);
        let options = SearchOptions::new().sizelimit(limit).timelimit(TIMEOUT.as_secs() as i32);
        self.ldap.with_search_options(options);
        let mut found = Vec::new();
        let mut stream = self
            .ldap
            .streaming_search(base, Scope::Subtree, filter, [attribute])
            .await
            .map_err(unavailable)?;
        while let Some(entry) = stream.next().await.map_err(unavailable)? {
            // Other directories that this one knows of are not asked.
            if entry.is_ref() || entry.is_intermediate() {
                continue;
            }
            found.push(SearchEntry::construct(entry));
            if found.len() > max {
                return Ok(None);
            }
        }
        let result = stream.finish().await;
        match result.rc {
            code::SUCCESS => Ok(Some(found)),
            code::SIZE_LIMIT_EXCEEDED => Ok(None),
            code::NO_SUCH_OBJECT => Err(LdapError::Misconfigured(format!("there is no {base} to search"))),
            code::INSUFFICIENT_ACCESS => Err(LdapError::Misconfigured(format!("{base} may not be searched"))),
            _ => Err(LdapError::Unavailable(result.to_string())),
        }
    }
}

fn unavailable(error: ldap3::LdapError) -> LdapError {
    LdapError::Unavailable(error.to_string())
}

/// TLS as the rest of the gateway has it, trusting who signs for the directory.
fn client_config(config: &LdapConfig) -> Result<Arc<ClientConfig>, LdapError> {
    let wrong = |why: String| LdapError::Misconfigured(why);
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| wrong(error.to_string()))?;
    let Some(file) = &config.ca_file else {
        let builder = builder.with_platform_verifier().map_err(|error| wrong(error.to_string()))?;
        return Ok(Arc::new(builder.with_no_client_auth()));
    };
    let in_file = |why: String| wrong(format!("ldap_ca_file {}: {why}", file.display()));
    let certificates = CertificateDer::pem_file_iter(file)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| in_file(error.to_string()))?;
    let mut roots = RootCertStore::empty();
    for certificate in certificates {
        roots.add(certificate).map_err(|error| in_file(error.to_string()))?;
    }
    if roots.is_empty() {
        return Err(in_file("holds no certificate".to_owned()));
    }
    Ok(Arc::new(builder.with_root_certificates(roots).with_no_client_auth()))
}

/// A filter with these values in it, escaped (RFC 4515, 3). In one pass: a value that looks like a name stays what it is.
fn filled(filter: &str, username: &str, dn: &str) -> String {
    let mut done = String::with_capacity(filter.len() + username.len() + dn.len());
    let mut rest = filter;
    while let Some(at) = rest.find('{') {
        done.push_str(&rest[..at]);
        rest = &rest[at..];
        let (value, after) = match (rest.strip_prefix("{username}"), rest.strip_prefix("{dn}")) {
            (Some(after), _) => (ldap3::ldap_escape(username), after),
            (_, Some(after)) => (ldap3::ldap_escape(dn), after),
            _ => ("{".into(), &rest[1..]),
        };
        done.push_str(&value);
        rest = after;
    }
    done + rest
}

/// The name as the entry has it: of several values the one that was typed, or else the first.
fn spelled(user: &SearchEntry, attribute: &str, typed: &str) -> Option<String> {
    let (_, values) = user.attrs.iter().find(|(name, _)| name.eq_ignore_ascii_case(attribute))?;
    let typed = typed.trim().to_lowercase();
    values.iter().find(|value| value.to_lowercase() == typed).or_else(|| values.first()).cloned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_filters_are_escaped() {
        for (username, wanted) in [
            ("ada", "(uid=ada)"),
            ("*", r"(uid=\2a)"),
            ("ada)(uid=*", r"(uid=ada\29\28uid=\2a)"),
            ("a\\b\0", r"(uid=a\5cb\00)"),
            ("{dn}", "(uid={dn})"),
            ("ädä", "(uid=ädä)"),
        ] {
            let filter = filled("(uid={username})", username, "secret");
            assert_eq!(filter, wanted);
            assert!(ldap3::parse_filter(&filter).is_ok());
        }
        let both = filled("(&(member={dn})(x={other})(memberUid={username}))", "{dn}", "cn=a(b),{username}");
        assert_eq!(both, r"(&(member=cn=a\28b\29,{username})(x={other})(memberUid={dn}))");
    }

    #[test]
    fn names_are_spelled_as_the_directory_does() {
        let values = |values: &[&str]| SearchEntry {
            dn: "uid=ada".to_owned(),
            attrs: [("UID".to_owned(), values.iter().map(|v| (*v).to_owned()).collect())].into(),
            bin_attrs: Default::default(),
        };
        assert_eq!(spelled(&values(&["ada"]), "uid", "ADA").unwrap(), "ada");
        assert_eq!(spelled(&values(&["lovelace", "ada"]), "uid", "Ada ").unwrap(), "ada");
        assert_eq!(spelled(&values(&["ada"]), "uid", "other").unwrap(), "ada");
        assert_eq!(spelled(&values(&["ada"]), "mail", "ada"), None);
    }
}
