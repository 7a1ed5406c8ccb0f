//! Who may sign in: those whom the settings name, exactly as they name them, beside whom the database keeps.

use crate::{
    config::Settings,
    ids::{AgentNo, UnitCode, UserName},
    net::clock,
    store::{Keeper, Store, StoreError, UserRow, hash_password, hash_password_quickly, sip_ha1s},
    ticket::Role,
};
use std::collections::{HashMap, HashSet};

/// The realm of the digests that are kept with a user.
const REALM: &str = "hotline";

/// A user as the settings want it.
struct Wanted<'a> {
    name: UserName,
    display_name: String,
    role: Role,
    unit: Option<UnitCode>,
    agent: Option<AgentNo>,
    password: &'a str,
}

impl Wanted<'_> {
    /// Whether a row says all that the settings say.
    fn is(&self, row: &UserRow, sha256: &str) -> bool {
        row.active
            && row.role == self.role
            && row.display_name == self.display_name
            && row.unit == self.unit
            && row.agent == self.agent
            && row.sip_ha1_sha256.as_deref() == Some(sha256)
    }
}

fn wanted(settings: &Settings) -> Vec<Wanted<'_>> {
    let agents = settings.agents.iter().map(|agent| Wanted {
        name: agent.number.as_str().into(),
        display_name: agent.name.clone(),
        role: if agent.supervisor { Role::Supervisor } else { Role::Agent },
        unit: None,
        agent: Some(agent.number.clone()),
        password: agent.password.expose(),
    });
    let users = settings.users.iter().map(|user| Wanted {
        name: user.name.clone(),
        display_name: user.name.to_string(),
        role: user.role,
        unit: user.unit.as_deref().map(UnitCode::from),
        agent: None,
        password: user.password.expose(),
    });
    agents.chain(users).collect()
}

/// Brings the users of the settings into the store; whoever is not named any more is signed out and shut out. A
/// password that did not change is not hashed again.
///
/// # Errors
/// The store's.
pub(super) async fn keep(store: &Store, settings: &Settings) -> Result<(), StoreError> {
    let known: HashMap<UserName, UserRow> =
        store.user_list().await?.into_iter().map(|user| (user.name.clone(), user)).collect();
    let wanted = wanted(settings);
    let named: HashSet<UserName> = wanted.iter().map(|user| user.name.clone()).collect();
    let mut changed = Vec::new();
    for user in wanted {
        let (md5, sha256) = sip_ha1s(user.name.as_str(), REALM, user.password);
        let before = known.get(&user.name);
        if before.is_some_and(|row| user.is(row, &sha256)) {
            continue;
        }
        let same_password = before.filter(|row| row.sip_ha1_sha256.as_ref() == Some(&sha256));
        let password_hash = match same_password {
            Some(row) => row.password_hash.clone(),
            None if settings.sandbox => hash_password_quickly(user.password)?,
            None => hash_password(user.password)?,
        };
        changed.push(UserRow {
            name: user.name,
            display_name: user.display_name,
            role: user.role,
            unit: user.unit,
            agent: user.agent,
            password_hash,
            sip_ha1_md5: Some(md5),
            sip_ha1_sha256: Some(sha256),
            active: true,
            created_at: before.map_or_else(|| clock::now().wall, |row| row.created_at),
            kept_by: Keeper::Settings,
            seat: None,
        });
    }
    let shut_out = store.user_keep(changed, named).await?;
    if !shut_out.is_empty() {
        tracing::warn!(users = ?shut_out, "users whom the settings do not name any more may not sign in");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        app::staff,
        config::{Secret, UserSettings},
        store::{StoreOptions, UserChange, UserRefused},
    };
    use std::{path::Path, time::Duration};

    fn user(name: &str, role: Role, password: &str, unit: Option<&str>) -> UserSettings {
        UserSettings { name: name.into(), role, password: Secret::new(password), unit: unit.map(str::to_owned) }
    }

    #[tokio::test]
    async fn the_settings_alone_say_who_may_sign_in() {
        let folder = std::env::temp_dir().join(format!("hotline-accounts-{}", std::process::id()));
        let now = clock::now().wall;
        let url = format!("sqlite:{}/hotline.db", folder.display());
        let store = Store::open(&url, StoreOptions::default(), now).await.unwrap();
        let mut settings = Settings::sandbox(Path::new("data"));
        settings.agents.truncate(1);
        settings.users = vec![
            user("gone", Role::Dispatcher, "old", None),
            user("clerk", Role::UnitClerk, "same", Some("unit-a")),
            user("stays", Role::Auditor, "same", None),
        ];
        keep(&store, &settings).await.unwrap();
        let mut sessions = HashMap::new();
        for name in ["gone", "clerk", "stays", "8001"] {
            let session = store.session_create(&name.into(), Duration::from_secs(600), now).await.unwrap();
            sessions.insert(name, session.token);
        }

        // One is gone, one moved to another unit, an agent was renamed; one stayed as it was.
        settings.users =
            vec![user("clerk", Role::UnitClerk, "same", Some("unit-b")), user("stays", Role::Auditor, "same", None)];
        settings.agents[0].name = "张三".into();
        keep(&store, &settings).await.unwrap();
        assert_eq!(store.user_authenticate(&"gone".into(), "old").await.unwrap(), None);
        let clerk = store.user_authenticate(&"clerk".into(), "same").await.unwrap().unwrap();
        assert_eq!(clerk.unit.as_ref().map(UnitCode::as_str), Some("unit-b"));
        let agent = store.user_get(&"8001".into()).await.unwrap().unwrap();
        assert_eq!((agent.display_name.as_str(), agent.agent), ("张三", Some("8001".into())));
        for (name, open) in [("gone", false), ("clerk", false), ("stays", true), ("8001", false)] {
            let session = store.session_get(&sessions[name], now).await.unwrap();
            assert_eq!(session.is_some(), open, "{name}");
        }

        // Whom the database keeps is none of the settings' business, and no name is both.
        let mut own = store.user_get(&"gone".into()).await.unwrap().unwrap();
        (own.name, own.active, own.kept_by) = ("own".into(), true, Keeper::Database);
        store.user_change(&"own".into(), UserChange::Add(Box::new(own)), "test", now).await.unwrap();
        keep(&store, &settings).await.unwrap();
        assert!(store.user_authenticate(&"own".into(), "old").await.unwrap().is_some());
        settings.users.push(user("own", Role::Dispatcher, "stolen", None));
        assert_eq!(staff::clashes(&settings, &store.user_kept().await.unwrap()).len(), 1);
        let error = keep(&store, &settings).await.unwrap_err();
        assert_eq!(error.to_string(), UserRefused::InDatabase("own".into()).to_string());
        assert!(store.user_authenticate(&"own".into(), "stolen").await.unwrap().is_none());
        settings.users.pop();

        // Named again: back with the password that is written now.
        settings.users.push(user("gone", Role::Dispatcher, "old", None));
        keep(&store, &settings).await.unwrap();
        assert!(store.user_authenticate(&"gone".into(), "old").await.unwrap().is_some());
        assert_eq!(store.session_get(&sessions["gone"], now).await.unwrap().map(|s| s.user.name), None);
        store.close().await;
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
