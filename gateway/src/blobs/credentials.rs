//! Credentials of an object store, from a file as the AWS CLI has it.

use std::path::Path;

use zeroize::Zeroizing;

use super::BlobsError;

/// The longest file of credentials, in bytes.
const MAX_LEN: u64 = 64 << 10;

/// What S3 requests are signed with.
pub(super) struct Credentials {
    /// The access key's id.
    pub(super) access_key_id: Zeroizing<String>,
    /// Its secret.
    pub(super) secret_access_key: Zeroizing<String>,
    /// The token of temporary credentials.
    pub(super) session_token: Option<Zeroizing<String>>,
}

fn text(path: &Path) -> Result<Zeroizing<String>, BlobsError> {
    let refuse = |why: String| BlobsError::Credentials { path: path.to_owned(), why };
    let len = std::fs::metadata(path).map_err(|error| refuse(error.to_string()))?.len();
    if len > MAX_LEN {
        return Err(refuse("it is too long".to_owned()));
    }
    std::fs::read_to_string(path).map(Zeroizing::new).map_err(|error| refuse(error.to_string()))
}

/// `aws_access_key_id = …` and `aws_secret_access_key = …`, of the profile `default` where there are profiles.
pub(super) fn read(path: &Path) -> Result<Credentials, BlobsError> {
    let text = text(path)?;
    let (mut id, mut secret, mut token) = (None, None, None);
    let mut is_ours = true;
    for line in text.lines().map(str::trim) {
        if let Some(profile) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
            is_ours = profile.trim() == "default";
        }
        let Some((name, value)) = line.split_once('=').filter(|_| is_ours && !line.starts_with('#')) else {
            continue;
        };
        let place = match name.trim().to_ascii_lowercase().as_str() {
            "aws_access_key_id" => &mut id,
            "aws_secret_access_key" => &mut secret,
            "aws_session_token" => &mut token,
            _ => continue,
        };
        *place = Some(Zeroizing::new(value.trim().to_owned()));
    }
    match (id, secret) {
        (Some(access_key_id), Some(secret_access_key)) => {
            Ok(Credentials { access_key_id, secret_access_key, session_token: token })
        }
        _ => Err(BlobsError::Credentials {
            path: path.to_owned(),
            why: "it lacks aws_access_key_id = … or aws_secret_access_key = …".to_owned(),
        }),
    }
}

/// A file that is one key: Azure's.
pub(super) fn read_key(path: &Path) -> Result<Zeroizing<String>, BlobsError> {
    let text = text(path)?;
    Ok(Zeroizing::new(text.trim().to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_of_the_cli_is_read() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("credentials");
        let write = |text: &str| std::fs::write(&path, text).expect("a file");
        write(
            "[other]\naws_access_key_id=B\n[default]\n# aws_access_key_id = C\naws_access_key_id = A\naws_secret_access_key=s=/+\n",
        );
        let found = read(&path).expect("credentials");
        assert_eq!((found.access_key_id.as_str(), found.secret_access_key.as_str()), ("A", "s=/+"));
        assert!(found.session_token.is_none());
        write("aws_access_key_id = A");
        assert!(matches!(read(&path), Err(BlobsError::Credentials { .. })));
    }
}
