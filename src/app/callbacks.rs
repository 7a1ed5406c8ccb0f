//! Lost calls are debts (呼损回拨): called back once, by whoever is free, in a few tries, and not at night. A callback is
//! settled only when an agent says that the person was reached: a later call of the same number proves nothing.

use super::{
    App, AppError,
    events::Audience,
    view::{When, rfc3339, time_zone},
};
use crate::{
    clock::UnixMillis,
    config::settings::CallbackSettings,
    ids::{CallbackId, QueueName},
    net::clock,
    redact::masked,
    store::{Page, callback::CallbackRow},
    ticket::{Actor, Role},
};
use jiff::{Timestamp, civil::Time, tz::TimeZone};
use serde::Serialize;
use utoipa::ToSchema;

/// A callback as it is shown.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct CallbackView {
    /// The callback's number, as decimal text.
    pub id: String,
    /// The lost call.
    pub call: String,
    /// Masked; none where it was withheld.
    pub number: Option<String>,
    /// The queue that gave the caller up, or that the caller left.
    pub queue: String,
    /// The caller's rank: when it first entered a queue.
    pub enqueued_at: When,
    /// When the call was lost.
    pub owed_at: When,
    /// `abandoned`, `overflow` or `restart`.
    pub reason: String,
    /// `owed`, `settled` or `given_up`.
    pub state: String,
    /// Tries so far, one that is under way included.
    pub tries: u32,
    /// When it may be tried again at the earliest.
    pub next_try_at: When,
    /// The agent who tries now, or tried last and has not said how it went.
    pub claimed_by: Option<String>,
    /// Until when it is kept for that agent alone.
    pub claimed_until: Option<When>,
    /// When the person was reached; null before.
    pub settled_at: Option<When>,
}

impl From<&CallbackRow> for CallbackView {
    fn from(row: &CallbackRow) -> Self {
        CallbackView {
            id: row.id.to_string(),
            call: row.call.to_string(),
            number: row.number.as_deref().map(masked),
            queue: row.queue.to_string(),
            enqueued_at: When(row.enqueued_at),
            owed_at: When(row.owed_at),
            reason: row.reason.clone(),
            state: row.state.clone(),
            tries: row.tries,
            next_try_at: When(row.next_try_at),
            claimed_by: row.claimed_by.as_ref().map(ToString::to_string),
            claimed_until: row.claimed_until.map(When),
            settled_at: row.settled_at.map(When),
        }
    }
}

/// How a try went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The person was reached: settled.
    Reached,
    /// It rang out, or the telephone was off: owed again later.
    NoAnswer,
    /// The line was busy: owed again later.
    Busy,
    /// Somebody else answered, or a switchboard.
    NotThePerson,
    /// The number does not exist: given up at once.
    WrongNumber,
}

impl Outcome {
    const fn name(self) -> &'static str {
        match self {
            Outcome::Reached => "reached",
            Outcome::NoAnswer => "no_answer",
            Outcome::Busy => "busy",
            Outcome::NotThePerson => "not_the_person",
            Outcome::WrongNumber => "wrong_number",
        }
    }
}

/// Whether a role has to do with callbacks at all.
pub const fn may_see_callbacks(role: Role) -> bool {
    matches!(
        role,
        Role::Agent | Role::Supervisor | Role::FollowUpAgent | Role::QualityChecker | Role::Auditor | Role::Admin
    )
}

/// The first moment from `at` on when people may be called.
fn next_daytime(at: UnixMillis, zone: &TimeZone, settings: &CallbackSettings) -> UnixMillis {
    let Ok(moment) = Timestamp::from_millisecond(at.0) else { return at };
    let local = moment.to_zoned(zone.clone());
    let minute = local.hour() as u16 * 60 + local.minute() as u16;
    if settings.hours.contains(&minute) {
        return at;
    }
    let date = if minute < settings.hours.start { Ok(local.date()) } else { local.date().tomorrow() };
    let (hour, minute) = ((settings.hours.start / 60) as i8, (settings.hours.start % 60) as i8);
    let opens = Time::new(hour, minute, 0, 0).and_then(|time| date?.to_datetime(time).to_zoned(zone.clone()));
    opens.map_or(at, |opens| UnixMillis(opens.timestamp().as_millisecond()))
}

fn refused(code: &'static str, reason: impl Into<String>) -> AppError {
    AppError::CallbackRefused { code, reason: reason.into() }
}

impl App {
    fn callbacks_for(&self, actor: &Actor) -> Result<Vec<QueueName>, AppError> {
        if actor.unit.is_none() && may_see_callbacks(actor.role) {
            Ok(self.hidden_queues(actor))
        } else {
            Err(AppError::Forbidden("只有话务、回访、质检、班长和审计人员可以查看回拨".to_owned()))
        }
    }

    /// Callbacks in a state, the earliest rank first.
    ///
    /// # Errors
    /// `Forbidden`, `Invalid` for an unknown state; the store's.
    pub async fn callback_list(
        &self,
        actor: &Actor,
        state: &str,
        page: &Page,
    ) -> Result<(Vec<CallbackView>, Option<String>), AppError> {
        let hidden = self.callbacks_for(actor)?;
        if !["owed", "settled", "given_up"].contains(&state) {
            return Err(AppError::Invalid(format!("state 应为 owed、settled 或 given_up,收到的是 {state:?}")));
        }
        let rows = self.store.callback_list(state, &hidden, page).await?;
        Ok((rows.items.iter().map(CallbackView::from).collect(), rows.next_cursor))
    }

    async fn callback_row(&self, actor: &Actor, id: CallbackId) -> Result<CallbackRow, AppError> {
        let hidden = self.callbacks_for(actor)?;
        let row = self.store.callback_get(id).await?;
        if hidden.contains(&row.queue) { Err(AppError::NotFound("回拨")) } else { Ok(row) }
    }

    /// An agent takes a callback on: nobody else may try meanwhile. Gives the number in the clear; the audit log keeps
    /// who had it. Taking on what one has already changes nothing.
    ///
    /// # Errors
    /// `Forbidden` for who is no agent, `NotFound`, `CallbackRefused` with the reason; the store's.
    pub async fn callback_claim(&self, actor: &Actor, id: CallbackId) -> Result<(CallbackView, String), AppError> {
        let agent =
            actor.agent.clone().ok_or_else(|| AppError::Forbidden("只有话务员或班长可以认领回拨".to_owned()))?;
        let (row, now) = (self.callback_row(actor, id).await?, clock::now().wall);
        let settings = &self.in_force().settings.callbacks;
        let number = row.number.clone().ok_or_else(|| refused("callback-no-number", "来电未显示号码,无法回拨"))?;
        let held = row.claimed_until.is_some_and(|until| until >= now);
        if row.state == "owed" && held && row.claimed_by.as_ref() == Some(&agent) {
            return Ok((CallbackView::from(&row), number));
        }
        let day = next_daytime(now, &time_zone(), settings);
        if row.state == "owed" && day > now {
            return Err(refused("callback-night", format!("夜间不回拨,请在 {} 以后再试", rfc3339(day))));
        }
        self.audit(actor, "callback.claim", &id.to_string(), "").await?;
        match self.store.callback_claim(id, &agent, settings.hold, settings.tries, now).await? {
            Some(row) => Ok((self.callback_changed(&row), number)),
            None => Err(self.why_not(id, now).await?),
        }
    }

    async fn why_not(&self, id: CallbackId, now: UnixMillis) -> Result<AppError, AppError> {
        let row = self.store.callback_get(id).await?;
        let held = row.claimed_until.is_some_and(|until| until >= now);
        Ok(match row.state.as_str() {
            "settled" => refused("callback-settled", "已经回拨成功"),
            "given_up" => refused("callback-given-up", "已放弃回拨"),
            _ if held => refused("callback-claimed", "已被其他话务员认领"),
            _ if row.next_try_at > now => {
                refused("callback-too-early", format!("请在 {} 以后再试", rfc3339(row.next_try_at)))
            }
            _ if row.tries >= self.in_force().settings.callbacks.tries => {
                refused("callback-no-tries", "回拨次数已用完,请班长处理")
            }
            _ => refused("callback-claimed", "同一号码的另一个回拨正由其他话务员处理"),
        })
    }

    /// The agent says how the try went: settled, tried again later, or given up.
    ///
    /// # Errors
    /// `NotFound`, `Forbidden` for another agent's callback, `CallbackRefused`; the store's.
    pub async fn callback_settle(
        &self,
        actor: &Actor,
        id: CallbackId,
        outcome: Outcome,
        note: &str,
    ) -> Result<CallbackView, AppError> {
        let (row, now) = (self.callback_row(actor, id).await?, clock::now().wall);
        let leads = matches!(actor.role, Role::Supervisor | Role::Admin);
        let holder = match row.claimed_by.clone() {
            _ if row.state != "owed" => return Err(self.why_not(id, now).await?),
            None => return Err(refused("callback-not-claimed", "请先认领,再登记回拨结果")),
            Some(holder) if leads || actor.agent.as_ref() == Some(&holder) => holder,
            Some(_) => return Err(AppError::Forbidden("只有认领的话务员或班长可以登记回拨结果".to_owned())),
        };
        self.audit(actor, "callback.settle", &id.to_string(), &format!("{}: {note}", outcome.name())).await?;
        let done = match self.next_try(&row, outcome, now) {
            Next::Settled => self.store.callback_settle(id, &holder, now).await,
            Next::Again(at) => self.store.callback_failed(id, &holder, Some(at), now).await,
            Next::GivenUp => self.store.callback_failed(id, &holder, None, now).await,
        };
        if let Err(crate::store::StoreError::NotFound(_)) = done {
            return Err(self.why_not(id, now).await?);
        }
        done?;
        metrics::counter!("hotline_callback_tries_total", "outcome" => outcome.name()).increment(1);
        Ok(self.callback_changed(&self.store.callback_get(id).await?))
    }

    fn next_try(&self, row: &CallbackRow, outcome: Outcome, now: UnixMillis) -> Next {
        let settings = &self.in_force().settings.callbacks;
        match outcome {
            Outcome::Reached => Next::Settled,
            Outcome::WrongNumber => Next::GivenUp,
            Outcome::NoAnswer | Outcome::Busy | Outcome::NotThePerson if row.tries >= settings.tries => Next::GivenUp,
            Outcome::NoAnswer | Outcome::Busy | Outcome::NotThePerson => {
                Next::Again(next_daytime(now.plus(settings.pause), &time_zone(), settings))
            }
        }
    }

    /// Tells those who may know that a callback is owed or changed.
    pub(super) fn callback_changed(&self, row: &CallbackRow) -> CallbackView {
        let view = CallbackView::from(row);
        let audience: Audience = self.queue_audience(&row.queue);
        self.events.publish("callback", audience, &view);
        view
    }
}

/// What becomes of a callback after a try.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    Settled,
    Again(UnixMillis),
    GivenUp,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_is_called_at_night() {
        let zone = TimeZone::fixed(jiff::tz::offset(8));
        let settings = CallbackSettings::default();
        let next = |at: &str| {
            let at: Timestamp = at.parse().unwrap();
            rfc3339(next_daytime(UnixMillis(at.as_millisecond()), &zone, &settings))
        };
        assert_eq!(next("2026-11-22T08:00:00+08:00"), "2026-11-22T08:00:00.000+08:00");
        assert_eq!(next("2026-11-22T21:59:59+08:00"), "2026-11-22T21:59:59.000+08:00");
        assert_eq!(next("2026-11-22T22:00:00+08:00"), "2026-11-23T08:00:00.000+08:00");
        assert_eq!(next("2026-12-31T23:30:00+08:00"), "2027-01-01T08:00:00.000+08:00");
        assert_eq!(next("2026-11-22T07:59:59+08:00"), "2026-11-22T08:00:00.000+08:00");
        let always = CallbackSettings { hours: 0..24 * 60, ..settings };
        let at = UnixMillis(1_795_305_600_000);
        assert_eq!(next_daytime(at, &zone, &always), at);
    }

    #[test]
    fn units_and_collectors_see_no_callbacks() {
        let seen: Vec<Role> = Role::ALL.into_iter().filter(|role| may_see_callbacks(*role)).collect();
        for role in [Role::Agent, Role::Supervisor, Role::Admin] {
            assert!(seen.contains(&role), "{role:?}");
        }
        for role in [Role::UnitClerk, Role::UnitHead, Role::Collector, Role::KnowledgeEditor, Role::System] {
            assert!(!seen.contains(&role), "{role:?}");
        }
    }
}
