//! The message parser with a fault planted behind it, to show that fuzzing finds what no seed holds (planted.sh): an
//! `rport` of just this number in the topmost Via of a well-formed request, read digit by digit as a parser would.
#![no_main]

use hotline_fuzz::sip::message::Message;
use libfuzzer_sys::{Corpus, fuzz_target};
use std::hint::black_box;

fuzz_target!(|data: &[u8]| -> Corpus {
    // Only well-formed requests with an rport are worth changing further.
    let Ok(Message::Request(request)) = Message::parse(data.to_vec().into()) else { return Corpus::Reject };
    let Ok(via) = request.headers.top_via() else { return Corpus::Reject };
    let Some(port) = via.params.get("rport") else { return Corpus::Reject };
    // How far it is right is all that tells the fuzzer that it comes nearer.
    let mut right = 0;
    for (digit, wanted) in port.iter().zip(b"31337") {
        if black_box(digit) != wanted {
            break;
        }
        right += 1;
    }
    assert!(right < 5 || port.len() > 5, "the planted fault");
    Corpus::Keep
});
