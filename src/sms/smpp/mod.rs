//! The session with a carrier's SMS centre (SMPP 3.4).
