//! What S3's model says of requests: which `x-amz-` headers each operation has.

use std::sync::LazyLock;

use foldhash::{HashMap, HashMapExt, HashSet};

use super::operation::Operation;

/// An operation and a header a line (`conformance-tests/clients/model_tables.py` writes it).
const HEADERS: &str = include_str!("model/headers.tsv");

static OPERATIONS: LazyLock<HashMap<&'static str, HashSet<&'static str>>> = LazyLock::new(|| {
    let mut operations: HashMap<_, HashSet<_>> = HashMap::new();
    for (operation, header) in HEADERS.lines().skip(1).filter_map(|line| line.split_once('\t')) {
        operations.entry(header).or_default().insert(operation);
    }
    operations
});

/// What the model says of a header of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Known {
    /// It is one of this operation's.
    Own,
    /// It is one of other operations'.
    Foreign,
    /// No operation has it.
    Unknown,
}

/// What the model says of a header (in lower case) of a request for this operation.
pub(super) fn header(operation: Operation, name: &str) -> Known {
    match OPERATIONS.get(name) {
        Some(operations) if operations.contains(operation.name()) => Known::Own,
        Some(_) => Known::Foreign,
        None => Known::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::super::operation::{Status, TABLE};
    use super::*;
    use crate::http::header as names;

    #[test]
    fn headers_of_what_works_have_names() {
        let implemented =
            |name: &str| TABLE.iter().any(|row| row.name == name && row.status == Status::Implemented);
        for (name, operations) in OPERATIONS.iter() {
            let needed = operations.iter().any(|operation| implemented(operation));
            let is_prefix = *name == format!("{}*", names::META_PREFIX);
            assert!(
                !needed || is_prefix || names::is_known(name),
                "{name} is neither honoured nor refused by name"
            );
        }
    }

    #[test]
    fn operations_are_told_apart() {
        assert_eq!(header(Operation::PutObject, names::TAGGING.as_str()), Known::Own);
        assert_eq!(header(Operation::UploadPart, names::TAGGING.as_str()), Known::Foreign);
        assert_eq!(header(Operation::UploadPart, "x-amz-te"), Known::Unknown);
    }
}
