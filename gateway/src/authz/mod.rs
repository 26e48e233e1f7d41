//! May they? Gathers the policies that speak, and gives a [`Permit`] or a refusal.
//! <https://docs.aws.amazon.com/AmazonS3/latest/userguide/access-policy-language-overview.html>

mod action;
mod bucket_policy;
pub(crate) mod condition_keys;
mod global_keys;
mod message;
mod public;
pub(crate) mod reference;

use std::sync::Arc;

use futures_util::FutureExt;
use kms_core::policy::{self, Document, Gathered, Outcome, Policies, Request};
use storage::catalog::{Bucket, Catalog, CatalogError, ObjectVersion, VersionRef, object_owner};
use storage::name::{BucketName, ObjectKey};

use crate::bucket::{
    Abac, Acl, CorruptSetting, LOG_DELIVERY_SERVICE, OwnershipControls, Permission, PublicAccessBlock,
    Setting, Tags,
};
use crate::iam::{ANONYMOUS, Iam, Identity};
use crate::observe::request;
use crate::work;
use bucket_policy::{BucketPolicies, BucketPolicy};
use message::explain;

pub use global_keys::{GlobalKeys, time};
pub use kms_core::policy::Context;
pub use message::message_purpose;
pub use public::is_public;

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
    /// Why, sealed: what DecodeAuthorizationMessage opens.
    pub encoded: Option<String>,
}

impl Denied {
    fn new(message: &str) -> Self {
        Self { message: message.to_owned(), encoded: None }
    }
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
    /// It is of a version that the caller is writing: who owns the one that is there now has no say in it.
    pub of_new: bool,
    /// The values of condition keys, if a policy asks for them.
    pub context: &'a (dyn Fn() -> Context + Sync),
}

/// The permit of an operation that asks for each of its objects by itself, with [`Authorizer::check`].
pub fn authorize_each(bucket: Bucket) -> Permit {
    Permit { bucket: Some(bucket) }
}

/// Judges requests.
pub struct Authorizer {
    iam: Arc<Iam>,
    catalog: Catalog,
    policies: BucketPolicies,
}

impl Authorizer {
    /// One that finds objects in this catalog.
    pub fn new(iam: Arc<Iam>, catalog: Catalog) -> Self {
        Self { iam, catalog, policies: BucketPolicies::default() }
    }

    /// Authorises an action on S3 itself.
    pub fn authorize_service(
        &self,
        identity: &Identity,
        action: &str,
        bucket: Option<&BucketName>,
        context: impl Fn() -> Context,
    ) -> Result<Permit, Denied> {
        let resource = bucket.map_or_else(|| "arn:aws:s3:::*".to_owned(), |name| resource_arn(name, None));
        self.authorize_action(identity, action, &resource, context)?;
        Ok(Permit { bucket: None })
    }

    /// Authorises an action on a bucket or on an object of it.
    pub async fn authorize(&self, question: &Question<'_>, bucket: Bucket) -> Result<Permit, Refusal> {
        self.check(question, &bucket).await?;
        Ok(Permit { bucket: Some(bucket) })
    }

    /// As [`Authorizer::authorize`], for a further action or object of a request that has a permit.
    pub async fn check(&self, question: &Question<'_>, bucket: &Bucket) -> Result<(), Refusal> {
        let Question { identity, action, object, context, .. } = *question;
        match self.judge(question, bucket).await? {
            Verdict::Allowed => Ok(()),
            Verdict::Denied(Some(outcome)) => {
                let resource = resource_arn(&bucket.name, object);
                Err(explain(&self.iam, identity, (action, resource.as_str()), &outcome, context).into())
            }
            Verdict::Denied(None) => Err(Denied::new("Access Denied").into()),
        }
    }

    /// May the caller do this? For whoever does not tell why not.
    pub async fn allows(&self, question: &Question<'_>, bucket: &Bucket) -> Result<bool, Refusal> {
        Ok(matches!(self.judge(question, bucket).await?, Verdict::Allowed))
    }

    /// Do the policies that judge this caller's requests to this bucket ask for a condition key whose name, in lower case, begins so?
    pub fn asks_for(
        &self,
        identity: &Identity,
        bucket: &Bucket,
        beginning: &str,
    ) -> Result<bool, CorruptSetting> {
        let policy = self.policies.of(bucket)?;
        Ok(policy.is_some_and(|policy| policy.asks_for(beginning)) || identity.subject.asks_for(beginning))
    }

    async fn judge(&self, question: &Question<'_>, bucket: &Bucket) -> Result<Verdict, Refusal> {
        // A request may ask of a thousand objects, and the policies may be long.
        work::pause().await;
        let Question { identity, action, .. } = *question;
        let subject = &*identity.subject;
        let is_of_owner = identity.is_of(&bucket.owner);
        let policy = self.policies.of(bucket)?;
        let has_acls = OwnershipControls::has_acls(bucket)?;
        let is_writers = has_acls && !question.of_new && question.object.is_some() && is_of_writer(action);
        let is_root = is_of_owner && subject.is_root();
        if is_root && !is_writers && (policy.is_none() || is_of_policies(action)) {
            // The root user may what nothing denies, and is never shut out from the policy itself.
            return Ok(Verdict::Allowed);
        }
        let tags = "s3:existingobjecttag";
        let asks_for_tags =
            policy.as_ref().is_some_and(|policy| policy.asks_for(tags)) || subject.asks_for(tags);
        let existing = if asks_for_tags || is_writers { self.find(question, bucket).await? } else { None };
        let writer = existing.as_ref().filter(|_| is_writers).and_then(ObjectVersion::object);
        let writer = writer.and_then(|record| object_owner(&record.attributes));
        if let Some(writer) = writer.filter(|writer| *writer != bucket.owner) {
            return self
                .judge_of_writer(question, bucket, policy.as_deref(), (existing.as_ref(), writer))
                .await;
        }
        let document = policy.as_ref().map(|policy| &policy.document);
        let judged = judge(question, bucket, (document, &bucket.owner), existing.as_ref(), has_acls)?;
        // To another account nothing is told of why.
        let denied = |outcome| Ok(Verdict::Denied(is_of_owner.then_some(outcome)));
        match judged.outcome {
            Outcome::Allowed { .. } => {
                let is_public = policy.is_some_and(|policy| policy.is_public);
                let block = PublicAccessBlock::in_force(bucket)?;
                let restricted = !is_of_owner && block.restrict_public_buckets && is_public;
                Ok(if restricted { Verdict::Denied(None) } else { Verdict::Allowed })
            }
            outcome @ Outcome::Unmentioned { .. } if has_acls => {
                let block = PublicAccessBlock::in_force(bucket)?;
                match self.granted(question, bucket, block, judged.own_allow).await? {
                    true => {
                        request::detail(|detail| detail.is_by_acl = true);
                        Ok(Verdict::Allowed)
                    }
                    false => denied(outcome),
                }
            }
            outcome => denied(outcome),
        }
    }

    /// May the caller do this to an object that another account than the bucket's owner has written? Its account may, and whomever
    /// its ACL names, unless the bucket's policy denies it: what that policy allows is of the bucket owner's own objects.
    /// <https://docs.aws.amazon.com/AmazonS3/latest/userguide/access-control-auth-workflow-object-operation.html>
    async fn judge_of_writer(
        &self,
        question: &Question<'_>,
        bucket: &Bucket,
        policy: Option<&BucketPolicy>,
        (existing, writer): (Option<&ObjectVersion>, &str),
    ) -> Result<Verdict, Refusal> {
        let block = PublicAccessBlock::in_force(bucket)?;
        let is_public = policy.is_some_and(|policy| policy.is_public);
        if is_public && block.restrict_public_buckets && !question.identity.is_of(&bucket.owner) {
            return Ok(Verdict::Denied(None));
        }
        let denials = policy.map(|policy| &policy.denials);
        let judged = judge(question, bucket, (denials, writer), existing, true)?;
        match judged.outcome {
            Outcome::Allowed { .. } => Ok(Verdict::Allowed),
            Outcome::Unmentioned { .. } => {
                let granted = self.granted(question, bucket, block, judged.own_allow).await?;
                request::detail(|detail| detail.is_by_acl |= granted);
                Ok(if granted { Verdict::Allowed } else { Verdict::Denied(None) })
            }
            _ => Ok(Verdict::Denied(None)),
        }
    }

    /// Do ACLs grant it? `own_allow`: do the caller's own policies allow it?
    async fn granted(
        &self,
        question: &Question<'_>,
        bucket: &Bucket,
        block: PublicAccessBlock,
        own_allow: bool,
    ) -> Result<bool, Refusal> {
        let account = question.identity.account();
        let canonical_id = account.map(|account| account.canonical_id.as_str());
        let is_log_delivery = question.identity.subject.other.as_ref().is_some_and(
            |other| matches!(other, policy::Principal::Service(name) if name == LOG_DELIVERY_SERVICE),
        );
        let permits = |acl: &Acl, permission| {
            if is_log_delivery {
                return acl.grants_to_log_delivery(permission);
            }
            let to_all = acl.grants(permission, None, block.ignore_public_acls)
                || canonical_id.is_some() && acl.grants_to_signers(permission, block.ignore_public_acls);
            to_all || own_allow && acl.grants(permission, canonical_id, true)
        };
        let of_bucket = Acl::of(bucket)?;
        let bucket_grants = |permission| of_bucket.as_ref().is_some_and(|acl| permits(acl, permission));
        let permission = match question.action {
            "s3:ListBucket" | "s3:ListBucketVersions" | "s3:ListBucketMultipartUploads" => {
                return Ok(bucket_grants(Permission::Read));
            }
            "s3:PutObject" | "s3:DeleteObject" => return Ok(bucket_grants(Permission::Write)),
            // Who writes an object may say who reads it, and has to do with the upload that he began.
            "s3:PutObjectAcl" if question.of_new => return Ok(bucket_grants(Permission::Write)),
            "s3:AbortMultipartUpload" | "s3:ListMultipartUploadParts" if question.of_new => {
                return Ok(own_allow);
            }
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
        let found = self.find(question, bucket).await?;
        let Some(found) = found.filter(|found| found.object().is_some()) else {
            // Whoever may list may know that it is not there.
            return Ok(bucket_grants(Permission::Read));
        };
        let stored = found.object().and_then(|record| record.attributes.get(ACL_ATTRIBUTE));
        let acl: Option<Acl> = stored
            .map(|stored| serde_json::from_slice(stored).map_err(|_| CorruptSetting(ACL_ATTRIBUTE)))
            .transpose()?;
        // What nobody signed for nobody owns: without an ACL it is everybody's, as on AWS, but for what is blocked.
        let is_nobodys = || {
            let owner = found.object().and_then(|record| object_owner(&record.attributes));
            owner == Some(ANONYMOUS) && account.is_none() && !block.ignore_public_acls
        };
        Ok(acl.map_or_else(is_nobodys, |acl| permits(&acl, permission)))
    }

    async fn find(
        &self,
        question: &Question<'_>,
        bucket: &Bucket,
    ) -> Result<Option<ObjectVersion>, CatalogError> {
        match question.object {
            // On the heap: few requests ask, and all would have room for it.
            Some(object) => self.catalog.version(bucket, object, question.version).boxed().await,
            None => Ok(None),
        }
    }
}

/// What all that speaks of a question comes to.
enum Verdict {
    Allowed,
    /// With what policies say, where that may be told.
    Denied(Option<Outcome>),
}

/// What policies say of a question.
struct Judged {
    outcome: Outcome,
    /// Do the caller's own policies allow it, as another account's have to where an ACL grants it?
    own_allow: bool,
}

fn judge(
    question: &Question<'_>,
    bucket: &Bucket,
    (policy, owner): (Option<&Document>, &str),
    existing: Option<&ObjectVersion>,
    has_acls: bool,
) -> Result<Judged, CorruptSetting> {
    let bucket_tags = bucket_tags(bucket)?;
    let values = Gathered::new(|| {
        let mut context = (question.context)();
        add_existing_tags(existing, &mut context);
        for (name, value) in &bucket_tags {
            for of in ["aws:resourcetag", "s3:buckettag"] {
                context.insert(format!("{of}/{}", name.to_ascii_lowercase()), vec![value.clone()]);
            }
        }
        for of in ["aws:resourceaccount", "s3:resourceaccount"] {
            context.insert(of.to_owned(), vec![bucket.owner.clone()]);
        }
        // What a request says beside its action says nothing of it.
        context.retain(|key, _| condition_keys::applies(question.action, key));
        context
    });
    let resource = resource_arn(&bucket.name, question.object);
    let (subject, action) = (&*question.identity.subject, question.action);
    let request = Request { subject, action, resource: &resource, values: &values };
    let policies =
        Policies { resource: policy, resource_must_delegate: false, resource_account: Some(owner) };
    let outcome = policy::decide(policies, &request);
    let own_allow = has_acls
        && matches!(outcome, Outcome::Unmentioned { .. })
        && policy::decide(Policies::default(), &request).is_allowed();
    Ok(Judged { outcome, own_allow })
}

/// The tags of a bucket, where they are condition keys.
fn bucket_tags(bucket: &Bucket) -> Result<Vec<(String, String)>, CorruptSetting> {
    match Abac::of(bucket)?.is_some_and(|abac| abac.enabled) {
        true => Ok(Tags::of(bucket)?.unwrap_or_default().0),
        false => Ok(Vec::new()),
    }
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

fn add_existing_tags(found: Option<&ObjectVersion>, context: &mut Context) {
    for (name, value) in found.and_then(ObjectVersion::object).iter().flat_map(|record| &record.tags) {
        context.insert(format!("s3:existingobjecttag/{}", name.to_ascii_lowercase()), vec![value.clone()]);
    }
}

/// Is it for the owner of an object to allow, whoever's the bucket is? The bucket's owner decides who writes and who deletes, and
/// what protects from both.
fn is_of_writer(action: &str) -> bool {
    const OF_BUCKET_OWNER: [&str; 11] = [
        "s3:PutObject",
        "s3:DeleteObject",
        "s3:DeleteObjectVersion",
        "s3:AbortMultipartUpload",
        "s3:ListMultipartUploadParts",
        "s3:RestoreObject",
        "s3:GetObjectRetention",
        "s3:PutObjectRetention",
        "s3:GetObjectLegalHold",
        "s3:PutObjectLegalHold",
        "s3:BypassGovernanceRetention",
    ];
    !OF_BUCKET_OWNER.contains(&action)
}

fn is_of_policies(action: &str) -> bool {
    ["s3:GetBucketPolicy", "s3:PutBucketPolicy", "s3:DeleteBucketPolicy"].contains(&action)
}
