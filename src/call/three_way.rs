//! The three-way call: consult, merge, leave or stay, drop one. Whatever fails, the citizen is back with somebody.

use super::{Call, Notice, Phase, Timer};
use crate::{
    acd::message as acd,
    call::{
        cdr::{Ending, Role, ThreeWayRecord, What, Whose},
        leg::LegState,
        message::{DialTarget, HotlineRefusal, HotlineTarget, Output, Rejected, Said},
    },
    clock::Now,
    ids::{HotlineNo, LegId},
};

/// What a department hears before the citizen is joined: who calls, and that the call is recorded.
const NOTICE: &str = "prompts/zh/outbound_notice.wav";
const JOINED: &str = "prompts/zh/three_way_joined.wav";

impl Call {
    /// The agent asks for a department; the citizen is on hold from here on.
    pub(super) fn start_three_way(&mut self, now: Now, hotline: HotlineNo, consult: bool) -> Result<(), Rejected> {
        let agent = match self.phase {
            Phase::Talking { other, .. } if self.is_agent(other) => other,
            Phase::Consulting { .. } | Phase::ThreeWay { .. } | Phase::HandedOver { .. } => {
                return Err(Rejected::DepartmentPresent);
            }
            Phase::Accepting
            | Phase::Flow
            | Phase::Waiting { .. }
            | Phase::Talking { .. }
            | Phase::Ringing { .. }
            | Phase::Parked
            | Phase::Ending
            | Phase::Over => return Err(Rejected::NoAgent),
        };
        let name = hotline.as_str().to_owned();
        let department = LegId(self.ids.next());
        let role = Role::Department { hotline: hotline.clone(), name };
        self.legs.push(crate::call::leg::Leg::new(department, role, now.wall));
        self.phase = Phase::Consulting { agent, department, join_on_answer: !consult };
        self.attempt(now, hotline.clone());
        self.doing(acd::Activity::Consulting);
        self.announce(self.caller, &self.prompt("three_way_connecting"));
        self.output.push_back(Output::FindHotline { hotline });
        Ok(())
    }

    pub(super) fn find_hotline_for_flow(&mut self, now: Now, hotline: HotlineNo) {
        self.attempt(now, hotline.clone());
        self.output.push_back(Output::FindHotline { hotline });
    }

    pub(super) fn hotline_found(&mut self, now: Now, hotline: HotlineNo, found: Result<HotlineTarget, HotlineRefusal>) {
        let Phase::Consulting { department, .. } = self.phase else {
            return self.hotline_for_flow(now, hotline, found);
        };
        match found {
            Ok(target) => {
                if let Some(leg) = self.leg_mut(department) {
                    leg.role = Role::Department { hotline: hotline.clone(), name: target.name };
                    leg.dial = Some(DialTarget::Uri(target.uri));
                }
                self.timers.push((now.mono + self.settings.department_ring, Timer::Ring(department)));
                self.output.push_back(Output::OpenMedia { leg: department });
                self.say(Said::ThreeWayDialling { hotline });
            }
            Err(refusal) => {
                self.outcome(refusal_name(refusal));
                let ending = Ending { whose: Whose::Department, what: What::Failed, sip: 0, q850: 20 };
                self.leg_over(now, department, ending);
            }
        }
    }

    /// A flow's own three-way step: the citizen is connected to the department directly.
    fn hotline_for_flow(&mut self, now: Now, hotline: HotlineNo, found: Result<HotlineTarget, HotlineRefusal>) {
        let Phase::Flow = self.phase else { return };
        match found {
            Ok(target) => {
                let other = self.new_leg(now, Role::Department { hotline: hotline.clone(), name: target.name });
                self.phase = Phase::Ringing { other, recorded: true };
                self.timers.push((now.mono + self.settings.department_ring, Timer::Ring(other)));
                if let Some(leg) = self.leg_mut(other) {
                    leg.dial = Some(DialTarget::Uri(target.uri));
                }
                self.say(Said::ThreeWayDialling { hotline });
            }
            Err(refusal) => {
                let reason = refusal_name(refusal);
                self.outcome(reason);
                self.say(Said::ThreeWayFailed { hotline, reason: reason.to_owned() });
                self.step_done(now, if refusal == HotlineRefusal::Closed { "closed" } else { "failed" });
            }
        }
    }

    /// Tells the flow how its three-way step ended, and does what it asks for next.
    pub(super) fn step_done(&mut self, now: Now, result: &str) {
        self.phase = Phase::Flow;
        self.hush(self.caller);
        self.tell_flow(now, crate::ivr::session::Input::StepDone { result: result.to_owned() });
        self.follow_flow(now);
    }

    /// An attempt at a three-way call begins.
    fn attempt(&mut self, now: Now, hotline: HotlineNo) {
        let (at, outcome) = (now.wall, "dialling".to_owned());
        self.record.three_way.push(ThreeWayRecord { hotline, at, outcome, joined_at: None });
    }

    pub(super) fn department_ringing(&mut self) {
        if let Some(hotline) = self.hotline_now() {
            self.outcome("ringing");
            self.say(Said::ThreeWayRinging { hotline });
        }
    }

    /// The department picked up. It is told of the recording before the citizen is joined.
    pub(super) fn department_answered(&mut self, now: Now, department: LegId) {
        self.record_leg(department);
        self.outcome("answered");
        if let Some(hotline) = self.hotline_now() {
            self.say(Said::ThreeWayAnswered { hotline });
        }
        let join = matches!(self.phase, Phase::Consulting { join_on_answer: true, .. } | Phase::Ringing { .. });
        let noticed = self.announce_then(department, NOTICE, Notice::Join);
        if !join {
            self.notice = None;
        } else if !noticed {
            self.join(now);
        }
    }

    /// All three hear each other; or citizen and department, where a flow connects them.
    pub(super) fn join(&mut self, now: Now) {
        if let Phase::Ringing { other, .. } = self.phase {
            self.notice = None;
            self.hush(other);
            self.connect(now, other);
            return self.mark_joined(now);
        }
        let Phase::Consulting { agent, department, .. } = self.phase else { return };
        self.phase = Phase::ThreeWay { agent, department };
        self.notice = None;
        self.hush(department);
        self.mark_joined(now);
        self.doing(acd::Activity::Conferencing);
        self.hush(self.caller);
        self.announce(self.caller, &[JOINED.to_owned()]);
    }

    pub(super) fn merge(&mut self, now: Now) -> Result<(), Rejected> {
        match &mut self.phase {
            Phase::Consulting { department, join_on_answer, .. } => {
                let department = *department;
                *join_on_answer = true;
                match self.leg(department).filter(|leg| leg.state == LegState::Up).map(|leg| leg.announcing) {
                    // It is still being told that the call is recorded.
                    Some(Some(notice)) => self.notice = Some((notice, Notice::Join)),
                    Some(None) => self.join(now),
                    None => {}
                }
                Ok(())
            }
            Phase::ThreeWay { .. } | Phase::HandedOver { .. } => Err(Rejected::DepartmentPresent),
            Phase::Accepting
            | Phase::Flow
            | Phase::Waiting { .. }
            | Phase::Talking { .. }
            | Phase::Ringing { .. }
            | Phase::Parked
            | Phase::Ending
            | Phase::Over => Err(Rejected::NoDepartment),
        }
    }

    /// The agent leaves; the citizen and the department go on, still recorded.
    pub(super) fn leave(&mut self, now: Now) -> Result<(), Rejected> {
        let (agent, department) = match self.phase {
            Phase::Consulting { agent, department, .. } | Phase::ThreeWay { agent, department } => (agent, department),
            Phase::Accepting
            | Phase::Flow
            | Phase::Waiting { .. }
            | Phase::Talking { .. }
            | Phase::HandedOver { .. }
            | Phase::Ringing { .. }
            | Phase::Parked
            | Phase::Ending
            | Phase::Over => return Err(Rejected::NoDepartment),
        };
        if !self.leg(department).is_some_and(|leg| leg.state == LegState::Up) {
            return Err(Rejected::DepartmentNotAnswered);
        }
        let ending = Ending::bye(Whose::Agent, What::Answered);
        self.hang_up(now, agent, ending);
        self.left(now, agent, ending);
        Ok(())
    }

    pub(super) fn hand_over(&mut self, now: Now, department: LegId) {
        // A notice that still plays to the department is heard out.
        self.phase = Phase::HandedOver { department };
        self.notice = None;
        self.hush(self.caller);
        self.mark_joined(now);
    }

    /// The department is gone: the citizen is back with the agent.
    pub(super) fn back_to_agent(&mut self, agent: LegId, ending: Ending) {
        self.phase = Phase::Talking { other: agent, held: false };
        self.notice = None;
        self.hush(self.caller);
        self.doing(acd::Activity::Talking);
        self.three_way_failed(ending);
    }

    /// Notes how an attempt ended that did not lead to a talk.
    pub(super) fn three_way_failed(&mut self, ending: Ending) {
        let joined = self.record.three_way.last().is_some_and(|attempt| attempt.joined_at.is_some());
        if !joined {
            let named = match ending.what {
                What::Busy => "busy",
                What::NoAnswer => "no_answer",
                What::Rejected => "rejected",
                What::Withdrawn => "cancelled",
                What::Answered => "not_joined",
                What::Abandoned | What::Failed | What::Lost => "failed",
            };
            self.close_attempt(named);
            if let Some(attempt) = self.record.three_way.last() {
                let (hotline, reason) = (attempt.hotline.clone(), attempt.outcome.clone());
                self.say(Said::ThreeWayFailed { hotline, reason });
            }
        }
    }

    fn mark_joined(&mut self, now: Now) {
        let Some(attempt) = self.record.three_way.last_mut() else { return };
        if attempt.joined_at.is_none() {
            attempt.joined_at = Some(now.wall);
            attempt.outcome = "joined".to_owned();
            let hotline = attempt.hotline.clone();
            self.say(Said::ThreeWayJoined { hotline });
        }
    }

    /// An attempt that is still under way has come to this.
    pub(super) fn close_attempt(&mut self, outcome: &str) {
        if self.record.three_way.last().is_some_and(|a| matches!(&*a.outcome, "dialling" | "ringing" | "answered")) {
            self.outcome(outcome);
        }
    }

    fn outcome(&mut self, outcome: &str) {
        if let Some(attempt) = self.record.three_way.last_mut() {
            attempt.outcome = outcome.to_owned();
        }
    }

    fn hotline_now(&self) -> Option<HotlineNo> {
        self.record.three_way.last().map(|attempt| attempt.hotline.clone())
    }

    pub(super) fn is_agent(&self, id: LegId) -> bool {
        self.leg(id).is_some_and(|leg| matches!(leg.role, Role::Agent { .. }))
    }

    /// Tells the ACD what the agent does.
    pub(super) fn doing(&mut self, activity: acd::Activity) {
        let call = self.record.id;
        if let Some(agent) = self.agent().cloned() {
            self.acd(acd::Input::Doing { agent, call, activity });
        }
    }
}

/// How a refusal is named on the record.
fn refusal_name(refusal: HotlineRefusal) -> &'static str {
    match refusal {
        HotlineRefusal::Unknown => "unknown",
        HotlineRefusal::Closed => "closed",
        HotlineRefusal::Merged => "merged",
        HotlineRefusal::Separate => "separate",
    }
}
