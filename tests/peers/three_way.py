"""Three real telephones on one call: a citizen signalled by sipp's protocol with RTP of its own, baresip as agent 8001, and
a second baresip as the departmental hotline 12330.

Each plays a tone drawn at random. What each of them itself received must hold the others' tones, and its own at -40 dB
or below; keys arrive once; the recording is stereo, of the right length, the citizen left.
"""
import io
import random
import re
import socket
import sys
import tempfile
import time

from lib import Baresip, Failed, Hotline, Rtp, check, level_at, read_wav, until

APART = -40.0
SECONDS = 60


class Citizen:
    """A caller's signalling, and its sound in `Rtp`."""

    def __init__(self, trunk, hertz):
        self.trunk, self.rtp = ("127.0.0.1", trunk), Rtp(hertz)
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.socket.settimeout(0.2)
        self.port = self.socket.getsockname()[1]
        self.id, self.tag = f"peer-{random.randrange(1 << 40)}@citizen", ""
        self.ended = False

    def send(self, method, cseq, body=""):
        kind = "Content-Type: application/sdp\r\n" if body else ""
        branch = f"z9hG4bK{random.randrange(1 << 40)}"
        self.socket.sendto((
            f"{method} sip:12345@127.0.0.1 SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1:{self.port};branch={branch};rport\r\n"
            f"Max-Forwards: 70\r\nFrom: <sip:13900000077@127.0.0.1>;tag=c\r\nTo: <sip:12345@127.0.0.1>{self.tag}\r\n"
            f"Call-ID: {self.id}\r\nCSeq: {cseq} {method}\r\nContact: <sip:citizen@127.0.0.1:{self.port}>\r\n{kind}"
            f"Content-Length: {len(body)}\r\n\r\n{body}").encode(), self.trunk)

    def receive(self, seconds):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            try:
                text = self.socket.recv(65536).decode(errors="replace")
            except (TimeoutError, socket.timeout):
                continue
            if text.startswith("BYE"):
                self.ended = True
                lines = [line for line in text.split("\r\n") if re.match(r"(Via|From|To|Call-ID|CSeq):", line, re.I)]
                self.socket.sendto(("SIP/2.0 200 OK\r\n" + "\r\n".join(lines) + "\r\nContent-Length: 0\r\n\r\n").encode(), self.trunk)
            yield text

    def dial(self):
        self.send("INVITE", 1, (
            "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n"
            f"m=audio {self.rtp.port} RTP/AVP 8 101\r\na=rtpmap:8 PCMA/8000\r\na=rtpmap:101 telephone-event/8000\r\n"
            "a=fmtp:101 0-15\r\na=ptime:20\r\na=sendrecv\r\n"))
        for text in self.receive(10):
            if text.startswith("SIP/2.0 200"):
                self.tag = re.search(r"^To:.*?(;tag=[^\s;]+)", text, re.M | re.I)[1]
                self.send("ACK", 1)
                self.rtp.remote = ("127.0.0.1", int(re.search(r"m=audio (\d+)", text)[1]))
                self.rtp.start()
                return
            if text.startswith("SIP/2.0 ") and text[8] in "3456":
                raise Failed("the call was refused: " + text.split("\r\n")[0])
        raise Failed("the call was not answered in 10 s")

    def hang_up(self):
        self.send("BYE", 2)
        for text in self.receive(3):
            if text.startswith("SIP/2.0 200"):
                return


def tones():
    """Three frequencies far from each other and from their small multiples."""
    while True:
        found = sorted(random.uniform(350, 1900) for _ in range(3))
        pairs = [(a, b) for a in found for b in found if a != b]
        if all(abs(a * n - b) > 120 for a, b in pairs for n in (1, 2, 3)):
            random.shuffle(found)
            return found


def main():
    citizen_hz, agent_hz, department_hz = tones()
    print(f"three telephones: citizen {citizen_hz:.0f} Hz, agent 8001 {agent_hz:.0f} Hz, 12330 {department_hz:.0f} Hz")
    with Hotline() as hotline, tempfile.TemporaryDirectory() as folder:
        from lib import free_ports
        agent = Baresip("agent", folder, free_ports(1)[0], agent_hz, SECONDS,
                        f"<sip:8001@127.0.0.1:{hotline.agents};transport=udp>;auth_user=8001;auth_pass=sandbox-8001;"
                        "answermode=auto;audio_codecs=pcma;regint=60")
        department = Baresip("department", folder, hotline.departments, department_hz, SECONDS,
                             f"<sip:12330@127.0.0.1:{hotline.departments};transport=udp>;regint=0;answermode=auto;audio_codecs=pcma")
        citizen = Citizen(hotline.trunk, citizen_hz)
        try:
            story(hotline, citizen, agent, department, (citizen_hz, agent_hz, department_hz))
        except Failed:
            for phone in (agent, department):
                print(f"--- {phone.folder.name}'s log\n{(phone.folder / 'log').read_text(errors='replace')[-1500:]}", file=sys.stderr)
            raise
        finally:
            citizen.rtp.stop() if citizen.rtp.is_alive() else None
            agent.stop()
            department.stop()


def story(hotline, citizen, agent, department, hertz):
    citizen_hz, agent_hz, department_hz = hertz
    token = hotline.sign_in()
    until("8001 registers", 15, lambda: any(a["agent"] == "8001" and a["registered"] and a["status"] == "ready"
                                            for a in hotline.api("GET", "/agents", token=token)["items"]))
    check("baresip registered as 8001 by digest and is ready", True)
    citizen.dial()
    time.sleep(2)
    citizen.rtp.press("0")
    def call():
        list(citizen.receive(0.05))
        return (hotline.api("GET", f"/calls?sip_call_id={citizen.id}", token=token)["items"] or [None])[0]
    until("the agent answers", 20, lambda: (call() or {}).get("state") == "talking")
    found = call()
    check("key 0 reached the flow once", found["keys"] == "0", found["keys"])
    time.sleep(3)
    check("the citizen hears the agent", level_at(citizen.rtp.last(1), agent_hz) > -30, f"{level_at(citizen.rtp.last(1), agent_hz):.0f} dB")
    hotline.api("POST", f"/calls/{found['id']}/three-way", {"hotline": "12330"}, token)
    until("the department is joined", 20, lambda: call()["state"] == "three_way")
    joined = time.monotonic()
    time.sleep(9)
    heard = citizen.rtp.last(2)
    report("the citizen", heard, {"agent": agent_hz, "department": department_hz}, citizen_hz)
    before = len(citizen.rtp.keys)
    hotline.api("POST", f"/calls/{found['id']}/leave", {}, token)
    until("the agent has left", 5, lambda: call()["state"] == "handed_over")
    time.sleep(2.5)
    check("after the agent left the citizen still hears the department",
          level_at(citizen.rtp.last(1), department_hz) > -30 and level_at(citizen.rtp.last(1), agent_hz) < -50,
          f"{level_at(citizen.rtp.last(1), department_hz):.0f} dB, agent {level_at(citizen.rtp.last(1), agent_hz):.0f} dB")
    check("no keys were invented", len(citizen.rtp.keys) == before)
    citizen.hang_up()
    ended = until("the call ends", 5, lambda: call()["state"] == "ended" and call())
    agent.stop()
    department.stop()
    conference = time.monotonic() - joined
    for phone, others, own in ((agent, {"citizen": citizen_hz, "department": department_hz}, agent_hz),
                               (department, {"citizen": citizen_hz, "agent": agent_hz}, department_hz)):
        rate, samples = phone.heard()
        check(f"{phone.folder.name} kept what it heard", rate == 8000 and len(samples) > 8000, f"{len(samples) / rate:.1f} s")
        best_report(f"baresip as {phone.folder.name}", samples, others, own)
    recording(hotline, token, ended, hertz)
    check("outcome of the three-way call", ended["three_way"][0]["outcome"] == "joined", ended["three_way"][0]["outcome"])
    check("the call has a ticket", bool(ended["ticket_no"]), ended["ticket_no"])
    _ = conference


def report(who, samples, others, own):
    levels = {name: level_at(samples, hz) for name, hz in others.items()}
    itself = level_at(samples, own)
    check(f"{who} hears the others and not itself",
          all(level > -30 for level in levels.values()) and itself <= min(levels.values()) + APART,
          ", ".join(f"{n} {l:.0f} dB" for n, l in levels.items()) + f", itself {itself:.0f} dB")


def best_report(who, samples, others, own):
    """The second in which all others are heard best."""
    seconds = [samples[at:at + 8000] for at in range(0, len(samples) - 8000, 4000)]
    report(who, max(seconds, key=lambda s: min(level_at(s, hz) for hz in others.values())), others, own)


def recording(hotline, token, ended, hertz):
    citizen_hz, agent_hz, department_hz = hertz
    path = ended["recording"]["audio"].removeprefix("/api/v1")
    def sealed():
        return hotline.api("GET", f"/recordings/{ended['recording']['id']}", token=token)["state"] == "complete"
    until("the recording is sealed", 10, sealed)
    channels, rate, (left, right) = read_wav(io.BytesIO(hotline.api("GET", path, token=token, raw=True)))
    from datetime import datetime
    at = lambda key: datetime.fromisoformat(ended[key]).timestamp()
    talked, length = at("ended_at") - at("served_at"), len(left) / rate
    check("the recording is stereo, 8 kHz", (channels, rate) == (2, 8000))
    check("its length is the talk's, within 1 %", abs(length - talked) <= talked * 0.01, f"{length:.2f} s of {talked:.2f} s")
    second = lambda side, hz: max(level_at(side[at:at + 8000], hz) for at in range(0, len(side) - 8000, 8000))
    check("citizen left", second(left, citizen_hz) > -30, f"{second(left, citizen_hz):.0f} dB")
    check("agent and department right", second(right, agent_hz) > -30 and second(right, department_hz) > -30,
          f"{second(right, agent_hz):.0f}, {second(right, department_hz):.0f} dB")
    check("nobody on the other side", second(left, agent_hz) < -45 and second(right, citizen_hz) < -45,
          f"agent left {second(left, agent_hz):.0f} dB, citizen right {second(right, citizen_hz):.0f} dB")


if __name__ == "__main__":
    main()
