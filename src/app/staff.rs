//! Agents whom the database keeps (`hotline user`), beside those of the settings.
//!
//! The command counts each change in the database; a running program looks at the count every second and takes up who is
//! there now, on top of the settings in force: the files are not read for it, so what was changed in them and not put in
//! force stays out. Left out: users without a telephone, who are asked for in the table whenever they sign in.

use super::{App, plan, reload::NotReloaded, switch_task::Ask, switch_task::Overloaded};
use crate::{
    config::Settings,
    ids::AgentNo,
    ivr::{Fault, Place},
    net::sip::{self, Bound},
    sip::auth::Ha1Set,
    store::{UserRefused, UserRow, UserSeat},
};
use std::{collections::HashMap, sync::Arc, time::Duration};
use tokio::{sync::oneshot, time::MissedTickBehavior};

/// How often the count is looked at.
const EVERY: Duration = Duration::from_secs(1);

/// An agent of the database.
#[derive(Clone, Debug)]
pub(super) struct StaffAgent {
    /// 工号.
    pub number: AgentNo,
    /// Its telephone.
    pub seat: UserSeat,
    /// What the telephone proves itself by; None where it was made for another realm.
    pub secret: Option<Ha1Set>,
}

/// Those of these users who sit at a telephone and may sign in.
pub(super) fn agents(rows: Vec<UserRow>, realm: &str) -> Vec<StaffAgent> {
    let agent = |row: UserRow| {
        let (number, seat) = (row.agent?, row.seat?);
        let hashes = row.sip_ha1_md5.zip(row.sip_ha1_sha256).filter(|_| seat.realm == realm);
        Some(StaffAgent { number, seat, secret: hashes.map(|(md5, sha256)| Ha1Set { md5, sha256 }) })
    };
    rows.into_iter().filter(|row| row.active).filter_map(agent).collect()
}

/// Whose telephone cannot register, and what to do.
pub(super) fn warnings(agents: &[StaffAgent], realm: &str) -> Vec<String> {
    let without = agents.iter().filter(|agent| agent.secret.is_none());
    let warning = |agent: &StaffAgent| {
        format!(
            "坐席 {0} 的话机密码是为 realm \"{1}\" 设的,现在是 \"{realm}\",话机不能注册:请 hotline user passwd {0} \
             (its telephone's password is another realm's)",
            agent.number, agent.seat.realm
        )
    };
    without.map(warning).collect()
}

/// What the settings and the database both claim: names, and telephones.
pub(super) fn clashes(settings: &Settings, kept: &[UserRow]) -> Vec<Fault> {
    let seats = kept.iter().filter_map(|row| Some((row.seat.as_ref()?.extension.as_str(), row)));
    let (names, seats): (HashMap<_, _>, HashMap<_, _>) =
        (kept.iter().map(|row| (row.name.as_str(), row)).collect(), seats.collect());
    let fault = |place: Place, why: UserRefused| Fault::new(&settings.file, place, why.to_string(), "");
    let agents = settings.agents.iter().filter_map(|agent| {
        let why = match (names.get(agent.number.as_str()), seats.get(agent.extension.as_str())) {
            (Some(row), _) => UserRefused::InDatabase(row.name.clone()),
            (None, Some(row)) => UserRefused::SeatTaken(agent.extension.clone(), row.name.clone()),
            (None, None) => return None,
        };
        Some(fault(agent.place, why))
    });
    let users = settings.users.iter().filter(|user| names.contains_key(user.name.as_str()));
    let users = users.map(|user| fault(Place::default(), UserRefused::InDatabase(user.name.clone())));
    agents.chain(users).collect()
}

/// Takes up what `hotline user` changes, until the program ends; `seen` is the count that the program started with.
pub(super) async fn follow(app: Arc<App>, mut seen: i64) {
    let mut looks = tokio::time::interval(EVERY);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = app.ending.cancelled() => return,
            _ = looks.tick() => {}
        }
        // While the database is away nobody can change anything.
        let Ok(count) = app.store.user_changes().await else { continue };
        if count == seen {
            continue;
        }
        match app.take_up_staff().await {
            Ok(agents) => {
                seen = count;
                tracing::info!(agents, "the users of the database were read again and are in force");
            }
            Err(error) => tracing::warn!(%error, "the users of the database are not in force yet"),
        }
    }
}

impl App {
    /// Puts the agents of the database in force as they are now, with the settings that are in force; gives how many.
    async fn take_up_staff(self: &Arc<Self>) -> Result<usize, NotReloaded> {
        let planned = self.planned.lock().await;
        let in_force = self.in_force();
        let kept = self.store.user_kept().await?;
        for clash in clashes(&in_force.settings, &kept) {
            tracing::error!("{}", clash.what);
        }
        let staff = agents(kept, &planned.change.config.realm);
        for warning in warnings(&staff, &planned.change.config.realm) {
            tracing::warn!("{warning}");
        }
        let change = Box::new(plan::with_staff(planned.change.clone(), &staff));
        let nothing = sip::Listen { tcp: Vec::new(), tls: Vec::new(), runtime: self.runtime.clone() };
        let bound = Bound::open(&[], nothing).map_err(super::reload::Faults::other)?;
        let (reply, answer) = oneshot::channel();
        self.switch.ask(Ask::Reconfigure { change, listen: planned.addresses.clone(), bound, reply }).await?;
        answer.await.map_err(|_| Overloaded)?.map_err(super::reload::Faults::other)?;
        self.put_in_force(in_force.staffed(&staff));
        Ok(staff.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        config,
        sip::auth::ha1,
        store::{Keeper, OnRegister, sip_ha1s},
        ticket::Role,
    };
    use std::path::Path;

    /// An agent of the database with password `secret`.
    fn row(number: &str, extension: &str, on_register: OnRegister) -> UserRow {
        let (md5, sha256) = sip_ha1s(extension, "hotline", "secret");
        UserRow {
            name: number.into(),
            display_name: number.to_owned(),
            role: Role::Agent,
            unit: None,
            agent: Some(number.into()),
            password_hash: String::new(),
            sip_ha1_md5: Some(md5),
            sip_ha1_sha256: Some(sha256),
            active: true,
            created_at: crate::clock::UnixMillis(0),
            kept_by: Keeper::Database,
            seat: Some(UserSeat {
                extension: extension.into(),
                skills: [("english".to_owned(), 7)].into(),
                realm: "hotline".to_owned(),
                on_register,
            }),
        }
    }

    #[test]
    fn an_agent_of_the_database_is_one_as_any_other() {
        let folder = std::env::temp_dir().join(format!("hotline-staff-{}", std::process::id()));
        let configuration = config::load(None, &folder).unwrap_or_else(|report| panic!("{report}"));
        let change = plan::change(&configuration, Vec::new()).unwrap();
        let realm = change.config.realm.clone();
        let out = UserRow { active: false, ..row("8102", "8102", OnRegister::Ready) };
        let clerk = UserRow { agent: None, seat: None, ..row("clerk", "clerk", OnRegister::Nothing) };
        let rows = vec![row("8100", "desk-1", OnRegister::Ready), row("8101", "8101", OnRegister::Nothing), out, clerk];
        let staff = agents(rows.clone(), &realm);
        let staffed = plan::with_staff(change.clone(), &staff);
        // The telephone's password is good by both digests, as if it were written in the settings.
        assert_eq!(staffed.config.credentials["desk-1"].md5, ha1("desk-1", &realm, "secret").md5);
        assert_eq!(staffed.config.credentials["desk-1"].sha256, ha1("desk-1", &realm, "secret").sha256);
        assert_eq!(staffed.roster[&"8100".into()].skills["english"], 7);
        let seat = &staffed.config.seats[&"desk-1".into()];
        assert_eq!((seat.agent.as_str(), seat.ready), ("8100", true));
        assert!(!staffed.config.seats.contains_key(&"8101".into()), "signs in by itself");
        assert_eq!(staffed.roster.len(), change.roster.len() + 2, "who is shut out is none");
        assert!(!staffed.config.credentials.contains_key("8102") && !change.roster.contains_key(&"8100".into()));
        let seats = plan::agent_seats(&configuration.settings, &staff);
        assert_eq!(seats[&"8100".into()].extension, "desk-1".into());
        assert!(warnings(&staff, &realm).is_empty());

        // A password that was set for another realm is none.
        let staff = agents(rows, "elsewhere");
        assert!(!plan::with_staff(change, &staff).config.credentials.contains_key("desk-1"));
        let told = warnings(&staff, "elsewhere");
        assert!(told.len() == 2 && told[0].contains("8100") && told[0].contains("hotline user passwd"), "{told:?}");
        let _ = std::fs::remove_dir_all(&folder);
    }

    #[test]
    fn what_both_claim_is_named() {
        let settings = Settings::sandbox(Path::new("data"));
        let kept = [
            row("8001", "desk-1", OnRegister::Nothing),
            row("8100", "8002", OnRegister::Nothing),
            row("admin", "a", OnRegister::Nothing),
            row("8101", "8101", OnRegister::Nothing),
        ];
        let told: Vec<String> = clashes(&settings, &kept).into_iter().map(|fault| fault.what).collect();
        assert_eq!(told.len(), 3, "{told:#?}");
        for (told, part) in told.iter().zip(["用户 8001", "分机 8002 已分配给坐席 8100", "用户 admin"]) {
            assert!(told.contains(part), "{told}");
        }
    }
}
