//! A citizen and an agent on the line, through the real switch.

use crate::{
    ask::Client,
    world::{PATIENCE, World, until},
};
use hotline::sandbox::{
    agents::Agent,
    citizens::Citizen,
    ua::{Audio, Call},
};
use serde_json::{Value, json};
use std::time::Duration;
use tokio::sync::MutexGuard;

/// A citizen who talks to an agent.
pub struct Line {
    pub agent: Agent,
    pub api: Client,
    /// At the agent's telephone.
    pub agent_call: Call,
    _citizen: Citizen,
    pub citizen: Call,
    /// The call's id.
    pub id: String,
    /// Its ticket's number.
    pub ticket: String,
    _agents: MutexGuard<'static, ()>,
}

impl Line {
    /// The citizen of this number dials 12345, presses 0, and this agent, the only one that is ready, answers.
    pub async fn open(world: &'static World, agent: &str, number: &str) -> Line {
        let agents = world.agents.lock().await;
        let api = world.user(agent).await;
        let phone = Agent::sit_down(agent, world.registrar).await.expect("a registration");
        phone.answer_calls(Duration::from_millis(50), Audio::tone(440.0)).await.expect("a telephone");
        api.put(&format!("/agents/{agent}/status"), &json!({"status": "ready"})).await.ok(200);
        let citizen = Citizen::new(number, world.trunk).await.expect("a telephone");
        let call = citizen.dial("12345", Audio::tone(620.0)).await.expect("a call");
        call.answered_within(PATIENCE).await.expect("12345 answers");
        call.send_digits("0").await.expect("keys");
        let ring = phone.phone().next_call_within(PATIENCE).await.expect("the agent's telephone rings");
        ring.answered_within(PATIENCE).await.expect("the agent answers");
        let admin = world.user("admin").await;
        let path = format!("/calls?sip_call_id={}", call.sip_call_id());
        let talking = until("a talking call with its ticket", || async {
            let found = admin.get(&path).await.ok(200)["items"][0].clone();
            (found["state"] == "talking" && found["ticket_no"].is_string()).then_some(found)
        })
        .await;
        Line {
            agent: phone,
            api,
            agent_call: ring,
            _citizen: citizen,
            citizen: call,
            id: text(&talking, "id"),
            ticket: text(&talking, "ticket_no"),
            _agents: agents,
        }
    }

    /// A path below the call.
    pub fn path(&self, below: &str) -> String {
        format!("/calls/{}{below}", self.id)
    }

    /// The call in this state.
    pub async fn in_state(&self, state: &str) -> Value {
        until(&format!("state {state}"), || async {
            let call = self.api.get(&self.path("")).await.ok(200);
            (call["state"] == state).then_some(call)
        })
        .await
    }

    /// The citizen hangs up, and the agent's telephone leaves.
    pub async fn close(self) {
        self.citizen.hang_up().await;
        self.agent_call.wait_ended().await;
        self.in_state("ended").await;
        let path = format!("/agents/{}", self.agent.number);
        self.api.put(&format!("{path}/status"), &json!({"status": "not_ready"})).await;
        self.api.post(&format!("{path}/wrap-up"), &json!({})).await;
        self.agent.leave().await.expect("the registration is taken back");
    }
}

/// A field that is a text.
#[track_caller]
pub fn text(value: &Value, name: &str) -> String {
    value[name].as_str().unwrap_or_else(|| panic!("{name} is no text: {value}")).to_owned()
}
