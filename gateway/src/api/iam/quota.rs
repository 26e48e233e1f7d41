//! How much an account may have.
//! <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html>

use crate::iam::IamError;

macro_rules! quotas {
    ($($quota:ident $summary:literal $message:literal $limit:literal;)*) => {
        /// A quota: one row of the table.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(super) enum Quota {
            $(
                #[doc = concat!("At most ", stringify!($limit), ".")]
                $quota,
            )*
        }

        impl Quota {
            /// Every quota.
            pub(super) const ALL: &[Self] = &[$(Self::$quota),*];

            /// What the account's summary calls it; empty: it does not tell it.
            pub(super) fn summary_name(self) -> &'static str {
                match self {
                    $(Self::$quota => $summary,)*
                }
            }

            /// The most there may be.
            pub(super) fn limit(self) -> usize {
                match self {
                    $(Self::$quota => $limit,)*
                }
            }

            fn message_name(self) -> &'static str {
                match self {
                    $(Self::$quota => $message,)*
                }
            }
        }
    };
}

quotas! {
    Users "UsersQuota" "UsersPerAccount" 5000;
    Groups "GroupsQuota" "GroupsPerAccount" 300;
    Roles "RolesQuota" "RolesPerAccount" 1000;
    Policies "PoliciesQuota" "PoliciesPerAccount" 1500;
    GroupsPerUser "GroupsPerUserQuota" "GroupsPerUser" 10;
    AccessKeysPerUser "AccessKeysPerUserQuota" "AccessKeysPerUser" 2;
    AttachedPoliciesPerUser "AttachedPoliciesPerUserQuota" "PoliciesPerUser" 10;
    AttachedPoliciesPerGroup "AttachedPoliciesPerGroupQuota" "PoliciesPerGroup" 10;
    AttachedPoliciesPerRole "AttachedPoliciesPerRoleQuota" "PoliciesPerRole" 10;
    UserPolicySize "UserPolicySizeQuota" "UserPolicySize" 2048;
    GroupPolicySize "GroupPolicySizeQuota" "GroupPolicySize" 5120;
    RolePolicySize "RolePolicySizeQuota" "RolePolicySize" 10240;
    PolicySize "PolicySizeQuota" "PolicySize" 6144;
    AssumeRolePolicySize "AssumeRolePolicySizeQuota" "ACLSizePerRole" 2048;
    VersionsPerPolicy "VersionsPerPolicyQuota" "VersionsPerPolicy" 5;
    Providers "" "OpenIdConnectProvidersPerAccount" 100;
    ClientIds "" "ClientIdsPerOpenIdConnectProvider" 100;
}

impl Quota {
    /// Refuses more than there may be.
    pub(super) fn check(self, count: usize) -> Result<(), IamError> {
        match count <= self.limit() {
            true => Ok(()),
            false => Err(IamError::LimitExceeded(format!(
                "Cannot exceed quota for {}: {}",
                self.message_name(),
                self.limit()
            ))),
        }
    }
}
