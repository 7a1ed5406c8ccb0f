//! What a database is found to be when it is opened, and how it is brought forward.

use super::*;

#[test]
fn a_sandbox_database_stays_one() {
    on_each(|store, _| async move {
        store.claim_for(DatabaseUse::Sandbox).await.unwrap();
        store.claim_for(DatabaseUse::Sandbox).await.unwrap();
        let refused = store.claim_for(DatabaseUse::Centre).await;
        assert!(matches!(refused, Err(StoreError::SandboxDatabase)), "{refused:?}");
        store.claim_for(DatabaseUse::Sandbox).await.unwrap();
    });
    on_each(|store, _| async move {
        store.claim_for(DatabaseUse::Centre).await.unwrap();
        let refused = store.claim_for(DatabaseUse::Sandbox).await;
        assert!(matches!(refused, Err(StoreError::CentreDatabase)), "{refused:?}");
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn an_older_program_refuses_a_newer_schema() {
    let folder = Folder::new();
    let store = open(&folder.url()).await;
    store
        .write(|tx| {
            Box::pin(async move {
                sqlx::query("INSERT INTO schema_version (version, applied_at) VALUES (99, 0)")
                    .execute(&mut tx.conn)
                    .await?;
                Ok(())
            })
        })
        .await
        .unwrap();
    store.close().await;
    assert!(store.ping().await.unwrap_err().is_unavailable());
    let again = Store::open(&folder.url(), StoreOptions::default(), now()).await;
    assert!(matches!(again, Err(StoreError::SchemaNewer { found: 99, .. })));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_old_schema_is_brought_forward_after_a_backup() {
    let folder = Folder::new();
    for url in fresh(&folder).await {
        let is_sqlite = url.starts_with("sqlite:");
        assert_eq!(schema_version(&url).await.unwrap().unwrap_or(0), 0);
        assert!(database_is_empty(&url).await.unwrap());
        let probed = Store::probe(&url, DatabaseUse::Centre).await.unwrap();
        assert_eq!(probed, if is_sqlite { Probe::ToBeMade } else { Probe::Ready });
        Loading::begin(&url, 1, "1", now()).await.unwrap().commit().await.unwrap();
        assert_eq!(schema_version(&url).await.unwrap(), Some(1));
        if is_sqlite {
            open(&url).await.close().await;
            let copy = format!("{}.before-schema-2", url.trim_start_matches("sqlite:"));
            assert!(std::path::Path::new(&copy).exists() || SCHEMA_VERSION == 1, "copied beside itself");
        } else {
            let error = Store::open(&url, StoreOptions::default(), now()).await.err().expect("refused");
            assert!(matches!(error, StoreError::SchemaOlder { found: 1, .. }), "{error}");
            assert!(error.to_string().contains("hotline migrate"), "{error}");
            assert_eq!(schema_version(&url).await.unwrap(), Some(1), "nothing has changed");
            assert_eq!(schema_migrate(&url, now()).await.unwrap(), 1);
            open(&url).await.close().await;
        }
        assert_eq!(schema_version(&url).await.unwrap(), Some(SCHEMA_VERSION));
        assert_eq!(schema_migrate(&url, now()).await.unwrap(), SCHEMA_VERSION, "nothing more to do");
    }
}

#[test]
fn a_clock_that_was_set_back_before_a_start_repeats_no_id() {
    on_each(|store, at| async move {
        let call = store.new_id() + 1_000_000;
        store.ticket_ensure_for_call(accepted(&store, call, at)).await.expect("kept");
        let highest = super::highest_id(store.reader(), store.ids().range()).await.expect("read");
        assert!(highest >= call, "{highest} is below the call {call}");
        let other_node = IdGen::new(7, at.0);
        let none = super::highest_id(store.reader(), other_node.range()).await.expect("read");
        assert_eq!(none, *other_node.range().start(), "another node's ids are its own");
    });
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("runtime");
    runtime.block_on(async {
        let folder = Folder::new();
        let first = open(&folder.url()).await;
        let call = first.new_id();
        first.ticket_ensure_for_call(accepted(&first, call, now())).await.expect("kept");
        first.close().await;
        let yesterday = UnixMillis(now().0 - 86_400_000);
        let second = Store::open(&folder.url(), StoreOptions::default(), yesterday).await.expect("opens");
        assert!(second.new_id() > call, "an id was given twice");
    });
}
