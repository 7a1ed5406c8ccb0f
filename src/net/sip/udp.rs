//! Datagrams.

use super::in_use;
use crate::sip::endpoint::{Flow, Transport};
use bytes::{Bytes, BytesMut};
use socket2::{Domain, Protocol, Socket, Type};
use std::{
    io,
    net::SocketAddr,
    task::{Context, Poll},
};
use tokio::net::UdpSocket;

/// The largest datagram.
const DATAGRAM: usize = 65_535;
/// What the buffer is grown by when it runs out; messages are slices of it, not copies.
const CHUNK: usize = 4 * DATAGRAM;
/// The kernel's buffers: a storm of INVITEs must fit while a write is under way.
const KERNEL_BUFFER: usize = 4 << 20;

/// The datagram sockets of a switch.
pub struct Udp {
    sockets: Vec<(SocketAddr, UdpSocket)>,
    buffer: BytesMut,
    /// Where the next look for readable sockets begins, so that none starves.
    next: usize,
}

impl Udp {
    /// Binds each address.
    ///
    /// # Errors
    /// An address that cannot be bound, named in the error.
    pub fn open(addresses: &[SocketAddr]) -> io::Result<Self> {
        let mut sockets = Vec::new();
        for address in addresses {
            let socket = bind(*address).map_err(|error| in_use("UDP", *address, error))?;
            sockets.push((socket.local_addr()?, socket));
        }
        Ok(Udp { sockets, buffer: BytesMut::with_capacity(CHUNK), next: 0 })
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
    pub fn try_receive(&mut self, index: usize) -> Option<(Flow, Bytes)> {
        let (local, socket) = self.sockets.get(index)?;
        if self.buffer.capacity() < DATAGRAM {
            self.buffer = BytesMut::with_capacity(CHUNK);
        }
        match socket.try_recv_buf_from(&mut self.buffer) {
            Ok((length, remote)) => {
                let flow = Flow { transport: Transport::Udp, local: *local, remote, connection: 0 };
                Some((flow, self.buffer.split_to(length).freeze()))
            }
            // ECONNREFUSED and the like belong to an earlier send; there may be more to read.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => None,
            Err(_) => self.try_receive_again(index),
        }
    }

    fn try_receive_again(&mut self, index: usize) -> Option<(Flow, Bytes)> {
        let (local, socket) = self.sockets.get(index)?;
        let (length, remote) = socket.try_recv_buf_from(&mut self.buffer).ok()?;
        let flow = Flow { transport: Transport::Udp, local: *local, remote, connection: 0 };
        Some((flow, self.buffer.split_to(length).freeze()))
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

fn bind(address: SocketAddr) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
    socket.set_nonblocking(true)?;
    socket.set_recv_buffer_size(KERNEL_BUFFER)?;
    socket.set_send_buffer_size(KERNEL_BUFFER)?;
    socket.bind(&address.into())?;
    UdpSocket::from_std(socket.into())
}
