//! Delivery receipts (SMPP 3.4 appendix B, §5.3.2.12, §5.3.2.35) and the ids they name.

use super::pdu::ShortMessage;
use crate::sms::delivery::{Receipt, ReceiptState};
use serde::{Deserialize, Serialize};

/// How ids in the text of receipts are written, measured by those of submit responses. Some SMS centres answer in
/// hexadecimal and report in decimal, or the other way round.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReceiptIds {
    /// The same in both.
    #[default]
    AsIs,
    /// Decimal in receipts, hexadecimal in responses.
    Decimal,
    /// Hexadecimal in receipts, decimal in responses.
    Hexadecimal,
}

impl ReceiptIds {
    /// The id in the form of the submit response; as it is where it is no number of the expected kind.
    fn normalise(self, id: &str) -> String {
        let changed = match self {
            ReceiptIds::AsIs => None,
            ReceiptIds::Decimal => id.parse::<u128>().ok().map(|n| format!("{n:x}")),
            ReceiptIds::Hexadecimal => u128::from_str_radix(id, 16).ok().map(|n| n.to_string()),
        };
        changed.unwrap_or_else(|| id.to_owned())
    }
}

/// Other ways to write `id`: without leading zeros, in the other case, decimal as hexadecimal and the reverse. Look
/// them up only when `id` itself is unknown, and only among messages to the receipt's own number: `10` and `16` are
/// both good ids.
pub fn alternative_ids(id: &str) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    let mut add = |other: String| {
        if other != id && !other.is_empty() && !found.contains(&other) {
            found.push(other);
        }
    };
    add(id.trim_start_matches('0').to_owned());
    add(id.to_ascii_lowercase());
    add(id.to_ascii_uppercase());
    if let Ok(n) = id.parse::<u128>() {
        add(format!("{n:x}"));
        add(format!("{n:X}"));
    }
    if let Ok(n) = u128::from_str_radix(id, 16) {
        add(n.to_string());
    }
    found
}

/// Whether the SMS centre marks it as a receipt. The mark alone counts, never the text: anyone can send a text that
/// looks like a receipt.
pub(super) fn is_receipt(message: &ShortMessage) -> bool {
    // §5.2.12: message type 0001 is a delivery receipt, 1000 an intermediate notification.
    let marked = matches!(message.esm_class & 0x3C, 0x04 | 0x20);
    marked || (message.receipted_message_id.is_some() && message.message_state.is_some())
}

/// Reads a receipt: TLVs first, which are in the form of the submit response, else the text. `None` when either the
/// id or the state is not to be found.
pub(super) fn read(message: &ShortMessage, ids: ReceiptIds) -> Option<Receipt> {
    let text = String::from_utf8_lossy(&message.user_data);
    let from_text = || field(&text, "id:").map(|id| ids.normalise(id));
    let smsc_id = message.receipted_message_id.clone().filter(|id| !id.is_empty()).or_else(from_text)?;
    let by_word = || field(&text, "stat:").and_then(ReceiptState::from_word);
    let state = message.message_state.and_then(ReceiptState::from_code).or_else(by_word)?;
    let error = field(&text, "err:").map(|e| e.chars().take(16).collect()).unwrap_or_default();
    Some(Receipt { smsc_id, state, error })
}

/// The word behind `name`, which stands at the beginning or behind a blank; 65 characters at most.
fn field<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let starts = text.char_indices().map(|(at, _)| at).filter(|&at| at == 0 || text[..at].ends_with(' '));
    let matching = |&at: &usize| text[at..].get(..name.len()).is_some_and(|head| head.eq_ignore_ascii_case(name));
    let rest = &text[starts.into_iter().find(matching)? + name.len()..];
    let word = rest.split([' ', '\0', '\r', '\n']).next()?;
    (!word.is_empty() && word.len() <= 65).then_some(word)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn receipt(text: &str) -> ShortMessage {
        ShortMessage { esm_class: 0x04, user_data: text.as_bytes().to_vec(), ..ShortMessage::default() }
    }

    const TEXT: &str =
        "id:0123456789 sub:001 dlvrd:001 submit date:2608011230 done date:2608011231 stat:DELIVRD err:000 text:id:9";

    #[test]
    fn the_text_is_read() {
        let read_one = |text: &str| read(&receipt(text), ReceiptIds::AsIs);
        let expected = Receipt { smsc_id: "0123456789".into(), state: ReceiptState::Delivered, error: "000".into() };
        assert_eq!(read_one(TEXT), Some(expected));
        let lax = read_one("ID:ab-1 STAT:undeliv ERR:12").unwrap();
        assert_eq!((lax.smsc_id.as_str(), lax.state, lax.error.as_str()), ("ab-1", ReceiptState::Undeliverable, "12"));
        for broken in ["", "id:", "id:1", "id:1 stat:", "id:1 stat:FINE", "stat:DELIVRD", "xid:1 stat:DELIVRD", "短"] {
            assert_eq!(read_one(broken), None, "{broken}");
        }
    }

    #[test]
    fn tlvs_go_before_the_text() {
        let mut message = receipt(TEXT);
        message.receipted_message_id = Some("A1".into());
        message.message_state = Some(5);
        let read = read(&message, ReceiptIds::Decimal).unwrap();
        assert_eq!((read.smsc_id.as_str(), read.state), ("A1", ReceiptState::Undeliverable));
    }

    #[test]
    fn a_citizen_cannot_send_a_receipt() {
        assert!(!is_receipt(&ShortMessage { esm_class: 0, ..receipt(TEXT) }));
        assert!(!is_receipt(&ShortMessage { esm_class: 0x40, ..receipt(TEXT) }));
        assert!(is_receipt(&receipt(TEXT)));
        assert!(is_receipt(&ShortMessage { esm_class: 0x44, ..receipt(TEXT) }));
    }

    #[test]
    fn ids_in_the_other_base() {
        assert_eq!(ReceiptIds::Decimal.normalise("6699"), "1a2b");
        assert_eq!(ReceiptIds::Hexadecimal.normalise("1A2B"), "6699");
        assert_eq!(ReceiptIds::Decimal.normalise("x-1"), "x-1");
        assert!(alternative_ids("001A2B").contains(&"6699".to_owned()));
        assert!(alternative_ids("6699").contains(&"1A2B".to_owned()));
        assert!(alternative_ids("").is_empty());
    }
}
