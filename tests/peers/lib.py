"""What the peer tests share: a hotline of their own on free loopback ports, telephones, tones, and the API."""
import json
import math
import os
import pathlib
import random
import shutil
import socket
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
import wave

ROOT = pathlib.Path(__file__).resolve().parents[2]
PROGRAM = pathlib.Path(os.environ.get("HOTLINE", ROOT / "target/release/hotline")).absolute()
RATE = 8000


class Failed(Exception):
    """A check did not hold."""


def check(what, holds, figures=""):
    print(f"  {'ok  ' if holds else 'FAIL'} {what}{': ' + str(figures) if figures != '' else ''}", flush=True)
    if not holds:
        raise Failed(what)


def free_ports(count):
    """Loopback ports that are free for UDP and TCP, below the range of ephemeral ports."""
    found = []
    while len(found) < count:
        port = random.randrange(10_000, 19_000)
        try:
            for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM):
                with socket.socket(socket.AF_INET, kind) as probe:
                    probe.bind(("127.0.0.1", port))
        except OSError:
            continue
        if port not in found:
            found.append(port)
    return found


def until(what, seconds, look, step=0.1):
    """The first true answer of `look`; fails when there is none in time."""
    end = time.monotonic() + seconds
    while True:
        answer = look()
        if answer:
            return answer
        if time.monotonic() > end:
            raise Failed(f"{what}: not within {seconds} s")
        time.sleep(step)


CONFIG = """
time_zone = "Asia/Shanghai"
data = "data"
[http]
listen = ["127.0.0.1:{http}"]
[sip]
departments = "127.0.0.1:{departments}"
[media]
address = "127.0.0.1"
ports = "20000-29999"
allowed_networks = ["127.0.0.0/8"]
[log]
filter = "info"
[recording]
create_key = true
[[queue]]
name = "general"
ring_timeout = "20s"
wrap_up = "2s"
announce_position = true
announce_every = "20s"
{more}[[agent]]
number = "{numbers}"
password = "sandbox-{{number}}"
ready_on_register = true
[[user]]
name = "admin"
role = "admin"
password = "sandbox-admin"
[[hotline]]
number = "12330"
name = "知识产权维权热线"
mode = "dual_track"
[[profile]]
name = "trunk"
kind = "trunk"
listen = ["udp:127.0.0.1:{trunk}", "tcp:127.0.0.1:{trunk}"]
allow = ["127.0.0.0/8"]
auth = "none"
codecs = ["PCMA", "PCMU"]
[profile.limits]
max_calls = 50000
max_cps = 100000
[[profile.number]]
match = ["12345"]
flow = "12345"
[[profile]]
name = "agents"
kind = "agents"
listen = ["udp:127.0.0.1:{agents}", "tcp:127.0.0.1:{agents}"]
allow = ["127.0.0.0/8"]
auth = "digest"
algorithms = ["SHA-256", "MD5"]
md5_only = ["baresip v0.", "baresip v1."]
realm = "hotline"
codecs = ["PCMA", "PCMU"]
"""


class Hotline:
    """The program under test, with its own data and ports. `numbers` are its agents, `more` is written into its settings.

    Its database is SQLite's in its data folder, or a PostgreSQL of its own where `database` (else the variable
    HOTLINE_TEST_DATABASE) says `postgres`.
    """

    def __init__(self, numbers="8001-8020", more="", database=None):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="hotline-peers-"))
        self.postgres = None
        if (database or os.environ.get("HOTLINE_TEST_DATABASE", "sqlite")) == "postgres":
            from postgres import Postgres
            self.postgres = Postgres()
            more = f'[database]\nurl = "{self.postgres.url}"\n{more}'
        self.trunk, self.agents, self.http, self.departments = free_ports(4)
        (self.folder / "hotline.toml").write_text(CONFIG.format(**self.ports(), numbers=numbers, more=more))
        self.process = None

    def ports(self):
        return {"trunk": self.trunk, "agents": self.agents, "http": self.http, "departments": self.departments}

    def start(self, answers="/readyz"):
        log = open(self.folder / "log", "ab")
        self.process = subprocess.Popen(
            [PROGRAM, "--config", self.folder / "hotline.toml"], stdout=log, stderr=log, cwd=self.folder)
        def ready():
            if self.process.poll() is not None:
                raise Failed("the program ended: " + (self.folder / "log").read_text()[-2000:])
            try:
                return urllib.request.urlopen(f"http://127.0.0.1:{self.http}{answers}", timeout=5).status == 200
            except OSError:
                return False
        until(answers, 20, ready)

    def kill(self):
        """kill -9."""
        self.process.kill()
        self.process.wait()

    def stop(self):
        if self.process and self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(15)
            except subprocess.TimeoutExpired:
                self.kill()

    def __enter__(self):
        if self.postgres:
            self.postgres.start()
        self.start()
        return self

    def __exit__(self, kind, *_):
        self.stop()
        if self.postgres:
            self.postgres.__exit__()
        if kind is None:
            shutil.rmtree(self.folder, ignore_errors=True)
        else:
            print(f"  kept for a look: {self.folder}", file=sys.stderr)

    def rows(self, sql):
        """Rows of the program's database, read beside it."""
        if self.postgres:
            # As objects that keep their order: two columns may have one name.
            asked = f"SELECT row_to_json(asked) FROM ({sql}) asked"
            return [tuple(value for _, value in json.loads(row[0], object_pairs_hook=list)) for row in self.postgres.rows(asked)]
        with sqlite3.connect(f"file:{self.folder}/data/hotline.db?mode=ro", uri=True, timeout=10) as db:
            return db.execute(sql).fetchall()

    def changed(self, *pairs):
        """The settings with something in them replaced; gives them."""
        path = self.folder / "hotline.toml"
        text = path.read_text()
        for old, new in pairs:
            if old not in text:
                raise Failed(f"the settings have no {old!r}")
            text = text.replace(old, new, 1)
        path.write_text(text)
        return text

    def command(self, *words, said="", **more):
        """Runs one of the program's commands on these settings to its end: (exit code, what it said)."""
        done = subprocess.run([PROGRAM, *words, "--config", self.folder / "hotline.toml"], input=said, capture_output=True,
                              text=True, cwd=self.folder, timeout=30, **more)
        return done.returncode, done.stdout + done.stderr

    def ask(self, method, path, body=None, token=None, timeout=30, seen=None):
        """Whatever the answer is: (status, content type, body). `seen` is the version that was read."""
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.http}{path}", method=method, data=None if body is None else json.dumps(body).encode(),
            headers={"Content-Type": "application/json", **({"Authorization": f"Bearer {token}"} if token else {}),
                     **({"If-Match": f'"{seen}"'} if seen is not None else {})})
        try:
            with urllib.request.urlopen(request, timeout=timeout) as answer:
                return answer.status, answer.headers.get_content_type(), answer.read()
        except urllib.error.HTTPError as error:
            return error.code, error.headers.get_content_type(), error.read()

    def api(self, method, path, body=None, token=None, raw=False):
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.http}/api/v1{path}", method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Content-Type": "application/json", **({"Authorization": f"Bearer {token}"} if token else {})})
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                data = answer.read()
        except urllib.error.HTTPError as error:
            raise Failed(f"{method} {path}: {error.code} {error.read().decode()[:300]}") from None
        return data if raw else json.loads(data) if data else None

    def sign_in(self, user="admin", password=None):
        return self.api("POST", "/sessions", {"user": user, "password": password or f"sandbox-{user}"})["token"]


# ---- sound ----------------------------------------------------------------------------------

def a_law(sample):
    """One sample to G.711 A-law."""
    sign = 0x80 if sample >= 0 else 0
    magnitude = min(sample if sample >= 0 else -sample - 1, 32767) >> 3
    if magnitude < 32:
        code = magnitude >> 1
    else:
        exponent = magnitude.bit_length() - 5
        code = (exponent << 4) | ((magnitude >> exponent) & 0x0F)
    return (code | sign) ^ 0x55


def linear(code):
    """One A-law octet to a sample."""
    code ^= 0x55
    exponent, mantissa = (code & 0x70) >> 4, code & 0x0F
    value = (mantissa << 4) + 8 if exponent == 0 else ((mantissa << 4) + 0x108) << (exponent - 1)
    return value if code & 0x80 else -value


LINEAR = [linear(code) for code in range(256)]


def tone(hertz, seconds, level=-16.0):
    peak = 32767 * 10 ** (level / 20)
    return [int(peak * math.sin(2 * math.pi * hertz * n / RATE)) for n in range(int(seconds * RATE))]


def level_at(samples, hertz):
    """The level of one frequency in dB against full scale (Goertzel, Hann window)."""
    if len(samples) < RATE // 4:
        return -120.0
    count = len(samples)
    weight = 2 * math.cos(2 * math.pi * hertz / RATE)
    one = two = 0.0
    for n, sample in enumerate(samples):
        windowed = sample * (0.5 - 0.5 * math.cos(2 * math.pi * n / count))
        one, two = windowed + weight * one - two, one
    power = one * one + two * two - weight * one * two
    amplitude = 4 * math.sqrt(max(power, 0)) / count
    return max(-120.0, 20 * math.log10(amplitude / 32767 + 1e-9))


def write_wav(path, samples):
    with wave.open(str(path), "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(RATE)
        out.writeframes(b"".join(int(s).to_bytes(2, "little", signed=True) for s in samples))


def read_wav(path_or_file):
    """(channels, rate, list of sample lists a channel)."""
    with wave.open(path_or_file if hasattr(path_or_file, "read") else str(path_or_file)) as wav:
        channels, rate = wav.getnchannels(), wav.getframerate()
        data = wav.readframes(wav.getnframes())
    samples = [int.from_bytes(data[i:i + 2], "little", signed=True) for i in range(0, len(data) - 1, 2)]
    return channels, rate, [samples[c::channels] for c in range(channels)]


class Rtp(threading.Thread):
    """A telephone's sound without its signalling: sends a tone as PCMA, keeps what it hears, counts the keys."""

    def __init__(self, hertz):
        super().__init__(daemon=True)
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.socket.settimeout(0.01)
        self.port = self.socket.getsockname()[1]
        self.frame = [a_law(s) for s in tone(hertz, 10)]
        self.remote = None
        self.heard, self.keys, self.packets = [], [], 0
        self.to_press, self.running = [], True
        self.seen_events = set()

    def press(self, keys):
        self.to_press.extend(keys)

    def run(self):
        sequence, timestamp, ssrc = random.randrange(30000), random.randrange(1 << 30), random.randrange(1 << 32)
        at, sent, next_send, event = 0, 0, time.monotonic(), None
        while self.running:
            try:
                data, source = self.socket.recvfrom(2048)
                self._take(data)
            except (TimeoutError, socket.timeout):
                pass
            except OSError:
                return
            now = time.monotonic()
            while self.remote and now >= next_send:
                next_send += 0.02
                if event is None and self.to_press:
                    event = ["0123456789*#".index(self.to_press.pop(0)), 0, timestamp]
                if event:
                    key, count, began = event
                    end = count >= 8
                    body = bytes([key, (0x80 if end else 0) | 10]) + min((count + 1) * 160, 1280).to_bytes(2, "big")
                    self._send(101, sequence, began, ssrc, body, count == 0)
                    event = None if count >= 14 else [key, count + 1, began]
                else:
                    payload = bytes(self.frame[at:at + 160])
                    at = (at + 160) % (len(self.frame) - 160)
                    self._send(8, sequence, timestamp, ssrc, payload, sent == 0)
                sequence, timestamp, sent = (sequence + 1) & 0xFFFF, (timestamp + 160) & 0xFFFFFFFF, sent + 1
            if not self.remote:
                next_send = now

    def _send(self, kind, sequence, timestamp, ssrc, payload, marker):
        head = bytes([0x80, (0x80 if marker else 0) | kind]) + sequence.to_bytes(2, "big")
        try:
            self.socket.sendto(head + timestamp.to_bytes(4, "big") + ssrc.to_bytes(4, "big") + payload, self.remote)
        except OSError:
            pass

    def _take(self, data):
        if len(data) < 12 or data[0] >> 6 != 2:
            return
        kind, stamp = data[1] & 0x7F, data[4:8]
        payload = data[12 + 4 * (data[0] & 15):]
        if kind == 8:
            self.packets += 1
            self.heard.extend(LINEAR[b] for b in payload)
        elif kind == 101 and len(payload) >= 4 and stamp not in self.seen_events:
            self.seen_events.add(stamp)
            self.keys.append("0123456789*#"[payload[0]] if payload[0] < 12 else "?")

    def last(self, seconds):
        return self.heard[-int(seconds * RATE):]

    def stop(self):
        self.running = False
        self.join(2)
        self.socket.close()


class Baresip:
    """A real softphone with a file as its microphone, which keeps what it hears."""

    def __init__(self, name, folder, listen, hertz, seconds, account, more=""):
        self.folder = pathlib.Path(folder) / name
        self.folder.mkdir(parents=True)
        write_wav(self.folder / "in.wav", tone(hertz, seconds))
        self.control = free_ports(1)[0]
        (self.folder / "config").write_text(f"""
sip_listen 127.0.0.1:{listen}
call_local_timeout 120
call_max_calls 4
audio_player aubridge,loudspeaker
audio_source aufile,{self.folder}/in.wav
audio_alert aubridge,bell
snd_path {self.folder}
ausrc_srate 8000
auplay_srate 8000
ausrc_channels 1
auplay_channels 1
rtp_tos 184
jitter_buffer_delay 1-5
module_path /usr/lib/baresip/modules
module g711.so
module aufile.so
module aubridge.so
module sndfile.so
module_tmp account.so
module_app menu.so
module_app ctrl_tcp.so
ctrl_tcp_listen 127.0.0.1:{self.control}
{more}""")
        (self.folder / "accounts").write_text(account + "\n")
        (self.folder / "contacts").write_text("")
        self.log = open(self.folder / "log", "wb")
        self.process = subprocess.Popen(["baresip", "-4", "-f", self.folder], stdin=subprocess.DEVNULL,
                                        stdout=self.log, stderr=self.log, cwd=self.folder)

    def command(self, command, params=""):
        body = json.dumps({"command": command, "params": params, "token": "t"})
        with socket.create_connection(("127.0.0.1", self.control), timeout=3) as link:
            link.sendall(f"{len(body)}:{body},".encode())
            link.settimeout(2)
            try:
                return link.recv(65536).decode(errors="replace")
            except (TimeoutError, socket.timeout):
                return ""

    def heard(self):
        """What was decoded of the last call, as (rate, samples)."""
        dumps = sorted(self.folder.glob("dump-*-dec.wav"))
        if not dumps:
            raise Failed(f"baresip kept nothing: {[f.name for f in self.folder.iterdir()]}")
        _, rate, sides = read_wav(dumps[-1])
        return rate, sides[0]

    def stop(self):
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(5)
            except subprocess.TimeoutExpired:
                self.process.kill()
        self.log.close()
