//! The shapes of answers, written as `name:type`: `?` may be null, `-` may be absent. No further field may be there.

use serde_json::Value;

/// Fails unless an object has exactly these fields.
#[track_caller]
pub fn of(value: &Value, shape: &str) {
    let object = value.as_object().unwrap_or_else(|| panic!("no object: {value}"));
    let mut known = Vec::new();
    for field in shape.split_whitespace() {
        let (name, kind) = field.split_once(':').expect("name:type");
        known.push(name);
        match (object.get(name), kind.strip_suffix('-')) {
            (None, Some(_)) => {}
            (None, None) => panic!("{name} is missing: {value}"),
            (Some(found), optional) => assert!(fits(found, optional.unwrap_or(kind)), "{name} is no {kind}: {found}"),
        }
    }
    for name in object.keys() {
        assert!(known.contains(&name.as_str()), "{name} is not in the contract: {value}");
    }
}

fn fits(value: &Value, kind: &str) -> bool {
    if let Some(kind) = kind.strip_suffix('?') {
        return value.is_null() || fits(value, kind);
    }
    match kind {
        "string" => value.is_string(),
        "number" => value.is_number(),
        "bool" => value.is_boolean(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        "any" => true,
        "time" => value.as_str().is_some_and(is_time),
        _ => panic!("no such type: {kind}"),
    }
}

/// RFC 3339 with the centre's offset.
fn is_time(text: &str) -> bool {
    text.ends_with("+08:00") && text.parse::<jiff::Timestamp>().is_ok()
}

/// A list whose every item has this shape; its items.
#[track_caller]
pub fn list(value: &Value, shape: &str) -> Vec<Value> {
    of(value, "items:array next_cursor:string?");
    let items = value["items"].as_array().cloned().unwrap_or_default();
    for item in &items {
        of(item, shape);
    }
    items
}

pub const CALL: &str = "id:string sip_call_id:string from:string dialled:string state:string started_at:time \
    answered_at:time? queue:string? enqueued_at:time? served_at:time? queue_wait_ms:number? agent:string? \
    ended_at:time? ending:object? recording:object? ticket_no:string? legs:array three_way:array keys:string \
    variables:object overflow:string?";
pub const LEG: &str = "id:string role:string agent:string- hotline:string- name:string- state:string started_at:time \
    answered_at:time? ended_at:time? ending:object?";
pub const THREE_WAY: &str = "hotline:string at:time outcome:string joined_at:time?";
pub const AGENT: &str = "agent:string extension:string? status:string reason:string? pending_status:string? \
    state:string since:time call:string? queue:string? wrap_up_until:time? registered:bool calls_today:number \
    talk_today_ms:number";
pub const QUEUE: &str = "queue:string closing:bool waiting:array waiting_count:number ringing_count:number longest_wait_ms:number \
    estimate_ms:number? agents_signed_in:number agents_serving:number agents_available:number offered:number \
    answered:number answered_within_sl:number abandoned:number overflowed:number";
pub const TICKET: &str = "no:string version:number state:string state_zh:string class:string contact_kind:string? \
    channel:string call:string? primary:bool dialled:string? citizen:object matter:object agent:string? \
    accepted_at:time registered_at:time? due_at:time? overdue:bool redo:number urged:number merged_into:string? \
    outcome:any? assignments:array- history:array-";
pub const CITIZEN: &str = "name:string? number:string? contact:string? confidential:bool";
pub const ASSIGNMENT: &str = "id:string unit:string role:string state:string dispatched_at:time sign_due_at:time \
    signed_at:time? due_at:time replied_at:time? reply:string? accepted_at:time? redo:number overdue:bool";
pub const HISTORY: &str = "seq:number at:time by:string? role:string state:string what:any";
pub const MESSAGE: &str = "id:string ticket_no:string? purpose:string to:string text:string state:string \
    attempts:number parts:number created_at:time submitted_at:time? since:time error:string?";
pub const RECORDING: &str = "id:string call:string ticket_no:string? state:string started_at:time ended_at:time? \
    duration_ms:number shortened:bool gaps:number";
pub const UNIT: &str = "code:string name:string parent:string? kind:string active:bool";
pub const HOTLINE: &str =
    "number:string name:string mode:string unit:string? active:bool three_way:bool detail:any open:bool";
