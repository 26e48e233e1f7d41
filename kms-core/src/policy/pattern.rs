//! Wildcards and policy variables: `*` for any run of characters, `?` for any one, `${name}` for the value of a condition key.
//! <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_variables.html>

use std::borrow::Cow;

use super::values::Values;

/// A pattern as it stands in a policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Template {
    /// Without variables.
    Plain(Vec<Token>),
    WithVariables(Vec<Piece>),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Piece {
    Token(Token),
    /// A condition key as it was written, and what stands for it where the request has none.
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
        let plain: Option<Vec<Token>> = pieces
            .iter()
            .map(|piece| match piece {
                Piece::Token(token) => Some(*token),
                Piece::Variable(..) => None,
            })
            .collect();
        Some(plain.map_or(Self::WithVariables(pieces), Self::Plain))
    }

    /// Has it neither wildcards nor variables?
    pub(super) fn is_fixed(&self) -> bool {
        match self {
            Self::Plain(tokens) => tokens.iter().all(|token| matches!(token, Token::Char(_))),
            Self::WithVariables(_) => false,
        }
    }

    /// The condition keys that its variables stand for, as they were written.
    pub(super) fn variables(&self) -> impl Iterator<Item = &str> {
        let pieces = match self {
            Self::Plain(_) => &[],
            Self::WithVariables(pieces) => pieces.as_slice(),
        };
        pieces.iter().filter_map(|piece| match piece {
            Piece::Token(_) => None,
            Piece::Variable(name, _) => Some(name.as_str()),
        })
    }

    /// With the values of its variables, in which no character is a wildcard. `None`: one has neither a single value nor a default.
    fn resolve(&self, values: &dyn Values) -> Option<Cow<'_, [Token]>> {
        let pieces = match self {
            Self::Plain(tokens) => return Some(Cow::Borrowed(tokens)),
            Self::WithVariables(pieces) => pieces,
        };
        let mut tokens = Vec::with_capacity(pieces.len());
        for piece in pieces {
            match piece {
                Piece::Token(token) => tokens.push(*token),
                Piece::Variable(name, default) => {
                    let value = match values.get(&name.to_ascii_lowercase()) {
                        [single] => single,
                        _ => default.as_ref()?,
                    };
                    tokens.extend(value.chars().map(Token::Char));
                }
            }
        }
        Some(Cow::Owned(tokens))
    }

    /// Does the text match, with the values of this request?
    pub(super) fn matches(&self, text: &str, values: &dyn Values) -> bool {
        self.resolve(values).is_some_and(|tokens| matches(&tokens, text))
    }

    /// Does the ARN match, field by field? No wildcard reaches over a colon but in the last field.
    pub(super) fn matches_arn(&self, text: &str, values: &dyn Values) -> bool {
        let Some(tokens) = self.resolve(values) else { return false };
        if *tokens == [Token::Run] {
            return true;
        }
        let patterns: Vec<&[Token]> = tokens.splitn(6, |token| *token == Token::Char(':')).collect();
        let fields: Vec<&str> = text.splitn(6, ':').collect();
        patterns.len() == 6
            && fields.len() == 6
            && patterns.iter().zip(fields).all(|(pattern, field)| matches(pattern, field))
    }

    /// Is it this very text, with the values of this request? Wildcards are ordinary characters here.
    pub(super) fn equals(&self, text: &str, values: &dyn Values) -> bool {
        self.resolve(values)
            .is_some_and(|tokens| tokens.iter().copied().map(Token::as_written).eq(text.chars()))
    }

    /// As [`Template::equals`], whatever the case.
    pub(super) fn equals_ignoring_case(&self, text: &str, values: &dyn Values) -> bool {
        let lower = |c: char| c.to_lowercase();
        self.resolve(values).is_some_and(|tokens| {
            let own = tokens.iter().copied().map(Token::as_written).flat_map(lower);
            own.eq(text.chars().flat_map(lower))
        })
    }
}

impl Token {
    fn as_written(self) -> char {
        match self {
            Self::Char(c) => c,
            Self::One => '?',
            Self::Run => '*',
        }
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
    (!name.is_empty()).then(|| Piece::Variable(name.to_owned(), default))
}

/// Takes time linear in the text for each run at most, and no memory.
fn matches(pattern: &[Token], text: &str) -> bool {
    let (mut p, mut rest) = (0, text);
    // Where to go on after a mismatch: behind the last run, one character of the text further.
    let mut retry: Option<(usize, &str)> = None;
    while let Some(next) = rest.chars().next() {
        let behind = &rest[next.len_utf8()..];
        match pattern.get(p) {
            // What ends with a run matches whatever follows.
            Some(Token::Run) if p + 1 == pattern.len() => return true,
            Some(Token::Run) => {
                retry = Some((p + 1, rest));
                p += 1;
            }
            Some(Token::One) => (p, rest) = (p + 1, behind),
            Some(Token::Char(c)) if *c == next => (p, rest) = (p + 1, behind),
            _ => {
                let Some((after_run, from)) = retry else { return false };
                let Some(skipped) = from.chars().next() else { return false };
                let from = &from[skipped.len_utf8()..];
                retry = Some((after_run, from));
                (p, rest) = (after_run, from);
            }
        }
    }
    pattern[p..].iter().all(|token| *token == Token::Run)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

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
            assert_eq!(
                template.matches(text, &BTreeMap::<String, Vec<String>>::new()),
                expected,
                "{pattern} {text}"
            );
        }
    }
}
