//! URIs: `sip:` and `sips:` (RFC 3261 section 19.1), `tel:` (RFC 3966), any other kept opaque.

use super::{Defect, Params, lex, params::check_uri};
use bytes::{BufMut, Bytes, BytesMut};
use std::{
    borrow::Cow,
    fmt,
    net::{IpAddr, Ipv6Addr},
};

/// A host as written: a name, an IPv4 address or an IPv6 reference in brackets.
#[derive(Clone)]
pub struct Host(Bytes);

impl Host {
    /// Checks a host's characters.
    pub fn new(text: impl Into<Bytes>) -> Option<Host> {
        let text = text.into();
        let valid = Host::check(&text);
        valid.then_some(Host(text))
    }

    fn check(text: &[u8]) -> bool {
        match text.strip_prefix(b"[").and_then(|t| t.strip_suffix(b"]")) {
            Some(inner) => std::str::from_utf8(inner).is_ok_and(|t| t.parse::<Ipv6Addr>().is_ok()),
            None => !text.is_empty() && text.iter().all(|&b| lex::is_host_byte(b)),
        }
    }

    /// A host that was checked before.
    pub(crate) fn checked(text: Bytes) -> Host {
        Host(text)
    }

    /// The host as written.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }

    /// The address, if the host is one and not a name.
    pub fn ip(&self) -> Option<IpAddr> {
        let text = self.as_str();
        text.strip_prefix('[').and_then(|t| t.strip_suffix(']')).unwrap_or(text).parse().ok()
    }
}

impl From<IpAddr> for Host {
    fn from(ip: IpAddr) -> Self {
        Host(match ip {
            IpAddr::V4(ip) => ip.to_string().into(),
            IpAddr::V6(ip) => format!("[{ip}]").into(),
        })
    }
}

impl PartialEq for Host {
    fn eq(&self, other: &Host) -> bool {
        self.0.eq_ignore_ascii_case(&other.0) || self.ip().is_some_and(|ip| other.ip() == Some(ip))
    }
}

impl Eq for Host {}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Cuts `host [":" port]` off the front of `text`: (host, port, what was used). White space round the colon is
/// allowed in Via.
pub(crate) fn take_host_port(text: &[u8], spaces: bool) -> Option<(&[u8], Option<u16>, usize)> {
    let bracketed = text.first() == Some(&b'[');
    let len = if bracketed { memchr::memchr(b']', text)? + 1 } else { lex::span(text, lex::is_host_byte) };
    let host = &text[..len];
    if len == 0 || bracketed && !Host::check(host) {
        return None;
    }
    let blank = |from: usize| if spaces { lex::span(&text[from..], lex::is_space) } else { 0 };
    let mut at = len + blank(len);
    if text.get(at) != Some(&b':') {
        return Some((host, None, len));
    }
    at += 1;
    at += blank(at);
    let digits = lex::span(&text[at..], |b| b.is_ascii_digit());
    let port = lex::number(&text[at..at + digits], 65535).filter(|&p| p > 0)?;
    Some((host, Some(port as u16), at + digits))
}

/// A URI's parts as slices of its text: what checking needs, without a share of the buffer for each.
pub(crate) enum UriParts<'a> {
    Sip {
        secure: bool,
        user: Option<&'a [u8]>,
        password: Option<&'a [u8]>,
        host: &'a [u8],
        port: Option<u16>,
        params: &'a [u8],
        headers: Option<&'a [u8]>,
    },
    Tel {
        number: &'a [u8],
        params: &'a [u8],
    },
    Other(&'a [u8]),
}

impl<'a> UriParts<'a> {
    /// Takes a whole URI without angle brackets apart.
    pub(crate) fn of(text: &'a [u8]) -> Option<UriParts<'a>> {
        let colon = memchr::memchr(b':', text)?;
        let (scheme, rest) = (&text[..colon], &text[colon + 1..]);
        if scheme.eq_ignore_ascii_case(b"sip") {
            UriParts::sip(rest, false)
        } else if scheme.eq_ignore_ascii_case(b"sips") {
            UriParts::sip(rest, true)
        } else if scheme.eq_ignore_ascii_case(b"tel") {
            UriParts::tel(rest)
        } else {
            let first = scheme.first().is_some_and(u8::is_ascii_alphabetic);
            let named = scheme.iter().all(|&b| b.is_ascii_alphanumeric() || b"+-.".contains(&b));
            let plain = rest.iter().all(|&b| lex::is_uri_byte(b) || b == b'@');
            (first && named && plain && !rest.is_empty()).then_some(UriParts::Other(text))
        }
    }

    fn sip(mut text: &'a [u8], secure: bool) -> Option<UriParts<'a>> {
        let (mut user, mut password) = (None, None);
        if let Some(end) = memchr::memchr(b'@', text) {
            let info = &text[..end];
            let colon = memchr::memchr(b':', info);
            let name = &info[..colon.unwrap_or(end)];
            if name.is_empty() || !info.iter().all(|&b| lex::is_uri_byte(b)) {
                return None;
            }
            user = Some(name);
            password = colon.map(|c| &info[c + 1..]);
            text = &text[end + 1..];
        }
        let (host, port, used) = take_host_port(text, false)?;
        let text = &text[used..];
        let mark = memchr::memchr(b'?', text);
        let params = &text[..mark.unwrap_or(text.len())];
        let headers = mark.map(|at| &text[at + 1..]);
        let proper = |h: &[u8]| !h.is_empty() && h.iter().all(|&b| lex::is_uri_byte(b) || b == b'@');
        if !check_uri(params) || headers.is_some_and(|h| !proper(h)) {
            return None;
        }
        Some(UriParts::Sip { secure, user, password, host, port, params, headers })
    }

    fn tel(text: &'a [u8]) -> Option<UriParts<'a>> {
        let end = memchr::memchr(b';', text).unwrap_or(text.len());
        let (number, params) = text.split_at(end);
        let digits = number.strip_prefix(b"+").unwrap_or(number);
        let legal = |b: &u8| b.is_ascii_hexdigit() || b"*#-.()".contains(b);
        if !digits.iter().all(legal) || digits.iter().all(|b| b"-.()".contains(b)) || !check_uri(params) {
            return None;
        }
        Some(UriParts::Tel { number, params })
    }

    /// The parts, each with its share of `whole`, of which they are slices.
    pub(crate) fn own(self, whole: &Bytes) -> Uri {
        let share = |part: &[u8]| if part.is_empty() { Bytes::new() } else { whole.slice_ref(part) };
        match self {
            UriParts::Sip { secure, user, password, host, port, params, headers } => Uri::Sip(SipUri {
                secure,
                user: user.map(share),
                password: password.map(share),
                host: Host::checked(share(host)),
                port,
                params: Params::checked(share(params)),
                headers: headers.map(share),
            }),
            UriParts::Tel { number, params } => {
                Uri::Tel(TelUri { number: share(number), params: Params::checked(share(params)) })
            }
            UriParts::Other(text) => Uri::Other(share(text)),
        }
    }
}

/// A `sip:` or `sips:` URI; its parts are kept as written, escapes included.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SipUri {
    /// `sips:`.
    pub secure: bool,
    /// The user part, or a telephone number; escapes are kept.
    pub user: Option<Bytes>,
    /// The password, if a colon stood in the user information.
    pub password: Option<Bytes>,
    /// A name, an IPv4 address, or an IPv6 address in brackets.
    pub host: Host,
    /// The port, if one was written.
    pub port: Option<u16>,
    /// The URI's parameters.
    pub params: Params,
    /// What follows the question mark.
    pub headers: Option<Bytes>,
}

/// A `tel:` URI.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TelUri {
    /// The number as written, visual separators included.
    pub number: Bytes,
    /// The URI's parameters (`ext`, `isub`, `phone-context`…).
    pub params: Params,
}

/// A URI.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Uri {
    /// `sip:` or `sips:`.
    Sip(SipUri),
    /// `tel:` (RFC 3966).
    Tel(TelUri),
    /// A URI of another scheme, as written.
    Other(Bytes),
}

impl Uri {
    /// Parses a whole URI without angle brackets. Errors where it breaks the grammar.
    pub fn parse(text: impl Into<Bytes>) -> Result<Uri, Defect> {
        let text = text.into();
        let parts = UriParts::of(&text).ok_or(Defect::Uri)?;
        Ok(parts.own(&text))
    }

    /// The SIP URI, if it is one.
    pub fn as_sip(&self) -> Option<&SipUri> {
        match self {
            Uri::Sip(uri) => Some(uri),
            _ => None,
        }
    }

    /// The user part with escapes resolved, or the telephone number without separators.
    pub fn user(&self) -> Option<Cow<'_, str>> {
        match self {
            Uri::Sip(uri) => uri.user.as_ref().map(|u| super::decode_text_owned(unescape(u))),
            Uri::Tel(tel) => Some(Cow::Owned(tel.normalized())),
            Uri::Other(_) => None,
        }
    }

    /// Whether both name the same resource (RFC 3261 section 19.1.4; RFC 3966 section 4).
    pub fn equivalent(&self, other: &Uri) -> bool {
        match (self, other) {
            (Uri::Sip(a), Uri::Sip(b)) => a.equivalent(b),
            (Uri::Tel(a), Uri::Tel(b)) => a.equivalent(b),
            (Uri::Other(a), Uri::Other(b)) => a == b,
            _ => false,
        }
    }

    /// Appends the URI to `out`.
    pub fn write_to(&self, out: &mut impl BufMut) {
        match self {
            Uri::Sip(uri) => uri.write_to(out),
            Uri::Tel(tel) => {
                out.put_slice(b"tel:");
                out.put_slice(&tel.number);
                out.put_slice(tel.params.as_bytes());
            }
            Uri::Other(text) => out.put_slice(text),
        }
    }

    /// The URI as bytes.
    pub fn to_bytes(&self) -> Bytes {
        let mut out = BytesMut::with_capacity(64);
        self.write_to(&mut out);
        out.freeze()
    }
}

impl std::str::FromStr for Uri {
    type Err = Defect;
    fn from_str(text: &str) -> Result<Uri, Defect> {
        Uri::parse(Bytes::copy_from_slice(text.as_bytes()))
    }
}

impl fmt::Display for Uri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&String::from_utf8_lossy(&self.to_bytes()))
    }
}

impl From<SipUri> for Uri {
    fn from(uri: SipUri) -> Uri {
        Uri::Sip(uri)
    }
}

impl SipUri {
    /// A URI of a user (escaped where needed) at a host.
    pub fn new(user: Option<&str>, host: Host, port: Option<u16>) -> SipUri {
        let user = user.filter(|u| !u.is_empty()).map(|u| escape_user(u).into());
        SipUri { secure: false, user, password: None, host, port, params: Params::default(), headers: None }
    }

    fn write_to(&self, out: &mut impl BufMut) {
        out.put_slice(if self.secure { b"sips:" } else { b"sip:" });
        if let Some(user) = &self.user {
            out.put_slice(user);
            if let Some(password) = &self.password {
                out.put_u8(b':');
                out.put_slice(password);
            }
            out.put_u8(b'@');
        }
        out.put_slice(self.host.as_str().as_bytes());
        if let Some(port) = self.port {
            out.put_u8(b':');
            out.put_slice(port.to_string().as_bytes());
        }
        out.put_slice(self.params.as_bytes());
        if let Some(headers) = &self.headers {
            out.put_u8(b'?');
            out.put_slice(headers);
        }
    }

    /// Whether the `lr` parameter marks a loose router (RFC 3261 section 19.1.1).
    pub fn is_loose_router(&self) -> bool {
        self.params.has("lr")
    }

    fn equivalent(&self, other: &SipUri) -> bool {
        let same = |a: &Option<Bytes>, b: &Option<Bytes>| match (a, b) {
            (Some(a), Some(b)) => unescape(a) == unescape(b),
            (None, None) => true,
            _ => false,
        };
        self.secure == other.secure
            && same(&self.user, &other.user)
            && same(&self.password, &other.password)
            && self.host == other.host
            && self.port == other.port
            && same_params(&self.params, &other.params)
            && same_headers(self.headers.as_deref(), other.headers.as_deref())
    }
}

/// RFC 3261 section 19.1.4: a parameter that both have must agree; user, ttl, method, maddr and transport must be in
/// both or neither.
fn same_params(a: &Params, b: &Params) -> bool {
    const BINDING: [&str; 5] = ["user", "ttl", "method", "maddr", "transport"];
    // Of a name that is there twice, which the grammar forbids, the first one counts.
    let value = |params: &Params, name: &[u8]| {
        let mut all = params.iter().filter(|(n, _)| unescape(n).eq_ignore_ascii_case(name));
        all.next().map(|(_, value)| unescape(value.unwrap_or_default()).to_ascii_lowercase())
    };
    let covers = |a: &Params, b: &Params| {
        a.iter().all(|(name, _)| {
            let name = unescape(name);
            match value(b, &name) {
                Some(other) => value(a, &name).is_some_and(|own| own == other),
                None => !BINDING.iter().any(|k| k.as_bytes().eq_ignore_ascii_case(&name)),
            }
        })
    };
    covers(a, b) && covers(b, a)
}

fn same_headers(a: Option<&[u8]>, b: Option<&[u8]>) -> bool {
    let parts = |text: Option<&[u8]>| {
        let mut list: Vec<Vec<u8>> = Vec::new();
        for part in text.unwrap_or_default().split(|&b| b == b'&').filter(|p| !p.is_empty()) {
            let at = memchr::memchr(b'=', part).unwrap_or(part.len());
            let mut one = unescape(&part[..at]).to_ascii_lowercase();
            one.extend_from_slice(&unescape(&part[at..]));
            list.push(one);
        }
        list.sort();
        list
    };
    parts(a) == parts(b)
}

impl TelUri {
    /// The number without visual separators; a global one keeps its `+`.
    pub fn normalized(&self) -> String {
        self.number.iter().filter(|b| !b"-.()".contains(b)).map(|&b| b.to_ascii_uppercase() as char).collect()
    }

    /// Whether the number is global, that is begins with `+`.
    pub fn is_global(&self) -> bool {
        self.number.starts_with(b"+")
    }

    fn equivalent(&self, other: &TelUri) -> bool {
        let strip =
            |v: &[u8]| -> Vec<u8> { v.iter().filter(|b| !b"-.()".contains(b)).map(u8::to_ascii_lowercase).collect() };
        let covers = |a: &Params, b: &Params| {
            a.iter().all(|(name, value)| {
                b.iter().any(|(n, v)| {
                    n.eq_ignore_ascii_case(name) && strip(v.unwrap_or_default()) == strip(value.unwrap_or_default())
                })
            })
        };
        self.normalized() == other.normalized()
            && covers(&self.params, &other.params)
            && covers(&other.params, &self.params)
    }
}

/// `text` with `%` escapes resolved; a broken escape stays as it is.
pub fn unescape(text: &[u8]) -> Cow<'_, [u8]> {
    if memchr::memchr(b'%', text).is_none() {
        return Cow::Borrowed(text);
    }
    let hex = |b: u8| (b as char).to_digit(16);
    let mut out = Vec::with_capacity(text.len());
    let mut i = 0;
    while i < text.len() {
        let pair = (text[i] == b'%').then(|| Some((hex(*text.get(i + 1)?)?, hex(*text.get(i + 2)?)?))).flatten();
        match pair {
            Some((high, low)) => {
                out.push((high << 4 | low) as u8);
                i += 3;
            }
            None => {
                out.push(text[i]);
                i += 1;
            }
        }
    }
    Cow::Owned(out)
}

/// `text` with every byte escaped that may not stand in a user part.
pub fn escape_user(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for &b in text.as_bytes() {
        if b.is_ascii_alphanumeric() || b"-_.!~*'()&=+$,;?/".contains(&b) {
            out.push(b as char);
        } else {
            out.push_str(&format!("%{b:02X}"));
        }
    }
    out
}
