//! The canonical request, the `Authorization` header and presigned queries: no request makes them panic, and none that was not
//! signed is authentic.
#![no_main]

use std::net::Ipv4Addr;
use std::sync::{Arc, LazyLock};

use gateway::auth::{Expected, Failures, Keys, authenticate, authenticate_body};
use gateway::iam::{Iam, IamOptions};
use kms_core::secret::Secret32;
use storage::catalog::Catalog;
use storage::kv::memory::MemoryKv;
use libfuzzer_sys::fuzz_target;

static IAM: LazyLock<Iam> = LazyLock::new(|| {
    let catalog = Catalog::new(Arc::new(MemoryKv::new()));
    let options = IamOptions { main: "111122223333".to_owned(), ..IamOptions::default() };
    let root = ("AKID".to_owned(), "secret".to_owned().into());
    Iam::empty(catalog, &Secret32::random(), options, root).expect("nothing is kept yet")
});

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
    let keys = Keys { iam: &IAM, failures: &Failures::new(0) };
    let source = Ipv4Addr::LOCALHOST.into();
    let expected = Expected { region: "us-east-1", service: "s3", now_unix_ms: 1_369_353_600_000, source };
    if let Ok(authenticated) = authenticate(&parts, keys, expected) {
        assert!(authenticated.identity.is_anonymous());
    }
    if let Ok(identity) = authenticate_body(&parts, input, keys, expected) {
        assert!(identity.is_anonymous());
    }
});
