//! Assignments: written with their ticket only, listed for units.

use super::{
    Page, Paged, Result, Store,
    sql::{Columns, to_json},
    ticket::{Bind, List},
    writer::Tx,
};
use crate::{
    clock::UnixMillis,
    ids::{TicketId, TicketNo, UnitCode},
    ticket::{Assignment, assignment::State},
};

/// Which assignments are listed; all that is set must fit.
#[derive(Clone, Debug, Default)]
pub struct AssignmentFilter {
    /// The unit.
    pub unit: Option<UnitCode>,
    /// Its state.
    pub state: Option<State>,
    /// Dispatched at or after.
    pub from: Option<UnixMillis>,
    /// Dispatched before.
    pub to: Option<UnixMillis>,
    /// Only what has no reply and is past its due time at this moment.
    pub overdue_at: Option<UnixMillis>,
}

/// An assignment in a list, with its ticket's number.
#[derive(Clone, Debug, PartialEq)]
pub struct ListedAssignment {
    /// The ticket.
    pub ticket_no: TicketNo,
    /// The assignment.
    pub assignment: Assignment,
}

/// Writes the assignments of a ticket as they are now.
pub(super) async fn save(
    tx: &mut Tx,
    ticket: TicketId,
    assignments: &[Assignment],
    day: impl Fn(UnixMillis) -> String,
) -> Result<()> {
    for (place, a) in assignments.iter().enumerate() {
        sqlx::query(
            "INSERT INTO assignment (id, ticket_id, place, unit, role, state, dispatched_at, day, sign_due_at, signed_at, \
             due_at, replied_at, accepted_at, redo, body) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15) \
             ON CONFLICT (id) DO UPDATE SET state = excluded.state, signed_at = excluded.signed_at, \
             due_at = excluded.due_at, replied_at = excluded.replied_at, accepted_at = excluded.accepted_at, \
             redo = excluded.redo, body = excluded.body",
        )
        .bind(a.id.0 as i64)
        .bind(ticket.0 as i64)
        .bind(place as i64)
        .bind(a.unit.as_str())
        .bind(a.role.name())
        .bind(a.state.name())
        .bind(a.dispatched_at.0)
        .bind(day(a.dispatched_at))
        .bind(a.sign_due_at.0)
        .bind(a.signed_at.map(|at| at.0))
        .bind(a.due_at.0)
        .bind(a.reply.as_ref().map(|reply| reply.at.0))
        .bind(a.accepted_at.map(|at| at.0))
        .bind(i64::from(a.redo))
        .bind(to_json(a)?)
        .execute(&mut tx.conn)
        .await?;
    }
    Ok(())
}

impl Store {
    /// A ticket's assignments, the oldest first.
    pub async fn assignments_of(&self, ticket: TicketId) -> Result<Vec<Assignment>> {
        let rows = sqlx::query("SELECT body FROM assignment WHERE ticket_id = $1 ORDER BY place")
            .bind(ticket.0 as i64)
            .fetch_all(self.reader())
            .await?;
        rows.iter().map(|row| row.json("body")).collect()
    }

    /// Assignments that fit the filter, the latest dispatched first.
    pub async fn assignment_list(&self, filter: &AssignmentFilter, page: &Page) -> Result<Paged<ListedAssignment>> {
        let (at, id) = page.after()?;
        let rows = page.rows();
        let first = "(a.dispatched_at < $1 OR (a.dispatched_at = $1 AND a.id < $2))";
        let mut list = List::new(first, vec![Bind::Int(at), Bind::Int(id)]);
        list.text("a.unit", filter.unit.as_ref().map(|unit| unit.as_str().to_owned()));
        list.text("a.state", filter.state.map(|state| state.name().to_owned()));
        list.int("a.dispatched_at >=", filter.from.map(|at| at.0));
        list.int("a.dispatched_at <", filter.to.map(|at| at.0));
        if let Some(at) = filter.overdue_at {
            list.int("a.state IN ('to_sign', 'in_progress', 'return_review', 'forced') AND a.due_at <", Some(at.0));
        }
        let select = "SELECT a.body AS body, t.no AS no FROM assignment a JOIN ticket t ON t.id = a.ticket_id";
        let sql = list.sql(select, "a.dispatched_at DESC, a.id DESC", rows + 1);
        let found = list.query(&sql).fetch_all(self.reader()).await?;
        let items = found
            .iter()
            .map(|row| Ok(ListedAssignment { ticket_no: row.text("no")?.into(), assignment: row.json("body")? }))
            .collect::<Result<Vec<_>>>()?;
        Ok(Paged::cut(items, rows, |l| (l.assignment.dispatched_at.0, l.assignment.id.0 as i64)))
    }
}
