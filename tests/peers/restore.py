"""A backup of a busy centre, restored elsewhere: SQLite's into PostgreSQL, and PostgreSQL's into SQLite.

    restore.py [--rate 20]

Made while calls come and talk; the first centre is then killed. In the second all that was there before the backup is
there again, recordings play, numbers go on, and it answers calls.
"""
import argparse
import io
import re
import shutil
import subprocess
import time

from database import AGENTS, Load, Sender
from lib import PROGRAM, Failed, Hotline, check, read_wav, until

TABLES = ("ticket", "ticket_history", "call", "message", "recording", "agent_log", "event")


def run(hotline, *words):
    """Runs a command to its end: (exit code, what it said)."""
    done = subprocess.run([PROGRAM, *words, "--config", hotline.folder / "hotline.toml"], stdin=subprocess.DEVNULL,
                          capture_output=True, text=True, cwd=hotline.folder, timeout=60)
    return done.returncode, done.stdout + done.stderr


def must(hotline, what, code, *wanted):
    """The command that `what` names ends so and says so."""
    got, said = run(hotline, *what)
    missing = [text for text in wanted if not re.search(text, said)]
    if got != code or missing:
        raise Failed(f"hotline {' '.join(map(str, what))}: exit code {got}, without {missing}:\n{said}")
    return said


def busy(hotline, rate):
    """A centre with calls that have ended, calls that talk, and messages."""
    load, token = Load(hotline, rate), hotline.sign_in()
    load.phones.start()
    load.phones.register(AGENTS)
    until("the agents register", 10, lambda: load.phones.registered() == len(AGENTS))
    held = load.phones.dial("13500000001")
    until("a call is answered", 10, lambda: held.answered_at)
    held.press("0")
    load.start()
    sender = Sender(hotline, token)
    sender.start()
    until("recordings are complete", 30, lambda: hotline.rows("SELECT count(*) FROM recording WHERE state = 'complete'")[0][0] >= 3, step=0.3)
    return load, sender, held, token


def answered(load):
    return {f"{number}-{load.callers.port}@peers" for number in load.callers.answered} | {
        leg.call_id for leg in load.talked if leg.answered_at}


def drill(rate, source, target):
    print(f"backup of {source}, restored into {target}")
    with Hotline(database=source) as first, Hotline(database=target) as second:
        second.stop()
        shutil.rmtree(second.folder / "data")
        if second.postgres:
            second.postgres.rows("DROP SCHEMA public CASCADE")
            second.postgres.rows("CREATE SCHEMA public")
        load, sender, held, token = busy(first, rate)
        file = first.folder / "backup.tar"
        try:
            before = answered(load) | {held.call_id}
            taken = {text for text, _, status in list(sender.sent) if status == 201}
            recordings = {row[0]: row[1] for row in first.rows("SELECT id, duration_ms FROM recording WHERE state = 'complete'")}
            numbers = dict(first.rows("SELECT c.sip_call_id AS sip, t.no AS no FROM ticket t JOIN call c ON c.id = t.call_id"))
            least = {table: first.rows(f"SELECT count(*) FROM {table}")[0][0] for table in TABLES}
            said = must(first, ("backup", file), 0, "SHA-256", "录音密钥不在备份里")
            came = load.number
            time.sleep(1)
            check("calls went on meanwhile", load.number > came and held.is_up(), next(line for line in said.splitlines() if "的备份" in line))
            load.coming = False
        finally:
            load.stop()
            sender.stop()
        first.kill()
        refused(first, second, file)
        must(second, ("restore", file), 0, "已恢复", "核对无误")
        second.start()
        there(second, before, taken, recordings, numbers, least, held)
        goes_on(second, set(numbers.values()))
        again(second, file)


def refused(first, second, file):
    """What is not to be restored leaves the target alone."""
    must(second, ("restore", file), 1, "缺少录音密钥")
    key = next((first.folder / "data").rglob("*.key"))
    place = second.folder / key.relative_to(first.folder)
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text("0" * 64)
    place.chmod(0o600)
    must(second, ("restore", file), 1, "录音密钥不对")
    shutil.copy(key, place)
    bad = second.folder / "bad.tar"
    text = bytearray(file.read_bytes())
    text[text.index(b"13800000")] ^= 1
    bad.write_bytes(text)
    must(second, ("restore", bad), 1, "备份已损坏")
    bad.write_bytes(file.read_bytes()[:-5000])
    must(second, ("restore", bad), 1, "不完整|没有写完")
    bad.write_text("no backup at all" * 100)
    must(second, ("restore", bad), 1, "不是 hotline 的备份")
    bad.unlink()
    must(second, ("migrate", "--check"), 0, "还没有数据库")
    check("without its key, with another, damaged, cut short, or no backup: refused, and nothing is there", True)


def there(hotline, before, taken, recordings, numbers, least, held):
    token = hotline.sign_in()
    until("the calls of the backup are closed", 30, lambda: hotline.rows("SELECT count(*) FROM call WHERE ended_at IS NULL")[0][0] == 0, step=0.3)
    counts = dict(hotline.rows("SELECT c.sip_call_id AS sip, count(t.id) AS n FROM call c LEFT JOIN ticket t ON t.call_id = c.id AND "
                               "t.is_primary = 1 GROUP BY c.sip_call_id"))
    wrong = [call for call in before if counts.get(call) != 1]
    check("each call answered before the backup has one primary ticket", not wrong, f"{len(before)}, {len(counts)} in all")
    now = dict(hotline.rows("SELECT c.sip_call_id AS sip, t.no AS no FROM ticket t JOIN call c ON c.id = t.call_id"))
    check("with the number that it had", all(now.get(call) == no for call, no in numbers.items()), len(numbers))
    rows = {table: hotline.rows(f"SELECT count(*) FROM {table}")[0][0] for table in TABLES}
    check("no table has fewer rows than before the backup", all(rows[table] >= least[table] for table in TABLES), rows)
    texts = {row[0] for row in hotline.rows("SELECT text FROM message")}
    check("messages", taken <= texts, len(taken))
    ending = hotline.rows(f"SELECT ending FROM call WHERE sip_call_id = '{held.call_id}'")[0][0]
    check("a call that talked during the backup is closed", ending == "lost", ending)
    for ident, duration in recordings.items():
        channels, rate, (left, _) = read_wav(io.BytesIO(hotline.api("GET", f"/recordings/{ident}/audio", token=token, raw=True)))
        if (channels, rate) != (2, 8000) or abs(len(left) / rate * 1000 - duration) > 100:
            raise Failed(f"recording {ident}: {len(left) / rate} s of {duration} ms")
    check("recordings play in their length", len(recordings) >= 3, len(recordings))
    other = hotline.rows("SELECT count(*) FROM recording WHERE state = 'recording'")[0][0]
    until("those that were under way are closed", 20, lambda: not hotline.rows("SELECT id FROM recording WHERE state = 'recording'"))
    check("those that were under way are marked as shortened", True, f"{other} were left at once")
    audited = hotline.rows("SELECT count(*) FROM audit WHERE action = 'database.restore'")[0][0]
    check("the restore is in the audit log", audited == 1)


def goes_on(hotline, numbers):
    load = Load(hotline, 10)
    load.phones.start()
    load.start()
    until("calls are answered", 15, lambda: len(load.callers.answered) >= 10)
    load.coming = False
    until("they end", 15, lambda: load.over() or not load.callers.ends)
    answered_now = len(load.callers.answered)
    load.stop()
    until("they have tickets", 15, lambda: hotline.rows(
        f"SELECT count(*) FROM call WHERE sip_call_id LIKE '%-{load.callers.port}@peers'")[0][0] >= answered_now)
    new = [row[0] for row in hotline.rows(f"SELECT t.no FROM ticket t JOIN call c ON c.id = t.call_id WHERE c.sip_call_id LIKE '%-{load.callers.port}@peers'")]
    check("it answers calls; their ticket numbers are new", len(new) == len(set(new)) and not set(new) & numbers, len(new))


def again(hotline, file):
    """Into one that is not empty."""
    hotline.stop()
    before = hotline.rows("SELECT count(*) FROM ticket")[0][0]
    must(hotline, ("restore", file), 1, "目标不是空的", "--replace")
    check("a target that is not empty is refused, and left as it is", hotline.rows("SELECT count(*) FROM ticket")[0][0] == before)
    said = must(hotline, ("restore", "--replace", file), 0, "已恢复", "保留为")
    check("with --replace what was there is put away", True, re.search(r"原数据库保留为.*", said)[0])
    must(hotline, ("migrate", "--check"), 0, "已是最新")
    must(hotline, ("migrate",), 0, "已是最新")
    newer(hotline)


def newer(hotline):
    """A database that a newer program has used: every command says which schema it has and what to do."""
    if hotline.postgres:
        hotline.postgres.rows("INSERT INTO schema_version (version, applied_at) VALUES (99, 0)")
    else:
        import sqlite3
        with sqlite3.connect(hotline.folder / "data/hotline.db") as db:
            db.execute("INSERT INTO schema_version (version, applied_at) VALUES (99, 0)")
    for words in (("serve",), ("check",), ("migrate",), ("migrate", "--check"), ("backup", hotline.folder / "new.tar")):
        must(hotline, words, 1, "schema 99", "结构版本 99", "newer program")
    check("a newer schema is refused by serve, check, migrate and backup", not (hotline.folder / "new.tar").exists())


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rate", type=int, default=20)
    options = parser.parse_args()
    drill(options.rate, "sqlite", "postgres")
    drill(options.rate, "postgres", "sqlite")


if __name__ == "__main__":
    main()
