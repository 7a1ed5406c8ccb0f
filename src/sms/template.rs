//! The texts sent to citizens, as data: named places in braces, filled from values that are safe to send.
//!
//! No place takes the content of a complaint or of its answer: an SMS is read by whoever holds the telephone, so it
//! names the ticket and where to look, never the matter. `{{` and `}}` stand for plain braces.
//! Left out: per-message languages, and the carrier's own approval of templates (报备).

use super::text;
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, fmt, str::FromStr};

/// Longest value put in a place, in characters; a longer one is cut.
const MAX_VALUE: usize = 40;
/// Longest template, in short messages, before its places are filled.
const MAX_PARTS: usize = 5;

/// What a message is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Purpose {
    /// The request was taken down: ticket number and query code.
    Acceptance,
    /// The ticket moved.
    Progress,
    /// The ticket was answered.
    Result,
    /// The citizen is asked for a verdict.
    Satisfaction,
}

impl Purpose {
    /// All of them, in the order of a ticket's life.
    pub const ALL: [Purpose; 4] = [Purpose::Acceptance, Purpose::Progress, Purpose::Result, Purpose::Satisfaction];

    /// The name in settings and rows.
    pub fn as_str(self) -> &'static str {
        match self {
            Purpose::Acceptance => "acceptance",
            Purpose::Progress => "progress",
            Purpose::Result => "result",
            Purpose::Satisfaction => "satisfaction",
        }
    }

    /// Places without which the message would be of no use.
    fn required(self) -> &'static [Place] {
        match self {
            Purpose::Acceptance => &[Place::TicketNo, Place::QueryCode],
            Purpose::Progress | Purpose::Result | Purpose::Satisfaction => &[Place::TicketNo],
        }
    }
}

impl fmt::Display for Purpose {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Purpose {
    type Err = UnknownPurpose;
    fn from_str(text: &str) -> Result<Self, UnknownPurpose> {
        Purpose::ALL.into_iter().find(|p| p.as_str() == text).ok_or(UnknownPurpose)
    }
}

/// The text names no [`Purpose`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no such kind of message: acceptance, progress, result or satisfaction")]
pub struct UnknownPurpose;

/// What may be put in a template.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Place {
    /// `{ticket_no}`: the ticket's number.
    TicketNo,
    /// `{query_code}`: the code that lets its holder ask for the ticket's state.
    QueryCode,
    /// `{status}`: the ticket's state in a word, such as 已交办.
    Status,
    /// `{unit}`: the name of the unit in charge.
    Unit,
    /// `{date}`: a day, written out.
    Date,
    /// `{hotline}`: the number to dial, such as 12345.
    Hotline,
}

impl Place {
    /// All of them.
    pub const ALL: [Place; 6] =
        [Place::TicketNo, Place::QueryCode, Place::Status, Place::Unit, Place::Date, Place::Hotline];

    /// The name between the braces.
    pub fn as_str(self) -> &'static str {
        match self {
            Place::TicketNo => "ticket_no",
            Place::QueryCode => "query_code",
            Place::Status => "status",
            Place::Unit => "unit",
            Place::Date => "date",
            Place::Hotline => "hotline",
        }
    }

    fn by_name(name: &str) -> Option<Place> {
        Place::ALL.into_iter().find(|p| p.as_str() == name)
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The templates in force, with the signature that carriers demand.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Templates {
    /// Put in front of every message; 【12345热线】 unless set; empty where the gateway adds its own.
    pub signature: String,
    /// The text of each kind; a kind that is absent is not sent.
    pub texts: BTreeMap<Purpose, String>,
}

impl Default for Templates {
    fn default() -> Self {
        let texts = [
            (
                Purpose::Acceptance,
                "您好！您的诉求已受理，工单号{ticket_no}，查询码{query_code}，请妥善保存、勿告知他人。\
                 可拨打{hotline}向话务员报工单号了解办理进度。",
            ),
            (Purpose::Progress, "您好！您的工单{ticket_no}有新进展：{status}，承办单位：{unit}。查询请拨打{hotline}。"),
            (Purpose::Result, "您好！您的工单{ticket_no}已有办理结果，请拨打{hotline}向话务员报工单号了解。"),
            (
                Purpose::Satisfaction,
                "您好！您的工单{ticket_no}已办结，工作人员将电话回访，请对办理情况作出评价。感谢您的支持。",
            ),
        ];
        Templates {
            signature: "【12345热线】".to_owned(),
            texts: texts.into_iter().map(|(purpose, text)| (purpose, text.to_owned())).collect(),
        }
    }
}

/// One thing wrong with a template.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// A name in braces that is none of [`Place::ALL`].
    #[error("{purpose}: unknown placeholder {{{name}}}")]
    UnknownPlace {
        /// Which text.
        purpose: Purpose,
        /// What stands between the braces.
        name: String,
    },
    /// A brace alone, which is meant neither as a place nor as a plain brace.
    #[error("{purpose}: a brace at character {at} has no partner (write {{{{ or }}}} for a plain one)")]
    Brace {
        /// Which text.
        purpose: Purpose,
        /// From 1, in characters.
        at: usize,
    },
    /// Without it the message would be of no use to its reader.
    #[error("{purpose}: placeholder {{{place}}} is missing")]
    MissingPlace {
        /// Which text.
        purpose: Purpose,
        /// What must stand in it.
        place: Place,
    },
    /// A kind that is not to be sent has to be left out instead.
    #[error("{purpose}: the text is empty")]
    Empty {
        /// Which text.
        purpose: Purpose,
    },
    /// With its signature and before its places are filled.
    #[error("{purpose}: {parts} short messages long; {MAX_PARTS} is the most")]
    TooLong {
        /// Which text.
        purpose: Purpose,
        /// How many short messages it takes.
        parts: usize,
    },
    /// Carriers refuse messages whose signature has another form.
    #[error("the signature {0:?} is not of the form 【…】")]
    Signature(String),
}

/// Why a message cannot be written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RenderError {
    /// This kind of message is not sent here.
    #[error("there is no template for {0}")]
    NoTemplate(Purpose),
    /// The template is not sound; `validate` would have said so.
    #[error(transparent)]
    Fault(#[from] Fault),
    /// The template needs a value that was not given or is blank.
    #[error("{purpose}: no value for {{{place}}}")]
    NoValue {
        /// Which text.
        purpose: Purpose,
        /// What is missing.
        place: Place,
    },
}

impl Templates {
    /// Everything wrong with the templates; empty when they can be used.
    pub fn validate(&self) -> Vec<Fault> {
        let mut faults = Vec::new();
        let signature = self.signature.trim();
        let inner = signature.strip_prefix('【').and_then(|s| s.strip_suffix('】'));
        if !signature.is_empty() && inner.is_none_or(|name| name.is_empty() || name.contains(['【', '】'])) {
            faults.push(Fault::Signature(self.signature.clone()));
        }
        for (&purpose, text) in &self.texts {
            self.validate_one(purpose, text, &mut faults);
        }
        faults
    }

    fn validate_one(&self, purpose: Purpose, text: &str, faults: &mut Vec<Fault>) {
        if text.trim().is_empty() {
            return faults.push(Fault::Empty { purpose });
        }
        let mut seen = Vec::new();
        for piece in pieces(purpose, text) {
            match piece {
                Ok(Piece::Text(_)) => {}
                Ok(Piece::Place(place)) => seen.push(place),
                Err(fault) => faults.push(fault),
            }
        }
        let absent = purpose.required().iter().filter(|place| !seen.contains(place));
        faults.extend(absent.map(|&place| Fault::MissingPlace { purpose, place }));
        let parts = text::part_count(&format!("{}{text}", self.signature));
        if parts > MAX_PARTS {
            faults.push(Fault::TooLong { purpose, parts });
        }
    }

    /// Writes the message: signature, then the text with its places filled. Line breaks and control characters in
    /// values become blanks, 【】 are taken out (a second signature makes carriers refuse), and long values are cut.
    pub fn render(&self, purpose: Purpose, values: &[(Place, &str)]) -> Result<String, RenderError> {
        let template = self.texts.get(&purpose).ok_or(RenderError::NoTemplate(purpose))?;
        let mut message = self.signature.trim().to_owned();
        for piece in pieces(purpose, template) {
            match piece? {
                Piece::Text(text) => message.push_str(text),
                Piece::Place(place) => {
                    let value = values.iter().find(|(p, _)| *p == place).map(|(_, value)| value.trim());
                    let value = value.filter(|v| !v.is_empty()).ok_or(RenderError::NoValue { purpose, place })?;
                    message.extend(clean(value));
                }
            }
        }
        Ok(message)
    }
}

fn clean(value: &str) -> impl Iterator<Item = char> + '_ {
    let kept = value.chars().filter(|c| !matches!(c, '【' | '】'));
    kept.map(|c| if c.is_control() { ' ' } else { c }).take(MAX_VALUE)
}

enum Piece<'a> {
    Text(&'a str),
    Place(Place),
}

/// The template's pieces in order; a fault stands in the place of the piece it spoils.
fn pieces(purpose: Purpose, template: &str) -> Vec<Result<Piece<'_>, Fault>> {
    let mut found = Vec::new();
    let mut rest = template;
    while let Some(at) = rest.find(['{', '}']) {
        let brace = || Fault::Brace { purpose, at: template[..template.len() - rest.len() + at].chars().count() + 1 };
        if at > 0 {
            found.push(Ok(Piece::Text(&rest[..at])));
        }
        let tail = &rest[at..];
        if tail.starts_with("{{") || tail.starts_with("}}") {
            found.push(Ok(Piece::Text(&tail[..1])));
            rest = &tail[2..];
            continue;
        }
        let end = tail.strip_prefix('{').and_then(|inner| inner.find(['{', '}'])).map(|end| end + 1);
        match end {
            Some(end) if tail[end..].starts_with('}') => {
                let name = &tail[1..end];
                let unknown = || Fault::UnknownPlace { purpose, name: name.to_owned() };
                found.push(Place::by_name(name).map(Piece::Place).ok_or_else(unknown));
                rest = &tail[end + 1..];
            }
            _ => {
                found.push(Err(brace()));
                rest = &tail[1..];
            }
        }
    }
    if !rest.is_empty() {
        found.push(Ok(Piece::Text(rest)));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const VALUES: [(Place, &str); 6] = [
        (Place::TicketNo, "202608010001"),
        (Place::QueryCode, "4711"),
        (Place::Status, "已交办"),
        (Place::Unit, "市城管局"),
        (Place::Date, "2026年8月1日"),
        (Place::Hotline, "12345"),
    ];

    fn with(purpose: Purpose, text: &str) -> Templates {
        let mut templates = Templates::default();
        templates.texts.insert(purpose, text.to_owned());
        templates
    }

    #[test]
    fn the_defaults_are_sound_and_short() {
        let templates = Templates::default();
        assert_eq!(templates.validate(), []);
        for purpose in Purpose::ALL {
            let message = templates.render(purpose, &VALUES).unwrap();
            assert!(message.starts_with("【12345热线】"), "{message}");
            assert!(message.contains("202608010001"), "{message}");
            assert!(text::part_count(&message) <= 2, "{message}");
            assert_eq!(purpose.as_str().parse(), Ok(purpose));
        }
        let acceptance = templates.render(Purpose::Acceptance, &VALUES).unwrap();
        assert!(acceptance.contains("查询码4711"));
    }

    #[test]
    fn no_place_can_carry_the_matter() {
        for name in ["content", "title", "reply", "summary", "address", "诉求"] {
            let faults = with(Purpose::Progress, &format!("{{ticket_no}}：{{{name}}}")).validate();
            assert_eq!(faults, [Fault::UnknownPlace { purpose: Purpose::Progress, name: name.to_owned() }]);
        }
    }

    #[test]
    fn every_fault_is_listed() {
        let purpose = Purpose::Acceptance;
        let faults = with(purpose, "工单{ticket}，{nope}，}，{query_code").validate();
        assert_eq!(
            faults,
            [
                Fault::UnknownPlace { purpose, name: "ticket".into() },
                Fault::UnknownPlace { purpose, name: "nope".into() },
                Fault::Brace { purpose, at: 19 },
                Fault::Brace { purpose, at: 21 },
                Fault::MissingPlace { purpose, place: Place::TicketNo },
                Fault::MissingPlace { purpose, place: Place::QueryCode },
            ]
        );
        assert_eq!(with(purpose, "  ").validate(), [Fault::Empty { purpose }]);
        let long = format!("{{ticket_no}}{{query_code}}{}", "长".repeat(400));
        assert!(matches!(with(purpose, &long).validate()[..], [Fault::TooLong { .. }]));
        let unsigned = Templates { signature: "12345".into(), ..Templates::default() };
        assert_eq!(unsigned.validate(), [Fault::Signature("12345".into())]);
    }

    #[test]
    fn values_are_cleaned_and_none_may_be_wanting() {
        let templates = with(Purpose::Progress, "{{工单}}{ticket_no} {unit}");
        let values = [(Place::TicketNo, "1"), (Place::Unit, "某【银行】\r\n局")];
        assert_eq!(templates.render(Purpose::Progress, &values).unwrap(), "【12345热线】{工单}1 某银行  局");
        let long = "局".repeat(100);
        let message = templates.render(Purpose::Progress, &[(Place::TicketNo, "1"), (Place::Unit, &long)]).unwrap();
        assert_eq!(message.matches('局').count(), MAX_VALUE);
        assert_eq!(
            templates.render(Purpose::Progress, &[(Place::TicketNo, "1"), (Place::Unit, " ")]),
            Err(RenderError::NoValue { purpose: Purpose::Progress, place: Place::Unit })
        );
        let silent = Templates { texts: BTreeMap::new(), ..Templates::default() };
        assert_eq!(silent.render(Purpose::Result, &VALUES), Err(RenderError::NoTemplate(Purpose::Result)));
    }

    #[test]
    fn they_are_settings() {
        let toml = "signature = \"【泉城12345】\"\n[texts]\nresult = \"工单{ticket_no}已办结\"\n";
        let templates: Templates = toml::from_str(toml).unwrap();
        assert_eq!(templates.validate(), []);
        assert_eq!(templates.render(Purpose::Result, &VALUES).unwrap(), "【泉城12345】工单202608010001已办结");
        assert!(toml::from_str::<Templates>("[texts]\nadvert = \"x\"").is_err());
    }

    proptest! {
        #[test]
        fn any_template_is_read(text in "[{}a市_]{0,40}|\\PC{0,60}") {
            let templates = with(Purpose::Progress, &text);
            let sound = templates.validate().is_empty();
            let rendered = templates.render(Purpose::Progress, &VALUES);
            if sound {
                prop_assert!(rendered.is_ok());
            }
        }
    }
}
