//! A random walk: citizens, agents, departments and supervisors do whatever comes to their minds, over a bad network.
//!
//! `HOTLINE_SEED=17 cargo test --test sim walk` repeats one walk.

use crate::{
    phone::{Act, Manner},
    world::{Network, Who, World},
};
use hotline::{
    acd::message::{self as acd, Status},
    call::{
        Command,
        cdr::{CallRecord, StateName},
        message::Said,
    },
    ids::LegId,
    media::sdp::Direction,
};
use rand::Rng;
use std::{collections::BTreeSet, time::Duration};

const NETWORK: Network = Network { loss: 10, duplicate: 3, delay: (5, 150) };

struct Walk {
    w: World,
    citizens: Vec<Who>,
    agents: Vec<Who>,
    departments: Vec<Who>,
}

impl Walk {
    fn new(seed: u64) -> Self {
        let mut w = World::of(seed, NETWORK);
        w.voice = Duration::from_millis(400);
        let agents = (8001..=8004).map(|number: u32| w.agent(&number.to_string())).collect();
        let citizens = (1001..=1010).map(|number: u32| w.citizen(&number.to_string())).collect();
        let departments = ["12330", "12333"].map(|number| w.department(number, Manner::NeverAnswers)).to_vec();
        Walk { w, citizens, agents, departments }
    }

    fn one_of(&mut self, all: &[Who]) -> Who {
        all[self.w.rng.random_range(0..all.len())]
    }

    fn manner(&mut self) -> Manner {
        match self.w.rng.random_range(0..10) {
            0 => Manner::NeverAnswers,
            1 => Manner::Refuses([486, 480, 603, 500][self.w.rng.random_range(0..4)]),
            _ => Manner::AnswersAfter(Duration::from_millis(self.w.rng.random_range(0..4_000))),
        }
    }

    fn live_call(&mut self) -> Option<CallRecord> {
        let live: Vec<_> = self.w.records.values().filter(|record| record.ended_at.is_none()).cloned().collect();
        (!live.is_empty()).then(|| live[self.w.rng.random_range(0..live.len())].clone())
    }

    fn somebodys_command(&mut self) {
        let Some(call) = self.live_call() else { return };
        let any_leg = call.legs[self.w.rng.random_range(0..call.legs.len())].id;
        let hotline = ["12330", "12333", "12319", "99999"][self.w.rng.random_range(0..4)].into();
        let command = match self.w.rng.random_range(0..12) {
            0 => Command::Hold,
            1 => Command::Unhold,
            2..=4 => Command::ThreeWay { hotline, consult: self.w.rng.random() },
            5 | 6 => Command::Merge,
            7 => Command::Leave,
            8 => Command::Drop { leg: any_leg },
            9 => Command::RecordPause,
            10 => Command::SendDigits { digits: "12#".into() },
            _ => Command::HangUp,
        };
        // Most make no sense at the moment and are refused.
        let _ = self.w.switch.command(self.w.now, call.id, command);
        self.w.settle();
    }

    fn somebodys_leg(&mut self, all: &[Who]) -> Option<(Who, LegId)> {
        let who = self.one_of(all);
        let lines = self.w.phones[who].lines();
        (!lines.is_empty()).then(|| (who, lines[self.w.rng.random_range(0..lines.len())]))
    }

    fn step(&mut self) {
        let everybody = [&self.citizens[..], &self.agents, &self.departments].concat();
        match self.w.rng.random_range(0..100) {
            0..25 => {
                let who = self.one_of(&self.citizens.clone());
                if self.w.phones[who].lines().is_empty() {
                    self.w.calls(who);
                }
            }
            25..37 => {
                if let Some((who, leg)) = self.somebodys_leg(&everybody) {
                    self.w.act(who, Act::HangUp(leg));
                }
            }
            37..60 => self.somebodys_command(),
            60..66 => {
                if let Some((who, leg)) = self.somebodys_leg(&everybody) {
                    let direction = [Direction::SendOnly, Direction::SendRecv, Direction::Inactive];
                    let direction = direction[self.w.rng.random_range(0..3)];
                    self.w.phones[who].reinvite(self.w.now, leg, direction);
                    self.w.settle();
                }
            }
            66..72 => {
                if let Some((who, leg)) = self.somebodys_leg(&self.agents.clone()) {
                    let keys = ["*1", "*312330#", "*212333#", "*5", "*6", "*7", "**", "5"];
                    for key in keys[self.w.rng.random_range(0..keys.len())].chars() {
                        self.w.act(who, Act::Key(leg, key));
                    }
                }
            }
            72..82 => {
                let rung = [&self.agents[..], &self.departments].concat();
                let who = self.one_of(&rung);
                let manner = self.manner();
                self.w.phones[who].manner = manner;
            }
            82..90 => self.agents_mind(),
            90..93 => {
                let who = self.one_of(&everybody);
                let phone = &mut self.w.phones[who];
                phone.dead = !phone.dead;
            }
            _ => {
                for who in everybody {
                    self.w.phones[who].dead = false;
                }
            }
        }
        let pause = self.w.rng.random_range(10..700);
        self.w.run_ms(pause);
    }

    fn agents_mind(&mut self) {
        let who = self.one_of(&self.agents.clone());
        let name = self.w.phones[who].name.clone();
        let agent = name.as_str().into();
        let input = match self.w.rng.random_range(0..6) {
            0 => acd::Input::SetStatus { agent, status: Status::NotReady { reason: "rest".into() } },
            1 => acd::Input::SignOut { agent },
            2 => acd::Input::SignIn { agent, extension: name.as_str().into(), skills: Vec::new(), ready: true },
            _ => acd::Input::SetStatus { agent, status: Status::Ready },
        };
        // One who is signed out cannot be ready.
        let _ = self.w.switch.agent_input(self.w.now, input);
        self.w.settle();
    }
}

/// What a walk came by.
#[derive(Debug, Default)]
struct Sights {
    calls: usize,
    served: usize,
    joined: usize,
    held: usize,
    lost: usize,
    handed_over: usize,
}

fn walk(seed: u64) -> Sights {
    let mut walk = Walk::new(seed);
    let mut handed_over = BTreeSet::new();
    let end = walk.w.now.mono + Duration::from_secs(60);
    while walk.w.now.mono < end {
        walk.step();
        let now = walk.w.records.values().filter(|record| record.state == StateName::HandedOver);
        handed_over.extend(now.map(|record| record.id));
    }
    let said = |wanted: fn(&Said) -> bool| walk.w.said.iter().filter(|(_, said)| wanted(said)).count();
    let sights = Sights {
        calls: walk.w.records.len(),
        served: walk.w.records.values().filter(|record| record.served_at.is_some()).count(),
        joined: said(|said| matches!(said, Said::ThreeWayJoined { .. })),
        held: said(|said| matches!(said, Said::Held)),
        lost: said(|said| matches!(said, Said::AgentLost { .. })),
        handed_over: handed_over.len(),
    };
    walk.w.network.loss = 0;
    walk.w.ends();
    sights
}

#[test]
fn random_walks_leave_nothing_behind() {
    if let Some(seed) = std::env::var("HOTLINE_SEED").ok().and_then(|seed| seed.parse().ok()) {
        return eprintln!("{:?}", walk(seed));
    }
    let mut all = Sights::default();
    for seed in 1..=20 {
        let one = walk(seed);
        all.calls += one.calls;
        all.served += one.served;
        all.joined += one.joined;
        all.held += one.held;
        all.lost += one.lost;
        all.handed_over += one.handed_over;
    }
    eprintln!("{all:?}");
    // A walk that goes nowhere finds nothing.
    assert!(all.calls >= 200 && all.served >= 80 && all.joined >= 5 && all.held >= 5, "{all:?}");
    assert!(all.lost >= 1 && all.handed_over >= 2, "{all:?}");
}
