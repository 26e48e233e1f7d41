//! What a request says of itself: the values of condition keys.
//! <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_condition-keys.html>

use std::cell::OnceCell;
use std::collections::BTreeMap;

/// Values of condition keys, by their lower-case names.
pub type Context = BTreeMap<String, Vec<String>>;

/// Where conditions and variables find the values of condition keys.
pub trait Values {
    /// The values of a key, by its lower-case name; none where the request does not have it.
    fn get(&self, name: &str) -> &[String];
}

impl Values for Context {
    fn get(&self, name: &str) -> &[String] {
        self.get(name).map(Vec::as_slice).unwrap_or_default()
    }
}

/// Values that are gathered when a condition first asks: most requests are decided without.
pub struct Gathered<F> {
    gather: F,
    context: OnceCell<Context>,
}

impl<F: Fn() -> Context> Gathered<F> {
    /// Values that this function gathers.
    pub fn new(gather: F) -> Self {
        Self { gather, context: OnceCell::new() }
    }
}

impl<F: Fn() -> Context> Values for Gathered<F> {
    fn get(&self, name: &str) -> &[String] {
        Values::get(self.context.get_or_init(&self.gather), name)
    }
}

/// What the request says, and behind it what its subject brings along.
pub(super) struct Layered<'a> {
    pub(super) request: &'a dyn Values,
    pub(super) subject: &'a Context,
}

impl Values for Layered<'_> {
    fn get(&self, name: &str) -> &[String] {
        match Values::get(self.subject, name) {
            [] => self.request.get(name),
            // Nobody says of himself in a request who he is.
            values => values,
        }
    }
}
