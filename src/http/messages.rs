//! `messages`: SMS, each with its visible fate.

use super::{Body, List, PageQuery, Query, Shared, auth::Who, problem::Problem};
use crate::{
    app::view::MessageView,
    ids::TicketNo,
    sms::delivery,
    store::{MessageFilter, Page},
};
use axum::{Json, extract::State, http::StatusCode};
use serde::Deserialize;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

pub fn routes() -> OpenApiRouter<Shared> {
    OpenApiRouter::new().routes(routes!(message_list, message_create))
}

/// Which messages are asked for.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
struct MessageQuery {
    /// A ticket's number.
    ticket: Option<String>,
    /// `pending`, `submitted`, `delivered`, `failed`, `uncertain`.
    state: Option<String>,
    /// 1–500, 50 unless said.
    limit: Option<u32>,
    /// `next_cursor` of the page before; absent for the first page.
    cursor: Option<String>,
}

/// Messages, the latest first.
#[utoipa::path(get, path = "/messages", tag = "messages", params(MessageQuery), responses((status = 200, body = List<MessageView>)))]
async fn message_list(
    State(http): State<Shared>,
    who: Who,
    Query(query): Query<MessageQuery>,
) -> Result<Json<List<MessageView>>, Problem> {
    let page: Page = PageQuery { limit: query.limit, cursor: query.cursor }.page()?;
    let state = match query.state {
        None => None,
        Some(name) => Some(name.parse::<delivery::State>().map_err(|_| {
            Problem::bad_request(format!(
                "没有名为 {name:?} 的短信状态,应为 pending、submitted、delivered、failed 或 uncertain"
            ))
        })?),
    };
    let filter = MessageFilter { ticket_no: query.ticket.map(TicketNo::from), state };
    let (items, next_cursor) = http.app.message_list(&who.actor, &filter, &page).await?;
    Ok(Json(List { items, next_cursor }))
}

/// A message to send.
#[derive(Debug, Deserialize, ToSchema)]
struct MessageRequest {
    /// A mobile number.
    to: String,
    /// Not blank; 20 short messages long at most (67 Chinese characters each).
    text: String,
    /// The ticket it is about.
    #[serde(default, alias = "ticket_no")]
    ticket: Option<String>,
}

/// Writes a message; it is sent, tried again and receipted from here on.
#[utoipa::path(post, path = "/messages", tag = "messages", request_body = MessageRequest,
    responses((status = 201, body = MessageView), (status = 400, body = Problem), (status = 403, body = Problem)))]
async fn message_create(
    State(http): State<Shared>,
    who: Who,
    Body(request): Body<MessageRequest>,
) -> Result<(StatusCode, Json<MessageView>), Problem> {
    let ticket = request.ticket.map(TicketNo::from);
    let message = http.app.message_create(&who.actor, &request.to, &request.text, ticket).await?;
    Ok((StatusCode::CREATED, Json(message)))
}
