//! The switch: the SIP endpoint, the registrar, the ACD and all calls of one shard, driven together.
//!
//! It has no I/O and no clock either, so that whole stories run on a virtual clock (`tests/sim`): the shell
//! (`app::switch_task`) brings packets, time, media events and commands, and carries out what comes back. Calls are
//! driven here directly and not by a task each: a step of a call is a function call, not two wake-ups
//! (docs/decisions/0002-calls-are-driven-by-their-switch.md).

mod admission;
mod gate;
mod outbound;
mod reconfigure;
mod registration;

use crate::{
    acd::{Acd, message as acd, reconfigure::Rostered},
    call::{
        Call, Command, Rejected,
        cdr::{CallRecord, Ending, LegRecord, LegStateName, StateName, What, Whose},
        message::{self as call, HotlineRefusal, HotlineTarget, Said, SipCommand},
    },
    clock::Now,
    config,
    ids::{AgentNo, CallId, Extension, HotlineNo, IdGen, LegId, QueueName},
    media::engine as media,
    sip::{
        auth::{Authenticator, Ha1Set},
        dialog::DialogSnapshot,
        endpoint::{self, Access, Endpoint, Flow, Rule},
        registrar::{BindingSnapshot, Registrar},
    },
};
use bytes::Bytes;
use rand::rngs::StdRng;
use std::{
    collections::{BTreeMap, BTreeSet, HashMap, VecDeque},
    io,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::{Duration, Instant},
};

pub use gate::{Profile, RouteTo};
pub use reconfigure::{Change, Leftover};

/// How long a party that should be heard is not, before that is told.
const ONE_WAY: Duration = Duration::from_secs(10);

/// What the switch decides by; replaced whole when settings change.
#[derive(Clone, Debug)]
pub struct Config {
    /// Those that are enabled.
    pub profiles: Vec<Profile>,
    /// Digest secrets by user.
    pub credentials: HashMap<String, Ha1Set>,
    /// Departmental hotlines by number.
    pub hotlines: HashMap<HotlineNo, HotlineEntry>,
    /// Agents who sign in by registering their telephone, by its extension.
    pub seats: HashMap<Extension, Seat>,
    /// The digest's realm, of which the credentials are a part.
    pub realm: String,
    /// This host's own addresses, which an access list may name as `local`.
    pub own_addresses: Vec<IpAddr>,
    /// What new calls are made with.
    pub call: Arc<call::Settings>,
}

impl Config {
    /// Who may speak at which of our addresses, as the profiles say.
    pub fn access(&self) -> Access {
        let whole = |ip: &IpAddr| (*ip, if ip.is_ipv4() { 32 } else { 128 });
        let rules = self.profiles.iter().flat_map(|profile| {
            let config::Profile { listen, allow, limits, .. } = &profile.settings;
            let own = self.own_addresses.iter().filter(|_| allow.local).map(whole);
            let networks: Vec<_> = allow.networks.iter().map(config::Network::parts).chain(own).collect();
            listen.iter().map(move |listener| Rule {
                local: listener.address,
                networks: networks.clone(),
                transactions_per_peer: limits.transactions_per_peer,
            })
        });
        Access::of(rules.collect())
    }

    fn find_hotline(&self, hotline: &HotlineNo, now: Now) -> Result<HotlineTarget, HotlineRefusal> {
        let entry = self.hotlines.get(hotline).ok_or(HotlineRefusal::Unknown)?;
        let target = entry.target.clone()?;
        let open = entry.calendar.as_ref().is_none_or(|calendar| self.call.hours.open(calendar, now.wall));
        if open { Ok(target) } else { Err(HotlineRefusal::Closed) }
    }
}

/// A departmental hotline: where it leads, and when.
#[derive(Clone, Debug)]
pub struct HotlineEntry {
    /// Where it is rung, or why it never is.
    pub target: Result<HotlineTarget, HotlineRefusal>,
    /// The calendar of its opening hours; None: always open.
    pub calendar: Option<String>,
}

/// An agent who signs in by registering a telephone.
#[derive(Clone, Debug)]
pub struct Seat {
    /// 工号.
    pub agent: AgentNo,
    /// Levels 1–9 by skill.
    pub skills: Vec<(String, u8)>,
    /// Ready at once.
    pub ready: bool,
}

/// The media side, as the switch sees it. Commands must never block.
pub trait MediaPort {
    /// Opens the sockets of a leg.
    ///
    /// # Errors
    /// No port is free, or the system refused.
    fn open(&mut self, group: CallId, leg: LegId) -> io::Result<SocketAddr>;
    /// Hands a command to the engine; one that does not fit is dropped and counted.
    fn command(&mut self, group: CallId, command: media::Command);
    /// Closes the sockets of a leg; nothing happens where they are closed.
    fn close(&mut self, group: CallId, leg: LegId);
}

/// What the switch is told, beside time.
#[derive(Debug)]
pub enum Input {
    /// A SIP message came, or can no longer be sent.
    Sip(endpoint::Input),
    /// The media engine told something of a call.
    Media(media::CallEvent),
    /// The spool made the record of an accepted call durable, or could not.
    Spooled {
        /// Which one.
        call: CallId,
        /// False: it could not be written, and the call is refused with 503.
        durable: bool,
    },
    /// A change to agents by API.
    Acd(acd::Input),
    /// No new calls from here on; those in progress go on.
    Drain,
}

/// What the switch wants done.
#[derive(Debug)]
pub enum Output {
    /// A SIP message to be sent.
    Transmit {
        /// Where to.
        flow: Flow,
        /// The whole message.
        bytes: Bytes,
    },
    /// Make this accepted call durable, then say `Spooled`.
    Spool(Box<CallRecord>),
    /// The record changed; a milestone also goes to the spool.
    Changed {
        /// The record so far.
        record: Box<CallRecord>,
        /// A restart must know of the change.
        milestone: bool,
    },
    /// A dialog came to be: kept, so that it can be ended after a crash.
    Dialog {
        /// Whose dialog.
        call: CallId,
        /// Whose, within the call.
        leg: LegId,
        /// What is needed to send a BYE.
        snapshot: Box<DialogSnapshot>,
    },
    /// Something for the event stream and the ticket's history.
    Said {
        /// Which call.
        call: CallId,
        /// What happened.
        said: Said,
    },
    /// The call is over, its record complete.
    Over(Box<CallRecord>),
    /// A recording is sealed and on the disk.
    RecordingDone {
        /// Whose.
        call: CallId,
        /// `media::Event::RecordingDone`, with its length and flags.
        event: media::Event,
    },
    /// Somebody on a call has not been heard for so long, while another was.
    OneWay {
        /// Which.
        call: CallId,
        /// Whose voice did not come.
        whose: Whose,
        /// For how long.
        length: Duration,
    },
    /// An agent's state to be shown is another.
    AgentChanged {
        /// Who; [`Switch::acd`] has its present state.
        agent: AgentNo,
    },
    /// A queue's state to be shown is another.
    QueueChanged {
        /// Which one; [`Switch::acd`] has its present state.
        queue: QueueName,
    },
    /// A change of an agent's presence, for the reports.
    AgentTransition(acd::AgentTransition),
    /// A telephone's first registration came, or its last one went.
    Registered {
        /// Whose.
        extension: Extension,
        /// Whether it can be rung now.
        registered: bool,
    },
    /// Where a telephone can be reached changed: kept, so that it can be rung after a restart.
    Bindings {
        /// Whose.
        extension: Extension,
        /// All that it has now, those over connections left out.
        bindings: Vec<BindingSnapshot>,
    },
}

/// How many entries the switch's tables have; without calls there are none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Held {
    /// Calls in progress.
    pub calls: usize,
    /// Legs with their call.
    pub legs: usize,
    /// Legs whose telephone can be rung elsewhere.
    pub rung: usize,
    /// Agents who called by themselves.
    pub engaged: usize,
    /// Calls that wait for a moment.
    pub timers: usize,
    /// Calls that count against a profile's limit.
    pub admitted: usize,
}

/// The switch of one shard.
pub struct Switch<M> {
    config: Arc<Config>,
    /// The agents by the settings; empty until these are changed for the first time.
    roster: BTreeMap<AgentNo, Rostered>,
    ids: IdGen,
    endpoint: Endpoint,
    registrar: Registrar,
    auth: Authenticator,
    acd: Acd,
    calls: HashMap<CallId, Call>,
    admission: admission::Admission,
    legs: HashMap<LegId, CallId>,
    /// Legs whose telephone has more contacts than the one that is being rung.
    rung: HashMap<LegId, outbound::Rung>,
    /// Legs that are expected to be heard and are not.
    /// Whether that was told.
    quiet: HashMap<LegId, bool>,
    /// Agents who called by themselves.
    engaged: HashMap<CallId, AgentNo>,
    timers: BTreeSet<(Instant, CallId)>,
    /// For when each call is in `timers`, once at most.
    armed: HashMap<CallId, Instant>,
    media: M,
    rng: StdRng,
    draining: bool,
    output: VecDeque<Output>,
}

/// What a switch is built of.
pub struct Parts<M> {
    /// What it decides by at first.
    pub config: Arc<Config>,
    /// Where new ids come from.
    pub ids: IdGen,
    /// SIP's transactions and dialogs.
    pub endpoint: Endpoint,
    /// Where telephones can be reached.
    pub registrar: Registrar,
    /// Challenges and digests.
    pub auth: Authenticator,
    /// Queues and agents.
    pub acd: Acd,
    /// The media side.
    pub media: M,
    /// For what must not be guessed, such as nonces.
    pub rng: StdRng,
}

impl<M: MediaPort> Switch<M> {
    /// A switch without calls.
    pub fn new(parts: Parts<M>) -> Self {
        let Parts { config, ids, mut endpoint, registrar, auth, acd, media, rng } = parts;
        endpoint.set_access(config.access());
        Switch {
            config,
            roster: BTreeMap::new(),
            ids,
            endpoint,
            registrar,
            auth,
            acd,
            calls: HashMap::new(),
            admission: admission::Admission::default(),
            legs: HashMap::new(),
            rung: HashMap::new(),
            quiet: HashMap::new(),
            engaged: HashMap::new(),
            timers: BTreeSet::new(),
            armed: HashMap::new(),
            media,
            rng,
            draining: false,
            output: VecDeque::new(),
        }
    }

    /// Takes what happened.
    pub fn handle_input(&mut self, now: Now, input: Input) {
        match input {
            Input::Sip(input) => {
                // Before the endpoint looks for other ways: afterwards no leg is on the connection any more.
                if let endpoint::Input::FlowFailed { flow } = &input {
                    self.flow_failed(now, *flow);
                }
                self.endpoint.handle_input(now, input);
            }
            Input::Media(event) => self.media_event(now, event),
            Input::Spooled { call, durable } => {
                let input = if durable { call::Input::Spooled } else { call::Input::SpoolFailed };
                self.tell(now, call, input);
            }
            Input::Acd(input) => self.tell_acd(now, input),
            Input::Drain => self.draining = true,
        }
        self.settle(now);
    }

    /// Carries out a command on a call.
    ///
    /// # Errors
    /// None: no such call is in progress. Otherwise why the call refused; nothing changed.
    pub fn command(&mut self, now: Now, call: CallId, command: Command) -> Result<(), Option<Rejected>> {
        let result = match self.calls.get_mut(&call) {
            Some(call) => call.handle_command(now, command).map_err(Some),
            None => Err(None),
        };
        self.follow(now, call);
        self.settle(now);
        result
    }

    /// The next thing to do, until None.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.output.pop_front()
    }

    /// When [`Switch::handle_timeout`] wants to be called.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let calls = self.timers.first().map(|(at, _)| *at);
        [calls, self.endpoint.poll_timeout(), self.acd.poll_timeout(), self.registrar.poll_timeout()]
            .into_iter()
            .flatten()
            .min()
    }

    /// Takes the passing of time.
    pub fn handle_timeout(&mut self, now: Now) {
        self.endpoint.handle_timeout(now);
        self.acd.handle_timeout(now);
        self.registrar.handle_timeout(now);
        while let Some((at, id)) = self.timers.first().copied()
            && at <= now.mono
        {
            self.timers.pop_first();
            self.armed.remove(&id);
            if let Some(call) = self.calls.get_mut(&id) {
                call.handle_timeout(now);
                self.follow(now, id);
            }
        }
        self.settle(now);
    }

    /// Frees agents whose call is gone: state is held against living calls every few seconds, so that nobody is stuck.
    pub fn reconcile(&mut self, now: Now) {
        let calls = &self.calls;
        self.acd.reconcile(now, |call| calls.contains_key(&call));
        self.settle(now);
    }

    /// The local day turned: the day's figures begin anew.
    pub fn new_day(&mut self, now: Now) {
        self.acd.new_day(now);
        self.settle(now);
    }

    /// The ACD, for the live page.
    pub fn acd(&self) -> &Acd {
        &self.acd
    }

    /// How many calls are in progress.
    pub fn calls(&self) -> usize {
        self.calls.len()
    }

    /// How much is held for calls.
    pub fn held(&self) -> Held {
        Held {
            calls: self.calls.len(),
            legs: self.legs.len(),
            rung: self.rung.len(),
            engaged: self.engaged.len(),
            timers: self.timers.len(),
            admitted: self.admission.calls(),
        }
    }

    /// The SIP endpoint's counters.
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// The media side.
    pub fn media(&mut self) -> &mut M {
        &mut self.media
    }

    /// Hangs up everything: the end of a drain.
    pub fn end_all(&mut self, now: Now) {
        let ending = Ending { whose: Whose::Us, what: What::Lost, sip: 0, q850: 41 };
        for id in self.calls.keys().copied().collect::<Vec<_>>() {
            if let Some(call) = self.calls.get_mut(&id) {
                call.finish(now, ending);
            }
            self.follow(now, id);
        }
        self.settle(now);
    }

    /// Ends a dialog that a crash left behind.
    pub fn end_old_dialog(&mut self, now: Now, snapshot: &DialogSnapshot) {
        let leg = LegId(self.ids.next());
        if self.endpoint.restore(leg, snapshot).is_ok() {
            // It was restored a moment ago: there is a leg to hang up.
            let _ = self.endpoint.hang_up(now, leg, &gate::reason(41));
        }
        self.settle(now);
    }

    /// Passes on what the machines have to tell each other, until all are quiet.
    fn settle(&mut self, now: Now) {
        loop {
            if let Some(output) = self.endpoint.poll_output() {
                self.endpoint_output(now, output);
            } else if let Some(output) = self.acd.poll_output() {
                self.acd_output(now, output);
            } else if let Some(event) = self.registrar.poll_event() {
                self.registration_changed(now, event);
            } else {
                return;
            }
        }
    }

    fn endpoint_output(&mut self, now: Now, output: endpoint::Output) {
        match output {
            endpoint::Output::Transmit { flow, bytes } => self.output.push_back(Output::Transmit { flow, bytes }),
            endpoint::Output::Event(endpoint::Event::Invite { leg, flow, request }) => {
                self.invited(now, leg, flow, &request)
            }
            endpoint::Output::Event(endpoint::Event::Request { transaction, flow, request }) => {
                self.requested(now, transaction, flow, &request)
            }
            endpoint::Output::Event(endpoint::Event::Response { .. }) => {}
            endpoint::Output::Event(endpoint::Event::Leg { leg, event }) => self.leg_event(now, leg, event),
        }
    }

    /// A connection closed: registrations over it are void, and calls over it have lost one of their ways.
    fn flow_failed(&mut self, now: Now, flow: Flow) {
        self.registrar.flow_failed(now, flow);
        if flow.connection == 0 {
            return;
        }
        for leg in self.endpoint.legs_on(flow) {
            if let Some(call) = self.legs.get(&leg).copied() {
                self.tell(now, call, call::Input::FlowFailed { leg });
            }
        }
    }

    fn leg_event(&mut self, now: Now, leg: LegId, event: endpoint::LegEvent) {
        match &event {
            endpoint::LegEvent::Progress { .. } => {}
            endpoint::LegEvent::Failed { status, .. } if self.ring_next(now, leg, *status) => return,
            _ => drop(self.rung.remove(&leg)),
        }
        let Some(call) = self.legs.get(&leg).copied() else { return };
        if matches!(event, endpoint::LegEvent::Answered { .. }) {
            self.keep_dialog(call, leg);
        }
        self.tell(now, call, call::Input::Sip { leg, event });
    }

    /// Has a leg's dialog noted, so that it can be ended after a crash.
    fn keep_dialog(&mut self, call: CallId, leg: LegId) {
        if self.calls.get(&call).is_some_and(Call::is_recorded)
            && let Some(snapshot) = self.endpoint.snapshot(leg)
        {
            self.output.push_back(Output::Dialog { call, leg, snapshot: Box::new(snapshot) });
        }
    }

    /// Tells the ACD what a call or a telephone did; what it makes no sense of any more is no fault.
    fn tell_acd(&mut self, now: Now, input: acd::Input) {
        let answered = match &input {
            acd::Input::Answered { offer, .. } => Some(*offer),
            _ => None,
        };
        if let Err(why) = self.acd.handle_input(now, input) {
            // An answer to an offer that the ACD does not know any more: the telephone is told so.
            if let Some(offer) = answered
                && let Some(call) = self.calls.values().find(|call| call.has_offer(offer)).map(Call::id)
            {
                self.tell(now, call, call::Input::Acd(acd::Output::Stale { call, offer }));
            }
            tracing::debug!(%why, "the ACD had no use for an input");
        }
    }

    /// Carries out a change to an agent.
    ///
    /// # Errors
    /// Why the ACD refused; nothing changed.
    pub fn agent_input(&mut self, now: Now, input: acd::Input) -> Result<(), crate::acd::Rejected> {
        let result = self.acd.handle_input(now, input);
        self.settle(now);
        result
    }

    fn acd_output(&mut self, now: Now, output: acd::Output) {
        match output {
            acd::Output::AgentChanged { agent } => self.output.push_back(Output::AgentChanged { agent }),
            acd::Output::QueueChanged { queue } => self.output.push_back(Output::QueueChanged { queue }),
            acd::Output::Transition(transition) => self.output.push_back(Output::AgentTransition(transition)),
            acd::Output::Offer { call, .. }
            | acd::Output::Withdraw { call, .. }
            | acd::Output::Confirmed { call, .. }
            | acd::Output::Stale { call, .. }
            | acd::Output::Position { call, .. }
            | acd::Output::Overflow { call, .. } => {
                let lost = match &output {
                    acd::Output::Offer { offer, epoch, .. } if !self.calls.contains_key(&call) => {
                        Some((*offer, *epoch))
                    }
                    _ => None,
                };
                if let Some((offer, epoch)) = lost {
                    let why = acd::OfferFailure::CallerGone;
                    self.tell_acd(now, acd::Input::Failed { offer, epoch, why });
                }
                self.tell(now, call, call::Input::Acd(output));
            }
        }
    }

    fn media_event(&mut self, now: Now, event: media::CallEvent) {
        let media::CallEvent { call, event } = event;
        let leg = match &event {
            media::Event::RecordingDone { .. } => {
                return self.output.push_back(Output::RecordingDone { call, event });
            }
            media::Event::Digit { leg, .. }
            | media::Event::PlayDone { leg, .. }
            | media::Event::Silent { leg, .. }
            | media::Event::Heard { leg } => *leg,
            _ => return,
        };
        self.listen(&event);
        // Rooms group legs of several calls: the leg says whose event it is.
        if let Some(call) = self.legs.get(&leg).copied() {
            self.tell(now, call, call::Input::Media(event));
        }
    }

    /// Notices who is not heard on a call on which another is: once, when it has lasted [`ONE_WAY`].
    fn listen(&mut self, event: &media::Event) {
        let (leg, length) = match event {
            media::Event::Silent { leg, length, held: false } => (*leg, *length),
            media::Event::Silent { leg, .. } | media::Event::Heard { leg } => {
                self.quiet.remove(leg);
                return;
            }
            _ => return,
        };
        let told = *self.quiet.entry(leg).or_default();
        if length < ONE_WAY || told {
            return;
        }
        self.quiet.insert(leg, true);
        let Some(call) = self.legs.get(&leg).copied() else { return };
        let Some(record) = self.calls.get(&call).filter(|call| call.is_recorded()).map(Call::view) else { return };
        let answered = |of: &&LegRecord| of.state == LegStateName::Answered;
        let talking = matches!(record.state, StateName::Talking | StateName::Consulting | StateName::ThreeWay);
        let others = record.legs.iter().filter(answered).any(|of| of.id != leg && !self.quiet.contains_key(&of.id));
        let own = record.legs.iter().filter(answered).find(|of| of.id == leg);
        if let Some(own) = own.filter(|_| talking && others) {
            self.output.push_back(Output::OneWay { call, whose: own.role.whose(), length });
        }
    }

    /// Gives a call an input and does what it asks for.
    fn tell(&mut self, now: Now, id: CallId, input: call::Input) {
        if let Some(call) = self.calls.get_mut(&id) {
            call.handle_input(now, input);
            self.follow(now, id);
        }
    }

    fn follow(&mut self, now: Now, id: CallId) {
        let _lines_are_its_own = tracing::debug_span!("call", call = %id).entered();
        while let Some(output) = self.calls.get_mut(&id).and_then(Call::poll_output) {
            self.call_output(now, id, output);
        }
        self.arm(id);
    }

    /// Sets a call's one timer to what it next wants.
    fn arm(&mut self, id: CallId) {
        let wanted = self.calls.get(&id).and_then(Call::poll_timeout);
        let armed = self.armed.get(&id).copied();
        if wanted == armed {
            return;
        }
        if let Some(at) = armed {
            self.timers.remove(&(at, id));
        }
        match wanted {
            Some(at) => {
                self.timers.insert((at, id));
                self.armed.insert(id, at);
            }
            None => {
                self.armed.remove(&id);
            }
        }
    }

    fn call_output(&mut self, now: Now, id: CallId, output: call::Output) {
        let Some(call) = self.calls.get_mut(&id) else { return };
        let group = call.media_group();
        match output {
            call::Output::Spool => self.output.push_back(Output::Spool(Box::new(call.view()))),
            call::Output::OpenMedia { leg } => {
                self.legs.insert(leg, id);
                let input = match self.media.open(group, leg) {
                    Ok(local) => call::Input::MediaOpened { leg, local },
                    Err(_) => call::Input::MediaFailed { leg },
                };
                call.handle_input(now, input);
            }
            call::Output::CloseMedia { leg } => self.media.close(group, leg),
            call::Output::Media(command) => self.media.command(group, command),
            call::Output::Sip(command) => self.sip_command(now, id, command),
            call::Output::Acd(input) => self.tell_acd(now, input),
            call::Output::FindHotline { hotline } => {
                let found = self.config.find_hotline(&hotline, now);
                call.handle_input(now, call::Input::Hotline { hotline, found });
            }
            call::Output::Changed { milestone } => {
                if call.is_recorded() {
                    self.output.push_back(Output::Changed { record: Box::new(call.view()), milestone });
                }
            }
            call::Output::Said(said) => {
                let (ended, recorded) = (said == Said::Ended, call.is_recorded());
                if ended && let Some(agent) = self.engaged.remove(&id) {
                    self.tell_acd(now, acd::Input::Released { agent, call: id });
                }
                if recorded {
                    self.output.push_back(Output::Said { call: id, said });
                }
            }
            call::Output::Over => {
                let record = call.view();
                for leg in &record.legs {
                    self.legs.remove(&leg.id);
                    self.quiet.remove(&leg.id);
                }
                self.calls.remove(&id);
                self.admission.end(id);
                if record.ticket || record.cdr {
                    self.output.push_back(Output::Over(Box::new(record)));
                }
            }
        }
    }

    fn sip_command(&mut self, now: Now, id: CallId, command: SipCommand) {
        let endpoint = &mut self.endpoint;
        let done = match command {
            SipCommand::Progress { leg, status, sdp } => endpoint.progress(now, leg, status, "", sdp),
            SipCommand::Answer { leg, sdp } => {
                let answered = endpoint.answer(now, leg, sdp);
                // From its 200 on the caller is in a dialog, whatever becomes of the ACK.
                self.keep_dialog(id, leg);
                answered
            }
            SipCommand::Reject { leg, status, cause } => endpoint.reject(now, leg, status, "", &gate::reason(cause)),
            SipCommand::Dial { leg, target, from, display, sdp } => {
                if !self.dial(now, leg, &target, &from, &display, sdp) {
                    self.tell_later(now, id, call::Input::NoRoute { leg });
                }
                Ok(())
            }
            SipCommand::Ack { leg, sdp } => endpoint.ack(now, leg, sdp),
            SipCommand::HangUp { leg, cause } => endpoint.hang_up(now, leg, &gate::reason(cause)),
            SipCommand::AcceptOffer { leg, transaction, sdp } => endpoint.accept_offer(now, leg, transaction, sdp),
            SipCommand::RejectOffer { leg, transaction, status } => {
                endpoint.reject_offer(now, leg, transaction, status)
            }
            SipCommand::Respond { transaction, response } => endpoint.respond(now, transaction, *response),
            SipCommand::Probe { leg } => {
                endpoint.request(now, leg, crate::sip::message::Method::Options, &[], Bytes::new())
            }
        };
        if let Err(error) = done {
            // The leg ended in the same instant: the event that says so is on its way to the call.
            tracing::debug!(call = %id, %error, "a SIP command came too late");
        }
    }

    /// An input that arises while the call's outputs are being followed.
    fn tell_later(&mut self, now: Now, id: CallId, input: call::Input) {
        if let Some(call) = self.calls.get_mut(&id) {
            call.handle_input(now, input);
        }
    }

    fn profile_of(&self, local: SocketAddr) -> Option<&Profile> {
        self.config.profiles.iter().find(|profile| profile.listens_on(local))
    }

    fn allowed(&self, profile: &Profile, remote: IpAddr) -> bool {
        profile.settings.allow.allows(remote, &self.config.own_addresses)
    }
}
