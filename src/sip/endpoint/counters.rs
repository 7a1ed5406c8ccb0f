//! What an endpoint counts, for the metrics.

use crate::sip::message::Method;

/// Totals since the start of an endpoint.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Requests that came, by method, with those that came again.
    pub requests: MethodCounts,
    /// Responses that came, with those that came again.
    pub responses: u64,
    /// The same by the first digit of their status.
    pub responses_by_class: Classes,
    /// Responses that we sent, by the first digit of their status, with those that we sent again.
    pub responses_sent: Classes,
    /// Messages that we sent, with those that we sent again.
    pub sent: u64,
    /// Messages that we sent again because a timer ran out or the peer's came again.
    pub retransmitted: u64,
    /// Requests that came again.
    pub repeated: u64,
    /// Messages that broke the grammar.
    pub malformed: u64,
    /// Messages that belong to nothing: late ACKs, responses to what we did not ask.
    pub dropped: u64,
    /// Requests refused with 503 because a limit was reached.
    pub overloaded: u64,
    /// Requests refused with 503 because their peer or their dialog had too many of them.
    pub throttled: u64,
    /// Requests dropped because their source may not speak here.
    pub strangers: u64,
}

/// A number for each class of responses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Classes([u64; 6]);

impl Classes {
    pub(super) fn add(&mut self, status: u16) {
        if let Some(count) = usize::from(status / 100).checked_sub(1).and_then(|class| self.0.get_mut(class)) {
            *count += 1;
        }
    }

    /// Counts a message that is a response; requests begin with their method.
    pub(super) fn add_sent(&mut self, message: &[u8]) {
        if let Some(digit) = message.strip_prefix(b"SIP/2.0 ").and_then(|rest| rest.first()) {
            self.add(u16::from(digit.wrapping_sub(b'0')) * 100);
        }
    }

    /// Each class with its name, `1xx` to `6xx`.
    pub fn named(self) -> impl Iterator<Item = (&'static str, u64)> {
        ["1xx", "2xx", "3xx", "4xx", "5xx", "6xx"].into_iter().zip(self.0)
    }
}

/// A number for each method.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MethodCounts {
    /// RFC 3261 section 13; re-INVITEs count too.
    pub invite: u64,
    /// Of a 2xx and of failures alike.
    pub ack: u64,
    /// RFC 3261 section 15.
    pub bye: u64,
    /// RFC 3261 section 9.
    pub cancel: u64,
    /// RFC 3261 section 11; mostly the carriers' keep-alive.
    pub options: u64,
    /// RFC 3261 section 10, refreshes included.
    pub register: u64,
    /// RFC 6086.
    pub info: u64,
    /// RFC 3311.
    pub update: u64,
    /// RFC 3515.
    pub refer: u64,
    /// RFC 6665.
    pub notify: u64,
    /// RFC 3428.
    pub message: u64,
    /// All the rest, so that a peer cannot make labels.
    pub other: u64,
}

impl MethodCounts {
    pub(super) fn add(&mut self, method: &Method) {
        let count = match method {
            Method::Invite => &mut self.invite,
            Method::Ack => &mut self.ack,
            Method::Bye => &mut self.bye,
            Method::Cancel => &mut self.cancel,
            Method::Options => &mut self.options,
            Method::Register => &mut self.register,
            Method::Info => &mut self.info,
            Method::Update => &mut self.update,
            Method::Refer => &mut self.refer,
            Method::Notify => &mut self.notify,
            Method::Message => &mut self.message,
            Method::Prack | Method::Subscribe | Method::Publish | Method::Other(_) => &mut self.other,
        };
        *count += 1;
    }
}
