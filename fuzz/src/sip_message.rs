//! One SIP message in a datagram.

use crate::sip::{
    auth::{Authorization, Challenge},
    message::{
        CSeq, Contacts, ContentType, HeaderName, Headers, Host, Limits, Message, Method, NameAddr, Params, ParseError,
        RAck, ReasonValue, Replaces, Request, Response, SessionExpires, SipUri, Token, Uri, Via, Warning, decode_text,
        escape_user, quote, reason_phrase, unescape,
    },
};
use bytes::Bytes;
use std::net::SocketAddr;

/// Reads, prints and reads again; calls every accessor.
pub fn check(data: &[u8]) {
    let bytes = Bytes::copy_from_slice(data);
    // Small limits are passed by small inputs.
    if let Err(error) = Message::parse_with(bytes.clone(), &Limits { message: 512, line: 64, headers: 6 }) {
        refused(&error);
    }
    match Message::parse(bytes.clone()) {
        Ok(message) => understood(message),
        Err(error) => refused(&error),
    }
    // The parts alone, so that they are reached without a whole message round them.
    let line = &bytes.slice(..memchr::memchr(b'\n', &bytes).unwrap_or(bytes.len()).min(2_000));
    parts(line);
}

fn refused(error: &ParseError) {
    assert!([400, 416, 505].contains(&error.status()));
    assert!(!error.to_string().is_empty());
    if let Some(request) = &error.partial {
        headers(&request.headers);
    }
    if let Some(response) = error.response() {
        assert_ne!(error.partial.as_ref().map(|request| &request.method), Some(&Method::Ack));
        assert!(!response.with_to_tag("t").to_bytes().is_empty());
    }
}

fn understood(message: Message) {
    let printed = message.to_bytes();
    let again = Message::parse(printed.clone()).expect("what was printed is read");
    assert_eq!(again, message);
    assert_eq!(again.to_bytes(), printed);
    headers(message.headers());
    match message {
        Message::Request(request) => of_request(request),
        Message::Response(response) => of_response(response),
    }
}

fn of_request(request: Request) {
    assert!(request.headers.cseq().is_ok() && request.headers.call_id().is_ok());
    assert!(request.headers.from().is_ok() && request.headers.to().is_ok() && request.headers.top_via().is_ok());
    for status in [100, 200, 486, 700] {
        let mut response = Response::to_request(&request, status, "").with_to_tag("ours");
        response.set_body("text/plain", &b"body"[..]);
        let again = Message::parse(response.to_bytes());
        assert!(status == 700 || again.is_ok_and(|again| again == Message::from(response)));
    }
    let mut ours = Request::new(request.method.clone(), request.uri.clone());
    for name in [HeaderName::Via, HeaderName::From, HeaderName::To, HeaderName::CallId, HeaderName::CSeq] {
        ours.headers.copy_from(&request.headers, &name);
    }
    ours.set_body("application/sdp", request.body.clone());
    assert_eq!(Message::parse(ours.to_bytes()).expect("a request"), Message::from(ours));
}

fn of_response(response: Response) {
    assert!((100..700).contains(&response.status));
    assert!((100..700).all(|status| !reason_phrase(status).contains('\r')));
    let _ = decode_text(&response.reason);
}

/// Every accessor, whatever it gives.
fn headers(h: &Headers) {
    assert_eq!(h.is_empty(), h.len() == 0);
    for header in h.iter() {
        assert!(h.has(&header.name) && h.get(&header.name).is_some());
        assert!(h.get_all(&header.name).count() >= 1);
        let _ = (h.text(&header.name), h.tokens(&header.name), h.has_token(&header.name, "100rel"));
        let name = header.name.to_string();
        assert!(header.name.is(&name));
        assert_eq!(HeaderName::from_text(&name).as_ref(), Some(&header.name));
        let _ = (h.get_other(&name), format!("{:?}", header.name));
        let _ = (Authorization::parse(&header.value), Challenge::parse(&header.value));
    }
    for via in h.vias().unwrap_or_default() {
        via_again(&via);
    }
    for name in [HeaderName::Contact, HeaderName::ReferredBy] {
        h.addresses(&name).unwrap_or_default().iter().for_each(address_again);
    }
    for list in [h.routes(), h.record_routes(), h.asserted_identities(), h.diversions()] {
        list.unwrap_or_default().iter().for_each(address_again);
    }
    for one in [h.from(), h.to(), h.refer_to()].into_iter().flatten() {
        address_again(&one);
    }
    if let Ok(Some(one)) = h.contact() {
        address_again(&one);
    }
    if let Ok(Some(Contacts::List(list))) = h.contacts() {
        list.iter().for_each(address_again);
    }
    if let Ok(cseq) = h.cseq() {
        assert_eq!(CSeq::parse(&Bytes::from(&cseq)), Some(cseq));
    }
    if let Ok(rack) = h.rack() {
        assert_eq!(RAck::parse(&rack.to_string().into()), Some(rack));
    }
    if let Ok(Some(expires)) = h.session_expires() {
        assert_eq!(SessionExpires::parse(&expires.to_string().into()), Some(expires));
    }
    for reason in h.reasons() {
        let _ = (reason.cause(), reason.text(), reason.to_string());
    }
    for warning in h.warnings() {
        assert!((300..400).contains(&warning.code) && !warning.to_string().is_empty());
    }
    if let Ok(Some(kind)) = h.content_type() {
        assert!(kind.is(kind.kind.as_str(), kind.subtype.as_str()));
        params_again(&kind.params);
    }
    for method in h.allow().unwrap_or_default() {
        assert_eq!(Method::from_bytes(Bytes::from(method.to_string())), Some(method));
    }
    let _ = (h.from_tag(), h.to_tag(), h.max_forwards(), h.expires(), h.min_expires(), h.retry_after());
    let _ = (h.min_se(), h.replaces(), h.rseq());
    changed(h.clone());
}

fn changed(mut h: Headers) {
    if let Ok(mut via) = h.top_via() {
        let before = h.vias().map(|vias| vias.len());
        via.stamp_source(SocketAddr::from(([192, 0, 2, 7], 5070)));
        h.set_top_via(&via);
        assert_eq!(h.vias().map(|vias| vias.len()), before);
        assert_eq!(h.top_via(), Ok(via));
    }
    h.set(HeaderName::Subject, "a subject");
    h.prepend(HeaderName::Subject, "another");
    assert_eq!(h.get_all(&HeaderName::Subject).count(), 2);
    h.remove(&HeaderName::Subject);
    assert!(!h.has(&HeaderName::Subject));
}

fn via_again(via: &Via) {
    assert_eq!(Via::parse(&via.into()).as_ref(), Ok(via));
    let _ = (via.branch(), via.has_magic_cookie(), via.received(), via.rport(), via.response_address(5060));
    assert!(!via.to_string().is_empty());
    params_again(&via.params);
    let mut stamped = via.clone();
    stamped.stamp_source(SocketAddr::from(([198, 51, 100, 1], 40_000)));
    assert_eq!(Via::parse(&(&stamped).into()), Ok(stamped.clone()));
    assert_eq!(stamped.response_address(5060).map(|address| address.ip().to_string()).as_deref(), Some("198.51.100.1"));
    let ours = Via::new(via.transport.as_str(), via.host.clone(), via.port, "z9hG4bKours").expect("a token");
    assert!(ours.has_magic_cookie() && ours.rport() == Some(None));
    assert_eq!(Via::parse(&ours.clone().into()), Ok(ours));
}

fn address_again(address: &NameAddr) {
    assert_eq!(NameAddr::parse(&address.into()).as_ref(), Ok(address), "{address}");
    uri_again(&address.uri);
    params_again(&address.params);
    assert!(address.q() <= 1000);
    let _ = (address.tag(), address.expires());
    let named = address.clone().with_display(&address.display_name().unwrap_or_default()).with_tag("new");
    assert_eq!(named.tag().as_deref(), Some(&b"new"[..]));
    let named_again = NameAddr::parse(&named.clone().into()).expect("our own name");
    assert_eq!(named_again, named);
}

fn uri_again(uri: &Uri) {
    assert_eq!(Uri::parse(uri.to_bytes()).as_ref(), Ok(uri), "{uri}");
    assert!(uri.equivalent(uri));
    assert!(!uri.equivalent(&Uri::Other(Bytes::from_static(b"urn:other:one"))) || matches!(uri, Uri::Other(_)));
    let user = uri.user().map(|user| user.into_owned());
    match uri {
        Uri::Sip(sip) => {
            params_again(&sip.params);
            let _ = (sip.is_loose_router(), sip.host.ip());
            assert_eq!(Host::new(sip.host.as_str().to_owned()).as_ref(), Some(&sip.host));
            let ours = Uri::from(SipUri::new(user.as_deref(), sip.host.clone(), sip.port));
            let again = Uri::parse(ours.to_bytes()).expect("a URI of ours");
            assert_eq!(again, ours);
            assert_eq!(again.user().map(|u| u.into_owned()), user.filter(|u| !u.is_empty()));
        }
        Uri::Tel(tel) => {
            params_again(&tel.params);
            assert_eq!(Some(tel.normalized()), user);
            assert_eq!(tel.is_global(), tel.normalized().starts_with('+'));
        }
        Uri::Other(_) => assert!(user.is_none() && uri.as_sip().is_none()),
    }
}

fn params_again(params: &Params) {
    let count = params.iter().count();
    assert_eq!(params.is_empty(), count == 0);
    for (name, value) in params.iter() {
        let Ok(name) = std::str::from_utf8(name) else { continue };
        assert!(params.has(name));
        assert!(value.is_none() || params.get_text(name).is_some() || params.get(name).is_none());
    }
    let mut changed = params.clone();
    changed.set("hotline", "1");
    assert_eq!(changed.get("hotline"), Some(&b"1"[..]));
    changed.set("hotline", "");
    assert!(changed.has("hotline"));
    changed.remove("hotline");
    assert!(!changed.has("hotline"));
    assert!(changed.iter().count() <= count);
}

/// Each parser of a part on one line.
fn parts(line: &Bytes) {
    if let Ok(via) = Via::parse(line) {
        via_again(&via);
    }
    if let Ok(address) = NameAddr::parse(line) {
        address_again(&address);
    }
    if let Ok(uri) = Uri::parse(line.clone()) {
        uri_again(&uri);
    }
    if let Ok(Ok(uri)) = std::str::from_utf8(line).map(str::parse::<Uri>) {
        assert_eq!(uri.to_string().parse::<Uri>(), Ok(uri));
    }
    if let Some(token) = Token::new(line.clone()) {
        let method = Method::from_bytes(line.clone()).expect("a token");
        assert!(std::collections::HashSet::from([method.clone()]).contains(&method));
        assert!(std::collections::HashSet::from([token.clone()]).contains(&token));
        assert!(!format!("{method:?} {token:?}").is_empty());
        assert_eq!(Method::from_bytes(line.clone()).map(|method| method.to_string()), Some(token.to_string()));
    }
    if let Some(host) = Host::new(line.clone()) {
        assert_eq!(Host::new(host.to_string()), Some(host));
    }
    let _ = (CSeq::parse(line), ContentType::parse(line), RAck::parse(line), Replaces::parse(line));
    let text = decode_text(line).into_owned();
    assert_eq!(unescape(escape_user(&text).as_bytes()), text.as_bytes());
    let quoted = quote(&text);
    assert!(quoted.starts_with('"') && quoted.ends_with('"') && !quoted.contains('\n'));
    if let Some(reason) = ReasonValue::new("Q.850", 16, &text) {
        assert_eq!(reason.cause(), Some(16));
        let mut h = Headers::new();
        h.push(HeaderName::Reason, reason.to_string());
        assert_eq!(h.reasons().len(), 1);
    }
    let mut h = Headers::new();
    for name in [
        HeaderName::Warning,
        HeaderName::Replaces,
        HeaderName::SessionExpires,
        HeaderName::Reason,
        HeaderName::RetryAfter,
    ] {
        h.push(name, line.clone());
    }
    headers(&h);
}
