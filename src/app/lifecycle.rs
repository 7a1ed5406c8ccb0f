//! What becomes of the switch's words: the spool, the present, the event stream, the recordings' rows.
//!
//! Called on the switch's thread: nothing here waits. What has to wait is a task on the other runtime.

use super::{
    App,
    calls::row_of,
    events::Audience,
    switch::{Input, Output},
    view::CallView,
};
use crate::{
    call::cdr::{CallRecord, StateName},
    ids::{CallId, TicketNo},
    media::engine as media,
    store::{AcceptedCall, FinishedCall, NewCallback, SpooledWaiter, StoreError},
    ticket::ContactKind,
};
use serde::Serialize;
use std::{sync::Arc, time::Duration};

/// How often the store is asked whether it has an ended call; until then it is shown from memory.
const STORED: Duration = Duration::from_millis(250);
/// The most ended calls that are shown from memory.
const ENDED_KEPT: usize = 20_000;

/// A word of a call for the event stream.
#[derive(Serialize)]
struct Told<'a> {
    call: String,
    #[serde(flatten)]
    said: &'a crate::call::message::Said,
}

impl App {
    /// Carries out what the switch says beside packets.
    pub(super) fn switch_said(self: &Arc<Self>, output: Output) {
        match output {
            Output::Spool(record) => self.accept(*record),
            Output::Changed { record, milestone } => self.changed(Arc::new(*record), milestone),
            Output::Dialog { call, leg, snapshot } => {
                if let Ok(value) = serde_json::to_value(&*snapshot) {
                    self.spool.dialog_put(leg, call, value);
                }
            }
            Output::Said { call, said } => {
                self.events.publish("call_event", Audience::Centre, &Told { call: call.to_string(), said: &said });
            }
            Output::Over(record) => self.over(Arc::new(*record)),
            Output::RecordingDone { call, event } => self.recording_done(call, &event),
            Output::AgentTransition(transition) => self.agent_transition(transition),
            Output::Registered { extension, registered } => {
                self.live.set_registered(extension, registered);
                metrics::counter!("hotline_registration_changes_total").increment(1);
            }
            // The shell has carried these out itself.
            Output::Transmit { .. } | Output::AgentChanged { .. } | Output::QueueChanged { .. } => {}
        }
    }

    /// A call is to be answered: its record goes to disk first.
    fn accept(self: &Arc<Self>, record: CallRecord) {
        let ticket = record.ticket.then(|| {
            // Numbers are drawn from a reserved block; a new block is fetched by this runtime.
            let _runtime = self.runtime.enter();
            self.store.ticket_promise(record.started_at)
        });
        let number = ticket.as_ref().map(|ticket| ticket.no.clone());
        let call = record.id;
        let accepted = AcceptedCall {
            call,
            sip_call_id: record.sip_call_id.clone(),
            direction: "inbound".to_owned(),
            from: Some(record.from.clone()).filter(|from| !from.is_empty()),
            dialled: Some(record.dialled.clone()),
            confidential: false,
            at: record.started_at,
            ticket,
        };
        self.live.set_ticket(Arc::new(record), number);
        metrics::counter!("hotline_calls_accepted_total").increment(1);
        // The same INVITE once more: the caller never had the answer of an earlier run.
        let unanswered = self.in_doubt().remove(&accepted.sip_call_id);
        let app = self.clone();
        self.runtime.spawn(async move {
            if let Some((old, _)) = unanswered {
                app.forget(old).await;
            }
            let result = app.spool.accept(accepted).await;
            if let Err(error) = &result {
                tracing::error!(%call, %error, "a call was refused: its record cannot be kept");
            }
            // Full: the call is refused by the caller's own timers.
            let _ = app.switch.try_input(Input::Spooled { call, durable: result.is_ok() });
        });
    }

    fn changed(&self, record: Arc<CallRecord>, milestone: bool) {
        self.live.set_call(record.clone());
        self.publish_call(&record);
        if !milestone || record.answered_at.is_none() {
            return;
        }
        if let Ok(value) = serde_json::to_value(&*record) {
            self.spool.update(record.id, value);
        }
        match (record.state, &record.queue, record.enqueued_at) {
            (StateName::Queued, Some(queue), Some(enqueued_at)) => {
                let number = Some(record.from.clone()).filter(|from| !from.is_empty());
                let waiter = SpooledWaiter { call: record.id, queue: queue.clone(), enqueued_at, number };
                self.spool.waiter_put(waiter);
            }
            (StateName::Talking, ..) => {
                self.spool.waiter_remove(record.id);
                self.recording_begun(record);
            }
            _ => {}
        }
    }

    fn publish_call(&self, record: &CallRecord) {
        let ticket_no = self.live.call(record.id).and_then(|call| call.ticket_no);
        self.events.publish("call", Audience::Centre, &CallView::new(record, ticket_no.as_ref()));
    }

    fn over(self: &Arc<Self>, record: Arc<CallRecord>) {
        self.live.set_call(record.clone());
        self.publish_call(&record);
        if let Some(ending) = record.ending {
            let whose = serde_json::to_value(ending.whose).ok().and_then(|v| v.as_str().map(str::to_owned));
            let what = serde_json::to_value(ending.what).ok().and_then(|v| v.as_str().map(str::to_owned));
            metrics::counter!("hotline_calls_ended_total", "whose" => whose.unwrap_or_default(), "what" => what.unwrap_or_default())
                .increment(1);
        }
        // Never answered: there was no 200, and no record is owed.
        if record.answered_at.is_none() {
            let app = self.clone();
            self.runtime.spawn(async move {
                app.forget(record.id).await;
            });
            return;
        }
        tell_times(&record);
        let Some(finished) = finished(&record) else { return };
        let app = self.clone();
        self.runtime.spawn(async move {
            if let Err(error) = app.spool.finish(record.id, finished).await {
                // The journal is gone: the record stays as it was last noted, and is closed at the next start.
                tracing::error!(call = %record.id, %error, "a call's ending was not kept");
            }
            app.wait_until_stored(record.id).await;
        });
    }

    /// A call that was never answered after all: what was written down for its 200 is taken back.
    async fn forget(&self, call: CallId) {
        if let Err(error) = self.spool.forget(call).await {
            tracing::warn!(%call, %error, "an unanswered call stays in the spool until the next start");
        }
        self.live.remove_call(call);
    }

    async fn wait_until_stored(&self, call: CallId) {
        if self.live.call_count() > ENDED_KEPT {
            self.live.remove_call(call);
            return;
        }
        loop {
            tokio::time::sleep(STORED).await;
            match self.store.call_get(call).await {
                Ok(row) if row.ended_at.is_some() => break,
                Ok(_) | Err(StoreError::NotFound(_) | StoreError::Unavailable(_)) => {}
                Err(_) => break,
            }
        }
        if let Ok(Some(case)) = self.store.ticket_of_call(call).await {
            self.publish_ticket(&case);
        }
        self.live.remove_call(call);
    }

    /// The row of a recording that has begun.
    fn recording_begun(&self, record: Arc<CallRecord>) {
        let ticket_no = self.live.call(record.id).and_then(|call| call.ticket_no);
        if let Some(row) = self.recording_row_of(&record, None) {
            self.keep_recording(crate::store::RecordingRow { ticket_no, ..row });
        }
    }

    /// The recording is sealed.
    fn recording_done(&self, call: CallId, event: &media::Event) {
        let media::Event::RecordingDone { gap, .. } = event else { return };
        if *gap {
            metrics::counter!("hotline_recording_gaps_total").increment(1);
            tracing::warn!(%call, "a recording has a gap");
        }
        let row = self.live.call(call).and_then(|live| {
            let ticket_no: Option<TicketNo> = live.ticket_no.clone();
            self.recording_row_of(&live.record, Some(event)).map(|row| crate::store::RecordingRow { ticket_no, ..row })
        });
        if let Some(row) = row {
            self.keep_recording(row);
        }
    }

    fn keep_recording(&self, row: crate::store::RecordingRow) {
        let store = self.store.clone();
        self.runtime.spawn(async move {
            // Tried until the database is back: the file is on disk in any case.
            while let Err(error) = store.recording_upsert(row.clone()).await {
                if !error.is_unavailable() {
                    tracing::error!(recording = %row.id, %error, "a recording's row was not kept");
                    return;
                }
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        });
    }
}

/// How long the caller waited for our 200 and for an agent, as figures that name nobody.
fn tell_times(record: &CallRecord) {
    if let Some(answered_at) = record.answered_at {
        metrics::histogram!("hotline_call_answer_seconds").record(answered_at.since(record.started_at).as_secs_f64());
    }
    if let (Some(enqueued_at), Some(served_at), Some(queue)) = (record.enqueued_at, record.served_at, &record.queue) {
        metrics::histogram!("hotline_queue_wait_seconds", "queue" => queue.to_string())
            .record(served_at.since(enqueued_at).as_secs_f64());
    }
}

/// What is kept of a call when it is over; None where its record cannot be written down.
pub(super) fn finished(record: &CallRecord) -> Option<FinishedCall> {
    let row = row_of(record).map_err(|error| tracing::error!(call = %record.id, %error, "a record is no JSON")).ok()?;
    let served = record.served_at.is_some();
    let number = Some(record.from.clone()).filter(|from| !from.is_empty());
    let callback = match (&record.queue, record.enqueued_at) {
        (Some(queue), Some(enqueued_at)) if !served => Some(NewCallback {
            call: record.id,
            number,
            queue: queue.clone(),
            enqueued_at,
            reason: "abandoned".to_owned(),
        }),
        _ => None,
    };
    let contact = (!served).then_some(ContactKind::Abandoned);
    Some(FinishedCall { row, contact, callback })
}
