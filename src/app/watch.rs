//! The watch: every few seconds it looks at what nobody else tells of by itself, tells the figures, and raises and
//! clears alarms.

use super::{
    App, AppError,
    alarms::{Alarm, AlarmView, Board, Change, Finding, Raised, Severity},
    calendar,
    events::Audience,
    figures, log,
    permissions::{self, Thing},
    signs::{self, Forecast},
};
use crate::{
    clock::{Now, UnixMillis},
    config::Settings,
    net::{clock, host},
    store::spool::Waiting,
    ticket::Actor,
};
use serde::Serialize;
use std::{
    collections::BTreeMap,
    path::Path,
    sync::{Arc, PoisonError},
    time::{Duration, Instant},
};
use tokio::time::{MissedTickBehavior, timeout};

/// How often.
const EVERY: Duration = Duration::from_secs(5);
/// How often the messages are counted: all of them, by the database.
const COUNT: Duration = Duration::from_secs(60);
/// How long the database and the spool may take to answer.
const PATIENCE: Duration = Duration::from_secs(4);

/// What the watch remembers from look to look.
#[derive(Default)]
struct Watch {
    /// By the disk's name.
    forecasts: BTreeMap<&'static str, Forecast>,
    counted: Option<Instant>,
    uncertain: i64,
}

/// Runs until the program ends.
pub(super) async fn run(app: Arc<App>) {
    let mut watch = Watch::default();
    let mut tick = tokio::time::interval(EVERY);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    figures::build(app.started.wall);
    Alarm::ALL.iter().for_each(|alarm| figures::alarm(alarm.code(), None));
    loop {
        tokio::select! {
            () = app.ending.cancelled() => return,
            _ = tick.tick() => {}
        }
        log::tell_held_back();
        let findings = watch.look(&app).await;
        app.judge(clock::now(), findings);
    }
}

impl Watch {
    /// Looks at everything once: figures are told, and what is wrong is given.
    async fn look(&mut self, app: &App) -> BTreeMap<Alarm, Finding> {
        let (now, in_force) = (clock::now(), app.in_force());
        let settings = &in_force.settings;
        let limits = &settings.alarms;
        figures::present(&app.live, now.wall);
        let mut found = app.reports.findings(now.mono);
        let mut wrong = |alarm: Alarm, finding: Option<Finding>| {
            if let Some(finding) = finding {
                found.insert(alarm, finding);
            }
        };
        wrong(Alarm::DiskForecast, self.disks(app, settings, now));
        wrong(Alarm::SettingsFault, settings_fault(app));
        wrong(Alarm::CertificateExpiry, signs::certificates(&app.certificates.expiries(), now.wall, limits));
        let offset = host::clock_offset();
        figures::clock(offset);
        // A sandbox binds nobody: neither its holidays nor its clock are anybody's to see to.
        if !settings.sandbox {
            wrong(Alarm::ClockOffset, signs::clock(offset, limits));
            wrong(Alarm::CalendarMissing, calendar::alarm(&in_force.rules, now.wall).map(Finding::warning));
        }
        if let Some(process) = host::process() {
            figures::process(process);
            wrong(Alarm::OpenFiles, signs::supply("文件", process.files, process.max_files));
        }
        let trouble = app.spool.trouble().map(|why| Finding::critical(format!("暂存区写入失败:{why}")));
        wrong(Alarm::SpoolUnwritable, trouble);
        wrong(Alarm::SpoolBacklog, spool(app, now.wall).await);
        let away = match timeout(PATIENCE, app.store.ping()).await {
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some(Finding::critical(format!("数据库不可用:{error}"))),
            Err(_) => Some(Finding::critical(format!("数据库 {} 秒内没有应答", PATIENCE.as_secs()))),
        };
        if away.is_none() {
            self.count_messages(app, now.mono).await;
        }
        wrong(Alarm::DatabaseAway, away);
        wrong(Alarm::SmsUncertain, signs::uncertain(self.uncertain));
        let unbound = app.sms.get().is_some_and(|gateway| !gateway.is_bound());
        wrong(Alarm::SmsAway, unbound.then(|| Finding::warning("短信中心未连接,短信将在恢复后发送")));
        found
    }

    /// The disks of the data and of the recordings; where both are one, it is the data's.
    fn disks(&mut self, app: &App, settings: &Settings, now: Now) -> Option<Finding> {
        let folders: [(&'static str, &str, &Path); 2] =
            [("data", "数据盘", &settings.data_dir), ("recordings", "录音盘", &settings.recording.dir)];
        let stands = app.board().stands(Alarm::DiskForecast);
        let mut worst: Option<Finding> = None;
        let mut seen = Vec::new();
        for (name, title, folder) in folders {
            // No folder yet: nothing was recorded.
            let Ok(disk) = host::disk(folder) else { continue };
            figures::disk(name, disk);
            if seen.contains(&disk.device) {
                continue;
            }
            seen.push(disk.device);
            let forecast = self.forecasts.entry(name).or_default();
            forecast.note(now.mono, disk.free);
            let finding = signs::disk(title, disk, forecast.lasts(), &settings.alarms, stands);
            if finding.as_ref().map(|f| f.severity) > worst.as_ref().map(|f| f.severity) {
                worst = finding;
            }
        }
        worst
    }

    async fn count_messages(&mut self, app: &App, now: Instant) {
        if self.counted.is_some_and(|at| now.saturating_duration_since(at) < COUNT) {
            return;
        }
        if let Ok(Ok(counts)) = timeout(PATIENCE, app.store.message_counts()).await {
            self.counted = Some(now);
            figures::messages(&counts);
            self.uncertain = counts.iter().filter(|(state, _)| state == "uncertain").map(|(_, count)| count).sum();
        }
    }
}

/// New settings that are not in force, by the first of their faults.
fn settings_fault(app: &App) -> Option<Finding> {
    let faults = app.standings().all_faults();
    let first = faults.first()?;
    Some(Finding::warning(format!("新配置有 {} 个错误,仍按原配置运行:{first}", faults.len())))
}

async fn spool(app: &App, now: UnixMillis) -> Option<Finding> {
    let waiting: Waiting = timeout(PATIENCE, app.spool.age()).await.ok()?.ok()?;
    figures::waiting(waiting, now);
    signs::backlog(waiting, now)
}

/// An alarm that was raised, changed or cleared, as those who listen are told.
#[derive(Serialize)]
struct Told {
    #[serde(flatten)]
    alarm: AlarmView,
    raised: bool,
}

impl App {
    fn board(&self) -> std::sync::MutexGuard<'_, Board> {
        self.alarms.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes alarms of what is wrong at `now`: figures, log and event stream follow them.
    pub fn judge(&self, now: Now, findings: BTreeMap<Alarm, Finding>) {
        let changes = self.board().judge(now, findings);
        for change in changes {
            let (raised, stands) = match &change {
                Change::Raised(raised) => (raised, true),
                Change::Cleared(raised) => (raised, false),
            };
            tell(raised, stands);
            figures::alarm(raised.alarm.code(), stands.then_some(raised.severity == Severity::Critical));
            let told = Told { alarm: raised.into(), raised: stands };
            self.events.publish("alarm", Audience::All(Thing::Alarms), &told);
        }
    }

    /// The alarms that stand, the worst first.
    ///
    /// # Errors
    /// `Forbidden`.
    pub fn alarm_list(&self, actor: &Actor) -> Result<Vec<AlarmView>, AppError> {
        permissions::require(actor, Thing::Alarms)?;
        Ok(self.alarms_standing())
    }

    /// The same for probes: nothing in it tells of anybody.
    pub(super) fn alarms_standing(&self) -> Vec<AlarmView> {
        self.board().raised().iter().map(AlarmView::from).collect()
    }
}

fn tell(raised: &Raised, stands: bool) {
    let (alarm, detail) = (raised.alarm.code(), raised.detail.as_str());
    match (stands, raised.severity) {
        (true, Severity::Critical) => {
            tracing::error!(target: "hotline::alarm", alarm, detail, "alarm raised: critical")
        }
        (true, Severity::Warning) => tracing::warn!(target: "hotline::alarm", alarm, detail, "alarm raised"),
        (false, _) => tracing::info!(target: "hotline::alarm", alarm, "alarm cleared"),
    }
}
