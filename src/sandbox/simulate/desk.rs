//! The console of a simulated agent: the requests that an agent's own session makes.

use crate::sandbox::{
    http_client::{Client, HttpError},
    sample,
};
use serde_json::{Value, json};

/// One user's session, begun when it is first needed and begun again when it is refused.
#[derive(Debug)]
pub struct Desk {
    base: Client,
    user: String,
    session: Option<Client>,
}

impl Desk {
    /// `api` is such as `http://127.0.0.1:8080/api/v1`.
    pub fn new(api: &str, user: &str) -> Result<Desk, HttpError> {
        Ok(Desk { base: Client::new(api)?, user: user.to_owned(), session: None })
    }

    /// The session, signed in with the sandbox's password of this user.
    pub async fn session(&mut self) -> Result<Client, HttpError> {
        if let Some(session) = &self.session {
            return Ok(session.clone());
        }
        let body = json!({"user": self.user, "password": sample::password(&self.user)});
        let answer = self.base.post("/sessions", &[], &body).await?.json();
        let session = self.base.with_token(answer["token"].as_str().unwrap_or_default());
        Ok(self.session.insert(session).clone())
    }

    /// A session that is no longer taken is begun anew the next time.
    fn checked<T>(&mut self, result: Result<T, HttpError>) -> Result<T, HttpError> {
        if matches!(result, Err(HttpError::Status { status: 401, .. })) {
            self.session = None;
        }
        result
    }

    /// GET.
    pub async fn get(&mut self, path: &str) -> Result<Value, HttpError> {
        let answer = self.session().await?.get(path).await;
        self.checked(answer).map(|answer| answer.json())
    }

    /// POST.
    pub async fn post(&mut self, path: &str, body: &Value) -> Result<Value, HttpError> {
        let answer = self.session().await?.post(path, &[], body).await;
        self.checked(answer).map(|answer| answer.json())
    }

    /// Says whether the agent wants calls.
    pub async fn set_ready(&mut self, ready: bool) -> Result<(), HttpError> {
        let body = if ready { json!({"status": "ready"}) } else { json!({"status": "not_ready", "reason": "rest"}) };
        let path = format!("/agents/{}/status", self.user);
        let answer = self.session().await?.put(&path, &body).await;
        self.checked(answer).map(drop)
    }

    /// Whether the agent is without a call and not ready.
    pub async fn is_taken_off(&mut self) -> Result<bool, HttpError> {
        let agent = self.get(&format!("/agents/{}", self.user)).await?;
        Ok(agent["state"] == "idle" && agent["status"] == "not_ready")
    }

    /// The call that the agent is in, and its ticket.
    pub async fn call(&mut self) -> Result<Option<(String, String)>, HttpError> {
        let agent = self.get(&format!("/agents/{}", self.user)).await?;
        let Some(call) = agent["call"].as_str() else { return Ok(None) };
        let view = self.get(&format!("/calls/{call}")).await?;
        Ok(view["ticket_no"].as_str().map(|ticket| (call.to_owned(), ticket.to_owned())))
    }

    /// Writes a matter down, to be dispatched.
    pub async fn register(&mut self, ticket: &str) -> Result<(), HttpError> {
        let session = self.session().await?;
        let path = format!("/tickets/{ticket}");
        let seen = session.get(&path).await;
        let version = self.checked(seen)?.json()["version"].as_i64().unwrap_or_default();
        let body = json!({
            "command": "register",
            "matter": {
                "title": "演练:小区井盖损坏", "content": "演练用的诉求:小区楼下的井盖坏了,请派人维修。",
                "kind": "help", "address": "示例小区3号楼下", "district": "101",
            },
        });
        let tag = format!("\"{version}\"");
        let answer = session.post(&format!("{path}/commands"), &[("If-Match", &tag)], &body).await;
        self.checked(answer).map(drop)
    }
}
