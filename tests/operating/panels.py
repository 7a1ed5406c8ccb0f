#!/usr/bin/env python3
"""Asks a real Prometheus for every panel of the dashboard and every rule, against a running sandbox.

usage: HOTLINE=target/debug/hotline tests/operating/panels.py     needs Debian's prometheus; takes half a minute
"""
import json, os, pathlib, re, socket, subprocess, sys, tempfile, time, urllib.parse, urllib.request

ROOT = pathlib.Path(__file__).resolve().parents[2]
HOST = "127.0.0.1"


def free(port, kind=socket.SOCK_STREAM):
    with socket.socket(socket.AF_INET, kind) as one:
        try:
            one.bind((HOST, port))
            return True
        except OSError:
            return False


def free_shift():
    for shift in range(4100, 20000, 10):
        tcp, udp = (8080, 2775, 5060, 5070, 5071), (5060, 5070, 5080)
        if all(free(p + shift) for p in tcp) and all(free(p + shift, socket.SOCK_DGRAM) for p in udp):
            return shift
    sys.exit("no free ports")


def get(url):
    with urllib.request.urlopen(url, timeout=10) as answer:
        return answer.read()


def until(what, look, limit=60):
    end = time.monotonic() + limit
    while time.monotonic() < end:
        try:
            if look():
                return
        except OSError:
            pass
        time.sleep(0.3)
    raise SystemExit(f"waited in vain for {what}")


def main():
    hotline = os.path.realpath(os.environ.get("HOTLINE", ROOT / "target/release/hotline"))
    with tempfile.TemporaryDirectory(prefix="hotline-panels-") as folder:
        shift = free_shift()
        web = 8080 + shift
        port = next(p for p in range(19090, 19990) if free(p))
        rules = ROOT / "deploy/prometheus/hotline-rules.yml"
        config = f"global: {{scrape_interval: 1s, evaluation_interval: 1s}}\nrule_files: ['{rules}']\nscrape_configs:\n" \
                 f"  - job_name: hotline\n    static_configs: [{{targets: ['{HOST}:{web}']}}]\n"
        path = pathlib.Path(folder, "prometheus.yml")
        path.write_text(config)
        logs = open(pathlib.Path(folder, "log"), "w")
        programs = [subprocess.Popen([hotline, "--data", f"{folder}/data", "--shift", str(shift)], stdout=logs, stderr=logs)]
        try:
            until("the sandbox", lambda: get(f"http://{HOST}:{web}/readyz"))
            programs.append(subprocess.Popen(
                ["prometheus", f"--config.file={path}", f"--storage.tsdb.path={folder}/tsdb",
                 f"--web.listen-address={HOST}:{port}"], stdout=logs, stderr=logs))
            ask = lambda query: json.loads(get(f"http://{HOST}:{port}/api/v1/query?" + urllib.parse.urlencode({"query": query})))
            until("a scrape", lambda: ask("hotline_build_info")["data"]["result"])
            time.sleep(12)
            board = json.loads((ROOT / "deploy/grafana/hotline.json").read_text())
            asked, empty = 0, []
            for panel in board["panels"]:
                for target in panel.get("targets", []):
                    query = re.sub(r"\$(instance|queue)\b", ".*", target["expr"])
                    answer = ask(query)
                    assert answer["status"] == "success", (panel["title"], query, answer)
                    asked += 1
                    if not answer["data"]["result"]:
                        empty.append(f"{panel['title']}: {query}")
            for group in json.loads(get(f"http://{HOST}:{port}/api/v1/rules"))["data"]["groups"]:
                for rule in group["rules"]:
                    assert rule["health"] == "ok", rule
                    asked += 1
            # What never happened has no line yet; what stands must be there.
            print(f"{asked} expressions were answered; {len(empty)} without a value, since nothing of it has happened:")
            print("\n".join(f"  {one}" for one in empty))
            assert len(empty) < asked // 2, "too much is empty to be true"
        finally:
            for program in reversed(programs):
                program.terminate()
                try:
                    program.wait(10)
                except subprocess.TimeoutExpired:
                    program.kill()
            logs.close()


main()
