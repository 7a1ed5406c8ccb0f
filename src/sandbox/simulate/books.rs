//! What the centre has in its books, read by its API when an exercise is over, or as far as it has come.

use super::{SimulateError, desk::Desk};
use jiff::Timestamp;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// One leg of a call.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Leg {
    pub role: String,
    pub agent: String,
    pub started_at: i64,
    pub answered_at: Option<i64>,
    pub ended_at: Option<i64>,
    /// Whose doing the end was, and what it was, such as `answered`; empty without an ending.
    pub whose: String,
    pub what: String,
}

/// One call. Times are milliseconds since 1970.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CallRow {
    pub id: String,
    pub sip_call_id: String,
    pub state: String,
    pub started_at: i64,
    pub answered_at: Option<i64>,
    pub queue: Option<String>,
    pub enqueued_at: Option<i64>,
    pub served_at: Option<i64>,
    pub ended_at: Option<i64>,
    /// Whose doing the end was, and what it was; empty without an ending.
    pub whose: String,
    pub what: String,
    pub q850: i64,
    pub ticket_no: Option<String>,
    pub recording: Option<String>,
    pub legs: Vec<Leg>,
    pub overflow: Option<String>,
    pub english: bool,
    /// How its attempts at a three-way call went, such as `joined` and `busy`.
    pub three_way: Vec<String>,
}

/// One ticket.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TicketRow {
    pub no: String,
    pub state: String,
    pub call: Option<String>,
    pub primary: bool,
}

/// One recording.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RecordingRow {
    pub id: String,
    pub call: String,
    pub state: String,
    pub duration_ms: i64,
    pub shortened: bool,
}

/// All of it, since an exercise began.
#[derive(Clone, Debug, Default)]
pub struct Books {
    pub calls: Vec<CallRow>,
    pub tickets: Vec<TicketRow>,
    pub recordings: Vec<RecordingRow>,
    /// The calls that are owed a callback, and why.
    pub callbacks: Vec<(String, String)>,
    /// SMS by id: purpose and state.
    pub messages: BTreeMap<String, (String, String)>,
}

/// The states of an SMS in the order in which it comes through them.
pub const SMS_STATES: [&str; 5] = ["pending", "uncertain", "submitted", "delivered", "failed"];

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn some_text(value: &Value) -> Option<String> {
    value.as_str().map(str::to_owned)
}

/// A moment as RFC 3339.
fn moment(value: &Value) -> Option<i64> {
    value.as_str()?.parse::<Timestamp>().ok().map(|at| at.as_millisecond())
}

impl CallRow {
    /// Whether the caller was in a queue and had nobody in the end: no agent, or one who was lost, and neither another agent
    /// nor a department that stayed on the line.
    pub fn went_without(&self) -> bool {
        let last = self.legs.iter().rfind(|leg| leg.role == "agent" && leg.answered_at.is_some());
        let lost = last.is_some_and(|agent| {
            let stayed =
                |leg: &&Leg| leg.role == "department" && leg.answered_at.is_some() && leg.ended_at > agent.ended_at;
            agent.whose == "agent" && agent.what == "lost" && !self.legs.iter().any(|leg| stayed(&leg))
        });
        self.enqueued_at.is_some() && (self.served_at.is_none() || lost)
    }

    /// Reads a call as the API shows it.
    pub fn read(call: &Value) -> CallRow {
        let leg = |leg: &Value| Leg {
            role: text(&leg["role"]),
            agent: text(&leg["agent"]),
            started_at: moment(&leg["started_at"]).unwrap_or_default(),
            answered_at: moment(&leg["answered_at"]),
            ended_at: moment(&leg["ended_at"]),
            whose: text(&leg["ending"]["whose"]),
            what: text(&leg["ending"]["what"]),
        };
        CallRow {
            id: text(&call["id"]),
            sip_call_id: text(&call["sip_call_id"]),
            state: text(&call["state"]),
            started_at: moment(&call["started_at"]).unwrap_or_default(),
            answered_at: moment(&call["answered_at"]),
            queue: some_text(&call["queue"]),
            enqueued_at: moment(&call["enqueued_at"]),
            served_at: moment(&call["served_at"]),
            ended_at: moment(&call["ended_at"]),
            whose: text(&call["ending"]["whose"]),
            what: text(&call["ending"]["what"]),
            q850: call["ending"]["q850"].as_i64().unwrap_or_default(),
            ticket_no: some_text(&call["ticket_no"]),
            recording: some_text(&call["recording"]["id"]),
            legs: call["legs"].as_array().map(|legs| legs.iter().map(leg).collect()).unwrap_or_default(),
            overflow: some_text(&call["overflow"]),
            english: call["variables"]["language"] == "en",
            three_way: call["three_way"].as_array().into_iter().flatten().map(|one| text(&one["outcome"])).collect(),
        }
    }
}

/// Reads a list to its end, or until `wanted` is false of an item: lists begin with the newest.
async fn list(
    desk: &mut Desk,
    path: &str,
    mut wanted: impl FnMut(&Value) -> bool,
) -> Result<Vec<Value>, SimulateError> {
    let mut items = Vec::new();
    let mut cursor: Option<String> = None;
    loop {
        let join = if path.contains('?') { '&' } else { '?' };
        let from = cursor.as_ref().map(|cursor| format!("&cursor={cursor}")).unwrap_or_default();
        let page = desk.get(&format!("{path}{join}limit=500{from}")).await?;
        for item in page["items"].as_array().into_iter().flatten() {
            if !wanted(item) {
                return Ok(items);
            }
            items.push(item.clone());
        }
        cursor = some_text(&page["next_cursor"]);
        if cursor.is_none() {
            return Ok(items);
        }
    }
}

/// Since when: a little before, for clocks are read at different moments.
fn since(item: &Value, key: &str, begun_at: i64) -> bool {
    moment(&item[key]).is_none_or(|at| at >= begun_at - 2000)
}

impl Books {
    /// Reads everything since `begun_at`, as an administrator.
    pub async fn read(desk: &mut Desk, begun_at: i64) -> Result<Books, SimulateError> {
        let calls = list(desk, "/calls", |call| since(call, "started_at", begun_at)).await?;
        let tickets = list(desk, "/tickets", |ticket| since(ticket, "accepted_at", begun_at)).await?;
        let ticket = |ticket: &Value| TicketRow {
            no: text(&ticket["no"]),
            state: text(&ticket["state"]),
            call: some_text(&ticket["call"]),
            primary: ticket["primary"] == true,
        };
        let recordings = list(desk, "/recordings", |row| since(row, "started_at", begun_at)).await?;
        let recording = |row: &Value| RecordingRow {
            id: text(&row["id"]),
            call: text(&row["call"]),
            state: text(&row["state"]),
            duration_ms: row["duration_ms"].as_i64().unwrap_or_default(),
            shortened: row["shortened"] == true,
        };
        let mut callbacks = Vec::new();
        for state in ["owed", "settled", "given_up"] {
            for row in list(desk, &format!("/callbacks?state={state}"), |_| true).await? {
                callbacks.push((text(&row["call"]), text(&row["reason"])));
            }
        }
        let messages = list(desk, "/messages", |row| since(row, "created_at", begun_at)).await?;
        Ok(Books {
            calls: calls.iter().map(CallRow::read).collect(),
            tickets: tickets.iter().map(ticket).collect(),
            recordings: recordings.iter().map(recording).collect(),
            callbacks,
            messages: messages
                .iter()
                .map(|row| (text(&row["id"]), (text(&row["purpose"]), text(&row["state"]))))
                .collect(),
        })
    }
}

/// Calls that go on now.
pub async fn live_calls(desk: &mut Desk) -> Result<usize, SimulateError> {
    Ok(list(desk, "/calls?state=live", |_| true).await?.len())
}

/// The ids of all SMS since `begun_at`.
pub async fn message_ids(desk: &mut Desk, begun_at: i64) -> Result<BTreeSet<String>, SimulateError> {
    let rows = list(desk, "/messages", |row| since(row, "created_at", begun_at)).await?;
    Ok(rows.iter().map(|row| text(&row["id"])).collect())
}

/// The ids of the SMS in a state since `begun_at`.
pub async fn messages_in(desk: &mut Desk, state: &str, begun_at: i64) -> Result<BTreeSet<String>, SimulateError> {
    let rows = list(desk, &format!("/messages?state={state}"), |row| since(row, "created_at", begun_at)).await?;
    Ok(rows.iter().map(|row| text(&row["id"])).collect())
}
