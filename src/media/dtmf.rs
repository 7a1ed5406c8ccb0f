//! Telephone events: keys sent and received as RTP payload (RFC 4733).
//!
//! Events 0–15 only. The receiver tells each key exactly once, at the first of its packets that comes; the sender
//! repeats the first and the last packet three times.

use std::{collections::VecDeque, time::Duration};

/// The keys in the order of their event codes (RFC 4733 section 3.2).
const KEYS: &[u8; 16] = b"0123456789*#ABCD";

/// Timestamp units between two packets of an event: 20 ms.
const STEP: u16 = 160;

/// The longest that is sent before the event ends by itself: 5 s, far below the 16 bits of duration.
const LONGEST: Duration = Duration::from_secs(5);

/// The key of an event code.
pub fn key(event: u8) -> Option<char> {
    KEYS.get(usize::from(event)).map(|k| char::from(*k))
}

/// The event code of a key; letters in either case.
pub fn event(key: char) -> Option<u8> {
    KEYS.iter().position(|k| char::from(*k) == key.to_ascii_uppercase()).map(|i| i as u8)
}

#[derive(Clone, Copy, Debug)]
struct Seen {
    ssrc: u32,
    timestamp: u32,
    event: u8,
    ended: bool,
}

/// Tells keys from the packets of one stream. A key is known by its timestamp, which all its packets share.
#[derive(Clone, Copy, Debug, Default)]
pub struct Receiver {
    last: Option<Seen>,
}

impl Receiver {
    /// Takes one packet's payload; gives the key when the packet is the first of its event to come.
    ///
    /// A lost first packet, a lost end, repetitions and packets out of order make no difference. A payload that is
    /// too short, has no duration (section 2.3.5) or is no key gives nothing.
    pub fn receive(&mut self, ssrc: u32, timestamp: u32, payload: &[u8]) -> Option<char> {
        let &[code, flags, high, low, ..] = payload else { return None };
        let pressed = key(code)?;
        let ended = flags & 0x80 != 0;
        if u16::from_be_bytes([high, low]) == 0 {
            return None;
        }
        if let Some(last) = &mut self.last
            && last.ssrc == ssrc
        {
            let newer = timestamp.wrapping_sub(last.timestamp) as i32;
            if newer == 0 {
                last.ended |= ended;
                return None;
            }
            // A packet of an earlier key that was overtaken; a clock that jumped back further has begun anew.
            if (-80_000..0).contains(&newer) {
                return None;
            }
            // Section 2.5.1.3: a key held longer than the duration can say goes on in a new segment.
            if newer == 0xffff && code == last.event && !last.ended {
                last.timestamp = timestamp;
                last.ended = ended;
                return None;
            }
        }
        self.last = Some(Seen { ssrc, timestamp, event: code, ended });
        Some(pressed)
    }
}

/// How many keys of one leg are told in a second: nobody presses faster.
const MOST_KEYS: u8 = 20;
const SECOND: u64 = 1_000_000;

/// Holds back keys that come faster than anybody can press them, so that one stream cannot keep its call busy.
#[derive(Clone, Copy, Debug, Default)]
pub struct Limit {
    /// When the second began, in microseconds.
    since: u64,
    told: u8,
}

impl Limit {
    /// Whether a key that came at `at` (microseconds) may be told.
    pub fn allows(&mut self, at: u64) -> bool {
        if at.saturating_sub(self.since) >= SECOND {
            *self = Limit { since: at, told: 0 };
        }
        let allowed = self.told < MOST_KEYS;
        self.told += u8::from(allowed);
        allowed
    }
}

/// What to send now; see [`Sender::step`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// RFC 4733 section 2.3: event, end bit and volume, duration in timestamp units.
    pub payload: [u8; 4],
    /// The event begins: take a new timestamp and set the marker on the first copy.
    pub first: bool,
    /// How often to send it, each with its own sequence number and all with the event's timestamp.
    pub copies: u8,
}

#[derive(Clone, Copy, Debug)]
enum State {
    Idle,
    Sending {
        event: u8,
        length: u16,
        duration: u16,
    },
    Ending {
        event: u8,
        duration: u16,
        left: u8,
    },
    /// Silence between two keys.
    Pause {
        left: u8,
    },
}

/// Sends keys one after the other. Call [`Sender::step`] each 20 ms while [`Sender::is_active`].
#[derive(Debug)]
pub struct Sender {
    state: State,
    queue: VecDeque<(u8, u16)>,
}

/// Keys that wait at most; more are refused.
const QUEUE: usize = 32;

impl Default for Sender {
    fn default() -> Self {
        Sender { state: State::Idle, queue: VecDeque::new() }
    }
}

impl Sender {
    /// Queues a key for `length` (40 ms to 5 s). False: not a key, or too many wait.
    pub fn push(&mut self, digit: char, length: Duration) -> bool {
        let Some(event) = event(digit) else { return false };
        if self.queue.len() >= QUEUE {
            return false;
        }
        let millis = length.min(LONGEST).as_millis().max(40) as u16;
        self.queue.push_back((event, millis * 8));
        true
    }

    /// Whether a key is being sent or waits; audio is not sent meanwhile.
    pub fn is_active(&self) -> bool {
        !matches!(self.state, State::Idle) || !self.queue.is_empty()
    }

    /// Moves on by 20 ms and says what to send; nothing during the pause after a key.
    pub fn step(&mut self) -> Option<Step> {
        match self.state {
            State::Idle => {
                let (event, length) = self.queue.pop_front()?;
                self.state = State::Sending { event, length, duration: STEP };
                Some(Step { payload: payload(event, false, STEP), first: true, copies: 3 })
            }
            State::Sending { event, length, duration } => {
                let duration = duration + STEP;
                let end = duration >= length;
                self.state = if end {
                    State::Ending { event, duration, left: 2 }
                } else {
                    State::Sending { event, length, duration }
                };
                Some(Step { payload: payload(event, end, duration), first: false, copies: 1 })
            }
            State::Ending { event, duration, left } => {
                // Section 2.5.1.4: the final packet three times, at the interval of the updates.
                self.state =
                    if left > 1 { State::Ending { event, duration, left: left - 1 } } else { State::Pause { left: 2 } };
                Some(Step { payload: payload(event, true, duration), first: false, copies: 1 })
            }
            State::Pause { left } => {
                self.state = if left > 1 { State::Pause { left: left - 1 } } else { State::Idle };
                None
            }
        }
    }
}

/// Event, end bit and a volume of −10 dBm0, duration (section 2.3).
fn payload(event: u8, end: bool, duration: u16) -> [u8; 4] {
    let [high, low] = duration.to_be_bytes();
    [event, 10 | u8::from(end) << 7, high, low]
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rand::{Rng, SeedableRng, rngs::StdRng};

    /// What a sender puts on the line for these keys: timestamp and payload.
    fn line(keys: &str) -> Vec<(u32, [u8; 4])> {
        let mut sender = Sender::default();
        keys.chars().for_each(|k| assert!(sender.push(k, Duration::from_millis(100))));
        let (mut packets, mut clock, mut timestamp) = (vec![], 0, 0);
        while sender.is_active() {
            if let Some(step) = sender.step() {
                timestamp = if step.first { clock } else { timestamp };
                (0..step.copies).for_each(|_| packets.push((timestamp, step.payload)));
            }
            clock += u32::from(STEP);
        }
        packets
    }

    #[test]
    fn no_more_than_twenty_keys_a_second_are_told() {
        let mut limit = Limit::default();
        let told = |limit: &mut Limit, from: u64| (0..500).filter(|n| limit.allows(from + n * 2_000)).count();
        assert_eq!(told(&mut limit, 5_000_000), 20);
        assert_eq!(told(&mut limit, 6_000_000), 20);
        // A person at the keys is never held back.
        assert!((0..100).all(|n| limit.allows(10_000_000 + n * 100_000)));
    }

    #[test]
    fn one_key_is_three_starts_updates_and_three_ends() {
        let packets = line("#");
        let durations: Vec<u16> = packets.iter().map(|(_, p)| u16::from_be_bytes([p[2], p[3]])).collect();
        assert_eq!(durations, [160, 160, 160, 320, 480, 640, 800, 800, 800]);
        let ends: Vec<bool> = packets.iter().map(|(_, p)| p[1] & 0x80 != 0).collect();
        assert_eq!(ends.iter().filter(|e| **e).count(), 3);
        assert!(ends[6] && !ends[5]);
        assert!(packets.iter().all(|(t, p)| *t == 0 && p[0] == 11 && p[1] & 0x3f == 10));
    }

    #[test]
    fn each_key_comes_once_under_loss_repetition_and_disorder() {
        let keys = "1122333*0#9A90";
        for seed in 0..200 {
            let mut rng = StdRng::seed_from_u64(seed);
            let mut got = vec![];
            for packet in line(keys) {
                if rng.random_bool(0.2) {
                    continue;
                }
                (0..=u8::from(rng.random_bool(0.2))).for_each(|_| got.push(packet));
            }
            for i in 1..got.len() {
                if rng.random_bool(0.1) {
                    got.swap(i - 1, i);
                }
            }
            let mut receiver = Receiver::default();
            let heard: String = got.iter().filter_map(|(t, p)| receiver.receive(5, *t, p)).collect();
            // Nine packets a key: the odds that all are lost are below one in a million.
            assert_eq!(heard.len(), keys.len(), "seed {seed}: {heard}");
        }
    }

    #[test]
    fn only_an_end_or_only_a_middle_is_enough() {
        let mut receiver = Receiver::default();
        assert_eq!(receiver.receive(1, 100, &payload(5, true, 800)), Some('5'));
        assert_eq!(receiver.receive(1, 100, &payload(5, true, 800)), None);
        assert_eq!(receiver.receive(1, 2000, &payload(5, false, 480)), Some('5'));
        assert_eq!(receiver.receive(1, 100, &payload(5, true, 800)), None, "overtaken");
        assert_eq!(receiver.receive(2, 100, &payload(5, true, 800)), Some('5'), "another source");
    }

    #[test]
    fn a_long_key_in_segments_is_one() {
        let mut receiver = Receiver::default();
        assert_eq!(receiver.receive(1, 0, &payload(1, false, 0xffff)), Some('1'));
        assert_eq!(receiver.receive(1, 0xffff, &payload(1, false, 160)), None);
        assert_eq!(receiver.receive(1, 0xffff, &payload(1, true, 320)), None);
    }

    #[test]
    fn the_queue_is_bounded_and_keys_are_checked() {
        let mut sender = Sender::default();
        assert!(!sender.push('x', Duration::ZERO));
        assert!((0..100).filter(|_| sender.push('1', Duration::ZERO)).count() == QUEUE);
        assert_eq!((event('d'), key(16), key(12)), (Some(15), None, Some('A')));
    }

    proptest! {
        #[test]
        fn any_payload_is_taken(packets in proptest::collection::vec((any::<u32>(), proptest::collection::vec(any::<u8>(), 0..8)), 0..50)) {
            let mut receiver = Receiver::default();
            for (timestamp, payload) in packets {
                let _ = receiver.receive(1, timestamp, &payload);
            }
        }
    }
}
