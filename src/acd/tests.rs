//! Stories of callers and agents, told on a virtual clock.
#![allow(clippy::disallowed_methods, reason = "tests may begin at the present")]

mod agent;
mod changes;
mod offer;
mod queue;
mod routing;

use super::agent::{NO_ANSWER, StateName};
use super::config::{Staffing, Strategy};
use super::message::Activity;
use super::snapshot::{AgentSnapshot, QueueSnapshot};
use super::*;
use rand::SeedableRng;

const MORNING: i64 = 1_700_000_000_000;

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn call(number: u64) -> CallId {
    CallId(number)
}

/// An ACD, its clock, and everything that it said.
struct House {
    acd: Acd,
    now: Now,
    said: Vec<Output>,
}

impl House {
    fn new(queues: Vec<QueueConfig>) -> House {
        let now = Now { mono: Instant::now(), wall: UnixMillis(MORNING) };
        let config = Config { epoch: 7, queues, agents: AgentRules::default() };
        let acd = Acd::new(config, IdGen::new(0, MORNING), StdRng::seed_from_u64(1), now).unwrap();
        House { acd, now, said: vec![] }
    }

    /// One queue as configured, and agents 8001… ready at their seats, a second apart.
    fn with_agents(queue: QueueConfig, agents: u64) -> House {
        let mut house = House::new(vec![queue]);
        for agent in 8001..8001 + agents {
            house.signs_in(agent);
            house.pass(1);
        }
        house.said.clear();
        house
    }

    fn tell(&mut self, input: Input) -> Result<(), Rejected> {
        let result = self.acd.handle_input(self.now, input);
        self.listen();
        result
    }

    fn listen(&mut self) {
        self.said.extend(std::iter::from_fn(|| self.acd.poll_output()));
    }

    /// Time passes; whatever is due on the way happens in its moment.
    fn pass(&mut self, secs: u64) {
        let end = self.now.plus(seconds(secs));
        while let Some(at) = self.acd.poll_timeout().filter(|&at| at <= end.mono) {
            self.now = self.now.plus(at.saturating_duration_since(self.now.mono));
            self.acd.handle_timeout(self.now);
            self.listen();
        }
        self.now = self.now.plus(end.mono - self.now.mono);
    }

    fn signs_in(&mut self, agent: u64) {
        self.signs_in_with(agent, &[]);
    }

    fn signs_in_with(&mut self, agent: u64, skills: &[(&str, u8)]) {
        let extension = Extension::from(agent.to_string());
        self.tell(Input::Reachable { extension: extension.clone(), reachable: true }).unwrap();
        let skills = skills.iter().map(|&(skill, level)| (skill.to_owned(), level)).collect();
        self.tell(Input::SignIn { agent: number(agent), extension, skills, ready: true }).unwrap();
    }

    fn queues_up(&mut self, caller: u64) {
        self.enqueue(caller, "general", 0, false);
    }

    fn enqueue(&mut self, caller: u64, queue: &str, priority: u16, front: bool) {
        let enqueued_at = self.now.wall;
        self.enqueue_since(caller, queue, enqueued_at, priority, front);
    }

    fn enqueue_since(&mut self, caller: u64, queue: &str, enqueued_at: UnixMillis, priority: u16, front: bool) {
        let queue = QueueName::from(queue);
        self.tell(Input::Enqueue {
            call: call(caller),
            queue,
            enqueued_at,
            waited: self.now.wall.since(enqueued_at),
            priority,
            front,
            max_wait: None,
            sticky: None,
        })
        .unwrap();
    }

    /// The offer that is out for a caller, and to whom.
    fn offer(&self, caller: u64) -> (OfferId, u64) {
        let (offer, agent) = self.acd.offer_of(call(caller)).expect("no offer is out");
        (offer, agent.as_str().parse().unwrap())
    }

    fn answers(&mut self, caller: u64) -> u64 {
        let (offer, agent) = self.offer(caller);
        self.tell(Input::Answered { offer, epoch: 7 }).unwrap();
        assert!(self.said.contains(&Output::Confirmed { call: call(caller), offer }));
        agent
    }

    fn fails(&mut self, caller: u64, why: OfferFailure) {
        let (offer, _) = self.offer(caller);
        self.tell(Input::Failed { offer, epoch: 7, why }).unwrap();
    }

    fn releases(&mut self, agent: u64, caller: u64) {
        self.tell(Input::Released { agent: number(agent), call: call(caller) }).unwrap();
    }

    fn sets(&mut self, agent: u64, status: Status) -> Result<(), Rejected> {
        self.tell(Input::SetStatus { agent: number(agent), status })
    }

    fn agent(&self, agent: u64) -> AgentSnapshot {
        self.acd.agent(&number(agent), self.now).unwrap()
    }

    fn state(&self, agent: u64) -> StateName {
        self.agent(agent).state
    }

    fn queue(&self, queue: &str) -> QueueSnapshot {
        self.acd.queue(&queue.into(), self.now, 100).unwrap()
    }

    fn order(&self) -> Vec<u64> {
        self.queue("general").waiting.iter().map(|waiter| waiter.call.0).collect()
    }

    fn overflowed(&self, caller: u64) -> Option<Overflow> {
        self.said.iter().find_map(|output| match output {
            Output::Overflow { call: gone, why, .. } if *gone == call(caller) => Some(*why),
            _ => None,
        })
    }

    fn transitions(&self) -> Vec<&AgentTransition> {
        let mut transitions = Vec::new();
        for output in &self.said {
            if let Output::Transition(transition) = output {
                transitions.push(transition);
            }
        }
        transitions
    }
}

fn number(agent: u64) -> AgentNo {
    AgentNo::from(agent.to_string())
}

fn general() -> QueueConfig {
    QueueConfig::new("general")
}

fn lunch() -> Status {
    Status::NotReady { reason: "lunch".to_owned() }
}
