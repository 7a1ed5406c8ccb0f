//! The stage: a world with the same people each time, on which steps are done and rules are held.

use super::{
    rules::Watch,
    step::{Deed, Mind, Order},
};
use crate::{
    city,
    phone::{Act, Manner},
    world::{Network, Who, World},
};
use hotline::{
    acd::{
        config::QueueConfig,
        message::{self as acd, Status},
    },
    call::{
        Command,
        cdr::{CallRecord, Role},
    },
};
use std::time::Duration;

pub const CITIZENS: std::ops::RangeInclusive<u32> = 1001..=1010;
/// The last two speak TCP.
pub const AGENTS: std::ops::RangeInclusive<u32> = 8001..=8006;
const ON_TCP: u32 = 8005;
pub const DEPARTMENTS: [u32; 2] = [12330, 12333];

/// What the network is like where nothing else is said.
pub const NETWORK: Network = Network { loss: 10, duplicate: 3, delay: (5, 150) };
/// Rules are held at least this often.
const SLICE: Duration = Duration::from_millis(500);

pub struct Stage {
    pub w: World,
    watch: Watch,
}

impl Stage {
    /// Everybody is there, and the network is bad. Every other seed has the sandbox's queue with its wrap-up and
    /// announcements.
    pub fn new(seed: u64) -> Stage {
        let queue = if seed.is_multiple_of(2) {
            QueueConfig { max_no_answer: 2, wrap_up: Duration::from_secs(4), ..city::sandbox_queue() }
        } else {
            city::plain_queue()
        };
        let mut w = World::with(seed, NETWORK, queue);
        w.voice = Duration::from_millis(400);
        for number in AGENTS {
            if number < ON_TCP {
                w.agent(&number.to_string());
            } else {
                w.agent_on_tcp(&number.to_string());
            }
        }
        for number in CITIZENS {
            w.citizen(&number.to_string());
        }
        for number in DEPARTMENTS {
            w.department(&number.to_string(), Manner::NeverAnswers);
        }
        Stage { w, watch: Watch::default() }
    }

    pub fn who(&self, number: u32) -> Who {
        let name = number.to_string();
        self.w.phones.iter().position(|phone| phone.name == name).expect("one of the people")
    }

    /// Milliseconds since the beginning.
    pub fn at(&self) -> u64 {
        self.w.now.mono.duration_since(self.w.started).as_millis() as u64
    }

    /// Lets time pass until a moment of the story; nothing where it is past.
    pub fn pass(&mut self, until: u64) {
        while self.at() < until {
            let slice = SLICE.as_millis() as u64;
            self.w.run_ms(slice.min(until - self.at()));
            self.watch.hold(&self.w);
        }
    }

    /// Does one thing, and holds all rules. Where it makes no sense at the moment, nothing happens.
    pub fn does(&mut self, deed: &Deed) {
        self.do_it(deed);
        self.watch.hold(&self.w);
    }

    fn do_it(&mut self, deed: &Deed) {
        match deed {
            Deed::Calls { who, number } => {
                let who = self.who(*who);
                if self.w.phones[who].lines().is_empty() {
                    self.w.dials(who, number);
                }
            }
            Deed::HangsUp { who } => self.w.hangs_up(self.who(*who)),
            Deed::Keys { who, keys } => {
                let who = self.who(*who);
                if let Some(leg) = self.w.phones[who].lines().first().copied() {
                    keys.chars().for_each(|key| self.w.act(who, Act::Key(leg, key)));
                }
            }
            Deed::Offers { who, direction } => self.w.reinvites(self.who(*who), (*direction).into()),
            Deed::PicksUp { who } => self.w.answers(self.who(*who)),
            Deed::Answers { who, after_ms } => {
                self.manner(*who, Manner::AnswersAfter(Duration::from_millis(*after_ms)))
            }
            Deed::Ignores { who } => self.manner(*who, Manner::NeverAnswers),
            Deed::Refuses { who, status } => self.manner(*who, Manner::Refuses(*status)),
            Deed::Order { citizen, order } => self.order(*citizen, order),
            Deed::Mind { agent, mind } => self.mind(*agent, mind),
            Deed::Vanishes { who } => self.phone(*who).dead = true,
            Deed::Returns { who } => self.phone(*who).dead = false,
            Deed::Mute { who, mute } => self.phone(*who).mute = *mute,
            Deed::ConnectionCloses { who } => {
                let who = self.who(*who);
                if self.w.phones[who].connection.is_some() {
                    self.w.connection_closes(who);
                }
            }
            Deed::Registers { who } => {
                let (who, password) = (self.who(*who), city::password(&who.to_string()));
                if self.w.phones[who].connection.is_some() {
                    self.w.connection_closes(who);
                    self.w.reconnects(who);
                }
                let now = self.w.now;
                self.w.phones[who].register(now, &password);
                self.w.settle();
            }
            Deed::Network { loss, duplicate, delay } => {
                self.w.network = Network { loss: *loss, duplicate: *duplicate, delay: *delay };
            }
            Deed::Spool { takes_ms, keeps } => {
                self.w.spool = Duration::from_millis(*takes_ms);
                self.w.durable = *keeps;
            }
            Deed::Clock { by_ms } => self.w.clock_steps(*by_ms),
            Deed::Killed => self.killed(),
            Deed::Stopped => {
                self.w.switch.end_all(self.w.now);
                self.w.settle();
                self.w.run_ms(200);
                self.killed();
            }
            Deed::NewDay => {
                self.w.switch.new_day(self.w.now);
                self.w.settle();
            }
            Deed::Reconciled => {
                self.w.switch.reconcile(self.w.now);
                self.w.settle();
            }
        }
    }

    fn phone(&mut self, number: u32) -> &mut crate::phone::Phone {
        let who = self.who(number);
        &mut self.w.phones[who]
    }

    fn manner(&mut self, number: u32, manner: Manner) {
        self.phone(number).manner = manner;
    }

    fn killed(&mut self) {
        self.w.kill();
        self.watch.began_anew();
    }

    /// The call of a citizen that is in progress.
    pub fn live_call(&self, citizen: u32) -> Option<&CallRecord> {
        let from = citizen.to_string();
        self.w.records.values().rev().find(|record| record.from == from && record.ended_at.is_none())
    }

    fn order(&mut self, citizen: u32, order: &Order) {
        let Some(record) = self.live_call(citizen) else { return };
        let leg = |role: fn(&Role) -> bool| record.legs.iter().rfind(|leg| role(&leg.role)).map(|leg| leg.id);
        let of = |leg| Some(Command::Drop { leg: leg? });
        let command = match order {
            Order::Hold => Some(Command::Hold),
            Order::Unhold => Some(Command::Unhold),
            Order::ThreeWay { hotline, consult } => {
                Some(Command::ThreeWay { hotline: hotline.as_str().into(), consult: *consult })
            }
            Order::Merge => Some(Command::Merge),
            Order::Leave => Some(Command::Leave),
            Order::DropCitizen => of(leg(|role| matches!(role, Role::Citizen))),
            Order::DropAgent => of(leg(|role| matches!(role, Role::Agent { .. }))),
            Order::DropDepartment => of(leg(|role| matches!(role, Role::Department { .. }))),
            Order::RecordPause => Some(Command::RecordPause),
            Order::RecordResume => Some(Command::RecordResume),
            Order::Digits { digits } => Some(Command::SendDigits { digits: digits.clone() }),
            Order::HangUp => Some(Command::HangUp),
        };
        let (call, Some(command)) = (record.id, command) else { return };
        // Most make no sense at the moment and are refused.
        let _ = self.w.switch.command(self.w.now, call, command);
        self.w.settle();
    }

    fn mind(&mut self, agent: u32, mind: &Mind) {
        let name = agent.to_string();
        let agent = name.as_str().into();
        if matches!(mind, Mind::Ready | Mind::SignsIn) {
            self.w.put_aside.insert(name.as_str().into());
        }
        let input = match mind {
            Mind::Ready => acd::Input::SetStatus { agent, status: Status::Ready },
            Mind::Rests => acd::Input::SetStatus { agent, status: Status::NotReady { reason: "rest".into() } },
            Mind::SignsIn => {
                acd::Input::SignIn { agent, extension: name.as_str().into(), skills: Vec::new(), ready: true }
            }
            Mind::SignsOut => acd::Input::SignOut { agent },
            Mind::EndsWrapUp => acd::Input::WrapUp { agent, more: None },
            Mind::StretchesWrapUp { seconds } => {
                acd::Input::WrapUp { agent, more: Some(Duration::from_secs(*seconds)) }
            }
        };
        // One who is signed out cannot be ready.
        let _ = self.w.switch.agent_input(self.w.now, input);
        self.w.settle();
    }

    /// The end: faults are over, everybody hangs up, and nothing is left.
    pub fn ends(mut self) {
        self.w.network = Network { loss: 0, duplicate: 0, delay: (10, 10) };
        (self.w.spool, self.w.durable) = (Duration::from_millis(5), true);
        for who in 0..self.w.phones.len() {
            self.w.phones[who].dead = false;
            self.w.hangs_up(who);
        }
        // Who hears music and is gone is hung up after five minutes.
        self.w.run(200);
        self.w.ends();
    }
}
