//! The SMS outbox: claims due rows, submits them, and writes down what became of each part.
//!
//! A row is the truth: before a part leaves, the row says that it is on its way; if the process dies then, the row's
//! lease runs out and the message is *uncertain*, never sent twice by accident. One task, so no row is claimed twice.

use super::{App, events::Audience, permissions::Thing, view::MessageView};
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
use std::{sync::Arc, time::Duration};
use tokio::sync::{Notify, mpsc};

/// How often due rows are looked for when nobody rang.
const LOOK: Duration = Duration::from_secs(1);
/// How many rows are claimed at once.
const CLAIM: i64 = 16;
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
        let result = tokio::select! {
            event = events.recv() => match event {
                Some(event) => outbox.happened(event).await,
                None => return,
            },
            () = bell.0.notified() => outbox.send_due().await,
            _ = tick.tick() => outbox.send_due().await,
        };
        if let Err(error) = result {
            tracing::warn!(%error, "the outbox could not read or write its rows; it tries again");
            tokio::time::sleep(LOOK).await;
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

    async fn happened(&mut self, event: SmsEvent) -> Result<(), StoreError> {
        match event {
            SmsEvent::Submitted { message, part, smsc_id } => {
                let outcome = Outcome::Accepted { smsc_id: smsc_id.clone() };
                if let Some(row) = self.app.store.message_get(message).await? {
                    self.step(row, Command::Outcome { part, outcome }).await?;
                }
                if let Some(receipt) = self.early.take(&smsc_id) {
                    self.receipt(receipt).await?;
                }
                self.send_due().await?;
            }
            SmsEvent::Failed { message, part, refusal, status } => {
                if let Some(row) = self.app.store.message_get(message).await? {
                    self.step(row, Command::Outcome { part, outcome: Outcome::Refused { refusal, status } }).await?;
                }
            }
            SmsEvent::Uncertain { message, part } => {
                if let Some(row) = self.app.store.message_get(message).await? {
                    self.step(row, Command::Outcome { part, outcome: Outcome::Uncertain }).await?;
                }
            }
            SmsEvent::Receipt { receipt, .. } => self.receipt(receipt).await?,
            SmsEvent::Inbound { .. } => metrics::counter!("hotline_sms_inbound_total").increment(1),
            SmsEvent::Connected { .. } => self.send_due().await?,
            SmsEvent::Disconnected { .. } | SmsEvent::Malformed { .. } => {}
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
                tracing::debug!(message = %row.id, %why, "an SMS event did not apply");
                return Ok(());
            }
        };
        if !self.app.store.message_save(row.id, row.delivery.version, &delivery).await? {
            return Ok(());
        }
        self.count(&happened);
        let row = MessageRow { delivery, ..row };
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
