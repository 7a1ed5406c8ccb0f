//! Counters that the rooms below keep by themselves, told as metrics once a second.

use crate::{net::rtp::MediaPool, sip::endpoint::Counters, store::Spool};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// SIP messages by method, and what became of them.
pub(super) fn sip(counters: Counters) {
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
    metrics::counter!("hotline_sip_responses_total").absolute(counters.responses);
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
    metrics::counter!("hotline_spool_dropped_total").absolute(spool.dropped());
}

/// Tasks that have not ended: many more than connections and work under way are a leak.
pub(super) fn tasks(runtime: &tokio::runtime::Handle) {
    metrics::gauge!("hotline_tasks").set(runtime.metrics().num_alive_tasks() as f64);
}
