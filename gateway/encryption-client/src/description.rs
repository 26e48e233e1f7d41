//! Encryption contexts and materials descriptions: names and values, as JSON in metadata.

use std::collections::BTreeMap;
use std::fmt::{self, Write};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::de::{Error as _, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

/// What is known about the data key beside its wrapped form: the encryption context of a KMS key, or what the caller calls a key of his.
///
/// ```
/// use s3_encryption_client::Description;
/// let context = Description::from([("department", "accounting")]);
/// assert_eq!(context.to_json(), r#"{"department":"accounting"}"#);
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Description(BTreeMap<String, String>);

impl Description {
    /// One without entries.
    pub fn new() -> Self {
        Self::default()
    }

    /// The entries, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// A value.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// Sets a value.
    pub fn insert(&mut self, name: impl Into<String>, value: impl Into<String>) {
        self.0.insert(name.into(), value.into());
    }

    /// Are there no entries?
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The same without these names.
    pub(crate) fn without(&self, names: &[&str]) -> Self {
        let kept = self.0.iter().filter(|(name, _)| !names.contains(&name.as_str()));
        Self(kept.map(|(name, value)| (name.clone(), value.clone())).collect())
    }

    /// As JSON in printable ASCII: what a header carries unchanged.
    pub fn to_json(&self) -> String {
        ascii_json(&self.0)
    }

    /// Reads a JSON object of strings, as it is or as S3 encodes metadata that is no ASCII.
    pub(crate) fn from_metadata(value: &str) -> Option<Self> {
        let decoded;
        let json = if value.starts_with('{') && value.is_ascii() {
            value
        } else {
            decoded = decode_s3(value)?;
            &decoded
        };
        serde_json::from_str::<StringMap>(json).ok().map(|map| Self(map.0))
    }
}

impl<N: Into<String>, V: Into<String>> FromIterator<(N, V)> for Description {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(entries: I) -> Self {
        Self(entries.into_iter().map(|(name, value)| (name.into(), value.into())).collect())
    }
}

impl<N: Into<String>, V: Into<String>, const COUNT: usize> From<[(N, V); COUNT]> for Description {
    fn from(entries: [(N, V); COUNT]) -> Self {
        entries.into_iter().collect()
    }
}

/// JSON in printable ASCII.
pub(crate) fn ascii_json(map: &BTreeMap<String, String>) -> String {
    let json = serde_json::to_string(map).unwrap_or_default();
    let mut ascii = String::with_capacity(json.len());
    for c in json.chars() {
        if (' '..='~').contains(&c) {
            ascii.push(c);
            continue;
        }
        for unit in c.encode_utf16(&mut [0; 2]) {
            let _ = write!(ascii, "\\u{unit:04x}");
        }
    }
    ascii
}

/// A JSON object of strings in which no name stands twice.
pub(crate) struct StringMap(pub(crate) BTreeMap<String, String>);

impl<'de> Deserialize<'de> for StringMap {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Strings;
        impl<'de> Visitor<'de> for Strings {
            type Value = StringMap;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of strings")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<StringMap, A::Error> {
                let mut map = BTreeMap::new();
                while let Some((name, value)) = entries.next_entry::<String, String>()? {
                    if map.insert(name, value).is_some() {
                        return Err(A::Error::custom("a name stands twice"));
                    }
                }
                Ok(StringMap(map))
            }
        }
        deserializer.deserialize_map(Strings)
    }
}

/// Undoes what S3 does to metadata that is no ASCII: each byte of its UTF-8 becomes a character, and the text an encoded word (RFC 2047).
fn decode_s3(value: &str) -> Option<String> {
    let mut characters = String::new();
    let mut rest = value;
    while let Some(start) = rest.find("=?") {
        characters.push_str(rest[..start].trim_ascii_end());
        let word = &rest[start + 2..];
        let (charset, word) = word.split_once('?')?;
        let (encoding, word) = word.split_once('?')?;
        let (text, after) = word.split_once("?=")?;
        if !charset.eq_ignore_ascii_case("utf-8") {
            return None;
        }
        let bytes = match encoding {
            "B" | "b" => STANDARD.decode(text).ok()?,
            "Q" | "q" => quoted(text)?,
            _ => return None,
        };
        characters.push_str(&String::from_utf8(bytes).ok()?);
        rest = if after.trim_ascii_start().starts_with("=?") { after.trim_ascii_start() } else { after };
    }
    characters.push_str(rest);
    if characters.is_ascii() {
        return Some(characters);
    }
    // A character that is no byte was not encoded twice.
    let bytes: Option<Vec<u8>> = characters.chars().map(|c| u8::try_from(u32::from(c)).ok()).collect();
    match bytes.map(String::from_utf8) {
        Some(Ok(text)) => Some(text),
        _ => Some(characters),
    }
}

fn quoted(text: &str) -> Option<Vec<u8>> {
    let (mut bytes, mut out) = (text.bytes(), Vec::with_capacity(text.len()));
    while let Some(byte) = bytes.next() {
        out.push(match byte {
            b'_' => b' ',
            b'=' => {
                let digits = [bytes.next()?, bytes.next()?];
                u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?
            }
            byte => byte,
        });
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_ascii_and_comes_back() {
        let description = Description::from([("ключ", "é\u{1F511}\u{7f}\"\\\n"), ("a", "")]);
        let json = description.to_json();
        assert!(json.bytes().all(|byte| (b' '..=b'~').contains(&byte)), "{json}");
        assert!(json.contains(r"\ud83d\udd11") && json.contains(r"\u007f"), "{json}");
        assert_eq!(Description::from_metadata(&json), Some(description));
    }

    #[test]
    fn what_is_no_object_of_strings_is_refused() {
        for json in ["", "{", "[]", "null", r#"{"a":1}"#, r#"{"a":"1","a":"2"}"#, r#"{"a":{}}"#, "{}x"] {
            assert_eq!(Description::from_metadata(json), None, "{json}");
        }
        assert_eq!(Description::from_metadata("{}"), Some(Description::new()));
    }

    // As S3 answers metadata whose value was {"k":"é"} in UTF-8.
    #[test]
    fn metadata_that_s3_has_encoded_is_read() {
        let twice = "{\"k\":\"Ã©\"}";
        let expected = Some(Description::from([("k", "é")]));
        for value in [
            twice.to_owned(),
            format!("=?UTF-8?B?{}?=", STANDARD.encode(twice)),
            "=?UTF-8?Q?{\"k\":\"=C3=83=C2=A9\"}?=".to_owned(),
            "{\"k\":\"é\"}".to_owned(),
        ] {
            assert_eq!(Description::from_metadata(&value), expected, "{value}");
        }
        for value in ["=?UTF-8?B?!!?=", "=?latin-1?Q?a?=", "=?UTF-8?Q?=4?=", "=?UTF-8?B?"] {
            assert_eq!(Description::from_metadata(value), None, "{value}");
        }
    }
}
