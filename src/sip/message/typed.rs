//! Small typed values: CSeq, Content-Type, Session-Expires, Reason, RAck, Replaces, Warning.

use super::{Method, Params, Token, decode_text, lex};
use bytes::Bytes;
use std::fmt;

/// CSeq (RFC 3261 section 20.16).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CSeq {
    /// Less than 2^31.
    pub number: u32,
    /// The request's method; in a response, that of the request it answers.
    pub method: Method,
}

impl CSeq {
    /// Parses a value.
    pub fn parse(value: &Bytes) -> Option<CSeq> {
        let (number, method) = CSeq::split(value)?;
        Some(CSeq { number, method: Method::from_part(value, method)? })
    }

    /// Takes a value apart: number and method.
    pub(crate) fn split(value: &[u8]) -> Option<(u32, &[u8])> {
        let (digits, rest) = value.split_at(lex::span(value, |b| b.is_ascii_digit()));
        let method = lex::trim(rest);
        if method.len() == rest.len() || !lex::is_token(method) {
            return None;
        }
        Some((lex::number(digits, (1 << 31) - 1)? as u32, method))
    }
}

impl fmt::Display for CSeq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.number, self.method)
    }
}

impl From<&CSeq> for Bytes {
    fn from(cseq: &CSeq) -> Bytes {
        cseq.to_string().into()
    }
}

/// Content-Type (RFC 3261 section 20.15).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContentType {
    /// What stands before the slash, such as `application`.
    pub kind: Token,
    /// What stands behind the slash, such as `sdp`.
    pub subtype: Token,
    /// What follows it, such as the `boundary` of a multipart.
    pub params: Params,
}

impl ContentType {
    /// Parses a value.
    pub fn parse(value: &Bytes) -> Option<ContentType> {
        let end = memchr::memchr(b';', value).unwrap_or(value.len());
        let slash = memchr::memchr(b'/', &value[..end])?;
        Some(ContentType {
            kind: Token::new(value.slice_ref(lex::trim(&value[..slash])))?,
            subtype: Token::new(value.slice_ref(lex::trim(&value[slash + 1..end])))?,
            params: Params::of_header(value.slice(end..))?,
        })
    }

    /// Whether this is `kind/subtype`, in any case.
    pub fn is(&self, kind: &str, subtype: &str) -> bool {
        self.kind.eq_ignore_ascii_case(kind.as_bytes()) && self.subtype.eq_ignore_ascii_case(subtype.as_bytes())
    }
}

/// Who refreshes a session (RFC 4028 section 4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refresher {
    /// The side that sent the request, each time one is sent.
    Uac,
    /// The side that answers it.
    Uas,
}

/// Session-Expires (RFC 4028 section 4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionExpires {
    /// Seconds.
    pub seconds: u32,
    /// None where the sender leaves it to the other side.
    pub refresher: Option<Refresher>,
}

impl SessionExpires {
    /// Parses a value.
    pub fn parse(value: &Bytes) -> Option<SessionExpires> {
        let end = memchr::memchr(b';', value).unwrap_or(value.len());
        let params = Params::of_header(value.slice(end..))?;
        let refresher = match params.get("refresher") {
            Some(v) if v.eq_ignore_ascii_case(b"uac") => Some(Refresher::Uac),
            Some(v) if v.eq_ignore_ascii_case(b"uas") => Some(Refresher::Uas),
            _ => None,
        };
        Some(SessionExpires { seconds: lex::seconds(lex::trim(&value[..end]))?, refresher })
    }
}

impl fmt::Display for SessionExpires {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.refresher {
            Some(Refresher::Uac) => write!(f, "{};refresher=uac", self.seconds),
            Some(Refresher::Uas) => write!(f, "{};refresher=uas", self.seconds),
            None => write!(f, "{}", self.seconds),
        }
    }
}

/// One Reason value (RFC 3326), such as `Q.850;cause=16;text="Terminated"`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReasonValue {
    /// `SIP`, `Q.850`…
    pub protocol: Token,
    /// `cause`, `text` and any other.
    pub params: Params,
}

impl ReasonValue {
    /// A reason with a cause and a text; None if `protocol` is no token.
    pub fn new(protocol: &str, cause: u16, text: &str) -> Option<ReasonValue> {
        let text = if text.is_empty() { String::new() } else { format!(";text={}", lex::quote(text)) };
        let params = Params::of_header(format!(";cause={cause}{text}").into())?;
        Some(ReasonValue { protocol: Token::new(protocol.to_owned())?, params })
    }

    pub(crate) fn parse_part(whole: &Bytes, part: &[u8]) -> Option<ReasonValue> {
        let end = memchr::memchr(b';', part).unwrap_or(part.len());
        Some(ReasonValue {
            protocol: Token::new(whole.slice_ref(lex::trim(&part[..end])))?,
            params: Params::of_header(whole.slice_ref(&part[end..]))?,
        })
    }

    /// The cause's number.
    pub fn cause(&self) -> Option<u16> {
        self.params.get("cause").and_then(|v| lex::number(v, 999)).map(|n| n as u16)
    }

    /// What it says for people, unquoted.
    pub fn text(&self) -> Option<String> {
        self.params.get_text("text")
    }
}

impl fmt::Display for ReasonValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.protocol, decode_text(self.params.as_bytes()))
    }
}

/// RAck (RFC 3262 section 7.2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RAck {
    /// The RSeq of the provisional response that is acknowledged.
    pub rseq: u32,
    /// CSeq of the request which that response answers.
    pub cseq: CSeq,
}

impl RAck {
    /// Parses a value.
    pub fn parse(value: &Bytes) -> Option<RAck> {
        let digits = value.iter().take_while(|b| b.is_ascii_digit()).count();
        let rest = lex::trim(&value[digits..]);
        if rest.len() + digits >= value.len() {
            return None;
        }
        let rseq = lex::number(&value[..digits], u64::from(u32::MAX))? as u32;
        Some(RAck { rseq, cseq: CSeq::parse(&value.slice_ref(rest))? })
    }
}

impl fmt::Display for RAck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.rseq, self.cseq)
    }
}

/// Replaces (RFC 3891 section 6.1): the dialog that an INVITE takes the place of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replaces {
    /// That of the dialog which is to be replaced.
    pub call_id: Bytes,
    /// The tag of the side that gets the INVITE: its own.
    pub to_tag: Bytes,
    /// The tag of the party that is to be replaced.
    pub from_tag: Bytes,
    /// Only a dialog that is still early may be replaced.
    pub early_only: bool,
}

impl Replaces {
    /// Parses a value.
    pub fn parse(value: &Bytes) -> Option<Replaces> {
        let end = memchr::memchr(b';', value)?;
        let params = Params::of_header(value.slice(end..))?;
        let call_id = value.slice_ref(lex::trim(&value[..end]));
        let tag = |name| params.get_bytes(name).filter(|t| !t.is_empty());
        let early_only = params.has("early-only");
        (!call_id.is_empty()).then_some(())?;
        Some(Replaces { call_id, to_tag: tag("to-tag")?, from_tag: tag("from-tag")?, early_only })
    }
}

/// One Warning value (RFC 3261 section 20.43).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning {
    /// 300–399.
    pub code: u16,
    /// Host and port, or a pseudonym, of who adds the warning.
    pub agent: String,
    /// For people, unquoted.
    pub text: String,
}

impl Warning {
    pub(crate) fn parse_part(_: &Bytes, part: &[u8]) -> Option<Warning> {
        let (code, rest) = part.split_at_checked(3)?;
        let rest = rest.strip_prefix(b" ")?;
        let at = memchr::memchr(b' ', rest)?;
        let text = lex::trim(&rest[at..]);
        if lex::quoted_end(text, 0) != Some(text.len()) || !text.starts_with(b"\"") {
            return None;
        }
        Some(Warning {
            code: lex::number(code, 399).filter(|&c| c >= 300)? as u16,
            agent: decode_text(&rest[..at]).into_owned(),
            text: decode_text(&lex::unquote(text)).into_owned(),
        })
    }
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.code, self.agent, lex::quote(&self.text))
    }
}
