//! The sandbox: what the program runs with when it is given no configuration.

use super::{
    calendar::{Calendar, Calendars},
    certificate::TlsFiles,
    network::Acl,
    secret::Secret,
    settings::*,
};
use crate::{ivr::Place, sms::template::Templates, ticket::Role};
use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::Path,
    time::Duration,
};

const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

impl Settings {
    /// The sandbox's settings: loopback alone, agents 8001–8020, supervisors 9001–9003, passwords `sandbox-<name>`.
    ///
    /// Its profiles are the embedded ones, its units and further hotlines the sample city's.
    pub fn sandbox(data_dir: &Path) -> Settings {
        let zone = jiff::tz::TimeZone::get("Asia/Shanghai").unwrap_or(jiff::tz::TimeZone::UTC);
        let database = format!("sqlite:{}", data_dir.join("hotline.db").display());
        let mut agents: Vec<_> = (8001..=8020).map(|number| agent(number, false)).collect();
        agents.extend((9001..=9003).map(|number| agent(number, true)));
        Settings {
            file: "(sandbox)".into(),
            sandbox: true,
            time_zone: "Asia/Shanghai".into(),
            node: 0,
            data_dir: data_dir.into(),
            database_url: Secret::new(database),
            http: HttpSettings { listen: vec![SocketAddr::new(LOOPBACK, 8080)] },
            sip: SipSettings {
                external_address: None,
                department_ring: Duration::from_secs(25),
                departments: Some(SocketAddr::new(LOOPBACK, 5080)),
            },
            tls: Some(TlsFiles::sandbox(data_dir)),
            media: MediaSettings {
                address: LOOPBACK,
                ports: 20_000..=29_999,
                threads: 0,
                pin: false,
                allowed: Acl { networks: "127.0.0.0/8".parse().into_iter().collect(), local: true },
            },
            recording: RecordingSettings {
                enabled: true,
                dir: data_dir.join("recordings"),
                key_file: data_dir.join("keys/recording.key"),
                create_key: true,
            },
            queues: vec![general(), english(), lane()],
            agents,
            users: [Role::Admin, Role::Dispatcher, Role::Auditor].into_iter().map(user).collect(),
            hotlines: hotlines(),
            calendars: Calendars { zone, calendars: BTreeMap::from([("office".to_string(), office())]) },
            ticket_calendar: "office".into(),
            sms: Some(sms()),
            api: ApiSettings { session_length: Duration::from_secs(12 * 3600), max_rate: 200 },
            callbacks: CallbackSettings::default(),
            alarms: AlarmSettings::default(),
            log: LogSettings { filter: "info".into(), json: false },
            profiles: Vec::new(),
        }
    }
}

fn agent(number: u32, supervisor: bool) -> AgentSettings {
    let number = number.to_string();
    AgentSettings {
        name: number.clone(),
        place: Place::default(),
        extension: number.as_str().into(),
        password: Secret::new(format!("sandbox-{number}")),
        supervisor,
        skills: skills(&number),
        // A softphone that registers is all that is needed to take a call; supervisors take none.
        sign_in_on_register: !supervisor,
        ready_on_register: !supervisor,
        number: number.into(),
    }
}

/// Who speaks English, and who serves 12388 alone; the sample city's table says how well.
fn skills(number: &str) -> BTreeMap<String, u8> {
    let names: &[&str] = match number {
        "8003" | "8012" | "8017" => &["mandarin", "english"],
        "8020" => &[LANE],
        _ => &["mandarin"],
    };
    names.iter().map(|name| ((*name).to_owned(), 5)).collect()
}

fn user(role: Role) -> UserSettings {
    let name = role.name();
    UserSettings { name: name.into(), role, password: Secret::new(format!("sandbox-{name}")), unit: None }
}

fn general() -> QueueSettings {
    QueueSettings {
        announce_position: true,
        announce_wait: true,
        announce_every: Some(Duration::from_secs(30)),
        wrap_up: Duration::from_secs(10),
        skills: vec!["mandarin".to_owned()],
        ..QueueSettings::new("general")
    }
}

/// For callers who chose English: the flow sends on who finds nobody there, or waits too long.
fn english() -> QueueSettings {
    QueueSettings {
        announce_position: true,
        announce_every: Some(Duration::from_secs(15)),
        wrap_up: Duration::from_secs(10),
        skills: vec!["english".to_owned()],
        level: 6,
        widen_after: Some(Duration::from_secs(5)),
        join_empty: Staffing::Ready,
        leave_empty: Staffing::Ready,
        ..QueueSettings::new("english")
    }
}

/// The queue of 12388 and the skill of its agents: a lane of its own.
const LANE: &str = "lane_12388";

fn lane() -> QueueSettings {
    QueueSettings {
        wrap_up: Duration::from_secs(10),
        skills: vec![LANE.to_owned()],
        private: true,
        ..QueueSettings::new(LANE)
    }
}

/// The three departments that have a voice of their own; no real number is ever dialled.
fn hotlines() -> Vec<HotlineSettings> {
    let hotline = |number: &str, name: &str, mode| HotlineSettings {
        number: number.into(),
        place: Place::default(),
        name: name.into(),
        mode,
        route: None,
        calendar: None,
    };
    vec![
        hotline("12315", "消费投诉举报热线", HotlineMode::DualTrack),
        hotline("12330", "知识产权维权热线", HotlineMode::DualTrack),
        hotline("12333", "人力资源和社会保障热线", HotlineMode::DualTrack),
    ]
}

/// Invented hours.
fn office() -> Calendar {
    let mut office = Calendar::default();
    let _ = office.add("mon-fri 08:30-12:00");
    let _ = office.add("mon-fri 14:00-17:30");
    office
}

fn sms() -> SmsSettings {
    SmsSettings {
        host: LOOPBACK.to_string(),
        port: 2775,
        system_id: "hotline".into(),
        password: Secret::new("sandbox"),
        source: "106312345".into(),
        window: 10,
        max_attempts: 8,
        first_delay: Duration::from_secs(2),
        max_delay: Duration::from_secs(60),
        templates: Templates::default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accounts_and_addresses_are_those_that_are_printed() {
        let settings = Settings::sandbox(Path::new("data"));
        assert_eq!(settings.agents.len(), 23);
        assert_eq!(settings.agents[0].password.expose(), "sandbox-8001");
        assert!(settings.agents[22].supervisor && settings.agents[22].number.as_str() == "9003");
        assert_eq!(settings.users[1].password.expose(), "sandbox-dispatcher");
        assert_eq!(settings.http.listen, ["127.0.0.1:8080".parse().unwrap()]);
        assert_eq!(settings.media.ports, 20_000..=29_999);
        assert_eq!(settings.sms.as_ref().map(|sms| sms.port), Some(2775));
        assert_eq!(settings.database_url.expose(), "sqlite:data/hotline.db");
    }
}
