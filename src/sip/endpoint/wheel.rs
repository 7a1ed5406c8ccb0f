//! A hierarchical timer wheel: one for all timers of an endpoint.
//!
//! Six levels of 64 slots, the lowest of 1 ms: setting a timer and firing one cost the same however many are set
//! (some 400,000 linger at 6,000 calls/s). Timers are never taken out: whoever set one knows, when it fires,
//! whether it still matters. Deadlines are rounded up to the next millisecond.

use std::time::{Duration, Instant};

const LEVELS: usize = 6;
const BITS: u32 = 6;
const SLOTS: usize = 1 << BITS;
/// 2³⁶ ms is over two years; what is set later than that fires then.
const FURTHEST: u64 = (1 << (BITS * LEVELS as u32)) - 1;
/// A slot's memory is kept for the next round up to so many entries.
const KEPT_CAPACITY: usize = 1024;

struct Level<K> {
    /// Bit n: slot n holds something.
    occupied: u64,
    slots: [Vec<(u64, K)>; SLOTS],
}

/// Timers of keys `K`, each fired once.
pub struct Wheel<K> {
    epoch: Option<Instant>,
    /// The tick up to which everything has fired.
    elapsed: u64,
    levels: Vec<Level<K>>,
    len: usize,
}

impl<K: Copy> Wheel<K> {
    /// An empty wheel.
    pub fn new() -> Self {
        let level = || Level { occupied: 0, slots: std::array::from_fn(|_| Vec::new()) };
        Wheel { epoch: None, elapsed: 0, levels: std::iter::repeat_with(level).take(LEVELS).collect(), len: 0 }
    }

    /// Sets a timer that fires at `at`, or at the next [`Self::expire`] where `at` has passed.
    pub fn set(&mut self, now: Instant, at: Instant, key: K) {
        let epoch = *self.epoch.get_or_insert(now);
        let since = at.saturating_duration_since(epoch);
        let tick = since.as_nanos().div_ceil(1_000_000).min(u128::from(FURTHEST)) as u64;
        self.place(tick.max(self.elapsed + 1), key);
        self.len += 1;
    }

    /// How many timers are set, with those that no longer matter.
    #[cfg(test)]
    pub fn len(&self) -> usize {
        self.len
    }

    /// When [`Self::expire`] is due at the latest; it may turn out that nothing fires then.
    pub fn next(&self) -> Option<Instant> {
        let (_, _, tick) = self.next_slot()?;
        Some(self.epoch? + Duration::from_millis(tick))
    }

    /// Adds the keys of all timers due at `now` to `fired`, in the order of their deadlines.
    pub fn expire(&mut self, now: Instant, fired: &mut Vec<K>) {
        let Some(epoch) = self.epoch else { return };
        let now = (now.saturating_duration_since(epoch).as_millis() as u64).min(FURTHEST);
        while let Some((level, slot, tick)) = self.next_slot().filter(|(_, _, tick)| *tick <= now) {
            self.elapsed = tick;
            let mut entries = std::mem::take(&mut self.levels[level].slots[slot]);
            self.levels[level].occupied &= !(1 << slot);
            for (at, key) in entries.drain(..) {
                if at <= tick {
                    fired.push(key);
                    self.len -= 1;
                } else {
                    self.place(at, key);
                }
            }
            if entries.capacity() <= KEPT_CAPACITY {
                self.levels[level].slots[slot] = entries;
            }
        }
        self.elapsed = self.elapsed.max(now);
    }

    /// The level is that of the highest digit in which the deadline differs from `elapsed`, so within a level all
    /// slots in use lie ahead, and whatever is on a lower level is due before whatever is on a higher one.
    fn place(&mut self, tick: u64, key: K) {
        let differing = (self.elapsed ^ tick) | (SLOTS as u64 - 1);
        let level = (((63 - differing.leading_zeros()) / BITS) as usize).min(LEVELS - 1);
        let slot = (tick >> (BITS * level as u32)) as usize % SLOTS;
        self.levels[level].slots[slot].push((tick, key));
        self.levels[level].occupied |= 1 << slot;
    }

    /// The first slot in use: its level, its number and the tick at which it begins.
    fn next_slot(&self) -> Option<(usize, usize, u64)> {
        let (level, occupied) =
            self.levels.iter().enumerate().find_map(|(n, l)| (l.occupied != 0).then_some((n, l.occupied)))?;
        let slot = occupied.trailing_zeros();
        let shift = BITS * level as u32;
        let above = self.elapsed >> (shift + BITS) << (shift + BITS);
        Some((level, slot as usize, above | u64::from(slot) << shift))
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods)] // A test may ask the clock for its first moment.
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn ms(n: u64) -> Duration {
        Duration::from_millis(n)
    }

    #[test]
    fn fires_in_order_and_never_early() {
        let now = Instant::now();
        let mut wheel = Wheel::new();
        for at in [5u64, 0, 63, 64, 65, 4096, 262_144, 32_000, 500] {
            wheel.set(now, now + ms(at), at);
        }
        let mut fired = Vec::new();
        wheel.expire(now + ms(499), &mut fired);
        assert_eq!(fired, [0, 5, 63, 64, 65]);
        fired.clear();
        wheel.expire(now + ms(300_000), &mut fired);
        assert_eq!(fired, [500, 4096, 32_000, 262_144]);
        assert_eq!(wheel.len(), 0);
        assert_eq!(wheel.next(), None);
    }

    #[test]
    fn next_leads_to_the_exact_moment() {
        let now = Instant::now();
        let mut wheel = Wheel::new();
        wheel.set(now, now + ms(31_999), ());
        let mut fired = Vec::new();
        let mut steps = 0;
        let mut at = now;
        while fired.is_empty() {
            at = wheel.next().expect("one is set");
            wheel.expire(at, &mut fired);
            steps += 1;
        }
        assert_eq!(at, now + ms(31_999));
        assert!(steps <= LEVELS);
    }

    proptest! {
        #[test]
        fn agrees_with_a_sorted_list(script in prop::collection::vec((0u64..70_000, 0u64..3_000), 1..200)) {
            let start = Instant::now();
            let mut wheel = Wheel::new();
            let mut model: Vec<u64> = Vec::new();
            let mut now = 0;
            for (after, step) in script {
                wheel.set(start + ms(now), start + ms(now + after), now + after);
                model.push(now + after);
                now += step;
                let mut fired = Vec::new();
                wheel.expire(start + ms(now), &mut fired);
                let mut due: Vec<u64> = model.iter().copied().filter(|at| *at <= now).collect();
                model.retain(|at| *at > now);
                // A deadline that had passed when it was set fires with the next millisecond.
                if step == 0 {
                    let late = due.len() - fired.len();
                    prop_assert!(late <= 1);
                    let mut missing = due.clone();
                    for at in &fired {
                        missing.retain(|other| other != at);
                    }
                    model.extend(missing.iter().take(late));
                    due = fired.clone();
                }
                fired.sort_unstable();
                due.sort_unstable();
                prop_assert_eq!(fired, due);
                prop_assert_eq!(wheel.len(), model.len());
            }
        }
    }
}
