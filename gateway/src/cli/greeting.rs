//! What a gateway prints when it serves.

use std::io::Write;
use std::net::SocketAddr;
use std::path::Path;

use crate::api;
use crate::app::App;
use crate::config::{Config, RootPlace};
use crate::instance::Credentials;

/// Where it listens.
#[derive(Clone, Copy)]
pub(super) struct Addresses {
    pub(super) main: SocketAddr,
    pub(super) kms: Option<SocketAddr>,
    pub(super) metrics: Option<SocketAddr>,
    pub(super) console: Option<SocketAddr>,
}

impl Addresses {
    /// What listens there, and the URL of it.
    pub(super) fn urls(self, config: &Config) -> Vec<(&'static str, String)> {
        let scheme = if config.tls.is_some() { "https" } else { "http" };
        let of = |address: SocketAddr| format!("{scheme}://{address}");
        [
            ("S3", Some(of(self.main))),
            ("KMS", self.kms.map(of)),
            ("metrics", self.metrics.map(|address| format!("http://{address}{}", api::metrics::PATH))),
            ("console", self.console.map(of)),
        ]
        .into_iter()
        .filter_map(|(name, url)| Some((name, url?)))
        .collect()
    }
}

/// Tells a newcomer where everything is, and what to paste.
pub(super) fn announce(
    config: &Config,
    addresses: Addresses,
    app: &App,
    credentials: &Credentials,
    first_start: bool,
) -> anyhow::Result<()> {
    let scheme = if config.tls.is_some() { "https" } else { "http" };
    let endpoint = format!("{scheme}://{}", addresses.main);
    let absolute =
        |path: &Path| std::path::absolute(path).unwrap_or_else(|_| path.to_owned()).display().to_string();
    let mut out = std::io::stdout().lock();
    writeln!(out, "Sealgate {}", env!("CARGO_PKG_VERSION"))?;
    for (name, url) in addresses.urls(config) {
        let name = if name == "S3" { "S3 endpoint" } else { name };
        writeln!(out, "  {name:11}  {url}")?;
    }
    writeln!(out, "  account      {}", app.iam.main_account().id)?;
    match &config.places.metadata {
        Some(metadata) => writeln!(out, "  records      {}", metadata.url)?,
        None => writeln!(out, "  data         {}", absolute(&config.data))?,
    }
    match &config.places.blobs {
        Some(blobs) => writeln!(out, "  blobs        {}", blobs.url)?,
        None if config.places.metadata.is_some() => {
            writeln!(out, "  blobs        {}", absolute(&config.data))?
        }
        None => {}
    }
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
