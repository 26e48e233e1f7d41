//! Which requests cost the processor much.

use serde_json::Value;

/// What an RSA key of 2048 bits costs to make; of one of 3072 or 4096 bits it is about 3 and 10 times as much, as measured, and as
/// AWS's quotas have it (<https://docs.aws.amazon.com/kms/latest/developerguide/requests-per-second.html>).
const KEY_PAIR: f64 = 1.0;
/// What an operation with a private key of RSA costs.
const PRIVATE_KEY_OPERATION: f64 = 0.01;

/// What a request costs, in units of [`crate::work::ExpensiveCalls`]; `None`: next to nothing.
pub(super) fn of(operation: &str, request: &Value) -> Option<f64> {
    let text = |name: &str| request.get(name).and_then(Value::as_str).unwrap_or_default();
    let key_pair = |name: &str| match text(name) {
        "RSA_2048" => Some(KEY_PAIR),
        "RSA_3072" => Some(3.0 * KEY_PAIR),
        "RSA_4096" => Some(10.0 * KEY_PAIR),
        _ => None,
    };
    let with_algorithm = |name: &str| text(name).starts_with("RSA").then_some(PRIVATE_KEY_OPERATION);
    match operation {
        "CreateKey" => key_pair("KeySpec").or_else(|| key_pair("CustomerMasterKeySpec")),
        "GenerateDataKeyPair" | "GenerateDataKeyPairWithoutPlaintext" => key_pair("KeyPairSpec"),
        "GetParametersForImport" => key_pair("WrappingKeySpec"),
        "ImportKeyMaterial" => Some(PRIVATE_KEY_OPERATION),
        "Sign" => with_algorithm("SigningAlgorithm"),
        "Decrypt" => with_algorithm("EncryptionAlgorithm"),
        "ReEncrypt" => with_algorithm("SourceEncryptionAlgorithm"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::of;

    #[test]
    fn rsa_is_what_costs() {
        assert_eq!(of("CreateKey", &json!({})), None);
        assert_eq!(of("CreateKey", &json!({"KeySpec": "ECC_NIST_P521"})), None);
        assert_eq!(of("CreateKey", &json!({"CustomerMasterKeySpec": "RSA_3072"})), Some(3.0));
        assert_eq!(of("GenerateDataKeyPair", &json!({"KeyPairSpec": "RSA_4096"})), Some(10.0));
        assert_eq!(of("GetParametersForImport", &json!({"WrappingKeySpec": "RSA_2048"})), Some(1.0));
        assert_eq!(of("Sign", &json!({"SigningAlgorithm": "RSASSA_PSS_SHA_256"})), Some(0.01));
        assert_eq!(of("Sign", &json!({"SigningAlgorithm": "ECDSA_SHA_256"})), None);
        assert_eq!(of("Decrypt", &json!({"EncryptionAlgorithm": "RSAES_OAEP_SHA_256"})), Some(0.01));
        assert_eq!(of("Decrypt", &json!({})), None);
    }
}
