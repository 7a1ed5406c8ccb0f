"""The faults, each under load."""
import subprocess
import time

from world import World
from database import away, back
from invariants import all_of, restarted
from lib import check, until

DISK = "192m"
RECOVERED = 30
# How long calls and messages come before the fault in the long run, in seconds: at least as long as after it, and until the
# ten thousand events that a browser may resume from are there. What memory is held against comes after that.
BEFORE = {"database": 480, "sms": 560, "disk": 480}
# By then the last transactions of that load are forgotten (RFC 3261 timers B, F, H: 32 s).
CALM = 45


def wall():
    return int(time.time() * 1000)


def opened(fault, options, open_worlds, prepare=None):
    """A centre under load, and what it must come back to."""
    database = "postgres" if fault == "database" else "sqlite"
    world = World(database, options.rate)
    open_worlds.append((world, None, 0))
    if prepare:
        prepare(world)
    world.open()
    base = world.warm_up(BEFORE[fault], CALM) if options.long else world.warm_up(4, 2)
    print("  before: " + ", ".join(f"{name} {value:.1f}" if name == "memory" else f"{name} {value}" for name, value in base.items()), flush=True)
    world.begin()
    time.sleep(4)
    return world, base


def hold_calls(world, count):
    """Calls that go on through the fault, with agents."""
    for n in range(count):
        leg = world.load.phones.dial(f"135{len(world.held):08d}")
        until("a held call is answered", 10, lambda: leg.answered_at)
        leg.press("0")
        world.held.append(leg)
    calls = {}
    def talking():
        live = {call["sip_call_id"]: call for call in world.hotline.api("GET", "/calls?state=live&limit=500", token=world.token)["items"]}
        calls.update(live)
        return all(live.get(leg.call_id, {}).get("state") == "talking" for leg in world.held)
    until("the held calls talk to agents", 40, talking)
    numbers = {calls[leg.call_id]["agent"] for leg in world.held}
    agents = [leg for leg in world.load.phones.of("agent") if leg.is_up() and leg.number in numbers]
    for leg in [*world.held, *agents]:
        leg.listening = True
    time.sleep(0.5)
    return [*world.held, *agents]


def over(world, options, report, base, open_worlds):
    """The load ends; every invariant."""
    world.sender.stop()
    world.quiet()
    ended = time.monotonic()
    # What five minutes without the centre have left goes out one by one.
    world.all_sent(900 if options.long else 60)
    world.watch.stop()
    all_of(world, report, base, ended)
    open_worlds[-1] = (world, base, ended)
    return ended


def database_and_sms(options, wanted, report, open_worlds):
    """PostgreSQL is killed and comes back; and the SMS centre has a bad day."""
    for name, fault in (("database", killed_database), ("sms", bad_sms_day)):
        if name in wanted:
            print(f"{fault.__doc__} ({options.rate} calls/s)", flush=True)
            world, base = opened(name, options, open_worlds)
            fault(world, options)
            over(world, options, report, base, open_worlds)
            if not options.long:
                restarted(world, report)


def killed_database(world, options):
    """kill -9 of PostgreSQL, and its return"""
    seconds = 60 if options.long else 12
    world.postgres = world.hotline.postgres
    began = wall()
    world.postgres.kill()
    away(world.hotline, world.token, world.load, seconds, f"killed, for {seconds} s")
    since = time.monotonic()
    world.postgres.start()
    back(world.hotline, world.postgres, world.load, "killed", since)
    world.faults.append((began, wall()))
    time.sleep(2)


def bad_sms_day(world, options):
    """the SMS centre stopped, reset, slow, with receipts twice and early"""
    smsc, part = world.smsc, 60 if options.long else 4
    smsc.close()
    time.sleep(300 if options.long else 8)
    ready = world.ready()
    check("stopped: readyz says so, and the node stays in", ready["ready"] and not ready["sms"]["ok"], ready["sms"]["detail"])
    smsc.open()
    until("bound again", 60, lambda: world.ready()["sms"]["ok"])
    with smsc.lock:
        smsc.reset_each = 25
    time.sleep(part)
    with smsc.lock:
        smsc.reset_each = 0
    until("bound again", 60, lambda: world.ready()["sms"]["ok"])
    check("reset in the middle of submissions", smsc.resets > 0, f"{smsc.resets} times, {len(smsc.lost)} answers lost")
    smsc.delay = 2.0
    time.sleep(part)
    smsc.delay = 0.0
    smsc.twice = True
    time.sleep(part)
    smsc.twice, smsc.early = False, True
    time.sleep(part)
    smsc.early = False
    time.sleep(2)


# ---- the disk

def small_disk(world):
    """Its data folder on a tmpfs of the test's own."""
    data = world.hotline.folder / "data"
    data.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK},mode=0700", "tmpfs", data], check=True)
    world.disk = data


def give_disk_back(world):
    if world.disk:
        subprocess.run(["umount", "--lazy", world.disk], check=False)


class Filler:
    """Fills a disk to the brim, and keeps it full."""

    def __init__(self, folder):
        self.path = folder / "filler"
        self.file = open(self.path, "ab", buffering=0)

    def fill(self):
        for block in (1 << 20, 1 << 12, 1 << 8, 1):
            while True:
                try:
                    self.file.write(b"\0" * block)
                except OSError:
                    break

    def free(self):
        self.file.close()
        self.path.unlink()


def disk(options, wanted, report, open_worlds):
    """The disk is full: no new calls, those in progress go on, recordings stop with an alarm; freed, all recovers by itself."""
    if "disk" not in wanted:
        return
    print(f"the disk full, and freed ({options.rate} calls/s)", flush=True)
    world, base = opened("disk", options, open_worlds, small_disk)
    phones = hold_calls(world, 3)
    before = world.metrics()
    refused, answered = world.load.refused(), world.load.answered()
    heard = [leg.heard for leg in phones]
    began, began_mono = wall(), time.monotonic()
    filler = Filler(world.disk)
    until_at = began_mono + (60 if options.long else 12)
    told = ""
    while time.monotonic() < until_at:
        filler.fill()
        ready = world.ready()
        if not ready["spool"]["ok"]:
            told = told or ready["spool"]["detail"]
        time.sleep(0.2)
    seconds = time.monotonic() - began_mono
    report.line("    ", bool(told), f"full for {seconds:.0f} s: readyz says {told[:90]!r}")
    gone = world.load.refused() - refused
    statuses = {}
    for status in list(world.load.callers.refused.values()):
        statuses[status] = statuses.get(status, 0) + 1
    report.line("    ", gone > 0 and set(statuses) == {503}, f"{gone} new calls refused with {statuses}, {world.load.answered() - answered} whose record the "
                "disk still took answered")
    least = min((leg.heard - was) / seconds for leg, was in zip(phones, heard))
    report.line("    ", all(leg.is_up() for leg in phones) and least > 40,
                f"{len(world.held)} calls in progress go on: {least:.0f} packets a second or more at each of their {len(phones)} telephones")
    now = world.metrics()
    failed = now.get("hotline_recordings_failed_total", 0) - before.get("hotline_recordings_failed_total", 0)
    report.line("    ", failed > 0 and "a recording cannot" in world.log(), f"{failed:.0f} recordings stopped, counted and told")
    filler.free()
    freed = time.monotonic()
    until("ready again", RECOVERED, lambda: world.hotline.ask("GET", "/readyz")[0] == 200)
    ready_after = time.monotonic() - freed
    was = world.load.answered()
    until("calls are answered again", RECOVERED, lambda: world.load.answered() > was + 5)
    world.faults.append((began, wall()))
    report.line("    ", True, f"freed: ready after {ready_after:.1f} s, calls answered after {time.monotonic() - freed:.1f} s")
    time.sleep(5)
    for leg in world.held:
        world.load.phones.hang_up(leg)
    until("the held calls end", 10, lambda: all(leg.ended_at for leg in world.held))
    over(world, options, report, base, open_worlds)
    if not options.long:
        restarted(world, report)
