//! What the gateway keeps for somebody unknown, or on a mere word: memory, disk, heads.

use std::path::Path;
use std::time::Duration;

use crate::Verdict;
use crate::door::{Door, SMALL};
use crate::raw::Raw;

const FORM_LEN: usize = 990_000;
/// What the gateway may grow by for each connection: 64 KiB kept, and buffers around them.
const GROWTH_PER_CONNECTION: u64 = 96 << 10;
const GROWTH: u64 = 4 << 20;

/// Bodies of somebody unknown that go on and on, and do not end.
pub(crate) async fn unfinished_forms(door: &Door, few: usize) -> anyhow::Result<Verdict> {
    let Door { host, address, .. } = door;
    let head = |target: &str, kind: &str, more: &str| {
        format!(
            "POST {target} HTTP/1.1\r\nHost: {host}\r\nContent-Type: {kind}\r\nContent-Length: 1000000\r\n{more}\r\n"
        )
    };
    let (multipart, form) = ("multipart/form-data; boundary=x", "application/x-www-form-urlencoded");
    let field = "--x\r\nContent-Disposition: form-data; name=\"key\"";
    let scope = "AKIACONFORMANCETESTS/20260101/us-east-1";
    let claims = |service: &str| {
        format!(
            "Authorization: AWS4-HMAC-SHA256 Credential={scope}/{service}/aws4_request, SignedHeaders=host, Signature=0\r\n"
        )
    };
    let kinds = [
        head("/attacked", multipart, "") + field + "\r\n\r\n",
        head("/attacked", multipart, "") + field + "\r\nx: ",
        head("/attacked", multipart, ""),
        head("/", form, "") + "Action=ListUsers&x=",
        head("/", form, &claims("iam")) + "Action=ListUsers&x=",
        head("/", "application/x-amz-json-1.1", "X-Amz-Target: TrentService.ListKeys\r\n") + "{\"x\":\"",
        head(
            "/",
            "application/x-amz-json-1.1",
            &format!("X-Amz-Target: TrentService.ListKeys\r\n{}", claims("kms")),
        ),
        head("/attacked?delete", "application/xml", "") + "<Delete>",
    ];
    let before = door.memory()?;
    let mut held = Vec::new();
    for number in 0..few {
        let mut raw = Raw::open(*address).await?;
        raw.send(kinds[number % kinds.len()].as_bytes()).await;
        let address_of_task = raw;
        held.push(tokio::spawn(async move {
            let mut raw = address_of_task;
            // What is not taken is not waited for long.
            let send = async {
                for _ in 0..FORM_LEN / 10_000 {
                    if !raw.send(&[b'a'; 10_000]).await {
                        break;
                    }
                }
            };
            let _ = tokio::time::timeout(Duration::from_secs(2), send).await;
            raw
        }));
    }
    let mut open = Vec::new();
    for task in held {
        open.push(task.await?);
    }
    let growth = door.memory()?.saturating_sub(before);
    let limit = GROWTH + few as u64 * GROWTH_PER_CONNECTION;
    let told = format!("{few} bodies, {} MiB more memory", growth >> 20);
    let mut verdict = Verdict { told, ..Verdict::default() };
    verdict.expect(growth <= limit, || format!("{growth} bytes are kept for {few} unknown senders"));
    Ok(verdict)
}

/// Three bytes of the three GiB that were announced.
pub(crate) async fn reservation(door: &Door, few: usize) -> anyhow::Result<Verdict> {
    let put = door.signed("PUT", SMALL, &[("content-length", "3221225472")])?;
    let before = taken(&door.server.data)?;
    let mut held = Vec::new();
    for _ in 0..few {
        let mut raw = Raw::open(door.address).await?;
        raw.send(put.as_bytes()).await;
        raw.send(b"abc").await;
        held.push(raw);
    }
    tokio::time::sleep(Duration::from_secs(2)).await;
    let growth = taken(&door.server.data)?.saturating_sub(before);
    let mut verdict =
        Verdict { told: format!("{few} times 3 GiB, {} MiB taken", growth >> 20), ..Verdict::default() };
    verdict.expect(growth < (few as u64 + 64) << 20, || {
        format!("{growth} bytes of disk for {few} times three bytes")
    });
    Ok(verdict)
}

/// Bytes of disk that a folder takes.
fn taken(folder: &Path) -> anyhow::Result<u64> {
    use std::os::unix::fs::MetadataExt;
    let mut sum = 0;
    for entry in std::fs::read_dir(folder)? {
        // Files come and go.
        let Ok(entry) = entry else { continue };
        let Ok(kind) = entry.file_type() else { continue };
        sum += match kind.is_dir() {
            true => taken(&entry.path())?,
            false => entry.metadata().map_or(0, |file| file.blocks() * 512),
        };
    }
    Ok(sum)
}

/// Heads up to the limit are read, and heads beyond it are refused.
pub(crate) async fn big_heads(door: &Door) -> anyhow::Result<Verdict> {
    let host = format!("Host: {}\r\n", door.host);
    let of = |len: usize| "a".repeat(len);
    let many = |count: usize| (0..count).map(|n| format!("x-{n}: {n}\r\n")).collect::<String>();
    let cases = [
        (format!("GET {SMALL} HTTP/1.1\r\n{host}x-long: {}\r\n\r\n", of(60 << 10)), 403),
        (format!("GET {SMALL} HTTP/1.1\r\n{host}x-long: {}\r\n\r\n", of(64 << 10)), 400),
        (format!("GET {SMALL} HTTP/1.1\r\n{host}x-long: {}\r\n\r\n", of(300 << 10)), 400),
        (format!("GET {SMALL}?{} HTTP/1.1\r\n{host}\r\n", of(70 << 10)), 400),
        (format!("GET {SMALL} HTTP/1.1\r\n{host}{}\r\n", many(90)), 403),
        (format!("GET {SMALL} HTTP/1.1\r\n{host}{}\r\n", many(110)), 431),
        // Not finished, and no preface of h2 in spite of its beginning.
        (format!("PRI * HTTP/1.1\r\n{host}x-long: {}", of(300 << 10)), 400),
    ];
    let mut verdict = Verdict { told: format!("{} heads", cases.len()), ..Verdict::default() };
    for (request, status) in &cases {
        let mut raw = Raw::open(door.address).await?;
        raw.send(request.as_bytes()).await;
        let told = raw.answer().await?;
        let is_right = told.as_ref().is_some_and(|told| told.status == *status);
        verdict.expect(is_right, || {
            format!("not {status}: a head of {} bytes, {:.40}: {told:?}", request.len(), request)
        });
    }
    Ok(verdict)
}
