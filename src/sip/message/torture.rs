//! The parser's verdict on the 49 messages of RFC 4475 (`tests/torture`), and what it makes of the valid ones.

use super::*;
use std::path::PathBuf;

#[derive(serde::Deserialize)]
struct Case {
    file: String,
    section: String,
    parser: String,
    wire: toml::Value,
    stream: Option<toml::Value>,
    #[expect(dead_code, reason = "for the reader of the table")]
    note: Option<String>,
}

fn directory() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/torture")
}

fn bytes_of(file: &str) -> Bytes {
    std::fs::read(directory().join(file)).unwrap_or_else(|e| panic!("{file}: {e}")).into()
}

fn cases() -> Vec<(String, Case, Bytes)> {
    let table = std::fs::read_to_string(directory().join("expected.toml")).expect("expected.toml");
    let table: std::collections::BTreeMap<String, Case> = toml::from_str(&table).expect("a table of cases");
    table.into_iter().map(|(name, case)| (name, bytes_of(&case.file), case)).map(|(n, b, c)| (n, c, b)).collect()
}

fn named(name: &str) -> Message {
    let (_, _, bytes) = cases().into_iter().find(|(n, ..)| n == name).expect("a case");
    Message::parse(bytes).unwrap_or_else(|e| panic!("{name}: {e}"))
}

fn request(name: &str) -> Request {
    match named(name) {
        Message::Request(request) => request,
        Message::Response(_) => panic!("{name} is a response"),
    }
}

#[test]
fn all_49_have_their_verdict() {
    let cases = cases();
    assert_eq!(cases.len(), 49);
    let files = std::fs::read_dir(directory()).expect("directory").flatten();
    assert_eq!(files.filter(|f| f.path().extension().is_some_and(|e| e == "dat")).count(), 49);
    for (name, case, bytes) in cases {
        assert!(case.section.starts_with("3."), "{name}");
        match (case.parser.as_str(), Message::parse(bytes)) {
            ("accept", Ok(message)) => {
                let again = Message::parse(message.to_bytes()).unwrap_or_else(|e| panic!("{name} printed: {e}"));
                assert_eq!(again, message, "{name}");
                assert_eq!(again.to_bytes(), message.to_bytes(), "{name}");
            }
            ("reject", Err(error)) => {
                let answer = error.response().map(|r| i64::from(r.status));
                assert_eq!(answer, case.wire.as_integer(), "{name}: {error}");
                assert_eq!(answer.is_none(), case.wire.as_str() == Some("silence"), "{name}");
            }
            (verdict, got) => panic!("{name}: {verdict} expected, got {got:?}"),
        }
    }
}

#[test]
fn all_49_have_their_framing_on_a_stream() {
    for (name, case, bytes) in cases() {
        let mut framer = Framer::default();
        framer.extend(&bytes);
        let wire = case.stream.as_ref().unwrap_or(&case.wire);
        match framer.next_frame() {
            Ok(None) => assert_eq!(wire.as_str(), Some("wait"), "{name}"),
            Ok(Some(Frame::Message(bytes))) => {
                assert_eq!(Message::parse(bytes).is_ok(), case.parser == "accept", "{name}");
                assert_ne!(wire.as_str(), Some("wait"), "{name}");
            }
            Ok(Some(other)) => panic!("{name}: {other:?}"),
            Err(error) => {
                assert_eq!(error.0.response().map(|r| i64::from(r.status)), wire.as_integer(), "{name}: {error}");
                assert!(["ncl", "mcl01", "inv2543"].contains(&name.as_str()), "{name}: {error}");
            }
        }
    }
}

#[test]
fn a_second_message_behind_the_first_is_cut_from_a_stream_only() {
    let bytes = bytes_of("08_dblreq.dat");
    assert!(Message::parse(bytes.clone()).expect("the REGISTER").body().is_empty());
    let mut framer = Framer::default();
    framer.extend(&bytes);
    let mut methods = Vec::new();
    // The INVITE's Content-Length is short by some octets: what is left over is no message and ends the stream.
    while let Ok(Some(frame)) = framer.next_frame() {
        if let Frame::Message(bytes) = frame
            && let Message::Request(request) = Message::parse(bytes).expect("message")
        {
            methods.push(request.method);
        }
    }
    assert_eq!(methods, [Method::Register, Method::Invite]);
}

#[test]
fn wsinv_is_understood() {
    let r = request("wsinv");
    let h = &r.headers;
    assert_eq!(h.to_tag().as_deref(), Some(&b"1918181833n"[..]));
    assert_eq!(h.from_tag().as_deref(), Some(&b"98asjd8"[..]));
    assert_eq!(h.from().expect("from").display_name().as_deref(), Some("J Rosenberg \\\""));
    assert_eq!(h.max_forwards(), Ok(Some(68)));
    assert_eq!(h.cseq(), Ok(CSeq { number: 9, method: Method::Invite }));
    let vias = h.vias().expect("vias");
    let via = |v: &Via| format!("{} {} {:?}", v.transport, v.host, v.branch().unwrap_or_default());
    assert_eq!(
        vias.iter().map(via).collect::<Vec<_>>(),
        [
            "UDP 192.0.2.2 b\"390skdjuw\"",
            "TCP spindle.example.com b\"z9hG4bK9ikj8\"",
            "UDP 192.168.255.111 b\"z9hG4bK30239\""
        ]
    );
    assert_eq!(
        h.get_other("NewFangledHeader").map(|v| &v[..]),
        Some(&b"newfangled value continued newfangled value"[..])
    );
    assert_eq!(h.get_other("UnknownHeaderWithUnusualValue").map(|v| &v[..]), Some(&b";;,,;;,;"[..]));
    assert_eq!(h.text(&HeaderName::Subject).as_deref(), Some(""));
    let contact = h.contact().expect("contact").expect("there");
    assert_eq!((contact.q(), contact.params.get("newparam")), (330, Some(&b"newvalue"[..])));
    assert_eq!(contact.display_name().as_deref(), Some("Quoted string \"\""));
    assert!(h.routes().expect("routes")[0].uri.as_sip().is_some_and(SipUri::is_loose_router));
    assert_eq!(r.body.len(), 150);
}

#[test]
fn unusual_characters_are_kept() {
    let r = request("intmeth");
    assert_eq!(r.method.as_str(), "!interesting-Method0123456789_*+`.%indeed'~");
    assert_eq!(r.headers.to().expect("to").display_name().as_deref(), Some("BEL:\x07 NUL:\0 DEL:\x7f"));
    let from = r.headers.from().expect("from");
    assert_eq!(from.display_name().as_deref(), Some("token1~` token2'+_ token3*%!.-"));
    assert_eq!(from.params.get_text("fromParam''~+*_!.-%").as_deref(), Some("работающий"));
    assert_eq!(from.tag().as_deref(), Some(&b"_token~1'+`*%!-."[..]));
    assert_eq!(&r.headers.call_id().expect("id")[..], b"intmeth.word%ZK-!.*_+'@word`~)(><:\\/\"][?}{");
    let Some(uri) = r.uri.as_sip() else { panic!("not sip") };
    assert_eq!(uri.user.as_deref(), Some(&b"1_unusual.URI~(to-be!sure)&isn't+it$/crazy?,/;;*"[..]));
    assert_eq!(uri.password.as_deref(), Some(&b"&it+has=1,weird!*pas$wo~d_too.(doesn't-it)"[..]));
    assert_eq!(uri.host.as_str(), "example.com");
}

#[test]
fn escapes_count_in_uris_alone() {
    let r = request("esc01");
    assert_eq!(r.uri.user().as_deref(), Some("sips:user@example.com"));
    let user = "sip:user@example.com".parse::<Uri>().expect("uri");
    assert!(r.headers.to().expect("to").uri.equivalent(&user));
    let contact = r.headers.contact().expect("contact").expect("there").uri;
    assert!(contact.equivalent(&"sip:caller@host5.example.net;lr;name=value%2541".parse().expect("uri")));
    assert!(!contact.equivalent(&"sip:caller@host5.example.net;lr;name=valueA".parse().expect("uri")));
    let null = request("escnull").headers.to().expect("to").uri;
    assert_eq!(null.user().as_deref(), Some("null-\0-null"));
    let r = request("esc02");
    assert_eq!(r.method.as_str(), "RE%47IST%45R");
    assert_eq!(r.headers.to().expect("to").display_name().as_deref(), Some("%Z%45"));
    assert_eq!(r.headers.addresses(&HeaderName::Contact).expect("contacts").len(), 2);
    let r = request("semiuri");
    assert_eq!(r.uri.user().as_deref(), Some("user;par=u@example.net"));
}

#[test]
fn parameters_belong_to_uri_or_contact() {
    let bare = request("cparam01").headers.contact().expect("contact").expect("there");
    assert!(bare.params.has("unknownparam") && bare.uri.as_sip().is_some_and(|u| u.params.is_empty()));
    let bracketed = request("cparam02").headers.contact().expect("contact").expect("there");
    assert!(bracketed.params.is_empty() && bracketed.uri.as_sip().is_some_and(|u| u.params.has("unknownparam")));
    let escaped = request("regescrt").headers.contact().expect("contact").expect("there");
    assert_eq!(escaped.uri.as_sip().and_then(|u| u.headers.as_deref()), Some(&b"Route=%3Csip:sip.example.com%3E"[..]));
}

#[test]
fn bodies_and_lists_are_whole() {
    assert_eq!(request("longreq").headers.vias().expect("vias").len(), 34);
    assert_eq!(request("transports").headers.vias().expect("vias").len(), 5);
    let multipart = request("mpart01");
    assert_eq!(multipart.body.len(), 553);
    assert!(multipart.body.contains(&0) && multipart.body.ends_with(b"--7a9cbec02ceef655--\r\n"));
    let Message::Response(unreason) = named("unreason") else { panic!("a request") };
    assert_eq!(decode_text(&unreason.reason), "= 2**3 * 5**2 но сто девяносто девять - простое");
    assert!(!request("badbranch").headers.top_via().expect("via").has_magic_cookie());
    let old = request("inv2543");
    assert_eq!((old.headers.from_tag(), old.body.len() > 90), (None, true));
}
