//! Tells systemd how the service is getting on: started, stopping, alive. Nothing happens where no socket is named.
//! <https://www.freedesktop.org/software/systemd/man/latest/sd_notify.html>

use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

/// The socket of whoever started this process.
#[derive(Debug)]
pub(super) struct Notifier(Option<(UnixDatagram, SocketAddr)>);

impl Notifier {
    /// From the environment, `NOTIFY_SOCKET`.
    pub(super) fn from_environment() -> Self {
        let path = std::env::var("NOTIFY_SOCKET").ok();
        let to = path.and_then(|path| match path.strip_prefix('@') {
            Some(name) => SocketAddr::from_abstract_name(name).ok(),
            None => SocketAddr::from_pathname(path).ok(),
        });
        Self(to.and_then(|to| Some((UnixDatagram::unbound().ok()?, to))))
    }

    /// It serves. `status` is shown by `systemctl status`.
    pub(super) fn ready(&self, status: &str) {
        self.send(&format!("READY=1\nSTATUS={status}"));
    }

    /// It reads its settings again; [`Notifier::ready`] says that it has.
    pub(super) fn reloading(&self) {
        let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
        let now_us = now.tv_sec.saturating_mul(1_000_000) + now.tv_nsec / 1000;
        self.send(&format!("RELOADING=1\nMONOTONIC_USEC={now_us}"));
    }

    /// It takes no new requests any more.
    pub(super) fn stopping(&self) {
        self.send("STOPPING=1\nSTATUS=Requests in flight may finish");
    }

    /// Says again and again that it is alive, twice as often as it is asked to: the runtime that serves requests is what says it.
    pub(super) async fn watchdog(&self) -> std::convert::Infallible {
        let Some(interval) = self.0.as_ref().and_then(|_| watchdog_interval()) else {
            return std::future::pending().await;
        };
        let mut interval = tokio::time::interval(interval / 2);
        interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            interval.tick().await;
            self.send("WATCHDOG=1");
        }
    }

    fn send(&self, state: &str) {
        if let Some((socket, to)) = &self.0
            && let Err(error) = socket.send_to_addr(state.as_bytes(), to)
        {
            tracing::warn!(%error, "the service manager could not be told how this service is getting on");
        }
    }
}

/// `WATCHDOG_USEC`, if it is meant for this process.
fn watchdog_interval() -> Option<Duration> {
    let number = |name: &str| std::env::var(name).ok()?.parse::<u64>().ok();
    let is_ours = std::env::var_os("WATCHDOG_PID").is_none()
        || number("WATCHDOG_PID") == Some(u64::from(std::process::id()));
    let interval_us = number("WATCHDOG_USEC").filter(|interval_us| is_ours && *interval_us > 0)?;
    Some(Duration::from_micros(interval_us))
}
