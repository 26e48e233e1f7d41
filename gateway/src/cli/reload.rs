//! What takes over a changed configuration: at SIGHUP all that may change, and certificates as soon as their files do.

use std::convert::Infallible;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use sha2::{Digest, Sha256};
use tokio::signal::unix::Signal;
use tokio::sync::watch;
use zeroize::Zeroizing;

use super::log::{self, SetFilter};
use super::notify::Notifier;
use crate::config::{Apply, Config, ListenerName, Reloads};
use crate::http::listener::{Limits, ListenerOptions, raise_descriptor_limit};
use crate::http::proxies::TrustedProxies;
use crate::http::tls::{self, Certificates};

/// How often the files of certificates are looked at.
const CERTIFICATE_PAUSE: Duration = Duration::from_secs(5);

/// What a listener goes by, of this configuration.
pub(super) fn listener_options(config: &Config, name: ListenerName) -> std::io::Result<ListenerOptions> {
    let max_connections = raise_descriptor_limit(config.max_connections)?;
    if max_connections < config.max_connections {
        tracing::warn!(
            max_connections,
            "fewer connections at a time than set: the limit of open files allows no more"
        );
    }
    Ok(ListenerOptions {
        limits: Limits {
            max_connections,
            max_connections_per_address: config.max_connections_per_address,
            idle_timeout: config.idle_timeout,
            body_idle_timeout: config.body_idle_timeout,
            shutdown_timeout: config.shutdown_timeout,
        },
        proxies: Arc::new(TrustedProxies::new(config.trusted_proxies.clone())),
        proxy_protocol: config.proxy_protocol.contains(&name),
    })
}

/// The options of a listener, which follow the configuration.
pub(super) fn follow_listener(
    reloads: &Reloads,
    name: ListenerName,
) -> std::io::Result<watch::Receiver<ListenerOptions>> {
    let (sender, receiver) = watch::channel(listener_options(&reloads.config(), name)?);
    let sender = Arc::new(sender);
    reloads.register("listeners", move |config| {
        let options = listener_options(config, name).map_err(|error| error.to_string())?;
        let sender = sender.clone();
        Ok(apply(move || drop(sender.send_replace(options))))
    });
    Ok(receiver)
}

/// Certificates that follow the configuration; `None`: there is no TLS.
pub(super) fn follow_certificates(reloads: &Reloads) -> anyhow::Result<Option<Certificates>> {
    let Some((certificates, private_key)) = reloads.config().tls.clone() else { return Ok(None) };
    let shown = Certificates::new(tls::read(&certificates, &private_key)?);
    let followed = shown.clone();
    reloads.register("tls_cert, tls_key", move |config| {
        let Some((certificates, private_key)) = &config.tls else { return Ok(apply(|| {})) };
        let next = tls::read(certificates, private_key).map_err(|error| error.to_string())?;
        let shown = followed.clone();
        Ok(apply(move || shown.replace(next)))
    });
    Ok(Some(shown))
}

/// The log's filter follows the configuration.
pub(super) fn follow_log(reloads: &Reloads, set: SetFilter) {
    let set = Arc::new(set);
    reloads.register("log", move |config| {
        let filter = log::filter(config)?;
        let set = set.clone();
        Ok(apply(move || {
            if let Err(error) = set(filter) {
                tracing::error!(error, "the log's filter stays as it was");
            }
        }))
    });
}

/// Reads the configuration again at each SIGHUP, and certificates when their files change.
pub(super) async fn keep(
    reloads: &Reloads,
    mut hangup: Signal,
    shown: Option<Certificates>,
    notifier: &Notifier,
) -> Infallible {
    let mut seen = fingerprint(&reloads.config());
    loop {
        tokio::select! {
            _ = hangup.recv() => {
                notifier.reloading();
                notifier.ready(reload(reloads));
                seen = fingerprint(&reloads.config());
            }
            () = tokio::time::sleep(CERTIFICATE_PAUSE), if shown.is_some() => {
                let config = reloads.config();
                let now = fingerprint(&config);
                let (Some(shown), Some((certificates, private_key))) = (&shown, &config.tls) else { continue };
                if now == seen || now.is_none() {
                    continue;
                }
                // Certificate and private key are two files: between the two changes they don't go together.
                match tls::read(certificates, private_key) {
                    Ok(next) => {
                        shown.replace(next);
                        tracing::info!(file = %certificates.display(), "a new certificate is shown from now on");
                    }
                    Err(error) => tracing::warn!(%error, "the new certificate can't be used: the former one stays"),
                }
                seen = now;
            }
        }
    }
}

/// Reads the configuration again; answers what came of it, for whoever looks at the service.
fn reload(reloads: &Reloads) -> &'static str {
    match reloads.reload() {
        Ok(changes) => {
            tracing::info!(changed = changes.taken.join(", "), "the configuration was read again");
            if !changes.need_restart.is_empty() {
                let settings = changes.need_restart.join(", ");
                tracing::warn!(settings, "these settings have changed, and need a restart");
                return "Serving; some settings have changed and need a restart: see the log";
            }
            "Serving with the configuration as it is now"
        }
        Err(error) => {
            tracing::error!(%error, "the configuration can't be taken over: the former one goes on");
            "Serving with the former configuration: the new one can't be taken over, see the log"
        }
    }
}

/// Of the contents of certificate and private key; `None`: there is none, or it can't be read now.
fn fingerprint(config: &Config) -> Option<[u8; 32]> {
    let (certificates, private_key) = config.tls.as_ref()?;
    let mut digest = Sha256::new();
    for file in [certificates, private_key] {
        digest.update(read(file)?);
    }
    Some(digest.finalize().into())
}

fn read(file: &Path) -> Option<Zeroizing<Vec<u8>>> {
    std::fs::read(file).ok().map(Zeroizing::new)
}

/// As the registry wants it.
pub(super) fn apply(apply: impl FnOnce() + Send + 'static) -> Apply {
    Box::new(apply)
}
