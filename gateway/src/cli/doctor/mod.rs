//! `sealgate doctor encryption`: a proof that anybody can run. It plants canaries through every write path and every
//! mode in a data folder of its own, looks for them in every stored byte, then damages what is stored and demands
//! that each damage is noticed.

pub(super) mod blobs;
mod canary;
mod damage;
mod plant;

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, ensure};
use serde_json::json;

use crate::api::local::LocalClient;
use crate::app::App;
use crate::cli::output;
use crate::config::{Config, RawConfig};
use crate::instance::{DataFolder, IfAbsent};
use canary::Canaries;

/// One line of the report.
struct Finding {
    check: String,
    detail: String,
    holds: bool,
}

/// Runs the proof in a new folder below `scratch`, which is removed at the end.
pub(super) fn encryption(scratch: &Path) -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let name = format!("sealgate-doctor-{}", std::process::id());
    let folder = scratch.join(name);
    std::fs::create_dir(&folder).with_context(|| format!("can't make {}", folder.display()))?;
    let findings = runtime.block_on(prove(&folder));
    std::fs::remove_dir_all(&folder).with_context(|| format!("can't remove {}", folder.display()))?;
    let findings = findings?;

    let checks = findings.iter().map(|f| json!({"check": f.check, "detail": f.detail, "holds": f.holds}));
    output::fact("checks", checks.collect::<Vec<_>>());
    let width = findings.iter().map(|f| f.check.len()).max().unwrap_or(0);
    for finding in &findings {
        let verdict = if finding.holds { "ok  " } else { "FAIL" };
        println!("{verdict}  {:width$}  {}", finding.check, finding.detail);
    }
    let failed = findings.iter().filter(|f| !f.holds).count();
    if failed == 0 {
        println!(
            "\nAll {} checks hold: nothing that was planted is readable, and no damage passed.",
            findings.len()
        );
        Ok(ExitCode::SUCCESS)
    } else {
        println!("\n{failed} of {} checks FAILED.", findings.len());
        Ok(ExitCode::FAILURE)
    }
}

async fn prove(folder: &Path) -> anyhow::Result<Vec<Finding>> {
    let mut raw = RawConfig::default();
    raw.places.data = Some(folder.join("data"));
    // What is displaced must stay on disk while it is searched.
    raw.jobs.reclaim_interval_s = Some(u64::from(u32::MAX));
    raw.limits.min_free_mib = Some(0);
    let config = Config::load(raw, None)?;
    let mut findings = Vec::new();

    let mut canaries = Canaries::new();
    let objects = {
        let (app, client) = start(&config, &mut canaries).await?;
        let objects = plant::everything(&client, &mut canaries).await?;
        plant::identities(&app.iam, &mut canaries).await?;
        for object in &objects {
            let answer = object.fetch(&client).await;
            ensure!(
                answer.as_deref() == Some(&object.content[..]),
                "{} does not read back",
                object.describe()
            );
        }
        drop(client);
        stop(app).await?;
        objects
    };
    findings.push(Finding {
        check: "write paths".to_owned(),
        detail: format!("{} objects planted in every mode and read back", objects.len()),
        holds: true,
    });
    findings.extend(canaries.search(&config.data)?);

    let (app, client) = start(&config, &mut canaries).await?;
    findings.extend(damage::blobs(&client, &objects, &config.data).await?);
    drop(client);
    stop(app).await?;
    findings.extend(damage::catalog(&config).await?);
    Ok(findings)
}

/// A gateway over the folder, and a client of it.
async fn start(config: &Config, canaries: &mut Canaries) -> anyhow::Result<(Arc<App>, LocalClient)> {
    let folder = DataFolder::open(config, IfAbsent::Create)?;
    let (app, credentials) = App::open(config, folder).await?;
    let app = Arc::new(app);
    canaries.add("the root user's secret access key", credentials.secret_access_key.as_bytes());
    let client = LocalClient::new(
        app.clone(),
        credentials.access_key_id.clone(),
        credentials.secret_access_key.clone(),
    );
    Ok((app, client))
}

async fn stop(app: Arc<App>) -> anyhow::Result<()> {
    Arc::into_inner(app).context("a request is still running")?.close().await
}
