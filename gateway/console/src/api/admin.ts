/** The signed admin API of the main listener: `/_sealgate/admin/v1/…`. */
import { clientOptions, config } from "../session";

const ROOT = "/_sealgate/admin/v1/";

export class AdminError extends Error {
  constructor(
    override readonly name: string,
    message: string,
    readonly status: number,
    readonly headers: Record<string, string>,
  ) {
    super(message);
  }
}

type Query = Record<string, string | number | undefined>;

async function send(method: string, path: string, query: Query, body?: unknown, headers: Record<string, string> = {}, signal?: AbortSignal): Promise<Response> {
  const [{ SignatureV4 }, options] = await Promise.all([import("@smithy/signature-v4"), clientOptions()]);
  const url = new URL(config.value!.endpoint);
  const parameters: Record<string, string> = {};
  for (const [name, value] of Object.entries(query)) if (value !== undefined && value !== "") parameters[name] = String(value);
  const text = body === undefined ? undefined : JSON.stringify(body);
  const signer = new SignatureV4({ service: "s3", region: options.region, credentials: options.credentials as any, sha256: options.sha256, uriEscapePath: false });
  const signed: { headers: Record<string, string> } = await (signer as any).sign({
    method,
    protocol: url.protocol,
    hostname: url.hostname,
    port: url.port ? Number(url.port) : undefined,
    path: ROOT + path,
    query: parameters,
    headers: { host: url.host, ...(text === undefined ? {} : { "content-type": "application/json" }), ...headers },
    body: text,
  });
  const sent = { ...signed.headers };
  delete sent["host"];
  const search = Object.entries(parameters).map(([name, value]) => `${encode(name)}=${encode(value)}`).join("&");
  const answer = await fetch(`${url.origin}${ROOT}${path}${search ? `?${search}` : ""}`, { method, headers: sent, body: text, signal });
  if (!answer.ok) {
    const said = await answer.text();
    let code = `Status${answer.status}`;
    let message = said.slice(0, 500) || `The gateway answered with status ${answer.status}.`;
    try {
      const parsed = JSON.parse(said);
      code = parsed.code ?? code;
      message = parsed.message ?? message;
    } catch {
      code = /<Code>([^<]*)</.exec(said)?.[1] ?? code;
      message = /<Message>([^<]*)</.exec(said)?.[1] ?? message;
    }
    throw new AdminError(code, message, answer.status, Object.fromEntries(answer.headers));
  }
  return answer;
}

/** As a signature's canonical query has it. */
const encode = (text: string): string => encodeURIComponent(text).replace(/[!'()*]/g, (found) => `%${found.charCodeAt(0).toString(16).toUpperCase()}`);

export async function admin<T = any>(path: string, query: Query = {}): Promise<T> {
  return (await send("GET", path, query)).json() as Promise<T>;
}

export async function adminPut(path: string, query: Query, body: unknown): Promise<void> {
  await send("PUT", path, query, body);
}

export async function adminPost(path: string, query: Query = {}, body?: unknown): Promise<any> {
  const text = await (await send("POST", path, query, body)).text();
  return text ? JSON.parse(text) : undefined;
}

/** Calls `line` with each line of the answer as it comes. */
export async function adminLines(path: string, query: Query, headers: Record<string, string>, line: (value: any) => void, signal: AbortSignal): Promise<void> {
  const answer = await send("POST", path, query, undefined, headers, signal);
  const reader = answer.body!.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) break;
    const lines = (rest + value).split("\n");
    rest = lines.pop() ?? "";
    for (const text of lines) if (text.trim()) line(JSON.parse(text));
  }
  if (rest.trim()) line(JSON.parse(rest));
}
