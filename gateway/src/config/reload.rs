//! A configuration that is read again while the gateway runs.

use std::path::PathBuf;
use std::sync::Arc;

use parking_lot::Mutex;

use super::{Config, ConfigError, RawConfig, merged};

/// Settings that a running gateway takes over; all others need a restart.
const RELOADABLE: [&str; 11] = [
    "auth_failures_per_minute",
    "body_idle_timeout_s",
    "idle_timeout_s",
    "log",
    "max_connections",
    "max_connections_per_address",
    "proxy_protocol",
    "shutdown_timeout_s",
    "tls_cert",
    "tls_key",
    "trusted_proxies",
];

/// Takes over what was found good; can't fail.
pub type Apply = Box<dyn FnOnce() + Send>;
type Prepare = Box<dyn Fn(&Config) -> Result<Apply, String> + Send + Sync>;

/// The settings that changed when the configuration was read again.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// Taken over.
    pub taken: Vec<String>,
    /// Changed in the file, but only a restart takes them over.
    pub need_restart: Vec<String>,
}

/// Why nothing was taken over.
#[derive(Debug, thiserror::Error)]
pub enum ReloadError {
    /// The configuration itself is wrong.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A part can't work with it.
    #[error("{part}: {message}")]
    Refused {
        /// Which.
        part: &'static str,
        /// Why.
        message: String,
    },
}

/// The configuration that a gateway runs with, and what takes over changes of it.
pub struct Reloads {
    given: RawConfig,
    file: Option<PathBuf>,
    parts: Mutex<Vec<(&'static str, Prepare)>>,
    running: Mutex<(toml::Table, Arc<Config>)>,
}

impl Reloads {
    /// Reads the configuration for the first time: flags and environment (`given`) over the file.
    ///
    /// # Errors
    /// As [`Config::load`].
    pub fn new(given: RawConfig, file: Option<PathBuf>) -> Result<Self, ConfigError> {
        let values = merged(&given, file.as_deref())?;
        let config = Arc::new(Config::of(values.clone())?);
        Ok(Self { given, file, parts: Mutex::default(), running: Mutex::new((values, config)) })
    }

    /// What the gateway runs with now.
    pub fn config(&self) -> Arc<Config> {
        self.running.lock().1.clone()
    }

    /// Whenever the configuration is read again, `prepare` is asked first, with what the gateway would run with. If no part refuses,
    /// what it answers is called. A part that only has files to open again does so then.
    pub fn register(
        &self,
        part: &'static str,
        prepare: impl Fn(&Config) -> Result<Apply, String> + Send + Sync + 'static,
    ) {
        self.parts.lock().push((part, Box::new(prepare)));
    }

    /// Reads the configuration again, and takes over what may change: all of it or nothing.
    ///
    /// # Errors
    /// When it is wrong, or a part refuses: then the former one goes on.
    pub fn reload(&self) -> Result<Changes, ReloadError> {
        let next = merged(&self.given, self.file.as_deref())?;
        // It has to be right as a whole, since the next start goes by it.
        Config::of(next.clone())?;
        let mut running = self.running.lock();
        let (values, _) = &*running;
        let has_tls = |values: &toml::Table| values.contains_key("tls_cert");
        let may_change = |name: &str| match name {
            // A listener can't begin or cease to speak TLS.
            "tls_cert" | "tls_key" => has_tls(values) == has_tls(&next),
            name => RELOADABLE.contains(&name),
        };
        let mut changes = Changes::default();
        let mut taken = values.clone();
        for name in super::file::names() {
            let (old, new) = (values.get(&name), next.get(&name));
            if old == new {
                continue;
            }
            if !may_change(&name) {
                changes.need_restart.push(name);
                continue;
            }
            match new {
                Some(value) => taken.insert(name.clone(), value.clone()),
                None => taken.remove(&name),
            };
            changes.taken.push(name);
        }
        let config = Arc::new(Config::of(taken.clone())?);
        let parts = self.parts.lock();
        let applies = parts.iter().map(|(part, prepare)| {
            prepare(&config).map_err(|message| ReloadError::Refused { part, message })
        });
        // All are asked before one acts.
        let applies: Vec<Apply> = applies.collect::<Result<_, _>>()?;
        applies.into_iter().for_each(|apply| apply());
        *running = (taken, config);
        Ok(changes)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[test]
    fn what_may_change_is_taken_over_whole_or_not_at_all() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("sealgate.toml");
        let write = |text: &str| std::fs::write(&file, text).unwrap();
        write("log = \"warn\"\nregion = \"eu-west-1\"\n");
        let mut given = RawConfig::default();
        given.limits.idle_timeout_s = Some(7);
        let reloads = Reloads::new(given, Some(file.clone())).unwrap();
        let applied = Arc::new(AtomicUsize::new(0));
        let counted = applied.clone();
        reloads.register("log", move |config| {
            if config.log == "refused" {
                return Err("no such filter".to_owned());
            }
            let counted = counted.clone();
            Ok(Box::new(move || {
                counted.fetch_add(1, Ordering::Relaxed);
            }))
        });

        // A flag goes before the file here too.
        write("log = \"debug\"\nregion = \"eu-west-2\"\nidle_timeout_s = 9\nmax_connections = 5\n");
        let changes = reloads.reload().unwrap();
        assert_eq!(changes.taken, ["max_connections", "log"]);
        assert_eq!(changes.need_restart, ["region"]);
        let config = reloads.config();
        assert_eq!((&*config.log, &*config.region, config.max_connections), ("debug", "eu-west-1", 5));
        assert_eq!((config.idle_timeout.as_secs(), applied.load(Ordering::Relaxed)), (7, 1));

        for (text, named) in [
            ("log = \"refused\"\nmax_connections = 6\n", "log: no such filter"),
            ("max_connections = 0\n", "max_connections"),
            ("max_conections = 6\n", "max_conections"),
            ("tls_cert = \"a\"\n", "tls_key"),
        ] {
            write(text);
            let error = reloads.reload().unwrap_err().to_string();
            assert!(error.contains(named), "{error}");
            assert_eq!((reloads.config(), applied.load(Ordering::Relaxed)), (config.clone(), 1));
        }
        write("region = \"eu-west-1\"\ntls_cert = \"a\"\ntls_key = \"b\"\n");
        assert_eq!(reloads.reload().unwrap().need_restart, ["tls_cert", "tls_key"]);
    }
}
