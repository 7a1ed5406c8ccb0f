//! Which connections there are, and for whom there is room.
//!
//! Who has not brought a whole message yet is silent. Where room is short, the silent give way to the newcomers, the
//! oldest first: whoever opens connections and says nothing keeps nobody else out.

use crate::sip::endpoint::{Access, Flow, Transport};
use bytes::Bytes;
use std::{
    collections::{BTreeSet, HashMap},
    net::{IpAddr, SocketAddr},
};
use tokio::sync::{mpsc, oneshot};

/// The most connections at once.
pub const MAX_CONNECTIONS: usize = 8_192;
/// The most from one address.
pub const MAX_PER_PEER: usize = 1_024;
/// The most from one address that are silent.
pub const MAX_SILENT_PER_PEER: usize = 256;
/// Messages that wait for a slow reader before its connection is closed.
const WRITE_QUEUE: usize = 512;
/// Messages that wait for a connection to be opened.
const OPENING_QUEUE: usize = 16_384;

/// All connections, and what waits for one to be opened.
#[derive(Default)]
pub(super) struct Table {
    entries: HashMap<u64, Entry>,
    peers: HashMap<IpAddr, Peer>,
    silent: BTreeSet<u64>,
    opening: HashMap<Flow, Vec<Bytes>>,
    last: u64,
    pub(super) access: Access,
}

struct Entry {
    local: SocketAddr,
    remote: SocketAddr,
    queue: mpsc::Sender<Bytes>,
    /// Dropped with the entry, which closes the connection.
    close: oneshot::Sender<()>,
}

#[derive(Default)]
struct Peer {
    count: usize,
    silent: BTreeSet<u64>,
}

/// A connection's number, what it has to write, and the sign to close.
pub(super) struct Opened {
    pub(super) id: u64,
    pub(super) queue: mpsc::Sender<Bytes>,
    pub(super) outbox: mpsc::Receiver<Bytes>,
    pub(super) closed: oneshot::Receiver<()>,
}

/// What became of a message.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Sent {
    Queued,
    /// The first one for this flow: open a connection for it.
    Open,
    /// The connection is gone, or its queue was full and it is closed.
    Dead,
}

impl Table {
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Takes up a connection that somebody opened to us; None where there is no room.
    pub(super) fn accept(&mut self, local: SocketAddr, remote: SocketAddr) -> Option<Opened> {
        let peer = self.peers.get(&remote.ip());
        let (count, silent) = peer.map_or((0, 0), |peer| (peer.count, peer.silent.len()));
        if silent >= MAX_SILENT_PER_PEER || count >= MAX_PER_PEER {
            let oldest = *peer?.silent.first()?;
            self.remove(oldest);
        }
        self.make_room().then(|| self.insert(local, remote, true, WRITE_QUEUE))
    }

    /// Takes up the connection that was opened for a flow and queues what waited for it; None where there is no room.
    pub(super) fn opened(&mut self, flow: &Flow) -> Option<Opened> {
        let waiting = self.opening.remove(flow).unwrap_or_default();
        if !self.make_room() {
            return None;
        }
        let opened = self.insert(flow.local, flow.remote, false, WRITE_QUEUE + waiting.len());
        for bytes in waiting {
            // The queue was made long enough.
            let _ = opened.queue.try_send(bytes);
        }
        Some(opened)
    }

    /// No connection could be opened: what waited for it is dropped.
    pub(super) fn not_opened(&mut self, flow: &Flow) {
        self.opening.remove(flow);
    }

    fn make_room(&mut self) -> bool {
        if self.entries.len() >= MAX_CONNECTIONS {
            let Some(oldest) = self.silent.first().copied() else { return false };
            self.remove(oldest);
        }
        true
    }

    fn insert(&mut self, local: SocketAddr, remote: SocketAddr, silent: bool, room: usize) -> Opened {
        self.last += 1;
        let id = self.last;
        let (queue, outbox) = mpsc::channel(room);
        let (close, closed) = oneshot::channel();
        self.entries.insert(id, Entry { local, remote, queue: queue.clone(), close });
        let peer = self.peers.entry(remote.ip()).or_default();
        peer.count += 1;
        if silent {
            peer.silent.insert(id);
            self.silent.insert(id);
        }
        Opened { id, queue, outbox, closed }
    }

    /// A connection has brought a whole message.
    pub(super) fn spoke(&mut self, id: u64) {
        if self.silent.remove(&id)
            && let Some(peer) = self.entries.get(&id).and_then(|entry| self.peers.get_mut(&entry.remote.ip()))
        {
            peer.silent.remove(&id);
        }
    }

    /// Takes a connection out. It is closed when what comes back is dropped.
    pub(super) fn remove(&mut self, id: u64) -> Option<oneshot::Sender<()>> {
        let entry = self.entries.remove(&id)?;
        self.silent.remove(&id);
        let ip = entry.remote.ip();
        if let Some(peer) = self.peers.get_mut(&ip) {
            peer.silent.remove(&id);
            peer.count -= 1;
            if peer.count == 0 {
                self.peers.remove(&ip);
            }
        }
        Some(entry.close)
    }

    /// Takes out every connection at an address of ours, which closes them.
    pub(super) fn close(&mut self, local: SocketAddr) {
        let here: Vec<u64> = self.entries.iter().filter(|(_, entry)| entry.local == local).map(|(id, _)| *id).collect();
        for id in here {
            drop(self.remove(id));
        }
    }

    /// Queues a message. A flow without a number means any connection between the two addresses, or a new one.
    pub(super) fn send(&mut self, flow: &Flow, bytes: Bytes) -> Sent {
        let open = match flow.connection {
            0 => {
                let fits = |(_, entry): &(&u64, &Entry)| entry.local == flow.local && entry.remote == flow.remote;
                self.entries.iter().find(fits).map(|(id, _)| *id)
            }
            id => Some(id),
        };
        let Some(id) = open else { return self.wait(flow, bytes) };
        let Some(entry) = self.entries.get(&id) else { return Sent::Dead };
        if entry.queue.try_send(bytes).is_ok() {
            return Sent::Queued;
        }
        // It does not read what it is sent.
        self.remove(id);
        Sent::Dead
    }

    fn wait(&mut self, flow: &Flow, bytes: Bytes) -> Sent {
        // Over TLS it is the telephones that open connections: nobody vouches for one that we would open to them.
        if flow.transport == Transport::Tls {
            return Sent::Dead;
        }
        match self.opening.get_mut(flow) {
            Some(waiting) if waiting.len() >= OPENING_QUEUE => Sent::Dead,
            Some(waiting) => {
                waiting.push(bytes);
                Sent::Queued
            }
            None => {
                self.opening.insert(*flow, vec![bytes]);
                Sent::Open
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sip::endpoint::Transport;

    fn local() -> SocketAddr {
        ([192, 0, 2, 9], 5060).into()
    }

    fn peer(host: u8, port: u16) -> SocketAddr {
        ([192, 0, 2, host], port).into()
    }

    fn is_closed(opened: &mut Opened) -> bool {
        matches!(opened.closed.try_recv(), Err(oneshot::error::TryRecvError::Closed))
    }

    #[test]
    fn the_silent_give_way_to_newcomers() {
        let mut table = Table::default();
        let mut first = table.accept(local(), peer(1, 1)).expect("room");
        let mut speaker = table.accept(local(), peer(1, 2)).expect("room");
        table.spoke(speaker.id);
        let mut others: Vec<_> = (0..2_000).map(|n| table.accept(local(), peer(1, 1000 + n)).expect("room")).collect();
        assert!(is_closed(&mut first) && !is_closed(&mut speaker));
        assert_eq!(table.len(), MAX_SILENT_PER_PEER + 1);
        assert_eq!(
            others.iter_mut().filter_map(|other| (!is_closed(other)).then_some(())).count(),
            MAX_SILENT_PER_PEER
        );
        assert!(!is_closed(others.last_mut().expect("2000")), "the latest is there");
    }

    #[test]
    fn one_address_has_its_share_of_those_that_speak() {
        let mut table = Table::default();
        for n in 0..MAX_PER_PEER as u16 {
            let opened = table.accept(local(), peer(1, 1000 + n)).expect("room");
            table.spoke(opened.id);
        }
        assert!(table.accept(local(), peer(1, 1)).is_none());
        let other = table.accept(local(), peer(2, 1)).expect("another has room");
        table.remove(other.id);
        for host in 2..=8 {
            for n in 0..MAX_PER_PEER as u16 {
                let opened = table.accept(local(), peer(host, 1000 + n)).expect("room");
                table.spoke(opened.id);
            }
        }
        assert_eq!(table.len(), MAX_CONNECTIONS);
        assert!(table.accept(local(), peer(9, 1)).is_none(), "all of them speak");
        table.remove(1);
        let mut silent = table.accept(local(), peer(9, 1)).expect("room");
        assert!(table.accept(local(), peer(9, 2)).is_some() && is_closed(&mut silent));
    }

    #[test]
    fn one_connection_is_opened_for_all_that_waits() {
        let mut table = Table::default();
        let flow = Flow { transport: Transport::Tcp, local: local(), remote: peer(1, 5060), connection: 0 };
        let send = |table: &mut Table, text: &'static str| table.send(&flow, Bytes::from_static(text.as_bytes()));
        assert_eq!(send(&mut table, "a"), Sent::Open);
        assert_eq!(send(&mut table, "b"), Sent::Queued);
        let mut opened = table.opened(&flow).expect("room");
        assert_eq!(send(&mut table, "c"), Sent::Queued);
        let written: Vec<_> = std::iter::from_fn(|| opened.outbox.try_recv().ok()).collect();
        assert_eq!(written, ["a", "b", "c"]);
        table.remove(opened.id);
        assert!(is_closed(&mut opened));
        let gone = Flow { connection: opened.id, ..flow };
        assert_eq!(table.send(&gone, Bytes::new()), Sent::Dead);
        assert_eq!(send(&mut table, "d"), Sent::Open);
        table.not_opened(&flow);
        assert_eq!(send(&mut table, "e"), Sent::Open, "tried again");
    }

    #[test]
    fn who_does_not_read_is_closed() {
        let mut table = Table::default();
        let mut opened = table.accept(local(), peer(1, 1)).expect("room");
        let flow = Flow { transport: Transport::Tcp, local: local(), remote: peer(1, 1), connection: opened.id };
        for _ in 0..WRITE_QUEUE {
            assert_eq!(table.send(&flow, Bytes::new()), Sent::Queued);
        }
        assert_eq!(table.send(&flow, Bytes::new()), Sent::Dead);
        assert!(is_closed(&mut opened) && table.len() == 0 && table.peers.is_empty());
    }
}
