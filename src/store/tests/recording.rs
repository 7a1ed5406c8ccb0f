//! Recordings: what is over stays over.

use super::*;

#[test]
fn a_recording_that_is_over_stays_over() {
    on_each(|store, t| async move {
        let id = store.new_id();
        let begun = RecordingRow {
            ticket_no: Some("261122010000421".into()),
            ..RecordingRow::begun(crate::ids::RecordingId(id), CallId(id), "a/b".into(), t)
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
fn a_closed_recording_is_not_opened_again() {
    use crate::ids::RecordingId;
    on_each(|store, t| async move {
        let id = RecordingId(t.0 as u64);
        let row = |state: &str, duration_ms| RecordingRow {
            state: state.into(),
            duration_ms,
            ..RecordingRow::begun(id, CallId(id.0), "00/1.hlrec".into(), t)
        };
        let state = || async { store.recording_get(id).await.unwrap().state };
        store.recording_upsert(row("recording", 0)).await.unwrap();
        store.recording_upsert(row("complete", 5_000)).await.unwrap();
        // The word of its beginning, held up while the database was away.
        store.recording_upsert(row("recording", 0)).await.unwrap();
        assert_eq!(state().await, "complete");
        store.recording_upsert(row("missing", 0)).await.unwrap();
        assert_eq!(state().await, "missing");
    });
}
