//! One file a use case: what the rooms below do together.

// pub mod switch;
