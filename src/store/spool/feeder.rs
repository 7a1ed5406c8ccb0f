//! The feeder: copies what the journal holds to the store, again and again until the store has it.

use super::{
    Spool,
    journal::{self, Op, ROUND, Unfed},
};
use crate::{
    ids::CallId,
    store::{Result, Store, ingest::Ingest, sql::from_json},
};
use std::{collections::HashSet, time::Duration};

/// The first and the longest wait while the store is away.
const BACK_OFF: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(2));
/// A round is made at least this often, whatever was heard.
const IDLE: Duration = Duration::from_secs(1);

impl Spool {
    /// Starts the one feeder; it runs until the task is aborted or the spool is gone. `stored` hears of the calls that
    /// have ended and need not be waited for any more: the store has them, or will not take them before a restart.
    pub fn start_feeder(
        &self,
        store: Store,
        stored: impl Fn(Vec<CallId>) + Send + Sync + 'static,
    ) -> tokio::task::JoinHandle<()> {
        let spool = self.clone();
        tokio::spawn(async move {
            let mut wait = BACK_OFF.0;
            loop {
                spool.try_again().await;
                match spool.feed(&store).await {
                    Ok((fed, ended)) => {
                        wait = BACK_OFF.0;
                        if !ended.is_empty() {
                            stored(ended);
                        }
                        if fed < ROUND {
                            let _ = tokio::time::timeout(IDLE, spool.shared.state.fresh.notified()).await;
                        }
                    }
                    Err(error) => {
                        tracing::warn!(%error, backlog = spool.backlog(), "calls stay in the spool for now");
                        tokio::time::sleep(wait).await;
                        wait = (wait * 2).min(BACK_OFF.1);
                    }
                }
            }
        })
    }

    /// One round; gives how many calls it was, and which of them have ended.
    async fn feed(&self, store: &Store) -> Result<(usize, Vec<CallId>)> {
        let (items, weights) = self.waiting().await?;
        if items.is_empty() {
            return Ok((0, Vec::new()));
        }
        let (mut fed, mut stuck) = (Vec::new(), Vec::new());
        match store.ingest(items.clone()).await {
            Ok(()) => fed = items.clone(),
            Err(error) if error.is_unavailable() => return Err(error),
            // One of them is at fault: the others must not wait for it.
            Err(_) => {
                for item in &items {
                    match store.ingest(vec![item.clone()]).await {
                        Ok(()) => fed.push(item.clone()),
                        Err(error) if error.is_unavailable() => break,
                        Err(error) => {
                            tracing::error!(call = %item.accepted.call, %error, "a call cannot be stored; kept in the spool");
                            stuck.push(item.accepted.call);
                        }
                    }
                }
            }
        }
        let call = |item: &Ingest| item.accepted.call;
        let finished: Vec<CallId> = fed.iter().filter(|item| item.finished.is_some()).map(call).collect();
        let accepted: Vec<CallId> = fed.iter().filter(|item| item.finished.is_none()).map(call).collect();
        let ended = finished.iter().chain(&stuck).copied().collect();
        let gone: HashSet<CallId> = fed.iter().map(call).chain(stuck.iter().copied()).collect();
        let pairs = items.iter().zip(&weights);
        let weight = pairs.filter(|(item, _)| gone.contains(&item.accepted.call)).map(|(_, weight)| weight).sum();
        self.ask(|reply| Op::Fed { accepted, finished, stuck, weight, reply }).await?;
        Ok((items.len(), ended))
    }

    /// Calls to copy, and what each counts in the backlog.
    async fn waiting(&self) -> Result<(Vec<Ingest>, Vec<i64>)> {
        let rows = self.read(journal::waiting).await?;
        let (mut items, mut weights) = (Vec::with_capacity(rows.len()), Vec::with_capacity(rows.len()));
        for Unfed { body, progress, finished, weight } in rows {
            let finished = finished.map(|text| from_json(&text)).transpose()?;
            // A progress that cannot be read is no reason to keep the call from the store.
            let progress = progress.and_then(|text| from_json(&text).ok());
            items.push(Ingest { accepted: from_json(&body)?, progress, finished });
            weights.push(weight);
        }
        Ok((items, weights))
    }
}
