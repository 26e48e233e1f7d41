//! Listing of whatever lies under names: prefix, delimiter, where to begin. It seeks past each common prefix,
//! so it costs what it returns, not what it skips.

use bytes::Bytes;

use super::{Catalog, CatalogError, ListPage, ListRequest, ListRow, SCAN_LEN, layout};
use crate::kv::{Direction, Key, KeyRange};

/// Entries per scan behind a common prefix: the next row is likely to be one, too.
const SEEK_LEN: usize = 3;

impl Catalog {
    /// A page of what lies below `base`. `decode` makes an item of a name, its entry's key and its value; `None` hides it.
    /// `behind` is where to begin if that is not simply behind the name `request.after`.
    pub(super) async fn list<T>(
        &self,
        base: &[u8],
        request: &ListRequest,
        behind: Option<Key>,
        decode: impl Fn(String, &Bytes, &Bytes) -> Result<Option<T>, CatalogError>,
    ) -> Result<ListPage<T>, CatalogError> {
        let mut page = ListPage { rows: Vec::new(), truncated: false };
        let delimiter = request.delimiter.as_deref().filter(|delimiter| !delimiter.is_empty());
        let mut range = KeyRange::prefix(layout::of_name_prefix(base, &request.prefix));
        if let Some(after) = &request.after {
            let names_common_prefix =
                delimiter.is_some_and(|d| common_prefix(after, &request.prefix, d) == Some(after));
            let start = match behind {
                _ if names_common_prefix => layout::behind(&layout::of_name_prefix(base, after)),
                Some(behind) => behind,
                None => layout::behind(&layout::of_name(base, after)),
            };
            range.start = range.start.max(start);
        }
        let mut scan_len = SCAN_LEN;
        while request.limit > 0 && range.end.as_ref().is_none_or(|end| range.start < *end) {
            let len = scan_len.min(request.limit - page.rows.len() + 1);
            let found = self.kv.scan(range.clone(), Direction::Forward, len).await?;
            // Behind the common prefix that was seen last.
            let mut skip_to: Option<Key> = None;
            for (key, entry) in &found {
                if skip_to.as_ref().is_some_and(|to| key < to) {
                    continue;
                }
                let name = layout::name_in(key, base.len())?;
                let rolled_up =
                    delimiter.and_then(|d| common_prefix(&name, &request.prefix, d)).map(str::to_owned);
                let Some(item) = decode(name, key, &entry.value)? else {
                    continue;
                };
                if page.rows.len() == request.limit {
                    page.truncated = true;
                    return Ok(page);
                }
                page.rows.push(match rolled_up {
                    None => ListRow::Item(item),
                    Some(common) => {
                        skip_to = Some(layout::behind(&layout::of_name_prefix(base, &common)));
                        ListRow::CommonPrefix(common)
                    }
                });
            }
            let Some((last, _)) = found.last().filter(|_| found.len() == len) else {
                break;
            };
            scan_len = if skip_to.is_some() { SEEK_LEN } else { SCAN_LEN.min(scan_len * 4) };
            range.start = layout::successor(last).max(skip_to.unwrap_or_default());
        }
        Ok(page)
    }
}

/// The common prefix that a name is rolled up into: all up to and with the first delimiter behind `prefix`.
fn common_prefix<'a>(name: &'a str, prefix: &str, delimiter: &str) -> Option<&'a str> {
    let rest = name.strip_prefix(prefix)?;
    let at = rest.find(delimiter)?;
    Some(&name[..prefix.len() + at + delimiter.len()])
}
