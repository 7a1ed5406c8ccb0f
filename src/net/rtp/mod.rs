//! The media pool: RTP ports, the media threads, and the way to them.
//!
//! All legs of a call live on one thread, chosen by the call's id. Left out: SRTP and browser legs.

pub(crate) mod ports;

use super::{
    media_thread::{self, Mailbox, Message, Parts, Sockets, ThreadCounters},
    recording::{self, RecordingConfig},
};
use crate::{
    ids::{CallId, LegId},
    media::engine::{CallEvent, Command},
};
use ports::Ports;
use rand::{Rng, SeedableRng, rngs::StdRng};
use socket2::{Domain, Protocol, Socket, Type};
use std::{
    io,
    net::{IpAddr, SocketAddr, UdpSocket},
    ops::RangeInclusive,
    sync::{Arc, Mutex, PoisonError},
    thread::JoinHandle,
};

/// Where events go. Called on media and writer threads: it must not block.
pub type EventSink = Arc<dyn Fn(CallEvent) + Send + Sync>;

/// How the pool is set up.
#[derive(Clone, Debug)]
pub struct MediaConfig {
    /// Where RTP is received; what is told to peers may differ (NAT) and is not known here.
    pub bind_ip: IpAddr,
    /// RTP takes the even ports, RTCP the odd ones above them.
    pub ports: RangeInclusive<u16>,
    /// At least one.
    pub threads: usize,
    /// Keeps thread n on CPU n.
    pub pin: bool,
    /// None: nothing is recorded.
    pub recordings: Option<RecordingConfig>,
}

impl MediaConfig {
    /// Ports 20000–29999, one thread, no recordings.
    pub fn new(bind_ip: IpAddr) -> Self {
        MediaConfig { bind_ip, ports: 20_000..=29_999, threads: 1, pin: false, recordings: None }
    }
}

/// Why a leg got no port.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Each pair of ports in the configured range is taken.
    #[error("all RTP ports are in use")]
    Exhausted,
    /// The system refuses it, as for want of file descriptors.
    #[error("no RTP port can be opened: {0}")]
    Io(#[from] io::Error),
    /// Its mailbox is full, and the leg would not be heard.
    #[error("the media thread is too far behind")]
    Overloaded,
}

/// The mailbox of a media thread is full; the command was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the media thread is too far behind")]
pub struct Overloaded;

/// How many ports that others hold are skipped for one leg.
const MOST_BUSY: usize = 64;
/// Octets of a socket's receive buffer: some 80 packets as the kernel counts them.
const RECEIVE_BUFFER: usize = 64 * 1024;
/// DSCP EF (RFC 3246), in the upper six bits of the octet.
const EXPEDITED: u32 = 46 << 2;

/// All media threads. Dropping it ends them; recordings are sealed first.
pub struct MediaPool {
    bind_ip: IpAddr,
    ports: Arc<Mutex<Ports>>,
    mailboxes: Vec<Arc<Mailbox>>,
    counters: Vec<Arc<ThreadCounters>>,
    threads: Vec<JoinHandle<()>>,
    writers: Option<recording::Writers>,
}

impl MediaPool {
    /// Starts the threads. Errors where the system refuses a thread or the recordings' folder.
    pub fn new(config: MediaConfig, events: EventSink) -> io::Result<MediaPool> {
        let mut rng = StdRng::from_os_rng();
        let ports = Arc::new(Mutex::new(Ports::new(config.ports.clone(), &mut rng)));
        let epoch = super::clock::now().mono;
        let threads = config.threads.max(1);
        let mut writers = None;
        let mut recorders = vec![];
        if let Some(settings) = config.recordings {
            let (started, producers) = recording::Writers::start(settings, threads, events.clone())?;
            writers = Some(started);
            recorders = producers;
        }
        let mut pool = MediaPool {
            bind_ip: config.bind_ip,
            ports: ports.clone(),
            mailboxes: vec![],
            counters: vec![],
            threads: vec![],
            writers,
        };
        let mut recorders = recorders.into_iter();
        for n in 0..threads {
            let (mailbox, counters) = (Arc::new(Mailbox::new()?), Arc::new(ThreadCounters::default()));
            pool.threads.push(media_thread::spawn(Parts {
                name: format!("media-{n}"),
                cpu: config.pin.then_some(n),
                seed: rng.random(),
                epoch,
                mailbox: mailbox.clone(),
                counters: counters.clone(),
                events: events.clone(),
                ports: ports.clone(),
                recorder: recorders.next(),
            })?);
            pool.mailboxes.push(mailbox);
            pool.counters.push(counters);
        }
        Ok(pool)
    }

    fn thread_of(&self, call: CallId) -> usize {
        // Ids of calls that follow each other differ in their low bits only; multiplying spreads them (Knuth 6.4).
        (call.0.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32) as usize % self.mailboxes.len()
    }

    fn mailbox(&self, call: CallId) -> &Arc<Mailbox> {
        &self.mailboxes[self.thread_of(call)]
    }

    fn ports(&self) -> std::sync::MutexGuard<'_, Ports> {
        self.ports.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Opens a leg's sockets and adds the leg, which learns from its negotiated host until `AddLeg` says otherwise.
    /// Gives the address of the RTP socket; RTCP is one port above. Errors where no pair of ports is free, or the
    /// thread is too far behind.
    pub fn open(&self, call: CallId, leg: LegId) -> Result<SocketAddr, OpenError> {
        let mut busy = None;
        for _ in 0..MOST_BUSY {
            let Some(port) = self.ports().take() else {
                return Err(busy.map_or(OpenError::Exhausted, OpenError::Io));
            };
            let pair = bind(self.bind_ip, port).and_then(|rtp| Ok((rtp, bind(self.bind_ip, port + 1)?)));
            match pair {
                Ok((rtp, rtcp)) => {
                    let address = rtp.local_addr()?;
                    let sockets = Sockets { rtp, rtcp, port, connected: false };
                    if !self.mailbox(call).post(Message::Open { call, leg, sockets }) {
                        self.ports().give_back(port);
                        return Err(OpenError::Overloaded);
                    }
                    return Ok(address);
                }
                Err(error) => {
                    self.ports().give_back(port);
                    if error.kind() != io::ErrorKind::AddrInUse {
                        return Err(error.into());
                    }
                    busy = Some(error);
                }
            }
        }
        Err(busy.map_or(OpenError::Exhausted, OpenError::Io))
    }

    /// Hands a command to the call's thread. When 16,384 messages wait there it is refused, except `RemoveLeg` and
    /// `StopRecording`, which are always taken.
    pub fn command(&self, call: CallId, command: Command) -> Result<(), Overloaded> {
        if self.mailbox(call).post(Message::Command(call, command)) { Ok(()) } else { Err(Overloaded) }
    }

    /// Removes a leg: RTCP BYE, its figures as an event, sockets closed, ports given back.
    pub fn close(&self, call: CallId, leg: LegId) {
        self.mailbox(call).post(Message::Command(call, Command::RemoveLeg { leg }));
    }

    /// Gives a leg to another call, with its sockets and its line. What it heard and who heard it ends; what plays
    /// goes on. Commands for the new call that follow wait for the leg.
    pub fn move_leg(&self, leg: LegId, from: CallId, to: CallId) {
        let target = self.mailbox(to);
        if !Arc::ptr_eq(self.mailbox(from), target) {
            target.post(Message::Expect { call: to, leg });
        }
        self.mailbox(from).post(Message::MoveOut { leg, from, to, target: target.clone() });
    }

    /// Pairs of ports that are free, and all there are.
    pub fn ports_free_of_all(&self) -> (usize, usize) {
        self.ports().free_of_all()
    }

    /// What the writers of recordings count; None where nothing is recorded.
    pub fn recording_counters(&self) -> Option<&Arc<recording::WriterCounters>> {
        self.writers.as_ref().map(recording::Writers::counters)
    }

    /// What each thread counts.
    pub fn counters(&self) -> &[Arc<ThreadCounters>] {
        &self.counters
    }
}

impl Drop for MediaPool {
    fn drop(&mut self) {
        for mailbox in &self.mailboxes {
            mailbox.post(Message::Stop);
        }
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
        if let Some(writers) = self.writers.take() {
            writers.stop();
        }
    }
}

fn bind(ip: IpAddr, port: u16) -> io::Result<UdpSocket> {
    let address = SocketAddr::new(ip, port);
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM.nonblocking(), Some(Protocol::UDP))?;
    socket.set_recv_buffer_size(RECEIVE_BUFFER)?;
    if ip.is_ipv4() {
        // Not all systems let everybody mark packets; unmarked ones are heard as well.
        let _ = socket.set_tos_v4(EXPEDITED);
    }
    socket.bind(&address.into())?;
    Ok(socket.into())
}

#[cfg(test)]
mod tests;
