//! Other settings while calls go on. A call in progress keeps the flow, the clips and the rules it began with; who
//! waits keeps the place; what is new is for what comes.

use super::{Config, MediaPort, Switch};
use crate::{
    acd::{
        config::{ConfigError, QueueConfig},
        reconfigure::{self, Rostered},
    },
    clock::Now,
    ids::AgentNo,
    sip::{auth::Algorithm, endpoint::HostPort, registrar::RegistrarConfig},
};
use std::{
    collections::{BTreeMap, HashMap, HashSet},
    net::SocketAddr,
    sync::Arc,
};

/// What earlier changes leave to be done.
pub type Leftover = reconfigure::Leftover;

/// Everything in a switch that settings can change.
#[derive(Clone, Debug)]
pub struct Change {
    /// What is decided by.
    pub config: Arc<Config>,
    /// The queues.
    pub queues: Vec<QueueConfig>,
    /// The agents.
    pub roster: BTreeMap<AgentNo, Rostered>,
    /// What registrations are granted.
    pub registrar: RegistrarConfig,
    /// What telephones may prove themselves by, in the order in which it is offered.
    pub algorithms: Vec<Algorithm>,
    /// What our addresses are called from outside.
    pub advertised: HashMap<SocketAddr, HostPort>,
}

impl<M: MediaPort> Switch<M> {
    /// Puts other settings in force; tells what is left to be done of this and of earlier changes.
    ///
    /// Registrations of users who are gone, and those that came by an address where we listen no more, end at once. An
    /// address that is given up takes nothing new; what belongs to a dialog is taken there until its end.
    ///
    /// # Errors
    /// A fault of the queues; nothing changed.
    pub fn reconfigure(&mut self, now: Now, change: Change) -> Result<Leftover, ConfigError> {
        let Change { config, queues, roster, registrar, algorithms, advertised } = change;
        self.acd.set_queues(now, queues)?;
        self.endpoint.set_access(config.access());
        self.endpoint.advertise(advertised);
        self.auth.set_challenges(&config.realm, algorithms);
        self.registrar.set_config(registrar);
        let listeners = config.profiles.iter().flat_map(|profile| &profile.settings.listen);
        let open: HashSet<SocketAddr> = listeners.map(|listener| listener.address).collect();
        self.registrar
            .retain(now, |user, binding| config.credentials.contains_key(user) && open.contains(&binding.flow.local));
        self.config = config;
        self.acd.set_roster(now, &roster);
        self.roster = roster;
        self.settle(now);
        Ok(self.leftover())
    }

    /// What is still to be done of earlier changes.
    pub fn leftover(&self) -> Leftover {
        self.acd.leftover(&self.roster)
    }
}
