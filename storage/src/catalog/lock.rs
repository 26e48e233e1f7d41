//! Object lock: what keeps a version from being deleted, and from losing that protection. Every commit that deletes or changes a
//! version asks here, so that nothing above can get around it.
//! <https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-lock.html>

use std::sync::atomic::{AtomicU64, Ordering};

use serde::{Deserialize, Serialize};

use crate::name::Timestamp;

/// The setting in a bucket's record that says that object lock is on; once it is, it stays.
pub const LOCK_SETTING: &str = "object-lock";

/// How a retention binds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RetentionMode {
    /// Whoever has the permission to bypass it may shorten it and delete.
    Governance,
    /// Nobody may, not even the root user.
    Compliance,
}

/// A retention period.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Retention {
    /// How it binds.
    pub mode: RetentionMode,
    /// Until when.
    pub until: Timestamp,
}

/// How long a period is, as it was given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Period {
    /// In days.
    Days(u32),
    /// In years of 365 days.
    Years(u32),
}

impl Period {
    /// The time that is this period after `from`.
    pub fn after(self, from: Timestamp) -> Timestamp {
        let days = match self {
            Self::Days(days) => u64::from(days),
            Self::Years(years) => u64::from(years) * 365,
        };
        Timestamp(from.unix_ms().saturating_add(days * 24 * 60 * 60 * 1000))
    }
}

/// A hold until an event: protects without an end; when it is released the period begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventHold {
    /// How it binds, and the retention that follows it.
    pub mode: RetentionMode,
    /// How long the retention is that follows it.
    pub period: Period,
}

/// All that protects a version.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lock {
    /// A retention period.
    pub retention: Option<Retention>,
    /// A hold until an event.
    pub event_hold: Option<EventHold>,
    /// A legal hold.
    pub legal_hold: bool,
}

/// By how much this host's clock is ahead of the map's: the host has one, however many catalogs are open.
static CLOCK_AHEAD_MS: AtomicU64 = AtomicU64::new(0);

/// Says by how much this host's clock is ahead of the map's, in milliseconds: locks end by the earlier of both.
pub fn set_clock_ahead(ahead_ms: i64) {
    CLOCK_AHEAD_MS.store(ahead_ms.max(0).unsigned_abs(), Ordering::Relaxed);
}

/// Whose request it is, as far as locks go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Authority {
    /// When.
    pub now: Timestamp,
    /// May it bypass governance?
    pub bypasses_governance: bool,
}

impl Authority {
    /// Nobody's in particular, now: by the earlier of this host's clock and that of the map, if gateways share it.
    pub fn usual() -> Self {
        let ahead = CLOCK_AHEAD_MS.load(Ordering::Relaxed);
        Self { now: Timestamp(Timestamp::now().unix_ms().saturating_sub(ahead)), bypasses_governance: false }
    }
}

impl Lock {
    /// May the version be deleted?
    pub fn allows_deletion(&self, authority: Authority) -> bool {
        !self.legal_hold && self.binding(authority.now).is_none_or(|mode| authority.may_loosen(mode))
    }

    /// May this lock become `next`? A legal hold comes and goes with a permission of its own; the rest only tightens.
    pub fn may_become(&self, next: &Self, authority: Authority) -> bool {
        let Some(mode) = self.binding(authority.now) else { return true };
        if authority.may_loosen(mode) {
            return true;
        }
        let held = match (self.event_hold, next.event_hold) {
            (None, _) => true,
            (Some(was), Some(is)) => is.mode == was.mode,
            // Released: the period begins now.
            (Some(was), None) => next.retention.is_some_and(|next| {
                next.mode == was.mode
                    && next.until.unix_ms() + RELEASE_SLACK_MS >= was.period.after(authority.now).unix_ms()
            }),
        };
        let retained = match (self.retention.filter(|was| was.until > authority.now), next.retention) {
            (None, _) => true,
            (Some(_), None) => false,
            (Some(was), Some(is)) => is.mode == was.mode && is.until >= was.until,
        };
        held && retained
    }

    /// How it binds now, if a retention or an event hold does.
    fn binding(&self, now: Timestamp) -> Option<RetentionMode> {
        let retained =
            self.retention.filter(|retention| retention.until > now).map(|retention| retention.mode);
        let held = self.event_hold.map(|hold| hold.mode);
        match (retained, held) {
            (Some(RetentionMode::Compliance), _) | (_, Some(RetentionMode::Compliance)) => {
                Some(RetentionMode::Compliance)
            }
            (retained, held) => retained.or(held),
        }
    }
}

/// What may pass between the computation of a released hold's end and its commit.
const RELEASE_SLACK_MS: u64 = 60_000;

impl Authority {
    fn may_loosen(self, mode: RetentionMode) -> bool {
        mode == RetentionMode::Governance && self.bypasses_governance
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use RetentionMode::{Compliance, Governance};

    const NOW: Timestamp = Timestamp(1_000_000_000);
    const SOON: Timestamp = Timestamp(2_000_000_000);
    const LATER: Timestamp = Timestamp(3_000_000_000);

    fn retained(mode: RetentionMode, until: Timestamp) -> Lock {
        Lock { retention: Some(Retention { mode, until }), ..Lock::default() }
    }

    #[test]
    fn locks_end_by_the_earlier_of_two_clocks() {
        let before = Timestamp::now().unix_ms();
        set_clock_ahead(1000);
        assert!(Authority::usual().now.unix_ms() < before);
        set_clock_ahead(-1000);
        assert!(Authority::usual().now.unix_ms() >= before);
    }

    fn authority(bypasses_governance: bool) -> Authority {
        Authority { now: NOW, bypasses_governance }
    }

    #[test]
    fn what_keeps_from_deletion() {
        let held = Lock { legal_hold: true, ..Lock::default() };
        let hold =
            |mode| Lock { event_hold: Some(EventHold { mode, period: Period::Days(1) }), ..Lock::default() };
        for (lock, usually, with_bypass) in [
            (Lock::default(), true, true),
            (held, false, false),
            (retained(Governance, SOON), false, true),
            (retained(Compliance, SOON), false, false),
            (retained(Compliance, NOW), true, true),
            (hold(Governance), false, true),
            (hold(Compliance), false, false),
        ] {
            assert_eq!(lock.allows_deletion(authority(false)), usually, "{lock:?}");
            assert_eq!(lock.allows_deletion(authority(true)), with_bypass, "{lock:?}");
        }
    }

    #[test]
    fn a_lock_only_tightens() {
        for (from, to, usually, with_bypass) in [
            (Lock::default(), retained(Compliance, SOON), true, true),
            (retained(Governance, SOON), retained(Governance, LATER), true, true),
            (retained(Governance, LATER), retained(Governance, SOON), false, true),
            (retained(Governance, SOON), retained(Compliance, SOON), false, true),
            (retained(Governance, SOON), Lock::default(), false, true),
            (retained(Compliance, SOON), retained(Compliance, LATER), true, true),
            (retained(Compliance, LATER), retained(Compliance, SOON), false, false),
            (retained(Compliance, SOON), retained(Governance, LATER), false, false),
            (retained(Compliance, SOON), Lock::default(), false, false),
            (retained(Compliance, NOW), Lock::default(), true, true),
        ] {
            assert_eq!(from.may_become(&to, authority(false)), usually, "{from:?} {to:?}");
            assert_eq!(from.may_become(&to, authority(true)), with_bypass, "{from:?} {to:?}");
        }
    }

    #[test]
    fn a_released_hold_leaves_its_period() {
        let hold = EventHold { mode: Compliance, period: Period::Days(2) };
        let held = Lock { event_hold: Some(hold), ..Lock::default() };
        assert!(!held.may_become(&Lock::default(), authority(true)));
        assert!(!held.may_become(&retained(Compliance, Period::Days(1).after(NOW)), authority(true)));
        assert!(held.may_become(&retained(Compliance, Period::Days(2).after(NOW)), authority(false)));
    }
}
