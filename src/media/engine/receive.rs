//! What comes in: RTP is forwarded, mixed, recorded or heard as keys; RTCP is read.

use super::{
    Engine, FORWARDED_KEY, Record, Sink,
    leg::{Kind, LONGEST_FRAME, Leg},
    words::{CallEvent, Codec, Event},
};
use crate::{
    clock::Now,
    ids::LegId,
    media::{
        rtcp,
        rtp::{self, HEADER, Header},
    },
};
use std::{net::SocketAddr, time::Duration};

impl Engine {
    /// Takes a datagram from a leg's RTP socket. `packet` is overwritten when it is forwarded.
    pub fn handle_rtp(&mut self, now: Now, slot: usize, source: SocketAddr, packet: &mut [u8], out: &mut impl Sink) {
        if rtp::is_rtcp(packet) {
            return self.handle_rtcp(now, slot, source, packet, out);
        }
        self.counters.received += 1;
        let at = self.micros(now);
        let Some(Some(leg)) = self.legs.get_mut(slot) else { return };
        let (kind, header) = match Header::parse(packet).map(|h| (leg.classify(h.payload_type), h)) {
            Ok((kind, header)) if kind != Kind::Unknown => (kind, header),
            _ => {
                leg.stats.malformed += 1;
                self.counters.malformed += 1;
                return;
            }
        };
        match leg.accept(source) {
            Some(false) => {}
            Some(true) => out.locked(slot, Some(source)),
            None => {
                leg.stats.foreign += 1;
                self.counters.foreign += 1;
                return;
            }
        }
        heard(leg, at, out);
        leg.reception.packet(&header, at);
        leg.stats.packets_received += 1;
        leg.stats.octets_received += (header.end - header.start) as u64;
        if !leg.params.as_ref().is_some_and(|p| p.receive) {
            return;
        }
        match kind {
            Kind::Audio(codec) => self.audio(at, slot, codec, header, packet, out),
            Kind::Digit => {
                let key = leg.keys.receive(header.ssrc, header.timestamp, &packet[header.start..header.end]);
                if let Some(digit) = key {
                    if !leg.key_limit.allows(at) {
                        self.counters.keys_held_back += 1;
                        return;
                    }
                    out.event(CallEvent { call: leg.call, event: Event::Digit { leg: leg.id, digit } });
                    if leg.forward_digits {
                        self.forward_digit(at, slot, digit);
                    }
                }
            }
            Kind::ComfortNoise | Kind::Unknown => {}
        }
    }

    fn audio(&mut self, at: u64, slot: usize, codec: Codec, header: Header, packet: &mut [u8], out: &mut impl Sink) {
        let Some(leg) = &mut self.legs[slot] else { return };
        if let Some(member) = &mut leg.member {
            let before = member.jitter.late();
            member.jitter.write(header.ssrc, header.timestamp, codec, &packet[header.start..header.end]);
            self.counters.late += member.jitter.late() - before;
        }
        if leg.recorded.is_some() {
            self.record(at, slot, codec, &header, packet, out);
        }
        let Some(leg) = &mut self.legs[slot] else { return };
        if leg.listeners.is_empty() || header.start == header.end {
            return;
        }
        let id = leg.id;
        let listeners = std::mem::take(&mut leg.listeners);
        // First those of the same codec, as it came; then, converted in place, those of the other.
        let mut others = false;
        for listener in &listeners {
            let Some(to) = &mut self.legs[*listener as usize] else { continue };
            if to.params.as_ref().is_some_and(|p| p.codec == codec) {
                self.counters.sent += forward(to, id, at, &header, packet, out);
            } else {
                others = true;
            }
        }
        if others {
            codec.other().convert_from_other(&mut packet[header.start..header.end]);
            for listener in &listeners {
                let Some(to) = &mut self.legs[*listener as usize] else { continue };
                if to.params.as_ref().is_some_and(|p| p.codec != codec) {
                    self.counters.sent += forward(to, id, at, &header, packet, out);
                }
            }
        }
        if let Some(leg) = &mut self.legs[slot] {
            leg.listeners = listeners;
        }
    }

    fn record(&mut self, at: u64, slot: usize, codec: Codec, header: &Header, packet: &[u8], out: &mut impl Sink) {
        let Some(leg) = &self.legs[slot] else { return };
        let Some(recorded) = leg.recorded else { return };
        let Some(recording) = &mut self.recordings[recorded.recording as usize] else { return };
        if recording.paused {
            return;
        }
        let at_ms = (at.saturating_sub(recording.start) / 1000).min(u64::from(u32::MAX)) as u32;
        for (i, payload) in packet[header.start..header.end].chunks(LONGEST_FRAME).enumerate() {
            let written = out.record(Record::Frame {
                recording: recording.id,
                leg: leg.id,
                side: recorded.side,
                codec,
                at_ms,
                timestamp: header.timestamp.wrapping_add((i * LONGEST_FRAME) as u32),
                payload,
            });
            if !written {
                recording.gap = true;
                self.counters.unrecorded += 1;
            }
        }
    }

    /// Passes a key on to those who hear the leg.
    fn forward_digit(&mut self, at: u64, slot: usize, digit: char) {
        let Some(leg) = &mut self.legs[slot] else { return };
        let room = leg.room;
        let listeners = std::mem::take(&mut leg.listeners);
        for listener in &listeners {
            self.send_digit(*listener, digit, FORWARDED_KEY, at);
        }
        if let Some(leg) = &mut self.legs[slot] {
            leg.listeners = listeners;
        }
        let members = room.and_then(|r| self.rooms[r as usize].as_ref()).map_or(vec![], |r| r.members.clone());
        for member in members.into_iter().filter(|m| *m as usize != slot) {
            self.send_digit(member, digit, FORWARDED_KEY, at);
        }
    }

    /// Takes a datagram from a leg's RTCP socket (or from the RTP socket where both share a port). A BYE ends
    /// nothing: calls end by signalling.
    pub fn handle_rtcp(&mut self, now: Now, slot: usize, source: SocketAddr, packet: &[u8], out: &mut impl Sink) {
        let at = self.micros(now);
        let Some(Some(leg)) = self.legs.get_mut(slot) else { return };
        let Ok(compound) = rtcp::parse(packet) else {
            leg.stats.malformed += 1;
            self.counters.malformed += 1;
            return;
        };
        if !leg.accept_rtcp(source) {
            leg.stats.foreign += 1;
            self.counters.foreign += 1;
            return;
        }
        heard(leg, at, out);
        let middle = (rtcp::ntp(now.wall.0) >> 16) as u32;
        for part in compound {
            let blocks = match part {
                rtcp::Packet::SenderReport { info, blocks, .. } => {
                    leg.last_sr = Some(((info.ntp >> 16) as u32, at));
                    blocks
                }
                rtcp::Packet::ReceiverReport { blocks, .. } => blocks,
                rtcp::Packet::Sdes | rtcp::Packet::Bye { .. } | rtcp::Packet::Other { .. } => continue,
            };
            for block in blocks.filter(|b| b.ssrc == leg.line.ssrc) {
                leg.stats.peer_lost = block.lost.max(0) as u64;
                // Section 6.4.1: A - LSR - DLSR; more than a minute is a wrong clock.
                let trip = middle.wrapping_sub(block.last_sr).wrapping_sub(block.delay_since_sr);
                if block.last_sr != 0 && trip < 60 << 16 {
                    leg.stats.round_trip = Some(Duration::from_micros(u64::from(trip) * 1_000_000 / 65_536));
                }
            }
        }
    }
}

fn heard(leg: &mut Leg, at: u64, out: &mut impl Sink) {
    leg.heard_at = at;
    if leg.told_silent {
        leg.told_silent = false;
        out.event(CallEvent { call: leg.call, event: Event::Heard { leg: leg.id } });
    }
}

/// Sends a packet on with the listener's own numbers, written right before the payload. Gives the packets sent.
fn forward(to: &mut Leg, from: LegId, at: u64, header: &Header, packet: &mut [u8], out: &mut impl Sink) -> u64 {
    let (Some(destination), Some(params)) = (to.destination, &to.params) else { return 0 };
    if to.play.is_some() || to.digits.is_active() {
        return 0;
    }
    let payload_type = params.send_pt;
    let samples = header.end - header.start;
    let Some(numbers) = to.line.forwarded(at, from, header, samples as u32) else { return 0 };
    let start = header.start - HEADER;
    let Some(place) = packet.get_mut(start..).and_then(|p| p.first_chunk_mut::<HEADER>()) else { return 0 };
    rtp::write_header(place, numbers.marker, payload_type, numbers.sequence, numbers.timestamp, to.line.ssrc);
    out.send_rtp(to.slot as usize, destination, &packet[start..header.end]);
    to.stats.packets_sent += 1;
    to.stats.octets_sent += samples as u64;
    1
}
