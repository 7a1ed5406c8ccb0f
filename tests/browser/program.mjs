// The program under test: a sandbox of its own, on ports that are free, with data in a folder of its own.

import { spawn } from "node:child_process";
import { createSocket } from "node:dgram";
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

const HOST = "127.0.0.1";
/** The sandbox's ports (src/config/sandbox.rs, sip-profiles/); `--shift` moves them all. */
const TCP = [8080, 2775, 5060, 5070, 5071], UDP = [5060, 5070, 5080];

const freeTcp = (port) => new Promise((done) => {
  const server = createServer().once("error", () => done(false)).once("listening", () => server.close(() => done(true)));
  server.listen(port, HOST);
});
const freeUdp = (port) => new Promise((done) => {
  const socket = createSocket("udp4").once("error", () => done(false));
  socket.bind(port, HOST, () => socket.close(() => done(true)));
});

async function freeShift() {
  for (let shift = 3100 + 10 * (process.pid % 100); shift < 20_000; shift += 10) {
    const free = await Promise.all([...TCP.map((port) => freeTcp(port + shift)), ...UDP.map((port) => freeUdp(port + shift))]);
    if (free.every(Boolean)) return shift;
  }
  throw new Error("no free ports were found on loopback");
}

export class Program {
  async open() {
    this.folder = mkdtempSync(join(tmpdir(), "hotline-browser-"));
    this.shift = await freeShift();
    this.http = `http://${HOST}:${8080 + this.shift}`;
    this.trunk = 5060 + this.shift;
    this.agents = 5070 + this.shift;
    await this.start();
    return this;
  }

  arguments() { return ["--data", join(this.folder, "data"), "--shift", String(this.shift)]; }

  async start() {
    const log = openSync(join(this.folder, "log"), "a");
    this.process = spawn(process.env.HOTLINE, this.arguments(), { stdio: ["ignore", log, log], cwd: this.folder });
    closeSync(log);
    this.over = new Promise((done) => this.process.once("exit", done));
    for (let n = 0; n < 200; n++) {
      if (this.process.exitCode !== null) throw new Error(`the program ended:\n${this.log()}`);
      if (await fetch(`${this.http}/readyz`).then((answer) => answer.ok, () => false)) return;
      await sleep(100);
    }
    throw new Error(`the program was not ready in 20 s:\n${this.log()}`);
  }

  log() { return readFileSync(join(this.folder, "log"), "utf8").slice(-3000); }

  /** kill -9, as a power cut would. */
  async kill() { this.process.kill("SIGKILL"); await this.over; }

  /** Ends it, at once if it does not end by itself: a second signal stops the wait for those who talk. */
  async close() {
    if (!this.process || this.process.exitCode !== null || this.process.signalCode !== null) return;
    this.process.kill("SIGTERM");
    const ended = await Promise.race([this.over.then(() => true), sleep(3000, false)]);
    if (!ended) await this.kill();
  }

  forget() { if (this.folder) rmSync(this.folder, { recursive: true, force: true }); }

  /** One request to the API as this user. */
  async api(method, path, body, token) {
    const headers = { "Content-Type": "application/json", ...(token ? { Authorization: `Bearer ${token}` } : {}) };
    const answer = await fetch(`${this.http}/api/v1${path}`, { method, headers, body: body && JSON.stringify(body) });
    const text = await answer.text();
    if (!answer.ok) throw new Error(`${method} ${path}: ${answer.status} ${text.slice(0, 300)}`);
    return text ? JSON.parse(text) : null;
  }

  async signIn(user) { return (await this.api("POST", "/sessions", { user, password: `sandbox-${user}` })).token; }
}

/** A centre with a `hotline.toml` of its own, which the sandbox has not: two queues, and 12345 leads to `queue`. */
export class Centre extends Program {
  arguments() {
    this.write({ queues: ["general", "extra"], queue: "extra" });
    return ["--config", join(this.folder, "hotline.toml")];
  }

  write({ queues, queue }) {
    const udp = (port) => `listen = ["udp:${HOST}:${port}"]\nallow = ["127.0.0.0/8"]\n`;
    writeFileSync(join(this.folder, "hotline.toml"), `data = "data"
[http]
listen = ["${HOST}:${8080 + this.shift}"]
[media]
address = "${HOST}"
ports = "20000-29999"
allowed_networks = ["127.0.0.0/8"]
[recording]
create_key = true
[[agent]]
number = "8001"
password = "sandbox-8001"
[[user]]
name = "admin"
role = "admin"
password = "sandbox-admin"
${queues.map((name) => `[[queue]]\nname = "${name}"\n`).join("")}[[profile]]
name = "trunk"
kind = "trunk"
auth = "none"
${udp(this.trunk)}[[profile.number]]
match = ["12345"]
queue = "${queue}"
[[profile]]
name = "agents"
kind = "agents"
auth = "digest"
${udp(this.agents)}`);
  }

  /** Puts what is written in force; false where it has faults. */
  async reload() {
    const token = await this.signIn("admin");
    return this.api("POST", "/settings/reload", {}, token).then(() => true, () => false);
  }
}
