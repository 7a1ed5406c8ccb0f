//! Whether a database can be used, found out without writing to it.

use super::{DatabaseUse, Result, SCHEMA_VERSION, Store, StoreError, UserRow, schema, sql::Columns, user};
use sqlx::{AnyConnection, Connection, any::install_default_drivers};
use std::path::Path;

/// What a database that can be used is like.
#[derive(Clone, Debug, PartialEq)]
pub enum Probe {
    /// It answers, and keeps these users.
    Ready(Vec<UserRow>),
    /// A SQLite file that is not there yet and will be made at start-up.
    ToBeMade,
}

impl Store {
    /// Whether the database at `url` could be opened for this use; it is only read.
    ///
    /// # Errors
    /// What [`Store::open`] and [`Store::claim_for`] would say.
    pub async fn probe(url: &str, wanted: DatabaseUse) -> Result<Probe> {
        install_default_drivers();
        let mut reading = url.to_owned();
        if let Some(rest) = url.strip_prefix("sqlite:") {
            let path = rest.trim_start_matches("//").split('?').next().unwrap_or_default();
            if !Path::new(path).exists() {
                return writable_folder(Path::new(path)).map(|()| Probe::ToBeMade);
            }
            reading = format!("sqlite://{path}?mode=ro");
        }
        let mut conn = AnyConnection::connect(&reading).await?;
        let names = schema::tables(&mut conn, url.starts_with("sqlite:")).await?;
        let mut kept = Vec::new();
        let has = |table: &str| names.iter().any(|name| name == table);
        if has("schema_version") {
            let row =
                sqlx::query("SELECT COALESCE(max(version), 0) AS n FROM schema_version").fetch_one(&mut conn).await?;
            let found = row.int("n")?;
            if found > SCHEMA_VERSION {
                return Err(StoreError::SchemaNewer { found, known: SCHEMA_VERSION });
            }
            // An older database keeps none yet.
            if found == SCHEMA_VERSION {
                kept = user::kept(&mut conn).await?;
            }
        }
        if has("installation") {
            let row =
                sqlx::query("SELECT value FROM installation WHERE name = 'use'").fetch_optional(&mut conn).await?;
            wanted.fits(row.map(|row| row.text("value")).transpose()?.as_deref())?;
        }
        // What is left of the connection is of no interest.
        let _ = conn.close().await;
        Ok(Probe::Ready(kept))
    }
}

/// Whether the nearest folder above that exists lets a file be made.
fn writable_folder(path: &Path) -> Result<()> {
    let mut above =
        path.ancestors().skip(1).map(|folder| if folder.as_os_str().is_empty() { Path::new(".") } else { folder });
    let folder = above.find(|folder| folder.exists()).unwrap_or(Path::new("/"));
    let metadata = folder.metadata().map_err(|error| StoreError::Unavailable(error.to_string()))?;
    if metadata.is_dir() && !metadata.permissions().readonly() {
        Ok(())
    } else {
        Err(StoreError::Unavailable(format!("{} is no folder that can be written", folder.display())))
    }
}
