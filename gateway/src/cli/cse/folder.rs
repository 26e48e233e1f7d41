//! Folders: of files, and of objects.

use std::path::{Component, Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, anyhow, bail};
use futures_util::future::BoxFuture;
use futures_util::stream::{BoxStream, StreamExt, TryStreamExt, unfold};
use object_store::ObjectStore;
use s3_encryption_client::Release;
use tokio::sync::mpsc;

use super::copy::{Copier, CopyArgs};
use super::place::{Place, S3Url};
use super::{CONCURRENT, told};
use crate::cli::report::Report;

/// Files that were found and wait for their turn.
const FOUND: usize = 256;

/// Copies all that is in a folder; what can't be copied is named, and the rest copied.
pub(super) async fn copy(source: Place, target: Place, args: CopyArgs) -> anyhow::Result<ExitCode> {
    let copier = Arc::new(Copier::new(args)?);
    let jobs: BoxStream<'_, (String, BoxFuture<'_, anyhow::Result<()>>)> = match (source, target) {
        (Place::File(from), Place::S3(to)) => {
            let store = Arc::new(copier.store(&to.bucket, Release::Delayed)?);
            anyhow::ensure!(from.is_dir(), "{} is no folder", from.display());
            let copier = copier.clone();
            files(from.clone())
                .map(move |file| {
                    let (copier, store, to, from) = (copier.clone(), store.clone(), to.clone(), from.clone());
                    let name = file
                        .as_ref()
                        .map_or_else(|(name, _)| name.clone(), |file| file.display().to_string());
                    let job: BoxFuture<'_, _> = Box::pin(async move {
                        let file = file.map_err(|(_, error)| error)?;
                        let to = to.join(&relative(&file, &from)?).map_err(|why| anyhow!(why))?;
                        copier.put_file(&file, &store, &to).await
                    });
                    (name, job)
                })
                .boxed()
        }
        (Place::S3(from), Place::File(to)) => {
            let store = Arc::new(copier.store(&from.bucket, Release::Delayed)?);
            let copier = copier.clone();
            objects(&store, &from)
                .map(move |found| {
                    let (copier, store, to, from) = (copier.clone(), store.clone(), to.clone(), from.clone());
                    let name = found.as_ref().map_or_else(|_| from.to_string(), ToString::to_string);
                    let job: BoxFuture<'_, _> = Box::pin(async move {
                        let (object, relative) = below(found?, &from)?;
                        let file = inside(&to, &relative)?;
                        if let Some(folder) = file.parent() {
                            std::fs::create_dir_all(folder)
                                .with_context(|| format!("can't make {}", folder.display()))?;
                        }
                        copier.get_file(&store, &object, &file).await
                    });
                    (name, job)
                })
                .boxed()
        }
        (Place::S3(from), Place::S3(to)) => {
            let reading = Arc::new(copier.store(&from.bucket, copier.holding())?);
            let writing = Arc::new(copier.store(&to.bucket, copier.holding())?);
            let copier = copier.clone();
            objects(&reading, &from)
                .map(move |found| {
                    let (copier, reading, writing) = (copier.clone(), reading.clone(), writing.clone());
                    let (to, from) = (to.clone(), from.clone());
                    let name = found.as_ref().map_or_else(|_| from.to_string(), ToString::to_string);
                    let job: BoxFuture<'_, _> = Box::pin(async move {
                        let (object, relative) = below(found?, &from)?;
                        let to = to.join(&relative).map_err(|why| anyhow!(why))?;
                        copier.reseal(&reading, &object, &writing, &to).await
                    });
                    (name, job)
                })
                .boxed()
        }
        _ => bail!("--recursive copies between folders and s3:// URLs"),
    };
    let mut results = jobs.map(|(name, job)| async move { (name, job.await) }).buffer_unordered(CONCURRENT);
    let mut report = Report::of(&["objects"]);
    while let Some((name, result)) = results.next().await {
        match result {
            Ok(()) => {
                report.count("objects", 1);
                copier.done();
            }
            Err(error) => report.fault("not copied", name, format!("{error:#}")),
        }
    }
    Ok(report.show(false, "all was copied", "the rest was copied"))
}

/// The objects of a folder, without instruction files.
pub(super) fn objects(
    store: &super::connection::Store,
    folder: &S3Url,
) -> BoxStream<'static, anyhow::Result<S3Url>> {
    let folder = folder.clone();
    let listed = store.list(Some(&folder.name));
    listed.map_ok(move |meta| folder.of(meta.location)).map_err(told).boxed()
}

/// An object with its name inside of the folder.
fn below(object: S3Url, folder: &S3Url) -> anyhow::Result<(S3Url, String)> {
    let (name, prefix) = (object.name.as_ref(), folder.name.as_ref());
    let inside = name.strip_prefix(prefix).map(|rest| rest.trim_start_matches('/').to_owned());
    let inside =
        inside.filter(|rest| !rest.is_empty()).with_context(|| format!("{object} is not in {folder}"))?;
    Ok((object, inside))
}

/// The file of an object's name, which must not lead out of the folder.
fn inside(folder: &Path, name: &str) -> anyhow::Result<PathBuf> {
    let relative = Path::new(name);
    let is_safe = relative.components().all(|part| matches!(part, Component::Normal(_)));
    anyhow::ensure!(is_safe, "{name:?} is no name for a file");
    Ok(folder.join(relative))
}

fn relative(file: &Path, folder: &Path) -> anyhow::Result<String> {
    let relative = file.strip_prefix(folder)?;
    Ok(relative.to_str().context("its name is not UTF-8")?.to_owned())
}

/// A file that was found, or what can't be read, with the reason.
type Found = Result<PathBuf, (String, anyhow::Error)>;

/// The files below a folder. Links are left out: they can lead anywhere, and in circles.
fn files(folder: PathBuf) -> BoxStream<'static, Found> {
    let (found, finds) = mpsc::channel(FOUND);
    // It ends with the last file, or when nobody takes any more.
    tokio::task::spawn_blocking(move || walk(folder, &found));
    unfold(finds, |mut finds| async { finds.recv().await.map(|file| (file, finds)) }).boxed()
}

fn walk(folder: PathBuf, found: &mpsc::Sender<Found>) {
    let mut folders = vec![folder];
    while let Some(folder) = folders.pop() {
        let unreadable = |error: std::io::Error| (folder.display().to_string(), error.into());
        let entries = match std::fs::read_dir(&folder) {
            Ok(entries) => entries,
            Err(error) => {
                if found.blocking_send(Err(unreadable(error))).is_err() {
                    return;
                }
                continue;
            }
        };
        for entry in entries {
            let kind = entry.and_then(|entry| Ok((entry.file_type()?, entry.path())));
            let file = match kind {
                Ok((kind, path)) if kind.is_dir() => {
                    folders.push(path);
                    continue;
                }
                Ok((kind, path)) if kind.is_file() => Ok(path),
                Ok(_) => continue,
                Err(error) => Err(unreadable(error)),
            };
            if found.blocking_send(file).is_err() {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_name_leads_out_of_the_folder() {
        let folder = Path::new("/f");
        assert_eq!(inside(folder, "a/b").expect("a file"), Path::new("/f/a/b"));
        for name in ["../a", "a/../../b", "/a"] {
            assert!(inside(folder, name).is_err(), "{name}");
        }
    }
}
