//! What people think of: the next step of a story, from chance and from what is going on.

use super::{
    stage::{AGENTS, CITIZENS, DEPARTMENTS, NETWORK, Stage},
    step::{Deed, Mind, Order, Step, Way},
};
use hotline::call::cdr::StateName;
use rand::{Rng, SeedableRng, rngs::StdRng};

const HOUR: i64 = 3_600_000;

/// Thinks of one story.
pub struct Inventor {
    rng: StdRng,
    /// Things that are to be undone: when, and how.
    undone: Vec<Step>,
    /// When the story's last step is done.
    end: u64,
}

impl Inventor {
    pub fn new(seed: u64, begins: u64) -> Inventor {
        let mut rng = StdRng::seed_from_u64(seed ^ 0x005e_ed0f_5a1c_e5b2);
        let end = begins + rng.random_range(40_000..100_000);
        Inventor { rng, undone: Vec::new(), end }
    }

    /// The next step; None at the story's end.
    pub fn next(&mut self, stage: &Stage) -> Option<Step> {
        let now = stage.at();
        let pause = match self.rng.random_range(0..200) {
            // Long enough for a transaction to end, a telephone to be found gone, a wait to become too long.
            0 => self.rng.random_range(20_000..140_000),
            1..5 => self.rng.random_range(3_000..12_000),
            _ => self.rng.random_range(10..700),
        };
        let at = now + pause;
        if let Some(due) =
            (0..self.undone.len()).filter(|i| self.undone[*i].at <= at).min_by_key(|i| self.undone[*i].at)
        {
            let step = self.undone.remove(due);
            return Some(Step { at: step.at.max(now), ..step });
        }
        if at > self.end {
            return None;
        }
        // Some thoughts come to nothing at this moment.
        loop {
            if let Some(deed) = self.deed(stage, at) {
                return Some(Step { at, deed });
            }
        }
    }

    fn deed(&mut self, stage: &Stage, at: u64) -> Option<Deed> {
        let deed = match self.rng.random_range(0..1000) {
            0..230 => self.call(stage)?,
            230..340 => Deed::HangsUp { who: self.on_the_line(stage, &everybody())? },
            340..540 => {
                let citizen = self.live_citizen(stage)?;
                Deed::Order { citizen, order: self.order(stage.live_call(citizen)?.state) }
            }
            540..590 => Deed::Offers { who: self.on_the_line(stage, &everybody())?, direction: self.way() },
            590..650 => self.keys(stage)?,
            650..760 => self.manner(),
            760..785 => Deed::PicksUp { who: self.on_the_line(stage, &rung())? },
            785..865 => self.mind(),
            865..890 => self.vanishes(at),
            890..900 => Deed::Mute { who: self.one_of(&everybody()), mute: self.rng.random() },
            900..915 => self.connection_closes(at),
            915..925 => Deed::Registers { who: self.one_of(&agents()) },
            925..945 => self.network(at),
            945..960 => self.spool(at),
            960..980 => Deed::Clock { by_ms: self.clock() },
            980..984 => Deed::Killed,
            984..986 => Deed::Stopped,
            986..990 => Deed::NewDay,
            _ => Deed::Reconciled,
        };
        if matches!(deed, Deed::Killed | Deed::Stopped) {
            // Telephones find out that their registration is void.
            for who in agents() {
                let at = at + self.rng.random_range(100..15_000);
                self.undone.push(Step { at, deed: Deed::Registers { who } });
            }
        }
        Some(deed)
    }

    fn one_of(&mut self, all: &[u32]) -> u32 {
        all[self.rng.random_range(0..all.len())]
    }

    fn on_the_line(&mut self, stage: &Stage, all: &[u32]) -> Option<u32> {
        let busy: Vec<u32> =
            all.iter().copied().filter(|who| !stage.w.phones[stage.who(*who)].lines().is_empty()).collect();
        (!busy.is_empty()).then(|| self.one_of(&busy))
    }

    fn live_citizen(&mut self, stage: &Stage) -> Option<u32> {
        let live: Vec<u32> = CITIZENS.filter(|citizen| stage.live_call(*citizen).is_some()).collect();
        (!live.is_empty()).then(|| self.one_of(&live))
    }

    fn call(&mut self, stage: &Stage) -> Option<Deed> {
        let who = self.one_of(&CITIZENS.collect::<Vec<_>>());
        let number = match self.rng.random_range(0..100) {
            0..60 => "12345",
            60..75 => "95345",
            75..85 => "95346",
            85..93 => "95000",
            93..96 => "12319",
            96..98 => "3001",
            _ => "4000",
        };
        let idle = stage.w.phones[stage.who(who)].lines().is_empty();
        idle.then(|| Deed::Calls { who, number: number.to_owned() })
    }

    fn order(&mut self, state: StateName) -> Order {
        if matches!(state, StateName::Consulting | StateName::ThreeWay) && self.rng.random() {
            return [Order::Merge, Order::Leave, Order::DropDepartment][self.rng.random_range(0..3)].clone();
        }
        let hotline = ["12330", "12333", "12319", "99999"][self.rng.random_range(0..4)].to_owned();
        match self.rng.random_range(0..16) {
            0 | 1 => Order::Hold,
            2 => Order::Unhold,
            3..=6 => Order::ThreeWay { hotline, consult: self.rng.random() },
            7 | 8 => Order::Merge,
            9 => Order::Leave,
            10 => Order::DropAgent,
            11 => Order::DropDepartment,
            12 => Order::RecordPause,
            13 => Order::RecordResume,
            14 => Order::Digits { digits: "12#".to_owned() },
            _ if self.rng.random_range(0..4) == 0 => Order::DropCitizen,
            _ => Order::HangUp,
        }
    }

    fn way(&mut self) -> Way {
        [Way::SendOnly, Way::SendRecv, Way::Inactive][self.rng.random_range(0..3)]
    }

    fn keys(&mut self, stage: &Stage) -> Option<Deed> {
        let (people, keys) = if self.rng.random() {
            (agents(), &["*1", "*312330#", "*212333#", "*5", "*6", "*7", "**", "5"][..])
        } else {
            (CITIZENS.collect(), &["1", "2", "9", "0", "*", "#", "5"][..])
        };
        let keys = keys[self.rng.random_range(0..keys.len())].to_owned();
        Some(Deed::Keys { who: self.on_the_line(stage, &people)?, keys })
    }

    fn manner(&mut self) -> Deed {
        let who = self.one_of(&rung());
        match self.rng.random_range(0..10) {
            0 => Deed::Ignores { who },
            1 => Deed::Refuses { who, status: [486, 480, 603, 500][self.rng.random_range(0..4)] },
            _ => Deed::Answers { who, after_ms: self.rng.random_range(0..4_000) },
        }
    }

    fn mind(&mut self) -> Deed {
        let mind = match self.rng.random_range(0..12) {
            0 => Mind::Rests,
            1 => Mind::SignsOut,
            2 | 3 => Mind::SignsIn,
            4 => Mind::EndsWrapUp,
            5 => Mind::StretchesWrapUp { seconds: self.rng.random_range(1..30) },
            _ => Mind::Ready,
        };
        Deed::Mind { agent: self.one_of(&agents()), mind }
    }

    fn vanishes(&mut self, at: u64) -> Deed {
        let who = self.one_of(&everybody());
        let at = at + self.rng.random_range(500..40_000);
        self.undone.push(Step { at, deed: Deed::Returns { who } });
        Deed::Vanishes { who }
    }

    fn connection_closes(&mut self, at: u64) -> Deed {
        let who = self.one_of(&[8005, 8006]);
        let at = at + self.rng.random_range(100..20_000);
        self.undone.push(Step { at, deed: Deed::Registers { who } });
        Deed::ConnectionCloses { who }
    }

    /// A while of another network; now and then nothing goes through at all.
    fn network(&mut self, at: u64) -> Deed {
        let (loss, lasts) = match self.rng.random_range(0..4) {
            0 => (100, self.rng.random_range(200..4_000)),
            1 => (50, self.rng.random_range(1_000..8_000)),
            2 => (20, self.rng.random_range(5_000..30_000)),
            _ => (0, self.rng.random_range(5_000..30_000)),
        };
        let usual = Deed::Network { loss: NETWORK.loss, duplicate: NETWORK.duplicate, delay: NETWORK.delay };
        self.undone.push(Step { at: at + lasts, deed: usual });
        Deed::Network { loss, duplicate: self.rng.random_range(0..30), delay: (0, self.rng.random_range(1..400)) }
    }

    fn spool(&mut self, at: u64) -> Deed {
        let at = at + self.rng.random_range(500..10_000);
        self.undone.push(Step { at, deed: Deed::Spool { takes_ms: 5, keeps: true } });
        let takes_ms = [50, 1_000, 2_900, 3_100, 60_000][self.rng.random_range(0..5)];
        Deed::Spool { takes_ms, keeps: self.rng.random_range(0..3) > 0 }
    }

    fn clock(&mut self) -> i64 {
        [-24 * HOUR, -HOUR, -1_000, 1_000, HOUR, 24 * HOUR][self.rng.random_range(0..6)]
    }
}

fn agents() -> Vec<u32> {
    AGENTS.collect()
}

fn rung() -> Vec<u32> {
    AGENTS.chain(DEPARTMENTS).collect()
}

fn everybody() -> Vec<u32> {
    CITIZENS.chain(AGENTS).chain(DEPARTMENTS).collect()
}
