//! The end of a story: what must be left of it, and what must not.

use crate::world::World;
use hotline::{
    acd::agent::StateName as AgentState,
    call::cdr::{LegStateName, Role, StateName, What, Whose},
};

impl World {
    /// The end of a story: everybody hangs up, and nothing is left over anywhere.
    pub fn ends(mut self) {
        for who in 0..self.phones.len() {
            self.phones[who].dead = false;
            self.phones[who].stays = false;
            self.hangs_up(who);
        }
        self.run(150);
        self.check_nothing_is_left();
        self.check_records();
        self.ended = true;
    }

    fn check_nothing_is_left(&mut self) {
        assert_eq!(self.switch.calls(), 0, "calls are left");
        assert_eq!(self.switch.endpoint().leg_count(), 0, "legs are left in the switch");
        assert_eq!(self.switch.endpoint().transaction_count(), 0, "transactions are left in the switch");
        let media = self.switch.media();
        assert!(media.open.is_empty(), "sockets are left open: {:?}", media.open);
        assert_eq!(media.engine.legs(), 0, "legs are left in the engine");
        assert!(media.out.recording.is_empty(), "recordings are left running: {:?}", media.out.recording);
        for phone in &self.phones {
            assert_eq!(phone.lines(), [], "{} still has a call", phone.name);
        }
        for name in ["general", "english"] {
            let queue = self.switch.acd().queue(&name.into(), self.now, 10).expect("the queue");
            assert_eq!((queue.waiting_count, queue.ringing_count), (0, 0), "callers are left in the queue {name}");
        }
        for agent in self.switch.acd().agents(self.now) {
            assert_eq!(agent.state, AgentState::Idle, "agent {} is stuck", agent.agent);
            assert_eq!((agent.call, agent.offer), (None, None), "agent {} is stuck", agent.agent);
        }
    }

    fn check_records(&self) {
        let recorded: Vec<_> = self.records.values().filter(|record| record.ticket || record.cdr).collect();
        for record in recorded {
            assert!(self.spooled.get(&record.id).is_none_or(|n| *n == 1), "spooled once: {record:?}");
            assert_eq!(self.over.get(&record.id), Some(&1), "over once: {record:?}");
            assert_eq!(record.state, StateName::Ended, "{record:?}");
            let ending = record.ending.expect("a classed ending");
            assert!(record.ended_at.is_some(), "{record:?}");
            for attempt in &record.three_way {
                assert!(!attempt.is_open(), "an attempt is over with the call: {record:?}");
            }
            for leg in record.legs.iter().filter(|leg| leg.answered_at.is_some()) {
                let lost = leg.ending.is_some_and(|ending| (ending.whose, ending.what) == (Whose::Agent, What::Lost));
                if let Role::Agent { agent } = &leg.role
                    && lost
                {
                    assert!(self.put_aside.contains(agent), "{agent} is rung no more: {record:?}");
                }
            }
            let served = record.served_at.is_some() || record.dialled != "12345";
            assert!(ending.what != What::Answered || served, "nobody answered: {record:?}");
            for leg in &record.legs {
                assert!(leg.ending.is_some() && leg.ended_at.is_some(), "{leg:?} in {record:?}");
                assert_eq!(leg.state, LegStateName::Over, "{leg:?}");
            }
        }
        assert!(self.spooled.keys().all(|call| self.over.contains_key(call)), "spooled but never over");
    }
}
