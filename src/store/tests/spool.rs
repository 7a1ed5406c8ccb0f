//! The spool, and what it feeds to the store.

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn a_locked_database_is_unavailable_and_comes_back() {
    use sqlx::{AnyConnection, Connection, Executor};
    let folder = Folder::new();
    let store = open(&folder.url()).await;
    let spool_dir = folder.0.join("spool");
    let (spool, _) = Spool::open(&spool_dir).await.unwrap();
    let feeder = spool.start_feeder(store.clone(), |_| {});
    let path = folder.url().replace("sqlite:", "sqlite://");
    let mut other = AnyConnection::connect(&path).await.unwrap();
    other.execute("BEGIN EXCLUSIVE").await.unwrap();
    let call = accepted(&store, 1, now());
    spool.accept(call.clone()).await.unwrap();
    assert!(spool.update(call.call, json!({"state": "ivr"})));
    let error = store.audit_append("a", "b", "c", "d", now()).await.unwrap_err();
    assert!(error.is_unavailable(), "{error}");
    assert!(spool.backlog() > 0, "the call is kept meanwhile");
    other.execute("ROLLBACK").await.unwrap();
    wait_until(|| spool.backlog() == 0).await;
    assert!(store.ticket_of_call(call.call).await.unwrap().is_some());
    assert_eq!(store.call_get(call.call).await.unwrap().detail, json!({"state": "ivr"}), "what was noted is fed, too");
    store.audit_append("a", "b", "c", "d", now()).await.unwrap();
    feeder.abort();
}

async fn wait_until(done: impl Fn() -> bool) {
    let began = Instant::now();
    while !done() {
        assert!(began.elapsed() < Duration::from_secs(30), "it took too long");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_was_never_answered_leaves_nothing() {
    let folder = Folder::new();
    let store = open(&folder.url()).await;
    let (spool, _) = Spool::open(&folder.0).await.unwrap();
    let feeder = spool.start_feeder(store.clone(), |_| {});
    let (cancelled, answered) = (accepted(&store, 1, now()), accepted(&store, 2, now()));
    spool.accept(cancelled.clone()).await.unwrap();
    spool.accept(answered.clone()).await.unwrap();
    assert!(spool.update(answered.call, json!({"state": "ivr"})));
    spool.forget(cancelled.call).await.unwrap();
    // The order is that in which they were said, whoever waits for what first.
    let hurried = accepted(&store, 3, now());
    let (kept, forgotten) = (spool.accept(hurried.clone()), spool.forget(hurried.call));
    forgotten.await.unwrap();
    kept.await.unwrap();
    wait_until(|| spool.backlog() == 0).await;
    assert!(spool.trouble().is_none());
    assert!(store.ticket_of_call(hurried.call).await.unwrap().is_none(), "cancelled in the same instant");
    assert!(store.ticket_of_call(cancelled.call).await.unwrap().is_none(), "no 200, no ticket");
    assert!(store.ticket_of_call(answered.call).await.unwrap().is_some());
    feeder.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_spool_could_not_write_is_written_when_it_can() {
    let folder = Folder::new();
    let store = open(&folder.url()).await;
    let (spool, _) = Spool::open(&folder.0).await.unwrap();
    let (talking, cancelled, unanswered) =
        (accepted(&store, 1, now()), accepted(&store, 2, now()), accepted(&store, 4, now()));
    spool.accept(talking.clone()).await.unwrap();
    spool.accept(cancelled.clone()).await.unwrap();
    // Somebody holds the file: every commit fails.
    let other = rusqlite::Connection::open(folder.0.join("spool.db")).unwrap();
    other.execute_batch("BEGIN EXCLUSIVE").unwrap();
    let error = spool.accept(accepted(&store, 3, now())).await.unwrap_err();
    assert!(error.is_unavailable() && spool.trouble().is_some(), "no 200 without a record: {error}");
    assert!(spool.update(talking.call, json!({"state": "talking"})));
    assert!(spool.dialog_put(LegId(9), CallId(9), json!({"call_id": 9})));
    let mut finished = Box::pin(spool.finish(talking.call, ended(&talking, now(), None)));
    let mut forgotten = Box::pin(spool.forget(cancelled.call));
    let mut kept = Box::pin(spool.keep(AcceptedCall { ticket: None, ..unanswered.clone() }));
    let mut missed = Box::pin(spool.finish(unanswered.call, ended(&unanswered, now(), None)));
    assert!(spool.flush().await.is_err());
    for waits in
        [&mut finished as &mut (dyn Future<Output = Result<()>> + Unpin), &mut forgotten, &mut kept, &mut missed]
    {
        let soon = tokio::time::timeout(Duration::from_millis(20), waits).await;
        assert!(soon.is_err(), "nothing is said to be kept that is not on disk");
    }
    other.execute_batch("ROLLBACK").unwrap();
    // By itself: nobody calls meanwhile.
    let feeder = spool.start_feeder(store.clone(), |_| {});
    for waits in [finished as std::pin::Pin<Box<dyn Future<Output = Result<()>> + Send>>, forgotten, kept, missed] {
        waits.await.unwrap();
    }
    wait_until(|| spool.trouble().is_none() && spool.backlog() == 0).await;
    assert_eq!(spool.dropped(), 0);
    assert_eq!(store.call_get(talking.call).await.unwrap().state, "ended");
    assert_eq!(store.call_get(unanswered.call).await.unwrap().state, "ended");
    assert!(store.ticket_of_call(cancelled.call).await.unwrap().is_none(), "it was taken back");
    assert!(store.ticket_of_call(CallId(3)).await.unwrap().is_none(), "it was refused");
    feeder.abort();
    drop((spool, store));
    wait_until(|| feeder.is_finished()).await;
    let (_, recovered) = Spool::open(&folder.0).await.unwrap();
    assert_eq!(recovered.dialogs.len(), 1, "snapshots are kept for the next commit, too");
    assert!(recovered.calls.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_spool_recovers_what_had_not_ended() {
    let folder = Folder::new();
    let store = open(&folder.url()).await;
    let t = now();
    {
        let (spool, recovered) = Spool::open(&folder.0).await.unwrap();
        assert_eq!(recovered, Default::default());
        for n in 1..=3 {
            spool.accept(accepted(&store, n, t)).await.unwrap();
            assert!(spool.dialog_put(LegId(10 + n), CallId(n), json!({"call_id": n})));
        }
        assert!(spool.update(CallId(2), json!({"state": "queued"})));
        let waiter = |n: u64, rank: i64| SpooledWaiter {
            call: CallId(n),
            queue: "general".into(),
            enqueued_at: UnixMillis(rank),
            number: None,
            record: None,
        };
        assert!(spool.waiter_put(waiter(2, 20)) && spool.waiter_put(waiter(3, 10)));
        let first = accepted(&store, 1, t);
        spool.finish(CallId(1), ended(&first, t, None)).await.unwrap();
        spool.flush().await.unwrap();
    }
    let (spool, recovered) = Spool::open(&folder.0).await.unwrap();
    let calls: Vec<_> = recovered.calls.iter().map(|call| (call.accepted.call.0, call.progress.clone())).collect();
    assert_eq!(calls, [(2, Some(json!({"state": "queued"}))), (3, None)]);
    assert_eq!(recovered.dialogs.iter().map(|(leg, ..)| leg.0).collect::<Vec<_>>(), [12, 13]);
    assert_eq!(recovered.waiters.iter().map(|w| w.call.0).collect::<Vec<_>>(), [3, 2], "by rank");
    assert_eq!(spool.backlog(), 4, "three accepted, one of them ended");
    for call in &recovered.calls {
        let id = call.accepted.call;
        spool.finish(id, ended(&call.accepted, t, Some(ContactKind::Abandoned))).await.unwrap();
    }
    let feeder = spool.start_feeder(store.clone(), |_| {});
    wait_until(|| spool.backlog() == 0).await;
    feeder.abort();
    assert_eq!(store.count("SELECT count(*) AS n FROM ticket").await.unwrap(), 3);
    assert_eq!(store.count("SELECT count(*) AS n FROM call WHERE ended_at IS NOT NULL").await.unwrap(), 3);
    drop(spool);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_storm_of_calls_is_taken_and_fed_once() {
    let folder = Folder::new();
    let store = open(&folder.url()).await;
    let (spool, _) = Spool::open(&folder.0).await.unwrap();
    let feeder = spool.start_feeder(store.clone(), |_| {});
    let (count, t, began) = (4_000u64, now(), Instant::now());
    let mut tasks = tokio::task::JoinSet::new();
    for n in 1..=count {
        let (spool, call) = (spool.clone(), accepted(&store, n, t));
        tasks.spawn(async move {
            spool.accept(call.clone()).await?;
            // Its 200 went out: from here on the store is fed.
            assert!(spool.update(call.call, json!({"state": "ivr"})), "the mailbox has room");
            Ok::<_, super::StoreError>(())
        });
    }
    while let Some(done) = tasks.join_next().await {
        done.unwrap().unwrap();
    }
    let rate = count as f64 / began.elapsed().as_secs_f64();
    wait_until(|| spool.backlog() == 0).await;
    feeder.abort();
    println!("{rate:.0} accepts/s, all stored after {:?}", began.elapsed());
    assert_eq!(store.count("SELECT count(*) AS n FROM ticket WHERE is_primary = 1").await.unwrap(), count as i64);
    assert_eq!(store.count("SELECT count(*) AS n FROM ticket_history").await.unwrap(), count as i64);
    assert_eq!(store.count("SELECT count(*) AS n FROM call").await.unwrap(), count as i64);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_ending_is_kept_whatever_is_said_of_the_call_later() {
    let folder = Folder::new();
    let store = open(&folder.url()).await;
    let (spool, _) = Spool::open(&folder.0).await.unwrap();
    let (t, call) = (now(), accepted(&store, 1, now()));
    spool.accept(call.clone()).await.unwrap();
    spool.finish(call.call, ended(&call, UnixMillis(t.0 + 1_000), None)).await.unwrap();
    spool.finish(call.call, ended(&call, UnixMillis(t.0 + 9_000), Some(ContactKind::Silent))).await.unwrap();
    spool.forget(call.call).await.unwrap();
    let feeder = spool.start_feeder(store.clone(), |_| {});
    wait_until(|| spool.backlog() == 0).await;
    let ticket = store.ticket_of_call(call.call).await.unwrap().expect("it is not taken back by a late word");
    assert_eq!(ticket.ticket.class, Class::Contact(ContactKind::Unsorted), "nor changed");
    assert_eq!(store.call_get(call.call).await.unwrap().ended_at, Some(UnixMillis(t.0 + 1_000)));
    feeder.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_stays_in_the_spool_until_the_store_has_its_ending() {
    let folder = Folder::new();
    let store = open(&folder.url()).await;
    let (spool, _) = Spool::open(&folder.0).await.unwrap();
    let call = accepted(&store, 1, now());
    let over = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
    let heard = over.clone();
    let feeder = spool.start_feeder(store.clone(), move |calls| heard.lock().unwrap().extend(calls));
    spool.accept(call.clone()).await.unwrap();
    assert!(spool.update(call.call, json!({"state": "talking"})));
    wait_until(|| spool.backlog() == 0).await;
    assert!(over.lock().unwrap().is_empty(), "it goes on");
    spool.finish(call.call, ended(&call, now(), None)).await.unwrap();
    wait_until(|| spool.backlog() == 0).await;
    assert_eq!(store.call_get(call.call).await.unwrap().state, "ended");
    wait_until(|| *over.lock().unwrap() == [call.call]).await;
    feeder.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_earlier_program_could_not_store_is_tried_again() {
    let folder = Folder::new();
    let store = open(&folder.url()).await;
    let call = accepted(&store, 1, now());
    {
        let (spool, _) = Spool::open(&folder.0).await.unwrap();
        spool.accept(call.clone()).await.unwrap();
        spool.finish(call.call, ended(&call, now(), None)).await.unwrap();
    }
    let file = rusqlite::Connection::open(folder.0.join("spool.db")).unwrap();
    assert_eq!(file.execute("UPDATE accepted SET stuck = 1", []).unwrap(), 1);
    drop(file);
    let (spool, _) = Spool::open(&folder.0).await.unwrap();
    assert_eq!(spool.backlog(), 2, "accepted and ended");
    let feeder = spool.start_feeder(store.clone(), |_| {});
    wait_until(|| spool.backlog() == 0).await;
    assert_eq!(store.call_get(call.call).await.unwrap().state, "ended");
    feeder.abort();
}
