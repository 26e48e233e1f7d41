//! What the words promise: links lead somewhere, settings exist, and the guide knows every setting and every error code.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use crate::workspace;

/// Every Markdown file that the project publishes, by its path from the top of the tree.
fn pages() -> BTreeMap<PathBuf, String> {
    let mut found = BTreeMap::new();
    let mut folders = vec![workspace()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            let is_foreign =
                name.starts_with('.') || ["target", "node_modules", "dist"].contains(&name.as_str());
            if is_foreign || path.is_symlink() {
                continue;
            }
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "md") {
                let text = fs::read_to_string(&path).unwrap();
                found.insert(path.strip_prefix(workspace()).unwrap().to_owned(), text);
            }
        }
    }
    assert!(found.contains_key(Path::new("docs/README.md")), "the guide has no index");
    found
}

/// The lines outside of code blocks, each with its number.
fn prose(text: &str) -> Vec<(usize, &str)> {
    let mut is_code = false;
    let outside = |(index, line): (usize, _)| {
        let line: &str = line;
        if line.trim_start().starts_with("```") {
            is_code = !is_code;
            return None;
        }
        (!is_code).then_some((index + 1, line))
    };
    text.lines().enumerate().filter_map(outside).collect()
}

/// What stands in code blocks whose first line says this.
fn blocks<'a>(text: &'a str, kind: &str) -> Vec<&'a str> {
    let begin = format!("```{kind}\n");
    text.split(begin.as_str()).skip(1).filter_map(|rest| rest.split("```").next()).collect()
}

/// The text without what stands between backquotes.
fn without_code(line: &str) -> String {
    line.split('`').step_by(2).collect::<Vec<_>>().join("`")
}

/// The anchors of a page: those that GitHub makes of its headings.
fn anchors(text: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for (_, line) in prose(text) {
        let title = line.trim_start_matches('#');
        if title.len() == line.len() || !title.starts_with(' ') {
            continue;
        }
        let kept = title.trim().chars().filter(|c| c.is_alphanumeric() || [' ', '-', '_'].contains(c));
        let slug: String =
            kept.flat_map(char::to_lowercase).map(|c| if c == ' ' { '-' } else { c }).collect();
        let mut numbered = slug.clone();
        let mut number = 0;
        while !found.insert(numbered) {
            number += 1;
            numbered = format!("{slug}-{number}");
        }
    }
    found
}

#[test]
fn links_lead_somewhere() {
    let pages = pages();
    let mut broken = Vec::new();
    let mut count = 0;
    for (page, text) in &pages {
        for (number, line) in prose(text) {
            let line = without_code(line);
            let inline = line.split("](").skip(1).filter_map(|rest| rest.split([')', ' ']).next());
            let of_pictures = ["src=\"", "srcset=\"", "href=\""].into_iter().flat_map(|attribute| {
                line.split(attribute).skip(1).filter_map(|rest| rest.split('"').next())
            });
            for link in inline.chain(of_pictures) {
                // Names of Rust's are rustdoc's to resolve.
                if link.starts_with("https://") || link.starts_with("http://") || link.contains("::") {
                    continue;
                }
                count += 1;
                let (path, anchor) =
                    link.split_once('#').map_or((link, None), |(path, anchor)| (path, Some(anchor)));
                let folder = page.parent().unwrap();
                let target = match path {
                    "" => page.clone(),
                    _ => folder.join(path),
                };
                let whole = workspace().join(&target);
                let leads = match anchor {
                    None => whole.exists(),
                    Some(anchor) => {
                        fs::read_to_string(&whole).is_ok_and(|text| anchors(&text).contains(anchor))
                    }
                };
                if !leads {
                    broken.push(format!("{}:{number}: {link}", page.display()));
                }
            }
        }
    }
    assert!(count > 50, "{count} links are too few: are they found?");
    assert!(broken.is_empty(), "links that lead nowhere:\n{}", broken.join("\n"));
}

/// Every setting with its default as text, where the example says one: from its lines `#name = value`.
fn settings() -> BTreeMap<String, String> {
    let example = fs::read_to_string(workspace().join("deploy/sealgate.toml")).unwrap();
    let lines = example.lines().filter_map(|line| line.strip_prefix('#')?.split_once(" = "));
    let named = lines
        .filter(|(name, _)| name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_'));
    let found: BTreeMap<_, _> = named.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    assert!(found.len() > 50, "the example has {} settings: are they found?", found.len());
    found
}

#[test]
fn the_guide_has_every_setting() {
    let text = fs::read_to_string(workspace().join("docs/configure.md")).unwrap();
    let rows = text.lines().filter_map(|line| line.strip_prefix("| `")?.split_once('`'));
    let mut told: BTreeMap<&str, &str> = BTreeMap::new();
    for (name, row) in rows {
        assert!(told.insert(name, row).is_none(), "docs/configure.md has {name} twice");
    }
    let settings = settings();
    let source = fs::read_to_string(workspace().join("gateway/src/config/mod.rs")).unwrap();
    let without =
        source.split("const WITHOUT_DEFAULT").nth(1).and_then(|rest| rest.split("];").next()).unwrap();
    // Of these the default goes by another setting.
    let derived = ["root_key", "inline_len", "blob_retention_s"];
    for (name, value) in &settings {
        let row = told.get(name.as_str());
        let row = row.unwrap_or_else(|| panic!("docs/configure.md has no row `{name}`"));
        let default = row.split(" | ").nth(1).unwrap_or_default();
        let is_example = without.contains(&format!("\"{name}\"")) || derived.contains(&name.as_str());
        assert!(
            is_example || default == format!("`{value}`"),
            "docs/configure.md tells {default} as the default of {name}, deploy/sealgate.toml {value}"
        );
    }
    let unknown: Vec<_> = told.keys().filter(|name| !settings.contains_key(**name)).collect();
    assert!(unknown.is_empty(), "docs/configure.md has settings that there are not: {unknown:?}");
}

/// Settings of PostgreSQL and of clients, which pages tell people to set.
const OF_OTHERS: [&str; 4] =
    ["max_locks_per_transaction", "recovery_target_action", "use_path_style", "s3_use_path_style"];

#[test]
fn settings_that_pages_name_exist() {
    let settings = settings();
    for (page, text) in pages() {
        for block in blocks(&text, "toml") {
            for name in
                block.lines().filter_map(|line| Some(line.trim_start_matches('#').split_once(" = ")?.0))
            {
                let is_other = page.starts_with("gateway/encryption-client");
                assert!(
                    is_other || settings.contains_key(name),
                    "{}: there is no setting {name}",
                    page.display()
                );
            }
        }
        for (number, line) in prose(&text) {
            for span in line.split('`').skip(1).step_by(2) {
                let Some((name, _)) = span.split_once(" = ") else { continue };
                let is_name = name.contains('_')
                    && name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_')
                    && !OF_OTHERS.contains(&name);
                assert!(
                    !is_name || settings.contains_key(name),
                    "{}:{number}: there is no setting {name}",
                    page.display()
                );
            }
        }
    }
}

/// What stands between these two in each line of a source that has both.
fn between(source: &str, begin: &str, end: &str) -> BTreeSet<String> {
    let text = fs::read_to_string(workspace().join(source)).unwrap();
    let found: BTreeSet<_> = text
        .lines()
        .filter_map(|line| line.split_once(begin)?.1.split_once(end).map(|(name, _)| name.to_owned()))
        .filter(|name| name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'.'))
        .collect();
    assert!(found.len() > 20, "{source}: {} codes are too few: are they found?", found.len());
    found
}

#[test]
fn the_guide_has_every_error_code() {
    let text = fs::read_to_string(workspace().join("docs/errors.md")).unwrap();
    let section = |title: &str| {
        let begin = text.split(&format!("\n## {title}\n")).nth(1);
        let begin = begin.unwrap_or_else(|| panic!("docs/errors.md has no section {title}"));
        begin.split("\n## ").next().unwrap()
    };
    let s3 = between("gateway/src/api/s3/error/code.rs", " = \"", "\", ");
    let (of_kms, s3): (BTreeSet<_>, BTreeSet<_>) = s3.into_iter().partition(|code| code.starts_with("KMS."));
    let mut kms = between("kms-core/src/error.rs", "=> \"", "\"");
    kms.extend(of_kms.iter().filter_map(|code| code.strip_prefix("KMS.")).map(str::to_owned));
    // What is refused before KMS is asked.
    for (_, source) in crate::sources("gateway/src/api/kms") {
        let named = source.split('"').skip(1).step_by(2).filter(|name| name.ends_with("Exception"));
        kms.extend(named.filter(|name| name.bytes().all(|b| b.is_ascii_alphabetic())).map(str::to_owned));
    }
    let query = fs::read_to_string(workspace().join("gateway/src/api/query/error.rs")).unwrap();
    let query = query.split("\ncodes! {\n").nth(1).and_then(|rest| rest.split('}').next()).unwrap();
    let iam: BTreeSet<_> =
        query.lines().filter_map(|line| line.split_whitespace().next()).map(str::to_owned).collect();
    for (title, codes) in [("S3", s3), ("KMS", kms), ("IAM and STS", iam)] {
        let rows = section(title).lines().filter_map(|line| line.strip_prefix("| `")?.split_once('`'));
        let told: BTreeMap<&str, &str> = rows.collect();
        for code in &codes {
            let row = told.get(code.as_str());
            let row = row.unwrap_or_else(|| panic!("docs/errors.md, section {title}: no row `{code}`"));
            let what_to_do = row.trim_end_matches('|').rsplit(" | ").next().unwrap_or_default().trim();
            assert!(what_to_do.len() > 10, "docs/errors.md does not say what to do about {code}");
        }
        let unknown: Vec<_> = told.keys().filter(|code| !codes.contains(**code)).collect();
        assert!(unknown.is_empty(), "docs/errors.md, section {title}: nothing answers {unknown:?}");
    }
}
