//! Parts: one record each, of an upload and then of the content that it became. They stay where they were written;
//! a [`PartDirectory`](super::PartDirectory) in the version's record tells which of them count and where to begin.

use super::record::{PartRecord, Record};
use super::{Catalog, CatalogError, CompletedPart, Content, Layout, Part, PartDirectory, SCAN_LEN, layout};
use crate::kv::{Direction, KeyRange};
use crate::name::{PartNumber, UploadId, VersionId};

impl Catalog {
    /// Up to `limit` parts of an upload with numbers above `after`, and whether there are more.
    pub async fn list_parts(
        &self,
        upload: UploadId,
        after: u16,
        limit: usize,
    ) -> Result<(Vec<Part>, bool), CatalogError> {
        if limit == 0 {
            return Ok((Vec::new(), false));
        }
        let mut parts = self.scan_parts(upload.0, after.saturating_add(1), limit.saturating_add(1)).await?;
        let truncated = parts.len() > limit;
        parts.truncate(limit);
        Ok((parts, truncated))
    }

    /// Checks the named parts against the stored ones (existence, ETag, checksum, minimum size of all but the last) and
    /// returns them in order: what Complete computes its ETag and checksum from. `named` ascends by number.
    pub async fn select_parts(
        &self,
        upload: UploadId,
        named: &[CompletedPart],
        min_part_len: u64,
    ) -> Result<Vec<Part>, CatalogError> {
        let numbers: Vec<u16> = named.iter().map(|part| part.number.get()).collect();
        let parts = self.numbered_parts(upload.0, &numbers).await?;
        for (index, (part, claim)) in parts.iter().zip(named).enumerate() {
            let checksum_fits = claim.checksum.as_ref().is_none_or(|(algorithm, value)| {
                part.checksum
                    .as_ref()
                    .is_some_and(|stored| stored.algorithm == *algorithm && stored.value == *value)
            });
            if part.etag != claim.etag || !checksum_fits {
                return Err(CatalogError::InvalidPart(part.number));
            }
            if part.plain_len < min_part_len && index + 1 < named.len() {
                return Err(CatalogError::PartTooSmall {
                    number: part.number,
                    plain_len: part.plain_len,
                    etag: part.etag.clone(),
                });
            }
        }
        Ok(parts)
    }

    /// The parts of completed content from the one that holds the plain byte `offset` on, at most `limit` of them, with the
    /// offset of the first one's first plain byte. No parts where `offset` is at or behind the end, or the content is single.
    pub async fn parts_from_offset(
        &self,
        content: &Content,
        offset: u64,
        limit: usize,
    ) -> Result<(u64, Vec<Part>), CatalogError> {
        let Layout::Parts(directory) = &content.layout else {
            return Ok((0, Vec::new()));
        };
        // Of pages that begin at one offset (parts of no bytes) the last holds the byte.
        let page = directory.pages.partition_point(|&(_, first)| first <= offset);
        let Some(&(number, mut at)) = directory.pages.get(page.wrapping_sub(1)) else {
            return Ok((0, Vec::new()));
        };
        let (mut number, mut found) = (number, Vec::new());
        loop {
            let missing = limit.saturating_sub(found.len());
            let len = if found.is_empty() { PartDirectory::PAGE_LEN.max(missing) } else { missing };
            let len = len.min(SCAN_LEN);
            let scanned = self.scan_parts(content.version, number, len).await?;
            let exhausted = scanned.len() < len;
            for part in scanned {
                number = part.number.get().saturating_add(1);
                if found.len() == limit || !directory.names(part.number.get()) {
                    continue;
                }
                if found.is_empty() && at + part.plain_len <= offset {
                    at += part.plain_len;
                } else {
                    found.push(part);
                }
            }
            if exhausted || found.len() == limit {
                return Ok((at, found));
            }
        }
    }

    /// One part of completed content with the offset of its first plain byte; `None` if there is no such part.
    /// `number` counts as S3 does: it's the part's number at its upload.
    pub async fn part(
        &self,
        content: &Content,
        number: PartNumber,
    ) -> Result<Option<(u64, Part)>, CatalogError> {
        let Layout::Parts(directory) = &content.layout else {
            return Ok(None);
        };
        if !directory.names(number.get()) {
            return Ok(None);
        }
        let page = directory.pages.partition_point(|&(first, _)| first <= number.get());
        let &(mut from, mut at) =
            directory.pages.get(page.wrapping_sub(1)).ok_or(CatalogError::Corrupt("a part directory"))?;
        loop {
            let parts = self.scan_parts(content.version, from, PartDirectory::PAGE_LEN).await?;
            if parts.is_empty() {
                return Err(CatalogError::Corrupt("a part's record is missing"));
            }
            for part in parts {
                if part.number == number {
                    return Ok(Some((at, part)));
                }
                from = part.number.get().saturating_add(1);
                if directory.names(part.number.get()) {
                    at += part.plain_len;
                }
            }
        }
    }

    /// The parts of exactly these ascending numbers; the first that's missing is an error.
    pub(super) async fn numbered_parts(
        &self,
        version: VersionId,
        numbers: &[u16],
    ) -> Result<Vec<Part>, CatalogError> {
        let mut found: Vec<Part> = Vec::with_capacity(numbers.len());
        let mut from = numbers.first().copied().unwrap_or(u16::MAX);
        while found.len() < numbers.len() {
            let scanned = self.scan_parts(version, from, SCAN_LEN).await?;
            let exhausted = scanned.len() < SCAN_LEN;
            for part in scanned {
                from = part.number.get() + 1;
                if numbers.get(found.len()).is_some_and(|&number| number == part.number.get()) {
                    found.push(part);
                }
            }
            let missing = numbers.get(found.len()).filter(|&&number| exhausted || number < from);
            if let Some(&missing) = missing {
                let number =
                    PartNumber::new(missing.into()).map_err(|_| CatalogError::Corrupt("a part's number"))?;
                return Err(CatalogError::InvalidPart(number));
            }
        }
        Ok(found)
    }

    async fn scan_parts(
        &self,
        version: VersionId,
        from: u16,
        limit: usize,
    ) -> Result<Vec<Part>, CatalogError> {
        let mut range = KeyRange::prefix(layout::parts(version));
        range.start = layout::part(version, from);
        let found = self.kv.scan(range, Direction::Forward, limit).await?;
        found
            .iter()
            .map(|(key, entry)| PartRecord::decode(&entry.value)?.into_part(layout::part_number(key)?))
            .collect()
    }
}
