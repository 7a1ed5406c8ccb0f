//! The header fields of a message in their order, and typed readings of them on demand.

use super::{
    CSeq, Contacts, ContentType, Defect, HeaderName, Method, NameAddr, RAck, ReasonValue, Replaces, SessionExpires,
    Token, Via, Warning, lex, text,
};
use bytes::Bytes;

/// One header field: its name and its unfolded value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// Compact forms are read as their long names.
    pub name: HeaderName,
    /// Without the white space round it; line folds are one space (RFC 3261 section 7.3.1).
    pub value: Bytes,
}

/// Header fields in order. Content-Length is never among them: the printer computes it.
///
/// Typed readings err with [`Defect::Header`] where a value breaks its grammar, and with [`Defect::Missing`] where a
/// field is absent that every message must have; what may be absent is None then.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Headers(Vec<Header>);

impl Headers {
    /// No fields.
    pub fn new() -> Headers {
        Headers(Vec::new())
    }

    /// No fields, with room for `n`.
    pub fn with_capacity(n: usize) -> Headers {
        Headers(Vec::with_capacity(n))
    }

    /// The fields in their order.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &Header> {
        self.0.iter()
    }

    /// How many fields there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Adds a value the parser has checked.
    pub(crate) fn push_checked(&mut self, name: HeaderName, value: Bytes) {
        self.0.push(Header { name, value });
    }

    /// Adds a field at the end. CR, LF and NUL in `value` become spaces; Content-Length is left out.
    pub fn push(&mut self, name: HeaderName, value: impl Into<Bytes>) {
        self.insert(self.0.len(), name, value.into());
    }

    /// Adds a field before all others, as Via, Route and Record-Route are stacked. `value` is cleaned as in `push`.
    pub fn prepend(&mut self, name: HeaderName, value: impl Into<Bytes>) {
        self.insert(0, name, value.into());
    }

    fn insert(&mut self, at: usize, name: HeaderName, value: Bytes) {
        if name != HeaderName::ContentLength {
            self.0.insert(at, Header { name, value: text::clean(value) });
        }
    }

    /// Puts one field in the place of all fields of this name. `value` is cleaned as in `push`.
    pub fn set(&mut self, name: HeaderName, value: impl Into<Bytes>) {
        let at = self.0.iter().position(|h| h.name == name).unwrap_or(self.0.len());
        self.remove(&name);
        self.insert(at.min(self.0.len()), name, value.into());
    }

    /// Takes all fields of this name away.
    pub fn remove(&mut self, name: &HeaderName) {
        self.0.retain(|h| h.name != *name);
    }

    /// Copies all fields of this name from `other`, in order.
    pub fn copy_from(&mut self, other: &Headers, name: &HeaderName) {
        self.0.extend(other.0.iter().filter(|h| h.name == *name).cloned());
    }

    /// The first value of this name.
    pub fn get(&self, name: &HeaderName) -> Option<&Bytes> {
        self.0.iter().find(|h| h.name == *name).map(|h| &h.value)
    }

    /// The first value of an unregistered name, in any case.
    pub fn get_other(&self, name: &str) -> Option<&Bytes> {
        self.0.iter().find(|h| h.name.is(name)).map(|h| &h.value)
    }

    /// Whether a field of this name is there.
    pub fn has(&self, name: &HeaderName) -> bool {
        self.0.iter().any(|h| h.name == *name)
    }

    /// All values of this name, one a field.
    pub fn get_all<'a>(&'a self, name: &'a HeaderName) -> impl Iterator<Item = &'a Bytes> {
        self.0.iter().filter(move |h| h.name == *name).map(|h| &h.value)
    }

    /// The value of the first field of this name as text; None if absent.
    pub fn text(&self, name: &HeaderName) -> Option<String> {
        self.get(name).map(|v| text::decode_text(v).into_owned())
    }

    /// All values of a comma-separated name, over all its fields; empty items are left out.
    fn items<'a>(&'a self, name: &'a HeaderName) -> impl Iterator<Item = Result<(&'a Bytes, &'a [u8]), Defect>> {
        self.get_all(name).flat_map(move |whole| {
            lex::Commas::new(whole)
                .filter(|item| !matches!(item, Ok(part) if part.is_empty()))
                .map(move |item| item.map(|part| (whole, part)).map_err(|()| Defect::Header(name.clone())))
        })
    }

    fn parsed<T>(&self, name: &HeaderName, parse: impl Fn(&Bytes, &[u8]) -> Option<T>) -> Result<Vec<T>, Defect> {
        self.items(name)
            .map(|item| item.and_then(|(w, p)| parse(w, p).ok_or_else(|| Defect::Header(name.clone()))))
            .collect()
    }

    fn first<T>(&self, name: &HeaderName, parse: impl Fn(&Bytes, &[u8]) -> Option<T>) -> Result<Option<T>, Defect> {
        let item = self.items(name).next();
        item.map(|item| item.and_then(|(w, p)| parse(w, p).ok_or_else(|| Defect::Header(name.clone())))).transpose()
    }

    fn one<T>(&self, name: HeaderName, parse: impl Fn(&Bytes) -> Option<T>) -> Result<T, Defect> {
        match self.get(&name) {
            Some(value) => parse(value).ok_or(Defect::Header(name)),
            None => Err(Defect::Missing(name)),
        }
    }

    fn optional<T>(&self, name: HeaderName, parse: impl Fn(&[u8]) -> Option<T>) -> Result<Option<T>, Defect> {
        self.get(&name).map(|value| parse(value).ok_or(Defect::Header(name))).transpose()
    }

    /// All Via values, the topmost first.
    pub fn vias(&self) -> Result<Vec<Via>, Defect> {
        self.parsed(&HeaderName::Via, Via::parse_part)
    }

    /// The topmost Via: the first value of the first field, the one that [`Headers::set_top_via`] replaces.
    pub fn top_via(&self) -> Result<Via, Defect> {
        let whole = self.get(&HeaderName::Via).ok_or(Defect::Missing(HeaderName::Via))?;
        let first = lex::Commas::new(whole).next().and_then(Result::ok);
        first.and_then(|part| Via::parse_part(whole, part)).ok_or(Defect::Header(HeaderName::Via))
    }

    /// Puts `via` in the place of the topmost Via value and leaves the others as they are.
    pub fn set_top_via(&mut self, via: &Via) {
        let Some(field) = self.0.iter_mut().find(|h| h.name == HeaderName::Via) else {
            return self.prepend(HeaderName::Via, via);
        };
        let others = match lex::find_outside(&field.value, b',') {
            Ok(Some(at)) => field.value.slice(at..),
            _ => Bytes::new(),
        };
        let mut value = bytes::BytesMut::with_capacity(field.value.len() + 48);
        via.write_to(&mut value);
        value.extend_from_slice(&others);
        field.value = value.freeze();
    }

    /// From.
    pub fn from(&self) -> Result<NameAddr, Defect> {
        self.one(HeaderName::From, |v| NameAddr::parse_part(v, v))
    }

    /// To.
    pub fn to(&self) -> Result<NameAddr, Defect> {
        self.one(HeaderName::To, |v| NameAddr::parse_part(v, v))
    }

    /// From's tag; None if there is none or From is malformed.
    pub fn from_tag(&self) -> Option<Bytes> {
        self.from().ok()?.tag()
    }

    /// To's tag; None if there is none or To is malformed.
    pub fn to_tag(&self) -> Option<Bytes> {
        self.to().ok()?.tag()
    }

    /// Call-ID.
    pub fn call_id(&self) -> Result<&Bytes, Defect> {
        self.get(&HeaderName::CallId).ok_or(Defect::Missing(HeaderName::CallId))
    }

    /// CSeq.
    pub fn cseq(&self) -> Result<CSeq, Defect> {
        self.one(HeaderName::CSeq, CSeq::parse)
    }

    /// Max-Forwards, 0–255.
    pub fn max_forwards(&self) -> Result<Option<u8>, Defect> {
        self.optional(HeaderName::MaxForwards, |v| lex::number(v, 255).map(|n| n as u8))
    }

    /// Contact; None if there is none.
    pub fn contacts(&self) -> Result<Option<Contacts>, Defect> {
        if !self.has(&HeaderName::Contact) {
            return Ok(None);
        }
        let mut values = self.get_all(&HeaderName::Contact);
        if values.any(|v| &v[..] == b"*") {
            let alone = self.get_all(&HeaderName::Contact).count() == 1;
            return if alone { Ok(Some(Contacts::Star)) } else { Err(Defect::Header(HeaderName::Contact)) };
        }
        self.parsed(&HeaderName::Contact, NameAddr::parse_part).map(|list| Some(Contacts::List(list)))
    }

    /// The first Contact address; None if there is none or it is `*`.
    pub fn contact(&self) -> Result<Option<NameAddr>, Defect> {
        if self.get(&HeaderName::Contact).is_some_and(|v| &v[..] == b"*") {
            return Ok(None);
        }
        self.first(&HeaderName::Contact, NameAddr::parse_part)
    }

    /// All addresses of a name whose values are addresses: Route, Record-Route, Path, P-Asserted-Identity, Diversion…
    pub fn addresses(&self, name: &HeaderName) -> Result<Vec<NameAddr>, Defect> {
        self.parsed(name, NameAddr::parse_part)
    }

    /// Route, the topmost first.
    pub fn routes(&self) -> Result<Vec<NameAddr>, Defect> {
        self.addresses(&HeaderName::Route)
    }

    /// Record-Route, the topmost first.
    pub fn record_routes(&self) -> Result<Vec<NameAddr>, Defect> {
        self.addresses(&HeaderName::RecordRoute)
    }

    /// P-Asserted-Identity (RFC 3325): a sip and perhaps a tel identity.
    pub fn asserted_identities(&self) -> Result<Vec<NameAddr>, Defect> {
        self.addresses(&HeaderName::PAssertedIdentity)
    }

    /// Diversion (RFC 5806), the latest first.
    pub fn diversions(&self) -> Result<Vec<NameAddr>, Defect> {
        self.addresses(&HeaderName::Diversion)
    }

    /// Refer-To (RFC 3515).
    pub fn refer_to(&self) -> Result<NameAddr, Defect> {
        self.one(HeaderName::ReferTo, |v| NameAddr::parse_part(v, v))
    }

    /// Expires in seconds; one too large counts as the largest.
    pub fn expires(&self) -> Result<Option<u32>, Defect> {
        self.optional(HeaderName::Expires, lex::seconds)
    }

    /// Min-Expires in seconds.
    pub fn min_expires(&self) -> Result<Option<u32>, Defect> {
        self.optional(HeaderName::MinExpires, lex::seconds)
    }

    /// Retry-After in seconds; a comment and parameters are left out.
    pub fn retry_after(&self) -> Result<Option<u32>, Defect> {
        self.optional(HeaderName::RetryAfter, |v| {
            lex::seconds(&v[..v.iter().position(|b| !b.is_ascii_digit()).unwrap_or(v.len())])
        })
    }

    /// Content-Type; None if absent.
    pub fn content_type(&self) -> Result<Option<ContentType>, Defect> {
        self.get(&HeaderName::ContentType)
            .map(|v| ContentType::parse(v).ok_or(Defect::Header(HeaderName::ContentType)))
            .transpose()
    }

    /// Allow: the methods; None if the field is absent.
    pub fn allow(&self) -> Option<Vec<Method>> {
        self.has(&HeaderName::Allow)
            .then(|| self.items(&HeaderName::Allow).flatten().filter_map(|(w, p)| Method::from_part(w, p)).collect())
    }

    /// All tokens of a name whose values are option tags or event types: Supported, Require, Proxy-Require,
    /// Unsupported, Allow-Events…
    pub fn tokens(&self, name: &HeaderName) -> Vec<Token> {
        self.items(name).flatten().filter_map(|(w, p)| Token::new(w.slice_ref(p))).collect()
    }

    /// Whether a list of tokens holds `token`, in any case.
    pub fn has_token(&self, name: &HeaderName, token: &str) -> bool {
        self.items(name).flatten().any(|(_, part)| part.eq_ignore_ascii_case(token.as_bytes()))
    }

    /// Session-Expires (RFC 4028).
    pub fn session_expires(&self) -> Result<Option<SessionExpires>, Defect> {
        self.get(&HeaderName::SessionExpires)
            .map(|v| SessionExpires::parse(v).ok_or(Defect::Header(HeaderName::SessionExpires)))
            .transpose()
    }

    /// Min-SE in seconds (RFC 4028).
    pub fn min_se(&self) -> Result<Option<u32>, Defect> {
        self.optional(HeaderName::MinSe, |v| lex::seconds(lex::trim(&v[..memchr::memchr(b';', v).unwrap_or(v.len())])))
    }

    /// Reason (RFC 3326): all that are well formed.
    pub fn reasons(&self) -> Vec<ReasonValue> {
        self.items(&HeaderName::Reason).flatten().filter_map(|(w, p)| ReasonValue::parse_part(w, p)).collect()
    }

    /// Warning: all that are well formed.
    pub fn warnings(&self) -> Vec<Warning> {
        self.items(&HeaderName::Warning).flatten().filter_map(|(w, p)| Warning::parse_part(w, p)).collect()
    }

    /// Replaces (RFC 3891); more than one is malformed.
    pub fn replaces(&self) -> Result<Option<Replaces>, Defect> {
        let mut values = self.get_all(&HeaderName::Replaces);
        let Some(value) = values.next() else { return Ok(None) };
        let one = if values.next().is_none() { Replaces::parse(value) } else { None };
        one.map(Some).ok_or(Defect::Header(HeaderName::Replaces))
    }

    /// RAck (RFC 3262).
    pub fn rack(&self) -> Result<RAck, Defect> {
        self.one(HeaderName::RAck, RAck::parse)
    }

    /// RSeq (RFC 3262).
    pub fn rseq(&self) -> Result<Option<u32>, Defect> {
        self.optional(HeaderName::RSeq, |v| lex::number(v, u64::from(u32::MAX)).map(|n| n as u32))
    }
}
