//! Where agents' telephones were registered, so that they are rung right after a restart and not only when each has
//! refreshed its registration.

use super::{Op, Spool, journal};
use crate::store::{
    Result,
    sql::{from_json, to_json},
};
use serde_json::Value;
use sqlx::{Connection, Row, SqliteConnection};
use std::collections::HashMap;

pub(super) const SCHEMA: &str = "CREATE TABLE IF NOT EXISTS binding (aor TEXT PRIMARY KEY, body TEXT NOT NULL)";

impl Spool {
    /// Keeps the bindings of an address-of-record in place of those before; None: it has none. False where it could
    /// not be taken now.
    pub fn bindings_put(&self, aor: &str, bindings: Option<Value>) -> bool {
        self.tell(Op::Bindings(aor.to_owned(), bindings))
    }

    /// All bindings as they were kept, expired ones too.
    ///
    /// # Errors
    /// The journal cannot be read.
    pub async fn bindings(&self) -> Result<Vec<(String, Value)>> {
        let mut conn = journal::connect(&self.shared.path).await?;
        let mut all = Vec::new();
        for row in sqlx::query("SELECT aor, body FROM binding ORDER BY aor").fetch_all(&mut conn).await? {
            let (aor, body): (String, String) = (row.try_get("aor")?, row.try_get("body")?);
            all.push((aor, from_json(&body)?));
        }
        conn.close().await?;
        Ok(all)
    }
}

pub(super) async fn write(conn: &mut SqliteConnection, bindings: &HashMap<String, Option<Value>>) -> Result<()> {
    for (aor, body) in bindings {
        match body {
            Some(body) => {
                sqlx::query("INSERT OR REPLACE INTO binding (aor, body) VALUES ($1, $2)")
                    .bind(aor.as_str())
                    .bind(to_json(body)?)
                    .execute(&mut *conn)
                    .await?;
            }
            None => {
                sqlx::query("DELETE FROM binding WHERE aor = $1").bind(aor.as_str()).execute(&mut *conn).await?;
            }
        }
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
        assert!(spool.bindings_put("8001", None));
        assert!(spool.bindings_put("8002", Some(json!([3]))));
        spool.flush().await.expect("is written");
        drop(spool);
        let (spool, _) = Spool::open(&dir).await.expect("opens again");
        assert_eq!(spool.bindings().await.expect("is read"), [("8002".to_owned(), json!([3]))]);
        std::fs::remove_dir_all(&dir).expect("is removed");
    }
}
