//! What others ask of a user agent (RFC 3261 sections 8.2, 9.2, 13.3, 14.2, 15.1.2).

use super::{
    Event, Incoming, Invitation, Phase, Policy, Side,
    audio::Player,
    dialog::{Invited, Session, Step},
    engine::{Engine, token},
    message::{self, header},
    sdp::Description,
    transaction::{LINGER, Resend},
};
use crate::net::clock;
use rsip::{Header, Method, Request};
use std::{net::SocketAddr, sync::Arc};

type Key = (String, String);

impl Engine {
    pub async fn handle_request(&mut self, request: Request, source: SocketAddr) {
        let Some((branch, _)) = message::top_via(&request.headers) else { return };
        if request.method == Method::Ack {
            return self.handle_ack(&branch, &request);
        }
        let key = (branch, request.method.to_string());
        if let Some(server) = self.servers.get(&key) {
            // A retransmission: the last answer again, or none yet.
            let again = server.last.clone().map(|last| (last, server.to));
            again.into_iter().for_each(|(last, to)| self.send(last, to));
            return;
        }
        let session = self.session_of(&request);
        if session.and_then(|id| self.sessions.get(&id)).is_some_and(|s| s.silent) {
            return;
        }
        let in_dialog = message::value(&request.headers, "To").is_some_and(|to| message::tag_of(&to).is_some());
        match (request.method, session) {
            (Method::Cancel, _) => self.handle_cancel(key, &request, source),
            (_, None) if in_dialog => self.reply(key, &request, source, 481, vec![], String::new()),
            (Method::Invite, Some(id)) => self.handle_reinvite(id, key, request, source),
            (Method::Invite, None) => self.handle_invite(key, request, source).await,
            (Method::Bye, Some(id)) => self.handle_bye(id, key, &request, source),
            (Method::Update, Some(id)) => self.handle_update(id, key, &request, source),
            (Method::Options | Method::Info | Method::Notify | Method::Message | Method::Update, _) => {
                let extra = vec![header("Allow", super::uac::ALLOW), header("Accept", "application/sdp")];
                self.reply(key, &request, source, 200, extra, String::new());
                let body = String::from_utf8_lossy(&request.body).into_owned();
                self.tell(Event::Request { method: request.method.to_string(), body });
            }
            (Method::Bye, None) => self.reply(key, &request, source, 481, vec![], String::new()),
            _ => {
                let extra = vec![header("Allow", super::uac::ALLOW)];
                self.reply(key, &request, source, 405, extra, String::new());
            }
        }
    }

    fn session_of(&self, request: &Request) -> Option<u64> {
        let call_id = message::value(&request.headers, "Call-ID")?;
        let to = message::value(&request.headers, "To")?;
        self.dialogs.get(&(call_id, message::tag_of(&to)?.to_owned())).copied()
    }

    /// Answers a request that is no INVITE, once.
    fn reply(
        &mut self,
        key: Key,
        request: &Request,
        source: SocketAddr,
        status: u16,
        extra: Vec<Header>,
        body: String,
    ) {
        let response = message::response(request, source, status, &token(), extra, body).to_string().into_bytes();
        if self.admit(key.clone(), source, None) {
            if let Some(server) = self.servers.get_mut(&key) {
                server.last = Some(response.clone());
            }
            self.send(response, source);
        }
    }

    async fn handle_invite(&mut self, key: Key, request: Request, source: SocketAddr) {
        let required = message::listed(&request.headers, "Require");
        if !required.is_empty() {
            let extra = vec![header("Unsupported", required.join(", "))];
            return self.reply(key, &request, source, 420, extra, String::new());
        }
        if !request.body.is_empty() && Description::parse(&request.body).is_none() {
            return self.reply(key, &request, source, 488, vec![], String::new());
        }
        let dialled = message::user_of(&request.uri.to_string()).to_owned();
        let Incoming { policy, audio } = self.dialled.get(&dialled).unwrap_or(&self.incoming).clone();
        let Ok(media) = self.open_sound(Player::new(audio)).await else {
            return self.reply(key, &request, source, 500, vec![], String::new());
        };
        let text = |name: &str| message::value(&request.headers, name).unwrap_or_default();
        let (from, to, call_id) = (text("From"), text("To"), text("Call-ID"));
        let id = self.fresh_id();
        if !self.admit(key.clone(), source, Some(id)) {
            return;
        }
        let mut session = Session::new(id, call_id, token(), media, source);
        session.remote_tag = Some(message::tag_of(&from).unwrap_or_default().to_owned());
        session.local = format!("<{}>", message::uri_of(&to));
        session.remote = format!("<{}>", message::uri_of(&from));
        session.learn(&request.headers, false);
        session.remote_cseq = message::cseq(&request.headers).map_or(0, |(number, _)| number);
        let headers = request.headers.iter().filter_map(|h| {
            let line = h.to_string();
            line.split_once(": ").map(|(name, value)| (name.to_owned(), value.to_owned()))
        });
        session.invitation = Some(Arc::new(Invitation { from, to, dialled, headers: headers.collect() }));
        self.dialogs.insert((session.call_id.clone(), session.local_tag.clone()), id);
        session.invited = Some(Invited { request, source, key });
        let now = clock::now().mono;
        let silent = policy == Policy::Silent;
        let steps = match policy {
            Policy::Answer { after } => vec![(now, Step::Ring), (now + after, Step::Answer)],
            Policy::Ring => vec![(now, Step::Ring)],
            Policy::EarlyMedia { refuse_after, status } => {
                vec![(now, Step::EarlyMedia), (now + refuse_after, Step::Refuse(status))]
            }
            Policy::Refuse { after, status } => vec![(now + after, Step::Refuse(status))],
            Policy::Redirect { to } => vec![(now, Step::Redirect(to))],
            Policy::Silent => vec![],
        };
        session.silent = silent;
        session.steps = steps.into();
        let call = self.handle(&session);
        self.sessions.insert(id, session);
        if !silent {
            self.respond(id, 100, vec![], None);
        }
        if let Some(call) = call {
            // Nobody need wait for it; the call goes its way all the same.
            let _ = self.calls.try_send(call.clone());
            self.tell(Event::Incoming(call));
        }
    }

    /// Does the next thing that the policy or the user wants of an incoming call.
    pub fn step(&mut self, id: u64, step: Step) {
        let codecs = self.codecs.clone();
        let Some(session) = self.sessions.get_mut(&id) else { return };
        if session.invited.is_none() || session.is_answered() || session.is_ended() {
            return;
        }
        match step {
            Step::Ring => {
                session.change(|s| (s.phase, s.provisional) = (Phase::Ringing, 180));
                self.respond(id, 180, vec![], None);
            }
            Step::EarlyMedia => {
                let body = session.answer_or_offer(&codecs);
                session.change(|s| (s.phase, s.provisional, s.early_media) = (Phase::Ringing, 183, true));
                self.respond(id, 183, vec![], body);
            }
            Step::Answer => match session.answer_or_offer(&codecs) {
                Some(body) => {
                    session.steps.clear();
                    session.change(|s| (s.phase, s.answered) = (Phase::Answered, true));
                    self.respond(id, 200, vec![], Some(body));
                }
                None => self.step(id, Step::Refuse(488)),
            },
            Step::Refuse(status) => {
                self.respond(id, status, vec![], None);
                self.end(id, Side::Us, status, "refused");
            }
            Step::Redirect(to) => {
                self.respond(id, 302, vec![header("Contact", format!("<{to}>"))], None);
                self.end(id, Side::Us, 302, "redirected");
            }
        }
    }

    /// Responds to the INVITE (or re-INVITE) that a session was sent last.
    fn respond(&mut self, id: u64, status: u16, extra: Vec<Header>, body: Option<String>) {
        let (contact, reliable, now) = (self.contact(), self.reliable(), clock::now().mono);
        let Some(session) = self.sessions.get_mut(&id) else { return };
        let Some(invited) = &session.invited else { return };
        let mut headers = vec![header("User-Agent", super::uac::USER_AGENT)];
        if (101..300).contains(&status) {
            headers.push(header("Contact", contact));
            headers.push(header("Allow", super::uac::ALLOW));
        }
        headers.extend(extra);
        if body.is_some() {
            headers.push(header("Content-Type", "application/sdp"));
        }
        let (to, key) = (invited.source, invited.key.clone());
        let response =
            message::response(&invited.request, to, status, &session.local_tag, headers, body.unwrap_or_default());
        let bytes = response.to_string().into_bytes();
        if (200..300).contains(&status) {
            session.ok = Some(Resend::new(now, bytes.clone(), to, false));
        }
        if let Some(server) = self.servers.get_mut(&key) {
            server.last = Some(bytes.clone());
            if status >= 200 {
                server.until = now + LINGER;
            }
            if status >= 300 {
                server.refusal = Some(Resend::new(now, bytes.clone(), to, reliable));
            }
        }
        self.send(bytes, to);
    }

    fn handle_ack(&mut self, branch: &str, request: &Request) {
        if let Some(server) = self.servers.get_mut(&(branch.to_owned(), "INVITE".to_owned())) {
            server.refusal = None;
        }
        let Some(session) = self.session_of(request).and_then(|id| self.sessions.get_mut(&id)) else { return };
        let number = message::cseq(&request.headers).map(|(number, _)| number);
        if session.ok.is_some() && number == Some(session.remote_cseq) {
            session.ok = None;
            if std::mem::take(&mut session.answer_in_ack)
                && let Some(answer) = Description::parse(&request.body)
            {
                session.answered_with(&answer);
            }
        }
    }

    fn handle_cancel(&mut self, key: Key, request: &Request, source: SocketAddr) {
        let invite = self.servers.get(&(key.0.clone(), "INVITE".to_owned())).and_then(|s| s.session);
        let status = if invite.is_some() { 200 } else { 481 };
        let silent = invite.and_then(|id| self.sessions.get(&id)).is_some_and(|s| s.silent);
        if silent {
            return;
        }
        self.reply(key, request, source, status, vec![], String::new());
        if let Some(id) = invite
            && self.sessions.get(&id).is_some_and(|s| !s.is_answered() && !s.is_ended())
        {
            let reason = message::value(&request.headers, "Reason").unwrap_or_else(|| "cancelled".into());
            self.respond(id, 487, vec![], None);
            self.end(id, Side::Peer, 487, &reason);
        }
    }

    fn handle_bye(&mut self, id: u64, key: Key, request: &Request, source: SocketAddr) {
        self.reply(key, request, source, 200, vec![], String::new());
        let Some(session) = self.sessions.get(&id) else { return };
        if session.invited.is_some() && !session.is_answered() && !session.is_ended() {
            self.respond(id, 487, vec![], None);
        }
        let reason = message::value(&request.headers, "Reason").unwrap_or_else(|| "BYE".into());
        self.end(id, Side::Peer, 200, &reason);
    }

    /// A new offer of the peer: hold, resume, another codec or another address (RFC 3261 section 14.2).
    fn handle_reinvite(&mut self, id: u64, key: Key, request: Request, source: SocketAddr) {
        let codecs = self.codecs.clone();
        let Some(session) = self.sessions.get_mut(&id) else { return };
        let number = message::cseq(&request.headers).map_or(0, |(number, _)| number);
        let refusal = match session.phase() {
            Phase::Answered if session.inviting.is_some() => Some(491),
            Phase::Answered if number <= session.remote_cseq || session.ok.is_some() => Some(500),
            Phase::Answered => None,
            Phase::Dialing | Phase::Ringing | Phase::Ended(_) => Some(481),
        };
        if let Some(status) = refusal {
            return self.refuse_reinvite(key, &request, source, status);
        }
        let body = match Description::parse(&request.body) {
            Some(offer) => session.answer(&offer),
            None if request.body.is_empty() => {
                session.answer_in_ack = true;
                Some(session.offer(&codecs))
            }
            None => None,
        };
        let Some(body) = body else { return self.refuse_reinvite(key, &request, source, 488) };
        session.remote_cseq = number;
        let target = message::listed(&request.headers, "Contact").first().map(|c| message::uri_of(c).to_owned());
        session.target = target.unwrap_or_else(|| session.target.clone());
        session.change(|s| s.offers += 1);
        session.invited = Some(Invited { request, source, key: key.clone() });
        if self.admit(key, source, Some(id)) {
            self.respond(id, 200, vec![], Some(body));
        }
    }

    fn refuse_reinvite(&mut self, key: Key, request: &Request, source: SocketAddr, status: u16) {
        self.reply(key.clone(), request, source, status, vec![], String::new());
        let reliable = self.reliable();
        if let Some(server) = self.servers.get_mut(&key)
            && let Some(bytes) = server.last.clone()
        {
            server.refusal = Some(Resend::new(clock::now().mono, bytes, source, reliable));
        }
    }

    /// RFC 3311: like a re-INVITE, answered at once.
    fn handle_update(&mut self, id: u64, key: Key, request: &Request, source: SocketAddr) {
        let contact = self.contact();
        let Some(session) = self.sessions.get_mut(&id) else { return };
        let mut extra = vec![header("Contact", contact), header("Allow", super::uac::ALLOW)];
        let offer = Description::parse(&request.body);
        let (status, body) = match offer {
            _ if session.is_ended() => (481, None),
            None if request.body.is_empty() => (200, None),
            Some(offer) if session.inviting.is_none() => match session.answer(&offer) {
                Some(body) => (200, Some(body)),
                None => (488, None),
            },
            Some(_) => (491, None),
            None => (488, None),
        };
        if body.is_some() {
            session.change(|s| s.offers += 1);
            extra.push(header("Content-Type", "application/sdp"));
        }
        self.reply(key, request, source, status, extra, body.unwrap_or_default());
    }
}

impl Session {
    /// The answer to the INVITE's offer, or an offer of ours when it had none; None when nothing is in common.
    fn answer_or_offer(&mut self, codecs: &[super::G711]) -> Option<String> {
        let offer = Description::parse(&self.invited.as_ref()?.request.body);
        match offer {
            Some(offer) => self.answer(&offer),
            None => {
                self.answer_in_ack = true;
                Some(self.offer(codecs))
            }
        }
    }
}
