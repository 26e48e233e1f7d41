//! Puts other names for principals into the text of a policy, and leaves the rest of it as it was written.

use serde_json::Value;

/// How deep objects and lists are nested where a statement's own elements stand: document, list of statements, statement.
const STATEMENT_DEPTH: usize = 3;

/// The text of a policy with another name in the place of each principal that `name_of` has one for.
pub fn rename_principals(text: &str, name_of: impl Fn(&str) -> Option<String>) -> String {
    let mut renamed = String::with_capacity(text.len());
    let mut depth = 0_usize;
    // How deep the element stands whose names are being read.
    let mut element = None;
    let mut rest = text;
    while let Some(at) = rest.find(['"', '{', '[', '}', ']', ',']) {
        let (between, from) = rest.split_at(at);
        renamed.push_str(between);
        if from.starts_with('"') {
            let (quoted, behind) = from.split_at(quoted_len(from));
            let string = serde_json::from_str::<String>(quoted).ok();
            let is_name = behind.trim_start().starts_with(':');
            let is_element = matches!(string.as_deref(), Some("Principal" | "NotPrincipal"));
            if is_name && is_element && depth <= STATEMENT_DEPTH {
                element = Some(depth);
            }
            match string.filter(|_| element.is_some() && !is_name).and_then(|string| name_of(&string)) {
                Some(name) => renamed.push_str(&Value::from(name).to_string()),
                None => renamed.push_str(quoted),
            }
            rest = behind;
            continue;
        }
        let (sign, behind) = from.split_at(1);
        match sign {
            "{" | "[" => depth += 1,
            "}" | "]" => depth = depth.saturating_sub(1),
            _ => {}
        }
        let is_over = |at| if sign == "," { depth == at } else { depth < at };
        element = element.filter(|at| !is_over(*at));
        renamed.push_str(sign);
        rest = behind;
    }
    renamed + rest
}

/// How long the string at the beginning of a text is, with its quotes.
fn quoted_len(text: &str) -> usize {
    let mut escaped = false;
    for (at, byte) in text.bytes().enumerate().skip(1) {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return at + 1,
            _ => {}
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn principals_are_renamed_and_nothing_else() {
        let name_of = |name: &str| (name == "arn:a/b").then(|| "AIDA1".to_owned());
        for (text, expected) in [
            (
                r#"{"Statement":{"Principal":{"AWS":"arn:a/b"}}}"#,
                r#"{"Statement":{"Principal":{"AWS":"AIDA1"}}}"#,
            ),
            (
                r#"{ "Id":"arn:a/b", "Statement":[{"Sid":"arn:a/b","Principal" : { "AWS" : [ "x" , "arn:a\/b","\"" ]} , "Action":"arn:a/b"}]}"#,
                r#"{ "Id":"arn:a/b", "Statement":[{"Sid":"arn:a/b","Principal" : { "AWS" : [ "x" , "AIDA1","\"" ]} , "Action":"arn:a/b"}]}"#,
            ),
            (
                r#"{"Statement":[{"NotPrincipal":{"AWS":"arn:a/b"},"Condition":{"ArnEquals":{"Principal":"arn:a/b"}}},{"Principal":"*","Sid":"arn:a/b"}]}"#,
                r#"{"Statement":[{"NotPrincipal":{"AWS":"AIDA1"},"Condition":{"ArnEquals":{"Principal":"arn:a/b"}}},{"Principal":"*","Sid":"arn:a/b"}]}"#,
            ),
            (r#"{"Principal":"#, r#"{"Principal":"#),
            (r#"["é","arn:a/b"#, r#"["é","arn:a/b"#),
        ] {
            assert_eq!(rename_principals(text, name_of), expected);
        }
    }
}
