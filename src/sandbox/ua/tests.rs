#![allow(clippy::disallowed_methods)] // Tests hold the clock.

use super::{audio, digest, message, *};
use rsip::{Request, SipMessage};
use std::time::Instant;
use tokio::net::UdpSocket;

const ANY: &str = "127.0.0.1:0";
const LONG: Duration = Duration::from_secs(8);

async fn ua() -> Ua {
    Ua::bind(ANY.parse().unwrap()).await.unwrap()
}

fn target(ua: &Ua) -> String {
    format!("sip:12345@{}", ua.local())
}

async fn pair(policy: Policy) -> (Ua, Ua, Call) {
    let (a, b) = (ua().await, ua().await);
    b.on_incoming(policy, Audio::tone(1130.0)).await.unwrap();
    let call = a.call(&target(&b), "13900000001", Audio::tone(730.0)).await.unwrap();
    (a, b, call)
}

fn hears(hertz: f64) -> impl Fn(&Heard) -> bool {
    move |heard| heard.level_at(hertz, Duration::from_millis(300)) > -20.0
}

async fn connected() -> (Ua, Ua, Call, Call) {
    let (a, b, call) = pair(Policy::Answer { after: Duration::from_millis(20) }).await;
    call.answered_within(LONG).await.unwrap();
    let other = b.next_call_within(LONG).await.unwrap();
    (a, b, call, other)
}

#[tokio::test]
async fn two_agents_talk_press_keys_and_part() {
    let (_a, _b, call, other) = connected().await;
    assert_eq!(other.invitation().unwrap().dialled, "12345");
    assert_eq!(other.sip_call_id(), call.sip_call_id());
    call.hears(LONG, "the tone", hears(1130.0)).await.unwrap();
    let heard = other.hears(LONG, "the tone", hears(730.0)).await.unwrap();
    assert!(heard.level_at(1130.0, Duration::from_millis(300)) < -60.0, "nobody hears himself");
    call.send_digits("*312330#").await.unwrap();
    other.send_digits("5").await.unwrap();
    other.hears(LONG, "the keys", |h| h.digits == "*312330#").await.unwrap();
    call.hears(LONG, "the key", |h| h.digits == "5").await.unwrap();
    let ending = call.hang_up().await;
    assert_eq!((ending.by, ending.status), (Side::Us, 200));
    assert_eq!(other.wait_ended().await.by, Side::Peer);
    assert_eq!(call.received().lost, 0);
}

#[tokio::test]
async fn hold_stops_one_way_and_resume_brings_it_back() {
    let (_a, _b, call, other) = connected().await;
    other.hears(LONG, "the tone", hears(730.0)).await.unwrap();
    call.hold().await.unwrap();
    other.until(|s| s.held && s.offers == 1).await.unwrap();
    call.hears(LONG, "quiet", |h| h.level(Duration::from_millis(300)) < -60.0).await.unwrap();
    assert!(hears(730.0)(&other.received()), "the holder may go on talking");
    call.resume().await.unwrap();
    call.hears(LONG, "the tone", hears(1130.0)).await.unwrap();
    // The other way round, in the same dialog.
    other.hold().await.unwrap();
    call.until(|s| s.held).await.unwrap();
    other.resume().await.unwrap();
    call.until(|s| !s.held && s.offers == 2).await.unwrap();
    other.hang_up().await;
    assert_eq!(call.wait_ended().await.by, Side::Peer);
}

#[tokio::test]
async fn the_codec_is_the_first_of_the_offer() {
    let (a, b) = (ua().await, ua().await);
    a.set_codecs(&[G711::Pcmu, G711::Pcma]).await.unwrap();
    b.on_incoming(Policy::Answer { after: Duration::ZERO }, Audio::tone(500.0)).await.unwrap();
    let call = a.call(&target(&b), "1", Audio::tone(900.0)).await.unwrap();
    call.answered_within(LONG).await.unwrap();
    assert_eq!(call.route().unwrap().codec, G711::Pcmu);
    call.hears(LONG, "the tone", hears(500.0)).await.unwrap();
    b.next_call().await.unwrap().hears(LONG, "the tone", hears(900.0)).await.unwrap();
}

#[tokio::test]
async fn refusals_reach_the_caller() {
    let (_a, b, call) = pair(Policy::busy()).await;
    let refused = call.answered_within(LONG).await;
    assert!(matches!(refused, Err(UaError::Refused { status: 486, .. })), "{refused:?}");
    assert_eq!(b.next_call().await.unwrap().wait_ended().await.by, Side::Us);
    let (_a, _b, call) = pair(Policy::Redirect { to: "sip:1@127.0.0.1:9".into() }).await;
    assert_eq!(call.wait_ended().await.status, 302);
}

#[tokio::test]
async fn a_ringing_call_is_cancelled() {
    let (_a, b, call) = pair(Policy::Ring).await;
    call.ringing().await.unwrap();
    let other = b.next_call().await.unwrap();
    let ending = call.hang_up().await;
    assert_eq!((ending.by, ending.status), (Side::Us, 487));
    let ending = other.wait_ended().await;
    assert_eq!((ending.by, ending.status), (Side::Peer, 487));
}

#[tokio::test]
async fn a_ringing_call_is_accepted_by_hand() {
    let (_a, b, call) = pair(Policy::Ring).await;
    let other = b.next_call().await.unwrap();
    assert_eq!(call.until(|s| s.provisional == 180).await.unwrap().phase, Phase::Ringing);
    other.accept().await;
    call.answered_within(LONG).await.unwrap();
}

#[tokio::test]
async fn an_announcement_is_heard_before_the_refusal() {
    let (_a, _b, call) = pair(Policy::EarlyMedia { refuse_after: Duration::from_millis(900), status: 480 }).await;
    assert!(call.until(|s| s.early_media).await.unwrap().provisional == 183);
    call.hears(LONG, "the announcement", hears(1130.0)).await.unwrap();
    assert_eq!(call.wait_ended().await.status, 480);
}

#[tokio::test]
async fn a_silent_peer_answers_nothing() {
    let (_a, b, call) = pair(Policy::Silent).await;
    let early = call.answered_within(Duration::from_millis(700)).await;
    assert!(matches!(early, Err(UaError::TimedOut(_))));
    assert_eq!(call.status().provisional, 0);
    assert_eq!(b.next_call().await.unwrap().status().phase, Phase::Dialing, "retransmissions make no second call");
}

#[tokio::test]
async fn the_same_over_tcp() {
    let local = ANY.parse().unwrap();
    let a = Ua::bind_over(Transport::Tcp, local).await.unwrap();
    let b = Ua::bind_over(Transport::Tcp, local).await.unwrap();
    b.on_incoming(Policy::Answer { after: Duration::ZERO }, Audio::tone(500.0)).await.unwrap();
    let call = a.call(&target(&b), "1", Audio::tone(900.0)).await.unwrap();
    call.answered_within(LONG).await.unwrap();
    let other = b.next_call().await.unwrap();
    call.hears(LONG, "the tone", hears(500.0)).await.unwrap();
    other.hold().await.unwrap();
    call.until(|s| s.held).await.unwrap();
    assert_eq!(other.hang_up().await.by, Side::Us);
    assert_eq!(call.wait_ended().await.by, Side::Peer);
}

#[tokio::test]
async fn requests_inside_the_dialog_are_answered() {
    let (_a, b, call, _other) = connected().await;
    let mut events = b.events();
    for method in [rsip::Method::Info, rsip::Method::Options, rsip::Method::Update] {
        assert_eq!(call.request(method, vec![], String::new()).await.unwrap(), 200);
    }
    assert_eq!(call.request(rsip::Method::Refer, vec![], String::new()).await.unwrap(), 405);
    assert!(matches!(events.recv().await.unwrap(), Event::Request { method, .. } if method == "INFO"));
}

/// A registrar that wants SHA-256 or MD5 and checks the answer for itself.
async fn registrar(algorithm: &'static str, socket: Arc<UdpSocket>) -> Vec<String> {
    let mut seen = Vec::new();
    let mut buffer = [0u8; 4096];
    loop {
        let Ok(Ok((length, source))) =
            tokio::time::timeout(Duration::from_secs(3), socket.recv_from(&mut buffer)).await
        else {
            return seen;
        };
        let Some(SipMessage::Request(request)) = message::parse(&buffer[..length]) else { panic!("no request") };
        let given = message::value(&request.headers, "Authorization").and_then(|v| digest::parameters(&v));
        let good = given.as_ref().is_some_and(|given| {
            let challenge = digest::Challenge::parse(&challenge(algorithm)).unwrap();
            let count = u32::from_str_radix(&given["nc"], 16).unwrap();
            let who = Credentials { user: "8001".into(), password: "sandbox-8001".into() };
            given["username"] == "8001"
                && given["response"] == challenge.response(&who, "REGISTER", &given["uri"], count, &given["cnonce"])
        });
        let (status, extra) = if good {
            let contact = message::value(&request.headers, "Contact").unwrap();
            seen.push(format!("{} nc={}", contact.rsplit_once(';').unwrap().1, given.unwrap()["nc"]));
            (200, vec![message::header("Contact", contact.replace("expires=60", "expires=1"))])
        } else if given.is_some() {
            (403, vec![])
        } else {
            let md5 = message::header("WWW-Authenticate", challenge("MD5"));
            (401, vec![md5, message::header("WWW-Authenticate", challenge(algorithm))])
        };
        let response = message::response(&request, source, status, "t", extra, String::new());
        socket.send_to(response.to_string().as_bytes(), source).await.unwrap();
        if seen.last().is_some_and(|s| s.starts_with("expires=0")) {
            return seen;
        }
    }
}

fn challenge(algorithm: &str) -> String {
    format!("Digest realm=\"sandbox\", nonce=\"n1\", algorithm={algorithm}, qop=\"auth\"")
}

#[tokio::test]
async fn registers_refreshes_and_unregisters_with_either_digest() {
    for algorithm in ["MD5", "SHA-256"] {
        let socket = Arc::new(UdpSocket::bind(ANY).await.unwrap());
        let address = socket.local_addr().unwrap();
        let server = tokio::spawn(registrar(algorithm, socket));
        let ua = ua().await;
        let mut events = ua.events();
        let granted = ua.register_for(address, "8001", "sandbox-8001", Duration::from_secs(60)).await.unwrap();
        assert_eq!(granted, Duration::from_secs(1), "the registrar's word counts");
        for _ in 0..2 {
            assert!(matches!(events.recv().await.unwrap(), Event::Registered { .. }));
        }
        ua.unregister().await.unwrap();
        let seen = server.await.unwrap();
        assert_eq!(
            seen,
            ["expires=60 nc=00000001", "expires=60 nc=00000002", "expires=0 nc=00000003"],
            "one nonce serves several requests"
        );
    }
}

#[tokio::test]
async fn a_wrong_password_is_told_and_not_tried_again() {
    let socket = Arc::new(UdpSocket::bind(ANY).await.unwrap());
    let address = socket.local_addr().unwrap();
    let server = tokio::spawn(registrar("MD5", socket));
    let refused = ua().await.register(address, "8001", "wrong").await;
    assert!(matches!(refused, Err(UaError::Refused { status: 403, .. })), "{refused:?}");
    server.abort();
}

/// A peer made of a bare socket.
struct Peer {
    socket: UdpSocket,
}

impl Peer {
    async fn new() -> Peer {
        Peer { socket: UdpSocket::bind(ANY).await.unwrap() }
    }

    async fn read(&self) -> (SipMessage, SocketAddr) {
        let mut buffer = [0u8; 4096];
        let read = tokio::time::timeout(LONG, self.socket.recv_from(&mut buffer)).await;
        let (length, source) = read.expect("nothing came").unwrap();
        (message::parse(&buffer[..length]).expect("not readable"), source)
    }

    async fn request(&self, method: &str) -> (Request, SocketAddr) {
        loop {
            if let (SipMessage::Request(request), source) = self.read().await
                && request.method.to_string() == method
            {
                return (request, source);
            }
        }
    }

    async fn status(&self, wanted: u16) -> rsip::Response {
        loop {
            if let (SipMessage::Response(response), _) = self.read().await
                && response.status_code.code() == wanted
            {
                return response;
            }
        }
    }

    async fn reply(&self, to: &(Request, SocketAddr), status: u16, body: &str) {
        let contact = format!("<sip:peer@{}>", self.socket.local_addr().unwrap());
        let extra = vec![message::header("Contact", contact), message::header("Content-Type", "application/sdp")];
        let response = message::response(&to.0, to.1, status, "peer", extra, body.into());
        self.socket.send_to(response.to_string().as_bytes(), to.1).await.unwrap();
    }

    async fn send(&self, to: &Ua, text: String) {
        self.socket.send_to(text.as_bytes(), to.local()).await.unwrap();
    }
}

const SDP: &str = "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio 9 RTP/AVP 8\r\n";

#[tokio::test]
async fn an_invite_is_sent_again_and_every_200_is_acknowledged() {
    let (peer, ua) = (Peer::new().await, ua().await);
    let call = ua.call(&format!("sip:1@{}", peer.socket.local_addr().unwrap()), "2", Audio::Mute).await.unwrap();
    let first = peer.request("INVITE").await;
    let start = Instant::now();
    let again = peer.request("INVITE").await;
    let waited = start.elapsed();
    assert!((400..900).contains(&waited.as_millis()), "T1 is 500 ms, not {waited:?}");
    assert_eq!(message::top_via(&first.0.headers), message::top_via(&again.0.headers));
    peer.reply(&again, 200, SDP).await;
    let one = peer.request("ACK").await;
    peer.reply(&again, 200, SDP).await;
    let two = peer.request("ACK").await;
    assert_eq!(one.0, two.0);
    call.answered_within(LONG).await.unwrap();
    // A BYE for a dialog that is none is refused.
    let uri = format!("sip:x@{}", ua.local());
    peer.send(&ua, format!("BYE {uri} SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1:1;branch=z9hG4bKq\r\nFrom: <sip:a@b>;tag=1\r\nTo: <{uri}>;tag=no\r\nCall-ID: none\r\nCSeq: 1 BYE\r\nContent-Length: 0\r\n\r\n")).await;
    peer.status(481).await;
    drop(call);
    drop(ua);
    let bye = peer.request("BYE").await;
    peer.reply(&bye, 200, "").await;
}

fn invite(ua: &Ua, body: &str) -> String {
    format!(
        "INVITE sip:8001@{to} SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1:1;rport;branch=z9hG4bKi\r\nFrom: <sip:a@b>;tag=1\r\n\
         To: <sip:8001@{to}>\r\nCall-ID: c\r\nCSeq: 1 INVITE\r\nContact: <sip:a@127.0.0.1:1>\r\n\
         Content-Type: application/sdp\r\nContent-Length: {}\r\n\r\n{body}",
        body.len(),
        to = ua.local()
    )
}

#[tokio::test]
async fn the_200_is_sent_until_its_ack_which_may_carry_the_answer() {
    let (peer, ua) = (Peer::new().await, ua().await);
    ua.on_incoming(Policy::Answer { after: Duration::ZERO }, Audio::tone(600.0)).await.unwrap();
    peer.send(&ua, invite(&ua, "")).await;
    let ok = peer.status(200).await;
    assert!(sdp::Description::parse(&ok.body).is_some(), "an INVITE without offer is answered with one");
    assert_eq!(peer.status(200).await, ok, "sent again");
    let to = message::value(&ok.headers, "To").unwrap();
    let rtp = UdpSocket::bind(ANY).await.unwrap();
    let answer = SDP.replace("audio 9", &format!("audio {}", rtp.local_addr().unwrap().port()));
    peer.send(
        &ua,
        format!(
            "ACK sip:8001@{} SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1:1;branch=z9hG4bKa\r\nFrom: <sip:a@b>;tag=1\r\n\
             To: {to}\r\nCall-ID: c\r\nCSeq: 1 ACK\r\nContent-Length: {}\r\n\r\n{answer}",
            ua.local(),
            answer.len()
        ),
    )
    .await;
    let mut buffer = [0u8; 2048];
    let read = tokio::time::timeout(LONG, rtp.recv(&mut buffer)).await;
    assert_eq!(read.expect("no RTP").unwrap(), 172);
    assert_eq!(buffer[1] & 0x7f, 8);
}

#[tokio::test]
async fn offers_without_our_codecs_and_required_extensions_are_refused() {
    let (peer, ua) = (Peer::new().await, ua().await);
    peer.send(&ua, invite(&ua, &SDP.replace("AVP 8", "AVP 18"))).await;
    peer.status(488).await;
    let other = invite(&ua, SDP).replace("bKi", "bKj").replace("Content-Type", "Require: 100rel\r\nContent-Type");
    peer.send(&ua, other).await;
    let refused = peer.status(420).await;
    assert_eq!(message::value(&refused.headers, "Unsupported").as_deref(), Some("100rel"));
    // Rubbish is survived.
    peer.socket.send_to(b"\xff\x00\r\n\r\n", ua.local()).await.unwrap();
    peer.send(&ua, invite(&ua, SDP).replace("bKi", "bKk")).await;
    peer.status(200).await;
}

#[tokio::test]
async fn a_clip_is_heard_as_it_was_recorded() {
    let mut player = audio::Player::new(Audio::tone(440.0));
    let clip: Arc<[i16]> = (0..100).flat_map(|_| player.next_frame().unwrap()).collect();
    let (a, b) = (ua().await, ua().await);
    b.on_incoming(Policy::Answer { after: Duration::ZERO }, Audio::ClipThenTone { clip, hertz: 1500.0, level: -16.0 })
        .await
        .unwrap();
    let call = a.call(&target(&b), "1", Audio::Silence).await.unwrap();
    call.hears(LONG, "the clip", hears(440.0)).await.unwrap();
    let heard = call.hears(LONG, "the tone", hears(1500.0)).await.unwrap();
    assert!(heard.loud_for(-30.0, LONG) > Duration::from_millis(1500));
}
