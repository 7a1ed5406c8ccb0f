//! A SIP profile: where we listen, who may speak, what is offered, and where dialled numbers lead.

use super::{
    certificate::TlsFiles,
    network::{Acl, Network},
    number::NumberPattern,
};
use crate::{
    ids::QueueName,
    ivr::{
        Fault, Place,
        document::{self, Located, Table},
    },
    media::engine::Codec,
};
use std::{net::SocketAddr, path::Path, time::Duration};

/// Who is on the other side.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ProfileKind {
    /// Carriers: their caller numbers are believed, they dial our numbers and nothing else.
    Trunk,
    /// Agents' telephones: they register.
    Agents,
    /// Browsers: they register over WebSocket.
    Browser,
}

/// How messages travel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Transport {
    /// Datagrams.
    Udp,
    /// A byte stream in the clear.
    Tcp,
    /// TCP under TLS.
    Tls,
    /// WebSocket in the clear (RFC 7118).
    Ws,
    /// WebSocket over TLS (RFC 7118).
    Wss,
}

/// One place where a profile listens.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Listener {
    /// How messages travel there.
    pub transport: Transport,
    /// Our address and port; `0.0.0.0` is all of this host's.
    pub address: SocketAddr,
    /// The URL's path, for WebSocket.
    pub path: Option<String>,
    /// Where it is written, for faults.
    pub place: Place,
}

impl Listener {
    /// Reads `udp:127.0.0.1:5060` or `ws:127.0.0.1:8080/sip`.
    pub fn parse(text: &str) -> Option<(Transport, SocketAddr, Option<String>)> {
        let (transport, rest) = text.split_once(':')?;
        let transport = match transport {
            "udp" => Transport::Udp,
            "tcp" => Transport::Tcp,
            "tls" => Transport::Tls,
            "ws" => Transport::Ws,
            "wss" => Transport::Wss,
            _ => return None,
        };
        let (address, path) = match rest.find('/') {
            Some(at) => (&rest[..at], Some(rest[at..].to_string())),
            None => (rest, None),
        };
        let web = matches!(transport, Transport::Ws | Transport::Wss);
        (path.is_some() == web).then_some((transport, address.parse().ok()?, path))
    }
}

/// Whether requests have to prove who they are from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Auth {
    /// By address alone.
    None,
    /// By digest, with a password (RFC 3261 section 22).
    Digest,
}

/// Digest algorithms (RFC 7616, RFC 8760).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DigestAlgorithm {
    /// SHA-256.
    Sha256,
    /// MD5, for telephones that know nothing better.
    Md5,
}

/// Where a dialled number leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// A flow by its name.
    Flow(String),
    /// A queue by its name, without a flow before it.
    Queue(QueueName),
    /// Answered, then silence.
    Hold,
    /// Answered, then this clip again and again.
    PlayLoop(String),
    /// Bridged to this SIP URI.
    Bridge {
        /// The URI that is rung.
        to: String,
        /// Whether the talk is recorded.
        recorded: bool,
    },
    /// The conference room of the dialled number.
    Room,
}

/// Numbers and where they lead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NumberRoute {
    /// Any one of them must match the dialled number.
    pub patterns: Vec<NumberPattern>,
    /// Where such a number leads.
    pub target: Target,
    /// Whether an accepted call gets its primary ticket.
    pub ticket: bool,
    /// Whether a call leaves a call record.
    pub cdr: bool,
    /// Where it is written, for faults.
    pub place: Place,
}

/// Bounds on what a profile takes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Calls at once.
    pub max_calls: usize,
    /// New calls a second.
    pub max_cps: u32,
    /// Telephones registered at once.
    pub max_registrations: usize,
    /// SIP transactions of one address, with those that linger for 32 s; at ten calls a second that is some 640.
    pub transactions_per_peer: usize,
    /// The shortest and the longest registration that is granted.
    pub min_expires: Duration,
    /// The longest registration that is granted; who asks for more is given this.
    pub max_expires: Duration,
}

/// A SIP profile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Profile {
    /// Unique among the profiles; it labels metrics and logs.
    pub name: String,
    /// Where it was read from, for faults.
    pub file: String,
    /// Who speaks there.
    pub kind: ProfileKind,
    /// A disabled profile is checked and not opened.
    pub enabled: bool,
    /// At least one.
    pub listen: Vec<Listener>,
    /// Who may speak; all others are not answered.
    pub allow: Acl,
    /// By default by address on a trunk, by digest elsewhere.
    pub auth: Auth,
    /// In the order in which they are offered.
    pub algorithms: Vec<DigestAlgorithm>,
    /// Telephones, by the beginning of their User-Agent, that fail when they are offered more than MD5.
    pub md5_only: Vec<String>,
    /// The digest's realm, of which stored passwords are a part; `hotline` by default.
    pub realm: String,
    /// In the order in which they are offered.
    pub codecs: Vec<Codec>,
    /// In order: the first that matches decides.
    pub numbers: Vec<NumberRoute>,
    /// Bounds on what it takes on.
    pub limits: Limits,
    /// `[tls]`, as written: relative paths are taken from the configuration's folder. None: that of the settings.
    pub tls: Option<TlsFiles>,
    /// Where it is written, for faults.
    pub place: Place,
}

impl Profile {
    /// Reads a profile's file. Errors with every fault in it, each with its line.
    pub fn parse(text: &str, file: &str) -> Result<Profile, Vec<Fault>> {
        let profile = document::read(text, file, |root| read(root, file))?;
        profile.ok_or_else(|| vec![Fault::of_file(file, "the profile is not complete", "give it a name and a kind")])
    }

    /// Where a dialled number leads: the first route that matches.
    pub fn route(&self, dialled: &str) -> Option<&NumberRoute> {
        self.numbers.iter().find(|route| route.patterns.iter().any(|pattern| pattern.matches(dialled)))
    }
}

/// Reads a profile's table, from a file of its own or within the settings.
pub(super) fn read(table: &Table<'_>, file: &str) -> Option<Profile> {
    let kinds = [("trunk", ProfileKind::Trunk), ("agents", ProfileKind::Agents), ("browser", ProfileKind::Browser)];
    let name = table.required_text("name", "write name = \"trunk\", for example");
    let kind = table.choice("kind", &kinds);
    if table.value("kind").is_none() {
        table.missing("kind", "write kind = \"trunk\", \"agents\" or \"browser\"");
    }
    let enabled = table.flag("enabled").unwrap_or(true);
    let listen = read_listeners(table);
    let auth = table.choice("auth", &[("none", Auth::None), ("digest", Auth::Digest)]);
    let algorithms = read_algorithms(table);
    let codecs = read_codecs(table);
    let allow = read_acl(table, "allow");
    let realm = table.text("realm").unwrap_or_else(|| "hotline".into());
    if realm.is_empty() || realm.contains(['"', '\\', '\r', '\n']) {
        table.fault("realm", "`realm` has characters that cannot stand there", "write a plain name");
    }
    let numbers = table.tables("number").iter().filter_map(read_route).collect();
    if table.value("outbound").is_some() {
        let what = "calls from telephones to other agents or to hotlines are not supported yet";
        table.fault("outbound", what, "leave [outbound] out; a hotline is reached by a three-way call");
    }
    let tls = table.table("tls").and_then(|table| TlsFiles::read(&table, Path::new("")));
    let limits = read_limits(table.table("limits").as_ref(), kind);
    let default_auth = if kind == Some(ProfileKind::Trunk) { Auth::None } else { Auth::Digest };
    let auth = auth.unwrap_or(default_auth);
    let (file, place, kind, name) = (file.to_string(), table.place(), kind?, name?);
    if kind != ProfileKind::Trunk && auth == Auth::None {
        table.fault("auth", "telephones that register need auth = \"digest\"", "write auth = \"digest\"");
    }
    Some(Profile {
        name,
        file,
        kind,
        enabled,
        listen,
        allow,
        auth,
        algorithms,
        md5_only: table.texts("md5_only").into_iter().map(|text| text.value).collect(),
        realm,
        codecs,
        numbers,
        limits,
        tls,
        place,
    })
}

fn read_listeners(table: &Table<'_>) -> Vec<Listener> {
    let mut listeners = Vec::new();
    for text in table.texts("listen") {
        match Listener::parse(&text.value) {
            Some((transport, address, path)) => {
                listeners.push(Listener { transport, address, path, place: text.place });
            }
            None => {
                let what = format!("\"{}\" is no place to listen", text.value);
                let fix = "write \"udp:127.0.0.1:5060\", \"tcp:…\", \"tls:…\", or \"ws:127.0.0.1:8080/sip\"";
                table.fault_at(text.place, what, fix);
            }
        }
    }
    if listeners.is_empty() && table.texts("listen").is_empty() {
        table.missing("listen", "write listen = [\"udp:127.0.0.1:5060\", \"tcp:127.0.0.1:5060\"]");
    }
    listeners
}

/// Reads a list of networks, in which `"local"` stands for this host's own addresses.
pub(super) fn read_acl(table: &Table<'_>, key: &'static str) -> Acl {
    let mut acl = Acl::default();
    for text in table.texts(key) {
        match text.value.parse::<Network>() {
            Ok(network) => acl.networks.push(network),
            Err(_) if text.value == "local" => acl.local = true,
            Err(error) => {
                table.fault_at(text.place, format!("\"{}\" is {error}", text.value), "write a network, or \"local\"");
            }
        }
    }
    if table.value(key).is_none() {
        table.missing(key, "say who may speak, such as [\"127.0.0.0/8\"]");
    }
    acl
}

fn read_algorithms(table: &Table<'_>) -> Vec<DigestAlgorithm> {
    let mut algorithms = Vec::new();
    for text in table.texts("algorithms") {
        match text.value.as_str() {
            "SHA-256" => algorithms.push(DigestAlgorithm::Sha256),
            "MD5" => algorithms.push(DigestAlgorithm::Md5),
            other => {
                let what = format!("digest algorithm \"{other}\" is not known here");
                table.fault_at(text.place, what, "use \"SHA-256\" and \"MD5\"");
            }
        }
    }
    if algorithms.is_empty() { vec![DigestAlgorithm::Sha256, DigestAlgorithm::Md5] } else { algorithms }
}

fn read_codecs(table: &Table<'_>) -> Vec<Codec> {
    let mut codecs = Vec::new();
    for text in table.texts("codecs") {
        match text.value.as_str() {
            "PCMA" => codecs.push(Codec::Pcma),
            "PCMU" => codecs.push(Codec::Pcmu),
            other => {
                table.fault_at(text.place, format!("codec \"{other}\" is not supported"), "use \"PCMA\" and \"PCMU\"");
            }
        }
    }
    if codecs.is_empty() { vec![Codec::Pcma, Codec::Pcmu] } else { codecs }
}

fn read_patterns(table: &Table<'_>, key: &'static str) -> Vec<NumberPattern> {
    let one = |text: Located<String>| match text.value.parse() {
        Ok(pattern) => Some(pattern),
        Err(_) => {
            let what = format!("\"{}\" is no number pattern", text.value);
            table.fault_at(text.place, what, "write \"12345\", \"80XX\", \"130000-139999\" or \"0.\"");
            None
        }
    };
    table.texts(key).into_iter().filter_map(one).collect()
}

fn read_route(table: &Table<'_>) -> Option<NumberRoute> {
    if table.value("match").is_none() {
        table.missing("match", "write match = [\"12345\"]");
    }
    let patterns = read_patterns(table, "match");
    let mut targets = Vec::new();
    targets.extend(table.text("flow").map(Target::Flow));
    targets.extend(table.text("queue").map(|name| Target::Queue(name.into())));
    targets.extend(table.flag("hold").filter(|on| *on).map(|_| Target::Hold));
    targets.extend(table.text("play_loop").map(Target::PlayLoop));
    targets.extend(table.flag("room").filter(|on| *on).map(|_| Target::Room));
    if let Some(bridge) = table.table("bridge") {
        let form = "a SIP URI such as sip:callee@127.0.0.1:5090";
        let to = bridge.parsed("to", form, |uri| uri.starts_with("sip:").then(|| uri.to_string()));
        if bridge.value("to").is_none() {
            bridge.missing("to", &format!("write {form}"));
        }
        let recorded = bridge.flag("recorded").unwrap_or(false);
        targets.extend(to.map(|to| Target::Bridge { to, recorded }));
    }
    let ticket = table.flag("ticket").unwrap_or(true);
    let cdr = table.flag("cdr").unwrap_or(true);
    if targets.len() != 1 {
        let what = if targets.is_empty() { "a number that leads nowhere" } else { "a number that leads to two places" };
        table.fault_at(table.place(), what, "give it one of: flow, queue, hold, play_loop, bridge, room");
        return None;
    }
    if ticket && !cdr {
        table.fault("cdr", "a call with a ticket leaves a record", "write ticket = false as well");
    }
    Some(NumberRoute { patterns, target: targets.pop()?, ticket, cdr, place: table.place() })
}

fn read_limits(table: Option<&Table<'_>>, kind: Option<ProfileKind>) -> Limits {
    let number = |key, default: i64| table.and_then(|t| t.integer(key, 1..=10_000_000)).unwrap_or(default);
    let time = |key, default| {
        let range = Duration::from_secs(1)..=Duration::from_secs(86_400);
        table.and_then(|t| t.duration(key, range)).unwrap_or(Duration::from_secs(default))
    };
    // One carrier's address brings all its calls; behind one of telephones there is an office at most.
    let per_peer = if kind == Some(ProfileKind::Trunk) { 800_000 } else { 10_000 };
    let (min_expires, max_expires) = (time("min_expires", 60), time("max_expires", 3600));
    if let Some(table) = table.filter(|_| min_expires > max_expires) {
        table.fault("min_expires", "`min_expires` is longer than `max_expires`", "make it shorter");
    }
    Limits {
        max_calls: number("max_calls", 10_000) as usize,
        max_cps: number("max_cps", 1_000) as u32,
        max_registrations: number("max_registrations", 10_000) as usize,
        transactions_per_peer: number("transactions_per_peer", per_peer) as usize,
        min_expires,
        max_expires,
    }
}
