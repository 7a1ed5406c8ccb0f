//! A walk through a flow on paper: which clips are heard when, and where the keys lead.

use super::{
    flow::Flow,
    session::{Caller, Hours, Input, Output, Reason, Session},
};
use crate::clock::Now;
use std::{collections::VecDeque, sync::Arc, time::Duration};

/// How a walk is to go.
pub struct Walk<'a> {
    /// Pressed one after the other, each half a second after the caller could; `-` lets one time-out pass.
    pub keys: &'a str,
    /// Who calls and what was dialled.
    pub caller: Caller,
    /// What the flow's `hours` nodes are told.
    pub hours: Arc<dyn Hours>,
    /// How long a clip is; one that is unknown counts as nothing.
    pub clip_length: &'a dyn Fn(&str) -> Option<Duration>,
    /// When the call is answered.
    pub start: Now,
}

/// How long the simulated caller takes to press a key.
const REACTION: Duration = Duration::from_millis(500);
/// Steps that are shown, at most.
const MAX_STEPS: usize = 500;

/// Walks `flow` and tells it line by line, each with its time since the answer in seconds.
///
/// Ends when the caller is in a queue or a three-way call with no more keys to press, or is hung up.
pub fn simulate(flow: Arc<Flow>, walk: &Walk<'_>) -> String {
    let mut keys: VecDeque<char> = walk.keys.chars().filter(|key| !matches!(key, ',' | ' ')).collect();
    let mut session = Session::new(flow, &walk.caller, Arc::clone(&walk.hours), walk.start);
    let mut told = String::new();
    let mut now = walk.start;
    let mut playing = None;
    let mut waits = false;
    for _ in 0..MAX_STEPS {
        while let Some(output) = session.poll_output() {
            waits |= matches!(output, Output::Enqueue { .. } | Output::ThreeWay { .. });
            let mut line = |text: String| {
                let at = (now.mono - walk.start.mono).as_secs_f64();
                told.push_str(&format!("{at:7.1} s  [{}] {text}\n", session.node_name()));
            };
            match output {
                Output::Play { token, clips } => {
                    let length: Duration = clips.iter().filter_map(|clip| (walk.clip_length)(clip)).sum();
                    line(format!("play {} ({:.1} s)", clips.join(" + "), length.as_secs_f64()));
                    playing = Some((token, now.plus(length)));
                }
                Output::StopPlay => {
                    line("the prompt is cut short".into());
                    playing = None;
                }
                Output::Enqueue { queue, max_wait, overflow, .. } => {
                    let limit = max_wait.map_or("no limit".into(), |wait| format!("at most {} s", wait.as_secs()));
                    line(format!("queue \"{queue}\" ({limit}, then {overflow})"));
                }
                Output::LeaveQueue => {
                    waits = false;
                    line("leaves the queue".into());
                }
                Output::OweCallback { queue } => line(format!("a call back is owed, queue \"{queue}\"")),
                Output::ThreeWay { hotline } => line(format!("three-way with {hotline}")),
                Output::Hangup { cause } => line(format!("hang up (cause {cause})")),
            }
        }
        if session.is_over() || (waits && keys.is_empty()) {
            return told;
        }
        let at = |now: Now| (now.mono - walk.start.mono).as_secs_f64();
        match keys.front().copied() {
            Some('-') => match (playing.take(), session.poll_timeout()) {
                (Some((token, end)), _) => {
                    now = end;
                    session.handle_input(now, Input::PlayDone(token));
                }
                (None, Some((due, _))) => {
                    keys.pop_front();
                    now = pass_time(&mut session, now, due, &mut told, at);
                }
                (None, None) => {
                    keys.pop_front();
                }
            },
            // A clip that ends before the caller's finger comes down has been heard out.
            Some(_) if playing.is_some_and(|(_, end)| end.mono <= now.mono + REACTION) => {
                if let Some((token, end)) = playing.take() {
                    now = if end.mono > now.mono { end } else { now };
                    session.handle_input(now, Input::PlayDone(token));
                }
            }
            Some(key) => {
                keys.pop_front();
                now = now.plus(REACTION);
                told.push_str(&format!("{:7.1} s  [{}] key {key}\n", at(now), session.node_name()));
                session.handle_input(now, Input::Digit(key));
            }
            None => match (playing.take(), session.poll_timeout()) {
                (Some((token, end)), _) => {
                    now = if end.mono > now.mono { end } else { now };
                    session.handle_input(now, Input::PlayDone(token));
                }
                (None, Some((due, _))) => now = pass_time(&mut session, now, due, &mut told, at),
                (None, None) => return told,
            },
        }
    }
    told.push_str("         … the walk goes on and on; it is cut here\n");
    told
}

/// Lets the session's time-out pass.
fn pass_time(
    session: &mut Session,
    now: Now,
    due: std::time::Instant,
    told: &mut String,
    at: impl Fn(Now) -> f64,
) -> Now {
    let reason = session.poll_timeout().map(|(_, reason)| reason);
    let now = now.plus(due.saturating_duration_since(now.mono));
    let what = match reason {
        Some(Reason::InterDigit) => "no further key",
        Some(Reason::FirstDigit) | None => "no key",
    };
    told.push_str(&format!("{:7.1} s  [{}] {what}\n", at(now), session.node_name()));
    session.handle_timeout(now);
    now
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "tests may ask the clock")]
mod tests {
    use super::*;
    use crate::clock::UnixMillis;
    use std::time::Instant;

    fn walk(flow: &str, keys: &str) -> String {
        let flow = Arc::new(Flow::parse(flow, "f.toml").unwrap());
        let length = |clip: &str| {
            let millis = match clip {
                "prompts/zh/welcome.wav" => 5813,
                "prompts/zh/to_agent_keys.wav" => 3973,
                "prompts/zh/menu_main.wav" => 9153,
                _ => 2000,
            };
            Some(Duration::from_millis(millis))
        };
        let hours = Arc::new(|_: &str, _: UnixMillis| true);
        let start = Now { mono: Instant::now(), wall: UnixMillis(0) };
        simulate(flow, &Walk { keys, caller: Caller::default(), hours, clip_length: &length, start })
    }

    #[test]
    fn a_silent_caller_is_in_the_queue_within_eleven_seconds() {
        let told = walk(include_str!("../../ivr-flows/12345.toml"), "");
        assert!(told.contains("10.3 s  [agent] queue \"general\""), "{told}");
    }

    #[test]
    fn zero_leads_to_the_queue_at_once() {
        let told = walk(include_str!("../../ivr-flows/12345.toml"), "0");
        assert!(told.contains(" 0.5 s  [agent] queue \"general\""), "{told}");
    }

    #[test]
    fn keys_and_silence_are_told() {
        let told = walk(include_str!("../../ivr-flows/menu_main.toml"), "7,-");
        assert!(told.contains("key 7"), "{told}");
        assert!(told.contains("queue \"general\""), "{told}");
        // 0.5 s into the welcome the key cuts it; it is wrong; the menu is repeated once and heard out.
        assert!(told.contains("invalid_key.wav + prompts/zh/menu_main.wav"), "{told}");
        assert!(told.contains("no key"), "{told}");
    }
}
