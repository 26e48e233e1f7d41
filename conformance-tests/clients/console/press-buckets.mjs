// Buttons of buckets and objects.
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { isDeepStrictEqual } from "node:util";
import { refusal, root, s3, until } from "./api.mjs";
import { button, dialog, expect, field, go, serious } from "./browser.mjs";
import { LOCKED, press, reopen, submit, tags, toasted } from "./press.mjs";

const DAY_MS = 86_400_000;

/** Settings of a bucket, tab by tab. */
export async function bucketSettings(page, Bucket) {
  const route = (name) => `#/bucket/${Bucket}?tab=${name}`;
  const tab = (name) => go(page, route(name));
  const told = (name) => root(s3, name, { Bucket });

  await tab("lifecycle");
  await lifecycle(page, () => told("GetBucketLifecycleConfiguration"));

  await tab("cors");
  await button(page, "An example").click();
  await press(page, "Save");
  await page.getByText("Pages of https://example.com may GET.").waitFor();
  expect((await told("GetBucketCors")).CORSRules[0].AllowedOrigins[0] === "https://example.com", "the rule of CORS is there");
  await field(page, "Rules").fill("[{");
  await press(page, "Save", "JSON");
  await field(page, "Rules").fill("");
  await press(page, "Save");
  await page.getByText("Pages of https://example.com may GET.").waitFor({ state: "detached" });
  expect((await refusal(told("GetBucketCors"))) === "NoSuchCORSConfiguration", "the rule of CORS is gone");

  await tags(page, route("tags"), () => told("GetBucketTagging").then(({ TagSet }) => TagSet.map(({ Key, Value }) => [Key, Value]), () => []));

  await tab("quota");
  await field(page, "At most").fill("1 KiB");
  await press(page, "Set the quota");
  await page.locator(".main .badge", { hasText: "1.00 KiB" }).waitFor();
  const put = () => refusal(root(s3, "PutObject", { Bucket, Key: "beyond", Body: "x".repeat(2000) }));
  expect((await put()) === "QuotaExceeded", "the quota holds");
  await press(page, "Take it away");
  await page.locator(".main .badge", { hasText: "none" }).waitFor();
  expect((await put()) === "", "the quota is gone");

  await tab("versioning");
  await press(page, "Suspend");
  await button(page, "Enable").waitFor();
  expect((await told("GetBucketVersioning")).Status === "Suspended", "versioning is suspended");
  await press(page, "Enable");
  await button(page, "Suspend").waitFor();
  expect((await told("GetBucketVersioning")).Status === "Enabled", "versioning is enabled");

  await tab("policy");
  const policy = { Version: "2012-10-17", Statement: [{ Sid: "Pressed", Effect: "Deny", Principal: "*", Action: "s3:GetObject", Resource: `arn:aws:s3:::${Bucket}/never/*` }] };
  await field(page, "Policy").fill("{");
  expect(await button(page, "Save").isDisabled(), "what is no policy can't be saved");
  await field(page, "Policy").fill(JSON.stringify(policy));
  await page.getByText("Anybody may never s3:GetObject").waitFor();
  await press(page, "Save");
  await button(page, "Delete the policy").waitFor();
  expect(JSON.parse((await told("GetBucketPolicy")).Policy).Statement[0].Sid === "Pressed", "the policy is there");
  await button(page, "Would it be allowed?").click();
  await page.locator(".note.danger", { hasText: "no statement allows it either" }).waitFor();
  await field(page, "Resources").fill(`arn:aws:s3:::${Bucket}/never/x`);
  await button(page, "Would it be allowed?").click();
  await page.locator(".note.danger", { hasText: "A statement denies it" }).waitFor();
  await press(page, "Delete the policy");
  await button(page, "Delete the policy").waitFor({ state: "detached" });
  expect((await refusal(told("GetBucketPolicy"))) === "NoSuchBucketPolicy", "the policy is gone");

  await tab("public");
  const box = page.getByLabel("Refuse public policies");
  const was = await box.isChecked();
  await box.click();
  const blocked = async () => (await told("GetPublicAccessBlock").catch(() => ({}))).PublicAccessBlockConfiguration?.BlockPublicPolicy ?? false;
  await until("the block of public policies is turned", blocked, (now) => now !== was);
  await reopen(page, route("public"));
  await box.click();
  await until("and back", blocked, (now) => now === was);

  await tab("owner");
  const ownership = async () => (await told("GetBucketOwnershipControls").catch(() => undefined))?.OwnershipControls.Rules[0].ObjectOwnership;
  await field(page, "Who owns objects").selectOption("BucketOwnerPreferred");
  await until("ownership", ownership, (now) => now === "BucketOwnerPreferred");
  await toasted(page, "Saved.", () => field(page, "Replace it by").selectOption("private"));
  await field(page, "Who owns objects").selectOption("BucketOwnerEnforced");
  await until("ownership", ownership, (now) => now === "BucketOwnerEnforced");

  await tab("encryption");
  const mode = async () => (await told("GetBucketEncryption")).ServerSideEncryptionConfiguration.Rules[0].ApplyServerSideEncryptionByDefault;
  const before = await mode();
  await field(page, "Mode").selectOption("AES256");
  await press(page, "Save");
  await until("the default is SSE-S3", mode, ({ SSEAlgorithm }) => SSEAlgorithm === "AES256");
  await reopen(page, route("encryption"));
  await field(page, "Mode").selectOption("aws:kms");
  await field(page, "KMS key").fill(before.KMSMasterKeyID);
  await press(page, "Save");
  await until("the default is SSE-KMS again", mode, ({ KMSMasterKeyID }) => KMSMasterKeyID === before.KMSMasterKeyID);

  await tab("logging");
  const service = { Version: "2012-10-17", Statement: [{ Effect: "Allow", Principal: { Service: "logging.s3.amazonaws.com" }, Action: "s3:PutObject", Resource: `arn:aws:s3:::${LOCKED}-logs/*` }] };
  await root(s3, "CreateBucket", { Bucket: `${LOCKED}-logs` });
  await root(s3, "PutBucketPolicy", { Bucket: `${LOCKED}-logs`, Policy: JSON.stringify(service) });
  await field(page, "Bucket for logs").fill(`${LOCKED}-logs`);
  await field(page, "Prefix").fill("pressed/");
  await press(page, "Save");
  await page.locator(".main .badge", { hasText: /^on$/ }).waitFor();
  expect((await told("GetBucketLogging")).LoggingEnabled.TargetPrefix === "pressed/", "logging is on");
  await field(page, "Bucket for logs").fill("");
  await press(page, "Save");
  await until("logging is off", () => told("GetBucketLogging"), ({ LoggingEnabled }) => !LoggingEnabled);

  const switches = [
    ["Policies may ask for the bucket's tags", "GetBucketAbac", ({ AbacStatus }) => AbacStatus?.Status === "Enabled"],
    ["Requester pays", "GetBucketRequestPayment", ({ Payer }) => Payer === "Requester"],
    ["Transfer acceleration", "GetBucketAccelerateConfiguration", ({ Status }) => Status === "Enabled"],
  ];
  for (const wanted of [true, false]) {
    await reopen(page, route("more"));
    for (const [label, name, is] of switches) {
      await page.getByLabel(label).click();
      await until(`${label}: ${wanted}`, () => told(name), (answer) => is(answer) === wanted);
    }
  }

  const begun = await root(s3, "CreateMultipartUpload", { Bucket, Key: "unfinished" });
  await tab("uploads");
  await button(page, "Abort").click();
  await submit(page, "Abort it");
  await page.getByRole("heading", { name: "No unfinished uploads" }).waitFor();
  const left = (await told("ListMultipartUploads")).Uploads ?? [];
  expect(!left.some(({ UploadId }) => UploadId === begun.UploadId), "the upload is aborted");
}

/** A rule with conditions: refused until it can be, made, edited, switched off, deleted. */
async function lifecycle(page, ask) {
  const rule = async () => (await ask()).Rules[0];
  await button(page, "Add a rule").click();
  const form = dialog(page);
  await field(form, "Name").fill("expire-logs");
  await field(form, "Prefix").fill("logs/");
  await field(form, "Larger than").fill("128 KiB");
  await button(form, "Add a tag").click();
  await form.getByLabel("Key of tag 1").fill("kind");
  await form.getByLabel("Value of tag 1").fill("log");
  await field(form, "Delete former versions after days").fill("30");
  await field(form, "But keep the newest").fill("3");
  await button(form, "Change their class").click();
  await field(form, "Class").selectOption("GLACIER");
  await field(form, "Days").fill("10");
  await field(form, "Abort uploads after days").fill("7");
  await button(form, "Save").click();
  await form.getByRole("alert").getByText("Uploads have neither tags nor a size").waitFor();
  expect(await field(form, "Abort uploads after days").evaluate((input) => input === document.activeElement), "what is wrong gets the focus");
  const faults = await serious(page);
  expect(!faults.length, `axe finds nothing serious in the form: ${faults.join("\n")}`);
  const size = page.viewportSize();
  await page.setViewportSize({ width: 390, height: 844 });
  const over = await form.evaluate((element) => element.scrollWidth - element.clientWidth);
  expect(over <= 0, `the form fits a phone; it is ${over} px too wide`);
  await page.setViewportSize(size);
  await field(form, "Abort uploads after days").fill("");
  await submit(page, "Save");
  await page.getByText('Of objects whose names begin with "logs/" and tagged kind=log and larger than 128.0 KiB:').waitFor();
  const { ID, Status, ...made } = await rule();
  const wanted = {
    Filter: { And: { Prefix: "logs/", Tags: [{ Key: "kind", Value: "log" }], ObjectSizeGreaterThan: 131_072 } },
    NoncurrentVersionExpiration: { NoncurrentDays: 30, NewerNoncurrentVersions: 3 },
    Transitions: [{ Days: 10, StorageClass: "GLACIER" }],
  };
  expect(ID === "expire-logs" && Status === "Enabled" && isDeepStrictEqual(made, wanted), `the rule is what was typed: ${JSON.stringify(made)}`);

  await button(page, "Edit rule expire-logs").click();
  await field(form, "Deletion").selectOption("date");
  await field(form, "From this day on (UTC)").fill("2099-01-01");
  await button(form, "Remove change of class 1").click();
  await button(form, "Remove tag 1").click();
  await submit(page, "Save");
  await page.getByText("Objects are deleted from 2099-01-01 on.").waitFor();
  const edited = await rule();
  const { Tags, ...rest } = wanted.Filter.And;
  expect(isDeepStrictEqual(edited.Filter, { And: rest }) && edited.Expiration.Date.toISOString().startsWith("2099-01-01T00:00:00") && !edited.Transitions, `the rule is edited: ${JSON.stringify(edited)}`);
  await button(page, "Switch off rule expire-logs").click();
  await button(page, "Switch on rule expire-logs").waitFor();
  expect(isDeepStrictEqual(await rule(), { ...edited, Status: "Disabled" }), "the rule is off, and the same otherwise");
  await button(page, "Delete rule expire-logs").click();
  await page.getByText("No rules: objects stay").waitFor();
  expect((await refusal(ask())) === "NoSuchLifecycleConfiguration", "the rule is gone");
}

/** Tags, links, retention and legal hold of an object; and that nothing is deleted which a lock keeps. */
export async function objectActions(page) {
  const Bucket = LOCKED;
  const Key = "kept.csv";
  await go(page, "#/buckets");
  await button(page, "Create bucket").click();
  await field(dialog(page), "Name").fill(Bucket);
  await dialog(page).getByLabel("Object lock").check();
  await submit(page, "Create");
  await page.getByRole("heading", { name: "This bucket is empty" }).waitFor();
  const { VersionId } = await root(s3, "PutObject", { Bucket, Key, Body: "name,amount\nACME,1\n" });
  const object = (tab) => go(page, `#/object/${Bucket}/${Key}?tab=${tab}`);

  await tags(page, `#/object/${Bucket}/${Key}?tab=tags`, async () => (await root(s3, "GetObjectTagging", { Bucket, Key })).TagSet.map((tag) => [tag.Key, tag.Value]));

  await button(page, "Share").click();
  await field(dialog(page), "Valid for").selectOption("900");
  await button(dialog(page), "Make the link").click();
  const link = await field(dialog(page), "Link").inputValue();
  const shared = await fetch(link);
  expect(shared.status === 200 && (await shared.text()).startsWith("name,amount"), "the link opens the object for anybody");
  expect(new URL(link).searchParams.get("X-Amz-Expires") === "900", "for 15 minutes");
  await button(dialog(page), "Close").click();

  await object("lock");
  const until_ = new Date(Date.now() + 10 * DAY_MS).toISOString().slice(0, 10);
  await field(page, "Keep until").fill(until_);
  await press(page, "Retain", "Saved.");
  const kept = (await root(s3, "GetObjectRetention", { Bucket, Key })).Retention;
  expect(kept.Mode === "GOVERNANCE" && kept.RetainUntilDate.toISOString().startsWith(until_), `it is retained: ${JSON.stringify(kept)}`);
  await button(page, "Put a hold on it").click();
  await button(page, "Take the hold off").waitFor();
  expect((await root(s3, "GetObjectLegalHold", { Bucket, Key })).LegalHold.Status === "ON", "the hold is on");

  await object("versions");
  await button(page, `Delete version ${VersionId}`).click();
  await dialog(page).getByText("A legal hold is on this version.").waitFor();
  await dialog(page).getByText("Retention in GOVERNANCE mode keeps this version").waitFor();
  await button(dialog(page), "Delete").click();
  await dialog(page).getByRole("alert").waitFor();
  await button(dialog(page), "Close").click();
  await root(s3, "HeadObject", { Bucket, Key, VersionId });

  await object("lock");
  await button(page, "Take the hold off").click();
  await button(page, "Put a hold on it").waitFor();
  expect((await root(s3, "GetObjectLegalHold", { Bucket, Key })).LegalHold.Status === "OFF", "the hold is off");
  await object("versions");
  await button(page, `Delete version ${VersionId}`).click();
  await dialog(page).getByLabel("Bypass governance retention").check();
  await submit(page, "Delete");
  await page.getByRole("heading", { name: "No versions" }).waitFor();
  expect((await refusal(root(s3, "HeadObject", { Bucket, Key, VersionId }))) === "NotFound", "with the bypass it is deleted");

  await go(page, `#/bucket/${Bucket}?tab=lock`);
  await field(page, "Default retention of new versions").selectOption("GOVERNANCE");
  await field(page, "Days").fill("1");
  await press(page, "Save", "Saved.");
  const { Rule } = (await root(s3, "GetObjectLockConfiguration", { Bucket })).ObjectLockConfiguration;
  expect(Rule.DefaultRetention.Mode === "GOVERNANCE" && Rule.DefaultRetention.Days === 1, "new versions are retained");
}

/** A folder that is dropped on the list, one that is chosen, an upload that is paused; and a deletion of what was chosen. */
export async function folders(page, Bucket, folder) {
  const tree = join(folder, "dropped");
  mkdirSync(join(tree, "inner", "deep"), { recursive: true });
  for (const [name, text] of [["one.txt", "1"], ["inner/two.txt", "2"], ["inner/deep/three.txt", "3"]]) writeFileSync(join(tree, name), text);
  const names = ["dropped/inner/deep/three.txt", "dropped/inner/two.txt", "dropped/one.txt"];
  const listed = async (Prefix) => ((await root(s3, "ListObjectsV2", { Bucket, Prefix })).Contents ?? []).map(({ Key }) => Key);
  const are = (wanted) => (now) => JSON.stringify(now) === JSON.stringify(wanted);

  await go(page, `#/browse/${Bucket}?prefix=by-drop/`);
  await drop(page, tree);
  await dialog(page).getByText("Upload 3 files").waitFor();
  await submit(page, "Upload");
  await until("the dropped folder is there", () => listed("by-drop/"), are(names.map((name) => `by-drop/${name}`)));

  await go(page, `#/browse/${Bucket}?prefix=by-choice/`);
  await page.getByLabel("Folder to upload").setInputFiles(tree);
  await submit(page, "Upload");
  await until("the chosen folder is there", () => listed("by-choice/"), are(names.map((name) => `by-choice/${name}`)));

  await go(page, `#/browse/${Bucket}?prefix=by-drop/`);
  await page.getByLabel("Below all prefixes").check();
  await page.getByText("3 entries", { exact: true }).waitFor();
  await page.getByLabel("Choose all").check();
  await button(page, "Delete").click();
  await submit(page, "Delete");
  await until("what was chosen is deleted", () => listed("by-drop/"), are([]));
}

/** Drops a folder of the disk as a file manager does. */
async function drop(page, path) {
  const { x, y, width, height } = await page.locator(".page.fill").boundingBox();
  const client = await page.context().newCDPSession(page);
  const data = { items: [], files: [path], dragOperationsMask: 1 };
  for (const type of ["dragEnter", "dragOver", "drop"]) await client.send("Input.dispatchDragEvent", { type, x: x + width / 2, y: y + height / 2, data });
  await client.detach();
}

/** Pauses while parts are held on their way, and resumes. `begin` starts the upload of this name. */
export async function pausedUpload(page, Bucket, name, begin) {
  let release = () => {};
  const held = new Promise((resolve) => {
    release = resolve;
  });
  let isHeld = () => {};
  const first = new Promise((resolve) => {
    isHeld = resolve;
  });
  const hold = async (route) => {
    if (route.request().method() === "PUT") {
      isHeld();
      await held;
    }
    // The page has let go of what it paused.
    await route.continue().catch(() => {});
  };
  await page.route(/[?&]partNumber=/, hold);
  await begin();
  await first;
  await button(page, `Pause ${name}`).click();
  await page.locator(".tray li", { hasText: name }).locator(".badge", { hasText: "Paused" }).waitFor();
  const uploads = async () => ((await root(s3, "ListMultipartUploads", { Bucket })).Uploads ?? []).filter(({ Key }) => Key === name);
  expect((await uploads()).length === 1, "the upload is kept while it is paused");
  release();
  await page.unroute(/[?&]partNumber=/, hold);
  await button(page, `Resume ${name}`).click();
}
