"""A PostgreSQL of the test's own: its data in a temporary folder, loopback only, ended with the test."""
import os
import pathlib
import shutil
import signal
import subprocess
import tempfile

from lib import Failed, free_ports, until


def programs():
    found = sorted(pathlib.Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    if not found:
        raise Failed("no PostgreSQL: tests/install-peers installs it")
    return found[-1].parent


class Postgres:
    def __init__(self):
        self.bin, self.port = programs(), free_ports(1)[0]
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="hotline-postgres-"))
        # PostgreSQL refuses to run as root.
        self.user = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
        if self.user:
            shutil.chown(self.folder, "postgres")
        self.data = self.folder / "data"
        self.url = f"postgres://hotline@127.0.0.1:{self.port}/postgres"
        self._run("initdb", "-D", self.data, "-A", "trust", "-U", "hotline", "-E", "UTF8", "--locale=C", "--no-sync")

    def _run(self, program, *arguments):
        # What it prints goes to a file: the server would hold a pipe open.
        with open(self.folder / "said", "wb") as said:
            done = subprocess.run([*self.user, self.bin / program, *arguments], stdin=subprocess.DEVNULL, stdout=said,
                                  stderr=said, cwd="/", timeout=60)
        if done.returncode:
            raise Failed(f"{program}: " + (self.folder / "said").read_text()[-1000:])

    def start(self):
        self._run("pg_ctl", "-D", self.data, "-l", self.folder / "log", "-w", "-o",
                  f"-p {self.port} -k {self.folder} -c listen_addresses=127.0.0.1 -c max_connections=40", "start")

    def stop(self, mode="immediate"):
        self._run("pg_ctl", "-D", self.data, "-w", "-m", mode, "stop")

    def kill(self):
        """`kill -9` of the server and its children."""
        gone = self.processes()
        for process in gone:
            try:
                os.kill(process, signal.SIGKILL)
            except ProcessLookupError:
                pass
        until("PostgreSQL is gone", 10, lambda: not any(pathlib.Path(f"/proc/{process}").exists() for process in gone))

    def processes(self):
        """The server and its children."""
        first = int((self.data / "postmaster.pid").read_text().split()[0])
        children = pathlib.Path(f"/proc/{first}/task/{first}/children").read_text().split()
        return [first, *(int(child) for child in children)]

    def freeze(self):
        """It is there and says nothing any more."""
        self.frozen = self.processes()
        for process in self.frozen:
            os.kill(process, signal.SIGSTOP)

    def thaw(self):
        for process in self.frozen:
            try:
                os.kill(process, signal.SIGCONT)
            except ProcessLookupError:
                pass

    def rows(self, sql):
        done = subprocess.run([*self.user, self.bin / "psql", "-h", "127.0.0.1", "-p", str(self.port), "-U", "hotline", "-d", "postgres",
                               "-AtqF", "\t", "-c", sql], stdin=subprocess.DEVNULL, capture_output=True, text=True, cwd="/", timeout=30)
        if done.returncode:
            raise Failed(f"psql: {done.stderr[-500:]}")
        return [line.split("\t") for line in done.stdout.splitlines()]

    def number(self, sql):
        return int(self.rows(sql)[0][0])

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        if (self.data / "postmaster.pid").exists():
            try:
                self.stop("fast")
            except Failed:
                # It was killed and has left its file behind.
                pass
        shutil.rmtree(self.folder, ignore_errors=True)
