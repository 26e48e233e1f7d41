//! `sealgate serve`.

use std::io::Write;
use std::net::SocketAddr;
use std::path::Path;
use std::process::ExitCode;
use std::sync::{Arc, OnceLock};

use anyhow::Context;
use kms_core::kms::Kms;
use kms_core::root::RootKey;
use tokio::net::{TcpListener, UnixListener};
use tokio::signal::unix::{SignalKind, signal};

use crate::admin::{Host, socket};
use crate::api::{self, Door};
use crate::app::App;
use crate::config::{Config, RootPlace};
use crate::http::listener::{Limits, raise_descriptor_limit, serve};
use crate::http::tls;
use crate::instance::{Credentials, DataFolder, IfAbsent, kms_places};
use crate::jobs::{Jobs, lifecycle, scrub};
use crate::memory;
use crate::root;
use crate::work;

/// Runs the gateway until it is told to stop.
pub(super) fn run(config: Config) -> anyhow::Result<ExitCode> {
    // Before there is a secret in memory.
    if !config.allow_core_dumps {
        memory::forbid_dumps().context("core dumps can't be turned off (see allow_core_dumps)")?;
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .thread_name("sealgate")
        .build()
        .context("can't start the runtime")?;
    let code = runtime.block_on(gateway(config));
    // Blocking work of abandoned requests must not hold the exit up.
    runtime.shutdown_timeout(std::time::Duration::from_secs(5));
    code
}

async fn gateway(config: Config) -> anyhow::Result<ExitCode> {
    let stop = stop_signal()?;
    // What can be refused without touching anything comes first.
    let acceptor = match &config.tls {
        Some((certificates, private_key)) => Some(tls::acceptor(certificates, private_key)?),
        None => None,
    };
    let listener = bind(config.listen, "--listen").await?;
    let address = listener.local_addr()?;
    let kms_listener = match config.kms_listen {
        Some(address) => Some(bind(address, "--kms-listen").await?),
        None => None,
    };

    let addresses = (address, kms_listener.as_ref().map(TcpListener::local_addr).transpose()?);
    let folder = DataFolder::open(&config, IfAbsent::Create)?;
    let sealed = config.root_key == RootPlace::Passphrase && config.passphrase_file.is_none();
    let admin = match socket::bind(&config.data) {
        Ok(admin) => Some(admin),
        // A path that is too long for a socket, or a file system that has none: all else works.
        Err(error) if !sealed => {
            tracing::warn!("there is no admin socket, so `sealgate kms` needs a stopped gateway: {error:#}");
            None
        }
        Err(error) => return Err(error),
    };
    let start = Start { config: &config, addresses, folder, app: Arc::new(OnceLock::new()) };
    let app = start.app.clone();
    // A gateway that waits for its passphrase answers already; any other opens its stores first.
    let sealed = match sealed {
        true => Some(start),
        false => {
            let root = root::open(&config, &start.folder)?;
            start.open(root).await?;
            None
        }
    };

    let max_connections = raise_descriptor_limit(config.max_connections)
        .context("the limit of open files can't be raised to what it may be")?;
    if max_connections < config.max_connections {
        tracing::warn!(
            max_connections,
            "fewer connections at a time than set: the limit of open files allows no more"
        );
    }
    let limits = Limits {
        max_connections,
        max_connections_per_address: config.max_connections_per_address,
        idle_timeout: config.idle_timeout,
        body_idle_timeout: config.body_idle_timeout,
        shutdown_timeout: config.shutdown_timeout,
    };
    let handler = |door| {
        let app = app.clone();
        move |request, peer| {
            let app = app.get().cloned();
            async move {
                match app {
                    Some(app) => work::timed(api::handle(app, door, request, peer)).await,
                    None => api::sealed(door, request),
                }
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
                serve(listener, acceptor.clone(), limits, handler(Door::Kms), until_stop(stopped.clone()))
                    .await
            }
            None => true,
        }
    };
    let jobs = OnceLock::new();
    let inside = async {
        let ended = tokio::select! {
            ended = work(&config, admin, sealed, app.clone(), &jobs) => ended,
            () = stop => Ok(()),
        };
        let _ = stopping.send(true);
        ended
    };
    let (all_finished, kms_finished, ended) = tokio::join!(
        serve(listener, acceptor.clone(), limits, handler(Door::Every), until_stop(stopped.clone())),
        kms_door,
        inside,
    );
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
    let app = Arc::into_inner(app).and_then(OnceLock::into_inner);
    match app.map(Arc::into_inner) {
        Some(Some(app)) => app.close().await?,
        // A request that did not end in time still holds the stores; what it acknowledged is durable all the same.
        Some(None) => tracing::warn!("the stores are left as after a crash"),
        None => {}
    }
    tracing::info!("stopped");
    Ok(ExitCode::SUCCESS)
}

/// What a start needs besides its root key.
struct Start<'c> {
    config: &'c Config,
    addresses: (SocketAddr, Option<SocketAddr>),
    folder: DataFolder,
    app: Arc<OnceLock<Arc<App>>>,
}

impl Start<'_> {
    /// Opens the stores, and lets requests in.
    async fn open(self, root: Arc<dyn RootKey>) -> anyhow::Result<()> {
        let Self { config, addresses, folder, app } = self;
        let first_start = folder.is_new;
        let (opened, credentials) = App::open_with(config, folder, root).await?;
        let opened = app.get_or_init(|| Arc::new(opened));
        if let Err(error) = announce(config, addresses, opened, &credentials, first_start) {
            // It serves all the same.
            tracing::warn!(%error, "the greeting could not be written");
        }
        Ok(())
    }
}

/// What runs beside the requests: first the wait for the passphrase of a sealed gateway, then jobs and the admin socket. Ends only
/// when it fails; what runs in it may be cut off.
async fn work(
    config: &Config,
    admin: Option<UnixListener>,
    sealed: Option<Start<'_>>,
    app: Arc<OnceLock<Arc<App>>>,
    jobs: &OnceLock<Jobs>,
) -> anyhow::Result<()> {
    if let (Some(start), Some(admin)) = (sealed, &admin) {
        let is_made = root::is_made(config, &start.folder)?;
        anyhow::ensure!(is_made, "the first start sets the passphrase: give it with --passphrase-file");
        let (address, _) = start.addresses;
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
        start.open(root).await?;
    }
    let Some(app) = app.get() else { return Ok(()) };
    let pace = lifecycle::Pace { interval: config.lifecycle_interval, rate: config.lifecycle_rate };
    let scrub = scrub::Pace { len_per_s: config.scrub_rate_len_per_s, interval: config.scrub_interval };
    let _ = jobs.set(Jobs::start(app.clone(), config.reclaim_interval, pace, scrub));
    let Some(admin) = admin else { return std::future::pending().await };
    let root = super::kms::root_text(config, &*app.stores.root);
    let places = kms_places(config, &app.stores.folder);
    let host =
        || Host { kms: app.kms.clone(), app: Some(app.clone()), root: root.clone(), places: places.clone() };
    socket::serve(admin, host).await;
    Ok(())
}

async fn bind(address: SocketAddr, setting: &str) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address)
        .await
        .with_context(|| format!("can't listen on {address} (choose another address with {setting})"))
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

/// Tells a newcomer where everything is, and what to paste.
fn announce(
    config: &Config,
    (address, kms_address): (SocketAddr, Option<SocketAddr>),
    app: &App,
    credentials: &Credentials,
    first_start: bool,
) -> anyhow::Result<()> {
    let scheme = if config.tls.is_some() { "https" } else { "http" };
    let endpoint = format!("{scheme}://{address}");
    let absolute =
        |path: &Path| std::path::absolute(path).unwrap_or_else(|_| path.to_owned()).display().to_string();
    let mut out = std::io::stdout().lock();
    writeln!(out, "Sealgate {}", env!("CARGO_PKG_VERSION"))?;
    writeln!(out, "  S3 endpoint  {endpoint}")?;
    if let Some(address) = kms_address {
        writeln!(out, "  KMS          {scheme}://{address}")?;
    }
    writeln!(out, "  account      {}", app.iam.main_account().id)?;
    writeln!(out, "  data         {}", absolute(&config.data))?;
    match &config.root_key {
        RootPlace::File(path) => writeln!(out, "  root key     {}", absolute(path))?,
        place => writeln!(out, "  root key     {place}")?,
    }
    match &credentials.file {
        Some(file) => writeln!(out, "  credentials  {}", absolute(file))?,
        None => writeln!(out, "  credentials  from the environment ({})", credentials.access_key_id)?,
    }
    if first_start && matches!(config.root_key, RootPlace::File(_)) {
        writeln!(
            out,
            "\nKeep a copy of the root key in a safe place: without it, nothing in the data folder can be read."
        )?;
    }
    writeln!(out, "\nTo use it, paste:")?;
    let file = match &credentials.file {
        Some(file) => format!(" AWS_SHARED_CREDENTIALS_FILE={}", absolute(file)),
        None => String::new(),
    };
    // Some clients read the one name of the region, some the other.
    let region = &config.region;
    writeln!(
        out,
        "  export AWS_ENDPOINT_URL={endpoint} AWS_REGION={region} AWS_DEFAULT_REGION={region}{file}"
    )?;
    writeln!(out, "  aws s3 mb s3://my-bucket")?;
    writeln!(out, "  aws s3 cp README.md s3://my-bucket/")?;
    writeln!(
        out,
        "\nThe AWS CLI before 2.13 (of version 1: before 1.29) and SDKs of its time ignore AWS_ENDPOINT_URL: they would sign\n\
         requests to amazonaws.com with these credentials. Tell them the endpoint: aws --endpoint-url {endpoint} ..."
    )?;
    out.flush()?;
    Ok(())
}
