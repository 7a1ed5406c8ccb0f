//! `alarms`: what an operator must look at, and who is told.

use crate::{
    line::Line,
    shape,
    stream::Stream,
    world::{PATIENCE, World, run, until},
};
use hotline::{
    app::{
        alarms::{Alarm, Finding},
        events::Audience,
        permissions::Thing,
    },
    net::clock,
    sandbox::ua::Audio,
};
use serde_json::{Value, json};
use std::{collections::BTreeMap, time::Duration};

const ALARM: &str = "code:string title:string severity:string since:time detail:string advice:string";

async fn standing(world: &World, code: &str) -> Option<Value> {
    let all = shape::list(&world.user("9001").await.get("/alarms").await.ok(200), ALARM);
    all.into_iter().find(|alarm| alarm["code"] == code)
}

#[test]
fn only_who_leads_sees_alarms() {
    run(|world| async move {
        world.user("9001").await.get("/alarms").await.ok(200);
        world.user("admin").await.get("/alarms").await.ok(200);
        for user in ["8001", "dispatcher", "auditor", "unit101"] {
            world.user(user).await.get("/alarms").await.problem(403, "forbidden");
        }
        world.stranger().get("/alarms").await.problem(401, "unauthorized");
    });
}

/// Looks until the pages say so: the alarm is listed, gauged, in the readiness, and told on the stream.
#[test]
fn an_alarm_is_raised_told_and_cleared() {
    run(|_| async move {
        let world = World::start("alarms").await;
        let mut stream = Stream::open(&world.user("9001").await, None).await;
        let mut agents = Stream::open(&world.user("8001").await, None).await;
        let now = clock::now();
        let full = || BTreeMap::from([(Alarm::SpoolUnwritable, Finding::critical("磁盘已满"))]);
        world.app.judge(now, full());
        let alarm = standing(&world, "spool_unwritable").await.expect("the alarm");
        assert_eq!((&alarm["severity"], &alarm["title"]), (&json!("critical"), &json!("暂存区写不进磁盘")));
        assert_eq!(alarm["detail"], "磁盘已满");
        let ready = crate::health::plain(&world, "/readyz").await.ok(200);
        let told =
            ready["alarms"].as_array().is_some_and(|all| all.iter().any(|alarm| alarm["code"] == "spool_unwritable"));
        assert!(told && ready["ready"] == true, "{ready}");
        world.app.judge(now.plus(Duration::from_secs(16)), BTreeMap::new());
        assert!(standing(&world, "spool_unwritable").await.is_none());
        for raised in [true, false] {
            let told = stream.wait("alarm", |alarm| alarm["code"] == "spool_unwritable").await;
            assert_eq!(told.data["raised"], raised, "{told:?}");
        }
        // What an agent is told next is something else.
        world.app.events.publish("mark", Audience::All(Thing::Agents), &1);
        let told = agents.next().await;
        assert_eq!(told.kind, "mark", "an agent is told of no alarm: {told:?}");
    });
}

/// The agent's telephone sends nothing at all, while the citizen talks.
#[test]
fn a_party_that_is_not_heard_raises_an_alarm() {
    run(|world| async move {
        let line = Line::open(world, "8010", "13900007801").await;
        line.agent_call.hears(PATIENCE, "the citizen", |heard| heard.packets > 50).await.expect("the citizen is heard");
        line.agent_call.say(Audio::Mute);
        let alarm = until("the alarm", || standing(world, "rtp_one_way")).await;
        assert!(alarm["detail"].as_str().is_some_and(|detail| detail.contains("1 路")), "{alarm}");
        let story = crate::logs::story(&line.id).join("\n");
        assert!(story.contains("one-way: nothing is heard") && story.contains("whose=\"agent\""), "{story}");
        let figures = crate::health::plain(world, "/metrics").await.text();
        for wanted in ["hotline_rtp_one_way_total{whose=\"agent\"} 1", "hotline_alarm{alarm=\"rtp_one_way\"} 1"] {
            assert!(figures.contains(wanted), "{wanted}");
        }
        line.agent_call.say(Audio::tone(440.0));
        line.close().await;
    });
}
