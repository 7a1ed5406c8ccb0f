//! What is wrong at a moment: figures and events held against their limits. Pure, but for [`Reports`], where other
//! parts of the program leave what they saw until the watch looks.

use super::alarms::{Alarm, Finding};
use super::certificates::Expiry;
use crate::{clock::UnixMillis, config::settings::AlarmSettings, net::host::Disk, store::spool::Waiting};
use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

/// How long a recording's gap and a call that was not heard are remembered.
const GAPS: Duration = Duration::from_secs(3600);
const ONE_WAY: Duration = Duration::from_secs(600);
/// The most that are remembered of either.
const MOST: usize = 10_000;
/// What waits longer than this in the spool is a backlog; ten times as long is bad.
const BACKLOG: Duration = Duration::from_secs(30);
/// Uncertain messages are for a person to settle: from so many on the gateway itself is in doubt.
const MANY_UNCERTAIN: i64 = 50;
const DAY_MS: i64 = 86_400_000;

/// What is wrong with certificates at `now`: the first to end counts.
pub fn certificates(certificates: &[Expiry], now: UnixMillis, limits: &AlarmSettings) -> Option<Finding> {
    let first = certificates.iter().min_by_key(|certificate| certificate.not_after)?;
    let (left, name) = (first.not_after - now, &first.profile);
    let days = left / DAY_MS;
    match left {
        ..=0 => Some(Finding::critical(format!("{name} 的证书已过期,加密连接会被拒绝 (the certificate has expired)"))),
        left if left < 7 * DAY_MS => Some(Finding::critical(format!("{name} 的证书还有 {days} 天到期"))),
        left if left < i64::from(limits.certificate_days) * DAY_MS => {
            Some(Finding::warning(format!("{name} 的证书还有 {days} 天到期")))
        }
        _ => None,
    }
}

/// The room on a disk over the last hours.
#[derive(Debug, Default)]
pub struct Forecast(VecDeque<(Instant, u64)>);

impl Forecast {
    /// One look a minute is kept, for six hours.
    const EVERY: Duration = Duration::from_secs(60);
    const KEPT: usize = 360;
    /// Less than this says nothing about a day.
    const LEAST: Duration = Duration::from_secs(1800);

    /// There are `free` octets at `now`.
    pub fn note(&mut self, now: Instant, free: u64) {
        if self.0.back().is_some_and(|(at, _)| now.saturating_duration_since(*at) < Self::EVERY) {
            return;
        }
        if self.0.len() == Self::KEPT {
            self.0.pop_front();
        }
        self.0.push_back((now, free));
    }

    /// How long the room lasts at the rate of the last hours; None where it does not shrink or too little is known.
    pub fn lasts(&self) -> Option<Duration> {
        let ((from, before), (to, free)) = (self.0.front()?, self.0.back()?);
        let took = to.saturating_duration_since(*from);
        let used = before.checked_sub(*free).filter(|used| *used > 0 && took >= Self::LEAST)?;
        let seconds = *free as f64 * took.as_secs_f64() / used as f64;
        Some(Duration::from_secs_f64(seconds.min(1e9)))
    }
}

/// What is wrong with a disk. Where the alarm `stands`, it takes a quarter more room to clear it.
pub fn disk(name: &str, disk: Disk, lasts: Option<Duration>, limits: &AlarmSettings, stands: bool) -> Option<Finding> {
    let more = if stands { 1.25 } else { 1.0 };
    let least = (limits.disk_min_free_mb << 20) as f64;
    let free = disk.free as f64;
    let room = format!("剩余 {:.1} GB", free / f64::from(1 << 30));
    if free < least * more {
        return Some(Finding::critical(format!("{name}{room},低于 {:.1} GB", least / f64::from(1 << 30))));
    }
    let hours = lasts?.as_secs_f64() / 3600.0;
    let words = || format!("{name}{room},按最近几小时的速度约 {hours:.0} 小时后写满");
    match f64::from(limits.disk_hours) * more {
        limit if hours < limit / 6.0 => Some(Finding::critical(words())),
        limit if hours < limit => Some(Finding::warning(words())),
        _ => None,
    }
}

/// What is wrong with the clock.
pub fn clock(offset: Option<f64>, limits: &AlarmSettings) -> Option<Finding> {
    let Some(offset) = offset else {
        return Some(Finding::warning("系统时钟未与时间源同步,偏差未知"));
    };
    let milliseconds = offset.abs() * 1e3;
    let limit = f64::from(limits.clock_offset_ms);
    (milliseconds > limit).then(|| {
        let detail = format!("系统时钟偏差 {milliseconds:.0} 毫秒,超过 {limit:.0} 毫秒");
        if milliseconds > 10.0 * limit { Finding::critical(detail) } else { Finding::warning(detail) }
    })
}

/// What is wrong with what waits in the spool.
pub fn backlog(waiting: Waiting, now: UnixMillis) -> Option<Finding> {
    if waiting.stuck > 0 {
        let what = format!("{} 路通话的记录数据库拒绝接收,留在暂存区等待处理", waiting.stuck);
        return Some(Finding::critical(what));
    }
    let age = now.since(waiting.oldest?);
    let detail = || format!("最早一路通话的记录已等待 {} 秒写入数据库", age.as_secs());
    if age >= 10 * BACKLOG {
        Some(Finding::critical(detail()))
    } else {
        (age >= BACKLOG).then(|| Finding::warning(detail()))
    }
}

/// What is wrong with messages of which nobody knows whether they were sent.
pub fn uncertain(messages: i64) -> Option<Finding> {
    let detail = format!("{messages} 条短信不知是否送出");
    match messages {
        ..=0 => None,
        1..MANY_UNCERTAIN => Some(Finding::warning(detail)),
        _ => Some(Finding::critical(detail)),
    }
}

/// What is wrong with a supply of which `used` of `all` are taken.
pub fn supply(what: &str, used: u64, all: u64) -> Option<Finding> {
    let share = (used * 100).checked_div(all)?;
    let detail = format!("{what}已用 {used} 个,共 {all} 个");
    match share {
        ..80 => None,
        80..95 => Some(Finding::warning(detail)),
        _ => Some(Finding::critical(detail)),
    }
}

/// What other parts of the program saw, until the watch looks.
#[derive(Debug, Default)]
pub struct Reports(Mutex<Seen>);

#[derive(Debug, Default)]
struct Seen {
    gaps: VecDeque<Instant>,
    one_way: VecDeque<Instant>,
    /// RTP ports: taken, in all.
    ports: (u64, u64),
}

impl Reports {
    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A recording lacks something.
    pub fn recording_gap(&self, now: Instant) {
        remember(&mut self.seen().gaps, now);
    }

    /// Somebody on a call was not heard.
    pub fn one_way(&self, now: Instant) {
        remember(&mut self.seen().one_way, now);
    }

    /// RTP ports: those that are free, and all.
    pub fn ports(&self, free: usize, all: usize) {
        self.seen().ports = (all.saturating_sub(free) as u64, all as u64);
    }

    /// What is wrong by all this.
    pub fn findings(&self, now: Instant) -> BTreeMap<Alarm, Finding> {
        let mut seen = self.seen();
        forget(&mut seen.gaps, now, GAPS);
        forget(&mut seen.one_way, now, ONE_WAY);
        let (gaps, one_way, (used, all)) = (seen.gaps.len(), seen.one_way.len(), seen.ports);
        let found = [
            (
                Alarm::RecordingGap,
                (gaps > 0).then(|| Finding::critical(format!("最近一小时有 {gaps} 段录音不完整,录音已标明"))),
            ),
            (
                Alarm::RtpOneWay,
                (one_way > 0).then(|| {
                    let detail = format!("最近十分钟有 {one_way} 路通话听不到一方的声音");
                    if one_way > 5 { Finding::critical(detail) } else { Finding::warning(detail) }
                }),
            ),
            (Alarm::RtpPorts, supply("RTP 端口", used, all)),
        ];
        found.into_iter().filter_map(|(alarm, finding)| Some((alarm, finding?))).collect()
    }
}

fn remember(times: &mut VecDeque<Instant>, now: Instant) {
    if times.len() == MOST {
        times.pop_front();
    }
    times.push_back(now);
}

fn forget(times: &mut VecDeque<Instant>, now: Instant, kept: Duration) {
    while times.front().is_some_and(|at| now.saturating_duration_since(*at) >= kept) {
        times.pop_front();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{app::alarms::Severity, net::clock::now};

    const GB: u64 = 1 << 30;

    fn limits() -> AlarmSettings {
        AlarmSettings::default()
    }

    fn severity(finding: &Option<Finding>) -> Option<Severity> {
        finding.as_ref().map(|finding| finding.severity)
    }

    #[test]
    fn a_certificate_warns_a_month_before_its_end_and_presses_in_the_last_week() {
        let wall = now().wall;
        for (days, wanted) in [
            (400, None),
            (31, None),
            (29, Some(Severity::Warning)),
            (8, Some(Severity::Warning)),
            (6, Some(Severity::Critical)),
            (-1, Some(Severity::Critical)),
        ] {
            let ends = |days: i64| UnixMillis(wall.0 + days * DAY_MS);
            let both = [("web", 500), ("sip", days)].map(|(profile, days)| Expiry {
                profile: profile.into(),
                file: "".into(),
                not_after: ends(days),
            });
            let finding = super::certificates(&both, wall, &limits());
            assert_eq!(severity(&finding), wanted, "{days} days");
            assert!(finding.is_none_or(|finding| finding.detail.contains("sip")));
        }
        assert_eq!(super::certificates(&[], wall, &limits()), None);
    }

    #[test]
    fn a_disk_is_told_to_fill_by_its_rate() {
        let start = now().mono;
        let mut forecast = Forecast::default();
        let minute = Duration::from_secs(60);
        // 1 GB every six minutes: 10 GB an hour.
        let free = |n: u32| 200 * GB - u64::from(n) * GB / 6;
        for n in 0..30 {
            forecast.note(start + n * minute, free(n));
            assert_eq!(forecast.lasts(), None, "too little is known after {n} minutes");
        }
        forecast.note(start + 30 * minute, free(30));
        let lasts = forecast.lasts().expect("a rate");
        let hours = lasts.as_secs_f64() / 3600.0;
        assert!((19.4..19.6).contains(&hours), "{hours}");
        let found = |left: u64, lasts, stands| {
            disk("数据盘", Disk { free: left, size: 500 * GB, device: 1 }, lasts, &limits(), stands)
        };
        assert_eq!(severity(&found(195 * GB, Some(lasts), false)), Some(Severity::Warning));
        let hours = |n: u64| Some(Duration::from_secs(n * 3600));
        assert_eq!(severity(&found(30 * GB, hours(3), false)), Some(Severity::Critical));
        assert_eq!(severity(&found(30 * GB, hours(25), false)), None);
        assert_eq!(severity(&found(30 * GB, hours(25), true)), Some(Severity::Warning), "it takes more to clear it");
        assert_eq!(severity(&found(30 * GB, hours(31), true)), None);
        assert_eq!(severity(&found(GB - 1, None, false)), Some(Severity::Critical));
        assert_eq!(severity(&found(GB + 1, None, false)), None);
        assert_eq!(severity(&found(GB + 1, None, true)), Some(Severity::Critical));
    }

    #[test]
    fn a_disk_that_is_cleared_is_not_told_to_fill() {
        let start = now().mono;
        let mut forecast = Forecast::default();
        for n in 0..500u32 {
            forecast.note(start + n * Duration::from_secs(60), 10 * GB + u64::from(n));
            forecast.note(start + n * Duration::from_secs(60) + Duration::from_secs(5), 0);
        }
        assert_eq!(forecast.lasts(), None);
        assert_eq!(forecast.0.len(), Forecast::KEPT);
    }

    #[test]
    fn the_clock_is_held_against_its_limit() {
        for (offset, wanted) in [
            (Some(0.1), None),
            (Some(-0.499), None),
            (Some(-0.6), Some(Severity::Warning)),
            (Some(5.1), Some(Severity::Critical)),
            (None, Some(Severity::Warning)),
        ] {
            assert_eq!(severity(&clock(offset, &limits())), wanted, "{offset:?}");
        }
    }

    #[test]
    fn the_spool_is_held_against_its_age() {
        let wall = now().wall;
        let at =
            |seconds: i64, stuck| backlog(Waiting { oldest: Some(UnixMillis(wall.0 - seconds * 1000)), stuck }, wall);
        assert_eq!(severity(&at(29, 0)), None);
        assert_eq!(severity(&at(30, 0)), Some(Severity::Warning));
        assert_eq!(severity(&at(300, 0)), Some(Severity::Critical));
        assert_eq!(severity(&at(0, 1)), Some(Severity::Critical));
        assert_eq!(backlog(Waiting::default(), wall), None);
    }

    #[test]
    fn messages_and_supplies_are_held_against_their_limits() {
        assert_eq!(
            [0, 1, 49, 50].map(|n| severity(&uncertain(n))),
            [None, Some(Severity::Warning), Some(Severity::Warning), Some(Severity::Critical)]
        );
        assert_eq!(
            [0, 79, 80, 95].map(|n| severity(&supply("", n, 100))),
            [None, None, Some(Severity::Warning), Some(Severity::Critical)]
        );
        assert_eq!(supply("", 0, 0), None);
    }

    #[test]
    fn what_happened_is_remembered_for_its_time() {
        let (reports, start) = (Reports::default(), now());
        let at = |after: Duration| reports.findings(start.mono + after);
        assert!(at(Duration::ZERO).is_empty());
        reports.one_way(start.mono);
        reports.recording_gap(start.mono);
        reports.ports(1, 100);
        let found = at(Duration::from_secs(1));
        assert!(
            found[&Alarm::RtpOneWay].detail.contains("1 路") && found[&Alarm::RecordingGap].detail.contains("1 段")
        );
        assert_eq!(found[&Alarm::RtpPorts].severity, Severity::Critical);
        reports.ports(100, 100);
        assert_eq!(at(ONE_WAY).into_keys().collect::<Vec<_>>(), [Alarm::RecordingGap]);
        assert!(at(GAPS).is_empty());
    }
}
