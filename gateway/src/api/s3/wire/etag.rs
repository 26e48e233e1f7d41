//! Entity tags: quoted on the wire, bare within.

/// `"etag"`.
pub fn quoted(etag: &str) -> String {
    format!("\"{etag}\"")
}

/// The bare tag of one as clients write it: quoted, weak, or (as many do) bare already.
pub fn bare(text: &str) -> &str {
    let text = text.trim();
    let text = text.strip_prefix("W/").unwrap_or(text);
    text.strip_prefix('"').and_then(|t| t.strip_suffix('"')).unwrap_or(text)
}

/// What an `If-Match` or `If-None-Match` names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ETagMatch {
    /// `*`.
    Any,
    /// These tags, bare.
    OneOf(Vec<String>),
}

impl ETagMatch {
    /// Reads a header's value: `*`, or tags with commas between.
    pub fn parse(value: &str) -> Self {
        if value.trim() == "*" {
            return Self::Any;
        }
        let mut tags = Vec::new();
        let mut rest = value;
        loop {
            rest = rest.trim_start_matches([',', ' ', '\t']);
            if rest.is_empty() {
                return Self::OneOf(tags);
            }
            // A quoted tag may have a comma within.
            let quoted = rest.strip_prefix("W/").unwrap_or(rest).strip_prefix('"');
            let end = match quoted.and_then(|q| q.find('"').map(|at| rest.len() - q.len() + at + 1)) {
                Some(end) => end,
                None => rest.find(',').unwrap_or(rest.len()),
            };
            tags.push(bare(&rest[..end]).to_owned());
            rest = &rest[end..];
        }
    }

    /// Does it name this (bare) tag?
    pub fn matches(&self, etag: &str) -> bool {
        match self {
            Self::Any => true,
            Self::OneOf(tags) => tags.iter().any(|tag| tag == etag),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_all_kinds() {
        let one_of = |tags: &[&str]| ETagMatch::OneOf(tags.iter().map(|&t| t.to_owned()).collect());
        assert_eq!(ETagMatch::parse(" * "), ETagMatch::Any);
        assert_eq!(ETagMatch::parse("\"a\""), one_of(&["a"]));
        assert_eq!(ETagMatch::parse("a-2"), one_of(&["a-2"]));
        assert_eq!(ETagMatch::parse("\"a,b\", W/\"c\" ,d,,"), one_of(&["a,b", "c", "d"]));
        assert_eq!(ETagMatch::parse("\"open"), one_of(&["\"open"]));
        assert_eq!(ETagMatch::parse(""), one_of(&[]));
        assert!(!ETagMatch::parse("").matches("a"));
        assert!(ETagMatch::parse("\"a\", \"b\"").matches("b"));
        assert_eq!(bare("\""), "\"");
    }

    proptest::proptest! {
        #[test]
        fn survives_anything(value in "[\"W/,a é*]{0,24}") {
            let _ = ETagMatch::parse(&value).matches("a");
        }
    }
}
