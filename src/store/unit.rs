//! Units (承办单位): departments, districts, towns and utilities, as a tree.

use super::{
    Result, Store, StoreError,
    sql::{Columns, to_json},
};
use crate::ids::UnitCode;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sqlx::any::AnyRow;

/// One unit.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct UnitRow {
    /// Its code.
    pub code: UnitCode,
    /// Its name.
    pub name: String,
    /// The unit above.
    #[serde(default)]
    pub parent: Option<UnitCode>,
    /// `department`, `district`, `town`, `utility`, …
    pub kind: String,
    /// Whether tickets may be dispatched to it.
    pub active: bool,
    /// Everything else: telephone, clerk, head, duty, source.
    #[serde(default)]
    pub detail: Value,
}

fn read(row: &AnyRow) -> Result<UnitRow> {
    Ok(UnitRow {
        code: row.text("code")?.into(),
        name: row.text("name")?,
        parent: row.text_opt("parent")?.map(UnitCode::from),
        kind: row.text("kind")?,
        active: row.flag("active")?,
        detail: row.json("body")?,
    })
}

impl Store {
    /// Writes units: all or none.
    pub async fn unit_upsert(&self, units: Vec<UnitRow>) -> Result<()> {
        self.write(move |tx| {
            Box::pin(async move {
                for unit in units {
                    sqlx::query(
                        "INSERT INTO unit (code, name, parent, kind, active, body) VALUES ($1, $2, $3, $4, $5, $6) \
                         ON CONFLICT (code) DO UPDATE SET name = excluded.name, parent = excluded.parent, \
                         kind = excluded.kind, active = excluded.active, body = excluded.body",
                    )
                    .bind(unit.code.as_str())
                    .bind(unit.name.as_str())
                    .bind(unit.parent.as_ref().map(|parent| parent.as_str().to_owned()))
                    .bind(unit.kind.as_str())
                    .bind(i64::from(unit.active))
                    .bind(to_json(&unit.detail)?)
                    .execute(&mut tx.conn)
                    .await?;
                }
                Ok(())
            })
        })
        .await
    }

    /// The unit of this code. `NotFound` where there is none.
    pub async fn unit_get(&self, code: &UnitCode) -> Result<UnitRow> {
        let row = sqlx::query("SELECT * FROM unit WHERE code = $1")
            .bind(code.as_str())
            .fetch_optional(self.reader())
            .await?
            .ok_or(StoreError::NotFound("unit"))?;
        read(&row)
    }

    /// All units, by code.
    pub async fn unit_list(&self) -> Result<Vec<UnitRow>> {
        let rows = sqlx::query("SELECT * FROM unit ORDER BY code").fetch_all(self.reader()).await?;
        rows.iter().map(read).collect()
    }
}
