//! Events and idempotency keys.

use super::*;

#[test]
fn events_resume_and_keys_answer_again() {
    on_each(|store, t| async move {
        let (_, last) = store.event_bounds().await.unwrap();
        let event =
            |n: i64| NewEvent { at: t, topic: "agent.status".into(), subject: "8001".into(), body: json!({"n": n}) };
        store.event_append((0..70).map(event).collect()).await.unwrap();
        let seen = store.event_list(last, 500).await.unwrap();
        assert_eq!(seen.len(), 70);
        assert!(seen.windows(2).all(|pair| pair[0].id < pair[1].id));
        assert_eq!(store.event_list(seen[68].id, 500).await.unwrap(), seen[69..]);
        store.event_cursor_set("sms", seen[10].id).await.unwrap();
        assert_eq!(store.event_cursor("sms").await.unwrap(), seen[10].id);
        store.event_trim(t.plus(MINUTE)).await.unwrap();
        assert_eq!(store.event_bounds().await.unwrap().0, seen[11].id, "none that a reader has yet to see");
        let key = t.0.to_string();
        let begin = |hash: &'static str| store.idempotency_begin("admin", &key, hash, t);
        assert_eq!(begin("h").await.unwrap(), Idempotent::New);
        assert_eq!(begin("h").await.unwrap(), Idempotent::Running { since: t });
        store.idempotency_release("admin", &key).await.unwrap();
        assert_eq!(begin("h").await.unwrap(), Idempotent::New, "freed");
        store.idempotency_finish("admin", &key, 201, "{}").await.unwrap();
        assert_eq!(begin("h").await.unwrap(), Idempotent::Answered { status: 201, body: "{}".into() });
        assert_eq!(begin("other").await.unwrap(), Idempotent::Mismatch);
        store.idempotency_release("admin", &key).await.unwrap();
        assert!(matches!(begin("h").await.unwrap(), Idempotent::Answered { .. }), "an answer is not freed");
        assert_eq!(store.idempotency_begin("8001", &key, "other", t).await.unwrap(), Idempotent::New, "another's key");
        assert_eq!(store.idempotency_trim(t).await.unwrap(), 0);
        assert_eq!(store.idempotency_trim(t.plus(MINUTE)).await.unwrap(), 2);
        assert_eq!(begin("other").await.unwrap(), Idempotent::New, "forgotten");
    });
}
