//! How a database is opened: once, by whoever comes first to it. A store that is made while the database is away is
//! opened by the first connection that stands.

use super::{DatabaseUse, Result, StoreOptions, highest_id, installation, prepare_url, schema, writer};
use crate::{clock::UnixMillis, ids::IdGen};
use sqlx::{
    AnyPool, Executor,
    any::{AnyPoolOptions, install_default_drivers},
};
use std::sync::{Arc, OnceLock};

/// What has to be done before anything is read or written.
pub(super) struct Opening {
    /// Completed.
    pub(super) url: String,
    pub(super) ids: IdGen,
    /// Empty until the database is open.
    pub(super) reader: Arc<OnceLock<AnyPool>>,
    options: StoreOptions,
    wanted: Option<DatabaseUse>,
    now: UnixMillis,
}

impl Opening {
    /// `wanted`: what the database is marked for, where it is marked at once. `now` seeds ids.
    pub(super) fn new(
        url: &str,
        options: &StoreOptions,
        wanted: Option<DatabaseUse>,
        now: UnixMillis,
    ) -> Result<Opening> {
        install_default_drivers();
        let (url, ids) = (prepare_url(url)?, IdGen::new(options.node, now.0));
        Ok(Opening { url, ids, reader: Arc::default(), options: options.clone(), wanted, now })
    }

    /// Checks the schema, or makes it; then others may read. Gives the writing connection.
    ///
    /// # Errors
    /// `SchemaNewer`, `SchemaOlder`, `SandboxDatabase`, `CentreDatabase`; the database's. Nothing may be read then.
    pub(super) async fn run(&self) -> Result<writer::Tx> {
        schema::open(&self.url, self.now).await?;
        let mut tx = writer::connect(&self.url).await?;
        if let Some(wanted) = self.wanted {
            installation::claim(&mut tx, wanted).await?;
        }
        let reader = self.readers().await?;
        // A clock that was set back must not give once more what has been given.
        self.ids.pass(highest_id(&reader, self.ids.range()).await?);
        // Set before only where an earlier try came this far.
        let _ = self.reader.set(reader);
        Ok(tx)
    }

    async fn readers(&self) -> Result<AnyPool> {
        let is_sqlite = self.url.starts_with("sqlite:");
        let pool = AnyPoolOptions::new()
            .max_connections(self.options.readers.max(1))
            .acquire_timeout(self.options.patience)
            .after_connect(move |conn, _| {
                Box::pin(async move {
                    if is_sqlite {
                        conn.execute("PRAGMA busy_timeout = 2000").await?;
                        conn.execute("PRAGMA query_only = 1").await?;
                    }
                    Ok(())
                })
            })
            .connect(&self.url)
            .await?;
        Ok(pool)
    }
}

/// A pool that gives no connection: it stands where the database has not been opened yet.
pub(super) async fn no_readers(url: &str) -> Result<AnyPool> {
    let pool = AnyPoolOptions::new().connect_lazy(url)?;
    pool.close().await;
    Ok(pool)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        ids::CallId,
        store::{
            Store, StoreError,
            tests::{Folder, accepted, now},
        },
    };

    #[tokio::test]
    async fn a_store_that_is_opened_later_refuses_until_the_database_is_there() {
        let folder = Folder::new();
        // Nobody may write where its folder should be: for as long the database is away.
        let place = folder.path().join("deeper");
        let url = format!("sqlite:{}/hotline.db", place.display());
        let store = Store::open_later(&url, StoreOptions::default(), DatabaseUse::Centre, now()).await.unwrap();
        std::fs::remove_dir_all(&place).unwrap();
        assert!(!store.is_open());
        let refused = store.hotline_list().await.unwrap_err();
        assert!(refused.is_unavailable(), "{refused}");
        assert!(store.ping().await.unwrap_err().is_unavailable());
        let number = store.ticket_number(now());
        std::fs::create_dir_all(&place).unwrap();
        while store.ping().await.is_err() {
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
        assert!(store.is_open());
        assert!(store.hotline_list().await.unwrap().is_empty());
        store.number_reserve(now()).await.unwrap();
        let call = accepted(&store, store.new_id(), now());
        assert_ne!(call.ticket.as_ref().unwrap().no, number);
        store.ticket_ensure_for_call(call).await.unwrap();
        store.close().await;
    }

    #[tokio::test]
    async fn a_database_that_must_not_be_used_is_never_read_nor_written() {
        let folder = Folder::new();
        let url = folder.url();
        let sandbox = Store::open(&url, StoreOptions::default(), now()).await.unwrap();
        sandbox.claim_for(DatabaseUse::Sandbox).await.unwrap();
        sandbox.close().await;
        let store = Store::open_later(&url, StoreOptions::default(), DatabaseUse::Centre, now()).await.unwrap();
        let told = StoreError::SandboxDatabase.to_string();
        for refused in [
            store.ping().await.unwrap_err(),
            store.ticket_ensure_for_call(accepted(&store, 7, now())).await.unwrap_err(),
        ] {
            assert!(refused.is_unavailable() && refused.to_string().contains(&told), "{refused}");
        }
        assert!(store.ticket_of_call(CallId(7)).await.unwrap_err().is_unavailable());
        assert!(!store.is_open());
    }
}
