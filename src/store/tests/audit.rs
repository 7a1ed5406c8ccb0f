//! The audit's chain.

use super::*;

#[test]
fn a_changed_audit_row_is_found() {
    on_each(|store, t| async move {
        for n in 0..3 {
            store.audit_append("admin", "number.reveal", &n.to_string(), "核实", t).await.unwrap();
        }
        let AuditVerdict::Whole { rows, last } = store.audit_verify().await.unwrap() else { panic!("whole") };
        assert_eq!(store.audit_list(&Page::default()).await.unwrap().items[0].hash, last);
        let change = |sql: &'static str| {
            let store = store.clone();
            async move {
                store
                    .write(move |tx| {
                        Box::pin(async move {
                            sqlx::query(sql).bind(rows - 1).execute(&mut tx.conn).await?;
                            Ok(())
                        })
                    })
                    .await
                    .unwrap();
            }
        };
        change("UPDATE audit SET actor = 'nobody' WHERE seq = $1").await;
        assert_eq!(store.audit_verify().await.unwrap(), AuditVerdict::Broken { seq: rows - 1 });
        change("UPDATE audit SET actor = 'admin' WHERE seq = $1").await;
        assert!(matches!(store.audit_verify().await.unwrap(), AuditVerdict::Whole { .. }));
        change("DELETE FROM audit WHERE seq = $1").await;
        assert_eq!(store.audit_verify().await.unwrap(), AuditVerdict::Broken { seq: rows - 1 });
        // Leaves the table as another run expects it.
        change("DELETE FROM audit WHERE seq >= $1 - 1").await;
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn two_programs_write_one_audit_log() {
    let folder = Folder::new();
    for url in fresh(&folder).await {
        let (one, other) = (open(&url).await, open(&url).await);
        let write = |store: Store, who: &'static str| {
            tokio::spawn(async move {
                for n in 0..50 {
                    store.audit_append(who, "a", &n.to_string(), "", now()).await.unwrap();
                }
            })
        };
        let (first, second) = (write(one.clone(), "one"), write(other.clone(), "other"));
        first.await.unwrap();
        second.await.unwrap();
        assert!(matches!(one.audit_verify().await.unwrap(), AuditVerdict::Whole { rows: 100, .. }));
        one.close().await;
        other.close().await;
    }
}
