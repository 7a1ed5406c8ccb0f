//! Clips from files.

use crate::media::clip::{Clip, ClipError};
use std::{fs::File, io::BufReader, path::Path, sync::Arc};

/// Loads a WAV file as a clip named by its path. Errors where it is not 8 kHz, 16-bit mono PCM.
pub fn load(path: &Path) -> Result<Arc<Clip>, ClipError> {
    let file = BufReader::new(File::open(path).map_err(hound::Error::IoError)?);
    Clip::from_wav(path.display().to_string(), file).map(Arc::new)
}
