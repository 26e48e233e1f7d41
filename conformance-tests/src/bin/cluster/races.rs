//! Two gateways that change the same at once: one of them wins, and both know who.

use std::time::{Duration, Instant};

use conformance_tests::caller::{Answer, Caller, Credentials};
use conformance_tests::cluster::Cluster;
use conformance_tests::server::{Places, Server};
use http::Method;
use serde_json::{Value, json};

use super::asking::ask;
use super::load::BUCKET;
use super::stage::{Stage, USUAL};
use super::{Options, Verdict, verify};

/// Rounds of the acceptance of what is raced by many.
const ROUNDS: u64 = 200;
/// Who race for one object.
const RACERS: usize = 64;
/// Rounds of the acceptance of each other race.
const PAIRS: u64 = 100;

pub(crate) async fn run(options: &Options, verdict: &mut Verdict) -> anyhow::Result<()> {
    let stage = Stage::start(2).await?;
    let rounds = options.rounds.unwrap_or(ROUNDS);
    let pairs = options.rounds.unwrap_or(PAIRS);
    conditions(&stage, rounds, verdict).await?;
    complete_against_part(&stage, pairs, verdict).await?;
    bucket_against_put(&stage, pairs, verdict).await?;
    policy_against_get(&stage, pairs, verdict).await?;
    rotations(&stage, pairs, verdict).await?;
    users(&stage, pairs, verdict).await?;
    first_starts(&stage, pairs, verdict).await?;
    told_by_server(&stage.cluster, verdict)?;
    verify::nothing_is_left(&stage, verdict).await
}

/// Deadlocks and MultiXacts are none.
pub(crate) fn told_by_server(cluster: &Cluster, verdict: &mut Verdict) -> anyhow::Result<()> {
    let deadlocks = cluster.ask("select sum(deadlocks) from pg_stat_database")?;
    let multixacts = cluster.ask("select next_multixact_id from pg_control_checkpoint()")?;
    // Made since the last checkpoint, too.
    cluster.ask("checkpoint")?;
    let after = cluster.ask("select next_multixact_id from pg_control_checkpoint()")?;
    verdict.expect(deadlocks == "0", || format!("{deadlocks} deadlocks"));
    verdict.expect(after == "1", || format!("{after} is the next MultiXact, of 1 ({multixacts} before)"));
    verdict.tell(format!("{deadlocks} deadlocks, next MultiXact {after}"));
    Ok(())
}

async fn open(server: &Server) -> anyhow::Result<Caller> {
    Caller::open(&server.endpoint, Credentials::root()).await
}

/// One caller of each gateway.
async fn both(stage: &Stage) -> anyhow::Result<[Caller; 2]> {
    Ok([open(&stage.gateways[0].server).await?, open(&stage.gateways[1].server).await?])
}

fn etag(answer: &Answer) -> String {
    answer.headers.get("etag").and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned()
}

/// Of 64 at a time with If-None-Match, and with If-Match, exactly one wins.
async fn conditions(stage: &Stage, rounds: u64, verdict: &mut Verdict) -> anyhow::Result<()> {
    let mut racers = Vec::new();
    for number in 0..RACERS {
        racers.push(open(&stage.gateways[number % 2].server).await?);
    }
    let [mut first, mut second] = both(stage).await?;
    let began = Instant::now();
    for round in 0..rounds {
        let target = format!("/{BUCKET}/race-{round}");
        let mut header = ("if-none-match", "*".to_owned());
        for kind in ["If-None-Match", "If-Match"] {
            let mut running = Vec::new();
            for (number, mut racer) in racers.drain(..).enumerate() {
                let (target, header) = (target.clone(), header.clone());
                running.push(tokio::spawn(async move {
                    let body = format!("{kind} {round} {number}");
                    let answer = ask(&mut racer, Method::PUT, &target, &[header], body.clone()).await;
                    (racer, answer, body)
                }));
            }
            let mut won = Vec::new();
            for one in running {
                let (racer, answer, body) = one.await?;
                let answer = answer?;
                racers.push(racer);
                match answer.status.as_u16() {
                    200 => won.push((body, etag(&answer))),
                    409 | 412 => {}
                    status => verdict.expect(false, || format!("{kind}: {status} {:.300}", answer.text())),
                }
            }
            verdict.expect(won.len() == 1, || format!("{kind}, round {round}: {} won: {won:?}", won.len()));
            let Some((body, etag)) = won.pop() else { break };
            for caller in [&mut first, &mut second] {
                let found = ask(caller, Method::GET, &target, &[], "").await?;
                verdict.expect(found.text() == body, || {
                    format!("{kind}: {body} won, {} is there", found.text())
                });
            }
            header = ("if-match", etag);
        }
    }
    verdict.tell(format!("2 × {rounds} × {RACERS} conditional PUT: one won each; {:.0?}", began.elapsed()));
    Ok(())
}

/// An upload is completed with a part that is replaced at the same time.
async fn complete_against_part(stage: &Stage, rounds: u64, verdict: &mut Verdict) -> anyhow::Result<()> {
    let [mut first, mut second] = both(stage).await?;
    let (mut completed, mut replaced) = (0, 0);
    for round in 0..rounds {
        let target = format!("/{BUCKET}/upload-{round}");
        let begun = ask(&mut first, Method::POST, &format!("{target}?uploads="), &[], "").await?.success()?;
        let upload = begun.field("UploadId").unwrap_or_default();
        let part = format!("{target}?partNumber=1&uploadId={upload}");
        let (old, new) = ("old".repeat(3000), "new".repeat(3000));
        let sent = ask(&mut first, Method::PUT, &part, &[], old.clone()).await?.success()?;
        let document = format!(
            "<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>{}</ETag></Part></CompleteMultipartUpload>",
            etag(&sent)
        );
        let complete = format!("{target}?uploadId={upload}");
        let (done, put) = tokio::join!(
            ask(&mut first, Method::POST, &complete, &[], document),
            ask(&mut second, Method::PUT, &part, &[], new)
        );
        let (done, put) = (done?, put?);
        let is_done = done.status.is_success() && !done.text().contains("<Error>");
        let found = ask(&mut second, Method::GET, &target, &[], "").await?;
        if is_done {
            completed += 1;
            verdict.expect(found.text() == old, || format!("{target}: completed, and is {}", found.status));
        } else {
            replaced += 1;
            verdict.expect(["InvalidPart", "OperationAborted"].contains(&&*done.code()), || {
                format!("complete: {}", done.text())
            });
            verdict.expect(found.status.as_u16() == 404, || {
                format!("{target}: not completed, and is {}", found.status)
            });
            ask(&mut first, Method::DELETE, &complete, &[], "").await?.success()?;
        }
        let is_fine = put.status.is_success() || ["NoSuchUpload", "OperationAborted"].contains(&&*put.code());
        verdict.expect(is_fine, || format!("the part: {}", put.text()));
    }
    verdict.tell(format!(
        "Complete against UploadPart: {completed} completed, {replaced} found their part replaced"
    ));
    Ok(())
}

/// A bucket is deleted while an object is put into it.
async fn bucket_against_put(stage: &Stage, rounds: u64, verdict: &mut Verdict) -> anyhow::Result<()> {
    let [mut first, mut second] = both(stage).await?;
    let (mut deleted, mut kept) = (0, 0);
    for round in 0..rounds {
        let bucket = format!("/race-bucket-{round}");
        let object = format!("{bucket}/object");
        ask(&mut first, Method::PUT, &bucket, &[], "").await?.success()?;
        let (gone, put) = tokio::join!(
            ask(&mut first, Method::DELETE, &bucket, &[], ""),
            ask(&mut second, Method::PUT, &object, &[], "content ".repeat(500))
        );
        let (gone, put) = (gone?, put?);
        let is = |answer: &Answer, codes: [&str; 2]| {
            answer.status.is_success() || codes.contains(&&*answer.code())
        };
        verdict.expect(is(&gone, ["BucketNotEmpty", "OperationAborted"]), || gone.text());
        verdict.expect(is(&put, ["NoSuchBucket", "OperationAborted"]), || put.text());
        verdict.expect(!(gone.status.is_success() && put.status.is_success()), || {
            format!("{bucket} was deleted, and an object put into it")
        });
        for caller in [&mut first, &mut second] {
            let found = ask(caller, Method::GET, &object, &[], "").await?;
            verdict.expect(found.status.is_success() == put.status.is_success(), || {
                format!("{object}: PUT {}, GET {}", put.status, found.status)
            });
        }
        if gone.status.is_success() {
            deleted += 1;
        } else {
            kept += 1;
            ask(&mut second, Method::DELETE, &object, &[], "").await?.success()?;
            ask(&mut first, Method::DELETE, &bucket, &[], "").await?.success()?;
        }
    }
    verdict.tell(format!("DeleteBucket against PutObject: {deleted} deleted, {kept} kept"));
    Ok(())
}

/// A policy that was acknowledged by one gateway is felt by the next request of another.
async fn policy_against_get(stage: &Stage, rounds: u64, verdict: &mut Verdict) -> anyhow::Result<()> {
    let [mut first, mut second] = both(stage).await?;
    first.iam("CreateUser", &[("UserName", "reader")]).await?.success()?;
    let allow = json!({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "s3:GetObject", "Resource": "*"}]});
    let policy = [("UserName", "reader"), ("PolicyName", "p"), ("PolicyDocument", &*allow.to_string())];
    first.iam("PutUserPolicy", &policy).await?.success()?;
    let key = second.iam("CreateAccessKey", &[("UserName", "reader")]).await?.success()?;
    let target = format!("/{BUCKET}/policy");
    ask(&mut first, Method::PUT, &target, &[], "content").await?.success()?;
    let mut readers = Vec::new();
    for gateway in &stage.gateways {
        readers.push(Caller::open(&gateway.server.endpoint, Credentials::of_answer(&key)?).await?);
    }
    let deny = json!({"Version": "2012-10-17", "Statement": [{"Effect": "Deny", "Principal": "*",
        "Action": "s3:GetObject", "Resource": format!("arn:aws:s3:::{BUCKET}/policy")}]})
    .to_string();
    let path = format!("/{BUCKET}?policy=");
    for round in 0..rounds {
        let (writer, reader) = if round.is_multiple_of(2) { (&mut first, 1) } else { (&mut second, 0) };
        for (is_denied, answer) in [
            (true, ask(writer, Method::PUT, &path, &[], deny.clone()).await?),
            (false, ask(writer, Method::DELETE, &path, &[], "").await?),
        ] {
            // Both have been asked for by now; the last one is what holds.
            answer.success()?;
            if is_denied {
                continue;
            }
            let found = ask(&mut readers[reader], Method::GET, &target, &[], "").await?;
            verdict.expect(found.status.is_success(), || {
                format!("round {round}: denied still: {}", found.status)
            });
        }
        ask(writer, Method::PUT, &path, &[], deny.clone()).await?.success()?;
        let found = ask(&mut readers[reader], Method::GET, &target, &[], "").await?;
        verdict.expect(found.status.as_u16() == 403, || {
            format!("round {round}: allowed still: {}", found.status)
        });
        ask(writer, Method::DELETE, &path, &[], "").await?.success()?;
    }
    // The same with the access key itself.
    let id = key.field("AccessKeyId").unwrap_or_default();
    let of = |status| [("UserName", "reader"), ("AccessKeyId", &*id), ("Status", status)];
    let mut late = 0;
    for round in 0..rounds {
        let (writer, reader) = if round.is_multiple_of(2) { (&mut first, 1) } else { (&mut second, 0) };
        for (status, expected) in [("Inactive", 403), ("Active", 200)] {
            let parameters: Vec<(&str, &str)> = of(status).into_iter().collect();
            writer.iam("UpdateAccessKey", &parameters).await?.success()?;
            let found = ask(&mut readers[reader], Method::GET, &target, &[], "").await?;
            let is_felt = found.status.as_u16() == expected;
            late += u64::from(!is_felt);
            verdict.expect(is_felt, || format!("round {round}: the key is {status}, GET {}", found.status));
        }
    }
    verdict.tell(format!(
        "{rounds} policies and {} changes of a key were felt by the next request elsewhere, but {late}",
        rounds * 2
    ));
    Ok(())
}

/// A key is rotated by both gateways while both encrypt: every ciphertext opens everywhere.
async fn rotations(stage: &Stage, rounds: u64, verdict: &mut Verdict) -> anyhow::Result<()> {
    let [mut first, mut second] = both(stage).await?;
    let (mut rotated, mut opened) = (0, 0);
    for round in 0..rounds {
        let key = first.kms("CreateKey", &json!({})).await?.success()?;
        let key: Value = serde_json::from_slice(&key.body)?;
        let id = &key["KeyMetadata"]["KeyId"];
        let encrypt = json!({"KeyId": id, "Plaintext": "cGxhaW4="});
        let mut ciphertexts = Vec::new();
        for _ in 0..3 {
            let of_key = json!({"KeyId": id});
            let (one, two) = tokio::join!(
                first.kms("RotateKeyOnDemand", &of_key),
                second.kms("RotateKeyOnDemand", &of_key)
            );
            for answer in [one?, two?] {
                rotated += u64::from(answer.status.is_success());
                let is_fine = answer.status.is_success()
                    || ["ConflictException", "LimitExceededException"].contains(&&*answer.code());
                verdict.expect(is_fine, || format!("round {round}: rotation: {}", answer.text()));
            }
            let (one, two) = tokio::join!(first.kms("Encrypt", &encrypt), second.kms("Encrypt", &encrypt));
            for answer in [one?.success()?, two?.success()?] {
                let answer: Value = serde_json::from_slice(&answer.body)?;
                ciphertexts.push(answer["CiphertextBlob"].clone());
            }
        }
        for ciphertext in &ciphertexts {
            for caller in [&mut first, &mut second] {
                let answer = caller.kms("Decrypt", &json!({"CiphertextBlob": ciphertext})).await?;
                opened += u64::from(answer.status.is_success());
                verdict.expect(answer.status.is_success(), || format!("round {round}: {}", answer.text()));
            }
        }
    }
    verdict.tell(format!("{rotated} rotations by two gateways at once, {opened} times a ciphertext opened"));
    Ok(())
}

/// Of two users of one name one is made.
async fn users(stage: &Stage, rounds: u64, verdict: &mut Verdict) -> anyhow::Result<()> {
    let [mut first, mut second] = both(stage).await?;
    for round in 0..rounds {
        let name = format!("racer-{round}");
        let parameters = [("UserName", &*name)];
        let (one, two) =
            tokio::join!(first.iam("CreateUser", &parameters), second.iam("CreateUser", &parameters));
        let answers = [one?, two?];
        let made: Vec<_> = answers.iter().filter(|answer| answer.status.is_success()).collect();
        verdict.expect(made.len() == 1, || format!("round {round}: {} users of one name", made.len()));
        let id = made.first().and_then(|answer| answer.field("UserId"));
        for answer in answers.iter().filter(|answer| !answer.status.is_success()) {
            verdict.expect(answer.code() == "EntityAlreadyExists", || answer.text());
        }
        for caller in [&mut first, &mut second] {
            let found = caller.iam("GetUser", &parameters).await?;
            verdict.expect(found.field("UserId") == id, || {
                format!("round {round}: another user: {}", found.text())
            });
        }
    }
    verdict.tell(format!("{rounds} × two CreateUser of one name: one was made each"));
    Ok(())
}

/// Two gateways start at once over nothing: one makes keys and account, the other takes them.
async fn first_starts(stage: &Stage, rounds: u64, verdict: &mut Verdict) -> anyhow::Result<()> {
    let began = Instant::now();
    for round in 0..rounds {
        let name = format!("first{round}");
        stage.cluster.postgres.create(&name)?;
        let places = Places {
            metadata: stage.cluster.postgres.url(&name),
            blobs: Some(stage.cluster.blobs.url(&name)),
            root_key: stage.cluster.root_key(),
        };
        let start = || {
            let places = places.clone();
            tokio::task::spawn_blocking(move || Cluster::gateway_in(&places, &USUAL, |_| {}))
        };
        let (one, two) = tokio::join!(start(), start());
        let (one, two) = match (one?, two?) {
            (Ok(one), Ok(two)) => (one, two),
            (one, two) => {
                for error in [one.err(), two.err()].into_iter().flatten() {
                    verdict.expect(false, || format!("round {round}: a first start failed: {error:#}"));
                }
                continue;
            }
        };
        let mut callers = [open(&one).await?, open(&two).await?];
        ask(&mut callers[0], Method::PUT, "/first", &[], "").await?.success()?;
        for (number, sse) in [(0, "AES256"), (1, "AES256"), (0, "aws:kms"), (1, "aws:kms")] {
            let target = format!("/first/{}-{number}", sse.replace(':', "-"));
            let body = format!("{sse} ").repeat(1000);
            let headers = [("x-amz-server-side-encryption", sse.to_owned())];
            ask(&mut callers[number], Method::PUT, &target, &headers, body.clone()).await?.success()?;
            for caller in &mut callers {
                let found = ask(caller, Method::GET, &target, &[], "").await?;
                verdict.expect(found.text() == body, || {
                    format!("round {round}: {target} is {:.300}", found.text())
                });
            }
            // Its blob is not to be taken for one that was left.
            ask(&mut callers[number], Method::DELETE, &target, &[], "").await?.success()?;
        }
        let mut accounts = Vec::new();
        for caller in &mut callers {
            accounts.push(caller.sts("GetCallerIdentity", &[]).await?.success()?.field("Account"));
        }
        verdict.expect(accounts[0] == accounts[1], || format!("round {round}: two accounts: {accounts:?}"));
        drop((one, two));
        // The last of its processes may still be connected.
        tokio::time::sleep(Duration::from_millis(50)).await;
        stage.cluster.postgres.ask("postgres", &format!("drop database {name} with (force)"))?;
    }
    verdict.tell(format!("{rounds} × two first starts at once over nothing, {:.0?}", began.elapsed()));
    Ok(())
}
