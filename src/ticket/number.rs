//! Ticket numbers and query codes.
//!
//! A number is fifteen digits, so that it can be keyed on a telephone: `YYMMDD`, two of the node, six of a
//! pre-reserved sequence and one check digit after H. M. Damm ("Total anti-symmetrische Quasigruppen", 2004), which
//! finds every single wrong digit and every swap of two neighbours. Where numbers are reserved is the store's matter.

use crate::ids::TicketNo;
use jiff::civil::Date;
use rand::Rng;

/// Digits in a ticket number.
pub const NUMBER_DIGITS: usize = 15;
/// Sequence numbers a node has in a day.
pub const SEQUENCES_A_DAY: u32 = 1_000_000;
/// Digits in a query code.
pub const QUERY_CODE_DIGITS: usize = 6;

/// The quasigroup of order ten given by Damm: `TABLE[interim][digit]`.
const TABLE: [[u8; 10]; 10] = [
    [0, 3, 1, 7, 5, 9, 8, 6, 4, 2],
    [7, 0, 9, 2, 1, 5, 4, 8, 6, 3],
    [4, 2, 0, 6, 8, 7, 1, 3, 5, 9],
    [1, 7, 5, 0, 9, 8, 3, 4, 2, 6],
    [6, 1, 2, 3, 0, 4, 5, 9, 7, 8],
    [3, 6, 7, 4, 2, 0, 9, 5, 8, 1],
    [5, 8, 6, 9, 7, 2, 0, 1, 3, 4],
    [8, 9, 4, 5, 3, 6, 2, 0, 1, 7],
    [9, 4, 3, 8, 6, 1, 7, 2, 0, 5],
    [2, 5, 8, 1, 4, 3, 6, 7, 9, 0],
];

/// Why a text is no ticket number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NumberError {
    /// Not fifteen ASCII digits.
    #[error("a ticket number has {NUMBER_DIGITS} digits")]
    Shape,
    /// The check digit does not fit: a digit was mistyped or two were swapped.
    #[error("the check digit does not fit: a digit is wrong or two are swapped")]
    Check,
}

/// The check digit of a run of ASCII digits; other bytes are passed over.
pub fn check_digit(digits: &str) -> u8 {
    digits
        .bytes()
        .filter(u8::is_ascii_digit)
        .fold(0, |interim, byte| TABLE[usize::from(interim)][usize::from(byte - b'0')])
}

/// The ticket number of a day, node (0–99) and sequence (0–999,999); larger values are taken modulo.
pub fn ticket_no(day: Date, node: u8, sequence: u32) -> TicketNo {
    let mut text = format!(
        "{:02}{:02}{:02}{:02}{:06}",
        day.year().rem_euclid(100),
        day.month(),
        day.day(),
        node % 100,
        sequence % SEQUENCES_A_DAY
    );
    text.push(char::from(b'0' + check_digit(&text)));
    TicketNo::from(text)
}

/// Reads a number that a person keyed or typed; spaces and hyphens are passed over. Errors where it has not the digits
/// of one, or the check digit is another.
pub fn parse(text: &str) -> Result<TicketNo, NumberError> {
    let digits: String = text.chars().filter(|c| !matches!(c, ' ' | '-')).take(NUMBER_DIGITS + 1).collect();
    if digits.len() != NUMBER_DIGITS || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return Err(NumberError::Shape);
    }
    if check_digit(&digits) != 0 {
        return Err(NumberError::Check);
    }
    Ok(TicketNo::from(digits))
}

/// A code that the citizen gives with the number to ask for progress: six random digits.
pub fn query_code(rng: &mut impl Rng) -> String {
    format!("{:06}", rng.random_range(0..1_000_000u32))
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::civil::date;
    use rand::SeedableRng;

    #[test]
    fn a_number_is_date_node_sequence_and_check() {
        let no = ticket_no(date(2026, 11, 22), 1, 42);
        assert_eq!(&no.as_str()[..14], "26112201000042");
        assert_eq!(parse(no.as_str()), Ok(no.clone()));
        assert_eq!(parse(&format!("{} {}", &no.as_str()[..6], &no.as_str()[6..])), Ok(no));
        assert_eq!(check_digit("572"), 4, "Damm's own example");
    }

    #[test]
    fn a_query_code_is_six_digits_that_nobody_guesses() {
        let mut rng = rand::rngs::StdRng::seed_from_u64(1);
        let codes: std::collections::BTreeSet<_> = (0..100).map(|_| query_code(&mut rng)).collect();
        assert!(codes.iter().all(|code| code.len() == QUERY_CODE_DIGITS && code.bytes().all(|b| b.is_ascii_digit())));
        assert!(codes.len() > 90);
    }

    #[test]
    fn each_wrong_digit_and_each_swap_is_found() {
        let no = ticket_no(date(2026, 2, 28), 7, 123_456);
        let digits = no.as_str().as_bytes();
        for place in 0..digits.len() {
            for other in b'0'..=b'9' {
                let mut wrong = digits.to_vec();
                wrong[place] = other;
                let found = parse(std::str::from_utf8(&wrong).unwrap());
                assert_eq!(found.is_ok(), other == digits[place]);
            }
            if place > 0 && digits[place - 1] != digits[place] {
                let mut swapped = digits.to_vec();
                swapped.swap(place - 1, place);
                assert_eq!(parse(std::str::from_utf8(&swapped).unwrap()), Err(NumberError::Check));
            }
        }
    }

    #[test]
    fn other_shapes_are_refused() {
        for text in ["", "1", "2611220100004", "26112201000042ab", "26112201000042\u{ff11}", &"1".repeat(10_000)] {
            assert_eq!(parse(text), Err(NumberError::Shape), "{text:.20}");
        }
    }
}
