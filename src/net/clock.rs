//! The one place that reads the clocks.

use crate::clock::{Now, UnixMillis};
use std::time::{Instant, SystemTime};

/// This moment, by the machine's monotonic and wall clocks.
#[allow(clippy::disallowed_methods)]
pub fn now() -> Now {
    let wall = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |d| d.as_millis() as i64);
    Now { mono: Instant::now(), wall: UnixMillis(wall) }
}
