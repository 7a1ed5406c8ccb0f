//! The live page, embedded, and the API's document.

use super::Shared;
use axum::{
    Json, Router,
    extract::Path,
    http::{StatusCode, header},
    response::{Html, IntoResponse, Response},
    routing::get,
};
use rust_embed::RustEmbed;
use utoipa::openapi::OpenApi;

#[derive(RustEmbed)]
#[folder = "web/dist"]
struct Page;

pub fn routes(document: OpenApi) -> Router<Shared> {
    let html = docs(&document);
    Router::new()
        .route("/", get(|| async { file("index.html") }))
        .route("/{name}", get(|Path(name): Path<String>| async move { file(&name) }))
        .route("/api/v1/openapi.json", get(move || async move { Json(document) }))
        .route("/api/docs", get(move || async move { Html(html) }))
}

fn file(name: &str) -> Response {
    let Some(file) = Page::get(name) else { return StatusCode::NOT_FOUND.into_response() };
    let kind = match name.rsplit('.').next() {
        Some("html") => "text/html; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("svg") => "image/svg+xml",
        _ => "application/octet-stream",
    };
    ([(header::CONTENT_TYPE, kind), (header::CACHE_CONTROL, "no-cache")], file.data.into_owned()).into_response()
}

/// The document as a page: every route with its method, words and answers. No script, nothing from elsewhere.
fn docs(document: &OpenApi) -> String {
    let value = serde_json::to_value(document).unwrap_or_default();
    let escape = |text: &str| text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    let mut rows = String::new();
    let paths = value["paths"].as_object().into_iter().flatten();
    for (path, methods) in paths {
        for (method, operation) in methods.as_object().into_iter().flatten() {
            let words = operation["summary"].as_str().or(operation["description"].as_str()).unwrap_or_default();
            let answers: Vec<&str> =
                operation["responses"].as_object().into_iter().flatten().map(|(status, _)| status.as_str()).collect();
            rows.push_str(&format!(
                "<tr><td><code>{}</code></td><td><code>/api/v1{}</code></td><td>{}</td><td>{}</td></tr>",
                method.to_uppercase(),
                escape(path),
                escape(words),
                answers.join(" ")
            ));
        }
    }
    format!(
        "<!doctype html><html lang=\"zh-CN\"><meta charset=\"utf-8\"><title>接口文档</title>\
         <link rel=\"stylesheet\" href=\"/style.css\"><main><section><h1>接口文档</h1>\
         <p>机器可读的版本:<a href=\"/api/v1/openapi.json\">/api/v1/openapi.json</a>(OpenAPI)。\
         先用 <code>POST /api/v1/sessions</code> 登录,再以 <code>Authorization: Bearer …</code> 访问。</p>\
         <table><thead><tr><th>方法</th><th>地址</th><th>说明</th><th>状态</th></tr></thead><tbody>{rows}</tbody></table>\
         </section></main></html>"
    )
}
