//! Which transaction a message belongs to (RFC 3261 sections 17.1.3 and 17.2.3).

use crate::sip::message::{MAGIC_COOKIE, Method, Request, Via};
use bytes::{BufMut, Bytes};

/// The random part of a branch of ours: 64 bits, so that nobody guesses one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Branch(pub u64);

impl Branch {
    /// The branch as it stands in Via.
    pub fn text(self) -> String {
        format!("{MAGIC_COOKIE}{:016x}", self.0)
    }

    /// The branch of a response's Via; None where it cannot be one of ours.
    pub fn of_response(via: &Via) -> Option<Branch> {
        let branch = via.params.get("branch")?;
        let digits = branch.strip_prefix(MAGIC_COOKIE.as_bytes()).filter(|digits| digits.len() == 16)?;
        u64::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok().map(Branch)
    }
}

/// Writes the key of the server transaction of `method` that `request` belongs to. An ACK or a CANCEL finds its
/// INVITE by `Method::Invite`. `via` is the topmost Via as it came.
///
/// A key that begins with `3` is that of RFC 3261: branch, sent-by and method. One that begins with `2` is for peers
/// of RFC 2543, who have no unique branch: Request-URI, From tag, Call-ID, CSeq, Via, and To tag where it cannot
/// have changed.
pub fn server(out: &mut Vec<u8>, request: &Request, via: &Via, method: &Method) {
    out.clear();
    if via.has_magic_cookie() {
        out.push(b'3');
        out.extend_from_slice(via.params.get("branch").unwrap_or_default());
        out.push(b'@');
        out.extend(via.host.as_str().bytes().map(|byte| byte.to_ascii_lowercase()));
        out.put_u16(via.port.unwrap_or(0));
    } else {
        out.push(b'2');
        request.uri.write_to(out);
        field(out, &request.headers.from_tag().unwrap_or_default());
        field(out, request.headers.call_id().map(|id| &id[..]).unwrap_or_default());
        out.put_u32(request.headers.cseq().map(|cseq| cseq.number).unwrap_or(0));
        field(out, &Bytes::from(via));
        // The ACK of a failure has the tag that the answer brought; the INVITE had none.
        if *method != Method::Invite {
            field(out, &request.headers.to_tag().unwrap_or_default());
        }
    }
    field(out, method.as_str().as_bytes());
}

fn field(out: &mut Vec<u8>, value: &[u8]) {
    out.push(0);
    out.extend_from_slice(value);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sip::message::Message;

    fn request(method: &str, via: &str, to: &str) -> Request {
        let text = format!(
            "{method} sip:b@example.net SIP/2.0\r\nVia: {via}\r\nFrom: <sip:a@example.net>;tag=1\r\n\
             To: {to}\r\nCall-ID: c\r\nCSeq: 7 {method}\r\n\r\n"
        );
        match Message::parse(text.into()) {
            Ok(Message::Request(request)) => request,
            other => panic!("{other:?}"),
        }
    }

    fn key(request: &Request, method: &Method) -> Vec<u8> {
        let mut out = Vec::new();
        server(&mut out, request, &request.headers.top_via().expect("checked"), method);
        out
    }

    const NEW: &str = "SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bKa";
    const OLD: &str = "SIP/2.0/UDP 192.0.2.1:5060;branch=1";

    #[test]
    fn an_ack_and_a_cancel_find_their_invite() {
        for via in [NEW, OLD] {
            let invite = key(&request("INVITE", via, "<sip:b@example.net>"), &Method::Invite);
            let ack = request("ACK", via, "<sip:b@example.net>;tag=2");
            let cancel = request("CANCEL", via, "<sip:b@example.net>");
            assert_eq!(key(&ack, &Method::Invite), invite);
            assert_eq!(key(&cancel, &Method::Invite), invite);
            assert_ne!(key(&cancel, &Method::Cancel), invite);
        }
    }

    #[test]
    fn sent_by_and_branch_tell_transactions_apart() {
        let one = key(&request("BYE", NEW, "<sip:b@example.net>"), &Method::Bye);
        for via in [
            "SIP/2.0/UDP 192.0.2.2:5060;branch=z9hG4bKa",
            "SIP/2.0/UDP 192.0.2.1:5061;branch=z9hG4bKa",
            "SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bKA",
        ] {
            assert_ne!(key(&request("BYE", via, "<sip:b@example.net>"), &Method::Bye), one);
        }
    }

    #[test]
    fn without_the_cookie_the_headers_tell_them_apart() {
        let one = key(&request("BYE", OLD, "<sip:b@example.net>;tag=2"), &Method::Bye);
        assert_eq!(one, key(&request("BYE", OLD, "<sip:b@example.net>;tag=2"), &Method::Bye));
        assert_ne!(one, key(&request("BYE", OLD, "<sip:b@example.net>;tag=3"), &Method::Bye));
        assert_ne!(one, key(&request("BYE", "SIP/2.0/UDP 192.0.2.1:5060", "<sip:b@example.net>;tag=2"), &Method::Bye));
    }

    #[test]
    fn our_branch_is_read_back() {
        let branch = Branch(0x0123_4567_89ab_cdef);
        let via = |branch: &str| request("BYE", &format!("SIP/2.0/UDP h;branch={branch}"), "<sip:b@h>");
        let read = |text: &str| Branch::of_response(&via(text).headers.top_via().expect("checked"));
        assert_eq!(read(&branch.text()), Some(branch));
        assert_eq!(read("z9hG4bK1"), None);
        assert_eq!(read("z9hG4bKzzzzzzzzzzzzzzzz"), None);
    }
}
