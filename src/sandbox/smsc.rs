//! A simulated carrier's SMS centre: an SMPP 3.4 server that keeps what it was given, sends receipts, and misbehaves
//! when told to.
//!
//! It reads and writes PDUs by the `rusmpp` crate and joins segments by its own few lines, not by the product's codec:
//! a mistake there shows here instead of cancelling itself out. Left out: radio networks, storage, more than one
//! account, and resending of a deliver_sm that was not answered.

mod text;

#[cfg(test)]
mod tests;

use crate::{clock::UnixMillis, net::clock};
use bytes::BytesMut;
use rand::{Rng, SeedableRng, rngs::StdRng};
use rusmpp::{
    Command, CommandStatus, Pdu,
    decode::DecodeWithLength,
    encode::{Encode, Length},
    pdus::{BindTransceiver, BindTransceiverResp, DeliverSm, SubmitSm, SubmitSmResp},
    tlvs::MessageDeliveryRequestTlvValue,
    types::{COctetString, OctetString},
    values::{DataCoding, EsmClass, InterfaceVersion, MessageState, Npi, Ton},
};
use std::{
    collections::{BTreeMap, VecDeque},
    io,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::Notify,
    task::JoinSet,
};
use tokio_util::sync::CancellationToken;

/// Connections served at one time; more are closed at once.
const MAX_CONNECTIONS: usize = 16;
/// Largest PDU taken, in octets.
const MAX_PDU: usize = 64 * 1024;
/// Deliveries kept for the next bind; the oldest goes first.
const MAX_BACKLOG: usize = 10_000;

/// Who may bind, and how it behaves when all is well.
#[derive(Clone, Debug)]
pub struct SmscConfig {
    /// The one account: at most 15 and 8 ASCII characters.
    pub system_id: String,
    /// The account's.
    pub password: String,
    /// The delay of a receipt is drawn between these.
    pub receipt_after: (Duration, Duration),
    /// Receipts carry the id and the state as TLVs besides the text.
    pub receipt_tlvs: bool,
    /// Messages kept; the oldest goes first.
    pub capacity: usize,
    /// Seed of the delays.
    pub seed: u64,
}

impl Default for SmscConfig {
    fn default() -> Self {
        SmscConfig {
            system_id: "hotline".to_owned(),
            password: "sandbox".to_owned(),
            receipt_after: (Duration::from_millis(200), Duration::from_millis(800)),
            receipt_tlvs: true,
            capacity: 10_000,
            seed: 12345,
        }
    }
}

/// What goes wrong until it is set otherwise.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Faults {
    /// Binds are refused (ESME_RBINDFAIL).
    pub refuse_binds: bool,
    /// Submits are refused with this command_status.
    pub refuse: Option<u32>,
    /// This many submits are refused as throttled (0x58), then it stops.
    pub throttle: u32,
    /// Everything is read and taken, nothing is answered.
    pub silent: bool,
    /// Each submit is taken, and the connection reset instead of an answer.
    pub reset: bool,
    /// Answers to submits wait this long.
    pub delay: Duration,
    /// Each receipt comes twice.
    pub duplicate_receipts: bool,
    /// Receipts come before the answer to their submit.
    pub receipts_first: bool,
    /// Receipts say UNDELIV.
    pub undeliverable: bool,
}

/// A message that it was given, its segments joined.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SmscMessage {
    /// The access number.
    pub from: String,
    /// The citizen's number, as the sender wrote it.
    pub to: String,
    /// Decoded by the data coding that it named.
    pub text: String,
    /// How many short messages it took.
    pub parts: usize,
    /// When the last part came.
    pub at: UnixMillis,
}

/// The running SMS centre; it stops when this is dropped.
#[derive(Debug)]
pub struct Smsc {
    shared: Arc<Shared>,
    address: SocketAddr,
    stop: CancellationToken,
}

impl Drop for Smsc {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl Smsc {
    /// Listens on `address` (port 0: any free one) and serves until dropped or stopped.
    pub async fn start(address: SocketAddr, config: SmscConfig) -> io::Result<Smsc> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        let stop = CancellationToken::new();
        let inner = Inner { rng: Some(StdRng::seed_from_u64(config.seed)), ..Inner::default() };
        let shared = Arc::new(Shared { config, inner: Mutex::new(inner), work: Notify::new() });
        tokio::spawn(accept(listener, Arc::clone(&shared), stop.clone()));
        Ok(Smsc { shared, address, stop })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The whole messages it was given, oldest first.
    pub fn messages(&self) -> Vec<SmscMessage> {
        self.shared.lock().messages.iter().cloned().collect()
    }

    /// The submits it was given, refused ones and repetitions included.
    pub fn submits(&self) -> u64 {
        self.shared.lock().submits
    }

    /// What goes wrong at present.
    pub fn faults(&self) -> Faults {
        self.shared.lock().faults.clone()
    }

    /// Sets what goes wrong from now on.
    pub fn set_faults(&self, faults: Faults) {
        self.shared.lock().faults = faults;
    }

    /// A citizen sends a text; it is handed over as soon as a client is bound. False when it cannot be carried: a
    /// number beyond 20 ASCII characters, a text beyond 255 parts.
    pub fn citizen_sends(&self, from: &str, to: &str, text: &str) -> bool {
        let reference = self.shared.lock().next_id() as u8;
        let Some(parts) = text::split(text, reference) else { return false };
        let several = parts.len() > 1;
        let pdus: Option<Vec<DeliverSm>> = parts.into_iter().map(|p| mobile_originated(from, to, p, several)).collect();
        let Some(pdus) = pdus else { return false };
        for pdu in pdus {
            self.shared.lock().keep(pdu);
        }
        self.shared.work.notify_waiters();
        true
    }

    /// Stops listening and closes every connection.
    pub fn stop(&self) {
        self.stop.cancel();
    }
}

#[derive(Debug)]
struct Shared {
    config: SmscConfig,
    inner: Mutex<Inner>,
    work: Notify,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Debug, Default)]
struct Inner {
    faults: Faults,
    messages: VecDeque<SmscMessage>,
    unfinished: VecDeque<text::Unfinished>,
    /// Deliveries for whoever binds next.
    backlog: VecDeque<DeliverSm>,
    submits: u64,
    last_id: u64,
    rng: Option<StdRng>,
}

impl Inner {
    fn next_id(&mut self) -> u64 {
        self.last_id += 1;
        self.last_id
    }

    fn keep(&mut self, pdu: DeliverSm) {
        if self.backlog.len() >= MAX_BACKLOG {
            self.backlog.pop_front();
        }
        self.backlog.push_back(pdu);
    }

    fn store(&mut self, message: SmscMessage, capacity: usize) {
        if self.messages.len() >= capacity.max(1) {
            self.messages.pop_front();
        }
        self.messages.push_back(message);
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>, stop: CancellationToken) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) if connections.len() < MAX_CONNECTIONS => {
                    let connection = Connection::new(Arc::clone(&shared));
                    connections.spawn(connection.serve(stream));
                }
                Ok(_) => {}
                // Out of descriptors: try again in a moment.
                Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

/// What is to be sent at a later moment.
#[derive(Debug)]
enum Later {
    Answer(Box<Command>),
    Deliver(Box<DeliverSm>),
}

/// What became of a frame.
#[derive(PartialEq)]
enum Next {
    Go,
    /// Close after what is to be sent.
    Close,
    /// Close at once, with a reset.
    Reset,
}

struct Connection {
    shared: Arc<Shared>,
    bound: bool,
    sequence: u32,
    later: BTreeMap<(Instant, u64), Later>,
    order: u64,
    out: Vec<u8>,
}

impl Connection {
    fn new(shared: Arc<Shared>) -> Self {
        Connection { shared, bound: false, sequence: 0, later: BTreeMap::new(), order: 0, out: Vec::new() }
    }

    async fn serve(mut self, mut stream: TcpStream) {
        let shared = Arc::clone(&self.shared);
        let mut input = BytesMut::with_capacity(4096);
        let mut next = Next::Go;
        while next == Next::Go {
            self.send_due();
            if !self.out.is_empty() && stream.write_all(&std::mem::take(&mut self.out)).await.is_err() {
                break;
            }
            let due = self.later.keys().next().map(|(at, _)| *at);
            let work = shared.work.notified();
            tokio::select! {
                read = stream.read_buf(&mut input) => match read {
                    Ok(0) | Err(_) => break,
                    Ok(_) => next = self.take(&mut input),
                },
                () = wait_until(due) => {}
                () = work => {}
                // A notice may fall between two looks at the backlog.
                () = tokio::time::sleep(Duration::from_millis(250)), if self.bound => {}
            }
        }
        if next == Next::Close {
            let _ = stream.write_all(&self.out).await;
        }
        if next == Next::Reset {
            // Zero linger turns the close into a RST, as a failing SMS centre's kernel sends it.
            let _ = socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO));
        }
        self.leave();
    }

    /// Deliveries that were not sent wait for the next bind.
    fn leave(self) {
        let mut inner = self.shared.lock();
        for later in self.later.into_values() {
            if let Later::Deliver(pdu) = later {
                inner.keep(*pdu);
            }
        }
    }

    fn take(&mut self, input: &mut BytesMut) -> Next {
        while input.len() >= 4 {
            let length = u32::from_be_bytes([input[0], input[1], input[2], input[3]]) as usize;
            if !(16..=MAX_PDU).contains(&length) {
                self.answer(CommandStatus::EsmeRinvcmdlen, 0, Pdu::GenericNack);
                return Next::Close;
            }
            if input.len() < length {
                return Next::Go;
            }
            let mut frame = input.split_to(length).split_off(4);
            let sequence = u32::from_be_bytes([frame[8], frame[9], frame[10], frame[11]]);
            let next = match Command::decode(&mut frame, length - 4) {
                Ok((command, _)) => self.obey(command),
                Err(_) => {
                    self.answer(CommandStatus::EsmeRinvcmdlen, sequence, Pdu::GenericNack);
                    Next::Go
                }
            };
            if next != Next::Go {
                return next;
            }
        }
        Next::Go
    }

    fn obey(&mut self, command: Command) -> Next {
        let sequence = command.sequence_number();
        let silent = self.shared.lock().faults.silent;
        match command.pdu() {
            Some(Pdu::BindTransceiver(bind)) if !silent => return self.bind(sequence, bind),
            Some(Pdu::SubmitSm(submit)) => return self.submit(sequence, submit, silent),
            _ if silent => {}
            Some(Pdu::EnquireLink) => self.answer(CommandStatus::EsmeRok, sequence, Pdu::EnquireLinkResp),
            Some(Pdu::Unbind) => {
                self.answer(CommandStatus::EsmeRok, sequence, Pdu::UnbindResp);
                return Next::Close;
            }
            Some(Pdu::DeliverSmResp(_) | Pdu::EnquireLinkResp | Pdu::GenericNack | Pdu::UnbindResp) => {}
            _ => self.answer(CommandStatus::EsmeRinvcmdid, sequence, Pdu::GenericNack),
        }
        Next::Go
    }

    fn bind(&mut self, sequence: u32, bind: &BindTransceiver) -> Next {
        let config = &self.shared.config;
        let known = bind.system_id.as_str() == config.system_id && bind.password.as_str() == config.password;
        let status = if self.bound {
            CommandStatus::EsmeRalybnd
        } else if !known {
            CommandStatus::EsmeRinvpaswd
        } else if self.shared.lock().faults.refuse_binds || bind.interface_version != InterfaceVersion::Smpp3_4 {
            CommandStatus::EsmeRbindfail
        } else {
            CommandStatus::EsmeRok
        };
        let resp = BindTransceiverResp::new(c_string("SANDBOX").unwrap_or_default(), Some(InterfaceVersion::Smpp3_4));
        self.answer(status, sequence, resp);
        self.bound |= status == CommandStatus::EsmeRok;
        if self.bound { Next::Go } else { Next::Close }
    }

    fn submit(&mut self, sequence: u32, submit: &SubmitSm, silent: bool) -> Next {
        let now = clock::now();
        let shared = Arc::clone(&self.shared);
        let mut inner = shared.lock();
        inner.submits += 1;
        let faults = inner.faults.clone();
        let refusal = self.refusal(&mut inner, submit);
        if let Some(status) = refusal {
            drop(inner);
            if !silent {
                self.later(now.mono + faults.delay, Later::Answer(Box::new(submit_answer(status, sequence, ""))));
            }
            return Next::Go;
        }
        let message_id = format!("{:08X}", inner.next_id() + 0x00A0_0000);
        take_part(&mut inner, submit, now.wall, shared.config.capacity);
        let (soonest, latest) = shared.config.receipt_after;
        let after = inner.rng.as_mut().map_or(soonest, |rng| rng.random_range(soonest..=latest.max(soonest)));
        drop(inner);
        let receipt = receipt(submit, &message_id, now.wall, &faults, shared.config.receipt_tlvs);
        let answer_at = now.mono + faults.delay;
        // A receipt that comes first goes at once, its answer right behind the usual delay of receipts.
        let (answer_at, receipt_at) =
            if faults.receipts_first { (answer_at + after, now.mono) } else { (answer_at, answer_at + after) };
        for _ in 0..if faults.duplicate_receipts { 2 } else { 1 } {
            self.order_receipt(receipt_at, receipt.clone());
        }
        if faults.reset {
            return Next::Reset;
        }
        if !silent {
            self.later(
                answer_at,
                Later::Answer(Box::new(submit_answer(CommandStatus::EsmeRok, sequence, &message_id))),
            );
        }
        Next::Go
    }

    fn order_receipt(&mut self, at: Instant, receipt: Option<DeliverSm>) {
        if let Some(receipt) = receipt {
            self.later(at, Later::Deliver(Box::new(receipt)));
        }
    }

    fn refusal(&self, inner: &mut Inner, submit: &SubmitSm) -> Option<CommandStatus> {
        if !self.bound {
            return Some(CommandStatus::EsmeRinvbndsts);
        }
        if inner.faults.throttle > 0 {
            inner.faults.throttle -= 1;
            return Some(CommandStatus::EsmeRthrottled);
        }
        if let Some(status) = inner.faults.refuse {
            return Some(CommandStatus::from(status));
        }
        let to = submit.destination_addr.as_str();
        if to.len() < 5 || !to.bytes().all(|b| b.is_ascii_digit()) {
            return Some(CommandStatus::EsmeRinvdstadr);
        }
        let octets = submit.short_message().len();
        // On the air a short message has 140 octets.
        let (most, whole) = match submit.data_coding {
            DataCoding::Ucs2 => (140, octets.is_multiple_of(2)),
            _ => (160, true),
        };
        (octets == 0 || octets > most || !whole).then_some(CommandStatus::EsmeRinvmsglen)
    }

    fn later(&mut self, at: Instant, later: Later) {
        self.order += 1;
        self.later.insert((at, self.order), later);
    }

    fn send_due(&mut self) {
        let shared = Arc::clone(&self.shared);
        let mut inner = shared.lock();
        if inner.faults.silent {
            return;
        }
        let backlog = if self.bound { std::mem::take(&mut inner.backlog) } else { VecDeque::new() };
        drop(inner);
        for pdu in backlog {
            self.deliver(pdu);
        }
        let now = clock::now().mono;
        while let Some(entry) = self.later.first_entry().filter(|entry| entry.key().0 <= now) {
            match entry.remove() {
                Later::Answer(command) => self.write(&command),
                Later::Deliver(pdu) => self.deliver(*pdu),
            }
        }
    }

    fn deliver(&mut self, pdu: DeliverSm) {
        self.sequence += 1;
        self.write(&Command::new(CommandStatus::EsmeRok, self.sequence, pdu));
    }

    fn answer(&mut self, status: CommandStatus, sequence: u32, pdu: impl Into<Pdu>) {
        self.write(&Command::new(status, sequence, pdu));
    }

    fn write(&mut self, command: &Command) {
        let length = command.length();
        let mut body = vec![0; length];
        command.encode(&mut body);
        self.out.extend((length as u32 + 4).to_be_bytes());
        self.out.extend(body);
    }
}

async fn wait_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at.into()).await,
        None => std::future::pending().await,
    }
}

fn c_string<const MAX: usize>(text: &str) -> Option<COctetString<1, MAX>> {
    text.parse().ok()
}

fn submit_answer(status: CommandStatus, sequence: u32, message_id: &str) -> Command {
    let resp = SubmitSmResp::new(c_string(message_id).unwrap_or_default(), Vec::new());
    Command::new(status, sequence, resp)
}

/// Stores a message that is whole, or keeps its part until it is.
fn take_part(inner: &mut Inner, submit: &SubmitSm, at: UnixMillis, capacity: usize) {
    let has_header = u8::from(submit.esm_class) & 0x40 != 0;
    let ucs2 = submit.data_coding == DataCoding::Ucs2;
    let (from, to) = (submit.source_addr.as_str().to_owned(), submit.destination_addr.as_str().to_owned());
    let octets: &[u8] = submit.short_message().as_ref();
    let whole = text::join(&mut inner.unfinished, (&from, &to), octets, has_header, ucs2);
    if let Some((text, parts)) = whole {
        inner.store(SmscMessage { from, to, text, parts, at }, capacity);
    }
}

/// A receipt as SMPP 3.4 appendix B writes it; `None` where none was asked for.
fn receipt(submit: &SubmitSm, id: &str, at: UnixMillis, faults: &Faults, tlvs: bool) -> Option<DeliverSm> {
    if u8::from(submit.registered_delivery) & 0x03 == 0 {
        return None;
    }
    let (word, state, delivered, error) = match faults.undeliverable {
        true => ("UNDELIV", MessageState::Undeliverable, "000", "034"),
        false => ("DELIVRD", MessageState::Delivered, "001", "000"),
    };
    let date = jiff::Timestamp::from_millisecond(at.0)
        .map(|t| t.to_zoned(jiff::tz::TimeZone::fixed(jiff::tz::offset(8))).strftime("%y%m%d%H%M").to_string())
        .unwrap_or_default();
    let text =
        format!("id:{id} sub:001 dlvrd:{delivered} submit date:{date} done date:{date} stat:{word} err:{error} text:");
    let mut receipt = DeliverSm::builder()
        .source_addr_ton(submit.dest_addr_ton)
        .source_addr_npi(submit.dest_addr_npi)
        .source_addr(submit.destination_addr.clone())
        .dest_addr_ton(submit.source_addr_ton)
        .dest_addr_npi(submit.source_addr_npi)
        .destination_addr(submit.source_addr.clone())
        .esm_class(EsmClass::from(0x04))
        .short_message(OctetString::from_string(text).ok()?);
    if tlvs {
        receipt = receipt
            .push_tlv(MessageDeliveryRequestTlvValue::ReceiptedMessageId(c_string(id)?))
            .push_tlv(MessageDeliveryRequestTlvValue::MessageState(state));
    }
    Some(receipt.build())
}

fn mobile_originated(from: &str, to: &str, octets: Vec<u8>, has_header: bool) -> Option<DeliverSm> {
    let pdu = DeliverSm::builder()
        .source_addr_ton(Ton::International)
        .source_addr_npi(Npi::Isdn)
        .source_addr(c_string(from)?)
        .dest_addr_npi(Npi::Isdn)
        .destination_addr(c_string(to)?)
        .esm_class(EsmClass::from(if has_header { 0x40 } else { 0 }))
        .data_coding(DataCoding::Ucs2)
        .short_message(OctetString::from_vec(octets).ok()?);
    Some(pdu.build())
}
