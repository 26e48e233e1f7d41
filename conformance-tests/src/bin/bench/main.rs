//! A benchmark of any S3 endpoint: operation × size × concurrency × encryption mode, with the server's CPU time and memory
//! when its process id is given.

mod against;
mod cells;
mod client;
mod cost;
mod growth;
mod identities;
mod limits;
mod load;
mod mixed;
mod multipart;
mod picture;
mod statistics;
mod suite;

use clap::{Args, Parser, Subcommand, ValueEnum};
use conformance_tests::caller::Credentials;

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
    /// The key of SSE-KMS; without one, the server takes its own
    #[arg(long, global = true)]
    kms_key_id: Option<String>,
    /// Runs, of which the median is told
    #[arg(long, default_value_t = 3, global = true)]
    runs: usize,
}

impl Target {
    /// The endpoint of a connection.
    fn endpoint_of(&self, connection: usize) -> &str {
        self.endpoint.get(connection % self.endpoint.len().max(1)).map_or("", String::as_str)
    }

    /// The header that names the key of SSE-KMS, if one was given.
    fn kms_key_headers(&self) -> Vec<(&'static str, String)> {
        let header = |id: &String| ("x-amz-server-side-encryption-aws-kms-key-id", id.clone());
        self.kms_key_id.iter().map(header).collect()
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
    /// How long a client with one connection waits while others load the server; fails above 100 ms
    Mixed(mixed::Plan),
    /// What operations cost while a bucket grows
    Growth(growth::Plan),
    /// The project's own targets; with `--against`, compared with other servers
    Suite(suite::Plan),
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
    /// Parts of an upload that are sent at once, over as many connections
    #[arg(long, default_value_t = 1)]
    parts_in_flight: usize,
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
    /// Uploads are sent as SDKs send them: in signed chunks, with a checksum in the trailer
    #[arg(long)]
    chunked: bool,
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
            parts_in_flight: 1,
            concurrency: 8,
            count: 1000,
            objects: 50,
            chunked: false,
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
        Command::Suite(plan) => return suite::run(&target, &plan).await,
        Command::Mixed(plan) => return mixed::run(&target, &plan).await,
        Command::Growth(plan) => return growth::run(&target, &plan).await,
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
