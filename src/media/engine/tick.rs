//! What the clock brings: prompts, keys, mixes, reports, and the telling of silence.

use super::{
    Engine, REPORT_EVERY, SILENT_AFTER, Sink,
    leg::{LONGEST_FRAME, Leg},
    line::{Feed, Numbers},
    wheel::Due,
    words::{CallEvent, Event, LegParams},
};
use crate::{
    clock::Now,
    media::{
        mixer::FRAME,
        rtp::{self, HEADER},
    },
};
use rand::Rng;
use std::{
    cmp::Reverse,
    time::{Duration, Instant},
};

/// Milliseconds between two packets of a key, and of a mixed frame.
const DIGIT_STEP: u64 = 20;
const MIX_STEP: u64 = 20;

/// The packet time that is really sent.
fn ptime(params: Option<&LegParams>) -> u64 {
    u64::from(params.map_or(20, |p| p.ptime_ms)).clamp(10, 60)
}

impl Engine {
    /// When [`Engine::tick`] is to be called next; None while nothing is due.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let wheel = self.wheel.next_on_clock().map(|ms| ms * 1000);
        let chore = self.chores.peek().map(|Reverse((due, _))| *due);
        let micros = wheel.into_iter().chain(chore).min()?;
        Some(self.epoch + Duration::from_micros(micros))
    }

    /// Does what is due by `now`.
    pub fn tick(&mut self, now: Now, out: &mut impl Sink) {
        let at = self.micros(now);
        while let Some((time, content)) = self.wheel.take(at / 1000) {
            for due in &content {
                match *due {
                    Due::Play(slot) => self.tick_play(slot, time, at, out),
                    Due::Digit(slot) => self.tick_digit(slot, time, at, out),
                    Due::Room(room) => self.tick_room(room, time, at, out),
                }
            }
            self.wheel.give_back(time, content);
        }
        while let Some(Reverse((due, slot))) = self.chores.peek().copied().filter(|Reverse((due, _))| *due <= at) {
            self.chores.pop();
            self.chore(slot, due, now, out);
        }
    }

    fn tick_play(&mut self, slot: u32, time: u64, at: u64, out: &mut impl Sink) {
        let Some(Some(leg)) = self.legs.get_mut(slot as usize) else { return };
        if leg.play_due != Some(time) {
            return;
        }
        leg.play_due = None;
        let Some(play) = &mut leg.play else { return };
        let step = ptime(leg.params.as_ref());
        let samples = step as usize * 8;
        let codec = leg.params.as_ref().map_or(super::Codec::Pcma, |p| p.codec);
        if !play.player.fill(codec, &mut self.packet[HEADER..HEADER + samples]) {
            let id = play.id;
            leg.play = None;
            return out.event(CallEvent { call: leg.call, event: Event::PlayDone { leg: leg.id, id } });
        }
        let feed = Feed::Play(play.serial);
        leg.play_due = Some(self.wheel.schedule_at(Due::Play(slot), time + step));
        if leg.destination.is_some() && !leg.digits.is_active() {
            let numbers = leg.line.generated(at, feed, samples as u32);
            self.counters.sent += send_audio(leg, numbers, &mut self.packet[..HEADER + samples], out);
        }
    }

    fn tick_digit(&mut self, slot: u32, time: u64, at: u64, out: &mut impl Sink) {
        let Some(Some(leg)) = self.legs.get_mut(slot as usize) else { return };
        if leg.digit_due != Some(time) {
            return;
        }
        leg.digit_due = None;
        if let Some(step) = leg.digits.step()
            && let (Some(to), Some(payload_type)) = (leg.destination, leg.params.as_ref().and_then(|p| p.send_dtmf))
        {
            for copy in 0..step.copies {
                let numbers = leg.line.digit(at, step.first && copy == 0);
                let mut packet = [0; HEADER + 4];
                let (head, payload) = packet.split_at_mut(HEADER);
                if let Some(head) = head.first_chunk_mut() {
                    rtp::write_header(
                        head,
                        numbers.marker,
                        payload_type,
                        numbers.sequence,
                        numbers.timestamp,
                        leg.line.ssrc,
                    );
                }
                payload.copy_from_slice(&step.payload);
                out.send_rtp(slot as usize, to, &packet);
                leg.stats.packets_sent += 1;
                leg.stats.octets_sent += 4;
                self.counters.sent += 1;
            }
        }
        if leg.digits.is_active() {
            leg.digit_due = Some(self.wheel.schedule_at(Due::Digit(slot), time + DIGIT_STEP));
        }
    }

    fn tick_room(&mut self, index: u32, time: u64, at: u64, out: &mut impl Sink) {
        let Some(Some(room)) = self.rooms.get_mut(index as usize) else { return };
        if room.due != Some(time) {
            return;
        }
        room.due = Some(self.wheel.schedule_at(Due::Room(index), time + MIX_STEP));
        let members = std::mem::take(&mut room.members);
        self.frames.resize(self.frames.len().max(members.len()), ([0; FRAME], false));
        self.mix.clear();
        for (member, (frame, spoke)) in members.iter().zip(&mut self.frames) {
            *spoke = match &mut self.legs[*member as usize] {
                Some(leg) => leg.member.as_mut().is_some_and(|m| m.jitter.read(frame)),
                None => false,
            };
            if *spoke {
                self.mix.add(frame);
            }
        }
        let mut mixed = [0; FRAME];
        for (i, member) in members.iter().enumerate() {
            let (own, spoke) = &self.frames[i];
            let Some(leg) = &mut self.legs[*member as usize] else { continue };
            self.mix.without(spoke.then_some(own), &mut mixed);
            self.counters.sent += send_mixed(leg, at, &mixed, &mut self.packet, out);
        }
        if let Some(room) = &mut self.rooms[index as usize] {
            room.members = members;
        }
    }

    /// Reports each 5 s, and tells silence.
    fn chore(&mut self, slot: u32, due: u64, now: Now, out: &mut impl Sink) {
        let at = self.micros(now);
        let Some(Some(leg)) = self.legs.get_mut(slot as usize) else { return };
        if leg.chore_due != due {
            return;
        }
        let report = leg.report_due <= at;
        leg.silent_due = leg.silent_due.max(leg.heard_at + SILENT_AFTER);
        if leg.params.is_none() {
            leg.silent_due = at + SILENT_AFTER;
        } else if leg.silent_due <= at {
            leg.told_silent = true;
            leg.silent_due = at + SILENT_AFTER;
            let (length, held) = (Duration::from_micros(at - leg.heard_at), !leg.expects_packets());
            out.event(CallEvent { call: leg.call, event: Event::Silent { leg: leg.id, length, held } });
        }
        if report {
            // RFC 3550 section 6.2: spread, so that legs which began together do not report together.
            leg.report_due = at + self.rng.random_range(REPORT_EVERY * 9 / 10..REPORT_EVERY * 11 / 10);
        }
        leg.chore_due = leg.report_due.min(leg.silent_due).max(at + 1000);
        self.chores.push(Reverse((leg.chore_due, slot)));
        if report {
            self.report(slot, now, false, out);
        }
    }
}

/// Fills in the header and sends; gives the packets sent.
fn send_audio(leg: &mut Leg, numbers: Numbers, packet: &mut [u8], out: &mut impl Sink) -> u64 {
    let (Some(to), Some(params)) = (leg.destination, &leg.params) else { return 0 };
    let Some(head) = packet.first_chunk_mut::<HEADER>() else { return 0 };
    rtp::write_header(head, numbers.marker, params.send_pt, numbers.sequence, numbers.timestamp, leg.line.ssrc);
    out.send_rtp(leg.slot as usize, to, packet);
    leg.stats.packets_sent += 1;
    leg.stats.octets_sent += (packet.len() - HEADER) as u64;
    1
}

/// Encodes a member's frame and sends as many packets of its packet time as are full.
fn send_mixed(
    leg: &mut Leg,
    at: u64,
    mixed: &[i16; FRAME],
    packet: &mut [u8; HEADER + LONGEST_FRAME],
    out: &mut impl Sink,
) -> u64 {
    let samples = ptime(leg.params.as_ref()) as usize * 8;
    let idle = leg.destination.is_none() || leg.play.is_some() || leg.digits.is_active();
    let (Some(member), Some(params)) = (&mut leg.member, &leg.params) else { return 0 };
    if idle {
        member.waiting.clear();
        return 0;
    }
    let before = member.waiting.len();
    member.waiting.resize(before + FRAME, 0);
    params.codec.encode_slice(mixed, &mut member.waiting[before..]);
    let mut sent = 0;
    while let Some(member) = &mut leg.member
        && member.waiting.len() >= samples
    {
        packet[HEADER..HEADER + samples].copy_from_slice(&member.waiting[..samples]);
        member.waiting.drain(..samples);
        let numbers = leg.line.generated(at, Feed::Room, samples as u32);
        sent += send_audio(leg, numbers, &mut packet[..HEADER + samples], out);
    }
    sent
}
