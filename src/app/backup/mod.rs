//! Backup and restore: one portable file of everything that a centre needs to go on, and back again.
//!
//! It holds the database's rows (so that it is restored into SQLite or PostgreSQL, whichever it came from), the spool's
//! calls, the recordings as they are sealed, and the settings' files. Not in it: the key of the recordings, which is kept
//! apart from them, sessions, registrations, and dialogs.

mod archive;
mod restore;
mod save;

pub use restore::{Restoring, restore, settings_to};
pub use save::{Saved, backup};

use crate::store::TableShape;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The format of the archive; a reader refuses a later one.
const FORMAT: u32 = 1;
/// The last entry of the archive.
const MANIFEST: &str = "manifest.json";
/// The spool's calls.
const SPOOL: &str = "spool.json";

/// What an archive holds, as it says itself.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Manifest {
    format: u32,
    /// The program that wrote it.
    program: String,
    /// When, as milliseconds since 1970 and as text.
    at: i64,
    at_text: String,
    /// The database's schema.
    schema: i64,
    /// `sandbox` or `centre`.
    sandbox: bool,
    tables: Vec<Rows>,
    spooled_calls: u64,
    recordings: Option<u64>,
    /// SHA-256 of each other entry.
    sha256: BTreeMap<String, String>,
}

/// A table and how many rows of it there are.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Rows {
    #[serde(flatten)]
    table: TableShape,
    rows: u64,
}

impl Manifest {
    /// What is in it, for a person.
    pub fn describe(&self) -> String {
        let rows = |name: &str| self.tables.iter().find(|t| t.table.name == name).map_or(0, |t| t.rows);
        let recordings = self.recordings.map_or("未包含".to_owned(), |count| format!("{count} 条"));
        format!(
            "{} 的备份(hotline {},数据库结构版本 {}):工单 {} 件、通话 {} 通、短信 {} 条,录音 {recordings},未入库通话 {} 通",
            self.at_text,
            self.program,
            self.schema,
            rows("ticket"),
            rows("call"),
            rows("message"),
            self.spooled_calls,
        )
    }
}

/// The entry of a table's part.
fn table_entry(table: &str, part: usize) -> String {
    format!("database/{table}/{part:06}.jsonl")
}
