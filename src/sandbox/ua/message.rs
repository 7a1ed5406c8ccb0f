//! Building and reading SIP messages with `rsip`, and ways round what it cannot do.
//!
//! `rsip` 0.4 knows no compact names and no folded lines, fails on quoted commas in Contact and on nonce counts above
//! 255. So folded lines are joined before it reads, headers are looked up by either name, and the values that it would
//! misread (name-addr, Via, credentials) are taken apart here as text.

use rsip::{Header, Headers, Method, Request, Response, SipMessage, StatusCode, Uri, Version, headers::*};
use std::net::SocketAddr;

/// Reads one message; None when `rsip` cannot make sense of it. The body is cut to Content-Length.
pub fn parse(bytes: &[u8]) -> Option<SipMessage> {
    let head = bytes.windows(4).position(|w| w == b"\r\n\r\n")?;
    let mut joined = Vec::with_capacity(bytes.len());
    let mut rest = bytes.get(..head)?;
    while let Some(end) = rest.windows(3).position(|w| matches!(w, b"\r\n " | b"\r\n\t")) {
        joined.extend(rest.get(..end)?);
        joined.push(b' ');
        rest = rest.get(end + 3..)?.trim_ascii_start();
    }
    joined.extend(rest);
    joined.extend(bytes.get(head..)?);
    let mut message = SipMessage::try_from(joined).ok()?;
    let headers = match &message {
        SipMessage::Request(request) => &request.headers,
        SipMessage::Response(response) => &response.headers,
    };
    if let Some(length) = value(headers, "Content-Length").and_then(|v| v.trim().parse::<usize>().ok()) {
        message.body_mut().truncate(length);
    }
    Some(message)
}

/// A header by its full name, as `rsip`'s own variant where it has one that we use.
pub fn header(name: &str, value: impl Into<String>) -> Header {
    let value = value.into();
    match name {
        "Via" => Via::new(value).into(),
        "From" => From::new(value).into(),
        "To" => To::new(value).into(),
        "Call-ID" => CallId::new(value).into(),
        "CSeq" => CSeq::new(value).into(),
        "Contact" => Contact::new(value).into(),
        "Route" => Route::new(value).into(),
        "Record-Route" => RecordRoute::new(value).into(),
        "Max-Forwards" => MaxForwards::new(value).into(),
        "Expires" => Expires::new(value).into(),
        "Allow" => Allow::new(value).into(),
        "Supported" => Supported::new(value).into(),
        "Unsupported" => Unsupported::new(value).into(),
        "User-Agent" => UserAgent::new(value).into(),
        "Content-Type" => ContentType::new(value).into(),
        "Content-Length" => ContentLength::new(value).into(),
        "Authorization" => Authorization::new(value).into(),
        "Proxy-Authorization" => ProxyAuthorization::new(value).into(),
        "WWW-Authenticate" => WwwAuthenticate::new(value).into(),
        _ => Header::Other(name.to_owned(), value),
    }
}

/// All values of a header, by its full or its compact name, in their order.
pub fn values(headers: &Headers, name: &str) -> Vec<String> {
    let compact = match name {
        "Via" => "v",
        "From" => "f",
        "To" => "t",
        "Call-ID" => "i",
        "Contact" => "m",
        "Content-Type" => "c",
        "Content-Length" => "l",
        "Supported" => "k",
        "Refer-To" => "r",
        "Referred-By" => "b",
        "Session-Expires" => "x",
        _ => name,
    };
    let wanted = |text: String| {
        let (found, value) = text.split_once(':')?;
        let found = found.trim();
        (found.eq_ignore_ascii_case(name) || found.eq_ignore_ascii_case(compact)).then(|| value.trim().to_owned())
    };
    headers.iter().filter_map(|h| wanted(h.to_string())).collect()
}

/// The first value of a header.
pub fn value(headers: &Headers, name: &str) -> Option<String> {
    values(headers, name).into_iter().next()
}

/// Splits a list at the commas that stand outside quotes and angle brackets.
pub fn split_list(text: &str) -> Vec<String> {
    let (mut parts, mut part, mut quoted, mut escaped, mut depth) = (Vec::new(), String::new(), false, false, 0u32);
    for c in text.chars() {
        match c {
            '"' if !escaped => quoted = !quoted,
            '<' if !quoted => depth += 1,
            '>' if !quoted => depth = depth.saturating_sub(1),
            ',' if !quoted && depth == 0 => {
                parts.push(std::mem::take(&mut part).trim().to_owned());
                continue;
            }
            _ => {}
        }
        escaped = quoted && c == '\\' && !escaped;
        part.push(c);
    }
    parts.push(part.trim().to_owned());
    parts.retain(|p| !p.is_empty());
    parts
}

/// All values of a header whose values may also be listed in one line, such as Record-Route.
pub fn listed(headers: &Headers, name: &str) -> Vec<String> {
    values(headers, name).iter().flat_map(|v| split_list(v)).collect()
}

/// Where the parameters of a name-addr begin, and its URI.
fn name_addr(value: &str) -> (&str, &str) {
    let mut quoted = false;
    let open = value.char_indices().find(|(at, c)| {
        if *c == '"' && !value[..*at].ends_with('\\') {
            quoted = !quoted;
        }
        *c == '<' && !quoted
    });
    match open {
        Some((open, _)) => {
            let rest = &value[open + 1..];
            let end = rest.find('>').unwrap_or(rest.len());
            (&rest[..end], rest.get(end + 1..).unwrap_or_default())
        }
        None => {
            let end = value.find(';').unwrap_or(value.len());
            (value[..end].trim(), &value[end..])
        }
    }
}

/// The URI within a From, To, Contact, Route or Record-Route value.
pub fn uri_of(value: &str) -> &str {
    name_addr(value).0
}

/// The user part of the URI within a value.
pub fn user_of(value: &str) -> &str {
    let uri = uri_of(value);
    let rest = uri.split_once(':').map_or(uri, |(_, rest)| rest);
    rest.split_once('@').map_or("", |(user, _)| user.split([';', ':']).next().unwrap_or(user))
}

/// The tag of a From or To value.
pub fn tag_of(value: &str) -> Option<&str> {
    parameter(name_addr(value).1, "tag")
}

/// One parameter of `;name=value;…`; an empty text for one without a value.
pub fn parameter<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    text.split(';').skip(1).find_map(|part| {
        let (found, value) = part.split_once('=').unwrap_or((part, ""));
        found.trim().eq_ignore_ascii_case(name).then(|| value.trim())
    })
}

/// Sequence number and method.
pub fn cseq(headers: &Headers) -> Option<(u32, String)> {
    let value = value(headers, "CSeq")?;
    let (number, method) = value.split_once(char::is_whitespace)?;
    Some((number.parse().ok()?, method.trim().to_owned()))
}

/// The branch of the topmost Via and that Via itself.
pub fn top_via(headers: &Headers) -> Option<(String, String)> {
    let via = split_list(&value(headers, "Via")?).into_iter().next()?;
    let branch = parameter(&via, "branch").unwrap_or_default().to_owned();
    Some((branch, via))
}

/// Where the host part of a URI leads: an address, or `localhost`; port 5060 when there is none.
pub fn address_of(uri: &str) -> Option<SocketAddr> {
    let rest = uri.split_once(':')?.1;
    let host = rest.rsplit_once('@').map_or(rest, |(_, host)| host);
    let host = host.split([';', '?']).next()?.replace("localhost", "127.0.0.1");
    host.parse().ok().or_else(|| Some(SocketAddr::new(host.trim_matches(['[', ']']).parse().ok()?, 5060)))
}

/// A request; Content-Length is added last.
pub fn request(method: Method, uri: &str, headers: Vec<Header>, body: String) -> Option<Request> {
    let uri = Uri::try_from(uri).ok()?;
    let mut headers: Headers = headers.into();
    headers.push(header("Content-Length", body.len().to_string()));
    Some(Request { method, uri, version: Version::V2, headers, body: body.into_bytes() })
}

/// A response to a request: Via, From, To, Call-ID, CSeq and, where it makes a dialog, Record-Route are copied.
pub fn response(
    to: &Request,
    source: SocketAddr,
    status: u16,
    tag: &str,
    extra: Vec<Header>,
    body: String,
) -> Response {
    let mut headers = Headers::default();
    for (n, via) in listed(&to.headers, "Via").into_iter().enumerate() {
        headers.push(header("Via", if n == 0 { received(&via, source) } else { via }));
    }
    for name in ["From", "To", "Call-ID", "CSeq"] {
        let mut text = value(&to.headers, name).unwrap_or_default();
        if name == "To" && status > 100 && tag_of(&text).is_none() {
            text += &format!(";tag={tag}");
        }
        headers.push(header(name, text));
    }
    if (101..300).contains(&status) {
        values(&to.headers, "Record-Route").into_iter().for_each(|r| headers.push(header("Record-Route", r)));
    }
    headers.extend(extra);
    headers.push(header("Content-Length", body.len().to_string()));
    let status_code = match (status, StatusCode::from(status)) {
        (_, StatusCode::Other(code, _)) => StatusCode::Other(code, "Sandbox".into()),
        (_, known) => known,
    };
    Response { status_code, version: Version::V2, headers, body: body.into_bytes() }
}

/// Fills in `received` and an empty `rport` (RFC 3261 section 18.2.1, RFC 3581 section 4).
fn received(via: &str, source: SocketAddr) -> String {
    let mut out: Vec<String> = via
        .split(';')
        .map(|part| match part.trim() {
            "rport" => format!("rport={}", source.port()),
            other => other.to_owned(),
        })
        .collect();
    if parameter(via, "rport").is_some() {
        out.push(format!("received={}", source.ip()));
    }
    out.join(";")
}

/// What the beginning of a stream's buffer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Frame {
    /// A message of so many octets.
    Whole(usize),
    /// A part of one.
    More,
    /// Too long, or a length that makes no sense: the connection is of no use any more.
    Broken,
}

/// Finds the end of the first message of a stream by its Content-Length (RFC 3261 section 18.3).
pub fn framed(buffer: &[u8]) -> Frame {
    let Some(head) = buffer.windows(4).position(|w| w == b"\r\n\r\n") else {
        return if buffer.len() > 65_536 { Frame::Broken } else { Frame::More };
    };
    let text = String::from_utf8_lossy(buffer.get(..head).unwrap_or_default());
    let length = text.split("\r\n").find_map(|line| {
        let (name, value) = line.split_once(':')?;
        let name = name.trim();
        (name.eq_ignore_ascii_case("Content-Length") || name.eq_ignore_ascii_case("l")).then(|| value.trim().parse())
    });
    match length.unwrap_or(Ok(0usize)) {
        Ok(body) if body > 131_072 => Frame::Broken,
        Ok(body) if head + 4 + body <= buffer.len() => Frame::Whole(head + 4 + body),
        Ok(_) => Frame::More,
        Err(_) => Frame::Broken,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INVITE: &str = "INVITE sip:12345@127.0.0.1:5060 SIP/2.0\r\nv: SIP/2.0/UDP 127.0.0.1:4000;rport;branch=z9hG4bK1\r\n\
        From: \"a, <b>\" <sip:13900000001@127.0.0.1:4000>\r\n ;tag=x\r\nTo: sip:12345@127.0.0.1;user=phone\r\ni: c1\r\n\
        CSeq: 7 INVITE\r\nRecord-Route: <sip:p1;lr>, <sip:p2;lr>\r\nl: 2\r\n\r\nhixx";

    #[test]
    fn compact_names_and_folded_lines_are_read() {
        let Some(SipMessage::Request(request)) = parse(INVITE.as_bytes()) else { panic!("not read") };
        assert_eq!(request.body, b"hi");
        let from = value(&request.headers, "From").unwrap();
        assert_eq!((uri_of(&from), user_of(&from)), ("sip:13900000001@127.0.0.1:4000", "13900000001"));
        assert_eq!(tag_of(&from), Some("x"));
        assert_eq!(tag_of(&value(&request.headers, "To").unwrap()), None);
        assert_eq!(value(&request.headers, "Call-ID").as_deref(), Some("c1"));
        assert_eq!(cseq(&request.headers), Some((7, "INVITE".into())));
        assert_eq!(top_via(&request.headers).unwrap().0, "z9hG4bK1");
        assert_eq!(listed(&request.headers, "Record-Route"), ["<sip:p1;lr>", "<sip:p2;lr>"]);
    }

    #[test]
    fn a_response_answers_its_request() {
        let Some(SipMessage::Request(request)) = parse(INVITE.as_bytes()) else { panic!("not read") };
        let text = response(&request, "127.0.0.9:77".parse().unwrap(), 200, "t", vec![], String::new()).to_string();
        assert!(text.starts_with("SIP/2.0 200 OK\r\n"), "{text}");
        assert!(text.contains("rport=77") && text.contains("received=127.0.0.9"), "{text}");
        assert!(text.contains("To: sip:12345@127.0.0.1;user=phone;tag=t\r\n"), "{text}");
        let trying = response(&request, "127.0.0.9:77".parse().unwrap(), 100, "t", vec![], String::new()).to_string();
        assert!(!trying.contains("tag=t") && !trying.contains("Record-Route"));
    }

    #[test]
    fn addresses() {
        assert_eq!(address_of("sip:a@127.0.0.1:5070;transport=tcp"), Some("127.0.0.1:5070".parse().unwrap()));
        assert_eq!(address_of("sip:localhost"), Some("127.0.0.1:5060".parse().unwrap()));
        assert_eq!(address_of("sip:a@[::1]:9"), Some("[::1]:9".parse().unwrap()));
        assert_eq!(address_of("tel:110"), None);
    }

    #[test]
    fn streams_are_cut_by_content_length() {
        let two = b"A\r\nContent-Length: 3\r\n\r\nabcB";
        assert_eq!(framed(two), Frame::Whole(27));
        assert_eq!(framed(&two[..26]), Frame::More);
        assert_eq!(framed(b"A\r\nl: -1\r\n\r\n"), Frame::Broken);
        assert_eq!(framed(b"A\r\nl: 999999\r\n\r\n"), Frame::Broken);
    }

    #[test]
    fn nonsense_is_not_read_and_does_no_harm() {
        for bytes in [&b""[..], b"\r\n\r\n", b"INVITE\r\n\r\n", b"\xff\xfe\r\n\r\n", b"SIP/2.0 abc\r\n\r\n"] {
            assert!(parse(bytes).is_none());
        }
        assert_eq!(uri_of("\"<"), "\"<");
        assert_eq!(split_list(",,\"a,b\""), ["\"a,b\""]);
    }
}
