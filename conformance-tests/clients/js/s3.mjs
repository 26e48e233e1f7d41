// S3 with the AWS SDK for JavaScript v3: objects in every mode of encryption, uploads in parts, presigned requests and forms.

import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { createRequire } from "node:module";
import { Readable } from "node:stream";

// The modules lie below the build folder, not beside this file.
const modules = createRequire(process.env.CLIENT_HOME + "/");
const s3 = modules("@aws-sdk/client-s3");
const { Upload } = modules("@aws-sdk/lib-storage");
const { getSignedUrl } = modules("@aws-sdk/s3-request-presigner");
const { createPresignedPost } = modules("@aws-sdk/s3-presigned-post");

const { CLIENT_BUCKET: Bucket, CLIENT_KMS_KEY: kmsKey } = process.env;
const client = new s3.S3Client({ forcePathStyle: true });
const send = (name, input) => client.send(new s3[`${name}Command`]({ Bucket, ...input }));

const content = (length) => {
  const blocks = [];
  for (let at = 0; at < length; at += 32) blocks.push(createHash("sha256").update(`${length} ${at}`).digest());
  return Buffer.concat(blocks).subarray(0, length);
};
const small = content(100_003);
const large = content((12 << 20) + 5);
const sha256 = (bytes) => createHash("sha256").update(bytes).digest("hex");
const same = (got, want) => {
  assert.equal(got.length, want.length);
  assert.equal(sha256(got), sha256(want));
};

const customerKey = Buffer.alloc(32, 0x5a);
const customer = (prefix = "") => ({
  [`${prefix}SSECustomerAlgorithm`]: "AES256",
  [`${prefix}SSECustomerKey`]: customerKey.toString("base64"),
  [`${prefix}SSECustomerKeyMD5`]: createHash("md5").update(customerKey).digest("base64"),
});
// What a write says, what a read says, what a copy says of its source, and what an answer must say.
const kms = { ServerSideEncryption: "aws:kms", SSEKMSKeyId: kmsKey };
const encryptions = {
  "sse-s3": { write: { ServerSideEncryption: "AES256" }, read: {}, source: {}, told: { ServerSideEncryption: "AES256" } },
  "sse-kms": { write: kms, read: {}, source: {}, told: kms },
  "sse-c": {
    write: customer(),
    read: customer(),
    source: customer("CopySource"),
    told: { ServerSideEncryption: undefined, SSECustomerKeyMD5: customer().SSECustomerKeyMD5 },
  },
};
const described = { Metadata: { "written-by": "javascript" }, ContentType: "text/x-js" };

const check = async (Key, { read, told }, body) => {
  const got = await send("GetObject", { Key, ...read });
  same(Buffer.from(await got.Body.transformToByteArray()), body);
  assert.deepEqual(got.Metadata, described.Metadata);
  assert.equal(got.ContentType, described.ContentType);
  for (const [name, value] of Object.entries(told)) assert.equal(got[name], value);
  if (read.SSECustomerKey) await assert.rejects(send("GetObject", { Key }));
};
const object = (name) => async () => {
  await send("PutObject", { Key: name, Body: small, ...described, ...encryptions[name].write });
  await check(name, encryptions[name], small);
};

const modes = {
  "sse-s3": object("sse-s3"),
  "sse-kms": object("sse-kms"),
  "sse-c": object("sse-c"),

  // A stream of unknown length.
  multipart: async () => {
    for (const [name, encryption] of Object.entries(encryptions)) {
      const pieces = Array.from({ length: Math.ceil(large.length / 65536) }, (_, at) => large.subarray(at * 65536, (at + 1) * 65536));
      const Body = Readable.from(pieces);
      const params = { Bucket, Key: `multipart ${name}`, Body, ...described, ...encryption.write };
      await new Upload({ client, params }).done();
      await check(params.Key, encryption, large);
    }
  },

  range: async () => {
    for (const [name, { read }] of Object.entries(encryptions)) {
      const got = await send("GetObject", { Key: `multipart ${name}`, Range: "bytes=5242000-5243999", ...read });
      assert.equal(got.ContentRange, `bytes 5242000-5243999/${large.length}`);
      same(Buffer.from(await got.Body.transformToByteArray()), large.subarray(5242000, 5244000));
    }
  },

  copy: async () => {
    for (const [from, { source }] of Object.entries(encryptions)) {
      for (const [to, encryption] of Object.entries(encryptions)) {
        const Key = `${from} to ${to}`;
        await send("CopyObject", { Key, CopySource: `${Bucket}/${from}`, ...source, ...encryption.write });
        await check(Key, encryption, small);
      }
    }
  },

  presign: async () => {
    for (const [name, encryption] of Object.entries(encryptions)) {
      // Headers of encryption are signed and sent; the checksum of an empty body, which the SDK adds, is ignored.
      const Key = `presigned ${name}`;
      const put = new s3.PutObjectCommand({ Bucket, Key, ...described, ...encryption.write });
      const headers = Object.fromEntries([
        ["content-type", described.ContentType],
        ["x-amz-meta-written-by", "javascript"],
        ...(encryption.write.ServerSideEncryption
          ? [["x-amz-server-side-encryption", encryption.write.ServerSideEncryption]]
          : headersOf(encryption.write)),
        ...(encryption.write.SSEKMSKeyId ? [["x-amz-server-side-encryption-aws-kms-key-id", kmsKey]] : []),
      ]);
      const unhoistableHeaders = new Set(Object.keys(headers));
      const written = await fetch(await getSignedUrl(client, put, { unhoistableHeaders }), { method: "PUT", headers, body: small });
      assert.equal(written.status, 200, await written.text());
      await check(Key, encryption, small);

      const get = new s3.GetObjectCommand({ Bucket, Key, ...encryption.read });
      const own = Object.fromEntries(headersOf(encryption.read));
      const url = await getSignedUrl(client, get, { unhoistableHeaders: new Set(Object.keys(own)) });
      const read = await fetch(url, { headers: own });
      assert.equal(read.status, 200);
      same(Buffer.from(await read.arrayBuffer()), small);
    }
    // As most callers do it: nothing but bucket and key.
    const plain = await getSignedUrl(client, new s3.PutObjectCommand({ Bucket, Key: "presigned" }));
    assert.equal((await fetch(plain, { method: "PUT", body: small })).status, 200);
    assert.equal((await send("HeadObject", { Key: "presigned" })).ContentLength, small.length);
  },

  // A form as a browser sends it; then a walk through the listing, and all deleted.
  work: async () => {
    const { url, fields } = await createPresignedPost(client, {
      Bucket,
      Key: "form/${filename}",
      Conditions: [["content-length-range", 1, small.length]],
      Fields: { "x-amz-server-side-encryption": "AES256", success_action_status: "201" },
    });
    const form = new FormData();
    for (const [name, value] of Object.entries(fields)) form.set(name, value);
    form.set("file", new Blob([small]), "fü.bin");
    const posted = await fetch(url, { method: "POST", body: form });
    assert.equal(posted.status, 201, await posted.text());
    const got = await send("GetObject", { Key: "form/fü.bin" });
    same(Buffer.from(await got.Body.transformToByteArray()), small);

    const keys = [];
    for await (const page of s3.paginateListObjectsV2({ client, pageSize: 5 }, { Bucket })) {
      keys.push(...page.Contents.map(({ Key }) => ({ Key })));
    }
    assert.ok(keys.length > 5);
    const { Deleted, Errors } = await send("DeleteObjects", { Delete: { Objects: keys } });
    assert.deepEqual([Deleted.length, Errors], [keys.length, undefined]);
    assert.equal((await send("ListObjectsV2", {})).KeyCount, 0);
  },
};

function headersOf({ SSECustomerAlgorithm, SSECustomerKey, SSECustomerKeyMD5 }) {
  if (!SSECustomerKey) return [];
  const prefix = "x-amz-server-side-encryption-customer-";
  return [
    [`${prefix}algorithm`, SSECustomerAlgorithm],
    [`${prefix}key`, SSECustomerKey],
    [`${prefix}key-md5`, SSECustomerKeyMD5],
  ];
}

for (const [name, run] of Object.entries(modes)) {
  const failed = await run().then(() => null, (error) => error);
  console.log(`${name}: ${failed ? `failed: ${String(failed.stack).split(/\s+/).join(" ")}` : "ok"}`);
}
