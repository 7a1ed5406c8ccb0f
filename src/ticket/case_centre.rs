//! What the centre does to a ticket: agents, dispatchers, reviewers and follow-up agents.

use super::{
    assignment::{State as UnitState, UnitRole},
    command::{MAX_ASSIST, Role, bounded, filled},
    deadline::Rule,
    event::What,
    rejected::Rejected,
    ticket::{Citizen, Class, ContactKind, Matter, Outcome, State, Supplement, Verdict},
    workflow::Change,
};
use crate::{
    clock::UnixMillis,
    ids::{AssignmentId, TicketNo, UnitCode},
};
use std::collections::BTreeSet;

impl Change<'_> {
    pub(super) fn register(&mut self, matter: &Matter, citizen: Option<&Citizen>) -> Result<(), Rejected> {
        self.case.ticket.require(self.command, &[State::Draft])?;
        self.make_request(Some(matter), citizen)?;
        self.case.ticket.become_state(State::ToDispatch, self.command)?;
        let due_at = self.start_clock();
        self.tell(What::Registered { due_at });
        Ok(())
    }

    pub(super) fn direct_answer(
        &mut self,
        matter: Option<&Matter>,
        answer: &str,
        follow_up: bool,
    ) -> Result<(), Rejected> {
        filled("answer", answer)?;
        self.case.ticket.require(self.command, &[State::Draft])?;
        self.make_request(matter, None)?;
        self.start_clock();
        if follow_up {
            self.begin_follow_up()?;
            self.tell(What::DirectlyAnswered { answer: answer.to_owned() });
            return Ok(());
        }
        self.case.ticket.close(Outcome::DirectAnswer, answer, self.now, self.command)?;
        self.tell(What::DirectlyAnswered { answer: answer.to_owned() });
        self.tell_closed();
        Ok(())
    }

    pub(super) fn reject(&mut self, code: &str, referred_to: &str) -> Result<(), Rejected> {
        filled("code", code)?;
        bounded("referred_to", referred_to)?;
        self.case.ticket.require(self.command, &[State::Draft])?;
        self.case.ticket.class = Class::Contact(ContactKind::Referred);
        self.case.ticket.close(Outcome::Rejected, code, self.now, self.command)?;
        self.tell(What::Rejected { code: code.to_owned(), referred_to: referred_to.to_owned() });
        self.tell_closed();
        Ok(())
    }

    pub(super) fn complete(
        &mut self,
        kind: ContactKind,
        note: &str,
        chases: Option<&TicketNo>,
    ) -> Result<(), Rejected> {
        bounded("note", note)?;
        self.case.ticket.require(self.command, &[State::Draft])?;
        self.case.ticket.class = Class::Contact(kind);
        self.case.ticket.close(Outcome::Contact, note, self.now, self.command)?;
        self.tell(What::Completed { kind, note: note.to_owned(), chases: chases.cloned() });
        Ok(())
    }

    pub(super) fn amend(&mut self, matter: Option<&Matter>, citizen: Option<&Citizen>) -> Result<(), Rejected> {
        self.require_open()?;
        let before = &self.case.ticket;
        let (old_matter, old_citizen) = (before.matter.clone(), before.citizen.clone());
        if let Some(matter) = matter {
            check_matter(matter)?;
            let accused = matter.against.as_ref();
            if let Some(unit) = self.case.assignments.iter().find(|a| a.state.is_live() && Some(&a.unit) == accused) {
                return Err(Rejected::ComplainedAbout(unit.unit.clone()));
            }
            self.case.ticket.matter = matter.clone();
        }
        if let Some(citizen) = citizen {
            self.set_citizen(citizen)?;
        }
        self.tell(What::Amended { matter: matter.map(|_| old_matter), citizen: citizen.map(|_| old_citizen) });
        Ok(())
    }

    pub(super) fn withdraw(&mut self, reason: &str) -> Result<(), Rejected> {
        bounded("reason", reason)?;
        self.require_open()?;
        self.case.ticket.close(Outcome::Withdrawn, reason, self.now, self.command)?;
        self.recall_all("withdrawn");
        self.tell_closed();
        Ok(())
    }

    pub(super) fn urge(&mut self, note: &str) -> Result<(), Rejected> {
        bounded("note", note)?;
        self.require_open()?;
        self.case.ticket.urged += 1;
        self.tell(What::Urged { times: self.case.ticket.urged, note: note.to_owned() });
        Ok(())
    }

    pub(super) fn dispatch(
        &mut self,
        lead: &UnitCode,
        assist: &[UnitCode],
        rule: Option<Rule>,
        note: &str,
    ) -> Result<(), Rejected> {
        filled("lead", lead.as_str())?;
        bounded("note", note)?;
        if assist.len() > MAX_ASSIST || assist.iter().any(|unit| unit.as_str().trim().is_empty()) {
            return Err(Rejected::Field("assist"));
        }
        self.case.ticket.require(self.command, &[State::ToDispatch])?;
        self.case.ticket.become_state(State::Handling, self.command)?;
        self.assign(lead, UnitRole::Lead, rule, false, note)?;
        for unit in assist {
            self.assign(unit, UnitRole::Assist, rule, false, note)?;
        }
        Ok(())
    }

    pub(super) fn ask_supplement(&mut self, question: &str, assignment: Option<AssignmentId>) -> Result<(), Rejected> {
        filled("question", question)?;
        self.case.ticket.require(self.command, &[State::ToDispatch, State::Handling])?;
        let asked_by = if self.case.ticket.state == State::Handling {
            let place = self.find(assignment, |a| a.state.is_open())?;
            Some(self.case.assignments[place].id)
        } else if self.context.by.unit.is_some() {
            return Err(Rejected::OtherUnit);
        } else {
            None
        };
        self.case.ticket.become_state(State::ToSupplement, self.command)?;
        self.case.ticket.step_due_at = Some(self.due(self.policy().supplement));
        self.case.ticket.supplement = Some(Supplement { question: question.to_owned(), asked_by, failed: 0 });
        self.tell(What::SupplementAsked { assignment: asked_by, question: question.to_owned() });
        Ok(())
    }

    pub(super) fn supplied(&mut self, text: &str) -> Result<(), Rejected> {
        filled("text", text)?;
        self.case.ticket.require(self.command, &[State::ToSupplement])?;
        self.part_of_it()?;
        // Back to where it was asked: a dispatcher's desk, or the units while the lead still has it.
        let asked_by_unit = self.case.ticket.supplement.as_ref().is_some_and(|s| s.asked_by.is_some());
        let to = if asked_by_unit && self.case.lead().is_some() { State::Handling } else { State::ToDispatch };
        self.case.ticket.become_state(to, self.command)?;
        self.case.ticket.supplement = None;
        self.tell(What::Supplied { text: text.to_owned() });
        Ok(())
    }

    pub(super) fn contact_failed(&mut self, note: &str) -> Result<(), Rejected> {
        bounded("note", note)?;
        self.case.ticket.require(self.command, &[State::ToSupplement])?;
        self.part_of_it()?;
        let limit = self.policy().supplement_tries;
        let tries = self.case.ticket.supplement.as_mut().map_or(limit, |supplement| {
            supplement.failed += 1;
            supplement.failed
        });
        self.tell(What::ContactFailed { tries, note: note.to_owned() });
        if tries >= limit {
            self.case.ticket.close(Outcome::Unsupplied, note, self.now, self.command)?;
            self.recall_all("unsupplied");
            self.tell_closed();
        }
        Ok(())
    }

    pub(super) fn merge(&mut self, into: &TicketNo) -> Result<(), Rejected> {
        filled("into", into.as_str())?;
        if *into == self.case.ticket.no {
            return Err(Rejected::MergeSelf);
        }
        self.case.ticket.become_state(State::Merged, self.command)?;
        self.case.ticket.merged_into = Some(into.clone());
        self.tell(What::Merged { into: into.clone() });
        Ok(())
    }

    pub(super) fn split(&mut self, reason: &str) -> Result<(), Rejected> {
        bounded("reason", reason)?;
        self.case.ticket.require(self.command, &[State::Merged])?;
        self.case.ticket.become_state(State::ToDispatch, self.command)?;
        let from = self.case.ticket.merged_into.take();
        self.tell(What::Split { from, reason: reason.to_owned() });
        Ok(())
    }

    pub(super) fn void(&mut self, reason: &str) -> Result<(), Rejected> {
        filled("reason", reason)?;
        self.case.ticket.become_state(State::Void, self.command)?;
        // Assisting units may still hold it when the lead returned it.
        self.recall_all("void");
        self.tell(What::Voided { reason: reason.to_owned() });
        Ok(())
    }

    pub(super) fn accept(&mut self, note: &str) -> Result<(), Rejected> {
        bounded("note", note)?;
        self.case.ticket.require(self.command, &[State::ToReview])?;
        for place in 0..self.case.assignments.len() {
            if self.case.assignments[place].state == UnitState::Replied {
                self.case.assignments[place].become_state(UnitState::Accepted, self.command)?;
                self.case.assignments[place].accepted_at = Some(self.now);
            }
        }
        self.begin_follow_up()?;
        self.tell(What::Accepted { note: note.to_owned() });
        Ok(())
    }

    pub(super) fn redo(&mut self, reason: &str, rule: Option<Rule>) -> Result<(), Rejected> {
        filled("reason", reason)?;
        self.case.ticket.require(self.command, &[State::ToReview, State::ToFollowUp])?;
        if self.case.ticket.state == State::ToFollowUp {
            if !self.case.ticket.follow_up.awaits_decision {
                return Err(Rejected::NothingToDecide);
            }
            // Only a redo that a citizen's verdict asks for is capped: a bad reply is never good by repetition.
            if self.case.ticket.redo >= self.policy().max_redo {
                return Err(Rejected::RedoLimit(self.policy().max_redo));
            }
        }
        let lead = self.case.lead().map(|lead| lead.id).ok_or(Rejected::NoLead)?;
        let place = self.find(Some(lead), |_| true)?;
        let rule = rule.unwrap_or(self.case.assignments[place].rule);
        let due_at = self.due(rule);
        let assignment = &mut self.case.assignments[place];
        assignment.become_state(assignment.working_state(), self.command)?;
        (assignment.rule, assignment.rule_from, assignment.due_at) = (rule, self.now, due_at);
        (assignment.extension, assignment.suspended_millis) = (None, 0);
        (assignment.reply, assignment.accepted_at) = (None, None);
        assignment.redo += 1;
        self.case.ticket.become_state(State::Handling, self.command)?;
        self.case.ticket.redo += 1;
        self.case.ticket.follow_up = Default::default();
        self.tell(What::Redone { assignment: lead, reason: reason.to_owned(), due_at });
        Ok(())
    }

    pub(super) fn follow_up(&mut self, result: Verdict, solved: Option<bool>, note: &str) -> Result<(), Rejected> {
        bounded("note", note)?;
        self.case.ticket.require(self.command, &[State::ToFollowUp])?;
        if self.case.ticket.follow_up.awaits_decision {
            return Err(Rejected::AwaitsDecision);
        }
        let solved = if result == Verdict::Unreachable { None } else { solved };
        self.tell(What::FollowedUp { result, solved, note: note.to_owned() });
        let record = &mut self.case.ticket.follow_up;
        match result {
            Verdict::Satisfied | Verdict::BasicallySatisfied => {
                (record.verdict, record.solved) = (Some(result), solved);
                self.case.ticket.close(Outcome::FollowedUp, note, self.now, self.command)?;
                self.tell_closed();
            }
            Verdict::Unsatisfied => {
                (record.verdict, record.solved) = (Some(result), solved);
                record.awaits_decision = true;
                self.case.ticket.step_due_at = Some(self.due(self.policy().review));
            }
            Verdict::Unreachable => {
                record.failed_at.push(self.now);
                if self.was_sought_enough() {
                    self.case.ticket.close(Outcome::Unreachable, note, self.now, self.command)?;
                    self.tell_closed();
                }
            }
        }
        Ok(())
    }

    pub(super) fn close_objective(&mut self, explanation: &str) -> Result<(), Rejected> {
        filled("explanation", explanation)?;
        self.case.ticket.require(self.command, &[State::ToFollowUp])?;
        if !self.case.ticket.follow_up.awaits_decision {
            return Err(Rejected::NothingToDecide);
        }
        self.case.ticket.close(Outcome::Objective, explanation, self.now, self.command)?;
        self.tell_closed();
        Ok(())
    }

    pub(super) fn close_without_asking(&mut self, note: &str) -> Result<(), Rejected> {
        bounded("note", note)?;
        self.case.ticket.require(self.command, &[State::ToFollowUp])?;
        if self.case.ticket.follow_up.awaits_decision {
            return Err(Rejected::AwaitsDecision);
        }
        // Who can be asked is asked: else a bad reply would be closed by whoever dislikes the answer.
        if self.case.ticket.citizen.reach().is_some() {
            if !matches!(self.context.by.role, Role::Supervisor | Role::Admin | Role::System) {
                return Err(Rejected::CitizenReachable);
            }
            filled("note", note)?;
        }
        self.case.ticket.close(Outcome::NoFollowUp, note, self.now, self.command)?;
        self.tell_closed();
        Ok(())
    }

    pub(super) fn archive(&mut self) -> Result<(), Rejected> {
        self.case.ticket.become_state(State::Archived, self.command)?;
        self.tell(What::Archived {});
        Ok(())
    }

    fn require_open(&self) -> Result<(), Rejected> {
        let state = self.case.ticket.state;
        if state.is_open() { Ok(()) } else { Err(Rejected::TicketState { command: self.command, state }) }
    }

    /// A unit acts on a ticket that it has a part in; the centre on any.
    fn part_of_it(&self) -> Result<(), Rejected> {
        match &self.context.by.unit {
            Some(unit) if !self.case.assignments.iter().any(|a| a.unit == *unit && a.state.is_live()) => {
                Err(Rejected::OtherUnit)
            }
            _ => Ok(()),
        }
    }

    fn make_request(&mut self, matter: Option<&Matter>, citizen: Option<&Citizen>) -> Result<(), Rejected> {
        if let Some(matter) = matter {
            check_matter(matter)?;
            self.case.ticket.matter = matter.clone();
        }
        if let Some(citizen) = citizen {
            self.set_citizen(citizen)?;
        }
        self.case.ticket.class = Class::Request;
        self.case.ticket.agent = self.context.by.agent.clone().or(self.case.ticket.agent.take());
        Ok(())
    }

    fn set_citizen(&mut self, citizen: &Citizen) -> Result<(), Rejected> {
        check_citizen(citizen)?;
        // The number that called is a fact of the call and not the agent's to change.
        let number = self.case.ticket.citizen.number.take().or_else(|| citizen.number.clone());
        self.case.ticket.citizen = Citizen { number, ..citizen.clone() };
        Ok(())
    }

    /// The citizen's time runs from acceptance, whenever the form was filled in, and is set once.
    fn start_clock(&mut self) -> UnixMillis {
        let matter = &self.case.ticket.matter;
        let rule = self.policy().handling(matter.kind, matter.urgency);
        let due_at = rule.due(self.case.ticket.accepted_at, &self.context.rules.calendar);
        self.case.ticket.registered_at = Some(self.now);
        self.case.ticket.rule = Some(rule);
        *self.case.ticket.due_at.get_or_insert(due_at)
    }

    fn begin_follow_up(&mut self) -> Result<(), Rejected> {
        self.case.ticket.become_state(State::ToFollowUp, self.command)?;
        self.case.ticket.step_due_at = Some(self.due(self.policy().follow_up));
        Ok(())
    }

    fn was_sought_enough(&self) -> bool {
        let calendar = &self.context.rules.calendar;
        let tries = &self.case.ticket.follow_up.failed_at;
        let days: BTreeSet<_> = tries.iter().map(|at| calendar.day(*at)).collect();
        tries.len() >= self.policy().unreachable_tries as usize && days.len() >= self.policy().unreachable_days as usize
    }

    fn tell_closed(&mut self) {
        if let Some(closing) = &self.case.ticket.closing {
            self.tell(What::Closed { outcome: closing.outcome, note: closing.note.clone() });
        }
    }
}

fn check_matter(matter: &Matter) -> Result<(), Rejected> {
    bounded("title", &matter.title)?;
    bounded("content", &matter.content)?;
    bounded("category", matter.category.as_deref().unwrap_or_default())?;
    bounded("district", matter.district.as_deref().unwrap_or_default())?;
    bounded("address", matter.address.as_deref().unwrap_or_default())
}

fn check_citizen(citizen: &Citizen) -> Result<(), Rejected> {
    bounded("number", citizen.number.as_deref().unwrap_or_default())?;
    bounded("contact", citizen.contact.as_deref().unwrap_or_default())?;
    bounded("name", citizen.name.as_deref().unwrap_or_default())
}
