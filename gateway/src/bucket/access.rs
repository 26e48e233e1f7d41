//! Who may: ACLs, ownership, the block of public access, and the policy's text.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use storage::catalog::Bucket;

use super::{CorruptSetting, Setting};
use crate::config::ObjectOwnership;

/// The bucket's policy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "StoredPolicy")]
pub struct Policy {
    /// As it was given.
    pub text: String,
    /// Whom its principals meant when it was given: unique ids by how the text calls them.
    pub bindings: BTreeMap<String, String>,
}

/// Until there were users, a policy was its text alone.
#[derive(Deserialize)]
#[serde(untagged)]
enum StoredPolicy {
    Text(String),
    Bound { text: String, bindings: BTreeMap<String, String> },
}

impl From<StoredPolicy> for Policy {
    fn from(stored: StoredPolicy) -> Self {
        match stored {
            StoredPolicy::Text(text) => Self { text, bindings: BTreeMap::new() },
            StoredPolicy::Bound { text, bindings } => Self { text, bindings },
        }
    }
}

impl Setting for Policy {
    const NAME: &'static str = "policy";
}

/// The block of public access. A bucket has all four from the beginning, as on AWS since April 2023, until they are set or taken away.
/// <https://docs.aws.amazon.com/AmazonS3/latest/userguide/access-control-block-public-access.html>
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PublicAccessBlock {
    /// Refuse ACLs that grant to everybody.
    pub block_public_acls: bool,
    /// Ignore such ACLs.
    pub ignore_public_acls: bool,
    /// Refuse policies that allow everybody.
    pub block_public_policy: bool,
    /// Let only the owner's account use a bucket whose policy allows everybody.
    pub restrict_public_buckets: bool,
    /// It was taken away: nothing is blocked, and none is there to be read.
    #[serde(default)]
    pub removed: bool,
}

impl Setting for PublicAccessBlock {
    const NAME: &'static str = "public-access-block";
}

impl PublicAccessBlock {
    /// What a new bucket has.
    pub const ALL: Self = Self {
        block_public_acls: true,
        ignore_public_acls: true,
        block_public_policy: true,
        restrict_public_buckets: true,
        removed: false,
    };
    /// What is in force for a bucket.
    pub fn in_force(bucket: &Bucket) -> Result<Self, CorruptSetting> {
        Ok(Self::of(bucket)?.unwrap_or(Self::ALL))
    }

    /// What stands in its place once it was taken away.
    pub const REMOVED: Self = Self {
        block_public_acls: false,
        ignore_public_acls: false,
        block_public_policy: false,
        restrict_public_buckets: false,
        removed: true,
    };
}

/// Who owns what others write into a bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Ownership {
    /// The bucket's owner; ACLs mean nothing. What a new bucket has.
    BucketOwnerEnforced,
    /// The bucket's owner where the writer says so.
    BucketOwnerPreferred,
    /// Whoever writes.
    ObjectWriter,
}

impl Ownership {
    /// Its name on the wire.
    pub fn name(self) -> &'static str {
        match self {
            Self::BucketOwnerEnforced => "BucketOwnerEnforced",
            Self::BucketOwnerPreferred => "BucketOwnerPreferred",
            Self::ObjectWriter => "ObjectWriter",
        }
    }

    /// The ownership of this name.
    pub fn parse(name: &str) -> Option<Self> {
        [Self::BucketOwnerEnforced, Self::BucketOwnerPreferred, Self::ObjectWriter]
            .into_iter()
            .find(|ownership| ownership.name() == name)
    }
}

impl From<ObjectOwnership> for Ownership {
    fn from(default: ObjectOwnership) -> Self {
        match default {
            ObjectOwnership::BucketOwnerEnforced => Self::BucketOwnerEnforced,
            ObjectOwnership::BucketOwnerPreferred => Self::BucketOwnerPreferred,
            ObjectOwnership::ObjectWriter => Self::ObjectWriter,
        }
    }
}

/// The ownership controls; `None`: they were taken away, which leaves what buckets had before there were any: ObjectWriter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct OwnershipControls(pub Option<Ownership>);

impl Setting for OwnershipControls {
    const NAME: &'static str = "ownership";
}

impl OwnershipControls {
    /// Do ACLs mean something in a bucket, and may what is in it be another account's?
    pub fn has_acls(bucket: &Bucket) -> Result<bool, CorruptSetting> {
        Ok(Self::in_force(bucket)? != Ownership::BucketOwnerEnforced)
    }

    /// Who owns what is written into a bucket.
    pub fn in_force(bucket: &Bucket) -> Result<Ownership, CorruptSetting> {
        Ok(match Self::of(bucket)? {
            None => Ownership::BucketOwnerEnforced,
            Some(Self(ownership)) => ownership.unwrap_or(Ownership::ObjectWriter),
        })
    }
}

/// What a grant permits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Permission {
    /// All of the others.
    FullControl,
    /// To read an object, or to list a bucket.
    Read,
    /// To write into a bucket.
    Write,
    /// To read the ACL.
    ReadAcp,
    /// To write the ACL.
    WriteAcp,
}

impl Permission {
    /// All.
    pub const ALL: [Self; 5] = [Self::FullControl, Self::Read, Self::Write, Self::ReadAcp, Self::WriteAcp];

    /// Its name on the wire.
    pub fn name(self) -> &'static str {
        match self {
            Self::FullControl => "FULL_CONTROL",
            Self::Read => "READ",
            Self::Write => "WRITE",
            Self::ReadAcp => "READ_ACP",
            Self::WriteAcp => "WRITE_ACP",
        }
    }

    /// The permission of this name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|permission| permission.name() == name)
    }
}

/// Whom a grant is for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Grantee {
    /// An account, by its canonical user id.
    Canonical {
        /// The id.
        id: String,
    },
    /// Everybody.
    AllUsers,
    /// Everybody who has an account.
    AuthenticatedUsers,
    /// Who delivers access logs.
    LogDelivery,
}

impl Grantee {
    /// The groups, by their URI.
    pub const GROUPS: [(Self, &'static str); 3] = [
        (Self::AllUsers, "http://acs.amazonaws.com/groups/global/AllUsers"),
        (Self::AuthenticatedUsers, "http://acs.amazonaws.com/groups/global/AuthenticatedUsers"),
        (Self::LogDelivery, "http://acs.amazonaws.com/groups/s3/LogDelivery"),
    ];

    /// Is it everybody, or everybody with an account?
    pub fn is_public(&self) -> bool {
        matches!(self, Self::AllUsers | Self::AuthenticatedUsers)
    }
}

/// One grant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grant {
    /// To whom.
    pub grantee: Grantee,
    /// What.
    pub permission: Permission,
}

/// An access control list: of a bucket, or as an attribute of an object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Acl {
    /// Its grants. Whose it is the bucket or the object tells.
    pub grants: Vec<Grant>,
}

impl Setting for Acl {
    const NAME: &'static str = "acl";
}

/// Who reads machine images for EC2: what `aws-exec-read` is for.
const EC2_CANONICAL_ID: &str = "6aa5a366c34c1cbe25dc49211496e913e0351eb0e8c37aa3477e40942ec6b97c";

impl Acl {
    /// Full control for the owner.
    pub fn private(owner: &Grantee) -> Self {
        Self { grants: vec![Grant { grantee: owner.clone(), permission: Permission::FullControl }] }
    }

    /// The canned ACL of this name, for what `owner` owns in a bucket of `bucket_owner`.
    /// <https://docs.aws.amazon.com/AmazonS3/latest/userguide/acl-overview.html#canned-acl>
    pub fn canned(name: &str, owner: &Grantee, bucket_owner: &Grantee) -> Option<Self> {
        use Permission::{FullControl, Read, ReadAcp, Write};
        let to_bucket_owner = |permission| (bucket_owner.clone(), permission);
        let further = match name {
            "private" => Vec::new(),
            // To whom all is granted nothing is added.
            "bucket-owner-read" | "bucket-owner-full-control" if owner == bucket_owner => Vec::new(),
            "bucket-owner-read" => vec![to_bucket_owner(Read)],
            "bucket-owner-full-control" => vec![to_bucket_owner(FullControl)],
            "public-read" => vec![(Grantee::AllUsers, Read)],
            "public-read-write" => vec![(Grantee::AllUsers, Read), (Grantee::AllUsers, Write)],
            "authenticated-read" => vec![(Grantee::AuthenticatedUsers, Read)],
            "aws-exec-read" => vec![(Grantee::Canonical { id: EC2_CANONICAL_ID.to_owned() }, Read)],
            "log-delivery-write" => vec![(Grantee::LogDelivery, Write), (Grantee::LogDelivery, ReadAcp)],
            _ => return None,
        };
        let mut acl = Self::private(owner);
        acl.grants.extend(further.into_iter().map(|(grantee, permission)| Grant { grantee, permission }));
        Some(acl)
    }

    /// Does it grant something to everybody?
    pub fn is_public(&self) -> bool {
        self.grants.iter().any(|grant| grant.grantee.is_public())
    }

    /// Does it grant this to everybody who signs?
    pub fn grants_to_signers(&self, permission: Permission, ignore_public: bool) -> bool {
        let is_for = |grant: &Grant| {
            grant.grantee == Grantee::AuthenticatedUsers
                && [permission, Permission::FullControl].contains(&grant.permission)
        };
        !ignore_public && self.grants.iter().any(is_for)
    }

    /// Does it grant this to the group that delivers logs?
    pub fn grants_to_log_delivery(&self, permission: Permission) -> bool {
        self.grants.iter().any(|grant| {
            grant.grantee == Grantee::LogDelivery
                && [permission, Permission::FullControl].contains(&grant.permission)
        })
    }

    /// Does it grant this to an account (by its canonical id; `None`: nobody in particular)?
    pub fn grants(&self, permission: Permission, canonical_id: Option<&str>, ignore_public: bool) -> bool {
        self.grants.iter().any(|grant| {
            let is_for = match &grant.grantee {
                Grantee::Canonical { id } => Some(id.as_str()) == canonical_id,
                Grantee::AllUsers => !ignore_public,
                Grantee::AuthenticatedUsers => !ignore_public && canonical_id.is_some(),
                Grantee::LogDelivery => false,
            };
            is_for && [permission, Permission::FullControl].contains(&grant.permission)
        })
    }
}
