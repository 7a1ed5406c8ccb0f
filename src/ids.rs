//! Newtype identifiers, nothing else.
//!
//! Numeric ids are 63 bits: ten bits of node, then 53 bits that start at the process's boot time, so that an id
//! is never given out twice, not by another node and not after a restart. On the wire they are decimal strings.

use std::{
    fmt,
    str::FromStr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

macro_rules! numeric_ids {
    ($($(#[$doc:meta])* $name:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub u64);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}", self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self.0)
            }
        }

        impl FromStr for $name {
            type Err = std::num::ParseIntError;
            fn from_str(text: &str) -> Result<Self, Self::Err> {
                text.parse().map($name)
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
                s.collect_str(self)
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
                let text = <std::borrow::Cow<'de, str>>::deserialize(d)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    )*};
}

numeric_ids! {
    /// One call: everything from a citizen's INVITE to the end of its last leg.
    CallId;
    /// One party's dialog and media in a call.
    LegId;
    /// One attempt to give a waiting call to an agent.
    OfferId;
    /// One recording.
    RecordingId;
    /// One ticket's row; citizens and units see its [`TicketNo`].
    TicketId;
    /// One dispatch of a ticket to a unit.
    AssignmentId;
    /// One SMS.
    MessageId;
    /// One lost call that is owed a call back.
    CallbackId;
}

macro_rules! text_ids {
    ($($(#[$doc:meta])* $name:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub Arc<str>);

        impl $name {
            /// The text itself.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl From<&str> for $name {
            fn from(text: &str) -> Self {
                $name(text.into())
            }
        }

        impl From<String> for $name {
            fn from(text: String) -> Self {
                $name(text.into())
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({:?})"), &*self.0)
            }
        }
    )*};
}

text_ids! {
    /// A queue's name, such as `general`.
    QueueName;
    /// An agent's number (工号), such as `8001`.
    AgentNo;
    /// A seat's telephone (分机), such as `8001`.
    Extension;
    /// A unit's (承办单位) code.
    UnitCode;
    /// A departmental hotline's number, such as `12330`.
    HotlineNo;
    /// A ticket's number: digits only, so that it can be keyed on a telephone.
    TicketNo;
    /// A user of the console or the API.
    UserName;
}

/// The bits of an id that number it within its node.
const NUMBER: u64 = (1 << 53) - 1;

/// Gives out numeric ids that are unique over nodes and restarts. Clones share one counter.
#[derive(Clone, Debug)]
pub struct IdGen {
    node: u64,
    last: Arc<AtomicU64>,
}

impl IdGen {
    /// `node` is 0–1023; `boot_millis` the wall clock at start, in milliseconds since 1970.
    pub fn new(node: u16, boot_millis: i64) -> Self {
        let first = ((boot_millis.max(0) as u64) << 12) & NUMBER;
        IdGen { node: u64::from(node & 0x3ff) << 53, last: Arc::new(AtomicU64::new(first)) }
    }

    /// Never gives out `given` or a lower number of this node from here on. A clock that was set back before a restart
    /// would otherwise give out once more what an earlier run gave to other calls.
    pub fn pass(&self, given: u64) {
        if given & !NUMBER == self.node {
            self.last.fetch_max(given & NUMBER, Ordering::Relaxed);
        }
    }

    /// All numbers that this node can give out.
    pub fn range(&self) -> std::ops::RangeInclusive<u64> {
        self.node..=self.node | NUMBER
    }

    /// The next number, never given out before.
    // Not an iterator: it has no end, and clones share one counter.
    #[allow(clippy::should_implement_trait)]
    pub fn next(&self) -> u64 {
        self.node | (self.last.fetch_add(1, Ordering::Relaxed) + 1)
    }
}

#[cfg(test)]
mod tests {
    use super::IdGen;

    #[test]
    fn a_clock_that_was_set_back_gives_no_number_twice() {
        let before = IdGen::new(3, 1_800_000_000_000);
        let last = before.next();
        let after = IdGen::new(3, 1_700_000_000_000);
        after.pass(last);
        assert!(after.next() > last);
        assert!(after.range().contains(&last));
        let next = after.next();
        after.pass(5);
        after.pass(IdGen::new(4, 1_900_000_000_000).next());
        assert_eq!(after.next(), next + 1, "lower numbers and other nodes' change nothing");
    }
}
