// The console in a real browser: each page, uploads, every encryption, rotation, a denied user, names that try to be scripts.
import { createHash, randomBytes } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { iam, root, sts, until } from "./api.mjs";
import { listen } from "./asks.mjs";
import { button, console_url, dialog, expect, field, go, open, serious, settled, signIn, tab } from "./browser.mjs";
import { accounts, identities, importedPair, keyActions } from "./press-access.mjs";
import { bucketSettings, folders, objectActions, pausedUpload } from "./press-buckets.mjs";
import { CLIENT, start } from "./provider.mjs";

const BUCKET = "console-test";
const ALIAS = "alias/console-test";
const XSS = "<img src=x onerror=alert(1)>";
/** A picture of one point. */
const DOT = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==";
const MIB = 1024 * 1024;
/** 200 MB, in parts of 8 MiB. */
const LARGE_MIB = Number(process.env.CONSOLE_UPLOAD_MIB ?? 192);

const folder = mkdtempSync(join(tmpdir(), "console-"));
const { browser, page, faults } = await open();
const account = (await root(sts, "GetCallerIdentity")).Account;
const asks = listen(page, new URL(process.env.AWS_ENDPOINT_URL).origin);
let step = "";
const found = [];
const steps = [];

/** For whoever works on one step: a pattern of the names of steps, with those that it needs. */
const only = new RegExp(process.env.CONSOLE_ONLY ?? "");

async function run(name, work) {
  if (!only.test(name)) return;
  step = name;
  const began = Date.now();
  await work();
  if (faults.length) throw new Error(faults.splice(0).join("\n"));
  steps.push(`${name}: ${((Date.now() - began) / 1000).toFixed(1)} s`);
}

async function check(where) {
  found.push(...(await serious(page)).map((text) => `${where}: ${text}`));
}

async function upload(files, mode, fill) {
  await page.getByLabel("Files to upload").setInputFiles(files);
  const form = dialog(page);
  await form.waitFor();
  if (mode) await field(form, "Encryption").selectOption(mode);
  if (fill) await fill(form);
  await button(form, "Upload").click();
  await form.waitFor({ state: "detached" });
}

const uploaded = (name) => page.locator(".tray li", { hasText: name }).last().locator(".badge", { hasText: "Done" }).waitFor({ state: "attached" });
const file = (name, content) => {
  const path = join(folder, name);
  writeFileSync(path, content);
  return path;
};

async function download() {
  const [got] = await Promise.all([page.waitForEvent("download"), button(page, "Download").click()]);
  const path = join(folder, `got-${Date.now()}`);
  await got.saveAs(path);
  return readFileSync(path);
}

const object = (name, which = "overview") => go(page, `#/object/${BUCKET}/${encodeURIComponent(name)}?tab=${which}`);

async function verify() {
  await button(page, "Verify").click();
  await page.locator(".note.good", { hasText: "Authentic" }).waitFor();
}

try {
  await run("a wrong secret is told", async () => {
    await page.goto(console_url);
    await field(page, "Access key ID").fill(process.env.AWS_ACCESS_KEY_ID);
    await field(page, "Secret access key").fill("wrong/wrong/wrong/wrong/wrong/wrong/wron");
    await button(page, "Sign in").click();
    await page.getByText("The secret access key is not that of this access key.").waitFor();
    await check("sign in");
  });

  await run("sign in", async () => {
    await signIn(page);
    const kept = await page.evaluate(() => JSON.stringify([Object.entries(localStorage), Object.entries(sessionStorage), document.cookie]));
    expect(!kept.includes(process.env.AWS_SECRET_ACCESS_KEY), "no secret is in the browser's storage");
  });

  await run("a key", async () => {
    await go(page, "#/keys");
    await button(page, "Create key").click();
    await field(dialog(page), "Alias").fill("console-test");
    await field(dialog(page), "Description").fill(XSS);
    await button(dialog(page), "Create").click();
    await page.getByRole("heading", { name: ALIAS }).waitFor();
  });

  await run("a bucket under the key", async () => {
    await go(page, "#/buckets");
    await button(page, "Create bucket").click();
    const form = dialog(page);
    await field(form, "Name").fill(BUCKET);
    await form.getByLabel("Keep versions").check();
    await field(form, "Default encryption").selectOption("aws:kms");
    await field(form, "KMS key").fill(ALIAS);
    await button(form, "Create").click();
    await page.getByRole("heading", { name: "This bucket is empty" }).waitFor();
  });

  const large = randomBytes(LARGE_MIB * MIB);
  await run(`uploads, of ${LARGE_MIB} MiB in parts, paused and resumed`, async () => {
    const csv = file("table.csv", 'name,amount\n"Smith, Sons",42\nACME,100\n');
    const html = file(`${XSS.replace("/", "")}.html`, "<script>alert(1)</script>");
    await pausedUpload(page, BUCKET, "large.bin", () => upload([csv, html, file("data.json", '{"one":1}'), file("dot.png", Buffer.from(DOT, "base64")), file("large.bin", large)]));
    for (const name of ["table.csv", "onerror", "data.json", "dot.png", "large.bin"]) await uploaded(name);
    await page.locator(".lb a", { hasText: XSS }).waitFor();
    await check("objects");
    await object("large.bin");
    const hash = (data) => createHash("sha256").update(data).digest("hex");
    expect(hash(await download()) === hash(large), "what is downloaded is what was uploaded");
  });

  await run("names and contents that try to be scripts do nothing", async () => {
    await object(`${XSS}.html`, "preview");
    await page.locator("pre", { hasText: "<script>alert(1)</script>" }).waitFor();
    expect((await page.locator("img[src=x]").count()) === 0, "no element was made of a name");
    await object("table.csv", "preview");
    await page.getByRole("cell", { name: "Smith, Sons" }).waitFor();
    await object("data.json", "preview");
    await page.locator("pre", { hasText: '"one": 1' }).waitFor();
    await object("dot.png", "preview");
    await page.locator(".preview img").waitFor();
    expect(await page.locator(".preview img").evaluate((image) => image.decode().then(() => image.naturalWidth === 1)), "the image is shown");
  });

  await run("encryption in every mode", async () => {
    const modes = [["AES256", "SSE-S3"], ["aws:kms", "SSE-KMS"], ["aws:kms:dsse", "DSSE-KMS"], ["customer", "SSE-C"]];
    await go(page, `#/bucket/${BUCKET}?tab=encryption`);
    for (const [mode, shown] of modes) {
      const name = `${shown}.txt`;
      await go(page, `#/browse/${BUCKET}`);
      const key = randomBytes(32).toString("base64");
      await upload([file(name, `under ${shown}`)], mode, async (form) => {
        if (mode.startsWith("aws:kms")) {
          await field(form, "KMS key").fill(ALIAS);
          await field(form, "Encryption context").fill('{"department":"finance"}');
        }
        if (mode === "customer") await field(form, "Customer key (SSE-C)").fill(key);
      });
      await uploaded(name);
      await object(name, "encryption");
      if (mode === "customer") {
        await page.getByRole("heading", { name: "This object needs its key" }).waitFor();
        await field(page, "Customer key (SSE-C)").fill(key);
        await button(page, "Use this key").click();
      }
      await page.locator(".badge", { hasText: new RegExp(`^${shown}$`) }).waitFor();
      await page.locator("svg.chain").waitFor();
      if (mode.startsWith("aws:kms")) await page.getByText("department = finance").waitFor();
      await verify();
      expect((await (await object(name), download())).toString() === `under ${shown}`, `${shown} is read`);
    }
    await object("SSE-KMS.txt", "encryption");
    await check("encryption");
  });

  await run("a rotated key still opens what it sealed", async () => {
    await go(page, "#/keys");
    await page.getByRole("link", { name: ALIAS }).click();
    await page.getByRole("tab", { name: "Rotation" }).click();
    await page.getByText("1 backing key", { exact: true }).waitFor();
    await button(page, "Rotate now").click();
    await page.getByText("2 backing keys", { exact: true }).waitFor();
    await check("rotation");
    await object("SSE-KMS.txt", "encryption");
    await page.locator(".badge", { hasText: "former" }).waitFor();
    await verify();
  });

  // Of SSE-KMS the bucket key may be in memory still.
  await run("a disabled key closes its objects, an enabled one opens them", async () => {
    await go(page, "#/keys");
    await page.getByRole("link", { name: ALIAS }).click();
    await button(page, "Disable").click();
    await page.getByText("This key is disabled.", { exact: true }).waitFor();
    await object("DSSE-KMS.txt", "preview");
    await page.getByRole("alert").getByText(/disabled/i).first().waitFor();
    await go(page, "#/keys");
    await page.getByRole("link", { name: ALIAS }).click();
    await button(page, "Enable").click();
    await button(page, "Disable").waitFor();
    await object("DSSE-KMS.txt", "preview");
    await page.locator("pre", { hasText: "under DSSE-KMS" }).waitFor();
  });

  await run("imported key material is wrapped in the browser", async () => {
    await go(page, "#/keys");
    await button(page, "Create key").click();
    await dialog(page).getByLabel("I bring the key material").check();
    await button(dialog(page), "Create").click();
    await field(page, "Key material").fill(randomBytes(32).toString("hex"));
    await button(page, "Wrap and import").click();
    await page.locator(".head .badge", { hasText: "Enabled" }).waitFor();
  });

  await run("a denied user sees why", async () => {
    await go(page, "#/users");
    await button(page, "Create user").click();
    await field(dialog(page), "Name").fill("denied");
    await button(dialog(page), "Create").click();
    await page.getByText("No access keys").waitFor();
    await button(page, "Create access key").click();
    await dialog(page).locator("dd code").nth(1).waitFor();
    const [id, secret] = await dialog(page).locator("dd code").allTextContents();
    await button(dialog(page), "Close").click();
    await check("user");
    const other = await tab(browser);
    await signIn(other.page, id, secret);
    await go(other.page, `#/browse/${BUCKET}`);
    const alert = other.page.getByRole("alert");
    await alert.getByText("You may not do this").waitFor();
    await alert.getByText(/s3:ListBucket/).first().waitFor();
    const may = { Version: "2012-10-17", Statement: [{ Effect: "Allow", Action: "sts:DecodeAuthorizationMessage", Resource: "*" }] };
    await root(iam, "PutUserPolicy", { UserName: "denied", PolicyName: "explain", PolicyDocument: JSON.stringify(may) });
    await button(alert, "Why denied?").click();
    await alert.getByText("No statement allows it. Asked for:").waitFor();
    await go(page, "#/user/denied?tab=why");
    await button(page, "Would it be allowed?").click();
    await page.getByText("no statement allows it either").waitFor();
    expect(other.faults.length === 0, `a refusal is no fault: ${other.faults.join("\n")}`);
    await other.context.close();
  });

  await run("single sign-on, by a code that only this tab can use", async () => {
    const provider = await start();
    try {
      await go(page, "#/providers");
      await button(page, "Add provider").click();
      await field(dialog(page), "Issuer").fill(provider.issuer);
      await field(dialog(page), "Client ids").fill(CLIENT);
      await field(dialog(page), "Thumbprint").fill("0".repeat(40));
      await button(dialog(page), "Add").click();
      await page.getByRole("cell", { name: provider.issuer.replace("http://", "") }).first().waitFor();
      const trust = { Effect: "Allow", Principal: { Federated: `arn:aws:iam::${account}:oidc-provider/${provider.issuer.replace("http://", "")}` }, Action: "sts:AssumeRoleWithWebIdentity" };
      await go(page, "#/roles");
      await button(page, "Create role").click();
      await field(dialog(page), "Name").fill("people");
      await field(dialog(page), "Policy").fill(JSON.stringify({ Version: "2012-10-17", Statement: [trust] }));
      await button(dialog(page), "Create").click();
      await page.getByRole("heading", { name: "people" }).waitFor();
      const other = await tab(browser);
      const told = async () => (await (await fetch(`${console_url}/config.json`)).json()).providers[0]?.token_origin;
      await until("the gateway learns where tokens are handed out", told, (origin) => origin === provider.tokens);
      await other.page.goto(console_url);
      await other.page.getByRole("tab", { name: "Single sign-on" }).click();
      await field(other.page, "Role ARN").fill(`arn:aws:iam::${account}:role/people`);
      await button(other.page, "Log in at the provider").click();
      await other.page.locator(".shell").waitFor();
      await go(other.page, "#/me");
      await other.page.getByText("assumed-role/people").first().waitFor();
      expect(provider.asked === 1 && other.faults.length === 0, `one login: ${provider.asked}, ${other.faults.join("\n")}`);
      await other.context.close();
    } finally {
      provider.close();
    }
  });

  await run("a login by LDAP", async () => {
    const [user, password, role] = ["USER", "PASSWORD", "ROLE_NAME"].map((name) => process.env[`LDAP_${name}`]);
    if (!user) return;
    const trust = { Effect: "Allow", Principal: { Federated: `arn:aws:iam::${account}:ldap-provider/default` }, Action: "sts:AssumeRoleWithLDAPIdentity" };
    const all = { Effect: "Allow", Action: "s3:ListAllMyBuckets", Resource: "*" };
    const policy = (statement) => JSON.stringify({ Version: "2012-10-17", Statement: [statement] });
    await root(iam, "CreateRole", { RoleName: role, AssumeRolePolicyDocument: policy(trust) });
    await root(iam, "PutRolePolicy", { RoleName: role, PolicyName: "list", PolicyDocument: policy(all) });
    const other = await tab(browser);
    await other.page.goto(console_url);
    await other.page.getByRole("tab", { name: "LDAP" }).click();
    await field(other.page, "User name").fill(user);
    await field(other.page, "Password").fill(`${password}, but not quite`);
    await button(other.page, "Sign in").click();
    await other.page.getByRole("alert").getByText("LDAP user name or password is not right.").waitFor();
    await field(other.page, "Password").fill(password);
    await button(other.page, "Sign in").click();
    await other.page.locator(".shell").waitFor();
    await go(other.page, "#/me");
    await other.page.getByText(`assumed-role/${role}/`).first().waitFor();
    await go(other.page, "#/buckets");
    await other.page.getByRole("link", { name: BUCKET }).first().waitFor();
    expect(other.faults.length === 0, other.faults.join("\n"));
    await other.context.close();
  });

  await run("buttons of a bucket's settings", () => bucketSettings(page, BUCKET));
  await run("tags, links and locks of an object", () => objectActions(page));
  await run("folders, dropped and chosen", () => folders(page, BUCKET, folder));
  await run("buttons of a key", () => keyActions(page, account));
  await run("a key pair that was made elsewhere", () => importedPair(page));
  await run("buttons of users, groups, roles and policies", () => identities(page, account));
  await run("a further account", () => accounts(page));

  await run("a restored version", async () => {
    await go(page, `#/browse/${BUCKET}`);
    await upload([file("table.csv", "name\nreplaced\n")]);
    await page.locator(".tray li", { hasText: "table.csv" }).nth(1).locator(".badge", { hasText: "Done" }).waitFor({ state: "attached" });
    await object("table.csv", "versions");
    await page.getByRole("button", { name: "Restore" }).first().click();
    await page.getByText("that version is the current one again").waitFor();
    await object("table.csv", "preview");
    await page.getByRole("cell", { name: "Smith, Sons" }).waitFor();
  });

  await run("every page, light and dark and small", async () => {
    const settings = ["encryption", "versioning", "lock", "policy", "public", "owner", "lifecycle", "cors", "logging", "quota", "tags", "more", "uploads"];
    const routes = ["#/overview", "#/buckets", "#/keys", "#/users", "#/groups", "#/roles", "#/policies", "#/providers", "#/simulate", "#/accounts", "#/audit", "#/me", ...settings.map((name) => `#/bucket/${BUCKET}?tab=${name}`)];
    const key = await (await go(page, "#/keys"), page.getByRole("link", { name: ALIAS }).getAttribute("href"));
    routes.push(...["overview", "objects", "policy", "grants", "who", "aliases", "tags"].map((name) => `${key}?tab=${name}`));
    routes.push(`#/browse/${BUCKET}`, ...["overview", "encryption", "preview", "versions", "tags", "lock"].map((name) => `#/object/${BUCKET}/table.csv?tab=${name}`));
    routes.push("#/user/denied", "#/user/denied?tab=keys", "#/user/denied?tab=groups", "#/role/people", "#/role/people?tab=trust");
    for (const route of routes) {
      asks.opened(/^#\/([a-z]+)/.exec(route)[1]);
      await go(page, route);
      const errors = await page.locator(".main .note.danger[role=alert]").allTextContents();
      expect(errors.length === 0, `${route} shows no error: ${errors.join(" ")}`);
      await check(route);
    }
    asks.opened(undefined);
    await page.emulateMedia({ colorScheme: "dark" });
    for (const route of ["#/overview", "#/keys", `#/browse/${BUCKET}`]) {
      await go(page, route);
      await check(`${route} in the dark`);
    }
    await page.emulateMedia({ colorScheme: "light" });
    await page.setViewportSize({ width: 390, height: 844 });
    for (const route of ["#/overview", `#/browse/${BUCKET}`, "#/keys", `#/bucket/${BUCKET}?tab=policy`]) {
      await go(page, route);
      const over = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
      expect(over <= 0, `${route} fits a phone; it is ${over} px too wide`);
    }
    await button(page, "Menu").click();
    await page.getByRole("link", { name: "Users" }).click();
    await settled(page);
  });

  step = "axe";
  if (found.length) throw new Error(`axe finds serious faults:\n${[...new Set(found)].join("\n")}`);
  console.log(steps.join("\n"));
  if (process.env.CONSOLE_ASKS) writeFileSync(process.env.CONSOLE_ASKS, `${asks.table()}\n`);
} catch (error) {
  const picture = process.env.CONSOLE_FAILURE ?? join(tmpdir(), "console-failure.png");
  const pages = browser.contexts().flatMap((context) => context.pages());
  await pages.at(-1)?.screenshot({ path: picture }).catch(() => {});
  console.error(`${step}: ${error.stack ?? error}\nat ${page.url()}, see ${picture}\n${faults.join("\n")}\n${steps.join("\n")}`);
  process.exitCode = 1;
} finally {
  await browser.close();
  rmSync(folder, { recursive: true, force: true });
}
