//! Stories of rows: each runs on SQLite in a temporary folder, and on PostgreSQL where `HOTLINE_TEST_POSTGRES` names one.
#![allow(clippy::disallowed_methods)] // tests measure real time

mod agent_log;
mod audit;
mod callback;
mod confidence;
mod copy;
mod event;
mod message;
mod recording;
mod schema;
mod spool;
mod ticket;
mod user;

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
pub(super) struct Folder(PathBuf);

impl Folder {
    pub(super) fn new() -> Folder {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("hotline store-{}-{count} 数据", std::process::id()));
        std::fs::create_dir_all(&path).expect("a folder");
        Folder(path)
    }

    pub(super) fn path(&self) -> &std::path::Path {
        &self.0
    }

    pub(super) fn url(&self) -> String {
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

pub(super) fn ended(accepted: &AcceptedCall, at: UnixMillis, contact: Option<ContactKind>) -> FinishedCall {
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
    FinishedCall { row, contact, callback, recording: None }
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

/// Databases of the test's own without a table: SQLite's, and PostgreSQL's where there is one.
async fn fresh(folder: &Folder) -> Vec<String> {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let mut urls = vec![format!("sqlite:{}/{}.db", folder.0.display(), COUNT.fetch_add(1, Ordering::Relaxed))];
    if let Ok(url) = std::env::var("HOTLINE_TEST_POSTGRES") {
        urls.push(own_schema(&url).await);
    }
    urls
}
