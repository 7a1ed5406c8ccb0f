//! Parameters behind a value or in a URI, kept as they were written (RFC 3261 section 25.1, `generic-param`).

use super::lex;
use bytes::{BufMut, Bytes, BytesMut};

/// The most parameters of one value or URI; comparing two lists costs their product.
const PARAMS_MAX: usize = 64;

/// `;name=value;flag` text, walked on demand. Names are compared without regard to case.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Params(Bytes);

impl Params {
    /// Checks parameters behind a header value: `text` is empty or begins with a semicolon.
    pub(crate) fn of_header(text: Bytes) -> Option<Params> {
        let checked = check_header(&text)?;
        Some(if checked.len() == text.len() { Params(text) } else { Params(text.slice_ref(checked)) })
    }

    /// Parameters that were checked before.
    pub(crate) fn checked(text: Bytes) -> Params {
        Params(text)
    }

    /// The text as written, from the first semicolon on.
    pub fn as_bytes(&self) -> &Bytes {
        &self.0
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Names with their values, as written; a quoted value keeps its quotes, a flag has None.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], Option<&[u8]>)> {
        let mut rest = self.0.strip_prefix(b";").unwrap_or(&self.0);
        std::iter::from_fn(move || {
            if rest.is_empty() {
                return None;
            }
            let end = lex::find_outside(rest, b';').ok().flatten().unwrap_or(rest.len());
            let part = &rest[..end];
            rest = rest.get(end + 1..).unwrap_or_default();
            Some(match memchr::memchr(b'=', part) {
                Some(at) => (lex::trim(&part[..at]), Some(lex::trim(&part[at + 1..]))),
                None => (lex::trim(part), None),
            })
        })
    }

    /// The value of `name` as written; empty for a flag; None if it is not there.
    pub fn get(&self, name: &str) -> Option<&[u8]> {
        self.iter().find(|(n, _)| n.eq_ignore_ascii_case(name.as_bytes())).map(|(_, v)| v.unwrap_or_default())
    }

    /// The value of `name` as a slice of its own; None if it is not there.
    pub fn get_bytes(&self, name: &str) -> Option<Bytes> {
        self.get(name).map(|v| if v.is_empty() { Bytes::new() } else { self.0.slice_ref(v) })
    }

    /// The value of `name` without quotes and escapes, as text; None if it is not there.
    pub fn get_text(&self, name: &str) -> Option<String> {
        self.get(name).map(|v| super::decode_text(&lex::unquote(v)).into_owned())
    }

    /// Whether `name` is there.
    pub fn has(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    /// Sets `name`, at its old place if it had one. A value that is no token is quoted; an empty one makes a flag.
    ///
    /// For the parameters of header fields and for URI parameters whose values are plain; a name that is no token
    /// is not set.
    pub fn set(&mut self, name: &str, value: &str) {
        if !lex::is_token(name.as_bytes()) {
            return;
        }
        let plain = |b: &u8| lex::is_token_byte(*b) || b"[]:".contains(b);
        let value = if value.as_bytes().iter().all(plain) { value.to_owned() } else { lex::quote(value) };
        let mut out = BytesMut::with_capacity(self.0.len() + name.len() + value.len() + 2);
        let mut placed = false;
        let put = |out: &mut BytesMut, name: &[u8], value: Option<&[u8]>| {
            out.put_u8(b';');
            out.put_slice(name);
            if let Some(value) = value {
                out.put_u8(b'=');
                out.put_slice(value);
            }
        };
        let fresh = (!value.is_empty()).then_some(value.as_bytes());
        for (n, v) in self.iter() {
            if !n.eq_ignore_ascii_case(name.as_bytes()) {
                put(&mut out, n, v);
            } else if !placed {
                put(&mut out, n, fresh);
                placed = true;
            }
        }
        if !placed {
            put(&mut out, name.as_bytes(), fresh);
        }
        self.0 = out.freeze();
    }

    /// Takes `name` away.
    pub fn remove(&mut self, name: &str) {
        if !self.has(name) {
            return;
        }
        let mut out = BytesMut::with_capacity(self.0.len());
        for (n, v) in self.iter().filter(|(n, _)| !n.eq_ignore_ascii_case(name.as_bytes())) {
            out.put_u8(b';');
            out.put_slice(n);
            if let Some(v) = v {
                out.put_u8(b'=');
                out.put_slice(v);
            }
        }
        self.0 = out.freeze();
    }
}

/// The parameters behind a header value without white space at their ends; None if they break the grammar.
pub(crate) fn check_header(text: &[u8]) -> Option<&[u8]> {
    let text = lex::trim(text);
    let mut rest = text;
    let mut count = 0;
    while !rest.is_empty() {
        count += 1;
        rest = lex::trim_start(rest.strip_prefix(b";")?);
        let name = lex::span(rest, lex::is_token_byte);
        if name == 0 || count > PARAMS_MAX {
            return None;
        }
        rest = lex::trim_start(&rest[name..]);
        if let Some(after) = rest.strip_prefix(b"=") {
            rest = lex::trim_start(skip_value(lex::trim_start(after))?);
        }
    }
    Some(text)
}

/// Whether `text` is empty or the parameters of a URI: visible characters, each name there, no more than the limit.
pub(crate) fn check_uri(text: &[u8]) -> bool {
    if text.is_empty() {
        return true;
    }
    let mut count = 0;
    let mut before = 0;
    for &byte in text {
        if !lex::is_uri_byte(byte) || before == b';' && (byte == b';' || byte == b'=') {
            return false;
        }
        count += usize::from(byte == b';');
        before = byte;
    }
    text[0] == b';' && before != b';' && count <= PARAMS_MAX
}

/// What follows a parameter's value: a quoted string, or anything but separators.
fn skip_value(text: &[u8]) -> Option<&[u8]> {
    if text.first() == Some(&b'"') {
        return lex::quoted_end(text, 0).map(|end| &text[end..]);
    }
    let end = lex::span(text, lex::is_value_byte);
    (end > 0).then(|| &text[end..])
}
