//! The sandbox's side of the commands: the sample city, the simulated departments and SMS centre, and the demo.
//! The one place that joins the program and its simulated world.

use crate::{Running, fresh_folder, load, start, start_log, start_metrics};
use anyhow::{Context, bail};
use hotline::{
    config::{Configuration, Secret, Settings, Transport, UserSettings},
    sandbox::{
        demo::{self, DemoConfig, SmsCentre, StepName},
        departments::{Clips, Departments},
        sample,
        smsc::{Faults, Smsc, SmscConfig},
    },
    store::{HotlineRow, Store, UnitRow},
    ticket::Role,
};
use serde_json::json;
use std::{
    io,
    net::{SocketAddr, TcpListener, UdpSocket},
    path::Path,
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

/// Brings the sample city into the store and its people into the settings.
pub async fn keep_city(store: &Store, settings: &mut Settings) -> anyhow::Result<()> {
    let units = sample::units()?.into_iter().map(|unit| UnitRow {
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
                unit: None,
                active: true,
                detail: json!({
                    "owner": hotline.owner, "source": hotline.source, "alias_of": hotline.alias_of,
                    "hours": hotline.hours, "backup": hotline.backup, "private_lane": hotline.private_lane,
                }),
            });
        }
    }
    // Numbers that two rows of the annex share are kept once, as the first row has them.
    let mut seen = std::collections::HashSet::new();
    hotlines.retain(|row| seen.insert(row.number.clone()));
    store.hotline_upsert(hotlines).await?;
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

/// What to dial, where to look, and with which accounts.
pub fn banner(configuration: &Configuration) -> String {
    let settings = &configuration.settings;
    let console = settings.http.listen.first().map(ToString::to_string).unwrap_or_default();
    let at = |kind| {
        let profile = configuration.profile(kind);
        profile
            .and_then(|profile| profile.listen.first())
            .map(|listener| listener.address.to_string())
            .unwrap_or_default()
    };
    let (trunk, agents) = (at(hotline::config::ProfileKind::Trunk), at(hotline::config::ProfileKind::Agents));
    format!(
        "\n  12345 热线沙箱已就绪(只用本机,不连外网)\n\n\
         \x20 拨打      sip:12345@{trunk}   任何 SIP 软电话,无需注册\n\
         \x20 接听      向 {agents} 注册 8001 – 8020,密码 sandbox-<工号>;注册后即可接电话\n\
         \x20 三方通话  通话中按 *3 12330 #,或在实时页面点“三方”\n\
         \x20 实时页面  http://{console}/   admin / sandbox-admin\n\
         \x20 接口      http://{console}/api/v1   文档 http://{console}/api/docs\n\
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
pub async fn demo(spoil: Option<String>) -> anyhow::Result<ExitCode> {
    let break_step = match spoil {
        None => None,
        Some(name) => match name.parse::<StepName>() {
            Ok(step) => Some(step),
            Err(_) => bail!("there is no step named {name:?}"),
        },
    };
    start_log("warn", false);
    let folder = fresh_folder(Path::new("data"))?;
    let place = crate::Place { config: None, data: folder.clone(), shift: 0 };
    let mut configuration = load(&place)?;
    move_to_free_ports(&mut configuration)?;
    let address = |kind| {
        let profile = configuration.profile(kind);
        profile.and_then(|profile| profile.listen.first()).map(|listener| listener.address).context("no listener")
    };
    let trunk = address(hotline::config::ProfileKind::Trunk)?;
    let registrar = address(hotline::config::ProfileKind::Agents)?;
    let console = *configuration.settings.http.listen.first().context("no console")?;
    let clips = clips(&configuration);
    let Running { app, sandbox } = start(configuration, start_metrics()?).await?;
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

/// Moves every port by the same distance until all are free: a demo runs beside a sandbox that is in use.
fn move_to_free_ports(configuration: &mut Configuration) -> anyhow::Result<()> {
    for distance in (0..40_000).step_by(100) {
        if ports(configuration).iter().all(|address| is_free(moved(*address, distance))) {
            shift(configuration, distance);
            return Ok(());
        }
    }
    bail!("no free ports were found on loopback for the demo")
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
    let sip = listeners.filter(|listener| matches!(listener.transport, Transport::Udp | Transport::Tcp));
    let all = settings.http.listen.iter().copied().chain(settings.sip.departments).chain(sms);
    all.chain(sip.map(|listener| listener.address)).collect()
}

fn moved(address: SocketAddr, distance: u16) -> SocketAddr {
    SocketAddr::new(address.ip(), address.port().saturating_add(distance))
}

fn is_free(address: SocketAddr) -> bool {
    TcpListener::bind(address).is_ok() && UdpSocket::bind(address).is_ok()
}
