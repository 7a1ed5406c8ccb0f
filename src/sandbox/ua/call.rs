//! A call as its user sees it: a handle on what the engine does.

use super::{
    UaError,
    audio::{Audio, Player},
    engine::Command,
    rtp::{self, Heard, Sign},
    sdp::Direction,
};
use std::{sync::Arc, time::Duration};
use tokio::{
    sync::{mpsc, oneshot, watch},
    time::timeout,
};

/// Who brought a call to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// This user agent: a BYE, a CANCEL or a refusal of ours.
    Us,
    /// The other side.
    Peer,
    /// Nobody: an answer or an acknowledgement never came.
    Network,
}

/// How a call ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ending {
    /// Whose doing it was.
    pub by: Side,
    /// The SIP status; 200 for a BYE.
    pub status: u16,
    /// The peer's Reason or reason phrase, or our own words.
    pub reason: String,
}

/// How far a call has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Phase {
    /// An INVITE is out or came, and nothing was answered yet.
    Dialing,
    /// 180 or 183 came, or was sent.
    Ringing,
    /// A 2xx came, or was sent.
    Answered,
    /// It is over.
    Ended(Ending),
}

/// What is known of a call now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// How far it has come.
    pub phase: Phase,
    /// It was answered, whatever became of it since.
    pub answered: bool,
    /// The latest provisional status, 0 before the first.
    pub provisional: u16,
    /// A provisional response brought SDP: what is heard before the answer is the peer's.
    pub early_media: bool,
    /// The peer put us on hold.
    pub held: bool,
    /// New offers of the peer that we answered (re-INVITE and UPDATE).
    pub offers: u32,
}

/// What an incoming INVITE said.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Invitation {
    /// The values of From and To as they came.
    pub from: String,
    /// As it came.
    pub to: String,
    /// The user part of the Request-URI.
    pub dialled: String,
    /// All headers, name and value.
    pub headers: Vec<(String, String)>,
}

/// A handle on one call; copies of it mean the same call. Dropping it does not end the call.
#[derive(Clone, Debug)]
pub struct Call {
    pub(super) id: u64,
    pub(super) call_id: Arc<str>,
    pub(super) status: watch::Receiver<Status>,
    pub(super) media: Arc<rtp::Session>,
    pub(super) commands: mpsc::Sender<Command>,
    pub(super) invitation: Option<Arc<Invitation>>,
}

impl Call {
    /// The Call-ID of its dialog.
    pub fn sip_call_id(&self) -> &str {
        &self.call_id
    }

    /// What an incoming call's INVITE said; None for a call of ours.
    pub fn invitation(&self) -> Option<&Invitation> {
        self.invitation.as_deref()
    }

    /// What is known of it now.
    pub fn status(&self) -> Status {
        self.status.borrow().clone()
    }

    /// What offer and answer came to.
    pub fn route(&self) -> Option<rtp::Route> {
        self.media.route()
    }

    /// Waits until `reached` is true of the status; Err when the call ends before.
    pub async fn until(&self, mut reached: impl FnMut(&Status) -> bool) -> Result<Status, UaError> {
        let mut status = self.status.clone();
        let seen = status.wait_for(|s| reached(s) || matches!(s.phase, Phase::Ended(_))).await;
        let seen = seen.map_err(|_| UaError::Closed)?.clone();
        match &seen.phase {
            Phase::Ended(ending) if !reached(&seen) => {
                Err(UaError::Refused { status: ending.status, reason: ending.reason.clone() })
            }
            _ => Ok(seen),
        }
    }

    /// Waits for a 180 or 183.
    pub async fn ringing(&self) -> Result<(), UaError> {
        self.until(|s| s.provisional > 100 || s.phase == Phase::Answered).await.map(drop)
    }

    /// Waits until it is answered; Err when it is refused.
    pub async fn answered(&self) -> Result<(), UaError> {
        self.until(|s| s.phase == Phase::Answered).await.map(drop)
    }

    /// Waits until it is answered, at most so long.
    pub async fn answered_within(&self, limit: Duration) -> Result<(), UaError> {
        timeout(limit, self.answered()).await.map_err(|_| UaError::TimedOut("an answer"))?
    }

    /// Waits for its end.
    pub async fn wait_ended(&self) -> Ending {
        let lost = || Ending { by: Side::Network, status: 0, reason: "the user agent is gone".into() };
        let mut status = self.status.clone();
        match status.wait_for(|s| matches!(s.phase, Phase::Ended(_))).await.as_deref() {
            Ok(Status { phase: Phase::Ended(ending), .. }) => ending.clone(),
            _ => lost(),
        }
    }

    /// Ends it, whatever its phase (CANCEL, BYE or a refusal), and waits until the peer agreed.
    pub async fn hang_up(&self) -> Ending {
        let _ = self.commands.send(Command::HangUp { id: self.id, status: 480 }).await;
        self.wait_ended().await
    }

    /// Refuses an incoming call with this status.
    pub async fn refuse(&self, status: u16) {
        let _ = self.commands.send(Command::HangUp { id: self.id, status }).await;
    }

    /// Answers an incoming call that the policy left ringing.
    pub async fn accept(&self) {
        let _ = self.commands.send(Command::Accept { id: self.id }).await;
    }

    /// Puts the peer on hold by a re-INVITE.
    pub async fn hold(&self) -> Result<(), UaError> {
        self.redirect(Direction::SendOnly).await
    }

    /// Takes the peer back from hold.
    pub async fn resume(&self) -> Result<(), UaError> {
        self.redirect(Direction::SendRecv).await
    }

    async fn redirect(&self, direction: Direction) -> Result<(), UaError> {
        let (reply, answer) = oneshot::channel();
        let command = Command::Reoffer { id: self.id, direction, reply };
        self.commands.send(command).await.map_err(|_| UaError::Closed)?;
        answer.await.map_err(|_| UaError::Closed)?
    }

    /// Sends a request inside the dialog, such as INFO or REFER, and gives the final status.
    pub async fn request(
        &self,
        method: rsip::Method,
        headers: Vec<(String, String)>,
        body: String,
    ) -> Result<u16, UaError> {
        let (reply, answer) = oneshot::channel();
        let command = Command::Request { id: self.id, method, headers, body, reply };
        self.commands.send(command).await.map_err(|_| UaError::Closed)?;
        answer.await.map_err(|_| UaError::Closed)?
    }

    /// Presses keys (RFC 4733) and waits until they have left; Err when the peer takes none.
    pub async fn send_digits(&self, digits: &str) -> Result<(), UaError> {
        if !self.media.send_digits(digits) {
            return Err(UaError::NoKeys);
        }
        while !self.media.digits_sent() {
            if matches!(self.status.borrow().phase, Phase::Ended(_)) {
                return Err(UaError::Closed);
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        Ok(())
    }

    /// Says something else from now on.
    pub fn say(&self, audio: Audio) {
        self.media.say(Player::new(audio));
    }

    /// What was heard so far.
    pub fn received(&self) -> Heard {
        self.media.heard()
    }

    /// When the sign that is listened for was first heard, and the keys that were; costs nothing.
    pub fn sign(&self) -> Sign {
        self.media.sign()
    }

    /// Waits until what is heard satisfies `wanted`, looking every 50 ms; Err after `limit`.
    pub async fn hears(
        &self,
        limit: Duration,
        what: &'static str,
        wanted: impl Fn(&Heard) -> bool,
    ) -> Result<Heard, UaError> {
        let look = async {
            loop {
                let heard = self.received();
                if wanted(&heard) {
                    return heard;
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        timeout(limit, look).await.map_err(|_| UaError::TimedOut(what))
    }
}
