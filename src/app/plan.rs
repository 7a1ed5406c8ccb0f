//! From settings to what the switch and its machines take.

use super::{
    AgentSeat,
    certificates::Certificates,
    staff::StaffAgent,
    switch::{self, Change, Config, HotlineEntry, Profile, RouteTo},
    switch_task::{Addresses, Listen},
};
use crate::{
    acd::{self, reconfigure::Rostered},
    call::{
        message::{Clips, HotlineRefusal, HotlineTarget, QueueSound, Settings as CallSettings},
        topology::RING_BACK,
    },
    config::{Auth, Configuration, DigestAlgorithm, ProfileKind, QueueSettings, Settings, Target, Transport, settings},
    ids::{AgentNo, Extension, HotlineNo, QueueName},
    media::{
        clip::Clip,
        engine::{IpNet, LearnPolicy},
    },
    net::sip,
    sip::{
        auth::{Algorithm, Ha1Set, ha1},
        endpoint::HostPort,
        registrar::RegistrarConfig,
    },
    store::{HotlineRow, OnRegister},
};
use anyhow::Context;
use std::{
    collections::{BTreeMap, HashMap},
    io::Cursor,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};
use tokio::runtime::Handle;

/// What a configuration came to.
pub struct Planned {
    /// What the switch takes, without the database's agents.
    pub change: Change,
    /// Where SIP listens.
    pub addresses: Addresses,
}

/// The digest's realm of the agents' telephones.
pub(super) fn realm(profiles: &[crate::config::Profile]) -> String {
    let agents = profiles.iter().find(|profile| profile.kind == ProfileKind::Agents);
    agents.map(|profile| profile.realm.clone()).unwrap_or_else(|| "hotline".to_owned())
}

/// A change with the database's agents added.
pub(super) fn with_staff(mut change: Change, staff: &[StaffAgent]) -> Change {
    let config = Arc::make_mut(&mut change.config);
    for StaffAgent { number, seat, secret } in staff {
        let own = Rostered { extension: seat.extension.clone(), skills: seat.skills.clone() };
        change.roster.insert(number.clone(), own);
        if let Some(secret) = secret {
            config.credentials.insert(seat.extension.as_str().to_owned(), secret.clone());
        }
        if seat.on_register != OnRegister::Nothing {
            let (skills, ready) = (levels(&seat.skills), seat.on_register == OnRegister::Ready);
            config.seats.insert(seat.extension.clone(), switch::Seat { agent: number.clone(), skills, ready });
        }
    }
    change
}

fn levels(skills: &BTreeMap<String, u8>) -> Vec<(String, u8)> {
    skills.iter().map(|(skill, level)| (skill.clone(), *level)).collect()
}

/// Everything that the switch takes of a configuration.
///
/// # Errors
/// A clip that cannot be read, or a route to a flow that is not there.
pub(super) fn change(configuration: &Configuration, hotlines: Vec<HotlineRow>) -> anyhow::Result<Change> {
    let Configuration { settings, assets, profiles, flows, .. } = configuration;
    let clips = Arc::new(load_clips(assets)?);
    let hotlines = hotline_directory(settings, hotlines);
    Ok(Change {
        config: Arc::new(switch_config(settings, profiles, flows, clips, hotlines)?),
        queues: settings.queues.iter().map(queue_config).collect(),
        roster: settings.agents.iter().map(rostered).collect(),
        registrar: registrar_config(profiles),
        algorithms: algorithms(profiles),
        advertised: advertised(settings, profiles),
    })
}

/// Where SIP listens by these profiles, with what is shown there.
pub(super) fn listen(profiles: &[crate::config::Profile], certificates: &Certificates, runtime: &Handle) -> Listen {
    let (tcp, tls) = (listeners(profiles, Transport::Tcp), certificates.listeners(profiles));
    let streams = sip::Listen { tcp, tls, runtime: runtime.clone() };
    Listen { udp: listeners(profiles, Transport::Udp), streams }
}

fn rostered(agent: &settings::AgentSettings) -> (AgentNo, Rostered) {
    (agent.number.clone(), Rostered { extension: agent.extension.clone(), skills: agent.skills.clone() })
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

/// What our addresses are called from outside.
fn advertised(settings: &Settings, profiles: &[crate::config::Profile]) -> HashMap<SocketAddr, HostPort> {
    let Some(external) = settings.sip.external_address else { return HashMap::new() };
    let listeners = profiles.iter().flat_map(|profile| &profile.listen);
    let seen = |address: SocketAddr| HostPort { host: external.to_string(), port: Some(address.port()) };
    listeners.map(|listener| (listener.address, seen(listener.address))).collect()
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
    let realm = realm(profiles);
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
    let skills = levels(&agent.skills);
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

pub(super) fn agent_seats(settings: &Settings, staff: &[StaffAgent]) -> HashMap<AgentNo, AgentSeat> {
    let written = settings.agents.iter().map(|agent| (&agent.number, &agent.extension, &agent.skills));
    let kept = staff.iter().map(|agent| (&agent.number, &agent.seat.extension, &agent.seat.skills));
    let seat = |(number, extension, skills): (&AgentNo, &Extension, _)| {
        (number.clone(), AgentSeat { extension: extension.clone(), skills: levels(skills) })
    };
    written.chain(kept).map(seat).collect()
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
