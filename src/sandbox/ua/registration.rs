//! The binding of a user agent at its registrar (RFC 3261 section 10), and its credentials there.

use super::{
    Event, UaError,
    digest::{Challenge, Credentials},
    engine::{Engine, Purpose, Reply, branch, token},
    message,
};
use crate::net::clock;
use rsip::{Header, Method, Response};
use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

/// Where we are registered, with which password, and until when.
#[derive(Debug, Default)]
pub(super) struct Registration {
    server: Option<SocketAddr>,
    who: Option<Credentials>,
    call_id: String,
    tag: String,
    cseq: u32,
    expires: Duration,
    refresh_at: Option<Instant>,
    /// The last challenge and how often it was answered.
    challenge: Option<(Challenge, u32, bool)>,
}

impl Registration {
    /// When the binding wants to be refreshed.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.refresh_at
    }

    /// Takes a challenge of this server; false when it is not ours to answer.
    pub fn challenged(&mut self, by: SocketAddr, response: &Response) -> bool {
        let proxy = response.status_code.code() == 407;
        let name = if proxy { "Proxy-Authenticate" } else { "WWW-Authenticate" };
        let values = message::values(&response.headers, name);
        let challenge = Challenge::strongest(values.iter().map(String::as_str));
        match challenge {
            // A challenge is answered only to the server that the password belongs to.
            Some(challenge) if self.server == Some(by) && self.who.is_some() => {
                self.challenge = Some((challenge, 0, proxy));
                true
            }
            _ => false,
        }
    }

    /// Credentials for a request to this server, if it has challenged us before.
    pub fn credentials(&mut self, to: SocketAddr, method: &str, uri: &str) -> Option<Header> {
        if self.server != Some(to) {
            return None;
        }
        let (challenge, count, proxy) = self.challenge.as_mut()?;
        *count += 1;
        let value = challenge.answer(self.who.as_ref()?, method, uri, *count, &token());
        Some(message::header(if *proxy { "Proxy-Authorization" } else { "Authorization" }, value))
    }
}

impl Engine {
    pub fn register(&mut self, server: SocketAddr, who: Credentials, expires: Duration, reply: Reply<Duration>) {
        self.user = who.user.clone();
        self.registration = Registration {
            server: Some(server),
            who: Some(who),
            call_id: format!("{}@{}", token(), self.wire.local.ip()),
            tag: token(),
            expires,
            ..Registration::default()
        };
        self.send_register(expires, Some(reply));
    }

    pub fn unregister(&mut self, reply: Reply<Duration>) {
        self.registration.refresh_at = None;
        self.registration.expires = Duration::ZERO;
        self.send_register(Duration::ZERO, Some(reply));
    }

    pub fn refresh(&mut self) {
        self.registration.refresh_at = None;
        let expires = self.registration.expires;
        self.send_register(expires, None);
    }

    fn send_register(&mut self, expires: Duration, reply: Option<Reply<Duration>>) {
        let Some(server) = self.registration.server else {
            let _ = reply.map(|r| r.send(Err(UaError::Closed)));
            return;
        };
        self.registration.cseq += 1;
        let uri = format!("sip:{server}");
        let who = format!("<sip:{}@{server}>", self.user);
        let branch = branch();
        let mut headers = vec![
            self.via(&branch),
            message::header("Max-Forwards", "70"),
            message::header("From", format!("{who};tag={}", self.registration.tag)),
            message::header("To", who),
            message::header("Call-ID", self.registration.call_id.clone()),
            message::header("CSeq", format!("{} REGISTER", self.registration.cseq)),
            message::header("Contact", format!("{};expires={}", self.contact(), expires.as_secs())),
            message::header("Expires", expires.as_secs().to_string()),
            message::header("User-Agent", super::uac::USER_AGENT),
        ];
        headers.extend(self.registration.credentials(server, "REGISTER", &uri));
        match message::request(Method::Register, &uri, headers, String::new()) {
            Some(request) => self.start(branch, request, server, Purpose::Register(reply)),
            None => drop(reply.map(|r| r.send(Err(UaError::BadTarget(uri))))),
        }
    }

    /// Keeps the sequence number in step after a request was sent again with credentials.
    pub fn registered_as(&mut self, cseq: u32) {
        self.registration.cseq = self.registration.cseq.max(cseq);
    }

    pub fn register_answered(&mut self, response: Option<&Response>, reply: Option<Reply<Duration>>) {
        let status = response.map_or(0, |r| r.status_code.code());
        let seconds = |name: &str| message::value(&response?.headers, name)?.trim().parse::<u64>().ok();
        let result = match status {
            200..300 => {
                let granted = self.granted(response).or_else(|| seconds("Expires"));
                let expires = granted.map_or(self.registration.expires, Duration::from_secs);
                if self.registration.expires > Duration::ZERO {
                    // At four fifths there is time for all retransmissions of a short binding too.
                    self.registration.refresh_at =
                        Some(clock::now().mono + expires.max(Duration::from_secs(1)) * 4 / 5);
                }
                self.tell(Event::Registered { expires });
                Ok(expires)
            }
            423 if seconds("Min-Expires").is_some_and(|s| Duration::from_secs(s) > self.registration.expires) => {
                self.registration.expires = Duration::from_secs(seconds("Min-Expires").unwrap_or(300));
                return self.send_register(self.registration.expires, reply);
            }
            _ => {
                self.tell(Event::RegistrationFailed { status });
                if reply.is_none() {
                    self.registration.refresh_at = Some(clock::now().mono + Duration::from_secs(5));
                }
                match response {
                    None => Err(UaError::TimedOut("an answer to REGISTER")),
                    Some(response) => {
                        let text = response.status_code.to_string();
                        let reason = text.split_once(' ').map_or(String::new(), |(_, reason)| reason.to_owned());
                        Err(UaError::Refused { status, reason })
                    }
                }
            }
        };
        if let Some(reply) = reply {
            let _ = reply.send(result);
        }
    }

    /// What the registrar granted to our own Contact.
    fn granted(&self, response: Option<&Response>) -> Option<u64> {
        let ours = self.wire.local.to_string();
        let contacts = message::listed(&response?.headers, "Contact");
        let contact = contacts.iter().find(|c| message::uri_of(c).contains(&ours))?;
        let parameters = contact.rsplit_once('>').map_or(contact.as_str(), |(_, parameters)| parameters);
        message::parameter(parameters, "expires")?.parse().ok()
    }
}
