//! TLS on real sockets: against a client of the same library, and against what is no client at all.

use super::{
    Connections, Listen, MAX_SILENT_PER_PEER, Shown,
    tcp::{PATIENCE, Patience},
};
use crate::sip::endpoint::{self, Access, Flow, Rule, Transport};
use bytes::Bytes;
use std::{net::SocketAddr, sync::Arc, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    runtime::Handle,
    sync::mpsc,
    time::timeout,
};
use tokio_rustls::{
    TlsConnector,
    client::TlsStream,
    rustls::{
        ClientConfig, RootCertStore, SupportedProtocolVersion,
        crypto::ring,
        pki_types::{CertificateDer, PrivateKeyDer, ServerName},
        sign::CertifiedKey,
        version::{TLS12, TLS13},
    },
};

const MESSAGE: &[u8] = b"OPTIONS sip:h SIP/2.0\r\nContent-Length: 0\r\n\r\n";
const SOON: Duration = Duration::from_secs(20);

/// A certificate for "localhost" that only vouches for itself.
fn certificate() -> Arc<CertifiedKey> {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).expect("a certificate");
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).expect("a key");
    let signing = ring::sign::any_supported_type(&key).expect("a key that signs");
    Arc::new(CertifiedKey::new(vec![made.cert.der().clone()], signing))
}

struct Listening {
    connections: Connections,
    packets: mpsc::Receiver<endpoint::Input>,
    shown: Arc<Shown>,
    certificate: CertificateDer<'static>,
}

fn listening(patience: Patience) -> Listening {
    let keyed = certificate();
    let certificate = keyed.cert[0].clone();
    let shown = Arc::new(Shown::new(keyed));
    let (inbox, packets) = mpsc::channel(100);
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    let listen = Listen { tcp: Vec::new(), tls: vec![(any, shown.clone())], runtime: Handle::current() };
    let connections = Connections::listen_with(listen, inbox, patience).expect("a free port");
    Listening { connections, packets, shown, certificate }
}

impl Listening {
    async fn socket(&self) -> TcpStream {
        TcpStream::connect(self.connections.local_addrs()[0]).await.expect("it listens")
    }

    /// A telephone that trusts this certificate alone.
    async fn telephone(
        &self,
        trusted: &CertificateDer<'static>,
        versions: &[&'static SupportedProtocolVersion],
    ) -> std::io::Result<TlsStream<TcpStream>> {
        let mut roots = RootCertStore::empty();
        roots.add(trusted.clone()).expect("a certificate");
        let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_protocol_versions(versions)
            .expect("known versions")
            .with_root_certificates(roots)
            .with_no_client_auth();
        let name = ServerName::try_from("localhost").expect("a name");
        TlsConnector::from(Arc::new(config)).connect(name, self.socket().await).await
    }

    async fn message(&mut self) -> (Flow, Bytes) {
        match timeout(SOON, self.packets.recv()).await {
            Ok(Some(endpoint::Input::Packet { flow, bytes })) => (flow, bytes),
            other => panic!("no message: {other:?}"),
        }
    }
}

async fn is_closed(stream: &mut TcpStream) {
    let mut rest = Vec::new();
    let read = timeout(SOON, stream.read_to_end(&mut rest)).await.expect("it is closed");
    drop(read);
}

#[tokio::test]
async fn messages_go_both_ways_over_both_versions() {
    let mut listening = listening(PATIENCE);
    for version in [&TLS13, &TLS12] {
        let mut telephone = listening.telephone(&listening.certificate, &[version]).await.expect("a handshake");
        // A message of the largest kind, and one that comes in the same record as its beginning.
        let long = format!("MESSAGE sip:h SIP/2.0\r\nContent-Length: 60000\r\n\r\n{}", "x".repeat(60_000));
        telephone.write_all(&[long.as_bytes(), MESSAGE].concat()).await.expect("it is open");
        let (flow, bytes) = listening.message().await;
        assert_eq!((flow.transport, bytes.len()), (Transport::Tls, long.len()));
        assert_eq!(listening.message().await, (flow, Bytes::from_static(MESSAGE)));
        // Back over the same connection, more than one record at once.
        assert!(listening.connections.send(&flow, Bytes::from(long.clone())));
        assert!(listening.connections.send(&flow, Bytes::from_static(b"SIP/2.0 200 OK\r\n\r\n")));
        let mut answer = vec![0; long.len() + 18];
        timeout(SOON, telephone.read_exact(&mut answer)).await.expect("in time").expect("an answer");
        assert!(answer.starts_with(long.as_bytes()) && answer.ends_with(b"200 OK\r\n\r\n"));
        // A keep-alive (RFC 5626 section 3.5.1).
        telephone.write_all(b"\r\n\r\n").await.expect("it is open");
        let mut pong = [0; 2];
        timeout(SOON, telephone.read_exact(&mut pong)).await.expect("in time").expect("a pong");
        telephone.shutdown().await.expect("a close");
        assert!(matches!(timeout(SOON, listening.packets.recv()).await,
            Ok(Some(endpoint::Input::FlowFailed { flow: failed })) if failed == flow));
        assert!(!listening.connections.send(&flow, Bytes::from_static(MESSAGE)), "it is gone");
    }
}

#[tokio::test]
async fn no_connection_is_opened_to_a_telephone() {
    let listening = listening(PATIENCE);
    let local = listening.connections.local_addrs()[0];
    let flow = Flow { transport: Transport::Tls, local, remote: local, connection: 0 };
    assert!(!listening.connections.send(&flow, Bytes::from_static(MESSAGE)));
    assert_eq!(listening.connections.count(), 0);
}

#[tokio::test]
async fn who_does_not_shake_hands_is_closed() {
    let short = Duration::from_millis(300);
    let listening = listening(Patience { handshake: short, ..PATIENCE });
    // Silence, and half of a hello.
    let mut silent = listening.socket().await;
    let mut slow = listening.socket().await;
    slow.write_all(&[22, 3, 1, 2, 0, 1, 0, 1, 0xfc]).await.expect("it is open");
    is_closed(&mut silent).await;
    is_closed(&mut slow).await;
    assert_eq!(listening.connections.count(), 0);
}

#[tokio::test]
async fn after_the_handshake_the_first_message_has_its_time() {
    let patience = Patience { message: Duration::from_millis(400), ..PATIENCE };
    let listening = listening(patience);
    let mut telephone = listening.telephone(&listening.certificate, &[&TLS13]).await.expect("a handshake");
    let mut rest = Vec::new();
    timeout(SOON, telephone.read_to_end(&mut rest)).await.expect("closed").expect("with a goodbye");
    assert!(rest.is_empty());
}

#[tokio::test]
async fn what_is_no_hello_is_refused_and_harms_nobody() {
    let mut listening = listening(PATIENCE);
    let mut telephone = listening.telephone(&listening.certificate, &[&TLS13]).await.expect("a handshake");
    for garbage in
        [&b"REGISTER sip:h SIP/2.0\r\nContent-Length: 0\r\n\r\n"[..], b"GET / HTTP/1.1\r\n\r\n", &[0xff; 70_000]]
    {
        let mut stranger = listening.socket().await;
        // It may be closed while it still writes.
        let _ = stranger.write_all(garbage).await;
        is_closed(&mut stranger).await;
    }
    telephone.write_all(MESSAGE).await.expect("it is open");
    assert_eq!(listening.message().await.1, MESSAGE);
    assert_eq!(listening.connections.count(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_thousand_half_open_connections_keep_nobody_out() {
    let mut listening = listening(PATIENCE);
    let mut half_open = Vec::new();
    for _ in 0..2_000 {
        let mut stream = listening.socket().await;
        let _ = stream.write_all(&[22, 3, 1]).await;
        half_open.push(stream);
    }
    let mut telephone = listening.telephone(&listening.certificate, &[&TLS13]).await.expect("a handshake");
    telephone.write_all(MESSAGE).await.expect("it is open");
    assert_eq!(listening.message().await.1, MESSAGE);
    assert!(listening.connections.count() <= MAX_SILENT_PER_PEER + 1, "{}", listening.connections.count());
    // The oldest had to give way.
    is_closed(&mut half_open[0]).await;
}

#[tokio::test]
async fn a_new_certificate_is_seen_by_new_handshakes_alone() {
    let mut listening = listening(PATIENCE);
    let old = listening.certificate.clone();
    let mut before = listening.telephone(&old, &[&TLS13]).await.expect("a handshake");
    let keyed = certificate();
    let new = keyed.cert[0].clone();
    assert!(!listening.shown.is(&keyed));
    listening.shown.exchange(keyed);
    assert!(listening.telephone(&old, &[&TLS13]).await.is_err(), "the old one is shown no more");
    listening.telephone(&new, &[&TLS13]).await.expect("a handshake");
    before.write_all(MESSAGE).await.expect("it is open");
    assert_eq!(listening.message().await.1, MESSAGE);
}

#[tokio::test]
async fn a_stranger_gets_no_handshake() {
    let listening = listening(PATIENCE);
    let local = listening.connections.local_addrs()[0];
    let rule = Rule { local, networks: vec![([192, 0, 2, 1].into(), 32)], transactions_per_peer: 9 };
    listening.connections.set_access(Access::of(vec![rule]));
    assert!(listening.telephone(&listening.certificate, &[&TLS13]).await.is_err());
    assert_eq!(listening.connections.count(), 0);
}

#[tokio::test]
async fn who_does_not_read_is_closed() {
    let mut listening = listening(PATIENCE);
    let mut telephone = listening.telephone(&listening.certificate, &[&TLS13]).await.expect("a handshake");
    telephone.write_all(MESSAGE).await.expect("it is open");
    let (flow, _) = listening.message().await;
    let large = Bytes::from(vec![b'x'; 60_000]);
    let mut sent = 0;
    while listening.connections.send(&flow, large.clone()) {
        sent += 1;
        assert!(sent < 20_000, "it is never closed");
        tokio::task::yield_now().await;
    }
    assert_eq!(listening.connections.count(), 0);
}
