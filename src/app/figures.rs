//! Counters that the rooms below keep by themselves, told as metrics once a second.

use super::live::Live;
use crate::{
    acd::{
        message::Status,
        snapshot::{AgentSnapshot, QueueSnapshot},
    },
    call::cdr::StateName,
    clock::UnixMillis,
    net::{
        host::{Disk, Process},
        rtp::MediaPool,
    },
    sip::endpoint::Endpoint,
    store::{Spool, spool::Waiting},
};
use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
};

/// SIP messages by method and class, what became of them, and what the endpoint holds.
pub(super) fn sip(endpoint: &Endpoint) {
    let counters = endpoint.counters();
    metrics::gauge!("hotline_sip_legs").set(endpoint.leg_count() as f64);
    metrics::gauge!("hotline_sip_transactions").set(endpoint.transaction_count() as f64);
    let requests = counters.requests;
    let by_method = [
        ("INVITE", requests.invite),
        ("ACK", requests.ack),
        ("BYE", requests.bye),
        ("CANCEL", requests.cancel),
        ("OPTIONS", requests.options),
        ("REGISTER", requests.register),
        ("INFO", requests.info),
        ("UPDATE", requests.update),
        ("REFER", requests.refer),
        ("NOTIFY", requests.notify),
        ("MESSAGE", requests.message),
        ("other", requests.other),
    ];
    for (method, count) in by_method {
        metrics::counter!("hotline_sip_requests_total", "method" => method).absolute(count);
    }
    for (class, count) in counters.responses_by_class.named() {
        metrics::counter!("hotline_sip_responses_total", "class" => class).absolute(count);
    }
    for (class, count) in counters.responses_sent.named() {
        metrics::counter!("hotline_sip_responses_sent_total", "class" => class).absolute(count);
    }
    metrics::counter!("hotline_sip_sent_total").absolute(counters.sent);
    metrics::counter!("hotline_sip_retransmitted_total").absolute(counters.retransmitted);
    metrics::counter!("hotline_sip_repeated_total").absolute(counters.repeated);
    metrics::counter!("hotline_sip_malformed_total").absolute(counters.malformed);
    metrics::counter!("hotline_sip_dropped_total").absolute(counters.dropped);
    metrics::counter!("hotline_sip_overloaded_total").absolute(counters.overloaded);
    metrics::counter!("hotline_sip_throttled_total").absolute(counters.throttled);
    metrics::counter!("hotline_sip_strangers_total").absolute(counters.strangers);
}

/// RTP by media thread in sum, free ports, and the recordings' writers.
pub(super) fn media(pool: &MediaPool) {
    let sum = |of: fn(&crate::net::media_thread::ThreadCounters) -> &AtomicU64| {
        pool.counters().iter().map(|thread| of(thread).load(Relaxed)).sum::<u64>()
    };
    metrics::gauge!("hotline_media_legs").set(sum(|t| &t.legs) as f64);
    for (name, count) in [
        ("hotline_rtp_received_total", sum(|t| &t.received)),
        ("hotline_rtp_sent_total", sum(|t| &t.sent)),
        ("hotline_rtp_foreign_total", sum(|t| &t.foreign)),
        ("hotline_rtp_malformed_total", sum(|t| &t.malformed)),
        ("hotline_rtp_lost_total", sum(|t| &t.lost)),
        ("hotline_rtp_late_total", sum(|t| &t.late)),
        ("hotline_keys_held_back_total", sum(|t| &t.keys_held_back)),
        ("hotline_rtp_send_errors_total", sum(|t| &t.send_errors)),
        ("hotline_rtp_peer_closed_total", sum(|t| &t.peer_closed)),
        ("hotline_media_refused_commands_total", sum(|t| &t.refused_commands)),
        ("hotline_recording_frames_lost_total", sum(|t| &t.unrecorded)),
    ] {
        metrics::counter!(name).absolute(count);
    }
    let (free, all) = pool.ports_free_of_all();
    metrics::gauge!("hotline_rtp_ports_free").set(free as f64);
    metrics::gauge!("hotline_rtp_ports").set(all as f64);
    if let Some(writers) = pool.recording_counters() {
        for (name, count) in [
            ("hotline_recordings_total", &writers.recordings),
            ("hotline_recorded_seconds_total", &writers.seconds),
            ("hotline_recordings_failed_total", &writers.failed),
            ("hotline_recording_sync_failures_total", &writers.failed_syncs),
        ] {
            metrics::counter!(name).absolute(count.load(Relaxed));
        }
    }
}

/// What the database does not have yet, and what could not be noted for a restart.
pub(super) fn spool(spool: &Spool) {
    metrics::gauge!("hotline_spool_backlog").set(spool.backlog() as f64);
    metrics::gauge!("hotline_spool_writable").set(if spool.trouble().is_none() { 1.0 } else { 0.0 });
    metrics::counter!("hotline_spool_dropped_total").absolute(spool.dropped());
}

/// How old what waits in the spool is.
pub(super) fn waiting(waiting: Waiting, now: UnixMillis) {
    let age = waiting.oldest.map_or(0.0, |oldest| now.since(oldest).as_secs_f64());
    metrics::gauge!("hotline_spool_oldest_seconds").set(age);
    metrics::gauge!("hotline_spool_stuck").set(waiting.stuck as f64);
}

/// Every state that a call can be seen in while it lasts.
const STATES: [(StateName, &str); 9] = [
    (StateName::Accepting, "accepting"),
    (StateName::Ivr, "ivr"),
    (StateName::Queued, "queued"),
    (StateName::Ringing, "ringing"),
    (StateName::Talking, "talking"),
    (StateName::Held, "held"),
    (StateName::Consulting, "consulting"),
    (StateName::ThreeWay, "three_way"),
    (StateName::HandedOver, "handed_over"),
];

/// What an agent does, and where it is idle what it wants: the words of the live page.
const AGENT_STATES: [&str; 10] = [
    "logged_out",
    "not_ready",
    "idle",
    "reserved",
    "ringing",
    "talking",
    "holding",
    "consulting",
    "conferencing",
    "wrap_up",
];

fn agent_state(agent: &AgentSnapshot) -> &'static str {
    match (agent.state.name(), &agent.status) {
        ("idle", Status::LoggedOut) => "logged_out",
        ("idle", Status::NotReady { .. }) => "not_ready",
        (state, _) => state,
    }
}

/// Calls by state, agents, queues and telephones at `now`.
pub(super) fn present(live: &Live, now: UnixMillis) {
    let mut calls = [0u32; STATES.len()];
    for call in live.calls() {
        if let Some(at) = STATES.iter().position(|(state, _)| *state == call.record.state) {
            calls[at] += 1;
        }
    }
    for ((_, state), count) in STATES.iter().zip(calls) {
        metrics::gauge!("hotline_calls_by_state", "state" => *state).set(f64::from(count));
    }
    let mut agents: BTreeMap<&str, u32> = AGENT_STATES.iter().map(|state| (*state, 0)).collect();
    live.agents().iter().for_each(|agent| *agents.entry(agent_state(agent)).or_default() += 1);
    for (state, count) in agents {
        metrics::gauge!("hotline_agents", "state" => state).set(f64::from(count));
    }
    metrics::gauge!("hotline_registered_telephones").set(live.registered_count() as f64);
    live.queues().iter().for_each(|queue| tell_queue(queue, now));
}

fn tell_queue(queue: &QueueSnapshot, now: UnixMillis) {
    let name = queue.queue.to_string();
    let set = |metric: &'static str, value: f64| metrics::gauge!(metric, "queue" => name.clone()).set(value);
    set("hotline_queue_waiting", queue.waiting_count as f64);
    set("hotline_queue_ringing", queue.ringing_count as f64);
    // The snapshot is as old as the queue's last change: who waits waits on.
    let longest = queue.waiting.iter().map(|waiter| now.since(waiter.enqueued_at)).max();
    set("hotline_queue_longest_wait_seconds", longest.unwrap_or_default().as_secs_f64());
    for (state, agents) in [
        ("signed_in", queue.agents_signed_in),
        ("serving", queue.agents_serving),
        ("available", queue.agents_available),
    ] {
        metrics::gauge!("hotline_queue_agents", "queue" => name.clone(), "state" => state).set(agents as f64);
    }
    let today = &queue.today;
    for (outcome, callers) in [
        ("offered", today.offered),
        ("answered", today.answered),
        ("answered_within_sl", today.answered_within_sl),
        ("abandoned", today.abandoned),
        ("overflowed", today.overflowed),
    ] {
        metrics::gauge!("hotline_queue_today", "queue" => name.clone(), "outcome" => outcome).set(callers as f64);
    }
}

/// Messages by state: what was created is their sum, at every moment.
pub(super) fn messages(counts: &[(String, i64)]) {
    for state in ["pending", "submitted", "delivered", "failed", "uncertain"] {
        let count = counts.iter().find(|(of, _)| of == state).map_or(0, |(_, count)| *count);
        metrics::gauge!("hotline_sms_messages", "state" => state).set(count as f64);
    }
}

/// The program itself.
pub(super) fn process(process: Process) {
    metrics::gauge!("hotline_process_resident_bytes").set(process.resident as f64);
    metrics::gauge!("hotline_process_open_files").set(process.files as f64);
    metrics::gauge!("hotline_process_max_files").set(process.max_files as f64);
    metrics::gauge!("hotline_process_threads").set(process.threads as f64);
    metrics::counter!("hotline_process_cpu_milliseconds_total").absolute((process.cpu_seconds * 1e3) as u64);
}

/// What this program is, and since when it runs.
pub(super) fn build(started: UnixMillis) {
    metrics::gauge!("hotline_build_info", "version" => env!("CARGO_PKG_VERSION")).set(1.0);
    metrics::gauge!("hotline_start_time_seconds").set(started.0 as f64 / 1e3);
}

/// Room on a disk, by what it is for.
pub(super) fn disk(name: &'static str, disk: Disk) {
    metrics::gauge!("hotline_disk_free_bytes", "disk" => name).set(disk.free as f64);
    metrics::gauge!("hotline_disk_size_bytes", "disk" => name).set(disk.size as f64);
}

/// The clock's offset where the system knows it, and whether it does.
pub(super) fn clock(offset: Option<f64>) {
    metrics::gauge!("hotline_clock_synchronised").set(if offset.is_some() { 1.0 } else { 0.0 });
    metrics::gauge!("hotline_clock_offset_seconds").set(offset.unwrap_or_default());
}

/// Whether an alarm stands, and whether it is critical.
pub(super) fn alarm(code: &'static str, stands: Option<bool>) {
    let critical = stands == Some(true);
    metrics::gauge!("hotline_alarm", "alarm" => code).set(if stands.is_some() { 1.0 } else { 0.0 });
    metrics::gauge!("hotline_alarm_critical", "alarm" => code).set(if critical { 1.0 } else { 0.0 });
}

/// Tasks that have not ended: many more than connections and work under way are a leak.
pub(super) fn tasks(runtime: &tokio::runtime::Handle) {
    metrics::gauge!("hotline_tasks").set(runtime.metrics().num_alive_tasks() as f64);
}
