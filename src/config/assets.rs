//! The files that the program carries within itself, and those beside the configuration that take their place.

use rust_embed::RustEmbed;
use std::{
    borrow::Cow,
    collections::BTreeSet,
    io::Cursor,
    path::{Component, Path, PathBuf},
    time::Duration,
};

#[derive(RustEmbed)]
#[folder = "sip-profiles/"]
struct Profiles;

#[derive(RustEmbed)]
#[folder = "ivr-flows/"]
struct Flows;

/// Reads `sip-profiles/…` and `ivr-flows/…`: from beside the configuration where the file is there, else embedded.
#[derive(Clone, Debug, Default)]
pub struct Assets {
    base: Option<PathBuf>,
    draft: Option<Draft>,
}

/// A text that is tried before it is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Draft {
    /// Whose, such as `ivr-flows/12345.toml`, or [`SETTINGS`].
    pub document: String,
    /// None: as if there were no file of its own.
    pub text: Option<String>,
}

/// The name of `hotline.toml` among the documents, whatever its file is called.
pub const SETTINGS: &str = "configuration/hotline.toml";

/// Why a prompt cannot be played.
#[derive(Debug, thiserror::Error)]
pub enum ClipError {
    /// Neither beside the configuration nor embedded, or larger than 16 MB.
    #[error("there is no such file")]
    Missing,
    /// It is damaged, or compressed.
    #[error("it is no readable PCM WAV file")]
    Wav,
    /// It would have to be resampled, which is not done.
    #[error("it is {rate} Hz, {bits}-bit, {channels} channel(s), not 8000 Hz, 16-bit, mono")]
    Form {
        /// Samples a second.
        rate: u32,
        /// Bits a sample.
        bits: u16,
        /// 1 would be right.
        channels: u16,
    },
    /// All prompts are kept in memory.
    #[error("it is {0} s long: more than ten minutes")]
    TooLong(u64),
}

const RATE: u32 = 8000;
const LONGEST: u32 = RATE * 600;
/// No asset is larger; a larger file beside the configuration is not read.
const MAX_SIZE: u64 = 16 << 20;

impl Assets {
    /// The embedded files, with those in `base` before them.
    pub fn new(base: Option<PathBuf>) -> Self {
        Assets { base, draft: None }
    }

    /// The same, with a text in the place of its file.
    pub fn with_draft(self, draft: Option<Draft>) -> Self {
        Assets { draft, ..self }
    }

    /// Where a file of its own lies, or would lie; None where there is no place for one.
    pub fn own_path(&self, path: &str) -> Option<PathBuf> {
        self.base.as_ref().map(|base| base.join(path))
    }

    /// Whether a file of its own takes the place of what is embedded.
    pub fn is_overridden(&self, path: &str) -> bool {
        match &self.draft {
            Some(draft) if draft.document == path => draft.text.is_some(),
            _ => self.own_path(path).is_some_and(|own| own.is_file()),
        }
    }

    /// The file's bytes; None where it is nowhere, is not under the two folders, or is larger than 16 MB.
    pub fn read(&self, path: &str) -> Option<Cow<'static, [u8]>> {
        if !Path::new(path).components().all(|part| matches!(part, Component::Normal(_))) {
            return None;
        }
        let (folder, rest) = path.split_once('/')?;
        if !matches!(folder, "sip-profiles" | "ivr-flows") {
            return None;
        }
        let draft = self.draft.as_ref().filter(|draft| draft.document == path);
        if let Some(Draft { text: Some(text), .. }) = draft {
            return Some(Cow::Owned(text.clone().into_bytes()));
        }
        if let Some(own) = self.own_path(path).filter(|_| draft.is_none())
            && own.metadata().is_ok_and(|meta| meta.is_file())
        {
            // A file that is there and cannot be read does not fall back silently to another text.
            return match own.metadata().is_ok_and(|meta| meta.len() <= MAX_SIZE) {
                true => std::fs::read(&own).ok().map(Cow::Owned),
                false => None,
            };
        }
        let embedded = if folder == "sip-profiles" { Profiles::get(rest) } else { Flows::get(rest) };
        embedded.map(|file| file.data)
    }

    /// The paths of all files with this ending directly in `folder`, sorted.
    pub fn list(&self, folder: &str, ending: &str) -> Vec<String> {
        let mut names: BTreeSet<String> = BTreeSet::new();
        let embedded: Vec<_> = match folder.split('/').next() {
            Some("sip-profiles") => Profiles::iter().map(|path| format!("sip-profiles/{path}")).collect(),
            _ => Flows::iter().map(|path| format!("ivr-flows/{path}")).collect(),
        };
        names.extend(embedded);
        let own = self.base.as_ref().and_then(|base| std::fs::read_dir(base.join(folder)).ok());
        for entry in own.into_iter().flatten().flatten() {
            if let Some(name) = entry.file_name().to_str() {
                names.insert(format!("{folder}/{name}"));
            }
        }
        match &self.draft {
            Some(Draft { document, text: Some(_) }) => drop(names.insert(document.clone())),
            Some(Draft { document, text: None }) if !names.is_empty() && self.read(document).is_none() => {
                names.remove(document);
            }
            _ => {}
        }
        let direct = |path: &String| {
            let rest = path.strip_prefix(folder).and_then(|rest| rest.strip_prefix('/'));
            rest.is_some_and(|rest| !rest.contains('/') && rest.ends_with(ending))
        };
        names.into_iter().filter(direct).collect()
    }

    /// Where the file really is, for messages.
    pub fn shown(&self, path: &str) -> String {
        match &self.base {
            Some(base) if self.is_overridden(path) => base.join(path).display().to_string(),
            _ => path.to_string(),
        }
    }

    /// A prompt's samples, named as flows name it: `prompts/zh/welcome.wav`. Errors where it is not there, or not of
    /// the one format that is played.
    pub fn clip(&self, name: &str) -> Result<Vec<i16>, ClipError> {
        let bytes = self.read(&format!("ivr-flows/{name}")).ok_or(ClipError::Missing)?;
        let mut reader = open(&bytes)?;
        reader.samples::<i16>().collect::<Result<_, _>>().map_err(|_| ClipError::Wav)
    }

    /// How long a prompt is. Errors as [`Assets::clip`] does, its samples left aside.
    pub fn clip_length(&self, name: &str) -> Result<Duration, ClipError> {
        let bytes = self.read(&format!("ivr-flows/{name}")).ok_or(ClipError::Missing)?;
        Ok(Duration::from_secs_f64(f64::from(open(&bytes)?.duration()) / f64::from(RATE)))
    }

    /// The names of all prompts, in all languages.
    pub fn clip_names(&self) -> Vec<String> {
        let mut folders: BTreeSet<String> = BTreeSet::from(["ivr-flows/prompts".into()]);
        folders.extend(Flows::iter().filter_map(|path| Some(format!("ivr-flows/{}", path.rsplit_once('/')?.0))));
        let own = self.base.as_ref().and_then(|base| std::fs::read_dir(base.join("ivr-flows/prompts")).ok());
        for entry in own.into_iter().flatten().flatten().filter(|entry| entry.path().is_dir()) {
            if let Some(name) = entry.file_name().to_str() {
                folders.insert(format!("ivr-flows/prompts/{name}"));
            }
        }
        let paths = folders.iter().flat_map(|folder| self.list(folder, ".wav"));
        paths.filter_map(|path| path.strip_prefix("ivr-flows/").map(str::to_string)).collect()
    }
}

fn open(bytes: &[u8]) -> Result<hound::WavReader<Cursor<&[u8]>>, ClipError> {
    let reader = hound::WavReader::new(Cursor::new(bytes)).map_err(|_| ClipError::Wav)?;
    let spec = reader.spec();
    let (rate, bits, channels) = (spec.sample_rate, spec.bits_per_sample, spec.channels);
    if (rate, bits, channels) != (RATE, 16, 1) || spec.sample_format != hound::SampleFormat::Int {
        return Err(ClipError::Form { rate, bits, channels });
    }
    if reader.duration() > LONGEST {
        return Err(ClipError::TooLong((reader.duration() / RATE).into()));
    }
    Ok(reader)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn embedded_files_are_found_and_overridden_one_by_one() {
        let folder = std::env::temp_dir().join(format!("hotline-assets-{}", std::process::id()));
        std::fs::create_dir_all(folder.join("ivr-flows/prompts/zh")).unwrap();
        std::fs::write(folder.join("ivr-flows/own.toml"), "own").unwrap();
        std::fs::write(folder.join("ivr-flows/12345.toml"), "mine").unwrap();
        std::fs::write(folder.join("ivr-flows/prompts/zh/bad.wav"), "RIFF").unwrap();
        let assets = Assets::new(Some(folder.clone()));
        assert_eq!(assets.read("ivr-flows/12345.toml").as_deref(), Some(b"mine".as_slice()));
        assert!(assets.read("ivr-flows/menu_main.toml").is_some());
        let flows = assets.list("ivr-flows", ".toml");
        assert_eq!(flows, ["ivr-flows/12345.toml", "ivr-flows/menu_main.toml", "ivr-flows/own.toml"]);
        assert!(matches!(assets.clip("prompts/zh/bad.wav"), Err(ClipError::Wav)));
        assert!(matches!(assets.clip("prompts/zh/none.wav"), Err(ClipError::Missing)));
        for outside in ["../Cargo.toml", "/etc/passwd", "ivr-flows/../../x", "src/lib.rs", ""] {
            assert!(assets.read(outside).is_none(), "{outside}");
        }
        std::fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn every_shipped_clip_can_be_played() {
        let assets = Assets::default();
        let names = assets.clip_names();
        assert!(names.len() > 70 && names.contains(&"prompts/music_on_hold.wav".to_string()));
        for name in &names {
            assert!(!assets.clip(name).unwrap().is_empty(), "{name}");
        }
        for name in crate::ivr::say::all_clips() {
            assert!(names.contains(&name), "{name}");
        }
        assert_eq!(assets.clip_length("prompts/zh/welcome.wav").unwrap().as_millis(), 5813);
    }
}
