//! A simulated citizen: dials, presses a key or waits, loses patience or talks, and perhaps dials again.

use super::{
    CITIZEN, VOICE,
    behaviour::Citizens,
    distribution::happens,
    protocol::{CitizenCall, End, Result, Tale},
    tone,
    worker::World,
};
use crate::{
    net::clock,
    sandbox::{
        citizens,
        ua::{Audio, Call, CallOptions, Conditions, Network, Side, Sound, Transport, Ua, UaError},
    },
};
use rand::{Rng, SeedableRng, rngs::StdRng};
use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::time::{MissedTickBehavior, interval, sleep};

/// How often a citizen looks whether somebody speaks.
const LOOK: Duration = Duration::from_millis(200);
/// No call of an exercise is longer.
const LONGEST: Duration = Duration::from_secs(15 * 60);

/// The exchanges that citizens telephone from: with a good or a bad network, with all their sound or a thin one.
#[derive(Debug)]
pub struct Exchanges([Ua; 4]);

impl Exchanges {
    /// Opens their sockets.
    pub async fn open(bad: Network, seed: u64) -> std::result::Result<Exchanges, UaError> {
        let open = |bad_network: bool, full: bool| {
            let sound = Sound { one_in: if full { 1 } else { 10 }, listen_for: Some(VOICE) };
            let network = if bad_network { bad } else { Network::default() };
            let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
            Ua::bind_in(Transport::Udp, any, Conditions { sound, network, seed: seed ^ u64::from(full) })
        };
        Ok(Exchanges([
            open(false, false).await?,
            open(false, true).await?,
            open(true, false).await?,
            open(true, true).await?,
        ]))
    }

    fn of(&self, bad_network: bool, full: bool) -> &Ua {
        &self.0[2 * usize::from(bad_network) + usize::from(full)]
    }
}

/// Calls, and calls again, until satisfied or discouraged.
pub async fn live(world: Arc<World>, number: u32, seed: u64) {
    let mut rng = StdRng::seed_from_u64(seed);
    let plan = &world.share.behaviour.citizens;
    let from = citizens::number(number);
    for redial in 0..=plan.most_redials {
        world.tally(|tally| {
            tally.placed += 1;
            tally.dialling += 1;
        });
        let call = one_call(&world, &mut rng, &from, redial).await;
        world.tally(|tally| tally.ended += 1);
        let in_vain = call.voice_at.is_none();
        world.tell(&Tale::Call(call));
        if !in_vain || !happens(&mut rng, plan.redials) || world.is_stopped() {
            return;
        }
        world.tally(|tally| tally.to_redial += 1);
        let stopped = tokio::select! {
            () = sleep(plan.redial_after.draw(&mut rng)) => false,
            () = world.stopped() => true,
        };
        world.tally(|tally| tally.to_redial -= 1);
        if stopped {
            return;
        }
    }
}

async fn one_call(world: &World, rng: &mut StdRng, from: &str, redial: u32) -> CitizenCall {
    let plan = &world.share.behaviour.citizens;
    let ua = world.exchanges.of(happens(rng, plan.bad_network), happens(rng, plan.full_sound));
    let audio = if happens(rng, plan.mute) { Audio::Mute } else { tone(CITIZEN) };
    // Carriers assert the number beside From (RFC 3325).
    let identity = format!("<sip:{from}@{}>", ua.local());
    let options = CallOptions {
        target: format!("sip:12345@{}", world.share.trunk),
        from: from.to_owned(),
        audio,
        headers: vec![("P-Asserted-Identity".to_owned(), identity)],
    };
    let placed_at = clock::now().wall.0;
    let mut told = CitizenCall {
        sip_call_id: String::new(),
        redial,
        placed_at,
        answered_at: None,
        voice_at: None,
        ended_at: placed_at,
        result: Result::Failed,
    };
    match ua.call_with(options).await {
        Ok(call) => {
            told.sip_call_id = call.sip_call_id().to_owned();
            told.result = conduct(world, rng, plan, &call, &mut told).await;
        }
        Err(error) => world.trouble(format!("a citizen could not dial: {error}")),
    }
    told.ended_at = clock::now().wall.0;
    told
}

async fn conduct(world: &World, rng: &mut StdRng, plan: &Citizens, call: &Call, told: &mut CitizenCall) -> Result {
    if happens(rng, plan.cancels) {
        // Within the time that an answer takes: some are in time and some cross it.
        sleep(Duration::from_millis(rng.random_range(0..12))).await;
        let ending = call.hang_up().await;
        world.tally(|tally| tally.dialling -= 1);
        return match (call.status().answered, ending.by, ending.status) {
            // The answer and the change of mind crossed.
            (true, ..) => {
                told.answered_at = Some(clock::now().wall.0);
                Result::Answered { end: End::LeftGreeting }
            }
            (false, _, 487) | (false, Side::Us, _) => Result::Cancelled,
            (false, Side::Peer, status) => Result::Refused { status },
            (false, Side::Network, _) => Result::Failed,
        };
    }
    let answered = call.answered().await;
    world.tally(|tally| tally.dialling -= 1);
    if answered.is_err() {
        let ending = call.wait_ended().await;
        return match ending.by {
            Side::Peer => Result::Refused { status: ending.status },
            Side::Us | Side::Network => Result::Failed,
        };
    }
    told.answered_at = Some(clock::now().wall.0);
    world.tally(|tally| tally.waiting += 1);
    let end = on_the_line(world, rng, plan, call, told).await;
    world.tally(|tally| match told.voice_at {
        Some(_) => tally.talking -= 1,
        None => tally.waiting -= 1,
    });
    Result::Answered { end }
}

/// From the answer to the end.
async fn on_the_line(world: &World, rng: &mut StdRng, plan: &Citizens, call: &Call, told: &mut CitizenCall) -> End {
    let began = clock::now().mono;
    let leaves = happens(rng, plan.leaves_greeting);
    let mut key = choice(rng, plan).filter(|_| !leaves);
    let decides = plan.decides.draw(rng);
    let patience = plan.patience.draw(rng).max(decides);
    let talk = plan.talk.draw(rng);
    let mut talks_until: Option<Instant> = None;
    let mut looks = interval(LOOK);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            ending = call.wait_ended() => {
                return if ending.by == Side::Network { End::Lost } else { End::Theirs };
            }
            _ = looks.tick() => {}
        }
        let now = clock::now();
        let lasted = now.mono.saturating_duration_since(began);
        if talks_until.is_none()
            && let Some(heard_at) = call.sign().heard_at
        {
            talks_until = Some(heard_at + talk);
            let ago = now.mono.saturating_duration_since(heard_at);
            told.voice_at = Some(now.wall.0 - ago.as_millis() as i64);
            world.tally(|tally| {
                tally.waiting -= 1;
                tally.talking += 1;
            });
        }
        if lasted >= decides
            && let Some(key) = key.take()
        {
            // Whose line is gone in this moment is told so in the next.
            let _ = call.send_digits(key).await;
        }
        let end = match talks_until {
            Some(until) => (now.mono >= until).then_some(End::Talked),
            None if leaves && lasted >= decides => Some(End::LeftGreeting),
            None => (lasted >= patience).then_some(End::LostPatience),
        };
        if let Some(end) = end.or_else(|| (lasted >= LONGEST).then_some(End::Talked)) {
            call.hang_up().await;
            return end;
        }
    }
}

/// The key that is pressed, if any.
fn choice(rng: &mut StdRng, plan: &Citizens) -> Option<&'static str> {
    let mut left = rng.random::<f64>();
    for (share, key) in [(plan.presses_zero, "0"), (plan.presses_four, "4"), (plan.presses_nine, "9")] {
        if left < share {
            return Some(key);
        }
        left -= share;
    }
    None
}
