//! What a closed connection means for those who spoke over it (RFC 3261 sections 12.2.1.2, 17.1.4 and 18.2.2).
//!
//! A connection is not the dialog: carriers close what is idle. From its end on, requests open a new one to the
//! peer's Contact or route, and responses one to where the request's topmost Via was sent by. Whether anybody is
//! still there is asked at once, so that nobody talks into the void; a peer that cannot be reached is lost.

use super::{
    Endpoint, Flow, LegEvent, Transport,
    leg::{Leg, Negotiation, State},
    transactions::{Owner, Purpose},
};
use crate::{
    ids::LegId,
    sip::message::{HeaderName, Method},
};
use rand::Rng;
use std::{
    collections::{BTreeSet, HashMap},
    hash::Hash,
    time::{Duration, Instant},
};

/// The peers of a connection are asked within this time and not all at once: a trunk's may have carried thousands
/// of calls.
const SPREAD: Duration = Duration::from_secs(1);

/// Legs by what they depend on; those over datagrams are nowhere.
#[derive(Default)]
pub(super) struct Connections {
    /// Legs by the connection that their dialog began on.
    dialogs: HashMap<u64, BTreeSet<LegId>>,
    /// Legs whose INVITE is answered over a connection that has to be opened for it.
    reopened: HashMap<Flow, BTreeSet<LegId>>,
}

impl Connections {
    pub(super) fn add(&mut self, flow: Flow, leg: LegId) {
        if flow.connection != 0 {
            self.dialogs.entry(flow.connection).or_default().insert(leg);
        }
    }

    /// The legs whose dialog is on this connection.
    pub(super) fn on(&self, flow: Flow) -> impl Iterator<Item = LegId> {
        self.dialogs.get(&flow.connection).into_iter().flatten().copied()
    }

    pub(super) fn remove(&mut self, id: LegId, leg: &Leg) {
        forget(&mut self.dialogs, &leg.dialog.flow().connection, id);
        if let Some(flow) = &leg.reopened {
            forget(&mut self.reopened, flow, id);
        }
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.dialogs.is_empty() && self.reopened.is_empty()
    }
}

fn forget<K: Hash + Eq>(map: &mut HashMap<K, BTreeSet<LegId>>, key: &K, leg: LegId) {
    if let Some(legs) = map.get_mut(key) {
        legs.remove(&leg);
        if legs.is_empty() {
            map.remove(key);
        }
    }
}

impl Endpoint {
    /// A connection closed or could not be opened, or a datagram could not be sent.
    pub(super) fn flow_failed(&mut self, now: Instant, flow: Flow) {
        if flow.connection != 0 {
            for id in self.connections.dialogs.remove(&flow.connection).unwrap_or_default() {
                self.disconnected(now, id);
            }
        } else if flow.transport != Transport::Udp {
            for id in self.connections.reopened.remove(&flow).unwrap_or_default() {
                self.unreachable(now, id);
            }
        }
        // Section 17.1.4: what waits for an answer over a dead flow has failed.
        for id in self.transactions.take_flow(flow) {
            if let Some(transaction) = self.transactions.get_mut(id) {
                transaction.machine.transport_failed(now);
                self.run(now, id, None);
            }
        }
    }

    fn disconnected(&mut self, now: Instant, id: LegId) {
        let Some(leg) = self.legs.get_mut(&id) else { return };
        leg.dialog.disconnect();
        for open in &leg.open {
            self.transactions.reopen(*open);
        }
        match &mut leg.state {
            State::Incoming(incoming) => {
                let invite = incoming.transaction;
                self.answer_elsewhere(now, id, invite);
            }
            State::Answered(answered) => {
                let invite = answered.ok.transaction;
                self.answer_elsewhere(now, id, invite);
                // The 2xx may have gone with the connection; it is the leg's to repeat.
                if let Some(Leg { state: State::Answered(answered), .. }) = self.legs.get_mut(&id) {
                    answered.ok.at = now;
                }
                self.arm_leg(now, id);
            }
            State::Established(session) => {
                if let Negotiation::Unconfirmed(ok) = &session.negotiation {
                    self.transactions.reopen(ok.transaction);
                }
                let wait = Duration::from_millis(self.rng.random_range(0..SPREAD.as_millis() as u64));
                session.probe = Some(now + wait);
                self.arm_leg(now, id);
            }
            // Our INVITE or BYE fails with the connection; the ACK that is owed opens a new one.
            State::Calling(_) | State::Terminating | State::Unacknowledged(_) => {}
        }
    }

    /// Section 18.2.2: an answer whose connection is gone opens one to the address that the INVITE came from, at the
    /// port of sent-by. The latest one is sent again: that shows whether somebody is there.
    fn answer_elsewhere(&mut self, now: Instant, id: LegId, invite: u64) {
        let Some(flow) = self.transactions.reopen(invite) else { return };
        if let Some(leg) = self.legs.get_mut(&id) {
            leg.reopened = Some(Box::new(flow));
            self.connections.reopened.entry(flow).or_default().insert(id);
        }
        if let Some(transaction) = self.transactions.get_mut(invite) {
            transaction.machine.repeated(now);
        }
        self.run(now, invite, None);
    }

    /// Nobody can be given the answer to an INVITE.
    fn unreachable(&mut self, now: Instant, id: LegId) {
        let Some(leg) = self.legs.get_mut(&id) else { return };
        leg.reopened = None;
        match &leg.state {
            State::Incoming(incoming) => {
                let invite = incoming.transaction;
                self.terminate_invite(now, id, invite);
                self.finish(now, id, LegEvent::Lost { status: 503 });
            }
            State::Answered(_) => self.lost(now, id, 503),
            // Its ACK came by another way.
            State::Established(_) | State::Terminating | State::Calling(_) | State::Unacknowledged(_) => {}
        }
    }

    /// The peer of a dialog whose connection was lost came by another one: that is the dialog's from here on.
    pub(super) fn reconnected(&mut self, id: LegId, flow: Flow) {
        let Some(leg) = self.legs.get_mut(&id) else { return };
        let old = leg.dialog.flow();
        if flow.connection == 0 || old.connection != 0 || old.transport != flow.transport {
            return;
        }
        self.connections.remove(id, leg);
        leg.reopened = None;
        leg.dialog.reconnect(flow);
        if let State::Established(session) = &mut leg.state {
            session.probe = None;
        }
        self.connections.add(flow, id);
    }

    /// Asks the peer for a sign of life (section 11.2): 481, silence or a connection that cannot be opened mean that
    /// the dialog is lost.
    pub(super) fn probe(&mut self, now: Instant, id: LegId) {
        let Some(leg) = self.legs.get_mut(&id) else { return };
        let mut request = leg.dialog.request(Method::Options);
        let flow = leg.next_hop();
        request.headers.push(HeaderName::Contact, leg.contact.clone());
        let owner = Owner::Leg(id, Purpose::Request(Box::new(Method::Options)));
        self.send_request(now, flow, request, owner);
    }
}
