//! A range of addresses, as `IpAddress` conditions name it.

use std::fmt;
use std::net::IpAddr;

/// A range of addresses: the first, and how many of its bits count. Written `192.0.2.0/24`, or as one address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network(pub(super) IpAddr, pub(super) u32);

impl Network {
    /// Reads an address, or one with a number of bits (RFC 4632, RFC 4291 section 2.3). `None`: it is neither.
    pub fn parse(text: &str) -> Option<Self> {
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address.parse().ok()?, Some(bits.parse().ok()?)),
            None => (text.parse().ok()?, None),
        };
        let all = match address {
            IpAddr::V4(_) => 32,
            IpAddr::V6(_) => 128,
        };
        let bits = bits.unwrap_or(all);
        (bits <= all).then_some(Self(address, bits))
    }

    /// Is the address one of these?
    pub fn contains(self, given: IpAddr) -> bool {
        let Self(first, bits) = self;
        match (first, given) {
            (IpAddr::V4(a), IpAddr::V4(b)) => {
                (a.to_bits() ^ b.to_bits()).checked_shr(32 - bits).unwrap_or(0) == 0
            }
            (IpAddr::V6(a), IpAddr::V6(b)) => {
                (a.to_bits() ^ b.to_bits()).checked_shr(128 - bits).unwrap_or(0) == 0
            }
            _ => false,
        }
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.0, self.1)
    }
}
