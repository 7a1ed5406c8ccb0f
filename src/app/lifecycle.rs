//! What becomes of the switch's words: the spool, the present, the event stream, the recordings' rows.
//!
//! Called on the switch's thread: nothing here waits. What has to wait is a task on the other runtime.

use super::{
    App,
    calls::{row_of, scope_of},
    events::Audience,
    permissions::CallScope,
    recordings::recording_of,
    story,
    switch::{Input, Output},
    switch_task::Ask,
    view::CallView,
};
use crate::{
    call::{
        cdr::{CallRecord, StateName},
        message::Said,
    },
    ids::{CallId, RecordingId},
    media::engine as media,
    net::clock,
    store::{AcceptedCall, FinishedCall, NewCallback, SpooledWaiter},
    ticket::ContactKind,
};
use serde::Serialize;
use std::{sync::Arc, time::Duration};

/// The most ended calls that are shown from memory while the store does not have them.
const ENDED_KEPT: usize = 20_000;

/// That a call is no longer this user's to see.
#[derive(Serialize)]
struct Gone {
    id: String,
}

/// Between two tries while the database is away.
const AGAIN: Duration = Duration::from_secs(1);
/// How often a recording is looked for whose beginning has not been written down.
const MISSED: u32 = 60;

/// A word of a call for the event stream.
#[derive(Serialize)]
struct Told<'a> {
    call: String,
    #[serde(flatten)]
    said: &'a Said,
}

impl App {
    /// Carries out what the switch says beside packets.
    pub(super) fn switch_said(self: &Arc<Self>, output: Output) {
        match output {
            Output::Spool(record) => self.accept(*record),
            Output::Changed { record, milestone } => self.changed(Arc::new(*record), milestone),
            Output::Dialog { call, leg, snapshot } => {
                self.spool.dialog_put(leg, call, &*snapshot);
            }
            Output::Said { call, said } => self.tell(call, &said),
            Output::Over(record) => self.over(Arc::new(*record)),
            Output::RecordingDone { call, event } => self.recording_done(call, &event),
            Output::OneWay { call, whose, length } => {
                story::one_way(call, whose, length);
                metrics::counter!("hotline_rtp_one_way_total", "whose" => whose.name()).increment(1);
                self.reports.one_way(clock::now().mono);
            }
            Output::AgentTransition(transition) => self.agent_transition(transition),
            Output::Registered { extension, registered } => {
                self.live.set_registered(extension, registered);
                metrics::counter!("hotline_registration_changes_total").increment(1);
            }
            Output::Bindings { extension, bindings } => {
                let kept = serde_json::to_value(&bindings).ok().filter(|_| !bindings.is_empty());
                self.spool.bindings_put(extension.as_str(), kept);
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
        story::accepted(call, number.as_ref());
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
        if let Some((old, _)) = unanswered {
            self.forget(old);
        }
        let (app, kept) = (self.clone(), self.spool.accept(accepted));
        self.runtime.spawn(async move {
            let result = kept.await;
            if let Err(error) = &result {
                tracing::error!(%call, %error, "a call was refused: its record cannot be kept");
            }
            // Never dropped, however full the mailbox is: the caller waits for it. No switch: the program is ending.
            let _ = app.switch.ask(Ask::Input(Input::Spooled { call, durable: result.is_ok() })).await;
        });
    }

    fn changed(self: &Arc<Self>, record: Arc<CallRecord>, milestone: bool) {
        self.tell_others(&record);
        let before = self.live.call(record.id).map(|call| call.record.state);
        if let Some(before) = before.filter(|before| *before != record.state) {
            story::moved(&record, before);
        }
        self.live.set_call(record.clone());
        self.publish_call(&record);
        if !milestone {
            return;
        }
        if record.answered_at.is_none() {
            // Who waits with early media has no accepted call: its place must survive us all the same.
            if record.early_media && record.state == StateName::Queued {
                self.keep_waiter(&record);
            }
            return;
        }
        self.spool.update(record.id, &*record);
        match record.state {
            StateName::Queued => self.keep_waiter(&record),
            StateName::Talking => {
                self.spool.waiter_remove(record.id);
                if before == Some(StateName::Ringing) {
                    story::recording(&record);
                }
                self.recording_begun(record);
            }
            _ => {}
        }
    }

    fn keep_waiter(&self, record: &CallRecord) {
        let (Some(queue), Some(enqueued_at)) = (record.queue.clone(), record.enqueued_at) else { return };
        let number = Some(record.from.clone()).filter(|from| !from.is_empty());
        let unanswered = record.answered_at.is_none().then(|| serde_json::to_value(record).ok()).flatten();
        self.spool.waiter_put(SpooledWaiter { call: record.id, queue, enqueued_at, number, record: unanswered });
    }

    /// A word of a call for those who may see it. Which key was pressed may be a secret that the citizen keyed in.
    fn tell(&self, call: CallId, said: &Said) {
        story::said(call, said);
        if matches!(said, Said::Key { .. }) {
            return;
        }
        if let Some(live) = self.live.call(call) {
            self.events.publish("call_event", Audience::Call(scope_of(&live)), &Told { call: call.to_string(), said });
        }
    }

    pub(super) fn publish_call(&self, record: &CallRecord) {
        let live = self.live.call(record.id);
        let (ticket_no, confidential) = live.map_or((None, false), |call| (call.ticket_no, call.confidential));
        let view = |shown| CallView { keys: String::new(), ..CallView::new(record, ticket_no.as_ref(), shown) };
        let audience = Audience::Call(CallScope::new(record, confidential));
        self.events.publish_hiding("call", audience, &view(true), &view(false));
    }

    /// A call that all agents saw waiting was given to one of them: the others see it no more.
    fn tell_others(&self, record: &CallRecord) {
        let seen_by_all = self.live.call(record.id).is_some_and(|before| before.record.agent.is_none());
        if seen_by_all && record.agent.is_some() {
            let others = Audience::Others(CallScope::new(record, false));
            self.events.publish("call_gone", others, &Gone { id: record.id.to_string() });
        }
    }

    fn over(self: &Arc<Self>, record: Arc<CallRecord>) {
        story::over(&record);
        self.tell_others(&record);
        self.live.set_call(record.clone());
        self.publish_call(&record);
        if let Some(ending) = record.ending {
            let labels = [("whose", ending.whose.name()), ("what", ending.what.name())];
            metrics::counter!("hotline_calls_ended_total", &labels).increment(1);
        }
        // Never answered, nor in a queue: there was no 200, and no record is owed.
        if !is_kept(&record) {
            return self.forget(record.id);
        }
        tell_times(&record);
        let Some(finished) = finished(&record) else { return };
        let call = record.id;
        let unanswered = record.answered_at.is_none().then(|| self.spool.keep(without_ticket(&record)));
        let (app, kept) = (self.clone(), self.spool.finish(call, finished));
        self.runtime.spawn(async move {
            if let Some(accepted) = unanswered
                && let Err(error) = accepted.await
            {
                tracing::error!(%call, %error, "an unanswered call was not kept");
            }
            if let Err(error) = kept.await {
                // The journal is gone: the record stays as it was last noted, and is closed at the next start.
                tracing::error!(%call, %error, "a call's ending was not kept");
                app.live.remove_call(call);
            }
        });
        if self.live.call_count() > ENDED_KEPT {
            self.live.remove_call(call);
        }
    }

    /// A call that was never answered after all: what was written down for its 200 is taken back.
    fn forget(&self, call: CallId) {
        self.live.remove_call(call);
        let forgotten = self.spool.forget(call);
        self.runtime.spawn(async move {
            if let Err(error) = forgotten.await {
                tracing::warn!(%call, %error, "an unanswered call stays in the spool until the next start");
            }
        });
    }

    /// The store has these ended calls: from here on they are shown from there.
    pub(super) fn calls_stored(self: &Arc<Self>, calls: Vec<CallId>) {
        let app = self.clone();
        self.runtime.spawn(async move {
            for call in calls {
                let case = app.store.ticket_of_call(call).await.ok().flatten();
                story::stored(call, case.as_ref().map(|case| &case.ticket.no));
                if let Some(case) = case {
                    app.publish_ticket(&case);
                }
                if let Ok(Some(owed)) = app.store.callback_of_call(call).await {
                    app.callback_changed(&owed);
                }
                app.live.remove_call(call);
            }
        });
    }

    /// The row of a recording that has begun.
    fn recording_begun(self: &Arc<Self>, record: Arc<CallRecord>) {
        let ticket_no = self.live.call(record.id).and_then(|call| call.ticket_no);
        if let Some(row) = recording_of(&record) {
            self.keep_recording(crate::store::RecordingRow { ticket_no, ..row });
        }
    }

    /// The recording is sealed.
    fn recording_done(self: &Arc<Self>, call: CallId, event: &media::Event) {
        let media::Event::RecordingDone { recording, length, gap, failed } = event else { return };
        if *failed {
            metrics::counter!("hotline_recordings_shortened_total").increment(1);
        }
        if *gap {
            metrics::counter!("hotline_recording_gaps_total").increment(1);
        }
        if *gap || *failed {
            self.reports.recording_gap(clock::now().mono);
        }
        let (app, id) = (self.clone(), *recording);
        let (length, gap, failed) = (length.as_millis() as i64, *gap, *failed);
        story::recorded(call, id, length, gap, failed);
        self.runtime.spawn(async move { app.recording_end(call, id, length, gap, failed).await });
    }

    /// Closes a recording's row, again and again until the database is back. Where it is not there yet, the word of its
    /// beginning is under way.
    async fn recording_end(&self, call: CallId, id: RecordingId, length_ms: i64, gap: bool, failed: bool) {
        let mut missed = 0;
        while let Err(error) = self.store.recording_end(id, length_ms, gap, failed).await {
            missed += u32::from(!error.is_unavailable());
            if missed > MISSED {
                tracing::error!(%call, recording = %id, %error, "a recording's end was not kept");
                return;
            }
            tokio::time::sleep(AGAIN).await;
        }
    }

    /// Writes a recording's row, again and again until the database is back. Where the program ends before, the row
    /// comes with the call's, by the spool.
    fn keep_recording(self: &Arc<Self>, row: crate::store::RecordingRow) {
        let app = self.clone();
        self.runtime.spawn(async move {
            while let Err(error) = app.store.recording_upsert(row.clone()).await {
                if !error.is_unavailable() {
                    tracing::error!(call = %row.call, recording = %row.id, %error, "a recording's row was not kept");
                    return;
                }
                tokio::time::sleep(AGAIN).await;
            }
        });
    }
}

/// Whether a call that is over leaves a record: it was answered, or heard us and may be owed a call.
pub fn is_kept(record: &CallRecord) -> bool {
    record.answered_at.is_some() || record.early_media
}

/// A call that was never answered: it has a record and no ticket.
pub(super) fn without_ticket(record: &CallRecord) -> AcceptedCall {
    AcceptedCall {
        call: record.id,
        sip_call_id: record.sip_call_id.clone(),
        direction: "inbound".to_owned(),
        from: Some(record.from.clone()).filter(|from| !from.is_empty()),
        dialled: Some(record.dialled.clone()),
        confidential: false,
        at: record.started_at,
        ticket: None,
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
pub fn finished(record: &CallRecord) -> Option<FinishedCall> {
    let row = row_of(record).map_err(|error| tracing::error!(call = %record.id, %error, "a record is no JSON")).ok()?;
    let served = record.served_at.is_some();
    let number = Some(record.from.clone()).filter(|from| !from.is_empty());
    let callback = match (&record.queue, record.enqueued_at) {
        (Some(queue), Some(enqueued_at)) if record.waits => Some(NewCallback {
            call: record.id,
            number,
            queue: queue.clone(),
            enqueued_at,
            reason: if record.overflow.is_some() { "overflow" } else { "abandoned" }.to_owned(),
        }),
        _ => None,
    };
    let contact = (!served).then_some(ContactKind::Abandoned);
    Some(FinishedCall { row, contact, callback, recording: recording_of(record) })
}
