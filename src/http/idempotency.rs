//! `Idempotency-Key`: a repeated POST gets the first one's answer and does nothing again (after
//! draft-ietf-httpapi-idempotency-key-header).
//!
//! One layer over all routes of the API; no handler knows of it. A key is a user's own and is kept for a day. The work
//! runs in a task of its own, so that a client who hangs up does not leave a key whose request is half done. Answers
//! of 401, 403, 429 and 5xx are not kept: what they refuse may be tried again under the same key.

use super::{Shared, auth::Who, problem::Problem};
use crate::{
    clock::UnixMillis,
    net::clock,
    store::{Store, StoreError, idempotency::Idempotent},
};
use axum::{
    body::{Body, Bytes},
    extract::{FromRequest, FromRequestParts, Request, State},
    http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header, request::Parts},
    middleware::Next,
    response::{IntoResponse, Response},
};
use sha2::{Digest, Sha256};
use std::time::Duration;
use utoipa::openapi::{
    OpenApi, Ref, RefOr, Required, Response as Described,
    content::ContentBuilder,
    path::{ParameterBuilder, ParameterIn},
    schema::{ObjectBuilder, Type},
};

/// The request's header.
const KEY: HeaderName = HeaderName::from_static("idempotency-key");
/// Says that an answer was given before.
const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");
/// Signing in has no user yet whose key it could be.
const SIGN_IN: &str = "/sessions";
/// The longest key, in characters.
const LONGEST: usize = 255;
/// How often keeping an answer is tried again while the database is away, and how long apart.
const TRIES: u32 = 120;
const APART: Duration = Duration::from_secs(1);

/// A key and the request that it is taken for.
struct Taken {
    store: Store,
    user: String,
    key: String,
    hash: String,
    /// When this run of the program began.
    started: UnixMillis,
}

/// The layer.
pub async fn once(State(http): State<Shared>, request: Request, next: Next) -> Response {
    if request.method() != Method::POST || request.uri().path() == SIGN_IN || !request.headers().contains_key(KEY) {
        return next.run(request).await;
    }
    keyed(http, request, next).await.unwrap_or_else(IntoResponse::into_response)
}

async fn keyed(http: Shared, request: Request, next: Next) -> Result<Response, Problem> {
    let (mut parts, body) = request.into_parts();
    let who = match Who::from_request_parts(&mut parts, &http).await {
        Ok(who) => who,
        // The handler says the same in its own way.
        Err(problem) if matches!(problem.status, 401 | 403) => {
            return Ok(next.run(Request::from_parts(parts, body)).await);
        }
        Err(problem) => return Err(problem),
    };
    let key = key_of(&parts.headers)?;
    let body = Bytes::from_request(Request::from_parts(parts.clone(), body), &()).await?;
    let hash = hash_of(&parts, &body);
    let store = http.app.store.clone();
    let taken = Taken { store, user: who.user, key, hash, started: http.app.started.wall };
    let handler = next.run(Request::from_parts(parts, Body::from(body)));
    // Taking the key is part of the task: once it is taken, somebody must carry the work out.
    tokio::spawn(taken.answer(handler)).await.unwrap_or_else(|error| {
        // What it had done by then is not known, so the key stays taken.
        tracing::error!(%error, "a handler fell over");
        Err(Problem::internal("结果不明,请先查询该操作是否已经生效"))
    })
}

impl Taken {
    async fn answer(self, handler: impl Future<Output = Response>) -> Result<Response, Problem> {
        match self.store.idempotency_begin(&self.user, &self.key, &self.hash, clock::now().wall).await? {
            Idempotent::New => Ok(self.carry_out(handler).await),
            Idempotent::Answered { status, body } => {
                metrics::counter!("hotline_idempotency_replayed_total").increment(1);
                Ok(replayed(status, body))
            }
            Idempotent::Running { since } if since < self.started => Err(Problem::conflict(
                "idempotency-unknown",
                "带这个 Idempotency-Key 的第一次请求开始后,程序重新启动过,它是否生效不得而知;请先查询其结果,确认没有生效后再换一个新的 Idempotency-Key 提交",
            )),
            Idempotent::Running { .. } => Err(Problem::conflict(
                "idempotency-in-progress",
                "带这个 Idempotency-Key 的第一次请求还在处理,请稍后用同一个 Idempotency-Key 再试,即可得到它的结果",
            )),
            Idempotent::Mismatch => Err(Problem::new(
                StatusCode::UNPROCESSABLE_ENTITY,
                "idempotency-mismatch",
                "Idempotency-Key 重复使用",
                "这个 Idempotency-Key 已经用于另一个请求(方法、地址或内容不同);不同的请求要用不同的 Idempotency-Key",
            )),
        }
    }

    async fn carry_out(self, handler: impl Future<Output = Response>) -> Response {
        let (parts, body) = handler.await.into_parts();
        let Ok(bytes) = axum::body::to_bytes(body, usize::MAX).await else {
            return Problem::internal("结果不明,请先查询该操作是否已经生效").into_response();
        };
        let status = parts.status;
        let again = status.is_server_error()
            || matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN | StatusCode::TOO_MANY_REQUESTS);
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let answer = (!again).then_some((status.as_u16(), text));
        if let Err(error) = self.settle(answer.as_ref()).await {
            tracing::warn!(%error, "the answer of an idempotency key is not kept yet");
            tokio::spawn(self.settle_later(answer));
        }
        Response::from_parts(parts, Body::from(bytes))
    }

    /// Keeps the answer, or frees the key where there is none to keep.
    async fn settle(&self, answer: Option<&(u16, String)>) -> Result<(), StoreError> {
        match answer {
            Some((status, body)) => self.store.idempotency_finish(&self.user, &self.key, *status, body).await,
            None => self.store.idempotency_release(&self.user, &self.key).await,
        }
    }

    async fn settle_later(self, answer: Option<(u16, String)>) {
        for _ in 0..TRIES {
            tokio::time::sleep(APART).await;
            match self.settle(answer.as_ref()).await {
                Err(error) if error.is_unavailable() => {}
                Err(error) => return tracing::error!(%error, "the answer of an idempotency key was not kept"),
                Ok(()) => return,
            }
        }
        tracing::error!("the answer of an idempotency key was not kept: the database stayed away");
    }
}

/// The one key of a request.
fn key_of(headers: &HeaderMap) -> Result<String, Problem> {
    let mut keys = headers.get_all(KEY).iter();
    let key = keys.next().and_then(|key| key.to_str().ok()).filter(|_| keys.next().is_none());
    key.filter(|key| (1..=LONGEST).contains(&key.len()) && key.bytes().all(|byte| byte.is_ascii_graphic()))
        .map(str::to_owned)
        .ok_or_else(|| Problem::bad_request("Idempotency-Key 应为 1 到 255 个可见的 ASCII 字符(不含空格),且只出现一次"))
}

/// What makes two requests the same.
fn hash_of(parts: &Parts, body: &[u8]) -> String {
    let mut hash = Sha256::new();
    // Lengths before values: no two different requests give the same bytes.
    let (method, path) = (parts.method.as_str(), parts.uri.path());
    for part in [method.as_bytes(), path.as_bytes(), parts.uri.query().unwrap_or_default().as_bytes(), body] {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    hex::encode(hash.finalize())
}

fn replayed(status: u16, body: String) -> Response {
    let kind = if status >= 400 { "application/problem+json" } else { "application/json" };
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers =
        [(header::CONTENT_TYPE, HeaderValue::from_static(kind)), (REPLAYED, HeaderValue::from_static("true"))];
    (status, headers, body).into_response()
}

/// Says in the API's document that each POST takes the header, and what may come of it.
pub fn describe(document: &mut OpenApi) {
    let posts = document.paths.paths.iter_mut().filter(|(path, _)| *path != SIGN_IN);
    for operation in posts.filter_map(|(_, item)| item.post.as_mut()) {
        let schema = ObjectBuilder::new().schema_type(Type::String).min_length(Some(1)).max_length(Some(LONGEST));
        let header = ParameterBuilder::new()
            .name("Idempotency-Key")
            .parameter_in(ParameterIn::Header)
            .required(Required::False)
            .description(Some("同一用户以同一个键重复同一请求,得到第一次的结果,操作只做一次;保留 24 小时"))
            .schema(Some(schema));
        operation.parameters.get_or_insert_default().push(RefOr::T(header.build()));
        let problem = ContentBuilder::new().schema(Some(Ref::from_schema_name("Problem"))).build();
        let mut mismatch = Described::new("这个 Idempotency-Key 已经用于另一个请求");
        mismatch.content.insert("application/problem+json".to_owned(), RefOr::T(problem));
        operation.responses.responses.insert("422".to_owned(), RefOr::T(mismatch));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_one_to_255_visible_characters() {
        let with = |values: &[&[u8]]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(KEY, HeaderValue::from_bytes(value).expect("a header"));
            }
            key_of(&headers)
        };
        assert_eq!(with(&[b"a-1_~!"]).expect("a key"), "a-1_~!");
        assert_eq!(with(&[&[b'x'; 255]]).expect("a key").len(), 255);
        let bad: [&[&[u8]]; 5] = [&[b""], &[&[b'x'; 256]], &[b"a b"], &["键".as_bytes()], &[b"a", b"b"]];
        for bad in bad {
            assert_eq!(with(bad).expect_err("no key").status, 400, "{bad:?}");
        }
    }

    #[test]
    fn the_hash_covers_method_path_query_and_body() {
        let hash = |uri: &str, body: &str| {
            let (parts, ()) = Request::post(uri).body(()).expect("a request").into_parts();
            hash_of(&parts, body.as_bytes())
        };
        let first = hash("/a?b", "c");
        assert_eq!(first, hash("/a?b", "c"));
        for other in [hash("/a?b", "d"), hash("/a?x", "c"), hash("/ab", "c"), hash("/a", "bc")] {
            assert_ne!(first, other);
        }
    }
}
