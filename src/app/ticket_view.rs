//! How a ticket is shown: the whole to the centre, its own part to a unit, a confidential citizen to few.

use super::{permissions, view::When};
use crate::{
    ids::{AssignmentId, UnitCode},
    net::clock,
    redact::masked,
    store::RecordingRow,
    ticket::{Actor, Assignment, Case, Citizen, Class, Event, Matter, Origin, Part, Ticket, What},
};
use serde::Serialize;
use utoipa::ToSchema;

/// Who asks, as it is shown: masked, or hidden when confidential.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct CitizenView {
    /// Null when anonymous or hidden.
    pub name: Option<String>,
    /// Masked.
    pub number: Option<String>,
    /// Masked.
    pub contact: Option<String>,
    /// 保密: hidden from everybody who was not granted it.
    pub confidential: bool,
}

/// One assignment as it is shown.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct AssignmentView {
    /// The assignment's number, as decimal text.
    pub id: String,
    /// The unit's code.
    pub unit: String,
    /// `lead` or `assist`.
    pub role: &'static str,
    /// `to_sign`, `in_progress`, `return_review`, `replied`, `accepted`, `suspended`, `returned`, `recalled`, `forced`
    /// or `waived`.
    pub state: &'static str,
    /// When the unit's clock began.
    pub dispatched_at: When,
    /// When it must be signed for.
    pub sign_due_at: When,
    /// When it was; null before.
    pub signed_at: Option<When>,
    /// When it must be replied to, an extension that was granted included.
    pub due_at: When,
    /// When the last reply was sent.
    pub replied_at: Option<When>,
    /// The last reply's text; null before one, and while it is to be handled again.
    pub reply: Option<String>,
    /// When the centre accepted the reply.
    pub accepted_at: Option<When>,
    /// How many of its replies were rejected.
    pub redo: u32,
    /// Why it was to be handled again, the last time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub redo_reason: Option<String>,
    /// The unit's time was up before it replied, or is up now.
    pub overdue: bool,
}

/// One step of a ticket's history.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct EventView {
    /// From 1, without gaps within a ticket; a unit sees only the steps of its own.
    pub seq: u64,
    /// When it happened.
    pub at: When,
    /// The user; null for the program itself.
    pub by: Option<String>,
    /// The role acted in, such as `dispatcher`, `unit_clerk` or `system`.
    pub role: &'static str,
    /// The ticket's state afterwards.
    pub state: &'static str,
    /// What happened, with its particulars.
    #[schema(value_type = Object)]
    pub what: serde_json::Value,
}

/// A recording of a ticket's call.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct TicketRecording {
    /// The recording's number, as decimal text.
    pub id: String,
    /// Where it is had as WAV.
    pub audio: String,
    /// `recording`, `complete`, `shortened` or `missing`.
    pub state: String,
}

impl From<&RecordingRow> for TicketRecording {
    fn from(row: &RecordingRow) -> Self {
        let audio = format!("/api/v1/recordings/{}/audio", row.id);
        TicketRecording { id: row.id.to_string(), audio, state: row.state.clone() }
    }
}

/// A ticket as it is shown.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct TicketView {
    /// The number that citizens and units see.
    pub no: String,
    /// For `If-Match`.
    pub version: u64,
    /// `draft`, `to_dispatch`, `to_supplement`, `handling`, `to_review`, `to_follow_up`, `closed`, `archived`, `merged`
    /// or `void`.
    pub state: &'static str,
    /// The same in Chinese, for screens.
    pub state_zh: &'static str,
    /// `request` or `contact`.
    pub class: &'static str,
    /// `unsorted`, `abandoned`, `silent`, `misdialled`, `nuisance`, `test`, `chasing` or `referred`; null for a
    /// request.
    pub contact_kind: Option<&'static str>,
    /// How it came in: `phone`, `web`, `video`, `sms`, `we_chat`, `fax`, `app`, `chat`, `patrol`, `video_collection` or
    /// `province`.
    pub channel: &'static str,
    /// The call's number, as decimal text; null where it came in otherwise.
    pub call: Option<String>,
    /// Whether it is its call's one primary record.
    pub primary: bool,
    /// The number that was dialled: 12345 or an alias.
    pub dialled: Option<String>,
    /// Who asks.
    pub citizen: CitizenView,
    /// What about: `title`, `content`, `kind`, `category`, `district`, `address`, `urgency`, `against`.
    #[schema(value_type = Object)]
    pub matter: Matter,
    /// 工号 of the agent who works or worked on it.
    pub agent: Option<String>,
    /// When the citizen's clock began; never changes.
    pub accepted_at: When,
    /// When it became a request; null for a draft or a contact.
    pub registered_at: Option<When>,
    /// When the citizen's time is up; null before it is registered.
    pub due_at: Option<When>,
    /// The citizen's time was up before it was closed, or is up now.
    pub overdue: bool,
    /// How many replies were rejected (二次交办).
    pub redo: u32,
    /// How often it was urged (催办).
    pub urged: u32,
    /// The ticket that it is handled with, where it was merged.
    pub merged_into: Option<String>,
    /// How it ended.
    #[schema(value_type = Option<Object>)]
    pub outcome: Option<serde_json::Value>,
    /// Its dispatches to units, in order; a unit sees its own alone. Left out of lists.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub assignments: Vec<AssignmentView>,
    /// All that happened, in order; a unit sees its own part alone. Left out of lists.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub history: Vec<EventView>,
    /// What was recorded of its call, as far as this user may hear it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub recordings: Vec<TicketRecording>,
}

fn assignment_view(a: &Assignment, history: &[Event]) -> AssignmentView {
    let redone = |event: &Event| match &event.what {
        What::Redone { assignment, reason, .. } if *assignment == a.id => Some(reason.clone()),
        _ => None,
    };
    AssignmentView {
        id: a.id.to_string(),
        unit: a.unit.to_string(),
        role: a.role.name(),
        state: a.state.name(),
        dispatched_at: When(a.dispatched_at),
        sign_due_at: When(a.sign_due_at),
        signed_at: a.signed_at.map(When),
        due_at: When(a.due_at),
        replied_at: a.reply.as_ref().map(|reply| When(reply.at)),
        reply: a.reply.as_ref().map(|reply| reply.text.clone()),
        accepted_at: a.accepted_at.map(When),
        redo: a.redo,
        redo_reason: history.iter().rev().find_map(redone),
        overdue: a.is_overdue(clock::now().wall),
    }
}

/// One step; `shown`: its citizen may be known to whom it is shown, masked.
fn event_view(event: &Event, shown: bool) -> EventView {
    let mut what = serde_json::to_value(&event.what).unwrap_or_default();
    if let What::Amended { citizen: Some(before), .. } = &event.what {
        // As it stood before, and just as secret as it is now.
        what["citizen"] = serde_json::to_value(citizen_view(before, shown)).unwrap_or_default();
    }
    EventView {
        seq: event.seq,
        at: When(event.at),
        by: event.by.user.as_ref().map(ToString::to_string),
        role: event.by.role.name(),
        state: event.state.name(),
        what,
    }
}

fn citizen_view(citizen: &Citizen, shown: bool) -> CitizenView {
    let Citizen { number, contact, name, confidential } = citizen.clone();
    CitizenView {
        name: name.filter(|_| shown),
        number: number.filter(|_| shown).map(|number| masked(&number)),
        contact: contact.filter(|_| shown).map(|number| masked(&number)),
        confidential,
    }
}

/// A ticket in a list; `shown`: its citizen may be known to whom it is shown, masked.
pub(super) fn ticket_view(ticket: &Ticket, shown: bool) -> TicketView {
    let contact_kind = match ticket.class {
        Class::Contact(kind) => Some(kind.name()),
        Class::Request => None,
    };
    TicketView {
        no: ticket.no.to_string(),
        version: ticket.version,
        state: ticket.state.name(),
        state_zh: ticket.state.name_zh(),
        class: ticket.class.name(),
        contact_kind,
        channel: ticket.origin.channel.name(),
        call: ticket.origin.call.map(|call| call.to_string()),
        primary: ticket.origin.primary,
        dialled: ticket.origin.dialled.clone(),
        citizen: citizen_view(&ticket.citizen, shown),
        matter: ticket.matter.clone(),
        agent: ticket.agent.as_ref().map(ToString::to_string),
        accepted_at: When(ticket.accepted_at),
        registered_at: ticket.registered_at.map(When),
        due_at: ticket.due_at.map(When),
        overdue: ticket.is_overdue(clock::now().wall),
        redo: ticket.redo,
        urged: ticket.urged,
        merged_into: ticket.merged_into.as_ref().map(ToString::to_string),
        outcome: ticket.closing.as_ref().map(|closing| serde_json::to_value(closing.outcome).unwrap_or_default()),
        assignments: Vec::new(),
        history: Vec::new(),
        recordings: Vec::new(),
    }
}

/// A ticket as this user sees it; the caller has made sure that it is seen at all.
pub(super) fn case_view(actor: &Actor, case: &Case, history: &[Event]) -> TicketView {
    match (&actor.unit, permissions::part_of(actor, case)) {
        (Some(unit), Part::Whole) => unit_view(unit, case, history),
        (Some(unit), Part::Former | Part::Nothing) => former_view(unit, case, history),
        (None, _) => {
            let shown = permissions::sees_confidential(actor, &case.ticket);
            TicketView {
                assignments: case.assignments.iter().map(|a| assignment_view(a, history)).collect(),
                history: history.iter().map(|event| event_view(event, shown)).collect(),
                ..ticket_view(&case.ticket, shown)
            }
        }
    }
}

/// A ticket as a unit sees it that works on it or has replied: with its own assignments and their history.
pub(super) fn unit_view(unit: &UnitCode, case: &Case, history: &[Event]) -> TicketView {
    let shown = !case.ticket.citizen.confidential;
    let own: Vec<&Assignment> = case.assignments.iter().filter(|a| a.unit == *unit).collect();
    let ids: Vec<AssignmentId> = own.iter().map(|a| a.id).collect();
    TicketView {
        assignments: own.into_iter().map(|a| assignment_view(a, history)).collect(),
        history: own_history(&ids, history).map(|event| event_view(event, shown)).collect(),
        ..ticket_view(&case.ticket, shown)
    }
}

/// What a unit still sees of a ticket that it no longer has: that it had it, and what it did with it.
pub(super) fn former_view(unit: &UnitCode, case: &Case, history: &[Event]) -> TicketView {
    let TicketView { no, version, state, state_zh, class, channel, accepted_at, assignments, history, .. } =
        unit_view(unit, case, history);
    let blank = Ticket {
        citizen: Citizen::default(),
        matter: Matter::default(),
        origin: Origin::default(),
        agent: None,
        merged_into: None,
        closing: None,
        ..case.ticket.clone()
    };
    let blank = ticket_view(&blank, false);
    TicketView { no, version, state, state_zh, class, channel, accepted_at, assignments, history, ..blank }
}

/// What happened to a unit's own assignments, and what the citizen answered to its questions.
fn own_history<'a>(own: &[AssignmentId], history: &'a [Event]) -> impl Iterator<Item = &'a Event> {
    let mut asked = false;
    let shown = move |event: &Event| match &event.what {
        What::SupplementAsked { assignment, .. } => {
            asked = assignment.is_some_and(|id| own.contains(&id));
            asked
        }
        What::Supplied { .. } | What::ContactFailed { .. } => asked,
        what => what.assignment().is_some_and(|id| own.contains(&id)),
    };
    let mut shown = shown;
    history.iter().filter(|event| shown(event)).collect::<Vec<_>>().into_iter()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        clock::UnixMillis,
        ids::{CallId, TicketId},
        ticket::{Command, Context, Role, Rules},
    };
    use serde_json::{Value, json};

    struct Story {
        case: Case,
        history: Vec<Event>,
    }

    impl Story {
        fn new(confidential: bool) -> Self {
            let citizen = Citizen {
                number: Some("13800000001".into()),
                contact: Some("13900000002".into()),
                name: Some("张三".into()),
                confidential,
            };
            let origin = Origin { call: Some(CallId(7)), primary: true, ..Origin::default() };
            let now = UnixMillis(1_790_000_000_000);
            let draft = Ticket::draft(TicketId(1), "260921010000011".into(), "123456".into(), origin, citizen, now);
            let (case, created) = Case::create(draft, &Actor::system());
            let mut story = Story { case, history: vec![created] };
            let agent = Actor { agent: Some("8001".into()), ..Actor::centre(Role::Agent, "8001") };
            story.give(&agent, json!({"command": "register", "matter": {"title": "路灯不亮", "content": "一片漆黑"}}));
            story
        }

        fn give(&mut self, by: &Actor, command: Value) {
            let command: Command = serde_json::from_value(command).unwrap();
            let ids = std::cell::Cell::new(100 + self.history.len() as u64 * 10);
            let next_id = || {
                ids.set(ids.get() + 1);
                ids.get()
            };
            let rules = Rules::default();
            let context = Context { by, rules: &rules, next_id: &next_id };
            let (case, events) = self.case.apply(&command, &context, UnixMillis(1_790_000_060_000)).unwrap();
            self.case = case;
            self.history.extend(events);
        }

        fn seen_by(&self, actor: &Actor) -> TicketView {
            case_view(actor, &self.case, &self.history)
        }

        fn told(&self, actor: &Actor) -> Vec<String> {
            let name = |event: &EventView| event.what["event"].as_str().unwrap_or_default().to_owned();
            self.seen_by(actor).history.iter().map(name).collect()
        }
    }

    fn dispatcher() -> Actor {
        Actor::centre(Role::Dispatcher, "dispatcher")
    }

    #[test]
    fn a_confidential_citizen_is_nowhere_to_be_read() {
        let mut story = Story::new(true);
        let supervisor = Actor::centre(Role::Supervisor, "9001");
        story.give(
            &supervisor,
            json!({"command": "amend", "citizen": {"name": "李四", "contact": "13700000003",
            "confidential": true}}),
        );
        story.give(&dispatcher(), json!({"command": "dispatch", "lead": "water"}));
        let secrets = ["张三", "李四", "0001", "0002", "0003", "138", "139"];
        let text = |actor: &Actor| {
            let mut view = story.seen_by(actor);
            // Of what is left, only times could hold these digits by chance.
            let what: Vec<&Value> = view.history.iter().map(|event| &event.what).collect();
            let history = json!(what).to_string();
            view.history.clear();
            format!("{} {history}", json!(view.citizen))
        };
        for actor in [dispatcher(), Actor::centre(Role::Admin, "admin"), Actor::unit("water", "water")] {
            let text = text(&actor);
            assert!(!secrets.iter().any(|secret| text.contains(secret)), "{}: {text}", actor.role.name());
        }
        let shown = text(&supervisor);
        assert!(shown.contains("李四") && shown.contains("张三") && shown.contains("139****0002"), "{shown}");
        assert!(!shown.contains("13900000002"), "masked in the history too");
    }

    #[test]
    fn numbers_in_the_history_are_masked() {
        let mut story = Story::new(false);
        story.give(&dispatcher(), json!({"command": "amend", "citizen": {"name": "李四"}}));
        let view = story.seen_by(&dispatcher());
        let before = &view.history.last().unwrap().what["citizen"];
        assert_eq!(
            before,
            &json!({"name": "张三", "number": "138****0001", "contact": "139****0002", "confidential": false})
        );
    }

    #[test]
    fn a_unit_reads_its_own_assignments_and_no_other() {
        let mut story = Story::new(false);
        story.give(&dispatcher(), json!({"command": "dispatch", "lead": "water", "assist": ["power"], "note": "速办"}));
        let (water, power) = (Actor::unit("water", "w"), Actor::unit("power", "p"));
        story.give(&power, json!({"command": "request_return", "reason": "不归我们"}));
        let power_id = story.case.assignments[1].id;
        story.give(&dispatcher(), json!({"command": "refuse_return", "assignment": power_id, "reason": "归你们"}));
        story.give(&power, json!({"command": "reply", "text": "已配合"}));
        story.give(&water, json!({"command": "sign"}));
        story.give(&water, json!({"command": "ask_supplement", "question": "哪根灯杆?"}));
        story.give(&dispatcher(), json!({"command": "supplied", "text": "三号杆"}));
        story.give(&water, json!({"command": "reply", "text": "已修"}));
        story.give(&dispatcher(), json!({"command": "redo", "reason": "没有照片"}));
        assert_eq!(story.told(&water), ["dispatched", "signed", "supplement_asked", "supplied", "replied", "redone"],);
        assert_eq!(story.told(&power), ["dispatched", "return_requested", "return_refused", "replied"]);
        let view = story.seen_by(&water);
        assert_eq!(view.assignments.len(), 1);
        assert_eq!(view.assignments[0].redo_reason.as_deref(), Some("没有照片"));
        assert_eq!(story.seen_by(&power).assignments[0].redo_reason, None);
        assert_eq!(story.seen_by(&dispatcher()).history.len(), story.history.len());
    }

    #[test]
    fn after_a_recall_a_unit_reads_that_it_had_it_and_no_more() {
        let mut story = Story::new(false);
        story.give(&dispatcher(), json!({"command": "dispatch", "lead": "water"}));
        story.give(&dispatcher(), json!({"command": "recall", "to": "power", "reason": "属地调整"}));
        let view = story.seen_by(&Actor::unit("water", "w"));
        assert_eq!(
            view.assignments.iter().map(|a| (a.unit.as_str(), a.state)).collect::<Vec<_>>(),
            [("water", "recalled")]
        );
        assert_eq!(view.history.len(), 2);
        assert_eq!((view.matter.title.as_str(), view.citizen.number, view.call, view.agent), ("", None, None, None));
        assert_eq!(story.seen_by(&Actor::unit("power", "p")).matter.title, "路灯不亮");
    }
}
