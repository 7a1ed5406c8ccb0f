//! A ticket together with its assignments.
//!
//! [`Case::apply`] takes a command and gives the case as it is afterwards and what happened, or the reason why not; a
//! rejected command changes nothing. The caller saves the result by compare-and-set on [`Ticket::version`]. What the
//! centre does is in `case_centre`, what units do in `case_unit`.

use super::{
    assignment::{Assignment, State as UnitState, UnitRole},
    calendar::Calendar,
    command::{Actor, Command},
    deadline::{Policy, Rule},
    event::{Event, What},
    rejected::Rejected,
    ticket::Ticket,
};
use crate::{
    clock::UnixMillis,
    ids::{AssignmentId, UnitCode},
};
use serde::{Deserialize, Serialize};

/// Settings that decide due times and limits.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Rules {
    /// Working days and office hours.
    pub calendar: Calendar,
    /// Deadlines and limits.
    pub policy: Policy,
}

/// What a command is applied with.
pub struct Context<'a> {
    /// Who gives it.
    pub by: &'a Actor,
    /// Settings.
    pub rules: &'a Rules,
    /// Gives a number for a new assignment, never given before.
    pub next_id: &'a dyn Fn() -> u64,
}

/// A ticket with its assignments, the oldest first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Case {
    /// The ticket.
    pub ticket: Ticket,
    /// Its assignments.
    pub assignments: Vec<Assignment>,
}

impl Case {
    /// A new record, and its first event.
    pub fn create(mut ticket: Ticket, by: &Actor) -> (Case, Event) {
        ticket.history = 1;
        let event = Event {
            seq: 1,
            at: ticket.accepted_at,
            by: by.clone(),
            state: ticket.state,
            what: What::Created { class: ticket.class },
        };
        (Case { ticket, assignments: Vec::new() }, event)
    }

    /// The case after `command`, and what happened; or why it was not taken.
    pub fn apply(
        &self,
        command: &Command,
        context: &Context<'_>,
        now: UnixMillis,
    ) -> Result<(Case, Vec<Event>), Rejected> {
        context.by.may(command)?;
        let mut change = Change { case: self.clone(), events: Vec::new(), context, now, command: command.name() };
        change.take(command)?;
        let Change { mut case, events, .. } = change;
        case.ticket.version += 1;
        Ok((case, events))
    }

    /// The lead's live assignment.
    pub fn lead(&self) -> Option<&Assignment> {
        self.assignments.iter().rev().find(|a| a.role == UnitRole::Lead && a.state.is_live())
    }

    /// What a unit has of this ticket: all of it while it works on it or has replied, nothing where it is the one
    /// complained about.
    pub fn part_of(&self, unit: &UnitCode) -> Part {
        if self.ticket.matter.against.as_ref() == Some(unit) {
            return Part::Nothing;
        }
        let own = || self.assignments.iter().filter(|a| a.unit == *unit);
        if own().any(|a| a.state.is_live()) {
            Part::Whole
        } else if own().next().is_some() {
            Part::Former
        } else {
            Part::Nothing
        }
    }
}

/// What somebody has of a ticket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Nothing: as if there were no such ticket.
    Nothing,
    /// It was returned, recalled or waived: no more than the unit's own assignments.
    Former,
    /// All of it.
    Whole,
}

/// One command being applied: the case as it is so far.
pub(super) struct Change<'a> {
    pub(super) case: Case,
    pub(super) events: Vec<Event>,
    pub(super) context: &'a Context<'a>,
    pub(super) now: UnixMillis,
    pub(super) command: &'static str,
}

impl Change<'_> {
    fn take(&mut self, command: &Command) -> Result<(), Rejected> {
        use Command::*;
        match command {
            Register { matter, citizen } => self.register(matter, citizen.as_ref()),
            DirectAnswer { matter, answer, follow_up } => self.direct_answer(matter.as_ref(), answer, *follow_up),
            Reject { code, referred_to } => self.reject(code, referred_to),
            Complete { kind, note, chases } => self.complete(*kind, note, chases.as_ref()),
            Amend { matter, citizen } => self.amend(matter.as_ref(), citizen.as_ref()),
            Withdraw { reason } => self.withdraw(reason),
            Urge { note } => self.urge(note),
            Dispatch { lead, assist, rule, note } => self.dispatch(lead, assist, *rule, note),
            AskSupplement { question, assignment } => self.ask_supplement(question, *assignment),
            Supplied { text } => self.supplied(text),
            ContactFailed { note } => self.contact_failed(note),
            Merge { into } => self.merge(into),
            Split { reason } => self.split(reason),
            Void { reason } => self.void(reason),
            Sign { assignment } => self.sign(*assignment),
            Arrived { assignment } => self.arrived(*assignment),
            Progress { assignment, text } => self.progress(*assignment, text),
            Reply { assignment, text, contacted } => self.reply(*assignment, text, contacted.as_deref()),
            RequestReturn { assignment, reason } => self.request_return(*assignment, reason),
            RequestExtension { assignment, days, reason } => self.request_extension(*assignment, *days, reason),
            Suspend { assignment, reason } => self.suspend(*assignment, reason),
            Resume { assignment } => self.resume(*assignment),
            GrantReturn { assignment, to } => self.grant_return(*assignment, to.as_ref()),
            RefuseReturn { assignment, reason } => self.refuse_return(*assignment, reason),
            GrantExtension { assignment } => self.grant_extension(*assignment),
            RefuseExtension { assignment, reason } => self.refuse_extension(*assignment, reason),
            Recall { assignment, to, reason } => self.recall(*assignment, to.as_ref(), reason),
            Waive { assignment, reason } => self.waive(*assignment, reason),
            Accept { note } => self.accept(note),
            Redo { reason, rule } => self.redo(reason, *rule),
            CloseObjective { explanation } => self.close_objective(explanation),
            FollowUp { result, solved, note } => self.follow_up(*result, *solved, note),
            Close { note } => self.close_without_asking(note),
            Archive {} => self.archive(),
            Recompute {} => self.recompute(),
        }
    }

    /// Writes an entry of the history, with the ticket's state as it is now.
    pub(super) fn tell(&mut self, what: What) {
        self.case.ticket.history += 1;
        self.events.push(Event {
            seq: self.case.ticket.history,
            at: self.now,
            by: self.context.by.clone(),
            state: self.case.ticket.state,
            what,
        });
    }

    /// The due time of a rule that counts from now.
    pub(super) fn due(&self, rule: Rule) -> UnixMillis {
        rule.due(self.now, &self.context.rules.calendar)
    }

    pub(super) fn policy(&self) -> &Policy {
        &self.context.rules.policy
    }

    /// The place of the assignment that is meant: by its id, else the actor's unit's only one that fits, else the only
    /// one that fits. A unit reaches its own alone.
    pub(super) fn find(&self, id: Option<AssignmentId>, fits: impl Fn(&Assignment) -> bool) -> Result<usize, Rejected> {
        let unit = self.context.by.unit.as_ref();
        let own = |a: &Assignment| unit.is_none_or(|unit| a.unit == *unit);
        let all = &self.case.assignments;
        if let Some(id) = id {
            let place = all.iter().position(|a| a.id == id).ok_or(Rejected::NoAssignment(id))?;
            return if own(&all[place]) { Ok(place) } else { Err(Rejected::OtherUnit) };
        }
        if unit.is_some() && !all.iter().any(&own) {
            return Err(Rejected::OtherUnit);
        }
        let mut places = all.iter().enumerate().filter(|(_, a)| own(a) && fits(a)).map(|(place, _)| place);
        match (places.next(), places.next()) {
            (Some(place), None) => Ok(place),
            (Some(_), Some(_)) => Err(Rejected::WhichAssignment),
            // A unit's latest assignment says best why the command does not apply to it.
            (None, _) => {
                let latest = all.iter().rev().find(|a| own(a));
                Err(latest.map_or(Rejected::WhichAssignment, |a| Rejected::AssignmentState {
                    command: self.command,
                    state: a.state,
                }))
            }
        }
    }

    /// Gives the ticket to a unit.
    pub(super) fn assign(
        &mut self,
        unit: &UnitCode,
        role: UnitRole,
        rule: Option<Rule>,
        designated: bool,
        note: &str,
    ) -> Result<(), Rejected> {
        if self.case.ticket.matter.against.as_ref() == Some(unit) {
            return Err(Rejected::ComplainedAbout(unit.clone()));
        }
        if self.case.assignments.iter().any(|a| a.unit == *unit && a.state.is_live()) {
            return Err(Rejected::UnitTwice(unit.clone()));
        }
        let matter = &self.case.ticket.matter;
        let rule = rule.unwrap_or_else(|| self.policy().handling(matter.kind, matter.urgency));
        let id = AssignmentId((self.context.next_id)());
        let due_at = self.due(rule);
        self.case.assignments.push(Assignment {
            id,
            unit: unit.clone(),
            role,
            state: if designated { UnitState::Forced } else { UnitState::ToSign },
            parent: None,
            dispatched_at: self.now,
            sign_due_at: self.due(self.policy().sign),
            signed_at: None,
            signed_in_time: None,
            rule,
            rule_from: self.now,
            due_at,
            extension: None,
            suspended_at: None,
            suspended_millis: 0,
            designated,
            arrived_at: None,
            reply: None,
            accepted_at: None,
            redo: 0,
        });
        let (unit, note) = (unit.clone(), note.to_owned());
        self.tell(What::Dispatched { assignment: id, unit, role, rule, due_at, note, designated });
        Ok(())
    }

    /// Takes the ticket back from every unit that still works on it, because it ends.
    pub(super) fn recall_all(&mut self, reason: &str) {
        let mut recalled = Vec::new();
        for assignment in &mut self.case.assignments {
            if assignment.state.is_open() || assignment.state == UnitState::Replied {
                assignment.state = UnitState::Recalled;
                recalled.push(assignment.id);
            }
        }
        for assignment in recalled {
            self.tell(What::Recalled { assignment, reason: reason.to_owned() });
        }
    }

    fn recompute(&mut self) -> Result<(), Rejected> {
        if !self.case.ticket.state.is_open() {
            return Err(Rejected::TicketState { command: self.command, state: self.case.ticket.state });
        }
        let rules = self.context.rules;
        let mut moved = Vec::new();
        for a in self.case.assignments.iter_mut().filter(|a| a.state.is_open()) {
            let due = a.due(&rules.calendar);
            if due != a.due_at {
                moved.push((Some(a.id), a.due_at, due));
                a.due_at = due;
            }
        }
        let ticket = &mut self.case.ticket;
        if let (Some(from), Some(rule)) = (ticket.due_at, ticket.rule) {
            let to = rule.due(ticket.accepted_at, &rules.calendar);
            if to != from {
                ticket.due_at = Some(to);
                moved.push((None, from, to));
            }
        }
        for (assignment, from, to) in moved {
            self.tell(What::DueMoved { assignment, from, to });
        }
        Ok(())
    }
}
