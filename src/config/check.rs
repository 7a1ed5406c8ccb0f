//! The whole configuration loaded, and `hotline check`.
//!
//! Start-up loads with [`load`] and refuses on any fault; [`check`] does the same and also looks whether the ports are
//! free. Whether the database answers is asked by `app::check`: the store is not known here.

use super::{
    assets::{Assets, ClipError, Draft, SETTINGS},
    certificate::{self, TlsFiles},
    profile::{Listener, Profile, ProfileKind, Target, Transport},
    settings::{HotlineMode, Settings},
};
use crate::{
    clock::{Now, UnixMillis},
    ivr::{
        Caller, Fault, Flow, FlowContext, Place,
        fault::nearest,
        graph,
        simulate::{Walk, simulate},
    },
};
use std::{
    collections::{BTreeMap, BTreeSet},
    ffi::CString,
    fmt, io,
    net::{SocketAddr, TcpListener, UdpSocket},
    os::unix::ffi::OsStrExt,
    path::Path,
    sync::Arc,
};

/// Everything that runs, loaded and sound.
#[derive(Clone, Debug)]
pub struct Configuration {
    /// What `hotline.toml` says, or the sandbox's own settings.
    pub settings: Settings,
    /// Where profiles, flows and prompts were read from.
    pub assets: Assets,
    /// Those that are enabled, by name.
    pub profiles: Vec<Profile>,
    /// Every flow that was found, by name.
    pub flows: BTreeMap<String, Arc<Flow>>,
    /// What works, though it is against good practice.
    pub warnings: Vec<Fault>,
}

impl Configuration {
    /// The enabled profile of this kind.
    pub fn profile(&self, kind: ProfileKind) -> Option<&Profile> {
        self.profiles.iter().find(|profile| profile.kind == kind)
    }
}

/// What a check found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// What keeps the configuration from being put in force.
    pub faults: Vec<Fault>,
    /// What works, though it is against good practice.
    pub warnings: Vec<Fault>,
}

impl Report {
    /// Whether the configuration can be put in force.
    pub fn is_ok(&self) -> bool {
        self.faults.is_empty()
    }

    fn of(found: Vec<Fault>) -> Self {
        let (warnings, faults) = found.into_iter().partition(Fault::is_warning);
        Report { faults, warnings }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for fault in &self.faults {
            writeln!(f, "错误 fault    {fault}")?;
        }
        for warning in &self.warnings {
            writeln!(f, "警告 warning  {warning}")?;
        }
        let (faults, warnings) = (self.faults.len(), self.warnings.len());
        match self.is_ok() {
            true => write!(f, "配置检查通过，{warnings} 个警告。The configuration is sound, {warnings} warning(s)."),
            false => write!(f, "配置有 {faults} 个错误，{warnings} 个警告。{faults} fault(s), {warnings} warning(s)."),
        }
    }
}

/// Loads the configuration, or the sandbox with its data under `data_dir` where there is no file; answers every fault.
pub fn load(path: Option<&Path>, data_dir: &Path) -> Result<Configuration, Report> {
    load_with(path, data_dir, None)
}

/// The same, with a text that is tried before it is written.
pub fn load_with(path: Option<&Path>, data_dir: &Path, draft: Option<Draft>) -> Result<Configuration, Report> {
    let (read, report) = read(path, data_dir, None, draft);
    let Read { settings, assets, profiles, flows } = read;
    match settings {
        Some(settings) if report.is_ok() => {
            Ok(Configuration { settings, assets, profiles, flows, warnings: report.warnings })
        }
        _ => Err(report),
    }
}

/// Checks everything that the configuration refers to, the ports included, whatever else is wrong; gives the settings
/// where they could be read. A certificate that is over at `now` is a fault here alone: start-up bears it. Where
/// `runs_in` says that a program uses the data folder, ports in use are taken to be its own.
pub fn check(
    path: Option<&Path>,
    data_dir: &Path,
    now: UnixMillis,
    runs_in: impl FnOnce(&Path) -> bool,
) -> (Report, Option<Settings>) {
    let (read, mut report) = read(path, data_dir, Some(now), None);
    let runs = read.settings.as_ref().is_some_and(|settings| runs_in(&settings.data_dir));
    report.faults.extend(port_faults(read.settings.as_ref(), &read.profiles, runs));
    (report, read.settings)
}

/// What could be read, sound or not.
struct Read {
    settings: Option<Settings>,
    assets: Assets,
    /// Those that are enabled.
    profiles: Vec<Profile>,
    flows: BTreeMap<String, Arc<Flow>>,
}

fn read(path: Option<&Path>, data_dir: &Path, now: Option<UnixMillis>, draft: Option<Draft>) -> (Read, Report) {
    let mut loader = Loader { draft, ..Loader::default() };
    let settings = match path {
        None => Some(loader.sandbox(data_dir)),
        Some(path) => loader.settings(path),
    };
    let mut profiles = loader.profiles(settings.as_ref());
    // Without settings the references into them cannot be judged.
    let used = used_flows(&profiles);
    let flows = loader.flows(settings.as_ref(), Some(&used));
    if let Some(settings) = &settings {
        loader.cross_check(settings, &profiles, &flows);
        loader.found.extend(folder_fault(settings));
        loader.keys(settings);
        loader.found.extend(certificate::faults(settings, &profiles, now));
    }
    profiles.retain(|profile| profile.enabled);
    let Loader { found, assets, .. } = loader;
    (Read { settings, assets, profiles, flows }, Report::of(found))
}

#[derive(Default)]
struct Loader {
    found: Vec<Fault>,
    assets: Assets,
    /// What is tried in the place of a file.
    draft: Option<Draft>,
    /// Flows that are there and have faults of their own: what refers to them is right.
    faulty_flows: BTreeSet<String>,
}

impl Loader {
    fn fault(&mut self, file: &str, place: Place, what: impl Into<String>, fix: impl Into<String>) {
        self.found.push(Fault::new(file, place, what, fix));
    }

    /// Without a file; what overrides the embedded files lies with the sandbox's data.
    fn sandbox(&mut self, data_dir: &Path) -> Settings {
        self.assets = Assets::new(Some(data_dir.to_path_buf())).with_draft(self.draft.clone());
        Settings::sandbox(data_dir)
    }

    fn settings(&mut self, path: &Path) -> Option<Settings> {
        let file = path.display().to_string();
        let base = match path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent.to_path_buf(),
            _ => ".".into(),
        };
        let draft = self.draft.as_ref().filter(|draft| draft.document == SETTINGS).and_then(|draft| draft.text.clone());
        let read = draft.map_or_else(|| std::fs::read(path), |text| Ok(text.into_bytes()));
        self.assets = Assets::new(Some(base.clone())).with_draft(self.draft.clone());
        let bytes = match read {
            Ok(bytes) => bytes,
            Err(error) => {
                self.fault(&file, Place::default(), format!("cannot be read: {error}"), "name another with --config");
                return None;
            }
        };
        let text = self.text(&file, &bytes)?;
        Settings::parse(&text, &file, &base).map_err(|faults| self.found.extend(faults)).ok()
    }

    fn text(&mut self, file: &str, bytes: &[u8]) -> Option<String> {
        match std::str::from_utf8(bytes) {
            Ok(text) => Some(text.to_string()),
            Err(error) => {
                let line = bytes[..error.valid_up_to()].iter().filter(|b| **b == b'\n').count() as u32 + 1;
                let place = Place { line, column: 1 };
                self.fault(file, place, "is not UTF-8 text", "save the file as UTF-8 (另存为 UTF-8)");
                None
            }
        }
    }

    fn asset_text(&mut self, path: &str) -> Option<(String, String)> {
        let file = self.assets.shown(path);
        match self.assets.read(path) {
            Some(bytes) => self.text(&file, &bytes).map(|text| (file, text)),
            None => {
                self.fault(&file, Place::default(), "cannot be read", "check its permissions and size");
                None
            }
        }
    }

    fn profiles(&mut self, settings: Option<&Settings>) -> Vec<Profile> {
        if let Some(settings) = settings.filter(|settings| !settings.profiles.is_empty()) {
            return settings.profiles.clone();
        }
        let mut profiles: Vec<Profile> = Vec::new();
        for path in self.assets.list("sip-profiles", ".toml") {
            let Some((file, text)) = self.asset_text(&path) else { continue };
            match Profile::parse(&text, &file) {
                Err(faults) => self.found.extend(faults),
                Ok(profile) if profiles.iter().any(|other| other.name == profile.name) => {
                    let what = format!("there are two profiles \"{}\"", profile.name);
                    self.fault(&file, profile.place, what, "rename one");
                }
                Ok(profile) => profiles.push(profile),
            }
        }
        profiles
    }

    /// All flows. Where `used` is given, what is wrong with a flow that no number leads to is a warning, and nothing at
    /// all when it is one of the embedded examples.
    fn flows(&mut self, settings: Option<&Settings>, used: Option<&BTreeSet<String>>) -> BTreeMap<String, Arc<Flow>> {
        let mut flows = BTreeMap::new();
        for path in self.assets.list("ivr-flows", ".toml") {
            let Some((file, text)) = self.asset_text(&path) else { continue };
            match Flow::parse(&text, &file) {
                Err(faults) => {
                    let stem = Path::new(&path).file_stem().unwrap_or_default();
                    self.faulty_flows.insert(stem.to_string_lossy().into_owned());
                    self.found.extend(faults);
                }
                Ok(flow) => {
                    if let Some(settings) = settings {
                        let found = check_flow(&flow, settings, &self.assets);
                        match used.is_none_or(|used| used.contains(&flow.name)) {
                            true => self.found.extend(found),
                            false if file != path => self.found.extend(found.into_iter().map(Fault::as_warning)),
                            false => {}
                        }
                    }
                    flows.insert(flow.name.clone(), Arc::new(flow));
                }
            }
        }
        for name in self.assets.clip_names() {
            if let Err(error) = self.assets.clip_length(&name) {
                let file = self.assets.shown(&format!("ivr-flows/{name}"));
                let fix = "convert it: sox IN.wav -r 8000 -b 16 -c 1 OUT.wav";
                self.fault(&file, Place::default(), format!("cannot be played: {error}"), fix);
            }
        }
        flows
    }

    fn cross_check(&mut self, settings: &Settings, profiles: &[Profile], flows: &BTreeMap<String, Arc<Flow>>) {
        let queues = queue_names(settings);
        for profile in profiles.iter().filter(|profile| profile.enabled) {
            for route in &profile.numbers {
                match &route.target {
                    Target::Flow(name) if self.faulty_flows.contains(name) => {}
                    Target::Flow(name) => {
                        let known = flows.keys().map(String::as_str);
                        self.reference(&profile.file, route.place, "flow", name, known);
                    }
                    Target::Queue(name) => {
                        let known = queues.iter().map(String::as_str);
                        self.reference(&profile.file, route.place, "queue", name.as_str(), known);
                    }
                    Target::PlayLoop(clip) => self.clip(&profile.file, route.place, clip),
                    Target::Hold | Target::Bridge { .. } | Target::Room => {}
                }
            }
            let open = profile.listen.iter().find(|listener| !listener.address.ip().is_loopback());
            if let Some(listener) = open {
                self.outside(settings, profile, listener.place);
            }
        }
        self.listeners(settings, profiles);
        for queue in &settings.queues {
            self.clip(&settings.file, queue.place, &queue.music);
            for skill in &queue.skills {
                if !settings.agents.iter().any(|agent| agent.skills.contains_key(skill)) {
                    let what = format!("no agent has the skill \"{skill}\" of queue \"{}\"", queue.name);
                    let fault = Fault::new(&settings.file, queue.place, what, "give it to an agent");
                    self.found.push(fault.as_warning());
                }
            }
        }
        for hotline in &settings.hotlines {
            let unknown = hotline.calendar.as_ref().filter(|name| !settings.calendars.calendars.contains_key(*name));
            if let Some(name) = unknown {
                let what = format!("hotline {}: there is no calendar \"{name}\"", hotline.number);
                self.fault(&settings.file, hotline.place, what, "add [[calendar]], or leave calendar out");
            }
            // A merged hotline rings our own queue.
            let is_rung = hotline.mode != HotlineMode::Merged;
            if is_rung && hotline.route.is_none() && settings.sip.departments.is_none() {
                let what = format!("hotline {} cannot be reached", hotline.number);
                self.fault(&settings.file, hotline.place, what, "give it a route, or set sip.departments");
            }
        }
    }

    /// Two listeners on one address.
    fn listeners(&mut self, settings: &Settings, profiles: &[Profile]) {
        let mut taken: BTreeMap<(bool, SocketAddr), String> = BTreeMap::new();
        taken.extend(settings.http.listen.iter().map(|address| ((false, *address), "[http]".to_string())));
        for profile in profiles.iter().filter(|profile| profile.enabled) {
            for listener in &profile.listen {
                let datagrams = match listener.transport {
                    Transport::Udp => true,
                    Transport::Tcp | Transport::Tls => false,
                    // Served on the console's port.
                    Transport::Ws => continue,
                    Transport::Wss => {
                        let fix = "listen on udp, tcp or tls";
                        self.fault(&profile.file, listener.place, "WSS is not served yet", fix);
                        continue;
                    }
                };
                if listener.transport == Transport::Tls && TlsFiles::of(settings, profile).is_none() {
                    let what = "TLS needs a certificate (没有配置证书)";
                    let fix = "write [tls] with certificate and key in hotline.toml, or take \"tls:…\" out of listen";
                    self.fault(&profile.file, listener.place, what, fix);
                }
                // Port 0 is any free one.
                if listener.address.port() == 0 {
                    continue;
                }
                if let Some(other) = taken.insert((datagrams, listener.address), profile.name.clone()) {
                    let what = format!("{} is taken by {other} already", listener.address);
                    self.fault(&profile.file, listener.place, what, "give one of them another port");
                }
            }
        }
    }

    /// What is allowed on loopback alone.
    fn outside(&mut self, settings: &Settings, profile: &Profile, place: Place) {
        if settings.sandbox {
            let what = "the sandbox listens on loopback alone";
            self.fault(
                &profile.file,
                place,
                what,
                "write 127.0.0.1, or set sandbox = false with passwords of your own",
            );
        }
        let guessed = settings.agents.iter().find(|agent| agent.password.expose().contains(agent.number.as_str()));
        if let Some(agent) = guessed.filter(|_| profile.kind != ProfileKind::Trunk) {
            let what = format!("the password of agent {} holds the agent's number", agent.number);
            self.fault(&settings.file, agent.place, what, "off loopback give each agent a password of its own");
        }
        let plain = |listener: &&Listener| {
            matches!(listener.transport, Transport::Udp | Transport::Tcp) && !listener.address.ip().is_loopback()
        };
        let plain = profile.listen.iter().find(plain).filter(|_| profile.kind == ProfileKind::Agents);
        if let Some(listener) = plain {
            let what = "telephones register in the clear: everybody on their way reads who calls whom (信令未加密)";
            let fault = Fault::new(&profile.file, listener.place, what, "listen on \"tls:…\" alone, with [tls]");
            self.found.push(fault.as_warning());
        }
    }

    fn reference<'a>(
        &mut self,
        file: &str,
        place: Place,
        kind: &str,
        name: &str,
        known: impl Iterator<Item = &'a str> + Clone,
    ) {
        if known.clone().any(|other| other == name) {
            return;
        }
        let fix = match nearest(name, known.clone()) {
            Some(near) => format!("did you mean \"{near}\"?"),
            None => format!("use one of: {}", known.collect::<Vec<_>>().join(", ")),
        };
        self.fault(file, place, format!("there is no {kind} \"{name}\""), fix);
    }

    fn clip(&mut self, file: &str, place: Place, clip: &str) {
        // A clip that is there and cannot be played is reported by its own name.
        if matches!(self.assets.clip_length(clip), Err(ClipError::Missing)) {
            self.fault(file, place, format!("prompt \"{clip}\" is missing"), format!("put it at ivr-flows/{clip}"));
        }
    }

    /// The key of the recordings.
    fn keys(&mut self, settings: &Settings) {
        let recording = &settings.recording;
        if !recording.enabled {
            return;
        }
        let file = recording.key_file.display().to_string();
        let (what, fix) = match std::fs::read_to_string(&recording.key_file) {
            Err(error) if is_missing(&error) && recording.create_key => return,
            Err(error) => (
                format!("the recordings' key cannot be read: {error}"),
                format!("make one: (umask 077; openssl rand -hex 32 > {file}), and keep a copy apart"),
            ),
            Ok(_) if super::secret::readable_by_others(&recording.key_file) => {
                ("the recordings' key can be read by everyone".into(), format!("chmod 600 {file}"))
            }
            Ok(text) if text.trim().len() == 64 && text.trim().bytes().all(|b| b.is_ascii_hexdigit()) => return,
            Ok(_) => {
                ("the recordings' key is not 64 hexadecimal digits".into(), "restore the key from its copy".into())
            }
        };
        self.fault(&file, Place::default(), what, fix);
    }
}

/// The names of the flows that numbers lead to.
fn used_flows(profiles: &[Profile]) -> BTreeSet<String> {
    let routes = profiles.iter().filter(|profile| profile.enabled).flat_map(|profile| &profile.numbers);
    let flow = |target: &Target| match target {
        Target::Flow(name) => Some(name.clone()),
        Target::Queue(_) | Target::Hold | Target::PlayLoop(_) | Target::Bridge { .. } | Target::Room => None,
    };
    routes.filter_map(|route| flow(&route.target)).collect()
}

fn queue_names(settings: &Settings) -> BTreeSet<String> {
    settings.queues.iter().map(|queue| queue.name.to_string()).collect()
}

/// Everything that is wrong with one flow under these settings.
pub fn check_flow(flow: &Flow, settings: &Settings, assets: &Assets) -> Vec<Fault> {
    let queues = queue_names(settings);
    let hotlines = settings.hotlines.iter().map(|hotline| hotline.number.to_string()).collect();
    let calendars = settings.calendars.calendars.keys().cloned().collect();
    let prompt_exists = |clip: &str| assets.clip_length(clip).is_ok();
    let context =
        FlowContext { prompt_exists: &prompt_exists, queues: &queues, hotlines: &hotlines, calendars: &calendars };
    flow.check(&context)
}

/// Ports that cannot be opened, each named with what to do; where the program `runs` with these settings, those in use
/// are its own.
pub fn port_faults(settings: Option<&Settings>, profiles: &[Profile], runs: bool) -> Vec<Fault> {
    let mut faults = Vec::new();
    let judged = |tried: io::Result<()>| match tried {
        Err(error) if runs && error.kind() == io::ErrorKind::AddrInUse => Ok(()),
        tried => tried,
    };
    if let Some(settings) = settings {
        for address in &settings.http.listen {
            let tried = judged(TcpListener::bind(address).map(drop));
            faults.extend(port_fault(&settings.file, Place::default(), "tcp", *address, tried));
        }
        let media = SocketAddr::new(settings.media.address, 0);
        match port_fault(&settings.file, Place::default(), "udp", media, UdpSocket::bind(media).map(drop)) {
            Some(fault) => faults.push(fault),
            None if runs => {}
            None => faults.extend(media_fault(settings)),
        }
    }
    for profile in profiles {
        for listener in &profile.listen {
            let (word, tried) = match listener.transport {
                Transport::Udp => ("udp", UdpSocket::bind(listener.address).map(drop)),
                Transport::Tcp | Transport::Tls => ("tcp", TcpListener::bind(listener.address).map(drop)),
                Transport::Ws | Transport::Wss => continue,
            };
            faults.extend(port_fault(&profile.file, listener.place, word, listener.address, judged(tried)));
        }
    }
    faults
}

/// Whether a file is not there; a file where its folder should be is a fault of the folder.
fn is_missing(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

/// The fault of a data folder that cannot be made or written. Nothing is made to find out.
fn folder_fault(settings: &Settings) -> Option<Fault> {
    let folder = &settings.data_dir;
    let there = folder.ancestors().find(|path| path.exists()).unwrap_or(Path::new("."));
    let here = if there.as_os_str().is_empty() { Path::new(".") } else { there };
    let name = CString::new(here.as_os_str().as_bytes()).ok()?;
    // SAFETY: access only reads the name, which ends in a zero.
    let may_write = here.is_dir() && unsafe { libc::access(name.as_ptr(), libc::W_OK | libc::X_OK) } == 0;
    let what = format!("the data folder {} cannot be written (数据目录不可写)", folder.display());
    let fix = format!("let this user write in {}, or set `data` to another folder", here.display());
    (!may_write).then(|| Fault::new(&settings.file, Place::default(), what, fix))
}

/// The fault of a range of RTP ports of which no pair is free: no call could be answered.
fn media_fault(settings: &Settings) -> Option<Fault> {
    let (ip, range) = (settings.media.address, &settings.media.ports);
    let is_free = |port| UdpSocket::bind(SocketAddr::new(ip, port)).is_ok();
    let mut pairs = range.clone().filter(|port| port % 2 == 0 && range.contains(&(port + 1)));
    if pairs.any(|port| is_free(port) && is_free(port + 1)) {
        return None;
    }
    let what = format!("no pair of the RTP ports {}-{}/udp on {ip} is free (端口被占用)", range.start(), range.end());
    let fix = "end the program that holds them (ss -ulnp), or set [media] ports to another range";
    Some(Fault::new(&settings.file, Place::default(), what, fix))
}

/// The fault for a port that could not be opened, for start-up to print as well.
pub fn port_fault(
    file: &str,
    place: Place,
    transport: &str,
    address: SocketAddr,
    tried: io::Result<()>,
) -> Option<Fault> {
    use io::ErrorKind;
    let error = tried.err()?;
    let port = address.port();
    let (what, fix) = match error.kind() {
        ErrorKind::AddrInUse => {
            let letter = if transport == "udp" { 'u' } else { 't' };
            let fix = format!("end the program that holds it (ss -{letter}lnp 'sport = :{port}'), or listen elsewhere");
            (format!("port {port}/{transport} on {} is in use (端口被占用)", address.ip()), fix)
        }
        ErrorKind::PermissionDenied => (
            format!("port {port}/{transport} may not be opened"),
            "use a port above 1023, or give CAP_NET_BIND_SERVICE".into(),
        ),
        ErrorKind::AddrNotAvailable => {
            (format!("{} is no address of this host", address.ip()), "write one of its own (ip addr)".into())
        }
        _ => (format!("{address}/{transport} cannot be opened: {error}"), "listen elsewhere".into()),
    };
    Some(Fault::new(file, place, what, fix))
}

/// `hotline flow check`: all flows, or one by its name or file.
pub fn cmd_flow_check(path: Option<&Path>, data_dir: &Path, flow: Option<&str>) -> (String, bool) {
    let mut loader = Loader::default();
    let settings = match path {
        None => Some(loader.sandbox(data_dir)),
        Some(path) => loader.settings(path),
    };
    match flow {
        None => {
            loader.flows(settings.as_ref(), None);
        }
        Some(name) => {
            if let Some(flow) = loader.one_flow(name)
                && let Some(settings) = &settings
            {
                let found = check_flow(&flow, settings, &loader.assets);
                loader.found.extend(found);
            }
        }
    }
    let report = Report::of(loader.found);
    (report.to_string(), report.is_ok())
}

impl Loader {
    /// A flow by its name, or by the path of its file.
    fn one_flow(&mut self, name: &str) -> Option<Flow> {
        let (file, text) = if name.ends_with(".toml") {
            match std::fs::read(name) {
                Ok(bytes) => (name.to_string(), self.text(name, &bytes)?),
                Err(error) => {
                    self.fault(name, Place::default(), format!("cannot be read: {error}"), "name another file");
                    return None;
                }
            }
        } else if self.assets.read(&format!("ivr-flows/{name}.toml")).is_none() {
            let names = self.assets.list("ivr-flows", ".toml").join(", ");
            self.fault(name, Place::default(), "there is no such flow", format!("there are: {names}"));
            return None;
        } else {
            self.asset_text(&format!("ivr-flows/{name}.toml"))?
        };
        Flow::parse(&text, &file).map_err(|faults| self.found.extend(faults)).ok()
    }
}

/// A flow by its name or file, for the commands that show it; a fault's report otherwise.
fn shown_flow(path: Option<&Path>, data_dir: &Path, name: &str) -> Result<(Settings, Assets, Flow), Report> {
    let mut loader = Loader::default();
    let settings = match path {
        None => Some(loader.sandbox(data_dir)),
        Some(path) => loader.settings(path),
    };
    let flow = loader.one_flow(name);
    match (settings, flow) {
        (Some(settings), Some(flow)) => Ok((settings, loader.assets, flow)),
        _ => Err(Report::of(loader.found)),
    }
}

/// `hotline flow graph`: Mermaid text, or SVG. Errors with every fault of the settings or of the flow.
pub fn cmd_flow_graph(path: Option<&Path>, data_dir: &Path, flow: &str, svg: bool) -> Result<String, Report> {
    let (_, _, flow) = shown_flow(path, data_dir, flow)?;
    Ok(if svg { graph::svg(&flow) } else { graph::mermaid(&flow) })
}

/// `hotline flow simulate --keys 1,0`: the walk, line by line, as a call that is answered at `now`.
pub fn cmd_flow_simulate(
    path: Option<&Path>,
    data_dir: &Path,
    flow: &str,
    keys: &str,
    caller: Caller,
    now: Now,
) -> Result<String, Report> {
    let (settings, assets, flow) = shown_flow(path, data_dir, flow)?;
    let hours = Arc::new(settings.calendars);
    let clip_length = |clip: &str| assets.clip_length(clip).ok();
    Ok(simulate(Arc::new(flow), &Walk { keys, caller, hours, clip_length: &clip_length, start: now }))
}
