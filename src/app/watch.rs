//! The watch: every few seconds it looks at what nobody else tells of by itself.

use super::{App, log};
use std::{sync::Arc, time::Duration};
use tokio::time::MissedTickBehavior;

/// How often.
const EVERY: Duration = Duration::from_secs(5);

/// Runs until the program ends.
pub(super) async fn run(app: Arc<App>) {
    let mut tick = tokio::time::interval(EVERY);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = app.ending.cancelled() => return,
            _ = tick.tick() => {}
        }
        log::tell_held_back();
    }
}
