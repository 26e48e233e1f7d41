//! The canonical request, the `Authorization` header and presigned queries: no request makes them panic, and none that was not
//! signed is authentic.
#![no_main]

use gateway::auth::{Expected, authenticate, authenticate_body};
use gateway::iam::{Account, Accounts, Identity};
use libfuzzer_sys::fuzz_target;

// Lines: method, URI, then headers as `name:value`.
fuzz_target!(|input: &[u8]| {
    let mut lines = input.split(|&b| b == b'\n');
    let (Some(method), Some(uri)) = (lines.next(), lines.next()) else { return };
    let mut request = http::Request::builder().method(method).uri(uri);
    for line in lines {
        let mut fields = line.splitn(2, |&b| b == b':');
        if let (Some(name), Some(value)) = (fields.next(), fields.next()) {
            request = request.header(name, value);
        }
    }
    let Ok(request) = request.body(()) else { return };
    let parts = request.into_parts().0;
    let root = Account { id: "111122223333".into(), canonical_id: String::new(), display_name: String::new() };
    let secret = zeroize::Zeroizing::new("secret".to_owned());
    let accounts = Accounts::single(root, "AKID".into(), secret);
    let expected = Expected { region: "us-east-1", service: "s3", now_unix_ms: 1_369_353_600_000 };
    if let Ok(authenticated) = authenticate(&parts, &accounts, expected) {
        assert_eq!(authenticated.identity, Identity::Anonymous);
    }
    if let Ok(identity) = authenticate_body(&parts, input, &accounts, expected) {
        assert_eq!(identity, Identity::Anonymous);
    }
});
