//! What this machine can do at best: the CPU time of what a request can't do without, measured in this process, on one core.

use std::fs::File;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::process::Command;
use std::thread;
use std::time::Instant;

use anyhow::anyhow;
use md5::{Digest, Md5};
use rustix::time::{ClockId, clock_gettime};

use super::Sse;
use super::load::{Load, Operation};

/// Bytes that are given to a primitive at once.
const CHUNK: usize = 64 * 1024;
/// Bytes that are hashed, copied and sent in a try.
const TOTAL: usize = 64 << 20;
/// Small messages that go to and fro in a try.
const REQUESTS: usize = 5000;
/// Tries, of which the best is the limit: what the machine does beside makes the others worse.
const TRIES: usize = 7;
/// Bytes of a request's or an answer's head, about.
const HEAD: usize = 512;
/// Appends that are synced in a try.
const SYNCS: usize = 50;
/// Runs of `openssl`, of a second each.
const OPENSSL_TRIES: usize = 3;
const PAGE: usize = 4096;

/// Costs of primitives, in CPU seconds.
pub(crate) struct Limits {
    /// AES-256-GCM per byte, as `openssl speed` says; `None` where there is no `openssl`.
    seal: Option<f64>,
    open: Option<f64>,
    /// MD5 of one stream, per byte.
    md5: f64,
    /// A copy in memory, per byte.
    copy: f64,
    /// TCP on the loopback, per byte: of the side that sends, and of the one that receives.
    send: f64,
    receive: f64,
    /// A small message received and answered.
    request: f64,
    /// `fdatasync` of an append of 4 KiB, and how many of them there are in a second by the clock.
    sync: f64,
    syncs_per_s: f64,
}

impl Limits {
    /// Measures them: some seconds. Appends are made in the folder for temporary files.
    ///
    /// # Errors
    /// When a socket or a file can't be made.
    pub(crate) fn measure() -> anyhow::Result<Self> {
        let [send, receive] = best(stream)?;
        let [sync, sync_wall] = best(sync)?;
        let alone = |measure: fn() -> anyhow::Result<f64>| best(|| Ok([measure()?]));
        let ([md5], [copy], [request]) = (alone(|| Ok(md5()))?, alone(|| Ok(copy()))?, alone(request)?);
        Ok(Self {
            seal: openssl(&[]),
            open: openssl(&["-decrypt"]),
            md5,
            copy,
            send,
            receive,
            request,
            sync,
            syncs_per_s: 1.0 / sync_wall,
        })
    }

    /// CPU seconds that an operation of this load costs at least, where it moves so many bytes.
    pub(crate) fn of(&self, load: &Load, bytes: f64) -> Option<f64> {
        let shape = &load.shape;
        let written = || {
            // The ETag of SSE-S3, and of what has no encryption, is the content's MD5.
            let md5 = if matches!(shape.sse, Sse::None | Sse::S3) { self.md5 } else { 0.0 };
            Some((self.receive + md5 + self.seal?) * bytes)
        };
        // One sync does for all writes that wait at the time.
        let together = (shape.concurrency * shape.parts_in_flight.max(1)) as f64;
        let sync = self.sync / together;
        Some(match load.operation {
            Operation::Put => self.request + written()? + sync,
            Operation::Multipart => {
                let parts = shape.size.div_ceil(shape.part_size.max(1)) as f64;
                (parts + 2.0) * (self.request + sync) + written()?
            }
            Operation::Get => self.request + (self.open? + self.send) * bytes,
            Operation::List => self.request + self.send * bytes,
            Operation::Head => self.request,
            Operation::Delete => self.request + sync,
        })
    }

    /// As a table.
    pub(crate) fn table(&self) -> String {
        let gb_per_s = |per_byte: f64| format!("{:.2} GB/s", 1e-9 / per_byte);
        let s_per_gb = |per_byte: f64| format!("{:.3} CPU-s/GB", per_byte * 1e9);
        let known = |per_byte: Option<f64>| per_byte.map_or_else(|| "–".to_owned(), gb_per_s);
        let rows = [
            ("AES-256-GCM of 64 KiB, seal, by `openssl speed`", known(self.seal)),
            ("the same, open", known(self.open)),
            ("MD5, one stream, by md-5", gb_per_s(self.md5)),
            ("copy in memory", gb_per_s(self.copy)),
            ("TCP on the loopback, send", s_per_gb(self.send)),
            ("TCP on the loopback, receive", s_per_gb(self.receive)),
            ("small message, receive and answer", format!("{:.4} CPU-ms", self.request * 1e3)),
            ("`fdatasync` of an append of 4 KiB", format!("{:.4} CPU-ms", self.sync * 1e3)),
            ("the same, one after the other", format!("{:.0}/s", self.syncs_per_s)),
        ];
        let row = |(name, figure): (&str, String)| format!("| {name} | {figure} |\n");
        let rows: String = rows.into_iter().map(row).collect();
        format!("| primitive, one core | limit |\n| --- | --- |\n{rows}")
    }
}

/// The least that each of these figures was.
fn best<const N: usize>(measure: impl Fn() -> anyhow::Result<[f64; N]>) -> anyhow::Result<[f64; N]> {
    let mut least = [f64::INFINITY; N];
    for _ in 0..TRIES {
        for (least, figure) in least.iter_mut().zip(measure()?) {
            *least = least.min(figure);
        }
    }
    Ok(least)
}

/// CPU seconds of this thread so far.
fn cpu_s() -> f64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

/// CPU seconds per byte in user mode, as `openssl speed` tells.
fn openssl(direction: &[&str]) -> Option<f64> {
    (0..OPENSSL_TRIES).filter_map(|_| openssl_once(direction)).min_by(f64::total_cmp)
}

fn openssl_once(direction: &[&str]) -> Option<f64> {
    let chunk = CHUNK.to_string();
    let arguments = ["speed", "-mr", "-seconds", "1", "-bytes", &chunk, "-evp", "aes-256-gcm"];
    let output = Command::new("openssl").args(arguments).args(direction).output().ok()?;
    per_byte(&String::from_utf8_lossy(&output.stdout))
}

/// Of `+F:22:AES-256-GCM:5000000000.00`.
fn per_byte(told: &str) -> Option<f64> {
    let line = told.lines().find(|line| line.starts_with("+F:"))?;
    let per_s: f64 = line.rsplit(':').next()?.trim().parse().ok()?;
    (per_s > 0.0).then(|| 1.0 / per_s)
}

fn md5() -> f64 {
    let (chunk, mut digest) = (vec![0x5c_u8; CHUNK], Md5::new());
    let before = cpu_s();
    for _ in 0..TOTAL / CHUNK {
        digest.update(&chunk);
    }
    std::hint::black_box(digest.finalize());
    (cpu_s() - before) / TOTAL as f64
}

/// From one buffer to another that both are larger than the caches.
fn copy() -> f64 {
    let (from, mut to) = (vec![0x5c_u8; TOTAL], vec![0_u8; TOTAL]);
    // Pages are there afterwards.
    to.copy_from_slice(&from);
    let before = cpu_s();
    to.copy_from_slice(std::hint::black_box(&from));
    std::hint::black_box(&to);
    (cpu_s() - before) / TOTAL as f64
}

/// Both ends of a connection on the loopback: that of who serves, which is not paced (as BBR does it, with timers that cost as much as the
/// sending), and the other.
fn connection() -> anyhow::Result<(TcpStream, TcpStream)> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    rustix::net::sockopt::set_tcp_congestion(&listener, "reno")?;
    let there = TcpStream::connect(listener.local_addr()?)?;
    let (here, _) = listener.accept()?;
    here.set_nodelay(true)?;
    there.set_nodelay(true)?;
    Ok((here, there))
}

/// CPU seconds per byte of who sends and of who receives.
fn stream() -> anyhow::Result<[f64; 2]> {
    let (mut here, mut there) = connection()?;
    let sender = thread::spawn(move || {
        let (chunk, before) = (vec![0x5c_u8; CHUNK], cpu_s());
        for _ in 0..TOTAL / CHUNK {
            here.write_all(&chunk)?;
        }
        anyhow::Ok(cpu_s() - before)
    });
    let (mut chunk, before) = (vec![0_u8; CHUNK], cpu_s());
    while there.read(&mut chunk)? > 0 {}
    let received = cpu_s() - before;
    let sent = sender.join().map_err(|_| anyhow!("the sender has ended early"))??;
    Ok([sent / TOTAL as f64, received / TOTAL as f64])
}

/// CPU seconds of who answers a small message.
fn request() -> anyhow::Result<f64> {
    let (mut here, mut there) = connection()?;
    let asker = thread::spawn(move || {
        let mut message = [0x5c_u8; HEAD];
        for _ in 0..REQUESTS {
            there.write_all(&message)?;
            there.read_exact(&mut message)?;
        }
        anyhow::Ok(())
    });
    let (mut message, before) = ([0_u8; HEAD], cpu_s());
    for _ in 0..REQUESTS {
        here.read_exact(&mut message)?;
        here.write_all(&message)?;
    }
    let answered = cpu_s() - before;
    asker.join().map_err(|_| anyhow!("the asker has ended early"))??;
    Ok(answered / REQUESTS as f64)
}

/// Seconds of a sync: of the CPU, and of the clock.
fn sync() -> anyhow::Result<[f64; 2]> {
    let mut file: File = tempfile::tempfile()?;
    let (page, before, began) = ([0x5c_u8; PAGE], cpu_s(), Instant::now());
    for _ in 0..SYNCS {
        file.write_all(&page)?;
        file.sync_data()?;
    }
    let count = SYNCS as f64;
    Ok([(cpu_s() - before) / count, began.elapsed().as_secs_f64() / count])
}

#[cfg(test)]
mod tests {
    use super::{Limits, per_byte};
    use crate::load::{Load, Operation};
    use crate::{Shape, Sse};

    #[test]
    fn what_openssl_tells() {
        assert_eq!(per_byte("+H:65536\n+F:22:AES-256-GCM:4000000000.00\n"), Some(2.5e-10));
        assert_eq!(per_byte("openssl: unknown option\n"), None);
        assert_eq!(per_byte("+F:22:AES-256-GCM:0.00\n"), None);
    }

    #[test]
    fn md5_is_of_etags_that_are_one() {
        let limits = Limits {
            seal: Some(1.0),
            open: None,
            md5: 10.0,
            copy: 0.0,
            send: 0.0,
            receive: 100.0,
            request: 1000.0,
            sync: 80_000.0,
            syncs_per_s: 1.0,
        };
        let load = |operation, sse| Load { operation, shape: Shape { sse, ..Shape::default() } };
        assert_eq!(limits.of(&load(Operation::Put, Sse::S3), 2.0), Some(11_222.0));
        assert_eq!(limits.of(&load(Operation::Put, Sse::Kms), 2.0), Some(11_202.0));
        assert_eq!(limits.of(&load(Operation::Get, Sse::S3), 2.0), None);
    }
}
