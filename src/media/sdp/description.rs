//! A session description as lines in the order in which they came (RFC 8866 §5).
//!
//! Only what offer/answer works with is taken apart: origin, connections, media lines and attributes. All other lines
//! are kept as they are. Values are bytes, for names in GBK are seen. Lenient where peers are sloppy (bare LF, blank
//! lines, runs of spaces, missing `s=` and `t=`), strict where a guess would be unsafe (NUL, stray CR, bad ports).

use bytes::{BufMut, Bytes, BytesMut};
use std::net::IpAddr;

/// The longest body that is read, in bytes, counted with CRLF line ends.
pub const MAX_BODY: usize = 64 * 1024;
/// The most lines in one body.
pub const MAX_LINES: usize = 2_000;
/// The most media lines in one body.
pub const MAX_MEDIA: usize = 32;
/// The most formats in one media line.
pub const MAX_FORMATS: usize = 64;

/// Why a body is no session description; each is answered 400.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum SdpError {
    /// A bound on what one message can make us read.
    #[error("session description is longer than {MAX_BODY} bytes or {MAX_LINES} lines")]
    TooLong,
    /// A bound on what one message can make us keep.
    #[error(
        "session description has more than {MAX_MEDIA} media lines or a media line more than {MAX_FORMATS} formats"
    )]
    TooMany,
    /// Its first line is something else; it may be no SDP at all.
    #[error("session description does not begin with v=0")]
    NoVersion,
    /// The one session-level line besides `v=` that is not done without.
    #[error("session description has no o= line")]
    NoOrigin,
    /// The number counts from 1, blank lines included.
    #[error("line {0} of the session description is malformed")]
    BadLine(usize),
}

/// A session description (RFC 8866).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sdp {
    /// Its `o=` line.
    pub origin: Origin,
    /// The session-level lines after `v=` and `o=`.
    pub lines: Vec<Line>,
    /// The media lines, whose places an answer must keep (RFC 3264 §6).
    pub media: Vec<Media>,
}

/// Who made the description, and which version of it this is (RFC 8866 §5.2). Kept as text: peers write what they like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// `-` where the peer has none.
    pub username: Bytes,
    /// The same for as long as the session lives.
    pub session_id: Bytes,
    /// Moves up with each change of the description.
    pub version: Bytes,
    /// Network type, address type and address; may be empty with sloppy peers.
    pub address: Bytes,
}

/// One line that is not `v=`, `o=` (session level) or `m=`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Line {
    /// `c=`.
    Connection(Connection),
    /// `a=`.
    Attribute {
        /// What stands before the colon, such as `rtpmap`.
        name: Bytes,
        /// What follows the colon; None for a flag such as `sendrecv`.
        value: Option<Bytes>,
    },
    /// Any other line, such as `s=` or `b=`, also of a kind that nobody has defined.
    Other {
        /// The letter before the equals sign.
        kind: u8,
        /// All that follows it.
        value: Bytes,
    },
}

/// A `c=` line (RFC 8866 §5.7).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Connection {
    /// `IN`.
    pub network: Bytes,
    /// `IP4` or `IP6`.
    pub kind: Bytes,
    /// Where packets are to be sent.
    pub address: Address,
    /// What follows the first slash: a time to live, a number of addresses.
    pub suffix: Option<Bytes>,
}

/// An address, or a name that a resolver has yet to turn into one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// A literal address.
    Ip(IpAddr),
    /// Anything else, as written.
    Host(Bytes),
}

/// A media line and the lines that belong to it (RFC 8866 §5.14).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Media {
    /// `audio`, `video`, `image` …
    pub kind: Bytes,
    /// 0: refused or switched off (RFC 3264 §6).
    pub port: u16,
    /// The number of ports after the slash.
    pub ports: Option<u16>,
    /// `RTP/AVP`, `UDP/TLS/RTP/SAVPF` …
    pub protocol: Bytes,
    /// Payload types for RTP, anything else for others.
    pub formats: Vec<Bytes>,
    /// Its own `c=`, `a=` and other lines.
    pub lines: Vec<Line>,
}

impl Sdp {
    /// Reads a body. Never more than [`MAX_BODY`] bytes are looked at. Errors where it breaks the grammar or a bound.
    pub fn parse(body: &[u8]) -> Result<Sdp, SdpError> {
        if body.len() > MAX_BODY {
            return Err(SdpError::TooLong);
        }
        let body = Bytes::copy_from_slice(body);
        let mut reader = Reader::default();
        let mut printed = 0;
        for (index, raw) in body.split(|&byte| byte == b'\n').enumerate() {
            let raw = trim_line_end(raw);
            printed += raw.len() + 2;
            if index >= MAX_LINES || printed > MAX_BODY + 2 {
                return Err(SdpError::TooLong);
            }
            if !raw.is_empty() {
                reader.line(body.slice_ref(raw), index + 1)?;
            }
        }
        reader.finish()
    }

    /// Writes the body with CRLF line ends.
    pub fn print(&self) -> Bytes {
        let mut out = BytesMut::with_capacity(512);
        let origin = &self.origin;
        out.put_slice(b"v=0\r\n");
        write_words(&mut out, b'o', &[&origin.username, &origin.session_id, &origin.version, &origin.address]);
        self.lines.iter().for_each(|line| line.write(&mut out));
        self.media.iter().for_each(|media| media.write(&mut out));
        out.freeze()
    }

    /// The value of the first session-level attribute of this name.
    pub fn attribute<'a>(&'a self, name: &'a str) -> Option<Option<&'a Bytes>> {
        attributes(&self.lines, name).next()
    }

    /// The session-level `c=`.
    pub fn connection(&self) -> Option<&Connection> {
        connection(&self.lines)
    }

    /// Puts addresses in the place of host names in `c=`, for a shell that has asked its resolver. Names for which
    /// `lookup` has no address stay.
    pub fn resolve(&mut self, lookup: impl Fn(&[u8]) -> Option<IpAddr>) {
        let media = self.media.iter_mut().flat_map(|media| &mut media.lines);
        for line in self.lines.iter_mut().chain(media) {
            if let Line::Connection(connection) = line
                && let Address::Host(host) = &connection.address
                && let Some(ip) = lookup(host)
            {
                connection.kind = Bytes::from_static(if ip.is_ipv4() { b"IP4" } else { b"IP6" });
                connection.address = Address::Ip(ip);
            }
        }
    }

    /// The host names that stand in `c=` lines and need [`Sdp::resolve`].
    pub fn hosts(&self) -> impl Iterator<Item = &Bytes> {
        let media = self.media.iter().flat_map(|media| &media.lines);
        self.lines.iter().chain(media).filter_map(|line| match line {
            Line::Connection(Connection { address: Address::Host(host), .. }) => Some(host),
            Line::Connection(_) | Line::Attribute { .. } | Line::Other { .. } => None,
        })
    }
}

impl Media {
    /// The value of the first attribute of this name; `Some(None)` for a flag.
    pub fn attribute<'a>(&'a self, name: &'a str) -> Option<Option<&'a Bytes>> {
        attributes(&self.lines, name).next()
    }

    /// The values of all attributes of this name.
    pub fn attributes<'a>(&'a self, name: &'a str) -> impl Iterator<Item = Option<&'a Bytes>> {
        attributes(&self.lines, name)
    }

    /// The media-level `c=`.
    pub fn connection(&self) -> Option<&Connection> {
        connection(&self.lines)
    }

    fn read(value: &Bytes, number: usize) -> Result<Media, SdpError> {
        let bad = SdpError::BadLine(number);
        let mut words = words(value);
        let (Some(kind), Some(port), Some(protocol)) = (words.next(), words.next(), words.next()) else {
            return Err(bad);
        };
        let (port, ports) = match port.iter().position(|&byte| byte == b'/') {
            None => (number_in(&port).ok_or(bad)?, None),
            Some(slash) => (number_in(&port[..slash]).ok_or(bad)?, Some(number_in(&port[slash + 1..]).ok_or(bad)?)),
        };
        let formats: Vec<Bytes> = words.take(MAX_FORMATS + 1).collect();
        if formats.len() > MAX_FORMATS {
            return Err(SdpError::TooMany);
        }
        Ok(Media { kind, port, ports, protocol, formats, lines: Vec::new() })
    }

    fn write(&self, out: &mut BytesMut) {
        let mut port = self.port.to_string();
        if let Some(ports) = self.ports {
            port.push('/');
            port.push_str(&ports.to_string());
        }
        let mut words: Vec<&[u8]> = vec![&self.kind, port.as_bytes(), &self.protocol];
        words.extend(self.formats.iter().map(|format| &format[..]));
        write_words(out, b'm', &words);
        self.lines.iter().for_each(|line| line.write(out));
    }
}

impl Line {
    /// A flag such as `a=sendonly`.
    pub fn flag(name: &'static str) -> Line {
        Line::Attribute { name: Bytes::from_static(name.as_bytes()), value: None }
    }

    /// An attribute with a value, such as `a=ptime:20`.
    pub fn attribute(name: &'static str, value: String) -> Line {
        Line::Attribute { name: Bytes::from_static(name.as_bytes()), value: Some(value.into()) }
    }

    fn read(kind: u8, value: Bytes, number: usize) -> Result<Line, SdpError> {
        match kind {
            b'c' => Connection::read(&value).map(Line::Connection).ok_or(SdpError::BadLine(number)),
            b'a' => Ok(match value.iter().position(|&byte| byte == b':') {
                None => Line::Attribute { name: value, value: None },
                Some(colon) => Line::Attribute { name: value.slice(..colon), value: Some(value.slice(colon + 1..)) },
            }),
            _ => Ok(Line::Other { kind, value }),
        }
    }

    fn write(&self, out: &mut BytesMut) {
        match self {
            Line::Connection(connection) => connection.write(out),
            Line::Attribute { name, value } => {
                out.put_slice(b"a=");
                out.put_slice(name);
                if let Some(value) = value {
                    out.put_u8(b':');
                    out.put_slice(value);
                }
                out.put_slice(b"\r\n");
            }
            Line::Other { kind, value } => {
                out.put_slice(&[*kind, b'=']);
                out.put_slice(value);
                out.put_slice(b"\r\n");
            }
        }
    }
}

impl Connection {
    /// A `c=` line for this address.
    pub fn of(ip: IpAddr) -> Connection {
        Connection {
            network: Bytes::from_static(b"IN"),
            kind: Bytes::from_static(if ip.is_ipv4() { b"IP4" } else { b"IP6" }),
            address: Address::Ip(ip),
            suffix: None,
        }
    }

    fn read(value: &Bytes) -> Option<Connection> {
        let mut words = words(value);
        let (network, kind, address) = (words.next()?, words.next()?, words.next()?);
        let slash = address.iter().position(|&byte| byte == b'/');
        let suffix = slash.map(|slash| address.slice(slash + 1..));
        Some(Connection {
            network,
            kind,
            address: Address::read(address.slice(..slash.unwrap_or(address.len()))),
            suffix,
        })
    }

    fn write(&self, out: &mut BytesMut) {
        let mut address = match &self.address {
            Address::Ip(ip) => ip.to_string().into_bytes(),
            Address::Host(host) => host.to_vec(),
        };
        if let Some(suffix) = &self.suffix {
            address.push(b'/');
            address.extend_from_slice(suffix);
        }
        write_words(out, b'c', &[&self.network, &self.kind, &address]);
    }
}

impl Address {
    pub(super) fn read(text: Bytes) -> Address {
        match std::str::from_utf8(&text).ok().and_then(|text| text.parse().ok()) {
            Some(ip) => Address::Ip(ip),
            None => Address::Host(text),
        }
    }
}

/// What has been read of a body so far.
#[derive(Default)]
struct Reader {
    version: bool,
    origin: Option<Origin>,
    lines: Vec<Line>,
    media: Vec<Media>,
}

impl Reader {
    fn line(&mut self, line: Bytes, number: usize) -> Result<(), SdpError> {
        let bad = SdpError::BadLine(number);
        let &[kind, b'=', ..] = &line[..] else { return Err(if self.version { bad } else { SdpError::NoVersion }) };
        let value = line.slice(2..);
        if !self.version {
            let zero = kind == b'v' && value.trim_ascii() == b"0";
            self.version = zero;
            return if zero { Ok(()) } else { Err(SdpError::NoVersion) };
        }
        if !kind.is_ascii_alphabetic() || value.iter().any(|&byte| byte == 0 || byte == b'\r') {
            return Err(bad);
        }
        let full = self.media.len() == MAX_MEDIA;
        match (kind, self.media.last_mut()) {
            (b'm', _) if full => return Err(SdpError::TooMany),
            (b'm', _) => self.media.push(Media::read(&value, number)?),
            (b'o', None) if self.origin.is_none() => self.origin = Some(Origin::read(&value).ok_or(bad)?),
            (_, None) => self.lines.push(Line::read(kind, value, number)?),
            (_, Some(media)) => media.lines.push(Line::read(kind, value, number)?),
        }
        Ok(())
    }

    fn finish(self) -> Result<Sdp, SdpError> {
        if !self.version {
            return Err(SdpError::NoVersion);
        }
        let origin = self.origin.ok_or(SdpError::NoOrigin)?;
        Ok(Sdp { origin, lines: self.lines, media: self.media })
    }
}

impl Origin {
    fn read(value: &Bytes) -> Option<Origin> {
        let mut words = words(value);
        let (username, session_id, version) = (words.next()?, words.next()?, words.next()?);
        let address: Vec<Bytes> = words.collect();
        Some(Origin { username, session_id, version, address: address.join(&b' ').into() })
    }
}

/// The number that the bytes are, digits only.
pub(super) fn number_in<N: std::str::FromStr>(digits: &[u8]) -> Option<N> {
    let plain = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
    std::str::from_utf8(digits).ok().filter(|_| plain)?.parse().ok()
}

/// The words of a line, whatever stands between them.
pub(super) fn words(value: &Bytes) -> impl Iterator<Item = Bytes> {
    value.split(|byte| matches!(byte, b' ' | b'\t')).filter(|word| !word.is_empty()).map(|word| value.slice_ref(word))
}

fn trim_line_end(mut line: &[u8]) -> &[u8] {
    while let [rest @ .., b'\r'] = line {
        line = rest;
    }
    line
}

fn write_words(out: &mut BytesMut, kind: u8, words: &[&[u8]]) {
    out.put_slice(&[kind, b'=']);
    for (index, word) in words.iter().filter(|word| !word.is_empty()).enumerate() {
        if index > 0 {
            out.put_u8(b' ');
        }
        out.put_slice(word);
    }
    out.put_slice(b"\r\n");
}

fn attributes<'a>(lines: &'a [Line], wanted: &'a str) -> impl Iterator<Item = Option<&'a Bytes>> {
    lines.iter().filter_map(move |line| match line {
        Line::Attribute { name, value } if name.eq_ignore_ascii_case(wanted.as_bytes()) => Some(value.as_ref()),
        Line::Attribute { .. } | Line::Connection(_) | Line::Other { .. } => None,
    })
}

fn connection(lines: &[Line]) -> Option<&Connection> {
    lines.iter().find_map(|line| match line {
        Line::Connection(connection) => Some(connection),
        Line::Attribute { .. } | Line::Other { .. } => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SMALL: &[u8] = b"v=0\r\no=- 1 2 IN IP4 10.0.0.1\r\ns=-\r\nc=IN IP4 10.0.0.1\r\nt=0 0\r\n\
        m=audio 4000 RTP/AVP 8\r\na=sendrecv\r\n";

    #[test]
    fn prints_what_it_read() {
        assert_eq!(Sdp::parse(SMALL).unwrap().print(), SMALL);
    }

    #[test]
    fn bare_line_feeds_blank_lines_and_runs_of_spaces_are_read() {
        let sloppy = b"v=0\no=-  1 2 IN IP4 10.0.0.1\ns=-\nc=IN IP4  10.0.0.1\nt=0 0\n\nm=audio\t4000 RTP/AVP  8 \n\
            a=sendrecv\n\n\n";
        assert_eq!(Sdp::parse(sloppy).unwrap().print(), SMALL);
    }

    #[test]
    fn unknown_lines_and_names_in_gbk_keep_their_place() {
        let body = b"v=0\r\no=- 1 2 IN IP4 h\r\ns=\xc8\xc8\xcf\xdf\r\nx=what\r\nb=AS:64\r\nt=0 0\r\n\
            m=audio 4000/2 RTP/AVP 8\r\ni=t\r\ny=else\r\na=x:\r\na=y\r\n";
        let sdp = Sdp::parse(body).unwrap();
        assert_eq!(sdp.media[0].ports, Some(2));
        assert_eq!(sdp.media[0].attribute("x"), Some(Some(&Bytes::new())));
        assert_eq!(sdp.media[0].attribute("Y"), Some(None));
        assert_eq!(sdp.print(), &body[..]);
    }

    #[test]
    fn addresses_of_all_kinds() {
        let read = |text: &str| {
            let body = format!("v=0\no=- 1 1 IN IP4 h\nc={text}\n");
            Sdp::parse(body.as_bytes()).unwrap().connection().unwrap().clone()
        };
        assert_eq!(read("IN IP4 192.0.2.7").address, Address::Ip([192, 0, 2, 7].into()));
        assert_eq!(read("IN IP6 2001:db8::7").address, Address::Ip("2001:db8::7".parse().unwrap()));
        assert_eq!(read("IN IP4 sbc.example.com").address, Address::Host("sbc.example.com".into()));
        let multicast = read("IN IP4 224.2.1.1/127/3");
        assert_eq!(multicast.address, Address::Ip([224, 2, 1, 1].into()));
        assert_eq!(multicast.suffix, Some("127/3".into()));
    }

    #[test]
    fn host_names_are_replaced_once_known() {
        let mut sdp =
            Sdp::parse(b"v=0\no=- 1 1 IN IP4 h\nc=IN IP4 a.example\nm=audio 4 RTP/AVP 8\nc=IN IP4 b.example\n")
                .unwrap();
        assert_eq!(sdp.hosts().count(), 2);
        sdp.resolve(|host| (host == &b"a.example"[..]).then(|| "2001:db8::1".parse().unwrap()));
        assert_eq!(sdp.connection(), Some(&Connection::of("2001:db8::1".parse().unwrap())));
        assert_eq!(sdp.hosts().collect::<Vec<_>>(), ["b.example"]);
    }

    #[test]
    fn what_is_no_description_is_refused() {
        for (body, why) in [
            (&b""[..], SdpError::NoVersion),
            (b"hello", SdpError::NoVersion),
            (b"v=1\r\n", SdpError::NoVersion),
            (b"v=0\r\n", SdpError::NoOrigin),
            (b"v=0\r\no=- 1\r\n", SdpError::BadLine(2)),
            (b"v=0\r\no=- 1 1\r\nm=audio 70000 RTP/AVP 0\r\n", SdpError::BadLine(3)),
            (b"v=0\r\no=- 1 1\r\nm=audio -1 RTP/AVP 0\r\n", SdpError::BadLine(3)),
            (b"v=0\r\no=- 1 1\r\nm=audio 4000\r\n", SdpError::BadLine(3)),
            (b"v=0\r\no=- 1 1\r\nc=IN IP4\r\n", SdpError::BadLine(3)),
            (b"v=0\r\no=- 1 1\r\ns=a\0b\r\n", SdpError::BadLine(3)),
            (b"v=0\r\no=- 1 1\r\ns=a\rb\r\n", SdpError::BadLine(3)),
            (b"v=0\r\no=- 1 1\r\nnonsense\r\n", SdpError::BadLine(3)),
        ] {
            assert_eq!(Sdp::parse(body), Err(why), "{}", String::from_utf8_lossy(body));
        }
    }

    #[test]
    fn sizes_are_bounded() {
        let head = "v=0\no=- 1 1 IN IP4 h\n".to_owned();
        assert_eq!(Sdp::parse(&vec![b'v'; MAX_BODY + 1]), Err(SdpError::TooLong));
        assert_eq!(Sdp::parse((head.clone() + &"a=x\n".repeat(MAX_LINES)).as_bytes()), Err(SdpError::TooLong));
        assert_eq!(
            Sdp::parse((head.clone() + &"m=audio 0 RTP/AVP 0\n".repeat(MAX_MEDIA + 1)).as_bytes()),
            Err(SdpError::TooMany)
        );
        let formats = " 8".repeat(MAX_FORMATS + 1);
        assert_eq!(Sdp::parse((head + "m=audio 0 RTP/AVP" + &formats).as_bytes()), Err(SdpError::TooMany));
    }

    /// Lines of which many, but not all, make sense.
    fn line() -> impl Strategy<Value = String> {
        prop_oneof![
            "[a-z]=[ -~]{0,40}",
            "m=(audio|video|image) [0-9]{1,5}(/[0-9])? (RTP/AVP|RTP/SAVP|udptl)( [0-9a-z]{1,4}){0,6}",
            "c=IN (IP4|IP6) ([0-9]{1,3}[.:]){1,7}[0-9]{1,3}(/[0-9]{1,3})?",
            "a=(rtpmap|fmtp|ptime|maxptime|rtcp):[0-9]{1,3} [A-Za-z-]{1,15}(/[0-9]{1,6}){0,2}",
            "a=(sendrecv|sendonly|recvonly|inactive|rtcp-mux)",
            Just(String::new()),
        ]
    }

    proptest! {
        #[test]
        fn never_panics(body in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = Sdp::parse(&body);
        }

        #[test]
        fn reading_what_was_printed_changes_nothing(
            lines in proptest::collection::vec(line(), 0..30), end in prop_oneof![Just("\n"), Just("\r\n")]
        ) {
            let body = format!("v=0{end}o=- 1 1 IN IP4 h{end}{}", lines.join(end));
            if let Ok(sdp) = Sdp::parse(body.as_bytes()) {
                prop_assert_eq!(Sdp::parse(&sdp.print()), Ok(sdp));
            }
        }
    }
}
