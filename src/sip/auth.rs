//! Digest authentication, both sides (RFC 3261 section 22, RFC 2617, RFC 7616, RFC 8760).
//!
//! MD5 and SHA-256; `qop=auth`, and none for old clients. A nonce carries its time of issue and a MAC over realm and
//! source address, so nothing is kept for a challenge; only nonces that were used with the right password have their
//! counts kept, in a bounded table.
//!
//! Left out: `-sess` algorithms, `auth-int` as a server, `userhash`; where passwords are kept; lock-outs.

use crate::{
    clock::Now,
    sip::message::{HeaderName, Headers, Method, Uri, decode_text, quote},
};
use bytes::Bytes;
use md5::{Digest, Md5};
use sha2::Sha256;
use std::{
    collections::{HashMap, VecDeque},
    net::IpAddr,
    time::{Duration, Instant},
};
use subtle::ConstantTimeEq;

/// How many used nonces have their counts kept; beyond it the oldest become stale.
const NONCES_KEPT: usize = 65_536;
/// The longest credentials that are read, in bytes.
const VALUE_MAX: usize = 4_096;
/// Nonce: 8 bytes of time, 8 of randomness, 16 of MAC, in hexadecimal.
const NONCE_TEXT: usize = 64;

/// A hash of the digest scheme.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Algorithm {
    /// RFC 2617's hash, which most telephones still speak.
    Md5,
    /// RFC 7616's hash, SHA-256.
    Sha256,
}

impl Algorithm {
    /// The name on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Algorithm::Md5 => "MD5",
            Algorithm::Sha256 => "SHA-256",
        }
    }

    fn from_text(text: &str) -> Option<Algorithm> {
        [Algorithm::Md5, Algorithm::Sha256].into_iter().find(|a| a.as_str().eq_ignore_ascii_case(text))
    }

    /// The hash of `parts` joined by colons, in lower-case hexadecimal.
    fn hash(self, parts: &[&[u8]]) -> String {
        fn run<D: Digest>(parts: &[&[u8]]) -> Vec<u8> {
            let mut digest = D::new();
            for (i, part) in parts.iter().enumerate() {
                if i > 0 {
                    digest.update(b":");
                }
                digest.update(part);
            }
            digest.finalize().to_vec()
        }
        hex::encode(match self {
            Algorithm::Md5 => run::<Md5>(parts),
            Algorithm::Sha256 => run::<Sha256>(parts),
        })
    }
}

/// What is kept in the place of a password: the hash of user, realm and password by each algorithm, in hexadecimal.
#[derive(Clone, PartialEq, Eq)]
pub struct Ha1Set {
    /// By MD5, 32 digits.
    pub md5: String,
    /// By SHA-256, 64 digits.
    pub sha256: String,
}

impl std::fmt::Debug for Ha1Set {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Ha1Set(…)")
    }
}

/// Makes the hashes that are kept in the place of a password.
pub fn ha1(user: &str, realm: &str, password: &str) -> Ha1Set {
    let parts = [user.as_bytes(), realm.as_bytes(), password.as_bytes()];
    Ha1Set { md5: Algorithm::Md5.hash(&parts), sha256: Algorithm::Sha256.hash(&parts) }
}

/// Credentials of an Authorization or Proxy-Authorization field.
#[derive(Clone, PartialEq, Eq)]
pub struct Authorization {
    /// The user, who must be the one the request speaks for: the caller compares.
    pub username: String,
    /// The protection domain whose password is meant; the server's own realm, or these credentials are another's.
    pub realm: String,
    nonce: Vec<u8>,
    uri: Vec<u8>,
    response: Vec<u8>,
    /// None for an algorithm that is not known here.
    algorithm: Option<Algorithm>,
    qop: Option<String>,
    cnonce: Vec<u8>,
    nc: Vec<u8>,
}

impl std::fmt::Debug for Authorization {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Authorization").field("realm", &self.realm).finish_non_exhaustive()
    }
}

impl Authorization {
    /// Parses a field's value; None if it is not well-formed Digest credentials.
    pub fn parse(value: &[u8]) -> Option<Authorization> {
        let mut fields = digest_fields(value)?;
        let algorithm = match fields.take_text("algorithm") {
            Some(name) => Algorithm::from_text(&name),
            None => Some(Algorithm::Md5),
        };
        Some(Authorization {
            username: fields.take_text("username")?,
            realm: fields.take_text("realm")?,
            nonce: fields.take("nonce")?,
            uri: fields.take("uri")?,
            response: fields.take("response")?.to_ascii_lowercase(),
            algorithm,
            qop: fields.take_text("qop").map(|q| q.to_ascii_lowercase()),
            cnonce: fields.take("cnonce").unwrap_or_default(),
            nc: fields.take("nc").unwrap_or_default(),
        })
    }

    /// The credentials for `realm` among the fields `name` (Authorization or Proxy-Authorization) of a request.
    pub fn find(headers: &Headers, name: &HeaderName, realm: &str) -> Option<Authorization> {
        headers.get_all(name).take(8).filter_map(|v| Authorization::parse(v)).find(|a| a.realm == realm)
    }

    /// The response these credentials should hold if the password is that of `ha1`.
    fn expected(&self, algorithm: Algorithm, ha1: &str, method: &Method) -> String {
        let ha2 = algorithm.hash(&[method.as_str().as_bytes(), &self.uri]);
        match &self.qop {
            Some(qop) => {
                algorithm.hash(&[ha1.as_bytes(), &self.nonce, &self.nc, &self.cnonce, qop.as_bytes(), ha2.as_bytes()])
            }
            None => algorithm.hash(&[ha1.as_bytes(), &self.nonce, ha2.as_bytes()]),
        }
    }

    /// The nonce count: Some(0) where no qop is used, None if malformed.
    fn count(&self) -> Option<u32> {
        if self.qop.is_none() {
            return Some(0);
        }
        let text = std::str::from_utf8(&self.nc).ok().filter(|t| t.len() == 8 && !t.starts_with('+'))?;
        u32::from_str_radix(text, 16).ok().filter(|&n| n > 0)
    }

    /// Whether the signed URI is the request's. Ports and parameters are not compared: devices differ there, and a
    /// nonce cannot be used twice anyway.
    fn covers(&self, request_uri: &Uri) -> bool {
        let Ok(signed) = Uri::parse(self.uri.clone()) else { return false };
        match (&signed, request_uri) {
            (Uri::Sip(a), Uri::Sip(b)) => a.host == b.host && signed.user() == request_uri.user(),
            _ => signed.equivalent(request_uri),
        }
    }
}

/// What credentials are worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The password is right and the nonce fresh.
    Ok,
    /// The password is right; the nonce is old, of another address, or was used with this count: challenge with
    /// `stale=true`.
    Stale,
    /// Wrong password, unknown user, or credentials for another request.
    Refused,
    /// There are no credentials for this realm: challenge.
    Missing,
}

/// Counts seen of one nonce: the highest, and a bit for each of the 64 up to it.
#[derive(Debug)]
struct Counts {
    highest: u32,
    seen: u64,
}

impl Counts {
    /// Notes `count`; false if it was there before or is too far behind.
    fn take(&mut self, count: u32) -> bool {
        if count > self.highest {
            let ahead = count - self.highest;
            self.seen = if ahead < 64 { self.seen << ahead | 1 } else { 1 };
            self.highest = count;
            return true;
        }
        let behind = self.highest - count;
        let fresh = behind < 64 && self.seen & 1 << behind == 0;
        if fresh {
            self.seen |= 1 << behind;
        }
        fresh
    }
}

type NonceKey = [u8; 16];

/// The server's side of one realm.
pub struct Authenticator {
    realm: String,
    secret: Vec<u8>,
    algorithms: Vec<Algorithm>,
    nonce_life: Duration,
    /// The first moment seen; nonces tell their time from here and end with the process.
    epoch: Option<Now>,
    counts: HashMap<NonceKey, Counts>,
    /// The keys of `counts`, the first used first, with each nonce's time of issue.
    order: VecDeque<(u64, NonceKey)>,
    /// Nonces issued up to this time (milliseconds) are stale unless their counts are kept.
    floor: Option<u64>,
    kept: usize,
    dummy: Ha1Set,
}

impl std::fmt::Debug for Authenticator {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Authenticator").field("realm", &self.realm).finish_non_exhaustive()
    }
}

impl Authenticator {
    /// `secret` signs the nonces; challenges name `algorithms` in their order, others are refused.
    pub fn new(realm: &str, secret: &[u8], algorithms: Vec<Algorithm>, nonce_life: Duration) -> Authenticator {
        Authenticator {
            realm: realm.to_owned(),
            secret: secret.to_vec(),
            algorithms,
            nonce_life,
            epoch: None,
            counts: HashMap::new(),
            order: VecDeque::new(),
            floor: None,
            kept: NONCES_KEPT,
            dummy: ha1("", realm, ""),
        }
    }

    /// From here on challenges are for this realm and by these algorithms; nonces that are out stay good.
    pub fn set_challenges(&mut self, realm: &str, algorithms: Vec<Algorithm>) {
        if self.realm != realm {
            self.realm = realm.to_owned();
            self.dummy = ha1("", realm, "");
        }
        self.algorithms = algorithms;
    }

    /// The protection domain that its challenges name; stored hashes hold for it alone.
    pub fn realm(&self) -> &str {
        &self.realm
    }

    /// Values for WWW-Authenticate or Proxy-Authenticate, one field each, in the configured order.
    pub fn challenge(&mut self, now: Now, source: IpAddr, stale: bool, rng: &mut impl rand::RngCore) -> Vec<Bytes> {
        let mut raw = [0u8; 16];
        raw[..8].copy_from_slice(&self.millis(now).to_be_bytes());
        rng.fill_bytes(&mut raw[8..]);
        let nonce = hex::encode(raw) + &hex::encode(self.mac(&raw, source));
        let realm = quote(&self.realm);
        let stale = if stale { ", stale=true" } else { "" };
        let value = |a: &Algorithm| {
            format!("Digest realm={realm}, nonce=\"{nonce}\", algorithm={}, qop=\"auth\"{stale}", a.as_str()).into()
        };
        self.algorithms.iter().map(value).collect()
    }

    /// Judges credentials. `credentials` are those of `auth.username`, None for an unknown user: the work is the same.
    ///
    /// The caller still compares `auth.username` with the identity that the request speaks for.
    pub fn verify(
        &mut self,
        now: Now,
        source: IpAddr,
        method: &Method,
        request_uri: &Uri,
        auth: &Authorization,
        credentials: Option<&Ha1Set>,
    ) -> Verdict {
        if auth.realm != self.realm {
            return Verdict::Missing;
        }
        let algorithm = auth.algorithm.filter(|a| self.algorithms.contains(a));
        let set = credentials.unwrap_or(&self.dummy);
        let hash = algorithm.unwrap_or(Algorithm::Md5);
        let ha1 = if hash == Algorithm::Md5 { &set.md5 } else { &set.sha256 };
        let expected = auth.expected(hash, ha1, method);
        let right = bool::from(expected.as_bytes().ct_eq(&auth.response));
        let nonce = self.check_nonce(now, source, &auth.nonce);
        let count = auth.count();
        let proper = algorithm.is_some()
            && auth.covers(request_uri)
            && count.is_some()
            && matches!(auth.qop.as_deref(), None | Some("auth"));
        match (right && proper && credentials.is_some(), nonce, count) {
            (true, Some((issued, key)), Some(count)) if self.take_count(issued, key, count) => Verdict::Ok,
            (true, ..) => Verdict::Stale,
            (false, ..) => Verdict::Refused,
        }
    }

    /// Milliseconds since the epoch of this authenticator.
    fn millis(&mut self, now: Now) -> u64 {
        let epoch = *self.epoch.get_or_insert(now);
        duration_since(now.mono, epoch.mono).as_millis() as u64
    }

    fn mac(&self, raw: &[u8; 16], source: IpAddr) -> NonceKey {
        let boot = self.epoch.map_or(0, |e| e.wall.0).to_be_bytes();
        let address = match source {
            IpAddr::V4(ip) => ip.to_ipv6_mapped().octets(),
            IpAddr::V6(ip) => ip.octets(),
        };
        let whole = hmac_sha256(&self.secret, &[raw, &boot, &address, self.realm.as_bytes()]);
        let mut key = [0; 16];
        key.copy_from_slice(&whole[..16]);
        key
    }

    /// A nonce's time of issue and key, if we gave it to this address and it is not too old.
    fn check_nonce(&mut self, now: Now, source: IpAddr, nonce: &[u8]) -> Option<(u64, NonceKey)> {
        let mut bytes = [0u8; NONCE_TEXT / 2];
        hex::decode_to_slice(nonce, &mut bytes).ok()?;
        let (raw, given) = bytes.split_first_chunk::<16>()?;
        let key = self.mac(raw, source);
        if !bool::from(key.ct_eq(given)) {
            return None;
        }
        let issued = u64::from_be_bytes(*raw.first_chunk::<8>()?);
        let age = self.millis(now).checked_sub(issued)?;
        (u128::from(age) <= self.nonce_life.as_millis()).then_some((issued, key))
    }

    /// Notes the use of a nonce with `count` (0: without qop, once only); false if it was used so before.
    fn take_count(&mut self, issued: u64, key: NonceKey, count: u32) -> bool {
        if let Some(counts) = self.counts.get_mut(&key) {
            return count > 0 && counts.take(count);
        }
        if self.floor.is_some_and(|floor| issued <= floor) {
            return false;
        }
        if self.order.len() >= self.kept
            && let Some((issued, key)) = self.order.pop_front()
        {
            self.counts.remove(&key);
            self.floor = self.floor.max(Some(issued));
        }
        self.counts.insert(key, Counts { highest: count, seen: 1 });
        self.order.push_back((issued, key));
        true
    }

    /// Forgets nonces that are too old to be used. Calling it now and then saves memory; the bound holds without it.
    pub fn sweep(&mut self, now: Now) {
        let Some(oldest) = self.millis(now).checked_sub(self.nonce_life.as_millis() as u64 + 1) else { return };
        let counts = &mut self.counts;
        self.order.retain(|(issued, key)| {
            let keep = *issued > oldest;
            if !keep {
                counts.remove(key);
            }
            keep
        });
        self.floor = self.floor.max(Some(oldest));
    }
}

fn duration_since(later: Instant, earlier: Instant) -> Duration {
    later.checked_duration_since(earlier).unwrap_or_default()
}

/// RFC 2104.
fn hmac_sha256(key: &[u8], parts: &[&[u8]]) -> Vec<u8> {
    let mut block = [0u8; 64];
    if key.len() > block.len() {
        block[..32].copy_from_slice(&Sha256::digest(key));
    } else {
        block[..key.len()].copy_from_slice(key);
    }
    let mut inner = Sha256::new_with_prefix(block.map(|b| b ^ 0x36));
    for part in parts {
        inner.update(part);
    }
    Sha256::new_with_prefix(block.map(|b| b ^ 0x5c)).chain_update(inner.finalize()).finalize().to_vec()
}

/// A challenge of a WWW-Authenticate or Proxy-Authenticate field that can be answered here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Challenge {
    /// The protection domain, by which a user agent picks the password.
    pub realm: String,
    /// The server's nonce, unquoted, to be given back as it is.
    pub nonce: String,
    /// The hash that the server asks for; MD5 where it names none.
    pub algorithm: Algorithm,
    /// The answer was right but for the age of its nonce.
    pub stale: bool,
    opaque: Option<String>,
    /// `auth`, `auth-int`, or none for an old server.
    qop: Option<&'static str>,
}

impl Challenge {
    /// Parses a field's value; None if it is malformed, not Digest, or asks for what is not known here.
    pub fn parse(value: &[u8]) -> Option<Challenge> {
        let mut fields = digest_fields(value)?;
        let algorithm = fields.take_text("algorithm").map_or(Some(Algorithm::Md5), |a| Algorithm::from_text(&a))?;
        let qop = match fields.take_text("qop") {
            None => None,
            Some(list) => {
                let offers = |q: &str| list.split(',').any(|o| o.trim().eq_ignore_ascii_case(q));
                Some(["auth", "auth-int"].into_iter().find(|q| offers(q))?)
            }
        };
        Some(Challenge {
            realm: fields.take_text("realm")?,
            nonce: fields.take_text("nonce")?,
            algorithm,
            stale: fields.take_text("stale").is_some_and(|s| s.eq_ignore_ascii_case("true")),
            opaque: fields.take_text("opaque"),
            qop,
        })
    }

    /// The first challenge of the fields `name` that can be answered: the server's order counts (RFC 8760 section 2.4).
    pub fn first(headers: &Headers, name: &HeaderName) -> Option<Challenge> {
        headers.get_all(name).take(8).find_map(|v| Challenge::parse(v))
    }

    /// The value of the Authorization or Proxy-Authorization field that answers. `nc` counts this nonce's uses from 1.
    #[expect(clippy::too_many_arguments, reason = "each is an input of RFC 7616 section 3.4")]
    pub fn answer(
        &self,
        user: &str,
        password: &str,
        method: &Method,
        uri: &Uri,
        body: &[u8],
        cnonce: &str,
        nc: u32,
    ) -> Bytes {
        let hash = self.algorithm;
        let uri = uri.to_string();
        let nc = format!("{nc:08x}");
        let ha1 = hash.hash(&[user.as_bytes(), self.realm.as_bytes(), password.as_bytes()]);
        let ha2 = match self.qop {
            Some("auth-int") => hash.hash(&[method.as_str().as_bytes(), uri.as_bytes(), hash.hash(&[body]).as_bytes()]),
            _ => hash.hash(&[method.as_str().as_bytes(), uri.as_bytes()]),
        };
        let nonce = self.nonce.as_bytes();
        let response = match self.qop {
            Some(qop) => {
                hash.hash(&[ha1.as_bytes(), nonce, nc.as_bytes(), cnonce.as_bytes(), qop.as_bytes(), ha2.as_bytes()])
            }
            None => hash.hash(&[ha1.as_bytes(), nonce, ha2.as_bytes()]),
        };
        let mut value = format!(
            "Digest username={}, realm={}, nonce={}, uri={}, response=\"{response}\", algorithm={}",
            quote(user),
            quote(&self.realm),
            quote(&self.nonce),
            quote(&uri),
            hash.as_str()
        );
        if let Some(qop) = self.qop {
            value.push_str(&format!(", qop={qop}, nc={nc}, cnonce={}", quote(cnonce)));
        }
        if let Some(opaque) = &self.opaque {
            value.push_str(&format!(", opaque={}", quote(opaque)));
        }
        value.into()
    }
}

/// The `name=value` list behind `Digest`, unquoted; each name once.
struct Fields(Vec<(String, Vec<u8>)>);

impl Fields {
    fn take(&mut self, name: &str) -> Option<Vec<u8>> {
        self.0.iter_mut().find(|(n, _)| n == name).map(|(_, v)| std::mem::take(v))
    }

    fn take_text(&mut self, name: &str) -> Option<String> {
        self.take(name).map(|v| decode_text(&v).into_owned())
    }
}

fn digest_fields(value: &[u8]) -> Option<Fields> {
    use crate::sip::message::lex;
    let (scheme, rest) = value.split_at_checked(6)?;
    let spaced = rest.first().is_some_and(|b| b.is_ascii_whitespace());
    if value.len() > VALUE_MAX || !spaced || !scheme.eq_ignore_ascii_case(b"Digest") {
        return None;
    }
    let mut fields: Vec<(String, Vec<u8>)> = Vec::with_capacity(10);
    for item in lex::Commas::new(rest) {
        let item = item.ok()?;
        if item.is_empty() {
            continue;
        }
        let at = memchr::memchr(b'=', item)?;
        let (name, text) = (lex::trim(&item[..at]), lex::trim(&item[at + 1..]));
        let name = lex::is_token(name).then(|| String::from_utf8_lossy(name).to_ascii_lowercase())?;
        if fields.len() >= 24 || fields.iter().any(|(n, _)| *n == name) {
            return None;
        }
        fields.push((name, lex::unquote(text)));
    }
    Some(Fields(fields))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::disallowed_methods, reason = "tests make their own moments")]
    use super::*;
    use crate::clock::UnixMillis;
    use rand::{SeedableRng, rngs::StdRng};

    const REALM: &str = "hotline.example.cn";

    fn moment() -> Now {
        Now { mono: Instant::now(), wall: UnixMillis(1_700_000_000_000) }
    }

    fn source() -> IpAddr {
        IpAddr::from([192, 0, 2, 7])
    }

    struct Bench {
        server: Authenticator,
        now: Now,
        rng: StdRng,
        uri: Uri,
        set: Ha1Set,
    }

    fn bench(algorithms: &[Algorithm]) -> Bench {
        Bench {
            server: Authenticator::new(REALM, b"secret", algorithms.to_vec(), Duration::from_secs(300)),
            now: moment(),
            rng: StdRng::seed_from_u64(7),
            uri: "sip:hotline.example.cn".parse().expect("uri"),
            set: ha1("8001", REALM, "pass word"),
        }
    }

    impl Bench {
        fn challenge(&mut self) -> Vec<Challenge> {
            let values = self.server.challenge(self.now, source(), false, &mut self.rng);
            values.iter().map(|v| Challenge::parse(v).expect("challenge")).collect()
        }

        fn answer(&self, challenge: &Challenge, password: &str, nc: u32) -> Authorization {
            let value = challenge.answer("8001", password, &Method::Register, &self.uri, b"", "c0ffee", nc);
            Authorization::parse(&value).expect("credentials")
        }

        fn verify(&mut self, auth: &Authorization) -> Verdict {
            let set = self.set.clone();
            self.server.verify(self.now, source(), &Method::Register, &self.uri, auth, Some(&set))
        }
    }

    #[test]
    fn rfc_7616_examples() {
        let uri: Uri = "http:/dir/index.html".parse().expect("uri");
        for (algorithm, response) in [
            ("MD5", "8ca523f5e9506fed4657c9700eebdbec"),
            ("SHA-256", "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"),
        ] {
            let challenge = Challenge::parse(
                format!(
                    "Digest realm=\"http-auth@example.org\", qop=\"auth, auth-int\", algorithm={algorithm}, \
                     nonce=\"7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v\", \
                     opaque=\"FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS\""
                )
                .as_bytes(),
            )
            .expect("challenge");
            let hash = challenge.algorithm;
            let ha1 = hash.hash(&[b"Mufasa", b"http-auth@example.org", b"Circle of Life"]);
            let ha2 = hash.hash(&[b"GET", b"/dir/index.html"]);
            let cnonce = b"f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ";
            let nonce = challenge.nonce.as_bytes();
            let got = hash.hash(&[ha1.as_bytes(), nonce, b"00000001", cnonce, b"auth", ha2.as_bytes()]);
            assert_eq!(got, response);
            let value = challenge.answer("Mufasa", "Circle of Life", &Method::Options, &uri, b"", "x", 1);
            let text = String::from_utf8(value.to_vec()).expect("text");
            assert!(text.contains("opaque=\"FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS\""));
            assert!(text.contains("qop=auth, nc=00000001"));
        }
    }

    #[test]
    fn hmac_of_rfc_4231() {
        let mac = hmac_sha256(b"Jefe", &[b"what do ya want ", b"for nothing?"]);
        assert_eq!(hex::encode(mac), "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
    }

    #[test]
    fn challenges_stand_in_the_configured_order_and_either_is_accepted() {
        let mut b = bench(&[Algorithm::Sha256, Algorithm::Md5]);
        let challenges = b.challenge();
        assert_eq!(challenges.iter().map(|c| c.algorithm).collect::<Vec<_>>(), [Algorithm::Sha256, Algorithm::Md5]);
        for (challenge, nc) in challenges.iter().zip(1..) {
            let auth = b.answer(challenge, "pass word", nc);
            assert_eq!(auth.username, "8001");
            assert_eq!(b.verify(&auth), Verdict::Ok);
        }
    }

    #[test]
    fn wrong_password_unknown_user_and_algorithm_not_offered_are_refused() {
        let mut b = bench(&[Algorithm::Sha256]);
        let challenge = b.challenge().remove(0);
        let wrong = b.answer(&challenge, "password", 1);
        assert_eq!(b.verify(&wrong), Verdict::Refused);
        let right = b.answer(&challenge, "pass word", 1);
        let (now, uri) = (b.now, b.uri.clone());
        assert_eq!(b.server.verify(now, source(), &Method::Register, &uri, &right, None), Verdict::Refused);
        assert_eq!(b.server.verify(now, source(), &Method::Invite, &uri, &right, Some(&b.set)), Verdict::Refused);
        let elsewhere: Uri = "sip:other.example.cn".parse().expect("uri");
        let got = b.server.verify(now, source(), &Method::Register, &elsewhere, &right, Some(&b.set));
        assert_eq!(got, Verdict::Refused);
        let downgraded = Challenge { algorithm: Algorithm::Md5, ..challenge };
        let weak = b.answer(&downgraded, "pass word", 1);
        assert_eq!(b.verify(&weak), Verdict::Refused);
        assert!(b.server.counts.is_empty(), "refusals leave nothing behind");
    }

    #[test]
    fn the_dummy_user_cannot_log_in() {
        let mut b = bench(&[Algorithm::Md5]);
        let challenge = b.challenge().remove(0);
        let value = challenge.answer("", "", &Method::Register, &b.uri, b"", "c", 1);
        let auth = Authorization::parse(&value).expect("credentials");
        let (now, uri) = (b.now, b.uri.clone());
        assert_eq!(b.server.verify(now, source(), &Method::Register, &uri, &auth, None), Verdict::Refused);
    }

    #[test]
    fn a_count_is_good_once_and_may_come_out_of_order() {
        let mut b = bench(&[Algorithm::Md5]);
        let challenge = b.challenge().remove(0);
        for (nc, verdict) in [
            (1, Verdict::Ok),
            (1, Verdict::Stale),
            (3, Verdict::Ok),
            (2, Verdict::Ok),
            (2, Verdict::Stale),
            (0x10, Verdict::Ok),
            (500, Verdict::Ok),
            (17, Verdict::Stale),
            (u32::MAX, Verdict::Ok),
            (500, Verdict::Stale),
        ] {
            let auth = b.answer(&challenge, "pass word", nc);
            assert_eq!(b.verify(&auth), verdict, "nc {nc}");
        }
        let zero = b.answer(&challenge, "pass word", 0);
        assert_eq!(b.verify(&zero), Verdict::Refused);
    }

    #[test]
    fn old_foreign_and_moved_nonces_are_stale() {
        let mut b = bench(&[Algorithm::Md5]);
        let challenge = b.challenge().remove(0);
        let auth = b.answer(&challenge, "pass word", 1);
        let (now, uri) = (b.now, b.uri.clone());
        let moved = IpAddr::from([192, 0, 2, 8]);
        let got = b.server.verify(now, moved, &Method::Register, &uri, &auth, Some(&b.set));
        assert_eq!(got, Verdict::Stale);
        b.now = now.plus(Duration::from_secs(301));
        assert_eq!(b.verify(&auth), Verdict::Stale);
        b.now = now;
        assert_eq!(b.verify(&auth), Verdict::Ok);
        let forged = Challenge { nonce: "00".repeat(32), ..challenge.clone() };
        let auth = b.answer(&forged, "pass word", 1);
        assert_eq!(b.verify(&auth), Verdict::Stale);
        let stale = b.server.challenge(now, source(), true, &mut b.rng);
        assert!(Challenge::parse(&stale[0]).expect("challenge").stale);
        let other = Authorization { realm: "elsewhere".into(), ..auth };
        assert_eq!(b.verify(&other), Verdict::Missing);
    }

    #[test]
    fn a_wall_clock_that_steps_back_changes_nothing() {
        let mut b = bench(&[Algorithm::Md5]);
        let challenge = b.challenge().remove(0);
        b.now = Now { mono: b.now.mono + Duration::from_secs(10), wall: UnixMillis(0) };
        let auth = b.answer(&challenge, "pass word", 1);
        assert_eq!(b.verify(&auth), Verdict::Ok);
    }

    #[test]
    fn without_qop_a_nonce_is_good_once() {
        let mut b = bench(&[Algorithm::Md5]);
        let challenge = Challenge { qop: None, ..b.challenge().remove(0) };
        let auth = b.answer(&challenge, "pass word", 1);
        assert_eq!(auth.qop, None);
        assert_eq!(b.verify(&auth), Verdict::Ok);
        assert_eq!(b.verify(&auth), Verdict::Stale);
    }

    #[test]
    fn the_table_is_bounded_and_what_falls_out_cannot_be_replayed() {
        let mut b = bench(&[Algorithm::Md5]);
        b.server.kept = 2;
        let mut used = Vec::new();
        for _ in 0..4 {
            b.now = b.now.plus(Duration::from_millis(5));
            let challenge = b.challenge().remove(0);
            let auth = b.answer(&challenge, "pass word", 1);
            assert_eq!(b.verify(&auth), Verdict::Ok);
            used.push(auth);
        }
        assert_eq!((b.server.counts.len(), b.server.order.len()), (2, 2));
        for auth in used {
            assert_eq!(b.verify(&auth), Verdict::Stale);
        }
        let late = b.now.plus(Duration::from_secs(400));
        b.server.sweep(late);
        assert_eq!((b.server.counts.len(), b.server.order.len()), (0, 0));
    }

    #[test]
    fn credentials_of_real_devices_parse() {
        let value = b"Digest  username=\"8001\" ,realm=\"a,b\",\tnonce=\"n\\\"q\", uri=\"sip:h;x=1\", \
            response=\"ABCDEF\", algorithm=md5, cnonce=\"c\", qop=\"auth\", nc=00000001, opaque=\"\"";
        let auth = Authorization::parse(value).expect("credentials");
        assert_eq!((auth.username.as_str(), auth.realm.as_str()), ("8001", "a,b"));
        assert_eq!((&auth.nonce[..], &auth.response[..]), (&b"n\"q"[..], &b"abcdef"[..]));
        assert_eq!((auth.qop.as_deref(), auth.algorithm), (Some("auth"), Some(Algorithm::Md5)));
        for bad in [
            &b"Basic abc"[..],
            b"Digest",
            b"Digestusername=\"a\"",
            b"Digest username=\"a\"",
            b"Digest username=\"a, realm=b",
            b"Digest username=\"a\", username=\"b\", realm=\"r\", nonce=\"n\", uri=\"u\", response=\"r\"",
        ] {
            assert_eq!(Authorization::parse(bad), None, "{}", String::from_utf8_lossy(bad));
        }
        assert!(!format!("{auth:?}").contains("abcdef"));
    }
}
