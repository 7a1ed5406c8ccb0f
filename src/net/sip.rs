//! SIP's sockets: UDP, and TCP and TLS with strict framing. Bytes in, bytes out; what they mean is `sip::endpoint`'s
//! business.
//!
//! Who the access rules do not know is closed at once. A TCP connection that has not brought a whole message within
//! 30 s of its opening is closed, one whose next message takes as long too, and one without a byte for ten minutes;
//! there are at most [`MAX_CONNECTIONS`], [`MAX_PER_PEER`] from one address, and of those [`MAX_SILENT_PER_PEER`] that
//! have said nothing: the oldest of the silent give way. A peer that does not read what it is sent is closed when its
//! queue is full. A TLS handshake has 10 s of the first 30; handshakes and encryption are the other runtime's work, so
//! that the switch's thread sees nothing but messages. Left out: WebSocket, and TLS connections of our own opening.

mod table;
mod tcp;
mod tls;
#[cfg(test)]
mod tls_tests;
mod udp;

pub use table::{MAX_CONNECTIONS, MAX_PER_PEER, MAX_SILENT_PER_PEER};
pub use tcp::{Connections, Listen};
pub use tls::Shown;
pub use udp::Udp;

use crate::sip::endpoint::{self, Flow, Transport};
use bytes::Bytes;
use std::{io, net::SocketAddr};
use tokio::sync::mpsc;

/// Where the sockets deliver what they read.
pub type Inbox = mpsc::Sender<endpoint::Input>;

/// Sockets that are bound and not read yet: what could be refused was not.
#[derive(Debug)]
pub struct Bound {
    udp: Vec<std::net::UdpSocket>,
    streams: tcp::Streams,
}

impl Bound {
    /// Binds each address.
    ///
    /// # Errors
    /// An address that cannot be bound, named in the error; then none is.
    pub fn open(udp: &[SocketAddr], streams: Listen) -> io::Result<Self> {
        let udp = udp.iter().map(|address| udp::bind(*address)).collect::<io::Result<_>>()?;
        Ok(Bound { udp, streams: tcp::Streams::bind(streams)? })
    }
}

/// All SIP sockets of a switch.
pub struct Sockets {
    /// The datagram sockets, one a UDP listener.
    pub udp: Udp,
    /// TCP listeners and connections.
    pub connections: Connections,
}

impl Sockets {
    /// Opens every listener.
    ///
    /// # Errors
    /// An address that cannot be bound, named in the error.
    pub async fn open(udp: &[SocketAddr], streams: Listen, inbox: Inbox) -> io::Result<Self> {
        Ok(Sockets { udp: Udp::open(udp)?, connections: Connections::listen(streams, inbox).await? })
    }

    /// Listens at these sockets, too.
    ///
    /// # Errors
    /// The runtime cannot take one.
    pub fn add(&mut self, bound: Bound) -> io::Result<()> {
        bound.udp.into_iter().try_for_each(|socket| self.udp.add(socket))?;
        self.connections.add(bound.streams)
    }

    /// Sends a message on its flow; false when the flow is dead.
    pub fn send(&mut self, flow: &Flow, bytes: Bytes) -> bool {
        match flow.transport {
            Transport::Udp => self.udp.send(flow, &bytes),
            Transport::Tcp | Transport::Tls => self.connections.send(flow, bytes),
            Transport::Ws | Transport::Wss => false,
        }
    }
}

/// An error that names the address and says what to do.
fn in_use(kind: &str, address: SocketAddr, error: io::Error) -> io::Error {
    let advice = match error.kind() {
        io::ErrorKind::AddrInUse => "another program uses it: end that one, or set another port in sip-profiles/",
        io::ErrorKind::AddrNotAvailable => "this machine has no such address: set another in sip-profiles/",
        io::ErrorKind::PermissionDenied => "a port below 1024 needs a privilege (CAP_NET_BIND_SERVICE)",
        _ => "see the system's message",
    };
    io::Error::new(error.kind(), format!("{kind} {address}: {error}; {advice}"))
}
