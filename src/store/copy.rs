//! All rows of a database out of it and into another one, SQLite or PostgreSQL: what a backup is made of.
//!
//! Reading sees one moment of the database while the program writes on. Loading is one transaction into a database
//! without tables: all rows are there after it, or none. Every column is BIGINT or TEXT, so a row is a JSON array of
//! numbers, texts and nulls. Sessions are left out: after a restore everybody signs in anew.

use super::{
    Result, StoreError,
    schema::{self, SCHEMA_VERSION},
    sql::{Columns, marks, runs, values},
};
use crate::clock::UnixMillis;
use serde_json::Value;
use sqlx::{AnyConnection, AssertSqlSafe, Connection, Executor, Row, any::AnyRow, any::install_default_drivers};
use std::path::{Path, PathBuf};
use tokio_stream::StreamExt;

/// Tables that others refer to: they are loaded first.
const PARENTS: [&str; 3] = ["app_user", "message", "ticket"];
/// Tables that are not copied.
const LEFT_OUT: [&str; 2] = ["schema_version", "session"];
/// Ticket numbers that a restored database passes over: those that were given after the backup was made.
const NUMBERS_PASSED_OVER: i64 = 50_000;

/// A table and its columns.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct TableShape {
    /// Its name.
    pub name: String,
    /// The names of its columns, in the order of a row's values.
    pub columns: Vec<String>,
}

/// One moment of a database, for reading.
pub struct Snapshot {
    conn: AnyConnection,
    is_sqlite: bool,
    schema: i64,
}

impl Snapshot {
    /// Opens the database at `url`, which may be in use.
    ///
    /// # Errors
    /// `NotFound` where there is no database; away; `SchemaNewer`.
    pub async fn open(url: &str) -> Result<Snapshot> {
        install_default_drivers();
        let is_sqlite = url.starts_with("sqlite:");
        if is_sqlite && !super::sqlite_path(url).exists() {
            return Err(StoreError::NotFound("database"));
        }
        let mut conn = AnyConnection::connect(&super::prepare_url(url)?).await?;
        if is_sqlite {
            conn.execute("PRAGMA busy_timeout = 2000").await?;
            conn.execute("PRAGMA query_only = 1").await?;
            conn.execute("BEGIN").await?;
        } else {
            conn.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await?;
        }
        // The first reading fixes the moment.
        let schema = schema::version(&mut conn, is_sqlite).await?;
        if schema == 0 {
            return Err(StoreError::NotFound("database"));
        }
        Ok(Snapshot { conn, is_sqlite, schema })
    }

    /// The schema's version.
    pub fn schema(&self) -> i64 {
        self.schema
    }

    /// The tables in the order in which they are to be loaded.
    pub async fn tables(&mut self) -> Result<Vec<TableShape>> {
        let mut names = schema::tables(&mut self.conn, self.is_sqlite).await?;
        names.retain(|name| !LEFT_OUT.contains(&name.as_str()));
        names.sort_by_key(|name| (!PARENTS.contains(&name.as_str()), name.clone()));
        let mut found = Vec::new();
        for name in names {
            let columns = columns(&mut self.conn, self.is_sqlite, &name).await?;
            found.push(TableShape { name, columns: columns.into_iter().map(|(name, _)| name).collect() });
        }
        Ok(found)
    }

    /// Hands over every row of a table; gives how many there were. What the taker says went wrong ends it.
    pub async fn rows(
        &mut self,
        table: &TableShape,
        mut take: impl FnMut(Vec<Value>) -> std::io::Result<()>,
    ) -> Result<u64> {
        let kinds = columns(&mut self.conn, self.is_sqlite, &table.name).await?;
        let list: Vec<String> = table.columns.iter().map(|column| format!("\"{column}\"")).collect();
        let sql = format!("SELECT {} FROM \"{}\"", list.join(", "), table.name);
        let mut rows = sqlx::query(AssertSqlSafe(sql)).persistent(false).fetch(&mut self.conn);
        let mut count = 0;
        while let Some(row) = rows.next().await {
            take(read(&row?, &kinds)?).map_err(|error| StoreError::Unavailable(error.to_string()))?;
            count += 1;
        }
        Ok(count)
    }
}

fn read(row: &AnyRow, columns: &[(String, bool)]) -> Result<Vec<Value>> {
    let value = |(at, (_, number)): (usize, &(String, bool))| {
        Ok(if *number {
            row.try_get::<Option<i64>, _>(at)?.map_or(Value::Null, Value::from)
        } else {
            row.try_get::<Option<String>, _>(at)?.map_or(Value::Null, Value::from)
        })
    };
    columns.iter().enumerate().map(value).collect()
}

/// The columns of a table, and whether each holds numbers.
async fn columns(conn: &mut AnyConnection, is_sqlite: bool, table: &str) -> Result<Vec<(String, bool)>> {
    let sql = if is_sqlite {
        "SELECT name AS n, type AS t FROM pragma_table_info($1) ORDER BY cid"
    } else {
        "SELECT CAST(column_name AS TEXT) AS n, CAST(data_type AS TEXT) AS t FROM information_schema.columns \
         WHERE table_schema = current_schema() AND table_name = $1 ORDER BY ordinal_position"
    };
    let rows = sqlx::query(sql).bind(table.to_owned()).fetch_all(conn).await?;
    rows.iter().map(|row| Ok((row.text("n")?, row.text("t")?.eq_ignore_ascii_case("bigint")))).collect()
}

/// A database that is being loaded.
pub struct Loading {
    conn: AnyConnection,
    is_sqlite: bool,
    /// Where a SQLite file is made, and where it belongs.
    file: Option<(PathBuf, PathBuf)>,
    /// What the tables that were there before were put away as.
    aside: Option<String>,
    now: UnixMillis,
}

/// Whether the database at `url` holds anything: a table with a row.
///
/// # Errors
/// Away.
pub async fn database_is_empty(url: &str) -> Result<bool> {
    install_default_drivers();
    let is_sqlite = url.starts_with("sqlite:");
    if is_sqlite && !super::sqlite_path(url).exists() {
        return Ok(true);
    }
    let mut conn = AnyConnection::connect(&super::prepare_url(url)?).await?;
    Ok(schema::tables(&mut conn, is_sqlite).await?.is_empty())
}

impl Loading {
    /// Begins to load rows of schema `schema` into the database at `url`. What is there now is put away under a name
    /// with `suffix` when the loading is done, and is untouched until then.
    ///
    /// # Errors
    /// `SchemaNewer`; away.
    pub async fn begin(url: &str, schema: i64, suffix: &str, now: UnixMillis) -> Result<Loading> {
        install_default_drivers();
        if schema > SCHEMA_VERSION {
            return Err(StoreError::SchemaNewer { found: schema, known: SCHEMA_VERSION });
        }
        let is_sqlite = url.starts_with("sqlite:");
        let mut aside = None;
        let (mut conn, file) = if is_sqlite {
            super::prepare_url(url)?;
            let path = super::sqlite_path(url);
            let made = with_suffix(&path, ".restoring");
            remove_database(&made)?;
            let url = super::prepare_url(&format!("sqlite:{}", made.display()))?;
            (schema::connect(&url).await?, Some((made, path)))
        } else {
            (AnyConnection::connect(url).await?, None)
        };
        conn.execute("BEGIN").await?;
        if !is_sqlite {
            let there = schema::tables(&mut conn, false).await?;
            if !there.is_empty() {
                let name = format!("before_restore_{suffix}");
                conn.execute(AssertSqlSafe(format!("CREATE SCHEMA {name}"))).await?;
                for table in there {
                    conn.execute(AssertSqlSafe(format!("ALTER TABLE \"{table}\" SET SCHEMA {name}"))).await?;
                }
                aside = Some(name);
            }
        }
        for version in 1..=schema {
            schema::run(&mut conn, version, now).await?;
        }
        Ok(Loading { conn, is_sqlite, file, aside, now })
    }

    /// Writes rows of a table.
    ///
    /// # Errors
    /// `Corrupt` where a row does not fit the table.
    pub async fn insert(&mut self, table: &TableShape, rows: &[Vec<Value>]) -> Result<()> {
        let known = columns(&mut self.conn, self.is_sqlite, &table.name).await?;
        let unfit = |what: &str| StoreError::Corrupt(format!("{} of table {}", what, table.name));
        let number = |column: &String| known.iter().find(|(name, _)| name == column).map(|(_, number)| *number);
        let numbers: Vec<bool> =
            table.columns.iter().map(number).collect::<Option<_>>().ok_or_else(|| unfit("a column"))?;
        if rows.iter().any(|row| row.len() != numbers.len()) {
            return Err(unfit("a row"));
        }
        let list: Vec<String> = table.columns.iter().map(|column| format!("\"{column}\"")).collect();
        for run in runs(rows) {
            let marks = values(run.len(), numbers.len());
            let sql = format!("INSERT INTO \"{}\" ({}) VALUES {marks}", table.name, list.join(", "));
            let mut query = sqlx::query(AssertSqlSafe(sql));
            for (value, number) in run.iter().flat_map(|row| row.iter().zip(&numbers)) {
                query = match (number, value) {
                    (true, Value::Null) => query.bind(None::<i64>),
                    (true, value) => query.bind(value.as_i64().ok_or_else(|| unfit("a number"))?),
                    (false, Value::Null) => query.bind(None::<String>),
                    (false, value) => query.bind(value.as_str().ok_or_else(|| unfit("a text"))?.to_owned()),
                };
            }
            query.execute(&mut self.conn).await?;
        }
        Ok(())
    }

    /// How many rows a table has by now.
    pub async fn count(&mut self, table: &str) -> Result<u64> {
        let sql = format!("SELECT count(*) AS n FROM \"{table}\"");
        sqlx::query(AssertSqlSafe(sql)).fetch_one(&mut self.conn).await?.id("n")
    }

    /// Which of these calls have ended.
    pub async fn ended(&mut self, calls: &[i64]) -> Result<Vec<i64>> {
        let mut found = Vec::new();
        for run in runs(calls) {
            let sql = format!("SELECT id FROM call WHERE ended_at IS NOT NULL AND id IN ({})", marks(run.len()));
            let mut query = sqlx::query(AssertSqlSafe(sql));
            for call in run {
                query = query.bind(*call);
            }
            for row in query.fetch_all(&mut self.conn).await? {
                found.push(row.int("id")?);
            }
        }
        Ok(found)
    }

    /// Everything is there: it takes the place of what was there before, and is brought up to date. Gives what that was
    /// put away as.
    pub async fn commit(mut self) -> Result<Option<String>> {
        // A number that a citizen was told after the backup is not given to another.
        sqlx::query("UPDATE number_block SET next = next + $1")
            .bind(NUMBERS_PASSED_OVER)
            .execute(&mut self.conn)
            .await?;
        if self.file.is_none() {
            self.conn.execute("COMMIT").await?;
            self.conn.close().await?;
            return Ok(self.aside);
        }
        self.conn.execute("COMMIT").await?;
        // Nothing of it may be left in a journal beside the file.
        self.conn.execute("PRAGMA wal_checkpoint(TRUNCATE)").await?;
        self.conn.close().await?;
        let Some((made, path)) = self.file else { return Ok(None) };
        let io = |error: std::io::Error| StoreError::Unavailable(error.to_string());
        let mut aside = None;
        if path.exists() {
            let old = with_suffix(&path, &format!(".before-restore-{}", self.now.0));
            for part in ["", "-wal", "-shm"] {
                let from = with_suffix(&path, part);
                if from.exists() {
                    std::fs::rename(&from, with_suffix(&old, part)).map_err(io)?;
                }
            }
            aside = Some(old.display().to_string());
        }
        for part in ["-wal", "-shm"] {
            let left = with_suffix(&made, part);
            if left.exists() {
                std::fs::remove_file(left).map_err(io)?;
            }
        }
        std::fs::File::open(&made).and_then(|file| file.sync_all()).map_err(io)?;
        std::fs::rename(&made, &path).map_err(io)?;
        Ok(aside)
    }
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

/// Removes a file that an earlier loading left unfinished.
fn remove_database(path: &Path) -> Result<()> {
    for part in ["", "-wal", "-shm"] {
        match std::fs::remove_file(with_suffix(path, part)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(StoreError::Unavailable(error.to_string()));
            }
            _ => {}
        }
    }
    Ok(())
}
