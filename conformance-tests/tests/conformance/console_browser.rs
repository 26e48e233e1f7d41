//! The web console in a real browser; and its committed bundle, which is what its sources build.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use conformance_tests::installed::{install, run};
use conformance_tests::server::{ACCESS_KEY_ID, SECRET_ACCESS_KEY, Server};
use conformance_tests::slapd::{PEOPLE, Slapd};

/// The most that the whole console may cost a browser, in bytes as they are sent.
const MAX_SENT_LEN: usize = 600 * 1024;
/// Longest time for a browser's whole work, as `timeout` takes it.
const LIMIT: &str = "10m";
const ACCOUNT_ID: &str = "111122223333";
/// The role of people of the directory; the script makes it.
const ROLE_NAME: &str = "directory";

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// A folder below the build folder with the packages of a `package.json` and its lock file.
fn packages(name: &str, sources: &Path) -> PathBuf {
    let read = |file: &str| std::fs::read_to_string(sources.join(file)).unwrap();
    let (package, lock) = (read("package.json"), read("package-lock.json"));
    let make = |folder: &Path, _: &Path| {
        std::fs::create_dir_all(folder)?;
        std::fs::write(folder.join("package.json"), &package)?;
        std::fs::write(folder.join("package-lock.json"), &lock)?;
        run(Command::new("npm").args(["ci", "--no-audit", "--no-fund", "--silent"]).current_dir(folder))
    };
    install(name, &format!("{package}{lock}"), make).unwrap()
}

/// Every file below a folder, by its path from there.
fn files(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in std::fs::read_dir(&next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                found.insert(path.strip_prefix(folder).unwrap().to_owned(), std::fs::read(&path).unwrap());
            }
        }
    }
    found
}

#[test]
fn the_committed_bundle_is_what_its_sources_build() {
    let sources = workspace().join("gateway/console");
    let build = packages("console-build", &sources);
    let _ = std::fs::remove_dir_all(build.join("src"));
    let _ = std::fs::remove_dir_all(build.join("dist"));
    for name in ["src", "index.html", "tsconfig.json", "vite.config.ts"] {
        run(Command::new("cp").arg("-r").arg(sources.join(name)).arg(&build)).unwrap();
    }
    run(Command::new("npm").args(["run", "build", "--silent"]).current_dir(&build)).unwrap();
    let (built, committed) = (files(&build.join("dist")), files(&sources.join("dist")));
    let names = |files: &BTreeMap<PathBuf, Vec<u8>>| files.keys().cloned().collect::<Vec<_>>();
    let advice = "gateway/console/dist is not what its sources build: run `npm ci && npm run build` there, and commit dist";
    assert_eq!(names(&built), names(&committed), "{advice}");
    for (name, bytes) in &built {
        assert!(bytes == &committed[name], "{}: {advice}", name.display());
    }
}

#[test]
fn the_console_is_small() {
    let server = Server::start_with(&["--console-listen", "127.0.0.1:0"]).unwrap();
    let console = server.greeting.iter().find_map(|line| line.trim().strip_prefix("console")).unwrap().trim();
    let mut sent_len = 0;
    for name in files(&workspace().join("gateway/console/dist")).keys() {
        let url = format!("{console}/{}", name.display());
        let output = Command::new("curl")
            .args(["--silent", "--fail", "--max-time", "60", "-H", "Accept-Encoding: gzip", &url])
            .output()
            .unwrap();
        assert!(output.status.success(), "{url}");
        sent_len += output.stdout.len();
    }
    println!("the console is sent as {sent_len} bytes in all");
    assert!(sent_len <= MAX_SENT_LEN, "{sent_len} bytes");
}

#[test]
fn the_console_works_in_a_real_browser() {
    let scripts = workspace().join("conformance-tests/clients/console");
    // The console's own packages have the SDK, by which the script asks what a press has done.
    let sdk = packages("console-build", &workspace().join("gateway/console"));
    let packages = packages("console-tests", &scripts);
    let slapd = Slapd::start().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let audit = folder.path().join("audit.jsonl");
    let role = format!("arn:aws:iam::{ACCOUNT_ID}:role/{ROLE_NAME}");
    let mut arguments = slapd.arguments();
    arguments.extend(["--console-listen", "127.0.0.1:0", "--account-id", ACCOUNT_ID].map(str::to_owned));
    arguments.extend(["--ldap-role-arn", &role, "--audit-log", audit.to_str().unwrap()].map(str::to_owned));
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let server = Server::start_with(&arguments).unwrap();
    let console = server.greeting.iter().find_map(|line| line.trim().strip_prefix("console")).unwrap().trim();
    let output = Command::new("timeout")
        .args([LIMIT, "node"])
        .arg(scripts.join("console.mjs"))
        .env("CONSOLE_PACKAGES", &packages)
        .env("CONSOLE_SDK", &sdk)
        .env("AWS_ENDPOINT_URL", &server.endpoint)
        .env("LDAP_USER", PEOPLE[0].0)
        .env("LDAP_PASSWORD", PEOPLE[0].1)
        .env("LDAP_ROLE_NAME", ROLE_NAME)
        .env("CONSOLE_URL", console)
        .env("CONSOLE_FAILURE", packages.join("failure.png"))
        .env("AWS_ACCESS_KEY_ID", ACCESS_KEY_ID)
        .env("AWS_SECRET_ACCESS_KEY", SECRET_ACCESS_KEY)
        .output()
        .unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    println!("{}", text(&output.stdout));
    assert!(output.status.success(), "{}\n{}", text(&output.stdout), text(&output.stderr));
}
