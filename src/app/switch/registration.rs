//! Requests outside dialogs: REGISTER and OPTIONS; and what a registration means for the ACD.

use super::{MediaPort, Output, Switch};
use crate::{
    acd::message as acd,
    clock::Now,
    config::ProfileKind,
    ids::Extension,
    sip::{
        endpoint::{Flow, TransactionId},
        message::{Method, Request, Response},
        registrar::{self, Registrar},
    },
};

impl<M: MediaPort> Switch<M> {
    pub(super) fn requested(&mut self, now: Now, transaction: TransactionId, flow: Flow, request: &Request) {
        let response = match self
            .profile_of(flow.local)
            .map(|profile| (profile.kind(), self.allowed(profile, flow.remote.ip())))
        {
            None | Some((_, false)) => Response::to_request(request, 403, "Forbidden"),
            Some((kind, true)) => match request.method {
                Method::Options => Response::to_request(request, 200, "OK"),
                Method::Register if kind != ProfileKind::Trunk => self.register(now, flow, request),
                Method::Register => Response::to_request(request, 403, "Forbidden"),
                _ => Response::to_request(request, 405, "Method Not Allowed"),
            },
        };
        // Nobody waits for it any more when this fails.
        let _ = self.endpoint.respond(now, transaction, response);
    }

    /// RFC 3261 section 10.3, behind digest: a user registers nobody but itself.
    fn register(&mut self, now: Now, flow: Flow, request: &Request) -> Response {
        // Whoever asks: this names nobody, and the registrar says so.
        if Registrar::aor(request).is_none() {
            return self.registrar.register(now, flow, request);
        }
        let user = match self.authenticated(now, flow, request) {
            Ok(user) => user,
            Err(challenges) => {
                let mut response = Response::to_request(request, 401, "Unauthorized");
                for challenge in challenges {
                    response.headers.push(challenge.name, challenge.value);
                }
                return response;
            }
        };
        if Registrar::aor(request).as_deref() != Some(user.as_str()) {
            return Response::to_request(request, 403, "Forbidden");
        }
        let response = self.registrar.register(now, flow, request);
        if response.status == 200 {
            let bindings = self.registrar.snapshot(now, &user);
            self.output.push_back(Output::Bindings { extension: Extension::from(user.as_str()), bindings });
        }
        response
    }

    pub(super) fn registration_changed(&mut self, now: Now, event: registrar::Event) {
        let (aor, registered) = match event {
            registrar::Event::Registered { aor } => (aor, true),
            registrar::Event::Unregistered { aor } => (aor, false),
        };
        let extension = Extension::from(&*aor);
        self.tell_acd(now, acd::Input::Reachable { extension: extension.clone(), reachable: registered });
        if registered && let Some(seat) = self.config.seats.get(&extension).cloned() {
            // Who signed in already, here or elsewhere, stays as it is.
            let known = self.acd.agent(&seat.agent, now).is_some_and(|agent| agent.extension.is_some());
            if !known {
                let super::Seat { agent, skills, ready } = seat;
                self.tell_acd(now, acd::Input::SignIn { agent, extension: extension.clone(), skills, ready });
            }
        }
        if !registered {
            self.output.push_back(Output::Bindings { extension: extension.clone(), bindings: Vec::new() });
        }
        self.output.push_back(Output::Registered { extension, registered });
    }
}
