//! Every S3 operation, one row each: how it is told from the others, what it needs, and how far it goes here.

/// What an operation works on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// The service.
    Service,
    /// A bucket.
    Bucket,
    /// An object.
    Object,
}

/// How a row is found beside its method, level and query.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Selector {
    /// By nothing more.
    Direct,
    /// By the header that names the source of a copy.
    Copy,
    /// Never: the same request is now known by the name of another row.
    Superseded,
    /// By the host of an Object Lambda access point, which there is none of here.
    AccessPoint,
}

/// How far an operation goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// It works.
    Implemented,
    /// What it reads can't be set yet: it answers what AWS answers where nothing was set.
    ReadsAsUnset,
    /// It is refused by name.
    NotImplemented,
}

/// One row of the table.
#[derive(Debug)]
pub struct Row {
    /// The operation.
    pub operation: Operation,
    /// Its name in S3's model.
    pub name: &'static str,
    /// Its method.
    pub method: &'static str,
    /// What it works on.
    pub level: Level,
    /// Query parameters that mark it, all of them: `name`, or `name=value`.
    pub query: &'static [&'static str],
    /// What else marks it.
    pub selector: Selector,
    /// The action that a caller needs.
    pub action: &'static str,
    /// How far it goes.
    pub status: Status,
    /// Further query parameters that it honours.
    pub accepts: &'static [&'static str],
}

macro_rules! operations {
    ($($name:ident: $method:ident $level:ident [$($query:literal),*] $selector:ident $action:literal $status:ident
       [$($accepts:literal),*];)*) => {
        /// An operation of S3.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Operation {
            $(
                #[doc = concat!("`", stringify!($name), "`.")]
                $name,
            )*
        }

        /// Every operation, in the order of [`Operation`].
        pub static TABLE: &[Row] = &[$(Row {
            operation: Operation::$name,
            name: stringify!($name),
            method: stringify!($method),
            level: Level::$level,
            query: &[$($query),*],
            selector: Selector::$selector,
            action: $action,
            status: Status::$status,
            accepts: &[$($accepts),*],
        }),*];
    };
}

operations! {
    ListBuckets: GET Service [] Direct "s3:ListAllMyBuckets" Implemented ["max-buckets", "continuation-token", "prefix", "bucket-region"];
    ListDirectoryBuckets: GET Service ["max-directory-buckets"] Direct "s3express:ListAllMyDirectoryBuckets" NotImplemented [];
    CreateBucket: PUT Bucket [] Direct "s3:CreateBucket" Implemented [];
    HeadBucket: HEAD Bucket [] Direct "s3:ListBucket" Implemented [];
    DeleteBucket: DELETE Bucket [] Direct "s3:DeleteBucket" Implemented [];
    GetBucketLocation: GET Bucket ["location"] Direct "s3:GetBucketLocation" Implemented [];
    ListObjects: GET Bucket [] Direct "s3:ListBucket" Implemented ["prefix", "delimiter", "encoding-type", "max-keys", "marker"];
    ListObjectsV2: GET Bucket ["list-type=2"] Direct "s3:ListBucket" Implemented ["prefix", "delimiter", "encoding-type", "max-keys", "continuation-token", "fetch-owner", "start-after"];
    ListObjectVersions: GET Bucket ["versions"] Direct "s3:ListBucketVersions" Implemented ["prefix", "delimiter", "encoding-type", "max-keys", "key-marker", "version-id-marker"];
    PutObject: PUT Object [] Direct "s3:PutObject" Implemented [];
    GetObject: GET Object [] Direct "s3:GetObject" Implemented ["response-cache-control", "response-content-disposition", "response-content-encoding", "response-content-language", "response-content-type", "response-expires", "versionId", "partNumber"];
    HeadObject: HEAD Object [] Direct "s3:GetObject" Implemented ["response-cache-control", "response-content-disposition", "response-content-encoding", "response-content-language", "response-content-type", "response-expires", "versionId", "partNumber"];
    CopyObject: PUT Object [] Copy "s3:PutObject" Implemented [];
    DeleteObject: DELETE Object [] Direct "s3:DeleteObject" Implemented ["versionId"];
    DeleteObjects: POST Bucket ["delete"] Direct "s3:DeleteObject" Implemented [];
    GetObjectAttributes: GET Object ["attributes"] Direct "s3:GetObjectAttributes" Implemented ["versionId"];
    RenameObject: PUT Object ["renameObject"] Direct "s3:PutObject" Implemented [];
    GetObjectTorrent: GET Object ["torrent"] Direct "s3:GetObjectTorrent" NotImplemented [];
    RestoreObject: POST Object ["restore"] Direct "s3:RestoreObject" Implemented ["versionId"];
    UpdateObjectEncryption: PUT Object ["encryption"] Direct "s3:UpdateObjectEncryption" Implemented ["versionId"];
    PostObject: POST Bucket [] Direct "s3:PutObject" Implemented [];
    CreateMultipartUpload: POST Object ["uploads"] Direct "s3:PutObject" Implemented [];
    UploadPart: PUT Object ["partNumber", "uploadId"] Direct "s3:PutObject" Implemented [];
    UploadPartCopy: PUT Object ["partNumber", "uploadId"] Copy "s3:PutObject" Implemented [];
    CompleteMultipartUpload: POST Object ["uploadId"] Direct "s3:PutObject" Implemented [];
    AbortMultipartUpload: DELETE Object ["uploadId"] Direct "s3:AbortMultipartUpload" Implemented [];
    ListParts: GET Object ["uploadId"] Direct "s3:ListMultipartUploadParts" Implemented ["max-parts", "part-number-marker", "encoding-type"];
    ListMultipartUploads: GET Bucket ["uploads"] Direct "s3:ListBucketMultipartUploads" Implemented ["delimiter", "encoding-type", "key-marker", "max-uploads", "prefix", "upload-id-marker"];
    PutBucketEncryption: PUT Bucket ["encryption"] Direct "s3:PutEncryptionConfiguration" Implemented [];
    GetBucketEncryption: GET Bucket ["encryption"] Direct "s3:GetEncryptionConfiguration" Implemented [];
    DeleteBucketEncryption: DELETE Bucket ["encryption"] Direct "s3:PutEncryptionConfiguration" Implemented [];
    PutBucketVersioning: PUT Bucket ["versioning"] Direct "s3:PutBucketVersioning" Implemented [];
    GetBucketVersioning: GET Bucket ["versioning"] Direct "s3:GetBucketVersioning" Implemented [];
    PutObjectLockConfiguration: PUT Bucket ["object-lock"] Direct "s3:PutBucketObjectLockConfiguration" Implemented [];
    GetObjectLockConfiguration: GET Bucket ["object-lock"] Direct "s3:GetBucketObjectLockConfiguration" Implemented [];
    PutObjectRetention: PUT Object ["retention"] Direct "s3:PutObjectRetention" Implemented ["versionId"];
    GetObjectRetention: GET Object ["retention"] Direct "s3:GetObjectRetention" Implemented ["versionId"];
    PutObjectLegalHold: PUT Object ["legal-hold"] Direct "s3:PutObjectLegalHold" Implemented ["versionId"];
    GetObjectLegalHold: GET Object ["legal-hold"] Direct "s3:GetObjectLegalHold" Implemented ["versionId"];
    PutObjectTagging: PUT Object ["tagging"] Direct "s3:PutObjectTagging" Implemented ["versionId"];
    GetObjectTagging: GET Object ["tagging"] Direct "s3:GetObjectTagging" Implemented ["versionId"];
    DeleteObjectTagging: DELETE Object ["tagging"] Direct "s3:DeleteObjectTagging" Implemented ["versionId"];
    PutBucketTagging: PUT Bucket ["tagging"] Direct "s3:PutBucketTagging" Implemented [];
    GetBucketTagging: GET Bucket ["tagging"] Direct "s3:GetBucketTagging" Implemented [];
    DeleteBucketTagging: DELETE Bucket ["tagging"] Direct "s3:PutBucketTagging" Implemented [];
    PutObjectAnnotation: PUT Object ["annotation"] Direct "s3:PutObjectAnnotation" Implemented ["annotationName", "versionId"];
    GetObjectAnnotation: GET Object ["annotation", "annotationName"] Direct "s3:GetObjectAnnotation" Implemented ["versionId"];
    ListObjectAnnotations: GET Object ["annotation"] Direct "s3:ListObjectAnnotations" Implemented ["versionId", "max-annotation-results", "annotation-prefix", "continuation-token"];
    DeleteObjectAnnotation: DELETE Object ["annotation"] Direct "s3:DeleteObjectAnnotation" Implemented ["annotationName", "versionId"];
    PutBucketAcl: PUT Bucket ["acl"] Direct "s3:PutBucketAcl" Implemented [];
    GetBucketAcl: GET Bucket ["acl"] Direct "s3:GetBucketAcl" Implemented [];
    PutObjectAcl: PUT Object ["acl"] Direct "s3:PutObjectAcl" Implemented ["versionId"];
    GetObjectAcl: GET Object ["acl"] Direct "s3:GetObjectAcl" Implemented ["versionId"];
    PutBucketOwnershipControls: PUT Bucket ["ownershipControls"] Direct "s3:PutBucketOwnershipControls" Implemented [];
    GetBucketOwnershipControls: GET Bucket ["ownershipControls"] Direct "s3:GetBucketOwnershipControls" Implemented [];
    DeleteBucketOwnershipControls: DELETE Bucket ["ownershipControls"] Direct "s3:PutBucketOwnershipControls" Implemented [];
    PutBucketPolicy: PUT Bucket ["policy"] Direct "s3:PutBucketPolicy" Implemented [];
    GetBucketPolicy: GET Bucket ["policy"] Direct "s3:GetBucketPolicy" Implemented [];
    DeleteBucketPolicy: DELETE Bucket ["policy"] Direct "s3:DeleteBucketPolicy" Implemented [];
    GetBucketPolicyStatus: GET Bucket ["policyStatus"] Direct "s3:GetBucketPolicyStatus" Implemented [];
    PutPublicAccessBlock: PUT Bucket ["publicAccessBlock"] Direct "s3:PutBucketPublicAccessBlock" Implemented [];
    GetPublicAccessBlock: GET Bucket ["publicAccessBlock"] Direct "s3:GetBucketPublicAccessBlock" Implemented [];
    DeletePublicAccessBlock: DELETE Bucket ["publicAccessBlock"] Direct "s3:PutBucketPublicAccessBlock" Implemented [];
    PutBucketAbac: PUT Bucket ["abac"] Direct "s3:PutBucketAbac" Implemented [];
    GetBucketAbac: GET Bucket ["abac"] Direct "s3:GetBucketAbac" Implemented [];
    PutBucketCors: PUT Bucket ["cors"] Direct "s3:PutBucketCORS" Implemented [];
    GetBucketCors: GET Bucket ["cors"] Direct "s3:GetBucketCORS" Implemented [];
    DeleteBucketCors: DELETE Bucket ["cors"] Direct "s3:PutBucketCORS" Implemented [];
    Preflight: OPTIONS Bucket [] Direct "s3:GetObject" Implemented [];
    PutBucketLifecycleConfiguration: PUT Bucket ["lifecycle"] Direct "s3:PutLifecycleConfiguration" Implemented [];
    GetBucketLifecycleConfiguration: GET Bucket ["lifecycle"] Direct "s3:GetLifecycleConfiguration" Implemented [];
    DeleteBucketLifecycle: DELETE Bucket ["lifecycle"] Direct "s3:PutLifecycleConfiguration" Implemented [];
    PutBucketLifecycle: PUT Bucket ["lifecycle"] Superseded "s3:PutLifecycleConfiguration" Implemented [];
    GetBucketLifecycle: GET Bucket ["lifecycle"] Superseded "s3:GetLifecycleConfiguration" Implemented [];
    PutBucketNotificationConfiguration: PUT Bucket ["notification"] Direct "s3:PutBucketNotification" NotImplemented [];
    GetBucketNotificationConfiguration: GET Bucket ["notification"] Direct "s3:GetBucketNotification" ReadsAsUnset [];
    PutBucketNotification: PUT Bucket ["notification"] Superseded "s3:PutBucketNotification" NotImplemented [];
    GetBucketNotification: GET Bucket ["notification"] Superseded "s3:GetBucketNotification" ReadsAsUnset [];
    PutBucketReplication: PUT Bucket ["replication"] Direct "s3:PutReplicationConfiguration" NotImplemented [];
    GetBucketReplication: GET Bucket ["replication"] Direct "s3:GetReplicationConfiguration" ReadsAsUnset [];
    DeleteBucketReplication: DELETE Bucket ["replication"] Direct "s3:PutReplicationConfiguration" NotImplemented [];
    PutBucketLogging: PUT Bucket ["logging"] Direct "s3:PutBucketLogging" Implemented [];
    GetBucketLogging: GET Bucket ["logging"] Direct "s3:GetBucketLogging" Implemented [];
    PutBucketRequestPayment: PUT Bucket ["requestPayment"] Direct "s3:PutBucketRequestPayment" Implemented [];
    GetBucketRequestPayment: GET Bucket ["requestPayment"] Direct "s3:GetBucketRequestPayment" Implemented [];
    PutBucketAccelerateConfiguration: PUT Bucket ["accelerate"] Direct "s3:PutAccelerateConfiguration" Implemented [];
    GetBucketAccelerateConfiguration: GET Bucket ["accelerate"] Direct "s3:GetAccelerateConfiguration" Implemented [];
    PutBucketWebsite: PUT Bucket ["website"] Direct "s3:PutBucketWebsite" NotImplemented [];
    GetBucketWebsite: GET Bucket ["website"] Direct "s3:GetBucketWebsite" ReadsAsUnset [];
    DeleteBucketWebsite: DELETE Bucket ["website"] Direct "s3:DeleteBucketWebsite" NotImplemented [];
    PutBucketInventoryConfiguration: PUT Bucket ["inventory"] Direct "s3:PutInventoryConfiguration" NotImplemented [];
    GetBucketInventoryConfiguration: GET Bucket ["inventory", "id"] Direct "s3:GetInventoryConfiguration" ReadsAsUnset [];
    ListBucketInventoryConfigurations: GET Bucket ["inventory"] Direct "s3:GetInventoryConfiguration" ReadsAsUnset ["continuation-token"];
    DeleteBucketInventoryConfiguration: DELETE Bucket ["inventory"] Direct "s3:PutInventoryConfiguration" NotImplemented [];
    PutBucketAnalyticsConfiguration: PUT Bucket ["analytics"] Direct "s3:PutAnalyticsConfiguration" NotImplemented [];
    GetBucketAnalyticsConfiguration: GET Bucket ["analytics", "id"] Direct "s3:GetAnalyticsConfiguration" ReadsAsUnset [];
    ListBucketAnalyticsConfigurations: GET Bucket ["analytics"] Direct "s3:GetAnalyticsConfiguration" ReadsAsUnset ["continuation-token"];
    DeleteBucketAnalyticsConfiguration: DELETE Bucket ["analytics"] Direct "s3:PutAnalyticsConfiguration" NotImplemented [];
    PutBucketMetricsConfiguration: PUT Bucket ["metrics"] Direct "s3:PutMetricsConfiguration" NotImplemented [];
    GetBucketMetricsConfiguration: GET Bucket ["metrics", "id"] Direct "s3:GetMetricsConfiguration" ReadsAsUnset [];
    ListBucketMetricsConfigurations: GET Bucket ["metrics"] Direct "s3:GetMetricsConfiguration" ReadsAsUnset ["continuation-token"];
    DeleteBucketMetricsConfiguration: DELETE Bucket ["metrics"] Direct "s3:PutMetricsConfiguration" NotImplemented [];
    PutBucketIntelligentTieringConfiguration: PUT Bucket ["intelligent-tiering"] Direct "s3:PutIntelligentTieringConfiguration" NotImplemented [];
    GetBucketIntelligentTieringConfiguration: GET Bucket ["intelligent-tiering", "id"] Direct "s3:GetIntelligentTieringConfiguration" ReadsAsUnset [];
    ListBucketIntelligentTieringConfigurations: GET Bucket ["intelligent-tiering"] Direct "s3:GetIntelligentTieringConfiguration" ReadsAsUnset ["continuation-token"];
    DeleteBucketIntelligentTieringConfiguration: DELETE Bucket ["intelligent-tiering"] Direct "s3:PutIntelligentTieringConfiguration" NotImplemented [];
    SelectObjectContent: POST Object ["select"] Direct "s3:GetObject" NotImplemented [];
    WriteGetObjectResponse: POST Service [] AccessPoint "s3-object-lambda:WriteGetObjectResponse" NotImplemented [];
    CreateBucketMetadataConfiguration: POST Bucket ["metadataConfiguration"] Direct "s3:CreateBucketMetadataTableConfiguration" NotImplemented [];
    GetBucketMetadataConfiguration: GET Bucket ["metadataConfiguration"] Direct "s3:GetBucketMetadataTableConfiguration" ReadsAsUnset [];
    DeleteBucketMetadataConfiguration: DELETE Bucket ["metadataConfiguration"] Direct "s3:DeleteBucketMetadataTableConfiguration" NotImplemented [];
    CreateBucketMetadataTableConfiguration: POST Bucket ["metadataTable"] Direct "s3:CreateBucketMetadataTableConfiguration" NotImplemented [];
    GetBucketMetadataTableConfiguration: GET Bucket ["metadataTable"] Direct "s3:GetBucketMetadataTableConfiguration" ReadsAsUnset [];
    DeleteBucketMetadataTableConfiguration: DELETE Bucket ["metadataTable"] Direct "s3:DeleteBucketMetadataTableConfiguration" NotImplemented [];
    UpdateBucketMetadataInventoryTableConfiguration: PUT Bucket ["metadataInventoryTable"] Direct "s3:UpdateBucketMetadataInventoryTableConfiguration" NotImplemented [];
    UpdateBucketMetadataJournalTableConfiguration: PUT Bucket ["metadataJournalTable"] Direct "s3:UpdateBucketMetadataJournalTableConfiguration" NotImplemented [];
    UpdateBucketMetadataAnnotationTableConfiguration: PUT Bucket ["metadataAnnotationTable"] Direct "s3:UpdateBucketMetadataAnnotationTableConfiguration" NotImplemented [];
    CreateSession: GET Bucket ["session"] Direct "s3express:CreateSession" NotImplemented [];
}

impl Operation {
    /// Its row.
    pub fn row(self) -> &'static Row {
        &TABLE[self as usize]
    }

    /// Its name in S3's model.
    pub fn name(self) -> &'static str {
        self.row().name
    }

    /// The action that a caller needs.
    pub fn action(self) -> &'static str {
        self.row().action
    }

    /// How far it goes.
    pub fn status(self) -> Status {
        self.row().status
    }

    /// Does it write a version of an object, with an ACL that it may ask for?
    pub fn writes_objects(self) -> bool {
        matches!(self, Self::PutObject | Self::CopyObject | Self::CreateMultipartUpload | Self::PostObject)
    }

    /// What it works on.
    pub fn level(self) -> Level {
        self.row().level
    }
}

impl std::fmt::Display for Operation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

/// Where the table of operations begins in `docs/s3-operations.md`.
pub const MARKDOWN_BEGIN: &str = "<!-- operations:begin -->";
/// Where it ends.
pub const MARKDOWN_END: &str = "<!-- operations:end -->";

/// The table of operations: what stands there between [`MARKDOWN_BEGIN`] and [`MARKDOWN_END`].
pub fn markdown() -> String {
    let rows = statuses().map(|(name, text)| format!("| {name} | {text} |\n"));
    format!("| Operation | Status |\n| --- | --- |\n{}", rows.collect::<String>())
}

/// Each operation, and how far it goes: those that go furthest come first.
pub fn statuses() -> impl Iterator<Item = (&'static str, &'static str)> {
    let texts = [
        (Status::Implemented, "yes"),
        (Status::ReadsAsUnset, "answers as AWS does where nothing is set"),
        (Status::NotImplemented, "`NotImplemented`"),
    ];
    texts.into_iter().flat_map(|(status, text)| {
        TABLE.iter().filter(move |row| row.status == status).map(move |row| (row.name, text))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_stand_at_their_operations_index() {
        for (index, row) in TABLE.iter().enumerate() {
            assert_eq!(row.operation as usize, index, "{}", row.name);
            assert_eq!(row.operation.name(), row.name);
        }
        let of_the_model =
            TABLE.iter().filter(|row| !["PostObject", "Preflight"].contains(&row.name)).count();
        assert_eq!(of_the_model, 116);
    }

    #[test]
    fn no_two_rows_are_found_by_the_same_request() {
        for (index, one) in TABLE.iter().enumerate() {
            for other in &TABLE[..index] {
                let same = (one.method, one.level, one.query, one.selector)
                    == (other.method, other.level, other.query, other.selector);
                assert!(!same, "{} and {}", one.name, other.name);
            }
        }
    }

    #[test]
    fn the_guide_has_this_table() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/s3-operations.md");
        let page = std::fs::read_to_string(path).unwrap();
        let table = page
            .split_once(MARKDOWN_BEGIN)
            .and_then(|(_, rest)| rest.split_once(MARKDOWN_END))
            .map(|(table, _)| table.trim());
        assert_eq!(
            table,
            Some(markdown().trim()),
            "docs/s3-operations.md is out of date: `sealgate operations` prints its table"
        );
    }
}
