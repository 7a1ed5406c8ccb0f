#![allow(clippy::disallowed_methods)] // Tests hold the clock.

//! The story against a hotline of cardboard: enough SIP, sound and JSON to be told apart from a broken one.

use super::*;
use crate::sandbox::ua::{
    Audio, Call, Policy, Ua,
    audio::{FRAME, Feed, Player},
    message,
};
use rsip::SipMessage;
use serde_json::{Value, json};
use std::{
    io::{Cursor, Write},
    sync::{Mutex, PoisonError},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream, UdpSocket},
};

const NO: &str = "2611220100000017";

#[derive(Default)]
struct State {
    agent_contact: String,
    sip_call_id: String,
    agent_state: &'static str,
    call_ended: bool,
    ticket: &'static str,
    sms: Vec<(String, String)>,
    lost: bool,
    answered: Option<std::time::Instant>,
    legs: Vec<(Call, Feed, usize)>,
    left: Vec<i16>,
    right: Vec<i16>,
}

#[derive(Clone)]
struct Cardboard {
    state: Arc<Mutex<State>>,
    trunk: Ua,
    departments: SocketAddr,
}

impl SmsCentre for Cardboard {
    fn messages(&self) -> Vec<(String, String)> {
        self.lock().sms.clone()
    }
    fn lose_messages(&self) {
        self.lock().lost = true;
    }
}

impl Cardboard {
    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn join(&self, call: Call) {
        let feed = Feed::default();
        call.say(Audio::Live(feed.clone()));
        let cursor = call.received().samples.len();
        self.lock().legs.push((call, feed, cursor));
    }

    async fn register_anybody(self, socket: UdpSocket) {
        let mut buffer = [0u8; 4096];
        while let Ok((length, source)) = socket.recv_from(&mut buffer).await {
            let Some(SipMessage::Request(request)) = message::parse(&buffer[..length]) else { continue };
            let contact = message::value(&request.headers, "Contact").unwrap_or_default();
            self.lock().agent_contact = message::uri_of(&contact).to_owned();
            let response = message::response(&request, source, 200, "t", vec![], String::new());
            let _ = socket.send_to(response.to_string().as_bytes(), source).await;
        }
    }

    async fn take_calls(self) {
        let mut hum = Player::new(Audio::tone(440.0));
        let welcome = (0..500).flat_map(|_| hum.next_frame().unwrap()).collect();
        let wrong = Policy::Refuse { after: Duration::ZERO, status: 404 };
        self.trunk.on_incoming(wrong, Audio::Silence).await.unwrap();
        let answer = crate::sandbox::ua::Incoming {
            policy: Policy::Answer { after: Duration::ZERO },
            audio: Audio::Clip(welcome),
        };
        self.trunk.on_dialled("12345", Some(answer)).await.unwrap();
        while let Ok(citizen) = self.trunk.next_call().await {
            if citizen.answered().await.is_ok() {
                tokio::spawn(self.clone().serve(citizen));
            }
        }
    }

    async fn serve(self, citizen: Call) {
        self.lock().answered = Some(std::time::Instant::now());
        self.lock().sip_call_id = citizen.sip_call_id().to_owned();
        citizen.hears(Duration::from_secs(9), "0", |h| h.digits == "0").await.unwrap();
        let contact = self.lock().agent_contact.clone();
        let agent = self.trunk.call(&contact, "12345", Audio::Silence).await.unwrap();
        if agent.answered().await.is_err() {
            return;
        }
        self.join(citizen.clone());
        self.join(agent.clone());
        {
            let mut state = self.lock();
            state.agent_state = "talking";
        }
        tokio::spawn(self.clone().mix());
        citizen.wait_ended().await;
        agent.hang_up().await;
        let mut state = self.lock();
        (state.call_ended, state.agent_state) = (true, "wrap_up");
    }

    /// Hands to each what all the others said since the last time.
    async fn mix(self) {
        let mut ticks = tokio::time::interval(Duration::from_millis(20));
        loop {
            ticks.tick().await;
            let mut state = self.lock();
            if state.call_ended {
                return;
            }
            let fresh: Vec<Vec<i16>> = state
                .legs
                .iter_mut()
                .map(|(call, _, cursor)| {
                    let samples = call.received().samples;
                    let new = samples[(*cursor).min(samples.len())..].to_vec();
                    *cursor = samples.len();
                    let gone = matches!(call.status().phase, crate::sandbox::ua::Phase::Ended(_));
                    if gone { vec![] } else { new }
                })
                .collect();
            let mixed = |without: usize| {
                let mut sum = vec![0i16; fresh.iter().map(Vec::len).max().unwrap_or(0)];
                for (_, samples) in fresh.iter().enumerate().filter(|(n, _)| *n != without) {
                    sum.iter_mut().zip(samples).for_each(|(s, new)| *s = s.saturating_add(*new));
                }
                sum
            };
            for (n, (_, feed, _)) in state.legs.iter().enumerate() {
                feed.push(&mixed(n));
            }
            let (mut left, mut right) = (fresh[0].clone(), mixed(0));
            let length = left.len().max(right.len());
            left.resize(length, 0);
            right.resize(length, 0);
            state.left.extend(left);
            state.right.extend(right);
        }
    }

    async fn answer(&self, stream: &mut TcpStream) -> Option<()> {
        let mut buffer = vec![0u8; 8192];
        let length = stream.read(&mut buffer).await.ok()?;
        let text = String::from_utf8_lossy(&buffer[..length]).into_owned();
        let (head, body) = text.split_once("\r\n\r\n")?;
        let mut words = head.split(' ');
        let (method, path) = (words.next()?, words.next()?.strip_prefix("/api/v1")?);
        let body: Value = serde_json::from_str(body).unwrap_or(Value::Null);
        let (status, answer) = self.route(method, path, &body);
        let head = format!("HTTP/1.1 {status} X\r\nContent-Length: {}\r\n\r\n", answer.len());
        stream.write_all(&[head.as_bytes(), &answer].concat()).await.ok()
    }

    fn route(&self, method: &str, path: &str, body: &Value) -> (u16, Vec<u8>) {
        let mut state = self.lock();
        let call = json!({
            "id": "77", "ticket_no": NO, "recording_id": "9",
            "state": if state.call_ended { "ended" } else { "talking" },
        });
        let answer = match (method, path) {
            ("POST", "/sessions") => json!({"token": body["user"]}),
            ("PUT", "/agents/8001/status") => json!({}),
            ("GET", "/agents/8001") => json!({"state": state.agent_state}),
            ("GET", "/calls/77") => call,
            ("GET", path) if path.starts_with("/calls?") => {
                assert!(!state.sip_call_id.is_empty() && path.contains(&state.sip_call_id[..8]));
                json!({"items": [call]})
            }
            ("POST", "/calls/77/three-way") => {
                let (own, target) =
                    (self.clone(), format!("sip:{}@{}", body["hotline"].as_str().unwrap(), self.departments));
                tokio::spawn(async move {
                    let call = own.trunk.call(&target, "12345", Audio::Silence).await.unwrap();
                    if call.answered().await.is_ok() {
                        own.join(call);
                    }
                });
                json!({})
            }
            ("GET", "/recordings/9/audio") => return (200, wav(&state.left, &state.right)),
            ("GET", path) if path.starts_with("/tickets?") => json!({"items": [{"no": NO}]}),
            ("GET", path) if path.starts_with("/tickets/") => json!({"state": state.ticket, "version": 1}),
            ("POST", path) if path.ends_with("/commands") => match command(&mut state, body) {
                Some(()) => json!({}),
                None => return (409, b"{\"title\":\"rejected\"}".to_vec()),
            },
            ("GET", path) if path.starts_with("/messages?") => {
                let delivered = if state.lost { "failed" } else { "delivered" };
                let purposes = ["acceptance", "result"].map(|p| json!({"purpose": p, "state": delivered}));
                json!({"items": purposes})
            }
            _ => return (404, b"{}".to_vec()),
        };
        (200, answer.to_string().into_bytes())
    }
}

fn command(state: &mut State, body: &Value) -> Option<()> {
    let next = match (state.ticket, body["command"].as_str()?) {
        ("draft", "register") if body["matter"]["kind"] == "help" => "to_dispatch",
        ("to_dispatch", "dispatch") if body["lead"] == "203" => "handling",
        ("handling", "sign") => "handling",
        ("handling", "reply") => "to_review",
        ("to_review", "accept") => "to_follow_up",
        ("to_follow_up", "follow_up") if body["result"] == "satisfied" => "closed",
        _ => return None,
    };
    if matches!(next, "to_dispatch" | "closed") {
        state.sms.push(("+8613900000001".into(), format!("【12345热线】工单{NO}")));
    }
    state.ticket = next;
    Some(())
}

fn wav(left: &[i16], right: &[i16]) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    let format = hound::SampleFormat::Int;
    let spec = hound::WavSpec { channels: 2, sample_rate: 8000, bits_per_sample: 16, sample_format: format };
    let mut writer = hound::WavWriter::new(&mut bytes, spec).unwrap();
    for (l, r) in left.iter().zip(right) {
        writer.write_sample(*l).unwrap();
        writer.write_sample(*r).unwrap();
    }
    writer.finalize().unwrap();
    bytes.into_inner()
}

#[derive(Clone, Default)]
struct Page(Arc<Mutex<Vec<u8>>>);

impl Write for Page {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

async fn told(break_step: Option<StepName>) -> (Result<Vec<Check>, DemoError>, String) {
    let any: SocketAddr = "127.0.0.1:0".parse().unwrap();
    // Half a second of speech stands for each clip.
    let mut player = Player::new(Audio::tone(400.0));
    let speech: Vec<i16> = (0..25).flat_map(|_| player.next_frame().unwrap_or([0; FRAME])).collect();
    let clip = {
        let mut bytes = Cursor::new(Vec::new());
        let format = hound::SampleFormat::Int;
        let spec = hound::WavSpec { channels: 1, sample_rate: 8000, bits_per_sample: 16, sample_format: format };
        let mut writer = hound::WavWriter::new(&mut bytes, spec).unwrap();
        speech.iter().for_each(|s| writer.write_sample(*s).unwrap());
        writer.finalize().unwrap();
        bytes.into_inner()
    };
    let clips: Clips = Arc::new(move |_| Some(clip.clone()));
    let departments = Departments::open(any, clips.clone()).await.unwrap();
    let registrar = UdpSocket::bind(any).await.unwrap();
    let http = TcpListener::bind(any).await.unwrap();
    let state = State { agent_state: "idle", ticket: "draft", ..State::default() };
    let hotline = Cardboard {
        state: Arc::new(Mutex::new(state)),
        trunk: Ua::bind(any).await.unwrap(),
        departments: departments.address(),
    };
    let page = Page::default();
    let config = DemoConfig {
        base_url: format!("http://{}/api/v1", http.local_addr().unwrap()),
        trunk: hotline.trunk.local(),
        registrar: registrar.local_addr().unwrap(),
        break_step,
        ..DemoConfig::sandbox(departments, Arc::new(hotline.clone()), clips)
    };
    let mut tasks = tokio::task::JoinSet::new();
    tasks.spawn(hotline.clone().register_anybody(registrar));
    tasks.spawn(hotline.clone().take_calls());
    tasks.spawn(async move {
        while let Ok((mut stream, _)) = http.accept().await {
            hotline.answer(&mut stream).await;
        }
    });
    let outcome = run(config, Box::new(page.clone())).await;
    let text = String::from_utf8(page.0.lock().unwrap_or_else(PoisonError::into_inner).clone()).unwrap();
    (outcome, text)
}

#[tokio::test]
async fn the_whole_story_is_true() {
    let (outcome, text) = told(None).await;
    let checks = outcome.unwrap_or_else(|error| panic!("{error}\n{text}"));
    println!("{text}");
    assert!(checks.len() >= 10 && checks.iter().all(|c| c.passed));
    assert!(text.contains("✓ 三方互相听到") && text.contains("项检查通过") && !text.contains('✗'), "{text}");
}

#[tokio::test]
async fn each_spoiled_step_makes_it_fail() {
    // Those whose failure is told without waiting a time-out.
    let quick = [
        StepName::Dial,
        StepName::Register,
        StepName::Recording,
        StepName::Dispatch,
        StepName::Reply,
        StepName::FollowUp,
        StepName::Sms,
    ];
    let mut runs = tokio::task::JoinSet::new();
    quick.into_iter().for_each(|step| drop(runs.spawn(async move { (step, told(Some(step)).await) })));
    while let Some(run) = runs.join_next().await {
        let (spoiled, (outcome, text)) = run.unwrap();
        match outcome {
            Err(DemoError::Step { step, .. }) => assert_eq!(step, spoiled, "{text}"),
            Err(DemoError::Checks(_)) => assert_eq!(spoiled, StepName::Recording, "{text}"),
            Ok(_) => panic!("{spoiled} went unnoticed\n{text}"),
        }
        assert!(text.contains('✗') && text.contains("演示失败"), "{text}");
    }
}

#[tokio::test]
async fn a_mute_department_is_noticed() {
    let (outcome, text) = told(Some(StepName::Conference)).await;
    assert!(matches!(outcome, Err(DemoError::Step { step: StepName::Conference, .. })), "{text}");
    assert!(text.contains("部门 -"), "the levels are told: {text}");
}

#[test]
fn steps_are_found_by_name() {
    for step in StepName::ALL {
        assert_eq!(step.name().parse::<StepName>().unwrap(), step);
    }
    assert!("nothing".parse::<StepName>().is_err());
}
