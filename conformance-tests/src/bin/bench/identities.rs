//! What it costs to ask policies: GETs of a small object by the root user, by users of few and of many policies, and in a session
//! of a role. Each request is signed anew, and by the client alone, so that what differs between them is the server's work.

use std::time::{Duration, Instant};

use anyhow::Context;
use bytes::Bytes;
use clap::Args;
use conformance_tests::caller::{Answer, Caller, Credentials};
use conformance_tests::process::CpuTime;
use http::Method;
use serde_json::{Value, json};

use super::Target;
use super::client::Connection;
use super::statistics::median;

const PREFIX: &str = "bench-identities";
const OBJECT: &str = "bench-identities-object";
/// Managed policies of the user who has many: half his own and half his group's, since IAM attaches ten at most to either.
const POLICIES: usize = 20;

/// How it is measured.
#[derive(Debug, Clone, Args)]
pub(crate) struct Shape {
    /// Bytes of the object
    #[arg(long, default_value_t = 1024)]
    size: usize,
    /// Connections
    #[arg(long, default_value_t = 16)]
    concurrency: usize,
    /// Seconds that each is measured in a round
    #[arg(long, default_value_t = 5)]
    seconds: u64,
}

/// One round of one who asks.
struct Round {
    ops_per_s: f64,
    cpu_ms_per_op: f64,
}

/// Makes them, measures one after the other in `--runs` rounds, prints a table of medians, and removes what it made.
pub(crate) async fn run(target: &Target, shape: &Shape) -> anyhow::Result<()> {
    let mut made = Made { root: Caller::open(target.endpoint_of(0), target.root()).await?, undo: Vec::new() };
    let measured = match made.all(target, shape).await {
        Ok(all) => measure(target, shape, &all).await,
        Err(error) => Err(error),
    };
    // The connection has been silent meanwhile: the server may have closed it.
    made.root = Caller::open(target.endpoint_of(0), target.root()).await?;
    made.remove().await?;
    measured
}

async fn measure(target: &Target, shape: &Shape, all: &[(&str, Credentials)]) -> anyhow::Result<()> {
    let mut rounds: Vec<Vec<Round>> = all.iter().map(|_| Vec::new()).collect();
    // A first one that is not counted: caches fill, and pages are touched.
    for (_, credentials) in all {
        round(target, shape, credentials, Duration::from_millis(500)).await?;
    }
    for _ in 0..target.runs.max(1) {
        for ((_, credentials), rounds) in all.iter().zip(&mut rounds) {
            rounds.push(round(target, shape, credentials, Duration::from_secs(shape.seconds)).await?);
        }
    }
    println!("| who asks | GET/s | CPU ms per GET | of the root user's |\n| --- | --- | --- | --- |");
    let mut of_root = None;
    for ((name, _), rounds) in all.iter().zip(&rounds) {
        let ops = median(&rounds.iter().map(|round| round.ops_per_s).collect::<Vec<_>>());
        let cpu = median(&rounds.iter().map(|round| round.cpu_ms_per_op).collect::<Vec<_>>());
        let cost = if cpu.is_nan() { 1.0 / ops } else { cpu };
        let ratio = cost / *of_root.get_or_insert(cost);
        println!("| {name} | {ops:.0} | {cpu:.4} | × {ratio:.3} |");
    }
    Ok(())
}

async fn round(
    target: &Target,
    shape: &Shape,
    credentials: &Credentials,
    time: Duration,
) -> anyhow::Result<Round> {
    let mut connections = Vec::new();
    for _ in 0..shape.concurrency {
        connections.push(Connection::open_as(target, credentials.clone()).await?);
    }
    let cpu_before = target.pid.map(CpuTime::of).transpose()?;
    let began = Instant::now();
    let mut workers = Vec::new();
    for mut connection in connections {
        let path = format!("/{}/{OBJECT}", target.bucket);
        workers.push(tokio::spawn(async move {
            let mut count = 0_u64;
            while began.elapsed() < time {
                connection.send(Method::GET, &path, &[], Bytes::new()).await?;
                count += 1;
            }
            anyhow::Ok(count)
        }));
    }
    let mut count = 0;
    for worker in workers {
        count += worker.await??;
    }
    let ops_per_s = count as f64 / began.elapsed().as_secs_f64();
    let cpu_ms_per_op = match (target.pid, cpu_before) {
        (Some(pid), Some(before)) => CpuTime::of(pid)?.since_s(&before) * 1000.0 / count as f64,
        _ => f64::NAN,
    };
    Ok(Round { ops_per_s, cpu_ms_per_op })
}

/// What was made, and how to remove it.
struct Made {
    root: Caller,
    undo: Vec<(&'static str, Vec<(&'static str, String)>)>,
}

impl Made {
    /// Makes the object and everybody who asks for it.
    async fn all(
        &mut self,
        target: &Target,
        shape: &Shape,
    ) -> anyhow::Result<Vec<(&'static str, Credentials)>> {
        let mut connection = Connection::open(target).await?;
        connection.send(Method::PUT, &format!("/{}", target.bucket), &[], Bytes::new()).await?;
        let body = Bytes::from(vec![0x5c_u8; shape.size]);
        connection.send(Method::PUT, &format!("/{}/{OBJECT}", target.bucket), &[], body).await?;
        self.undo.push(("DeleteObject", vec![("Target", format!("/{}/{OBJECT}", target.bucket))]));
        let objects = format!("arn:aws:s3:::{}/*", target.bucket);
        let allow = document(&[json!({"Effect": "Allow", "Action": "s3:GetObject", "Resource": objects})]);

        let one = self.user("one").await?;
        self.inline("User", "one", &allow).await?;
        let many = self.user("many").await?;
        let group = ("GroupName", name("group"));
        self.iam("CreateGroup", std::slice::from_ref(&group)).await?;
        self.undo.push(("DeleteGroup", vec![group.clone()]));
        let member = vec![group.clone(), ("UserName", name("many"))];
        self.iam("AddUserToGroup", &member).await?;
        self.undo.push(("RemoveUserFromGroup", member));
        for n in 0..POLICIES {
            let document = of_many(n, &objects);
            match n % 2 {
                0 => {
                    self.attach(
                        ("AttachUserPolicy", "DetachUserPolicy"),
                        ("UserName", name("many")),
                        n,
                        &document,
                    )
                    .await?
                }
                _ => {
                    self.attach(("AttachGroupPolicy", "DetachGroupPolicy"), group.clone(), n, &document)
                        .await?
                }
            }
        }
        let trust = document(&[json!({
            "Effect": "Allow", "Principal": {"AWS": self.user_arn("one").await?}, "Action": "sts:AssumeRole",
        })]);
        let role = name("role");
        let answer = self
            .iam("CreateRole", &[("RoleName", role.clone()), ("AssumeRolePolicyDocument", trust)])
            .await?;
        self.undo.push(("DeleteRole", vec![("RoleName", role)]));
        let role_arn = answer.field("Arn").context("a role has an ARN")?;
        self.inline("Role", "role", &allow).await?;
        let mut assumer = Caller::open(target.endpoint_of(0), one.clone()).await?;
        let asked = [("RoleArn", &*role_arn), ("RoleSessionName", "bench"), ("Policy", &*allow)];
        let session = assumer.sts("AssumeRole", &asked).await?.success()?;
        Ok(vec![
            ("root", target.root()),
            ("a user of one inline policy", one),
            ("a user of 20 managed policies of 5 statements each, half through a group", many),
            ("a session of a role, with a session policy", Credentials::of_answer(&session)?),
        ])
    }

    async fn iam(&mut self, action: &str, parameters: &[(&str, String)]) -> anyhow::Result<Answer> {
        let parameters: Vec<_> = parameters.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let answer = self.root.iam(action, &parameters).await?;
        answer.success().with_context(|| action.to_owned())
    }

    async fn user(&mut self, of: &str) -> anyhow::Result<Credentials> {
        let user = name(of);
        self.iam("CreateUser", &[("UserName", user.clone())]).await?;
        self.undo.push(("DeleteUser", vec![("UserName", user.clone())]));
        let made = self.iam("CreateAccessKey", &[("UserName", user.clone())]).await?;
        let credentials = Credentials::of_answer(&made)?;
        let which = vec![("UserName", user), ("AccessKeyId", credentials.access_key_id.clone())];
        self.undo.push(("DeleteAccessKey", which));
        Ok(credentials)
    }

    async fn user_arn(&mut self, of: &str) -> anyhow::Result<String> {
        self.iam("GetUser", &[("UserName", name(of))]).await?.field("Arn").context("a user has an ARN")
    }

    async fn inline(&mut self, kind: &str, of: &str, document: &str) -> anyhow::Result<()> {
        let (put, delete, holder) = match kind {
            "User" => ("PutUserPolicy", "DeleteUserPolicy", "UserName"),
            _ => ("PutRolePolicy", "DeleteRolePolicy", "RoleName"),
        };
        let which = vec![(holder, name(of)), ("PolicyName", "read".to_owned())];
        let mut parameters = which.clone();
        parameters.push(("PolicyDocument", document.to_owned()));
        self.iam(put, &parameters).await?;
        self.undo.push((delete, which));
        Ok(())
    }

    async fn attach(
        &mut self,
        (attach, detach): (&'static str, &'static str),
        to: (&'static str, String),
        n: usize,
        document: &str,
    ) -> anyhow::Result<()> {
        let parameters = [("PolicyName", name(&n.to_string())), ("PolicyDocument", document.to_owned())];
        let arn = self.iam("CreatePolicy", &parameters).await?.field("Arn");
        let arn = arn.context("a policy has an ARN")?;
        self.undo.push(("DeletePolicy", vec![("PolicyArn", arn.clone())]));
        let which = vec![to, ("PolicyArn", arn)];
        self.iam(attach, &which).await?;
        self.undo.push((detach, which));
        Ok(())
    }

    /// Removes what was made last first.
    async fn remove(mut self) -> anyhow::Result<()> {
        while let Some((action, parameters)) = self.undo.pop() {
            match &parameters[..] {
                [("Target", target)] => {
                    self.root.s3(Method::DELETE, target, "").await?.success()?;
                }
                _ => {
                    self.iam(action, &parameters).await?;
                }
            }
        }
        Ok(())
    }
}

fn name(of: &str) -> String {
    format!("{PREFIX}-{of}")
}

fn document(statements: &[Value]) -> String {
    json!({"Version": "2012-10-17", "Statement": statements}).to_string()
}

/// The nth of many policies: some of its statements speak of other actions, and some of this one, elsewhere or under conditions
/// that don't hold. The last statement of the last policy allows it.
fn of_many(n: usize, objects: &str) -> String {
    let elsewhere = format!("arn:aws:s3:::elsewhere-{n}/*");
    let mut statements = vec![
        json!({"Effect": "Allow", "Action": ["kms:Decrypt", "kms:DescribeKey"], "Resource": "*"}),
        json!({"Effect": "Allow", "Action": "s3:PutObject", "Resource": elsewhere}),
        json!({"Effect": "Allow", "Action": "s3:Get*", "Resource": elsewhere}),
        json!({"Effect": "Allow", "Action": "s3:GetObject", "Resource": objects,
            "Condition": {"IpAddress": {"aws:SourceIp": format!("192.0.2.{n}/32")}}}),
        json!({"Effect": "Deny", "Action": "s3:DeleteObject", "Resource": objects}),
    ];
    if n + 1 == POLICIES {
        statements[4] = json!({"Effect": "Allow", "Action": "s3:GetObject", "Resource": objects,
            "Condition": {"StringLike": {"aws:username": "bench-*"}}});
    }
    document(&statements)
}
