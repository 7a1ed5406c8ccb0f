//! The message parser with a fault planted behind it, to show that fuzzing finds what no seed holds (planted.sh): an `rport` of just
//! this number in the topmost Via of a well-formed request.
#![no_main]

use hotline_fuzz::sip::message::Message;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    if let Ok(Message::Request(request)) = Message::parse(data.to_vec().into())
        && let Ok(via) = request.headers.top_via()
    {
        assert_ne!(via.rport(), Some(Some(31_337)), "the planted fault");
    }
});
