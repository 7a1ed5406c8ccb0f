//! The parser: one pass over the head, then the checks every element needs.

use super::{
    CSeq, Defect, HeaderName, Headers, Limits, Message, Method, NameAddr, ParseError, Request, Response, Uri, Via, lex,
};
use bytes::Bytes;

/// A start line taken apart.
#[expect(clippy::large_enum_variant, reason = "lives on the stack while one message is parsed")]
enum Start {
    Request { method: Method, uri: Option<Uri>, raw_uri: Bytes },
    Response { status: u16, reason: Bytes },
}

/// A head as far as it could be read.
struct Head {
    headers: Headers,
    content_length: Option<usize>,
    /// Where the body begins.
    end: usize,
    /// The first fault.
    defect: Option<Defect>,
}

impl Message {
    /// Parses one datagram, or one message cut from a stream, with the default limits. Errors with what is wrong and as
    /// much of the message as could be read.
    pub fn parse(bytes: Bytes) -> Result<Message, ParseError> {
        Message::parse_with(bytes, &Limits::default())
    }

    /// Parses one datagram, or one message cut from a stream. Octets beyond Content-Length are left out; without
    /// Content-Length the body is the rest. Errors as [`Message::parse`] does.
    pub fn parse_with(bytes: Bytes, limits: &Limits) -> Result<Message, ParseError> {
        let silent = |defect| ParseError { defect, partial: None };
        let begin = bytes.iter().position(|&b| b != b'\r' && b != b'\n').ok_or(silent(Defect::Empty))?;
        if bytes.len() > limits.message {
            return Err(silent(Defect::TooLarge));
        }
        let line_end = memchr::memchr(b'\n', &bytes[begin..]).map(|i| begin + i).ok_or(silent(Defect::NotSip))?;
        let line = bytes.slice(begin..line_end);
        let mut defect = None;
        let line = match line.strip_suffix(b"\r") {
            Some(text) => line.slice_ref(text),
            None => {
                defect = Some(Defect::LineEnd);
                line
            }
        };
        if line.len() > limits.line {
            return Err(silent(Defect::TooLarge));
        }
        let start = start_line(&line, &mut defect).map_err(silent)?;
        let mut head = read_head(&bytes, line_end + 1, limits);
        head.defect = defect.or(head.defect);
        finish(start, head, &bytes)
    }
}

fn finish(start: Start, mut head: Head, bytes: &Bytes) -> Result<Message, ParseError> {
    let defect = head.defect.take();
    let body = cut_body(&head, bytes);
    match start {
        Start::Request { method, uri, raw_uri } => {
            let fault = defect
                .map_or(Ok(()), Err)
                .and_then(|()| check_common(&head.headers, Some(&method)))
                .and_then(|()| check_request_uri(uri.as_ref()))
                .and(body);
            let uri = uri.unwrap_or(Uri::Other(raw_uri));
            match fault {
                Ok(body) => Ok(Message::Request(Request { method, uri, headers: head.headers, body })),
                Err(defect) => {
                    let answerable = head.headers.has(&HeaderName::Via);
                    let request = Request { method, uri, headers: head.headers, body: Bytes::new() };
                    Err(ParseError { defect, partial: answerable.then(|| Box::new(request)) })
                }
            }
        }
        Start::Response { status, reason } => {
            let fault = defect.map_or(Ok(()), Err).and_then(|()| check_common(&head.headers, None)).and(body);
            match fault {
                Ok(body) => Ok(Message::Response(Response { status, reason, headers: head.headers, body })),
                Err(defect) => Err(ParseError { defect, partial: None }),
            }
        }
    }
}

fn cut_body(head: &Head, bytes: &Bytes) -> Result<Bytes, Defect> {
    let rest = bytes.slice(head.end..);
    match head.content_length {
        None => Ok(rest),
        Some(length) if length <= rest.len() => Ok(rest.slice(..length)),
        Some(_) => Err(Defect::BodyCutShort),
    }
}

/// `Err` where the line is neither a request line nor a status line; lesser faults go to `defect`.
fn start_line(line: &Bytes, defect: &mut Option<Defect>) -> Result<Start, Defect> {
    if line.len() > 4 && line[..4].eq_ignore_ascii_case(b"SIP/") {
        return status_line(line);
    }
    let trimmed = lex::trim_end(line);
    if trimmed.len() != line.len() {
        defect.get_or_insert(Defect::RequestLine);
    }
    let first = memchr::memchr(b' ', trimmed).ok_or(Defect::NotSip)?;
    let last = memchr::memrchr(b' ', trimmed).ok_or(Defect::NotSip)?;
    let method = Method::from_part(line, &trimmed[..first]).ok_or(Defect::NotSip)?;
    let version = &trimmed[last + 1..];
    if version.len() < 5 || !version[..4].eq_ignore_ascii_case(b"SIP/") || last <= first {
        return Err(Defect::NotSip);
    }
    if &version[4..] != b"2.0" {
        defect.get_or_insert(Defect::Version);
    }
    let raw_uri = line.slice(first + 1..last);
    let uri = match Uri::parse(raw_uri.clone()) {
        Ok(uri) => Some(uri),
        Err(fault) => {
            defect.get_or_insert(fault);
            None
        }
    };
    Ok(Start::Request { method, uri, raw_uri })
}

fn status_line(line: &Bytes) -> Result<Start, Defect> {
    if !line[4..].starts_with(b"2.0 ") {
        return Err(Defect::Version);
    }
    let rest = &line[8..];
    let digits = rest.iter().take_while(|b| b.is_ascii_digit()).count();
    let status = lex::number(&rest[..digits], 699).filter(|&n| n >= 100 && digits == 3).ok_or(Defect::StatusLine)?;
    let reason = match rest.get(digits) {
        None => Bytes::new(),
        Some(b' ') => line.slice(8 + digits + 1..),
        Some(_) => return Err(Defect::StatusLine),
    };
    Ok(Start::Response { status: status as u16, reason })
}

/// Reads header lines from `at` to the empty line; goes on behind a fault to save what an answer needs.
fn read_head(bytes: &Bytes, mut at: usize, limits: &Limits) -> Head {
    let mut head = Head { headers: Headers::with_capacity(16), content_length: None, end: bytes.len(), defect: None };
    loop {
        if bytes[at..].starts_with(b"\r\n") {
            head.end = at + 2;
            return head;
        }
        let Some((line, next, folded)) = logical_line(bytes, at) else {
            head.defect.get_or_insert(Defect::LineEnd);
            return head;
        };
        at = next;
        let result = if line.len() > limits.line || head.headers.len() >= limits.headers {
            Err(Defect::TooLarge)
        } else if folded {
            let unfolded = unfold(line);
            header_line(&unfolded, &unfolded, &mut head)
        } else {
            header_line(bytes, line, &mut head)
        };
        if let Err(defect) = result {
            head.defect.get_or_insert(defect);
            if head.headers.len() >= limits.headers {
                return head;
            }
        }
    }
}

/// The header field at `at` with its folded lines: (text without the last CRLF, where the next begins, whether folded).
fn logical_line(bytes: &[u8], at: usize) -> Option<(&[u8], usize, bool)> {
    let mut from = at;
    let mut folded = false;
    loop {
        let end = from + memchr::memchr(b'\n', &bytes[from..])?;
        if matches!(bytes.get(end + 1), Some(b' ' | b'\t')) {
            folded = true;
            from = end + 1;
        } else {
            return Some((bytes[at..end].strip_suffix(b"\r")?, end + 1, folded));
        }
    }
}

/// Each line end with the white space behind it becomes one space (RFC 3261 section 7.3.1).
fn unfold(line: &[u8]) -> Bytes {
    let mut out = Vec::with_capacity(line.len());
    let mut i = 0;
    while i < line.len() {
        if line[i..].starts_with(b"\r\n") {
            i += 2;
            while i < line.len() && lex::is_space(line[i]) {
                i += 1;
            }
            while out.last().is_some_and(|&b| lex::is_space(b)) {
                out.pop();
            }
            out.push(b' ');
        } else {
            out.push(line[i]);
            i += 1;
        }
    }
    out.into()
}

/// Takes one header field; `line` is a slice of `whole`.
fn header_line(whole: &Bytes, line: &[u8], head: &mut Head) -> Result<(), Defect> {
    if memchr::memchr2(b'\r', b'\n', line).is_some() {
        return Err(Defect::LineEnd);
    }
    let (name, rest) = line.split_at(lex::span(line, lex::is_token_byte));
    let value = lex::trim(lex::trim_start(rest).strip_prefix(b":").ok_or(Defect::HeaderLine)?);
    let name = match HeaderName::known(name) {
        Some(HeaderName::ContentLength) => {
            if head.content_length.is_some() {
                return Err(Defect::Repeated(HeaderName::ContentLength));
            }
            let length = lex::number(value, u64::from(u32::MAX)).ok_or(Defect::Header(HeaderName::ContentLength));
            head.content_length = Some(length.as_ref().map_or(0, |&n| n as usize));
            return length.map(|_| ());
        }
        Some(known) => known,
        None => HeaderName::Other(super::Token::new(whole.slice_ref(name)).ok_or(Defect::HeaderLine)?),
    };
    let once = matches!(
        name,
        HeaderName::From | HeaderName::To | HeaderName::CallId | HeaderName::CSeq | HeaderName::MaxForwards
    );
    if once && head.headers.has(&name) {
        return Err(Defect::Repeated(name));
    }
    let value = if value.is_empty() { Bytes::new() } else { whole.slice_ref(value) };
    head.headers.push_checked(name, value);
    Ok(())
}

/// RFC 3261 section 8.1.1: what every message must have, and the syntax of what every element reads.
fn check_common(headers: &Headers, method: Option<&Method>) -> Result<(), Defect> {
    let mut seen = [false; 5];
    let require = |ok: bool, name: &HeaderName| if ok { Ok(()) } else { Err(Defect::Header(name.clone())) };
    for header in headers.iter() {
        let (name, value) = (&header.name, &header.value);
        match name {
            HeaderName::Via => {
                seen[0] = true;
                require(list(value, Via::check), name)?;
            }
            HeaderName::From => {
                seen[1] = true;
                require(NameAddr::check(value), name)?;
            }
            HeaderName::To => {
                seen[2] = true;
                require(NameAddr::check(value), name)?;
            }
            HeaderName::CallId => {
                seen[3] = true;
                require(!value.is_empty() && value.iter().all(|&b| b > b' ' && b != 0x7F), name)?;
            }
            HeaderName::CSeq => {
                seen[4] = true;
                let (_, named) = CSeq::split(value).ok_or(Defect::Header(HeaderName::CSeq))?;
                // With an unknown method the endpoint's 501 or 405 tells the peer more (RFC 4475 section 3.1.2.18).
                if method.is_some_and(|m| m.as_str().as_bytes() != named && !matches!(m, Method::Other(_))) {
                    return Err(Defect::MethodMismatch);
                }
            }
            HeaderName::MaxForwards => require(lex::number(value, 255).is_some(), name)?,
            HeaderName::Contact if &value[..] == b"*" => {}
            HeaderName::Contact | HeaderName::Route | HeaderName::RecordRoute => {
                require(list(value, NameAddr::check), name)?;
            }
            _ => {}
        }
    }
    let names = [HeaderName::Via, HeaderName::From, HeaderName::To, HeaderName::CallId, HeaderName::CSeq];
    match names.into_iter().zip(seen).find(|(_, seen)| !seen) {
        Some((name, _)) => Err(Defect::Missing(name)),
        None => Ok(()),
    }
}

/// Whether all items of a comma-separated value pass; an empty value or item does not.
fn list(value: &Bytes, check: impl Fn(&[u8]) -> bool) -> bool {
    lex::Commas::new(value).all(|item| item.is_ok_and(&check))
}

/// RFC 3261 section 19.1.1: a Request-URI has no headers; section 8.2.2.1: an unknown scheme is answered 416.
fn check_request_uri(uri: Option<&Uri>) -> Result<(), Defect> {
    match uri {
        Some(Uri::Sip(uri)) if uri.headers.is_some() => Err(Defect::Uri),
        Some(Uri::Sip(_) | Uri::Tel(_)) => Ok(()),
        Some(Uri::Other(_)) => Err(Defect::Scheme),
        None => Err(Defect::Uri),
    }
}
