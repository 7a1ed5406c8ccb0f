//! TLS 1.2 and 1.3 for who connects (RFC 3261 section 26.3.1): the server shows a certificate, telephones prove
//! themselves by digest.

use arc_swap::ArcSwap;
use std::sync::Arc;
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        self, ServerConfig, ServerConnection,
        crypto::ring,
        server::{ClientHello, NoServerSessionStorage, ResolvesServerCert},
        sign::CertifiedKey,
        version::{TLS12, TLS13},
    },
};

/// The most bytes that wait to be encrypted and written; the queue before it is bounded too.
const WRITE_BUFFER: usize = 64 * 1024;

/// The certificate that a listener shows. It can be exchanged at any time: connections that are open stay as they are.
#[derive(Debug)]
pub struct Shown(ArcSwap<CertifiedKey>);

impl Shown {
    /// Shows this one.
    pub fn new(keyed: Arc<CertifiedKey>) -> Self {
        Shown(ArcSwap::new(keyed))
    }

    /// Whether it shows this certificate.
    pub fn is(&self, keyed: &CertifiedKey) -> bool {
        self.0.load().cert == keyed.cert
    }

    /// Shows this one from the next handshake on.
    pub fn exchange(&self, keyed: Arc<CertifiedKey>) {
        self.0.store(keyed);
    }
}

impl ResolvesServerCert for Shown {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.load_full())
    }
}

/// What does the handshakes of a listener. Nothing of a connection is kept for a later one, so that each sees the
/// certificate in force.
///
/// # Errors
/// The cryptography does not have what these versions need.
pub(super) fn acceptor(shown: Arc<Shown>) -> Result<TlsAcceptor, rustls::Error> {
    let builder = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()));
    let mut config = builder.with_protocol_versions(&[&TLS13, &TLS12])?.with_no_client_auth().with_cert_resolver(shown);
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(TlsAcceptor::from(Arc::new(config)))
}

/// Bounds what a connection holds of what is to be written.
pub(super) fn bound(connection: &mut ServerConnection) {
    connection.set_buffer_limit(Some(WRITE_BUFFER));
}
