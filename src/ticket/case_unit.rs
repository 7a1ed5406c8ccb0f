//! What units do with their assignments, and what the centre decides about them.

use super::{
    assignment::{Extension, Reply, State as UnitState, UnitRole},
    command::{bounded, filled},
    event::What,
    rejected::Rejected,
    ticket::State,
    workflow::Change,
};
use crate::ids::{AssignmentId, UnitCode};

type Meant = Option<AssignmentId>;

impl Change<'_> {
    pub(super) fn sign(&mut self, meant: Meant) -> Result<(), Rejected> {
        let place = self.work(meant, |s| s == UnitState::ToSign)?;
        let assignment = &mut self.case.assignments[place];
        if assignment.state != UnitState::ToSign {
            return Err(Rejected::AssignmentState { command: self.command, state: assignment.state });
        }
        assignment.become_state(UnitState::InProgress, self.command)?;
        let in_time = self.now <= assignment.sign_due_at;
        (assignment.signed_at, assignment.signed_in_time) = (Some(self.now), Some(in_time));
        let assignment = assignment.id;
        self.tell(What::Signed { assignment, in_time });
        Ok(())
    }

    pub(super) fn arrived(&mut self, meant: Meant) -> Result<(), Rejected> {
        let place = self.working(meant)?;
        let assignment = &mut self.case.assignments[place];
        assignment.arrived_at.get_or_insert(self.now);
        let assignment = assignment.id;
        self.tell(What::Arrived { assignment });
        Ok(())
    }

    pub(super) fn progress(&mut self, meant: Meant, text: &str) -> Result<(), Rejected> {
        filled("text", text)?;
        let place = self.working(meant)?;
        self.tell(What::Progress { assignment: self.case.assignments[place].id, text: text.to_owned() });
        Ok(())
    }

    pub(super) fn reply(&mut self, meant: Meant, text: &str, contacted: Option<&str>) -> Result<(), Rejected> {
        filled("text", text)?;
        bounded("contacted", contacted.unwrap_or_default())?;
        let place = self.working(meant)?;
        let role = self.case.assignments[place].role;
        if role == UnitRole::Lead {
            let open = |a: &&super::Assignment| a.role == UnitRole::Assist && a.state.is_open();
            if let Some(pending) = self.case.assignments.iter().find(open) {
                return Err(Rejected::AssistPending(pending.unit.clone()));
            }
        }
        let assignment = &mut self.case.assignments[place];
        assignment.become_state(UnitState::Replied, self.command)?;
        let in_time = self.now <= assignment.due_at;
        let contacted = contacted.map(str::to_owned);
        assignment.reply = Some(Reply { at: self.now, text: text.to_owned(), contacted: contacted.clone(), in_time });
        let assignment = assignment.id;
        if role == UnitRole::Lead {
            self.case.ticket.become_state(State::ToReview, self.command)?;
            self.case.ticket.step_due_at = Some(self.due(self.policy().review));
        }
        self.tell(What::Replied { assignment, text: text.to_owned(), contacted, in_time });
        Ok(())
    }

    pub(super) fn request_return(&mut self, meant: Meant, reason: &str) -> Result<(), Rejected> {
        filled("reason", reason)?;
        let place = self.work(meant, |s| matches!(s, UnitState::ToSign | UnitState::InProgress | UnitState::Forced))?;
        let until = self.policy().return_within;
        let assignment = &mut self.case.assignments[place];
        if assignment.designated {
            return Err(Rejected::Designated);
        }
        if self.now > until.due(assignment.dispatched_at, &self.context.rules.calendar) {
            return Err(Rejected::ReturnTooLate);
        }
        assignment.become_state(UnitState::ReturnReview, self.command)?;
        let assignment = assignment.id;
        self.case.ticket.returns += 1;
        self.tell(What::ReturnRequested { assignment, reason: reason.to_owned() });
        Ok(())
    }

    pub(super) fn grant_return(&mut self, meant: Meant, to: Option<&UnitCode>) -> Result<(), Rejected> {
        let place = self.work(meant, |s| s == UnitState::ReturnReview)?;
        let last = self.case.ticket.returns >= self.policy().max_returns;
        let assignment = &mut self.case.assignments[place];
        if assignment.state != UnitState::ReturnReview {
            return Err(Rejected::AssignmentState { command: self.command, state: assignment.state });
        }
        let (id, role, rule) = (assignment.id, assignment.role, assignment.rule);
        if last && to.is_none_or(|to| *to == assignment.unit) {
            // Returned often enough: the unit that has it is designated.
            assignment.become_state(UnitState::Forced, self.command)?;
            assignment.designated = true;
            // As for a refused return: it is signed for from here on, and not in time.
            (assignment.signed_at, assignment.signed_in_time) = (Some(self.now), Some(false));
            self.tell(What::Designated { assignment: id });
            return Ok(());
        }
        assignment.become_state(UnitState::Returned, self.command)?;
        self.tell(What::ReturnGranted { assignment: id });
        self.hand_on(role, rule, to, last)
    }

    pub(super) fn refuse_return(&mut self, meant: Meant, reason: &str) -> Result<(), Rejected> {
        filled("reason", reason)?;
        let place = self.work(meant, |s| s == UnitState::ReturnReview)?;
        let assignment = &mut self.case.assignments[place];
        if assignment.state != UnitState::ReturnReview {
            return Err(Rejected::AssignmentState { command: self.command, state: assignment.state });
        }
        assignment.become_state(UnitState::InProgress, self.command)?;
        // Signed from here on, and never in time: else trying to be rid of it would cost nothing.
        (assignment.signed_at, assignment.signed_in_time) = (Some(self.now), Some(false));
        let assignment = assignment.id;
        self.tell(What::ReturnRefused { assignment, reason: reason.to_owned() });
        Ok(())
    }

    pub(super) fn request_extension(&mut self, meant: Meant, days: u32, reason: &str) -> Result<(), Rejected> {
        filled("reason", reason)?;
        let place = self.working(meant)?;
        let max = self.policy().extension_days;
        if days == 0 || days > max {
            return Err(Rejected::ExtensionLength(max));
        }
        let assignment = &mut self.case.assignments[place];
        if assignment.extension.as_ref().is_some_and(|e| e.granted != Some(false)) {
            return Err(Rejected::ExtensionTwice);
        }
        assignment.extension = Some(Extension { days, reason: reason.to_owned(), granted: None });
        let assignment = assignment.id;
        self.tell(What::ExtensionRequested { assignment, days, reason: reason.to_owned() });
        Ok(())
    }

    pub(super) fn grant_extension(&mut self, meant: Meant) -> Result<(), Rejected> {
        let place = self.extension_place(meant)?;
        let assignment = &mut self.case.assignments[place];
        if let Some(extension) = &mut assignment.extension {
            extension.granted = Some(true);
            let due_at = assignment.due(&self.context.rules.calendar);
            assignment.due_at = due_at;
            let assignment = assignment.id;
            self.tell(What::ExtensionGranted { assignment, due_at });
        }
        Ok(())
    }

    pub(super) fn refuse_extension(&mut self, meant: Meant, reason: &str) -> Result<(), Rejected> {
        bounded("reason", reason)?;
        let place = self.extension_place(meant)?;
        let assignment = &mut self.case.assignments[place];
        if let Some(extension) = &mut assignment.extension {
            extension.granted = Some(false);
        }
        let assignment = assignment.id;
        self.tell(What::ExtensionRefused { assignment, reason: reason.to_owned() });
        Ok(())
    }

    pub(super) fn suspend(&mut self, meant: Meant, reason: &str) -> Result<(), Rejected> {
        filled("reason", reason)?;
        if !self.policy().may_suspend {
            return Err(Rejected::NoSuspension);
        }
        let place = self.working(meant)?;
        let assignment = &mut self.case.assignments[place];
        assignment.become_state(UnitState::Suspended, self.command)?;
        assignment.suspended_at = Some(self.now);
        let assignment = assignment.id;
        self.tell(What::Suspended { assignment, reason: reason.to_owned() });
        Ok(())
    }

    pub(super) fn resume(&mut self, meant: Meant) -> Result<(), Rejected> {
        let place = self.work(meant, |s| s == UnitState::Suspended)?;
        let assignment = &mut self.case.assignments[place];
        if assignment.state != UnitState::Suspended {
            return Err(Rejected::AssignmentState { command: self.command, state: assignment.state });
        }
        assignment.become_state(assignment.working_state(), self.command)?;
        // Only the unit's clock stood still; the citizen's went on.
        let stood = assignment.suspended_at.take().map_or(0, |since| (self.now - since).max(0));
        assignment.suspended_millis = assignment.suspended_millis.saturating_add(stood);
        assignment.due_at.0 = assignment.due_at.0.saturating_add(stood);
        let (assignment, due_at) = (assignment.id, assignment.due_at);
        self.tell(What::Resumed { assignment, due_at });
        Ok(())
    }

    pub(super) fn recall(&mut self, meant: Meant, to: Option<&UnitCode>, reason: &str) -> Result<(), Rejected> {
        bounded("reason", reason)?;
        let place = self.work(meant, UnitState::is_open)?;
        let assignment = &mut self.case.assignments[place];
        if !assignment.state.is_open() {
            return Err(Rejected::AssignmentState { command: self.command, state: assignment.state });
        }
        assignment.become_state(UnitState::Recalled, self.command)?;
        let (id, role, rule) = (assignment.id, assignment.role, assignment.rule);
        self.tell(What::Recalled { assignment: id, reason: reason.to_owned() });
        self.hand_on(role, rule, to, false)
    }

    pub(super) fn waive(&mut self, assignment: AssignmentId, reason: &str) -> Result<(), Rejected> {
        bounded("reason", reason)?;
        let place = self.work(Some(assignment), UnitState::is_open)?;
        let waived = &mut self.case.assignments[place];
        if waived.role == UnitRole::Lead {
            return Err(Rejected::LeadWaived);
        }
        waived.become_state(UnitState::Waived, self.command)?;
        self.tell(What::Waived { assignment, reason: reason.to_owned() });
        Ok(())
    }

    /// After a return or a recall: to the next unit; a lead without a successor goes back to a dispatcher.
    fn hand_on(
        &mut self,
        role: UnitRole,
        rule: super::Rule,
        to: Option<&UnitCode>,
        designated: bool,
    ) -> Result<(), Rejected> {
        match to {
            Some(unit) => {
                filled("to", unit.as_str())?;
                self.assign(unit, role, Some(rule), designated, "")
            }
            None if role == UnitRole::Lead => self.case.ticket.become_state(State::ToDispatch, self.command),
            None => Ok(()),
        }
    }

    /// The assignment meant, on a ticket that the units have.
    fn work(&self, meant: Meant, fits: impl Fn(UnitState) -> bool) -> Result<usize, Rejected> {
        // While the citizen is asked something, or assisting units wait for a new lead, units go on.
        self.case.ticket.require(self.command, &[State::Handling, State::ToDispatch, State::ToSupplement])?;
        self.find(meant, |a| fits(a.state))
    }

    /// The assignment meant, which its unit works on now.
    fn working(&self, meant: Meant) -> Result<usize, Rejected> {
        let place = self.work(meant, |s| matches!(s, UnitState::InProgress | UnitState::Forced))?;
        match self.case.assignments[place].state {
            UnitState::InProgress | UnitState::Forced => Ok(place),
            state => Err(Rejected::AssignmentState { command: self.command, state }),
        }
    }

    fn extension_place(&self, meant: Meant) -> Result<usize, Rejected> {
        let waits = |a: &super::Assignment| {
            a.state.is_open() && a.extension.as_ref().is_some_and(|extension| extension.granted.is_none())
        };
        self.case.ticket.require(self.command, &[State::Handling, State::ToDispatch, State::ToSupplement])?;
        let place = self.find(meant, waits).map_err(|why| match why {
            Rejected::AssignmentState { .. } => Rejected::NoExtension,
            other => other,
        })?;
        if waits(&self.case.assignments[place]) { Ok(place) } else { Err(Rejected::NoExtension) }
    }
}
