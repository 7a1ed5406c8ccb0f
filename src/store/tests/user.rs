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
