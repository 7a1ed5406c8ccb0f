//! Settings that change while the program runs: read again as a whole, checked as a whole, put in force as a whole.
//!
//! Whatever can fail is tried before anything changes: the files, the clips, the sockets that are new, the users in the
//! database. Then the switch takes its part within one step of its own, and everybody else takes theirs. A fault leaves
//! what runs as it is, and is told: in the log with its line, in `/readyz`, in the figures, in `GET /settings`, and to
//! the administrators' event stream. A certificate with a fault leaves the
//! one that is shown in force, and nothing else. Left out: everything that [`config::restart`] names.

use super::{
    App, accounts, calendar,
    events::Audience,
    permissions::Thing,
    plan, staff,
    switch::Leftover,
    switch_task::{Ask, Overloaded, Standing},
    view::When,
};
use crate::{
    clock::UnixMillis,
    config::{self, Configuration, Draft, Report},
    net::{clock, sip::Bound},
    store::StoreError,
};
use serde::Serialize;
use std::{
    fmt,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
};
use tokio::sync::oneshot;
use utoipa::ToSchema;

/// Changes a configuration that was loaded before it is put in force: a sandbox fills in its city.
pub type Adapt = Box<dyn Fn(&mut Configuration) -> anyhow::Result<()> + Send + Sync>;

/// Puts a log filter in force, or says why it cannot.
pub type SetLog = Box<dyn Fn(&str) -> Result<(), String> + Send + Sync>;

/// Where the configuration comes from, and what belongs to it outside this program's core.
pub struct Source {
    /// The file; None: the sandbox.
    pub path: Option<PathBuf>,
    /// The sandbox's data.
    pub data: PathBuf,
    /// What is done to it once it was read.
    pub adapt: Adapt,
    /// Puts a log filter in force.
    pub log: SetLog,
}

impl Source {
    /// A file, or a sandbox's folder, with nothing done to it.
    pub fn new(path: Option<PathBuf>, data: PathBuf) -> Self {
        Source { path, data, adapt: Box::new(|_| Ok(())), log: Box::new(|_| Ok(())) }
    }

    /// Reads everything again.
    ///
    /// # Errors
    /// Every fault.
    pub fn load(&self) -> Result<Configuration, Faults> {
        self.load_with(None)
    }

    /// The same, with a text that is tried before it is written.
    ///
    /// # Errors
    /// Every fault.
    pub fn load_with(&self, draft: Option<Draft>) -> Result<Configuration, Faults> {
        let mut configuration = config::load_with(self.path.as_deref(), &self.data, draft)?;
        (self.adapt)(&mut configuration).map_err(Faults::other)?;
        Ok(configuration)
    }
}

/// One fault of a file, as it is shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct FaultView {
    /// Where; empty where no file is to blame.
    pub file: String,
    /// From 1; 0 where it is the file as a whole.
    pub line: u32,
    /// From 1, in characters.
    pub column: u32,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub fix: String,
}

impl From<crate::ivr::Fault> for FaultView {
    fn from(fault: crate::ivr::Fault) -> Self {
        let crate::ivr::Fault { file, line, column, what, fix, .. } = fault;
        FaultView { file, line, column, message: what, fix }
    }
}

impl Standings {
    /// Everything that is written and not in force.
    pub fn all_faults(&self) -> Vec<FaultView> {
        self.faults.iter().chain(&self.certificates).cloned().collect()
    }
}

impl fmt::Display for FaultView {
    /// `file:line:column: what — what to do`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let FaultView { file, line, column, message, fix } = self;
        match (file.is_empty(), line) {
            (true, _) => {}
            (false, 0) => write!(f, "{file}: ")?,
            (false, _) => write!(f, "{file}:{line}:{column}: ")?,
        }
        f.write_str(message)?;
        if fix.is_empty() { Ok(()) } else { write!(f, " — {fix}") }
    }
}

/// Everything that is wrong with settings; they are not in force.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{} fault(s), first: {}", .0.len(), .0.first().map_or("", |fault| fault.message.as_str()))]
pub struct Faults(pub Vec<FaultView>);

impl Faults {
    pub(super) fn other(error: impl std::fmt::Display) -> Self {
        let message = format!("{error:#}");
        Faults(vec![FaultView { file: String::new(), line: 0, column: 0, message, fix: String::new() }])
    }
}

impl From<Vec<crate::ivr::Fault>> for Faults {
    fn from(faults: Vec<crate::ivr::Fault>) -> Self {
        Faults(faults.into_iter().map(FaultView::from).collect())
    }
}

impl From<Report> for Faults {
    fn from(report: Report) -> Self {
        report.faults.into()
    }
}

/// Why settings were not put in force; what runs stays as it is.
#[derive(Debug, thiserror::Error)]
pub enum NotReloaded {
    /// Something is wrong with what is written, or cannot be opened.
    #[error(transparent)]
    Faulty(#[from] Faults),
    /// The database, which has to know the users.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The switch.
    #[error(transparent)]
    Overloaded(#[from] Overloaded),
}

/// How the last try to put settings in force went.
#[derive(Clone, Debug, Default)]
pub struct Standings {
    /// When others were last tried.
    pub tried_at: Option<UnixMillis>,
    /// When those in force took effect.
    pub in_force_since: Option<UnixMillis>,
    /// Why the last try came to nothing.
    pub faults: Vec<FaultView>,
    /// Certificates that were not taken up: the old ones are shown.
    pub certificates: Vec<FaultView>,
    /// What takes effect after a restart.
    pub pending: Vec<String>,
    /// What works and is against good practice.
    pub warnings: Vec<String>,
}

/// The settings as a whole, as they are shown.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct SettingsState {
    /// When the settings in force took effect.
    pub in_force_since: Option<When>,
    /// When it was last tried to put others in force.
    pub tried_at: Option<When>,
    /// Whether what is written could not be put in force: what was in force before still is.
    pub faulty: bool,
    /// Why.
    pub faults: Vec<FaultView>,
    /// What works and is against good practice.
    pub warnings: Vec<String>,
    /// Settings that were changed and take effect after a restart, as they are written in `hotline.toml`.
    pub pending_restart: Vec<String>,
    /// Queues that the settings name no more and that still serve those who wait.
    pub closing_queues: Vec<ClosingQueue>,
    /// Agents who are gone, or sit elsewhere, once their call is over.
    pub leaving_agents: Vec<String>,
}

/// A queue that closes.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct ClosingQueue {
    /// Its name.
    pub queue: String,
    /// Callers who are still in it.
    pub callers: usize,
}

impl App {
    /// Reads the configuration again and puts it in force; one at a time.
    ///
    /// # Errors
    /// [`NotReloaded`]; what was in force before still is.
    pub async fn reload(self: &Arc<Self>) -> Result<(), NotReloaded> {
        let mut planned = self.planned.lock().await;
        let result = self.reload_now(&mut planned).await;
        self.told(&result);
        if result.is_ok()
            && let Err(error) = self.keep_versions().await
        {
            tracing::warn!(%error, "the versions of the settings were not kept; the next reload keeps them");
        }
        self.publish_settings().await;
        result
    }

    async fn reload_now(self: &Arc<Self>, planned: &mut plan::Planned) -> Result<(), NotReloaded> {
        let app = self.clone();
        let loaded = tokio::task::spawn_blocking(move || app.source.load()).await;
        let configuration = loaded.map_err(Faults::other)??;
        self.take_up(configuration, planned).await
    }

    /// Puts a sound configuration in force in the place of what was planned before.
    ///
    /// # Errors
    /// [`NotReloaded`]; what was in force before still is.
    pub(super) async fn take_up(
        self: &Arc<Self>,
        mut configuration: Configuration,
        planned: &mut plan::Planned,
    ) -> Result<(), NotReloaded> {
        let before = self.in_force();
        let now = clock::now();
        let kept_back = config::keep_until_restart(&before.settings, &mut configuration.settings);
        let mut pending: Vec<String> = kept_back.into_iter().map(str::to_owned).collect();
        let standing = self.standing().await?;
        pending.extend(config::keep_transports(
            &mut configuration.profiles,
            &standing.open.streams,
            &standing.open.tls,
        ));
        let hotlines = self.store.hotline_list().await?;
        let kept = self.store.user_kept().await?;
        let clashes = staff::clashes(&configuration.settings, &kept);
        if !clashes.is_empty() {
            return Err(Faults::from(clashes).into());
        }
        let unsound = self.certificates.reload(&configuration.settings, &configuration.profiles, now.wall);
        let listen = plan::listen(&configuration.profiles, &self.certificates, &self.runtime);
        let addresses = listen.addresses();
        // Clips are decoded and sockets bound where that may take its time.
        let opened = tokio::task::spawn_blocking(move || {
            let change = plan::change(&configuration, hotlines)?;
            let new = listen.beyond(&standing.open);
            anyhow::Ok((change, Bound::open(&new.udp, new.streams)?, configuration))
        });
        let (change, bound, configuration) = opened.await.map_err(Faults::other)?.map_err(Faults::other)?;
        let Configuration { settings, warnings, .. } = configuration;
        let staff = staff::agents(kept, &change.config.realm);
        let unregistered = staff::warnings(&staff, &change.config.realm);
        accounts::keep(&self.store, &settings).await?;
        let (reply, answer) = oneshot::channel();
        let staffed = Box::new(plan::with_staff(change.clone(), &staff));
        self.switch.ask(Ask::Reconfigure { change: staffed, listen: addresses.clone(), bound, reply }).await?;
        let leftover = answer.await.map_err(|_| Overloaded)?.map_err(Faults::other)?;
        *planned = plan::Planned { change, addresses };
        if let Err(error) = (self.source.log)(&settings.log.filter) {
            tracing::warn!(%error, "the log filter stays as it was");
        }
        let next = before.next(settings, &staff, now.wall);
        if let Some(what) = calendar::alarm(&next.rules, now.wall).filter(|_| !next.settings.sandbox) {
            tracing::warn!("{what}");
        }
        self.put_in_force(next);
        tell_leftover(&leftover);
        for what in &pending {
            tracing::warn!("{what}: takes effect after a restart (重启后生效)");
        }
        let mut standings = self.standings();
        standings.in_force_since = Some(now.wall);
        standings.pending = pending;
        standings.certificates = unsound.into_iter().map(FaultView::from).collect();
        standings.warnings = warnings.iter().map(ToString::to_string).chain(unregistered).collect();
        Ok(())
    }

    /// Keeps, logs and counts how it went.
    pub(super) fn told(&self, result: &Result<(), NotReloaded>) {
        let faults = match result {
            Ok(()) => Vec::new(),
            Err(NotReloaded::Faulty(faults)) => faults.0.clone(),
            Err(other) => Faults::other(other).0,
        };
        for fault in &faults {
            tracing::error!("settings: {fault}");
        }
        match faults.len() {
            0 => tracing::info!("the settings were read again and are in force"),
            faults => {
                tracing::error!(faults, "the settings have faults: what was in force stays (配置有错误,仍按原配置运行)")
            }
        }
        let word = if faults.is_empty() { "ok" } else { "fault" };
        metrics::counter!("hotline_settings_reload_total", "result" => word).increment(1);
        let mut standings = self.standings();
        standings.tried_at = Some(clock::now().wall);
        standings.faults = faults;
        metrics::gauge!("hotline_settings_fault").set(if standings.all_faults().is_empty() { 0.0 } else { 1.0 });
    }

    pub(super) fn standings(&self) -> std::sync::MutexGuard<'_, Standings> {
        self.standings.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn standing(&self) -> Result<Standing, Overloaded> {
        let (reply, answer) = oneshot::channel();
        self.switch.ask(Ask::Standing(reply)).await?;
        answer.await.map_err(|_| Overloaded)
    }

    /// The settings as a whole.
    ///
    /// # Errors
    /// `Overloaded`.
    pub async fn settings_state(&self) -> Result<SettingsState, Overloaded> {
        let Leftover { closing, talking } = self.standing().await?.leftover;
        let standings = self.standings().clone();
        Ok(SettingsState {
            in_force_since: standings.in_force_since.map(When),
            tried_at: standings.tried_at.map(When),
            faulty: !standings.all_faults().is_empty(),
            faults: standings.all_faults(),
            warnings: standings.warnings,
            pending_restart: standings.pending,
            closing_queues: closing
                .into_iter()
                .map(|(queue, callers)| ClosingQueue { queue: queue.to_string(), callers })
                .collect(),
            leaving_agents: talking.iter().map(ToString::to_string).collect(),
        })
    }

    /// Tells the administrators how the settings stand.
    pub(super) async fn publish_settings(&self) {
        if let Ok(state) = self.settings_state().await {
            self.events.publish("settings", Audience::All(Thing::Settings), &state);
        }
    }
}

fn tell_leftover(leftover: &Leftover) {
    for (queue, callers) in &leftover.closing {
        tracing::warn!(%queue, callers, "a queue is gone from the settings: those who wait are served, nobody else comes in");
    }
    for agent in &leftover.talking {
        tracing::warn!(%agent, "an agent is gone from the settings, and is signed out when the call is over");
    }
}

/// The state of the last try, shared.
pub(super) type SharedStandings = Mutex<Standings>;
