//! The connection to a carrier's SMS centre: connects, drives [`smpp::Session`](crate::sms::smpp::Session), connects
//! again with a growing, jittered pause (1 s to 60 s).
//!
//! One task owns the socket and the session. Submits come in by a short channel and wait only while the window is
//! full; without a link or in a pause they come back as not sent. Events go out by a bounded channel, and while it is
//! full neither submits nor octets are taken, so that a slow application slows the SMS centre down and nothing
//! piles up.
//! Left out: TLS (an edge proxy or a private line carries it) and several links at once.

pub use crate::sms::smpp::{CloseReason, Config as SessionConfig, Event as SmsEvent, Submit, Unanswered};

use super::clock;
use crate::{
    ids::MessageId,
    redact::Quoted,
    sms::{
        delivery::Refusal,
        smpp::{Input, Output, Session},
        text::Segments,
    },
};
use bytes::{Buf, BytesMut};
use rand::{Rng, SeedableRng, rngs::StdRng};
use serde::{Deserialize, Serialize};
use std::{
    collections::VecDeque,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::{mpsc, watch},
    task::JoinHandle,
    time::timeout,
};
use tokio_util::sync::CancellationToken;

/// Submits that may wait in the channel: less than two windows, so that even a slow SMS centre has answered each of
/// them before a try's lease is over.
const SUBMIT_QUEUE: usize = 16;
/// Events that may wait in the channel.
const EVENT_QUEUE: usize = 256;
/// Events the session may have ready before no more input is taken.
const BACKLOG: usize = 64;
/// Unsent octets beyond which the connection is given up: the SMS centre does not read.
const MAX_UNSENT: usize = 1 << 20;
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// A link that held this long lets the next pause be short again.
const STABLE: Duration = Duration::from_secs(60);

/// Where the SMS centre is, and how to bind to it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GatewayConfig {
    /// `host:port`; names are resolved at each connect.
    pub address: String,
    /// The session's settings.
    #[serde(default)]
    pub session: SessionConfig,
    /// Seconds a TCP connect may take.
    #[serde(default = "default_connect_s")]
    pub connect_s: u64,
}

fn default_connect_s() -> u64 {
    10
}

/// Why a submit was not taken; the message stays as it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SubmitError {
    /// There is no bound session: it is being connected again, or has been shut down.
    #[error("the SMS centre is not connected")]
    NotConnected,
    /// The channel to the gateway is at its bound.
    #[error("as many messages as fit are waiting")]
    Full,
    /// It was shut down; nothing will be sent any more.
    #[error("the gateway has stopped")]
    Stopped,
}

/// Makes a message's submits from its segments, for the parts named (all of them: `0..segments.parts.len()`).
pub fn submits(message: MessageId, to: &str, segments: &Segments, parts: impl IntoIterator<Item = u8>) -> Vec<Submit> {
    let one = |part: u8| {
        let segment = segments.parts.get(usize::from(part))?;
        Some(Submit {
            message,
            part,
            to: to.to_owned(),
            encoding: segments.encoding,
            user_data: segment.user_data.clone(),
            has_header: segment.has_header,
        })
    };
    parts.into_iter().filter_map(one).collect()
}

/// The way to a running gateway; clones lead to the same one. The gateway ends when [`SmsGateway::stop`] is called.
#[derive(Clone, Debug)]
pub struct SmsGateway {
    submits: mpsc::Sender<Submit>,
    kept: mpsc::Sender<Unanswered>,
    bound: watch::Receiver<bool>,
    stop: CancellationToken,
    task: Arc<tokio::sync::Mutex<Option<JoinHandle<()>>>>,
}

impl SmsGateway {
    /// Starts the gateway's task; `seed` feeds the jitter. Each submit taken is answered by exactly one of
    /// `Submitted`, `Failed` and `Uncertain` (an uncertain one perhaps by a late `Submitted` besides).
    pub fn start(config: GatewayConfig, seed: u64) -> (SmsGateway, mpsc::Receiver<SmsEvent>) {
        let (submits, submit_queue) = mpsc::channel(SUBMIT_QUEUE);
        let (kept, kept_queue) = mpsc::channel(EVENT_QUEUE);
        let (events, event_queue) = mpsc::channel(EVENT_QUEUE);
        let (bound_tx, bound) = watch::channel(false);
        let stop = CancellationToken::new();
        let gateway = Gateway {
            session: Session::new(config.session.clone()),
            config,
            submits: submit_queue,
            kept: kept_queue,
            events,
            backlog: VecDeque::new(),
            bound: bound_tx,
            stop: stop.clone(),
            rng: StdRng::seed_from_u64(seed),
        };
        let task = Arc::new(tokio::sync::Mutex::new(Some(tokio::spawn(gateway.run()))));
        (SmsGateway { submits, kept, bound, stop, task }, event_queue)
    }

    /// Gives one part to the gateway without waiting. An error means that it was not taken.
    pub fn submit(&self, submit: Submit) -> Result<(), SubmitError> {
        if !self.is_bound() {
            return Err(SubmitError::NotConnected);
        }
        self.submits.try_send(submit).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => SubmitError::Full,
            mpsc::error::TrySendError::Closed(_) => SubmitError::Stopped,
        })
    }

    /// What a receipt said is written down: it is answered, and the SMS centre forgets it. Where that cannot be said now
    /// the SMS centre sends it again.
    pub fn kept(&self, unanswered: Unanswered) {
        if self.kept.try_send(unanswered).is_err() {
            metrics::counter!("hotline_sms_receipts_unanswered_total").increment(1);
        }
    }

    /// Whether the session is bound: claim messages only then.
    pub fn is_bound(&self) -> bool {
        *self.bound.borrow()
    }

    /// Waits until the session is bound; false when the gateway stopped instead.
    pub async fn wait_bound(&self) -> bool {
        self.bound.clone().wait_for(|bound| *bound).await.is_ok()
    }

    /// How many more submits the queue takes.
    pub fn room(&self) -> usize {
        self.submits.capacity()
    }

    /// Ends gracefully: open answers are awaited (the response time at most), then it unbinds. Events must still be
    /// taken while this waits, or be dropped by dropping their receiver.
    pub async fn stop(&self) {
        self.stop.cancel();
        if let Some(task) = self.task.lock().await.take() {
            // The task's own panic was reported by the runtime.
            let _ = task.await;
        }
    }
}

struct Gateway {
    config: GatewayConfig,
    session: Session,
    submits: mpsc::Receiver<Submit>,
    kept: mpsc::Receiver<Unanswered>,
    events: mpsc::Sender<SmsEvent>,
    backlog: VecDeque<SmsEvent>,
    bound: watch::Sender<bool>,
    stop: CancellationToken,
    rng: StdRng,
}

impl Gateway {
    async fn run(mut self) {
        let mut pause = FIRST_PAUSE;
        while !self.stop.is_cancelled() {
            let started = clock::now().mono;
            if let Some(stream) = self.connect().await {
                self.serve(stream).await;
            }
            self.bound.send_replace(false);
            self.refuse_waiting();
            if clock::now().mono.saturating_duration_since(started) >= STABLE {
                pause = FIRST_PAUSE;
            }
            // Half to whole of the pause: gateways that lost the same link do not come back together.
            let wait = pause.mul_f64(self.rng.random_range(0.5..=1.0));
            pause = (pause * 2).min(LONGEST_PAUSE);
            self.rest(wait).await;
        }
        self.submits.close();
        self.refuse_waiting();
        while let Some(event) = self.backlog.pop_front() {
            if self.events.send(event).await.is_err() {
                return;
            }
        }
    }

    async fn connect(&mut self) -> Option<TcpStream> {
        let limit = Duration::from_secs(self.config.connect_s.max(1));
        let attempt = timeout(limit, TcpStream::connect(self.config.address.as_str()));
        let connected = tokio::select! {
            connected = attempt => connected,
            () = self.stop.cancelled() => return None,
        };
        let failure = match connected {
            Ok(Ok(stream)) => {
                metrics::counter!("hotline_sms_connects_total", "outcome" => "connected").increment(1);
                if let Err(error) = stream.set_nodelay(true) {
                    tracing::debug!(%error, "TCP_NODELAY was refused");
                }
                return Some(stream);
            }
            Ok(Err(error)) => error.to_string(),
            Err(_) => "timed out".to_owned(),
        };
        metrics::counter!("hotline_sms_connects_total", "outcome" => "failed").increment(1);
        tracing::warn!(address = %self.config.address, %failure, "the SMS centre cannot be reached");
        None
    }

    /// Waits before the next connect, giving out events meanwhile.
    async fn rest(&mut self, wait: Duration) {
        let events = self.events.clone();
        let over = tokio::time::sleep(wait);
        tokio::pin!(over);
        loop {
            let until = self.session.poll_timeout().map(|(at, _)| at);
            tokio::select! {
                () = &mut over => return,
                () = self.stop.cancelled() => return,
                permit = events.reserve(), if !self.backlog.is_empty() => match permit {
                    Ok(permit) => {
                        if let Some(event) = self.backlog.pop_front() {
                            permit.send(event);
                        }
                    }
                    Err(_) => self.backlog.clear(),
                },
                () = sleep_until(until) => {
                    self.session.handle_timeout(clock::now());
                    self.take_outputs(&mut BytesMut::new());
                }
                // Its connection is gone: it comes again.
                Some(_) = self.kept.recv() => {}
                Some(submit) = self.submits.recv(), if self.backlog.len() < BACKLOG => self.refuse(submit),
            }
        }
    }

    /// What waits in the channel when there is no link never left.
    fn refuse_waiting(&mut self) {
        while let Ok(submit) = self.submits.try_recv() {
            self.refuse(submit);
        }
    }

    fn refuse(&mut self, Submit { message, part, .. }: Submit) {
        self.note(SmsEvent::Failed { message, part, refusal: Refusal::NotSent, status: 0 });
    }

    /// One connection, from connect to its end.
    async fn serve(&mut self, mut stream: TcpStream) {
        let events = self.events.clone();
        let (mut reader, mut writer) = stream.split();
        let (mut unsent, mut buffer) = (BytesMut::new(), BytesMut::with_capacity(8192));
        let mut stopping = false;
        self.session.handle_input(clock::now(), Input::Connected);
        loop {
            self.take_outputs(&mut unsent);
            if unsent.len() > MAX_UNSENT {
                self.session.handle_input(clock::now(), Input::Disconnected);
                self.take_outputs(&mut unsent);
            }
            if self.session.is_closed() {
                // The last words: an unbind_resp, a generic_nack.
                let _ = timeout(Duration::from_secs(1), writer.write_all(&unsent)).await;
                return;
            }
            let room = self.backlog.len() < BACKLOG;
            let until = self.session.poll_timeout().map(|(at, _)| at);
            // What came is read before its deadline is judged.
            tokio::select! {
                biased;
                () = self.stop.cancelled(), if !stopping => {
                    stopping = true;
                    self.session.handle_input(clock::now(), Input::Shutdown);
                }
                permit = events.reserve(), if !self.backlog.is_empty() => match permit {
                    Ok(permit) => {
                        if let Some(event) = self.backlog.pop_front() {
                            permit.send(event);
                        }
                    }
                    // Nobody listens any more: what is told is lost, and so is the reason to go on.
                    Err(_) => {
                        self.backlog.clear();
                        self.stop.cancel();
                    }
                },
                sent = writer.write_buf(&mut unsent), if unsent.has_remaining() => {
                    if sent.is_err() {
                        self.session.handle_input(clock::now(), Input::Disconnected);
                    }
                }
                read = reader.read_buf(&mut buffer), if room => match read {
                    Ok(0) | Err(_) => self.session.handle_input(clock::now(), Input::Disconnected),
                    Ok(_) => {
                        self.session.handle_input(clock::now(), Input::Bytes(&buffer));
                        buffer.clear();
                    }
                },
                // No answer is late as long as nothing is read.
                () = sleep_until(until), if room || stopping => self.session.handle_timeout(clock::now()),
                Some(unanswered) = self.kept.recv() => {
                    self.session.handle_input(clock::now(), Input::Kept(unanswered));
                }
                Some(submit) = self.submits.recv(), if room && !self.session.is_window_full() => {
                    self.session.handle_input(clock::now(), Input::Submit(submit));
                }
            }
        }
    }

    fn take_outputs(&mut self, unsent: &mut BytesMut) {
        while let Some(output) = self.session.poll_output() {
            match output {
                Output::Bytes(bytes) => unsent.extend_from_slice(&bytes),
                Output::Event(event) => self.note(event),
                Output::Close(why) => tracing::info!(why = why.as_str(), "the link to the SMS centre is closed"),
            }
        }
        metrics::gauge!("hotline_sms_outstanding").set(self.session.outstanding() as f64);
    }

    fn note(&mut self, event: SmsEvent) {
        count(&event);
        match &event {
            SmsEvent::Connected { smsc } => {
                tracing::info!(smsc = %Quoted(smsc), "bound to the SMS centre");
                self.bound.send_replace(true);
            }
            SmsEvent::Disconnected { why } => {
                match why {
                    // We hung up ourselves.
                    CloseReason::Finished => tracing::info!("unbound from the SMS centre"),
                    why => tracing::warn!(why = why.as_str(), "not bound to the SMS centre any more"),
                }
                self.bound.send_replace(false);
            }
            SmsEvent::Submitted { .. } | SmsEvent::Failed { .. } | SmsEvent::Uncertain { .. } => {}
            SmsEvent::Receipt { .. } | SmsEvent::Inbound { .. } | SmsEvent::Malformed { .. } => {}
        }
        self.backlog.push_back(event);
    }
}

async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at.into()).await,
        None => std::future::pending().await,
    }
}

fn count(event: &SmsEvent) {
    match event {
        SmsEvent::Connected { .. } => metrics::gauge!("hotline_sms_bound").set(1.0),
        SmsEvent::Disconnected { why } => {
            metrics::gauge!("hotline_sms_bound").set(0.0);
            metrics::counter!("hotline_sms_disconnects_total", "why" => why.as_str()).increment(1);
        }
        SmsEvent::Submitted { .. } => {
            metrics::counter!("hotline_sms_parts_total", "outcome" => "submitted").increment(1);
        }
        SmsEvent::Failed { refusal, .. } => {
            metrics::counter!("hotline_sms_parts_total", "outcome" => refusal.as_str()).increment(1);
        }
        SmsEvent::Uncertain { .. } => {
            metrics::counter!("hotline_sms_parts_total", "outcome" => "uncertain").increment(1);
        }
        SmsEvent::Receipt { receipt, .. } => {
            metrics::counter!("hotline_sms_receipts_total", "state" => receipt.state.as_str()).increment(1);
        }
        SmsEvent::Inbound { .. } => metrics::counter!("hotline_sms_inbound_total").increment(1),
        SmsEvent::Malformed { .. } => metrics::counter!("hotline_sms_malformed_total").increment(1),
    }
}
