//! `hotlines`: the departments' numbers, with what may be done with each.

use super::{List, Shared, auth::Who, problem::Problem};
use axum::{Json, extract::State};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

pub fn routes() -> OpenApiRouter<Shared> {
    OpenApiRouter::new().routes(routes!(hotline_list))
}

/// A hotline as it is shown.
#[derive(Serialize, ToSchema)]
struct HotlineView {
    /// By which a three-way call asks for it.
    number: String,
    /// In Chinese.
    name: String,
    /// `merged`, `dual_track` or `separate`.
    mode: String,
    /// The code of the unit that runs it, where that is known.
    unit: Option<String>,
    /// Whether it may be dialled.
    active: bool,
    /// Whether a three-way call to it is possible.
    three_way: bool,
    /// Whether it is within its hours now; where none are known it always is.
    open: bool,
    /// What else is known of it, such as further numbers, opening hours and where the entry is from.
    #[schema(value_type = Object)]
    detail: serde_json::Value,
}

/// All hotlines.
#[utoipa::path(get, path = "/hotlines", tag = "hotlines", responses((status = 200, body = List<HotlineView>)))]
async fn hotline_list(State(http): State<Shared>, who: Who) -> Result<Json<List<HotlineView>>, Problem> {
    let who = who.centre()?;
    let mut rows = http.app.store.hotline_list().await?;
    rows.retain(|row| http.app.sees_hotline(&who.actor, row));
    let view = |row: crate::store::HotlineRow| HotlineView {
        open: http.app.is_open(&row),
        three_way: row.active && row.mode == "dual_track",
        number: row.number.to_string(),
        name: row.name,
        mode: row.mode,
        unit: row.unit.map(|unit| unit.to_string()),
        active: row.active,
        detail: row.detail,
    };
    Ok(Json(List::all(rows.into_iter().map(view).collect())))
}
