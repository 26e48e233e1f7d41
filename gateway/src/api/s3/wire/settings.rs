//! Settings of a bucket that are a word or two.

use storage::catalog::Versioning;

use super::tree::Element;
use super::xml::{MalformedXml, XmlWriter};
use crate::api::s3::error::{Code, S3Error};

/// Reads `VersioningConfiguration`.
pub fn parse_versioning(document: &[u8]) -> Result<Versioning, S3Error> {
    let root = Element::parse(document, "VersioningConfiguration")?;
    root.only(&["Status", "MfaDelete"])?;
    if root.text_of("MfaDelete")?.is_some_and(|value| value != "Disabled") {
        return Err(S3Error::not_implemented("MFA delete"));
    }
    match root.text_of("Status")? {
        Some("Enabled") => Ok(Versioning::Enabled),
        Some("Suspended") => Ok(Versioning::Suspended),
        None | Some("") => Err(Code::IllegalVersioningConfigurationException.into()),
        Some(_) => Err(MalformedXml.into()),
    }
}

/// Writes `VersioningConfiguration`.
pub fn write_versioning(versioning: Versioning) -> Vec<u8> {
    match versioning {
        Versioning::Unversioned => word("VersioningConfiguration", None),
        Versioning::Enabled => word("VersioningConfiguration", Some(("Status", "Enabled"))),
        Versioning::Suspended => word("VersioningConfiguration", Some(("Status", "Suspended"))),
    }
}

/// Reads a document of this root with one element, whose text is one of these.
pub fn parse_word(document: &[u8], root: &str, name: &str, words: &[&str]) -> Result<String, MalformedXml> {
    let root = Element::parse(document, root)?;
    let word = root.only(&[name])?.text_of(name)?.filter(|word| words.contains(word));
    Ok(word.ok_or(MalformedXml)?.to_owned())
}

/// Writes a document with one element, or none.
pub fn word(root: &str, inner: Option<(&str, &str)>) -> Vec<u8> {
    let mut xml = XmlWriter::document(192);
    xml.root(root);
    if let Some((name, text)) = inner {
        xml.text(name, text);
    }
    xml.close(root);
    xml.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versioning() {
        for state in [Versioning::Enabled, Versioning::Suspended] {
            assert_eq!(parse_versioning(&write_versioning(state)).unwrap(), state);
        }
        let code = |inner: &str| {
            let document = format!("<VersioningConfiguration>{inner}</VersioningConfiguration>");
            parse_versioning(document.as_bytes()).unwrap_err().code
        };
        assert_eq!(code(""), Code::IllegalVersioningConfigurationException);
        assert_eq!(code("<Status>enabled</Status>"), Code::MalformedXml);
        assert_eq!(code("<Status>Enabled</Status><MfaDelete>Enabled</MfaDelete>"), Code::NotImplemented);
        assert_eq!(code("<Else/>"), Code::MalformedXml);
    }
}
