//! A dialog: what two user agents share once they have agreed to talk (RFC 3261 section 12).
//!
//! Not here: what is done in it. A session, its offers and its BYE are the matter of [`super::endpoint`].

use super::{
    endpoint::Flow,
    message::{HeaderName, Headers, Method, NameAddr, Request, Response, SipUri, Uri},
};
use bytes::Bytes;
use std::net::{IpAddr, SocketAddr};

/// CSeq numbers are below 2³¹ (section 8.1.1.5).
const CSEQ_LIMIT: u32 = 1 << 31;
/// How far a restored dialog's CSeq jumps, in case the snapshot was old; gaps are allowed (section 12.2.2).
const RESTORED_CSEQ_GAP: u32 = 1000;
/// No honest path records more routes; more of them would make every request of the dialog huge.
const MOST_ROUTES: usize = 32;

/// The state of one dialog, early or confirmed. All bytes are its own: none keeps a packet alive.
#[derive(Clone, Debug)]
pub struct Dialog {
    call_id: Bytes,
    local_tag: Bytes,
    /// Empty for a peer of RFC 2543, who has none (section 12.1.1).
    remote_tag: Bytes,
    /// From of our requests.
    local: Bytes,
    /// To of our requests.
    remote: Bytes,
    target: Uri,
    routes: Vec<NameAddr>,
    local_cseq: u32,
    remote_cseq: Option<u32>,
    flow: Flow,
    caller: bool,
}

impl Dialog {
    /// The dialog of an INVITE that we are answering (section 12.1.1); the peer's Record-Route is our route as it is.
    /// None where the request names nobody to whom a request of ours could be addressed: Contact must be a SIP URI
    /// (section 8.1.1.8).
    pub fn uas(request: &Request, local_tag: &str, flow: Flow) -> Option<Dialog> {
        let headers = &request.headers;
        let from = headers.from().ok();
        let remote_tag = from.as_ref().and_then(NameAddr::tag).unwrap_or_default();
        let local = headers.to().map(|to| Bytes::from(to.with_tag(local_tag))).unwrap_or_default();
        // A request without Contact breaks section 12.1.1; its From is the best guess at where it came from.
        let target = contact(headers).or(from.and_then(|from| target(&from.uri)))?;
        Some(Dialog {
            call_id: headers.call_id().map(own).unwrap_or_default(),
            local_tag: Bytes::copy_from_slice(local_tag.as_bytes()),
            remote_tag: own(&remote_tag),
            local,
            remote: headers.get(&HeaderName::From).map(own).unwrap_or_default(),
            target,
            routes: record_routes(headers),
            local_cseq: 0,
            remote_cseq: headers.cseq().ok().map(|cseq| cseq.number),
            flow,
            caller: false,
        })
    }

    /// The dialog of a response to our INVITE (section 12.1.2), read from the response alone: From is ours, and the
    /// Record-Route is our route from its end to its beginning.
    pub fn uac(response: &Response, flow: Flow) -> Dialog {
        let headers = &response.headers;
        let to = headers.to().ok();
        let remote_tag = to.as_ref().and_then(NameAddr::tag).unwrap_or_default();
        // A response whose Contact is no SIP URI leaves us with the one that we called.
        let target = contact(headers).or(to.map(|to| own_uri(&to.uri))).unwrap_or_else(|| Uri::Other(Bytes::new()));
        let mut routes = record_routes(headers);
        routes.reverse();
        Dialog {
            call_id: headers.call_id().map(own).unwrap_or_default(),
            local_tag: own(&headers.from_tag().unwrap_or_default()),
            remote_tag: own(&remote_tag),
            local: headers.get(&HeaderName::From).map(own).unwrap_or_default(),
            remote: headers.get(&HeaderName::To).map(own).unwrap_or_default(),
            target,
            routes,
            local_cseq: headers.cseq().map(|cseq| cseq.number).unwrap_or(1),
            remote_cseq: None,
            flow,
            caller: true,
        }
    }

    /// Call-ID.
    pub fn call_id(&self) -> &Bytes {
        &self.call_id
    }

    /// Our tag.
    pub fn local_tag(&self) -> &Bytes {
        &self.local_tag
    }

    /// From of our requests.
    pub fn local(&self) -> &Bytes {
        &self.local
    }

    /// The peer's tag; empty where it has none.
    pub fn remote_tag(&self) -> &Bytes {
        &self.remote_tag
    }

    /// The flow that the dialog began on.
    pub fn flow(&self) -> Flow {
        self.flow
    }

    /// The connection that the dialog began on has closed: its requests open a new one.
    pub fn disconnect(&mut self) {
        self.flow.connection = 0;
    }

    /// The peer came by another connection, which the dialog's requests take from here on.
    pub fn reconnect(&mut self, flow: Flow) {
        self.flow = flow;
    }

    /// Whether the Call-ID is ours, which decides who yields in a glare (section 14.1).
    pub fn is_caller(&self) -> bool {
        self.caller
    }

    /// Whether a request or response with this Call-ID and this tag of the peer belongs here (section 12.2.2). The
    /// local tag has been looked at before.
    pub fn matches(&self, call_id: &[u8], remote_tag: &[u8]) -> bool {
        self.call_id == call_id && self.remote_tag == remote_tag
    }

    /// Takes note of a request's CSeq; false where it is out of order, which is answered 500 (section 12.2.2). So is
    /// one that was seen before: a copy is known by its transaction and does not come here, and two requests of one
    /// number are none of an honest peer's.
    pub fn take_cseq(&mut self, number: u32) -> bool {
        let fresh = self.remote_cseq.is_none_or(|seen| number > seen);
        if fresh {
            self.remote_cseq = Some(number);
        }
        fresh
    }

    /// The CSeq of the peer's latest request.
    pub fn remote_cseq(&self) -> Option<u32> {
        self.remote_cseq
    }

    /// Carries the peer's CSeq over from the early dialog that this one confirms.
    pub fn continue_from(&mut self, early: &Dialog) {
        self.remote_cseq = early.remote_cseq;
        self.local_cseq = self.local_cseq.max(early.local_cseq);
    }

    /// The CSeq of our latest request.
    pub fn local_cseq(&self) -> u32 {
        self.local_cseq
    }

    /// Follows the peer to the Contact of a target refresh request or of its 2xx (section 12.2).
    pub fn refresh_target(&mut self, headers: &Headers) {
        if let Some(target) = contact(headers) {
            self.target = target;
        }
    }

    /// The next request in the dialog, without Via (section 12.2.1.1).
    pub fn request(&mut self, method: Method) -> Request {
        // Section 8.1.1.5: the number is below 2³¹. A dialog with so many requests has long been ended.
        self.local_cseq = (self.local_cseq + 1).min(CSEQ_LIMIT - 1);
        self.build(method, self.local_cseq)
    }

    /// The ACK of a 2xx to the INVITE of CSeq `number`, without Via (section 13.2.2.4).
    pub fn ack(&self, number: u32) -> Request {
        self.build(Method::Ack, number)
    }

    fn build(&self, method: Method, number: u32) -> Request {
        let cseq = format!("{number} {method}");
        let mut request = Request::new(method, self.target.clone());
        let first = self.routes.first().map(|route| route.uri.clone());
        if first.as_ref().is_some_and(|uri| uri.as_sip().is_some_and(|uri| !uri.is_loose_router())) {
            // A strict router wants itself in the Request-URI and the target as the last route.
            // What may not stand there is left out (section 12.2.1.1).
            request.uri = first.as_ref().and_then(target).unwrap_or_else(|| self.target.clone());
            for route in &self.routes[1..] {
                request.headers.push(HeaderName::Route, route);
            }
            request.headers.push(HeaderName::Route, NameAddr::new(self.target.clone()));
        } else {
            for route in &self.routes {
                request.headers.push(HeaderName::Route, route);
            }
        }
        request.headers.push(HeaderName::MaxForwards, &b"70"[..]);
        request.headers.push(HeaderName::From, self.local.clone());
        request.headers.push(HeaderName::To, self.remote.clone());
        request.headers.push(HeaderName::CallId, self.call_id.clone());
        request.headers.push(HeaderName::CSeq, cseq);
        request
    }

    /// Where requests of this dialog go: over the connection on which it began while that is open; else to the first
    /// route, or the target, where that is an address that the peer can mean, by a new connection where it is none of
    /// datagrams (section 12.2.1.1, RFC 5923 section 5); and back where it began where it is a name or behind NAT.
    pub fn next_hop(&self) -> Flow {
        let uri = self.routes.first().map_or(&self.target, |route| &route.uri);
        reach(self.flow, uri)
    }

    /// What is needed to end the dialog after a restart.
    pub fn snapshot(&self) -> DialogSnapshot {
        DialogSnapshot {
            call_id: latin1(&self.call_id),
            local_tag: latin1(&self.local_tag),
            remote_tag: latin1(&self.remote_tag),
            local: latin1(&self.local),
            remote: latin1(&self.remote),
            target: latin1(&self.target.to_bytes()),
            routes: self.routes.iter().map(|route| latin1(&Bytes::from(route))).collect(),
            local_cseq: self.local_cseq,
            remote_cseq: self.remote_cseq,
            flow: self.flow,
            caller: self.caller,
        }
    }

    /// The dialog of a snapshot; None where the snapshot is damaged. Its connection, if it had one, is gone.
    pub fn restore(snapshot: &DialogSnapshot) -> Option<Dialog> {
        let routes = snapshot.routes.iter().map(|route| NameAddr::parse(&bytes_of(route)).ok());
        Some(Dialog {
            call_id: bytes_of(&snapshot.call_id),
            local_tag: bytes_of(&snapshot.local_tag),
            remote_tag: bytes_of(&snapshot.remote_tag),
            local: bytes_of(&snapshot.local),
            remote: bytes_of(&snapshot.remote),
            target: Uri::parse(bytes_of(&snapshot.target)).ok()?,
            routes: routes.collect::<Option<Vec<_>>>()?,
            local_cseq: snapshot.local_cseq.saturating_add(RESTORED_CSEQ_GAP),
            remote_cseq: snapshot.remote_cseq,
            flow: Flow { connection: 0, ..snapshot.flow },
            caller: snapshot.caller,
        })
    }
}

/// A dialog as it is stored. Header values are text in which each character stands for one byte, so that no
/// encoding is lost.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct DialogSnapshot {
    /// Call-ID of every request in the dialog.
    pub call_id: String,
    /// Our tag: From of our requests, To of the peer's.
    pub local_tag: String,
    /// The peer's tag; empty for a peer of RFC 2543, who has none.
    pub remote_tag: String,
    /// From of our requests, whole, with its tag.
    pub local: String,
    /// To of our requests, whole, with its tag.
    pub remote: String,
    /// The remote target: the Request-URI of our requests (RFC 3261 section 12.1).
    pub target: String,
    /// The route set, in the order in which our requests name it in Route.
    pub routes: Vec<String>,
    /// CSeq of our last request; a restored dialog goes on well above it.
    pub local_cseq: u32,
    /// CSeq of the peer's last request; None before its first.
    pub remote_cseq: Option<u32>,
    /// Where the dialog began; its connection, if it had one, does not outlive the program.
    pub flow: Flow,
    /// We sent the INVITE that began the dialog.
    pub caller: bool,
}

/// Where `uri` is reached, for a peer known by `flow`.
fn reach(flow: Flow, uri: &Uri) -> Flow {
    if flow.connection != 0 {
        return flow;
    }
    let address = |uri: &SipUri| Some((uri.host.ip()?, uri.port.unwrap_or(flow.transport.default_port())));
    let Some((ip, port)) = uri.as_sip().and_then(address) else { return flow };
    let known = flow.remote.ip();
    let unusable = ip.is_unspecified() || ip.is_multicast() || ip.is_ipv4() != known.is_ipv4();
    let behind_nat = ip.is_loopback() != known.is_loopback() || is_private(ip) && !is_private(known);
    if unusable || behind_nat {
        return flow;
    }
    Flow { remote: SocketAddr::new(ip, port), ..flow }
}

/// Addresses that mean nothing outside their own network (RFC 1918, 6598, 3927, 4193, 4291).
fn is_private(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => {
            let [a, b, ..] = ip.octets();
            ip.is_private() || ip.is_link_local() || ip.is_loopback() || a == 100 && (64..128).contains(&b)
        }
        IpAddr::V6(ip) => ip.is_loopback() || ip.is_unique_local() || ip.is_unicast_link_local(),
    }
}

fn contact(headers: &Headers) -> Option<Uri> {
    headers.contact().ok().flatten().and_then(|contact| target(&contact.uri))
}

/// A peer's URI as the Request-URI of our requests: of a scheme that is spoken here, and without header fields
/// (section 19.1.1).
fn target(uri: &Uri) -> Option<Uri> {
    match uri {
        Uri::Sip(sip) if sip.headers.is_some() => Some(own_uri(&Uri::Sip(SipUri { headers: None, ..sip.clone() }))),
        Uri::Sip(_) | Uri::Tel(_) => Some(own_uri(uri)),
        Uri::Other(_) => None,
    }
}

fn record_routes(headers: &Headers) -> Vec<NameAddr> {
    let mut routes = headers.record_routes().unwrap_or_default();
    routes.truncate(MOST_ROUTES);
    routes.iter().filter_map(|route| NameAddr::parse(&own(&Bytes::from(route))).ok()).collect()
}

/// A copy, so that a small value does not keep a whole packet.
fn own(bytes: &Bytes) -> Bytes {
    Bytes::copy_from_slice(bytes)
}

fn own_uri(uri: &Uri) -> Uri {
    let bytes = own(&uri.to_bytes());
    Uri::parse(bytes.clone()).unwrap_or(Uri::Other(bytes))
}

pub(super) fn latin1(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| char::from(*byte)).collect()
}

pub(super) fn bytes_of(text: &str) -> Bytes {
    text.chars().map(|c| u8::try_from(u32::from(c)).unwrap_or(b'?')).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sip::{endpoint::Transport, message::Message};

    fn flow() -> Flow {
        Flow {
            transport: Transport::Udp,
            local: ([192, 0, 2, 9], 5060).into(),
            remote: ([192, 0, 2, 1], 5060).into(),
            connection: 0,
        }
    }

    fn invite(routes: &str) -> Request {
        let text = format!(
            "INVITE sip:b@192.0.2.9 SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKa\r\n\
             From: \"\u{738b}\" <sip:a@example.net>;tag=ra\r\nTo: sip:b@example.net\r\nCall-ID: c\r\n\
             CSeq: 7 INVITE\r\nContact: <sip:a@192.0.2.1:5080>\r\n{routes}\r\n"
        );
        match Message::parse(text.into()) {
            Ok(Message::Request(request)) => request,
            other => panic!("{other:?}"),
        }
    }

    fn answered(routes: &str, flow: Flow) -> Dialog {
        Dialog::uas(&invite(routes), "lb", flow).expect("the INVITE has a Contact")
    }

    fn text(request: &Request) -> String {
        String::from_utf8_lossy(&request.to_bytes()).into_owned()
    }

    #[test]
    fn a_uas_talks_back_with_the_tags_turned() {
        let mut dialog = answered("Record-Route: <sip:p1;lr>, <sip:p2;lr>\r\n", flow());
        let bye = text(&dialog.request(Method::Bye));
        assert!(bye.starts_with("BYE sip:a@192.0.2.1:5080 SIP/2.0\r\nRoute: <sip:p1;lr>\r\nRoute: <sip:p2;lr>\r\n"));
        assert!(bye.contains("\r\nFrom: <sip:b@example.net>;tag=lb\r\n"), "{bye}");
        assert!(bye.contains("\r\nTo: \"\u{738b}\" <sip:a@example.net>;tag=ra\r\n"));
        assert!(bye.contains("\r\nCSeq: 1 BYE\r\n"));
    }

    #[test]
    fn a_uac_takes_the_routes_from_their_end() {
        let request = invite("Record-Route: <sip:p1;lr>, <sip:p2;lr>\r\n");
        let mut response = Response::to_request(&request, 200, "").with_to_tag("x");
        response.headers.copy_from(&request.headers, &HeaderName::RecordRoute);
        response.headers.push(HeaderName::Contact, &b"<sip:b@192.0.2.7>"[..]);
        let mut dialog = Dialog::uac(&response, flow());
        let ack = text(&dialog.ack(7));
        assert!(
            ack.starts_with("ACK sip:b@192.0.2.7 SIP/2.0\r\nRoute: <sip:p2;lr>\r\nRoute: <sip:p1;lr>\r\n"),
            "{ack}"
        );
        assert!(text(&dialog.request(Method::Bye)).contains("\r\nCSeq: 8 BYE\r\n"));
        assert!(dialog.matches(b"c", b"x") && !dialog.matches(b"c", b"y") && !dialog.matches(b"d", b"x"));
    }

    #[test]
    fn a_strict_router_stands_in_the_request_uri() {
        let mut dialog = answered("Record-Route: <sip:p1?a=b>, <sip:p2;lr>\r\n", flow());
        let bye = text(&dialog.request(Method::Bye));
        let expected = "BYE sip:p1 SIP/2.0\r\nRoute: <sip:p2;lr>\r\nRoute: <sip:a@192.0.2.1:5080>\r\n";
        assert!(bye.starts_with(expected), "{bye}");
    }

    #[test]
    fn our_requests_are_addressed_to_sip_uris_alone() {
        let with = |contact: &str| {
            let mut request = invite("");
            request.headers.set(HeaderName::Contact, contact.to_owned());
            request
        };
        let mut dialog = Dialog::uas(&with("<sip:a@192.0.2.1?subject=x>"), "lb", flow()).expect("a SIP URI");
        assert!(text(&dialog.request(Method::Bye)).starts_with("BYE sip:a@192.0.2.1 SIP/2.0\r\n"));
        // From is the next best.
        let mut dialog = Dialog::uas(&with("<isp:a@b>"), "lb", flow()).expect("From is a SIP URI");
        assert!(text(&dialog.request(Method::Bye)).starts_with("BYE sip:a@example.net SIP/2.0\r\n"));
        dialog.refresh_target(&with("<name:John>").headers);
        assert!(text(&dialog.request(Method::Bye)).starts_with("BYE sip:a@example.net SIP/2.0\r\n"));
        let mut nobody = with("<isp:a@b>");
        nobody.headers.set(HeaderName::From, "<isp:a@b>;tag=1".to_owned());
        assert!(Dialog::uas(&nobody, "lb", flow()).is_none());
    }

    #[test]
    fn the_peers_cseq_must_grow() {
        let mut dialog = answered("", flow());
        assert!(!dialog.take_cseq(6));
        assert!(!dialog.take_cseq(7));
        assert!(dialog.take_cseq(9));
        assert!(!dialog.take_cseq(8));
    }

    #[test]
    fn requests_go_to_the_target_unless_it_is_hidden() {
        let to = |uri: &str, remote: [u8; 4]| {
            let flow = Flow { remote: (remote, 40001).into(), ..flow() };
            reach(flow, &uri.parse().expect("a URI")).remote.to_string()
        };
        assert_eq!(to("sip:a@192.0.2.1:5080", [192, 0, 2, 1]), "192.0.2.1:5080");
        assert_eq!(to("sip:a@192.0.2.3", [192, 0, 2, 1]), "192.0.2.3:5060");
        assert_eq!(to("sip:a@10.0.0.3", [192, 0, 2, 1]), "192.0.2.1:40001");
        assert_eq!(to("sip:a@10.0.0.3", [10, 0, 0, 1]), "10.0.0.3:5060");
        assert_eq!(to("sip:a@127.0.0.1", [10, 0, 0, 1]), "10.0.0.1:40001");
        assert_eq!(to("sip:a@example.net", [192, 0, 2, 1]), "192.0.2.1:40001");
        assert_eq!(to("tel:12345", [192, 0, 2, 1]), "192.0.2.1:40001");
    }

    #[test]
    fn a_snapshot_brings_everything_back_but_the_connection() {
        let mut dialog = answered("Record-Route: <sip:p1;lr>\r\n", Flow { connection: 3, ..flow() });
        let json = serde_json::to_string(&dialog.snapshot()).expect("serializes");
        let snapshot: DialogSnapshot = serde_json::from_str(&json).expect("deserializes");
        let mut restored = Dialog::restore(&snapshot).expect("is whole");
        assert_eq!(restored.flow().connection, 0);
        let (bye, old) = (text(&restored.request(Method::Bye)), text(&dialog.request(Method::Bye)));
        assert_eq!(bye.replace("CSeq: 1001", "CSeq: 1"), old);
    }
}
