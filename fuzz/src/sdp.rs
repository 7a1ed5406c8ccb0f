//! A session description, and what a leg makes of it as an offer and as an answer.

use crate::media::{
    codec::Codec,
    sdp::{Address, Direction, LocalMedia, NegotiationError, Sdp, Session},
};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// Reads, prints, reads again, and negotiates.
pub fn check(data: &[u8]) {
    match Sdp::parse(data) {
        Ok(sdp) => understood(sdp),
        Err(error) => assert!(!error.to_string().is_empty()),
    }
    negotiate(data);
}

fn understood(mut sdp: Sdp) {
    let printed = sdp.print();
    let again = Sdp::parse(&printed).expect("what was printed is read");
    assert_eq!(again, sdp);
    assert_eq!(again.print(), printed);
    let _ = (sdp.connection(), sdp.attribute("group"), sdp.hosts().count());
    for media in &sdp.media {
        let _ = (media.connection(), media.attribute("ptime"), media.attributes("rtpmap").count());
    }
    sdp.resolve(|_| Some(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1))));
    assert_eq!(sdp.hosts().count(), 0);
    let resolved = Sdp::parse(&sdp.print()).expect("the resolved description");
    assert!(resolved.connection().is_none_or(|connection| matches!(connection.address, Address::Ip(_))));
}

fn negotiate(data: &[u8]) {
    let local = LocalMedia {
        rtp: SocketAddr::from(([192, 0, 2, 9], 10_000)),
        session_id: 1,
        codecs: vec![Codec::Pcma, Codec::Pcmu],
        ptime_ms: 20,
    };
    let mut answering = Session::new(local.clone());
    for direction in [Direction::SendRecv, Direction::SendOnly, Direction::RecvOnly, Direction::Inactive] {
        match answering.answer(data, direction) {
            Ok((answer, params)) => {
                let offer = Sdp::parse(data).expect("an offer that was answered");
                let answer = Sdp::parse(&answer).expect("our answer");
                assert_eq!(answer.media.len(), offer.media.len());
                assert_eq!(answer.media.iter().filter(|media| media.port != 0).count(), 1);
                assert!((10..=60).contains(&params.ptime_ms) && params.send_pt < 128 && params.receive_pt < 128);
                assert!(!params.send || direction.sends());
                assert_eq!(answering.params(), Some(&params));
            }
            Err(error) => refused(error),
        }
    }
    // A re-offer of ours after what was agreed, and the octets as its answer.
    for mut session in [answering, Session::new(local)] {
        let offer = session.offer(Direction::SendRecv);
        assert!(Sdp::parse(&offer).is_ok() && session.offer_pending());
        match session.accept_answer(data) {
            Ok(params) => assert_eq!(session.params(), Some(&params)),
            Err(error) => {
                refused(error);
                session.offer_failed();
            }
        }
        assert!(session.local_description().is_some());
        if let Err(error) = session.answer(data, Direction::SendRecv) {
            refused(error);
        }
    }
}

fn refused(error: NegotiationError) {
    assert!([400, 488, 491, 500].contains(&error.status()));
    assert!(error.warning().is_none_or(|code| (300..400).contains(&code)));
    assert!(!error.to_string().is_empty());
}
