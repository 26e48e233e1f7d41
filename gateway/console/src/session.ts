/**
 * Who is signed in. Credentials are in the memory of this tab alone: a reload forgets them, and no storage of the browser ever holds them.
 */
import { computed, signal } from "@preact/signals";
import type { IAMClient } from "@aws-sdk/client-iam";
import type { KMSClient } from "@aws-sdk/client-kms";
import type { S3Client } from "@aws-sdk/client-s3";
import type { STSClient } from "@aws-sdk/client-sts";

export interface Provider {
  name: string;
  issuer: string;
  client_id: string;
  /** Where it hands tokens out, if that is known to be elsewhere than at its issuer. */
  token_origin?: string | null;
  role_arn?: string;
  scopes?: string;
}

export interface Config {
  endpoint: string;
  region: string;
  version: string;
  providers: Provider[];
  ldap: boolean;
}

export interface Credentials {
  accessKeyId: string;
  secretAccessKey: string;
  sessionToken?: string;
  expiration?: Date;
}

export interface Identity {
  account: string;
  arn: string;
  user_id: string;
  is_root: boolean;
  session: boolean;
}

export const config = signal<Config | undefined>(undefined);
export const credentials = signal<Credentials | undefined>(undefined);
export const identity = signal<Identity | undefined>(undefined);
export const signedIn = computed(() => identity.value !== undefined);
/** Why the last session ended, for the sign-in page. */
export const farewell = signal("");

interface Clients {
  s3: Promise<S3Client>;
  iam: Promise<IAMClient>;
  kms: Promise<KMSClient>;
  sts: Promise<STSClient>;
}
let clients: Partial<Clients> = {};

/** SHA-256 by the browser where it has it: hashing a part in JavaScript takes longer than to send it. */
class NativeSha256 {
  private parts: Uint8Array[] = [];
  constructor(private readonly secret?: string | ArrayBuffer | ArrayBufferView) {}
  update(data: string | ArrayBuffer | ArrayBufferView): void {
    this.parts.push(toBytes(data));
  }
  reset(): void {
    this.parts = [];
  }
  async digest(): Promise<Uint8Array> {
    const only = this.parts.length === 1 ? this.parts[0]! : new Uint8Array(await new Blob(this.parts as BlobPart[]).arrayBuffer());
    if (this.secret === undefined) return new Uint8Array(await crypto.subtle.digest("SHA-256", only as BufferSource));
    const algorithm = { name: "HMAC", hash: "SHA-256" };
    const hmac = await crypto.subtle.importKey("raw", toBytes(this.secret) as BufferSource, algorithm, false, ["sign"]);
    return new Uint8Array(await crypto.subtle.sign("HMAC", hmac, only as BufferSource));
  }
}

function toBytes(data: string | ArrayBuffer | ArrayBufferView): Uint8Array {
  if (typeof data === "string") return new TextEncoder().encode(data);
  return ArrayBuffer.isView(data) ? new Uint8Array(data.buffer, data.byteOffset, data.byteLength) : new Uint8Array(data);
}

/** The hash that signatures are made with. Outside of a secure context browsers have none of their own. */
export async function sha256(): Promise<any> {
  return globalThis.crypto?.subtle ? NativeSha256 : (await import("@aws-crypto/sha256-js")).Sha256;
}

/** What every client is made with. */
export async function clientOptions() {
  const { endpoint, region } = config.value!;
  const { accessKeyId, secretAccessKey, sessionToken } = credentials.value!;
  return { endpoint, region, maxAttempts: 3, credentials: { accessKeyId, secretAccessKey, sessionToken }, sha256: await sha256() };
}

/** Browsers hand blobs from process to process by reference, and copy arrays. */
const LARGE_LEN = 1024 * 1024;
const sendAsBlob = (next: (args: any) => Promise<any>) => (args: any) => {
  const { body } = args.request;
  if (body instanceof Uint8Array && body.length >= LARGE_LEN) args.request.body = new Blob([body as BlobPart]);
  return next(args);
};

export const s3 = () =>
  (clients.s3 ??= Promise.all([import("@aws-sdk/client-s3"), clientOptions()]).then(
    ([sdk, options]) => {
      // The signature covers the SHA-256 of every body already.
      const client = new sdk.S3Client({ ...options, forcePathStyle: true, requestChecksumCalculation: "WHEN_REQUIRED", responseChecksumValidation: "WHEN_REQUIRED" });
      client.middlewareStack.add(sendAsBlob as any, { step: "deserialize", name: "sendAsBlob" });
      return client;
    },
  ));
export const iam = () =>
  (clients.iam ??= Promise.all([import("@aws-sdk/client-iam"), clientOptions()]).then(([sdk, options]) => new sdk.IAMClient(options)));
export const kms = () =>
  (clients.kms ??= Promise.all([import("@aws-sdk/client-kms"), clientOptions()]).then(([sdk, options]) => new sdk.KMSClient(options)));
export const sts = () =>
  (clients.sts ??= Promise.all([import("@aws-sdk/client-sts"), clientOptions()]).then(([sdk, options]) => new sdk.STSClient(options)));

/** Takes credentials over after the gateway said whose they are. */
export async function signIn(fresh: Credentials): Promise<void> {
  clients = {};
  credentials.value = fresh;
  try {
    const [{ GetCallerIdentityCommand }, client] = await Promise.all([import("@aws-sdk/client-sts"), sts()]);
    const caller = await client.send(new GetCallerIdentityCommand({}));
    const arn = caller.Arn ?? "";
    identity.value = {
      account: caller.Account ?? "",
      arn,
      user_id: caller.UserId ?? "",
      is_root: arn.endsWith(":root"),
      session: fresh.sessionToken !== undefined,
    };
    farewell.value = "";
  } catch (error) {
    forget();
    throw error;
  }
}

function forget(): void {
  clients = {};
  credentials.value = undefined;
  identity.value = undefined;
}

export function signOut(reason = ""): void {
  forget();
  farewell.value = reason;
  location.hash = "";
}

export async function loadConfig(): Promise<void> {
  const answer = await fetch("config.json", { cache: "no-store" });
  if (!answer.ok) throw new Error(`config.json: status ${answer.status}`);
  const read = (await answer.json()) as Partial<Config>;
  config.value = {
    endpoint: read.endpoint ?? location.origin,
    region: read.region ?? "us-east-1",
    version: read.version ?? "",
    providers: read.providers ?? [],
    ldap: read.ldap ?? false,
  };
}
