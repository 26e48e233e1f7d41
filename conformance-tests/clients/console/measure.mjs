// How large and how fast the console is: size, first paint, a list of 10,000 objects, an upload of 1 GiB beside the AWS CLI's.
//
// A gateway has to run, on this machine alone; AWS_ENDPOINT_URL and AWS (the CLI's program) name it and the CLI. Takes minutes.
import { execFileSync } from "node:child_process";
import { closeSync, mkdirSync, mkdtempSync, openSync, readFileSync, readdirSync, rmSync, writeFileSync, writeSync } from "node:fs";
import { randomBytes } from "node:crypto";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { button, console_url, dialog, expect, go, open, signIn } from "./browser.mjs";

const BUCKET = `measure-${Date.now()}`;
const OBJECTS = Number(process.env.OBJECTS ?? 10_000);
const UPLOAD_MIB = Number(process.env.UPLOAD_MIB ?? 1024);
const aws = (...words) => execFileSync(process.env.AWS ?? "aws", words, { stdio: ["ignore", "ignore", "inherit"], env: { ...process.env, AWS_DEFAULT_REGION: "us-east-1" } });
const timed = async (work) => {
  const began = performance.now();
  await work();
  return (performance.now() - began) / 1000;
};
const told = (name, value) => console.log(`${name.padEnd(48)} ${value}`);

const dist = join(import.meta.dirname, "../../../gateway/console/dist");
const files = readdirSync(dist, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
const packed = files.reduce((sum, entry) => sum + gzipSync(readFileSync(join(entry.parentPath, entry.name)), { level: 9 }).length, 0);
told("bundle, compressed", `${(packed / 1024).toFixed(0)} KiB in ${files.length} files`);
expect(packed <= 600 * 1024, "at most 600 KiB");

const folder = mkdtempSync(join(tmpdir(), "measure-"));
const { browser, page, faults } = await open();
try {
  await page.goto(console_url);
  await page.getByRole("heading", { name: "Sealgate" }).waitFor();
  const paint = await page.evaluate(() => performance.getEntriesByName("first-contentful-paint")[0]?.startTime);
  const sent = await page.evaluate(() => performance.getEntriesByType("resource").reduce((sum, { transferSize }) => sum + transferSize, 0));
  told("first contentful paint", `${paint?.toFixed(0)} ms, for ${(sent / 1024).toFixed(0)} KiB`);
  await signIn(page);

  aws("s3", "mb", `s3://${BUCKET}`);
  if (OBJECTS) {
    mkdirSync(join(folder, "many"));
    for (let number = 0; number < OBJECTS; number += 1) writeFileSync(join(folder, "many", `object-${String(number).padStart(6, "0")}`), "x");
    aws("s3", "cp", "--recursive", "--quiet", join(folder, "many"), `s3://${BUCKET}/`);
    const words = `${OBJECTS.toLocaleString("en")} entries`;
    told(`list of ${words}, all sorted and shown`, `${(await timed(() => go(page, `#/browse/${BUCKET}`).then(() => page.getByText(words, { exact: true }).waitFor()))).toFixed(2)} s`);
    told("elements of the page then", String(await page.evaluate(() => document.querySelectorAll("*").length)));
    const search = await timed(async () => {
      await page.getByLabel("Search in this list").fill(`object-${String(OBJECTS - 1).padStart(6, "0")}`);
      await page.getByText("1 entry", { exact: true }).waitFor();
    });
    told("a search in it", `${search.toFixed(2)} s`);
    await page.getByLabel("Search in this list").fill("");
  }

  const large = join(folder, "large.bin");
  const out = openSync(large, "w");
  for (let mib = 0; mib < UPLOAD_MIB; mib += 1) writeSync(out, randomBytes(1 << 20));
  closeSync(out);
  const rate = (seconds) => `${seconds.toFixed(1)} s, ${(UPLOAD_MIB / seconds).toFixed(0)} MiB/s`;
  await go(page, `#/browse/${BUCKET}`);
  const byBrowser = await timed(async () => {
    await page.getByLabel("Files to upload").setInputFiles(large);
    await button(dialog(page), "Upload").click();
    await page.locator(".tray .badge", { hasText: /Done|Failed/ }).waitFor({ state: "attached", timeout: 900_000 });
  });
  expect(await page.locator(".tray .badge", { hasText: "Done" }).count(), "the upload is done");
  told(`upload of ${UPLOAD_MIB} MiB by the browser`, rate(byBrowser));
  told(`upload of ${UPLOAD_MIB} MiB by the AWS CLI`, rate(await timed(async () => aws("s3", "cp", "--quiet", large, `s3://${BUCKET}/by-cli.bin`))));
  expect(faults.length === 0, faults.join("\n"));
} finally {
  await browser.close();
  rmSync(folder, { recursive: true, force: true });
}
