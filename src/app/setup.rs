//! From a loaded configuration to a running program: what is opened in which order, and what is refused.

pub use super::plan::queue_config;
use super::{
    App, agents, calendar,
    certificates::Certificates,
    events::Events,
    footing, housekeeping,
    in_force::InForce,
    live::Live,
    outbox::{self, Bell},
    plan,
    reload::{Faults, Source, Standings},
    signs::Reports,
    staff,
    switch::{Input, Parts},
    switch_task::{self, SwitchHandle},
    view, watch,
};
use crate::{
    acd::{self, Acd},
    clock::UnixMillis,
    config::{Configuration, Settings},
    media::recorder::Key,
    net::{
        clock,
        recording::RecordingConfig,
        rtp::{MediaConfig, MediaPool},
        sms::{GatewayConfig, SmsGateway},
    },
    sip::{
        auth::Authenticator,
        endpoint::{Endpoint, EndpointConfig},
        registrar::{BindingSnapshot, Registrar, RegistrarConfig},
    },
    sms::{delivery::Policy, smpp},
    store::{DatabaseUse, Spool, Store, StoreError, StoreOptions},
};
use anyhow::{Context, bail};
use rand::{Rng, SeedableRng, rngs::StdRng};
use std::{
    fs,
    path::Path,
    sync::{Arc, RwLock, atomic::AtomicBool},
    time::Duration,
};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

/// How long a database that takes connections may keep a start waiting: for its schema, and for the users, whose passwords
/// are hashed the first time.
const OPENING: Duration = Duration::from_secs(30);
const BEGINNING: Duration = Duration::from_secs(120);
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
    open(settings, true).await
}

/// The same for a command that makes no ticket.
///
/// # Errors
/// As [`open_store`].
pub async fn open_store_without_numbers(settings: &Settings) -> anyhow::Result<Store> {
    open(settings, false).await
}

async fn open(settings: &Settings, numbers: bool) -> anyhow::Result<Store> {
    let now = clock::now().wall;
    let options = StoreOptions { numbers, ..options(settings, now) };
    let store = Store::open(settings.database_url.expose(), options, now)
        .await
        .context("the database cannot be opened: see [database] url")?;
    store.claim_for(DatabaseUse::of(settings.sandbox)).await?;
    Ok(store)
}

/// The same for a centre that is to answer its callers: where its PostgreSQL is away, it is opened as soon as it answers.
///
/// # Errors
/// As [`open_store`]'s, but for a PostgreSQL that is away.
pub async fn open_store_or_wait(settings: &Settings) -> anyhow::Result<Store> {
    let url = settings.database_url.expose();
    let is_away = |error: &anyhow::Error| error.downcast_ref().is_some_and(StoreError::is_unavailable);
    let opened = timeout(OPENING, open_store(settings)).await;
    match opened.unwrap_or_else(|_| Err(no_answer().into())) {
        // A file that cannot be opened will not come back by itself, and a sandbox has no callers.
        Err(error) if is_away(&error) && !settings.sandbox && !url.starts_with("sqlite:") => {
            tracing::error!("数据库不可用,先接来电,记录暂存本机:{error:#} (starting without the database)");
            let now = clock::now().wall;
            Ok(Store::open_later(url, options(settings, now), DatabaseUse::of(settings.sandbox), now).await?)
        }
        opened => opened,
    }
}

fn no_answer() -> StoreError {
    StoreError::Unavailable("no answer in time".to_owned())
}

fn options(settings: &Settings, now: UnixMillis) -> StoreOptions {
    let offset_minutes = calendar::offset_minutes(settings, now);
    StoreOptions { node: settings.node, offset_minutes, ..StoreOptions::default() }
}

/// Starts everything of a configuration on a store, which may have to be opened yet. What comes back runs until it is told to end.
///
/// # Errors
/// Whatever cannot be opened, named, with what to do.
pub async fn start(configuration: Configuration, store: Store, source: Source) -> anyhow::Result<Arc<App>> {
    let settings = configuration.settings.clone();
    keep_time_zone(&settings)?;
    let now = clock::now();
    let key = recording_key(&settings)?;
    let certificates = Certificates::load(&settings, &configuration.profiles, now.wall)?;
    let (spool, recovered) =
        Spool::open(&settings.data_dir.join("spool")).await.context("the spool cannot be opened")?;
    let ids = store.ids();
    for call in &recovered.calls {
        ids.pass(call.accepted.call.0);
    }
    for (leg, ..) in &recovered.dialogs {
        ids.pass(leg.0);
    }
    let begun = timeout(BEGINNING, footing::begin(&store, &settings)).await;
    let (known, without_database) = match begun.unwrap_or_else(|_| Err(no_answer())) {
        Err(error) if error.is_unavailable() && !settings.sandbox => (footing::stand(&store, &spool).await?, true),
        known => (known?, false),
    };
    let first = ids.next();
    let clashes = staff::clashes(&settings, &known.kept);
    if !clashes.is_empty() {
        return Err(Faults::from(clashes).into());
    }
    let change = plan::change(&configuration, known.hotlines)?;
    let staff = staff::agents(known.kept, &change.config.realm);
    for warning in staff::warnings(&staff, &change.config.realm) {
        tracing::warn!("{warning}");
    }
    let in_force = InForce::new(settings.clone(), &staff, now.wall);
    if let Some(what) = calendar::alarm(&in_force.rules, now.wall).filter(|_| !settings.sandbox) {
        tracing::warn!("{what}");
    }

    let (switch, inbox) = SwitchHandle::new();
    let (agent_log, changes) = tokio::sync::mpsc::channel(agents::LOG_MAILBOX);
    tokio::spawn(agents::keep_log(store.clone(), changes));
    let media = start_media(&settings, key.clone(), &switch)?;
    let listen = plan::listen(&configuration.profiles, &certificates, &tokio::runtime::Handle::current());
    let planned = plan::Planned { change: change.clone(), addresses: listen.addresses() };
    let app = Arc::new(App {
        in_force: RwLock::new(Arc::new(in_force)),
        source,
        max_rate: Arc::new(settings.api.max_rate.into()),
        planned: tokio::sync::Mutex::new(planned),
        standings: std::sync::Mutex::new(Standings { in_force_since: Some(now.wall), ..Standings::default() }),
        ids: ids.clone(),
        live: Live::default(),
        events: Events::new(ids.clone()),
        switch,
        bell: Bell::default(),
        recording_key: key,
        certificates,
        runtime: tokio::runtime::Handle::current(),
        started: now,
        sms: std::sync::OnceLock::new(),
        draining: AtomicBool::new(false),
        without_database: without_database.into(),
        reports: Reports::default(),
        alarms: std::sync::Mutex::default(),
        ending: CancellationToken::new(),
        in_doubt: std::sync::Mutex::default(),
        agent_log,
        spool: spool.clone(),
        store: store.clone(),
    });

    let change = plan::with_staff(change, &staff);
    let mut rng = StdRng::from_os_rng();
    let epoch = now.wall.0.max(0) as u64;
    let acd = acd::config::Config { epoch, queues: change.queues, agents: acd::config::AgentRules::default() };
    let endpoint = EndpointConfig { advertised: change.advertised, ..EndpointConfig::default() };
    let parts = Parts {
        acd: Acd::new(acd, ids.clone(), StdRng::from_seed(rng.random()), now)?,
        auth: Authenticator::new(&change.config.realm, &rng.random::<[u8; 32]>(), change.algorithms, NONCE_LIFE),
        registrar: restored_registrar(&spool, change.registrar).await,
        endpoint: Endpoint::new(endpoint, ids.clone(), rng.random()),
        ids,
        media,
        rng,
        config: change.config,
    };
    let old_calls = app.recover(recovered);
    switch_task::start(app.clone(), parts, listen, inbox).await?;
    tokio::spawn(app.clone().close_old_calls(old_calls, first));
    let doubts = app.clone();
    tokio::spawn(async move { doubts.settle_doubts().await });
    let stored = app.clone();
    spool.start_feeder(store, move |calls| stored.calls_stored(calls));
    if without_database {
        tokio::spawn(app.clone().find_database());
    } else if let Err(error) = app.keep_versions().await {
        tracing::warn!(%error, "the versions of the settings were not kept; the next reload keeps them");
    }
    start_sms(&app, &settings);
    tokio::spawn(footing::keep(app.clone()));
    tokio::spawn(housekeeping::run(app.clone()));
    tokio::spawn(watch::run(app.clone()));
    tokio::spawn(staff::follow(app.clone(), known.counted));
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
