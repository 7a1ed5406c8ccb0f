use super::super::bodies::{BARESIP, CHROMIUM, IMS, IMS_G729, LINPHONE, SIPP, SIPP_PCAP};
use super::*;
use Direction::{Inactive, RecvOnly, SendOnly, SendRecv};
use proptest::prelude::*;

fn session() -> Session {
    Session::new(LocalMedia {
        rtp: "192.0.2.1:30000".parse().unwrap(),
        session_id: 4711,
        codecs: vec![Codec::Pcma, Codec::Pcmu],
        ptime_ms: 20,
    })
}

/// A peer's body with these lines after `t=`.
fn body(lines: &str) -> String {
    format!(
        "v=0\r\no=- 1 1 IN IP4 192.0.2.9\r\ns=-\r\nc=IN IP4 192.0.2.9\r\nt=0 0\r\n{}\r\n",
        lines.replace(" | ", "\r\n")
    )
}

fn answer(offer: &str) -> Result<(String, LegParams), NegotiationError> {
    session().answer(offer.as_bytes(), SendRecv).map(|(body, params)| (text(&body), params))
}

fn text(body: &Bytes) -> String {
    String::from_utf8(body.to_vec()).unwrap()
}

fn version(body: &Bytes) -> String {
    String::from_utf8(Sdp::parse(body).unwrap().origin.version.to_vec()).unwrap()
}

fn media_lines(body: &str) -> Vec<&str> {
    body.lines().filter(|line| line.starts_with("m=")).collect()
}

#[test]
fn our_offer_word_for_word() {
    let expected = "v=0\r\no=- 4711 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\n\
        m=audio 30000 RTP/AVP 8 0 101\r\na=rtpmap:8 PCMA/8000\r\na=rtpmap:0 PCMU/8000\r\n\
        a=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-15\r\na=ptime:20\r\na=sendrecv\r\n";
    assert_eq!(text(&session().offer(SendRecv)), expected);
}

#[test]
fn sipp_gets_the_only_codec_that_it_has() {
    let (body, params) = answer(SIPP).unwrap();
    assert!(body.contains("m=audio 30000 RTP/AVP 0\r\na=rtpmap:0 PCMU/8000\r\na=ptime:20\r\na=sendrecv\r\n"), "{body}");
    let expected = LegParams {
        remote: Some("192.0.2.10:6000".parse().unwrap()),
        remote_rtcp: Some("192.0.2.10:6001".parse().unwrap()),
        codec: Codec::Pcmu,
        send_pt: 0,
        receive_pt: 0,
        send_dtmf: None,
        receive_dtmf: None,
        ptime_ms: 20,
        send: true,
        receive: true,
    };
    assert_eq!(params, expected);
    let (_, params) = answer(SIPP_PCAP).unwrap();
    assert_eq!((params.codec, params.send_dtmf), (Codec::Pcma, Some(101)));
}

#[test]
fn baresip_video_is_refused_and_the_audio_kept() {
    let (body, params) = answer(BARESIP).unwrap();
    assert_eq!(media_lines(&body), ["m=audio 30000 RTP/AVP 8 97", "m=video 0 RTP/AVP 99"]);
    assert!(body.contains("a=rtcp-mux\r\n"));
    assert_eq!(params.remote_rtcp, params.remote, "with rtcp-mux, whatever a=rtcp says");
    assert_eq!((params.codec, params.send_pt, params.receive_dtmf), (Codec::Pcma, 8, Some(97)));
}

#[test]
fn linphone_static_types_need_no_rtpmap_and_events_are_those_of_8_khz() {
    let (body, params) = answer(LINPHONE).unwrap();
    assert_eq!(media_lines(&body), ["m=audio 30000 RTP/AVPF 8 100"]);
    assert_eq!(params.remote_rtcp, Some("192.0.2.30:60351".parse().unwrap()));
    assert_eq!(params.send_dtmf, Some(100));
}

#[test]
fn a_carriers_amr_and_preconditions_are_passed_over() {
    let (body, params) = answer(IMS).unwrap();
    assert_eq!(media_lines(&body), ["m=audio 30000 RTP/AVP 8 97"]);
    assert!(!body.contains("qos"));
    assert_eq!((params.codec, params.ptime_ms), (Codec::Pcma, 20));
    assert_eq!(answer(IMS_G729).unwrap_err(), NegotiationError::NoCommonCodec);
    assert_eq!(NegotiationError::NoCommonCodec.status(), 488);
}

#[test]
fn a_browser_without_plain_rtp_is_refused_with_it_the_plain_stream_is_used() {
    assert_eq!(answer(CHROMIUM).unwrap_err(), NegotiationError::UnsupportedTransport);
    let both = format!("{CHROMIUM}m=audio 9000 RTP/AVP 0 8\r\nc=IN IP4 203.0.113.9\r\n");
    let (body, params) = answer(&both).unwrap();
    assert_eq!(media_lines(&body), ["m=audio 0 UDP/TLS/RTP/SAVPF 111 63 9 0 8 13 110 126", "m=audio 30000 RTP/AVP 8"]);
    assert_eq!(params.remote, Some("203.0.113.9:9000".parse().unwrap()));
}

#[test]
fn dynamic_types_may_be_our_codec() {
    let (lines, params) =
        answer(&body("m=audio 4000 RTP/AVP 120 121 | a=rtpmap:120 pcma/8000 | a=rtpmap:121 X/8000")).unwrap();
    assert_eq!(media_lines(&lines), ["m=audio 30000 RTP/AVP 120"]);
    assert_eq!((params.codec, params.send_pt, params.receive_pt), (Codec::Pcma, 120, 120));
    // A static number that is mapped to something else is not ours, nor is stereo or another rate.
    for odd in ["8 | a=rtpmap:8 G726/8000", "8 | a=rtpmap:8 PCMA/16000", "8 | a=rtpmap:8 PCMA/8000/2"] {
        assert_eq!(answer(&body(&format!("m=audio 4000 RTP/AVP {odd}"))).unwrap_err(), NegotiationError::NoCommonCodec);
    }
}

#[test]
fn packet_times_stay_within_the_peers_wishes() {
    let of = |lines: &str| answer(&body(&format!("m=audio 4000 RTP/AVP 8{lines}"))).unwrap().1.ptime_ms;
    assert_eq!(of(""), 20);
    assert_eq!(of(" | a=ptime:30"), 30);
    assert_eq!(of(" | a=ptime:60 | a=maxptime:40"), 40);
    assert_eq!(of(" | a=maxptime:10"), 10);
    assert_eq!(of(" | a=ptime:5"), 10);
    assert_eq!(of(" | a=ptime:25.5"), 20);
    assert_eq!(of(" | a=ptime:240"), 60);
    assert_eq!(of(" | a=ptime:0"), 20);
    assert_eq!(of(" | a=ptime:soon"), 20);
    assert_eq!(of(" | a=ptime:99999999999999999999"), 20);
}

#[test]
fn directions_follow_the_table_of_rfc_3264() {
    for (offered, wanted, answered) in [
        (SendRecv, SendRecv, SendRecv),
        (SendRecv, SendOnly, SendOnly),
        (SendRecv, RecvOnly, RecvOnly),
        (SendRecv, Inactive, Inactive),
        (SendOnly, SendRecv, RecvOnly),
        (SendOnly, RecvOnly, RecvOnly),
        (SendOnly, SendOnly, Inactive),
        (SendOnly, Inactive, Inactive),
        (RecvOnly, SendRecv, SendOnly),
        (RecvOnly, SendOnly, SendOnly),
        (RecvOnly, RecvOnly, Inactive),
        (RecvOnly, Inactive, Inactive),
        (Inactive, SendRecv, Inactive),
        (Inactive, SendOnly, Inactive),
    ] {
        let offer = body(&format!("m=audio 4000 RTP/AVP 8 | a={}", offered.name()));
        let (body, params) = session().answer(offer.as_bytes(), wanted).unwrap();
        assert!(text(&body).contains(&format!("a={}\r\n", answered.name())), "{offered:?} {wanted:?}");
        assert_eq!((params.send, params.receive), (answered.sends(), answered.receives()));
    }
}

#[test]
fn a_direction_of_the_whole_session_counts_unless_the_stream_has_its_own() {
    let (_, params) = answer(&body("a=inactive | m=audio 4000 RTP/AVP 8")).unwrap();
    assert_eq!((params.send, params.receive), (false, false));
    let (_, params) = answer(&body("a=inactive | m=audio 4000 RTP/AVP 8 | a=sendrecv")).unwrap();
    assert_eq!((params.send, params.receive), (true, true));
}

#[test]
fn hold_and_resume_in_both_styles() {
    let mut leg = session();
    let talking = body("m=audio 4000 RTP/AVP 8");
    let (first, _) = leg.answer(talking.as_bytes(), SendRecv).unwrap();
    for hold in [
        talking.replace("RTP/AVP 8", "RTP/AVP 8\r\na=sendonly"),
        talking.replace("c=IN IP4 192.0.2.9", "c=IN IP4 0.0.0.0"),
        talking.replace("c=IN IP4 192.0.2.9", "c=IN IP6 ::"),
        talking.replace("c=IN IP4 192.0.2.9", "c=IN IP4 hold.INVALID"),
    ] {
        let (held, params) = leg.answer(hold.as_bytes(), SendRecv).unwrap();
        assert!(text(&held).contains("a=recvonly\r\n"), "{hold}");
        assert_eq!((params.send, params.receive), (false, true));
        assert_eq!(params.remote.is_none(), !hold.contains("192.0.2.9\r\ns=-\r\nc=IN IP4 192.0.2.9"));
        let (resumed, params) = leg.answer(talking.as_bytes(), SendRecv).unwrap();
        assert_eq!((params.send, params.receive), (true, true));
        assert_eq!(resumed.len(), first.len());
    }
    assert_eq!(version(leg.local_description().unwrap()), "9");
}

#[test]
fn we_hold_and_resume_and_the_version_moves_only_on_change() {
    let mut leg = session();
    let first = leg.offer(SendRecv);
    leg.accept_answer(body("m=audio 4000 RTP/AVP 8 0 101 | a=rtpmap:101 telephone-event/8000").as_bytes()).unwrap();
    assert_eq!(leg.offer(SendRecv), first, "a refresh repeats the description");
    leg.offer_failed();
    let hold = leg.offer(SendOnly);
    assert_eq!(version(&hold), "2");
    let params = leg.accept_answer(body("m=audio 4000 RTP/AVP 8 | a=recvonly").as_bytes()).unwrap();
    assert_eq!((params.send, params.receive), (true, false));
    let resume = leg.offer(SendRecv);
    assert_eq!(version(&resume), "3");
    let params = leg.accept_answer(body("m=audio 4000 RTP/AVP 8").as_bytes()).unwrap();
    assert_eq!((params.send, params.receive), (true, true));
}

#[test]
fn payload_types_may_differ_by_direction_when_we_offered() {
    let mut leg = session();
    leg.offer(SendRecv);
    let answer = body("m=audio 4000 RTP/AVP 110 96 | a=rtpmap:110 PCMA/8000 | a=rtpmap:96 telephone-event/8000");
    let params = leg.accept_answer(answer.as_bytes()).unwrap();
    assert_eq!((params.send_pt, params.receive_pt), (110, 8));
    assert_eq!((params.send_dtmf, params.receive_dtmf), (Some(96), Some(101)));
}

#[test]
fn the_answerers_first_codec_is_used() {
    let mut leg = session();
    leg.offer(SendRecv);
    assert_eq!(leg.accept_answer(body("m=audio 4000 RTP/AVP 0 8").as_bytes()).unwrap().codec, Codec::Pcmu);
}

#[test]
fn an_answer_may_come_twice_and_the_last_counts() {
    let mut leg = session();
    leg.offer(SendRecv);
    assert!(leg.offer_pending());
    leg.accept_answer(body("m=audio 4000 RTP/AVP 8").as_bytes()).unwrap();
    let params = leg.accept_answer(body("m=audio 4444 RTP/AVP 0").as_bytes()).unwrap();
    assert_eq!((params.remote.unwrap().port(), params.codec), (4444, Codec::Pcmu));
    assert!(!leg.offer_pending());
    assert_eq!(leg.params(), Some(&params));
}

#[test]
fn answers_that_do_not_fit() {
    let mut leg = session();
    assert_eq!(leg.accept_answer(SIPP.as_bytes()), Err(NegotiationError::NoOffer));
    leg.offer(SendRecv);
    assert_eq!(leg.answer(SIPP.as_bytes(), SendRecv).unwrap_err(), NegotiationError::OfferPending);
    assert_eq!(leg.accept_answer(body("m=audio 0 RTP/AVP 8").as_bytes()), Err(NegotiationError::NoAudio));
    assert_eq!(leg.accept_answer(body("m=audio 4000 RTP/AVP 18").as_bytes()), Err(NegotiationError::NoCommonCodec));
    assert_eq!(leg.accept_answer(body("a=x").as_bytes()), Err(NegotiationError::NoAudio));
    assert_eq!(leg.accept_answer(b"v=0"), Err(NegotiationError::Malformed(SdpError::NoOrigin)));
    assert!(leg.offer_pending(), "a bad answer changes nothing");
    leg.offer_failed();
    assert!(leg.answer(SIPP.as_bytes(), SendRecv).is_ok());
}

#[test]
fn streams_keep_number_and_order_in_all_later_exchanges() {
    let mut leg = session();
    let offer = body(
        "m=image 5000 udptl t38 | a=T38FaxVersion:0 | m=audio 4002 RTP/SAVP 8 | m=audio 4000 RTP/AVP 0 97 101 | \
         a=rtpmap:97 telephone-event/8000 | a=rtpmap:101 opus/48000/2 | m=video 4004 RTP/AVP 31",
    );
    let (first, _) = leg.answer(offer.as_bytes(), SendRecv).unwrap();
    assert_eq!(
        media_lines(&text(&first)),
        ["m=image 0 udptl t38", "m=audio 0 RTP/SAVP 8", "m=audio 30000 RTP/AVP 0 97", "m=video 0 RTP/AVP 31"]
    );
    let later = leg.offer(SendOnly);
    assert_eq!(
        media_lines(&text(&later)),
        ["m=image 0 udptl t38", "m=audio 0 RTP/SAVP 8", "m=audio 30000 RTP/AVP 8 0 97", "m=video 0 RTP/AVP 31"]
    );
    let reply = body(
        "m=image 0 udptl t38 | m=audio 0 RTP/SAVP 8 | m=audio 4000 RTP/AVP 8 97 | \
         a=rtpmap:97 telephone-event/8000 | m=video 0 RTP/AVP 31",
    );
    assert_eq!(leg.accept_answer(reply.as_bytes()).unwrap().codec, Codec::Pcma);
    // A line that the peer adds at the end is refused; ours stays where it was.
    let more = offer + "m=text 4010 RTP/AVP 98\r\n";
    let (last, _) = leg.answer(more.as_bytes(), SendRecv).unwrap();
    assert_eq!(media_lines(&text(&last))[4], "m=text 0 RTP/AVP 98");
    assert!(media_lines(&text(&last))[2].starts_with("m=audio 30000"));
}

#[test]
fn telephone_events_avoid_a_number_that_the_peer_uses_otherwise() {
    let mut leg = session();
    leg.answer(body("m=audio 4000 RTP/AVP 8 101 | a=rtpmap:101 opus/48000/2").as_bytes(), SendRecv).unwrap();
    assert!(text(&leg.offer(SendRecv)).contains("m=audio 30000 RTP/AVP 8 0 96\r\n"));
}

#[test]
fn audio_that_cannot_be_used() {
    let refused = |lines: &str| answer(&body(lines)).unwrap_err();
    assert_eq!(
        refused("m=audio 4000 RTP/AVP 101 | a=rtpmap:101 telephone-event/8000"),
        NegotiationError::NoCommonCodec
    );
    assert_eq!(refused("m=audio 4000 RTP/AVP"), NegotiationError::NoCommonCodec);
    assert_eq!(refused("m=audio 0 RTP/AVP 8"), NegotiationError::NoAudio);
    assert_eq!(refused("m=video 4000 RTP/AVP 31"), NegotiationError::NoAudio);
    assert_eq!(refused("a=nothing"), NegotiationError::NoAudio);
    assert_eq!(refused("m=audio 4000 RTP/SAVP 8"), NegotiationError::UnsupportedTransport);
    for address in ["IN IP4 224.2.1.1/127", "IN IP4 255.255.255.255", "IN IP4 sbc.example.com", "IN IP6 2001:db8::1"] {
        let lines = format!("m=audio 4000 RTP/AVP 8 | c={address}");
        assert_eq!(refused(&lines), NegotiationError::UnusableAddress, "{address}");
    }
    let nowhere = body("m=audio 4000 RTP/AVP 8").replace("c=IN IP4 192.0.2.9\r\n", "");
    assert_eq!(answer(&nowhere).unwrap_err(), NegotiationError::UnusableAddress);
}

#[test]
fn the_second_audio_line_serves_when_the_first_cannot() {
    let (body, params) =
        answer(&body("m=audio 0 RTP/AVP 8 | m=audio 4000 RTP/AVP 18 | m=audio 4002 RTP/AVP 0")).unwrap();
    assert_eq!(media_lines(&body), ["m=audio 0 RTP/AVP 8", "m=audio 0 RTP/AVP 18", "m=audio 30000 RTP/AVP 0"]);
    assert_eq!(params.remote.unwrap().port(), 4002);
}

#[test]
fn a_running_stream_may_be_switched_off_and_on_again() {
    let mut leg = session();
    leg.answer(body("m=audio 4000 RTP/AVP 8").as_bytes(), SendRecv).unwrap();
    let (off, params) = leg.answer(body("m=audio 0 RTP/AVP 8").as_bytes(), SendRecv).unwrap();
    assert_eq!(media_lines(&text(&off)), ["m=audio 0 RTP/AVP 8"]);
    assert_eq!((params.remote, params.send, params.receive), (None, false, false));
    assert_eq!(
        media_lines(&text(&leg.offer(SendRecv))),
        ["m=audio 30000 RTP/AVP 8 0 101"],
        "we take the place up again"
    );
}

#[test]
fn a_refused_later_offer_leaves_the_session_as_it_was() {
    let mut leg = session();
    let (first, params) = leg.answer(SIPP.as_bytes(), SendRecv).unwrap();
    assert_eq!(leg.answer(IMS_G729.as_bytes(), SendRecv).unwrap_err(), NegotiationError::NoCommonCodec);
    assert_eq!((leg.local_description(), leg.params()), (Some(&first), Some(&params)));
}

#[test]
fn rtcp_goes_where_it_is_wanted() {
    let of = |port: &str, line: &str| answer(&body(&format!("m=audio {port} RTP/AVP 8{line}"))).unwrap().1.remote_rtcp;
    assert_eq!(of("4000", ""), Some("192.0.2.9:4001".parse().unwrap()));
    assert_eq!(of("65535", ""), None);
    assert_eq!(of("4000", " | a=rtcp:5005"), Some("192.0.2.9:5005".parse().unwrap()));
    assert_eq!(of("4000", " | a=rtcp:5005 IN IP4 192.0.2.77"), Some("192.0.2.77:5005".parse().unwrap()));
    assert_eq!(of("4000", " | a=rtcp:0"), Some("192.0.2.9:4001".parse().unwrap()));
    assert_eq!(of("4000", " | a=rtcp:x"), Some("192.0.2.9:4001".parse().unwrap()));
    assert_eq!(of("4000", " | a=rtcp-mux"), Some("192.0.2.9:4000".parse().unwrap()));
}

#[test]
fn ipv6_end_to_end() {
    let mut leg = Session::new(LocalMedia {
        rtp: "[2001:db8::1]:30000".parse().unwrap(),
        session_id: 1,
        codecs: vec![],
        ptime_ms: 0,
    });
    let offer = leg.offer(SendRecv);
    assert!(text(&offer).contains("c=IN IP6 2001:db8::1\r\n"));
    assert!(text(&offer).contains("RTP/AVP 8 101\r\n"));
    let answer = body("m=audio 4000 RTP/AVP 8 | c=IN IP6 2001:db8::2");
    assert_eq!(leg.accept_answer(answer.as_bytes()).unwrap().remote, Some("[2001:db8::2]:4000".parse().unwrap()));
}

proptest! {
    /// Two of our own sessions always agree, whoever offers and in whichever direction.
    #[test]
    fn two_sessions_agree(steps in proptest::collection::vec((any::<bool>(), 0..4usize, 0..4usize), 1..12)) {
        let all = [SendRecv, SendOnly, RecvOnly, Inactive];
        let mut legs = [session(), Session::new(LocalMedia { rtp: "192.0.2.2:20000".parse().unwrap(), ..session().local })];
        for (first, offered, wanted) in steps {
            let [a, b] = &mut legs;
            let (offerer, answerer) = if first { (a, b) } else { (b, a) };
            let offer = offerer.offer(all[offered]);
            let (answer, theirs) = answerer.answer(&offer, all[wanted]).unwrap();
            let ours = offerer.accept_answer(&answer).unwrap();
            prop_assert_eq!((ours.send, ours.receive), (theirs.receive, theirs.send));
            prop_assert_eq!((ours.codec, ours.send_pt, ours.send_dtmf), (theirs.codec, theirs.receive_pt, theirs.receive_dtmf));
            prop_assert_eq!(ours.remote.unwrap().port() + theirs.remote.unwrap().port(), 50000);
        }
    }

    /// Whatever comes, nothing panics, and an answer has as many streams as its offer.
    #[test]
    fn no_offer_or_answer_panics(
        media in proptest::collection::vec(
            "m=(audio|video) [0-9]{1,5} (RTP/AVP|RTP/SAVP) [0-9]{1,3}( [0-9]{1,3}){0,3}\r\n(c=IN IP4 [0-9]\\.0\\.0\\.1\r\n)?\
             (a=rtpmap:[0-9]{1,3} (PCMA|telephone-event)/8000\r\n){0,3}(a=(ptime|rtcp|maxptime):[0-9]{0,12}\r\n)?", 0..6),
        offers in proptest::collection::vec(any::<bool>(), 1..5),
    ) {
        let body = format!("v=0\r\no=- 1 1 IN IP4 h\r\n{}", media.concat());
        let mut leg = session();
        for ours in offers {
            if ours {
                leg.offer(SendRecv);
                let _ = leg.accept_answer(body.as_bytes());
                leg.offer_failed();
            } else if let Ok((answer, _)) = leg.answer(body.as_bytes(), SendRecv) {
                prop_assert_eq!(Sdp::parse(&answer).unwrap().media.len(), media.len());
            }
        }
    }
}
