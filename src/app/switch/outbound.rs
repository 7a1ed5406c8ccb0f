//! Ringing: from a dial target to an INVITE on a flow.

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
use std::net::SocketAddr;

/// The port of a SIP address that names none (RFC 3261 section 19.1.2).
const SIP_PORT: u16 = 5060;

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
        let Some((uri, flow)) = self.resolve(now, target) else { return false };
        let Some(profile) = self.profile_of(flow.local) else { return false };
        let contact = profile.contact;
        let user = if from.is_empty() { "anonymous" } else { from };
        let Some(host) = Host::new(contact.ip().to_string()) else { return false };
        let mut from = NameAddr::new(SipUri::new(Some(user), host, None).into());
        if !display.is_empty() {
            from = from.with_display(display);
        }
        let to = NameAddr::new(uri.clone());
        let invite =
            OutgoingInvite { flow, uri, from, to, route: Vec::new(), headers: Vec::new(), sdp: Some(sdp), again: None };
        self.endpoint.invite(now, leg, invite).is_ok()
    }

    fn resolve(&self, now: Now, target: &DialTarget) -> Option<(Uri, Flow)> {
        match target {
            DialTarget::Extension(extension) => {
                let binding = self.registrar.lookup(now, extension.as_str()).into_iter().next()?;
                Some((binding.uri.clone(), binding.flow))
            }
            DialTarget::Uri(uri) => {
                let uri = Uri::parse(Bytes::from(uri.clone())).ok()?;
                let target = uri.as_sip()?;
                let remote = SocketAddr::new(target.host.ip()?, target.port.unwrap_or(SIP_PORT));
                let trunk = self.config.profiles.iter().find(|profile| {
                    profile.kind() == ProfileKind::Trunk && profile.contact.is_ipv4() == remote.is_ipv4()
                })?;
                let local = trunk.settings.listen.iter().find(|listener| listener.transport == Listens::Udp)?.address;
                Some((uri, Flow { transport: Transport::Udp, local, remote, connection: 0 }))
            }
        }
    }
}
