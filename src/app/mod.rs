//! One file a use case: what the rooms below do together.
//!
//! [`App`] is what the API holds on to: the store, the present ([`live::Live`]), the event stream, and the way to the
//! switch. It is made once, in [`setup`].

mod accounts;
pub mod agents;
mod calendar;
pub mod callbacks;
pub mod calls;
pub mod check;
pub mod events;
mod figures;
pub mod housekeeping;
pub mod in_force;
pub mod lanes;
pub mod lifecycle;
pub mod live;
pub mod outbox;
pub mod permissions;
mod plan;
pub mod readiness;
pub mod recordings;
pub mod recovery;
pub mod reload;
pub mod setup;
pub mod switch;
pub mod switch_task;
pub mod ticket_view;
pub mod tickets;
pub mod view;

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
    sync::{Arc, Mutex, OnceLock, RwLock, atomic::AtomicU32},
};
use switch_task::{Overloaded, SwitchHandle};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// Where an agent usually sits, and what it can do.
#[derive(Clone, Debug)]
pub struct AgentSeat {
    pub extension: Extension,
    pub skills: Vec<(String, u8)>,
}

/// The running program.
pub struct App {
    /// Replaced whole by [`App::reload`]; see [`App::in_force`].
    in_force: RwLock<Arc<in_force::InForce>>,
    pub source: reload::Source,
    /// Requests a second of one session, as the settings in force say.
    pub max_rate: Arc<AtomicU32>,
    /// Settings change one at a time.
    reloading: tokio::sync::Mutex<()>,
    standings: reload::SharedStandings,
    pub ids: IdGen,
    pub store: Store,
    pub spool: Spool,
    pub live: live::Live,
    pub events: events::Events,
    pub switch: SwitchHandle,
    /// Rung when an SMS was written.
    pub bell: outbox::Bell,
    pub recording_key: Key,
    /// The runtime of everything that may wait.
    pub runtime: tokio::runtime::Handle,
    pub started: Now,
    pub sms: OnceLock<SmsGateway>,
    /// Changes of agents' states on their way to the store.
    agent_log: mpsc::Sender<AgentLogRow>,
    /// Cancelled when the program ends: jobs that run on and on end by it.
    pub ending: CancellationToken,
    /// Calls of an earlier run that may or may not have been answered, by their SIP Call-ID.
    in_doubt: Mutex<HashMap<String, (CallId, FinishedCall)>>,
}

/// Why a use case was not carried out; nothing has changed then.
#[derive(Debug, thiserror::Error)]
pub enum AppError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Overloaded(#[from] Overloaded),
    #[error("{0} is not there")]
    NotFound(&'static str),
    #[error("{0}")]
    Forbidden(String),
    #[error("{0}")]
    Invalid(String),
    #[error(transparent)]
    CallRefused(#[from] Rejected),
    #[error("{0}")]
    AgentRefused(String),
    #[error("{reason}")]
    CallbackRefused { code: &'static str, reason: String },
    #[error("{reason}")]
    TicketRefused { code: &'static str, reason: String },
    #[error("the version is {current} by now")]
    VersionMismatch { current: u64 },
}
