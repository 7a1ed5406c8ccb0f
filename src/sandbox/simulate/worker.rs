//! A worker: one process, one thread, its share of the people. It does what the coordinator says line by line, and is
//! gone as soon as nobody speaks to it any more.

use super::{
    agent, citizen,
    citizen::Exchanges,
    department::Departments,
    distribution::Distribution,
    protocol::{self, AgentTally, Order, Pulse, Share, Tale},
};
use rand::{Rng, SeedableRng, rngs::StdRng};
use std::{
    collections::BTreeSet,
    io::Write,
    process::ExitCode,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    sync::watch,
    task::JoinSet,
    time::{interval, sleep, timeout},
};

/// How long agents have to sit down before callers come.
const SEATING: Duration = Duration::from_secs(60);
/// How long agents have to leave.
const LEAVING: Duration = Duration::from_secs(3);
/// Sign-ins and registrations of one worker a second: password hashes are costly.
const SEATS_A_SECOND: u64 = 50;

/// The figures of a worker, kept as things happen.
#[derive(Debug, Default)]
pub struct Tally {
    pub dialling: u64,
    pub waiting: u64,
    pub talking: u64,
    pub placed: u64,
    pub ended: u64,
    pub to_redial: u64,
    pub agents: AgentTally,
    busy: BTreeSet<String>,
    seated: BTreeSet<String>,
}

/// How far the exercise is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Stage {
    Runs,
    Stopped,
    Left,
}

/// What all people of a worker share.
#[derive(Debug)]
pub struct World {
    pub share: Share,
    pub exchanges: Exchanges,
    tally: Mutex<Tally>,
    stage: watch::Sender<Stage>,
    troubles: AtomicUsize,
}

/// Troubles that are told; the rest is like them.
const MOST_TROUBLES: usize = 20;

impl World {
    fn lock(&self) -> MutexGuard<'_, Tally> {
        self.tally.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the figures.
    pub fn tally(&self, change: impl FnOnce(&mut Tally)) {
        change(&mut self.lock());
    }

    /// Says something to the coordinator.
    pub fn tell(&self, tale: &Tale) {
        tell(tale);
    }

    /// Tells what a person should know, the first times.
    pub fn trouble(&self, what: String) {
        if self.troubles.fetch_add(1, Ordering::Relaxed) < MOST_TROUBLES {
            tell(&Tale::Trouble { what });
        }
    }

    /// Notes what is counted elsewhere; seen with RUST_LOG=debug.
    pub fn whisper(&self, what: &str) {
        tracing::debug!("{what}");
    }

    /// An agent sits at a registered telephone.
    pub fn seated(&self, agent: &str) {
        self.lock().seated.insert(agent.to_owned());
    }

    /// Whether an agent's telephone has a living dialog.
    pub fn busy(&self, agent: &str, busy: bool) {
        let mut tally = self.lock();
        if busy {
            tally.busy.insert(agent.to_owned())
        } else {
            tally.busy.remove(agent)
        };
    }

    /// Whether no new calls are placed any more.
    pub fn is_stopped(&self) -> bool {
        *self.stage.borrow() >= Stage::Stopped
    }

    /// Waits for that.
    pub async fn stopped(&self) {
        self.reached(Stage::Stopped).await;
    }

    /// Waits until everybody is to leave.
    pub async fn left(&self) {
        self.reached(Stage::Left).await;
    }

    async fn reached(&self, stage: Stage) {
        // The sender is this world's own: it cannot be gone.
        let _ = self.stage.subscribe().wait_for(|now| *now >= stage).await;
    }

    fn pulse(&self, departments: Option<&Departments>) -> Pulse {
        let tally = self.lock();
        Pulse {
            dialling: tally.dialling,
            waiting: tally.waiting,
            talking: tally.talking,
            placed: tally.placed,
            ended: tally.ended,
            to_redial: tally.to_redial,
            busy: tally.busy.iter().cloned().collect(),
            agents: tally.agents,
            departments: departments.map(Departments::counts).unwrap_or_default(),
        }
    }
}

fn tell(tale: &Tale) {
    let mut out = std::io::stdout().lock();
    // Whose coordinator is gone learns it on stdin.
    let _ = writeln!(out, "{}", protocol::write(tale)).and_then(|()| out.flush());
}

/// Serves a coordinator on stdin and stdout until it says to leave or is gone.
pub async fn run() -> ExitCode {
    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    let mut departments: Option<Departments> = None;
    let mut begun: Option<(Arc<World>, JoinSet<()>)> = None;
    loop {
        let Ok(Some(line)) = lines.next_line().await else { return ExitCode::FAILURE };
        match protocol::read::<Order>(&line) {
            Some(Order::Departments { hotlines }) => match Departments::open(&hotlines).await {
                Ok(open) => {
                    tell(&Tale::Departments { at: open.address() });
                    departments = Some(open);
                }
                Err(error) => tell(&Tale::Trouble { what: format!("departments: {error}") }),
            },
            Some(Order::Begin(share)) if begun.is_none() => match begin(*share, departments.clone()).await {
                Ok(started) => begun = Some(started),
                Err(error) => tell(&Tale::Trouble { what: format!("a worker could not begin: {error}") }),
            },
            Some(Order::Stop) => {
                if let Some((world, _)) = &begun {
                    world.stage.send_if_modified(|stage| std::mem::replace(stage, Stage::Stopped.max(*stage)) < *stage);
                }
            }
            Some(Order::Leave) => {
                if let Some((world, mut people)) = begun.take() {
                    world.stage.send_replace(Stage::Left);
                    let all = async { while people.join_next().await.is_some() {} };
                    let _ = timeout(LEAVING, all).await;
                }
                return ExitCode::SUCCESS;
            }
            Some(Order::Begin(_)) | None => tell(&Tale::Trouble { what: "an order that makes no sense".to_owned() }),
        }
    }
}

async fn begin(
    share: Share,
    departments: Option<Departments>,
) -> Result<(Arc<World>, JoinSet<()>), crate::sandbox::ua::UaError> {
    let exchanges = Exchanges::open(share.behaviour.bad, share.seed).await?;
    let stage = watch::Sender::new(Stage::Runs);
    let world = Arc::new(World { share, exchanges, tally: Mutex::default(), stage, troubles: AtomicUsize::new(0) });
    let mut people = JoinSet::new();
    people.spawn(pulses(world.clone(), departments));
    for (n, number) in world.share.agents.iter().enumerate() {
        let (world, number, seed) = (world.clone(), number.clone(), seed_of(&world.share, 1, n as u64));
        people.spawn(async move {
            sleep(Duration::from_millis(n as u64 * 1000 / SEATS_A_SECOND)).await;
            agent::live(world, number, seed).await;
        });
    }
    people.spawn(arrivals(world.clone()));
    Ok((world, people))
}

/// A seed for each person, so that one person's choices do not move another's.
fn seed_of(share: &Share, kind: u64, n: u64) -> u64 {
    let worker = u64::from(share.index);
    share.seed.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(kind << 60 | worker << 40 | n)
}

async fn pulses(world: Arc<World>, departments: Option<Departments>) {
    let mut seconds = interval(Duration::from_secs(1));
    loop {
        tokio::select! {
            _ = seconds.tick() => tell(&Tale::Pulse(world.pulse(departments.as_ref()))),
            () = world.left() => return,
        }
    }
}

/// Citizens come at random moments, at the rate of this share on average.
async fn arrivals(world: Arc<World>) {
    let share = &world.share;
    seat(&world).await;
    let mut rng = StdRng::seed_from_u64(seed_of(share, 2, 0));
    let gaps = Distribution::Exponential { mean: 1.0 / share.rate.max(1e-6) };
    let mut callers = JoinSet::new();
    let mut due = crate::net::clock::now().mono;
    for n in 0..share.callers.unwrap_or(u64::MAX) {
        // Counted from the last moment that was due, so that delays do not lower the rate.
        due += gaps.draw(&mut rng);
        tokio::select! {
            () = tokio::time::sleep_until(due.into()) => {}
            () = world.stopped() => break,
        }
        while callers.try_join_next().is_some() {}
        let number = share.index * 1_000_000 + n as u32 % 1_000_000;
        callers.spawn(citizen::live(world.clone(), number, rng.random()));
    }
    while callers.join_next().await.is_some() {}
    tell(&Tale::Pulse(world.pulse(None)));
    tell(&Tale::Quiet);
}

async fn seat(world: &World) {
    let wanted = world.share.agents.len();
    let all = async {
        while world.lock().seated.len() < wanted {
            sleep(Duration::from_millis(100)).await;
        }
    };
    let _ = timeout(SEATING, all).await;
    let seated = world.lock().seated.clone();
    let failed = world.share.agents.iter().filter(|agent| !seated.contains(*agent)).cloned().collect();
    tell(&Tale::Seated { agents: seated.len(), failed });
}
