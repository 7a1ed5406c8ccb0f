//! The event stream as a browser reads it.

use crate::{ask::Client, world::PATIENCE};
use axum::{
    body::{Body, BodyDataStream},
    http::Method,
};
use serde_json::Value;
use tokio_stream::StreamExt;
use tower::ServiceExt;

/// One event.
#[derive(Clone, Debug)]
pub struct Told {
    pub id: Option<u64>,
    pub kind: String,
    pub data: Value,
}

/// An open stream.
pub struct Stream {
    body: BodyDataStream,
    text: String,
}

impl Stream {
    /// Listens, from now on or after an event.
    pub async fn open(client: &Client, last: Option<&str>) -> Stream {
        let client = last.map_or(client.clone(), |id| client.with("last-event-id", id));
        let request = client.request(Method::GET, "/events", Body::empty());
        let answer = client.router.clone().oneshot(request).await.expect("an answer");
        assert_eq!(answer.status(), 200);
        assert_eq!(answer.headers()["content-type"], "text/event-stream");
        Stream { body: answer.into_body().into_data_stream(), text: String::new() }
    }

    /// The next event.
    pub async fn next(&mut self) -> Told {
        loop {
            if let Some((event, rest)) = self.text.split_once("\n\n") {
                let (event, rest) = (event.to_owned(), rest.to_owned());
                self.text = rest;
                if let Some(told) = read(&event) {
                    return told;
                }
                continue;
            }
            let chunk = tokio::time::timeout(PATIENCE, self.body.next()).await.expect("an event in time");
            let bytes = chunk.expect("the stream goes on").expect("bytes");
            self.text.push_str(std::str::from_utf8(&bytes).expect("UTF-8"));
        }
    }

    /// The next event of a kind that is wanted; the others are passed over.
    pub async fn wait(&mut self, kind: &str, wanted: impl Fn(&Value) -> bool) -> Told {
        loop {
            let told = self.next().await;
            if told.kind == kind && wanted(&told.data) {
                return told;
            }
        }
    }
}

fn read(event: &str) -> Option<Told> {
    let field = |name: &str| {
        event.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':').map(|value| value.trim().to_owned()))
    };
    let data = serde_json::from_str(&field("data")?).expect("JSON");
    Some(Told { id: field("id").map(|id| id.parse().expect("a number")), kind: field("event")?, data })
}
