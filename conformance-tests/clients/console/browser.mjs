// What the console's tests share: a Chromium, signing in, and what must never be seen on the way.
//
// From the environment: CONSOLE_URL, AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY; CHROMIUM (default /usr/bin/chromium).
// NODE_PATH or a folder above has playwright-core and axe-core.
import { createRequire } from "node:module";
import { join } from "node:path";

const require = createRequire(join(process.env.CONSOLE_PACKAGES ?? process.cwd(), "package.json"));
const { chromium } = require("playwright-core");
const axePath = require.resolve("axe-core/axe.min.js");

/** How long anything may take: the machine may be busy. */
export const PATIENCE_MS = Number(process.env.CONSOLE_PATIENCE_MS ?? 60_000);
export const console_url = process.env.CONSOLE_URL;

/** A page that notes down what it must not say. */
export async function open(options = {}) {
  const browser = await chromium.launch({
    executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
    // Containers run tests as root, and have a small /dev/shm.
    args: ["--no-sandbox", "--disable-dev-shm-usage", ...(process.env.CHROMIUM_FLAGS ?? "").split(" ").filter(Boolean)],
  });
  return { browser, ...(await tab(browser, options)) };
}

export async function tab(browser, options = {}) {
  const context = await browser.newContext({ viewport: { width: 1280, height: 800 }, acceptDownloads: true, ...options });
  context.setDefaultTimeout(PATIENCE_MS);
  const page = await context.newPage();
  const faults = [];
  page.on("console", (message) => {
    if (message.type() !== "error") return;
    // A refusal is what some steps are about, and a 404 is how S3 says that nothing is configured: the browser tells of each.
    if (/Failed to load resource: the server responded with a status of 4\d\d/.test(message.text())) return;
    faults.push(`console: ${message.text()}`);
  });
  page.on("pageerror", (error) => faults.push(`page: ${error.stack ?? error}`));
  page.on("dialog", (dialog) => {
    faults.push(`a dialog opened: ${dialog.message()}`);
    void dialog.dismiss();
  });
  return { context, page, faults };
}

export async function signIn(page, id = process.env.AWS_ACCESS_KEY_ID, secret = process.env.AWS_SECRET_ACCESS_KEY) {
  await page.goto(console_url);
  await field(page, "Access key ID").fill(id);
  await field(page, "Secret access key").fill(secret);
  await page.getByRole("button", { name: "Sign in", exact: true }).click();
  await page.locator(".shell").waitFor();
}

/** The control of this label. */
export function field(scope, label) {
  const page = scope.page?.() ?? scope;
  return scope.locator("label.field", { has: page.locator(`.label:text-is(${JSON.stringify(label)})`) }).locator("input, select, textarea").first();
}

export const dialog = (page) => page.locator("dialog[open]").last();
export const button = (scope, name) => scope.getByRole("button", { name, exact: true });

/** Goes to a page of the console, and waits until it has read what it shows. */
export async function go(page, route) {
  await page.evaluate((hash) => {
    location.hash = hash;
  }, route);
  await settled(page);
}

export async function settled(page) {
  await page.locator(".main h1").first().waitFor();
  await page.waitForFunction(() => !document.querySelector(".main .spin"));
}

/** What axe finds that is serious or critical. */
export async function serious(page) {
  if (!(await page.evaluate(() => "axe" in window))) {
    // By the debugger, as the page's own policy lets no other script in.
    const { readFileSync } = await import("node:fs");
    await page.evaluate(readFileSync(axePath, "utf8"));
  }
  const { violations } = await page.evaluate(() => window.axe.run(document, { resultTypes: ["violations"] }));
  return violations
    .filter(({ impact }) => impact === "serious" || impact === "critical")
    .map(({ id, help, nodes }) => `${id}: ${help}: ${nodes.slice(0, 3).map(({ html }) => html.slice(0, 160)).join(" | ")}`);
}

export function expect(is, what) {
  if (!is) throw new Error(`expected: ${what}`);
}
