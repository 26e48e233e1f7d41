//! The map of keys on a runtime of its own. Who uses a key may wait for it with a lock held that others who serve requests want: were
//! it their threads that read the map's answers, all of them could wait for each other for ever.

use std::sync::{Arc, OnceLock};

use async_trait::async_trait;
use storage::kv::postgres::{OpenPostgresError, PostgresConfig, PostgresKv};
use storage::kv::{
    Direction, Entry, Key, KeyRange, KeyValue, KvError, Limits, Snapshot, Standing, Transaction,
};
use storage::name::Timestamp;
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::task::JoinHandle;

/// One for all of a process: a runtime must not end on a thread that serves.
static RUNTIME: OnceLock<Runtime> = OnceLock::new();

fn runtime() -> std::io::Result<Handle> {
    if let Some(runtime) = RUNTIME.get() {
        return Ok(runtime.handle().clone());
    }
    let made = Builder::new_multi_thread().worker_threads(1).thread_name("keys").enable_all().build()?;
    if let Err(twice) = RUNTIME.set(made) {
        twice.shutdown_background();
    }
    RUNTIME.get().map(|runtime| runtime.handle().clone()).ok_or_else(|| std::io::ErrorKind::Other.into())
}

/// Opens the map of keys; its connections, and all that it does, are on their own runtime.
///
/// # Errors
/// As of [`PostgresKv::open`], or when the system gives no thread.
pub async fn open(config: PostgresConfig) -> anyhow::Result<Arc<dyn KeyValue>> {
    let runtime = runtime()?;
    let kv: Result<PostgresKv, OpenPostgresError> = runtime.spawn(PostgresKv::open(config)).await?;
    Ok(Arc::new(Apart { kv: Arc::new(kv?), runtime }))
}

struct Apart {
    kv: Arc<dyn KeyValue>,
    runtime: Handle,
}

impl Apart {
    async fn on<T, F>(&self, work: impl FnOnce(Arc<dyn KeyValue>) -> F) -> Result<T, KvError>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, KvError>> + Send + 'static,
    {
        let done: JoinHandle<_> = self.runtime.spawn(work(self.kv.clone()));
        done.await.map_err(|error| KvError::Unavailable(Box::new(error)))?
    }
}

#[async_trait]
impl KeyValue for Apart {
    async fn get(&self, keys: &[Key]) -> Result<Vec<Option<Entry>>, KvError> {
        let keys = keys.to_vec();
        self.on(|kv| async move { kv.get(&keys).await }).await
    }

    async fn scan(
        &self,
        range: KeyRange,
        direction: Direction,
        limit: usize,
    ) -> Result<Vec<(Key, Entry)>, KvError> {
        self.on(|kv| async move { kv.scan(range, direction, limit).await }).await
    }

    async fn commit(&self, transaction: Transaction) -> Result<(), KvError> {
        self.on(|kv| async move { kv.commit(transaction).await }).await
    }

    fn limits(&self) -> Limits {
        self.kv.limits()
    }

    async fn snapshot(&self) -> Result<Box<dyn Snapshot>, KvError> {
        self.on(|kv| async move { kv.snapshot().await }).await
    }

    async fn verify(&self) -> Result<u64, KvError> {
        self.on(|kv| async move { kv.verify().await }).await
    }

    fn standing(&self) -> Standing {
        self.kv.standing()
    }

    async fn clock(&self) -> Result<Option<Timestamp>, KvError> {
        self.on(|kv| async move { kv.clock().await }).await
    }
}
