//! Who holds the connections. When all are held, those that do no authenticated work make place for new ones.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;
use tokio::sync::Notify;

use super::connection::Connection;

/// Of so many connections one is ended when place must be made, so that a look at all of them makes place for many.
const SHARE: usize = 64;

/// The connections of a listener.
#[derive(Debug)]
pub(super) struct Slots {
    max: AtomicUsize,
    /// 0: as many as there are.
    max_per_address: AtomicUsize,
    open: Mutex<Open>,
    freed: Notify,
}

#[derive(Debug, Default)]
struct Open {
    connections: HashMap<u64, (IpAddr, Arc<Connection>)>,
    by_address: HashMap<IpAddr, usize>,
    last: u64,
}

/// A place for a connection, until it is dropped.
#[derive(Debug)]
pub(super) struct Slot {
    slots: Arc<Slots>,
    number: u64,
}

impl Slots {
    pub(super) fn new(max: usize, max_per_address: usize) -> Arc<Self> {
        let (max, max_per_address) = (AtomicUsize::new(max), AtomicUsize::new(max_per_address));
        Arc::new(Self { max, max_per_address, open: Mutex::default(), freed: Notify::new() })
    }

    /// From now on there are so many. Who has a place keeps it.
    pub(super) fn set(&self, max: usize, max_per_address: usize) {
        self.max.store(max, Ordering::Relaxed);
        self.max_per_address.store(max_per_address, Ordering::Relaxed);
    }

    /// A place for this connection, for which one that does nothing may be ended. Waits while every other one works. `None`: its
    /// address has as many as it may that do; a proxy's may have any number.
    pub(super) async fn take(
        self: &Arc<Self>,
        address: IpAddr,
        connection: &Arc<Connection>,
        is_proxy: bool,
    ) -> Option<Slot> {
        let address = place(address);
        loop {
            {
                let mut open = self.open.lock();
                let of_address = open.by_address.get(&address).copied().unwrap_or_default();
                let max_per_address = self.max_per_address.load(Ordering::Relaxed);
                if !is_proxy
                    && max_per_address > 0
                    && of_address >= max_per_address
                    && !open.make_place(of_address, |held| *held == address)
                {
                    return None;
                }
                let len = open.connections.len();
                if len < self.max.load(Ordering::Relaxed) || open.make_place(len, |_| true) {
                    let number = open.add(address, connection.clone());
                    return Some(Slot { slots: self.clone(), number });
                }
            }
            self.freed.notified().await;
        }
    }
}

impl Open {
    fn add(&mut self, address: IpAddr, connection: Arc<Connection>) -> u64 {
        self.last += 1;
        self.connections.insert(self.last, (address, connection));
        *self.by_address.entry(address).or_default() += 1;
        self.last
    }

    fn remove(&mut self, number: u64) -> Option<Arc<Connection>> {
        let (address, connection) = self.connections.remove(&number)?;
        if let Some(count) = self.by_address.get_mut(&address) {
            *count -= 1;
            if *count == 0 {
                self.by_address.remove(&address);
            }
        }
        Some(connection)
    }

    /// Ends connections that do no authenticated work: first those that never did, and of these first those that have waited
    /// longest. Answers whether there was one.
    fn make_place(&mut self, of: usize, which: impl Fn(&IpAddr) -> bool) -> bool {
        let candidates = self.connections.iter().filter(|(_, (address, _))| which(address));
        let mut idle: Vec<_> = candidates
            .filter_map(|(number, (_, connection))| Some((connection.idle_rank()?, *number)))
            .collect();
        let len = (of / SHARE).max(1).min(idle.len());
        if len == 0 {
            return false;
        }
        idle.select_nth_unstable(len - 1);
        for (_, number) in &idle[..len] {
            if let Some(connection) = self.remove(*number) {
                connection.evict();
            }
        }
        true
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.slots.open.lock().remove(self.number);
        self.slots.freed.notify_one();
    }
}

/// What counts as one source: an IPv4 address, or the /64 of an IPv6 address, since one who has an IPv6 network has all of its
/// addresses.
pub fn place(source: IpAddr) -> IpAddr {
    match source.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() >> 64 << 64).into(),
        address => address,
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;
    use std::time::Duration;

    use super::*;
    use crate::http::connection::Patience;

    const PATIENCE: Patience = Patience { idle: Duration::from_secs(30), stall: Duration::from_secs(60) };

    fn address(last: u8) -> IpAddr {
        Ipv4Addr::new(192, 0, 2, last).into()
    }

    fn connection() -> Arc<Connection> {
        Arc::new(Connection::new(PATIENCE))
    }

    async fn has_place(slots: &Arc<Slots>, from: u8) -> Option<Option<Slot>> {
        let connection = connection();
        let taken = slots.take(address(from), &connection, false);
        tokio::time::timeout(Duration::from_millis(20), taken).await.ok()
    }

    #[tokio::test]
    async fn who_does_nothing_makes_place_in_order() {
        let slots = Slots::new(3, 0);
        let connections = [connection(), connection(), connection()];
        let mut held = Vec::new();
        for connection in &connections {
            held.push(slots.take(address(1), connection, false).await.unwrap());
        }
        // The first has worked and the second works: the third goes first.
        let done = connections[0].begin(false, None);
        done.authenticated();
        drop(done);
        let working = connections[1].begin(false, None);
        working.authenticated();
        let guessing = connections[2].begin(false, None);
        let fourth = has_place(&slots, 2).await.unwrap().unwrap();
        let evicted = || connections.each_ref().map(|connection| connection.is_evicted());
        assert_eq!(evicted(), [false, false, true]);
        let working_too = connection();
        let fifth = slots.take(address(3), &working_too, false).await.unwrap();
        // The fourth was never asked anything.
        assert_eq!(evicted(), [false, false, true]);
        working_too.begin(false, None);
        let asked = working_too.begin(false, None);
        asked.authenticated();
        let _sixth = has_place(&slots, 4).await.unwrap().unwrap();
        assert_eq!(evicted(), [true, false, true]);
        drop((guessing, fourth, fifth));
    }

    #[tokio::test]
    async fn while_all_work_one_waits_until_a_place_is_free() {
        let slots = Slots::new(1, 0);
        let busy = connection();
        let slot = slots.take(address(1), &busy, false).await.unwrap();
        let asked = busy.begin(false, None);
        asked.authenticated();
        assert!(has_place(&slots, 2).await.is_none());
        let waiting = tokio::spawn({
            let slots = slots.clone();
            async move { slots.take(address(2), &connection(), false).await.is_some() }
        });
        tokio::time::sleep(Duration::from_millis(20)).await;
        drop((asked, slot));
        assert!(waiting.await.unwrap());
    }

    #[tokio::test]
    async fn an_address_has_its_share() {
        let slots = Slots::new(100, 2);
        let (first, second) = (connection(), connection());
        let _held = (
            slots.take(address(1), &first, false).await.unwrap(),
            slots.take(address(1), &second, false).await.unwrap(),
        );
        let asked = [first.begin(false, None), second.begin(false, None)];
        asked.iter().for_each(|asked| asked.authenticated());
        assert!(has_place(&slots, 1).await.unwrap().is_none());
        assert!(has_place(&slots, 2).await.unwrap().is_some());
        let [asked, _] = asked;
        drop(asked);
        assert!(has_place(&slots, 1).await.unwrap().is_some());
        assert!(first.is_evicted() && !second.is_evicted());
        assert_eq!(slots.open.lock().by_address.len(), 1);
    }

    #[test]
    fn an_ipv6_network_is_one_place() {
        let parsed = |text: &str| place(text.parse().unwrap());
        assert_eq!(parsed("2001:db8::1"), parsed("2001:db8::2"));
        assert_ne!(parsed("2001:db8::1"), parsed("2001:db8:0:1::1"));
        assert_eq!(parsed("::ffff:192.0.2.1"), address(1));
    }
}
