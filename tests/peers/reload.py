"""Settings that change while people call: SIGHUP with good and bad files, under calls that go on."""
import json
import os
import re
import shutil
import signal
import socket
import time

from lib import LINEAR, Failed, Hotline, check, free_ports, level_at, tone, until, write_wav
from phones import Phones


def said(hotline):
    return re.sub(r"\x1b\[[0-9;]*m", "", (hotline.folder / "log").read_text())


def figure(hotline, name):
    text = hotline.ask("GET", "/metrics")[2].decode()
    found = re.search(rf"^{re.escape(name)} ([0-9.]+)$", text, re.M)
    return float(found.group(1)) if found else 0.0


def settings(hotline):
    status, _, body = hotline.ask("GET", "/readyz")
    return status, json.loads(body)["settings"]


def reloaded(hotline, result):
    """SIGHUP, and waits for what comes of it."""
    name = f'hotline_settings_reload_total{{result="{result}"}}'
    before = figure(hotline, name)
    hotline.process.send_signal(signal.SIGHUP)
    until(f"the settings are read again: {result}", 10, lambda: figure(hotline, name) == before + 1)


def clip(hotline, name, hertz):
    write_wav(hotline.folder / f"ivr-flows/prompts/own/{name}.wav", tone(hertz, 1) * 100)


def flow(hotline, name):
    flows = hotline.folder / "ivr-flows"
    (flows / "12345.toml").write_text(f'version = 1\nstart = "say"\n[node.say]\nplay = ["prompts/own/{name}.wav"]\nnext = "bye"\n[node.bye]\nhangup = true\n')


def calls(hotline, phones):
    first = phones.dial("13800000001")
    until("the first is answered", 5, lambda: first.answered_at)
    until("it hears the first clip", 5, lambda: near(first, 500))
    clip(hotline, "one", 800)
    reloaded(hotline, "ok")
    second = phones.dial("13800000002")
    until("the second is answered", 5, lambda: second.answered_at)
    until("it hears the clip that took its place", 5, lambda: near(second, 800))
    check("a clip that was replaced: who heard the old one hears it on, the next call hears the new one",
          near(first, 500) and near(second, 800))
    clip(hotline, "two", 1100)
    flow(hotline, "two")
    reloaded(hotline, "ok")
    third = phones.dial("13800000003")
    until("the third is answered", 5, lambda: third.answered_at)
    until("it hears the other flow", 5, lambda: near(third, 1100))
    check("a flow that was replaced: calls keep the one they began with", near(first, 500) and near(second, 800))
    return [first, second, third]


def near(leg, hertz):
    """Which of our tones is loudest in the next half second."""
    drain(leg)
    time.sleep(0.6)
    samples = drain(leg)
    return len(samples) >= 2000 and max((500, 800, 1100), key=lambda one: level_at(samples, one)) == hertz


def drain(leg):
    samples = []
    while True:
        try:
            packet = leg.rtp.recv(2048)
        except BlockingIOError:
            return samples
        if len(packet) > 12 and packet[1] & 0x7F == 8:
            samples.extend(LINEAR[code] for code in packet[12:])


def faults(hotline, legs, good):
    hotline.changed(('ring_timeout = "20s"', 'ring_timeout = "soon"'))
    text = (hotline.folder / "hotline.toml").read_text().splitlines()
    line = next(number for number, row in enumerate(text, 1) if "soon" in row)
    reloaded(hotline, "fault")
    check("a bad file is told with its line", f"hotline.toml:{line}:" in said(hotline), f"hotline.toml:{line}")
    status, part = settings(hotline)
    check("the node stays in service, and readyz says what is wrong", status == 200 and not part["ok"] and f":{line}:" in part["detail"],
          part["detail"][:120])
    check("the figure says so", figure(hotline, "hotline_settings_fault") == 1)
    check("calls go on", all(leg.is_up() for leg in legs))
    # A port that somebody else has: nothing of the file is in force.
    (hotline.folder / "hotline.toml").write_text(good)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        port = free_ports(1)[0]
        taken.bind(("127.0.0.1", port))
        hotline.changed((f'"udp:127.0.0.1:{hotline.trunk}"', f'"udp:127.0.0.1:{hotline.trunk}", "udp:127.0.0.1:{port}"'),
                ("max_calls = 50000", "max_calls = 1"))
        reloaded(hotline, "fault")
        check("a port in use is told", f"{port}" in said(hotline))
    check("nothing of a file with a fault is in force", answers(hotline))
    (hotline.folder / "hotline.toml").write_text(good)
    reloaded(hotline, "ok")
    check("a sound file puts it right", figure(hotline, "hotline_settings_fault") == 0
          and settings(hotline)[1]["ok"])


def answers(hotline):
    """Whether one more call is answered."""
    leg = hotline.phones.dial("13800000009")
    until("it is answered or refused", 5, lambda: leg.answered_at or leg.refused)
    up = bool(leg.answered_at)
    hotline.phones.hang_up(leg)
    return up


def limits_and_listeners(hotline, legs, good):
    port = free_ports(1)[0]
    hotline.changed(("max_calls = 50000", "max_calls = 1"))
    reloaded(hotline, "ok")
    check("a limit of a profile is in force at once, and ends nobody's call", not answers(hotline) and all(leg.is_up() for leg in legs))
    (hotline.folder / "hotline.toml").write_text(good)
    hotline.changed((f'"udp:127.0.0.1:{hotline.trunk}", "tcp:127.0.0.1:{hotline.trunk}"', f'"udp:127.0.0.1:{port}"'))
    reloaded(hotline, "ok")
    old, hotline.phones.trunk = hotline.phones.trunk, ("127.0.0.1", port)
    check("an address that is new is listened at", answers(hotline))
    hotline.phones.trunk = old
    check("calls over the old one go on", all(leg.is_up() for leg in legs))
    for leg in legs:
        hotline.phones.hang_up(leg)
    until("and end over it", 5, lambda: all(leg.ended_at for leg in legs))
    until("then it is closed", 45, lambda: re.search(rf"listened for here no more.*:{old[1]}", said(hotline)), step=0.5)
    check("the old one is closed when its calls have ended", True)
    (hotline.folder / "hotline.toml").write_text(good)
    reloaded(hotline, "ok")
    check("and can be opened again", answers(hotline))


def restart_only(hotline, good):
    hotline.changed(('data = "data"', 'data = "data"\nnode = 7'))
    reloaded(hotline, "ok")
    check("what needs a restart is named", "node: takes effect after a restart" in said(hotline))
    (hotline.folder / "hotline.toml").write_text(good)
    reloaded(hotline, "ok")


def by_the_api(hotline, legs, good):
    """`hotline.toml` read, written, undone by the API, under calls that go on."""
    path = "/api/v1/settings/configuration/hotline.toml"
    file, token = hotline.folder / "hotline.toml", hotline.sign_in()

    def put(text, seen, note="", status=200):
        got, kind, body = hotline.ask("PUT", path, {"text": text, "note": note}, token, seen=seen)
        if got != status:
            raise Failed(f"PUT: {got} {body.decode()[:400]}")
        return json.loads(body)

    def undo(seen, **more):
        got, _, body = hotline.ask("POST", f"{path}/undo", {"note": "再想想", **more}, token, seen=seen)
        if got != 200:
            raise Failed(f"undo: {got} {body.decode()[:400]}")
        return json.loads(body)

    shown = json.loads(hotline.ask("GET", path, token=token)[2])
    first, text = shown["version"], shown["text"]
    check("hotline.toml is shown, its secrets are not", "sandbox-" not in text and text.count("<unchanged>") >= 2
          and shown["author"] == "file", f"version {first}")
    limited = text.replace("max_calls = 50000", "max_calls = 1")
    put(limited, None, status=428)
    put(limited, first + 7, status=412)
    broken = put(text.replace('ring_timeout = "20s"', 'ring_timeout = "soon"'), first, status=400)
    line = next(number for number, row in enumerate(good.splitlines(), 1) if "ring_timeout" in row)
    check("a PUT that was not read before, or has a fault, changes nothing", broken["faults"][0]["line"] == line
          and file.read_text() == good and settings(hotline)[1]["ok"], broken["faults"][0]["message"])

    written = put(limited, first, "限一路")
    check("a PUT is in force at once, and ends nobody's call", not answers(hotline) and all(leg.is_up() for leg in legs))
    check("the file says so, with its secrets", written["version"] == first + 1 and written["author"] == "admin"
          and file.read_text() == good.replace("max_calls = 50000", "max_calls = 1"))
    back = undo(first + 1)
    check("undone: the file is what it was, to the letter, and in force", back["version"] == first + 2 and file.read_text() == good
          and answers(hotline))
    put(written["text"], first + 2)
    undo(first + 3, version=first)
    check("undone to a version by its number", file.read_text() == good and answers(hotline))

    # Another password: nobody brings the old one back.
    put(text.replace('name = "admin"\nrole = "admin"\npassword = "<unchanged>"', 'name = "admin"\nrole = "admin"\npassword = "new-password"'), first + 4)
    check("another password in it: the session ends, the old one is none any more",
          (hotline.ask("GET", path, token=token)[0], sign_in(hotline, "sandbox-admin"), sign_in(hotline, "new-password")) == (401, 401, 200))
    token = hotline.sign_in(password="new-password")
    undo(first + 5)
    check("undoing brings no password back", (sign_in(hotline, "sandbox-admin"), sign_in(hotline, "new-password")) == (401, 200))

    put(text.replace('data = "data"', 'data = "data"\nnode = 7'), first + 6)
    pending = json.loads(hotline.ask("GET", "/api/v1/settings", token=token)[2])["pending_restart"]
    check("what a PUT leaves for a restart is named", pending == ["node"], pending)
    undo(first + 7)

    listed = json.loads(hotline.ask("GET", f"{path}/versions", token=token)[2])["items"]
    check("each is a version with its author and why", [row["version"] for row in listed] == list(range(first + 8, 0, -1))
          and {row["author"] for row in listed[:8]} == {"admin"} and "限一路" in listed[7]["note"] and "再想想" in listed[6]["note"], len(listed))
    kept = "".join(row[0] for row in hotline.rows("SELECT text FROM setting_version"))
    check("no version holds a secret", "sandbox-" not in kept and "new-password" not in kept)
    audited = hotline.rows("SELECT count(*) AS n FROM audit WHERE action = 'settings.change' AND actor = 'admin'")[0][0]
    check("each is a row of the audit log", audited == 8, audited)
    file.write_text(good + "# by hand\n")
    reloaded(hotline, "ok")
    check("a change by hand is the next version", json.loads(hotline.ask("GET", path, token=hotline.sign_in())[2])["author"] == "file")
    file.write_text(good)
    reloaded(hotline, "ok")


def sign_in(hotline, password):
    return hotline.ask("POST", "/api/v1/sessions", {"user": "admin", "password": password})[0]


def survives(hotline, good):
    """What was put in force by the API is in force after a crash."""
    path, token = "/api/v1/settings/configuration/hotline.toml", hotline.sign_in()
    shown = json.loads(hotline.ask("GET", path, token=token)[2])
    text = shown["text"].replace("max_calls = 50000", "max_calls = 1")
    check("one more PUT", hotline.ask("PUT", path, {"text": text}, token, seen=shown["version"])[0] == 200)
    hotline.kill()
    hotline.start()
    only = hotline.phones.dial("13800000004")
    until("one is answered", 5, lambda: only.answered_at)
    again = json.loads(hotline.ask("GET", path, token=hotline.sign_in())[2])
    check("is in force after kill -9, and the same version", not answers(hotline) and again["version"] == shown["version"] + 1
          and again["author"] == "admin")
    (hotline.folder / "hotline.toml").write_text(good)


def main():
    print("settings that change while people call" + (", PostgreSQL" if os.environ.get("HOTLINE_TEST_DATABASE") == "postgres" else ""))
    hotline = Hotline()
    (hotline.folder / "ivr-flows/prompts/own").mkdir(parents=True)
    clip(hotline, "one", 500)
    flow(hotline, "one")
    good = (hotline.folder / "hotline.toml").read_text()
    with hotline:
        hotline.phones = Phones(hotline)
        hotline.phones.start()
        legs = calls(hotline, hotline.phones)
        restart_only(hotline, good)
        faults(hotline, legs, good)
        by_the_api(hotline, legs, good)
        limits_and_listeners(hotline, legs, good)
        survives(hotline, good)
        hotline.phones.stop()
    shutil.rmtree(hotline.folder, ignore_errors=True)


if __name__ == "__main__":
    main()
