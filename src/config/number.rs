//! Patterns of dialled numbers.

use std::{fmt, str::FromStr};

/// What a dialled number is matched with: `12345`, `80XX` (X any digit), `130000-139999`, or `0.` (a prefix).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum NumberPattern {
    /// Digits, `+`, `*`, `#` and `X`, matched in full.
    Form(String),
    /// Numbers of one length within two bounds.
    Range {
        /// The lowest that is meant.
        first: u64,
        /// The highest that is meant.
        last: u64,
        /// How many digits each has, leading zeros included.
        digits: usize,
    },
    /// Whatever begins so and goes on with at least one character.
    Prefix(String),
}

/// The text is no pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a number pattern such as 12345, 80XX, 130000-139999 or 0.")]
pub struct BadPattern;

fn is_form(text: &str) -> bool {
    !text.is_empty() && text.len() <= 32 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'+' | b'*' | b'#' | b'X'))
}

fn form_matches(form: &str, number: &str) -> bool {
    form.len() == number.len()
        && form.bytes().zip(number.bytes()).all(|(f, n)| f == n || f == b'X' && n.is_ascii_digit())
}

impl NumberPattern {
    /// Whether `number` is meant.
    pub fn matches(&self, number: &str) -> bool {
        match self {
            NumberPattern::Form(form) => form_matches(form, number),
            NumberPattern::Range { first, last, digits } => {
                number.len() == *digits
                    && number.bytes().all(|b| b.is_ascii_digit())
                    && number.parse().is_ok_and(|n: u64| (*first..=*last).contains(&n))
            }
            NumberPattern::Prefix(prefix) => {
                number.len() > prefix.len()
                    && number.is_char_boundary(prefix.len())
                    && form_matches(prefix, &number[..prefix.len()])
            }
        }
    }

    /// Every number of a plain number or a range, up to `most` of them; None for other patterns and larger ranges.
    pub fn expand(&self, most: u64) -> Option<Vec<String>> {
        match self {
            NumberPattern::Form(form) if !form.contains('X') => Some(vec![form.clone()]),
            NumberPattern::Range { first, last, digits } if last - first < most => {
                Some((*first..=*last).map(|n| format!("{n:0width$}", width = *digits)).collect())
            }
            NumberPattern::Form(_) | NumberPattern::Range { .. } | NumberPattern::Prefix(_) => None,
        }
    }
}

impl FromStr for NumberPattern {
    type Err = BadPattern;

    fn from_str(text: &str) -> Result<Self, BadPattern> {
        if let Some((first, last)) = text.split_once('-') {
            let plain = |text: &str| (1..=18).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
            if first.len() != last.len() || !plain(first) || !plain(last) {
                return Err(BadPattern);
            }
            let digits = first.len();
            let (first, last) = (first.parse().map_err(|_| BadPattern)?, last.parse().map_err(|_| BadPattern)?);
            return if first <= last { Ok(NumberPattern::Range { first, last, digits }) } else { Err(BadPattern) };
        }
        match text.strip_suffix('.') {
            Some(prefix) if is_form(prefix) => Ok(NumberPattern::Prefix(prefix.into())),
            None if is_form(text) => Ok(NumberPattern::Form(text.into())),
            _ => Err(BadPattern),
        }
    }
}

impl fmt::Display for NumberPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NumberPattern::Form(form) => f.write_str(form),
            NumberPattern::Range { first, last, digits } => {
                write!(f, "{first:0width$}-{last:0width$}", width = *digits)
            }
            NumberPattern::Prefix(prefix) => write!(f, "{prefix}."),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn matching() {
        let matches = |pattern: &str, number: &str| pattern.parse::<NumberPattern>().unwrap().matches(number);
        assert!(matches("12345", "12345") && !matches("12345", "123456") && !matches("12345", "1234"));
        assert!(matches("80XX", "8001") && !matches("80XX", "80a1") && !matches("80XX", "9001"));
        assert!(matches("130000-139999", "130000") && matches("130000-139999", "139999"));
        assert!(!matches("130000-139999", "140000") && !matches("130000-139999", "0130000"));
        assert!(matches("0.", "05131") && !matches("0.", "0") && !matches("0.", "10"));
        assert!(!matches("0.", "字"));
        for bad in ["", ".", "12a", "1-", "10-9", "100-99", "99-100", "1 2"] {
            assert!(bad.parse::<NumberPattern>().is_err(), "{bad}");
        }
    }

    #[test]
    fn expanding() {
        let expand = |pattern: &str| pattern.parse::<NumberPattern>().unwrap().expand(1000);
        assert_eq!(expand("0008-0010"), Some(vec!["0008".into(), "0009".into(), "0010".into()]));
        assert_eq!(expand("8001"), Some(vec!["8001".into()]));
        assert_eq!((expand("80XX"), expand("0."), expand("130000-139999")), (None, None, None));
    }
}
