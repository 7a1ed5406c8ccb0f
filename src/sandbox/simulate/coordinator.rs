//! The coordinator: starts the centre where none is given, and the workers; shows progress; brings the faults; ends all in
//! order and adds up.

use super::{
    SimulateError,
    behaviour::Behaviour,
    books::{self, Books},
    department::HOTLINES,
    desk::Desk,
    invariants::{self, Evidence, Heard},
    progress::{self, Progress},
    protocol::{Order, Pulse, Share, Tale},
    server::{self, Server, Wanted},
    summary, target,
    watch::{Sample, Watch},
    workers::{News, Workers},
};
use crate::{
    net::clock,
    sandbox::smsc::{Faults, Smsc, SmscConfig},
};
use rand::{Rng, SeedableRng, rngs::StdRng, seq::IndexedRandom};
use serde_json::{Value, json};
use std::{
    collections::{BTreeMap, BTreeSet},
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    time::{Duration, Instant},
};
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    time::{MissedTickBehavior, interval, sleep, timeout},
};

/// Calls a second that one worker takes on before there is a second one.
const RATE_A_WORKER: f64 = 12.0;
/// How long those on the line may go on after the last caller has come.
const TAIL: Duration = Duration::from_secs(240);
/// How long the centre has to close its books after that.
const SETTLE: Duration = Duration::from_secs(60);
/// How long receipts are waited for.
const RECEIPTS: Duration = Duration::from_secs(15);
/// How long the workers have for their first word.
const FIRST_WORD: Duration = Duration::from_secs(20);
/// How often memory is measured.
const MEASURE: Duration = Duration::from_secs(10);
/// Recordings that are listened to.
const LISTEN: usize = 12;
/// How often an SMS fault begins, and how long it lasts.
const SMS_FAULT_EVERY: Duration = Duration::from_secs(45);
const SMS_FAULT: Duration = Duration::from_secs(10);

/// What is wanted.
#[derive(Clone, Debug)]
pub struct Exercise {
    /// This program, for workers and centre.
    pub program: PathBuf,
    /// Where the centre's data are kept, if it is to be started.
    pub folder: PathBuf,
    /// Callers; none: as many as come in `length`.
    pub calls: Option<u64>,
    /// Callers a second.
    pub rate: f64,
    /// Agents at their telephones.
    pub agents: u32,
    /// How long new callers come; none: until `calls` have come.
    pub length: Option<Duration>,
    /// The same seed: the same people with the same choices.
    pub seed: u64,
    /// Bad networks, vanishing telephones, a failing SMS centre, and kills of a centre of its own.
    pub faults: bool,
    /// A running sandbox, such as `http://127.0.0.1:8080`.
    pub to: Option<String>,
    /// A centre of its own, even where a sandbox runs.
    pub own: bool,
    /// The median length of a talk, in seconds.
    pub talk: f64,
    /// The median patience of who waits, in seconds.
    pub patience: f64,
    /// The wrap-up of a centre of its own.
    pub wrap_up: Duration,
    /// Worker processes; none: as many as the rate needs, one a core at most.
    pub workers: Option<usize>,
    /// Where the summary is written as JSON.
    pub out: Option<PathBuf>,
}

/// The centre that is called.
struct Centre {
    server: Option<Server>,
    smsc: Option<Smsc>,
    trunk: SocketAddr,
    registrar: SocketAddr,
    api: String,
    hotlines: Vec<String>,
}

/// An exercise that runs.
struct Run {
    exercise: Exercise,
    centre: Centre,
    workers: Workers,
    watch: Watch,
    progress: Progress,
    interrupts: Signal,
    terminates: Signal,
    rng: StdRng,
    began: Instant,
    begun_at: i64,
    pulses: BTreeMap<usize, Pulse>,
    quiet: BTreeSet<usize>,
    seated: BTreeSet<usize>,
    gone: BTreeSet<usize>,
    evidence: Evidence,
    measured: Option<Instant>,
    /// Kills to come, the next one last.
    kills: Vec<Duration>,
    sms_fault_at: Duration,
    sms_fault_ends: Option<Duration>,
    recent: Vec<(Duration, u64)>,
}

/// Carries an exercise out; whether all was true.
pub async fn run(exercise: Exercise) -> Result<bool, SimulateError> {
    let signals = |kind| signal(kind).map_err(|error| SimulateError::io("signal", error));
    let (interrupts, terminates) = (signals(SignalKind::interrupt())?, signals(SignalKind::terminate())?);
    let mut progress = Progress::new();
    let found = find(&exercise, &mut progress).await?;
    let count = worker_count(&exercise);
    let mut workers = Workers::start(&exercise.program, count)?;
    let centre = match found {
        Some(sandbox) => Centre {
            server: None,
            smsc: None,
            trunk: sandbox.trunk,
            registrar: sandbox.registrar,
            api: sandbox.api,
            hotlines: target::SANDBOX_HOTLINES.map(str::to_owned).to_vec(),
        },
        None => own_centre(&exercise, &mut workers, &mut progress).await?,
    };
    let kills = kills(&exercise, centre.server.is_some());
    let now = clock::now();
    let rng = StdRng::seed_from_u64(exercise.seed);
    let own = centre.server.is_some();
    let mut run = Run {
        centre,
        workers,
        watch: Watch::default(),
        progress,
        interrupts,
        terminates,
        rng,
        began: now.mono,
        begun_at: now.wall.0,
        pulses: BTreeMap::new(),
        quiet: BTreeSet::new(),
        seated: BTreeSet::new(),
        gone: BTreeSet::new(),
        evidence: Evidence { own, ..Evidence::default() },
        measured: None,
        kills,
        sms_fault_at: SMS_FAULT_EVERY / 3,
        sms_fault_ends: None,
        recent: Vec::new(),
        exercise,
    };
    let result = run.carry_out().await;
    let log = run.centre.server.as_ref().map(Server::log);
    let ended = run.end().await;
    let good = result? && ended;
    if let Some(log) = log.filter(|_| !good) {
        eprintln!("热线的数据与日志留在 {}", log.parent().unwrap_or(&log).display());
    }
    Ok(good)
}

/// At most one worker a core, the centre's own left out, and no more than the rate needs.
fn worker_count(exercise: &Exercise) -> usize {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let wanted = (exercise.rate / RATE_A_WORKER).ceil() as usize;
    exercise.workers.unwrap_or(wanted).clamp(1, cores.saturating_sub(1).max(1))
}

/// The sandbox that is to be called; None: one is to be started.
async fn find(exercise: &Exercise, progress: &mut Progress) -> Result<Option<target::Sandbox>, SimulateError> {
    let few = target::SANDBOX_AGENTS;
    let given = exercise.to.as_deref();
    if exercise.own && given.is_none() {
        return Ok(None);
    }
    let base = given.unwrap_or(target::USUAL);
    let sandbox = match target::find(base).await {
        Ok(sandbox) => sandbox,
        // Whatever runs at the usual address is left alone.
        Err(_) if given.is_none() => None,
        Err(error) => return Err(error),
    };
    match (&sandbox, given) {
        (None, Some(base)) => Err(SimulateError::Said(format!("{base} 没有沙箱在运行;先运行 hotline,或不写 --to"))),
        (Some(_), Some(_)) if exercise.agents > few => Err(SimulateError::Said(format!(
            "沙箱接普通来电的坐席只有 {few} 个(8001–8019);要 {} 个坐席,请不写 --to,另起一个热线",
            exercise.agents
        ))),
        (Some(_), None) if exercise.agents > few => {
            progress.say(&format!("运行中的沙箱只有 {few} 个坐席,另起一个有 {} 个坐席的热线", exercise.agents));
            Ok(None)
        }
        _ => Ok(sandbox),
    }
}

async fn own_centre(
    exercise: &Exercise,
    workers: &mut Workers,
    progress: &mut Progress,
) -> Result<Centre, SimulateError> {
    let hotlines: Vec<String> = HOTLINES.iter().map(|(number, _)| (*number).to_owned()).collect();
    workers.say(0, &Order::Departments { hotlines: hotlines.clone() }).await;
    let word = async {
        while let Some(news) = workers.news().await {
            match news {
                News::Tale(_, Tale::Departments { at }) => return Ok(at),
                News::Tale(_, Tale::Trouble { what }) => return Err(SimulateError::Said(what)),
                News::Gone(_) => break,
                News::Tale(..) => {}
            }
        }
        Err(SimulateError::Said("工作进程没有启动".to_owned()))
    };
    let departments =
        timeout(FIRST_WORD, word).await.map_err(|_| SimulateError::Said("工作进程 20 秒内没有回音".to_owned()))??;
    let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let config = SmscConfig { capacity: 1_000_000, seed: exercise.seed, ..SmscConfig::default() };
    let smsc = Smsc::start(any, config).await.map_err(|error| SimulateError::io("SMPP", error))?;
    let wanted = Wanted { agents: exercise.agents, wrap_up: exercise.wrap_up, departments, sms: smsc.address() };
    let server = Server::start(&exercise.program, &exercise.folder, &wanted).await?;
    progress.say(&format!(
        "热线已启动:http://{}/ (admin / sandbox-admin),数据在 {}",
        server.http,
        exercise.folder.display()
    ));
    Ok(Centre {
        trunk: server.trunk,
        registrar: server.registrar,
        api: format!("http://{}/api/v1", server.http),
        server: Some(server),
        smsc: Some(smsc),
        hotlines,
    })
}

/// When a centre of our own is killed: early, so that its memory can be watched for the rest.
fn kills(exercise: &Exercise, own: bool) -> Vec<Duration> {
    let length = exercise.length.unwrap_or_else(|| {
        Duration::from_secs_f64(exercise.calls.unwrap_or_default() as f64 / exercise.rate.max(1e-3))
    });
    if !own || !exercise.faults || length < Duration::from_secs(15) {
        return Vec::new();
    }
    let mut rng = StdRng::seed_from_u64(exercise.seed ^ 0x6b69_6c6c);
    let shares: &[f64] = if length < Duration::from_secs(120) { &[0.5] } else { &[0.22, 0.1] };
    shares.iter().map(|share| length.mul_f64(share + rng.random_range(-0.03..0.03))).collect()
}

impl Run {
    async fn carry_out(&mut self) -> Result<bool, SimulateError> {
        self.begin().await;
        let mut desk = Desk::new(&self.centre.api, "admin")?;
        desk.session().await?;
        let watching = tokio::spawn(self.watch.clone().keep(Desk::new(&self.centre.api, "admin")?, self.begun_at));
        let whole = self.go_on().await;
        self.settle(&mut desk).await;
        watching.abort();
        self.watch.count_sms(&mut desk, self.begun_at).await;
        self.gather(&mut desk).await?;
        let good = self.add_up()?;
        Ok(good && whole)
    }

    async fn begin(&mut self) {
        let count = self.workers.len();
        let agents = server::agent_numbers(self.exercise.agents);
        let behaviour = Behaviour::usual(self.exercise.talk, self.exercise.patience, self.exercise.faults);
        for index in 0..count {
            let share = Share {
                seed: self.exercise.seed,
                index: index as u32,
                rate: self.exercise.rate / count as f64,
                callers: self.exercise.calls.map(|calls| portion(calls, count, index)),
                agents: agents.iter().skip(index).step_by(count).cloned().collect(),
                trunk: self.centre.trunk,
                registrar: self.centre.registrar,
                api: self.centre.api.clone(),
                hotlines: self.centre.hotlines.clone(),
                behaviour: behaviour.clone(),
            };
            self.workers.say(index, &Order::Begin(Box::new(share))).await;
        }
        let Exercise { rate, agents, seed, faults, .. } = self.exercise;
        // Who talks holds an agent for the talk, the ringing before and the wrap-up after it.
        let held = behaviour.citizens.talk.mean()
            + behaviour.agents.answers_after.mean()
            + self.exercise.wrap_up.as_secs_f64();
        let load = 100.0 * rate * held / f64::from(agents);
        let with = if faults { ",带故障" } else { "" };
        self.progress.say(&format!(
            "{count} 个工作进程,{agents} 个坐席,每秒 {rate} 通,预计坐席占用 {load:.0} %,种子 {seed}{with}"
        ));
    }

    /// Until the last caller is done; false when it was cut short by a fault of ours.
    async fn go_on(&mut self) -> bool {
        let mut seconds = interval(Duration::from_secs(1));
        seconds.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (mut second, mut stopped_at) = (0u64, None);
        let mut whole = true;
        loop {
            tokio::select! {
                news = self.workers.news() => match news {
                    Some(news) => self.hear(news),
                    None => return false,
                },
                _ = seconds.tick() => {
                    second += 1;
                    whole &= self.each_second(second).await;
                    let over = self.exercise.length.is_some_and(|length| self.at() >= length);
                    if stopped_at.is_none() && over {
                        stopped_at = Some(self.stop().await);
                    }
                }
                Some(()) = async { tokio::select! { x = self.interrupts.recv() => x, x = self.terminates.recv() => x } } => {
                    if stopped_at.is_some() {
                        self.progress.say("再次中断,立即结束。");
                        return false;
                    }
                    self.progress.say("不再拨打,等待通话结束;再按一次 Ctrl-C 立即结束。");
                    stopped_at = Some(self.stop().await);
                }
            }
            if self.quiet.len() + self.gone.len() >= self.workers.len() {
                return whole && self.gone.is_empty();
            }
            if stopped_at.is_some_and(|at: Instant| clock::now().mono.saturating_duration_since(at) > TAIL) {
                self.progress.say("仍有通话没有结束,不再等待。");
                return false;
            }
            if !whole {
                return false;
            }
        }
    }

    fn at(&self) -> Duration {
        clock::now().mono.saturating_duration_since(self.began)
    }

    async fn stop(&mut self) -> Instant {
        self.workers.say_all(&Order::Stop).await;
        self.kills.clear();
        clock::now().mono
    }

    fn hear(&mut self, news: News) {
        match news {
            News::Tale(index, Tale::Pulse(pulse)) => {
                self.pulses.insert(index, pulse);
                let busy = self.pulses.values().flat_map(|pulse| pulse.busy.iter().cloned()).collect();
                self.watch.seen().busy = busy;
            }
            News::Tale(_, Tale::Call(call)) => self.evidence.calls.push(call),
            News::Tale(_, Tale::AgentCall(call)) => self.evidence.agent_calls.push(call),
            News::Tale(_, Tale::Registered { ticket }) => drop(self.evidence.registered.insert(ticket)),
            News::Tale(index, Tale::Seated { agents, failed }) => {
                self.seated.insert(index);
                if self.seated.len() + self.gone.len() == self.workers.len() {
                    // Callers come from now on: this is where the time begins.
                    self.began = clock::now().mono;
                    self.evidence.samples.clear();
                    self.recent.clear();
                }
                if !failed.is_empty() {
                    self.progress.say(&format!("工作进程 {index}:{agents} 个坐席就座,没有就座的 {failed:?}"));
                }
            }
            News::Tale(index, Tale::Quiet) => drop(self.quiet.insert(index)),
            News::Tale(index, Tale::Trouble { what }) => self.progress.say(&format!("工作进程 {index}:{what}")),
            News::Tale(_, Tale::Departments { .. }) => {}
            News::Gone(index) => {
                self.gone.insert(index);
                self.pulses.remove(&index);
                self.progress.say(&format!("工作进程 {index} 意外退出,它的市民和坐席都不在了"));
            }
        }
    }

    fn total(&self) -> Pulse {
        let mut total = Pulse::default();
        for pulse in self.pulses.values() {
            total.dialling += pulse.dialling;
            total.waiting += pulse.waiting;
            total.talking += pulse.talking;
            total.placed += pulse.placed;
            total.ended += pulse.ended;
            total.to_redial += pulse.to_redial;
            total.agents += &pulse.agents;
        }
        total
    }

    /// Measures, shows, and brings what faults are due; false when the centre is gone for good.
    async fn each_second(&mut self, second: u64) -> bool {
        let (at, total) = (self.at(), self.total());
        self.recent.retain(|(then, _)| at.saturating_sub(*then) <= Duration::from_secs(10));
        self.recent.push((at, total.placed));
        let rate = self.recent.first().map_or(0.0, |(then, placed)| {
            (total.placed - placed) as f64 / at.saturating_sub(*then).as_secs_f64().max(1.0)
        });
        let usage = self.centre.server.as_ref().and_then(Server::usage);
        let line = {
            let seen = self.watch.seen();
            progress::line(at, &total, &seen, rate, usage.map(|usage| usage.resident_kb))
        };
        self.progress.show(second, &line);
        let now = clock::now().mono;
        if let (Some(usage), Some(server)) = (usage, &self.centre.server)
            && self.measured.is_none_or(|then| now.saturating_duration_since(then) >= MEASURE)
        {
            self.measured = Some(now);
            self.evidence.samples.push(Sample { at, usage, start: server.kills.len() });
        }
        self.sms_faults(at);
        if let Some(server) = self.centre.server.as_mut()
            && server.is_dead()
        {
            self.evidence.died = true;
            self.progress.say(&format!("热线程序自行退出,见 {}", server.log().display()));
            return false;
        }
        if self.kills.last().is_some_and(|due| at >= *due) {
            self.kills.pop();
            return self.crash().await;
        }
        true
    }

    async fn crash(&mut self) -> bool {
        let Some(server) = self.centre.server.as_mut() else { return true };
        self.watch.seen().away = true;
        let back = server.crash().await;
        self.watch.seen().away = false;
        match back {
            Ok(()) => {
                let away = server.away.last().copied().unwrap_or_default();
                self.progress.say(&format!("kill -9,{:.1} 秒后重新就绪", away.as_secs_f64()));
                true
            }
            Err(error) => {
                self.evidence.died = true;
                self.progress.say(&format!("强杀后没有重新启动:{error}"));
                false
            }
        }
    }

    /// The SMS centre misbehaves now and then.
    fn sms_faults(&mut self, at: Duration) {
        let Some(smsc) = self.centre.smsc.as_ref().filter(|_| self.exercise.faults) else { return };
        if self.sms_fault_ends.is_some_and(|ends| at >= ends) {
            smsc.set_faults(Faults::default());
            self.sms_fault_ends = None;
        }
        if at < self.sms_fault_at {
            return;
        }
        let good = Faults::default();
        let kinds = [
            Faults { silent: true, ..good.clone() },
            Faults { reset: true, ..good.clone() },
            Faults { throttle: 20, ..good.clone() },
            Faults { delay: Duration::from_secs(2), ..good.clone() },
            Faults { duplicate_receipts: true, ..good.clone() },
            Faults { receipts_first: true, ..good.clone() },
            Faults { refuse_binds: true, reset: true, ..good },
        ];
        if let Some(kind) = kinds.choose(&mut self.rng) {
            smsc.set_faults(kind.clone());
        }
        self.sms_fault_ends = Some(at + SMS_FAULT);
        self.sms_fault_at = at + SMS_FAULT_EVERY.mul_f64(self.rng.random_range(0.7..1.3));
    }

    /// Waits until the centre has closed its calls and sent its SMS.
    async fn settle(&mut self, desk: &mut Desk) {
        self.progress.say("等待热线结清……");
        if let Some(smsc) = &self.centre.smsc {
            smsc.set_faults(Faults::default());
        }
        let (until, receipts_until) = (clock::now().mono + SETTLE, clock::now().mono + RECEIPTS);
        while clock::now().mono < until {
            self.listen(Duration::from_secs(1)).await;
            let live = books::live_calls(desk).await.unwrap_or(1);
            let mut open = 0;
            // A receipt that was lost on a bad connection is not sent again: it is waited for a while only.
            let receipts = if clock::now().mono < receipts_until { "submitted" } else { "pending" };
            for state in ["pending", receipts].iter().take(if self.evidence.own { 2 } else { 0 }) {
                open += books::messages_in(desk, state, self.begun_at).await.map_or(1, |ids| ids.len());
            }
            if live == 0 && open == 0 {
                break;
            }
        }
        // The media thread gives ports back a moment after their calls.
        self.listen(Duration::from_secs(2)).await;
    }

    /// Hears the workers for so long.
    async fn listen(&mut self, length: Duration) {
        let end = clock::now().mono + length;
        loop {
            tokio::select! {
                Some(news) = self.workers.news() => self.hear(news),
                () = tokio::time::sleep_until(end.into()) => return,
            }
        }
    }

    async fn gather(&mut self, desk: &mut Desk) -> Result<(), SimulateError> {
        self.evidence.agents = self.total().agents;
        self.evidence.books = Books::read(desk, self.begun_at).await?;
        {
            let seen = self.watch.seen();
            (self.evidence.ghosts, self.evidence.sms) = (seen.ghosts.clone(), seen.sms.clone());
        }
        if let Some(server) = &self.centre.server {
            self.evidence.kills = server.kills.clone();
            self.evidence.panics = server.panics();
        }
        let base = self.centre.api.trim_end_matches("/api/v1");
        if let Ok(answer) = crate::sandbox::http_client::Client::new(base)?.get("/metrics").await {
            let text = String::from_utf8_lossy(&answer.body).into_owned();
            let figure = |name: &str| metric(&text, name);
            self.evidence.ports = figure("hotline_rtp_ports_free").zip(figure("hotline_rtp_ports"));
            self.evidence.legs_left = figure("hotline_media_legs");
            self.evidence.calls_left = figure("hotline_calls_in_progress");
        }
        let served: Vec<(String, i64)> = {
            let rows = &self.evidence.books.recordings;
            rows.iter().filter(|row| row.state != "recording").map(|row| (row.id.clone(), row.duration_ms)).collect()
        };
        let chosen: Vec<(String, i64)> = served.choose_multiple(&mut self.rng, LISTEN).cloned().collect();
        for (recording, _) in chosen {
            let wav = desk.session().await?.get(&format!("/recordings/{recording}/audio")).await?.body;
            // Stereo, 16 bits, 8 kHz, behind 44 octets of head.
            let wav_ms = wav.len().saturating_sub(44) as i64 / 32;
            self.evidence.heard.push(Heard { recording, wav_ms });
        }
        Ok(())
    }

    fn add_up(&mut self) -> Result<bool, SimulateError> {
        let equations = summary::equations(&self.evidence);
        let verdicts = invariants::judge(&self.evidence);
        println!("{}", summary::words(&self.evidence, &equations, &verdicts));
        if let Some(server) = &self.centre.server {
            for (message, count) in server.errors().iter().take(5) {
                println!("  热线日志 ERROR × {count}:{message}");
            }
        }
        let good = summary::all_true(&equations, &verdicts);
        println!("{}", if good { "全部成立。" } else { "有不成立的项。" });
        if let Some(out) = &self.exercise.out {
            let text = format!("{:#}\n", summary::json(&self.evidence, &equations, &verdicts, &self.settings()));
            std::fs::write(out, text).map_err(|error| SimulateError::io(out.display(), error))?;
        }
        Ok(good)
    }

    fn settings(&self) -> Value {
        let Exercise { calls, rate, agents, seed, faults, talk, patience, .. } = &self.exercise;
        json!({
            "calls": calls, "rate": rate, "agents": agents, "seed": seed, "faults": faults, "talk_median_s": talk,
            "patience_median_s": patience, "seconds": self.at().as_secs(), "workers": self.workers.len(),
        })
    }

    /// Ends workers, SMS centre and centre, in this order; whether the centre ended well.
    async fn end(self) -> bool {
        let Run { workers, mut centre, evidence, .. } = self;
        let gone = workers.leave().await;
        let mut good = gone.iter().all(|exit| exit.is_some_and(|exit| exit.success()));
        if let Some(server) = centre.server.as_mut() {
            let ended = server.end().await;
            if !ended && !evidence.died {
                eprintln!("热线没有在 20 秒内正常结束");
            }
            good &= ended;
        }
        sleep(Duration::ZERO).await;
        good
    }
}

/// One worker's part of a number: the parts add up to it.
fn portion(whole: u64, count: usize, index: usize) -> u64 {
    let (count, index) = (count as u64, index as u64);
    whole / count + u64::from(index < whole % count)
}

/// The sum of a metric's values, whatever their labels.
fn metric(text: &str, name: &str) -> Option<u64> {
    let values: Vec<f64> = text
        .lines()
        .filter_map(|line| line.strip_prefix(name))
        .filter(|rest| rest.starts_with([' ', '{']))
        .filter_map(|rest| rest.rsplit(' ').next()?.parse().ok())
        .collect();
    (!values.is_empty()).then(|| values.iter().sum::<f64>() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn portions_add_up() {
        for (whole, count) in [(100, 3), (2, 3), (0, 1), (7, 7)] {
            assert_eq!((0..count).map(|index| portion(whole, count, index)).sum::<u64>(), whole);
        }
    }

    #[test]
    fn metrics_are_found_by_their_whole_name() {
        let text = "# TYPE x gauge\nhotline_rtp_ports 100\nhotline_rtp_ports_free 98\nhotline_legs{t=\"0\"} 1\nhotline_legs{t=\"1\"} 2\n";
        assert_eq!(metric(text, "hotline_rtp_ports"), Some(100));
        assert_eq!(metric(text, "hotline_rtp_ports_free"), Some(98));
        assert_eq!(metric(text, "hotline_legs"), Some(3));
        assert_eq!(metric(text, "hotline_none"), None);
    }
}
