//! Files that were cut, changed, or sealed with another key.

use super::*;
use crate::{
    clock::UnixMillis,
    media::recorder::{End, HEADER_LENGTH, Header, LONGEST_CHUNK, OpenError, Sealer},
};
use std::{io::Cursor, time::Duration};

fn key() -> Key {
    Key { id: 1, bytes: [3; 32] }
}

/// Three seconds, then half a one, then the end.
fn file() -> Vec<u8> {
    let header = Header { recording: RecordingId(8), start: UnixMillis(5), key_id: 1, salt: [1; 16] };
    let mut sealer = Sealer::new(&key(), header);
    let (mut file, mut chunk) = (sealer.header().to_vec(), vec![]);
    for n in 0..4u8 {
        sealer.audio(&vec![n; if n < 3 { 16_000 } else { 8000 }], &mut chunk).unwrap();
        file.extend_from_slice(&chunk);
    }
    sealer.end(End { samples: 28_000, gap: false }, &mut chunk).unwrap();
    file.extend_from_slice(&chunk);
    file
}

fn export(name: &str, bytes: &[u8]) -> Result<Summary, ExportError> {
    let path = std::env::temp_dir().join(format!("hotline-{name}-{}.hlrec", std::process::id()));
    std::fs::write(&path, bytes).unwrap();
    let result = export_wav(&path, &key(), Cursor::new(vec![]));
    std::fs::remove_file(path).unwrap();
    result
}

#[test]
fn a_whole_file_is_whole_and_a_cut_one_is_flagged() {
    let whole = file();
    let summary = export("whole", &whole).unwrap();
    assert_eq!((summary.length, summary.shortened), (Duration::from_millis(3500), false));
    let chunk = 4 + LONGEST_CHUNK;
    for (cut, millis) in [
        (HEADER_LENGTH, 0),
        (HEADER_LENGTH + 2, 0),
        (HEADER_LENGTH + chunk - 1, 0),
        (HEADER_LENGTH + chunk, 1000),
        (HEADER_LENGTH + 2 * chunk + 3000, 2000),
        (whole.len() - 1, 3500),
    ] {
        let summary = export("cut", &whole[..cut]).unwrap();
        assert_eq!((summary.length, summary.shortened), (Duration::from_millis(millis), true), "{cut}");
    }
}

#[test]
fn changed_files_end_where_they_were_changed() {
    let mut changed = file();
    changed[HEADER_LENGTH + 4 + LONGEST_CHUNK + 50] ^= 1;
    let summary = export("changed", &changed).unwrap();
    assert_eq!((summary.length, summary.shortened), (Duration::from_secs(1), true));
    let mut zeros = file()[..HEADER_LENGTH + 4 + LONGEST_CHUNK].to_vec();
    zeros.resize(zeros.len() + 4096, 0);
    assert_eq!(export("zeros", &zeros).unwrap().length, Duration::from_secs(1));
    let mut first = file();
    first[HEADER_LENGTH + 50] ^= 1;
    assert!(matches!(export("first", &first), Err(ExportError::Open(OpenError::Damaged))));
    assert!(matches!(export("short", &[1, 2, 3]), Err(ExportError::Open(OpenError::NotARecording))));
}

#[test]
fn seconds_are_found_by_seeking() {
    let path = std::env::temp_dir().join(format!("hotline-seek-{}.hlrec", std::process::id()));
    std::fs::write(&path, file()).unwrap();
    let mut reader = Reader::open(&path, &key()).unwrap();
    reader.seek(2).unwrap();
    assert_eq!(reader.next_second().unwrap(), Some(&[2; 16_000][..]));
    assert_eq!(reader.next_second().unwrap(), Some(&[3; 8000][..]));
    assert_eq!(reader.next_second().unwrap(), None);
    assert_eq!(reader.end(), Some(End { samples: 28_000, gap: false }));
    reader.seek(0).unwrap();
    assert_eq!(reader.next_second().unwrap().map(<[u8]>::len), Some(16_000), "back from the end");
    std::fs::remove_file(path).unwrap();
}
