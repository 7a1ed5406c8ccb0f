// The browser, and what is watched in each of its pages: where requests go, what the console says, the page's policy.

import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { chromium } from "playwright-core";

const FLAGS = [
  "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
  "--disable-component-update", "--disable-sync",
];
const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

/** A check did not hold. */
export class Failed extends Error {}

export function check(what, holds, figures = "") {
  console.log(`  ${holds ? "ok  " : "FAIL"} ${what}${figures === "" ? "" : `: ${figures}`}`);
  if (!holds) throw new Failed(what);
}

/** Debian's chromium with a new, empty profile. */
export const launch = () => chromium.launch({ executablePath: "/usr/bin/chromium", headless: true, args: FLAGS });

/** A signed-out visitor with a page, at 1366×768. */
export async function visit(browser, http, log) {
  const context = await browser.newContext({ viewport: { width: 1366, height: 768 }, locale: "zh-CN", timezoneId: "Europe/London" });
  context.setDefaultTimeout(5000);
  context.on("request", (request) => log.requests.push(request.url()));
  context.on("response", (response) => log.responses.push(response));
  await context.addInitScript(() => {
    window.violations = [];
    document.addEventListener("securitypolicyviolation", (event) => window.violations.push(`${event.violatedDirective} ${event.blockedURI}`));
  });
  const page = await context.newPage();
  page.on("console", (message) => { if (["error", "warning"].includes(message.type())) log.errors.push(`${message.text()} ${message.location().url}`); });
  page.on("pageerror", (error) => log.errors.push(`uncaught: ${error}`));
  await page.goto(http);
  return page;
}

/** What was seen on all pages. */
export const newLog = () => ({ requests: [], responses: [], errors: [] });

/** axe's findings that are serious or critical, in light and in dark. */
export async function accessible(page, where) {
  for (const colorScheme of ["dark", "light"]) {
    await page.emulateMedia({ colorScheme });
    await page.evaluate(axe);
    const found = await page.evaluate(async () => (await window.axe.run(document)).violations
      .filter((one) => ["serious", "critical"].includes(one.impact))
      .map((one) => `${one.id}: ${one.nodes.map((node) => node.html).slice(0, 3).join(" ")}`));
    check(`axe finds nothing serious: ${where}, ${colorScheme}`, found.length === 0, found.join("\n"));
  }
}

/** Fails when the page is wider than its window, or one of its tables wider than its place; a pixel is rounding. */
export async function fits(page, where) {
  for (const [width, height] of [[1366, 768], [1920, 1080]]) {
    await page.setViewportSize({ width, height });
    const wide = await page.evaluate(() => [document.documentElement, ...document.querySelectorAll(".scroll")]
      .filter((part) => part.scrollWidth > part.clientWidth + 1).map((part) => `${part.className || "page"} ${part.scrollWidth} > ${part.clientWidth}`));
    check(`nothing scrolls sideways: ${where}, ${width}×${height}`, wide.length === 0, wide.join(", "));
  }
  await page.setViewportSize({ width: 1366, height: 768 });
}

/** Pictures in light and dark, at both sizes. */
export async function pictures(page, folder, name) {
  for (const colorScheme of ["dark", "light"]) {
    await page.emulateMedia({ colorScheme });
    for (const [width, height] of [[1920, 1080], [1366, 768]]) {
      await page.setViewportSize({ width, height });
      await page.screenshot({ path: `${folder}/${name}-${colorScheme}-${width}.png` });
    }
  }
}
