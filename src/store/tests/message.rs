//! Messages and what is written beside them.

use super::*;

#[test]
fn a_message_is_saved_by_compare_and_set() {
    use crate::sms::delivery::{Command, Outcome, Policy, State};
    on_each(|store, t| async move {
        let new = |once: &str| NewMessage {
            once: Some(format!("{once}-{}", t.0)),
            ticket_no: Some(format!("no-{}", t.0).into()),
            purpose: "acceptance".into(),
            number: "13800000001".into(),
            text: "已受理".into(),
        };
        let a = store.message_create(new("a"), "admin", t).await.unwrap();
        assert_eq!(store.message_create(new("a"), "admin", t).await.unwrap(), a, "a repeated wish is one message");
        let due = store.message_due(t, 100).await.unwrap();
        assert!(due.iter().any(|row| row.id == a.id), "a new message is due at once");

        let policy = Policy::default();
        let (tried, _) = a.delivery.apply(Command::Try, &policy, t).unwrap();
        assert!(store.message_save(a.id, a.delivery.version, &tried).await.unwrap());
        assert!(!store.message_save(a.id, a.delivery.version, &tried).await.unwrap(), "saved once from one version");
        assert!(!store.message_due(t, 100).await.unwrap().iter().any(|row| row.id == a.id), "a try is on its way");

        let smsc_id = format!("smsc-{}", t.0);
        let outcome = Outcome::Accepted { smsc_id: smsc_id.clone() };
        let (submitted, _) = tried.apply(Command::Outcome { part: 0, outcome }, &policy, t).unwrap();
        assert!(store.message_save(a.id, tried.version, &submitted).await.unwrap());
        let found = store.message_by_smsc_id(&smsc_id).await.unwrap().unwrap();
        assert_eq!((found.id, found.delivery.state), (a.id, State::Submitted));
        assert_eq!(store.message_get(a.id).await.unwrap().unwrap().delivery, submitted);

        let filter = MessageFilter { ticket_no: a.ticket_no.clone(), state: Some(State::Submitted) };
        assert_eq!(store.message_list(&filter, &Page::default()).await.unwrap().items.len(), 1);
    });
}

#[test]
fn a_message_and_its_audit_row_come_together() {
    on_each(|store, t| async move {
        let new = NewMessage {
            once: Some(format!("together-{}", store.new_id())),
            ticket_no: None,
            purpose: "manual".into(),
            number: "13800000001".into(),
            text: "您好".into(),
        };
        let rows = || async {
            match store.audit_verify().await.unwrap() {
                AuditVerdict::Whole { rows, .. } => rows,
                AuditVerdict::Broken { seq } => panic!("broken at {seq}"),
            }
        };
        let before = rows().await;
        let message = store.message_create(new.clone(), "dispatcher", t).await.unwrap();
        let audited = store.audit_list(&Page::default()).await.unwrap().items.remove(0);
        assert_eq!((audited.actor.as_str(), audited.action.as_str()), ("dispatcher", "message.create"));
        assert_eq!(audited.object, message.id.to_string());
        store.message_create(new, "dispatcher", t).await.unwrap();
        assert_eq!(rows().await, before + 1, "a repeated wish is one message and one row");
    });
}
