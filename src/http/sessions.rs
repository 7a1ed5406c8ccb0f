//! `sessions`: signing in and out.

use super::{
    Body, Shared,
    auth::{COOKIE, Who},
    limits::{Limits, Origin},
    problem::Problem,
};
use crate::{
    app::{users::LONGEST, view::When},
    ids::UserName,
    net::clock,
};
use axum::{
    Extension, Json,
    extract::State,
    http::{HeaderMap, HeaderValue, StatusCode, header},
};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

pub fn routes() -> OpenApiRouter<Shared> {
    OpenApiRouter::new().routes(routes!(session_create)).routes(routes!(session_get, session_delete))
}

/// Who wants in.
#[derive(Deserialize, ToSchema)]
struct SignIn {
    /// An agent's number or a console user's name, 256 bytes at most.
    user: String,
    /// 256 bytes at most.
    password: String,
}

/// A session that was begun.
#[derive(Serialize, ToSchema)]
struct SignedIn {
    /// Send it as `Authorization: Bearer …`.
    token: String,
    /// When it ends, used or not.
    expires_at: When,
    /// Such as `agent`, `supervisor`, `dispatcher`, `unit_clerk`, `admin`.
    role: &'static str,
}

/// Signs in: a bearer token, and the same as an HttpOnly cookie for the console.
#[utoipa::path(post, path = "/sessions", tag = "sessions", request_body = SignIn,
    responses((status = 200, body = SignedIn), (status = 401, body = Problem), (status = 429, body = Problem)))]
async fn session_create(
    State(http): State<Shared>,
    Extension(limits): Extension<Arc<Limits>>,
    Extension(origin): Extension<Origin>,
    Body(request): Body<SignIn>,
) -> Result<(StatusCode, HeaderMap, Json<SignedIn>), Problem> {
    let now = clock::now().wall;
    // Whatever the account: a longer text is none, and would only keep the hash busy.
    if request.user.len() > LONGEST || request.password.len() > LONGEST {
        return Err(Problem::bad_request(format!("用户名和密码各不得超过 {LONGEST} 字节")));
    }
    let attempt = limits.sign_in(&request.user, origin)?;
    let name = UserName::from(request.user);
    let (attempt, place) = attempt.found(limits.hashing().await)?;
    let checked = http.app.store.user_authenticate(&name, &request.password).await;
    drop(place);
    let (attempt, Some(user)) = attempt.found(checked)? else {
        metrics::counter!("hotline_sign_in_failures_total").increment(1);
        return Err(Problem::new(StatusCode::UNAUTHORIZED, "wrong-credentials", "登录失败", "用户名或密码不正确"));
    };
    attempt.succeed();
    let lasts = http.app.in_force().settings.api.session_length;
    let session = http.app.store.session_create(&user.name, lasts, now).await?;
    let cookie = format!("{COOKIE}={}; Path=/; HttpOnly; SameSite=Strict; Max-Age={}", session.token, lasts.as_secs());
    let mut headers = HeaderMap::new();
    if let Ok(value) = HeaderValue::from_str(&cookie) {
        headers.insert(header::SET_COOKIE, value);
    }
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    let body = SignedIn { token: session.token, expires_at: When(session.expires_at), role: user.role.name() };
    Ok((StatusCode::OK, headers, Json(body)))
}

/// Who is signed in.
#[derive(Serialize, ToSchema)]
struct Current {
    /// The name that was signed in with.
    user: String,
    /// Such as `agent`, `supervisor`, `dispatcher`, `unit_clerk`, `admin`.
    role: &'static str,
    /// 工号, where the user is an agent or a supervisor.
    agent: Option<String>,
    /// The unit's code, where the user works for one.
    unit: Option<String>,
    /// When the session ends, used or not.
    expires_at: When,
}

/// The session that asks.
#[utoipa::path(get, path = "/sessions/current", tag = "sessions", responses((status = 200, body = Current), (status = 401, body = Problem)))]
async fn session_get(who: Who) -> Json<Current> {
    Json(Current {
        role: who.actor.role.name(),
        agent: who.actor.agent.map(|agent| agent.to_string()),
        unit: who.actor.unit.map(|unit| unit.to_string()),
        user: who.user,
        expires_at: When(who.expires_at),
    })
}

/// Signs out.
#[utoipa::path(delete, path = "/sessions/current", tag = "sessions", responses((status = 204)))]
async fn session_delete(State(http): State<Shared>, who: Who) -> Result<(StatusCode, HeaderMap), Problem> {
    http.app.store.session_delete(&who.token).await?;
    let mut headers = HeaderMap::new();
    headers.insert(
        header::SET_COOKIE,
        HeaderValue::from_static("hotline_session=; Path=/; HttpOnly; SameSite=Strict; Max-Age=0"),
    );
    Ok((StatusCode::NO_CONTENT, headers))
}
