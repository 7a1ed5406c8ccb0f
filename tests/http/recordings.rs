//! `recordings`: listed, played and sought in, by those who may hear them.

use crate::{
    line::{Line, text},
    shape,
    world::{World, run, until},
};
use serde_json::{Value, json};
use std::time::Duration;

/// A recording that is complete; its call is over.
async fn recorded(world: &'static World, agent: &str, number: &str) -> (String, Value) {
    let line = Line::open(world, agent, number).await;
    // Long enough for a few whole blocks.
    line.citizen.hears(Duration::from_secs(10), "a second of talk", |heard| heard.packets > 60).await.expect("sound");
    let id = line.id.clone();
    line.close().await;
    let admin = world.user("admin").await;
    let recording = until("a complete recording", || async {
        let list = admin.get("/recordings?limit=500").await.ok(200);
        let found = list["items"].as_array().into_iter().flatten().find(|recording| recording["call"] == id).cloned();
        found.filter(|recording| recording["state"] == "complete")
    })
    .await;
    (id, recording)
}

#[test]
fn a_recording_is_listed_played_and_sought_in() {
    run(|world| async move {
        let (call, recording) = recorded(world, "8005", "13900005001").await;
        shape::of(&recording, shape::RECORDING);
        assert!(recording["duration_ms"].as_i64().expect("a length") > 500, "{recording}");
        assert_eq!((&recording["shortened"], &recording["gaps"]), (&json!(false), &json!(0)));
        let id = text(&recording, "id");
        let path = format!("/recordings/{id}");
        let own = world.user("8005").await;
        assert_eq!(own.get(&path).await.ok(200), recording);
        let shown = own.get(&format!("/calls/{call}")).await.ok(200);
        assert_eq!(shown["recording"], json!({"id": id, "audio": format!("/api/v1{path}/audio")}));

        let (_, before) = audit(world).await;
        let audio = own.get(&format!("{path}/audio")).await;
        assert_eq!((audio.status, audio.header("content-type")), (200, "audio/wav"));
        assert_eq!((audio.header("accept-ranges"), audio.header("cache-control")), ("bytes", "no-store"));
        assert!(audio.header("content-disposition").contains(&call));
        let wav = hound::WavReader::new(std::io::Cursor::new(&audio.body)).expect("a WAV");
        let spec = wav.spec();
        assert_eq!((spec.channels, spec.sample_rate, spec.bits_per_sample), (2, 8000, 16));
        let length = i64::from(wav.duration()) / 8;
        assert!((length - recording["duration_ms"].as_i64().expect("a length")).abs() < 100, "{length} ms");
        let (row, after) = audit(world).await;
        assert!(after > before, "a playback leaves a row");
        assert_eq!(row, ("8005".to_owned(), "recording.play".to_owned(), id.clone()));

        let part = own.with("range", "bytes=0-43").get(&format!("{path}/audio")).await;
        assert_eq!((part.status, part.body.as_slice()), (206, &audio.body[..44]));
        assert_eq!(part.header("content-range"), format!("bytes 0-43/{}", audio.body.len()));
        let tail = own.with("range", "bytes=-10").get(&format!("{path}/audio")).await;
        assert_eq!((tail.status, tail.body.as_slice()), (206, &audio.body[audio.body.len() - 10..]));
        let beyond = own.with("range", "bytes=99999999-").get(&format!("{path}/audio")).await;
        assert_eq!(beyond.status, 416);
        assert_eq!(beyond.header("content-range"), format!("bytes */{}", audio.body.len()));

        let other = world.user("8006").await;
        for path in [path.clone(), format!("{path}/audio")] {
            other.get(&path).await.problem(404, "not-found");
        }
        assert!(!other.walk("/recordings", 50).await.iter().any(|found| found["id"] == id), "not in another's list");
        for user in ["9001", "quality"] {
            assert_eq!(world.user(user).await.get(&path).await.ok(200)["id"], id);
        }
        world.user("auditor").await.get(&path).await.problem(403, "forbidden");
    });
}

/// The last playback's row and its place in the log.
async fn audit(world: &World) -> ((String, String, String), i64) {
    let rows = world.app.store.audit_list(&hotline::store::Page::default()).await.expect("the log").items;
    let row = rows.into_iter().find(|row| row.action == "recording.play");
    row.map(|row| ((row.actor, row.action, row.object), row.seq)).unwrap_or_default()
}

#[test]
fn what_is_no_recording_is_not_found() {
    run(|world| async move {
        let admin = world.user("admin").await;
        for id in ["1", "abc", "-1", "99999999999999999999"] {
            admin.get(&format!("/recordings/{id}")).await.problem(404, "not-found");
            admin.get(&format!("/recordings/{id}/audio")).await.problem(404, "not-found");
        }
    });
}
