//! Alarms: what an operator must look at. Each has a stable code, a severity, since when it stands, what is wrong and
//! what to do about it.
//!
//! Pure: [`super::signs`] says what is wrong at a moment ([`Finding`]), the [`Board`] makes alarms of that: one is
//! raised when its finding has stood for a while, and cleared when it has been gone for a while, so that nothing
//! flickers. `super::watch` carries out what the board decides.

use super::view::When;
use crate::clock::{Now, UnixMillis};
use serde::Serialize;
use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};
use utoipa::ToSchema;

/// What an alarm is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Alarm {
    /// A certificate that peers rely on ends soon, or has ended.
    CertificateExpiry,
    /// A disk is full, or will be at the rate of the last hours.
    DiskForecast,
    /// The holidays of a year are not known.
    CalendarMissing,
    /// The clock is off, or nobody keeps it right.
    ClockOffset,
    /// A recording lacks something that was said.
    RecordingGap,
    /// Somebody on a call was not heard.
    RtpOneWay,
    /// What the database should have waits in the spool.
    SpoolBacklog,
    /// The spool cannot be written: new calls are refused.
    SpoolUnwritable,
    /// The database does not answer.
    DatabaseAway,
    /// There is no link to the SMS centre.
    SmsAway,
    /// Of these messages nobody knows whether they were sent.
    SmsUncertain,
    /// Few files may be opened any more.
    OpenFiles,
    /// Few RTP ports are free.
    RtpPorts,
    /// New settings have faults; the old ones stay in force.
    SettingsFault,
}

impl Alarm {
    /// Every alarm.
    pub const ALL: [Alarm; 14] = [
        Alarm::CertificateExpiry,
        Alarm::DiskForecast,
        Alarm::CalendarMissing,
        Alarm::ClockOffset,
        Alarm::RecordingGap,
        Alarm::RtpOneWay,
        Alarm::SpoolBacklog,
        Alarm::SpoolUnwritable,
        Alarm::DatabaseAway,
        Alarm::SmsAway,
        Alarm::SmsUncertain,
        Alarm::OpenFiles,
        Alarm::RtpPorts,
        Alarm::SettingsFault,
    ];

    /// The stable code, for the API, the figures and the operating guide.
    pub const fn code(self) -> &'static str {
        match self {
            Alarm::CertificateExpiry => "certificate_expiry",
            Alarm::DiskForecast => "disk_forecast",
            Alarm::CalendarMissing => "calendar_missing",
            Alarm::ClockOffset => "clock_offset",
            Alarm::RecordingGap => "recording_gap",
            Alarm::RtpOneWay => "rtp_one_way",
            Alarm::SpoolBacklog => "spool_backlog",
            Alarm::SpoolUnwritable => "spool_unwritable",
            Alarm::DatabaseAway => "database_away",
            Alarm::SmsAway => "sms_away",
            Alarm::SmsUncertain => "sms_uncertain",
            Alarm::OpenFiles => "open_files",
            Alarm::RtpPorts => "rtp_ports",
            Alarm::SettingsFault => "settings_fault",
        }
    }

    /// What it is called on a page.
    pub const fn title(self) -> &'static str {
        match self {
            Alarm::CertificateExpiry => "证书即将到期",
            Alarm::DiskForecast => "磁盘空间不足",
            Alarm::CalendarMissing => "缺少节假日安排",
            Alarm::ClockOffset => "系统时钟不准",
            Alarm::RecordingGap => "录音有缺口",
            Alarm::RtpOneWay => "通话单通",
            Alarm::SpoolBacklog => "通话记录积压",
            Alarm::SpoolUnwritable => "暂存区写不进磁盘",
            Alarm::DatabaseAway => "数据库不可用",
            Alarm::SmsAway => "短信中心未连接",
            Alarm::SmsUncertain => "有短信结果不明",
            Alarm::OpenFiles => "可打开的文件数不足",
            Alarm::RtpPorts => "媒体端口不足",
            Alarm::SettingsFault => "新配置有错误",
        }
    }

    /// What to do about it.
    pub const fn advice(self) -> &'static str {
        match self {
            Alarm::CertificateExpiry => "更换证书文件后发送 SIGHUP,新连接即使用新证书",
            Alarm::DiskForecast => {
                "清理或扩容数据盘;录音占用最大,可把 [recording] dir 指到更大的盘。写满后录音停止、新来电被拒绝"
            }
            Alarm::CalendarMissing => {
                "把该年放假和调休日期写入 [[calendar]] 的 holidays 和 workdays,否则办理期限会算错"
            }
            Alarm::ClockOffset => "检查 chrony 或 systemd-timesyncd 是否在运行、能否连上时间源",
            Alarm::RecordingGap => "查看日志中 recorded with a gap 的通话;检查磁盘写入速度和剩余空间",
            Alarm::RtpOneWay => {
                "按日志中的通话编号查看是哪一方没有声音;检查防火墙和地址转换是否放行 RTP 端口,以及 external_address"
            }
            Alarm::SpoolBacklog => "检查数据库是否可用、是否太慢;通话照常,恢复后自动补写,不要删除 data/spool",
            Alarm::SpoolUnwritable => "立即检查数据盘是否写满或损坏;恢复之前新来电以 503 拒绝",
            Alarm::DatabaseAway => "检查数据库服务和网络;通话照常进行,接口返回 503,恢复后自动补写",
            Alarm::SmsAway => "检查到短信中心的网络、账号和密码;短信保留,恢复后自动发送",
            Alarm::SmsUncertain => "与短信中心核对这些短信是否已经送出,再决定是否重发",
            Alarm::OpenFiles => "调大 LimitNOFILE;每路通话用四个文件",
            Alarm::RtpPorts => "调大 [media] ports 的范围,并在防火墙放行;用完后新来电会失败",
            Alarm::SettingsFault => "按日志或 hotline check 列出的行改正后再发送 SIGHUP;在此之前仍按原配置运行",
        }
    }

    /// How long a finding must stand before the alarm is raised, and be gone before it is cleared.
    const fn patience(self) -> (Duration, Duration) {
        let (raise, clear) = match self {
            Alarm::CertificateExpiry | Alarm::CalendarMissing | Alarm::SettingsFault => (0, 0),
            // What happened is remembered for a window of its own.
            Alarm::RecordingGap | Alarm::RtpOneWay => (0, 0),
            Alarm::DiskForecast | Alarm::OpenFiles | Alarm::RtpPorts | Alarm::SmsUncertain => (0, 60),
            Alarm::ClockOffset => (60, 60),
            Alarm::SpoolBacklog | Alarm::SpoolUnwritable => (0, 15),
            Alarm::DatabaseAway => (10, 15),
            Alarm::SmsAway => (60, 30),
        };
        (Duration::from_secs(raise), Duration::from_secs(clear))
    }
}

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// To be seen to in working hours.
    Warning,
    /// To be seen to now.
    Critical,
}

/// What is wrong at a moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// What is wrong, in words, without anybody's name or number.
    pub detail: String,
}

impl Finding {
    /// Something to be seen to in working hours.
    pub fn warning(detail: impl Into<String>) -> Self {
        Finding { severity: Severity::Warning, detail: detail.into() }
    }

    /// Something to be seen to now.
    pub fn critical(detail: impl Into<String>) -> Self {
        Finding { severity: Severity::Critical, detail: detail.into() }
    }
}

/// An alarm that stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Raised {
    /// What it is about.
    pub alarm: Alarm,
    /// How bad it is now.
    pub severity: Severity,
    /// Since when what is wrong was seen.
    pub since: UnixMillis,
    /// What is wrong now.
    pub detail: String,
}

/// What became of an alarm.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// It stands from now on, or has become worse or better.
    Raised(Raised),
    /// It does not stand any more.
    Cleared(Raised),
}

#[derive(Debug)]
struct Standing {
    raised: Raised,
    /// When the finding was first seen.
    first: Instant,
    /// When it was last seen.
    last: Instant,
    told: bool,
}

/// All alarms at a moment.
#[derive(Debug, Default)]
pub struct Board(BTreeMap<Alarm, Standing>);

impl Board {
    /// Takes all that is wrong at `now`, and says which alarms are raised, changed or cleared by it.
    pub fn judge(&mut self, now: Now, findings: BTreeMap<Alarm, Finding>) -> Vec<Change> {
        let mut changes = Vec::new();
        for (alarm, Finding { severity, detail }) in findings {
            let raised = Raised { alarm, severity, since: now.wall, detail };
            let standing = self.0.entry(alarm).or_insert_with(|| Standing {
                raised: raised.clone(),
                first: now.mono,
                last: now.mono,
                told: false,
            });
            let worse_or_better = standing.raised.severity != severity;
            standing.raised = Raised { since: standing.raised.since, ..raised };
            standing.last = now.mono;
            let due = now.mono.saturating_duration_since(standing.first) >= alarm.patience().0;
            if due && (!standing.told || worse_or_better) {
                standing.told = true;
                changes.push(Change::Raised(standing.raised.clone()));
            }
        }
        self.0.retain(|alarm, standing| {
            let gone = now.mono.saturating_duration_since(standing.last);
            // What was never told is forgotten at once: it has to stand anew.
            let over = !gone.is_zero() && (!standing.told || gone >= alarm.patience().1);
            if over && standing.told {
                changes.push(Change::Cleared(standing.raised.clone()));
            }
            !over
        });
        changes
    }

    /// Whether an alarm stands.
    pub fn stands(&self, alarm: Alarm) -> bool {
        self.0.get(&alarm).is_some_and(|standing| standing.told)
    }

    /// The alarms that stand, the worst first, then the oldest.
    pub fn raised(&self) -> Vec<Raised> {
        let mut raised: Vec<Raised> = self.0.values().filter(|s| s.told).map(|s| s.raised.clone()).collect();
        raised.sort_by_key(|raised| (std::cmp::Reverse(raised.severity), raised.since));
        raised
    }
}

/// An alarm as it is shown.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct AlarmView {
    /// The stable code, such as `disk_forecast`.
    pub code: &'static str,
    /// What it is called.
    pub title: &'static str,
    /// `warning` or `critical`.
    pub severity: Severity,
    /// Since when what is wrong was seen.
    pub since: When,
    /// What is wrong.
    pub detail: String,
    /// What to do about it.
    pub advice: &'static str,
}

impl From<&Raised> for AlarmView {
    fn from(raised: &Raised) -> Self {
        AlarmView {
            code: raised.alarm.code(),
            title: raised.alarm.title(),
            severity: raised.severity,
            since: When(raised.since),
            detail: raised.detail.clone(),
            advice: raised.alarm.advice(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::clock;

    fn found(alarm: Alarm, finding: Finding) -> BTreeMap<Alarm, Finding> {
        BTreeMap::from([(alarm, finding)])
    }

    fn seconds(n: u64) -> Duration {
        Duration::from_secs(n)
    }

    #[test]
    fn an_alarm_is_raised_after_its_time_and_cleared_after_its_time() {
        let (start, alarm) = (clock::now(), Alarm::DatabaseAway);
        let mut board = Board::default();
        let away = || found(alarm, Finding::critical("away"));
        assert!(board.judge(start, away()).is_empty());
        assert!(board.judge(start.plus(seconds(5)), away()).is_empty() && board.raised().is_empty());
        let [Change::Raised(raised)] = &board.judge(start.plus(seconds(10)), away())[..] else { panic!("not raised") };
        assert_eq!((raised.since, raised.severity), (start.wall, Severity::Critical));
        assert!(board.judge(start.plus(seconds(15)), away()).is_empty(), "told once");
        assert!(board.stands(alarm));
        // It comes and goes: nothing is told.
        assert!(board.judge(start.plus(seconds(20)), BTreeMap::new()).is_empty());
        assert!(board.judge(start.plus(seconds(25)), away()).is_empty());
        assert!(board.judge(start.plus(seconds(39)), BTreeMap::new()).is_empty());
        let changes = board.judge(start.plus(seconds(40)), BTreeMap::new());
        assert!(matches!(&changes[..], [Change::Cleared(cleared)] if cleared.alarm == alarm), "{changes:?}");
        assert!(!board.stands(alarm) && board.raised().is_empty());
    }

    #[test]
    fn what_was_gone_before_it_was_told_begins_anew() {
        let (start, alarm) = (clock::now(), Alarm::SmsAway);
        let mut board = Board::default();
        for (at, away) in [(0, true), (30, true), (35, false), (40, true), (95, true)] {
            let findings = if away { found(alarm, Finding::warning("away")) } else { BTreeMap::new() };
            assert!(board.judge(start.plus(seconds(at)), findings).is_empty(), "at {at} s");
        }
        assert_eq!(board.judge(start.plus(seconds(100)), found(alarm, Finding::warning("away"))).len(), 1);
    }

    #[test]
    fn a_change_for_the_worse_is_told_and_a_new_figure_is_not() {
        let start = clock::now();
        let mut board = Board::default();
        let disk = |finding| found(Alarm::DiskForecast, finding);
        assert_eq!(board.judge(start, disk(Finding::warning("20 h"))).len(), 1);
        assert!(board.judge(start.plus(seconds(5)), disk(Finding::warning("19 h"))).is_empty());
        assert_eq!(board.raised()[0].detail, "19 h", "the list is up to date all the same");
        let changes = board.judge(start.plus(seconds(10)), disk(Finding::critical("3 h")));
        assert!(
            matches!(&changes[..], [Change::Raised(now)] if now.severity == Severity::Critical && now.since == start.wall)
        );
    }

    #[test]
    fn the_worst_comes_first() {
        let mut board = Board::default();
        let findings = BTreeMap::from([
            (Alarm::CalendarMissing, Finding::warning("2027")),
            (Alarm::SpoolUnwritable, Finding::critical("full")),
        ]);
        board.judge(clock::now(), findings);
        let order: Vec<Alarm> = board.raised().iter().map(|raised| raised.alarm).collect();
        assert_eq!(order, [Alarm::SpoolUnwritable, Alarm::CalendarMissing]);
    }

    #[test]
    fn codes_are_told_apart_and_everything_has_advice() {
        let codes: std::collections::BTreeSet<_> = Alarm::ALL.iter().map(|alarm| alarm.code()).collect();
        assert_eq!(codes.len(), Alarm::ALL.len());
        for alarm in Alarm::ALL {
            assert!(!alarm.title().is_empty() && alarm.advice().chars().count() > 10, "{}", alarm.code());
        }
    }
}
