//! From a loaded configuration to a running program: what is opened in which order, and what is refused.

use super::{
    AgentSeat, App, accounts, agents, calendar,
    certificates::Certificates,
    events::Events,
    housekeeping,
    live::Live,
    outbox::{self, Bell},
    switch::{self, Config, HotlineEntry, Input, Parts, Profile, RouteTo},
    switch_task::{self, Listen, SwitchHandle},
    view, watch,
};
use crate::{
    acd::{self, Acd},
    call::{
        message::{Clips, HotlineRefusal, HotlineTarget, QueueSound, Settings as CallSettings},
        topology::RING_BACK,
    },
    config::{Auth, Configuration, DigestAlgorithm, ProfileKind, QueueSettings, Settings, Target, Transport, settings},
    ids::{AgentNo, HotlineNo, IdGen, QueueName},
    media::{
        clip::Clip,
        engine::{IpNet, LearnPolicy},
        recorder::Key,
    },
    net::{
        clock,
        recording::RecordingConfig,
        rtp::{MediaConfig, MediaPool},
        sip,
        sms::{GatewayConfig, SmsGateway},
    },
    sip::{
        auth::{Algorithm, Authenticator, Ha1Set, ha1},
        endpoint::{Endpoint, EndpointConfig, HostPort},
        registrar::{BindingSnapshot, Registrar, RegistrarConfig},
    },
    sms::{delivery::Policy, smpp},
    store::{DatabaseUse, HotlineRow, Spool, Store, StoreOptions},
};
use anyhow::{Context, bail};
use rand::{Rng, SeedableRng, rngs::StdRng};
use std::{
    collections::{BTreeMap, HashMap},
    fs,
    io::Cursor,
    net::{IpAddr, SocketAddr},
    path::Path,
    sync::Arc,
    time::Duration,
};
use tokio_util::sync::CancellationToken;

/// How long a nonce of ours is good.
const NONCE_LIFE: Duration = Duration::from_secs(300);

/// From here on moments are shown in the centre's time.
///
/// # Errors
/// The time zone is not known.
pub fn keep_time_zone(settings: &Settings) -> anyhow::Result<()> {
    view::set_time_zone(jiff::tz::TimeZone::get(&settings.time_zone).context("time_zone")?);
    Ok(())
}

/// Opens the database of a configuration and brings its schema up to date.
///
/// # Errors
/// The database is away, refuses, was used by a newer program, or belongs to a sandbox where this is none (or the other
/// way round).
pub async fn open_store(settings: &Settings) -> anyhow::Result<Store> {
    let now = clock::now().wall;
    let offset_minutes = calendar::offset_minutes(settings, now);
    let options = StoreOptions { node: settings.node, offset_minutes, ..StoreOptions::default() };
    let store = Store::open(settings.database_url.expose(), options, now)
        .await
        .context("the database cannot be opened: see [database] url")?;
    store.claim_for(DatabaseUse::of(settings.sandbox)).await?;
    Ok(store)
}

/// Starts everything of a configuration on an open store. What comes back runs until it is told to end.
///
/// # Errors
/// Whatever cannot be opened, named, with what to do.
pub async fn start(configuration: Configuration, store: Store) -> anyhow::Result<Arc<App>> {
    let Configuration { settings, assets, profiles, flows, .. } = configuration;
    let settings = Arc::new(settings);
    keep_time_zone(&settings)?;
    let now = clock::now();
    let rules = calendar::rules(&settings, now.wall);
    if let Some(what) = calendar::alarm(&rules, now.wall).filter(|_| !settings.sandbox) {
        tracing::warn!("{what}");
    }
    let ids = IdGen::new(settings.node, now.wall.0);
    let first = ids.next();
    let key = recording_key(&settings)?;
    let certificates = Certificates::load(&settings, &profiles, now.wall)?;
    let (spool, recovered) =
        Spool::open(&settings.data_dir.join("spool")).await.context("the spool cannot be opened")?;
    accounts::keep(&store, &settings).await?;

    let (switch, inbox) = SwitchHandle::new();
    let (agent_log, changes) = tokio::sync::mpsc::channel(agents::LOG_MAILBOX);
    tokio::spawn(agents::keep_log(store.clone(), changes));
    let media = start_media(&settings, key.clone(), &switch)?;
    let app = Arc::new(App {
        agents: agent_seats(&settings),
        ids: ids.clone(),
        live: Live::default(),
        events: Events::new(ids.clone()),
        switch,
        bell: Bell::default(),
        rules,
        templates: settings.sms.as_ref().map(|sms| sms.templates.clone()).unwrap_or_default(),
        recording_key: key,
        certificates,
        runtime: tokio::runtime::Handle::current(),
        started: now,
        sms: std::sync::OnceLock::new(),
        ending: CancellationToken::new(),
        in_doubt: std::sync::Mutex::default(),
        agent_log,
        spool: spool.clone(),
        store: store.clone(),
        settings: settings.clone(),
    });

    let clips = Arc::new(load_clips(&assets)?);
    let streams = sip::Listen {
        tcp: listeners(&profiles, Transport::Tcp),
        tls: app.certificates.listeners(&profiles),
        runtime: app.runtime.clone(),
    };
    let listen = Listen { udp: listeners(&profiles, Transport::Udp), streams };
    let hotlines = hotline_directory(&settings, store.hotline_list().await?);
    let config = Arc::new(switch_config(&settings, &profiles, &flows, clips, hotlines)?);
    let mut rng = StdRng::from_os_rng();
    let epoch = now.wall.0.max(0) as u64;
    let queues = settings.queues.iter().map(queue_config).collect();
    let acd = acd::config::Config { epoch, queues, agents: acd::config::AgentRules::default() };
    let parts = Parts {
        acd: Acd::new(acd, ids.clone(), StdRng::from_seed(rng.random()), now)?,
        auth: Authenticator::new(&config.realm, &rng.random::<[u8; 32]>(), algorithms(&profiles), NONCE_LIFE),
        registrar: restored_registrar(&spool, registrar_config(&profiles)).await,
        endpoint: Endpoint::new(endpoint_config(&settings, &profiles), ids.clone(), rng.random()),
        ids,
        media,
        rng,
        config,
    };
    let old_calls = app.recover(recovered);
    switch_task::start(app.clone(), parts, listen, inbox).await?;
    tokio::spawn(app.clone().close_old_calls(old_calls, first));
    let doubts = app.clone();
    tokio::spawn(async move { doubts.settle_doubts().await });
    let stored = app.clone();
    spool.start_feeder(store, move |calls| stored.calls_stored(calls));
    start_sms(&app, &settings);
    tokio::spawn(housekeeping::run(app.clone()));
    tokio::spawn(watch::run(app.clone()));
    Ok(app)
}

/// The registrar with what was registered before a restart. What cannot be read is no reason not to start: the
/// telephones register again.
async fn restored_registrar(spool: &Spool, config: RegistrarConfig) -> Registrar {
    let mut registrar = Registrar::new(config);
    let kept = spool.bindings().await.unwrap_or_else(|error| {
        tracing::error!(%error, "the registrations of an earlier run cannot be read");
        Vec::new()
    });
    let now = clock::now();
    for (aor, value) in kept {
        if let Ok(bindings) = serde_json::from_value::<Vec<BindingSnapshot>>(value) {
            registrar.restore(now, &aor, &bindings);
        }
    }
    registrar
}

fn start_media(settings: &Settings, key: Key, switch: &SwitchHandle) -> anyhow::Result<MediaPool> {
    let recordings = settings.recording.enabled.then(|| RecordingConfig::new(&settings.recording.dir, key));
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let threads = match settings.media.threads {
        0 => cores,
        threads => threads,
    };
    let config = MediaConfig {
        ports: settings.media.ports.clone(),
        threads,
        pin: settings.media.pin,
        recordings,
        ..MediaConfig::new(settings.media.address)
    };
    let events = switch.clone();
    let sink = Arc::new(move |event| {
        // Counted where the mailbox is full; announcements have deadlines, silence is told again.
        let _ = events.try_input(Input::Media(event));
    });
    MediaPool::new(config, sink).context("the media threads cannot be started")
}

fn start_sms(app: &Arc<App>, settings: &Settings) {
    let Some(sms) = &settings.sms else { return };
    let session = smpp::Config {
        system_id: sms.system_id.clone(),
        password: sms.password.expose().to_owned(),
        source: sms.source.clone(),
        window: sms.window,
        ..smpp::Config::default()
    };
    let config = GatewayConfig { address: format!("{}:{}", sms.host, sms.port), session, connect_s: 10 };
    let (gateway, events) = SmsGateway::start(config, rand::rng().random());
    let policy = Policy {
        retry_s: retries(sms.first_delay, sms.max_delay),
        max_attempts: sms.max_attempts,
        ..Policy::default()
    };
    let _ = app.sms.set(gateway.clone());
    tokio::spawn(outbox::run(app.clone(), gateway, events, policy));
}

/// Each wait twice as long as the one before, up to the longest.
fn retries(first: Duration, longest: Duration) -> Vec<u64> {
    let (mut wait, longest) = (first.as_secs().max(1), longest.as_secs().max(1));
    let mut waits = Vec::new();
    while wait < longest && waits.len() < 32 {
        waits.push(wait);
        wait *= 2;
    }
    waits.push(longest);
    waits
}

/// The key that seals recordings; made where the settings allow it.
fn recording_key(settings: &Settings) -> anyhow::Result<Key> {
    let path = &settings.recording.key_file;
    if !path.exists() {
        if !settings.recording.create_key {
            bail!(
                "{}: the recordings' key is not there; make one with `openssl rand -hex 32` and keep a copy apart",
                path.display()
            );
        }
        write_key(path)?;
    }
    read_recording_key(path)
}

/// The key that is in a file.
pub(super) fn read_recording_key(path: &Path) -> anyhow::Result<Key> {
    let text = fs::read_to_string(path).with_context(|| path.display().to_string())?;
    let bytes: [u8; 32] = hex::decode(text.trim())
        .ok()
        .and_then(|bytes| bytes.try_into().ok())
        .with_context(|| format!("{}: a key is 64 hexadecimal digits", path.display()))?;
    Ok(Key { id: 1, bytes })
}

fn write_key(path: &Path) -> anyhow::Result<()> {
    use std::{io::Write, os::unix::fs::OpenOptionsExt};
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(hex::encode(rand::rng().random::<[u8; 32]>()).as_bytes())?;
    Ok(file.sync_all()?)
}

fn load_clips(assets: &crate::config::Assets) -> anyhow::Result<Clips> {
    let mut clips = Clips::new();
    for name in assets.clip_names() {
        let bytes = assets.read(&format!("ivr-flows/{name}")).with_context(|| name.clone())?;
        let clip = Clip::from_wav(name.clone(), Cursor::new(bytes)).with_context(|| name.clone())?;
        clips.insert(name, Arc::new(clip));
    }
    clips.insert(RING_BACK.to_owned(), Arc::new(Clip::ring_back()));
    Ok(clips)
}

fn listeners(profiles: &[crate::config::Profile], transport: Transport) -> Vec<SocketAddr> {
    let all = profiles.iter().flat_map(|profile| &profile.listen);
    all.filter(|listener| listener.transport == transport).map(|listener| listener.address).collect()
}

/// The address that callees see of a profile.
fn contact(settings: &Settings, profile: &crate::config::Profile) -> Option<SocketAddr> {
    let datagrams = profile.listen.iter().find(|listener| listener.transport == Transport::Udp);
    let first = datagrams.or(profile.listen.first())?.address;
    Some(SocketAddr::new(settings.sip.external_address.unwrap_or(first.ip()), first.port()))
}

fn endpoint_config(settings: &Settings, profiles: &[crate::config::Profile]) -> EndpointConfig {
    let mut config = EndpointConfig::default();
    if let Some(external) = settings.sip.external_address {
        for listener in profiles.iter().flat_map(|profile| &profile.listen) {
            let seen = SocketAddr::new(external, listener.address.port());
            config
                .advertised
                .insert(listener.address, HostPort { host: seen.ip().to_string(), port: Some(seen.port()) });
        }
    }
    config
}

/// What the agents' profile lets register.
fn registrar_config(profiles: &[crate::config::Profile]) -> RegistrarConfig {
    let plain = RegistrarConfig::default();
    let Some(agents) = profiles.iter().find(|profile| profile.kind == ProfileKind::Agents) else { return plain };
    let seconds = |time: Duration| u32::try_from(time.as_secs()).unwrap_or(u32::MAX);
    let (min_expires, max_expires) = (seconds(agents.limits.min_expires), seconds(agents.limits.max_expires));
    RegistrarConfig {
        min_expires,
        max_expires,
        default_expires: plain.default_expires.min(max_expires).max(min_expires),
        max_addresses: agents.limits.max_registrations,
        ..plain
    }
}

fn algorithms(profiles: &[crate::config::Profile]) -> Vec<Algorithm> {
    let agents = profiles.iter().find(|profile| profile.kind == ProfileKind::Agents && profile.auth == Auth::Digest);
    let offered = agents.map(|profile| profile.algorithms.clone()).unwrap_or_else(|| vec![DigestAlgorithm::Sha256]);
    let algorithm = |offered: &DigestAlgorithm| match offered {
        DigestAlgorithm::Sha256 => Algorithm::Sha256,
        DigestAlgorithm::Md5 => Algorithm::Md5,
    };
    offered.iter().map(algorithm).collect()
}

fn switch_config(
    settings: &Settings,
    profiles: &[crate::config::Profile],
    flows: &BTreeMap<String, Arc<crate::ivr::Flow>>,
    clips: Arc<Clips>,
    hotlines: HashMap<HotlineNo, HotlineEntry>,
) -> anyhow::Result<Config> {
    let agents = profiles.iter().find(|profile| profile.kind == ProfileKind::Agents);
    let realm = agents.map(|profile| profile.realm.clone()).unwrap_or_else(|| "hotline".to_owned());
    let secrets = |agent: &settings::AgentSettings| {
        let user = agent.extension.as_str().to_owned();
        (user.clone(), ha1(&user, &realm, agent.password.expose()))
    };
    let credentials: HashMap<String, Ha1Set> = settings.agents.iter().map(secrets).collect();
    let profile = |profile: &crate::config::Profile| {
        let to = |number: &crate::config::NumberRoute| route_to(&number.target, flows);
        let routes = profile.numbers.iter().map(to).collect::<anyhow::Result<Vec<_>>>()?;
        anyhow::Ok(contact(settings, profile).map(|contact| Profile { settings: profile.clone(), routes, contact }))
    };
    let profiles = profiles.iter().map(profile).collect::<anyhow::Result<Vec<_>>>()?.into_iter().flatten().collect();
    let networks: Vec<IpNet> =
        settings.media.allowed.networks.iter().filter_map(|network| network.to_string().parse().ok()).collect();
    let call = CallSettings {
        clips,
        department_ring: settings.sip.department_ring,
        learn: LearnPolicy::AllowedNets(networks.into()),
        hours: Arc::new(settings.calendars.clone()),
        queues: settings.queues.iter().map(queue_sound).collect(),
        ..CallSettings::default()
    };
    Ok(Config {
        profiles,
        credentials,
        hotlines,
        seats: settings.agents.iter().filter(|agent| agent.sign_in_on_register).map(switch_seat).collect(),
        realm,
        own_addresses: own_addresses(),
        call: Arc::new(call),
    })
}

fn switch_seat(agent: &settings::AgentSettings) -> (crate::ids::Extension, switch::Seat) {
    let skills = agent.skills.iter().map(|(skill, level)| (skill.clone(), *level)).collect();
    let seat = switch::Seat { agent: agent.number.clone(), skills, ready: agent.ready_on_register };
    (agent.extension.clone(), seat)
}

fn route_to(target: &Target, flows: &BTreeMap<String, Arc<crate::ivr::Flow>>) -> anyhow::Result<RouteTo> {
    Ok(match target {
        Target::Flow(name) => RouteTo::Flow(flows.get(name).with_context(|| format!("no flow named {name}"))?.clone()),
        Target::Queue(queue) => RouteTo::Queue(queue.clone()),
        Target::Hold => RouteTo::Hold,
        Target::PlayLoop(clip) => RouteTo::PlayLoop(clip.clone()),
        Target::Bridge { to, recorded } => RouteTo::Bridge { uri: to.clone(), recorded: *recorded },
        Target::Room => RouteTo::Room,
    })
}

fn queue_sound(queue: &QueueSettings) -> (QueueName, QueueSound) {
    (queue.name.clone(), QueueSound { music: queue.music.clone(), says_position: queue.announce_position })
}

/// A queue of the settings as the ACD takes it.
pub fn queue_config(queue: &QueueSettings) -> acd::config::QueueConfig {
    use acd::config::{Staffing, Strategy};
    let strategy = match queue.strategy {
        settings::Strategy::LongestIdle => Strategy::LongestIdle,
        settings::Strategy::RoundRobin => Strategy::RoundRobin,
        settings::Strategy::LeastCalls => Strategy::LeastCalls,
        settings::Strategy::LeastTalkTime => Strategy::LeastTalkTime,
        settings::Strategy::TopDown => Strategy::TopDown,
        settings::Strategy::Random => Strategy::Random,
    };
    let staffing = |staffing| match staffing {
        settings::Staffing::Nobody => Staffing::Nobody,
        settings::Staffing::SignedIn => Staffing::SignedIn,
        settings::Staffing::Ready => Staffing::Ready,
    };
    acd::config::QueueConfig {
        strategy,
        skills: queue.skills.clone(),
        level: queue.level,
        widen_after: queue.widen_after,
        weight: queue.weight,
        max_len: queue.max_len,
        max_wait: queue.max_wait,
        dissuade_when: queue.dissuade_when,
        join_empty: staffing(queue.join_empty),
        leave_empty: staffing(queue.leave_empty),
        ring_timeout: queue.ring_timeout,
        retry_delay: queue.retry_delay,
        max_no_answer: queue.max_no_answer,
        wrap_up: queue.wrap_up,
        service_level: queue.service_level,
        announce_position: queue.announce_position,
        announce_wait: queue.announce_wait,
        announce_every: queue.announce_every,
        ..acd::config::QueueConfig::new(queue.name.clone())
    }
}

fn agent_seats(settings: &Settings) -> HashMap<AgentNo, AgentSeat> {
    let seat = |agent: &settings::AgentSettings| {
        let skills = agent.skills.iter().map(|(skill, level)| (skill.clone(), *level)).collect();
        (agent.number.clone(), AgentSeat { extension: agent.extension.clone(), skills })
    };
    settings.agents.iter().map(seat).collect()
}

/// What a three-way call to each hotline leads to: the table's rows, and over them what the settings say.
fn hotline_directory(settings: &Settings, rows: Vec<HotlineRow>) -> HashMap<HotlineNo, HotlineEntry> {
    let at = |number: &HotlineNo| settings.sip.departments.map(|host| format!("sip:{number}@{host}"));
    // A calendar that the settings do not know is not kept to: it was another configuration's.
    let known = |row: &HotlineRow| {
        let name = row.detail.get("calendar").and_then(|name| name.as_str())?;
        settings.calendars.calendars.contains_key(name).then(|| name.to_owned())
    };
    let entry = |mode: &str, active: bool, name: &str, uri: Option<String>, calendar: Option<String>| {
        let target = match (mode, uri) {
            ("merged", _) => Err(HotlineRefusal::Merged),
            ("separate", _) => Err(HotlineRefusal::Separate),
            (_, Some(uri)) if active => Ok(HotlineTarget { name: name.to_owned(), uri }),
            _ => Err(HotlineRefusal::Unknown),
        };
        HotlineEntry { target, calendar }
    };
    let mut directory: HashMap<HotlineNo, HotlineEntry> = rows
        .iter()
        .map(|row| (row.number.clone(), entry(&row.mode, row.active, &row.name, at(&row.number), known(row))))
        .collect();
    for hotline in &settings.hotlines {
        let mode = match hotline.mode {
            settings::HotlineMode::Merged => "merged",
            settings::HotlineMode::DualTrack => "dual_track",
            settings::HotlineMode::Separate => "separate",
        };
        let uri = hotline.route.clone().or_else(|| at(&hotline.number));
        directory.insert(hotline.number.clone(), entry(mode, true, &hotline.name, uri, hotline.calendar.clone()));
    }
    directory
}

/// This host's own addresses.
fn own_addresses() -> Vec<IpAddr> {
    let mut found = vec![IpAddr::from([127, 0, 0, 1])];
    let mut list: *mut libc::ifaddrs = std::ptr::null_mut();
    // SAFETY: getifaddrs fills the list, which is read here and freed once; addresses are read by their family.
    unsafe {
        if libc::getifaddrs(&mut list) != 0 {
            return found;
        }
        let mut at = list;
        while let Some(entry) = at.as_ref() {
            if let Some(address) = entry.ifa_addr.as_ref() {
                match i32::from(address.sa_family) {
                    libc::AF_INET => {
                        let v4 = &*entry.ifa_addr.cast::<libc::sockaddr_in>();
                        found.push(IpAddr::from(v4.sin_addr.s_addr.to_ne_bytes()));
                    }
                    libc::AF_INET6 => {
                        let v6 = &*entry.ifa_addr.cast::<libc::sockaddr_in6>();
                        found.push(IpAddr::from(v6.sin6_addr.s6_addr));
                    }
                    _ => {}
                }
            }
            at = entry.ifa_next;
        }
        libc::freeifaddrs(list);
    }
    found
}
