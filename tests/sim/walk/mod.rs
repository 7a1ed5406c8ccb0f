//! A random walk: citizens, agents, departments and supervisors do whatever comes to their minds, over a bad network,
//! while the program is killed, the spool stalls and the wall clock is set. What they do follows from a seed and is
//! written down; a walk that fails is told again with fewer and fewer steps, and the shortest story is printed.
//!
//! `HOTLINE_SEED=17 cargo test --test sim walk` repeats one walk, `HOTLINE_STORY=file` one list of steps;
//! `HOTLINE_WALK_SECONDS=120` walks for so long, each time with other seeds, or from `HOTLINE_WALK_FROM` on.

mod invent;
mod rules;
mod shrink;
mod stage;
mod step;

use crate::world::{QUIET, World};
use hotline::call::{cdr::StateName, message::Said};
use invent::Inventor;
use stage::Stage;
use std::{
    any::Any,
    cell::RefCell,
    collections::BTreeSet,
    env, fs,
    panic::{self, AssertUnwindSafe},
    path::Path,
    sync::Once,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};
use step::{Deed, Step};

/// How often a long walk says how far it is.
const PROGRESS: Duration = Duration::from_secs(10);

/// A rule for one test alone.
type Rule = fn(&World);

/// The seed of all that is random, and what was done.
#[derive(Clone, Debug, PartialEq)]
struct Story {
    seed: u64,
    steps: Vec<Step>,
}

/// Where a story failed, and why.
#[derive(Clone, Debug)]
struct Failure {
    /// File and line of what did not hold.
    place: String,
    words: String,
    at: u64,
}

/// What a walk came by.
#[derive(Debug, Default)]
struct Sights {
    walks: usize,
    steps: usize,
    faults: usize,
    calls: usize,
    served: usize,
    joined: usize,
    held: usize,
    lost: usize,
    handed_over: usize,
    messages: usize,
}

impl Sights {
    fn add(&mut self, one: &Sights) {
        self.walks += one.walks;
        self.steps += one.steps;
        self.faults += one.faults;
        self.calls += one.calls;
        self.served += one.served;
        self.joined += one.joined;
        self.held += one.held;
        self.lost += one.lost;
        self.handed_over += one.handed_over;
        self.messages += one.messages;
    }
}

impl Story {
    /// When the first step may be done: everybody is there.
    fn begins(&self) -> u64 {
        Stage::new(self.seed).at()
    }

    /// The seed in the first line, then a step a line.
    fn write(&self) -> String {
        let steps = self.steps.iter().map(|step| serde_json::to_string(step).expect("JSON"));
        let lines: Vec<String> = std::iter::once(self.seed.to_string()).chain(steps).collect();
        lines.join("\n") + "\n"
    }

    fn read(text: &str) -> Story {
        let mut lines = text.lines();
        let seed = lines.next().and_then(|line| line.parse().ok()).expect("a seed in the first line");
        let step = |line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{line} is no step: {error}"));
        Story { seed, steps: lines.filter(|line| !line.is_empty()).map(step).collect() }
    }

    fn in_plain_words(&self) -> String {
        let queue = if self.seed.is_multiple_of(2) { "the sandbox's queue" } else { "a plain queue" };
        let mut text = format!("With seed {} and {queue}, agents 8001 to 8006 ready:\n", self.seed);
        self.steps.iter().for_each(|step| text += &format!("{step}\n"));
        text
    }
}

thread_local! {
    /// What was said at the last panic of this thread, and where.
    static PANICKED: RefCell<Option<(String, String)>> = const { RefCell::new(None) };
}

/// Runs something that may fail; a failure is given back and not printed.
fn attempt<T>(what: impl FnOnce() -> T) -> Result<T, (String, String)> {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let others = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if !QUIET.get() {
                return others(info);
            }
            let place = info.location().map(|at| format!("{}:{}", at.file(), at.line())).unwrap_or_default();
            PANICKED.set(Some((place, words(info.payload()))));
        }));
    });
    QUIET.set(true);
    let result = panic::catch_unwind(AssertUnwindSafe(what));
    QUIET.set(false);
    result.map_err(|_| PANICKED.take().unwrap_or_default())
}

fn words(payload: &dyn Any) -> String {
    let text = payload.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| payload.downcast_ref::<String>().cloned()).unwrap_or_default()
}

/// Goes for a walk. What was done is in `steps`, whatever comes of it.
fn walk(seed: u64, rule: Option<Rule>, steps: &mut Vec<Step>) -> Result<Sights, Failure> {
    let mut at = 0;
    let result = attempt(|| {
        let mut stage = Stage::new(seed);
        let mut inventor = Inventor::new(seed, stage.at());
        let mut seen = Seen::default();
        while let Some(step) = inventor.next(&stage) {
            steps.push(step.clone());
            at = step.at;
            take(&mut stage, &step, rule);
            seen.look(&stage.w);
        }
        let sights = seen.sights(&stage.w, steps);
        stage.ends();
        sights
    });
    result.map_err(|(place, words)| Failure { place, words, at })
}

/// Tells a story once more; gives all that was sent.
fn tell(story: &Story, rule: Option<Rule>) -> Result<Vec<String>, Failure> {
    let mut at = 0;
    let result = attempt(|| play(story, rule, &mut at));
    result.map_err(|(place, words)| Failure { place, words, at })
}

/// Plays a story; `at` is the moment of the last step that was begun.
fn play(story: &Story, rule: Option<Rule>, at: &mut u64) -> Vec<String> {
    let mut stage = Stage::new(story.seed);
    for step in &story.steps {
        *at = step.at;
        take(&mut stage, step, rule);
    }
    let sent = stage.w.sent.clone();
    stage.ends();
    sent
}

fn take(stage: &mut Stage, step: &Step, rule: Option<Rule>) {
    stage.pass(step.at);
    stage.does(&step.deed);
    if let Some(rule) = rule {
        rule(&stage.w);
    }
}

#[derive(Default)]
struct Seen {
    handed_over: BTreeSet<hotline::ids::CallId>,
}

impl Seen {
    fn look(&mut self, w: &World) {
        let now = w.records.values().filter(|record| record.state == StateName::HandedOver);
        self.handed_over.extend(now.map(|record| record.id));
    }

    fn sights(&self, w: &World, steps: &[Step]) -> Sights {
        let said = |wanted: fn(&Said) -> bool| w.said.iter().filter(|(_, said)| wanted(said)).count();
        Sights {
            walks: 1,
            steps: steps.len(),
            faults: steps.iter().filter(|step| is_fault(&step.deed)).count(),
            calls: w.records.len(),
            served: w.records.values().filter(|record| record.served_at.is_some()).count(),
            joined: said(|said| matches!(said, Said::ThreeWayJoined { .. })),
            held: said(|said| matches!(said, Said::Held)),
            lost: said(|said| matches!(said, Said::AgentLost { .. })),
            handed_over: self.handed_over.len(),
            messages: w.sent.len(),
        }
    }
}

/// Whether a step is none that a person meant.
fn is_fault(deed: &Deed) -> bool {
    matches!(
        deed,
        Deed::Vanishes { .. }
            | Deed::ConnectionCloses { .. }
            | Deed::Network { .. }
            | Deed::Spool { .. }
            | Deed::Clock { .. }
            | Deed::Killed
            | Deed::Stopped
    )
}

/// Tells the shortest story that fails in this way, and fails.
fn fail(story: Story, failure: Failure) -> ! {
    let seed = story.seed;
    eprintln!("seed {seed} failed after {} steps: {}\nLooking for a shorter story.", story.steps.len(), failure.words);
    let (story, failure) = shrink::shortest(story, failure, None, &mut |progress| eprintln!("  {progress}"));
    let file = env::temp_dir().join(format!("hotline-story-{seed}.jsonl"));
    let kept = fs::write(&file, story.write()).is_ok();
    eprintln!("\n{}{:>9.3} s  and then this does not hold:", story.in_plain_words(), failure.at as f64 / 1_000.0);
    eprintln!("{}\n{}\n", failure.place, failure.words);
    eprintln!("To repeat the walk: HOTLINE_SEED={seed} cargo test --test sim walk");
    if kept {
        eprintln!("To repeat this story: HOTLINE_STORY={} cargo test --test sim walk", file.display());
    }
    panic!("a rule was broken with seed {seed}: see above");
}

fn walk_well(seed: u64) -> Sights {
    let mut steps = Vec::new();
    walk(seed, None, &mut steps).unwrap_or_else(|failure| fail(Story { seed, steps }, failure))
}

/// Walks until the time is over, with seeds that nobody has walked.
fn walk_for(time: Duration) {
    let began = Instant::now();
    let from_the_clock = || {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        since.as_millis() as u64 * 1_000
    };
    let first = number_from("HOTLINE_WALK_FROM").unwrap_or_else(from_the_clock);
    let (mut all, mut told) = (Sights::default(), began);
    eprintln!("walking for {} s, seeds from {first} on", time.as_secs());
    for seed in first.. {
        all.add(&walk_well(seed));
        if told.elapsed() >= PROGRESS || began.elapsed() >= time {
            told = Instant::now();
            eprintln!("{:>5} s: {all:?}", began.elapsed().as_secs());
        }
        if began.elapsed() >= time {
            return eprintln!("no rule was broken with the seeds {first} to {seed}");
        }
    }
}

fn number_from(variable: &str) -> Option<u64> {
    let text = env::var(variable).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{variable} is no number: {text}")))
}

#[test]
fn random_walks_leave_nothing_behind() {
    if let Ok(file) = env::var("HOTLINE_STORY") {
        let story = Story::read(&fs::read_to_string(Path::new(&file)).expect("the story can be read"));
        eprintln!("{}", story.in_plain_words());
        let sent = play(&story, None, &mut 0);
        return eprintln!("no rule was broken in {} messages", sent.len());
    }
    if let Some(seed) = number_from("HOTLINE_SEED") {
        return eprintln!("{:?}", walk_well(seed));
    }
    if let Some(seconds) = number_from("HOTLINE_WALK_SECONDS") {
        return walk_for(Duration::from_secs(seconds));
    }
    let mut all = Sights::default();
    (1..=20).for_each(|seed| all.add(&walk_well(seed)));
    eprintln!("{all:?}");
    // A walk that goes nowhere finds nothing.
    assert!(all.calls >= 200 && all.served >= 80 && all.joined >= 5 && all.held >= 5, "{all:?}");
    assert!(all.lost >= 1 && all.handed_over >= 1 && all.faults >= 50, "{all:?}");
}

#[test]
fn a_story_that_is_told_again_is_the_same() {
    for seed in [5, 6] {
        let (mut steps, mut again) = (Vec::new(), Vec::new());
        let first = walk(seed, None, &mut steps).expect("a sound walk");
        walk(seed, None, &mut again).expect("a sound walk");
        assert_eq!(steps, again, "the same seed, the same steps");
        let story = Story { seed, steps };
        assert_eq!(Story::read(&story.write()), story);
        let sent = tell(&story, None).expect("a sound story");
        assert_eq!(sent.len(), first.messages, "the same messages");
        assert_eq!(tell(&Story::read(&story.write()), None).expect("a sound story"), sent);
    }
}

/// A rule that is wrong: it takes a call, an agent who answers, and one command to break it.
fn nobody_ever_holds(w: &World) {
    assert!(!w.has_said(|said| matches!(said, Said::Held)), "somebody was put on hold");
}

#[test]
fn the_shortest_story_that_breaks_a_rule_is_found() {
    let (seed, steps, failure) = (1..)
        .find_map(|seed| {
            let mut steps = Vec::new();
            let failure = walk(seed, Some(nobody_ever_holds), &mut steps).err()?;
            Some((seed, steps, failure))
        })
        .expect("somebody holds soon");
    assert_eq!(failure.words, "somebody was put on hold");
    let long = Story { seed, steps };
    let (short, failure) = shrink::shortest(long.clone(), failure, Some(nobody_ever_holds), &mut |_| {});
    assert!(long.steps.len() > 10 && short.steps.len() <= 4, "{}", short.in_plain_words());
    assert!(short.steps.iter().any(|step| matches!(step.deed, Deed::Calls { .. })), "{}", short.in_plain_words());
    let told = tell(&short, Some(nobody_ever_holds)).expect_err("it still fails");
    assert_eq!((told.words, told.place), (failure.words, failure.place));
    eprintln!("{} steps became {}:\n{}", long.steps.len(), short.steps.len(), short.in_plain_words());
}
