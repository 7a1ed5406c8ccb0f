//! `units`: whoever is signed in may know who they are.

use crate::{shape, world::run};

#[test]
fn all_units_are_listed_for_everybody_signed_in() {
    run(|world| async move {
        for user in ["admin", "8001", "unit101", "auditor"] {
            let units = shape::list(&world.user(user).await.get("/units").await.ok(200), shape::UNIT);
            assert_eq!(units.len(), hotline::sandbox::sample::units().expect("units").len());
            let first = units.iter().find(|unit| unit["code"] == "101").expect("unit 101");
            assert_eq!((first["name"].as_str(), first["kind"].as_str()), (Some("海州区"), Some("district")));
        }
    });
}
