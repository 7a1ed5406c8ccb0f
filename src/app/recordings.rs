//! Recordings as the API sees them. What is on disk is sealed; a WAV exists only on its way out.

use super::{
    App, AppError,
    permissions::{self, CallScope, Reach, Thing},
    view::When,
};
use crate::{
    call::cdr::CallRecord,
    ids::{AgentNo, CallId, RecordingId},
    net::{clock, recording},
    store::{Page, RecordingFilter, RecordingRow, StoreError},
    ticket::Actor,
};
use serde::Serialize;
use std::io::Cursor;
use utoipa::ToSchema;

/// A recording as it is shown.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct RecordingView {
    /// The recording's number, as decimal text.
    pub id: String,
    /// The call's number, as decimal text.
    pub call: String,
    /// The call's primary ticket.
    pub ticket_no: Option<String>,
    /// `recording`, `complete`, `shortened` or `missing`.
    pub state: String,
    /// When the recording began.
    pub started_at: When,
    /// When it was sealed; null while it lasts.
    pub ended_at: Option<When>,
    /// What plays, in milliseconds; 0 while it lasts.
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

/// The row of a recording as it begins.
pub(super) fn recording_of(record: &CallRecord) -> Option<RecordingRow> {
    let id = record.recording?;
    let started_at = record.served_at?;
    let path = recording::path(std::path::Path::new(""), id).to_string_lossy().into_owned();
    Some(RecordingRow::begun(id, record.id, path, started_at))
}

impl App {
    /// Recordings that this user may hear, the latest first.
    ///
    /// # Errors
    /// `Forbidden`, the store's.
    pub async fn recording_list(
        &self,
        actor: &Actor,
        page: &Page,
    ) -> Result<(Vec<RecordingView>, Option<String>), AppError> {
        let agent = match permissions::require(actor, Thing::Recordings)? {
            // Without a number an agent has no calls of its own.
            Reach::Own => Some(actor.agent.clone().unwrap_or_else(|| AgentNo::from(""))),
            Reach::All | Reach::Nothing => None,
        };
        let filter =
            RecordingFilter { agent, confidence: permissions::confidence(actor), ..RecordingFilter::default() };
        let rows = self.store.recording_list(&filter, page).await?;
        Ok((rows.items.iter().map(RecordingView::from).collect(), rows.next_cursor))
    }

    /// One recording.
    ///
    /// # Errors
    /// `NotFound`, also where this user may not hear it; `Forbidden`.
    pub async fn recording_get(&self, actor: &Actor, id: RecordingId) -> Result<RecordingView, AppError> {
        Ok(RecordingView::from(&self.recording_row(actor, id).await?))
    }

    async fn recording_row(&self, actor: &Actor, id: RecordingId) -> Result<RecordingRow, AppError> {
        permissions::require(actor, Thing::Recordings)?;
        let row = match self.store.recording_get(id).await {
            Ok(row) => row,
            Err(StoreError::NotFound(_)) => return Err(AppError::NotFound("录音")),
            Err(error) => return Err(error.into()),
        };
        if self.hears(actor, &row).await? { Ok(row) } else { Err(AppError::NotFound("录音")) }
    }

    async fn hears(&self, actor: &Actor, row: &RecordingRow) -> Result<bool, AppError> {
        let scope = match self.call_record(row.call).await {
            Ok((_, _, scope)) => scope,
            // A call that is not there was nobody's.
            Err(AppError::NotFound(_)) => CallScope::default(),
            Err(error) => return Err(error),
        };
        let confidential = scope.confidential || row.confidential;
        Ok(permissions::may_hear(actor, &CallScope { confidential, ..scope }))
    }

    /// What was recorded of a call, as far as this user may hear it.
    pub(super) async fn recordings_heard(&self, actor: &Actor, call: CallId) -> Result<Vec<RecordingRow>, AppError> {
        if permissions::reach(actor, Thing::Recordings) == Reach::Nothing {
            return Ok(Vec::new());
        }
        let mut heard = Vec::new();
        for row in self.store.recordings_of(call).await? {
            if self.hears(actor, &row).await? {
                heard.push(row);
            }
        }
        Ok(heard)
    }

    /// A recording as stereo WAV, opened in memory; the playback is audited first.
    ///
    /// # Errors
    /// `NotFound` also when the file is gone; the store's: without an audit row nothing is played.
    pub async fn recording_wav(&self, actor: &Actor, id: RecordingId) -> Result<(RecordingRow, Vec<u8>), AppError> {
        let row = self.recording_row(actor, id).await?;
        self.audit(actor, "recording.play", &id.to_string(), "").await?;
        let (path, key) = (self.in_force().settings.recording.dir.join(&row.path), self.recording_key.clone());
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

    /// Now, for rows.
    pub(super) fn wall(&self) -> crate::clock::UnixMillis {
        clock::now().wall
    }
}
