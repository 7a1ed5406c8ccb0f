//! Errors as problem+json (RFC 9457). The one place where an error becomes a status.

use super::{MAX_BODY, rejection::in_chinese};
use crate::{
    app::{
        AppError,
        documents::SettingsRefused,
        reload::{FaultView, Faults},
        switch_task::Overloaded,
    },
    call::Rejected,
    store::StoreError,
};
use axum::{
    Json,
    extract::rejection::{BytesRejection, JsonRejection, PathRejection, QueryRejection},
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::Serialize;
use std::time::Duration;
use utoipa::{
    ToSchema,
    openapi::{OpenApi, RefOr},
};

/// The base of every `type`: a name, not an address to be fetched.
const TYPES: &str = "urn:hotline:problem:";

/// A problem as it is sent.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Problem {
    /// A stable name of the kind of problem, `urn:hotline:problem:…`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The kind in words.
    pub title: String,
    /// The HTTP status, once more.
    pub status: u16,
    /// What went wrong this time, and what to do.
    pub detail: String,
    /// What is wrong with settings, each with its place; absent with every other problem.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(ignore)]
    faults: Vec<FaultView>,
    #[serde(skip)]
    #[schema(ignore)]
    retry_after: Option<u32>,
}

/// The problem of settings that have faults.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Faulty {
    /// What every problem says.
    #[serde(flatten)]
    pub problem: Problem,
    /// Everything that is wrong, each with its place.
    pub faults: Vec<FaultView>,
}

impl Problem {
    /// A problem of a kind.
    pub fn new(status: StatusCode, kind: &str, title: &str, detail: impl Into<String>) -> Self {
        Problem {
            kind: format!("{TYPES}{kind}"),
            title: title.to_owned(),
            status: status.as_u16(),
            detail: detail.into(),
            faults: Vec::new(),
            retry_after: None,
        }
    }

    /// 400 with what is wrong and how to put it right.
    pub fn bad_request(detail: impl Into<String>) -> Self {
        Problem::new(StatusCode::BAD_REQUEST, "bad-request", "请求有误", detail)
    }

    /// 401: sign in.
    pub fn unauthorized() -> Self {
        Problem::new(
            StatusCode::UNAUTHORIZED,
            "unauthorized",
            "未登录",
            "请先用 POST /api/v1/sessions 登录,再以 Bearer 令牌或 Cookie 访问",
        )
    }

    /// 403: not this role.
    pub fn forbidden(detail: impl Into<String>) -> Self {
        Problem::new(StatusCode::FORBIDDEN, "forbidden", "没有权限", detail)
    }

    /// 404.
    pub fn not_found(what: &str) -> Self {
        Problem::new(StatusCode::NOT_FOUND, "not-found", "没有找到", format!("{what}不存在,或者您无权查看"))
    }

    /// 409 with a stable code.
    pub fn conflict(code: &str, detail: impl Into<String>) -> Self {
        Problem::new(StatusCode::CONFLICT, code, "现在不能这样做", detail)
    }

    /// 429: try again later.
    pub fn too_many(kind: &str, title: &str, detail: &str, wait: Duration) -> Self {
        let mut problem = Problem::new(StatusCode::TOO_MANY_REQUESTS, kind, title, detail);
        problem.retry_after = Some(wait.as_millis().div_ceil(1000).max(1) as u32);
        problem
    }

    /// 500: our own fault; the log tells more.
    pub fn internal(detail: impl Into<String>) -> Self {
        Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", "内部错误", detail)
    }

    /// 503: nothing was done; try again.
    pub fn unavailable(detail: impl Into<String>) -> Self {
        let mut problem =
            Problem::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", "暂时不可用,操作没有生效", detail);
        problem.retry_after = Some(5);
        problem
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let retry_after = self.retry_after;
        let mut response = (status, Json(self)).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if let Some(seconds) = retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Unavailable(_) => Problem::unavailable("数据库暂时连不上,请稍后再试"),
            StoreError::NotFound(_) => Problem::not_found("所请求的对象"),
            StoreError::Conflict(_) => Problem::conflict("conflict", "该对象已被他人修改或已存在,请重新读取后再试"),
            StoreError::Rejected(why) => Problem::conflict(why.code(), format!("{}({why})", why.zh())),
            StoreError::Invalid(what) => Problem::bad_request(what),
            other => {
                tracing::error!(error = %other, "the store refused a request");
                Problem::internal("操作没有生效,请联系管理员")
            }
        }
    }
}

impl From<AppError> for Problem {
    fn from(error: AppError) -> Self {
        match error {
            AppError::Store(error) => error.into(),
            AppError::Overloaded(error) => error.into(),
            AppError::NotFound(what) => Problem::not_found(what),
            AppError::Forbidden(detail) => Problem::forbidden(detail),
            AppError::Invalid(detail) => Problem::bad_request(detail),
            AppError::CallRefused(rejected) => rejected.into(),
            AppError::AgentRefused(why) => Problem::conflict("agent-refused", why),
            AppError::CallbackRefused { code, reason } | AppError::TicketRefused { code, reason } => {
                Problem::conflict(code, reason)
            }
            AppError::Settings(refused) => refused.into(),
            AppError::VersionMismatch { current } => Problem::new(
                StatusCode::PRECONDITION_FAILED,
                "version-mismatch",
                "工单已被他人修改",
                format!("If-Match 与当前版本不符,当前版本为 {current},请重新读取后再试"),
            ),
        }
    }
}

impl From<SettingsRefused> for Problem {
    fn from(refused: SettingsRefused) -> Self {
        match refused {
            SettingsRefused::Faulty(Faults(faults)) => {
                let detail = format!("配置有 {} 个错误,没有生效,仍按原配置运行", faults.len());
                let problem = Problem::new(StatusCode::BAD_REQUEST, "settings-faulty", "配置有错误", detail);
                Problem { faults, ..problem }
            }
            SettingsRefused::Unseen => Problem::new(
                StatusCode::PRECONDITION_REQUIRED,
                "if-match-required",
                "缺少 If-Match",
                "请先读取该配置文件,再带 If-Match(其 ETag,即 version)提交",
            ),
            SettingsRefused::Stale { current } => Problem::new(
                StatusCode::PRECONDITION_FAILED,
                "version-mismatch",
                "配置已被他人修改",
                format!("If-Match 与当前版本不符,当前版本为 {current},请重新读取后再试"),
            ),
            SettingsRefused::NoFile => {
                Problem::conflict("no-configuration-file", "沙箱没有主配置文件;可改 sip-profiles 和 ivr-flows 中的文件")
            }
            SettingsRefused::NoVersion => Problem::conflict("no-such-version", "没有可以撤销到的版本"),
            SettingsRefused::Unwritable(why) => {
                tracing::error!(%why, "settings could not be written");
                Problem::internal(format!("配置文件写不进去,没有生效:{why}"))
            }
        }
    }
}

impl From<Overloaded> for Problem {
    fn from(_: Overloaded) -> Self {
        Problem::unavailable("交换机繁忙,请稍后再试")
    }
}

impl From<Rejected> for Problem {
    fn from(rejected: Rejected) -> Self {
        Problem::conflict(rejected.code(), rejected.to_string())
    }
}

impl From<JsonRejection> for Problem {
    fn from(rejection: JsonRejection) -> Self {
        match rejection {
            JsonRejection::MissingJsonContentType(_) => Problem::new(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "unsupported-media-type",
                "请求体格式不对",
                "请求体应为 JSON,并带 Content-Type: application/json",
            ),
            JsonRejection::BytesRejection(rejection) => rejection.into(),
            // Well-formed or not: what is sent does not read as what is asked for.
            rejection => Problem::bad_request(in_chinese(&rejection.body_text())),
        }
    }
}

impl From<BytesRejection> for Problem {
    fn from(rejection: BytesRejection) -> Self {
        if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE {
            let detail = format!("请求体不得超过 {MAX_BODY} 字节");
            Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "body-too-large", "请求体太大", detail)
        } else {
            Problem::bad_request(in_chinese(&rejection.body_text()))
        }
    }
}

impl From<PathRejection> for Problem {
    fn from(rejection: PathRejection) -> Self {
        Problem::bad_request(in_chinese(&rejection.body_text()))
    }
}

impl From<QueryRejection> for Problem {
    fn from(rejection: QueryRejection) -> Self {
        Problem::bad_request(in_chinese(&rejection.body_text()))
    }
}

/// Says in the API's document that errors are problem+json.
pub fn describe(document: &mut OpenApi) {
    let items = document.paths.paths.values_mut();
    let operations = items.flat_map(|item| [&mut item.get, &mut item.put, &mut item.post, &mut item.delete]);
    for operation in operations.filter_map(Option::as_mut) {
        let errors = operation.responses.responses.iter_mut().filter(|(status, _)| status.as_str() >= "400");
        for (_, answer) in errors {
            let RefOr::T(answer) = answer else { continue };
            if let Some(content) = answer.content.shift_remove("application/json") {
                answer.content.insert("application/problem+json".to_owned(), content);
            }
        }
    }
}
