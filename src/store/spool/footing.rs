//! What a start stands on while the database is away: noted while the database is there.

use super::{Op, Spool};
use crate::store::{
    HotlineRow, NumberBlock, Result, UserRow,
    sql::{from_json, to_json},
};
use rusqlite::{Connection, OptionalExtension};
use serde::{Deserialize, Serialize};

pub(super) const SCHEMA: &str =
    "CREATE TABLE IF NOT EXISTS footing (id INTEGER PRIMARY KEY CHECK (id = 1), body TEXT NOT NULL)";

/// What is otherwise read from the database at a start.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Footing {
    /// No higher id had been given when this was noted.
    pub highest_id: u64,
    /// Ticket numbers that nobody else has; each block is used by one start.
    pub numbers: Option<NumberBlock>,
    /// The hotlines of the table.
    pub hotlines: Vec<HotlineRow>,
    /// The users whom the database keeps and who sit at a telephone, without their passwords for signing in.
    #[serde(default)]
    pub staff: Vec<UserRow>,
}

impl Spool {
    /// What was noted last; nothing in a new spool.
    ///
    /// # Errors
    /// The journal cannot be read.
    pub async fn footing(&self) -> Result<Footing> {
        self.read(|conn| {
            let body: Option<String> = conn.query_row("SELECT body FROM footing", [], |row| row.get(0)).optional()?;
            body.map_or_else(|| Ok(Footing::default()), |body| from_json(&body))
        })
        .await
    }

    /// Notes it in place of what was noted before; done when it is on disk.
    ///
    /// # Errors
    /// The journal cannot be written.
    pub async fn footing_put(&self, footing: &Footing) -> Result<()> {
        let text = to_json(footing)?;
        self.ask(|reply| Op::Footing(text, reply)).await
    }
}

pub(super) fn write(tx: &Connection, footing: Option<&str>) -> Result<()> {
    if let Some(body) = footing {
        tx.prepare_cached("INSERT OR REPLACE INTO footing (id, body) VALUES (1, ?1)")?.execute([body])?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[tokio::test]
    async fn the_last_word_is_there_after_a_restart() {
        let dir = std::env::temp_dir().join(format!("hotline-footing-{}", std::process::id()));
        let (spool, _) = Spool::open(&dir).await.expect("opens");
        assert_eq!(spool.footing().await.expect("is read"), Footing::default());
        let numbers = serde_json::from_value(json!({"day": "2026-03-01", "node": 1, "next": 10, "end": 20})).ok();
        let hotlines = vec![HotlineRow {
            number: "12330".into(),
            name: "知识产权".into(),
            mode: "dual_track".into(),
            unit: None,
            active: true,
            detail: json!({}),
        }];
        let footing = Footing { highest_id: 7, numbers, hotlines, staff: Vec::new() };
        assert!(footing.numbers.is_some());
        spool.footing_put(&Footing::default()).await.expect("is written");
        spool.footing_put(&footing).await.expect("is written");
        drop(spool);
        let (spool, _) = Spool::open(&dir).await.expect("opens again");
        assert_eq!(spool.footing().await.expect("is read"), footing);
        std::fs::remove_dir_all(&dir).expect("is removed");
    }
}
