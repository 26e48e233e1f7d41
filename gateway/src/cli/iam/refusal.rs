//! Why the API did not do what it was asked.

/// A request that failed. `Display` is what the terminal shows.
#[derive(Debug, thiserror::Error)]
pub(super) enum AskError {
    /// Nothing answers there, or not in time.
    #[error("{endpoint} does not answer: {source}\n  is the gateway started? --endpoint tells where it is")]
    Unreachable {
        /// Where.
        endpoint: String,
        /// Why.
        #[source]
        source: Box<ureq::Error>,
    },
    /// What answers speaks something else.
    #[error("{endpoint} answers HTTP {status}, but not as IAM does\n  --endpoint tells where the gateway is")]
    NotIam {
        /// Where.
        endpoint: String,
        /// What it said.
        status: u16,
    },
    /// A listing does not end.
    #[error("{0} tells more than this command can hold")]
    TooMany(String),
    /// IAM refuses.
    #[error("{action}: {code}: {message}{}", advice(code, credentials))]
    Refused {
        /// What was asked.
        action: String,
        /// AWS's code.
        code: String,
        /// AWS's text.
        message: String,
        /// Where the credentials are from.
        credentials: &'static str,
    },
}

/// What to do next.
fn advice(code: &str, credentials: &str) -> String {
    let text = match code {
        "AccessDenied" => "an administrator has to attach a policy that allows it: sealgate policy attach",
        "InvalidClientTokenId" | "SignatureDoesNotMatch" => {
            return format!(
                "\n  the credentials are those of {credentials}; check them, and this machine's clock"
            );
        }
        "ExpiredToken" => "the session has ended: get new credentials",
        "NoSuchEntity" => "see what there is: sealgate user|group|role|policy list, sealgate key list USER",
        "EntityAlreadyExists" => "take another name, or delete what has this one",
        "DeleteConflict" => {
            "--force (of user, group and role) takes away first what it has; a policy has to be detached"
        }
        "LimitExceeded" => "delete what is not needed any more",
        "MalformedPolicyDocument" => {
            "a policy looks like this: {\"Version\": \"2012-10-17\", \"Statement\": [{\"Effect\": \"Allow\", \
             \"Action\": \"s3:*\", \"Resource\": \"*\"}]}"
        }
        "ConcurrentModification" | "Throttling" | "ServiceUnavailable" => "try again in a moment",
        "ServiceFailure" => "the gateway's log tells why",
        "NotImplemented" => "this gateway does not have it",
        _ => return String::new(),
    };
    format!("\n  {text}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_tells_code_text_and_what_to_do() {
        let refused = |code: &str| AskError::Refused {
            action: "CreateUser".to_owned(),
            code: code.to_owned(),
            message: "No.".to_owned(),
            credentials: "the environment",
        };
        let shown = refused("InvalidClientTokenId").to_string();
        assert!(
            shown
                .starts_with("CreateUser: InvalidClientTokenId: No.\n  the credentials are those of the env")
        );
        assert_eq!(refused("Other").to_string(), "CreateUser: Other: No.");
    }
}
