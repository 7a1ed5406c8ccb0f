//! Rows that go from one database into another.

use super::*;

/// All rows of one database, read as a backup reads them.
async fn all_rows(url: &str) -> (i64, Vec<(TableShape, Vec<Vec<Value>>)>) {
    let mut snapshot = Snapshot::open(url).await.expect("a snapshot");
    let mut found = Vec::new();
    for table in snapshot.tables().await.expect("tables") {
        let mut rows = Vec::new();
        let count = snapshot
            .rows(&table, |row| {
                rows.push(row);
                Ok(())
            })
            .await
            .expect("rows");
        assert_eq!(count, rows.len() as u64);
        rows.sort_by_key(|row| format!("{row:?}"));
        found.push((table, rows));
    }
    (snapshot.schema(), found)
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_go_from_any_database_into_any_other() {
    let folder = Folder::new();
    let mut sources = Vec::new();
    for url in fresh(&folder).await {
        let store = open(&url).await;
        units(&store, &["a", "b"]).await;
        let first = accepted(&store, 1, now());
        let finished = Some(ended(&first, now(), Some(ContactKind::Abandoned)));
        store.ingest(vec![Ingest { accepted: first, progress: None, finished }]).await.unwrap();
        store.audit_append("甲", "b", "c", "换行\n'引号\"", now()).await.unwrap();
        sources.push((url, store));
    }
    for (from, store) in &sources {
        for to in fresh(&folder).await {
            let (schema, tables) = all_rows(from).await;
            let names: Vec<&str> = tables.iter().map(|(table, _)| table.name.as_str()).collect();
            assert!(!names.contains(&"session") && names.contains(&"ticket"), "{names:?}");
            let load = || {
                let (to, tables) = (to.clone(), tables.clone());
                async move {
                    let suffix = format!("{}_{}", std::process::id(), now().0);
                    let mut loading = Loading::begin(&to, schema, &suffix, now()).await.unwrap();
                    for (table, rows) in &tables {
                        loading.insert(table, rows).await.unwrap();
                        assert_eq!(loading.count(&table.name).await.unwrap(), rows.len() as u64);
                    }
                    assert_eq!(loading.ended(&[1, 2]).await.unwrap(), [1]);
                    let odd = TableShape { name: "unit".into(), columns: vec!["code".into()] };
                    let error = loading.insert(&odd, &[vec![json!(7)]]).await.unwrap_err();
                    assert!(matches!(error, StoreError::Corrupt(_)), "{error}");
                    loading.commit().await.unwrap()
                }
            };
            assert_eq!(load().await, None);
            let aside = load().await.expect("what was there is put away");
            assert!(aside.contains("before"), "{aside}");
            let (_, loaded) = all_rows(&to).await;
            for ((table, rows), (same, copied)) in tables.iter().zip(&loaded) {
                assert_eq!(table, same);
                if table.name != "number_block" {
                    assert_eq!(rows, copied, "{}", table.name);
                }
            }
            let copy = open(&to).await;
            assert!(matches!(copy.audit_verify().await.unwrap(), AuditVerdict::Whole { rows: 1, .. }));
            let case = copy.ticket_of_call(CallId(1)).await.unwrap().expect("the ticket");
            let given: Vec<_> = (0..10).map(|_| store.ticket_number(now())).collect();
            let next = copy.ticket_number(now());
            assert!(next != case.ticket.no && !given.contains(&next), "a number is given once");
            copy.close().await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_finds_every_table_that_others_refer_to_first() {
    let folder = Folder::new();
    let store = open(&folder.url()).await;
    let text = "SELECT m.name AS child, f.\"table\" AS parent FROM sqlite_master m, pragma_foreign_key_list(m.name) f \
               WHERE m.type = 'table'";
    let rows = sqlx::query(text).fetch_all(store.reader()).await.unwrap();
    assert!(!rows.is_empty());
    let mut snapshot = Snapshot::open(&folder.url()).await.unwrap();
    let order: Vec<String> = snapshot.tables().await.unwrap().into_iter().map(|table| table.name).collect();
    let place = |name: &str| order.iter().position(|table| table == name);
    for row in rows {
        let (child, parent) = (sql::Columns::text(&row, "child").unwrap(), sql::Columns::text(&row, "parent").unwrap());
        assert!(place(&child).is_none() || place(&parent) < place(&child), "{child} refers to {parent}");
    }
}
