//! A telephone: a real SIP endpoint, a real offer/answer session a call, a voice that is one tone, and manners.

use crate::city::{self, AGENTS, REALM, TRUNK};
use bytes::Bytes;
use hotline::{
    clock::Now,
    ids::{IdGen, LegId},
    media::{
        codec::Codec,
        dtmf,
        engine::LegParams,
        rtp,
        sdp::{Direction, LocalMedia, Session},
        tone::{self, Sine},
    },
    sip::{
        auth::Challenge,
        endpoint::{
            Endpoint, EndpointConfig, Event, Flow, Input, LegEvent, OutgoingInvite, OutgoingRequest, TransactionId,
            Transport,
        },
        message::{Header, HeaderName, Method, NameAddr, Response, Uri},
    },
};
use std::{
    collections::{BTreeMap, VecDeque},
    net::SocketAddr,
    time::{Duration, Instant},
};

/// Samples that are kept of what is heard: 200 ms.
const KEPT: usize = 1_600;
/// How often a registration is refreshed.
const REFRESH: Duration = Duration::from_secs(240);
/// A tone louder than this is heard.
const AUDIBLE: f64 = -30.0;

/// What a telephone does when it is rung.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manner {
    AnswersAfter(Duration),
    NeverAnswers,
    Refuses(u16),
}

/// What a telephone does of its own accord, at its time.
#[derive(Clone, Debug)]
pub enum Act {
    Answer(LegId),
    Refuse(LegId, u16),
    HangUp(LegId),
    Speak(LegId),
    Key(LegId, char),
    /// Registers once more, before the registration expires.
    Register,
}

/// Where one of its calls stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Line {
    Calling,
    /// It rings here.
    Rung,
    Up,
    /// How it ended: `busy here`, `487`, `BYE`.
    Over(String),
}

pub struct PhoneLeg {
    pub line: Line,
    /// Whether it was ever up.
    pub was_up: bool,
    /// The latest provisional status that came.
    pub progress: u16,
    pub session: Session,
    pub params: Option<LegParams>,
    rtp: SocketAddr,
    answer: Option<Bytes>,
    sequence: u16,
    timestamp: u32,
    voice: Sine,
    heard: VecDeque<i16>,
    heard_at: Option<Instant>,
    keys: dtmf::Receiver,
    /// Keys that came from the other side.
    pub keyed: String,
    /// How its own re-INVITEs ended.
    pub offers: Vec<u16>,
    /// How its other requests inside the dialog were answered.
    pub answers: Vec<u16>,
}

struct Registration {
    transaction: TransactionId,
    call_id: Bytes,
    password: String,
    cseq: u32,
}

pub struct Phone {
    pub name: String,
    pub endpoint: Endpoint,
    pub sip: SocketAddr,
    pub server: SocketAddr,
    /// The number of its TCP connection; None: it speaks UDP.
    pub connection: Option<u64>,
    pub manner: Manner,
    /// A dead one neither sends nor receives, but does not know.
    pub dead: bool,
    /// Sends no RTP.
    pub mute: bool,
    pub tone: f64,
    pub codecs: Vec<Codec>,
    pub legs: BTreeMap<LegId, PhoneLeg>,
    pub wishes: Vec<(Duration, Act)>,
    pub rtp_out: Vec<(SocketAddr, SocketAddr, Bytes)>,
    /// The final status of its last REGISTER.
    pub registered: Option<u16>,
    /// Whether it keeps its registration up.
    pub stays: bool,
    registration: Option<Registration>,
    /// What its last call was challenged with: the next one proves who calls.
    challenge: Option<Challenge>,
    ids: IdGen,
    next_port: u16,
}

impl Phone {
    pub fn new(number: u16, name: &str, sip: SocketAddr, agent: bool, seed: [u8; 32]) -> Self {
        let ids = IdGen::new(number, 1);
        Phone {
            name: name.to_owned(),
            endpoint: Endpoint::new(EndpointConfig::default(), ids.clone(), seed),
            sip,
            server: if agent { AGENTS } else { TRUNK }.parse().expect("an address"),
            connection: None,
            manner: Manner::AnswersAfter(Duration::from_secs(1)),
            dead: false,
            mute: false,
            tone: 500.0 + 110.0 * f64::from(number % 25),
            codecs: vec![Codec::Pcma, Codec::Pcmu],
            legs: BTreeMap::new(),
            wishes: Vec::new(),
            rtp_out: Vec::new(),
            registered: None,
            stays: true,
            registration: None,
            challenge: None,
            ids,
            next_port: 10_000,
        }
    }

    /// Its way to the switch.
    pub fn flow(&self) -> Flow {
        let (transport, connection) = self.connection.map_or((Transport::Udp, 0), |number| (Transport::Tcp, number));
        Flow { transport, local: self.sip, remote: self.server, connection }
    }

    /// The same way as the switch sees it.
    pub fn flow_to_it(&self) -> Flow {
        Flow { local: self.server, remote: self.sip, ..self.flow() }
    }

    fn new_leg(&mut self, id: LegId, line: Line) -> &mut PhoneLeg {
        let rtp = SocketAddr::new(self.sip.ip(), self.next_port);
        self.next_port = if self.next_port > 50_000 { 10_000 } else { self.next_port + 2 };
        let session = Session::new(LocalMedia { rtp, session_id: id.0, codecs: self.codecs.clone(), ptime_ms: 20 });
        let leg = PhoneLeg {
            line,
            was_up: false,
            progress: 0,
            session,
            params: None,
            rtp,
            answer: None,
            sequence: 1,
            timestamp: 160,
            voice: Sine::new(self.tone, 8_000.0),
            heard: VecDeque::new(),
            heard_at: None,
            keys: dtmf::Receiver::default(),
            keyed: String::new(),
            offers: Vec::new(),
            answers: Vec::new(),
        };
        self.legs.entry(id).or_insert(leg)
    }

    /// Dials a number. `offer`: the session description where it is not the telephone's own; `delayed`: none at all.
    pub fn dial(&mut self, now: Now, from: &str, number: &str, offer: Option<Bytes>, delayed: bool) -> LegId {
        let id = LegId(self.ids.next());
        let own = self.new_leg(id, Line::Calling);
        let sdp = if delayed { None } else { Some(offer.unwrap_or_else(|| own.session.offer(Direction::SendRecv))) };
        let (server, ip) = (self.server, self.sip.ip());
        let target = uri(&format!("sip:{number}@{server}"));
        let proof = self.challenge.take().map(|challenge| {
            let password = city::password(&self.name);
            let value = challenge.answer(&self.name, &password, &Method::Invite, &target, b"", "0a1b2c3d", 1);
            Header { name: HeaderName::Authorization, value }
        });
        let invite = OutgoingInvite {
            flow: self.flow(),
            uri: uri(&format!("sip:{number}@{server}")),
            from: NameAddr::new(uri(&format!("sip:{from}@{ip}"))),
            to: NameAddr::new(uri(&format!("sip:{number}@{server}"))),
            route: Vec::new(),
            headers: proof.into_iter().collect(),
            sdp,
            again: None,
        };
        self.endpoint.invite(now, id, invite).expect("a new leg");
        id
    }

    /// Registers itself with a password.
    pub fn register(&mut self, now: Now, password: &str) {
        self.registered = None;
        let call_id = Bytes::from(format!("registration-{}-{}", self.name, self.ids.next()));
        self.send_register(now, call_id, password.to_owned(), 1, Vec::new());
    }

    fn send_register(&mut self, now: Now, call_id: Bytes, password: String, cseq: u32, headers: Vec<Header>) {
        let own = NameAddr::new(uri(&format!("sip:{}@{REALM}", self.name)));
        let request = OutgoingRequest {
            flow: self.flow(),
            method: Method::Register,
            uri: uri(&format!("sip:{}", self.server)),
            from: own.clone(),
            to: own,
            route: Vec::new(),
            headers,
            body: Bytes::new(),
            again: Some((call_id.clone(), cseq)),
        };
        let transaction = self.endpoint.send(now, request).expect("a REGISTER");
        self.registration = Some(Registration { transaction, call_id, password, cseq });
    }

    fn register_answered(
        &mut self,
        now: Now,
        transaction: TransactionId,
        status: u16,
        response: Option<Box<Response>>,
    ) {
        let Some(own) = self.registration.take_if(|own| own.transaction == transaction) else { return };
        let challenge = response.and_then(|r| Challenge::first(&r.headers, &HeaderName::WwwAuthenticate));
        match challenge {
            Some(challenge) if status == 401 && own.cseq == 1 => {
                let target = uri(&format!("sip:{}", self.server));
                let value = challenge.answer(&self.name, &own.password, &Method::Register, &target, b"", "0a1b2c3d", 1);
                let header = Header { name: HeaderName::Authorization, value };
                self.send_register(now, own.call_id, own.password, 2, vec![header]);
            }
            _ => self.registered = Some(status),
        }
        if self.registered == Some(200) && self.stays {
            self.wishes.push((REFRESH, Act::Register));
        }
    }

    /// The calls that are not over, oldest first.
    pub fn lines(&self) -> Vec<LegId> {
        self.legs.iter().filter(|(_, leg)| !matches!(leg.line, Line::Over(_))).map(|(id, _)| *id).collect()
    }

    /// Does what it wanted to do; the call may be over meanwhile.
    pub fn act(&mut self, now: Now, act: Act, voice: Duration) {
        match act {
            Act::Answer(id) => self.answer(now, id),
            Act::Refuse(id, status) => drop(self.endpoint.reject(now, id, status, "", &[])),
            Act::HangUp(id) => drop(self.endpoint.hang_up(now, id, &[])),
            Act::Speak(id) => self.speak(id, voice),
            Act::Key(id, key) => self.key(id, key),
            Act::Register => self.register(now, &city::password(&self.name.clone())),
        }
    }

    fn answer(&mut self, now: Now, id: LegId) {
        if let Some(leg) = self.legs.get(&id).filter(|leg| leg.line == Line::Rung)
            && let Some(answer) = leg.answer.clone()
        {
            let _ = self.endpoint.answer(now, id, answer);
        }
    }

    /// Offers another direction: `SendOnly` holds, `SendRecv` resumes.
    pub fn reinvite(&mut self, now: Now, id: LegId, direction: Direction) {
        if let Some(leg) = self.legs.get_mut(&id) {
            let offer = leg.session.offer(direction);
            let _ = self.endpoint.offer(now, id, offer);
        }
    }

    /// Holds as telephones did before RFC 3264: the address to send to is all zeros.
    pub fn hold_by_zeros(&mut self, now: Now, id: LegId) {
        if let Some(leg) = self.legs.get_mut(&id) {
            let offer = leg.session.offer(Direction::SendRecv);
            let own = format!("c=IN IP4 {}", self.sip.ip());
            let zeros = String::from_utf8_lossy(&offer).replace(&own, "c=IN IP4 0.0.0.0");
            let _ = self.endpoint.offer(now, id, zeros.into());
        }
    }

    /// Asks for a sign of life inside the dialog.
    pub fn probe(&mut self, now: Now, id: LegId) {
        let _ = self.endpoint.request(now, id, Method::Options, &[], Bytes::new());
    }

    pub fn receive(&mut self, now: Now, flow: Flow, bytes: Bytes) {
        if !self.dead {
            self.endpoint.handle_input(now, Input::Packet { flow, bytes });
        }
    }

    pub fn take(&mut self, now: Now, event: Event) {
        match event {
            Event::Invite { leg, request, .. } => self.rung(now, leg, &request.body),
            Event::Request { transaction, request, .. } => {
                let _ = self.endpoint.respond(now, transaction, Response::to_request(&request, 200, "OK"));
            }
            Event::Response { transaction, status, response } => {
                self.register_answered(now, transaction, status, response)
            }
            Event::Leg { leg, event } => self.leg_event(now, leg, event),
        }
    }

    fn rung(&mut self, now: Now, id: LegId, offer: &[u8]) {
        let leg = self.new_leg(id, Line::Rung);
        let Ok((answer, params)) = leg.session.answer(offer, Direction::SendRecv) else {
            let _ = self.endpoint.reject(now, id, 488, "", &[]);
            return;
        };
        leg.answer = Some(answer);
        leg.params = Some(params);
        match self.manner {
            Manner::Refuses(status) => self.wishes.push((Duration::from_millis(50), Act::Refuse(id, status))),
            Manner::AnswersAfter(after) => {
                let _ = self.endpoint.progress(now, id, 180, "", None);
                self.wishes.push((after, Act::Answer(id)));
            }
            Manner::NeverAnswers => drop(self.endpoint.progress(now, id, 180, "", None)),
        }
    }

    fn leg_event(&mut self, now: Now, id: LegId, event: LegEvent) {
        let Some(leg) = self.legs.get_mut(&id) else { return };
        match event {
            LegEvent::Progress { response, .. } => leg.progress = response.status,
            LegEvent::Answered { sdp, .. } => {
                let Some(sdp) = sdp else { return };
                if leg.session.offer_pending() {
                    leg.params = Some(leg.session.accept_answer(&sdp).expect("a sound answer"));
                } else {
                    let (answer, params) = leg.session.answer(&sdp, Direction::SendRecv).expect("a sound offer");
                    leg.params = Some(params);
                    self.endpoint.ack(now, id, answer).expect("an ACK is owed");
                }
                self.up(id);
            }
            LegEvent::Confirmed { .. } => self.up(id),
            LegEvent::Offer { transaction, sdp, .. } => {
                let answer = match sdp {
                    Some(sdp) => leg.session.answer(&sdp, Direction::SendRecv).map(|(body, params)| {
                        leg.params = Some(params);
                        body
                    }),
                    None => Ok(leg.session.offer(Direction::SendRecv)),
                };
                let _ = match answer {
                    Ok(answer) => self.endpoint.accept_offer(now, id, transaction, answer),
                    Err(why) => self.endpoint.reject_offer(now, id, transaction, why.status()),
                };
            }
            LegEvent::OfferConfirmed { sdp } | LegEvent::OfferAnswered { sdp } => {
                if let Some(Ok(params)) = sdp.map(|sdp| leg.session.accept_answer(&sdp)) {
                    leg.params = Some(params);
                }
                leg.offers.push(200);
            }
            LegEvent::OfferFailed { status } => {
                leg.session.offer_failed();
                leg.offers.push(status);
            }
            LegEvent::Request { transaction, request } => {
                let _ = self.endpoint.respond(now, transaction, Response::to_request(&request, 200, "OK"));
            }
            LegEvent::Response { status, .. } => leg.answers.push(status),
            LegEvent::Cancelled { .. } => leg.line = Line::Over("CANCEL".to_owned()),
            LegEvent::NoAck => leg.line = Line::Over("no ACK".to_owned()),
            LegEvent::Failed { status, response } => {
                leg.line = Line::Over(status.to_string());
                self.challenge = response.and_then(|r| Challenge::first(&r.headers, &HeaderName::WwwAuthenticate));
            }
            LegEvent::Ended { .. } => leg.line = Line::Over("BYE".to_owned()),
            LegEvent::Gone => leg.line = Line::Over("hung up".to_owned()),
            LegEvent::Lost { .. } => leg.line = Line::Over("lost".to_owned()),
        }
    }

    fn up(&mut self, id: LegId) {
        if let Some(leg) = self.legs.get_mut(&id) {
            leg.line = Line::Up;
            if !std::mem::replace(&mut leg.was_up, true) {
                self.wishes.push((Duration::from_millis(1), Act::Speak(id)));
            }
        }
    }

    /// Sends 20 ms of its voice, and wants to do so again after `every`.
    fn speak(&mut self, id: LegId, every: Duration) {
        let Some(leg) = self.legs.get_mut(&id).filter(|leg| leg.line == Line::Up) else { return };
        self.wishes.push((every, Act::Speak(id)));
        let Some(params) = leg.params.as_ref().filter(|params| params.send && !self.mute) else { return };
        let mut samples = [0; 160];
        leg.voice.fill(&mut samples);
        let mut payload = [0; 160];
        params.codec.encode_slice(&samples, &mut payload);
        let (pt, to) = (params.send_pt, params.remote);
        leg.timestamp = leg.timestamp.wrapping_add(every.as_millis() as u32 * 8);
        let timestamp = leg.timestamp;
        if let Some(to) = to {
            self.send_rtp(id, to, pt, timestamp, &payload);
        }
    }

    fn send_rtp(&mut self, id: LegId, to: SocketAddr, pt: u8, timestamp: u32, payload: &[u8]) {
        let Some(leg) = self.legs.get_mut(&id) else { return };
        let mut head = [0; rtp::HEADER];
        leg.sequence = leg.sequence.wrapping_add(1);
        rtp::write_header(&mut head, false, pt, leg.sequence, timestamp, id.0 as u32);
        self.rtp_out.push((leg.rtp, to, [&head[..], payload].concat().into()));
    }

    /// Presses a key: three packets, the last of them the end (RFC 4733).
    fn key(&mut self, id: LegId, key: char) {
        let Some(leg) = self.legs.get_mut(&id).filter(|leg| leg.line == Line::Up) else { return };
        let Some(params) = leg.params.clone() else { return };
        let (Some(pt), Some(to), Some(event)) = (params.send_dtmf, params.remote, dtmf::event(key)) else { return };
        leg.timestamp = leg.timestamp.wrapping_add(160);
        let timestamp = leg.timestamp;
        for (flags, duration) in [(10, 160u16), (10, 320), (0x8a, 480)] {
            let [high, low] = duration.to_be_bytes();
            self.send_rtp(id, to, pt, timestamp, &[event, flags, high, low]);
        }
    }

    /// Hears a packet.
    pub fn hear(&mut self, now: Now, to: SocketAddr, packet: &[u8]) {
        let Some(leg) = self.legs.values_mut().find(|leg| leg.rtp == to && !matches!(leg.line, Line::Over(_))) else {
            return;
        };
        let (Ok(header), Some(params)) = (rtp::Header::parse(packet), &leg.params) else { return };
        let payload = &packet[header.start..header.end];
        if Some(header.payload_type) == params.receive_dtmf {
            leg.keyed.extend(leg.keys.receive(header.ssrc, header.timestamp, payload));
        } else if header.payload_type == params.receive_pt {
            leg.heard.extend(payload.iter().map(|octet| params.codec.decode(*octet)));
            let more = leg.heard.len().saturating_sub(KEPT);
            leg.heard.drain(..more);
            leg.heard_at = Some(now.mono);
        }
    }

    /// Whether one of its calls hears a tone at this moment.
    pub fn hears(&self, now: Now, hertz: f64) -> bool {
        self.lines().iter().map(|id| &self.legs[id]).any(|leg| {
            let fresh = leg.heard_at.is_some_and(|at| now.mono.duration_since(at) < Duration::from_millis(100));
            let samples: Vec<i16> = leg.heard.iter().copied().collect();
            fresh && samples.len() == KEPT && tone::level(&samples, hertz) > AUDIBLE
        })
    }
}

fn uri(text: &str) -> Uri {
    Uri::parse(text.to_owned()).expect("a URI")
}
