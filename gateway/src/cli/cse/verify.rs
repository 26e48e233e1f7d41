//! Objects are read whole, and told from what was sealed.

use std::process::ExitCode;

use clap::Args;
use futures_util::stream::{StreamExt, TryStreamExt, once};
use object_store::ObjectStoreExt;
use s3_encryption_client::{Placement, Release};

use super::connection::{Connection, EndpointArgs, FormatArgs, Store};
use super::keys::KeyArgs;
use super::place::S3Url;
use super::{CONCURRENT, folder, told};
use crate::cli::progress::Progress;
use crate::cli::report::Report;

#[derive(Args)]
pub(in crate::cli) struct VerifyArgs {
    /// The object: s3://BUCKET/NAME
    object: S3Url,
    /// All objects whose name begins with this one and a slash
    #[arg(long, short)]
    recursive: bool,
    /// One JSON object: counts, faults (kind, name, detail), clean
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    keys: KeyArgs,
    #[command(flatten)]
    format: FormatArgs,
    #[command(flatten)]
    endpoints: EndpointArgs,
}

pub(super) async fn run(args: VerifyArgs) -> anyhow::Result<ExitCode> {
    let VerifyArgs { object, recursive, json, keys, format, endpoints } = args;
    anyhow::ensure!(
        recursive || !object.is_folder,
        "{object} names no object: verify a folder with --recursive"
    );
    let connection = Connection::of(endpoints)?;
    // Nobody gets what is released.
    let store = connection.sealed(&object.bucket, &keys, &format, Release::Delayed, Placement::Metadata)?;
    let objects =
        if recursive { folder::objects(&store, &object) } else { once(async move { Ok(object) }).boxed() };
    let store = &store;
    let mut results = objects
        .map(|object| async move {
            let object = object?;
            let result = len(store, &object).await;
            anyhow::Ok((object, result))
        })
        .buffer_unordered(CONCURRENT);
    let (mut report, mut progress) = (Report::of(&["objects", "bytes"]), Progress::new("objects"));
    while let Some((object, result)) = results.try_next().await? {
        report.count("objects", 1);
        match result {
            Ok(len) => {
                report.count("bytes", len);
                progress.add_bytes(len);
            }
            Err(error) => report.fault("object", object.to_string(), format!("{error:#}")),
        }
        progress.step();
    }
    drop(progress);
    Ok(report.show(
        json,
        "every object is what was sealed",
        "what is named is not what was sealed with this key",
    ))
}

/// How long the plain body is that was authenticated, in bytes.
async fn len(store: &Store, object: &S3Url) -> anyhow::Result<u64> {
    let mut body = store.get(&object.name).await.map_err(told)?.into_stream();
    let mut len = 0;
    while let Some(piece) = body.try_next().await.map_err(told)? {
        len += piece.len() as u64;
    }
    Ok(len)
}
