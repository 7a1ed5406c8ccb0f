// The alarms that stand, in a strip above the board: for those who lead. They are read anew whenever one changes.

import { api } from "./api.js";
import { me } from "./board.js";

const severities = { critical: ["严重", "bad"], warning: ["警告", "warn"] };
const strip = document.getElementById("alarms"), list = strip.querySelector("ul");

function item(alarm) {
  const [word, tint] = severities[alarm.severity] || [alarm.severity, ""];
  const row = document.createElement("li"), chip = document.createElement("span"), title = document.createElement("strong");
  const detail = document.createElement("span"), advice = document.createElement("small");
  chip.className = `chip ${tint}`;
  chip.textContent = word;
  title.textContent = alarm.title;
  detail.textContent = `${alarm.detail}（${alarm.since.slice(5, 16).replace("T", " ")} 起）`;
  advice.textContent = alarm.advice;
  row.append(chip, title, detail, advice);
  return row;
}

/** Shows these alarms; without any the strip is away. */
function show(alarms) {
  list.replaceChildren(...alarms.map(item));
  strip.hidden = alarms.length === 0;
}

/** Reads and shows them, where this user may know. */
export async function readAlarms() {
  if (me.role !== "supervisor" && me.role !== "admin") return show([]);
  show((await api("GET", "/alarms")).items);
}

/** Signed out: nothing is shown. */
export const noAlarms = () => show([]);
