//! Walks of all that there is, page by page: for jobs and reports, which bound what they do between two pages.

use std::collections::VecDeque;

use storage::catalog::{
    Bucket, Catalog, CatalogError, ListPage, ListRequest, ListRow, ObjectSummary, VersionRef,
};
use storage::name::ObjectKey;

/// Rows of one page of a listing.
const PAGE_LEN: usize = 500;

/// Walks the pages of a listing.
#[derive(Debug, Default)]
pub struct Pages {
    after: Option<String>,
    ended: bool,
}

impl Pages {
    /// The next page; `None`: there was the last.
    ///
    /// # Errors
    /// What `list` answers.
    pub async fn next<T: Named>(
        &mut self,
        list: impl AsyncFnOnce(ListRequest) -> Result<ListPage<T>, CatalogError>,
    ) -> Result<Option<Vec<T>>, CatalogError> {
        if self.ended {
            return Ok(None);
        }
        let page = list(page_after(self.after.take())).await?;
        self.ended = !page.truncated;
        let rows: Vec<T> = page
            .rows
            .into_iter()
            .filter_map(|row| match row {
                ListRow::Item(item) => Some(item),
                ListRow::CommonPrefix(_) => None,
            })
            .collect();
        self.after = rows.last().map(|last| last.name().to_owned());
        Ok(Some(rows))
    }
}

/// Walks every version of every object of a bucket, delete markers left out.
#[derive(Debug, Default)]
pub struct Versions {
    prefix: String,
    after: Option<(String, VersionRef)>,
    ended: bool,
}

impl Versions {
    /// Of objects whose names begin so.
    pub fn below(prefix: &str) -> Self {
        Self { prefix: prefix.to_owned(), ..Self::default() }
    }

    /// The next page; `None`: there was the last.
    ///
    /// # Errors
    /// When the catalog can't be read.
    pub async fn next(
        &mut self,
        catalog: &Catalog,
        bucket: &Bucket,
    ) -> Result<Option<Vec<(ObjectKey, VersionRef)>>, CatalogError> {
        if self.ended {
            return Ok(None);
        }
        let (after, after_version) = self.after.take().unzip();
        let request = ListRequest { prefix: self.prefix.clone(), ..page_after(after) };
        let page = catalog.list_versions(bucket, &request, after_version).await?;
        self.ended = !page.truncated;
        let mut found = Vec::with_capacity(page.rows.len());
        for row in page.rows {
            let ListRow::Item(row) = row else { continue };
            let which = if row.is_null { VersionRef::Null } else { VersionRef::Id(row.version) };
            self.after = Some((row.summary.object.to_string(), which));
            if !row.delete_marker {
                found.push((row.summary.object, which));
            }
        }
        Ok(Some(found))
    }
}

/// Walks every version of every bucket.
#[derive(Debug, Default)]
pub struct Everything {
    pages: Pages,
    waiting: VecDeque<Bucket>,
    current: Option<(Bucket, Versions)>,
}

/// Where such a walk is.
#[derive(Debug)]
pub enum Step<'w> {
    /// A bucket begins.
    Bucket(&'w Bucket),
    /// Some of its versions.
    Versions(&'w Bucket, Vec<(ObjectKey, VersionRef)>),
}

impl Everything {
    /// The next step; `None`: that was all.
    ///
    /// # Errors
    /// When the catalog can't be read.
    pub async fn next(&mut self, catalog: &Catalog) -> Result<Option<Step<'_>>, CatalogError> {
        let page = match &mut self.current {
            Some((bucket, versions)) => versions.next(catalog, bucket).await?,
            None => None,
        };
        if let Some(page) = page {
            let bucket = &self.current.as_ref().ok_or(CatalogError::NoSuchBucket)?.0;
            return Ok(Some(Step::Versions(bucket, page)));
        }
        while self.waiting.is_empty() {
            match self.pages.next(async |request| catalog.list_buckets(None, &request).await).await? {
                Some(page) => self.waiting.extend(page),
                None => return Ok(None),
            }
        }
        let Some(bucket) = self.waiting.pop_front() else { return Ok(None) };
        let (bucket, _) = self.current.insert((bucket, Versions::default()));
        Ok(Some(Step::Bucket(bucket)))
    }
}

/// A row of a listing, by whose name the next page begins.
pub trait Named {
    /// Its name.
    fn name(&self) -> &str;
}

impl Named for Bucket {
    fn name(&self) -> &str {
        self.name.as_str()
    }
}

impl Named for ObjectSummary {
    fn name(&self) -> &str {
        self.object.as_str()
    }
}

/// The page behind this name.
pub fn page_after(after: Option<String>) -> ListRequest {
    ListRequest { prefix: String::new(), delimiter: None, after, limit: PAGE_LEN }
}
