//! What a running gateway consists of, and how it is put together: concrete types meet only here.

pub mod migrate;
mod session;
mod shared;
mod store_state;

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use kms_core::kms::{Kms, KmsConfig};
use kms_core::root::RootKey;
use storage::blob::BlobStore;
use storage::blob::fs::FsOptions;
use storage::catalog::{Bucket, Catalog};
use storage::kv::Standing;
use storage::kv::sled::{OpenKvError, SledConfig, SledKv};
use storage::open::{BlobPlace, OpenError, RecordOptions, RecordPlace, Storage, StorageConfig};
use storage::reclaim::{ReclaimOptions, Reclaimer};

use self::session::RunningSession;
pub use self::store_state::StoreState;
use crate::auth::{Failures, Keys};
use crate::authz::Authorizer;
use crate::blobs::{self, Blobs};
use crate::bucket::Ownership;
use crate::clock::Clock;
use crate::cluster::{Cluster, FORMAT, WITH_STRETCHES};
use crate::config::{Config, LdapConfig, SignatureV2, SseCNewBuckets, SseCOverHttp};
use crate::federation::ldap::Ldap;
use crate::federation::oidc::Verifier;
use crate::http::client;
use crate::iam::{self, ANONYMOUS, Account, Iam, IamError, IamOptions};
use crate::instance::{Credentials, DataFolder, IfAbsent, Part, kms_places};
use crate::kv_key_store::KvKeyStore;
use crate::observe::audit::AuditLog;
use crate::observe::jobs::JobStates;
use crate::root;
use crate::sealed_kv::{MetadataKey, RecordDigester, SealedKv};
use crate::sse::Sse;
use crate::transfer::journal::Records;
use crate::watch::Watch;
use crate::work::ExpensiveCalls;

/// The parts that operations are made of; one per process, shared by all requests.
pub struct App {
    /// The settings that it was opened with.
    pub config: Arc<Config>,
    /// The region that requests are signed for.
    pub region: String,
    /// Domains of virtual-host style requests (`bucket.domain`).
    pub domains: Vec<String>,
    /// May SSE-C keys travel over plain HTTP?
    pub sse_c_over_http: SseCOverHttp,
    /// May objects of new buckets be written with SSE-C?
    pub sse_c_new_buckets: SseCNewBuckets,
    /// Is AWS Signature Version 2 taken?
    pub signature_v2: SignatureV2,
    /// Is a bucket refused whose location constraint is us-east-1?
    pub strict_location_constraint: bool,
    /// Who owns what is written into a new bucket.
    pub default_object_ownership: Ownership,
    /// Is public access to a new bucket blocked?
    pub default_block_public_access: bool,
    /// How long a day of lifecycle rules is.
    pub lifecycle_day_ms: u64,
    /// Sealed content of at most so many bytes is kept in its record.
    pub inline_len: u64,
    /// The smallest part, but for the last, in bytes: AWS's 5 MiB.
    pub min_part_len: u64,
    /// Accounts, and who is in them.
    pub iam: Arc<Iam>,
    /// Is the object store reached?
    pub store_state: StoreState,
    /// How far this host's clock is from that of others over the same records.
    pub clock: Arc<Clock>,
    /// Sees what other gateways change.
    pub watch: Arc<Watch>,
    /// Signatures that failed.
    pub failures: Failures,
    /// Calls that cost much, by caller.
    pub expensive_calls: ExpensiveCalls,
    /// Verifies tokens of identity providers.
    pub web_identities: Verifier,
    /// The directory that logins are checked against, and the role of those that name none.
    pub ldap: Option<(Ldap, Option<String>)>,
    /// Judges who may do what to buckets and objects.
    pub authorizer: Authorizer,
    /// Records.
    pub catalog: Catalog,
    /// Blobs.
    pub blobs: Arc<dyn BlobStore>,
    /// Frees space.
    pub reclaimer: Reclaimer,
    /// The key management service.
    pub kms: Arc<Kms>,
    /// Which ContentKey, and how it is wrapped.
    pub sse: Sse,
    /// What seals catalog values and blob trailers.
    pub metadata_key: Arc<MetadataKey>,
    /// The open stores.
    pub stores: Stores,
    /// The session, where others share the records.
    session: Option<RunningSession>,
    /// How the background jobs are getting on.
    pub job_states: JobStates,
    /// The audit, if there is one.
    pub audit: Option<Arc<AuditLog>>,
    /// When it was opened.
    pub started: Instant,
}

/// AWS's smallest part, but for the last.
const MIN_PART_LEN: u64 = 5 << 20;
/// What the metadata key is kept as in the key store.
const METADATA_PURPOSE: &str = "catalog";
/// What the secret of digests over all records is kept as in the key store.
const DIGEST_PURPOSE: &str = "catalog digest";
/// How long the audit's webhook may take for a batch of lines.
const AUDIT_WEBHOOK_TIMEOUT: Duration = Duration::from_secs(30);
/// What the key of access keys and sessions is kept as in the key store.
const IDENTITIES_PURPOSE: &str = "identities";

fn reclaim_options(config: &Config) -> ReclaimOptions {
    let usual = ReclaimOptions::default();
    let displaced_grace = usual.displaced_grace.max(config.places.blob_retention);
    ReclaimOptions { quarantine: config.quarantine, displaced_grace, ..usual }
}

impl App {
    /// Opens everything in a data folder.
    pub async fn open(config: &Config, folder: DataFolder) -> anyhow::Result<(Self, Credentials)> {
        Self::over(config, Stores::open(config, folder).await?).await
    }

    /// As [`App::open`], for whoever checks what is there: identities that can't be read are answered, and all else opens without them.
    pub async fn open_to_check(
        config: &Config,
        folder: DataFolder,
        root: Arc<dyn RootKey>,
    ) -> anyhow::Result<(Self, Option<IamError>)> {
        let stores = Stores::open_with(config, folder, root).await?;
        let (app, _, damaged) = Self::over_damaged(config, stores).await?;
        Ok((app, damaged))
    }

    /// Opens everything of a gateway whose records and keys are in a server; `folder`: from [`DataFolder::open_state`].
    pub async fn open_shared(config: &Config, folder: DataFolder) -> anyhow::Result<(Self, Credentials)> {
        let metadata = config.places.metadata.as_ref().context("metadata is not set")?;
        // What can be refused without touching anything comes first.
        Credentials::load(config)?;
        Self::over(config, Stores::open_shared(config, metadata, folder).await?).await
    }

    /// As [`App::open`], with a root key that is at hand.
    pub async fn open_with(
        config: &Config,
        folder: DataFolder,
        root: Arc<dyn RootKey>,
    ) -> anyhow::Result<(Self, Credentials)> {
        Self::over(config, Stores::open_with(config, folder, root).await?).await
    }

    async fn over(config: &Config, stores: Stores) -> anyhow::Result<(Self, Credentials)> {
        match Self::over_damaged(config, stores).await? {
            (app, credentials, None) => Ok((app, credentials)),
            (_, _, Some(error)) => Err(error.into()),
        }
    }

    async fn over_damaged(
        config: &Config,
        mut stores: Stores,
    ) -> anyhow::Result<(Self, Credentials, Option<IamError>)> {
        let credentials = Credentials::load(config)?;
        let is_shared = stores.folder.is_state();
        let sealed = SealedKv::new(stores.storage.kv.clone(), stores.metadata_key.clone());
        let catalog = Catalog::new(Arc::new(sealed));
        // Of sessions before one knows what they left behind only if the catalog is exactly as they left it.
        let former_end = stores.storage.former_end().filter(|_| !stores.folder.instance.doubtful);
        let clock = Arc::new(match is_shared {
            true => Clock::shared(&stores.storage.kv).await?,
            false => Clock::alone(),
        });
        let session = match is_shared {
            true => {
                let session = RunningSession::join(config, &catalog, stores.storage.ids().clone()).await?;
                // Others may have brought the records forward since they were looked at.
                let form = Cluster::form_for_all(&*stores.storage.kv, &catalog, FORMAT).await?;
                tracing::debug!(form, "all gateways know this form of records");
                catalog.set_notes_stretches(form >= WITH_STRETCHES);
                Some(session)
            }
            false => {
                catalog.begin_session_of(stores.storage.ids(), former_end).await?;
                None
            }
        };
        stores.folder.set_doubtful(false)?;
        let root = (credentials.access_key_id.clone(), credentials.secret_access_key.clone());
        let secret = stores.kms.metadata_key(IDENTITIES_PURPOSE)?;
        let options = IamOptions {
            main: stores.folder.instance.account_id.clone(),
            accept_unknown_principals: config.accept_unknown_principals,
            accept_missing_documents: config.accept_missing_documents,
            shared: stores.shared_keys.is_some(),
        };
        let (iam, damaged) = match Iam::open(catalog.clone(), &secret, options.clone(), root.clone()).await {
            Ok(iam) => (iam, None),
            Err(error) => (Iam::empty(catalog.clone(), &secret, options, root)?, Some(error)),
        };
        let iam = Arc::new(iam);
        stores.kms.set_directory(iam::directory(&iam));
        let watch = Arc::new(match &stores.shared_keys {
            Some(keys) => Watch::shared(catalog.clone(), iam.clone(), stores.kms.clone(), keys.clone()),
            None => Watch::alone(),
        });
        let app = Self {
            config: Arc::new(config.clone()),
            region: config.region.clone(),
            domains: config.domains.clone(),
            sse_c_over_http: config.sse_c_over_http,
            sse_c_new_buckets: config.sse_c_new_buckets,
            signature_v2: config.signature_v2,
            strict_location_constraint: config.strict_location_constraint,
            default_object_ownership: config.default_object_ownership.into(),
            default_block_public_access: config.default_block_public_access,
            lifecycle_day_ms: config.lifecycle_day.as_millis() as u64,
            inline_len: config.places.inline_len,
            min_part_len: MIN_PART_LEN,
            authorizer: Authorizer::new(iam.clone(), catalog.clone()),
            iam,
            failures: Failures::new(config.auth_failures_per_minute),
            expensive_calls: ExpensiveCalls::new(config.kms_expensive_calls_per_second),
            web_identities: Verifier::new(),
            ldap: config.ldap.as_ref().map(open_ldap).transpose()?,
            reclaimer: Reclaimer::new(catalog.clone(), stores.storage.blobs.clone(), reclaim_options(config)),
            catalog,
            blobs: stores.storage.blobs.clone(),
            kms: stores.kms.clone(),
            sse: Sse::new(
                stores.kms.clone(),
                stores.folder.instance.region.clone(),
                config.bucket_key_window,
                watch.clone(),
            ),
            watch,
            clock,
            store_state: StoreState::new(stores.objects.clone()),
            metadata_key: stores.metadata_key.clone(),
            stores,
            session,
            job_states: JobStates::default(),
            audit: open_audit(config)?,
            started: Instant::now(),
        };
        Ok((app, credentials, damaged))
    }

    /// Can it write? Not while an engine that failed is not open again.
    pub fn is_ready(&self) -> bool {
        self.catalog.standing() != Standing::Failed
            && self.kms.standing() == kms_core::kms::Standing::Writable
    }

    /// What signatures are checked against.
    pub fn keys(&self) -> Keys<'_> {
        Keys { iam: &self.iam, failures: &self.failures, counts_unknown: true }
    }

    /// Whose bucket it is.
    pub fn owner_of(&self, bucket: &Bucket) -> Arc<Account> {
        self.account_of(&bucket.owner)
    }

    /// The account of this id (12 digits, or [`ANONYMOUS`]).
    pub fn account_of(&self, id: &str) -> Arc<Account> {
        if id == ANONYMOUS {
            return Arc::new(Account::anonymous());
        }
        // Of an account that is not known (any more) there is its number.
        self.iam.account(id).unwrap_or_else(|| Arc::new(Account::new(id, "", "", 0)))
    }

    /// Where records and their journals are written.
    pub fn records(&self) -> Records<'_> {
        self.records_in(&self.catalog)
    }

    /// The same for a job, by the catalog of its lease.
    pub fn records_in<'a>(&'a self, catalog: &'a Catalog) -> Records<'a> {
        Records { catalog, blobs: &self.blobs, metadata_key: &self.metadata_key }
    }

    /// Closes the stores, once no request runs any more.
    pub async fn close(self) -> anyhow::Result<()> {
        self.iam.write_last_uses().await?;
        if let Some(session) = self.session {
            session.leave().await;
        }
        let Self {
            stores, catalog, blobs, reclaimer, kms, sse, metadata_key, iam, authorizer, watch, ..
        } = self;
        drop((catalog, blobs, reclaimer, kms, sse, metadata_key, iam, authorizer, watch));
        stores.close().await
    }
}

fn open_ldap(config: &LdapConfig) -> anyhow::Result<(Ldap, Option<String>)> {
    let password = root::secret_in(&config.lookup_password_file)?;
    let ldap = Ldap::open(config, password).context("the settings of the LDAP directory")?;
    Ok((ldap, config.role_arn.clone()))
}

/// The stores of a data folder, opened.
pub struct Stores {
    /// The engines of records (without their seal) and blobs.
    pub storage: Storage,
    /// The key management service.
    pub kms: Arc<Kms>,
    /// The object store of the blobs, if they are in one.
    pub objects: Option<Blobs>,
    /// Where its keys are, if other gateways use them too: identities and keys are watched then.
    pub shared_keys: Option<Arc<KvKeyStore>>,
    /// What seals catalog values and blob trailers.
    pub metadata_key: Arc<MetadataKey>,
    /// What makes the digest over all records.
    pub digester: Arc<RecordDigester>,
    /// What the key store is rooted in.
    pub root: Arc<dyn RootKey>,
    /// Let go last.
    pub folder: DataFolder,
}

impl Stores {
    /// Opens the stores of a data folder. A root key that does not fit is refused before anything is touched.
    pub async fn open(config: &Config, folder: DataFolder) -> anyhow::Result<Self> {
        let root = root::open(config, &folder)?;
        Self::open_with(config, folder, root).await
    }

    async fn open_with(
        config: &Config,
        mut folder: DataFolder,
        root: Arc<dyn RootKey>,
    ) -> anyhow::Result<Self> {
        let kms = open_kms(config, &folder, root.clone())?;
        let (metadata_key, digester) = metadata(&kms)?;
        let accepts = matches!(folder.opened_as, IfAbsent::Rebuild | IfAbsent::Adopt);
        if accepts {
            folder.set_doubtful(true)?;
        }
        let id = folder.instance.id.clone();
        let objects = config.places.blobs.as_ref().map(blobs::open).transpose()?;
        folder.keep_blob_place(objects.is_some())?;
        let blobs = match objects.clone() {
            Some(objects) => {
                blobs::require(&objects).await?;
                blobs::claim(&objects, &id).await?;
                BlobPlace::Made(Arc::new(shared::Objects(objects)))
            }
            None => BlobPlace::Local {
                folder: folder.path.clone(),
                options: FsOptions { reserve_free: config.min_free_len, ..FsOptions::default() },
            },
        };
        let config = StorageConfig {
            blobs,
            records: RecordPlace::Local {
                folder: folder.path.clone(),
                options: RecordOptions {
                    cache_len: config.catalog_cache_len,
                    digester: digester.clone(),
                    accepts: accepts || folder.instance.unfinished,
                },
            },
        };
        let opened = match Storage::open(&config).await {
            // Nothing in it was ever served: what a first start that was cut off left is made anew.
            Err(OpenError::Kv(OpenKvError::Corrupt { .. })) if folder.instance.unfinished => {
                std::fs::remove_dir_all(folder.part(Part::Catalog))?;
                folder.write_id(Part::Catalog)?;
                Storage::open(&config).await
            }
            opened => opened,
        };
        let storage = opened?;
        folder.finish()?;
        Ok(Self {
            storage,
            kms: Arc::new(kms),
            objects,
            shared_keys: None,
            metadata_key,
            digester,
            root,
            folder,
        })
    }

    /// Flushes and closes.
    pub async fn close(self) -> anyhow::Result<()> {
        let Self { storage, kms, folder, .. } = self;
        storage.close().await.context("the catalog can't be flushed")?;
        let written = tokio::task::spawn_blocking({
            let kms = kms.clone();
            move || kms.write_last_uses()
        });
        written.await?.context("the last uses of keys can't be written")?;
        // Engines wait for the disk when they are dropped.
        tokio::task::spawn_blocking(move || drop((storage, kms))).await?;
        drop(folder);
        Ok(())
    }
}

/// What seals catalog values, and what makes the digest over them.
fn metadata(kms: &Kms) -> anyhow::Result<(Arc<MetadataKey>, Arc<RecordDigester>)> {
    let metadata_key = Arc::new(MetadataKey::new(kms.metadata_key(METADATA_PURPOSE)?));
    let digester = RecordDigester::new(&kms.metadata_key(DIGEST_PURPOSE)?, metadata_key.clone());
    Ok((metadata_key, Arc::new(digester)))
}

/// Opens the records of a data folder alone: to fill them from a backup.
pub async fn open_records(config: &Config, folder: &DataFolder, kms: &Kms) -> anyhow::Result<SledKv> {
    let path = folder.part(Part::Catalog);
    let options = SledConfig {
        digester: metadata(kms)?.1,
        head: Some(path.clone()),
        ..SledConfig::new(path, config.catalog_cache_len)
    };
    Ok(tokio::task::spawn_blocking(move || SledKv::open(&options)).await??)
}

/// Opens the key store of a data folder.
pub fn open_kms(config: &Config, folder: &DataFolder, root: Arc<dyn RootKey>) -> anyhow::Result<Kms> {
    Ok(Kms::open(kms_places(config, folder), root, kms_config(config, folder)?)?)
}

/// The audit of this process, if there is one.
pub fn open_audit(config: &Config) -> anyhow::Result<Option<Arc<AuditLog>>> {
    let Some(audit) = &config.logs.audit else { return Ok(None) };
    let agent = || client::agent(AUDIT_WEBHOOK_TIMEOUT);
    let log = AuditLog::open(audit, &config.data, &config.region, agent);
    Ok(Some(log.with_context(|| format!("can't open the audit log {}", audit.path.display()))?))
}

fn kms_config(config: &Config, folder: &DataFolder) -> anyhow::Result<KmsConfig> {
    let mut kms_config = KmsConfig::new(folder.instance.region.clone(), folder.instance.account_id.clone());
    kms_config.managed_key_rotation_days = config.managed_key_rotation_days;
    if let Some(audit) = open_audit(config)? {
        kms_config.audit = audit.of_keys();
    }
    Ok(kms_config)
}
