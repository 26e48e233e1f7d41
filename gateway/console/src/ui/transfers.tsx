/** Uploads and downloads that go on while one does other things: a queue, and the tray that shows it. */
import { computed, signal } from "@preact/signals";
import { useState } from "preact/hooks";
import { bytes, plural } from "../format";
import { s3 } from "../session";
import { trouble } from "../api/errors";
import { Badge, Button } from "./core";

/** Whole objects up to this size go in one request. */
const PART = 8 * 1024 * 1024;
const MAX_PARTS = 10_000;
const PARALLEL_PARTS = 4;
const PARALLEL_FILES = 3;

export interface Options {
  /** Headers of server-side encryption, storage class and the like, as the SDK names them. */
  parameters: Record<string, unknown>;
  /** The same for each part (SSE-C only). */
  partParameters: Record<string, unknown>;
}

type State = "waiting" | "running" | "paused" | "done" | "failed" | "cancelled";

export interface Transfer {
  id: number;
  bucket: string;
  name: string;
  file: File;
  options: Options;
  state: State;
  sent: number;
  error?: string;
  uploadId?: string;
  /** ETags of parts that have arrived. */
  parts: Map<number, string>;
  abort?: AbortController;
  startedAt?: number;
}

const transfers = signal<Transfer[]>([]);
let nextId = 1;
export const busyTransfers = computed(() => transfers.value.some(({ state }) => state === "running" || state === "waiting" || state === "paused"));
/** Grows with each upload that ends: lists look again. */
export const finished = signal(0);

const changed = () => {
  transfers.value = [...transfers.value];
};

export function upload(bucket: string, files: { name: string; file: File }[], options: Options): void {
  const fresh = files.map(({ name, file }): Transfer => ({ id: nextId++, bucket, name, file, options, state: "waiting", sent: 0, parts: new Map() }));
  transfers.value = [...transfers.value, ...fresh];
  pump();
}

function pump(): void {
  const running = transfers.value.filter(({ state }) => state === "running").length;
  for (const transfer of transfers.value.filter(({ state }) => state === "waiting").slice(0, Math.max(0, PARALLEL_FILES - running))) void run(transfer);
  changed();
}

async function run(transfer: Transfer): Promise<void> {
  transfer.state = "running";
  transfer.startedAt ??= Date.now();
  transfer.error = undefined;
  transfer.abort = new AbortController();
  try {
    if (transfer.file.size <= PART) await whole(transfer);
    else await inParts(transfer);
    transfer.state = "done";
    transfer.sent = transfer.file.size;
    finished.value += 1;
  } catch (error) {
    // Whoever pauses or cancels has said so in the state already.
    if (transfer.state === "running") {
      const { code, message } = trouble(error);
      transfer.state = "failed";
      transfer.error = `${code}: ${message}`;
    }
  }
  pump();
}

async function whole(transfer: Transfer): Promise<void> {
  const [{ PutObjectCommand }, client] = await Promise.all([import("@aws-sdk/client-s3"), s3()]);
  const { bucket, name, file, options } = transfer;
  const body = new Uint8Array(await file.arrayBuffer());
  await client.send(new PutObjectCommand({ Bucket: bucket, Key: name, Body: body, ContentType: file.type || undefined, ...options.parameters }), { abortSignal: transfer.abort!.signal });
}

async function inParts(transfer: Transfer): Promise<void> {
  const [sdk, client] = await Promise.all([import("@aws-sdk/client-s3"), s3()]);
  const { bucket, name, file, options } = transfer;
  const target = { Bucket: bucket, Key: name };
  const abortSignal = transfer.abort!.signal;
  const size = Math.max(PART, Math.ceil(file.size / MAX_PARTS / 1048576) * 1048576);
  const total = Math.ceil(file.size / size);
  if (!transfer.uploadId) {
    const begun = await client.send(new sdk.CreateMultipartUploadCommand({ ...target, ContentType: file.type || undefined, ...options.parameters }), { abortSignal });
    transfer.uploadId = begun.UploadId!;
  }
  const upload = { ...target, UploadId: transfer.uploadId };
  const left = Array.from({ length: total }, (_, index) => index + 1).filter((number) => !transfer.parts.has(number));
  const worker = async () => {
    for (let number = left.shift(); number !== undefined; number = left.shift()) {
      abortSignal.throwIfAborted();
      const body = new Uint8Array(await file.slice((number - 1) * size, number * size).arrayBuffer());
      const part = await client.send(new sdk.UploadPartCommand({ ...upload, PartNumber: number, Body: body, ...options.partParameters }), { abortSignal });
      transfer.parts.set(number, part.ETag!);
      transfer.sent += body.length;
      changed();
    }
  };
  const workers = Array.from({ length: PARALLEL_PARTS }, worker);
  try {
    await Promise.all(workers);
  } catch (error) {
    transfer.abort!.abort();
    await Promise.allSettled(workers);
    throw error;
  }
  const Parts = [...transfer.parts].sort(([a], [b]) => a - b).map(([PartNumber, ETag]) => ({ PartNumber, ETag }));
  await client.send(new sdk.CompleteMultipartUploadCommand({ ...upload, MultipartUpload: { Parts }, ...options.partParameters }), { abortSignal });
}

function pause(transfer: Transfer): void {
  transfer.state = "paused";
  transfer.abort?.abort();
  pump();
}

function resume(transfer: Transfer): void {
  transfer.state = "waiting";
  pump();
}

async function cancel(transfer: Transfer): Promise<void> {
  transfer.state = "cancelled";
  transfer.abort?.abort();
  pump();
  if (!transfer.uploadId) return;
  const [{ AbortMultipartUploadCommand }, client] = await Promise.all([import("@aws-sdk/client-s3"), s3()]);
  await client.send(new AbortMultipartUploadCommand({ Bucket: transfer.bucket, Key: transfer.name, UploadId: transfer.uploadId }));
}

const WORDS: Record<State, [string, string]> = {
  waiting: ["Waiting", ""],
  running: ["Uploading", "info"],
  paused: ["Paused", "warn"],
  done: ["Done", "good"],
  failed: ["Failed", "danger"],
  cancelled: ["Cancelled", ""],
};

export function Transfers() {
  const [wanted, setOpen] = useState<boolean | undefined>();
  const all = transfers.value;
  if (!all.length) return null;
  const active = all.filter(({ state }) => state === "running" || state === "waiting").length;
  const failed = all.filter(({ state }) => state === "failed").length;
  // Once all is well, only the head stays, so that it covers nothing.
  const open = wanted ?? all.some(({ state }) => state !== "done" && state !== "cancelled");
  return (
    <section class="tray" aria-label="Uploads">
      <header>
        <strong class="grow" role="status">
          {active ? `Uploading ${plural(active, "file")}` : failed ? `${failed} failed` : `${plural(all.length, "upload")} ended`}
        </strong>
        <Button kind="ghost small" onClick={() => setOpen(!open)}>
          {open ? "Hide" : "Show"}
        </Button>
        {active || all.some(({ state }) => state === "paused") ? null : <Button kind="ghost small" icon="close" label="Clear" onClick={() => { transfers.value = []; }} />}
      </header>
      <ul hidden={!open} tabIndex={0} aria-label="Files">
          {all.slice(-50).map((one) => (
            <li key={one.id}>
              <div class="row tight">
                <span class="fn" title={one.name}>
                  {one.name}
                </span>
                <Badge kind={WORDS[one.state][1]}>{WORDS[one.state][0]}</Badge>
                {one.state === "running" && one.file.size > PART ? <Button kind="ghost small" icon="pause" label={`Pause ${one.name}`} onClick={() => pause(one)} /> : null}
                {one.state === "paused" || one.state === "failed" ? <Button kind="ghost small" icon="play" label={`Resume ${one.name}`} onClick={() => resume(one)} /> : null}
                {one.state === "done" || one.state === "cancelled" ? null : <Button kind="ghost small" icon="close" label={`Cancel ${one.name}`} onClick={() => cancel(one)} />}
              </div>
              {one.state === "done" || one.state === "cancelled" ? null : <progress max={one.file.size || 1} value={one.sent} aria-label={`Progress of ${one.name}`} />}
              <small class="muted">{one.error ?? `${bytes(one.sent)} of ${bytes(one.file.size)}${rate(one)}`}</small>
            </li>
          ))}
      </ul>
    </section>
  );
}

function rate({ state, sent, startedAt }: Transfer): string {
  if (state !== "running" || !startedAt || !sent) return "";
  return ` · ${bytes((sent * 1000) / Math.max(1, Date.now() - startedAt))}/s`;
}
