//! Users and their sessions.

use super::*;

#[test]
fn users_and_sessions() {
    on_each(|store, t| async move {
        let name = UserName::from(format!("u{}", t.0));
        let (md5, sha256) = user::sip_ha1s("8001", "hotline", "secret");
        assert_eq!((md5.len(), sha256.len()), (32, 64));
        let user = UserRow {
            name: name.clone(),
            display_name: "张三".into(),
            role: Role::Agent,
            unit: None,
            agent: Some("8001".into()),
            password_hash: user::hash_password_quickly("secret").unwrap(),
            sip_ha1_md5: Some(md5),
            sip_ha1_sha256: Some(sha256),
            active: true,
            created_at: t,
            kept_by: Keeper::Settings,
            seat: None,
        };
        store.user_upsert(vec![user.clone()]).await.unwrap();
        assert_eq!(store.user_authenticate(&name, "secret").await.unwrap(), Some(user.clone()));
        assert_eq!(store.user_authenticate(&name, "Secret").await.unwrap(), None);
        assert_eq!(store.user_authenticate(&"nobody".into(), "secret").await.unwrap(), None);
        let session = store.session_create(&name, MINUTE, t).await.unwrap();
        assert_eq!(store.session_get(&session.token, t).await.unwrap().unwrap().user.name, name);
        assert!(store.session_get(&session.token, t.plus(2 * MINUTE)).await.unwrap().is_none(), "over");
        store.session_delete(&session.token).await.unwrap();
        assert!(store.session_get(&session.token, t).await.unwrap().is_none());
        let (short, long) = (MINUTE, 3 * MINUTE);
        let over = store.session_create(&name, short, t).await.unwrap();
        let lasting = store.session_create(&name, long, t).await.unwrap();
        assert_eq!(store.session_trim(t.plus(2 * MINUTE)).await.unwrap(), 1);
        assert!(store.session_get(&over.token, t).await.unwrap().is_none(), "trimmed");
        assert!(store.session_get(&lasting.token, t).await.unwrap().is_some(), "kept");
        let missing = store.session_create(&"nobody-at-all".into(), MINUTE, t).await;
        assert!(missing.is_err(), "foreign keys are on, and one failure spoils no other write");
        store.ping().await.unwrap();
        user::hash_password("a strong one").unwrap();
    });
}

/// A user whom the database keeps; an agent sits at a telephone.
fn kept(name: &str, role: Role, t: UnixMillis) -> UserRow {
    let agent = role == Role::Agent;
    let seat = || UserSeat {
        extension: format!("t{name}").as_str().into(),
        skills: [("english".to_owned(), 7)].into(),
        realm: "hotline".into(),
        on_register: OnRegister::SignIn,
    };
    let (md5, sha256) = sip_ha1s(&format!("t{name}"), "hotline", "secret");
    UserRow {
        name: name.into(),
        display_name: "李四".into(),
        role,
        unit: None,
        agent: agent.then(|| name.into()),
        password_hash: hash_password_quickly("secret").expect("a hash"),
        sip_ha1_md5: agent.then_some(md5),
        sip_ha1_sha256: agent.then_some(sha256),
        active: true,
        created_at: t,
        kept_by: Keeper::Database,
        seat: agent.then(seat),
    }
}

#[test]
fn users_of_the_database_are_its_own() {
    on_each(|store, t| async move {
        let change = async |name: &str, what: UserChange| store.user_change(&name.into(), what, "test", t).await;
        let add = async |row: &UserRow| change(row.name.as_str(), UserChange::Add(Box::new(row.clone()))).await;
        let refused = |result: Result<()>| match result {
            Err(StoreError::User(why)) => why,
            other => panic!("{other:?}"),
        };
        let (agent, admin) = (kept("8021", Role::Agent, t), kept("root", Role::Admin, t));
        add(&agent).await.unwrap();
        add(&admin).await.unwrap();
        assert_eq!(store.user_kept().await.unwrap(), [agent.clone(), admin.clone()]);
        assert_eq!(store.user_changes().await.unwrap(), 2);
        assert_eq!(refused(add(&agent).await), UserRefused::Exists("8021".into()));
        let beside = UserRow { seat: agent.seat.clone(), ..kept("8022", Role::Agent, t) };
        assert_eq!(refused(add(&beside).await), UserRefused::SeatTaken("t8021".into(), "8021".into()));
        assert_eq!(refused(change("nobody", UserChange::Remove).await), UserRefused::Unknown("nobody".into()));

        // The settings' users, and who was one of them.
        let of_settings = |name: &str| UserRow { kept_by: Keeper::Settings, ..kept(name, Role::Dispatcher, t) };
        store.user_keep(vec![of_settings("a"), of_settings("b")], ["a".into(), "b".into()].into()).await.unwrap();
        assert_eq!(refused(change("a", UserChange::Active(false)).await), UserRefused::InSettings("a".into()));
        assert_eq!(refused(add(&kept("a", Role::Auditor, t)).await), UserRefused::InSettings("a".into()));
        assert_eq!(store.user_keep(Vec::new(), ["b".into()].into()).await.unwrap(), ["a".into()], "and nobody else");
        assert_eq!(store.user_kept().await.unwrap().iter().filter(|row| row.active).count(), 2, "they are spared");
        let claimed = store.user_keep(vec![of_settings("8021")], ["b".into(), "8021".into()].into()).await;
        assert_eq!(refused(claimed.map(drop)), UserRefused::InDatabase("8021".into()));
        let back = kept("a", Role::Auditor, t);
        add(&back).await.unwrap();
        assert_eq!(store.user_get(&"a".into()).await.unwrap(), Some(back));

        // Another password: of the telephone, too, and whoever is signed in is so no more.
        let session = store.session_create(&"8021".into(), MINUTE, t).await.unwrap();
        let (md5, sha256) = sip_ha1s("t8021", "other", "another");
        let hash = hash_password_quickly("another").unwrap();
        let telephone = Some((md5.clone(), sha256, "other".to_owned()));
        change("8021", UserChange::Password { hash, telephone }).await.unwrap();
        assert!(store.session_get(&session.token, t).await.unwrap().is_none());
        assert_eq!(store.user_authenticate(&"8021".into(), "secret").await.unwrap(), None);
        let row = store.user_authenticate(&"8021".into(), "another").await.unwrap().expect("signs in");
        assert_eq!((row.sip_ha1_md5, row.seat.map(|seat| seat.realm)), (Some(md5), Some("other".to_owned())));

        // Shut out, let in, removed.
        let session = store.session_create(&"8021".into(), MINUTE, t).await.unwrap();
        change("8021", UserChange::Active(false)).await.unwrap();
        assert!(store.session_get(&session.token, t).await.unwrap().is_none());
        assert_eq!(store.user_authenticate(&"8021".into(), "another").await.unwrap(), None);
        change("8021", UserChange::Active(true)).await.unwrap();
        assert!(store.session_get(&session.token, t).await.unwrap().is_none(), "no old session comes back");
        store.session_create(&"8021".into(), MINUTE, t).await.unwrap();
        change("8021", UserChange::Remove).await.unwrap();
        assert_eq!(store.user_get(&"8021".into()).await.unwrap(), None);
        add(&agent).await.unwrap();

        // Somebody has to run the installation: also one of the settings may.
        assert_eq!(refused(change("root", UserChange::Remove).await), UserRefused::LastAdmin("root".into()));
        assert_eq!(refused(change("root", UserChange::Active(false)).await), UserRefused::LastAdmin("root".into()));
        add(&kept("second", Role::Admin, t)).await.unwrap();
        change("second", UserChange::Active(false)).await.unwrap();
        assert_eq!(refused(change("root", UserChange::Remove).await), UserRefused::LastAdmin("root".into()));
        let third = UserRow { role: Role::Admin, ..of_settings("third") };
        store.user_keep(vec![third], ["b".into(), "third".into()].into()).await.unwrap();
        change("root", UserChange::Remove).await.unwrap();

        let audited = store.audit_list(&Page::default()).await.unwrap().items;
        assert_eq!((audited[0].action.as_str(), audited[0].object.as_str()), ("user.remove", "root"));
        assert!(audited.iter().all(|row| row.detail.ends_with("by test") && !row.detail.contains("another")));
        assert!(matches!(store.audit_verify().await.unwrap(), AuditVerdict::Whole { rows: 11, .. }));
        assert_eq!(store.user_changes().await.unwrap(), 11, "what was refused is not counted");
    });
}
