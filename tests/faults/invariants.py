"""The seven invariants, each with its figures on a line of its own."""
import io
import json
import time

from world import STATES
from lib import Failed, read_wav, until

CUT = 2.0
LOOK_AT = 40


class Report:
    """Prints lines and remembers whether all of them were good."""

    def __init__(self):
        self.bad = 0

    def line(self, name, holds, figures):
        self.bad += not holds
        print(f"  {'ok  ' if holds else 'FAIL'} {name} {figures}", flush=True)


def parsed(world):
    """Calls with their records."""
    rows = world.hotline.rows("SELECT id, sip_call_id, ended_at, ending, detail FROM call")
    return [(row[0], row[1], row[2], row[3], json.loads(row[4])) for row in rows]


def answered_ids(world):
    callers = world.load.callers
    ids = {f"{number}-{callers.port}@peers" for number in callers.answered}
    return ids | {leg.call_id for leg in world.load.talked if leg.answered_at} | {leg.call_id for leg in world.held if leg.answered_at}


def settled(world):
    """Waits until what is under way has reached the database: it may take 30 s after a fault."""
    wanted = len(answered_ids(world))
    try:
        until("stored", 30, lambda: world.hotline.rows("SELECT count(*) FROM call WHERE ended_at IS NOT NULL")[0][0] >= wanted, step=0.3)
    except Failed:
        # The lines below say what is missing.
        pass
    time.sleep(1)


def i1(world, report, when):
    answered = answered_ids(world)
    rows = dict(world.hotline.rows("SELECT c.sip_call_id AS sip, count(t.id) AS n FROM call c LEFT JOIN ticket t ON t.call_id = c.id "
                                   "AND t.is_primary = 1 GROUP BY c.sip_call_id"))
    wrong = [call for call in answered if rows.get(call) != 1]
    more = set(rows) - answered
    there = {row[0] for row in world.hotline.rows("SELECT text FROM message")}
    taken = {text for text, _, status in world.sender.sent if status == 201}
    report.line("I1", not wrong and not more and taken <= there,
                f"{when}: {len(answered)} answered calls, {len(wrong)} without exactly one primary ticket, {len(more)} records of calls that "
                f"nobody heard answered; {len(taken)} writes answered with success, {len(taken - there)} of them missing")


def i2(world, report):
    watch = world.watch
    report.line("I2", watch.longest <= 15 and watch.agents_seen > 0,
                f"longest that an agent was busy without a living telephone: {watch.longest:.1f} s of 15 s {watch.who}"
                f"({watch.agents_seen} looks)")


def i3(world, report, calls):
    waits = []
    for _, _, ended, _, record in calls:
        offers = [leg["started_at"] for leg in record["legs"] if leg["role"] == "agent"]
        if record.get("enqueued_at"):
            waits.append((record["queue"], record["enqueued_at"], min(offers) if offers else None, ended or 1 << 62))
    overtaken = pairs = 0
    for queue, enqueued, offered, _ in waits:
        if offered is None:
            continue
        for other, earlier, its_offer, ended in waits:
            # One that came earlier, and was still waiting when this one was offered to an agent.
            if other == queue and earlier < enqueued:
                pairs += 1
                overtaken += (its_offer is None or its_offer > offered) and ended > offered
    served = sum(1 for wait in waits if wait[2] is not None)
    report.line("I3", overtaken == 0, f"{served} of {len(waits)} who queued were offered to an agent; {overtaken} of {pairs} pairs out of the "
                "order of their first places")


def i4(world, report):
    hotline = world.hotline
    rows = hotline.rows("SELECT id, state, shortened, duration_ms, started_at FROM recording ORDER BY started_at")
    states = {}
    for _, state, shortened, *_ in rows:
        states[state] = states.get(state, 0) + 1
    touched = [row for row in rows if row[2] or any(begin - 1000 <= row[4] + row[3] and row[4] <= end for begin, end in world.faults)]
    others = [row for row in rows if row not in touched]
    looked = touched[-LOOK_AT:] + others[::max(1, len(others) // 10)]
    bad, unplayed, shortest = [], 0, None
    for ident, state, shortened, duration, started in looked:
        if state == "recording" or (state != "complete") != bool(shortened):
            bad.append(f"{ident} {state}, shortened {shortened}")
            continue
        status, _, body = hotline.ask("GET", f"/api/v1/recordings/{ident}/audio", token=world.token)
        if status != 200:
            # One that could not begin plays nothing; it must say so.
            unplayed += 1
            if not shortened or duration > CUT * 1000:
                bad.append(f"{ident} {state} of {duration} ms does not play: {status}")
            continue
        _, rate, (left, _) = read_wav(io.BytesIO(body))
        length = len(left) / rate
        if abs(length * 1000 - duration) > 1000:
            bad.append(f"{ident} {state}: {length:.1f} s play, {duration} ms are promised")
        if shortened:
            # The fault that cut it: what was before it plays but for two seconds.
            cuts = [begin - started for begin, end in world.faults if started < begin]
            if cuts and length < min(cuts) / 1000 - CUT:
                bad.append(f"{ident} plays {length:.1f} s, the fault came after {min(cuts) / 1000:.1f} s")
            shortest = length if shortest is None else min(shortest, length)
    report.line("I4", not bad and rows, f"{len(rows)} recordings: {states}; {len(looked)} played, all that the fault touched among them"
                f"{f'; {unplayed} could not begin and say so' if unplayed else ''}{'; ' + '; '.join(bad[:3]) if bad else ''}")


def i5(world, report):
    smsc, watch = world.smsc, world.watch
    states = dict(world.hotline.rows("SELECT state, count(*) FROM message GROUP BY state"))
    rows = world.hotline.rows("SELECT text, state FROM message")
    with smsc.lock:
        texts, lost, receipts = dict(smsc.texts), set(smsc.lost), sum(smsc.receipts.values())
    never = [text for text, state in rows if state in ("submitted", "delivered") and text not in texts]
    doubled = [text for text, count in texts.items() if count > 1]
    unsure = [text for text, state in rows if state == "uncertain" and text not in lost]
    total = len(rows)
    moved = int(world.metrics().get('hotline_sms_moved_total{to="delivered"}', 0)) + world.moved_before
    holds = (not watch.wrong and watch.messages_seen and not never and not doubled and not states.get("pending", 0)
             and not unsure and moved == states.get("delivered", 0) and sum(states.get(s, 0) for s in STATES) == total)
    shown = " + ".join(f"{states.get(state, 0)} {state}" for state in STATES)
    report.line("I5", holds, f"{total} messages = {shown}, at each of {watch.messages_seen} looks {'(' + watch.wrong[0] + ')' if watch.wrong else ''}; "
                f"the centre has {sum(texts.values())}, {len(doubled)} twice, {len(never)} never; {len(lost)} answers lost, {len(unsure)} uncertain "
                f"without that; {receipts} receipts made {moved} deliveries")


def i6(world, report, base, after):
    panics = world.log().count("panicked at")
    now = world.figures()
    growth = (now["memory"] / base["memory"] - 1) * 100
    same = {name: (base[name], now[name]) for name in ("sockets", "tasks", "ports", "legs")}
    level = all(new <= old + (2 if name in ("sockets", "tasks") else 0) for name, (old, new) in same.items())
    late = after >= 600
    shown = ", ".join(f"{name} {new} (before: {old})" for name, (old, new) in same.items())
    measured = (f"memory {now['memory']:.1f} MB, {growth:+.1f} % of {base['memory']:.1f} MB"
                + ("" if late else f", {after:.0f} s after the load: told, and judged after ten minutes by the long run alone"))
    report.line("I6", not panics and level and (growth <= 5 or not late) and world.hotline.process.poll() is None,
                f"{panics} panics; {shown}; {measured}")


def i7(world, report, calls):
    open_calls = [ident for ident, _, ended, ending, _ in calls if not ended or not ending]
    open_legs = [leg for *_, record in calls for leg in record["legs"] if leg["state"] != "over" or not leg["ending"]]
    legs = sum(len(record["legs"]) for *_, record in calls)
    causes = {}
    for *_, ending, _ in calls:
        causes[ending] = causes.get(ending, 0) + 1
    report.line("I7", not open_calls and not open_legs, f"{len(calls)} calls with {legs} legs; {len(open_calls)} calls and {len(open_legs)} legs "
                f"without an ending; causes: {causes}")


def all_of(world, report, base, since):
    """Every invariant after a fault, when the load is over; I1 once more after a `kill -9` and a restart."""
    settled(world)
    calls = parsed(world)
    i1(world, report, "before a restart")
    i2(world, report)
    i3(world, report, calls)
    i4(world, report)
    i5(world, report)
    i6(world, report, base, time.monotonic() - since)
    i7(world, report, calls)


def restarted(world, report):
    world.moved_before += int(world.metrics().get('hotline_sms_moved_total{to="delivered"}', 0))
    world.hotline.kill()
    world.hotline.start()
    time.sleep(1)
    i1(world, report, "after a kill -9 and a restart")
