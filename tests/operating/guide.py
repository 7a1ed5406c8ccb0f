#!/usr/bin/env python3
"""Follows docs/operating.md on an empty Debian, command by command as it is printed there, and looks after each step.

usage: HOTLINE=target/release/hotline tests/operating/guide.py     needs root, debootstrap, systemd-nspawn, slirp4netns

The commands are taken out of the guide: what is new in it is followed, too. `PERSON` is what the guide leaves to whoever reads
it: names, passwords, an editor. Step 1 (the compiler) is left out: the program is the one that HOTLINE names. The machine has a
network of its own, with the guide's addresses, and a second one beside it for the telephones and the carrier.
"""
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests/peers"))

from lib import PROGRAM, Failed, check, tone, until, write_wav  # noqa: E402

GUIDE = ROOT / "docs/operating.md"
SOURCES = "/usr/local/src/hotline"
NODE, OFFICE = f"guide-node-{os.getpid()}", f"guide-office-{os.getpid()}"
# What stands in for the person: a part of the command, and what that person makes of it.
PERSON = [
    ("THIS-MACHINE", "192.0.2.10"),
    ("editor ", ": "),
    ("journalctl -u hotline -f", "timeout 3 journalctl -u hotline -f || test $? = 124"),
    ("systemctl status hotline", "systemctl --no-pager status hotline"),
]


def commands():
    """[(heading, command)] of the guide, in its order, step 1 left out."""
    heading, block, found = "", [], []
    for line in [*GUIDE.read_text().splitlines(), ""]:
        if line.startswith("    "):
            block.append(line[4:])
            continue
        if block and heading != "1. The program.":
            found.extend((heading, command) for command in split(block))
        block = []
        title = re.match(r"#+ (.*)|\*\*(\d+\. .*?)\*\*", line)
        heading = (title[1] or title[2]) if title else heading
    return found


def split(lines):
    """The commands of one block: a line, unless it goes on."""
    command, ends_with = [], None
    for line in lines:
        command.append(line)
        here = re.search(r"<<'(\w+)'", line)
        ends_with = here[1] if here else ends_with
        if line.endswith("\\") or (ends_with and line != ends_with):
            continue
        yield "\n".join(command)
        command, ends_with = [], None


def run(*words, **more):
    done = subprocess.run([str(word) for word in words], capture_output=True, text=True, **more)
    if done.returncode != 0:
        raise Failed(f"{' '.join(map(str, words))[:200]}: {(done.stdout + done.stderr)[-800:]}")
    return done.stdout


class Machine:
    """An empty Debian that has booted, and one shell of root's on it."""

    def __init__(self, folder):
        self.root, self.folder, self.programs = folder / "debian", folder, []
        self.log = open(folder / "log", "wb")
        self.shell = None

    def make(self):
        # The office and the carrier: 192.0.2.20 and 198.51.100.7, on a cable to the machine.
        for name in (NODE, OFFICE):
            run("ip", "netns", "add", name)
            run("ip", "-n", name, "link", "set", "lo", "up")
        run("ip", "link", "add", "office", "netns", NODE, "type", "veth", "peer", "name", "node", "netns", OFFICE)
        for name, device, addresses in ((NODE, "office", ["192.0.2.10/24"]), (OFFICE, "node", ["192.0.2.20/24", "198.51.100.7/24"])):
            for address in addresses:
                run("ip", "-n", name, "address", "add", address, "dev", device)
            run("ip", "-n", name, "link", "set", device, "up")
        run("ip", "-n", NODE, "route", "add", "198.51.100.0/24", "dev", "office")
        hosts = pathlib.Path("/etc/netns", OFFICE)
        hosts.mkdir(parents=True)
        (hosts / "hosts").write_text("127.0.0.1 localhost\n192.0.2.10 hotline.example.cn\n")
        run("debootstrap", "bookworm", self.root)
        sources = self.root / SOURCES.lstrip("/")
        for path in run("git", "-C", ROOT, "ls-files", "deploy", "docs").split():
            (sources / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / path, sources / path)
        (sources / "target/release").mkdir(parents=True)
        shutil.copy(PROGRAM, sources / "target/release/hotline")
        # The way to Debian's packages.
        self.begin("slirp4netns", "--configure", "--netns-type=path", f"/run/netns/{NODE}", "packages")
        (self.root / "etc/resolv.conf").unlink(missing_ok=True)
        (self.root / "etc/resolv.conf").write_text("nameserver 10.0.2.3\n")

    def begin(self, *words):
        self.programs.append(subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log))
        return self.programs[-1]

    def boot(self):
        nspawn = self.begin("systemd-nspawn", "--quiet", f"--directory={self.root}", "--boot", "--register=no", "--keep-unit",
                            "--resolv-conf=off", "--capability=CAP_NET_ADMIN", "--console=pipe", f"--network-namespace-path=/run/netns/{NODE}")
        children = pathlib.Path(f"/proc/{nspawn.pid}/task/{nspawn.pid}/children")
        leader = lambda: nspawn.poll() is None and children.exists() and children.read_text().split()
        inside = until("the machine boots", 30, leader)[0]
        enter = ["nsenter", "-t", inside, "-m", "-u", "-i", "-n", "-p", "-C", "--", "env", "-i", "HOME=/root", "TERM=dumb",
                 "LANG=C.UTF-8", "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"]
        up = lambda: subprocess.run([*enter, "systemctl", "is-system-running"], capture_output=True, text=True).stdout.strip()
        until("the machine is up", 90, lambda: up() in ("running", "degraded"), step=0.5)
        self.shell = subprocess.Popen([*enter, "bash", "--noprofile", "--norc"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                      stderr=subprocess.STDOUT, text=True, start_new_session=True)
        self.type(f"cd {SOURCES}")

    def type(self, command, answers=""):
        """Has the shell do it; (exit code, what was said)."""
        (self.root / "root/command").write_text(command + "\n")
        (self.root / "root/answers").write_text(answers)
        self.shell.stdin.write(". /root/command < /root/answers; code=$?; echo; echo ended-$code\n")
        self.shell.stdin.flush()
        said = []
        for line in self.shell.stdout:
            if line.startswith("ended-"):
                text = "".join(said).rstrip()
                self.log.write(f"\n# {command}\n{text}\n{line}".encode())
                self.log.flush()
                return int(line[6:]), text
            said.append(line)
        raise Failed("the shell ended")

    def must(self, command, answers=""):
        code, said = self.type(command, answers)
        if code != 0:
            raise Failed(f"{command}\n{said[-1500:]}")
        return said

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        if self.shell:
            self.shell.stdin.close()
        for program in reversed(self.programs):
            program.terminate()
            try:
                program.wait(20)
            except subprocess.TimeoutExpired:
                program.kill()
                program.wait()
        self.log.close()
        for name in (NODE, OFFICE):
            subprocess.run(["ip", "netns", "del", name], capture_output=True)
            shutil.rmtree(pathlib.Path("/etc/netns", name), ignore_errors=True)


class Telephone:
    """baresip in the office, with the lines that step 8 names."""

    def __init__(self, machine, name, account, address, more=""):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix=f"{name}-", dir=machine.folder))
        write_wav(self.folder / "in.wav", tone(440, 60))
        shutil.copy(machine.root / "etc/hotline/tls/hotline.pem", self.folder)
        (self.folder / "config").write_text(
            f"sip_listen {address}\ncall_max_calls 4\naudio_source aufile,{self.folder}/in.wav\naudio_player aubridge,sink\n"
            "audio_alert aubridge,bell\nausrc_srate 8000\nauplay_srate 8000\nausrc_channels 1\nauplay_channels 1\n"
            "module_path /usr/lib/baresip/modules\nmodule g711.so\nmodule aufile.so\nmodule aubridge.so\nmodule stdio.so\n"
            f"module_tmp account.so\nmodule_app menu.so\nsip_cafile {self.folder}/hotline.pem\n{more}")
        (self.folder / "accounts").write_text(account + "\n")
        (self.folder / "contacts").write_text("")
        self.log = open(self.folder / "log", "wb")
        self.program = subprocess.Popen(["ip", "netns", "exec", OFFICE, "baresip", "-4", "-f", self.folder], stdin=subprocess.PIPE,
                                        stdout=self.log, stderr=self.log)
        machine.programs.append(self.program)

    def says(self, word):
        return word in (self.folder / "log").read_text(errors="replace")

    def press(self, keys):
        self.program.stdin.write(keys.encode())
        self.program.stdin.flush()


def api(machine, path, token=""):
    said = machine.must(f"curl -sS --fail-with-body -H 'Authorization: Bearer {token}' http://127.0.0.1:8080/api/v1{path}")
    return json.loads(said)


def signed_in(machine):
    secret = (machine.root / "etc/hotline/secrets/user-admin").read_text().strip()
    body = json.dumps({"user": "admin", "password": secret})
    said = machine.must(f"curl -sS --fail-with-body -H 'Content-Type: application/json' -d '{body}' http://127.0.0.1:8080/api/v1/sessions")
    return json.loads(said)["token"]


def ready(machine):
    until("readyz", 60, lambda: machine.type("curl -sf http://127.0.0.1:8080/readyz")[0] == 0, step=0.5)


def first_telephone(machine):
    """Steps 8 and 9, by hand in the guide; the call's id."""
    sounds = lambda: len(list((machine.root / "var/lib/hotline/recordings").rglob("*.hlrec")))
    before = sounds()
    secret = (machine.root / "etc/hotline/secrets/agent-8001").read_text().strip()
    # By its address: baresip asks the name of a name server alone, and there is none.
    agent = Telephone(machine, "agent", f"<sip:8001@192.0.2.10:5061;transport=tls>;auth_user=8001;auth_pass={secret};regint=600"
                      ";answermode=auto", "192.0.2.20:5062")
    until("8001 registers over TLS through the firewall", 20, lambda: agent.says("200 OK"))
    token = signed_in(machine)
    shown = lambda: [one for one in api(machine, "/agents", token)["items"] if one["agent"] == "8001" and one["status"] == "ready"]
    until("the console shows 8001 ready", 10, shown)
    check("step 8: a telephone registers over TLS, and 8001 is ready", True)
    citizen = Telephone(machine, "citizen", "<sip:13900000001@198.51.100.7>;regint=0", "198.51.100.7:5070")
    time.sleep(1)
    citizen.press("/dial sip:12345@192.0.2.10:5060\n")
    calls = lambda state: [one for one in api(machine, "/calls", token)["items"] if one["state"] == state]
    until("12345 answers", 15, lambda: calls("ivr"))
    time.sleep(2)
    citizen.press("0")
    until("8001 answers", 30, lambda: calls("talking"), step=0.5)
    time.sleep(3)
    citizen.press("b")
    until("the call ends", 15, lambda: calls("ended"), step=0.5)
    lines = machine.must("journalctl -u hotline -n 50")
    check("step 9: the call, its lines in the log", calls("ended")[0]["id"] in lines and "13900000001" not in lines)
    check("step 9: its recording", sounds() == before + 1)
    agent.program.terminate()
    citizen.program.terminate()
    return calls("ended")[0]["id"]


def unencrypted_refused(machine):
    """What the firewall's table leaves out."""
    closed = subprocess.run(["ip", "netns", "exec", OFFICE, "curl", "-sS", "-m", "3", "http://192.0.2.10:8080/readyz"], capture_output=True)
    check("step 7: 8080 is closed to the office", closed.returncode != 0)


def console(machine):
    answer = run("ip", "netns", "exec", OFFICE, "curl", "-sS", "-m", "10", "--cacert", machine.root / "etc/hotline/tls/hotline.pem",
                 "https://hotline.example.cn/")
    check("step 10: the console over https", "<html" in answer.lower())
    code = lambda: run("ip", "netns", "exec", OFFICE, "curl", "-sS", "-m", "10", "-o", "/dev/null", "-w", "%{http_code}",
                       "http://hotline.example.cn/")
    # nginx's old workers may answer for a moment after its reload.
    until("80 leads to 443", 10, lambda: code() == "301")
    check("step 10: 80 leads to 443", True)


def to_postgres(machine):
    """What the text says after the commands: the line in hotline.toml."""
    machine.must("sed -i 's/^# \\[database\\]/[database]/; s/^# url = \"file:secrets/url = \"file:secrets/' /etc/hotline/hotline.toml")
    machine.must("runuser -u hotline -- hotline check --config /etc/hotline/hotline.toml")
    machine.must("systemctl restart hotline")
    ready(machine)
    tables = machine.must("runuser -u postgres -- psql -tAc 'select count(*) from unit' hotline")
    check("PostgreSQL: the program's tables are there", tables.strip().isdigit())


def renewed(machine):
    """certbot, as far as the hook sees it."""
    before = machine.must("curl -s http://127.0.0.1:8080/metrics | grep '^hotline_certificate_not_after_seconds'")
    machine.must("install -d /root/lineage && openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 200 "
                 "-subj /CN=hotline.example.cn -addext subjectAltName=DNS:hotline.example.cn "
                 "-keyout /root/lineage/privkey.pem -out /root/lineage/fullchain.pem")
    machine.must("RENEWED_LINEAGE=/root/lineage /etc/letsencrypt/renewal-hooks/deploy/hotline")
    moved = lambda: machine.must("curl -s http://127.0.0.1:8080/metrics | grep '^hotline_certificate_not_after_seconds'") != before
    until("the certificate is exchanged", 10, moved)
    check("certificates: the hook exchanges it while the program runs", True)


def restored(machine, call):
    """The literal command, which asks; then with the yes."""
    newest = sorted(path.name for path in (machine.root / "backup").iterdir())[-1]
    command = f"runuser -u hotline -- hotline restore /backup/{newest} --config /etc/hotline/hotline.toml"
    machine.must("systemctl stop hotline")
    code, said = machine.type(command)
    check("restore: what is there is not touched without a yes", code != 0 and "--replace" in said)
    machine.must(command + " --replace")
    machine.must("systemctl start hotline")
    ready(machine)
    check("restore: the call is there again", api(machine, f"/calls/{call}", signed_in(machine))["id"] == call)


def by_cron(machine):
    line = (machine.root / "etc/cron.d/hotline").read_text()
    fields = re.fullmatch(r"30 2 \* \* \* (\S+) (.*)\n", line)
    before = len(list((machine.root / "backup").iterdir()))
    machine.must(f"runuser -u {fields[1]} -- env -i HOME=/var/lib/hotline SHELL=/bin/sh PATH=/usr/bin:/bin sh -c '{fields[2]}'")
    files = list((machine.root / "backup").iterdir())
    check("cron: its line makes a backup", len(files) == before + 1 and all(path.stat().st_mode & 0o077 == 0 for path in files), len(files))


def only_the_clock(machine):
    """There is no time server; all else is well."""
    codes = {alarm["code"] for alarm in api(machine, "/alarms", signed_in(machine))["items"]}
    check("alarms: none but the clock's", codes <= {"clock_offset"}, codes or "")


def main():
    if os.geteuid() != 0:
        raise Failed("needs root")
    found = commands()
    print(f"docs/operating.md: {len(found)} commands", flush=True)
    with tempfile.TemporaryDirectory(prefix="hotline-guide-") as folder:
        folder = pathlib.Path(folder)
        folder.chmod(0o755)
        with Machine(folder) as machine:
            try:
                machine.make()
                machine.boot()
                follow(machine, found)
            except Failed:
                machine.type("journalctl -u hotline -n 20 --no-pager")
                for log in [folder / "log", *folder.glob("*/log")]:
                    print(f"--- {log}\n{log.read_text(errors='replace')[-4000:]}", file=sys.stderr)
                raise
    print("the guide works as it is printed")


def follow(machine, found):
    call = None
    for number, (heading, command) in enumerate(found):
        typed = command
        for printed, said in PERSON:
            typed = typed.replace(printed, said)
        last = number + 1 == len(found) or found[number + 1][0] != heading
        if "call=ID" in typed:
            typed = typed.replace("ID", str(call))
        if "hotline restore" in typed:
            restored(machine, call)
            continue
        answers = "PASSWORD\nPASSWORD\n" if "--pwprompt" in typed else ""
        code, said = machine.type(typed, answers)
        if code != 0:
            raise Failed(f"“{heading}”: {command}\nended with {code}: {said[-1500:]}")
        if "systemctl enable --now hotline" in typed or "systemctl start hotline" in typed:
            ready(machine)
        if not last:
            continue
        print(f"  ok   {heading}", flush=True)
        if heading.startswith("7."):
            unencrypted_refused(machine)
            call = first_telephone(machine)
        elif heading.startswith("10."):
            console(machine)
        elif heading == "PostgreSQL":
            to_postgres(machine)
            call = first_telephone(machine)
        elif heading == "Certificates":
            renewed(machine)
        elif heading == "Backup":
            by_cron(machine)
        elif heading == "What is kept, and how long":
            only_the_clock(machine)


if __name__ == "__main__":
    try:
        main()
    except Failed as failed:
        sys.exit(f"FAILED: {failed}")
