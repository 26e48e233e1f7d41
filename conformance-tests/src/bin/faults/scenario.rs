//! Faults that are more than one damage to a file: a first start that is cut off, a disk that is full, a backup that is older than the
//! blobs.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use conformance_tests::caller::Credentials;
use http::{Method, StatusCode};

use super::folder::{STOPPED, remove};
use super::gateway::{Place, Started, copy};
use super::judge::{Outcome, Try, last_line, ways};
use super::ledger::Content;
use super::verify::{Asker, probe, verify};
use super::write::PLAIN;

type Done = anyhow::Result<(String, Outcome)>;

/// How soon writes must work again once there is space.
const HEALING: Duration = Duration::from_secs(15);
/// How large the disk is that is filled.
const DISK_MIB: u64 = 192;

/// A first start is killed at some moment, or what it wrote first is torn; the next one starts.
pub(crate) async fn first_start(attempt: &mut Try<'_>) -> Done {
    let data = attempt.place.data.clone();
    let torn = attempt.random.below(4);
    let text = match torn {
        0 => {
            std::fs::create_dir(&data)?;
            let whole = std::fs::read(attempt.prepared.state(STOPPED).join("instance.json"))?;
            let len = attempt.random.below(whole.len() as u64 + 1) as usize;
            std::fs::write(data.join("instance.json.new"), &whole[..len])?;
            std::fs::write(data.join("lock"), "")?;
            format!("instance.json.new of {len} bytes is left behind")
        }
        nth => {
            let (mut child, _) = attempt.place.spawn()?;
            let conf = data.join(["catalog/conf", "kms/db/conf", "instance.json"][nth as usize - 1]);
            let began = Instant::now();
            while !conf.exists() && began.elapsed() < Duration::from_secs(30) {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            tokio::time::sleep(Duration::from_millis(attempt.random.below(20))).await;
            child.kill().await?;
            let name = conf.strip_prefix(&data).unwrap_or(&conf).display().to_string();
            // The store's own settings may be torn as long as nothing was committed, or written over.
            if nth < 3 {
                let len = attempt.random.below(std::fs::metadata(&conf)?.len() + 1);
                std::fs::File::options().write(true).open(&conf)?.set_len(len)?;
                format!("killed at its first start, {name} cut to {len} bytes")
            } else {
                format!("killed at its first start after {name} was made")
            }
        }
    };
    attempt.tell(text.clone());
    let gateway = match attempt.place.start().await? {
        Started::Serving(gateway) => *gateway,
        Started::Refused { words, .. } => bail!("it does not start: {}", last_line(&words)),
    };
    let mut asker = Asker::new(&gateway.endpoint, Credentials::root());
    asker.s3(Method::PUT, "/first", &[], Vec::new()).await?.success()?;
    probe(&gateway.endpoint, "first").await?;
    gateway.stop().await?;
    let checked = attempt.check().await?;
    ensure!(checked.code == Some(0), "the check after it: {}", last_line(&checked.text));
    Ok((text, Outcome::Harmless))
}

/// A mounted disk in memory, unmounted when it is dropped.
struct Disk<'p>(&'p Path);

impl<'p> Disk<'p> {
    /// `None`: nobody may mount here.
    fn mount(path: &'p Path) -> anyhow::Result<Option<Self>> {
        std::fs::create_dir_all(path)?;
        let mut command = std::process::Command::new("mount");
        let size = format!("size={DISK_MIB}m");
        let done = command.args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(path).output()?;
        Ok(done.status.success().then_some(Self(path)))
    }
}

impl Drop for Disk<'_> {
    fn drop(&mut self) {
        let _ = std::process::Command::new("umount").arg("-l").arg(self.0).status();
    }
}

/// What an object may be.
type Possible = Vec<(String, Vec<Option<Content>>)>;

/// Another program fills the disk; writes are refused or acknowledged, and what is served is old or new. Then there is space again.
pub(crate) async fn full_disk(attempt: &mut Try<'_>) -> Done {
    let text = "the disk is full for a while".to_owned();
    let path = attempt.beside("disk");
    let Some(disk) = Disk::mount(&path)? else {
        return Ok((format!("{text}: no disk may be mounted here"), Outcome::Skipped));
    };
    attempt.place =
        Place { min_free_mib: 0, ..Place::new(path.join("data"), attempt.place.root_key.clone()) };
    let mut gateway = attempt.place.serve().await?;
    let mut asker = Asker::new(&gateway.endpoint, Credentials::root());
    asker.s3(Method::PUT, &format!("/{PLAIN}"), &[], Vec::new()).await?.success()?;
    let (mut objects, mut seed): (Possible, u64) = (Vec::new(), 0);
    for n in 0..24 {
        seed += 1;
        let content = Content { len: [500, 20_000, 150_000][n % 3], seed };
        let target = format!("/{PLAIN}/{n:02}");
        asker.s3(Method::PUT, &target, &[], content.bytes()).await?.success()?;
        objects.push((target, vec![Some(content)]));
    }
    let filler = path.join("filler");
    // From nothing at all to room for some writes.
    let most = [1, 10_000, 200_000, 2_000_000][attempt.random.below(4) as usize];
    fill(&filler, attempt.random.below(most))?;
    let mut refused = 0;
    for _ in 0..60 {
        seed += 1;
        let nth = attempt.random.below(objects.len() as u64) as usize;
        let (target, possible) = &mut objects[nth];
        let new = match attempt.random.below(3) {
            0 => None,
            _ => Some(Content { len: [500, 20_000, 150_000][attempt.random.below(3) as usize], seed }),
        };
        let answer = match new {
            Some(content) => asker.s3(Method::PUT, target, &[], content.bytes()).await,
            None => asker.s3(Method::DELETE, target, &[], Vec::new()).await,
        };
        match answer {
            Ok(answer) if answer.status.is_success() => *possible = vec![new],
            _ => {
                possible.push(new);
                refused += 1;
            }
        }
    }
    attempt.tell(format!("{refused} of 60 writes were refused while the disk was full"));
    agree(&mut asker, &mut objects, false).await.context("while the disk is full")?;
    tokio::time::sleep(Duration::from_secs(6)).await;
    agree(&mut asker, &mut objects, false).await.context("after a sweep on the full disk")?;
    std::fs::remove_file(&filler)?;
    let began = Instant::now();
    loop {
        let Err(error) = probe(&gateway.endpoint, PLAIN).await else { break };
        ensure!(began.elapsed() < HEALING, "no writes {HEALING:?} after there is space again: {error:#}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    attempt.tell(format!("writes worked {:?} after there was space again", began.elapsed()));
    // From here on each object is one thing, and stays it.
    agree(&mut asker, &mut objects, true).await.context("once there is space again")?;
    for is_killed in [true, false] {
        if is_killed {
            gateway.kill().await?
        } else {
            gateway.stop().await?
        }
        gateway = attempt.place.serve().await?;
        asker = Asker::new(&gateway.endpoint, Credentials::root());
        agree(&mut asker, &mut objects, true).await.context("after a restart")?;
        tokio::time::sleep(attempt.settle).await;
        agree(&mut asker, &mut objects, true).await.context("after a restart and a sweep")?;
    }
    gateway.stop().await?;
    let checked = attempt.check().await?;
    ensure!(checked.code == Some(0), "the check after it: {}", last_line(&checked.text));
    drop(disk);
    Ok((text, Outcome::Harmless))
}

/// Writes a file until the disk is full, and gives so many bytes back.
fn fill(path: &Path, back: u64) -> anyhow::Result<()> {
    use std::io::Write;
    let mut file = std::fs::File::create(path)?;
    let page = vec![1; 4096];
    while file.write_all(&page).is_ok() {}
    let len = file.metadata()?.len();
    Ok(file.set_len(len.saturating_sub(back))?)
}

/// Every object is one of what it may be. Once that is to be settled, it is from then on what it is.
async fn agree(asker: &mut Asker, objects: &mut Possible, settles: bool) -> anyhow::Result<()> {
    for (target, possible) in objects {
        let answer = asker.s3(Method::GET, target, &[], Vec::new()).await?;
        let found = possible.iter().copied().find(|possible| match possible {
            Some(content) => answer.status.is_success() && answer.body == content.bytes(),
            None => answer.status == StatusCode::NOT_FOUND,
        });
        let found = found.with_context(|| {
            format!(
                "{target} is neither what it was nor what it was to be: {} {}",
                answer.status,
                answer.code()
            )
        })?;
        if settles {
            *possible = vec![found];
        }
    }
    Ok(())
}

/// A backup is made, more is written, and the backup is restored beside the newer blobs.
pub(crate) async fn backup(attempt: &mut Try<'_>) -> Done {
    let text = "a backup is restored beside newer blobs".to_owned();
    let prepared = attempt.prepared;
    copy(&prepared.state(STOPPED), &attempt.place.data).await?;
    let gateway = attempt.place.serve().await?;
    let file = attempt.beside("backup");
    let file = file.to_str().context("its path is text")?.to_owned();
    let made = attempt.place.run(&["backup".to_owned(), file.clone()]).await?;
    ensure!(made.code == Some(0), "the backup: {}", made.text);
    let mut asker = Asker::new(&gateway.endpoint, Credentials::root());
    let mut newer: Possible = Vec::new();
    for n in 0..5 {
        let content = Content { len: [300, 20_000, 150_000][n % 3], seed: 5000 + n as u64 };
        let target = format!("/{PLAIN}/probe-newer-{n}");
        asker.s3(Method::PUT, &target, &[], content.bytes()).await?.success()?;
        newer.push((target, vec![Some(content)]));
    }
    gateway.stop().await?;
    let written = attempt.place.data.clone();
    attempt.place.data = attempt.beside("restored");
    let restored = attempt.place.run(&["restore".to_owned(), file]).await?;
    ensure!(restored.code == Some(0), "the restore: {}", restored.text);
    attempt.tell(format!("restored: {}", restored.text.trim().replace('\n', "; ")));
    let blobs = attempt.place.data.join("blobs");
    remove(&blobs)?;
    copy(&written.join("blobs"), &blobs).await?;
    let (mut told, mut gone, mut was_refused) = (restored.text, Vec::new(), false);
    let mut gateway = None;
    for _ in 0..4 {
        match attempt.place.start().await? {
            Started::Serving(serving) => {
                gateway = Some(*serving);
                break;
            }
            Started::Refused { words, .. } => {
                attempt.tell(format!("refused: {}", last_line(&words)));
                was_refused = true;
                told += &words;
                let way = ways(&words).into_iter().find(|way| !gone.contains(way));
                let way = way.with_context(|| format!("no way out: {}", last_line(&words)))?;
                told += &attempt.go(&way).await?.text;
                gone.push(way);
            }
        }
    }
    let mut gateway = gateway.context("the ways out that are named lead nowhere")?;
    let mut findings = verify(&gateway.endpoint, &prepared.ledger).await;
    tokio::time::sleep(attempt.settle).await;
    findings.add(verify(&gateway.endpoint, &prepared.ledger).await);
    ensure!(findings.wrong.is_empty(), "wrong answers: {:?}", findings.wrong);
    ensure!(findings.lost.is_empty(), "what the backup knows is lost: {:?}", findings.lost);
    ensure!(findings.keys.is_empty(), "keys are lost: {:?}", findings.keys);
    asker = Asker::new(&gateway.endpoint, Credentials::root());
    if let Err(error) = agree(&mut asker, &mut newer, false).await {
        // It may say what to do.
        gateway.stop().await?;
        let checked = attempt.check().await?;
        told += &checked.text;
        let way = ways(&told).into_iter().find(|way| !gone.contains(way) && !way.starts_with("adopt"));
        let Some(way) = way else { return Err(error.context("what is newer than the backup is lost")) };
        attempt.go(&way).await?;
        gateway = attempt.place.serve().await?;
        asker = Asker::new(&gateway.endpoint, Credentials::root());
        agree(&mut asker, &mut newer, false).await.context("what is newer than the backup is lost")?;
        was_refused = true;
    }
    gateway.stop().await?;
    Ok((text, if was_refused { Outcome::Recovered } else { Outcome::Harmless }))
}
