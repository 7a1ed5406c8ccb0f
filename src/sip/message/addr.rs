//! `name-addr` and `addr-spec` values: From, To, Contact, Route and their kin (RFC 3261 section 20.10).

use super::{Defect, Params, Uri, decode_text, lex, params::check_header, uri::UriParts};
use bytes::{BufMut, Bytes, BytesMut};
use std::fmt;

/// A display name, a URI and parameters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NameAddr {
    /// The display name as written, quotes included; empty if there is none.
    pub display: Bytes,
    /// The URI.
    pub uri: Uri,
    /// The parameters behind the URI, such as `tag` and `expires`.
    pub params: Params,
}

impl NameAddr {
    /// An address without name and parameters.
    pub fn new(uri: Uri) -> NameAddr {
        NameAddr { display: Bytes::new(), uri, params: Params::default() }
    }

    /// Parses one value. Errors where it breaks the grammar.
    pub fn parse(value: &Bytes) -> Result<NameAddr, Defect> {
        NameAddr::parse_part(value, value).ok_or(Defect::Uri)
    }

    /// Parses `part`, which is a slice of `whole`.
    pub(crate) fn parse_part(whole: &Bytes, part: &[u8]) -> Option<NameAddr> {
        let (display, uri, params) = split(part)?;
        let share = |part: &[u8]| if part.is_empty() { Bytes::new() } else { whole.slice_ref(part) };
        Some(NameAddr { display: share(display), uri: uri.own(whole), params: Params::checked(share(params)) })
    }

    /// Whether `part` is an address.
    pub(crate) fn check(part: &[u8]) -> bool {
        split(part).is_some()
    }

    /// The display name without quotes and escapes, decoded; None if there is none.
    pub fn display_name(&self) -> Option<String> {
        (!self.display.is_empty()).then(|| decode_text(&lex::unquote(&self.display)).into_owned())
    }

    /// The same address with this display name, quoted.
    pub fn with_display(mut self, name: &str) -> NameAddr {
        self.display = if name.is_empty() { Bytes::new() } else { lex::quote(name).into() };
        self
    }

    /// The same address with this tag.
    pub fn with_tag(mut self, tag: &str) -> NameAddr {
        self.params.set("tag", tag);
        self
    }

    /// The `tag` parameter.
    pub fn tag(&self) -> Option<Bytes> {
        self.params.get_bytes("tag").filter(|t| !t.is_empty())
    }

    /// The `q` parameter in thousandths; 1000 if it is absent or malformed.
    pub fn q(&self) -> u16 {
        self.params.get("q").and_then(parse_q).unwrap_or(1000)
    }

    /// The `expires` parameter in seconds; a malformed one counts as 3600 (RFC 3261 section 20.10).
    pub fn expires(&self) -> Option<u32> {
        self.params.get("expires").map(|v| lex::seconds(v).unwrap_or(3600))
    }

    /// Appends the value to `out`; the URI always stands in brackets.
    pub fn write_to(&self, out: &mut impl BufMut) {
        if !self.display.is_empty() {
            out.put_slice(&self.display);
            out.put_u8(b' ');
        }
        out.put_u8(b'<');
        self.uri.write_to(out);
        out.put_u8(b'>');
        out.put_slice(self.params.as_bytes());
    }
}

impl From<&NameAddr> for Bytes {
    fn from(addr: &NameAddr) -> Bytes {
        let mut out = BytesMut::with_capacity(96);
        addr.write_to(&mut out);
        out.freeze()
    }
}

impl From<NameAddr> for Bytes {
    fn from(addr: NameAddr) -> Bytes {
        (&addr).into()
    }
}

impl fmt::Display for NameAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&decode_text(&Bytes::from(self)))
    }
}

/// Takes an address apart: display name, URI, parameters.
fn split(part: &[u8]) -> Option<(&[u8], UriParts<'_>, &[u8])> {
    let part = lex::trim(part);
    let name_end = match part.first()? {
        b'"' => lex::quoted_end(part, 0)?,
        _ => 0,
    };
    if let Some(open) = memchr::memchr(b'<', &part[name_end..]).map(|i| i + name_end) {
        let display = lex::trim(&part[..open]);
        if name_end > 0 && display.len() != name_end || name_end == 0 && !display.iter().all(|&b| name_byte(b)) {
            return None;
        }
        let close = memchr::memchr(b'>', &part[open..]).map(|i| i + open)?;
        return Some((display, UriParts::of(&part[open + 1..close])?, check_header(&part[close + 1..])?));
    }
    if name_end > 0 {
        return None;
    }
    // Without brackets what follows a semicolon belongs to the header, and neither comma nor question mark may stand
    // in the URI (RFC 3261 section 20).
    let end = memchr::memchr(b';', part).unwrap_or(part.len());
    let spec = lex::trim_end(&part[..end]);
    if memchr::memchr2(b'?', b',', spec).is_some() {
        return None;
    }
    Some((&[], UriParts::of(spec)?, check_header(&part[end..])?))
}

/// What may stand in a display name without quotes: tokens, white space, and characters of a national encoding.
fn name_byte(b: u8) -> bool {
    lex::is_token_byte(b) || lex::is_space(b) || b >= 0x80
}

/// `qvalue`: 0 to 1 with at most three decimals, in thousandths.
fn parse_q(text: &[u8]) -> Option<u16> {
    let (whole, part) = match memchr::memchr(b'.', text) {
        Some(dot) => (&text[..dot], &text[dot + 1..]),
        None => (text, &[][..]),
    };
    if part.len() > 3 || !part.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let mut value = lex::number(whole, 1)? as u16 * 1000;
    for (i, digit) in part.iter().enumerate() {
        value += u16::from(digit - b'0') * [100, 10, 1][i];
    }
    (value <= 1000).then_some(value)
}

/// The values of Contact.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Contacts {
    /// `*`: all bindings (RFC 3261 section 10.2.2).
    Star,
    /// Addresses in their order, one or more in a well-formed message.
    List(Vec<NameAddr>),
}
