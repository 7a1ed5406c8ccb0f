//! A start while the database is away: callers are answered from the local spool and the settings, and what is usually
//! read from the database is what was last noted of it.
//!
//! While the database is there, the footing of such a start is noted once a minute. What the database has to be told at
//! a start (who may sign in, the versions of the settings) is told as soon as it answers. See
//! docs/decisions/0011-a-start-without-the-database.md.

use super::{App, accounts, reload::NotReloaded};
use crate::{
    config::Settings,
    net::{clock, notify::Notifier},
    store::{Footing, HotlineRow, Spool, Store, StoreError, UserRow},
};
use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};
use tokio::time::MissedTickBehavior;

/// How often it is noted.
const EVERY: Duration = Duration::from_secs(60);
/// More ids than are given between two notes.
const SINCE: u64 = 1 << 32;
/// Between two tries while the database is away; one in so many is told.
const AGAIN: Duration = Duration::from_secs(1);
const TOLD: u32 = 5;
/// A count of changes that no database has.
const NEVER: i64 = -1;
/// How soon the service manager hears that the database was found.
const LOOK: Duration = Duration::from_millis(500);

/// What a start knows of the database.
pub(super) struct Known {
    /// Its hotlines.
    pub hotlines: Vec<HotlineRow>,
    /// The users whom it keeps itself.
    pub kept: Vec<UserRow>,
    /// How often these had been changed.
    pub counted: i64,
}

/// What a start needs of the database; its users are those of the settings from here on, and those it keeps itself.
///
/// # Errors
/// The store's.
pub(super) async fn begin(store: &Store, settings: &Settings) -> Result<Known, StoreError> {
    // Counted before it is read: what is changed in between is taken up again.
    let counted = store.user_changes().await?;
    let kept = store.user_kept().await?;
    accounts::keep(store, settings).await?;
    Ok(Known { hotlines: store.hotline_list().await?, kept, counted })
}

/// The same where the database is away: what was noted of it. No id and no ticket number is given twice.
///
/// # Errors
/// The spool's.
pub(super) async fn stand(store: &Store, spool: &Spool) -> Result<Known, StoreError> {
    let mut footing = spool.footing().await?;
    store.ids().pass(footing.highest_id.saturating_add(SINCE));
    let numbers = footing.numbers.take();
    footing.highest_id = store.ids().next();
    // The next start finds the numbers gone, and the ids passed, before this one uses any of them.
    spool.footing_put(&footing).await?;
    // What an earlier run gave without the database waits in the spool still.
    store.number_lend(numbers, u32::try_from(spool.backlog()).unwrap_or(u32::MAX));
    Ok(Known { hotlines: footing.hotlines, kept: footing.staff, counted: NEVER })
}

impl App {
    /// Whether the program was started without the database, and has not found it yet.
    pub fn is_without_database(&self) -> bool {
        self.without_database.load(Ordering::Relaxed)
    }

    /// Waits for the database, then tells it what it is told at a start.
    pub(super) async fn find_database(self: Arc<Self>) {
        let mut tries: u32 = 0;
        while let Err(error) = self.catch_up().await {
            if tries.is_multiple_of(TOLD) {
                tracing::error!(
                    backlog = self.spool.backlog(),
                    "数据库不可用,来电照常接听,记录暂存本机,恢复后自动入库:{error} (started without the database)"
                );
            }
            tries = tries.wrapping_add(1);
            tokio::time::sleep(AGAIN).await;
        }
        self.without_database.store(false, Ordering::Relaxed);
        if let Err(error) = self.note_footing().await {
            tracing::warn!(%error, "the footing of a start without the database was not noted");
        }
        tracing::info!("数据库已连接,暂存的通话正在入库 (the database is there)");
    }

    async fn catch_up(self: &Arc<Self>) -> Result<(), NotReloaded> {
        self.store.ping().await?;
        accounts::keep(&self.store, &self.in_force().settings).await?;
        match self.reload().await {
            // Told as every fault of the settings is; what runs stays, and the database is there.
            Err(NotReloaded::Faulty(_)) => Ok(()),
            other => other,
        }
    }

    /// Tells the service manager how the program stands until the database was found.
    pub async fn tell_database(&self, notifier: &Notifier) {
        if !self.is_without_database() {
            return;
        }
        notifier.tell("STATUS=数据库不可用:来电照常接听,记录暂存本机");
        while self.is_without_database() {
            tokio::time::sleep(LOOK).await;
        }
        notifier.tell("STATUS=接新来电");
    }

    /// Notes what a start without the database would stand on.
    ///
    /// # Errors
    /// The spool's, and nothing was noted; the store's, and the ids were.
    pub(super) async fn note_footing(&self) -> Result<(), StoreError> {
        let mut footing = self.spool.footing().await?;
        let known = self.note_database(&mut footing).await;
        footing.highest_id = self.ids.next();
        self.spool.footing_put(&footing).await?;
        known
    }

    async fn note_database(&self, footing: &mut Footing) -> Result<(), StoreError> {
        let now = clock::now().wall;
        footing.hotlines = self.store.hotline_list().await?;
        footing.staff = self.store.user_kept().await?;
        footing.staff.retain(|user| user.active && user.seat.is_some());
        if !footing.numbers.as_ref().is_some_and(|block| self.store.number_is_of(block, now)) {
            footing.numbers = self.store.number_spare(now).await?;
        }
        Ok(())
    }
}

/// Notes it as long as the program runs.
pub(super) async fn keep(app: Arc<App>) {
    let mut rounds = tokio::time::interval(EVERY);
    rounds.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = app.ending.cancelled() => return,
            _ = rounds.tick() => {}
        }
        if let Err(error) = app.note_footing().await {
            tracing::debug!(%error, "the footing of a start without the database was not noted");
        }
    }
}
