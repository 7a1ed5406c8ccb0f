//! Ringing: from a dial target to an INVITE on a flow, and on to the next contact of a telephone's user.

use super::{MediaPort, Switch};
use crate::{
    call::message::DialTarget,
    clock::Now,
    config::{ProfileKind, Transport as Listens},
    ids::LegId,
    sip::{
        endpoint::{Flow, OutgoingInvite, Transport},
        message::{Host, NameAddr, SipUri, Uri},
    },
};
use bytes::Bytes;
use std::{collections::VecDeque, net::SocketAddr};

/// The port of a SIP address that names none (RFC 3261 section 19.1.2).
const SIP_PORT: u16 = 5060;

/// A telephone that is being rung at one of several contacts: what it takes to ring the next one.
pub(super) struct Rung {
    left: VecDeque<(Uri, Flow)>,
    from: String,
    display: String,
    sdp: Bytes,
}

impl<M: MediaPort> Switch<M> {
    /// Rings a target; false when nobody is registered there or its address cannot be reached.
    pub(super) fn dial(
        &mut self,
        now: Now,
        leg: LegId,
        target: &DialTarget,
        from: &str,
        display: &str,
        sdp: Bytes,
    ) -> bool {
        let left = self.resolve(now, target);
        self.ring(now, leg, Rung { left, from: from.to_owned(), display: display.to_owned(), sdp })
    }

    /// A leg failed: rings its telephone's next contact where the failure is that of one contact and not its user's
    /// word (RFC 3261 sections 21.4.9, 21.4.18 and 21.5.4, RFC 5626 section 11.6). The call's ring time goes on.
    pub(super) fn ring_next(&mut self, now: Now, leg: LegId, status: u16) -> bool {
        let Some(rung) = self.rung.remove(&leg) else { return false };
        matches!(status, 408 | 430 | 480 | 503) && self.ring(now, leg, rung)
    }

    /// Rings the first contact that can be rung, and remembers the rest.
    fn ring(&mut self, now: Now, leg: LegId, mut rung: Rung) -> bool {
        while let Some((uri, flow)) = rung.left.pop_front() {
            if self.ring_at(now, leg, uri, flow, &rung) {
                if !rung.left.is_empty() {
                    self.rung.insert(leg, rung);
                }
                return true;
            }
        }
        false
    }

    fn ring_at(&mut self, now: Now, leg: LegId, uri: Uri, flow: Flow, rung: &Rung) -> bool {
        let Some(profile) = self.profile_of(flow.local) else { return false };
        let contact = profile.contact;
        let user = if rung.from.is_empty() { "anonymous" } else { &rung.from };
        let Some(host) = Host::new(contact.ip().to_string()) else { return false };
        let mut from = NameAddr::new(SipUri::new(Some(user), host, None).into());
        if !rung.display.is_empty() {
            from = from.with_display(&rung.display);
        }
        let to = NameAddr::new(uri.clone());
        let sdp = Some(rung.sdp.clone());
        let invite = OutgoingInvite { flow, uri, from, to, route: Vec::new(), headers: Vec::new(), sdp, again: None };
        self.endpoint.invite(now, leg, invite).is_ok()
    }

    /// Where a target can be rung, the best first.
    fn resolve(&self, now: Now, target: &DialTarget) -> VecDeque<(Uri, Flow)> {
        match target {
            DialTarget::Extension(extension) => {
                let bindings = self.registrar.lookup(now, extension.as_str()).into_iter();
                bindings.map(|binding| (binding.uri, binding.flow)).collect()
            }
            DialTarget::Uri(uri) => self.resolve_uri(uri).into_iter().collect(),
        }
    }

    fn resolve_uri(&self, uri: &str) -> Option<(Uri, Flow)> {
        let uri = Uri::parse(Bytes::from(uri.to_owned())).ok()?;
        let target = uri.as_sip()?;
        let remote = SocketAddr::new(target.host.ip()?, target.port.unwrap_or(SIP_PORT));
        let trunk =
            self.config.profiles.iter().find(|profile| {
                profile.kind() == ProfileKind::Trunk && profile.contact.is_ipv4() == remote.is_ipv4()
            })?;
        let local = trunk.settings.listen.iter().find(|listener| listener.transport == Listens::Udp)?.address;
        Some((uri, Flow { transport: Transport::Udp, local, remote, connection: 0 }))
    }
}
