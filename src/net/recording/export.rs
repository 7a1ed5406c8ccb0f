//! Reading recordings: chunk by chunk, or whole as a WAV file.
//!
//! A file without an end, from a crash or a full disk, is read up to its last whole chunk and flagged.

use crate::{
    clock::UnixMillis,
    ids::RecordingId,
    media::{
        codec::Codec,
        recorder::{Chunk, End, HEADER_LENGTH, Header, Key, LONGEST_CHUNK, OpenError, Opener, SECOND},
        tone::RATE,
    },
};
use std::{
    fs::File,
    io::{self, BufReader, Read, Seek, SeekFrom, Write},
    path::Path,
    time::Duration,
};

/// What a recording turned out to hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Summary {
    /// Which one, as its header says.
    pub recording: RecordingId,
    /// When it began.
    pub start: UnixMillis,
    /// What plays.
    pub length: Duration,
    /// It has no end: cut short by a crash or a failed write.
    pub shortened: bool,
    /// Frames were lost on the way to the writer.
    pub gap: bool,
}

/// Why a recording cannot be read or exported.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// The file is not there, or the disk failed.
    #[error("cannot be read: {0}")]
    Io(#[from] io::Error),
    /// It is no recording, is damaged, or is sealed with another key.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// Where it should go there is no room, or no right to write.
    #[error("the WAV file cannot be written: {0}")]
    Wav(#[from] hound::Error),
}

/// An open recording.
pub struct Reader {
    file: BufReader<File>,
    opener: Opener,
    number: u32,
    buffer: Vec<u8>,
    end: Option<End>,
}

impl Reader {
    /// Errors where the file is not there, is no recording, or was sealed with another key.
    pub fn open(path: &Path, key: &Key) -> Result<Reader, ExportError> {
        let mut file = BufReader::with_capacity(LONGEST_CHUNK + 4, File::open(path)?);
        let mut header = [0; HEADER_LENGTH];
        file.read_exact(&mut header).map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => ExportError::Open(OpenError::NotARecording),
            _ => error.into(),
        })?;
        Ok(Reader { file, opener: Opener::new(key, &header)?, number: 0, buffer: Vec::new(), end: None })
    }

    /// What the file says of itself.
    pub fn header(&self) -> &Header {
        self.opener.header()
    }

    /// Goes to a second from the start: all chunks before the last have the same length. Past the end there
    /// is nothing to read.
    pub fn seek(&mut self, second: u32) -> io::Result<()> {
        let at = HEADER_LENGTH as u64 + u64::from(second) * (4 + LONGEST_CHUNK as u64);
        self.file.seek(SeekFrom::Start(at))?;
        self.number = second;
        Ok(())
    }

    /// The next second, A-law, left and right in turn; None at the end, which [`Reader::end`] tells apart from a cut.
    ///
    /// What is torn is the end; a whole chunk that does not open at the very beginning is an error (a wrong key), and
    /// later an end too: what follows cannot be trusted.
    pub fn next_second(&mut self) -> Result<Option<&[u8]>, ExportError> {
        let mut length = [0; 4];
        if self.end.is_some() || !fill(&mut self.file, &mut length)? {
            return Ok(None);
        }
        let length = u32::from_be_bytes(length) as usize;
        if length == 0 || length > LONGEST_CHUNK {
            return Ok(None);
        }
        self.buffer.resize(length, 0);
        if !fill(&mut self.file, &mut self.buffer)? {
            return Ok(None);
        }
        match self.opener.open(self.number, &mut self.buffer) {
            Ok(Chunk::End(end)) => {
                self.end = Some(end);
                Ok(None)
            }
            // Taken from the buffer again, since `open` holds it for all arms: the audio follows the kind's octet.
            Ok(Chunk::Audio(audio)) => {
                self.number += 1;
                let length = audio.len();
                Ok(self.buffer.get(1..1 + length))
            }
            Err(error) if self.number == 0 => Err(error.into()),
            Err(_) => Ok(None),
        }
    }

    /// What the end chunk said, once it was met.
    pub fn end(&self) -> Option<End> {
        self.end
    }
}

/// Fills the buffer; false where the file ends before.
fn fill(file: &mut impl Read, buffer: &mut [u8]) -> io::Result<bool> {
    match file.read_exact(buffer) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error),
    }
}

/// Writes a recording as a WAV file: 8 kHz, 16 bit, stereo, left first. Errors where the file is not there, is no
/// recording of this key, or `out` takes no more.
pub fn export_wav(path: &Path, key: &Key, out: impl Write + Seek) -> Result<Summary, ExportError> {
    let mut reader = Reader::open(path, key)?;
    let spec =
        hound::WavSpec { channels: 2, sample_rate: RATE, bits_per_sample: 16, sample_format: hound::SampleFormat::Int };
    let mut wav = hound::WavWriter::new(out, spec)?;
    let mut samples = 0u64;
    let table = Codec::Pcma.decode_table();
    while let Some(second) = reader.next_second()? {
        let mut writer = wav.get_i16_writer(second.len() as u32);
        second.iter().for_each(|octet| writer.write_sample(table[usize::from(*octet)]));
        writer.flush()?;
        samples += second.len() as u64 / 2;
    }
    wav.finalize()?;
    let header = reader.header();
    Ok(Summary {
        recording: header.recording,
        start: header.start,
        length: Duration::from_micros(samples * 1_000_000 / SECOND as u64),
        shortened: reader.end.is_none_or(|end| end.samples != samples),
        gap: reader.end.is_some_and(|end| end.gap),
    })
}
