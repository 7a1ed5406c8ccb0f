"""Settings that change while people call: SIGHUP with good and bad files, under calls that go on."""
import math
import re
import shutil
import signal
import struct
import wave

from lib import Failed, Hotline, check, free_ports, until
from phones import Phones

TELEPHONES = 3


def said(hotline):
    return re.sub(r"\x1b\[[0-9;]*m", "", (hotline.folder / "log").read_text())


def figure(hotline, name):
    text = hotline.ask("GET", "/metrics")[1]
    found = re.search(rf"^{re.escape(name)} ([0-9.]+)$", text, re.M)
    return float(found.group(1)) if found else 0.0


def reloaded(hotline, result):
    """SIGHUP, and waits for what comes of it."""
    name = f'hotline_settings_reload_total{{result="{result}"}}'
    before = figure(hotline, name)
    hotline.process.send_signal(signal.SIGHUP)
    until(f"the settings are read again: {result}", 10, lambda: figure(hotline, name) == before + 1)


def changed(hotline, *pairs):
    path = hotline.folder / "hotline.toml"
    text = path.read_text()
    for old, new in pairs:
        if old not in text:
            raise Failed(f"the settings have no {old!r}")
        text = text.replace(old, new, 1)
    path.write_text(text)
    return text


def tone(path, hertz, seconds=30):
    with wave.open(str(path), "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(8000)
        samples = (int(9000 * math.sin(2 * math.pi * hertz * n / 8000)) for n in range(8000 * seconds))
        out.writeframes(b"".join(struct.pack("<h", sample) for sample in samples))


def flow(hotline, clip):
    flows = hotline.folder / "ivr-flows"
    (flows / "prompts/own").mkdir(parents=True, exist_ok=True)
    (flows / "12345.toml").write_text(f'version = 1\nstart = "say"\n[node.say]\nplay = ["prompts/own/{clip}.wav"]\nnext = "say"\n')


def calls(hotline, phones):
    flows = hotline.folder / "ivr-flows/prompts/own"
    first = phones.dial("13800000001")
    until("the first is answered", 5, lambda: first.answered_at)
    until("it hears the first clip", 5, lambda: near(first, 500))
    tone(flows / "one.wav", 800)
    reloaded(hotline, "ok")
    second = phones.dial("13800000002")
    until("the second is answered", 5, lambda: second.answered_at)
    until("it hears the clip that took its place", 5, lambda: near(second, 800))
    check("a clip that was replaced: who heard the old one hears it on, the next call hears the new one",
          near(first, 500) and near(second, 800))
    tone(flows / "two.wav", 1100)
    flow(hotline, "two")
    reloaded(hotline, "ok")
    third = phones.dial("13800000003")
    until("the third is answered", 5, lambda: third.answered_at)
    until("it hears the other flow", 5, lambda: near(third, 1100))
    check("a flow that was replaced: calls keep the one they began with", near(first, 500) and near(second, 800))
    return [first, second, third]


def near(leg, hertz):
    sound = leg.sound()
    return sound is not None and loudest(sound) == hertz


def loudest(samples):
    """Which of our tones is in the last half second."""
    last = samples[-4000:]
    if len(last) < 4000:
        return None
    def power(hertz):
        turn = 2 * math.pi * hertz / 8000
        sine = sum(value * math.sin(turn * n) for n, value in enumerate(last))
        cosine = sum(value * math.cos(turn * n) for n, value in enumerate(last))
        return sine * sine + cosine * cosine
    return max((500, 800, 1100), key=power)


def faults(hotline, legs, good):
    changed(hotline, ('ring_timeout = "20s"', 'ring_timeout = "soon"'))
    text = (hotline.folder / "hotline.toml").read_text().splitlines()
    line = next(number for number, row in enumerate(text, 1) if "soon" in row)
    reloaded(hotline, "fault")
    check("a bad file is told with its line", f"hotline.toml:{line}:" in said(hotline), f"hotline.toml:{line}")
    status, ready = hotline.ask("GET", "/readyz")
    check("the node stays in service, and readyz says what is wrong", status == 200 and '"settings":{"ok":false' in str(ready).replace(" ", "")
          or status == 200 and isinstance(ready, dict) and ready["settings"]["ok"] is False, ready if isinstance(ready, str) else ready["settings"])
    check("the figure says so", figure(hotline, "hotline_settings_fault") == 1)
    check("calls go on", all(leg.is_up() for leg in legs))
    # A port that somebody else has: nothing of the file is in force.
    (hotline.folder / "hotline.toml").write_text(good)
    import socket
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        port = free_ports(1)[0]
        taken.bind(("127.0.0.1", port))
        changed(hotline, (f'"udp:127.0.0.1:{hotline.trunk}"', f'"udp:127.0.0.1:{hotline.trunk}", "udp:127.0.0.1:{port}"'),
                ("max_calls = 50000", "max_calls = 1"))
        reloaded(hotline, "fault")
        check("a port in use is told", f"{port}" in said(hotline))
    extra = phones_dial(hotline)
    check("nothing of a file with a fault is in force", extra)
    (hotline.folder / "hotline.toml").write_text(good)
    reloaded(hotline, "ok")
    check("a sound file puts it right", figure(hotline, "hotline_settings_fault") == 0
          and hotline.ask("GET", "/readyz")[1]["settings"]["ok"])


def phones_dial(hotline):
    leg = hotline.phones.dial("13800000009")
    until("it is answered or refused", 5, lambda: leg.answered_at or leg.refused)
    up = bool(leg.answered_at)
    hotline.phones.hang_up(leg)
    return up


def limits_and_listeners(hotline, legs, good):
    port = free_ports(1)[0]
    changed(hotline, ("max_calls = 50000", "max_calls = 1"))
    reloaded(hotline, "ok")
    check("a limit of a profile is in force at once, and ends nobody's call", not phones_dial(hotline) and all(leg.is_up() for leg in legs))
    (hotline.folder / "hotline.toml").write_text(good)
    changed(hotline, (f'"udp:127.0.0.1:{hotline.trunk}", "tcp:127.0.0.1:{hotline.trunk}"', f'"udp:127.0.0.1:{port}"'))
    reloaded(hotline, "ok")
    old, hotline.trunk = hotline.trunk, port
    check("an address that is new is listened at", phones_dial(hotline))
    hotline.trunk = old
    check("calls over the old one go on", all(leg.is_up() for leg in legs))
    for leg in legs:
        hotline.phones.hang_up(leg)
    until("and end over it", 5, lambda: all(leg.ended_at for leg in legs))
    until("then it is closed", 45, lambda: f"SIP is listened for here no more local=127.0.0.1:{old}" in said(hotline)
          or re.search(rf"listened for here no more.*{old}", said(hotline)), step=0.5)
    (hotline.folder / "hotline.toml").write_text(good)
    reloaded(hotline, "ok")
    check("and can be opened again", phones_dial(hotline))


def restart_only(hotline, good):
    changed(hotline, ('data = "data"', 'data = "data"\nnode = 7'))
    reloaded(hotline, "ok")
    check("what needs a restart is named", "node: takes effect after a restart" in said(hotline))
    (hotline.folder / "hotline.toml").write_text(good)
    reloaded(hotline, "ok")


def main():
    print("settings that change while people call")
    hotline = Hotline()
    (hotline.folder / "ivr-flows/prompts/own").mkdir(parents=True)
    tone(hotline.folder / "ivr-flows/prompts/own/one.wav", 500)
    flow(hotline, "one")
    good = (hotline.folder / "hotline.toml").read_text()
    with hotline:
        hotline.phones = Phones(hotline)
        hotline.phones.start()
        legs = calls(hotline, hotline.phones)
        restart_only(hotline, good)
        faults(hotline, legs, good)
        limits_and_listeners(hotline, legs, good)
        hotline.phones.stop()
    shutil.rmtree(hotline.folder, ignore_errors=True)


if __name__ == "__main__":
    main()
