//! The sandbox's side of the commands: the sample city, the simulated departments and SMS centre, and the demo.
//! The one place that joins the program and its simulated world.

use crate::{Running, fresh_folder, load, raise_open_files, source, start, start_log, start_metrics};
use anyhow::{Context, bail};
use hotline::{
    config::{
        Calendar, Configuration, NumberPattern, NumberRoute, ProfileKind, Secret, Settings, Target, Transport,
        UserSettings,
    },
    ivr::Place,
    sandbox::{
        demo::{self, DemoConfig, SmsCentre, StepName},
        departments::{Clips, Departments},
        sample, simulate,
        smsc::{Faults, Smsc, SmscConfig},
    },
    store::{HotlineRow, Store, UnitRow, database_is_empty},
    ticket::Role,
};
use serde_json::json;
use std::{
    collections::HashMap,
    io,
    net::{SocketAddr, TcpListener, UdpSocket},
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
    time::Duration,
};

/// The simulated world around a sandbox.
pub struct Parties {
    pub departments: Departments,
    pub smsc: Arc<Smsc>,
}

impl Parties {
    /// Opens the departments and the SMS centre where the settings expect them.
    pub async fn open(configuration: &Configuration) -> anyhow::Result<Self> {
        let settings = &configuration.settings;
        let address = settings.sip.departments.context("the sandbox has no address for its departments")?;
        let sms = settings.sms.as_ref().context("the sandbox has no SMS centre")?;
        let (system_id, password) = (sms.system_id.clone(), sms.password.expose().to_owned());
        let config = SmscConfig { system_id, password, ..SmscConfig::default() };
        let centre: SocketAddr = format!("{}:{}", sms.host, sms.port).parse().context("the SMS centre's address")?;
        let departments = Departments::open(address, clips(configuration))
            .await
            .with_context(|| format!("UDP {address} (simulated departments): end the program that uses the port"))?;
        let smsc = Smsc::start(centre, config)
            .await
            .with_context(|| format!("TCP {centre} (simulated SMS centre): end the program that uses the port"))?;
        Ok(Parties { departments, smsc: Arc::new(smsc) })
    }
}

fn clips(configuration: &Configuration) -> Clips {
    let assets = configuration.assets.clone();
    Arc::new(move |name: &str| assets.read(&format!("ivr-flows/{name}")).map(|bytes| bytes.into_owned()))
}

/// Whether the sample city keeps its hours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CityHours {
    /// Departments answer and citizens are called back around the clock, so that all can be tried at any time.
    AllDay,
    /// As the tables say (invented hours).
    AsWritten,
}

/// Brings the sample city into the store.
pub async fn keep_city(store: &Store) -> anyhow::Result<()> {
    let cities = sample::units()?;
    let owners: HashMap<String, String> = cities.iter().map(|unit| (unit.name.clone(), unit.code.clone())).collect();
    let units = cities.into_iter().map(|unit| UnitRow {
        code: unit.code.as_str().into(),
        name: unit.name,
        parent: Some(unit.parent).filter(|parent| !parent.is_empty()).map(Into::into),
        kind: match unit.kind {
            sample::UnitKind::District => "district",
            sample::UnitKind::Department => "department",
            sample::UnitKind::Utility => "utility",
        }
        .to_owned(),
        active: true,
        detail: json!({ "source": unit.source }),
    });
    store.unit_upsert(units.collect()).await?;
    let mut hotlines = Vec::new();
    for hotline in sample::hotlines()? {
        let mode = match (&hotline.alias_of, hotline.private_lane, hotline.mode) {
            (Some(_), ..) | (_, _, sample::Mode::Merged) => "merged",
            (_, true, _) | (_, _, sample::Mode::Separate) => "separate",
            (_, false, sample::Mode::DualTrack) => "dual_track",
        };
        for number in &hotline.numbers {
            hotlines.push(HotlineRow {
                number: number.as_str().into(),
                name: hotline.name.clone(),
                mode: mode.to_owned(),
                unit: owners.get(&hotline.owner).map(|code| code.as_str().into()),
                active: true,
                detail: json!({
                    "owner": hotline.owner, "source": hotline.source, "alias_of": hotline.alias_of,
                    "hours": hotline.hours, "backup": hotline.backup,
                    "calendar": (!hotline.hours.is_empty()).then(|| calendar_of(&hotline)),
                    "lane": hotline.private_lane.then(|| lane_of(&hotline)),
                }),
            });
        }
    }
    // Numbers that two rows of the annex share are kept once, as the first row has them.
    let mut seen = std::collections::HashSet::new();
    hotlines.retain(|row| seen.insert(row.number.clone()));
    store.hotline_upsert(hotlines).await?;
    Ok(())
}

/// Brings the sample city's people, hours and lanes into the settings.
pub fn settle_city(configuration: &mut Configuration, hours: CityHours) -> anyhow::Result<()> {
    open_lanes(configuration)?;
    let settings = &mut configuration.settings;
    keep_hours(settings, hours)?;
    let user = |user: sample::ConsoleUser| {
        Ok(UserSettings {
            password: Secret::new(sample::password(&user.user)),
            name: user.user.as_str().into(),
            role: Role::from_name(&user.role).with_context(|| format!("user {}: no such role", user.user))?,
            unit: Some(user.unit).filter(|unit| !unit.is_empty()),
        })
    };
    settings.users = sample::users()?.into_iter().map(user).collect::<anyhow::Result<_>>()?;
    let names = sample::agents()?;
    for agent in &mut settings.agents {
        if let Some(row) = names.iter().find(|row| row.number == agent.number.as_str()) {
            agent.name.clone_from(&row.name);
            agent.skills = row.skills.iter().cloned().collect();
        }
    }
    Ok(())
}

/// Where a profile listens first.
fn listener(configuration: &Configuration, kind: ProfileKind) -> String {
    let first = configuration.profile(kind).and_then(|profile| profile.listen.first());
    first.map(|listener| listener.address.to_string()).unwrap_or_default()
}

/// What citizens dial.
pub fn dial(configuration: &Configuration) -> String {
    format!("sip:12345@{}", listener(configuration, ProfileKind::Trunk))
}

/// The name of the calendar of a hotline's hours.
fn calendar_of(hotline: &sample::Hotline) -> String {
    format!("hotline-{}", hotline.numbers.first().map_or("", String::as_str))
}

/// The queue of a hotline with a lane of its own.
fn lane_of(hotline: &sample::Hotline) -> String {
    format!("lane_{}", hotline.numbers.first().map_or("", String::as_str))
}

/// A calendar for every hotline whose hours are known.
fn keep_hours(settings: &mut Settings, hours: CityHours) -> anyhow::Result<()> {
    for hotline in sample::hotlines()?.iter().filter(|hotline| !hotline.hours.is_empty()) {
        let mut calendar = Calendar::default();
        for text in &hotline.hours {
            calendar.add(text).with_context(|| format!("overrides.csv: {text:?} are no opening hours"))?;
        }
        if hours == CityHours::AllDay {
            calendar = Calendar::always();
        }
        let name = calendar_of(hotline);
        for own in settings.hotlines.iter_mut().filter(|own| hotline.numbers.iter().any(|n| *n == own.number.as_str()))
        {
            own.calendar = Some(name.clone());
        }
        settings.calendars.calendars.insert(name, calendar);
    }
    if hours == CityHours::AllDay {
        settings.callbacks.hours = 0..24 * 60;
    }
    Ok(())
}

/// Calls to a hotline with a lane of its own go to its own queue.
fn open_lanes(configuration: &mut Configuration) -> anyhow::Result<()> {
    let lanes: Vec<_> = sample::hotlines()?.into_iter().filter(|hotline| hotline.private_lane).collect();
    let trunks = configuration.profiles.iter_mut().filter(|profile| profile.kind == ProfileKind::Trunk);
    for profile in trunks {
        for lane in &lanes {
            profile.numbers.push(NumberRoute {
                patterns: lane.numbers.iter().filter_map(|number| number.parse::<NumberPattern>().ok()).collect(),
                target: Target::Queue(lane_of(lane).as_str().into()),
                ticket: true,
                cdr: true,
                place: Place::default(),
            });
        }
    }
    Ok(())
}

/// What to dial, where to look, and with which accounts.
pub fn banner(configuration: &Configuration, hours: CityHours) -> String {
    let open = match hours {
        CityHours::AllDay => "部门全天开放、全天可回拨(沙箱特设);加 --hours 则按示例营业时间",
        CityHours::AsWritten => "按示例营业时间(虚构)开放,夜间不回拨",
    };
    let settings = &configuration.settings;
    let console = settings.http.listen.first().map(ToString::to_string).unwrap_or_default();
    let (dial, agents) = (dial(configuration), listener(configuration, ProfileKind::Agents));
    let tls = configuration.profile(ProfileKind::Agents).into_iter().flat_map(|profile| &profile.listen);
    let tls = tls.filter(|listener| listener.transport == Transport::Tls).map(|listener| listener.address.to_string());
    let tls = tls.collect::<Vec<_>>().join("、");
    let certificate = settings.tls.as_ref().map(|tls| tls.certificate.display().to_string()).unwrap_or_default();
    format!(
        "\n  12345 热线沙箱已就绪(只用本机,不连外网)\n\n\
         \x20 拨打      {dial}   任何 SIP 软电话,无需注册\n\
         \x20 接听      向 {agents} 注册 8001 – 8019,密码 sandbox-<工号>;注册后即可接电话(8020 只接 12388)\n\
         \x20 加密      TLS {tls},证书为本机自签 {certificate}\n\
         \x20 三方通话  通话中按 *3 12330 #,或在实时页面点“三方”\n\
         \x20 实时页面  http://{console}/   admin / sandbox-admin\n\
         \x20 接口      http://{console}/api/v1   文档 http://{console}/api/docs\n\
         \x20 营业时间  {open}\n\
         \x20 数据      {}/\n\n\
         \x20 另开一个终端运行 hotline demo 可看一件诉求的全过程;按 Ctrl-C 停止。\n",
        settings.data_dir.display()
    )
}

struct Centre(Arc<Smsc>);

impl SmsCentre for Centre {
    fn messages(&self) -> Vec<(String, String)> {
        self.0.messages().into_iter().map(|message| (message.to, message.text)).collect()
    }

    fn lose_messages(&self) {
        self.0.set_faults(Faults { undeliverable: true, ..Faults::default() });
    }
}

/// Plays the story on a sandbox of its own, which may run beside another one.
pub async fn demo(spoil: Option<String>, database: Option<String>) -> anyhow::Result<ExitCode> {
    let break_step = match spoil {
        None => None,
        Some(name) => match name.parse::<StepName>() {
            Ok(step) => Some(step),
            Err(_) => bail!("there is no step named {name:?}"),
        },
    };
    let log = start_log("warn", false);
    let folder = fresh_folder(Path::new("data"))?;
    let mut place = crate::Place { config: None, data: folder.clone(), shift: 0, hours: false };
    let mut configuration = load(&place)?;
    place.shift = free_distance(&configuration)?;
    let source = source(&place, log);
    (source.adapt)(&mut configuration)?;
    if let Some(url) = database {
        keep_apart(&url).await?;
        configuration.settings.database_url = Secret::new(url);
    }
    let address = |kind| {
        let profile = configuration.profile(kind);
        profile.and_then(|profile| profile.listen.first()).map(|listener| listener.address).context("no listener")
    };
    let trunk = address(ProfileKind::Trunk)?;
    let registrar = address(ProfileKind::Agents)?;
    let console = *configuration.settings.http.listen.first().context("no console")?;
    let clips = clips(&configuration);
    let Running { app, sandbox, _folder } = start(configuration, start_metrics()?, source).await?;
    let parties = sandbox.context("the demo runs on the sandbox")?;
    let sms_centre = Arc::new(Centre(parties.smsc.clone()));
    let config = DemoConfig {
        base_url: format!("http://{console}/api/v1"),
        trunk,
        registrar,
        break_step,
        ..DemoConfig::sandbox(parties.departments, sms_centre, clips)
    };
    let result = demo::run(config, Box::new(io::stdout())).await;
    app.drain(Duration::from_secs(2)).await;
    app.stop().await;
    match result {
        Ok(_) => {
            let _ = std::fs::remove_dir_all(&folder);
            Ok(ExitCode::SUCCESS)
        }
        Err(error) => {
            eprintln!("\n演示没有通过:{error}\n数据留在 {} 以便查看。", folder.display());
            Ok(ExitCode::FAILURE)
        }
    }
}

/// The demo's database is empty: it would be counted among what is there, and has public passwords.
async fn keep_apart(url: &str) -> anyhow::Result<()> {
    if !["sqlite:", "postgres://", "postgresql://"].iter().any(|known| url.starts_with(known)) {
        bail!("--database: write sqlite:PATH or postgres://… (数据库地址无效)");
    }
    if !database_is_empty(url).await.context("--database")? {
        bail!("--database: the demo needs an empty database, this one has tables (演示需要空的数据库)");
    }
    Ok(())
}

/// What `hotline simulate` is told.
#[derive(clap::Args, Clone)]
pub struct SimulateArguments {
    /// 新来电的市民数(重拨另计);不写则打满 --for
    #[arg(long, value_name = "N")]
    calls: Option<u64>,
    /// 平均每秒新来电,按泊松过程到达
    #[arg(long, default_value_t = 0.5, value_name = "R", value_parser = positive)]
    rate: f64,
    /// 坐席数;超过沙箱的 19 个时另起一个热线
    #[arg(long, default_value_t = 19, value_name = "A", value_parser = clap::value_parser!(u32).range(1..=1500))]
    agents: u32,
    /// 打多久,如 90s、30m;不写 --calls 时默认 2m
    #[arg(long = "for", value_name = "时长", value_parser = duration)]
    length: Option<Duration>,
    /// 随机种子:同一种子,同样的人做同样的选择
    #[arg(long, default_value_t = 12345)]
    seed: u64,
    /// 带故障:坏网络、话机掉线、无声来电、短信中心失常,另起的热线还会被 kill -9
    #[arg(long)]
    faults: bool,
    /// 已在运行的沙箱;只能是本机
    #[arg(long, value_name = "网址")]
    to: Option<String>,
    /// 总是另起一个热线
    #[arg(long, conflicts_with = "to")]
    own: bool,
    /// 通话时长的中位数,秒
    #[arg(long, default_value_t = 25.0, value_name = "秒", value_parser = positive)]
    talk: f64,
    /// 排队耐心的中位数,秒
    #[arg(long, default_value_t = 45.0, value_name = "秒", value_parser = positive)]
    patience: f64,
    /// 另起的热线的话后处理,如 3s
    #[arg(long, default_value = "3s", value_name = "时长", value_parser = duration)]
    wrap_up: Duration,
    /// 工作进程数;不写则按话务量,至多每核一个
    #[arg(long, value_name = "N")]
    workers: Option<usize>,
    /// 另起的热线的数据放在这个目录下
    #[arg(long, default_value = "data", value_name = "目录")]
    data: PathBuf,
    /// 把合计写成 JSON
    #[arg(long, value_name = "文件")]
    out: Option<PathBuf>,
}

fn positive(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(number) if number > 0.0 && number < 10_000.0 => Ok(number),
        _ => Err("应为正数".to_owned()),
    }
}

fn duration(text: &str) -> Result<Duration, String> {
    let units = [("ms", 1), ("s", 1000), ("m", 60_000), ("h", 3_600_000)];
    let parsed = units.iter().find_map(|(unit, millis)| {
        let number: u64 = text.strip_suffix(unit)?.trim().parse().ok()?;
        Some(Duration::from_millis(number.checked_mul(*millis)?))
    });
    parsed.filter(|length| *length <= Duration::from_secs(7 * 86_400)).ok_or_else(|| "应写成 90s、30m 或 2h".to_owned())
}

/// Carries out an exercise; success only when every sum and every invariant is true.
pub async fn simulate(arguments: SimulateArguments) -> anyhow::Result<ExitCode> {
    let _ = start_log("warn", false);
    raise_open_files();
    let SimulateArguments { calls, rate, agents, length, seed, faults, to, own, talk, patience, wrap_up, .. } =
        arguments;
    let length = length.or_else(|| calls.is_none().then_some(Duration::from_secs(120)));
    let folder = std::path::absolute(arguments.data.join(format!("simulate-{}", std::process::id())))?;
    let exercise = simulate::Exercise {
        program: std::env::current_exe().context("this program's own path")?,
        folder: folder.clone(),
        calls,
        rate,
        agents,
        length,
        seed,
        faults,
        to,
        own,
        talk,
        patience,
        wrap_up,
        workers: arguments.workers,
        out: arguments.out,
    };
    let good = simulate::run(exercise).await?;
    if good {
        let _ = std::fs::remove_dir_all(&folder);
    }
    Ok(if good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// A share of an exercise's people, on the coordinator's word.
pub async fn simulate_worker() -> anyhow::Result<ExitCode> {
    let _ = start_log("warn", false);
    raise_open_files();
    Ok(simulate::work().await)
}

/// By how much every port must be moved until all are free: a demo runs beside a sandbox that is in use.
fn free_distance(configuration: &Configuration) -> anyhow::Result<u16> {
    let all_free = |distance: &u16| ports(configuration).iter().all(|address| is_free(moved(*address, *distance)));
    (0..40_000).step_by(100).find(all_free).context("no free ports were found on loopback for the demo")
}

/// Moves every port but RTP's, which are drawn from a range and skipped where they are taken.
pub fn shift(configuration: &mut Configuration, distance: u16) {
    let settings = &mut configuration.settings;
    for address in &mut settings.http.listen {
        *address = moved(*address, distance);
    }
    settings.sip.departments = settings.sip.departments.map(|address| moved(address, distance));
    if let Some(sms) = settings.sms.as_mut() {
        sms.port = sms.port.saturating_add(distance);
    }
    for listener in configuration.profiles.iter_mut().flat_map(|profile| &mut profile.listen) {
        listener.address = moved(listener.address, distance);
    }
}

fn ports(configuration: &Configuration) -> Vec<SocketAddr> {
    let settings = &configuration.settings;
    let sms = settings.sms.iter().map(|sms| SocketAddr::from(([127, 0, 0, 1], sms.port)));
    let listeners = configuration.profiles.iter().flat_map(|profile| &profile.listen);
    let sip = listeners.filter(|listener| !matches!(listener.transport, Transport::Ws | Transport::Wss));
    let all = settings.http.listen.iter().copied().chain(settings.sip.departments).chain(sms);
    all.chain(sip.map(|listener| listener.address)).collect()
}

fn moved(address: SocketAddr, distance: u16) -> SocketAddr {
    SocketAddr::new(address.ip(), address.port().saturating_add(distance))
}

fn is_free(address: SocketAddr) -> bool {
    TcpListener::bind(address).is_ok() && UdpSocket::bind(address).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use hotline::{clock::UnixMillis, ivr::Hours};

    /// 2026-11-24, a Tuesday, in Shanghai.
    fn at(hour: i64) -> UnixMillis {
        UnixMillis(1_795_449_600_000 + hour * 3_600_000)
    }

    fn city(hours: CityHours) -> Configuration {
        let mut configuration = hotline::config::load(None, Path::new("data")).expect("the sandbox is sound");
        open_lanes(&mut configuration).expect("lanes");
        keep_hours(&mut configuration.settings, hours).expect("hours");
        configuration
    }

    #[test]
    fn departments_keep_the_hours_of_the_table_unless_the_sandbox_is_told_otherwise() {
        let settings = city(CityHours::AsWritten).settings;
        let calendar = |number: &str| {
            let own = settings.hotlines.iter().find(|own| own.number.as_str() == number).expect("a hotline");
            own.calendar.clone().expect("it has hours")
        };
        assert!(
            settings.calendars.open(&calendar("12330"), at(10)) && settings.calendars.open(&calendar("12330"), at(14))
        );
        for closed in [3, 8, 12, 13, 18] {
            assert!(!settings.calendars.open(&calendar("12330"), at(closed)), "{closed}:00");
        }
        assert!(settings.calendars.open("hotline-12121", at(3)), "the weather is told day and night");
        assert!(!settings.callbacks.hours.contains(&(3 * 60)));
        let settings = city(CityHours::AllDay).settings;
        assert!(settings.calendars.open("hotline-12330", at(3)) && settings.callbacks.hours.contains(&(3 * 60)));
    }

    #[test]
    fn calls_to_12388_go_to_its_own_lane() {
        let configuration = city(CityHours::AllDay);
        let trunk = configuration.profile(ProfileKind::Trunk).expect("a trunk");
        let route = trunk.numbers.last().expect("a number");
        assert!(matches!(&route.target, Target::Queue(queue) if queue.as_str() == "lane_12388"));
        let lane = configuration.settings.queues.iter().find(|queue| queue.name.as_str() == "lane_12388");
        assert!(lane.is_some_and(|lane| lane.private));
        let agents = sample::agents().expect("agents");
        let with = |skill: &str| -> Vec<String> {
            let can =
                |agent: &&sample::Agent| agent.role == "agent" && agent.skills.iter().any(|(own, _)| own == skill);
            agents.iter().filter(can).map(|agent| agent.number.clone()).collect()
        };
        assert_eq!(with("lane_12388"), ["8020"]);
        assert!(!with("mandarin").contains(&"8020".to_owned()), "and it is rung for nothing else");
        assert_eq!(with("english"), ["8003", "8012", "8017"]);
    }
}
