//! The written half of the story: dispatch, reply, follow-up and SMS.

use super::{
    DemoConfig, DemoError, StepName, Story, Trouble,
    api::{Api, text},
    phone::Talk,
    step, until,
};
use serde_json::{Value, json};

pub async fn play(config: &DemoConfig, story: &mut Story, talk: &Talk) -> Result<(), DemoError> {
    if config.break_step == Some(StepName::Sms) {
        config.sms_centre.lose_messages();
    }
    let no = talk.ticket.as_str();
    let unit = step(StepName::Dispatch, dispatch(config, story, no)).await?;
    step(StepName::Reply, reply(config, story, no, &unit)).await?;
    step(StepName::FollowUp, follow_up(config, story, no)).await?;
    step(StepName::Sms, messages(config, story, &talk.agent_api, no)).await
}

/// Gives a command and wants the ticket to be in this state afterwards.
async fn command(api: &Api, no: &str, command: Value, wanted: &str) -> Result<(), Trouble> {
    let name = command["command"].as_str().unwrap_or_default().to_owned();
    let state = api.command(no, command).await?;
    if state == wanted {
        Ok(())
    } else {
        Err(Trouble::Said(format!("{name} 之后工单状态为 {state},应为 {wanted}")))
    }
}

async fn dispatch(config: &DemoConfig, story: &mut Story, no: &str) -> Result<Api, Trouble> {
    let (code, user) = &config.unit;
    let api = Api::sign_in(&config.base_url, &config.dispatcher).await?;
    let lead = if config.break_step == Some(StepName::Dispatch) { "no such unit" } else { code };
    command(&api, no, json!({"command": "dispatch", "lead": lead, "note": "请尽快处置"}), "handling").await?;
    story.tell("派单员", &format!("工单 {no} 派往承办单位 {code} → 办理中"));
    let unit = Api::sign_in(&config.base_url, user).await?;
    command(&unit, no, json!({"command": "sign"}), "handling").await?;
    story.tell("承办单位", "签收");
    Ok(unit)
}

async fn reply(config: &DemoConfig, story: &mut Story, no: &str, unit: &Api) -> Result<(), Trouble> {
    if config.break_step != Some(StepName::Reply) {
        let words = "已到现场更换井盖并恢复通行。";
        command(unit, no, json!({"command": "reply", "text": words, "contacted": "电话告知诉求人"}), "to_review")
            .await?;
        story.tell("承办单位", &format!("答复:{words}"));
    }
    let reviewer = Api::sign_in(&config.base_url, &config.reviewer).await?;
    command(&reviewer, no, json!({"command": "accept"}), "to_follow_up").await?;
    story.tell("审核员", "审核通过 → 待回访");
    Ok(())
}

async fn follow_up(config: &DemoConfig, story: &mut Story, no: &str) -> Result<(), Trouble> {
    let api = Api::sign_in(&config.base_url, &config.follow_up).await?;
    let result = if config.break_step == Some(StepName::FollowUp) { "no such verdict" } else { "satisfied" };
    command(&api, no, json!({"command": "follow_up", "result": result, "solved": true}), "closed").await?;
    story.tell("回访员", "回访:已解决,满意 → 结案");
    story.check("工单结案", true, format!("工单 {no}:待派单 → 办理中 → 待审核 → 待回访 → 结案"));
    Ok(())
}

async fn messages(config: &DemoConfig, story: &mut Story, api: &Api, no: &str) -> Result<(), Trouble> {
    let wanted = ["acceptance", "result"];
    let state_of = |all: &[Value], purpose: &str| {
        let one = all.iter().find(|m| text(m, &["purpose", "template", "kind"]).is_some_and(|p| p == purpose))?;
        text(one, &["state"])
    };
    until(|| async {
        let all = api.messages(no).await?;
        let states = wanted.map(|purpose| state_of(&all, purpose));
        if let Some(lost) = states.iter().flatten().find(|s| matches!(s.as_str(), "failed" | "uncertain")) {
            return Err(Trouble::Said(format!("短信状态为 {lost}")));
        }
        Ok(states.iter().all(|s| s.as_deref() == Some("delivered")).then_some(()))
    })
    .await?;
    story.tell("短信", "受理短信、结果短信送达,回执已收");
    let taken = config.sms_centre.messages();
    let ours: Vec<&String> =
        taken.iter().filter(|(to, text)| to.ends_with(&config.citizen) && text.contains(no)).map(|(_, t)| t).collect();
    let discreet = ours.iter().all(|text| !text.contains("井盖"));
    let figures =
        format!("短信中心收到 {} 条含工单号的短信,{}含诉求内容", ours.len(), if discreet { "不" } else { "" });
    story.check("短信送达并有回执", ours.len() >= wanted.len() && discreet, figures);
    Ok(())
}
