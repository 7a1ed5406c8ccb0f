"""SIP over TLS with real telephones: baresip registers as agent 8001; sipp's citizens ring it over the connection that it
opened; sound goes both ways; each side hangs up once.

Then what must not disturb them: somebody who trusts another certificate, 2,000 half-open connections, a certificate that
is exchanged by SIGHUP while they talk, and one that is bad.
"""
import pathlib
import random
import re
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import time

from lib import Baresip, Failed, Hotline, check, free_ports, level_at, tone, until, write_wav
from three_way import Citizen

SECONDS = 120


def self_signed(folder, name):
    """A certificate for this host's loopback address that only vouches for itself; its paths."""
    paths = pathlib.Path(folder) / f"{name}.pem", pathlib.Path(folder) / f"{name}.key"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "30",
                    "-subj", f"/CN={name}", "-addext", "subjectAltName=IP:127.0.0.1,DNS:localhost", "-out", paths[0], "-keyout", paths[1]],
                   check=True, capture_output=True)
    paths[1].chmod(0o600)
    return paths


class Encrypted(Hotline):
    """The program with a TLS listener beside the others."""

    def __init__(self):
        super().__init__()
        self.tls = free_ports(1)[0]
        self.certificate, self.key = self_signed(self.folder, "one")
        path = self.folder / "hotline.toml"
        text = path.read_text().replace(f'"tcp:127.0.0.1:{self.agents}"', f'"tcp:127.0.0.1:{self.agents}", "tls:127.0.0.1:{self.tls}"')
        path.write_text(text.replace("[http]", '[tls]\ncertificate = "one.pem"\nkey = "one.key"\n[http]', 1))

    def shake_hands(self, trusted):
        """A TLS connection whose other side showed `trusted`."""
        context = ssl.create_default_context(cafile=str(trusted))
        return context.wrap_socket(socket.create_connection(("127.0.0.1", self.tls), timeout=10), server_hostname="127.0.0.1")

    def log(self):
        return re.sub(r"\x1b\[[0-9;]*m", "", (self.folder / "log").read_text(errors="replace"))

    def metric(self, name):
        text = self.ask("GET", "/metrics")[2].decode()
        found = re.search(rf"^{re.escape(name)} (\S+)$", text, re.M)
        return float(found[1]) if found else None

    def agent(self, number, token):
        """What is shown of an agent; nobody is shown who never signed in."""
        return next((a for a in self.api("GET", "/agents", token=token)["items"] if a["agent"] == number), {})

    def reload(self):
        self.process.send_signal(signal.SIGHUP)


def register_text(port, number, cseq):
    return (f"REGISTER sip:127.0.0.1 SIP/2.0\r\nVia: SIP/2.0/TLS 127.0.0.1:{port};branch=z9hG4bK{random.randrange(1 << 40)};rport\r\n"
            f"Max-Forwards: 70\r\nFrom: <sip:{number}@127.0.0.1>;tag=r{number}\r\nTo: <sip:{number}@127.0.0.1>\r\n"
            f"Call-ID: tls-{number}-{port}\r\nCSeq: {cseq} REGISTER\r\nContact: <sip:{number}@127.0.0.1:{port};transport=tls>\r\n"
            f"Expires: 300\r\nContent-Length: 0\r\n\r\n").encode()


def encrypted_baresip(name, folder, hotline, number, hertz, trusted):
    account = (f"<sip:{number}@127.0.0.1:{hotline.tls};transport=tls>;auth_user={number};auth_pass=sandbox-{number};"
               "answermode=auto;audio_codecs=pcma;regint=60")
    return Baresip(name, folder, free_ports(1)[0], hertz, SECONDS, account, f"sip_cafile {trusted}\n")


def call(hotline, citizen, token):
    return (hotline.api("GET", f"/calls?sip_call_id={citizen.id}", token=token)["items"] or [None])[0]


def talk(hotline, folder, hertz, agent_hz, token, number):
    """A citizen calls and talks with the agent."""
    citizen = Citizen(hotline.trunk, hertz, tempfile.mkdtemp(dir=folder))
    citizen.dial()
    time.sleep(2)
    citizen.rtp.press("0")
    until(f"{number} answers", 20, lambda: (call(hotline, citizen, token) or {}).get("state") == "talking")
    until("the citizen hears the agent", 10, lambda: level_at(citizen.rtp.last(1), agent_hz) > -30)
    return citizen


def main():
    hertz, agent_hz = random.uniform(350, 600), random.uniform(900, 1500)
    print(f"TLS: citizen {hertz:.0f} Hz, agent {agent_hz:.0f} Hz")
    with Encrypted() as hotline, tempfile.TemporaryDirectory() as folder:
        phones = []
        try:
            story(hotline, folder, phones, hertz, agent_hz)
        except Failed:
            for phone in phones:
                print(f"--- {phone.folder.name}'s log\n{(phone.folder / 'log').read_text(errors='replace')[-2500:]}", file=sys.stderr)
            raise
        finally:
            for phone in phones:
                phone.stop()


def story(hotline, folder, phones, hertz, agent_hz):
    token = hotline.sign_in()
    other, _ = self_signed(folder, "other")
    agent = encrypted_baresip("agent", folder, hotline, "8001", agent_hz, hotline.certificate)
    phones.append(agent)
    until("8001 registers over TLS", 15, lambda: hotline.agent("8001", token).get("registered"))
    check("baresip registered as 8001 over TLS and is ready", hotline.agent("8001", token)["status"] == "ready")
    check("who trusts another certificate does not shake hands", not shown(hotline, other))
    until("the handshake that failed is told", 15, lambda: "a TLS handshake failed" in hotline.log())

    citizen = talk(hotline, folder, hertz, agent_hz, token, "8001")
    try:
        check("a call rings over the telephone's own connection, and the citizen hears the agent", True)
        # While they talk: the certificate is exchanged, and then spoilt.
        first = shutil.copy(hotline.certificate, folder)
        second, second_key = self_signed(folder, "two")
        shutil.copy(second, hotline.certificate)
        shutil.copy(second_key, hotline.key)
        hotline.reload()
        until("the new certificate is shown", 10, lambda: shown(hotline, second))
        check("after SIGHUP a new handshake sees the new certificate", not shown(hotline, first))
        ends = hotline.metric('hotline_certificate_not_after_seconds{profile="agents"}')
        check("/metrics says when it ends", ends is not None and abs(ends - time.time() - 30 * 86400) < 86400, ends)
        hotline.key.write_text("no key")
        hotline.reload()
        until("the fault is told", 10, lambda: re.search(r"one\.key: holds no private key", hotline.log()))
        check("a bad key leaves the old certificate in force", shown(hotline, second))
        shutil.copy(second_key, hotline.key)
        half_open(hotline, second)
        check("the call goes on", call(hotline, citizen, token)["state"] == "talking" and level_at(citizen.rtp.last(1), agent_hz) > -30)
        check("sipp hung up, and its call went well", citizen.hung_up())
    finally:
        citizen.stop()
    rate, samples = agent.heard()
    check("baresip heard the citizen", level_at(samples[rate * 4:rate * 5], hertz) > -30, f"{level_at(samples[rate * 4:rate * 5], hertz):.0f} dB")

    # The agent hangs up this one.
    until("8001 is ready again", 15, lambda: hotline.agent("8001", token)["status"] == "ready")
    citizen = talk(hotline, folder, hertz, agent_hz, token, "8001")
    try:
        agent.command("hangup")
        until("the agent's BYE", 10, lambda: call(hotline, citizen, token)["state"] != "talking")
        check("the agent's BYE came over TLS", True, call(hotline, citizen, token)["state"])
    finally:
        citizen.stop()


def shown(hotline, certificate):
    """Whether a new handshake shows this certificate."""
    try:
        hotline.shake_hands(certificate).close()
        return True
    except ssl.SSLError:
        return False


def half_open(hotline, trusted):
    """Two thousand connections that begin a handshake and stop; then a real telephone."""
    opened = []
    try:
        for _ in range(2_000):
            stranger = socket.create_connection(("127.0.0.1", hotline.tls), timeout=10)
            stranger.sendall(b"\x16\x03\x01")
            opened.append(stranger)
        began = time.monotonic()
        with hotline.shake_hands(trusted) as link:
            link.settimeout(5)
            link.sendall(register_text(link.getsockname()[1], "8005", 1))
            answer = link.recv(4096).decode()
        check("2,000 half-open connections: a REGISTER is answered", answer.startswith("SIP/2.0 401"),
              f"{time.monotonic() - began:.3f} s")
    finally:
        for stranger in opened:
            stranger.close()


if __name__ == "__main__":
    try:
        main()
    except Failed as failed:
        sys.exit(f"FAILED: {failed}")
