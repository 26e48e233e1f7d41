// Buttons of keys, of users, groups, roles and policies, and of accounts.
import { createPublicKey, generateKeyPairSync, randomBytes, verify } from "node:crypto";
import { caller, credentialsOf, iam, kms, refusal, root, s3, sts, until } from "./api.mjs";
import { button, dialog, expect, field, go, serious } from "./browser.mjs";
import { LOCKED, press, submit, tags } from "./press.mjs";

/** What there is to do to a key; and a key of each kind. */
export async function keyActions(page, account) {
  for (const [kind, spec] of [["rsa", "RSA_2048"], ["ecc", "ECC_NIST_P256"], ["edwards", "ECC_NIST_EDWARDS25519"], ["mldsa", "ML_DSA_44"], ["hmac", "HMAC_256"]]) {
    await go(page, "#/keys");
    await button(page, "Create key").click();
    await field(dialog(page), "Kind").selectOption(kind);
    await field(dialog(page), "Alias").fill(`pressed-${kind}`);
    await submit(page, "Create");
    await page.getByRole("heading", { name: `alias/pressed-${kind}` }).waitFor();
    expect((await root(kms, "DescribeKey", { KeyId: `alias/pressed-${kind}` })).KeyMetadata.KeySpec === spec, `the key is ${spec}`);
  }
  const { KeyMetadata } = await root(kms, "CreateKey", { Description: "pressed" });
  const { KeyId, Arn } = KeyMetadata;
  const tab = (name) => go(page, `#/key/${KeyId}?tab=${name}`);
  const state = async () => (await root(kms, "DescribeKey", { KeyId })).KeyMetadata.KeyState;

  await tab("grants");
  await button(page, "Create grant").click();
  await field(dialog(page), "Grantee's ARN").fill(`arn:aws:iam::${account}:root`);
  await field(dialog(page), "Name").fill("pressed");
  await dialog(page).getByLabel("Encrypt", { exact: true }).check();
  await field(dialog(page), "Only where the encryption context has").fill('{"department":"finance"}');
  await submit(page, "Create");
  await button(page, "Revoke").waitFor();
  const grant = (await root(kms, "ListGrants", { KeyId })).Grants[0];
  expect(grant.Operations.sort().join() === "Decrypt,Encrypt" && grant.Constraints.EncryptionContextSubset.department === "finance", `the grant is there: ${JSON.stringify(grant)}`);
  await button(page, "Revoke").click();
  await submit(page, "Revoke");
  await page.getByRole("heading", { name: "No grants" }).waitFor();
  expect((await root(kms, "ListGrants", { KeyId })).Grants.length === 0, "the grant is revoked");

  await tab("aliases");
  await field(page, "One more").fill("pressed");
  await press(page, "Add");
  await button(page, "Delete alias/pressed").waitFor();
  expect((await root(kms, "DescribeKey", { KeyId: "alias/pressed" })).KeyMetadata.KeyId === KeyId, "the alias is there");
  await button(page, "Delete alias/pressed").click();
  await page.getByText("No alias.").waitFor();

  await tags(page, `#/key/${KeyId}?tab=tags`, async () => (await root(kms, "ListResourceTags", { KeyId })).Tags.map(({ TagKey, TagValue }) => [TagKey, TagValue]));

  await tab("rotation");
  await field(page, "Rotate by itself every so many days").fill("90");
  await press(page, "Enable");
  await page.locator(".main .badge", { hasText: "every 90 days" }).waitFor();
  expect((await root(kms, "GetKeyRotationStatus", { KeyId })).RotationPeriodInDays === 90, "it is rotated by itself");

  await tab("policy");
  const policy = JSON.parse((await root(kms, "GetKeyPolicy", { KeyId, PolicyName: "default" })).Policy);
  policy.Statement.push({ Sid: "Pressed", Effect: "Deny", Principal: "*", Action: "kms:Sign", Resource: "*" });
  await field(page, "Policy").fill(JSON.stringify(policy));
  await press(page, "Save", "The policy is saved.");
  expect((await root(kms, "GetKeyPolicy", { KeyId, PolicyName: "default" })).Policy.includes("Pressed"), "the policy is there");

  await tab("who");
  await page.getByRole("row", { name: new RegExp(`${account}:root`) }).getByText("yes").waitFor();

  await button(page, "More").click();
  await page.getByRole("menuitem", { name: "Describe it" }).click();
  await field(dialog(page), "Description").fill("pressed twice");
  await submit(page, "Save");
  expect((await root(kms, "DescribeKey", { KeyId })).KeyMetadata.Description === "pressed twice", "it is described");

  await root(s3, "PutObject", { Bucket: `${LOCKED}-logs`, Key: "under-the-key", Body: "x", ServerSideEncryption: "aws:kms", SSEKMSKeyId: Arn });
  await button(page, "More").click();
  await page.getByRole("menuitem", { name: "Schedule deletion" }).click();
  await dialog(page).getByText("1 object version in 1 bucket").waitFor();
  expect(await button(dialog(page), "Schedule deletion").isDisabled(), "what can't be undone wants a word typed");
  await field(dialog(page), "Waiting time in days").fill("7");
  await field(dialog(page), 'Type "delete" to go on').fill("delete");
  await submit(page, "Schedule deletion");
  await page.getByText("This key is destroyed on").first().waitFor();
  expect((await state()) === "PendingDeletion", "the deletion is scheduled");
  await button(page, "Cancel the deletion").click();
  await button(page, "Enable").first().waitFor();
  expect((await state()) === "Disabled", "the deletion is cancelled");
  await button(page, "Enable").first().click();
  await button(page, "Disable").first().waitFor();
  expect((await state()) === "Enabled", "the key is enabled");
}

/** A private key that was made elsewhere is imported: what the gateway signs by it, the public half from there verifies. */
export async function importedPair(page) {
  const { privateKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
  const file = (key) => ({ name: "key.pem", mimeType: "application/x-pem-file", buffer: Buffer.from(key.export({ type: "pkcs8", format: "pem" })) });
  await go(page, "#/keys");
  await button(page, "Create key").click();
  await field(dialog(page), "Kind").selectOption("rsa");
  await field(dialog(page), "Alias").fill("pressed-import");
  await dialog(page).getByLabel("I bring the key material").check();
  await submit(page, "Create");
  await field(page, "Private key").setInputFiles(file(generateKeyPairSync("ec", { namedCurve: "P-256" }).privateKey));
  await press(page, "Wrap and import");
  await page.getByRole("alert").getByText("a key of ECC_NIST_P256, and this key is of RSA_2048").waitFor();
  const faults = await serious(page);
  expect(!faults.length, `axe finds nothing serious: ${faults.join("\n")}`);
  await field(page, "Private key").setInputFiles(file(privateKey));
  await press(page, "Wrap and import", "The key material is imported.");
  const Message = randomBytes(100);
  const { Signature } = await root(kms, "Sign", { KeyId: "alias/pressed-import", Message, SigningAlgorithm: "RSASSA_PKCS1_V1_5_SHA_256" });
  expect(verify("sha256", Message, createPublicKey(privateKey), Signature), "the imported key signs");
}

/** Groups, users, roles: what each has, and how each ends. */
export async function identities(page, account) {
  const all = { Version: "2012-10-17", Statement: [{ Effect: "Allow", Action: "*", Resource: "*" }] };
  const trust = { Version: "2012-10-17", Statement: [{ Effect: "Allow", Principal: { AWS: `arn:aws:iam::${account}:root` }, Action: "sts:AssumeRole" }] };
  await root(iam, "CreateUser", { UserName: "pressed" });
  await root(iam, "CreateRole", { RoleName: "pressed", AssumeRolePolicyDocument: JSON.stringify(trust) });
  await root(iam, "PutRolePolicy", { RoleName: "pressed", PolicyName: "all", PolicyDocument: JSON.stringify(all) });

  await go(page, "#/policies");
  await button(page, "Create policy").click();
  await field(dialog(page), "Name").fill("pressed");
  await dialog(page).getByRole("tab", { name: "Visual" }).click();
  await dialog(page).getByLabel("List buckets and objects").check();
  await button(dialog(page), "Add this statement").click();
  await submit(page, "Create");
  const arn = `arn:aws:iam::${account}:policy/pressed`;
  const version = await until("the policy is there", () => root(iam, "GetPolicyVersion", { PolicyArn: arn, VersionId: "v1" }).catch(() => undefined), Boolean);
  expect(decodeURIComponent(version.PolicyVersion.Document).includes("s3:ListAllMyBuckets"), "the policy is what was chosen");

  await go(page, "#/groups");
  await button(page, "Create group").click();
  await field(dialog(page), "Name").fill("pressers");
  await submit(page, "Create");
  await page.getByRole("heading", { name: "pressers" }).waitFor();
  await button(page, "Attach").click();
  await field(dialog(page), "Policy").selectOption(arn);
  await submit(page, "Attach");
  await button(page, "Detach").waitFor();
  expect((await root(iam, "ListAttachedGroupPolicies", { GroupName: "pressers" })).AttachedPolicies[0].PolicyArn === arn, "the policy is attached");
  await page.getByRole("tab", { name: "Users" }).click();
  await field(page, "Add a user").fill("pressed");
  await press(page, "Add");
  await button(page, "Remove").waitFor();
  const members = async () => (await root(iam, "GetGroup", { GroupName: "pressers" })).Users.map(({ UserName }) => UserName).join();
  expect((await members()) === "pressed", "the user is in the group");
  await button(page, "Remove").click();
  await page.getByText("No users.").waitFor();
  expect((await members()) === "", "the user is not in the group");

  const user = (tab) => go(page, `#/user/pressed?tab=${tab}`);
  await user("groups");
  await field(page, "Add to").selectOption("pressers");
  await press(page, "Add");
  await button(page, "Leave").waitFor();
  expect((await members()) === "pressed", "the user is in the group again");

  await user("policies");
  await button(page, "Write one").click();
  await field(dialog(page), "Name").fill("inline");
  await field(dialog(page), "Policy").fill(JSON.stringify(all));
  await submit(page, "Save");
  await button(page, "Edit").waitFor();
  expect((await root(iam, "ListUserPolicies", { UserName: "pressed" })).PolicyNames.join() === "inline", "the inline policy is there");

  await user("keys");
  await button(page, "Create access key").click();
  await dialog(page).locator("dd code").nth(1).waitFor();
  const [accessKeyId, secretAccessKey] = await dialog(page).locator("dd code").allTextContents();
  await button(dialog(page), "Close").click();
  const own = caller({ accessKeyId, secretAccessKey });
  const works = () => refusal(own(sts, "GetCallerIdentity"));
  expect((await works()) === "", "the access key works");
  await button(page, "Deactivate").click();
  await button(page, "Activate").waitFor();
  expect((await works()) !== "", "a deactivated access key does not");
  await button(page, "Activate").click();
  await button(page, "Deactivate").waitFor();

  const mine = caller(credentialsOf(await own(sts, "GetSessionToken")));
  const taken = caller(credentialsOf(await own(sts, "AssumeRole", { RoleArn: `arn:aws:iam::${account}:role/pressed`, RoleSessionName: "shift" })));
  for (const [kind, session] of [["user", mine], ["role", taken]]) {
    await session(s3, "ListBuckets");
    await go(page, `#/${kind}/pressed?tab=sessions`);
    await press(page, "Revoke sessions", "Sessions that began before now");
    expect((await refusal(session(s3, "ListBuckets"))) === "AccessDenied", `a session of the ${kind} may do nothing more`);
  }
  await own(s3, "ListBuckets");

  await go(page, "#/role/pressed?tab=trust");
  await field(page, "Policy").fill(JSON.stringify({ ...trust, Statement: [{ ...trust.Statement[0], Sid: "Pressed" }] }));
  await press(page, "Save", "Saved.");
  expect(decodeURIComponent((await root(iam, "GetRole", { RoleName: "pressed" })).Role.AssumeRolePolicyDocument).includes("Pressed"), "the trust is there");

  for (const [kind, name, gone] of [
    ["user", "pressed", ["GetUser", { UserName: "pressed" }]],
    ["role", "pressed", ["GetRole", { RoleName: "pressed" }]],
    ["group", "pressers", ["GetGroup", { GroupName: "pressers" }]],
  ]) {
    await go(page, `#/${kind}/${name}`);
    await button(page, "Delete").click();
    await field(dialog(page), `Type "${name}" to go on`).fill(name);
    await submit(page, `Delete ${kind}`);
    expect((await refusal(root(iam, ...gone))) === "NoSuchEntityException", `the ${kind} is deleted with all it had`);
  }
}

/** A further account, whose root user signs in elsewhere. */
export async function accounts(page) {
  await go(page, "#/accounts");
  await button(page, "Create account").click();
  await field(dialog(page), "Name").fill("Pressed & Sons");
  await field(dialog(page), "Email address").fill("pressed@example.com");
  await button(dialog(page), "Create").click();
  await dialog(page).locator("dd code").nth(1).waitFor();
  const [accessKeyId, secretAccessKey] = await dialog(page).locator("dd code").allTextContents();
  await button(dialog(page), "Close").click();
  const tenant = caller({ accessKeyId, secretAccessKey });
  const { Account, Arn } = await tenant(sts, "GetCallerIdentity");
  expect(Arn === `arn:aws:iam::${Account}:root`, `the account's root user is let in: ${Arn}`);
  await page.getByRole("row", { name: new RegExp(Account) }).getByText("Pressed & Sons").waitFor();
  await button(page, `Quota of ${Account}`).click();
  await field(dialog(page), "At most").fill("1 KiB");
  await submit(page, "Save");
  await tenant(s3, "CreateBucket", { Bucket: "of-the-tenant" });
  const put = await refusal(tenant(s3, "PutObject", { Bucket: "of-the-tenant", Key: "x", Body: randomBytes(2000) }));
  expect(put === "QuotaExceeded", `the account's quota holds: ${put}`);
}
