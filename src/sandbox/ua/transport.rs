//! The sockets under a simulated user agent: one UDP socket, or TCP connections made and taken at one address.

use super::{
    message::{Frame, framed},
    network::{Gate, Weather},
};
use std::{
    collections::HashMap,
    io,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream, UdpSocket},
    sync::mpsc,
    task::JoinSet,
    time::timeout,
};

/// What SIP runs over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Transport {
    /// One socket for all.
    #[default]
    Udp,
    /// One connection a peer, taken or made.
    Tcp,
}

impl Transport {
    /// As a Via names it.
    pub fn name(self) -> &'static str {
        match self {
            Transport::Udp => "UDP",
            Transport::Tcp => "TCP",
        }
    }
}

/// One message and where it came from.
pub type Inbound = (Vec<u8>, SocketAddr);

/// The open sockets; all their tasks end when this is dropped.
#[derive(Debug)]
pub struct Wire {
    /// What it runs over.
    pub transport: Transport,
    /// Our address, whose port the system chose where 0 was asked for.
    pub local: SocketAddr,
    udp: Option<(Arc<UdpSocket>, Gate)>,
    connections: Connections,
    inbound: mpsc::Sender<Inbound>,
    tasks: JoinSet<()>,
}

type Connections = Arc<Mutex<HashMap<SocketAddr, mpsc::Sender<Vec<u8>>>>>;

impl Wire {
    /// Binds `local` (port 0: any) and delivers what comes in.
    pub async fn open(
        transport: Transport,
        local: SocketAddr,
        weather: Weather,
        seed: u64,
    ) -> io::Result<(Wire, mpsc::Receiver<Inbound>)> {
        let (inbound, delivered) = mpsc::channel(256);
        let connections = Connections::default();
        let mut tasks = JoinSet::new();
        let (local, udp) = match transport {
            Transport::Udp => {
                let socket = Arc::new(UdpSocket::bind(local).await?);
                let way_in = Gate::new(weather, seed ^ 1);
                tasks.spawn(read_datagrams(socket.clone(), inbound.clone(), way_in));
                (socket.local_addr()?, Some((socket, Gate::new(weather, seed))))
            }
            Transport::Tcp => {
                let listener = TcpListener::bind(local).await?;
                let local = listener.local_addr()?;
                tasks.spawn(accept(listener, connections.clone(), inbound.clone()));
                (local, None)
            }
        };
        Ok((Wire { transport, local, udp, connections, inbound, tasks }, delivered))
    }

    /// Sends one message; what cannot be sent is lost, as on any network.
    pub async fn send(&mut self, bytes: &[u8], to: SocketAddr) {
        while self.tasks.try_join_next().is_some() {}
        if let Some((socket, way)) = &mut self.udp {
            let (delays, copies) = way.copies();
            for delay in delays.into_iter().take(copies) {
                if delay.is_zero() {
                    let _ = socket.send_to(bytes, to).await;
                    continue;
                }
                let (socket, bytes) = (socket.clone(), bytes.to_vec());
                self.tasks.spawn(async move {
                    tokio::time::sleep(delay).await;
                    let _ = socket.send_to(&bytes, to).await;
                });
            }
            return;
        }
        let known = self.connections.lock().unwrap_or_else(PoisonError::into_inner).get(&to).cloned();
        let sender = match known.filter(|sender| !sender.is_closed()) {
            Some(sender) => sender,
            None => match timeout(Duration::from_secs(2), TcpStream::connect(to)).await {
                Ok(Ok(stream)) => {
                    let sender = register(&self.connections, to);
                    self.tasks.spawn(converse(stream, to, sender.1, self.inbound.clone()));
                    sender.0
                }
                _ => return,
            },
        };
        let _ = sender.try_send(bytes.to_vec());
    }
}

fn register(connections: &Connections, peer: SocketAddr) -> (mpsc::Sender<Vec<u8>>, mpsc::Receiver<Vec<u8>>) {
    let (sender, receiver) = mpsc::channel(64);
    let mut connections = connections.lock().unwrap_or_else(PoisonError::into_inner);
    connections.retain(|_, sender| !sender.is_closed());
    connections.insert(peer, sender.clone());
    (sender, receiver)
}

async fn read_datagrams(socket: Arc<UdpSocket>, inbound: mpsc::Sender<Inbound>, mut way: Gate) {
    let mut buffer = vec![0u8; 65_536];
    loop {
        match socket.recv_from(&mut buffer).await {
            Ok((length, source)) => {
                for _ in 0..way.copies().1 {
                    if inbound.send((buffer[..length].to_vec(), source)).await.is_err() {
                        return;
                    }
                }
            }
            Err(_) => tokio::time::sleep(Duration::from_millis(1)).await,
        }
    }
}

async fn accept(listener: TcpListener, connections: Connections, inbound: mpsc::Sender<Inbound>) {
    let mut tasks = JoinSet::new();
    loop {
        while tasks.try_join_next().is_some() {}
        match listener.accept().await {
            Ok((stream, peer)) if tasks.len() < 256 => {
                let (_, receiver) = register(&connections, peer);
                tasks.spawn(converse(stream, peer, receiver, inbound.clone()));
            }
            Ok(_) => {}
            Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
        }
    }
}

async fn converse(
    mut stream: TcpStream,
    peer: SocketAddr,
    mut outbound: mpsc::Receiver<Vec<u8>>,
    inbound: mpsc::Sender<Inbound>,
) {
    let (mut reader, mut writer) = stream.split();
    let mut buffer: Vec<u8> = Vec::new();
    let mut chunk = [0u8; 8192];
    loop {
        tokio::select! {
            read = reader.read(&mut chunk) => match read {
                Ok(length @ 1..) => {
                    buffer.extend(&chunk[..length]);
                    loop {
                        // Keep-alives (RFC 5626 section 3.5.1) stand between messages.
                        let blank = buffer.iter().take_while(|b| matches!(b, b'\r' | b'\n')).count();
                        buffer.drain(..blank);
                        match framed(&buffer) {
                            Frame::Whole(total) => {
                                let message = buffer.drain(..total).collect();
                                if inbound.send((message, peer)).await.is_err() {
                                    return;
                                }
                            }
                            Frame::More => break,
                            Frame::Broken => return,
                        }
                    }
                }
                _ => return,
            },
            message = outbound.recv() => match message {
                Some(message) => if writer.write_all(&message).await.is_err() {
                    return;
                },
                None => return,
            },
        }
    }
}
