//! Tickets: their story, their numbers, their pages.

use super::*;

#[test]
fn a_ticket_lives_through_the_story() {
    on_each(|store, t| async move {
        let origin = Origin { channel: Channel::Web, ..Origin::default() };
        let citizen = Citizen { number: Some("13800000002".into()), ..Citizen::default() };
        let agent = Actor::centre(Role::Agent, "8001");
        let dispatcher = Actor::centre(Role::Dispatcher, "dispatcher");
        let unit = Actor::unit("housing", "housing");
        units(&store, &["housing"]).await;
        let mut heard = store.subscribe();
        let case = store.ticket_insert(store.ticket_draft(origin, citizen, t), &agent).await.unwrap();
        let no = case.ticket.no.clone();
        assert_eq!(crate::ticket::number::parse(no.as_str()).as_ref(), Ok(&no));
        give(&store, &no, &agent, json!({"command": "register", "matter": {"title": "路灯"}}), t).await;
        give(&store, &no, &dispatcher, json!({"command": "dispatch", "lead": "housing"}), t).await;
        give(&store, &no, &unit, json!({"command": "sign"}), t).await;
        give(&store, &no, &unit, json!({"command": "reply", "text": "已修复"}), t).await;
        give(&store, &no, &dispatcher, json!({"command": "accept"}), t).await;
        let end = give(&store, &no, &agent, json!({"command": "follow_up", "result": "satisfied"}), t).await;
        assert_eq!(end.ticket.state, State::Closed);
        assert_eq!(store.ticket_get(&no).await.unwrap(), end);
        let history = store.ticket_history(end.ticket.id).await.unwrap();
        assert_eq!(history.len() as u64, end.ticket.history);
        assert!(history.iter().enumerate().all(|(i, e)| e.seq == i as u64 + 1));
        let first = heard.recv().await.unwrap();
        assert_eq!((first.topic.as_str(), first.subject.as_str()), ("ticket.created", no.as_str()));
        let filter = TicketFilter { unit: Some("housing".into()), state: Some(State::Closed), ..Default::default() };
        let list = store.ticket_list(&filter, &Page { limit: 1, cursor: None }).await.unwrap();
        assert_eq!(list.items[0].no, no);
        assert_eq!(store.assignments_of(end.ticket.id).await.unwrap().len(), 1);
    });
}

#[test]
fn commands_compare_and_set_and_a_rejection_writes_nothing() {
    on_each(|store, t| async move {
        let agent = Actor::centre(Role::Agent, "8001");
        let draft = store.ticket_draft(Origin::default(), Citizen::default(), t);
        let no = store.ticket_insert(draft.clone(), &agent).await.unwrap().ticket.no;
        assert!(matches!(store.ticket_insert(draft, &agent).await, Err(StoreError::Conflict(_))));
        let rules = Rules::default();
        let register: Command = serde_json::from_value(json!({"command": "register"})).unwrap();
        let stale = Applying { if_version: Some(9), ..Applying::plain(&agent, &rules) };
        assert!(matches!(store.ticket_apply(&no, &register, stale, t).await, Err(StoreError::Conflict(_))));
        let texts = |_: &crate::ticket::Case, _: &[crate::ticket::Event]| {
            vec![NewMessage {
                once: None,
                ticket_no: None,
                purpose: "acceptance".into(),
                number: "1".into(),
                text: "已受理".into(),
            }]
        };
        let good = Applying { if_version: Some(1), messages: &texts, ..Applying::plain(&agent, &rules) };
        let (case, _) = store.ticket_apply(&no, &register, good, t).await.unwrap();
        assert_eq!(case.ticket.class, Class::Request);
        let again = store.ticket_apply(&no, &register, Applying::plain(&agent, &rules), t).await;
        assert!(matches!(again, Err(StoreError::Rejected(why)) if why.code() == "ticket_state"));
        assert_eq!(store.ticket_history(case.ticket.id).await.unwrap().len(), 2);
        assert!(matches!(store.ticket_get(&"0".into()).await, Err(StoreError::NotFound(_))));
        // Many at once on one ticket: all are applied, one after the other.
        let urge: Command = serde_json::from_value(json!({"command": "urge"})).unwrap();
        let three = (
            store.ticket_apply(&no, &urge, Applying::plain(&agent, &rules), t),
            store.ticket_apply(&no, &urge, Applying::plain(&agent, &rules), t),
            store.ticket_apply(&no, &urge, Applying::plain(&agent, &rules), t),
        );
        let (a, b, c) = tokio::join!(three.0, three.1, three.2);
        assert!(a.is_ok() && b.is_ok() && c.is_ok());
        assert_eq!(store.ticket_get(&no).await.unwrap().ticket.urged, 3);
    });
}

#[test]
fn a_call_has_one_ticket_however_often_it_comes() {
    on_each(|store, t| async move {
        let base = store.new_id();
        let calls: Vec<_> = (0..70).map(|n| accepted(&store, base + n, t)).collect();
        let items: Vec<_> =
            calls.iter().map(|c| Ingest { accepted: c.clone(), progress: None, finished: None }).collect();
        store.ingest(items.clone()).await.unwrap();
        store.ingest(items).await.unwrap();
        let first = store.ticket_ensure_for_call(calls[0].clone()).await.unwrap();
        // A second promise for the same call comes to nothing: the first one stands.
        let mut other = calls[0].clone();
        other.ticket = Some(store.ticket_promise(t));
        assert_eq!(store.ticket_ensure_for_call(other).await.unwrap(), first);
        let filter = TicketFilter { call: Some(calls[0].call), ..Default::default() };
        assert_eq!(store.ticket_list(&filter, &Page::default()).await.unwrap().items.len(), 1);
        // The abandoned ones end as contacts, and owe a callback once.
        let finish: Vec<_> = calls[..2]
            .iter()
            .map(|c| Ingest {
                progress: None,
                accepted: c.clone(),
                finished: Some(ended(c, t.plus(MINUTE), Some(ContactKind::Abandoned))),
            })
            .collect();
        store.ingest(finish.clone()).await.unwrap();
        store.ingest(finish).await.unwrap();
        let case = store.ticket_of_call(calls[1].call).await.unwrap().unwrap();
        assert_eq!((case.ticket.state, case.ticket.class), (State::Closed, Class::Contact(ContactKind::Abandoned)));
        let row = store.call_get(calls[1].call).await.unwrap();
        assert_eq!((row.state.as_str(), row.ticket_no), ("ended", Some(case.ticket.no)));
        // A late word on an ended call does not open it again.
        store.ingest(vec![Ingest { accepted: calls[1].clone(), progress: None, finished: None }]).await.unwrap();
        assert_eq!(store.call_get(calls[1].call).await.unwrap().state, "ended");
        let filter = CallFilter { sip_call_id: Some(calls[1].sip_call_id.clone()), ..Default::default() };
        assert_eq!(store.call_list(&filter, &Page::default()).await.unwrap().items.len(), 1);
        for call in &calls[..2] {
            let owed = store.callback_of_call(call.call).await.unwrap().unwrap();
            assert_eq!((owed.enqueued_at, owed.tries, owed.state.as_str()), (t, 0, "owed"));
        }
    });
}

#[test]
fn a_taken_number_is_replaced() {
    on_each(|store, t| async move {
        let (base, mut second) = (store.new_id(), accepted(&store, store.new_id(), t));
        let first = accepted(&store, base, t);
        if let (Some(a), Some(b)) = (&first.ticket, &mut second.ticket) {
            b.no = a.no.clone();
        }
        let a = store.ticket_ensure_for_call(first).await.unwrap();
        let b = store.ticket_ensure_for_call(second.clone()).await.unwrap();
        assert_ne!(a.ticket.no, b.ticket.no);
        assert_eq!(store.call_get(second.call).await.unwrap().ticket_no, Some(b.ticket.no));
    });
}

#[test]
fn a_draft_that_an_agent_worked_on_stays() {
    on_each(|store, t| async move {
        let call = accepted(&store, store.new_id(), t);
        let no = store.ticket_ensure_for_call(call.clone()).await.unwrap().ticket.no;
        give(&store, &no, &Actor::centre(Role::Agent, "8001"), json!({"command": "register"}), t).await;
        let finished = Some(ended(&call, t.plus(MINUTE), Some(ContactKind::Abandoned)));
        store.ingest(vec![Ingest { accepted: call, progress: None, finished }]).await.unwrap();
        assert_eq!(store.ticket_get(&no).await.unwrap().ticket.state, State::ToDispatch);
    });
}

#[test]
fn pages_hold_each_row_once() {
    on_each(|store, t| async move {
        let base = store.new_id();
        let items = (0..25)
            .map(|n| Ingest {
                accepted: accepted(&store, base + n, UnixMillis(t.0 - (n as i64 / 5))),
                progress: None,
                finished: None,
            })
            .collect();
        store.ingest(items).await.unwrap();
        let filter = TicketFilter { from: Some(UnixMillis(t.0 - 10)), ..Default::default() };
        let (mut seen, mut cursor) = (Vec::new(), None);
        loop {
            let page = store.ticket_list(&filter, &Page { limit: 7, cursor }).await.unwrap();
            seen.extend(page.items.into_iter().map(|ticket| ticket.id));
            cursor = page.next_cursor;
            if cursor.is_none() {
                break;
            }
        }
        let count = seen.len();
        seen.sort();
        seen.dedup();
        assert!(seen.len() == count && count >= 25);
        let bad = store.ticket_list(&filter, &Page { limit: 7, cursor: Some("x".into()) }).await;
        assert!(matches!(bad, Err(StoreError::Invalid(_))));
    });
}

#[test]
fn numbers_never_repeat() {
    on_each(|store, t| async move {
        let mut seen = std::collections::HashSet::new();
        for n in 0..9_000 {
            assert!(seen.insert(store.ticket_number(t)), "a number came twice");
            if n % 500 == 0 {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
    });
}

#[test]
fn a_step_into_nothing_is_refused() {
    on_each(|store, t| async move {
        let (dispatcher, rules) = (Actor { role: Role::Dispatcher, ..Actor::system() }, Rules::default());
        let register = json!({"command": "register", "matter": {"title": "路灯"}});
        let mut numbers = Vec::new();
        for _ in 0..3 {
            let origin = Origin { channel: Channel::Web, ..Origin::default() };
            let draft = store.ticket_draft(origin, Citizen::default(), t);
            let no = store.ticket_insert(draft, &dispatcher).await.unwrap().ticket.no;
            numbers.push(give(&store, &no, &dispatcher, register.clone(), t).await.ticket.no);
        }
        let [first, second, third] = &numbers[..] else { panic!("three") };
        units(&store, &["real"]).await;
        let closed = UnitRow { active: false, ..store.unit_get(&"real".into()).await.unwrap() };
        store.unit_upsert(vec![UnitRow { code: "closed".into(), ..closed }]).await.unwrap();
        let refused = |no: &TicketNo, command: Value| {
            let (store, no, by, rules) = (store.clone(), no.clone(), dispatcher.clone(), rules.clone());
            async move {
                let command: Command = serde_json::from_value(command).unwrap();
                match store.ticket_apply(&no, &command, Applying::plain(&by, &rules), t).await {
                    Err(StoreError::Rejected(why)) => why.code(),
                    other => panic!("{other:?}"),
                }
            }
        };
        for lead in ["nowhere", "closed"] {
            assert_eq!(refused(first, json!({"command": "dispatch", "lead": lead})).await, "unknown_unit");
        }
        let assist = json!({"command": "dispatch", "lead": "real", "assist": ["nowhere"]});
        assert_eq!(refused(first, assist).await, "unknown_unit");
        let nowhere = json!({"command": "merge", "into": "000000000000000"});
        assert_eq!(refused(first, nowhere).await, "unknown_ticket");
        assert_eq!(store.ticket_get(first).await.unwrap().ticket.version, 2, "nothing was written");
        give(&store, second, &dispatcher, json!({"command": "merge", "into": third}), t).await;
        assert_eq!(refused(first, json!({"command": "merge", "into": second})).await, "unknown_ticket");
        let split = Origin { split_from: Some("000000000000000".into()), ..Origin::default() };
        let orphan = store.ticket_insert(store.ticket_draft(split, Citizen::default(), t), &dispatcher).await;
        assert!(matches!(orphan, Err(StoreError::Rejected(ref why)) if why.code() == "unknown_ticket"), "{orphan:?}");
        let draft = store.ticket_draft(Origin::default(), Citizen::default(), t);
        let call = store.ticket_insert(draft, &dispatcher).await.unwrap().ticket.no;
        let chase = |no: &TicketNo| json!({"command": "complete", "kind": "chasing", "chases": no});
        assert_eq!(refused(&call, chase(second)).await, "unknown_ticket");
        give(&store, &call, &dispatcher, chase(third), t).await;
        give(&store, first, &dispatcher, json!({"command": "dispatch", "lead": "real"}), t).await;
    });
}
