//! `callbacks`: lost calls that are owed a call back.

use super::{Body, List, PageQuery, Query, Shared, auth::Who, id, problem::Problem};
use crate::{
    app::callbacks::{CallbackView, Outcome},
    ids::CallbackId,
};
use axum::{
    Json,
    extract::{Path, State},
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

pub fn routes() -> OpenApiRouter<Shared> {
    OpenApiRouter::new().routes(routes!(callback_list)).routes(routes!(callback_claim)).routes(routes!(callback_settle))
}

/// Which callbacks are asked for.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
struct CallbackQuery {
    /// `owed` (unless said), `settled` or `given_up`.
    state: Option<String>,
    /// 1–500, 50 unless said.
    limit: Option<u32>,
    /// `next_cursor` of the page before; absent for the first page.
    cursor: Option<String>,
}

/// Callbacks in a state, the earliest rank first: who came to a queue first is called back first.
#[utoipa::path(get, path = "/callbacks", tag = "callbacks", params(CallbackQuery),
    responses((status = 200, body = List<CallbackView>), (status = 400, body = Problem), (status = 403, body = Problem)))]
async fn callback_list(
    State(http): State<Shared>,
    who: Who,
    Query(query): Query<CallbackQuery>,
) -> Result<Json<List<CallbackView>>, Problem> {
    let page = PageQuery { limit: query.limit, cursor: query.cursor }.page()?;
    let state = query.state.as_deref().unwrap_or("owed");
    let (items, next_cursor) = http.app.callback_list(&who.actor, state, &page).await?;
    Ok(Json(List { items, next_cursor }))
}

/// A callback that the asking agent has now.
#[derive(Debug, Serialize, ToSchema)]
struct Claimed {
    /// The callback as it is now.
    #[serde(flatten)]
    callback: CallbackView,
    /// The number to call, in the clear; that it was shown is audited.
    call_number: String,
}

/// Takes a callback on: no other agent may try until `claimed_until`. Counts as a try. Not at night, and not twice at
/// once for one number.
#[utoipa::path(post, path = "/callbacks/{id}/claim", tag = "callbacks",
    params(("id" = String, Path, description = "The callback's id")),
    responses((status = 200, body = Claimed), (status = 403, body = Problem), (status = 404, body = Problem), (status = 409, body = Problem)))]
async fn callback_claim(
    State(http): State<Shared>,
    who: Who,
    Path(callback): Path<String>,
) -> Result<Json<Claimed>, Problem> {
    let (callback, call_number) = http.app.callback_claim(&who.actor, id::<CallbackId>(&callback, "回拨")?).await?;
    Ok(Json(Claimed { callback, call_number }))
}

/// How a try went.
#[derive(Debug, Deserialize, ToSchema)]
struct SettleRequest {
    /// How it went.
    outcome: Outcome,
    /// What was said; kept in the audit log.
    #[serde(default)]
    note: String,
}

/// Says how a try went. `reached` settles it, and what else is owed to the same number; anything else is tried again
/// later, or given up when there were tries enough.
#[utoipa::path(post, path = "/callbacks/{id}/settle", tag = "callbacks", request_body = SettleRequest,
    params(("id" = String, Path, description = "The callback's id")),
    responses((status = 200, body = CallbackView), (status = 403, body = Problem), (status = 404, body = Problem), (status = 409, body = Problem)))]
async fn callback_settle(
    State(http): State<Shared>,
    who: Who,
    Path(callback): Path<String>,
    Body(request): Body<SettleRequest>,
) -> Result<Json<CallbackView>, Problem> {
    let callback = id::<CallbackId>(&callback, "回拨")?;
    Ok(Json(http.app.callback_settle(&who.actor, callback, request.outcome, &request.note).await?))
}
