//! Accounts and access keys.

mod signing_keys;

use zeroize::Zeroizing;

/// An account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// 12 digits.
    pub id: String,
    /// The canonical user id: 64 hexadecimal digits.
    pub canonical_id: String,
    /// The name shown as owner.
    pub display_name: String,
}

/// Who signed a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Identity {
    /// Nobody: the request carries no credentials.
    Anonymous,
    /// The root user of an account.
    Root {
        /// The account.
        account: Account,
        /// Which access key signed.
        access_key_id: String,
    },
}

impl Identity {
    /// The principal's ARN; `anonymous` for nobody.
    pub fn arn(&self) -> String {
        match self {
            Self::Anonymous => "anonymous".to_owned(),
            Self::Root { account, .. } => format!("arn:aws:iam::{}:root", account.id),
        }
    }

    /// The principal's account.
    pub fn account(&self) -> Option<&Account> {
        match self {
            Self::Anonymous => None,
            Self::Root { account, .. } => Some(account),
        }
    }
}

/// Every account and access key of this gateway.
pub struct Accounts {
    root: Account,
    access_key_id: String,
    secret_access_key: Zeroizing<String>,
    signing_keys: signing_keys::SigningKeys,
}

impl Accounts {
    /// One account with the root user's access key.
    pub fn single(root: Account, access_key_id: String, secret_access_key: Zeroizing<String>) -> Self {
        Self { root, access_key_id, secret_access_key, signing_keys: Default::default() }
    }

    /// The account that owns this gateway.
    pub fn root(&self) -> &Account {
        &self.root
    }

    /// Who has this access key, and its SigV4 signing key for this date (`yyyyMMdd`), region and service.
    /// The secret itself does not leave.
    pub fn signing_key(
        &self,
        access_key_id: &str,
        date: &str,
        region: &str,
        service: &str,
    ) -> Option<(Identity, Zeroizing<[u8; 32]>)> {
        (access_key_id == self.access_key_id).then(|| {
            let identity =
                Identity::Root { account: self.root.clone(), access_key_id: self.access_key_id.clone() };
            (identity, self.signing_keys.get(&self.secret_access_key, date, region, service))
        })
    }
}
