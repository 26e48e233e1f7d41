/** How an object is encrypted: facts, the chain of keys as a picture, and a proof that it can be read. */
import { useEffect, useRef, useState } from "preact/hooks";
import type { HeadObjectCommandOutput } from "@aws-sdk/client-s3";
import { admin, adminLines } from "../api/admin";
import { bytes, count, plural } from "../format";
import { href } from "../router";
import { Badge, Button, Card, Load, useLoad } from "../ui/core";
import { parseKey } from "../ui/encryption-choice";
import type { Target } from "./download";

interface Link {
  kind: string;
  id?: string | null;
  wraps?: string | null;
  algorithm?: string | null;
}

/** The headers of SSE-C, which the SDK makes for S3 alone. */
async function customerHeaders(text: string): Promise<Record<string, string>> {
  const key = parseKey(text);
  if (!key) return {};
  const { md5 } = await import("../api/md5");
  const encode = (value: Uint8Array) => btoa(String.fromCharCode(...value));
  return {
    "x-amz-server-side-encryption-customer-algorithm": "AES256",
    "x-amz-server-side-encryption-customer-key": encode(key),
    "x-amz-server-side-encryption-customer-key-md5": encode(md5(key)),
  };
}

export function Encryption({ target, head, customerKey }: { target: Target; head: HeadObjectCommandOutput; customerKey: string }) {
  const query = { bucket: target.Bucket, key: target.Key, versionId: target.VersionId };
  const shown = useLoad<any>(() => admin("object/encryption", query), []);
  return (
    <div class="stack">
      <Load of={shown}>
        {(data) => (
          <>
            <Card title="From the root key to the bytes" actions={<Badge kind="accent">{data.mode}</Badge>}>
              <Chain links={data.chain ?? []} />
              <p class="muted">Each key is stored only under the one before it. Whoever destroys one makes unreadable all that comes after it.</p>
            </Card>
            <div class="grid">
              <Facts data={data} />
              <Parts parts={data.parts ?? []} chunk={data.chunk_size} />
            </div>
          </>
        )}
      </Load>
      <Verify query={query} customerKey={customerKey} size={head.ContentLength ?? 0} />
    </div>
  );
}

function Facts({ data }: { data: any }) {
  const keyId = data.kms_key_id;
  const context = data.encryption_context ?? {};
  const bound = data.bound_fields ?? [];
  return (
    <Card title="What protects it">
      <dl class="facts">
        <dt>Mode</dt>
        <dd>{data.mode}
          {data.bucket_key_enabled ? ", with a bucket key" : ""}</dd>
        {keyId ? (
          <>
            <dt>KMS key</dt>
            <dd>
              <a class="mono" href={href(["key", String(keyId).split("/").pop()!])}>
                {data.kms_key_alias ?? keyId}
              </a>
            </dd>
          </>
        ) : null}
        {data.backing_key_id ? (
          <>
            <dt>Backing key</dt>
            <dd>
              <code>{data.backing_key_id}</code> <Badge kind={data.backing_key_is_current ? "good" : "warn"}>{data.backing_key_is_current ? "current" : "former"}</Badge>
            </dd>
          </>
        ) : null}
        {data.epoch_id ? (
          <>
            <dt>{data.bucket_key_enabled ? "Bucket key" : "Epoch"}</dt>
            <dd class="mono">{data.epoch_id}</dd>
          </>
        ) : null}
        <dt>Algorithm</dt>
        <dd>{data.algorithm}</dd>
        <dt>Encryption context</dt>
        <dd>{Object.keys(context).length ? Object.entries(context).map(([name, value]) => <div key={name} class="mono">{name} = {String(value)}</div>) : "none"}</dd>
        <dt>Bound to it</dt>
        <dd>
          {bound.map((field: { name: string; value: string }) => (
            <div key={field.name}>
              {field.name} <code>{field.value}</code>
            </div>
          ))}
        </dd>
      </dl>
    </Card>
  );
}

function Parts({ parts, chunk }: { parts: any[]; chunk: number }) {
  const plain = (part: any) => part.plain_len;
  const stored = (part: any) => part.stored_len;
  const total = parts.reduce((sum, part) => sum + plain(part), 0);
  const kept = parts.reduce((sum, part) => sum + stored(part), 0);
  return (
    <Card title="How it is stored">
      <dl class="facts">
        <dt>Content</dt>
        <dd>{bytes(total)}</dd>
        <dt>Sealed</dt>
        <dd>
          {bytes(kept)} ({total ? `${((kept / total - 1) * 100).toFixed(2)} % more: tags, salts, commitments` : "a header and an authentication tag"})
        </dd>
        <dt>Chunks</dt>
        <dd>
          {plural(parts.reduce((sum, part) => sum + Math.floor(plain(part) / chunk) + 1, 0), "chunk")} of {bytes(chunk)}, each authenticated
        </dd>
        <dt>Messages</dt>
        <dd>{plural(parts.length, "part")}, each sealed under a salt of its own</dd>
      </dl>
      {parts.length > 1 ? (
        <details>
          <summary>Parts</summary>
          <div class="scroll" tabIndex={0} role="region" aria-label="Parts">
            <table>
              <thead>
                <tr>
                  <th scope="col">Part</th>
                  <th scope="col" class="num">Content</th>
                  <th scope="col" class="num">Stored</th>
                </tr>
              </thead>
              <tbody>
                {parts.slice(0, 500).map((part, index) => (
                  <tr key={index}>
                    <td>{part.number}</td>
                    <td class="num">{count(plain(part))}</td>
                    <td class="num">{count(stored(part))}</td>
                  </tr>
                ))}
              </tbody>
            </table>
          </div>
        </details>
      ) : null}
    </Card>
  );
}

const WORDS: Record<string, string> = {
  kms_key: "KMS key",
  epoch: "Epoch key",
};

/** The chain as boxes with arrows: in one row where there is room, else below each other. */
export function Chain({ links }: { links: Link[] }) {
  const host = useRef<HTMLDivElement>(null);
  const [width, setWidth] = useState(900);
  useEffect(() => {
    const watch = new ResizeObserver(([entry]) => setWidth(entry!.contentRect.width));
    watch.observe(host.current!);
    return () => watch.disconnect();
  }, []);
  const [box, gap, height] = [168, 46, 92];
  const perRow = Math.max(1, Math.min(links.length, Math.floor((width + gap) / (box + gap))));
  const rows = Math.ceil(links.length / perRow);
  const [w, h] = [perRow * (box + gap) - gap, rows * (height + 36) - 36 + 4];
  const title = `Chain of keys: ${links.map((link) => `${name(link.kind)} ${link.id ?? ""}`).join(", wraps ")}`;
  return (
    <div ref={host}>
      <svg class="chain" viewBox={`0 -2 ${Math.max(w, 1)} ${Math.max(h, 1)}`} width={w} role="img" aria-label={title} style={{ maxWidth: `${w}px` }}>
        {links.map((link, index) => {
          const [column, line] = [index % perRow, Math.floor(index / perRow)];
          const [x, y] = [column * (box + gap), line * (height + 36)];
          const isRowEnd = column === perRow - 1;
          const isLast = index === links.length - 1;
          return (
            <g key={index} class={index === 0 ? "root" : isLast ? "leaf" : ""}>
              <rect x={x + 1} y={y} width={box - 2} height={height} rx={10} />
              <text class="kind" x={x + 14} y={y + 24}>
                {index === 0 ? "wrapped by nobody" : isLast ? "sealed under it" : `step ${index + 1}`}
              </text>
              <text x={x + 14} y={y + 44} font-weight="600">
                {name(link.kind)}
              </text>
              <text class="sub" x={x + 14} y={y + 62}>
                {short(link.id)}
                <title>{link.id ?? ""}</title>
              </text>
              <text class="sub" x={x + 14} y={y + 79}>
                {clip(link.algorithm ?? "", 20)}
                <title>{link.algorithm ?? ""}</title>
              </text>
              {isLast ? null : isRowEnd ? (
                <>
                  <path d={perRow === 1 ? `M${x + box / 2} ${y + height + 3}v24` : `M${x + box / 2} ${y + height + 3}v14H${box / 2}v10`} />
                  <path class="arrow" d={`M${box / 2 - 5} ${y + height + 26}h10l-5 8z`} />
                </>
              ) : (
                <>
                  <line x1={x + box + 4} y1={y + height / 2} x2={x + box + gap - 12} y2={y + height / 2} />
                  <path class="arrow" d={`M${x + box + gap - 13} ${y + height / 2 - 5}v10l9-5z`} />
                  <text class="sub" x={x + box + gap / 2 - 4} y={y + height / 2 - 8} text-anchor="middle">
                    {link.kind === "kms_key" ? "holds" : index === links.length - 2 ? "seals" : "wraps"}
                  </text>
                </>
              )}
            </g>
          );
        })}
      </svg>
    </div>
  );
}

const name = (kind: string): string => WORDS[kind] ?? kind.replace(/_/g, " ").replace(/^./, (first) => first.toUpperCase());
const clip = (text: string, most: number): string => (text.length > most ? `${text.slice(0, most - 1)}…` : text);
function short(id: string | null | undefined): string {
  const text = (id ?? "").split("/").pop()!;
  return text.length > 20 ? `${text.slice(0, 9)}…${text.slice(-8)}` : text;
}

function Verify({ query, customerKey, size }: { query: Record<string, string | undefined>; customerKey: string; size: number }) {
  const [state, setState] = useState<{ read: number; result?: any; running: boolean }>({ read: 0, running: false });
  const abort = useRef<AbortController | undefined>(undefined);
  useEffect(() => () => abort.current?.abort(), []);
  const run = async () => {
    abort.current = new AbortController();
    setState({ read: 0, running: true });
    try {
      await adminLines(
        "object/verify",
        query,
        await customerHeaders(customerKey),
        (line) => setState((before) => ({ read: line.bytes ?? before.read, result: "ok" in line ? line : undefined, running: true })),
        abort.current.signal,
      );
    } finally {
      setState((before) => ({ ...before, running: false }));
    }
  };
  const { result } = state;
  return (
    <Card
      title="Verify now"
      actions={
        <Button icon="shield" kind="primary" onClick={run}>
          Verify
        </Button>
      }
    >
      <div class="stack" aria-live="polite">
        <p>Reads the whole object from the medium and authenticates each chunk, as a download would.</p>
        {state.running && !result ? <progress max={size || 1} value={state.read} aria-label="Progress of the verification" /> : null}
        {result ? (
          result.ok ? (
            <p class="note good">
              <strong>Authentic.</strong>
              <span>
                {bytes(result.bytes)} in {plural(result.chunks ?? 0, "chunk")} were read. Not a bit differs from what was written.
              </span>
            </p>
          ) : (
            <p class="note danger">
              <strong>It can't be read.</strong>
              <span>{result.error}</span>
            </p>
          )
        ) : null}
      </div>
    </Card>
  );
}
