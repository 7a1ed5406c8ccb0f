//! The event stream: what happened, for whoever may know, with a number to resume from.
//!
//! The last [`KEPT`] events are held, so that a browser that lost its connection goes on where it was
//! (`Last-Event-ID`). Who asks for something older is told `reset` and reads the lists anew. Event numbers grow over
//! restarts too. A listener that is too slow is told the same.

use crate::ids::{AgentNo, IdGen, UnitCode};
use serde::Serialize;
use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use tokio::sync::broadcast;

/// How many events can be resumed from.
pub const KEPT: usize = 10_000;

/// Who may see an event, beside administrators and supervisors.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub enum Audience {
    /// Everybody who is signed in and works at the centre.
    #[default]
    Centre,
    /// Supervisors and administrators alone.
    Supervisors,
    /// And this agent.
    Agent(AgentNo),
    /// Everybody at the centre, but of its agents these alone: the ones who are or were on a call.
    OnCall(Vec<AgentNo>),
    /// The agents who are not among these.
    OtherAgents(Vec<AgentNo>),
    /// These agents alone: a private lane's own, and no supervisor or administrator.
    Lane(Vec<AgentNo>),
    /// This unit's people alone: they see their own version.
    UnitOnly(UnitCode),
}

/// One event.
#[derive(Clone, Debug)]
pub struct Event {
    pub id: u64,
    /// Such as `call`, `agent`, `queue`, `ticket`, `message`.
    pub kind: &'static str,
    /// JSON.
    pub data: String,
    pub audience: Audience,
}

/// What a resuming listener gets.
pub enum Resumed {
    /// These were missed.
    Missed(Vec<Arc<Event>>),
    /// Too old: read the lists anew.
    Reset,
}

/// The bus.
pub struct Events {
    ids: IdGen,
    kept: Mutex<VecDeque<Arc<Event>>>,
    live: broadcast::Sender<Arc<Event>>,
}

impl Events {
    /// An empty bus.
    pub fn new(ids: IdGen) -> Self {
        Events { ids, kept: Mutex::default(), live: broadcast::channel(4096).0 }
    }

    fn kept(&self) -> MutexGuard<'_, VecDeque<Arc<Event>>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells everybody who listens and may know.
    pub fn publish(&self, kind: &'static str, audience: Audience, data: &impl Serialize) {
        let Ok(data) = serde_json::to_string(data) else { return };
        let mut kept = self.kept();
        // The number is drawn under the lock, so that the order kept is the order of the numbers.
        let event = Arc::new(Event { id: self.ids.next(), kind, data, audience });
        if kept.len() == KEPT {
            kept.pop_front();
        }
        kept.push_back(event.clone());
        // Nobody listening is no fault.
        let _ = self.live.send(event);
    }

    /// Listens from now on, and gives what was missed since `last`.
    pub fn listen(&self, last: Option<u64>) -> (Resumed, broadcast::Receiver<Arc<Event>>) {
        let kept = self.kept();
        let receiver = self.live.subscribe();
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

    #[test]
    fn a_listener_resumes_without_a_gap() {
        let events = Events::new(IdGen::new(0, 1));
        for n in 0..3 {
            events.publish("call", Audience::Centre, &n);
        }
        let first = events.kept()[0].id;
        let (Resumed::Missed(missed), _) = events.listen(Some(first)) else { panic!("the event is kept") };
        assert_eq!(missed.iter().map(|e| e.data.as_str()).collect::<Vec<_>>(), ["1", "2"]);
        assert!(matches!(events.listen(Some(first - 1)).0, Resumed::Reset));
    }

    #[test]
    fn old_events_make_room() {
        let events = Events::new(IdGen::new(0, 1));
        for n in 0..KEPT + 5 {
            events.publish("call", Audience::Centre, &n);
        }
        assert_eq!(events.kept().len(), KEPT);
        assert_eq!(events.kept()[0].data, "5");
    }
}
