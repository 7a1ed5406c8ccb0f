//! The SMS centre's own way with texts and segments: by `encoding_rs` and by hand.

use encoding_rs::UTF_16BE;
use std::collections::VecDeque;

/// Messages that may wait for parts; the oldest is forgotten.
const MAX_UNFINISHED: usize = 1000;

/// A message some of whose parts have come.
#[derive(Debug)]
pub(super) struct Unfinished {
    key: (String, String, u8),
    ucs2: bool,
    parts: Vec<Option<Vec<u8>>>,
}

/// Takes a part; gives the text and the number of its parts when it is whole.
pub(super) fn join(
    unfinished: &mut VecDeque<Unfinished>,
    (from, to): (&str, &str),
    octets: &[u8],
    has_header: bool,
    ucs2: bool,
) -> Option<(String, usize)> {
    // The only header this SMS centre knows: 05 00 03 reference total part.
    let (reference, total, part, body) = match octets {
        [5, 0, 3, reference, total, part, body @ ..] if has_header && (1..=*total).contains(part) => {
            (*reference, usize::from(*total), usize::from(*part) - 1, body)
        }
        _ => return Some((read(octets, ucs2), 1)),
    };
    let key = (from.to_owned(), to.to_owned(), reference);
    let at = match unfinished.iter().position(|u| u.key == key && u.parts.len() == total) {
        Some(at) => at,
        None => {
            if unfinished.len() >= MAX_UNFINISHED {
                unfinished.pop_front();
            }
            unfinished.push_back(Unfinished { key, ucs2, parts: vec![None; total] });
            unfinished.len() - 1
        }
    };
    unfinished[at].parts[part] = Some(body.to_vec());
    if unfinished[at].parts.iter().any(Option::is_none) {
        return None;
    }
    let whole = unfinished.remove(at)?;
    let octets: Vec<u8> = whole.parts.into_iter().flatten().flatten().collect();
    Some((read(&octets, whole.ucs2), total))
}

/// Beyond UCS-2 the sandbox reads the default alphabet's common part with ASCII.
fn read(octets: &[u8], ucs2: bool) -> String {
    if ucs2 {
        return UTF_16BE.decode_without_bom_handling(octets).0.into_owned();
    }
    octets.iter().map(|&o| if (0x20..0x7F).contains(&o) { char::from(o) } else { '?' }).collect()
}

/// Cuts a citizen's text as telephones do, a pair of surrogates sometimes in two; `None` beyond 255 parts.
pub(super) fn split(text: &str, reference: u8) -> Option<Vec<Vec<u8>>> {
    let units: Vec<u16> = text.encode_utf16().collect();
    let octets = |units: &[u16]| units.iter().flat_map(|unit| unit.to_be_bytes()).collect::<Vec<u8>>();
    if units.len() <= 70 {
        return Some(vec![octets(&units)]);
    }
    let total = u8::try_from(units.len().div_ceil(67)).ok()?;
    let part = |(at, units)| [&[5, 0, 3, reference, total, at][..], &octets(units)].concat();
    Some((1..=total).zip(units.chunks(67)).map(part).collect())
}
