//! The invariants I1–I7, judged from what people saw, what the centre has in its books, and what was measured.

use super::{
    books::{Books, CallRow},
    protocol::{AgentCall, AgentTally, CitizenCall, Result},
    watch::{GHOST, Ghosts, Sample, SmsCounts},
};
use serde::Serialize;
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    time::Duration,
};

/// How near to a kill a call may be of which nobody knows whether it was answered, in milliseconds.
const DOUBT: i64 = 1500;
/// How far apart the records of two legs may be that were decided together, in milliseconds.
const TOGETHER: i64 = 400;
/// How much a recording may differ from the time that was talked, in milliseconds, and as a share.
const RECORDING_MS: i64 = 2000;
const RECORDING_SHARE: f64 = 0.01;
/// From when on memory has to be flat.
const WARM: Duration = Duration::from_secs(600);
/// How long it must have been measured after that for a verdict.
const FLAT: Duration = Duration::from_secs(120);
/// By how much it may drift then.
const DRIFT: f64 = 0.05;

/// One judgement.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Verdict {
    pub name: &'static str,
    pub what: String,
    pub figures: String,
    /// None: there was nothing to judge by, as the figures say.
    pub holds: Option<bool>,
}

/// A recording that was listened to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Heard {
    pub recording: String,
    pub wav_ms: i64,
}

/// All that is judged by.
#[derive(Clone, Debug, Default)]
pub struct Evidence {
    pub calls: Vec<CitizenCall>,
    /// Tickets whose registration the API confirmed.
    pub registered: BTreeSet<String>,
    pub agents: AgentTally,
    pub agent_calls: Vec<AgentCall>,
    pub books: Books,
    /// Milliseconds since 1970.
    pub kills: Vec<i64>,
    pub ghosts: Ghosts,
    pub sms: SmsCounts,
    pub heard: Vec<Heard>,
    /// Of the centre's process; empty when it is not ours.
    pub samples: Vec<Sample>,
    pub panics: Vec<String>,
    /// The centre ended without being asked.
    pub died: bool,
    /// `(free, all)` RTP ports, legs and calls at the end.
    pub ports: Option<(u64, u64)>,
    pub legs_left: Option<u64>,
    pub calls_left: Option<u64>,
    /// The centre writes tickets and sends SMS for this exercise alone.
    pub own: bool,
}

impl Evidence {
    /// The Call-IDs of calls that citizens saw answered.
    pub fn answered(&self) -> BTreeSet<&str> {
        let answered = self.calls.iter().filter(|call| matches!(call.result, Result::Answered { .. }));
        answered.map(|call| call.sip_call_id.as_str()).collect()
    }

    /// The centre's records of this exercise's calls.
    pub fn own_calls(&self) -> Vec<&CallRow> {
        let own: BTreeSet<&str> = self.calls.iter().map(|call| call.sip_call_id.as_str()).collect();
        self.books.calls.iter().filter(|call| own.contains(call.sip_call_id.as_str())).collect()
    }

    /// Calls near a kill that their citizen did not see answered.
    pub fn doubtful(&self) -> usize {
        let near = |call: &&CitizenCall| {
            !matches!(call.result, Result::Answered { .. })
                && self.kills.iter().any(|kill| (call.placed_at - DOUBT..=call.ended_at + DOUBT).contains(kill))
        };
        self.calls.iter().filter(near).count()
    }

    fn was_killed(&self, call: &CallRow) -> bool {
        call.what == "lost" && call.whose == "us" && call.q850 == 41
    }
}

/// Judges all seven.
pub fn judge(evidence: &Evidence) -> Vec<Verdict> {
    let mut verdicts = tickets(evidence);
    verdicts.push(ghosts(evidence));
    verdicts.push(order(evidence));
    verdicts.extend(recordings(evidence));
    verdicts.push(sms(evidence));
    verdicts.extend(process(evidence));
    verdicts.push(endings(evidence));
    verdicts
}

fn verdict(name: &'static str, what: &str, figures: String, holds: bool) -> Verdict {
    Verdict { name, what: what.to_owned(), figures, holds: Some(holds) }
}

fn tickets(evidence: &Evidence) -> Vec<Verdict> {
    let mut primary: HashMap<&str, usize> = HashMap::new();
    for ticket in evidence.books.tickets.iter().filter(|ticket| ticket.primary) {
        *primary.entry(ticket.call.as_deref().unwrap_or_default()).or_default() += 1;
    }
    let mut records: HashMap<&str, Vec<&CallRow>> = HashMap::new();
    for call in &evidence.books.calls {
        records.entry(call.sip_call_id.as_str()).or_default().push(call);
    }
    let answered = evidence.answered();
    let has_one = |sip: &&&str| {
        records.get(**sip).is_some_and(|calls| calls.len() == 1 && primary.get(calls[0].id.as_str()) == Some(&1))
    };
    let with_one = answered.iter().filter(has_one).count();
    let wrong: Vec<&str> = answered.iter().filter(|sip| !has_one(sip)).take(3).copied().collect();
    let own_tickets: usize =
        evidence.own_calls().iter().map(|call| primary.get(call.id.as_str()).copied().unwrap_or(0)).sum();
    let doubtful = evidence.doubtful();
    let surplus = own_tickets.saturating_sub(answered.len());
    let mut figures = format!("接通 {} = 恰有一张主工单 {with_one};主工单共 {own_tickets}", answered.len());
    if surplus > 0 {
        figures += &format!("(多 {surplus},强杀瞬间未定的电话 {doubtful})");
    }
    if !wrong.is_empty() {
        figures += &format!(";不符 {wrong:?}");
    }
    let kept: BTreeSet<&str> = evidence
        .books
        .tickets
        .iter()
        .filter(|ticket| ticket.state != "draft")
        .map(|ticket| ticket.no.as_str())
        .collect();
    let missing = evidence.registered.iter().filter(|no| !kept.contains(no.as_str())).count();
    let still = evidence.registered.len() - missing;
    vec![
        verdict("I1", "每个接通的电话恰有一张主工单", figures, with_one == answered.len() && surplus <= doubtful),
        verdict(
            "I1",
            "接口答复成功的登记都在",
            format!("登记成功 {} = 账上 {still};热线强杀 {} 次", evidence.registered.len(), evidence.kills.len()),
            missing == 0,
        ),
    ]
}

fn ghosts(evidence: &Evidence) -> Verdict {
    let Ghosts { longest, too_long, looks, .. } = &evidence.ghosts;
    let mut figures = format!("看 {looks} 次,无对话而显示通话最长 {:.1} 秒", longest.0.as_secs_f64());
    if !too_long.is_empty() {
        figures += &format!(";超过的坐席 {too_long:?}");
    }
    let what = format!("{} 秒内没有坐席无对话而显示振铃或通话", GHOST.as_secs());
    Verdict { name: "I2", what, figures, holds: (*looks > 0).then_some(too_long.is_empty()) }
}

/// Nobody is offered to an agent while one who came to the same queue before waits and is offered to nobody.
fn order(evidence: &Evidence) -> Verdict {
    let mut waiters: Vec<&CallRow> = evidence
        .own_calls()
        .into_iter()
        .filter(|call| call.enqueued_at.is_some() && call.queue.as_deref() == Some("general") && !call.english)
        .collect();
    waiters.sort_by_key(|call| call.enqueued_at);
    let (mut offers, mut overtaken) = (0usize, Vec::new());
    for (place, call) in waiters.iter().enumerate() {
        for leg in call.legs.iter().filter(|leg| leg.role == "agent") {
            offers += 1;
            let passed = waiters[..place]
                .iter()
                .rev()
                .take(3000)
                .find(|before| before.enqueued_at < call.enqueued_at && waits_unoffered(before, leg.started_at));
            if let Some(before) = passed {
                overtaken.push(format!("{} 先于 {}", call.id, before.id));
            }
        }
    }
    let mut figures = format!("送达坐席 {offers} 次,插队 {} 次", overtaken.len());
    if !overtaken.is_empty() {
        figures += &format!(":{}", overtaken[..overtaken.len().min(3)].join("、"));
    }
    verdict("I3", "按首次入队时间服务", figures, overtaken.is_empty())
}

/// Whether a caller clearly waited at this moment and rang nowhere.
fn waits_unoffered(call: &CallRow, at: i64) -> bool {
    let until = call.served_at.or(call.ended_at).unwrap_or(i64::MAX);
    let rings = call.legs.iter().filter(|leg| leg.role == "agent").any(|leg| {
        (leg.started_at - TOGETHER..=leg.ended_at.unwrap_or(i64::MAX).saturating_add(TOGETHER)).contains(&at)
    });
    call.enqueued_at.is_some_and(|since| since + TOGETHER < at) && at + TOGETHER < until && !rings
}

fn recordings(evidence: &Evidence) -> Vec<Verdict> {
    let by_call: HashMap<&str, Vec<_>> = evidence.books.recordings.iter().fold(HashMap::new(), |mut map, row| {
        map.entry(row.call.as_str()).or_insert_with(Vec::new).push(row);
        map
    });
    let (mut served, mut matching, mut flagged, mut cut, mut longest_cut) = (0, 0, 0, 0, 0i64);
    let mut wrong = Vec::new();
    for call in evidence.own_calls() {
        let Some(served_at) = call.served_at else { continue };
        served += 1;
        let rows = by_call.get(call.id.as_str()).map(Vec::as_slice).unwrap_or_default();
        let [row] = rows else {
            wrong.push(format!("通话 {} 有 {} 份录音", call.id, rows.len()));
            continue;
        };
        let killed_at = evidence.kills.iter().find(|kill| evidence.was_killed(call) && **kill >= served_at).copied();
        let end = killed_at.or(call.ended_at).unwrap_or(served_at);
        let talked = end - served_at;
        let allowed = RECORDING_MS.max((talked as f64 * RECORDING_SHARE) as i64);
        let fits = match killed_at {
            // Up to two seconds before the fault; and it says that it is not whole.
            Some(_) => {
                cut += 1;
                flagged += usize::from(row.shortened);
                longest_cut = longest_cut.max(talked - row.duration_ms);
                talked - row.duration_ms <= RECORDING_MS && row.shortened
            }
            None => (talked - row.duration_ms).abs() <= allowed,
        };
        if fits {
            matching += 1;
        } else {
            wrong.push(format!("通话 {}:说 {talked} ms,录 {} ms,{}", call.id, row.duration_ms, row.state));
        }
    }
    let mut figures = format!("坐席接听 {served} = 录音长度相符 {matching};强杀打断 {cut} = 已标记 {flagged}");
    if cut > 0 {
        figures += &format!(",最多缺 {:.1} 秒", longest_cut as f64 / 1000.0);
    }
    if !wrong.is_empty() {
        figures += &format!(";不符 {}:{}", wrong.len(), wrong[..wrong.len().min(3)].join("、"));
    }
    let lengths: HashMap<&str, i64> =
        evidence.books.recordings.iter().map(|row| (row.id.as_str(), row.duration_ms)).collect();
    let differ = |heard: &&Heard| (heard.wav_ms - lengths.get(heard.recording.as_str()).unwrap_or(&0)).abs() > 100;
    let unlike = evidence.heard.iter().filter(differ).count();
    vec![
        verdict("I4", "录音与通话等长,缩短的有标记", figures, wrong.is_empty()),
        Verdict {
            name: "I4",
            what: "抽听录音,可以播放且长度相符".to_owned(),
            figures: format!("抽听 {},不符 {unlike}", evidence.heard.len()),
            holds: (!evidence.heard.is_empty()).then_some(unlike == 0),
        },
    ]
}

fn sms(evidence: &Evidence) -> Verdict {
    let SmsCounts { looks, lost, created, by_state } = &evidence.sms;
    let states: Vec<String> = by_state.iter().map(|(state, count)| format!("{state} {count}")).collect();
    let sum: usize = by_state.values().sum();
    let figures = format!("数 {looks} 次,不在任何状态的 {};最后 {created} = {sum}({})", lost.len(), states.join(" + "));
    let what = "短信:已建 = 待发 + 已提交 + 已送达 + 失败 + 未定,任何时刻".to_owned();
    Verdict { name: "I5", what, figures, holds: (*looks > 0).then_some(lost.is_empty() && sum == *created) }
}

/// How memory went after the tenth minute.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Memory {
    pub least_kb: u64,
    pub most_kb: u64,
    pub kb_a_minute: f64,
    pub minutes: f64,
}

/// The figures of the last start of the centre, after the tenth minute; None when it was too short.
pub fn memory(samples: &[Sample]) -> Option<Memory> {
    let last = samples.last()?.start;
    let warm: Vec<(f64, u64)> = samples
        .iter()
        .filter(|sample| sample.start == last && sample.at >= WARM)
        .map(|sample| (sample.at.as_secs_f64() / 60.0, sample.usage.resident_kb))
        .collect();
    let minutes = warm.last()?.0 - warm.first()?.0;
    if minutes * 60.0 < FLAT.as_secs_f64() {
        return None;
    }
    let count = warm.len() as f64;
    let mean = |of: &dyn Fn(&(f64, u64)) -> f64| warm.iter().map(of).sum::<f64>() / count;
    let (x, y) = (mean(&|p| p.0), mean(&|p| p.1 as f64));
    let covariance: f64 = warm.iter().map(|p| (p.0 - x) * (p.1 as f64 - y)).sum();
    let variance: f64 = warm.iter().map(|p| (p.0 - x).powi(2)).sum();
    let sizes = warm.iter().map(|p| p.1);
    Some(Memory {
        least_kb: sizes.clone().min()?,
        most_kb: sizes.max()?,
        kb_a_minute: covariance / variance.max(f64::EPSILON),
        minutes,
    })
}

fn process(evidence: &Evidence) -> Vec<Verdict> {
    let mut verdicts = Vec::new();
    if evidence.own {
        let mut figures = format!("panic {} 次,自行退出 {} 次", evidence.panics.len(), u8::from(evidence.died));
        if let Some(first) = evidence.panics.first() {
            figures += &format!(":{first:.160}");
        }
        verdicts.push(verdict("I6", "没有崩溃", figures, evidence.panics.is_empty() && !evidence.died));
    }
    let memory_figures = memory(&evidence.samples);
    verdicts.push(match memory_figures {
        Some(memory) => {
            let drift = memory.kb_a_minute * memory.minutes / memory.most_kb.max(1) as f64;
            let figures = format!(
                "{:.1} 分钟内 {:.1}–{:.1} MB,每分钟 {:+.0} kB,合计 {:+.1} %",
                memory.minutes,
                memory.least_kb as f64 / 1024.0,
                memory.most_kb as f64 / 1024.0,
                memory.kb_a_minute,
                drift * 100.0
            );
            verdict("I6", "第十分钟后内存平稳", figures, drift <= DRIFT)
        }
        None => Verdict {
            name: "I6",
            what: "第十分钟后内存平稳".to_owned(),
            figures: if evidence.samples.is_empty() {
                "不是自己的进程,未测"
            } else {
                "不足十二分钟,不评判"
            }
            .to_owned(),
            holds: None,
        },
    });
    let free = evidence.ports.is_some_and(|(free, all)| free == all);
    let (legs, calls) = (evidence.legs_left, evidence.calls_left);
    let number = |number: Option<u64>| number.map_or("?".to_owned(), |n| n.to_string());
    let (free_ports, ports) = evidence.ports.map_or((None, None), |(free, all)| (Some(free), Some(all)));
    let figures = format!(
        "RTP 端口空闲 {} = {};媒体腿 {};进行中 {}",
        number(free_ports),
        number(ports),
        number(legs),
        number(calls)
    );
    verdicts.push(Verdict {
        name: "I6",
        what: "结束后端口与通话归零".to_owned(),
        figures,
        // On somebody else's sandbox others may talk.
        holds: evidence.own.then_some(free && legs == Some(0) && calls == Some(0)),
    });
    verdicts
}

fn endings(evidence: &Evidence) -> Verdict {
    let own = evidence.own_calls();
    let complete = |call: &&&CallRow| {
        call.state == "ended"
            && call.ended_at.is_some()
            && !call.what.is_empty()
            && call.legs.iter().all(|leg| leg.ended_at.is_some() && !leg.what.is_empty())
    };
    let closed = own.iter().filter(complete).count();
    let legs: usize = own.iter().map(|call| call.legs.len()).sum();
    let recorded: BTreeSet<&str> = own.iter().map(|call| call.sip_call_id.as_str()).collect();
    let unrecorded = evidence.answered().into_iter().filter(|sip| !recorded.contains(sip)).count();
    let mut causes: BTreeMap<String, usize> = BTreeMap::new();
    for call in &own {
        *causes.entry(format!("{}/{}", call.whose, call.what)).or_default() += 1;
    }
    let mut causes: Vec<(String, usize)> = causes.into_iter().collect();
    causes.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    let causes: Vec<String> = causes.iter().map(|(cause, count)| format!("{cause} {count}")).collect();
    let open: Vec<&str> = own.iter().filter(|call| !complete(call)).map(|call| call.id.as_str()).take(3).collect();
    let mut figures = format!("通话 {} = 有原因 {closed}(腿 {legs});接通而无记录 {unrecorded}", own.len());
    figures += &format!(";{}", causes.join("、"));
    if !open.is_empty() {
        figures += &format!(";不全 {open:?}");
    }
    verdict("I7", "每个对话都以有原因的记录结束", figures, closed == own.len() && unrecorded == 0)
}

#[cfg(test)]
#[path = "invariants_tests.rs"]
mod tests;
