//! Settings as they may be shown and kept: secrets that are written plainly are struck out, and put back when a text
//! comes back with the mark in their place. `env:NAME` and `file:PATH` are no secrets.

use crate::ivr::{Fault, Place};
use std::ops::Range;
use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

/// Stands for a secret that stays as it is.
pub const MARK: &str = "<unchanged>";

/// A secret of a text: whose, and where its value stands, quotes included.
struct Found {
    whose: String,
    at: Range<usize>,
    value: String,
}

/// The text without its secrets. One that is no TOML has every line that may hold one struck out.
pub fn conceal(text: &str) -> String {
    let Ok(found) = secrets(text) else { return conceal_lines(text) };
    let mut shown = text.to_owned();
    for secret in found.iter().rev().filter(|secret| is_plain(&secret.value)) {
        shown.replace_range(secret.at.clone(), &format!("\"{MARK}\""));
    }
    shown
}

/// The text with the secrets of `before` wherever the mark stands.
///
/// # Errors
/// Each mark for which `before` has no secret.
pub fn restore(text: &str, before: &str, file: &str) -> Result<String, Vec<Fault>> {
    // What is no TOML is told by who reads it next, with its line.
    let Ok(found) = secrets(text) else { return Ok(text.to_owned()) };
    let known = secrets(before).unwrap_or_default();
    let (mut whole, mut faults) = (text.to_owned(), Vec::new());
    for secret in found.iter().rev().filter(|secret| secret.value == MARK) {
        match known.iter().find(|old| old.whose == secret.whose && old.value != MARK) {
            Some(old) => whole.replace_range(secret.at.clone(), &before[old.at.clone()]),
            None => {
                let line = text[..secret.at.start].matches('\n').count() as u32 + 1;
                let what = format!("the secret of {} is not known any more (原密码已不存在)", secret.whose);
                faults.push(Fault::new(file, Place { line, column: 1 }, what, "write it again, or as env:NAME"));
            }
        }
    }
    faults.reverse();
    if faults.is_empty() { Ok(whole) } else { Err(faults) }
}

fn is_plain(value: &str) -> bool {
    // A URL of a file holds no password.
    !["env:", "file:", "sqlite:"].iter().any(|known| value.starts_with(known))
}

fn conceal_lines(text: &str) -> String {
    let line = |line: &str| match ["password", "url"].iter().any(|word| line.contains(word)) {
        true => format!("# {MARK}\n"),
        false => format!("{line}\n"),
    };
    text.lines().map(line).collect()
}

fn secrets(text: &str) -> Result<Vec<Found>, ()> {
    let root = DeTable::parse(text).map_err(|_| ())?;
    let root = root.get_ref();
    let mut found = Vec::new();
    let mut take = |table: &DeTable<'_>, key: &str, whose: String| {
        if let Some((_, value)) = table.iter().find(|(name, _)| name.get_ref() == key)
            && let DeValue::String(text) = value.get_ref()
        {
            found.push(Found { whose, at: value.span(), value: text.to_string() });
        }
    };
    for (name, value) in root.iter() {
        let name: &str = name.get_ref();
        match value.get_ref() {
            DeValue::Table(table) => {
                for key in ["password", "url"] {
                    take(table, key, name.to_owned());
                }
            }
            DeValue::Array(tables) => {
                for table in tables.iter().filter_map(table_of) {
                    let own = ["number", "name"].iter().find_map(|key| {
                        let (_, value) = table.iter().find(|(name, _)| name.get_ref() == *key)?;
                        value.get_ref().as_str()
                    });
                    take(table, "password", format!("{name} {}", own.unwrap_or_default()));
                }
            }
            _ => {}
        }
    }
    found.sort_by_key(|secret| secret.at.start);
    Ok(found)
}

fn table_of<'a, 'b>(value: &'a Spanned<DeValue<'b>>) -> Option<&'a DeTable<'b>> {
    match value.get_ref() {
        DeValue::Table(table) => Some(table),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "# kept\n[database]\nurl = \"postgres://u:s3cret@h/db\"\n[[agent]]\nnumber = \"8001\" # one\n\
        password = 'plain-1'\n[[agent]]\nnumber = \"8002\"\npassword = \"env:P\"\n[sms]\npassword = \"gate\"\n";

    #[test]
    fn secrets_are_struck_out_and_put_back() {
        let shown = conceal(TEXT);
        for secret in ["s3cret", "plain-1", "gate"] {
            assert!(!shown.contains(secret), "{shown}");
        }
        assert!(shown.contains("env:P") && shown.contains("# one") && shown.matches(MARK).count() == 3, "{shown}");
        assert_eq!(restore(&shown, TEXT, "f").unwrap(), TEXT);
        let changed = shown.replace("8002", "8003").replace("# kept", "# other");
        assert_eq!(restore(&changed, TEXT, "f").unwrap(), TEXT.replace("8002", "8003").replace("# kept", "# other"));
    }

    #[test]
    fn a_mark_for_somebody_new_is_a_fault_with_its_line() {
        let text = conceal(TEXT).replace("8001", "8009");
        let faults = restore(&text, TEXT, "hotline.toml").unwrap_err();
        assert_eq!((faults.len(), faults[0].line), (1, 6), "{faults:?}");
        assert!(faults[0].what.contains("agent 8009"));
    }

    #[test]
    fn what_cannot_be_read_shows_no_secret_either() {
        let broken = format!("{TEXT}\n[[[");
        let shown = conceal(&broken);
        assert!(!shown.contains("s3cret") && !shown.contains("plain-1") && !shown.contains("gate"), "{shown}");
        assert!(shown.contains("8001"));
    }
}
