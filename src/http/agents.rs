//! `agents`: who serves, and whether they want to.

use super::{Body, List, Path, Shared, auth::Who, problem::Problem};
use crate::{acd::message::Status, app::view::AgentView, ids::AgentNo};
use axum::{Json, extract::State};
use serde::Deserialize;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

pub fn routes() -> OpenApiRouter<Shared> {
    OpenApiRouter::new()
        .routes(routes!(agent_list))
        .routes(routes!(agent_get))
        .routes(routes!(agent_status))
        .routes(routes!(agent_wrap_up))
}

/// All agents who signed in, with state, status and the time in it.
#[utoipa::path(get, path = "/agents", tag = "agents", responses((status = 200, body = List<AgentView>)))]
async fn agent_list(State(http): State<Shared>, who: Who) -> Result<Json<List<AgentView>>, Problem> {
    Ok(Json(List::all(http.app.agent_list(&who.actor)?)))
}

/// One agent.
#[utoipa::path(get, path = "/agents/{number}", tag = "agents", responses((status = 200, body = AgentView), (status = 404, body = Problem)))]
async fn agent_get(
    State(http): State<Shared>,
    who: Who,
    Path(number): Path<String>,
) -> Result<Json<AgentView>, Problem> {
    Ok(Json(http.app.agent_get(&who.actor, &AgentNo::from(number))?))
}

/// What an agent wants.
#[derive(Debug, Deserialize, ToSchema)]
struct StatusRequest {
    /// `ready`, `not_ready` or `logged_out`.
    status: String,
    /// Why not ready, such as `rest`, `meal`, `training`.
    reason: Option<String>,
}

/// Sets an agent's status. During a call, not-ready takes effect after it.
#[utoipa::path(put, path = "/agents/{number}/status", tag = "agents", request_body = StatusRequest,
    responses((status = 200, body = AgentView), (status = 403, body = Problem), (status = 404, body = Problem), (status = 409, body = Problem)))]
async fn agent_status(
    State(http): State<Shared>,
    who: Who,
    Path(number): Path<String>,
    Body(request): Body<StatusRequest>,
) -> Result<Json<AgentView>, Problem> {
    let agent = AgentNo::from(number);
    let status = match request.status.as_str() {
        "ready" => Status::Ready,
        "not_ready" => Status::NotReady { reason: request.reason.unwrap_or_else(|| "rest".to_owned()) },
        "logged_out" => Status::LoggedOut,
        other => {
            return Err(Problem::bad_request(format!("status 应为 ready、not_ready 或 logged_out,收到的是 {other:?}")));
        }
    };
    Ok(Json(http.app.agent_status(&who.actor, agent, status).await?))
}

/// How an agent's wrap-up goes on.
#[derive(Debug, Deserialize, ToSchema)]
struct WrapUpRequest {
    /// Seconds more; absent or 0 ends it.
    extend_s: Option<u64>,
}

/// Ends an agent's wrap-up, or stretches it.
#[utoipa::path(post, path = "/agents/{number}/wrap-up", tag = "agents", request_body = WrapUpRequest,
    responses((status = 200, body = AgentView), (status = 409, body = Problem)))]
async fn agent_wrap_up(
    State(http): State<Shared>,
    who: Who,
    Path(number): Path<String>,
    Body(request): Body<WrapUpRequest>,
) -> Result<Json<AgentView>, Problem> {
    let agent = AgentNo::from(number);
    let more = request.extend_s.filter(|s| *s > 0).map(|s| std::time::Duration::from_secs(s.min(3600)));
    Ok(Json(http.app.agent_wrap_up(&who.actor, agent, more).await?))
}
