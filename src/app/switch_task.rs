//! The switch's shell: one thread that reads SIP's sockets, carries time, media events and commands to the switch,
//! and carries out what comes back. Everything that may wait (the spool, the database, webhooks) is elsewhere.

use super::{
    App, figures,
    switch::{Change, Input, Leftover, MediaPort, Output, Parts, Switch},
};
use crate::{
    acd::message as acd,
    call::{Command, Rejected},
    clock::Now,
    ids::{CallId, LegId},
    media::engine as media,
    net::{
        clock,
        rtp::MediaPool,
        sip::{self, Bound, Sockets},
    },
    sip::{dialog::DialogSnapshot, endpoint},
};
use std::{
    future::poll_fn,
    io,
    net::SocketAddr,
    sync::Arc,
    task::Poll,
    thread,
    time::{Duration, Instant},
};
use tokio::sync::{mpsc, oneshot};

/// Inputs that wait for the switch; at ten messages a call this is seconds of a storm.
const MAILBOX: usize = 65_536;
/// How many datagrams are taken before timers and commands have their turn.
const BATCH: usize = 64;
/// How many of those who wait are shown of each queue.
const WAITERS: usize = 50;
/// Every so many seconds agents are held against living calls.
const RECONCILE: u64 = 5;
/// How often the figures are told.
const FIGURES: Duration = Duration::from_secs(1);

/// A listener that is given up stays open for so long after its last dialog: the longest that anything is repeated
/// (RFC 3261, 64 times T1).
const LINGER: Duration = Duration::from_secs(32);

/// What the switch's thread is asked.
pub enum Ask {
    /// Anything that needs no answer.
    Input(Input),
    /// A command on a call.
    Command {
        /// Which one.
        call: CallId,
        /// What is asked of it.
        command: Command,
        /// None inside where there is no such call.
        reply: oneshot::Sender<Result<(), Option<Rejected>>>,
    },
    /// A change to an agent.
    Agent {
        /// What is asked of the ACD.
        input: acd::Input,
        /// Why it was refused, where it was.
        reply: oneshot::Sender<Result<(), crate::acd::Rejected>>,
    },
    /// BYE for the dialogs that an earlier run left behind.
    EndDialogs(Vec<DialogSnapshot>),
    /// Other settings; calls in progress keep what they began with.
    Reconfigure {
        /// What changes.
        change: Box<Change>,
        /// Where SIP listens from here on.
        listen: Addresses,
        /// The sockets of what is new.
        bound: Bound,
        /// What is left to be done; an error where nothing changed.
        reply: oneshot::Sender<anyhow::Result<Leftover>>,
    },
    /// How settings and sockets stand.
    Standing(oneshot::Sender<Standing>),
    /// Hang up everything: the end of a drain.
    EndAll,
    /// Whether the switch's thread is alive: it answers.
    Alive {
        /// The answer.
        reply: oneshot::Sender<()>,
    },
}

/// The way to the switch.
#[derive(Clone)]
pub struct SwitchHandle {
    asks: mpsc::Sender<Ask>,
}

/// The switch cannot be reached: it is overloaded, or the program is ending.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the switch takes nothing more")]
pub struct Overloaded;

impl SwitchHandle {
    /// A handle, and what its thread reads from.
    pub fn new() -> (Self, mpsc::Receiver<Ask>) {
        let (asks, inbox) = mpsc::channel(MAILBOX);
        (SwitchHandle { asks }, inbox)
    }

    /// Gives an input; refused when the mailbox is full.
    ///
    /// # Errors
    /// [`Overloaded`].
    pub fn try_input(&self, input: Input) -> Result<(), Overloaded> {
        self.asks.try_send(Ask::Input(input)).map_err(|_| {
            metrics::counter!("hotline_switch_mailbox_overflow_total").increment(1);
            Overloaded
        })
    }

    /// Carries out a command on a call.
    ///
    /// # Errors
    /// [`Overloaded`]; inside, None when there is no such call, or why it was refused.
    pub async fn command(&self, call: CallId, command: Command) -> Result<Result<(), Option<Rejected>>, Overloaded> {
        let (reply, answer) = oneshot::channel();
        self.asks.send(Ask::Command { call, command, reply }).await.map_err(|_| Overloaded)?;
        answer.await.map_err(|_| Overloaded)
    }

    /// Changes an agent.
    ///
    /// # Errors
    /// [`Overloaded`]; inside, why the ACD refused.
    pub async fn agent(&self, input: acd::Input) -> Result<Result<(), crate::acd::Rejected>, Overloaded> {
        let (reply, answer) = oneshot::channel();
        self.asks.send(Ask::Agent { input, reply }).await.map_err(|_| Overloaded)?;
        answer.await.map_err(|_| Overloaded)
    }

    /// Asks anything else.
    ///
    /// # Errors
    /// [`Overloaded`].
    pub async fn ask(&self, ask: Ask) -> Result<(), Overloaded> {
        self.asks.send(ask).await.map_err(|_| Overloaded)
    }
}

impl MediaPort for MediaPool {
    fn open(&mut self, group: CallId, leg: LegId) -> io::Result<SocketAddr> {
        MediaPool::open(self, group, leg).map_err(io::Error::other)
    }

    fn command(&mut self, group: CallId, command: media::Command) {
        if MediaPool::command(self, group, command).is_err() {
            metrics::counter!("hotline_media_mailbox_overflow_total").increment(1);
        }
    }

    fn close(&mut self, group: CallId, leg: LegId) {
        MediaPool::close(self, group, leg);
    }
}

/// Where SIP listens.
pub struct Listen {
    /// For datagrams.
    pub udp: Vec<SocketAddr>,
    /// For connections.
    pub streams: sip::Listen,
}

/// Addresses at which SIP listens.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Addresses {
    /// For datagrams.
    pub udp: Vec<SocketAddr>,
    /// For connections, encrypted or not.
    pub streams: Vec<SocketAddr>,
    /// Of these, for encrypted ones.
    pub tls: Vec<SocketAddr>,
}

/// Where a change of the settings would begin.
#[derive(Clone, Debug)]
pub struct Standing {
    /// What earlier changes left to be done.
    pub leftover: Leftover,
    /// Where it is listened now, what is about to be closed included.
    pub open: Addresses,
}

impl Listen {
    /// All of them.
    pub fn addresses(&self) -> Addresses {
        let tls: Vec<SocketAddr> = self.streams.tls.iter().map(|(address, _)| *address).collect();
        Addresses { udp: self.udp.clone(), streams: self.streams.tcp.iter().chain(&tls).copied().collect(), tls }
    }

    /// What is not open yet.
    pub fn beyond(mut self, open: &Addresses) -> Listen {
        self.udp.retain(|address| !open.udp.contains(address));
        self.streams.tcp.retain(|address| !open.streams.contains(address));
        self.streams.tls.retain(|(address, _)| !open.streams.contains(address));
        self
    }
}

/// Starts the switch's thread; returns once every listener is open.
///
/// # Errors
/// An address that cannot be bound, named in the error.
pub async fn start(
    app: Arc<App>,
    parts: Parts<MediaPool>,
    listen: Listen,
    inbox: mpsc::Receiver<Ask>,
) -> anyhow::Result<()> {
    let (ready, opened) = oneshot::channel();
    thread::Builder::new().name("switch-0".to_owned()).spawn(move || {
        let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
            Ok(runtime) => runtime,
            Err(error) => return drop(ready.send(Err(error))),
        };
        runtime.block_on(async move {
            let (packets, received) = mpsc::channel(MAILBOX);
            match Sockets::open(&listen.udp, listen.streams, packets).await {
                Ok(sockets) => {
                    sockets.connections.set_access(parts.config.access());
                    let _ = ready.send(Ok(()));
                    let shell = Shell { app, switch: Switch::new(parts), sockets, closing: Vec::new() };
                    shell.run(inbox, received).await;
                }
                Err(error) => drop(ready.send(Err(error))),
            }
        });
    })?;
    Ok(opened.await??)
}

struct Shell {
    app: Arc<App>,
    switch: Switch<MediaPool>,
    sockets: Sockets,
    /// Addresses that the settings name no more, and since when no dialog goes over them.
    closing: Vec<(Closing, Instant)>,
}

/// A listener that is closed when its dialogs have ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Closing {
    Udp(SocketAddr),
    Tcp(SocketAddr),
}

/// What woke the shell.
enum Woken {
    Readable(usize),
    Packet(endpoint::Input),
    Ask(Ask),
    Due,
    Closed,
}

impl Shell {
    async fn run(mut self, mut inbox: mpsc::Receiver<Ask>, mut packets: mpsc::Receiver<endpoint::Input>) {
        let mut figures = clock::now().mono;
        let mut seconds = 0u64;
        let mut day = self.app.store.day(clock::now().wall);
        // Queues that nobody has called yet are shown too.
        for queue in self.switch.acd().queues(clock::now(), WAITERS) {
            self.app.queue_changed(queue);
        }
        loop {
            self.flush();
            let now = clock::now();
            if now.mono >= figures {
                figures = now.mono + FIGURES;
                self.tell_figures();
                seconds += 1;
                self.close_listeners(now);
                if seconds.is_multiple_of(RECONCILE) {
                    self.switch.reconcile(now);
                }
                let today = self.app.store.day(now.wall);
                if today != day {
                    day = today;
                    self.switch.new_day(now);
                }
                self.flush();
            }
            let due = self.switch.poll_timeout().map_or(figures, |at| at.min(figures));
            match self.wait(&mut inbox, &mut packets, due).await {
                Woken::Readable(index) => self.read(index),
                Woken::Packet(input) => self.input(Input::Sip(input)),
                Woken::Ask(ask) => self.asked(ask),
                Woken::Due => {}
                Woken::Closed => return,
            }
            // Whatever woke us, each source has its turn: a flood of datagrams must not starve connections, commands
            // and the spool's answers.
            for _ in 0..BATCH {
                let Ok(input) = packets.try_recv() else { break };
                self.input(Input::Sip(input));
            }
            for _ in 0..BATCH {
                let Ok(ask) = inbox.try_recv() else { break };
                self.asked(ask);
            }
            let now = clock::now();
            if self.switch.poll_timeout().is_some_and(|at| at <= now.mono) {
                self.switch.handle_timeout(now);
            }
        }
    }

    async fn wait(
        &mut self,
        inbox: &mut mpsc::Receiver<Ask>,
        packets: &mut mpsc::Receiver<endpoint::Input>,
        due: Instant,
    ) -> Woken {
        let sleep = tokio::time::sleep_until(due.into());
        tokio::pin!(sleep);
        let udp = &mut self.sockets.udp;
        poll_fn(|cx| {
            if let Poll::Ready(index) = udp.poll_readable(cx) {
                return Poll::Ready(Woken::Readable(index));
            }
            if let Poll::Ready(ask) = inbox.poll_recv(cx) {
                return Poll::Ready(ask.map_or(Woken::Closed, Woken::Ask));
            }
            if let Poll::Ready(Some(input)) = packets.poll_recv(cx) {
                return Poll::Ready(Woken::Packet(input));
            }
            sleep.as_mut().poll(cx).map(|()| Woken::Due)
        })
        .await
    }

    fn read(&mut self, index: usize) {
        for _ in 0..BATCH {
            let Some((flow, bytes)) = self.sockets.udp.try_receive(index) else { return };
            self.input(Input::Sip(endpoint::Input::Packet { flow, bytes }));
            self.flush();
        }
    }

    fn input(&mut self, input: Input) {
        self.switch.handle_input(clock::now(), input);
    }

    fn asked(&mut self, ask: Ask) {
        let now = clock::now();
        match ask {
            Ask::Input(input) => self.switch.handle_input(now, input),
            // What came of it is published before the answer, so that who asked reads it.
            Ask::Command { call, command, reply } => {
                let result = self.switch.command(now, call, command);
                self.flush();
                let _ = reply.send(result);
            }
            Ask::Agent { input, reply } => {
                let result = self.switch.agent_input(now, input);
                self.flush();
                let _ = reply.send(result);
            }
            Ask::EndDialogs(snapshots) => {
                for snapshot in &snapshots {
                    self.switch.end_old_dialog(now, snapshot);
                }
            }
            Ask::Reconfigure { change, listen, bound, reply } => {
                let result = self.reconfigure(now, *change, &listen, bound);
                self.flush();
                let _ = reply.send(result);
            }
            Ask::Standing(reply) => {
                let udp = self.sockets.udp.local_addrs().collect();
                let connections = &self.sockets.connections;
                let open = Addresses { udp, streams: connections.local_addrs(), tls: connections.encrypted() };
                let _ = reply.send(Standing { leftover: self.switch.leftover(), open });
            }
            Ask::EndAll => self.switch.end_all(now),
            Ask::Alive { reply } => drop(reply.send(())),
        }
        self.flush();
    }

    /// Puts other settings in force. Where we listened and do no more, what is under way goes on to its end.
    fn reconfigure(&mut self, now: Now, change: Change, listen: &Addresses, bound: Bound) -> anyhow::Result<Leftover> {
        let config = change.config.clone();
        let leftover = self.switch.reconfigure(now, change)?;
        self.sockets.add(bound)?;
        self.sockets.connections.set_access(config.access());
        let udp = self.sockets.udp.local_addrs().filter(|local| !listen.udp.contains(local)).map(Closing::Udp);
        let tcp = self.sockets.connections.local_addrs();
        let tcp = tcp.into_iter().filter(|local| !listen.streams.contains(local)).map(Closing::Tcp);
        self.closing = udp.chain(tcp).map(|closing| (closing, now.mono)).collect();
        Ok(leftover)
    }

    /// Closes the listeners whose last dialog ended long enough ago for its last messages to be repeated.
    fn close_listeners(&mut self, now: Now) {
        let (switch, sockets) = (&self.switch, &mut self.sockets);
        self.closing.retain_mut(|(closing, quiet_since)| {
            let (Closing::Udp(local) | Closing::Tcp(local)) = *closing;
            if switch.endpoint().speaks_at(local) {
                *quiet_since = now.mono;
            }
            if now.mono < *quiet_since + LINGER {
                return true;
            }
            match *closing {
                Closing::Udp(local) => sockets.udp.close(local),
                Closing::Tcp(local) => sockets.connections.close(local),
            }
            tracing::info!(%local, "SIP is listened for here no more");
            false
        });
    }

    /// Carries out what the switch wants.
    fn flush(&mut self) {
        while let Some(output) = self.switch.poll_output() {
            match output {
                Output::Transmit { flow, bytes } => {
                    if !self.sockets.send(&flow, bytes) {
                        self.input(Input::Sip(endpoint::Input::FlowFailed { flow }));
                    }
                }
                Output::AgentChanged { agent } => {
                    if let Some(snapshot) = self.switch.acd().agent(&agent, clock::now()) {
                        self.app.agent_changed(snapshot);
                    }
                }
                Output::QueueChanged { queue } => {
                    if let Some(snapshot) = self.switch.acd().queue(&queue, clock::now(), WAITERS) {
                        self.app.queue_changed(snapshot);
                    }
                }
                output => self.app.switch_said(output),
            }
        }
    }

    fn tell_figures(&mut self) {
        metrics::gauge!("hotline_calls_in_progress").set(self.switch.calls() as f64);
        metrics::gauge!("hotline_sip_connections").set(self.sockets.connections.count() as f64);
        figures::sip(self.switch.endpoint());
        figures::media(self.switch.media());
        let (free, all) = self.switch.media().ports_free_of_all();
        self.app.reports.ports(free, all);
        figures::spool(&self.app.spool);
        figures::tasks(&self.app.runtime);
    }
}
