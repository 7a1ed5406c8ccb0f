//! A wheel of 64 slots of 1 ms for everything that is generated: prompts, keys, mixes.

/// What is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Due {
    Play(u32),
    Digit(u32),
    Room(u32),
}

const SLOTS: u64 = 64;
/// Further behind than this the wheel does not catch up: what was missed is left out.
const MOST_BEHIND: u64 = 200;

/// Times are milliseconds of the wheel, which stand still while the process does not run.
#[derive(Debug)]
pub(super) struct Wheel {
    slots: [Vec<Due>; SLOTS as usize],
    occupied: u64,
    /// The last millisecond that was worked off.
    at: u64,
    /// The clock less this is the wheel's time.
    behind: u64,
}

impl Wheel {
    pub(super) fn new() -> Self {
        Wheel { slots: std::array::from_fn(|_| Vec::new()), occupied: 0, at: 0, behind: 0 }
    }

    /// Schedules something `delay` (1–63) milliseconds after the last that was worked off; gives its time.
    pub(super) fn schedule(&mut self, clock: u64, due: Due, delay: u64) -> u64 {
        if self.occupied == 0 {
            self.at = self.at.max(clock.saturating_sub(self.behind));
        }
        self.schedule_at(due, self.at + delay.clamp(1, SLOTS - 1))
    }

    /// Schedules something again, at most 63 ms after the one that is being worked off.
    pub(super) fn schedule_at(&mut self, due: Due, time: u64) -> u64 {
        debug_assert!(time > self.at && time < self.at + SLOTS);
        let slot = time % SLOTS;
        self.slots[slot as usize].push(due);
        self.occupied |= 1 << slot;
        time
    }

    /// The next time at which something is due, if anything is.
    fn next(&self) -> Option<u64> {
        if self.occupied == 0 {
            return None;
        }
        let first = (self.at + 1) % SLOTS;
        Some(self.at + 1 + u64::from(self.occupied.rotate_right(first as u32).trailing_zeros()))
    }

    /// The next time on the clock, in milliseconds.
    pub(super) fn next_on_clock(&self) -> Option<u64> {
        self.next().map(|time| time + self.behind)
    }

    /// Takes the next slot that is due by `clock`: its time and its content, to be given back by [`Wheel::give_back`].
    pub(super) fn take(&mut self, clock: u64) -> Option<(u64, Vec<Due>)> {
        let next = self.next()?;
        let mut now = clock.saturating_sub(self.behind);
        if now > next + MOST_BEHIND {
            self.behind += now - next;
            now = next;
        }
        if next > now {
            return None;
        }
        self.at = next;
        let slot = next % SLOTS;
        self.occupied &= !(1 << slot);
        Some((next, std::mem::take(&mut self.slots[slot as usize])))
    }

    /// Gives a slot's memory back, so that a steady state allocates nothing.
    pub(super) fn give_back(&mut self, time: u64, mut content: Vec<Due>) {
        content.clear();
        let slot = &mut self.slots[(time % SLOTS) as usize];
        if slot.is_empty() && slot.capacity() < content.capacity() {
            *slot = content;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn things_come_at_their_time_and_a_stall_is_left_out() {
        let mut wheel = Wheel::new();
        assert_eq!(wheel.next_on_clock(), None);
        assert_eq!(wheel.schedule(1000, Due::Play(1), 63), 1063);
        assert_eq!(wheel.schedule(1000, Due::Play(2), 1), 1001);
        assert_eq!(wheel.next_on_clock(), Some(1001));
        assert!(wheel.take(1000).is_none());
        let (time, content) = wheel.take(1070).unwrap();
        assert_eq!((time, &content[..]), (1001, &[Due::Play(2)][..]));
        wheel.schedule_at(Due::Play(2), time + 20);
        wheel.give_back(time, content);
        assert_eq!(wheel.take(1070).unwrap().0, 1021);
        assert_eq!(wheel.take(1070).unwrap().0, 1063);
        assert!(wheel.take(5000).is_none());
        wheel.schedule(5000, Due::Room(3), 20);
        assert_eq!(wheel.next_on_clock(), Some(5020));
        assert_eq!(wheel.take(9000).unwrap().0, 5020);
        wheel.schedule_at(Due::Room(3), 5040);
        assert!(wheel.take(9000).is_none(), "what was missed is not caught up");
        assert_eq!(wheel.next_on_clock(), Some(9020));
    }
}
