//! Ticket numbers from blocks that are reserved ahead, so that a call needs no query for its number.
//!
//! A restart loses the rest of a block. A node that uses up its million of a day goes on under the node numbers 90–99,
//! which all nodes share; the row of the table keeps them apart. A block outlives midnight where the database is away:
//! a number's date is the date of its block.

use super::{Result, Store, sql::Columns};
use crate::{
    clock::UnixMillis,
    ids::TicketNo,
    ticket::{Calendar, number},
};
use jiff::civil::Date;
use serde::{Deserialize, Serialize};
use std::{
    collections::VecDeque,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

/// Numbers of the first block.
const FIRST_BLOCK: i64 = 2_000;
/// Numbers that are put by for a start without the database.
const SPARE: i64 = 10_000;
/// Numbers of a block at most.
const LARGEST_BLOCK: i64 = 40_000;
/// A block used up within this time is followed by one twice as large.
const SHORT_MS: i64 = 60_000;
/// Node numbers in ticket numbers that are a node's own; the rest are spare.
const OWN_NODES: u16 = 90;

/// Numbers that are nobody else's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NumberBlock {
    day: Date,
    node: u8,
    next: i64,
    end: i64,
}

#[derive(Debug, Default)]
struct Reserved {
    blocks: VecDeque<NumberBlock>,
    size: i64,
    reserved_at: i64,
    /// Numbers past every reservation, when the database stays away longer than the blocks last.
    beyond: u32,
}

/// The reserved numbers.
#[derive(Debug)]
pub(super) struct Numbers {
    node: u8,
    calendar: Calendar,
    reserving: AtomicBool,
    reserved: Mutex<Reserved>,
}

impl Numbers {
    pub(super) fn new(node: u16, offset_minutes: i32) -> Numbers {
        let calendar = Calendar { offset_minutes, ..Calendar::default() };
        let reserved = Mutex::new(Reserved { size: FIRST_BLOCK, ..Reserved::default() });
        Numbers { node: (node % OWN_NODES) as u8, calendar, reserving: AtomicBool::new(false), reserved }
    }

    /// The next number, and whether the caller should have a new block reserved.
    pub(super) fn next(&self, now: UnixMillis) -> (TicketNo, bool) {
        let today = self.calendar.day(now);
        let mut reserved = self.reserved.lock().unwrap_or_else(PoisonError::into_inner);
        // Yesterday's numbers are dropped as soon as there are some of today.
        while reserved.blocks.len() > 1 && reserved.blocks.front().is_some_and(|b| b.day != today || b.next >= b.end) {
            reserved.blocks.pop_front();
        }
        let left: i64 = reserved.blocks.iter().filter(|b| b.day == today).map(|b| b.end - b.next).sum();
        let low = left < reserved.size / 2 && !self.reserving.swap(true, Ordering::AcqRel);
        let no = match reserved.blocks.front_mut().filter(|b| b.next < b.end) {
            Some(block) => {
                block.next += 1;
                number::ticket_no(block.day, block.node, (block.next - 1) as u32)
            }
            None => {
                // From the top of this node's million downward: a collision is found by the table's unique index and
                // the record is numbered anew.
                reserved.beyond += 1;
                number::ticket_no(today, self.node, number::SEQUENCES_A_DAY - reserved.beyond % 100_000)
            }
        };
        (no, low)
    }

    /// Lets another caller try.
    pub(super) fn give_up_reserving(&self) {
        self.reserving.store(false, Ordering::Release);
    }

    fn add(&self, block: NumberBlock, now: UnixMillis) {
        let mut reserved = self.reserved.lock().unwrap_or_else(PoisonError::into_inner);
        if now.0 - reserved.reserved_at < SHORT_MS {
            reserved.size = (reserved.size * 2).min(LARGEST_BLOCK);
        }
        reserved.reserved_at = now.0;
        reserved.blocks.push_back(block);
    }

    fn size(&self) -> i64 {
        self.reserved.lock().unwrap_or_else(PoisonError::into_inner).size
    }
}

impl Store {
    /// Reserves a block of ticket numbers for today.
    pub(super) async fn number_reserve(&self, now: UnixMillis) -> Result<()> {
        let numbers = &self.inner.numbers;
        let outcome = self.number_block(now, numbers.size()).await;
        let outcome = outcome.map(|block| block.into_iter().for_each(|block| numbers.add(block, now)));
        numbers.give_up_reserving();
        outcome
    }

    /// A block of numbers of today that a start without the database may use, once; none where the day has none left.
    pub async fn number_spare(&self, now: UnixMillis) -> Result<Option<NumberBlock>> {
        self.number_block(now, SPARE).await
    }

    /// Numbers the next tickets from a block that was put by: nobody else may have it any more. Once it is used up, so
    /// many of those past every reservation are passed over, which an earlier run may have given.
    pub fn number_lend(&self, block: Option<NumberBlock>, given: u32) {
        let mut reserved = self.inner.numbers.reserved.lock().unwrap_or_else(PoisonError::into_inner);
        reserved.blocks.extend(block);
        reserved.beyond = reserved.beyond.saturating_add(given);
    }

    /// Whether a block that was put by is of the day.
    pub fn number_is_of(&self, block: &NumberBlock, now: UnixMillis) -> bool {
        block.day == self.inner.numbers.calendar.day(now)
    }

    async fn number_block(&self, now: UnixMillis, size: i64) -> Result<Option<NumberBlock>> {
        let numbers = &self.inner.numbers;
        let day = numbers.calendar.day(now);
        for node in std::iter::once(numbers.node).chain(OWN_NODES as u8..100) {
            let end = self.number_take(day, node, size).await?;
            if end <= i64::from(number::SEQUENCES_A_DAY) {
                return Ok(Some(NumberBlock { day, node, next: end - size, end }));
            }
        }
        Ok(None)
    }

    async fn number_take(&self, day: Date, node: u8, size: i64) -> Result<i64> {
        self.write(move |tx| {
            Box::pin(async move {
                let row = sqlx::query(
                    "INSERT INTO number_block (day, node, next) VALUES ($1, $2, $3) \
                     ON CONFLICT (day, node) DO UPDATE SET next = number_block.next + $4 RETURNING next",
                )
                .bind(day.to_string())
                .bind(i64::from(node))
                .bind(size)
                .bind(size)
                .fetch_one(&mut tx.conn)
                .await?;
                row.int("next")
            })
        })
        .await
    }
}
