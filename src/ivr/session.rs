//! What a flow's session is told and what it asks for.

use crate::ids::{HotlineNo, QueueName};
use std::time::Duration;

/// Names one thing that was asked to be played, so that a late end is told from the present one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PlayToken(pub u64);

/// What the session is told.
#[derive(Clone, Debug, PartialEq)]
pub enum Input {
    Digit(char),
    PlayDone(PlayToken),
    /// The queue gave up on the caller, or the caller pressed an exit key.
    QueueLeft {
        why: String,
    },
    /// A three-way or transfer step ended: "answered", "busy", "no_answer", "closed", "failed".
    StepDone {
        result: String,
    },
}

/// What the session asks for.
#[derive(Clone, Debug, PartialEq)]
pub enum Output {
    /// Play these clips, named by path such as `prompts/zh/welcome.wav`.
    Play {
        token: PlayToken,
        clips: Vec<String>,
    },
    StopPlay,
    /// The caller waits for an agent; the session goes on only if the queue gives up.
    Enqueue {
        queue: QueueName,
        max_wait: Option<Duration>,
        overflow: String,
        priority: u16,
    },
    ThreeWay {
        hotline: HotlineNo,
    },
    /// The flow is over: hang up with this Q.850 cause.
    Hangup {
        cause: u8,
    },
}
