//! Digest credentials of a client (RFC 7616, RFC 8760): MD5 and SHA-256, `qop=auth`.

use md5::Md5;
use sha2::{Digest, Sha256};
use std::collections::HashMap;

/// A name and a password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credentials {
    /// The user name of the digest, often the number.
    pub user: String,
    /// In the clear.
    pub password: String,
}

/// The hash that a challenge asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Algorithm {
    /// RFC 2617's; taken only where nothing better is offered.
    Md5,
    /// RFC 7616's.
    Sha256,
}

impl Algorithm {
    fn name(self) -> &'static str {
        match self {
            Algorithm::Md5 => "MD5",
            Algorithm::Sha256 => "SHA-256",
        }
    }

    /// The hash of the text in lower-case hexadecimal.
    pub fn hash(self, text: &str) -> String {
        match self {
            Algorithm::Md5 => hex::encode(Md5::digest(text)),
            Algorithm::Sha256 => hex::encode(Sha256::digest(text)),
        }
    }
}

/// What a server asks for in `WWW-Authenticate` or `Proxy-Authenticate`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Challenge {
    /// Whose password is meant.
    pub realm: String,
    /// To be given back.
    pub nonce: String,
    /// To be given back, where there is one.
    pub opaque: Option<String>,
    /// MD5 where none is named.
    pub algorithm: Algorithm,
    /// Whether `qop=auth` is offered; without it the reply has RFC 2069's form.
    pub qop_auth: bool,
    /// Only the nonce was too old: try again with the same password.
    pub stale: bool,
}

impl Challenge {
    /// Reads a header's value; None when the scheme, the algorithm or the quality of protection is not ours.
    pub fn parse(value: &str) -> Option<Challenge> {
        let mut fields = parameters(value)?;
        let algorithm = match fields.get("algorithm").map(|a| a.to_ascii_uppercase()).as_deref() {
            None | Some("MD5") => Algorithm::Md5,
            Some("SHA-256") => Algorithm::Sha256,
            Some(_) => return None,
        };
        let qop_auth = match fields.get("qop") {
            None => false,
            Some(qop) if qop.split(',').any(|q| q.trim().eq_ignore_ascii_case("auth")) => true,
            Some(_) => return None,
        };
        Some(Challenge {
            realm: fields.remove("realm")?,
            nonce: fields.remove("nonce")?,
            opaque: fields.remove("opaque"),
            algorithm,
            qop_auth,
            stale: fields.get("stale").is_some_and(|s| s.eq_ignore_ascii_case("true")),
        })
    }

    /// The strongest of several challenges (RFC 8760 section 2.3).
    pub fn strongest<'a>(values: impl Iterator<Item = &'a str>) -> Option<Challenge> {
        values.filter_map(Challenge::parse).max_by_key(|c| c.algorithm)
    }

    /// The value of `Authorization` for a request. `count` is the nonce count, from 1.
    pub fn answer(&self, who: &Credentials, method: &str, uri: &str, count: u32, cnonce: &str) -> String {
        let response = self.response(who, method, uri, count, cnonce);
        let mut value = format!(
            "Digest username=\"{}\", realm=\"{}\", nonce=\"{}\", uri=\"{uri}\", response=\"{response}\", algorithm={}",
            who.user,
            self.realm,
            self.nonce,
            self.algorithm.name()
        );
        if self.qop_auth {
            value += &format!(", qop=auth, nc={count:08x}, cnonce=\"{cnonce}\"");
        }
        if let Some(opaque) = &self.opaque {
            value += &format!(", opaque=\"{opaque}\"");
        }
        value
    }

    /// RFC 7616 section 3.4.1.
    pub fn response(&self, who: &Credentials, method: &str, uri: &str, count: u32, cnonce: &str) -> String {
        let hash = |text: String| self.algorithm.hash(&text);
        let secret = hash(format!("{}:{}:{}", who.user, self.realm, who.password));
        let request = hash(format!("{method}:{uri}"));
        match self.qop_auth {
            true => hash(format!("{secret}:{}:{count:08x}:{cnonce}:auth:{request}", self.nonce)),
            false => hash(format!("{secret}:{}:{request}", self.nonce)),
        }
    }
}

/// The parameters of a `Digest …` value, names in lower case; None when the scheme is another.
pub fn parameters(value: &str) -> Option<HashMap<String, String>> {
    let value = value.trim();
    let rest = value.get(..7).filter(|scheme| scheme.eq_ignore_ascii_case("Digest ")).and(value.get(7..))?;
    let mut fields = HashMap::new();
    let mut rest = rest.trim_start();
    while let Some((name, after)) = rest.split_once('=') {
        let (text, after) = match after.strip_prefix('"') {
            Some(quoted) => {
                let end = closing_quote(quoted)?;
                (quoted[..end].replace("\\\"", "\""), &quoted[end + 1..])
            }
            None => {
                let end = after.find(',').unwrap_or(after.len());
                (after[..end].trim().to_owned(), &after[end..])
            }
        };
        fields.insert(name.trim().to_ascii_lowercase(), text);
        rest = after.trim_start().trim_start_matches(',').trim_start();
    }
    Some(fields)
}

fn closing_quote(text: &str) -> Option<usize> {
    let mut escaped = false;
    text.bytes().position(|b| {
        let end = b == b'"' && !escaped;
        escaped = b == b'\\' && !escaped;
        end
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_of_rfc_7616() {
        let who = Credentials { user: "Mufasa".into(), password: "Circle of Life".into() };
        for (algorithm, expected) in [
            ("MD5", "8ca523f5e9506fed4657c9700eebdbec"),
            ("SHA-256", "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"),
        ] {
            let challenge = Challenge::parse(&format!(
                "Digest realm=\"http-auth@example.org\", qop=\"auth, auth-int\", algorithm={algorithm}, \
                 nonce=\"7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v\", \
                 opaque=\"FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS\""
            ))
            .unwrap();
            let cnonce = "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ";
            assert_eq!(challenge.response(&who, "GET", "/dir/index.html", 1, cnonce), expected);
            let answer = challenge.answer(&who, "GET", "/dir/index.html", 255, cnonce);
            assert!(answer.contains("nc=000000ff") && answer.contains("opaque=\"FQhe"), "{answer}");
        }
    }

    #[test]
    fn the_strongest_challenge_is_taken_and_strange_ones_are_left() {
        let values = [
            "Digest realm=\"a\", nonce=\"1\", algorithm=MD5, qop=\"auth\"",
            "Digest realm=\"a\", nonce=\"2\", algorithm=SHA-256, qop=\"auth\", stale=TRUE",
            "Digest realm=\"a\", nonce=\"3\", algorithm=SHA-512-256, qop=\"auth\"",
            "Basic realm=\"a\"",
        ];
        let challenge = Challenge::strongest(values.into_iter()).unwrap();
        assert_eq!((challenge.nonce.as_str(), challenge.algorithm, challenge.stale), ("2", Algorithm::Sha256, true));
        assert!(Challenge::parse("Digest realm=\"a, nonce=1").is_none());
        assert!(Challenge::parse("Digest realm=\"a\", nonce=\"1\", qop=\"auth-int\"").is_none());
        assert!(Challenge::parse("").is_none() && Challenge::parse("Dígest x").is_none());
    }

    #[test]
    fn the_form_without_qop() {
        let challenge = Challenge::parse("digest realm=\"r\",nonce=\"n\"").unwrap();
        let who = Credentials { user: "u".into(), password: "p".into() };
        let hash = |t: &str| Algorithm::Md5.hash(t);
        let expected = hash(&format!("{}:n:{}", hash("u:r:p"), hash("REGISTER:sip:x")));
        assert!(challenge.answer(&who, "REGISTER", "sip:x", 1, "c").contains(&expected));
    }
}
