//! The one task of a user agent: it owns the socket, the transactions and the sessions.

use super::{
    Audio, Call, CallOptions, Conditions, Credentials, Event, G711, Incoming, Policy, Side, UaError,
    audio::Player,
    dialog::{Session, Step},
    message,
    network::Gate,
    registration::Registration,
    rtp,
    sdp::Direction,
    transaction::{Client, Due, LINGER, Server},
    transport::{Inbound, Transport, Wire},
};
use crate::net::clock;
use rsip::{Header, Method, Request, SipMessage};
use std::{
    collections::HashMap,
    io,
    net::SocketAddr,
    time::{Duration, Instant},
};
use tokio::sync::{broadcast, mpsc, oneshot};

pub(super) type Reply<T> = oneshot::Sender<Result<T, UaError>>;

/// What the handles ask for.
#[derive(Debug)]
pub(super) enum Command {
    Register { registrar: SocketAddr, who: Credentials, expires: Duration, reply: Reply<Duration> },
    Unregister { reply: Reply<Duration> },
    Call { options: CallOptions, reply: Reply<Call> },
    Incoming(Incoming),
    Dialled(String, Option<Incoming>),
    Codecs(Vec<G711>),
    Vanish,
    HangUp { id: u64, status: u16 },
    Accept { id: u64 },
    Reoffer { id: u64, direction: Direction, reply: Reply<()> },
    Request { id: u64, method: Method, headers: Vec<(String, String)>, body: String, reply: Reply<u16> },
}

/// What the answer to one of our requests is for.
#[derive(Debug)]
pub(super) enum Purpose {
    Register(Option<Reply<Duration>>),
    Invite(u64),
    Reinvite { id: u64, before: Direction, reply: Option<Reply<()>> },
    Bye(u64),
    Cancel,
    Other(Option<Reply<u16>>),
}

pub(super) struct Engine {
    pub wire: Wire,
    pub conditions: Conditions,
    /// The user part of our Contact.
    pub user: String,
    pub commands: mpsc::WeakSender<Command>,
    pub events: broadcast::Sender<Event>,
    pub calls: mpsc::Sender<Call>,
    pub incoming: Incoming,
    /// By the number dialled.
    pub dialled: HashMap<String, Incoming>,
    pub codecs: Vec<G711>,
    pub sessions: HashMap<u64, Session>,
    /// Call-ID and our tag.
    pub dialogs: HashMap<(String, String), u64>,
    /// By branch.
    pub clients: HashMap<String, Client<Purpose>>,
    /// By branch and method (INVITE for its ACK and CANCEL too).
    pub servers: HashMap<(String, String), Server>,
    pub registration: Registration,
    pub next_id: u64,
    out: Vec<(Vec<u8>, SocketAddr)>,
}

/// Transactions of a peer beyond this are dropped: a simulated party never has so many.
const MAX_SERVERS: usize = 10_000;

impl Engine {
    pub fn new(
        wire: Wire,
        conditions: Conditions,
        commands: mpsc::WeakSender<Command>,
        events: broadcast::Sender<Event>,
        calls: mpsc::Sender<Call>,
    ) -> Engine {
        let incoming = Incoming { policy: Policy::Answer { after: Duration::from_millis(100) }, audio: Audio::Silence };
        Engine {
            wire,
            conditions,
            user: "sandbox".into(),
            commands,
            events,
            calls,
            incoming,
            dialled: HashMap::new(),
            codecs: vec![G711::Pcma, G711::Pcmu],
            sessions: HashMap::new(),
            dialogs: HashMap::new(),
            clients: HashMap::new(),
            servers: HashMap::new(),
            registration: Registration::default(),
            next_id: 1,
            out: Vec::new(),
        }
    }

    pub async fn run(mut self, mut commands: mpsc::Receiver<Command>, mut inbound: mpsc::Receiver<Inbound>) {
        loop {
            let due = self.poll_timeout();
            let sleep = tokio::time::sleep_until(due.unwrap_or_else(|| clock::now().mono + LINGER).into());
            tokio::select! {
                command = commands.recv() => match command {
                    Some(Command::Vanish) => {
                        self.sessions.values().for_each(|session| session.media.close());
                        return;
                    }
                    Some(command) => self.command(command).await,
                    None => break,
                },
                Some((bytes, source)) = inbound.recv() => self.receive(&bytes, source).await,
                () = sleep => self.handle_timeouts(clock::now().mono),
            }
            self.flush().await;
        }
        let ids: Vec<u64> = self.sessions.keys().copied().collect();
        ids.into_iter().for_each(|id| self.hang_up(id, 480));
        self.flush().await;
    }

    async fn flush(&mut self) {
        for (bytes, to) in std::mem::take(&mut self.out) {
            self.wire.send(&bytes, to).await;
        }
    }

    /// Puts a message on its way.
    pub fn send(&mut self, bytes: Vec<u8>, to: SocketAddr) {
        self.out.push((bytes, to));
    }

    pub fn reliable(&self) -> bool {
        self.wire.transport == Transport::Tcp
    }

    pub fn contact(&self) -> String {
        let parameter = if self.reliable() { ";transport=tcp" } else { "" };
        format!("<sip:{}@{}{parameter}>", self.user, self.wire.local)
    }

    /// A Via with this branch.
    pub fn via(&self, branch: &str) -> Header {
        let transport = self.wire.transport.name();
        message::header("Via", format!("SIP/2.0/{transport} {};rport;branch={branch}", self.wire.local))
    }

    async fn command(&mut self, command: Command) {
        match command {
            Command::Register { registrar, who, expires, reply } => self.register(registrar, who, expires, reply),
            Command::Unregister { reply } => self.unregister(reply),
            Command::Call { options, reply } => {
                let call = self.place_call(options).await;
                let _ = reply.send(call);
            }
            Command::Incoming(incoming) => self.incoming = incoming,
            Command::Dialled(number, Some(incoming)) => drop(self.dialled.insert(number, incoming)),
            Command::Dialled(number, None) => drop(self.dialled.remove(&number)),
            Command::Codecs(codecs) if !codecs.is_empty() => self.codecs = codecs,
            Command::Codecs(_) | Command::Vanish => {}
            Command::HangUp { id, status } => self.hang_up(id, status),
            Command::Accept { id } => self.step(id, Step::Answer),
            Command::Reoffer { id, direction, reply } => self.reoffer(id, direction, reply),
            Command::Request { id, method, headers, body, reply } => {
                self.request_in_dialog(id, method, headers, body, Purpose::Other(Some(reply)));
            }
        }
    }

    async fn receive(&mut self, bytes: &[u8], source: SocketAddr) {
        match message::parse(bytes) {
            Some(SipMessage::Request(request)) => self.handle_request(request, source).await,
            Some(SipMessage::Response(response)) => self.handle_response(response),
            None if bytes.iter().all(u8::is_ascii_whitespace) => {}
            None => tracing::debug!(%source, length = bytes.len(), "sandbox: a message that cannot be read"),
        }
    }

    /// Sends a request in a client transaction of its own. The branch must stand in its topmost Via.
    pub fn start(&mut self, branch: String, request: Request, to: SocketAddr, purpose: Purpose) {
        let client = Client::new(clock::now().mono, request, to, purpose, self.reliable());
        self.send(client.bytes.clone(), to);
        self.clients.insert(branch, client);
    }

    fn poll_timeout(&self) -> Option<Instant> {
        let clients = self.clients.values().map(Client::poll_timeout);
        let servers =
            self.servers.values().map(|s| s.refusal.as_ref().map_or(s.until, |r| r.poll_timeout().min(s.until)));
        let sessions = self.sessions.values().filter_map(Session::poll_timeout);
        clients.chain(servers).chain(sessions).chain(self.registration.poll_timeout()).min()
    }

    fn handle_timeouts(&mut self, now: Instant) {
        self.client_timeouts(now);
        self.server_timeouts(now);
        self.session_timeouts(now);
        if self.registration.poll_timeout().is_some_and(|at| at <= now) {
            self.refresh();
        }
    }

    fn client_timeouts(&mut self, now: Instant) {
        let due: Vec<String> =
            self.clients.iter().filter(|(_, c)| c.poll_timeout() <= now).map(|(b, _)| b.clone()).collect();
        for branch in due {
            let Some(client) = self.clients.get_mut(&branch) else { continue };
            match client.handle_timeout(now) {
                Due::Nothing => {}
                Due::Resend => {
                    let (bytes, to) = (client.bytes.clone(), client.to);
                    self.send(bytes, to);
                }
                Due::Finished => drop(self.clients.remove(&branch)),
                Due::TimedOut => {
                    if let Some(client) = self.clients.remove(&branch) {
                        self.request_timed_out(client.purpose);
                    }
                }
            }
        }
    }

    fn server_timeouts(&mut self, now: Instant) {
        let mut resend = Vec::new();
        self.servers.retain(|_, server| {
            match server.refusal.as_mut().map(|r| (r.handle_timeout(now), r)) {
                Some((Due::Resend, refusal)) => resend.push((refusal.bytes.clone(), refusal.to)),
                Some((Due::TimedOut, _)) => server.refusal = None,
                _ => {}
            }
            server.until > now
        });
        self.out.extend(resend);
    }

    fn session_timeouts(&mut self, now: Instant) {
        let due: Vec<u64> = self
            .sessions
            .iter()
            .filter(|(_, s)| s.poll_timeout().is_some_and(|at| at <= now))
            .map(|(id, _)| *id)
            .collect();
        for id in due {
            let Some(session) = self.sessions.get_mut(&id) else { continue };
            if session.forget_at.is_some_and(|at| at <= now) {
                let key = (session.call_id.clone(), session.local_tag.clone());
                self.dialogs.remove(&key);
                self.sessions.remove(&id);
                continue;
            }
            let step = session.steps.front().filter(|(at, _)| *at <= now).is_some();
            let step = if step { session.steps.pop_front() } else { None };
            match session.ok.as_mut().map(|ok| (ok.handle_timeout(now), ok)) {
                Some((Due::Resend, ok)) => {
                    let (bytes, to) = (ok.bytes.clone(), ok.to);
                    self.send(bytes, to);
                }
                Some((Due::TimedOut, _)) => {
                    session.ok = None;
                    self.bye(id);
                    self.end(id, Side::Network, 408, "the 200 was never acknowledged");
                }
                _ => {}
            }
            if let Some((_, step)) = step {
                self.step(id, step);
            }
        }
    }

    /// Takes in a transaction of the peer's; false when there are too many.
    pub fn admit(&mut self, key: (String, String), to: SocketAddr, session: Option<u64>) -> bool {
        if self.servers.len() >= MAX_SERVERS {
            return false;
        }
        // An INVITE may ring for three minutes before its transaction may be forgotten.
        let keep = if session.is_some() { LINGER * 6 } else { LINGER };
        let until = clock::now().mono + keep;
        self.servers.insert(key, Server { session, last: None, to, refusal: None, until });
        true
    }

    /// A session ends: once; media stops, what was heard stays readable by the handle.
    pub fn end(&mut self, id: u64, by: Side, status: u16, reason: &str) {
        if let Some(session) = self.sessions.get_mut(&id) {
            session.end(clock::now().mono, by, status, reason);
        }
    }

    pub fn tell(&self, event: Event) {
        // Nobody need listen.
        let _ = self.events.send(event);
    }

    /// The sound of one more call.
    pub async fn open_sound(&self, player: Player) -> io::Result<rtp::Session> {
        let seed = self.conditions.seed.wrapping_add(self.next_id << 20);
        let way = Gate::new(self.conditions.network.rtp, seed);
        rtp::Session::open_in(self.wire.local, player, self.conditions.sound, way).await
    }

    /// A fresh id for a session.
    pub fn fresh_id(&mut self) -> u64 {
        self.next_id += 1;
        self.next_id
    }

    /// A handle on a session; None when the user agent is going away.
    pub fn handle(&self, session: &Session) -> Option<Call> {
        Some(Call {
            id: session.id,
            call_id: session.call_id.as_str().into(),
            status: session.status.subscribe(),
            media: session.media.clone(),
            commands: self.commands.upgrade()?,
            invitation: session.invitation.clone(),
        })
    }
}

/// A branch that marks RFC 3261 (section 8.1.1.7).
pub(super) fn branch() -> String {
    format!("z9hG4bK{:016x}", rand::random::<u64>())
}

/// A tag or the left part of a Call-ID.
pub(super) fn token() -> String {
    format!("{:016x}", rand::random::<u64>())
}
