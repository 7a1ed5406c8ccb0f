//! Methods and tokens.

use super::lex;
use bytes::Bytes;
use std::{
    fmt,
    hash::{Hash, Hasher},
    ops::Deref,
};

/// A token (RFC 3261 section 25.1): compared without regard to case, kept in its spelling.
#[derive(Clone)]
pub struct Token(Bytes);

impl Token {
    /// `text` as a token; None if it is empty or holds another character.
    pub fn new(text: impl Into<Bytes>) -> Option<Token> {
        let text = text.into();
        lex::is_token(&text).then_some(Token(text))
    }

    /// The token's text, which is ASCII.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl Deref for Token {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl PartialEq for Token {
    fn eq(&self, other: &Token) -> bool {
        self.0.eq_ignore_ascii_case(&other.0)
    }
}

impl Eq for Token {}

impl Hash for Token {
    fn hash<H: Hasher>(&self, state: &mut H) {
        for b in self.0.iter() {
            state.write_u8(b.to_ascii_lowercase());
        }
        state.write_u8(0xff);
    }
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

macro_rules! methods {
    ($($variant:ident = $text:literal,)*) => {
        /// A method. Unknown ones are kept as they came; methods are compared with regard to case.
        #[derive(Clone, Debug, PartialEq, Eq, Hash)]
        pub enum Method {
            $(#[doc = concat!("`", $text, "`.")] $variant,)*
            /// Any other method.
            Other(OtherMethod),
        }

        impl Method {
            /// The method as it is printed; always ASCII.
            pub fn as_str(&self) -> &str {
                match self {
                    $(Method::$variant => $text,)*
                    Method::Other(other) => other.0.as_str(),
                }
            }

            fn known(text: &[u8]) -> Option<Method> {
                $(if text == $text.as_bytes() { return Some(Method::$variant); })*
                None
            }
        }
    };
}

methods! {
    Invite = "INVITE",
    Ack = "ACK",
    Bye = "BYE",
    Cancel = "CANCEL",
    Options = "OPTIONS",
    Register = "REGISTER",
    Info = "INFO",
    Update = "UPDATE",
    Prack = "PRACK",
    Refer = "REFER",
    Notify = "NOTIFY",
    Subscribe = "SUBSCRIBE",
    Message = "MESSAGE",
    Publish = "PUBLISH",
}

/// An unknown method's name; unlike other tokens it is compared with regard to case (RFC 3261 section 7.1).
#[derive(Clone, Debug)]
pub struct OtherMethod(Token);

impl PartialEq for OtherMethod {
    fn eq(&self, other: &OtherMethod) -> bool {
        *self.0 == *other.0
    }
}

impl Eq for OtherMethod {}

impl Hash for OtherMethod {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (*self.0).hash(state);
    }
}

impl Method {
    /// The method with this name; None if it is not a token.
    pub fn from_bytes(text: Bytes) -> Option<Method> {
        Method::known(&text).or_else(|| Token::new(text).map(|t| Method::Other(OtherMethod(t))))
    }

    /// The method named by `part`, which is a slice of `whole`.
    pub(crate) fn from_part(whole: &Bytes, part: &[u8]) -> Option<Method> {
        Method::known(part).or_else(|| Method::from_bytes(whole.slice_ref(part)))
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
