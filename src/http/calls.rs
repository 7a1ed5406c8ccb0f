//! `calls`: in progress and past; what may be done with one in progress.

use super::{Body, List, PageQuery, Path, Query, Shared, auth::Who, id, problem::Problem};
use crate::{
    app::view::CallView,
    call::Command,
    ids::{AgentNo, CallId, HotlineNo, LegId},
};
use axum::{Json, extract::State};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

pub fn routes() -> OpenApiRouter<Shared> {
    OpenApiRouter::new()
        .routes(routes!(call_list))
        .routes(routes!(call_get))
        .routes(routes!(call_reveal))
        .routes(routes!(call_hold))
        .routes(routes!(call_unhold))
        .routes(routes!(call_three_way))
        .routes(routes!(call_merge))
        .routes(routes!(call_leave))
        .routes(routes!(call_drop))
        .routes(routes!(call_hangup))
        .routes(routes!(call_record_pause))
        .routes(routes!(call_record_resume))
        .routes(routes!(call_digits))
}

/// Which calls are asked for.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
struct CallQuery {
    /// The Call-ID of the citizen's dialog.
    sip_call_id: Option<String>,
    /// The caller's whole number.
    from: Option<String>,
    /// A state, or `live` for all that go on.
    state: Option<String>,
    /// The agent's number.
    agent: Option<String>,
    /// 1–500, 50 unless said.
    limit: Option<u32>,
    /// `next_cursor` of the page before; absent for the first page.
    cursor: Option<String>,
}

/// Calls, in progress and over, the newest first.
#[utoipa::path(get, path = "/calls", tag = "calls", params(CallQuery), responses((status = 200, body = List<CallView>)))]
async fn call_list(
    State(http): State<Shared>,
    who: Who,
    Query(query): Query<CallQuery>,
) -> Result<Json<List<CallView>>, Problem> {
    let page = PageQuery { limit: query.limit, cursor: query.cursor }.page()?;
    let filter = crate::app::calls::Filter {
        sip_call_id: query.sip_call_id,
        from: query.from,
        state: query.state,
        agent: query.agent.map(AgentNo::from),
    };
    let (items, next_cursor) = http.app.call_list(&who.actor, &filter, &page).await?;
    Ok(Json(List { items, next_cursor }))
}

/// One call.
#[utoipa::path(get, path = "/calls/{id}", tag = "calls", responses((status = 200, body = CallView), (status = 404, body = Problem)))]
async fn call_get(State(http): State<Shared>, who: Who, Path(call): Path<String>) -> Result<Json<CallView>, Problem> {
    Ok(Json(http.app.call_get(&who.actor, id(&call, "通话")?).await?))
}

/// Why a number is to be seen.
#[derive(Debug, Deserialize, ToSchema)]
struct RevealRequest {
    /// Kept in the audit log; not blank.
    reason: String,
}

/// A number in the clear.
#[derive(Debug, Serialize, ToSchema)]
struct Revealed {
    /// Empty when withheld.
    from: String,
}

/// Reveals the caller's number; who asked and why is audited.
#[utoipa::path(post, path = "/calls/{id}/reveal", tag = "calls", request_body = RevealRequest, responses((status = 200, body = Revealed)))]
async fn call_reveal(
    State(http): State<Shared>,
    who: Who,
    Path(call): Path<String>,
    Body(request): Body<RevealRequest>,
) -> Result<Json<Revealed>, Problem> {
    if request.reason.trim().is_empty() {
        return Err(Problem::bad_request("请填写查看号码的理由(reason)"));
    }
    let from = http.app.call_reveal(&who.actor, id(&call, "通话")?, &request.reason).await?;
    Ok(Json(Revealed { from }))
}

async fn command(http: &Shared, who: Who, call: &str, command: Command) -> Result<Json<CallView>, Problem> {
    Ok(Json(http.app.call_command(&who.actor, id::<CallId>(call, "通话")?, command).await?))
}

/// The citizen is put on hold.
#[utoipa::path(post, path = "/calls/{id}/hold", tag = "calls", responses((status = 200, body = CallView), (status = 409, body = Problem)))]
async fn call_hold(State(http): State<Shared>, who: Who, Path(call): Path<String>) -> Result<Json<CallView>, Problem> {
    command(&http, who, &call, Command::Hold).await
}

/// The citizen is back.
#[utoipa::path(post, path = "/calls/{id}/unhold", tag = "calls", responses((status = 200, body = CallView), (status = 409, body = Problem)))]
async fn call_unhold(
    State(http): State<Shared>,
    who: Who,
    Path(call): Path<String>,
) -> Result<Json<CallView>, Problem> {
    command(&http, who, &call, Command::Unhold).await
}

/// Which department is wanted.
#[derive(Debug, Deserialize, ToSchema)]
struct ThreeWayRequest {
    /// A departmental hotline's number, such as `12330`.
    hotline: String,
    /// True: the agent talks to the department first, until `merge`. Otherwise it is joined when it answers.
    #[serde(default)]
    consult: bool,
}

/// Rings a departmental hotline and joins it; its progress arrives as events.
#[utoipa::path(post, path = "/calls/{id}/three-way", tag = "calls", request_body = ThreeWayRequest,
    responses((status = 200, body = CallView), (status = 409, body = Problem)))]
async fn call_three_way(
    State(http): State<Shared>,
    who: Who,
    Path(call): Path<String>,
    Body(request): Body<ThreeWayRequest>,
) -> Result<Json<CallView>, Problem> {
    let hotline = HotlineNo::from(request.hotline);
    command(&http, who, &call, Command::ThreeWay { hotline, consult: request.consult }).await
}

/// Joins the consulted department and the citizen.
#[utoipa::path(post, path = "/calls/{id}/merge", tag = "calls", responses((status = 200, body = CallView), (status = 409, body = Problem)))]
async fn call_merge(State(http): State<Shared>, who: Who, Path(call): Path<String>) -> Result<Json<CallView>, Problem> {
    command(&http, who, &call, Command::Merge).await
}

/// The agent leaves; the citizen and the department go on.
#[utoipa::path(post, path = "/calls/{id}/leave", tag = "calls", responses((status = 200, body = CallView), (status = 409, body = Problem)))]
async fn call_leave(State(http): State<Shared>, who: Who, Path(call): Path<String>) -> Result<Json<CallView>, Problem> {
    command(&http, who, &call, Command::Leave).await
}

/// Which leg is dropped.
#[derive(Debug, Default, Deserialize, ToSchema)]
struct DropRequest {
    /// A leg's id; absent: the department's.
    leg: Option<String>,
}

/// Drops one leg; the others go on.
#[utoipa::path(post, path = "/calls/{id}/drop", tag = "calls", request_body = DropRequest,
    responses((status = 200, body = CallView), (status = 409, body = Problem)))]
async fn call_drop(
    State(http): State<Shared>,
    who: Who,
    Path(call): Path<String>,
    Body(request): Body<DropRequest>,
) -> Result<Json<CallView>, Problem> {
    let who = who.centre()?;
    let leg = match request.leg {
        Some(leg) => id::<LegId>(&leg, "该方")?,
        None => http.app.department_leg(&who.actor, id(&call, "通话")?).await?,
    };
    command(&http, who, &call, Command::Drop { leg }).await
}

/// Hangs everybody up.
#[utoipa::path(post, path = "/calls/{id}/hangup", tag = "calls", responses((status = 200, body = CallView), (status = 409, body = Problem)))]
async fn call_hangup(
    State(http): State<Shared>,
    who: Who,
    Path(call): Path<String>,
) -> Result<Json<CallView>, Problem> {
    command(&http, who, &call, Command::HangUp).await
}

/// The recording is silent from here on, while the citizen reads out a secret.
#[utoipa::path(post, path = "/calls/{id}/record-pause", tag = "calls", responses((status = 200, body = CallView), (status = 409, body = Problem)))]
async fn call_record_pause(
    State(http): State<Shared>,
    who: Who,
    Path(call): Path<String>,
) -> Result<Json<CallView>, Problem> {
    command(&http, who, &call, Command::RecordPause).await
}

/// The recording goes on.
#[utoipa::path(post, path = "/calls/{id}/record-resume", tag = "calls", responses((status = 200, body = CallView), (status = 409, body = Problem)))]
async fn call_record_resume(
    State(http): State<Shared>,
    who: Who,
    Path(call): Path<String>,
) -> Result<Json<CallView>, Problem> {
    command(&http, who, &call, Command::RecordResume).await
}

/// Keys to be sent.
#[derive(Debug, Deserialize, ToSchema)]
struct DigitsRequest {
    /// 0–9, `*` and `#`.
    digits: String,
}

/// Sends keys to the department, or to the citizen when there is none.
#[utoipa::path(post, path = "/calls/{id}/digits", tag = "calls", request_body = DigitsRequest,
    responses((status = 200, body = CallView), (status = 409, body = Problem)))]
async fn call_digits(
    State(http): State<Shared>,
    who: Who,
    Path(call): Path<String>,
    Body(request): Body<DigitsRequest>,
) -> Result<Json<CallView>, Problem> {
    command(&http, who, &call, Command::SendDigits { digits: request.digits }).await
}
