//! What buckets and accounts hold and may hold, for whoever reports it: from counters, so that it costs a look at each bucket's record.

use std::collections::BTreeMap;

use storage::catalog::{Catalog, CatalogError, ListRequest, ListRow, Usage, bucket_quota};

/// Buckets of one page of a listing.
const PAGE_LEN: usize = 1000;

/// A bucket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BucketUsage {
    /// Its name.
    pub name: String,
    /// The account that owns it: 12 digits.
    pub owner: String,
    /// What it holds.
    pub usage: Usage,
    /// How many bytes it may hold; `None`: as many as there are.
    pub quota: Option<u64>,
}

/// An account.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AccountUsage {
    /// Its buckets.
    pub buckets: u64,
    /// What they hold.
    pub usage: Usage,
    /// How many bytes they may hold together.
    pub quota: Option<u64>,
}

/// What there is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UsageReport {
    /// Everything is counted. Until then (after an earlier build wrote last) the figures lack what was there before.
    pub is_counted: bool,
    /// Buckets by name, as many as were asked for.
    pub buckets: Vec<BucketUsage>,
    /// Accounts by their ids.
    pub accounts: BTreeMap<String, AccountUsage>,
    /// All buckets, those too that were left out.
    pub bucket_count: u64,
    /// What all of them hold.
    pub total: Usage,
}

/// What each bucket holds, of one account if given; names at most `most` buckets, and sums up all.
///
/// # Errors
/// When the catalog can't be read.
pub async fn report(
    catalog: &Catalog,
    owner: Option<&str>,
    most: usize,
) -> Result<UsageReport, CatalogError> {
    let mut report = UsageReport { is_counted: catalog.is_counted().await?, ..UsageReport::default() };
    let usages = catalog.usage_of_buckets().await?;
    let mut after = None;
    loop {
        let request = ListRequest { prefix: String::new(), delimiter: None, after, limit: PAGE_LEN };
        let page = catalog.list_buckets(owner, &request).await?;
        after = None;
        for row in page.rows {
            let ListRow::Item(bucket) = row else { continue };
            after = Some(bucket.name.to_string());
            if bucket.name.is_internal() {
                continue;
            }
            let usage = usages.get(&bucket.id).copied().unwrap_or_default();
            let account = report.accounts.entry(bucket.owner.clone()).or_default();
            account.buckets += 1;
            account.usage.add(&usage);
            report.bucket_count += 1;
            report.total.add(&usage);
            if report.buckets.len() < most {
                let (name, quota) = (bucket.name.to_string(), bucket_quota(&bucket));
                report.buckets.push(BucketUsage { name, owner: bucket.owner, usage, quota });
            }
        }
        if !page.truncated || after.is_none() {
            break;
        }
    }
    for (id, quota) in catalog.account_quotas().await? {
        if owner.is_none_or(|owner| owner == id) {
            report.accounts.entry(id).or_default().quota = Some(quota);
        }
    }
    Ok(report)
}

/// A number of bytes as people write it: `10GiB`, `1.5 TB`, `4096`. Suffixes of a thousand (k, M, G, T, P) and of 1024 (Ki, …), with
/// or without a `B`, in whatever case.
pub fn parse_size(text: &str) -> Option<u64> {
    let text = text.trim().to_ascii_lowercase();
    let digits = text.find(|letter: char| !letter.is_ascii_digit() && letter != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let unit = unit.trim();
    let unit = unit.strip_suffix('b').unwrap_or(unit);
    let (base, unit) = match unit.strip_suffix('i') {
        Some(unit) => (1024_u64, unit),
        None => (1000, unit),
    };
    let power = match (unit, base) {
        ("", 1000) => 0,
        ("k", _) => 1,
        ("m", _) => 2,
        ("g", _) => 3,
        ("t", _) => 4,
        ("p", _) => 5,
        _ => return None,
    };
    let factor = base.pow(power);
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let whole: u64 = whole.parse().ok()?;
    let fraction = match fraction {
        "" => 0,
        digits if digits.len() <= 6 => {
            let parts: u64 = digits.parse().ok()?;
            (u128::from(parts) * u128::from(factor) / 10_u128.pow(digits.len() as u32)) as u64
        }
        _ => return None,
    };
    whole.checked_mul(factor)?.checked_add(fraction)
}

/// A number of bytes for people.
pub fn size_text(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    let (mut value, mut unit) = (bytes, None);
    for next in UNITS {
        if value < 1024 {
            break;
        }
        (value, unit) = (value / 1024, Some((next, value)));
    }
    match unit {
        None => format!("{bytes} B"),
        Some((unit, of_1024)) => format!("{}.{} {unit}", of_1024 / 1024, of_1024 % 1024 * 10 / 1024),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_and_told() {
        for (text, bytes) in [
            ("4096", Some(4096)),
            ("0", Some(0)),
            ("10GiB", Some(10 << 30)),
            ("1.5 TB", Some(1_500_000_000_000)),
            ("2k", Some(2000)),
            ("2Ki", Some(2048)),
            (" 1 mib ", Some(1 << 20)),
            ("0.5Mi", Some(1 << 19)),
            ("-1", None),
            ("", None),
            ("GiB", None),
            ("1XB", None),
            ("1i", None),
            ("1.2.3", None),
            ("99999999PB", None),
            ("20000000000000000000", None),
        ] {
            assert_eq!(parse_size(text), bytes, "{text:?}");
        }
        for (bytes, text) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.0 KiB"),
            (1536, "1.5 KiB"),
            (10 << 30, "10.0 GiB"),
            (u64::MAX, "15.9 EiB"),
        ] {
            assert_eq!(size_text(bytes), text);
        }
    }
}
