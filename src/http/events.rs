//! `events`: what happens, as it happens (server-sent events), resumed from `Last-Event-ID`.

use super::{Shared, auth::Who, problem::Problem};
use crate::{
    app::events::{Audience, Event, Resumed},
    ticket::Role,
};
use axum::{
    extract::State,
    http::{HeaderMap, HeaderValue},
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
fn may_know(who: &Who, event: &Event) -> bool {
    match &event.audience {
        Audience::Centre => who.is_centre(),
        Audience::Supervisors => who.is_supervisor() || who.actor.role == Role::Auditor,
        Audience::Agent(agent) => who.is_supervisor() || who.actor.agent.as_ref() == Some(agent),
        Audience::UnitOnly(unit) => who.actor.unit.as_ref() == Some(unit),
    }
}

fn told(event: &Event) -> sse::Event {
    sse::Event::default().id(event.id.to_string()).event(event.kind).data(&event.data)
}

/// The events that the user may know, from now on or after `Last-Event-ID`. `reset` says that some were missed: read
/// the lists anew.
#[utoipa::path(get, path = "/events", tag = "events", responses((status = 200, content_type = "text/event-stream")))]
async fn event_stream(
    State(http): State<Shared>,
    who: Who,
    headers: HeaderMap,
) -> Result<Sse<impl Stream<Item = Result<sse::Event, Infallible>>>, Problem> {
    // What is no number of ours is as old as can be: the listener is told to read anew.
    let number = |id: &HeaderValue| id.to_str().ok().and_then(|id| id.parse().ok()).unwrap_or(0);
    let last = headers.get("last-event-id").map(number);
    let (resumed, mut live) = http.app.events.listen(last);
    let (queue, stream) = mpsc::channel(QUEUE);
    let allowed = move |event: &Arc<Event>| may_know(&who, event);
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
