//! Users of the console, the API and telephones: kept by the settings, which say all of them, or by the database, where
//! `hotline user` changes them.
//!
//! Passwords are kept as Argon2id hashes. A telephone's digest (RFC 7616) needs H(user:realm:password), kept as such;
//! it is as good as the password within its realm and never leaves this table but to the registrar.

use super::{Result, Store, StoreError, audit, installation, sql::Columns, writer::Tx};
use crate::{
    clock::UnixMillis,
    ids::{AgentNo, Extension, UnitCode, UserName},
    ticket::{Actor, Role},
};
use argon2::{Argon2, Params, PasswordHasher, PasswordVerifier, password_hash::phc::PasswordHash};
use md5::{Digest, Md5};
use serde::{Deserialize, Serialize};
use sha2::Sha256;
use sqlx::any::AnyRow;
use std::collections::{BTreeMap, HashSet};

/// The count of changes to users that the database keeps.
const CHANGES: &str = "users";

/// Who says what a user is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Keeper {
    /// `hotline.toml`.
    Settings,
    /// The table.
    Database,
}

impl Keeper {
    const fn name(self) -> &'static str {
        match self {
            Keeper::Settings => "settings",
            Keeper::Database => "database",
        }
    }
}

/// What an agent's telephone does by registering.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum OnRegister {
    /// The agent signs in at the console.
    Nothing,
    /// The agent is signed in, not ready.
    SignIn,
    /// The agent is signed in and ready.
    Ready,
}

impl OnRegister {
    /// Each of them.
    pub const ALL: [OnRegister; 3] = [OnRegister::Nothing, OnRegister::SignIn, OnRegister::Ready];

    /// The name in rows.
    pub const fn name(self) -> &'static str {
        match self {
            OnRegister::Nothing => "nothing",
            OnRegister::SignIn => "sign_in",
            OnRegister::Ready => "ready",
        }
    }
}

/// Where an agent of the database sits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UserSeat {
    /// The telephone's user name.
    pub extension: Extension,
    /// Levels 1–9 by skill.
    pub skills: BTreeMap<String, u8>,
    /// The digest's realm, for which alone `sip_ha1_md5` and `sip_ha1_sha256` are good.
    pub realm: String,
    /// What registering does.
    pub on_register: OnRegister,
}

/// One user.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
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
    /// The password's hash, in PHC form; leaves the table for nothing but a sign-in.
    #[serde(skip)]
    pub password_hash: String,
    /// H(user:realm:password) by MD5, in hex; the user is the telephone's where there is a seat.
    pub sip_ha1_md5: Option<String>,
    /// The same by SHA-256.
    pub sip_ha1_sha256: Option<String>,
    /// Whether the user may sign in.
    pub active: bool,
    /// When it was created.
    pub created_at: UnixMillis,
    /// Who says all this.
    pub kept_by: Keeper,
    /// The telephone, of an agent or supervisor whom the database keeps; the others' are in the settings.
    pub seat: Option<UserSeat>,
}

/// Why a user cannot be changed like that; nothing has changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UserRefused {
    /// There is none of this name.
    #[error("没有用户 {0} (there is no such user)")]
    Unknown(UserName),
    /// There is one of this name already.
    #[error("用户 {0} 已存在 (the user exists already)")]
    Exists(UserName),
    /// The settings name it.
    #[error(
        "用户 {0} 由 hotline.toml 管理:请在那里修改,然后 systemctl reload hotline (the settings keep this user: change it there)"
    )]
    InSettings(UserName),
    /// A change of the settings names one whom the database keeps.
    #[error(
        "用户 {0} 由数据库管理,hotline.toml 不能再写同一个用户:请在其中删去,或先 hotline user remove {0} (the database keeps \
         this user: take it out of hotline.toml, or remove it first)"
    )]
    InDatabase(UserName),
    /// Another agent sits there.
    #[error("分机 {0} 已分配给坐席 {1} (the extension is another agent's)")]
    SeatTaken(Extension, UserName),
    /// Nobody could run the installation any more.
    #[error("{0} 是最后一个可登录的管理员,不能停用或删除 (the last administrator stays)")]
    LastAdmin(UserName),
}

/// A change to a user whom the database keeps.
#[derive(Clone, Debug)]
pub enum UserChange {
    /// A new one.
    Add(Box<UserRow>),
    /// Another password; sessions end.
    Password {
        /// Of the console.
        hash: String,
        /// Of an agent's telephone, as [`UserRow`] has them, and the realm.
        telephone: Option<(String, String, String)>,
    },
    /// May sign in again, or may not any more and is signed out.
    Active(bool),
    /// Is gone.
    Remove,
}

impl UserChange {
    const fn action(&self) -> &'static str {
        match self {
            UserChange::Add(_) => "user.add",
            UserChange::Password { .. } => "user.password",
            UserChange::Active(true) => "user.enable",
            UserChange::Active(false) => "user.disable",
            UserChange::Remove => "user.remove",
        }
    }
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
        kept_by: if row.text("kept_by")? == Keeper::Database.name() { Keeper::Database } else { Keeper::Settings },
        seat: read_seat(row)?,
    })
}

fn read_seat(row: &AnyRow) -> Result<Option<UserSeat>> {
    let Some(extension) = row.text_opt("extension")? else { return Ok(None) };
    let skills = row.text_opt("skills")?.unwrap_or_else(|| "{}".to_owned());
    let on_register = row.text_opt("on_register")?.unwrap_or_default();
    Ok(Some(UserSeat {
        extension: extension.into(),
        skills: serde_json::from_str(&skills).map_err(|error| StoreError::Corrupt(format!("skills: {error}")))?,
        realm: row.text_opt("sip_realm")?.unwrap_or_default(),
        on_register: OnRegister::ALL
            .into_iter()
            .find(|known| known.name() == on_register)
            .ok_or_else(|| StoreError::Corrupt(format!("on_register {on_register}")))?,
    }))
}

/// The users whom the database keeps, read by whichever connection.
pub(super) async fn kept<'e>(from: impl sqlx::Executor<'e, Database = sqlx::Any>) -> Result<Vec<UserRow>> {
    let query = sqlx::query("SELECT * FROM app_user WHERE kept_by = $1 ORDER BY name").bind(Keeper::Database.name());
    query.fetch_all(from).await?.iter().map(read).collect()
}

async fn upsert(tx: &mut Tx, u: &UserRow) -> Result<()> {
    sqlx::query(
        "INSERT INTO app_user (name, display_name, role, unit, agent, password_hash, sip_ha1_md5, sip_ha1_sha256, \
         active, created_at, kept_by, extension, skills, sip_realm, on_register) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15) \
         ON CONFLICT (name) DO UPDATE SET display_name = excluded.display_name, role = excluded.role, \
         unit = excluded.unit, agent = excluded.agent, password_hash = excluded.password_hash, \
         sip_ha1_md5 = excluded.sip_ha1_md5, sip_ha1_sha256 = excluded.sip_ha1_sha256, active = excluded.active, \
         created_at = excluded.created_at, kept_by = excluded.kept_by, extension = excluded.extension, \
         skills = excluded.skills, sip_realm = excluded.sip_realm, on_register = excluded.on_register",
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
    .bind(u.kept_by.name())
    .bind(u.seat.as_ref().map(|seat| seat.extension.as_str().to_owned()))
    .bind(u.seat.as_ref().map(|seat| serde_json::json!(seat.skills).to_string()))
    .bind(u.seat.as_ref().map(|seat| seat.realm.clone()))
    .bind(u.seat.as_ref().map(|seat| seat.on_register.name()))
    .execute(&mut tx.conn)
    .await?;
    Ok(())
}

async fn find(tx: &mut Tx, name: &UserName) -> Result<Option<UserRow>> {
    let row =
        sqlx::query("SELECT * FROM app_user WHERE name = $1").bind(name.as_str()).fetch_optional(&mut tx.conn).await?;
    row.as_ref().map(read).transpose()
}

/// Carries out a change to a user of the database; says what is to be said in the audit log.
async fn change(tx: &mut Tx, name: &UserName, change: UserChange) -> Result<String> {
    let known = find(tx, name).await?;
    if let UserChange::Add(row) = change {
        // Whom the settings named once may come back by the database.
        match known {
            Some(known) if known.kept_by == Keeper::Database => return Err(UserRefused::Exists(name.clone()).into()),
            Some(known) if known.active => return Err(UserRefused::InSettings(name.clone()).into()),
            _ => {}
        }
        if let Some(seat) = &row.seat {
            let other = sqlx::query("SELECT name FROM app_user WHERE extension = $1")
                .bind(seat.extension.as_str())
                .fetch_optional(&mut tx.conn)
                .await?;
            if let Some(other) = other {
                return Err(UserRefused::SeatTaken(seat.extension.clone(), other.text("name")?.into()).into());
            }
        }
        upsert(tx, &row).await?;
        return Ok(format!("{} ", row.role.name()));
    }
    let mut row = known.ok_or_else(|| UserRefused::Unknown(name.clone()))?;
    if row.kept_by == Keeper::Settings {
        return Err(UserRefused::InSettings(name.clone()).into());
    }
    let removed = matches!(change, UserChange::Remove);
    let goes = removed || matches!(change, UserChange::Active(false));
    if goes && row.active && row.role == Role::Admin {
        let others = sqlx::query("SELECT count(*) AS n FROM app_user WHERE role = $1 AND active = 1 AND name <> $2")
            .bind(Role::Admin.name())
            .bind(name.as_str())
            .fetch_one(&mut tx.conn)
            .await?;
        if others.int("n")? == 0 {
            return Err(UserRefused::LastAdmin(name.clone()).into());
        }
    }
    match change {
        UserChange::Password { hash, telephone } => {
            row.password_hash = hash;
            if let (Some((md5, sha256, realm)), Some(seat)) = (telephone, &mut row.seat) {
                (row.sip_ha1_md5, row.sip_ha1_sha256, seat.realm) = (Some(md5), Some(sha256), realm);
            }
        }
        UserChange::Active(active) => row.active = active,
        UserChange::Remove | UserChange::Add(_) => {}
    }
    end_sessions(tx, name).await?;
    if removed {
        sqlx::query("DELETE FROM app_user WHERE name = $1").bind(name.as_str()).execute(&mut tx.conn).await?;
    } else {
        upsert(tx, &row).await?;
    }
    Ok(String::new())
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

    /// Changes a user whom the database keeps, with a row of the audit log; a running program notices by
    /// [`Store::user_changes`].
    ///
    /// # Errors
    /// `User` where that cannot be done; nothing has changed.
    pub async fn user_change(&self, name: &UserName, what: UserChange, by: &str, at: UnixMillis) -> Result<()> {
        let (name, by) = (name.clone(), by.to_owned());
        self.write(move |tx| {
            Box::pin(async move {
                // First, so that two commands at once come one after the other.
                installation::count(tx, CHANGES).await?;
                let action = what.action().to_owned();
                let said = change(tx, &name, what).await?;
                let (object, detail) = (name.to_string(), format!("{said}by {by}"));
                let row = audit::AuditRow {
                    seq: 0,
                    at,
                    actor: "system".to_owned(),
                    action,
                    object,
                    detail,
                    hash: String::new(),
                };
                audit::append(tx, row).await?;
                Ok(())
            })
        })
        .await
    }

    /// How often users of the database were changed.
    pub async fn user_changes(&self) -> Result<i64> {
        self.counted(CHANGES).await
    }

    /// Brings the users to what the settings name: writes those that changed and ends their sessions; whoever is not in
    /// `named` may not sign in any more and is signed out. Whom the database keeps is left alone. All or nothing. Gives
    /// who was shut out just now.
    ///
    /// # Errors
    /// `User` where one of those that changed is kept by the database.
    pub async fn user_keep(&self, changed: Vec<UserRow>, named: HashSet<UserName>) -> Result<Vec<UserName>> {
        self.write(move |tx| {
            Box::pin(async move {
                for user in &changed {
                    if find(tx, &user.name).await?.is_some_and(|known| known.kept_by == Keeper::Database) {
                        return Err(UserRefused::InDatabase(user.name.clone()).into());
                    }
                    upsert(tx, user).await?;
                    end_sessions(tx, &user.name).await?;
                }
                let rows = sqlx::query("SELECT name FROM app_user WHERE active = 1 AND kept_by = $1")
                    .bind(Keeper::Settings.name())
                    .fetch_all(&mut tx.conn)
                    .await?;
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

    /// The users whom the database keeps, by name, also those who may not sign in.
    pub async fn user_kept(&self) -> Result<Vec<UserRow>> {
        kept(self.reader()).await
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
