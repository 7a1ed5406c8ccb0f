//! One part of a message, and what the gateway says of it.

use serde::{Deserialize, Serialize};
use std::fmt;

/// Where one part stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "is")]
pub enum Part {
    /// Not sent, or refused for the moment.
    Waiting,
    /// Sent, the answer is awaited.
    Trying,
    /// Refused for good.
    Refused,
    /// Sent, the answer was lost.
    Uncertain,
    /// The SMS centre has it under this id.
    Accepted {
        /// By which the receipt will name it.
        smsc_id: String,
    },
    /// The telephone has it.
    Delivered {
        /// By which the receipt named it.
        smsc_id: String,
    },
    /// The SMS centre could not deliver it.
    Undelivered {
        /// By which the receipt named it.
        smsc_id: String,
        /// What the receipt said.
        state: ReceiptState,
        /// The receipt's `err:` code, in the carrier's own numbering.
        error: String,
    },
}

impl Part {
    /// The SMS centre's id, once it has given one.
    pub fn smsc_id(&self) -> Option<&str> {
        match self {
            Part::Accepted { smsc_id } | Part::Delivered { smsc_id } | Part::Undelivered { smsc_id, .. } => {
                Some(smsc_id)
            }
            Part::Waiting | Part::Trying | Part::Refused | Part::Uncertain => None,
        }
    }
}

/// What came of one part of a try.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The SMS centre took it under this id.
    Accepted {
        /// message_id of the submit_sm_resp.
        smsc_id: String,
    },
    /// It was not taken.
    Refused {
        /// What may be done about it.
        refusal: Refusal,
        /// The SMPP command_status; 0 where it never left.
        status: u32,
    },
    /// It may have been taken: the answer was lost.
    Uncertain,
}

/// How a part was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Refusal {
    /// Another try may succeed.
    Temporary,
    /// No try will succeed.
    Permanent,
    /// The SMS centre asks for a slower pace; does not count as a try.
    Throttled,
    /// It never left: no link, or no room; does not count as a try.
    NotSent,
}

impl Refusal {
    /// Whether the try counts against the message.
    pub fn counts(self) -> bool {
        match self {
            Refusal::Temporary | Refusal::Permanent => true,
            Refusal::Throttled | Refusal::NotSent => false,
        }
    }

    /// The name in metrics and rows.
    pub fn as_str(self) -> &'static str {
        match self {
            Refusal::Temporary => "temporary",
            Refusal::Permanent => "permanent",
            Refusal::Throttled => "throttled",
            Refusal::NotSent => "not_sent",
        }
    }
}

/// What a receipt says (SMPP 3.4 §5.2.28 message_state).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReceiptState {
    /// On its way: no ending.
    EnRoute,
    /// The telephone has it.
    Delivered,
    /// Its validity ran out.
    Expired,
    /// Deleted at the SMS centre.
    Deleted,
    /// It cannot be delivered.
    Undeliverable,
    /// Read by the operator's staff on the subscriber's behalf: no ending by the telephone.
    Accepted,
    /// The SMS centre does not know.
    Unknown,
    /// Refused after all.
    Rejected,
}

impl ReceiptState {
    /// By the message_state of SMPP 3.4 §5.2.28; `None` for a number outside the table.
    pub fn from_code(code: u8) -> Option<Self> {
        Some(match code {
            1 => ReceiptState::EnRoute,
            2 => ReceiptState::Delivered,
            3 => ReceiptState::Expired,
            4 => ReceiptState::Deleted,
            5 => ReceiptState::Undeliverable,
            6 => ReceiptState::Accepted,
            7 => ReceiptState::Unknown,
            8 => ReceiptState::Rejected,
            _ => return None,
        })
    }

    /// By the `stat:` word of a receipt's text (SMPP 3.4 appendix B), any case.
    pub fn from_word(word: &str) -> Option<Self> {
        let known = [
            ("ENROUTE", ReceiptState::EnRoute),
            ("DELIVRD", ReceiptState::Delivered),
            ("DELIVERED", ReceiptState::Delivered),
            ("EXPIRED", ReceiptState::Expired),
            ("DELETED", ReceiptState::Deleted),
            ("UNDELIV", ReceiptState::Undeliverable),
            ("ACCEPTD", ReceiptState::Accepted),
            ("UNKNOWN", ReceiptState::Unknown),
            ("REJECTD", ReceiptState::Rejected),
        ];
        known.into_iter().find(|(name, _)| name.eq_ignore_ascii_case(word)).map(|(_, state)| state)
    }

    /// The name in metrics and rows.
    pub fn as_str(self) -> &'static str {
        match self {
            ReceiptState::EnRoute => "en_route",
            ReceiptState::Delivered => "delivered",
            ReceiptState::Expired => "expired",
            ReceiptState::Deleted => "deleted",
            ReceiptState::Undeliverable => "undeliverable",
            ReceiptState::Accepted => "accepted",
            ReceiptState::Unknown => "unknown",
            ReceiptState::Rejected => "rejected",
        }
    }
}

impl fmt::Display for ReceiptState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
