//! One file a use case: what the rooms below do together.
//!
//! [`App`] is what the API holds on to: the store, the present ([`live::Live`]), the event stream, and the way to the
//! switch. It is made once, in [`setup`].

mod accounts;
pub mod agents;
pub mod alarms;
pub mod backup;
mod calendar;
pub mod callbacks;
pub mod calls;
pub mod catalogue;
pub mod certificates;
pub mod check;
pub mod documents;
pub mod ending;
pub mod events;
mod figures;
mod footing;
pub mod housekeeping;
pub mod in_force;
pub mod lanes;
pub mod lifecycle;
pub mod live;
pub mod log;
pub mod outbox;
pub mod permissions;
mod plan;
pub mod readiness;
pub mod recordings;
pub mod recovery;
pub mod reload;
pub mod setup;
pub mod signs;
mod story;
pub mod switch;
pub mod switch_task;
pub mod ticket_view;
pub mod tickets;
pub mod view;
mod watch;

use crate::{
    call::Rejected,
    clock::Now,
    ids::{CallId, Extension, IdGen},
    media::recorder::Key,
    net::sms::SmsGateway,
    store::{AgentLogRow, FinishedCall, Spool, Store, StoreError},
};
use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, OnceLock, RwLock,
        atomic::{AtomicBool, AtomicU32},
    },
};
use switch_task::{Overloaded, SwitchHandle};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// Where an agent usually sits, and what it can do.
#[derive(Clone, Debug)]
pub struct AgentSeat {
    /// The telephone.
    pub extension: Extension,
    /// Levels 1–9 by skill.
    pub skills: Vec<(String, u8)>,
}

/// The running program.
pub struct App {
    /// Replaced whole by [`App::reload`]; see [`App::in_force`].
    in_force: RwLock<Arc<in_force::InForce>>,
    /// Where the configuration is read from.
    pub source: reload::Source,
    /// Requests a second of one session, as the settings in force say.
    pub max_rate: Arc<AtomicU32>,
    /// Settings change one at a time.
    reloading: tokio::sync::Mutex<()>,
    standings: reload::SharedStandings,
    /// Where new ids come from.
    pub ids: IdGen,
    /// The database.
    pub store: Store,
    /// The local journal that accepted calls are durable in.
    pub spool: Spool,
    /// The present: calls, agents and queues.
    pub live: live::Live,
    /// The event stream.
    pub events: events::Events,
    /// The way to calls and agents.
    pub switch: SwitchHandle,
    /// Rung when an SMS was written.
    pub bell: outbox::Bell,
    /// The key that recordings are sealed with.
    pub recording_key: Key,
    /// What the TLS listeners show.
    pub certificates: certificates::Certificates,
    /// The runtime of everything that may wait.
    pub runtime: tokio::runtime::Handle,
    /// When the program was started.
    pub started: Now,
    /// The connection to the SMS centre; empty where none is configured.
    pub sms: OnceLock<SmsGateway>,
    /// Changes of agents' states on their way to the store.
    agent_log: mpsc::Sender<AgentLogRow>,
    /// No new calls are taken any more.
    draining: AtomicBool,
    /// Started without the database, which has not been found yet.
    without_database: AtomicBool,
    /// What the watch is told by other parts of the program.
    pub reports: signs::Reports,
    alarms: Mutex<alarms::Board>,
    /// Cancelled when the program ends: jobs that run on and on end by it.
    pub ending: CancellationToken,
    /// Calls of an earlier run that may or may not have been answered, by their SIP Call-ID.
    in_doubt: Mutex<HashMap<String, (CallId, FinishedCall)>>,
}

/// Why a use case was not carried out; nothing has changed then.
#[derive(Debug, thiserror::Error)]
pub enum AppError {
    /// The database failed, or refused.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The switch takes nothing more: try again later.
    #[error(transparent)]
    Overloaded(#[from] Overloaded),
    /// What is not there, also where this user may not know of it.
    #[error("{0} is not there")]
    NotFound(&'static str),
    /// Why this user may not.
    #[error("{0}")]
    Forbidden(String),
    /// What is wrong with the request.
    #[error("{0}")]
    Invalid(String),
    /// The call's state does not allow it.
    #[error(transparent)]
    CallRefused(#[from] Rejected),
    /// Why the agent's state does not allow it.
    #[error("{0}")]
    AgentRefused(String),
    /// The callback's state does not allow it.
    #[error("{reason}")]
    CallbackRefused {
        /// A stable code for API users.
        code: &'static str,
        /// The same in words.
        reason: String,
    },
    /// The ticket's state or its rules do not allow it.
    #[error("{reason}")]
    TicketRefused {
        /// A stable code for API users.
        code: &'static str,
        /// The same in words.
        reason: String,
    },
    /// A change of the settings was refused.
    #[error(transparent)]
    Settings(#[from] documents::SettingsRefused),
    /// Somebody else changed it meanwhile: read it again first.
    #[error("the version is {current} by now")]
    VersionMismatch {
        /// Its version by now.
        current: u64,
    },
}
