"""Users whom the database keeps: `hotline user` beside the program that runs, a telephone that registers by it, sessions.

tests/peers/users.py; HOTLINE_TEST_DATABASE=postgres has it on PostgreSQL.
"""
import hashlib
import os
import pty
import random
import re
import select
import socket
import subprocess
import tempfile
import time

from lib import PROGRAM, Baresip, Failed, Hotline, check, free_ports, until

FIRST, SECOND = "correct-horse-1", "battery-staple-2"


def register(hotline, user, password, algorithm):
    """REGISTER by digest: the last answer's status."""
    name, digest = {"MD5": ("MD5", hashlib.md5), "SHA-256": ("SHA-256", hashlib.sha256)}[algorithm]
    hashed = lambda text: digest(text.encode()).hexdigest()
    call_id, uri, authorization = f"{random.randrange(1 << 60):x}@users", "sip:127.0.0.1", ""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as phone:
        phone.bind(("127.0.0.1", 0))
        phone.settimeout(5)
        port = phone.getsockname()[1]
        for cseq in (1, 2):
            phone.sendto((
                f"REGISTER {uri} SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1:{port};branch=z9hG4bK{random.randrange(1 << 40)};rport\r\n"
                f"Max-Forwards: 70\r\nFrom: <sip:{user}@127.0.0.1>;tag=r{user}\r\nTo: <sip:{user}@127.0.0.1>\r\nCall-ID: {call_id}\r\n"
                f"CSeq: {cseq} REGISTER\r\nContact: <sip:{user}@127.0.0.1:{port}>\r\nExpires: 300\r\n{authorization}"
                "Content-Length: 0\r\n\r\n").encode(), ("127.0.0.1", hotline.agents))
            answer = phone.recv(65536).decode()
            status = int(answer[8:11])
            asked = re.search(rf"^WWW-Authenticate:.*algorithm={name}\b.*$", answer, re.M | re.I)
            if status != 401 or not asked or cseq == 2:
                return status
            realm, nonce = (re.search(rf'{key}="([^"]*)"', asked[0])[1] for key in ("realm", "nonce"))
            secret = hashed(f"{user}:{realm}:{password}")
            response = hashed(f"{secret}:{nonce}:00000001:c:auth:{hashed(f'REGISTER:{uri}')}")
            authorization = (f'Authorization: Digest username="{user}", realm="{realm}", nonce="{nonce}", uri="{uri}", '
                             f'algorithm={name}, qop=auth, nc=00000001, cnonce="c", response="{response}"\r\n')


def user(hotline, *words, said="", code=0):
    """`hotline user …`; what it said."""
    got, text = hotline.command("user", *words, said=said)
    if got != code:
        raise Failed(f"hotline user {words}: exit code {got}\n{text}")
    return text


def signs_in(hotline, name, password):
    return hotline.ask("POST", "/api/v1/sessions", {"user": name, "password": password})[0]


def alive(hotline, token):
    return hotline.ask("GET", "/api/v1/sessions/current", token=token)[0]


def takes(hotline, extension, password, status):
    """Until the running program answers a REGISTER so, without a signal and without a restart."""
    for algorithm in ("MD5", "SHA-256"):
        until(f"REGISTER of {extension} by {algorithm}: {status}", 5,
              lambda: register(hotline, extension, password, algorithm) == status)


def at_a_terminal(hotline, *words, typed):
    """The command at a terminal: (exit code, all that was shown). Each line is typed when its prompt is there."""
    shown, (ours, theirs) = b"", pty.openpty()
    done = subprocess.Popen([PROGRAM, "user", *words, "--config", hotline.folder / "hotline.toml"], stdin=theirs, stdout=theirs,
                            stderr=theirs, cwd=hotline.folder, start_new_session=True)
    os.close(theirs)
    lines, end = list(typed), time.monotonic() + 20
    while time.monotonic() < end:
        if not select.select([ours], [], [], 0.2)[0]:
            continue
        try:
            data = os.read(ours, 4096)
        except OSError:
            break
        if not data:
            break
        shown += data
        if lines and shown.decode(errors="replace").rstrip(" ").endswith(":"):
            os.write(ours, lines.pop(0).encode())
            shown += b"\n"
    code = done.wait(10)
    os.close(ours)
    return code, shown.decode(errors="replace")


def adding(hotline):
    # The name is the number; the telephone is another's.
    said = user(hotline, "add", "8121", "--role", "agent", "--display-name", "李四", "--extension", "desk-21", "--skill", "english=7",
                "--on-register", "ready", "--password-stdin", said=FIRST + "\n")
    check("an agent is added beside the program that runs", "已添加 话务员 8121" in said, said.strip().splitlines()[-1])
    takes(hotline, "desk-21", FIRST, 200)
    check("its telephone registers by MD5 and by SHA-256, without a restart and without a signal", True)
    check("another password does not", {register(hotline, "desk-21", SECOND, one) for one in ("MD5", "SHA-256")} == {401})
    token = hotline.sign_in("8121", FIRST)
    check("it signs in at the console", alive(hotline, token) == 200)
    listed = user(hotline, "list")
    check("the list shows it, and those of the settings",
          re.search(r"8121 +李四 +话务员 +- +desk-21 +启用 +数据库", listed) and re.search(r"admin .*hotline.toml", listed)
          and FIRST not in listed, next(line for line in listed.splitlines() if line.startswith("8121")))
    return token


def softphone(hotline, folder):
    account = (f"<sip:desk-21@127.0.0.1:{hotline.agents};transport=udp>;auth_user=desk-21;auth_pass={FIRST};answermode=auto;"
               "audio_codecs=pcma;regint=60")
    phone = Baresip("desk-21", folder, free_ports(1)[0], 700, 5, account)
    admin = hotline.sign_in()
    try:
        shown = until("baresip is registered, and its agent ready", 20, lambda: next(
            (a for a in hotline.api("GET", "/agents", token=admin)["items"]
             if a["agent"] == "8121" and a["registered"] and a["status"] == "ready"), None))
        check("a softphone registers, and its agent is signed in and ready", shown["extension"] == "desk-21")
    finally:
        phone.stop()


def refusals(hotline):
    add = ["--role", "agent", "--password-stdin"]
    for what, words, said, wanted in (
        ("a name that the database has", ["add", "8121", *add], SECOND, "已存在"),
        ("a name that the settings have", ["add", "8001", *add], SECOND, "hotline.toml"),
        ("a telephone that the settings have", ["add", "8122", "--extension", "8002", *add], SECOND, "分机 8002 已分配给坐席 8002"),
        ("a telephone that the database has", ["add", "8122", "--extension", "desk-21", *add], SECOND, "分机 desk-21 已分配给坐席 8121"),
        ("a short password", ["add", "8122", *add], "short", "至少 8 个字符"),
        ("a password with the number in it", ["add", "8122", *add], "hotline-8122", "不能有工号"),
        ("no password", ["add", "8122", *add], "", "至少 8 个字符"),
        ("no terminal to ask at", ["add", "8122", "--role", "agent"], SECOND, "--password-stdin"),
        ("a unit's clerk without a unit", ["add", "clerk", "--role", "unit_clerk", "--password-stdin"], SECOND, "--unit"),
        ("a user of the settings to be removed", ["remove", "8001", "--yes"], "", "hotline.toml"),
        ("a user who is not there", ["disable", "8199"], "", "没有用户 8199"),
        ("removing without a word of agreement", ["remove", "8121"], "", "--yes"),
    ):
        text = user(hotline, *words, said=said + "\n", code=1)
        if wanted not in text:
            raise Failed(f"{what}: {text}")
    check("what cannot be is refused with the reason, in words", True)
    code, text = hotline.command("user", "add", "8122", *add, "--password", SECOND)
    check("a password is no argument", code == 2, text.strip().splitlines()[0])
    changes = [row[0] for row in hotline.rows("SELECT count(*) AS n FROM audit WHERE action LIKE 'user.%'")]
    check("nothing of it has changed anything", changes == [1])


def passwords(hotline, token):
    code, shown = at_a_terminal(hotline, "passwd", "8121", typed=[SECOND + "\n", FIRST + "\n"])
    check("typed twice, and not the same: nothing changes", code == 1 and "不同" in shown and alive(hotline, token) == 200)
    code, shown = at_a_terminal(hotline, "passwd", "8121", typed=["half\x03"])
    check("Ctrl-C at the prompt: nothing changes", code == 1 and "已取消" in shown and alive(hotline, token) == 200)
    code, shown = at_a_terminal(hotline, "passwd", "8121", typed=[SECOND + "\n"] * 2)
    check("another password, typed at a terminal", code == 0, shown.strip().splitlines()[-1])
    check("it was not shown", SECOND not in shown and "half" not in shown)
    check("sessions end", alive(hotline, token) == 401)
    check("the old one is none any more at the console", (signs_in(hotline, "8121", FIRST), signs_in(hotline, "8121", SECOND)) == (401, 200))
    takes(hotline, "desk-21", SECOND, 200)
    takes(hotline, "desk-21", FIRST, 401)
    check("nor at the telephone", True)


def shutting_out(hotline):
    token, admin = hotline.sign_in("8121", SECOND), hotline.sign_in()
    user(hotline, "disable", "8121")
    check("disabled: the session ends", alive(hotline, token) == 401)
    check("nobody signs in by it", signs_in(hotline, "8121", SECOND) == 401)
    takes(hotline, "desk-21", SECOND, 401)
    check("its telephone is not registered any more", True)
    until("the agent is signed out", 5, lambda: all(
        a["status"] == "logged_out" for a in hotline.api("GET", "/agents", token=admin)["items"] if a["agent"] == "8121"))
    user(hotline, "enable", "8121")
    takes(hotline, "desk-21", SECOND, 200)
    check("enabled again", signs_in(hotline, "8121", SECOND) == 200)


def settings_and_database(hotline):
    """A reload spares the database's; the same user in both is a fault."""
    status, _, body = hotline.ask("POST", "/api/v1/settings/reload", token=hotline.sign_in())
    check("a reload leaves them alone", status == 200 and signs_in(hotline, "8121", SECOND) == 200
          and register(hotline, "desk-21", SECOND, "SHA-256") == 200)
    good = (hotline.folder / "hotline.toml").read_text()
    hotline.changed(("[[agent]]", '[[agent]]\nnumber = "8121"\npassword = "stolen-stolen"\n[[agent]]'))
    status, _, body = hotline.ask("POST", "/api/v1/settings/reload", token=hotline.sign_in())
    check("the same user in hotline.toml is a fault", status == 400 and "由数据库管理" in body.decode(), body.decode()[:160])
    code, said = hotline.command("check")
    check("hotline check tells it with its line", code == 1 and re.search(r"hotline.toml:\d+:\d+: 用户 8121 由数据库管理", said))
    check("the user is what it was", signs_in(hotline, "8121", SECOND) == 200 and signs_in(hotline, "8121", "stolen-stolen") == 401)
    (hotline.folder / "hotline.toml").write_text(good)
    hotline.stop()
    hotline.start()
    check("after a restart all is as before", signs_in(hotline, "8121", SECOND) == 200 and register(hotline, "desk-21", SECOND, "MD5") == 200)


def administrators(hotline):
    """The settings' administrator goes; the database's is the last one then."""
    user(hotline, "add", "chief", "--role", "admin", "--password-stdin", said=FIRST + "\n")
    token = hotline.sign_in("chief", FIRST)
    check("an administrator of the database", hotline.ask("GET", "/api/v1/settings", token=token)[0] == 200)
    good = (hotline.folder / "hotline.toml").read_text()
    hotline.changed(('[[user]]\nname = "admin"\nrole = "admin"\npassword = "sandbox-admin"\n', ""))
    check("the settings' own is gone", hotline.ask("POST", "/api/v1/settings/reload", token=token)[0] == 200
          and signs_in(hotline, "admin", "sandbox-admin") == 401)
    for words in (["disable", "chief"], ["remove", "chief", "--yes"]):
        said = user(hotline, *words, code=1)
        check(f"the last administrator: {words[0]} is refused", "最后一个" in said, said.strip())
    check("and is still signed in", alive(hotline, token) == 200)
    (hotline.folder / "hotline.toml").write_text(good)
    hotline.ask("POST", "/api/v1/settings/reload", token=token)
    user(hotline, "remove", "chief", "--yes")
    check("where there is another, it goes", alive(hotline, token) == 401 and "chief" not in user(hotline, "list"))


def removing(hotline):
    code, shown = at_a_terminal(hotline, "remove", "8121", typed=["no\n"])
    check("removing asks", code == 1 and signs_in(hotline, "8121", SECOND) == 200, shown.strip().splitlines()[0][:60])
    code, shown = at_a_terminal(hotline, "remove", "8121", typed=["yes\n"])
    check("and does so when told", code == 0 and signs_in(hotline, "8121", SECOND) == 401)
    takes(hotline, "desk-21", SECOND, 401)
    actions = [row[0] for row in hotline.rows("SELECT action FROM audit WHERE object = '8121' AND action LIKE 'user.%' ORDER BY seq")]
    check("the audit log has each step", actions == ["user.add", "user.password", "user.disable", "user.enable", "user.remove"], actions)
    kept = hotline.rows("SELECT count(*) AS n FROM audit WHERE detail LIKE '%staple%' OR detail LIKE '%horse%'")[0][0]
    log = (hotline.folder / "log").read_text()
    check("no password is in it, nor in the log", kept == 0 and FIRST not in log and SECOND not in log)


def main():
    print("users of the database" + (", PostgreSQL" if os.environ.get("HOTLINE_TEST_DATABASE") == "postgres" else ""))
    with Hotline() as hotline, tempfile.TemporaryDirectory() as folder:
        token = adding(hotline)
        softphone(hotline, folder)
        refusals(hotline)
        passwords(hotline, token)
        shutting_out(hotline)
        settings_and_database(hotline)
        administrators(hotline)
        removing(hotline)


if __name__ == "__main__":
    main()
