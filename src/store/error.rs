//! What can go wrong with the database.

use super::user::UserRefused;
use crate::ticket::Rejected;
use sqlx::error::{DatabaseError, ErrorKind};

/// Why a database call failed.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database is away, busy or full: try again later; nothing was written.
    #[error("the database is not available: {0}")]
    Unavailable(String),
    /// No such row.
    #[error("no such {0}")]
    NotFound(&'static str),
    /// The row was changed by somebody else, or already exists.
    #[error("{0} was changed meanwhile or exists already")]
    Conflict(&'static str),
    /// The ticket did not take the command.
    #[error("{0}")]
    Rejected(#[from] Rejected),
    /// The user cannot be changed like that.
    #[error(transparent)]
    User(#[from] UserRefused),
    /// A newer program has used this database.
    #[error(
        "the database has schema {found} and this program knows {known} at most (数据库结构版本 {found},本程序只认识到 {known}): \
         use the newer program, or restore the backup that was made before the upgrade"
    )]
    SchemaNewer {
        /// The database's schema.
        found: i64,
        /// The newest this program knows.
        known: i64,
    },
    /// A database is to be brought forward, and there is no backup of it yet.
    #[error(
        "the database has schema {found} and this program needs {known} (数据库结构版本 {found},本程序需要 {known}): run \
         `hotline migrate`, which makes a backup first"
    )]
    SchemaOlder {
        /// The database's schema.
        found: i64,
        /// The one that this program needs.
        known: i64,
    },
    /// A sandbox's database is to be used for a real centre.
    #[error("the database is a sandbox's (沙箱数据库), whose passwords are public: name another one in [database] url")]
    SandboxDatabase,
    /// A real centre's database is to be used for a sandbox.
    #[error("the database is a real centre's (正式数据库): a sandbox takes a data folder of its own (--data)")]
    CentreDatabase,
    /// A row does not read as what it must be.
    #[error("a row of the database cannot be read: {0}")]
    Corrupt(String),
    /// What was asked for makes no sense, such as a cursor of another list.
    #[error("{0}")]
    Invalid(&'static str),
    /// The database refused for another reason.
    #[error("the database refused: {0}")]
    Database(String),
}

impl StoreError {
    /// Whether trying again later may help.
    pub const fn is_unavailable(&self) -> bool {
        matches!(self, StoreError::Unavailable(_))
    }
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        match &error {
            sqlx::Error::Database(db) => from_database(db.as_ref()),
            sqlx::Error::RowNotFound => StoreError::NotFound("row"),
            sqlx::Error::ColumnDecode { .. } | sqlx::Error::ColumnNotFound(_) | sqlx::Error::Decode(_) => {
                StoreError::Corrupt(error.to_string())
            }
            sqlx::Error::Io(_)
            | sqlx::Error::Tls(_)
            | sqlx::Error::PoolTimedOut
            | sqlx::Error::PoolClosed
            | sqlx::Error::WorkerCrashed
            | sqlx::Error::Protocol(_) => StoreError::Unavailable(error.to_string()),
            _ => StoreError::Database(error.to_string()),
        }
    }
}

impl From<rusqlite::Error> for StoreError {
    /// The spool's file: whatever is wrong with it, nothing was written.
    fn from(error: rusqlite::Error) -> Self {
        StoreError::Unavailable(error.to_string())
    }
}

fn from_database(db: &dyn DatabaseError) -> StoreError {
    if matches!(db.kind(), ErrorKind::UniqueViolation) {
        return StoreError::Conflict("the row");
    }
    let code = db.code().unwrap_or_default();
    let away = match code.parse::<u32>() {
        // SQLite's primary result codes: busy, locked, read-only, I/O error, full, cannot open.
        Ok(number) if code.len() < 5 => matches!(number & 0xff, 5 | 6 | 8 | 10 | 13 | 14),
        // PostgreSQL's classes: connection, out of resources, operator intervention, system error, serialization.
        _ => ["08", "53", "57", "58", "40"].iter().any(|class| code.starts_with(class)),
    };
    if away { StoreError::Unavailable(db.message().to_owned()) } else { StoreError::Database(db.message().to_owned()) }
}
