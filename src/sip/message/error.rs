//! What is wrong with a message, and which answer it is owed.

use super::{HeaderName, Method, Request, Response};

/// One fault of a message or of one header field.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Defect {
    /// Nothing but line ends: a keep-alive (RFC 5626 section 3.5.1).
    #[error("empty")]
    Empty,
    /// Neither a request nor a status line: not SIP at all.
    #[error("not SIP")]
    NotSip,
    /// The request line breaks the grammar.
    #[error("bad request line")]
    RequestLine,
    /// The status line breaks the grammar or its code is outside 100–699.
    #[error("bad status line")]
    StatusLine,
    /// A version other than SIP/2.0.
    #[error("version not supported")]
    Version,
    /// The URI breaks the grammar.
    #[error("bad URI")]
    Uri,
    /// The Request-URI's scheme is not sip, sips or tel.
    #[error("URI scheme not supported")]
    Scheme,
    /// The header section does not end, or a line ends with a bare CR or LF.
    #[error("bad line end in the headers")]
    LineEnd,
    /// A line is no header field.
    #[error("bad header line")]
    HeaderLine,
    /// A header field that must be there is not.
    #[error("{0} is missing")]
    Missing(HeaderName),
    /// A header field that may come once came again.
    #[error("{0} is repeated")]
    Repeated(HeaderName),
    /// A header field's value breaks its grammar or range.
    #[error("bad {0}")]
    Header(HeaderName),
    /// CSeq's method differs from the request line's.
    #[error("CSeq is of another method")]
    MethodMismatch,
    /// The body is shorter than Content-Length says.
    #[error("body is cut short")]
    BodyCutShort,
    /// A line, the message or the number of its header fields is over the limit.
    #[error("too large")]
    TooLarge,
}

/// Why bytes are not a message, with as much of a request as its answer needs.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{defect}")]
pub struct ParseError {
    /// The first fault found.
    pub defect: Defect,
    /// The request as far as it was understood: those header lines that are well formed, an empty body. None for
    /// responses, for what is not SIP and for what has no Via.
    pub partial: Option<Box<Request>>,
}

impl ParseError {
    /// The status that answers the fault: 505 for the version, 416 for the scheme, else 400.
    pub fn status(&self) -> u16 {
        match self.defect {
            Defect::Version => 505,
            Defect::Scheme => 416,
            _ => 400,
        }
    }

    /// The answer to send to where the bytes came from; None where silence is right (responses, ACK, not SIP).
    ///
    /// To has no tag yet: the caller adds its own.
    pub fn response(&self) -> Option<Response> {
        let request = self.partial.as_deref()?;
        if request.method == Method::Ack {
            return None;
        }
        let reason = match self.defect {
            Defect::Version | Defect::Scheme => String::new(),
            ref other => format!("Bad Request - {other}"),
        };
        Some(Response::to_request(request, self.status(), &reason))
    }
}
