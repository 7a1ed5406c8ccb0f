//! The two requests that are made out of an INVITE: the ACK of a failure and the CANCEL (RFC 3261 sections
//! 17.1.1.3 and 9.1).
//!
//! They are cut from the INVITE's own bytes, which this house printed: a field a line, no folding, full names.

use bytes::Bytes;

/// The ACK for a response of 300–699 whose To field is `to`: it repeats the INVITE's Request-URI, its topmost Via,
/// its Route, From, Call-ID, CSeq number and credentials (section 17.1.1.3).
pub fn ack(invite: &[u8], to: &[u8]) -> Bytes {
    cut(invite, b"ACK", Some(to), b"")
}

/// The CANCEL: as the ACK, but its To is the INVITE's own, without a tag (section 9.1). `more` are header lines of
/// its own, such as Reason, each with its line end.
pub fn cancel(invite: &[u8], more: &[u8]) -> Bytes {
    cut(invite, b"CANCEL", None, more)
}

fn cut(invite: &[u8], method: &[u8], to: Option<&[u8]>, more: &[u8]) -> Bytes {
    let mut out = Vec::with_capacity(512);
    let mut lines = invite.split(|byte| *byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line));
    let start = lines.next().unwrap_or_default();
    let uri_on = start.iter().position(|byte| *byte == b' ').unwrap_or(start.len());
    push_line(&mut out, method, &start[uri_on..]);
    let mut via_seen = false;
    for line in lines.take_while(|line| !line.is_empty()) {
        let colon = line.iter().position(|byte| *byte == b':').unwrap_or(line.len());
        let name = &line[..colon];
        if is(name, "Via") {
            if !via_seen {
                push_line(&mut out, line, b"");
            }
            via_seen = true;
        } else if is(name, "To") {
            match to {
                Some(to) => push_line(&mut out, b"To: ", to),
                None => push_line(&mut out, line, b""),
            }
        } else if is(name, "CSeq") {
            let number = line[colon..].iter().skip(1).filter(|byte| byte.is_ascii_digit());
            out.extend_from_slice(b"CSeq: ");
            out.extend(number);
            push_line(&mut out, b" ", method);
        } else if KEPT.iter().any(|kept| is(name, kept)) {
            push_line(&mut out, line, b"");
        }
    }
    out.extend_from_slice(more);
    out.extend_from_slice(b"Content-Length: 0\r\n\r\n");
    Bytes::from(out.into_boxed_slice())
}

/// What both requests repeat as it stands; credentials because of section 22.1.
const KEPT: [&str; 6] = ["Route", "From", "Call-ID", "Max-Forwards", "Authorization", "Proxy-Authorization"];

fn is(name: &[u8], wanted: &str) -> bool {
    name.trim_ascii().eq_ignore_ascii_case(wanted.as_bytes())
}

fn push_line(out: &mut Vec<u8>, first: &[u8], second: &[u8]) {
    out.extend_from_slice(first);
    out.extend_from_slice(second);
    out.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    const INVITE: &[u8] = b"INVITE sip:b@example.net;x=1 SIP/2.0\r\n\
        Via: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKa\r\n\
        Via: SIP/2.0/UDP 192.0.2.9;branch=z9hG4bKz\r\n\
        Route: <sip:p1;lr>\r\n\
        Route: <sip:p2;lr>\r\n\
        Max-Forwards: 70\r\n\
        From: \"A\" <sip:a@example.net>;tag=1\r\n\
        To: <sip:b@example.net>\r\n\
        Call-ID: c@h\r\n\
        CSeq: 7 INVITE\r\n\
        Contact: <sip:a@192.0.2.1>\r\n\
        Content-Type: application/sdp\r\n\
        Content-Length: 5\r\n\r\nTo: x";

    #[test]
    fn ack_repeats_what_it_must_with_the_to_of_the_response() {
        let expected = "ACK sip:b@example.net;x=1 SIP/2.0\r\n\
            Via: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKa\r\n\
            Route: <sip:p1;lr>\r\n\
            Route: <sip:p2;lr>\r\n\
            Max-Forwards: 70\r\n\
            From: \"A\" <sip:a@example.net>;tag=1\r\n\
            To: <sip:b@example.net>;tag=2\r\n\
            Call-ID: c@h\r\n\
            CSeq: 7 ACK\r\n\
            Content-Length: 0\r\n\r\n";
        let got = ack(INVITE, b"<sip:b@example.net>;tag=2");
        assert_eq!(String::from_utf8_lossy(&got), expected);
    }

    #[test]
    fn cancel_keeps_the_to_without_a_tag() {
        let got = cancel(INVITE, b"Reason: SIP;cause=487\r\n");
        let text = String::from_utf8_lossy(&got);
        assert!(text.starts_with("CANCEL sip:b@example.net;x=1 SIP/2.0\r\n"));
        assert!(text.contains("\r\nTo: <sip:b@example.net>\r\n"));
        assert!(text.contains("\r\nCSeq: 7 CANCEL\r\n"));
        assert!(text.ends_with("\r\nReason: SIP;cause=487\r\nContent-Length: 0\r\n\r\n"));
        assert!(!text.contains("Contact"));
    }

    #[test]
    fn rubbish_does_not_panic() {
        for rubbish in [&b""[..], b"\r\n", b"INVITE", b"INVITE x\r\nCSeq\r\nTo", b":\n:\n"] {
            ack(rubbish, b"");
            cancel(rubbish, b"");
        }
    }
}
