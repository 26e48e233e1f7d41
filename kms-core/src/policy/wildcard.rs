//! Patterns with `*` for any run of characters and `?` for any one, compared in time linear in pattern and text.

use std::collections::BTreeMap;

use memchr::memmem::Finder;

use super::work::Work;

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

/// A pattern, cut at its runs.
#[derive(Debug, Clone)]
pub(super) struct Pattern {
    /// What the text begins with.
    first: Segment,
    /// What follows the first run; `None` where there is no run, so that `first` is all of the text.
    behind: Option<Behind>,
}

#[derive(Debug, Clone)]
struct Behind {
    /// What stands between two runs, in this order.
    middle: Vec<Segment>,
    /// What the text ends with.
    last: Segment,
}

/// What stands between two runs.
#[derive(Debug, Clone)]
enum Segment {
    Literal(Box<Finder<'static>>),
    /// With a `?`, and short: compared at each place of the text.
    Short(Box<[Option<char>]>),
    /// With a `?`, and long: compared at all places of the text at once.
    Long(Box<[Option<char>]>, Box<[Block]>),
}

/// Is all of the text like the pattern (`*`, `?`)? For who reads policies; decisions compile theirs.
pub fn wildcard_matches(pattern: &str, text: &str) -> bool {
    let token = |c| match c {
        '*' => Token::Run,
        '?' => Token::One,
        c => Token::Char(c),
    };
    let tokens: Vec<Token> = pattern.chars().map(token).collect();
    Pattern::new(&tokens).matches(text, &Work::new())
}

/// The most characters of a segment that is compared place by place.
const SHORT: usize = 32;

impl Pattern {
    /// Compiles a pattern.
    pub(super) fn new(tokens: &[Token]) -> Self {
        let mut segments = tokens.split(|token| *token == Token::Run).map(Segment::new);
        // An empty list has one part too.
        let first = segments.next().unwrap_or_else(|| Segment::new(&[]));
        let mut middle: Vec<Segment> = segments.collect();
        let behind = middle.pop().map(|last| {
            middle.retain(|segment| !segment.is_empty());
            Behind { middle, last }
        });
        Self { first, behind }
    }

    /// Has it no wildcards?
    pub(super) fn is_fixed(&self) -> bool {
        self.behind.is_none() && matches!(self.first, Segment::Literal(_))
    }

    /// Is all of the text like it? Not, if the work runs out.
    pub(super) fn matches(&self, text: &str, work: &Work) -> bool {
        work.begin() && self.matches_within(text, work).is_some()
    }

    fn matches_within(&self, text: &str, work: &Work) -> Option<()> {
        let rest = self.first.strip_from_start(text, work)?;
        let Some(Behind { middle, last }) = &self.behind else { return rest.is_empty().then_some(()) };
        let rest = last.strip_from_end(rest, work)?;
        // The first place where a segment stands leaves the most to those behind it.
        middle.iter().try_fold(rest, |rest, segment| segment.find_in(rest, work)).map(|_| ())
    }
}

impl Segment {
    /// Of tokens none of which is a run.
    fn new(tokens: &[Token]) -> Self {
        let characters = tokens.iter().map(|token| match token {
            Token::Char(c) => Some(*c),
            Token::One | Token::Run => None,
        });
        if let Some(literal) = characters.clone().collect::<Option<String>>() {
            return Self::Literal(Box::new(Finder::new(&literal).into_owned()));
        }
        let all: Box<[_]> = characters.collect();
        if all.len() <= SHORT {
            return Self::Short(all);
        }
        let blocks = all.chunks(Block::LEN).map(Block::new).collect();
        Self::Long(all, blocks)
    }

    fn is_empty(&self) -> bool {
        matches!(self, Self::Literal(finder) if finder.needle().is_empty())
    }

    /// What follows it in a text that begins with it.
    fn strip_from_start<'t>(&self, text: &'t str, work: &Work) -> Option<&'t str> {
        match self {
            Self::Literal(finder) => {
                let needle = finder.needle();
                work.spend(needle.len().min(text.len()));
                if text.as_bytes().starts_with(needle) { text.get(needle.len()..) } else { None }
            }
            Self::Short(all) | Self::Long(all, _) => {
                work.spend(all.len().min(text.len()));
                let mut rest = text.chars();
                let fits = all.iter().all(|wanted| fits(*wanted, rest.next()));
                fits.then_some(rest.as_str())
            }
        }
    }

    /// What precedes it in a text that ends with it.
    fn strip_from_end<'t>(&self, text: &'t str, work: &Work) -> Option<&'t str> {
        match self {
            Self::Literal(finder) => {
                let needle = finder.needle();
                work.spend(needle.len().min(text.len()));
                let len = text.len().checked_sub(needle.len())?;
                if text.as_bytes().ends_with(needle) { text.get(..len) } else { None }
            }
            Self::Short(all) | Self::Long(all, _) => {
                work.spend(all.len().min(text.len()));
                let mut rest = text.chars();
                let fits = all.iter().rev().all(|wanted| fits(*wanted, rest.next_back()));
                fits.then_some(rest.as_str())
            }
        }
    }

    /// What follows the first place where it stands in the text.
    fn find_in<'t>(&self, text: &'t str, work: &Work) -> Option<&'t str> {
        let rest = match self {
            Self::Literal(finder) => {
                let found = finder.find(text.as_bytes());
                found.and_then(|at| text.get(at + finder.needle().len()..))
            }
            Self::Short(all) => text.char_indices().find_map(|(at, _)| {
                let mut rest = text.get(at..)?.chars();
                all.iter().all(|wanted| fits(*wanted, rest.next())).then_some(rest.as_str())
            }),
            Self::Long(all, blocks) => find_long(all.len(), blocks, text),
        };
        let passed_len = text.len() - rest.map_or(0, str::len);
        work.spend(match self {
            Self::Literal(_) => passed_len,
            Self::Short(all) => passed_len * all.len(),
            Self::Long(_, blocks) => passed_len * 4 * blocks.len(),
        });
        rest
    }
}

fn fits(wanted: Option<char>, given: Option<char>) -> bool {
    given.is_some() && (wanted.is_none() || wanted == given)
}

/// Up to 64 characters of a long segment: for each character, a bit for every place where it fits.
#[derive(Debug, Clone)]
struct Block {
    /// Where any character fits.
    any: u64,
    ascii: Box<[u64; 128]>,
    /// By character.
    others: Box<[(char, u64)]>,
}

impl Block {
    const LEN: usize = u64::BITS as usize;

    fn new(characters: &[Option<char>]) -> Self {
        let bits = || characters.iter().zip((0..).map(|place| 1_u64 << place));
        let any = bits().filter(|(c, _)| c.is_none()).fold(0, |all, (_, bit)| all | bit);
        let (mut ascii, mut others) = (Box::new([any; 128]), BTreeMap::new());
        for (c, bit) in bits().filter_map(|(c, bit)| Some(((*c)?, bit))) {
            match ascii.get_mut(c as usize) {
                Some(places) => *places |= bit,
                None => *others.entry(c).or_insert(any) |= bit,
            }
        }
        Self { any, ascii, others: others.into_iter().collect() }
    }

    fn places(&self, c: char) -> u64 {
        match self.ascii.get(c as usize) {
            Some(bits) => *bits,
            None => match self.others.binary_search_by_key(&c, |(other, _)| *other) {
                Ok(at) => self.others[at].1,
                Err(_) => self.any,
            },
        }
    }
}

/// Shift-And: bit n of the state says that the first n + 1 characters of the segment stand before here.
/// Baeza-Yates and Gonnet, A New Approach to Text Searching, CACM 35 (1992).
fn find_long<'t>(len: usize, blocks: &[Block], text: &'t str) -> Option<&'t str> {
    let mut state = vec![0_u64; blocks.len()];
    let all_bits = 1_u64 << ((len - 1) % Block::LEN);
    let mut rest = text.chars();
    while let Some(c) = rest.next() {
        let mut carried = 1;
        for (bits, block) in state.iter_mut().zip(blocks) {
            let shifted = *bits << 1 | carried;
            carried = *bits >> (Block::LEN - 1);
            *bits = shifted & block.places(c);
        }
        if state.last().is_some_and(|bits| bits & all_bits != 0) {
            return Some(rest.as_str());
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    fn tokens(pattern: &str) -> Vec<Token> {
        let token = |c| match c {
            '*' => Token::Run,
            '?' => Token::One,
            c => Token::Char(c),
        };
        pattern.chars().map(token).collect()
    }

    fn matches(pattern: &str, text: &str) -> bool {
        Pattern::new(&tokens(pattern)).matches(text, &Work::new())
    }

    /// By what the wildcards mean: row by row, whether the tokens so far match the characters so far.
    fn naive(pattern: &[Token], text: &str) -> bool {
        let text: Vec<char> = text.chars().collect();
        let mut row = vec![false; text.len() + 1];
        row[0] = true;
        for token in pattern {
            let mut next = vec![false; text.len() + 1];
            next[0] = row[0] && *token == Token::Run;
            for n in 0..text.len() {
                next[n + 1] = match token {
                    Token::Run => next[n] || row[n + 1],
                    Token::One => row[n],
                    Token::Char(c) => row[n] && *c == text[n],
                };
            }
            row = next;
        }
        row[text.len()]
    }

    #[test]
    fn wildcards() {
        for (pattern, text, expected) in [
            ("", "", true),
            ("", "a", false),
            ("*", "", true),
            ("**", "a", true),
            ("a*a", "a", false),
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
            assert_eq!(matches(pattern, text), expected, "{pattern} {text}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]

        #[test]
        fn as_the_naive_comparison_says(pattern in "[ab?*é]{0,12}", text in "[abé]{0,24}") {
            prop_assert_eq!(matches(&pattern, &text), naive(&tokens(&pattern), &text));
        }

        #[test]
        fn long_segments_too(
            segments in vec("[ab?]{0,4}[ab?é]{0,150}", 1..4),
            text in "[ab]{0,40}[abé]{0,400}",
            // Most random patterns match nothing, so some are made from the text.
            holes in vec(any::<bool>(), 440),
            is_of_text in any::<bool>(),
        ) {
            let pattern = match is_of_text {
                false => segments.join("*"),
                true => {
                    let middle = text.chars().zip(holes).skip(3).take(200);
                    format!("*{}*", middle.map(|(c, hole)| if hole { '?' } else { c }).collect::<String>())
                }
            };
            prop_assert_eq!(matches(&pattern, &text), naive(&tokens(&pattern), &text));
            prop_assert!(!is_of_text || matches(&pattern, &text));
        }
    }

    /// Seen before: 0.5 s and more for each of these.
    #[test]
    fn no_pattern_is_slow() {
        let text = "a".repeat(1024);
        for pattern in
            ["*a".repeat(600) + "b*a", "*?a".repeat(500) + "b*", "*".to_owned() + &"a?".repeat(600) + "b*a"]
        {
            let pattern = Pattern::new(&tokens(&pattern));
            let begun = Instant::now();
            for _ in 0..100 {
                assert!(!pattern.matches(&text, &Work::new()));
            }
            assert!(begun.elapsed() < Duration::from_millis(500), "{:?}", begun.elapsed());
        }
    }

    #[test]
    fn work_runs_out() {
        let pattern = Pattern::new(&tokens("*b*"));
        let (work, text) = (Work::new(), "a".repeat(1024));
        let mut comparisons = 0;
        while !work.is_spent() {
            assert!(!pattern.matches(&text, &work));
            comparisons += 1;
        }
        assert!((4_000..5_000).contains(&comparisons), "{comparisons}");
        assert!(!Pattern::new(&tokens("*")).matches("", &work));
    }
}
