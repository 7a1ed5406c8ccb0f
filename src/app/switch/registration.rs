//! Requests outside dialogs: REGISTER and OPTIONS; and what a registration means for the ACD.

use super::{MediaPort, Output, ProfileKind, Switch};
use crate::{
    acd::message as acd,
    clock::Now,
    ids::{AgentNo, Extension},
    sip::{
        endpoint::{Flow, TransactionId},
        message::{HeaderName, Method, Request, Response},
        registrar,
    },
};

impl<M: MediaPort> Switch<M> {
    pub(super) fn requested(&mut self, now: Now, transaction: TransactionId, flow: Flow, request: &Request) {
        let response = match self.profile_of(flow.local).map(|profile| (profile.kind, Self::allowed(profile, flow.remote.ip()))) {
            None | Some((_, false)) => Response::to_request(request, 403, "Forbidden"),
            Some((kind, true)) => match request.method {
                Method::Options => Response::to_request(request, 200, "OK"),
                Method::Register if kind == ProfileKind::Agents => self.register(now, flow, request),
                Method::Register => Response::to_request(request, 403, "Forbidden"),
                _ => Response::to_request(request, 405, "Method Not Allowed"),
            },
        };
        self.endpoint.respond(now, transaction, response);
    }

    /// RFC 3261 section 10.3, behind digest: a user registers nobody but itself.
    fn register(&mut self, now: Now, flow: Flow, request: &Request) -> Response {
        let user = match self.authenticated(now, flow, request) {
            Ok(user) => user,
            Err(challenges) => {
                let mut response = Response::to_request(request, 401, "Unauthorized");
                for (name, value) in challenges {
                    response.headers.push(name, value);
                }
                return response;
            }
        };
        let to = request.headers.to().ok().and_then(|to| to.uri.user_text());
        if to.as_deref() != Some(user.as_str()) {
            return Response::to_request(request, 403, "Forbidden");
        }
        self.registrar.register(now, &user, flow, request)
    }

    pub(super) fn registration_changed(&mut self, now: Now, event: registrar::Event) {
        let (aor, registered) = match event {
            registrar::Event::Registered { aor } => (aor, true),
            registrar::Event::Unregistered { aor } => (aor, false),
        };
        let extension = Extension::from(aor.as_str());
        self.acd.handle_input(now, acd::Input::Reachable { extension: extension.clone(), reachable: registered });
        let agent = AgentNo::from(aor.as_str());
        if registered && let Some(skills) = self.config.skills.get(&agent) {
            // In the sandbox, and where seats are not shared, an agent sits at the extension of its own number.
            let known = self.acd.agent(&agent).is_some_and(|agent| agent.extension.is_some());
            if !known {
                let (skills, ready) = (skills.clone(), self.config.ready_on_register);
                self.acd.handle_input(now, acd::Input::SignIn { agent, extension: extension.clone(), skills, ready });
            }
        }
        self.output.push_back(Output::Registered { extension, registered });
    }

    /// Headers that say what we can do, on 200 to OPTIONS.
    pub(super) fn accept_header() -> (HeaderName, &'static str) {
        (HeaderName::Accept, "application/sdp")
    }
}
