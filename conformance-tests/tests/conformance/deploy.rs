//! What `deploy` shows: files that parse, and settings that there are.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use conformance_tests::installed::run_python;
use conformance_tests::server::binary;

fn deploy() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy")
}

fn files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { files(&path, found) } else { found.push(path) }
    }
}

/// Names of settings in a text, as they are in the environment.
fn names(text: &str) -> BTreeSet<&str> {
    let words = text.split(|c: char| !(c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_'));
    words.filter(|word| word.starts_with("SEALGATE_") && word.len() > "SEALGATE_".len()).collect()
}

#[test]
fn every_setting_that_is_shown_is_one() {
    let help = Command::new(binary().unwrap()).args(["serve", "--help"]).output().unwrap();
    let help = String::from_utf8(help.stdout).unwrap();
    let mut known = names(&help);
    known.extend(["SEALGATE_ROOT_ACCESS_KEY_ID", "SEALGATE_ROOT_SECRET_ACCESS_KEY"]);
    let (mut found, mut seen) = (Vec::new(), 0);
    files(&deploy(), &mut found);
    for file in found {
        let text = std::fs::read_to_string(&file).unwrap();
        for name in names(&text) {
            assert!(known.contains(name), "{}: {name} is no setting", file.display());
            seen += 1;
        }
    }
    assert!(seen > 20, "{seen}");
}

#[test]
fn files_of_compose_and_patroni_parse_and_gateways_differ_in_nothing() {
    let script = format!(
        "import yaml\nfolder = {:?}\n\
         load = lambda name: yaml.safe_load(open(folder + '/' + name))\n\
         load('compose.yaml'), load('patroni/patroni.yaml'), load('helm/sealgate/values.yaml')\n\
         services = load('compose.cluster.yaml')['services']\n\
         gateways = [services[f'gateway{{number}}'] for number in (1, 2, 3)]\n\
         assert gateways[0] == gateways[1] == gateways[2]\n\
         for service in services.values():\n \
             assert all(name in services for name in service.get('depends_on', [])), service\n\
         print(len(services))",
        deploy().display().to_string()
    );
    assert_eq!(run_python("http://127.0.0.1:9", &script).unwrap(), "7");
}
