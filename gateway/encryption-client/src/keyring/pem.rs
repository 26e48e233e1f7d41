//! Keys from PEM files (RFC 7468).

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

use crate::error::KeyringError;

/// The bytes of the first block of this label.
pub(super) fn block(pem: &str, label: &str) -> Result<Option<Zeroizing<Vec<u8>>>, KeyringError> {
    let (begin, end) = (format!("-----BEGIN {label}-----"), format!("-----END {label}-----"));
    let Some((_, rest)) = pem.split_once(&begin) else { return Ok(None) };
    let (body, _) = rest.split_once(&end).ok_or(KeyringError::Key("its PEM block has no end"))?;
    let mut text = Zeroizing::new(String::with_capacity(body.len()));
    text.extend(body.chars().filter(|c| !c.is_ascii_whitespace()));
    let bytes =
        STANDARD.decode(text.as_bytes()).map_err(|_| KeyringError::Key("its PEM block is no Base64"))?;
    Ok(Some(Zeroizing::new(bytes)))
}
