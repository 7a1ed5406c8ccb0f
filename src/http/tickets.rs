//! `tickets`: lists, one with its history, new ones, and commands.

use super::{Body, List, PageQuery, Path, Query, Shared, auth::Who, problem::Problem};
use crate::{
    app::{ticket_view::TicketView, tickets::filter_of},
    ids::{AgentNo, CallId, TicketNo, UnitCode},
    ticket::{Channel, Citizen, Command, Matter, Origin},
};
use axum::{
    Json,
    extract::State,
    http::{HeaderMap, StatusCode},
};
use serde::Deserialize;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

pub fn routes() -> OpenApiRouter<Shared> {
    OpenApiRouter::new()
        .routes(routes!(ticket_list, ticket_create))
        .routes(routes!(ticket_get))
        .routes(routes!(ticket_command))
}

/// Which tickets are asked for.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
struct TicketQuery {
    /// A ticket's state, such as `to_dispatch`.
    state: Option<String>,
    /// A call's id.
    call: Option<String>,
    /// The code of a unit that it was dispatched to.
    unit: Option<String>,
    /// 工号 of the agent who works or worked on it.
    agent: Option<String>,
    /// The citizen's whole number.
    number: Option<String>,
    /// 1–500, 50 unless said.
    limit: Option<u32>,
    /// `next_cursor` of the page before; absent for the first page.
    cursor: Option<String>,
}

/// Tickets, the latest accepted first. A unit's users get their unit's.
#[utoipa::path(get, path = "/tickets", tag = "tickets", params(TicketQuery), responses((status = 200, body = List<TicketView>)))]
async fn ticket_list(
    State(http): State<Shared>,
    who: Who,
    Query(query): Query<TicketQuery>,
) -> Result<Json<List<TicketView>>, Problem> {
    let page = PageQuery { limit: query.limit, cursor: query.cursor }.page()?;
    let call = query.call.as_deref().map(call_id).transpose()?;
    let filter = filter_of(
        query.state.as_deref(),
        call,
        query.unit.map(UnitCode::from),
        query.agent.map(AgentNo::from),
        query.number,
    )?;
    let (items, next_cursor) = http.app.ticket_list(&who.actor, filter, &page).await?;
    Ok(Json(List { items, next_cursor }))
}

/// One ticket with its assignments and history.
#[utoipa::path(get, path = "/tickets/{no}", tag = "tickets", responses((status = 200, body = TicketView), (status = 404, body = Problem)))]
async fn ticket_get(State(http): State<Shared>, who: Who, Path(no): Path<String>) -> Result<Json<TicketView>, Problem> {
    Ok(Json(http.app.ticket_get(&who.actor, &no).await?))
}

/// A new ticket.
#[derive(Debug, Deserialize, ToSchema)]
struct TicketRequest {
    /// How it came in; unless said, `phone` where `call` is given, else `web`.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    channel: Option<Channel>,
    /// Who asks: `number`, `contact`, `name`, `confidential`.
    #[serde(default)]
    #[schema(value_type = Object)]
    citizen: Citizen,
    /// What about: `title`, `content`, `kind`, `category`, `district`, `address`, `urgency`, `against`.
    #[serde(default)]
    #[schema(value_type = Object)]
    matter: Matter,
    /// The call that it came in by, beside the call's primary record.
    #[serde(default)]
    call: Option<String>,
    /// The ticket of the same call that it was split off from.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    split_from: Option<TicketNo>,
}

/// Registers a matter that came by another way than a call, or beside a call's own ticket.
#[utoipa::path(post, path = "/tickets", tag = "tickets", request_body = TicketRequest,
    responses((status = 201, body = TicketView), (status = 409, body = Problem)))]
async fn ticket_create(
    State(http): State<Shared>,
    who: Who,
    Body(request): Body<TicketRequest>,
) -> Result<(StatusCode, Json<TicketView>), Problem> {
    let call = request.call.as_deref().map(call_id).transpose()?;
    let channel = request.channel.unwrap_or(if call.is_some() { Channel::Phone } else { Channel::Web });
    let origin = Origin { call, channel, split_from: request.split_from, ..Origin::default() };
    let ticket = http.app.ticket_create(&who.actor, origin, request.citizen, request.matter).await?;
    Ok((StatusCode::CREATED, Json(ticket)))
}

/// Carries out a command: `{"command": "dispatch", …}`. With `If-Match`, only on that version.
#[utoipa::path(post, path = "/tickets/{no}/commands", tag = "tickets",
    params(("If-Match" = Option<String>, Header, description = "工单的 version,例如 \"3\";已被他人修改时为 412")),
    request_body(content = Object, description = "{\"command\": \"register\" | \"dispatch\" | \"sign\" | \"reply\" | \"accept\" | \"follow_up\" | …, …}"),
    responses((status = 200, body = TicketView), (status = 409, body = Problem), (status = 412, body = Problem)))]
async fn ticket_command(
    State(http): State<Shared>,
    who: Who,
    Path(no): Path<String>,
    headers: HeaderMap,
    Body(command): Body<Command>,
) -> Result<Json<TicketView>, Problem> {
    let if_version = super::if_match(&headers)?;
    Ok(Json(http.app.ticket_command(&who.actor, &no, &command, if_version).await?))
}

fn call_id(text: &str) -> Result<CallId, Problem> {
    text.parse().map_err(|_| Problem::bad_request(format!("call 应为通话的 id,收到的是 {text:?}")))
}
