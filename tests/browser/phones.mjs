// Telephones for the journey: a citizen beyond the trunk and an agent who registers. Just enough of SIP over UDP and of
// RTP (silence and keys) for calls on loopback, where nothing is lost; no parser of the product's is used.

import { createHash, randomBytes, randomInt } from "node:crypto";
import { createSocket } from "node:dgram";
import { once } from "node:events";

const HOST = "127.0.0.1";
const token = () => randomBytes(8).toString("hex");
const header = (text, name) => new RegExp(`^${name}:\\s*(.*)$`, "im").exec(text)?.[1].trim() ?? "";
const copied = (text) => text.split("\r\n").filter((line) => /^(Via|From|Call-ID|CSeq|Record-Route):/i.test(line)).join("\r\n");

async function open() {
  const socket = createSocket("udp4");
  socket.bind(0, HOST);
  await once(socket, "listening");
  return socket;
}

/** A telephone's sound: silence as PCMA each 20 ms, and keys by RFC 4733. */
class Sound {
  async open() {
    this.socket = await open();
    this.port = this.socket.address().port;
    Object.assign(this, { seq: randomInt(30000), stamp: randomInt(1 << 30), ssrc: randomBytes(4), keys: [], event: null });
    return this;
  }

  offer() {
    return `v=0\r\no=- 1 1 IN IP4 ${HOST}\r\ns=-\r\nc=IN IP4 ${HOST}\r\nt=0 0\r\nm=audio ${this.port} RTP/AVP 8 101\r\n`
      + "a=rtpmap:8 PCMA/8000\r\na=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-15\r\na=ptime:20\r\na=sendrecv\r\n";
  }

  start(sdp) {
    const port = Number(/m=audio (\d+)/.exec(sdp)?.[1]);
    if (!port || this.timer) return;
    this.timer = setInterval(() => this.send(port), 20);
  }

  send(port) {
    if (!this.event && this.keys.length) this.event = { key: "0123456789*#".indexOf(this.keys.shift()), n: 0, stamp: this.stamp };
    const head = Buffer.alloc(12);
    head.set([0x80, this.event ? 101 | (this.event.n === 0 ? 0x80 : 0) : 8]);
    head.writeUInt16BE(this.seq, 2);
    head.writeUInt32BE(this.event ? this.event.stamp : this.stamp, 4);
    this.ssrc.copy(head, 8);
    let payload = Buffer.alloc(160, 0xd5);
    if (this.event) {
      const { key, n } = this.event;
      payload = Buffer.from([key, (n >= 8 ? 0x80 : 0) | 10, 0, 0]);
      payload.writeUInt16BE(Math.min((n + 1) * 160, 1280), 2);
      this.event = n >= 11 ? null : { ...this.event, n: n + 1 };
    }
    this.socket.send(Buffer.concat([head, payload]), port, HOST);
    this.seq = (this.seq + 1) & 0xffff;
    this.stamp = (this.stamp + 160) >>> 0;
  }

  stop() {
    clearInterval(this.timer);
    this.socket.close();
  }
}

/** What both telephones do: answers requests within a dialog, hands responses to whoever waits for them. */
class Phone {
  constructor() { this.waiting = new Map(); this.ended = false; }

  async open() {
    this.socket = await open();
    this.port = this.socket.address().port;
    this.sound = await new Sound().open();
    this.socket.on("message", (data, from) => this.take(data.toString(), from.port));
    return this;
  }

  send(text, port) { this.socket.send(text, port, HOST); }

  take(text, port) {
    if (text.startsWith("SIP/2.0 ")) {
      const status = Number(text.slice(8, 11));
      if (status >= 200) this.waiting.get(header(text, "CSeq"))?.({ status, text });
      return;
    }
    const method = text.split(" ")[0];
    if (method === "ACK") return;
    if (method === "INVITE") return this.invited(text, port);
    if (method === "BYE") this.ended = true;
    this.respond(text, port, "200 OK");
  }

  respond(request, port, status, tag = "", extra = "", body = "") {
    this.send(`SIP/2.0 ${status}\r\n${copied(request)}\r\nTo: ${header(request, "To")}${tag}\r\n${extra}Content-Length: ${body.length}\r\n\r\n${body}`, port);
  }

  /** Sends a request and gives its final response. */
  request(method, uri, port, cseq, lines, body = "") {
    const key = `${cseq} ${method}`;
    const answer = new Promise((done, fail) => {
      const timer = setTimeout(() => fail(new Error(`${method} was not answered in 10 s`)), 10_000);
      this.waiting.set(key, (response) => { clearTimeout(timer); this.waiting.delete(key); done(response); });
    });
    this.write(method, uri, port, cseq, lines, body);
    return answer;
  }

  write(method, uri, port, cseq, lines, body = "") {
    const all = [
      `${method} ${uri} SIP/2.0`, `Via: SIP/2.0/UDP ${HOST}:${this.port};branch=z9hG4bK${token()};rport`, "Max-Forwards: 70",
      ...lines, `CSeq: ${cseq} ${method}`, `Contact: <sip:phone@${HOST}:${this.port}>`,
      ...(body ? ["Content-Type: application/sdp"] : []), `Content-Length: ${body.length}`,
    ];
    this.send(`${all.join("\r\n")}\r\n\r\n${body}`, port);
  }

  invited(text, port) { this.respond(text, port, "486 Busy Here", `;tag=${token()}`); }

  /** Sends no sound any more, as behind a firewall that lets none through. */
  mute() { clearInterval(this.sound.timer); }

  close() { this.sound.stop(); this.socket.close(); }
}

/** A citizen who dials 12345 on the trunk. */
export class Citizen extends Phone {
  constructor(number) { super(); this.number = number; this.callId = `${token()}@citizen`; }

  lines(to = "") {
    return [`From: <sip:${this.number}@${HOST}>;tag=c`, `To: <sip:12345@${HOST}>${to}`, `Call-ID: ${this.callId}`];
  }

  /** Dials, and returns when the hotline has answered. */
  async dial(trunk) {
    this.trunk = trunk;
    const { status, text } = await this.request("INVITE", `sip:12345@${HOST}:${trunk}`, trunk, 1, this.lines(), this.sound.offer());
    if (status !== 200) throw new Error(`the call was answered ${status}`);
    this.to = /;tag=[^\s;>]+/.exec(header(text, "To"))[0];
    this.target = /<([^>]+)>/.exec(header(text, "Contact"))?.[1] ?? `sip:12345@${HOST}`;
    this.write("ACK", this.target, trunk, 1, this.lines(this.to));
    this.sound.start(text);
  }

  press(keys) { this.sound.keys.push(...keys); }

  async hangUp() { await this.request("BYE", this.target, this.trunk, 2, this.lines(this.to)); }
}

/** An agent's telephone: registers by digest, rings until told to answer. */
export class Agent extends Phone {
  constructor(number) { super(); this.number = number; this.callId = `${token()}@agent`; this.ringing = null; }

  /** Registers with the sandbox's password of this number. */
  async register(port) {
    const uri = `sip:${HOST}:${port}`, who = `<sip:${this.number}@${HOST}>`;
    const lines = [`From: ${who};tag=${token()}`, `To: ${who}`, `Call-ID: ${this.callId}`, "Expires: 300"];
    const first = await this.request("REGISTER", uri, port, 1, lines);
    if (first.status !== 401) throw new Error(`REGISTER without a password was answered ${first.status}`);
    const second = await this.request("REGISTER", uri, port, 2, [...lines, this.authorization(first.text, uri)]);
    if (second.status !== 200) throw new Error(`REGISTER with the password was answered ${second.status}`);
  }

  authorization(challenged, uri) {
    const all = challenged.split("\r\n").filter((line) => /^WWW-Authenticate:/i.test(line));
    const challenge = all.find((line) => /SHA-256/i.test(line)) ?? all[0];
    const value = (name) => new RegExp(`${name}="?([^",]+)`, "i").exec(challenge)?.[1];
    const algorithm = value("algorithm") ?? "MD5", realm = value("realm"), nonce = value("nonce"), opaque = value("opaque");
    const hash = (text) => createHash(algorithm === "SHA-256" ? "sha256" : "md5").update(text).digest("hex");
    const cnonce = token();
    const secret = hash(`${this.number}:${realm}:sandbox-${this.number}`);
    const response = hash(`${secret}:${nonce}:00000001:${cnonce}:auth:${hash(`REGISTER:${uri}`)}`);
    return `Authorization: Digest username="${this.number}", realm="${realm}", nonce="${nonce}", uri="${uri}", response="${response}", `
      + `algorithm=${algorithm}, qop=auth, nc=00000001, cnonce="${cnonce}"${opaque ? `, opaque="${opaque}"` : ""}`;
  }

  invited(text, port) {
    const again = this.ringing?.id === header(text, "Call-ID");
    if (!again) this.ringing = { id: header(text, "Call-ID"), text, port, tag: `;tag=${token()}`, answered: false };
    if (this.ringing.answered) this.accept(text, port); else this.respond(text, port, "180 Ringing", this.ringing.tag, this.contact());
  }

  contact() { return `Contact: <sip:${this.number}@${HOST}:${this.port}>\r\n`; }

  accept(text, port) {
    const tag = /;tag=/.test(header(text, "To")) ? "" : this.ringing.tag;
    this.respond(text, port, "200 OK", tag, `${this.contact()}Content-Type: application/sdp\r\n`, this.sound.offer());
    this.sound.start(text);
  }

  /** Answers the call that rings. */
  answer() {
    if (!this.ringing) throw new Error(`${this.number} does not ring`);
    this.ringing.answered = true;
    this.accept(this.ringing.text, this.ringing.port);
  }
}
