//! Agents as the API sees them, and changes to them.

use super::{
    App, AppError,
    events::Audience,
    permissions::{self, Thing},
    view::{AgentView, QueueView},
};
use crate::{
    acd::{
        message::{AgentTransition, Input, Status},
        snapshot::{AgentSnapshot, QueueSnapshot},
    },
    ids::AgentNo,
    store::{AgentLogRow, Store, StoreError},
    ticket::Actor,
};
use std::time::Duration;
use tokio::sync::mpsc;

/// Changes of agents' states that may wait for the database; more are dropped and counted.
pub(super) const LOG_MAILBOX: usize = 65_536;
/// Changes that are written at once.
const LOG_BATCH: usize = 256;
const LOGGED_OUT: &str = "logged_out";

impl App {
    /// All agents who ever signed in.
    ///
    /// # Errors
    /// `Forbidden`.
    pub fn agent_list(&self, actor: &Actor) -> Result<Vec<AgentView>, AppError> {
        permissions::require(actor, Thing::Agents)?;
        let live = self.live.agents();
        Ok(live.iter().map(|agent| AgentView::new(agent, self.registered(agent))).collect())
    }

    /// One agent.
    ///
    /// # Errors
    /// `Forbidden`, `NotFound`.
    pub fn agent_get(&self, actor: &Actor, agent: &AgentNo) -> Result<AgentView, AppError> {
        permissions::require(actor, Thing::Agents)?;
        self.agent_view(agent)
    }

    /// All queues.
    ///
    /// # Errors
    /// `Forbidden`.
    pub fn queue_list(&self, actor: &Actor) -> Result<Vec<QueueView>, AppError> {
        permissions::require(actor, Thing::Queues)?;
        let hidden = self.hidden_queues(actor);
        let queues = self.live.queues();
        Ok(queues.iter().filter(|queue| !hidden.contains(&queue.queue)).map(QueueView::from).collect())
    }

    /// Fails with `Forbidden` unless this user may change the agent's status.
    fn require_set(actor: &Actor, agent: &AgentNo) -> Result<(), AppError> {
        if permissions::may_set_agent(actor, agent) {
            Ok(())
        } else {
            Err(AppError::Forbidden("只有班长,或者话务员本人,可以这样做".to_owned()))
        }
    }

    fn agent_view(&self, agent: &AgentNo) -> Result<AgentView, AppError> {
        let snapshot = self.live.agent(agent).ok_or(AppError::NotFound("坐席"))?;
        Ok(AgentView::new(&snapshot, self.registered(&snapshot)))
    }

    fn registered(&self, agent: &AgentSnapshot) -> bool {
        agent.extension.as_ref().is_some_and(|extension| self.live.is_registered(extension))
    }

    /// Sets what an agent wants; signs it in at its usual seat when it is not.
    ///
    /// # Errors
    /// `Forbidden`, `NotFound`, `AgentRefused` with the ACD's reason, `Overloaded`.
    pub async fn agent_status(&self, actor: &Actor, agent: AgentNo, status: Status) -> Result<AgentView, AppError> {
        Self::require_set(actor, &agent)?;
        let live = self.live.agent(&agent);
        let known = live.as_ref().is_some_and(|agent| agent.extension.is_some());
        if status == Status::LoggedOut {
            live.ok_or(AppError::NotFound("坐席"))?;
        } else if !known {
            let in_force = self.in_force();
            let settings = in_force.agents.get(&agent).ok_or(AppError::NotFound("坐席"))?;
            let sign_in = Input::SignIn {
                agent: agent.clone(),
                extension: settings.extension.clone(),
                skills: settings.skills.clone(),
                ready: false,
            };
            self.agent_input(sign_in).await?;
        }
        let input = match status {
            Status::LoggedOut => Input::SignOut { agent: agent.clone() },
            status => Input::SetStatus { agent: agent.clone(), status },
        };
        self.agent_input(input).await?;
        self.agent_view(&agent)
    }

    /// Ends an agent's wrap-up, or stretches it.
    ///
    /// # Errors
    /// `Forbidden`, `NotFound`, `AgentRefused` with the ACD's reason, `Overloaded`.
    pub async fn agent_wrap_up(
        &self,
        actor: &Actor,
        agent: AgentNo,
        more: Option<Duration>,
    ) -> Result<AgentView, AppError> {
        Self::require_set(actor, &agent)?;
        self.agent_view(&agent)?;
        self.agent_input(Input::WrapUp { agent: agent.clone(), more }).await?;
        self.agent_view(&agent)
    }

    async fn agent_input(&self, input: Input) -> Result<(), AppError> {
        self.switch.agent(input).await?.map_err(|why| AppError::AgentRefused(why.to_string()))
    }

    /// The switch says that an agent changed.
    pub fn agent_changed(&self, snapshot: AgentSnapshot) {
        let view = AgentView::new(&snapshot, self.registered(&snapshot));
        self.live.set_agent(snapshot);
        self.events.publish("agent", Audience::All(Thing::Agents), &view);
    }

    /// The switch says that a queue changed.
    pub fn queue_changed(&self, snapshot: QueueSnapshot) {
        self.events.publish("queue", self.queue_audience(&snapshot.queue), &QueueView::from(&snapshot));
        if snapshot.closing && snapshot.waiting_count + snapshot.ringing_count == 0 {
            self.live.remove_queue(&snapshot.queue);
        } else {
            self.live.set_queue(snapshot);
        }
    }

    /// Keeps a change of an agent's presence: reports are made from these rows.
    pub(super) fn agent_transition(&self, transition: AgentTransition) {
        let to = &transition.to;
        let (status, reason) = match &to.status {
            Status::LoggedOut => (LOGGED_OUT.to_owned(), None),
            Status::NotReady { reason } if to.call.is_none() => ("not_ready".to_owned(), Some(reason.clone())),
            Status::Ready | Status::NotReady { .. } => (to.state.name().to_owned(), None),
        };
        let row = AgentLogRow {
            agent: transition.agent.clone(),
            extension: to.extension.clone(),
            at: transition.at,
            status,
            reason,
            call: to.call,
        };
        if self.agent_log.try_send(row).is_err() {
            metrics::counter!("hotline_agent_log_dropped_total").increment(1);
            tracing::warn!(agent = %transition.agent, "a change of an agent's state was not kept: too many wait");
        }
    }

    /// Agents whose shift an earlier run never ended, because the program ended before: it ends with this run's start.
    pub(super) async fn close_old_shifts(&self) -> Result<(), StoreError> {
        for agent in self.in_force().agents.keys() {
            let at = self.started.wall;
            let Some(last) = self.store.agent_log_last(agent, at).await? else { continue };
            if last.status != LOGGED_OUT {
                let (status, reason) = (LOGGED_OUT.to_owned(), Some("restart".to_owned()));
                let row = AgentLogRow { at, status, reason, call: None, ..last };
                self.store.agent_log_append(vec![row]).await?;
            }
        }
        Ok(())
    }
}

/// Writes agents' changes in their order, again and again while the database is away.
pub(super) async fn keep_log(store: Store, mut changes: mpsc::Receiver<AgentLogRow>) {
    let mut rows = Vec::new();
    while changes.recv_many(&mut rows, LOG_BATCH).await > 0 {
        while let Err(error) = store.agent_log_append(rows.clone()).await {
            if !error.is_unavailable() {
                tracing::error!(%error, rows = rows.len(), "changes of agents' states were not kept");
                break;
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        rows.clear();
    }
}
