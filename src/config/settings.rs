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
    /// `data`: the spool, by default the database, the recordings and the keys; this process's alone.
    pub data_dir: PathBuf,
    /// `sqlite:PATH` or `postgres://…`; may hold a password.
    pub database_url: Secret,
    /// The API and the console.
    pub http: HttpSettings,
    /// What all SIP profiles share.
    pub sip: SipSettings,
    /// The certificate of the profiles that have none of their own.
    pub tls: Option<TlsFiles>,
    /// RTP and the media threads.
    pub media: MediaSettings,
    /// Whether calls are recorded, and where.
    pub recording: RecordingSettings,
    /// In the order in which they are shown.
    pub queues: Vec<QueueSettings>,
    /// All agents and supervisors.
    pub agents: Vec<AgentSettings>,
    /// Users of the console who sit at no telephone.
    pub users: Vec<UserSettings>,
    /// The departmental hotlines that a three-way call may ring.
    pub hotlines: Vec<HotlineSettings>,
    /// Opening hours.
    pub calendars: Calendars,
    /// The calendar by which tickets' due times are computed.
    pub ticket_calendar: String,
    /// None: no SMS are sent.
    pub sms: Option<SmsSettings>,
    /// Sessions and bounds of the API.
    pub api: ApiSettings,
    /// How lost calls are called back.
    pub callbacks: CallbackSettings,
    /// What is logged, and how.
    pub log: LogSettings,
    /// `[alarms]`.
    pub alarms: AlarmSettings,
    /// Profiles written in the settings; they take the place of all of `sip-profiles/`.
    pub profiles: Vec<Profile>,
}

/// `[http]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpSettings {
    /// Where the API and the console are served.
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
    /// Where RTP is received; our session descriptions name it.
    pub address: IpAddr,
    /// At least four, from 1024 up; a leg takes an even one and the next.
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
    /// Whether calls are recorded; yes by default.
    pub enabled: bool,
    /// Where sealed recordings are kept.
    pub dir: PathBuf,
    /// The file of the key that seals recordings: 32 bytes as 64 hexadecimal digits.
    pub key_file: PathBuf,
    /// The key is made at start-up when it is not there; by default in the sandbox alone.
    pub create_key: bool,
}

/// How the agent is chosen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Strategy {
    /// Who has been free longest.
    #[default]
    LongestIdle,
    /// Who was offered a call of this queue longest ago.
    RoundRobin,
    /// Who has had the fewest calls today.
    LeastCalls,
    /// Who has talked least today.
    LeastTalkTime,
    /// The lowest agent number.
    TopDown,
    /// By chance.
    Random,
}

/// Which agents a queue needs to be open for callers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Staffing {
    /// None: callers wait also when nobody is there.
    #[default]
    Nobody,
    /// At least one who is signed in, ready or not.
    SignedIn,
    /// At least one who is ready and reachable, busy or not.
    Ready,
}

/// `[[queue]]`: the knobs by their names in the operating guide; the ACD checks nothing that is not checked here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueueSettings {
    /// By which flows and the API name it.
    pub name: QueueName,
    /// Where it is written, for faults.
    pub place: Place,
    /// How one is chosen among the available agents.
    pub strategy: Strategy,
    /// The skills that an agent needs, all of them; none: every agent serves it.
    pub skills: Vec<String>,
    /// The level (1–9) needed at first.
    pub level: u8,
    /// The level needed drops by one each time that a caller has waited so long.
    pub widen_after: Option<Duration>,
    /// Between queues that one agent serves: the higher first; 0–999.
    pub weight: u16,
    /// At most so many callers wait; None: any number.
    pub max_len: Option<usize>,
    /// A caller waits at most so long; None: without end.
    pub max_wait: Option<Duration>,
    /// New callers are sent on while the estimated wait is longer.
    pub dissuade_when: Option<Duration>,
    /// Who must be there for a caller to join.
    pub join_empty: Staffing,
    /// Who must be there for callers to stay.
    pub leave_empty: Staffing,
    /// How long an agent's telephone rings.
    pub ring_timeout: Duration,
    /// How long an agent is left alone after a refusal or a miss.
    pub retry_delay: Duration,
    /// 0: never made not ready.
    pub max_no_answer: u32,
    /// 话后处理 after each call; zero: none.
    pub wrap_up: Duration,
    /// Answers within this count for the service level.
    pub service_level: Duration,
    /// Whether those who wait are told their place.
    pub announce_position: bool,
    /// Whether those who wait are told the estimated wait.
    pub announce_wait: bool,
    /// How often, at least 5 s; None: once, on joining.
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
    /// 工号, by which the agent signs in.
    pub number: AgentNo,
    /// Where it is written, for faults.
    pub place: Place,
    /// Shown beside the number.
    pub name: String,
    /// The telephone's user name; the same as the number unless written.
    pub extension: Extension,
    /// Of the telephone and of the console.
    pub password: Secret,
    /// 班长: may do what agents may, and what supervisors may.
    pub supervisor: bool,
    /// Skills with their levels, 1–9.
    pub skills: BTreeMap<String, u8>,
    /// Signed in when the telephone registers, and ready at once or not.
    pub sign_in_on_register: bool,
    /// Ready for calls as soon as signed in by its telephone.
    pub ready_on_register: bool,
}

/// A user of the console who is no agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserSettings {
    /// By which the user signs in.
    pub name: UserName,
    /// Decides what is seen and allowed.
    pub role: Role,
    /// Of the console.
    pub password: Secret,
    /// The unit of a clerk or head.
    pub unit: Option<String>,
}

/// How far a hotline is part of 12345.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum HotlineMode {
    /// 整合: its callers are served by our own agents; it is never rung.
    Merged,
    /// 双轨: it keeps its own seats, and joins by three-way calls.
    DualTrack,
    /// 暂不整合: it is never joined with ours.
    Separate,
}

/// A departmental hotline.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HotlineSettings {
    /// Digits only, such as `12330`.
    pub number: HotlineNo,
    /// Where it is written, for faults.
    pub place: Place,
    /// What agents see.
    pub name: String,
    /// Dual track unless written.
    pub mode: HotlineMode,
    /// The SIP URI that is rung; None: by its number at `sip.departments`.
    pub route: Option<String>,
    /// The calendar of its opening hours; None: always open.
    pub calendar: Option<String>,
}

/// `[sms]`: the SMPP gateway.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SmsSettings {
    /// Name or address of the SMS centre.
    pub host: String,
    /// 2775 unless written.
    pub port: u16,
    /// The account's name, at most 15 characters.
    pub system_id: String,
    /// The account's, at most 8 characters.
    pub password: Secret,
    /// The access number that citizens see.
    pub source: String,
    /// Submissions under way at once.
    pub window: usize,
    /// Tries before a message is given up; 8 unless written.
    pub max_attempts: u32,
    /// The first wait between attempts; each next one is twice as long, up to `max_delay`.
    pub first_delay: Duration,
    /// The longest wait between attempts.
    pub max_delay: Duration,
    /// The signature and the text of each kind of message.
    pub templates: Templates,
}

/// `[api]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiSettings {
    /// How long a sign-in lasts: a minute to thirty days.
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

/// `[alarms]`: from where on something is an alarm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AlarmSettings {
    /// Days before a certificate's end.
    pub certificate_days: u32,
    /// Room on a disk, in MiB, below which it is as good as full.
    pub disk_min_free_mb: u64,
    /// Hours before a disk is full, at the rate of the last hours.
    pub disk_hours: u32,
    /// Milliseconds that the clock may be off.
    pub clock_offset_ms: u32,
}

impl Default for AlarmSettings {
    fn default() -> Self {
        AlarmSettings { certificate_days: 30, disk_min_free_mb: 1024, disk_hours: 24, clock_offset_ms: 500 }
    }
}

/// `[log]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogSettings {
    /// As `tracing` writes filters: `info,hotline::sip=debug`.
    pub filter: String,
    /// One JSON object a line, else text for people.
    pub json: bool,
}
