//! The sealed format of a recording.
//!
//! ```text
//! file   = header chunk*
//! header = magic[8] version:u16 0:u16 recording:u64 start_wall_ms:i64 key_id:u32 salt[16]      (48 octets)
//! chunk  = length:u32 ciphertext[length]                            length = plaintext + 16 octets of tag
//! plain  = 1 audio[..16000]      one second, A-law, left and right in turn; the last may be shorter
//!        | 2 samples:u64 gap:u8  the end: samples a side, and whether frames were lost on the way
//! ```
//! Numbers are big-endian. Each file has its own AES-256-GCM key, SHA-256 of a label, the master key, the salt and
//! the recording's id; the nonce is the first eight octets of the salt and the chunk's number, the header is
//! authenticated with each chunk. So chunks cannot be changed, left out, reordered or brought into another file
//! unseen, and a file without the end chunk was cut short.

use crate::{clock::UnixMillis, ids::RecordingId};
use aes_gcm::{Aes256Gcm, KeyInit, aead::AeadInOut};
use sha2::{Digest, Sha256};
use std::fmt;

const MAGIC: &[u8; 8] = b"HLREC\r\n\x1a";
const VERSION: u16 = 1;
const AUDIO: u8 = 1;
const END: u8 = 2;
const TAG: usize = 16;

/// Octets of a file's header.
pub const HEADER_LENGTH: usize = 48;
/// The most that a chunk's length may say.
pub const LONGEST_CHUNK: usize = 1 + 2 * super::SECOND + TAG;

/// A master key and the number by which files name it.
#[derive(Clone, PartialEq, Eq)]
pub struct Key {
    /// Stands in the clear in each file that the key seals.
    pub id: u32,
    /// The secret; each file's key is derived from it.
    pub bytes: [u8; 32],
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({})", self.id)
    }
}

/// What a file says of itself in the clear.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Which recording this is; part of what the file's key is made of.
    pub recording: RecordingId,
    /// When it began, to which the audio's times are relative.
    pub start: UnixMillis,
    /// The master key's number.
    pub key_id: u32,
    /// Random and new for each file, for nonces repeat where it does.
    pub salt: [u8; 16],
}

/// Why a recording cannot be opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// It does not begin with the magic octets.
    #[error("not a recording")]
    NotARecording,
    /// The format's version is not the one that this program writes.
    #[error("written by a newer version ({0})")]
    Version(u16),
    /// Another master key is named; one that was in use before may be it.
    #[error("sealed with key {0}, not with the one given")]
    OtherKey(u32),
    /// A chunk is not authentic, or its length is impossible.
    #[error("damaged, changed, or sealed with another key")]
    Damaged,
}

impl Header {
    /// The header's octets.
    pub fn to_bytes(&self) -> [u8; HEADER_LENGTH] {
        let mut out = [0; HEADER_LENGTH];
        out[..8].copy_from_slice(MAGIC);
        out[8..10].copy_from_slice(&VERSION.to_be_bytes());
        out[12..20].copy_from_slice(&self.recording.0.to_be_bytes());
        out[20..28].copy_from_slice(&self.start.0.to_be_bytes());
        out[28..32].copy_from_slice(&self.key_id.to_be_bytes());
        out[32..48].copy_from_slice(&self.salt);
        out
    }

    /// Reads a header. Errors where it is no recording, or of another version.
    pub fn parse(bytes: &[u8; HEADER_LENGTH]) -> Result<Header, OpenError> {
        fn part<const N: usize>(bytes: &[u8; HEADER_LENGTH], at: usize) -> [u8; N] {
            std::array::from_fn(|i| bytes[at + i])
        }
        if part::<8>(bytes, 0) != *MAGIC {
            return Err(OpenError::NotARecording);
        }
        let version = u16::from_be_bytes(part(bytes, 8));
        if version != VERSION {
            return Err(OpenError::Version(version));
        }
        Ok(Header {
            recording: RecordingId(u64::from_be_bytes(part(bytes, 12))),
            start: UnixMillis(i64::from_be_bytes(part(bytes, 20))),
            key_id: u32::from_be_bytes(part(bytes, 28)),
            salt: part(bytes, 32),
        })
    }

    fn cipher(&self, key: &Key) -> Aes256Gcm {
        let file_key = Sha256::new()
            .chain_update(b"hotline recording 1")
            .chain_update(key.bytes)
            .chain_update(self.salt)
            .chain_update(self.recording.0.to_be_bytes())
            .finalize();
        Aes256Gcm::new(&file_key)
    }

    fn nonce(&self, number: u32) -> [u8; 12] {
        let mut nonce = [0; 12];
        nonce[..8].copy_from_slice(&self.salt[..8]);
        nonce[8..].copy_from_slice(&number.to_be_bytes());
        nonce
    }
}

/// Seals the chunks of one file in turn.
pub struct Sealer {
    cipher: Aes256Gcm,
    header: Header,
    bytes: [u8; HEADER_LENGTH],
    number: u32,
}

impl Sealer {
    /// `header.key_id` must be the key's, and its salt never used before.
    pub fn new(key: &Key, header: Header) -> Sealer {
        Sealer { cipher: header.cipher(key), header, bytes: header.to_bytes(), number: 0 }
    }

    /// What the file begins with.
    pub fn header(&self) -> &[u8; HEADER_LENGTH] {
        &self.bytes
    }

    /// Puts a sealed chunk of audio into `out`, in place of what is there. At most one second. Errors after 2³² chunks.
    pub fn audio(&mut self, stereo: &[u8], out: &mut Vec<u8>) -> Result<(), OpenError> {
        self.seal(AUDIO, &[stereo], out)
    }

    /// Puts the sealed end into `out`, in place of what is there. Errors after 2³² chunks.
    pub fn end(&mut self, end: End, out: &mut Vec<u8>) -> Result<(), OpenError> {
        self.seal(END, &[&end.samples.to_be_bytes(), &[u8::from(end.gap)]], out)
    }

    fn seal(&mut self, kind: u8, parts: &[&[u8]], out: &mut Vec<u8>) -> Result<(), OpenError> {
        let nonce = self.header.nonce(self.number);
        out.clear();
        out.resize(4, 0);
        out.push(kind);
        parts.iter().for_each(|part| out.extend_from_slice(part));
        let tag = self
            .cipher
            .encrypt_inout_detached(&nonce.into(), &self.bytes, (&mut out[4..]).into())
            .map_err(|_| OpenError::Damaged)?;
        out.extend_from_slice(&tag);
        let length = (out.len() - 4) as u32;
        out[..4].copy_from_slice(&length.to_be_bytes());
        self.number = self.number.checked_add(1).ok_or(OpenError::Damaged)?;
        Ok(())
    }
}

/// What the end chunk says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct End {
    /// Samples a side.
    pub samples: u64,
    /// Frames were lost on the way to the writer.
    pub gap: bool,
}

/// An opened chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Chunk<'a> {
    /// A-law, left and right in turn.
    Audio(&'a [u8]),
    /// The last chunk of a whole file.
    End(End),
}

/// Opens the chunks of one file.
pub struct Opener {
    cipher: Aes256Gcm,
    header: Header,
    bytes: [u8; HEADER_LENGTH],
}

impl Opener {
    /// Errors where this is no recording, or one that another key seals.
    pub fn new(key: &Key, bytes: &[u8; HEADER_LENGTH]) -> Result<Opener, OpenError> {
        let header = Header::parse(bytes)?;
        if header.key_id != key.id {
            return Err(OpenError::OtherKey(header.key_id));
        }
        Ok(Opener { cipher: header.cipher(key), header, bytes: *bytes })
    }

    /// What the file says of itself.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// Opens the chunk with this number (from 0) in place; `sealed` is what follows its length. Errors where it was
    /// changed, moved or cut.
    pub fn open<'a>(&self, number: u32, sealed: &'a mut [u8]) -> Result<Chunk<'a>, OpenError> {
        let split = sealed.len().checked_sub(TAG).ok_or(OpenError::Damaged)?;
        let (plain, tag) = sealed.split_at_mut(split);
        let tag: [u8; TAG] = (&*tag).try_into().map_err(|_| OpenError::Damaged)?;
        self.cipher
            .decrypt_inout_detached(&self.header.nonce(number).into(), &self.bytes, (&mut *plain).into(), &tag.into())
            .map_err(|_| OpenError::Damaged)?;
        match plain {
            [AUDIO, audio @ ..] => Ok(Chunk::Audio(audio)),
            [END, a, b, c, d, e, f, g, h, gap] => {
                Ok(Chunk::End(End { samples: u64::from_be_bytes([*a, *b, *c, *d, *e, *f, *g, *h]), gap: *gap != 0 }))
            }
            _ => Err(OpenError::Damaged),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header() -> Header {
        Header { recording: RecordingId(77), start: UnixMillis(1_700_000_000_000), key_id: 3, salt: [9; 16] }
    }

    fn key() -> Key {
        Key { id: 3, bytes: [5; 32] }
    }

    #[test]
    fn chunks_open_in_their_place_and_nowhere_else() {
        let mut sealer = Sealer::new(&key(), header());
        let (mut a, mut b) = (vec![], vec![]);
        sealer.audio(&[0x55; 16_000], &mut a).unwrap();
        sealer.end(End { samples: 8000, gap: true }, &mut b).unwrap();
        assert_eq!(a.len(), 4 + LONGEST_CHUNK);
        assert!(!a.windows(8).any(|w| w == [0x55; 8]));
        let opener = Opener::new(&key(), sealer.header()).unwrap();
        assert_eq!(opener.header(), &header());
        assert_eq!(opener.open(0, &mut a.clone()[4..]), Ok(Chunk::Audio(&[0x55; 16_000])));
        assert_eq!(opener.open(1, &mut b.clone()[4..]), Ok(Chunk::End(End { samples: 8000, gap: true })));
        assert_eq!(opener.open(1, &mut a.clone()[4..]), Err(OpenError::Damaged));
        let mut changed = a.clone();
        changed[100] ^= 1;
        assert_eq!(opener.open(0, &mut changed[4..]), Err(OpenError::Damaged));
        assert_eq!(opener.open(0, &mut a.clone()[4..10]), Err(OpenError::Damaged));
    }

    #[test]
    fn other_keys_and_files_are_told_apart() {
        let sealer = Sealer::new(&key(), header());
        let wrong = Key { id: 4, ..key() };
        assert_eq!(Opener::new(&wrong, sealer.header()).err(), Some(OpenError::OtherKey(3)));
        assert_eq!(Opener::new(&key(), &[0; HEADER_LENGTH]).err(), Some(OpenError::NotARecording));
        let mut newer = *sealer.header();
        newer[9] = 2;
        assert_eq!(Opener::new(&key(), &newer).err(), Some(OpenError::Version(2)));
        // Another header (here: another recording's id) does not open it.
        let mut sealer = sealer;
        let mut chunk = vec![];
        sealer.audio(&[1; 10], &mut chunk).unwrap();
        let mut moved = *sealer.header();
        moved[19] ^= 1;
        assert_eq!(Opener::new(&key(), &moved).unwrap().open(0, &mut chunk[4..]), Err(OpenError::Damaged));
        assert!(!format!("{:?}", key()).contains("5, 5"));
    }
}
