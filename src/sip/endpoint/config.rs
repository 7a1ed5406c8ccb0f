//! What an endpoint is told at its construction.

use super::{Access, Flow, Transport};
use crate::sip::{message::Method, transaction::Timers};
use std::{collections::HashMap, net::SocketAddr};

/// How an endpoint presents itself and what it bears.
#[derive(Clone, Debug)]
pub struct EndpointConfig {
    /// What Via and Contact name, as `host` or `host:port`, for each local address; the address itself where it is
    /// not listed.
    pub advertised: HashMap<SocketAddr, HostPort>,
    /// The product in User-Agent and Server.
    pub user_agent: String,
    /// The methods that are not answered 405 or 501. ACK and CANCEL are always taken.
    pub allow: Vec<Method>,
    /// The option tags that are not answered 420.
    pub supported: Vec<String>,
    /// The base intervals of all transactions.
    pub timers: Timers,
    /// Who may speak, and how much.
    pub access: Access,
    /// What is refused beyond.
    pub limits: EndpointLimits,
    /// Which of `shards` endpoints this one is; the Call-IDs that it makes are its own by [`super::shard_of`].
    pub shard: usize,
    /// How many endpoints share the traffic.
    pub shards: usize,
}

impl Default for EndpointConfig {
    fn default() -> Self {
        EndpointConfig {
            advertised: HashMap::new(),
            user_agent: concat!("hotline/", env!("CARGO_PKG_VERSION")).into(),
            allow: vec![
                Method::Invite,
                Method::Ack,
                Method::Cancel,
                Method::Bye,
                Method::Options,
                Method::Register,
                Method::Info,
                Method::Update,
                Method::Refer,
                Method::Notify,
                Method::Message,
            ],
            supported: vec!["replaces".into()],
            timers: Timers::default(),
            access: Access::default(),
            limits: EndpointLimits::default(),
            shard: 0,
            shards: 1,
        }
    }
}

/// A host, which may be a name, and its port where it is not the transport's own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostPort {
    /// A name or an address; IPv6 in brackets.
    pub host: String,
    /// None: the transport's own, 5060 or 5061.
    pub port: Option<u16>,
}

impl HostPort {
    fn of(address: SocketAddr) -> Self {
        let host = match address {
            SocketAddr::V4(address) => address.ip().to_string(),
            SocketAddr::V6(address) => format!("[{}]", address.ip()),
        };
        HostPort { host, port: Some(address.port()) }
    }
}

impl std::fmt::Display for HostPort {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.port {
            Some(port) => write!(f, "{}:{port}", self.host),
            None => f.write_str(&self.host),
        }
    }
}

/// New calls and new requests outside dialogs are answered 503 beyond these. What belongs to a dialog is bounded by
/// its dialog alone, so that calls in progress are not disturbed by a flood of new ones.
#[derive(Clone, Copy, Debug)]
pub struct EndpointLimits {
    /// Legs at one time.
    pub legs: usize,
    /// Transactions at one time, those included that linger for 32 s.
    pub transactions: usize,
    /// Server transactions of one dialog at one time, those included that linger for 32 s. A BYE is always taken.
    pub transactions_per_dialog: u16,
    /// Retry-After of the 503, in seconds.
    pub retry_after: u32,
}

impl Default for EndpointLimits {
    fn default() -> Self {
        EndpointLimits { legs: 50_000, transactions: 1_000_000, transactions_per_dialog: 256, retry_after: 5 }
    }
}

impl EndpointConfig {
    /// What Via and Contact name on this flow.
    pub(super) fn advertised(&self, flow: Flow) -> HostPort {
        self.advertised.get(&flow.local).cloned().unwrap_or_else(|| HostPort::of(flow.local))
    }

    /// Whether a method is taken.
    pub(super) fn allows(&self, method: &Method) -> bool {
        self.allow.contains(method)
    }

    /// Allow's value.
    pub(super) fn allow_value(&self) -> String {
        self.allow.iter().map(Method::as_str).collect::<Vec<_>>().join(", ")
    }
}

impl Transport {
    /// The transport's token in Via (RFC 3261 section 18.1.1, RFC 7118 section 5).
    pub(super) fn token(self) -> &'static str {
        match self {
            Transport::Udp => "UDP",
            Transport::Tcp => "TCP",
            Transport::Tls => "TLS",
            Transport::Ws => "WS",
            Transport::Wss => "WSS",
        }
    }

    /// The port where none is written (RFC 3261 section 19.1.2, RFC 7118 section 5.3 for WebSocket's own).
    pub(crate) fn default_port(self) -> u16 {
        match self {
            Transport::Udp | Transport::Tcp => 5060,
            Transport::Tls => 5061,
            Transport::Ws => 80,
            Transport::Wss => 443,
        }
    }

    /// The `transport` parameter of a Contact of ours; None where UDP goes without saying.
    pub(super) fn uri_param(self) -> Option<&'static str> {
        match self {
            Transport::Udp => None,
            Transport::Tcp => Some("tcp"),
            Transport::Tls => Some("tls"),
            Transport::Ws => Some("ws"),
            Transport::Wss => Some("wss"),
        }
    }
}
