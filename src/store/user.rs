//! Users of the console, the API and telephones.
//!
//! Passwords are kept as Argon2id hashes. A telephone's digest (RFC 7616) needs H(user:realm:password), kept as such;
//! it is as good as the password within its realm and never leaves this table but to the registrar.

use super::{Result, Store, StoreError, sql::Columns, writer::Tx};
use crate::{
    clock::UnixMillis,
    ids::{AgentNo, UnitCode, UserName},
    ticket::{Actor, Role},
};
use argon2::{Argon2, Params, PasswordHasher, PasswordVerifier, password_hash::phc::PasswordHash};
use md5::{Digest, Md5};
use sha2::Sha256;
use sqlx::any::AnyRow;
use std::collections::HashSet;

/// One user.
#[derive(Clone, Debug, PartialEq)]
pub struct UserRow {
    /// The name to sign in with.
    pub name: UserName,
    /// The name on screens.
    pub display_name: String,
    /// The role.
    pub role: Role,
    /// The unit, of a unit's clerk or head.
    pub unit: Option<UnitCode>,
    /// The agent number, of an agent or supervisor.
    pub agent: Option<AgentNo>,
    /// The password's hash, in PHC form.
    pub password_hash: String,
    /// H(user:realm:password) by MD5, in hex.
    pub sip_ha1_md5: Option<String>,
    /// The same by SHA-256.
    pub sip_ha1_sha256: Option<String>,
    /// Whether the user may sign in.
    pub active: bool,
    /// When it was created.
    pub created_at: UnixMillis,
}

impl UserRow {
    /// The user as one who gives commands.
    pub fn actor(&self) -> Actor {
        Actor { role: self.role, user: Some(self.name.clone()), unit: self.unit.clone(), agent: self.agent.clone() }
    }
}

/// A password's hash; takes some 20 ms of one core and 19 MiB: not for an async task's own thread.
pub fn hash_password(password: &str) -> Result<String> {
    let hash: PasswordHash =
        Argon2::default().hash_password(password.as_bytes()).map_err(|e| StoreError::Database(e.to_string()))?;
    Ok(hash.to_string())
}

/// A weaker hash for accounts whose passwords are published anyway, such as a sandbox's: under 1 ms.
pub fn hash_password_quickly(password: &str) -> Result<String> {
    let params = Params::new(64, 1, 1, None).map_err(|e| StoreError::Database(e.to_string()))?;
    let argon = Argon2::new(argon2::Algorithm::Argon2id, argon2::Version::V0x13, params);
    let hash: PasswordHash =
        argon.hash_password(password.as_bytes()).map_err(|e| StoreError::Database(e.to_string()))?;
    Ok(hash.to_string())
}

fn verify(password: &str, hash: &str) -> bool {
    PasswordHash::new(hash).is_ok_and(|hash| Argon2::default().verify_password(password.as_bytes(), &hash).is_ok())
}

/// H(user:realm:password) by MD5 and by SHA-256, in hex (RFC 7616, section 3.4.2).
pub fn sip_ha1s(user: &str, realm: &str, password: &str) -> (String, String) {
    let text = format!("{user}:{realm}:{password}");
    (hex::encode(Md5::digest(text.as_bytes())), hex::encode(Sha256::digest(text.as_bytes())))
}

fn read(row: &AnyRow) -> Result<UserRow> {
    let role = row.text("role")?;
    Ok(UserRow {
        name: row.text("name")?.into(),
        display_name: row.text("display_name")?,
        role: Role::from_name(&role).ok_or_else(|| StoreError::Corrupt(format!("role {role}")))?,
        unit: row.text_opt("unit")?.map(UnitCode::from),
        agent: row.text_opt("agent")?.map(AgentNo::from),
        password_hash: row.text("password_hash")?,
        sip_ha1_md5: row.text_opt("sip_ha1_md5")?,
        sip_ha1_sha256: row.text_opt("sip_ha1_sha256")?,
        active: row.flag("active")?,
        created_at: row.millis("created_at")?,
    })
}

async fn upsert(tx: &mut Tx, u: &UserRow) -> Result<()> {
    sqlx::query(
        "INSERT INTO app_user (name, display_name, role, unit, agent, password_hash, sip_ha1_md5, sip_ha1_sha256, \
         active, created_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) \
         ON CONFLICT (name) DO UPDATE SET display_name = excluded.display_name, role = excluded.role, \
         unit = excluded.unit, agent = excluded.agent, password_hash = excluded.password_hash, \
         sip_ha1_md5 = excluded.sip_ha1_md5, sip_ha1_sha256 = excluded.sip_ha1_sha256, active = excluded.active",
    )
    .bind(u.name.as_str())
    .bind(u.display_name.as_str())
    .bind(u.role.name())
    .bind(u.unit.as_ref().map(|unit| unit.as_str().to_owned()))
    .bind(u.agent.as_ref().map(|agent| agent.as_str().to_owned()))
    .bind(u.password_hash.as_str())
    .bind(u.sip_ha1_md5.clone())
    .bind(u.sip_ha1_sha256.clone())
    .bind(i64::from(u.active))
    .bind(u.created_at.0)
    .execute(&mut tx.conn)
    .await?;
    Ok(())
}

async fn end_sessions(tx: &mut Tx, user: &UserName) -> Result<()> {
    sqlx::query("DELETE FROM session WHERE user_name = $1").bind(user.as_str()).execute(&mut tx.conn).await?;
    Ok(())
}

impl Store {
    /// Writes users: all or none.
    pub async fn user_upsert(&self, users: Vec<UserRow>) -> Result<()> {
        self.write(move |tx| {
            Box::pin(async move {
                for user in &users {
                    upsert(tx, user).await?;
                }
                Ok(())
            })
        })
        .await
    }

    /// Brings the users to what the settings name: writes those that changed and ends their sessions; whoever is not in
    /// `named` may not sign in any more and is signed out. All or nothing. Gives who was shut out just now.
    pub async fn user_keep(&self, changed: Vec<UserRow>, named: HashSet<UserName>) -> Result<Vec<UserName>> {
        self.write(move |tx| {
            Box::pin(async move {
                for user in &changed {
                    upsert(tx, user).await?;
                    end_sessions(tx, &user.name).await?;
                }
                let rows = sqlx::query("SELECT name FROM app_user WHERE active = 1").fetch_all(&mut tx.conn).await?;
                let mut shut_out = Vec::new();
                for row in rows {
                    let name = UserName::from(row.text("name")?);
                    if named.contains(&name) {
                        continue;
                    }
                    sqlx::query("UPDATE app_user SET active = 0 WHERE name = $1")
                        .bind(name.as_str())
                        .execute(&mut tx.conn)
                        .await?;
                    end_sessions(tx, &name).await?;
                    shut_out.push(name);
                }
                Ok(shut_out)
            })
        })
        .await
    }

    /// The user of this name.
    pub async fn user_get(&self, name: &UserName) -> Result<Option<UserRow>> {
        let row = sqlx::query("SELECT * FROM app_user WHERE name = $1")
            .bind(name.as_str())
            .fetch_optional(self.reader())
            .await?;
        row.as_ref().map(read).transpose()
    }

    /// All users, by name.
    pub async fn user_list(&self) -> Result<Vec<UserRow>> {
        let rows = sqlx::query("SELECT * FROM app_user ORDER BY name").fetch_all(self.reader()).await?;
        rows.iter().map(read).collect()
    }

    /// The active user whose password this is; an unknown name and a wrong password take the same time.
    pub async fn user_authenticate(&self, name: &UserName, password: &str) -> Result<Option<UserRow>> {
        let user = self.patiently(self.user_get(name)).await?;
        // For an unknown name somebody else's hash is tried, which costs as much as that user's own would.
        let any = sqlx::query("SELECT password_hash FROM app_user WHERE active = 1 ORDER BY name LIMIT 1");
        let row = self.patiently(async { Ok(any.fetch_optional(self.reader()).await?) }).await?;
        let decoy = row.map(|row| row.text("password_hash")).transpose()?.unwrap_or_default();
        let password = password.to_owned();
        let checked = tokio::task::spawn_blocking(move || {
            let hash = user.as_ref().map_or(&decoy, |user| &user.password_hash);
            let fits = verify(&password, hash);
            user.filter(|user| fits && user.active)
        });
        checked.await.map_err(|error| StoreError::Unavailable(error.to_string()))
    }
}
