//! Who is in which call, and who hears whom. All of it is worked out by commands; packets only follow it.

use super::{
    Engine, REPORT_EVERY, Refused, Room, SILENT_AFTER,
    leg::Leg,
    line::Line,
    wheel::Due,
    words::{LearnPolicy, Source},
};
use crate::{
    clock::Now,
    ids::{CallId, LegId},
};
use rand::Rng;
use std::cmp::Reverse;

impl Engine {
    pub(super) fn add_leg(&mut self, call: CallId, id: LegId, learn: LearnPolicy, at: u64) -> Result<(), Refused> {
        if self.by_id.contains_key(&id) {
            let leg = self.leg(call, id).map_err(|_| Refused::Exists)?;
            leg.learn = learn;
            return Ok(());
        }
        // RFC 3550 section 5.1: SSRC and the first numbers are random.
        let line = Line::new(self.rng.random(), self.rng.random::<u16>() >> 1, self.rng.random(), at);
        self.attach(Box::new(Leg::new(id, call, learn, line, at)), at);
        Ok(())
    }

    fn attach(&mut self, mut leg: Box<Leg>, at: u64) {
        let slot = self.free.pop().unwrap_or_else(|| {
            self.legs.push(None);
            self.legs.len() as u32 - 1
        });
        let call = leg.call;
        leg.slot = slot;
        leg.report_due = at + self.rng.random_range(REPORT_EVERY * 9 / 10..REPORT_EVERY * 11 / 10);
        leg.silent_due = leg.heard_at + SILENT_AFTER;
        leg.chore_due = leg.report_due;
        self.chores.push(Reverse((leg.chore_due, slot)));
        if leg.play.is_some() {
            leg.play_due = Some(self.wheel.schedule(at / 1000, Due::Play(slot), 1));
        }
        if leg.digits.is_active() {
            leg.digit_due = Some(self.wheel.schedule(at / 1000, Due::Digit(slot), 1));
        }
        self.by_id.insert(leg.id, slot);
        self.calls.entry(call).or_default().push(slot);
        self.legs[slot as usize] = Some(leg);
        self.connect(call, at);
    }

    pub(super) fn detach(&mut self, slot: u32) -> Option<Box<Leg>> {
        let mut leg = self.legs[slot as usize].take()?;
        self.by_id.remove(&leg.id);
        self.free.push(slot);
        if let Some(legs) = self.calls.get_mut(&leg.call) {
            legs.retain(|s| *s != slot);
            if legs.is_empty() {
                self.calls.remove(&leg.call);
            }
        }
        leg.source = Source::Nothing;
        leg.listeners.clear();
        (leg.room, leg.member, leg.recorded, leg.play_due, leg.digit_due) = (None, None, None, None, None);
        self.connect(leg.call, 0);
        Some(leg)
    }

    /// Takes a leg out, so that it can be given to another call, here or in another engine. It keeps its line, its
    /// parameters and what plays; what it hears and who hears it, rooms and recordings end.
    pub fn take_leg(&mut self, call: CallId, leg: LegId) -> Option<Box<Leg>> {
        let slot = self.leg_slot(call, leg).ok()?;
        self.detach(slot)
    }

    /// Gives a taken leg to a call; gives its new slot. Refused where a leg of its id is here.
    pub fn put_leg(&mut self, now: Now, call: CallId, mut leg: Box<Leg>) -> Result<usize, Refused> {
        if self.by_id.contains_key(&leg.id) {
            return Err(Refused::Exists);
        }
        leg.call = call;
        let (id, at) = (leg.id, self.micros(now));
        self.attach(leg, at);
        self.slot(id).ok_or(Refused::NoLeg)
    }

    /// Works out anew who hears whom in a call.
    pub(super) fn connect(&mut self, call: CallId, at: u64) {
        let slots = self.calls.get(&call).cloned().unwrap_or_default();
        for slot in &slots {
            if let Some(leg) = &mut self.legs[*slot as usize] {
                leg.listeners.clear();
            }
        }
        self.rooms.iter_mut().flatten().filter(|r| r.call == call).for_each(|r| r.members.clear());
        for slot in slots {
            let Some(leg) = &mut self.legs[slot as usize] else { continue };
            let source = leg.source;
            if !matches!(source, Source::Room(_)) {
                (leg.room, leg.member) = (None, None);
            }
            match source {
                Source::Nothing => {}
                Source::Leg(other) => {
                    if let Ok(other) = self.leg(call, other)
                        && other.slot != slot
                    {
                        other.listeners.push(slot);
                    }
                }
                Source::Room(number) => self.enter_room(call, number, slot, at),
            }
        }
        for room in &mut self.rooms {
            if room.as_ref().is_some_and(|r| r.members.is_empty()) {
                *room = None;
            }
        }
    }

    fn enter_room(&mut self, call: CallId, number: u64, slot: u32, at: u64) {
        let found = self.rooms.iter().position(|r| r.as_ref().is_some_and(|r| (r.call, r.number) == (call, number)));
        let index = found.unwrap_or_else(|| {
            let room = Room { call, number, members: Vec::new(), due: None };
            let index = self.rooms.iter().position(Option::is_none).unwrap_or(self.rooms.len());
            if index == self.rooms.len() {
                self.rooms.push(None);
            }
            self.rooms[index] = Some(room);
            index
        });
        let delay = self.phase();
        if let Some(room) = &mut self.rooms[index] {
            room.members.push(slot);
            if room.due.is_none() {
                room.due = Some(self.wheel.schedule(at / 1000, Due::Room(index as u32), delay));
            }
        }
        if let Some(leg) = &mut self.legs[slot as usize]
            && leg.room.replace(index as u32) != Some(index as u32)
        {
            leg.member = Some(Box::default());
        }
    }
}
