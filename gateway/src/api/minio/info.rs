//! `mc admin info`.

use serde_json::json;
use storage::catalog::{ListRequest, ListRow};

use super::error::AdminError;
use super::{Admin, Told};
use crate::api::iam;
use crate::api::query::{Parameters, Refusal};

/// Buckets of a page, and pages that are counted.
const PAGE_LEN: usize = 1000;
const MAX_PAGES: usize = 10;

/// What there is, for him who may call GetAccountSummary. Objects are not counted: that takes reading all of them.
pub(super) async fn get(admin: &Admin<'_>) -> Result<Told, AdminError> {
    let state = iam::account_for_all(&admin.call("GetAccountSummary", &Parameters::default()))?;
    Ok(Told::Plain(json!({
        "mode": "online",
        "region": admin.app.region,
        "buckets": { "count": buckets(admin, &state.account.id).await? },
        "backend": { "backendType": "FS" },
        "servers": [{
            "state": "online",
            "endpoint": admin.host,
            "uptime": admin.app.started.elapsed().as_secs(),
            "version": concat!("sealgate ", env!("CARGO_PKG_VERSION")),
        }],
    })))
}

/// How many buckets an account has, up to ten thousand.
async fn buckets(admin: &Admin<'_>, account: &str) -> Result<usize, AdminError> {
    let (mut count, mut after) = (0, None);
    for _ in 0..MAX_PAGES {
        let request = ListRequest { prefix: String::new(), delimiter: None, after, limit: PAGE_LEN };
        let page = admin.app.catalog.list_buckets(Some(account), &request).await.map_err(Refusal::failure)?;
        count += page.rows.len();
        after = match page.rows.last() {
            Some(ListRow::Item(bucket)) if page.truncated => Some(bucket.name.to_string()),
            _ => break,
        };
    }
    Ok(count)
}
