//! `units`: departments, districts, towns and utilities.

use super::{List, Shared, auth::Who, problem::Problem};
use axum::{Json, extract::State};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

pub fn routes() -> OpenApiRouter<Shared> {
    OpenApiRouter::new().routes(routes!(unit_list))
}

/// A unit as it is shown.
#[derive(Serialize, ToSchema)]
struct UnitView {
    /// By which tickets name it.
    code: String,
    /// In Chinese.
    name: String,
    /// The code of the unit above it.
    parent: Option<String>,
    /// `district`, `department`, `town` or `utility`: units are ranked among their like.
    kind: String,
    /// Whether tickets may be dispatched to it.
    active: bool,
}

/// All units.
#[utoipa::path(get, path = "/units", tag = "units", responses((status = 200, body = List<UnitView>)))]
async fn unit_list(State(http): State<Shared>, _who: Who) -> Result<Json<List<UnitView>>, Problem> {
    let rows = http.app.store.unit_list().await?;
    let view = |row: crate::store::UnitRow| UnitView {
        code: row.code.to_string(),
        name: row.name,
        parent: row.parent.map(|parent| parent.to_string()),
        kind: row.kind,
        active: row.active,
    };
    Ok(Json(List::all(rows.into_iter().map(view).collect())))
}
