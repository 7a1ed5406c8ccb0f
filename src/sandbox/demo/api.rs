//! The parts of the HTTP API that the demo uses, and no more of their JSON than it needs.

use super::Trouble;
use crate::sandbox::{http_client::Client, sample};
use serde_json::{Value, json};

/// One signed-in user.
#[derive(Clone, Debug)]
pub struct Api {
    client: Client,
}

impl Api {
    /// Signs in with the sandbox's password of this user.
    pub async fn sign_in(base: &str, user: &str) -> Result<Api, Trouble> {
        let client = Client::new(base)?;
        let body = json!({"user": user, "password": sample::password(user)});
        let answer = client.post("/sessions", &[], &body).await?.json();
        let token = answer["token"].as_str().ok_or_else(|| said("POST /sessions 没有给出 token"))?;
        Ok(Api { client: client.with_token(token) })
    }

    pub async fn set_ready(&self, agent: &str) -> Result<(), Trouble> {
        self.client.put(&format!("/agents/{agent}/status"), &json!({"status": "ready"})).await?;
        Ok(())
    }

    /// The state of an agent, such as `talking`.
    pub async fn agent_state(&self, agent: &str) -> Result<String, Trouble> {
        let agent = self.client.get(&format!("/agents/{agent}")).await?.json();
        Ok(agent["state"].as_str().unwrap_or_default().to_owned())
    }

    /// The call whose citizen's leg has this Call-ID.
    pub async fn call_by_sip(&self, sip_call_id: &str) -> Result<Option<Value>, Trouble> {
        let path = format!("/calls?sip_call_id={}", escape(sip_call_id));
        Ok(self.client.get(&path).await?.json()["items"].get(0).cloned())
    }

    pub async fn call(&self, id: &str) -> Result<Value, Trouble> {
        Ok(self.client.get(&format!("/calls/{id}")).await?.json())
    }

    pub async fn three_way(&self, call: &str, hotline: &str) -> Result<(), Trouble> {
        self.client.post(&format!("/calls/{call}/three-way"), &[], &json!({"hotline": hotline})).await?;
        Ok(())
    }

    /// A ticket and its entity tag.
    pub async fn ticket(&self, no: &str) -> Result<(Value, Option<String>), Trouble> {
        let answer = self.client.get(&format!("/tickets/{no}")).await?;
        let ticket = answer.json();
        let version = ticket["version"].as_i64().map(|version| format!("\"{version}\""));
        Ok((ticket, answer.header("etag").map(str::to_owned).or(version)))
    }

    /// The numbers of all tickets of a call.
    pub async fn tickets_of(&self, call: &str) -> Result<Vec<String>, Trouble> {
        let answer = self.client.get(&format!("/tickets?call={}&limit=100", escape(call))).await?.json();
        let items = answer["items"].as_array().cloned().unwrap_or_default();
        Ok(items.iter().filter_map(|ticket| text(ticket, &["no", "ticket_no", "number"])).collect())
    }

    /// Gives a command to a ticket as it stands now; the state it is in afterwards.
    pub async fn command(&self, no: &str, command: Value) -> Result<String, Trouble> {
        let (_, tag) = self.ticket(no).await?;
        let headers: Vec<(&str, &str)> = tag.as_deref().map(|tag| ("If-Match", tag)).into_iter().collect();
        self.client.post(&format!("/tickets/{no}/commands"), &headers, &command).await?;
        let (ticket, _) = self.ticket(no).await?;
        Ok(text(&ticket, &["state"]).unwrap_or_default())
    }

    /// The SMS of a ticket.
    pub async fn messages(&self, no: &str) -> Result<Vec<Value>, Trouble> {
        let answer = self.client.get(&format!("/messages?ticket={}", escape(no))).await?.json();
        Ok(answer["items"].as_array().cloned().unwrap_or_default())
    }

    /// A recording as WAV.
    pub async fn recording(&self, id: &str) -> Result<Vec<u8>, Trouble> {
        Ok(self.client.get(&format!("/recordings/{id}/audio")).await?.body)
    }
}

/// The first of these fields that is a text or a number.
pub fn text(value: &Value, names: &[&str]) -> Option<String> {
    names.iter().find_map(|name| match &value[*name] {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    })
}

/// The id of a call's recording.
pub fn recording_of(call: &Value) -> Option<String> {
    text(call, &["recording_id", "recording"])
        .or_else(|| text(&call["recording"], &["id"]))
        .or_else(|| text(call["recordings"].get(0)?, &["id"]))
}

pub fn said(what: &str) -> Trouble {
    Trouble::Said(what.to_owned())
}

/// Percent-encodes all but unreserved characters (RFC 3986 section 2.3).
fn escape(text: &str) -> String {
    text.bytes().fold(String::new(), |out, byte| match byte {
        b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
            out + char::from(byte).encode_utf8(&mut [0; 4])
        }
        _ => out + &format!("%{byte:02X}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_found_under_either_name() {
        assert_eq!(recording_of(&json!({"recording_id": "5"})).as_deref(), Some("5"));
        assert_eq!(recording_of(&json!({"recording": {"id": 5}})).as_deref(), Some("5"));
        assert_eq!(recording_of(&json!({"recordings": [{"id": "7"}]})).as_deref(), Some("7"));
        assert_eq!(recording_of(&json!({"recording": null})), None);
        assert_eq!(escape("a@b 中"), "a%40b%20%E4%B8%AD");
    }
}
