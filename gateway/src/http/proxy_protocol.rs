//! The PROXY protocol, versions 1 and 2: a proxy says before the first byte of a connection whose it is.
//! <https://www.haproxy.org/download/3.0/doc/proxy-protocol.txt>

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use tokio::io::{AsyncRead, AsyncReadExt};

use super::listener::Peer;

/// What version 2 begins with.
const SIGNATURE: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";
/// The longest line of version 1, with its end.
const MAX_LINE_LEN: usize = 107;
/// The most bytes behind the fixed part of version 2: addresses, and what the proxy tells besides.
const MAX_REST_LEN: usize = 4096;
/// The type of what a proxy tells of the client's TLS, and the bit that says that it spoke any.
const TLV_SSL: u8 = 0x20;
const CLIENT_SSL: u8 = 0x01;
/// Of these bytes the first five are of the client's TLS itself.
const SSL_HEAD_LEN: usize = 5;
/// The type, inside of that, of the version's name.
const TLV_SSL_VERSION: u8 = 0x21;

/// Why a connection of a proxy is ended.
#[derive(Debug, thiserror::Error)]
pub enum ProxyProtocolError {
    /// It ended, or failed.
    #[error("the connection ended in its PROXY header: {0}")]
    Io(#[from] std::io::Error),
    /// It begins otherwise.
    #[error("it does not begin with a PROXY header: set the proxy to send one, or take proxy_protocol away")]
    Missing,
    /// It is none that the specification knows.
    #[error("its PROXY header is malformed")]
    Malformed,
}

/// Reads the header, and no byte beyond it. A proxy that speaks for itself (LOCAL, UNKNOWN) stays the peer.
pub async fn read<S: AsyncRead + Unpin>(stream: &mut S, peer: Peer) -> Result<Peer, ProxyProtocolError> {
    let mut begin = [0; 12];
    stream.read_exact(&mut begin).await?;
    if begin == SIGNATURE {
        return second(stream, peer).await;
    }
    if !begin.starts_with(b"PROXY ") {
        return Err(ProxyProtocolError::Missing);
    }
    // The shortest line is longer than what was read. What follows it is the client's, so it is read byte by byte.
    let mut line = begin.to_vec();
    while !line.ends_with(b"\r\n") {
        if line.len() == MAX_LINE_LEN {
            return Err(ProxyProtocolError::Malformed);
        }
        line.push(stream.read_u8().await?);
    }
    let text = std::str::from_utf8(&line).map_err(|_| ProxyProtocolError::Malformed)?;
    first(text.trim_end_matches("\r\n"), peer).ok_or(ProxyProtocolError::Malformed)
}

/// `PROXY TCP4 source destination source-port destination-port`.
fn first(line: &str, peer: Peer) -> Option<Peer> {
    let mut words = line.split(' ').skip(1);
    let family = words.next()?;
    if family == "UNKNOWN" {
        return Some(peer);
    }
    let source: IpAddr = words.next()?.parse().ok()?;
    let destination: IpAddr = words.next()?.parse().ok()?;
    let port: u16 = words.next()?.parse().ok()?;
    let _: u16 = words.next()?.parse().ok()?;
    let fits = match family {
        "TCP4" => source.is_ipv4() && destination.is_ipv4(),
        "TCP6" => source.is_ipv6() && destination.is_ipv6(),
        _ => false,
    };
    (fits && words.next().is_none()).then(|| at(peer, source, port))
}

async fn second<S: AsyncRead + Unpin>(stream: &mut S, peer: Peer) -> Result<Peer, ProxyProtocolError> {
    let command = stream.read_u8().await?;
    let family = stream.read_u8().await?;
    let len = usize::from(stream.read_u16().await?);
    if len > MAX_REST_LEN {
        return Err(ProxyProtocolError::Malformed);
    }
    let mut rest = vec![0; len];
    stream.read_exact(&mut rest).await?;
    match command {
        0x20 => Ok(peer),
        0x21 => addressed(family, &rest, peer).ok_or(ProxyProtocolError::Malformed),
        _ => Err(ProxyProtocolError::Malformed),
    }
}

/// Addresses of TCP, and TLVs behind them. Of other families the proxy stays the peer.
fn addressed(family: u8, rest: &[u8], peer: Peer) -> Option<Peer> {
    let (source, port, told) = match family {
        0x11 => {
            let (addresses, told) = rest.split_first_chunk::<12>()?;
            let source = addresses.first_chunk::<4>()?;
            (IpAddr::from(Ipv4Addr::from(*source)), [addresses[8], addresses[9]], told)
        }
        0x21 => {
            let (addresses, told) = rest.split_first_chunk::<36>()?;
            let source = addresses.first_chunk::<16>()?;
            (IpAddr::from(Ipv6Addr::from(*source)), [addresses[32], addresses[33]], told)
        }
        _ => return Some(peer),
    };
    let mut client = at(peer, source, u16::from_be_bytes(port));
    if let Some(tls) = tlv(told, TLV_SSL)? {
        let (head, inner) = tls.split_at_checked(SSL_HEAD_LEN)?;
        if head[0] & CLIENT_SSL != 0 {
            client.secure = true;
            client.tls_version = match tlv(inner, TLV_SSL_VERSION)? {
                Some(b"TLSv1.2") => Some("1.2"),
                Some(b"TLSv1.3") => Some("1.3"),
                _ => None,
            };
        }
    }
    Some(client)
}

/// The value of a type, if it is there; `None`: the lengths don't fit.
fn tlv(mut told: &[u8], wanted: u8) -> Option<Option<&[u8]>> {
    while !told.is_empty() {
        let (head, rest) = told.split_first_chunk::<3>()?;
        let (value, rest) = rest.split_at_checked(usize::from(u16::from_be_bytes([head[1], head[2]])))?;
        if head[0] == wanted {
            return Some(Some(value));
        }
        told = rest;
    }
    Some(None)
}

fn at(peer: Peer, source: IpAddr, port: u16) -> Peer {
    Peer { address: SocketAddr::new(source.to_canonical(), port), ..peer }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn told(bytes: &[u8]) -> Result<(String, bool, Option<&'static str>, Vec<u8>), ProxyProtocolError> {
        let peer = Peer { address: "10.0.0.1:1".parse().unwrap(), secure: false, tls_version: None };
        let mut stream = bytes;
        let seen = read(&mut stream, peer).await?;
        Ok((seen.address.to_string(), seen.secure, seen.tls_version, stream.to_vec()))
    }

    fn v2(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
        let mut bytes = SIGNATURE.to_vec();
        bytes.extend([command, family]);
        bytes.extend((rest.len() as u16).to_be_bytes());
        bytes.extend(rest);
        bytes.extend(b"GET /");
        bytes
    }

    #[tokio::test]
    async fn headers_of_both_versions_name_the_client_and_leave_what_follows() {
        let line = b"PROXY TCP4 203.0.113.7 192.0.2.1 4711 443\r\nGET /";
        let client = |address: &str, tls: Option<&'static str>| {
            (address.to_owned(), tls.is_some(), tls, b"GET /".to_vec())
        };
        assert_eq!(told(line).await.unwrap(), client("203.0.113.7:4711", None));
        let line = b"PROXY TCP6 2001:db8::7 2001:db8::1 4711 443\r\nGET /";
        assert_eq!(told(line).await.unwrap(), client("[2001:db8::7]:4711", None));
        assert_eq!(told(b"PROXY UNKNOWN\r\nGET /").await.unwrap(), client("10.0.0.1:1", None));
        let mut four = vec![203, 0, 113, 7, 192, 0, 2, 1, 0x12, 0x67, 1, 187];
        assert_eq!(told(&v2(0x21, 0x11, &four)).await.unwrap(), client("203.0.113.7:4711", None));
        assert_eq!(told(&v2(0x20, 0, &[])).await.unwrap(), client("10.0.0.1:1", None));
        // Another TLV, then one of TLS with a version in it.
        four.extend([0x04, 0, 1, 0, TLV_SSL, 0, 15, CLIENT_SSL, 0, 0, 0, 0, TLV_SSL_VERSION, 0, 7]);
        four.extend(b"TLSv1.3");
        assert_eq!(told(&v2(0x21, 0x11, &four)).await.unwrap(), client("203.0.113.7:4711", Some("1.3")));
    }

    #[tokio::test]
    async fn what_is_no_header_is_refused() {
        use ProxyProtocolError::{Io, Malformed, Missing};
        assert!(matches!(told(b"GET / HTTP/1.1\r\n\r\n").await, Err(Missing)));
        assert!(matches!(told(b"PROXY TCP4 203.0").await, Err(Io(_))));
        let long = "x".repeat(200);
        for line in
            ["TCP4 ::1 ::1 1 2", "TCP4 1.2.3.4 1.2.3.4 1 2 3", "TCP9 1.2.3.4 1.2.3.4 1 2", long.as_str()]
        {
            let line = format!("PROXY {line}\r\nGET /");
            assert!(matches!(told(line.as_bytes()).await, Err(Malformed)), "{line}");
        }
        assert!(matches!(told(&v2(0x21, 0x11, &[1; 11])).await, Err(Malformed)));
        assert!(matches!(told(&v2(0x31, 0x11, &[1; 12])).await, Err(Malformed)));
        assert!(matches!(told(&v2(0x21, 0x11, &[1; 14])).await, Err(Malformed)));
        assert!(matches!(told(&v2(0x20, 0, &[0; 5000])).await, Err(Malformed)));
    }
}
