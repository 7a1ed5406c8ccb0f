//! A call: its legs, bridge, conference, transfer, record.
