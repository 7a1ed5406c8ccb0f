//! Who may see and do what: one table of roles and things, and the rules on single objects.
//!
//! Pure functions, asked alike by the use cases, by the lists' queries (through [`confidence`]) and by the event
//! stream. Which step a role may take on a ticket is the ticket's own business (`Role::works_at`). What sees a thing
//! at all is decided by [`reach`]; objects that are *own* by [`on_call`] and [`part_of`]; whether a confidential
//! citizen is shown by [`sees_confidential`].
//!
//! A private lane (12388: its own room, staff and keys) is hidden from every role of this table, the administrator
//! included. It has no role yet. When it gets one, [`reach`] is where a lane is asked for first, before the table.

use super::AppError;
use crate::{
    call::cdr::{CallRecord, LegRecord, LegStateName, Role as LegRole},
    ids::AgentNo,
    store::Confidence,
    ticket::{Actor, Case, Part, Role, Ticket},
};

/// What there is to see and to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Thing {
    /// Calls, with masked numbers.
    Calls,
    /// Commands on a call in progress.
    CallControl,
    /// What was said.
    Recordings,
    /// A caller's number in the clear, with a reason and an audit row.
    Reveal,
    /// SMS and what became of them.
    Messages,
    /// Writing an SMS.
    Sending,
    /// Who waits, and the day's figures.
    Queues,
    /// Agents and what they do.
    Agents,
    /// An agent's status and wrap-up.
    AgentControl,
    /// Tickets.
    Tickets,
    /// Lost calls that are owed a callback.
    Callbacks,
    /// What is wrong with the program and its machine.
    Alarms,
    /// The settings: what is written, what is in force, and changing it.
    Settings,
}

impl Thing {
    /// Every thing.
    pub const ALL: [Thing; 13] = [
        Thing::Calls,
        Thing::CallControl,
        Thing::Recordings,
        Thing::Reveal,
        Thing::Messages,
        Thing::Sending,
        Thing::Queues,
        Thing::Agents,
        Thing::AgentControl,
        Thing::Tickets,
        Thing::Callbacks,
        Thing::Alarms,
        Thing::Settings,
    ];

    /// What is refused, in words.
    const fn zh(self) -> &'static str {
        match self {
            Thing::Calls => "查看通话",
            Thing::CallControl => "操作通话",
            Thing::Recordings => "调听录音",
            Thing::Reveal => "查看完整号码",
            Thing::Messages => "查看短信",
            Thing::Sending => "发送短信",
            Thing::Queues => "查看队列",
            Thing::Agents => "查看坐席",
            Thing::AgentControl => "更改坐席状态",
            Thing::Tickets => "查看工单",
            Thing::Callbacks => "查看回拨",
            Thing::Alarms => "查看告警",
            Thing::Settings => "查看和更改配置",
        }
    }
}

/// How far a role reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// Not at all.
    Nothing,
    /// What is this user's own: an agent's calls and state, a unit's assignments.
    Own,
    /// Everything.
    All,
}

/// How far this user reaches.
pub const fn reach(actor: &Actor, thing: Thing) -> Reach {
    let is_units = matches!(actor.role, Role::UnitClerk | Role::UnitHead);
    // A unit's account without a unit, and a unit on an account of the centre, are mistakes: they open nothing.
    if is_units != actor.unit.is_some() {
        return Reach::Nothing;
    }
    table(actor.role, thing)
}

/// The table.
const fn table(role: Role, thing: Thing) -> Reach {
    use Reach::{All, Nothing, Own};
    use Thing::*;
    match role {
        // Who leads sees and does everything; who is confidential is another question.
        Role::Admin | Role::System => All,
        Role::Supervisor => match thing {
            Calls | CallControl | Recordings | Reveal | Messages | Sending | Queues | Agents | AgentControl
            | Tickets | Callbacks | Alarms => All,
            // They hold the keys of everything else.
            Settings => Nothing,
        },
        Role::Agent => match thing {
            Messages | Sending | Queues | Agents | Tickets | Callbacks => All,
            Calls | CallControl | Recordings | Reveal | AgentControl => Own,
            Alarms | Settings => Nothing,
        },
        // These decide about tickets, and talk to the citizens where they follow up themselves.
        Role::Dispatcher | Role::Reviewer | Role::FollowUpAgent | Role::SupervisionOfficer => match thing {
            Calls | Recordings | Reveal | Messages | Sending | Queues | Agents | Tickets | Callbacks => All,
            CallControl | AgentControl => Own,
            Alarms | Settings => Nothing,
        },
        Role::QualityChecker => match thing {
            Calls | Recordings | Messages | Queues | Agents | Tickets => All,
            CallControl | Reveal | Sending | AgentControl | Callbacks | Alarms | Settings => Nothing,
        },
        // Checks what was done and by whom: neither voices nor numbers.
        Role::Auditor => match thing {
            Calls | Messages | Queues | Agents | Tickets | Callbacks => All,
            CallControl | Recordings | Reveal | Sending | AgentControl | Alarms | Settings => Nothing,
        },
        // Their own rooms, articles and reports from the street, are not built yet.
        Role::KnowledgeEditor | Role::Collector => Nothing,
        Role::UnitClerk | Role::UnitHead => match thing {
            Tickets => Own,
            Calls | CallControl | Recordings | Reveal | Messages | Sending | Queues | Agents | AgentControl
            | Callbacks | Alarms | Settings => Nothing,
        },
    }
}

/// How far this user reaches, where it reaches at all.
///
/// # Errors
/// `Forbidden` where it does not.
pub fn require(actor: &Actor, thing: Thing) -> Result<Reach, AppError> {
    match reach(actor, thing) {
        Reach::Nothing => Err(AppError::Forbidden(format!("您的角色无权{}", thing.zh()))),
        reach => Ok(reach),
    }
}

/// Whether this user may change an agent's status and wrap-up.
pub fn may_set_agent(actor: &Actor, agent: &AgentNo) -> bool {
    match reach(actor, Thing::AgentControl) {
        Reach::Nothing => false,
        Reach::Own => actor.agent.as_ref() == Some(agent),
        Reach::All => true,
    }
}

/// What must be known of a call to say who may see it.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct CallScope {
    /// The agent who answered.
    pub agent: Option<AgentNo>,
    /// Every agent who talked, or is rung: who let it ring had no part in it.
    pub parties: Vec<AgentNo>,
    /// The agents who talk now.
    pub talking: Vec<AgentNo>,
    /// Whether the citizen asked for 保密.
    pub confidential: bool,
}

impl CallScope {
    /// A call and whether a ticket of it is confidential.
    pub fn new(record: &CallRecord, confidential: bool) -> Self {
        let agents = |wanted: fn(&LegRecord) -> bool| {
            let legs = record.legs.iter().filter(move |leg| wanted(leg));
            let agents = legs.filter_map(|leg| match &leg.role {
                LegRole::Agent { agent } => Some(agent.clone()),
                LegRole::Citizen | LegRole::Department { .. } | LegRole::Other => None,
            });
            agents.collect()
        };
        CallScope {
            agent: record.agent.clone(),
            parties: agents(|leg| leg.answered_at.is_some() || leg.state != LegStateName::Over),
            talking: agents(|leg| leg.state == LegStateName::Answered),
            confidential,
        }
    }
}

/// Whether this user is, or was, a party of the call.
pub fn on_call(actor: &Actor, call: &CallScope) -> bool {
    actor.agent.as_ref().is_some_and(|own| call.agent.as_ref() == Some(own) || call.parties.contains(own))
}

/// Whether this user may see a call: agents their own, and those that nobody has answered.
pub fn may_see_call(actor: &Actor, call: &CallScope) -> bool {
    match reach(actor, Thing::Calls) {
        Reach::Nothing => false,
        Reach::Own => call.agent.is_none() || on_call(actor, call),
        Reach::All => true,
    }
}

/// Whether this user may command a call: the agent who talks on it now, or who leads.
pub fn may_command(actor: &Actor, call: &CallScope) -> bool {
    match reach(actor, Thing::CallControl) {
        Reach::Nothing => false,
        Reach::Own => actor.agent.as_ref().is_some_and(|own| call.talking.contains(own)),
        Reach::All => true,
    }
}

/// Whether this user may be told the number of a call in the clear.
pub fn may_reveal(actor: &Actor, call: &CallScope) -> bool {
    let within = match reach(actor, Thing::Reveal) {
        Reach::Nothing => false,
        Reach::Own => on_call(actor, call),
        Reach::All => true,
    };
    within && sees_caller(actor, call)
}

/// Whether this user may hear a recording of the call: agents what they answered.
pub fn may_hear(actor: &Actor, call: &CallScope) -> bool {
    let within = match reach(actor, Thing::Recordings) {
        Reach::Nothing => false,
        Reach::Own => actor.agent.is_some() && call.agent == actor.agent,
        Reach::All => true,
    };
    within && sees_caller(actor, call)
}

/// Whether the caller is shown to this user, masked.
pub fn sees_caller(actor: &Actor, call: &CallScope) -> bool {
    !call.confidential || confides_in(actor, call.agent.as_ref())
}

/// Whether the citizen of a ticket is shown to this user, masked: name, number, and what tells of them.
pub fn sees_confidential(actor: &Actor, ticket: &Ticket) -> bool {
    !ticket.citizen.confidential || confides_in(actor, ticket.agent.as_ref())
}

/// Whether a confidential citizen is known to this user anyway: to those who talk to citizens afterwards or lead, and
/// to the agent whom the citizen talked to.
pub fn confides_in(actor: &Actor, agent: Option<&AgentNo>) -> bool {
    match confidence(actor) {
        Confidence::All => true,
        Confidence::Agent(own) => agent == Some(&own),
        Confidence::Nobody => false,
    }
}

/// The same for a list's query.
pub fn confidence(actor: &Actor) -> Confidence {
    match (actor.role, &actor.agent) {
        (Role::Supervisor | Role::FollowUpAgent, _) => Confidence::All,
        (Role::UnitClerk | Role::UnitHead, _) | (_, None) => Confidence::Nobody,
        (_, Some(agent)) => Confidence::Agent(agent.clone()),
    }
}

/// What this user has of a ticket: the centre all of it, a unit what [`Case::part_of`] says.
pub fn part_of(actor: &Actor, case: &Case) -> Part {
    match (reach(actor, Thing::Tickets), &actor.unit) {
        (Reach::All, _) => Part::Whole,
        (Reach::Own, Some(unit)) => case.part_of(unit),
        (Reach::Own, None) | (Reach::Nothing, _) => Part::Nothing,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Reach::{All, Nothing, Own};

    fn actor(role: Role) -> Actor {
        let mut actor = Actor::centre(role, "somebody");
        if matches!(role, Role::UnitClerk | Role::UnitHead) {
            actor.unit = Some("water".into());
        }
        actor
    }

    fn agent(number: &str) -> Actor {
        Actor { agent: Some(number.into()), ..actor(Role::Agent) }
    }

    fn call(agent: Option<&str>, parties: &[&str], confidential: bool) -> CallScope {
        let parties = parties.iter().map(|party| AgentNo::from(*party)).collect();
        let agent = agent.map(AgentNo::from);
        CallScope { talking: agent.iter().cloned().collect(), agent, parties, confidential }
    }

    /// Every cell, written out a second time: calls, their control, recordings, revealing, messages, sending, queues,
    /// agents, their control, tickets, callbacks, alarms, settings.
    #[test]
    fn the_table_is_as_it_is_meant() {
        let (a, o, n) = (All, Own, Nothing);
        let wanted = [
            (Role::Agent, [o, o, o, o, a, a, a, a, o, a, a, n, n]),
            (Role::Supervisor, [a, a, a, a, a, a, a, a, a, a, a, a, n]),
            (Role::Dispatcher, [a, o, a, a, a, a, a, a, o, a, a, n, n]),
            (Role::Reviewer, [a, o, a, a, a, a, a, a, o, a, a, n, n]),
            (Role::FollowUpAgent, [a, o, a, a, a, a, a, a, o, a, a, n, n]),
            (Role::SupervisionOfficer, [a, o, a, a, a, a, a, a, o, a, a, n, n]),
            (Role::QualityChecker, [a, n, a, n, a, n, a, a, n, a, n, n, n]),
            (Role::KnowledgeEditor, [n, n, n, n, n, n, n, n, n, n, n, n, n]),
            (Role::Collector, [n, n, n, n, n, n, n, n, n, n, n, n, n]),
            (Role::Auditor, [a, n, n, n, a, n, a, a, n, a, a, n, n]),
            (Role::UnitClerk, [n, n, n, n, n, n, n, n, n, o, n, n, n]),
            (Role::UnitHead, [n, n, n, n, n, n, n, n, n, o, n, n, n]),
            (Role::Admin, [a, a, a, a, a, a, a, a, a, a, a, a, a]),
            (Role::System, [a, a, a, a, a, a, a, a, a, a, a, a, a]),
        ];
        assert_eq!(wanted.map(|(role, _)| role), Role::ALL);
        for (role, row) in wanted {
            for (thing, wanted) in Thing::ALL.into_iter().zip(row) {
                assert_eq!(reach(&actor(role), thing), wanted, "{} {thing:?}", role.name());
            }
        }
    }

    #[test]
    fn an_account_with_a_unit_that_does_not_fit_its_role_opens_nothing() {
        for thing in Thing::ALL {
            let lost = Actor { unit: None, ..actor(Role::UnitClerk) };
            assert_eq!(reach(&lost, thing), Nothing);
            let mixed = Actor { unit: Some("water".into()), ..actor(Role::Supervisor) };
            assert_eq!(reach(&mixed, thing), Nothing);
        }
        assert!(matches!(require(&actor(Role::Collector), Thing::Calls), Err(AppError::Forbidden(_))));
    }

    #[test]
    fn an_agent_sees_its_own_calls_and_those_that_nobody_has() {
        let own = agent("8001");
        assert!(may_see_call(&own, &call(Some("8001"), &[], false)));
        assert!(may_see_call(&own, &call(Some("8002"), &["8001"], false)), "it was rung first");
        assert!(may_see_call(&own, &call(None, &[], false)));
        assert!(!may_see_call(&own, &call(Some("8002"), &["8002"], false)));
        assert!(!may_see_call(&actor(Role::Agent), &call(Some("8002"), &[], false)), "no number, no calls");
        assert!(may_see_call(&actor(Role::Auditor), &call(Some("8002"), &[], false)));
        assert!(!may_see_call(&actor(Role::UnitClerk), &call(None, &[], false)));
    }

    #[test]
    fn only_who_is_on_a_call_or_leads_commands_it() {
        assert!(may_command(&agent("8001"), &call(Some("8001"), &[], false)));
        assert!(!may_command(&agent("8001"), &call(None, &[], false)));
        assert!(!may_command(&actor(Role::Dispatcher), &call(Some("8001"), &[], false)));
        assert!(may_command(&actor(Role::Supervisor), &call(Some("8001"), &[], false)));
        assert!(!may_command(&actor(Role::Auditor), &call(Some("8001"), &[], false)));
    }

    #[test]
    fn agents_set_themselves_and_supervisors_all() {
        assert!(may_set_agent(&agent("8001"), &"8001".into()));
        assert!(!may_set_agent(&agent("8001"), &"8002".into()));
        assert!(may_set_agent(&actor(Role::Supervisor), &"8002".into()));
        assert!(!may_set_agent(&actor(Role::QualityChecker), &"8002".into()));
    }

    #[test]
    fn a_confidential_citizen_is_known_to_those_who_talk_to_them_and_who_lead() {
        let secret = call(Some("8001"), &["8001", "8003"], true);
        for (who, knows) in [
            (agent("8001"), true),
            (agent("8002"), false),
            (agent("8003"), false),
            (actor(Role::Supervisor), true),
            (actor(Role::FollowUpAgent), true),
            (actor(Role::Dispatcher), false),
            (actor(Role::Reviewer), false),
            (actor(Role::QualityChecker), false),
            (actor(Role::Admin), false),
            (actor(Role::System), false),
        ] {
            assert_eq!(sees_caller(&who, &secret), knows, "{}", who.role.name());
            assert_eq!(may_hear(&who, &secret), knows, "{}", who.role.name());
            assert_eq!(may_reveal(&who, &secret), knows, "{}", who.role.name());
            assert!(sees_caller(&who, &call(Some("8001"), &[], false)));
        }
    }

    #[test]
    fn voices_and_numbers_are_not_for_everybody() {
        let plain = call(Some("8001"), &["8003"], false);
        for (who, hears, reveals) in [
            (agent("8001"), true, true),
            (agent("8003"), false, true),
            (agent("8002"), false, false),
            (actor(Role::QualityChecker), true, false),
            (actor(Role::Auditor), false, false),
            (actor(Role::Collector), false, false),
            (actor(Role::KnowledgeEditor), false, false),
            (actor(Role::UnitHead), false, false),
            (actor(Role::Reviewer), true, true),
        ] {
            assert_eq!(may_hear(&who, &plain), hears, "{}", who.role.name());
            assert_eq!(may_reveal(&who, &plain), reveals, "{}", who.role.name());
        }
    }
}
