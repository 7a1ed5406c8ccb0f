// How the settings stand, in a strip above the board, for administrators: faults that keep new ones out of force, and what
// waits for a restart. Told by the event `settings`, and read whenever the stream begins anew.

import { api } from "./api.js";
import { me } from "./board.js";

const strip = document.getElementById("settings"), list = strip.querySelector("ul");

function item([word, tint], text, advice) {
  const row = document.createElement("li"), chip = document.createElement("span"), what = document.createElement("span");
  const small = document.createElement("small");
  chip.className = `chip ${tint}`;
  chip.textContent = word;
  what.textContent = text;
  small.textContent = advice;
  row.append(chip, what, small);
  return row;
}

const place = (fault) => fault.file ? `${fault.file}${fault.line ? ` 第 ${fault.line} 行` : ""}：` : "";

/** Shows how they stand; where there is nothing to do the strip is away. */
export function showSettings(state) {
  const rows = state.faults.map((fault) => item(["配置有错误", "bad"], place(fault) + fault.message, fault.fix || "改正后重新加载；在此之前仍按原配置运行"));
  if (state.pending_restart.length) rows.push(item(["待重启", "warn"], state.pending_restart.join("、"), "已改动，重启 hotline 后生效"));
  list.replaceChildren(...rows);
  strip.hidden = rows.length === 0;
}

/** Reads and shows them, where this user may know. */
export async function readSettings() {
  if (me.role === "admin") showSettings(await api("GET", "/settings")); else noSettings();
}

/** Signed out: nothing is shown. */
export const noSettings = () => { list.replaceChildren(); strip.hidden = true; };
