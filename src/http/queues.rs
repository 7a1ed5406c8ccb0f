//! `queues`: who waits.

use super::{List, Shared, auth::Who, problem::Problem};
use crate::app::view::QueueView;
use axum::{Json, extract::State};
use utoipa_axum::{router::OpenApiRouter, routes};

pub fn routes() -> OpenApiRouter<Shared> {
    OpenApiRouter::new().routes(routes!(queue_list))
}

/// The queues with those who wait and the day's figures.
#[utoipa::path(get, path = "/queues", tag = "queues", responses((status = 200, body = List<QueueView>)))]
async fn queue_list(State(http): State<Shared>, who: Who) -> Result<Json<List<QueueView>>, Problem> {
    Ok(Json(List::all(http.app.queue_list(&who.actor)?)))
}
