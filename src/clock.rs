//! Time as a value. Cores are handed a [`Now`]; only shells read a clock (`net::clock`).

use std::{
    fmt,
    ops::Sub,
    time::{Duration, Instant},
};

/// Milliseconds since 1970-01-01T00:00:00Z: what is stored and shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct UnixMillis(pub i64);

impl UnixMillis {
    /// This moment moved by `by` into the future.
    pub fn plus(self, by: Duration) -> Self {
        UnixMillis(self.0.saturating_add(i64::try_from(by.as_millis()).unwrap_or(i64::MAX)))
    }

    /// Time since `earlier`; zero where the wall clock was set back.
    pub fn since(self, earlier: UnixMillis) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0).max(0) as u64)
    }
}

impl fmt::Display for UnixMillis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl Sub for UnixMillis {
    type Output = i64;
    fn sub(self, other: UnixMillis) -> i64 {
        self.0 - other.0
    }
}

/// One moment on both clocks: durations come from `mono` alone, `wall` is what is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Now {
    /// The monotonic clock: never steps.
    pub mono: Instant,
    /// The wall clock: may be set.
    pub wall: UnixMillis,
}

impl Now {
    /// This moment moved by `by` into the future on both clocks.
    pub fn plus(self, by: Duration) -> Self {
        Now { mono: self.mono + by, wall: self.wall.plus(by) }
    }
}
