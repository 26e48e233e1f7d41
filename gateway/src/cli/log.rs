//! Log lines go to standard error; standard output is for what was asked for.

use tracing_subscriber::EnvFilter;

use crate::config::{Config, LogFormat};

/// Sets another filter while the program runs.
pub(super) type SetFilter = Box<dyn Fn(EnvFilter) -> Result<(), String> + Send + Sync>;

/// The filter of the settings.
///
/// # Errors
/// When it is none.
pub(super) fn filter(config: &Config) -> Result<EnvFilter, String> {
    EnvFilter::builder().parse(&config.log).map_err(|error| error.to_string())
}

/// Begins to log.
pub(super) fn start(config: &Config) -> anyhow::Result<SetFilter> {
    let filter = filter(config).map_err(|error| anyhow::anyhow!("log: {error}"))?;
    // A line that can't be written (its disk is full, its reader is gone) is lost: to report that on standard error would panic.
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .log_internal_errors(false);
    match config.log_format {
        LogFormat::Text => {
            let is_terminal = std::io::IsTerminal::is_terminal(&std::io::stderr());
            let log = log.with_ansi(is_terminal).with_target(false).with_filter_reloading();
            let handle = log.reload_handle();
            log.init();
            Ok(Box::new(move |filter| handle.reload(filter).map_err(|error| error.to_string())))
        }
        LogFormat::Json => {
            let log = log.json().with_filter_reloading();
            let handle = log.reload_handle();
            log.init();
            Ok(Box::new(move |filter| handle.reload(filter).map_err(|error| error.to_string())))
        }
    }
}
