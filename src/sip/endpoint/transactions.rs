//! All transactions of an endpoint, and how a message finds its own.

use super::{Flow, arena::Arena};
use crate::{
    ids::LegId,
    sip::{
        message::{HeaderName, Method, Request, Via},
        transaction::{
            Reliability,
            invite_client::{self, InviteClient},
            invite_server::{self, InviteServer},
            key::{self, Branch},
            non_invite_client::{self, NonInviteClient},
            non_invite_server::{self, NonInviteServer},
        },
    },
};
use bytes::Bytes;
use std::{
    collections::HashMap,
    hash::{DefaultHasher, Hash, Hasher},
    net::{IpAddr, SocketAddr},
    time::Instant,
};

/// One of the four machines.
pub(super) enum Machine {
    InviteServer(InviteServer),
    InviteClient(InviteClient),
    NonInviteServer(NonInviteServer),
    NonInviteClient(NonInviteClient),
}

/// What a machine wants done, the same for all four.
pub(super) enum Step {
    Transmit(Bytes),
    Deliver,
    DeliverAck,
    TimedOut,
    TransportFailed,
}

impl Machine {
    pub(super) fn poll_output(&mut self) -> Option<Step> {
        match self {
            Machine::InviteServer(machine) => machine.poll_output().map(|output| match output {
                invite_server::Output::Transmit(bytes) => Step::Transmit(bytes),
                invite_server::Output::DeliverAck => Step::DeliverAck,
                invite_server::Output::TimedOut => Step::TimedOut,
                invite_server::Output::TransportFailed => Step::TransportFailed,
            }),
            Machine::InviteClient(machine) => machine.poll_output().map(|output| match output {
                invite_client::Output::Transmit(bytes) => Step::Transmit(bytes),
                invite_client::Output::Deliver => Step::Deliver,
                invite_client::Output::TimedOut => Step::TimedOut,
                invite_client::Output::TransportFailed => Step::TransportFailed,
            }),
            Machine::NonInviteServer(machine) => machine.poll_output().map(|output| match output {
                non_invite_server::Output::Transmit(bytes) => Step::Transmit(bytes),
                non_invite_server::Output::TimedOut => Step::TimedOut,
                non_invite_server::Output::TransportFailed => Step::TransportFailed,
            }),
            Machine::NonInviteClient(machine) => machine.poll_output().map(|output| match output {
                non_invite_client::Output::Transmit(bytes) => Step::Transmit(bytes),
                non_invite_client::Output::Deliver => Step::Deliver,
                non_invite_client::Output::TimedOut => Step::TimedOut,
                non_invite_client::Output::TransportFailed => Step::TransportFailed,
            }),
        }
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        match self {
            Machine::InviteServer(machine) => machine.poll_timeout().map(|(at, _)| at),
            Machine::InviteClient(machine) => machine.poll_timeout().map(|(at, _)| at),
            Machine::NonInviteServer(machine) => machine.poll_timeout().map(|(at, _)| at),
            Machine::NonInviteClient(machine) => machine.poll_timeout().map(|(at, _)| at),
        }
    }

    pub(super) fn handle_timeout(&mut self, now: Instant) {
        match self {
            Machine::InviteServer(machine) => machine.handle_timeout(now),
            Machine::InviteClient(machine) => machine.handle_timeout(now),
            Machine::NonInviteServer(machine) => machine.handle_timeout(now),
            Machine::NonInviteClient(machine) => machine.handle_timeout(now),
        }
    }

    pub(super) fn is_terminated(&self) -> bool {
        match self {
            Machine::InviteServer(machine) => machine.is_terminated(),
            Machine::InviteClient(machine) => machine.is_terminated(),
            Machine::NonInviteServer(machine) => machine.is_terminated(),
            Machine::NonInviteClient(machine) => machine.is_terminated(),
        }
    }

    pub(super) fn transport_failed(&mut self, now: Instant) {
        match self {
            Machine::InviteServer(machine) => machine.handle_input(now, invite_server::Input::TransportFailed),
            Machine::InviteClient(machine) => machine.handle_input(now, invite_client::Input::TransportFailed),
            Machine::NonInviteServer(machine) => machine.handle_input(now, non_invite_server::Input::TransportFailed),
            Machine::NonInviteClient(machine) => machine.handle_input(now, non_invite_client::Input::TransportFailed),
        }
    }

    /// The request came again.
    pub(super) fn repeated(&mut self, now: Instant) {
        match self {
            Machine::InviteServer(machine) => machine.handle_input(now, invite_server::Input::Invite),
            Machine::NonInviteServer(machine) => machine.handle_input(now, non_invite_server::Input::Request),
            Machine::InviteClient(_) | Machine::NonInviteClient(_) => {}
        }
    }

    /// The user answers.
    pub(super) fn respond(&mut self, now: Instant, status: u16, bytes: Bytes) {
        match self {
            Machine::InviteServer(machine) => {
                let input = match status {
                    ..200 => invite_server::Input::Provisional(bytes),
                    200..300 => invite_server::Input::Success(bytes),
                    300.. => invite_server::Input::Failure(bytes),
                };
                machine.handle_input(now, input);
            }
            Machine::NonInviteServer(machine) => {
                let input = match status {
                    ..200 => non_invite_server::Input::Provisional(bytes),
                    200.. => non_invite_server::Input::Final(bytes),
                };
                machine.handle_input(now, input);
            }
            Machine::InviteClient(_) | Machine::NonInviteClient(_) => {}
        }
    }

    /// A response of this status came, with this value of To.
    pub(super) fn response(&mut self, now: Instant, status: u16, to: Bytes) {
        match self {
            Machine::InviteClient(machine) => {
                let input = match status {
                    ..200 => invite_client::Input::Provisional,
                    200..300 => invite_client::Input::Success,
                    300.. => invite_client::Input::Failure { to },
                };
                machine.handle_input(now, input);
            }
            Machine::NonInviteClient(machine) => {
                let input =
                    if status < 200 { non_invite_client::Input::Provisional } else { non_invite_client::Input::Final };
                machine.handle_input(now, input);
            }
            Machine::InviteServer(_) | Machine::NonInviteServer(_) => {}
        }
    }
}

/// Who is told what happens to a transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Owner {
    /// Nobody: the endpoint sent or answered it by itself.
    Nobody,
    /// The user, outside any dialog.
    User,
    /// A leg.
    Leg(LegId, Purpose),
}

/// What a leg uses a transaction for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// The INVITE that began it.
    Invite,
    /// An INVITE inside the dialog.
    Reinvite,
    /// The BYE.
    Bye,
    /// Any other request.
    Request(Box<Method>),
    /// A request of the peer's that the endpoint answered by itself.
    Settled,
}

impl Purpose {
    /// Whether a server transaction of this purpose is one of those that the dialog's bound counts.
    pub(super) fn counts(&self) -> bool {
        match self {
            Purpose::Invite | Purpose::Bye => false,
            Purpose::Reinvite | Purpose::Request(_) | Purpose::Settled => true,
        }
    }
}

/// The ACK of a 2xx, kept to be sent again with each copy of the 2xx (RFC 3261 section 13.2.2.4).
pub(super) struct SentAck {
    pub(super) to_tag: Bytes,
    pub(super) flow: Flow,
    pub(super) bytes: Bytes,
}

/// A machine with what it takes to run it. Once it lingers, all that is left in it is what answers a copy.
pub(super) struct Transaction {
    pub(super) machine: Machine,
    /// Where it sends to.
    pub(super) flow: Flow,
    pub(super) owner: Owner,
    /// Server side: the request while it may still be answered.
    pub(super) request: Option<Box<Request>>,
    /// Client side of INVITE: one for each answering branch.
    pub(super) acks: Vec<SentAck>,
    key: Key,
    armed: Option<Instant>,
}

impl Transaction {
    /// A request came again, by a connection that takes the place of one that is gone.
    pub(super) fn found_again(&mut self, flow: Flow) {
        let same = self.flow.transport == flow.transport && self.flow.remote.ip() == flow.remote.ip();
        if same && self.flow.connection == 0 && flow.connection != 0 {
            self.flow = flow;
        }
    }
}

enum Key {
    /// `sent_by` is the port where an answer goes whose connection is gone.
    Server {
        key: ServerKey,
        merge: u64,
        sent_by: u16,
    },
    Client {
        branch: Branch,
        cancel: bool,
    },
}

/// A server transaction's key, hashed twice: at 128 bits two that differ never meet, and none needs the heap.
type ServerKey = [u64; 2];

/// The table.
pub(super) struct Transactions {
    all: Arena<Transaction>,
    servers: HashMap<ServerKey, u64>,
    clients: HashMap<(Branch, bool), u64>,
    /// Requests outside dialogs by what their copies over other paths have in common (section 8.2.2.2).
    merged: HashMap<u64, u64>,
    /// How many server transactions each peer has at each of our addresses.
    peers: HashMap<(SocketAddr, IpAddr), usize>,
    flows: FlowIndex,
    scratch: Vec<u8>,
    secrets: [u64; 2],
}

impl Transactions {
    /// `secrets` keep peers from choosing what collides.
    pub(super) fn new(secrets: [u64; 2]) -> Self {
        Transactions {
            all: Arena::new(),
            servers: HashMap::new(),
            clients: HashMap::new(),
            merged: HashMap::new(),
            peers: HashMap::new(),
            flows: FlowIndex::default(),
            scratch: Vec::with_capacity(256),
            secrets,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.all.len()
    }

    /// Whether no table holds what is gone.
    #[cfg(test)]
    pub(super) fn is_clean(&self) -> bool {
        let used = self.servers.len() + self.clients.len();
        used == self.all.len()
            && self.merged.len() <= self.servers.len()
            && self.peers.values().sum::<usize>() == self.servers.len()
            && self.peers.values().all(|count| *count > 0)
    }

    /// What is there, for a test that expects nothing.
    #[cfg(test)]
    pub(super) fn describe(&self) -> Vec<String> {
        let ids = self.servers.values().chain(self.clients.values());
        ids.filter_map(|id| self.all.get(*id))
            .map(|transaction| match &transaction.machine {
                Machine::InviteServer(machine) => format!("{:?} {machine:?}", transaction.owner),
                Machine::InviteClient(machine) => format!("{:?} {machine:?}", transaction.owner),
                Machine::NonInviteServer(machine) => format!("{:?} {machine:?}", transaction.owner),
                Machine::NonInviteClient(machine) => format!("{:?} {machine:?}", transaction.owner),
            })
            .collect()
    }

    pub(super) fn get(&self, id: u64) -> Option<&Transaction> {
        self.all.get(id)
    }

    pub(super) fn get_mut(&mut self, id: u64) -> Option<&mut Transaction> {
        self.all.get_mut(id)
    }

    /// The server transaction of `method` that a request belongs to; `via` is its topmost Via as it came.
    pub(super) fn find_server(&mut self, request: &Request, via: &Via, method: &Method) -> Option<u64> {
        let key = self.server_key(request, via, method);
        self.servers.get(&key).copied()
    }

    fn server_key(&mut self, request: &Request, via: &Via, method: &Method) -> ServerKey {
        key::server(&mut self.scratch, request, via, method);
        self.secrets.map(|secret| {
            let mut hasher = DefaultHasher::new();
            hasher.write_u64(secret);
            hasher.write(&self.scratch);
            hasher.finish()
        })
    }

    /// Whether a copy of this request came by another path and is being dealt with (section 8.2.2.2).
    pub(super) fn is_merged(&self, request: &Request) -> bool {
        self.merged.contains_key(&merge_key(self.secrets[0], request))
    }

    /// Adds the server transaction of a request; `via` is its topmost Via as it came.
    pub(super) fn add_server(
        &mut self,
        machine: Machine,
        request: &Request,
        via: &Via,
        flow: Flow,
        owner: Owner,
    ) -> u64 {
        let key = self.server_key(request, via, &request.method);
        let sent_by = via.port.unwrap_or(flow.transport.default_port());
        let outside = request.headers.to_tag().is_none() && request.method != Method::Cancel;
        let merge = if outside { merge_key(self.secrets[0], request) } else { 0 };
        let id = self.all.insert(Transaction {
            machine,
            flow,
            owner,
            request: None,
            acks: Vec::new(),
            key: Key::Server { key, merge, sent_by },
            armed: None,
        });
        self.servers.insert(key, id);
        *self.peers.entry(peer(flow)).or_default() += 1;
        if outside {
            self.merged.insert(merge, id);
        }
        id
    }

    /// How many server transactions the peer of a flow has.
    pub(super) fn of_peer(&self, flow: Flow) -> usize {
        self.peers.get(&peer(flow)).copied().unwrap_or(0)
    }

    pub(super) fn find_client(&self, branch: Branch, cancel: bool) -> Option<u64> {
        self.clients.get(&(branch, cancel)).copied()
    }

    /// Adds a client transaction; a CANCEL has the branch of its INVITE.
    pub(super) fn add_client(
        &mut self,
        machine: Machine,
        branch: Branch,
        cancel: bool,
        flow: Flow,
        owner: Owner,
    ) -> u64 {
        let id = self.all.insert(Transaction {
            machine,
            flow,
            owner,
            request: None,
            acks: Vec::new(),
            key: Key::Client { branch, cancel },
            armed: None,
        });
        self.clients.insert((branch, cancel), id);
        self.flows.add(flow, id, |id| self.all.get(id).is_some());
        id
    }

    /// Section 18.2.2: the connection of a server transaction is gone. Its answers open one to the address that the
    /// request came from, at the port of sent-by; gives that flow.
    pub(super) fn reopen(&mut self, id: u64) -> Option<Flow> {
        let transaction = self.all.get_mut(id)?;
        let Key::Server { sent_by, .. } = transaction.key else { return None };
        let remote = SocketAddr::new(transaction.flow.remote.ip(), sent_by);
        transaction.flow = Flow { remote, connection: 0, ..transaction.flow };
        Some(transaction.flow)
    }

    /// The branch of a client transaction.
    pub(super) fn branch(&self, id: u64) -> Option<Branch> {
        match &self.all.get(id)?.key {
            Key::Client { branch, .. } => Some(*branch),
            Key::Server { .. } => None,
        }
    }

    /// A challenge invites the same request again, with the same or the next CSeq: that is no copy.
    pub(super) fn forget_merge(&mut self, id: u64) {
        if let Some(Key::Server { merge, .. }) = self.all.get(id).map(|transaction| &transaction.key)
            && self.merged.get(merge) == Some(&id)
        {
            self.merged.remove(merge);
        }
    }

    /// Takes a finished transaction out.
    pub(super) fn remove(&mut self, id: u64) {
        self.forget_merge(id);
        let Some(transaction) = self.all.remove(id) else { return };
        match transaction.key {
            Key::Server { key, .. } => {
                if self.servers.get(&key) == Some(&id) {
                    self.servers.remove(&key);
                }
                let peer = peer(transaction.flow);
                if let Some(count) = self.peers.get_mut(&peer) {
                    *count -= 1;
                    if *count == 0 {
                        self.peers.remove(&peer);
                    }
                }
            }
            Key::Client { branch, cancel } => {
                self.clients.remove(&(branch, cancel));
            }
        }
    }

    /// The client transactions that send over a flow that failed.
    pub(super) fn take_flow(&mut self, flow: Flow) -> Vec<u64> {
        self.flows.take(flow)
    }

    /// The moment for which a timer has to be set, if one has to.
    pub(super) fn arm(&mut self, id: u64) -> Option<Instant> {
        let transaction = self.all.get_mut(id)?;
        let at = transaction.machine.poll_timeout()?;
        if transaction.armed.is_some_and(|armed| armed <= at) {
            return None;
        }
        transaction.armed = Some(at);
        Some(at)
    }

    /// Whether a timer that fired is the one that was set last.
    pub(super) fn disarm(&mut self, id: u64, now: Instant) -> bool {
        let Some(transaction) = self.all.get_mut(id) else { return false };
        let due = transaction.armed.is_some_and(|armed| armed <= now);
        if due {
            transaction.armed = None;
        }
        due
    }
}

/// Whom a flow's transactions are counted for.
fn peer(flow: Flow) -> (SocketAddr, IpAddr) {
    (flow.local, flow.remote.ip())
}

fn merge_key(secret: u64, request: &Request) -> u64 {
    let mut hasher = DefaultHasher::new();
    secret.hash(&mut hasher);
    request.headers.from_tag().unwrap_or_default().hash(&mut hasher);
    request.headers.get(&HeaderName::CallId).hash(&mut hasher);
    request.headers.cseq().map(|cseq| cseq.number).unwrap_or(0).hash(&mut hasher);
    request.method.hash(&mut hasher);
    hasher.finish()
}

/// Whether a flow's transport repeats what was lost.
pub(super) fn reliability(flow: Flow) -> Reliability {
    match flow.transport {
        super::Transport::Udp => Reliability::Unreliable,
        super::Transport::Tcp | super::Transport::Tls | super::Transport::Ws | super::Transport::Wss => {
            Reliability::Reliable
        }
    }
}

/// Client transactions by flow. What has finished stays listed until the list has doubled.
#[derive(Default)]
struct FlowIndex {
    lists: HashMap<Flow, (Vec<u64>, usize)>,
    sweep_at: usize,
}

const LEAST_LIST: usize = 32;
const LEAST_SWEEP: usize = 1024;

impl FlowIndex {
    fn add(&mut self, flow: Flow, id: u64, alive: impl Fn(u64) -> bool) {
        if self.lists.len() > self.sweep_at {
            self.lists.retain(|_, (list, _)| list.iter().any(|id| alive(*id)));
            self.sweep_at = (2 * self.lists.len()).max(LEAST_SWEEP);
        }
        let (list, prune_at) = self.lists.entry(flow).or_insert_with(|| (Vec::new(), LEAST_LIST));
        if list.len() >= *prune_at {
            list.retain(|id| alive(*id));
            *prune_at = (2 * list.len()).max(LEAST_LIST);
        }
        list.push(id);
    }

    fn take(&mut self, flow: Flow) -> Vec<u64> {
        self.lists.remove(&flow).map(|(list, _)| list).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lingering_transaction_is_small() {
        // With its places in the tables and a response of 350 bytes it stays below 800.
        assert!(size_of::<Transaction>() <= 368, "{}", size_of::<Transaction>());
    }
}
