//! Paths, queries and headers: none makes their parsers panic, and every range lies within its object.
#![no_main]

use gateway::api::s3::request::Query;
use gateway::api::s3::route;
use gateway::api::s3::target::Target;
use gateway::api::s3::wire::conditional::{Conditions, write_precondition};
use gateway::api::s3::wire::copy_source::CopySource;
use gateway::api::s3::wire::range::{RangeSpec, copy_source_range};
use gateway::api::s3::wire::{checksum, listing, metadata};
use libfuzzer_sys::fuzz_target;
use storage::name::Timestamp;

// Lines: method, host, path, query, then headers as `name:value`.
fuzz_target!(|input: &str| {
    let mut lines = input.split('\n');
    let mut next = || lines.next().unwrap_or_default();
    let (method, host, path, query) = (next(), next(), next(), next());
    let mut headers = http::HeaderMap::new();
    for (name, value) in lines.filter_map(|line| line.split_once(':')) {
        if let (Ok(name), Ok(value)) = (http::HeaderName::try_from(name), http::HeaderValue::try_from(value)) {
            headers.append(name, value);
        }
        if let Some(Ok(range)) = RangeSpec::parse(value).map(|range| range.resolve(1000)) {
            assert!(range.len > 0 && range.offset + range.len <= 1000);
        }
        if let Ok(range) = copy_source_range(value, 1000) {
            assert!(range.len > 0 && range.offset + range.len <= 1000);
        }
        let _ = CopySource::parse(value);
        let _ = listing::parse_token(value);
    }
    let target = Target::parse(path, host, &["example.com".to_owned(), "s3.example.com:9000".to_owned()]);
    let query = Query::parse(query);
    if let (Ok(target), Ok(query), Ok(method)) = (target, query, http::Method::try_from(method)) {
        if let Ok(operation) = route::route(&method, &target, &query, &headers) {
            let _ = route::refuse_unsupported(operation, &headers, &query);
        }
    }
    let _ = write_precondition(&headers);
    let _ = Conditions::of_request(&headers).check_read("e", Timestamp(0));
    let _ = Conditions::of_copy_source(&headers).check_copy_source("e", Timestamp(0));
    let _ = checksum::content_md5(&headers);
    let _ = checksum::request_checksum(&headers);
    let _ = checksum::upload_checksum(&headers);
    let _ = metadata::system_headers(&headers);
    let _ = metadata::storage_class(&headers);
    if let Ok(user) = metadata::user_metadata(&headers) {
        let mut answer = http::HeaderMap::new();
        metadata::write_object_headers(&Default::default(), &user, &Query::default(), &mut answer);
        // What was read and is told can be read again, and is the same then. (RFC 2047's words are undone once.)
        let again = metadata::user_metadata(&answer).unwrap_or_default();
        assert!(again.len() == user.len() || user.iter().any(|(_, value)| value.len() > 1000));
    }
});
