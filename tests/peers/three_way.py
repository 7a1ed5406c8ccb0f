"""Three real telephones on one call: sipp as the citizen, baresip as agent 8001, who brings the hotline in by the keys of
its telephone, and a second baresip as the departmental hotline 12330.

Each plays a tone drawn at random. What each of them itself received must hold the others' tones, and its own at -40 dB
or below; keys arrive once; the recording is stereo, of the right length, the citizen left.
"""
import io
import pathlib
import random
import re
import subprocess
import sys
import tempfile
import time

from lib import Baresip, Failed, Hotline, Rtp, check, free_ports, level_at, read_wav, until

APART = -40.0
SECONDS = 60


class Citizen:
    """sipp signals, `Rtp` sounds: a citizen who dials and hangs up after forty seconds."""

    def __init__(self, trunk, hertz, folder):
        self.rtp, self.log = Rtp(hertz), pathlib.Path(folder) / "citizen.log"
        self.command = ["sipp", "-sf", pathlib.Path(__file__).with_name("citizen.xml"), "-s", "12345", "-m", "1", "-i", "127.0.0.1",
                        "-p", str(free_ports(1)[0]), "-key", "rtp", str(self.rtp.port), "-trace_logs", "-log_file", self.log, "-nostdin",
                        "-timeout", "100", f"127.0.0.1:{trunk}"]
        self.process, self.id = None, ""

    def dial(self):
        self.process = subprocess.Popen(self.command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                        stderr=subprocess.PIPE, text=True, cwd=self.log.parent)
        def answered():
            if self.process.poll() is not None:
                raise Failed("the call was refused: " + self.process.stderr.read()[-500:])
            return self.log.exists() and re.search(r"answered (\d+) (\S+)", self.log.read_text())
        port, self.id = until("sipp's call is answered", 10, answered).groups()
        self.rtp.remote = ("127.0.0.1", int(port))
        self.rtp.start()

    def hung_up(self):
        """Whether sipp ended well, once it ended."""
        return self.process.wait(60) == 0

    def stop(self):
        if self.process and self.process.poll() is None:
            self.process.kill()
        if self.rtp.is_alive():
            self.rtp.stop()


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
        agent = Baresip("agent", folder, free_ports(1)[0], agent_hz, SECONDS,
                        f"<sip:8001@127.0.0.1:{hotline.agents};transport=udp>;auth_user=8001;auth_pass=sandbox-8001;"
                        "answermode=auto;audio_codecs=pcma;regint=60")
        department = Baresip("department", folder, hotline.departments, department_hz, SECONDS,
                             f"<sip:12330@127.0.0.1:{hotline.departments};transport=udp>;regint=0;answermode=auto;audio_codecs=pcma")
        citizen = Citizen(hotline.trunk, citizen_hz, folder)
        try:
            story(hotline, citizen, agent, department, (citizen_hz, agent_hz, department_hz))
        except Failed:
            for phone in (agent, department):
                print(f"--- {phone.folder.name}'s log\n{(phone.folder / 'log').read_text(errors='replace')[-1500:]}", file=sys.stderr)
            raise
        finally:
            citizen.stop()
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
        return (hotline.api("GET", f"/calls?sip_call_id={citizen.id}", token=token)["items"] or [None])[0]
    until("the agent answers", 20, lambda: (call() or {}).get("state") == "talking")
    found = call()
    check("key 0 reached the flow once", found["keys"] == "0", found["keys"])
    time.sleep(3)
    check("the citizen hears the agent", level_at(citizen.rtp.last(1), agent_hz) > -30, f"{level_at(citizen.rtp.last(1), agent_hz):.0f} dB")
    press(agent, "7")
    until("the agent's key", 3, lambda: citizen.rtp.keys)
    check("the agent's key reached the citizen once", citizen.rtp.keys == ["7"], citizen.rtp.keys)
    press(agent, "*312330#")
    until("the department is joined", 20, lambda: call()["state"] == "three_way")
    check("the agent's keys *3 12330 # brought the department in; none of them reached the citizen",
          citizen.rtp.keys == ["7"], citizen.rtp.keys)
    time.sleep(6)
    press(department, "4")
    until("the department's key", 3, lambda: len(citizen.rtp.keys) > 1)
    check("the department's key reached the citizen once", citizen.rtp.keys == ["7", "4"], citizen.rtp.keys)
    time.sleep(3)
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
    check("sipp hung up, and its call went well", citizen.hung_up())
    ended = until("the call ends", 5, lambda: call()["state"] == "ended" and call())
    agent.stop()
    department.stop()
    for phone, others, own in ((agent, {"citizen": citizen_hz, "department": department_hz}, agent_hz),
                               (department, {"citizen": citizen_hz, "agent": agent_hz}, department_hz)):
        rate, samples = phone.heard()
        check(f"{phone.folder.name} kept what it heard", rate == 8000 and len(samples) > 8000, f"{len(samples) / rate:.1f} s")
        best_report(f"baresip as {phone.folder.name}", samples, others, own)
    recording(hotline, token, ended, hertz)
    check("outcome of the three-way call", ended["three_way"][0]["outcome"] == "joined", ended["three_way"][0]["outcome"])
    check("the call has a ticket", bool(ended["ticket_no"]), ended["ticket_no"])


def press(phone, keys):
    """Presses keys of a baresip, one after the other."""
    for key in keys:
        phone.command("sndcode", key)
        time.sleep(0.3)


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
