"""The end of a run, in order: what systemd is told, and what becomes of those on the line.

SIGTERM while one citizen talks and one waits: a new INVITE gets 503 with Retry-After, readyz says no, the talk goes on, who
waits still gets an agent, and the program ends by itself with 0 when the last has hung up. A second SIGTERM ends at once: BYE
to all, and everybody's call and ticket are there; who waited is owed a callback.
"""
import os
import signal
import socket
import sys
import time

from lib import Failed, Hotline, check, until
from phones import Phones


class Watched(Hotline):
    """The program with a service manager: a socket that keeps what it is told."""

    def __init__(self, **more):
        super().__init__(**more)
        path = str(self.folder / "notify")
        self.told = []
        self.manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.manager.bind(path)
        self.manager.setblocking(False)
        self.env = {"NOTIFY_SOCKET": path, "WATCHDOG_USEC": "1000000"}

    def start(self):
        os.environ.update(self.env)
        try:
            super().start()
        finally:
            for name in self.env:
                del os.environ[name]

    def hears(self, word):
        while True:
            try:
                self.told.extend(self.manager.recv(4096).decode().splitlines())
            except BlockingIOError:
                break
        return word in self.told

    def count(self, word):
        self.hears(word)
        return self.told.count(word)


def calls(hotline, token):
    return {c["sip_call_id"]: c for c in hotline.api("GET", "/calls?limit=100", token=token)["items"]}


def busy(hotline, token, phones):
    """8001 talks, one citizen waits."""
    phones.start()
    phones.register(["8001"])
    until("8001 registers", 10, lambda: phones.registered() == 1)
    talking = phones.dial("13900000001")
    until("it is answered", 10, lambda: talking.answered_at)
    talking.press("0")
    until("it talks", 15, lambda: calls(hotline, token)[talking.call_id]["state"] == "talking")
    waiting = phones.dial("13900000002")
    until("the second is answered", 10, lambda: waiting.answered_at)
    waiting.press("0")
    until("it waits", 15, lambda: calls(hotline, token)[waiting.call_id]["state"] == "queued")
    return talking, waiting


def notified():
    print("what the service manager is told")
    with Watched() as hotline:
        until("READY=1", 10, lambda: hotline.hears("READY=1"))
        check("READY=1 once the ports are open", hotline.ask("GET", "/readyz")[0] == 200)
        until("signs of life", 5, lambda: hotline.count("WATCHDOG=1") >= 3)
        check("WATCHDOG=1 while the switch answers", True)
        hotline.process.send_signal(signal.SIGHUP)
        until("RELOADING=1, READY=1", 10, lambda: hotline.hears("RELOADING=1") and hotline.count("READY=1") == 2)
        check("RELOADING=1, then READY=1 on SIGHUP", hotline.told.index("RELOADING=1") < len(hotline.told) - 1 - hotline.told[::-1].index("READY=1"))
        hotline.process.terminate()
        check("it ends with 0", hotline.process.wait(15) == 0)
        check("STOPPING=1 on SIGTERM", hotline.hears("STOPPING=1"))
    with Watched() as hotline:
        until("READY=1", 10, lambda: hotline.hears("READY=1"))
        seen = hotline.count("WATCHDOG=1")
        hotline.process.send_signal(signal.SIGSTOP)
        seen = hotline.count("WATCHDOG=1")
        time.sleep(1.5)
        check("a program that hangs gives no sign of life", hotline.count("WATCHDOG=1") == seen)
        hotline.process.send_signal(signal.SIGCONT)
        until("it lives again", 5, lambda: hotline.count("WATCHDOG=1") > seen)


def drained():
    print("SIGTERM during calls")
    with Watched() as hotline:
        token = hotline.sign_in()
        phones = Phones(hotline)
        try:
            talking, waiting = busy(hotline, token, phones)
            hotline.process.terminate()
            until("readyz says no", 5, lambda: hotline.ask("GET", "/readyz")[0] == 503)
            check("readyz says no, and why", "不接新来电" in hotline.ask("GET", "/readyz")[2].decode())
            refused = phones.dial("13900000003")
            until("a new call is refused", 5, lambda: refused.refused)
            check("a new call gets 503 with Retry-After", (refused.refused, refused.retry_after) == (503, "10"),
                  (refused.refused, refused.retry_after))
            time.sleep(2)
            check("the talk goes on, and who waits waits on", talking.is_up() and waiting.is_up() and hotline.process.poll() is None)
            until("the time is extended", 15, lambda: hotline.hears("") or any(word.startswith("EXTEND_TIMEOUT_USEC=") for word in hotline.told))
            phones.hang_up(talking)
            until("the one who waited gets the agent", 20, lambda: calls(hotline, token)[waiting.call_id]["state"] == "talking")
            check("who waited is served during the drain", True)
            phones.hang_up(waiting)
            check("with the last call it ends by itself, with 0", hotline.process.wait(20) == 0)
            kept(hotline, calls_=2, callbacks=0)
        finally:
            phones.stop()


def ended_at_once():
    print("SIGTERM twice")
    with Watched() as hotline:
        token = hotline.sign_in()
        phones = Phones(hotline)
        try:
            talking, waiting = busy(hotline, token, phones)
            hotline.process.terminate()
            until("STOPPING=1", 5, lambda: hotline.hears("STOPPING=1"))
            hotline.process.terminate()
            check("it ends at once, with 0", hotline.process.wait(15) == 0)
            agent = phones.of("agent")
            check("every telephone got a BYE", all(leg.ended_at for leg in [talking, waiting, *agent]), len(agent) + 2)
            kept(hotline, calls_=2, callbacks=1)
        finally:
            phones.stop()


def kept(hotline, calls_, callbacks):
    """What the next run finds."""
    hotline.start()
    rows = lambda table: hotline.rows(f"select count(*) from {table}")[0][0]
    found = lambda: (rows("call"), rows("ticket"), rows("callback"))
    until("all of it is in the database", 10, lambda: found() == (calls_, calls_, callbacks))
    open_ = hotline.rows("select count(*) from call where ended_at is null")[0][0]
    check("every call has its record, its end and one ticket; who was not served is owed a callback", open_ == 0, found())


if __name__ == "__main__":
    try:
        notified()
        drained()
        ended_at_once()
    except Failed as failed:
        sys.exit(f"FAILED: {failed}")
