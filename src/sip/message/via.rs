//! Via (RFC 3261 section 20.42; rport: RFC 3581).

use super::{Defect, Host, Params, Token, lex, params::check_header, uri::take_host_port};
use bytes::{BufMut, Bytes, BytesMut};
use std::{
    fmt,
    net::{IpAddr, SocketAddr},
};

/// The branch prefix of RFC 3261's transactions (section 8.1.1.7).
pub const MAGIC_COOKIE: &str = "z9hG4bK";

/// One Via value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Via {
    /// The transport: `UDP`, `TCP`, `TLS`, `WS`, `WSS` or another token.
    pub transport: Token,
    /// The host of sent-by.
    pub host: Host,
    /// The port of sent-by, if one was written.
    pub port: Option<u16>,
    /// `branch`, `received`, `rport`…
    pub params: Params,
}

impl Via {
    /// A Via for a request of ours, with `rport` asked for; None if `transport` is no token.
    pub fn new(transport: &str, host: Host, port: Option<u16>, branch: &str) -> Option<Via> {
        let mut params = Params::default();
        params.set("branch", branch);
        params.set("rport", "");
        Some(Via { transport: Token::new(transport.to_owned())?, host, port, params })
    }

    /// Parses one value. Errors where it breaks the grammar.
    pub fn parse(value: &Bytes) -> Result<Via, Defect> {
        Via::parse_part(value, value).ok_or(Defect::Header(super::HeaderName::Via))
    }

    /// Parses `part`, which is a slice of `whole`.
    pub(crate) fn parse_part(whole: &Bytes, part: &[u8]) -> Option<Via> {
        let Parts { transport, host, port, params } = split(part)?;
        let params = if params.is_empty() { Bytes::new() } else { whole.slice_ref(params) };
        Some(Via {
            transport: Token::new(whole.slice_ref(transport))?,
            host: Host::checked(whole.slice_ref(host)),
            port,
            params: Params::checked(params),
        })
    }

    /// Whether `part` is a Via value.
    pub(crate) fn check(part: &[u8]) -> bool {
        split(part).is_some()
    }

    /// The `branch` parameter.
    pub fn branch(&self) -> Option<Bytes> {
        self.params.get_bytes("branch").filter(|b| !b.is_empty())
    }

    /// Whether the branch is unique as RFC 3261 section 8.1.1.7 has it: the magic cookie with something behind it.
    pub fn has_magic_cookie(&self) -> bool {
        let cookie = MAGIC_COOKIE.as_bytes();
        self.params
            .get("branch")
            .is_some_and(|b| b.len() > cookie.len() && b[..cookie.len()].eq_ignore_ascii_case(cookie))
    }

    /// The `received` parameter, with or without brackets.
    pub fn received(&self) -> Option<IpAddr> {
        let text = std::str::from_utf8(self.params.get("received")?).ok()?;
        text.strip_prefix('[').and_then(|t| t.strip_suffix(']')).unwrap_or(text).parse().ok()
    }

    /// The `rport` parameter: None if absent, `Some(None)` if asked for and not filled.
    pub fn rport(&self) -> Option<Option<u16>> {
        let value = self.params.get("rport")?;
        Some(lex::number(value, 65535).filter(|&p| p > 0).map(|p| p as u16))
    }

    /// Writes down where the request came from: `received` where sent-by differs or rport is asked for, and `rport`
    /// where it is asked for (RFC 3261 section 18.2.1, RFC 3581 section 4).
    pub fn stamp_source(&mut self, source: SocketAddr) {
        let asked = self.rport().is_some();
        let ip = source.ip().to_canonical();
        if asked || self.host.ip() != Some(ip) {
            self.params.set("received", &ip.to_string());
        }
        if asked {
            self.params.set("rport", &source.port().to_string());
        }
    }

    /// Where a response goes by this Via over datagrams (RFC 3261 section 18.2.2, RFC 3581 section 4): the address
    /// of `received` or sent-by, the port of `rport` or sent-by or `default_port`. None if the host is a name.
    pub fn response_address(&self, default_port: u16) -> Option<SocketAddr> {
        let ip = self.received().or_else(|| self.host.ip())?;
        let port = self.rport().flatten().or(self.port).unwrap_or(default_port);
        Some(SocketAddr::new(ip, port))
    }

    /// Appends the value to `out`.
    pub fn write_to(&self, out: &mut impl BufMut) {
        out.put_slice(b"SIP/2.0/");
        out.put_slice(&self.transport);
        out.put_u8(b' ');
        out.put_slice(self.host.as_str().as_bytes());
        if let Some(port) = self.port {
            out.put_u8(b':');
            out.put_slice(port.to_string().as_bytes());
        }
        out.put_slice(self.params.as_bytes());
    }
}

/// A value's parts as slices of its text.
struct Parts<'a> {
    transport: &'a [u8],
    host: &'a [u8],
    port: Option<u16>,
    params: &'a [u8],
}

/// Takes a value apart. White space may stand round each slash.
fn split(part: &[u8]) -> Option<Parts<'_>> {
    let mut text = part;
    // protocol-name and protocol-version
    for _ in 0..2 {
        text = lex::trim_start(text);
        let len = lex::span(text, lex::is_token_byte);
        if len == 0 {
            return None;
        }
        text = lex::trim_start(&text[len..]).strip_prefix(b"/")?;
    }
    text = lex::trim_start(text);
    let (transport, rest) = text.split_at(lex::span(text, lex::is_token_byte));
    let sent_by = lex::trim_start(rest);
    if transport.is_empty() || sent_by.len() == rest.len() {
        return None;
    }
    let (host, port, used) = take_host_port(sent_by, true)?;
    Some(Parts { transport, host, port, params: check_header(&sent_by[used..])? })
}

impl From<&Via> for Bytes {
    fn from(via: &Via) -> Bytes {
        let mut out = BytesMut::with_capacity(96);
        via.write_to(&mut out);
        out.freeze()
    }
}

impl From<Via> for Bytes {
    fn from(via: Via) -> Bytes {
        (&via).into()
    }
}

impl fmt::Display for Via {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&String::from_utf8_lossy(&Bytes::from(self)))
    }
}
