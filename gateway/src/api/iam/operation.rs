//! Every operation of IAM's model, one row each.
//! <https://docs.aws.amazon.com/IAM/latest/APIReference/API_Operations.html>

use super::login::{self, Of};
use super::{
    Change, Request, access_key, account, attachment, authorization_details, boundary, group, inline, policy,
    policy_version, provider, role, simulate, tagging, user,
};
use crate::api::query::{Answer, Refusal};
use crate::iam::{Group, ManagedPolicy, Role, User};

/// What an operation does.
#[derive(Clone, Copy)]
pub(super) enum Handler {
    /// It reads.
    Reads(fn(&Request<'_>) -> Result<Answer, Refusal>),
    /// It changes the account.
    Changes(fn(&Request<'_>) -> Result<Change, Refusal>),
    /// It lists what there is none of, in this element.
    Nothing(Of, &'static str),
    /// It is refused by name.
    NotHere,
}

use Handler::{Changes, NotHere, Nothing, Reads};

/// By name, in order.
pub(super) const OPERATIONS: &[(&str, Handler)] = &[
    ("AcceptDelegationRequest", NotHere),
    ("AcquireRole", NotHere),
    ("AddClientIDToOpenIDConnectProvider", Changes(provider::add_client_id)),
    ("AddRoleToInstanceProfile", NotHere),
    ("AddUserToGroup", Changes(group::add_user)),
    ("AssociateDelegationRequest", NotHere),
    ("AttachGroupPolicy", Changes(attachment::attach::<Group>)),
    ("AttachRolePolicy", Changes(attachment::attach::<Role>)),
    ("AttachUserPolicy", Changes(attachment::attach::<User>)),
    ("ChangePassword", NotHere),
    ("CreateAccessKey", Changes(access_key::create)),
    ("CreateAccountAlias", Changes(account::create_alias)),
    ("CreateDelegationRequest", NotHere),
    ("CreateGroup", Changes(group::create)),
    ("CreateInstanceProfile", NotHere),
    ("CreateLoginProfile", NotHere),
    ("CreateOpenIDConnectProvider", Changes(provider::create)),
    ("CreatePolicy", Changes(policy::create)),
    ("CreatePolicyVersion", Changes(policy_version::create)),
    ("CreateRole", Changes(role::create)),
    ("CreateSAMLProvider", NotHere),
    ("CreateServiceLinkedRole", NotHere),
    ("CreateServiceSpecificCredential", NotHere),
    ("CreateUser", Changes(user::create)),
    ("CreateVirtualMFADevice", NotHere),
    ("DeactivateMFADevice", NotHere),
    ("DeleteAccessKey", Changes(access_key::delete)),
    ("DeleteAccountAlias", Changes(account::delete_alias)),
    ("DeleteAccountPasswordPolicy", NotHere),
    ("DeleteGroup", Changes(group::delete)),
    ("DeleteGroupPolicy", Changes(inline::delete::<Group>)),
    ("DeleteInstanceProfile", NotHere),
    ("DeleteLoginProfile", Changes(login::change)),
    ("DeleteOpenIDConnectProvider", Changes(provider::delete)),
    ("DeletePolicy", Changes(policy::delete)),
    ("DeletePolicyVersion", Changes(policy_version::delete)),
    ("DeleteRole", Changes(role::delete)),
    ("DeleteRolePermissionsBoundary", Changes(boundary::delete::<Role>)),
    ("DeleteRolePolicy", Changes(inline::delete::<Role>)),
    ("DeleteSAMLProvider", NotHere),
    ("DeleteSSHPublicKey", NotHere),
    ("DeleteServerCertificate", NotHere),
    ("DeleteServiceLinkedRole", NotHere),
    ("DeleteServiceSpecificCredential", NotHere),
    ("DeleteSigningCertificate", NotHere),
    ("DeleteUser", Changes(user::delete)),
    ("DeleteUserPermissionsBoundary", Changes(boundary::delete::<User>)),
    ("DeleteUserPolicy", Changes(inline::delete::<User>)),
    ("DeleteVirtualMFADevice", NotHere),
    ("DetachGroupPolicy", Changes(attachment::detach::<Group>)),
    ("DetachRolePolicy", Changes(attachment::detach::<Role>)),
    ("DetachUserPolicy", Changes(attachment::detach::<User>)),
    ("DisableOrganizationsRootCredentialsManagement", NotHere),
    ("DisableOrganizationsRootSessions", NotHere),
    ("DisableOutboundWebIdentityFederation", NotHere),
    ("EnableMFADevice", NotHere),
    ("EnableOrganizationsRootCredentialsManagement", NotHere),
    ("EnableOrganizationsRootSessions", NotHere),
    ("EnableOutboundWebIdentityFederation", NotHere),
    ("GenerateCredentialReport", NotHere),
    ("GenerateOrganizationsAccessReport", NotHere),
    ("GenerateServiceLastAccessedDetails", NotHere),
    ("GetAccessKeyLastUsed", Reads(access_key::last_used)),
    ("GetAccountAuthorizationDetails", Reads(authorization_details::get)),
    ("GetAccountPasswordPolicy", Reads(account::password_policy)),
    ("GetAccountProperties", NotHere),
    ("GetAccountSummary", Reads(account::summary)),
    ("GetContextKeysForCustomPolicy", Reads(simulate::keys_of_custom)),
    ("GetContextKeysForPrincipalPolicy", Reads(simulate::keys_of_principal)),
    ("GetCredentialReport", NotHere),
    ("GetDelegationRequest", NotHere),
    ("GetGroup", Reads(group::get)),
    ("GetGroupPolicy", Reads(inline::get::<Group>)),
    ("GetHumanReadableSummary", NotHere),
    ("GetInstanceProfile", Reads(login::no_instance_profile)),
    ("GetLoginProfile", Reads(login::get)),
    ("GetMFADevice", NotHere),
    ("GetOpenIDConnectProvider", Reads(provider::get)),
    ("GetOrganizationsAccessReport", NotHere),
    ("GetOutboundWebIdentityFederationInfo", NotHere),
    ("GetPolicy", Reads(policy::get)),
    ("GetPolicyVersion", Reads(policy_version::get)),
    ("GetRole", Reads(role::get)),
    ("GetRolePolicy", Reads(inline::get::<Role>)),
    ("GetRoleTemplateVersion", NotHere),
    ("GetSAMLProvider", NotHere),
    ("GetSSHPublicKey", NotHere),
    ("GetServerCertificate", NotHere),
    ("GetServiceLastAccessedDetails", NotHere),
    ("GetServiceLastAccessedDetailsWithEntities", NotHere),
    ("GetServiceLinkedRoleDeletionStatus", NotHere),
    ("GetUser", Reads(user::get)),
    ("GetUserPolicy", Reads(inline::get::<User>)),
    ("ListAccessKeys", Reads(access_key::list_all)),
    ("ListAccountAliases", Reads(account::list_aliases)),
    ("ListAttachedGroupPolicies", Reads(attachment::list_of::<Group>)),
    ("ListAttachedRolePolicies", Reads(attachment::list_of::<Role>)),
    ("ListAttachedUserPolicies", Reads(attachment::list_of::<User>)),
    ("ListDelegationRequests", NotHere),
    ("ListEntitiesForPolicy", Reads(attachment::list_entities)),
    ("ListGroupPolicies", Reads(inline::list::<Group>)),
    ("ListGroups", Reads(group::list_all)),
    ("ListGroupsForUser", Reads(group::list_for_user)),
    ("ListInstanceProfileTags", Reads(login::no_instance_profile)),
    ("ListInstanceProfiles", Nothing(Of::Account("instance-profile"), "InstanceProfiles")),
    ("ListInstanceProfilesForRole", Nothing(Of::Role, "InstanceProfiles")),
    ("ListMFADeviceTags", NotHere),
    ("ListMFADevices", Nothing(Of::User, "MFADevices")),
    ("ListOpenIDConnectProviderTags", Reads(provider::list_tags)),
    ("ListOpenIDConnectProviders", Reads(provider::list_all)),
    ("ListOrganizationsFeatures", NotHere),
    ("ListPolicies", Reads(policy::list_all)),
    ("ListPoliciesGrantingServiceAccess", NotHere),
    ("ListPolicyTags", Reads(tagging::list_of::<ManagedPolicy>)),
    ("ListPolicyVersions", Reads(policy_version::list_all)),
    ("ListRolePolicies", Reads(inline::list::<Role>)),
    ("ListRoleTags", Reads(tagging::list_of::<Role>)),
    ("ListRoles", Reads(role::list_all)),
    ("ListSAMLProviderTags", NotHere),
    ("ListSAMLProviders", Nothing(Of::WholeAccount("saml-provider"), "SAMLProviderList")),
    ("ListSSHPublicKeys", Nothing(Of::User, "SSHPublicKeys")),
    ("ListServerCertificateTags", NotHere),
    ("ListServerCertificates", Nothing(Of::Account("server-certificate"), "ServerCertificateMetadataList")),
    ("ListServiceSpecificCredentials", Nothing(Of::User, "ServiceSpecificCredentials")),
    ("ListSigningCertificates", Nothing(Of::User, "Certificates")),
    ("ListUserPolicies", Reads(inline::list::<User>)),
    ("ListUserTags", Reads(tagging::list_of::<User>)),
    ("ListUsers", Reads(user::list_all)),
    ("ListVirtualMFADevices", Nothing(Of::Account("mfa"), "VirtualMFADevices")),
    ("PutAccountProperties", NotHere),
    ("PutGroupPolicy", Changes(inline::put::<Group>)),
    ("PutRolePermissionsBoundary", Changes(boundary::put::<Role>)),
    ("PutRolePolicy", Changes(inline::put::<Role>)),
    ("PutUserPermissionsBoundary", Changes(boundary::put::<User>)),
    ("PutUserPolicy", Changes(inline::put::<User>)),
    ("RejectDelegationRequest", NotHere),
    ("RemoveClientIDFromOpenIDConnectProvider", Changes(provider::remove_client_id)),
    ("RemoveRoleFromInstanceProfile", NotHere),
    ("RemoveUserFromGroup", Changes(group::remove_user)),
    ("ResetServiceSpecificCredential", NotHere),
    ("ResyncMFADevice", NotHere),
    ("SendDelegationToken", NotHere),
    ("SetDefaultPolicyVersion", Changes(policy_version::set_default)),
    ("SetSecurityTokenServicePreferences", NotHere),
    ("SimulateCustomPolicy", Reads(simulate::custom)),
    ("SimulatePrincipalPolicy", Reads(simulate::principal)),
    ("TagInstanceProfile", NotHere),
    ("TagMFADevice", NotHere),
    ("TagOpenIDConnectProvider", Changes(provider::put_tags)),
    ("TagPolicy", Changes(tagging::put::<ManagedPolicy>)),
    ("TagRole", Changes(tagging::put::<Role>)),
    ("TagSAMLProvider", NotHere),
    ("TagServerCertificate", NotHere),
    ("TagUser", Changes(tagging::put::<User>)),
    ("UntagInstanceProfile", NotHere),
    ("UntagMFADevice", NotHere),
    ("UntagOpenIDConnectProvider", Changes(provider::delete_tags)),
    ("UntagPolicy", Changes(tagging::delete::<ManagedPolicy>)),
    ("UntagRole", Changes(tagging::delete::<Role>)),
    ("UntagSAMLProvider", NotHere),
    ("UntagServerCertificate", NotHere),
    ("UntagUser", Changes(tagging::delete::<User>)),
    ("UpdateAccessKey", Changes(access_key::update)),
    ("UpdateAccountPasswordPolicy", NotHere),
    ("UpdateAssumeRolePolicy", Changes(role::update_trust)),
    ("UpdateDelegationRequest", NotHere),
    ("UpdateGroup", Changes(group::update)),
    ("UpdateLoginProfile", Changes(login::change)),
    ("UpdateOpenIDConnectProvider", NotHere),
    ("UpdateOpenIDConnectProviderThumbprint", Changes(provider::update_thumbprints)),
    ("UpdateRole", Changes(role::update)),
    ("UpdateRoleDescription", Changes(role::update_description)),
    ("UpdateSAMLProvider", NotHere),
    ("UpdateSSHPublicKey", NotHere),
    ("UpdateServerCertificate", NotHere),
    ("UpdateServiceSpecificCredential", NotHere),
    ("UpdateSigningCertificate", NotHere),
    ("UpdateUser", Changes(user::update)),
    ("UploadSSHPublicKey", NotHere),
    ("UploadServerCertificate", NotHere),
    ("UploadSigningCertificate", NotHere),
];

/// The operation of this name.
pub(super) fn find(name: &str) -> Option<Handler> {
    let at = OPERATIONS.binary_search_by_key(&name, |(name, _)| name).ok()?;
    Some(OPERATIONS[at].1)
}

/// An operation's name, if the model has it.
pub(super) fn known(name: &str) -> Option<&'static str> {
    let at = OPERATIONS.binary_search_by_key(&name, |(name, _)| name).ok()?;
    Some(OPERATIONS[at].0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_in_order() {
        assert!(OPERATIONS.is_sorted_by(|(a, _), (b, _)| a < b));
        assert!(matches!(find("CreateUser"), Some(Changes(_))));
        assert!(matches!(find("UploadSSHPublicKey"), Some(NotHere)));
        assert!(find("MakeCoffee").is_none());
    }
}
