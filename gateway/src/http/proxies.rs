//! Who a request comes from that a proxy hands on: `X-Forwarded-For` and `X-Forwarded-Proto`, of named networks alone.

use std::net::{IpAddr, SocketAddr};

use http::HeaderMap;
use http::header::HeaderName;
use kms_core::policy::Network;

use super::listener::Peer;

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
/// The most proxies that a request is followed through.
const MAX_HOPS: usize = 32;

/// Networks whose word is taken for who a request comes from.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TrustedProxies(Vec<Network>);

impl TrustedProxies {
    /// Those of these networks.
    pub fn new(networks: Vec<Network>) -> Self {
        Self(networks)
    }

    /// Is it the address of one?
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.0.iter().any(|network| network.contains(address))
    }

    /// Where a request came from. Of `X-Forwarded-For` the last address that is no trusted proxy's counts, since everything left of it
    /// may be made up; where all are trusted, the first. What is no address ends the search at the hop that told it.
    /// `X-Forwarded-Proto` is of the client where it has one value, or one for each hop; else all have to be `https`.
    pub fn client(&self, peer: Peer, headers: &HeaderMap) -> Peer {
        // Most gateways have no proxies, and most requests none of these headers.
        if self.0.is_empty() || !self.contains(peer.address.ip()) {
            return peer;
        }
        let hops = values(headers, &FORWARDED_FOR);
        let mut client = peer.address;
        let mut distance = 0;
        for hop in hops.iter().rev().take(MAX_HOPS) {
            let Some(address) = parse(hop) else { break };
            client = address;
            distance += 1;
            if !self.contains(address.ip()) {
                break;
            }
        }
        let protocols = values(headers, &FORWARDED_PROTO);
        let is_https = |text: &&str| text.eq_ignore_ascii_case("https");
        let secure = match protocols.as_slice() {
            [] => return Peer { address: client, ..peer },
            all if distance > 0 && all.len() == hops.len() => is_https(&all[all.len() - distance]),
            all => all.iter().all(is_https),
        };
        // Which version of TLS the client speaks only the proxy knows.
        Peer { address: client, secure, tls_version: None }
    }
}

/// The elements of all headers of this name, in order. What is no text counts as one that is nothing.
fn values<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Vec<&'h str> {
    let lines = headers.get_all(name).iter().map(|value| value.to_str().unwrap_or("?"));
    lines.flat_map(|line| line.split(',')).map(str::trim_ascii).collect()
}

/// An address, with its port or without.
fn parse(text: &str) -> Option<SocketAddr> {
    if let Ok(address) = text.parse::<IpAddr>() {
        return Some(SocketAddr::new(address.to_canonical(), 0));
    }
    if let Ok(address) = text.parse::<SocketAddr>() {
        return Some(SocketAddr::new(address.ip().to_canonical(), address.port()));
    }
    let bare = text.strip_prefix('[')?.strip_suffix(']')?;
    bare.parse::<IpAddr>().ok().map(|address| SocketAddr::new(address, 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(peer: &str, headers: &[(&str, &str)]) -> (String, bool) {
        let networks = ["10.0.0.0/8", "2001:db8::/32"].map(|text| Network::parse(text).unwrap());
        let proxies = TrustedProxies::new(networks.to_vec());
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(HeaderName::from_bytes(name.as_bytes()).unwrap(), value.parse().unwrap());
        }
        let peer = Peer { address: peer.parse().unwrap(), secure: false, tls_version: None };
        let client = proxies.client(peer, &map);
        (client.address.ip().to_string(), client.secure)
    }

    #[test]
    fn only_a_trusted_proxy_is_believed_and_only_up_to_who_it_does_not_know() {
        let (xff, proto) = ("x-forwarded-for", "x-forwarded-proto");
        let proxy = "10.0.0.1:5000";
        // Peer and headers; whom they tell, and whether the client came by TLS.
        type Case<'a> = (&'a str, &'a [(&'a str, &'a str)], (&'a str, bool));
        let cases: &[Case<'_>] = &[
            ("192.0.2.1:5000", &[(xff, "203.0.113.7"), (proto, "https")], ("192.0.2.1", false)),
            (proxy, &[], ("10.0.0.1", false)),
            (proxy, &[(xff, "203.0.113.7"), (proto, "https")], ("203.0.113.7", true)),
            (proxy, &[(xff, "203.0.113.7:4711"), (proto, "http")], ("203.0.113.7", false)),
            // What the client made up stands on the left.
            (proxy, &[(xff, "10.0.0.9, 198.51.100.1, 203.0.113.7")], ("203.0.113.7", false)),
            (proxy, &[(xff, "203.0.113.7, 10.2.2.2, 10.3.3.3")], ("203.0.113.7", false)),
            (proxy, &[(xff, "203.0.113.7"), (xff, "10.2.2.2")], ("203.0.113.7", false)),
            (proxy, &[(xff, "10.4.4.4, 10.3.3.3")], ("10.4.4.4", false)),
            (proxy, &[(xff, "203.0.113.7, unknown, 10.3.3.3")], ("10.3.3.3", false)),
            (proxy, &[(xff, "nonsense")], ("10.0.0.1", false)),
            (proxy, &[(xff, "203.0.113.7, 10.3.3.3"), (proto, "https, http")], ("203.0.113.7", true)),
            (proxy, &[(xff, "203.0.113.7"), (proto, "https, http")], ("203.0.113.7", false)),
            ("[2001:db8::1]:5000", &[(xff, "[2001:db9::5]:80")], ("2001:db9::5", false)),
            ("[::ffff:10.0.0.1]:5000", &[(xff, "::ffff:203.0.113.7")], ("203.0.113.7", false)),
        ];
        for (peer, headers, (address, secure)) in cases {
            assert_eq!(seen(peer, headers), ((*address).to_owned(), *secure), "{peer} {headers:?}");
        }
    }
}
