// The board: what there is of calls, agents, queues, tickets and messages, drawn as tables and figures.

import { table } from "./table.js";
import { day, time } from "./time.js";
import * as word from "./words.js";

const $ = (id) => document.getElementById(id);
/** Rows of one table; more would not be read. */
const MOST = 100;
const TICKETS = 15, MESSAGES = 8;

export const calls = new Map(), agents = new Map(), queues = new Map(), tickets = new Map(), messages = new Map();
/** Who looks: filled in by signing in. */
export const me = { user: "", role: "", agent: null, unit: null };

const leads = () => ["supervisor", "admin"].includes(me.role);
const chip = (words, key) => ({ chip: words[key] || [key, ""] });
const by = (field, down) => (a, b) => (a[field] < b[field] ? -1 : a[field] > b[field] ? 1 : 0) * (down ? -1 : 1);
const level = (answered, within) => answered ? `${(100 * within / answered).toFixed(1)}%` : "—";
/** The agent who talks, or whose telephone rings. */
const agentOf = (c) => c.agent || (c.legs || []).find((leg) => leg.role === "agent" && leg.state !== "over")?.agent;
const connected = ["talking", "held", "consulting", "three_way", "handed_over"];

function party(leg) {
  const who = leg.role === "agent" ? `话务员 ${leg.agent}`
    : leg.role === "department" ? `${leg.name || "部门"} ${leg.hotline || ""}`.trim() : word.parties[leg.role] || leg.role;
  return { part: [who, word.legStates[leg.state] || leg.state] };
}

function callActions(c) {
  const own = me.agent && (c.agent === me.agent || (c.legs || []).some((leg) => leg.agent === me.agent));
  const actions = [];
  if (leads() || own) {
    if (c.state === "talking") actions.push(["hold", "保持", "quiet"], ["three-way", "三方", "quiet"]);
    if (c.state === "held") actions.push(["unhold", "恢复", "quiet"]);
    if (c.state === "consulting") actions.push(["merge", "并入", "quiet"]);
    if (c.state === "three_way") actions.push(["leave", "话务员离开", "quiet"]);
    if (connected.includes(c.state) || c.state === "queued") actions.push(["hangup", "挂断", "danger"]);
  }
  return { actions, of: `${c.from || "未显示号码"} 的通话` };
}

const drawCalls = table("calls", (c) => c.id, [
  ["", (c) => time(c.started_at)],
  ["", (c) => c.from || "未显示号码"],
  ["", (c) => c.dialled],
  ["", (c) => chip(word.callStates, c.state)],
  ["num", (c) => ({ since: c.enqueued_at, until: c.served_at || c.ended_at })],
  ["num", (c) => ({ since: c.served_at, until: c.ended_at })],
  ["", (c) => agentOf(c) || "—"],
  ["wide", (c) => (c.legs || []).filter((leg) => leg.state !== "over").map(party)],
  ["", (c) => c.ticket_no || "—"],
  ["actions", callActions],
], "现在没有通话。有人拨打 12345 时，这里会立即显示。");

const wantsReady = (a) => (a.pending_status || a.status) === "ready";

function agentWords(a) {
  const rest = a.reason ? `示忙 · ${word.reasons[a.reason] || a.reason}` : "示忙";
  if (a.state !== "idle") {
    const after = { not_ready: " · 之后示忙", logged_out: " · 之后签出" }[a.pending_status];
    const [text, tint] = word.agentStates[a.state] || [a.state, ""];
    return { chip: [text + (after || ""), tint] };
  }
  const ready = a.registered ? ["空闲", "good"] : ["等待话机注册", "warn"];
  return { chip: { logged_out: ["未签入", ""], ready, not_ready: [rest, "warn"] }[a.status] || [a.status, ""] };
}

function agentActions(a) {
  const actions = [];
  if (leads() || me.agent === a.agent) {
    if (a.state === "wrap_up") actions.push(["wrap-up", "结束话后", "quiet"]);
    if (a.status !== "logged_out") actions.push(wantsReady(a) ? ["not-ready", "示忙", "quiet"] : ["ready", "示闲", ""]);
  }
  return { actions, of: a.agent };
}

const drawAgents = table("agents", (a) => a.agent, [
  ["", (a) => a.agent + (a.extension && a.extension !== a.agent ? ` · 分机 ${a.extension}` : "")],
  ["", agentWords],
  ["num", (a) => ({ since: a.since })],
  ["", (a) => ({ chip: a.registered ? ["已注册", "good"] : ["未注册", "bad"] })],
  ["num", (a) => a.calls_today],
  ["actions", agentActions],
], "还没有坐席签入。话机注册之后，坐席会出现在这里。");

const longest = (q) => (q.waiting || []).map((w) => w.enqueued_at).sort()[0];

const drawQueues = table("queues", (q) => q.queue, [
  ["", (q) => [q.queue === "general" ? "综合（general）" : q.queue, ...(q.closing ? [" ", { chip: ["停止接入", "warn"] }] : [])]],
  ["num", (q) => q.waiting_count],
  ["num", (q) => longest(q) ? { since: longest(q) } : "—"],
  ["num", (q) => q.offered],
  ["num", (q) => q.answered],
  ["num", (q) => level(q.answered, q.answered_within_sl)],
  ["num", (q) => q.abandoned],
], "没有队列，来电无处排队。请在配置里加上 [[queue]]。");

const drawTickets = table("tickets", (t) => t.no, [
  ["", (t) => t.no],
  ["", (t) => day(t.accepted_at)],
  ["", (t) => t.class === "request" ? word.ticketKinds[t.matter?.kind] || "诉求" : word.contactKinds[t.contact_kind] || "来电记录"],
  ["wide", (t) => t.matter?.title || "—"],
  ["", (t) => t.citizen?.confidential ? "保密" : t.citizen?.name || t.citizen?.number || "匿名"],
  ["", (t) => day(t.due_at) || "—"],
  ["", (t) => [chip(word.ticketStates, t.state), ...(t.overdue ? [{ chip: ["已逾期", "bad"] }] : [])]],
], "还没有工单。每通接起的电话都会留下一张。");

const drawMessages = table("messages", (m) => m.id, [
  ["", (m) => day(m.created_at)],
  ["", (m) => m.to],
  ["wide", (m) => m.text],
  ["", (m) => chip(word.messageStates, m.state)],
  ["", (m) => m.ticket_no || "—"],
], "还没有短信。工单受理和办结时会发给诉求人。");

function drawTiles(live) {
  const all = [...queues.values()], sum = (field) => all.reduce((n, q) => n + q[field], 0);
  const oldest = all.map(longest).filter(Boolean).sort()[0];
  const waits = $("t-longest");
  if (oldest) waits.dataset.since = oldest; else { delete waits.dataset.since; waits.textContent = "0:00"; }
  $("t-waiting").textContent = sum("waiting_count");
  $("t-talking").textContent = live.filter((c) => connected.includes(c.state)).length;
  const signedIn = [...agents.values()].filter((a) => a.status !== "logged_out");
  $("t-ready").textContent = `${signedIn.filter((a) => a.status === "ready" && a.state === "idle" && a.registered).length} / ${signedIn.length}`;
  $("t-level").textContent = level(sum("answered"), sum("answered_within_sl"));
  $("t-abandoned").textContent = sum("abandoned");
}

/** Draws everything anew; what says the same stays as it is. */
export function draw() {
  const live = [...calls.values()].filter((c) => c.state !== "ended").sort(by("started_at", true));
  drawCalls(live.slice(0, MOST));
  $("more-calls").textContent = live.length > MOST ? `另有 ${live.length - MOST} 通没有列出` : "";
  drawAgents([...agents.values()].sort(by("agent")));
  drawQueues([...queues.values()].sort(by("queue")));
  // The maps hold what was shown, so that a page left open for days does not grow.
  const latest = (map, field, most, key) => {
    const items = [...map.values()].sort(by(field, true));
    for (const old of items.splice(most)) map.delete(old[key]);
    return items;
  };
  // While a call goes on its draft is told in the call's own row.
  drawTickets(latest(tickets, "accepted_at", TICKETS, "no").filter((t) => t.state !== "draft" || !calls.has(t.call)));
  drawMessages(latest(messages, "created_at", MESSAGES, "id"));
  drawTiles(live);
}

/** The lists that this user may read: [path, where to, key]. */
export const lists = () => [
  [`/tickets?limit=${TICKETS}`, tickets, "no"],
  ...(me.unit ? [] : [
    ["/calls?state=live&limit=500", calls, "id"], ["/agents", agents, "agent"], ["/queues", queues, "queue"],
    [`/messages?limit=${MESSAGES}`, messages, "id"],
  ]),
];
