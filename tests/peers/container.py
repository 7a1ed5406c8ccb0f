"""deploy/Containerfile: built, run as its head says, called, and stopped while somebody talks. Needs root, podman and runc.

The images that it begins from come from their registry; where none is reached, Debian's is made by debootstrap, and the
program is the one that HOTLINE names. All of it lies in a folder of its own and is removed with it.
"""
import os
import pathlib
import resource
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request

from drain import busy
from lib import PROGRAM, ROOT, Failed, Hotline, check, until
from phones import Phones

DEBIAN, RUST = "docker.io/library/debian:bookworm-slim", "docker.io/library/rust:1-slim-bookworm"
USER = 980


class Podman:
    """A store of images and containers that goes away with the test."""

    def __init__(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="hotline-container-"))
        self.command = ["podman", "--root", self.folder / "images", "--runroot", self.folder / "run", "--storage-driver", "vfs",
                        "--cgroup-manager", "cgroupfs", "--runtime", "runc"]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.call("rm", "--all", "--force", "--time", "2")
        shutil.rmtree(self.folder, ignore_errors=True)

    def begin(self, *arguments):
        return subprocess.Popen([*self.command, *arguments], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    def call(self, *arguments, timeout=120):
        """(exit code, what it said)."""
        try:
            done = subprocess.run([*self.command, *arguments], capture_output=True, text=True, timeout=timeout)
        except subprocess.TimeoutExpired:
            return None, "no answer"
        return done.returncode, (done.stdout if done.returncode == 0 else done.stdout + done.stderr).strip()

    def must(self, *arguments, timeout=120):
        code, said = self.call(*arguments, timeout=timeout)
        if code != 0:
            raise Failed(f"podman {arguments[0]}: {said[-1500:]}")
        return said

    def look(self, name, field):
        return self.must("inspect", "--format", f"{{{{{field}}}}}", name)

    def pulled(self, image):
        return self.call("pull", "--quiet", image, timeout=300)[0] == 0

    def base(self):
        """Debian's image."""
        if self.pulled(DEBIAN):
            return "pulled"
        system, archive = self.folder / "debian", self.folder / "debian.tar"
        made = subprocess.run(["debootstrap", "--variant=minbase", "bookworm", system], capture_output=True, text=True)
        if made.returncode != 0:
            raise Failed(f"debootstrap: {made.stdout[-1000:]}")
        subprocess.run(["tar", "-C", system, "--exclude=./var/cache/apt/*", "--exclude=./var/lib/apt/lists/*", "-cf", archive, "."], check=True)
        self.must("import", str(archive), DEBIAN)
        shutil.rmtree(system)
        archive.unlink()
        return "made by debootstrap"

    def build(self):
        """The image `hotline`, from the sources where the compiler's image is reached."""
        words = ["build", "--format", "docker", "--isolation", "chroot", "--pull=never", "-t", "hotline",
                 "-f", ROOT / "deploy/Containerfile"]
        if self.pulled(RUST):
            self.must(*words, ROOT, timeout=3600)
            return "from the sources"
        folder = self.folder / "program"
        folder.mkdir()
        subprocess.run(["strip", "--strip-debug", "-o", folder / "hotline", PROGRAM], check=True)
        self.must(*words, "--build-arg", "PROGRAM=built", folder, timeout=600)
        return "from the program that is built"


class Contained(Hotline):
    """The program in its container, with the folders that a node has."""

    def __init__(self, podman):
        super().__init__()
        self.podman, self.name = podman, "node"
        self.settings, self.data = self.folder / "etc", self.folder / "data"
        for folder in (self.settings, self.data):
            folder.mkdir()
            os.chown(folder, USER, USER)
        self.folder.chmod(0o755)
        text = (self.folder / "hotline.toml").read_text().replace('data = "data"', 'data = "/var/lib/hotline"')
        text = text.replace("create_key = true", 'key_file = "recording.key"')
        for name, content in (("hotline.toml", text), ("recording.key", os.urandom(32).hex())):
            path = self.settings / name
            path.write_text(content)
            path.chmod(0o640)
            os.chown(path, 0, USER)

    def start(self):
        files = min(262144, resource.getrlimit(resource.RLIMIT_NOFILE)[1])
        tasks = min(4096, resource.getrlimit(resource.RLIMIT_NPROC)[1])
        self.podman.must(
            "run", "-d", "--name", self.name, "--network", "host", "-e", f"HEALTH_PORT={self.http}",
            "-v", f"{self.settings}:/etc/hotline:ro", "-v", f"{self.data}:/var/lib/hotline",
            "--read-only", "--tmpfs", "/tmp", "--cap-drop", "all", "--security-opt", "no-new-privileges",
            "--ulimit", f"nofile={files}:{files}", "--ulimit", f"nproc={tasks}:{tasks}", "--stop-timeout", "7200", "hotline")

        def ready():
            if self.podman.look(self.name, ".State.Running") != "true":
                raise Failed("the program ended: " + self.podman.call("logs", "--tail", "20", self.name)[1])
            try:
                return urllib.request.urlopen(f"http://127.0.0.1:{self.http}/readyz", timeout=2).status == 200
            except OSError:
                return False
        until("readyz", 60, ready, step=0.5)

    def stop(self):
        self.podman.call("rm", "--force", "--time", "5", self.name)


def main():
    if os.geteuid() != 0:
        raise Failed("only root may build and run it")
    print("the container")
    with Podman() as podman:
        print(f"  Debian's image: {podman.base()}", flush=True)
        print(f"  the image: {podman.build()}, {int(podman.look('hotline', '.Size')) >> 20} MB", flush=True)
        check("it needs no root", podman.look("hotline", ".Config.User") == "hotline")
        with Contained(podman) as hotline:
            story(podman, hotline)


def story(podman, hotline):
    status = pathlib.Path("/proc", podman.look(hotline.name, ".State.Pid"), "status").read_text()
    fields = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
    check("it runs as a user of its own, without any capability", (fields["Uid"].split()[0], int(fields["CapEff"], 16)) == (str(USER), 0))
    check("its health check says yes", podman.call("healthcheck", "run", hotline.name)[0] == 0)
    command = podman.look("hotline", "index .HealthCheck.Test 3")
    check("and no where nothing answers", podman.call("exec", "-e", "HEALTH_PORT=1", hotline.name, "bash", "-c", command)[0] != 0)
    token = hotline.sign_in()
    phones = Phones(hotline)
    try:
        talking, waiting = busy(hotline, token, phones)
        check("a citizen talks, another one waits", True)
        stopping = podman.begin("stop", hotline.name)
        until("readyz says no", 10, lambda: hotline.ask("GET", "/readyz")[0] == 503)
        # Longer than the ten seconds after which a container is killed unless it was given more.
        time.sleep(13)
        check("`podman stop` waits for them", talking.is_up() and waiting.is_up() and stopping.poll() is None)
        check("a node that drains is alive", hotline.ask("GET", "/healthz")[0] == 200)
        phones.hang_up(talking)
        until("the one who waited gets the agent", 20, lambda: len(phones.of("agent")) == 2 and phones.of("agent")[1].is_up())
        phones.hang_up(waiting)
        check("with the last call it ends by itself", stopping.wait(30) == 0)
        check("with 0", podman.look(hotline.name, ".State.ExitCode") == "0")
    finally:
        phones.stop()
    podman.must("start", hotline.name)
    until("it is ready again", 60, lambda: podman.call("healthcheck", "run", hotline.name)[0] == 0, step=0.5)
    rows = hotline.rows("select count(*), count(ended_at) from call")[0]
    check("both calls and their ends are in its folder", rows == (2, 2), rows)
    sound, known = len(list(hotline.data.rglob("*.hlrec"))), hotline.rows("select count(*) from recording")[0][0]
    check("their sound is, too", sound == known > 0, sound)


if __name__ == "__main__":
    try:
        main()
    except Failed as failed:
        sys.exit(f"FAILED: {failed}")
