//! Mobile numbers of mainland China (MIIT numbering plan: `1[3-9]` and nine more digits), brought to one form.
//!
//! Left out: whether a number is allotted or reachable (the SMS centre says so), fixed lines and other countries.

use std::fmt;

/// Longest text looked at; anything longer is no telephone number.
const MAX_INPUT: usize = 40;

/// A checked mobile number; its text is the eleven national digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct MobileNumber([u8; 11]);

/// Why a text is no Chinese mobile number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NumberError {
    /// Nothing is left once blanks, hyphens and brackets are skipped.
    #[error("the number is empty")]
    Empty,
    /// A letter, say, or a plus sign in the middle.
    #[error("the number has a character that is no digit")]
    NotDigits,
    /// Without its prefix; landlines and short codes end here.
    #[error("the number has {0} digits where a mobile number has 11")]
    Length(usize),
    /// Eleven digits, but not those of a mobile number.
    #[error("the number does not begin like a mobile number (13 to 19)")]
    NotMobile,
}

impl MobileNumber {
    /// Reads `+86…`, `0086…`, `86…`, a trunk `0` or eleven plain digits; blanks, hyphens and brackets are skipped and
    /// full-width digits read. Errors where what is left is no such number.
    pub fn parse(text: &str) -> Result<Self, NumberError> {
        if text.len() > MAX_INPUT {
            return Err(NumberError::Length(text.chars().filter(char::is_ascii_digit).count()));
        }
        let mut digits = String::with_capacity(16);
        for (at, c) in text.trim().chars().enumerate() {
            match c {
                '0'..='9' => digits.push(c),
                '\u{FF10}'..='\u{FF19}' => digits.push(char::from(b'0' + (c as u32 - 0xFF10) as u8)),
                '+' | '\u{FF0B}' if at == 0 => digits.push_str("00"),
                ' ' | '-' | '(' | ')' | '\u{3000}' | '\u{A0}' => {}
                _ => return Err(NumberError::NotDigits),
            }
        }
        let digits = strip_prefix(&digits);
        if digits.is_empty() {
            return Err(NumberError::Empty);
        }
        let national: [u8; 11] = digits.as_bytes().try_into().map_err(|_| NumberError::Length(digits.len()))?;
        if national[0] != b'1' || !(b'3'..=b'9').contains(&national[1]) {
            return Err(NumberError::NotMobile);
        }
        Ok(MobileNumber(national))
    }

    /// The eleven national digits, as stored and shown: `13800138000`.
    pub fn as_str(&self) -> &str {
        // The constructor lets only ASCII digits in.
        std::str::from_utf8(&self.0).unwrap_or_default()
    }

    /// The form of ITU-T E.164: `+8613800138000`.
    pub fn e164(&self) -> String {
        format!("+86{}", self.as_str())
    }

    /// Country code and digits without a plus sign: `8613800138000`.
    pub fn international(&self) -> String {
        format!("86{}", self.as_str())
    }
}

/// Takes the country code or a trunk zero off, where what stays can still be a mobile number.
fn strip_prefix(digits: &str) -> &str {
    for prefix in ["0086", "086", "86", "0"] {
        if let Some(rest) = digits.strip_prefix(prefix)
            && rest.len() == 11
        {
            return rest;
        }
    }
    digits
}

impl fmt::Display for MobileNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for MobileNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MobileNumber({})", self.as_str())
    }
}

impl From<MobileNumber> for String {
    fn from(number: MobileNumber) -> String {
        number.as_str().to_owned()
    }
}

impl TryFrom<String> for MobileNumber {
    type Error = NumberError;
    fn try_from(text: String) -> Result<Self, NumberError> {
        MobileNumber::parse(&text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_way_to_write_it_gives_one_form() {
        for text in [
            "13800138000",
            "+8613800138000",
            "+86 138-0013-8000",
            "008613800138000",
            "8613800138000",
            "013800138000",
            "(+86)13800138000".trim_start_matches('('),
            "１３８００１３８０００",
            " 138 0013 8000 ",
        ] {
            let number = MobileNumber::parse(&text.replace("+86)", "+86 ")).unwrap_or_else(|e| panic!("{text}: {e}"));
            assert_eq!(number.as_str(), "13800138000", "{text}");
        }
        let number = MobileNumber::parse("19912345678").unwrap();
        assert_eq!(number.e164(), "+8619912345678");
        assert_eq!(number.international(), "8619912345678");
    }

    #[test]
    fn what_is_no_mobile_number_is_refused() {
        assert_eq!(MobileNumber::parse(""), Err(NumberError::Empty));
        assert_eq!(MobileNumber::parse("12345"), Err(NumberError::Length(5)));
        assert_eq!(MobileNumber::parse("01012345678"), Err(NumberError::NotMobile));
        assert_eq!(MobileNumber::parse("12012345678"), Err(NumberError::NotMobile));
        assert_eq!(MobileNumber::parse("+85291234567"), Err(NumberError::Length(13)));
        assert_eq!(MobileNumber::parse("1380013800x"), Err(NumberError::NotDigits));
        assert_eq!(MobileNumber::parse("138+0138000"), Err(NumberError::NotDigits));
        assert!(MobileNumber::parse(&"1".repeat(5000)).is_err());
    }

    #[test]
    fn it_is_stored_as_text_and_checked_when_read() {
        let number = MobileNumber::parse("13800138000").unwrap();
        let json = serde_json::to_string(&number).unwrap();
        assert_eq!(json, "\"13800138000\"");
        assert_eq!(serde_json::from_str::<MobileNumber>(&json).unwrap(), number);
        assert!(serde_json::from_str::<MobileNumber>("\"12345\"").is_err());
    }
}
