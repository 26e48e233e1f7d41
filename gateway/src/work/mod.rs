//! Bounds on the work that one request may cause.

mod expensive;
mod turn;

pub use expensive::{ExpensiveCalls, Slot, TooMany};
pub use turn::{compute, pause, timed, try_compute};
