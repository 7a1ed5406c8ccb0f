//! `events`: what happens, as it happens (server-sent events), resumed from `Last-Event-ID`.

use super::{Shared, auth::Who, problem::Problem};
use crate::{
    app::events::{Audience, Event, Resumed},
    ids::AgentNo,
    ticket::Role,
};
use axum::{
    extract::State,
    http::HeaderMap,
    response::sse::{self, KeepAlive, Sse},
};
use std::{convert::Infallible, sync::Arc, time::Duration};
use tokio::sync::{broadcast::error::RecvError, mpsc};
use tokio_stream::{Stream, wrappers::ReceiverStream};
use utoipa_axum::{router::OpenApiRouter, routes};

/// Events that wait for a slow reader before it is told to read the lists anew.
const QUEUE: usize = 256;

pub fn routes() -> OpenApiRouter<Shared> {
    OpenApiRouter::new().routes(routes!(event_stream))
}

/// Whether this user may know.
fn may_know(who: &Who, audience: &Audience) -> bool {
    let among = |agents: &[AgentNo]| who.actor.agent.as_ref().is_some_and(|own| agents.contains(own));
    match audience {
        Audience::Centre => who.is_centre(),
        Audience::Supervisors => who.is_supervisor() || who.actor.role == Role::Auditor,
        Audience::Agent(agent) => who.is_supervisor() || who.actor.agent.as_ref() == Some(agent),
        Audience::OnCall(agents) => who.is_centre() && (who.actor.role != Role::Agent || among(agents)),
        Audience::OtherAgents(agents) => who.actor.role == Role::Agent && !among(agents),
        Audience::Lane(agents) => who.actor.agent.as_ref().is_some_and(|agent| agents.contains(agent)),
        Audience::UnitOnly(unit) => who.actor.unit.as_ref() == Some(unit),
    }
}

fn told(event: &Event) -> sse::Event {
    sse::Event::default().id(event.id.to_string()).event(event.kind).data(&event.data)
}

/// The events that the user may know, from now on or after `Last-Event-ID`. `reset` says that some were missed: read
/// the lists anew. `call_gone` says that a call was given to another agent.
#[utoipa::path(get, path = "/events", tag = "events", responses((status = 200, content_type = "text/event-stream")))]
async fn event_stream(
    State(http): State<Shared>,
    who: Who,
    headers: HeaderMap,
) -> Result<Sse<impl Stream<Item = Result<sse::Event, Infallible>>>, Problem> {
    let last = headers.get("last-event-id").and_then(|id| id.to_str().ok()).and_then(|id| id.parse().ok());
    let (resumed, mut live) = http.app.events.listen(last);
    let (queue, stream) = mpsc::channel(QUEUE);
    let allowed = move |event: &Arc<Event>| may_know(&who, &event.audience);
    tokio::spawn(async move {
        let missed = match resumed {
            Resumed::Missed(missed) => missed,
            Resumed::Reset => {
                if queue.send(Ok(sse::Event::default().event("reset").data("{}"))).await.is_err() {
                    return;
                }
                Vec::new()
            }
        };
        for event in missed.iter().filter(|event| allowed(event)) {
            if queue.send(Ok(told(event))).await.is_err() {
                return;
            }
        }
        loop {
            let next = tokio::select! {
                next = live.recv() => next,
                () = queue.closed() => return,
            };
            let event = match next {
                Ok(event) if allowed(&event) => told(&event),
                Ok(_) => continue,
                Err(RecvError::Lagged(_)) => sse::Event::default().event("reset").data("{}"),
                Err(RecvError::Closed) => return,
            };
            if queue.send(Ok(event)).await.is_err() {
                return;
            }
        }
    });
    Ok(Sse::new(ReceiverStream::new(stream)).keep_alive(KeepAlive::new().interval(Duration::from_secs(15))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{clock::UnixMillis, ticket::Actor};

    fn who(role: Role, agent: Option<&str>, unit: Option<&str>) -> Who {
        let actor = Actor { role, user: None, agent: agent.map(Into::into), unit: unit.map(Into::into) };
        Who { actor, user: String::new(), expires_at: UnixMillis(0), token: String::new() }
    }

    #[test]
    fn an_agent_is_told_of_its_own_calls_alone() {
        let audience = Audience::OnCall(vec!["8001".into()]);
        assert!(may_know(&who(Role::Agent, Some("8001"), None), &audience));
        assert!(!may_know(&who(Role::Agent, Some("8002"), None), &audience));
        assert!(may_know(&who(Role::Dispatcher, None, None), &audience));
        assert!(may_know(&who(Role::Supervisor, Some("9001"), None), &audience));
        assert!(!may_know(&who(Role::UnitClerk, None, Some("201")), &audience));
    }

    #[test]
    fn the_other_agents_alone_are_told_that_a_call_is_no_longer_theirs() {
        let audience = Audience::OtherAgents(vec!["8001".into()]);
        assert!(!may_know(&who(Role::Agent, Some("8001"), None), &audience));
        assert!(may_know(&who(Role::Agent, Some("8002"), None), &audience));
        assert!(!may_know(&who(Role::Supervisor, Some("9001"), None), &audience));
        assert!(!may_know(&who(Role::UnitClerk, None, Some("201")), &audience));
    }
}
