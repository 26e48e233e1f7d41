//! Unique ids and new credentials.
//! <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_identifiers.html#identifiers-prefixes>

use zeroize::Zeroizing;

/// Of what an id is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IdKind {
    /// A user.
    User,
    /// A group.
    Group,
    /// A role.
    Role,
    /// A managed policy.
    Policy,
}

/// Digits of RFC 4648's base32.
const ID_DIGITS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
/// Digits that an account's number takes: 40 bits.
const ACCOUNT_DIGITS: u32 = 8;
const SECRET_DIGITS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// A new id: a prefix that tells the kind, and 85 random bits.
pub fn unique_id(kind: IdKind) -> String {
    let prefix = match kind {
        IdKind::User => "AIDA",
        IdKind::Group => "AGPA",
        IdKind::Role => "AROA",
        IdKind::Policy => "ANPA",
    };
    format!("{prefix}{}", random_text(17, ID_DIGITS))
}

/// A new access key: id and secret.
pub fn access_key() -> (String, Zeroizing<String>) {
    (format!("AKIA{}", random_text(16, ID_DIGITS)), Zeroizing::new(random_text(40, SECRET_DIGITS)))
}

/// A new temporary access key of an account (12 digits): id and secret. Its id tells the account, as nothing is kept of it.
pub fn temporary_access_key(account: &str) -> (String, Zeroizing<String>) {
    let number: u64 = account.parse().unwrap_or_default();
    let digit = |at: u32| char::from(ID_DIGITS[(number >> (5 * at)) as usize % ID_DIGITS.len()]);
    let digits: String = (0..ACCOUNT_DIGITS).rev().map(digit).collect();
    let id = format!("ASIA{digits}{}", random_text(8, ID_DIGITS));
    (id, Zeroizing::new(random_text(40, SECRET_DIGITS)))
}

/// The account that the id of a temporary access key tells.
pub fn account_of_temporary(id: &str) -> Option<String> {
    let digits = id.strip_prefix("ASIA")?.get(..ACCOUNT_DIGITS as usize)?;
    let value = |digit: u8| ID_DIGITS.iter().position(|&known| known == digit);
    let number = digits.bytes().try_fold(0u64, |number, digit| Some(number << 5 | value(digit)? as u64))?;
    Some(format!("{number:012}"))
}

/// A new account's id: 12 digits.
pub fn account_id() -> String {
    let random = getrandom::u64().expect("the operating system gives random bytes");
    format!("{:012}", 100_000_000_000 + random % 900_000_000_000)
}

/// Random characters of an alphabet whose length divides 256, so that all are equally likely.
fn random_text(len: usize, alphabet: &[u8]) -> String {
    debug_assert_eq!(256 % alphabet.len(), 0);
    let mut bytes = Zeroizing::new(vec![0; len]);
    getrandom::fill(&mut bytes).expect("the operating system gives random bytes");
    bytes.iter().map(|&b| char::from(alphabet[usize::from(b) % alphabet.len()])).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_temporary_access_key_tells_its_account() {
        for account in ["000000000000", "111122223333", "999999999999"] {
            let (id, secret) = temporary_access_key(account);
            assert_eq!((id.len(), secret.len()), (20, 40));
            assert_eq!(account_of_temporary(&id).as_deref(), Some(account));
        }
        assert_eq!(account_of_temporary("AKIAIOSFODNN7EXAMPLE"), None);
        assert_eq!(account_of_temporary("ASIA"), None);
    }
}
