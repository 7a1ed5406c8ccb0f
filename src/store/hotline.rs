//! Departmental hotlines (热线).

use super::{
    Result, Store, StoreError,
    sql::{Columns, to_json},
};
use crate::ids::{HotlineNo, UnitCode};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sqlx::any::AnyRow;

/// One hotline.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct HotlineRow {
    /// Its number.
    pub number: HotlineNo,
    /// Its name.
    pub name: String,
    /// `merged`, `dual_track` or `separate`.
    pub mode: String,
    /// Its owner.
    #[serde(default)]
    pub unit: Option<UnitCode>,
    /// Whether it may be dialled.
    pub active: bool,
    /// Everything else: hours, backup numbers, source.
    #[serde(default)]
    pub detail: Value,
}

fn read(row: &AnyRow) -> Result<HotlineRow> {
    Ok(HotlineRow {
        number: row.text("number")?.into(),
        name: row.text("name")?,
        mode: row.text("mode")?,
        unit: row.text_opt("unit")?.map(UnitCode::from),
        active: row.flag("active")?,
        detail: row.json("body")?,
    })
}

impl Store {
    /// Writes hotlines: all or none.
    pub async fn hotline_upsert(&self, hotlines: Vec<HotlineRow>) -> Result<()> {
        self.write(move |tx| {
            Box::pin(async move {
                for hotline in hotlines {
                    sqlx::query(
                        "INSERT INTO hotline (number, name, mode, unit, active, body) VALUES ($1, $2, $3, $4, $5, $6) \
                         ON CONFLICT (number) DO UPDATE SET name = excluded.name, mode = excluded.mode, \
                         unit = excluded.unit, active = excluded.active, body = excluded.body",
                    )
                    .bind(hotline.number.as_str())
                    .bind(hotline.name.as_str())
                    .bind(hotline.mode.as_str())
                    .bind(hotline.unit.as_ref().map(|unit| unit.as_str().to_owned()))
                    .bind(i64::from(hotline.active))
                    .bind(to_json(&hotline.detail)?)
                    .execute(&mut tx.conn)
                    .await?;
                }
                Ok(())
            })
        })
        .await
    }

    /// The hotline of this number. `NotFound` where there is none.
    pub async fn hotline_get(&self, number: &HotlineNo) -> Result<HotlineRow> {
        let row = sqlx::query("SELECT * FROM hotline WHERE number = $1")
            .bind(number.as_str())
            .fetch_optional(self.reader())
            .await?
            .ok_or(StoreError::NotFound("hotline"))?;
        read(&row)
    }

    /// All hotlines, by number.
    pub async fn hotline_list(&self) -> Result<Vec<HotlineRow>> {
        let rows = sqlx::query("SELECT * FROM hotline ORDER BY number").fetch_all(self.reader()).await?;
        rows.iter().map(read).collect()
    }
}
