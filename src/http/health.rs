//! Probes and figures: `/healthz`, `/readyz`, `/metrics`.

use super::Shared;
use axum::{
    Json, Router,
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use serde_json::json;

pub fn routes() -> Router<Shared> {
    Router::new().route("/healthz", get(alive)).route("/readyz", get(ready)).route("/metrics", get(figures))
}

/// The program runs.
async fn alive() -> Json<serde_json::Value> {
    Json(json!({ "status": "ok" }))
}

/// Whether everything that new work needs is there; each part by itself.
async fn ready(State(http): State<Shared>) -> Response {
    let readiness = http.app.readiness().await;
    let status = if readiness.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(readiness)).into_response()
}

/// Prometheus text.
async fn figures(State(http): State<Shared>) -> Response {
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], http.metrics.render()).into_response()
}
