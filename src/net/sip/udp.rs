//! Datagrams.

use super::in_use;
use crate::sip::endpoint::{Flow, Transport};
use bytes::Bytes;
use socket2::{Domain, Protocol, Socket, Type};
use std::{
    io,
    net::SocketAddr,
    task::{Context, Poll},
};
use tokio::net::UdpSocket;

/// The largest datagram.
const DATAGRAM: usize = 65_535;
/// The kernel's buffers: a storm of INVITEs must fit while a write is under way.
const KERNEL_BUFFER: usize = 4 << 20;

/// The datagram sockets of a switch.
pub struct Udp {
    sockets: Vec<(SocketAddr, UdpSocket)>,
    buffer: Vec<u8>,
    /// Where the next look for readable sockets begins, so that none starves.
    next: usize,
}

impl Udp {
    /// Binds each address.
    ///
    /// # Errors
    /// An address that cannot be bound, named in the error.
    pub fn open(addresses: &[SocketAddr]) -> io::Result<Self> {
        let mut udp = Udp { sockets: Vec::new(), buffer: vec![0; DATAGRAM], next: 0 };
        for address in addresses {
            udp.add(bind(*address)?)?;
        }
        Ok(udp)
    }

    /// Listens at a bound socket, too.
    ///
    /// # Errors
    /// The runtime cannot take it.
    pub fn add(&mut self, socket: std::net::UdpSocket) -> io::Result<()> {
        let socket = UdpSocket::from_std(socket)?;
        self.sockets.push((socket.local_addr()?, socket));
        Ok(())
    }

    /// Closes the socket at this address.
    pub fn close(&mut self, local: SocketAddr) {
        self.sockets.retain(|(address, _)| *address != local);
        self.next = 0;
    }

    /// The addresses bound.
    pub fn local_addrs(&self) -> impl Iterator<Item = SocketAddr> {
        self.sockets.iter().map(|(address, _)| *address)
    }

    /// Waits until one socket is readable; its index.
    pub fn poll_readable(&mut self, cx: &mut Context<'_>) -> Poll<usize> {
        let count = self.sockets.len();
        for step in 0..count {
            let index = (self.next + step) % count;
            if self.sockets[index].1.poll_recv_ready(cx).is_ready() {
                self.next = index + 1;
                return Poll::Ready(index);
            }
        }
        Poll::Pending
    }

    /// Reads one datagram from a readable socket; None when there is no more.
    ///
    /// What is kept of a message keeps the whole of its `Bytes`: each datagram is a buffer of its own, of its size.
    pub fn try_receive(&mut self, index: usize) -> Option<(Flow, Bytes)> {
        let (local, socket) = self.sockets.get(index)?;
        let received = match socket.try_recv_from(&mut self.buffer) {
            // ECONNREFUSED and the like belong to an earlier send; there may be more to read.
            Err(error) if error.kind() != io::ErrorKind::WouldBlock => socket.try_recv_from(&mut self.buffer),
            received => received,
        };
        let (length, remote) = received.ok()?;
        let flow = Flow { transport: Transport::Udp, local: *local, remote, connection: 0 };
        Some((flow, Bytes::copy_from_slice(&self.buffer[..length])))
    }

    /// Sends a datagram; what the kernel cannot take now is lost and sent again by SIP's own timers.
    pub fn send(&self, flow: &Flow, bytes: &[u8]) -> bool {
        let Some((_, socket)) = self.sockets.iter().find(|(local, _)| *local == flow.local) else { return false };
        match socket.try_send_to(bytes, flow.remote) {
            Ok(_) => true,
            Err(error) => error.kind() == io::ErrorKind::WouldBlock,
        }
    }
}

/// Binds an address.
///
/// # Errors
/// It cannot be bound; the error names it.
pub(super) fn bind(address: SocketAddr) -> io::Result<std::net::UdpSocket> {
    bound(address).map_err(|error| in_use("UDP", address, error))
}

fn bound(address: SocketAddr) -> io::Result<std::net::UdpSocket> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
    socket.set_nonblocking(true)?;
    socket.set_recv_buffer_size(KERNEL_BUFFER)?;
    socket.set_send_buffer_size(KERNEL_BUFFER)?;
    socket.bind(&address.into())?;
    Ok(socket.into())
}
