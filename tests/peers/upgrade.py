"""A database of the first schema is brought to this program's by `hotline migrate`, on SQLite and on PostgreSQL.

A centre works for a while; its rows are then put into tables that the first migration file alone has made, which is what the
first program left. The command makes a backup, says what it did, and the centre goes on with all that it had.
"""
import io
import pathlib
import re
import sqlite3

from database import Load
from lib import ROOT, Hotline, check, read_wav, until
from restore import TABLES, must

FIRST = ROOT / "src/store/migrations/0001_first.sql"
NEWEST = len(list(FIRST.parent.glob("*.sql")))
KEPT = (*TABLES, "app_user", "audit", "number_block")


def work(hotline):
    """Calls, one of them served and recorded, and a message."""
    load, token = Load(hotline, 10), hotline.sign_in()
    load.phones.start()
    load.phones.register(["8001"])
    until("the agent registers", 10, lambda: load.phones.registered() == 1)
    load.start()
    until("a recording is complete", 30, lambda: hotline.rows("SELECT count(*) FROM recording WHERE state = 'complete'")[0][0], step=0.3)
    hotline.api("POST", "/messages", {"to": "13800000001", "text": "升级以前"}, token)
    load.coming = False
    until("the calls end", 30, load.over)
    answered = load.answered()
    until("they are stored", 15, lambda: hotline.rows("SELECT count(*) FROM call WHERE ended_at IS NOT NULL")[0][0] >= answered)
    load.stop()


def grow_old_sqlite(hotline):
    path, old = hotline.folder / "data/hotline.db", hotline.folder / "old.db"
    with sqlite3.connect(old) as db:
        db.executescript(FIRST.read_text())
        db.execute("CREATE TABLE schema_version (version BIGINT PRIMARY KEY, applied_at BIGINT NOT NULL)")
        db.execute("INSERT INTO schema_version VALUES (1, 0)")
        tables = [row[0] for row in db.execute("SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'")]
        db.commit()
        db.execute("ATTACH ? AS new", (str(path),))
        for table in tables:
            if table != "schema_version":
                columns = ", ".join(row[1] for row in db.execute(f"PRAGMA table_info({table})"))
                db.execute(f"INSERT INTO {table} ({columns}) SELECT {columns} FROM new.{table}")
    db.close()
    for file in path.parent.glob("hotline.db*"):
        file.unlink()
    old.rename(path)


def grow_old_postgres(hotline):
    rows = hotline.postgres.rows
    rows("CREATE SCHEMA old")
    rows(f"SET search_path = old; {FIRST.read_text()}; CREATE TABLE schema_version (version BIGINT PRIMARY KEY, applied_at BIGINT "
         "NOT NULL); INSERT INTO schema_version VALUES (1, 0)")
    for (table,) in rows("SELECT tablename FROM pg_tables WHERE schemaname = 'old' AND tablename <> 'schema_version'"):
        columns = ", ".join(name for (name,) in rows(
            f"SELECT column_name FROM information_schema.columns WHERE table_schema = 'old' AND table_name = '{table}' ORDER BY ordinal_position"))
        rows(f"INSERT INTO old.{table} ({columns}) SELECT {columns} FROM public.{table}")
    rows("DROP SCHEMA public CASCADE")
    rows("ALTER SCHEMA old RENAME TO public")


def held(hotline):
    """What must be the same afterwards."""
    counts = {table: hotline.rows(f"SELECT count(*) FROM {table}")[0][0] for table in KEPT}
    numbers = sorted(hotline.rows("SELECT c.sip_call_id AS sip, t.no AS no FROM ticket t JOIN call c ON c.id = t.call_id"))
    return counts, numbers


def schema(hotline):
    return hotline.rows("SELECT max(version) AS version FROM schema_version")[0][0]


def goes_on(hotline, before):
    """It runs on what it had."""
    counts, numbers = before
    hotline.start()
    token = hotline.sign_in()
    now, now_numbers = held(hotline)
    check("every row of before is there", all(now[table] >= counts[table] for table in KEPT) and now["ticket"] == counts["ticket"], now)
    check("tickets have the numbers that they had", now_numbers == numbers, len(numbers))
    check("and are read", len(hotline.api("GET", "/tickets?limit=500", token=token)["items"]) == min(500, counts["ticket"]))
    texts = [item["text"] for item in hotline.api("GET", "/messages", token=token)["items"]]
    check("the message is there", texts == ["升级以前"], texts)
    ident, duration = hotline.rows("SELECT id, duration_ms FROM recording WHERE state = 'complete'")[0]
    _, rate, (left, _) = read_wav(io.BytesIO(hotline.api("GET", f"/recordings/{ident}/audio", token=token, raw=True)))
    check("a recording of before plays in its length", abs(len(left) / rate * 1000 - duration) < 100, f"{len(left) / rate:.1f} s")
    load = Load(hotline, 10)
    load.phones.start()
    load.start()
    until("calls are answered", 15, lambda: len(load.callers.answered) >= 5)
    load.coming = False
    until("they end", 15, load.over)
    answered = load.answered()
    load.stop()
    until("they have tickets", 15, lambda: hotline.rows("SELECT count(*) FROM ticket WHERE is_primary = 1")[0][0] >= counts["ticket"] + answered)
    all_numbers = [no for _, no in held(hotline)[1]]
    check("new calls have new numbers", len(all_numbers) == len(set(all_numbers)), len(all_numbers) - len(numbers))


def upgrade(kind):
    print(f"a {kind} database of schema 1")
    with Hotline(numbers="8001-8002", database=kind) as hotline:
        work(hotline)
        hotline.stop()
        (grow_old_postgres if hotline.postgres else grow_old_sqlite)(hotline)
        before = held(hotline)
        check("it has the first schema and its rows", schema(hotline) == 1, before[0])
        must(hotline, ("migrate", "--check"), 1, f"数据库结构版本 1,本程序需要 {NEWEST}", "运行 hotline migrate")
        if hotline.postgres:
            said = must(hotline, ("serve",), 1, "schema 1", "hotline migrate")
            check("serve is refused, and says what to do", schema(hotline) == 1, said.strip().splitlines()[-1][:150])
        said = must(hotline, ("migrate",), 0, "升级前的备份:", f"数据库结构版本 1 → {NEWEST}")
        check("hotline migrate says what it did", schema(hotline) == NEWEST, " / ".join(
            line for line in said.splitlines() if "升级前的备份" in line or "→" in line))
        copy = pathlib.Path(re.search(r"升级前的备份:(.+)", said)[1])
        copy = copy if copy.is_absolute() else hotline.folder / copy
        check("the backup is there", copy.stat().st_size > 10_000, f"{copy.stat().st_size} octets")
        must(hotline, ("migrate",), 0, "已是最新")
        must(hotline, ("migrate", "--check"), 0, "已是最新")
        goes_on(hotline, before)
        hotline.stop()
        must(hotline, ("restore", "--replace", copy, "--no-recordings"), 0, "已恢复")
        now, numbers = held(hotline)
        check("the backup of the first schema can be restored", numbers == before[1] and schema(hotline) == NEWEST, now)


def at_start():
    """SQLite alone is also brought forward by a start, which copies the file first."""
    print("a sqlite database of schema 1, by a start")
    with Hotline(numbers="8001-8002", database="sqlite") as hotline:
        work(hotline)
        hotline.stop()
        grow_old_sqlite(hotline)
        before = held(hotline)
        goes_on(hotline, before)
        copies = [file.name for file in (hotline.folder / "data").glob("hotline.db.before-schema-*")]
        check("the file of before was copied", schema(hotline) == NEWEST and copies == ["hotline.db.before-schema-2"], copies)


def main():
    upgrade("sqlite")
    upgrade("postgres")
    at_start()


if __name__ == "__main__":
    main()
