//! Object lock of a bucket.

use serde::{Deserialize, Serialize};
use storage::catalog::{EventHold, Lock, Period, Retention, RetentionMode};
use storage::name::Timestamp;

use super::Setting;

/// Object lock is on; once it is, it stays.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObjectLock {
    /// What a new object gets that names none.
    pub default: Option<DefaultRetention>,
}

/// The protection that a new object gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct DefaultRetention {
    /// How it binds.
    pub mode: RetentionMode,
    /// For how long; `None`: only an event hold.
    pub period: Option<Period>,
    /// How long the retention is that follows an event hold.
    pub event_hold: Option<Period>,
}

impl Setting for ObjectLock {
    const NAME: &'static str = storage::catalog::LOCK_SETTING;
}

impl ObjectLock {
    /// What protects an object that is written now and names no protection.
    pub fn default_lock(&self, now: Timestamp) -> Lock {
        let Some(DefaultRetention { mode, period, event_hold }) = self.default else {
            return Lock::default();
        };
        Lock {
            retention: period.map(|period| Retention { mode, until: period.after(now) }),
            event_hold: event_hold.map(|period| EventHold { mode, period }),
            legal_hold: false,
        }
    }
}
