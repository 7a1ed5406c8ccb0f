"""Telephones of the tests' own by the hundred, in one thread: citizens who dial, agents who register by digest and answer,
departments who answer. They send sound, press keys, and note when each of their legs was ended and how.
"""
import hashlib
import random
import re
import selectors
import socket
import threading
import time

from lib import RATE, Failed, a_law, tone

# A registration lasts 300 s.
REFRESH = 120
FRAME = bytes(a_law(sample) for sample in tone(400, 160 / RATE))


def header(text, name):
    found = re.search(rf"^{name}[ \t]*:[ \t]*(.*?)\r?$", text, re.M | re.I)
    return found[1] if found else ""


def tag(value):
    found = re.search(r";tag=([^;>\s]+)", value)
    return found[1] if found else ""


class Leg:
    """One telephone's side of one call."""

    def __init__(self, phones, kind, number, call_id):
        self.phones, self.kind, self.number, self.call_id = phones, kind, number, call_id
        self.own_tag, self.other_tag = f"p{random.randrange(1 << 40)}", ""
        self.dialled_at, self.answered_at, self.ended_at, self.refused, self.retry_after = None, None, None, None, ""
        self.highest_cseq, self.faults, self.keys = 0, [], []
        self.branch = f"z9hG4bK{random.randrange(1 << 40)}"
        self.rtp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.rtp.bind(("127.0.0.1", 0))
        self.rtp.setblocking(False)
        self.remote = None
        # Packets heard, counted while `listening`.
        self.listening, self.heard = False, 0
        self.sequence, self.stamp, self.ssrc = random.randrange(30_000), random.randrange(1 << 30), random.randrange(1 << 32)

    def is_up(self):
        return self.answered_at is not None and self.ended_at is None

    def press(self, key):
        """RFC 4733: three packets while it is held, three that end it."""
        code = "0123456789*#".index(key)
        self.keys.extend((code, min(step, 3) * 400, step >= 3) for step in range(1, 6))

    def sdp(self):
        return ("v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n"
                f"m=audio {self.rtp.getsockname()[1]} RTP/AVP 8 101\r\na=rtpmap:8 PCMA/8000\r\n"
                "a=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-15\r\na=ptime:20\r\na=sendrecv\r\n")

    def listen_to(self, body):
        port = re.search(r"^m=audio (\d+)", body, re.M)
        self.remote = ("127.0.0.1", int(port[1])) if port else None

    def hear(self):
        """Takes what came since the last time."""
        while True:
            try:
                self.rtp.recv(2048)
                self.heard += 1
            except OSError:
                return

    def sound(self):
        """One packet: of a key that is pressed, or of the tone."""
        if self.listening:
            self.hear()
        if not self.remote or not self.is_up():
            return
        kind, payload, stamp = 8, FRAME, self.stamp
        if self.keys:
            code, duration, last = self.keys.pop(0)
            if duration == 400 and not last:
                self.event = self.stamp
            kind, stamp = 101, self.event
            payload = bytes([code, (0x80 if last else 0) | 10]) + duration.to_bytes(2, "big")
        head = bytes([0x80, kind]) + self.sequence.to_bytes(2, "big") + stamp.to_bytes(4, "big") + self.ssrc.to_bytes(4, "big")
        self.sequence, self.stamp = (self.sequence + 1) & 0xFFFF, (self.stamp + 160) & 0xFFFFFFFF
        try:
            self.rtp.sendto(head + payload, self.remote)
        except OSError:
            # The program is gone for the moment: the telephone talks on.
            pass


class Phones(threading.Thread):
    """All of them. `legs` is read by the test while the thread runs."""

    def __init__(self, hotline, sound=True):
        super().__init__(daemon=True)
        self.trunk, self.registrar = ("127.0.0.1", hotline.trunk), ("127.0.0.1", hotline.agents)
        self.citizens, self.agents, self.departments = (self._open(port) for port in (0, 0, hotline.departments))
        self.legs, self.registrations, self.running, self.sound = {}, {}, True, sound
        self.cseqs, self.refreshed = {}, time.monotonic()
        self.stray = []

    @staticmethod
    def _open(port):
        opened = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        opened.bind(("127.0.0.1", port))
        opened.setblocking(False)
        return opened

    def of(self, kind):
        return [leg for leg in list(self.legs.values()) if leg.kind == kind]

    def stop(self):
        self.running = False
        self.join(3)
        for opened in (self.citizens, self.agents, self.departments):
            opened.close()

    # ---- what the test asks for

    def register(self, numbers):
        """Registers agents by digest; until all are bound it must be called again."""
        for number in numbers:
            self.registrations[number] = None
            self._register(number, 1)
            self.refreshed = time.monotonic()

    def registered(self):
        return sum(1 for bound in self.registrations.values() if bound)

    def dial(self, number, to="12345"):
        leg = Leg(self, "citizen", number, f"{random.randrange(1 << 60):x}@citizens")
        self.legs["citizen", leg.call_id] = leg
        leg.to, leg.dialled_at, leg.again = to, time.monotonic(), 0.5
        self._invite(leg)
        return leg

    def hang_up(self, leg):
        self._request(leg, "BYE", 2, f"{leg.branch}b")

    # ---- the thread

    def run(self):
        watch = selectors.DefaultSelector()
        for opened in (self.citizens, self.agents, self.departments):
            watch.register(opened, selectors.EVENT_READ)
        next_sound = time.monotonic()
        while self.running:
            for key, _ in watch.select(0.004):
                while True:
                    try:
                        data, source = key.fileobj.recvfrom(65536)
                    except BlockingIOError:
                        break
                    self._take(key.fileobj, data.decode(errors="replace"), source)
            now = time.monotonic()
            if now - self.refreshed > REFRESH:
                self.refreshed = now
                for number, cseq in list(self.cseqs.items()):
                    self._register(number, cseq + 1)
            for leg in list(self.legs.values()):
                if leg.kind == "citizen" and leg.answered_at is None and leg.refused is None and now - leg.dialled_at > leg.again:
                    # Timer A: the INVITE again, after twice as long each time; 32 s at most.
                    leg.again += leg.again + 0.5
                    if now - leg.dialled_at < 32:
                        self._invite(leg)
            if self.sound and now >= next_sound:
                next_sound = max(next_sound + 0.02, now - 0.2)
                for leg in list(self.legs.values()):
                    leg.sound()

    def _take(self, opened, text, source):
        if text.startswith("SIP/2.0 "):
            self._answered(opened, text)
            return
        method = text.split(" ", 1)[0]
        if method == "INVITE":
            self._rung(opened, text, source)
        elif method == "BYE":
            self._ended(opened, text, source)
        elif method != "ACK":
            self._reply(opened, text, source, "200 OK")

    def _rung(self, opened, text, source):
        kind = "agent" if opened is self.agents else "department"
        call_id = header(text, "Call-ID")
        leg = self.legs.get((kind, call_id))
        if leg is None:
            number = re.match(r"INVITE sips?:([^@;>\s]+)", text)[1]
            leg = Leg(self, kind, number, call_id)
            leg.other_tag, leg.dialled_at = tag(header(text, "From")), time.monotonic()
            self.legs[kind, call_id] = leg
        leg.highest_cseq = max(leg.highest_cseq, int(header(text, "CSeq").split()[0]))
        leg.listen_to(text)
        self._reply(opened, text, source, "180 Ringing", leg)
        self._reply(opened, text, source, "200 OK", leg, leg.sdp())
        if leg.answered_at is None:
            leg.answered_at = time.monotonic()

    def _ended(self, opened, text, source):
        kind = {self.citizens: "citizen", self.agents: "agent", self.departments: "department"}[opened]
        leg = self.legs.get((kind, header(text, "Call-ID")))
        if leg is None:
            self.stray.append(text)
            self._reply(opened, text, source, "481 Call/Transaction Does Not Exist")
            return
        cseq = int(header(text, "CSeq").split()[0])
        if leg.ended_at is None:
            if (tag(header(text, "To")), tag(header(text, "From"))) != (leg.own_tag, leg.other_tag):
                leg.faults.append("BYE with other tags")
            if cseq <= leg.highest_cseq:
                leg.faults.append(f"BYE with CSeq {cseq}, after {leg.highest_cseq}")
            leg.ended_at, leg.reason = time.monotonic(), header(text, "Reason")
        self._reply(opened, text, source, "200 OK")

    def _answered(self, opened, text):
        status, cseq = int(text[8:11]), header(text, "CSeq").split()
        if cseq[1] == "REGISTER":
            self._registered(text, status)
            return
        leg = self.legs.get(("citizen", header(text, "Call-ID")))
        if leg is None or opened is not self.citizens:
            return
        if cseq[1] == "INVITE" and status == 200:
            leg.other_tag = tag(header(text, "To"))
            self._request(leg, "ACK", 1, f"{leg.branch}a")
            if leg.answered_at is None:
                leg.listen_to(text)
                leg.answered_at = time.monotonic()
        elif cseq[1] == "INVITE" and status >= 300:
            leg.refused, leg.retry_after = status, header(text, "Retry-After")
            leg.other_tag = tag(header(text, "To"))
            self._request(leg, "ACK", 1, leg.branch)
        elif cseq[1] == "BYE" and leg.ended_at is None:
            leg.ended_at, leg.reason = time.monotonic(), "own"

    def _invite(self, leg):
        self._request(leg, "INVITE", 1, leg.branch, leg.sdp())

    def _request(self, leg, method, cseq, branch, body=""):
        port = self.citizens.getsockname()[1]
        to = f";tag={leg.other_tag}" if leg.other_tag else ""
        kind = "Content-Type: application/sdp\r\n" if body else ""
        self.citizens.sendto((
            f"{method} sip:{leg.to}@127.0.0.1 SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1:{port};branch={branch};rport\r\n"
            f"Max-Forwards: 70\r\nFrom: <sip:{leg.number}@127.0.0.1>;tag={leg.own_tag}\r\nTo: <sip:{leg.to}@127.0.0.1>{to}\r\n"
            f"Call-ID: {leg.call_id}\r\nCSeq: {cseq} {method}\r\nContact: <sip:citizen@127.0.0.1:{port}>\r\n{kind}"
            f"Content-Length: {len(body)}\r\n\r\n{body}").encode(), self.trunk)

    def _reply(self, opened, request, source, status, leg=None, body=""):
        lines = [f"SIP/2.0 {status}"]
        for line in request.split("\r\n\r\n", 1)[0].split("\r\n")[1:]:
            if re.match(r"To[ \t]*:", line, re.I) and leg and not tag(line):
                line += f";tag={leg.own_tag}"
            if re.match(r"(Via|From|To|Call-ID|CSeq|Record-Route)[ \t]*:", line, re.I):
                lines.append(line)
        if leg:
            lines.append(f"Contact: <sip:{leg.number}@127.0.0.1:{opened.getsockname()[1]}>")
        if body:
            lines.append("Content-Type: application/sdp")
        opened.sendto(("\r\n".join(lines) + f"\r\nContent-Length: {len(body)}\r\n\r\n{body}").encode(), source)

    # ---- registration

    def _register(self, number, cseq, authorization=""):
        port = self.agents.getsockname()[1]
        self.cseqs[number] = cseq
        self.agents.sendto((
            f"REGISTER sip:127.0.0.1 SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1:{port};branch=z9hG4bK{random.randrange(1 << 40)};rport\r\n"
            f"Max-Forwards: 70\r\nFrom: <sip:{number}@127.0.0.1>;tag=r{number}\r\nTo: <sip:{number}@127.0.0.1>\r\n"
            f"Call-ID: register-{number}-{port}\r\nCSeq: {cseq} REGISTER\r\nContact: <sip:{number}@127.0.0.1:{port}>\r\n"
            f"Expires: 300\r\n{authorization}Content-Length: 0\r\n\r\n").encode(), self.registrar)

    def _registered(self, text, status):
        number = re.search(r"register-(\d+)-", header(text, "Call-ID"))[1]
        if status == 200:
            self.registrations[number] = True
            return
        asked = re.search(r"^WWW-Authenticate:.*SHA-256.*$", text, re.M | re.I)
        if status != 401 and self.registrations[number]:
            # A refresh that came at a bad moment: it is bound still, and the next one comes.
            return
        if status != 401 or not asked:
            raise Failed(f"REGISTER of {number}: {text.splitlines()[0]}")
        realm, nonce = (re.search(rf'{name}="([^"]*)"', asked[0])[1] for name in ("realm", "nonce"))
        digest = lambda value: hashlib.sha256(value.encode()).hexdigest()
        uri, client = "sip:127.0.0.1", f"{random.randrange(1 << 60):x}"
        secret = digest(f"{number}:{realm}:sandbox-{number}")
        response = digest(f"{secret}:{nonce}:00000001:{client}:auth:{digest(f'REGISTER:{uri}')}")
        cseq = int(header(text, "CSeq").split()[0]) + 1
        self._register(number, cseq, (
            f'Authorization: Digest username="{number}", realm="{realm}", nonce="{nonce}", uri="{uri}", algorithm=SHA-256, '
            f'qop=auth, nc=00000001, cnonce="{client}", response="{response}"\r\n'))
