//! Strings that must not be found, and the search for them.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::Finding;

/// Strings that must not stand in any file, by what they are.
pub(super) struct Canaries {
    planted: Vec<(String, Vec<u8>)>,
    /// A string that must be found, or else the search itself is broken.
    control: String,
}

impl Canaries {
    pub(super) fn new() -> Self {
        Self { planted: Vec::new(), control: format!("control-{}", random_word()) }
    }

    /// A new random string to plant as `what`.
    pub(super) fn word(&mut self, what: &str) -> String {
        let word = format!("canary-{}", random_word());
        self.add(what, word.as_bytes());
        word
    }

    /// Bytes that must not be found either.
    pub(super) fn add(&mut self, what: &str, bytes: &[u8]) {
        if !self.planted.iter().any(|(_, planted)| planted == bytes) {
            self.planted.push((what.to_owned(), bytes.to_owned()));
        }
    }

    /// What object names start with: names lie in the clear, so this must be found.
    pub(super) fn control(&self) -> &str {
        &self.control
    }

    /// Searches every file of a folder for every canary: as it is, in hexadecimal, and in base64 at each alignment.
    pub(super) fn search(&self, folder: &Path) -> anyhow::Result<Vec<Finding>> {
        let files = files_below(folder)?;
        let mut total_len = 0;
        let mut control_found = false;
        let mut found = vec![Vec::new(); self.planted.len()];
        let forms: Vec<Vec<Vec<u8>>> = self.planted.iter().map(|(_, bytes)| forms(bytes)).collect();
        for path in &files {
            let content = fs::read(path).with_context(|| path.display().to_string())?;
            total_len += content.len();
            control_found |= contains(&content, self.control.as_bytes());
            for (forms, found) in forms.iter().zip(&mut found) {
                if forms.iter().any(|form| contains(&content, form)) {
                    found.push(path.display().to_string());
                }
            }
        }
        let searched = format!("{} files, {} KiB", files.len(), total_len / 1024);
        let mut kinds: Vec<&str> = self.planted.iter().map(|(what, _)| what.as_str()).collect();
        kinds.sort_unstable();
        kinds.dedup();
        let mut findings = vec![Finding {
            check: "search control".to_owned(),
            detail: format!("object names, which are not sealed, are found in {searched}"),
            holds: control_found,
        }];
        for kind in kinds {
            let of_kind = self.planted.iter().zip(&found).filter(|((what, _), _)| what == kind);
            let (mut count, mut places) = (0, Vec::new());
            for (_, files) in of_kind {
                count += 1;
                places.extend(files.iter().cloned());
            }
            let detail = match places.first() {
                None => format!("{count} planted, none found"),
                Some(place) => format!("{count} planted, found in {} files, such as {place}", places.len()),
            };
            findings.push(Finding { check: kind.to_owned(), detail, holds: places.is_empty() });
        }
        Ok(findings)
    }
}

fn random_word() -> String {
    let mut bytes = [0; 12];
    getrandom::fill(&mut bytes).expect("the operating system gives random bytes");
    hex::encode(bytes)
}

/// A string as it may stand in a file.
fn forms(bytes: &[u8]) -> Vec<Vec<u8>> {
    let mut forms =
        vec![bytes.to_owned(), hex::encode(bytes).into_bytes(), hex::encode_upper(bytes).into_bytes()];
    for shift in 0..3 {
        // Where base64 starts in the middle of a string, only whole groups of three bytes look the same.
        let aligned = &bytes[shift.min(bytes.len())..];
        let whole = &aligned[..aligned.len() / 3 * 3];
        forms.push(STANDARD.encode(whole).into_bytes());
    }
    forms.retain(|form| form.len() >= 8);
    forms
}

/// Every regular file below a folder.
pub(super) fn files_below(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).with_context(|| folder.display().to_string())? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                folders.push(entry.path());
            } else {
                files.push(entry.path());
            }
        }
    }
    files.sort_unstable();
    Ok(files)
}

/// Does `needle` stand in `haystack`? Compares only where its first bytes stand.
fn contains(haystack: &[u8], needle: &[u8]) -> bool {
    let Some((&first, rest)) = needle.split_first() else { return false };
    let mut from = 0;
    while let Some(at) = haystack[from..].iter().position(|&b| b == first) {
        from += at + 1;
        if haystack[from..].starts_with(rest) {
            return true;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_canary_is_found_in_each_form_and_at_each_alignment() {
        let folder = tempfile::tempdir().unwrap();
        let mut canaries = Canaries::new();
        let word = canaries.word("bodies");
        let control = canaries.control().to_owned();
        fs::write(folder.path().join("control"), &control).unwrap();
        assert!(canaries.search(folder.path()).unwrap().iter().all(|f| f.holds));
        let planted: Vec<Vec<u8>> = vec![
            format!("..{word}..").into_bytes(),
            hex::encode(&word).into_bytes(),
            STANDARD.encode(&word).into_bytes(),
            STANDARD.encode(format!("x{word}")).into_bytes(),
            STANDARD.encode(format!("xy{word}")).into_bytes(),
        ];
        for content in planted {
            fs::write(folder.path().join("store"), content).unwrap();
            let findings = canaries.search(folder.path()).unwrap();
            assert!(findings.iter().any(|f| f.check == "bodies" && !f.holds));
        }
    }

    #[test]
    fn a_search_that_finds_no_control_fails() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("store"), "nothing").unwrap();
        assert!(!Canaries::new().search(folder.path()).unwrap()[0].holds);
    }
}
