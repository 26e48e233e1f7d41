//! May they? Gathers the policies that speak, and gives a [`Permit`] or a refusal.
//! <https://docs.aws.amazon.com/AmazonS3/latest/userguide/access-policy-language-overview.html>

mod public;

use std::collections::BTreeMap;

use kms_core::policy::{self, Decision, Document, Outcome, Policies, Request};
use storage::catalog::{Bucket, Catalog, CatalogError, ObjectVersion, VersionRef};
use storage::name::{BucketName, ObjectKey};

use crate::bucket::{
    Abac, Acl, CorruptSetting, Ownership, OwnershipControls, Permission, Policy, PublicAccessBlock, Setting,
    Tags,
};
use crate::iam::Identity;

pub use public::is_public;

/// Values of condition keys, by their lower-case names.
pub type Context = BTreeMap<String, Vec<String>>;

/// Proof that an action on a resource was authorised. Only this module makes one, so an operation that skipped
/// authorisation does not compile.
#[derive(Debug)]
pub struct Permit {
    bucket: Option<Bucket>,
}

impl Permit {
    /// The bucket that the permit is for, as it was read when it was given: operations need not read it again.
    ///
    /// # Panics
    /// For a permit on the service (ListBuckets, CreateBucket): the spine gives those to no operation on a bucket.
    pub fn bucket(&self) -> &Bucket {
        self.bucket.as_ref().expect("an operation on a bucket has a permit for that bucket")
    }
}

/// The caller may not do this: AWS answers 403 AccessDenied.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Denied {
    /// What the client is told.
    pub message: String,
}

/// Why there is no permit.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// The caller may not.
    #[error(transparent)]
    Denied(#[from] Denied),
    /// The object's record can't be read.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    /// What is set on the bucket can't be read.
    #[error(transparent)]
    Corrupt(#[from] CorruptSetting),
}

/// What is asked for.
#[derive(Clone, Copy)]
pub struct Question<'a> {
    /// Who asks.
    pub identity: &'a Identity,
    /// For which action of S3 (`s3:GetObject`, …).
    pub action: &'a str,
    /// On this object; on the bucket where there is none.
    pub object: Option<&'a ObjectKey>,
    /// On this version of it.
    pub version: VersionRef,
    /// The values of condition keys, if a policy asks for them.
    pub context: &'a (dyn Fn() -> Context + Sync),
}

/// Authorises an action on the service.
pub fn authorize_service(identity: &Identity) -> Result<Permit, Denied> {
    match identity.account() {
        Some(_) => Ok(Permit { bucket: None }),
        None => Err(denied("Access Denied")),
    }
}

/// Authorises an action on a bucket or on an object of it.
pub async fn authorize(
    catalog: &Catalog,
    question: &Question<'_>,
    bucket: Bucket,
) -> Result<Permit, Refusal> {
    check(catalog, question, &bucket).await?;
    Ok(Permit { bucket: Some(bucket) })
}

/// The permit of an operation that asks for each of its objects by itself, with [`check`].
pub fn authorize_each(bucket: Bucket) -> Permit {
    Permit { bucket: Some(bucket) }
}

/// As [`authorize`], for a further action or object of a request that has a permit.
pub async fn check(catalog: &Catalog, question: &Question<'_>, bucket: &Bucket) -> Result<(), Refusal> {
    let Question { identity, action, object, .. } = *question;
    let is_owner = identity.account().is_some_and(|account| account.id == bucket.owner);
    let policy = Policy::of(bucket)?;
    if is_owner && (policy.is_none() || is_of_policies(action)) {
        // The root user is the account, and is never shut out from the policy itself.
        return Ok(());
    }
    let block = PublicAccessBlock::in_force(bucket)?;
    if let Some(policy) = policy {
        let document = Document::parse_resource(&policy.0).map_err(|_| CorruptSetting(Policy::NAME))?;
        let mut context = (question.context)();
        if object.is_some() && policy.0.to_ascii_lowercase().contains("s3:existingobjecttag") {
            add_existing_tags(find(catalog, question, bucket).await?.as_ref(), &mut context);
        }
        if Abac::of(bucket)?.is_some_and(|abac| abac.enabled) {
            for (name, value) in Tags::of(bucket)?.unwrap_or_default().0 {
                for of in ["aws:resourcetag", "s3:buckettag"] {
                    context.insert(format!("{of}/{}", name.to_ascii_lowercase()), vec![value.clone()]);
                }
            }
        }
        let arn = identity.arn();
        let resource = resource_arn(&bucket.name, object);
        let request = Request {
            principals: &[&arn],
            account: identity.account().map_or("anonymous", |account| &account.id),
            service: None,
            action,
            resource: &resource,
            context: &context,
        };
        if is_owner {
            let all = Policies { resource: Some(&document), ..Policies::default() };
            return match policy::decide(all, &request) {
                outcome @ Outcome::ExplicitDeny { .. } => {
                    Err(explain(identity, action, &resource, &outcome).into())
                }
                // Of the owner's account there is the root user alone, who may what nothing denies.
                _ => Ok(()),
            };
        }
        match policy::evaluate(&document, &request) {
            Decision::Denied { sid } => {
                let outcome = Outcome::ExplicitDeny { by: policy::Which::Resource, sid };
                return Err(explain(identity, action, &resource, &outcome).into());
            }
            Decision::Allowed { .. } | Decision::Delegated { .. } => {
                let restricted = block.restrict_public_buckets && is_public(&document);
                return if restricted { Err(denied("Access Denied").into()) } else { Ok(()) };
            }
            Decision::Silent => {}
        }
    }
    if OwnershipControls::in_force(bucket)? != Ownership::BucketOwnerEnforced
        && granted(catalog, question, bucket, block).await?
    {
        return Ok(());
    }
    Err(denied("Access Denied").into())
}

/// ARN of a bucket or of an object.
pub fn resource_arn(bucket: &BucketName, object: Option<&ObjectKey>) -> String {
    match object {
        None => format!("arn:aws:s3:::{bucket}"),
        Some(object) => format!("arn:aws:s3:::{bucket}/{object}"),
    }
}

/// The attribute of an object that is its ACL.
pub const ACL_ATTRIBUTE: &str = "acl";

/// Do ACLs grant it?
async fn granted(
    catalog: &Catalog,
    question: &Question<'_>,
    bucket: &Bucket,
    block: PublicAccessBlock,
) -> Result<bool, Refusal> {
    let canonical_id = question.identity.account().map(|account| account.canonical_id.as_str());
    let of_bucket = Acl::of(bucket)?;
    let bucket_grants = |permission| {
        of_bucket.as_ref().is_some_and(|acl| acl.grants(permission, canonical_id, block.ignore_public_acls))
    };
    let permission = match question.action {
        "s3:ListBucket" | "s3:ListBucketVersions" | "s3:ListBucketMultipartUploads" => {
            return Ok(bucket_grants(Permission::Read));
        }
        "s3:PutObject" | "s3:DeleteObject" => return Ok(bucket_grants(Permission::Write)),
        "s3:GetBucketAcl" => return Ok(bucket_grants(Permission::ReadAcp)),
        "s3:PutBucketAcl" => return Ok(bucket_grants(Permission::WriteAcp)),
        "s3:GetObject"
        | "s3:GetObjectVersion"
        | "s3:GetObjectAttributes"
        | "s3:GetObjectVersionAttributes" => Permission::Read,
        "s3:GetObjectAcl" | "s3:GetObjectVersionAcl" => Permission::ReadAcp,
        "s3:PutObjectAcl" | "s3:PutObjectVersionAcl" => Permission::WriteAcp,
        _ => return Ok(false),
    };
    let found = find(catalog, question, bucket).await?;
    let Some(found) = found.filter(|found| found.object().is_some()) else {
        // Whoever may list may know that it is not there.
        return Ok(bucket_grants(Permission::Read));
    };
    let stored = found.object().and_then(|record| record.attributes.get(ACL_ATTRIBUTE));
    let acl: Option<Acl> = stored
        .map(|stored| serde_json::from_slice(stored).map_err(|_| CorruptSetting(ACL_ATTRIBUTE)))
        .transpose()?;
    Ok(acl.is_some_and(|acl| acl.grants(permission, canonical_id, block.ignore_public_acls)))
}

async fn find(
    catalog: &Catalog,
    question: &Question<'_>,
    bucket: &Bucket,
) -> Result<Option<ObjectVersion>, CatalogError> {
    match question.object {
        Some(object) => catalog.version(bucket, object, question.version).await,
        None => Ok(None),
    }
}

fn add_existing_tags(found: Option<&ObjectVersion>, context: &mut Context) {
    for (name, value) in found.and_then(ObjectVersion::object).iter().flat_map(|record| &record.tags) {
        context.insert(format!("s3:existingobjecttag/{}", name.to_ascii_lowercase()), vec![value.clone()]);
    }
}

fn is_of_policies(action: &str) -> bool {
    ["s3:GetBucketPolicy", "s3:PutBucketPolicy", "s3:DeleteBucketPolicy"].contains(&action)
}

fn denied(message: &str) -> Denied {
    Denied { message: message.to_owned() }
}

/// AWS's text of a decision by policy.
fn explain(identity: &Identity, action: &str, resource: &str, outcome: &Outcome) -> Denied {
    match identity {
        Identity::Anonymous => denied("Access Denied"),
        Identity::Root { .. } => Denied {
            message: format!(
                "User: {} is not authorized to perform: {action} on resource: \"{resource}\" {}",
                identity.arn(),
                outcome.why(action)
            ),
        },
    }
}
