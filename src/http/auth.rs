//! Who asks: a bearer token, or the console's cookie. A session is a row; only the hash of its token is kept.
//!
//! A browser sends its cookie whatever page asks it to, so requests that change something and come with the cookie
//! must carry `X-Requested-With: hotline`, which another site's page cannot add.

use super::{Http, limits::Limits, problem::Problem};
use crate::{
    clock::UnixMillis,
    net::clock,
    ticket::{Actor, Role},
};
use axum::{
    extract::FromRequestParts,
    http::{HeaderMap, Method, header, request::Parts},
};
use std::sync::Arc;

/// The console's cookie.
pub const COOKIE: &str = "hotline_session";

/// A signed-in user.
#[derive(Clone, Debug)]
pub struct Who {
    /// What permissions go by: role, agent number, unit.
    pub actor: Actor,
    /// The name that was signed in with.
    pub user: String,
    /// When the session ends.
    pub expires_at: UnixMillis,
    /// The session's token, for signing out.
    pub token: String,
}

impl Who {
    /// Fails unless the user works at the centre.
    ///
    /// # Errors
    /// 403.
    pub fn centre(self) -> Result<Self, Problem> {
        let is_units = matches!(self.actor.role, Role::UnitClerk | Role::UnitHead) || self.actor.unit.is_some();
        if is_units { Err(Problem::forbidden("承办单位账号只能查看本单位的交办单")) } else { Ok(self) }
    }
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    headers.get(header::AUTHORIZATION)?.to_str().ok()?.strip_prefix("Bearer ")
}

fn cookie(headers: &HeaderMap) -> Option<&str> {
    let all = headers.get(header::COOKIE)?.to_str().ok()?;
    all.split(';').filter_map(|pair| pair.trim().split_once('=')).find(|(name, _)| *name == COOKIE).map(|(_, v)| v)
}

/// The token of a request, and whether it came as a cookie.
pub fn token(headers: &HeaderMap) -> Option<(&str, bool)> {
    bearer(headers).map(|token| (token, false)).or_else(|| cookie(headers).map(|token| (token, true)))
}

impl FromRequestParts<Arc<Http>> for Who {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, http: &Arc<Http>) -> Result<Self, Problem> {
        let headers = &parts.headers;
        let (token, by_cookie) = token(headers).ok_or_else(Problem::unauthorized)?;
        let changes = !matches!(parts.method, Method::GET | Method::HEAD | Method::OPTIONS);
        let ours = headers.get("x-requested-with").is_some_and(|value| value == "hotline");
        if by_cookie && changes && !ours {
            return Err(Problem::forbidden("以 Cookie 登录的修改请求必须带 X-Requested-With: hotline"));
        }
        let session = http.app.store.session_get(token, clock::now().wall).await?.ok_or_else(Problem::unauthorized)?;
        if let Some(limits) = parts.extensions.get::<Arc<Limits>>() {
            limits.admit(token);
        }
        let actor = session.user.actor();
        Ok(Who { actor, user: session.user.name.to_string(), expires_at: session.expires_at, token: token.to_owned() })
    }
}
