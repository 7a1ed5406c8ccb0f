//! The calendar that tickets' due times are computed by, taken from the settings; and the alarm for a year whose
//! holidays nobody has entered.

use crate::{
    clock::UnixMillis,
    config::Settings,
    ivr::{Fault, Place},
    ticket::{Calendar, Rules, calendar::Hours},
};
use jiff::{Timestamp, tz::TimeZone};

/// Minutes that local time is ahead of UTC at `now`.
pub fn offset_minutes(settings: &Settings, now: UnixMillis) -> i32 {
    let zone = TimeZone::get(&settings.time_zone).unwrap_or(TimeZone::UTC);
    let at = Timestamp::from_millisecond(now.0).unwrap_or(Timestamp::UNIX_EPOCH);
    zone.to_offset(at).seconds() / 60
}

/// Working days and hours as `ticket_calendar` says, in the settings' time zone; the policy is the common one.
pub fn rules(settings: &Settings, now: UnixMillis) -> Rules {
    let mut calendar = Calendar { offset_minutes: offset_minutes(settings, now), ..Calendar::default() };
    if let Some(written) = settings.calendars.calendars.get(&settings.ticket_calendar) {
        let mut hours: Vec<Hours> = written.monday().iter().map(|&(from, to)| Hours { from, to }).collect();
        hours.sort_by_key(|hours| hours.from);
        if !hours.is_empty() {
            calendar.office_hours = hours;
        }
        calendar.holidays = written.holidays.clone();
        calendar.makeup_days = written.workdays.clone();
        calendar.years = written.holidays.iter().map(|day| day.year()).collect();
    }
    Rules { calendar, ..Rules::default() }
}

/// What is wrong with the calendar at `now`, in words.
pub fn alarm(rules: &Rules, now: UnixMillis) -> Option<String> {
    let year = rules.calendar.missing_year(now)?;
    Some(format!(
        "缺少 {year} 年的节假日安排,办理期限会算错 (no holidays of {year} are known: due times will be wrong)"
    ))
}

/// The same for `hotline check`. A sandbox's hours are invented, and its due times bind nobody.
pub fn warning(settings: &Settings, now: UnixMillis) -> Option<Fault> {
    let what = alarm(&rules(settings, now), now).filter(|_| !settings.sandbox)?;
    let fix = format!("add them to [[calendar]] name = \"{}\": holidays and workdays", settings.ticket_calendar);
    Some(Fault::new(&settings.file, Place::default(), what, fix).as_warning())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ticket::Rule;
    use std::path::Path;

    fn at(text: &str) -> UnixMillis {
        UnixMillis(text.parse::<Timestamp>().unwrap().as_millisecond())
    }

    fn settings(text: &str) -> Settings {
        Settings::parse(text, "hotline.toml", Path::new(".")).unwrap_or_else(|faults| panic!("{faults:#?}"))
    }

    #[test]
    fn due_times_follow_the_settings() {
        let settings = settings(
            "time_zone = \"Asia/Urumqi\"\n[[calendar]]\nname = \"office\"\n\
             open = [\"mon-fri 14:00-18:00\", \"mon-fri 10:00-13:00\"]\n\
             holidays = [\"2026-10-01\", \"2026-10-02\"]\nworkdays = [\"2026-10-10\"]\n",
        );
        let now = at("2026-09-30T04:00:00Z");
        assert_eq!(offset_minutes(&settings, now), 360);
        let rules = rules(&settings, now);
        // Thursday and Friday are off: the first working day after is Monday the 5th, until 18:00 at UTC+6.
        assert_eq!(Rule::WorkingDays(1).due(now, &rules.calendar), at("2026-10-05T12:00:00Z"));
        assert_eq!(Rule::WorkingHours(2).due(now, &rules.calendar), at("2026-09-30T06:00:00Z"));
        assert!(rules.calendar.is_working("2026-10-10".parse().unwrap()));
    }

    #[test]
    fn a_year_without_holidays_is_told() {
        let text = "[[calendar]]\nname = \"office\"\nopen = [\"mon-fri 09:00-17:00\"]\nholidays = [\"2026-10-01\"]\n";
        let known = settings(text);
        assert_eq!(warning(&known, at("2026-11-30T00:00:00Z")), None);
        let december = warning(&known, at("2026-12-02T00:00:00Z")).unwrap();
        assert!(december.is_warning() && december.to_string().contains("2027"), "{december}");
        let none = settings("");
        assert!(alarm(&rules(&none, at("2026-03-01T00:00:00Z")), at("2026-03-01T00:00:00Z")).unwrap().contains("2026"));
        let sandbox = Settings::sandbox(Path::new("data"));
        assert_eq!(warning(&sandbox, at("2026-03-01T00:00:00Z")), None);
    }
}
