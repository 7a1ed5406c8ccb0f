//! Working days and office hours.
//!
//! Holidays and make-up working days (调休) are data that the State Council publishes for each year. Times are counted
//! at a fixed offset from UTC (China has no summer time). A day that a period begins on is not counted, and the
//! period's last day ends when the office closes (Civil Code of China, articles 201 and 203).

use crate::clock::UnixMillis;
use jiff::{
    Span,
    civil::{Date, Weekday},
};
use std::collections::BTreeSet;

const MINUTE: i64 = 60_000;
const DAY_MINUTES: i64 = 24 * 60;
/// Years of days that are looked through at most: bounds every loop, whatever the data says.
const HORIZON_DAYS: u32 = 3 * 366;
/// From this day of the year on, next year's calendar is expected.
const NEXT_YEAR_FROM: (i8, i8) = (12, 1);

/// Office hours: minutes of the local day, `from` inclusive, `to` exclusive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Hours {
    /// Minute of the day at which the office opens.
    pub from: u16,
    /// Minute of the day at which it closes.
    pub to: u16,
}

/// A unit's working calendar.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Calendar {
    /// Minutes that local time is ahead of UTC; 480 in China.
    pub offset_minutes: i32,
    /// Days off that would otherwise be worked.
    pub holidays: BTreeSet<Date>,
    /// Saturdays and Sundays that are worked (调休).
    pub makeup_days: BTreeSet<Date>,
    /// The spans of a working day, in order and not overlapping.
    pub office_hours: Vec<Hours>,
    /// Years whose holidays are known.
    pub years: BTreeSet<i16>,
}

impl Default for Calendar {
    /// Monday to Friday, 08:30–12:00 and 14:00–17:30, China time, no year's holidays known.
    fn default() -> Self {
        Calendar {
            offset_minutes: 480,
            holidays: BTreeSet::new(),
            makeup_days: BTreeSet::new(),
            office_hours: vec![Hours { from: 8 * 60 + 30, to: 12 * 60 }, Hours { from: 14 * 60, to: 17 * 60 + 30 }],
            years: BTreeSet::new(),
        }
    }
}

impl Calendar {
    /// The local date of a moment; the last representable date for moments beyond all calendars.
    pub fn day(&self, at: UnixMillis) -> Date {
        let days = self.local_minutes(at).div_euclid(DAY_MINUTES);
        let epoch = Date::constant(1970, 1, 1);
        let moved = Span::new().try_days(days).and_then(|span| epoch.checked_add(span));
        moved.unwrap_or(if days < 0 { Date::MIN } else { Date::MAX })
    }

    /// The moment of `minute` minutes after local midnight of `day`.
    pub fn moment(&self, day: Date, minute: i64) -> UnixMillis {
        let days = i64::from((day - Date::constant(1970, 1, 1)).get_days());
        UnixMillis((days * DAY_MINUTES + minute - i64::from(self.offset_minutes)) * MINUTE)
    }

    /// Whether offices work on this day.
    pub fn is_working(&self, day: Date) -> bool {
        if self.makeup_days.contains(&day) {
            return true;
        }
        !matches!(day.weekday(), Weekday::Saturday | Weekday::Sunday) && !self.holidays.contains(&day)
    }

    /// The moment at which offices close on this day; midnight where no hours are set.
    pub fn closing(&self, day: Date) -> UnixMillis {
        let minute = self.office_hours.iter().map(|h| i64::from(h.to)).max().unwrap_or(DAY_MINUTES);
        self.moment(day, minute)
    }

    /// The end of the `count`-th working day after the day of `from`; of the day itself where `count` is 0.
    pub fn add_working_days(&self, from: UnixMillis, count: u32) -> UnixMillis {
        let mut day = self.day(from);
        let mut left = count;
        for _ in 0..HORIZON_DAYS {
            if left == 0 {
                break;
            }
            day = next(day);
            if self.is_working(day) {
                left -= 1;
            }
        }
        self.closing(day)
    }

    /// The moment at which `minutes` of office time have passed since `from`.
    pub fn add_working_minutes(&self, from: UnixMillis, minutes: u32) -> UnixMillis {
        let mut day = self.day(from);
        let mut left = i64::from(minutes) * MINUTE;
        for _ in 0..HORIZON_DAYS {
            if self.is_working(day) {
                for hours in &self.office_hours {
                    let opens = self.moment(day, i64::from(hours.from)).max(from);
                    let closes = self.moment(day, i64::from(hours.to));
                    let span = (closes - opens).max(0);
                    if span > 0 && left <= span {
                        return UnixMillis(opens.0 + left);
                    }
                    left -= span;
                }
            }
            day = next(day);
        }
        // No office hours at all: natural time is the only time left to count.
        UnixMillis(from.0.saturating_add(i64::from(minutes) * MINUTE))
    }

    /// Office time between two moments, in milliseconds; zero where `to` is not after `from`.
    pub fn working_millis(&self, from: UnixMillis, to: UnixMillis) -> i64 {
        let mut day = self.day(from);
        let last = self.day(to);
        let mut sum = 0;
        for _ in 0..HORIZON_DAYS {
            if day > last {
                break;
            }
            if self.is_working(day) {
                for hours in &self.office_hours {
                    let opens = self.moment(day, i64::from(hours.from)).max(from);
                    let closes = self.moment(day, i64::from(hours.to)).min(to);
                    sum += (closes - opens).max(0);
                }
            }
            day = next(day);
        }
        sum
    }

    /// Whether offices are open at this moment.
    pub fn is_open(&self, at: UnixMillis) -> bool {
        let minute = self.local_minutes(at).rem_euclid(DAY_MINUTES);
        self.is_working(self.day(at))
            && self.office_hours.iter().any(|h| (i64::from(h.from)..i64::from(h.to)).contains(&minute))
    }

    /// The year whose holidays ought to be known at `now` and are not: an alarm, since due times would be wrong.
    pub fn missing_year(&self, now: UnixMillis) -> Option<i16> {
        let today = self.day(now);
        if !self.years.contains(&today.year()) {
            return Some(today.year());
        }
        let expected = (today.month(), today.day()) >= NEXT_YEAR_FROM;
        (expected && !self.years.contains(&(today.year() + 1))).then_some(today.year() + 1)
    }

    fn local_minutes(&self, at: UnixMillis) -> i64 {
        at.0.div_euclid(MINUTE) + i64::from(self.offset_minutes)
    }
}

fn next(day: Date) -> Date {
    day.tomorrow().unwrap_or(Date::MAX)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use jiff::civil::date;

    /// The National Day of 2026 as an example: 1–7 October off, 10 October (a Saturday) worked.
    pub(crate) fn october() -> Calendar {
        let mut calendar = Calendar::default();
        calendar.holidays.extend((1..=7).map(|d| date(2026, 10, d)));
        calendar.makeup_days.insert(date(2026, 10, 10));
        calendar.years.insert(2026);
        calendar
    }

    pub(crate) fn at(calendar: &Calendar, day: Date, hour: i64, minute: i64) -> UnixMillis {
        calendar.moment(day, hour * 60 + minute)
    }

    #[test]
    fn days_turn_at_local_midnight() {
        let c = october();
        let midnight = at(&c, date(2026, 10, 1), 0, 0);
        assert_eq!(midnight, UnixMillis(1_790_784_000_000), "2026-09-30T16:00Z");
        assert_eq!(c.day(midnight), date(2026, 10, 1));
        assert_eq!(c.day(UnixMillis(midnight.0 - 1)), date(2026, 9, 30));
    }

    #[test]
    fn working_days_skip_the_holiday_and_count_the_makeup_day() {
        let c = october();
        let from = at(&c, date(2026, 9, 30), 10, 0);
        assert_eq!(c.add_working_days(from, 1), at(&c, date(2026, 10, 8), 17, 30));
        assert_eq!(c.add_working_days(from, 3), at(&c, date(2026, 10, 10), 17, 30), "a Saturday that is worked");
        assert_eq!(c.add_working_days(from, 5), at(&c, date(2026, 10, 13), 17, 30));
    }

    #[test]
    fn working_hours_run_only_while_offices_are_open() {
        let c = october();
        let before_lunch = at(&c, date(2026, 9, 30), 11, 30);
        assert_eq!(c.add_working_minutes(before_lunch, 120), at(&c, date(2026, 9, 30), 15, 30));
        let before_holiday = at(&c, date(2026, 9, 30), 17, 0);
        assert_eq!(c.add_working_minutes(before_holiday, 60), at(&c, date(2026, 10, 8), 9, 0));
        assert_eq!(c.working_millis(before_holiday, at(&c, date(2026, 10, 8), 9, 0)), 60 * MINUTE);
        assert!(c.is_open(before_lunch) && !c.is_open(at(&c, date(2026, 9, 30), 13, 0)));
        let evening = at(&c, date(2026, 9, 30), 18, 0);
        assert_eq!(c.add_working_minutes(evening, 0), at(&c, date(2026, 10, 8), 8, 30), "no time, but office time");
    }

    #[test]
    fn years_of_working_days_are_counted() {
        let c = Calendar::default();
        // Five working days a week: 400 weeks would be past the horizon, 100 are not.
        assert_eq!(c.add_working_days(at(&c, date(2026, 11, 2), 9, 0), 500), at(&c, date(2028, 10, 2), 17, 30));
    }

    #[test]
    fn a_calendar_without_hours_or_days_still_ends() {
        let c = Calendar { office_hours: Vec::new(), ..october() };
        assert_eq!(c.add_working_minutes(UnixMillis(0), 60), UnixMillis(60 * MINUTE));
        assert!(c.add_working_days(UnixMillis(i64::MAX), u32::MAX).0 != 0);
        assert_eq!(c.day(UnixMillis(i64::MIN)), Date::MIN);
    }

    #[test]
    fn next_years_calendar_is_missed_in_december() {
        let mut c = october();
        assert_eq!(c.missing_year(at(&c, date(2026, 11, 30), 9, 0)), None);
        assert_eq!(c.missing_year(at(&c, date(2026, 12, 1), 9, 0)), Some(2027));
        assert_eq!(c.missing_year(at(&c, date(2027, 1, 1), 9, 0)), Some(2027));
        c.years.insert(2027);
        assert_eq!(c.missing_year(at(&c, date(2026, 12, 1), 9, 0)), None);
    }
}
