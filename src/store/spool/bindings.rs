//! Where agents' telephones were registered, so that they are rung right after a restart and not only when each has
//! refreshed its registration.

use super::{Op, Spool};
use crate::store::{
    Result,
    sql::{from_json, to_json},
};
use rusqlite::Connection;
use serde::Serialize;
use serde_json::Value;
use std::collections::HashMap;

pub(super) const SCHEMA: &str = "CREATE TABLE IF NOT EXISTS binding (aor TEXT PRIMARY KEY, body TEXT NOT NULL)";

impl Spool {
    /// Keeps the bindings of an address-of-record in place of those before; None: it has none. False where it could
    /// not be taken now.
    pub fn bindings_put(&self, aor: &str, bindings: Option<impl Serialize>) -> bool {
        let text = bindings.map(|bindings| to_json(&bindings)).transpose();
        text.is_ok_and(|text| self.tell(Op::Bindings(aor.to_owned(), text)))
    }

    /// All bindings as they were kept, expired ones too.
    ///
    /// # Errors
    /// The journal cannot be read.
    pub async fn bindings(&self) -> Result<Vec<(String, Value)>> {
        self.read(|conn| {
            let mut query = conn.prepare("SELECT aor, body FROM binding ORDER BY aor")?;
            let rows = query.query_map([], |row| Ok((row.get(0)?, row.get::<_, String>(1)?)))?;
            rows.map(|row| row.map_err(Into::into).and_then(|(aor, body)| Ok((aor, from_json(&body)?)))).collect()
        })
        .await
    }
}

pub(super) fn write(tx: &Connection, bindings: &HashMap<String, Option<String>>) -> Result<()> {
    for (aor, body) in bindings {
        match body {
            Some(body) => {
                tx.prepare_cached("INSERT OR REPLACE INTO binding (aor, body) VALUES (?1, ?2)")?.execute([aor, body])?
            }
            None => tx.prepare_cached("DELETE FROM binding WHERE aor = ?1")?.execute([aor])?,
        };
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[tokio::test]
    async fn the_last_word_on_each_is_there_after_a_restart() {
        let dir = std::env::temp_dir().join(format!("hotline-bindings-{}", std::process::id()));
        let (spool, _) = Spool::open(&dir).await.expect("opens");
        assert!(spool.bindings_put("8001", Some(json!([1]))));
        assert!(spool.bindings_put("8002", Some(json!([2]))));
        spool.flush().await.expect("is written");
        assert!(spool.bindings_put("8001", None::<Value>));
        assert!(spool.bindings_put("8002", Some(json!([3]))));
        spool.flush().await.expect("is written");
        drop(spool);
        let (spool, _) = Spool::open(&dir).await.expect("opens again");
        assert_eq!(spool.bindings().await.expect("is read"), [("8002".to_owned(), json!([3]))]);
        std::fs::remove_dir_all(&dir).expect("is removed");
    }
}
