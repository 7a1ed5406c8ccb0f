"""`kill -9` of a busy centre, and its restart: what was promised to those who talked, waited and were asked is kept.

    crash.py [--talking 50] [--waiting 20] [--ivr 5] [--three-way 3]

Citizens, agents and departments are telephones of the test's own, with sound. After the kill the data are the only thing
that the new run knows of them.
"""
import argparse
import io
import json
import time
from datetime import datetime

from lib import Failed, Hotline, check, read_wav, until
from phones import Phones

BYE_WITHIN = 32
ANSWER_WITHIN = 5
CUT = 2.0


def millis(text):
    return round(datetime.fromisoformat(text).timestamp() * 1000)


def calls(hotline, token, state="live"):
    """Calls in a state by their SIP Call-ID."""
    return {call["sip_call_id"]: call for call in hotline.api("GET", f"/calls?state={state}&limit=500", token=token)["items"]}


def all_in(hotline, token, legs, states):
    live = calls(hotline, token)
    return all(live.get(leg.call_id, {}).get("state") in states for leg in legs) and live


def fill(hotline, phones, token, options):
    """Brings the centre to where it is killed."""
    agents = [str(8001 + n) for n in range(options.talking + options.three_way)]
    phones.register(agents)
    until("the agents register", 15, lambda: phones.registered() == len(agents))
    talking = []
    for n in range(len(agents)):
        talking.append(phones.dial(f"138{n:08d}"))
        time.sleep(0.02)
    until("they are answered", 10, lambda: all(leg.answered_at for leg in talking))
    for leg in talking:
        leg.press("0")
        time.sleep(0.03)
    until("they talk to agents", 20, lambda: all_in(hotline, token, talking, ("talking",)), step=0.3)
    waiting = []
    for n in range(options.waiting):
        waiting.append(phones.dial(f"139{n:08d}"))
        until("a caller is answered", 5, lambda: waiting[-1].answered_at, step=0.01)
        time.sleep(0.05)
        waiting[-1].press("0")
    until("they wait", 10, lambda: all_in(hotline, token, waiting, ("queued",)), step=0.2)
    three = talking[:options.three_way]
    live = calls(hotline, token)
    for leg in three:
        hotline.api("POST", f"/calls/{live[leg.call_id]['id']}/three-way", {"hotline": "12330"}, token)
    until("the departments are joined", 10, lambda: all_in(hotline, token, three, ("three_way",)), step=0.2)
    time.sleep(3)
    asked = [phones.dial(f"137{n:08d}") for n in range(options.ivr)]
    live = until("they are in the flow", 5, lambda: all_in(hotline, token, asked, ("ivr",)), step=0.05)
    return talking, three, waiting, asked, live


def story(hotline, phones, options):
    token = hotline.sign_in()
    talking, three, waiting, asked, before = fill(hotline, phones, token, options)
    states = [call["state"] for call in before.values()]
    print("       before the kill: " + ", ".join(f"{states.count(state)} {state}" for state in sorted(set(states))), flush=True)
    old = [leg for leg in list(phones.legs.values()) if leg.is_up()]
    kinds = {kind: sum(1 for leg in old if leg.kind == kind) for kind in ("citizen", "agent", "department")}
    check("legs up before the kill", kinds == {
        "citizen": len(before), "agent": len(talking), "department": len(three)}, kinds)

    killed_wall, killed = time.time(), time.monotonic()
    hotline.kill()
    hotline.start()
    restarted = time.monotonic()
    new = phones.dial("13600000001")
    until("a new call is answered", ANSWER_WITHIN, lambda: new.answered_at, step=0.005)
    check(f"new calls are answered within {ANSWER_WITHIN} s of the restart", True,
          f"ready {restarted - killed:.2f} s after the kill, answered {new.answered_at - restarted:.3f} s after that")

    legs_end(old, killed)
    token = hotline.sign_in()
    agents = hotline.api("GET", "/agents", token=token)["items"]
    busy = [agent["agent"] for agent in agents if agent["state"] != "idle" or agent["call"]]
    check("agents left in a call (I2)", not busy, busy or 0)

    ids = {call["id"]: call for call in before.values()}
    until("the old calls are closed", 25, lambda: hotline.rows(
        "SELECT count(*) FROM call WHERE ended_at IS NULL")[0][0] <= 1, step=0.2)
    tickets(hotline, phones, new)
    endings(hotline, ids, talking, waiting, asked)
    callbacks(hotline, waiting, before)
    recordings(hotline, token, talking, before, killed_wall)
    shifts(hotline, len(talking), killed_wall)
    phones.hang_up(new)
    until("the new call ends", 5, lambda: new.ended_at)
    work_goes_on(hotline, phones, token)


def legs_end(old, killed):
    try:
        until("BYE", BYE_WITHIN - (time.monotonic() - killed), lambda: all(leg.ended_at for leg in old))
    except Failed:
        pass
    left = [f"{leg.kind} {leg.number}" for leg in old if not leg.ended_at]
    check(f"old legs without a BYE within {BYE_WITHIN} s", not left, left[:5] or 0)
    for kind in ("citizen", "agent", "department"):
        ends = sorted(leg.ended_at - killed for leg in old if leg.kind == kind)
        if ends:
            print(f"       {kind}s' BYE after the kill: first {ends[0]:.2f} s, last {ends[-1]:.2f} s", flush=True)
    faults = [fault for leg in old for fault in leg.faults]
    check("BYEs that a strict telephone would refuse", not faults, faults[:5] or 0)
    check("BYEs say why", all(leg.reason for leg in old), old[0].reason)


def tickets(hotline, phones, new):
    answered = [leg for leg in phones.of("citizen") if leg.answered_at]
    rows = dict(hotline.rows("SELECT c.sip_call_id, count(t.id) FROM call c LEFT JOIN ticket t ON t.call_id = c.id AND "
                             "t.is_primary = 1 GROUP BY c.sip_call_id"))
    until("the new call is stored", 5, lambda: hotline.rows(
        f"SELECT count(*) FROM ticket t JOIN call c ON c.id = t.call_id WHERE c.sip_call_id = '{new.call_id}'")[0][0])
    rows.setdefault(new.call_id, 1)
    wrong = [leg.number for leg in answered if rows.get(leg.call_id) != 1]
    check("answered calls have exactly one primary ticket (I1)", not wrong, wrong or len(answered))
    check("no ticket belongs to no call", hotline.rows(
        "SELECT count(*) FROM ticket t WHERE NOT EXISTS (SELECT 1 FROM call c WHERE c.id = t.call_id)")[0][0] == 0)


def endings(hotline, ids, talking, waiting, asked):
    rows = {str(row[0]): row for row in hotline.rows("SELECT id, state, ended_at, ending, detail, sip_call_id FROM call")}
    missing = [ident for ident in ids if ident not in rows]
    check("old calls without a record", not missing, missing or 0)
    causes = []
    for ident in ids:
        _, state, ended_at, ending, detail, _ = rows[ident]
        record = json.loads(detail)
        causes.append((state, ending, record["ending"]["whose"], record["ending"]["q850"], bool(ended_at)))
        open_legs = [leg for leg in record["legs"] if leg["state"] != "over" or not leg["ending"]]
        if open_legs:
            raise Failed(f"call {ident} has legs without an ending: {open_legs}")
    check("old calls end with a cause, each leg too (I7)", set(causes) == {("ended", "lost", "us", 41, True)},
          f"{len(causes)} × lost by us, Q.850 41" if len(set(causes)) == 1 else sorted(set(causes)))
    by_leg = {row[5]: json.loads(row[4]) for row in rows.values()}
    served = sum(1 for leg in talking if by_leg[leg.call_id]["served_at"])
    unserved = sum(1 for leg in waiting + asked if not by_leg[leg.call_id]["served_at"])
    check("records tell those who were served from those who were not",
          (served, unserved) == (len(talking), len(waiting) + len(asked)), f"{served} served, {unserved} not")


def callbacks(hotline, waiting, before):
    rows = hotline.rows("SELECT k.call_id, k.number, k.enqueued_at, k.reason, k.state, c.sip_call_id FROM callback k "
                        "JOIN call c ON c.id = k.call_id ORDER BY k.enqueued_at, k.id")
    check("callbacks owed: one to each who waited, to nobody else", [row[5] for row in rows] == [leg.call_id for leg in waiting],
          f"{len(rows)} of {len(waiting)}, in the order of their places")
    ranks = [(row[2], row[1]) for row in rows]
    check("their rank is their first place in the queue", ranks == [
        (millis(before[leg.call_id]["enqueued_at"]), leg.number) for leg in waiting])
    check("their reason", {(row[3], row[4]) for row in rows} == {("restart", "owed")}, "restart, owed")


def recordings(hotline, token, talking, before, killed):
    wanted = {before[leg.call_id]["id"] for leg in talking}
    def listed():
        rows = [row for row in hotline.api("GET", "/recordings?limit=500", token=token)["items"] if row["call"] in wanted]
        return rows if len(rows) == len(wanted) and all(row["state"] != "recording" for row in rows) else None
    rows = until("the recordings are closed", 20, listed, step=0.3)
    states = {(row["state"], row["shortened"]) for row in rows}
    check("recordings of those who talked are marked as shortened", states == {("shortened", True)}, f"{len(rows)}")
    cuts = []
    for row in rows:
        channels, rate, (left, right) = read_wav(io.BytesIO(
            hotline.api("GET", f"/recordings/{row['id']}/audio", token=token, raw=True)))
        lasted = killed - datetime.fromisoformat(row["started_at"]).timestamp()
        cuts.append(lasted - len(left) / rate)
        last = [abs(sample) for side in (left, right) for sample in side[-rate // 2:]]
        if (channels, rate) != (2, 8000) or max(last) < 1000:
            raise Failed(f"recording {row['id']}: {channels} channels, {rate} Hz, loudest at its end {max(last)}")
    check(f"they play to within {CUT} s of the kill", max(cuts) <= CUT and min(cuts) > -0.5,
          f"{min(cuts):.2f} to {max(cuts):.2f} s before it, sound on both sides to the end")


def shifts(hotline, agents, killed_wall):
    """The log of the agents does not have them talk on while the program was gone; their telephones may be back since."""
    rows = hotline.rows(f"SELECT agent, status, reason FROM agent_log WHERE at >= {int(killed_wall * 1000)} ORDER BY at, id")
    first = {}
    for agent, *row in rows:
        first.setdefault(agent, tuple(row))
    check("the agents' log ends their shift", set(first.values()) == {("logged_out", "restart")} and len(first) == agents, len(first))


def work_goes_on(hotline, phones, token):
    """The telephones are remembered: an agent has the next caller without registering again."""
    leg = phones.dial("13600000002")
    until("the call is answered", 5, lambda: leg.answered_at)
    leg.press("0")
    found = until("the agent answers", 10, lambda: all_in(hotline, token, [leg], ("talking",)))
    agent = found[leg.call_id]["agent"]
    check("an agent whose telephone is remembered has the next caller", agent in phones.registrations, agent)
    phones.hang_up(leg)
    until("it ends", 5, lambda: leg.ended_at and not calls(hotline, token).get(leg.call_id, {}).get("state") == "talking")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--talking", type=int, default=50)
    parser.add_argument("--waiting", type=int, default=20)
    parser.add_argument("--ivr", type=int, default=5)
    parser.add_argument("--three-way", type=int, default=3)
    options = parser.parse_args()
    print(f"kill -9: {options.talking + options.three_way} talk, {options.three_way} of them three-way, {options.waiting} wait, "
          f"{options.ivr} in the flow")
    with Hotline(numbers="8001-8200") as hotline:
        phones = Phones(hotline)
        phones.start()
        try:
            story(hotline, phones, options)
        finally:
            phones.stop()


if __name__ == "__main__":
    main()
