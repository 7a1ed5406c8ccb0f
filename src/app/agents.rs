//! Agents as the API sees them, and changes to them.

use super::{
    App, AppError,
    events::Audience,
    view::{AgentView, QueueView},
};
use crate::{
    acd::{
        message::{AgentTransition, Input, Status},
        snapshot::{AgentSnapshot, QueueSnapshot},
    },
    ids::AgentNo,
    store::AgentLogRow,
};
use std::time::Duration;

impl App {
    /// All agents who ever signed in.
    pub fn agent_views(&self) -> Vec<AgentView> {
        let live = self.live.agents();
        live.iter().map(|agent| AgentView::new(agent, self.registered(agent))).collect()
    }

    /// One agent.
    ///
    /// # Errors
    /// `NotFound`.
    pub fn agent_view(&self, agent: &AgentNo) -> Result<AgentView, AppError> {
        let snapshot = self.live.agent(agent).ok_or(AppError::NotFound("坐席"))?;
        Ok(AgentView::new(&snapshot, self.registered(&snapshot)))
    }

    fn registered(&self, agent: &AgentSnapshot) -> bool {
        agent.extension.as_ref().is_some_and(|extension| self.live.is_registered(extension))
    }

    /// Sets what an agent wants; signs it in at its usual seat when it is not.
    ///
    /// # Errors
    /// `NotFound`, `AgentRefused` with the ACD's reason, `Overloaded`.
    pub async fn agent_status(&self, agent: AgentNo, status: Status) -> Result<AgentView, AppError> {
        let live = self.live.agent(&agent);
        let known = live.as_ref().is_some_and(|agent| agent.extension.is_some());
        if status == Status::LoggedOut {
            live.ok_or(AppError::NotFound("坐席"))?;
        } else if !known {
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
    /// `NotFound`, `AgentRefused` with the ACD's reason, `Overloaded`.
    pub async fn agent_wrap_up(&self, agent: AgentNo, more: Option<Duration>) -> Result<AgentView, AppError> {
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
        self.events.publish("agent", Audience::Centre, &view);
    }

    /// The switch says that a queue changed.
    pub fn queue_changed(&self, snapshot: QueueSnapshot) {
        self.events.publish("queue", Audience::Centre, &QueueView::from(&snapshot));
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
