//! The pool of RTP ports: pairs of an even port for RTP and the odd one above it for RTCP (RFC 3550 section 11).

use rand::{rngs::StdRng, seq::SliceRandom};
use std::{collections::VecDeque, ops::RangeInclusive};

/// Free pairs in the order in which they will be used. Taking and giving back are O(1); what is given back goes to
/// the end, so that a port rests as long as the range allows and a late packet finds no stranger's call. The order
/// at the start is random: ports are not to be guessed.
#[derive(Debug)]
pub struct Ports {
    free: VecDeque<u16>,
    all: usize,
}

impl Ports {
    /// All even ports of the range whose odd neighbour is in it too.
    pub fn new(range: RangeInclusive<u16>, rng: &mut StdRng) -> Ports {
        let mut even: Vec<u16> = range.clone().filter(|p| p % 2 == 0 && *p != 0 && range.contains(&(p + 1))).collect();
        even.shuffle(rng);
        Ports { all: even.len(), free: even.into() }
    }

    /// The pair that rested longest; None when all are in use.
    pub fn take(&mut self) -> Option<u16> {
        self.free.pop_front()
    }

    /// Gives a pair back.
    pub fn give_back(&mut self, port: u16) {
        self.free.push_back(port);
    }

    /// Pairs that are free, and all there are.
    pub fn free_of_all(&self) -> (usize, usize) {
        (self.free.len(), self.all)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;

    #[test]
    fn ports_rest_as_long_as_they_can() {
        let mut ports = Ports::new(20_001..=20_008, &mut StdRng::seed_from_u64(1));
        assert_eq!(ports.free_of_all(), (3, 3), "20002, 20004 and 20006; 20008 has no neighbour");
        let first = ports.take().unwrap();
        ports.give_back(first);
        let (second, third) = (ports.take().unwrap(), ports.take().unwrap());
        assert!(first.is_multiple_of(2) && second != first && third != first && second != third);
        assert_eq!((ports.take(), ports.take()), (Some(first), None));
        assert_eq!(Ports::new(0..=u16::MAX, &mut StdRng::seed_from_u64(1)).free_of_all().1, 32_767);
    }
}
