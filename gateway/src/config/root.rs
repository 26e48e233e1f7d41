//! Where the root key is: `--root-key`.

use std::fmt;
use std::path::PathBuf;

use kms_core::root::Pkcs11Place;
use percent_encoding::percent_decode_str;

/// A provider of the root key, and where it finds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RootPlace {
    /// A file of 32 bytes.
    File(PathBuf),
    /// `credential:NAME`: what systemd hands over in `$CREDENTIALS_DIRECTORY`.
    Credential(String),
    /// `passphrase:`, by argon2id.
    Passphrase,
    /// `pkcs11:token=LABEL;object=LABEL?module-path=FILE&pin-source=FILE` (RFC 7512): an AES key in a token.
    Pkcs11 {
        /// Token, key and library.
        place: Pkcs11Place,
        /// The file that holds the PIN.
        pin: PathBuf,
    },
    /// `transit:URL?key=NAME&token-source=FILE[&mount=PATH]`: a key of the transit engine of Vault or OpenBao.
    Transit(TransitPlace),
}

/// A key of a transit engine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TransitPlace {
    /// `https://host:port`.
    pub address: String,
    /// Where the engine is mounted; `transit` by default.
    pub mount: String,
    /// The key's name.
    pub key: String,
    /// The file that holds the access token.
    pub token: PathBuf,
}

impl RootPlace {
    /// Reads a setting: a provider's name and a colon, or else a file's path.
    pub fn parse(text: &str) -> Result<Self, String> {
        if let Some(name) = text.strip_prefix("credential:") {
            let is_name = !name.is_empty() && !name.contains('/') && name != "." && name != "..";
            return is_name
                .then(|| Self::Credential(name.to_owned()))
                .ok_or_else(|| "credential: wants a name".to_owned());
        }
        if let Some(rest) = text.strip_prefix("passphrase:") {
            return match rest {
                "" => Ok(Self::Passphrase),
                _ => Err("passphrase: stands alone; give the passphrase with --passphrase-file".to_owned()),
            };
        }
        if let Some(rest) = text.strip_prefix("pkcs11:") {
            let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
            let path = pairs(path, ';')?;
            let query = pairs(query, '&')?;
            let wanted = |from: &Pairs, name: &str| {
                from.get(name).cloned().ok_or_else(|| {
                    format!("{name} is missing in pkcs11:token=…;object=…?module-path=…&pin-source=…")
                })
            };
            let pin = wanted(&query, "pin-source")?;
            let pin = pin.strip_prefix("file:").unwrap_or(&pin).into();
            let place = Pkcs11Place {
                token: wanted(&path, "token")?,
                object: wanted(&path, "object")?,
                module: wanted(&query, "module-path")?.into(),
            };
            return Ok(Self::Pkcs11 { place, pin });
        }
        if let Some(rest) = text.strip_prefix("transit:") {
            let (address, query) = rest.split_once('?').unwrap_or((rest, ""));
            if !address.starts_with("https://") && !address.starts_with("http://127.0.0.1:") {
                return Err("transit: wants an https:// address".to_owned());
            }
            let query = pairs(query, '&')?;
            let wanted = |name: &str| {
                query
                    .get(name)
                    .cloned()
                    .ok_or_else(|| format!("{name} is missing in transit:URL?key=…&token-source=…"))
            };
            return Ok(Self::Transit(TransitPlace {
                address: address.trim_end_matches('/').to_owned(),
                mount: query.get("mount").cloned().unwrap_or_else(|| "transit".to_owned()),
                key: wanted("key")?,
                token: wanted("token-source")?.into(),
            }));
        }
        Ok(Self::File(text.into()))
    }
}

type Pairs = std::collections::BTreeMap<String, String>;

/// `name=value` pairs, percent-encoded.
fn pairs(text: &str, separator: char) -> Result<Pairs, String> {
    let parts = text.split(separator).filter(|part| !part.is_empty());
    parts
        .map(|part| {
            let (name, value) = part.split_once('=').ok_or_else(|| format!("{part} is not NAME=VALUE"))?;
            let value =
                percent_decode_str(value).decode_utf8().map_err(|_| format!("{part} is not UTF-8"))?;
            Ok((name.to_owned(), value.into_owned()))
        })
        .collect()
}

impl fmt::Display for RootPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Credential(name) => write!(f, "systemd credential {name}"),
            Self::Passphrase => f.write_str("a passphrase"),
            Self::Pkcs11 { place, .. } => write!(f, "PKCS#11 token {}, object {}", place.token, place.object),
            Self::Transit(place) => write!(f, "transit key {} at {}", place.key, place.address),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn providers_are_told_apart_from_files() {
        assert_eq!(RootPlace::parse("/etc/root").unwrap(), RootPlace::File("/etc/root".into()));
        assert_eq!(RootPlace::parse("credential:root").unwrap(), RootPlace::Credential("root".to_owned()));
        assert_eq!(RootPlace::parse("passphrase:").unwrap(), RootPlace::Passphrase);
        let text = "pkcs11:token=My%20token;object=root?module-path=/lib/x.so&pin-source=file:/etc/pin";
        let RootPlace::Pkcs11 { place, pin } = RootPlace::parse(text).unwrap() else { panic!("{text}") };
        assert_eq!((place.token.as_str(), place.object.as_str()), ("My token", "root"));
        assert_eq!((place.module, pin), ("/lib/x.so".into(), "/etc/pin".into()));
        let text = "transit:https://vault:8200/?key=root&token-source=/etc/token";
        let RootPlace::Transit(place) = RootPlace::parse(text).unwrap() else { panic!("{text}") };
        assert_eq!((place.address.as_str(), place.mount.as_str()), ("https://vault:8200", "transit"));
        for bad in [
            "credential:",
            "credential:../root",
            "passphrase:secret",
            "pkcs11:token=x?module-path=y&pin-source=z",
            "transit:http://vault:8200?key=root&token-source=x",
            "transit:https://vault:8200?key=root",
        ] {
            assert!(RootPlace::parse(bad).is_err(), "{bad}");
        }
    }
}
