//! The event stream: what happened, for whoever may know, with a number to resume from.
//!
//! The last events are held, [`KEPT`] and [`KEPT_OCTETS`] at most, so that a browser that lost its connection goes on
//! where it was (`Last-Event-ID`). Who asks for something older is told `reset` and reads the lists anew. Event numbers grow over
//! restarts too. A listener that is too slow is told the same.

use super::permissions::{self, CallScope, Reach, Thing};
use crate::{
    ids::{AgentNo, IdGen, UnitCode},
    ticket::Actor,
};
use serde::Serialize;
use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use tokio::sync::broadcast;

/// How many events can be resumed from.
pub const KEPT: usize = 10_000;
/// How much they may hold: large ones are fewer, so that memory does not depend on what happens.
pub const KEPT_OCTETS: usize = 8 << 20;

/// Whom an event is for: decided by the same rules as the reading of what it tells of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Audience {
    /// Everybody who may see such things.
    All(Thing),
    /// Those who may see this call.
    Call(CallScope),
    /// Those who reach their own calls alone, of which this is none: another agent has it now.
    Others(CallScope),
    /// These agents alone: a private lane's own, and no supervisor or administrator.
    Lane(Vec<AgentNo>),
    /// Those who may see such things; what tells of a confidential citizen only those who know this agent's citizens.
    Citizen {
        /// What kind of thing it tells of.
        thing: Thing,
        /// Whether the citizen is.
        confidential: bool,
        /// Whose citizen it is.
        agent: Option<AgentNo>,
    },
    /// This unit's people alone: they see their own version.
    Unit(UnitCode),
}

/// One event.
#[derive(Clone, Debug)]
pub struct Event {
    /// Higher than all before it, also over restarts; what `Last-Event-ID` names.
    pub id: u64,
    /// Such as `call`, `agent`, `queue`, `ticket`, `message`.
    pub kind: &'static str,
    /// JSON.
    data: Box<str>,
    /// The same for those who must not know the citizen; none where nothing tells of the citizen.
    hiding: Option<Box<str>>,
    audience: Audience,
}

impl Event {
    fn octets(&self) -> usize {
        self.data.len() + self.hiding.as_ref().map_or(0, |hiding| hiding.len())
    }

    /// What this user is told of it; None where nothing.
    pub fn told_to(&self, actor: &Actor) -> Option<&str> {
        let (may, knows) = match &self.audience {
            Audience::All(thing) => (permissions::reach(actor, *thing) == Reach::All, true),
            Audience::Call(call) => (permissions::may_see_call(actor, call), permissions::sees_caller(actor, call)),
            Audience::Others(call) => {
                let own = permissions::reach(actor, Thing::Calls) == Reach::Own;
                (own && !permissions::may_see_call(actor, call), true)
            }
            Audience::Lane(agents) => (actor.agent.as_ref().is_some_and(|agent| agents.contains(agent)), true),
            Audience::Citizen { thing, confidential, agent } => {
                let knows = !confidential || permissions::confides_in(actor, agent.as_ref());
                (permissions::reach(actor, *thing) == Reach::All, knows)
            }
            Audience::Unit(unit) => {
                let own = permissions::reach(actor, Thing::Tickets) == Reach::Own;
                (own && actor.unit.as_ref() == Some(unit), true)
            }
        };
        let data = if knows { &self.data } else { self.hiding.as_ref().unwrap_or(&self.data) };
        may.then_some(data)
    }
}

/// What a resuming listener gets.
pub enum Resumed {
    /// These were missed.
    Missed(Vec<Arc<Event>>),
    /// Too old: read the lists anew.
    Reset,
}

/// What can be resumed from, oldest first.
#[derive(Default)]
struct Kept {
    events: VecDeque<Arc<Event>>,
    octets: usize,
}

impl Kept {
    fn push(&mut self, event: Arc<Event>) {
        self.octets += event.octets();
        self.events.push_back(event);
        while self.events.len() > KEPT || self.octets > KEPT_OCTETS {
            let Some(oldest) = self.events.pop_front() else { return };
            self.octets -= oldest.octets();
        }
    }
}

/// The bus.
pub struct Events {
    ids: IdGen,
    kept: Mutex<Kept>,
    live: broadcast::Sender<Arc<Event>>,
}

impl Events {
    /// An empty bus.
    pub fn new(ids: IdGen) -> Self {
        Events { ids, kept: Mutex::default(), live: broadcast::channel(4096).0 }
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells everybody who listens and may know; nothing in it tells of a citizen who may be confidential.
    pub fn publish(&self, kind: &'static str, audience: Audience, data: &impl Serialize) {
        self.send(kind, audience, data, None::<&()>);
    }

    /// Tells everybody who listens and may know: those who must not know the citizen, only what is in `hiding`.
    pub fn publish_hiding<T: Serialize>(&self, kind: &'static str, audience: Audience, data: &T, hiding: &T) {
        self.send(kind, audience, data, Some(hiding));
    }

    fn send(&self, kind: &'static str, audience: Audience, data: &impl Serialize, hiding: Option<&impl Serialize>) {
        let Ok(data) = serde_json::to_string(data).map(String::into_boxed_str) else { return };
        let Ok(hiding) = hiding.map(serde_json::to_string).transpose() else { return };
        let hiding = hiding.map(String::into_boxed_str);
        let mut kept = self.kept();
        // The number is drawn under the lock, so that the order kept is the order of the numbers.
        let event = Arc::new(Event { id: self.ids.next(), kind, data, hiding, audience });
        kept.push(event.clone());
        // Nobody listening is no fault.
        let _ = self.live.send(event);
    }

    /// Listens from now on, and gives what was missed since `last`.
    pub fn listen(&self, last: Option<u64>) -> (Resumed, broadcast::Receiver<Arc<Event>>) {
        let kept = self.kept();
        let receiver = self.live.subscribe();
        let kept = &kept.events;
        let Some(last) = last else { return (Resumed::Missed(Vec::new()), receiver) };
        let complete = kept.front().is_some_and(|first| first.id <= last) || kept.back().is_some_and(|e| e.id == last);
        let resumed = if complete {
            Resumed::Missed(kept.iter().filter(|event| event.id > last).cloned().collect())
        } else {
            Resumed::Reset
        };
        (resumed, receiver)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ticket::Role;

    fn event(audience: Audience) -> Event {
        Event { id: 1, kind: "call", data: "open".into(), hiding: Some("hiding".into()), audience }
    }

    #[test]
    fn events_obey_the_rules_of_reading() {
        let agent = |number: &str| Actor { agent: Some(number.into()), ..Actor::centre(Role::Agent, number) };
        let (supervisor, reviewer) = (Actor::centre(Role::Supervisor, "9001"), Actor::centre(Role::Reviewer, "r"));
        let unit = Actor::unit("water", "water");
        let call = |confidential| {
            event(Audience::Call(CallScope { agent: Some("8001".into()), confidential, ..CallScope::default() }))
        };
        for (who, plain, secret) in [
            (&agent("8001"), Some("open"), Some("open")),
            (&agent("8002"), None, None),
            (&supervisor, Some("open"), Some("open")),
            (&reviewer, Some("open"), Some("hiding")),
            (&unit, None, None),
        ] {
            assert_eq!((call(false).told_to(who), call(true).told_to(who)), (plain, secret), "{who:?}");
        }
        let gone = event(Audience::Others(CallScope { agent: Some("8001".into()), ..CallScope::default() }));
        for (who, told) in [(&agent("8001"), None), (&agent("8002"), Some("open")), (&supervisor, None), (&unit, None)]
        {
            assert_eq!(gone.told_to(who), told, "{who:?}");
        }
        let lane = event(Audience::Lane(vec!["8020".into()]));
        assert_eq!((lane.told_to(&agent("8020")), lane.told_to(&supervisor)), (Some("open"), None));
        let ticket =
            |confidential| event(Audience::Citizen { thing: Thing::Tickets, confidential, agent: Some("8001".into()) });
        for (who, plain, secret) in [
            (&agent("8001"), Some("open"), Some("open")),
            (&agent("8002"), Some("open"), Some("hiding")),
            (&Actor::centre(Role::Admin, "admin"), Some("open"), Some("hiding")),
            (&Actor::centre(Role::Collector, "c"), None, None),
            (&unit, None, None),
        ] {
            assert_eq!((ticket(false).told_to(who), ticket(true).told_to(who)), (plain, secret), "{who:?}");
        }
        let own = event(Audience::Unit("water".into()));
        assert_eq!(own.told_to(&unit), Some("open"));
        assert_eq!(own.told_to(&Actor::unit("power", "power")), None);
        assert_eq!(own.told_to(&supervisor), None, "the centre has its own version");
        assert_eq!(event(Audience::All(Thing::Agents)).told_to(&unit), None);
    }

    #[test]
    fn a_listener_resumes_without_a_gap() {
        let events = Events::new(IdGen::new(0, 1));
        for n in 0..3 {
            events.publish("call", Audience::All(Thing::Queues), &n);
        }
        let first = events.kept().events[0].id;
        let (Resumed::Missed(missed), _) = events.listen(Some(first)) else { panic!("the event is kept") };
        assert_eq!(missed.iter().map(|e| &*e.data).collect::<Vec<_>>(), ["1", "2"]);
        assert!(matches!(events.listen(Some(first - 1)).0, Resumed::Reset));
    }

    #[test]
    fn old_events_make_room() {
        let events = Events::new(IdGen::new(0, 1));
        for n in 0..KEPT + 5 {
            events.publish("call", Audience::All(Thing::Queues), &n);
        }
        assert_eq!(events.kept().events.len(), KEPT);
        assert_eq!(&*events.kept().events[0].data, "5");
        let large = "x".repeat(KEPT_OCTETS / 4);
        for _ in 0..8 {
            events.publish("call", Audience::All(Thing::Queues), &large);
        }
        let kept = events.kept();
        assert_eq!(kept.events.len(), 3, "four with their quotation marks are too large");
        assert_eq!(kept.octets, kept.events.iter().map(|event| event.octets()).sum::<usize>());
    }
}
