//! The settings of `hotline.toml`, as the rest of the program takes them. Reading them is `settings_read`.

use super::{calendar::Calendars, certificate::TlsFiles, network::Acl, profile::Profile, secret::Secret};
use crate::{
    ids::{AgentNo, Extension, HotlineNo, QueueName, UserName},
    ivr::Place,
    sms::template::Templates,
    ticket::Role,
};
use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
    ops::RangeInclusive,
    path::PathBuf,
    time::Duration,
};

/// Everything that `hotline.toml` says.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The file's name, or `(sandbox)`.
    pub file: String,
    /// Loopback only, sample data, simulated departments and SMS centre, well-known passwords.
    pub sandbox: bool,
    /// Days turn at its midnight.
    pub time_zone: String,
    /// 0–1023, the prefix of this node's ids.
    pub node: u16,
    pub data_dir: PathBuf,
    /// `sqlite:PATH` or `postgres://…`; may hold a password.
    pub database_url: Secret,
    pub http: HttpSettings,
    pub sip: SipSettings,
    /// The certificate of the profiles that have none of their own.
    pub tls: Option<TlsFiles>,
    pub media: MediaSettings,
    pub recording: RecordingSettings,
    pub queues: Vec<QueueSettings>,
    pub agents: Vec<AgentSettings>,
    pub users: Vec<UserSettings>,
    pub hotlines: Vec<HotlineSettings>,
    pub calendars: Calendars,
    /// The calendar by which tickets' due times are computed.
    pub ticket_calendar: String,
    /// None: no SMS are sent.
    pub sms: Option<SmsSettings>,
    pub api: ApiSettings,
    pub callbacks: CallbackSettings,
    pub log: LogSettings,
    /// Profiles written in the settings; they take the place of all of `sip-profiles/`.
    pub profiles: Vec<Profile>,
}

/// `[http]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpSettings {
    pub listen: Vec<SocketAddr>,
}

/// `[sip]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SipSettings {
    /// What we are called from outside, behind address translation.
    pub external_address: Option<IpAddr>,
    /// How long a department rings.
    pub department_ring: Duration,
    /// Where hotlines without a route of their own are reached, as `host:port`.
    pub departments: Option<SocketAddr>,
}

/// `[media]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MediaSettings {
    pub address: IpAddr,
    pub ports: RangeInclusive<u16>,
    /// 0: one a core.
    pub threads: usize,
    /// Each media thread stays on its core.
    pub pin: bool,
    /// From where RTP may come.
    pub allowed: Acl,
}

/// `[recording]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordingSettings {
    pub enabled: bool,
    pub dir: PathBuf,
    /// The file of the key that seals recordings: 32 bytes as 64 hexadecimal digits.
    pub key_file: PathBuf,
    /// The key is made at start-up when it is not there; by default in the sandbox alone.
    pub create_key: bool,
}

/// How the agent is chosen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Strategy {
    #[default]
    LongestIdle,
    RoundRobin,
    LeastCalls,
    LeastTalkTime,
    TopDown,
    Random,
}

/// Which agents a queue needs to be open for callers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Staffing {
    #[default]
    Nobody,
    SignedIn,
    Ready,
}

/// `[[queue]]`: the knobs by their names in the operating guide; the ACD checks nothing that is not checked here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueueSettings {
    pub name: QueueName,
    pub place: Place,
    pub strategy: Strategy,
    pub skills: Vec<String>,
    /// The level (1–9) needed at first.
    pub level: u8,
    /// The level needed drops by one each time that a caller has waited so long.
    pub widen_after: Option<Duration>,
    pub weight: u16,
    pub max_len: Option<usize>,
    pub max_wait: Option<Duration>,
    /// New callers are sent on while the estimated wait is longer.
    pub dissuade_when: Option<Duration>,
    pub join_empty: Staffing,
    pub leave_empty: Staffing,
    pub ring_timeout: Duration,
    pub retry_delay: Duration,
    /// 0: never made not ready.
    pub max_no_answer: u32,
    pub wrap_up: Duration,
    pub service_level: Duration,
    pub announce_position: bool,
    pub announce_wait: bool,
    pub announce_every: Option<Duration>,
    /// The clip that is played over and over while one waits.
    pub music: String,
    /// A lane of its own, such as 12388: only the agents who serve it see it.
    pub private: bool,
}

impl QueueSettings {
    /// A queue with the defaults.
    pub fn new(name: impl Into<QueueName>) -> Self {
        QueueSettings {
            name: name.into(),
            place: Place::default(),
            strategy: Strategy::default(),
            skills: Vec::new(),
            level: 1,
            widen_after: None,
            weight: 0,
            max_len: None,
            max_wait: None,
            dissuade_when: None,
            join_empty: Staffing::default(),
            leave_empty: Staffing::default(),
            ring_timeout: Duration::from_secs(25),
            retry_delay: Duration::from_secs(5),
            max_no_answer: 1,
            wrap_up: Duration::ZERO,
            service_level: Duration::from_secs(15),
            announce_position: false,
            announce_wait: false,
            announce_every: None,
            music: "prompts/music_on_hold.wav".into(),
            private: false,
        }
    }
}

/// One agent (or supervisor) and the telephone at which the number sits at first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AgentSettings {
    pub number: AgentNo,
    pub place: Place,
    pub name: String,
    pub extension: Extension,
    /// Of the telephone and of the console.
    pub password: Secret,
    pub supervisor: bool,
    /// Skills with their levels, 1–9.
    pub skills: BTreeMap<String, u8>,
    /// Signed in when the telephone registers, and ready at once or not.
    pub sign_in_on_register: bool,
    pub ready_on_register: bool,
}

/// A user of the console who is no agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserSettings {
    pub name: UserName,
    pub role: Role,
    pub password: Secret,
    /// The unit of a clerk or head.
    pub unit: Option<String>,
}

/// How far a hotline is part of 12345.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum HotlineMode {
    Merged,
    DualTrack,
    Separate,
}

/// A departmental hotline.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HotlineSettings {
    pub number: HotlineNo,
    pub place: Place,
    pub name: String,
    pub mode: HotlineMode,
    /// The SIP URI that is rung; None: by its number at `sip.departments`.
    pub route: Option<String>,
    /// The calendar of its opening hours; None: always open.
    pub calendar: Option<String>,
}

/// `[sms]`: the SMPP gateway.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SmsSettings {
    pub host: String,
    pub port: u16,
    pub system_id: String,
    pub password: Secret,
    /// The access number that citizens see.
    pub source: String,
    /// Submissions under way at once.
    pub window: usize,
    pub max_attempts: u32,
    /// The first wait between attempts; each next one is twice as long, up to `max_delay`.
    pub first_delay: Duration,
    pub max_delay: Duration,
    /// The signature and the text of each kind of message.
    pub templates: Templates,
}

/// `[api]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiSettings {
    pub session_length: Duration,
    /// Requests a second of one session, and from one address without one.
    pub max_rate: u32,
}

/// `[callback]`: how lost calls are called back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallbackSettings {
    /// So many tries, then it is given up.
    pub tries: u32,
    /// Between two tries.
    pub pause: Duration,
    /// For so long a claimed callback is kept from other agents.
    pub hold: Duration,
    /// People are called between these minutes of the local day alone.
    pub hours: std::ops::Range<u16>,
}

impl Default for CallbackSettings {
    fn default() -> Self {
        let minute = Duration::from_secs(60);
        CallbackSettings { tries: 3, pause: 30 * minute, hold: 15 * minute, hours: 8 * 60..22 * 60 }
    }
}

/// `[log]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogSettings {
    /// As `tracing` writes filters: `info,hotline::sip=debug`.
    pub filter: String,
    pub json: bool,
}
