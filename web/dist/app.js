// The live page: reads the lists once, then follows the event stream.

const $ = (id) => document.getElementById(id);
const api = async (method, path, body) => {
  const headers = { "X-Requested-With": "hotline" };
  if (body !== undefined) headers["Content-Type"] = "application/json";
  const response = await fetch(`/api/v1${path}`, { method, headers, body: body === undefined ? undefined : JSON.stringify(body) });
  if (response.status === 401) { showSignIn(); throw new Error("请先登录"); }
  const text = await response.text();
  const data = text ? JSON.parse(text) : null;
  if (!response.ok) throw new Error(data?.detail || data?.title || `出错了(${response.status})`);
  return data;
};

const callStates = {
  accepting: ["接入中", ""], ivr: ["语音导航", ""], queued: ["排队", "warn"], ringing: ["振铃", "warn"], talking: ["通话", "good"],
  held: ["保持", "warn"], consulting: ["咨询部门", "warn"], three_way: ["三方通话", "good"], handed_over: ["部门接续", "good"], ended: ["已结束", ""],
};
const agentStates = {
  idle: "空闲", reserved: "分配中", ringing: "振铃", talking: "通话", holding: "保持", consulting: "咨询", conferencing: "三方", wrap_up: "话后处理",
};
const reasons = { no_answer: "未接听", phone_lost: "话机失联", rest: "小休", meal: "用餐", training: "培训", meeting: "会议", signed_in: "刚签入" };
const ticketStates = {
  draft: ["草稿", ""], to_dispatch: ["待派单", "warn"], to_supplement: ["待补充", "warn"], handling: ["办理中", ""], to_review: ["待审核", "warn"],
  to_follow_up: ["待回访", "warn"], closed: ["结案", "good"], archived: ["归档", "good"], merged: ["已并单", ""], void: ["作废", ""],
};
const messageStates = {
  pending: ["待发送", "warn"], submitted: ["已提交", ""], delivered: ["已送达", "good"], failed: ["失败", "bad"], uncertain: ["待核实", "bad"],
};
const roles = { citizen: "诉求人", agent: "话务员", department: "部门", other: "被叫" };
const legStates = { dialling: "呼叫中", ringing: "振铃", answered: "在线", over: "已离开" };

const calls = new Map(), agents = new Map(), queues = new Map(), tickets = new Map(), messages = new Map();
let source = null, me = null;

const cell = (row, content, className) => {
  const td = row.insertCell();
  if (className) td.className = className;
  if (content instanceof Node) td.append(content); else td.textContent = content ?? "";
  return td;
};
const chip = ([text, kind]) => {
  const span = document.createElement("span");
  span.className = `chip ${kind || ""}`;
  span.textContent = text;
  return span;
};
const button = (text, className, action) => {
  const b = document.createElement("button");
  b.textContent = text;
  b.className = className;
  b.onclick = async () => { b.disabled = true; try { await action(); } catch (error) { toast(error.message); } finally { b.disabled = false; } };
  return b;
};
const toast = (text) => { $("toast").textContent = text; clearTimeout(toast.timer); toast.timer = setTimeout(() => { $("toast").textContent = ""; }, 6000); };
const at = (text) => text ? new Date(text) : null;
const time = (text) => at(text)?.toLocaleTimeString("zh-CN", { hour12: false }) ?? "";
const span = (from) => {
  if (!from) return "";
  const s = Math.max(0, Math.round((Date.now() - at(from)) / 1000));
  return `${Math.floor(s / 60)}:${String(s % 60).padStart(2, "0")}`;
};
const body = (id, rows, columns, draw, empty) => {
  const tbody = document.createElement("tbody");
  for (const item of rows) draw(tbody.insertRow(), item);
  if (!rows.length) {
    const row = tbody.insertRow();
    row.className = "empty";
    cell(row, empty).colSpan = columns;
  }
  $(id).tBodies[0].replaceWith(tbody);
};

function drawCalls() {
  const rows = [...calls.values()].filter((c) => c.state !== "ended").sort((a, b) => a.started_at < b.started_at ? 1 : -1);
  body("calls", rows, 9, (row, c) => {
    cell(row, time(c.started_at));
    cell(row, c.from || "未显示号码");
    cell(row, c.dialled);
    cell(row, chip(callStates[c.state] || [c.state, ""]));
    cell(row, span(c.answered_at || c.started_at));
    cell(row, c.agent);
    cell(row, (c.legs || []).filter((l) => l.state !== "over").map((l) => `${l.role === "agent" ? `话务员 ${l.agent}` : l.role === "department" ? l.name || l.hotline : roles[l.role]}(${legStates[l.state]})`).join("、"), "wide");
    cell(row, c.ticket_no);
    const actions = cell(row, "");
    const act = (verb, data) => () => api("POST", `/calls/${c.id}/${verb}`, data ?? {});
    if (c.state === "talking") {
      actions.append(button("保持", "quiet", act("hold")), button("三方", "quiet", async () => {
        const hotline = prompt("请输入部门热线,例如 12330");
        if (hotline) await act("three-way", { hotline: hotline.trim() })();
      }));
    }
    if (c.state === "held") actions.append(button("恢复", "quiet", act("unhold")));
    if (c.state === "consulting") actions.append(button("并入", "quiet", act("merge")));
    if (c.state === "three_way") actions.append(button("话务员离开", "quiet", act("leave")));
    if (["talking", "held", "consulting", "three_way", "handed_over", "queued"].includes(c.state)) {
      actions.append(button("挂断", "danger", async () => { if (confirm("确定挂断这通电话的所有各方吗?")) await act("hangup")(); }));
    }
  }, "现在没有通话");
}

function drawAgents() {
  const rows = [...agents.values()].sort((a, b) => a.agent < b.agent ? -1 : 1);
  body("agents", rows, 6, (row, a) => {
    cell(row, a.agent);
    cell(row, a.extension);
    const out = a.status === "logged_out", ready = a.status === "ready", busy = a.state !== "idle";
    const words = out ? ["未签入", ""] : busy ? [agentStates[a.state] || a.state, a.state === "wrap_up" ? "warn" : "good"]
      : ready ? ["空闲", "good"] : [`示忙${a.reason ? ` · ${reasons[a.reason] || a.reason}` : ""}`, "warn"];
    cell(row, chip(words));
    cell(row, span(a.since));
    cell(row, chip(a.registered ? ["已注册", "good"] : ["未注册", "bad"]));
    const actions = cell(row, "");
    const set = (status, reason) => () => api("PUT", `/agents/${a.agent}/status`, { status, reason });
    if (!out) actions.append(ready ? button("示忙", "quiet", set("not_ready", "rest")) : button("示闲", "", set("ready")));
  }, "没有坐席签入");
}

function drawQueues() {
  const rows = [...queues.values()].sort((a, b) => a.queue < b.queue ? -1 : 1);
  const level = (q) => q.answered ? `${(100 * q.answered_within_sl / q.answered).toFixed(1)} %` : "—";
  body("queues", rows, 7, (row, q) => {
    cell(row, q.queue === "general" ? "综合(general)" : q.queue);
    cell(row, q.waiting.length);
    cell(row, q.waiting.length ? span(q.waiting.map((w) => w.enqueued_at).sort()[0]) : "");
    cell(row, q.offered);
    cell(row, q.answered);
    cell(row, level(q));
    cell(row, q.abandoned);
  }, "没有队列");
  const sum = (f) => rows.reduce((n, q) => n + f(q), 0);
  const waiting = rows.flatMap((q) => q.waiting);
  $("t-waiting").textContent = waiting.length;
  $("t-longest").textContent = waiting.length ? span(waiting.map((w) => w.enqueued_at).sort()[0]) : "0:00";
  $("t-level").textContent = level({ answered: sum((q) => q.answered), answered_within_sl: sum((q) => q.answered_within_sl) });
  $("t-abandoned").textContent = sum((q) => q.abandoned);
}

function drawTickets() {
  const rows = [...tickets.values()].sort((a, b) => a.accepted_at < b.accepted_at ? 1 : -1).slice(0, 15);
  const kinds = { consultation: "咨询", help: "求助", complaint: "投诉", report: "举报", suggestion: "建议", praise: "表扬", other: "其他" };
  body("tickets", rows, 6, (row, t) => {
    cell(row, t.no);
    cell(row, at(t.accepted_at)?.toLocaleString("zh-CN", { hour12: false }));
    cell(row, t.class === "request" ? kinds[t.matter?.kind] || "受理" : "来电记录");
    cell(row, t.matter?.title || "—", "wide");
    cell(row, t.citizen?.confidential ? "保密" : t.citizen?.name || t.citizen?.number || "匿名");
    cell(row, chip(ticketStates[t.state] || [t.state, ""]));
  }, "还没有工单");
}

function drawMessages() {
  const rows = [...messages.values()].sort((a, b) => a.created_at < b.created_at ? 1 : -1).slice(0, 8);
  body("messages", rows, 5, (row, m) => {
    cell(row, at(m.created_at)?.toLocaleString("zh-CN", { hour12: false }));
    cell(row, m.to);
    cell(row, m.text, "wide");
    cell(row, chip(messageStates[m.state] || [m.state, ""]));
    cell(row, m.ticket_no);
  }, "还没有短信");
}

function draw() {
  drawCalls(); drawAgents(); drawQueues(); drawTickets(); drawMessages();
  const live = [...calls.values()];
  $("t-talking").textContent = live.filter((c) => ["talking", "held", "consulting", "three_way", "handed_over"].includes(c.state)).length;
  $("t-ready").textContent = [...agents.values()].filter((a) => a.status === "ready" && a.state === "idle").length;
}

let wanted = false;
const redraw = () => { if (!wanted) { wanted = true; requestAnimationFrame(() => { wanted = false; draw(); }); } };

const fill = (map, items, key) => { map.clear(); for (const item of items) map.set(item[key], item); };
const maybe = (path, map, key) => api("GET", path).then((list) => fill(map, list.items, key)).catch((error) => {
  if (!/权限|403/.test(error.message)) throw error;
});
async function readLists() {
  await Promise.all([
    maybe("/calls?state=live&limit=200", calls, "id"),
    maybe("/agents?limit=500", agents, "agent"),
    maybe("/queues?limit=100", queues, "queue"),
    maybe("/tickets?limit=15", tickets, "no"),
    maybe("/messages?limit=8", messages, "id"),
  ]);
  redraw();
}

function follow() {
  source?.close();
  source = new EventSource("/api/v1/events");
  const state = (text, kind) => { $("link").textContent = text; $("link").className = `chip ${kind}`; };
  source.onopen = () => state("实时", "good");
  source.onerror = () => state("重新连接…", "bad");
  const on = (kind, take) => source.addEventListener(kind, (event) => { take(JSON.parse(event.data)); redraw(); });
  on("call", (c) => c.state === "ended" ? calls.delete(c.id) : calls.set(c.id, c));
  on("agent", (a) => agents.set(a.agent, a));
  on("queue", (q) => queues.set(q.queue, q));
  on("ticket", (t) => tickets.set(t.no, t));
  on("message", (m) => messages.set(m.id, m));
  source.addEventListener("reset", () => readLists().catch((error) => toast(error.message)));
}

function showSignIn() {
  source?.close();
  $("board").hidden = true;
  $("sign-in").hidden = false;
  $("sign-out").hidden = true;
  $("who").textContent = "";
  $("sign-in").user.focus();
}

async function enter() {
  me = await api("GET", "/sessions/current");
  $("sign-in").hidden = true;
  $("board").hidden = false;
  $("sign-out").hidden = false;
  $("who").textContent = me.user;
  await readLists();
  follow();
}

$("sign-in").onsubmit = async (event) => {
  event.preventDefault();
  const form = event.target;
  $("sign-in-error").textContent = "";
  try {
    const response = await fetch("/api/v1/sessions", {
      method: "POST", headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ user: form.user.value.trim(), password: form.password.value }),
    });
    if (!response.ok) throw new Error((await response.json()).detail || "登录失败");
    form.password.value = "";
    await enter();
  } catch (error) { $("sign-in-error").textContent = error.message; }
};
$("sign-out").onclick = async () => { await api("DELETE", "/sessions/current").catch(() => {}); showSignIn(); };

setInterval(() => {
  $("clock").textContent = new Date().toLocaleString("zh-CN", { hour12: false });
  if (!$("board").hidden) redraw();
}, 1000);
enter().catch(() => showSignIn());
