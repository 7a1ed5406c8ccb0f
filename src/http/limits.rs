//! How much anybody may ask of the API: so many requests a second for each session and address, and so many failed
//! sign-ins for each account at an address.
//!
//! All memory is bounded, and time is an argument. A token that names no session counts for its address, so that
//! invented tokens win nothing. Addresses are those of the connection: what a proxy says in a header is not believed.

use super::problem::Problem;
use crate::net::clock;
use axum::{
    extract::{ConnectInfo, Request, State},
    middleware::Next,
    response::{IntoResponse, Response},
};
use std::{
    collections::HashMap,
    hash::{BuildHasher, Hash, RandomState},
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::sync::{Semaphore, SemaphorePermit};

/// Sessions, addresses and accounts that are remembered, each.
const MOST: usize = 10_000;
/// How often memory is swept at most.
const SWEEP: Duration = Duration::from_secs(1);
/// Failures that lock an account for an address.
const FAILURES: u32 = 10;
/// For how long; failures are forgotten after the same time.
const LOCK: Duration = Duration::from_secs(600);
/// Passwords that are hashed at once: each takes 19 MiB and a core for some 20 ms.
const HASHING: usize = 2;
/// Sign-ins that may wait for that.
const WAITING: usize = 64;

/// Where a request comes from: an address, or the network of 64 bits that one holder of IPv6 has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Origin(IpAddr);

impl Origin {
    /// The origin of an address.
    pub fn new(address: IpAddr) -> Self {
        Origin(match address.to_canonical() {
            IpAddr::V6(v6) => IpAddr::V6((u128::from(v6) >> 64 << 64).into()),
            v4 => v4,
        })
    }

    fn of(request: &Request) -> Self {
        let address = request.extensions().get::<ConnectInfo<SocketAddr>>();
        Origin::new(address.map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |ConnectInfo(address)| address.ip()))
    }
}

/// Requests that may still be made: as many as the rate at once, filled up again within a second.
#[derive(Clone, Copy, Debug)]
struct Bucket {
    left: f64,
    at: Instant,
}

impl Bucket {
    fn full(rate: u32, now: Instant) -> Self {
        Bucket { left: f64::from(rate), at: now }
    }

    /// Takes one, or says how long until there is one.
    fn take(&mut self, rate: u32, now: Instant) -> Result<(), Duration> {
        let rate = f64::from(rate);
        self.left = (self.left + now.saturating_duration_since(self.at).as_secs_f64() * rate).min(rate);
        self.at = now;
        if self.left >= 1.0 {
            self.left -= 1.0;
            return Ok(());
        }
        Err(Duration::from_secs_f64((1.0 - self.left) / rate))
    }
}

/// A bucket for each key; those that find no room share one.
#[derive(Debug)]
struct Buckets<K> {
    each: HashMap<K, Bucket>,
    shared: Bucket,
    swept: Instant,
}

impl<K: Eq + Hash> Buckets<K> {
    fn new(rate: u32, now: Instant) -> Self {
        Buckets { each: HashMap::new(), shared: Bucket::full(rate, now), swept: now }
    }

    fn of(&mut self, key: K, rate: u32, now: Instant) -> &mut Bucket {
        if !self.each.contains_key(&key) && self.each.len() >= MOST && now >= self.swept + SWEEP {
            self.swept = now;
            // Full again by now: as good as new.
            self.each.retain(|_, bucket| now < bucket.at + SWEEP);
        }
        if self.each.len() >= MOST && !self.each.contains_key(&key) {
            return &mut self.shared;
        }
        self.each.entry(key).or_insert_with(|| Bucket::full(rate, now))
    }
}

/// Requests of sessions and addresses.
#[derive(Debug)]
struct Rates {
    /// Shared with whoever changes it.
    rate: Arc<AtomicU32>,
    sessions: Buckets<u64>,
    addresses: Buckets<Origin>,
}

impl Rates {
    fn new(rate: Arc<AtomicU32>, now: Instant) -> Self {
        let first = rate.load(Ordering::Relaxed).max(1);
        Rates { rate, sessions: Buckets::new(first, now), addresses: Buckets::new(first, now) }
    }

    fn rate(&self) -> u32 {
        self.rate.load(Ordering::Relaxed).max(1)
    }

    fn take(&mut self, session: Option<u64>, origin: Origin, now: Instant) -> Result<(), Duration> {
        let rate = self.rate();
        match session.and_then(|session| self.sessions.each.get_mut(&session)) {
            Some(bucket) => bucket.take(rate, now),
            None => self.addresses.of(origin, rate, now).take(rate, now),
        }
    }
}

/// Failed sign-ins of one account at one address.
#[derive(Clone, Copy, Debug)]
struct Tries {
    failed: u32,
    running: u32,
    last: Instant,
}

impl Tries {
    fn is_forgotten(&self, now: Instant) -> bool {
        self.running == 0 && now >= self.last + LOCK
    }
}

/// How a sign-in ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Failed,
    Succeeded,
    /// The password was never looked at.
    Unknown,
}

/// Failed sign-ins, by a keyed hash of account and address.
#[derive(Debug, Default)]
struct Failures(HashMap<u64, Tries>);

impl Failures {
    /// A try begins, or how long to wait: locked accounts and those that do not exist are told the same.
    fn begin(&mut self, pair: u64, now: Instant) -> Result<(), Duration> {
        if self.0.get(&pair).is_some_and(|tries| tries.is_forgotten(now)) {
            self.0.remove(&pair);
        }
        if !self.0.contains_key(&pair) && self.0.len() >= MOST {
            self.make_room(now);
        }
        let tries = self.0.entry(pair).or_insert(Tries { failed: 0, running: 0, last: now });
        if tries.failed >= FAILURES {
            return Err((tries.last + LOCK).saturating_duration_since(now));
        }
        // Those on their way count too, or many at once would get past.
        if tries.failed + tries.running >= FAILURES {
            return Err(SWEEP);
        }
        tries.running += 1;
        Ok(())
    }

    fn end(&mut self, pair: u64, end: End, now: Instant) {
        let Some(tries) = self.0.get_mut(&pair) else { return };
        tries.running = tries.running.saturating_sub(1);
        match end {
            End::Failed => (tries.failed, tries.last) = (tries.failed + 1, now),
            End::Succeeded if tries.failed < FAILURES => tries.failed = 0,
            End::Succeeded | End::Unknown => {}
        }
        if tries.failed == 0 && tries.running == 0 {
            self.0.remove(&pair);
        }
    }

    /// Forgets what is over; else the longest ago, locked ones last, so that a lock is not washed away by inventions.
    fn make_room(&mut self, now: Instant) {
        self.0.retain(|_, tries| !tries.is_forgotten(now));
        if self.0.len() >= MOST {
            let oldest = self.0.iter().min_by_key(|(_, tries)| (tries.failed >= FAILURES, tries.last));
            if let Some(pair) = oldest.map(|(pair, _)| *pair) {
                self.0.remove(&pair);
            }
        }
    }
}

/// The limits of one listener.
pub struct Limits {
    keys: RandomState,
    rates: Mutex<Rates>,
    failures: Mutex<Failures>,
    hashing: Semaphore,
    waiting: Semaphore,
}

/// A sign-in on its way. Left without an answer it counts as failed.
pub struct Attempt<'a> {
    limits: &'a Limits,
    pair: u64,
    end: End,
}

impl Attempt<'_> {
    /// The password was right.
    pub fn succeed(mut self) {
        self.end = End::Succeeded;
    }

    /// What could be found out of the password; where nothing could, the attempt does not count.
    ///
    /// # Errors
    /// What hindered it.
    pub fn found<T, E>(mut self, result: Result<T, E>) -> Result<(Self, T), E> {
        match result {
            Ok(found) => Ok((self, found)),
            Err(error) => {
                self.end = End::Unknown;
                Err(error)
            }
        }
    }
}

impl Drop for Attempt<'_> {
    fn drop(&mut self) {
        self.limits.failures().end(self.pair, self.end, clock::now().mono);
    }
}

impl Limits {
    /// So many requests a second for each session and address.
    pub fn new(rate: Arc<AtomicU32>) -> Arc<Self> {
        Arc::new(Limits {
            keys: RandomState::new(),
            rates: Mutex::new(Rates::new(rate, clock::now().mono)),
            failures: Mutex::default(),
            hashing: Semaphore::new(HASHING),
            waiting: Semaphore::new(WAITING),
        })
    }

    fn rates(&self) -> MutexGuard<'_, Rates> {
        self.rates.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn failures(&self) -> MutexGuard<'_, Failures> {
        self.failures.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A session that is good has requests of its own.
    pub fn admit(&self, token: &str) {
        let (session, now) = (self.keys.hash_one(token), clock::now().mono);
        let mut rates = self.rates();
        let rate = rates.rate();
        rates.sessions.of(session, rate, now);
    }

    /// A sign-in begins.
    ///
    /// # Errors
    /// 429 when the account is locked for this address.
    pub fn sign_in(&self, account: &str, origin: Origin) -> Result<Attempt<'_>, Problem> {
        let pair = self.keys.hash_one((account, origin));
        match self.failures().begin(pair, clock::now().mono) {
            Ok(()) => Ok(Attempt { limits: self, pair, end: End::Failed }),
            Err(wait) => {
                metrics::counter!("hotline_sign_in_locked_total").increment(1);
                let detail = "登录失败次数过多,该账号已在本地址暂时锁定,请稍后再试";
                Err(Problem::too_many("sign-in-locked", "登录暂时锁定", detail, wait))
            }
        }
    }

    /// A place to hash a password.
    ///
    /// # Errors
    /// 503 when too many wait for one.
    pub async fn hashing(&self) -> Result<SemaphorePermit<'_>, Problem> {
        let busy = |_| Problem::unavailable("登录请求过多,请稍后再试");
        let _waiting = self.waiting.try_acquire().map_err(busy)?;
        // Never closed.
        self.hashing.acquire().await.map_err(|_| Problem::unavailable("程序正在退出"))
    }
}

/// The layer: refuses what is too much, and lets the rest find the limits.
pub async fn limit(State(limits): State<Arc<Limits>>, mut request: Request, next: Next) -> Response {
    let session = super::auth::token(request.headers()).map(|(token, _)| limits.keys.hash_one(token));
    let origin = Origin::of(&request);
    let taken = limits.rates().take(session, origin, clock::now().mono);
    if let Err(wait) = taken {
        metrics::counter!("hotline_requests_limited_total").increment(1);
        let detail = "请求过于频繁,请按 Retry-After 所示的秒数等待后再试";
        return Problem::too_many("too-many-requests", "请求过多", detail, wait).into_response();
    }
    request.extensions_mut().insert(origin);
    request.extensions_mut().insert(limits);
    next.run(request).await
}

#[cfg(test)]
#[allow(clippy::disallowed_methods)] // a test needs a first moment to count from
mod tests {
    use super::*;

    const MILLI: Duration = Duration::from_millis(1);

    fn address(n: u32) -> Origin {
        Origin::new(IpAddr::V4(n.into()))
    }

    #[test]
    fn a_bucket_fills_at_its_rate() {
        let mut now = Instant::now();
        let mut bucket = Bucket::full(10, now);
        for _ in 0..10 {
            assert_eq!(bucket.take(10, now), Ok(()));
        }
        let wait = bucket.take(10, now).unwrap_err();
        assert!(wait > 99 * MILLI && wait <= 100 * MILLI, "{wait:?}");
        now += 101 * MILLI;
        assert_eq!(bucket.take(10, now), Ok(()));
        assert!(bucket.take(10, now).is_err());
        now += Duration::from_secs(3600);
        let taken = (0..100).filter(|_| bucket.take(10, now).is_ok()).count();
        assert_eq!(taken, 10, "never more than a second's worth");
    }

    #[test]
    fn sessions_have_their_own_and_invented_tokens_have_none() {
        let now = Instant::now();
        let mut rates = Rates::new(Arc::new(5.into()), now);
        rates.sessions.of(1, 5, now);
        let spent = |rates: &mut Rates, sessions: std::ops::Range<u64>| {
            sessions.filter(|session| rates.take(Some(*session), address(1), now).is_ok()).count()
        };
        assert_eq!(spent(&mut rates, 1000..1100), 5, "a hundred invented tokens share their address's");
        assert!(rates.take(None, address(1), now).is_err());
        assert!(rates.take(Some(1), address(1), now).is_ok(), "a session goes on beside a flood from its address");
        assert!(rates.take(None, address(2), now).is_ok());
    }

    #[test]
    fn memory_is_bounded_and_late_comers_share() {
        let mut now = Instant::now();
        let mut rates = Rates::new(Arc::new(2.into()), now);
        for n in 0..2 * MOST as u32 {
            let _ = rates.take(None, address(n), now);
        }
        assert_eq!(rates.addresses.each.len(), MOST);
        assert!(rates.take(None, address(u32::MAX), now).is_err(), "the shared bucket is spent");
        now += Duration::from_secs(2);
        assert!(rates.take(None, address(u32::MAX), now).is_ok());
        assert_eq!(rates.addresses.each.len(), 1, "those that had filled up again were forgotten");
    }

    #[test]
    fn ten_failures_lock_a_pair_and_no_other() {
        let mut now = Instant::now();
        let mut failures = Failures::default();
        for _ in 0..FAILURES {
            failures.begin(1, now).unwrap();
            failures.end(1, End::Failed, now);
        }
        assert_eq!(failures.begin(1, now), Err(LOCK));
        assert_eq!(failures.begin(2, now), Ok(()));
        now += LOCK - MILLI;
        assert_eq!(failures.begin(1, now), Err(MILLI), "trying while locked does not lengthen it");
        now += MILLI;
        assert_eq!(failures.begin(1, now), Ok(()));
    }

    #[test]
    fn a_success_forgets_failures_and_many_at_once_do_not_get_past() {
        let now = Instant::now();
        let mut failures = Failures::default();
        for _ in 0..FAILURES - 1 {
            failures.begin(1, now).unwrap();
            failures.end(1, End::Failed, now);
        }
        failures.begin(1, now).unwrap();
        assert!(failures.begin(1, now).is_err(), "the tenth is on its way");
        failures.end(1, End::Succeeded, now);
        assert!(failures.0.is_empty());

        let begun = (0..100).filter(|_| failures.begin(2, now).is_ok()).count();
        assert_eq!(begun, FAILURES as usize);
        for n in 0..FAILURES {
            failures.end(2, if n + 1 == FAILURES { End::Succeeded } else { End::Failed }, now);
        }
        assert_eq!(failures.begin(2, now), Ok(()), "nine failed, and one got in");
    }

    #[test]
    fn inventions_do_not_wash_a_lock_away() {
        let mut now = Instant::now();
        let mut failures = Failures::default();
        for _ in 0..FAILURES {
            failures.begin(0, now).unwrap();
            failures.end(0, End::Failed, now);
        }
        for pair in 1..=2 * MOST as u64 {
            now += Duration::from_micros(1);
            failures.begin(pair, now).unwrap();
            failures.end(pair, End::Failed, now);
        }
        assert_eq!(failures.0.len(), MOST);
        assert!(failures.begin(0, now).is_err());
    }

    #[test]
    fn one_holder_of_ipv6_is_one_origin() {
        let origin = |text: &str| Origin::new(text.parse().unwrap());
        assert_eq!(origin("2001:db8:1:2::1"), origin("2001:db8:1:2:ffff::9"));
        assert_ne!(origin("2001:db8:1:2::1"), origin("2001:db8:1:3::1"));
        assert_eq!(origin("::ffff:192.0.2.1"), origin("192.0.2.1"));
    }

    #[test]
    fn an_attempt_that_was_given_up_counts() {
        let limits = Limits::new(Arc::new(10.into()));
        let here = address(1);
        for _ in 0..FAILURES {
            drop(limits.sign_in("8001", here).expect("not yet"));
        }
        let problem = limits.sign_in("8001", here).map(drop).expect_err("locked");
        assert_eq!((problem.status, problem.kind.as_str()), (429, "urn:hotline:problem:sign-in-locked"));
        limits.sign_in("8001", address(2)).expect("another address").succeed();
        for _ in 0..2 * FAILURES {
            let attempt = limits.sign_in("8003", here).expect("a database that is away locks nobody out");
            assert!(attempt.found(Err::<(), _>("away")).is_err());
        }
        limits.sign_in("8002", here).expect("another account").succeed();
    }
}
