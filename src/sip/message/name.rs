//! Header field names: the registered ones as a closed set with their compact forms, any other as it was spelt.

use super::Token;
use std::fmt;

macro_rules! header_names {
    ($($variant:ident = $text:literal $(/ $compact:literal)?,)*) => {
        /// A header field's name; compared without regard to case (RFC 3261 section 7.3.1).
        #[derive(Clone, PartialEq, Eq, Hash)]
        pub enum HeaderName {
            $(#[doc = concat!("`", $text, "`.")] $variant,)*
            /// Any other name, in the spelling in which it came.
            Other(Token),
        }

        impl HeaderName {
            /// The name as it is printed.
            pub fn as_bytes(&self) -> &[u8] {
                match self {
                    $(HeaderName::$variant => $text.as_bytes(),)*
                    HeaderName::Other(token) => token,
                }
            }
        }

        static KNOWN: &[(&str, HeaderName)] = &[
            $(($text, HeaderName::$variant), $(($compact, HeaderName::$variant),)?)*
        ];
    };
}

header_names! {
    Accept = "Accept",
    AcceptEncoding = "Accept-Encoding",
    AcceptLanguage = "Accept-Language",
    AlertInfo = "Alert-Info",
    Allow = "Allow",
    AllowEvents = "Allow-Events" / "u",
    AuthenticationInfo = "Authentication-Info",
    Authorization = "Authorization",
    CallId = "Call-ID" / "i",
    CallInfo = "Call-Info",
    Contact = "Contact" / "m",
    ContentDisposition = "Content-Disposition",
    ContentEncoding = "Content-Encoding" / "e",
    ContentLanguage = "Content-Language",
    ContentLength = "Content-Length" / "l",
    ContentType = "Content-Type" / "c",
    CSeq = "CSeq",
    Date = "Date",
    Diversion = "Diversion",
    ErrorInfo = "Error-Info",
    Event = "Event" / "o",
    Expires = "Expires",
    From = "From" / "f",
    HistoryInfo = "History-Info",
    InReplyTo = "In-Reply-To",
    MaxForwards = "Max-Forwards",
    MimeVersion = "MIME-Version",
    MinExpires = "Min-Expires",
    MinSe = "Min-SE",
    Organization = "Organization",
    PAccessNetworkInfo = "P-Access-Network-Info",
    PAssertedIdentity = "P-Asserted-Identity",
    PAssociatedUri = "P-Associated-URI",
    Path = "Path",
    PChargingVector = "P-Charging-Vector",
    PEarlyMedia = "P-Early-Media",
    PPreferredIdentity = "P-Preferred-Identity",
    Priority = "Priority",
    Privacy = "Privacy",
    ProxyAuthenticate = "Proxy-Authenticate",
    ProxyAuthorization = "Proxy-Authorization",
    ProxyRequire = "Proxy-Require",
    RAck = "RAck",
    Reason = "Reason",
    RecordRoute = "Record-Route",
    ReferredBy = "Referred-By" / "b",
    ReferSub = "Refer-Sub",
    ReferTo = "Refer-To" / "r",
    RemotePartyId = "Remote-Party-ID",
    Replaces = "Replaces",
    ReplyTo = "Reply-To",
    Require = "Require",
    RetryAfter = "Retry-After",
    Route = "Route",
    RSeq = "RSeq",
    Server = "Server",
    ServiceRoute = "Service-Route",
    SessionExpires = "Session-Expires" / "x",
    SipETag = "SIP-ETag",
    SipIfMatch = "SIP-If-Match",
    Subject = "Subject" / "s",
    SubscriptionState = "Subscription-State",
    Supported = "Supported" / "k",
    Timestamp = "Timestamp",
    To = "To" / "t",
    Unsupported = "Unsupported",
    UserAgent = "User-Agent",
    UserToUser = "User-to-User",
    Via = "Via" / "v",
    Warning = "Warning",
    WwwAuthenticate = "WWW-Authenticate",
}

const SLOTS: usize = 512;

const fn slot(name: &[u8]) -> usize {
    let first = name[0].to_ascii_lowercase() as usize;
    let last = name[name.len() - 1].to_ascii_lowercase() as usize;
    let middle = name[name.len() / 2].to_ascii_lowercase() as usize;
    (name.len() * 67 + first * 31 + last * 7 + middle * 131) % SLOTS
}

/// Open addressing: `INDEX[slot]` is 1 + the place in `KNOWN`, 0 is empty.
static INDEX: [u8; SLOTS] = {
    let mut index = [0u8; SLOTS];
    let mut i = 0;
    while i < KNOWN.len() {
        let mut at = slot(KNOWN[i].0.as_bytes());
        while index[at] != 0 {
            at = (at + 1) % SLOTS;
        }
        index[at] = (i + 1) as u8;
        i += 1;
    }
    index
};

impl HeaderName {
    /// The registered name with this spelling (long or compact, any case).
    pub(crate) fn known(name: &[u8]) -> Option<HeaderName> {
        if name.is_empty() {
            return None;
        }
        let mut at = slot(name);
        while INDEX[at] != 0 {
            let (text, known) = &KNOWN[INDEX[at] as usize - 1];
            if text.as_bytes() == name || text.as_bytes().eq_ignore_ascii_case(name) {
                return Some(known.clone());
            }
            at = (at + 1) % SLOTS;
        }
        None
    }

    /// The name with this spelling; None if it is not a token.
    pub fn from_text(name: &str) -> Option<HeaderName> {
        HeaderName::known(name.as_bytes())
            .or_else(|| Token::new(bytes::Bytes::copy_from_slice(name.as_bytes())).map(HeaderName::Other))
    }

    /// Whether this name is `text`, in any case.
    pub fn is(&self, text: &str) -> bool {
        self.as_bytes().eq_ignore_ascii_case(text.as_bytes())
    }
}

impl fmt::Display for HeaderName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&String::from_utf8_lossy(self.as_bytes()))
    }
}

impl fmt::Debug for HeaderName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
