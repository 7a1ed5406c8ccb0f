//! A small city: its switch, its numbers, its agents and its departments.

use crate::engine_room::EngineRoom;
use hotline::{
    acd::{
        self, Acd,
        config::{QueueConfig, Staffing},
        reconfigure::Rostered,
    },
    app::setup::queue_config,
    app::switch::{Change, Config, HotlineEntry, Parts, Profile, RouteTo, Seat, Switch},
    call::{
        message::{Clips, HotlineRefusal, HotlineTarget, Settings as CallSettings},
        topology::RING_BACK,
    },
    clock::Now,
    config::{self, Settings, Target},
    ids::{Extension, IdGen},
    ivr::Flow,
    media::{clip::Clip, tone::Sine},
    sip::{
        auth::{Algorithm, Authenticator, ha1},
        endpoint::{Endpoint, EndpointConfig},
        registrar::{BindingSnapshot, Registrar, RegistrarConfig},
    },
};
use rand::{Rng, SeedableRng, rngs::StdRng};
use std::{collections::BTreeMap, net::SocketAddr, path::Path, sync::Arc, time::Duration};

/// Where telephones are registered.
pub type Bindings = BTreeMap<Extension, Vec<BindingSnapshot>>;

/// What carriers and departments speak to.
pub const TRUNK: &str = "192.0.2.1:5060";
/// What agents' telephones speak to.
pub const AGENTS: &str = "192.0.2.1:5070";
pub const REALM: &str = "hotline";

/// Clips are tones here, so that what a party hears can be told: name, frequency, milliseconds.
const CLIPS: &[(&str, f64, usize)] = &[
    ("prompts/music_on_hold.wav", MUSIC, 2_000),
    ("prompts/zh/agent_lost.wav", AGENT_LOST, 3_000),
    ("prompts/zh/hold.wav", 230.0, 500),
    ("prompts/zh/three_way_joined.wav", 190.0, 300),
    ("prompts/zh/three_way_connecting.wav", 150.0, 300),
    ("prompts/zh/outbound_notice.wav", NOTICE, 1_000),
    ("prompts/zh/invalid_key.wav", INVALID_KEY, 500),
    ("prompts/zh/queue_full.wav", QUEUE_FULL, 500),
    ("prompts/zh/welcome.wav", WELCOME, 4_000),
    ("prompts/zh/to_agent_keys.wav", 350.0, 3_000),
    ("prompts/zh/position_before.wav", POSITION, 1_000),
    ("prompts/zh/system_error.wav", SYSTEM_ERROR, 500),
    ("prompts/zh/survey_thanks.wav", THANKS, 500),
    ("prompts/en/welcome.wav", ENGLISH, 2_000),
    ("prompts/en/connecting_agent.wav", ENGLISH, 1_000),
];
pub const WELCOME: f64 = 430.0;
pub const POSITION: f64 = 390.0;
pub const MUSIC: f64 = 310.0;
pub const AGENT_LOST: f64 = 270.0;
pub const NOTICE: f64 = 110.0;
pub const INVALID_KEY: f64 = 370.0;
pub const QUEUE_FULL: f64 = 410.0;
pub const SYSTEM_ERROR: f64 = 570.0;
pub const THANKS: f64 = 540.0;
/// Everything that is said in English.
pub const ENGLISH: f64 = 450.0;

/// The flow that 12345 is shipped with.
const FLOW_12345: &str = include_str!("../../ivr-flows/12345.toml");

/// A flow that connects to a department by itself, and thanks afterwards.
const FLOW_DIRECT: &str = r#"
version = 1
start = "ask"
[node.ask]
three_way = "12330"
on = { answered = "thanks", busy = "agent", closed = "agent", failed = "agent", no_answer = "agent" }
[node.thanks]
play = "prompts/zh/survey_thanks.wav"
next = "bye"
[node.bye]
hangup = true
[node.agent]
queue = { name = "general", max_wait = "30s", overflow = "callback" }
"#;

/// The departments: number, the address where it is rung.
pub const DEPARTMENTS: &[(&str, &str)] = &[("12330", "198.51.100.30:5060"), ("12333", "198.51.100.33:5060")];

const TRUNK_PROFILE: &str = r#"
name = "trunk"
kind = "trunk"
listen = ["udp:192.0.2.1:5060"]
allow = ["198.51.100.0/24"]
auth = "none"
codecs = ["PCMA", "PCMU"]

[[number]]
match = ["12345"]
queue = "general"
ticket = true

[[number]]
match = ["12319"]
flow = "12345"
ticket = true

[[number]]
match = ["95000"]
flow = "direct"
ticket = true

[[number]]
match = ["3XXX"]
room = true

[[number]]
match = ["95345"]
flow = "12345"
ticket = true

[[number]]
match = ["95346"]
flow = "on_agent"
ticket = true

[[number]]
match = ["4000"]
play_loop = "prompts/music_on_hold.wav"
"#;

const AGENTS_PROFILE: &str = r#"
name = "agents"
kind = "agents"
listen = ["udp:192.0.2.1:5070", "tcp:192.0.2.1:5070"]
allow = ["203.0.113.0/24"]
auth = "digest"
algorithms = ["SHA-256", "MD5"]
realm = "hotline"
codecs = ["PCMA", "PCMU"]

[[number]]
match = ["3XXX"]
room = true
"#;

/// Early media until an agent answers.
const ON_AGENT: &str = r#"
version = 1
start = "agent"
answer = "on_agent"

[node.agent]
queue = { name = "general", max_wait = "120s", overflow = "callback" }
"#;

/// An agent's password.
pub fn password(agent: &str) -> String {
    format!("secret-{agent}")
}

/// All agents that the city has, at work or not.
fn agents() -> impl Iterator<Item = String> {
    (8001..8040).map(|number: u32| number.to_string())
}

/// Everybody speaks Mandarin; who speaks English, and how well (1–9).
fn skills(agent: &str) -> Vec<(String, u8)> {
    let mandarin = ("mandarin".to_owned(), 9);
    match agent {
        "8012" => vec![mandarin, ("english".to_owned(), 8)],
        _ => vec![mandarin],
    }
}

pub fn flow(name: &str) -> Arc<Flow> {
    let text = match name {
        "12345" => FLOW_12345,
        "on_agent" => ON_AGENT,
        _ => FLOW_DIRECT,
    };
    Arc::new(Flow::parse(text, &format!("{name}.toml")).expect("a sound flow"))
}

fn profile(text: &str) -> Profile {
    let settings = config::Profile::parse(text, "sim.toml").expect("a sound profile");
    let route = |target: &Target| match target {
        Target::Queue(queue) => RouteTo::Queue(queue.clone()),
        Target::Room => RouteTo::Room,
        Target::PlayLoop(clip) => RouteTo::PlayLoop(clip.clone()),
        Target::Flow(name) => RouteTo::Flow(flow(name)),
        Target::Hold | Target::Bridge { .. } => unreachable!("not in these profiles"),
    };
    let routes = settings.numbers.iter().map(|number| route(&number.target)).collect();
    let contact = settings.listen[0].address;
    Profile { settings, routes, contact }
}

/// A queue without wrap-up and without announcements: what most stories are told with.
pub fn plain_queue() -> QueueConfig {
    QueueConfig { ring_timeout: Duration::from_secs(20), ..QueueConfig::new("general") }
}

/// The queue of the sandbox's settings.
pub fn sandbox_queue() -> QueueConfig {
    let settings = Settings::sandbox(Path::new("/"));
    queue_config(&settings.queues[0])
}

fn clips() -> Clips {
    let tone = |(name, hertz, ms): &(&str, f64, usize)| {
        let mut samples = vec![0; ms * 8];
        Sine::new(*hertz, 8_000.0).fill(&mut samples);
        ((*name).to_owned(), Arc::new(Clip::from_samples(*name, &samples)))
    };
    let mut clips: Clips = CLIPS.iter().map(tone).collect();
    clips.insert(RING_BACK.to_owned(), Arc::new(Clip::ring_back()));
    clips
}

/// What the city's switch decides by, its offices open or closed.
pub fn config(open: bool) -> Config {
    let target = |(number, address): &(&str, &str)| {
        let target = Ok(HotlineTarget { name: format!("部门{number}"), uri: format!("sip:{number}@{address}") });
        ((*number).into(), HotlineEntry { target, calendar: None })
    };
    let mut hotlines: std::collections::HashMap<_, _> = DEPARTMENTS.iter().map(target).collect();
    hotlines.insert("12319".into(), HotlineEntry { target: Err(HotlineRefusal::Merged), calendar: None });
    if let Some(office) = hotlines.get_mut(&"12333".into()) {
        office.calendar = Some("office".to_owned());
    }
    let seat = |number: String| {
        let seat = Seat { agent: number.as_str().into(), skills: skills(&number), ready: true };
        (number.as_str().into(), seat)
    };
    let hours = Arc::new(move |_: &str, _| open);
    Config {
        profiles: vec![profile(TRUNK_PROFILE), profile(AGENTS_PROFILE)],
        credentials: agents().map(|agent| (agent.clone(), ha1(&agent, REALM, &password(&agent)))).collect(),
        hotlines,
        seats: agents().map(seat).collect(),
        realm: REALM.to_owned(),
        own_addresses: Vec::new(),
        call: Arc::new(CallSettings { clips: Arc::new(clips()), hours, ..CallSettings::default() }),
    }
}

/// The queues: one for everybody, and one for those who speak English.
pub fn queues(queue: QueueConfig) -> Vec<QueueConfig> {
    let english = QueueConfig {
        skills: vec!["english".to_owned()],
        join_empty: Staffing::Ready,
        leave_empty: Staffing::Ready,
        ..QueueConfig { name: "english".into(), ..queue.clone() }
    };
    vec![queue, english]
}

/// What a change of the settings begins with: everything as it was.
pub fn same(queue: QueueConfig) -> Change {
    let config = config(true);
    let rostered = |agent: String| {
        let skills = skills(&agent).into_iter().collect();
        (agent.as_str().into(), Rostered { extension: agent.as_str().into(), skills })
    };
    Change {
        config: Arc::new(config),
        queues: queues(queue),
        roster: agents().map(rostered).collect(),
        registrar: RegistrarConfig::default(),
        algorithms: vec![Algorithm::Sha256, Algorithm::Md5],
        advertised: Default::default(),
    }
}

/// The city's switch, its offices open or closed.
pub fn switch(seed: u64, now: Now, queue: QueueConfig, open: bool) -> Switch<EngineRoom> {
    switch_after(seed, now, queue, open, &Bindings::new())
}

/// As `switch`, where an earlier one knew these telephones.
pub fn switch_after(seed: u64, now: Now, queue: QueueConfig, open: bool, bindings: &Bindings) -> Switch<EngineRoom> {
    let mut rng = StdRng::seed_from_u64(seed);
    let config = config(open);
    let ids = IdGen::new(0, now.wall.0);
    let acd = acd::config::Config { epoch: 1, queues: queues(queue), agents: acd::config::AgentRules::default() };
    let address: SocketAddr = TRUNK.parse().expect("an address");
    let mut registrar = Registrar::new(RegistrarConfig::default());
    for (extension, bindings) in bindings {
        registrar.restore(now, extension.as_str(), bindings);
    }
    Switch::new(Parts {
        acd: Acd::new(acd, ids.clone(), StdRng::from_seed(rng.random()), now).expect("a sound queue"),
        auth: Authenticator::new(
            REALM,
            &rng.random::<[u8; 32]>(),
            vec![Algorithm::Sha256, Algorithm::Md5],
            Duration::from_secs(300),
        ),
        registrar,
        endpoint: Endpoint::new(EndpointConfig::default(), ids.clone(), rng.random()),
        ids,
        media: EngineRoom::new(seed, now.mono, now, address.ip()),
        rng,
        config: Arc::new(config),
    })
}
