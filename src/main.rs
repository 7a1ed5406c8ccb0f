//! The commands.

mod sandboxed;
mod upkeep;
mod user;

use anyhow::{Context, bail};
use clap::{Args, Parser, Subcommand};
use hotline::{
    app::{
        catalogue,
        ending::keep_watch,
        reload::{SetLog, Source},
        setup,
    },
    config::{self, Configuration, Report},
    http::{self, Http},
    ivr::Caller,
    net::{clock, notify::Notifier},
    store::DataFolder,
};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use sandboxed::CityHours;
use std::{
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
    time::Duration,
};
use tokio::{
    signal::unix::{SignalKind, signal},
    time::{MissedTickBehavior, interval},
};
use tracing_subscriber::{EnvFilter, util::SubscriberInitExt};

/// How long a drain waits for those who still talk.
const DRAIN: Duration = Duration::from_secs(2 * 3600);
/// The bounds of the histograms of times, from a fast write to a long wait.
const SECONDS: [f64; 14] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0];
/// Open files that a busy node needs: two sockets a leg, and connections.
const OPEN_FILES: u64 = 262_144;

/// 12345 热线:电话与工单。没有配置文件时运行沙箱,只用本机回环地址。
#[derive(Parser)]
#[command(name = "hotline", version, about, args_conflicts_with_subcommands = true)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    serve: Place,
}

#[derive(Args, Clone)]
struct Place {
    /// 配置文件;没有时运行沙箱
    #[arg(long)]
    config: Option<PathBuf>,
    /// 沙箱的数据目录
    #[arg(long, default_value = "data")]
    data: PathBuf,
    /// 沙箱的端口(RTP 除外)整体后移这么多,可与另一个沙箱同时运行
    #[arg(long, default_value_t = 0, value_name = "N")]
    shift: u16,
    /// 沙箱按示例营业时间运行;不写则部门全天开放、全天可回拨
    #[arg(long)]
    hours: bool,
}

impl Place {
    fn city_hours(&self) -> CityHours {
        if self.hours { CityHours::AsWritten } else { CityHours::AllDay }
    }
}

#[derive(Subcommand)]
enum Command {
    /// 运行(不写子命令时也是它)
    Serve(Place),
    /// 在沙箱里演示一件诉求的全过程:真实的 SIP、RTP、HTTP 和短信协议
    Demo {
        /// 故意弄坏一步,演示应以 1 退出:sign_in、dial、answer、three_way……
        #[arg(long, env = "HOTLINE_DEMO_BREAK", hide = true)]
        r#break: Option<String>,
        /// 用这个空数据库,例如 postgres://hotline@127.0.0.1/demo;不写则用自带的 SQLite
        #[arg(long, value_name = "URL")]
        database: Option<String>,
    },
    /// 演练话务:模拟的市民、坐席和部门打进沙箱(或另起的热线),显示进度,最后逐项对账
    Simulate(sandboxed::SimulateArguments),
    /// 演练的一份人,由 simulate 启动
    #[command(name = "simulate-worker", hide = true)]
    SimulateWorker,
    /// 检查配置引用的一切:配置、话务流程、语音、密钥、端口、数据库;一次列出所有错误
    Check(Place),
    /// 把数据库结构升级到本程序的版本,先作备份;只向前,不后退
    Migrate(upkeep::Migrate),
    /// 备份:数据库、未入库的通话、录音、配置,一个文件;可在运行中进行
    Backup(upkeep::Backup),
    /// 从备份恢复,SQLite 与 PostgreSQL 之间也可以
    Restore(upkeep::Restore),
    /// 用户:列出、添加、改密码、停用、启用、删除;由数据库管理,不写在 hotline.toml 里
    #[command(subcommand)]
    User(user::UserCommand),
    /// 话务流程
    #[command(subcommand)]
    Flow(FlowCommand),
}

#[derive(Subcommand)]
enum FlowCommand {
    /// 检查流程:到不了的节点、缺少的语音、死路、出不去的循环
    Check {
        /// 流程名,例如 12345;不写则检查全部
        flow: Option<String>,
        #[command(flatten)]
        place: Place,
    },
    /// 画出流程(Mermaid,或 SVG)
    Graph {
        flow: String,
        #[arg(long)]
        svg: bool,
        #[command(flatten)]
        place: Place,
    },
    /// 按键走一遍流程
    Simulate {
        #[arg(default_value = "12345")]
        flow: String,
        /// 依次按下的键,例如 1,0
        #[arg(long, default_value = "")]
        keys: String,
        #[command(flatten)]
        place: Place,
    },
}

fn main() -> ExitCode {
    give_back_large_blocks();
    let arguments = Arguments::parse();
    let result = match arguments.command.unwrap_or(Command::Serve(arguments.serve)) {
        Command::Serve(place) => run(serve(place)),
        Command::Demo { r#break, database } => run(sandboxed::demo(r#break, database)),
        Command::Simulate(arguments) => run_here(sandboxed::simulate(arguments)),
        Command::SimulateWorker => run_here(sandboxed::simulate_worker()),
        Command::Check(place) => run(async move {
            let now = clock::now().wall;
            let report = hotline::app::check::check(place.config.as_deref(), &place.data, now).await;
            printed((report.to_string(), report.is_ok()))
        }),
        Command::Migrate(arguments) => run(upkeep::migrate(arguments)),
        Command::Backup(arguments) => run(upkeep::backup(arguments)),
        Command::Restore(arguments) => run(upkeep::restore(arguments)),
        Command::User(command) => run(user::run(command)),
        Command::Flow(FlowCommand::Check { flow, place }) => {
            printed(config::cmd_flow_check(place.config.as_deref(), &place.data, flow.as_deref()))
        }
        Command::Flow(FlowCommand::Graph { flow, svg, place }) => {
            match config::cmd_flow_graph(place.config.as_deref(), &place.data, &flow, svg) {
                Ok(drawing) => printed((drawing, true)),
                Err(report) => printed((report.to_string(), false)),
            }
        }
        Command::Flow(FlowCommand::Simulate { flow, keys, place }) => {
            let caller = Caller { from: "13900000000".to_owned(), dialled: "12345".to_owned() };
            let (path, now) = (place.config.as_deref(), clock::now());
            match config::cmd_flow_simulate(path, &place.data, &flow, &keys, caller, now) {
                Ok(walk) => printed((walk, true)),
                Err(report) => printed((report.to_string(), false)),
            }
        }
    };
    result.unwrap_or_else(|error| {
        eprintln!("hotline: {error:#}");
        ExitCode::FAILURE
    })
}

fn printed((text, ok): (String, bool)) -> anyhow::Result<ExitCode> {
    println!("{}", text.trim_end());
    Ok(if ok { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn run(work: impl Future<Output = anyhow::Result<ExitCode>>) -> anyhow::Result<ExitCode> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(work)
}

/// Runs on this thread alone: its children are tied to it.
fn run_here(work: impl Future<Output = anyhow::Result<ExitCode>>) -> anyhow::Result<ExitCode> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(work)
}

/// Loads a configuration, or prints every fault.
fn load(place: &Place) -> anyhow::Result<Configuration> {
    match config::load(place.config.as_deref(), &place.data) {
        Ok(configuration) => Ok(configuration),
        Err(report) => {
            eprintln!("{report}");
            bail!("配置有错误,没有启动 (the configuration has faults; nothing was started)")
        }
    }
}

/// Starts the log; what comes back changes its filter, unless the environment has set one.
fn start_log(filter: &str, json: bool) -> SetLog {
    let given = EnvFilter::try_from_default_env().ok();
    let fixed = given.is_some();
    let filter = given.unwrap_or_else(|| EnvFilter::new(filter));
    let (subscriber, handle) = hotline::app::log::subscriber(filter, json, std::io::stderr);
    subscriber.init();
    let set = move |filter: &str| {
        let filter = EnvFilter::try_new(filter).map_err(|error| error.to_string())?;
        handle.reload(filter).map_err(|error| error.to_string())
    };
    Box::new(move |filter| match fixed {
        true => Ok(()),
        false => set(filter),
    })
}

/// Where the configuration of a place comes from; a sandbox's ports are moved and its city filled in.
fn source(place: &Place, log: SetLog) -> Source {
    let (shift, hours) = (place.shift, place.city_hours());
    let adapt = move |configuration: &mut Configuration| {
        if configuration.settings.sandbox {
            sandboxed::shift(configuration, shift);
            sandboxed::settle_city(configuration, hours)?;
        }
        Ok(())
    };
    Source { adapt: Box::new(adapt), log, ..Source::new(place.config.clone(), place.data.clone()) }
}

fn start_metrics() -> anyhow::Result<PrometheusHandle> {
    let handle = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &SECONDS)?
        .install_recorder()
        .context("metrics")?;
    catalogue::describe();
    Ok(handle)
}

/// How often the samples of histograms are put into their bounds.
const UPKEEP: Duration = Duration::from_secs(5);

/// Puts the samples of histograms into their bounds. Otherwise that is done when the figures are asked for, and a centre
/// that nobody asks would keep every sample in memory.
async fn keep_metrics(metrics: PrometheusHandle) {
    let mut rounds = interval(UPKEEP);
    rounds.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        rounds.tick().await;
        metrics.run_upkeep();
    }
}

/// Has large blocks given back when they are freed. Hashing a password takes 19 MiB for a moment; glibc would keep a
/// hole of that size for each, since it moves its own threshold up after the first.
fn give_back_large_blocks() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: called before any other thread is there; it sets one number.
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, 1 << 20);
    }
}

/// Raises the limit of open files as far as the system allows.
fn raise_open_files() {
    // SAFETY: both calls only read and write the given struct.
    let limit = unsafe {
        let mut limit: libc::rlimit = std::mem::zeroed();
        if libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit) != 0 {
            return;
        }
        limit.rlim_cur = limit.rlim_max.min(OPEN_FILES);
        libc::setrlimit(libc::RLIMIT_NOFILE, &limit);
        limit.rlim_cur
    };
    if limit < 16_384 {
        tracing::warn!(limit, "few files may be open: each call takes four; raise LimitNOFILE");
    }
}

/// What runs, until it is ended.
struct Running {
    app: Arc<hotline::app::App>,
    sandbox: Option<sandboxed::Parties>,
    _folder: DataFolder,
}

/// Opens everything of a configuration, the sandbox's parties included.
async fn start(configuration: Configuration, metrics: PrometheusHandle, source: Source) -> anyhow::Result<Running> {
    let folder = DataFolder::take(&configuration.settings.data_dir)?;
    let taken = Report {
        faults: config::port_faults(Some(&configuration.settings), &configuration.profiles, false),
        warnings: Vec::new(),
    };
    if !taken.is_ok() {
        eprintln!("{taken}");
        bail!("有端口打不开,没有启动 (ports cannot be opened; nothing was started)")
    }
    let sandbox = configuration.settings.sandbox;
    let listen = configuration.settings.http.listen.clone();
    let dial = sandbox.then(|| sandboxed::dial(&configuration));
    let mut listeners = Vec::new();
    for address in listen {
        listeners.push(http::bind(address).await?);
    }
    let store = setup::open_store_or_wait(&configuration.settings).await?;
    let parties = if sandbox {
        sandboxed::keep_city(&store).await?;
        Some(sandboxed::Parties::open(&configuration).await?)
    } else {
        None
    };
    let app = setup::start(configuration, store, source).await?;
    tokio::spawn(keep_metrics(metrics.clone()));
    let shared = Arc::new(Http { app: app.clone(), metrics, dial });
    for listener in listeners {
        let shared = shared.clone();
        tokio::spawn(async move {
            if let Err(error) = http::serve(listener, shared, std::future::pending()).await {
                tracing::error!(%error, "the API ended");
            }
        });
    }
    Ok(Running { app, sandbox: parties, _folder: folder })
}

async fn serve(place: Place) -> anyhow::Result<ExitCode> {
    let mut configuration = load(&place)?;
    let log = start_log(&configuration.settings.log.filter, configuration.settings.log.json);
    let source = source(&place, log);
    (source.adapt)(&mut configuration)?;
    let settings = &configuration.settings;
    raise_open_files();
    for warning in &configuration.warnings {
        tracing::warn!("{warning}");
    }
    let banner = settings.sandbox.then(|| sandboxed::banner(&configuration, place.city_hours()));
    let notifier = Arc::new(Notifier::from_env());
    let running = start(configuration, start_metrics()?, source).await?;
    tokio::spawn(keep_watch(running.app.switch.clone(), notifier.clone()));
    match banner {
        Some(banner) => println!("{banner}"),
        None => tracing::info!("ready"),
    }
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut hangup = signal(SignalKind::hangup())?;
    // The signals are ours from here on: whoever is told so may send them.
    notifier.tell("READY=1\nSTATUS=接新来电");
    let (app, manager) = (running.app.clone(), notifier.clone());
    tokio::spawn(async move { app.tell_database(&manager).await });
    loop {
        tokio::select! {
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
            _ = hangup.recv() => {
                notifier.tell("RELOADING=1");
                // How it went is in the log, and wherever else settings are shown.
                let _ = running.app.reload().await;
                notifier.tell("READY=1");
            }
        }
    }
    eprintln!("不再接新电话,等待通话结束;再按一次 Ctrl-C 立即停止。(draining; once more to stop at once)");
    notifier.tell("STOPPING=1");
    tokio::select! {
        () = running.app.drain(DRAIN) => {}
        () = running.app.tell_drain(&notifier) => {}
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    running.app.stop().await;
    drop(running.sandbox);
    Ok(ExitCode::SUCCESS)
}

/// The folder of a demo's data: made anew, and removed when all was true.
fn fresh_folder(parent: &Path) -> anyhow::Result<PathBuf> {
    let folder = parent.join(format!("demo-{}", std::process::id()));
    std::fs::create_dir_all(&folder).with_context(|| folder.display().to_string())?;
    Ok(folder)
}
