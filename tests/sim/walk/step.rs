//! The steps of a story as data: who does what, and when. A list of them is read from a file and told in plain words.

use hotline::media::sdp::Direction;
use serde::{Deserialize, Serialize};
use std::fmt;

/// One step: `at` milliseconds after the story's beginning.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Step {
    pub at: u64,
    #[serde(flatten)]
    pub deed: Deed,
}

/// What somebody does, or what befalls everybody. Telephones go by their numbers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "deed", rename_all = "snake_case")]
pub enum Deed {
    Calls {
        who: u32,
        number: String,
    },
    HangsUp {
        who: u32,
    },
    Keys {
        who: u32,
        keys: String,
    },
    /// A re-INVITE from the telephone.
    Offers {
        who: u32,
        direction: Way,
    },
    /// Picks up whatever rings.
    PicksUp {
        who: u32,
    },
    /// What the telephone does from now on when it is rung.
    Answers {
        who: u32,
        after_ms: u64,
    },
    Ignores {
        who: u32,
    },
    Refuses {
        who: u32,
        status: u16,
    },
    Order {
        citizen: u32,
        order: Order,
    },
    Mind {
        agent: u32,
        mind: Mind,
    },
    /// The telephone neither sends nor receives any more.
    Vanishes {
        who: u32,
    },
    Returns {
        who: u32,
    },
    /// Sends no voice, or sends it again.
    Mute {
        who: u32,
        mute: bool,
    },
    ConnectionCloses {
        who: u32,
    },
    Registers {
        who: u32,
    },
    Network {
        loss: u32,
        duplicate: u32,
        delay: (u64, u64),
    },
    Spool {
        takes_ms: u64,
        keeps: bool,
    },
    Clock {
        by_ms: i64,
    },
    Killed,
    Stopped,
    NewDay,
    Reconciled,
}

/// The direction that a telephone offers.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Way {
    SendOnly,
    SendRecv,
    Inactive,
}

impl From<Way> for Direction {
    fn from(way: Way) -> Direction {
        match way {
            Way::SendOnly => Direction::SendOnly,
            Way::SendRecv => Direction::SendRecv,
            Way::Inactive => Direction::Inactive,
        }
    }
}

/// A command on a citizen's call.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "order", rename_all = "snake_case")]
pub enum Order {
    Hold,
    Unhold,
    ThreeWay { hotline: String, consult: bool },
    Merge,
    Leave,
    DropCitizen,
    DropAgent,
    DropDepartment,
    RecordPause,
    RecordResume,
    Digits { digits: String },
    HangUp,
}

/// What an agent or its supervisor sets by API.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "mind", rename_all = "snake_case")]
pub enum Mind {
    Ready,
    Rests,
    SignsIn,
    SignsOut,
    EndsWrapUp,
    StretchesWrapUp { seconds: u64 },
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:>9.3} s  {}", self.at as f64 / 1_000.0, self.deed)
    }
}

impl fmt::Display for Deed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Deed::Calls { who, number } => write!(f, "{who} calls {number}"),
            Deed::HangsUp { who } => write!(f, "{who} hangs up"),
            Deed::Keys { who, keys } => write!(f, "{who} presses {keys}"),
            Deed::Offers { who, direction } => match direction {
                Way::SendOnly => write!(f, "{who} holds with its own button"),
                Way::SendRecv => write!(f, "{who} resumes with its own button"),
                Way::Inactive => write!(f, "{who} offers to send and receive nothing"),
            },
            Deed::PicksUp { who } => write!(f, "{who} picks up"),
            Deed::Answers { who, after_ms } => write!(f, "{who} will answer {after_ms} ms after it is rung"),
            Deed::Ignores { who } => write!(f, "{who} will not answer"),
            Deed::Refuses { who, status } => write!(f, "{who} will refuse with {status}"),
            Deed::Order { citizen, order } => write!(f, "on {citizen}'s call: {order}"),
            Deed::Mind { agent, mind } => write!(f, "agent {agent} {mind}"),
            Deed::Vanishes { who } => write!(f, "{who} vanishes from the network"),
            Deed::Returns { who } => write!(f, "{who} is back on the network"),
            Deed::Mute { who, mute: true } => write!(f, "{who} sends no voice any more"),
            Deed::Mute { who, mute: false } => write!(f, "{who} sends its voice again"),
            Deed::ConnectionCloses { who } => write!(f, "the connection of {who} closes"),
            Deed::Registers { who } => write!(f, "{who} registers"),
            Deed::Network { loss, duplicate, delay: (least, most) } => {
                write!(f, "the network loses {loss} %, doubles {duplicate} % and takes {least} to {most} ms")
            }
            Deed::Spool { takes_ms, keeps: true } => write!(f, "the spool takes {takes_ms} ms from here on"),
            Deed::Spool { keeps: false, .. } => write!(f, "the spool fails from here on"),
            Deed::Clock { by_ms } if *by_ms < 0 => write!(f, "the wall clock is set back by {} s", -by_ms / 1_000),
            Deed::Clock { by_ms } => write!(f, "the wall clock is set forward by {} s", by_ms / 1_000),
            Deed::Killed => write!(f, "the program is killed, and starts again"),
            Deed::Stopped => write!(f, "the program hangs up everybody and stops, and starts again"),
            Deed::NewDay => write!(f, "a new day begins"),
            Deed::Reconciled => write!(f, "agents are held against living calls"),
        }
    }
}

impl fmt::Display for Order {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Order::Hold => f.write_str("hold"),
            Order::Unhold => f.write_str("resume"),
            Order::ThreeWay { hotline, consult: true } => write!(f, "consult {hotline}"),
            Order::ThreeWay { hotline, consult: false } => write!(f, "join {hotline}"),
            Order::Merge => f.write_str("merge"),
            Order::Leave => f.write_str("the agent leaves"),
            Order::DropCitizen => f.write_str("drop the citizen"),
            Order::DropAgent => f.write_str("drop the agent"),
            Order::DropDepartment => f.write_str("drop the department"),
            Order::RecordPause => f.write_str("pause the recording"),
            Order::RecordResume => f.write_str("resume the recording"),
            Order::Digits { digits } => write!(f, "send the digits {digits}"),
            Order::HangUp => f.write_str("hang up"),
        }
    }
}

impl fmt::Display for Mind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Mind::Ready => f.write_str("is ready"),
            Mind::Rests => f.write_str("is not ready"),
            Mind::SignsIn => f.write_str("signs in"),
            Mind::SignsOut => f.write_str("signs out"),
            Mind::EndsWrapUp => f.write_str("ends its wrap-up"),
            Mind::StretchesWrapUp { seconds } => write!(f, "needs {seconds} s more of wrap-up"),
        }
    }
}
