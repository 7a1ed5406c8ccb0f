//! What the log says of calls, at its most talkative: each call's story by its id, and nothing that is secret.

use crate::{
    line::Line,
    tickets::matter,
    world::{run, until},
};
use hotline::{
    app::log::subscriber,
    sandbox::{agents::Agent, citizens::Citizen, ua::Audio},
};
use serde_json::json;
use std::{
    io::{self, Write},
    sync::{Mutex, Once, PoisonError},
};
use tracing_subscriber::{EnvFilter, util::SubscriberInitExt};

static KEPT: Mutex<Vec<u8>> = Mutex::new(Vec::new());

struct Kept;

impl Write for Kept {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        KEPT.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Keeps all that every program of these tests says.
pub fn keep() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| subscriber(EnvFilter::new("trace"), false, || Kept).0.init());
}

fn kept() -> String {
    String::from_utf8_lossy(&KEPT.lock().unwrap_or_else(PoisonError::into_inner)).into_owned()
}

/// The lines of a call.
pub fn story(call: &str) -> Vec<String> {
    let field = format!("call={call}");
    let whole = |line: &&str| line.split([' ', '{', '}', ':']).any(|word| word == field);
    kept().lines().filter(whole).map(str::to_owned).collect()
}

#[test]
fn the_story_of_a_call_is_read_by_its_id_and_holds_no_secret() {
    run(|world| async move {
        let wrong = Agent::sit_down_with("8009", "sandbox-wrong-one", world.registrar).await;
        assert!(wrong.is_err(), "a wrong password");
        let body = json!({"user": "admin", "password": "sandbox-another-wrong-one"});
        assert_eq!(world.stranger().post("/sessions", &body).await.status, 401);
        let line = Line::open(world, "8009", "13900007701").await;
        let stranger = Citizen::new("13900007702", world.trunk).await.expect("a telephone");
        let refused = stranger.dial("13900007703", Audio::Silence).await.expect("an INVITE");
        assert_eq!(refused.wait_ended().await.status, 404, "a number that leads nowhere");
        line.api.post(&line.path("/hold"), &json!({})).await;
        line.in_state("held").await;
        line.api.post(&line.path("/unhold"), &json!({})).await;
        line.in_state("talking").await;
        line.api.post(&line.path("/three-way"), &json!({"hotline": "12330"})).await;
        line.in_state("three_way").await;
        let (id, ticket) = (line.id.clone(), line.ticket.clone());
        line.close().await;
        until("the call in the database", || async {
            story(&id).iter().any(|line| line.contains(": stored")).then_some(())
        })
        .await;
        let command = json!({
            "command": "register", "matter": matter("井盖损坏"), "citizen": {"number": "13900007701", "name": "王女士"},
        });
        world.user("8009").await.post(&format!("/tickets/{ticket}/commands"), &command).await.ok(200);
        until("an SMS delivered", || async {
            story(&id).iter().any(|line| line.contains("SMS") && line.contains("delivered")).then_some(())
        })
        .await;
        let story = story(&id).join("\n");
        let mut rest = story.as_str();
        for wanted in [
            "a call came",
            "route=\"flow\"",
            "the call is accepted",
            "answered: 200 was sent",
            "queued",
            "the flow ended",
            "offered to an agent",
            "the agent answered",
            "on hold",
            "off hold",
            "three-way: dialling",
            "three-way: joined",
            "the call is over",
            "stored",
            "SMS",
        ] {
            let at = rest.find(wanted).unwrap_or_else(|| panic!("{wanted} is missing, or too early:\n{story}"));
            rest = &rest[at..];
        }
        for wanted in ["recording=", "recorded", &ticket, "whose=\"caller\"", "139****7701"] {
            assert!(story.contains(wanted), "{wanted}: {story}");
        }
        let all = kept();
        for line in all.lines().filter(|line| line.contains(" hotline::call: ") && !line.contains(": SMS")) {
            assert!(line.contains(" call="), "a line of a call without its id: {line}");
        }
        for secret in
            ["13900007701", "13900007702", "13900007703", "sandbox-", "Digest ", "response=", "nonce", "cnonce"]
        {
            let told: Vec<&str> = all.lines().filter(|line| line.contains(secret)).take(3).collect();
            assert!(told.is_empty(), "{secret} is in the log: {told:#?}");
        }
        let figures = world
            .stranger()
            .send(axum::http::Request::get("/metrics").body(axum::body::Body::empty()).expect("a request"))
            .await
            .text();
        assert!(!figures.contains("hotline_log_numbers_struck_total"), "a number was struck out at the last moment");
    });
}
