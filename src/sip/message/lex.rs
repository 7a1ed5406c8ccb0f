//! Scanning: tokens, quoted strings, comma and semicolon lists (RFC 3261 section 25.1).
//!
//! Works on single unfolded values. Nothing here copies.

const TOKEN: u8 = 1;
const HOST: u8 = 2;
const URI: u8 = 4;
const VALUE: u8 = 8;

const fn marked(marks: &[u8], byte: u8) -> bool {
    let mut i = 0;
    while i < marks.len() {
        if marks[i] == byte {
            return true;
        }
        i += 1;
    }
    false
}

/// Which classes each byte belongs to.
static CLASSES: [u8; 256] = {
    let mut table = [0u8; 256];
    let mut i = 0;
    while i < 256 {
        let byte = i as u8;
        let word = byte.is_ascii_alphanumeric();
        let visible = byte > b' ' && byte != 0x7F;
        let mut class = 0;
        if word || marked(b"-.!%*_+`'~", byte) {
            class |= TOKEN;
        }
        if word || marked(b"-._", byte) {
            class |= HOST;
        }
        if visible && !marked(b"<>\"@", byte) {
            class |= URI;
        }
        if visible && !marked(b";,\"<>", byte) {
            class |= VALUE;
        }
        table[i] = class;
        i += 1;
    }
    table
};

fn is(byte: u8, class: u8) -> bool {
    CLASSES[byte as usize] & class != 0
}

/// Whether `byte` may stand in a token.
pub(crate) fn is_token_byte(byte: u8) -> bool {
    is(byte, TOKEN)
}

/// Whether `byte` may stand in a host name.
pub(crate) fn is_host_byte(byte: u8) -> bool {
    is(byte, HOST)
}

/// Whether `byte` may stand in a part of a URI: visible, and neither a bracket, a quote nor an at sign.
pub(crate) fn is_uri_byte(byte: u8) -> bool {
    is(byte, URI)
}

/// Whether `byte` may stand in a parameter's value that is not quoted.
pub(crate) fn is_value_byte(byte: u8) -> bool {
    is(byte, VALUE)
}

/// How many bytes at the front of `text` pass.
pub(crate) fn span(text: &[u8], pass: impl Fn(u8) -> bool) -> usize {
    text.iter().position(|&b| !pass(b)).unwrap_or(text.len())
}

/// Whether `text` is a token: not empty, token characters alone.
pub(crate) fn is_token(text: &[u8]) -> bool {
    !text.is_empty() && text.iter().all(|&b| is_token_byte(b))
}

/// Whether `byte` is linear white space in an unfolded value.
pub(crate) fn is_space(byte: u8) -> bool {
    byte == b' ' || byte == b'\t'
}

/// `text` without white space at its ends.
pub(crate) fn trim(text: &[u8]) -> &[u8] {
    trim_end(trim_start(text))
}

/// `text` without leading white space.
pub(crate) fn trim_start(mut text: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] = text {
        text = rest;
    }
    text
}

/// `text` without trailing white space.
pub(crate) fn trim_end(mut text: &[u8]) -> &[u8] {
    while let [rest @ .., b' ' | b'\t'] = text {
        text = rest;
    }
    text
}

/// The length of the character at `text[0]`, which is not ASCII: UTF-8 if it is valid, else a GBK pair, else one byte.
///
/// A GBK pair's second byte may be a backslash, which must not be taken for an escape.
fn wide_char_len(text: &[u8]) -> usize {
    let continued = |n: usize| text.len() > n && text[1..=n].iter().all(|b| (0x80..0xC0).contains(b));
    match text[0] {
        0xC2..=0xDF if continued(1) => 2,
        0xE0..=0xEF if continued(2) => 3,
        0xF0..=0xF4 if continued(3) => 4,
        0x81..=0xFE if text.len() > 1 && (0x40..=0xFE).contains(&text[1]) && text[1] != 0x7F => 2,
        _ => 1,
    }
}

/// The index just behind the quoted string that begins at `text[at]`; None if it does not end.
pub(crate) fn quoted_end(text: &[u8], at: usize) -> Option<usize> {
    let mut i = at + 1;
    while i < text.len() {
        match text[i] {
            b'"' => return Some(i + 1),
            b'\\' => i += 2,
            0..0x80 => i += 1,
            _ => i += wide_char_len(&text[i..]),
        }
    }
    None
}

/// A quoted string's content with its escapes taken out, or the text itself if it is not quoted.
pub(crate) fn unquote(text: &[u8]) -> Vec<u8> {
    let Some(inner) = text.strip_prefix(b"\"") else { return text.to_vec() };
    let inner = inner.strip_suffix(b"\"").unwrap_or(inner);
    let mut out = Vec::with_capacity(inner.len());
    let mut i = 0;
    while i < inner.len() {
        if inner[i] == b'\\' && i + 1 < inner.len() {
            out.push(inner[i + 1]);
            i += 2;
        } else {
            let n = if inner[i] < 0x80 { 1 } else { wide_char_len(&inner[i..]) };
            out.extend_from_slice(&inner[i..i + n]);
            i += n;
        }
    }
    out
}

/// `text` as a quoted string; control characters become spaces.
pub fn quote(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            c if c.is_control() => out.push(' '),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// The index of the first `separator` outside quotes and angle brackets; `Err` where a quote or bracket is left open.
pub(crate) fn find_outside(text: &[u8], separator: u8) -> Result<Option<usize>, ()> {
    let mut i = 0;
    while i < text.len() {
        let byte = text[i];
        if byte == separator {
            return Ok(Some(i));
        }
        match byte {
            b'"' => i = quoted_end(text, i).ok_or(())?,
            b'<' => i = memchr::memchr(b'>', &text[i..]).map(|n| i + n + 1).ok_or(())?,
            _ => i += 1,
        }
    }
    Ok(None)
}

/// Walks a comma-separated list. A broken item ends the walk with `Err`; empty items are given out as empty.
#[derive(Clone, Debug)]
pub(crate) struct Commas<'a> {
    rest: Option<&'a [u8]>,
}

impl<'a> Commas<'a> {
    pub(crate) fn new(text: &'a [u8]) -> Self {
        Commas { rest: Some(text) }
    }
}

impl<'a> Iterator for Commas<'a> {
    type Item = Result<&'a [u8], ()>;

    fn next(&mut self) -> Option<Self::Item> {
        let text = self.rest.take()?;
        match find_outside(text, b',') {
            Ok(Some(at)) => {
                self.rest = Some(&text[at + 1..]);
                Some(Ok(trim(&text[..at])))
            }
            Ok(None) => Some(Ok(trim(text))),
            Err(()) => Some(Err(())),
        }
    }
}

/// Decimal digits alone, at most `max`.
pub(crate) fn number(text: &[u8], max: u64) -> Option<u64> {
    if text.is_empty() {
        return None;
    }
    let mut value = 0u64;
    for &b in text {
        if !b.is_ascii_digit() {
            return None;
        }
        value = value.checked_mul(10)?.checked_add(u64::from(b - b'0'))?;
        if value > max {
            return None;
        }
    }
    Some(value)
}

/// A whole number of seconds; one too large for 32 bits counts as the largest.
pub(crate) fn seconds(text: &[u8]) -> Option<u32> {
    if text.is_empty() || !text.iter().all(u8::is_ascii_digit) {
        return None;
    }
    Some(number(text, u64::from(u32::MAX)).map_or(u32::MAX, |n| n as u32))
}
