//! The parameters of a request: of a form, or of a query string.
//! <https://docs.aws.amazon.com/IAM/latest/APIReference/IAM_CommonParameters.html>

use std::collections::BTreeMap;

use percent_encoding::percent_decode;

use super::error::{Code, Refusal};

/// The most parameters that are read.
const MAX_PARAMETERS: usize = 2_000;

/// Parameters by name. Of one that is given twice the first counts.
#[derive(Debug, Clone, Default)]
pub struct Parameters(BTreeMap<String, String>);

impl Parameters {
    /// Reads `name=value&…`, of a form and of a query string.
    pub fn parse(sources: &[&[u8]]) -> Result<Self, Refusal> {
        let mut all = BTreeMap::new();
        let pairs = sources.iter().flat_map(|source| source.split(|&b| b == b'&'));
        for (count, pair) in pairs.filter(|pair| !pair.is_empty()).enumerate() {
            if count == MAX_PARAMETERS {
                let message = format!("The request has more than {MAX_PARAMETERS} parameters.");
                return Err(Refusal::new(Code::ValidationError, message));
            }
            let at = pair.iter().position(|&b| b == b'=');
            let (name, value) = at.map_or((pair, &b""[..]), |at| (&pair[..at], &pair[at + 1..]));
            all.entry(decoded(name)?).or_insert(decoded(value)?);
        }
        Ok(Self(all))
    }

    /// These.
    pub fn of(pairs: &[(&str, &str)]) -> Self {
        Self(pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect())
    }

    /// A parameter's value.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// All parameters, by name.
    pub fn all(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// The names of all parameters.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// A list of texts: `Name.member.1`, `Name.member.2`, …, in order of their numbers.
    pub fn list(&self, name: &str) -> Vec<&str> {
        let mut members: Vec<(u32, &str)> = self
            .below(&format!("{name}.member."))
            .filter_map(|(rest, value)| Some((rest.parse().ok()?, value)))
            .collect();
        members.sort_unstable_by_key(|(number, _)| *number);
        members.into_iter().map(|(_, value)| value).collect()
    }

    /// A list of structures, `Name.member.1.Key`, …: the parameters of each, by what is behind its number.
    pub fn structures(&self, name: &str) -> Vec<Self> {
        let mut members: BTreeMap<u32, Self> = BTreeMap::new();
        for (rest, value) in self.below(&format!("{name}.member.")) {
            if let Some((number, field)) = rest.split_once('.')
                && let Ok(number) = number.parse()
            {
                members.entry(number).or_default().0.insert(field.to_owned(), value.to_owned());
            }
        }
        members.into_values().collect()
    }

    /// Those whose names start so, with what follows in their names.
    fn below(&self, prefix: &str) -> impl Iterator<Item = (&str, &str)> {
        let from = self.0.range(prefix.to_owned()..);
        from.map_while(move |(name, value)| Some((name.strip_prefix(prefix)?, value.as_str())))
    }
}

fn decoded(bytes: &[u8]) -> Result<String, Refusal> {
    let spaced: Vec<u8> = bytes.iter().map(|&b| if b == b'+' { b' ' } else { b }).collect();
    let decoded = percent_decode(&spaced).decode_utf8();
    let not_text =
        |_| Refusal::new(Code::ValidationError, "A parameter of the request is not text in UTF-8.");
    decoded.map(Into::into).map_err(not_text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Parameters {
        Parameters::parse(&[text.as_bytes()]).unwrap()
    }

    #[test]
    fn values_are_decoded() {
        let parameters = parsed("Action=A&Name=a+b%2Bc%20%C3%BC&Empty=&Bare&Name=second");
        assert_eq!(parameters.get("Name"), Some("a b+c ü"));
        assert_eq!(parameters.get("Empty"), Some(""));
        assert_eq!(parameters.get("Bare"), Some(""));
        assert_eq!(parameters.get("Other"), None);
        assert_eq!(Parameters::parse(&[b"a=1", b"a=2&b=3"]).unwrap().get("b"), Some("3"));
    }

    #[test]
    fn lists_are_in_order_of_numbers() {
        let parameters =
            parsed("L.member.10=j&L.member.2=b&L.member.1=a&L.member.x=?&Lx.member.1=?&L.member.3.K=?");
        assert_eq!(parameters.list("L"), ["a", "b", "j"]);
        assert!(parameters.list("None").is_empty());
        let parameters =
            parsed("T.member.2.Key=k2&T.member.1.Key=k1&T.member.1.Value=v&T.member.2.L.member.1=x");
        let tags = parameters.structures("T");
        assert_eq!(tags.iter().map(|tag| tag.get("Key").unwrap()).collect::<Vec<_>>(), ["k1", "k2"]);
        assert_eq!(tags[0].get("Value"), Some("v"));
        assert_eq!(tags[1].list("L"), ["x"]);
    }

    #[test]
    fn is_bounded_and_of_text() {
        let many = "a=1&".repeat(MAX_PARAMETERS);
        assert!(Parameters::parse(&[many.as_bytes()]).is_ok());
        assert!(Parameters::parse(&[format!("{many}b=2").as_bytes()]).is_err());
        assert!(Parameters::parse(&[b"a=%ff"]).is_err());
        assert!(Parameters::parse(&[b"a=\xff"]).is_err());
    }

    proptest::proptest! {
        #[test]
        fn anything_is_read_or_refused(text in "[a-c.=&%+0-9]{0,80}") {
            if let Ok(parameters) = Parameters::parse(&[text.as_bytes()]) {
                for name in parameters.names() {
                    parameters.list(name);
                    parameters.structures(name);
                }
            }
        }
    }
}
