//! What a command_status means for a message (SMPP 3.4 §5.1.3).

use crate::sms::delivery::Refusal;

/// The SMS centre's request for a slower pace.
pub(super) const THROTTLED: u32 = 0x58;
/// "Unknown error": stands in where a refusal gives no status.
pub(super) const UNKNOWN_ERROR: u32 = 0xFF;
pub(super) const INVALID_COMMAND_LENGTH: u32 = 0x02;
pub(super) const INVALID_COMMAND_ID: u32 = 0x03;
/// "ESME Receiver permanent app error": do not send this again.
pub(super) const RECEIVER_PERMANENT: u32 = 0x65;

/// Sorts a refusing status. What lies in the message is permanent; what lies in the SMS centre, in the session or in
/// a vendor's own range is temporary, as the number of tries is bounded anyway.
pub fn classify(status: u32) -> Refusal {
    match status {
        THROTTLED => Refusal::Throttled,
        // Lengths, flags and addresses of this message.
        0x01..=0x03 | 0x06 | 0x07 | 0x0A..=0x0C => Refusal::Permanent,
        // Service type, destinations, distribution lists, esm_class.
        0x15 | 0x33 | 0x34 | 0x40 | 0x42..=0x44 => Refusal::Permanent,
        // TON and NPI, schedule, validity, canned messages.
        0x48..=0x51 | 0x53..=0x55 | 0x61..=0x63 => Refusal::Permanent,
        // The receiver's permanent error and reject.
        0x65 | 0x66 => Refusal::Permanent,
        // Faults in the TLVs.
        0xC0..=0xC4 => Refusal::Permanent,
        _ => Refusal::Temporary,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_by_the_table() {
        for status in [0x01, 0x0A, 0x0B, 0x15, 0x43, 0x51, 0x65, 0xC4] {
            assert_eq!(classify(status), Refusal::Permanent, "{status:#x}");
        }
        for status in [0x04, 0x08, 0x0D, 0x14, 0x45, 0x64, 0xFE, 0xFF, 0x400, 0x4FF, 0xDEAD_BEEF] {
            assert_eq!(classify(status), Refusal::Temporary, "{status:#x}");
        }
        assert_eq!(classify(0x58), Refusal::Throttled);
    }
}
