//! The program that all tests share, and the simulated people around it.

use crate::ask::Client;
use axum::Router;
use hotline::{
    app::{App, reload::Source, setup},
    config::{self, Configuration, ProfileKind, Secret, Transport, UserSettings},
    http::{Http, router},
    sandbox::{
        departments::Departments,
        sample,
        smsc::{Smsc, SmscConfig},
    },
    store::{HotlineRow, UnitRow},
    ticket::Role,
};
use metrics_exporter_prometheus::PrometheusBuilder;
use serde_json::json;
use std::{
    collections::HashMap,
    future::Future,
    net::{SocketAddr, TcpListener, UdpSocket},
    path::PathBuf,
    sync::{Arc, Mutex, OnceLock},
    time::Duration,
};
use tokio::runtime::Runtime;

/// How long anything may take that is waited for.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// The running program and its surroundings.
pub struct World {
    pub app: Arc<App>,
    pub router: Router,
    pub trunk: SocketAddr,
    pub registrar: SocketAddr,
    pub departments: Departments,
    pub smsc: Smsc,
    /// Calls go to whoever is free, so one test at a time has the agents.
    pub agents: tokio::sync::Mutex<()>,
    tokens: Mutex<HashMap<String, String>>,
}

/// Runs a test on the shared program.
pub fn run<F: Future<Output = ()>>(test: impl FnOnce(&'static World) -> F) {
    static SHARED: OnceLock<(Runtime, World)> = OnceLock::new();
    let (runtime, world) = SHARED.get_or_init(|| {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
        let world = runtime.block_on(World::start("shared"));
        (runtime, world)
    });
    runtime.block_on(test(world));
}

impl World {
    /// Starts a program of its own in a fresh folder, on free ports of loopback.
    pub async fn start(name: &str) -> World {
        crate::logs::keep();
        let folder = folder(name);
        let mut configuration = config::load(None, &folder).unwrap_or_else(|report| panic!("{report}"));
        let (trunk, registrar) = (free_port(), free_port());
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let assets = configuration.assets.clone();
        let clips = Arc::new(move |name: &str| assets.read(&format!("ivr-flows/{name}")).map(|b| b.into_owned()));
        let departments = Departments::open(any, clips).await.expect("departments");
        let smsc = Smsc::start(any, SmscConfig::default()).await.expect("an SMS centre");
        let (tls, desks, centre) = (free_port(), departments.address(), smsc.address().port());
        // The same whenever the settings are read again.
        let adapt = move |configuration: &mut Configuration| {
            listen(configuration, ProfileKind::Trunk, trunk, tls);
            listen(configuration, ProfileKind::Agents, registrar, tls);
            let settings = &mut configuration.settings;
            settings.sip.departments = Some(desks);
            settings.media.threads = 1;
            if let Some(sms) = settings.sms.as_mut() {
                sms.port = centre;
            }
            let users = sample::users()?.into_iter().map(|user| UserSettings {
                password: Secret::new(sample::password(&user.user)),
                name: user.user.as_str().into(),
                role: Role::from_name(&user.role).expect("a role"),
                unit: Some(user.unit).filter(|unit| !unit.is_empty()),
            });
            settings.users = users.collect();
            Ok(())
        };
        adapt(&mut configuration).expect("the sample city");
        let settings = &mut configuration.settings;
        if std::env::var("HOTLINE_TEST_DATABASE").is_ok_and(|kind| kind == "postgres") {
            settings.database_url = Secret::new(own_schema(name).await);
        }
        let store = setup::open_store(settings).await.expect("a database");
        store.unit_upsert(units()).await.expect("units");
        store.hotline_upsert(hotlines()).await.expect("hotlines");
        let source = Source { adapt: Box::new(adapt), ..Source::new(None, folder.clone()) };
        let app = setup::start(configuration, store, source).await.expect("the program");
        let metrics = PrometheusBuilder::new().build_recorder();
        let handle = metrics.handle();
        // The first program's figures are those that are looked at.
        let _ = metrics::set_global_recorder(metrics);
        hotline::app::catalogue::describe();
        let http = Arc::new(Http { app: app.clone(), metrics: handle, dial: None });
        World {
            router: router(http),
            app,
            trunk,
            registrar,
            departments,
            smsc,
            agents: tokio::sync::Mutex::default(),
            tokens: Mutex::default(),
        }
    }

    /// Nobody.
    pub fn stranger(&self) -> Client {
        Client { router: self.router.clone(), headers: Vec::new() }
    }

    /// A signed-in user; each signs in once.
    pub async fn user(&self, name: &str) -> Client {
        let known = self.tokens.lock().expect("tokens").get(name).cloned();
        let token = match known {
            Some(token) => token,
            None => {
                let body = json!({"user": name, "password": sample::password(name)});
                let answer = self.stranger().post("/sessions", &body).await.ok(200);
                let token = answer["token"].as_str().expect("a token").to_owned();
                self.tokens.lock().expect("tokens").insert(name.to_owned(), token.clone());
                token
            }
        };
        self.stranger().with("authorization", &format!("Bearer {token}"))
    }
}

/// A schema of this program's own on the PostgreSQL that `tests/with-postgres` made.
async fn own_schema(name: &str) -> String {
    use sqlx::{AnyConnection, AssertSqlSafe, Connection, Executor};
    let url = std::env::var("HOTLINE_TEST_POSTGRES").expect("tests/with-postgres says where it is");
    let schema = format!("story_http_{}_{}", std::process::id(), name.replace('-', "_"));
    sqlx::any::install_default_drivers();
    let mut conn = AnyConnection::connect(&url).await.expect("PostgreSQL");
    conn.execute(AssertSqlSafe(format!("CREATE SCHEMA {schema}"))).await.expect("a schema");
    format!("{url}?options[search_path]={schema}")
}

/// An empty folder that this run alone uses; those of runs that are over are removed.
fn folder(name: &str) -> PathBuf {
    let root = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
    for old in std::fs::read_dir(&root).into_iter().flatten().flatten() {
        let name = old.file_name().to_string_lossy().into_owned();
        let owner = name.strip_prefix("http-").and_then(|rest| rest.split_once('-')).map(|(pid, _)| pid.to_owned());
        if owner.is_some_and(|pid| !PathBuf::from(format!("/proc/{pid}")).exists()) {
            let _ = std::fs::remove_dir_all(old.path());
        }
    }
    let folder = root.join(format!("http-{}-{name}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder");
    folder
}

/// A port of loopback that is free for UDP and TCP.
fn free_port() -> SocketAddr {
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    let found = (0..100).find_map(|_| {
        let udp = UdpSocket::bind(any).ok()?;
        let address = udp.local_addr().ok()?;
        TcpListener::bind(address).ok().map(|_| address)
    });
    found.expect("a free port")
}

fn listen(configuration: &mut Configuration, kind: ProfileKind, address: SocketAddr, tls: SocketAddr) {
    let profiles = configuration.profiles.iter_mut().filter(|profile| profile.kind == kind);
    for listener in profiles.flat_map(|profile| &mut profile.listen) {
        match listener.transport {
            Transport::Udp | Transport::Tcp => listener.address = address,
            Transport::Tls | Transport::Ws | Transport::Wss => listener.address = tls,
        }
    }
}

fn units() -> Vec<UnitRow> {
    let unit = |unit: sample::Unit| UnitRow {
        code: unit.code.as_str().into(),
        name: unit.name,
        parent: Some(unit.parent).filter(|parent| !parent.is_empty()).map(Into::into),
        kind: if unit.kind == sample::UnitKind::District { "district" } else { "department" }.to_owned(),
        active: true,
        detail: json!({}),
    };
    sample::units().expect("units").into_iter().map(unit).collect()
}

fn hotlines() -> Vec<HotlineRow> {
    let rows = [("12330", "dual_track", true), ("12319", "merged", true), ("12388", "separate", true)];
    let row = |(number, mode, active): (&str, &str, bool)| HotlineRow {
        number: number.into(),
        name: format!("热线 {number}"),
        mode: mode.to_owned(),
        unit: None,
        active,
        detail: json!({"source": "test"}),
    };
    rows.into_iter().chain([("12320", "dual_track", false)]).map(row).collect()
}

/// Looks every 20 ms until something is there.
pub async fn until<T, F: Future<Output = Option<T>>>(what: &str, mut look: impl FnMut() -> F) -> T {
    let found = async {
        loop {
            if let Some(found) = look().await {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, found).await.unwrap_or_else(|_| panic!("waited in vain for {what}"))
}
