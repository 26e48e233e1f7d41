// A newcomer's hour: the way of docs/console.md, with its pictures. PICTURES is the folder that they are written to.
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { button, console_url, dialog, expect, field, go, open, settled, signIn, tab } from "./browser.mjs";

const pictures = process.env.PICTURES;
const folder = mkdtempSync(join(tmpdir(), "tour-"));
const { browser, page, faults } = await open({ viewport: { width: 1200, height: 720 } });
const picture = (name, which = page) => which.screenshot({ path: join(pictures, `${name}.png`) });
/** Toasts and the tray of uploads go before a picture is taken. */
const tidy = async () => {
  for (const name of ["Dismiss", "Clear"]) for (const one of await page.getByRole("button", { name, exact: true }).all()) await one.click().catch(() => {});
};

try {
  await page.goto(console_url);
  await page.getByRole("heading", { name: "Sealgate" }).waitFor();
  await signIn(page);

  await go(page, "#/keys");
  await button(page, "Create key").click();
  await field(dialog(page), "Alias").fill("finance");
  await field(dialog(page), "Description").fill("Invoices of the finance team");
  await button(dialog(page), "Create").click();
  await page.getByRole("heading", { name: "alias/finance" }).waitFor();

  await go(page, "#/buckets");
  await tidy();
  await button(page, "Create bucket").click();
  await field(dialog(page), "Name").fill("invoices");
  await dialog(page).getByLabel("Keep versions").check();
  await field(dialog(page), "Default encryption").selectOption("aws:kms");
  await field(dialog(page), "KMS key").fill("alias/finance");
  // With it, objects would open for a while after the key is disabled.
  await dialog(page).getByLabel("Bucket key").uncheck();
  await picture("console-create-bucket");
  await button(dialog(page), "Create").click();
  await page.getByRole("heading", { name: "This bucket is empty" }).waitFor();

  const names = Array.from({ length: 24 }, (_, index) => join(folder, `invoice-2026-${String(index + 1).padStart(3, "0")}.csv`));
  for (const [index, name] of names.entries()) writeFileSync(name, `customer,amount\nACME,${index * 100}\n${"x,1\n".repeat(index * 40)}`);
  await page.getByLabel("Files to upload").setInputFiles(names);
  await button(dialog(page), "Upload").click();
  await page.getByText("24 uploads ended").waitFor();
  await page.getByText("24 entries", { exact: true }).waitFor();
  await picture("console-objects");
  await tidy();

  await page.getByRole("link", { name: "invoice-2026-007.csv" }).click();
  await page.getByRole("tab", { name: "Encryption" }).click();
  await page.locator("svg.chain").waitFor();
  await button(page, "Verify").click();
  await page.getByText("Authentic.").waitFor();
  await settled(page);
  await page.setViewportSize({ width: 1200, height: 840 });
  await page.evaluate(() => document.getElementById("main").scrollTo(0, 0));
  await picture("console-encryption");
  await page.setViewportSize({ width: 1200, height: 720 });

  await go(page, "#/users");
  await button(page, "Create user").click();
  await field(dialog(page), "Name").fill("alice");
  await button(dialog(page), "Create").click();
  await button(page, "Create access key").click();
  await dialog(page).locator("dd code").nth(1).waitFor();
  const [id, secret] = await dialog(page).locator("dd code").allTextContents();
  await button(dialog(page), "Close").click();
  const alice = await tab(browser, { viewport: { width: 1200, height: 720 } });
  await signIn(alice.page, id, secret);
  await go(alice.page, "#/browse/invoices");
  await alice.page.getByRole("alert").getByText("You may not do this").waitFor();
  await picture("console-denied", alice.page);
  await alice.context.close();
  await go(page, "#/user/alice?tab=why");
  await field(page, "Actions").fill("s3:ListBucket, s3:GetObject, kms:Decrypt");
  await button(page, "Would it be allowed?").click();
  await page.locator(".note.danger").nth(2).waitFor();
  await tidy();
  await picture("console-why-denied");

  await go(page, "#/keys");
  await page.getByRole("link", { name: "alias/finance" }).click();
  await page.getByRole("tab", { name: "Rotation" }).click();
  await button(page, "Rotate now").click();
  await page.getByText("2 backing keys", { exact: true }).waitFor();
  await button(page, "Disable").first().click();
  await page.getByText("This key is disabled.", { exact: true }).waitFor();
  await tidy();
  await picture("console-key");
  await go(page, "#/object/invoices/invoice-2026-007.csv?tab=preview");
  await page.getByRole("alert").waitFor();
  await go(page, "#/keys");
  await page.getByRole("link", { name: "alias/finance" }).click();
  await button(page, "Enable").first().click();
  await button(page, "Disable").first().waitFor();
  await go(page, "#/object/invoices/invoice-2026-007.csv?tab=preview");
  await page.getByRole("cell", { name: "ACME" }).waitFor();

  await go(page, "#/overview");
  // Charts begin with the second sample.
  await page.locator(".chart canvas").first().waitFor({ timeout: 120_000 });
  await tidy();
  await page.setViewportSize({ width: 1200, height: 900 });
  await settled(page);
  await picture("console-overview");
  await page.setViewportSize({ width: 1200, height: 720 });
  await page.emulateMedia({ colorScheme: "dark" });
  await go(page, "#/object/invoices/invoice-2026-007.csv?tab=encryption");
  await page.locator("svg.chain").waitFor();
  await picture("console-dark");
  expect(faults.length === 0, faults.join("\n"));
} catch (error) {
  await page.screenshot({ path: join(tmpdir(), "tour-failure.png") }).catch(() => {});
  throw error;
} finally {
  await browser.close();
  rmSync(folder, { recursive: true, force: true });
}
