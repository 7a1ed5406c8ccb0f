//! Simulated departments beyond the centre's own: one answers, one is busy, one silent, one plays a menu first.

use super::{VOICE, tone};
use crate::sandbox::ua::{Audio, Call, Conditions, Incoming, Network, Policy, Sound, Transport, Ua, UaError};
use std::{
    collections::BTreeMap,
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::{
    task::JoinSet,
    time::{sleep, timeout},
};

/// How a department takes its calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manner {
    /// Answers after two seconds; a person presses 1 to be joined.
    Answers,
    Busy,
    /// Not a single response.
    Silent,
    /// Answers with a menu; a person is there after the key 1.
    Menu,
}

/// The hotlines of an exercise with its own centre, each in its manner.
pub const HOTLINES: [(&str, Manner); 4] =
    [("12330", Manner::Answers), ("12315", Manner::Busy), ("12333", Manner::Silent), ("12348", Manner::Menu)];

/// How long a menu waits for its key.
const MENU: Duration = Duration::from_secs(12);

/// The departments' telephones; they are gone with the last copy.
#[derive(Clone, Debug)]
pub struct Departments {
    ua: Ua,
    counts: Arc<Mutex<BTreeMap<String, u64>>>,
    _clerks: Arc<JoinSet<()>>,
}

impl Departments {
    /// Opens the telephones of these hotlines at any port of loopback.
    pub async fn open(hotlines: &[String]) -> Result<Departments, UaError> {
        let sound = Sound { one_in: 10, listen_for: Some(VOICE) };
        let conditions = Conditions { sound, network: Network::default(), seed: 0 };
        let ua = Ua::bind_in(Transport::Udp, SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), conditions).await?;
        ua.on_incoming(Policy::Refuse { after: Duration::ZERO, status: 404 }, Audio::Silence).await?;
        for (number, manner) in HOTLINES.iter().filter(|(number, _)| hotlines.iter().any(|own| own == number)) {
            let policy = match manner {
                Manner::Answers => Policy::Answer { after: Duration::from_secs(2) },
                Manner::Menu => Policy::Answer { after: Duration::from_millis(400) },
                Manner::Busy => Policy::busy(),
                Manner::Silent => Policy::Silent,
            };
            ua.on_dialled(number, Some(Incoming { policy, audio: tone(910.0) })).await?;
        }
        let counts = Arc::new(Mutex::new(BTreeMap::new()));
        let mut clerks = JoinSet::new();
        clerks.spawn(attend(ua.clone(), counts.clone()));
        Ok(Departments { ua, counts, _clerks: Arc::new(clerks) })
    }

    /// Where they are reached.
    pub fn address(&self) -> SocketAddr {
        self.ua.local()
    }

    /// Calls so far, by number.
    pub fn counts(&self) -> BTreeMap<String, u64> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

async fn attend(ua: Ua, counts: Arc<Mutex<BTreeMap<String, u64>>>) {
    let mut calls = JoinSet::new();
    while let Ok(call) = ua.next_call().await {
        while calls.try_join_next().is_some() {}
        let dialled = call.invitation().map(|invitation| invitation.dialled.clone()).unwrap_or_default();
        let manner = HOTLINES.iter().find(|(number, _)| *number == dialled).map(|(_, manner)| *manner);
        *counts.lock().unwrap_or_else(PoisonError::into_inner).entry(dialled).or_default() += 1;
        match manner {
            Some(Manner::Answers) => drop(calls.spawn(person(call, false))),
            Some(Manner::Menu) => drop(calls.spawn(person(call, true))),
            Some(Manner::Busy | Manner::Silent) | None => {}
        }
    }
}

/// A person takes the call, behind a menu or at once, and says so with the key 1.
async fn person(call: Call, menu: bool) {
    if call.answered().await.is_err() {
        return;
    }
    if menu {
        let key = async {
            while !call.sign().digits.contains('1') {
                sleep(Duration::from_millis(100)).await;
            }
        };
        tokio::select! {
            _ = call.wait_ended() => return,
            pressed = timeout(MENU, key) => if pressed.is_err() {
                call.hang_up().await;
                return;
            },
        }
    }
    sleep(Duration::from_secs(1)).await;
    // A caller that takes no keys asks for none.
    let _ = call.send_digits("1").await;
}
