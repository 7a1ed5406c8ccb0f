//! Stories of tickets from the citizen's call to the close, and what must hold whatever is commanded.

use super::{assignment::State as UnitState, calendar::tests::*, ticket::Verdict, *};
use crate::{
    clock::UnixMillis,
    ids::{AssignmentId, CallId, TicketId, UnitCode},
};
use jiff::civil::{Date, date};
use proptest::prelude::*;
use serde_json::json;
use std::cell::Cell;

struct Story {
    case: Case,
    history: Vec<Event>,
    now: UnixMillis,
    rules: Rules,
    ids: Cell<u64>,
}

impl Story {
    /// A citizen has called; the draft is there.
    fn call(day: Date, hour: i64, minute: i64) -> Story {
        let calendar = october();
        let now = at(&calendar, day, hour, minute);
        let origin =
            Origin { call: Some(CallId(7)), primary: true, dialled: Some("12345".into()), ..Origin::default() };
        let citizen = Citizen { number: Some("13800000001".into()), ..Citizen::default() };
        let draft = Ticket::draft(TicketId(1), number::ticket_no(day, 1, 1), "123456".into(), origin, citizen, now);
        let (case, created) = Case::create(draft, &Actor::system());
        Story { case, history: vec![created], now, rules: Rules { calendar, ..Rules::default() }, ids: Cell::new(100) }
    }

    fn registered() -> Story {
        let mut story = Story::call(date(2026, 9, 30), 9, 0);
        story.agent(json!({"command": "register", "matter": {"title": "路灯不亮", "kind": "complaint"}}));
        story
    }

    fn handled_by(units: &[&str]) -> Story {
        let mut story = Story::registered();
        story.dispatcher(json!({"command": "dispatch", "lead": units[0], "assist": &units[1..]}));
        story
    }

    fn at(&mut self, day: Date, hour: i64, minute: i64) -> &mut Self {
        self.now = at(&self.rules.calendar, day, hour, minute);
        self
    }

    fn give(&mut self, by: &Actor, command: &Command) -> Result<(), Rejected> {
        let next_id = || {
            self.ids.set(self.ids.get() + 1);
            self.ids.get()
        };
        let context = Context { by, rules: &self.rules, next_id: &next_id };
        let (case, events) = self.case.apply(command, &context, self.now)?;
        assert_eq!(case.ticket.version, self.case.ticket.version + 1);
        self.case = case;
        self.history.extend(events);
        Ok(())
    }

    fn give_json(&mut self, by: Actor, command: serde_json::Value) -> Result<(), Rejected> {
        let command: Command = serde_json::from_value(command).expect("a command");
        self.give(&by, &command)
    }

    fn agent(&mut self, command: serde_json::Value) {
        self.give_json(Actor::centre(Role::Agent, "8001"), command).expect("taken");
    }

    fn dispatcher(&mut self, command: serde_json::Value) {
        self.give_json(Actor::centre(Role::Dispatcher, "dispatcher"), command).expect("taken");
    }

    fn unit(&mut self, unit: &str, command: serde_json::Value) {
        self.give_json(Actor::unit(unit, unit), command).expect("taken");
    }

    fn refused(&mut self, by: Actor, command: serde_json::Value) -> Rejected {
        let (before, told) = (self.case.clone(), self.history.len());
        let why = self.give_json(by, command).expect_err("refused");
        assert_eq!((&before, told), (&self.case, self.history.len()), "a rejected command changes nothing");
        assert!(!why.zh().is_empty() && !why.zh().is_ascii() && !why.to_string().is_empty());
        why
    }

    fn unit_state(&self, unit: &str) -> UnitState {
        self.case.assignments.iter().rev().find(|a| a.unit.as_str() == unit).expect("assigned").state
    }

    fn state(&self) -> State {
        self.case.ticket.state
    }
}

fn dispatcher() -> Actor {
    Actor::centre(Role::Dispatcher, "dispatcher")
}

#[test]
fn from_the_call_to_the_close() {
    let mut s = Story::call(date(2026, 9, 30), 9, 0);
    assert_eq!(s.state(), State::Draft);
    s.agent(json!({"command": "register", "matter": {"title": "路灯不亮", "kind": "complaint"}}));
    assert_eq!((s.state(), s.case.ticket.class), (State::ToDispatch, Class::Request));
    s.dispatcher(json!({"command": "dispatch", "lead": "housing", "assist": ["water"],
        "rule": {"unit": "working_days", "value": 3}}));
    assert_eq!(s.state(), State::Handling);
    assert_eq!(s.case.lead().unwrap().due_at, at(&s.rules.calendar, date(2026, 10, 10), 17, 30), "over the holiday");
    s.at(date(2026, 9, 30), 10, 0).unit("housing", json!({"command": "sign"}));
    s.unit("water", json!({"command": "sign"}));
    assert_eq!(s.case.lead().unwrap().signed_in_time, Some(true));
    s.unit("housing", json!({"command": "arrived"}));
    s.unit("housing", json!({"command": "progress", "text": "已到现场"}));
    let early = s.refused(Actor::unit("housing", "h"), json!({"command": "reply", "text": "已修复"}));
    assert_eq!(early.code(), "assist_pending");
    s.unit("water", json!({"command": "reply", "text": "管道无碍"}));
    assert_eq!(s.state(), State::Handling, "an assisting unit's reply does not end it");
    s.at(date(2026, 10, 10), 17, 30);
    s.unit("housing", json!({"command": "reply", "text": "已修复", "contacted": "电话告知"}));
    assert_eq!(s.state(), State::ToReview);
    assert!(s.case.lead().unwrap().reply.as_ref().unwrap().in_time);
    s.dispatcher(json!({"command": "accept"}));
    assert_eq!((s.state(), s.unit_state("water")), (State::ToFollowUp, UnitState::Accepted));
    s.agent(json!({"command": "follow_up", "result": "satisfied", "solved": true}));
    assert_eq!(s.state(), State::Closed);
    assert_eq!(s.case.ticket.follow_up.solved, Some(true));
    let names: Vec<_> = s.history.iter().map(|e| e.what.name()).collect();
    assert_eq!(names.first(), Some(&"created"));
    assert_eq!(names.last(), Some(&"closed"));
    assert!(s.history.iter().enumerate().all(|(i, e)| e.seq == i as u64 + 1));
    s.give_json(Actor::system(), json!({"command": "archive"})).unwrap();
    assert_eq!(s.state(), State::Archived);
}

#[test]
fn a_question_is_answered_on_the_call() {
    let mut s = Story::call(date(2026, 9, 30), 9, 0);
    s.agent(json!({"command": "direct_answer", "answer": "办理地点为政务中心", "matter": {"kind": "consultation"}}));
    assert_eq!((s.state(), s.case.ticket.class), (State::Closed, Class::Request));
    assert_eq!(s.case.ticket.closing.as_ref().unwrap().outcome, ticket::Outcome::DirectAnswer);
}

#[test]
fn an_abandoned_call_closes_as_a_contact() {
    let mut s = Story::call(date(2026, 9, 30), 9, 0);
    s.give_json(Actor::system(), json!({"command": "complete", "kind": "abandoned"})).unwrap();
    assert_eq!((s.state(), s.case.ticket.class), (State::Closed, Class::Contact(ContactKind::Abandoned)));
    let why = s.refused(Actor::centre(Role::Agent, "8001"), json!({"command": "register"}));
    assert_eq!(why.code(), "ticket_state");
}

#[test]
fn a_bad_reply_is_handled_again_on_a_new_due_time() {
    let mut s = Story::handled_by(&["housing"]);
    let (accepted, due) = (s.case.ticket.accepted_at, s.case.ticket.due_at);
    s.unit("housing", json!({"command": "sign"}));
    s.unit("housing", json!({"command": "reply", "text": "不清楚"}));
    s.at(date(2026, 10, 8), 9, 0).dispatcher(json!({"command": "redo", "reason": "未答复诉求"}));
    let lead = s.case.lead().unwrap();
    assert_eq!((lead.state, lead.redo, s.case.ticket.redo), (UnitState::InProgress, 1, 1));
    assert_eq!(lead.due_at, at(&s.rules.calendar, date(2026, 10, 14), 17, 30));
    assert_eq!((s.case.ticket.accepted_at, s.case.ticket.due_at), (accepted, due), "the citizen's clock goes on");
    assert_eq!(s.state(), State::Handling);
}

#[test]
fn unsatisfied_is_decided_by_a_reviewer_and_redo_is_capped() {
    let mut s = Story::handled_by(&["housing"]);
    s.unit("housing", json!({"command": "sign"}));
    for round in 0..3 {
        s.unit("housing", json!({"command": "reply", "text": "已处理"}));
        s.dispatcher(json!({"command": "accept"}));
        s.agent(json!({"command": "follow_up", "result": "unsatisfied", "solved": false}));
        let again = json!({"command": "follow_up", "result": "satisfied"});
        assert_eq!(s.refused(Actor::centre(Role::Agent, "8001"), again).code(), "awaits_decision");
        let redo = json!({"command": "redo", "reason": "群众不满意"});
        if round < 2 {
            s.dispatcher(redo);
        } else {
            assert_eq!(s.refused(dispatcher(), redo).code(), "redo_limit");
        }
    }
    s.dispatcher(json!({"command": "close_objective", "explanation": "规划所限,已说明"}));
    assert_eq!(s.case.ticket.closing.as_ref().unwrap().outcome, ticket::Outcome::Objective);
    assert_eq!(s.case.ticket.follow_up.verdict, Some(Verdict::Unsatisfied));
}

#[test]
fn unreachable_closes_after_three_tries_on_two_days() {
    let mut s = Story::handled_by(&["housing"]);
    s.unit("housing", json!({"command": "sign"}));
    s.unit("housing", json!({"command": "reply", "text": "已处理"}));
    s.dispatcher(json!({"command": "accept"}));
    for hour in [10, 11, 12] {
        s.at(date(2026, 10, 8), hour, 0).agent(json!({"command": "follow_up", "result": "unreachable"}));
    }
    assert_eq!(s.state(), State::ToFollowUp, "three tries on one day are not enough");
    s.at(date(2026, 10, 9), 10, 0).agent(json!({"command": "follow_up", "result": "unreachable"}));
    assert_eq!(s.state(), State::Closed);
    assert_eq!(s.case.ticket.follow_up.verdict, None, "no verdict");
}

#[test]
fn a_return_goes_to_the_next_unit_and_the_third_is_designated() {
    let mut s = Story::handled_by(&["a"]);
    let clock = (s.case.ticket.accepted_at, s.case.ticket.due_at);
    s.unit("a", json!({"command": "request_return", "reason": "非本单位职责"}));
    s.at(date(2026, 9, 30), 11, 0).dispatcher(json!({"command": "grant_return", "to": "b"}));
    assert_eq!((s.unit_state("a"), s.unit_state("b")), (UnitState::Returned, UnitState::ToSign));
    assert_eq!(s.case.lead().unwrap().dispatched_at, s.now, "the unit's clock is new");
    s.unit("b", json!({"command": "request_return", "reason": "非本单位职责"}));
    s.dispatcher(json!({"command": "grant_return"}));
    assert_eq!(s.state(), State::ToDispatch, "without a successor it goes back to a dispatcher");
    s.dispatcher(json!({"command": "dispatch", "lead": "c"}));
    s.unit("c", json!({"command": "request_return", "reason": "非本单位职责"}));
    s.dispatcher(json!({"command": "grant_return"}));
    assert_eq!(s.unit_state("c"), UnitState::Forced);
    let why = s.refused(Actor::unit("c", "c"), json!({"command": "request_return", "reason": "仍非职责"}));
    assert_eq!(why.code(), "designated");
    s.unit("c", json!({"command": "reply", "text": "已处理"}));
    assert_eq!((s.state(), (s.case.ticket.accepted_at, s.case.ticket.due_at)), (State::ToReview, clock));
}

#[test]
fn a_refused_return_is_signed_now_and_never_in_time() {
    let mut s = Story::handled_by(&["a"]);
    s.at(date(2026, 9, 30), 9, 5).unit("a", json!({"command": "request_return", "reason": "非职责"}));
    s.at(date(2026, 9, 30), 9, 10).dispatcher(json!({"command": "refuse_return", "reason": "属贵单位职责"}));
    let lead = s.case.lead().unwrap();
    assert_eq!((lead.state, lead.signed_at, lead.signed_in_time), (UnitState::InProgress, Some(s.now), Some(false)));
    s.at(date(2026, 10, 12), 9, 0);
    let late = s.refused(Actor::unit("a", "a"), json!({"command": "request_return", "reason": "非职责"}));
    assert_eq!(late.code(), "return_too_late");
}

#[test]
fn a_return_that_nobody_asked_for_is_not_granted() {
    let mut s = Story::handled_by(&["a", "b"]);
    s.unit("a", json!({"command": "sign"}));
    s.unit("b", json!({"command": "sign"}));
    s.unit("b", json!({"command": "reply", "text": "管道无碍"}));
    // Returned so often that the next one would mean designated.
    s.case.ticket.returns = s.rules.policy.max_returns;
    for (unit, state) in [("a", UnitState::InProgress), ("b", UnitState::Replied)] {
        let id = s.case.assignments.iter().find(|a| a.unit.as_str() == unit).unwrap().id.to_string();
        let why = s.refused(dispatcher(), json!({"command": "grant_return", "assignment": id}));
        assert_eq!((why.code(), s.unit_state(unit)), ("assignment_state", state));
    }
}

#[test]
fn an_extension_after_a_suspension_is_counted_as_the_calendar_counts_it() {
    let mut s = Story::handled_by(&["a"]);
    s.rules.policy.may_suspend = true;
    s.at(date(2026, 9, 30), 10, 0).unit("a", json!({"command": "sign"}));
    s.unit("a", json!({"command": "suspend", "reason": "等待鉴定"}));
    s.at(date(2026, 10, 2), 10, 0).unit("a", json!({"command": "resume"}));
    s.unit("a", json!({"command": "request_extension", "days": 2, "reason": "需采购"}));
    s.dispatcher(json!({"command": "grant_extension"}));
    let due = s.case.lead().unwrap().due_at;
    s.give_json(Actor::system(), json!({"command": "recompute"})).unwrap();
    assert_eq!(s.case.lead().unwrap().due_at, due, "the same calendar moves nothing");
    assert!(s.history.iter().all(|event| event.what.name() != "due_moved"));
}

#[test]
fn the_time_that_stood_still_is_kept_by_a_new_calendar() {
    let mut s = Story::handled_by(&["a"]);
    s.rules.policy.may_suspend = true;
    let due = s.case.lead().unwrap().due_at;
    s.at(date(2026, 9, 30), 10, 0).unit("a", json!({"command": "sign"}));
    s.unit("a", json!({"command": "suspend", "reason": "等待鉴定"}));
    s.at(date(2026, 9, 30), 12, 30).unit("a", json!({"command": "resume"}));
    let stood = 150 * 60_000;
    assert_eq!(s.case.lead().unwrap().due_at, UnixMillis(due.0 + stood));
    s.rules.calendar.holidays.insert(date(2026, 10, 8));
    s.give_json(Actor::system(), json!({"command": "recompute"})).unwrap();
    let moved = at(&s.rules.calendar, date(2026, 10, 14), 17, 30);
    assert_eq!(s.case.lead().unwrap().due_at, UnixMillis(moved.0 + stood));
}

#[test]
fn more_time_only_when_granted() {
    let mut s = Story::handled_by(&["a"]);
    s.unit("a", json!({"command": "sign"}));
    let due = s.case.lead().unwrap().due_at;
    assert_eq!(
        s.refused(Actor::unit("a", "a"), json!({"command": "request_extension", "days": 11, "reason": "难"})).code(),
        "extension_length"
    );
    assert_eq!(s.refused(dispatcher(), json!({"command": "grant_extension"})).code(), "no_extension");
    s.unit("a", json!({"command": "request_extension", "days": 2, "reason": "需采购"}));
    assert_eq!(s.case.lead().unwrap().due_at, due);
    s.dispatcher(json!({"command": "grant_extension"}));
    assert_eq!(s.case.lead().unwrap().due_at, s.rules.calendar.add_working_days(due, 2));
    let again = json!({"command": "request_extension", "days": 2, "reason": "仍需时间"});
    assert_eq!(s.refused(Actor::unit("a", "a"), again).code(), "extension_twice");
}

#[test]
fn a_moved_holiday_moves_due_times_and_says_so() {
    let mut s = Story::handled_by(&["a"]);
    s.rules.calendar.holidays.insert(date(2026, 10, 8));
    s.give_json(Actor::system(), json!({"command": "recompute"})).unwrap();
    assert_eq!(s.case.lead().unwrap().due_at, at(&s.rules.calendar, date(2026, 10, 14), 17, 30));
    assert_eq!(s.history.iter().filter(|e| e.what.name() == "due_moved").count(), 2, "the unit's and the citizen's");
}

#[test]
fn a_supplement_returns_to_who_asked() {
    let mut s = Story::handled_by(&["a"]);
    s.unit("a", json!({"command": "sign"}));
    s.unit("a", json!({"command": "ask_supplement", "question": "具体门牌号?"}));
    assert_eq!(s.state(), State::ToSupplement);
    s.agent(json!({"command": "supplied", "text": "人民路 1 号"}));
    assert_eq!(s.state(), State::Handling);
    let mut s = Story::registered();
    s.dispatcher(json!({"command": "ask_supplement", "question": "哪个区?"}));
    for _ in 0..3 {
        s.agent(json!({"command": "contact_failed"}));
    }
    assert_eq!(s.case.ticket.closing.as_ref().unwrap().outcome, ticket::Outcome::Unsupplied);
}

#[test]
fn who_may_not_is_refused() {
    let mut s = Story::registered();
    let dispatch = json!({"command": "dispatch", "lead": "a", "assist": ["a"]});
    assert_eq!(s.refused(Actor::centre(Role::Agent, "8001"), dispatch.clone()).code(), "role");
    assert_eq!(s.refused(dispatcher(), dispatch).code(), "unit_twice");
    s.agent(json!({"command": "amend", "matter": {"title": "投诉", "against": "a"}}));
    assert_eq!(s.refused(dispatcher(), json!({"command": "dispatch", "lead": "a"})).code(), "complained_about");
    s.dispatcher(json!({"command": "dispatch", "lead": "b"}));
    assert_eq!(s.refused(Actor::unit("a", "a"), json!({"command": "sign"})).code(), "other_unit");
    let id = s.case.lead().unwrap().id;
    assert_eq!(s.refused(Actor::unit("a", "a"), json!({"command": "sign", "assignment": id})).code(), "other_unit");
    assert_eq!(s.refused(Actor::centre(Role::Auditor, "auditor"), json!({"command": "accept"})).code(), "role");
    let long = "长".repeat(command::MAX_TEXT + 1);
    assert_eq!(s.refused(Actor::unit("b", "b"), json!({"command": "progress", "text": long})).code(), "field");
}

#[test]
fn who_can_be_asked_is_not_passed_over() {
    let mut s = Story::call(date(2026, 9, 30), 9, 0);
    s.agent(json!({"command": "direct_answer", "answer": "网上可以办理", "follow_up": true}));
    let (close, agent) = (json!({"command": "close"}), Actor::centre(Role::Agent, "8001"));
    assert_eq!(s.refused(agent, close.clone()), Rejected::CitizenReachable);
    assert_eq!(s.refused(dispatcher(), json!({"command": "close", "note": "不用问"})), Rejected::CitizenReachable);
    let supervisor = || Actor::centre(Role::Supervisor, "9001");
    assert_eq!(s.refused(supervisor(), close), Rejected::Field("note"));
    s.give_json(supervisor(), json!({"command": "close", "note": "诉求人来电说明不必回访"})).expect("taken");
    assert_eq!(s.state(), State::Closed);

    let mut s = Story::call(date(2026, 9, 30), 9, 0);
    s.case.ticket.citizen.number = None;
    s.agent(json!({"command": "direct_answer", "answer": "网上可以办理", "follow_up": true}));
    s.agent(json!({"command": "close"}));
    assert_eq!(s.state(), State::Closed, "nobody can be asked");
}

#[test]
fn a_unit_has_a_ticket_while_it_works_on_it_or_has_replied() {
    let part = |s: &Story, unit: &str| s.case.part_of(&unit.into());
    let mut s = Story::handled_by(&["housing", "water"]);
    assert_eq!([part(&s, "housing"), part(&s, "water"), part(&s, "power")], [Part::Whole, Part::Whole, Part::Nothing]);
    s.unit("water", json!({"command": "request_return", "reason": "不属本单位"}));
    assert_eq!(part(&s, "water"), Part::Whole, "until the return is granted");
    s.dispatcher(json!({"command": "grant_return"}));
    assert_eq!(part(&s, "water"), Part::Former);
    let lead = s.case.assignments[0].id;
    s.dispatcher(json!({"command": "recall", "assignment": lead, "to": "water"}));
    assert_eq!([part(&s, "housing"), part(&s, "water")], [Part::Former, Part::Whole], "given again");
    s.unit("water", json!({"command": "sign"}));
    s.unit("water", json!({"command": "reply", "text": "已修复"}));
    assert_eq!(part(&s, "water"), Part::Whole);
    s.agent(json!({"command": "amend", "matter": {"title": "投诉住建局", "against": "housing"}}));
    assert_eq!(part(&s, "housing"), Part::Nothing, "not even what it once had");
}

#[test]
fn withdrawing_takes_it_back_from_the_units() {
    let mut s = Story::handled_by(&["a", "b"]);
    s.agent(json!({"command": "withdraw", "reason": "已自行解决"}));
    assert_eq!(
        (s.state(), s.unit_state("a"), s.unit_state("b")),
        (State::Closed, UnitState::Recalled, UnitState::Recalled)
    );
}

#[test]
fn a_ticket_that_ends_leaves_no_reply_under_review() {
    for end in [json!({"command": "withdraw", "reason": "已自行解决"}), json!({"command": "void", "reason": "误登"})]
    {
        let mut s = Story::handled_by(&["a", "b"]);
        s.unit("a", json!({"command": "request_return", "reason": "不属本单位"}));
        s.unit("b", json!({"command": "sign"}));
        s.unit("b", json!({"command": "reply", "text": "管道无碍"}));
        let lead = s.case.assignments[0].id;
        s.dispatcher(json!({"command": "grant_return", "assignment": lead}));
        s.give_json(Actor::centre(Role::Supervisor, "9001"), end).expect("taken");
        assert_eq!((s.unit_state("a"), s.unit_state("b")), (UnitState::Returned, UnitState::Recalled));
    }
}

#[test]
fn what_is_not_accepted_says_why_and_where_to_turn() {
    let mut s = Story::call(date(2026, 9, 30), 9, 0);
    let why = s.refused(Actor::centre(Role::Agent, "8001"), json!({"command": "reject", "code": " "}));
    assert_eq!(why, Rejected::Field("code"));
    s.agent(json!({"command": "reject", "code": "诉讼中", "referred_to": "人民法院"}));
    assert_eq!((s.state(), s.case.ticket.class), (State::Closed, Class::Contact(ContactKind::Referred)));
    assert_eq!(s.case.ticket.closing.as_ref().unwrap().outcome, ticket::Outcome::Rejected);
    for late in ["amend", "withdraw", "urge"] {
        let why = s.refused(Actor::centre(Role::Agent, "8001"), json!({"command": late}));
        assert_eq!(why.code(), "ticket_state", "{late} after the end");
    }
}

#[test]
fn urging_is_counted() {
    let mut s = Story::handled_by(&["a"]);
    for times in 1..=3 {
        s.agent(json!({"command": "urge"}));
        assert_eq!(s.case.ticket.urged, times);
    }
}

#[test]
fn the_number_that_called_is_not_the_agents_to_change() {
    let mut s = Story::registered();
    s.agent(json!({"command": "amend", "citizen": {"number": "13900000002", "name": "李女士", "contact": "0571-1"}}));
    let citizen = &s.case.ticket.citizen;
    assert_eq!((citizen.number.as_deref(), citizen.reach()), (Some("13800000001"), Some("0571-1")));
    assert_eq!(citizen.name.as_deref(), Some("李女士"));
    // A withheld number is what the citizen says it is.
    s.case.ticket.citizen.number = None;
    s.agent(json!({"command": "amend", "citizen": {"number": "13900000002"}}));
    assert_eq!(s.case.ticket.citizen.reach(), Some("13900000002"));
}

#[test]
fn texts_and_units_have_their_limits() {
    let mut s = Story::registered();
    let (fits, long) = ("长".repeat(command::MAX_TEXT), "长".repeat(command::MAX_TEXT + 1));
    let agent = || Actor::centre(Role::Agent, "8001");
    for field in ["title", "content", "category", "district", "address"] {
        let why = s.refused(agent(), json!({"command": "amend", "matter": {field: long}}));
        assert_eq!(why, Rejected::Field(field));
        s.agent(json!({"command": "amend", "matter": {field: fits}}));
    }
    for field in ["number", "contact", "name"] {
        let why = s.refused(agent(), json!({"command": "amend", "citizen": {field: long}}));
        assert_eq!(why, Rejected::Field(field));
    }
    let units: Vec<_> = (0..=command::MAX_ASSIST).map(|n| format!("unit-{n}")).collect();
    let dispatch = |assist: &[String]| json!({"command": "dispatch", "lead": "a", "assist": assist});
    assert_eq!(s.refused(dispatcher(), dispatch(&units)), Rejected::Field("assist"));
    assert_eq!(s.refused(dispatcher(), dispatch(&[" ".to_owned()])), Rejected::Field("assist"));
    s.dispatcher(dispatch(&units[1..]));
    assert_eq!(s.case.assignments.len(), 1 + command::MAX_ASSIST);
}

#[test]
fn only_who_has_a_part_answers_for_the_citizen() {
    let mut s = Story::handled_by(&["a", "b"]);
    s.unit("b", json!({"command": "request_return", "reason": "不属本单位"}));
    s.dispatcher(json!({"command": "grant_return"}));
    s.unit("a", json!({"command": "sign"}));
    for command in [json!({"command": "supplied", "text": "人民路 1 号"}), json!({"command": "contact_failed"})] {
        s.unit("a", json!({"command": "ask_supplement", "question": "具体门牌号?"}));
        for unit in ["b", "c"] {
            assert_eq!(s.refused(Actor::unit(unit, unit), command.clone()), Rejected::OtherUnit, "{unit}");
        }
        s.unit("a", command);
        if s.state() == State::ToSupplement {
            s.agent(json!({"command": "supplied", "text": "人民路 1 号"}));
        }
    }
}

#[test]
fn who_has_replied_is_not_waived() {
    let mut s = Story::handled_by(&["a", "b"]);
    s.unit("b", json!({"command": "sign"}));
    s.unit("b", json!({"command": "reply", "text": "管道无碍"}));
    let id = s.case.assignments[1].id;
    let why = s.refused(dispatcher(), json!({"command": "waive", "assignment": id}));
    assert_eq!((why.code(), s.unit_state("b")), ("assignment_state", UnitState::Replied));
}

#[test]
fn a_unit_is_overdue_after_its_time_and_not_while_its_clock_stands_still() {
    let mut s = Story::handled_by(&["a"]);
    s.rules.policy.may_suspend = true;
    let overdue = |s: &Story, millis: i64| {
        let lead = &s.case.assignments[0];
        lead.is_overdue(UnixMillis(lead.due_at.0 + millis))
    };
    assert_eq!([overdue(&s, -1), overdue(&s, 0), overdue(&s, 1)], [false, false, true]);
    s.unit("a", json!({"command": "sign"}));
    s.unit("a", json!({"command": "suspend", "reason": "等待鉴定"}));
    assert!(!overdue(&s, 1_000_000));
    s.unit("a", json!({"command": "resume"}));
    let mut in_time = s.case.clone();
    s.unit("a", json!({"command": "reply", "text": "已修复"}));
    assert!(!overdue(&s, 1_000_000), "it replied in time");
    std::mem::swap(&mut s.case, &mut in_time);
    s.now = UnixMillis(s.case.assignments[0].due_at.0 + 1);
    s.unit("a", json!({"command": "reply", "text": "已修复"}));
    assert!(overdue(&s, -1_000_000), "it replied too late");
    let mut s = Story::handled_by(&["a"]);
    s.dispatcher(json!({"command": "recall"}));
    assert!(!overdue(&s, 1_000_000), "it need not reply any more");
}

#[test]
fn a_ticket_is_overdue_after_its_time_and_as_it_was_when_it_closed() {
    let mut s = Story::registered();
    let due = s.case.ticket.due_at.expect("set at registration");
    let overdue = |s: &Story, millis: i64| s.case.ticket.is_overdue(UnixMillis(due.0 + millis));
    assert_eq!([overdue(&s, -1), overdue(&s, 0), overdue(&s, 1)], [false, false, true]);
    s.agent(json!({"command": "withdraw"}));
    assert!(!overdue(&s, 1_000_000), "it was closed in time");
    assert!(!Story::call(date(2026, 9, 30), 9, 0).case.ticket.is_overdue(due), "a draft has no time yet");
}

#[test]
fn who_arrived_first_is_kept() {
    let mut s = Story::handled_by(&["a"]);
    s.unit("a", json!({"command": "sign"}));
    s.at(date(2026, 9, 30), 10, 0).unit("a", json!({"command": "arrived"}));
    let first = s.now;
    s.at(date(2026, 9, 30), 11, 0).unit("a", json!({"command": "arrived"}));
    assert_eq!(s.case.assignments[0].arrived_at, Some(first));
}

#[test]
fn the_third_return_may_name_the_unit_that_is_designated() {
    for (to, states) in
        [("a", (UnitState::Forced, None)), ("b", (UnitState::Returned, Some((UnitState::Forced, true))))]
    {
        let mut s = Story::handled_by(&["a"]);
        s.case.ticket.returns = s.rules.policy.max_returns - 1;
        // The last moment at which it may be returned.
        s.now = s.rules.policy.return_within.due(s.case.assignments[0].dispatched_at, &s.rules.calendar);
        s.unit("a", json!({"command": "request_return", "reason": "非本单位职责"}));
        s.dispatcher(json!({"command": "grant_return", "to": to}));
        let next = s.case.assignments.get(1).map(|b| (b.state, b.designated));
        assert_eq!((s.unit_state("a"), next), states);
    }
}

#[test]
fn a_refused_extension_may_be_asked_for_again() {
    let mut s = Story::handled_by(&["a"]);
    s.unit("a", json!({"command": "sign"}));
    let due = s.case.assignments[0].due_at;
    let ask = json!({"command": "request_extension", "days": s.rules.policy.extension_days, "reason": "需采购"});
    s.unit("a", ask.clone());
    s.dispatcher(json!({"command": "refuse_extension", "reason": "时间足够"}));
    assert_eq!(s.case.assignments[0].due_at, due);
    assert_eq!(s.refused(dispatcher(), json!({"command": "grant_extension"})), Rejected::NoExtension);
    s.unit("a", ask);
}

#[test]
fn merged_and_split_again() {
    let mut s = Story::registered();
    let own = s.case.ticket.no.clone();
    assert_eq!(s.refused(dispatcher(), json!({"command": "merge", "into": own})).code(), "merge_self");
    s.dispatcher(json!({"command": "merge", "into": "261001010000017"}));
    assert_eq!(s.state(), State::Merged);
    s.dispatcher(json!({"command": "split"}));
    assert_eq!((s.state(), s.case.ticket.merged_into.is_none()), (State::ToDispatch, true));
}

#[test]
fn states_have_names_of_their_own_on_screens() {
    let units = UnitState::ALL.map(UnitState::name_zh);
    let tickets = State::ALL.map(State::name_zh);
    for names in [&units[..], &tickets[..]] {
        assert_eq!(names.iter().collect::<std::collections::BTreeSet<_>>().len(), names.len(), "{names:?}");
        assert!(names.iter().all(|name| !name.is_empty() && !name.is_ascii()), "{names:?}");
    }
    assert_eq!((UnitState::ToSign.name_zh(), State::Handling.name_zh()), ("待签收", "办理中"));
}

#[test]
fn everything_survives_json() {
    let mut s = Story::handled_by(&["a", "b"]);
    s.unit("a", json!({"command": "sign"}));
    let text = serde_json::to_string(&s.case).unwrap();
    assert_eq!(serde_json::from_str::<Case>(&text).unwrap(), s.case);
    for event in &s.history {
        let value = serde_json::to_value(event).unwrap();
        assert_eq!(value["event"], event.what.name());
        let assignment = serde_json::to_value(event.what.assignment()).unwrap();
        assert_eq!(value.get("assignment").unwrap_or(&serde_json::Value::Null), &assignment, "{}", event.what.name());
        assert_eq!(&serde_json::from_value::<Event>(value).unwrap(), event);
    }
    for state in State::ALL {
        assert_eq!(serde_json::to_value(state).unwrap(), state.name());
    }
    for state in UnitState::ALL {
        assert_eq!(serde_json::to_value(state).unwrap(), state.name());
    }
    for kind in [ContactKind::Unsorted, ContactKind::Abandoned, ContactKind::Silent, ContactKind::Misdialled]
        .into_iter()
        .chain([ContactKind::Nuisance, ContactKind::Test, ContactKind::Chasing, ContactKind::Referred])
    {
        let class = serde_json::to_value(Class::Contact(kind)).unwrap();
        assert_eq!(class, json!({"class": Class::Contact(kind).name(), "contact_kind": kind.name()}));
    }
    assert_eq!(serde_json::to_value(Class::Request).unwrap(), json!({"class": Class::Request.name()}));
    for role in [UnitRole::Lead, UnitRole::Assist] {
        assert_eq!(serde_json::to_value(role).unwrap(), role.name());
    }
    for role in Role::ALL {
        assert_eq!(Role::from_name(role.name()), Some(role));
        assert_eq!(serde_json::to_value(role).unwrap(), role.name());
    }
}

fn any_unit() -> impl Strategy<Value = UnitCode> {
    prop_oneof![Just("a"), Just("b"), Just("c"), Just("d")].prop_map(UnitCode::from)
}

fn any_command() -> impl Strategy<Value = Command> {
    let text = || prop_oneof![9 => Just("事由".to_owned()), 1 => Just(String::new())];
    let id = || prop_oneof![4 => Just(None), 1 => (100u64..106).prop_map(|n| Some(AssignmentId(n)))];
    let verdict = prop_oneof![
        Just(Verdict::Satisfied),
        Just(Verdict::BasicallySatisfied),
        Just(Verdict::Unsatisfied),
        Just(Verdict::Unreachable)
    ];
    prop_oneof![
        2 => prop_oneof![
            Just(Command::Register { matter: Matter::default(), citizen: None }),
            (text(), any::<bool>()).prop_map(|(answer, follow_up)| Command::DirectAnswer { matter: None, answer, follow_up }),
            text().prop_map(|reason| Command::Withdraw { reason }),
            text().prop_map(|note| Command::Urge { note }),
            Just(Command::Complete { kind: ContactKind::Silent, note: String::new(), chases: None }),
            text().prop_map(|reason| Command::Void { reason }),
            Just(Command::Split { reason: String::new() }),
            Just(Command::Archive {}),
            Just(Command::Recompute {}),
        ],
        4 => (any_unit(), proptest::collection::vec(any_unit(), 0..3)).prop_map(|(lead, assist)| Command::Dispatch {
            lead, assist, rule: None, note: String::new()
        }),
        6 => prop_oneof![
            id().prop_map(|assignment| Command::Sign { assignment }),
            (id(), text()).prop_map(|(assignment, text)| Command::Reply { assignment, text, contacted: None }),
            (id(), text()).prop_map(|(assignment, reason)| Command::RequestReturn { assignment, reason }),
            (id(), text(), 0u32..12).prop_map(|(assignment, reason, days)| Command::RequestExtension { assignment, days, reason }),
            (id(), text()).prop_map(|(assignment, reason)| Command::Suspend { assignment, reason }),
            id().prop_map(|assignment| Command::Resume { assignment }),
        ],
        5 => prop_oneof![
            (id(), proptest::option::of(any_unit())).prop_map(|(assignment, to)| Command::GrantReturn { assignment, to }),
            (id(), text()).prop_map(|(assignment, reason)| Command::RefuseReturn { assignment, reason }),
            id().prop_map(|assignment| Command::GrantExtension { assignment }),
            (id(), proptest::option::of(any_unit())).prop_map(|(assignment, to)| Command::Recall {
                assignment, to, reason: String::new()
            }),
            (100u64..106).prop_map(|n| Command::Waive { assignment: AssignmentId(n), reason: String::new() }),
            (id(), text()).prop_map(|(assignment, question)| Command::AskSupplement { question, assignment }),
            text().prop_map(|text| Command::Supplied { text }),
            Just(Command::ContactFailed { note: String::new() }),
        ],
        4 => prop_oneof![
            Just(Command::Accept { note: String::new() }),
            text().prop_map(|reason| Command::Redo { reason, rule: None }),
            text().prop_map(|explanation| Command::CloseObjective { explanation }),
            verdict.prop_map(|result| Command::FollowUp { result, solved: Some(true), note: String::new() }),
        ],
    ]
}

fn any_actor() -> impl Strategy<Value = Actor> {
    prop_oneof![
        3 => Just(Actor::system()),
        1 => Just(dispatcher()),
        2 => any_unit().prop_map(|unit| Actor::unit(unit.as_str(), "clerk")),
    ]
}

fn check(before: &Case, after: &Case, command: &Command) {
    let (old, new) = (&before.ticket, &after.ticket);
    assert_eq!(old.accepted_at, new.accepted_at, "the citizen's clock never restarts");
    assert!(old.due_at.is_none() || old.due_at == new.due_at || matches!(command, Command::Recompute {}));
    assert!(old.history < new.history || matches!(command, Command::Recompute {}), "everything leaves its trace");
    if !old.state.is_open() {
        assert!(old.state == new.state || old.state.may_become(new.state), "closed is final");
        assert_eq!(old.closing, new.closing, "and so is the way it ended");
    }
    assert_eq!(new.state == State::Closed || new.state == State::Archived, new.closing.is_some());
    let leads = after.assignments.iter().filter(|a| a.role == UnitRole::Lead && a.state.is_live()).count();
    assert!(leads <= 1);
    match new.state {
        State::Handling => assert!(after.lead().is_some_and(|lead| lead.state.is_open())),
        State::ToReview => assert!(after.lead().is_some_and(|lead| lead.state == UnitState::Replied)),
        _ => {}
    }
    if !new.state.is_open() {
        let ended = |a: &Assignment| !a.state.is_open() && a.state != UnitState::Replied;
        assert!(
            after.assignments.iter().all(ended),
            "nobody works on a ticket that ended, and no reply is under review"
        );
    }
    assert!(after.assignments.len() >= before.assignments.len());
    for (a, b) in before.assignments.iter().zip(&after.assignments) {
        assert_eq!((a.id, &a.unit, a.dispatched_at), (b.id, &b.unit, b.dispatched_at));
        assert!(
            !matches!(a.state, UnitState::Returned | UnitState::Recalled | UnitState::Waived) || a.state == b.state
        );
    }
    let mut units: Vec<_> = after.assignments.iter().filter(|a| a.state.is_live()).map(|a| &a.unit).collect();
    let count = units.len();
    units.sort();
    units.dedup();
    assert_eq!(units.len(), count, "no unit has a ticket twice");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]
    #[test]
    fn whatever_is_commanded(
        register in any::<bool>(),
        steps in proptest::collection::vec((any_actor(), any_command(), 0i64..200_000_000), 1..60),
    ) {
        let mut story = if register { Story::registered() } else { Story::call(date(2026, 9, 30), 9, 0) };
        story.rules.policy.may_suspend = true;
        for (by, command, passed) in steps {
            story.now.0 += passed;
            let (before, told) = (story.case.clone(), story.history.len());
            let kept = story.history.clone();
            match story.give(&by, &command) {
                Ok(()) => check(&before, &story.case, &command),
                Err(_) => prop_assert_eq!((&before, told), (&story.case, story.history.len())),
            }
            prop_assert_eq!(&story.history[..told], &kept[..], "history is only added to");
            prop_assert!(story.history.iter().enumerate().all(|(i, e)| e.seq == i as u64 + 1));
        }
    }
}
