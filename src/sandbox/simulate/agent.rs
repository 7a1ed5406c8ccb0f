//! A simulated agent: a registered telephone that answers, refuses, lets ring, vanishes, and works the console.

use super::{
    VOICE,
    desk::Desk,
    distribution::happens,
    protocol::{AgentCall, AgentTally, Tale},
    tone,
    worker::World,
};
use crate::{
    net::clock,
    sandbox::{
        http_client::HttpError,
        sample,
        ua::{Call, Conditions, Network, Phase, Policy, Sound, Transport, Ua, UaError},
    },
};
use rand::{Rng, SeedableRng, rngs::StdRng};
use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};
use tokio::time::{sleep, timeout};

/// How long a telephone waits before it tries again to open or to register.
const AGAIN: Duration = Duration::from_secs(2);
/// How often an agent without a call looks whether the console still says that it is ready.
const GLANCE: Duration = Duration::from_secs(20);

/// What an agent does with a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Answers,
    Refuses { status: u16 },
    RingsOut,
    Vanishes,
}

/// How an agent's time with a telephone ended.
enum Left {
    /// The telephone is gone; another will take its place.
    Gone,
    Home,
}

/// One agent.
struct Agent {
    world: Arc<World>,
    number: String,
    desk: Desk,
    rng: StdRng,
}

/// Sits down, serves until everybody leaves, and comes back after vanishing.
pub async fn live(world: Arc<World>, number: String, seed: u64) {
    let desk = match Desk::new(&world.share.api, &number) {
        Ok(desk) => desk,
        Err(error) => return world.trouble(format!("agent {number}: {error}")),
    };
    let mut agent = Agent { world, number, desk, rng: StdRng::seed_from_u64(seed) };
    let bad = happens(&mut agent.rng, agent.world.share.behaviour.agents.bad_network);
    let mut first = true;
    loop {
        let ua = agent.sit_down(bad).await;
        agent.world.seated(&agent.number);
        if !std::mem::take(&mut first) {
            agent.make_ready().await;
        }
        match agent.serve(&ua).await {
            Left::Home => {
                let _ = timeout(AGAIN, ua.unregister()).await;
                return;
            }
            Left::Gone => {
                ua.vanish().await;
                agent.world.busy(&agent.number, false);
                let gone_for = agent.world.share.behaviour.agents.gone_for.draw(&mut agent.rng);
                tokio::select! {
                    () = sleep(gone_for) => {}
                    () = agent.world.left() => return,
                }
            }
        }
    }
}

impl Agent {
    /// Registers a telephone; tries until it is taken.
    async fn sit_down(&mut self, bad: bool) -> Ua {
        loop {
            match self.open(bad).await {
                Ok(ua) => return ua,
                Err(error) => {
                    self.world.trouble(format!("agent {} cannot register: {error}", self.number));
                    sleep(AGAIN).await;
                }
            }
        }
    }

    async fn open(&mut self, bad: bool) -> Result<Ua, UaError> {
        let behaviour = &self.world.share.behaviour;
        let network = if bad { behaviour.bad } else { Network::default() };
        let sound = Sound { one_in: 10, listen_for: Some(VOICE) };
        let conditions = Conditions { sound, network, seed: self.rng.random() };
        let ua = Ua::bind_in(Transport::Udp, SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), conditions).await?;
        ua.register(self.world.share.registrar, &self.number, &sample::password(&self.number)).await?;
        ua.on_incoming(Policy::Ring, tone(VOICE)).await?;
        Ok(ua)
    }

    async fn serve(&mut self, ua: &Ua) -> Left {
        loop {
            let call = tokio::select! {
                call = ua.next_call() => match call {
                    Ok(call) => call,
                    Err(_) => return Left::Gone,
                },
                () = self.world.left() => return Left::Home,
                () = sleep(GLANCE) => {
                    self.glance().await;
                    continue;
                }
            };
            self.count(|tally| tally.offered += 1);
            self.world.busy(&self.number, true);
            let gone = self.take(&call).await;
            if gone {
                return Left::Gone;
            }
            self.world.busy(&self.number, false);
            let plan = &self.world.share.behaviour.agents;
            if happens(&mut self.rng, plan.rests) {
                let rest = plan.rest.draw(&mut self.rng);
                self.rest(rest).await;
            }
        }
    }

    /// One call from its ringing to its end; true when the telephone is to vanish.
    async fn take(&mut self, call: &Call) -> bool {
        let after = self.world.share.behaviour.agents.answers_after.draw(&mut self.rng);
        let fate = self.fate();
        if timeout(after, call.wait_ended()).await.is_ok() {
            // It was taken back: by its caller, or because it rang for too long.
            self.glance().await;
            return false;
        }
        match fate {
            Fate::Vanishes => {
                self.count(|tally| tally.vanished_ringing += 1);
                true
            }
            Fate::Refuses { status } => {
                self.count(|tally| tally.refused += 1);
                call.refuse(status).await;
                call.wait_ended().await;
                self.back().await;
                false
            }
            Fate::RingsOut => {
                call.wait_ended().await;
                self.count(|tally| tally.rang_out += 1);
                self.back().await;
                false
            }
            Fate::Answers => {
                call.accept().await;
                if call.answered().await.is_err() {
                    self.glance().await;
                    return false;
                }
                self.count(|tally| tally.answered += 1);
                let answered_at = clock::now().wall.0;
                let vanishes = self.talk(call).await;
                let (agent, ended_at) = (self.number.clone(), clock::now().wall.0);
                self.world.tell(&Tale::AgentCall(AgentCall { agent, answered_at, ended_at }));
                vanishes
            }
        }
    }

    fn fate(&mut self) -> Fate {
        let plan = &self.world.share.behaviour.agents;
        let mut left = self.rng.random::<f64>();
        let status = if self.rng.random() { 486 } else { 603 };
        for (share, fate) in [
            (plan.vanishes_ringing, Fate::Vanishes),
            (plan.refuses, Fate::Refuses { status }),
            (plan.rings_out, Fate::RingsOut),
        ] {
            if left < share {
                return fate;
            }
            left -= share;
        }
        Fate::Answers
    }

    /// Talks until the call is over; true when the telephone is to vanish.
    async fn talk(&mut self, call: &Call) -> bool {
        let plan = self.world.share.behaviour.agents.clone();
        let vanishes = happens(&mut self.rng, plan.vanishes_talking);
        let ends = happens(&mut self.rng, plan.ends_talk).then(|| plan.talk.draw(&mut self.rng));
        tokio::select! {
            _ = call.wait_ended() => return false,
            () = self.work(call) => {}
        }
        if vanishes && call.status().phase == Phase::Answered {
            self.count(|tally| tally.vanished_talking += 1);
            return true;
        }
        match ends {
            Some(after) if timeout(after, call.wait_ended()).await.is_err() => drop(call.hang_up().await),
            Some(_) => {}
            None => drop(call.wait_ended().await),
        }
        false
    }

    /// What is done besides talking.
    async fn work(&mut self, call: &Call) {
        let plan = self.world.share.behaviour.agents.clone();
        sleep(Duration::from_millis(self.rng.random_range(1000..4000))).await;
        if happens(&mut self.rng, plan.registers) {
            let done = self.register().await;
            self.note(done);
        }
        if happens(&mut self.rng, plan.holds) && call.hold().await.is_ok() {
            self.count(|tally| tally.held += 1);
            sleep(plan.hold.draw(&mut self.rng)).await;
            // Who does not come back from hold is lost to the citizen, as in life.
            let _ = call.resume().await;
        }
        if happens(&mut self.rng, plan.three_way) && !self.world.share.hotlines.is_empty() {
            self.count(|tally| tally.three_way += 1);
            let which = self.rng.random_range(0..self.world.share.hotlines.len());
            let hotline = self.world.share.hotlines[which].clone();
            if happens(&mut self.rng, plan.three_way_by_api) {
                let done = self.three_way(&hotline).await;
                self.note(done);
            } else {
                let _ = call.send_digits(&format!("*3{hotline}#")).await;
            }
        }
    }

    async fn register(&mut self) -> Result<(), HttpError> {
        let Some((_, ticket)) = self.desk.call().await? else { return Ok(()) };
        self.desk.register(&ticket).await?;
        self.count(|tally| tally.registered += 1);
        self.world.tell(&Tale::Registered { ticket });
        Ok(())
    }

    /// Brings in a department, and presses the key that its menu may want.
    async fn three_way(&mut self, hotline: &str) -> Result<(), HttpError> {
        let Some((call, _)) = self.desk.call().await? else { return Ok(()) };
        let body = serde_json::json!({ "hotline": hotline });
        self.desk.post(&format!("/calls/{call}/three-way"), &body).await?;
        sleep(Duration::from_secs(4)).await;
        // A department that is gone by now takes no keys: that is no failure of the API.
        match self.desk.post(&format!("/calls/{call}/digits"), &serde_json::json!({"digits": "1"})).await {
            Err(HttpError::Status { status: 409, .. }) | Ok(_) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Comes back after a refusal or a call that rang out.
    async fn back(&mut self) {
        self.world.busy(&self.number, false);
        let after = self.world.share.behaviour.agents.back_after.draw(&mut self.rng);
        tokio::select! {
            () = sleep(after) => self.make_ready().await,
            () = self.world.left() => {}
        }
    }

    /// Looks at the console, as a person does, and comes back where the centre took it off the queue: for a call that
    /// rang out as it was answered, or for a telephone that was not heard of for a while.
    async fn glance(&mut self) {
        match self.desk.is_taken_off().await {
            Ok(true) => {
                self.count(|tally| tally.taken_off += 1);
                self.back().await;
            }
            Ok(false) => {}
            Err(error) => self.world.whisper(&format!("agent {}: {error}", self.number)),
        }
    }

    async fn make_ready(&mut self) {
        // Right after a start of the centre its API may not be there yet.
        for _ in 0..10 {
            match self.desk.set_ready(true).await {
                Ok(()) => return,
                Err(error) => self.note(Err(error)),
            }
            sleep(AGAIN).await;
        }
    }

    async fn rest(&mut self, length: Duration) {
        let done = self.desk.set_ready(false).await;
        if done.is_ok() {
            self.count(|tally| tally.rested += 1);
        }
        self.note(done);
        tokio::select! {
            () = sleep(length) => self.make_ready().await,
            () = self.world.left() => {}
        }
    }

    fn note(&self, done: Result<(), HttpError>) {
        // A refused command is the centre's right: the call may have ended meanwhile.
        if let Err(error) = done {
            self.count(|tally| tally.api_failures += 1);
            self.world.whisper(&format!("agent {}: {error}", self.number));
        }
    }

    fn count(&self, change: impl FnOnce(&mut AgentTally)) {
        self.world.tally(|tally| change(&mut tally.agents));
    }
}
