//! `events`: what happens, as it happens (server-sent events), resumed from `Last-Event-ID`.

use super::{Shared, auth::Who, problem::Problem};
use crate::{
    app::events::{Event, Resumed},
    net::clock,
    store::StoreError,
};
use axum::{
    extract::State,
    http::{HeaderMap, HeaderValue},
    response::sse::{self, KeepAlive, Sse},
};
use std::{convert::Infallible, sync::Arc, time::Duration};
use tokio::{
    sync::{
        broadcast::{self, error::RecvError},
        mpsc,
    },
    time::MissedTickBehavior,
};
use tokio_stream::{Stream, wrappers::ReceiverStream};
use utoipa_axum::{router::OpenApiRouter, routes};

/// Events that wait for a slow reader before it is told to read the lists anew.
const QUEUE: usize = 256;

pub fn routes() -> OpenApiRouter<Shared> {
    OpenApiRouter::new().routes(routes!(event_stream))
}

/// How often it is looked whether the session goes on.
const LOOK: Duration = Duration::from_secs(5);

/// One stream: who listens, and where it goes.
struct Listener {
    http: Shared,
    who: Who,
    queue: mpsc::Sender<Result<sse::Event, Infallible>>,
}

/// The listener hung up, or its session is over.
struct Over;

impl Listener {
    async fn send(&self, event: sse::Event) -> Result<(), Over> {
        self.queue.send(Ok(event)).await.map_err(|_| Over)
    }

    async fn reset(&self) -> Result<(), Over> {
        self.send(sse::Event::default().event("reset").data("{}")).await
    }

    /// Tells what the user may know of an event.
    async fn tell(&self, event: &Event) -> Result<(), Over> {
        match event.told_to(&self.who.actor) {
            Some(data) => self.send(sse::Event::default().id(event.id.to_string()).event(event.kind).data(data)).await,
            None => Ok(()),
        }
    }

    /// Fails when the session is over or its user was closed; a role that changed counts from here on.
    async fn look(&mut self) -> Result<(), Over> {
        let now = clock::now().wall;
        match self.http.app.store.session_get(&self.who.token, now).await {
            Ok(Some(session)) => self.who.actor = session.user.actor(),
            Ok(None) | Err(StoreError::NotFound(_)) => return Err(Over),
            // Whether somebody signed out is not known while the database is away; when the session ends is.
            Err(_) if now < self.who.expires_at => {}
            Err(_) => return Err(Over),
        }
        Ok(())
    }

    async fn run(mut self, resumed: Resumed, mut live: broadcast::Receiver<Arc<Event>>) -> Result<(), Over> {
        match resumed {
            Resumed::Missed(missed) => {
                for event in &missed {
                    self.tell(event).await?;
                }
            }
            Resumed::Reset => self.reset().await?,
        }
        let mut looks = tokio::time::interval(LOOK);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let queue = self.queue.clone();
        loop {
            tokio::select! {
                // In this order: a busy stream is looked after too.
                biased;
                () = queue.closed() => return Err(Over),
                _ = looks.tick() => self.look().await?,
                next = live.recv() => match next {
                    Ok(event) => self.tell(&event).await?,
                    Err(RecvError::Lagged(_)) => self.reset().await?,
                    Err(RecvError::Closed) => return Err(Over),
                },
            }
        }
    }
}

/// The events that the user may know, from now on or after `Last-Event-ID`; it ends with the session. `reset` says that
/// some were missed: read the lists anew. `call_gone` says that a call was given to another agent.
#[utoipa::path(get, path = "/events", tag = "events", responses((status = 200, content_type = "text/event-stream")))]
async fn event_stream(
    State(http): State<Shared>,
    who: Who,
    headers: HeaderMap,
) -> Result<Sse<impl Stream<Item = Result<sse::Event, Infallible>>>, Problem> {
    // What is no number of ours is as old as can be: the listener is told to read anew.
    let number = |id: &HeaderValue| id.to_str().ok().and_then(|id| id.parse().ok()).unwrap_or(0);
    let last = headers.get("last-event-id").map(number);
    let (resumed, live) = http.app.events.listen(last);
    let (queue, stream) = mpsc::channel(QUEUE);
    tokio::spawn(Listener { http, who, queue }.run(resumed, live));
    Ok(Sse::new(ReceiverStream::new(stream)).keep_alive(KeepAlive::new().interval(Duration::from_secs(15))))
}
