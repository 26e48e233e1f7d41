//! Every error code that an answer can carry, once.

use http::StatusCode;

use crate::http::header::CONTENT_SHA256_MISMATCH_TEXT;

macro_rules! codes {
    ($($variant:ident = $wire:literal, $status:literal, $message:expr;)*) => {
        /// An error code: one row of the table.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Code {
            $(
                #[doc = concat!("`", $wire, "`, HTTP ", stringify!($status), ".")]
                $variant,
            )*
        }

        impl Code {
            /// Every code.
            pub const ALL: &[Self] = &[$(Self::$variant),*];

            /// The code's name on the wire.
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $wire,)*
                }
            }

            /// The status that it is answered with.
            pub fn status(self) -> StatusCode {
                let status = match self {
                    $(Self::$variant => $status,)*
                };
                StatusCode::from_u16(status).expect("the table holds valid statuses")
            }

            /// The message where nothing more exact is known.
            pub fn default_message(self) -> &'static str {
                match self {
                    $(Self::$variant => $message,)*
                }
            }
        }
    };
}

codes! {
    AccessDenied = "AccessDenied", 403, "Access Denied";
    AccessForbidden = "AccessForbidden", 403, "CORSResponse: CORS is not enabled for this bucket.";
    AccessControlListNotSupported = "AccessControlListNotSupported", 400, "The bucket does not allow ACLs";
    AccountProblem = "AccountProblem", 403, "There is a problem with your account that prevents the operation from completing successfully.";
    AllAccessDisabled = "AllAccessDisabled", 403, "All access to this resource has been disabled.";
    AmbiguousGrantByEmailAddress = "AmbiguousGrantByEmailAddress", 400, "The email address you provided is associated with more than one account.";
    AnnotationLimitExceeded = "AnnotationLimitExceeded", 400, "The object has as many annotations as it can have.";
    AnnotationNameTooLong = "AnnotationNameTooLong", 400, "The annotation name is too long.";
    AuthorizationHeaderMalformed = "AuthorizationHeaderMalformed", 400, "The authorization header that you provided is not valid.";
    AuthorizationQueryParametersError = "AuthorizationQueryParametersError", 400, "The authorization query parameters that you provided are not valid.";
    BadDigest = "BadDigest", 400, "The Content-MD5 you specified did not match what we received.";
    BadRequest = "BadRequest", 400, "Bad Request";
    BucketAlreadyExists = "BucketAlreadyExists", 409, "The requested bucket name is not available. The bucket namespace is shared by all users of the system. Please select a different name and try again.";
    BucketAlreadyOwnedByYou = "BucketAlreadyOwnedByYou", 409, "Your previous request to create the named bucket succeeded and you already own it.";
    BucketNotEmpty = "BucketNotEmpty", 409, "The bucket you tried to delete is not empty";
    ConditionalRequestConflict = "ConditionalRequestConflict", 409, "The conditional request cannot succeed due to a conflicting operation against this resource.";
    CrossLocationLoggingProhibited = "CrossLocationLoggingProhibitted", 403, "Cross S3 location logging is not allowed. ";
    CredentialsNotSupported = "CredentialsNotSupported", 400, "This request does not support credentials.";
    EntityTooLarge = "EntityTooLarge", 400, "Your proposed upload exceeds the maximum allowed size";
    EntityTooSmall = "EntityTooSmall", 400, "Your proposed upload is smaller than the minimum allowed size";
    ExpiredToken = "ExpiredToken", 400, "The provided token has expired.";
    IllegalLocationConstraintException = "IllegalLocationConstraintException", 400, "The specified location-constraint is not valid";
    IllegalVersioningConfigurationException = "IllegalVersioningConfigurationException", 400, "The Versioning element must be specified";
    IncompleteBody = "IncompleteBody", 400, "You did not provide the number of bytes specified by the Content-Length HTTP header";
    IncorrectNumberOfFilesInPostRequest = "IncorrectNumberOfFilesInPostRequest", 400, "POST requires exactly one file upload per request.";
    InternalError = "InternalError", 500, "We encountered an internal error. Please try again.";
    InvalidAccessKeyId = "InvalidAccessKeyId", 403, "The AWS Access Key Id you provided does not exist in our records.";
    InvalidAnnotationName = "InvalidAnnotationName", 400, "The annotation name is not valid.";
    InvalidArgument = "InvalidArgument", 400, "Invalid Argument";
    InvalidBucketAclWithBlockPublicAccessError = "InvalidBucketAclWithBlockPublicAccessError", 400, "Bucket cannot have public ACLs set with BlockPublicAccess enabled";
    InvalidBucketAclWithObjectOwnership = "InvalidBucketAclWithObjectOwnership", 400, "Bucket cannot have ACLs set with ObjectOwnership's BucketOwnerEnforced setting";
    InvalidBucketName = "InvalidBucketName", 400, "The specified bucket is not valid.";
    InvalidBucketOwnerAwsAccountId = "InvalidBucketOwnerAWSAccountID", 400, "The value of the expected bucket owner parameter must be an AWS Account ID...";
    InvalidBucketState = "InvalidBucketState", 409, "The request is not valid with the current state of the bucket.";
    InvalidDigest = "InvalidDigest", 400, "The Content-MD5 you specified was invalid.";
    InvalidEncryptionAlgorithmError = "InvalidEncryptionAlgorithmError", 400, "The Encryption request you specified is not valid. Supported value: AES256.";
    InvalidLocationConstraint = "InvalidLocationConstraint", 400, "The specified location-constraint is not valid";
    InvalidObjectState = "InvalidObjectState", 403, "The operation is not valid for the current state of the object.";
    InvalidPart = "InvalidPart", 400, "One or more of the specified parts could not be found.  The part may not have been uploaded, or the specified entity tag may not match the part's entity tag.";
    InvalidPartNumber = "InvalidPartNumber", 416, "The requested partnumber is not satisfiable";
    InvalidPartOrder = "InvalidPartOrder", 400, "The list of parts was not in ascending order. Parts must be ordered by part number.";
    InvalidPolicyDocument = "InvalidPolicyDocument", 400, "The content of the form does not meet the conditions specified in the policy document.";
    InvalidPrefix = "InvalidPrefix", 400, "The annotation prefix is not valid.";
    InvalidRange = "InvalidRange", 416, "The requested range is not satisfiable";
    InvalidRedirectLocation = "InvalidRedirectLocation", 400, "The website redirect location must have a prefix of 'http://' or 'https://' or '/'.";
    InvalidRegion = "InvalidRegion", 403, "The region that you specified is not valid.";
    InvalidRequest = "InvalidRequest", 400, "Invalid Request";
    InvalidSecurity = "InvalidSecurity", 403, "The provided security credentials are not valid.";
    InvalidSessionException = "InvalidSessionException", 400, "The session is no longer valid.";
    InvalidStorageClass = "InvalidStorageClass", 400, "The storage class you specified is not valid";
    InvalidTag = "InvalidTag", 400, "The tag provided was not a valid tag.";
    InvalidTargetBucketForLogging = "InvalidTargetBucketForLogging", 400, "The target bucket for logging does not exist, is not owned by you, or does not have the appropriate grants for the log-delivery group.";
    InvalidToken = "InvalidToken", 400, "The provided token is malformed or otherwise invalid.";
    InvalidUri = "InvalidURI", 400, "Couldn't parse the specified URI.";
    InvalidWriteOffset = "InvalidWriteOffset", 400, "The write offset value that you specified does not match the current object size.";
    KeyTooLongError = "KeyTooLongError", 400, "Your key is too long";
    MalformedAclError = "MalformedACLError", 400, "The XML you provided was not well-formed or did not validate against our published schema";
    MalformedPolicy = "MalformedPolicy", 400, "Policies must be valid JSON and the first byte must be '{'";
    MalformedPostRequest = "MalformedPOSTRequest", 400, "The body of your POST request is not well-formed multipart/form-data.";
    MalformedTrailerError = "MalformedTrailerError", 400, "The request contained trailing data that was not well-formed or did not conform to our published schema.";
    MalformedXml = "MalformedXML", 400, "The XML you provided was not well-formed or did not validate against our published schema";
    MaxMessageLengthExceeded = "MaxMessageLengthExceeded", 400, "Your request was too big.";
    MaxPostPreDataLengthExceededError = "MaxPostPreDataLengthExceededError", 400, "Your POST request fields preceding the upload file were too large.";
    MetadataConfigurationNotFound = "MetadataConfigurationNotFound", 404, "The metadata configuration was not found";
    MetadataTooLarge = "MetadataTooLarge", 400, "Your metadata headers exceed the maximum allowed metadata size";
    MethodNotAllowed = "MethodNotAllowed", 405, "The specified method is not allowed against this resource.";
    MissingContentLength = "MissingContentLength", 411, "You must provide the Content-Length HTTP header.";
    MissingRequestBodyError = "MissingRequestBodyError", 400, "Request Body is empty";
    MissingSecurityHeader = "MissingSecurityHeader", 400, "Your request was missing a required header";
    NoSuchConfiguration = "NoSuchConfiguration", 404, "The specified configuration does not exist.";
    NoSuchAnnotation = "NoSuchAnnotation", 404, "The specified annotation does not exist.";
    NoSuchBucket = "NoSuchBucket", 404, "The specified bucket does not exist";
    NoSuchBucketPolicy = "NoSuchBucketPolicy", 404, "The bucket policy does not exist";
    NoSuchCorsConfiguration = "NoSuchCORSConfiguration", 404, "The CORS configuration does not exist";
    NoSuchKey = "NoSuchKey", 404, "The specified key does not exist.";
    NoSuchLifecycleConfiguration = "NoSuchLifecycleConfiguration", 404, "The lifecycle configuration does not exist";
    NoSuchObjectLockConfiguration = "NoSuchObjectLockConfiguration", 404, "The specified object does not have a ObjectLock configuration";
    NoSuchPublicAccessBlockConfiguration = "NoSuchPublicAccessBlockConfiguration", 404, "The public access block configuration was not found";
    NoSuchTagSet = "NoSuchTagSet", 404, "The TagSet does not exist";
    NoSuchUpload = "NoSuchUpload", 404, "The specified upload does not exist. The upload ID may be invalid, or the upload may have been aborted or completed.";
    NoSuchVersion = "NoSuchVersion", 404, "The specified version does not exist.";
    NoSuchWebsiteConfiguration = "NoSuchWebsiteConfiguration", 404, "The specified bucket does not have a website configuration";
    NotImplemented = "NotImplemented", 501, "A header you provided implies functionality that is not implemented";
    NotModified = "NotModified", 304, "Not Modified";
    NotSignedUp = "NotSignedUp", 403, "Your account is not signed up for the Amazon S3 service.";
    ObjectAlreadyInActiveTierError = "ObjectAlreadyInActiveTierError", 403, "Restore is not allowed for the object's current storage class";
    ObjectLockConfigurationNotFoundError = "ObjectLockConfigurationNotFoundError", 404, "Object Lock configuration does not exist for this bucket";
    OperationAborted = "OperationAborted", 409, "A conflicting conditional operation is currently in progress against this resource. Please try again.";
    OwnershipControlsNotFoundError = "OwnershipControlsNotFoundError", 404, "The bucket ownership controls were not found";
    PermanentRedirect = "PermanentRedirect", 301, "The bucket you are attempting to access must be addressed using the specified endpoint. Please send all future requests to this endpoint.";
    QuotaExceeded = "QuotaExceeded", 403, "The quota of the bucket or of its account would be exceeded.";
    PreconditionFailed = "PreconditionFailed", 412, "At least one of the pre-conditions you specified did not hold";
    ReplicationConfigurationNotFoundError = "ReplicationConfigurationNotFoundError", 404, "The replication configuration was not found";
    RequestExpired = "RequestExpired", 400, "Request has expired";
    RequestHeaderSectionTooLarge = "RequestHeaderSectionTooLarge", 400, "Your request header section exceeds the maximum allowed size.";
    RequestIsNotMultiPartContent = "RequestIsNotMultiPartContent", 412, "Bucket POST must be of the enclosure-type multipart/form-data.";
    RequestTimeTooSkewed = "RequestTimeTooSkewed", 403, "The difference between the request time and the current time is too large.";
    RequestTimeout = "RequestTimeout", 400, "Your socket connection to the server was not read from or written to within the timeout period. Idle connections will be closed.";
    RestoreAlreadyInProgress = "RestoreAlreadyInProgress", 409, "Object restore is already in progress";
    ServerSideEncryptionConfigurationNotFoundError = "ServerSideEncryptionConfigurationNotFoundError", 404, "The server side encryption configuration was not found";
    ServiceUnavailable = "ServiceUnavailable", 503, "Service is unable to handle request.";
    SignatureDoesNotMatch = "SignatureDoesNotMatch", 403, "The request signature we calculated does not match the signature you provided. Check your key and signing method.";
    SlowDown = "SlowDown", 503, "Please reduce your request rate.";
    TooManyBuckets = "TooManyBuckets", 400, "You have attempted to create more buckets than allowed";
    UnexpectedContent = "UnexpectedContent", 400, "This request does not support content";
    UnsupportedMediaType = "UnsupportedMediaType", 415, "The annotation payload must be valid UTF-8 encoded text.";
    UnresolvableGrantByEmailAddress = "UnresolvableGrantByEmailAddress", 400, "The email address you provided does not match any account on record.";
    UserKeyMustBeSpecified = "UserKeyMustBeSpecified", 400, "The bucket POST must contain the specified field name. If it is specified, please check the order of the fields.";
    XAmzContentSha256Mismatch = "XAmzContentSHA256Mismatch", 400, CONTENT_SHA256_MISMATCH_TEXT;

    // What KMS refuses reaches the client as `KMS.` and the exception's name, with KMS's own message.
    KmsAlreadyExists = "KMS.AlreadyExistsException", 400, "The resource already exists.";
    KmsConflict = "KMS.ConflictException", 400, "Another operation on the KMS key stands in the way.";
    KmsDisabled = "KMS.DisabledException", 400, "The KMS key is disabled.";
    KmsDryRun = "KMS.DryRunOperationException", 400, "The request would have succeeded, but the DryRun option is set.";
    KmsExpiredImportToken = "KMS.ExpiredImportTokenException", 400, "The import token is expired.";
    KmsIncorrectKey = "KMS.IncorrectKeyException", 400, "The key ID in the request does not identify a CMK that can perform this operation.";
    KmsIncorrectKeyMaterial = "KMS.IncorrectKeyMaterialException", 400, "The key material is not the one that was imported before.";
    KmsInternal = "KMS.KMSInternalException", 500, "The request was rejected because an internal exception occurred. The request can be retried.";
    KmsInvalidAliasName = "KMS.InvalidAliasNameException", 400, "The alias name is not valid.";
    KmsInvalidArn = "KMS.InvalidArnException", 400, "The ARN is not valid.";
    KmsInvalidCiphertext = "KMS.InvalidCiphertextException", 400, "The ciphertext refers to a customer master key that does not exist, does not exist in this region, or you are not allowed to access.";
    KmsInvalidGrantId = "KMS.InvalidGrantIdException", 400, "The grant id is not valid.";
    KmsInvalidGrantToken = "KMS.InvalidGrantTokenException", 400, "The grant token is not valid.";
    KmsInvalidImportToken = "KMS.InvalidImportTokenException", 400, "The import token is not valid.";
    KmsInvalidKeyUsage = "KMS.InvalidKeyUsageException", 400, "The KMS key cannot be used for this operation.";
    KmsInvalidMarker = "KMS.InvalidMarkerException", 400, "The marker is not valid.";
    KmsInvalidState = "KMS.KMSInvalidStateException", 400, "The KMS key's state does not allow this operation.";
    KmsLimitExceeded = "KMS.LimitExceededException", 400, "A KMS quota was exceeded.";
    KmsMalformedPolicyDocument = "KMS.MalformedPolicyDocumentException", 400, "The key policy is not valid.";
    KmsNotFound = "KMS.NotFoundException", 400, "The KMS key was not found.";
    KmsTag = "KMS.TagException", 400, "A tag is not valid.";
    KmsUnsupportedOperation = "KMS.UnsupportedOperationException", 400, "The KMS key does not support this operation.";
    KmsValidation = "KMS.ValidationException", 400, "A parameter of the KMS request is not valid.";
}

impl Code {
    /// The code of this name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|code| code.name() == name)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn names_are_unique_and_parse_back() {
        let mut seen = HashSet::new();
        for &code in Code::ALL {
            assert!(seen.insert(code.name()), "{} twice", code.name());
            assert_eq!(Code::parse(code.name()), Some(code));
            assert!(code.status().as_u16() >= 300, "{} is no refusal", code.name());
            assert!(!code.default_message().is_empty());
        }
    }
}
