//! Pages of a listing.
//! <https://docs.aws.amazon.com/IAM/latest/UserGuide/programming.html#IAMPaging>

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::rules::{self, MARKER};
use crate::api::query::{Code, Parameters, Refusal};
use crate::api::xml::XmlWriter;

const DEFAULT_LEN: u32 = 100;
const MAX_LEN: u32 = 1000;
/// What a marker begins with, so that a foreign one is seen.
const PREFIX: &str = "sealgate:";

/// What a listing is asked for: so many, behind this one.
#[derive(Debug)]
pub(super) struct Page {
    len: usize,
    /// The key of the last one on the page before.
    after: Option<String>,
}

/// A part of a listing.
pub(super) struct Listed<T> {
    /// What is on this page, in order of key.
    pub(super) rows: Vec<T>,
    marker: Option<String>,
}

impl Page {
    /// `MaxItems` and `Marker`.
    pub(super) fn of(parameters: &Parameters) -> Result<Self, Refusal> {
        let len = rules::number(parameters, "MaxItems", (1, MAX_LEN))?.unwrap_or(DEFAULT_LEN) as usize;
        let marker = rules::optional(parameters, "Marker", MARKER)?;
        let invalid = || Refusal::new(Code::ValidationError, "Invalid Marker.");
        let after = marker.map(|marker| opened(marker).ok_or_else(invalid)).transpose()?;
        Ok(Self { len, after })
    }

    /// The rows of this page. Each has a key of its own, and keys order them.
    pub(super) fn cut<T>(&self, all: impl IntoIterator<Item = (String, T)>) -> Listed<T> {
        let behind = |key: &String| self.after.as_ref().is_none_or(|after| key > after);
        let mut rows: Vec<(String, T)> = all.into_iter().filter(|(key, _)| behind(key)).collect();
        rows.sort_by(|(a, _), (b, _)| a.cmp(b));
        let is_truncated = rows.len() > self.len;
        rows.truncate(self.len);
        let last = rows.last().filter(|_| is_truncated);
        let marker = last.map(|(key, _)| STANDARD.encode(format!("{PREFIX}{key}")));
        Listed { rows: rows.into_iter().map(|(_, row)| row).collect(), marker }
    }
}

fn opened(marker: &str) -> Option<String> {
    let text = String::from_utf8(STANDARD.decode(marker).ok()?).ok()?;
    text.strip_prefix(PREFIX).map(str::to_owned)
}

impl<T> Listed<T> {
    /// `IsTruncated`, and `Marker` where there is more.
    pub(super) fn write_end(&self, xml: &mut XmlWriter) {
        xml.boolean("IsTruncated", self.marker.is_some());
        xml.optional("Marker", self.marker.as_deref());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(text: &str) -> Result<Page, Refusal> {
        Page::of(&Parameters::parse(&[text.as_bytes()]).unwrap())
    }

    #[test]
    fn pages_follow_each_other() {
        let all = || (0..7).rev().map(|n| (format!("k{n}"), n));
        let (mut seen, mut marker) = (Vec::new(), String::new());
        for _ in 0..3 {
            let listed = page(&format!("MaxItems=3{marker}")).unwrap().cut(all());
            seen.extend(listed.rows);
            let Some(next) = listed.marker else { break };
            marker = format!("&Marker={}", next.replace('+', "%2B").replace('=', "%3D"));
        }
        assert_eq!(seen, [0, 1, 2, 3, 4, 5, 6]);
        assert!(page("MaxItems=7").unwrap().cut(all()).marker.is_none());
    }

    #[test]
    fn what_is_no_page() {
        for bad in ["MaxItems=0", "MaxItems=1001", "MaxItems=x", "Marker=", "Marker=bm8%3D", "Marker=!"] {
            assert!(page(bad).is_err(), "{bad}");
        }
    }
}
