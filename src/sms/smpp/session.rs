//! The ESME's session (SMPP 3.4 §2.2): Closed → Binding → Bound → Draining → Unbinding → Closed.
//!
//! Driving contract: after each [`Session::handle_input`] or [`Session::handle_timeout`], take everything from
//! [`Session::poll_output`], then wait until [`Session::poll_timeout`] or the next input. After [`Output::Close`] the
//! connection is dropped and nothing more comes until `Connected`. Whatever ends a connection, each submit that was
//! taken gets exactly one of Submitted, Failed and Uncertain, and after Uncertain a late answer may still follow
//! within the same connection.

use super::{
    joiner::{Joined, Joiner},
    pdu::{self, Address, Body, Header, ShortMessage},
    receipt::{self, ReceiptIds},
    status,
};
use crate::{
    clock::Now,
    ids::MessageId,
    sms::{
        delivery::{Receipt, Refusal},
        text::{self, Concatenation, Encoding},
    },
};
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, VecDeque},
    time::{Duration, Instant},
};

/// Answers that came too late are known again among this many.
const LATE_KEPT: usize = 256;
/// The first pause after a throttled submit, and the longest.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// How to bind and to send.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// At most 15 ASCII characters.
    pub system_id: String,
    /// At most 8 ASCII characters.
    pub password: String,
    /// At most 12 ASCII characters, mostly empty.
    pub system_type: String,
    /// The access number that messages come from and citizens answer to.
    pub source: String,
    /// Type of number and numbering plan of the source; 0 and 1 suit a short code.
    pub source_ton: u8,
    /// 1 is ISDN (SMPP 3.4 §5.2.6).
    pub source_npi: u8,
    /// The same of destinations; 1 and 1 are international ISDN, where `86` goes before the number.
    pub destination_ton: u8,
    /// 1 is ISDN (SMPP 3.4 §5.2.6).
    pub destination_npi: u8,
    /// Submits without an answer at one time.
    pub window: usize,
    /// Seconds between enquire_links.
    pub enquire_s: u64,
    /// Seconds to wait for any answer.
    pub response_s: u64,
    /// How ids in receipts are written.
    pub receipt_ids: ReceiptIds,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            system_id: String::new(),
            password: String::new(),
            system_type: String::new(),
            source: String::new(),
            source_ton: 0,
            source_npi: 1,
            destination_ton: 1,
            destination_npi: 1,
            window: 10,
            enquire_s: 30,
            response_s: 10,
            receipt_ids: ReceiptIds::AsIs,
        }
    }
}

/// One short message to send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Submit {
    /// The message it is part of.
    pub message: MessageId,
    /// Which part, from 0.
    pub part: u8,
    /// The recipient, as the SMS centre wants it.
    pub to: String,
    /// How the text is carried.
    pub encoding: Encoding,
    /// The user data, with its header when `has_header`.
    pub user_data: Vec<u8>,
    /// The user data begins with a header.
    pub has_header: bool,
}

/// What the session is told.
#[derive(Debug)]
pub enum Input<'a> {
    /// The connection stands.
    Connected,
    /// Octets came in.
    Bytes(&'a [u8]),
    /// The connection is gone.
    Disconnected,
    /// Send this; refused as not sent unless [`Session::can_accept`].
    Submit(Submit),
    /// What a receipt said is written down: the SMS centre may forget it.
    Kept(Unanswered),
    /// Take no more, wait for open answers, unbind.
    Shutdown,
}

/// A deliver_sm that awaits its answer. Of an earlier connection, it is answered nowhere: the SMS centre sends it again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Unanswered {
    connection: u32,
    sequence: u32,
}

/// What the session wants done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Octets to send.
    Bytes(Vec<u8>),
    /// Something to tell.
    Event(Event),
    /// Drop the connection.
    Close(CloseReason),
}

/// What the session tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// Bound; the SMS centre's name for itself.
    Connected {
        /// Its system_id.
        smsc: String,
    },
    /// Not bound any more.
    Disconnected {
        /// What ended it.
        why: CloseReason,
    },
    /// The SMS centre took it; also a late answer to an uncertain one.
    Submitted {
        /// Whose part it is.
        message: MessageId,
        /// Which part, from 0.
        part: u8,
        /// The message_id by which a receipt will name it.
        smsc_id: String,
    },
    /// Not taken; `status` is the SMPP command_status, 0 where it never left.
    Failed {
        /// Whose part it is.
        message: MessageId,
        /// Which part, from 0.
        part: u8,
        /// What may be done about it.
        refusal: Refusal,
        /// The SMPP command_status.
        status: u32,
    },
    /// Sent, and the answer is lost.
    Uncertain {
        /// Whose part it is.
        message: MessageId,
        /// Which part, from 0.
        part: u8,
    },
    /// What became of a part; `to` is the number it went to, as the SMS centre writes it. The SMS centre keeps it until
    /// [`Input::Kept`] says that it is written down here.
    Receipt {
        /// Which part it is about, and what became of it.
        receipt: Receipt,
        /// The citizen's number.
        to: String,
        /// To be handed back in [`Input::Kept`].
        unanswered: Unanswered,
    },
    /// A citizen's message, parts joined.
    Inbound {
        /// The citizen's number, as the SMS centre writes it.
        from: String,
        /// Our access number.
        to: String,
        /// Decoded; where parts never came, what there is of it.
        text: String,
    },
    /// A PDU that could not be read or has no place here; passed over.
    Malformed {
        /// What it claims to be.
        command_id: u32,
    },
}

/// Why a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CloseReason {
    /// The bind was refused with this status.
    BindRefused(u32),
    /// No answer to the bind.
    BindTimeout,
    /// No answer to an enquire_link.
    LinkDead,
    /// The SMS centre unbound.
    PeerUnbound,
    /// The octets are no SMPP.
    BadFraming,
    /// The connection broke.
    Broken,
    /// We unbound.
    Finished,
    /// The settings cannot be sent (a system_id or password that is too long).
    BadSettings,
}

impl CloseReason {
    /// The name in metrics and logs.
    pub fn as_str(self) -> &'static str {
        match self {
            CloseReason::BindRefused(_) => "bind_refused",
            CloseReason::BindTimeout => "bind_timeout",
            CloseReason::LinkDead => "link_dead",
            CloseReason::PeerUnbound => "peer_unbound",
            CloseReason::BadFraming => "bad_framing",
            CloseReason::Broken => "broken",
            CloseReason::Finished => "finished",
            CloseReason::BadSettings => "bad_settings",
        }
    }
}

/// What a time-out is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reason {
    /// No answer to the bind: the connection is given up.
    Bind,
    /// No answer to a submit: it becomes uncertain.
    Response,
    /// No answer to an enquire_link: the link is dead.
    EnquireResponse,
    /// An enquire_link is due.
    Enquire,
    /// The pause after a throttled or unanswered submit is over.
    PauseOver,
    /// No answer to the unbind: the connection is closed all the same.
    Unbind,
    /// Parts of a citizen's message have not come in time: it is told without them.
    MissingParts,
}

#[derive(Debug)]
struct Sent {
    message: MessageId,
    part: u8,
    deadline: Instant,
}

/// What a bound session holds.
#[derive(Debug)]
struct Link {
    sent: BTreeMap<u32, Sent>,
    late: VecDeque<(u32, MessageId, u8)>,
    probe: Option<(u32, Instant)>,
    next_enquire: Instant,
    paused_until: Option<Instant>,
    next_pause: Duration,
    /// A submit was answered since the bind and since the last answer that was lost. Until then one submit at a time
    /// is risked, so that a mute SMS centre makes one message uncertain, not a window of them.
    proven: bool,
}

#[derive(Debug)]
enum State {
    /// No connection.
    Closed,
    /// §4.1: the bind awaits its answer.
    Binding { sequence: u32, deadline: Instant },
    /// §2.2: bound as transceiver.
    Bound(Link),
    /// Bound, but nothing new is sent: open answers are awaited.
    Draining(Link),
    /// §4.2: the unbind awaits its answer.
    Unbinding { sequence: u32, deadline: Instant },
}

/// The machine.
#[derive(Debug)]
pub struct Session {
    config: Config,
    state: State,
    input: Vec<u8>,
    sequence: u32,
    /// Counts connections.
    connection: u32,
    joiner: Joiner,
    outputs: VecDeque<Output>,
}

impl Session {
    /// A session without a connection.
    pub fn new(config: Config) -> Self {
        Session {
            config,
            state: State::Closed,
            input: Vec::new(),
            sequence: 0,
            connection: 0,
            joiner: Joiner::default(),
            outputs: VecDeque::new(),
        }
    }

    /// Whether a submit would be sent at once: bound, room in the window (one until the first answer), no pause.
    pub fn can_accept(&self) -> bool {
        match &self.state {
            State::Bound(link) => {
                let window = if link.proven { self.config.window.max(1) } else { 1 };
                link.paused_until.is_none() && link.sent.len() < window
            }
            State::Closed | State::Binding { .. } | State::Draining(_) | State::Unbinding { .. } => false,
        }
    }

    /// Whether a submit should wait for an answer to another one. Where this is false and [`Session::can_accept`] is
    /// too, waiting is of no use: a submit is refused at once.
    pub fn is_window_full(&self) -> bool {
        let paused = matches!(&self.state, State::Bound(link) if link.paused_until.is_some());
        matches!(self.state, State::Bound(_)) && !paused && !self.can_accept()
    }

    /// Whether there is no connection.
    pub fn is_closed(&self) -> bool {
        matches!(self.state, State::Closed)
    }

    /// How many submits await their answer.
    pub fn outstanding(&self) -> usize {
        match &self.state {
            State::Bound(link) | State::Draining(link) => link.sent.len(),
            State::Closed | State::Binding { .. } | State::Unbinding { .. } => 0,
        }
    }

    /// The next thing to do.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When [`Session::handle_timeout`] is wanted, and what for.
    pub fn poll_timeout(&self) -> Option<(Instant, Reason)> {
        let own = match &self.state {
            State::Closed => None,
            State::Binding { deadline, .. } => Some((*deadline, Reason::Bind)),
            State::Bound(link) | State::Draining(link) => link.timeout(),
            State::Unbinding { deadline, .. } => Some((*deadline, Reason::Unbind)),
        };
        own.into_iter().chain(self.joiner.deadline().map(|at| (at, Reason::MissingParts))).min()
    }

    /// Takes one input.
    pub fn handle_input(&mut self, now: Now, input: Input<'_>) {
        match input {
            Input::Connected => self.bind(now.mono),
            Input::Bytes(bytes) => self.take_bytes(now.mono, bytes),
            Input::Disconnected => self.end(CloseReason::Broken, false),
            Input::Submit(submit) => self.submit(now.mono, submit),
            Input::Kept(unanswered) => self.kept(unanswered),
            Input::Shutdown => self.shut_down(now.mono),
        }
        self.unbind_when_drained(now.mono);
    }

    /// Does what the clock asks for.
    pub fn handle_timeout(&mut self, now: Now) {
        for joined in self.joiner.expire(now.mono) {
            self.inbound(joined);
        }
        match &mut self.state {
            State::Closed => {}
            State::Binding { deadline, .. } if *deadline <= now.mono => self.end(CloseReason::BindTimeout, true),
            State::Unbinding { deadline, .. } if *deadline <= now.mono => self.end(CloseReason::Finished, true),
            State::Binding { .. } | State::Unbinding { .. } => {}
            State::Bound(_) | State::Draining(_) => self.link_timeouts(now.mono),
        }
        self.unbind_when_drained(now.mono);
    }

    fn link_timeouts(&mut self, now: Instant) {
        let (State::Bound(link) | State::Draining(link)) = &mut self.state else { return };
        if link.probe.is_some_and(|(_, deadline)| deadline <= now) {
            return self.end(CloseReason::LinkDead, true);
        }
        let overdue: Vec<u32> = link.sent.iter().filter(|(_, s)| s.deadline <= now).map(|(&n, _)| n).collect();
        let silent = !overdue.is_empty();
        for sequence in overdue {
            if let Some(Sent { message, part, .. }) = link.sent.remove(&sequence) {
                if link.late.len() >= LATE_KEPT {
                    link.late.pop_front();
                }
                link.late.push_back((sequence, message, part));
                self.outputs.push_back(Output::Event(Event::Uncertain { message, part }));
            }
        }
        if link.paused_until.is_some_and(|until| until <= now) {
            link.paused_until = None;
        }
        if silent {
            link.proven = false;
            link.pause(now);
        }
        // A lost answer puts the link in doubt: it is probed at once.
        let wanted = link.probe.is_none() && (silent || link.next_enquire <= now);
        if wanted {
            let sequence = self.next_sequence();
            let answer_by = now + self.response_time();
            let next = now + Duration::from_secs(self.config.enquire_s.max(1));
            if let State::Bound(link) | State::Draining(link) = &mut self.state {
                link.probe = Some((sequence, answer_by));
                link.next_enquire = next;
            }
            self.send(0, sequence, &Body::EnquireLink);
        }
    }

    fn bind(&mut self, now: Instant) {
        if !self.is_closed() {
            return;
        }
        self.input.clear();
        self.connection = self.connection.wrapping_add(1);
        let sequence = self.next_sequence();
        let body = Body::BindTransceiver {
            system_id: self.config.system_id.clone(),
            password: self.config.password.clone(),
            system_type: self.config.system_type.clone(),
        };
        self.state = State::Binding { sequence, deadline: now + self.response_time() };
        if !self.send(0, sequence, &body) {
            self.end(CloseReason::BadSettings, true);
        }
    }

    fn submit(&mut self, now: Instant, submit: Submit) {
        let Submit { message, part, to, encoding, user_data, has_header } = submit;
        let failed = |refusal, status| Output::Event(Event::Failed { message, part, refusal, status });
        if !self.can_accept() {
            return self.outputs.push_back(failed(Refusal::NotSent, 0));
        }
        let sequence = self.next_sequence();
        let config = &self.config;
        let body = Body::SubmitSm(ShortMessage {
            source: Address { ton: config.source_ton, npi: config.source_npi, digits: config.source.clone() },
            destination: Address { ton: config.destination_ton, npi: config.destination_npi, digits: to },
            // §5.2.12: bit 6 says that the user data has a header.
            esm_class: if has_header { 0x40 } else { 0 },
            // §5.2.17: a receipt of the final outcome, good or bad.
            registered_delivery: 1,
            data_coding: encoding.data_coding(),
            user_data,
            ..ShortMessage::default()
        });
        let deadline = now + self.response_time();
        if !self.send(0, sequence, &body) {
            return self.outputs.push_back(failed(Refusal::Permanent, status::INVALID_COMMAND_LENGTH));
        }
        if let State::Bound(link) = &mut self.state {
            link.sent.insert(sequence, Sent { message, part, deadline });
        }
    }

    fn shut_down(&mut self, now: Instant) {
        match std::mem::replace(&mut self.state, State::Closed) {
            State::Closed => {}
            binding @ State::Binding { .. } => {
                self.state = binding;
                self.end(CloseReason::Finished, true);
            }
            State::Bound(link) | State::Draining(link) => self.state = State::Draining(link),
            unbinding @ State::Unbinding { .. } => self.state = unbinding,
        }
        self.unbind_when_drained(now);
    }

    fn unbind_when_drained(&mut self, now: Instant) {
        if let State::Draining(link) = &self.state
            && link.sent.is_empty()
        {
            let sequence = self.next_sequence();
            self.state = State::Unbinding { sequence, deadline: now + self.response_time() };
            self.send(0, sequence, &Body::Unbind);
        }
    }

    fn take_bytes(&mut self, now: Instant, bytes: &[u8]) {
        if self.is_closed() {
            return;
        }
        // Whatever is heard is a sign of life: the answer may stand behind a thousand receipts.
        let answer_by = now + self.response_time();
        if let State::Bound(Link { probe: Some((_, deadline)), .. })
        | State::Draining(Link { probe: Some((_, deadline)), .. }) = &mut self.state
        {
            *deadline = answer_by;
        }
        self.input.extend_from_slice(bytes);
        let mut input = std::mem::take(&mut self.input);
        let mut used = 0;
        loop {
            match pdu::frame_length(&input[used..]) {
                Ok(Some(length)) => {
                    self.take_frame(now, &input[used..used + length]);
                    used += length;
                }
                Ok(None) => break,
                Err(_) => {
                    // §4.3: a length that cannot be is answered with a generic_nack of sequence 0; where the next
                    // PDU begins is then unknown.
                    self.send(status::INVALID_COMMAND_LENGTH, 0, &Body::GenericNack);
                    self.end(CloseReason::BadFraming, true);
                }
            }
            if self.is_closed() {
                return;
            }
        }
        // Never more than one unfinished PDU stays: 64 KiB at most.
        input.drain(..used);
        self.input = input;
    }

    fn take_frame(&mut self, now: Instant, frame: &[u8]) {
        let Ok((header, body)) = pdu::decode(frame) else { return };
        let Ok(body) = body else { return self.malformed(header) };
        match body {
            Body::BindTransceiverResp { system_id } => self.bind_answered(now, header, system_id),
            Body::SubmitSmResp { message_id } => self.submit_answered(now, header, message_id),
            Body::GenericNack => self.nacked(now, header),
            Body::DeliverSm(message) => self.delivered(now, header, &message),
            Body::EnquireLink => {
                self.send(0, header.sequence, &Body::EnquireLinkResp);
            }
            Body::EnquireLinkResp => self.enquire_answered(header),
            Body::Unbind => {
                self.send(0, header.sequence, &Body::UnbindResp);
                self.end(CloseReason::PeerUnbound, true);
            }
            Body::UnbindResp => {
                if matches!(self.state, State::Unbinding { sequence, .. } if sequence == header.sequence) {
                    self.end(CloseReason::Finished, true);
                }
            }
            Body::AlertNotification => {}
            // Requests that only a client sends, or that are not known here, and answers to nothing of ours.
            Body::BindTransceiver { .. } | Body::SubmitSm(_) | Body::DeliverSmResp | Body::Other { .. } => {
                self.out_of_place(header);
            }
        }
    }

    fn malformed(&mut self, header: Header) {
        self.outputs.push_back(Output::Event(Event::Malformed { command_id: header.command_id }));
        if header.command_id == 0x05 {
            // A deliver_sm that cannot be read now will not be readable later: it must not be sent for ever.
            self.send(status::RECEIVER_PERMANENT, header.sequence, &Body::DeliverSmResp);
        } else if !header.is_response() {
            self.send(status::INVALID_COMMAND_LENGTH, header.sequence, &Body::GenericNack);
        }
        // A broken response stays unanswered; its submit becomes uncertain in time.
    }

    fn out_of_place(&mut self, header: Header) {
        self.outputs.push_back(Output::Event(Event::Malformed { command_id: header.command_id }));
        if !header.is_response() {
            self.send(status::INVALID_COMMAND_ID, header.sequence, &Body::GenericNack);
        }
    }

    fn bind_answered(&mut self, now: Instant, header: Header, system_id: String) {
        match self.state {
            State::Binding { sequence, .. } if sequence == header.sequence => {}
            State::Closed | State::Binding { .. } | State::Bound(_) | State::Draining(_) | State::Unbinding { .. } => {
                return;
            }
        }
        if header.status != 0 {
            return self.end(CloseReason::BindRefused(header.status), true);
        }
        self.state = State::Bound(Link {
            sent: BTreeMap::new(),
            late: VecDeque::new(),
            probe: None,
            next_enquire: now + Duration::from_secs(self.config.enquire_s.max(1)),
            paused_until: None,
            next_pause: FIRST_PAUSE,
            proven: false,
        });
        self.outputs.push_back(Output::Event(Event::Connected { smsc: system_id }));
    }

    fn submit_answered(&mut self, now: Instant, header: Header, smsc_id: String) {
        let (State::Bound(link) | State::Draining(link)) = &mut self.state else { return };
        let Some((message, part)) = link.answered(header.sequence) else { return };
        link.proven = true;
        if header.status == 0 {
            link.next_pause = FIRST_PAUSE;
            return self.outputs.push_back(Output::Event(Event::Submitted { message, part, smsc_id }));
        }
        let refusal = status::classify(header.status);
        if refusal == Refusal::Throttled {
            link.pause(now);
        }
        self.outputs.push_back(Output::Event(Event::Failed { message, part, refusal, status: header.status }));
    }

    /// §4.3: the SMS centre could not read a PDU of ours, or had no use for it.
    fn nacked(&mut self, now: Instant, header: Header) {
        let status = if header.status == 0 { status::UNKNOWN_ERROR } else { header.status };
        match &mut self.state {
            State::Binding { sequence, .. } if *sequence == header.sequence => {
                self.end(CloseReason::BindRefused(status), true);
            }
            State::Unbinding { sequence, .. } if *sequence == header.sequence => self.end(CloseReason::Finished, true),
            State::Bound(link) | State::Draining(link) => {
                if link.probe.is_some_and(|(sequence, _)| sequence == header.sequence) {
                    // It lives, whatever it thinks of enquire_link.
                    link.probe = None;
                } else {
                    self.submit_answered(now, Header { status, ..header }, String::new());
                }
            }
            State::Closed | State::Binding { .. } | State::Unbinding { .. } => {}
        }
    }

    fn enquire_answered(&mut self, header: Header) {
        if let State::Bound(link) | State::Draining(link) = &mut self.state
            && link.probe.is_some_and(|(sequence, _)| sequence == header.sequence)
        {
            link.probe = None;
        }
    }

    fn delivered(&mut self, now: Instant, header: Header, message: &ShortMessage) {
        if matches!(self.state, State::Closed | State::Binding { .. }) {
            return self.out_of_place(header);
        }
        let from = message.source.digits.clone();
        if receipt::is_receipt(message) {
            if let Some(receipt) = receipt::read(message, self.config.receipt_ids) {
                let unanswered = Unanswered { connection: self.connection, sequence: header.sequence };
                return self.outputs.push_back(Output::Event(Event::Receipt { receipt, to: from, unanswered }));
            }
            self.outputs.push_back(Output::Event(Event::Malformed { command_id: header.command_id }));
        } else {
            self.take_inbound(now, from, message);
        }
        self.send(0, header.sequence, &Body::DeliverSmResp);
    }

    /// §4.6.2: the answer that lets the SMS centre forget.
    fn kept(&mut self, unanswered: Unanswered) {
        let bound = matches!(self.state, State::Bound(_) | State::Draining(_) | State::Unbinding { .. });
        if bound && unanswered.connection == self.connection {
            self.send(0, unanswered.sequence, &Body::DeliverSmResp);
        }
    }

    fn take_inbound(&mut self, now: Instant, from: String, message: &ShortMessage) {
        let to = message.destination.digits.clone();
        let split = if message.esm_class & 0x40 != 0 { text::split_header(&message.user_data) } else { None };
        let (header, body) = split.unwrap_or((None, &message.user_data));
        let by_tlv = message.sar.map(|(reference, total, part)| Concatenation { reference, total, part });
        match header.or(by_tlv) {
            Some(at) if at.total > 1 => {
                for joined in self.joiner.add(now, (&from, &to), at, message.data_coding, body) {
                    self.inbound(joined);
                }
            }
            _ => self.inbound(Joined { from, to, text: text::decode(message.data_coding, body) }),
        }
    }

    fn inbound(&mut self, Joined { from, to, text }: Joined) {
        self.outputs.push_back(Output::Event(Event::Inbound { from, to, text }));
    }

    /// The connection's end: whatever has no answer is uncertain.
    fn end(&mut self, why: CloseReason, close: bool) {
        match std::mem::replace(&mut self.state, State::Closed) {
            State::Closed => return,
            State::Bound(link) | State::Draining(link) => {
                for Sent { message, part, .. } in link.sent.into_values() {
                    self.outputs.push_back(Output::Event(Event::Uncertain { message, part }));
                }
            }
            State::Binding { .. } | State::Unbinding { .. } => {}
        }
        self.input = Vec::new();
        self.outputs.push_back(Output::Event(Event::Disconnected { why }));
        if close {
            self.outputs.push_back(Output::Close(why));
        }
    }

    fn send(&mut self, status: u32, sequence: u32, body: &Body) -> bool {
        let mut bytes = Vec::with_capacity(64);
        let written = pdu::encode(status, sequence, body, &mut bytes).is_ok();
        if written {
            self.outputs.push_back(Output::Bytes(bytes));
        }
        written
    }

    /// §5.1.4: from 1 to 0x7FFFFFFF, then from 1 again.
    fn next_sequence(&mut self) -> u32 {
        self.sequence = if self.sequence >= 0x7FFF_FFFF { 1 } else { self.sequence + 1 };
        self.sequence
    }

    fn response_time(&self) -> Duration {
        Duration::from_secs(self.config.response_s.max(1))
    }
}

impl Link {
    fn timeout(&self) -> Option<(Instant, Reason)> {
        let response = self.sent.values().map(|s| s.deadline).min().map(|at| (at, Reason::Response));
        let probe = self.probe.map(|(_, at)| (at, Reason::EnquireResponse));
        // While a probe is out its own deadline rules.
        let enquire = self.probe.is_none().then_some((self.next_enquire, Reason::Enquire));
        let pause = self.paused_until.map(|at| (at, Reason::PauseOver));
        [response, probe, enquire, pause].into_iter().flatten().min()
    }

    fn answered(&mut self, sequence: u32) -> Option<(MessageId, u8)> {
        if let Some(sent) = self.sent.remove(&sequence) {
            return Some((sent.message, sent.part));
        }
        let at = self.late.iter().position(|(late, ..)| *late == sequence)?;
        self.late.remove(at).map(|(_, message, part)| (message, part))
    }

    fn pause(&mut self, now: Instant) {
        // Several answers to one burst are one pause.
        if self.paused_until.is_none() {
            self.paused_until = Some(now + self.next_pause);
            self.next_pause = (self.next_pause * 2).min(LONGEST_PAUSE);
        }
    }
}
