//! A TOML document read key by key, so that all its faults come out at once, each with its place.
//!
//! A [`Table`] remembers which keys were asked for; what nobody asked for is an unknown key, reported when the table
//! is dropped, with the nearest known name. Deserialising with serde would stop at the first fault. TOML 1.1.

use super::fault::{Fault, Place, nearest};
use std::{cell::RefCell, collections::BTreeSet, ops::Range, ops::RangeInclusive, time::Duration};
use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

/// A value and where it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Located<T> {
    /// What was written.
    pub value: T,
    /// Where its first character stands.
    pub place: Place,
}

/// What all tables of one document share.
struct Document<'d> {
    file: &'d str,
    text: &'d str,
    /// Byte offset of each line's start.
    lines: Vec<usize>,
    faults: RefCell<Vec<Fault>>,
}

impl Document<'_> {
    fn place(&self, offset: usize) -> Place {
        let offset = offset.min(self.text.len());
        let line = self.lines.partition_point(|&start| start <= offset).max(1);
        let start = self.lines[line - 1];
        let column = self.text.as_bytes()[start..offset].iter().filter(|&&b| b & 0xc0 != 0x80).count();
        Place { line: line as u32, column: column as u32 + 1 }
    }

    fn fault(&self, place: Place, what: String, fix: String) {
        self.faults.borrow_mut().push(Fault::new(self.file, place, what, fix));
    }
}

/// Parses `text` and lets `read` take what it knows; answers what was read, or every fault, sorted by place.
///
/// Where the text itself is broken, faults of its undamaged lines are still listed, but nothing is called missing.
pub fn read<T>(text: &str, file: &str, read: impl FnOnce(&Table<'_>) -> T) -> Result<T, Vec<Fault>> {
    let lines = std::iter::once(0).chain(memchr::memchr_iter(b'\n', text.as_bytes()).map(|at| at + 1)).collect();
    let document = Document { file, text, lines, faults: RefCell::default() };
    let (root, errors) = DeTable::parse_recoverable(text);
    let mut broken = Vec::new();
    for error in &errors {
        let place = document.place(error.span().map_or(0, |span| span.start));
        let what = error.message().lines().collect::<Vec<_>>().join("; ");
        broken.push(Fault::new(file, place, what, "correct the TOML here"));
    }
    let table = Table::new(&document, root.get_ref(), 0..0, String::new());
    let value = read(&table);
    drop(table);
    let mut faults = document.faults.into_inner();
    if !broken.is_empty() {
        let lines: BTreeSet<u32> = broken.iter().map(|fault| fault.line).collect();
        faults.retain(|fault| !lines.contains(&fault.line) && !fault.what.contains("is missing"));
        faults.append(&mut broken);
    }
    faults.sort_by_key(|fault| (fault.line, fault.column));
    faults.dedup();
    if faults.is_empty() { Ok(value) } else { Err(faults) }
}

/// One value of a document.
#[derive(Clone)]
pub struct Value<'d> {
    document: &'d Document<'d>,
    name: String,
    place: Place,
    value: &'d DeValue<'d>,
}

impl<'d> Value<'d> {
    fn new(document: &'d Document<'d>, name: String, value: &'d Spanned<DeValue<'d>>) -> Self {
        Value { document, name, place: document.place(value.span().start), value: value.get_ref() }
    }

    /// Where it stands.
    pub fn place(&self) -> Place {
        self.place
    }

    /// Reports a fault here.
    pub fn fault(&self, what: impl Into<String>, fix: impl Into<String>) {
        self.document.fault(self.place, what.into(), fix.into());
    }

    fn wrong_type(&self, wanted: &str) {
        let found = self.value.type_str();
        self.fault(format!("`{}` is {found}, not {wanted}", self.name), format!("write {wanted}"));
    }

    /// Whether it is a table.
    pub fn is_table(&self) -> bool {
        self.value.is_table()
    }

    /// The text, if it is a text; nothing is reported.
    pub fn as_text(&self) -> Option<&'d str> {
        self.value.as_str()
    }

    /// The text; anything else is a fault.
    pub fn text(&self) -> Option<&'d str> {
        let text = self.value.as_str();
        if text.is_none() {
            self.wrong_type("a text in quotation marks");
        }
        text
    }

    /// The truth value; anything else is a fault.
    pub fn flag(&self) -> Option<bool> {
        let flag = self.value.as_bool();
        if flag.is_none() {
            self.wrong_type("true or false");
        }
        flag
    }

    /// The whole number within `range`; anything else is a fault.
    pub fn integer(&self, range: RangeInclusive<i64>) -> Option<i64> {
        let wanted = format!("a whole number from {} to {}", range.start(), range.end());
        let Some(integer) = self.value.as_integer() else {
            self.wrong_type(&wanted);
            return None;
        };
        let number = i64::from_str_radix(integer.as_str(), integer.radix()).ok().filter(|n| range.contains(n));
        if number.is_none() {
            self.fault(format!("`{}` = {} is out of range", self.name, integer.as_str()), format!("write {wanted}"));
        }
        number
    }

    /// A length of time such as `"0.5s"`, within `range`; anything else is a fault.
    pub fn duration(&self, range: RangeInclusive<Duration>) -> Option<Duration> {
        let Some(text) = self.value.as_str() else {
            self.wrong_type("a time with its unit, such as \"2s\", \"500ms\", \"15m\" or \"2h\"");
            return None;
        };
        let duration = parse_duration(text).filter(|length| range.contains(length));
        if duration.is_none() {
            let fix = format!("write a time such as \"2s\" between {:?} and {:?}", range.start(), range.end());
            self.fault(format!("`{}` = \"{text}\" is no time that can stand here", self.name), fix);
        }
        duration
    }

    /// One text or a list of texts; anything else is a fault.
    pub fn texts(&self) -> Vec<Located<String>> {
        match self.value {
            DeValue::String(text) => vec![Located { value: text.to_string(), place: self.place }],
            DeValue::Array(_) => {
                let items = self.items();
                items.iter().filter_map(|v| Some(Located { value: v.text()?.to_string(), place: v.place })).collect()
            }
            _ => {
                self.wrong_type("a text or a list of texts");
                Vec::new()
            }
        }
    }

    /// The items of a list; anything else is a fault.
    pub fn items(&self) -> Vec<Value<'d>> {
        let Some(array) = self.value.as_array() else {
            self.wrong_type("a list");
            return Vec::new();
        };
        array.iter().map(|item| Value::new(self.document, self.name.clone(), item)).collect()
    }

    /// The table; anything else is a fault.
    pub fn table(&self) -> Option<Table<'d>> {
        let DeValue::Table(entries) = self.value else {
            self.wrong_type("a table");
            return None;
        };
        let mut table = Table::new(self.document, entries, 0..0, self.name.clone());
        table.place = self.place;
        Some(table)
    }
}

/// One table of a document; keys that were never asked for are reported when it is dropped.
pub struct Table<'d> {
    document: &'d Document<'d>,
    entries: &'d DeTable<'d>,
    place: Place,
    /// Dotted path from the root; empty for the root itself.
    name: String,
    asked: RefCell<Vec<&'static str>>,
    open: std::cell::Cell<bool>,
}

impl<'d> Table<'d> {
    fn new(document: &'d Document<'d>, entries: &'d DeTable<'d>, span: Range<usize>, name: String) -> Self {
        let (asked, open) = (RefCell::default(), std::cell::Cell::new(false));
        Table { document, entries, place: document.place(span.start), name, asked, open }
    }

    fn path(&self, key: &str) -> String {
        if self.name.is_empty() { key.to_string() } else { format!("{}.{key}", self.name) }
    }

    /// Where the table begins.
    pub fn place(&self) -> Place {
        self.place
    }

    /// Where `key`'s value stands, or the table where it has none.
    pub fn place_of(&self, key: &'static str) -> Place {
        self.value(key).map_or(self.place, |value| value.place)
    }

    /// Reports a fault at `key`'s value, or at the table where it has none.
    pub fn fault(&self, key: &'static str, what: impl Into<String>, fix: impl Into<String>) {
        self.document.fault(self.place_of(key), what.into(), fix.into());
    }

    /// Reports a fault at a place of this document.
    pub fn fault_at(&self, place: Place, what: impl Into<String>, fix: impl Into<String>) {
        self.document.fault(place, what.into(), fix.into());
    }

    /// The value of `key`, which thereby is a known key.
    pub fn value(&self, key: &'static str) -> Option<Value<'d>> {
        if !self.asked.borrow().contains(&key) {
            self.asked.borrow_mut().push(key);
        }
        let (_, value) = self.entries.iter().find(|(name, _)| name.get_ref() == key)?;
        Some(Value::new(self.document, self.path(key), value))
    }

    /// All entries with their names and the names' places: nothing in this table is an unknown key then.
    pub fn all(&self) -> Vec<(Located<String>, Value<'d>)> {
        self.open.set(true);
        let mut entries: Vec<_> = self
            .entries
            .iter()
            .map(|(name, value)| {
                let place = self.document.place(name.span().start);
                let name = Located { value: name.get_ref().to_string(), place };
                let value = Value::new(self.document, self.path(&name.value), value);
                (name, value)
            })
            .collect();
        entries.sort_by_key(|(name, _)| name.place);
        entries
    }

    /// Reports that `key` is missing, with what to write.
    pub fn missing(&self, key: &'static str, fix: &str) {
        let what = if self.name.is_empty() {
            format!("`{key}` is missing")
        } else {
            format!("`{key}` is missing in `{}`", self.name)
        };
        self.document.fault(self.place, what, fix.into());
    }

    /// `key` as a text.
    pub fn text(&self, key: &'static str) -> Option<String> {
        self.value(key)?.text().map(str::to_string)
    }

    /// `key` as a text that has to be there.
    pub fn required_text(&self, key: &'static str, fix: &str) -> Option<String> {
        if self.value(key).is_none() {
            self.missing(key, fix);
        }
        self.text(key)
    }

    /// `key` as a text that `parse` understands; `form` says what is wanted, such as "an address like 10.0.0.1:5060".
    pub fn parsed<T>(&self, key: &'static str, form: &str, parse: impl FnOnce(&str) -> Option<T>) -> Option<T> {
        let value = self.value(key)?;
        let text = value.text()?;
        let parsed = parse(text);
        if parsed.is_none() {
            value.fault(format!("`{}` = \"{text}\" is not {form}", value.name), format!("write {form}"));
        }
        parsed
    }

    /// `key` as one of a few words.
    pub fn choice<T: Copy>(&self, key: &'static str, choices: &[(&str, T)]) -> Option<T> {
        let value = self.value(key)?;
        let text = value.text()?;
        let found = choices.iter().find(|(word, _)| *word == text);
        if found.is_none() {
            let words: Vec<_> = choices.iter().map(|(word, _)| format!("\"{word}\"")).collect();
            let fix = match nearest(text, choices.iter().map(|(word, _)| *word)) {
                Some(word) => format!("did you mean \"{word}\"? It is one of {}", words.join(", ")),
                None => format!("write one of {}", words.join(", ")),
            };
            value.fault(format!("`{}` = \"{text}\" is unknown", value.name), fix);
        }
        found.map(|(_, choice)| *choice)
    }

    /// `key` as true or false.
    pub fn flag(&self, key: &'static str) -> Option<bool> {
        self.value(key)?.flag()
    }

    /// `key` as a whole number within `range`.
    pub fn integer(&self, key: &'static str, range: RangeInclusive<i64>) -> Option<i64> {
        self.value(key)?.integer(range)
    }

    /// `key` as a length of time within `range`.
    pub fn duration(&self, key: &'static str, range: RangeInclusive<Duration>) -> Option<Duration> {
        self.value(key)?.duration(range)
    }

    /// `key` as a text or a list of texts; empty where it is not there.
    pub fn texts(&self, key: &'static str) -> Vec<Located<String>> {
        self.value(key).map(|value| value.texts()).unwrap_or_default()
    }

    /// `key` as a table.
    pub fn table(&self, key: &'static str) -> Option<Table<'d>> {
        self.value(key)?.table()
    }

    /// `key` as a list of tables (`[[key]]`); empty where it is not there.
    pub fn tables(&self, key: &'static str) -> Vec<Table<'d>> {
        let Some(value) = self.value(key) else { return Vec::new() };
        value.items().iter().filter_map(Value::table).collect()
    }
}

impl Drop for Table<'_> {
    fn drop(&mut self) {
        if self.open.get() {
            return;
        }
        let asked = self.asked.borrow();
        for name in self.entries.keys().filter(|name| !asked.contains(&name.get_ref().as_ref())) {
            let fix = match nearest(name.get_ref(), asked.iter().copied()) {
                Some(known) => format!("did you mean `{known}`?"),
                None => format!("remove it, or use one of: {}", asked.join(", ")),
            };
            let what = format!("unknown key `{}`", self.path(name.get_ref()));
            self.document.fault(self.document.place(name.span().start), what, fix);
        }
    }
}

/// Reads `"0.5s"`, `"500ms"`, `"15m"` or `"2h"`; None for anything else.
pub fn parse_duration(text: &str) -> Option<Duration> {
    let text = text.trim();
    let split = text.find(|c: char| !c.is_ascii_digit() && c != '.')?;
    let number: f64 = text[..split].parse().ok()?;
    let unit = match text[split..].trim() {
        "ms" => 0.001,
        "s" => 1.0,
        "m" | "min" => 60.0,
        "h" => 3600.0,
        "d" => 86_400.0,
        _ => return None,
    };
    let seconds = number * unit;
    (seconds <= 1e9).then(|| Duration::from_millis((seconds * 1000.0).round() as u64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fault_comes_out_with_its_place() {
        let text = "name = 5\nwait = \"soon\"\ncolour = 1\nmax-len = 3\n\n[inner]\nflag = \"yes\"\n";
        let faults = read(text, "x.toml", |t| {
            let (name, wait, len) =
                (t.text("name"), t.duration("wait", Duration::ZERO..=Duration::MAX), t.text("max_len"));
            assert_eq!((name, wait, len), (None, None, None));
            assert_eq!(t.table("inner").and_then(|inner| inner.flag("flag")), None);
            t.missing("port", "write a port");
        })
        .unwrap_err();
        let lines: Vec<u32> = faults.iter().map(|f| f.line).collect();
        assert_eq!(lines, [1, 1, 2, 3, 4, 7], "{faults:#?}");
        assert!(faults.iter().any(|f| f.what.contains("max-len") && f.fix.contains("`max_len`")));
    }

    #[test]
    fn broken_text_does_not_hide_the_rest() {
        let text = "a = \nb = 7\nzzz = 1\nc = [1\n";
        let faults = read(text, "x.toml", |t| {
            t.text("a");
            t.text("b");
            t.text("c");
        })
        .unwrap_err();
        assert!(faults.iter().any(|f| f.line == 1), "{faults:#?}");
        assert!(faults.iter().any(|f| f.line == 2 && f.what.contains("not a text")), "{faults:#?}");
        assert!(faults.iter().any(|f| f.line == 3 && f.what.contains("zzz")), "{faults:#?}");
    }

    #[test]
    fn durations() {
        assert_eq!(parse_duration("0.5s"), Some(Duration::from_millis(500)));
        assert_eq!(parse_duration("500ms"), Some(Duration::from_millis(500)));
        assert_eq!(parse_duration("2h"), Some(Duration::from_secs(7200)));
        for bad in ["", "5", "s", "1.2.3s", "5 weeks", "-1s", "99999999999h"] {
            assert_eq!(parse_duration(bad), None, "{bad}");
        }
    }

    #[test]
    fn columns_count_characters() {
        let faults = read("x = { \"名\" = 1, b = 2 }", "x.toml", |t| {
            if let Some(x) = t.table("x") {
                x.value("名");
            }
        })
        .unwrap_err();
        assert_eq!((faults[0].line, faults[0].column), (1, 16));
    }
}
