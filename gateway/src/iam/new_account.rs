//! New accounts, each with an access key of its root user.

use storage::name::Timestamp;
use zeroize::Zeroizing;

use super::account::Account;
use super::error::IamError;
use super::ids::{access_key, account_id};
use super::store::Iam;

/// The longest name and email address, in characters.
const MAX_NAME_LEN: usize = 256;

/// What an account is to be.
#[derive(Debug, Clone, Default)]
pub struct NewAccount {
    /// The name shown as owner.
    pub name: String,
    /// How to reach whoever is responsible; may be empty.
    pub email: String,
    /// 12 digits; `None`: random ones.
    pub id: Option<String>,
}

/// An account that was made, with the only copy of its root user's secret.
pub struct MadeAccount {
    /// The account.
    pub account: Account,
    /// The root user's access key.
    pub access_key_id: String,
    /// Its secret.
    pub secret_access_key: Zeroizing<String>,
}

impl NewAccount {
    /// The account.
    ///
    /// # Errors
    /// When it can't be one.
    fn check(&self, created_unix_ms: u64) -> Result<Account, IamError> {
        let id = self.id.clone().unwrap_or_else(account_id);
        if id.len() != 12 || !id.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(IamError::ValidationError(format!("{id} is not an account's id: it has 12 digits")));
        }
        for (what, text) in [("name", &self.name), ("email address", &self.email)] {
            if text.chars().count() > MAX_NAME_LEN {
                let message = format!("the {what} is longer than {MAX_NAME_LEN} characters");
                return Err(IamError::ValidationError(message));
            }
        }
        if self.name.trim().is_empty() {
            return Err(IamError::ValidationError("an account has a name".to_owned()));
        }
        Ok(Account::new(&id, &self.name, &self.email, created_unix_ms))
    }
}

impl Iam {
    /// Makes an account and its first access key, by one commit.
    ///
    /// # Errors
    /// When it can't be one, the id or the email address is another's, there are too many, or the catalog fails.
    pub async fn make_account(&self, wanted: &NewAccount) -> Result<MadeAccount, IamError> {
        let now_unix_ms = Timestamp::now().unix_ms();
        let account = wanted.check(now_unix_ms)?;
        let (access_key_id, secret_access_key) = access_key();
        let record =
            self.seal_access_key(&access_key_id, &secret_access_key, (&account.id, None), now_unix_ms);
        self.create_account(account.clone(), Some(record)).await?;
        Ok(MadeAccount { account, access_key_id, secret_access_key })
    }
}
