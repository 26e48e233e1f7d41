//! Forms of the query protocol: whatever is sent is read or refused, and what is read can be asked for lists and structures.
#![no_main]

use gateway::api::query::Parameters;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let (form, query) = input.split_at(input.len() / 2);
    let Ok(parameters) = Parameters::parse(&[form, query]) else { return };
    for name in parameters.names() {
        assert!(parameters.get(name).is_some());
        let list = name.split(".member.").next().unwrap_or(name);
        parameters.list(list);
        for member in parameters.structures(list) {
            assert!(member.names().count() > 0);
        }
    }
});
