//! The live page, embedded, and the API's document.

use super::Shared;
use axum::{
    Json, Router,
    extract::{Path, State},
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
        .route("/", get(index))
        .route("/{name}", get(|Path(name): Path<String>| async move { file(&name) }))
        .route("/api/v1/openapi.json", get(move || async move { Json(document) }))
        .route("/api/docs", get(move || async move { Html(html) }))
}

/// The page. In the sandbox it says so, and where to dial.
async fn index(State(http): State<Shared>) -> Response {
    let Some(page) = Page::get("index.html") else { return StatusCode::NOT_FOUND.into_response() };
    let page = addressed(&String::from_utf8_lossy(&page.data), http.dial.as_deref());
    ([(header::CACHE_CONTROL, "no-cache")], Html(page)).into_response()
}

/// The page with what the sandbox's citizens dial; the mark stays empty elsewhere.
fn addressed(page: &str, dial: Option<&str>) -> String {
    page.replacen("data-dial=\"\"", &format!("data-dial=\"{}\"", escape(dial.unwrap_or_default())), 1)
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
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
    let mut rows = String::new();
    let paths = value["paths"].as_object().into_iter().flatten();
    for (path, methods) in paths {
        for (method, operation) in methods.as_object().into_iter().flatten() {
            let words = operation["summary"].as_str().or(operation["description"].as_str()).unwrap_or_default();
            let answers: Vec<&str> =
                operation["responses"].as_object().into_iter().flatten().map(|(status, _)| status.as_str()).collect();
            rows.push_str(&format!(
                "<tr><td><code>{}</code></td><td><code>/api/v1{}</code></td><td class=\"wide\">{}</td><td>{}</td></tr>",
                method.to_uppercase(),
                escape(path),
                escape(words),
                answers.join(" ")
            ));
        }
    }
    format!(
        "<!doctype html><html lang=\"zh-CN\"><meta charset=\"utf-8\"><link rel=\"icon\" href=\"data:,\"><title>接口文档</title>\
         <link rel=\"stylesheet\" href=\"/style.css\"><main><section><h1>接口文档</h1>\
         <p>机器可读的版本：<a href=\"/api/v1/openapi.json\">/api/v1/openapi.json</a>（OpenAPI）。\
         先用 <code>POST /api/v1/sessions</code> 登录，再以 <code>Authorization: Bearer …</code> 访问。</p>\
         <div class=\"scroll\" tabindex=\"0\"><table><thead><tr><th>方法</th><th>地址</th><th>说明</th><th>状态</th></tr></thead><tbody>{rows}</tbody></table></div>\
         </section></main></html>"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_says_where_the_sandbox_is_dialled_and_only_there() {
        let page = String::from_utf8(Page::get("index.html").unwrap().data.into_owned()).unwrap();
        let sandbox = addressed(&page, Some("sip:12345@127.0.0.1:5060"));
        assert!(sandbox.contains("data-dial=\"sip:12345@127.0.0.1:5060\""));
        assert_eq!(addressed(&page, None), page);
        assert!(addressed(&page, Some("\"><script>")).contains("data-dial=\"&quot;&gt;&lt;script&gt;\""));
    }

    #[test]
    fn every_file_that_the_page_names_is_embedded() {
        for name in Page::iter() {
            let data = String::from_utf8(Page::get(&name).unwrap().data.into_owned()).unwrap();
            let imports = data.split("from \"./").skip(1).chain(data.split("src=\"").skip(1));
            for import in imports.chain(data.split("rel=\"stylesheet\" href=\"").skip(1)) {
                let file = import.split('"').next().unwrap();
                assert!(Page::get(file).is_some(), "{name} names {file}");
            }
        }
    }
}
