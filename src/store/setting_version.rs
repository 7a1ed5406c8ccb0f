//! What each document of the settings said, version by version. Secrets are struck out before they come here.

use super::{Result, Store, StoreError, audit, sql::Columns};
use crate::clock::UnixMillis;
use sqlx::any::AnyRow;

/// One version of one document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SettingVersionRow {
    /// The document, such as `ivr-flows/12345.toml`.
    pub document: String,
    /// From 1, without gaps.
    pub version: i64,
    /// The whole text, without secrets.
    pub text: String,
    /// Whether a file says so; else it is what the program carries within itself.
    pub overridden: bool,
    /// The user, or `file` where the file was changed by hand, or `embedded`.
    pub author: String,
    /// Why.
    pub note: String,
    /// When.
    pub at: UnixMillis,
}

fn read(row: &AnyRow) -> Result<SettingVersionRow> {
    Ok(SettingVersionRow {
        document: row.text("document")?,
        version: row.int("version")?,
        text: row.text("text")?,
        overridden: row.flag("overridden")?,
        author: row.text("author")?,
        note: row.text("note")?,
        at: row.millis("at")?,
    })
}

impl Store {
    /// Adds the next version of a document, with a row of the audit log.
    ///
    /// # Errors
    /// `Conflict` where this version is there already.
    pub async fn setting_version_add(&self, row: SettingVersionRow) -> Result<()> {
        self.write(move |tx| {
            Box::pin(async move {
                let known = sqlx::query("SELECT version FROM setting_version WHERE document = $1 AND version = $2")
                    .bind(row.document.as_str())
                    .bind(row.version)
                    .fetch_optional(&mut tx.conn)
                    .await?;
                if known.is_some() {
                    return Err(StoreError::Conflict("setting version"));
                }
                sqlx::query(
                    "INSERT INTO setting_version (document, version, text, overridden, author, note, at) \
                     VALUES ($1, $2, $3, $4, $5, $6, $7)",
                )
                .bind(row.document.as_str())
                .bind(row.version)
                .bind(row.text.as_str())
                .bind(i64::from(row.overridden))
                .bind(row.author.as_str())
                .bind(row.note.as_str())
                .bind(row.at.0)
                .execute(&mut tx.conn)
                .await?;
                let audited = audit::AuditRow {
                    seq: 0,
                    at: row.at,
                    actor: row.author,
                    action: "settings.change".to_owned(),
                    object: row.document,
                    detail: format!("version {}: {}", row.version, row.note),
                    hash: String::new(),
                };
                audit::append(tx, audited).await?;
                Ok(())
            })
        })
        .await
    }

    /// The latest version of each document, by its name.
    pub async fn setting_version_latest(&self) -> Result<Vec<SettingVersionRow>> {
        let rows = sqlx::query(
            "SELECT * FROM setting_version s WHERE version = \
             (SELECT max(version) FROM setting_version t WHERE t.document = s.document) ORDER BY document",
        )
        .fetch_all(self.reader())
        .await?;
        rows.iter().map(read).collect()
    }

    /// The versions of a document, the latest first, at most 500.
    pub async fn setting_version_list(&self, document: &str) -> Result<Vec<SettingVersionRow>> {
        let rows = sqlx::query("SELECT * FROM setting_version WHERE document = $1 ORDER BY version DESC LIMIT 500")
            .bind(document)
            .fetch_all(self.reader())
            .await?;
        rows.iter().map(read).collect()
    }

    /// One version of a document.
    pub async fn setting_version_get(&self, document: &str, version: i64) -> Result<Option<SettingVersionRow>> {
        let row = sqlx::query("SELECT * FROM setting_version WHERE document = $1 AND version = $2")
            .bind(document)
            .bind(version)
            .fetch_optional(self.reader())
            .await?;
        row.as_ref().map(read).transpose()
    }
}
