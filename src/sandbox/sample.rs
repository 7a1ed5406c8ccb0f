//! The sample city: units, hotlines, agents and console users, read from the tables under `sample/`.
//!
//! Every row names its source: `S0`–`S4` are the published documents of five cities, `invented` marks what no
//! document gives (opening hours, backup numbers, people). The hotlines are Baoji's annex of 2018 (S2); the
//! overrides lie on top of it and say where another city does it otherwise. Nothing here is ever dialled for real.

use rust_embed::RustEmbed;
use serde::{Deserialize, de::DeserializeOwned};
use std::collections::BTreeMap;

/// The tables as files, by name such as `units.csv`.
#[derive(RustEmbed)]
#[folder = "sample/"]
pub struct Files;

/// Why a sample table could not be read.
#[derive(Debug, thiserror::Error)]
pub enum SampleError {
    /// The file's name.
    #[error("sample table {0} is missing")]
    Missing(&'static str),
    /// A row cannot be read, or contradicts another.
    #[error("sample table {table}, line {line}: {what}")]
    Row {
        /// The file's name.
        table: &'static str,
        /// From 1, the heading included.
        line: u64,
        /// What is wrong with it.
        what: String,
    },
}

/// What a unit is: districts are ranked apart from departments (S4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UnitKind {
    /// 县市区: ranked among its like.
    District,
    /// 市直部门: ranked among its like.
    Department,
    /// 公共服务企业: water, gas, power and the like.
    Utility,
}

/// A unit (承办单位).
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Unit {
    /// By which tickets name it.
    pub code: String,
    /// In Chinese, as it is shown.
    pub name: String,
    /// Whom it is ranked with.
    pub kind: UnitKind,
    /// The code of the unit above it; empty for none.
    pub parent: String,
    /// Its console user.
    pub user: String,
    /// `S0`–`S4` or `invented`.
    pub source: String,
}

/// How far a hotline is part of 12345 (S2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// 整合: its calls ring our own queue.
    Merged,
    /// 双轨: it answers by itself and can be joined three-way.
    DualTrack,
    /// 暂不整合: it stays outside.
    Separate,
}

/// One line of a weekly opening table, such as `mon-fri 08:30-12:00`.
pub type OpeningHours = String;

/// A hotline with its overrides applied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hotline {
    /// The row of the published annex, from 1.
    pub row: u32,
    /// In Chinese, as the annex writes it.
    pub name: String,
    /// All its numbers; the first is the one that names it.
    pub numbers: Vec<String>,
    /// The department that runs it, as the annex writes it.
    pub owner: String,
    /// How far it is part of 12345.
    pub mode: Mode,
    /// `S0`–`S4` or `invented`.
    pub source: String,
    /// The number whose queue answers instead, such as `12345`.
    pub alias_of: Option<String>,
    /// Seats, keys and line of its own, hidden from all other roles (S4).
    pub private_lane: bool,
    /// Invented by us.
    pub hours: Vec<OpeningHours>,
    /// Invented by us; begins with 000 so that no exchange would route it.
    pub backup: Option<String>,
}

/// An agent or a supervisor (话务员, 班长).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Agent {
    /// 工号.
    pub number: String,
    /// Invented.
    pub name: String,
    /// `agent` or `supervisor`.
    pub role: String,
    /// The seat that the sandbox puts the agent at.
    pub extension: String,
    /// Skill and level 1–9.
    pub skills: Vec<(String, u8)>,
    /// `S0`–`S4` or `invented`.
    pub source: String,
}

/// A user of the console who answers no calls.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct ConsoleUser {
    /// By which the user signs in.
    pub user: String,
    /// Invented.
    pub name: String,
    /// A role's name in the API, such as `dispatcher`.
    pub role: String,
    /// The unit that the user works for; empty for the centre's own.
    pub unit: String,
    /// `S0`–`S4` or `invented`.
    pub source: String,
}

/// The sandbox's password of an agent or a user.
pub fn password(user: &str) -> String {
    format!("sandbox-{user}")
}

/// The units, in the table's order.
pub fn units() -> Result<Vec<Unit>, SampleError> {
    rows("units.csv")
}

/// The console's users.
pub fn users() -> Result<Vec<ConsoleUser>, SampleError> {
    rows("users.csv")
}

/// Agents 8001–8020 and supervisors 9001–9003.
pub fn agents() -> Result<Vec<Agent>, SampleError> {
    #[derive(Deserialize)]
    struct Row {
        number: String,
        name: String,
        role: String,
        extension: String,
        skills: String,
        source: String,
    }
    const TABLE: &str = "agents.csv";
    let mut agents = Vec::new();
    for (at, row) in rows::<Row>(TABLE)?.into_iter().enumerate() {
        let mut skills = Vec::new();
        for part in list(&row.skills) {
            let level = part.split_once(':').and_then(|(name, level)| Some((name, level.parse().ok()?)));
            match level {
                Some((name, level @ 1..=9)) => skills.push((name.to_owned(), level)),
                _ => return Err(fault(TABLE, at, format!("skill {part:?} is not name:level with a level of 1 to 9"))),
            }
        }
        let Row { number, name, role, extension, source, .. } = row;
        agents.push(Agent { number, name, role, extension, skills, source });
    }
    Ok(agents)
}

/// The hotlines of the published annex alone, without overrides.
pub fn annex() -> Result<Vec<Hotline>, SampleError> {
    #[derive(Deserialize)]
    struct Row {
        row: u32,
        name: String,
        numbers: String,
        owner: String,
        mode: Mode,
        source: String,
    }
    let hotline = |Row { row, name, numbers, owner, mode, source }: Row| Hotline {
        row,
        name,
        numbers: list(&numbers).map(str::to_owned).collect(),
        owner,
        mode,
        source,
        alias_of: None,
        private_lane: false,
        hours: Vec::new(),
        backup: None,
    };
    Ok(rows::<Row>("hotlines.csv")?.into_iter().map(hotline).collect())
}

/// The hotlines as the sandbox runs them: the annex with `overrides.csv` on top.
pub fn hotlines() -> Result<Vec<Hotline>, SampleError> {
    #[derive(Deserialize)]
    struct Override {
        number: String,
        field: String,
        value: String,
        source: String,
    }
    const TABLE: &str = "overrides.csv";
    let mut hotlines = annex()?;
    let index: BTreeMap<String, usize> =
        hotlines.iter().enumerate().flat_map(|(at, h)| h.numbers.iter().map(move |n| (n.clone(), at))).collect();
    for (at, row) in rows::<Override>(TABLE)?.into_iter().enumerate() {
        let Some(hotline) = index.get(&row.number).and_then(|i| hotlines.get_mut(*i)) else {
            return Err(fault(TABLE, at, format!("no hotline has the number {}", row.number)));
        };
        match (row.field.as_str(), row.value.as_str()) {
            ("mode", "merged") => hotline.mode = Mode::Merged,
            ("mode", "dual_track") => hotline.mode = Mode::DualTrack,
            ("mode", "separate") => hotline.mode = Mode::Separate,
            ("alias_of", number) => hotline.alias_of = Some(number.to_owned()),
            ("lane", "private") => hotline.private_lane = true,
            ("hours", hours) => hotline.hours = list(hours).map(str::to_owned).collect(),
            ("backup", number) => hotline.backup = Some(number.to_owned()),
            (field, value) => return Err(fault(TABLE, at, format!("{field} cannot be {value:?}"))),
        }
        if row.source != "invented" {
            hotline.source = format!("{}+{}", hotline.source, row.source);
        }
    }
    Ok(hotlines)
}

fn list(text: &str) -> impl Iterator<Item = &str> {
    text.split(';').map(str::trim).filter(|part| !part.is_empty())
}

/// `at` counts the rows from 0; the heading is line 1.
fn fault(table: &'static str, at: usize, what: String) -> SampleError {
    SampleError::Row { table, line: at as u64 + 2, what }
}

fn rows<T: DeserializeOwned>(table: &'static str) -> Result<Vec<T>, SampleError> {
    let file = Files::get(table).ok_or(SampleError::Missing(table))?;
    let mut reader = csv::Reader::from_reader(file.data.as_ref());
    let read = reader.deserialize().enumerate();
    read.map(|(at, row)| row.map_err(|e: csv::Error| fault(table, at, e.to_string()))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn the_annex_has_the_published_totals() {
        let annex = annex().unwrap();
        assert_eq!(annex.len(), 47);
        let count = |mode| annex.iter().filter(|h| h.mode == mode).count();
        assert_eq!((count(Mode::Merged), count(Mode::DualTrack), count(Mode::Separate)), (21, 19, 7));
        let numbers: Vec<_> = annex.iter().flat_map(|h| h.numbers.iter()).collect();
        assert_eq!(numbers.len(), 52);
        assert_eq!(numbers.iter().collect::<BTreeSet<_>>().len(), 52, "numbers are distinct");
        assert!(numbers.iter().all(|n| n.bytes().all(|b| b.is_ascii_digit())));
        assert_eq!(annex.iter().map(|h| h.owner.as_str()).collect::<BTreeSet<_>>().len(), 32);
        assert_eq!((annex[0].row, annex[0].numbers[0].as_str()), (1, "12345"));
        assert!(annex.iter().enumerate().all(|(i, h)| h.row as usize == i + 1 && h.source == "S2"));
    }

    #[test]
    fn overrides_lie_on_top() {
        let hotlines = hotlines().unwrap();
        let by = |n: &str| hotlines.iter().find(|h| h.numbers.iter().any(|x| x == n)).unwrap();
        assert_eq!(by("12330").mode, Mode::DualTrack);
        assert_eq!(by("12330").source, "S2+S3");
        assert_eq!(by("12319").alias_of.as_deref(), Some("12345"));
        assert!(by("12388").private_lane && hotlines.iter().filter(|h| h.private_lane).count() == 1);
        assert!(!by("12333").hours.is_empty());
        for backup in hotlines.iter().filter_map(|h| h.backup.as_deref()) {
            assert!(backup.starts_with("000"), "{backup} might be a real number");
        }
    }

    #[test]
    fn every_owner_of_a_hotline_is_a_unit_and_every_unit_has_a_user() {
        let units = units().unwrap();
        let names: BTreeSet<_> = units.iter().map(|u| u.name.as_str()).collect();
        let codes: BTreeSet<_> = units.iter().map(|u| u.code.as_str()).collect();
        assert_eq!((names.len(), codes.len()), (units.len(), units.len()));
        assert_eq!(units.iter().filter(|u| u.kind == UnitKind::District).count(), 10);
        for hotline in annex().unwrap() {
            assert!(names.contains(hotline.owner.as_str()), "{} is no unit", hotline.owner);
        }
        let users = users().unwrap();
        for unit in &units {
            assert!(users.iter().any(|u| u.user == unit.user && u.unit == unit.code && u.role == "unit_clerk"));
        }
        for role in ["admin", "dispatcher", "reviewer", "follow_up_agent", "auditor"] {
            assert!(users.iter().any(|u| u.role == role), "{role}");
        }
    }

    #[test]
    fn agents_sit_at_the_extension_of_their_number() {
        let agents = agents().unwrap();
        let of = |role: &str| agents.iter().filter(|a| a.role == role).map(|a| a.number.clone()).collect::<Vec<_>>();
        assert_eq!(of("agent"), (8001..=8020).map(|n| n.to_string()).collect::<Vec<_>>());
        assert_eq!(of("supervisor"), ["9001", "9002", "9003"]);
        assert!(agents.iter().all(|a| a.extension == a.number && !a.skills.is_empty() && a.source == "invented"));
        assert!(agents.iter().filter(|a| a.role == "agent").any(|a| a.skills.iter().any(|(s, _)| s == "english")));
    }
}
