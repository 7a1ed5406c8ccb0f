//! The ticket's and the assignment's machines.
