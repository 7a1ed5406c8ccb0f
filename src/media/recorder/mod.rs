//! Recordings without files: frames are laid on a timeline, seconds of it are sealed and opened.
//!
//! Stereo A-law at 8 kHz, 128 kbit/s. The timeline runs in real time from start to stop; what did not come is
//! silence. Left out: files and threads (`net::recording`).

mod seal;
mod timeline;

pub use seal::{Chunk, End, HEADER_LENGTH, Header, Key, LONGEST_CHUNK, OpenError, Opener, Sealer};
pub use timeline::{Frame, HOLD_BACK, SECOND, Timeline};
