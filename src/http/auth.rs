//! Who asks: a bearer token, or the console's cookie. A session is a row; only the hash of its token is kept.
//!
//! A browser sends its cookie whatever page asks it to, so requests that change something and come with the cookie
//! must carry `X-Requested-With: hotline`, which another site's page cannot add.

use super::{Http, problem::Problem};
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
    pub actor: Actor,
    pub user: String,
    pub expires_at: UnixMillis,
    /// The session's token, for signing out.
    pub token: String,
}

impl Who {
    /// Whether this user sees what goes on at the centre.
    pub fn is_centre(&self) -> bool {
        self.actor.unit.is_none()
    }

    /// Whether this user leads others.
    pub fn is_supervisor(&self) -> bool {
        matches!(self.actor.role, Role::Supervisor | Role::Admin | Role::System)
    }

    /// Fails unless the user works at the centre.
    ///
    /// # Errors
    /// 403.
    pub fn centre(self) -> Result<Self, Problem> {
        if self.is_centre() {
            Ok(self)
        } else {
            Err(Problem::forbidden("承办单位账号只能查看本单位的交办单"))
        }
    }

    /// Fails unless the user leads others, or is this agent.
    ///
    /// # Errors
    /// 403.
    pub fn supervisor_or_agent(&self, agent: Option<&crate::ids::AgentNo>) -> Result<(), Problem> {
        let own = agent.is_some() && self.actor.agent.as_ref() == agent;
        if self.is_supervisor() || own {
            Ok(())
        } else {
            Err(Problem::forbidden("只有班长,或者话务员本人,可以这样做"))
        }
    }
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    headers.get(header::AUTHORIZATION)?.to_str().ok()?.strip_prefix("Bearer ")
}

fn cookie(headers: &HeaderMap) -> Option<&str> {
    let all = headers.get(header::COOKIE)?.to_str().ok()?;
    all.split(';').filter_map(|pair| pair.trim().split_once('=')).find(|(name, _)| *name == COOKIE).map(|(_, v)| v)
}

impl FromRequestParts<Arc<Http>> for Who {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, http: &Arc<Http>) -> Result<Self, Problem> {
        let headers = &parts.headers;
        let (token, by_cookie) = match (bearer(headers), cookie(headers)) {
            (Some(token), _) => (token, false),
            (None, Some(token)) => (token, true),
            (None, None) => return Err(Problem::unauthorized()),
        };
        let changes = !matches!(parts.method, Method::GET | Method::HEAD | Method::OPTIONS);
        let ours = headers.get("x-requested-with").is_some_and(|value| value == "hotline");
        if by_cookie && changes && !ours {
            return Err(Problem::forbidden("以 Cookie 登录的修改请求必须带 X-Requested-With: hotline"));
        }
        let session = http.app.store.session_get(token, clock::now().wall).await?.ok_or_else(Problem::unauthorized)?;
        let actor = session.user.actor();
        Ok(Who { actor, user: session.user.name.to_string(), expires_at: session.expires_at, token: token.to_owned() })
    }
}
