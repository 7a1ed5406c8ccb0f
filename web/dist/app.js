// The live page: signs in, reads the lists, then follows the event stream.

import { noAlarms, readAlarms } from "./alarms.js";
import { api } from "./api.js";
import { agents, calls, draw, lists, me, messages, queues, tickets } from "./board.js";
import { noSettings, readSettings, showSettings } from "./settings.js";
import { tick } from "./table.js";
import { clock, learnOffset } from "./time.js";
import { ownReasons, reasons, userRoles } from "./words.js";

const $ = (id) => document.getElementById(id);
/** How long after a lost connection the next is tried, in ms. */
const AGAIN = 1000;

let source = null, retry = 0, waiting = null, reading = Promise.resolve(), wanted = false;
const redraw = () => { if (!wanted) { wanted = true; setTimeout(() => { wanted = false; draw(); tick(); }, 30); } };

/** Says something for a while; `calm` is no trouble. */
function say(text, calm) {
  $("toast").textContent = text;
  $("toast").classList.toggle("calm", Boolean(calm));
  $("toast").hidden = !text;
  clearTimeout(say.timer);
  if (text) say.timer = setTimeout(() => say(""), 8000);
}

// ---- the event stream ---------------------------------------------------------------------

function linked(up) {
  $("link").textContent = up ? "实时" : "已断开";
  $("link").className = `chip ${up ? "good" : "bad"}`;
  $("board").classList.toggle("stale", !up);
  if (up) { $("lost").hidden = true; return; }
  if (!$("lost").hidden) return;
  $("lost").textContent = `与服务器的连接已断开，正在重新连接……下面是 ${clock().slice(11)} 时的情况，可能已经变化。`;
  $("lost").hidden = false;
}

function take(kind, item) {
  // A queue that the settings name no more is away with the last who waited in it.
  if (kind === "queue" && item.closing && item.waiting_count + item.ringing_count === 0) return queues.delete(item.queue);
  if (kind === "call_gone" || (kind === "call" && item.state === "ended")) return calls.delete(item.id);
  const [map, key] = { call: [calls, "id"], agent: [agents, "agent"], queue: [queues, "queue"], ticket: [tickets, "no"], message: [messages, "id"] }[kind];
  map.set(item[key], item);
}

/** Reads the lists, one reading after the other; what the stream tells meanwhile is put on top of them. */
const readLists = () => reading = reading.catch(() => {}).then(readOnce);
async function readOnce() {
  const held = waiting = [];
  try {
    const answers = await Promise.all(lists().map(([path]) => api("GET", path)));
    lists().forEach(([, map, key], n) => {
      map.clear();
      for (const item of answers[n].items) map.set(item[key], item);
    });
  } finally {
    waiting = null;
    for (const [kind, item] of held) take(kind, item);
    redraw();
  }
}

function follow() {
  clearTimeout(retry);
  source?.close();
  const mine = source = new EventSource("/api/v1/events");
  source.onopen = () => Promise.all([readLists(), readAlarms(), readSettings()]).then(() => { if (source === mine) linked(true); }).catch(lost);
  source.onerror = () => lost();
  for (const kind of ["call", "call_gone", "agent", "queue", "ticket", "message"]) {
    source.addEventListener(kind, (event) => {
      const item = JSON.parse(event.data);
      if (waiting) waiting.push([kind, item]); else { take(kind, item); redraw(); }
    });
  }
  source.addEventListener("alarm", () => readAlarms().catch(lost));
  source.addEventListener("settings", (event) => {
    const state = JSON.parse(event.data);
    showSettings(state);
    say(state.faulty ? "新的配置有错误，没有生效" : "配置已重新加载，现已生效", !state.faulty);
  });
  source.addEventListener("reset", () => Promise.all([readLists(), readAlarms(), readSettings()]).catch(lost));
}

/** The stream or a list failed: says so, and begins anew unless the session is over. */
function lost() {
  source?.close();
  source = null;
  linked(false);
  clearTimeout(retry);
  retry = setTimeout(async () => {
    try {
      await api("GET", "/sessions/current");
      follow();
    } catch (problem) {
      if (problem.status === 401) showSignIn("登录已过期，请重新登录"); else lost();
    }
  }, AGAIN);
}

// ---- what may be done ----------------------------------------------------------------------

/** Asks in the dialog; gives the field's value (true without a field), or null when it is put away. */
function ask({ title, text, label, choices, hint, ok, danger }) {
  const dialog = $("ask"), field = choices ? $("ask-choice") : $("ask-text");
  $("ask-title").textContent = title;
  $("ask-about").textContent = text;
  $("ask-choice-row").hidden = !choices;
  $("ask-text-row").hidden = Boolean(choices) || !label;
  (choices ? $("ask-choice-label") : $("ask-text-label")).textContent = label || "";
  $("ask-choice").replaceChildren(...(choices || []).map(([value, word]) => new Option(word, value)));
  $("ask-text").value = "";
  $("ask-text").required = Boolean(label) && !choices;
  $("ask-hints").replaceChildren(...(hint || []).map(([value, word]) => new Option(word, value)));
  $("ask-ok").textContent = ok;
  $("ask-ok").className = danger ? "danger" : "";
  dialog.returnValue = "";
  dialog.showModal();
  return new Promise((done) => {
    dialog.onclose = () => done(dialog.returnValue !== "ok" ? null : label ? field.value.trim() : true);
  });
}

async function threeWay(id) {
  const all = await api("GET", "/hotlines").catch(() => ({ items: [] }));
  const hotline = await ask({
    title: "三方通话", text: "部门接通后三方同时通话；部门占线、无人接听或已下班时，诉求人回到话务员，电话不会断。",
    label: "部门热线号码，例如 12330", hint: all.items.filter((h) => h.three_way).map((h) => [h.number, h.name]), ok: "呼叫部门",
  });
  if (hotline) await api("POST", `/calls/${id}/three-way`, { hotline });
}

async function act(verb, key) {
  const status = (body) => api("PUT", `/agents/${key}/status`, body);
  switch (verb) {
    case "ready": return status({ status: "ready" });
    case "not-ready": {
      const reason = await ask({
        title: `${key} 示忙`, text: "示忙期间不分配来电；正在通话时，通话结束后生效。", label: "原因",
        choices: ownReasons.map((name) => [name, reasons[name]]), ok: "示忙",
      });
      return reason && status({ status: "not_ready", reason });
    }
    case "wrap-up": return api("POST", `/agents/${key}/wrap-up`, {});
    case "three-way": return threeWay(key);
    case "hangup": {
      const sure = await ask({ title: "挂断通话", text: "所有各方都会被挂断，包括诉求人。工单和录音会保留。", ok: "挂断", danger: true });
      return sure && api("POST", `/calls/${key}/hangup`, {});
    }
    default: return api("POST", `/calls/${key}/${verb}`, {});
  }
}

$("ask-cancel").onclick = () => $("ask").close();
$("board").onclick = async ({ target }) => {
  const button = target.closest("button[data-verb]");
  if (!button || button.ariaDisabled === "true") return;
  button.ariaDisabled = "true";
  try { await act(button.dataset.verb, button.dataset.key); } catch (problem) {
    if (problem.status === 401) showSignIn("登录已过期，请重新登录"); else say(problem.message);
  } finally { button.ariaDisabled = null; }
};

// ---- signing in and out --------------------------------------------------------------------

function showSignIn(why) {
  clearTimeout(retry);
  source?.close();
  source = null;
  $("ask").close();
  for (const map of [calls, agents, queues, tickets, messages]) map.clear();
  noAlarms();
  noSettings();
  draw();
  say("");
  for (const id of ["board", "link", "sign-out", "lost"]) $(id).hidden = true;
  $("sign-in").hidden = false;
  $("who").textContent = "";
  $("sign-in-error").textContent = why || "";
  $("user").focus();
}

async function enter() {
  const session = await api("GET", "/sessions/current");
  Object.assign(me, session);
  learnOffset(session.expires_at);
  $("sign-in").hidden = true;
  for (const id of ["board", "link", "sign-out"]) $(id).hidden = false;
  $("who").textContent = `${userRoles[me.role] || me.role} ${me.user}`;
  for (const part of document.querySelectorAll("[data-centre]")) part.hidden = Boolean(me.unit);
  $("h-tickets").textContent = me.unit ? "本单位工单" : "最近工单";
  $("link").textContent = "正在连接";
  $("link").className = "chip";
  draw();
  follow();
}

$("sign-in").onsubmit = async (event) => {
  event.preventDefault();
  $("sign-in-error").textContent = "";
  $("sign-in-go").ariaDisabled = "true";
  try {
    await api("POST", "/sessions", { user: $("user").value.trim(), password: $("password").value });
    $("password").value = "";
    await enter();
    $("board").focus();
  } catch (problem) {
    $("sign-in-error").textContent = problem.status === 401 ? "用户名或密码不正确，请重新输入" : problem.message;
    $("password").focus();
    $("password").select();
  } finally { $("sign-in-go").ariaDisabled = null; }
};
$("sign-out").onclick = async () => { await api("DELETE", "/sessions/current").catch(() => {}); showSignIn(); };

const dial = document.documentElement.dataset.dial;
$("dial").textContent = dial;
for (const part of document.querySelectorAll("[data-sandbox]")) part.hidden = !dial;
setInterval(() => { $("clock").textContent = clock(); if (!$("board").classList.contains("stale")) tick(); }, 250);
enter().catch((problem) => showSignIn(problem.status === 401 ? "" : problem.message));
