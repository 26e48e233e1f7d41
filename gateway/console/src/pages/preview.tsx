/**
 * What an object looks like, without running anything of it: text as text, tables as tables, and images from a blob of an image's type.
 */
import { useEffect, useState } from "preact/hooks";
import { GetObjectCommand, type HeadObjectCommandOutput } from "@aws-sdk/client-s3";
import { bytes } from "../format";
import { s3 } from "../session";
import { Badge, Card, Empty, Load, useLoad } from "../ui/core";
import type { Target } from "./download";

const MAX_TEXT = 256 * 1024;
const MAX_IMAGE = 20 * 1024 * 1024;
const MAX_ROWS = 200;
/** SVG is not among them: it is a document. */
const IMAGES: Record<string, string> = { png: "image/png", jpg: "image/jpeg", jpeg: "image/jpeg", gif: "image/gif", webp: "image/webp", avif: "image/avif", bmp: "image/bmp", ico: "image/x-icon" };
const TEXTS = /^(text\/|application\/(json|xml|javascript|x-ndjson|yaml|toml|sql|x-sh))|\+(json|xml)$/;

type Kind = "image" | "json" | "table" | "text" | "none";

function kindOf(name: string, type: string): Kind {
  const extension = name.slice(name.lastIndexOf(".") + 1).toLowerCase();
  if (extension in IMAGES || Object.values(IMAGES).includes(type)) return "image";
  if (extension === "json" || /\/json$|\+json$/.test(type)) return "json";
  if (extension === "csv" || extension === "tsv" || /\/csv$/.test(type)) return "table";
  if (TEXTS.test(type) || /^(txt|md|log|ya?ml|toml|ini|conf|xml|html?|svg|css|[jt]sx?|py|rs|go|java|c|h|cpp|sh|sql|ndjson|jsonl)$/.test(extension)) return "text";
  return "none";
}

export function Preview({ target, head, customer }: { target: Target; head: HeadObjectCommandOutput; customer: Record<string, unknown> }) {
  const type = (head.ContentType ?? "").split(";")[0]!.trim();
  const kind = kindOf(target.Key, type);
  const size = head.ContentLength ?? 0;
  const isTooLong = kind === "image" && size > MAX_IMAGE;
  const content = useLoad(async () => {
    if (kind === "none" || isTooLong || size === 0) return new Uint8Array();
    const Range = kind !== "image" && size > MAX_TEXT ? `bytes=0-${MAX_TEXT - 1}` : undefined;
    const answer = await (await s3()).send(new GetObjectCommand({ ...target, ...customer, Range }));
    return answer.Body!.transformToByteArray();
  }, []);
  if (kind === "none" || isTooLong) {
    return (
      <Card>
        <Empty icon="file" title="No preview">
          <p>{isTooLong ? `Images up to ${bytes(MAX_IMAGE)} are shown.` : `Files of type ${type || "unknown"} are not shown.`} Download it to see it.</p>
        </Empty>
      </Card>
    );
  }
  return (
    <Card title="Preview" actions={size > MAX_TEXT && kind !== "image" ? <Badge kind="warn">the first {bytes(MAX_TEXT)}</Badge> : null}>
      <Load of={content}>
        {(data) => {
          if (kind === "image") return <Image data={data} type={IMAGES[target.Key.slice(target.Key.lastIndexOf(".") + 1).toLowerCase()] ?? type} name={target.Key} />;
          const text = new TextDecoder().decode(data);
          if (kind === "table") return <Grid text={text} separator={target.Key.endsWith(".tsv") ? "\t" : ","} />;
          return (
            <pre tabIndex={0} aria-label="Content">
              {kind === "json" ? pretty(text) : text}
            </pre>
          );
        }}
      </Load>
    </Card>
  );
}

function pretty(text: string): string {
  try {
    return JSON.stringify(JSON.parse(text), null, 2);
  } catch {
    return text;
  }
}

function Image({ data, type, name }: { data: Uint8Array; type: string; name: string }) {
  const [address, setAddress] = useState("");
  useEffect(() => {
    const made = URL.createObjectURL(new Blob([data as BlobPart], { type }));
    setAddress(made);
    return () => URL.revokeObjectURL(made);
  }, [data]);
  return <div class="preview">{address ? <img src={address} alt={`Preview of ${name}`} /> : null}</div>;
}

/** Fields of RFC 4180: quoted ones may hold separators, line ends and doubled quotes. */
export function parseTable(text: string, separator: string, most: number): string[][] {
  const rows: string[][] = [];
  let fields: string[] = [];
  let field = "";
  let quoted = false;
  for (let at = 0; at < text.length && rows.length < most; at += 1) {
    const one = text[at]!;
    if (quoted) {
      if (one !== '"') field += one;
      else if (text[at + 1] === '"') {
        field += '"';
        at += 1;
      } else quoted = false;
    } else if (one === '"' && field === "") quoted = true;
    else if (one === separator) {
      fields.push(field);
      field = "";
    } else if (one === "\n") {
      fields.push(field.replace(/\r$/, ""));
      rows.push(fields);
      fields = [];
      field = "";
    } else field += one;
  }
  if ((field || fields.length) && rows.length < most) rows.push([...fields, field]);
  return rows;
}

function Grid({ text, separator }: { text: string; separator: string }) {
  const [names = [], ...rows] = parseTable(text, separator, MAX_ROWS + 1);
  return (
    <div class="scroll" tabIndex={0} role="region" aria-label="Table">
      <table>
        <thead>
          <tr>
            {names.map((name, index) => (
              <th key={index} scope="col">
                {name}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {rows.map((row, index) => (
            <tr key={index}>
              {row.map((field, at) => (
                <td key={at}>{field}</td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}
