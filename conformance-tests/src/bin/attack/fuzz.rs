//! Random bytes to the whole door, HTTP/1.1 and h2: it stays up, fails at nothing by itself, and answers others.

use std::time::{Duration, Instant};

use tokio::io::AsyncReadExt;

use crate::Verdict;
use crate::door::{BUCKET, Door, SMALL};
use crate::raw::{Raw, find};

const TASKS: usize = 4;
/// How long an answer is waited for: most inputs are no whole request.
const WAIT: Duration = Duration::from_millis(40);
/// Beginning, SETTINGS and HEADERS of h2, a GET of `/` with a literal authority.
const H2: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00\
\x00\x00\x12\x01\x05\x00\x00\x00\x01\x82\x86\x84\x41\x0bs3.test:900\
\x00\x00\x04\x08\x00\x00\x00\x00\x01\x00\x00\xff\xff";

pub(crate) async fn run(door: &Door, seconds: u64, seed: Option<u64>) -> anyhow::Result<Verdict> {
    let seed = match seed {
        Some(seed) => seed,
        None => {
            let mut bytes = [0; 8];
            getrandom::fill(&mut bytes).map_err(|error| anyhow::anyhow!("no random bytes: {error}"))?;
            u64::from_le_bytes(bytes)
        }
    };
    let seeds = seeds(door)?;
    let until = Instant::now() + Duration::from_secs(seconds);
    let mut tasks = Vec::new();
    for task in 0..TASKS {
        let (seeds, address) = (seeds.clone(), door.address);
        tasks.push(tokio::spawn(async move {
            let mut random = Random(seed ^ (task as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
            let (mut count, mut verdict) = (0_u64, Verdict::default());
            while Instant::now() < until {
                let input = random.input(&seeds);
                let mut raw = Raw::open(address).await?;
                raw.send(&input).await;
                let mut answer = vec![0; 4096];
                let read = tokio::time::timeout(WAIT, raw.stream.read(&mut answer)).await;
                let len = read.ok().and_then(Result::ok).unwrap_or(0);
                let failed = find(&answer[..len], b"HTTP/1.1 500").is_some();
                verdict.expect(!failed, || format!("500: {}", hex::encode(&input)));
                count += 1;
            }
            anyhow::Ok((count, verdict))
        }));
    }
    let (mut verdict, mut inputs) = (Verdict::default(), 0);
    for task in tasks {
        let (count, found) = task.await??;
        inputs += count;
        verdict.failures.extend(found.failures);
    }
    let mut caller = door.caller().await?;
    let alive = caller.s3(http::Method::GET, SMALL, "").await;
    verdict.expect(matches!(&alive, Ok(answer) if answer.status.is_success()), || format!("{alive:?}"));
    verdict.told = format!("{inputs} inputs in {seconds} s, seed {seed}");
    Ok(verdict)
}

fn seeds(door: &Door) -> anyhow::Result<Vec<Vec<u8>>> {
    let virtual_host = format!("{BUCKET}.s3.test");
    let chunked =
        "PUT /attacked/k HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n";
    let form = "POST /attacked HTTP/1.1\r\nHost: a\r\nContent-Type: multipart/form-data; boundary=x\r\nContent-Length: 60\r\n\r\n\
        --x\r\nContent-Disposition: form-data; name=\"key\"\r\n\r\nk\r\n--x--\r\n";
    let iam = "POST / HTTP/1.1\r\nHost: a\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 16\r\n\r\nAction=ListUsers";
    let kms =
        "POST / HTTP/1.1\r\nHost: a\r\nX-Amz-Target: TrentService.ListKeys\r\nContent-Length: 2\r\n\r\n{}";
    Ok(vec![
        door.signed("GET", SMALL, &[])?.into_bytes(),
        door.signed_for(&virtual_host, "GET", "/small?versionId=x&partNumber=1", &[("range", "bytes=0-3")])?.into_bytes(),
        (door.signed("PUT", "/attacked/k", &[("content-length", "3"), ("expect", "100-continue")])? + "abc").into_bytes(),
        format!("GET http://{virtual_host}/small?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=A%2F1%2Fus-east-1%2Fs3%2Faws4_request HTTP/1.1\r\nHost: {virtual_host}\r\n\r\n").into_bytes(),
        chunked.into(),
        form.into(),
        iam.into(),
        kms.into(),
        b"GET /minio/admin/v3/info HTTP/1.1\r\nHost: a\r\n\r\nGET /_sealgate/health/ready HTTP/1.1\r\nHost: a\r\n\r\n".to_vec(),
        H2.to_vec(),
    ])
}

/// A source of numbers (xorshift).
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % end.max(1)
    }

    /// One of the seeds, or the beginning of one and the end of another, with a few changes.
    fn input(&mut self, seeds: &[Vec<u8>]) -> Vec<u8> {
        const WORDS: [&[u8]; 14] = [
            b"\r\n",
            b"\r\n\r\n",
            b"\n",
            b"\0",
            b"%2F",
            b"%",
            b"..",
            b"/",
            b"Host: b\r\n",
            b"Content-Length: 9999999999999999999\r\n",
            b"Transfer-Encoding: chunked\r\n",
            b"\xff\xff\xff",
            b"Connection: keep-alive\r\n",
            b"Range: bytes=-1,0-\r\n",
        ];
        let mut input = seeds[self.below(seeds.len())].clone();
        if self.below(4) == 0 {
            let other = &seeds[self.below(seeds.len())];
            input.truncate(self.below(input.len()));
            input.extend_from_slice(&other[self.below(other.len())..]);
        }
        for _ in 0..self.below(6) {
            let at = self.below(input.len() + 1);
            match self.below(4) {
                0 => input.truncate(at.max(1)),
                1 => {
                    let word = WORDS[self.below(WORDS.len())];
                    input.splice(at..at, word.iter().copied());
                }
                2 if at < input.len() => input[at] = self.below(256) as u8,
                _ => {
                    let end = (at + self.below(16)).min(input.len());
                    input.drain(at..end);
                }
            }
        }
        input
    }
}
