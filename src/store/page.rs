//! Lists in pages: the newest first, continued from a cursor.

use super::{Result, StoreError};

/// Rows of a page at most.
pub const MAX_LIMIT: u32 = 500;

/// Which page of a list is asked for.
#[derive(Clone, Debug)]
pub struct Page {
    /// Rows wanted, 1–500; other values are brought into that range.
    pub limit: u32,
    /// Where the page before ended.
    pub cursor: Option<String>,
}

impl Default for Page {
    fn default() -> Self {
        Page { limit: 50, cursor: None }
    }
}

impl Page {
    /// Rows wanted, within bounds.
    pub(super) fn rows(&self) -> usize {
        self.limit.clamp(1, MAX_LIMIT) as usize
    }

    /// The sorting time and the id that the page before ended at; the beginning without a cursor.
    ///
    /// # Errors
    /// `Invalid` for a cursor of another list.
    pub fn after(&self) -> Result<(i64, i64)> {
        let Some(cursor) = &self.cursor else {
            return Ok((i64::MAX, i64::MAX));
        };
        cursor
            .split_once('.')
            .and_then(|(at, id)| Some((at.parse().ok()?, id.parse().ok()?)))
            .ok_or(StoreError::Invalid("cursor 不是这个列表给出的"))
    }
}

/// One page.
#[derive(Clone, Debug)]
pub struct Paged<T> {
    /// The rows.
    pub items: Vec<T>,
    /// Where to go on; none after the last page.
    pub next_cursor: Option<String>,
}

impl<T> Paged<T> {
    /// A page from one row more than was asked for; `place` gives a row's sorting time and id.
    pub(super) fn cut(mut items: Vec<T>, rows: usize, place: impl Fn(&T) -> (i64, i64)) -> Paged<T> {
        let more = items.len() > rows;
        items.truncate(rows);
        let last = items.last().filter(|_| more).map(place);
        Paged { next_cursor: last.map(|(at, id)| format!("{at}.{id}")), items }
    }
}
