//! One request taken for another: what follows a refused one on its connection, and which host one is for.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper_util::rt::{TokioExecutor, TokioIo};

use crate::Verdict;
use crate::door::{BUCKET, CONTENT, Door, OTHER_BUCKET, OTHER_CONTENT, SMALL};
use crate::raw::Raw;

const AT_A_TIME: usize = 8;

/// A PUT that is refused early, and right behind it a GET on the same connection: nothing but the GET's own answer may follow.
pub(crate) async fn expect_pairs(door: &Door, pairs: usize) -> anyhow::Result<Verdict> {
    let refused: Vec<(String, u16)> = {
        let expect = [("expect", "100-continue"), ("content-length", "64")];
        let with = |more: (&'static str, &'static str)| [expect[0], expect[1], more];
        let long = [("content-length", "1048576")];
        vec![
            (door.signed("PUT", "/nowhere/k", &expect)?, 404),
            (door.signed("PUT", SMALL, &with(("if-none-match", "*")))?, 412),
            (door.signed("PUT", SMALL, &with(("x-amz-acl", "nonsense")))?, 400),
            (door.signed("PUT", SMALL, &expect)?.replace("Signature=", "Signature=0"), 403),
            (door.signed("PUT", "/nowhere/k", &long)?, 404),
            (format!("PUT {SMALL} HTTP/1.1\r\nHost: {}\r\nContent-Length: 1048576\r\n\r\n", door.host), 403),
        ]
    };
    let get = door.signed("GET", SMALL, &[])?;
    let shared = Arc::new((refused, get, door.address, AtomicUsize::new(0)));
    let mut tasks = Vec::new();
    for _ in 0..AT_A_TIME {
        let shared = shared.clone();
        tasks.push(tokio::spawn(async move {
            let (refused, get, address, next) = &*shared;
            let mut verdict = Verdict::default();
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= pairs {
                    return anyhow::Ok(verdict);
                }
                let (put, status) = &refused[number % refused.len()];
                pair(*address, put, *status, get, number / refused.len() % 2 == 0, &mut verdict).await?;
            }
        }));
    }
    let mut verdict = Verdict { told: format!("{pairs} pairs"), ..Verdict::default() };
    for task in tasks {
        verdict.failures.extend(task.await??.failures);
    }
    Ok(verdict)
}

async fn pair(
    address: std::net::SocketAddr,
    put: &str,
    status: u16,
    get: &str,
    at_once: bool,
    verdict: &mut Verdict,
) -> anyhow::Result<()> {
    let mut raw = Raw::open(address).await?;
    raw.send(put.as_bytes()).await;
    if at_once {
        // Before the refusal is there.
        raw.send(get.as_bytes()).await;
    }
    let Some(first) = raw.answer().await? else {
        verdict.expect(false, || format!("no answer to {put:?}"));
        return Ok(());
    };
    verdict.expect(first.status == status, || format!("{} in place of {status}: {put:?}", first.status));
    verdict.expect(first.has("connection: close"), || format!("the connection goes on: {}", first.head));
    if !at_once {
        raw.send(get.as_bytes()).await;
    }
    if let Some(second) = raw.answer().await? {
        verdict.expect(second.status == 200 && second.body == CONTENT, || {
            format!("after {put:?}, a GET was answered {} {}", second.status, second.body)
        });
    }
    Ok(())
}

/// Requests signed for one host that name another one as well, or none.
pub(crate) async fn hosts(door: &Door) -> anyhow::Result<Verdict> {
    let mut verdict = Verdict::default();
    let (meant, other) = (format!("{BUCKET}.s3.test"), format!("{OTHER_BUCKET}.s3.test"));
    let signed = door.signed_for(&meant, "GET", "/small", &[])?;
    let host_line = format!("host: {meant}\r\n");
    let other_line = format!("host: {other}\r\n");
    let absolute = |host: &str| signed.replace("GET /small", &format!("GET http://{host}/small"));
    let cases = [
        (signed.clone(), 200),
        (absolute(&meant), 200),
        (absolute(&other), 400),
        (absolute(&meant).replace(&host_line, &other_line), 400),
        (absolute(&other).replace(&host_line, ""), 400),
        (absolute(&meant).replace(&host_line, ""), 400),
        (absolute(&format!("x@{meant}")), 400),
        (signed.replace(&host_line, &format!("{host_line}{other_line}")), 400),
        (signed.replace(&host_line, &format!("{other_line}{host_line}")), 400),
        (signed.replace(&host_line, &format!("{host_line}{host_line}")), 400),
        (signed.replace(&host_line, ""), 400),
        (signed.replace(&host_line, &format!("host: {meant},{other}\r\n")), 400),
        (signed.replace(&host_line, &other_line), 403),
    ];
    for (request, status) in &cases {
        let mut raw = Raw::open(door.address).await?;
        raw.send(request.as_bytes()).await;
        let told = raw.answer().await?;
        let is_right = told.as_ref().is_some_and(|told| {
            let content =
                if *status == 200 { told.body == CONTENT } else { !told.body.contains(OTHER_CONTENT) };
            told.status == *status && content
        });
        verdict.expect(is_right, || format!("not {status}: {request:?}: {told:?}"));
    }
    let mut h2 = 0;
    for (authority, host, status) in [
        (&meant, None, 200),
        (&meant, Some(&meant), 200),
        (&other, Some(&meant), 400),
        (&meant, Some(&other), 400),
        (&other, None, 403),
    ] {
        h2 += 1;
        let (got, body) = over_h2(door, &signed, authority, host.map(String::as_str)).await?;
        let is_right = got == status && (status == 200) == (body == CONTENT);
        verdict.expect(is_right, || format!("h2: {got}, not {status}: {authority}, {host:?}: {body}"));
    }
    verdict.told = format!("{} requests, {h2} of them over h2", cases.len() + h2);
    Ok(verdict)
}

/// Sends a signed request's headers over h2, with this authority and this header `host`.
async fn over_h2(
    door: &Door,
    signed: &str,
    authority: &str,
    host: Option<&str>,
) -> anyhow::Result<(u16, String)> {
    let stream = tokio::net::TcpStream::connect(door.address).await?;
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    let mut request = http::Request::get(format!("http://{authority}/small")).version(http::Version::HTTP_2);
    for line in signed.lines().skip(1) {
        match line.split_once(": ") {
            Some(("host", _)) | None => {}
            Some((name, value)) => request = request.header(name, value),
        }
    }
    if let Some(host) = host {
        request = request.header("host", host);
    }
    let response = sender.send_request(request.body(Full::<Bytes>::default())?).await?;
    let status = response.status().as_u16();
    let body = response.into_body().collect().await?.to_bytes();
    Ok((status, String::from_utf8_lossy(&body).into_owned()))
}
