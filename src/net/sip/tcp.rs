//! Connections: each has a reader that cuts messages out of the stream, and a bounded queue of what is to be written.

use super::{Inbox, in_use};
use crate::sip::{
    endpoint::{self, Flow, Transport},
    message::{Frame, FrameError, Framer},
};
use bytes::{Bytes, BytesMut};
use socket2::{Domain, Protocol, Socket, Type};
use std::{
    collections::HashMap,
    hash::{BuildHasher, RandomState},
    io,
    net::{IpAddr, SocketAddr},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::mpsc,
    time::timeout,
};

/// The most connections at once.
pub const MAX_CONNECTIONS: usize = 8_192;
/// The most from one address.
pub const MAX_PER_PEER: usize = 4_096;
/// Messages that wait for a slow reader before its connection is closed.
const WRITE_QUEUE: usize = 512;
/// A new connection brings its first message within this time.
const FIRST_MESSAGE: Duration = Duration::from_secs(30);
/// A connection without a byte for this long is closed; keep-alives (RFC 5626) count.
const IDLE: Duration = Duration::from_secs(600);
/// How long a connection that is read no more stays open for the answers to what it brought.
const LAST_ANSWERS: Duration = Duration::from_millis(200);
const CONNECT: Duration = Duration::from_secs(4);

type Table = HashMap<u64, (SocketAddr, SocketAddr, mpsc::Sender<Bytes>)>;

struct Shared {
    open: Mutex<Table>,
    next: AtomicU64,
    inbox: Inbox,
}

impl Shared {
    fn table(&self) -> MutexGuard<'_, Table> {
        // A panic while the table was locked leaves it usable: every change is a single insert or remove.
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The connections of a switch.
#[derive(Clone)]
pub struct Connections {
    shared: Arc<Shared>,
    local_addrs: Vec<SocketAddr>,
}

impl Connections {
    /// Listens on each address.
    ///
    /// # Errors
    /// An address that cannot be bound, named in the error.
    pub async fn listen(addresses: &[SocketAddr], inbox: Inbox) -> io::Result<Self> {
        let shared = Arc::new(Shared { open: Mutex::default(), next: AtomicU64::new(1), inbox });
        let mut local_addrs = Vec::new();
        for address in addresses {
            let listener = bind(*address).map_err(|error| in_use("TCP", *address, error))?;
            let local = listener.local_addr()?;
            local_addrs.push(local);
            tokio::spawn(accept(listener, local, shared.clone()));
        }
        Ok(Connections { shared, local_addrs })
    }

    /// The addresses bound.
    pub fn local_addrs(&self) -> &[SocketAddr] {
        &self.local_addrs
    }

    /// How many connections are open.
    pub fn count(&self) -> usize {
        self.shared.table().len()
    }

    /// Queues a message on its connection, or opens one; false when that is impossible.
    pub fn send(&self, flow: &Flow, bytes: Bytes) -> bool {
        let mut table = self.shared.table();
        let existing = match flow.connection {
            // A flow without a number means any connection to that peer.
            0 => table.iter().find(|(_, (_, remote, _))| *remote == flow.remote).map(|(id, _)| *id),
            id => Some(id),
        };
        if let Some(id) = existing {
            let Some((_, _, queue)) = table.get(&id) else { return false };
            if queue.try_send(bytes).is_ok() {
                return true;
            }
            // Dropping the queue ends the writer, which closes the connection.
            table.remove(&id);
            return false;
        }
        drop(table);
        tokio::spawn(connect(self.shared.clone(), *flow, bytes));
        true
    }
}

fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_nonblocking(true)?;
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    socket.listen(1024)?;
    TcpListener::from_std(socket.into())
}

async fn accept(listener: TcpListener, local: SocketAddr, shared: Arc<Shared>) {
    loop {
        match listener.accept().await {
            Ok((stream, remote)) => {
                if may_open(&shared, remote.ip()) {
                    adopt(&shared, stream, local, remote);
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

fn may_open(shared: &Shared, peer: IpAddr) -> bool {
    let table = shared.table();
    table.len() < MAX_CONNECTIONS && table.values().filter(|(_, remote, _)| remote.ip() == peer).count() < MAX_PER_PEER
}

fn adopt(shared: &Arc<Shared>, stream: TcpStream, local: SocketAddr, remote: SocketAddr) -> mpsc::Sender<Bytes> {
    let id = shared.next.fetch_add(1, Ordering::Relaxed);
    let (queue, outbox) = mpsc::channel(WRITE_QUEUE);
    shared.table().insert(id, (local, remote, queue.clone()));
    let flow = Flow { transport: Transport::Tcp, local, remote, connection: id };
    tokio::spawn(serve(shared.clone(), stream, flow, queue.clone(), outbox));
    queue
}

async fn connect(shared: Arc<Shared>, flow: Flow, first: Bytes) {
    match timeout(CONNECT, TcpStream::connect(flow.remote)).await {
        Ok(Ok(stream)) => {
            let queue = adopt(&shared, stream, flow.local, flow.remote);
            let _ = queue.send(first).await;
        }
        _ => drop(shared.inbox.send(endpoint::Input::FlowFailed { flow }).await),
    }
}

async fn serve(
    shared: Arc<Shared>,
    stream: TcpStream,
    flow: Flow,
    queue: mpsc::Sender<Bytes>,
    mut outbox: mpsc::Receiver<Bytes>,
) {
    let _ = stream.set_nodelay(true);
    let (reader, mut writer) = stream.into_split();
    let write = async move {
        while let Some(bytes) = outbox.recv().await {
            if writer.write_all(&bytes).await.is_err() {
                return;
            }
        }
        let _ = writer.shutdown().await;
    };
    // The reader's end closes the connection once what was queued has been written; the writer's end at once.
    let read = async {
        read(reader, &shared, flow, &queue).await;
        tokio::time::sleep(LAST_ANSWERS).await;
        shared.table().remove(&flow.connection);
        drop(queue);
    };
    tokio::select! {
        () = write => {}
        () = async { read.await; tokio::time::sleep(Duration::from_secs(1)).await } => {}
    }
    shared.table().remove(&flow.connection);
    let _ = shared.inbox.send(endpoint::Input::FlowFailed { flow }).await;
}

/// Reads until the stream ends, idles, or cannot be framed.
async fn read(mut reader: tokio::net::tcp::OwnedReadHalf, shared: &Shared, flow: Flow, queue: &mpsc::Sender<Bytes>) {
    let mut framer = Framer::default();
    let mut buffer = BytesMut::with_capacity(16 * 1024);
    let mut patience = FIRST_MESSAGE;
    loop {
        buffer.clear();
        match timeout(patience, reader.read_buf(&mut buffer)).await {
            Ok(Ok(length)) if length > 0 => framer.extend(&buffer),
            _ => return,
        }
        loop {
            match framer.next_frame() {
                Ok(None) => break,
                Ok(Some(Frame::Pong)) => {}
                Ok(Some(Frame::Ping)) => {
                    patience = IDLE;
                    if queue.try_send(Bytes::from_static(b"\r\n")).is_err() {
                        return;
                    }
                }
                Ok(Some(Frame::Message(bytes))) => {
                    patience = IDLE;
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
    }
}
