//! The world of a story: the switch, the telephones, the network between them, and time.

use crate::{
    city::{self, TRUNK},
    engine_room::EngineRoom,
    journal::Journal,
    phone::{Act, Line, Manner, Phone},
};
use bytes::Bytes;
use hotline::{
    acd::{
        agent::StateName as AgentState,
        config::QueueConfig,
        message::{self as acd, Status},
    },
    app::switch::{Change, Input, Leftover, Output, Switch},
    call::{
        Command, Rejected,
        cdr::{CallRecord, Role, StateName, What},
        message::Said,
    },
    clock::{Now, UnixMillis},
    ids::{AgentNo, CallId, LegId},
    media::{engine::Event as MediaEvent, sdp::Direction},
    sip::endpoint,
};
use rand::{Rng, SeedableRng, rngs::StdRng};
use std::{
    cell::Cell,
    collections::{BTreeMap, BTreeSet, HashMap},
    net::{IpAddr, SocketAddr},
    time::{Duration, Instant},
};

/// What the network does to a datagram.
#[derive(Clone, Copy, Debug)]
pub struct Network {
    /// Of a hundred, how many are lost.
    pub loss: u32,
    /// Of a hundred, how many come twice.
    pub duplicate: u32,
    /// The delay's bounds in milliseconds; what is delayed differently comes in another order.
    pub delay: (u64, u64),
}

/// One of the world's telephones.
pub type Who = usize;

thread_local! {
    /// Whether worlds that fail on this thread keep their trace to themselves.
    pub static QUIET: Cell<bool> = const { Cell::new(false) };
}

enum Happening {
    /// `flow` as the receiver sees it.
    Sip {
        flow: endpoint::Flow,
        bytes: Bytes,
    },
    Rtp {
        from: SocketAddr,
        to: SocketAddr,
        bytes: Bytes,
    },
    Spooled(Box<CallRecord>),
    Act(Who, Act),
}

pub struct World {
    pub now: Now,
    pub switch: Switch<EngineRoom>,
    pub phones: Vec<Phone>,
    pub network: Network,
    /// SIP messages for which it holds are lost; they are written as in `sent`.
    pub lose: Box<dyn FnMut(&str) -> bool>,
    /// All SIP messages that were sent, as `8001>switch: 200 INVITE`.
    pub sent: Vec<String>,
    /// How often telephones send 20 ms of voice.
    pub voice: Duration,
    /// How long the spool takes.
    pub spool: Duration,
    /// What is on disk.
    pub journal: Journal,
    /// Whether the end of an announcement is told.
    pub deaf: bool,
    queue: QueueConfig,
    /// Whether the spool can keep anything.
    pub durable: bool,
    pub said: Vec<(CallId, Said)>,
    /// The latest record of each call.
    pub records: BTreeMap<CallId, CallRecord>,
    /// Agents who were not ready, or signed out, for a while, or said since that they are ready.
    pub put_aside: BTreeSet<AgentNo>,
    pub spooled: BTreeMap<CallId, usize>,
    pub over: BTreeMap<CallId, usize>,
    agenda: BTreeMap<(Instant, u64), Happening>,
    number: u64,
    pub rng: StdRng,
    /// What the network does on the way from one address to another does not depend on what others send.
    ways: HashMap<(IpAddr, IpAddr), StdRng>,
    pub started: Instant,
    /// When each call was first seen waiting.
    pub queued_first: BTreeMap<CallId, Instant>,
    /// The SIP Call-IDs of calls that were ever on disk.
    ever_kept: BTreeSet<String>,
    seed: u64,
    by_ip: HashMap<IpAddr, Who>,
    /// The numbers of TCP connections that are closed.
    closed: BTreeSet<u64>,
    pub ended: bool,
}

impl World {
    /// A world without telephones, where nothing is lost and everything takes 10 ms.
    pub fn new() -> World {
        World::of(1, Network { loss: 0, duplicate: 0, delay: (10, 10) })
    }

    /// As `new`, with the sandbox's queue.
    pub fn sandbox() -> World {
        World::with(1, Network { loss: 0, duplicate: 0, delay: (10, 10) }, city::sandbox_queue())
    }

    /// A world where everything random follows from `seed`.
    pub fn of(seed: u64, network: Network) -> World {
        World::with(seed, network, city::plain_queue())
    }

    /// As `of`, with another queue.
    pub fn with(seed: u64, network: Network, queue: QueueConfig) -> World {
        let now = Now { mono: Instant::now(), wall: UnixMillis(1_760_000_000_000) };
        World {
            now,
            switch: city::switch(seed, now, queue.clone(), true),
            phones: Vec::new(),
            network,
            lose: Box::new(|_| false),
            sent: Vec::new(),
            voice: Duration::from_millis(20),
            spool: Duration::from_millis(5),
            journal: Journal::default(),
            deaf: false,
            queue: queue.clone(),
            durable: true,
            said: Vec::new(),
            records: BTreeMap::new(),
            put_aside: BTreeSet::new(),
            spooled: BTreeMap::new(),
            over: BTreeMap::new(),
            agenda: BTreeMap::new(),
            number: 0,
            rng: StdRng::seed_from_u64(seed),
            ways: HashMap::new(),
            started: now.mono,
            queued_first: BTreeMap::new(),
            ever_kept: BTreeSet::new(),
            seed,
            by_ip: HashMap::new(),
            closed: BTreeSet::new(),
            ended: false,
        }
    }

    /// A world outside office hours.
    pub fn after_hours() -> World {
        let mut world = World::new();
        world.switch = city::switch(world.seed, world.now, world.queue.clone(), false);
        world
    }

    // ---- who is there ----

    fn add(&mut self, name: &str, sip: SocketAddr, agent: bool) -> Who {
        let who = self.phones.len();
        let seed = self.rng.random();
        self.phones.push(Phone::new(who as u16 + 1, name, sip, agent, seed));
        self.by_ip.insert(sip.ip(), who);
        who
    }

    /// A citizen's telephone, behind the carrier.
    pub fn citizen(&mut self, number: &str) -> Who {
        let host = 100 + self.phones.len() as u8;
        self.add(number, SocketAddr::from(([198, 51, 100, host], 5060)), false)
    }

    /// An agent's telephone, registered and ready; it answers after a second.
    pub fn agent(&mut self, number: &str) -> Who {
        let who = self.agent_at_home(number);
        self.signs_on(who);
        who
    }

    pub fn signs_on(&mut self, who: Who) {
        let number = self.phones[who].name.clone();
        self.phones[who].register(self.now, &city::password(&number));
        let patience = self.now.mono + Duration::from_secs(32);
        while self.phones[who].registered.is_none() && self.now.mono < patience {
            self.run_ms(20);
        }
        assert_eq!(self.phones[who].registered, Some(200), "{number} registers");
    }

    /// An agent's telephone that is not registered.
    pub fn agent_at_home(&mut self, number: &str) -> Who {
        let host = 1 + self.phones.len() as u8;
        self.add(number, SocketAddr::from(([203, 0, 113, host], 5060)), true)
    }

    /// A department's telephone.
    pub fn department(&mut self, number: &str, manner: Manner) -> Who {
        let (_, address) = city::DEPARTMENTS.iter().find(|(own, _)| *own == number).expect("a department");
        let who = self.add(number, address.parse().expect("an address"), false);
        self.phones[who].manner = manner;
        who
    }

    /// As `agent`, over a TCP connection of its own.
    pub fn agent_on_tcp(&mut self, number: &str) -> Who {
        let who = self.agent_at_home(number);
        self.reconnects(who);
        self.signs_on(who);
        who
    }

    /// A telephone opens another TCP connection; what was under way over the old one is lost.
    pub fn reconnects(&mut self, who: Who) {
        self.number += 1;
        self.phones[who].connection = Some(self.number);
    }

    // ---- what they do ----

    /// The connection of a telephone closes; both sides find out.
    pub fn connection_closes(&mut self, who: Who) {
        let (ours, theirs) = (self.phones[who].flow_to_it(), self.phones[who].flow());
        if !self.closed.insert(ours.connection) {
            return;
        }
        self.switch_now();
        self.flow_failed(ours);
        self.flow_failed(theirs);
        self.settle();
    }

    /// A citizen calls 12345.
    pub fn calls(&mut self, who: Who) -> LegId {
        self.dials(who, "12345")
    }

    /// A citizen calls a number.
    pub fn dials(&mut self, who: Who, number: &str) -> LegId {
        let from = self.phones[who].name.clone();
        let leg = self.phones[who].dial(self.now, &from, number, None, false);
        self.settle();
        leg
    }

    /// Hangs up all its calls.
    pub fn hangs_up(&mut self, who: Who) {
        for leg in self.phones[who].lines() {
            self.act(who, Act::HangUp(leg));
        }
    }

    /// Picks up whatever rings.
    pub fn answers(&mut self, who: Who) {
        for leg in self.phones[who].lines() {
            self.act(who, Act::Answer(leg));
        }
    }

    pub fn act(&mut self, who: Who, act: Act) {
        self.phones[who].act(self.now, act, self.voice);
        self.settle();
    }

    /// Presses keys on its first call, four a second.
    pub fn presses(&mut self, who: Who, keys: &str) {
        let Some(leg) = self.phones[who].lines().first().copied() else { return };
        for key in keys.chars() {
            self.act(who, Act::Key(leg, key));
            self.run_ms(250);
        }
    }

    /// Holds or resumes its first call by its own button.
    pub fn reinvites(&mut self, who: Who, direction: Direction) {
        let Some(leg) = self.phones[who].lines().first().copied() else { return };
        self.phones[who].reinvite(self.now, leg, direction);
        self.settle();
    }

    /// A command on the call of a citizen.
    pub fn command(&mut self, citizen: Who, command: Command) -> Result<(), Option<Rejected>> {
        let call = self.call(citizen).id;
        self.switch_now();
        let result = self.switch.command(self.now, call, command);
        self.settle();
        result
    }

    /// A change to an agent by API.
    pub fn agent_input(&mut self, input: acd::Input) {
        self.switch_now();
        self.switch.agent_input(self.now, input).expect("the ACD takes it");
        self.settle();
    }

    /// Settings change while everything goes on; `change` begins with everything as it was.
    pub fn settings_change(&mut self, change: impl FnOnce(&mut Change)) -> Leftover {
        let mut settings = city::same(self.queue.clone());
        change(&mut settings);
        self.switch_now();
        let leftover = self.switch.reconfigure(self.now, settings).expect("sound queues");
        self.settle();
        leftover
    }

    pub fn switch_input(&mut self, input: Input) {
        self.switch_now();
        self.switch.handle_input(self.now, input);
        self.settle();
    }

    /// Somebody sets the wall clock.
    pub fn clock_steps(&mut self, by_ms: i64) {
        self.now.wall.0 += by_ms;
        self.switch_now();
    }

    /// The program dies, and starts again from what is on disk. Telephones know nothing of it, but that their
    /// connections close.
    pub fn kill(&mut self) {
        self.agenda.retain(|_, happening| !matches!(happening, Happening::Spooled(_)));
        // Who was to be put aside when its wrap-up is over starts again with the others.
        self.put_aside.extend(self.switch.acd().agents(self.now).map(|agent| agent.agent));
        // What is random in the program is not what it was in its life before.
        let seed = self.rng.random();
        self.switch = city::switch_after(seed, self.now, self.queue.clone(), true, &self.journal.bindings);
        self.switch_now();
        for who in 0..self.phones.len() {
            if self.phones[who].connection.is_some() {
                self.connection_closes(who);
            }
        }
        let (closed, dialogs) = self.journal.recover(self.now.wall);
        let over = &self.over;
        self.records.retain(|call, _| over.contains_key(call));
        for record in closed {
            *self.over.entry(record.id).or_default() += 1;
            self.records.insert(record.id, record);
        }
        let records = &self.records;
        self.spooled.retain(|call, _| records.contains_key(call));
        for dialog in dialogs {
            self.switch.end_old_dialog(self.now, &dialog);
        }
        self.settle();
    }

    // ---- what is seen ----

    /// The latest call of a citizen.
    pub fn call(&self, citizen: Who) -> &CallRecord {
        let from = &self.phones[citizen].name;
        self.records.values().rev().find(|record| record.from == *from).expect("the citizen called")
    }

    pub fn state(&self, citizen: Who) -> StateName {
        self.call(citizen).state
    }

    /// How the citizen's call ended.
    pub fn what(&self, citizen: Who) -> Option<What> {
        self.call(citizen).ending.map(|ending| ending.what)
    }

    /// How the last attempt at a three-way call went.
    pub fn outcome(&self, citizen: Who) -> &str {
        self.call(citizen).three_way.last().map_or("none", |attempt| &attempt.outcome)
    }

    /// A leg of the citizen's call by its role, such as the department's.
    pub fn leg_of(&self, citizen: Who, role: impl Fn(&Role) -> bool) -> LegId {
        self.call(citizen).legs.iter().rfind(|leg| role(&leg.role)).expect("such a leg").id
    }

    pub fn agent_state(&self, agent: &str) -> AgentState {
        self.snapshot(agent).state
    }

    pub fn agent_status(&self, agent: &str) -> Status {
        self.snapshot(agent).status
    }

    fn snapshot(&self, agent: &str) -> hotline::acd::snapshot::AgentSnapshot {
        self.switch.acd().agent(&agent.into(), self.now).expect("a known agent")
    }

    /// The numbers of those who wait, in order.
    pub fn waiting(&self) -> Vec<String> {
        let queue = self.switch.acd().queue(&"general".into(), self.now, 1_000).expect("the queue");
        queue.waiting.iter().map(|waiter| self.records[&waiter.call].from.clone()).collect()
    }

    /// A queue's figures of the day: offered, answered, overflowed, abandoned.
    pub fn figures(&self, queue: &str) -> [u64; 4] {
        let today = self.switch.acd().queue(&queue.into(), self.now, 0).expect("the queue").today;
        [today.offered, today.answered, today.overflowed, today.abandoned]
    }

    /// Where the first call of a telephone stands.
    pub fn line(&self, who: Who) -> Line {
        self.phones[who].legs.values().next_back().expect("it has a call").line.clone()
    }

    pub fn is_rung(&self, who: Who) -> bool {
        self.phones[who].legs.values().any(|leg| leg.line == Line::Rung)
    }

    pub fn is_up(&self, who: Who) -> bool {
        self.phones[who].legs.values().any(|leg| leg.line == Line::Up)
    }

    /// Whether `who` hears the voice of `other`.
    pub fn hears(&self, who: Who, other: Who) -> bool {
        self.hears_tone(who, self.phones[other].tone)
    }

    pub fn hears_tone(&self, who: Who, hertz: f64) -> bool {
        self.phones[who].hears(self.now, hertz)
    }

    /// Whether these all hear each other, and nobody himself.
    pub fn converse(&self, all: &[Who]) -> bool {
        all.iter().all(|who| all.iter().all(|other| self.hears(*who, *other) == (who != other)))
    }

    /// How many messages were sent that are written so.
    pub fn count(&self, message: &str) -> usize {
        self.sent.iter().filter(|sent| sent.starts_with(message)).count()
    }

    pub fn has_said(&self, wanted: impl Fn(&Said) -> bool) -> bool {
        self.said.iter().any(|(_, said)| wanted(said))
    }

    // ---- time ----

    pub fn run(&mut self, seconds: u64) {
        self.run_ms(seconds * 1_000);
    }

    pub fn run_ms(&mut self, millis: u64) {
        let until = self.now.mono + Duration::from_millis(millis);
        self.settle();
        while self.step(until) {}
        self.now = self.now.plus(until.saturating_duration_since(self.now.mono));
        self.switch_now();
    }

    /// Lets time pass until something holds; a story that waits for longer than `seconds` has failed.
    pub fn until(&mut self, seconds: u64, what: &str, holds: impl Fn(&World) -> bool) {
        let end = self.now.mono + Duration::from_secs(seconds);
        while !holds(self) {
            assert!(self.now.mono < end, "within {seconds} s: {what}");
            self.run_ms(20);
        }
    }

    fn step(&mut self, until: Instant) -> bool {
        let agenda = self.agenda.first_key_value().map(|((at, _), _)| *at);
        let switch = self.switch.poll_timeout();
        let media = self.switch.media().engine.poll_timeout();
        let phones = self.phones.iter().filter_map(|phone| phone.endpoint.poll_timeout()).min();
        let next = [agenda, switch, media, phones].into_iter().flatten().min();
        let Some(next) = next.filter(|next| *next <= until) else { return false };
        self.now = self.now.plus(next.saturating_duration_since(self.now.mono));
        self.switch_now();
        let due = |at: Option<Instant>| at.is_some_and(|at| at <= next);
        if due(agenda) {
            if let Some((_, happening)) = self.agenda.pop_first() {
                self.happen(happening);
            }
        } else if due(media) {
            self.switch.media().tick();
        } else if due(switch) {
            self.switch.handle_timeout(self.now);
        } else {
            for phone in &mut self.phones {
                if due(phone.endpoint.poll_timeout()) {
                    phone.endpoint.handle_timeout(self.now);
                }
            }
        }
        self.settle();
        true
    }

    fn switch_now(&mut self) {
        self.switch.media().now = self.now;
    }

    fn happen(&mut self, happening: Happening) {
        match happening {
            Happening::Sip { flow, .. } if self.closed.contains(&flow.connection) => {}
            Happening::Sip { flow, bytes } => match self.by_ip.get(&flow.local.ip()) {
                Some(who) => self.phones[*who].receive(self.now, flow, bytes),
                None => self.switch.handle_input(self.now, Input::Sip(endpoint::Input::Packet { flow, bytes })),
            },
            Happening::Rtp { from, to, bytes } => match self.by_ip.get(&to.ip()) {
                Some(who) => self.phones[*who].hear(self.now, to, &bytes),
                None => self.switch.media().receive(from, to, &bytes),
            },
            Happening::Spooled(record) => {
                let (call, durable) = (record.id, self.durable);
                // What is said of a call's end is written after its beginning, and takes it back.
                if durable && !self.over.contains_key(&call) {
                    self.ever_kept.insert(record.sip_call_id.clone());
                    self.journal.accept(*record);
                }
                self.switch.handle_input(self.now, Input::Spooled { call, durable });
            }
            Happening::Act(who, Act::Register) if !self.phones[who].stays => {}
            Happening::Act(who, act) => self.phones[who].act(self.now, act, self.voice),
        }
    }

    fn plan(&mut self, after: Duration, happening: Happening) {
        self.number += 1;
        self.agenda.insert((self.now.mono + after, self.number), happening);
    }

    /// Carries on everything that anybody wants done, until all are quiet.
    pub fn settle(&mut self) {
        loop {
            let mut quiet = true;
            while let Some(output) = self.switch.poll_output() {
                quiet = false;
                self.switch_output(output);
            }
            let out = &mut self.switch.media().out;
            let (events, datagrams) = (std::mem::take(&mut out.events), std::mem::take(&mut out.datagrams));
            for event in events {
                quiet = false;
                if self.deaf && matches!(event.event, MediaEvent::PlayDone { .. }) {
                    continue;
                }
                self.switch.handle_input(self.now, Input::Media(event));
            }
            for (from, to, bytes) in datagrams {
                self.post_rtp(from, to, bytes);
            }
            for who in 0..self.phones.len() {
                quiet &= !self.phone_outputs(who);
            }
            if quiet {
                return;
            }
        }
    }

    fn phone_outputs(&mut self, who: Who) -> bool {
        let mut busy = false;
        while let Some(output) = self.phones[who].endpoint.poll_output() {
            busy = true;
            match output {
                endpoint::Output::Event(event) => self.phones[who].take(self.now, event),
                endpoint::Output::Transmit { flow, bytes } if !self.phones[who].dead => self.post_sip(flow, bytes),
                endpoint::Output::Transmit { .. } => {}
            }
        }
        for (after, act) in std::mem::take(&mut self.phones[who].wishes) {
            self.plan(after, Happening::Act(who, act));
        }
        for (from, to, bytes) in std::mem::take(&mut self.phones[who].rtp_out) {
            if !self.phones[who].dead {
                self.post_rtp(from, to, bytes);
            }
        }
        busy
    }

    fn switch_output(&mut self, output: Output) {
        match output {
            Output::Transmit { flow, bytes } => self.post_sip(flow, bytes),
            Output::Spool(record) => {
                *self.spooled.entry(record.id).or_default() += 1;
                self.records.insert(record.id, (*record).clone());
                self.plan(self.spool, Happening::Spooled(record));
            }
            Output::Changed { record, milestone } => {
                if record.enqueued_at.is_some() {
                    self.queued_first.entry(record.id).or_insert(self.now.mono);
                }
                if milestone {
                    self.journal.update(&record);
                }
                self.records.insert(record.id, *record);
            }
            Output::Dialog { call, leg, snapshot } => self.journal.dialog(call, leg, *snapshot),
            Output::Over(record) => {
                self.journal.over(&record);
                *self.over.entry(record.id).or_default() += 1;
                self.records.insert(record.id, *record);
            }
            Output::AgentTransition(transition) => {
                if !matches!(transition.to.status, Status::Ready) {
                    self.put_aside.insert(transition.agent);
                }
            }
            Output::Said { call, said } => self.said.push((call, said)),
            Output::RecordingDone { .. }
            | Output::OneWay { .. }
            | Output::AgentChanged { .. }
            | Output::QueueChanged { .. }
            | Output::Registered { .. } => {}
            Output::Bindings { extension, bindings } => drop(self.journal.bindings.insert(extension, bindings)),
        }
    }

    fn name(&self, address: SocketAddr) -> &str {
        self.by_ip.get(&address.ip()).map_or("switch", |who| &self.phones[*who].name)
    }

    fn post_sip(&mut self, flow: endpoint::Flow, bytes: Bytes) {
        // A telephone at home opens its connection itself; none can be opened to it.
        let unreachable = flow.connection == 0 && flow.transport != endpoint::Transport::Udp;
        if self.closed.contains(&flow.connection) || unreachable {
            return self.flow_failed(flow);
        }
        let (from, to) = (flow.local, flow.remote);
        let line = format!("{}>{}: {}", self.name(from), self.name(to), summary(&bytes));
        if from == TRUNK.parse().expect("an address") && line.ends_with(": 200 INVITE") {
            self.check_answer(&bytes);
        }
        let lost = (self.lose)(&line);
        self.sent.push(line);
        if !lost {
            let flow = endpoint::Flow { local: to, remote: from, ..flow };
            if flow.connection == 0 {
                self.carry((from.ip(), to.ip()), |bytes| Happening::Sip { flow, bytes }, bytes);
            } else {
                // A stream loses nothing and keeps its order.
                self.plan(Duration::from_millis(self.network.delay.1), Happening::Sip { flow, bytes });
            }
        }
    }

    /// Tells the sender that a connection is closed.
    fn flow_failed(&mut self, flow: endpoint::Flow) {
        let failed = endpoint::Input::FlowFailed { flow };
        match self.by_ip.get(&flow.local.ip()) {
            Some(who) => self.phones[*who].endpoint.handle_input(self.now, failed),
            None => self.switch.handle_input(self.now, Input::Sip(failed)),
        }
    }

    fn post_rtp(&mut self, from: SocketAddr, to: SocketAddr, bytes: Bytes) {
        self.carry((from.ip(), to.ip()), |bytes| Happening::Rtp { from, to, bytes }, bytes);
    }

    fn carry(&mut self, way: (IpAddr, IpAddr), happening: impl Fn(Bytes) -> Happening, bytes: Bytes) {
        let Network { loss, duplicate, delay } = self.network;
        let seed = self.seed;
        let rng = self.ways.entry(way).or_insert_with(|| way_rng(seed, way));
        if rng.random_range(0..100) < loss {
            return;
        }
        let copies = if rng.random_range(0..100) < duplicate { 2 } else { 1 };
        let delays: Vec<_> = (0..copies).map(|_| rng.random_range(delay.0..=delay.1)).collect();
        for delay in delays {
            self.plan(Duration::from_millis(delay), happening(bytes.clone()));
        }
    }

    /// No 200 to a caller before its record is on disk (TRUST I1).
    fn check_answer(&self, bytes: &[u8]) {
        let text = String::from_utf8_lossy(bytes);
        let call_id = text.lines().find_map(|line| line.strip_prefix("Call-ID: ")).unwrap_or_default();
        let mut others = self.records.values().filter(|record| record.sip_call_id == call_id);
        let kept = self.ever_kept.contains(call_id) || others.all(|record| !record.ticket && !record.cdr);
        assert!(kept, "a 200 was sent before the record was on disk: {call_id}");
    }

    /// How often a call's record was given to the spool.
    pub fn times_spooled(&self, call: CallId) -> usize {
        self.spooled.get(&call).copied().unwrap_or(0)
    }

    /// Whether a call is over and its record complete.
    pub fn is_over(&self, call: CallId) -> bool {
        self.over.contains_key(&call)
    }

    /// How many calls were spooled, and how many are over.
    pub fn kept(&self) -> (usize, usize) {
        (self.spooled.len(), self.over.len())
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if std::thread::panicking() && !self.ended && !QUIET.get() {
            let at = self.now.mono.duration_since(self.started).as_secs_f64();
            eprintln!("seed {}, {at:.3} s into the story; the last messages:", self.seed);
            for line in self.sent.iter().rev().take(80).rev() {
                eprintln!("  {line}");
            }
            for record in self.records.values().rev().take(3) {
                eprintln!("  {record:?}");
            }
        }
    }
}

/// What is random on the way from one address to another.
fn way_rng(seed: u64, (from, to): (IpAddr, IpAddr)) -> StdRng {
    let octets = |address: IpAddr| match address {
        IpAddr::V4(address) => u32::from(address).into(),
        IpAddr::V6(address) => u128::from(address) as u64,
    };
    StdRng::seed_from_u64(seed ^ octets(from).rotate_left(40) ^ octets(to).rotate_left(8))
}

/// A message in two words: `INVITE`, `180 INVITE`.
fn summary(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let mut lines = text.lines();
    let first = lines.next().unwrap_or_default();
    let mut words = first.split(' ');
    match (words.next(), words.next()) {
        (Some("SIP/2.0"), Some(status)) => {
            let cseq = lines.find_map(|line| line.strip_prefix("CSeq: ")).unwrap_or_default();
            format!("{status} {}", cseq.split(' ').nth(1).unwrap_or_default())
        }
        (method, _) => method.unwrap_or_default().to_owned(),
    }
}
