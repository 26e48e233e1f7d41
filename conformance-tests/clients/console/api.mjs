// What the gateway answers, asked beside the browser by the AWS SDK: whether a press did what it says.
//
// From the environment: CONSOLE_SDK, a folder with the console's own packages; AWS_ENDPOINT_URL and credentials.
import { createRequire } from "node:module";
import { join } from "node:path";
import { PATIENCE_MS, expect } from "./browser.mjs";

const require = createRequire(join(process.env.CONSOLE_SDK, "package.json"));
export const s3 = require("@aws-sdk/client-s3");
export const iam = require("@aws-sdk/client-iam");
export const kms = require("@aws-sdk/client-kms");
export const sts = require("@aws-sdk/client-sts");

/** Sends commands of S3, IAM, KMS and STS with these credentials. */
export function caller(credentials = { accessKeyId: process.env.AWS_ACCESS_KEY_ID, secretAccessKey: process.env.AWS_SECRET_ACCESS_KEY }) {
  const options = { endpoint: process.env.AWS_ENDPOINT_URL, region: "us-east-1", credentials, maxAttempts: 1 };
  const clients = new Map([
    [s3, new s3.S3Client({ ...options, forcePathStyle: true })],
    [iam, new iam.IAMClient(options)],
    [kms, new kms.KMSClient(options)],
    [sts, new sts.STSClient(options)],
  ]);
  return (service, name, input = {}) => clients.get(service).send(new service[`${name}Command`](input));
}

export const root = caller();

/** The code that a call is refused with; empty: it is not. */
export async function refusal(promise) {
  return promise.then(() => "", (error) => error.name);
}

/** Waits until the answer is as it should be: a press has been answered when the page says so, and no sooner. */
export async function until(what, ask, is) {
  const began = Date.now();
  for (;;) {
    const answer = await ask();
    if (is(answer)) return answer;
    expect(Date.now() - began < PATIENCE_MS, `${what}; the last answer was ${JSON.stringify(answer)?.slice(0, 600)}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

/** What a session of a login got, and lives by. */
export const credentialsOf = ({ Credentials: { AccessKeyId, SecretAccessKey, SessionToken } }) => ({ accessKeyId: AccessKeyId, secretAccessKey: SecretAccessKey, sessionToken: SessionToken });
