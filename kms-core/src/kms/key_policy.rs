//! A key's policy, and who is meant by it.

use std::collections::BTreeMap;

use crate::directory::{self, Directory};
use crate::error::KmsError;
use crate::policy::{self, Document, Principal};

/// A key policy: the text as it was put, and what it says.
#[derive(Debug)]
pub struct KeyPolicy {
    /// As it was put.
    pub text: String,
    /// The unique ids that users and roles in it had then, by ARN: whoever is called so later is somebody else.
    pub bindings: BTreeMap<String, String>,
    /// With those ids in the place of the ARNs.
    pub(super) document: Document,
}

impl KeyPolicy {
    /// Reads a policy that is put now: whom it names must exist.
    pub(crate) fn of(text: String, directory: Option<&dyn Directory>) -> Result<Self, KmsError> {
        let document = read(&text)?;
        let mut bindings = BTreeMap::new();
        if let Some(directory) = directory {
            for name in document.named() {
                let id = directory::bound(directory, name)
                    .map_err(|_| KmsError::MalformedPolicyDocument(policy::invalid_principal().0))?;
                bindings.extend(id.map(|id| (name.to_owned(), id)));
            }
        }
        Ok(Self::with(text, document, bindings))
    }

    /// Reads a policy as it was kept.
    pub(crate) fn parse(text: String, bindings: BTreeMap<String, String>) -> Result<Self, KmsError> {
        let document = read(&text)?;
        Ok(Self::with(text, document, bindings))
    }

    fn with(text: String, mut document: Document, bindings: BTreeMap<String, String>) -> Self {
        document.bind(|principal| match principal {
            Principal::Aws(name) => bindings.get(name).cloned(),
            _ => None,
        });
        Self { text, bindings, document }
    }

    /// The text with the name that each principal has now; of those that are gone, the id.
    pub(crate) fn shown(&self, directory: Option<&dyn Directory>) -> String {
        let Some(directory) = directory.filter(|_| !self.bindings.is_empty()) else {
            return self.text.clone();
        };
        policy::rename_principals(&self.text, |name| {
            let id = self.bindings.get(name)?;
            Some(directory.arn_of(id).unwrap_or_else(|| id.clone())).filter(|now| now != name)
        })
    }

    /// The default policy of a key made by API: the account is allowed everything, and so its own policies decide.
    pub(crate) fn default_of(account: &str) -> Self {
        let text = format!(
            r#"{{"Version":"2012-10-17","Id":"key-default-1","Statement":[{{"Sid":"Enable IAM User Permissions","Effect":"Allow","Principal":{{"AWS":"arn:aws:iam::{account}:root"}},"Action":"kms:*","Resource":"*"}}]}}"#
        );
        Self::parse(text, BTreeMap::new()).expect("our own policy is well-formed")
    }

    /// The policy of a service's managed key: everybody of the account may use it, through the service only.
    pub(super) fn managed(service: &str, region: &str, account: &str) -> Result<Self, KmsError> {
        let text = format!(
            r#"{{"Version":"2012-10-17","Id":"auto-{service}-2","Statement":[{{"Sid":"Allow access through {service} for all principals in the account that are authorized to use {service}","Effect":"Allow","Principal":{{"AWS":"*"}},"Action":["kms:Encrypt","kms:Decrypt","kms:ReEncrypt*","kms:GenerateDataKey*","kms:DescribeKey"],"Resource":"*","Condition":{{"StringEquals":{{"kms:ViaService":"{service}.{region}.amazonaws.com","kms:CallerAccount":"{account}"}}}}}},{{"Sid":"Allow direct access to key metadata to the account","Effect":"Allow","Principal":{{"AWS":"arn:aws:iam::{account}:root"}},"Action":["kms:Describe*","kms:Get*","kms:List*"],"Resource":"*"}}]}}"#
        );
        Self::parse(text, BTreeMap::new())
    }
}

fn read(text: &str) -> Result<Document, KmsError> {
    Document::parse_resource(text).map_err(|error| KmsError::MalformedPolicyDocument(error.0))
}
