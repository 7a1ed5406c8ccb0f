// Tables whose rows stay. A cell is written anew only when what it says has changed, so that a button keeps the focus
// and a screen reader its place while the figures around it tick.
//
// A cell's content is a text, or one or several of: {chip: [word, tint]}, {since, until} which ticks,
// {part: [who, state]}, {actions: [[verb, word, class]…], of: what}.

import { span } from "./time.js";

const element = (name, className, text) => {
  const made = document.createElement(name);
  made.className = className || "";
  made.textContent = text ?? "";
  return made;
};

function nodes(content, key) {
  if (Array.isArray(content)) return content.flatMap((one) => nodes(one, key));
  if (typeof content !== "object" || content === null) return [document.createTextNode(content ?? "")];
  if (content.chip) return [element("span", `chip ${content.chip[1]}`, content.chip[0])];
  if (content.part) {
    const part = element("span", "part", `${content.part[0]} `);
    part.append(element("small", "", content.part[1]));
    return [part];
  }
  if ("since" in content) {
    const ticking = element("time", "", span(content.since, content.until));
    if (content.since && !content.until) ticking.dataset.since = content.since;
    return [ticking];
  }
  return content.actions.map(([verb, word, className]) => {
    const button = element("button", className, word);
    button.type = "button";
    button.dataset.verb = verb;
    button.dataset.key = key;
    button.setAttribute("aria-label", `${word} ${content.of}`);
    return button;
  });
}

function write(cell, content, key) {
  const says = JSON.stringify(content ?? "");
  if (cell.says === says) return;
  cell.says = says;
  const focused = cell.contains(document.activeElement);
  cell.replaceChildren(...nodes(content, key));
  if (focused) cell.querySelector("button")?.focus();
}

/** A drawing function for one table: columns are [class, item → content]; `empty` is said when there is nothing. */
export function table(id, keyOf, columns, empty) {
  const rows = new Map();
  const body = document.getElementById(id).tBodies[0];
  const nothing = element("tr", "empty");
  nothing.append(element("td", "", empty));
  nothing.cells[0].colSpan = columns.length;
  return (items) => {
    const keys = new Set(items.map(keyOf));
    for (const [key, row] of rows) if (!keys.has(key)) { row.remove(); rows.delete(key); }
    items.forEach((item, n) => {
      const key = keyOf(item);
      let row = rows.get(key);
      if (!row) {
        row = document.createElement("tr");
        row.dataset.key = key;
        for (const [className] of columns) row.append(element("td", className));
        rows.set(key, row);
      }
      columns.forEach(([, draw], c) => write(row.cells[c], draw(item), key));
      if (body.children[n] !== row) body.insertBefore(row, body.children[n] ?? null);
    });
    if (items.length) nothing.remove(); else body.append(nothing);
  };
}

/** Writes the running times anew. */
export function tick() {
  for (const ticking of document.querySelectorAll("[data-since]")) {
    const text = span(ticking.dataset.since);
    if (ticking.textContent !== text) ticking.textContent = text;
  }
}
