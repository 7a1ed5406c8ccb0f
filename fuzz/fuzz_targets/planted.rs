//! The message parser with a fault planted behind it, to show that fuzzing finds what no seed holds (planted.sh): an
//! `rport` of just 31 in the topmost Via of a well-formed request, read digit by digit as a parser would.
#![no_main]

use hotline_fuzz::sip::message::Message;
use libfuzzer_sys::{Corpus, fuzz_target};
use std::hint::black_box;

fuzz_target!(|data: &[u8]| -> Corpus {
    // Only well-formed requests with an rport are worth changing further.
    let Ok(Message::Request(request)) = Message::parse(data.to_vec().into()) else { return Corpus::Reject };
    let Ok(via) = request.headers.top_via() else { return Corpus::Reject };
    let Some(port) = via.params.get("rport") else { return Corpus::Reject };
    // Each digit is a branch of its own: that is all that tells the fuzzer that it comes nearer.
    if black_box(port.first()) == Some(&b'3') && black_box(port.get(1)) == Some(&b'1') {
        assert!(port.len() > 2, "the planted fault");
    }
    Corpus::Keep
});
