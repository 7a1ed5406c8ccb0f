//! The ticket's and the assignment's machines, their deadlines and numbers.
//!
//! A [`Case`] is one ticket (工单) with its assignments (交办单); [`Case::apply`] is the one way to change it. The core
//! knows a call only by its id, keeps no rows and reads no clock. What a ticket goes through, and who may do what, is
//! the table of 六步流转法: 受理 → 分析 → 派遣 → 跟踪 → 反馈 → 结案. Left out: sending on to sub-units, closing children
//! with their master, and the figures, which are counted from rows in `report`.

pub mod assignment;
pub mod calendar;
mod case_centre;
mod case_unit;
pub mod command;
pub mod deadline;
pub mod event;
pub mod number;
mod rejected;
#[allow(clippy::module_inception)] // the noun has its own file, as every noun has
pub mod ticket;
mod workflow;

#[cfg(test)]
mod story_tests;

pub use assignment::{Assignment, UnitRole};
pub use calendar::Calendar;
pub use command::{Actor, Command, Role};
pub use deadline::{Policy, Rule};
pub use event::{Event, What};
pub use rejected::Rejected;
pub use ticket::{Channel, Citizen, Class, ContactKind, Kind, Matter, Origin, State, Ticket, Urgency};
pub use workflow::{Case, Context, Part, Rules};
