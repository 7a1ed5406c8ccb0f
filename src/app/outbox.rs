//! The SMS outbox: claims due rows, submits them, and writes down what became of each part.
//!
//! A row is the truth: before a part leaves, the row says that it is on its way; if the process dies then, the row's
//! lease runs out and the message is *uncertain*, never sent twice by accident. One task, so no row is claimed twice.

use super::{App, events::Audience, permissions::Thing, story, view::MessageView};
use crate::{
    net::{
        clock,
        sms::{SmsEvent, SmsGateway, submits},
    },
    sms::{
        delivery::{Command, EarlyReceipts, Event, Outcome, Policy, Receipt, Refusal},
        number::MobileNumber,
        text,
    },
    store::{MessageRow, StoreError},
};
use std::{future::Future, sync::Arc, time::Duration};
use tokio::sync::{Notify, mpsc};

/// How often due rows are looked for when nobody rang.
const LOOK: Duration = Duration::from_secs(1);
/// How many rows are claimed at once.
const CLAIM: i64 = 16;
/// The first and the longest pause before an event is written down again.
const BACK_OFF: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(10));
/// Receipts that overtook their submit response are kept this long.
const EARLY: Duration = Duration::from_secs(60);

/// Rings the outbox when a message was written.
#[derive(Clone, Default)]
pub struct Bell(Arc<Notify>);

impl Bell {
    /// There is something to send.
    pub fn ring(&self) {
        self.0.notify_one();
    }
}

/// Runs until the gateway's events end.
pub async fn run(app: Arc<App>, gateway: SmsGateway, mut events: mpsc::Receiver<SmsEvent>, policy: Policy) {
    let mut outbox = Outbox { app, gateway, policy, early: EarlyReceipts::new(10_000, EARLY) };
    let bell = outbox.app.bell.clone();
    let mut tick = tokio::time::interval(LOOK);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            event = events.recv() => match event {
                Some(event) => outbox.keep(&event).await,
                None => return,
            },
            () = bell.0.notified() => {}
            _ = tick.tick() => {}
        }
        if let Err(error) = outbox.send_due().await {
            tracing::warn!(%error, "the outbox could not read or write its rows; it tries again");
            tokio::time::sleep(LOOK).await;
        }
    }
}

/// Does it again, with a growing pause, until the database takes it. False: it refused for good.
async fn until_kept<F>(first: Duration, mut attempt: impl FnMut() -> F) -> bool
where
    F: Future<Output = Result<(), StoreError>>,
{
    let mut pause = first;
    loop {
        match attempt().await {
            Ok(()) => return true,
            Err(error) if error.is_unavailable() => {
                tracing::warn!(%error, "an SMS event waits for the database");
                metrics::counter!("hotline_sms_events_retried_total").increment(1);
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(BACK_OFF.1);
            }
            Err(error) => {
                tracing::error!(%error, "an SMS event cannot be kept");
                return false;
            }
        }
    }
}

struct Outbox {
    app: Arc<App>,
    gateway: SmsGateway,
    policy: Policy,
    early: EarlyReceipts,
}

impl Outbox {
    async fn send_due(&mut self) -> Result<(), StoreError> {
        let now = clock::now().wall;
        for row in self.app.store.message_due(now, CLAIM).await? {
            match row.delivery.due(now) {
                // Without a bound gateway a try would only count the waiting: the row stays due.
                Some(Command::Try) if !self.gateway.is_bound() => return Ok(()),
                Some(command) => self.step(row, command).await?,
                None => {}
            }
        }
        Ok(())
    }

    /// Writes down what the gateway told. Until that is done nothing more is taken: the channel fills, and the SMS centre
    /// is slowed down instead of forgotten.
    async fn keep(&mut self, event: &SmsEvent) {
        let outbox = tokio::sync::Mutex::new(&mut *self);
        let kept = until_kept(BACK_OFF.0, || async { outbox.lock().await.happened(event).await }).await;
        if let (true, SmsEvent::Receipt { unanswered, .. }) = (kept, event) {
            self.gateway.kept(*unanswered);
        }
    }

    /// Does nothing twice: what a first attempt wrote down does not apply again.
    async fn happened(&mut self, event: &SmsEvent) -> Result<(), StoreError> {
        let (message, part, outcome) = match event {
            SmsEvent::Submitted { message, part, smsc_id } => {
                (*message, *part, Outcome::Accepted { smsc_id: smsc_id.clone() })
            }
            SmsEvent::Failed { message, part, refusal, status } => {
                (*message, *part, Outcome::Refused { refusal: *refusal, status: *status })
            }
            SmsEvent::Uncertain { message, part } => (*message, *part, Outcome::Uncertain),
            SmsEvent::Receipt { receipt, .. } => return self.receipt(receipt.clone()).await,
            // Counted by the gateway; the loop looks for due rows in any case.
            SmsEvent::Inbound { .. }
            | SmsEvent::Connected { .. }
            | SmsEvent::Disconnected { .. }
            | SmsEvent::Malformed { .. } => return Ok(()),
        };
        if let Some(row) = self.app.store.message_get(message).await? {
            self.step(row, Command::Outcome { part, outcome }).await?;
        }
        if let SmsEvent::Submitted { smsc_id, .. } = event
            && let Some(receipt) = self.early.take(smsc_id)
            && let Err(error) = self.receipt(receipt.clone()).await
        {
            self.early.keep(receipt, clock::now().wall);
            return Err(error);
        }
        Ok(())
    }

    async fn receipt(&mut self, receipt: Receipt) -> Result<(), StoreError> {
        match self.app.store.message_by_smsc_id(&receipt.smsc_id).await? {
            Some(row) => self.step(row, Command::Receipt(receipt)).await,
            None => {
                self.early.keep(receipt, clock::now().wall);
                Ok(())
            }
        }
    }

    /// Applies a command to a row and saves it before anything leaves.
    async fn step(&mut self, row: MessageRow, command: Command) -> Result<(), StoreError> {
        let now = clock::now().wall;
        let (delivery, happened) = match row.delivery.apply(command, &self.policy, now) {
            Ok(applied) => applied,
            Err(why) => {
                tracing::debug!(sms = %row.id, %why, "an SMS event did not apply");
                return Ok(());
            }
        };
        if !self.app.store.message_save(row.id, row.delivery.version, &delivery).await? {
            return Ok(());
        }
        self.count(&happened);
        let row = MessageRow { delivery, ..row };
        self.tell_story(&row, &happened).await;
        self.app.publish_message(&row).await;
        for event in happened {
            if let Event::Submit { parts } = event {
                self.submit(&row, parts).await?;
            }
        }
        Ok(())
    }

    async fn submit(&mut self, row: &MessageRow, parts: Vec<u8>) -> Result<(), StoreError> {
        // Both were checked when the message was written.
        let Ok(segments) = text::segment(&row.text, row.id.0 as u8) else { return Ok(()) };
        let Ok(number) = MobileNumber::parse(&row.number) else { return Ok(()) };
        for submit in submits(row.id, &number.international(), &segments, parts) {
            let part = submit.part;
            if self.gateway.submit(submit).is_err() {
                let outcome = Outcome::Refused { refusal: Refusal::NotSent, status: 0 };
                if let Some(row) = self.app.store.message_get(row.id).await? {
                    Box::pin(self.step(row, Command::Outcome { part, outcome })).await?;
                }
            }
        }
        Ok(())
    }

    /// What became of a message, under the call that its ticket came of.
    async fn tell_story(&self, row: &MessageRow, happened: &[Event]) {
        let Some(Event::Moved { to, .. }) = happened.iter().find(|event| matches!(event, Event::Moved { .. })) else {
            return;
        };
        let ticket = row.ticket_no.as_ref();
        let call = match ticket {
            Some(no) => self.app.store.ticket_call(no).await.ok().flatten(),
            None => None,
        };
        story::message(call, row.id, ticket, &row.purpose, to.as_str());
    }

    fn count(&self, happened: &[Event]) {
        for event in happened {
            match event {
                Event::Moved { to, .. } => {
                    metrics::counter!("hotline_sms_moved_total", "to" => to.as_str()).increment(1)
                }
                Event::AnswerLost { parts } => {
                    metrics::counter!("hotline_sms_answers_lost_total").increment(u64::from(*parts))
                }
                Event::Resent { parts } => metrics::counter!("hotline_sms_resent_total").increment(u64::from(*parts)),
                Event::Submit { .. } | Event::RetryAt(_) => {}
            }
        }
    }
}

impl App {
    /// A message's fate changed: the live page and the ticket's page follow it.
    pub async fn publish_message(&self, row: &MessageRow) {
        let secret = match &row.ticket_no {
            None => Ok(None),
            Some(no) => {
                self.store.confidential_tickets(std::slice::from_ref(no)).await.map(|mut found| found.remove(no))
            }
        };
        // Where the database does not say, nobody's citizen is told of.
        let (confidential, agent) = secret.map_or((true, None), |secret| (secret.is_some(), secret.flatten()));
        let audience = Audience::Citizen { thing: Thing::Messages, confidential, agent };
        self.events.publish_hiding("message", audience, &MessageView::new(row, true), &MessageView::new(row, false));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::RefCell;

    #[tokio::test]
    async fn an_event_waits_until_the_database_is_back() {
        let answers = RefCell::new(vec![
            Ok(()),
            Err(StoreError::Unavailable("locked".into())),
            Err(StoreError::Unavailable("away".into())),
            Err(StoreError::Unavailable("away".into())),
        ]);
        let first = Duration::from_millis(1);
        assert!(until_kept(first, || async { answers.borrow_mut().pop().unwrap() }).await);
        assert!(answers.borrow().is_empty(), "it was tried until it was taken, and not once more");
    }

    #[tokio::test]
    async fn a_row_that_cannot_be_read_does_not_hold_the_others_up() {
        let tries = RefCell::new(0);
        let kept = until_kept(BACK_OFF.0, || async {
            *tries.borrow_mut() += 1;
            Err(StoreError::Corrupt("body".into()))
        });
        assert!(!kept.await);
        assert_eq!(*tries.borrow(), 1);
    }
}
