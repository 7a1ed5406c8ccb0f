//! A session on a virtual clock.
#![allow(clippy::disallowed_methods, reason = "tests may ask the clock")]

use super::*;

/// A session on a virtual clock.
struct Stage {
    session: Session,
    now: Now,
}

const MILLI: Duration = Duration::from_millis(1);

impl Stage {
    fn new(text: &str) -> Self {
        Stage::by("13912345678", text)
    }

    fn by(from: &str, text: &str) -> Self {
        let flow = Arc::new(Flow::parse(text, "f.toml").unwrap());
        let hours = Arc::new(|calendar: &str, now: UnixMillis| calendar == "office" && now.0 < 1000);
        let now = Now { mono: Instant::now(), wall: UnixMillis(0) };
        let caller = Caller { from: from.into(), dialled: "12319".into() };
        Stage { session: Session::new(flow, &caller, hours, now), now }
    }

    fn out(&mut self) -> Vec<Output> {
        std::iter::from_fn(|| self.session.poll_output()).collect()
    }

    /// The token of the one thing that is to be played now.
    #[track_caller]
    fn played(&mut self, clip: &str) -> PlayToken {
        let out = self.out();
        match out.as_slice() {
            [.., Output::Play { token, clips }] if clips.iter().any(|c| c.contains(clip)) => *token,
            other => panic!("{clip} is not played: {other:?}"),
        }
    }

    fn done(&mut self, token: PlayToken) {
        self.session.handle_input(self.now, Input::PlayDone(token));
    }

    fn keys(&mut self, keys: &str) {
        for key in keys.chars() {
            self.session.handle_input(self.now, Input::Digit(key));
        }
    }

    fn pass(&mut self, time: Duration) {
        self.now = self.now.plus(time);
        self.session.handle_timeout(self.now);
    }
}

const MENU: &str = r#"version = 1
start = "menu"
[node.menu]
gather = { prompt = "menu.wav", invalid_prompt = "wrong.wav", timeout_prompt = "silent.wav", timeout = "5s", inter_digit = "2s", max_tries = 2 }
on = { "1" = "one", "12" = "twelve", "0" = "agent", timeout = "bye", invalid = "lost" }
[node.one]
play = "one.wav"
next = "bye"
[node.twelve]
play = "twelve.wav"
next = "bye"
[node.agent]
queue = { name = "general", max_wait = "120s", overflow = "callback" }
[node.bye]
hangup = { cause = 16, prompt = "bye.wav" }
[node.lost]
hangup = { cause = 31 }
"#;

fn enqueue(queue: &str, overflow: &str) -> Output {
    let max_wait = Some(Duration::from_secs(120));
    Output::Enqueue { queue: queue.into(), max_wait, overflow: overflow.into(), priority: 0 }
}

#[test]
fn zero_cuts_the_prompt_and_queues_at_once() {
    let mut stage = Stage::new(MENU);
    let token = stage.played("menu.wav");
    stage.keys("0");
    assert_eq!(stage.out(), [Output::StopPlay, enqueue("general", "callback")]);
    // The late end of the prompt and further keys change nothing.
    stage.done(token);
    stage.keys("1");
    assert_eq!(stage.out(), []);
}

#[test]
fn the_time_out_counts_from_the_prompts_end() {
    let mut stage = Stage::new(MENU);
    let token = stage.played("menu.wav");
    assert_eq!(stage.session.poll_timeout(), None);
    stage.pass(Duration::from_secs(9));
    assert_eq!(stage.out(), []);
    stage.done(token);
    let due = stage.now.mono + Duration::from_secs(5);
    assert_eq!(stage.session.poll_timeout(), Some((due, Reason::FirstDigit)));
    stage.pass(Duration::from_secs(5) - MILLI);
    assert_eq!(stage.out(), []);
    stage.pass(MILLI);
    // The second and last try.
    let token = stage.played("silent.wav");
    stage.done(token);
    stage.pass(Duration::from_secs(5));
    let token = stage.played("bye.wav");
    stage.done(token);
    assert_eq!(stage.out(), [Output::Hangup { cause: 16 }]);
    assert!(stage.session.is_over());
}

#[test]
fn a_longer_branch_waits_for_its_second_key() {
    let mut stage = Stage::new(MENU);
    stage.played("menu.wav");
    stage.keys("1");
    assert_eq!(stage.out(), [Output::StopPlay]);
    let due = stage.now.mono + Duration::from_secs(2);
    assert_eq!(stage.session.poll_timeout(), Some((due, Reason::InterDigit)));
    stage.pass(Duration::from_secs(2));
    stage.played("one.wav");

    let mut stage = Stage::new(MENU);
    stage.played("menu.wav");
    stage.keys("12");
    stage.played("twelve.wav");
    assert_eq!(stage.session.variable("digits"), Some("12"));
}

#[test]
fn wrong_keys_use_up_the_tries() {
    let mut stage = Stage::new(MENU);
    stage.played("menu.wav");
    stage.keys("7");
    stage.played("wrong.wav");
    stage.keys("8");
    assert_eq!(stage.out(), [Output::StopPlay, Output::Hangup { cause: 31 }]);
}

#[test]
fn digits_end_by_terminator_length_or_silence() {
    let flow = r##"version = 1
start = "ask"
[node.ask]
gather = { prompt = "ask.wav", terminator = "#", min_digits = 3, max_digits = 5, max_tries = 2, variable = "ticket" }
on = { digits = "say", timeout = "bye", invalid = "bye" }
[node.say]
say = { ticket = "{ticket}" }
next = "bye"
[node.bye]
hangup = true
"##;
    for (keys, heard) in [("261#", 3), ("26112", 5)] {
        let mut stage = Stage::new(flow);
        stage.played("ask.wav");
        stage.keys(keys);
        let out = stage.out();
        let Some(Output::Play { clips, .. }) = out.last() else { panic!("{out:?}") };
        assert_eq!(clips.len(), heard);
        assert_eq!(clips[2], "prompts/zh/digit_1_yao.wav");
    }
    let mut stage = Stage::new(flow);
    stage.played("ask.wav");
    stage.keys("261");
    stage.pass(Duration::from_secs(3));
    stage.played("digit_1_yao");
    // Too few.
    let mut stage = Stage::new(flow);
    stage.played("ask.wav");
    stage.keys("26#");
    stage.played("ask.wav");
}

#[test]
fn keys_are_typed_ahead_of_a_menu_but_a_notice_is_heard_out() {
    let flow = r#"version = 1
start = "notice"
[node.notice]
play = "notice.wav"
next = "hello"
[node.hello]
play = "hello.wav"
next = "menu"
[node.menu]
gather = { prompt = "menu.wav" }
on = { "1" = "menu2", "0" = "agent", timeout = "agent" }
[node.menu2]
gather = { prompt = "menu2.wav" }
on = { "2" = "bye", "0" = "agent", timeout = "agent" }
[node.agent]
queue = "general"
[node.bye]
hangup = true
"#;
    let mut stage = Stage::new(flow);
    let token = stage.played("notice.wav");
    stage.keys("1");
    assert_eq!(stage.out(), [], "the notice plays on");
    stage.done(token);
    stage.played("hello.wav");
    stage.keys("2");
    // The greeting before the menu is cut, both menus are passed without a prompt.
    assert_eq!(stage.out(), [Output::StopPlay, Output::Hangup { cause: 16 }]);
}

#[test]
fn the_queues_overflow_is_followed() {
    let flow = |queue: &str| format!("version = 1\nstart = \"q\"\n[node.q]\nqueue = {queue}\n");
    let left = |stage: &mut Stage| {
        stage.session.handle_input(stage.now, Input::QueueLeft { why: "max_wait".into() });
    };
    let mut stage = Stage::new(&flow(r#"{ name = "a", max_wait = "120s" }"#));
    assert_eq!(stage.out(), [enqueue("a", "callback")]);
    left(&mut stage);
    assert_eq!(stage.session.poll_output(), Some(Output::OweCallback { queue: "a".into() }));
    let token = stage.played("queue_full");
    stage.done(token);
    assert_eq!(stage.out(), [Output::Hangup { cause: 16 }]);

    let mut stage = Stage::new(&flow(r#"{ name = "a", max_wait = "120s", overflow = "queue:b" }"#));
    assert_eq!(stage.out(), [enqueue("a", "queue:b")]);
    left(&mut stage);
    assert_eq!(stage.out(), [enqueue("b", "callback")]);
    left(&mut stage);
    assert_eq!(stage.session.poll_output(), Some(Output::OweCallback { queue: "a".into() }));

    let mut stage = Stage::new(&flow(r#"{ name = "a", max_wait = "120s", overflow = "hotline:12330" }"#));
    stage.out();
    left(&mut stage);
    assert_eq!(stage.out(), [Output::ThreeWay { hotline: "12330".into() }]);
    stage.session.handle_input(stage.now, Input::StepDone { result: "busy".into() });
    stage.played("system_error");
}

#[test]
fn a_key_leads_out_of_the_queue() {
    let mut stage = Stage::new(
        r#"version = 1
start = "q"
[node.q]
queue = "general"
on = { "1" = "bye", full = "bye" }
[node.bye]
hangup = "busy"
"#,
    );
    stage.out();
    stage.keys("5");
    assert_eq!(stage.out(), []);
    stage.keys("1");
    assert_eq!(stage.out(), [Output::LeaveQueue, Output::Hangup { cause: 17 }]);
}

#[test]
fn hours_variables_and_conditions() {
    let flow = r#"version = 1
start = "mark"
[node.mark]
set = { label = "from {call.dialled}" }
next = "alias"
[node.alias]
if = { variable = "label", is = "from 12319" }
on = { yes = "hours", no = "bye" }
[node.hours]
hours = "office"
on = { open = "third", closed = "bye" }
[node.third]
three_way = "12330"
on = { busy = "bye", failed = "sorry" }
[node.sorry]
play = "sorry.wav"
next = "bye"
[node.bye]
hangup = true
"#;
    let mut stage = Stage::new(flow);
    assert_eq!(stage.out(), [Output::ThreeWay { hotline: "12330".into() }]);
    assert_eq!(stage.session.chosen(), &BTreeMap::from([("label".to_owned(), "from 12319".to_owned())]));
    stage.session.handle_input(stage.now, Input::StepDone { result: "closed".into() });
    stage.played("sorry.wav");
}

#[test]
fn what_follows_a_talk_with_a_department() {
    let flow = "version = 1\nstart = \"a\"\n[node.a]\nthree_way = \"12330\"\non = { answered = \"thanks\" }\n\
                next = \"sorry\"\n[node.thanks]\nplay = \"thanks.wav\"\nnext = \"bye\"\n\
                [node.sorry]\nplay = \"sorry.wav\"\nnext = \"bye\"\n[node.bye]\nhangup = true\n";
    let step = |stage: &mut Stage, result: &str| {
        stage.out();
        stage.session.handle_input(stage.now, Input::StepDone { result: result.into() });
    };
    let mut stage = Stage::new(flow);
    step(&mut stage, "answered");
    stage.played("thanks.wav");
    let mut stage = Stage::new(flow);
    step(&mut stage, "busy");
    stage.played("sorry.wav");
    // Without a branch the talk was the end of it.
    let mut stage = Stage::new(&flow.replace("on = { answered = \"thanks\" }\n", ""));
    step(&mut stage, "answered");
    assert_eq!(stage.out(), [Output::Hangup { cause: NORMAL }]);
}

#[test]
fn who_withheld_the_number_is_promised_nothing() {
    let flow = "version = 1\nstart = \"q\"\n[node.q]\nqueue = { name = \"a\", overflow = \"callback\" }\n";
    let mut stage = Stage::by("", flow);
    stage.out();
    stage.session.handle_input(stage.now, Input::QueueLeft { why: "max_wait".into() });
    let out = stage.out();
    let [Output::Play { token, clips }] = out.as_slice() else { panic!("one thing is said: {out:?}") };
    assert_eq!(clips, &["prompts/zh/system_error.wav"]);
    stage.done(*token);
    assert_eq!(stage.out(), [Output::Hangup { cause: BUSY }]);
}

#[test]
fn a_circle_without_time_ends_the_call() {
    let mut stage = Stage::new("version = 1\nstart = \"a\"\n[node.a]\ngoto = \"b\"\n[node.b]\ngoto = \"a\"\n");
    assert_eq!(stage.out(), [Output::Hangup { cause: 41 }]);
}

proptest::proptest! {
    /// Whatever a caller does, the session neither panics nor grows.
    #[test]
    fn any_input_is_survived(script in proptest::collection::vec(0u8..40, 0..200)) {
        let mut stage = Stage::new(MENU);
        let mut last = PlayToken(0);
        for step in script {
            match step {
                0..=9 => stage.keys(&step.to_string()),
                10..=12 => stage.keys("*#x"),
                13..=20 => stage.done(last),
                21..=25 => stage.session.handle_input(stage.now, Input::QueueLeft { why: "full".into() }),
                26..=30 => stage.session.handle_input(stage.now, Input::StepDone { result: "busy".into() }),
                _ => stage.pass(Duration::from_secs(3)),
            }
            let over = stage.session.is_over();
            for output in stage.out() {
                if let Output::Play { token, .. } = output {
                    last = token;
                }
            }
            proptest::prop_assert!(stage.session.typed_ahead.len() <= MAX_TYPED_AHEAD);
            proptest::prop_assert!(!over || stage.session.poll_timeout().is_none());
        }
    }
}
