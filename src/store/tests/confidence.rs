//! What lists hide, on each database.

use super::{give, on_each, units};
use crate::store::{
    call::{CallFilter, CallRow},
    recording::RecordingFilter,
    ticket::{Applying, TicketFilter},
    *,
};
use crate::{
    ids::{CallId, RecordingId},
    ticket::{Actor, Case, Channel, Citizen, Command, Matter, Origin, Role, Rules},
};
use serde_json::{Value, json};

const NUMBER: &str = "13800000001";

fn call_row(id: u64, agent: Option<&str>, legs: Value, at: UnixMillis) -> CallRow {
    CallRow {
        id: CallId(id),
        sip_call_id: format!("{id}@test"),
        direction: "inbound".into(),
        from_number: Some(NUMBER.into()),
        dialled: Some("12345".into()),
        state: "ended".into(),
        queue: None,
        agent: agent.map(Into::into),
        started_at: at,
        enqueued_at: None,
        answered_at: Some(at),
        ended_at: Some(at),
        ending: None,
        ticket_id: None,
        ticket_no: None,
        recording_id: None,
        legs,
        detail: Value::Null,
    }
}

fn recording_row(id: u64, call: u64, at: UnixMillis) -> RecordingRow {
    RecordingRow {
        state: "complete".into(),
        ended_at: Some(at),
        duration_ms: 1,
        ..RecordingRow::begun(RecordingId(id), CallId(call), format!("{id}"), at)
    }
}

/// Registers a ticket of this number by an agent.
async fn register(store: &Store, call: Option<u64>, agent: &str, confidential: bool, t: UnixMillis) -> Case {
    let by = Actor { agent: Some(agent.into()), ..Actor::centre(Role::Agent, agent) };
    let citizen = Citizen { number: Some(NUMBER.into()), confidential, ..Citizen::default() };
    let origin = Origin { call: call.map(CallId), channel: Channel::Phone, ..Origin::default() };
    let draft = store.ticket_draft(origin, citizen, t);
    let command =
        Command::Register { matter: Matter { title: "路灯不亮".into(), ..Matter::default() }, citizen: None };
    let rules = Rules::default();
    let applied = store.ticket_insert_applied(draft, &command, Applying::plain(&by, &rules), t).await;
    applied.expect("a ticket").0
}

async fn tickets(store: &Store, filter: TicketFilter) -> Vec<TicketNo> {
    let page = store.ticket_list(&filter, &Page::default()).await.expect("a page");
    page.items.into_iter().map(|ticket| ticket.no).collect()
}

#[test]
fn a_number_finds_confidential_tickets_for_those_who_may_know() {
    on_each(|store, t| async move {
        let plain = register(&store, None, "8001", false, t).await.ticket.no;
        let secret = register(&store, None, "8002", true, t.plus(std::time::Duration::from_secs(1))).await.ticket.no;
        let find = |confidence| TicketFilter {
            citizen_number: Some(NUMBER.into()),
            from: Some(t),
            confidence,
            ..TicketFilter::default()
        };
        assert_eq!(tickets(&store, find(Confidence::All)).await, [secret.clone(), plain.clone()]);
        assert_eq!(tickets(&store, find(Confidence::Nobody)).await, std::slice::from_ref(&plain));
        assert_eq!(tickets(&store, find(Confidence::Agent("8001".into()))).await, std::slice::from_ref(&plain));
        assert_eq!(tickets(&store, find(Confidence::Agent("8002".into()))).await, [secret.clone(), plain.clone()]);
        let unasked = TicketFilter { from: Some(t), confidence: Confidence::Nobody, ..TicketFilter::default() };
        assert_eq!(tickets(&store, unasked).await, [secret.clone(), plain.clone()], "listed, with the citizen hidden");
        let found = store.confidential_tickets(&[plain, secret.clone()]).await.unwrap();
        assert_eq!(found.into_iter().collect::<Vec<_>>(), [(secret, Some("8002".into()))]);
    });
}

#[test]
fn a_unit_lists_what_it_works_on() {
    on_each(|store, t| async move {
        units(&store, &["water", "power"]).await;
        let dispatcher = Actor::centre(Role::Dispatcher, "dispatcher");
        let no = register(&store, None, "8001", false, t).await.ticket.no;
        give(&store, &no, &dispatcher, json!({"command": "dispatch", "lead": "water"}), t).await;
        let seen = |unit: &str| TicketFilter { seen_by: Some(unit.into()), from: Some(t), ..TicketFilter::default() };
        assert_eq!(tickets(&store, seen("water")).await, std::slice::from_ref(&no));
        assert!(tickets(&store, seen("power")).await.is_empty());
        let to = json!({"command": "recall", "to": "power"});
        give(&store, &no, &dispatcher, to, t).await;
        assert!(tickets(&store, seen("water")).await.is_empty(), "recalled");
        give(&store, &no, &Actor::unit("power", "p"), json!({"command": "sign"}), t).await;
        give(&store, &no, &Actor::unit("power", "p"), json!({"command": "reply", "text": "已修"}), t).await;
        assert_eq!(tickets(&store, seen("power")).await, std::slice::from_ref(&no), "replied");
        let had = TicketFilter { unit: Some("water".into()), from: Some(t), ..TicketFilter::default() };
        assert_eq!(tickets(&store, had).await, [no], "the centre finds what a unit ever had");
    });
}

#[test]
fn what_is_said_against_a_unit_is_not_listed_for_it() {
    on_each(|store, t| async move {
        units(&store, &["water", "power"]).await;
        let dispatcher = Actor::centre(Role::Dispatcher, "dispatcher");
        let no = register(&store, None, "8001", false, t).await.ticket.no;
        let content = "他们说 \"against\":\"water\" 如此";
        let matter = json!({"command": "amend", "matter": {"title": "投诉", "content": content, "against": "power"}});
        give(&store, &no, &dispatcher, matter, t).await;
        let case = give(&store, &no, &dispatcher, json!({"command": "dispatch", "lead": "water"}), t).await;
        let seen = |unit: &str| TicketFilter { seen_by: Some(unit.into()), from: Some(t), ..TicketFilter::default() };
        assert_eq!(tickets(&store, seen("water")).await, std::slice::from_ref(&no), "words in a text are no field");
        // No command leads there: the list keeps it back all the same.
        let mut ticket = case.ticket.clone();
        ticket.matter.against = Some("water".into());
        let body = serde_json::to_string(&ticket).unwrap();
        store
            .write(move |tx| {
                Box::pin(async move {
                    let query = sqlx::query("UPDATE ticket SET body = $1 WHERE id = $2");
                    query.bind(body).bind(ticket.id.0 as i64).execute(&mut tx.conn).await?;
                    Ok(())
                })
            })
            .await
            .unwrap();
        assert!(tickets(&store, seen("water")).await.is_empty());
    });
}

#[test]
fn an_agent_lists_the_calls_it_was_on_and_those_that_nobody_has() {
    on_each(|store, t| async move {
        let base = t.0 as u64 * 16;
        let leg = |agent: &str| json!([{"id": "1", "role": "agent", "agent": agent, "state": "over"}]);
        for (n, agent, legs) in [
            (1, Some("8001"), leg("8001")),
            (2, Some("8002"), leg("8001")),
            (3, Some("8002"), leg("80011")),
            (4, None, json!([])),
        ] {
            store.call_upsert(call_row(base + n, agent, legs, UnixMillis(t.0 + n as i64))).await.unwrap();
        }
        let list = async |filter: CallFilter| {
            let filter = CallFilter { from: Some(t), ..filter };
            let page = store.call_list(&filter, &Page::default()).await.unwrap();
            page.items.iter().map(|call| call.id.0 - base).collect::<Vec<_>>()
        };
        assert_eq!(list(CallFilter { seen_by: Some("8001".into()), ..CallFilter::default() }).await, [4, 2, 1]);
        assert_eq!(list(CallFilter { seen_by: Some("".into()), ..CallFilter::default() }).await, [4]);
        register(&store, Some(base + 3), "8002", true, t).await;
        let find = |confidence| CallFilter { from_number: Some(NUMBER.into()), confidence, ..CallFilter::default() };
        assert_eq!(list(find(Confidence::All)).await, [4, 3, 2, 1]);
        assert_eq!(list(find(Confidence::Nobody)).await, [4, 2, 1]);
        assert_eq!(list(find(Confidence::Agent("8002".into()))).await, [4, 3, 2, 1]);
        let calls: Vec<CallId> = (1..=4).map(|n| CallId(base + n)).collect();
        let found = store.confidential_calls(&calls).await.unwrap();
        assert_eq!(found.into_iter().collect::<Vec<_>>(), [CallId(base + 3)]);
    });
}

#[test]
fn a_recording_is_as_confidential_as_its_ticket() {
    on_each(|store, t| async move {
        let base = t.0 as u64 * 16;
        for n in [1, 2] {
            store.call_upsert(call_row(base + n, Some("8001"), json!([]), t)).await.unwrap();
        }
        let flags = async || {
            let one = store.recording_get(RecordingId(base + 1)).await.unwrap().confidential;
            (one, store.recording_get(RecordingId(base + 2)).await.unwrap().confidential)
        };
        store.recording_upsert(recording_row(base + 1, base + 1, t)).await.unwrap();
        let case = register(&store, Some(base + 1), "8001", true, t).await;
        register(&store, Some(base + 2), "8001", true, t).await;
        store.recording_upsert(recording_row(base + 2, base + 2, t)).await.unwrap();
        assert_eq!(flags().await, (true, true), "whichever was written first");
        store.recording_upsert(recording_row(base + 1, base + 1, t)).await.unwrap();
        assert_eq!(flags().await, (true, true), "its end does not open it");
        let supervisor = Actor::centre(Role::Supervisor, "9001");
        let open = json!({"command": "amend", "citizen": {"confidential": false}});
        give(&store, &case.ticket.no, &supervisor, open, t).await;
        assert_eq!(flags().await, (false, true));

        let list = async |agent: Option<&str>, confidence| {
            let filter = RecordingFilter { agent: agent.map(Into::into), confidence, ..RecordingFilter::default() };
            let page = store.recording_list(&filter, &Page { limit: 500, cursor: None }).await.unwrap();
            let ours = page.items.iter().filter_map(|row| row.id.0.checked_sub(base)).filter(|id| *id <= 2);
            ours.collect::<Vec<_>>()
        };
        assert_eq!(list(None, Confidence::All).await, [2, 1]);
        assert_eq!(list(None, Confidence::Nobody).await, [1]);
        assert_eq!(list(Some("8001"), Confidence::Agent("8001".into())).await, [2, 1]);
        assert!(list(Some("8002"), Confidence::Agent("8002".into())).await.is_empty());
    });
}
