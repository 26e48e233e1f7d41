//! Where in a policy's text its statements stand.

/// A place in a text, both counted from one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Position {
    pub(super) line: u64,
    pub(super) column: u64,
}

/// Where each statement of a well-formed policy begins and ends, in their order.
pub(super) fn statements(text: &str) -> Vec<(Position, Position)> {
    let mut found = Vec::new();
    let mut at = Position { line: 1, column: 0 };
    // What is open: objects and lists, the outermost first.
    let mut open: Vec<(char, Position)> = Vec::new();
    let mut string: Option<String> = None;
    let (mut is_escaped, mut name) = (false, String::new());
    for c in text.chars() {
        at.column += 1;
        if let Some(content) = &mut string {
            match c {
                _ if is_escaped => is_escaped = false,
                '\\' => is_escaped = true,
                '"' => {
                    // At the outermost object every text is a name or the value of one that has no statements.
                    if open.len() == 1 {
                        name = std::mem::take(content);
                    }
                    string = None;
                }
                c => content.push(c),
            }
        } else {
            match c {
                '"' => string = Some(String::new()),
                '{' | '[' => open.push((c, at)),
                '}' | ']' => {
                    let Some((opened, begin)) = open.pop() else { return found };
                    let is_statement = match open.as_slice() {
                        [_] => opened == '{',
                        [_, ('[', _)] => opened == '{',
                        _ => false,
                    };
                    if is_statement && name == "Statement" {
                        found.push((begin, at));
                    }
                }
                _ => {}
            }
        }
        if c == '\n' {
            at = Position { line: at.line + 1, column: 0 };
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_and_single_statements() {
        let at = |line, column| Position { line, column };
        let single =
            r#"{"Version":"2012-10-17","Statement":{"Effect":"Allow","Condition":{"Bool":{"a":"}\"{"}}}}"#;
        assert_eq!(statements(single), [(at(1, 37), at(1, single.len() as u64 - 1))]);
        let list = "{\n  \"Statement\": [\n    {\"Sid\": \"ü\"},\n    {\n    }\n  ],\n  \"Id\": \"{}\"\n}";
        assert_eq!(statements(list), [(at(3, 5), at(3, 16)), (at(4, 5), at(5, 5))]);
        assert!(statements("{\"Id\":{}}").is_empty());
        assert!(statements("]").is_empty());
    }
}
