//! Wildcards and policy variables: `*` for any run of characters, `?` for any one, `${name}` for the value of a condition key.
//! <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_variables.html>

use std::collections::BTreeMap;

/// A pattern as it stands in a policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Template(Vec<Piece>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Token(Token),
    /// A condition key, in lower case, and what stands for it where the request has none.
    Variable(String, Option<String>),
}

/// One step of a pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Token {
    /// This character.
    Char(char),
    /// Any one character.
    One,
    /// Any run of characters.
    Run,
}

impl Template {
    /// Reads a pattern; with `variables`, `${…}` is one. `None`: a variable is malformed.
    pub(super) fn parse(text: &str, variables: bool) -> Option<Self> {
        let mut pieces = Vec::new();
        let mut rest = text;
        while let Some(c) = rest.chars().next() {
            if let Some(inside) = rest.strip_prefix("${").filter(|_| variables) {
                let (name, behind) = inside.split_once('}')?;
                pieces.push(variable(name)?);
                rest = behind;
                continue;
            }
            rest = &rest[c.len_utf8()..];
            pieces.push(Piece::Token(match c {
                '*' => Token::Run,
                '?' => Token::One,
                c => Token::Char(c),
            }));
        }
        Some(Self(pieces))
    }

    /// Has it neither wildcards nor variables?
    pub(super) fn is_fixed(&self) -> bool {
        self.0.iter().all(|piece| matches!(piece, Piece::Token(Token::Char(_))))
    }

    /// With the values of its variables, in which no character is a wildcard. `None`: one has neither a single value nor a default.
    pub(super) fn resolve(&self, context: &BTreeMap<String, Vec<String>>) -> Option<Vec<Token>> {
        let mut tokens = Vec::with_capacity(self.0.len());
        for piece in &self.0 {
            match piece {
                Piece::Token(token) => tokens.push(*token),
                Piece::Variable(name, default) => {
                    let value = match context.get(name).map(Vec::as_slice) {
                        Some([single]) => single,
                        _ => default.as_ref()?,
                    };
                    tokens.extend(value.chars().map(Token::Char));
                }
            }
        }
        Some(tokens)
    }

    /// Does the text match, with the values of this request?
    pub(super) fn matches(&self, text: &str, context: &BTreeMap<String, Vec<String>>) -> bool {
        // What most statements say of resources.
        self.0 == [Piece::Token(Token::Run)]
            || self.resolve(context).is_some_and(|tokens| matches(&tokens, text))
    }

    /// Does the ARN match, field by field? No wildcard reaches over a colon but in the last field.
    pub(super) fn matches_arn(&self, text: &str, context: &BTreeMap<String, Vec<String>>) -> bool {
        let Some(tokens) = self.resolve(context) else { return false };
        if tokens == [Token::Run] {
            return true;
        }
        let patterns: Vec<&[Token]> = tokens.splitn(6, |token| *token == Token::Char(':')).collect();
        let fields: Vec<&str> = text.splitn(6, ':').collect();
        patterns.len() == 6
            && fields.len() == 6
            && patterns.iter().zip(fields).all(|(pattern, field)| matches(pattern, field))
    }

    /// Is it this very text, with the values of this request? Wildcards are ordinary characters here.
    pub(super) fn equals(
        &self,
        text: &str,
        context: &BTreeMap<String, Vec<String>>,
        same: fn(&str, &str) -> bool,
    ) -> bool {
        let text_of = |token| match token {
            Token::Char(c) => c,
            Token::One => '?',
            Token::Run => '*',
        };
        self.resolve(context)
            .is_some_and(|tokens| same(&tokens.into_iter().map(text_of).collect::<String>(), text))
    }
}

/// What stands between `${` and `}`.
fn variable(text: &str) -> Option<Piece> {
    if let "*" | "?" | "$" = text {
        return text.chars().next().map(|c| Piece::Token(Token::Char(c)));
    }
    let (name, default) = match text.split_once(',') {
        None => (text, None),
        Some((name, default)) => {
            (name, Some(default.trim().strip_prefix('\'')?.strip_suffix('\'')?.to_owned()))
        }
    };
    let name = name.trim();
    (!name.is_empty()).then(|| Piece::Variable(name.to_ascii_lowercase(), default))
}

/// Takes time linear in the text for each run at most.
fn matches(pattern: &[Token], text: &str) -> bool {
    let text: Vec<char> = text.chars().collect();
    let (mut p, mut t) = (0, 0);
    // Where to go on after a mismatch: behind the last run, one character of the text further.
    let mut retry: Option<(usize, usize)> = None;
    while t < text.len() {
        match pattern.get(p) {
            Some(Token::Run) => {
                retry = Some((p + 1, t));
                p += 1;
            }
            Some(Token::One) => (p, t) = (p + 1, t + 1),
            Some(Token::Char(c)) if *c == text[t] => (p, t) = (p + 1, t + 1),
            _ => match retry {
                Some((behind, from)) => {
                    retry = Some((behind, from + 1));
                    (p, t) = (behind, from + 1);
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|token| *token == Token::Run)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wildcards() {
        for (pattern, text, expected) in [
            ("", "", true),
            ("*", "", true),
            ("kms:*", "kms:Decrypt", true),
            ("kms:Generate*Key", "kms:GenerateDataKey", true),
            ("kms:Generate*Key", "kms:GenerateDataKeyPair", false),
            ("a?c", "abc", true),
            ("a?c", "aéc", true),
            ("a?c", "ac", false),
            ("*a*b*", "xxaxxbxx", true),
            ("*a*b*", "xxbxxaxx", false),
            ("abc", "abcd", false),
        ] {
            let template = Template::parse(pattern, true).unwrap();
            assert_eq!(template.matches(text, &BTreeMap::new()), expected, "{pattern} {text}");
        }
    }
}
