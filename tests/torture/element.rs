//! The element under torture: the endpoint behind real sockets, with a user that registers nobody and takes no call.

use hotline::{
    clock::Now,
    ids::IdGen,
    net::{
        clock,
        sip::{Listen, Sockets},
    },
    sip::{
        auth::{Algorithm, Authenticator},
        endpoint::{Counters, Endpoint, EndpointConfig, Event, Flow, Input, Output, TransactionId},
        message::{HeaderName, Method, Request, Response},
        registrar::{Registrar, RegistrarConfig},
        transaction::Timers,
    },
};
use rand::{SeedableRng, rngs::StdRng};
use std::{
    future::poll_fn,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    task::Poll,
    time::Duration,
};
use tokio::{runtime::Handle, sync::mpsc};

/// What the element says of itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    pub counters: Counters,
    pub legs: usize,
    pub transactions: usize,
    pub connections: usize,
}

/// Where the element listens, and its figures.
#[derive(Clone)]
pub struct Element {
    pub udp: SocketAddr,
    pub tcp: SocketAddr,
    figures: Arc<Mutex<Figures>>,
}

impl Element {
    /// Starts one on free ports of loopback; it ends with the runtime.
    pub async fn start() -> Element {
        let (inbox, packets) = mpsc::channel(1_000);
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let streams = Listen { tcp: vec![any], tls: Vec::new(), runtime: Handle::current() };
        let sockets = Sockets::open(&[any], streams, inbox).await.expect("free ports");
        let udp = sockets.udp.local_addrs().next().expect("a datagram socket");
        let element = Element { udp, tcp: sockets.connections.local_addrs()[0], figures: Arc::default() };
        // All timers run a hundred times as fast, so that what lingers is gone before the next message, which may
        // have the same branch.
        let timers = Timers { t1_ms: 5, t2_ms: 40, t4_ms: 50 };
        let config = EndpointConfig { timers, ..EndpointConfig::default() };
        let shell = Shell {
            endpoint: Endpoint::new(config, IdGen::new(0, 0), [7; 32]),
            sockets,
            auth: Authenticator::new(
                "torture",
                &[9; 32],
                vec![Algorithm::Sha256, Algorithm::Md5],
                Duration::from_secs(60),
            ),
            registrar: Registrar::new(RegistrarConfig::default()),
            rng: StdRng::seed_from_u64(4475),
            figures: element.figures.clone(),
        };
        tokio::spawn(shell.run(packets));
        element
    }

    pub fn figures(&self) -> Figures {
        *self.figures.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until nothing of a message is left: neither a call nor a transaction nor a connection.
    pub async fn at_rest(&self) -> Figures {
        for _ in 0..1_000 {
            let figures = self.figures();
            if (figures.legs, figures.transactions, figures.connections) == (0, 0, 0) {
                return figures;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        panic!("something stays behind: {:?}", self.figures());
    }
}

struct Shell {
    endpoint: Endpoint,
    sockets: Sockets,
    auth: Authenticator,
    registrar: Registrar,
    rng: StdRng,
    figures: Arc<Mutex<Figures>>,
}

impl Shell {
    async fn run(mut self, mut packets: mpsc::Receiver<Input>) {
        loop {
            self.flush();
            let due = self.endpoint.poll_timeout().map_or(Duration::from_millis(10), |at| {
                at.saturating_duration_since(clock::now().mono).min(Duration::from_millis(10))
            });
            let sleep = tokio::time::sleep(due);
            tokio::pin!(sleep);
            let udp = &mut self.sockets.udp;
            let input = poll_fn(|cx| {
                if let Poll::Ready(index) = udp.poll_readable(cx) {
                    let received = udp.try_receive(index);
                    return Poll::Ready(received.map(|(flow, bytes)| Input::Packet { flow, bytes }));
                }
                if let Poll::Ready(Some(input)) = packets.poll_recv(cx) {
                    return Poll::Ready(Some(input));
                }
                sleep.as_mut().poll(cx).map(|()| None)
            })
            .await;
            let now = clock::now();
            if let Some(input) = input {
                self.endpoint.handle_input(now, input);
                self.flush();
            }
            if self.endpoint.poll_timeout().is_some_and(|at| at <= now.mono) {
                self.endpoint.handle_timeout(now);
            }
        }
    }

    fn flush(&mut self) {
        let now = clock::now();
        while let Some(output) = self.endpoint.poll_output() {
            match output {
                Output::Transmit { flow, bytes } => {
                    if !self.sockets.send(&flow, bytes) {
                        self.endpoint.handle_input(now, Input::FlowFailed { flow });
                    }
                }
                Output::Event(Event::Request { transaction, flow, request }) => {
                    self.requested(now, transaction, flow, &request);
                }
                Output::Event(Event::Invite { leg, .. }) => {
                    self.endpoint.reject(now, leg, 486, "", &[]).expect("an INVITE to refuse");
                }
                Output::Event(Event::Response { .. } | Event::Leg { .. }) => {}
            }
        }
        *self.figures.lock().unwrap_or_else(PoisonError::into_inner) = Figures {
            counters: self.endpoint.counters(),
            legs: self.endpoint.leg_count(),
            transactions: self.endpoint.transaction_count(),
            connections: self.sockets.connections.count(),
        };
    }

    /// As the switch does it: see `app::switch`.
    fn requested(&mut self, now: Now, transaction: TransactionId, flow: Flow, request: &Request) {
        let response = match request.method {
            Method::Options => Response::to_request(request, 200, ""),
            Method::Register if Registrar::aor(request).is_none() => self.registrar.register(now, flow, request),
            Method::Register => {
                let mut response = Response::to_request(request, 401, "");
                for value in self.auth.challenge(now, flow.remote.ip(), false, &mut self.rng) {
                    response.headers.push(HeaderName::WwwAuthenticate, value);
                }
                response
            }
            _ => Response::to_request(request, 405, ""),
        };
        self.endpoint.respond(now, transaction, response).expect("a request to answer");
    }
}
