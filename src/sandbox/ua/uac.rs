//! What a user agent asks of others: calls, holds, goodbyes (RFC 3261 sections 8.1, 9.1, 13.2, 14.1, 15).

use super::{
    Call, CallOptions, Phase, Side, UaError,
    audio::Player,
    dialog::{Session, Step},
    engine::{Engine, Purpose, Reply, branch, token},
    message::{self, header},
    sdp::{Description, Direction},
    transaction::LINGER,
};
use crate::net::clock;
use rsip::{Header, Method, Request, Response};
use std::net::SocketAddr;

pub(super) const USER_AGENT: &str = "hotline-sandbox";
pub(super) const ALLOW: &str = "INVITE, ACK, BYE, CANCEL, OPTIONS, INFO, UPDATE, NOTIFY, MESSAGE";

impl Engine {
    pub async fn place_call(&mut self, options: CallOptions) -> Result<Call, UaError> {
        let bad = || UaError::BadTarget(options.target.clone());
        let to = message::address_of(&options.target).ok_or_else(bad)?;
        let media = self.open_sound(Player::new(options.audio)).await?;
        let call_id = format!("{}@{}", token(), self.wire.local.ip());
        let mut session = Session::new(self.fresh_id(), call_id, token(), media, to);
        session.local = match options.from.contains("sip:") {
            true => options.from.clone(),
            false => format!("<sip:{}@{}>", options.from, self.wire.local),
        };
        session.remote = format!("<{}>", options.target);
        session.target = options.target.clone();
        session.cseq = 1;
        let body = session.offer(&self.codecs);
        let extra = options.headers.iter().map(|(name, value)| header(name, value.clone()));
        let branch = branch();
        let headers = self.headers_in_dialog(&session, &branch, "INVITE", 1, extra.collect(), Some("application/sdp"));
        let mut request = message::request(Method::Invite, &options.target, headers, body).ok_or_else(bad)?;
        let uri = request.uri.to_string();
        self.registration.credentials(to, "INVITE", &uri).into_iter().for_each(|h| request.headers.push(h));
        session.inviting = Some(branch.clone());
        let call = self.handle(&session).ok_or(UaError::Closed)?;
        self.dialogs.insert((session.call_id.clone(), session.local_tag.clone()), session.id);
        let id = session.id;
        self.sessions.insert(id, session);
        self.start(branch, request, to, Purpose::Invite(id));
        Ok(call)
    }

    fn headers_in_dialog(
        &self,
        session: &Session,
        branch: &str,
        method: &str,
        cseq: u32,
        extra: Vec<Header>,
        content: Option<&str>,
    ) -> Vec<Header> {
        let mut headers = vec![self.via(branch), header("Max-Forwards", "70")];
        headers.extend(session.routes.iter().map(|route| header("Route", route.clone())));
        headers.push(header("From", session.local_value()));
        headers.push(header("To", session.remote_value()));
        headers.push(header("Call-ID", session.call_id.clone()));
        headers.push(header("CSeq", format!("{cseq} {method}")));
        headers.push(header("Contact", self.contact()));
        headers.push(header("Allow", ALLOW));
        headers.push(header("User-Agent", USER_AGENT));
        headers.extend(extra);
        headers.extend(content.map(|c| header("Content-Type", c)));
        headers
    }

    /// Sends a request inside a dialog; its branch, or None when the dialog leads nowhere (told to the purpose).
    pub fn request_in_dialog(
        &mut self,
        id: u64,
        method: Method,
        headers: Vec<(String, String)>,
        body: String,
        purpose: Purpose,
    ) -> Option<String> {
        let built = self.build_in_dialog(id, method, headers, body);
        match built {
            Some((branch, request, to)) => {
                self.start(branch.clone(), request, to, purpose);
                Some(branch)
            }
            None => {
                self.request_timed_out(purpose);
                None
            }
        }
    }

    fn build_in_dialog(
        &mut self,
        id: u64,
        method: Method,
        headers: Vec<(String, String)>,
        body: String,
    ) -> Option<(String, Request, SocketAddr)> {
        let session = self.sessions.get_mut(&id).filter(|s| s.remote_tag.is_some())?;
        session.cseq += 1;
        let session = self.sessions.get(&id)?;
        let (branch, name, to) = (branch(), method.to_string(), session.destination());
        let extra = headers.into_iter().map(|(name, value)| header(&name, value)).collect();
        let headers = self.headers_in_dialog(session, &branch, &name, session.cseq, extra, None);
        let mut request = message::request(method, &session.target, headers, body)?;
        let uri = request.uri.to_string();
        self.registration.credentials(to, &name, &uri).into_iter().for_each(|h| request.headers.push(h));
        Some((branch, request, to))
    }

    /// Ends a call in the way that its phase asks for.
    pub fn hang_up(&mut self, id: u64, status: u16) {
        let Some(session) = self.sessions.get_mut(&id) else { return };
        match session.phase() {
            Phase::Ended(_) => {}
            Phase::Answered => {
                session.media.close();
                if !session.cancel_wanted {
                    session.cancel_wanted = true;
                    self.bye(id);
                }
            }
            Phase::Dialing | Phase::Ringing if session.invited.is_some() => self.step(id, Step::Refuse(status)),
            Phase::Dialing | Phase::Ringing => {
                session.cancel_wanted = true;
                self.cancel_if_allowed(id);
            }
        }
    }

    pub fn bye(&mut self, id: u64) {
        self.request_in_dialog(id, Method::Bye, vec![], String::new(), Purpose::Bye(id));
    }

    /// RFC 3261 section 9.1: never before the first provisional response, with the INVITE's branch and number.
    fn cancel_if_allowed(&mut self, id: u64) {
        let Some(session) = self.sessions.get_mut(&id).filter(|s| s.cancel_wanted && !s.cancelled) else { return };
        let Some(branch) = session.inviting.clone() else { return };
        let Some(client) = self.clients.get_mut(&branch).filter(|c| c.is_proceeding()) else { return };
        session.cancelled = true;
        client.shorten(clock::now().mono + LINGER);
        let (to, cseq) = (client.to, message::cseq(&client.request.headers).map_or(1, |(number, _)| number));
        let mut headers = vec![self.via(&branch), header("Max-Forwards", "70")];
        if let Some(client) = self.clients.get(&branch) {
            for name in ["Route", "From", "To", "Call-ID"] {
                let values = message::values(&client.request.headers, name);
                headers.extend(values.into_iter().map(|value| header(name, value)));
            }
            headers.push(header("CSeq", format!("{cseq} CANCEL")));
            let uri = client.request.uri.to_string();
            if let Some(cancel) = message::request(Method::Cancel, &uri, headers, String::new()) {
                // It shares the INVITE's branch, so its transaction is kept under a name of its own.
                self.start(format!("{branch} CANCEL"), cancel, to, Purpose::Cancel);
            }
        }
    }

    /// Our own re-INVITE, to hold and to resume.
    pub fn reoffer(&mut self, id: u64, direction: Direction, reply: Reply<()>) {
        let codecs = self.codecs.clone();
        let Some(session) = self.sessions.get_mut(&id).filter(|s| s.is_answered()) else {
            let _ = reply.send(Err(UaError::Closed));
            return;
        };
        if session.inviting.is_some() || session.ok.is_some() {
            let _ = reply.send(Err(UaError::OfferPending));
            return;
        }
        let before = std::mem::replace(&mut session.direction, direction);
        let body = session.offer(&codecs);
        let content = vec![("Content-Type".to_owned(), "application/sdp".to_owned())];
        let purpose = Purpose::Reinvite { id, before, reply: Some(reply) };
        let branch = self.request_in_dialog(id, Method::Invite, content, body, purpose);
        if let Some(session) = self.sessions.get_mut(&id) {
            session.inviting = branch;
        }
    }

    /// A request that had no final response at all.
    pub fn request_timed_out(&mut self, purpose: Purpose) {
        match purpose {
            Purpose::Register(reply) => self.register_answered(None, reply),
            Purpose::Invite(id) => self.end(id, Side::Network, 408, "no answer to INVITE"),
            Purpose::Reinvite { id, before, reply } => {
                if let Some(session) = self.sessions.get_mut(&id) {
                    session.inviting = None;
                    session.direction = before;
                }
                let _ = reply.map(|r| r.send(Err(UaError::TimedOut("an answer to a new offer"))));
            }
            Purpose::Bye(id) => self.end(id, Side::Us, 408, "no answer to BYE"),
            Purpose::Cancel => {}
            Purpose::Other(reply) => {
                let _ = reply.map(|r| r.send(Err(UaError::TimedOut("an answer to a request"))));
            }
        }
    }

    pub fn handle_response(&mut self, response: Response) {
        let Some((mut branch, _)) = message::top_via(&response.headers) else { return };
        let Some((_, method)) = message::cseq(&response.headers) else { return };
        if method == "CANCEL" {
            branch += " CANCEL";
        }
        let status = response.status_code.code();
        let now = clock::now().mono;
        let Some(client) = self.clients.get_mut(&branch) else { return };
        if client.request.method.to_string() != method {
            return;
        }
        if !client.handle_response(now, status) {
            // RFC 3261 section 17.1.1.2: a refusal that comes again is acknowledged again.
            let again = client.ack().map(|ack| (ack.to_vec(), client.to));
            again.into_iter().for_each(|(ack, to)| self.send(ack, to));
            return;
        }
        if status >= 300 && client.request.method == Method::Invite {
            let ack = refusal_ack(&client.request, &response);
            let to = client.to;
            if let Some(ack) = ack {
                client.keep_ack(ack.clone());
                self.send(ack, to);
            }
        }
        if matches!(status, 401 | 407) && self.try_credentials(&branch, &response) {
            return;
        }
        self.deliver(&branch, status, response);
    }

    /// Sends a challenged request again with credentials: the same request, a new branch, the next number.
    fn try_credentials(&mut self, branch: &str, response: &Response) -> bool {
        let Some(client) = self.clients.get(branch) else { return false };
        let (to, attempts, mut request) = (client.to, client.attempts, client.request.clone());
        // A remembered nonce may have gone stale: one more try with the new one.
        let had = request.headers.iter().any(is_credentials);
        if attempts >= 2 || (attempts >= 1 && had && !is_stale(response)) || !self.registration.challenged(to, response)
        {
            return false;
        }
        let (name, uri) = (request.method.to_string(), request.uri.to_string());
        let cseq = message::cseq(&request.headers).map_or(1, |(number, _)| number) + 1;
        let fresh = super::engine::branch();
        request.headers.retain(|h| !is_credentials(h) && !matches!(h, Header::Via(_) | Header::CSeq(_)));
        let mut headers = vec![self.via(&fresh), header("CSeq", format!("{cseq} {name}"))];
        headers.extend(self.registration.credentials(to, &name, &uri));
        headers.extend(request.headers);
        request.headers = headers.into();
        let Some(client) = self.clients.get_mut(branch) else { return false };
        let purpose = std::mem::replace(&mut client.purpose, Purpose::Cancel);
        match &purpose {
            Purpose::Register(_) => self.registered_as(cseq),
            Purpose::Invite(id) | Purpose::Bye(id) | Purpose::Reinvite { id, .. } => {
                if let Some(session) = self.sessions.get_mut(id) {
                    session.cseq = session.cseq.max(cseq);
                    if request.method == Method::Invite {
                        session.inviting = Some(fresh.clone());
                    }
                }
            }
            Purpose::Cancel | Purpose::Other(_) => {}
        }
        self.start(fresh.clone(), request, to, purpose);
        if let Some(client) = self.clients.get_mut(&fresh) {
            client.attempts = attempts + 1;
        }
        true
    }

    fn deliver(&mut self, branch: &str, status: u16, response: Response) {
        let Some(client) = self.clients.get_mut(branch) else { return };
        let cseq = message::cseq(&client.request.headers).map_or(1, |(number, _)| number);
        let last = status >= 200;
        match &mut client.purpose {
            Purpose::Invite(id) => {
                let id = *id;
                self.invite_answered(id, status, cseq, response);
            }
            Purpose::Register(reply) if last => {
                let reply = reply.take();
                self.register_answered(Some(&response), reply);
            }
            Purpose::Reinvite { id, before, reply } if last => {
                let (id, before, reply) = (*id, *before, reply.take());
                self.reinvite_answered(id, before, reply, status, cseq, response);
            }
            Purpose::Bye(id) if last => {
                let id = *id;
                self.end(id, Side::Us, 200, "BYE");
            }
            Purpose::Other(reply) if last => drop(reply.take().map(|r| r.send(Ok(status)))),
            Purpose::Register(_) | Purpose::Reinvite { .. } | Purpose::Bye(_) | Purpose::Other(_) | Purpose::Cancel => {
            }
        }
    }

    fn invite_answered(&mut self, id: u64, status: u16, cseq: u32, response: Response) {
        let Some(session) = self.sessions.get_mut(&id) else { return };
        let answer = Description::parse(&response.body);
        match status {
            100..200 => {
                if let Some(answer) = &answer {
                    session.answered_with(answer);
                }
                session.change(|s| {
                    s.provisional = status;
                    s.early_media |= answer.is_some();
                    if status > 100 && s.phase == Phase::Dialing {
                        s.phase = Phase::Ringing;
                    }
                });
                self.cancel_if_allowed(id);
            }
            200..300 => self.invite_accepted(id, cseq, answer, &response),
            _ => {
                session.inviting = None;
                let (by, text) = (session.cancelled, response.status_code.to_string());
                let by = if by { Side::Us } else { Side::Peer };
                let reason = message::value(&response.headers, "Reason");
                let reason = reason.unwrap_or_else(|| text.split_once(' ').map_or(String::new(), |r| r.1.to_owned()));
                self.end(id, by, status, &reason);
            }
        }
    }

    fn invite_accepted(&mut self, id: u64, cseq: u32, answer: Option<Description>, response: &Response) {
        let Some(session) = self.sessions.get_mut(&id) else { return };
        if let Some((acked, bytes, to)) = session.ack.clone()
            && acked == cseq
        {
            // The 200 came again: our ACK was lost.
            return self.send(bytes, to);
        }
        session.inviting = None;
        let to_value = message::value(&response.headers, "To").unwrap_or_default();
        session.remote_tag = Some(message::tag_of(&to_value).unwrap_or_default().to_owned());
        session.learn(&response.headers, true);
        let usable = answer.is_some_and(|answer| session.answered_with(&answer)) || session.media.route().is_some();
        let (ended, unwanted) = (session.is_ended(), session.cancel_wanted);
        session.change(|s| {
            s.answered = true;
            if !ended {
                s.phase = Phase::Answered;
            }
        });
        self.acknowledge(id, cseq);
        if ended || unwanted {
            // The answer crossed our CANCEL (RFC 3261 section 9.1).
            self.bye(id);
        } else if !usable {
            self.bye(id);
            self.end(id, Side::Us, 488, "the answer has no codec of ours");
        }
    }

    /// The ACK of a 2xx is a request of its own, outside any transaction (RFC 3261 section 13.2.2.4).
    fn acknowledge(&mut self, id: u64, cseq: u32) {
        let Some(session) = self.sessions.get(&id) else { return };
        let headers = self.headers_in_dialog(session, &branch(), "ACK", cseq, vec![], None);
        let to = session.destination();
        if let Some(ack) = message::request(Method::Ack, &session.target, headers, String::new()) {
            let bytes = ack.to_string().into_bytes();
            self.send(bytes.clone(), to);
            if let Some(session) = self.sessions.get_mut(&id) {
                session.ack = Some((cseq, bytes, to));
            }
        }
    }

    fn reinvite_answered(
        &mut self,
        id: u64,
        before: Direction,
        reply: Option<Reply<()>>,
        status: u16,
        cseq: u32,
        response: Response,
    ) {
        let Some(session) = self.sessions.get_mut(&id) else { return };
        if let Some((acked, bytes, to)) = session.ack.clone()
            && acked == cseq
        {
            return self.send(bytes, to);
        }
        session.inviting = None;
        let result = if status < 300 {
            if let Some(answer) = Description::parse(&response.body) {
                session.answered_with(&answer);
            }
            self.acknowledge(id, cseq);
            Ok(())
        } else {
            session.direction = before;
            Err(UaError::Refused { status, reason: response.status_code.to_string() })
        };
        let _ = reply.map(|r| r.send(result));
    }
}

fn is_credentials(header: &Header) -> bool {
    matches!(header, Header::Authorization(_) | Header::ProxyAuthorization(_))
}

fn is_stale(response: &Response) -> bool {
    let values = ["WWW-Authenticate", "Proxy-Authenticate"].map(|name| message::values(&response.headers, name));
    values.iter().flatten().any(|v| super::digest::Challenge::parse(v).is_some_and(|c| c.stale))
}

/// The ACK of a refused INVITE: same branch, same target, the To of the refusal (RFC 3261 section 17.1.1.3).
fn refusal_ack(invite: &Request, response: &Response) -> Option<Vec<u8>> {
    let mut headers = Vec::new();
    let copied = ["Via", "Route", "From", "Call-ID"];
    for name in copied {
        let values = message::values(&invite.headers, name);
        headers.extend(values.into_iter().map(|value| header(name, value)));
    }
    headers.push(header("To", message::value(&response.headers, "To")?));
    headers.push(header("Max-Forwards", "70"));
    headers.push(header("CSeq", format!("{} ACK", message::cseq(&invite.headers)?.0)));
    let ack = message::request(Method::Ack, &invite.uri.to_string(), headers, String::new())?;
    Some(ack.to_string().into_bytes())
}
