//! The settings in force: one whole, replaced at once when others take their place. Who works with them takes the whole
//! at the beginning and keeps it to the end.

use super::{AgentSeat, App, calendar, plan, staff::StaffAgent};
use crate::{
    clock::UnixMillis,
    config::{QueueSettings, Settings},
    ids::AgentNo,
    sms::template::Templates,
    ticket::Rules,
};
use std::{
    collections::HashMap,
    sync::{Arc, PoisonError, atomic::Ordering},
};

/// Settings and what follows from them.
#[derive(Clone, Debug)]
pub struct InForce {
    /// The settings, with the old of what waits for a restart.
    pub settings: Settings,
    /// All agents, by number, those of the database included.
    pub agents: HashMap<AgentNo, AgentSeat>,
    /// Deadlines and calendar.
    pub rules: Rules,
    /// Private lanes that the settings name no more: who still waits there is nobody else's to see.
    former_lanes: Vec<QueueSettings>,
}

impl InForce {
    /// What follows from these settings at `now`, with these agents beside theirs.
    pub(super) fn new(settings: Settings, staff: &[StaffAgent], now: UnixMillis) -> Self {
        let (agents, rules) = (plan::agent_seats(&settings, staff), calendar::rules(&settings, now));
        InForce { agents, rules, settings, former_lanes: Vec::new() }
    }

    /// The same settings with these agents beside theirs.
    pub(super) fn staffed(&self, staff: &[StaffAgent]) -> Self {
        InForce { agents: plan::agent_seats(&self.settings, staff), ..self.clone() }
    }

    /// What follows from settings that take the place of these.
    pub(super) fn next(&self, settings: Settings, staff: &[StaffAgent], now: UnixMillis) -> Self {
        let next = InForce::new(settings, staff, now);
        let named = |lane: &&QueueSettings| next.settings.queues.iter().any(|queue| queue.name == lane.name);
        let former_lanes = self.queues().filter(|lane| lane.private && !named(lane)).cloned().collect();
        InForce { former_lanes, ..next }
    }

    /// The queues, with private lanes that are gone.
    pub fn queues(&self) -> impl Iterator<Item = &QueueSettings> {
        self.settings.queues.iter().chain(&self.former_lanes)
    }

    /// The texts of messages.
    pub fn templates(&self) -> Templates {
        self.settings.sms.as_ref().map(|sms| sms.templates.clone()).unwrap_or_default()
    }
}

impl App {
    /// The settings in force at this moment.
    pub fn in_force(&self) -> Arc<InForce> {
        self.in_force.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Puts others in force.
    pub(super) fn put_in_force(&self, next: InForce) {
        self.max_rate.store(next.settings.api.max_rate, Ordering::Relaxed);
        *self.in_force.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(next);
    }
}
