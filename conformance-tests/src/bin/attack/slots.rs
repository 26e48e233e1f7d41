//! Connections that are held and not used.

use std::time::Duration;

use futures::join_all;
use tokio::io::AsyncReadExt;

use crate::Verdict;
use crate::door::{BODY_IDLE, Door, IDLE, LARGE, LARGE_LEN, SMALL};
use crate::raw::Raw;

/// What a gateway may be late by: the machine may be busy.
const SLACK: Duration = Duration::from_secs(8);

mod futures {
    use std::future::Future;

    /// All of these, each a task of its own.
    pub(super) async fn join_all<T: Send + 'static>(
        all: impl IntoIterator<Item = impl Future<Output = anyhow::Result<T>> + Send + 'static>,
    ) -> anyhow::Result<Vec<T>> {
        let tasks: Vec<_> = all.into_iter().map(tokio::spawn).collect();
        let mut done = Vec::new();
        for task in tasks {
            done.push(task.await??);
        }
        Ok(done)
    }
}

/// Many connections from many addresses, the working client's own among them, that send nothing or one byte, for a while longer than
/// the working client needs to be locked out.
pub(crate) async fn silent(door: &Door, connections: usize) -> anyhow::Result<Verdict> {
    let mut held = Vec::new();
    let mut verdict = Verdict { told: format!("{connections} connections"), ..Verdict::default() };
    for number in 0..connections {
        // Every fourth from where the working client is.
        let last = if number % 4 == 0 { 1 } else { (number % 32 + 2) as u8 };
        let mut raw = Raw::open_from(door.address, last).await?;
        if number % 2 == 0 {
            raw.send(b"P").await;
        }
        held.push(raw);
    }
    tokio::time::sleep(Duration::from_secs(3)).await;
    let mut caller = door.caller().await?;
    let asked = tokio::time::timeout(SLACK, caller.s3(http::Method::GET, SMALL, "")).await;
    verdict.expect(matches!(&asked, Ok(Ok(answer)) if answer.status.is_success()), || format!("{asked:?}"));
    Ok(verdict)
}

/// Heads and bodies of which a byte comes now and then: each ends in its time.
pub(crate) async fn dripping(door: &Door, few: usize) -> anyhow::Result<Verdict> {
    let put = door.signed("PUT", SMALL, &[("content-length", "1048576")])?;
    let anonymous = format!(
        "POST / HTTP/1.1\r\nHost: {}\r\nContent-Type: application/x-www-form-urlencoded\r\n\
        Content-Length: 40000\r\n\r\nAction=",
        door.host
    );
    let form = format!(
        "POST /attacked HTTP/1.1\r\nHost: {}\r\nContent-Type: multipart/form-data; boundary=x\r\n\
        Content-Length: 40000\r\n\r\n--x\r\nContent-Disposition: form-data; name=\"key\"\r\n\r\n",
        door.host
    );
    // What is sent first, and when it must be over: unknown senders have 20 s for a body, whatever they send.
    let kinds = [
        ("nothing", String::new(), IDLE),
        ("one byte", "P".to_owned(), IDLE),
        ("a head", "PUT /attacked/k HTTP/1.1\r\nx-a: ".to_owned(), IDLE),
        ("a body", put, BODY_IDLE),
        ("a form of IAM", anonymous, BODY_IDLE),
        ("a form of S3", form, BODY_IDLE),
    ];
    let mut verdict =
        Verdict { told: format!("{few} connections of {} kinds", kinds.len()), ..Verdict::default() };
    let drips = (0..few).map(|number| {
        let (name, first, limit) = kinds[number % kinds.len()].clone();
        let address = door.address;
        async move {
            let mut raw = Raw::open(address).await?;
            raw.send(first.as_bytes()).await;
            let began = tokio::time::Instant::now();
            let is_silent = first.len() < 2;
            loop {
                if raw.ends_within(Duration::from_secs(1)).await {
                    return Ok((name, None));
                }
                let passed = began.elapsed();
                if passed > limit + SLACK {
                    return Ok((name, Some(passed)));
                }
                if !is_silent {
                    raw.send(b"x").await;
                }
            }
        }
    });
    for (name, held) in join_all(drips).await? {
        verdict
            .expect(held.is_none(), || format!("{name} is held open after {:.0?}", held.unwrap_or_default()));
    }
    Ok(verdict)
}

/// Answers that are not read are cut; one that is read slowly is not.
pub(crate) async fn slow_readers(door: &Door, few: usize) -> anyhow::Result<Verdict> {
    let get = door.signed("GET", LARGE, &[])?;
    let before = door.memory()?;
    let readers = (0..few).map(|_| {
        let (address, get) = (door.address, get.clone());
        async move {
            let mut raw = Raw::open_narrow(address).await?;
            raw.send(get.as_bytes()).await;
            tokio::time::sleep(BODY_IDLE + SLACK).await;
            let (mut len, mut room) = (0, vec![0; 1 << 20]);
            loop {
                match tokio::time::timeout(SLACK, raw.stream.read(&mut room)).await {
                    Ok(Ok(read @ 1..)) => len += read,
                    Ok(_) => return Ok(len),
                    Err(_) => return Ok(usize::MAX),
                }
            }
        }
    });
    let slow = async {
        let mut raw = Raw::open_narrow(door.address).await?;
        raw.send(get.as_bytes()).await;
        let (mut len, mut room) = (0, vec![0; 32 << 10]);
        let until = tokio::time::Instant::now() + BODY_IDLE * 3;
        while let Ok(read @ 1..) = raw.stream.read(&mut room).await {
            len += read;
            if tokio::time::Instant::now() < until {
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
        }
        anyhow::Ok(len)
    };
    let (cut, slow) = tokio::join!(join_all(readers), slow);
    let mut verdict = Verdict { told: format!("{few} readers"), ..Verdict::default() };
    for len in cut? {
        verdict
            .expect(len < LARGE_LEN, || format!("{len} bytes of {LARGE_LEN} came to one who did not read"));
    }
    let slow = slow?;
    verdict.expect(slow > LARGE_LEN, || format!("one who reads slowly got {slow} bytes of {LARGE_LEN}"));
    let after = door.memory()?;
    verdict.told += &format!(", {} MiB more memory", after.saturating_sub(before) >> 20);
    Ok(verdict)
}
