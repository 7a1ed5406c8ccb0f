//! Ringing: from a dial target to an INVITE on a flow.

use super::{MediaPort, ProfileKind, Switch};
use crate::{
    call::message::DialTarget,
    clock::Now,
    ids::LegId,
    sip::{
        endpoint::{Flow, OutgoingInvite, Transport},
        message::{Host, NameAddr, Uri},
    },
};
use bytes::Bytes;
use std::net::SocketAddr;

/// The port of a SIP address that names none (RFC 3261 section 19.1.2).
const SIP_PORT: u16 = 5060;

impl<M: MediaPort> Switch<M> {
    /// Rings a target; false when nobody is registered there or its address cannot be reached.
    pub(super) fn dial(&mut self, now: Now, leg: LegId, target: &DialTarget, from: &str, display: &str, sdp: Bytes) -> bool {
        let Some((uri, flow)) = self.resolve(now, target) else { return false };
        let Some(profile) = self.profile_of(flow.local) else { return false };
        let contact = profile.contact;
        let user = if from.is_empty() { "anonymous" } else { from };
        let Some(from) = Uri::sip(user, contact.ip().to_string().as_str(), None) else { return false };
        let mut from = NameAddr::new(from);
        if !display.is_empty() {
            from = from.with_display(display);
        }
        let to = NameAddr::new(uri.clone());
        let invite = OutgoingInvite { flow, uri, from, to, route: Vec::new(), headers: Vec::new(), sdp: Some(sdp) };
        self.endpoint.invite(now, leg, invite);
        true
    }

    fn resolve(&self, now: Now, target: &DialTarget) -> Option<(Uri, Flow)> {
        match target {
            DialTarget::Extension(extension) => {
                let binding = self.registrar.lookup(now, extension.as_str()).into_iter().next()?;
                Some((binding.contact.uri.clone(), binding.flow))
            }
            DialTarget::Uri(uri) => {
                let uri = Uri::parse(&Bytes::from(uri.clone())).ok()?;
                let ip = match uri.host()? {
                    Host::V4(ip) => (*ip).into(),
                    Host::V6(ip) => (*ip).into(),
                    Host::Name(_) => return None,
                };
                let remote = SocketAddr::new(ip, uri.port().unwrap_or(SIP_PORT));
                let trunk = self.config.profiles.iter().find(|profile| {
                    profile.kind == ProfileKind::Trunk && profile.contact.is_ipv4() == remote.is_ipv4()
                })?;
                let local = *trunk.listen.first()?;
                Some((uri, Flow { transport: Transport::Udp, local, remote, connection: 0 }))
            }
        }
    }
}
