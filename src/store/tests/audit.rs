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
