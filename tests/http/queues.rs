//! `queues`: who waits.

use crate::{shape, world::run};
use serde_json::json;

#[test]
fn a_queue_is_there_before_anybody_called() {
    run(|world| async move {
        let queues = shape::list(&world.user("8001").await.get("/queues").await.ok(200), shape::QUEUE);
        let names: Vec<_> = queues.iter().map(|queue| queue["queue"].clone()).collect();
        assert_eq!(names, [json!("general")]);
    });
}
