//! What a ticket's step points at must be there when the step is written: units that take tickets, tickets that are
//! still open.

use super::{Result, sql::Columns, writer::Tx};
use crate::{
    ids::{TicketNo, UnitCode},
    ticket::{Event, Origin, Rejected, State, What},
};

/// Fails with `UnknownUnit` or `UnknownTicket` where a step leads into nothing.
pub(super) async fn of_events(tx: &mut Tx, happened: &[Event]) -> Result<()> {
    for event in happened {
        match &event.what {
            What::Dispatched { unit, .. } => active_unit(tx, unit).await?,
            What::Merged { into } => open_ticket(tx, into).await?,
            What::Completed { chases: Some(no), .. } => open_ticket(tx, no).await?,
            _ => {}
        }
    }
    Ok(())
}

/// The same for where a new ticket comes from. What it was split off may be over: a call asks for several things, and
/// one of them can be answered at once.
pub(super) async fn of_origin(tx: &mut Tx, origin: &Origin) -> Result<()> {
    match &origin.split_from {
        Some(no) if ticket_state(tx, no).await?.is_none() => Err(Rejected::UnknownTicket(no.clone()).into()),
        _ => Ok(()),
    }
}

async fn active_unit(tx: &mut Tx, unit: &UnitCode) -> Result<()> {
    let row =
        sqlx::query("SELECT active FROM unit WHERE code = $1").bind(unit.as_str()).fetch_optional(&mut tx.conn).await?;
    match row {
        Some(row) if row.flag("active")? => Ok(()),
        _ => Err(Rejected::UnknownUnit(unit.clone()).into()),
    }
}

async fn open_ticket(tx: &mut Tx, no: &TicketNo) -> Result<()> {
    let state = ticket_state(tx, no).await?;
    let state = state.and_then(|name| State::ALL.into_iter().find(|state| state.name() == name));
    if state.is_some_and(State::is_open) { Ok(()) } else { Err(Rejected::UnknownTicket(no.clone()).into()) }
}

async fn ticket_state(tx: &mut Tx, no: &TicketNo) -> Result<Option<String>> {
    let row =
        sqlx::query("SELECT state FROM ticket WHERE no = $1").bind(no.as_str()).fetch_optional(&mut tx.conn).await?;
    row.map(|row| row.text("state")).transpose()
}
