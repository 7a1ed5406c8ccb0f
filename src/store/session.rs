//! Sessions: who is signed in. Only a token's hash is kept.

use super::{Result, Store, StoreError, sql::Columns, user::UserRow};
use crate::{clock::UnixMillis, ids::UserName};
use rand::RngCore;
use sha2::{Digest, Sha256};
use std::time::Duration;

/// A session that was just begun.
#[derive(Clone, Debug)]
pub struct NewSession {
    /// The token: 256 random bits in hex, shown this once.
    pub token: String,
    /// What a form must repeat where the token is a cookie.
    pub csrf: String,
    /// When it ends.
    pub expires_at: UnixMillis,
}

/// A session that goes on.
#[derive(Clone, Debug)]
pub struct SessionRow {
    /// Who is signed in.
    pub user: UserRow,
    /// What a form must repeat where the token is a cookie.
    pub csrf: String,
    /// When it ends.
    pub expires_at: UnixMillis,
}

fn random_hex() -> String {
    let mut bytes = [0; 32];
    rand::rng().fill_bytes(&mut bytes);
    hex::encode(bytes)
}

fn token_hash(token: &str) -> String {
    hex::encode(Sha256::digest(token.as_bytes()))
}

impl Store {
    /// Begins a session of a user who has been authenticated.
    pub async fn session_create(&self, user: &UserName, lasts: Duration, now: UnixMillis) -> Result<NewSession> {
        let session = NewSession { token: random_hex(), csrf: random_hex(), expires_at: now.plus(lasts) };
        let (hash, csrf, expires, user) =
            (token_hash(&session.token), session.csrf.clone(), session.expires_at, user.clone());
        self.write(move |tx| {
            Box::pin(async move {
                sqlx::query("DELETE FROM session WHERE expires_at < $1").bind(now.0).execute(&mut tx.conn).await?;
                sqlx::query(
                    "INSERT INTO session (token_hash, user_name, csrf, created_at, expires_at) VALUES ($1, $2, $3, $4, $5)",
                )
                .bind(hash)
                .bind(user.as_str())
                .bind(csrf)
                .bind(now.0)
                .bind(expires.0)
                .execute(&mut tx.conn)
                .await?;
                Ok(())
            })
        })
        .await?;
        Ok(session)
    }

    /// The session of this token, while it lasts and its user may sign in.
    pub async fn session_get(&self, token: &str, now: UnixMillis) -> Result<Option<SessionRow>> {
        // Every request asks this first: here it finds out that the database is silent.
        let row = self
            .patiently(async {
                let text = "SELECT user_name, csrf, expires_at FROM session WHERE token_hash = $1 AND expires_at > $2";
                let query = sqlx::query(text).bind(token_hash(token)).bind(now.0);
                Ok(query.fetch_optional(self.reader()).await?)
            })
            .await?;
        let Some(row) = row else {
            return Ok(None);
        };
        let name = UserName::from(row.text("user_name")?);
        let user = self.user_get(&name).await?.ok_or(StoreError::NotFound("user"))?;
        let (csrf, expires_at) = (row.text("csrf")?, row.millis("expires_at")?);
        Ok(Some(SessionRow { user, csrf, expires_at }).filter(|session| session.user.active))
    }

    /// Ends a session.
    pub async fn session_delete(&self, token: &str) -> Result<()> {
        let hash = token_hash(token);
        self.write(move |tx| {
            Box::pin(async move {
                sqlx::query("DELETE FROM session WHERE token_hash = $1").bind(hash).execute(&mut tx.conn).await?;
                Ok(())
            })
        })
        .await
    }

    /// Forgets sessions that have run out by `now`; gives how many.
    pub async fn session_trim(&self, now: UnixMillis) -> Result<u64> {
        self.write(move |tx| {
            Box::pin(async move {
                let done =
                    sqlx::query("DELETE FROM session WHERE expires_at <= $1").bind(now.0).execute(&mut tx.conn).await?;
                Ok(done.rows_affected())
            })
        })
        .await
    }

    /// Ends every session of a user: the password changed, or the account was closed.
    pub async fn session_delete_of(&self, user: &UserName) -> Result<()> {
        let user = user.clone();
        self.write(move |tx| {
            Box::pin(async move {
                sqlx::query("DELETE FROM session WHERE user_name = $1")
                    .bind(user.as_str())
                    .execute(&mut tx.conn)
                    .await?;
                Ok(())
            })
        })
        .await
    }
}
