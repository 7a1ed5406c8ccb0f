//! What the API and the event stream show: the same shapes in both. Times are RFC 3339 with the centre's offset;
//! telephone numbers are masked, and revealing one is a use case of its own that leaves an audit row.

use crate::{
    acd::{
        agent::StateName as AgentStateName,
        message::Status,
        snapshot::{AgentSnapshot, QueueSnapshot, WaiterSnapshot},
    },
    call::cdr::{CallRecord, Ending, LegRecord, Role, StateName, ThreeWayRecord},
    clock::UnixMillis,
    ids::TicketNo,
    redact::masked,
    store::MessageRow,
};
use jiff::{Timestamp, tz::TimeZone};
use serde::Serialize;
use std::sync::OnceLock;
use utoipa::ToSchema;

/// The purpose of an SMS that somebody wrote by hand.
pub const MANUAL: &str = "manual";

static ZONE: OnceLock<TimeZone> = OnceLock::new();

/// Sets the centre's time zone, once, at start-up.
pub fn set_time_zone(zone: TimeZone) {
    // A second setting in one process is a test's: the first stays.
    let _ = ZONE.set(zone);
}

/// The centre's time zone.
pub fn time_zone() -> TimeZone {
    ZONE.get_or_init(|| TimeZone::fixed(jiff::tz::offset(8))).clone()
}

/// A moment as RFC 3339 with offset, to the millisecond.
#[derive(Clone, Copy, Debug)]
pub struct When(pub UnixMillis);

impl Serialize for When {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&rfc3339(self.0))
    }
}

impl utoipa::PartialSchema for When {
    fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::schema::Schema> {
        <String as utoipa::PartialSchema>::schema()
    }
}

impl ToSchema for When {}

/// A moment for a file's name.
pub fn file_name(at: UnixMillis) -> String {
    let timestamp = Timestamp::from_millisecond(at.0).unwrap_or(Timestamp::UNIX_EPOCH);
    timestamp.to_zoned(time_zone()).strftime("%Y%m%d-%H%M%S").to_string()
}

/// A moment as RFC 3339 with the centre's offset.
pub fn rfc3339(at: UnixMillis) -> String {
    let timestamp = Timestamp::from_millisecond(at.0).unwrap_or(Timestamp::UNIX_EPOCH);
    timestamp.to_zoned(time_zone()).strftime("%Y-%m-%dT%H:%M:%S%.3f%:z").to_string()
}

/// A message's text with its query code struck out: the code lets whoever has it ask about the ticket, and is the
/// citizen's alone.
pub fn without_code(text: &str) -> String {
    const WORD: &str = "查询码";
    let mut parts = text.split(WORD);
    let mut shown = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let digits = part.chars().take_while(char::is_ascii_digit).count();
        shown.push_str(WORD);
        shown.push_str(&"*".repeat(digits));
        shown.push_str(&part[digits..]);
    }
    shown
}

/// A leg as it is shown.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct LegView {
    /// The leg's number, as decimal text.
    pub id: String,
    /// `citizen`, `agent`, `department`, `other`.
    pub role: &'static str,
    /// 工号, where the role is `agent`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub agent: Option<String>,
    /// The hotline's number, where the role is `department`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hotline: Option<String>,
    /// The department's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// `dialling`, `ringing`, `answered`, `over`.
    #[schema(value_type = String)]
    pub state: crate::call::cdr::LegStateName,
    /// When it called, or began to be rung.
    pub started_at: When,
    /// When it was answered; null where it was not.
    pub answered_at: Option<When>,
    /// When it ended; null while it lasts.
    pub ended_at: Option<When>,
    /// Whose doing its end was (`whose`), what happened (`what`), the SIP status and the Q.850 cause; null while it
    /// lasts.
    #[schema(value_type = Option<Object>)]
    pub ending: Option<Ending>,
}

impl From<&LegRecord> for LegView {
    fn from(leg: &LegRecord) -> Self {
        let (role, agent, hotline, name) = match &leg.role {
            Role::Citizen => ("citizen", None, None, None),
            Role::Agent { agent } => ("agent", Some(agent.to_string()), None, None),
            Role::Department { hotline, name } => ("department", None, Some(hotline.to_string()), Some(name.clone())),
            Role::Other => ("other", None, None, None),
        };
        LegView {
            id: leg.id.to_string(),
            role,
            agent,
            hotline,
            name,
            state: leg.state,
            started_at: When(leg.started_at),
            answered_at: leg.answered_at.map(When),
            ended_at: leg.ended_at.map(When),
            ending: leg.ending,
        }
    }
}

/// An attempt at a three-way call as it is shown.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct ThreeWayView {
    /// The hotline's number.
    pub hotline: String,
    /// When it was asked for.
    pub at: When,
    /// `dialling`, `ringing`, `answered`, `joined`, `busy`, `no_answer`, `rejected`, `failed`, `closed`, `unknown`,
    /// `merged`, `separate`, `cancelled` or `not_joined`.
    pub outcome: String,
    /// When the citizen and a person of the department heard each other; null where they did not.
    pub joined_at: Option<When>,
}

impl From<&ThreeWayRecord> for ThreeWayView {
    fn from(record: &ThreeWayRecord) -> Self {
        ThreeWayView {
            hotline: record.hotline.to_string(),
            at: When(record.at),
            outcome: record.outcome.clone(),
            joined_at: record.joined_at.map(When),
        }
    }
}

/// A call's recording, by reference.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct RecordingRef {
    /// The recording's number, as decimal text.
    pub id: String,
    /// Where it is had as WAV.
    pub audio: String,
}

/// A call as it is shown.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct CallView {
    /// The call's number, as decimal text.
    pub id: String,
    /// Call-ID of the caller's dialog, to find it in traces.
    pub sip_call_id: String,
    /// Masked; empty where the citizen is confidential.
    pub from: String,
    /// The number as dialled: 12345 or an alias.
    pub dialled: String,
    /// `accepting`, `ivr`, `queued`, `ringing`, `talking`, `held`, `consulting`, `three_way`, `handed_over`, `ended`.
    #[schema(value_type = String)]
    pub state: StateName,
    /// When the INVITE came.
    pub started_at: When,
    /// When 200 was sent, from which charging begins; null where it was not.
    pub answered_at: Option<When>,
    /// The last queue that the caller was in.
    pub queue: Option<String>,
    /// When the caller first joined a queue; never changes after that.
    pub enqueued_at: Option<When>,
    /// When an agent first answered.
    pub served_at: Option<When>,
    /// From the first place in a queue to the agent's answer, or to the end; in milliseconds.
    pub queue_wait_ms: Option<i64>,
    /// 工号 of the agent who answered last.
    pub agent: Option<String>,
    /// When the last leg was over; null while it lasts.
    pub ended_at: Option<When>,
    /// Whose doing its end was (`whose`), what happened (`what`), the SIP status and the Q.850 cause; null while it
    /// lasts.
    #[schema(value_type = Option<Object>)]
    pub ending: Option<Ending>,
    /// What was recorded of it.
    pub recording: Option<RecordingRef>,
    /// The call's primary ticket; null before it is answered.
    pub ticket_no: Option<String>,
    /// All parties, those that left included, in the order in which they came; the caller is the first.
    pub legs: Vec<LegView>,
    /// One for each department that was asked for.
    pub three_way: Vec<ThreeWayView>,
    /// What the citizen pressed in the flow; never in an event.
    pub keys: String,
    /// What the citizen chose in the flow: `purpose` (such as `progress`), `language` (such as `en`), and what else the
    /// flow sets.
    pub variables: std::collections::BTreeMap<String, String>,
    /// Why the last queue gave the caller up: `max_wait`, `full`, `empty`, `no_such_queue`.
    pub overflow: Option<String>,
}

impl CallView {
    /// A call and the number of its ticket; `shown`: its citizen may be known to whom it is shown.
    pub fn new(record: &CallRecord, ticket_no: Option<&TicketNo>, shown: bool) -> Self {
        let waited_until = record.served_at.or(record.ended_at);
        CallView {
            id: record.id.to_string(),
            sip_call_id: record.sip_call_id.clone(),
            from: if shown { masked(&record.from) } else { String::new() },
            dialled: record.dialled.clone(),
            state: record.state,
            started_at: When(record.started_at),
            answered_at: record.answered_at.map(When),
            queue: record.queue.as_ref().map(ToString::to_string),
            enqueued_at: record.enqueued_at.map(When),
            served_at: record.served_at.map(When),
            queue_wait_ms: record.enqueued_at.zip(waited_until).map(|(from, to)| (to - from).max(0)),
            agent: record.agent.as_ref().map(ToString::to_string),
            ended_at: record.ended_at.map(When),
            ending: record.ending,
            recording: record
                .recording
                .filter(|_| shown)
                .map(|id| RecordingRef { id: id.to_string(), audio: format!("/api/v1/recordings/{id}/audio") }),
            ticket_no: ticket_no.map(ToString::to_string),
            legs: record.legs.iter().map(LegView::from).collect(),
            three_way: record.three_way.iter().map(ThreeWayView::from).collect(),
            keys: if shown { record.keys.clone() } else { String::new() },
            variables: record.variables.clone(),
            overflow: record.overflow.clone(),
        }
    }
}

/// An agent as it is shown.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct AgentView {
    /// 工号.
    pub agent: String,
    /// The telephone at which it is signed in; null when logged out.
    pub extension: Option<String>,
    /// What the agent wants: `logged_out`, `ready`, `not_ready`.
    pub status: &'static str,
    /// Why not ready.
    pub reason: Option<String>,
    /// Takes effect after the call.
    pub pending_status: Option<&'static str>,
    /// What the agent does: `idle`, `reserved`, `ringing`, `talking`, `holding`, `consulting`, `conferencing`,
    /// `wrap_up`.
    pub state: String,
    /// Since when in this state (or, idle, in this status).
    pub since: When,
    /// The call that it is offered, on, or wrapping up.
    pub call: Option<String>,
    /// The queue that this call came from; null for a call of its own.
    pub queue: Option<String>,
    /// When the wrap-up ends by itself; null outside wrap-up.
    pub wrap_up_until: Option<When>,
    /// Whether the telephone is registered.
    pub registered: bool,
    /// Calls from queues that it answered since local midnight.
    pub calls_today: u64,
    /// Time on calls since local midnight, in milliseconds, wrap-up left out.
    pub talk_today_ms: u64,
}

fn status_name(status: &Status) -> &'static str {
    match status {
        Status::LoggedOut => "logged_out",
        Status::Ready => "ready",
        Status::NotReady { .. } => "not_ready",
    }
}

impl AgentView {
    /// An agent, and whether its telephone is registered.
    pub fn new(agent: &AgentSnapshot, registered: bool) -> Self {
        let idle = agent.state == AgentStateName::Idle;
        AgentView {
            agent: agent.agent.to_string(),
            extension: agent.extension.as_ref().map(ToString::to_string),
            status: status_name(&agent.status),
            reason: match &agent.status {
                Status::NotReady { reason } => Some(reason.clone()),
                Status::Ready | Status::LoggedOut => None,
            },
            pending_status: agent.pending_status.as_ref().map(status_name),
            state: agent.state.name().to_owned(),
            since: When(if idle { agent.since.max(agent.status_since) } else { agent.since }),
            call: agent.call.map(|call| call.to_string()),
            queue: agent.queue.as_ref().map(ToString::to_string),
            wrap_up_until: agent.wrap_up_until.map(When),
            registered,
            calls_today: agent.calls_today,
            talk_today_ms: agent.talk_today_ms,
        }
    }
}

/// One who waits.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct WaiterView {
    /// The call's number, as decimal text.
    pub call: String,
    /// From 1.
    pub position: usize,
    /// When the caller first joined a queue; an earlier call's moment where its place was kept.
    pub enqueued_at: When,
    /// How long this call has waited, in milliseconds.
    pub waited_ms: u64,
}

/// A queue as it is shown, with the figures of the local day.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct QueueView {
    /// Its name in the settings.
    pub queue: String,
    /// The settings name it no more: who waits is served, and nobody else comes in.
    pub closing: bool,
    /// The first of those who wait, in order.
    pub waiting: Vec<WaiterView>,
    /// Callers for whom no telephone rings.
    pub waiting_count: usize,
    /// Callers for whom a telephone rings.
    pub ringing_count: usize,
    /// Of those who wait now, in milliseconds.
    pub longest_wait_ms: u64,
    /// What one who joined now would have to wait, in milliseconds; null where there is nothing to judge by.
    pub estimate_ms: Option<u64>,
    /// Agents who serve it and are signed in, ready or not.
    pub agents_signed_in: usize,
    /// Of these, who are ready and reachable, busy or not.
    pub agents_serving: usize,
    /// Of these, who may be offered a call now.
    pub agents_available: usize,
    /// Callers who came, refused ones included.
    pub offered: u64,
    /// Callers whom an agent answered.
    pub answered: u64,
    /// Answered within the service level.
    pub answered_within_sl: u64,
    /// Callers who left while they waited.
    pub abandoned: u64,
    /// Callers who were sent on: full, empty, or waited too long.
    pub overflowed: u64,
}

impl From<&QueueSnapshot> for QueueView {
    fn from(queue: &QueueSnapshot) -> Self {
        let waiter = |waiter: &WaiterSnapshot| WaiterView {
            call: waiter.call.to_string(),
            position: waiter.position,
            enqueued_at: When(waiter.enqueued_at),
            waited_ms: waiter.waited_ms,
        };
        QueueView {
            queue: queue.queue.to_string(),
            closing: queue.closing,
            waiting: queue.waiting.iter().map(waiter).collect(),
            waiting_count: queue.waiting_count,
            ringing_count: queue.ringing_count,
            longest_wait_ms: queue.longest_wait_ms,
            estimate_ms: queue.estimate_ms,
            agents_signed_in: queue.agents_signed_in,
            agents_serving: queue.agents_serving,
            agents_available: queue.agents_available,
            offered: queue.today.offered,
            answered: queue.today.answered,
            answered_within_sl: queue.today.answered_within_sl,
            abandoned: queue.today.abandoned,
            overflowed: queue.today.overflowed,
        }
    }
}

/// A message as it is shown.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct MessageView {
    /// The message's number, as decimal text.
    pub id: String,
    /// The ticket that it is about; null for one of none.
    pub ticket_no: Option<String>,
    /// `acceptance`, `progress`, `result`, `satisfaction`, `manual`.
    pub purpose: String,
    /// Masked; empty where the citizen is confidential.
    pub to: String,
    /// Without the ticket's query code; empty where it was written by hand to a confidential citizen.
    pub text: String,
    /// `pending`, `submitted`, `delivered`, `failed`, `uncertain`.
    pub state: &'static str,
    /// Tries that reached the gateway.
    pub attempts: u32,
    /// How many short messages it takes.
    pub parts: usize,
    /// When it was written, or last taken up again as a dead letter.
    pub created_at: When,
    /// When the SMS centre had taken all of it; null before.
    pub submitted_at: Option<When>,
    /// Since when in this state.
    pub since: When,
    /// Why it failed, or the last thing that the SMS centre said against it.
    pub error: Option<String>,
}

impl MessageView {
    /// A message; `shown`: its citizen may be known to whom it is shown.
    pub fn new(row: &MessageRow, shown: bool) -> Self {
        let delivery = &row.delivery;
        // What is written by rule names nobody.
        let text_shown = shown || row.purpose != MANUAL;
        MessageView {
            id: row.id.to_string(),
            ticket_no: row.ticket_no.as_ref().map(ToString::to_string),
            purpose: row.purpose.clone(),
            to: if shown { masked(&row.number) } else { String::new() },
            text: if text_shown { without_code(&row.text) } else { String::new() },
            state: delivery.state.as_str(),
            attempts: delivery.attempts,
            parts: delivery.parts.len(),
            created_at: When(delivery.created_at),
            submitted_at: delivery.submitted_at.map(When),
            since: When(delivery.since),
            error: delivery.error(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_carry_the_centres_offset() {
        assert_eq!(rfc3339(UnixMillis(1_795_305_600_123)), "2026-11-22T08:00:00.123+08:00");
    }

    #[test]
    fn a_query_code_is_not_shown() {
        let text = "工单号261125000000022，查询码263863。请勿将查询码告知他人，凭查询码";
        assert_eq!(without_code(text), "工单号261125000000022，查询码******。请勿将查询码告知他人，凭查询码");
        assert_eq!(without_code("您的来电已登记。"), "您的来电已登记。");
    }
}
