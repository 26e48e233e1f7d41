//! `sealgate serve`.

use std::io::Write;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use kms_core::kms::Kms;
use kms_core::root::RootKey;
use parking_lot::{Mutex, RwLock};
use tokio::net::{TcpListener, UnixListener};
use tokio::signal::unix::{SignalKind, signal};

use super::greeting::{Addresses, announce};
use super::log::SetFilter;
use super::logs::Logs;
use super::notify::Notifier;
use super::reload;
use crate::admin::{Host, socket};
use crate::api::ready::Closed;
use crate::api::{self, Door};
use crate::app::App;
use crate::config::{Config, ListenerName, OptionalListen, Reloads, RootPlace};
use crate::console::{Console, ConsoleOrigins};
use crate::http::body::RequestBody;
use crate::http::listener::{Peer, listen, serve};
use crate::instance::{Credentials, DataFolder, IfAbsent, kms_places};
use crate::jobs::{Jobs, Paces, lifecycle, scrub};
use crate::memory;
use crate::observe::live;
use crate::observe::metrics::REQUESTS;
use crate::observe::reopen;
use crate::observe::request::Observers;
use crate::root;
use crate::traces::Traces;
use crate::work;

/// How often what a former session leaves behind is looked at, and how many times at the most.
const SETTLE_PAUSE: Duration = Duration::from_secs(5);
const SETTLE_ROUNDS: u32 = 120;
/// Between two looks whether the last request of a former session has ended.
const LET_GO_PAUSE: Duration = Duration::from_millis(20);
/// Pauses between two attempts to begin a new session.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
/// Connections of the listener for metrics, which has no signatures to tell its callers apart.
const MAX_METRICS_CONNECTIONS: usize = 32;
/// Connections of the console's listener, likewise: a browser opens six.
const MAX_CONSOLE_CONNECTIONS: usize = 256;

/// Connections that may be found ready at once: not more than the requests that a thread takes a step of (61) before it looks again. Of more
/// a thread's queue runs over into the one that all threads share, where what a commit has woken then waits behind them: the longest PUT
/// beside 500 connections took 1.6 times as long (`bench mixed`).
const MAX_READY: usize = 60;

/// Runs the gateway until it is told to stop.
pub(super) fn run(reloads: Reloads, log: SetFilter) -> anyhow::Result<ExitCode> {
    let (config, reloads) = (reloads.config(), Arc::new(reloads));
    // Before there is a secret in memory.
    if !config.allow_core_dumps {
        memory::forbid_dumps().context("core dumps can't be turned off (see allow_core_dumps)")?;
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .max_io_events_per_tick(MAX_READY)
        .thread_name("sealgate")
        .build()
        .context("can't start the runtime")?;
    let code = runtime.block_on(gateway(&config, &reloads, log));
    // Blocking work of abandoned requests must not hold the exit up.
    runtime.shutdown_timeout(std::time::Duration::from_secs(5));
    code
}

async fn gateway(config: &Config, reloads: &Arc<Reloads>, log: SetFilter) -> anyhow::Result<ExitCode> {
    let stop = stop_signal()?;
    let notifier = Notifier::from_environment();
    let hangup = signal(SignalKind::hangup())?;
    // What can be refused without touching anything comes first.
    let certificates = reload::follow_certificates(reloads)?;
    let acceptor = certificates.as_ref().map(|certificates| certificates.acceptor()).transpose()?;
    reload::follow_log(reloads, log);
    let listener = bind(config.listen, "--listen").await?;
    let address = listener.local_addr()?;
    let kms_listener = match config.kms_listen {
        Some(address) => Some(bind(address, "--kms-listen").await?),
        None => None,
    };

    let (metrics_listener, no_metrics) = bind_optional(config.metrics_listen, "--metrics-listen").await?;
    let (console_listener, no_console) = bind_optional(config.console.listen, "--console-listen").await?;

    let addresses = Addresses {
        main: address,
        kms: kms_listener.as_ref().map(TcpListener::local_addr).transpose()?,
        metrics: metrics_listener.as_ref().map(TcpListener::local_addr).transpose()?,
        console: console_listener.as_ref().map(TcpListener::local_addr).transpose()?,
    };
    let console_origins =
        Arc::new(ConsoleOrigins::of(&config.console, addresses.console, config.tls.is_some()));
    let is_shared = config.places.metadata.is_some();
    let folder = match is_shared {
        true => DataFolder::open_state(config)?,
        false => DataFolder::open(config, IfAbsent::Create)?,
    };
    let sealed = config.root_key == RootPlace::Passphrase && config.passphrase_file.is_none() && !is_shared;
    let admin = match socket::bind(&config.data) {
        Ok(admin) => Some(admin),
        // A path that is too long for a socket, or a file system that has none: all else works.
        Err(error) if !sealed => {
            tracing::warn!("there is no admin socket, so `sealgate kms` needs a stopped gateway: {error:#}");
            None
        }
        Err(error) => return Err(error),
    };
    let start = Start { config, addresses, folder, app: Current::default() };
    let app = start.app.clone();
    let logs = Logs::open(config, &app)?;
    // A gateway that waits for its passphrase answers already; any other opens its stores first.
    let sealed = match sealed {
        true => Some(start),
        false => {
            start.open().await?;
            None
        }
    };

    if let Some(error) = no_metrics {
        tracing::warn!("there is no listener for metrics: {error:#}");
    }
    if let Some(error) = no_console {
        tracing::warn!("there is no web console: {error:#}");
    }
    notifier.ready(&match &sealed {
        Some(_) => "Sealed: `sealgate kms unseal` opens it".to_owned(),
        None => format!("Serving at {address}"),
    });
    let options = |name| {
        reload::follow_listener(reloads, name)
            .context("the limit of open files can't be raised to what it may be")
    };
    let (options, kms_options) = (options(ListenerName::Listen)?, options(ListenerName::KmsListen)?);
    reloads.register("log files", |_: &Config| Ok(reload::apply(reopen::ask)));
    reloads.register("auth_failures_per_minute", {
        let app = app.clone();
        move |config: &Config| {
            let (app, per_minute) = (app.clone(), config.auth_failures_per_minute);
            Ok(reload::apply(move || {
                if let Some(app) = app.get() {
                    app.failures.set_per_minute(per_minute);
                }
            }))
        }
    });
    let observers = Observers::of_process().clone();
    let _requests = config.metrics_requests.then(|| observers.add(REQUESTS.clone()));
    let traces = match &config.otlp_endpoint {
        Some(endpoint) => {
            let (traces, observer) = Traces::start(endpoint).context("traces can't be sent")?;
            Some((traces, observers.add(observer)))
        }
        None => None,
    };
    let handler = |door| {
        let (app, origins) = (app.clone(), console_origins.clone());
        move |request, peer| {
            let app = app.open();
            let origin = origins.origin_of(&request);
            async move {
                if let Some(preflight) = origin.as_ref().and_then(|o| ConsoleOrigins::preflight(o, &request))
                {
                    return preflight;
                }
                let mut response = match app {
                    Ok(app) => work::timed(api::handle(app, door, request, peer)).await,
                    Err(why) => api::closed(door, request, why),
                };
                if let Some(origin) = origin {
                    ConsoleOrigins::write(origin, response.headers_mut());
                }
                response
            }
        }
    };
    let (stopping, stopped) = tokio::sync::watch::channel(false);
    let until_stop = |mut stopped: tokio::sync::watch::Receiver<bool>| async move {
        let _ = stopped.wait_for(|stop| *stop).await;
    };
    let kms_door = async {
        match kms_listener {
            Some(listener) => {
                let stop = until_stop(stopped.clone());
                serve(listener, acceptor.clone(), kms_options, observers.clone(), handler(Door::Kms), stop)
                    .await
            }
            None => true,
        }
    };
    let side_options = |max_connections: usize| {
        let mut own = options.borrow().clone();
        own.limits.max_connections = max_connections.min(own.limits.max_connections);
        own.limits.max_connections_per_address = 0;
        own.proxy_protocol = false;
        // Its limits stay as they are: nothing depends on them but itself.
        tokio::sync::watch::channel(own).1
    };
    let (metrics_options, console_options) =
        (side_options(MAX_METRICS_CONNECTIONS), side_options(MAX_CONSOLE_CONNECTIONS));
    let console_door = async {
        let Some(listener) = console_listener else { return true };
        let (app, console) = (app.clone(), Arc::new(Console::new(config, address)));
        let handler = move |request: http::Request<RequestBody>, _: Peer| {
            let (app, console) = (app.get(), console.clone());
            async move { console.handle(app.as_deref(), request) }
        };
        let stop = until_stop(stopped.clone());
        serve(listener, acceptor.clone(), console_options, Observers::default(), handler, stop).await
    };
    let metrics_door = async {
        let Some(listener) = metrics_listener else { return true };
        let (app, reloads) = (app.clone(), reloads.clone());
        let handler = move |request: http::Request<RequestBody>, _: Peer| {
            let (app, config) = (app.open(), reloads.config());
            async move { api::metrics::handle(app.as_deref().map_err(|why| *why), &config, &request).await }
        };
        serve(listener, None, metrics_options, Observers::default(), handler, until_stop(stopped.clone()))
            .await
    };
    let jobs = Mutex::new(None);
    let inside = async {
        let ended = tokio::select! {
            ended = work(reloads, admin, sealed, app.clone(), (addresses, &jobs)) => ended,
            never = reload::keep(reloads, hangup, certificates, &notifier) => match never {},
            ended = logs.run(&app) => ended,
            () = stop => Ok(()),
        };
        notifier.stopping();
        live::end_followers();
        let _ = stopping.send(true);
        ended
    };
    let serving = async {
        tokio::join!(
            serve(
                listener,
                acceptor.clone(),
                options,
                observers.clone(),
                handler(Door::Every),
                until_stop(stopped.clone())
            ),
            kms_door,
            metrics_door,
            console_door,
            inside,
        )
    };
    let (all_finished, kms_finished, _, _, ended) = tokio::select! {
        ended = serving => ended,
        never = notifier.watchdog() => match never {},
    };
    let _ = std::fs::remove_file(socket::path(&config.data));
    ended?;
    if !(all_finished && kms_finished) {
        tracing::warn!(
            limit_s = config.shutdown_timeout.as_secs(),
            "requests were still running when the limit for a stop was reached"
        );
    }
    if let Some(jobs) = jobs.into_inner() {
        jobs.stop().await;
    }
    if let Some((traces, _)) = traces {
        traces.stop().await;
    }
    logs.close(app.get()).await;
    // Nobody asks any more.
    match app.take(Closed::Sealed).map(Arc::into_inner) {
        Some(Some(app)) => app.close().await?,
        // A request that did not end in time still holds the stores; what it acknowledged is durable all the same.
        Some(None) => tracing::warn!("the stores are left as after a crash"),
        None => {}
    }
    tracing::info!("stopped");
    Ok(ExitCode::SUCCESS)
}

/// The gateway that serves requests now, or why there is none. Requests keep the one that they began with.
#[derive(Clone)]
pub(super) struct Current(Arc<RwLock<Result<Arc<App>, Closed>>>);

impl Default for Current {
    fn default() -> Self {
        Self(Arc::new(RwLock::new(Err(Closed::Sealed))))
    }
}

impl Current {
    pub(super) fn get(&self) -> Option<Arc<App>> {
        self.open().ok()
    }

    fn open(&self) -> Result<Arc<App>, Closed> {
        self.0.read().clone()
    }

    fn set(&self, app: Arc<App>) {
        *self.0.write() = Ok(app);
    }

    fn take(&self, why: Closed) -> Option<Arc<App>> {
        std::mem::replace(&mut *self.0.write(), Err(why)).ok()
    }
}

/// What a start needs besides its root key.
struct Start<'c> {
    config: &'c Config,
    addresses: Addresses,
    folder: DataFolder,
    app: Current,
}

impl Start<'_> {
    /// Opens the stores by the root key of the settings, and lets requests in.
    async fn open(self) -> anyhow::Result<()> {
        if self.folder.is_state() {
            let Self { config, addresses, folder, app } = self;
            let (opened, credentials) = App::open_shared(config, folder).await?;
            serve_from_now(config, addresses, &app, opened, &credentials, false);
            return Ok(());
        }
        let root = root::open(self.config, &self.folder)?;
        self.open_with(root).await
    }

    /// The same by this root key.
    async fn open_with(self, root: Arc<dyn RootKey>) -> anyhow::Result<()> {
        let Self { config, addresses, folder, app } = self;
        let first_start = folder.is_new;
        let (opened, credentials) = App::open_with(config, folder, root).await?;
        serve_from_now(config, addresses, &app, opened, &credentials, first_start);
        Ok(())
    }
}

fn serve_from_now(
    config: &Config,
    addresses: Addresses,
    app: &Current,
    opened: App,
    credentials: &Credentials,
    first_start: bool,
) {
    let opened = Arc::new(opened);
    app.set(opened.clone());
    if let Err(error) = announce(config, addresses, &opened, credentials, first_start) {
        // It serves all the same.
        tracing::warn!(%error, "the greeting could not be written");
    }
}

/// What runs beside the requests: first the wait for the passphrase of a sealed gateway, then jobs and the admin socket. Ends only
/// when it fails; what runs in it may be cut off.
async fn work(
    reloads: &Reloads,
    admin: Option<UnixListener>,
    sealed: Option<Start<'_>>,
    app: Current,
    (addresses, jobs): (Addresses, &Mutex<Option<Jobs>>),
) -> anyhow::Result<()> {
    let config = reloads.config();
    let config = &*config;
    if let (Some(start), Some(admin)) = (sealed, &admin) {
        let is_made = root::is_made(config, &start.folder)?;
        anyhow::ensure!(is_made, "the first start sets the passphrase: give it with --passphrase-file");
        let address = start.addresses.main;
        println!("Sealgate {} is sealed, at {address}", env!("CARGO_PKG_VERSION"));
        println!(
            "  open it with: sealgate kms unseal --root-key passphrase: --data {}",
            config.data.display()
        );
        std::io::stdout().flush()?;
        let root = socket::unsealed(admin, |passphrase| {
            let place = &config.root_key;
            let root = root::open_at(place, &start.folder, false, || Ok(passphrase.secret()))?;
            // Seen here, so that a wrong one can be given again.
            Kms::check_root(kms_places(config, &start.folder), &*root)?;
            Ok(root)
        })
        .await;
        start.open_with(root).await?;
    }
    tokio::try_join!(keep(reloads, &app, jobs), administer(config, admin, &app, addresses.urls(config)))?;
    Ok(())
}

/// Runs the jobs. A gateway whose session others have ended (it was suspended for long, or cut off) opens everything anew, in a session
/// of its own: of the former one nothing can be committed any more. Until that is done its requests are answered 503.
async fn keep(reloads: &Reloads, current: &Current, jobs: &Mutex<Option<Jobs>>) -> anyhow::Result<()> {
    let config = reloads.config();
    let paces = Paces {
        reclaim_interval: config.reclaim_interval,
        full_sweep_interval: config.full_sweep_interval,
        lifecycle: lifecycle::Pace { interval: config.lifecycle_interval, rate: config.lifecycle_rate },
        scrub: scrub::Pace { len_per_s: config.scrub_rate_len_per_s, interval: config.scrub_interval },
    };
    loop {
        let Some(app) = current.get() else { return Ok(()) };
        *jobs.lock() = Some(Jobs::start(app.clone(), paces));
        if !app.stores.folder.is_state() {
            return std::future::pending().await;
        }
        let mut ended = app.catalog.session_ended();
        if ended.wait_for(|ended| *ended).await.is_err() {
            return std::future::pending().await;
        }
        drop(ended);
        tracing::error!("the session of this gateway was ended by another: it begins a new one");
        // What a request wrote from now on no record would ever name.
        let has_own_files = app.stores.storage.local_blobs().is_some();
        if has_own_files {
            // Two of one process must not write the same files: no request is taken until the former one is gone.
            current.take(Closed::SessionLost);
        } else {
            tokio::spawn(settle(app.clone()));
        }
        let former = jobs.lock().take();
        if let Some(former) = former {
            // What it was doing fails, since nothing can be committed.
            let _ = tokio::time::timeout(config.shutdown_timeout, former.stop()).await;
        }
        let folder = app.stores.folder.again();
        if has_own_files {
            let_go(app, config.shutdown_timeout).await?;
        } else {
            drop(app);
        }
        let mut pause = FIRST_PAUSE;
        loop {
            // What was read again since the start counts.
            match App::open_shared(&reloads.config(), folder.again()).await {
                Ok((opened, _)) => {
                    current.set(Arc::new(opened));
                    tracing::info!("a new session has begun");
                    break;
                }
                Err(error) => {
                    tracing::warn!(error = format!("{error:#}"), "no new session yet; it is tried again");
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
            }
        }
    }
}

/// Waits until no request works with a gateway any more whose session has ended, and closes its files.
async fn let_go(mut app: Arc<App>, patience: Duration) -> anyhow::Result<()> {
    let began = Instant::now();
    loop {
        app = match Arc::try_unwrap(app) {
            Ok(alone) => {
                // Nothing of it can be committed, so nothing is to be written but what is on its way to the disk.
                tokio::task::spawn_blocking(move || drop(alone)).await?;
                return Ok(());
            }
            Err(shared) => shared,
        };
        anyhow::ensure!(
            began.elapsed() < patience,
            "another gateway has ended the session of this one, whose blobs are on its own disk, and requests that began before did not \
             end in time: start it again"
        );
        tokio::time::sleep(LET_GO_PAUSE).await;
    }
}

/// Deletes the blobs that requests of a session leave behind that end after it: nobody else knows of them.
async fn settle(app: Arc<App>) {
    for _ in 0..SETTLE_ROUNDS {
        tokio::time::sleep(SETTLE_PAUSE).await;
        let is_last = Arc::strong_count(&app) == 1;
        match app.reclaimer.settle_own(Duration::ZERO).await {
            Ok(_) if is_last => return,
            Ok(_) => {}
            Err(error) => {
                tracing::warn!(error = &error as &dyn std::error::Error, "blobs of a former session stay")
            }
        }
    }
}

/// Answers on the admin socket, for whichever gateway serves.
async fn administer(
    config: &Config,
    admin: Option<UnixListener>,
    current: &Current,
    addresses: Vec<(&'static str, String)>,
) -> anyhow::Result<()> {
    let (Some(admin), Some(app)) = (admin, current.get()) else { return std::future::pending().await };
    let root = super::kms::root_text(config, &*app.stores.root);
    let places = kms_places(config, &app.stores.folder);
    let first = app.kms.clone();
    drop(app);
    let host = || {
        let app = current.get();
        let kms = app.as_ref().map_or_else(|| first.clone(), |app| app.kms.clone());
        Host { kms, app, root: root.clone(), places: places.clone(), addresses: addresses.clone() }
    };
    socket::serve(admin, host).await;
    Ok(())
}

async fn bind(address: SocketAddr, setting: &str) -> anyhow::Result<TcpListener> {
    listen(address)
        .await
        .with_context(|| format!("can't listen on {address} (choose another address with {setting})"))
}

/// The same of a listener that a gateway does without, and why there is none: two gateways of one host must not be in each other's way
/// by what nobody asked for.
async fn bind_optional(
    listen: OptionalListen,
    setting: &str,
) -> anyhow::Result<(Option<TcpListener>, Option<anyhow::Error>)> {
    Ok(match listen {
        OptionalListen::Off => (None, None),
        OptionalListen::At(address) => (Some(bind(address, setting).await?), None),
        OptionalListen::Usual(address) => match bind(address, setting).await {
            Ok(listener) => (Some(listener), None),
            Err(error) => (None, Some(error)),
        },
    })
}

/// Ends at SIGTERM or SIGINT.
fn stop_signal() -> anyhow::Result<impl Future<Output = ()>> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        tracing::info!("stopping: no new connections; requests in flight may finish");
    })
}
