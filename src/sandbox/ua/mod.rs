//! A SIP user agent for simulated people: it registers, calls, answers, talks and listens over real sockets.
//!
//! Messages are built and read by the `rsip` crate and by what stands beside it here, never by the product's own
//! parser, so that a mistake of ours cannot cancel itself out. RFC 3261, 3264, 3550, 4733, 7616.
//!
//! Leaves out: forked answers, PRACK (a required 100rel is refused with 420), session timers, SRTP, RTCP.

pub mod audio;
pub mod call;
mod dialog;
pub mod digest;
mod engine;
pub mod message;
pub mod network;
mod registration;
pub mod rtp;
pub mod sdp;
mod transaction;
pub mod transport;
mod uac;
mod uas;

pub use audio::{Audio, G711};
pub use call::{Call, Ending, Invitation, Phase, Side, Status};
pub use digest::Credentials;
pub use network::Network;
pub use rtp::{Heard, Sign, Sound};
pub use transport::Transport;

use engine::{Command, Engine};
use std::{io, net::SocketAddr, sync::Arc, time::Duration};
use tokio::sync::{Mutex, broadcast, mpsc, oneshot};

/// Why something did not come about.
#[derive(Debug, thiserror::Error)]
pub enum UaError {
    /// The system refuses a socket, or a message.
    #[error("socket: {0}")]
    Io(#[from] io::Error),
    /// Nothing more comes of it.
    #[error("the user agent or the call has ended")]
    Closed,
    /// Names are not resolved here.
    #[error("{0:?} is not a SIP address that leads to an IP address")]
    BadTarget(String),
    /// A final answer other than 2xx.
    #[error("refused: {status} {reason}")]
    Refused {
        /// The SIP status.
        status: u16,
        /// The reason phrase.
        reason: String,
    },
    /// It was given up.
    #[error("timed out waiting for {0}")]
    TimedOut(&'static str),
    /// Keys are sent as RFC 4733 events alone.
    #[error("the peer takes no telephone-event, or the keys are none")]
    NoKeys,
    /// A re-INVITE has to be answered before the next.
    #[error("another offer is under way")]
    OfferPending,
}

/// What happens to an incoming call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Policy {
    /// 180 at once, 200 after so long.
    Answer {
        /// How long it rings.
        after: Duration,
    },
    /// 180, then nothing until [`Call::accept`] or [`Call::refuse`].
    Ring,
    /// 183 with audio, never 200; refused with this status after so long.
    EarlyMedia {
        /// How long the audio lasts.
        refuse_after: Duration,
        /// 300–699.
        status: u16,
    },
    /// Refused with this status after so long (486 is busy).
    Refuse {
        /// How long it rings.
        after: Duration,
        /// 300–699.
        status: u16,
    },
    /// Not a single response.
    Silent,
    /// 302 with this Contact URI.
    Redirect {
        /// The Contact's URI.
        to: String,
    },
}

impl Policy {
    /// 486 at once.
    pub fn busy() -> Policy {
        Policy::Refuse { after: Duration::ZERO, status: 486 }
    }
}

/// What becomes of incoming calls, and what their callers hear.
#[derive(Clone, Debug)]
pub struct Incoming {
    /// What becomes of it.
    pub policy: Policy,
    /// What the caller hears, early or after the answer.
    pub audio: Audio,
}

/// How to place a call.
#[derive(Clone, Debug, Default)]
pub struct CallOptions {
    /// The Request-URI, such as `sip:12345@127.0.0.1:5060`.
    pub target: String,
    /// A number, or a whole name-addr such as `"李" <sip:1@host>`.
    pub from: String,
    /// What the peer hears.
    pub audio: Audio,
    /// Further headers, such as P-Asserted-Identity.
    pub headers: Vec<(String, String)>,
}

/// The circumstances of a user agent.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Conditions {
    /// How much sound its calls make and keep.
    pub sound: Sound,
    /// How bad its ways are.
    pub network: Network,
    /// Of the network's moods.
    pub seed: u64,
}

/// What happens at a user agent.
#[derive(Clone, Debug)]
pub enum Event {
    /// A binding is good for so long; refreshed by itself.
    Registered {
        /// As the registrar granted it.
        expires: Duration,
    },
    /// 0: no answer came.
    RegistrationFailed {
        /// The registrar's final answer.
        status: u16,
    },
    /// Somebody calls; what becomes of it the policy says.
    Incoming(Call),
    /// A request that is no call was answered: its method and body.
    Request {
        /// Such as `MESSAGE`.
        method: String,
        /// As text.
        body: String,
    },
}

/// A user agent at one address; copies of it mean the same one. It ends with its last copy and its last call.
///
/// Its methods err with [`UaError::Closed`] once it has ended, and with what the peer or the system refused.
#[derive(Clone, Debug)]
pub struct Ua {
    local: SocketAddr,
    commands: mpsc::Sender<Command>,
    events: broadcast::Sender<Event>,
    incoming: Arc<Mutex<mpsc::Receiver<Call>>>,
}

impl Ua {
    /// Opens a user agent over UDP; port 0 takes any.
    pub async fn bind(local: SocketAddr) -> Result<Ua, UaError> {
        Ua::bind_over(Transport::Udp, local).await
    }

    /// Opens a user agent over UDP or TCP.
    pub async fn bind_over(transport: Transport, local: SocketAddr) -> Result<Ua, UaError> {
        Ua::bind_in(transport, local, Conditions::default()).await
    }

    /// Opens a user agent whose sound is thinned or whose network is bad.
    pub async fn bind_in(transport: Transport, local: SocketAddr, conditions: Conditions) -> Result<Ua, UaError> {
        let (wire, inbound) = transport::Wire::open(transport, local, conditions.network.sip, conditions.seed).await?;
        let local = wire.local;
        let (commands, received) = mpsc::channel(64);
        let (events, _) = broadcast::channel(256);
        let (calls, incoming) = mpsc::channel(64);
        let engine = Engine::new(wire, conditions, commands.downgrade(), events.clone(), calls);
        tokio::spawn(engine.run(received, inbound));
        Ok(Ua { local, commands, events, incoming: Arc::new(Mutex::new(incoming)) })
    }

    /// The address that it listens at.
    pub fn local(&self) -> SocketAddr {
        self.local
    }

    /// Registers and keeps the binding alive; the password also answers challenges of this server to other requests.
    pub async fn register(&self, registrar: SocketAddr, user: &str, password: &str) -> Result<Duration, UaError> {
        self.register_for(registrar, user, password, Duration::from_secs(300)).await
    }

    /// Registers for this long.
    pub async fn register_for(
        &self,
        registrar: SocketAddr,
        user: &str,
        password: &str,
        expires: Duration,
    ) -> Result<Duration, UaError> {
        let who = Credentials { user: user.to_owned(), password: password.to_owned() };
        self.ask(|reply| Command::Register { registrar, who, expires, reply }).await
    }

    /// Takes the binding back.
    pub async fn unregister(&self) -> Result<(), UaError> {
        self.ask(|reply| Command::Unregister { reply }).await.map(drop)
    }

    /// Is gone at once, as a telephone whose plug was pulled: no word to anybody, all sockets closed.
    pub async fn vanish(&self) {
        let _ = self.commands.send(Command::Vanish).await;
    }

    /// Calls; the handle comes at once, the answer by [`Call::answered`].
    pub async fn call(&self, target: &str, from: &str, audio: Audio) -> Result<Call, UaError> {
        self.call_with(CallOptions { target: target.into(), from: from.into(), audio, headers: vec![] }).await
    }

    /// Calls with further headers.
    pub async fn call_with(&self, options: CallOptions) -> Result<Call, UaError> {
        self.ask(|reply| Command::Call { options, reply }).await
    }

    /// What becomes of incoming calls from now on; at first they are answered after 100 ms with silence.
    pub async fn on_incoming(&self, policy: Policy, audio: Audio) -> Result<(), UaError> {
        let command = Command::Incoming(Incoming { policy, audio });
        self.commands.send(command).await.map_err(|_| UaError::Closed)
    }

    /// The same for calls to one number alone; None takes that back.
    pub async fn on_dialled(&self, number: &str, incoming: Option<Incoming>) -> Result<(), UaError> {
        let command = Command::Dialled(number.to_owned(), incoming);
        self.commands.send(command).await.map_err(|_| UaError::Closed)
    }

    /// The codecs that later offers name, in this order (PCMA before PCMU at first).
    pub async fn set_codecs(&self, codecs: &[G711]) -> Result<(), UaError> {
        self.commands.send(Command::Codecs(codecs.to_vec())).await.map_err(|_| UaError::Closed)
    }

    /// The next incoming call, in the order they came.
    pub async fn next_call(&self) -> Result<Call, UaError> {
        self.incoming.lock().await.recv().await.ok_or(UaError::Closed)
    }

    /// The next incoming call, if one comes within `limit`.
    pub async fn next_call_within(&self, limit: Duration) -> Result<Call, UaError> {
        tokio::time::timeout(limit, self.next_call()).await.map_err(|_| UaError::TimedOut("an incoming call"))?
    }

    /// All that happens from now on; a reader that lags behind by 256 misses the oldest.
    pub fn events(&self) -> broadcast::Receiver<Event> {
        self.events.subscribe()
    }

    async fn ask<T>(&self, command: impl FnOnce(oneshot::Sender<Result<T, UaError>>) -> Command) -> Result<T, UaError> {
        let (reply, answer) = oneshot::channel();
        self.commands.send(command(reply)).await.map_err(|_| UaError::Closed)?;
        answer.await.map_err(|_| UaError::Closed)?
    }
}

#[cfg(test)]
mod tests;
