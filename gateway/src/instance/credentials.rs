//! The root user's credentials.

use std::fs;
use std::io;
use std::path::PathBuf;

use zeroize::Zeroizing;

use super::{InstanceError, write_new};
use crate::config::Config;
use crate::iam;

/// Root credentials.
pub struct Credentials {
    /// The access key id.
    pub access_key_id: String,
    /// Its secret.
    pub secret_access_key: Zeroizing<String>,
    /// The file they are in; `None`: the environment.
    pub file: Option<PathBuf>,
}

impl Credentials {
    /// The root credentials: from the environment, else from the credentials file, which is made with random ones where
    /// there is none.
    pub fn load(config: &Config) -> Result<Self, InstanceError> {
        if let Some(found) = Self::find(config)? {
            return Ok(found);
        }
        let path = &config.credentials;
        if config.places.metadata.is_some() {
            return Err(InstanceError::NoCredentials(path.clone()));
        }
        let (access_key_id, secret_access_key) = iam::access_key();
        let text = Zeroizing::new(format!(
            "[default]\naws_access_key_id = {access_key_id}\naws_secret_access_key = {}\n",
            *secret_access_key
        ));
        write_new(path, text.as_bytes())
            .map_err(|source| InstanceError::Io { path: path.clone(), source })?;
        Ok(Self { access_key_id, secret_access_key, file: Some(path.clone()) })
    }

    /// As [`Credentials::load`], but none are made.
    pub fn find(config: &Config) -> Result<Option<Self>, InstanceError> {
        let path = &config.credentials;
        let malformed =
            |message: &str| InstanceError::Malformed { path: path.clone(), message: message.to_owned() };
        let env = |name| std::env::var(name).ok().filter(|v| !v.is_empty());
        match (env("SEALGATE_ROOT_ACCESS_KEY_ID"), env("SEALGATE_ROOT_SECRET_ACCESS_KEY")) {
            (Some(access_key_id), Some(secret)) => {
                let secret_access_key = Zeroizing::new(secret);
                return Ok(Some(Self { access_key_id, secret_access_key, file: None }));
            }
            (None, None) => {}
            _ => {
                return Err(malformed(
                    "set SEALGATE_ROOT_ACCESS_KEY_ID and SEALGATE_ROOT_SECRET_ACCESS_KEY together, or neither",
                ));
            }
        }
        match fs::read_to_string(path) {
            Ok(text) => {
                let text = Zeroizing::new(text);
                let (access_key_id, secret) = parse_default_profile(&text).ok_or_else(|| {
                    malformed("has no profile [default] with aws_access_key_id and aws_secret_access_key")
                })?;
                let secret_access_key = Zeroizing::new(secret.to_owned());
                Ok(Some(Self {
                    access_key_id: access_key_id.to_owned(),
                    secret_access_key,
                    file: Some(path.clone()),
                }))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(InstanceError::Io { path: path.clone(), source }),
        }
    }
}

fn parse_default_profile(text: &str) -> Option<(&str, &str)> {
    let (mut in_default, mut id, mut secret) = (false, None, None);
    for line in text.lines().map(str::trim) {
        if line.starts_with('[') {
            in_default = line == "[default]";
        } else if let Some((name, value)) = line.split_once('=').filter(|_| in_default) {
            match name.trim() {
                "aws_access_key_id" => id = Some(value.trim()),
                "aws_secret_access_key" => secret = Some(value.trim()),
                _ => {}
            }
        }
    }
    Some((id?, secret?)).filter(|(id, secret)| !id.is_empty() && !secret.is_empty())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::super::tests::config;
    use super::*;

    #[test]
    fn credentials_are_made_once_and_read_back() {
        let folder = tempfile::tempdir().unwrap();
        let config = config(folder.path());
        let made = Credentials::load(&config).unwrap();
        assert_eq!(fs::metadata(&config.credentials).unwrap().permissions().mode() & 0o777, 0o600);
        let read = Credentials::load(&config).unwrap();
        assert_eq!(read.access_key_id, made.access_key_id);
        assert_eq!(*read.secret_access_key, *made.secret_access_key);
        assert_eq!(made.secret_access_key.len(), 40);
    }
}
