// KMS with the AWS SDK for JavaScript.

import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { createPublicKey, verify } from "node:crypto";

// The modules lie below the build folder, not beside this file.
const sdk = createRequire(process.env.CLIENT_HOME + "/")("@aws-sdk/client-kms");
const client = new sdk.KMSClient({});
const send = (name, input) => client.send(new sdk[`${name}Command`](input));

const { KeyMetadata: made } = await send("CreateKey", { Description: "js", Tags: [{ TagKey: "a", TagValue: "b" }] });
assert.equal(made.KeyState, "Enabled");
assert.ok(made.CreationDate instanceof Date);
await send("CreateAlias", { AliasName: "alias/js", TargetKeyId: made.KeyId });

const EncryptionContext = { purpose: "test", "ü": "ö" };
const sealed = await send("Encrypt", { KeyId: "alias/js", Plaintext: Buffer.from("secret"), EncryptionContext });
assert.equal(sealed.KeyId, made.Arn);
const opened = await send("Decrypt", { CiphertextBlob: sealed.CiphertextBlob, EncryptionContext });
assert.equal(Buffer.from(opened.Plaintext).toString(), "secret");
await assert.rejects(send("Decrypt", { CiphertextBlob: sealed.CiphertextBlob }), sdk.InvalidCiphertextException);
const dataKey = await send("GenerateDataKey", { KeyId: made.Arn, KeySpec: "AES_256" });
assert.equal(dataKey.Plaintext.length, 32);

const GranteePrincipal = `arn:aws:iam::${made.AWSAccountId}:user/alice`;
const granted = await send("CreateGrant", { KeyId: made.KeyId, GranteePrincipal, Operations: ["Encrypt", "Decrypt"] });
const { Grants } = await send("ListGrants", { KeyId: made.KeyId });
assert.deepEqual(Grants.map((grant) => grant.GrantId), [granted.GrantId]);
await send("RevokeGrant", { KeyId: made.KeyId, GrantId: granted.GrantId });

await send("RotateKeyOnDemand", { KeyId: made.KeyId });
assert.equal((await send("ListKeyRotations", { KeyId: made.KeyId })).Rotations[0].RotationType, "ON_DEMAND");
const again = await send("Decrypt", { CiphertextBlob: sealed.CiphertextBlob, EncryptionContext });
assert.equal(again.KeyMaterialId, opened.KeyMaterialId);

const { KeyMetadata: pair } = await send("CreateKey", { KeySpec: "ECC_NIST_P256", KeyUsage: "SIGN_VERIFY" });
const Message = Buffer.from("message");
const { Signature } = await send("Sign", { KeyId: pair.KeyId, Message, SigningAlgorithm: "ECDSA_SHA_256" });
const { PublicKey } = await send("GetPublicKey", { KeyId: pair.KeyId });
const key = createPublicKey({ key: Buffer.from(PublicKey), format: "der", type: "spki" });
assert.ok(verify("sha256", Message, key, Signature));

await send("DisableKey", { KeyId: made.KeyId });
await assert.rejects(send("Encrypt", { KeyId: made.KeyId, Plaintext: Message }), (error) => {
  assert.ok(error instanceof sdk.DisabledException, error);
  assert.equal(error.message, `${made.Arn} is disabled.`);
  return true;
});
await assert.rejects(send("DescribeKey", { KeyId: "alias/none" }), sdk.NotFoundException);
let listed = 0;
for await (const page of sdk.paginateListKeys({ client, pageSize: 1 }, {})) listed += page.Keys.length;
assert.equal(listed, 2);
