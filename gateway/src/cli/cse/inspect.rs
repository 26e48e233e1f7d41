//! What encrypts an object, as its envelope says; no key is needed.

use std::process::ExitCode;

use clap::Args;
use futures_util::stream::{StreamExt, TryStreamExt};
use object_store::{ObjectStore, aws::AmazonS3};
use s3_encryption_client::object_store::{StoredEnvelope, read_envelope};
use s3_encryption_client::{Error, Placement};
use serde_json::{Value, json};

use super::connection::{Connection, EndpointArgs};
use super::place::S3Url;
use super::{CONCURRENT, told};

#[derive(Args)]
pub(in crate::cli) struct InspectArgs {
    /// The object: s3://BUCKET/NAME
    object: S3Url,
    /// All objects whose name begins with this one and a slash
    #[arg(long, short)]
    recursive: bool,
    /// One JSON object per object and line
    #[arg(long)]
    json: bool,
    /// What the names of instruction files end with
    #[arg(long, value_name = "SUFFIX", default_value = ".instruction")]
    instruction_file_suffix: String,
    #[command(flatten)]
    endpoints: EndpointArgs,
}

/// What was told of an object.
enum Finding {
    Sealed(Box<StoredEnvelope>),
    NotEncrypted,
    Unsound(anyhow::Error),
}

pub(super) async fn run(args: InspectArgs) -> anyhow::Result<ExitCode> {
    let InspectArgs { object, recursive, json, instruction_file_suffix: suffix, endpoints } = args;
    let bucket = Connection::of(endpoints)?.bucket(&object.bucket)?;
    if !recursive {
        anyhow::ensure!(!object.is_folder, "{object} names no object: look into a folder with --recursive");
        let finding = find(&bucket, &object, &suffix).await;
        show(&object, &finding, json);
        let is_sealed = matches!(finding, Finding::Sealed(_));
        return Ok(if is_sealed { ExitCode::SUCCESS } else { ExitCode::FAILURE });
    }
    let (bucket, suffix) = (&bucket, suffix.as_str());
    let mut findings = bucket
        .list(Some(&object.name))
        .try_filter(|meta| std::future::ready(!meta.location.as_ref().ends_with(suffix)))
        .map_err(told)
        .map(|meta| {
            let object = &object;
            async move {
                let object = object.of(meta?.location);
                let finding = find(bucket, &object, suffix).await;
                anyhow::Ok((object, finding))
            }
        })
        .buffered(CONCURRENT);
    let mut code = ExitCode::SUCCESS;
    while let Some((object, finding)) = findings.try_next().await? {
        show(&object, &finding, json);
        if let Finding::Unsound(_) = finding {
            code = ExitCode::FAILURE;
        }
    }
    Ok(code)
}

async fn find(bucket: &AmazonS3, object: &S3Url, suffix: &str) -> Finding {
    match read_envelope(bucket, &object.name, Some(suffix)).await {
        Ok(stored) => Finding::Sealed(Box::new(stored)),
        Err(object_store::Error::Generic { source, .. })
            if matches!(source.downcast_ref(), Some(Error::NotEncrypted)) =>
        {
            Finding::NotEncrypted
        }
        Err(error) => Finding::Unsound(told(error)),
    }
}

/// What is told of a sealed object, in the order that it is shown in.
fn rows(stored: &StoredEnvelope) -> Vec<(&'static str, Value)> {
    let envelope = &stored.envelope;
    let wrapped = envelope.wrapped_key();
    let place = match stored.placement {
        Placement::Metadata => "metadata",
        Placement::InstructionFile => "instruction file",
    };
    let description: serde_json::Map<String, Value> =
        wrapped.description.iter().map(|(name, value)| (name.to_owned(), value.into())).collect();
    vec![
        ("format", envelope.version().to_string().into()),
        ("content algorithm", envelope.suite().to_string().into()),
        ("commits to its key", envelope.suite().commits().into()),
        ("is authenticated", envelope.suite().authenticates().into()),
        ("key wrap algorithm", wrapped.wrapping.to_string().into()),
        ("key is in", place.into()),
        ("wrapped key bytes", wrapped.ciphertext.len().into()),
        ("description", description.into()),
        ("sealed bytes", stored.object.size.into()),
        ("plain bytes", envelope.plain_len(stored.object.size).into()),
    ]
}

fn show(object: &S3Url, finding: &Finding, as_json: bool) {
    let name = object.to_string();
    match finding {
        _ if as_json => {
            let told = match finding {
                Finding::Sealed(stored) => {
                    let named = rows(stored).into_iter().map(|(name, value)| (name.replace(' ', "_"), value));
                    let mut told: serde_json::Map<String, Value> = named.collect();
                    told.insert("object".to_owned(), name.into());
                    told.insert("encrypted".to_owned(), true.into());
                    Value::Object(told)
                }
                Finding::NotEncrypted => json!({"object": name, "encrypted": false}),
                Finding::Unsound(error) => json!({"object": name, "error": format!("{error:#}")}),
            };
            println!("{told}");
        }
        Finding::Sealed(stored) => {
            println!("{name}");
            for (what, value) in rows(stored) {
                let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
                println!("  {what:18}  {text}");
            }
        }
        Finding::NotEncrypted => println!("{name}\n  not encrypted by an S3 Encryption Client"),
        Finding::Unsound(error) => println!("{name}\n  {error:#}"),
    }
}
