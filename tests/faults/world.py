"""One centre under test with all that surrounds it: callers, agents, an SMS centre, and a watch on what must always hold."""
import json
import pathlib
import re
import sys
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "peers"))

from database import Load, Sender  # noqa: E402
from lib import Failed, Hotline, free_ports, until  # noqa: E402
from smsc import Smsc  # noqa: E402

AGENTS = [str(8001 + n) for n in range(10)]
SETTINGS = """[sms]
host = "127.0.0.1"
port = {port}
system_id = "hotline"
password = "secret"
source = "106312345"
window = 10
[sms.retry]
first_delay = "1s"
max_delay = "4s"
"""
BUSY = ("ringing", "talking", "holding", "consulting", "conferencing")
STATES = ("pending", "submitted", "delivered", "failed", "uncertain")


class Watch(threading.Thread):
    """Looks all the time at what must hold at every moment."""

    def __init__(self, world):
        super().__init__(daemon=True)
        self.world, self.going = world, True
        self.agents_seen = self.messages_seen = 0
        self.since, self.longest, self.who = {}, 0.0, ""
        self.wrong = []

    def run(self):
        while self.going:
            time.sleep(0.25)
            for look in (self.agents, self.messages):
                try:
                    look()
                except (Failed, OSError, ValueError):
                    # What is away cannot be looked at; figures say how often it was looked.
                    pass

    def agents(self):
        """How long an agent has been busy without a living telephone (I2)."""
        world = self.world
        items = world.hotline.api("GET", "/agents", token=world.token)["items"]
        self.agents_seen += 1
        now = time.monotonic()
        # The telephone's side is looked at after the answer: one that ended meanwhile is no fault yet.
        up = {leg.number for leg in world.load.phones.of("agent") if leg.is_up() or leg.answered_at is None and leg.ended_at is None}
        for agent in items:
            number = agent["agent"]
            if agent["state"] in BUSY and number not in up:
                began = self.since.setdefault(number, now)
                if now - began > self.longest:
                    self.longest, self.who = now - began, f"{number} {agent['state']}"
            else:
                self.since.pop(number, None)

    def messages(self):
        """Every message is in one of the five states (I5)."""
        sent = self.world.sender.sent
        least = sum(1 for one in list(sent) if one[2] == 201)
        states = dict(self.world.hotline.rows("SELECT state, count(*) FROM message GROUP BY state"))
        # Those that were asked for meanwhile: one may be there whose answer is still under way or was lost.
        most = len(list(sent)) + 1
        self.messages_seen += 1
        known = sum(states.get(state, 0) for state in STATES)
        if set(states) - set(STATES) or not least <= known <= most:
            self.wrong.append(f"{least} taken, {known} of {sum(states.values())} in the five states")

    def stop(self):
        self.going = False
        self.join(40)


class World:
    """`database` is `sqlite` or `postgres`; `rate` calls come a second."""

    def __init__(self, database, rate):
        self.smsc = Smsc(free_ports(1)[0])
        self.hotline = Hotline(numbers="8001-8010", more=SETTINGS.format(port=self.smsc.port), database=database)
        self.rate, self.load, self.sender, self.watch, self.token = rate, None, None, None, None
        # Moments of faults in wall time: (began, ended); calls that are held through a fault; the tmpfs of a full disk;
        # deliveries that were counted before a restart.
        self.faults, self.held, self.disk, self.moved_before = [], [], None, 0

    def open(self):
        self.smsc.open()
        self.hotline.__enter__()
        self.token = self.hotline.sign_in()
        self.load = Load(self.hotline, self.rate)
        self.load.coming = False
        phones = self.load.phones
        phones.start()
        phones.register(AGENTS)
        until("the agents register", 10, lambda: phones.registered() == len(AGENTS))
        until("the SMS centre is bound", 10, lambda: self.ready()["sms"]["ok"])
        self.load.start()
        self.sender = Sender(self.hotline, self.token)
        self.watch = Watch(self)

    def close(self, good):
        if self.watch and self.watch.is_alive():
            self.watch.stop()
        if self.sender and self.sender.is_alive():
            self.sender.stop()
        if self.load:
            self.load.stop()
        self.smsc.close()
        self.hotline.__exit__(None if good else Failed)

    def ready(self):
        return json.loads(self.hotline.ask("GET", "/readyz")[2])

    def warm_up(self, seconds, calm):
        """Calls and messages, so that what is kept for good is there; after some calm the figures that it must come back to."""
        self.load.coming = True
        self.sender.start()
        time.sleep(seconds)
        self.sender.paused = True
        self.quiet()
        self.all_sent()
        time.sleep(calm)
        return self.figures()

    def all_sent(self, within=60):
        until("the SMS centre has everything", within, lambda: not self.smsc.waiting and self.hotline.rows(
            "SELECT count(*) FROM message WHERE state IN ('pending', 'submitted')")[0][0] == 0, step=0.3)

    def quiet(self):
        """Nobody calls any more, and the last calls are over."""
        self.load.coming = False
        until("the last calls end", 60, self.load.over)
        until("the agents are idle", 30, lambda: all(
            agent["state"] == "idle" for agent in self.hotline.api("GET", "/agents", token=self.token)["items"]))

    def begin(self):
        self.load.coming = True
        self.sender.paused = False
        self.watch.start()

    def metrics(self):
        text = self.hotline.ask("GET", "/metrics")[2].decode()
        return {name: float(value) for name, value in re.findall(r"^(hotline_\w+(?:\{[^}]*\})?) ([-\d.e+]+)$", text, re.M)}

    def figures(self):
        """What must come back to where it was: memory, sockets, threads, tasks, RTP ports."""
        process = pathlib.Path(f"/proc/{self.hotline.process.pid}")
        status = (process / "status").read_text()
        sockets = 0
        for link in (process / "fd").iterdir():
            try:
                sockets += str(link.readlink()).startswith("socket:")
            except OSError:
                pass
        metrics = self.metrics()
        return {
            "memory": int(re.search(r"VmRSS:\s+(\d+)", status)[1]) / 1024,
            "sockets": sockets,
            "threads": int(re.search(r"Threads:\s+(\d+)", status)[1]),
            "tasks": int(metrics["hotline_tasks"]),
            "ports": int(metrics["hotline_rtp_ports"] - metrics["hotline_rtp_ports_free"]),
            "legs": int(metrics["hotline_media_legs"]),
        }

    def log(self):
        return re.sub(r"\x1b\[[0-9;]*m", "", (self.hotline.folder / "log").read_text(errors="replace"))
