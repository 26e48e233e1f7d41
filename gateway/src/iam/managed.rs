//! The policies that AWS keeps for everybody: those of them that speak of what is here.
//! <https://docs.aws.amazon.com/aws-managed-policy/latest/reference/policy-list.html>

use std::collections::BTreeMap;
use std::sync::LazyLock;

use super::policy_text::PolicyText;

/// A policy of AWS's.
#[derive(Debug)]
pub struct Managed {
    /// `arn:aws:iam::aws:policy/…`.
    pub arn: String,
    /// `ANPA…`.
    pub id: String,
    /// Its name.
    pub name: &'static str,
    /// Its path.
    pub path: &'static str,
    /// What it is for.
    pub description: &'static str,
    /// What it says.
    pub policy: PolicyText,
}

/// When they are said to have been made, milliseconds since the Unix epoch: 6 February 2015, as most of AWS's are.
pub const CREATED_UNIX_MS: u64 = 1_423_247_980_000;

macro_rules! policies {
    ($($path:literal $name:literal $description:literal;)*) => {
        /// Path, name, description and text.
        const POLICIES: &[(&str, &str, &str, &str)] = &[$((
            $path,
            $name,
            $description,
            include_str!(concat!("managed/", $name, ".json")),
        )),*];
    };
}

policies! {
    "/" "AdministratorAccess" "Full access to every service and resource.";
    "/" "PowerUserAccess" "Full access to every service and resource, but no management of users and groups.";
    "/" "ReadOnlyAccess" "Read-only access to every service and resource.";
    "/" "SecurityAudit" "Read access to security configuration.";
    "/job-function/" "ViewOnlyAccess" "Listing of resources and their basic metadata.";
    "/" "AmazonS3FullAccess" "Full access to all buckets.";
    "/" "AmazonS3ReadOnlyAccess" "Read-only access to all buckets.";
    "/" "AWSKeyManagementServicePowerUser" "Management of keys in the key management service, without their use.";
    "/" "IAMFullAccess" "Full access to IAM.";
    "/" "IAMReadOnlyAccess" "Read-only access to IAM.";
    "/" "IAMUserChangePassword" "Changing one's own password.";
    "/" "IAMSelfManageServiceSpecificCredentials" "Management of one's own service-specific credentials.";
    "/" "AWSDenyAll" "Denies everything.";
}

static ALL: LazyLock<BTreeMap<String, Managed>> = LazyLock::new(|| {
    let managed = |&(path, name, description, text): &(&'static str, &'static str, &'static str, &str)| {
        let arn = format!("arn:aws:iam::aws:policy{path}{name}");
        let policy = PolicyText::parse(text.trim_end()).expect("our own policies are well-formed");
        (arn.clone(), Managed { id: id_of(name), arn, name, path, description, policy })
    };
    POLICIES.iter().map(managed).collect()
});

/// An id that is always the same.
fn id_of(name: &str) -> String {
    use sha2::{Digest, Sha256};
    const DIGITS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
    let hash = Sha256::digest(name);
    let digits = hash[..17].iter().map(|byte| char::from(DIGITS[usize::from(byte % 32)]));
    format!("ANPA{}", digits.collect::<String>())
}

/// All of them, in order of ARN.
pub fn all() -> impl Iterator<Item = &'static Managed> {
    ALL.values()
}

/// The one of this ARN.
pub fn find(arn: &str) -> Option<&'static Managed> {
    ALL.get(arn)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_found_by_its_arn() {
        assert_eq!(all().count(), POLICIES.len());
        let administrator = find("arn:aws:iam::aws:policy/AdministratorAccess").unwrap();
        assert_eq!(administrator.name, "AdministratorAccess");
        assert_eq!(administrator.id.len(), 21);
        assert!(find("arn:aws:iam::aws:policy/job-function/ViewOnlyAccess").is_some());
        assert!(find("arn:aws:iam::aws:policy/Nothing").is_none());
    }
}
