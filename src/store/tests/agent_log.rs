//! The agents' log.

use super::*;

#[test]
fn an_agents_last_change_is_found() {
    on_each(|store, t| async move {
        let agent = crate::ids::AgentNo::from(format!("8{}", t.0));
        let change = |at, status: &str| AgentLogRow {
            agent: agent.clone(),
            extension: None,
            at: UnixMillis(at),
            status: status.into(),
            reason: None,
            call: None,
        };
        assert_eq!(store.agent_log_last(&agent, t).await.unwrap(), None);
        let changes = vec![change(t.0 - 20, "idle"), change(t.0 - 10, "talking"), change(t.0, "idle")];
        store.agent_log_append(changes).await.unwrap();
        assert_eq!(store.agent_log_last(&agent, t).await.unwrap(), Some(change(t.0 - 10, "talking")));
    });
}
