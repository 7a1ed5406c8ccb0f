//! The schema and how it moves forward.
//!
//! Each migration is one file of statements and runs in one transaction. A SQLite database that holds anything is
//! copied beside itself first. An older program refuses a newer schema.

use super::{Result, StoreError, sql::Columns};
use crate::clock::UnixMillis;
use sqlx::{AnyConnection, AssertSqlSafe, Connection, Executor};

const MIGRATIONS: &[&str] = &[
    include_str!("migrations/0001_first.sql"),
    include_str!("migrations/0002_installation.sql"),
    include_str!("migrations/0003_setting_version.sql"),
];

/// The schema that this program writes.
pub const SCHEMA_VERSION: i64 = MIGRATIONS.len() as i64;

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

/// Brings the database up to [`SCHEMA_VERSION`].
pub(super) async fn migrate(url: &str, now: UnixMillis) -> Result<()> {
    let mut conn = AnyConnection::connect(url).await?;
    if url.starts_with("sqlite:") {
        sqlite_settings(&mut conn).await?;
    }
    conn.execute("CREATE TABLE IF NOT EXISTS schema_version (version BIGINT PRIMARY KEY, applied_at BIGINT NOT NULL)")
        .await?;
    let row = sqlx::query("SELECT COALESCE(max(version), 0) AS n FROM schema_version").fetch_one(&mut conn).await?;
    let found = row.int("n")?;
    if found > SCHEMA_VERSION {
        return Err(StoreError::SchemaNewer { found, known: SCHEMA_VERSION });
    }
    if found > 0 && found < SCHEMA_VERSION && url.starts_with("sqlite:") {
        back_up(&mut conn, found).await?;
    }
    for (version, text) in (1..).zip(MIGRATIONS).skip(found as usize) {
        conn.execute("BEGIN").await?;
        for statement in text.split(";\n").map(str::trim).filter(|statement| !statement.is_empty()) {
            conn.execute(AssertSqlSafe(statement.to_owned())).await?;
        }
        sqlx::query("INSERT INTO schema_version (version, applied_at) VALUES ($1, $2)")
            .bind(version)
            .bind(now.0)
            .execute(&mut conn)
            .await?;
        conn.execute("COMMIT").await?;
        tracing::info!(version, "the database's schema was brought forward");
    }
    conn.close().await?;
    Ok(())
}

async fn back_up(conn: &mut AnyConnection, version: i64) -> Result<()> {
    let row = sqlx::query("SELECT file FROM pragma_database_list WHERE name = 'main'").fetch_one(&mut *conn).await?;
    let path = row.text("file")?;
    let copy = format!("{path}.before-schema-{}", version + 1);
    // VACUUM INTO never overwrites: a copy that exists is the older and better one.
    if !std::path::Path::new(&copy).exists() {
        sqlx::query("VACUUM INTO $1").bind(copy).execute(conn).await?;
    }
    Ok(())
}
