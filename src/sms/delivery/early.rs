//! Receipts that came before the id they speak of was known: kept for a while, matched once, forgotten in order.

use super::ReceiptState;
use crate::clock::UnixMillis;
use serde::{Deserialize, Serialize};
use std::{
    collections::{HashMap, VecDeque},
    time::Duration,
};

/// What the SMS centre says became of one part.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receipt {
    /// The id the part was accepted under, in the form of the submit response.
    pub smsc_id: String,
    /// What it says.
    pub state: ReceiptState,
    /// The network's error code, `000` or empty when there is none.
    pub error: String,
}

/// Receipts without a known message; bounded in number and in age.
#[derive(Debug)]
pub struct EarlyReceipts {
    kept: HashMap<String, (u64, Receipt)>,
    pub(super) order: VecDeque<(UnixMillis, u64, String)>,
    capacity: usize,
    keep: Duration,
    next: u64,
}

impl EarlyReceipts {
    /// Keeps `capacity` receipts at most, each for `keep`.
    pub fn new(capacity: usize, keep: Duration) -> Self {
        EarlyReceipts { kept: HashMap::new(), order: VecDeque::new(), capacity: capacity.max(1), keep, next: 0 }
    }

    /// Keeps a receipt; the first word of an id stands, but an ending replaces an `en_route`. When there is no
    /// room the oldest goes.
    pub fn keep(&mut self, receipt: Receipt, now: UnixMillis) {
        self.forget_old(now);
        let is_ending = |state| !matches!(state, ReceiptState::EnRoute | ReceiptState::Accepted);
        if let Some((_, known)) = self.kept.get_mut(&receipt.smsc_id) {
            if !is_ending(known.state) && is_ending(receipt.state) {
                *known = receipt;
            }
            return;
        }
        if self.kept.len() >= self.capacity {
            self.drop_oldest();
        }
        self.next += 1;
        self.order.push_back((now, self.next, receipt.smsc_id.clone()));
        self.kept.insert(receipt.smsc_id.clone(), (self.next, receipt));
    }

    /// Takes the receipt that waited for `smsc_id`: call it when a part is accepted.
    pub fn take(&mut self, smsc_id: &str) -> Option<Receipt> {
        self.kept.remove(smsc_id).map(|(_, receipt)| receipt)
    }

    /// How many are kept.
    pub fn len(&self) -> usize {
        self.kept.len()
    }

    /// Whether none is kept.
    pub fn is_empty(&self) -> bool {
        self.kept.is_empty()
    }

    fn forget_old(&mut self, now: UnixMillis) {
        while self.order.front().is_some_and(|(at, ..)| now.since(*at) > self.keep) {
            self.drop_oldest();
        }
        // Receipts that were taken leave their mark in `order`; it may not outgrow the receipts by much.
        if self.order.len() > self.capacity.saturating_mul(2) {
            let kept = &self.kept;
            self.order.retain(|(_, serial, id)| kept.get(id).is_some_and(|(known, _)| known == serial));
        }
    }

    fn drop_oldest(&mut self) {
        while let Some((_, serial, id)) = self.order.pop_front() {
            // The mark may be of a receipt that was taken, its id used again since.
            if self.kept.get(&id).is_some_and(|(known, _)| *known == serial) {
                self.kept.remove(&id);
                return;
            }
        }
    }
}
