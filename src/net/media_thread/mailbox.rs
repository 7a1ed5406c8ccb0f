//! A media thread's mailbox: bounded for commands, and never refusing what would leak a socket.

use super::epoll::Waker;
use crate::{
    ids::{CallId, LegId},
    media::engine::{Command, Leg},
};
use std::{
    collections::VecDeque,
    io,
    net::UdpSocket,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

/// A leg's sockets and the even port of its pair.
#[derive(Debug)]
pub(crate) struct Sockets {
    pub(crate) rtp: UdpSocket,
    pub(crate) rtcp: UdpSocket,
    pub(crate) port: u16,
    /// The RTP socket is connected: the kernel drops other sources and looks up no route for each packet.
    pub(crate) connected: bool,
}

#[derive(Debug)]
pub(crate) enum Message {
    Command(CallId, Command),
    Open {
        call: CallId,
        leg: LegId,
        sockets: Sockets,
    },
    /// A leg will come to this call; what is asked of the call waits for it.
    Expect {
        call: CallId,
        leg: LegId,
    },
    /// A leg goes to another call, of this thread or of the one whose mailbox it is.
    MoveOut {
        leg: LegId,
        from: CallId,
        to: CallId,
        target: Arc<Mailbox>,
    },
    /// The leg that was expected, or nothing where there was none.
    Arrive {
        call: CallId,
        leg: LegId,
        content: Option<(Box<Leg>, Option<Sockets>)>,
    },
    Stop,
}

/// Commands that wait at most. A thread that is this far behind is lost anyway; the caller is told.
const MOST: usize = 16_384;

#[derive(Debug)]
pub(crate) struct Mailbox {
    queue: Mutex<VecDeque<Message>>,
    pending: AtomicBool,
    pub(super) waker: Waker,
}

impl Mailbox {
    pub(crate) fn new() -> io::Result<Mailbox> {
        Ok(Mailbox { queue: Mutex::default(), pending: AtomicBool::new(false), waker: Waker::new()? })
    }

    /// Posts a message; false when the mailbox is full. What frees something is always taken: it is bounded by what
    /// there is to free.
    pub(crate) fn post(&self, message: Message) -> bool {
        let frees = match &message {
            Message::Command(_, command) => {
                matches!(command, Command::RemoveLeg { .. } | Command::StopRecording { .. })
            }
            Message::Open { .. } => false,
            Message::Expect { .. } | Message::MoveOut { .. } | Message::Arrive { .. } | Message::Stop => true,
        };
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        if queue.len() >= MOST && !frees {
            return false;
        }
        queue.push_back(message);
        drop(queue);
        if !self.pending.swap(true, Ordering::AcqRel) {
            self.waker.wake();
        }
        true
    }

    /// Swaps what waits with the empty `into`; the lock is held for a moment, and only after a wake-up.
    pub(super) fn drain(&self, into: &mut VecDeque<Message>) {
        // In this order: what is posted after the flag is lowered wakes again, what was posted before is taken.
        self.waker.clear();
        self.pending.store(false, Ordering::Release);
        std::mem::swap(&mut *self.queue.lock().unwrap_or_else(PoisonError::into_inner), into);
    }
}
