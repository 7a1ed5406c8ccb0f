//! SDP and the offer/answer model (RFC 8866, 3264).
