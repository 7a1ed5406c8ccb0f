//! Private lanes, such as 12388: seats, keys and a line of their own, hidden from every other role, the administrator
//! included (监察委专席).

use super::{AgentSeat, App, events::Audience, permissions::Thing};
use crate::{
    config::QueueSettings,
    ids::{AgentNo, QueueName},
    ivr::Hours,
    net::clock,
    store::HotlineRow,
    ticket::Actor,
};
use std::collections::HashMap;

/// Whether this agent serves a queue: all its skills are needed.
fn serves(agent: &AgentSeat, queue: &QueueSettings) -> bool {
    queue.skills.iter().all(|skill| agent.skills.iter().any(|(own, _)| own == skill))
}

/// Whether this user may know of a queue: of a private one only the agents who serve it.
pub fn sees_queue(actor: &Actor, queue: &QueueSettings, agents: &HashMap<AgentNo, AgentSeat>) -> bool {
    let own = actor.agent.as_ref().and_then(|number| agents.get(number));
    !queue.private || own.is_some_and(|agent| serves(agent, queue))
}

impl App {
    /// The queues of which this user may not know.
    pub fn hidden_queues(&self, actor: &Actor) -> Vec<QueueName> {
        let in_force = self.in_force();
        let hidden = in_force.queues().filter(|queue| !sees_queue(actor, queue, &in_force.agents));
        hidden.map(|queue| queue.name.clone()).collect()
    }

    /// Whether this user may know of a hotline: one that leads to a private lane is hidden with it.
    pub fn sees_hotline(&self, actor: &Actor, row: &HotlineRow) -> bool {
        let lane = row.detail.get("lane").and_then(|lane| lane.as_str());
        lane.is_none_or(|lane| !self.hidden_queues(actor).iter().any(|hidden| hidden.as_str() == lane))
    }

    /// Whether a hotline is within its hours now; one without hours always is.
    pub fn is_open(&self, row: &HotlineRow) -> bool {
        let settings = &self.in_force().settings;
        let calendars = &settings.calendars;
        let own = settings.hotlines.iter().find(|own| own.number == row.number).map(|own| own.calendar.as_deref());
        let name = own.unwrap_or_else(|| row.detail.get("calendar").and_then(|name| name.as_str()));
        let known = name.filter(|name| calendars.calendars.contains_key(*name));
        known.is_none_or(|name| calendars.open(name, clock::now().wall))
    }

    /// Who may hear what happens in a queue.
    pub fn queue_audience(&self, queue: &QueueName) -> Audience {
        let in_force = self.in_force();
        match in_force.queues().find(|own| own.name == *queue && own.private) {
            None => Audience::All(Thing::Queues),
            Some(lane) => {
                let staff = in_force.agents.iter().filter(|(_, agent)| serves(agent, lane));
                Audience::Lane(staff.map(|(number, _)| number.clone()).collect())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{app::plan, config::Settings, ticket::Role};
    use std::path::Path;

    #[test]
    fn a_private_lane_is_seen_by_its_own_agents_alone() {
        let settings = Settings::sandbox(Path::new("data"));
        let agents = plan::agent_seats(&settings, &[]);
        let seen = |actor: &Actor| -> Vec<String> {
            let queues = settings.queues.iter().filter(|queue| sees_queue(actor, queue, &agents));
            queues.map(|queue| queue.name.to_string()).collect()
        };
        for role in Role::ALL {
            assert_eq!(seen(&Actor::centre(role, "somebody")), ["general", "english"], "{role:?}");
        }
        let agent = |number: &str| Actor { agent: Some(number.into()), ..Actor::centre(Role::Agent, number) };
        assert_eq!(seen(&agent("8001")), ["general", "english"]);
        assert_eq!(seen(&agent("8020")), ["general", "english", "lane_12388"]);
        let lane: Vec<_> = agents.iter().filter(|(_, agent)| serves(agent, &settings.queues[2])).collect();
        assert_eq!(lane.iter().map(|(number, _)| number.as_str()).collect::<Vec<_>>(), ["8020"]);
        assert!(!serves(lane[0].1, &settings.queues[0]), "and is never rung for other calls");
    }
}
