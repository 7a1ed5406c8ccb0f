//! After a crash: what the spool held is brought to its end. Old dialogs are ended by BYE, waiting callers become
//! callbacks owed with their rank, records are closed with a cause, recordings are marked as shortened.
//!
//! Nothing of it is written before the switch runs: where a start fails (a port in use), the next one finds all of it
//! again. New calls do not wait for it.

use super::{
    App,
    lifecycle::{finished, without_ticket},
    switch_task::Ask,
};
use crate::{
    call::cdr::{CallRecord, Ending, LegStateName, StateName, What, Whose},
    clock::UnixMillis,
    ids::{CallId, RecordingId},
    sip::dialog::DialogSnapshot,
    store::{
        AcceptedCall, Confidence, FinishedCall, NewCallback, Page, RecordingFilter, RecordingRow, Recovered,
        RecoveredCall, SpooledWaiter, StoreError,
    },
};
use std::{
    collections::HashMap,
    sync::{Arc, MutexGuard, PoisonError},
    time::Duration,
};

/// How long an unanswered caller may take to send its INVITE again: timer A has doubled to 8 s by then.
const DOUBT: Duration = Duration::from_secs(10);
/// Between two tries while the database is away.
const AGAIN: Duration = Duration::from_secs(1);

/// What an earlier run left open.
#[derive(Default)]
pub(super) struct OldCalls {
    dialogs: Vec<DialogSnapshot>,
    calls: Vec<(CallId, FinishedCall)>,
    /// Callers who waited without having been answered.
    waiters: Vec<(CallRecord, FinishedCall)>,
}

impl App {
    /// Decides what becomes of what an earlier run left open. Calls in doubt are known from here on.
    pub(super) fn recover(&self, recovered: Recovered) -> OldCalls {
        let Recovered { calls, dialogs, waiters } = recovered;
        if calls.is_empty() && dialogs.is_empty() && waiters.is_empty() {
            return OldCalls::default();
        }
        let now = self.wall();
        tracing::warn!(
            calls = calls.len(),
            dialogs = dialogs.len(),
            waiters = waiters.len(),
            "an earlier run ended unexpectedly; its calls are closed"
        );
        let mut waiting: HashMap<CallId, SpooledWaiter> =
            waiters.into_iter().map(|waiter| (waiter.call, waiter)).collect();
        let mut old = OldCalls {
            dialogs: dialogs.into_iter().filter_map(|(_, _, value)| serde_json::from_value(value).ok()).collect(),
            ..OldCalls::default()
        };
        for call in calls {
            let unsure = call.progress.is_none();
            let waiter = waiting.remove(&call.accepted.call);
            let Some((record, finished)) = closed(call, waiter, now) else { continue };
            if unsure {
                self.in_doubt().insert(record.sip_call_id.clone(), (record.id, finished));
            } else {
                old.calls.push((record.id, finished));
            }
        }
        // Those who waited with early media had no accepted call.
        let alone = waiting.into_values().filter_map(|waiter| serde_json::from_value(waiter.record?).ok());
        old.waiters = alone.filter_map(|record| unanswered(record, now)).collect();
        old
    }

    /// Calls whose record was durable when the program died, and whose 200 may or may not have been sent. A caller who
    /// had no answer sends its INVITE again (RFC 3261 section 17.1.1.2), and is then answered with a record of its own.
    pub(super) fn in_doubt(&self) -> MutexGuard<'_, HashMap<String, (CallId, FinishedCall)>> {
        self.in_doubt.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until callers had the time to send their INVITE again; those who did not had been answered.
    pub(super) async fn settle_doubts(&self) {
        tokio::time::sleep(DOUBT).await;
        let left: Vec<(CallId, FinishedCall)> = self.in_doubt().drain().map(|(_, call)| call).collect();
        for (call, finished) in left {
            if let Err(error) = self.spool.finish(call, finished).await {
                tracing::error!(%call, %error, "a call of an earlier run stays open");
            }
        }
    }

    /// Ends the dialogs of an earlier run, closes its calls, then its agents' shifts and its recordings: those that
    /// were numbered before `first`.
    pub(super) async fn close_old_calls(self: Arc<Self>, old: OldCalls, first: u64) {
        let OldCalls { dialogs, calls, waiters } = old;
        if !dialogs.is_empty() && self.switch.ask(Ask::EndDialogs(dialogs)).await.is_err() {
            tracing::error!("dialogs of an earlier run were not ended");
        }
        for (record, finished) in waiters {
            let kept = (self.spool.keep(without_ticket(&record)), self.spool.finish(record.id, finished));
            if let Err(error) = kept.0.await.and(kept.1.await) {
                tracing::error!(call = %record.id, %error, "a waiting caller of an earlier run is not called back");
            }
        }
        let closing: Vec<_> = calls.into_iter().map(|(call, ended)| (call, self.spool.finish(call, ended))).collect();
        for (call, kept) in closing {
            if let Err(error) = kept.await {
                tracing::error!(%call, %error, "a call of an earlier run stays open");
            }
        }
        while let Err(error) = self.close_old_shifts().await {
            tracing::warn!(%error, "the agents' shifts of an earlier run are not ended yet");
            tokio::time::sleep(AGAIN).await;
        }
        loop {
            // A call that the store does not have yet will bring its recording's row.
            let owed = self.spool.owes_before(CallId(first)).await;
            match self.close_old_recordings(first).await {
                Err(error) => tracing::warn!(%error, "recordings of an earlier run are not marked yet"),
                Ok(()) if owed.is_ok_and(|owed| owed) => {}
                Ok(()) => return,
            }
            tokio::time::sleep(AGAIN).await;
        }
    }

    /// A recording that no run is writing any more plays up to its last whole second; its row says that it is shortened.
    async fn close_old_recordings(&self, first: u64) -> Result<(), StoreError> {
        let mut page = Page { limit: 500, cursor: None };
        let open = RecordingFilter { state: Some("recording".to_owned()), agent: None, confidence: Confidence::All };
        loop {
            let found = self.store.recording_list(&open, &page).await?;
            for row in found.items {
                if is_older(row.id, first) {
                    let row = self.shortened(row).await;
                    self.store.recording_upsert(row).await?;
                }
            }
            match found.next_cursor {
                Some(cursor) => page.cursor = Some(cursor),
                None => return Ok(()),
            }
        }
    }

    async fn shortened(&self, mut row: RecordingRow) -> RecordingRow {
        let (path, key) = (self.in_force().settings.recording.dir.join(&row.path), self.recording_key.clone());
        let found = tokio::task::spawn_blocking(move || {
            crate::net::recording::export_wav(&path, &key, std::io::Cursor::new(Vec::new()))
        });
        match found.await {
            Ok(Ok(found)) => {
                row.state = if found.shortened { "shortened" } else { "complete" }.to_owned();
                row.shortened = found.shortened;
                row.gaps = i64::from(found.gap);
                row.duration_ms = found.length.as_millis() as i64;
                row.ended_at = Some(row.started_at.plus(found.length));
            }
            _ => {
                tracing::error!(recording = %row.id, "a recording of an earlier run cannot be read");
                row.state = "missing".to_owned();
                row.shortened = true;
            }
        }
        row
    }
}

/// Whether this node gave the id before it gave `first`.
fn is_older(recording: RecordingId, first: u64) -> bool {
    const NODE: u32 = 53;
    recording.0 >> NODE == first >> NODE && recording.0 < first
}

/// The record and the ending of a call that a crash ended; None where the record cannot be written down.
fn closed(call: RecoveredCall, waiter: Option<SpooledWaiter>, now: UnixMillis) -> Option<(CallRecord, FinishedCall)> {
    let progress = call.progress.and_then(|value| serde_json::from_value(value).ok());
    let mut record: CallRecord = progress.unwrap_or_else(|| bare(&call.accepted));
    if record.ended_at.is_some() {
        // It was over, and only that was not written down any more.
        let finished = finished(&record)?;
        return Some((record, finished));
    }
    close(&mut record, now);
    let mut finished = finished(&record)?;
    // One who was waiting is owed a call back, even when an agent had been lost before.
    let waited = waiter.map(|SpooledWaiter { call, queue, enqueued_at, number, .. }| NewCallback {
        call,
        number,
        queue,
        enqueued_at,
        reason: String::new(),
    });
    finished.callback = finished.callback.or(waited).map(|owed| NewCallback { reason: "restart".to_owned(), ..owed });
    Some((record, finished))
}

/// A caller who waited without having been answered: a record, and a call back.
fn unanswered(mut record: CallRecord, now: UnixMillis) -> Option<(CallRecord, FinishedCall)> {
    close(&mut record, now);
    let mut finished = finished(&record)?;
    if let Some(callback) = finished.callback.as_mut() {
        callback.reason = "restart".to_owned();
    }
    Some((record, finished))
}

/// What is known of a call of which no progress was noted.
fn bare(accepted: &AcceptedCall) -> CallRecord {
    CallRecord {
        from: accepted.from.clone().unwrap_or_default(),
        dialled: accepted.dialled.clone().unwrap_or_default(),
        state: StateName::Ended,
        answered_at: Some(accepted.at),
        ticket: accepted.ticket.is_some(),
        ..CallRecord::begun(accepted.call, accepted.sip_call_id.clone(), accepted.at)
    }
}

/// Closes the record of a call that an earlier run left open. Our own fault: every leg that was open was lost.
pub fn close(record: &mut CallRecord, now: UnixMillis) {
    let ending = Ending { whose: Whose::Us, what: What::Lost, sip: 0, q850: 41 };
    record.state = StateName::Ended;
    record.ending.get_or_insert(ending);
    record.ended_at.get_or_insert(now);
    for leg in record.legs.iter_mut().filter(|leg| leg.state != LegStateName::Over) {
        leg.state = LegStateName::Over;
        leg.ending.get_or_insert(ending);
        leg.ended_at.get_or_insert(now);
    }
    for attempt in record.three_way.iter_mut().filter(|attempt| attempt.is_open()) {
        attempt.outcome = "failed".to_owned();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        call::cdr::{LegRecord, Role, ThreeWayRecord},
        ids::{LegId, QueueName},
    };

    fn accepted() -> AcceptedCall {
        AcceptedCall {
            call: CallId(7),
            sip_call_id: "7@test".into(),
            direction: "inbound".into(),
            from: Some("13800000001".into()),
            dialled: Some("12345".into()),
            confidential: false,
            at: UnixMillis(1_000),
            ticket: None,
        }
    }

    fn recovered(change: impl FnOnce(&mut CallRecord)) -> RecoveredCall {
        let mut record = CallRecord { state: StateName::Queued, ..bare(&accepted()) };
        record.queue = Some(QueueName::from("general"));
        record.enqueued_at = Some(UnixMillis(2_000));
        record.waits = true;
        change(&mut record);
        RecoveredCall { accepted: accepted(), progress: Some(serde_json::to_value(&record).expect("JSON")) }
    }

    fn waiter() -> SpooledWaiter {
        let queue = QueueName::from("general");
        SpooledWaiter {
            call: CallId(7),
            queue,
            enqueued_at: UnixMillis(2_000),
            number: Some("13800000001".into()),
            record: None,
        }
    }

    #[test]
    fn one_who_waited_is_owed_a_call_back_by_rank() {
        let (record, finished) = closed(recovered(|_| {}), Some(waiter()), UnixMillis(9_000)).expect("closed");
        let owed = finished.callback.expect("owed");
        assert_eq!((owed.enqueued_at, owed.reason.as_str()), (UnixMillis(2_000), "restart"));
        let ending = record.ending.expect("a cause");
        assert_eq!((ending.whose, ending.what, record.ended_at), (Whose::Us, What::Lost, Some(UnixMillis(9_000))));
    }

    #[test]
    fn one_who_waited_again_after_the_agent_was_lost_is_owed_one_too() {
        let served = recovered(|record| (record.served_at, record.waits) = (Some(UnixMillis(3_000)), false));
        let (_, finished) = closed(served.clone(), Some(waiter()), UnixMillis(9_000)).expect("closed");
        let owed = finished.callback.expect("owed");
        assert_eq!((owed.enqueued_at, owed.reason.as_str()), (UnixMillis(2_000), "restart"));
        let (_, finished) = closed(served, None, UnixMillis(9_000)).expect("closed");
        assert_eq!(finished.callback, None, "one who talked is owed none");
    }

    #[test]
    fn nothing_in_the_record_of_a_call_that_a_crash_ended_goes_on() {
        let leg = |id, state, ended_at: Option<i64>| LegRecord {
            id: LegId(id),
            role: Role::Citizen,
            state,
            started_at: UnixMillis(1_000),
            answered_at: None,
            ended_at: ended_at.map(UnixMillis),
            ending: None,
        };
        let attempt = |outcome: &str| ThreeWayRecord {
            hotline: "12348".into(),
            at: UnixMillis(3_000),
            outcome: outcome.to_owned(),
            joined_at: None,
        };
        let call = recovered(|record| {
            record.legs = vec![leg(1, LegStateName::Answered, None), leg(2, LegStateName::Over, Some(4_000))];
            record.three_way = vec![attempt("busy"), attempt("ringing")];
        });
        let (record, _) = closed(call, None, UnixMillis(9_000)).expect("closed");
        let legs: Vec<_> = record.legs.iter().map(|leg| (leg.state, leg.ended_at)).collect();
        let over = |at| (LegStateName::Over, Some(UnixMillis(at)));
        assert_eq!(legs, [over(9_000), over(4_000)]);
        assert_eq!(record.legs[0].ending.map(|ending| (ending.whose, ending.what)), Some((Whose::Us, What::Lost)));
        let outcomes: Vec<_> = record.three_way.iter().map(|attempt| attempt.outcome.as_str()).collect();
        assert_eq!(outcomes, ["busy", "failed"]);
    }

    #[test]
    fn what_had_ended_before_the_crash_stays_as_it_ended() {
        let hung_up = Ending::bye(Whose::Caller, What::Answered);
        let ended = |waits| {
            recovered(|record| {
                (record.served_at, record.waits) = (Some(UnixMillis(3_000)), waits);
                (record.ended_at, record.ending) = (Some(UnixMillis(5_000)), Some(hung_up));
            })
        };
        let (record, finished) = closed(ended(true), Some(waiter()), UnixMillis(9_000)).expect("closed");
        assert_eq!((record.ended_at, record.ending), (Some(UnixMillis(5_000)), Some(hung_up)));
        assert_eq!(finished.callback.expect("lost with the agent, and waited again").reason, "abandoned");
        let (_, finished) = closed(ended(false), Some(waiter()), UnixMillis(9_000)).expect("closed");
        assert_eq!(finished.callback, None, "served, whatever the queue had still noted");
    }

    #[test]
    fn recordings_of_this_run_and_of_other_nodes_are_left_alone() {
        let node = |node: u64, id: u64| node << 53 | id;
        assert!(is_older(RecordingId(node(1, 99)), node(1, 100)));
        assert!(!is_older(RecordingId(node(1, 100)), node(1, 100)), "this run's");
        assert!(!is_older(RecordingId(node(0, 99)), node(1, 100)), "another node's");
    }
}
