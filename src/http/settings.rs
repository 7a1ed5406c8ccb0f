//! `settings`: the documents that the program is set up by, their versions, and putting them in force.

use super::{
    Body, List, Path, Shared,
    auth::Who,
    if_match,
    problem::{Faulty, Problem},
};
use crate::{
    app::{
        documents::{DocumentView, SettingsView, Writing},
        reload::SettingsState,
        view::When,
    },
    store::setting_version::SettingVersionRow,
};
use axum::{
    Json,
    extract::State,
    http::{HeaderMap, HeaderValue, header},
    response::{IntoResponse, Response},
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

pub fn routes() -> OpenApiRouter<Shared> {
    OpenApiRouter::new()
        .routes(routes!(settings_list))
        .routes(routes!(settings_reload))
        .routes(routes!(settings_get, settings_put, settings_delete))
        .routes(routes!(settings_versions))
        .routes(routes!(settings_undo))
}

/// How the settings stand, their documents, and the prompts.
#[utoipa::path(get, path = "/settings", tag = "settings",
    responses((status = 200, body = SettingsView), (status = 403, body = Problem)))]
async fn settings_list(State(http): State<Shared>, who: Who) -> Result<Json<SettingsView>, Problem> {
    Ok(Json(http.app.settings_list(&who.actor).await?))
}

/// Reads the files again and puts them in force, as SIGHUP does; with a fault the old ones stay in force.
#[utoipa::path(post, path = "/settings/reload", tag = "settings",
    responses((status = 200, body = SettingsState), (status = 403, body = Problem),
        (status = 400, body = Faulty, example = json!({"type": "urn:hotline:problem:settings-faulty", "title": "配置有错误",
            "status": 400, "detail": "配置有 1 个错误,没有生效,仍按原配置运行",
            "faults": [{"file": "/etc/hotline/hotline.toml", "line": 18, "column": 16,
                "message": "`queue.ring_timeout` = \"soon\" is no time that can stand here", "fix": "write \"20s\""}]}))))]
async fn settings_reload(State(http): State<Shared>, who: Who) -> Result<Json<SettingsState>, Problem> {
    Ok(Json(http.app.settings_reload(&who.actor).await?))
}

/// One document with its text; secrets that are written plainly are shown as `<unchanged>`. `ETag` is its version.
#[utoipa::path(get, path = "/settings/{folder}/{name}", tag = "settings",
    responses((status = 200, body = DocumentView), (status = 403, body = Problem), (status = 404, body = Problem)))]
async fn settings_get(
    State(http): State<Shared>,
    who: Who,
    Path((folder, name)): Path<(String, String)>,
) -> Result<Response, Problem> {
    Ok(tagged(http.app.settings_get(&who.actor, &format!("{folder}/{name}")).await?))
}

/// A document's new text.
#[derive(Debug, Deserialize, ToSchema)]
struct PutRequest {
    /// The whole text. `<unchanged>` in the place of a secret leaves that secret as it is.
    text: String,
    /// Why.
    #[serde(default)]
    note: String,
}

/// Writes a document and puts it in force, if it is sound together with all others; else nothing changes.
#[utoipa::path(put, path = "/settings/{folder}/{name}", tag = "settings", request_body = PutRequest,
    params(("If-Match" = String, Header, description = "读到的版本,例如 \"3\";新文件为 \"0\";已被他人修改时为 412")),
    responses((status = 200, body = DocumentView), (status = 403, body = Problem), (status = 404, body = Problem),
        (status = 409, body = Problem), (status = 412, body = Problem), (status = 428, body = Problem),
        (status = 400, body = Faulty, example = json!({"type": "urn:hotline:problem:settings-faulty", "title": "配置有错误",
            "status": 400, "detail": "配置有 1 个错误,没有生效,仍按原配置运行",
            "faults": [{"file": "/etc/hotline/ivr-flows/12345.toml", "line": 6, "column": 8,
                "message": "there is no node \"b\"", "fix": "add [node.b]"}]}))))]
async fn settings_put(
    State(http): State<Shared>,
    who: Who,
    Path((folder, name)): Path<(String, String)>,
    headers: HeaderMap,
    Body(request): Body<PutRequest>,
) -> Result<Response, Problem> {
    let (document, seen) = (format!("{folder}/{name}"), seen(&headers)?);
    let writing = Writing { document, seen, text: Some(request.text), note: request.note };
    Ok(tagged(http.app.settings_put(&who.actor, writing).await?))
}

/// Removes a document's file: what the program carries within itself is in force again, or nothing.
#[utoipa::path(delete, path = "/settings/{folder}/{name}", tag = "settings",
    params(("If-Match" = String, Header, description = "读到的版本")),
    responses((status = 200, body = DocumentView), (status = 403, body = Problem), (status = 404, body = Problem),
        (status = 412, body = Problem), (status = 400, body = Faulty), (status = 428, body = Problem)))]
async fn settings_delete(
    State(http): State<Shared>,
    who: Who,
    Path((folder, name)): Path<(String, String)>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let (document, seen) = (format!("{folder}/{name}"), seen(&headers)?);
    let writing = Writing { document, seen, text: None, note: "删除自有文件".to_owned() };
    Ok(tagged(http.app.settings_put(&who.actor, writing).await?))
}

/// One version.
#[derive(Serialize, ToSchema)]
struct VersionView {
    /// Counted up from 1; also the number in the document's ETag.
    version: i64,
    /// A user; `file` where the file was changed by hand; `embedded`.
    author: String,
    /// Why it was changed, as its author said; may be empty.
    note: String,
    /// When it was put in force.
    at: When,
    /// Whether it stood in a file beside the configuration; otherwise it is the one that the program brings along.
    overridden: bool,
    /// The whole text, without secrets.
    text: String,
}

/// The versions of a document, the latest first.
#[utoipa::path(get, path = "/settings/{folder}/{name}/versions", tag = "settings",
    responses((status = 200, body = List<VersionView>), (status = 403, body = Problem), (status = 404, body = Problem)))]
async fn settings_versions(
    State(http): State<Shared>,
    who: Who,
    Path((folder, name)): Path<(String, String)>,
) -> Result<Json<List<VersionView>>, Problem> {
    let rows = http.app.settings_versions(&who.actor, &format!("{folder}/{name}")).await?;
    let view = |row: SettingVersionRow| VersionView {
        version: row.version,
        author: row.author,
        note: row.note,
        at: When(row.at),
        overridden: row.overridden,
        text: row.text,
    };
    Ok(Json(List::all(rows.into_iter().map(view).collect())))
}

/// Which version to go back to.
#[derive(Debug, Deserialize, ToSchema)]
struct UndoRequest {
    /// Why.
    note: String,
    /// Absent: the one before the latest.
    #[serde(default)]
    version: Option<i64>,
}

/// Goes back to an earlier version, which becomes the latest. Secrets stay as they are now.
#[utoipa::path(post, path = "/settings/{folder}/{name}/undo", tag = "settings", request_body = UndoRequest,
    params(("If-Match" = String, Header, description = "读到的版本")),
    responses((status = 200, body = DocumentView), (status = 403, body = Problem), (status = 404, body = Problem),
        (status = 409, body = Problem), (status = 412, body = Problem), (status = 400, body = Faulty),
        (status = 428, body = Problem)))]
async fn settings_undo(
    State(http): State<Shared>,
    who: Who,
    Path((folder, name)): Path<(String, String)>,
    headers: HeaderMap,
    Body(request): Body<UndoRequest>,
) -> Result<Response, Problem> {
    let (document, seen) = (format!("{folder}/{name}"), seen(&headers)?);
    Ok(tagged(http.app.settings_undo(&who.actor, &document, seen, request.version, &request.note).await?))
}

/// The version that `If-Match` names.
fn seen(headers: &HeaderMap) -> Result<Option<i64>, Problem> {
    let version = if_match(headers)?.map(i64::try_from).transpose();
    version.map_err(|_| Problem::bad_request("If-Match 应为版本号"))
}

fn tagged(view: DocumentView) -> Response {
    let tag = HeaderValue::from_str(&format!("\"{}\"", view.entry.version));
    let mut response = Json(view).into_response();
    if let Ok(tag) = tag {
        response.headers_mut().insert(header::ETAG, tag);
    }
    response
}
