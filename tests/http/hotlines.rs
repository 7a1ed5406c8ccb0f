//! `hotlines`: which can be joined.

use crate::{shape, world::run};
use serde_json::json;

#[test]
fn only_active_dual_track_hotlines_can_be_joined() {
    run(|world| async move {
        let hotlines = shape::list(&world.user("8001").await.get("/hotlines").await.ok(200), shape::HOTLINE);
        let of = |number: &str| hotlines.iter().find(|hotline| hotline["number"] == number).expect("listed").clone();
        for (number, mode, joined) in [
            ("12330", "dual_track", true),
            ("12319", "merged", false),
            ("12388", "separate", false),
            ("12320", "dual_track", false),
        ] {
            let hotline = of(number);
            assert_eq!((&hotline["mode"], &hotline["three_way"]), (&json!(mode), &json!(joined)), "{number}");
        }
        assert_eq!(of("12320")["active"], false);
    });
}
