//! 保密: which citizens are confidential, and what a list's query hides of them.

use super::{
    Result, Store,
    sql::{Columns, marks, runs},
    ticket::List,
    writer::Tx,
};
use crate::ids::{AgentNo, CallId, TicketNo};
use sqlx::AssertSqlSafe;
use std::collections::{HashMap, HashSet};

/// Whose confidential rows a query may find.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Confidence {
    /// Everybody's: the program itself, and those who were granted them.
    #[default]
    All,
    /// Those of this agent's own citizens.
    Agent(AgentNo),
    /// Nobody's.
    Nobody,
}

impl Confidence {
    /// Narrows a list to what is not `secret`, or belongs to the agent in the column `agent` that may know.
    pub(super) fn narrow(&self, list: &mut List, not_secret: &'static str, own: &'static str) {
        match self {
            Confidence::All => {}
            Confidence::Agent(agent) => list.add(own, agent.as_str().into()),
            Confidence::Nobody => list.plain(not_secret),
        }
    }
}

impl Store {
    /// Those of these tickets whose citizen is confidential, each with the agent who may know.
    pub async fn confidential_tickets(&self, nos: &[TicketNo]) -> Result<HashMap<TicketNo, Option<AgentNo>>> {
        let mut found = HashMap::new();
        for run in runs(nos) {
            let sql = format!("SELECT no, agent FROM ticket WHERE confidential = 1 AND no IN ({})", marks(run.len()));
            let mut query = sqlx::query(AssertSqlSafe(sql));
            for no in run {
                query = query.bind(no.as_str().to_owned());
            }
            for row in query.fetch_all(self.reader()).await? {
                found.insert(TicketNo::from(row.text("no")?), row.text_opt("agent")?.map(AgentNo::from));
            }
        }
        Ok(found)
    }

    /// Those of these calls that have a confidential ticket.
    pub async fn confidential_calls(&self, calls: &[CallId]) -> Result<HashSet<CallId>> {
        let mut found = HashSet::new();
        for run in runs(calls) {
            let sql = format!(
                "SELECT DISTINCT call_id FROM ticket WHERE confidential = 1 AND call_id IN ({})",
                marks(run.len())
            );
            let mut query = sqlx::query(AssertSqlSafe(sql));
            for call in run {
                query = query.bind(call.0 as i64);
            }
            for row in query.fetch_all(self.reader()).await? {
                found.insert(CallId(row.id("call_id")?));
            }
        }
        Ok(found)
    }
}

/// The recordings of a call are confidential while one of its tickets is.
pub(super) async fn mark_recordings(tx: &mut Tx, call: CallId) -> Result<()> {
    sqlx::query(
        "UPDATE recording SET confidential = (SELECT COALESCE(max(t.confidential), 0) FROM ticket t WHERE t.call_id = $1) \
         WHERE call_id = $2",
    )
    .bind(call.0 as i64)
    .bind(call.0 as i64)
    .execute(&mut tx.conn)
    .await?;
    Ok(())
}
