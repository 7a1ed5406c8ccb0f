//! The API and the console: one file a noun. Each route checks who asks, and each object whether they may see it.
//!
//! Errors are problem+json ([`problem`]); lists answer `{items, next_cursor}` and take `limit` and `cursor`; times are
//! RFC 3339 with offset. The OpenAPI document is made from the handlers.

pub mod auth;
pub mod problem;

mod agents;
mod alarms;
mod callbacks;
mod calls;
mod console;
mod document;
mod events;
mod health;
mod hotlines;
mod idempotency;
mod limits;
mod messages;
mod queues;
mod recordings;
mod rejection;
mod sessions;
mod settings;
mod tickets;
mod units;

use crate::app::App;
use axum::{
    Json, Router,
    extract::{DefaultBodyLimit, FromRequest, FromRequestParts, Request},
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header, request::Parts},
    middleware,
    response::Response,
};
use metrics_exporter_prometheus::PrometheusHandle;
use problem::Problem;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::{io, net::SocketAddr, sync::Arc};
use tokio::net::TcpListener;
use utoipa::{OpenApi, ToSchema};
use utoipa_axum::router::OpenApiRouter;

/// The largest request body.
const MAX_BODY: usize = 1 << 20;

/// What the handlers share.
pub struct Http {
    /// The use cases.
    pub app: Arc<App>,
    /// What `/metrics` prints.
    pub metrics: PrometheusHandle,
    /// What citizens dial, in the sandbox: the page says so. None elsewhere.
    pub dial: Option<String>,
}

/// The API's state.
pub type Shared = Arc<Http>;

#[derive(OpenApi)]
#[openapi(
    info(
        title = "hotline",
        description = "12345 热线:通话、坐席、工单、短信。时间为 RFC 3339 带时区;出错时返回 problem+json(RFC 9457)。\n\n\
            除登录外,每个 POST 都可带 Idempotency-Key(1 到 255 个可见的 ASCII 字符,按用户区分,保留 24 小时):\
            重复同一请求得到第一次的状态和内容,并带 Idempotency-Replayed: true,操作只做一次。第一次还没有结果时为 409 \
            idempotency-in-progress;其间程序重启、结果不明时为 409 idempotency-unknown,请先查询结果,再决定是否换新键提交;\
            同一个键用于不同的请求为 422 idempotency-mismatch。401、403、429 和 5xx 不保留,可用同一个键再试。"
    ),
    servers((url = "/api/v1"))
)]
struct Document;

/// One page of a list.
#[derive(Debug, Serialize, ToSchema)]
pub struct List<T> {
    /// In the order that the route's description says; at most `limit` of them.
    pub items: Vec<T>,
    /// Give it back as `cursor` for the next page; absent on the last.
    pub next_cursor: Option<String>,
}

impl<T> List<T> {
    /// A whole list in one page.
    pub fn all(items: Vec<T>) -> Self {
        List { items, next_cursor: None }
    }
}

/// Which page is asked for.
#[derive(Clone, Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub struct PageQuery {
    /// 1–500, 50 unless said.
    pub limit: Option<u32>,
    /// `next_cursor` of the page before; absent for the first page.
    pub cursor: Option<String>,
}

impl PageQuery {
    /// The store's page.
    ///
    /// # Errors
    /// 400 for a limit outside 1–500.
    pub fn page(&self) -> Result<crate::store::Page, Problem> {
        let limit = self.limit.unwrap_or(50);
        if !(1..=500).contains(&limit) {
            return Err(Problem::bad_request(format!("limit 必须在 1 到 500 之间,收到的是 {limit}")));
        }
        Ok(crate::store::Page { limit, cursor: self.cursor.clone() })
    }
}

/// A JSON body whose faults are problems.
pub struct Body<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Body<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let Json(value) = Json::<T>::from_request(request, state).await?;
        Ok(Body(value))
    }
}

/// A query string whose faults are problems.
pub struct Query<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Query<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let axum::extract::Query(value) = axum::extract::Query::<T>::from_request_parts(parts, state).await?;
        Ok(Query(value))
    }
}

/// A part of the path whose faults are problems.
pub struct Path<T>(pub T);

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for Path<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let axum::extract::Path(value) = axum::extract::Path::<T>::from_request_parts(parts, state).await?;
        Ok(Path(value))
    }
}

/// An id in a path.
///
/// # Errors
/// 404: what is no number names nothing.
pub fn id<T: std::str::FromStr>(text: &str, what: &str) -> Result<T, Problem> {
    text.parse().map_err(|_| Problem::not_found(what))
}

/// The version that `If-Match` names; none where any will do.
pub(crate) fn if_match(headers: &HeaderMap) -> Result<Option<u64>, Problem> {
    let Some(tag) = headers.get(header::IF_MATCH) else { return Ok(None) };
    let wrong = || Problem::bad_request("If-Match 应为读到的 version,例如 If-Match: \"3\"");
    match tag.to_str().map_err(|_| wrong())?.trim() {
        "*" => Ok(None),
        tag => tag.trim_start_matches("W/").trim_matches('"').parse().map(Some).map_err(|_| wrong()),
    }
}

/// Every route.
pub fn router(http: Shared) -> Router {
    let (api, mut document) = OpenApiRouter::with_openapi(Document::openapi())
        .merge(sessions::routes())
        .merge(calls::routes())
        .merge(callbacks::routes())
        .merge(agents::routes())
        .merge(alarms::routes())
        .merge(queues::routes())
        .merge(tickets::routes())
        .merge(messages::routes())
        .merge(recordings::routes())
        .merge(units::routes())
        .merge(hotlines::routes())
        .merge(events::routes())
        .merge(settings::routes())
        .split_for_parts();
    document::describe(&mut document);
    idempotency::describe(&mut document);
    problem::describe(&mut document);
    let api = api.method_not_allowed_fallback(not_allowed);
    let api = api.route_layer(middleware::from_fn_with_state(http.clone(), idempotency::once));
    let limits = limits::Limits::new(http.app.max_rate.clone());
    let api = api.layer(middleware::from_fn_with_state(limits, limits::limit));
    Router::new()
        .nest("/api/v1", api)
        .merge(console::routes(document))
        .merge(health::routes())
        .fallback(|| async { Problem::not_found("这个地址") })
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .layer(middleware::map_response(harden))
        .layer(middleware::from_fn(timed))
        .with_state(http)
}

async fn not_allowed() -> Problem {
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method-not-allowed", "方法不对", "这个地址不支持这种请求方法")
}

/// How long each answer took, by the route's template: no number of a ticket, a call or a person.
async fn timed(request: Request, next: middleware::Next) -> Response {
    let method = request.method().as_str().to_owned();
    let route = request.extensions().get::<axum::extract::MatchedPath>().map(|path| path.as_str().to_owned());
    let began = crate::net::clock::now().mono;
    let response = next.run(request).await;
    let labels = [
        ("method", method),
        ("route", route.unwrap_or_else(|| "none".to_owned())),
        ("status", response.status().as_str().to_owned()),
    ];
    metrics::histogram!("hotline_http_request_seconds", &labels)
        .record(crate::net::clock::now().mono.saturating_duration_since(began).as_secs_f64());
    response
}

/// Headers that every answer carries: nothing is framed, sniffed or loaded from elsewhere.
async fn harden(mut response: Response) -> Response {
    let headers = response.headers_mut();
    for (name, value) in [
        ("x-content-type-options", "nosniff"),
        ("x-frame-options", "DENY"),
        ("referrer-policy", "no-referrer"),
        (
            "content-security-policy",
            "default-src 'self'; img-src 'self' data:; style-src 'self'; frame-ancestors 'none'",
        ),
    ] {
        headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
    }
    response
}

/// Opens the listener.
///
/// # Errors
/// The address cannot be bound; the error names it and says what to do.
pub async fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    TcpListener::bind(address).await.map_err(|error| {
        let advice = "another program may use it: end that one, or set [http] listen to another port";
        io::Error::new(error.kind(), format!("TCP {address} (console and API): {error}; {advice}"))
    })
}

/// Serves until the future ends.
///
/// # Errors
/// The listener's own.
pub async fn serve(
    listener: TcpListener,
    http: Shared,
    until: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    axum::serve(listener, router(http).into_make_service_with_connect_info::<SocketAddr>())
        .with_graceful_shutdown(until)
        .await
}
