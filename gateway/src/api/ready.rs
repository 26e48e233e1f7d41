//! `GET /-/ready`: may requests be sent to this gateway, and if not, why. For load balancers and people; it names no secret and nothing
//! stored.

use http::header::CONTENT_TYPE;
use http::{HeaderValue, Response, StatusCode};
use serde::Serialize;
use storage::kv::Standing;

use crate::app::App;
use crate::http::body::ResponseBody;

/// The path. No bucket is called `-`.
pub const PATH: &str = "/-/ready";

/// Why a gateway has no open stores.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Closed {
    /// It waits for the passphrase of its root key.
    #[default]
    Sealed,
    /// Another gateway has ended its session, and it opens everything anew.
    SessionLost,
}

impl Closed {
    /// For people.
    pub fn reason(self) -> &'static str {
        match self {
            Self::Sealed => "the gateway is sealed: it waits for the passphrase of its root key",
            Self::SessionLost => {
                "the session of this gateway was lost, and it is opened anew: this takes seconds, unless the metadata server is away"
            }
        }
    }
}

/// The answer where nothing is open.
#[derive(Debug, Serialize)]
struct NotOpen {
    ready: bool,
    sealed: bool,
    reason: &'static str,
}

/// The answer.
#[derive(Debug, Serialize)]
struct Ready {
    ready: bool,
    /// What none of the checks tells by itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
    /// The records: can they be read and written?
    map: Check,
    /// The keys: likewise.
    keys: Check,
    /// The object store, where blobs are in one. It does not decide: what needs no blob is served without.
    blobs: Check,
    /// This host's clock.
    clock: ClockCheck,
    /// Free space, where records or blobs are on this host.
    space: SpaceCheck,
    /// What is known of other gateways' changes.
    state: StateCheck,
    /// The audit log, where the settings require it: can it be written?
    audit: Check,
}

#[derive(Debug, Serialize)]
struct Check {
    ok: bool,
}

#[derive(Debug, Serialize)]
struct ClockCheck {
    ok: bool,
    /// By how much it is ahead of the map's; `null`: there is no other.
    ahead_ms: Option<i64>,
}

#[derive(Debug, Serialize)]
struct SpaceCheck {
    ok: bool,
    /// Bytes that are free; `null`: nothing is kept here, or nobody can tell.
    free_len: Option<u64>,
}

impl SpaceCheck {
    fn of(app: &App) -> Self {
        let storage = &app.stores.storage;
        let is_local = storage.local_blobs().is_some() || !app.stores.folder.is_state();
        let found = is_local.then(|| rustix::fs::statvfs(&app.config.data).ok()).flatten();
        let free_len = found.map(|found| found.f_bavail.saturating_mul(found.f_frsize));
        Self { ok: free_len.is_none_or(|free| free >= app.config.min_free_len), free_len }
    }
}

#[derive(Debug, Serialize)]
struct StateCheck {
    ok: bool,
    /// How old it is; `null`: nobody else changes anything.
    age_ms: Option<u64>,
}

impl Ready {
    fn of(app: &App) -> Self {
        let is_lost = *app.catalog.session_ended().borrow();
        let map = app.catalog.standing() != Standing::Failed && !is_lost;
        let keys = app.kms.standing() == kms_core::kms::Standing::Writable;
        let (clock, state) = (app.clock.is_right(), app.watch.is_current());
        let space = SpaceCheck::of(app);
        let audit = app.audit.as_ref().is_none_or(|audit| audit.check().is_ok());
        Self {
            ready: map && keys && clock && state && space.ok && audit,
            reason: is_lost.then(|| Closed::SessionLost.reason()),
            map: Check { ok: map && state },
            keys: Check { ok: keys },
            blobs: Check { ok: app.store_state.is_reached() },
            clock: ClockCheck { ok: clock, ahead_ms: app.clock.ahead_ms() },
            space,
            state: StateCheck {
                ok: state,
                age_ms: app.watch.age().map(|age| u64::try_from(age.as_millis()).unwrap_or(u64::MAX)),
            },
            audit: Check { ok: audit },
        }
    }
}

/// Is it ready, in one word?
pub fn is_ready(app: &App) -> bool {
    Ready::of(app).ready
}

/// Each thing that is looked at, and whether it is well; without open stores nothing is.
pub fn checks(app: Option<&App>) -> [(&'static str, bool); 7] {
    let ready = app.map(Ready::of);
    let of = |check: fn(&Ready) -> bool| ready.as_ref().is_some_and(check);
    [
        ("map", of(|ready| ready.map.ok)),
        ("keys", of(|ready| ready.keys.ok)),
        ("blobs", of(|ready| ready.blobs.ok)),
        ("clock", of(|ready| ready.clock.ok)),
        ("space", of(|ready| ready.space.ok)),
        ("state", of(|ready| ready.state.ok)),
        ("audit", of(|ready| ready.audit.ok)),
    ]
}

/// The whole answer; without open stores it is short.
pub fn answer(app: Result<&App, Closed>) -> Response<ResponseBody> {
    let (is_ready, text) = match app {
        Ok(app) => {
            let ready = Ready::of(app);
            (ready.ready, serde_json::to_string(&ready).unwrap_or_default())
        }
        Err(closed) => {
            let told = NotOpen { ready: false, sealed: closed == Closed::Sealed, reason: closed.reason() };
            (false, serde_json::to_string(&told).unwrap_or_default())
        }
    };
    let mut response = Response::new(ResponseBody::full(text + "\n"));
    if !is_ready {
        *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
    }
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
