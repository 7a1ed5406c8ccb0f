//! Text in header fields: reading names of unknown encoding, writing text that cannot break a header.

use bytes::Bytes;
use std::borrow::Cow;

/// Bytes as text: UTF-8 where they are valid, else GB18030 (which holds GBK); what fits neither is replaced.
pub fn decode_text(bytes: &[u8]) -> Cow<'_, str> {
    match std::str::from_utf8(bytes) {
        Ok(text) => Cow::Borrowed(text),
        Err(_) => encoding_rs::GB18030.decode_without_bom_handling(bytes).0,
    }
}

pub(crate) fn decode_text_owned(bytes: Cow<'_, [u8]>) -> Cow<'_, str> {
    match bytes {
        Cow::Borrowed(bytes) => decode_text(bytes),
        Cow::Owned(bytes) => Cow::Owned(decode_text(&bytes).into_owned()),
    }
}

/// `value` with CR, LF and NUL made into spaces and trimmed, so that it cannot end its header line.
///
/// NUL is legal as the second half of a quoted pair alone, which nothing here writes.
pub(crate) fn clean(value: Bytes) -> Bytes {
    let value = match memchr::memchr3(b'\r', b'\n', 0, &value) {
        None => value,
        Some(_) => {
            value.iter().map(|&b| if matches!(b, b'\r' | b'\n' | 0) { b' ' } else { b }).collect::<Vec<u8>>().into()
        }
    };
    let trimmed = super::lex::trim(&value);
    if trimmed.len() == value.len() { value } else { value.slice_ref(trimmed) }
}
