//! The gate: who may speak where, and where a dialled number leads. An unknown source makes no call; agents prove
//! who they are; From is believed from trunks only (TRUST "Who must not get where").

use super::{MediaPort, Switch};
use crate::{
    acd::message as acd,
    app::story,
    call::{
        Call,
        message::{DialTarget, NewCall, Route},
    },
    clock::Now,
    config::{self, Auth, ProfileKind},
    ids::{CallId, LegId, QueueName, RecordingId},
    ivr::Flow as IvrFlow,
    sip::{
        auth::{Authorization, Verdict},
        endpoint::Flow,
        message::{Header, HeaderName, Request, Uri},
    },
};
use bytes::Bytes;
use std::{borrow::Cow, net::SocketAddr, sync::Arc};

/// A SIP profile in force: where we listen, who may speak, where its numbers lead.
#[derive(Clone, Debug)]
pub struct Profile {
    /// As its file says.
    pub settings: config::Profile,
    /// Where each of the settings' numbers leads, in their order.
    pub routes: Vec<RouteTo>,
    /// The address that callees see.
    pub contact: SocketAddr,
}

impl Profile {
    /// Whether a packet that came to `local` came to this profile.
    pub fn listens_on(&self, local: SocketAddr) -> bool {
        self.settings.listen.iter().any(|listener| listener.address == local)
    }

    /// Carriers, or telephones of ours.
    pub fn kind(&self) -> ProfileKind {
        self.settings.kind
    }

    fn route(&self, dialled: &str) -> Option<(Route, bool, bool)> {
        let numbers = self.settings.numbers.iter().zip(&self.routes);
        numbers
            .filter(|(number, _)| number.patterns.iter().any(|pattern| pattern.matches(dialled)))
            .find_map(|(number, to)| Some((to.route(dialled)?, number.ticket && to.wants_ticket(), number.cdr)))
    }
}

/// Where to.
#[derive(Clone, Debug)]
pub enum RouteTo {
    /// A flow, loaded.
    Flow(Arc<IvrFlow>),
    /// Straight to a queue.
    Queue(QueueName),
    /// Another party is rung.
    Bridge {
        /// Its SIP URI.
        uri: String,
        /// Whether the talk is recorded.
        recorded: bool,
    },
    /// The conference room of the dialled number.
    Room,
    /// This clip, again and again.
    PlayLoop(String),
    /// Answered, then silence.
    Hold,
}

impl RouteTo {
    /// Whether a flow lets its calls have a ticket.
    fn wants_ticket(&self) -> bool {
        match self {
            RouteTo::Flow(flow) => flow.ticket,
            RouteTo::Queue(_) | RouteTo::Bridge { .. } | RouteTo::Room | RouteTo::PlayLoop(_) | RouteTo::Hold => true,
        }
    }

    /// None: what was dialled names no room.
    fn route(&self, dialled: &str) -> Option<Route> {
        Some(match self {
            RouteTo::Flow(flow) => Route::Flow(flow.clone()),
            RouteTo::Queue(queue) => Route::Queue(queue.clone()),
            RouteTo::Bridge { uri, recorded } => {
                Route::Dial { target: DialTarget::Uri(uri.clone()), recorded: *recorded }
            }
            RouteTo::Room => Route::Room(dialled.parse().ok()?),
            RouteTo::PlayLoop(clip) => Route::PlayLoop(clip.clone()),
            RouteTo::Hold => Route::Hold,
        })
    }
}

/// A Reason header with a Q.850 cause (RFC 3326).
pub(super) fn reason(cause: u8) -> Vec<Header> {
    vec![Header { name: HeaderName::Reason, value: Bytes::from(format!("Q.850;cause={cause}")) }]
}

/// A Q.850 cause, and when to try again.
fn later(cause: u8) -> Vec<Header> {
    let mut headers = reason(cause);
    headers.push(Header { name: HeaderName::RetryAfter, value: Bytes::from_static(b"10") });
    headers
}

impl<M: MediaPort> Switch<M> {
    /// A new INVITE: refused at the gate, or the beginning of a call.
    pub(super) fn invited(&mut self, now: Now, leg: LegId, flow: Flow, request: &Request) {
        let config = self.config.clone();
        let Some(profile) = self.profile_of(flow.local).cloned() else {
            return self.refuse(now, leg, (flow, request), 403, &reason(21));
        };
        if !self.allowed(&profile, flow.remote.ip()) {
            return self.refuse(now, leg, (flow, request), 403, &reason(21));
        }
        let user = match profile.settings.auth {
            Auth::None => None,
            Auth::Digest => match self.authenticated(now, flow, request) {
                Ok(user) => Some(user),
                Err(challenges) => return self.refuse(now, leg, (flow, request), 401, &challenges),
            },
        };
        if self.draining {
            return self.refuse(now, leg, (flow, request), 503, &later(41));
        }
        let dialled = dialled_number(&request.uri);
        let Some((route, ticket, cdr)) = profile.route(&dialled) else {
            return self.refuse(now, leg, (flow, request), 404, &reason(1));
        };
        let agent = user.as_ref().and_then(|user| self.acd.agent_at(&user.as_str().into())).cloned();
        let from = user.unwrap_or_else(|| caller_number(request));
        let sip_call_id = sip_call_id(request);
        let id = CallId(self.ids.next());
        if let Err(full) = self.admission.begin(now.mono, &profile.settings.name, &profile.settings.limits, id) {
            let labels = [("profile", profile.settings.name.clone()), ("limit", full.name().to_owned())];
            metrics::counter!("hotline_calls_limited_total", &labels).increment(1);
            return self.refuse(now, leg, (flow, request), 503, &later(42));
        }
        story::came(id, &profile.settings.name, flow, &sip_call_id, (&from, &dialled), route_name(&route));
        let new = NewCall {
            call: id,
            leg,
            sip_call_id,
            from,
            route,
            dialled,
            recording: RecordingId(self.ids.next()),
            offer: (!request.body.is_empty()).then(|| request.body.clone()),
            ticket,
            cdr,
        };
        self.legs.insert(leg, id);
        if let Some(agent) = agent {
            // Who calls somebody is offered nobody meanwhile.
            self.engaged.insert(id, agent.clone());
            self.tell_acd(now, acd::Input::Engaged { agent, call: id });
        }
        self.calls.insert(id, Call::new(now, config.call.clone(), self.ids.clone(), new));
        self.follow(now, id);
    }

    /// The user who proved to be who it says, else the challenges to answer with.
    pub(super) fn authenticated(&mut self, now: Now, flow: Flow, request: &Request) -> Result<String, Vec<Header>> {
        let source = flow.remote.ip();
        let claimed = request.headers.from().ok().and_then(|from| from.uri.user().map(Cow::into_owned));
        let authorization = Authorization::find(&request.headers, &HeaderName::Authorization, &self.config.realm);
        let secrets = authorization.as_ref().and_then(|given| self.config.credentials.get(&given.username));
        let verdict = match &authorization {
            Some(given) => self.auth.verify(now, source, &request.method, &request.uri, given, secrets),
            None => Verdict::Missing,
        };
        let stale = match (verdict, authorization) {
            (Verdict::Ok, Some(given)) if claimed.as_deref() == Some(given.username.as_str()) => {
                return Ok(given.username);
            }
            (verdict, given) => {
                if given.is_some() && verdict != Verdict::Stale {
                    tracing::info!(target: "hotline::gate", %source, method = %request.method, "credentials were refused");
                }
                verdict == Verdict::Stale
            }
        };
        let md5_only = self.knows_md5_alone(flow, request);
        Err(self
            .auth
            .challenge(now, source, stale, &mut self.rng)
            .into_iter()
            .filter(|challenge| !md5_only || memchr::memmem::find(challenge, b"algorithm=MD5").is_some())
            .map(|value| Header { name: HeaderName::WwwAuthenticate, value })
            .collect())
    }

    /// Whether the telephone is one of those that cannot choose among challenges.
    fn knows_md5_alone(&self, flow: Flow, request: &Request) -> bool {
        let Some(agent) = request.headers.get(&HeaderName::UserAgent) else { return false };
        let profile = self.profile_of(flow.local);
        profile.is_some_and(|profile| profile.settings.md5_only.iter().any(|name| agent.starts_with(name.as_bytes())))
    }

    /// Refuses an INVITE that never became a call.
    fn refuse(&mut self, now: Now, leg: LegId, (flow, request): (Flow, &Request), status: u16, headers: &[Header]) {
        story::refused(flow, &sip_call_id(request), status);
        metrics::counter!("hotline_calls_refused_total", "status" => status.to_string()).increment(1);
        // Cancelled in the same instant: then it is answered already.
        let _ = self.endpoint.reject(now, leg, status, "", headers);
    }
}

fn sip_call_id(request: &Request) -> String {
    request.headers.call_id().map(|id| String::from_utf8_lossy(id).into_owned()).unwrap_or_default()
}

/// What a route is called in the log.
const fn route_name(route: &Route) -> &'static str {
    match route {
        Route::Flow(_) => "flow",
        Route::Queue(_) => "queue",
        Route::Dial { .. } => "dial",
        Route::Room(_) => "room",
        Route::PlayLoop(_) => "play_loop",
        Route::Hold => "hold",
    }
}

/// The number dialled: the user part, or a tel: number, without separators.
fn dialled_number(uri: &Uri) -> String {
    number_of(uri).unwrap_or_default()
}

fn number_of(uri: &Uri) -> Option<String> {
    uri.user().map(|user| user.split(';').next().unwrap_or_default().to_owned())
}

/// The caller's number as the carrier asserts it (RFC 3325), else From; empty when withheld.
fn caller_number(request: &Request) -> String {
    let asserted = request.headers.asserted_identities().ok().and_then(|list| list.into_iter().next());
    let from = request.headers.from().ok();
    let number = asserted.or(from).and_then(|address| number_of(&address.uri)).unwrap_or_default();
    if number.eq_ignore_ascii_case("anonymous") { String::new() } else { number }
}
