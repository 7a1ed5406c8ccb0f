//! What the demo prints: the story as it happens, then the checks.

use super::DemoError;
use crate::net::clock;
use std::{
    io::Write,
    time::{Duration, Instant},
};

/// Something that was checked, with the figures behind it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// What was checked.
    pub name: String,
    /// What was measured.
    pub figures: String,
    /// Whether it held.
    pub passed: bool,
}

/// The printed story.
pub struct Story {
    out: Box<dyn Write + Send>,
    began: Instant,
    checks: Vec<Check>,
}

impl Story {
    /// A story that is printed to `out`; its seconds count from `began`.
    pub fn new(out: Box<dyn Write + Send>, began: Instant) -> Story {
        Story { out, began, checks: Vec::new() }
    }

    /// The heading.
    pub fn title(&mut self, text: &str) {
        self.line(text);
        self.line(&"─".repeat(40));
    }

    /// Somebody does something, now.
    pub fn tell(&mut self, who: &str, what: &str) {
        let seconds = self.elapsed().as_secs_f64();
        // A Chinese character is two columns wide.
        let width: usize = who.chars().map(|c| if c.is_ascii() { 1 } else { 2 }).sum();
        let pad = " ".repeat(8usize.saturating_sub(width));
        self.line(&format!("{seconds:>6.1}s  {who}{pad}  {what}"));
    }

    /// Remembers a check; they are printed at the end.
    pub fn check(&mut self, name: &str, passed: bool, figures: String) {
        self.checks.push(Check { name: name.to_owned(), figures, passed });
    }

    /// Prints the checks and the outcome; how many did not hold.
    pub fn finish(&mut self, error: Option<&DemoError>) -> usize {
        self.line(&"─".repeat(40));
        for check in self.checks.clone() {
            let mark = if check.passed { '✓' } else { '✗' };
            self.line(&format!("  {mark} {}:{}", check.name, check.figures));
        }
        let failed = self.checks.iter().filter(|c| !c.passed).count();
        let seconds = self.elapsed().as_secs_f64();
        match error {
            Some(error) => self.line(&format!("  ✗ {error}")),
            None if failed == 0 => {
                self.line(&format!("全部 {} 项检查通过,用时 {seconds:.1} 秒。", self.checks.len()));
            }
            None => {}
        }
        if error.is_some() || failed > 0 {
            let also = if failed > 0 { format!(",{failed} 项检查不通过") } else { String::new() };
            self.line(&format!("演示失败{also},用时 {seconds:.1} 秒。"));
        }
        failed
    }

    /// Since the story began.
    pub fn elapsed(&self) -> Duration {
        clock::now().mono.saturating_duration_since(self.began)
    }

    /// All that was checked.
    pub fn into_checks(self) -> Vec<Check> {
        self.checks
    }

    fn line(&mut self, text: &str) {
        // A closed pipe must not change the outcome.
        let _ = writeln!(self.out, "{text}");
        let _ = self.out.flush();
    }
}
