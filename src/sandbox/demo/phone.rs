//! The talking half of the story: from the dial tone to the recording.

use super::{
    DemoConfig, DemoError, StepName, Story, Tones, Trouble,
    api::{self, Api, said, text},
    recording, step, until,
};
use crate::{
    net::clock,
    sandbox::{
        agents::Agent,
        citizens::Citizen,
        departments::Opening,
        ua::{Audio, Call, Heard, Phase, audio},
    },
};
use std::time::{Duration, Instant};
use tokio::sync::broadcast;

/// Over how long a level is measured.
const WINDOW: Duration = Duration::from_millis(500);
/// A tone sent at −16 dBov counts as heard above this.
const HEARD: f64 = -30.0;
/// And one's own must come back at least this much weaker than it was sent.
const ECHO: f64 = -40.0;
const SENT: f64 = -16.0;
/// How long people may take to hear each other: greetings and announcements come first.
const HEARING: Duration = Duration::from_secs(16);

/// What the paper half needs to know of the call.
pub struct Talk {
    pub agent_api: Api,
    pub ticket: String,
}

/// The people and the lines of this story.
struct Lines<'a> {
    config: &'a DemoConfig,
    tones: Tones,
    api: Api,
    agent: Agent,
    /// Kept so that its telephone lives as long as the story.
    _citizen: Citizen,
    citizen_call: Call,
}

pub async fn play(config: &DemoConfig, story: &mut Story, tones: Tones) -> Result<Talk, DemoError> {
    let (api, agent) = step(StepName::SignIn, sign_in(config, story, tones)).await?;
    let dialled = step(StepName::Dial, dial(config, story)).await?;
    let lines = Lines { config, tones, api, agent, _citizen: dialled.0, citizen_call: dialled.1 };
    let outcome = talk(&lines, story).await;
    if outcome.is_err() {
        // Nobody is left on the line when the story breaks off.
        let _ = tokio::time::timeout(Duration::from_secs(2), lines.citizen_call.hang_up()).await;
    }
    // The agent's telephone is not needed any more; a registrar that is gone is no trouble now.
    let _ = tokio::time::timeout(Duration::from_secs(2), lines.agent.leave()).await;
    outcome
}

async fn talk(lines: &Lines<'_>, story: &mut Story) -> Result<Talk, DemoError> {
    let (agent_call, call, ticket, served_at) = step(StepName::Answer, answer(lines, story)).await?;
    let department_call = step(StepName::ThreeWay, three_way(lines, story, &call)).await?;
    step(StepName::Conference, conference(lines, story, &agent_call, &department_call)).await?;
    step(StepName::Register, register(lines, story, &call, &ticket)).await?;
    step(StepName::Leave, leave(lines, story, &agent_call, &department_call)).await?;
    let length = step(StepName::HangUp, hang_up(lines, story, &agent_call, &call, served_at)).await?;
    step(StepName::Recording, record(lines, story, &call, length)).await?;
    Ok(Talk { agent_api: lines.api.clone(), ticket })
}

async fn sign_in(config: &DemoConfig, story: &mut Story, tones: Tones) -> Result<(Api, Agent), Trouble> {
    let broken = config.break_step;
    let api = Api::sign_in(&config.base_url, &config.agent).await?;
    let agent = match broken {
        Some(StepName::SignIn) => Agent::sit_down_with(&config.agent, "wrong", config.registrar).await?,
        _ => Agent::sit_down(&config.agent, config.registrar).await?,
    };
    match broken {
        Some(StepName::Answer) => agent.ignore_calls().await?,
        _ => {
            let greeting = clip(config, "agent_sample_1");
            let audio = Audio::ClipThenTone { clip: greeting, hertz: tones.agent, level: SENT };
            agent.answer_calls(Duration::from_millis(600), audio).await?;
        }
    }
    let opening = match broken {
        Some(StepName::ThreeWay) => Opening::Silent,
        Some(StepName::Conference) => Opening::Mute,
        _ => Opening::Answered,
    };
    config.departments.set(&config.hotline, opening, Some(tones.department)).await?;
    api.set_ready(&config.agent).await?;
    story.tell("话务员", &format!("工号 {} 登录,分机注册成功,示闲", config.agent));
    Ok((api, agent))
}

fn clip(config: &DemoConfig, name: &str) -> std::sync::Arc<[i16]> {
    let found = (config.clips)(&format!("prompts/zh/{name}.wav"));
    found.and_then(|bytes| audio::clip_from_wav(&bytes)).unwrap_or_default()
}

async fn dial(config: &DemoConfig, story: &mut Story) -> Result<(Citizen, Call), Trouble> {
    let citizen = Citizen::new(&config.citizen, config.trunk).await?;
    // 10 belongs to nobody.
    let number = if config.break_step == Some(StepName::Dial) { "10" } else { "12345" };
    story.tell("市民", &format!("{} 拨打 {number}", citizen.number));
    let call = citizen.dial(number, Audio::Silence).await?;
    call.answered().await?;
    story.tell("12345", "接听,播放欢迎词和录音告知");
    let heard = call
        .hears(Duration::from_secs(15), "the welcome", |h| h.loud_for(-40.0, Duration::from_secs(15)) >= speech())
        .await?;
    let loud = heard.loud_for(-40.0, Duration::from_secs(15));
    story.check("市民听到欢迎词", true, format!("语音 {:.1} 秒", loud.as_secs_f64()));
    call.send_digits("0").await?;
    story.tell("市民", "听到欢迎词,按 0 转人工,进入排队");
    Ok((citizen, call))
}

/// So much speech is no crackle.
fn speech() -> Duration {
    Duration::from_millis(1500)
}

async fn answer(lines: &Lines<'_>, story: &mut Story) -> Result<(Call, String, String, Instant), Trouble> {
    let asked = clock::now().mono;
    let agent_call = lines.agent.next_call().await?;
    story.tell("话务员", "振铃");
    agent_call.answered().await?;
    // The recording begins when the agent answers.
    let served_at = clock::now().mono;
    let waited = served_at.saturating_duration_since(asked);
    story.tell("话务员", "接听,问候市民");
    let audio =
        Audio::ClipThenTone { clip: clip(lines.config, "citizen_sample_1"), hertz: lines.tones.citizen, level: SENT };
    lines.citizen_call.say(audio);
    story.tell("市民", "说明诉求:小区井盖损坏");
    let found = until(|| async { lines.api.call_by_sip(lines.citizen_call.sip_call_id()).await }).await?;
    let call = text(&found, &["id"]).ok_or_else(|| said("通话没有 id"))?;
    let ticket = until(|| async { Ok(text(&lines.api.call(&call).await?, &["ticket_no"])) }).await?;
    story.tell("12345", &format!("通话 {call} 对应工单 {ticket}"));
    let pair = [("市民", &lines.citizen_call, lines.tones.citizen), ("话务员", &agent_call, lines.tones.agent)];
    let levels = all_hear(&pair).await?;
    story.check("排队到接听", waited < Duration::from_secs(15), format!("{:.1} 秒(标准 15 秒)", waited.as_secs_f64()));
    story.check("双方互相听到", true, levels);
    Ok((agent_call, call, ticket, served_at))
}

/// Waits until each of these people hears all the others and not himself, twice in a row; their levels.
async fn all_hear(people: &[(&str, &Call, f64)]) -> Result<String, Trouble> {
    let (began, mut before) = (clock::now().mono, false);
    loop {
        let heard: Vec<Heard> = people.iter().map(|(_, call, _)| call.received()).collect();
        let (mut good, mut lines) = (true, Vec::new());
        for ((name, _, own), heard) in people.iter().zip(&heard) {
            let echo = heard.level_at(*own, WINDOW) - SENT;
            good &= echo <= ECHO;
            let others = people.iter().filter(|(_, _, tone)| tone != own).map(|(other, _, tone)| {
                let level = heard.level_at(*tone, WINDOW);
                good &= level > HEARD;
                format!("{other} {level:.0} dB")
            });
            lines.push(format!("{name}听到 {}、自己 {echo:.0} dB", others.collect::<Vec<_>>().join("、")));
        }
        let levels = lines.join(";");
        if good && before {
            return Ok(levels);
        }
        if clock::now().mono.saturating_duration_since(began) > HEARING {
            return Err(Trouble::Said(levels));
        }
        before = good;
        // After a good stretch another one is measured, with nothing of the first in it.
        tokio::time::sleep(if good { WINDOW } else { Duration::from_millis(100) }).await;
    }
}

async fn three_way(lines: &Lines<'_>, story: &mut Story, call: &str) -> Result<Call, Trouble> {
    let hotline = &lines.config.hotline;
    let mut rings = lines.config.departments.calls();
    lines.api.three_way(call, hotline).await?;
    story.tell("话务员", &format!("发起三方通话:{hotline}"));
    let department = next_ring(&mut rings, hotline).await?;
    story.tell("部门", &format!("{hotline} 振铃"));
    department.answered().await?;
    story.tell("部门", "人工接听,报热线名称");
    Ok(department)
}

async fn next_ring(rings: &mut broadcast::Receiver<Call>, number: &str) -> Result<Call, Trouble> {
    loop {
        match rings.recv().await {
            Ok(call) if call.invitation().is_some_and(|i| i.dialled == number) => return Ok(call),
            Ok(_) | Err(broadcast::error::RecvError::Lagged(_)) => {}
            Err(broadcast::error::RecvError::Closed) => return Err(said("模拟部门已关闭")),
        }
    }
}

async fn conference(lines: &Lines<'_>, story: &mut Story, agent: &Call, department: &Call) -> Result<(), Trouble> {
    let tones = lines.tones;
    let people = [
        ("市民", &lines.citizen_call, tones.citizen),
        ("话务员", agent, tones.agent),
        ("部门", department, tones.department),
    ];
    let levels = all_hear(&people).await?;
    story.tell("三方", "市民、话务员、部门互相听到");
    story.check("三方互相听到,听不到自己", true, levels);
    Ok(())
}

async fn register(lines: &Lines<'_>, story: &mut Story, call: &str, ticket: &str) -> Result<(), Trouble> {
    let tickets = lines.api.tickets_of(call).await?;
    let one = tickets.len() == 1 && tickets.first().is_some_and(|no| no == ticket);
    story.check("一次通话一张工单", one, format!("{} 张:{}", tickets.len(), tickets.join("、")));
    let kind = if lines.config.break_step == Some(StepName::Register) { "no such kind" } else { "help" };
    let command = serde_json::json!({
        "command": "register",
        "matter": {
            "title": "小区井盖损坏",
            "content": "小区楼下的井盖坏了,晚上走路很危险,请派人维修。",
            "kind": kind,
            "address": "海州区示例小区3号楼下",
            "district": "101",
        },
        "citizen": {"number": lines.config.citizen, "name": "王女士"},
    });
    let state = lines.api.command(ticket, command).await?;
    if state != "to_dispatch" {
        return Err(Trouble::Said(format!("登记后工单状态为 {state}")));
    }
    story.tell("话务员", &format!("登记工单 {ticket}:求助,小区井盖损坏 → 待派单"));
    Ok(())
}

async fn leave(lines: &Lines<'_>, story: &mut Story, agent: &Call, department: &Call) -> Result<(), Trouble> {
    if lines.config.break_step != Some(StepName::Leave) {
        department.hang_up().await;
    } else {
        department.wait_ended().await;
    }
    story.tell("部门", "答复完毕,挂机退出");
    let pair = [("市民", &lines.citizen_call, lines.tones.citizen), ("话务员", agent, lines.tones.agent)];
    let levels = all_hear(&pair).await?;
    let gone = lines.citizen_call.received().level_at(lines.tones.department, WINDOW) < HEARD;
    story.check("部门退出后双方仍在通话", gone, levels);
    Ok(())
}

async fn hang_up(
    lines: &Lines<'_>,
    story: &mut Story,
    agent: &Call,
    call: &str,
    served_at: Instant,
) -> Result<Duration, Trouble> {
    let citizen = &lines.citizen_call;
    if lines.config.break_step != Some(StepName::HangUp) {
        citizen.hang_up().await;
        story.tell("市民", "挂机");
    }
    agent.wait_ended().await;
    let length = clock::now().mono.saturating_duration_since(served_at);
    until(|| async {
        let state = text(&lines.api.call(call).await?, &["state"]).unwrap_or_default();
        Ok(matches!(state.as_str(), "ended" | "finished" | "closed").then_some(()))
    })
    .await?;
    let state = until(|| async {
        let state = lines.api.agent_state(&lines.config.agent).await?;
        Ok(matches!(state.as_str(), "wrap_up" | "idle").then_some(state))
    })
    .await?;
    let ended = matches!(citizen.status().phase, Phase::Ended(_));
    story.tell("话务员", &format!("通话结束,{}", if state == "wrap_up" { "话后处理" } else { "示闲" }));
    story.check("挂机后各方释放", ended, format!("话务员状态 {state}"));
    let (at_citizen, at_agent) = (citizen.received(), agent.received());
    let (lost, packets) = (at_citizen.lost + at_agent.lost, at_citizen.packets + at_agent.packets);
    story.check("语音包", lost * 100 <= packets && packets > 0, format!("收到 {packets},丢失 {lost}"));
    Ok(length)
}

async fn record(lines: &Lines<'_>, story: &mut Story, call: &str, length: Duration) -> Result<(), Trouble> {
    let id = until(|| async { Ok(api::recording_of(&lines.api.call(call).await?)) }).await?;
    let tones = match lines.config.break_step {
        Some(StepName::Recording) => Tones { citizen: lines.tones.agent, agent: lines.tones.citizen, ..lines.tones },
        _ => lines.tones,
    };
    // It is sealed a moment after the call.
    let measured = until(|| async {
        match lines.api.recording(&id).await {
            Ok(wav) => Ok(recording::measure(&wav, tones)),
            Err(Trouble::Http(crate::sandbox::http_client::HttpError::Status { status: 404 | 409 | 425, .. })) => {
                Ok(None)
            }
            Err(other) => Err(other),
        }
    })
    .await?;
    let difference = measured.length.abs_diff(length);
    // One in a hundred, and what the clerks' own clocks are off.
    let whole = difference <= length / 100 + Duration::from_millis(250);
    let seconds = |d: Duration| format!("{:.1} 秒", d.as_secs_f64());
    story.tell("12345", &format!("录音 {id}:{} 声道,{}", measured.channels, seconds(measured.length)));
    let figures = format!(
        "左 市民 {:.0} dB;右 话务员 {:.0} dB、部门 {:.0} dB",
        measured.citizen_left, measured.agent_right, measured.department_right
    );
    story.check("录音双声道,左市民右坐席", measured.sides_are_right(), figures);
    story.check("录音完整", whole, format!("录音 {},通话 {}", seconds(measured.length), seconds(length)));
    Ok(())
}
