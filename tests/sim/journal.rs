//! A model of the spool: what would be on disk if the program died at this moment.

use hotline::{
    app::{
        lifecycle::{finished, is_kept},
        recovery::close,
    },
    call::cdr::{CallRecord, StateName},
    clock::UnixMillis,
    ids::{CallId, Extension, LegId},
    sip::{dialog::DialogSnapshot, registrar::BindingSnapshot},
    store::NewCallback,
};
use std::collections::BTreeMap;

#[derive(Default)]
pub struct Journal {
    /// Accepted calls as they were last noted.
    pub calls: BTreeMap<CallId, CallRecord>,
    /// Who waits without having been answered.
    waiters: BTreeMap<CallId, CallRecord>,
    dialogs: BTreeMap<LegId, (CallId, DialogSnapshot)>,
    /// Where telephones were registered.
    pub bindings: BTreeMap<Extension, Vec<BindingSnapshot>>,
    /// Callbacks owed.
    pub owed: Vec<NewCallback>,
}

impl Journal {
    pub fn accept(&mut self, record: CallRecord) {
        self.calls.entry(record.id).or_insert(record);
    }

    /// A milestone of a call.
    pub fn update(&mut self, record: &CallRecord) {
        if record.answered_at.is_some() {
            self.calls.entry(record.id).and_modify(|kept| *kept = record.clone());
        } else if record.early_media && record.state == StateName::Queued {
            self.waiters.insert(record.id, record.clone());
        }
    }

    pub fn dialog(&mut self, call: CallId, leg: LegId, snapshot: DialogSnapshot) {
        self.dialogs.insert(leg, (call, snapshot));
    }

    /// A call is over; whether it leaves a record.
    pub fn over(&mut self, record: &CallRecord) -> bool {
        self.calls.remove(&record.id);
        self.waiters.remove(&record.id);
        self.dialogs.retain(|_, (call, _)| *call != record.id);
        let kept = is_kept(record);
        if kept {
            self.owed.extend(finished(record).expect("a record that can be written down").callback);
        }
        kept
    }

    /// The program starts again: gives the calls as they are closed, and the dialogs that are still to be ended.
    pub fn recover(&mut self, now: UnixMillis) -> (Vec<CallRecord>, Vec<DialogSnapshot>) {
        let dialogs = std::mem::take(&mut self.dialogs).into_values().map(|(_, snapshot)| snapshot).collect();
        let mut open = std::mem::take(&mut self.waiters);
        open.extend(std::mem::take(&mut self.calls));
        let mut closed: Vec<CallRecord> = open.into_values().collect();
        for record in &mut closed {
            close(record, now);
            let callback = finished(record).expect("a record that can be written down").callback;
            self.owed.extend(callback.map(|owed| NewCallback { reason: "restart".to_owned(), ..owed }));
        }
        (closed, dialogs)
    }
}
