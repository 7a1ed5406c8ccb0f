//! The caller's side: answering, the flow, the queue.

use super::{Call, Notice, Phase, Timer};
use crate::{
    acd::message as acd,
    call::{
        cdr::{Ending, Role, What, Whose},
        leg::LegState,
        message::{Output, Route, Said, SipCommand},
    },
    clock::Now,
    ids::{LegId, QueueName},
    ivr::{self, session as flow},
    media::{engine as media, sdp},
};
use std::{net::SocketAddr, time::Duration};

/// The queue of a caller whose route never named one.
const DEFAULT_QUEUE: &str = "general";

impl Call {
    pub(super) fn media_opened(&mut self, now: Now, id: LegId, local: SocketAddr) {
        let session = sdp::Session::new(sdp::LocalMedia {
            rtp: local,
            session_id: id.0,
            codecs: self.settings.codecs.clone(),
            ptime_ms: self.settings.ptime_ms,
        });
        let Some(leg) = self.leg_mut(id) else { return };
        leg.sdp = Some(session);
        leg.media_open = true;
        if leg.is_ending() {
            return self.close_media(id);
        }
        let learn = self.settings.learn.clone();
        self.output.push_back(Output::Media(media::Command::AddLeg { leg: id, learn }));
        if id == self.caller {
            self.answer_offer(now);
        } else {
            self.dial(id);
        }
    }

    pub(super) fn media_failed(&mut self, now: Now, id: LegId) {
        let ending = Ending { whose: Whose::Us, what: What::Failed, sip: 503, q850: 44 };
        if id == self.caller {
            self.refuse_caller(now, 503, 44);
        } else {
            self.leg_over(now, id, ending);
        }
    }

    /// Answers the caller's offer, or makes one when its INVITE held none (RFC 3261 section 13.2.1).
    fn answer_offer(&mut self, now: Now) {
        let offer = self.offer.take();
        let caller = self.caller;
        let Some(leg) = self.leg_mut(caller) else { return };
        let Some(session) = leg.sdp.as_mut() else { return };
        match offer {
            Some(offer) => match session.answer(&offer, sdp::Direction::SendRecv) {
                Ok((answer, params)) => {
                    leg.params = Some(params);
                    self.offer = Some(answer);
                }
                Err(error) => return self.refuse_caller(now, error.status(), 88),
            },
            None => {
                leg.awaits_answer = true;
                self.offer = Some(session.offer(sdp::Direction::SendRecv));
            }
        }
        if self.answers_on_agent() {
            self.sip(SipCommand::Progress { leg: caller, status: 183, sdp: self.offer.clone() });
            self.set_params(caller);
            self.record.early_media = true;
            self.start_route(now);
        } else {
            self.accept(now);
            if self.rings_at_once() {
                self.start_route(now);
            }
        }
    }

    /// Whether somebody is rung before the caller is there to hear anything: who waits for nothing but a person must
    /// not wait for the spool as well.
    fn rings_at_once(&self) -> bool {
        match &self.route {
            Route::Queue(_) | Route::Dial { .. } => !matches!(self.phase, Phase::Ending | Phase::Over),
            Route::Flow(_) | Route::Room(_) | Route::PlayLoop(_) | Route::Hold => false,
        }
    }

    /// Whether the caller hears early media, and is charged only from the agent's answer on.
    fn answers_on_agent(&self) -> bool {
        let awaits_answer = self.leg(self.caller).is_some_and(|leg| leg.awaits_answer);
        match &self.route {
            Route::Flow(flow) => flow.answer == ivr::flow::Answer::OnAgent && !awaits_answer,
            Route::Queue(_) | Route::Dial { .. } | Route::Room(_) | Route::PlayLoop(_) | Route::Hold => false,
        }
    }

    /// Has the record made durable; 200 waits for that.
    pub(super) fn accept(&mut self, now: Now) {
        if std::mem::replace(&mut self.accepting, true) {
            return;
        }
        if self.record.ticket || self.record.cdr {
            self.output.push_back(Output::Spool);
            self.await_spool(now);
        } else {
            self.output.push_back(Output::Changed { milestone: false });
            self.send_answer();
        }
    }

    pub(super) fn spooled(&mut self, now: Now) {
        if matches!(self.phase, Phase::Ending | Phase::Over) || self.record.answered_at.is_some() {
            return;
        }
        self.record.answered_at = Some(now.wall);
        self.send_answer();
        self.say(Said::Answered);
    }

    fn send_answer(&mut self) {
        let caller = self.caller;
        let Some(answer) = self.offer.clone() else { return };
        let Some(leg) = self.leg_mut(caller) else { return };
        leg.state = LegState::Answering;
        self.set_params(caller);
        self.sip(SipCommand::Answer { leg: caller, sdp: answer });
    }

    /// The ACK of our 200 came.
    pub(super) fn caller_confirmed(&mut self, now: Now) {
        let at = self.record.answered_at.get_or_insert(now.wall);
        let (at, caller) = (*at, self.caller);
        if let Some(leg) = self.leg_mut(caller) {
            leg.state = LegState::Up;
            leg.answered_at = Some(at);
        }
        if matches!(self.phase, Phase::Accepting) {
            self.start_route(now);
        } else {
            // What its route has come to so far was not worth noting before the caller was there.
            self.milestone = true;
        }
    }

    pub(super) fn refuse_caller(&mut self, now: Now, status: u16, q850: u8) {
        let caller = self.caller;
        let ending = Ending { whose: Whose::Us, what: What::Failed, sip: status, q850 };
        if let Some(leg) = self.leg_mut(caller)
            && !leg.is_ending()
        {
            leg.state = LegState::Ending;
            leg.end(now.wall, ending);
            self.close_media(caller);
            self.sip(SipCommand::Reject { leg: caller, status, cause: q850 });
        }
        self.finish(now, ending);
    }

    fn start_route(&mut self, now: Now) {
        match self.route.clone() {
            Route::Flow(flow) => {
                self.phase = Phase::Flow;
                let caller = ivr::Caller { from: self.record.from.clone(), dialled: self.record.dialled.clone() };
                self.flow = Some(ivr::Session::new(flow, &caller, self.settings.hours.clone(), now));
                self.follow_flow(now);
            }
            Route::Queue(queue) => self.enqueue(now, queue, 0, None, false),
            Route::Dial { target, recorded } => {
                let other = self.new_leg(now, Role::Other);
                self.phase = Phase::Ringing { other, recorded };
                self.timers.push((now.mono + self.settings.department_ring, Timer::Ring(other)));
                if let Some(leg) = self.leg_mut(other) {
                    leg.dial = Some(target);
                }
            }
            Route::PlayLoop(clip) => {
                self.phase = Phase::Parked;
                let caller = self.caller;
                let id = self.play(caller, &[clip], true);
                if let Some(leg) = self.leg_mut(caller) {
                    leg.announcing = id;
                }
            }
            Route::Room(_) | Route::Hold => self.phase = Phase::Parked,
        }
    }

    /// Does what the flow asks for.
    pub(super) fn follow_flow(&mut self, now: Now) {
        self.note_choices();
        while let Some(output) = self.flow.as_mut().and_then(ivr::Session::poll_output) {
            match output {
                flow::Output::Play { token, clips } => match self.announce(self.caller, &clips) {
                    Some(id) => self.flow_play = Some((id, token)),
                    None => self.tell_flow(now, flow::Input::PlayDone(token)),
                },
                flow::Output::StopPlay => self.hush(self.caller),
                flow::Output::Enqueue { queue, max_wait, priority, .. } => {
                    self.enqueue(now, queue, priority, max_wait, false);
                }
                flow::Output::LeaveQueue => self.leave_queue(now),
                // Every caller who was in a queue and reached nobody is owed a call: the record says so already.
                flow::Output::OweCallback { .. } => {}
                flow::Output::ThreeWay { hotline } => self.find_hotline_for_flow(now, hotline),
                flow::Output::Hangup { cause } => {
                    let what = if self.record.served_at.is_some() { What::Answered } else { What::Abandoned };
                    self.finish(now, Ending { whose: Whose::Us, what, sip: 0, q850: cause });
                }
            }
        }
    }

    /// What the caller chose in the flow stays on the record: the agent sees it, and prompts are in that language.
    fn note_choices(&mut self) {
        if let Some(flow) = &self.flow
            && *flow.chosen() != self.record.variables
        {
            self.record.variables.clone_from(flow.chosen());
            self.changed = true;
        }
    }

    pub(super) fn tell_flow(&mut self, now: Now, input: flow::Input) {
        if let Some(flow) = self.flow.as_mut() {
            flow.handle_input(now, input);
        }
    }

    /// Puts the caller into a queue; its rank is that of the first time.
    pub(super) fn enqueue(
        &mut self,
        now: Now,
        queue: QueueName,
        priority: u16,
        max_wait: Option<Duration>,
        front: bool,
    ) {
        let enqueued_at = *self.record.enqueued_at.get_or_insert(now.wall);
        let waited = now.mono.saturating_duration_since(*self.queued_since.get_or_insert(now.mono));
        if self.record.queue.replace(queue.clone()).is_some_and(|before| before != queue)
            && let Some(caller) = self.leg_mut(self.caller)
        {
            // Another queue may have another music.
            caller.hears = None;
        }
        self.record.overflow = None;
        self.record.waits = true;
        self.phase = Phase::Waiting { ringing: None };
        self.say(Said::Enqueued { queue: queue.clone() });
        let call = self.record.id;
        self.acd(acd::Input::Enqueue { call, queue, enqueued_at, waited, priority, front, max_wait, sticky: None });
    }

    /// Back to the queue, before everybody who has not been served yet.
    pub(super) fn enqueue_in_front(&mut self, now: Now) {
        let queue = self.record.queue.clone().unwrap_or_else(|| DEFAULT_QUEUE.into());
        self.enqueue(now, queue, 0, None, true);
        self.announce(self.caller, &self.prompt("agent_lost"));
    }

    /// The caller may not go on waiting: the flow decides, else the last words and a callback owed.
    pub(super) fn overflow(&mut self, now: Now, why: &str) {
        if !matches!(self.phase, Phase::Waiting { .. }) {
            return;
        }
        self.leave_queue(now);
        self.record.overflow = Some(why.to_owned());
        if self.flow.is_some() {
            self.tell_flow(now, flow::Input::QueueLeft { why: why.to_owned() });
            self.follow_flow(now);
        } else {
            // Nobody can be called back whose number was withheld.
            let last = if self.record.from.is_empty() { "system_error" } else { "queue_full" };
            self.last_words(now, &format!("prompts/zh/{last}.wav"), 42);
        }
    }

    fn leave_queue(&mut self, now: Now) {
        let Phase::Waiting { ringing } = self.phase else { return };
        self.acd(acd::Input::SendOn { call: self.record.id });
        if let Some(leg) = ringing {
            self.hang_up(now, leg, Ending::bye(Whose::Us, What::Withdrawn));
        }
        self.hush(self.caller);
        self.phase = Phase::Flow;
    }

    /// Says one thing, then hangs up.
    fn last_words(&mut self, now: Now, clip: &str, cause: u8) {
        if !self.announce_then(self.caller, clip, Notice::HangUp(cause)) {
            self.finish(now, Ending { whose: Whose::Us, what: What::Abandoned, sip: 0, q850: cause });
        }
    }

    /// The place in the queue and the estimated wait are said over the music, as the queue wants it.
    pub(super) fn say_position(&mut self, position: usize, estimate: Option<Duration>) {
        let quiet = self.leg(self.caller).is_some_and(|leg| leg.announcing.is_none());
        if quiet && matches!(self.phase, Phase::Waiting { ringing: None }) {
            let sound = self.record.queue.as_ref().and_then(|queue| self.settings.queues.get(queue));
            let says_position = sound.is_none_or(|sound| sound.says_position);
            let mut clips = match self.language() {
                Some(_) if says_position => self.prompt("position"),
                None if says_position => ivr::say::position(position),
                _ => Vec::new(),
            };
            // The estimate is spoken in Chinese alone: there are no clips of it in another language.
            if self.language().is_none() {
                clips.extend(estimate.map(ivr::say::wait_estimate).into_iter().flatten());
            }
            self.announce(self.caller, &clips);
        }
    }

    /// The language of the caller's choice, where it is not Chinese.
    fn language(&self) -> Option<&str> {
        self.record.variables.get("language").map(String::as_str).filter(|language| !matches!(*language, "" | "zh"))
    }

    /// What the caller is told, in the caller's language where it was recorded, else in Chinese.
    pub(super) fn prompt(&self, name: &str) -> Vec<String> {
        let other = self.language().and_then(|language| {
            let names = [name, in_other_words(name)];
            let mut paths = names.iter().map(|name| format!("prompts/{language}/{name}.wav"));
            paths.find(|path| self.settings.clips.contains_key(path))
        });
        vec![other.unwrap_or_else(|| format!("prompts/zh/{name}.wav"))]
    }

    /// Hands the leg's negotiated media to the engine.
    pub(super) fn set_params(&mut self, id: LegId) {
        if let Some(params) = self.leg(id).and_then(|leg| leg.params.clone()) {
            self.output.push_back(Output::Media(media::Command::SetParams { leg: id, params }));
        }
    }
}

/// The clip that says nearly the same, for languages in which the first was not recorded.
fn in_other_words(name: &str) -> &str {
    match name {
        "agent_lost" | "three_way_connecting" => "connecting_agent",
        "position" => "all_busy",
        other => other,
    }
}
