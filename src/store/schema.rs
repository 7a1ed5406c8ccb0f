//! The schema and how it moves forward.
//!
//! Each migration is one file of statements and runs in one transaction. A SQLite database that holds anything is
//! copied beside itself first; of a PostgreSQL one `hotline migrate` makes a backup, and nothing else brings it forward.
//! An older program refuses a newer schema.

use super::{Result, StoreError, sql::Columns};
use crate::clock::UnixMillis;
use sqlx::{AnyConnection, AssertSqlSafe, Connection, Executor, any::install_default_drivers};
use std::time::Duration;

const MIGRATIONS: &[&str] = &[
    include_str!("migrations/0001_first.sql"),
    include_str!("migrations/0002_installation.sql"),
    include_str!("migrations/0003_setting_version.sql"),
];

/// The schema that this program writes.
pub const SCHEMA_VERSION: i64 = MIGRATIONS.len() as i64;

/// How long a connection may take to stand.
const PATIENCE: Duration = Duration::from_secs(5);

/// Settings of every writing SQLite connection: what was acknowledged survives a power cut.
pub(super) async fn sqlite_settings(conn: &mut AnyConnection) -> Result<()> {
    for setting in [
        "PRAGMA busy_timeout = 2000",
        "PRAGMA journal_mode = WAL",
        "PRAGMA synchronous = FULL",
        "PRAGMA foreign_keys = ON",
    ] {
        conn.execute(setting).await?;
    }
    Ok(())
}

/// A connection that may change the schema.
pub(super) async fn connect(url: &str) -> Result<AnyConnection> {
    let connecting = tokio::time::timeout(PATIENCE, AnyConnection::connect(url)).await;
    let mut conn = connecting.map_err(|_| StoreError::Unavailable("connecting took too long".to_owned()))??;
    if url.starts_with("sqlite:") {
        sqlite_settings(&mut conn).await?;
    }
    Ok(conn)
}

/// The names of the tables that are there.
pub(super) async fn tables(conn: &mut AnyConnection, is_sqlite: bool) -> Result<Vec<String>> {
    let sql = if is_sqlite {
        "SELECT name AS n FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%' ORDER BY name"
    } else {
        "SELECT CAST(tablename AS TEXT) AS n FROM pg_tables WHERE schemaname = current_schema() ORDER BY tablename"
    };
    sqlx::query(sql).fetch_all(conn).await?.iter().map(|row| row.text("n")).collect()
}

/// The schema of a database; 0 where it has none yet.
///
/// # Errors
/// `SchemaNewer` where a newer program has used it.
pub(super) async fn version(conn: &mut AnyConnection, is_sqlite: bool) -> Result<i64> {
    if !tables(conn, is_sqlite).await?.iter().any(|name| name == "schema_version") {
        return Ok(0);
    }
    let row = sqlx::query("SELECT COALESCE(max(version), 0) AS n FROM schema_version").fetch_one(conn).await?;
    let found = row.int("n")?;
    if found > SCHEMA_VERSION { Err(StoreError::SchemaNewer { found, known: SCHEMA_VERSION }) } else { Ok(found) }
}

/// Brings a new database up to [`SCHEMA_VERSION`], and an old one where that is safe: a SQLite file is copied first.
///
/// # Errors
/// `SchemaOlder`: a PostgreSQL database that holds something waits for `hotline migrate`. `SchemaNewer`.
pub(super) async fn open(url: &str, now: UnixMillis) -> Result<()> {
    let is_sqlite = url.starts_with("sqlite:");
    let mut conn = connect(url).await?;
    let found = version(&mut conn, is_sqlite).await?;
    if found > 0 && found < SCHEMA_VERSION {
        if !is_sqlite {
            return Err(StoreError::SchemaOlder { found, known: SCHEMA_VERSION });
        }
        copy_beside(&mut conn, found).await?;
    }
    apply(&mut conn, found, SCHEMA_VERSION, now).await?;
    conn.close().await?;
    Ok(())
}

/// The schema of the database at `url`, found out without changing it; None for a SQLite file that is not there.
///
/// # Errors
/// `SchemaNewer` where a newer program has used it; away.
pub async fn schema_version(url: &str) -> Result<Option<i64>> {
    install_default_drivers();
    let is_sqlite = url.starts_with("sqlite:");
    if is_sqlite && !super::sqlite_path(url).exists() {
        return Ok(None);
    }
    let mut conn = AnyConnection::connect(&super::prepare_url(url)?).await?;
    let found = version(&mut conn, is_sqlite).await?;
    conn.close().await?;
    Ok(Some(found))
}

/// Brings the database at `url` forward; a backup must have been made. Gives the version before.
///
/// # Errors
/// `SchemaNewer`; the database's, and then nothing has changed after the last migration that was told.
pub async fn schema_migrate(url: &str, now: UnixMillis) -> Result<i64> {
    install_default_drivers();
    let url = super::prepare_url(url)?;
    let mut conn = connect(&url).await?;
    let found = version(&mut conn, url.starts_with("sqlite:")).await?;
    apply(&mut conn, found, SCHEMA_VERSION, now).await?;
    conn.close().await?;
    Ok(found)
}

/// Runs the migrations after `from` up to `to`, each in a transaction of its own.
async fn apply(conn: &mut AnyConnection, from: i64, to: i64, now: UnixMillis) -> Result<()> {
    for version in from + 1..=to {
        conn.execute("BEGIN").await?;
        run(conn, version, now).await?;
        conn.execute("COMMIT").await?;
        tracing::info!(version, "the database's schema was brought forward");
    }
    Ok(())
}

/// One migration, in the transaction that is open.
pub(super) async fn run(conn: &mut AnyConnection, version: i64, now: UnixMillis) -> Result<()> {
    conn.execute("CREATE TABLE IF NOT EXISTS schema_version (version BIGINT PRIMARY KEY, applied_at BIGINT NOT NULL)")
        .await?;
    let text = MIGRATIONS[version as usize - 1];
    for statement in text.split(";\n").map(str::trim).filter(|statement| !statement.is_empty()) {
        conn.execute(AssertSqlSafe(statement.to_owned())).await?;
    }
    sqlx::query("INSERT INTO schema_version (version, applied_at) VALUES ($1, $2)")
        .bind(version)
        .bind(now.0)
        .execute(conn)
        .await?;
    Ok(())
}

async fn copy_beside(conn: &mut AnyConnection, version: i64) -> Result<()> {
    let row = sqlx::query("SELECT file FROM pragma_database_list WHERE name = 'main'").fetch_one(&mut *conn).await?;
    let path = row.text("file")?;
    let copy = format!("{path}.before-schema-{}", version + 1);
    // VACUUM INTO never overwrites: a copy that exists is the older and better one.
    if !std::path::Path::new(&copy).exists() {
        sqlx::query("VACUUM INTO $1").bind(copy).execute(conn).await?;
    }
    Ok(())
}
