//! What agents did when: every change of status, for reports and 排班.

use super::{
    Page, Paged, Result, Store,
    sql::Columns,
    ticket::{Bind, List},
};
use crate::{
    clock::UnixMillis,
    ids::{AgentNo, CallId, Extension},
};
use sqlx::any::AnyRow;

/// One change of an agent's status.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AgentLogRow {
    /// The agent.
    pub agent: AgentNo,
    /// Where the agent sits.
    pub extension: Option<Extension>,
    /// When.
    pub at: UnixMillis,
    /// The new status, such as `talking`.
    pub status: String,
    /// Why, of a not-ready status.
    pub reason: Option<String>,
    /// The call it is about.
    pub call: Option<CallId>,
}

fn read(row: &AnyRow) -> Result<(i64, AgentLogRow)> {
    let change = AgentLogRow {
        agent: row.text("agent")?.into(),
        extension: row.text_opt("extension")?.map(Extension::from),
        at: row.millis("at")?,
        status: row.text("status")?,
        reason: row.text_opt("reason")?,
        call: row.id_opt("call_id")?.map(CallId),
    };
    Ok((row.int("id")?, change))
}

impl Store {
    /// Notes changes: all or none.
    pub async fn agent_log_append(&self, changes: Vec<AgentLogRow>) -> Result<()> {
        let numbered = |change: AgentLogRow| (self.new_id(), self.day(change.at), change);
        let rows: Vec<_> = changes.into_iter().map(numbered).collect();
        self.write(move |tx| {
            Box::pin(async move {
                for (id, day, change) in rows {
                    sqlx::query(
                        "INSERT INTO agent_log (id, agent, extension, at, day, status, reason, call_id) \
                         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
                    )
                    .bind(id as i64)
                    .bind(change.agent.as_str())
                    .bind(change.extension.as_ref().map(|extension| extension.as_str().to_owned()))
                    .bind(change.at.0)
                    .bind(day)
                    .bind(change.status)
                    .bind(change.reason)
                    .bind(change.call.map(|call| call.0 as i64))
                    .execute(&mut tx.conn)
                    .await?;
                }
                Ok(())
            })
        })
        .await
    }

    /// An agent's last change before a moment.
    pub async fn agent_log_last(&self, agent: &AgentNo, before: UnixMillis) -> Result<Option<AgentLogRow>> {
        let row = sqlx::query("SELECT * FROM agent_log WHERE agent = $1 AND at < $2 ORDER BY at DESC, id DESC LIMIT 1")
            .bind(agent.as_str())
            .bind(before.0)
            .fetch_optional(self.reader())
            .await?;
        row.as_ref().map(read).transpose().map(|found| found.map(|(_, change)| change))
    }

    /// Changes, the latest first; of one agent where one is named.
    pub async fn agent_log_list(&self, agent: Option<&AgentNo>, page: &Page) -> Result<Paged<AgentLogRow>> {
        let (at, id) = page.after()?;
        let rows = page.rows();
        let mut list = List::new("(at < $1 OR (at = $1 AND id < $2))", vec![Bind::Int(at), Bind::Int(id)]);
        list.text("agent", agent.map(|agent| agent.as_str().to_owned()));
        let sql = list.sql("SELECT * FROM agent_log", "at DESC, id DESC", rows + 1);
        let found = list.query(&sql).fetch_all(self.reader()).await?;
        let items = found.iter().map(read).collect::<Result<Vec<_>>>()?;
        let page = Paged::cut(items, rows, |(id, change)| (change.at.0, *id));
        let items = page.items.into_iter().map(|(_, change)| change).collect();
        Ok(Paged { items, next_cursor: page.next_cursor })
    }
}
