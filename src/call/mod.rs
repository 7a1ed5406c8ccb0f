//! A call: its legs, who hears whom, the queue, the three-way call, and its record.
//!
//! [`Call`] is a machine without I/O and without a clock. Whatever its phase, the citizen is never dropped because
//! somebody else left: back to the agent, to the department, or to the front of the queue. What each leg hears is
//! derived from the phase in one place (`topology`), so that a phase change cannot forget a leg.
//!
//! Left out: blind and attended transfer, supervision (their own issues); the ticket, known here only by its call.

pub mod cdr;
pub mod keys;
pub mod leg;
pub mod message;

mod caller;
mod command;
mod ending;
mod service;
mod sip_events;
mod three_way;
mod timer;
pub mod topology;

use crate::{
    acd::message as acd,
    clock::{Now, UnixMillis},
    ids::{AgentNo, CallId, IdGen, LegId, OfferId, RecordingId},
    ivr,
    media::engine as media,
};
use cdr::{CallRecord, Ending, Role, StateName, What, Whose};
use keys::FeatureKeys;
use leg::{Leg, LegState};
use message::{Input, NewCall, Output, Route, Said, Settings, SipCommand};
use std::{collections::VecDeque, sync::Arc, time::Instant};
use timer::Timer;

pub use message::{Command, Rejected};

/// What the call is about at the moment.
#[derive(Debug)]
enum Phase {
    /// The caller's offer is being answered, its record is being made durable, and its route wants it to be there.
    Accepting,
    /// A flow leads.
    Flow,
    /// In a queue; `ringing` is the agent's leg of the offer being made.
    Waiting {
        ringing: Option<LegId>,
    },
    /// Citizen and agent (or another dialled party).
    Talking {
        other: LegId,
        held: bool,
    },
    /// A department is rung or talked to; the citizen is on hold.
    Consulting {
        agent: LegId,
        department: LegId,
        join_on_answer: bool,
    },
    /// All three.
    ThreeWay {
        agent: LegId,
        department: LegId,
    },
    /// The agent left; citizen and department go on.
    HandedOver {
        department: LegId,
    },
    /// A party is rung for a caller who did not ask for a queue.
    Ringing {
        other: LegId,
        recorded: bool,
    },
    /// A room, a loop or silence: nothing changes until somebody hangs up.
    Parked,
    Ending,
    Over,
}

/// One call.
pub struct Call {
    settings: Arc<Settings>,
    ids: IdGen,
    record: CallRecord,
    route: Route,
    phase: Phase,
    legs: Vec<Leg>,
    caller: LegId,
    /// The caller's SDP offer, until it is answered.
    offer: Option<bytes::Bytes>,
    flow: Option<ivr::Session>,
    flow_play: Option<(media::PlayId, ivr::session::PlayToken)>,
    keys: FeatureKeys,
    recording: Option<RecordingId>,
    recording_started: bool,
    /// A play whose end means something: the department's notice before it is joined, the last words before hanging up.
    notice: Option<(media::PlayId, Notice)>,
    timers: Vec<(Instant, Timer)>,
    /// When the caller first joined a queue.
    queued_since: Option<Instant>,
    /// Whether the record's way to the spool has begun: 200 follows when it is there.
    accepting: bool,
    /// Whether the record changed since it was last published, and whether in a way that a restart must know of.
    changed: bool,
    milestone: bool,
    output: VecDeque<Output>,
}

/// What follows when an announcement has been heard out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Notice {
    /// The department heard that the call is recorded: join it.
    Join,
    /// The citizen heard the last words: hang up.
    HangUp(u8),
}

impl Call {
    /// A call from an INVITE that passed the gate. Its first output opens the caller's media.
    pub fn new(now: Now, settings: Arc<Settings>, ids: IdGen, new: NewCall) -> Self {
        let caller = Leg::new(new.leg, Role::Citizen, now.wall);
        let record = CallRecord {
            from: new.from,
            dialled: new.dialled,
            ticket: new.ticket,
            cdr: new.cdr,
            ..CallRecord::begun(new.call, new.sip_call_id, now.wall)
        };
        let max_call = match &new.route {
            Route::Flow(flow) => flow.max_call,
            Route::Queue(_) | Route::Dial { .. } | Route::Room(_) | Route::PlayLoop(_) | Route::Hold => {
                settings.max_call
            }
        };
        let mut call = Call {
            timers: vec![(now.mono + max_call, Timer::MaxCall)],
            queued_since: None,
            settings,
            ids,
            record,
            route: new.route,
            phase: Phase::Accepting,
            legs: vec![caller],
            caller: new.leg,
            offer: new.offer,
            flow: None,
            flow_play: None,
            keys: FeatureKeys::default(),
            recording: Some(new.recording),
            recording_started: false,
            notice: None,
            accepting: false,
            changed: true,
            milestone: false,
            output: VecDeque::new(),
        };
        call.output.push_back(Output::OpenMedia { leg: new.leg });
        call
    }

    /// Takes what happened.
    pub fn handle_input(&mut self, now: Now, input: Input) {
        match input {
            Input::MediaOpened { leg, local } => self.media_opened(now, leg, local),
            Input::MediaFailed { leg } => self.media_failed(now, leg),
            Input::Spooled => self.spooled(now),
            Input::SpoolFailed => self.refuse_caller(now, 503, 41),
            Input::Sip { leg, event } => self.sip_event(now, leg, event),
            Input::FlowFailed { leg } => self.flow_failed(now, leg),
            Input::NoRoute { leg } => {
                self.leg_over(now, leg, Ending { whose: Whose::Us, what: What::Failed, sip: 480, q850: 20 })
            }
            Input::Media(event) => self.media_event(now, event),
            Input::Acd(output) => self.acd_output(now, output),
            Input::Hotline { hotline, found } => self.hotline_found(now, hotline, found),
        }
        self.settle(now);
    }

    /// Takes a command of an agent or a supervisor.
    ///
    /// # Errors
    /// [`Rejected`] says why nothing was changed.
    pub fn handle_command(&mut self, now: Now, command: Command) -> Result<(), Rejected> {
        let result = self.command(now, command);
        self.settle(now);
        result
    }

    /// The next thing to do, until None.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.output.pop_front()
    }

    /// Whether the last leg is over.
    pub fn is_over(&self) -> bool {
        matches!(self.phase, Phase::Over)
    }

    /// Whether this call leaves a ticket or a record.
    pub fn is_recorded(&self) -> bool {
        self.record.ticket || self.record.cdr
    }

    /// Which calls share a media thread with this one: those of the same room do.
    pub fn media_group(&self) -> CallId {
        match self.route {
            Route::Room(room) => CallId(room),
            Route::Flow(_) | Route::Queue(_) | Route::Dial { .. } | Route::PlayLoop(_) | Route::Hold => self.record.id,
        }
    }

    /// Its id.
    pub fn id(&self) -> CallId {
        self.record.id
    }

    /// Whether one of its legs is rung for this offer.
    pub fn has_offer(&self, offer: OfferId) -> bool {
        self.legs.iter().any(|leg| leg.offer.is_some_and(|(id, _)| id == offer))
    }

    /// The caller's leg.
    pub fn caller(&self) -> LegId {
        self.caller
    }

    /// The record so far.
    pub fn view(&self) -> CallRecord {
        let mut record = self.record.clone();
        record.legs = self.legs.iter().map(Leg::record).collect();
        record
    }

    /// The agent who is on the call, or is rung for it.
    pub fn agent(&self) -> Option<&AgentNo> {
        self.legs.iter().filter(|leg| !leg.is_ending()).find_map(|leg| match &leg.role {
            Role::Agent { agent } => Some(agent),
            Role::Citizen | Role::Department { .. } | Role::Other => None,
        })
    }

    // ---- shared by the rooms of this module ----

    fn leg(&self, id: LegId) -> Option<&Leg> {
        self.legs.iter().find(|leg| leg.id == id)
    }

    fn leg_mut(&mut self, id: LegId) -> Option<&mut Leg> {
        self.legs.iter_mut().find(|leg| leg.id == id)
    }

    fn new_leg(&mut self, now: Now, role: Role) -> LegId {
        let id = LegId(self.ids.next());
        self.legs.push(Leg::new(id, role, now.wall));
        self.output.push_back(Output::OpenMedia { leg: id });
        id
    }

    fn sip(&mut self, command: SipCommand) {
        self.output.push_back(Output::Sip(command));
    }

    fn say(&mut self, said: Said) {
        self.changed = true;
        self.output.push_back(Output::Said(said));
    }

    fn acd(&mut self, input: acd::Input) {
        self.output.push_back(Output::Acd(input));
    }

    /// After every input: who hears whom, what is shown, whether all is over.
    fn settle(&mut self, now: Now) {
        self.arrange();
        self.await_announcements(now);
        let state = self.state_name();
        let milestone = std::mem::take(&mut self.milestone) || state != self.record.state;
        self.record.state = state;
        if matches!(self.phase, Phase::Ending) && self.legs.iter().all(|leg| leg.state == LegState::Over) {
            self.phase = Phase::Over;
            self.record.ended_at.get_or_insert(now.wall);
            self.output.push_back(Output::Changed { milestone: true });
            self.output.push_back(Output::Over);
        } else if milestone || self.changed {
            self.output.push_back(Output::Changed { milestone });
        }
        self.changed = false;
    }

    fn state_name(&self) -> StateName {
        match &self.phase {
            Phase::Accepting => StateName::Accepting,
            Phase::Flow | Phase::Parked => StateName::Ivr,
            Phase::Waiting { ringing: None } => StateName::Queued,
            Phase::Waiting { ringing: Some(_) } | Phase::Ringing { .. } => StateName::Ringing,
            Phase::Talking { held: false, .. } => StateName::Talking,
            Phase::Talking { held: true, .. } => StateName::Held,
            Phase::Consulting { .. } => StateName::Consulting,
            Phase::ThreeWay { .. } => StateName::ThreeWay,
            Phase::HandedOver { .. } => StateName::HandedOver,
            Phase::Ending | Phase::Over => StateName::Ended,
        }
    }

    /// When the caller first asked for a queue: the rank that is never lost.
    pub fn enqueued_at(&self) -> Option<UnixMillis> {
        self.record.enqueued_at
    }
}
