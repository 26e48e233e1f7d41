//! Accepts connections, speaks TLS, HTTP/1.1 and h2, and stops gracefully.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderValue, Request, Response, StatusCode, Version};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;

use super::answer::Answer;
use super::body::{RequestBody, ResponseBody};
use super::connection::{Connection, Exchange, MAX_HEAD_LEN, Patience};
use super::proxies::TrustedProxies;
use super::proxy_protocol;
use super::slots::{Slot, Slots};
use super::wire::Wire;
use crate::observe::detail::TlsSession;
use crate::observe::metrics::CONNECTIONS;
use crate::observe::request::{ConnectionObservers, Observers};

/// The most headers of a request: hyper's own limit for HTTP/1.1.
const MAX_HEADERS: usize = 100;
/// The most that is read of an authenticated body at once. An answer's head and a span of its content have fewer bytes, so that what
/// comes next, a span or a run of them, is written together with them.
const MAX_READ_LEN: usize = 260 * 1024;
/// What the kernel may hold of an answer that it can't send yet. Less is noticed sooner as being read, and costs less memory; far less
/// costs a wake-up for every few pieces.
const MAX_UNSENT_LEN: u32 = 1024 * 1024;
/// A congestion control without pacing, which every kernel has.
const UNPACED: &[u8] = b"reno";
/// Open files that the gateway needs beside connections and what they read and write.
const RESERVED_DESCRIPTORS: u64 = 128;

/// Where a request came from.
#[derive(Debug, Clone, Copy)]
pub struct Peer {
    /// The peer's address.
    pub address: SocketAddr,
    /// Did it come over TLS?
    pub secure: bool,
    /// Over which version of TLS: `1.2`, `1.3`.
    pub tls_version: Option<&'static str>,
}

/// Limits of a listener.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Most connections at a time. When there are as many, new ones take the place of those that do no authenticated work.
    pub max_connections: usize,
    /// Most connections of one address (IPv6: of one /64) at a time; 0: no limit of its own.
    pub max_connections_per_address: usize,
    /// How long a connection may take for the TLS handshake, the first byte and the head of a request, or be without one.
    pub idle_timeout: Duration,
    /// How long a request's body may pause, and an answer be left unread.
    pub body_idle_timeout: Duration,
    /// How long a stop waits for requests in flight.
    pub shutdown_timeout: Duration,
}

/// What a listener goes by, which may change while it serves.
#[derive(Debug, Clone)]
pub struct ListenerOptions {
    /// Its limits; those of time are for connections to come.
    pub limits: Limits,
    /// Proxies that are believed who a connection and a request come from.
    pub proxies: Arc<TrustedProxies>,
    /// Do their connections begin with a header of the PROXY protocol?
    pub proxy_protocol: bool,
}

/// Listens at this address. What is sent over the loopback meets no network: there a congestion control that paces it, as BBR does with a
/// timer for every few packets, would cost as much as the sending. Connections have that of their listener (`tcp(7)`, TCP_CONGESTION).
///
/// # Errors
/// When nobody can listen there.
pub async fn listen(address: SocketAddr) -> std::io::Result<TcpListener> {
    let listener = TcpListener::bind(address).await?;
    if address.ip().is_loopback()
        && let Err(error) = SockRef::from(&listener).set_tcp_congestion(UNPACED)
    {
        tracing::debug!(%error, "connections over the loopback are paced as others are");
    }
    Ok(listener)
}

/// Serves until `stop` ends, then lets the requests in flight finish. Answers whether all of them did. `observers` are told of each.
pub async fn serve<H, F>(
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    options: watch::Receiver<ListenerOptions>,
    observers: Observers,
    handler: H,
    stop: impl Future<Output = ()>,
) -> bool
where
    H: Fn(Request<RequestBody>, Peer) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Response<ResponseBody>> + Send + 'static,
{
    let Limits { max_connections, max_connections_per_address, .. } = options.borrow().limits;
    let slots = Slots::new(max_connections, max_connections_per_address);
    let graceful = GracefulShutdown::new();
    let mut stop = std::pin::pin!(stop);
    loop {
        let accepted = tokio::select! {
            () = &mut stop => break,
            accepted = accept(&listener, &slots, &options) => accepted,
        };
        let Some(Accepted { mut stream, address, connection, slot, options }) = accepted else { continue };
        let ListenerOptions { limits, proxies, proxy_protocol } = options;
        let has_header = proxy_protocol && proxies.contains(address.ip());
        let served = Served {
            handler: handler.clone(),
            connection: connection.clone(),
            limits,
            proxies,
            observers: observers.of_connection(),
        };
        let (tls, watcher) = (tls.clone(), graceful.watcher());
        tokio::spawn(async move {
            let _open = CONNECTIONS.open();
            let serve = async {
                let mut peer = Peer { address, secure: false, tls_version: None };
                if has_header {
                    let header = proxy_protocol::read(&mut stream, peer);
                    match tokio::time::timeout(limits.idle_timeout, header).await {
                        Err(_) => {
                            tracing::debug!(%address, "a proxy's connection said nothing for long");
                            return;
                        }
                        Ok(Ok(client)) => peer = client,
                        Ok(Err(error)) => {
                            tracing::warn!(%address, %error, "a proxy's connection is ended");
                            return;
                        }
                    }
                }
                match tls {
                    None => served.run(stream, peer, None, watcher).await,
                    Some(tls) => match tls.accept(stream).await {
                        Ok(stream) => {
                            let session = super::tls::session(&stream);
                            let peer = Peer { secure: true, tls_version: session.version, ..peer };
                            served.run(stream, peer, Some(Arc::new(session)), watcher).await;
                        }
                        Err(error) => {
                            CONNECTIONS.tls_failures.add(1);
                            tracing::debug!(%address, %error, "TLS handshake failed");
                        }
                    },
                }
            };
            tokio::select! {
                () = serve => {}
                why = connection.overstays() => tracing::debug!(%address, why, "connection ended"),
            }
            drop(slot);
        });
    }
    drop(listener);
    let shutdown_timeout = options.borrow().limits.shutdown_timeout;
    tokio::time::timeout(shutdown_timeout, graceful.shutdown()).await.is_ok()
}

/// A connection that has its slot.
struct Accepted {
    stream: TcpStream,
    address: SocketAddr,
    connection: Arc<Connection>,
    slot: Slot,
    /// What it goes by.
    options: ListenerOptions,
}

/// The next connection, once there is a slot for it.
async fn accept(
    listener: &TcpListener,
    slots: &Arc<Slots>,
    options: &watch::Receiver<ListenerOptions>,
) -> Option<Accepted> {
    match listener.accept().await {
        Ok((stream, address)) => {
            // Answers are written whole: waiting to coalesce them only adds latency.
            let _ = stream.set_nodelay(true);
            let _ = SockRef::from(&stream).set_tcp_notsent_lowat(MAX_UNSENT_LEN);
            let options = options.borrow().clone();
            let limits = options.limits;
            slots.set(limits.max_connections, limits.max_connections_per_address);
            let patience = Patience { idle: limits.idle_timeout, stall: limits.body_idle_timeout };
            let connection = Arc::new(Connection::new(patience));
            let is_proxy = options.proxies.contains(address.ip());
            let Some(slot) = slots.take(address.ip(), &connection, is_proxy).await else {
                CONNECTIONS.refused.add(1);
                tracing::debug!(%address, "connection refused: its address has too many");
                return None;
            };
            Some(Accepted { stream, address, connection, slot, options })
        }
        Err(error) => {
            // Out of descriptors, or the peer is gone already: neither ends the listener.
            tracing::warn!(%error, "accepting a connection failed");
            tokio::time::sleep(Duration::from_millis(20)).await;
            None
        }
    }
}

/// Lets this process open as many files as it may, and answers how many connections that is good for: each may have a file open as
/// well.
///
/// # Errors
/// When the limit can't be raised to what it may be.
pub fn raise_descriptor_limit(max_connections: usize) -> std::io::Result<usize> {
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum })?;
    let Some(descriptors) = limit.maximum else { return Ok(max_connections) };
    let fitting = descriptors.saturating_sub(RESERVED_DESCRIPTORS) / 2;
    Ok(max_connections.min(fitting.max(1) as usize))
}

/// One connection and what answers its requests.
struct Served<H> {
    handler: H,
    connection: Arc<Connection>,
    limits: Limits,
    observers: ConnectionObservers,
    proxies: Arc<TrustedProxies>,
}

impl<H, F> Served<H>
where
    H: Fn(Request<RequestBody>, Peer) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Response<ResponseBody>> + Send + 'static,
{
    async fn run<S>(self, stream: S, peer: Peer, tls: Option<Arc<TlsSession>>, watcher: Watcher)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let mut builder = auto::Builder::new(TokioExecutor::new());
        builder
            .http1()
            .timer(TokioTimer::new())
            .header_read_timeout(self.limits.idle_timeout)
            .max_headers(MAX_HEADERS)
            .max_buf_size(MAX_READ_LEN);
        builder
            .http2()
            .timer(TokioTimer::new())
            .max_header_list_size(MAX_HEAD_LEN as u32)
            .max_concurrent_streams(64)
            // Windows begin at 64 KiB for the whole connection, and grow as bodies are read.
            .adaptive_window(true);
        let wire = Wire::new(stream, self.connection.clone());
        let service = service_fn(move |request: Request<Incoming>| {
            let peer = self.proxies.client(peer, request.headers());
            let record = self.observers.begin(&request, peer.address, tls.as_ref());
            let exchange = self.connection.begin(request.version() == Version::HTTP_2, record);
            let idle_timeout = self.limits.body_idle_timeout;
            let answer = answer(request, peer, exchange, self.handler.clone(), idle_timeout);
            async move { Ok::<_, Infallible>(answer.await) }
        });
        let connection = builder.serve_connection(TokioIo::new(wire), service).into_owned();
        if let Err(error) = watcher.watch(connection).await {
            tracing::debug!(address = %peer.address, error = %*error, "connection ended");
        }
    }
}

async fn answer<H, F>(
    request: Request<Incoming>,
    peer: Peer,
    exchange: Arc<Exchange>,
    handler: H,
    idle_timeout: Duration,
) -> Response<Answer>
where
    H: Fn(Request<RequestBody>, Peer) -> F,
    F: Future<Output = Response<ResponseBody>>,
{
    let is_h2 = request.version() == Version::HTTP_2;
    let expects = request.headers().get(http::header::EXPECT);
    let awaits_continue = expects.is_some_and(|v| v.as_bytes().eq_ignore_ascii_case(b"100-continue"));
    let request =
        request.map(|body| RequestBody::new(body, idle_timeout, awaits_continue).of(exchange.clone()));
    let mut response = match request.headers().len() > MAX_HEADERS {
        // As hyper answers it for HTTP/1.1.
        true => {
            let mut response = Response::new(ResponseBody::empty());
            *response.status_mut() = StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE;
            drop(request);
            response
        }
        false => {
            let answering = std::pin::pin!(handler(request, peer));
            match &exchange.record {
                Some(record) => record.clone().scope(answering).await,
                None => answering.await,
            }
        }
    };
    // What is left of a body must not be taken for the next request, RFC 9112 section 9.3.
    if !is_h2 && !exchange.settle().await {
        response.headers_mut().insert(http::header::CONNECTION, HeaderValue::from_static("close"));
    }
    if let Some(record) = &exchange.record {
        record.answered(response.status());
    }
    response.map(|body| Answer::new(body, exchange))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_loopback_is_not_paced_and_a_network_as_the_system_says() -> std::io::Result<()> {
        let control = |stream: &TcpStream| {
            // The kernel pads names.
            let name = SockRef::from(stream).tcp_congestion()?;
            std::io::Result::Ok(name.split(|byte| *byte == 0).next().unwrap_or_default().to_vec())
        };
        for (address, unpaced) in [("127.0.0.1:0", true), ("0.0.0.0:0", false)] {
            let listener = listen(address.parse().expect("an address")).await?;
            let client = TcpStream::connect(("127.0.0.1", listener.local_addr()?.port())).await?;
            let (accepted, _) = listener.accept().await?;
            let wanted = if unpaced { UNPACED.to_vec() } else { control(&client)? };
            assert_eq!(control(&accepted)?, wanted, "{address}");
        }
        Ok(())
    }
}
