//! `sealgate backup` and `restore`: key store and catalog in one sealed file. Blobs are files that never change; they are copied
//! as files.
//!
//! ```text
//! header: one line of JSON, in the clear: which root key is needed, and the wrapped keys
//! pieces: length (4, big-endian) ‖ sealed piece; the last one is marked as such within its seal
//! a piece, opened: postcard of a list of (kind, name, value)
//! ```

use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, bail, ensure};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use kms_core::backup::BackupKey;
use kms_core::kms::Kms;
use kms_core::root::RootKey;
use serde::{Deserialize, Serialize};
use storage::kv::{KeyValue, Transaction, Write as KvWrite};
use storage::name::Timestamp;

use super::Out;
use crate::app::{self, App};
use crate::config::Config;
use crate::instance::{DataFolder, PASSPHRASE_FILE, Part, kms_places};
use crate::root;

/// 1 did not name the data folder's id.
const FORM: u32 = 2;
/// Bytes of a piece, about: what is held in memory.
const PIECE_LEN: usize = 256 << 10;
/// The longest sealed piece that is read: a piece, and one value of the catalog more.
const MAX_SEALED_LEN: u32 = 4 << 20;
/// Pieces between two syncs of the file.
const PIECES_PER_SYNC: u64 = 16;
/// Entries of one commit of a restore.
const RESTORED_AT_ONCE: usize = 200;
/// The longest header.
const MAX_HEADER_LEN: u64 = 64 << 10;

/// What a backup tells without any key.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Header {
    sealgate_backup: u32,
    /// When it was made, milliseconds since the Unix epoch.
    pub made_unix_ms: u64,
    /// The root key that it needs.
    pub root_id: String,
    /// The account.
    pub account_id: String,
    /// The region in ARNs.
    pub region: String,
    /// The data folder's id, which its blobs carry too.
    #[serde(default)]
    pub id: String,
    /// The domain key under the root key.
    wrapped_domain: String,
    /// The backup's key under the domain key.
    wrapped_key: String,
    /// Salt and costs of the passphrase, where the root key is one's.
    passphrase: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
enum Kind {
    Catalog,
    Kms,
}

type Entry = (Kind, Vec<u8>, Vec<u8>);

/// Writes a backup to a new file: the catalog of one moment, for which nobody waits; the key store is copied after it, and so knows
/// every key that the catalog names.
pub(super) async fn backup(app: &Arc<App>, file: &Path, out: &Out) -> anyhow::Result<bool> {
    let mut options = File::options();
    std::os::unix::fs::OpenOptionsExt::mode(options.write(true).create_new(true), 0o600);
    let opened = options.open(file).with_context(|| format!("can't make {}", file.display()))?;
    let written = write(app, opened, out).await;
    if written.is_err() {
        let _ = std::fs::remove_file(file);
    }
    let (records, keys) = written?;
    out.fact("records", records).await?;
    out.fact("keys", keys).await?;
    out.fact("file", file.display().to_string()).await?;
    out.fact("root_key", app.stores.root.id()).await?;
    out.line(format!("{records} records of the catalog and {keys} of the key store in {}", file.display()))
        .await?;
    out.line(format!("it needs root key {}, and nothing of it can be read without", app.stores.root.id()))
        .await?;
    out.line("blobs are not in it: copy the folder `blobs` before and again after (files never change)")
        .await?;
    Ok(true)
}

async fn write(app: &Arc<App>, file: File, out: &Out) -> anyhow::Result<(u64, u64)> {
    // The header comes first and names the key, so the keys of this copy seal both parts.
    let first = app.kms.copy()?;
    let folder = &app.stores.folder;
    let passphrase = match std::fs::read_to_string(folder.path.join(PASSPHRASE_FILE)) {
        Ok(text) => Some(text),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
        Err(error) => return Err(error.into()),
    };
    let header = Header {
        sealgate_backup: FORM,
        made_unix_ms: Timestamp::now().unix_ms(),
        root_id: app.stores.root.id().to_owned(),
        account_id: folder.instance.account_id.clone(),
        region: folder.instance.region.clone(),
        id: folder.instance.id.clone(),
        wrapped_domain: STANDARD.encode(&first.wrapped_domain),
        wrapped_key: STANDARD.encode(&first.wrapped_key),
        passphrase,
    };
    let mut writer =
        Writer { file: BufWriter::new(file), key: first.key, number: 0, entries: Vec::new(), len: 0 };
    serde_json::to_writer(&mut writer.file, &header)?;
    writer.file.write_all(b"\n")?;

    let kv = &app.stores.storage.kv;
    let mut records = 0u64;
    let mut snapshot = kv.snapshot().await?;
    loop {
        let page = snapshot.next().await?;
        if page.is_empty() {
            break;
        }
        records += page.len() as u64;
        // The file is local, but its disk may be slow.
        tokio::task::block_in_place(|| {
            let mut entries = page.into_iter();
            entries.try_for_each(|(name, entry)| {
                writer.put((Kind::Catalog, name.to_vec(), entry.value.to_vec()))
            })
        })?;
        out.progress(format!("{records} records")).await?;
    }
    drop(snapshot);
    let keys = app.kms.copy()?.entries;
    let count = keys.len() as u64;
    for (name, value) in keys {
        writer.put((Kind::Kms, name, value))?;
    }
    tokio::task::spawn_blocking(move || writer.finish()).await??;
    Ok((records, count))
}

struct Writer {
    file: BufWriter<File>,
    key: BackupKey,
    number: u64,
    entries: Vec<Entry>,
    len: usize,
}

impl Writer {
    fn put(&mut self, entry: Entry) -> anyhow::Result<()> {
        self.len += entry.1.len() + entry.2.len();
        self.entries.push(entry);
        if self.len >= PIECE_LEN { self.piece(false) } else { Ok(()) }
    }

    fn piece(&mut self, is_last: bool) -> anyhow::Result<()> {
        let piece = postcard::to_allocvec(&std::mem::take(&mut self.entries))?;
        let sealed = self.key.seal(self.number, is_last, &piece);
        self.file.write_all(&u32::try_from(sealed.len())?.to_be_bytes())?;
        self.file.write_all(&sealed)?;
        (self.number, self.len) = (self.number + 1, 0);
        // Little by little: one long sync at the end would hold up everybody else's.
        if self.number.is_multiple_of(PIECES_PER_SYNC) {
            self.file.flush()?;
            self.file.get_ref().sync_data()?;
        }
        Ok(())
    }

    fn finish(mut self) -> anyhow::Result<()> {
        self.piece(true)?;
        Ok(self.file.into_inner().map_err(|error| error.into_error())?.sync_all()?)
    }
}

/// Makes a data folder of a backup, where there is none. Blobs are to be put beside it.
pub async fn restore(config: &Config, file: &Path) -> anyhow::Result<Header> {
    let opened = File::open(file).with_context(|| format!("can't read {}", file.display()))?;
    let mut reader = BufReader::new(opened);
    let mut line = Vec::new();
    Read::by_ref(&mut reader).take(MAX_HEADER_LEN).read_until(b'\n', &mut line)?;
    let header: Header =
        serde_json::from_slice(&line).with_context(|| format!("{} is no backup", file.display()))?;
    ensure!((1..=FORM).contains(&header.sealgate_backup), "a newer sealgate made the backup");
    let of_backup = Config {
        account_id: Some(header.account_id.clone()),
        region: header.region.clone(),
        ..config.clone()
    };
    ensure!(
        !config.data.join("instance.json").exists(),
        "{} is a data folder already; restore into a new one",
        config.data.display()
    );
    let id = Some(header.id.clone()).filter(|id| !id.is_empty());
    let mut folder = DataFolder::create(&of_backup, config.data.clone(), id)?;
    // Unfinished and doubtful: until the end it is not opened.
    folder.set_doubtful(true)?;
    if let Some(text) = &header.passphrase {
        std::fs::write(folder.path.join(PASSPHRASE_FILE), text)?;
    }
    let restored = restore_into(config, &mut folder, &header, reader).await;
    if restored.is_err() {
        // Nothing of it is of any use, and the next try wants an empty folder.
        let _ = std::fs::remove_dir_all(&folder.path);
    }
    restored.map(|()| header)
}

async fn restore_into(
    config: &Config,
    folder: &mut DataFolder,
    header: &Header,
    mut reader: BufReader<File>,
) -> anyhow::Result<()> {
    let mirror = kms_places(config, folder).mirror_log();
    ensure!(
        !mirror.exists(),
        "{} is the second copy of a key store: start the gateway with it, or move it away before you restore",
        mirror.display()
    );
    let passphrase = || root::passphrase(config, "Passphrase of the root key");
    let root: Arc<dyn RootKey> = root::open_at(&config.root_key, folder, false, passphrase)?;
    let wrapped = (STANDARD.decode(&header.wrapped_domain)?, STANDARD.decode(&header.wrapped_key)?);
    let key = Kms::open_backup(&*root, &wrapped.0, &wrapped.1)?;
    let pieces_at = reader.stream_position()?;
    // Keys come first: without them the catalog can't be counted as its own.
    let mut keys = Vec::new();
    read(&mut reader, &key, async |entries| {
        let of_kms = entries.into_iter().filter(|(kind, ..)| *kind == Kind::Kms);
        keys.extend(of_kms.map(|(_, name, value)| (name, value)));
        Ok(())
    })
    .await?;
    let places = kms_places(config, folder);
    tokio::task::block_in_place(|| Kms::restore(places, keys))?;
    let kms = app::open_kms(config, folder, root)?;
    let catalog = app::open_records(config, folder, &kms).await?;
    reader.seek(SeekFrom::Start(pieces_at))?;
    read(&mut reader, &key, async |entries| {
        let of_catalog = entries.into_iter().filter(|(kind, ..)| *kind == Kind::Catalog);
        let writes: Vec<KvWrite> =
            of_catalog.map(|(_, name, value)| KvWrite::Put(name.into(), value.into())).collect();
        for some in writes.chunks(RESTORED_AT_ONCE) {
            catalog.commit(Transaction { conditions: Vec::new(), writes: some.to_vec() }).await?;
        }
        Ok(())
    })
    .await?;
    catalog.close().await?;
    tokio::task::block_in_place(|| drop((catalog, kms)));
    // Its blobs, which carry its id, are still to come.
    std::fs::remove_dir_all(folder.part(Part::Blobs))?;
    if header.id.is_empty() {
        folder.forget_id()?;
    }
    Ok(folder.finish()?)
}

/// Reads the pieces of a backup to its end, and hands on what is in each.
async fn read(
    reader: &mut BufReader<File>,
    key: &BackupKey,
    mut take: impl AsyncFnMut(Vec<Entry>) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let mut number = 0;
    loop {
        let mut len = [0; 4];
        reader.read_exact(&mut len).context("the backup was cut off")?;
        let len = u32::from_be_bytes(len);
        ensure!(len <= MAX_SEALED_LEN, "the backup is damaged: piece {number} is too long");
        let mut sealed = vec![0; len as usize];
        reader.read_exact(&mut sealed).context("the backup was cut off")?;
        let (piece, is_last) = match (key.open(number, false, &sealed), key.open(number, true, &sealed)) {
            (Some(piece), _) => (piece, false),
            (None, Some(piece)) => (piece, true),
            (None, None) => bail!("the backup is damaged: piece {number} does not open"),
        };
        take(postcard::from_bytes(piece.expose())?).await?;
        if is_last {
            break;
        }
        number += 1;
    }
    ensure!(reader.read(&mut [0])? == 0, "the backup is damaged: something stands behind its end");
    Ok(())
}
