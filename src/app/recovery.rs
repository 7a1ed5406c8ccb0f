//! After a crash: what the spool held is brought to its end. Old dialogs are ended by BYE, waiting callers become
//! callbacks owed with their rank, records are closed with a cause, recordings are marked as shortened.

use super::{App, lifecycle::finished, switch_task::Ask};
use crate::{
    call::cdr::{CallRecord, Ending, LegStateName, StateName, What, Whose},
    clock::UnixMillis,
    ids::CallId,
    sip::dialog::DialogSnapshot,
    store::{FinishedCall, RecordingRow, Recovered, StoreError},
};
use std::{
    collections::HashMap,
    sync::{MutexGuard, PoisonError},
    time::Duration,
};

/// How long an unanswered caller may take to send its INVITE again: timer A has doubled to 8 s by then.
const DOUBT: Duration = Duration::from_secs(10);

/// The pause before the database is asked again.
const AGAIN: Duration = Duration::from_secs(5);

impl App {
    /// Closes what an earlier run left open, and gives the dialogs that are still to be ended.
    pub(super) async fn recover(&self, recovered: Recovered) -> Vec<DialogSnapshot> {
        let Recovered { calls, dialogs, waiters } = recovered;
        if calls.is_empty() && dialogs.is_empty() && waiters.is_empty() {
            return Vec::new();
        }
        let now = self.wall();
        tracing::warn!(
            calls = calls.len(),
            dialogs = dialogs.len(),
            waiters = waiters.len(),
            "an earlier run ended unexpectedly; its calls are closed"
        );
        for call in calls {
            let accepted = &call.accepted;
            let unsure = call.progress.is_none();
            let mut record = call
                .progress
                .and_then(|value| serde_json::from_value::<CallRecord>(value).ok())
                .unwrap_or_else(|| CallRecord {
                    id: accepted.call,
                    sip_call_id: accepted.sip_call_id.clone(),
                    from: accepted.from.clone().unwrap_or_default(),
                    dialled: accepted.dialled.clone().unwrap_or_default(),
                    state: StateName::Ended,
                    started_at: accepted.at,
                    answered_at: Some(accepted.at),
                    queue: None,
                    enqueued_at: None,
                    served_at: None,
                    agent: None,
                    ended_at: None,
                    ending: None,
                    recording: None,
                    legs: Vec::new(),
                    three_way: Vec::new(),
                    keys: String::new(),
                    ticket: accepted.ticket.is_some(),
                    cdr: true,
                });
            close(&mut record, now);
            let Some(mut finished) = finished(&record) else { continue };
            if let Some(callback) = finished.callback.as_mut() {
                callback.reason = "restart".to_owned();
            }
            if unsure {
                self.in_doubt().insert(record.sip_call_id.clone(), (record.id, finished));
                continue;
            }
            self.close_recording(&record).await;
            if let Err(error) = self.spool.finish(record.id, finished).await {
                tracing::error!(call = %record.id, %error, "a call of an earlier run stays open");
            }
        }
        let snapshots = dialogs.into_iter().filter_map(|(_, _, value)| serde_json::from_value(value).ok());
        snapshots.collect()
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

    async fn close_recording(&self, record: &CallRecord) {
        let Some(row) = self.recording_row_of(record, None) else { return };
        if let Err(error) = self.close_recording_row(RecordingRow { ended_at: record.ended_at, ..row }).await {
            tracing::error!(call = %record.id, %error, "a shortened recording's row was not kept");
        }
    }

    /// Closes the rows of an earlier run that still say `recording`: the word that they had ended never reached the
    /// database. Tried until the database answers.
    pub(super) async fn close_left_recordings(&self) {
        loop {
            match self.try_close_left_recordings().await {
                Ok(0) => return,
                Ok(closed) => return tracing::warn!(closed, "recordings of an earlier run were closed"),
                Err(error) => {
                    tracing::warn!(%error, "recordings of an earlier run are still open");
                    tokio::time::sleep(AGAIN).await;
                }
            }
        }
    }

    async fn try_close_left_recordings(&self) -> Result<usize, StoreError> {
        let rows = self.store.recordings_left_open(self.started.wall).await?;
        let closed = rows.len();
        for row in rows {
            let ended_at = match self.store.call_get(row.call).await {
                Ok(call) => call.ended_at,
                Err(StoreError::NotFound(_)) => None,
                Err(error) => return Err(error),
            };
            self.close_recording_row(RecordingRow { ended_at, ..row }).await?;
        }
        Ok(closed)
    }

    /// The recording plays up to its last whole second; its row says that it is shortened.
    async fn close_recording_row(&self, mut row: RecordingRow) -> Result<(), StoreError> {
        row.state = "shortened".to_owned();
        row.shortened = true;
        let (path, key) = (self.settings.recording.dir.join(&row.path), self.recording_key.clone());
        let length = tokio::task::spawn_blocking(move || {
            crate::net::recording::export_wav(&path, &key, std::io::Cursor::new(Vec::new())).map(|found| found.length)
        });
        match length.await {
            Ok(Ok(length)) => row.duration_ms = length.as_millis() as i64,
            _ => row.state = "missing".to_owned(),
        }
        self.store.recording_upsert(row).await
    }

    /// Ends dialogs of an earlier run.
    pub(super) async fn end_old_dialogs(&self, dialogs: Vec<DialogSnapshot>) {
        if !dialogs.is_empty() && self.switch.ask(Ask::EndDialogs(dialogs)).await.is_err() {
            tracing::error!("dialogs of an earlier run were not ended");
        }
    }
}

impl App {
    /// No new calls from here on; done when the last one has ended, or when `longest` is over.
    pub async fn drain(&self, longest: Duration) {
        let _ = self.switch.ask(Ask::Input(super::switch::Input::Drain)).await;
        let ended = async {
            while self.live.calls().iter().any(|call| call.record.ended_at.is_none()) {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        };
        let _ = tokio::time::timeout(longest, ended).await;
    }

    /// Hangs up what is left, and writes down what is to be kept.
    pub async fn stop(&self) {
        let _ = self.switch.ask(Ask::EndAll).await;
        self.drain(Duration::from_secs(2)).await;
        if let Some(gateway) = self.sms.get() {
            gateway.stop().await;
        }
        if let Err(error) = self.spool.flush().await {
            tracing::error!(%error, "the spool could not be written at the end");
        }
        self.store.close().await;
    }
}

/// Our own fault: every leg that was open was lost.
fn close(record: &mut CallRecord, now: UnixMillis) {
    let ending = Ending { whose: Whose::Us, what: What::Lost, sip: 0, q850: 41 };
    record.state = StateName::Ended;
    record.ending.get_or_insert(ending);
    record.ended_at.get_or_insert(now);
    for leg in record.legs.iter_mut().filter(|leg| leg.state != LegStateName::Over) {
        leg.state = LegStateName::Over;
        leg.ending.get_or_insert(ending);
        leg.ended_at.get_or_insert(now);
    }
}
