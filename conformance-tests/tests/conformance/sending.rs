//! Each stored message is bound to the sending that its record is of: whoever writes the data folder of a stopped gateway can't put an
//! earlier sending of a part in the place of the one that was acknowledged.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use conformance_tests::caller::{Answer, Caller, Credentials};
use conformance_tests::server::Server;
use crc_fast::{CrcAlgorithm, checksum};
use http::{Method, StatusCode};
use http_body_util::BodyExt;
use md5::{Digest, Md5};

use super::client::content;

const BUCKET: &str = "sending";
/// Long enough for a part that another follows, and so for a file of its own.
const PART_LEN: usize = 5 << 20;
const TAIL: &[u8] = b"the last part";
/// Bytes of a file's footer.
const FOOTER_LEN: usize = 48;

type Headers = Vec<(&'static str, String)>;

/// The headers of writes and of reads, by mode.
fn modes() -> Vec<(&'static str, Headers, Headers)> {
    let secret = [0x5a; 32];
    let customer = vec![
        ("x-amz-server-side-encryption-customer-algorithm", "AES256".to_owned()),
        ("x-amz-server-side-encryption-customer-key", STANDARD.encode(secret)),
        ("x-amz-server-side-encryption-customer-key-md5", STANDARD.encode(Md5::digest(secret))),
    ];
    let sse = |value: &str| vec![("x-amz-server-side-encryption", value.to_owned())];
    vec![
        ("sse-s3", sse("AES256"), Vec::new()),
        ("sse-kms", sse("aws:kms"), Vec::new()),
        ("dsse", sse("aws:kms:dsse"), Vec::new()),
        ("sse-c", customer.clone(), customer),
    ]
}

async fn ask(caller: &mut Caller, method: Method, target: &str, headers: &Headers, body: Bytes) -> Answer {
    let response = caller.send(method, target, headers, body).await.unwrap();
    let (parts, body) = response.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    Answer { status: parts.status, headers: parts.headers, body }
}

async fn done(caller: &mut Caller, method: Method, target: &str, headers: &Headers, body: &[u8]) -> Answer {
    let answer = ask(caller, method, target, headers, Bytes::copy_from_slice(body)).await;
    answer.success().unwrap_or_else(|error| panic!("{target}: {error}"))
}

/// The content of an object; `None` where the gateway refuses it or breaks off.
async fn read(server: &Server, name: &str, headers: &Headers) -> Option<Vec<u8>> {
    // A connection of its own, as the gateway may break it.
    let mut caller = Caller::open(&server.endpoint, Credentials::root()).await.unwrap();
    let target = format!("/{BUCKET}/{name}");
    let response = caller.send(Method::GET, &target, headers, Bytes::new()).await.unwrap();
    let is_ok = response.status() == StatusCode::OK;
    let body = response.into_body().collect().await.ok()?.to_bytes();
    is_ok.then(|| body.to_vec())
}

/// Every large blob, by its path.
fn files(data: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    for folder in std::fs::read_dir(data.join("blobs/files")).unwrap() {
        for file in std::fs::read_dir(folder.unwrap().path()).unwrap() {
            let path = file.unwrap().path();
            // One that is deleted meanwhile is none.
            if let Ok(bytes) = std::fs::read(&path) {
                found.insert(path, bytes);
            }
        }
    }
    found
}

/// The blob that came since.
fn new_file(data: &Path, before: &BTreeMap<PathBuf, Vec<u8>>) -> (PathBuf, Vec<u8>) {
    let mut new = files(data).into_iter().filter(|(path, _)| !before.contains_key(path));
    let file = new.next().unwrap();
    assert!(new.next().is_none());
    file
}

/// A file with the content of another one, and all its checksums right.
fn with_content_of(file: &[u8], other: &[u8]) -> Vec<u8> {
    let content_len = |file: &[u8]| {
        let at = file.len() - FOOTER_LEN + 8;
        u64::from_le_bytes(file[at..at + 8].try_into().unwrap()) as usize
    };
    let (len, crc) = (content_len(file), |data: &[u8]| checksum(CrcAlgorithm::Crc32Iscsi, data) as u32);
    assert_eq!(len, content_len(other));
    let mut swapped = [&other[..len], &file[len..]].concat();
    let footer = swapped.len() - FOOTER_LEN;
    let content_crc = crc(&swapped[..len]);
    swapped[footer + 40..footer + 44].copy_from_slice(&content_crc.to_le_bytes());
    let rest_crc = crc(&swapped[len..footer + 44]);
    swapped[footer + 44..].copy_from_slice(&rest_crc.to_le_bytes());
    swapped
}

/// A whole file under another one's id.
fn under_id_of(file: &[u8], other: &[u8]) -> Vec<u8> {
    let mut moved = other.to_vec();
    let id = |file: &[u8]| file.len() - FOOTER_LEN + 24..file.len() - FOOTER_LEN + 40;
    moved[id(other)].copy_from_slice(&file[id(file)]);
    with_content_of(&moved, other)
}

/// A blob whose place an earlier sending is put into.
struct Sent {
    name: &'static str,
    read: Headers,
    /// What was acknowledged last.
    content: Vec<u8>,
    path: PathBuf,
    file: Vec<u8>,
    earlier: Vec<u8>,
}

/// An upload whose first part is sent twice, with other bytes of the same length.
async fn send_twice(
    server: &Server,
    caller: &mut Caller,
    (name, write, read): (&'static str, Headers, Headers),
    seed: u64,
) -> Sent {
    let target = format!("/{BUCKET}/{name}");
    let created = done(caller, Method::POST, &format!("{target}?uploads="), &write, b"").await;
    let upload = created.field("UploadId").unwrap();
    let mut etags = BTreeMap::new();
    let mut sendings = Vec::new();
    let (first, second) = (content(PART_LEN, seed), content(PART_LEN, seed + 1000));
    for (number, body) in [(1, &first[..]), (1, &second[..]), (2, TAIL)] {
        let before = files(&server.data);
        let target = format!("{target}?partNumber={number}&uploadId={upload}");
        let answer = done(caller, Method::PUT, &target, &read, body).await;
        etags.insert(number, answer.headers["etag"].to_str().unwrap().to_owned());
        if number == 1 {
            sendings.push(new_file(&server.data, &before));
        }
    }
    let parts: String = etags
        .iter()
        .map(|(number, etag)| format!("<Part><PartNumber>{number}</PartNumber><ETag>{etag}</ETag></Part>"))
        .collect();
    let complete = format!("<CompleteMultipartUpload>{parts}</CompleteMultipartUpload>");
    let query = format!("{target}?uploadId={upload}");
    done(caller, Method::POST, &query, &Vec::new(), complete.as_bytes()).await;
    let (path, file) = sendings.pop().unwrap();
    let (_, earlier) = sendings.pop().unwrap();
    Sent { name, read, content: [&second[..], TAIL].concat(), path, file, earlier }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_earlier_sending_is_not_served_in_the_place_of_the_last() {
    if Server::skips("it puts files of blobs in the place of others") {
        return;
    }
    let mut server = Server::start().unwrap();
    let mut caller = Caller::open(&server.endpoint, Credentials::root()).await.unwrap();
    done(&mut caller, Method::PUT, &format!("/{BUCKET}"), &Vec::new(), b"").await;
    let mut all = Vec::new();
    for (seed, mode) in (1..).zip(modes()) {
        all.push(send_twice(&server, &mut caller, mode, seed).await);
    }
    // An object that was overwritten has another content id: that its former bytes don't open was always so.
    let target = format!("/{BUCKET}/overwritten");
    let mut sendings = Vec::new();
    for seed in [70, 71] {
        let before = files(&server.data);
        done(&mut caller, Method::PUT, &target, &Vec::new(), &content(PART_LEN, seed)).await;
        sendings.push(new_file(&server.data, &before));
    }
    let (path, file) = sendings.pop().unwrap();
    let (_, earlier) = sendings.pop().unwrap();
    let content = content(PART_LEN, 71);
    all.push(Sent { name: "overwritten", read: Vec::new(), content, path, file, earlier });
    for sent in &all {
        assert!(read(&server, sent.name, &sent.read).await.unwrap() == sent.content, "{}", sent.name);
    }

    // The content alone, then the whole file with its owner and trailer.
    for swap in [with_content_of, under_id_of] {
        assert_eq!(server.stop().unwrap(), Some(0));
        for sent in &all {
            std::fs::write(&sent.path, swap(&sent.file, &sent.earlier)).unwrap();
        }
        server.restart().unwrap();
        for sent in &all {
            assert!(read(&server, sent.name, &sent.read).await.is_none(), "{} is served", sent.name);
        }
        assert_eq!(server.stop().unwrap(), Some(0));
        let checked = server.command(&["check"]).unwrap();
        let told = String::from_utf8_lossy(&checked.stdout);
        assert!(!checked.status.success());
        for sent in all.iter().filter(|sent| sent.name != "sse-c") {
            assert!(told.contains(&format!("s3://{BUCKET}/{}", sent.name)), "{told}");
        }
        for sent in &all {
            std::fs::write(&sent.path, &sent.file).unwrap();
        }
        server.restart().unwrap();
        for sent in &all {
            assert!(read(&server, sent.name, &sent.read).await.unwrap() == sent.content, "{}", sent.name);
        }
    }

    // A catalog that is made anew from the blobs knows it as well.
    assert_eq!(server.stop().unwrap(), Some(0));
    std::fs::rename(server.data.join("catalog"), server.data.with_file_name("catalog.old")).unwrap();
    for sent in &all {
        std::fs::write(&sent.path, with_content_of(&sent.file, &sent.earlier)).unwrap();
    }
    let rebuilt = server.command(&["rebuild"]).unwrap();
    assert!(rebuilt.status.success(), "{}", String::from_utf8_lossy(&rebuilt.stderr));
    server.restart().unwrap();
    for sent in &all {
        assert!(read(&server, sent.name, &sent.read).await.is_none(), "{} is served", sent.name);
    }
}
