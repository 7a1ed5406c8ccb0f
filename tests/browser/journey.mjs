// A supervisor's day at the live page, in a real browser and with real calls.

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { accessible, check, fits, launch, newLog, pictures, visit } from "./browser.mjs";
import { Agent, Citizen } from "./phones.mjs";
import { Centre, Program } from "./program.mjs";

/** What the page owes: what happens is seen within this time. */
const LIVE = { timeout: 1000 };
const NUMBER = "13900000077", MASKED = "139****0077";

const shots = mkdtempSync(join(tmpdir(), "hotline-shots-"));
const log = newLog();
const phones = [];
const phone = async (made) => { phones.push(await made.open()); return made; };

const row = (page, table, text) => page.locator(`#${table} tbody tr`, { hasText: text });
/** The chip of a row with exactly this word: buttons may say the same. */
const chip = (line, word) => line.locator(".chip", { hasText: new RegExp(`^${word}$`) });
const text = async (locator) => (await locator.innerText()).replace(/\s+/g, " ").trim();
const seconds = (shown) => shown.split(":").reduce((sum, part) => sum * 60 + Number(part), 0);
/** Waits until the longest wait shows more seconds than it does now; gives both. */
async function ticks(page) {
  const from = await text(page.locator("#t-longest"));
  await page.waitForFunction((old) => document.getElementById("t-longest").textContent !== old, from);
  const to = await text(page.locator("#t-longest"));
  check("the longest wait ticks", seconds(to) > seconds(from), `${from} → ${to}`);
}

/** Waits for the locator, and says how long it took. */
async function seen(what, locator, limit = LIVE) {
  const begun = performance.now();
  const there = await locator.first().waitFor({ state: "visible", ...limit }).then(() => true, () => false);
  check(`${what} within ${limit.timeout / 1000} s`, there, `${Math.round(performance.now() - begun)} ms`);
}
async function gone(what, locator) {
  const begun = performance.now();
  const away = await locator.waitFor({ state: "detached", ...LIVE }).then(() => true, () => false);
  check(`${what} within 1 s`, away, `${Math.round(performance.now() - begun)} ms`);
}

async function signIn(page, user, password = `sandbox-${user}`) {
  await page.fill("#user", user);
  await page.fill("#password", password);
  await page.click("#sign-in-go");
}

async function theDoor(page) {
  console.log("signing in");
  await page.locator("#sign-in").waitFor();
  await accessible(page, "signing in");
  await pictures(page, shots, "sign-in");
  await signIn(page, "admin", "wrong");
  await page.locator("#sign-in-error:not(:empty)").waitFor();
  const message = await text(page.locator("#sign-in-error"));
  check("a wrong password is refused in words", message === "用户名或密码不正确，请重新输入", message);
  check("the board stays shut", !await page.locator("#board").isVisible());
  check("the focus is on the password", await page.evaluate(() => document.activeElement.id) === "password");
  await page.reload();
  await page.locator("#sign-in").waitFor();
  // By keyboard alone: the field has the focus from the start.
  await page.keyboard.type("admin");
  await page.keyboard.press("Tab");
  await page.keyboard.type("sandbox-admin");
  await page.keyboard.press("Enter");
  await seen("signed in by keyboard alone, the board is live", page.locator("#link", { hasText: "实时" }), { timeout: 3000 });
  for (const name of ["通话", "队列", "坐席", "最近工单", "最近短信"]) {
    check(`there is ${name}`, await page.getByRole("heading", { name, exact: true }).isVisible());
  }
  check("the queue is there before anybody has called", /^综合（general） 0 — 0 0 — 0$/.test(await text(row(page, "queues", "general"))));
  check("empty tables say so", /现在没有通话/.test(await text(page.locator("#calls"))) && /还没有坐席签入/.test(await text(page.locator("#agents"))));
  await fits(page, "empty");
  await accessible(page, "empty");
  await pictures(page, shots, "empty");
}

async function anAgent(page, program) {
  console.log("an agent");
  const agent = await phone(new Agent("8001"));
  await agent.register(program.agents);
  const line = row(page, "agents", "8001");
  await seen("8001 registers and is seen", chip(line, "空闲"));
  await line.getByRole("button", { name: "示忙 8001" }).focus();
  await page.keyboard.press("Enter");
  await page.locator("#ask").waitFor();
  await page.selectOption("#ask-choice", { label: "用餐" });
  await accessible(page, "a dialog");
  await pictures(page, shots, "dialog");
  await page.locator("#ask-ok").focus();
  await page.keyboard.press("Enter");
  await seen("not ready, with the reason", chip(line, "示忙 · 用餐"));
  return agent;
}

async function aCall(page, program, agent, colleague) {
  console.log("a call");
  const citizen = await phone(new Citizen(NUMBER));
  await citizen.dial(program.trunk);
  const line = row(page, "calls", MASKED);
  await seen("the call is seen, its number masked", line);
  citizen.press("0");
  await seen("it waits", chip(line, "排队"), { timeout: 1500 });
  await seen("another agent sees it wait", chip(row(colleague, "calls", MASKED), "排队"));
  check("and may do nothing to it", await colleague.locator("#board button[data-verb]").count() === 0);
  check("the queue shows one who waits", /^综合（general） 1 0:0\d /.test(await text(row(page, "queues", "general"))), await text(row(page, "queues", "general")));
  check("and so does the tile", await text(page.locator("#t-waiting")) === "1");
  await ticks(page);
  await row(page, "agents", "8001").getByRole("button", { name: "示闲 8001" }).click();
  await seen("ready from the page: the call rings", chip(line, "振铃"));
  await chip(row(page, "agents", "8001"), "振铃").waitFor(LIVE);
  agent.answer();
  await seen("it is talked", chip(line, "通话"));
  const cells = await line.locator("td").allInnerTexts();
  check("with the agent's number", cells[6] === "8001", cells.slice(0, 9).join(" | "));
  check("times are m:ss", /^\d+:\d\d$/.test(cells[4]) && /^\d+:\d\d$/.test(cells[5]));
  await gone("the other agent sees it no more", row(colleague, "calls", MASKED));
  const talked = seconds(cells[5]);
  await page.waitForFunction(([masked, from]) => [...document.querySelectorAll("#calls tbody tr")]
    .some((tr) => tr.cells[1]?.textContent === masked && +tr.cells[5].textContent.split(":")[1] > from), [MASKED, talked]);
  check("and tick", true);
  check("the whole number is nowhere on the page", !(await page.content()).includes(NUMBER));
  await chip(row(page, "agents", "8001"), "通话").waitFor(LIVE);
  return { citizen, line };
}

async function theMiddle(page, program) {
  console.log("in the middle of calls");
  await page.locator("#calls button", { hasText: "三方" }).focus();
  const other = await phone(new Citizen("02180000012"));
  await other.dial(program.trunk);
  other.press("0");
  await row(page, "calls", "排队").waitFor({ timeout: 3000 });
  await ticks(page);
  check("the focus stays on its button while rows come and times tick", await page.evaluate(() => document.activeElement.dataset.verb) === "three-way");
  await page.keyboard.press("Shift+Tab");
  await page.keyboard.press("Enter");
  await seen("held from the page", chip(row(page, "calls", MASKED), "保持"));
  await page.locator("#calls button", { hasText: "恢复" }).click();
  await seen("and resumed", chip(row(page, "calls", MASKED), "通话"));
  await page.locator("#calls button", { hasText: "三方" }).click();
  await page.fill("#ask-text", "12330");
  await page.keyboard.press("Enter");
  await seen("a department is called", row(page, "calls", MASKED).getByText(/知识产权.* 12330/), { timeout: 2000 });
  await seen("and joins", chip(row(page, "calls", MASKED), "三方通话"), { timeout: 8000 });
  await fits(page, "during calls");
  await accessible(page, "during calls");
  await pictures(page, shots, "calls");
  await other.hangUp();
  await gone("who gives up is gone", row(page, "calls", "排队"));
  await page.waitForFunction(() => document.getElementById("t-abandoned").textContent === "1", undefined, LIVE);
}

async function theTicket(page, citizen, line) {
  console.log("the ticket");
  const no = await text(line.locator("td").nth(8));
  check("the call has its ticket's number", /^\d{15}$/.test(no), no);
  await citizen.hangUp();
  await gone("hung up, the call leaves the board", line);
  await seen("its ticket is there", row(page, "tickets", no).getByText(MASKED));
  check("the abandoned call has its own", await row(page, "tickets", "放弃来电").count() === 1);
  await seen("the agent wraps up", chip(row(page, "agents", "8001"), "话后处理"));
  await page.getByRole("button", { name: "结束话后 8001" }).click();
  await seen("until it is ended from the page", chip(row(page, "agents", "8001"), "空闲"));
  return no;
}

async function anAlarm(page, program, agent) {
  console.log("an alarm");
  const strip = page.locator("#alarms");
  check("without an alarm there is no strip", !await strip.isVisible());
  const citizen = await phone(new Citizen("13900000079"));
  await citizen.dial(program.trunk);
  citizen.press("0");
  await chip(row(page, "agents", "8001"), "振铃").waitFor({ timeout: 3000 });
  agent.answer();
  agent.mute();
  // Ten seconds without a sound, and a look every five.
  await seen("a party that is not heard is an alarm", strip.locator("li", { hasText: "通话单通" }), { timeout: 20_000 });
  check("with what is wrong, since when, and what to do", /^警告 通话单通 .*1 路.*起） .*防火墙/.test(await text(strip.locator("li").first())), await text(strip.locator("li").first()));
  await fits(page, "an alarm");
  await accessible(page, "an alarm");
  await pictures(page, shots, "alarm");
  await citizen.hangUp();
}

async function theUnit(browser, program, admin, othersTicket) {
  console.log("a unit's user");
  const page = await visit(browser, program.http, log);
  await signIn(page, "unit201");
  await page.locator("#link", { hasText: "实时" }).waitFor();
  check("sees no calls, agents, queues and messages", await page.locator("#calls, #agents, #queues, #messages").evaluateAll((all) => all.every((one) => !one.checkVisibility())));
  check("and no ticket of others", !(await page.content()).includes(othersTicket) && /还没有工单/.test(await text(page.locator("#tickets"))));
  const token = await program.signIn("admin");
  const matter = { title: "小区门口夜间占道停车", content: "每晚八点以后,消防通道被占。", kind: "complaint" };
  const made = await program.api("POST", "/tickets", { channel: "web", citizen: { name: "王女士", number: "13900000078" }, matter }, token);
  await seen("the centre sees a new ticket", row(admin, "tickets", made.no));
  check("which the unit does not", !(await page.content()).includes(made.no));
  await program.api("POST", `/tickets/${made.no}/commands`, { command: "dispatch", lead: "201" }, token);
  await seen("until it is dispatched to it", chip(row(page, "tickets", made.no), "办理中"));
  check("and is told of no alarm", !await page.locator("#alarms").isVisible());
  check("a number is masked here too", !(await page.content()).includes("13900000078"));
  await accessible(page, "a unit's page");
  await pictures(page, shots, "unit");
  await page.getByRole("button", { name: "退出" }).click();
  await page.locator("#sign-in").waitFor();
  check("signed out, nothing is left on the page", !(await page.content()).includes(made.no));
  await page.context().close();
}

async function aPowerCut(page, program) {
  console.log("the program is killed and started again");
  const refused = log.errors.length;
  await program.kill();
  await seen("the page says that it is cut off", page.locator("#lost", { hasText: "连接已断开" }));
  check("by word in the header too", await text(page.locator("#link")) === "已断开");
  await accessible(page, "cut off");
  await pictures(page, shots, "cut-off");
  await page.getByRole("button", { name: "示忙 8001" }).click();
  await page.locator("#ask-ok").click();
  await page.locator("#toast", { hasText: "连不上服务器" }).waitFor();
  check("a command that cannot be done says so", true, await text(page.locator("#toast")));
  await program.start();
  await seen("started again, the page is live again", page.locator("#link", { hasText: "实时" }), { timeout: 3000 });
  check("and says no more that it is cut off", !await page.locator("#lost").isVisible());
  // The browser's own words on the refused connections; anything else is a fault.
  const own = log.errors.splice(refused);
  log.errors.push(...own.filter((one) => !/ERR_CONNECTION_REFUSED|ERR_INCOMPLETE_CHUNKED_ENCODING|ERR_CONNECTION_RESET|ERR_EMPTY_RESPONSE/.test(one)));
  const agent = await phone(new Agent("8002"));
  await agent.register(program.agents);
  await seen("what happens now is seen", chip(row(page, "agents", "8002"), "空闲"));
}

async function aChangeOfSettings(browser, centre) {
  console.log("settings that change");
  const own = newLog(), page = await visit(browser, centre.http, own);
  await signIn(page, "admin");
  await page.locator("#link", { hasText: "实时" }).waitFor();
  const strip = page.locator("#settings"), extra = row(page, "queues", "extra");
  check("without a fault there is no strip", !await strip.isVisible());
  const citizen = await phone(new Citizen("13900000080"));
  await citizen.dial(centre.trunk);
  await seen("a caller waits", row(page, "calls", "139****0080"));
  centre.write({ queues: ["general"], queue: "general" });
  check("a queue is taken out of the settings", await centre.reload());
  await seen("who waits is served, nobody else comes in", chip(extra, "停止接入"));
  await seen("and it is said that settings changed", page.locator("#toast", { hasText: "现已生效" }));
  await pictures(page, shots, "closing");
  await citizen.hangUp();
  await gone("with its last caller the queue is gone", extra);
  centre.write({ queues: ["general"], queue: "genral" });
  check("settings with a fault", !await centre.reload());
  await seen("are shown", strip.locator("li", { hasText: "genral" }));
  const says = await text(strip.locator("li").first());
  check("with file and line", /^配置有错误 .*hotline.toml 第 \d+ 行/.test(says), says);
  await fits(page, "a fault of the settings");
  await accessible(page, "a fault of the settings");
  await pictures(page, shots, "settings");
  centre.write({ queues: ["general"], queue: "general" });
  check("put right", await centre.reload());
  await strip.waitFor({ state: "hidden", ...LIVE });
  check("the strip is away", true);
  const agents = await visit(browser, centre.http, own);
  await signIn(agents, "8001");
  await agents.locator("#link", { hasText: "实时" }).waitFor();
  centre.write({ queues: ["general"], queue: "genral" });
  await centre.reload();
  await strip.waitFor({ state: "visible", ...LIVE });
  check("an agent is told nothing of it", !await agents.locator("#settings").isVisible());
  const faults = own.errors.filter((one) => !/status of 401 .*\/api\/v1\/sessions(\/current)?$/.test(one));
  check("the console is clean here, too", faults.length === 0, faults.join("\n"));
  await agents.context().close();
  await page.context().close();
}

async function theWatch(page, program) {
  console.log("what the browser did");
  const host = new URL(program.http).host;
  const elsewhere = log.requests.filter((url) => !/^data:/.test(url) && new URL(url).host !== host);
  check("no request went to another host", elsewhere.length === 0, elsewhere.join(" ") || `${log.requests.length} requests`);
  const index = log.responses.find((response) => new URL(response.url()).pathname === "/");
  const policy = index.headers()["content-security-policy"] ?? "";
  check("the page's policy allows its own files alone", /default-src 'self'/.test(policy) && !/unsafe|\*/.test(policy), policy);
  const violations = await page.evaluate(() => window.violations);
  check("and nothing broke it", violations.length === 0, violations.join(" "));
  // A 401 before signing in and one for the wrong password are the browser's own remarks.
  const faults = log.errors.filter((one) => !/status of 401 .*\/api\/v1\/sessions(\/current)?$/.test(one));
  check("the console is clean", faults.length === 0, faults.join("\n"));
  const refused = log.responses.filter((response) => response.status() >= 400 && response.status() !== 401);
  check("nothing was asked that is not allowed", refused.length === 0, refused.map((r) => `${r.status()} ${r.url()}`).join(" "));
}

async function journey(browser, program) {
  const page = await visit(browser, program.http, log);
  await theDoor(page);
  await page.evaluate(() => { window.sameDocument = true; });
  const agent = await anAgent(page, program);
  const colleague = await visit(browser, program.http, log);
  await signIn(colleague, "8002");
  await colleague.locator("#link", { hasText: "实时" }).waitFor();
  const { citizen, line } = await aCall(page, program, agent, colleague);
  await colleague.context().close();
  await theMiddle(page, program);
  const ticket = await theTicket(page, citizen, line);
  await anAlarm(page, program, agent);
  await theUnit(browser, program, page, ticket);
  await aPowerCut(page, program);
  check("all that without a reload", await page.evaluate(() => window.sameDocument === true));
  await theWatch(page, program);
}

const begun = performance.now();
const program = new Program(), centre = new Centre();
let browser, ok = false;
try {
  await program.open();
  browser = await launch();
  await journey(browser, program);
  await centre.open();
  await aChangeOfSettings(browser, centre);
  ok = true;
} catch (error) {
  console.error(error);
  console.error(`--- the browser's console\n${log.errors.join("\n")}`);
  console.error(`--- the end of the program's log\n${program.folder ? program.log() : ""}`);
  const page = browser?.contexts()[0]?.pages()[0];
  await page?.screenshot({ path: join(shots, "failed.png"), fullPage: true }).catch(() => {});
} finally {
  phones.forEach((one) => one.close());
  await browser?.close();
  for (const one of [program, centre]) {
    await one.close();
    one.forget();
  }
}
const keep = !ok || process.argv.includes("--keep");
if (keep) console.log(`screenshots: ${shots}`); else rmSync(shots, { recursive: true, force: true });
console.log(`the journey ${ok ? "was as it should be" : "FAILED"}, ${((performance.now() - begun) / 1000).toFixed(1)} s`);
process.exitCode = ok ? 0 : 1;
