//! What a text costs and how it is cut: GSM-7 (3GPP TS 23.038) or UCS-2, and concatenation by user data header
//! (3GPP TS 23.040 §9.2.3.24.1: `05 00 03 reference total part`).
//!
//! GSM-7 octets are unpacked, one septet an octet, as SMPP carries its default alphabet; the SMS centre packs them.
//! Left out: national shift tables and 16-bit references when sending (both are read where they come in).

use serde::{Deserialize, Serialize};

/// UTF-16 units in a message that stands alone, and in a part of several.
const UCS2_SINGLE: usize = 70;
const UCS2_PART: usize = 67;
/// Septets in a message that stands alone, and in a part of several.
const GSM7_SINGLE: usize = 160;
const GSM7_PART: usize = 153;
/// The escape to the extension table.
const ESCAPE: u8 = 0x1B;

/// Most parts a text may have: a longer one is a mistake, and each part costs money.
pub const MAX_PARTS: usize = 20;

/// How the characters are carried.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Encoding {
    /// The GSM default alphabet, one septet an octet.
    Gsm7,
    /// UTF-16 big endian, pairs of surrogates included.
    Ucs2,
}

impl Encoding {
    /// SMPP's data_coding (SMPP 3.4 §5.2.19): 0 the default alphabet, 8 UCS-2.
    pub fn data_coding(self) -> u8 {
        match self {
            Encoding::Gsm7 => 0,
            Encoding::Ucs2 => 8,
        }
    }
}

/// One short message on the air.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Segment {
    /// The user data, with its header in front when `has_header`; 140 octets at most for UCS-2, 160 for GSM-7.
    pub user_data: Vec<u8>,
    /// The user data begins with a header (SMPP: esm_class 0x40).
    pub has_header: bool,
}

/// A text cut into short messages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Segments {
    /// How all parts are carried.
    pub encoding: Encoding,
    /// The parts in order, at least one.
    pub parts: Vec<Segment>,
}

/// Why a text cannot be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TextError {
    /// No characters at all.
    #[error("the text is empty")]
    Empty,
    /// How many parts it would take.
    #[error("the text needs {0} parts; {MAX_PARTS} is the most")]
    TooLong(usize),
}

/// The encoding a text needs: GSM-7 when each of its characters is in that alphabet.
pub fn encoding_of(text: &str) -> Encoding {
    if text.chars().all(|c| gsm7_septets(c).is_some()) { Encoding::Gsm7 } else { Encoding::Ucs2 }
}

/// How many short messages `text` takes; 0 for an empty text.
pub fn part_count(text: &str) -> usize {
    match encoding_of(text) {
        Encoding::Gsm7 => cut(&gsm7_units(text), GSM7_SINGLE, GSM7_PART).len(),
        Encoding::Ucs2 => cut(&ucs2_units(text), UCS2_SINGLE, UCS2_PART).len(),
    }
}

/// Cuts `text` into short messages; `reference` ties the parts together at the receiver and should differ between
/// messages to one number. Errors for an empty text and one of more than [`MAX_PARTS`] parts.
pub fn segment(text: &str, reference: u8) -> Result<Segments, TextError> {
    let encoding = encoding_of(text);
    let bodies: Vec<Vec<u8>> = match encoding {
        Encoding::Gsm7 => cut(&gsm7_units(text), GSM7_SINGLE, GSM7_PART).iter().map(|units| units.concat()).collect(),
        Encoding::Ucs2 => cut(&ucs2_units(text), UCS2_SINGLE, UCS2_PART)
            .iter()
            .map(|units| units.concat().iter().flat_map(|unit| unit.to_be_bytes()).collect())
            .collect(),
    };
    match bodies.len() {
        0 => Err(TextError::Empty),
        1 => {
            let parts = bodies.into_iter().map(|user_data| Segment { user_data, has_header: false }).collect();
            Ok(Segments { encoding, parts })
        }
        total if total > MAX_PARTS => Err(TextError::TooLong(total)),
        total => {
            let with_header = |(at, body): (usize, Vec<u8>)| {
                let mut user_data = vec![5, 0, 3, reference, total as u8, at as u8 + 1];
                user_data.extend(body);
                Segment { user_data, has_header: true }
            };
            Ok(Segments { encoding, parts: bodies.into_iter().enumerate().map(with_header).collect() })
        }
    }
}

/// Cuts characters of one or two units into groups; a character is never split over two groups.
fn cut<U>(characters: &[Vec<U>], single: usize, part: usize) -> Vec<&[Vec<U>]> {
    let total: usize = characters.iter().map(Vec::len).sum();
    if total == 0 {
        return Vec::new();
    }
    let limit = if total <= single { single } else { part };
    let (mut groups, mut start, mut used) = (Vec::new(), 0, 0);
    for (at, character) in characters.iter().enumerate() {
        if used + character.len() > limit {
            groups.push(&characters[start..at]);
            (start, used) = (at, 0);
        }
        used += character.len();
    }
    groups.push(&characters[start..]);
    groups
}

fn ucs2_units(text: &str) -> Vec<Vec<u16>> {
    text.chars().map(|c| c.encode_utf16(&mut [0; 2]).to_vec()).collect()
}

fn gsm7_units(text: &str) -> Vec<Vec<u8>> {
    text.chars().filter_map(gsm7_septets).collect()
}

/// The GSM default alphabet (TS 23.038 §6.2.1) by septet; 0x1B is the escape.
const GSM7: [char; 128] = [
    '@', '£', '$', '¥', 'è', 'é', 'ù', 'ì', 'ò', 'Ç', '\n', 'Ø', 'ø', '\r', 'Å', 'å', 'Δ', '_', 'Φ', 'Γ', 'Λ', 'Ω',
    'Π', 'Ψ', 'Σ', 'Θ', 'Ξ', '\u{1B}', 'Æ', 'æ', 'ß', 'É', ' ', '!', '"', '#', '¤', '%', '&', '\'', '(', ')', '*', '+',
    ',', '-', '.', '/', '0', '1', '2', '3', '4', '5', '6', '7', '8', '9', ':', ';', '<', '=', '>', '?', '¡', 'A', 'B',
    'C', 'D', 'E', 'F', 'G', 'H', 'I', 'J', 'K', 'L', 'M', 'N', 'O', 'P', 'Q', 'R', 'S', 'T', 'U', 'V', 'W', 'X', 'Y',
    'Z', 'Ä', 'Ö', 'Ñ', 'Ü', '§', '¿', 'a', 'b', 'c', 'd', 'e', 'f', 'g', 'h', 'i', 'j', 'k', 'l', 'm', 'n', 'o', 'p',
    'q', 'r', 's', 't', 'u', 'v', 'w', 'x', 'y', 'z', 'ä', 'ö', 'ñ', 'ü', 'à',
];

/// The extension table (TS 23.038 §6.2.1.1), each behind an escape.
const GSM7_EXTENSION: [(u8, char); 10] = [
    (0x0A, '\u{0C}'),
    (0x14, '^'),
    (0x28, '{'),
    (0x29, '}'),
    (0x2F, '\\'),
    (0x3C, '['),
    (0x3D, '~'),
    (0x3E, ']'),
    (0x40, '|'),
    (0x65, '€'),
];

fn gsm7_septets(c: char) -> Option<Vec<u8>> {
    if c == '\u{1B}' {
        return None;
    }
    if let Some(septet) = GSM7.iter().position(|&known| known == c) {
        return Some(vec![septet as u8]);
    }
    GSM7_EXTENSION.iter().find(|(_, known)| *known == c).map(|(septet, _)| vec![ESCAPE, *septet])
}

/// Reads user data without its header, by SMPP's data_coding: UCS-2, GB 18030 (15, as Chinese gateways use it),
/// Latin-1, ASCII or the default alphabet; what cannot be read becomes U+FFFD.
pub fn decode(data_coding: u8, octets: &[u8]) -> String {
    match data_coding {
        8 => decode_ucs2(octets),
        15 => encoding_rs::GB18030.decode_without_bom_handling(octets).0.into_owned(),
        1 => octets.iter().map(|&o| if o.is_ascii() { char::from(o) } else { char::REPLACEMENT_CHARACTER }).collect(),
        3 => octets.iter().map(|&o| char::from(o)).collect(),
        _ => decode_gsm7(octets),
    }
}

fn decode_ucs2(octets: &[u8]) -> String {
    let units = octets.chunks_exact(2).map(|pair| u16::from_be_bytes([pair[0], pair[1]]));
    char::decode_utf16(units).map(|unit| unit.unwrap_or(char::REPLACEMENT_CHARACTER)).collect()
}

fn decode_gsm7(octets: &[u8]) -> String {
    let mut text = String::with_capacity(octets.len());
    let mut escaped = false;
    for &octet in octets {
        if std::mem::take(&mut escaped) {
            let extension = GSM7_EXTENSION.iter().find(|(septet, _)| *septet == octet).map(|(_, c)| *c);
            // TS 23.038: a receiver without the extension shows the main table's character.
            text.push(extension.or_else(|| GSM7.get(usize::from(octet)).copied()).unwrap_or('\u{FFFD}'));
        } else if octet == ESCAPE {
            escaped = true;
        } else {
            text.push(GSM7.get(usize::from(octet)).copied().unwrap_or('\u{FFFD}'));
        }
    }
    text
}

/// What ties a part to its message, as read from a user data header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Concatenation {
    /// The sender's reference, 8 or 16 bits.
    pub reference: u16,
    /// How many parts there are, at least 1.
    pub total: u8,
    /// Which part this is, 1 to `total`.
    pub part: u8,
}

/// Splits user data that begins with a header; `None` where the header is broken. A header without a valid
/// concatenation element gives no [`Concatenation`].
pub fn split_header(user_data: &[u8]) -> Option<(Option<Concatenation>, &[u8])> {
    let (&length, rest) = user_data.split_first()?;
    let (mut header, body) = rest.split_at_checked(usize::from(length))?;
    let mut found = None;
    while let [element, size, tail @ ..] = header {
        let (value, next) = tail.split_at_checked(usize::from(*size))?;
        let concatenation = match (element, value) {
            (0x00, &[reference, total, part]) => Some((u16::from(reference), total, part)),
            (0x08, &[high, low, total, part]) => Some((u16::from_be_bytes([high, low]), total, part)),
            _ => None,
        };
        if let Some((reference, total, part)) = concatenation
            && (1..=total).contains(&part)
        {
            found = Some(Concatenation { reference, total, part });
        }
        header = next;
    }
    Some((found, body))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parts(text: &str) -> Vec<usize> {
        segment(text, 7).unwrap().parts.iter().map(|p| p.user_data.len()).collect()
    }

    fn join(segments: &Segments) -> String {
        let bodies = segments.parts.iter().map(|part| {
            let body = if part.has_header { split_header(&part.user_data).unwrap().1 } else { &part.user_data };
            decode(segments.encoding.data_coding(), body)
        });
        bodies.collect()
    }

    #[test]
    fn lengths_by_the_table() {
        let table: [(&str, usize, Encoding, usize); 12] = [
            ("a", 1, Encoding::Gsm7, 1),
            ("a", 160, Encoding::Gsm7, 1),
            ("a", 161, Encoding::Gsm7, 2),
            ("a", 306, Encoding::Gsm7, 2),
            ("a", 307, Encoding::Gsm7, 3),
            ("€", 80, Encoding::Gsm7, 1),
            ("€", 81, Encoding::Gsm7, 2),
            ("市", 70, Encoding::Ucs2, 1),
            ("市", 71, Encoding::Ucs2, 2),
            ("市", 134, Encoding::Ucs2, 2),
            ("市", 135, Encoding::Ucs2, 3),
            ("😀", 35, Encoding::Ucs2, 1),
        ];
        for (unit, times, encoding, count) in table {
            let text = unit.repeat(times);
            let segments = segment(&text, 1).unwrap();
            assert_eq!((segments.encoding, segments.parts.len()), (encoding, count), "{unit} × {times}");
            assert_eq!(part_count(&text), count);
            assert_eq!(join(&segments), text);
        }
    }

    #[test]
    fn pairs_are_not_split() {
        // 67 units a part: 33 pairs are 66, the 34th would straddle.
        assert_eq!(parts(&"😀".repeat(36)), [6 + 132, 6 + 12]);
        // 153 septets a part: 76 escaped pairs are 152.
        assert_eq!(parts(&"€".repeat(81)), [6 + 152, 6 + 10]);
    }

    #[test]
    fn parts_carry_the_header_and_alone_there_is_none() {
        let segments = segment(&"市".repeat(71), 0xAB).unwrap();
        assert_eq!(&segments.parts[0].user_data[..6], [5, 0, 3, 0xAB, 2, 1]);
        assert_eq!(&segments.parts[1].user_data[..6], [5, 0, 3, 0xAB, 2, 2]);
        assert_eq!(segments.parts[0].user_data.len(), 140);
        let alone = segment("【12345热线】", 0xAB).unwrap();
        assert!(!alone.parts[0].has_header);
        assert_eq!(&alone.parts[0].user_data[..2], [0x30, 0x10]);
    }

    #[test]
    fn nothing_and_too_much_are_refused() {
        assert_eq!(segment("", 0), Err(TextError::Empty));
        assert_eq!(segment(&"市".repeat(67 * 20), 0).unwrap().parts.len(), 20);
        assert_eq!(segment(&"市".repeat(67 * 20 + 1), 0), Err(TextError::TooLong(21)));
    }

    #[test]
    fn headers_are_read_with_care() {
        assert_eq!(
            split_header(&[6, 8, 4, 1, 2, 3, 1, b'x']),
            Some((Some(Concatenation { reference: 0x102, total: 3, part: 1 }), &b"x"[..]))
        );
        // A port element in front, part 0 and part beyond total, a length beyond the data.
        assert_eq!(
            split_header(&[11, 5, 4, 0, 1, 0, 2, 0, 3, 9, 2, 2, b'y']).unwrap().0,
            Some(Concatenation { reference: 9, total: 2, part: 2 })
        );
        assert_eq!(split_header(&[5, 0, 3, 9, 2, 0]).unwrap().0, None);
        assert_eq!(split_header(&[5, 0, 3, 9, 2, 3]).unwrap().0, None);
        assert_eq!(split_header(&[200, 0, 3]), None);
        assert_eq!(split_header(&[5, 0, 9, 9, 2, 0]), None);
        assert_eq!(split_header(&[]), None);
    }

    #[test]
    fn other_codings_are_read() {
        assert_eq!(decode(15, &[0xC4, 0xE3, 0xBA, 0xC3]), "你好");
        assert_eq!(decode(0, &[0x00, 0x1B, 0x65, b'1']), "@€1");
        assert_eq!(decode(3, &[0xE9]), "é");
        assert_eq!(decode(8, &[0xD8, 0x3D, 0x4F]), "\u{FFFD}");
    }

    proptest! {
        #[test]
        fn every_text_comes_back_whole(text in "\\PC{1,400}", reference: u8) {
            let segments = segment(&text, reference).unwrap();
            prop_assert_eq!(segments.parts.len(), part_count(&text));
            for part in &segments.parts {
                let most = if segments.encoding == Encoding::Ucs2 { 140 } else { 160 };
                prop_assert!(part.user_data.len() <= most);
            }
            prop_assert_eq!(join(&segments), text);
        }

        #[test]
        fn any_octets_are_read(coding: u8, octets in proptest::collection::vec(any::<u8>(), 0..300)) {
            decode(coding, &octets);
            let _ = split_header(&octets);
        }
    }
}
