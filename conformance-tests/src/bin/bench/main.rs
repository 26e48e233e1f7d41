//! A benchmark of any S3 endpoint: operation × size × concurrency × encryption mode, with the server's CPU time and memory
//! when its process id is given.

mod client;
mod cost;
mod identities;
mod load;

use clap::{Args, Parser, Subcommand, ValueEnum};
use conformance_tests::caller::Credentials;
use conformance_tests::process;

use load::{Load, Outcome};

/// Measures an S3 endpoint
#[derive(Parser)]
#[command(name = "bench", version)]
struct Cli {
    #[command(flatten)]
    target: Target,
    #[command(subcommand)]
    command: Command,
}

/// Where the server is.
#[derive(Debug, Clone, Args)]
struct Target {
    /// The endpoint, over plain HTTP; several (`,`): connections take turns
    #[arg(long, default_value = "http://127.0.0.1:9000", value_delimiter = ',', global = true)]
    endpoint: Vec<String>,
    /// A bucket to work in, made if it does not exist
    #[arg(long, default_value = "bench", global = true)]
    bucket: String,
    /// Access key id
    #[arg(long, env = "AWS_ACCESS_KEY_ID", global = true, default_value = conformance_tests::server::ACCESS_KEY_ID)]
    access_key_id: String,
    /// Its secret
    #[arg(long, env = "AWS_SECRET_ACCESS_KEY", hide_env_values = true, global = true, default_value = conformance_tests::server::SECRET_ACCESS_KEY)]
    secret_access_key: String,
    /// The server's process id, for its CPU time and memory
    #[arg(long, global = true)]
    pid: Option<u32>,
    /// Runs, of which the median is told
    #[arg(long, default_value_t = 3, global = true)]
    runs: usize,
}

impl Target {
    /// The endpoint of a connection.
    fn endpoint_of(&self, connection: usize) -> &str {
        self.endpoint.get(connection % self.endpoint.len().max(1)).map_or("", String::as_str)
    }

    /// The credentials that it was given.
    fn root(&self) -> Credentials {
        Credentials::of_key(&self.access_key_id, &self.secret_access_key)
    }
}

#[derive(Subcommand)]
enum Command {
    /// PutObject
    Put(Shape),
    /// GetObject
    Get(Shape),
    /// HeadObject
    Head(Shape),
    /// ListObjectsV2 of 1000 keys
    List(Shape),
    /// DeleteObject
    Delete(Shape),
    /// Multipart uploads of `--size` in parts of `--part-size`
    Multipart(Shape),
    /// GetObject by those whom few, many and session policies allow it; makes them, and removes them again
    Identities(identities::Shape),
    /// What metrics, access log and audit cost, of gateways that it starts itself; and the memory of an idle one
    Cost(cost::Plan),
    /// The project's own targets, one after the other
    Suite,
}

#[derive(Debug, Clone, Args)]
struct Shape {
    /// Bytes of an object
    #[arg(long, default_value_t = 4096)]
    size: usize,
    /// Bytes of a ranged read; 0 reads all
    #[arg(long, default_value_t = 0)]
    range: usize,
    /// Bytes of a part
    #[arg(long, default_value_t = 8 << 20)]
    part_size: usize,
    /// Connections
    #[arg(long, default_value_t = 8)]
    concurrency: usize,
    /// Operations in all
    #[arg(long, default_value_t = 1000)]
    count: usize,
    /// Objects that are there beforehand, for get, head and list
    #[arg(long, default_value_t = 100)]
    objects: usize,
    /// Buckets that connections of put take turns with
    #[arg(long, default_value_t = 1)]
    buckets: usize,
    /// Prefixes that those objects are spread over; then a listing has the delimiter `/`
    #[arg(long, default_value_t = 0)]
    prefixes: usize,
    /// Encryption
    #[arg(long, value_enum, default_value_t = Sse::None)]
    sse: Sse,
}

impl Default for Shape {
    fn default() -> Self {
        Self {
            size: 4096,
            range: 0,
            prefixes: 0,
            buckets: 1,
            part_size: 8 << 20,
            concurrency: 8,
            count: 1000,
            objects: 50,
            sse: Sse::None,
        }
    }
}

impl Shape {
    /// The name of an object that is there beforehand.
    fn name(&self, n: usize) -> String {
        match n.checked_rem(self.prefixes) {
            Some(prefix) => format!("p{prefix}/{n:08}"),
            None => format!("{n:08}"),
        }
    }
}

impl Shape {
    /// The same with the bucket of a connection.
    fn target_of(&self, target: &Target, connection: usize) -> Target {
        let bucket = match self.buckets {
            0 | 1 => target.bucket.clone(),
            buckets => format!("{}-{}", target.bucket, connection % buckets),
        };
        Target { bucket, ..target.clone() }
    }
}

/// How objects are to be encrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Sse {
    /// As the server does by itself
    None,
    /// SSE-S3
    #[value(name = "sse-s3")]
    S3,
    /// SSE-KMS with the AWS managed key
    #[value(name = "sse-kms")]
    Kms,
    /// DSSE-KMS
    Dsse,
    /// SSE-C
    #[value(name = "sse-c")]
    Customer,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let Cli { target, command } = Cli::parse();
    let (operation, shape) = match command {
        Command::Suite => return suite(&target).await,
        Command::Cost(plan) => return cost::run(&target, &plan).await,
        Command::Identities(shape) => return identities::run(&target, &shape).await,
        Command::Put(shape) => (load::Operation::Put, shape),
        Command::Get(shape) => (load::Operation::Get, shape),
        Command::Head(shape) => (load::Operation::Head, shape),
        Command::List(shape) => (load::Operation::List, shape),
        Command::Delete(shape) => (load::Operation::Delete, shape),
        Command::Multipart(shape) => (load::Operation::Multipart, shape),
    };
    println!("{}", Outcome::HEADER);
    println!("{}", Load { operation, shape }.run(&target).await?);
    Ok(())
}

/// A target: what is measured, its unit, and the most (or least) it may be.
struct Goal {
    name: &'static str,
    load: Load,
    measure: fn(&Outcome) -> f64,
    unit: &'static str,
    at_most: Option<f64>,
    at_least: Option<f64>,
}

async fn suite(target: &Target) -> anyhow::Result<()> {
    use load::Operation as Op;
    anyhow::ensure!(target.pid.is_some(), "the targets are of the server's CPU time: give its --pid");
    const MIB: usize = 1 << 20;
    let shape = |size, concurrency, count, sse| Shape { size, concurrency, count, sse, ..Shape::default() };
    let per_gb = |outcome: &Outcome| outcome.cpu_s_per_gb();
    let per_op = |outcome: &Outcome| outcome.cpu_ms_per_op();
    let at_most = |name, operation, shape, measure: fn(&Outcome) -> f64, unit, most| Goal {
        name,
        load: Load { operation, shape },
        measure,
        unit,
        at_most: Some(most),
        at_least: None,
    };
    let large = |sse| Shape { objects: 2, ..shape(64 * MIB, 2, 24, sse) };
    let mut goals = vec![
        at_most("GET 64 MiB, SSE-S3", Op::Get, large(Sse::S3), per_gb, "CPU-s/GB", 0.6),
        at_most("multipart PUT 64 MiB, SSE-S3", Op::Multipart, large(Sse::S3), per_gb, "CPU-s/GB", 3.0),
        at_most("multipart PUT 64 MiB, SSE-KMS", Op::Multipart, large(Sse::Kms), per_gb, "CPU-s/GB", 1.2),
        at_most("multipart PUT 64 MiB, SSE-C", Op::Multipart, large(Sse::Customer), per_gb, "CPU-s/GB", 1.2),
        at_most(
            "GET of a 64 KiB range",
            Op::Get,
            Shape { range: 64 * 1024, objects: 2, ..shape(64 * MIB, 4, 6000, Sse::S3) },
            per_op,
            "CPU-ms",
            0.15,
        ),
        at_most("GET 4 KiB", Op::Get, shape(4096, 4, 20_000, Sse::S3), per_op, "CPU-ms", 0.08),
        at_most(
            "PUT 4 KiB, 16 connections",
            Op::Put,
            shape(4096, 16, 20_000, Sse::S3),
            per_op,
            "CPU-ms",
            0.25,
        ),
    ];
    goals.push(Goal {
        name: "PUT 4 KiB, 16 connections",
        load: Load { operation: Op::Put, shape: shape(4096, 16, 20_000, Sse::S3) },
        measure: |outcome| outcome.ops_per_s(),
        unit: "ops/s",
        at_most: None,
        at_least: Some(4000.0),
    });
    let listing = Shape { objects: 20_000, ..shape(64, 2, 400, Sse::None) };
    goals.push(at_most("LIST of 1000 among 20,000", Op::List, listing, per_op, "CPU-ms", 2.0));

    println!("| target | wanted | measured | |\n| --- | --- | --- | --- |");
    for goal in goals {
        let outcome = goal.load.run(target).await?;
        let measured = (goal.measure)(&outcome);
        let (wanted, holds) = match (goal.at_most, goal.at_least) {
            (Some(most), _) => (format!("≤ {most}"), measured <= most),
            (_, Some(least)) => (format!("≥ {least}"), measured >= least),
            (None, None) => (String::new(), true),
        };
        let verdict = if holds { "ok" } else { "MISSED" };
        println!("| {} | {wanted} {} | {measured:.3} | {verdict} |", goal.name, goal.unit);
    }
    if let Some(pid) = target.pid {
        let memory = process::Memory::of(pid)?;
        println!("\nserver memory: {} MiB now, {} MiB at most", memory.now_mib, memory.peak_mib);
    }
    Ok(())
}
