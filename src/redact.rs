//! What may not stand in a log or on a page as it came: telephone numbers, and words that a peer chose.
//!
//! [`Number`] and [`Quoted`] are for those who write a line; [`clean`] is the last look at a line that is written, so
//! that what a library says of its own accord is held to the same.

use std::{borrow::Cow, fmt};

/// The longest word of a peer that is written.
const LONGEST: usize = 120;

/// A telephone number, written with its middle struck out.
#[derive(Clone, Copy, Debug)]
pub struct Number<'a>(pub &'a str);

impl fmt::Display for Number<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Quoted(&masked(self.0)).fmt(f)
    }
}

/// A telephone number with its middle struck out.
pub fn masked(number: &str) -> String {
    let digits: Vec<char> = number.chars().collect();
    match digits.len() {
        0 => String::new(),
        // Short numbers are services, not people.
        1..=6 => number.to_owned(),
        length => {
            let (head, tail) = if length >= 11 { (length - 8, 4) } else { (2, 2) };
            let start: String = digits[..head].iter().collect();
            let end: String = digits[length - tail..].iter().collect();
            format!("{start}{}{end}", "*".repeat(length - head - tail))
        }
    }
}

/// A word that a peer chose, such as a Call-ID: cut short, without control characters, telephone numbers struck out.
#[derive(Clone, Copy, Debug)]
pub struct Quoted<'a>(pub &'a str);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let end = self.0.char_indices().nth(LONGEST).map_or(self.0.len(), |(at, _)| at);
        let (line, _) = clean(&self.0.as_bytes()[..end]);
        f.write_str(&String::from_utf8_lossy(&line))?;
        if end < self.0.len() { f.write_str("…") } else { Ok(()) }
    }
}

/// A line without control characters and without telephone numbers, and how many numbers were struck out. A line
/// break at the end stays.
///
/// A number is a run of digits that a telephone could have: 11 of a mobile (with or without 86 before it), 10 to 12
/// that begin with the 0 of an area code. Our own ids and ticket numbers are longer.
pub fn clean(line: &[u8]) -> (Cow<'_, [u8]>, usize) {
    let (body, end) = line.split_at(line.len() - usize::from(line.ends_with(b"\n")));
    let controls = body.iter().any(|byte| is_control(*byte));
    let numbers = numbers(body);
    if !controls && numbers.is_empty() {
        return (Cow::Borrowed(line), 0);
    }
    let mut out = Vec::with_capacity(line.len() + 16);
    let mut struck = numbers.iter().peekable();
    for (at, byte) in body.iter().enumerate() {
        struck.next_if(|(_, to)| *to <= at);
        match struck.peek() {
            // What tells carriers and areas apart stays, and what tells two callers apart.
            Some((from, to)) if at >= from + 3 && at + 4 < *to => out.push(b'*'),
            _ if is_control(*byte) => out.extend_from_slice(format!("\\x{byte:02x}").as_bytes()),
            _ => out.push(*byte),
        }
    }
    out.extend_from_slice(end);
    (Cow::Owned(out), numbers.len())
}

fn is_control(byte: u8) -> bool {
    byte < 0x20 || byte == 0x7f
}

/// Where telephone numbers stand.
fn numbers(line: &[u8]) -> Vec<(usize, usize)> {
    let mut found = Vec::new();
    let mut at = 0;
    while at < line.len() {
        if !line[at].is_ascii_digit() {
            at += 1;
            continue;
        }
        let length = line[at..].iter().take_while(|byte| byte.is_ascii_digit()).count();
        // Digits behind a point are a fraction; those of hexadecimal are no number.
        let before = at.checked_sub(1).map(|before| line[before]);
        let after = line.get(at + length);
        let alone = !before.is_some_and(|b| b == b'.' || b.is_ascii_alphabetic())
            && !after.is_some_and(|b| b.is_ascii_alphabetic());
        if alone && is_telephone(&line[at..at + length]) {
            found.push((at, at + length));
        }
        at += length;
    }
    found
}

fn is_telephone(digits: &[u8]) -> bool {
    let mobile = |digits: &[u8]| digits.len() == 11 && digits[0] == b'1' && digits[1] >= b'3';
    mobile(digits)
        || digits.strip_prefix(b"86").is_some_and(mobile)
        || digits.strip_prefix(b"0086").is_some_and(mobile)
        || digits.strip_prefix(b"0").is_some_and(mobile)
        || (digits[0] == b'0' && digits.get(1).is_some_and(|d| *d != b'0') && (10..=12).contains(&digits.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cleaned(line: &str) -> String {
        String::from_utf8_lossy(&clean(line.as_bytes()).0).into_owned()
    }

    #[test]
    fn numbers_are_masked() {
        assert_eq!(masked("13900000001"), "139****0001");
        assert_eq!(masked("+8613900000001"), "+86139****0001");
        assert_eq!(masked("12330"), "12330");
        assert_eq!(masked("05138888"), "05****88");
        assert_eq!(masked(""), "");
    }

    #[test]
    fn telephone_numbers_are_struck_out_of_a_line() {
        assert_eq!(cleaned("from=13900000001 to=\"12345\"\n"), "from=139****0001 to=\"12345\"\n");
        assert_eq!(cleaned("sip:+8613900000001@h"), "sip:+861******0001@h");
        assert_eq!(cleaned("05138888123,013900000001"), "051****8123,013*****0001");
        for kept in [
            "call=7251462310123456 ticket=261125000000022 at=2026-11-25T02:23:12.123456Z",
            "took 0.13900000001 s",
            "nonce=a13900000001f",
            "1795305600123 8001 12345",
            "00000000001",
        ] {
            assert_eq!(cleaned(kept), kept);
            assert_eq!(clean(kept.as_bytes()).1, 0);
        }
        assert_eq!(clean(b"13900000001 13900000002").1, 2);
    }

    #[test]
    fn a_line_is_one_line() {
        assert_eq!(cleaned("a\r\nforged\x1b[2J\x7f\n"), "a\\x0d\\x0aforged\\x1b[2J\\x7f\n");
        assert_eq!(cleaned("一号答\n"), "一号答\n");
    }

    #[test]
    fn a_peers_word_is_cut_short() {
        assert_eq!(Quoted("a\nb 13900000001").to_string(), "a\\x0ab 139****0001");
        let long = "长".repeat(500);
        assert_eq!(Quoted(&long).to_string().chars().count(), LONGEST + 1);
        assert_eq!(Number("1390000\n0001").to_string(), "1390****0001");
    }
}
