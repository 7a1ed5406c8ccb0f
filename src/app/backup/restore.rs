//! Restoring a backup: every hash is checked before anything is touched, the database is loaded in one transaction, and
//! what was there before is put away and not deleted.

use super::{FORMAT, MANIFEST, Manifest, SPOOL, archive};
use crate::{
    app::setup::read_recording_key,
    config::Settings,
    media::recorder::Key,
    net::{clock, recording},
    store::{
        DatabaseUse, Loading, SCHEMA_VERSION, Spool, SpoolCopy, StoreError, TableShape, database_is_empty,
        schema_migrate,
    },
};
use anyhow::{Context, bail, ensure};
use serde_json::Value;
use std::{
    collections::BTreeMap,
    fs::File,
    io::{self, BufRead, BufReader, Read, Write},
    path::{Component, Path, PathBuf},
};

/// A backup whose hashes were checked, and what it meets.
pub struct Restoring {
    file: PathBuf,
    /// What the backup holds.
    pub manifest: Manifest,
    with_recordings: bool,
    /// What is in the way: it will be put away.
    pub in_the_way: Vec<String>,
}

impl Restoring {
    /// Reads the whole archive and compares it with its manifest; looks at where it is to go. Nothing is changed.
    ///
    /// # Errors
    /// It is no backup, is damaged or cut short, or a newer program wrote it; the database is away.
    pub async fn check(file: &Path, settings: &Settings, with_recordings: bool) -> anyhow::Result<Restoring> {
        let manifest = verified(file)?;
        if manifest.schema > SCHEMA_VERSION {
            return Err(StoreError::SchemaNewer { found: manifest.schema, known: SCHEMA_VERSION }.into());
        }
        DatabaseUse::of(settings.sandbox).fits_backup(manifest.sandbox)?;
        let mut in_the_way = Vec::new();
        if !database_is_empty(settings.database_url.expose()).await.context("see [database] url")? {
            in_the_way.push("数据库 (the database)".to_owned());
        }
        let recordings = Some(settings.recording.dir.clone()).filter(|_| with_recordings);
        for folder in std::iter::once(settings.data_dir.join("spool")).chain(recordings) {
            if std::fs::read_dir(&folder).is_ok_and(|mut entries| entries.next().is_some()) {
                in_the_way.push(folder.display().to_string());
            }
        }
        let with_recordings = with_recordings && manifest.recordings.is_some();
        Ok(Restoring { file: file.to_owned(), manifest, with_recordings, in_the_way })
    }
}

fn open(file: &Path) -> anyhow::Result<BufReader<File>> {
    let opened = File::open(file).with_context(|| file.display().to_string())?;
    Ok(BufReader::with_capacity(1 << 20, opened))
}

fn verified(file: &Path) -> anyhow::Result<Manifest> {
    let mut manifest: Option<Manifest> = None;
    let found = archive::read(open(file)?, |name, size, content| {
        if name == MANIFEST {
            ensure!(size < 1 << 30, "the manifest is too long");
            let mut text = Vec::new();
            content.read_to_end(&mut text)?;
            ensure!(text.len() as u64 == size, "the archive ends too early (备份文件不完整)");
            let said: Value = serde_json::from_slice(&text)?;
            ensure!(
                said["format"].as_u64().is_some_and(|format| format <= u64::from(FORMAT)),
                "a newer program wrote this backup (备份由更新的程序写成): use that one"
            );
            manifest = Some(serde_json::from_value(said)?);
        }
        Ok(())
    })?;
    let manifest = manifest.context("the backup has no manifest: it was not finished (备份没有写完)")?;
    let found: BTreeMap<String, String> = found.into_iter().filter(|(name, _)| name != MANIFEST).collect();
    if let Some(name) = manifest.sha256.keys().chain(found.keys()).find(|n| manifest.sha256.get(*n) != found.get(*n)) {
        bail!("{name} in the backup is not what was written (备份已损坏): use another backup");
    }
    Ok(manifest)
}

/// Writes the settings' files of a backup into a folder; gives how many. Those that are there are left alone.
///
/// # Errors
/// The backup is damaged; a file is there already; the disk.
pub fn settings_to(file: &Path, folder: &Path) -> anyhow::Result<usize> {
    verified(file)?;
    let mut count = 0;
    archive::read(open(file)?, |name, _, content| {
        if let Some(name) = name.strip_prefix("settings/") {
            let path = folder.join(plain(name)?);
            make_parent(&path)?;
            let file = File::options().write(true).create_new(true).open(&path);
            let mut file = file.with_context(|| format!("{}", path.display()))?;
            io::copy(content, &mut file)?;
            count += 1;
        }
        Ok(())
    })?;
    Ok(count)
}

/// A name out of an archive that leads nowhere else.
fn plain(name: &str) -> anyhow::Result<&Path> {
    let path = Path::new(name);
    ensure!(
        path.components().all(|part| matches!(part, Component::Normal(_))),
        "the archive has a name that leads out of its folder: {name:?}"
    );
    Ok(path)
}

fn make_parent(path: &Path) -> io::Result<()> {
    path.parent().map_or(Ok(()), std::fs::create_dir_all)
}

/// Restores what [`Restoring::check`] found to be sound. `tell` hears of the progress; what was in the way is put away
/// under names that are told, too. The program must not run meanwhile: the caller holds the data folder.
///
/// # Errors
/// The recordings' key is not the one that they were sealed with; the database, the disk. Until the database is
/// committed nothing that was there is touched.
pub async fn restore(restoring: Restoring, settings: &Settings, mut tell: impl FnMut(String)) -> anyhow::Result<()> {
    let Restoring { file, manifest, with_recordings, .. } = restoring;
    let now = clock::now().wall;
    let suffix = now.0.to_string();
    let recordings = with_suffix(&settings.recording.dir, ".restoring");
    let spool = with_suffix(&settings.data_dir.join("spool"), ".restoring");
    for folder in [&recordings, &spool] {
        if folder.exists() {
            std::fs::remove_dir_all(folder)?;
        }
    }
    let url = settings.database_url.expose();
    let mut loading = Loading::begin(url, manifest.schema, &suffix, now).await.context("the database")?;
    let mut spooled = SpoolCopy::default();
    let shapes: BTreeMap<&str, &TableShape> =
        manifest.tables.iter().map(|t| (t.table.name.as_str(), &t.table)).collect();
    let mut count = 0_u64;
    let runtime = tokio::runtime::Handle::current();
    tokio::task::block_in_place(|| {
        archive::read(open(&file)?, |name, _, content| {
            if name == SPOOL {
                spooled = serde_json::from_reader(content)?;
            } else if let Some(rest) = name.strip_prefix("database/") {
                let table = rest.split('/').next().and_then(|table| shapes.get(table));
                let table = table.with_context(|| format!("the manifest has no table for {name}"))?;
                runtime.block_on(load(&mut loading, table, content)).with_context(|| name.to_owned())?;
            } else if let Some(rest) = name.strip_prefix("recordings/").filter(|_| with_recordings) {
                write_recording(&recordings.join(plain(rest)?), content)?;
                count += 1;
                if count.is_multiple_of(1000) {
                    tell(format!("录音 {count} 条"));
                }
            }
            Ok(())
        })
    })?;
    for table in &manifest.tables {
        let rows = loading.count(&table.table.name).await?;
        ensure!(rows == table.rows, "table {}: {rows} rows, {} were backed up", table.table.name, table.rows);
    }
    tell(format!("{} 张表核对无误", manifest.tables.len()));
    if with_recordings {
        ensure!(Some(count) == manifest.recordings, "{count} recordings of {:?}", manifest.recordings);
    }
    if count > 0 {
        let key = read_recording_key(&settings.recording.key_file).context(
            "the recordings' key cannot be read (缺少录音密钥): put it back first ([recording] key_file), or leave the \
             recordings out with --no-recordings",
        );
        opens(&recordings, &key?)?;
    }
    // A call that ended between the reading of the spool and of the database is known by the database.
    let calls: Vec<i64> = spooled.calls.iter().map(|call| call.0).collect();
    let ended = loading.ended(&calls).await?;
    spooled.calls.retain(|call| call.3.is_some() || !ended.contains(&call.0));
    Spool::copy_in(&spool, &spooled)?;
    sync_all(&recordings)?;
    if let Some(aside) = loading.commit().await.context("the database")? {
        tell(format!("原数据库保留为 {aside}"));
    }
    let folders = [(&recordings, &settings.recording.dir), (&spool, &settings.data_dir.join("spool"))];
    for (made, place) in folders.into_iter().skip(usize::from(!with_recordings)) {
        if place.exists() {
            let aside = with_suffix(place, &format!(".before-restore-{suffix}"));
            std::fs::rename(place, &aside)?;
            tell(format!("原 {} 保留为 {}", place.display(), aside.display()));
        }
        if made.exists() {
            make_parent(place)?;
            std::fs::rename(made, place)?;
        }
    }
    let before = schema_migrate(url, now).await.context("the database")?;
    if before < SCHEMA_VERSION {
        tell(format!("数据库结构版本 {before} → {SCHEMA_VERSION}"));
    }
    Ok(())
}

async fn load(loading: &mut Loading, table: &TableShape, content: &mut dyn Read) -> anyhow::Result<()> {
    let mut rows = Vec::new();
    for line in BufReader::new(content).lines() {
        rows.push(serde_json::from_str::<Vec<Value>>(&line?)?);
    }
    Ok(loading.insert(table, &rows).await?)
}

fn write_recording(path: &Path, content: &mut dyn Read) -> anyhow::Result<()> {
    make_parent(path)?;
    let mut file = File::options().write(true).create_new(true).open(path)?;
    io::copy(content, &mut file)?;
    Ok(file.flush()?)
}

/// Whether the key opens what was restored: one recording is enough to tell.
fn opens(folder: &Path, key: &Key) -> anyhow::Result<()> {
    for folder in std::fs::read_dir(folder)? {
        for file in std::fs::read_dir(folder?.path())? {
            let path = file?.path();
            if path.metadata()?.len() <= crate::media::recorder::HEADER_LENGTH as u64 {
                continue;
            }
            let tried = recording::export_wav(&path, key, io::Cursor::new(Vec::new()));
            tried.with_context(|| {
                "the recordings were sealed with another key (录音密钥不对): put the right one back ([recording] key_file)"
            })?;
            return Ok(());
        }
    }
    Ok(())
}

/// Brings what was written to the disk before it takes its place.
fn sync_all(folder: &Path) -> io::Result<()> {
    use std::os::fd::AsRawFd;
    if !folder.exists() {
        return Ok(());
    }
    let folder = File::open(folder)?;
    // SAFETY: no pointers; the descriptor is open.
    match unsafe { libc::syncfs(folder.as_raw_fd()) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}
