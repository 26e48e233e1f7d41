//! Web identity tokens before they are verified: none makes us panic, and what is read names its issuer.
#![no_main]

use gateway::federation::oidc::{Token, is_issuer};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    is_issuer(text);
    if let Ok(token) = Token::parse(text) {
        assert!(!token.issuer().is_empty());
    }
});
