//! Simulated departments: one exchange that answers for the sample's hotlines by the number dialled.
//!
//! A department greets with its clip, presses 1 as the three-way announcement asks, and goes on with its tone.

use super::{
    sample::{self, SampleError},
    ua::{Audio, Call, Incoming, Phase, Policy, Ua, UaError, audio},
};
use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::{sync::broadcast, task::JoinSet};

/// Where the sandbox's departments are reached, as the trunk of that name is configured.
pub const ADDRESS: &str = "127.0.0.1:5080";

/// How a department takes a call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Opening {
    /// A person answers after a short ring.
    #[default]
    Answered,
    /// 486.
    Busy,
    /// The line is dead: not a single response.
    Silent,
    /// It rings and nobody comes.
    NoAnswer,
    /// Out of hours: an announcement before the answer (183), then 480.
    Closed,
    /// A person answers and no sound comes.
    Mute,
}

/// Why the departments could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The table of hotlines cannot be read.
    #[error(transparent)]
    Sample(#[from] SampleError),
    /// Its telephone could not be opened.
    #[error(transparent)]
    Ua(#[from] UaError),
}

/// Finds a clip by a path such as `prompts/zh/department_12330.wav`.
pub type Clips = Arc<dyn Fn(&str) -> Option<Vec<u8>> + Send + Sync>;

/// The departments; copies of it mean the same ones, and they close with the last.
#[derive(Clone)]
pub struct Departments {
    ua: Ua,
    clips: Clips,
    calls: broadcast::Sender<Call>,
    /// Which numbers press 1 when they answer.
    press: Arc<Mutex<HashMap<String, String>>>,
    _clerks: Arc<JoinSet<()>>,
}

impl Departments {
    /// Opens every sample hotline that is not 12345 itself; all answer. Other numbers are refused with 404.
    pub async fn open(local: SocketAddr, clips: Clips) -> Result<Departments, OpenError> {
        let ua = Ua::bind(local).await?;
        ua.on_incoming(Policy::Refuse { after: Duration::ZERO, status: 404 }, Audio::Silence).await?;
        let (calls, _) = broadcast::channel(64);
        let press = Arc::new(Mutex::new(HashMap::new()));
        let mut clerks = JoinSet::new();
        clerks.spawn(clerk(ua.clone(), calls.clone(), press.clone()));
        let departments = Departments { ua, clips, calls, press, _clerks: Arc::new(clerks) };
        for hotline in sample::hotlines()? {
            for number in hotline.numbers.iter().filter(|n| *n != "12345") {
                departments.set(number, Opening::Answered, None).await?;
            }
        }
        Ok(departments)
    }

    /// Where they are reached.
    pub fn address(&self) -> SocketAddr {
        self.ua.local()
    }

    /// Says how a department takes its next calls; `tone` follows its greeting, in Hz.
    pub async fn set(&self, number: &str, opening: Opening, tone: Option<f64>) -> Result<(), UaError> {
        let greeting = self.clip(&format!("prompts/zh/department_{number}.wav"));
        let spoken = match (greeting, tone) {
            (Some(clip), Some(hertz)) => Audio::ClipThenTone { clip, hertz, level: -16.0 },
            (Some(clip), None) => Audio::Clip(clip),
            (None, Some(hertz)) => Audio::tone(hertz),
            (None, None) => Audio::tone(425.0),
        };
        let after = Duration::from_millis(400);
        let (policy, audio) = match opening {
            Opening::Answered => (Policy::Answer { after }, spoken),
            Opening::Mute => (Policy::Answer { after }, Audio::Mute),
            Opening::Busy => (Policy::busy(), Audio::Silence),
            Opening::Silent => (Policy::Silent, Audio::Silence),
            Opening::NoAnswer => (Policy::Ring, Audio::Silence),
            Opening::Closed => {
                let clip = self.clip("prompts/zh/out_of_hours.wav").unwrap_or_default();
                let length = Duration::from_millis(clip.len() as u64 / 8 + 500);
                (Policy::EarlyMedia { refuse_after: length, status: 480 }, Audio::Clip(clip))
            }
        };
        let keys = if opening == Opening::Answered { "1" } else { "" };
        self.press.lock().unwrap_or_else(PoisonError::into_inner).insert(number.to_owned(), keys.to_owned());
        self.ua.on_dialled(number, Some(Incoming { policy, audio })).await
    }

    /// All calls from now on, as they begin to ring.
    pub fn calls(&self) -> broadcast::Receiver<Call> {
        self.calls.subscribe()
    }

    fn clip(&self, path: &str) -> Option<Arc<[i16]>> {
        audio::clip_from_wav(&(self.clips)(path)?)
    }
}

/// Hands each call on, and presses its keys a second after the answer.
async fn clerk(ua: Ua, calls: broadcast::Sender<Call>, press: Arc<Mutex<HashMap<String, String>>>) {
    let mut tasks = JoinSet::new();
    while let Ok(call) = ua.next_call().await {
        while tasks.try_join_next().is_some() {}
        // Nobody need listen.
        let _ = calls.send(call.clone());
        let number = call.invitation().map(|i| i.dialled.clone()).unwrap_or_default();
        let keys = press.lock().unwrap_or_else(PoisonError::into_inner).get(&number).cloned().unwrap_or_default();
        tasks.spawn(async move {
            if keys.is_empty() || call.answered().await.is_err() {
                return;
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
            if call.status().phase == Phase::Answered {
                // A caller that takes no keys asks for none.
                let _ = call.send_digits(&keys).await;
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sandbox::citizens::Citizen;

    const LONG: Duration = Duration::from_secs(8);

    async fn called(opening: Opening, number: &str) -> (Departments, Citizen, Call) {
        let departments = Departments::open("127.0.0.1:0".parse().unwrap(), Arc::new(|_| None)).await.unwrap();
        departments.set("12330", opening, Some(910.0)).await.unwrap();
        let citizen = Citizen::new("13900000001", departments.address()).await.unwrap();
        let call = citizen.dial(number, Audio::Silence).await.unwrap();
        (departments, citizen, call)
    }

    #[tokio::test]
    async fn a_department_answers_presses_1_and_is_heard() {
        let (_departments, _citizen, call) = called(Opening::Answered, "12330").await;
        call.answered_within(LONG).await.unwrap();
        call.hears(LONG, "the tone", |h| h.level_at(910.0, Duration::from_millis(300)) > -20.0).await.unwrap();
        call.hears(LONG, "the key", |h| h.digits == "1").await.unwrap();
        call.hang_up().await;
    }

    #[tokio::test]
    async fn each_other_opening_does_what_it_says() {
        for (opening, status) in [(Opening::Busy, 486), (Opening::Closed, 480)] {
            let (_departments, _citizen, call) = called(opening, "12330").await;
            assert_eq!(call.wait_ended().await.status, status);
        }
        let (_departments, _citizen, call) = called(Opening::NoAnswer, "12330").await;
        call.ringing().await.unwrap();
        assert_eq!(call.hang_up().await.status, 487);
        let (_departments, _citizen, call) = called(Opening::Silent, "12330").await;
        assert!(call.answered_within(Duration::from_millis(300)).await.is_err() && call.status().provisional == 0);
    }

    #[tokio::test]
    async fn other_departments_answer_too_and_strange_numbers_do_not() {
        let (_departments, _citizen, call) = called(Opening::Busy, "12333").await;
        call.answered_within(LONG).await.unwrap();
        call.hang_up().await;
        let (_departments, _citizen, call) = called(Opening::Answered, "999").await;
        assert_eq!(call.wait_ended().await.status, 404);
    }
}
