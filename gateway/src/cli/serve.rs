//! `sealgate serve`.

use std::io::Write;
use std::net::SocketAddr;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

use crate::admin::{Host, socket};
use crate::api::{self, Door};
use crate::app::App;
use crate::config::Config;
use crate::http::listener::{Limits, serve};
use crate::http::tls;
use crate::instance::{Credentials, DataFolder, IfAbsent};
use crate::jobs::Jobs;

/// Runs the gateway until it is told to stop.
pub(super) fn run(config: Config) -> anyhow::Result<ExitCode> {
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

    let folder = DataFolder::open(&config, IfAbsent::Create)?;
    let first_start = folder.is_new;
    let (app, credentials) = App::open(&config, folder).await?;
    let app = Arc::new(app);
    let kms_address = kms_listener.as_ref().map(TcpListener::local_addr).transpose()?;
    announce(&config, (address, kms_address), &app, &credentials, first_start)?;

    let admin = tokio::spawn(socket::serve(socket::bind(&config.data)?, {
        let (app, root) = (app.clone(), super::kms::root_text(&config, &*app.stores.root));
        move || Host { kms: app.kms.clone(), app: Some(app.clone()), root: root.clone() }
    }));
    let jobs = Jobs::start(app.clone(), config.reclaim_interval);
    let limits =
        Limits { max_connections: config.max_connections, shutdown_timeout: config.shutdown_timeout };
    let handler = |door| {
        let app = app.clone();
        move |request, peer| api::handle(app.clone(), door, request, peer)
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
    let (all_finished, kms_finished, ()) = tokio::join!(
        serve(listener, acceptor.clone(), limits, handler(Door::Every), until_stop(stopped.clone())),
        kms_door,
        async {
            stop.await;
            let _ = stopping.send(true);
        }
    );
    if !(all_finished && kms_finished) {
        tracing::warn!(
            limit_s = config.shutdown_timeout.as_secs(),
            "requests were still running when the limit for a stop was reached"
        );
    }
    jobs.stop().await;
    admin.abort();
    let _ = admin.await;
    let _ = std::fs::remove_file(socket::path(&config.data));
    match Arc::into_inner(app) {
        Some(app) => app.close().await?,
        // A request that did not end in time still holds the stores; what it acknowledged is durable all the same.
        None => tracing::warn!("the stores are left as after a crash"),
    }
    tracing::info!("stopped");
    Ok(ExitCode::SUCCESS)
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
    writeln!(out, "  account      {}", app.accounts.root().id)?;
    writeln!(out, "  data         {}", absolute(&config.data))?;
    writeln!(out, "  root key     {}", absolute(&config.root_key))?;
    match &credentials.file {
        Some(file) => writeln!(out, "  credentials  {}", absolute(file))?,
        None => writeln!(out, "  credentials  from the environment ({})", credentials.access_key_id)?,
    }
    if first_start {
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
    out.flush()?;
    Ok(())
}
