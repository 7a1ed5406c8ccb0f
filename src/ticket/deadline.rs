//! How long each step may take.
//!
//! A [`Rule`] is frozen on the assignment at dispatch; the due time is computed from it and from the calendar, and can
//! be computed again when the calendar changes. Overdue is derived from the due time and is never stored.

use super::{
    calendar::Calendar,
    ticket::{Kind, Urgency},
};
use crate::clock::UnixMillis;

/// A length of time that is allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(tag = "unit", content = "value", rename_all = "snake_case")]
pub enum Rule {
    /// Minutes by the clock.
    Minutes(u32),
    /// Natural days: to the end of the n-th day after.
    NaturalDays(u32),
    /// Hours while offices are open.
    WorkingHours(u32),
    /// Working days: to the close of the n-th working day after.
    WorkingDays(u32),
    /// The same day where the matter came before this hour (0–24), else the next working day.
    SameDay(u8),
}

impl Rule {
    /// The due time of this rule for something that began at `from`.
    pub fn due(self, from: UnixMillis, calendar: &Calendar) -> UnixMillis {
        match self {
            Rule::Minutes(n) => UnixMillis(from.0.saturating_add(i64::from(n) * 60_000)),
            Rule::NaturalDays(n) => {
                let midnight = calendar.moment(calendar.day(from), 0);
                UnixMillis(midnight.0.saturating_add((i64::from(n) + 1) * 86_400_000))
            }
            Rule::WorkingHours(n) => calendar.add_working_minutes(from, n.saturating_mul(60)),
            Rule::WorkingDays(n) => calendar.add_working_days(from, n),
            Rule::SameDay(cutoff) => {
                let today = calendar.day(from);
                let in_time = from < calendar.moment(today, i64::from(cutoff.min(24)) * 60);
                if in_time && calendar.is_working(today) {
                    calendar.moment(today, 24 * 60)
                } else {
                    let next = calendar.day(calendar.add_working_days(from, 1));
                    calendar.moment(next, 24 * 60)
                }
            }
        }
    }
}

/// The time for handling a kind of matter; a field left out fits everything.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct HandleRule {
    /// The kind of matter it is for.
    #[serde(default)]
    pub kind: Option<Kind>,
    /// The urgency it is for.
    #[serde(default)]
    pub urgency: Option<Urgency>,
    /// The time allowed.
    pub rule: Rule,
}

/// One organisation's deadlines and limits.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(default)]
pub struct Policy {
    /// Signing an assignment.
    pub sign: Rule,
    /// Handling, by kind and urgency: the first that fits.
    pub handle: Vec<HandleRule>,
    /// Handling where nothing fits.
    pub handle_otherwise: Rule,
    /// Reviewing a reply.
    pub review: Rule,
    /// Deciding on a return.
    pub decide_return: Rule,
    /// Following up.
    pub follow_up: Rule,
    /// Supplying what was missing.
    pub supplement: Rule,
    /// How long after dispatch an assignment may be returned.
    pub return_within: Rule,
    /// Working days that an assignment may be extended by in all.
    pub extension_days: u32,
    /// Redos after which an unsatisfied verdict can only be closed with an explanation.
    pub max_redo: u32,
    /// Returns asked for on one ticket after which the unit is designated (指定承办).
    pub max_returns: u32,
    /// Whether a unit may suspend an assignment.
    pub may_suspend: bool,
    /// Failed follow-up contacts after which a ticket closes without a verdict.
    pub unreachable_tries: u32,
    /// Different local days over which those contacts must be spread.
    pub unreachable_days: u32,
    /// Failed contacts for a supplement after which the ticket closes.
    pub supplement_tries: u32,
}

impl Default for Policy {
    /// The values of a city that follows the common provincial rules; each is a setting.
    fn default() -> Self {
        Policy {
            sign: Rule::WorkingHours(2),
            handle: vec![HandleRule { kind: None, urgency: Some(Urgency::Emergency), rule: Rule::SameDay(16) }],
            handle_otherwise: Rule::WorkingDays(5),
            review: Rule::WorkingDays(1),
            decide_return: Rule::WorkingDays(1),
            follow_up: Rule::WorkingDays(3),
            supplement: Rule::WorkingDays(3),
            return_within: Rule::WorkingDays(2),
            extension_days: 10,
            max_redo: 2,
            max_returns: 3,
            may_suspend: false,
            unreachable_tries: 3,
            unreachable_days: 2,
            supplement_tries: 3,
        }
    }
}

impl Policy {
    /// The time for handling a matter of this kind and urgency.
    pub fn handling(&self, kind: Kind, urgency: Urgency) -> Rule {
        self.handle
            .iter()
            .find(|h| h.kind.is_none_or(|k| k == kind) && h.urgency.is_none_or(|u| u == urgency))
            .map_or(self.handle_otherwise, |h| h.rule)
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::calendar::tests::{at, october},
        *,
    };
    use jiff::civil::date;

    #[test]
    fn each_rule_over_the_national_day() {
        let c = october();
        let from = at(&c, date(2026, 9, 30), 16, 30);
        assert_eq!(Rule::Minutes(60).due(from, &c), at(&c, date(2026, 9, 30), 17, 30));
        assert_eq!(Rule::NaturalDays(3).due(from, &c), at(&c, date(2026, 10, 4), 0, 0), "natural days do not rest");
        assert_eq!(Rule::WorkingHours(2).due(from, &c), at(&c, date(2026, 10, 8), 9, 30));
        assert_eq!(Rule::WorkingDays(2).due(from, &c), at(&c, date(2026, 10, 9), 17, 30));
        assert_eq!(Rule::SameDay(17).due(from, &c), at(&c, date(2026, 10, 1), 0, 0));
        assert_eq!(Rule::SameDay(16).due(from, &c), at(&c, date(2026, 10, 9), 0, 0), "after the cut-off");
    }

    #[test]
    fn the_same_day_is_for_what_comes_before_the_hour_of_a_working_day() {
        let c = october();
        let due = |day, hour, minute| Rule::SameDay(16).due(at(&c, day, hour, minute), &c);
        assert_eq!(due(date(2026, 9, 30), 15, 59), at(&c, date(2026, 10, 1), 0, 0));
        assert_eq!(due(date(2026, 9, 30), 16, 0), at(&c, date(2026, 10, 9), 0, 0), "at the hour is not before it");
        assert_eq!(due(date(2026, 10, 3), 9, 0), at(&c, date(2026, 10, 9), 0, 0), "a holiday");
        assert_eq!(due(date(2026, 10, 10), 9, 0), at(&c, date(2026, 10, 11), 0, 0), "a Saturday that is worked");
    }

    #[test]
    fn policy_takes_the_first_that_fits() {
        let policy = Policy::default();
        assert_eq!(policy.handling(Kind::Complaint, Urgency::Normal), Rule::WorkingDays(5));
        assert_eq!(policy.handling(Kind::Complaint, Urgency::Emergency), Rule::SameDay(16));
        let praise = HandleRule { kind: Some(Kind::Praise), urgency: None, rule: Rule::WorkingDays(15) };
        let policy = Policy { handle: [policy.handle, vec![praise]].concat(), ..Policy::default() };
        assert_eq!(policy.handling(Kind::Praise, Urgency::Normal), Rule::WorkingDays(15));
        assert_eq!(policy.handling(Kind::Praise, Urgency::Emergency), Rule::SameDay(16), "the first that fits");
        assert_eq!(policy.handling(Kind::Complaint, Urgency::Urgent), Rule::WorkingDays(5));
    }

    #[test]
    fn a_rule_reads_as_unit_and_value() {
        let rule: Rule = serde_json::from_str(r#"{"unit":"working_days","value":5}"#).unwrap();
        assert_eq!(rule, Rule::WorkingDays(5));
    }
}
