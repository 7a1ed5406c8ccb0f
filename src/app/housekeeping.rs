//! Housekeeping: once an hour, what has had its time is removed from the database.
//!
//! Keys, sessions and published events grow without end by themselves. What the centre did (calls, tickets, messages,
//! agents' days, the audit log) is kept: how long is for the retention rules to say, not for this job.

use super::App;
use crate::{clock::UnixMillis, net::clock, store::StoreError};
use std::{sync::Arc, time::Duration};
use tokio::time::MissedTickBehavior;

/// How often.
const EVERY: Duration = Duration::from_secs(3600);
/// How long an idempotency key answers.
const KEYS: Duration = Duration::from_secs(24 * 3600);
/// How long a reader of events may be away and resume without a gap.
const EVENTS: Duration = Duration::from_secs(30 * 24 * 3600);

/// Rows that were removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Removed {
    /// Idempotency keys.
    pub keys: u64,
    /// Sessions that have expired.
    pub sessions: u64,
    /// Events that every reader has had time to read.
    pub events: u64,
}

/// Runs until the program ends: at its start, and every hour.
pub(super) async fn run(app: Arc<App>) {
    let mut tick = tokio::time::interval(EVERY);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = app.ending.cancelled() => return,
            _ = tick.tick() => {}
        }
        match app.keep_house(clock::now().wall).await {
            Ok(removed) if removed == Removed::default() => {}
            Ok(Removed { keys, sessions, events }) => tracing::info!(keys, sessions, events, "old rows were removed"),
            Err(error) => {
                metrics::counter!("hotline_housekeeping_failures_total").increment(1);
                tracing::warn!(%error, "old rows were not removed; the next hour tries again");
            }
        }
    }
}

impl App {
    /// Removes what has had its time at `now`.
    ///
    /// # Errors
    /// The store's; what was removed by then stays removed.
    pub async fn keep_house(&self, now: UnixMillis) -> Result<Removed, StoreError> {
        let before = |kept: Duration| UnixMillis(now.0 - kept.as_millis() as i64);
        let count = |what: &'static str, rows: u64| {
            metrics::counter!("hotline_housekeeping_removed_total", "what" => what).increment(rows);
            rows
        };
        Ok(Removed {
            keys: count("idempotency_keys", self.store.idempotency_trim(before(KEYS)).await?),
            sessions: count("sessions", self.store.session_trim(now).await?),
            events: count("events", self.store.event_trim(before(EVENTS)).await?),
        })
    }
}
