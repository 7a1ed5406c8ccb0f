//! The registrar: where each address-of-record can be reached (RFC 3261 section 10.3).
//!
//! A machine without I/O: a REGISTER whose sender was authenticated goes in, its answer comes out. It remembers the
//! flow that each binding came by, so that a call finds its way back through NAT or over a browser's connection.
//!
//! Not here: who may register what (its user has checked the credentials, and that they fit the address-of-record),
//! Path (RFC 3327) and GRUU (RFC 5627).

use super::{
    dialog::{bytes_of, latin1},
    endpoint::{Flow, Transport},
    message::{Contacts, HeaderName, NameAddr, Request, Response, Uri},
};
use crate::clock::{Now, UnixMillis};
use bytes::Bytes;
use std::{
    collections::{BTreeSet, HashMap, VecDeque},
    sync::Arc,
    time::{Duration, Instant},
};

/// What a registrar grants.
#[derive(Clone, Copy, Debug)]
pub struct RegistrarConfig {
    /// The shortest interval in seconds; less is answered 423.
    pub min_expires: u32,
    /// The longest interval in seconds; more is cut to it.
    pub max_expires: u32,
    /// The interval in seconds where the REGISTER asks for none.
    pub default_expires: u32,
    /// The most bindings of one address-of-record; one more takes the place of the one that expires first.
    pub max_bindings: usize,
    /// The most addresses-of-record; one more is answered 503.
    pub max_addresses: usize,
}

impl Default for RegistrarConfig {
    fn default() -> Self {
        RegistrarConfig {
            min_expires: 60,
            max_expires: 3600,
            default_expires: 600,
            max_bindings: 10,
            max_addresses: 100_000,
        }
    }
}

/// An address-of-record: the user part of To, which is unique in the domain that this registrar serves.
pub type Aor = Arc<str>;

/// One place where an address-of-record can be reached.
#[derive(Clone, Debug)]
pub struct Binding {
    /// The Request-URI of a call to it.
    pub uri: Uri,
    /// The flow that its REGISTER came by, which a call takes, too; its remote address is the binding's source.
    pub flow: Flow,
    /// Its preference in thousandths: higher ones are tried first (section 10.2.1.2).
    pub q: u16,
    /// When it was made; to refresh it does not make it newer.
    pub registered_at: Instant,
    /// When it ends.
    pub expires_at: Instant,
    /// The product that registered, from User-Agent.
    pub user_agent: Option<Bytes>,
    call_id: Bytes,
    cseq: u32,
}

/// A binding as it is stored. Header values are text in which each character stands for one byte.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct BindingSnapshot {
    /// See [`Binding::uri`].
    pub uri: String,
    /// Always one of datagrams: a connection is not stored.
    pub flow: Flow,
    /// In thousandths, 0–1000.
    pub q: u16,
    /// By the wall clock, since the program's own clock ends with it.
    pub registered_at: UnixMillis,
    /// Likewise; what has passed is not taken up again.
    pub expires_at: UnixMillis,
    /// The product that registered, from User-Agent.
    pub user_agent: Option<String>,
    /// Call-ID of the REGISTER that last refreshed it.
    pub call_id: String,
    /// CSeq of that REGISTER: within its Call-ID only higher ones change the binding.
    pub cseq: u32,
}

/// What changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The address-of-record had no binding and has one now.
    Registered {
        /// Whose address it is.
        aor: Aor,
    },
    /// Its last binding was removed or has expired.
    Unregistered {
        /// Whose address it was.
        aor: Aor,
    },
}

/// Why a REGISTER is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Refusal {
    /// The body of the message makes no sense: 400.
    Malformed,
    /// To names nobody: 404.
    NoUser,
    /// 423 with Min-Expires.
    TooBrief,
    /// It was overtaken by a later one: 500 (section 10.3 step 7).
    OutOfOrder,
    /// 503.
    Full,
}

/// One change that a REGISTER asks for.
struct Change {
    address: NameAddr,
    /// Zero removes.
    seconds: u32,
}

/// All bindings.
#[derive(Debug)]
pub struct Registrar {
    config: RegistrarConfig,
    bindings: HashMap<Aor, Vec<Binding>>,
    /// When the first binding of each address-of-record expires.
    deadlines: BTreeSet<(Instant, Aor)>,
    /// Who has a binding that came by a connection.
    connections: HashMap<u64, BTreeSet<Aor>>,
    events: VecDeque<Event>,
}

impl Registrar {
    /// A registrar without bindings.
    pub fn new(config: RegistrarConfig) -> Self {
        Registrar {
            config,
            bindings: HashMap::new(),
            deadlines: BTreeSet::new(),
            connections: HashMap::new(),
            events: VecDeque::new(),
        }
    }

    /// Carries out a REGISTER that came by `flow` and gives its answer: 200 with all bindings, or the refusal. A
    /// refused one changes nothing (section 10.3 step 7).
    pub fn register(&mut self, now: Now, flow: Flow, request: &Request) -> Response {
        let now = now.mono;
        match self.apply(now, flow, request) {
            Ok(aor) => self.accepted(now, request, &aor),
            Err(refusal) => self.refused(request, refusal),
        }
    }

    /// The next change.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// When a binding expires.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.deadlines.first().map(|(at, _)| *at)
    }

    /// Removes what has expired at `now`.
    pub fn handle_timeout(&mut self, now: Now) {
        while let Some((_, aor)) = self.deadlines.first().filter(|(at, _)| *at <= now.mono).cloned() {
            self.update(now.mono, &aor, |_| {});
        }
    }

    /// Removes what came by a connection that has closed: nothing can be sent there any more (RFC 5626 section 5.3).
    pub fn flow_failed(&mut self, now: Now, flow: Flow) {
        for aor in self.connections.remove(&flow.connection).unwrap_or_default() {
            self.update(now.mono, &aor, |bindings| bindings.retain(|binding| binding.flow != flow));
        }
    }

    /// From here on this is granted; what was granted stays until it ends.
    pub fn set_config(&mut self, config: RegistrarConfig) {
        self.config = config;
    }

    /// Removes every binding that is not to be kept.
    pub fn retain(&mut self, now: Now, keep: impl Fn(&str, &Binding) -> bool) {
        let goes = |(aor, bindings): &(&Aor, &Vec<Binding>)| bindings.iter().any(|binding| !keep(aor, binding));
        let changed: Vec<Aor> = self.bindings.iter().filter(goes).map(|(aor, _)| aor.clone()).collect();
        for aor in changed {
            self.update(now.mono, &aor, |bindings| bindings.retain(|binding| keep(&aor, binding)));
        }
    }

    /// The bindings of an address-of-record, the most preferred first and of equal ones the newest, which is where
    /// its user is most likely to be; empty where there is none.
    pub fn lookup(&self, now: Now, aor: &str) -> Vec<Binding> {
        let all = self.bindings.get(aor).map(Vec::as_slice).unwrap_or_default();
        let mut live: Vec<Binding> = all.iter().filter(|binding| binding.expires_at > now.mono).cloned().collect();
        live.sort_by_key(|binding| std::cmp::Reverse((binding.q, binding.registered_at)));
        live
    }

    /// The bindings of an address-of-record, to be stored: those by datagrams alone, since a connection does not
    /// outlive the program, and its telephone registers again when it closes (RFC 5626 section 4.4).
    pub fn snapshot(&self, now: Now, aor: &str) -> Vec<BindingSnapshot> {
        let all = self.bindings.get(aor).map(Vec::as_slice).unwrap_or_default();
        let kept = all.iter().filter(|binding| binding.flow.transport == Transport::Udp);
        kept.map(|binding| BindingSnapshot {
            uri: latin1(&binding.uri.to_bytes()),
            flow: binding.flow,
            q: binding.q,
            registered_at: before(now, now.mono.saturating_duration_since(binding.registered_at)),
            expires_at: after(now, binding.expires_at.saturating_duration_since(now.mono)),
            user_agent: binding.user_agent.as_deref().map(latin1),
            call_id: latin1(&binding.call_id),
            cseq: binding.cseq,
        })
        .collect()
    }

    /// Takes stored bindings up again, as far as they have not expired.
    pub fn restore(&mut self, now: Now, aor: &str, snapshots: &[BindingSnapshot]) {
        let since = |at: UnixMillis, from: UnixMillis| Duration::from_millis(at.0.saturating_sub(from.0).max(0) as u64);
        let longest = Duration::from_secs(self.config.max_expires.into());
        let restored: Vec<Binding> = snapshots
            .iter()
            .take(self.config.max_bindings)
            .filter_map(|snapshot| {
                let age = since(now.wall, snapshot.registered_at);
                Some(Binding {
                    uri: Uri::parse(bytes_of(&snapshot.uri)).ok()?,
                    flow: snapshot.flow,
                    q: snapshot.q,
                    // A clock that began after that makes them all as old as itself.
                    registered_at: now.mono.checked_sub(age).unwrap_or(now.mono),
                    // The wall clock may have been set back meanwhile.
                    expires_at: now.mono + since(snapshot.expires_at, now.wall).min(longest),
                    user_agent: snapshot.user_agent.as_deref().map(bytes_of),
                    call_id: bytes_of(&snapshot.call_id),
                    cseq: snapshot.cseq,
                })
            })
            .collect();
        if self.bindings.len() < self.config.max_addresses {
            self.update(now.mono, &Aor::from(aor), |bindings| *bindings = restored);
        }
    }

    /// How many addresses-of-record have a binding.
    pub fn len(&self) -> usize {
        self.bindings.len()
    }

    /// Whether none has.
    pub fn is_empty(&self) -> bool {
        self.bindings.is_empty()
    }

    /// The address-of-record that a REGISTER is for; None where To has no user.
    pub fn aor(request: &Request) -> Option<Aor> {
        let to = request.headers.to().ok()?;
        to.uri.user().filter(|user| !user.is_empty()).map(|user| Aor::from(&*user))
    }

    /// Section 10.3 steps 5 to 7.
    fn apply(&mut self, now: Instant, flow: Flow, request: &Request) -> Result<Aor, Refusal> {
        let headers = &request.headers;
        // Section 8.2.2.1 and RFC 4475 section 3.3.4: nothing but SIP and SIPS names an address-of-record here.
        if headers.to().is_ok_and(|to| matches!(to.uri, Uri::Other(_))) {
            return Err(Refusal::Malformed);
        }
        let aor = Self::aor(request).ok_or(Refusal::NoUser)?;
        let call_id = headers.call_id().map_err(|_| Refusal::Malformed)?;
        let cseq = headers.cseq().map_err(|_| Refusal::Malformed)?.number;
        let expires = headers.expires().ok().flatten();
        match headers.contacts().map_err(|_| Refusal::Malformed)? {
            // A query.
            None => {}
            Some(Contacts::Star) => {
                // Step 6: `*` removes everything, and means nothing else.
                if expires != Some(0) {
                    return Err(Refusal::Malformed);
                }
                let all = self.bindings.get(&aor).map(Vec::as_slice).unwrap_or_default();
                if all.iter().any(|binding| binding.is_newer(call_id, cseq)) {
                    return Err(Refusal::OutOfOrder);
                }
                self.update(now, &aor, Vec::clear);
            }
            Some(Contacts::List(list)) => {
                let changes = self.changes(list, expires)?;
                self.check_order(&aor, &changes, call_id, cseq)?;
                let new = !self.bindings.contains_key(&aor) && changes.iter().any(|change| change.seconds > 0);
                if new && self.bindings.len() >= self.config.max_addresses {
                    return Err(Refusal::Full);
                }
                let user_agent = headers.get(&HeaderName::UserAgent).map(|value| Bytes::copy_from_slice(value));
                let most = self.config.max_bindings;
                self.update(now, &aor, |bindings| {
                    for change in changes.into_iter().take(most) {
                        let same = |binding: &Binding| binding.uri.equivalent(&change.address.uri);
                        // A telephone that restarts has a new Call-ID (section 10.2): it is the one that signed in last.
                        let refreshed = bindings.iter().find(|binding| same(binding) && binding.call_id == *call_id);
                        let registered_at = refreshed.map_or(now, |binding| binding.registered_at);
                        bindings.retain(|binding| !same(binding));
                        if change.seconds > 0 {
                            bindings.push(Binding {
                                q: change.address.q(),
                                uri: own(&change.address.uri),
                                flow,
                                registered_at,
                                expires_at: now + Duration::from_secs(change.seconds.into()),
                                user_agent: user_agent.clone(),
                                call_id: Bytes::copy_from_slice(call_id),
                                cseq,
                            });
                        }
                    }
                    while bindings.len() > most {
                        let first = (0..bindings.len()).min_by_key(|n| bindings[*n].expires_at).unwrap_or(0);
                        bindings.remove(first);
                    }
                });
            }
        }
        Ok(aor)
    }

    /// Step 7: the interval of each contact, its own before that of the message.
    fn changes(&self, list: Vec<NameAddr>, expires: Option<u32>) -> Result<Vec<Change>, Refusal> {
        let config = &self.config;
        list.into_iter()
            .map(|address| {
                let asked = address.expires().or(expires).unwrap_or(config.default_expires);
                if asked > 0 && asked < config.min_expires {
                    return Err(Refusal::TooBrief);
                }
                Ok(Change { address, seconds: asked.min(config.max_expires) })
            })
            .collect()
    }

    /// Step 7: within one Call-ID a change must be later than what it changes.
    fn check_order(&self, aor: &Aor, changes: &[Change], call_id: &Bytes, cseq: u32) -> Result<(), Refusal> {
        let all = self.bindings.get(aor).map(Vec::as_slice).unwrap_or_default();
        let overtaken = |change: &Change| {
            all.iter().any(|binding| binding.uri.equivalent(&change.address.uri) && binding.is_newer(call_id, cseq))
        };
        if changes.iter().any(overtaken) { Err(Refusal::OutOfOrder) } else { Ok(()) }
    }

    /// Changes the bindings of one address-of-record, drops those that have expired, and tells what came of it. This
    /// is the only place where bindings change.
    fn update(&mut self, now: Instant, aor: &Aor, change: impl FnOnce(&mut Vec<Binding>)) {
        let mut bindings = self.bindings.remove(aor).unwrap_or_default();
        let before = bindings.iter().map(|binding| binding.expires_at).min();
        if let Some(at) = before {
            self.deadlines.remove(&(at, aor.clone()));
        }
        for connection in connections(&bindings) {
            if let Some(aors) = self.connections.get_mut(&connection) {
                aors.remove(aor);
                if aors.is_empty() {
                    self.connections.remove(&connection);
                }
            }
        }
        change(&mut bindings);
        bindings.retain(|binding| binding.expires_at > now);
        for connection in connections(&bindings) {
            self.connections.entry(connection).or_default().insert(aor.clone());
        }
        let after = bindings.iter().map(|binding| binding.expires_at).min();
        match after {
            Some(at) => {
                self.deadlines.insert((at, aor.clone()));
                self.bindings.insert(aor.clone(), bindings);
                if before.is_none() {
                    self.events.push_back(Event::Registered { aor: aor.clone() });
                }
            }
            None if before.is_some() => self.events.push_back(Event::Unregistered { aor: aor.clone() }),
            None => {}
        }
    }

    /// Section 10.3 step 8: 200 lists all bindings, each with what is left of its interval.
    fn accepted(&self, now: Instant, request: &Request, aor: &str) -> Response {
        let mut response = Response::to_request(request, 200, "");
        for binding in self.bindings.get(aor).map(Vec::as_slice).unwrap_or_default() {
            let left = binding.expires_at.saturating_duration_since(now);
            let mut contact = NameAddr::new(binding.uri.clone());
            if binding.q < 1000 {
                contact.params.set("q", &format!("0.{:03}", binding.q));
            }
            contact.params.set("expires", &left.as_secs_f64().ceil().to_string());
            response.headers.push(HeaderName::Contact, contact);
        }
        response
    }

    fn refused(&self, request: &Request, refusal: Refusal) -> Response {
        let answer = |status, reason| Response::to_request(request, status, reason);
        let with = |mut response: Response, name, value: u32| {
            response.headers.push(name, value.to_string());
            response
        };
        match refusal {
            Refusal::Malformed => answer(400, ""),
            Refusal::NoUser => answer(404, ""),
            Refusal::TooBrief => with(answer(423, ""), HeaderName::MinExpires, self.config.min_expires),
            Refusal::OutOfOrder => answer(500, "CSeq out of order"),
            Refusal::Full => with(answer(503, ""), HeaderName::RetryAfter, 60),
        }
    }
}

impl Binding {
    /// Whether a REGISTER of this Call-ID and CSeq was overtaken by the one that made the binding.
    fn is_newer(&self, call_id: &Bytes, cseq: u32) -> bool {
        self.call_id == *call_id && self.cseq >= cseq
    }
}

fn before(now: Now, time: Duration) -> UnixMillis {
    UnixMillis(now.wall.0.saturating_sub(time.as_millis() as i64))
}

fn after(now: Now, time: Duration) -> UnixMillis {
    UnixMillis(now.wall.0.saturating_add(time.as_millis() as i64))
}

/// The connections that bindings came by; a datagram came by none.
fn connections(bindings: &[Binding]) -> impl Iterator<Item = u64> + '_ {
    bindings.iter().map(|binding| binding.flow.connection).filter(|connection| *connection != 0)
}

/// A copy, so that the binding does not keep its packet.
fn own(uri: &Uri) -> Uri {
    let bytes = Bytes::copy_from_slice(&uri.to_bytes());
    Uri::parse(bytes.clone()).unwrap_or(Uri::Other(bytes))
}

#[cfg(test)]
#[allow(clippy::disallowed_methods)] // A test may ask the clock for its first moment.
mod tests {
    use super::*;
    use crate::sip::message::Message;

    fn now() -> Now {
        Now { mono: Instant::now(), wall: UnixMillis(0) }
    }

    fn secs(n: u64) -> Duration {
        Duration::from_secs(n)
    }

    fn flow(connection: u64) -> Flow {
        Flow {
            transport: Transport::Tcp,
            local: ([192, 0, 2, 9], 5070).into(),
            remote: ([192, 0, 2, 1], 40_000).into(),
            connection,
        }
    }

    fn request(call: &str, cseq: u32, fields: &str) -> Request {
        let text = format!(
            "REGISTER sip:example.net SIP/2.0\r\nVia: SIP/2.0/UDP h;branch=z9hG4bKa\r\n\
             From: <sip:8001@example.net>;tag=1\r\nTo: <sip:8001@example.net>\r\nCall-ID: {call}\r\n\
             CSeq: {cseq} REGISTER\r\n{fields}\r\n"
        );
        match Message::parse(text.into()) {
            Ok(Message::Request(request)) => request,
            other => panic!("{other:?}"),
        }
    }

    fn contacts(response: &Response) -> Vec<String> {
        response
            .headers
            .get_all(&HeaderName::Contact)
            .map(|value| String::from_utf8_lossy(value).into_owned())
            .collect()
    }

    fn events(registrar: &mut Registrar) -> Vec<Event> {
        std::iter::from_fn(|| registrar.poll_event()).collect()
    }

    fn new() -> Registrar {
        Registrar::new(RegistrarConfig::default())
    }

    fn registered() -> Event {
        Event::Registered { aor: "8001".into() }
    }

    fn unregistered() -> Event {
        Event::Unregistered { aor: "8001".into() }
    }

    #[test]
    fn a_binding_is_made_renewed_and_removed() {
        let (mut registrar, now) = (new(), now());
        let ok = registrar.register(now, flow(1), &request("c", 1, "Contact: <sip:8001@10.0.0.1>\r\nExpires: 300\r\n"));
        assert_eq!((ok.status, contacts(&ok)), (200, vec!["<sip:8001@10.0.0.1>;expires=300".into()]));
        assert_eq!(events(&mut registrar), [registered()]);
        let later = now.plus(secs(100));
        let found = registrar.lookup(later, "8001");
        assert_eq!((found.len(), found[0].flow), (1, flow(1)));
        let ok = registrar.register(later, flow(2), &request("c", 2, ""));
        assert_eq!(contacts(&ok), ["<sip:8001@10.0.0.1>;expires=200"], "a query tells what is left");
        registrar.register(later, flow(2), &request("c", 3, "Contact: <sip:8001@10.0.0.1>;expires=90\r\n"));
        assert_eq!(registrar.lookup(later, "8001")[0].flow, flow(2));
        let ok = registrar.register(later, flow(2), &request("c", 4, "Contact: <sip:8001@10.0.0.1>;expires=0\r\n"));
        assert_eq!((ok.status, contacts(&ok).len()), (200, 0));
        assert_eq!(events(&mut registrar), [unregistered()]);
        assert_eq!((registrar.len(), registrar.poll_timeout()), (0, None));
    }

    #[test]
    fn bindings_expire() {
        let (mut registrar, now) = (new(), now());
        let two = "Contact: <sip:a@h>;expires=60, <sip:b@h>;expires=120\r\n";
        registrar.register(now, flow(1), &request("c", 1, two));
        events(&mut registrar);
        assert_eq!(registrar.poll_timeout(), Some(now.mono + secs(60)));
        registrar.handle_timeout(now.plus(secs(60)));
        assert_eq!((registrar.lookup(now.plus(secs(60)), "8001").len(), events(&mut registrar).len()), (1, 0));
        assert_eq!(registrar.poll_timeout(), Some(now.mono + secs(120)));
        assert_eq!(registrar.lookup(now.plus(secs(120)), "8001").len(), 0, "not found even before the timer");
        registrar.handle_timeout(now.plus(secs(120)));
        assert_eq!(events(&mut registrar), [unregistered()]);
        assert_eq!(registrar.poll_timeout(), None);
    }

    #[test]
    fn the_interval_has_bounds() {
        let (mut registrar, now) = (new(), now());
        let brief = registrar.register(now, flow(1), &request("c", 1, "Contact: <sip:a@h>;expires=5\r\n"));
        assert_eq!((brief.status, brief.headers.min_expires()), (423, Ok(Some(60))));
        assert!(registrar.is_empty());
        let long = registrar.register(now, flow(1), &request("c", 2, "Contact: <sip:a@h>\r\nExpires: 99999\r\n"));
        assert_eq!(contacts(&long), ["<sip:a@h>;expires=3600"]);
        let none = registrar.register(now, flow(1), &request("c", 3, "Contact: <sip:a@h>\r\n"));
        assert_eq!(contacts(&none), ["<sip:a@h>;expires=600"]);
    }

    #[test]
    fn a_star_removes_all_and_only_with_expires_zero() {
        let (mut registrar, now) = (new(), now());
        registrar.register(now, flow(1), &request("c", 1, "Contact: <sip:a@h>, <sip:b@h>\r\n"));
        events(&mut registrar);
        assert_eq!(registrar.register(now, flow(1), &request("c", 2, "Contact: *\r\n")).status, 400);
        assert_eq!(registrar.register(now, flow(1), &request("c", 1, "Contact: *\r\nExpires: 0\r\n")).status, 500);
        assert_eq!(registrar.register(now, flow(1), &request("c", 3, "Contact: *\r\nExpires: 0\r\n")).status, 200);
        assert_eq!(events(&mut registrar), [unregistered()]);
    }

    #[test]
    fn what_was_overtaken_changes_nothing() {
        let (mut registrar, now) = (new(), now());
        registrar.register(now, flow(1), &request("c", 5, "Contact: <sip:a@h>\r\n"));
        let late = request("c", 4, "Contact: <sip:a@h>;expires=0, <sip:b@h>\r\n");
        assert_eq!(registrar.register(now, flow(1), &late).status, 500);
        assert_eq!(registrar.lookup(now, "8001").len(), 1);
        let restarted = request("other", 1, "Contact: <sip:a@h>;expires=0\r\n");
        assert_eq!(registrar.register(now, flow(1), &restarted).status, 200);
        assert!(registrar.is_empty());
    }

    #[test]
    fn the_preferred_come_first_and_the_oldest_give_way() {
        let (mut registrar, now) = (new(), now());
        registrar.register(now, flow(1), &request("c", 1, "Contact: <sip:a@h>;q=0.5, <sip:b@h>, <sip:c@h>;q=0.7\r\n"));
        let order: Vec<_> =
            registrar.lookup(now, "8001").iter().map(|b| b.uri.user().unwrap_or_default().into_owned()).collect();
        assert_eq!(order, ["b", "c", "a"]);
        for n in 2..30 {
            let at = now.plus(secs(n));
            registrar.register(at, flow(1), &request("c", n as u32, &format!("Contact: <sip:n{n}@h>\r\n")));
        }
        let left = registrar.lookup(now.plus(secs(30)), "8001");
        assert_eq!(left.len(), 10);
        assert!(left.iter().all(|binding| binding.uri.user().is_some_and(|user| user.starts_with('n'))));
    }

    #[test]
    fn of_equal_ones_the_newest_comes_first_whoever_refreshes() {
        let (mut registrar, now) = (new(), now());
        let put = |registrar: &mut Registrar, after, call: &str, cseq, user: &str| {
            let fields = format!("Contact: <sip:{user}@h>\r\nExpires: 600\r\n");
            registrar.register(now.plus(secs(after)), flow(1), &request(call, cseq, &fields)).status
        };
        let order = |registrar: &Registrar| -> Vec<String> {
            let found = registrar.lookup(now.plus(secs(100)), "8001");
            found.iter().map(|binding| binding.uri.user().unwrap_or_default().into_owned()).collect()
        };
        assert_eq!(put(&mut registrar, 0, "one", 1, "desk"), 200);
        assert_eq!(put(&mut registrar, 1, "two", 1, "soft"), 200);
        assert_eq!(order(&registrar), ["soft", "desk"]);
        assert_eq!(put(&mut registrar, 50, "one", 2, "desk"), 200);
        assert_eq!(order(&registrar), ["soft", "desk"], "a refreshment is no news");
        assert_eq!(put(&mut registrar, 60, "again", 1, "desk"), 200);
        assert_eq!(order(&registrar), ["desk", "soft"], "it was started again");
    }

    #[test]
    fn datagram_bindings_are_there_after_a_restart() {
        let (mut registrar, now) = (new(), now());
        let datagram = Flow { transport: Transport::Udp, ..flow(0) };
        let desk = request("one", 3, "Contact: <sip:desk@h>;q=0.7\r\nExpires: 600\r\nUser-Agent: desk\r\n");
        assert_eq!(registrar.register(now, datagram, &desk).status, 200);
        let soft = request("two", 1, "Contact: <sip:soft@h>\r\nExpires: 90\r\n");
        assert_eq!(registrar.register(now.plus(secs(5)), datagram, &soft).status, 200);
        let tcp = request("three", 1, "Contact: <sip:tcp@h>\r\n");
        assert_eq!(registrar.register(now, flow(7), &tcp).status, 200);
        let json = serde_json::to_string(&registrar.snapshot(now.plus(secs(10)), "8001")).expect("serializes");
        let stored: Vec<BindingSnapshot> = serde_json::from_str(&json).expect("deserializes");
        let before = registrar.lookup(now.plus(secs(10)), "8001");

        let mut restarted = new();
        let later = now.plus(secs(30));
        restarted.restore(later, "8001", &stored);
        assert_eq!(events(&mut restarted), [registered()]);
        let found = restarted.lookup(later, "8001");
        let users = |list: &[Binding]| -> Vec<String> { list.iter().map(|b| b.uri.to_string()).collect() };
        assert_eq!(users(&before), ["sip:soft@h", "sip:tcp@h", "sip:desk@h"]);
        assert_eq!(users(&found), ["sip:soft@h", "sip:desk@h"], "a connection does not outlive the program");
        assert_eq!(found[1].expires_at, now.mono + secs(600));
        assert_eq!(restarted.lookup(now.plus(secs(96)), "8001").len(), 1, "each ends at its time");
        let overtaken = request("one", 2, "Contact: <sip:desk@h>;expires=0\r\n");
        assert_eq!(restarted.register(later, datagram, &overtaken).status, 500, "its CSeq is known");
        let mut late = new();
        late.restore(now.plus(secs(700)), "8001", &stored);
        assert!(late.is_empty() && events(&mut late).is_empty());
    }

    #[test]
    fn a_closed_connection_takes_its_bindings_along() {
        let (mut registrar, now) = (new(), now());
        registrar.register(now, flow(1), &request("c", 1, "Contact: <sip:a@h>\r\n"));
        registrar.register(now, flow(2), &request("d", 1, "Contact: <sip:b@h>\r\n"));
        registrar.flow_failed(now, flow(1));
        assert_eq!(registrar.lookup(now, "8001").len(), 1);
        registrar.flow_failed(now, flow(2));
        assert_eq!(events(&mut registrar), [registered(), unregistered()]);
    }

    #[test]
    fn there_is_room_for_so_many() {
        let mut registrar = Registrar::new(RegistrarConfig { max_addresses: 0, ..RegistrarConfig::default() });
        let full = registrar.register(now(), flow(1), &request("c", 1, "Contact: <sip:a@h>\r\n"));
        assert_eq!((full.status, full.headers.retry_after()), (503, Ok(Some(60))));
    }
}
