//! Is the object store reached that keeps the blobs? Asked now and then, for who looks whether the gateway is well.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use object_store::ObjectStoreExt;

use crate::blobs::Blobs;

/// How often it is asked.
const INTERVAL: Duration = Duration::from_secs(10);
/// How long an answer may take.
const DEADLINE: Duration = Duration::from_secs(5);

/// See the module.
pub struct StoreState {
    blobs: Option<Blobs>,
    is_reached: AtomicBool,
}

impl StoreState {
    /// Of a store that was reached just now; `None`: blobs are on a local disk.
    pub(super) fn new(blobs: Option<Blobs>) -> Self {
        Self { blobs, is_reached: AtomicBool::new(true) }
    }

    /// Was it reached when it was asked last?
    pub fn is_reached(&self) -> bool {
        self.is_reached.load(Ordering::Relaxed)
    }

    /// Asks again and again, for ever.
    pub async fn run(&self) {
        let Some(blobs) = &self.blobs else { return std::future::pending().await };
        let marker = blobs.prefix.clone().join("id");
        loop {
            tokio::time::sleep(INTERVAL).await;
            let is_reached = match tokio::time::timeout(DEADLINE, blobs.store.head(&marker)).await {
                Ok(Ok(_) | Err(object_store::Error::NotFound { .. })) => true,
                Ok(Err(error)) => {
                    tracing::debug!(%error, "the object store fails");
                    false
                }
                Err(_) => false,
            };
            match (self.is_reached.swap(is_reached, Ordering::Relaxed), is_reached) {
                (true, false) => tracing::error!("the object store of the blobs is not reached"),
                (false, true) => tracing::info!("the object store of the blobs is reached again"),
                _ => {}
            }
        }
    }
}
