//! The session description in a message's body: alone, or a part of a multipart body (RFC 5621).

use crate::sip::message::{ContentType, HeaderName, Headers};
use bytes::Bytes;

/// A body that must be understood and is not: answered 415.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Unsupported {
    /// Its type; answered with Accept.
    Type,
    /// Its Content-Encoding; answered with Accept-Encoding.
    Encoding,
}

impl Unsupported {
    /// Names what would have been understood (section 8.2.3).
    pub(super) fn put_accepted(&self, headers: &mut Headers) {
        match self {
            Unsupported::Type => headers.push(HeaderName::Accept, &b"application/sdp"[..]),
            Unsupported::Encoding => headers.push(HeaderName::AcceptEncoding, &b"identity"[..]),
        }
    }
}

/// How deep multipart bodies may nest.
const DEPTH: u8 = 3;
/// How many parts of one are looked at.
const MOST_PARTS: usize = 16;

/// The SDP in a body; None where the body is empty or need not be understood.
pub(super) fn session_description(headers: &Headers, body: &Bytes) -> Result<Option<Bytes>, Unsupported> {
    if body.is_empty() {
        return Ok(None);
    }
    let encoded = headers.get(&HeaderName::ContentEncoding).is_some_and(|value| !is(value, "identity"));
    let optional = headers.get(&HeaderName::ContentDisposition).is_some_and(|value| is_optional(value));
    let kind = headers.content_type().ok().flatten();
    let found = match kind {
        _ if encoded => Err(Unsupported::Encoding),
        Some(kind) => in_body(&kind, body, DEPTH),
        // Content-Type is mandatory (RFC 3261 section 20.15), but what begins so can be nothing else.
        None if body.starts_with(b"v=0") => Ok(Some(body.clone())),
        None => Err(Unsupported::Type),
    };
    if optional && found.is_err() { Ok(None) } else { found }
}

fn in_body(kind: &ContentType, body: &Bytes, depth: u8) -> Result<Option<Bytes>, Unsupported> {
    if kind.is("application", "sdp") {
        return Ok(Some(body.clone()));
    }
    if !kind.kind.eq_ignore_ascii_case(b"multipart") || depth == 0 {
        return Err(Unsupported::Type);
    }
    let boundary = kind.params.get_text("boundary").filter(|boundary| !boundary.is_empty()).ok_or(Unsupported::Type)?;
    let mut understood = true;
    for part in parts(body, boundary.as_bytes()) {
        match in_part(&part, depth - 1) {
            Ok(Some(sdp)) => return Ok(Some(sdp)),
            Ok(None) => {}
            Err(_) => understood = false,
        }
    }
    if understood { Ok(None) } else { Err(Unsupported::Type) }
}

fn in_part(part: &Bytes, depth: u8) -> Result<Option<Bytes>, Unsupported> {
    let (head, body) = match memchr::memmem::find(part, b"\r\n\r\n") {
        _ if part.starts_with(b"\r\n") => (&part[..0], part.slice(2..)),
        Some(end) => (&part[..end], part.slice(end + 4..)),
        None => return Err(Unsupported::Type),
    };
    let field = |name: &str| {
        head.split(|byte| *byte == b'\n').find_map(|line| {
            let colon = memchr::memchr(b':', line)?;
            is(&line[..colon], name).then(|| Bytes::copy_from_slice(line[colon + 1..].trim_ascii()))
        })
    };
    if field("Content-Disposition").is_some_and(|value| is_optional(&value)) {
        return Ok(None);
    }
    let kind = field("Content-Type").and_then(|value| ContentType::parse(&value)).ok_or(Unsupported::Type)?;
    in_body(&kind, &body, depth)
}

/// The parts between `--boundary` lines; the line end before such a line belongs to it.
fn parts<'a>(body: &'a Bytes, boundary: &[u8]) -> impl Iterator<Item = Bytes> + 'a {
    let mut delimiter = b"--".to_vec();
    delimiter.extend_from_slice(boundary);
    let finder = memchr::memmem::Finder::new(&delimiter).into_owned();
    let mut at = finder.find(body).map(|start| start + delimiter.len());
    std::iter::from_fn(move || {
        let after = at?;
        let line_end = after + memchr::memchr(b'\n', &body[after..])?;
        if body[after..line_end].starts_with(b"--") {
            return None;
        }
        let begin = line_end + 1;
        let end = finder.find(&body[begin..]).map(|found| begin + found);
        at = end.map(|end| end + delimiter.len());
        let part = &body[begin..end?];
        let part = part.strip_suffix(b"\n").unwrap_or(part);
        Some(body.slice_ref(part.strip_suffix(b"\r").unwrap_or(part)))
    })
    .take(MOST_PARTS)
}

fn is_optional(disposition: &[u8]) -> bool {
    disposition.split(|byte| *byte == b';').any(|param| {
        let compact: Vec<u8> = param.iter().copied().filter(|byte| !byte.is_ascii_whitespace()).collect();
        compact.eq_ignore_ascii_case(b"handling=optional")
    })
}

fn is(value: &[u8], wanted: &str) -> bool {
    value.trim_ascii().eq_ignore_ascii_case(wanted.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find(kind: &str, body: &'static str) -> Result<Option<Bytes>, Unsupported> {
        let mut headers = Headers::new();
        if !kind.is_empty() {
            headers.push(HeaderName::ContentType, kind.to_owned());
        }
        session_description(&headers, &Bytes::from_static(body.as_bytes()))
    }

    fn sdp() -> Result<Option<Bytes>, Unsupported> {
        Ok(Some(Bytes::from_static(b"v=0\r\n")))
    }

    #[test]
    fn a_plain_body_is_taken_by_its_type() {
        assert_eq!(find("application/sdp", "v=0\r\n"), sdp());
        assert_eq!(find("Application/SDP;charset=utf-8", "v=0\r\n"), sdp());
        assert_eq!(find("", "v=0\r\n"), sdp());
        assert_eq!(find("", ""), Ok(None));
        assert_eq!(find("text/plain", "v=0\r\n"), Err(Unsupported::Type));
    }

    #[test]
    fn a_part_of_a_multipart_body_is_found() {
        let body = "preamble\r\n--b\r\nContent-Type: text/plain\r\n\r\nhello\r\n--b\r\n\
            Content-Type: application/sdp\r\n\r\nv=0\r\n\r\n--b--\r\n";
        assert_eq!(find("multipart/mixed;boundary=b", body), sdp());
        assert_eq!(find("multipart/mixed;boundary=\"b\"", body), sdp());
        assert_eq!(find("multipart/mixed;boundary=other", body), Ok(None));
        assert_eq!(find("multipart/mixed", body), Err(Unsupported::Type));
    }

    #[test]
    fn what_is_optional_need_not_be_understood() {
        let mut headers = Headers::new();
        headers.push(HeaderName::ContentType, "text/plain".to_owned());
        headers.push(HeaderName::ContentDisposition, "session; handling = optional".to_owned());
        assert_eq!(session_description(&headers, &Bytes::from_static(b"x")), Ok(None));
        headers.remove(&HeaderName::ContentDisposition);
        headers.push(HeaderName::ContentEncoding, "gzip".to_owned());
        assert_eq!(session_description(&headers, &Bytes::from_static(b"x")), Err(Unsupported::Encoding));
    }

    #[test]
    fn broken_parts_do_not_panic() {
        for body in ["--b", "--b\r\n", "--b\r\n\r\n--b", "--b\r\nContent-Type\r\n\r\n--b--", "--b--", "--b\n--b\n--b\n"]
        {
            let _ = find("multipart/mixed;boundary=b", body);
        }
    }
}
