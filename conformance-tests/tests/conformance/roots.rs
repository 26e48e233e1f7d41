//! The root of trust: each provider with the built binary, a sealed start, and the recovery drill.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use conformance_tests::installed;
use conformance_tests::server::{ACCESS_KEY_ID, SECRET_ACCESS_KEY, Server, binary};

fn text(output: &Output) -> String {
    [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes).into_owned()).concat()
}

fn sealgate(arguments: &[&str], data: &Path) -> Output {
    sealgate_in(arguments, data, None)
}

fn sealgate_in(arguments: &[&str], data: &Path, variable: Variable) -> Output {
    let mut command = Command::new(binary().unwrap());
    command.args(arguments).arg("--data").arg(data).envs(variable).output().unwrap()
}

/// A variable of the environment that a provider reads.
type Variable<'v> = Option<(&'v str, &'v Path)>;

/// Puts an object under SSE-KMS, or reads it.
fn object(server: &Server, how: &str) {
    let script = format!(
        r#"
import boto3
s3 = boto3.client("s3")
def put():
    s3.create_bucket(Bucket="rooted")
    s3.put_object(Bucket="rooted", Key="k", Body=b"body", ServerSideEncryption="aws:kms")
def get():
    assert s3.get_object(Bucket="rooted", Key="k")["Body"].read() == b"body"
{how}()
"#
    );
    installed::run_python(&server.endpoint, &script).unwrap();
}

/// A start on this root, an object put; a stop; the store moves to a file's root and back, and the object is read.
fn round_trip(data: &Path, root: &str, variable: Variable) {
    let mut server = Server::start_in(data, &["--root-key", root], variable).unwrap();
    object(&server, "put");
    assert_eq!(server.stop().unwrap(), Some(0));
    let file = data.with_file_name("moved.root-key");
    let file = file.to_str().unwrap();
    let output =
        sealgate_in(&["kms", "rekey-root", "--root-key", root, "--new-root-key", file], data, variable);
    assert!(output.status.success(), "{}", text(&output));
    let refused = sealgate_in(&["kms", "status", "--root-key", root], data, variable);
    assert!(!refused.status.success() && text(&refused).contains("needs root key"), "{}", text(&refused));
    let output =
        sealgate_in(&["kms", "rekey-root", "--root-key", file, "--new-root-key", root], data, variable);
    assert!(output.status.success(), "{}", text(&output));
    let mut server = Server::start_in(data, &["--root-key", root], variable).unwrap();
    object(&server, "get");
    assert_eq!(server.stop().unwrap(), Some(0));
}

#[test]
fn a_key_in_a_pkcs11_token() {
    if Server::skips("the key store of a data folder gets other root keys") {
        return;
    }
    const MODULE: &str = "/usr/lib/softhsm/libsofthsm2.so";
    assert!(Path::new(MODULE).exists(), "install softhsm2");
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("softhsm2.conf");
    std::fs::create_dir(folder.path().join("tokens")).unwrap();
    let tokens = folder.path().join("tokens");
    std::fs::write(&config, format!("directories.tokendir = {}\n", tokens.display())).unwrap();
    let variable = Some(("SOFTHSM2_CONF", config.as_path()));
    let made = Command::new("softhsm2-util")
        .envs(variable)
        .args(["--init-token", "--free", "--label", "sealgate", "--so-pin", "12345678", "--pin", "1234"])
        .output()
        .unwrap();
    assert!(made.status.success(), "{}", text(&made));
    let pin = folder.path().join("pin");
    std::fs::write(&pin, "1234\n").unwrap();
    let root = format!("pkcs11:token=sealgate;object=root?module-path={MODULE}&pin-source={}", pin.display());
    let data = folder.path().join("data");
    round_trip(&data, &root, variable);
    std::fs::write(&pin, "4321\n").unwrap();
    let refused = sealgate_in(&["kms", "status", "--root-key", &root], &data, variable);
    assert!(text(&refused).contains("refuses the login"), "{}", text(&refused));
    std::fs::write(&pin, "1234\n").unwrap();
    let other = root.replace("object=root", "object=other");
    let refused = sealgate_in(&["kms", "status", "--root-key", &other], &data, variable);
    assert!(text(&refused).contains("holds 0 AES keys of the label other"), "{}", text(&refused));
}

struct Engine(Child);

impl Drop for Engine {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_key_of_a_transit_engine() {
    if Server::skips("the key store of a data folder gets other root keys") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let mut engine = Engine(
        Command::new(installed::python().unwrap().join("python"))
            .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("clients/transit.py"))
            .stdout(Stdio::piped())
            .spawn()
            .unwrap(),
    );
    let mut port = String::new();
    BufReader::new(engine.0.stdout.take().unwrap()).read_line(&mut port).unwrap();
    let token = folder.path().join("token");
    std::fs::write(&token, "token").unwrap();
    let root = format!("transit:http://127.0.0.1:{}?key=root&token-source={}", port.trim(), token.display());
    let data = folder.path().join("data");
    round_trip(&data, &root, None);
    std::fs::write(&token, "stale").unwrap();
    let refused = sealgate(&["kms", "status", "--root-key", &root], &data);
    assert!(text(&refused).contains("permission denied"), "{}", text(&refused));
    drop(engine);
    let refused = sealgate(&["kms", "status", "--root-key", &root], &data);
    assert!(text(&refused).contains("the root key is unavailable"), "{}", text(&refused));
}

#[test]
fn a_credential_of_systemd() {
    if Server::skips("the key store of a data folder gets other root keys") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let credentials = folder.path().join("credentials");
    std::fs::create_dir(&credentials).unwrap();
    std::fs::write(credentials.join("root"), [9; 32]).unwrap();
    std::fs::set_permissions(credentials.join("root"), std::os::unix::fs::PermissionsExt::from_mode(0o440))
        .unwrap();
    let data = folder.path().join("data");
    let mut server = Server::start_on(&data, &[]).unwrap();
    assert_eq!(server.stop().unwrap(), Some(0));
    let run = |arguments: &[&str]| {
        let mut command = Command::new(binary().unwrap());
        command.args(arguments).arg("--data").arg(&data).env("CREDENTIALS_DIRECTORY", &credentials);
        command.output().unwrap()
    };
    let moved = run(&["kms", "rekey-root", "--new-root-key", "credential:root"]);
    assert!(moved.status.success(), "{}", text(&moved));
    let status = run(&["kms", "status", "--root-key", "credential:root"]);
    assert!(text(&status).contains("systemd credential root"), "{}", text(&status));
    let without = sealgate(&["kms", "status", "--root-key", "credential:root"], &data);
    assert!(text(&without).contains("CREDENTIALS_DIRECTORY"), "{}", text(&without));
}

#[test]
fn a_sealed_start_waits_for_its_passphrase() {
    if Server::skips("a sealed start is of a data folder") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let write = |name: &str, words: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, words).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let right = write("right", "correct horse battery staple");
    let wrong = write("wrong", "correct horse buttery staple");
    let with = ["--root-key", "passphrase:", "--passphrase-file", &right];
    let mut server = Server::start_on(&data, &with).unwrap();
    object(&server, "put");
    assert_eq!(server.stop().unwrap(), Some(0));

    let mut sealed = Engine(
        Command::new(binary().unwrap())
            .args(["--listen", "127.0.0.1:0", "--log", "error", "--min-free-mib", "16"])
            .args(["--root-key", "passphrase:", "--data"])
            .arg(&data)
            .env("SEALGATE_ROOT_ACCESS_KEY_ID", ACCESS_KEY_ID)
            .env("SEALGATE_ROOT_SECRET_ACCESS_KEY", SECRET_ACCESS_KEY)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap(),
    );
    let mut lines = BufReader::new(sealed.0.stdout.take().unwrap()).lines();
    let first = lines.next().unwrap().unwrap();
    let address = first.split_once("is sealed, at ").unwrap_or_else(|| panic!("{first}")).1.to_owned();
    let script = r#"
import boto3, botocore
from botocore.config import Config
once = Config(retries={"max_attempts": 0})
for call, code in [(lambda: boto3.client("s3", config=once).list_buckets(), "ServiceUnavailable"),
                   (lambda: boto3.client("kms", config=once).list_keys(), "KeyUnavailableException")]:
    try:
        call()
        raise SystemExit("answered")
    except botocore.exceptions.ClientError as error:
        assert error.response["Error"]["Code"] == code, error
"#;
    installed::run_python(&format!("http://{address}"), script).unwrap();

    let status = sealgate(&["kms", "status"], &data);
    assert!(text(&status).contains("the gateway is sealed"), "{}", text(&status));
    let unseal = |file: &str| {
        sealgate(&["kms", "unseal", "--root-key", "passphrase:", "--passphrase-file", file], &data)
    };
    let refused = unseal(&wrong);
    assert!(!refused.status.success() && text(&refused).contains("needs root key"), "{}", text(&refused));
    let opened = unseal(&right);
    assert!(opened.status.success(), "{}", text(&opened));
    let greeting = lines.by_ref().map_while(Result::ok).find(|line| line.contains("S3 endpoint")).unwrap();
    let status = sealgate(&["kms", "status"], &data);
    assert!(text(&status).contains("in a passphrase"), "{}", text(&status));
    let pid = rustix::process::Pid::from_child(&sealed.0);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    assert!(sealed.0.wait().unwrap().success(), "{greeting}");
    let mut server = Server::start_on(&data, &with).unwrap();
    object(&server, "get");
    assert_eq!(server.stop().unwrap(), Some(0));
}

/// A backup of a running gateway, which is written to meanwhile; restored elsewhere, and useless without its root.
#[test]
fn a_backup_of_a_running_gateway_is_restored_with_its_root_alone() {
    if Server::skips("a backup is of a data folder") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let mut server = Server::start_on(&data, &[]).unwrap();
    object(&server, "put");
    let file = folder.path().join("backup");
    let name = file.to_str().unwrap();
    let writes = std::thread::spawn({
        let script = r#"
import boto3
s3 = boto3.client("s3")
for n in range(200):
    s3.put_object(Bucket="rooted", Key=f"busy/{n % 20}", Body=b"x", ServerSideEncryption="aws:kms", BucketKeyEnabled=n % 2 == 0)
"#;
        let endpoint = server.endpoint.clone();
        move || installed::run_python(&endpoint, script).unwrap()
    });
    std::thread::sleep(std::time::Duration::from_millis(600));
    let made = sealgate(&["backup", name], &data);
    assert!(made.status.success(), "{}", text(&made));
    writes.join().unwrap();
    assert!(!sealgate(&["backup", name], &data).status.success(), "an existing file is not replaced");
    assert_eq!(server.stop().unwrap(), Some(0));
    let bytes = std::fs::read(&file).unwrap();
    for told in [&b"rooted"[..], b"busy", b"alias/aws"] {
        assert!(!bytes.windows(told.len()).any(|window| window == told), "a name lies in the clear");
    }

    let restored = folder.path().join("restored");
    let other = folder.path().join("other.root-key");
    std::fs::write(&other, [7; 32]).unwrap();
    std::fs::set_permissions(&other, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let root = folder.path().join("data.root-key");
    let (root, other) = (root.to_str().unwrap(), other.to_str().unwrap());
    let refused = sealgate(&["restore", name, "--root-key", other], &restored);
    assert!(text(&refused).contains("needs root key"), "{}", text(&refused));
    for (damage, says) in [(bytes.len() - 1, "cut off"), (bytes.len() / 2, "cut off")] {
        let cut = folder.path().join("cut");
        std::fs::write(&cut, &bytes[..damage]).unwrap();
        let refused = sealgate(&["restore", cut.to_str().unwrap(), "--root-key", root], &restored);
        assert!(text(&refused).contains(says), "{}", text(&refused));
    }
    let mut changed = bytes.clone();
    let at = bytes.len() - 40;
    changed[at] ^= 1;
    std::fs::write(folder.path().join("changed"), &changed).unwrap();
    let refused = sealgate(
        &["restore", folder.path().join("changed").to_str().unwrap(), "--root-key", root],
        &restored,
    );
    assert!(text(&refused).contains("does not open"), "{}", text(&refused));
    assert!(!restored.exists());

    let done = sealgate(&["restore", name, "--root-key", root], &restored);
    assert!(done.status.success(), "{}", text(&done));
    assert!(!sealgate(&["restore", name, "--root-key", root], &restored).status.success());
    let copied = Command::new("cp").arg("-r").arg(data.join("blobs")).arg(&restored).status().unwrap();
    assert!(copied.success());
    let mut server = Server::start_on(&restored, &["--root-key", root]).unwrap();
    object(&server, "get");
    assert_eq!(server.stop().unwrap(), Some(0));
}

/// The day on which the root key is lost.
#[test]
fn the_recovery_drill() {
    if Server::skips("a recovery kit is of a key store in a data folder") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let kit = folder.path().join("kit.json");
    let words = folder.path().join("words");
    std::fs::write(&words, "a passphrase of the kit's own").unwrap();
    let (kit, words) = (kit.to_str().unwrap(), words.to_str().unwrap());
    let mut server = Server::start_on(&data, &[]).unwrap();
    object(&server, "put");
    assert!(text(&sealgate(&["kms", "status"], &data)).contains("recovery kit  none"));
    let export = ["kms", "recovery-kit", "export", kit, "--kit-passphrase-file", words];
    let made = sealgate(&export, &data);
    assert!(made.status.success(), "{}", text(&made));
    let again = sealgate(&export, &data);
    assert!(!again.status.success() && text(&again).contains("exists already"), "{}", text(&again));
    assert!(text(&sealgate(&["kms", "status"], &data)).contains("recovery kit  was made"));
    assert_eq!(server.stop().unwrap(), Some(0));

    std::fs::remove_file(folder.path().join("data.root-key")).unwrap();
    assert!(!sealgate(&["kms", "status"], &data).status.success());
    let new = folder.path().join("data.root-key");
    let restored = sealgate(
        &[
            "kms",
            "recovery-kit",
            "restore",
            kit,
            "--kit-passphrase-file",
            words,
            "--new-root-key",
            new.to_str().unwrap(),
        ],
        &data,
    );
    assert!(restored.status.success(), "{}", text(&restored));
    let mut server = Server::start_on(&data, &[]).unwrap();
    object(&server, "get");
    assert_eq!(server.stop().unwrap(), Some(0));
}
