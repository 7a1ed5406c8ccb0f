//! The file of a backup: a tar archive (POSIX ustar) that is written and read from its beginning to its end, with a
//! SHA-256 of each entry. `tar tf` lists it; nothing in it is compressed.

use anyhow::{Context, bail, ensure};
use sha2::{Digest, Sha256};
use std::io::{self, Read, Write};

/// Everything in a tar archive is in blocks of this size.
const BLOCK: usize = 512;
/// Where each field of a header is, and how long it is.
const NAME: (usize, usize) = (0, 100);
const SIZE: (usize, usize) = (124, 12);
const CHECKSUM: (usize, usize) = (148, 8);
const KIND: usize = 156;
const MAGIC: (usize, usize) = (257, 8);

/// Writes entries one after the other.
pub(super) struct Writer<W> {
    out: W,
    /// Octets so far.
    pub(super) written: u64,
}

impl<W: Write> Writer<W> {
    pub(super) fn new(out: W) -> Self {
        Writer { out, written: 0 }
    }

    /// Writes an entry of `size` octets, which must come out of `content`; gives the SHA-256 in hexadecimal.
    pub(super) fn entry(&mut self, name: &str, size: u64, content: impl Read) -> anyhow::Result<String> {
        ensure!(name.len() < NAME.1, "the name {name} is too long for the archive");
        self.out.write_all(&header(name, size))?;
        let mut content = Hashing { inner: content.take(size), hash: Sha256::new() };
        let copied = io::copy(&mut content, &mut self.out)?;
        ensure!(copied == size, "{name} became shorter while it was read");
        let rest = (BLOCK - (size % BLOCK as u64) as usize) % BLOCK;
        self.out.write_all(&[0; BLOCK][..rest])?;
        self.written += BLOCK as u64 + size + rest as u64;
        Ok(hex::encode(content.hash.finalize()))
    }

    /// Writes the end and gives back what was written to.
    pub(super) fn finish(mut self) -> io::Result<W> {
        self.out.write_all(&[0; 2 * BLOCK])?;
        self.out.flush()?;
        Ok(self.out)
    }
}

fn header(name: &str, size: u64) -> [u8; BLOCK] {
    let mut header = [0; BLOCK];
    let mut put = |(at, _): (usize, usize), text: &[u8]| header[at..at + text.len()].copy_from_slice(text);
    put(NAME, name.as_bytes());
    put((100, 8), b"0000600\0");
    put((108, 8), b"0000000\0");
    put((116, 8), b"0000000\0");
    put(SIZE, format!("{size:011o}\0").as_bytes());
    put((136, 12), b"00000000000\0");
    put(CHECKSUM, b"        ");
    put(MAGIC, b"ustar\x0000");
    header[KIND] = b'0';
    let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
    header[CHECKSUM.0..CHECKSUM.0 + CHECKSUM.1].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    header
}

struct Hashing<R> {
    inner: R,
    hash: Sha256,
}

impl<R: Read> Read for Hashing<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.hash.update(&buffer[..read]);
        Ok(read)
    }
}

/// Hands every entry to `take` as name, size and content; gives the name and the SHA-256 of each.
///
/// # Errors
/// It is no such archive, it is cut short, or what `take` says.
pub(super) fn read(
    mut from: impl Read,
    mut take: impl FnMut(&str, u64, &mut dyn Read) -> anyhow::Result<()>,
) -> anyhow::Result<Vec<(String, String)>> {
    let mut found = Vec::new();
    loop {
        let mut block = [0; BLOCK];
        from.read_exact(&mut block).context("the archive ends too early (备份文件不完整)")?;
        if block.iter().all(|byte| *byte == 0) {
            return Ok(found);
        }
        let (name, size) = entry_of(&block)?;
        let mut content = Hashing { inner: (&mut from).take(size), hash: Sha256::new() };
        take(&name, size, &mut content)?;
        // What nobody wanted is hashed all the same.
        io::copy(&mut content, &mut io::sink())?;
        ensure!(content.inner.limit() == 0, "the archive ends too early (备份文件不完整)");
        found.push((name, hex::encode(content.hash.finalize())));
        let rest = (BLOCK - (size % BLOCK as u64) as usize) % BLOCK;
        from.read_exact(&mut block[..rest]).context("the archive ends too early (备份文件不完整)")?;
    }
}

fn entry_of(block: &[u8; BLOCK]) -> anyhow::Result<(String, u64)> {
    let field = |(at, length): (usize, usize)| {
        let bytes = &block[at..at + length];
        let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(length);
        std::str::from_utf8(&bytes[..end]).map(str::trim).map_err(anyhow::Error::from)
    };
    let mut plain = *block;
    plain[CHECKSUM.0..CHECKSUM.0 + CHECKSUM.1].fill(b' ');
    let sum: u32 = plain.iter().map(|byte| u32::from(*byte)).sum();
    let said = u32::from_str_radix(field(CHECKSUM).unwrap_or_default(), 8);
    if &block[MAGIC.0..MAGIC.0 + 5] != b"ustar" || said != Ok(sum) || block[KIND] != b'0' {
        bail!("this is no backup of hotline, or it is damaged (不是 hotline 的备份,或已损坏)");
    }
    Ok((field(NAME)?.to_owned(), u64::from_str_radix(field(SIZE)?, 8)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn archive() -> Vec<u8> {
        let mut writer = Writer::new(Vec::new());
        writer.entry("a/1", 5, &b"hello"[..]).unwrap();
        writer.entry("b", 0, io::empty()).unwrap();
        writer.entry("c", 512, &[7_u8; 600][..]).unwrap();
        assert!(writer.entry("d", 9, &b"short"[..]).is_err());
        let mut writer = Writer::new(Vec::new());
        writer.entry("a/1", 5, &b"hello"[..]).unwrap();
        writer.entry("c", 512, &[7_u8; 600][..]).unwrap();
        assert_eq!(writer.written, 4 * 512);
        writer.finish().unwrap()
    }

    #[test]
    fn what_is_written_is_read_and_a_change_is_seen() {
        let bytes = archive();
        let mut seen = Vec::new();
        let hashes = read(&bytes[..], |name, size, content| {
            let mut text = Vec::new();
            content.read_to_end(&mut text)?;
            seen.push((name.to_owned(), size, text.len()));
            Ok(())
        })
        .unwrap();
        assert_eq!(seen, [("a/1".to_owned(), 5, 5), ("c".to_owned(), 512, 512)]);
        assert_eq!(hashes[0].1, hex::encode(Sha256::digest(b"hello")));
        let again = read(&bytes[..], |_, _, _| Ok(())).unwrap();
        assert_eq!(again, hashes, "what nobody reads is hashed, too");
        let mut changed = bytes.clone();
        changed[512] ^= 1;
        assert_ne!(read(&changed[..], |_, _, _| Ok(())).unwrap(), hashes);
        changed[0] ^= 1;
        assert!(read(&changed[..], |_, _, _| Ok(())).is_err());
        for cut in [100, 600, 1024, 2048] {
            assert!(read(&bytes[..cut], |_, _, _| Ok(())).is_err(), "cut at {cut}");
        }
    }
}
