//! The house's invariants that a compiler doesn't check: which way edges point, and where things may stand.

#![allow(clippy::unwrap_used)] // A test may.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

#[path = "tidy/guide.rs"]
mod guide;

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the crate lies in the workspace").to_owned()
}

/// Every Rust file below a folder, with its text.
fn sources(folder: &str) -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    let mut folders = vec![workspace().join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display())) {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|e| e == "rs") {
                let text = fs::read_to_string(&path).unwrap();
                found.push((path, text));
            }
        }
    }
    assert!(!found.is_empty(), "no sources below {folder}");
    found
}

/// A source without its unit tests at the foot.
fn without_tests(text: &str) -> &str {
    text.split("#[cfg(test)]\nmod ").next().unwrap_or(text)
}

/// All packages that a workspace crate is built from, itself included.
fn dependency_tree(package: &str) -> BTreeSet<String> {
    let output = std::process::Command::new(env!("CARGO"))
        .args([
            "tree",
            "--offline",
            "--prefix",
            "none",
            "--edges",
            "normal",
            "--format",
            "{p}",
            "-p",
            package,
        ])
        .current_dir(workspace())
        .output()
        .expect("cargo tree runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().filter_map(|line| line.split(' ').next()).map(str::to_owned).collect()
}

#[test]
fn storage_has_no_cipher_and_knows_no_sibling() {
    let tree = dependency_tree("storage");
    for package in [
        "aes",
        "aes-gcm",
        "aws-lc-rs",
        "ring",
        "chacha20poly1305",
        "hkdf",
        "kms-core",
        "gateway",
        "hyper",
        "reqwest",
        "rustls",
    ] {
        assert!(!tree.contains(package), "storage depends on {package}");
    }
    // object_store names types of the crate `http` even where it speaks to no server; storage does not.
    for (path, text) in sources("storage/src") {
        assert!(!without_tests(&text).contains("http::"), "{} speaks of HTTP", path.display());
    }
}

#[test]
fn kms_core_has_no_http_and_knows_no_sibling() {
    let tree = dependency_tree("kms-core");
    for package in ["hyper", "http", "storage", "gateway", "tokio", "quick-xml"] {
        assert!(!tree.contains(package), "kms-core depends on {package}");
    }
    for (path, text) in sources("kms-core/src") {
        for word in ["ObjectKey", "BucketName", "x-amz-"] {
            assert!(!without_tests(&text).contains(word), "{} speaks of {word}", path.display());
        }
    }
}

#[test]
fn the_encryption_client_stands_alone() {
    let tree = dependency_tree("s3-encryption-client");
    for package in ["storage", "kms-core", "gateway"] {
        assert!(!tree.contains(package), "s3-encryption-client depends on {package}");
    }
}

#[test]
fn header_names_of_amazon_stand_in_one_file() {
    for (path, text) in sources("gateway/src") {
        if path.ends_with("http/header.rs") || path.ends_with("tests.rs") {
            continue;
        }
        for (number, line) in without_tests(&text).lines().enumerate() {
            let code = line.trim_start();
            // Comments and texts for people may name headers; what is compared with a wire name may not.
            let quoted = !code.starts_with("//")
                && code.split('"').skip(1).step_by(2).any(|literal| {
                    literal.starts_with("x-amz-")
                        && literal.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
                });
            assert!(
                !quoted,
                "{}:{}: a header's name belongs into http/header.rs",
                path.display(),
                number + 1
            );
        }
    }
}

#[test]
fn modules_of_the_gateway_point_downward() {
    const LAYERS: [&[&str]; 10] = [
        &["cli"],
        &["admin"],
        &["api", "console", "jobs"],
        &["app"],
        &["root"],
        &[
            "auth",
            "authz",
            "federation",
            "sse",
            "transfer",
            "sealed_kv",
            "instance",
            "kv_key_store",
            "watch",
            "blobs",
            "clock",
            "cluster",
            "metadata_server",
            "traces",
        ],
        &["bucket", "iam"],
        &["seal", "http", "memory", "work"],
        &["observe"],
        &["config", "decimal", "blocks"],
    ];
    let layer_of = |module: &str| LAYERS.iter().position(|layer| layer.contains(&module));
    let root = workspace().join("gateway/src");
    for (path, text) in sources("gateway/src") {
        let relative = path.strip_prefix(&root).unwrap();
        let own = relative.iter().next().unwrap().to_str().unwrap().trim_end_matches(".rs");
        if ["lib", "main"].contains(&own) {
            continue;
        }
        let own_layer = layer_of(own).unwrap_or_else(|| panic!("module {own} has no layer in this test"));
        for line in without_tests(&text).lines().filter(|l| !l.trim_start().starts_with("//")) {
            let mut rest = line;
            while let Some(at) = rest.find("crate::") {
                rest = &rest[at + "crate::".len()..];
                let used: String = rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
                if let Some(layer) = layer_of(&used) {
                    let downward = own == used || own_layer < layer || (own_layer == layer && own_layer == 5);
                    assert!(downward, "{}: {own} must not use {used}", relative.display());
                }
            }
        }
    }
}

#[test]
fn every_source_file_is_part_of_a_crate() {
    for package in ["storage/src", "kms-core/src", "gateway/src", "gateway/encryption-client/src"] {
        let root = workspace().join(package);
        for (path, _) in sources(package) {
            let relative = path.strip_prefix(&root).unwrap();
            if ["lib.rs", "main.rs"].iter().any(|f| relative == Path::new(f)) {
                continue;
            }
            let is_mod = path.file_name().is_some_and(|f| f == "mod.rs");
            let module_path = if is_mod { path.parent().unwrap() } else { &path };
            let name = module_path.file_stem().unwrap().to_str().unwrap();
            let folder = module_path.parent().unwrap();
            let parents = [
                folder.join("mod.rs"),
                folder.with_extension("rs"),
                folder.join("lib.rs"),
                folder.join("main.rs"),
            ];
            let declared = parents.iter().filter_map(|p| fs::read_to_string(p).ok()).any(|text| {
                text.lines().any(|l| {
                    let l = l.trim();
                    ["mod ", "pub mod ", "pub(crate) mod ", "pub(super) mod "]
                        .iter()
                        .any(|m| l == format!("{m}{name};") || l == format!("{m}r#{name};"))
                })
            });
            assert!(declared, "{} is part of no crate", path.display());
        }
    }
}
