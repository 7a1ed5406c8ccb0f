//! A fault in a file that people write: where it is, what is wrong and what to do about it.
//!
//! Flows, profiles and settings all answer with the whole list of their faults, never with the first one alone.

use std::fmt;

/// A place in a file; both count from 1, columns in characters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// From 1; 0 where nothing was written.
    pub line: u32,
    /// In characters, not bytes.
    pub column: u32,
}

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// Cannot be put in force.
    Fault,
    /// Works, though it is against good practice.
    Warning,
}

/// One thing that is wrong in one file.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Fault {
    /// The path as it was given to the reader.
    pub file: String,
    /// From 1; 0 where the fault is the file itself (missing, unreadable).
    pub line: u32,
    /// From 1, in characters.
    pub column: u32,
    /// What is wrong, in the words of the file.
    pub what: String,
    /// What to do about it.
    pub fix: String,
    /// Whether it keeps the file from being used.
    pub severity: Severity,
}

impl Fault {
    /// A fault at a place.
    pub fn new(file: &str, place: Place, what: impl Into<String>, fix: impl Into<String>) -> Self {
        let (line, column) = (place.line, place.column);
        Fault { file: file.into(), line, column, what: what.into(), fix: fix.into(), severity: Severity::Fault }
    }

    /// A fault of the file as a whole.
    pub fn of_file(file: &str, what: impl Into<String>, fix: impl Into<String>) -> Self {
        Fault::new(file, Place::default(), what, fix)
    }

    /// The same as a warning.
    pub fn as_warning(self) -> Self {
        Fault { severity: Severity::Warning, ..self }
    }

    /// Whether it is only a warning.
    pub fn is_warning(&self) -> bool {
        self.severity == Severity::Warning
    }
}

impl fmt::Display for Fault {
    /// `file:line:column: what — what to do`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        if self.line > 0 {
            write!(f, ":{}:{}", self.line, self.column)?;
        }
        write!(f, ": {}", self.what)?;
        if !self.fix.is_empty() {
            write!(f, " — {}", self.fix)?;
        }
        Ok(())
    }
}

/// The name among `known` that was most likely meant by `written`, if any is near enough.
pub fn nearest<'a>(written: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let limit = if written.chars().count() <= 3 { 1 } else { 2 };
    let near = known.into_iter().map(|name| (edits(written, name), name)).min()?;
    (near.0 <= limit).then_some(near.1)
}

/// The number of single-character edits between two words (Levenshtein), after folding case and `-` to `_`.
fn edits(a: &str, b: &str) -> usize {
    let fold = |text: &str| -> Vec<char> {
        text.chars().take(64).map(|c| if c == '-' { '_' } else { c.to_ascii_lowercase() }).collect()
    };
    let (a, b) = (fold(a), fold(b));
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let next = (diagonal + usize::from(x != y)).min(row[j] + 1).min(row[j + 1] + 1);
            diagonal = std::mem::replace(&mut row[j + 1], next);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_of_the_finger_is_recognised() {
        assert_eq!(nearest("timout", ["timeout", "prompt"]), Some("timeout"));
        assert_eq!(nearest("max-wait", ["max_wait", "name"]), Some("max_wait"));
        assert_eq!(nearest("colour", ["timeout", "prompt"]), None);
        assert_eq!(nearest("x", []), None);
    }

    #[test]
    fn a_fault_prints_place_and_remedy() {
        let fault = Fault::new("a.toml", Place { line: 3, column: 7 }, "no such key", "remove it");
        assert_eq!(fault.to_string(), "a.toml:3:7: no such key — remove it");
        assert_eq!(Fault::of_file("b.wav", "unreadable", "").to_string(), "b.wav: unreadable");
    }
}
