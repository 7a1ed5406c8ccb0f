//! Requests and what is expected of each answer.

use axum::{
    Router,
    body::Body,
    http::{HeaderMap, Method, Request},
};
use http_body_util::BodyExt;
use serde_json::Value;
use tower::ServiceExt;

/// Somebody who asks.
#[derive(Clone)]
pub struct Client {
    pub router: Router,
    pub headers: Vec<(String, String)>,
}

impl Client {
    /// The same with one header more.
    pub fn with(&self, name: &str, value: &str) -> Client {
        let mut client = self.clone();
        client.headers.push((name.to_owned(), value.to_owned()));
        client
    }

    pub fn request(&self, method: Method, path: &str, body: Body) -> Request<Body> {
        let mut request = Request::builder().method(method).uri(format!("/api/v1{path}"));
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        request.body(body).expect("a request")
    }

    pub async fn send(&self, request: Request<Body>) -> Answer {
        let asked = format!("{} {}", request.method(), request.uri());
        let answer = self.router.clone().oneshot(request).await.expect("an answer");
        let (parts, body) = answer.into_parts();
        let body = body.collect().await.expect("a body").to_bytes().to_vec();
        Answer { asked, status: parts.status.as_u16(), headers: parts.headers, body }
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.send(self.request(Method::GET, path, Body::empty())).await
    }

    pub async fn delete(&self, path: &str) -> Answer {
        self.send(self.request(Method::DELETE, path, Body::empty())).await
    }

    pub async fn post(&self, path: &str, body: &Value) -> Answer {
        self.json(Method::POST, path, body).await
    }

    pub async fn put(&self, path: &str, body: &Value) -> Answer {
        self.json(Method::PUT, path, body).await
    }

    pub async fn json(&self, method: Method, path: &str, body: &Value) -> Answer {
        self.text(method, path, &body.to_string()).await
    }

    /// A body as it is, said to be JSON.
    pub async fn text(&self, method: Method, path: &str, body: &str) -> Answer {
        let client = self.with("content-type", "application/json");
        client.send(client.request(method, path, Body::from(body.to_owned()))).await
    }

    /// A POST without a body.
    pub async fn poke(&self, path: &str) -> Answer {
        self.send(self.request(Method::POST, path, Body::empty())).await
    }

    /// All items of a list in pages of so many; no page is longer.
    pub async fn walk(&self, path: &str, limit: usize) -> Vec<Value> {
        let join = if path.contains('?') { '&' } else { '?' };
        let (mut items, mut cursor) = (Vec::new(), None::<String>);
        for _ in 0..10_000 {
            let after = cursor.as_ref().map(|cursor| format!("&cursor={cursor}")).unwrap_or_default();
            let page = self.get(&format!("{path}{join}limit={limit}{after}")).await.ok(200);
            let found = page["items"].as_array().expect("items");
            assert!(found.len() <= limit, "{path}: {} items on a page of {limit}", found.len());
            items.extend(found.iter().cloned());
            match page["next_cursor"].as_str() {
                Some(next) => cursor = Some(next.to_owned()),
                None => return items,
            }
        }
        panic!("{path}: the pages never end")
    }
}

/// What came back.
#[derive(Debug)]
pub struct Answer {
    asked: String,
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map(|value| value.to_str().expect("text")).unwrap_or_default()
    }

    pub fn text(&self) -> String {
        String::from_utf8(self.body.clone()).expect("UTF-8")
    }

    /// The JSON of an answer with this status, which is no error.
    #[track_caller]
    pub fn ok(&self, status: u16) -> Value {
        assert_eq!(self.status, status, "{}: {}", self.asked, self.text());
        assert_eq!(self.header("content-type"), "application/json", "{}", self.asked);
        serde_json::from_slice(&self.body).expect("JSON")
    }

    /// The detail of a problem of this status and kind (RFC 9457).
    #[track_caller]
    pub fn problem(&self, status: u16, kind: &str) -> String {
        assert_eq!(self.status, status, "{}: {}", self.asked, self.text());
        assert_eq!(self.header("content-type"), "application/problem+json", "{}", self.asked);
        let problem: Value = serde_json::from_slice(&self.body).expect("JSON");
        crate::shape::of(&problem, "type:string title:string status:number detail:string");
        assert_eq!(problem["type"], format!("urn:hotline:problem:{kind}"), "{}: {problem}", self.asked);
        assert_eq!(problem["status"], status, "{}", self.asked);
        let detail = problem["detail"].as_str().unwrap_or_default();
        assert!(!detail.is_empty() && problem["title"] != "", "{}: {problem}", self.asked);
        detail.to_owned()
    }
}
