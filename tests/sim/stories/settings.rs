//! Settings that change while people call: who waits keeps the place, who talks goes on, what is new is for what comes.

use crate::{
    city::{self, MUSIC, THANKS, WELCOME},
    phone::Manner,
    world::{Who, World},
};
use hotline::{
    acd::{agent::StateName as Agent, config::QueueConfig, message::Status},
    app::switch::{Config, Leftover, RouteTo},
    call::{
        cdr::{StateName, What},
        message::Settings as CallSettings,
    },
    ivr::Flow,
    media::{clip::Clip, tone::Sine},
};
use std::{sync::Arc, time::Duration};

const AT_ONCE: Manner = Manner::AnswersAfter(Duration::ZERO);

fn wait_in_line(w: &mut World, numbers: &[&str]) -> Vec<Who> {
    let call = |number: &&str| {
        let citizen = w.citizen(number);
        w.calls(citizen);
        w.run(1);
        citizen
    };
    numbers.iter().map(call).collect()
}

fn config(change: &mut hotline::app::switch::Change) -> &mut Config {
    Arc::make_mut(&mut change.config)
}

#[test]
fn a_queue_that_changes_keeps_its_waiters_at_their_places() {
    let mut w = World::new();
    let waiting = ["1001", "1002", "1003"];
    let citizens = wait_in_line(&mut w, &waiting);
    let leftover = w.settings_change(|change| {
        let general = &mut change.queues[0];
        general.max_len = Some(1);
        general.announce_position = true;
        general.max_wait = Some(Duration::from_secs(60));
        general.weight = 7;
    });
    assert_eq!(leftover, Leftover::default());
    assert_eq!(w.waiting(), waiting, "more wait than may now, and none is sent away");
    let late = w.citizen("1004");
    w.calls(late);
    w.run(1);
    assert!(w.call(late).overflow.is_some(), "and nobody else comes in");
    assert_eq!(w.waiting(), waiting);
    let agent = w.agent("8001");
    w.until(5, "the first is served first", |w| w.state(citizens[0]) == StateName::Talking);
    w.run(1);
    assert!(w.converse(&[citizens[0], agent]));
    // What was waited counts: the others have their 60 s from when they came, not from the change.
    w.until(60, "they have waited their time", |w| w.what(citizens[1]).is_some() && w.what(citizens[2]).is_some());
    let waited = |who: Who| {
        let call = w.call(who);
        call.ended_at.expect("over").since(call.enqueued_at.expect("queued")).as_secs()
    };
    assert!((60..=63).contains(&waited(citizens[1])), "{}", waited(citizens[1]));
    assert!((60..=63).contains(&waited(citizens[2])), "{}", waited(citizens[2]));
    w.ends();
}

#[test]
fn a_longer_wait_is_given_to_those_who_wait_already() {
    let mut w = World::new();
    w.settings_change(|change| change.queues[0].max_wait = Some(Duration::from_secs(30)));
    let citizens = wait_in_line(&mut w, &["1001", "1002"]);
    w.run(20);
    w.settings_change(|change| change.queues[0].max_wait = None);
    w.run(100);
    assert_eq!(w.waiting(), ["1001", "1002"]);
    // Less than they have waited: they go at once.
    w.settings_change(|change| change.queues[0].max_wait = Some(Duration::from_secs(60)));
    w.until(2, "their time is up", |w| w.waiting().is_empty());
    assert!(citizens.iter().all(|who| w.call(*who).overflow.is_some()));
    w.ends();
}

#[test]
fn a_queue_that_is_gone_serves_those_who_wait_and_takes_nobody_else() {
    let mut w = World::new();
    let citizens = wait_in_line(&mut w, &["1001", "1002"]);
    let other = |change: &mut hotline::app::switch::Change| {
        change.queues[0] = QueueConfig { ring_timeout: Duration::from_secs(20), ..QueueConfig::new("other") };
    };
    let leftover = w.settings_change(other);
    assert_eq!(leftover.closing, [("general".into(), 2)]);
    assert_eq!(w.waiting(), ["1001", "1002"]);
    let late = w.citizen("1003");
    w.calls(late);
    w.run(1);
    assert!(w.call(late).overflow.is_some(), "12345 still leads to a queue that takes nobody");
    let agent = w.agent("8001");
    for citizen in citizens {
        w.until(10, "who waits is served", |w| w.state(citizen) == StateName::Talking);
        w.run(1);
        assert!(w.converse(&[citizen, agent]));
        w.hangs_up(citizen);
        w.run(1);
    }
    assert_eq!(w.agent_state("8001"), Agent::Idle);
    assert!(w.switch.leftover().closing.is_empty(), "nobody is left in it");
    // It is back: as if it had never been away.
    w.settings_change(|_| ());
    let citizen = w.citizen("1004");
    w.calls(citizen);
    w.run_ms(100);
    w.until(5, "it takes callers again", |w| w.state(citizen) == StateName::Talking);
    w.ends();
}

#[test]
fn an_agent_who_is_gone_finishes_the_call_and_cannot_register_again() {
    let mut w = World::new();
    let (agent, citizen) = (w.agent("8001"), w.citizen("1001"));
    w.calls(citizen);
    w.run_ms(100);
    w.until(5, "they talk", |w| w.state(citizen) == StateName::Talking);
    let gone = |change: &mut hotline::app::switch::Change| {
        change.roster.remove(&"8001".into());
        config(change).credentials.remove("8001");
        config(change).seats.remove(&"8001".into());
    };
    let leftover = w.settings_change(gone);
    assert_eq!(leftover.talking, ["8001".into()]);
    w.run(5);
    assert!(w.converse(&[citizen, agent]), "the call goes on");
    w.hangs_up(citizen);
    w.run(1);
    assert_eq!(w.agent_status("8001"), Status::LoggedOut);
    assert!(w.switch.leftover().talking.is_empty());
    w.phones[agent].registered = None;
    w.phones[agent].register(w.now, &city::password("8001"));
    w.run(2);
    assert_eq!(w.phones[agent].registered, Some(401), "the telephone may not register any more");
    let next = w.citizen("1002");
    w.calls(next);
    w.run(5);
    assert!(!w.is_rung(agent) && w.state(next) == StateName::Queued);
    // And is there again.
    w.settings_change(|_| ());
    w.signs_on(agent);
    w.until(5, "the agent serves again", |w| w.state(next) == StateName::Talking);
    w.ends();
}

#[test]
fn an_agent_who_is_gone_while_the_telephone_rings_gives_way_to_the_next() {
    let mut w = World::new();
    let gone = w.agent("8001");
    w.phones[gone].manner = Manner::NeverAnswers;
    let citizen = w.citizen("1001");
    w.calls(citizen);
    w.run_ms(100);
    w.until(5, "it rings", |w| w.is_rung(gone));
    let next = w.agent("8002");
    w.settings_change(|change| {
        change.roster.remove(&"8001".into());
        config(change).credentials.remove("8001");
        config(change).seats.remove(&"8001".into());
    });
    w.until(5, "the next one answers", |w| w.state(citizen) == StateName::Talking);
    w.run(1);
    assert!(w.converse(&[citizen, next]) && !w.is_rung(gone));
    assert_eq!(w.agent_status("8001"), Status::LoggedOut);
    w.ends();
}

#[test]
fn another_password_is_asked_for_at_the_next_registration() {
    let mut w = World::new();
    let (agent, citizen) = (w.agent("8001"), w.citizen("1001"));
    w.settings_change(|change| {
        let ha1 = hotline::sip::auth::ha1("8001", city::REALM, "another");
        config(change).credentials.insert("8001".to_owned(), ha1);
    });
    w.calls(citizen);
    w.run_ms(100);
    w.until(5, "the agent is still there", |w| w.state(citizen) == StateName::Talking);
    w.hangs_up(citizen);
    w.run(1);
    for (password, status) in [(city::password("8001"), 401), ("another".to_owned(), 200)] {
        w.phones[agent].registered = None;
        w.phones[agent].register(w.now, &password);
        w.run(2);
        assert_eq!(w.phones[agent].registered, Some(status), "{password}");
    }
    w.ends();
}

#[test]
fn skills_and_a_new_queue_are_served_by_those_who_are_signed_in() {
    let mut w = World::new();
    let (plain, skilled) = (w.agent("8001"), w.agent("8002"));
    w.settings_change(|change| {
        change.queues.push(QueueConfig { skills: vec!["law".to_owned()], ..QueueConfig::new("law") });
        let own = change.roster.get_mut(&"8002".into()).expect("an agent");
        own.skills.insert("law".to_owned(), 5);
        let profile = &mut config(change).profiles[0];
        profile.routes[0] = RouteTo::Queue("law".into());
    });
    let citizen = w.citizen("1001");
    w.calls(citizen);
    w.run_ms(100);
    w.until(5, "the skilled one answers", |w| w.state(citizen) == StateName::Talking);
    w.run(1);
    assert!(w.converse(&[citizen, skilled]) && !w.is_up(plain));
    assert_eq!(w.figures("law"), [1, 1, 0, 0]);
    w.ends();
}

/// Says `clip`, and again until somebody hangs up.
fn saying(clip: &str) -> RouteTo {
    let text = format!("version = 1\nstart = \"say\"\n[node.say]\nplay = \"{clip}\"\nnext = \"say\"\n");
    RouteTo::Flow(Arc::new(Flow::parse(&text, "say.toml").expect("a sound flow")))
}

#[test]
fn a_call_keeps_the_flow_and_the_clips_it_began_with() {
    const OTHER: f64 = 650.0;
    let mut w = World::new();
    w.settings_change(|change| config(change).profiles[0].routes[0] = saying("prompts/zh/welcome.wav"));
    let before = w.citizen("1001");
    w.calls(before);
    w.run(2);
    assert!(w.hears_tone(before, WELCOME));
    w.settings_change(|change| {
        config(change).profiles[0].routes[0] = saying("prompts/zh/survey_thanks.wav");
    });
    let after = w.citizen("1002");
    w.calls(after);
    for _ in 0..10 {
        w.run(1);
        assert!(w.hears_tone(before, WELCOME) && !w.hears_tone(before, THANKS), "the old flow goes on");
    }
    assert!(w.hears_tone(after, THANKS) && !w.hears_tone(after, WELCOME), "the next call has the new one");
    // Another recording under the same name.
    w.settings_change(|change| {
        let settings = config(change);
        settings.profiles[0].routes[0] = saying("prompts/zh/survey_thanks.wav");
        let mut samples = vec![0; 8_000];
        Sine::new(OTHER, 8_000.0).fill(&mut samples);
        let name = "prompts/zh/survey_thanks.wav".to_owned();
        let mut clips = (*settings.call.clips).clone();
        clips.insert(name.clone(), Arc::new(Clip::from_samples(name, &samples)));
        let hours = settings.call.hours.clone();
        settings.call = Arc::new(CallSettings { clips: Arc::new(clips), hours, ..CallSettings::default() });
    });
    let last = w.citizen("1003");
    w.calls(last);
    w.run(3);
    assert!(w.hears_tone(after, THANKS) && !w.hears_tone(after, OTHER));
    assert!(w.hears_tone(last, OTHER) && !w.hears_tone(last, THANKS));
    w.ends();
}

#[test]
fn an_address_that_is_given_up_takes_nothing_new_and_ends_what_it_has() {
    let mut w = World::new();
    let (agent, citizen) = (w.agent("8001"), w.citizen("1001"));
    w.phones[agent].manner = AT_ONCE;
    w.calls(citizen);
    w.run_ms(100);
    w.until(5, "they talk", |w| w.state(citizen) == StateName::Talking);
    w.settings_change(|change| {
        let trunk = &mut config(change).profiles[0].settings;
        trunk.listen[0].address.set_port(5062);
    });
    let late = w.citizen("1002");
    w.calls(late);
    w.run(1);
    assert!(!w.records.values().any(|call| call.from == "1002"), "it is not even refused: nobody listens");
    assert!(w.converse(&[citizen, agent]));
    let trunk = city::TRUNK.parse().expect("an address");
    assert!(w.switch.endpoint().speaks_at(trunk), "the talk goes over it");
    w.hangs_up(citizen);
    w.run(1);
    assert_eq!(w.what(citizen), Some(What::Answered), "the BYE came through");
    assert!(!w.switch.endpoint().speaks_at(trunk), "it can be closed");
    assert_eq!(w.agent_state("8001"), Agent::Idle);
    assert!(!w.hears_tone(citizen, MUSIC));
    w.ends();
}
