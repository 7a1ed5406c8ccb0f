//! The parser's and printer's own tests, and a comparison with another parser.

use super::*;
use proptest::prelude::*;
use std::net::SocketAddr;

fn crlf(text: &str) -> Bytes {
    text.replace('\n', "\r\n").into()
}

fn parse(text: &str) -> Result<Message, ParseError> {
    Message::parse(crlf(text))
}

fn request(text: &str) -> Request {
    match parse(text) {
        Ok(Message::Request(request)) => request,
        other => panic!("not a request: {other:?}"),
    }
}

const HEAD: &str = "Via: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bK776;rport
Max-Forwards: 70
From: \"Alice\" <sip:alice@example.com>;tag=88sja8x
To: <sip:12345@example.com>
Call-ID: 987asjd97y7atg
CSeq: 986759 INVITE
";

fn invite(extra: &str) -> String {
    format!("INVITE sip:12345@example.com SIP/2.0\n{HEAD}{extra}\n")
}

fn defect(text: &str) -> (Defect, Option<u16>) {
    let error = parse(text).expect_err("should be refused");
    let answer = error.response().map(|r| r.status);
    (error.defect, answer)
}

#[test]
fn an_invite_is_taken_apart() {
    let text = format!("{}v=0\n", invite("c: application/sdp\nX-Odd: kept as is\nContent-Length : 5\n"));
    let r = request(&text);
    assert_eq!(r.method, Method::Invite);
    assert_eq!(r.uri.user().as_deref(), Some("12345"));
    assert_eq!(r.headers.from_tag().as_deref(), Some(&b"88sja8x"[..]));
    assert_eq!(r.headers.to_tag(), None);
    assert_eq!(r.headers.from().expect("from").display_name().as_deref(), Some("Alice"));
    assert_eq!(r.headers.call_id().map(|c| &c[..]), Ok(&b"987asjd97y7atg"[..]));
    assert_eq!(r.headers.cseq(), Ok(CSeq { number: 986_759, method: Method::Invite }));
    assert_eq!(r.headers.max_forwards(), Ok(Some(70)));
    assert!(r.headers.content_type().expect("type").expect("there").is("Application", "SDP"));
    assert_eq!(r.headers.get_other("x-odd").map(|v| &v[..]), Some(&b"kept as is"[..]));
    assert_eq!(&r.body[..], b"v=0\r\n");
    let printed = r.to_bytes();
    assert!(printed.ends_with(b"X-Odd: kept as is\r\nContent-Length: 5\r\n\r\nv=0\r\n"));
    assert_eq!(Message::parse(printed).expect("again"), Message::Request(r));
}

#[test]
fn slices_share_the_datagram() {
    let bytes = crlf(&invite(""));
    let range = bytes.as_ptr_range();
    let Ok(Message::Request(r)) = Message::parse(bytes.clone()) else { panic!("refused") };
    for header in r.headers.iter() {
        assert!(range.contains(&header.value.as_ptr()), "{} was copied", header.name);
    }
}

#[test]
fn compact_forms_are_known() {
    let r = request(
        "OPTIONS sip:a@b SIP/2.0\nv: SIP/2.0/UDP h\nf: <sip:a@b>;tag=1\nt: <sip:a@b>\ni: x\nCSEQ: 1 OPTIONS\nk: a, b\n\
         s: hi\ne: gzip\no: dialog\nr: <sip:c@d>\nu: x\nb: <sip:e@f>\nx: 90\nm: <sip:z@y>\n\n",
    );
    for name in [
        HeaderName::Via,
        HeaderName::From,
        HeaderName::To,
        HeaderName::CallId,
        HeaderName::CSeq,
        HeaderName::Supported,
        HeaderName::Subject,
        HeaderName::ContentEncoding,
        HeaderName::Event,
        HeaderName::ReferTo,
        HeaderName::AllowEvents,
        HeaderName::ReferredBy,
        HeaderName::SessionExpires,
        HeaderName::Contact,
    ] {
        assert!(r.headers.has(&name), "{name}");
    }
    assert!(r.headers.has_token(&HeaderName::Supported, "B"));
}

#[test]
fn every_registered_name_is_found_by_its_own_spelling() {
    for name in ["Accept", "WWW-Authenticate", "P-Asserted-Identity", "RAck", "Min-SE", "User-to-User", "l", "v"] {
        let found = HeaderName::known(name.to_ascii_uppercase().as_bytes()).expect(name);
        assert_eq!(HeaderName::known(found.as_bytes()), Some(found));
    }
    assert_eq!(HeaderName::known(b"X-Foo"), None);
    assert_eq!(HeaderName::from_text("bad name"), None);
    assert_eq!(HeaderName::from_text("X-Foo"), HeaderName::from_text("x-fOO"));
}

#[test]
fn folded_lines_are_one_value() {
    let r = request(&invite("Subject: one\n two\n\t three\nX-Empty:\n"));
    assert_eq!(r.headers.text(&HeaderName::Subject).as_deref(), Some("one two three"));
    assert_eq!(r.headers.get_other("X-Empty").map(|v| v.len()), Some(0));
}

#[test]
fn lists_are_split_outside_quotes_and_brackets() {
    let r = request(&invite(
        "Contact: \"a, b\" <sip:a@h;x=1,2>;q=0.5, sip:c@d;expires=60\nContact: <tel:+86-10-12345>;q=0.25\n",
    ));
    let Ok(Some(Contacts::List(list))) = r.headers.contacts() else { panic!("no contacts") };
    assert_eq!(list.len(), 3);
    assert_eq!(list[0].display_name().as_deref(), Some("a, b"));
    assert_eq!(list.iter().map(NameAddr::q).collect::<Vec<_>>(), [500, 1000, 250]);
    assert_eq!(list[1].expires(), Some(60));
    assert_eq!(list[2].uri.user().as_deref(), Some("+861012345"));
    let star = request(&invite("Contact: *\n"));
    assert_eq!(star.headers.contacts(), Ok(Some(Contacts::Star)));
    let mixed = request(&invite("Contact: *\nContact: <sip:a@b>\n"));
    assert!(mixed.headers.contacts().is_err());
}

#[test]
fn names_come_in_utf8_and_gbk() {
    let gbk = encoding_rs::GBK.encode("市民 \"张三\"乗").0.replace_quotes();
    let mut bytes = b"INVITE sip:1@h SIP/2.0\r\nVia: SIP/2.0/UDP h\r\nFrom: \"".to_vec();
    bytes.extend_from_slice(&gbk);
    bytes.extend_from_slice(b"\" <sip:a@b>;tag=1\r\nTo: ");
    bytes.extend_from_slice("\"热线\"<sip:1@h>\r\nCall-ID: x\r\nCSeq: 1 INVITE\r\n\r\n".as_bytes());
    let Ok(Message::Request(r)) = Message::parse(bytes.into()) else { panic!("refused") };
    assert_eq!(r.headers.from().expect("from").display_name().as_deref(), Some("市民 \"张三\"乗"));
    assert_eq!(r.headers.to().expect("to").display_name().as_deref(), Some("热线"));
    assert_eq!(Message::parse(r.to_bytes()).expect("again"), Message::Request(r));
}

trait ReplaceQuotes {
    fn replace_quotes(&self) -> Vec<u8>;
}

impl ReplaceQuotes for std::borrow::Cow<'_, [u8]> {
    fn replace_quotes(&self) -> Vec<u8> {
        self.iter().flat_map(|&b| if b == b'"' { vec![b'\\', b] } else { vec![b] }).collect()
    }
}

#[test]
fn vias_with_space_ipv6_and_parameters() {
    let r = request(
        "OPTIONS sip:a@[2001:db8::10]:5070;transport=tcp SIP/2.0\nVia: SIP / 2.0 / UDP [2001:db8::9:1] : 6050 ;received=[2001:db8::9:255]; \
         rport ;branch= z9hG4bKas3-111 , SIP/2.0/WSS df7jal23ls0d.invalid;branch=z9hG4bK56sdasks\n\
         f: sip:a@b;tag=1\nt: sip:a@b\ni: x\nCSeq: 1 OPTIONS\n\n",
    );
    assert_eq!(r.uri.as_sip().and_then(|u| u.host.ip()), "2001:db8::10".parse().ok());
    assert_eq!(r.uri.as_sip().and_then(|u| u.port), Some(5070));
    let vias = r.headers.vias().expect("vias");
    assert_eq!((vias[0].transport.as_str(), vias[0].port), ("UDP", Some(6050)));
    assert_eq!(vias[0].received(), "2001:db8::9:255".parse().ok());
    assert_eq!(vias[0].rport(), Some(None));
    assert_eq!(vias[0].branch().as_deref(), Some(&b"z9hG4bKas3-111"[..]));
    assert_eq!(vias[1].transport.as_str(), "WSS");
    assert_eq!(vias[1].rport(), None);
    assert_eq!(vias.len(), 2);
}

#[test]
fn a_response_follows_the_stamped_via() {
    let mut r = request(&invite("Via: SIP/2.0/UDP p2;branch=z9hG4bK2\n"));
    let source: SocketAddr = "198.51.100.4:40000".parse().expect("address");
    let mut via = r.headers.top_via().expect("via");
    via.stamp_source(source);
    r.headers.set_top_via(&via);
    assert_eq!(r.headers.top_via().expect("via").response_address(5060), Some(source));
    assert_eq!(r.headers.vias().expect("vias").len(), 2);
    let response = Response::to_request(&r, 180, "").with_to_tag("t1");
    let text = String::from_utf8(response.to_bytes().to_vec()).expect("text");
    assert_eq!(
        text,
        "SIP/2.0 180 Ringing\r\n\
         Via: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bK776;rport=40000;received=198.51.100.4\r\n\
         Via: SIP/2.0/UDP p2;branch=z9hG4bK2\r\n\
         From: \"Alice\" <sip:alice@example.com>;tag=88sja8x\r\n\
         To: <sip:12345@example.com>;tag=t1\r\n\
         Call-ID: 987asjd97y7atg\r\nCSeq: 986759 INVITE\r\nContent-Length: 0\r\n\r\n"
    );
}

#[test]
fn faults_are_named_and_answered() {
    let bad = |extra: &str| defect(&invite(extra));
    let length = || HeaderName::ContentLength;
    assert_eq!(bad("Content-Length: 1\n"), (Defect::BodyCutShort, Some(400)));
    assert_eq!(bad("Content-Length: -1\n"), (Defect::Header(length()), Some(400)));
    assert_eq!(bad("Content-Length: 99999999999999999999\n"), (Defect::Header(length()), Some(400)));
    assert_eq!(bad("Content-Length: 0\nl: 0\n"), (Defect::Repeated(length()), Some(400)));
    assert_eq!(bad("To: <sip:x@y>\n"), (Defect::Repeated(HeaderName::To), Some(400)));
    assert_eq!(bad("no colon\n"), (Defect::HeaderLine, Some(400)));
    assert_eq!(bad("bad name: x\n"), (Defect::HeaderLine, Some(400)));
    assert_eq!(bad("Contact: <sip:a@b\n"), (Defect::Header(HeaderName::Contact), Some(400)));
    assert_eq!(defect("INVITE foo:12345 SIP/2.0\nVia: SIP/2.0/UDP h\n\n").1, Some(400));
    assert_eq!(defect(&invite("").replace("sip:12345@example.com SIP", "foo:1 SIP")), (Defect::Scheme, Some(416)));
    assert_eq!(defect(&invite("").replace("SIP/2.0\n", "SIP/3.0\n")), (Defect::Version, Some(505)));
    assert_eq!(defect(&invite("").replace("986759 INVITE", "9 BYE")), (Defect::MethodMismatch, Some(400)));
    assert_eq!(defect(&invite("").replace("INVITE", "ACK").replace("70", "700")).1, None);
    assert_eq!(defect("\n\n"), (Defect::Empty, None));
    assert_eq!(defect("hello\n"), (Defect::NotSip, None));
    assert_eq!(defect("GET / HTTP/1.1\n\n"), (Defect::NotSip, None));
    assert_eq!(defect("SIP/2.0 99 Low\n\n"), (Defect::StatusLine, None));
    let cut = invite("");
    assert_eq!(defect(cut.trim_end()).1, Some(400));
    let bare =
        Message::parse(crlf(&invite("X: a\n")).to_vec().replace_once(b"X: a\r\n", b"X: a\n")).expect_err("bare LF");
    assert_eq!(bare.defect, Defect::LineEnd);
}

trait ReplaceOnce {
    fn replace_once(self, from: &[u8], to: &[u8]) -> Bytes;
}

impl ReplaceOnce for Vec<u8> {
    fn replace_once(self, from: &[u8], to: &[u8]) -> Bytes {
        let at = memchr::memmem::find(&self, from).expect("there");
        [&self[..at], to, &self[at + from.len()..]].concat().into()
    }
}

#[test]
fn limits_hold() {
    let long = format!("X: {}\n", "a".repeat(9_000));
    assert_eq!(defect(&invite(&long)).0, Defect::TooLarge);
    let many = "X: a\n".repeat(300);
    assert_eq!(defect(&invite(&many)).0, Defect::TooLarge);
    let huge = format!("{}{}", invite(""), "b".repeat(70_000));
    assert_eq!(defect(&huge).0, Defect::TooLarge);
}

#[test]
fn a_response_is_read_with_and_without_reason() {
    let text = format!("SIP/2.0 486 忙\n{HEAD}\n");
    let Ok(Message::Response(r)) = parse(&text) else { panic!("refused") };
    assert_eq!((r.status, decode_text(&r.reason).as_ref()), (486, "忙"));
    for line in ["SIP/2.0 200 ", "SIP/2.0 200"] {
        let Ok(Message::Response(r)) = parse(&format!("{line}\n{HEAD}\n")) else { panic!("refused") };
        assert_eq!((r.status, r.reason.len()), (200, 0));
    }
}

#[test]
fn text_cannot_break_a_header() {
    let mut r = request(&invite(""));
    r.headers.set(HeaderName::Subject, "a\r\nX-Evil: 1\0".to_owned());
    r.headers.push(HeaderName::ContentLength, "99");
    let to = r.headers.to().expect("to").with_display("x\" <sip:evil@e>\r\n\"");
    r.headers.set(HeaderName::To, to);
    let Ok(Message::Request(again)) = Message::parse(r.to_bytes()) else { panic!("refused") };
    assert_eq!(again.headers.get_other("X-Evil"), None);
    assert_eq!(again.headers.text(&HeaderName::Subject).as_deref(), Some("a  X-Evil: 1"));
    assert_eq!(again.headers.to().expect("to").uri.user().as_deref(), Some("12345"));
    let response = Response::to_request(&again, 500, "no\r\nX-Evil: 2");
    assert_eq!(&response.reason[..], b"no  X-Evil: 2");
}

#[test]
fn uris_compare_as_rfc_3261_section_19_1_4_says() {
    let uri = |t: &str| t.parse::<Uri>().unwrap_or_else(|e| panic!("{t}: {e}"));
    for (a, b) in [
        ("sip:%61lice@atlanta.com;transport=TCP", "sip:alice@AtLanTa.CoM;Transport=tcp"),
        ("sip:carol@chicago.com", "sip:carol@chicago.com;newparam=5"),
        ("sip:carol@chicago.com;security=on", "sip:carol@chicago.com;newparam=5"),
        (
            "sip:biloxi.com;transport=tcp;method=REGISTER?to=sip:bob%40biloxi.com",
            "sip:biloxi.com;method=REGISTER;transport=tcp?to=sip:bob%40biloxi.com",
        ),
        (
            "sip:alice@atlanta.com?subject=project%20x&priority=urgent",
            "sip:alice@atlanta.com?priority=urgent&subject=project%20x",
        ),
        ("sip:a@[2001:DB8::1]", "sip:a@[2001:db8:0::1]"),
        ("tel:+86(10)1234-5678", "tel:+861012345678"),
        ("tel:12345;phone-context=+86-10", "tel:123-45;PHONE-CONTEXT=+8610"),
        ("sip:a@b;x=1;x=2", "sip:a@b;x=1;x=2"),
        ("sip:a@b;x=1;x=2", "sip:a@b;x=1"),
    ] {
        assert!(uri(a).equivalent(&uri(b)) && uri(b).equivalent(&uri(a)), "{a} = {b}");
    }
    for (a, b) in [
        ("SIP:ALICE@AtLanTa.CoM;Transport=udp", "sip:alice@AtLanTa.CoM;Transport=UDP"),
        ("sip:bob@biloxi.com", "sip:bob@biloxi.com:5060"),
        ("sip:bob@biloxi.com", "sip:bob@biloxi.com;transport=udp"),
        ("sip:bob@biloxi.com", "sip:bob@biloxi.com:6000;transport=tcp"),
        ("sip:carol@chicago.com", "sip:carol@chicago.com?Subject=next%20meeting"),
        ("sip:bob@phone21.boxesbybob.com", "sip:bob@192.0.2.4"),
        ("sip:carol@chicago.com;security=on", "sip:carol@chicago.com;security=off"),
        ("sip:a@b", "sips:a@b"),
        ("tel:12345;phone-context=+8610", "tel:12345"),
        ("sip:%2561@b", "sip:a@b"),
    ] {
        assert!(!uri(a).equivalent(&uri(b)), "{a} ≠ {b}");
    }
    for bad in [
        "sip:",
        "sip:@h",
        "sip:a@",
        "sip:a b@h",
        "sip:a@h:0",
        "sip:a@h:99999",
        "sip:a@[::g]",
        "tel:",
        "tel:abc-x",
        "1x:y",
        "x",
    ] {
        assert!(bad.parse::<Uri>().is_err(), "{bad}");
    }
    assert_eq!(
        SipUri::new(Some("张 三#"), Host::new("h").expect("host"), Some(5060)).user.as_deref(),
        Some(&b"%E5%BC%A0%20%E4%B8%89%23"[..])
    );
}

#[test]
fn small_fields() {
    let r = request(&invite(
        "Session-Expires: 1800 ; refresher=UAS\nMin-SE: 90;x=y\nRAck: 776656 1 INVITE\nRSeq: 988789\nAllow: INVITE, FOO\n\
         Reason: SIP ;cause=200 ;text=\"Call completed elsewhere\", Q.850;cause=16\nRetry-After: 18000;duration=3600\n\
         Expires: 99999999999\nP-Asserted-Identity: \"x\" <sip:a@b>, <tel:+8613800138000>\nRequire: 100rel,timer\n",
    ));
    assert_eq!(
        r.headers.session_expires(),
        Ok(Some(SessionExpires { seconds: 1800, refresher: Some(Refresher::Uas) }))
    );
    assert_eq!(r.headers.min_se(), Ok(Some(90)));
    assert_eq!(r.headers.rack().expect("rack").to_string(), "776656 1 INVITE");
    assert_eq!(r.headers.rseq(), Ok(Some(988_789)));
    assert_eq!(r.headers.allow().expect("allow").iter().map(Method::as_str).collect::<Vec<_>>(), ["INVITE", "FOO"]);
    let reasons = r.headers.reasons();
    assert_eq!(reasons[0].text().as_deref(), Some("Call completed elsewhere"));
    assert_eq!((reasons[1].protocol.as_str(), reasons[1].cause()), ("Q.850", Some(16)));
    assert_eq!(
        ReasonValue::new("Q.850", 17, "忙").map(|r| r.to_string()).as_deref(),
        Some("Q.850;cause=17;text=\"忙\"")
    );
    assert_eq!(r.headers.retry_after(), Ok(Some(18_000)));
    assert_eq!(r.headers.expires(), Ok(Some(u32::MAX)));
    assert_eq!(r.headers.asserted_identities().expect("identities").len(), 2);
    assert_eq!(r.headers.tokens(&HeaderName::Require).len(), 2);
}

#[test]
fn replaces_and_warning() {
    let r = request(&invite(
        "Replaces: 425928@bobster.example.org;to-tag=7743;from-tag=6472;early-only\n\
         Warning: 307 isi.edu \"Session parameter 'foo' not understood\", 301 h:5060 \"x, \\\"y\\\"\"\n",
    ));
    let replaces = r.headers.replaces().expect("well formed").expect("there");
    assert_eq!((&replaces.call_id[..], replaces.early_only), (&b"425928@bobster.example.org"[..], true));
    assert_eq!((&replaces.to_tag[..], &replaces.from_tag[..]), (&b"7743"[..], &b"6472"[..]));
    let warnings = r.headers.warnings();
    assert_eq!(warnings.iter().map(|w| w.code).collect::<Vec<_>>(), [307, 301]);
    assert_eq!((warnings[1].agent.as_str(), warnings[1].text.as_str()), ("h:5060", "x, \"y\""));
    assert_eq!(warnings[1].to_string(), "301 h:5060 \"x, \\\"y\\\"\"");
    let bad = request(&invite("Replaces: 425928;to-tag=7743\n"));
    assert_eq!(bad.headers.replaces(), Err(Defect::Header(HeaderName::Replaces)));
}

#[test]
fn params_are_few() {
    assert!(parse(&invite(&format!("Contact: <sip:a@b{}>\n", ";x".repeat(60)))).is_ok());
    assert!(parse(&invite(&format!("Contact: <sip:a@b{}>\n", ";x".repeat(70)))).is_err());
    assert!(parse(&invite(&format!("Contact: <sip:a@b>{}\n", ";x=1".repeat(70)))).is_err());
}

#[test]
fn params_are_set_and_removed() {
    let mut a = NameAddr::parse(&Bytes::from_static(b"<sip:a@b>;x;Tag=1;y=\"a;b\"")).expect("address");
    assert_eq!(a.params.get_text("Y").as_deref(), Some("a;b"));
    a = a.with_tag("2");
    a.params.remove("x");
    a.params.set("text", "say \"hi\"");
    assert_eq!(a.to_string(), "<sip:a@b>;Tag=2;y=\"a;b\";text=\"say \\\"hi\\\"\"");
    assert_eq!(a.params.get_text("text").as_deref(), Some("say \"hi\""));
}

fn frames(framer: &mut Framer) -> Vec<Frame> {
    std::iter::from_fn(|| framer.next_frame().expect("no fault")).collect()
}

#[test]
fn a_stream_is_cut_whatever_its_pieces() {
    let one = crlf(&invite("Content-Length : 4\n")).to_vec();
    let whole = [&b"\r\n\r\n"[..], &one, b"v=0!", b"\r\n", &one, b"abcd\r\n\r\n"].concat();
    let expected = vec![
        Frame::Ping,
        Frame::Message([&one[..], b"v=0!"].concat().into()),
        Frame::Pong,
        Frame::Message([&one[..], b"abcd"].concat().into()),
        Frame::Ping,
    ];
    let mut at_once = Framer::default();
    at_once.extend(&whole);
    assert_eq!(frames(&mut at_once), expected);
    let mut bytewise = Framer::default();
    let mut got = Vec::new();
    for byte in &whole {
        bytewise.extend(&[*byte]);
        got.extend(frames(&mut bytewise));
    }
    let messages = |f: &[Frame]| f.iter().filter(|f| matches!(f, Frame::Message(_))).cloned().collect::<Vec<_>>();
    assert_eq!(messages(&got), messages(&expected));
    assert_eq!(got.iter().filter(|f| **f == Frame::Ping).count(), 2);
    let mut halves = Framer::default();
    halves.extend(b"\r\n");
    assert_eq!(frames(&mut halves), [Frame::Pong]);
    halves.extend(b"\r\n\r");
    assert_eq!(frames(&mut halves), []);
    halves.extend(b"\n");
    assert_eq!(frames(&mut halves), [Frame::Ping]);
    assert_eq!(bytewise.buffered(), 0);
}

#[test]
fn an_ambiguous_stream_is_answered_400_and_ends() {
    for extra in
        ["", "Content-Length: 1\nl: 2\n", "Content-Length: x\n", "Content-Length: 70000\n", "Content-Length:\n"]
    {
        let mut framer = Framer::default();
        framer.extend(&crlf(&invite(extra)));
        let error = framer.next_frame().expect_err("ambiguous");
        assert_eq!(error.0.response().map(|r| r.status), Some(400), "{extra}");
        framer.extend(b"more");
        assert_eq!((framer.next_frame().expect("ended"), framer.buffered()), (None, 0));
    }
    let mut endless = Framer::default();
    let mut failed = false;
    for _ in 0..100 {
        endless.extend(&[b'a'; 1024]);
        failed |= endless.next_frame().is_err();
        assert!(endless.buffered() <= 65_536 + 1024);
    }
    assert!(failed);
}

#[test]
fn rsip_agrees_where_both_accept() {
    use rsip::prelude::*;
    let head = |method: &str, line: &str, extra: &str| {
        format!("{line}\n{}{extra}\n", HEAD.replace("CSeq: 986759 INVITE", &format!("CSeq: 7 {method}")))
    };
    let mut corpus = Vec::new();
    for method in [
        "INVITE",
        "ACK",
        "BYE",
        "CANCEL",
        "OPTIONS",
        "REGISTER",
        "INFO",
        "UPDATE",
        "PRACK",
        "REFER",
        "NOTIFY",
        "SUBSCRIBE",
        "MESSAGE",
        "PUBLISH",
    ] {
        for uri in [
            "sip:12345@example.com",
            "sip:example.com:5062;transport=tcp",
            "sips:a.b@192.0.2.9",
            "sip:+8610@h;user=phone",
        ] {
            for extra in [
                "",
                "Contact: <sip:a@192.0.2.1:5062>\nContent-Length: 0\n",
                "Route: <sip:p1;lr>, <sip:p2;lr>\nX-Foo: bar\n",
            ] {
                corpus.push(head(method, &format!("{method} {uri} SIP/2.0"), extra));
            }
        }
    }
    for status in [100, 180, 183, 200, 202, 302, 401, 404, 407, 486, 487, 500, 503, 603] {
        let text = head("INVITE", &format!("SIP/2.0 {status} {}", reason_phrase(status)), "");
        corpus.push(text.replace("To: <sip:12345@example.com>", "To: <sip:12345@example.com>;tag=abc"));
    }
    let mut both = 0;
    for text in corpus {
        let bytes = crlf(&text);
        let (Ok(ours), Ok(theirs)) = (Message::parse(bytes.clone()), rsip::SipMessage::try_from(&bytes[..])) else {
            continue;
        };
        both += 1;
        let h = ours.headers();
        let text = |b: &[u8]| String::from_utf8_lossy(b).into_owned();
        match (&ours, &theirs) {
            (Message::Request(a), rsip::SipMessage::Request(b)) => {
                assert_eq!(a.method.as_str(), b.method.to_string());
                assert_eq!(a.uri.to_string().to_lowercase(), b.uri.to_string().to_lowercase());
            }
            (Message::Response(a), rsip::SipMessage::Response(b)) => assert_eq!(a.status, b.status_code.code()),
            _ => panic!("request or response? {bytes:?}"),
        }
        assert_eq!(text(h.call_id().expect("id")), theirs.call_id_header().expect("id").value());
        let (a, b) = (h.cseq().expect("cseq"), theirs.cseq_header().expect("cseq").typed().expect("cseq"));
        assert_eq!((a.number, a.method.to_string()), (b.seq, b.method.to_string()));
        let (a, b) = (h.from().expect("from"), theirs.from_header().expect("from").typed().expect("from"));
        assert_eq!(a.tag().map(|t| text(&t)), b.tag().map(|t| t.to_string()));
        assert_eq!(a.uri.to_string().to_lowercase(), b.uri.to_string().to_lowercase());
        let (a, b) = (h.to().expect("to"), theirs.to_header().expect("to").typed().expect("to"));
        assert_eq!(a.tag().map(|t| text(&t)), b.tag().map(|t| t.to_string()));
        assert_eq!(a.uri.to_string().to_lowercase(), b.uri.to_string().to_lowercase());
    }
    assert!(both > 150, "only {both} messages were accepted by both");
}

fn again(message: &Message) -> Message {
    Message::parse(message.to_bytes()).unwrap_or_else(|e| panic!("{e}: {:?}", message.to_bytes()))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn anything_is_survived(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        let bytes = Bytes::from(bytes);
        let _ = Message::parse(bytes.clone()).map_err(|e| e.response());
        let _ = NameAddr::parse(&bytes);
        let _ = Via::parse(&bytes);
        let _ = Uri::parse(bytes.clone());
        let _ = crate::sip::auth::Authorization::parse(&bytes);
        let mut framer = Framer::default();
        framer.extend(&bytes);
        while let Ok(Some(_)) = framer.next_frame() {}
    }

    #[test]
    fn nearly_sip_is_survived_and_what_is_accepted_prints_the_same(
        edits in proptest::collection::vec((0usize..700, any::<u8>(), 0u8..3), 0..12),
    ) {
        let mut bytes = crlf(&format!("{}v=0\n", invite(
            "Route: <sip:p1;lr>, \"x\" <sips:p2:5061;lr>\nContact: \"C \\\" D\" <sip:c%20d:pw@[::1]:5;a=b?h=v>;q=0.7;expires=5\n\
             Authorization: Digest username=\"a\", realm=\"b\"\nSubject: fold\n ed\nX-Any: ,;<>\nk: a,b\n"))).to_vec();
        for (at, byte, kind) in edits {
            let at = at % bytes.len();
            match kind {
                0 => bytes[at] = byte,
                1 => bytes.insert(at, byte),
                _ => { bytes.remove(at); }
            }
        }
        if let Ok(first) = Message::parse(bytes.into()) {
            prop_assert_eq!(&again(&first), &first);
            let h = first.headers();
            let _ = (h.contacts(), h.routes(), h.vias(), h.allow(), h.session_expires(), h.reasons(), h.content_type());
        }
    }

    #[test]
    fn what_is_built_is_read_back(
        user in "\\PC{0,12}", name in "\\PC{0,16}", call_id in "[a-z0-9.@-]{1,20}", subject in "\\PC{0,40}",
        number in 0u32..0x8000_0000, port in proptest::option::of(1u16..), body in proptest::collection::vec(any::<u8>(), 0..64),
    ) {
        let uri: Uri = SipUri::new(Some(&user), Host::from(std::net::IpAddr::from([192, 0, 2, 1])), port).into();
        let mut r = Request::new(Method::Message, uri.clone());
        let from = NameAddr::new(uri.clone()).with_display(&name).with_tag("a1");
        r.headers.push(HeaderName::Via, Via::new("UDP", Host::new("h").expect("host"), None, "z9hG4bKx").expect("via"));
        r.headers.push(HeaderName::From, &from);
        r.headers.push(HeaderName::To, NameAddr::new(uri));
        r.headers.push(HeaderName::CallId, call_id);
        r.headers.push(HeaderName::CSeq, &CSeq { number, method: Method::Message });
        r.headers.push(HeaderName::Subject, subject);
        r.set_body("text/plain", body);
        let Message::Request(read) = again(&Message::Request(r.clone())) else { panic!("a response") };
        prop_assert_eq!(&read, &r);
        prop_assert_eq!(read.headers.from().expect("from"), from.clone());
        if !name.is_empty() {
            prop_assert_eq!(from.display_name(), Some(name.replace(|c: char| c.is_control(), " ")));
        }
        if !user.is_empty() {
            prop_assert_eq!(read.uri.user().map(|u| u.into_owned()), Some(user));
        }
    }
}

/// Found by fuzzing: the one was taken from the second field, the other put into the first.
#[test]
fn an_empty_topmost_via_is_not_passed_over() {
    let mut headers = Headers::new();
    headers.push(HeaderName::Via, "");
    headers.push(HeaderName::Via, "SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1");
    assert_eq!(headers.top_via(), Err(Defect::Header(HeaderName::Via)));
    assert_eq!(headers.vias().map(|vias| vias.len()), Ok(1));
    headers.remove(&HeaderName::Via);
    assert_eq!(headers.top_via(), Err(Defect::Missing(HeaderName::Via)));
}
