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
    store::AgentLogRow,
    ticket::Actor,
};
use std::time::Duration;

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
        Ok(self.live.queues().iter().map(QueueView::from).collect())
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
        let known = self.live.agent(&agent).is_some_and(|agent| agent.extension.is_some());
        if !known && status != Status::LoggedOut {
            let settings = self.agents.get(&agent).ok_or(AppError::NotFound("坐席"))?;
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
    /// `Forbidden`, `AgentRefused` with the ACD's reason, `Overloaded`.
    pub async fn agent_wrap_up(
        &self,
        actor: &Actor,
        agent: AgentNo,
        more: Option<Duration>,
    ) -> Result<AgentView, AppError> {
        Self::require_set(actor, &agent)?;
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
        self.events.publish("queue", Audience::All(Thing::Queues), &QueueView::from(&snapshot));
        self.live.set_queue(snapshot);
    }

    /// Keeps a change of an agent's presence: reports are made from these rows.
    pub(super) fn agent_transition(&self, transition: AgentTransition) {
        let to = &transition.to;
        let (status, reason) = match &to.status {
            Status::LoggedOut => ("logged_out".to_owned(), None),
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
        let store = self.store.clone();
        self.runtime.spawn(async move {
            if let Err(error) = store.agent_log_append(row).await {
                tracing::warn!(%error, "a change of an agent's state was not kept");
            }
        });
    }
}
