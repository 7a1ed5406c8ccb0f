//! Connections: each has a reader that cuts messages out of the stream, and a bounded queue of what is to be written.
//! Over TLS a handshake comes first.

use super::{
    Inbox, Shown, in_use,
    table::{Opened, Sent, Table},
    tls,
};
use crate::{
    net::clock,
    sip::{
        endpoint::{self, Access, Flow, Transport},
        message::{Frame, FrameError, Framer},
    },
};
use bytes::{Bytes, BytesMut};
use socket2::{Domain, Protocol, Socket, Type};
use std::{
    hash::{BuildHasher, RandomState},
    io,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    runtime::Handle,
    sync::mpsc,
    task::AbortHandle,
    time::{timeout, timeout_at},
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

/// How long a connection that is read no more stays open for the answers to what it brought.
const LAST_ANSWERS: Duration = Duration::from_millis(200);
const CONNECT: Duration = Duration::from_secs(4);

/// How long a peer may take.
#[derive(Clone, Copy)]
pub(super) struct Patience {
    /// For the handshake of a TLS connection; it is part of the time for the first message.
    pub(super) handshake: Duration,
    /// For the first message from the opening on, and for each other one from its first byte on; no byte in between
    /// makes it longer.
    pub(super) message: Duration,
    /// Between messages; keep-alives (RFC 5626) count, once there was a message.
    pub(super) idle: Duration,
}

pub(super) const PATIENCE: Patience =
    Patience { handshake: Duration::from_secs(10), message: Duration::from_secs(30), idle: Duration::from_secs(600) };
/// Of failed handshakes one is told of in this time: a flood of them is no flood of lines.
const QUIET: Duration = Duration::from_secs(5);

/// Where connections are taken.
pub struct Listen {
    /// Plain connections.
    pub tcp: Vec<SocketAddr>,
    /// Each with the certificate that it shows.
    pub tls: Vec<(SocketAddr, Arc<Shown>)>,
    /// Where handshakes and encryption are done.
    pub runtime: Handle,
}

struct Shared {
    table: Mutex<Table>,
    patience: Patience,
    inbox: Inbox,
    /// When a failed handshake was told of.
    told: Mutex<Option<Instant>>,
}

impl Shared {
    /// Counts a handshake that failed, and says so now and then.
    fn handshake_failed(&self, remote: SocketAddr, why: &'static str, error: &str) {
        metrics::counter!("hotline_sip_tls_handshakes_failed_total", "why" => why).increment(1);
        let now = clock::now().mono;
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if told.is_none_or(|at| now.duration_since(at) >= QUIET) {
            *told = Some(now);
            tracing::warn!(%remote, why, error, "a TLS handshake failed (TLS 握手失败)");
        }
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        // A panic while the table was locked leaves it usable: its parts are held against each other nowhere.
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Listeners that are bound and not read yet.
#[derive(Debug)]
pub(super) struct Streams {
    tcp: Vec<std::net::TcpListener>,
    tls: Vec<(std::net::TcpListener, Arc<Shown>)>,
    runtime: Handle,
}

impl Streams {
    /// Binds each address.
    ///
    /// # Errors
    /// An address that cannot be bound, named in the error.
    pub(super) fn bind(listen: Listen) -> io::Result<Self> {
        let tls = |(address, shown)| Ok((bind("TLS", address)?, shown));
        Ok(Streams {
            tcp: listen.tcp.into_iter().map(|address| bind("TCP", address)).collect::<io::Result<_>>()?,
            tls: listen.tls.into_iter().map(tls).collect::<io::Result<_>>()?,
            runtime: listen.runtime,
        })
    }
}

/// The connections of a switch.
#[derive(Clone)]
pub struct Connections {
    shared: Arc<Shared>,
    /// Where, whether encrypted, and the task that accepts there.
    listeners: Vec<(SocketAddr, bool, Arc<AbortOnDrop>)>,
}

/// A listener's task, which ends with it.
struct AbortOnDrop(AbortHandle);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Connections {
    /// Listens on each address.
    ///
    /// # Errors
    /// An address that cannot be bound, named in the error.
    pub async fn listen(listen: Listen, inbox: Inbox) -> io::Result<Self> {
        Self::listen_with(listen, inbox, PATIENCE)
    }

    pub(super) fn listen_with(listen: Listen, inbox: Inbox, patience: Patience) -> io::Result<Self> {
        let shared = Arc::new(Shared { table: Mutex::default(), patience, inbox, told: Mutex::default() });
        let mut connections = Connections { shared, listeners: Vec::new() };
        connections.add(Streams::bind(listen)?)?;
        Ok(connections)
    }

    /// Listens at bound sockets, too.
    ///
    /// # Errors
    /// The runtime cannot take one, or the cryptography lacks what TLS needs.
    pub(super) fn add(&mut self, streams: Streams) -> io::Result<()> {
        for listener in streams.tcp {
            let listener = TcpListener::from_std(listener)?;
            let local = listener.local_addr()?;
            let task = tokio::spawn(accept(listener, local, self.shared.clone(), None));
            self.listeners.push((local, false, Arc::new(AbortOnDrop(task.abort_handle()))));
        }
        for (listener, shown) in streams.tls {
            let _elsewhere = streams.runtime.enter();
            let listener = TcpListener::from_std(listener)?;
            let local = listener.local_addr()?;
            let acceptor = tls::acceptor(shown).map_err(io::Error::other)?;
            let task = streams.runtime.spawn(accept(listener, local, self.shared.clone(), Some(acceptor)));
            self.listeners.push((local, true, Arc::new(AbortOnDrop(task.abort_handle()))));
        }
        Ok(())
    }

    /// Listens at this address no more, and closes the connections that came there.
    pub fn close(&mut self, local: SocketAddr) {
        self.listeners.retain(|(address, ..)| *address != local);
        self.shared.table().close(local);
    }

    /// From here on these are who may connect; the others are closed at once.
    pub fn set_access(&self, access: Access) {
        self.shared.table().access = access;
    }

    /// The addresses bound.
    pub fn local_addrs(&self) -> Vec<SocketAddr> {
        self.listeners.iter().map(|(address, ..)| *address).collect()
    }

    /// Of these, where connections are encrypted.
    pub fn encrypted(&self) -> Vec<SocketAddr> {
        self.listeners.iter().filter(|(_, encrypted, _)| *encrypted).map(|(address, ..)| *address).collect()
    }

    /// How many connections are open.
    pub fn count(&self) -> usize {
        self.shared.table().len()
    }

    /// Queues a message on its connection, or opens one; false when that is impossible.
    pub fn send(&self, flow: &Flow, bytes: Bytes) -> bool {
        let sent = self.shared.table().send(flow, bytes);
        if sent == Sent::Open {
            tokio::spawn(connect(self.shared.clone(), *flow));
        }
        sent != Sent::Dead
    }
}

/// Binds an address and listens.
///
/// # Errors
/// It cannot be bound; the error names it.
fn bind(kind: &str, address: SocketAddr) -> io::Result<std::net::TcpListener> {
    bound(address).map_err(|error| in_use(kind, address, error))
}

fn bound(address: SocketAddr) -> io::Result<std::net::TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_nonblocking(true)?;
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    socket.listen(1024)?;
    Ok(socket.into())
}

async fn accept(listener: TcpListener, local: SocketAddr, shared: Arc<Shared>, acceptor: Option<TlsAcceptor>) {
    loop {
        match listener.accept().await {
            Ok((stream, remote)) => {
                let mut table = shared.table();
                if !table.access.allows(local, remote.ip()) {
                    metrics::counter!("hotline_sip_connections_refused_total", "why" => "stranger").increment(1);
                } else if let Some(opened) = table.accept(local, remote) {
                    drop(table);
                    let connection = opened.id;
                    let of = |transport| Flow { transport, local, remote, connection };
                    match acceptor.clone() {
                        None => tokio::spawn(serve(shared.clone(), stream, of(Transport::Tcp), opened, true)),
                        Some(acceptor) => {
                            tokio::spawn(serve_tls(shared.clone(), stream, of(Transport::Tls), opened, acceptor))
                        }
                    };
                } else {
                    metrics::counter!("hotline_sip_connections_refused_total", "why" => "full").increment(1);
                }
            }
            // Out of descriptors: wait for some to be given back.
            Err(error) => {
                tracing::warn!(%error, "a SIP connection could not be accepted");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

async fn connect(shared: Arc<Shared>, flow: Flow) {
    let stream = timeout(CONNECT, TcpStream::connect(flow.remote)).await;
    let opened = if let Ok(Ok(stream)) = stream {
        let opened = shared.table().opened(&flow);
        opened.map(|opened| {
            let flow = Flow { connection: opened.id, ..flow };
            tokio::spawn(serve(shared.clone(), stream, flow, opened, false));
        })
    } else {
        shared.table().not_opened(&flow);
        None
    };
    if opened.is_none() {
        let _ = shared.inbox.send(endpoint::Input::FlowFailed { flow }).await;
    }
}

async fn serve(shared: Arc<Shared>, stream: TcpStream, flow: Flow, opened: Opened, incoming: bool) {
    let _ = stream.set_nodelay(true);
    let patience = if incoming { shared.patience.message } else { shared.patience.idle };
    let (reader, writer) = stream.into_split();
    carry(shared, (reader, writer), flow, opened, incoming, clock::now().mono + patience).await;
}

/// The same after a handshake.
async fn serve_tls(shared: Arc<Shared>, stream: TcpStream, flow: Flow, mut opened: Opened, acceptor: TlsAcceptor) {
    let first = clock::now().mono + shared.patience.message;
    let _ = stream.set_nodelay(true);
    match handshake(&shared, stream, flow, &mut opened, acceptor).await {
        Some(stream) => carry(shared, tokio::io::split(stream), flow, opened, true, first).await,
        None => drop(shared.table().remove(flow.connection)),
    }
}

/// The stream of a telephone that has shaken hands; None where it failed, took too long, or had to give way.
async fn handshake(
    shared: &Shared,
    stream: TcpStream,
    flow: Flow,
    opened: &mut Opened,
    acceptor: TlsAcceptor,
) -> Option<TlsStream<TcpStream>> {
    let shaking = timeout(shared.patience.handshake, acceptor.accept_with(stream, tls::bound));
    let shaken = tokio::select! {
        shaken = shaking => shaken,
        _ = &mut opened.closed => {
            metrics::counter!("hotline_sip_tls_handshakes_failed_total", "why" => "gave_way").increment(1);
            return None;
        }
    };
    match shaken {
        Ok(Ok(stream)) => Some(stream),
        Ok(Err(error)) => {
            shared.handshake_failed(flow.remote, "refused", &error.to_string());
            None
        }
        Err(_) => {
            shared.handshake_failed(flow.remote, "slow", "it was not done in time");
            None
        }
    }
}

/// Carries messages both ways until the connection ends. `first`: until when the first one has to be there.
async fn carry(
    shared: Arc<Shared>,
    (reader, mut writer): (impl AsyncRead + Unpin, impl AsyncWrite + Unpin),
    flow: Flow,
    opened: Opened,
    incoming: bool,
    first: Instant,
) {
    let Opened { queue, mut outbox, closed, .. } = opened;
    let write = async move {
        while let Some(bytes) = outbox.recv().await {
            if writer.write_all(&bytes).await.is_err() || writer.flush().await.is_err() {
                return;
            }
        }
        let _ = writer.shutdown().await;
    };
    // The reader's end closes the connection once what was queued has been written; the writer's end, and being taken
    // out of the table, at once.
    let read = async {
        read(reader, &shared, flow, &queue, incoming, first).await;
        tokio::time::sleep(LAST_ANSWERS).await;
        let _open = shared.table().remove(flow.connection);
        drop(queue);
        tokio::time::sleep(Duration::from_secs(1)).await;
    };
    tokio::select! {
        () = write => {}
        () = read => {}
        _ = closed => {}
    }
    drop(shared.table().remove(flow.connection));
    let _ = shared.inbox.send(endpoint::Input::FlowFailed { flow }).await;
}

/// Reads until the stream ends, takes too long, or cannot be framed.
async fn read(
    mut reader: impl AsyncRead + Unpin,
    shared: &Shared,
    flow: Flow,
    queue: &mpsc::Sender<Bytes>,
    incoming: bool,
    first: Instant,
) {
    let mut framer = Framer::default();
    let mut buffer = BytesMut::with_capacity(16 * 1024);
    let mut silent = incoming;
    let mut unfinished = false;
    let mut deadline = first;
    loop {
        buffer.clear();
        match timeout_at(deadline.into(), reader.read_buf(&mut buffer)).await {
            Ok(Ok(length)) if length > 0 => framer.extend(&buffer),
            _ => return,
        }
        let mut messages = 0;
        loop {
            match framer.next_frame() {
                Ok(None) => break,
                Ok(Some(Frame::Pong)) => {}
                Ok(Some(Frame::Ping)) => {
                    if queue.try_send(Bytes::from_static(b"\r\n")).is_err() {
                        return;
                    }
                }
                Ok(Some(Frame::Message(bytes))) => {
                    messages += 1;
                    if std::mem::take(&mut silent) {
                        shared.table().spoke(flow.connection);
                    }
                    if shared.inbox.send(endpoint::Input::Packet { flow, bytes }).await.is_err() {
                        return;
                    }
                }
                Err(FrameError(error)) => {
                    // Ambiguous framing: say so where that is possible, then close (RFC 3261 section 18.3).
                    metrics::counter!("hotline_sip_unframed_total").increment(1);
                    if let Some(response) = error.response() {
                        let tag = RandomState::new().hash_one(flow.connection);
                        let _ = queue.try_send(response.with_to_tag(&format!("{tag:016x}")).to_bytes());
                    }
                    return;
                }
            }
        }
        if silent {
            continue;
        }
        let begun = framer.buffered() > 0;
        if !begun {
            deadline = clock::now().mono + shared.patience.idle;
        } else if !unfinished || messages > 0 {
            deadline = clock::now().mono + shared.patience.message;
        }
        unfinished = begun;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sip::endpoint::Rule;

    const MESSAGE: &[u8] = b"OPTIONS sip:h SIP/2.0\r\nContent-Length: 0\r\n\r\n";

    async fn listening(message_ms: u64, idle_ms: u64) -> (Connections, mpsc::Receiver<endpoint::Input>) {
        let (inbox, packets) = mpsc::channel(100);
        let ms = Duration::from_millis;
        let patience = Patience { handshake: ms(message_ms), message: ms(message_ms), idle: ms(idle_ms) };
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let listen = Listen { tcp: vec![any], tls: Vec::new(), runtime: Handle::current() };
        (Connections::listen_with(listen, inbox, patience).expect("a free port"), packets)
    }

    async fn client(connections: &Connections) -> TcpStream {
        TcpStream::connect(connections.local_addrs()[0]).await.expect("it listens")
    }

    /// Sends `bytes` again and again until the connection is closed; how long that took.
    async fn feed(mut stream: TcpStream, bytes: &[u8]) -> Duration {
        let began = clock::now().mono;
        let mut answer = [0; 64];
        for piece in bytes.chunks(1).cycle() {
            if stream.write_all(piece).await.is_err() {
                break;
            }
            if let Ok(Ok(0) | Err(_)) = timeout(Duration::from_millis(10), stream.read(&mut answer)).await {
                break;
            }
            assert!(began.elapsed() < Duration::from_secs(20), "it is never closed");
        }
        began.elapsed()
    }

    #[tokio::test]
    async fn neither_crumbs_nor_pings_keep_a_silent_connection_open() {
        let (connections, _packets) = listening(300, 60_000).await;
        for bytes in [&b"\r\n\r\n"[..], b"OPTIONS"] {
            let took = feed(client(&connections).await, bytes).await;
            assert!(took >= Duration::from_millis(250), "{took:?}");
        }
    }

    #[tokio::test]
    async fn each_message_has_its_time_from_its_first_byte_on() {
        let (connections, mut packets) = listening(300, 60_000).await;
        let mut stream = client(&connections).await;
        stream.write_all(MESSAGE).await.expect("it is open");
        assert!(matches!(packets.recv().await, Some(endpoint::Input::Packet { .. })));
        // Idle beyond a message's time, and still open; then crumbs of the next message.
        assert!(timeout(Duration::from_millis(600), packets.recv()).await.is_err());
        assert_eq!(connections.count(), 1);
        feed(stream, b"OPTIONS").await;
        assert!(matches!(packets.recv().await, Some(endpoint::Input::FlowFailed { .. })));
        assert_eq!(connections.count(), 0);
    }

    #[tokio::test]
    async fn pings_keep_open_who_has_spoken() {
        let (connections, mut packets) = listening(100, 400).await;
        let mut stream = client(&connections).await;
        stream.write_all(MESSAGE).await.expect("it is open");
        packets.recv().await;
        for _ in 0..8 {
            stream.write_all(b"\r\n\r\n").await.expect("it is open");
            let mut pong = [0; 2];
            stream.read_exact(&mut pong).await.expect("a pong");
            assert_eq!(&pong, b"\r\n");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        assert_eq!(connections.count(), 1);
        assert!(matches!(packets.recv().await, Some(endpoint::Input::FlowFailed { .. })), "then idle");
    }

    #[tokio::test]
    async fn a_stranger_is_closed_at_once() {
        let (connections, mut packets) = listening(60_000, 60_000).await;
        let local = connections.local_addrs()[0];
        let rule = |network: [u8; 4]| Rule { local, networks: vec![(network.into(), 32)], transactions_per_peer: 9 };
        connections.set_access(Access::of(vec![rule([192, 0, 2, 1])]));
        let mut stream = client(&connections).await;
        assert!(!matches!(stream.read(&mut [0; 8]).await, Ok(1..)), "closed");
        assert_eq!(connections.count(), 0);
        connections.set_access(Access::of(vec![rule([127, 0, 0, 1])]));
        client(&connections).await.write_all(MESSAGE).await.expect("it is open");
        assert!(matches!(packets.recv().await, Some(endpoint::Input::Packet { .. })));
    }

    #[tokio::test]
    async fn a_connection_that_cannot_be_opened_fails_its_flow_once() {
        let (connections, mut packets) = listening(60_000, 60_000).await;
        let unused = std::net::TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a free port");
        let flow =
            Flow { transport: Transport::Tcp, local: connections.local_addrs()[0], remote: unused, connection: 0 };
        assert!(connections.send(&flow, Bytes::from_static(MESSAGE)));
        assert!(connections.send(&flow, Bytes::from_static(MESSAGE)));
        assert!(matches!(packets.recv().await, Some(endpoint::Input::FlowFailed { flow: failed }) if failed == flow));
        assert!(packets.try_recv().is_err());
    }
}
