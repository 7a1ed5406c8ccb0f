//! How much a profile takes on: calls at once and new calls a second. What is in progress is never touched.

use crate::{config::Limits, ids::CallId};
use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

const SECOND: Duration = Duration::from_secs(1);

/// Which limit a call would break.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Full {
    /// As many calls as allowed are in progress.
    Calls,
    /// As many new calls as allowed came within a second.
    Rate,
}

impl Full {
    /// The name in metrics.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Full::Calls => "max_calls",
            Full::Rate => "max_cps",
        }
    }
}

#[derive(Debug, Default)]
struct Load {
    calls: usize,
    /// When the calls of this profile would have come if they had come evenly at the highest rate.
    due: Option<Instant>,
}

/// The load of each profile.
#[derive(Debug, Default)]
pub(super) struct Admission {
    loads: HashMap<String, Load>,
    profiles: HashMap<CallId, String>,
}

impl Admission {
    /// How many calls count.
    pub(super) fn calls(&self) -> usize {
        self.profiles.len()
    }

    /// Takes a call on, or says which limit is in the way.
    pub(super) fn begin(&mut self, now: Instant, profile: &str, limits: &Limits, call: CallId) -> Result<(), Full> {
        let load = self.loads.entry(profile.to_owned()).or_default();
        if load.calls >= limits.max_calls {
            return Err(Full::Calls);
        }
        let interval = SECOND / limits.max_cps.max(1);
        let due = load.due.map_or(now, |due| due.max(now));
        if due.saturating_duration_since(now) + interval > SECOND {
            return Err(Full::Rate);
        }
        load.due = Some(due + interval);
        load.calls += 1;
        self.profiles.insert(call, profile.to_owned());
        Ok(())
    }

    /// A call is over.
    pub(super) fn end(&mut self, call: CallId) {
        let load = self.profiles.remove(&call).and_then(|profile| self.loads.get_mut(&profile));
        if let Some(load) = load {
            load.calls = load.calls.saturating_sub(1);
        }
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods)] // a beginning for virtual time
mod tests {
    use super::*;

    fn limits(max_calls: usize, max_cps: u32) -> Limits {
        Limits {
            max_calls,
            max_cps,
            max_registrations: 1,
            transactions_per_peer: 1,
            min_expires: SECOND,
            max_expires: SECOND,
        }
    }

    #[test]
    fn calls_at_once_are_counted_for_each_profile() {
        let (now, limits) = (Instant::now(), limits(2, 1000));
        let mut admission = Admission::default();
        for call in [1, 2] {
            assert_eq!(admission.begin(now, "trunk", &limits, CallId(call)), Ok(()));
        }
        assert_eq!(admission.begin(now, "trunk", &limits, CallId(3)), Err(Full::Calls));
        assert_eq!(admission.begin(now, "agents", &limits, CallId(4)), Ok(()));
        admission.end(CallId(1));
        admission.end(CallId(1));
        assert_eq!(admission.begin(now, "trunk", &limits, CallId(3)), Ok(()));
        assert_eq!(admission.begin(now, "trunk", &limits, CallId(5)), Err(Full::Calls));
    }

    #[test]
    fn no_second_sees_more_than_its_rate_after_a_burst() {
        let (start, limits) = (Instant::now(), limits(100_000, 10));
        let mut admission = Admission::default();
        let mut call = 0;
        let mut taken = |admission: &mut Admission, at: Instant| {
            (0..50)
                .filter(|_| {
                    call += 1;
                    admission.begin(at, "trunk", &limits, CallId(call)).is_ok()
                })
                .count()
        };
        assert_eq!(taken(&mut admission, start), 10);
        assert_eq!(taken(&mut admission, start), 0);
        assert_eq!(taken(&mut admission, start + SECOND / 2), 5);
        assert_eq!(taken(&mut admission, start + 60 * SECOND), 10);
    }
}
