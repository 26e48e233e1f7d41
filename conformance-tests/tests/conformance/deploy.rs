//! What `deploy` shows: files that parse, and settings that there are.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use conformance_tests::installed::run_python;
use conformance_tests::server::{Server, binary};

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

#[test]
fn alert_rules_pass_their_tests() {
    for arguments in [["check", "rules", "alerts.yaml"], ["test", "rules", "alerts.test.yaml"]] {
        let ran = Command::new("promtool").args(arguments).current_dir(deploy()).output().unwrap();
        assert!(ran.status.success(), "{}{}", text(&ran.stdout), text(&ran.stderr));
    }
    let rules = std::fs::read_to_string(deploy().join("alerts.yaml")).unwrap();
    let count = |word: &str| rules.matches(word).count();
    assert_eq!(count("- alert:"), count("runbook:"), "an alert without a line that says what to do");
    assert_eq!(count("- alert:"), count("severity:"));
}

#[test]
fn an_image_is_a_layout_whose_digests_are_right_and_the_same_each_time() {
    let folder = tempfile::tempdir().unwrap();
    // What is in it is no matter here: the program itself is large.
    let program = folder.path().join("program");
    std::fs::write(&program, "no program").unwrap();
    let make = |name: &str| {
        let made = Command::new("python3")
            .arg(deploy().join("oci-layout"))
            .arg("--binary")
            .arg(&program)
            .args(["--version", "1.2.3", "--out"])
            .arg(folder.path().join(name))
            .env("SOURCE_DATE_EPOCH", "1700000000")
            .output()
            .unwrap();
        assert!(made.status.success(), "{}", text(&made.stderr));
        let mut found = Vec::new();
        files(&folder.path().join(name), &mut found);
        let relative = |path: PathBuf| {
            let bytes = std::fs::read(&path).unwrap();
            (path.strip_prefix(folder.path().join(name)).unwrap().to_owned(), bytes)
        };
        found.into_iter().map(relative).collect::<std::collections::BTreeMap<_, _>>()
    };
    let image = make("first");
    assert!(image == make("second"), "the same sources make another image");
    let blob = |described: &serde_json::Value| {
        let (_, digest) = described["digest"].as_str().unwrap().split_once(':').unwrap();
        let bytes = &image[&PathBuf::from(format!("blobs/sha256/{digest}"))];
        assert_eq!(hex::encode(<sha2::Sha256 as sha2::Digest>::digest(bytes)), digest);
        assert_eq!(described["size"], bytes.len());
        bytes
    };
    let index: serde_json::Value = serde_json::from_slice(&image[Path::new("index.json")]).unwrap();
    let manifest: serde_json::Value = serde_json::from_slice(blob(&index["manifests"][0])).unwrap();
    let config: serde_json::Value = serde_json::from_slice(blob(&manifest["config"])).unwrap();
    assert_eq!(config["config"]["Entrypoint"][0], "/sealgate");
    assert_eq!(config["config"]["User"], "65532:65532");
    blob(&manifest["layers"][0]);
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn dashboards_and_alerts_ask_for_metrics_that_a_gateway_has() {
    let word = |c: char| !(c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
    let mut wanted = BTreeSet::new();
    for file in ["alerts.yaml", "alerts.test.yaml", "grafana/sealgate.json"] {
        let text = std::fs::read_to_string(deploy().join(file)).unwrap();
        wanted.extend(text.split(word).filter(|word| word.starts_with("sealgate_")).map(str::to_owned));
    }
    assert!(wanted.len() > 30, "{wanted:?}");
    if Server::is_shared() {
        // An object store reads over its own disks.
        wanted.retain(|name: &String| !name.starts_with("sealgate_scrub_"));
    }
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    let made = Command::new("openssl")
        .args("req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 1 -subj /CN=x".split(' '))
        .args(["-out", &path("cert.pem"), "-keyout", &path("key.pem")])
        .output()
        .unwrap();
    assert!(made.status.success(), "{}", text(&made.stderr));
    // Some are there once something has happened: a request that is refused, a certificate, a walk of rules, a round of the scrub.
    let arguments = "--metrics-listen 127.0.0.1:0 --lifecycle-interval-s 1 --scrub-interval-s 1";
    let (cert, private_key) = (path("cert.pem"), path("key.pem"));
    let tls = ["--tls-cert", &cert, "--tls-key", &private_key];
    let arguments: Vec<_> = arguments.split(' ').chain(tls).collect();
    let server = Server::start_with(&arguments).unwrap();
    let curl = |arguments: &[&str]| {
        let asked = Command::new("curl").args(["-sk", "--max-time", "30"]).args(arguments).output();
        text(&asked.unwrap().stdout)
    };
    let refused = format!("{}/bucket?X-Amz-Algorithm=AWS4-HMAC-SHA256", server.endpoint);
    let wrong = ["--aws-sigv4", "aws:amz:us-east-1:s3", "--user", "AKIDNOBODY:wrong", &refused];
    curl(&wrong);
    curl(&[&refused]);
    let url = server.greeting.iter().find_map(|line| line.trim().strip_prefix("metrics")).unwrap().trim();
    let began = std::time::Instant::now();
    loop {
        let metrics = curl(&[url]);
        let names: BTreeSet<_> = metrics.split(word).filter(|word| word.starts_with("sealgate_")).collect();
        let missing: Vec<_> = wanted.iter().filter(|name| !names.contains(name.as_str())).collect();
        if missing.is_empty() {
            return;
        }
        assert!(began.elapsed().as_secs() < 120, "{missing:?}");
        std::thread::sleep(std::time::Duration::from_millis(500));
    }
}
