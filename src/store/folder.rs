//! The data folder: one program at a time, and writable.
//!
//! Two programs on one spool would end each other's calls. The lock is the kernel's (`flock`): it goes when the process
//! goes, however that ends, so a crash leaves nothing behind that would hold up the restart.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io::{self, Read, Seek, Write},
    path::{Path, PathBuf},
};

/// The file that is locked; it holds the process's number for those who wonder.
const LOCK: &str = "hotline.lock";

/// Why the folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    /// The lock is held.
    #[error(
        "{folder}: another hotline{by} uses this data folder (数据目录正被另一个 hotline 使用): end that one, or give this \
         one a folder of its own (--data, or `data` in the settings)"
    )]
    InUse {
        /// Its path, as it was given.
        folder: PathBuf,
        /// ` (process 4711)`, where it is known.
        by: String,
    },
    /// It cannot be made, or nothing can be written there.
    #[error(
        "{folder}: the data folder cannot be written (数据目录不可写): {error}; let this user write there, or set another \
         (--data, or `data` in the settings)"
    )]
    Unwritable {
        /// Its path, as it was given.
        folder: PathBuf,
        /// What the system said.
        error: io::Error,
    },
}

/// A data folder that this process alone uses, until the value is dropped.
#[derive(Debug)]
pub struct DataFolder {
    _lock: File,
}

impl DataFolder {
    /// Makes the folder where it is missing, and takes it for this process.
    ///
    /// # Errors
    /// Another process has it, or it cannot be written; the error says what to do.
    pub fn take(folder: &Path) -> Result<DataFolder, FolderError> {
        let unwritable = |error| FolderError::Unwritable { folder: folder.to_owned(), error };
        fs::create_dir_all(folder).map_err(unwritable)?;
        let mut options = OpenOptions::new();
        let path = folder.join(LOCK);
        let mut lock = options.read(true).write(true).create(true).truncate(false).open(path).map_err(unwritable)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut text = String::new();
                let _ = lock.read_to_string(&mut text);
                let by = text.trim().parse::<u32>().map(|process| format!(" (process {process})")).unwrap_or_default();
                return Err(FolderError::InUse { folder: folder.to_owned(), by });
            }
            Err(TryLockError::Error(error)) => return Err(unwritable(error)),
        }
        let noted =
            lock.set_len(0).and_then(|()| lock.rewind()).and_then(|()| writeln!(lock, "{}", std::process::id()));
        noted.map_err(unwritable)?;
        Ok(DataFolder { _lock: lock })
    }

    /// Whether a process has taken it. Nothing is made to find out.
    pub fn is_in_use(folder: &Path) -> bool {
        let lock = File::open(folder.join(LOCK));
        lock.is_ok_and(|lock| matches!(lock.try_lock_shared(), Err(TryLockError::WouldBlock)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_for_one_at_a_time() {
        let folder = std::env::temp_dir().join(format!("hotline-folder-{}", std::process::id()));
        assert!(!DataFolder::is_in_use(&folder), "it is not there");
        let first = DataFolder::take(&folder).expect("free");
        assert!(DataFolder::is_in_use(&folder));
        let error = DataFolder::take(&folder).expect_err("taken").to_string();
        assert!(error.contains(&format!("process {}", std::process::id())) && error.contains("--data"), "{error}");
        drop(first);
        assert!(!DataFolder::is_in_use(&folder));
        drop(DataFolder::take(&folder).expect("free again"));
        fs::remove_dir_all(&folder).expect("removed");
    }

    #[test]
    fn a_file_in_the_way_is_named() {
        let path = std::env::temp_dir().join(format!("hotline-file-{}", std::process::id()));
        fs::write(&path, "no folder").expect("written");
        let error = DataFolder::take(&path.join("data")).expect_err("no folder").to_string();
        assert!(error.contains("cannot be written") && error.contains(path.to_str().expect("text")), "{error}");
        fs::remove_file(&path).expect("removed");
    }
}
