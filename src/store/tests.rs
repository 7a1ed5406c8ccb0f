//! Stories of rows: each runs on SQLite in a temporary folder, and on PostgreSQL where `HOTLINE_TEST_POSTGRES` names one.
#![allow(clippy::disallowed_methods)] // tests measure real time

use super::{
    audit::AuditVerdict,
    call::{CallFilter, CallRow},
    callback::NewCallback,
    event::NewEvent,
    idempotency::Idempotent,
    ingest::{AcceptedCall, FinishedCall, Ingest},
    message::{MessageFilter, NewMessage},
    spool::{Spool, SpooledWaiter},
    ticket::{Applying, TicketFilter},
    user::UserRow,
    *,
};
use crate::{
    ids::{AgentNo, CallId, CallbackId, LegId, UserName},
    ticket::{Actor, Channel, Citizen, Class, Command, ContactKind, Origin, Role, Rules, State},
};
use serde_json::{Value, json};
use std::{
    future::Future,
    path::PathBuf,
    sync::atomic::{AtomicU32, Ordering},
    time::{Duration, Instant, SystemTime},
};

const MINUTE: Duration = Duration::from_secs(60);

/// A folder that goes away with the test.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Folder {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("hotline store-{}-{count} 数据", std::process::id()));
        std::fs::create_dir_all(&path).expect("a folder");
        Folder(path)
    }

    fn url(&self) -> String {
        format!("sqlite:{}/deeper/hotline.db", self.0.display())
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

pub(super) fn now() -> UnixMillis {
    UnixMillis(SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("a clock").as_millis() as i64)
}

async fn open(url: &str) -> Store {
    Store::open(url, StoreOptions::default(), now()).await.expect("opens")
}

/// Runs a story on each database.
pub(super) fn on_each<F: Future<Output = ()>>(story: impl Fn(Store, UnixMillis) -> F) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("runtime");
    runtime.block_on(async {
        let folder = Folder::new();
        story(open(&folder.url()).await, now()).await;
        if let Ok(url) = std::env::var("HOTLINE_TEST_POSTGRES") {
            let url = own_schema(&url).await;
            story(open(&url).await, now()).await;
        }
    });
}

/// A schema of the test's own on a PostgreSQL.
async fn own_schema(url: &str) -> String {
    use sqlx::{AnyConnection, AssertSqlSafe, Connection, Executor};
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let name = format!("story_{}_{}_{}", std::process::id(), now().0, COUNT.fetch_add(1, Ordering::Relaxed));
    sqlx::any::install_default_drivers();
    let mut conn = AnyConnection::connect(url).await.expect("PostgreSQL");
    conn.execute(AssertSqlSafe(format!("CREATE SCHEMA {name}"))).await.expect("a schema");
    format!("{url}?options[search_path]={name}")
}

pub(super) fn accepted(store: &Store, call: u64, at: UnixMillis) -> AcceptedCall {
    AcceptedCall {
        call: CallId(call),
        sip_call_id: format!("{call}@test"),
        direction: "inbound".into(),
        from: Some("13800000001".into()),
        dialled: Some("12345".into()),
        confidential: false,
        at,
        ticket: Some(store.ticket_promise(at)),
    }
}

fn ended(accepted: &AcceptedCall, at: UnixMillis, contact: Option<ContactKind>) -> FinishedCall {
    let row = CallRow {
        id: accepted.call,
        sip_call_id: accepted.sip_call_id.clone(),
        direction: "inbound".into(),
        from_number: accepted.from.clone(),
        dialled: accepted.dialled.clone(),
        state: "ended".into(),
        queue: Some("general".into()),
        agent: None,
        started_at: accepted.at,
        enqueued_at: Some(accepted.at),
        answered_at: None,
        ended_at: Some(at),
        ending: Some("caller/abandoned".into()),
        ticket_id: None,
        ticket_no: None,
        recording_id: None,
        legs: json!([{"role": "caller"}]),
        detail: Value::Null,
    };
    let callback = contact.map(|_| NewCallback {
        call: accepted.call,
        number: accepted.from.clone(),
        queue: "general".into(),
        enqueued_at: accepted.at,
        reason: "abandoned".into(),
    });
    FinishedCall { row, contact, callback }
}

/// Units of these codes that take tickets.
pub(super) async fn units(store: &Store, codes: &[&str]) {
    let row = |code: &&str| UnitRow {
        code: (*code).into(),
        name: (*code).to_owned(),
        parent: None,
        kind: "department".to_owned(),
        active: true,
        detail: Value::Null,
    };
    store.unit_upsert(codes.iter().map(row).collect()).await.expect("units");
}

pub(super) async fn give(
    store: &Store,
    no: &TicketNo,
    by: &Actor,
    command: Value,
    at: UnixMillis,
) -> crate::ticket::Case {
    let command: Command = serde_json::from_value(command).expect("a command");
    let rules = Rules::default();
    store.ticket_apply(no, &command, Applying::plain(by, &rules), at).await.expect("applied").0
}

#[test]
fn a_ticket_lives_through_the_story() {
    on_each(|store, t| async move {
        let origin = Origin { channel: Channel::Web, ..Origin::default() };
        let citizen = Citizen { number: Some("13800000002".into()), ..Citizen::default() };
        let agent = Actor::centre(Role::Agent, "8001");
        let dispatcher = Actor::centre(Role::Dispatcher, "dispatcher");
        let unit = Actor::unit("housing", "housing");
        units(&store, &["housing"]).await;
        let mut heard = store.subscribe();
        let case = store.ticket_insert(store.ticket_draft(origin, citizen, t), &agent).await.unwrap();
        let no = case.ticket.no.clone();
        assert_eq!(crate::ticket::number::parse(no.as_str()).as_ref(), Ok(&no));
        give(&store, &no, &agent, json!({"command": "register", "matter": {"title": "路灯"}}), t).await;
        give(&store, &no, &dispatcher, json!({"command": "dispatch", "lead": "housing"}), t).await;
        give(&store, &no, &unit, json!({"command": "sign"}), t).await;
        give(&store, &no, &unit, json!({"command": "reply", "text": "已修复"}), t).await;
        give(&store, &no, &dispatcher, json!({"command": "accept"}), t).await;
        let end = give(&store, &no, &agent, json!({"command": "follow_up", "result": "satisfied"}), t).await;
        assert_eq!(end.ticket.state, State::Closed);
        assert_eq!(store.ticket_get(&no).await.unwrap(), end);
        let history = store.ticket_history(end.ticket.id).await.unwrap();
        assert_eq!(history.len() as u64, end.ticket.history);
        assert!(history.iter().enumerate().all(|(i, e)| e.seq == i as u64 + 1));
        let first = heard.recv().await.unwrap();
        assert_eq!((first.topic.as_str(), first.subject.as_str()), ("ticket.created", no.as_str()));
        let filter = TicketFilter { unit: Some("housing".into()), state: Some(State::Closed), ..Default::default() };
        let list = store.ticket_list(&filter, &Page { limit: 1, cursor: None }).await.unwrap();
        assert_eq!(list.items[0].no, no);
        assert_eq!(store.assignments_of(end.ticket.id).await.unwrap().len(), 1);
    });
}

#[test]
fn commands_compare_and_set_and_a_rejection_writes_nothing() {
    on_each(|store, t| async move {
        let agent = Actor::centre(Role::Agent, "8001");
        let draft = store.ticket_draft(Origin::default(), Citizen::default(), t);
        let no = store.ticket_insert(draft.clone(), &agent).await.unwrap().ticket.no;
        assert!(matches!(store.ticket_insert(draft, &agent).await, Err(StoreError::Conflict(_))));
        let rules = Rules::default();
        let register: Command = serde_json::from_value(json!({"command": "register"})).unwrap();
        let stale = Applying { if_version: Some(9), ..Applying::plain(&agent, &rules) };
        assert!(matches!(store.ticket_apply(&no, &register, stale, t).await, Err(StoreError::Conflict(_))));
        let texts = |_: &crate::ticket::Case, _: &[crate::ticket::Event]| {
            vec![NewMessage {
                once: None,
                ticket_no: None,
                purpose: "acceptance".into(),
                number: "1".into(),
                text: "已受理".into(),
            }]
        };
        let good = Applying { if_version: Some(1), messages: &texts, ..Applying::plain(&agent, &rules) };
        let (case, _) = store.ticket_apply(&no, &register, good, t).await.unwrap();
        assert_eq!(case.ticket.class, Class::Request);
        let again = store.ticket_apply(&no, &register, Applying::plain(&agent, &rules), t).await;
        assert!(matches!(again, Err(StoreError::Rejected(why)) if why.code() == "ticket_state"));
        assert_eq!(store.ticket_history(case.ticket.id).await.unwrap().len(), 2);
        assert!(matches!(store.ticket_get(&"0".into()).await, Err(StoreError::NotFound(_))));
        // Many at once on one ticket: all are applied, one after the other.
        let urge: Command = serde_json::from_value(json!({"command": "urge"})).unwrap();
        let three = (
            store.ticket_apply(&no, &urge, Applying::plain(&agent, &rules), t),
            store.ticket_apply(&no, &urge, Applying::plain(&agent, &rules), t),
            store.ticket_apply(&no, &urge, Applying::plain(&agent, &rules), t),
        );
        let (a, b, c) = tokio::join!(three.0, three.1, three.2);
        assert!(a.is_ok() && b.is_ok() && c.is_ok());
        assert_eq!(store.ticket_get(&no).await.unwrap().ticket.urged, 3);
    });
}

#[test]
fn a_call_has_one_ticket_however_often_it_comes() {
    on_each(|store, t| async move {
        let base = store.new_id();
        let calls: Vec<_> = (0..70).map(|n| accepted(&store, base + n, t)).collect();
        let items: Vec<_> =
            calls.iter().map(|c| Ingest { accepted: c.clone(), progress: None, finished: None }).collect();
        store.ingest(items.clone()).await.unwrap();
        store.ingest(items).await.unwrap();
        let first = store.ticket_ensure_for_call(calls[0].clone()).await.unwrap();
        // A second promise for the same call comes to nothing: the first one stands.
        let mut other = calls[0].clone();
        other.ticket = Some(store.ticket_promise(t));
        assert_eq!(store.ticket_ensure_for_call(other).await.unwrap(), first);
        let filter = TicketFilter { call: Some(calls[0].call), ..Default::default() };
        assert_eq!(store.ticket_list(&filter, &Page::default()).await.unwrap().items.len(), 1);
        // The abandoned ones end as contacts, and owe a callback once.
        let finish: Vec<_> = calls[..2]
            .iter()
            .map(|c| Ingest {
                progress: None,
                accepted: c.clone(),
                finished: Some(ended(c, t.plus(MINUTE), Some(ContactKind::Abandoned))),
            })
            .collect();
        store.ingest(finish.clone()).await.unwrap();
        store.ingest(finish).await.unwrap();
        let case = store.ticket_of_call(calls[1].call).await.unwrap().unwrap();
        assert_eq!((case.ticket.state, case.ticket.class), (State::Closed, Class::Contact(ContactKind::Abandoned)));
        let row = store.call_get(calls[1].call).await.unwrap();
        assert_eq!((row.state.as_str(), row.ticket_no), ("ended", Some(case.ticket.no)));
        // A late word on an ended call does not open it again.
        store.ingest(vec![Ingest { accepted: calls[1].clone(), progress: None, finished: None }]).await.unwrap();
        assert_eq!(store.call_get(calls[1].call).await.unwrap().state, "ended");
        let filter = CallFilter { sip_call_id: Some(calls[1].sip_call_id.clone()), ..Default::default() };
        assert_eq!(store.call_list(&filter, &Page::default()).await.unwrap().items.len(), 1);
        for call in &calls[..2] {
            let owed = store.callback_of_call(call.call).await.unwrap().unwrap();
            assert_eq!((owed.enqueued_at, owed.tries, owed.state.as_str()), (t, 0, "owed"));
        }
    });
}

/// A lost call of `number`, owed since `t`.
async fn lost(store: &Store, number: Option<&str>, t: UnixMillis) -> CallbackId {
    let call = CallId(store.new_id());
    let (number, reason) = (number.map(str::to_owned), "abandoned".to_owned());
    let new = NewCallback { call, number, queue: "general".into(), enqueued_at: t, reason };
    store.callback_owe(new.clone(), t).await.unwrap();
    store.callback_owe(new, t).await.unwrap();
    store.callback_of_call(call).await.unwrap().unwrap().id
}

#[test]
fn two_agents_never_claim_the_same_callback() {
    on_each(|store, t| async move {
        let id = lost(&store, Some("13900000001"), t).await;
        let agents: Vec<AgentNo> = (8001..8009).map(|agent: u32| AgentNo::from(agent.to_string())).collect();
        let mut claims = tokio::task::JoinSet::new();
        for agent in agents {
            let store = store.clone();
            claims.spawn(async move { store.callback_claim(id, &agent, MINUTE, 3, t).await.unwrap() });
        }
        let claimed: Vec<_> = claims.join_all().await.into_iter().flatten().collect();
        assert_eq!(claimed.len(), 1, "{claimed:?}");
        let (winner, loser) = (claimed[0].claimed_by.clone().unwrap(), "9009".into());
        assert_eq!((claimed[0].tries, claimed[0].claimed_until), (1, Some(t.plus(MINUTE))));
        assert!(store.callback_settle(id, &loser, t).await.is_err(), "another agent's");
        assert!(store.callback_failed(id, &loser, None, t).await.is_err(), "another agent's");
        // Its hold is over: the next agent may try, and the first one's word counts no more.
        let later = t.plus(2 * MINUTE);
        let again = store.callback_claim(id, &loser, MINUTE, 3, later).await.unwrap().unwrap();
        assert_eq!(again.tries, 2);
        assert!(store.callback_settle(id, &winner, later).await.is_err());
        store.callback_settle(id, &loser, later).await.unwrap();
        assert!(store.callback_settle(id, &loser, later).await.is_err(), "settled once");
        let row = store.callback_get(id).await.unwrap();
        assert_eq!((row.state.as_str(), row.settled_at), ("settled", Some(later)));
    });
}

#[test]
fn a_number_is_called_back_once_however_often_it_called() {
    on_each(|store, t| async move {
        let (first, second) = (lost(&store, Some("1001"), t).await, lost(&store, Some("1001"), t.plus(MINUTE)).await);
        let other = lost(&store, Some("1002"), t).await;
        let (a, b) = ("8001".into(), "8002".into());
        assert!(store.callback_claim(first, &a, MINUTE, 3, t).await.unwrap().is_some());
        assert!(store.callback_claim(second, &b, MINUTE, 3, t).await.unwrap().is_none(), "the person is being called");
        assert!(store.callback_claim(other, &b, MINUTE, 3, t).await.unwrap().is_some());
        store.callback_settle(first, &a, t).await.unwrap();
        assert_eq!(store.callback_get(second).await.unwrap().state, "settled");
        assert_eq!(store.callback_get(other).await.unwrap().state, "owed");
    });
}

#[test]
fn a_callback_has_so_many_tries_and_a_withheld_number_none() {
    on_each(|store, t| async move {
        let (id, agent) = (lost(&store, Some("1001"), t).await, AgentNo::from("8001"));
        let mut at = t;
        for _ in 0..2 {
            assert!(store.callback_claim(id, &agent, MINUTE, 3, at).await.unwrap().is_some());
            let next = at.plus(30 * MINUTE);
            store.callback_failed(id, &agent, Some(next), at).await.unwrap();
            assert!(store.callback_claim(id, &agent, MINUTE, 3, at).await.unwrap().is_none(), "too early");
            at = next;
        }
        assert_eq!(store.callback_claim(id, &agent, MINUTE, 3, at).await.unwrap().unwrap().tries, 3);
        assert!(
            store.callback_claim(id, &agent, MINUTE, 3, at.plus(2 * MINUTE)).await.unwrap().is_none(),
            "three tries"
        );
        store.callback_failed(id, &agent, None, at).await.unwrap();
        assert_eq!(store.callback_get(id).await.unwrap().state, "given_up");

        let withheld = lost(&store, None, t).await;
        assert!(store.callback_claim(withheld, &agent, MINUTE, 3, t).await.unwrap().is_none());
        let given_up = store.callback_list("given_up", &[], &Page::default()).await.unwrap().items;
        assert_eq!(given_up.iter().map(|row| row.id).collect::<Vec<_>>(), [id, withheld]);
        assert!(store.callback_list("given_up", &["general".into()], &Page::default()).await.unwrap().items.is_empty());
        assert!(store.callback_list("owed", &[], &Page::default()).await.unwrap().items.is_empty());
    });
}

#[test]
fn a_taken_number_is_replaced() {
    on_each(|store, t| async move {
        let (base, mut second) = (store.new_id(), accepted(&store, store.new_id(), t));
        let first = accepted(&store, base, t);
        if let (Some(a), Some(b)) = (&first.ticket, &mut second.ticket) {
            b.no = a.no.clone();
        }
        let a = store.ticket_ensure_for_call(first).await.unwrap();
        let b = store.ticket_ensure_for_call(second.clone()).await.unwrap();
        assert_ne!(a.ticket.no, b.ticket.no);
        assert_eq!(store.call_get(second.call).await.unwrap().ticket_no, Some(b.ticket.no));
    });
}

#[test]
fn a_draft_that_an_agent_worked_on_stays() {
    on_each(|store, t| async move {
        let call = accepted(&store, store.new_id(), t);
        let no = store.ticket_ensure_for_call(call.clone()).await.unwrap().ticket.no;
        give(&store, &no, &Actor::centre(Role::Agent, "8001"), json!({"command": "register"}), t).await;
        let finished = Some(ended(&call, t.plus(MINUTE), Some(ContactKind::Abandoned)));
        store.ingest(vec![Ingest { accepted: call, progress: None, finished }]).await.unwrap();
        assert_eq!(store.ticket_get(&no).await.unwrap().ticket.state, State::ToDispatch);
    });
}

#[test]
fn pages_hold_each_row_once() {
    on_each(|store, t| async move {
        let base = store.new_id();
        let items = (0..25)
            .map(|n| Ingest {
                accepted: accepted(&store, base + n, UnixMillis(t.0 - (n as i64 / 5))),
                progress: None,
                finished: None,
            })
            .collect();
        store.ingest(items).await.unwrap();
        let filter = TicketFilter { from: Some(UnixMillis(t.0 - 10)), ..Default::default() };
        let (mut seen, mut cursor) = (Vec::new(), None);
        loop {
            let page = store.ticket_list(&filter, &Page { limit: 7, cursor }).await.unwrap();
            seen.extend(page.items.into_iter().map(|ticket| ticket.id));
            cursor = page.next_cursor;
            if cursor.is_none() {
                break;
            }
        }
        let count = seen.len();
        seen.sort();
        seen.dedup();
        assert!(seen.len() == count && count >= 25);
        let bad = store.ticket_list(&filter, &Page { limit: 7, cursor: Some("x".into()) }).await;
        assert!(matches!(bad, Err(StoreError::Invalid(_))));
    });
}

#[test]
fn numbers_never_repeat() {
    on_each(|store, t| async move {
        let mut seen = std::collections::HashSet::new();
        for n in 0..9_000 {
            assert!(seen.insert(store.ticket_number(t)), "a number came twice");
            if n % 500 == 0 {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
    });
}

#[test]
fn a_message_is_saved_by_compare_and_set() {
    use crate::sms::delivery::{Command, Outcome, Policy, State};
    on_each(|store, t| async move {
        let new = |once: &str| NewMessage {
            once: Some(format!("{once}-{}", t.0)),
            ticket_no: Some(format!("no-{}", t.0).into()),
            purpose: "acceptance".into(),
            number: "13800000001".into(),
            text: "已受理".into(),
        };
        let a = store.message_create(new("a"), "admin", t).await.unwrap();
        assert_eq!(store.message_create(new("a"), "admin", t).await.unwrap(), a, "a repeated wish is one message");
        let due = store.message_due(t, 100).await.unwrap();
        assert!(due.iter().any(|row| row.id == a.id), "a new message is due at once");

        let policy = Policy::default();
        let (tried, _) = a.delivery.apply(Command::Try, &policy, t).unwrap();
        assert!(store.message_save(a.id, a.delivery.version, &tried).await.unwrap());
        assert!(!store.message_save(a.id, a.delivery.version, &tried).await.unwrap(), "saved once from one version");
        assert!(!store.message_due(t, 100).await.unwrap().iter().any(|row| row.id == a.id), "a try is on its way");

        let smsc_id = format!("smsc-{}", t.0);
        let outcome = Outcome::Accepted { smsc_id: smsc_id.clone() };
        let (submitted, _) = tried.apply(Command::Outcome { part: 0, outcome }, &policy, t).unwrap();
        assert!(store.message_save(a.id, tried.version, &submitted).await.unwrap());
        let found = store.message_by_smsc_id(&smsc_id).await.unwrap().unwrap();
        assert_eq!((found.id, found.delivery.state), (a.id, State::Submitted));
        assert_eq!(store.message_get(a.id).await.unwrap().unwrap().delivery, submitted);

        let filter = MessageFilter { ticket_no: a.ticket_no.clone(), state: Some(State::Submitted) };
        assert_eq!(store.message_list(&filter, &Page::default()).await.unwrap().items.len(), 1);
    });
}

#[test]
fn users_and_sessions() {
    on_each(|store, t| async move {
        let name = UserName::from(format!("u{}", t.0));
        let (md5, sha256) = user::sip_ha1s("8001", "hotline", "secret");
        assert_eq!((md5.len(), sha256.len()), (32, 64));
        let user = UserRow {
            name: name.clone(),
            display_name: "张三".into(),
            role: Role::Agent,
            unit: None,
            agent: Some("8001".into()),
            password_hash: user::hash_password_quickly("secret").unwrap(),
            sip_ha1_md5: Some(md5),
            sip_ha1_sha256: Some(sha256),
            active: true,
            created_at: t,
        };
        store.user_upsert(vec![user.clone()]).await.unwrap();
        assert_eq!(store.user_authenticate(&name, "secret").await.unwrap(), Some(user.clone()));
        assert_eq!(store.user_authenticate(&name, "Secret").await.unwrap(), None);
        assert_eq!(store.user_authenticate(&"nobody".into(), "secret").await.unwrap(), None);
        let session = store.session_create(&name, MINUTE, t).await.unwrap();
        assert_eq!(store.session_get(&session.token, t).await.unwrap().unwrap().user.name, name);
        assert!(store.session_get(&session.token, t.plus(2 * MINUTE)).await.unwrap().is_none(), "over");
        store.session_delete(&session.token).await.unwrap();
        assert!(store.session_get(&session.token, t).await.unwrap().is_none());
        let (short, long) = (MINUTE, 3 * MINUTE);
        let over = store.session_create(&name, short, t).await.unwrap();
        let lasting = store.session_create(&name, long, t).await.unwrap();
        assert_eq!(store.session_trim(t.plus(2 * MINUTE)).await.unwrap(), 1);
        assert!(store.session_get(&over.token, t).await.unwrap().is_none(), "trimmed");
        assert!(store.session_get(&lasting.token, t).await.unwrap().is_some(), "kept");
        let missing = store.session_create(&"nobody-at-all".into(), MINUTE, t).await;
        assert!(missing.is_err(), "foreign keys are on, and one failure spoils no other write");
        store.ping().await.unwrap();
        user::hash_password("a strong one").unwrap();
    });
}

#[test]
fn a_step_into_nothing_is_refused() {
    on_each(|store, t| async move {
        let (dispatcher, rules) = (Actor { role: Role::Dispatcher, ..Actor::system() }, Rules::default());
        let register = json!({"command": "register", "matter": {"title": "路灯"}});
        let mut numbers = Vec::new();
        for _ in 0..3 {
            let origin = Origin { channel: Channel::Web, ..Origin::default() };
            let draft = store.ticket_draft(origin, Citizen::default(), t);
            let no = store.ticket_insert(draft, &dispatcher).await.unwrap().ticket.no;
            numbers.push(give(&store, &no, &dispatcher, register.clone(), t).await.ticket.no);
        }
        let [first, second, third] = &numbers[..] else { panic!("three") };
        units(&store, &["real"]).await;
        let closed = UnitRow { active: false, ..store.unit_get(&"real".into()).await.unwrap() };
        store.unit_upsert(vec![UnitRow { code: "closed".into(), ..closed }]).await.unwrap();
        let refused = |no: &TicketNo, command: Value| {
            let (store, no, by, rules) = (store.clone(), no.clone(), dispatcher.clone(), rules.clone());
            async move {
                let command: Command = serde_json::from_value(command).unwrap();
                match store.ticket_apply(&no, &command, Applying::plain(&by, &rules), t).await {
                    Err(StoreError::Rejected(why)) => why.code(),
                    other => panic!("{other:?}"),
                }
            }
        };
        for lead in ["nowhere", "closed"] {
            assert_eq!(refused(first, json!({"command": "dispatch", "lead": lead})).await, "unknown_unit");
        }
        let assist = json!({"command": "dispatch", "lead": "real", "assist": ["nowhere"]});
        assert_eq!(refused(first, assist).await, "unknown_unit");
        let nowhere = json!({"command": "merge", "into": "000000000000000"});
        assert_eq!(refused(first, nowhere).await, "unknown_ticket");
        assert_eq!(store.ticket_get(first).await.unwrap().ticket.version, 2, "nothing was written");
        give(&store, second, &dispatcher, json!({"command": "merge", "into": third}), t).await;
        assert_eq!(refused(first, json!({"command": "merge", "into": second})).await, "unknown_ticket");
        let split = Origin { split_from: Some("000000000000000".into()), ..Origin::default() };
        let orphan = store.ticket_insert(store.ticket_draft(split, Citizen::default(), t), &dispatcher).await;
        assert!(matches!(orphan, Err(StoreError::Rejected(ref why)) if why.code() == "unknown_ticket"), "{orphan:?}");
        let draft = store.ticket_draft(Origin::default(), Citizen::default(), t);
        let call = store.ticket_insert(draft, &dispatcher).await.unwrap().ticket.no;
        let chase = |no: &TicketNo| json!({"command": "complete", "kind": "chasing", "chases": no});
        assert_eq!(refused(&call, chase(second)).await, "unknown_ticket");
        give(&store, &call, &dispatcher, chase(third), t).await;
        give(&store, first, &dispatcher, json!({"command": "dispatch", "lead": "real"}), t).await;
    });
}

#[test]
fn a_recording_that_is_over_stays_over() {
    on_each(|store, t| async move {
        let id = store.new_id();
        let begun = RecordingRow {
            id: crate::ids::RecordingId(id),
            call: CallId(id),
            ticket_no: Some("261122010000421".into()),
            path: "a/b".into(),
            state: "recording".into(),
            started_at: t,
            ended_at: None,
            duration_ms: 0,
            shortened: false,
            gaps: 0,
            confidential: false,
            detail: Value::Null,
        };
        store.recording_upsert(begun.clone()).await.unwrap();
        let unknown = store.recording_end(crate::ids::RecordingId(store.new_id()), 5000, false, false).await;
        assert!(matches!(unknown, Err(StoreError::NotFound(_))), "{unknown:?}");
        store.recording_end(begun.id, 5000, true, false).await.unwrap();
        let ended_at = Some(t.plus(Duration::from_secs(5)));
        let known = RecordingRow { state: "complete".into(), ended_at, duration_ms: 5000, gaps: 1, ..begun.clone() };
        store.recording_end(begun.id, 7000, false, true).await.unwrap();
        assert_eq!(store.recording_get(begun.id).await.unwrap(), known);
        // The word that it began comes last.
        store.recording_upsert(RecordingRow { ticket_no: None, ..begun.clone() }).await.unwrap();
        assert_eq!(store.recording_get(begun.id).await.unwrap(), known);
    });
}

#[test]
fn a_sandbox_database_stays_one() {
    on_each(|store, _| async move {
        store.claim_for(DatabaseUse::Sandbox).await.unwrap();
        store.claim_for(DatabaseUse::Sandbox).await.unwrap();
        let refused = store.claim_for(DatabaseUse::Centre).await;
        assert!(matches!(refused, Err(StoreError::SandboxDatabase)), "{refused:?}");
        store.claim_for(DatabaseUse::Sandbox).await.unwrap();
    });
    on_each(|store, _| async move {
        store.claim_for(DatabaseUse::Centre).await.unwrap();
        let refused = store.claim_for(DatabaseUse::Sandbox).await;
        assert!(matches!(refused, Err(StoreError::CentreDatabase)), "{refused:?}");
    });
}

#[test]
fn a_changed_audit_row_is_found() {
    on_each(|store, t| async move {
        for n in 0..3 {
            store.audit_append("admin", "number.reveal", &n.to_string(), "核实", t).await.unwrap();
        }
        let AuditVerdict::Whole { rows, last } = store.audit_verify().await.unwrap() else { panic!("whole") };
        assert_eq!(store.audit_list(&Page::default()).await.unwrap().items[0].hash, last);
        let change = |sql: &'static str| {
            let store = store.clone();
            async move {
                store
                    .write(move |tx| {
                        Box::pin(async move {
                            sqlx::query(sql).bind(rows - 1).execute(&mut tx.conn).await?;
                            Ok(())
                        })
                    })
                    .await
                    .unwrap();
            }
        };
        change("UPDATE audit SET actor = 'nobody' WHERE seq = $1").await;
        assert_eq!(store.audit_verify().await.unwrap(), AuditVerdict::Broken { seq: rows - 1 });
        change("UPDATE audit SET actor = 'admin' WHERE seq = $1").await;
        assert!(matches!(store.audit_verify().await.unwrap(), AuditVerdict::Whole { .. }));
        change("DELETE FROM audit WHERE seq = $1").await;
        assert_eq!(store.audit_verify().await.unwrap(), AuditVerdict::Broken { seq: rows - 1 });
        // Leaves the table as another run expects it.
        change("DELETE FROM audit WHERE seq >= $1 - 1").await;
    });
}

#[test]
fn events_resume_and_keys_answer_again() {
    on_each(|store, t| async move {
        let (_, last) = store.event_bounds().await.unwrap();
        let event =
            |n: i64| NewEvent { at: t, topic: "agent.status".into(), subject: "8001".into(), body: json!({"n": n}) };
        store.event_append((0..70).map(event).collect()).await.unwrap();
        let seen = store.event_list(last, 500).await.unwrap();
        assert_eq!(seen.len(), 70);
        assert!(seen.windows(2).all(|pair| pair[0].id < pair[1].id));
        assert_eq!(store.event_list(seen[68].id, 500).await.unwrap(), seen[69..]);
        store.event_cursor_set("sms", seen[10].id).await.unwrap();
        assert_eq!(store.event_cursor("sms").await.unwrap(), seen[10].id);
        store.event_trim(t.plus(MINUTE)).await.unwrap();
        assert_eq!(store.event_bounds().await.unwrap().0, seen[11].id, "none that a reader has yet to see");
        let key = t.0.to_string();
        let begin = |hash: &'static str| store.idempotency_begin("admin", &key, hash, t);
        assert_eq!(begin("h").await.unwrap(), Idempotent::New);
        assert_eq!(begin("h").await.unwrap(), Idempotent::Running { since: t });
        store.idempotency_release("admin", &key).await.unwrap();
        assert_eq!(begin("h").await.unwrap(), Idempotent::New, "freed");
        store.idempotency_finish("admin", &key, 201, "{}").await.unwrap();
        assert_eq!(begin("h").await.unwrap(), Idempotent::Answered { status: 201, body: "{}".into() });
        assert_eq!(begin("other").await.unwrap(), Idempotent::Mismatch);
        store.idempotency_release("admin", &key).await.unwrap();
        assert!(matches!(begin("h").await.unwrap(), Idempotent::Answered { .. }), "an answer is not freed");
        assert_eq!(store.idempotency_begin("8001", &key, "other", t).await.unwrap(), Idempotent::New, "another's key");
        assert_eq!(store.idempotency_trim(t).await.unwrap(), 0);
        assert_eq!(store.idempotency_trim(t.plus(MINUTE)).await.unwrap(), 2);
        assert_eq!(begin("other").await.unwrap(), Idempotent::New, "forgotten");
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn an_older_program_refuses_a_newer_schema() {
    let folder = Folder::new();
    let store = open(&folder.url()).await;
    store
        .write(|tx| {
            Box::pin(async move {
                sqlx::query("INSERT INTO schema_version (version, applied_at) VALUES (99, 0)")
                    .execute(&mut tx.conn)
                    .await?;
                Ok(())
            })
        })
        .await
        .unwrap();
    store.close().await;
    assert!(store.ping().await.unwrap_err().is_unavailable());
    let again = Store::open(&folder.url(), StoreOptions::default(), now()).await;
    assert!(matches!(again, Err(StoreError::SchemaNewer { found: 99, .. })));
}

/// Databases of the test's own without a table: SQLite's, and PostgreSQL's where there is one.
async fn fresh(folder: &Folder) -> Vec<String> {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let mut urls = vec![format!("sqlite:{}/{}.db", folder.0.display(), COUNT.fetch_add(1, Ordering::Relaxed))];
    if let Ok(url) = std::env::var("HOTLINE_TEST_POSTGRES") {
        urls.push(own_schema(&url).await);
    }
    urls
}

#[tokio::test(flavor = "multi_thread")]
async fn an_old_schema_is_brought_forward_after_a_backup() {
    let folder = Folder::new();
    for url in fresh(&folder).await {
        let is_sqlite = url.starts_with("sqlite:");
        assert_eq!(schema_version(&url).await.unwrap().unwrap_or(0), 0);
        assert!(database_is_empty(&url).await.unwrap());
        let probed = Store::probe(&url, DatabaseUse::Centre).await.unwrap();
        assert_eq!(probed, if is_sqlite { Probe::ToBeMade } else { Probe::Ready });
        Loading::begin(&url, 1, "1", now()).await.unwrap().commit().await.unwrap();
        assert_eq!(schema_version(&url).await.unwrap(), Some(1));
        if is_sqlite {
            open(&url).await.close().await;
            assert!(folder.0.join("0.db.before-schema-2").exists() || SCHEMA_VERSION == 1, "copied beside itself");
        } else {
            let error = Store::open(&url, StoreOptions::default(), now()).await.err().expect("refused");
            assert!(matches!(error, StoreError::SchemaOlder { found: 1, .. }), "{error}");
            assert!(error.to_string().contains("hotline migrate"), "{error}");
            assert_eq!(schema_version(&url).await.unwrap(), Some(1), "nothing has changed");
            assert_eq!(schema_migrate(&url, now()).await.unwrap(), 1);
            open(&url).await.close().await;
        }
        assert_eq!(schema_version(&url).await.unwrap(), Some(SCHEMA_VERSION));
        assert_eq!(schema_migrate(&url, now()).await.unwrap(), SCHEMA_VERSION, "nothing more to do");
    }
}

/// All rows of one database, read as a backup reads them.
async fn all_rows(url: &str) -> (i64, Vec<(TableShape, Vec<Vec<Value>>)>) {
    let mut snapshot = Snapshot::open(url).await.expect("a snapshot");
    let mut found = Vec::new();
    for table in snapshot.tables().await.expect("tables") {
        let mut rows = Vec::new();
        let count = snapshot
            .rows(&table, |row| {
                rows.push(row);
                Ok(())
            })
            .await
            .expect("rows");
        assert_eq!(count, rows.len() as u64);
        rows.sort_by_key(|row| format!("{row:?}"));
        found.push((table, rows));
    }
    (snapshot.schema(), found)
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_go_from_any_database_into_any_other() {
    let folder = Folder::new();
    let mut sources = Vec::new();
    for url in fresh(&folder).await {
        let store = open(&url).await;
        units(&store, &["a", "b"]).await;
        let first = accepted(&store, 1, now());
        let finished = Some(ended(&first, now(), Some(ContactKind::Abandoned)));
        store.ingest(vec![Ingest { accepted: first, progress: None, finished }]).await.unwrap();
        store.audit_append("甲", "b", "c", "换行\n'引号\"", now()).await.unwrap();
        sources.push((url, store));
    }
    for (from, store) in &sources {
        for to in fresh(&folder).await {
            let (schema, tables) = all_rows(from).await;
            let names: Vec<&str> = tables.iter().map(|(table, _)| table.name.as_str()).collect();
            assert!(!names.contains(&"session") && names.contains(&"ticket"), "{names:?}");
            let load = || {
                let (to, tables) = (to.clone(), tables.clone());
                async move {
                    let suffix = format!("{}_{}", std::process::id(), now().0);
                    let mut loading = Loading::begin(&to, schema, &suffix, now()).await.unwrap();
                    for (table, rows) in &tables {
                        loading.insert(table, rows).await.unwrap();
                        assert_eq!(loading.count(&table.name).await.unwrap(), rows.len() as u64);
                    }
                    assert_eq!(loading.ended(&[1, 2]).await.unwrap(), [1]);
                    let odd = TableShape { name: "unit".into(), columns: vec!["code".into()] };
                    let error = loading.insert(&odd, &[vec![json!(7)]]).await.unwrap_err();
                    assert!(matches!(error, StoreError::Corrupt(_)), "{error}");
                    loading.commit().await.unwrap()
                }
            };
            assert_eq!(load().await, None);
            let aside = load().await.expect("what was there is put away");
            assert!(aside.contains("before"), "{aside}");
            let (_, loaded) = all_rows(&to).await;
            for ((table, rows), (same, copied)) in tables.iter().zip(&loaded) {
                assert_eq!(table, same);
                if table.name != "number_block" {
                    assert_eq!(rows, copied, "{}", table.name);
                }
            }
            let copy = open(&to).await;
            assert!(matches!(copy.audit_verify().await.unwrap(), AuditVerdict::Whole { rows: 1, .. }));
            let case = copy.ticket_of_call(CallId(1)).await.unwrap().expect("the ticket");
            let given: Vec<_> = (0..10).map(|_| store.ticket_number(now())).collect();
            let next = copy.ticket_number(now());
            assert!(next != case.ticket.no && !given.contains(&next), "a number is given once");
            copy.close().await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_finds_every_table_that_others_refer_to_first() {
    let folder = Folder::new();
    let store = open(&folder.url()).await;
    let text = "SELECT m.name AS child, f.\"table\" AS parent FROM sqlite_master m, pragma_foreign_key_list(m.name) f \
               WHERE m.type = 'table'";
    let rows = sqlx::query(text).fetch_all(store.reader()).await.unwrap();
    assert!(!rows.is_empty());
    let mut snapshot = Snapshot::open(&folder.url()).await.unwrap();
    let order: Vec<String> = snapshot.tables().await.unwrap().into_iter().map(|table| table.name).collect();
    let place = |name: &str| order.iter().position(|table| table == name);
    for row in rows {
        let (child, parent) = (sql::Columns::text(&row, "child").unwrap(), sql::Columns::text(&row, "parent").unwrap());
        assert!(place(&child).is_none() || place(&parent) < place(&child), "{child} refers to {parent}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_locked_database_is_unavailable_and_comes_back() {
    use sqlx::{AnyConnection, Connection, Executor};
    let folder = Folder::new();
    let store = open(&folder.url()).await;
    let spool_dir = folder.0.join("spool");
    let (spool, _) = Spool::open(&spool_dir).await.unwrap();
    let feeder = spool.start_feeder(store.clone(), |_| {});
    let path = folder.url().replace("sqlite:", "sqlite://");
    let mut other = AnyConnection::connect(&path).await.unwrap();
    other.execute("BEGIN EXCLUSIVE").await.unwrap();
    let call = accepted(&store, 1, now());
    spool.accept(call.clone()).await.unwrap();
    assert!(spool.update(call.call, json!({"state": "ivr"})));
    let error = store.audit_append("a", "b", "c", "d", now()).await.unwrap_err();
    assert!(error.is_unavailable(), "{error}");
    assert!(spool.backlog() > 0, "the call is kept meanwhile");
    other.execute("ROLLBACK").await.unwrap();
    wait_until(|| spool.backlog() == 0).await;
    assert!(store.ticket_of_call(call.call).await.unwrap().is_some());
    assert_eq!(store.call_get(call.call).await.unwrap().detail, json!({"state": "ivr"}), "what was noted is fed, too");
    store.audit_append("a", "b", "c", "d", now()).await.unwrap();
    feeder.abort();
}

async fn wait_until(done: impl Fn() -> bool) {
    let began = Instant::now();
    while !done() {
        assert!(began.elapsed() < Duration::from_secs(30), "it took too long");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_was_never_answered_leaves_nothing() {
    let folder = Folder::new();
    let store = open(&folder.url()).await;
    let (spool, _) = Spool::open(&folder.0).await.unwrap();
    let feeder = spool.start_feeder(store.clone(), |_| {});
    let (cancelled, answered) = (accepted(&store, 1, now()), accepted(&store, 2, now()));
    spool.accept(cancelled.clone()).await.unwrap();
    spool.accept(answered.clone()).await.unwrap();
    assert!(spool.update(answered.call, json!({"state": "ivr"})));
    spool.forget(cancelled.call).await.unwrap();
    // The order is that in which they were said, whoever waits for what first.
    let hurried = accepted(&store, 3, now());
    let (kept, forgotten) = (spool.accept(hurried.clone()), spool.forget(hurried.call));
    forgotten.await.unwrap();
    kept.await.unwrap();
    wait_until(|| spool.backlog() == 0).await;
    assert!(spool.trouble().is_none());
    assert!(store.ticket_of_call(hurried.call).await.unwrap().is_none(), "cancelled in the same instant");
    assert!(store.ticket_of_call(cancelled.call).await.unwrap().is_none(), "no 200, no ticket");
    assert!(store.ticket_of_call(answered.call).await.unwrap().is_some());
    feeder.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_spool_could_not_write_is_written_when_it_can() {
    let folder = Folder::new();
    let store = open(&folder.url()).await;
    let (spool, _) = Spool::open(&folder.0).await.unwrap();
    let (talking, cancelled, unanswered) =
        (accepted(&store, 1, now()), accepted(&store, 2, now()), accepted(&store, 4, now()));
    spool.accept(talking.clone()).await.unwrap();
    spool.accept(cancelled.clone()).await.unwrap();
    // Somebody holds the file: every commit fails.
    let other = rusqlite::Connection::open(folder.0.join("spool.db")).unwrap();
    other.execute_batch("BEGIN EXCLUSIVE").unwrap();
    let error = spool.accept(accepted(&store, 3, now())).await.unwrap_err();
    assert!(error.is_unavailable() && spool.trouble().is_some(), "no 200 without a record: {error}");
    assert!(spool.update(talking.call, json!({"state": "talking"})));
    assert!(spool.dialog_put(LegId(9), CallId(9), json!({"call_id": 9})));
    let mut finished = Box::pin(spool.finish(talking.call, ended(&talking, now(), None)));
    let mut forgotten = Box::pin(spool.forget(cancelled.call));
    let mut kept = Box::pin(spool.keep(AcceptedCall { ticket: None, ..unanswered.clone() }));
    let mut missed = Box::pin(spool.finish(unanswered.call, ended(&unanswered, now(), None)));
    assert!(spool.flush().await.is_err());
    for waits in
        [&mut finished as &mut (dyn Future<Output = Result<()>> + Unpin), &mut forgotten, &mut kept, &mut missed]
    {
        let soon = tokio::time::timeout(Duration::from_millis(20), waits).await;
        assert!(soon.is_err(), "nothing is said to be kept that is not on disk");
    }
    other.execute_batch("ROLLBACK").unwrap();
    // By itself: nobody calls meanwhile.
    let feeder = spool.start_feeder(store.clone(), |_| {});
    for waits in [finished as std::pin::Pin<Box<dyn Future<Output = Result<()>> + Send>>, forgotten, kept, missed] {
        waits.await.unwrap();
    }
    wait_until(|| spool.trouble().is_none() && spool.backlog() == 0).await;
    assert_eq!(spool.dropped(), 0);
    assert_eq!(store.call_get(talking.call).await.unwrap().state, "ended");
    assert_eq!(store.call_get(unanswered.call).await.unwrap().state, "ended");
    assert!(store.ticket_of_call(cancelled.call).await.unwrap().is_none(), "it was taken back");
    assert!(store.ticket_of_call(CallId(3)).await.unwrap().is_none(), "it was refused");
    feeder.abort();
    drop((spool, store));
    wait_until(|| feeder.is_finished()).await;
    let (_, recovered) = Spool::open(&folder.0).await.unwrap();
    assert_eq!(recovered.dialogs.len(), 1, "snapshots are kept for the next commit, too");
    assert!(recovered.calls.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_spool_recovers_what_had_not_ended() {
    let folder = Folder::new();
    let store = open(&folder.url()).await;
    let t = now();
    {
        let (spool, recovered) = Spool::open(&folder.0).await.unwrap();
        assert_eq!(recovered, Default::default());
        for n in 1..=3 {
            spool.accept(accepted(&store, n, t)).await.unwrap();
            assert!(spool.dialog_put(LegId(10 + n), CallId(n), json!({"call_id": n})));
        }
        assert!(spool.update(CallId(2), json!({"state": "queued"})));
        let waiter = |n: u64, rank: i64| SpooledWaiter {
            call: CallId(n),
            queue: "general".into(),
            enqueued_at: UnixMillis(rank),
            number: None,
            record: None,
        };
        assert!(spool.waiter_put(waiter(2, 20)) && spool.waiter_put(waiter(3, 10)));
        let first = accepted(&store, 1, t);
        spool.finish(CallId(1), ended(&first, t, None)).await.unwrap();
        spool.flush().await.unwrap();
    }
    let (spool, recovered) = Spool::open(&folder.0).await.unwrap();
    let calls: Vec<_> = recovered.calls.iter().map(|call| (call.accepted.call.0, call.progress.clone())).collect();
    assert_eq!(calls, [(2, Some(json!({"state": "queued"}))), (3, None)]);
    assert_eq!(recovered.dialogs.iter().map(|(leg, ..)| leg.0).collect::<Vec<_>>(), [12, 13]);
    assert_eq!(recovered.waiters.iter().map(|w| w.call.0).collect::<Vec<_>>(), [3, 2], "by rank");
    assert_eq!(spool.backlog(), 4, "three accepted, one of them ended");
    for call in &recovered.calls {
        let id = call.accepted.call;
        spool.finish(id, ended(&call.accepted, t, Some(ContactKind::Abandoned))).await.unwrap();
    }
    let feeder = spool.start_feeder(store.clone(), |_| {});
    wait_until(|| spool.backlog() == 0).await;
    feeder.abort();
    assert_eq!(store.count("SELECT count(*) AS n FROM ticket").await.unwrap(), 3);
    assert_eq!(store.count("SELECT count(*) AS n FROM call WHERE ended_at IS NOT NULL").await.unwrap(), 3);
    drop(spool);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_ending_is_kept_whatever_is_said_of_the_call_later() {
    let folder = Folder::new();
    let store = open(&folder.url()).await;
    let (spool, _) = Spool::open(&folder.0).await.unwrap();
    let (t, call) = (now(), accepted(&store, 1, now()));
    spool.accept(call.clone()).await.unwrap();
    spool.finish(call.call, ended(&call, UnixMillis(t.0 + 1_000), None)).await.unwrap();
    spool.finish(call.call, ended(&call, UnixMillis(t.0 + 9_000), Some(ContactKind::Silent))).await.unwrap();
    spool.forget(call.call).await.unwrap();
    let feeder = spool.start_feeder(store.clone(), |_| {});
    wait_until(|| spool.backlog() == 0).await;
    let ticket = store.ticket_of_call(call.call).await.unwrap().expect("it is not taken back by a late word");
    assert_eq!(ticket.ticket.class, Class::Contact(ContactKind::Unsorted), "nor changed");
    assert_eq!(store.call_get(call.call).await.unwrap().ended_at, Some(UnixMillis(t.0 + 1_000)));
    feeder.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_stays_in_the_spool_until_the_store_has_its_ending() {
    let folder = Folder::new();
    let store = open(&folder.url()).await;
    let (spool, _) = Spool::open(&folder.0).await.unwrap();
    let call = accepted(&store, 1, now());
    let over = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
    let heard = over.clone();
    let feeder = spool.start_feeder(store.clone(), move |calls| heard.lock().unwrap().extend(calls));
    spool.accept(call.clone()).await.unwrap();
    assert!(spool.update(call.call, json!({"state": "talking"})));
    wait_until(|| spool.backlog() == 0).await;
    assert!(over.lock().unwrap().is_empty(), "it goes on");
    spool.finish(call.call, ended(&call, now(), None)).await.unwrap();
    wait_until(|| spool.backlog() == 0).await;
    assert_eq!(store.call_get(call.call).await.unwrap().state, "ended");
    wait_until(|| *over.lock().unwrap() == [call.call]).await;
    feeder.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_earlier_program_could_not_store_is_tried_again() {
    let folder = Folder::new();
    let store = open(&folder.url()).await;
    let call = accepted(&store, 1, now());
    {
        let (spool, _) = Spool::open(&folder.0).await.unwrap();
        spool.accept(call.clone()).await.unwrap();
        spool.finish(call.call, ended(&call, now(), None)).await.unwrap();
    }
    let file = rusqlite::Connection::open(folder.0.join("spool.db")).unwrap();
    assert_eq!(file.execute("UPDATE accepted SET stuck = 1", []).unwrap(), 1);
    drop(file);
    let (spool, _) = Spool::open(&folder.0).await.unwrap();
    assert_eq!(spool.backlog(), 2, "accepted and ended");
    let feeder = spool.start_feeder(store.clone(), |_| {});
    wait_until(|| spool.backlog() == 0).await;
    assert_eq!(store.call_get(call.call).await.unwrap().state, "ended");
    feeder.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_storm_of_calls_is_taken_and_fed_once() {
    let folder = Folder::new();
    let store = open(&folder.url()).await;
    let (spool, _) = Spool::open(&folder.0).await.unwrap();
    let feeder = spool.start_feeder(store.clone(), |_| {});
    let (count, t, began) = (4_000u64, now(), Instant::now());
    let mut tasks = tokio::task::JoinSet::new();
    for n in 1..=count {
        let (spool, call) = (spool.clone(), accepted(&store, n, t));
        tasks.spawn(async move {
            spool.accept(call.clone()).await?;
            // Its 200 went out: from here on the store is fed.
            assert!(spool.update(call.call, json!({"state": "ivr"})), "the mailbox has room");
            Ok::<_, super::StoreError>(())
        });
    }
    while let Some(done) = tasks.join_next().await {
        done.unwrap().unwrap();
    }
    let rate = count as f64 / began.elapsed().as_secs_f64();
    wait_until(|| spool.backlog() == 0).await;
    feeder.abort();
    println!("{rate:.0} accepts/s, all stored after {:?}", began.elapsed());
    assert_eq!(store.count("SELECT count(*) AS n FROM ticket WHERE is_primary = 1").await.unwrap(), count as i64);
    assert_eq!(store.count("SELECT count(*) AS n FROM ticket_history").await.unwrap(), count as i64);
    assert_eq!(store.count("SELECT count(*) AS n FROM call").await.unwrap(), count as i64);
}

#[test]
fn a_message_and_its_audit_row_come_together() {
    on_each(|store, t| async move {
        let new = NewMessage {
            once: Some(format!("together-{}", store.new_id())),
            ticket_no: None,
            purpose: "manual".into(),
            number: "13800000001".into(),
            text: "您好".into(),
        };
        let rows = || async {
            match store.audit_verify().await.unwrap() {
                AuditVerdict::Whole { rows, .. } => rows,
                AuditVerdict::Broken { seq } => panic!("broken at {seq}"),
            }
        };
        let before = rows().await;
        let message = store.message_create(new.clone(), "dispatcher", t).await.unwrap();
        let audited = store.audit_list(&Page::default()).await.unwrap().items.remove(0);
        assert_eq!((audited.actor.as_str(), audited.action.as_str()), ("dispatcher", "message.create"));
        assert_eq!(audited.object, message.id.to_string());
        store.message_create(new, "dispatcher", t).await.unwrap();
        assert_eq!(rows().await, before + 1, "a repeated wish is one message and one row");
    });
}

#[test]
fn a_closed_recording_is_not_opened_again() {
    use crate::ids::RecordingId;
    on_each(|store, t| async move {
        let row = |state: &str, duration_ms| RecordingRow {
            id: RecordingId(t.0 as u64),
            call: CallId(t.0 as u64),
            ticket_no: None,
            path: "00/1.hlrec".into(),
            state: state.into(),
            started_at: t,
            ended_at: None,
            duration_ms,
            shortened: false,
            gaps: 0,
            confidential: false,
            detail: Value::Null,
        };
        let state = || async { store.recording_get(RecordingId(t.0 as u64)).await.unwrap().state };
        store.recording_upsert(row("recording", 0)).await.unwrap();
        store.recording_upsert(row("complete", 5_000)).await.unwrap();
        // The word of its beginning, held up while the database was away.
        store.recording_upsert(row("recording", 0)).await.unwrap();
        assert_eq!(state().await, "complete");
        store.recording_upsert(row("missing", 0)).await.unwrap();
        assert_eq!(state().await, "missing");
    });
}

#[test]
fn an_agents_last_change_is_found() {
    on_each(|store, t| async move {
        let agent = crate::ids::AgentNo::from(format!("8{}", t.0));
        let change = |at, status: &str| AgentLogRow {
            agent: agent.clone(),
            extension: None,
            at: UnixMillis(at),
            status: status.into(),
            reason: None,
            call: None,
        };
        assert_eq!(store.agent_log_last(&agent, t).await.unwrap(), None);
        let changes = vec![change(t.0 - 20, "idle"), change(t.0 - 10, "talking"), change(t.0, "idle")];
        store.agent_log_append(changes).await.unwrap();
        assert_eq!(store.agent_log_last(&agent, t).await.unwrap(), Some(change(t.0 - 10, "talking")));
    });
}

#[test]
fn a_clock_that_was_set_back_before_a_start_repeats_no_id() {
    on_each(|store, at| async move {
        let call = store.new_id() + 1_000_000;
        store.ticket_ensure_for_call(accepted(&store, call, at)).await.expect("kept");
        let highest = super::highest_id(store.reader(), store.ids().range()).await.expect("read");
        assert!(highest >= call, "{highest} is below the call {call}");
        let other_node = IdGen::new(7, at.0);
        let none = super::highest_id(store.reader(), other_node.range()).await.expect("read");
        assert_eq!(none, *other_node.range().start(), "another node's ids are its own");
    });
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("runtime");
    runtime.block_on(async {
        let folder = Folder::new();
        let first = open(&folder.url()).await;
        let call = first.new_id();
        first.ticket_ensure_for_call(accepted(&first, call, now())).await.expect("kept");
        first.close().await;
        let yesterday = UnixMillis(now().0 - 86_400_000);
        let second = Store::open(&folder.url(), StoreOptions::default(), yesterday).await.expect("opens");
        assert!(second.new_id() > call, "an id was given twice");
    });
}
