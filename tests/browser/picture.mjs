// Takes docs/live.png anew: the live page during calls.
// HOTLINE=target/release/hotline node tests/browser/picture.mjs FILE

import { launch, newLog, visit } from "./browser.mjs";
import { Agent, Citizen } from "./phones.mjs";
import { Program } from "./program.mjs";

const phones = [];
const agent = async (program, number) => {
  const made = await new Agent(number).open();
  phones.push(made);
  await made.register(program.agents);
  return made;
};
const citizen = async (program, number) => {
  const made = await new Citizen(number).open();
  phones.push(made);
  await made.dial(program.trunk);
  made.press("0");
  return made;
};
const matters = [
  ["解放路路灯不亮", "complaint", "李先生", "13900000021", "203"], ["咨询社保卡补办", "consultation", "陈女士", "13900000022", "204"],
  ["小区夜间施工噪声", "complaint", "王女士", "13900000023", "208"],
];

async function day(program, page) {
  const token = await program.signIn("admin");
  for (const [title, kind, name, number, unit] of matters) {
    const matter = { title, content: title, kind };
    const { no } = await program.api("POST", "/tickets", { channel: "web", citizen: { name, number }, matter }, token);
    if (kind === "complaint") await program.api("POST", `/tickets/${no}/commands`, { command: "dispatch", lead: unit }, token);
  }
  const row = (number) => page.locator("#calls tbody tr", { hasText: number });
  const talk = async (number, shown, by) => {
    const desk = await agent(program, by);
    await citizen(program, number);
    await row(shown).getByText("振铃").waitFor({ timeout: 8000 });
    desk.answer();
    await row(shown).getByText("通话", { exact: true }).waitFor();
  };
  await talk("13900000031", "139****0031", "8001");
  await talk("15000000032", "150****0032", "8002");
  await row("139****0031").getByText("三方").click();
  await page.fill("#ask-text", "12330");
  await page.keyboard.press("Enter");
  await talk("13700000033", "137****0033", "8003");
  await row("150****0032").getByText("保持").click();
  await agent(program, "8004");
  await program.api("PUT", "/agents/8004/status", { status: "not_ready", reason: "meal" }, token);
  for (const number of ["02180000034", "13600000035"]) await citizen(program, number);
  await row("139****0031").getByText("三方通话").waitFor({ timeout: 15_000 });
  await page.getByText("已送达").first().waitFor({ timeout: 15_000 });
  await page.waitForFunction(() => document.getElementById("t-longest").textContent >= "0:12", undefined, { timeout: 20_000 });
}

const program = await new Program().open();
const browser = await launch();
try {
  const page = await visit(browser, program.http, newLog());
  await page.setViewportSize({ width: 1366, height: 1000 });
  await page.fill("#user", "admin");
  await page.fill("#password", "sandbox-admin");
  await page.click("#sign-in-go");
  await page.locator("#link", { hasText: "实时" }).waitFor();
  await day(program, page);
  await page.evaluate(() => document.activeElement.blur());
  await page.screenshot({ path: process.argv[2] });
} finally {
  phones.forEach((phone) => phone.close());
  await browser.close();
  await program.close();
  program.forget();
}
