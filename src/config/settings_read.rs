//! `hotline.toml` read section by section, every fault with its line.

use super::{calendar::*, certificate::TlsFiles, profile, profile::read_acl, secret::Secret, settings::*};
use crate::{
    ivr::{
        Fault,
        document::{self, Located, Table},
        fault::nearest,
    },
    sms::template::{Purpose, Templates},
    ticket::Role,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    path::Path,
    time::Duration,
};

const SECOND: Duration = Duration::from_secs(1);
const DAY: Duration = Duration::from_secs(86_400);
/// Agents of one configuration, at most.
const MAX_AGENTS: u64 = 20_000;

impl Settings {
    /// Reads settings; relative paths are taken from `base`, the configuration's folder. Errors with every fault in
    /// them, each with its line.
    pub fn parse(text: &str, file: &str, base: &Path) -> Result<Settings, Vec<Fault>> {
        document::read(text, file, |root| Reader { file, base }.settings(root))
    }
}

struct Reader<'a> {
    file: &'a str,
    base: &'a Path,
}

impl Reader<'_> {
    fn settings(&self, root: &Table<'_>) -> Settings {
        let data_dir = self.base.join(root.text("data").unwrap_or_else(|| "data".into()));
        let mut settings = Settings::sandbox(&data_dir);
        settings.file = self.file.to_string();
        settings.sandbox = root.flag("sandbox").unwrap_or(false);
        settings.node = root.integer("node", 0..=1023).unwrap_or(0) as u16;
        settings.time_zone = root.text("time_zone").unwrap_or_else(|| "Asia/Shanghai".into());
        settings.calendars = self.calendars(root, &settings.time_zone);
        match root.text("ticket_calendar") {
            Some(name) if !settings.calendars.calendars.contains_key(&name) => {
                root.fault("ticket_calendar", format!("there is no calendar \"{name}\""), "add it as [[calendar]]");
            }
            Some(name) => settings.ticket_calendar = name,
            None => {}
        }
        self.plain_sections(root, &mut settings);
        let own = root.table("tls").map(|table| TlsFiles::read(&table, self.base));
        let sandbox = settings.sandbox.then(|| TlsFiles::sandbox(&data_dir));
        settings.tls = own.unwrap_or(sandbox);
        settings.recording = self.recording(root.table("recording").as_ref(), &data_dir, settings.sandbox);
        settings.agents = root.tables("agent").iter().flat_map(|table| self.agents(table)).collect();
        settings.sms = root.table("sms").and_then(|table| self.sms(&table));
        // Each list is taken once: a table reports its unknown keys when it is dropped.
        let (queues, users) = (root.tables("queue"), root.tables("user"));
        let (hotlines, profiles) = (root.tables("hotline"), root.tables("profile"));
        settings.queues = queues.iter().filter_map(queue).collect();
        settings.users = users.iter().filter_map(|table| self.user(table)).collect();
        settings.hotlines = hotlines.iter().filter_map(hotline).collect();
        settings.profiles = profiles.iter().filter_map(|table| profile::read(table, self.file)).collect();
        for (kind, key, tables) in [
            ("queue", "name", &queues),
            ("user", "name", &users),
            ("hotline", "number", &hotlines),
            ("profile", "name", &profiles),
        ] {
            twice(root, kind, tables.iter().map(|table| named(table, key)));
        }
        let mut numbers = BTreeSet::new();
        for agent in settings.agents.iter().filter(|agent| !numbers.insert(agent.number.clone())) {
            root.fault("agent", format!("agent {} is there twice", agent.number), "remove one of them");
        }
        settings
    }

    fn plain_sections(&self, root: &Table<'_>, settings: &mut Settings) {
        if let Some(table) = root.table("database") {
            if table.value("url").is_none() {
                table.missing("url", "write url = \"sqlite:data/hotline.db\" or \"postgres://…\"");
            }
            if let Some(url) = self.secret(&table, "url") {
                if !["sqlite:", "postgres://", "postgresql://"].iter().any(|known| url.expose().starts_with(known)) {
                    table.fault(
                        "url",
                        "the database's URL is of no known kind",
                        "begin it with sqlite: or postgres://",
                    );
                }
                settings.database_url = url;
            }
        }
        if let Some(table) = root.table("http") {
            settings.http.listen = addresses(&table, "listen");
        }
        if let Some(table) = root.table("sip") {
            settings.sip.external_address = table.parsed("external_address", "an IP address", |text| text.parse().ok());
            let ring = table.duration("department_ring", SECOND..=SECOND * 300);
            settings.sip.department_ring = ring.unwrap_or(settings.sip.department_ring);
            let departments = table.parsed("departments", "an address like 127.0.0.1:5080", |t| t.parse().ok());
            settings.sip.departments = departments;
        } else {
            settings.sip.departments = None;
        }
        if let Some(table) = root.table("media") {
            media(&table, &mut settings.media);
        }
        if let Some(table) = root.table("api") {
            let length = table.duration("session_length", SECOND * 60..=DAY * 30);
            settings.api.session_length = length.unwrap_or(settings.api.session_length);
            settings.api.max_rate =
                table.integer("max_rate", 1..=1_000_000).map_or(settings.api.max_rate, |n| n as u32);
        }
        if let Some(table) = root.table("callback") {
            settings.callbacks = callbacks(&table);
        }
        if let Some(table) = root.table("log") {
            settings.log.filter = table.text("filter").unwrap_or_else(|| settings.log.filter.clone());
            settings.log.json = table.flag("json").unwrap_or(false);
        }
        if let Some(table) = root.table("alarms") {
            alarms(&table, &mut settings.alarms);
        }
    }

    fn secret(&self, table: &Table<'_>, key: &'static str) -> Option<Secret> {
        let written = table.text(key)?;
        match Secret::resolve(&written, self.base) {
            Ok(secret) => Some(secret),
            Err(error) => {
                table.fault(key, format!("`{key}`: {error}"), "set it, or write another env:NAME or file:PATH");
                None
            }
        }
    }

    fn required_secret(&self, table: &Table<'_>, key: &'static str) -> Option<Secret> {
        if table.value(key).is_none() {
            table.missing(key, &format!("write {key} = \"env:NAME\" or \"file:PATH\""));
        }
        self.secret(table, key)
    }

    fn recording(&self, table: Option<&Table<'_>>, data_dir: &Path, sandbox: bool) -> RecordingSettings {
        let path = |key, default: &str| match table.and_then(|table| table.text(key)) {
            Some(path) => self.base.join(path),
            None => data_dir.join(default),
        };
        RecordingSettings {
            enabled: table.and_then(|table| table.flag("enabled")).unwrap_or(true),
            dir: path("dir", "recordings"),
            key_file: path("key_file", "keys/recording.key"),
            create_key: table.and_then(|table| table.flag("create_key")).unwrap_or(sandbox),
        }
    }

    fn calendars(&self, root: &Table<'_>, zone: &str) -> Calendars {
        let zone = jiff::tz::TimeZone::get(zone).unwrap_or_else(|_| {
            root.fault("time_zone", format!("there is no time zone \"{zone}\""), "write \"Asia/Shanghai\"");
            jiff::tz::TimeZone::UTC
        });
        let mut calendars = BTreeMap::new();
        for table in root.tables("calendar") {
            let mut calendar = Calendar::default();
            for text in table.texts("open") {
                if calendar.add(&text.value).is_none() {
                    let what = format!("\"{}\" are no opening hours", text.value);
                    table.fault_at(text.place, what, "write \"mon-fri 08:30-12:00\" or \"daily 00:00-24:00\"");
                }
            }
            for (key, days) in [("holidays", &mut calendar.holidays), ("workdays", &mut calendar.workdays)] {
                for text in table.texts(key) {
                    match text.value.parse() {
                        Ok(date) => {
                            days.insert(date);
                        }
                        Err(_) => {
                            table.fault_at(text.place, format!("\"{}\" is no date", text.value), "write \"2026-10-01\"")
                        }
                    }
                }
            }
            if let Some(name) = table.required_text("name", "write name = \"office\"") {
                calendars.insert(name, calendar);
            }
        }
        Calendars { zone, calendars }
    }

    /// One `[[agent]]`: a single number or a range such as `8001-8020`.
    fn agents(&self, table: &Table<'_>) -> Vec<AgentSettings> {
        let form = "an agent number such as 8001, or a range such as 8001-8020";
        if table.value("number").is_none() {
            table.missing("number", &format!("write {form}"));
        }
        let numbers =
            table.parsed("number", form, |text| text.parse::<super::NumberPattern>().ok()?.expand(MAX_AGENTS));
        let password = self.required_secret(table, "password");
        let name = table.text("name").unwrap_or_else(|| "{number}".into());
        let extension = table.text("extension").unwrap_or_else(|| "{number}".into());
        let supervisor = table.flag("supervisor").unwrap_or(false);
        let ready_on_register = table.flag("ready_on_register").unwrap_or(false);
        let sign_in_on_register = table.flag("sign_in_on_register").unwrap_or(ready_on_register);
        let skills = skills(table);
        if ready_on_register && !sign_in_on_register {
            table.fault("ready_on_register", "who is not signed in cannot be ready", "leave sign_in_on_register out");
        }
        let (Some(numbers), Some(password)) = (numbers, password) else { return Vec::new() };
        if numbers.len() > 1 && extension == extension.replace("{number}", "") {
            table.fault("extension", "all agents of the range share one extension", "write \"{number}\" into it");
        }
        if numbers.len() > 1 && !password.expose().contains("{number}") {
            table.fault("password", "all agents of the range share one password", "write \"{number}\" into it");
        }
        let filled = |text: &str, number: &str| text.replace("{number}", number);
        let place = table.place_of("number");
        let agent = |number: String| AgentSettings {
            place,
            name: filled(&name, &number),
            extension: filled(&extension, &number).into(),
            password: Secret::new(filled(password.expose(), &number)),
            supervisor,
            skills: skills.clone(),
            sign_in_on_register,
            ready_on_register,
            number: number.into(),
        };
        numbers.into_iter().map(agent).collect()
    }

    fn user(&self, table: &Table<'_>) -> Option<UserSettings> {
        let name = table.required_text("name", "write name = \"admin\", for example");
        let people = Role::ALL.into_iter().filter(|role| *role != Role::System);
        let roles: Vec<(&str, Role)> = people.map(|role| (role.name(), role)).collect();
        if table.value("role").is_none() {
            table.missing("role", "write role = \"dispatcher\", for example");
        }
        let role = table.choice("role", &roles);
        let password = self.required_secret(table, "password");
        let unit = table.text("unit");
        if matches!(role, Some(Role::UnitClerk | Role::UnitHead)) && unit.is_none() {
            table.missing("unit", "write the unit's code");
        }
        Some(UserSettings { name: name?.into(), role: role?, password: password?, unit })
    }

    fn sms(&self, table: &Table<'_>) -> Option<SmsSettings> {
        let host = table.required_text("host", "write host = \"sms.example.cn\"");
        let port = table.integer("port", 1..=65_535).unwrap_or(2775) as u16;
        let system_id = table.required_text("system_id", "write the account that the gateway gave");
        let password = self.required_secret(table, "password");
        let source = table.required_text("source", "write the access number, such as \"106312345\"");
        for (key, value, longest) in [
            ("system_id", system_id.as_deref(), 15),
            ("password", password.as_ref().map(Secret::expose), 8),
            ("source", source.as_deref(), 20),
        ] {
            if value.is_some_and(|value| value.len() > longest) {
                table.fault(key, format!("`{key}` is too long for SMPP"), format!("use {longest} characters at most"));
            }
        }
        let templates = templates(table);
        let retry = table.table("retry");
        let time = |key, default: u64| {
            retry.as_ref().and_then(|retry| retry.duration(key, SECOND..=DAY)).unwrap_or(SECOND * default as u32)
        };
        let attempts = retry.as_ref().and_then(|retry| retry.integer("max_attempts", 1..=100));
        let window = table.integer("window", 1..=1000).unwrap_or(10) as usize;
        let (first_delay, max_delay) = (time("first_delay", 5), time("max_delay", 600));
        let max_attempts = attempts.unwrap_or(8) as u32;
        Some(SmsSettings {
            host: host?,
            port,
            system_id: system_id?,
            password: password?,
            source: source?,
            window,
            max_attempts,
            first_delay,
            max_delay,
            templates,
        })
    }
}

/// The texts of `[sms.templates]`, over those that are built in; each is tried as soon as it is read.
fn templates(table: &Table<'_>) -> Templates {
    let mut templates = Templates::default();
    if let Some(signature) = table.text("signature") {
        templates.signature = signature;
        for fault in templates.validate() {
            table.fault("signature", fault.to_string(), "write signature = \"【12345热线】\"");
        }
    }
    let Some(table) = table.table("templates") else { return templates };
    for (name, value) in table.all() {
        let Some(text) = value.text() else { continue };
        let Ok(purpose) = name.value.parse::<Purpose>() else {
            let known = Purpose::ALL.map(Purpose::as_str);
            let fix = match nearest(&name.value, known) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("use one of: {}", known.join(", ")),
            };
            table.fault_at(name.place, format!("no message is sent for `{}`", name.value), fix);
            continue;
        };
        let one = Templates { texts: [(purpose, text.to_owned())].into(), ..Templates::default() };
        for fault in one.validate() {
            table.fault_at(name.place, fault.to_string(), "see the built-in text for its places");
        }
        templates.texts.insert(purpose, text.to_owned());
    }
    templates
}

fn named(table: &Table<'_>, key: &'static str) -> Option<Located<String>> {
    let value = table.value(key)?;
    Some(Located { value: value.as_text()?.to_string(), place: value.place() })
}

/// Reports names that are there twice.
fn twice(root: &Table<'_>, kind: &str, names: impl Iterator<Item = Option<Located<String>>>) {
    let mut seen = BTreeSet::new();
    for name in names.flatten() {
        if !seen.insert(name.value.clone()) {
            root.fault_at(name.place, format!("{kind} \"{}\" is there twice", name.value), "remove one of them");
        }
    }
}

fn addresses(table: &Table<'_>, key: &'static str) -> Vec<SocketAddr> {
    let one = |text: Located<String>| match text.value.parse() {
        Ok(address) => Some(address),
        Err(_) => {
            table.fault_at(text.place, format!("\"{}\" is no address", text.value), "write \"127.0.0.1:8080\"");
            None
        }
    };
    table.texts(key).into_iter().filter_map(one).collect()
}

fn alarms(table: &Table<'_>, alarms: &mut AlarmSettings) {
    let read = |key: &'static str, range, plain: u64| table.integer(key, range).map_or(plain, |n| n as u64);
    alarms.certificate_days = read("certificate_days", 1..=365, alarms.certificate_days.into()) as u32;
    alarms.disk_min_free_mb = read("disk_min_free_mb", 1..=1_000_000_000, alarms.disk_min_free_mb);
    alarms.disk_hours = read("disk_hours", 1..=1000, alarms.disk_hours.into()) as u32;
    alarms.clock_offset_ms = read("clock_offset_ms", 1..=3_600_000, alarms.clock_offset_ms.into()) as u32;
}

fn media(table: &Table<'_>, settings: &mut MediaSettings) {
    if let Some(address) = table.parsed("address", "an IP address", |text| text.parse().ok()) {
        settings.address = address;
    }
    let ports = table.parsed("ports", "a range of ports such as 20000-29999", |text| {
        let (first, last) = text.split_once('-')?;
        let (first, last): (u16, u16) = (first.trim().parse().ok()?, last.trim().parse().ok()?);
        (first >= 1024 && last > first && last - first >= 3).then_some(first..=last)
    });
    settings.ports = ports.unwrap_or_else(|| settings.ports.clone());
    settings.threads = table.integer("threads", 0..=256).unwrap_or(0) as usize;
    settings.pin = table.flag("pin").unwrap_or(false);
    if table.value("allowed_networks").is_some() {
        settings.allowed = read_acl(table, "allowed_networks");
    }
}

fn callbacks(table: &Table<'_>) -> CallbackSettings {
    let plain = CallbackSettings::default();
    let hours = table.parsed("hours", "hours of the day such as 08:00-22:00", |text| {
        let (from, to) = text.split_once('-')?;
        let (from, to) = (minute(from.trim())?, minute(to.trim())?);
        (from < to).then_some(from..to)
    });
    CallbackSettings {
        tries: table.integer("tries", 1..=20).map_or(plain.tries, |n| n as u32),
        pause: table.duration("pause", SECOND * 60..=DAY).unwrap_or(plain.pause),
        hold: table.duration("hold", SECOND * 60..=DAY).unwrap_or(plain.hold),
        hours: hours.unwrap_or(plain.hours),
    }
}

fn skills(table: &Table<'_>) -> BTreeMap<String, u8> {
    let Some(table) = table.table("skills") else { return BTreeMap::new() };
    let level = |(name, value): (Located<String>, document::Value<'_>)| Some((name.value, value.integer(1..=9)? as u8));
    table.all().into_iter().filter_map(level).collect()
}

fn queue(table: &Table<'_>) -> Option<QueueSettings> {
    let strategies = [
        ("longest_idle", Strategy::LongestIdle),
        ("round_robin", Strategy::RoundRobin),
        ("least_calls", Strategy::LeastCalls),
        ("least_talk_time", Strategy::LeastTalkTime),
        ("top_down", Strategy::TopDown),
        ("random", Strategy::Random),
    ];
    let staffing = [("nobody", Staffing::Nobody), ("signed_in", Staffing::SignedIn), ("ready", Staffing::Ready)];
    let name = table.required_text("name", "write name = \"general\"");
    let plain = QueueSettings::new("");
    for key in ["exit_keys", "abandoned_resume", "sticky_agent"] {
        if table.value(key).is_some() {
            table.fault(key, format!("`{key}` is not supported yet"), "leave it out");
        }
    }
    let any = Duration::ZERO..=DAY;
    let some = SECOND..=DAY;
    let queue = QueueSettings {
        place: table.place_of("name"),
        strategy: table.choice("strategy", &strategies).unwrap_or_default(),
        skills: table.texts("skills").into_iter().map(|text| text.value).collect(),
        level: table.integer("level", 1..=9).unwrap_or(1) as u8,
        widen_after: table.duration("widen_after", some.clone()),
        weight: table.integer("weight", 0..=999).unwrap_or(0) as u16,
        max_len: table.integer("max_len", 1..=1_000_000).map(|n| n as usize),
        max_wait: table.duration("max_wait", some.clone()),
        dissuade_when: table.duration("dissuade_when", some.clone()),
        join_empty: table.choice("join_empty", &staffing).unwrap_or_default(),
        leave_empty: table.choice("leave_empty", &staffing).unwrap_or_default(),
        ring_timeout: table.duration("ring_timeout", some.clone()).unwrap_or(plain.ring_timeout),
        retry_delay: table.duration("retry_delay", any.clone()).unwrap_or(plain.retry_delay),
        max_no_answer: table.integer("max_no_answer", 0..=100).map_or(plain.max_no_answer, |n| n as u32),
        wrap_up: table.duration("wrap_up", any.clone()).unwrap_or(plain.wrap_up),
        service_level: table.duration("service_level", some.clone()).unwrap_or(plain.service_level),
        announce_position: table.flag("announce_position").unwrap_or(false),
        announce_wait: table.flag("announce_wait").unwrap_or(false),
        announce_every: table.duration("announce_every", SECOND * 5..=DAY),
        music: table.text("music").unwrap_or_else(|| plain.music.clone()),
        private: table.flag("private").unwrap_or(false),
        name: name.clone().unwrap_or_default().into(),
    };
    name.map(|_| queue)
}

fn hotline(table: &Table<'_>) -> Option<HotlineSettings> {
    let modes =
        [("merged", HotlineMode::Merged), ("dual_track", HotlineMode::DualTrack), ("separate", HotlineMode::Separate)];
    let number = table.parsed("number", "a number such as 12330", |text| {
        (!text.is_empty() && text.len() <= 20 && text.bytes().all(|b| b.is_ascii_digit())).then(|| text.to_string())
    });
    if table.value("number").is_none() {
        table.missing("number", "write number = \"12330\"");
    }
    let name = table.required_text("name", "write what it is called");
    let mode = table.choice("mode", &modes).unwrap_or(HotlineMode::DualTrack);
    let form = "a SIP URI such as sip:12330@10.0.0.5";
    let route = table.parsed("route", form, |uri| uri.starts_with("sip:").then(|| uri.to_string()));
    let calendar = table.text("calendar");
    let place = table.place_of("number");
    Some(HotlineSettings { place, number: number?.into(), name: name?, mode, route, calendar })
}
