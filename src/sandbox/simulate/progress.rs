//! Progress: one line that is drawn anew each second on a terminal, a plain line every ten seconds elsewhere.

use super::{protocol::Pulse, watch::Seen};
use std::{
    collections::BTreeMap,
    fmt::Write as _,
    io::{IsTerminal, Write as _},
    time::Duration,
};

/// How often a line is written where nothing can be drawn anew.
const PLAIN: u64 = 10;

/// Agents' states and how they are called.
const STATES: [(&str, &str); 8] = [
    ("idle", "空闲"),
    ("ringing", "振铃"),
    ("talking", "通话"),
    ("holding", "保持"),
    ("consulting", "咨询"),
    ("conferencing", "三方"),
    ("wrap_up", "话后"),
    ("not_ready", "小休"),
];

/// Where progress is shown.
#[derive(Debug)]
pub struct Progress {
    terminal: bool,
    drawn: bool,
}

impl Progress {
    /// On stderr: what is written on stdout is the summary.
    pub fn new() -> Progress {
        Progress { terminal: std::io::stderr().is_terminal(), drawn: false }
    }

    /// Shows how far it is, `second` after its beginning.
    pub fn show(&mut self, second: u64, line: &str) {
        let mut out = std::io::stderr().lock();
        if self.terminal {
            let _ = write!(out, "\r\x1b[2K{line}");
            let _ = out.flush();
            self.drawn = true;
        } else if second.is_multiple_of(PLAIN) {
            let _ = writeln!(out, "{line}");
        }
    }

    /// Says something that stays.
    pub fn say(&mut self, line: &str) {
        let mut out = std::io::stderr().lock();
        if std::mem::take(&mut self.drawn) {
            let _ = write!(out, "\r\x1b[2K");
        }
        let _ = writeln!(out, "{line}");
    }
}

/// The line of this moment.
pub fn line(at: Duration, total: &Pulse, seen: &Seen, placed_a_second: f64, resident_kb: Option<u64>) -> String {
    let seconds = at.as_secs();
    let mut line = format!("{:02}:{:02} 拨打 {}", seconds / 60, seconds % 60, total.placed);
    let _ = write!(
        line,
        " 未接通 {} 等待 {}(排队 {}) 通话 {} 结束 {} | {placed_a_second:.1} 通/秒",
        total.dialling, total.waiting, seen.waiting, total.talking, total.ended
    );
    if seen.answered > 0 {
        let _ = write!(line, " | 15 秒接通 {:.1} %", 100.0 * seen.answered_in_time as f64 / seen.answered as f64);
    }
    let _ = write!(line, " | 坐席{}", states(&seen.agents));
    if let Some(kb) = resident_kb {
        let _ = write!(line, " | {} MB", kb / 1024);
    }
    line
}

fn states(agents: &BTreeMap<String, usize>) -> String {
    let mut text = String::new();
    for (state, name) in STATES {
        if let Some(count) = agents.get(state) {
            let _ = write!(text, " {name} {count}");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_tells_it_all() {
        let total = Pulse { dialling: 1, waiting: 2, talking: 3, placed: 40, ended: 34, ..Pulse::default() };
        let agents = BTreeMap::from([("talking".to_owned(), 3), ("idle".to_owned(), 5)]);
        let seen = Seen { agents, waiting: 1, answered: 30, answered_in_time: 27, ..Seen::default() };
        assert_eq!(
            line(Duration::from_secs(65), &total, &seen, 9.96, Some(204_800)),
            "01:05 拨打 40 未接通 1 等待 2(排队 1) 通话 3 结束 34 | 10.0 通/秒 | 15 秒接通 90.0 % | 坐席 空闲 5 通话 3 | 200 MB"
        );
    }
}
