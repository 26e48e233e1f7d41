//! The lines that README and the user's guide tell people to paste: what stands in blocks `sh run` is run as it stands, page by page, each
//! in a folder of its own against a fresh gateway.

use std::path::{Path, PathBuf};
use std::time::Instant;

use conformance_tests::server::Server;

use crate::shell::Shell;

/// A test for each page, and the list of them.
macro_rules! pages {
    ($($test:ident = $page:literal;)*) => {
        const PAGES: &[&str] = &[$($page),*];

        $(
            #[test]
            fn $test() {
                run($page);
            }
        )*
    };
}

pages! {
    readme = "README.md";
    encryption_modes = "docs/encryption-modes.md";
    kms = "docs/kms.md";
    migrate_from_minio = "docs/migrate-from-minio.md";
    objects = "docs/buckets-and-objects.md";
    operate = "docs/operate.md";
    troubleshooting = "docs/troubleshooting.md";
    users_and_access = "docs/users-and-access.md";
}

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn lines_to_run(page: &str) -> String {
    let text = std::fs::read_to_string(workspace().join(page)).unwrap();
    let blocks = text.split("```sh run\n").skip(1).filter_map(|rest| rest.split("```").next());
    blocks.collect::<Vec<_>>().join("\n")
}

fn run(page: &str) {
    let lines = lines_to_run(page);
    let began = Instant::now();
    assert!(!lines.is_empty(), "{page} has no lines to run");
    if ["docs/kms.md", "docs/operate.md"].contains(&page)
        && Server::skips("it shows what is done with a data folder")
    {
        return;
    }
    let server = Server::start().unwrap();
    let folder = tempfile::tempdir().unwrap();
    std::fs::copy(workspace().join("README.md"), folder.path().join("README.md")).unwrap();
    let shell = Shell::new(&server, folder.path());
    if page != "docs/migrate-from-minio.md" {
        shell.run(&format!("set -x\n{lines}"));
    } else {
        // Where the page copies from is a second gateway: what rclone asks of it, it asks of any S3.
        let other = Server::start().unwrap();
        shell.with("OLD_ENDPOINT_URL", &other.endpoint).run(&format!("set -x\n{lines}"));
    }
    println!("{page}: {:.1} s", began.elapsed().as_secs_f64());
}

#[test]
fn every_page_with_lines_to_run_has_its_test() {
    let mut with_lines = vec!["README.md".to_owned()];
    for entry in std::fs::read_dir(workspace().join("docs")).unwrap() {
        let page = format!("docs/{}", entry.unwrap().file_name().to_string_lossy());
        if page.ends_with(".md") && !lines_to_run(&page).is_empty() {
            with_lines.push(page);
        }
    }
    with_lines.sort();
    let mut tested = PAGES.to_vec();
    tested.sort_unstable();
    assert_eq!(with_lines, tested, "pages with blocks `sh run`, and the list above");
}
