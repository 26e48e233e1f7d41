/** Objects to disk: straight by a presigned URL, or by way of memory where a header has to go along (SSE-C). */
import { GetObjectCommand } from "@aws-sdk/client-s3";
import { s3 } from "../session";

/** Up to this size an SSE-C object is downloaded by way of the tab's memory. */
const MAX_IN_MEMORY = 512 * 1024 * 1024;

export interface Target {
  Bucket: string;
  Key: string;
  VersionId?: string;
}

export async function presign(target: Target, seconds: number, attachment?: string): Promise<string> {
  const { getSignedUrl } = await import("@aws-sdk/s3-request-presigner");
  const disposition = attachment === undefined ? undefined : `attachment; filename*=UTF-8''${encodeURIComponent(attachment)}`;
  return getSignedUrl((await s3()) as any, new GetObjectCommand({ ...target, ResponseContentDisposition: disposition }) as any, { expiresIn: seconds });
}

function save(address: string, name: string): void {
  const link = document.createElement("a");
  link.href = address;
  link.download = name;
  link.rel = "noopener";
  document.body.append(link);
  link.click();
  link.remove();
}

export async function saveObject(target: Target, size: number, customer: Record<string, unknown>): Promise<void> {
  const name = target.Key.split("/").filter(Boolean).pop() ?? "object";
  if (!Object.keys(customer).length) {
    save(await presign(target, 60, name), name);
    return;
  }
  if (size > MAX_IN_MEMORY) throw new Error("An SSE-C object of this size can't go by way of the browser's memory. Use the AWS CLI with --sse-c.");
  const answer = await (await s3()).send(new GetObjectCommand({ ...target, ...customer }));
  const address = URL.createObjectURL(new Blob([(await answer.Body!.transformToByteArray()) as BlobPart], { type: "application/octet-stream" }));
  save(address, name);
  setTimeout(() => URL.revokeObjectURL(address), 60_000);
}
