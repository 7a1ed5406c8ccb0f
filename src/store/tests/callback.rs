//! Callbacks: who may claim one, and how often it is tried.

use super::*;

/// A lost call of `number`, owed since `t`.
async fn lost(store: &Store, number: Option<&str>, t: UnixMillis) -> CallbackId {
    let call = CallId(store.new_id());
    let (number, reason) = (number.map(str::to_owned), "abandoned".to_owned());
    let new = NewCallback { call, number, queue: "general".into(), enqueued_at: t, reason };
    store.callback_owe(new.clone(), t).await.unwrap();
    store.callback_owe(new, t).await.unwrap();
    store.callback_of_call(call).await.unwrap().unwrap().id
}

#[test]
fn two_agents_never_claim_the_same_callback() {
    on_each(|store, t| async move {
        let id = lost(&store, Some("13900000001"), t).await;
        let agents: Vec<AgentNo> = (8001..8009).map(|agent: u32| AgentNo::from(agent.to_string())).collect();
        let mut claims = tokio::task::JoinSet::new();
        for agent in agents {
            let store = store.clone();
            claims.spawn(async move { store.callback_claim(id, &agent, MINUTE, 3, t).await.unwrap() });
        }
        let claimed: Vec<_> = claims.join_all().await.into_iter().flatten().collect();
        assert_eq!(claimed.len(), 1, "{claimed:?}");
        let (winner, loser) = (claimed[0].claimed_by.clone().unwrap(), "9009".into());
        assert_eq!((claimed[0].tries, claimed[0].claimed_until), (1, Some(t.plus(MINUTE))));
        assert!(store.callback_settle(id, &loser, t).await.is_err(), "another agent's");
        assert!(store.callback_failed(id, &loser, None, t).await.is_err(), "another agent's");
        // Its hold is over: the next agent may try, and the first one's word counts no more.
        let later = t.plus(2 * MINUTE);
        let again = store.callback_claim(id, &loser, MINUTE, 3, later).await.unwrap().unwrap();
        assert_eq!(again.tries, 2);
        assert!(store.callback_settle(id, &winner, later).await.is_err());
        store.callback_settle(id, &loser, later).await.unwrap();
        assert!(store.callback_settle(id, &loser, later).await.is_err(), "settled once");
        let row = store.callback_get(id).await.unwrap();
        assert_eq!((row.state.as_str(), row.settled_at), ("settled", Some(later)));
    });
}

#[test]
fn a_number_is_called_back_once_however_often_it_called() {
    on_each(|store, t| async move {
        let (first, second) = (lost(&store, Some("1001"), t).await, lost(&store, Some("1001"), t.plus(MINUTE)).await);
        let other = lost(&store, Some("1002"), t).await;
        let (a, b) = ("8001".into(), "8002".into());
        assert!(store.callback_claim(first, &a, MINUTE, 3, t).await.unwrap().is_some());
        assert!(store.callback_claim(second, &b, MINUTE, 3, t).await.unwrap().is_none(), "the person is being called");
        assert!(store.callback_claim(other, &b, MINUTE, 3, t).await.unwrap().is_some());
        store.callback_settle(first, &a, t).await.unwrap();
        assert_eq!(store.callback_get(second).await.unwrap().state, "settled");
        assert_eq!(store.callback_get(other).await.unwrap().state, "owed");
    });
}

#[test]
fn a_callback_has_so_many_tries_and_a_withheld_number_none() {
    on_each(|store, t| async move {
        let (id, agent) = (lost(&store, Some("1001"), t).await, AgentNo::from("8001"));
        let mut at = t;
        for _ in 0..2 {
            assert!(store.callback_claim(id, &agent, MINUTE, 3, at).await.unwrap().is_some());
            let next = at.plus(30 * MINUTE);
            store.callback_failed(id, &agent, Some(next), at).await.unwrap();
            assert!(store.callback_claim(id, &agent, MINUTE, 3, at).await.unwrap().is_none(), "too early");
            at = next;
        }
        assert_eq!(store.callback_claim(id, &agent, MINUTE, 3, at).await.unwrap().unwrap().tries, 3);
        assert!(
            store.callback_claim(id, &agent, MINUTE, 3, at.plus(2 * MINUTE)).await.unwrap().is_none(),
            "three tries"
        );
        store.callback_failed(id, &agent, None, at).await.unwrap();
        assert_eq!(store.callback_get(id).await.unwrap().state, "given_up");

        let withheld = lost(&store, None, t).await;
        assert!(store.callback_claim(withheld, &agent, MINUTE, 3, t).await.unwrap().is_none());
        let given_up = store.callback_list("given_up", &[], &Page::default()).await.unwrap().items;
        assert_eq!(given_up.iter().map(|row| row.id).collect::<Vec<_>>(), [id, withheld]);
        assert!(store.callback_list("given_up", &["general".into()], &Page::default()).await.unwrap().items.is_empty());
        assert!(store.callback_list("owed", &[], &Page::default()).await.unwrap().items.is_empty());
    });
}
