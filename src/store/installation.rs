//! What a database is used for: a sandbox's accounts have public passwords, so it is never opened as anything else.

use super::{Result, Store, StoreError, sql::Columns, writer::Tx};

/// The row that says what the database is used for.
const USE: &str = "use";

/// What a database is used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DatabaseUse {
    /// Sample data and public passwords.
    Sandbox,
    /// A real centre.
    Centre,
}

impl DatabaseUse {
    /// The use that settings ask for.
    pub const fn of(sandbox: bool) -> Self {
        if sandbox { DatabaseUse::Sandbox } else { DatabaseUse::Centre }
    }

    const fn name(self) -> &'static str {
        match self {
            DatabaseUse::Sandbox => "sandbox",
            DatabaseUse::Centre => "centre",
        }
    }

    /// Fails where a sandbox's backup would become a centre's database, or the other way round.
    pub fn fits_backup(self, sandbox: bool) -> Result<()> {
        self.fits(Some(DatabaseUse::of(sandbox).name()))
    }

    /// Fails where a database that is marked as `found` is to be used otherwise.
    pub(super) fn fits(self, found: Option<&str>) -> Result<()> {
        match found {
            Some(found) if found != self.name() => match self {
                DatabaseUse::Centre => Err(StoreError::SandboxDatabase),
                DatabaseUse::Sandbox => Err(StoreError::CentreDatabase),
            },
            _ => Ok(()),
        }
    }
}

impl Store {
    /// Marks a new database with its use.
    ///
    /// # Errors
    /// `SandboxDatabase`, `CentreDatabase`: it is marked for the other use; nothing was changed.
    pub async fn claim_for(&self, wanted: DatabaseUse) -> Result<()> {
        self.write(move |tx| Box::pin(claim(tx, wanted))).await
    }
}

/// Marks a new database, by the connection that writes.
pub(super) async fn claim(tx: &mut Tx, wanted: DatabaseUse) -> Result<()> {
    sqlx::query("INSERT INTO installation (name, value) VALUES ($1, $2) ON CONFLICT (name) DO NOTHING")
        .bind(USE)
        .bind(wanted.name())
        .execute(&mut tx.conn)
        .await?;
    let row = sqlx::query("SELECT value FROM installation WHERE name = $1").bind(USE).fetch_one(&mut tx.conn).await?;
    wanted.fits(Some(&row.text("value")?))
}
