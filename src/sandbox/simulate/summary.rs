//! The summary of an exercise: what people saw and what the centre has in its books, as equations that add up or do not.

use super::{
    books::CallRow,
    invariants::{Evidence, Verdict, memory},
    protocol::{End, Result},
};
use serde::Serialize;
use serde_json::{Value, json};
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write,
};

/// A sum and its parts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Equation {
    pub name: String,
    pub whole: (String, i64),
    pub parts: Vec<(String, i64)>,
    /// By how much it may be off, and why.
    pub doubt: i64,
    pub why: String,
    /// Some of what one side has and the other has not, told where the two differ.
    pub odd: Vec<String>,
}

impl Equation {
    fn new(name: &str, whole: (&str, usize), parts: &[(&str, usize)]) -> Equation {
        let own = |(text, number): &(&str, usize)| ((*text).to_owned(), *number as i64);
        let parts = parts.iter().map(own).collect();
        Equation { name: name.to_owned(), whole: own(&whole), parts, doubt: 0, why: String::new(), odd: Vec::new() }
    }

    fn give(mut self, doubt: usize, why: &str) -> Equation {
        (self.doubt, self.why) = (doubt as i64, why.to_owned());
        self
    }

    fn name_odd(mut self, odd: Vec<String>) -> Equation {
        self.odd = odd;
        self
    }

    /// Whether it adds up, within its doubt.
    pub fn holds(&self) -> bool {
        let sum: i64 = self.parts.iter().map(|(_, number)| number).sum();
        (self.whole.1 - sum).abs() <= self.doubt
    }

    fn line(&self) -> String {
        let parts: Vec<String> = self.parts.iter().map(|(text, number)| format!("{text} {number}")).collect();
        let mut line = format!("{} {} {} = {}", mark(self.holds()), self.whole.0, self.whole.1, parts.join(" + "));
        let sum: i64 = self.parts.iter().map(|(_, number)| number).sum();
        if sum != self.whole.1 {
            let _ = write!(line, "(差 {},{} 允许 {})", self.whole.1 - sum, self.why, self.doubt);
            for odd in &self.odd {
                let _ = write!(line, "\n      {odd}");
            }
        }
        line
    }
}

fn mark(holds: bool) -> &'static str {
    if holds { "✓" } else { "✗" }
}

/// What became of an answered call, by the centre's books.
fn fate(call: &CallRow) -> &'static str {
    match call {
        CallRow { served_at: Some(_), .. } => SERVED,
        CallRow { what, .. } if what == "lost" => LOST,
        CallRow { overflow: Some(_), .. } => OVERFLOWED,
        CallRow { enqueued_at: Some(_), .. } => LEFT_QUEUE,
        _ => LEFT_GREETING,
    }
}

const SERVED: &str = "坐席接听";
const LEFT_GREETING: &str = "引导语中挂断";
const LEFT_QUEUE: &str = "排队中放弃";
const OVERFLOWED: &str = "排队超时转回拨";
const LOST: &str = "中断";
const FATES: [&str; 5] = [SERVED, LEFT_GREETING, LEFT_QUEUE, OVERFLOWED, LOST];

/// The equations of an exercise.
pub fn equations(evidence: &Evidence) -> Vec<Equation> {
    let count = |wanted: &dyn Fn(&Result) -> bool| evidence.calls.iter().filter(|call| wanted(&call.result)).count();
    let answered = count(&|result| matches!(result, Result::Answered { .. }));
    let own = evidence.own_calls();
    let taken: Vec<&&CallRow> = own.iter().filter(|call| call.answered_at.is_some()).collect();
    let mut fates: BTreeMap<&str, usize> = BTreeMap::new();
    taken.iter().for_each(|call| *fates.entry(fate(call)).or_default() += 1);
    let parts: Vec<(&str, usize)> = FATES.iter().map(|name| (*name, fates.get(name).copied().unwrap_or(0))).collect();
    let doubtful = evidence.doubtful();
    let mut all = vec![
        Equation::new(
            "citizens",
            ("拨打", evidence.calls.len()),
            &[
                ("接通", answered),
                ("接通前取消", count(&|result| matches!(result, Result::Cancelled))),
                ("被拒", count(&|result| matches!(result, Result::Refused { .. }))),
                ("无回应", count(&|result| matches!(result, Result::Failed))),
            ],
        ),
        Equation::new("answered", ("市民所见接通", answered), &[("热线账上接通", taken.len())])
            .give(doubtful, "强杀瞬间未定")
            .name_odd(differently_answered(evidence, &taken)),
        Equation::new("fates", ("热线账上接通", taken.len()), &parts),
    ];
    if evidence.own {
        let ids: BTreeSet<&str> = own.iter().map(|call| call.id.as_str()).collect();
        let owed = evidence.books.callbacks.iter().filter(|(call, _)| ids.contains(call.as_str())).count();
        let unserved = taken.iter().filter(|call| call.went_without()).count();
        all.push(Equation::new("callbacks", ("入队而未获接听,或失去坐席后未再获接听", unserved), &[("待回拨", owed)]));
        let messages = evidence.books.messages.values().filter(|(purpose, _)| purpose == "acceptance").count();
        all.push(
            Equation::new("sms", ("登记成功的工单", evidence.registered.len()), &[("受理短信", messages)])
                .give(evidence.agents.api_failures as usize, "接口没有答复而已登记"),
        );
        let matched = telephones(evidence, &own);
        all.push(Equation::new(
            "telephones",
            ("坐席话机接起", evidence.agent_calls.len()),
            &[("账上坐席腿接通", matched.connected), (WITHDRAWN, matched.withdrawn), (NEAR_KILL, matched.near_kill)],
        ));
        all.push(Equation::new("legs", ("账上坐席腿接通", matched.legs), &[("话机确已接起", matched.connected)]));
    }
    all
}

/// Calls that their citizens and the books tell differently, the first ten.
fn differently_answered(evidence: &Evidence, taken: &[&&CallRow]) -> Vec<String> {
    let answered = evidence.answered();
    let booked: BTreeMap<&str, &CallRow> = taken.iter().map(|row| (row.sip_call_id.as_str(), **row)).collect();
    let kill_before = |at: i64| evidence.kills.iter().filter(|kill| **kill <= at).max().map(|kill| at - kill);
    let odd = evidence.calls.iter().filter_map(|call| {
        let id = call.sip_call_id.as_str();
        let row = booked.get(id);
        if answered.contains(id) == row.is_some() {
            return None;
        }
        let told = row.map(|row| {
            format!(
                "{} {}/{} 接通后 {:?} ms 结束",
                row.id,
                row.whose,
                row.what,
                row.ended_at.zip(row.answered_at).map(|(end, answer)| end - answer)
            )
        });
        Some(format!(
            "{id}:市民 {:?},拨出于强杀后 {:?} ms,历时 {} ms;账上 {}",
            call.result,
            kill_before(call.placed_at),
            call.ended_at - call.placed_at,
            told.unwrap_or_else(|| "没有接通".to_owned())
        ))
    });
    odd.take(10).collect()
}

const WITHDRAWN: &str = "接起时来电已撤回";
const NEAR_KILL: &str = "接起时热线被强杀";
/// How far apart the two sides' times of an answer may be, in milliseconds: a lost 200 is sent again for some seconds.
const ANSWERED: i64 = 12_000;
/// How long an agent's telephone may think that it talks when the call was withdrawn as it answered, in milliseconds: the
/// ACK and the BYE may be lost some times.
const WITHDRAWAL: i64 = 40_000;
/// How long before a kill an answer may be that nobody wrote down, in milliseconds.
const UNWRITTEN: i64 = 12_000;

/// The agents' telephones held against the agents' legs in the books.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Telephones {
    legs: usize,
    connected: usize,
    withdrawn: usize,
    near_kill: usize,
}

fn telephones(evidence: &Evidence, own: &[&CallRow]) -> Telephones {
    let mut legs: BTreeMap<&str, Vec<i64>> = BTreeMap::new();
    for leg in own.iter().flat_map(|call| &call.legs).filter(|leg| leg.role == "agent") {
        legs.entry(leg.agent.as_str()).or_default().extend(leg.answered_at);
    }
    let mut pairs = Vec::new();
    for (call, told) in evidence.agent_calls.iter().enumerate() {
        for (leg, at) in legs.get(told.agent.as_str()).into_iter().flatten().enumerate() {
            let apart = (at - told.answered_at).abs();
            if apart <= ANSWERED {
                pairs.push((apart, call, told.agent.as_str(), leg));
            }
        }
    }
    // The nearest first: a call that was withdrawn must not take the place of the one that came right after it.
    pairs.sort_unstable();
    let (mut calls, mut taken) = (BTreeSet::new(), BTreeSet::new());
    for (_, call, agent, leg) in pairs {
        if !calls.contains(&call) && taken.insert((agent, leg)) {
            calls.insert(call);
        }
    }
    let legs = legs.values().map(Vec::len).sum();
    let mut told = Telephones { legs, connected: calls.len(), ..Telephones::default() };
    for (_, call) in evidence.agent_calls.iter().enumerate().filter(|(call, _)| !calls.contains(call)) {
        if evidence.kills.iter().any(|kill| (call.answered_at..=call.answered_at + UNWRITTEN).contains(kill)) {
            told.near_kill += 1;
        } else if call.ended_at - call.answered_at <= WITHDRAWAL {
            told.withdrawn += 1;
        }
    }
    told
}

/// How the citizens' calls ended by their own account, and how long they waited.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Experience {
    pub ends: BTreeMap<String, usize>,
    pub redials: usize,
    /// From the answer to an agent's voice, in milliseconds: the median, and what one in twenty exceeds.
    pub voice_median_ms: i64,
    pub voice_95_ms: i64,
    pub heard: usize,
    pub served: usize,
}

/// What citizens experienced.
pub fn experience(evidence: &Evidence) -> Experience {
    let mut told = Experience::default();
    let mut waits: Vec<i64> = Vec::new();
    for call in &evidence.calls {
        told.redials += usize::from(call.redial > 0);
        let end = match call.result {
            Result::Answered { end: End::LeftGreeting } => "引导语中挂断",
            Result::Answered { end: End::LostPatience } => "等不及挂断",
            Result::Answered { end: End::Talked } => "说完挂断",
            Result::Answered { end: End::Theirs } => "热线或坐席挂断",
            Result::Answered { end: End::Lost } => "失去联系",
            Result::Cancelled => "接通前取消",
            Result::Refused { .. } => "被拒",
            Result::Failed => "无回应",
        };
        *told.ends.entry(end.to_owned()).or_default() += 1;
        if let (Some(answered), Some(voice)) = (call.answered_at, call.voice_at) {
            waits.push(voice - answered);
        }
    }
    waits.sort_unstable();
    let at = |share: f64| waits.get(((waits.len() as f64 * share) as usize).min(waits.len().saturating_sub(1)));
    told.voice_median_ms = at(0.5).copied().unwrap_or(0);
    told.voice_95_ms = at(0.95).copied().unwrap_or(0);
    told.heard = waits.len();
    told.served = evidence.own_calls().iter().filter(|call| call.served_at.is_some()).count();
    told
}

/// Whether everything that could be judged is true.
pub fn all_true(equations: &[Equation], verdicts: &[Verdict]) -> bool {
    equations.iter().all(Equation::holds) && verdicts.iter().all(|verdict| verdict.holds != Some(false))
}

/// The summary in words.
pub fn words(evidence: &Evidence, equations: &[Equation], verdicts: &[Verdict]) -> String {
    let mut text = String::from("\n合计\n");
    for equation in equations {
        let _ = writeln!(text, "  {}", equation.line());
    }
    let told = experience(evidence);
    let ends: Vec<String> = told.ends.iter().map(|(end, count)| format!("{end} {count}")).collect();
    let _ = writeln!(text, "  市民:{};其中重拨 {}", ends.join("、"), told.redials);
    let _ = writeln!(
        text,
        "  从接通到听见坐席:中位 {:.1} 秒,95 % 在 {:.1} 秒内(听见 {},账上接听 {})",
        told.voice_median_ms as f64 / 1000.0,
        told.voice_95_ms as f64 / 1000.0,
        told.heard,
        told.served
    );
    let agents = &evidence.agents;
    let _ = writeln!(
        text,
        "  坐席:振铃 {},接起 {},拒接 {},响到超时 {},振铃中掉线 {},通话中掉线 {},小休 {},被置离席后返回 {},保持 {},三方 {},登记 {},接口未成 {}",
        agents.offered,
        agents.answered,
        agents.refused,
        agents.rang_out,
        agents.vanished_ringing,
        agents.vanished_talking,
        agents.rested,
        agents.taken_off,
        agents.held,
        agents.three_way,
        agents.registered,
        agents.api_failures
    );
    let mut outcomes: BTreeMap<&str, usize> = BTreeMap::new();
    let own = evidence.own_calls();
    own.iter().flat_map(|call| &call.three_way).for_each(|one| *outcomes.entry(one.as_str()).or_default() += 1);
    if !outcomes.is_empty() {
        let outcomes: Vec<String> = outcomes.iter().map(|(outcome, count)| format!("{outcome} {count}")).collect();
        let _ = writeln!(text, "  三方通话(账上):{}", outcomes.join("、"));
    }
    text += "\n不变量\n";
    for verdict in verdicts {
        let mark = verdict.holds.map_or("–", mark);
        let _ = writeln!(text, "  {mark} {} {}:{}", verdict.name, verdict.what, verdict.figures);
    }
    text
}

/// The summary for a program.
pub fn json(evidence: &Evidence, equations: &[Equation], verdicts: &[Verdict], settings: &Value) -> Value {
    let samples: Vec<Value> = evidence
        .samples
        .iter()
        .map(|sample| {
            let (seconds, usage) = (sample.at.as_secs(), sample.usage);
            json!({"s": seconds, "rss_kb": usage.resident_kb, "files": usage.files, "start": sample.start})
        })
        .collect();
    let equations: Vec<Value> = equations
        .iter()
        .map(|equation| {
            let mut value = json!(equation);
            value["holds"] = equation.holds().into();
            value
        })
        .collect();
    json!({
        "settings": settings,
        "equations": equations,
        "invariants": verdicts,
        "experience": experience(evidence),
        "agents": evidence.agents,
        "sms": evidence.sms,
        "kills": evidence.kills.len(),
        "memory": memory(&evidence.samples),
        "samples": samples,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sandbox::simulate::{
        books::{Books, Leg},
        protocol::{AgentCall, CitizenCall},
    };

    fn call(sip: &str, result: Result) -> CitizenCall {
        CitizenCall {
            sip_call_id: sip.into(),
            redial: 0,
            placed_at: 1000,
            answered_at: matches!(result, Result::Answered { .. }).then_some(1100),
            voice_at: None,
            ended_at: 9000,
            result,
        }
    }

    fn row(sip: &str, change: impl FnOnce(&mut CallRow)) -> CallRow {
        let mut row = CallRow {
            id: format!("id-{sip}"),
            sip_call_id: sip.into(),
            state: "ended".into(),
            answered_at: Some(1100),
            ..CallRow::default()
        };
        change(&mut row);
        row
    }

    fn evidence() -> Evidence {
        let answered = |end| Result::Answered { end };
        Evidence {
            calls: vec![
                call("a", answered(End::Talked)),
                call("b", answered(End::LostPatience)),
                call("c", answered(End::LeftGreeting)),
                call("d", Result::Cancelled),
                call("e", Result::Refused { status: 503 }),
            ],
            books: Books {
                calls: vec![
                    row("a", |row| (row.served_at, row.enqueued_at) = (Some(3000), Some(2000))),
                    row("b", |row| row.enqueued_at = Some(2000)),
                    row("c", |_| {}),
                    row("of somebody else", |_| {}),
                ],
                callbacks: vec![("id-b".into(), "abandoned".into()), ("id-x".into(), "abandoned".into())],
                ..Books::default()
            },
            own: true,
            ..Evidence::default()
        }
    }

    fn by_name(all: &[Equation], name: &str) -> Equation {
        all.iter().find(|equation| equation.name == name).unwrap().clone()
    }

    #[test]
    fn what_adds_up_adds_up() {
        let all = equations(&evidence());
        assert!(all.iter().all(Equation::holds), "{all:#?}");
        let citizens = by_name(&all, "citizens");
        assert_eq!((citizens.whole.1, citizens.parts[0].1, citizens.parts[2].1), (5, 3, 1));
        let fates = by_name(&all, "fates");
        assert_eq!(fates.parts.iter().map(|(_, n)| *n).collect::<Vec<_>>(), [1, 1, 1, 0, 0]);
        assert_eq!(
            fates.line(),
            "✓ 热线账上接通 3 = 坐席接听 1 + 引导语中挂断 1 + 排队中放弃 1 + 排队超时转回拨 0 + 中断 0"
        );
    }

    #[test]
    fn what_is_missing_is_seen() {
        let mut short = evidence();
        short.books.calls.remove(1);
        let all = equations(&short);
        assert!(!by_name(&all, "answered").holds(), "an answered call that is in no book");
        assert!(!all_true(&all, &[]));
        let mut owing = evidence();
        owing.books.callbacks.clear();
        assert!(!by_name(&equations(&owing), "callbacks").holds());
        let mut silent = evidence();
        silent.registered.insert("261125000000022".into());
        assert!(!by_name(&equations(&silent), "sms").holds(), "a registration without its SMS");
    }

    #[test]
    fn who_lost_the_agent_and_reached_nobody_went_without() {
        let lost = Leg {
            role: "agent".into(),
            answered_at: Some(3000),
            ended_at: Some(5000),
            whose: "agent".into(),
            what: "lost".into(),
            ..Leg::default()
        };
        let of = |legs: &[&Leg]| {
            let legs = legs.iter().map(|leg| (*leg).clone()).collect();
            row("a", |row| (row.served_at, row.enqueued_at, row.legs) = (Some(3000), Some(2000), legs)).went_without()
        };
        let rang = Leg { answered_at: None, what: "answered".into(), whose: "caller".into(), ..lost.clone() };
        assert!(of(&[&lost, &rang]));
        let next = Leg { answered_at: Some(6000), ended_at: Some(9000), ..rang };
        assert!(!of(&[&lost, &next]), "another agent took over");
        let department = Leg { role: "department".into(), ..next };
        assert!(!of(&[&department, &lost]), "the department stayed");
        let gone = Leg { ended_at: Some(4000), ..department };
        assert!(of(&[&gone, &lost]));
    }

    #[test]
    fn telephones_and_legs_are_matched_one_by_one() {
        let leg = |answered_at| Leg {
            role: "agent".into(),
            agent: "8001".into(),
            answered_at: Some(answered_at),
            ..Leg::default()
        };
        let told = |answered_at, ended_at| AgentCall { agent: "8001".into(), answered_at, ended_at };
        let mut two = evidence();
        two.books.calls[0].legs = vec![leg(100_000), leg(200_000)];
        two.agent_calls = vec![told(99_900, 150_000), told(200_100, 260_000), told(300_000, 301_000)];
        let matched = |evidence: &Evidence| telephones(evidence, &evidence.own_calls());
        assert_eq!(matched(&two), Telephones { legs: 2, connected: 2, withdrawn: 1, near_kill: 0 });
        // One that was withdrawn, and the next right after it: each finds its own.
        let mut quick = two.clone();
        quick.agent_calls = vec![told(92_000, 93_000), told(99_900, 150_000), told(200_100, 260_000)];
        assert_eq!(matched(&quick), Telephones { legs: 2, connected: 2, withdrawn: 1, near_kill: 0 });
        two.kills.push(300_500);
        assert_eq!(matched(&two), Telephones { legs: 2, connected: 2, withdrawn: 0, near_kill: 1 });
        // A telephone that talks to nobody that the books know.
        two.agent_calls.push(told(400_000, 500_000));
        assert!(!by_name(&equations(&two), "telephones").holds());
        // A leg that no telephone answered.
        two.agent_calls.remove(0);
        assert!(!by_name(&equations(&two), "legs").holds());
    }

    #[test]
    fn doubt_is_as_wide_as_the_kills_allow() {
        let mut killed = evidence();
        // Answered by the books alone: the kill came between.
        killed.books.calls.push(row("d", |row| (row.what, row.whose) = ("lost".into(), "us".into())));
        assert!(!by_name(&equations(&killed), "answered").holds());
        killed.kills.push(5000);
        let answered = by_name(&equations(&killed), "answered");
        assert!(answered.holds() && answered.line().contains("强杀瞬间未定"), "{}", answered.line());
    }
}
