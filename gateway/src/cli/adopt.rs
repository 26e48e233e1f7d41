//! `sealgate adopt`: an operator's word that a data folder is the right one as it stands.

use std::process::ExitCode;

use anyhow::{Context, ensure};

use super::output;
use crate::app::App;
use crate::config::Config;
use crate::instance::{DataFolder, IfAbsent};
use crate::transfer::journal;

/// Blobs that are tried to see whether they are of this key store.
const TRIED: usize = 20;

/// Takes every part for the right one, if the key store opens catalog and blobs.
pub(super) fn run(config: Config) -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let folder = DataFolder::open(&config, IfAbsent::Adopt)?;
        let id = folder.instance.id.clone();
        let (app, _) = App::open(&config, folder).await?;
        let records = app.catalog.verify().await.context("the catalog's records were compared with its own digest")?;
        let (mut opened, mut unreadable) = (0, 0);
        for info in app.blobs.list(None, TRIED).await? {
            let sealed = app.blobs.read_trailer(&info.blob).await?;
            match journal::open(&app.metadata_key, &info.owner, &sealed) {
                Ok(_) => opened += 1,
                Err(_) => unreadable += 1,
            }
        }
        ensure!(
            unreadable == 0 || opened > 0,
            "the blobs are not of this key store: none of {unreadable} opens; put the right folder in their place"
        );
        let number = app.stores.storage.commit_number();
        app.close().await?;
        output::fact("data_folder", &*id);
        output::fact("records", records);
        output::fact("commit", number);
        println!("taken as it stands: data folder {id}, {records} records, commit {number}");
        println!("what was committed later than the catalog tells is not in it: `sealgate check` names blobs without a");
        println!("record, and `sealgate rebuild --add` brings in what they hold");
        Ok(ExitCode::SUCCESS)
    })
}
