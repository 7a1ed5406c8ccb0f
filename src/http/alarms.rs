//! `alarms`: what an operator must look at.

use super::{List, Shared, auth::Who, problem::Problem};
use crate::app::alarms::AlarmView;
use axum::{Json, extract::State};
use utoipa_axum::{router::OpenApiRouter, routes};

/// The routes of this noun.
pub fn routes() -> OpenApiRouter<Shared> {
    OpenApiRouter::new().routes(routes!(alarm_list))
}

/// The alarms that stand, the worst first, each with what to do.
#[utoipa::path(get, path = "/alarms", tag = "alarms", responses((status = 200, body = List<AlarmView>)))]
async fn alarm_list(State(http): State<Shared>, who: Who) -> Result<Json<List<AlarmView>>, Problem> {
    Ok(Json(List::all(http.app.alarm_list(&who.actor)?)))
}
