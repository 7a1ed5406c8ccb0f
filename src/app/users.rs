//! The use cases of `hotline user`: users whom the database keeps, changed beside the program that may run, which takes
//! them up by itself (`app::staff`). Whom the settings name is changed in the settings.

use super::{AppError, plan, setup};
use crate::{
    config::{Configuration, Settings},
    ids::{AgentNo, Extension, UserName},
    net::clock,
    store::{
        Keeper, OnRegister, SCHEMA_VERSION, Store, StoreError, UserChange, UserRefused, UserRow, UserSeat,
        hash_password, schema_version, sip_ha1s,
    },
    ticket::Role,
};
use std::collections::BTreeMap;

/// Bytes in a user's name, and in a password, at most.
pub const LONGEST: usize = 256;
/// Characters in a password that is set by command, at least.
const SHORTEST: usize = 8;
/// Characters in a user's name that is made by command, at most.
const LONGEST_NAME: usize = 64;

/// A user who is to be added.
#[derive(Clone, Debug)]
pub struct NewUser {
    /// 工号 of an agent or supervisor; any other name of others.
    pub name: String,
    /// Its role.
    pub role: Role,
    /// On screens; the name unless given.
    pub display_name: Option<String>,
    /// The unit's code; a unit's clerk and head need one.
    pub unit: Option<String>,
    /// Of an agent: the telephone's user name; the number unless given.
    pub extension: Option<String>,
    /// Of an agent: levels 1–9.
    pub skills: BTreeMap<String, u8>,
    /// Of an agent.
    pub on_register: OnRegister,
}

/// The users of an installation, for changing.
pub struct Users {
    store: Store,
    settings: Settings,
    realm: String,
    by: String,
}

fn invalid(what: impl Into<String>) -> AppError {
    AppError::Invalid(what.into())
}

impl Users {
    /// Opens the database of a configuration, also beside the program that uses it; `by` is told in the audit log.
    ///
    /// # Errors
    /// `SchemaOlder`, which a running program is not to find changed under it; what [`setup::open_store`] says.
    pub async fn open(configuration: Configuration, by: String) -> anyhow::Result<Users> {
        let Configuration { settings, profiles, .. } = configuration;
        let found = schema_version(settings.database_url.expose()).await?.unwrap_or(0);
        if found > 0 && found < SCHEMA_VERSION {
            return Err(StoreError::SchemaOlder { found, known: SCHEMA_VERSION }.into());
        }
        let store = setup::open_store_without_numbers(&settings).await?;
        Ok(Users { store, realm: plan::realm(&profiles), settings, by })
    }

    /// All users, those of the settings included.
    ///
    /// # Errors
    /// The store's.
    pub async fn list(&self) -> Result<Vec<UserRow>, AppError> {
        Ok(self.store.user_list().await?)
    }

    /// What is wrong with a new user, found out before a password is asked for; inside, what may be a mistake.
    ///
    /// # Errors
    /// `Invalid`; `Store` where there is such a user, or another sits at this telephone.
    pub async fn may_add(&self, new: &NewUser) -> Result<Vec<String>, AppError> {
        let is_agent = matches!(new.role, Role::Agent | Role::Supervisor);
        let name = new.name.as_str();
        if is_agent && (name.len() > 20 || name.is_empty() || !name.bytes().all(|b| b.is_ascii_digit())) {
            return Err(invalid("工号是 1 至 20 位数字 (an agent's number is digits)"));
        }
        if name.is_empty() || name.chars().count() > LONGEST_NAME || name.contains(|c: char| c.is_control() || c == ' ')
        {
            return Err(invalid(format!("用户名最多 {LONGEST_NAME} 个字符,不含空格 (the name is empty or too long)")));
        }
        if new.role == Role::System {
            return Err(invalid("没有人能以 system 的身份登录 (nobody signs in as the program itself)"));
        }
        if !is_agent && (new.extension.is_some() || !new.skills.is_empty() || new.on_register != OnRegister::Nothing) {
            return Err(invalid(
                "只有话务员和班长有分机、技能和 --on-register (only agents and supervisors have a telephone)",
            ));
        }
        if matches!(new.role, Role::UnitClerk | Role::UnitHead) && new.unit.is_none() {
            return Err(invalid("承办单位的用户要写 --unit 单位代码 (a unit's user needs --unit)"));
        }
        let known = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        if new.extension.as_ref().is_some_and(|e| e.is_empty() || e.len() > 32 || !e.chars().all(known)) {
            return Err(invalid("分机号是最多 32 个字母、数字、点、横线 (the extension is letters and digits)"));
        }
        if let Some((skill, _)) = new.skills.iter().find(|(_, level)| !(1..=9).contains(*level)) {
            return Err(invalid(format!("技能 {skill} 的级别是 1 至 9 (levels are 1–9)")));
        }
        self.is_free(new).await?;
        let mut doubts = Vec::new();
        if let Some(unit) = &new.unit
            && !self.store.unit_list().await?.iter().any(|row| row.code.as_str() == unit)
        {
            doubts.push(format!("还没有代码为 {unit} 的单位 (there is no such unit yet)"));
        }
        for skill in new.skills.keys() {
            if !self.settings.queues.iter().any(|queue| queue.skills.contains(skill)) {
                doubts.push(format!("没有队列需要技能 {skill} (no queue needs this skill)"));
            }
        }
        Ok(doubts)
    }

    /// Neither the settings nor the database have this name or this telephone.
    async fn is_free(&self, new: &NewUser) -> Result<(), StoreError> {
        let name = UserName::from(new.name.as_str());
        let extension = seat_of(new);
        let agents = &self.settings.agents;
        let written = agents.iter().any(|agent| agent.number.as_str() == new.name);
        if written || self.settings.users.iter().any(|user| user.name == name) {
            return Err(UserRefused::InSettings(name).into());
        }
        if let Some(other) = agents.iter().find(|agent| Some(&agent.extension) == extension.as_ref()) {
            let number = other.number.as_str().into();
            return Err(UserRefused::SeatTaken(other.extension.clone(), number).into());
        }
        match self.store.user_get(&name).await? {
            Some(row) if row.kept_by == Keeper::Database => Err(UserRefused::Exists(name).into()),
            Some(row) if row.active => Err(UserRefused::InSettings(name).into()),
            _ => Ok(()),
        }
    }

    /// Adds a user.
    ///
    /// # Errors
    /// As [`Users::may_add`]; `Invalid` where the password is.
    pub async fn add(&self, new: NewUser, password: &str) -> Result<(), AppError> {
        self.may_add(&new).await?;
        let agent = matches!(new.role, Role::Agent | Role::Supervisor).then(|| AgentNo::from(new.name.as_str()));
        self.password_is_good(&new.name, agent.is_some(), password)?;
        let seat = seat_of(&new).map(|extension| UserSeat {
            extension,
            skills: new.skills,
            realm: self.realm.clone(),
            on_register: new.on_register,
        });
        let telephone = seat.as_ref().map(|seat| sip_ha1s(seat.extension.as_str(), &self.realm, password));
        let (sip_ha1_md5, sip_ha1_sha256) = telephone.unzip();
        let (name, created_at) = (UserName::from(new.name.as_str()), clock::now().wall);
        let row = UserRow {
            display_name: new.display_name.unwrap_or(new.name),
            role: new.role,
            unit: new.unit.map(|unit| unit.as_str().into()),
            agent,
            password_hash: hash_password(password)?,
            sip_ha1_md5,
            sip_ha1_sha256,
            active: true,
            created_at,
            kept_by: Keeper::Database,
            seat,
            name,
        };
        self.change(&row.name.clone(), UserChange::Add(Box::new(row))).await
    }

    /// The user of this name, whom the database keeps.
    ///
    /// # Errors
    /// `Store` where there is none, or the settings keep it.
    pub async fn kept(&self, name: &str) -> Result<UserRow, AppError> {
        let name = UserName::from(name);
        match self.store.user_get(&name).await? {
            Some(row) if row.kept_by == Keeper::Database => Ok(row),
            Some(_) => Err(StoreError::from(UserRefused::InSettings(name)).into()),
            None => Err(StoreError::from(UserRefused::Unknown(name)).into()),
        }
    }

    /// Sets another password, of the telephone too; sessions end.
    ///
    /// # Errors
    /// `Invalid`; as [`Users::kept`].
    pub async fn set_password(&self, name: &str, password: &str) -> Result<(), AppError> {
        let row = self.kept(name).await?;
        self.password_is_good(name, row.agent.is_some(), password)?;
        let telephone = row.seat.map(|seat| {
            let (md5, sha256) = sip_ha1s(seat.extension.as_str(), &self.realm, password);
            (md5, sha256, self.realm.clone())
        });
        self.change(&row.name, UserChange::Password { hash: hash_password(password)?, telephone }).await
    }

    /// Lets a user sign in, or shuts it out: its sessions end, its telephone is not registered any more.
    ///
    /// # Errors
    /// `Store` where that cannot be done.
    pub async fn set_active(&self, name: &str, active: bool) -> Result<(), AppError> {
        self.change(&name.into(), UserChange::Active(active)).await
    }

    /// Removes a user; what was done under the name stays under it.
    ///
    /// # Errors
    /// `Store` where that cannot be done.
    pub async fn remove(&self, name: &str) -> Result<(), AppError> {
        self.change(&name.into(), UserChange::Remove).await
    }

    async fn change(&self, name: &UserName, what: UserChange) -> Result<(), AppError> {
        Ok(self.store.user_change(name, what, &self.by, clock::now().wall).await?)
    }

    /// Waits until everything is written.
    pub async fn close(&self) {
        self.store.close().await;
    }

    fn password_is_good(&self, name: &str, is_agent: bool, password: &str) -> Result<(), AppError> {
        let guessed = if is_agent { password.contains(name) } else { password == name };
        if password.chars().count() < SHORTEST {
            return Err(invalid(format!("密码至少 {SHORTEST} 个字符 (the password is too short)")));
        }
        if password.len() > LONGEST || password.contains(char::is_control) {
            return Err(invalid(format!("密码最多 {LONGEST} 字节,不含控制字符 (the password is too long)")));
        }
        if guessed && !self.settings.sandbox {
            return Err(invalid("密码里不能有工号或用户名 (the password holds the user's name)"));
        }
        Ok(())
    }
}

/// The telephone of a new agent.
fn seat_of(new: &NewUser) -> Option<Extension> {
    let is_agent = matches!(new.role, Role::Agent | Role::Supervisor);
    is_agent.then(|| Extension::from(new.extension.as_deref().unwrap_or(&new.name)))
}
