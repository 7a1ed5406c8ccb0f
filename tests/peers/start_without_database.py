"""A start while PostgreSQL is away: callers are answered all the same, what they leave is kept, and when the database is
back nothing is missing and nothing is there twice.

Also what is refused at a start: a database that is there and must not, or cannot, be used.
"""
import io
import json
import os
import pathlib
import re
import socket
import sqlite3
import subprocess
import tempfile
import time

from lib import PROGRAM, Failed, Hotline, check, read_wav, until
from phones import Phones
from users import register

BACK = 30
AWAY = "数据库不可用"
SECRET = "kept-by-the-database"


class Manager:
    """What systemd would be told."""

    def __init__(self):
        self.path = pathlib.Path(tempfile.mkdtemp(prefix="hotline-notify-")) / "socket"
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(str(self.path))
        self.socket.setblocking(False)
        self.told = []
        os.environ["NOTIFY_SOCKET"] = str(self.path)

    def status(self):
        while True:
            try:
                self.told.extend(self.socket.recv(4096).decode().splitlines())
            except BlockingIOError:
                break
        return next((line for line in reversed(self.told) if line.startswith("STATUS=")), "")

    def close(self):
        del os.environ["NOTIFY_SOCKET"]
        self.socket.close()
        self.path.unlink()
        self.path.parent.rmdir()


def log(hotline):
    return re.sub(r"\x1b\[[0-9;]*m", "", (hotline.folder / "log").read_text())


def ready(hotline):
    status, _, text = hotline.ask("GET", "/readyz")
    return status, json.loads(text)


def refuses(what, hotline, url, wanted):
    """`hotline serve` with this database ends at once and says so."""
    path = hotline.folder / "hotline.toml"
    text = path.read_text()
    path.write_text(text.replace(hotline.postgres.url, url))
    began = time.monotonic()
    done = subprocess.run([PROGRAM, "serve", "--config", path], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                          cwd=hotline.folder, timeout=20)
    path.write_text(text)
    said = done.stdout + done.stderr
    line = next((line for line in said.splitlines() if re.search(wanted, line)), None)
    if done.returncode != 1 or line is None:
        raise Failed(f"{what}: exit code {done.returncode}, without {wanted!r}:\n{said}")
    check(f"{what}: refused after {time.monotonic() - began:.1f} s", True, line.strip()[:150])


def refusals(hotline):
    """The database answers, and is not to be used so: nothing is gained by waiting."""
    postgres = hotline.postgres
    rules = postgres.data / "pg_hba.conf"
    rules.write_text("host all guarded 127.0.0.1/32 scram-sha-256\n" + rules.read_text())
    postgres.start()
    postgres.rows("CREATE ROLE guarded LOGIN PASSWORD 'right'")
    url = postgres.url
    refuses("a wrong password", hotline, url.replace("hotline@", "guarded:wrong@"), r"database cannot be opened.*password")
    refuses("an unknown database", hotline, url.replace("/postgres", "/none"), r"database cannot be opened.*none.*does not exist")
    refuses("an unknown role", hotline, url.replace("hotline@", "stranger@"), r"database cannot be opened.*stranger")
    postgres.rows("CREATE TABLE schema_version (version BIGINT PRIMARY KEY, applied_at BIGINT NOT NULL)")
    postgres.rows("INSERT INTO schema_version VALUES (99, 0)")
    refuses("a newer schema", hotline, url, r"schema 99")
    postgres.rows("DROP TABLE schema_version")
    postgres.stop("fast")


def started_without(hotline, manager):
    """The program runs and says what it is without."""
    began = time.monotonic()
    hotline.start(answers="/healthz")
    took = time.monotonic() - began
    until("the service manager knows", 5, lambda: AWAY in manager.status())
    status, found = ready(hotline)
    check("started without the database; readyz says not ready and why", status == 503 and not found["database"]["ok"]
          and found["spool"]["ok"] and found["intake"]["ok"], f"after {took:.1f} s: {found['database']['detail'][:100]}")
    check("the service manager is told", "READY=1" in manager.told, manager.status())
    told = until("the log says so", 10, lambda: [line for line in log(hotline).splitlines() if "来电照常接听" in line])
    check("the log says so", True, told[-1].strip()[28:150])
    status, kind, _ = hotline.ask("POST", "/api/v1/sessions", {"user": "admin", "password": "sandbox-admin"})
    check("the API refuses with 503 problem+json", (status, kind) == (503, "application/problem+json"))


def served(hotline, phones, numbers):
    """Each of these citizens talks to the agent, and hangs up."""
    legs = []
    for number in numbers:
        leg = phones.dial(number)
        until("the call is answered", 10, lambda: leg.answered_at or leg.refused)
        if leg.refused:
            raise Failed(f"the call was refused: {leg.refused}")
        before = len(phones.of("agent"))
        leg.press("0")
        until("an agent answers", 20, lambda: any(agent.is_up() for agent in phones.of("agent")[before:]))
        time.sleep(2)
        phones.hang_up(leg)
        until("the call ends", 5, lambda: leg.ended_at)
        legs.append(leg)
        # The agent's time after the call.
        time.sleep(2.5)
    check("callers are answered and served", True, len(legs))
    return legs


def registered(hotline):
    phones = Phones(hotline)
    phones.start()
    phones.register(["8001"])
    until("the agent registers", 10, lambda: phones.registered() == 1)
    return phones


def all_there(hotline, legs, came_back):
    """Each call has its one ticket and its recording, which plays."""
    until("ready", BACK, lambda: ready(hotline)[0] == 200)
    took = time.monotonic() - came_back
    calls = ", ".join(f"'{leg.call_id}'" for leg in legs)
    until("every call is there", BACK - took, lambda: hotline.rows(
        f"SELECT count(*) FROM call WHERE ended_at IS NOT NULL AND sip_call_id IN ({calls})")[0][0] == len(legs))
    check("the database is back: ready, and every call is there", True, f"after {took:.1f} and {time.monotonic() - came_back:.1f} s")
    tickets = dict(hotline.rows("SELECT c.sip_call_id AS sip, count(t.id) AS n FROM call c LEFT JOIN ticket t ON t.call_id = c.id AND "
                                f"t.is_primary = 1 WHERE c.sip_call_id IN ({calls}) GROUP BY c.sip_call_id"))
    check("one primary ticket each", len(tickets) == len(legs) and set(tickets.values()) == {1}, len(tickets))
    numbers = [row[0] for row in hotline.rows("SELECT no FROM ticket")]
    check("no ticket number twice, none that had to be changed", len(numbers) == len(set(numbers))
          and "ticket number was taken" not in log(hotline), len(numbers))
    def closed():
        return hotline.rows(f"SELECT r.id AS id, r.state AS state, r.duration_ms AS ms FROM recording r JOIN call c ON c.id = r.call_id "
                            f"WHERE r.state <> 'recording' AND c.sip_call_id IN ({calls})")
    until("the recordings are there and closed", 30, lambda: len(closed()) == len(legs))
    token = hotline.sign_in()
    lengths = []
    for ident, state, duration in closed():
        _, rate, (left, _) = read_wav(io.BytesIO(hotline.api("GET", f"/recordings/{ident}/audio", token=token, raw=True)))
        lengths.append(round(len(left) / rate, 1))
        if state == "missing" or abs(len(left) / rate * 1000 - duration) > 1000:
            raise Failed(f"recording {ident} is {state}: {len(left) / rate} s of {duration} ms")
    check("their recordings are there, closed, and play", True, f"{lengths} s")


def story(hotline, manager):
    postgres = hotline.postgres
    refusals(hotline)

    print("the very first start")
    started_without(hotline, manager)
    phones = registered(hotline)
    legs = served(hotline, phones, ["13800000001", "13800000002"])
    print("killed, and started again without the database")
    hotline.kill()
    started_without(hotline, manager)
    legs += served(hotline, phones, ["13800000003"])
    postgres.start()
    all_there(hotline, legs, time.monotonic())
    until("the service manager knows", 5, lambda: manager.status() == "STATUS=接新来电")
    check("the service manager is told", True, manager.status())

    print("a later start: ticket numbers were put by")
    code, said = hotline.command("user", "add", "8121", "--role", "agent", "--password-stdin", said=SECRET + "\n")
    check("the database keeps an agent", code == 0, said.strip().splitlines()[-1])
    hotline.stop()
    hotline.start()
    until("the footing is noted", 10, lambda: footing(hotline).get("numbers") and footing(hotline)["staff"])
    check("no hash of a password for signing in is in it", "argon2" not in json.dumps(footing(hotline)))
    hotline.stop()
    postgres.stop("fast")
    put_by = footing(hotline)["numbers"]
    started_without(hotline, manager)
    check("its numbers are this start's alone", footing(hotline)["numbers"] is None, put_by)
    answers = [register(hotline, "8121", secret, "SHA-256") for secret in (SECRET, "another-password")]
    check("the telephone of the agent whom the database keeps registers, with its password alone", answers == [200, 401], answers)
    later = served(hotline, phones, ["13800000004"])
    postgres.start()
    all_there(hotline, legs + later, time.monotonic())
    number = hotline.rows(f"SELECT t.no AS no FROM ticket t JOIN call c ON c.id = t.call_id WHERE c.sip_call_id = '{later[0].call_id}'")[0][0]
    check("the ticket has one of them", put_by["next"] <= int(number[8:14]) < put_by["end"], number)

    print("it takes connections and says nothing")
    hotline.stop()
    postgres.freeze()
    try:
        started_without(hotline, manager)
        later += served(hotline, phones, ["13800000006"])
    finally:
        postgres.thaw()
    all_there(hotline, legs + later, time.monotonic())

    print("what comes back must not be used")
    hotline.stop()
    postgres.rows("INSERT INTO schema_version VALUES (99, 0)")
    postgres.stop("fast")
    started_without(hotline, manager)
    before = len(legs + later)
    postgres.start()
    until("readyz says why", 15, lambda: "schema 99" in ready(hotline)[1]["database"]["detail"])
    last = served(hotline, phones, ["13800000005"])
    check("a newer schema: told, calls go on, nothing is written", postgres.number("SELECT count(*) FROM call") == before
          and ready(hotline)[0] == 503, ready(hotline)[1]["database"]["detail"][:110])
    postgres.rows("DELETE FROM schema_version WHERE version = 99")
    all_there(hotline, legs + later + last, time.monotonic())
    phones.stop()


def footing(hotline):
    """What the spool holds of it."""
    with sqlite3.connect(f"file:{hotline.folder}/data/spool/spool.db?mode=ro", uri=True, timeout=10) as db:
        rows = db.execute("SELECT body FROM footing").fetchall()
    return json.loads(rows[0][0]) if rows else {}


def main():
    print("a start while PostgreSQL is away")
    hotline, manager = Hotline(numbers="8001-8002", database="postgres"), Manager()
    kind = Failed
    try:
        story(hotline, manager)
        kind = None
    finally:
        manager.close()
        hotline.__exit__(kind)


if __name__ == "__main__":
    main()
