//! Reading rows and building the few texts that depend on a number of rows.

use super::{Result, StoreError};
use crate::clock::UnixMillis;
use serde::{Serialize, de::DeserializeOwned};
use sqlx::{Row, any::AnyRow};
use std::fmt::Write;

/// Columns by name, as Rust values.
pub(super) trait Columns {
    fn text(&self, name: &str) -> Result<String>;
    fn text_opt(&self, name: &str) -> Result<Option<String>>;
    fn int(&self, name: &str) -> Result<i64>;
    fn int_opt(&self, name: &str) -> Result<Option<i64>>;

    fn flag(&self, name: &str) -> Result<bool> {
        Ok(self.int(name)? != 0)
    }

    fn id(&self, name: &str) -> Result<u64> {
        Ok(self.int(name)? as u64)
    }

    fn id_opt(&self, name: &str) -> Result<Option<u64>> {
        Ok(self.int_opt(name)?.map(|id| id as u64))
    }

    fn millis(&self, name: &str) -> Result<UnixMillis> {
        Ok(UnixMillis(self.int(name)?))
    }

    fn millis_opt(&self, name: &str) -> Result<Option<UnixMillis>> {
        Ok(self.int_opt(name)?.map(UnixMillis))
    }

    fn json<T: DeserializeOwned>(&self, name: &str) -> Result<T> {
        from_json(&self.text(name)?)
    }
}

impl Columns for AnyRow {
    fn text(&self, name: &str) -> Result<String> {
        Ok(self.try_get(name)?)
    }

    fn text_opt(&self, name: &str) -> Result<Option<String>> {
        Ok(self.try_get(name)?)
    }

    fn int(&self, name: &str) -> Result<i64> {
        Ok(self.try_get(name)?)
    }

    fn int_opt(&self, name: &str) -> Result<Option<i64>> {
        Ok(self.try_get(name)?)
    }
}

/// A value as the TEXT it is stored as.
pub(super) fn to_json<T: Serialize>(value: &T) -> Result<String> {
    serde_json::to_string(value).map_err(|error| StoreError::Corrupt(error.to_string()))
}

/// A value from the TEXT it was stored as.
pub(super) fn from_json<T: DeserializeOwned>(text: &str) -> Result<T> {
    serde_json::from_str(text).map_err(|error| StoreError::Corrupt(error.to_string()))
}

/// `($1,$2),($3,$4)…` for so many rows of so many columns.
pub(super) fn values(rows: usize, columns: usize) -> String {
    let mut text = String::with_capacity(rows * columns * 5);
    for row in 0..rows {
        text.push_str(if row == 0 { "(" } else { ",(" });
        for column in 0..columns {
            let comma = if column == 0 { "" } else { "," };
            // Writing to a String cannot fail.
            let _ = write!(text, "{comma}${}", row * columns + column + 1);
        }
        text.push(')');
    }
    text
}

/// `$1, $2, …` for so many values.
pub(super) fn marks(count: usize) -> String {
    let marks: Vec<String> = (1..=count).map(|n| format!("${n}")).collect();
    marks.join(", ")
}

/// Splits into runs of 64, 16, 4 and 1, so that few different statements are prepared.
pub(super) fn runs<T>(mut items: &[T]) -> impl Iterator<Item = &[T]> {
    std::iter::from_fn(move || {
        let size = [64, 16, 4, 1].into_iter().find(|size| *size <= items.len())?;
        let (run, rest) = items.split_at(size);
        items = rest;
        Some(run)
    })
}

/// The local date of a moment, as `YYYY-MM-DD`.
pub(super) fn day(at: UnixMillis, offset_minutes: i32) -> String {
    let calendar = crate::ticket::Calendar { offset_minutes, office_hours: Vec::new(), ..Default::default() };
    calendar.day(at).to_string()
}
