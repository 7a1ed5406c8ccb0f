//! The gate: who may speak where, and where a dialled number leads. An unknown source makes no call; agents prove
//! who they are; From is believed from trunks only (TRUST "Who must not get where").

use super::{Config, MediaPort, Output, Switch};
use crate::{
    call::{
        Call,
        message::{DialTarget, NewCall, Route},
    },
    clock::Now,
    ids::{CallId, Extension, LegId, QueueName, RecordingId},
    ivr::Flow as IvrFlow,
    sip::{
        auth::Verdict,
        endpoint::Flow,
        message::{HeaderName, Request, Uri},
    },
};
use bytes::Bytes;
use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

/// What a SIP profile is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProfileKind {
    /// Carriers: believed by address, no registration.
    Trunk,
    /// Agents' telephones: registered and authenticated.
    Agents,
}

/// A block of addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    pub address: IpAddr,
    pub prefix: u8,
}

impl Network {
    /// Whether an address lies in it. An IPv4 address mapped into IPv6 counts as IPv4.
    pub fn contains(&self, ip: IpAddr) -> bool {
        match (self.address, ip.to_canonical()) {
            (IpAddr::V4(net), IpAddr::V4(ip)) => {
                let mask = u32::MAX.checked_shl(32 - u32::from(self.prefix.min(32))).unwrap_or(0);
                net.to_bits() & mask == ip.to_bits() & mask
            }
            (IpAddr::V6(net), IpAddr::V6(ip)) => {
                let mask = u128::MAX.checked_shl(128 - u32::from(self.prefix.min(128))).unwrap_or(0);
                net.to_bits() & mask == ip.to_bits() & mask
            }
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => false,
        }
    }
}

/// Where we listen, who may speak, what is offered.
#[derive(Clone, Debug)]
pub struct Profile {
    pub name: String,
    pub kind: ProfileKind,
    pub listen: Vec<SocketAddr>,
    pub networks: Vec<Network>,
    pub numbers: Vec<NumberRoute>,
    /// The address that callees see; of the first listener where none is set.
    pub contact: SocketAddr,
}

impl Profile {
    /// Whether a packet that came to `local` came to this profile.
    pub fn listens_on(&self, local: SocketAddr) -> bool {
        self.listen.contains(&local)
    }
}

/// Which dialled numbers a route is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pattern {
    Number(String),
    /// From the first to the last, both included, of the same length.
    Range(u64, u64),
}

impl Pattern {
    /// The number, if it is one of these.
    pub fn matches(&self, dialled: &str) -> bool {
        match self {
            Pattern::Number(number) => number == dialled,
            Pattern::Range(first, last) => {
                dialled.len() == first.to_string().len()
                    && dialled.parse::<u64>().is_ok_and(|number| (*first..=*last).contains(&number))
            }
        }
    }
}

/// Where a dialled number leads.
#[derive(Clone, Debug)]
pub struct NumberRoute {
    pub pattern: Pattern,
    pub to: RouteTo,
    pub ticket: bool,
    pub cdr: bool,
}

/// Where to.
#[derive(Clone, Debug)]
pub enum RouteTo {
    Flow(Arc<IvrFlow>),
    Queue(QueueName),
    Bridge { uri: String, recorded: bool },
    /// The conference room of the dialled number.
    Room,
    PlayLoop(String),
    Hold,
    /// The seat whose extension was dialled.
    Extension,
}

impl NumberRoute {
    fn route(&self, dialled: &str) -> Route {
        match &self.to {
            RouteTo::Flow(flow) => Route::Flow(flow.clone()),
            RouteTo::Queue(queue) => Route::Queue(queue.clone()),
            RouteTo::Bridge { uri, recorded } => {
                Route::Dial { target: DialTarget::Uri(uri.clone()), recorded: *recorded }
            }
            RouteTo::Room => Route::Room(dialled.parse().unwrap_or_default()),
            RouteTo::PlayLoop(clip) => Route::PlayLoop(clip.clone()),
            RouteTo::Hold => Route::Hold,
            RouteTo::Extension => {
                Route::Dial { target: DialTarget::Extension(Extension::from(dialled)), recorded: true }
            }
        }
    }
}

/// A Reason header with a Q.850 cause (RFC 3326).
pub(super) fn reason(cause: u8) -> Vec<(HeaderName, Bytes)> {
    vec![(HeaderName::Reason, Bytes::from(format!("Q.850;cause={cause}")))]
}

impl Config {
    /// Finds where a number dialled at a profile leads.
    fn route(&self, profile: &Profile, dialled: &str) -> Option<NumberRoute> {
        profile.numbers.iter().find(|route| route.pattern.matches(dialled)).cloned()
    }
}

impl<M: MediaPort> Switch<M> {
    /// A new INVITE: refused at the gate, or the beginning of a call.
    pub(super) fn invited(&mut self, now: Now, leg: LegId, flow: Flow, request: &Request) {
        let config = self.config.clone();
        let Some(profile) = self.profile_of(flow.local).cloned() else {
            return self.endpoint.reject(now, leg, 403, &reason(21));
        };
        if !Self::allowed(&profile, flow.remote.ip()) {
            return self.endpoint.reject(now, leg, 403, &reason(21));
        }
        let user = match profile.kind {
            ProfileKind::Trunk => None,
            ProfileKind::Agents => match self.authenticated(now, flow, request) {
                Ok(user) => Some(user),
                Err(challenges) => return self.endpoint.reject(now, leg, 401, &challenges),
            },
        };
        if self.draining {
            let mut headers = reason(41);
            headers.push((HeaderName::RetryAfter, Bytes::from_static(b"10")));
            return self.endpoint.reject(now, leg, 503, &headers);
        }
        let dialled = dialled_number(&request.uri);
        let Some(route) = config.route(&profile, &dialled) else {
            return self.endpoint.reject(now, leg, 404, &reason(1));
        };
        let from = user.unwrap_or_else(|| caller_number(request));
        let sip_call_id = request.headers.call_id().map(|id| String::from_utf8_lossy(id).into_owned()).unwrap_or_default();
        let id = CallId(self.ids.next());
        let new = NewCall {
            call: id,
            leg,
            sip_call_id,
            from,
            route: route.route(&dialled),
            dialled,
            recording: RecordingId(self.ids.next()),
            offer: (!request.body.is_empty()).then(|| request.body.clone()),
            ticket: route.ticket,
            cdr: route.cdr,
        };
        self.legs.insert(leg, id);
        self.calls.insert(id, Call::new(now, config.call.clone(), self.ids.clone(), new));
        self.follow(now, id);
    }

    /// The user who proved to be who it says, else the challenges to answer with.
    pub(super) fn authenticated(
        &mut self,
        now: Now,
        flow: Flow,
        request: &Request,
    ) -> Result<String, Vec<(HeaderName, Bytes)>> {
        let source = flow.remote.ip();
        let claimed = request.headers.from().ok().and_then(|from| from.uri.user_text());
        let authorization = request.headers.authorization(&self.config.realm);
        let secrets = authorization.as_ref().and_then(|given| self.config.credentials.get(given.username()));
        let verdict = match &authorization {
            Some(given) => self.auth.verify(now, source, request.method.as_str(), given, secrets),
            None => Verdict::Missing,
        };
        let stale = match (verdict, authorization) {
            (Verdict::Ok, Some(given)) if claimed.as_deref() == Some(given.username()) => {
                return Ok(given.username().to_owned());
            }
            (verdict, _) => verdict == Verdict::Stale,
        };
        Err(self
            .auth
            .challenge(now, source, stale, &mut self.rng)
            .into_iter()
            .map(|challenge| (HeaderName::WwwAuthenticate, challenge))
            .collect())
    }

    /// For the shell: a number route for the tests and the load profile.
    pub fn push_output(&mut self, output: Output) {
        self.output.push_back(output);
    }
}

/// The number dialled: the user part, or a tel: number, without separators.
fn dialled_number(uri: &Uri) -> String {
    uri.number().unwrap_or_default()
}

/// The caller's number as the carrier asserts it (RFC 3325), else From; empty when withheld.
fn caller_number(request: &Request) -> String {
    let asserted = request.headers.asserted_identities().ok().and_then(|list| list.into_iter().next());
    let from = request.headers.from().ok();
    let number = asserted.or(from).and_then(|address| address.uri.number()).unwrap_or_default();
    if number.eq_ignore_ascii_case("anonymous") { String::new() } else { number }
}
