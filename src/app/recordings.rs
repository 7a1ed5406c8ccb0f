//! Recordings as the API sees them. What is on disk is sealed; a WAV exists only on its way out.

use super::{App, AppError, calls::record_of, view::When};
use crate::{
    call::cdr::CallRecord,
    ids::RecordingId,
    media::engine as media,
    net::{clock, recording},
    store::{Page, RecordingRow, StoreError},
    ticket::{Actor, Role},
};
use serde::Serialize;
use std::io::Cursor;
use utoipa::ToSchema;

/// A recording as it is shown.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct RecordingView {
    pub id: String,
    pub call: String,
    pub ticket_no: Option<String>,
    /// `recording`, `complete`, `shortened` or `missing`.
    pub state: String,
    pub started_at: When,
    pub ended_at: Option<When>,
    pub duration_ms: i64,
    /// A fault cut it short.
    pub shortened: bool,
    /// Gaps that an overflow left in it.
    pub gaps: i64,
}

impl From<&RecordingRow> for RecordingView {
    fn from(row: &RecordingRow) -> Self {
        RecordingView {
            id: row.id.to_string(),
            call: row.call.to_string(),
            ticket_no: row.ticket_no.as_ref().map(ToString::to_string),
            state: row.state.clone(),
            started_at: When(row.started_at),
            ended_at: row.ended_at.map(When),
            duration_ms: row.duration_ms,
            shortened: row.shortened,
            gaps: row.gaps,
        }
    }
}

impl App {
    /// Recordings, the latest first.
    ///
    /// # Errors
    /// The store's.
    pub async fn recording_list(
        &self,
        actor: &Actor,
        page: &Page,
    ) -> Result<(Vec<RecordingView>, Option<String>), AppError> {
        let rows = self.store.recording_list(None, page).await?;
        let mut items = Vec::new();
        for row in &rows.items {
            if self.may_hear(actor, row).await? {
                items.push(RecordingView::from(row));
            }
        }
        Ok((items, rows.next_cursor))
    }

    /// One recording.
    ///
    /// # Errors
    /// `NotFound`, also where this user may not hear it.
    pub async fn recording_get(&self, actor: &Actor, id: RecordingId) -> Result<RecordingView, AppError> {
        Ok(RecordingView::from(&self.recording_row(actor, id).await?))
    }

    async fn recording_row(&self, actor: &Actor, id: RecordingId) -> Result<RecordingRow, AppError> {
        let row = match self.store.recording_get(id).await {
            Ok(row) => row,
            Err(StoreError::NotFound(_)) => return Err(AppError::NotFound("录音")),
            Err(error) => return Err(error.into()),
        };
        if self.may_hear(actor, &row).await? { Ok(row) } else { Err(AppError::NotFound("录音")) }
    }

    /// Agents hear their own calls, those who lead and check hear all; nobody of a unit hears any.
    async fn may_hear(&self, actor: &Actor, row: &RecordingRow) -> Result<bool, AppError> {
        if actor.unit.is_some() {
            return Ok(false);
        }
        if row.confidential && !matches!(actor.role, Role::Supervisor | Role::FollowUpAgent) {
            return Ok(false);
        }
        if actor.role != Role::Agent {
            return Ok(true);
        }
        match self.store.call_get(row.call).await {
            Ok(call) => Ok(actor.agent.is_some() && record_of(&call).agent == actor.agent),
            Err(StoreError::NotFound(_)) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// A recording as stereo WAV, opened in memory; the playback is audited first.
    ///
    /// # Errors
    /// `NotFound` also when the file is gone; the store's: without an audit row nothing is played.
    pub async fn recording_wav(&self, actor: &Actor, id: RecordingId) -> Result<(RecordingRow, Vec<u8>), AppError> {
        let row = self.recording_row(actor, id).await?;
        self.audit(actor, "recording.play", &id.to_string(), "").await?;
        let (path, key) = (self.settings.recording.dir.join(&row.path), self.recording_key.clone());
        let exported = tokio::task::spawn_blocking(move || {
            let mut wav = Cursor::new(Vec::new());
            recording::export_wav(&path, &key, &mut wav).map(|_| wav.into_inner())
        });
        match exported.await {
            Ok(Ok(wav)) => Ok((row, wav)),
            Ok(Err(error)) => {
                tracing::warn!(recording = %id, %error, "a recording cannot be played");
                Err(AppError::NotFound("录音文件"))
            }
            Err(_) => Err(AppError::NotFound("录音文件")),
        }
    }

    /// The row of a recording, as it begins and as it ends.
    pub(super) fn recording_row_of(&self, record: &CallRecord, done: Option<&media::Event>) -> Option<RecordingRow> {
        let id = record.recording?;
        let started_at = record.served_at?;
        let (state, ended_at, duration_ms, gaps) = match done {
            Some(media::Event::RecordingDone { length, gap, .. }) => {
                ("complete", Some(started_at.plus(*length)), length.as_millis() as i64, i64::from(*gap))
            }
            _ => ("recording", None, 0, 0),
        };
        let path = recording::path(std::path::Path::new(""), id).to_string_lossy().into_owned();
        Some(RecordingRow {
            id,
            call: record.id,
            ticket_no: None,
            path,
            state: state.to_owned(),
            started_at,
            ended_at,
            duration_ms,
            shortened: false,
            gaps,
            confidential: false,
            detail: serde_json::Value::Null,
        })
    }

    /// Now, for rows.
    pub(super) fn wall(&self) -> crate::clock::UnixMillis {
        clock::now().wall
    }
}
