//! Opening hours: a week's hours, holidays, and working days in their place (调休).

use crate::{clock::UnixMillis, ivr::Hours};
use jiff::{Timestamp, civil::Date, civil::Weekday, tz::TimeZone};
use std::collections::{BTreeMap, BTreeSet};

/// Minutes of a day, from the first to before the second.
pub type Span = (u16, u16);

/// One calendar.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Calendar {
    /// Monday first.
    week: [Vec<Span>; 7],
    /// Closed all day.
    pub holidays: BTreeSet<Date>,
    /// Kept as a Monday, whatever day it is.
    pub workdays: BTreeSet<Date>,
}

const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];

impl Calendar {
    /// Adds hours such as `mon-fri 08:30-12:00`, `sat 09:00-12:00` or `daily 00:00-24:00`; None where it is no such text.
    pub fn add(&mut self, text: &str) -> Option<()> {
        let (days, hours) = text.trim().split_once(' ')?;
        let day = |name: &str| DAYS.iter().position(|known| *known == name.to_ascii_lowercase());
        let (first, last) = match days.split_once('-') {
            Some((first, last)) => (day(first)?, day(last)?),
            None if days == "daily" => (0, 6),
            None => (day(days)?, day(days)?),
        };
        let (from, to) = hours.trim().split_once('-')?;
        let span = (minute(from)?, minute(to)?);
        if first > last || span.0 >= span.1 {
            return None;
        }
        self.week[first..=last].iter_mut().for_each(|spans| spans.push(span));
        Some(())
    }

    /// A calendar that never closes.
    pub fn always() -> Calendar {
        Calendar { week: std::array::from_fn(|_| vec![(0, 24 * 60)]), ..Calendar::default() }
    }

    /// The hours of a Monday, in the order in which they were written.
    pub fn monday(&self) -> &[Span] {
        &self.week[0]
    }

    /// Whether it is open at this local date and minute of the day.
    fn open(&self, date: Date, weekday: Weekday, minute: u16) -> bool {
        if self.holidays.contains(&date) {
            return false;
        }
        let day = if self.workdays.contains(&date) { 0 } else { weekday.to_monday_zero_offset() as usize };
        self.week[day].iter().any(|(from, to)| (*from..*to).contains(&minute))
    }
}

/// The minute of the day of a text such as `08:30`, up to `24:00`.
pub(super) fn minute(text: &str) -> Option<u16> {
    let (hour, minute) = text.split_once(':')?;
    let two = |part: &str| (part.len() == 2).then(|| part.parse::<u16>().ok()).flatten();
    let (hour, minute) = (two(hour)?, two(minute)?);
    (minute < 60 && hour * 60 + minute <= 24 * 60).then_some(hour * 60 + minute)
}

/// All calendars, with the time zone in which they are meant.
#[derive(Clone, Debug)]
pub struct Calendars {
    /// The time zone of the settings: days turn and hours are meant there.
    pub zone: TimeZone,
    /// By name; one that is not here is closed.
    pub calendars: BTreeMap<String, Calendar>,
}

impl Hours for Calendars {
    fn open(&self, calendar: &str, now: UnixMillis) -> bool {
        let Some(calendar) = self.calendars.get(calendar) else { return false };
        let Ok(at) = Timestamp::from_millisecond(now.0) else { return false };
        let local = at.to_zoned(self.zone.clone());
        calendar.open(local.date(), local.weekday(), local.hour() as u16 * 60 + local.minute() as u16)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hours_holidays_and_working_days() {
        let mut office = Calendar::default();
        for text in ["mon-fri 08:30-12:00", "mon-fri 14:00-17:30", "sat 09:00-12:00"] {
            office.add(text).unwrap();
        }
        office.holidays.insert("2026-10-01".parse().unwrap());
        office.workdays.insert("2026-10-10".parse().unwrap());
        let zone = TimeZone::get("Asia/Shanghai").unwrap();
        let calendars = Calendars { zone: zone.clone(), calendars: BTreeMap::from([("office".into(), office)]) };
        let open = |name: &str, at: &str| {
            let local: jiff::civil::DateTime = at.parse().unwrap();
            let at = local.to_zoned(zone.clone()).unwrap().timestamp().as_millisecond();
            calendars.open(name, UnixMillis(at))
        };
        assert!(open("office", "2026-09-30T08:30:00") && !open("office", "2026-09-30T08:29:59"));
        assert!(!open("office", "2026-09-30T12:00:00") && open("office", "2026-09-30T17:29:00"));
        assert!(!open("office", "2026-10-01T09:00:00"), "a holiday");
        assert!(open("office", "2026-10-10T15:00:00"), "a Saturday that is kept as a Monday");
        assert!(!open("office", "2026-10-17T15:00:00"), "an ordinary Saturday");
        assert!(!open("other", "2026-09-30T09:00:00"));
    }

    #[test]
    fn texts_that_are_no_hours() {
        for bad in [
            "",
            "mon",
            "mon 8:30-12:00",
            "fri-mon 08:00-12:00",
            "mon 12:00-08:00",
            "mon 08:00-24:01",
            "xxx 08:00-09:00",
        ] {
            assert_eq!(Calendar::default().add(bad), None, "{bad}");
        }
        assert!(Calendar::default().add("daily 00:00-24:00").is_some());
    }
}
