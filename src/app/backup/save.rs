//! Making a backup, beside the program that runs.
//!
//! The spool is read before the database: a call that moves from one to the other meanwhile is in both, and is written
//! once when it is restored; the other way round it would be in neither.

use super::{FORMAT, MANIFEST, Manifest, Rows, SPOOL, archive::Writer, table_entry};
use crate::{
    app::view::{file_name, rfc3339},
    config::Settings,
    net::clock,
    store::{Snapshot, Spool, TableShape},
};
use anyhow::{Context, bail};
use sha2::{Digest, Sha256};
use std::{
    fs::{File, OpenOptions},
    io::{self, BufReader, BufWriter, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

/// Rows of a table are in entries of about this size.
const PART: usize = 1 << 20;
/// A file beside the settings that is larger is none of ours.
const LARGEST_FILE: u64 = 16 << 20;

/// A backup that was made.
#[derive(Clone, Debug)]
pub struct Saved {
    /// The file.
    pub path: PathBuf,
    /// Its size.
    pub octets: u64,
    /// SHA-256 of the whole file, in hexadecimal.
    pub sha256: String,
    /// What it holds.
    pub manifest: Manifest,
}

/// The file that a backup goes to: in a folder it is named by the time.
fn target(to: &Path) -> PathBuf {
    if !to.is_dir() {
        return to.to_owned();
    }
    to.join(format!("hotline-{}.tar", file_name(clock::now().wall)))
}

/// Makes a backup in the file `to`, or in the folder `to`. `config` is the settings' file; `tell` hears of the progress.
///
/// # Errors
/// The file is there already, the database is away, a disk fails; the file is then not there.
pub async fn backup(
    settings: &Settings,
    config: Option<&Path>,
    to: &Path,
    with_recordings: bool,
    mut tell: impl FnMut(String),
) -> anyhow::Result<Saved> {
    let path = target(to);
    if path.exists() {
        bail!("{}: there is a file already (文件已存在); a backup overwrites none", path.display());
    }
    let mut partial = path.clone().into_os_string();
    partial.push(".partial");
    let partial = PathBuf::from(partial);
    let made = write(settings, config, &partial, with_recordings, &mut tell).await;
    let (octets, sha256, manifest) = match made {
        Ok(made) => made,
        Err(error) => {
            let _ = std::fs::remove_file(&partial);
            return Err(error);
        }
    };
    std::fs::rename(&partial, &path)?;
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        File::open(folder)?.sync_all()?;
    }
    Ok(Saved { path, octets, sha256, manifest })
}

/// What is written is also hashed.
struct Hashed<W> {
    out: W,
    hash: Sha256,
}

impl<W: Write> Write for Hashed<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.out.write(bytes)?;
        self.hash.update(&bytes[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

type Archive = Writer<Hashed<BufWriter<File>>>;

async fn write(
    settings: &Settings,
    config: Option<&Path>,
    path: &Path,
    with_recordings: bool,
    tell: &mut impl FnMut(String),
) -> anyhow::Result<(u64, String, Manifest)> {
    // It holds numbers and passwords: for this user alone.
    let file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path);
    let file = file.with_context(|| path.display().to_string())?;
    let mut archive = Writer::new(Hashed { out: BufWriter::with_capacity(1 << 20, file), hash: Sha256::new() });
    let now = clock::now().wall;
    let mut manifest = Manifest {
        format: FORMAT,
        program: env!("CARGO_PKG_VERSION").to_owned(),
        at: now.0,
        at_text: rfc3339(now),
        sandbox: settings.sandbox,
        ..Manifest::default()
    };
    let spooled = Spool::copy_out(&settings.data_dir.join("spool")).context("the spool")?;
    manifest.spooled_calls = spooled.calls.len() as u64;
    put(&mut archive, &mut manifest, SPOOL, &serde_json::to_vec(&spooled)?)?;
    tell(format!("未入库通话 {} 通", spooled.calls.len()));

    let url = settings.database_url.expose();
    let mut snapshot = Snapshot::open(url).await.context("the database cannot be read: see [database] url")?;
    manifest.schema = snapshot.schema();
    for table in snapshot.tables().await? {
        let rows = copy_table(&mut snapshot, &table, &mut archive, &mut manifest).await?;
        tell(format!("表 {} {rows} 行", table.name));
        manifest.tables.push(Rows { table, rows });
    }
    drop(snapshot);
    for (name, file) in settings_files(config)? {
        put(&mut archive, &mut manifest, &name, &std::fs::read(&file).with_context(|| file.display().to_string())?)?;
    }
    if with_recordings {
        manifest.recordings = Some(copy_recordings(&settings.recording.dir, &mut archive, &mut manifest, tell)?);
    }
    let text = serde_json::to_vec_pretty(&manifest)?;
    archive.entry(MANIFEST, text.len() as u64, &text[..])?;
    let Hashed { out, hash } = archive.finish()?;
    let file = out.into_inner().map_err(io::IntoInnerError::into_error)?;
    file.sync_all()?;
    Ok((file.metadata()?.len(), hex::encode(hash.finalize()), manifest))
}

fn put(archive: &mut Archive, manifest: &mut Manifest, name: &str, bytes: &[u8]) -> anyhow::Result<()> {
    let hash = archive.entry(name, bytes.len() as u64, bytes)?;
    manifest.sha256.insert(name.to_owned(), hash);
    Ok(())
}

async fn copy_table(
    snapshot: &mut Snapshot,
    table: &TableShape,
    archive: &mut Archive,
    manifest: &mut Manifest,
) -> anyhow::Result<u64> {
    let (mut part, mut text) = (0, Vec::with_capacity(PART + PART / 4));
    let rows = snapshot
        .rows(table, |row| {
            serde_json::to_writer(&mut text, &row)?;
            text.push(b'\n');
            if text.len() >= PART {
                put(archive, manifest, &table_entry(&table.name, part), &text).map_err(io::Error::other)?;
                part += 1;
                text.clear();
            }
            Ok(())
        })
        .await
        .with_context(|| format!("table {}", table.name))?;
    if !text.is_empty() {
        put(archive, manifest, &table_entry(&table.name, part), &text)?;
    }
    Ok(rows)
}

/// The settings' file and what lies beside it: profiles, flows and prompts. (name in the archive, file)
fn settings_files(config: Option<&Path>) -> anyhow::Result<Vec<(String, PathBuf)>> {
    let Some(config) = config else { return Ok(Vec::new()) };
    let name = config.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let mut found = vec![(format!("settings/{name}"), config.to_owned())];
    let base = config.parent().unwrap_or(Path::new(""));
    let mut folders = vec![("sip-profiles".to_owned(), 0), ("ivr-flows".to_owned(), 0)];
    while let Some((folder, depth)) = folders.pop() {
        let Ok(entries) = std::fs::read_dir(base.join(&folder)) else { continue };
        for entry in entries {
            let entry = entry?;
            let (name, kind) = (format!("{folder}/{}", entry.file_name().to_string_lossy()), entry.metadata()?);
            if kind.is_dir() && depth < 4 {
                folders.push((name, depth + 1));
            } else if kind.is_file() && kind.len() <= LARGEST_FILE {
                found.push((format!("settings/{name}"), entry.path()));
            }
        }
    }
    found.sort();
    Ok(found)
}

/// Recordings as they are sealed, one that is under way as far as it has come.
fn copy_recordings(
    dir: &Path,
    archive: &mut Archive,
    manifest: &mut Manifest,
    tell: &mut impl FnMut(String),
) -> anyhow::Result<u64> {
    let mut count = 0;
    let Ok(folders) = std::fs::read_dir(dir) else { return Ok(0) };
    let mut folders = folders.collect::<io::Result<Vec<_>>>()?;
    folders.sort_by_key(std::fs::DirEntry::file_name);
    for folder in folders.into_iter().filter(|folder| folder.path().is_dir()) {
        for file in std::fs::read_dir(folder.path())? {
            let path = file?.path();
            if path.extension().is_none_or(|extension| extension != "hlrec") {
                continue;
            }
            // One that was removed meanwhile had had its time.
            let Ok(file) = File::open(&path) else { continue };
            let size = file.metadata()?.len();
            let name = path.strip_prefix(dir)?.to_string_lossy().into_owned();
            let name = format!("recordings/{name}");
            let hash = archive.entry(&name, size, BufReader::new(file))?;
            manifest.sha256.insert(name, hash);
            count += 1;
            if u64::is_multiple_of(count, 1000) {
                tell(format!("录音 {count} 条,共 {} MB", archive.written >> 20));
            }
        }
    }
    tell(format!("录音 {count} 条"));
    Ok(count)
}
