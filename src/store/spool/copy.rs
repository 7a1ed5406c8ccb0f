//! The spool's calls out of it and into a new one, for a backup.
//!
//! Dialogs and registrations are left out: whoever restores a backup elsewhere must not hang up, or ring, the
//! telephones of a centre that still runs.

use super::{
    Spool,
    journal::{self, connect},
};
use crate::store::{Result, StoreError};
use rusqlite::{Connection, OpenFlags, params};
use serde::{Deserialize, Serialize};
use std::path::Path;

/// A call as the journal has it: id, record, progress, ending, whether the database has it.
pub type SpooledCall = (i64, String, Option<String>, Option<String>, i64);

/// What a spool holds of calls that have not ended, or that the database does not have yet.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SpoolCopy {
    /// Calls that have not ended, or that the database does not have.
    pub calls: Vec<SpooledCall>,
    /// Callers who wait: call, rank, record.
    pub waiters: Vec<(i64, i64, String)>,
}

impl Spool {
    /// Reads the journal in a folder at one moment, beside the program that uses it; empty where there is none.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn copy_out(dir: &Path) -> Result<SpoolCopy> {
        let path = dir.join("spool.db");
        if !path.exists() {
            return Ok(SpoolCopy::default());
        }
        let mut conn = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
        conn.busy_timeout(std::time::Duration::from_secs(2))?;
        conn.execute_batch("PRAGMA query_only = 1")?;
        let tx = conn.transaction()?;
        let mut copy = SpoolCopy::default();
        let mut calls = tx.prepare("SELECT call, body, progress, finished, fed FROM accepted ORDER BY call")?;
        let rows = calls.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?)))?;
        copy.calls = rows.collect::<std::result::Result<_, _>>()?;
        let mut waiters = tx.prepare("SELECT call, enqueued_at, body FROM waiter ORDER BY call")?;
        let rows = waiters.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
        copy.waiters = rows.collect::<std::result::Result<_, _>>()?;
        Ok(copy)
    }

    /// Makes a journal of a copy in a folder that has none.
    ///
    /// # Errors
    /// `Conflict` where there is one; it cannot be written.
    pub fn copy_in(dir: &Path, copy: &SpoolCopy) -> Result<()> {
        std::fs::create_dir_all(dir).map_err(|error| StoreError::Unavailable(error.to_string()))?;
        let path = dir.join("spool.db");
        if path.exists() {
            return Err(StoreError::Conflict("the spool"));
        }
        let mut conn = connect(&path)?;
        journal::make(&conn)?;
        let tx = conn.transaction()?;
        for (call, body, progress, finished, fed) in &copy.calls {
            tx.execute(
                "INSERT INTO accepted (call, body, progress, finished, fed) VALUES (?1, ?2, ?3, ?4, ?5)",
                params![call, body, progress, finished, fed],
            )?;
        }
        for (call, rank, body) in &copy.waiters {
            tx.execute("INSERT INTO waiter (call, enqueued_at, body) VALUES (?1, ?2, ?3)", params![call, rank, body])?;
        }
        Ok(tx.commit()?)
    }
}
