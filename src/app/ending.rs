//! The end of a run, and signs of life before it: no new calls, those in progress to their end, then everything written.

use super::{
    App,
    switch::Input,
    switch_task::{Ask, SwitchHandle},
};
use crate::net::notify::Notifier;
use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};
use tokio::sync::oneshot;

/// How often a drain looks whether calls are left.
const LOOK: Duration = Duration::from_millis(100);
/// How long calls may take to end when they are hung up.
const HANG_UP: Duration = Duration::from_secs(2);
/// While calls are waited for, the service manager is told so this often, and that it may wait longer.
const STILL_ENDING: Duration = Duration::from_secs(10);

impl App {
    /// Whether no new calls are taken any more.
    pub fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }

    /// How many calls are in progress.
    pub fn calls_in_progress(&self) -> usize {
        self.live.calls().iter().filter(|call| call.record.ended_at.is_none()).count()
    }

    /// No new calls from here on; done when the last one has ended, or when `longest` is over. Who waits is served
    /// meanwhile.
    pub async fn drain(&self, longest: Duration) {
        self.draining.store(true, Ordering::Relaxed);
        let _ = self.switch.ask(Ask::Input(Input::Drain)).await;
        let ended = async {
            while self.calls_in_progress() > 0 {
                tokio::time::sleep(LOOK).await;
            }
        };
        if tokio::time::timeout(longest, ended).await.is_err() {
            tracing::warn!(calls = self.calls_in_progress(), "the time to end is over; these calls are hung up");
        }
    }

    /// Hangs up what is left, and writes down what is to be kept: who still waited is owed a callback.
    pub async fn stop(&self) {
        self.ending.cancel();
        let _ = self.switch.ask(Ask::EndAll).await;
        self.drain(HANG_UP).await;
        if let Some(gateway) = self.sms.get() {
            gateway.stop().await;
        }
        if let Err(error) = self.spool.flush().await {
            tracing::error!(%error, "the spool could not be written at the end");
        }
        self.store.close().await;
    }

    /// Tells the service manager while a drain goes on how many calls are left; never done.
    pub async fn tell_drain(&self, notifier: &Notifier) {
        loop {
            // The next word is due well within the time that is asked for.
            let longer = (STILL_ENDING * 6).as_micros();
            let left = self.calls_in_progress();
            notifier.tell(&format!("EXTEND_TIMEOUT_USEC={longer}\nSTATUS=不再接新电话,还有 {left} 个通话"));
            tokio::time::sleep(STILL_ENDING).await;
        }
    }
}

/// Tells the service manager that we are alive as long as the switch answers, where it wants to know; a switch that
/// hangs is told of by silence, and the service manager starts us anew.
pub async fn keep_watch(switch: SwitchHandle, notifier: Arc<Notifier>) {
    let Some(beat) = notifier.heartbeat() else { return };
    loop {
        let (reply, answer) = oneshot::channel();
        let asked = async {
            switch.ask(Ask::Alive { reply }).await.ok()?;
            answer.await.ok()
        };
        match tokio::time::timeout(beat, asked).await {
            Ok(Some(())) => notifier.tell("WATCHDOG=1"),
            Ok(None) => return,
            Err(_) => tracing::error!("the switch did not answer in {beat:?}"),
        }
        tokio::time::sleep(beat).await;
    }
}
