//! How old what waits in the spool is.

use super::Spool;
use crate::{
    clock::UnixMillis,
    ids::CallId,
    store::{AcceptedCall, FinishedCall, Result, sql::from_json},
};
use rusqlite::OptionalExtension;

/// What waits in the spool for the store.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Waiting {
    /// When the oldest call came, or ended, of those whose beginning or ending the store does not have; none where it has
    /// all.
    pub oldest: Option<UnixMillis>,
    /// Calls that the store refused for good: they stay in the spool until somebody looks.
    pub stuck: u64,
}

impl Spool {
    /// Whether the store will be given calls that have ended and are numbered before this one.
    ///
    /// # Errors
    /// The journal cannot be read.
    pub async fn owes_before(&self, first: CallId) -> Result<bool> {
        self.read(move |conn| {
            let sql = "SELECT EXISTS (SELECT 1 FROM accepted WHERE call < ?1 AND finished IS NOT NULL AND stuck = 0)";
            Ok(conn.query_row(sql, [first.0 as i64], |row| row.get(0))?)
        })
        .await
    }

    /// What waits for the store.
    ///
    /// # Errors
    /// The journal cannot be read.
    pub async fn age(&self) -> Result<Waiting> {
        self.read(|conn| {
            let first: Option<(String, Option<String>)> = conn
                .query_row(
                    "SELECT body, finished FROM accepted WHERE ((fed = 0 AND progress IS NOT NULL) OR finished IS NOT NULL) \
                     AND stuck = 0 ORDER BY call LIMIT 1",
                    [],
                    |row| Ok((row.get(0)?, row.get(1)?)),
                )
                .optional()?;
            let oldest = match first {
                None => None,
                Some((body, None)) => Some(from_json::<AcceptedCall>(&body)?.at),
                Some((body, Some(finished))) => {
                    from_json::<FinishedCall>(&finished)?.row.ended_at.or(Some(from_json::<AcceptedCall>(&body)?.at))
                }
            };
            let stuck: i64 = conn.query_row("SELECT count(*) FROM accepted WHERE stuck <> 0", [], |row| row.get(0))?;
            Ok(Waiting { oldest, stuck: stuck.max(0) as u64 })
        })
        .await
    }
}
