//! The story of a call in the log: what happened to it, line by line, each with `call=…`, none with a number in the
//! clear. `journalctl -u hotline | grep call=…` reads it from the INVITE to the last SMS.

use super::log::STORY;
use crate::{
    call::{
        cdr::{CallRecord, StateName, Whose},
        message::Said,
    },
    ids::{CallId, MessageId, RecordingId, TicketNo},
    redact::{Number, Quoted},
    sip::endpoint::Flow,
};
use std::time::Duration;
use tracing::{debug, error, info, warn};

/// The INVITE of a new call passed the gate.
pub(super) fn came(
    call: CallId,
    profile: &str,
    flow: Flow,
    sip_call_id: &str,
    (from, dialled): (&str, &str),
    route: &str,
) {
    info!(
        target: STORY, %call, profile, source = %flow.remote, sip_call_id = %Quoted(sip_call_id), from = %Number(from),
        dialled = %Number(dialled), route, "a call came"
    );
}

/// An INVITE was refused at the gate: there is no call. A challenge is every telephone's first answer.
pub(super) fn refused(flow: Flow, sip_call_id: &str, status: u16) {
    let (source, sip_call_id) = (flow.remote, Quoted(sip_call_id));
    match status {
        401 => debug!(target: "hotline::gate", %source, %sip_call_id, status, "an INVITE was challenged"),
        _ => info!(target: "hotline::gate", %source, %sip_call_id, status, "an INVITE was refused"),
    }
}

/// Its record goes to disk; the 200 waits for that.
pub(super) fn accepted(call: CallId, ticket: Option<&TicketNo>) {
    let ticket = ticket.map(tracing::field::display);
    info!(target: STORY, %call, ticket, "the call is accepted");
}

/// It went from one state to the next.
pub(super) fn moved(record: &CallRecord, before: StateName) {
    let call = record.id;
    if before == StateName::Ivr && record.state != StateName::Ivr {
        info!(target: STORY, %call, to = ?record.state, "the flow ended");
    }
    debug!(target: STORY, %call, from = ?before, to = ?record.state, "the call's state");
}

/// What the call said. A key may be a secret that the citizen keyed in: only that there was one is told.
pub(super) fn said(call: CallId, said: &Said) {
    match said {
        Said::Answered => info!(target: STORY, %call, "answered: 200 was sent"),
        Said::Enqueued { queue } => info!(target: STORY, %call, %queue, "queued"),
        Said::AgentRinging { agent } => info!(target: STORY, %call, %agent, "offered to an agent"),
        Said::AgentAnswered { agent } => info!(target: STORY, %call, %agent, "the agent answered"),
        Said::AgentLost { agent } => warn!(target: STORY, %call, %agent, "the agent was lost"),
        Said::Held => info!(target: STORY, %call, "on hold"),
        Said::Unheld => info!(target: STORY, %call, "off hold"),
        Said::ThreeWayDialling { hotline } => info!(target: STORY, %call, %hotline, "three-way: dialling"),
        Said::ThreeWayRinging { hotline } => info!(target: STORY, %call, %hotline, "three-way: ringing"),
        Said::ThreeWayAnswered { hotline } => info!(target: STORY, %call, %hotline, "three-way: answered"),
        Said::ThreeWayJoined { hotline } => info!(target: STORY, %call, %hotline, "three-way: joined"),
        Said::ThreeWayFailed { hotline, reason } => {
            info!(target: STORY, %call, %hotline, reason = %Quoted(reason), "three-way: failed")
        }
        Said::LegLeft { leg } => info!(target: STORY, %call, %leg, "a leg left"),
        Said::Key { leg, .. } => debug!(target: STORY, %call, %leg, "a key"),
        // The record that follows says how.
        Said::Ended => debug!(target: STORY, %call, "ending"),
    }
}

/// It is over: whose doing it was, what happened, and the causes.
pub(super) fn over(record: &CallRecord) {
    let call = record.id;
    let lasted_ms = record.ended_at.map(|ended| (ended - record.started_at).max(0));
    match record.ending {
        Some(ending) => info!(
            target: STORY, %call, whose = ending.whose.name(), what = ending.what.name(), sip = ending.sip, q850 = ending.q850,
            lasted_ms, legs = record.legs.len(), "the call is over"
        ),
        None => error!(target: STORY, %call, lasted_ms, "the call is over without an ending"),
    }
}

/// Somebody has not been heard for a while, on a call on which another was.
pub(super) fn one_way(call: CallId, whose: Whose, length: Duration) {
    warn!(target: STORY, %call, whose = whose.name(), silent_ms = length.as_millis() as u64, "one-way: nothing is heard");
}

/// A recording began.
pub(super) fn recording(record: &CallRecord) {
    if let Some(recording) = record.recording {
        info!(target: STORY, call = %record.id, %recording, "recording");
    }
}

/// A recording is sealed and on the disk.
pub(super) fn recorded(call: CallId, recording: RecordingId, length_ms: i64, gap: bool, failed: bool) {
    match (gap, failed) {
        (false, false) => info!(target: STORY, %call, %recording, length_ms, "recorded"),
        (true, false) => warn!(target: STORY, %call, %recording, length_ms, "recorded with a gap"),
        (_, true) => {
            error!(target: STORY, %call, %recording, length_ms, gap, "recorded in part: the disk did not take all of it")
        }
    }
}

/// The database has its record and its ticket.
pub(super) fn stored(call: CallId, ticket: Option<&TicketNo>) {
    let ticket = ticket.map(tracing::field::display);
    info!(target: STORY, %call, ticket, "stored");
}

/// What became of an SMS.
pub(super) fn message(call: Option<CallId>, message: MessageId, ticket: Option<&TicketNo>, purpose: &str, state: &str) {
    let (call, ticket) = (call.map(tracing::field::display), ticket.map(tracing::field::display));
    info!(target: STORY, call, sms = %message, ticket, purpose = %Quoted(purpose), state, "SMS");
}
