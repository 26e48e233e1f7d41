//! Texts of policies as they are compared: with wildcards and policy variables (`${name}`, the value of a condition key).
//! <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_variables.html>

use super::values::Values;
use super::wildcard::{Pattern, Token};
use super::work::Work;

/// How a text of a policy is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Comparison {
    /// It is this very text; wildcards are ordinary characters.
    Equal,
    /// As [`Comparison::Equal`], whatever the case.
    EqualIgnoringCase,
    /// With wildcards.
    Like,
    /// With wildcards, field by field: none reaches over a colon but in the last field.
    Arn,
}

/// A text as it stands in a policy.
#[derive(Debug, Clone)]
pub(super) struct Template {
    comparison: Comparison,
    text: Text,
}

#[derive(Debug, Clone)]
enum Text {
    /// Without variables.
    Compiled(Compiled),
    WithVariables(Vec<Piece>),
}

/// A text that is ready to be compared.
#[derive(Debug, Clone)]
enum Compiled {
    Equal(String),
    /// In lower case.
    EqualIgnoringCase(String),
    Like(Pattern),
    Fields(Box<[Pattern; ARN_FIELDS]>),
    /// An ARN that has too few fields to be one.
    Nothing,
}

/// Partition, service, region, account and resource, behind `arn`.
const ARN_FIELDS: usize = 6;

#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Token(Token),
    Variable {
        /// A condition key as it was written.
        written: String,
        /// In lower case.
        name: String,
        /// What stands for it where the request has none.
        default: Option<String>,
    },
}

impl Template {
    /// Reads a text; with `variables`, `${…}` is one. `None`: a variable is malformed.
    pub(super) fn parse(text: &str, comparison: Comparison, variables: bool) -> Option<Self> {
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
                Piece::Variable { .. } => None,
            })
            .collect();
        let text = match plain {
            Some(tokens) => Text::Compiled(Compiled::new(&tokens, comparison)),
            None => Text::WithVariables(pieces),
        };
        Some(Self { comparison, text })
    }

    /// Has it neither wildcards nor variables?
    pub(super) fn is_fixed(&self) -> bool {
        match &self.text {
            Text::Compiled(compiled) => compiled.is_fixed(),
            Text::WithVariables(_) => false,
        }
    }

    /// The condition keys that its variables stand for, as they were written.
    pub(super) fn variables(&self) -> impl Iterator<Item = &str> {
        let pieces = match &self.text {
            Text::Compiled(_) => &[],
            Text::WithVariables(pieces) => pieces.as_slice(),
        };
        pieces.iter().filter_map(|piece| match piece {
            Piece::Token(_) => None,
            Piece::Variable { written, .. } => Some(written.as_str()),
        })
    }

    /// Does the text match, with the values of this request? Not, if the work runs out.
    pub(super) fn matches(&self, text: &str, values: &dyn Values, work: &Work) -> bool {
        match &self.text {
            Text::Compiled(compiled) => compiled.matches(text, work),
            Text::WithVariables(pieces) => resolve(pieces, values).is_some_and(|tokens| {
                // To compile it takes a few steps a character.
                work.spend(4 * tokens.len());
                Compiled::new(&tokens, self.comparison).matches(text, work)
            }),
        }
    }
}

/// With the values of its variables, in which no character is a wildcard. `None`: one has neither a single value nor a default.
fn resolve(pieces: &[Piece], values: &dyn Values) -> Option<Vec<Token>> {
    let mut tokens = Vec::with_capacity(pieces.len());
    for piece in pieces {
        match piece {
            Piece::Token(token) => tokens.push(*token),
            Piece::Variable { name, default, .. } => {
                let value = match values.get(name) {
                    [single] => single,
                    _ => default.as_ref()?,
                };
                tokens.extend(value.chars().map(Token::Char));
            }
        }
    }
    Some(tokens)
}

impl Compiled {
    fn new(tokens: &[Token], comparison: Comparison) -> Self {
        let written = || tokens.iter().copied().map(as_written);
        match comparison {
            Comparison::Equal => Self::Equal(written().collect()),
            Comparison::EqualIgnoringCase => {
                Self::EqualIgnoringCase(written().flat_map(char::to_lowercase).collect())
            }
            Comparison::Like => Self::Like(Pattern::new(tokens)),
            Comparison::Arn if *tokens == [Token::Run] => Self::Like(Pattern::new(tokens)),
            Comparison::Arn => {
                let fields = tokens.splitn(ARN_FIELDS, |token| *token == Token::Char(':'));
                let fields: Vec<Pattern> = fields.map(Pattern::new).collect();
                fields.try_into().map_or(Self::Nothing, Self::Fields)
            }
        }
    }

    fn is_fixed(&self) -> bool {
        match self {
            // As for AWS, which is strict here: a wildcard counts even where it means itself.
            Self::Equal(text) | Self::EqualIgnoringCase(text) => !text.contains(['*', '?']),
            Self::Like(pattern) => pattern.is_fixed(),
            Self::Fields(fields) => fields.iter().all(Pattern::is_fixed),
            Self::Nothing => true,
        }
    }

    fn matches(&self, text: &str, work: &Work) -> bool {
        match self {
            Self::Equal(own) => work.begin() && own == text,
            Self::EqualIgnoringCase(own) => {
                work.spend(own.len().min(text.len()));
                work.begin() && own.chars().eq(text.chars().flat_map(char::to_lowercase))
            }
            Self::Like(pattern) => pattern.matches(text, work),
            Self::Fields(patterns) => {
                let mut fields = text.splitn(ARN_FIELDS, ':');
                patterns.iter().all(|p| fields.next().is_some_and(|field| p.matches(field, work)))
            }
            Self::Nothing => false,
        }
    }
}

fn as_written(token: Token) -> char {
    match token {
        Token::Char(c) => c,
        Token::One => '?',
        Token::Run => '*',
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
    let written = name.trim().to_owned();
    let name = written.to_ascii_lowercase();
    (!name.is_empty()).then_some(Piece::Variable { written, name, default })
}
