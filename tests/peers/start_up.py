"""Bad input at start-up: each fault is named with what to do, start-up refuses, and what runs is left alone."""
import os
import re
import shutil
import signal
import socket
import time

from lib import Failed, Hotline, check, free_ports, until
from phones import Phones

MADE = []


def refuses(what, hotline, *wanted, **more):
    """Start-up and `hotline check` say all that is wanted, and fail."""
    for words in [("serve",), ("check",)]:
        code, said = hotline.command(*words, **more)
        missing = [text for text in wanted if not re.search(text, said)]
        if code != 1 or missing:
            raise Failed(f"{what}, hotline {words[0]}: exit code {code}, without {missing}:\n{said}")
    line = next((line for line in said.splitlines() if re.search(wanted[0], line)), "")
    check(what, True, line.strip()[:150])


def line_of(hotline, text):
    lines = (hotline.folder / "hotline.toml").read_text().splitlines()
    return next(number for number, line in enumerate(lines, 1) if text in line)


def fresh():
    MADE.append(Hotline())
    return MADE[-1]


def ports():
    for kind, port, what in ((socket.SOCK_DGRAM, "trunk", "SIP over UDP"), (socket.SOCK_STREAM, "agents", "SIP over TCP"),
                             (socket.SOCK_STREAM, "http", "HTTP")):
        hotline = fresh()
        number = getattr(hotline, port)
        word = "udp" if kind == socket.SOCK_DGRAM else "tcp"
        with socket.socket(socket.AF_INET, kind) as taken:
            taken.bind(("127.0.0.1", number))
            if kind == socket.SOCK_STREAM:
                taken.listen()
            refuses(f"a port in use, {what}", hotline, rf"port {number}/{word} on 127.0.0.1 is in use.*ss -", "listen elsewhere")
    hotline = fresh()
    first = next(port for port in iter(lambda: free_ports(1)[0], None) if port % 2 == 0)
    hotline.changed(("20000-29999", f"{first}-{first + 3}"))
    held = []
    for port in range(first, first + 4):
        held.append(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        held[-1].bind(("127.0.0.1", port))
    refuses("RTP ports all in use", hotline, rf"no pair of the RTP ports {first}-{first + 3}/udp.*\[media\] ports")
    for one in held:
        one.close()
    hotline = fresh()
    hotline.changed(('address = "127.0.0.1"', 'address = "192.0.2.1"'))
    refuses("a media address that is not this host's", hotline, "192.0.2.1 is no address of this host")


def several_ports():
    hotline = fresh()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as two:
        one.bind(("127.0.0.1", hotline.trunk))
        two.bind(("127.0.0.1", hotline.agents))
        refuses("several at once: each is named", hotline, f"port {hotline.trunk}/udp", f"port {hotline.agents}/udp", "2 fault")


def rtp_runs_out():
    """One pair: the second call finds none and is refused; when the first has left, the next is answered."""
    hotline = fresh()
    first = next(port for port in iter(lambda: free_ports(1)[0], None) if port % 2 == 0)
    hotline.changed(("20000-29999", f"{first}-{first + 3}"))
    with hotline:
        phones = Phones(hotline)
        phones.start()
        calls = [phones.dial(f"1380000000{n}") for n in range(2)]
        until("two are answered", 5, lambda: all(leg.answered_at for leg in calls))
        third = phones.dial("13800000009")
        until("the third is refused", 5, lambda: third.refused or third.answered_at)
        check("RTP ports run out while calls come: the next is refused, the others stay", third.refused in (486, 503, 500)
              and all(leg.is_up() for leg in calls), third.refused)
        phones.hang_up(calls[0])
        until("it has left", 5, lambda: calls[0].ended_at)
        # The media thread gives the port back after the last RTCP packet.
        time.sleep(0.3)
        fourth = phones.dial("13800000010")
        until("the next is answered", 5, lambda: fourth.answered_at or fourth.refused)
        check("a port that was given back is used again", bool(fourth.answered_at))
        phones.stop()


def files():
    hotline = fresh()
    hotline.changed(('ring_timeout = "20s"', 'ring_timeout = "soon"'), ("announce_position = true", "anounce_position = true"),
            ("max_calls = 50000", 'max_calls = "many"'), ('flow = "12345"', 'flow = "12354"'))
    flows = hotline.folder / "ivr-flows"
    flows.mkdir()
    (flows / "extra.toml").write_text('version = 1\nstart = "a"\n\n[node.a]\nplay = ["prompts/zh/none.wav"]\nnext = "b"\n')
    numbers = [line_of(hotline, text) for text in ("soon", "anounce", '"many"')]
    refuses("wrong settings: every fault with its line", hotline, *(rf"hotline.toml:{number}:\d+: " for number in numbers))
    hotline = fresh()
    hotline.changed(('flow = "12345"', 'flow = "extra"'))
    flows = hotline.folder / "ivr-flows"
    flows.mkdir()
    (flows / "extra.toml").write_text('version = 1\nstart = "a"\n\n[node.a]\nplay = ["prompts/zh/none.wav"]\nnext = "b"\nagain = 1\n')
    refuses("a wrong flow: every fault with its line, and none that only follows", hotline, r"extra.toml:6:\d+: .*no node \"b\"",
            r"extra.toml:7:\d+: .*again", "2 fault")
    (flows / "extra.toml").write_text('version = 1\nstart = "a"\n\n[node.a]\nplay = ["prompts/zh/none.wav"]\nnext = "b"\n'
                                      '[node.b]\nqueue = { name = "genral" }\n[node.c]\nhangup = {}\n')
    refuses("a flow that leads nowhere", hotline, r"extra.toml:5:\d+: .*none.wav", r"extra.toml:8:\d+: .*genral.*general",
            r"extra.toml:9:\d+: .*\bc\b")
    hotline = fresh()
    hotline.changed(('[[profile]]\nname = "trunk"', '[[gone]]\nname = "trunk"'))
    refuses("an unknown section", hotline, rf"hotline.toml:{line_of(hotline, '[[gone]]')}:\d+: .*gone")
    hotline = fresh()
    profiles = hotline.folder / "sip-profiles"
    profiles.mkdir()
    text = (hotline.folder / "hotline.toml").read_text()
    (hotline.folder / "hotline.toml").write_text(text[:text.index("[[profile]]")])
    (profiles / "trunk.toml").write_text('name = "trunk"\nkind = "trunck"\nlisten = ["udp:127.0.0.1:99999"]\n')
    refuses("a wrong profile: every fault with its line", hotline, r"trunk.toml:2:\d+: .*trunck|trunk.toml:2:\d+: ", r"trunk.toml:3:\d+: ")


def keys_and_folders():
    hotline = fresh()
    hotline.changed(("create_key = true", "create_key = false"))
    refuses("a missing recording key", hotline, r"recording.key: .*cannot be read.*openssl rand -hex 32")
    hotline = fresh()
    (hotline.folder / "data").write_text("in the way")
    refuses("a file where the data folder should be", hotline, r"data folder.*cannot be written")
    hotline = fresh()
    # Root may write everywhere: then it is tried as somebody else.
    user = {"user": 65534, "group": 65534, "extra_groups": []} if os.geteuid() == 0 else {}
    hotline.folder.chmod(0o555)
    refuses("a data folder that cannot be written", hotline, r"data folder.*cannot be written.*(data|--data)", **user)
    hotline.folder.chmod(0o755)
    hotline = fresh()
    hotline.changed(('data = "data"', 'data = "data"\n[database]\nurl = "postgres://nobody@127.0.0.1:1/none"'))
    # It may come back, so that a start does not wait for it (start_without_database.py); the check says so.
    code, said = hotline.command("check")
    check("a database that does not answer: hotline check", code == 1 and re.search(r"database cannot be used.*\[database\] url", said),
          next((line for line in said.splitlines() if "database" in line), "").strip()[:150])


def twice():
    with fresh() as hotline:
        one = hotline.process.pid
        other = fresh()
        other.changed(('data = "data"', f'data = "{hotline.folder}/data"'))
        code, said = other.command("serve")
        check("a second program in the same data folder is refused", code == 1 and f"process {one}" in said and "data" in said,
              said.strip().splitlines()[-1][:150])
        check("the first goes on", hotline.process.poll() is None and hotline.ask("GET", "/readyz")[0] == 200)
        code, said = hotline.command("check")
        check("`hotline check` beside it takes its ports for its own", code == 0, said.strip().splitlines()[-1][:150])
        hotline.kill()
        hotline.start()
        check("after a crash nothing holds the restart up", hotline.ask("GET", "/readyz")[0] == 200)


def hang_up():
    with fresh() as hotline:
        good = (hotline.folder / "hotline.toml").read_text()
        hotline.changed(('ring_timeout = "20s"', 'ring_timeout = "soon"'))
        hotline.process.send_signal(signal.SIGHUP)
        number = line_of(hotline, "soon")
        said = lambda: re.sub(r"\x1b\[[0-9;]*m", "", (hotline.folder / "log").read_text())
        until("the fault is told", 5, lambda: f"hotline.toml:{number}:" in said())
        check("SIGHUP with a bad file: told with file and line, the old one stays", hotline.process.poll() is None
              and hotline.ask("GET", "/readyz")[0] == 200, f"hotline.toml:{number}")
        (hotline.folder / "hotline.toml").write_text(good)
        hotline.process.send_signal(signal.SIGHUP)
        until("the sound file is in force", 5, lambda: "the settings were read again and are in force" in said())
        check("SIGHUP with a sound file", hotline.process.poll() is None)


def main():
    print("bad input at start-up")
    for part in (ports, several_ports, rtp_runs_out, files, keys_and_folders, twice, hang_up):
        part()
    for hotline in MADE:
        shutil.rmtree(hotline.folder, ignore_errors=True)


if __name__ == "__main__":
    main()
