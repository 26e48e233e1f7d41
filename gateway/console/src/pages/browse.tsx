/** Objects of a bucket: prefixes, search, upload. */
import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import { DeleteObjectsCommand, ListObjectsV2Command, ListObjectVersionsCommand, type _Object } from "@aws-sdk/client-s3";
import { bytes, count, plural, time } from "../format";
import { go, href } from "../router";
import { s3 } from "../session";
import { Button, Check, Confirm, Empty, ErrorNote, FormModal, Head, Icon, Menu, toast, useLoad } from "../ui/core";
import { asTheBucketSays, EncryptionChoice, writeOptions } from "../ui/encryption-choice";
import { finished, upload } from "../ui/transfers";
import { collect, type Named } from "./dropped";

interface Row {
  key: string;
  name: string;
  isPrefix: boolean;
  size: number;
  changed: number;
  storage: string;
  versionId?: string;
  isLatest?: boolean;
  isMarker?: boolean;
}

/** Names that are asked for at most: a list is for people. */
const MOST = 50_000;
const ROW = 36;

async function list(bucket: string, prefix: string, flat: boolean, versions: boolean, progress: (rows: Row[]) => void, stopped: () => boolean): Promise<{ rows: Row[]; isWhole: boolean }> {
  const client = await s3();
  const rows: Row[] = [];
  const seen = new Set<string>();
  const Delimiter = flat ? undefined : "/";
  let token: string | undefined;
  let marker: { KeyMarker?: string; VersionIdMarker?: string } = {};
  for (;;) {
    let prefixes: { Prefix?: string }[] | undefined;
    let isTruncated: boolean | undefined;
    if (versions) {
      const page = await client.send(new ListObjectVersionsCommand({ Bucket: bucket, Prefix: prefix, Delimiter, ...marker }));
      const take = (one: any, isMarker: boolean) => rows.push({ ...row(one, prefix), versionId: one.VersionId, isLatest: one.IsLatest, isMarker });
      page.Versions?.forEach((one) => take(one, false));
      page.DeleteMarkers?.forEach((one) => take(one, true));
      prefixes = page.CommonPrefixes;
      isTruncated = page.IsTruncated;
      marker = { KeyMarker: page.NextKeyMarker, VersionIdMarker: page.NextVersionIdMarker };
    } else {
      const page = await client.send(new ListObjectsV2Command({ Bucket: bucket, Prefix: prefix, Delimiter, ContinuationToken: token }));
      page.Contents?.forEach((one) => one.Key !== prefix && rows.push(row(one, prefix)));
      prefixes = page.CommonPrefixes;
      isTruncated = page.IsTruncated;
      token = page.NextContinuationToken;
    }
    for (const { Prefix } of prefixes ?? []) {
      if (!Prefix || seen.has(Prefix)) continue;
      seen.add(Prefix);
      rows.push({ key: Prefix, name: Prefix.slice(prefix.length), isPrefix: true, size: 0, changed: 0, storage: "" });
    }
    if (!isTruncated) return { rows, isWhole: true };
    if (rows.length >= MOST || stopped()) return { rows, isWhole: false };
    progress([...rows]);
  }
}

const row = (one: _Object, prefix: string): Row => ({
  key: one.Key!,
  name: one.Key!.slice(prefix.length),
  isPrefix: false,
  size: one.Size ?? 0,
  changed: one.LastModified?.getTime() ?? 0,
  storage: one.StorageClass ?? "STANDARD",
});

type Order = "name" | "size" | "changed";

export function Browse({ parts, query }: { parts: string[]; query: URLSearchParams }) {
  const bucket = parts[0]!;
  const prefix = query.get("prefix") ?? "";
  const [search, setSearch] = useState("");
  const [flat, setFlat] = useState(false);
  const [versions, setVersions] = useState(false);
  const [partial, setPartial] = useState<Row[]>([]);
  const [order, setOrder] = useState<{ by: Order; down: boolean }>({ by: "name", down: false });
  const [chosen, setChosen] = useState<Set<string>>(new Set());
  const [pending, setPending] = useState<Named[] | undefined>();
  const [removing, setRemoving] = useState<Row[] | undefined>();
  const [dropping, setDropping] = useState(false);
  const files = useRef<HTMLInputElement>(null);
  const folder = useRef<HTMLInputElement>(null);
  const done = finished.value;
  const epoch = useRef(0);
  const listed = useLoad(() => {
    const mine = ++epoch.current;
    setPartial([]);
    return list(bucket, prefix, flat, versions, (rows) => mine === epoch.current && setPartial(rows), () => mine !== epoch.current);
  }, [bucket, prefix, flat, versions]);
  const shown = useRef(done);
  useEffect(() => {
    if (done !== shown.current) listed.reload();
    shown.current = done;
  }, [done]);
  useEffect(() => setChosen(new Set()), [bucket, prefix, flat, versions]);

  const all = listed.data?.rows ?? partial;
  const rows = useMemo(() => {
    const wanted = search.toLowerCase();
    const found = wanted ? all.filter(({ name }) => name.toLowerCase().includes(wanted)) : [...all];
    const sign = order.down ? -1 : 1;
    return found.sort((a, b) => {
      if (a.isPrefix !== b.isPrefix) return a.isPrefix ? -1 : 1;
      const by = order.by === "name" ? (a.name < b.name ? -1 : a.name > b.name ? 1 : b.changed - a.changed) : a[order.by] - b[order.by];
      return sign * by;
    });
  }, [all, search, order]);
  const id = (one: Row) => `${one.key}\u0000${one.versionId ?? ""}`;
  const selected = rows.filter((one) => chosen.has(id(one)));

  const offer = async (found: Promise<Named[]> | Named[]) => {
    const named = await found;
    if (named.length) setPending(named.map(({ name, file }) => ({ name: prefix + name, file })));
  };
  const steps = prefix.split("/").filter((step, index, all) => step || index < all.length - 1);
  return (
    <div
      class={`page fill ${dropping ? "dropping" : ""}`}
      onDragOver={(event) => {
        event.preventDefault();
        setDropping(true);
      }}
      onDragLeave={(event) => event.currentTarget === event.target && setDropping(false)}
      onDrop={(event) => {
        event.preventDefault();
        setDropping(false);
        if (event.dataTransfer) void offer(collect(event.dataTransfer));
      }}
    >
      <Head
        title={bucket}
        crumbs={
          <>
            <a href={href(["buckets"])}>Buckets</a>
            <span>/</span>
            <a href={href(["browse", bucket])}>{bucket}</a>
            {steps.map((step, index) => (
              <>
                <span>/</span>
                <a href={href(["browse", bucket], { prefix: `${steps.slice(0, index + 1).join("/")}/` })}>{step || "(empty)"}</a>
              </>
            ))}
          </>
        }
      >
        <Button icon="upload" kind="primary" onClick={() => files.current!.click()}>
          Upload
        </Button>
        <Menu
          label="More"
          items={[
            { name: "Upload a folder", icon: "folder", run: () => folder.current!.click() },
            { name: "Bucket settings", icon: "policy", run: () => go(["bucket", bucket]) },
            { name: "Read again", icon: "refresh", run: listed.reload },
          ]}
        />
        <input ref={files} type="file" multiple hidden aria-label="Files to upload" onChange={(event) => { void offer([...(event.currentTarget.files ?? [])].map((file) => ({ name: file.name, file }))); event.currentTarget.value = ""; }} />
        <input ref={folder} type="file" hidden aria-label="Folder to upload" {...{ webkitdirectory: true }} onChange={(event) => { void offer([...(event.currentTarget.files ?? [])].map((file) => ({ name: file.webkitRelativePath || file.name, file }))); event.currentTarget.value = ""; }} />
      </Head>
      <div class="row">
        <input class="search" type="search" placeholder="Search here" aria-label="Search in this list" value={search} onInput={(event) => setSearch(event.currentTarget.value)} />
        <Check label="Below all prefixes" checked={flat} onChange={setFlat} />
        <Check label="Versions" checked={versions} onChange={setVersions} />
        <span class="grow" />
        {selected.length ? (
          <>
            <span class="muted">{plural(selected.length, "chosen item")}</span>
            <Button icon="trash" kind="danger" onClick={() => setRemoving(selected)}>
              Delete
            </Button>
          </>
        ) : null}
      </div>
      {listed.error ? <ErrorNote error={listed.error} retry={listed.reload} /> : null}
      {!listed.error && !listed.loading && !all.length ? (
        <div class="card">
          <Empty icon="upload" title={prefix ? "Nothing below this prefix" : "This bucket is empty"}>
            <p>Drop files and folders here, or press Upload.</p>
          </Empty>
        </div>
      ) : !listed.error ? (
        <List {...{ rows, order, setOrder, chosen, setChosen, id, versions, bucket }} busy={listed.loading} isWhole={listed.data?.isWhole ?? true} onRemove={(one) => setRemoving([one])} />
      ) : null}
      {pending ? <UploadDialog bucket={bucket} files={pending} onClose={() => setPending(undefined)} /> : null}
      {removing ? (
        <Remove
          bucket={bucket}
          rows={removing}
          onClose={() => setRemoving(undefined)}
          onDone={() => {
            setRemoving(undefined);
            setChosen(new Set());
            listed.reload();
          }}
        />
      ) : null}
    </div>
  );
}

interface ListProps {
  rows: Row[];
  order: { by: Order; down: boolean };
  setOrder: (order: { by: Order; down: boolean }) => void;
  chosen: Set<string>;
  setChosen: (chosen: Set<string>) => void;
  id: (row: Row) => string;
  versions: boolean;
  bucket: string;
  busy: boolean;
  isWhole: boolean;
  onRemove: (row: Row) => void;
}

/** Only rows in sight are in the document: ten thousand names scroll as ten do. */
function List({ rows, order, setOrder, chosen, setChosen, id, versions, bucket, busy, isWhole, onRemove }: ListProps) {
  const body = useRef<HTMLDivElement>(null);
  const [view, setView] = useState({ top: 0, height: 800 });
  useEffect(() => {
    const host = body.current!;
    const see = () => setView({ top: host.scrollTop, height: host.clientHeight });
    see();
    const watch = new ResizeObserver(see);
    watch.observe(host);
    host.addEventListener("scroll", see, { passive: true });
    return () => {
      watch.disconnect();
      host.removeEventListener("scroll", see);
    };
  }, []);
  const first = Math.max(0, Math.floor(view.top / ROW) - 8);
  const last = Math.min(rows.length, Math.ceil((view.top + view.height) / ROW) + 8);
  const head = (by: Order, name: string, kind = "") => (
    <span role="columnheader" class={kind} aria-sort={order.by === by ? (order.down ? "descending" : "ascending") : "none"}>
      <button type="button" onClick={() => setOrder({ by, down: order.by === by ? !order.down : by !== "name" })}>
        {name}
        {order.by === by ? (order.down ? " ↓" : " ↑") : ""}
      </button>
    </span>
  );
  const toggle = (one: Row, on: boolean) => {
    const next = new Set(chosen);
    if (on) next.add(id(one));
    else next.delete(id(one));
    setChosen(next);
  };
  const eligible = rows.filter(({ isPrefix }) => !isPrefix);
  return (
    <div class="list">
      <div role="table" aria-label="Objects" aria-rowcount={rows.length + 1}>
      <div class="lr lh" role="row">
        <span role="columnheader">
          <input type="checkbox" aria-label="Choose all" checked={eligible.length > 0 && chosen.size >= eligible.length} onChange={(event) => setChosen(event.currentTarget.checked ? new Set(eligible.map(id)) : new Set())} />
        </span>
        {head("name", "Name")}
        {head("size", "Size", "r")}
        {head("changed", "Changed", "opt")}
        <span role="columnheader" class="opt">
          {versions ? "Version" : "Class"}
        </span>
        <span role="columnheader">
          <span class="sr">Actions</span>
        </span>
      </div>
      <div class="lb" ref={body} role="rowgroup" tabIndex={0} aria-label="Rows">
        <div aria-hidden="true" style={{ height: `${rows.length * ROW}px` }} />
        {rows.slice(first, last).map((one, index) => (
          <div key={id(one)} class={`lr ${chosen.has(id(one)) ? "on" : ""}`} role="row" aria-rowindex={first + index + 2} style={{ top: `${(first + index) * ROW}px` }}>
            <span role="cell">{one.isPrefix ? null : <input type="checkbox" aria-label={`Choose ${one.name}`} checked={chosen.has(id(one))} onChange={(event) => toggle(one, event.currentTarget.checked)} />}</span>
            <span role="cell" class="nm">
              <Icon name={one.isPrefix ? "folder" : "file"} size={16} />
              <a href={one.isPrefix ? href(["browse", bucket], { prefix: one.key }) : href(["object", bucket, one.key], { versionId: versions ? one.versionId : undefined })} title={one.key}>
                {one.name || "(empty)"}
              </a>
              {one.isMarker ? <span class="badge warn">deleted</span> : null}
            </span>
            <span role="cell" class="r">
              {one.isPrefix || one.isMarker ? "" : bytes(one.size)}
            </span>
            <span role="cell" class="m opt">
              {one.isPrefix ? "" : time(one.changed)}
            </span>
            <span role="cell" class="m opt" title={one.versionId}>
              {versions ? (one.isPrefix ? "" : one.isLatest ? "current" : (one.versionId ?? "").slice(0, 10)) : one.storage}
            </span>
            <span role="cell">
              {one.isPrefix ? null : (
                <button type="button" class="btn ghost icon small" aria-label={`Delete ${one.name}`} title="Delete" onClick={() => onRemove(one)}>
                  <Icon name="trash" size={15} />
                </button>
              )}
            </span>
          </div>
        ))}
      </div>
      </div>
      <div class="lf" role="status">
        {busy ? "Reading… " : ""}
        {count(rows.length)} {rows.length === 1 ? "entry" : "entries"}
        {isWhole ? "" : `, the first of more: narrow it down by a prefix`}
      </div>
    </div>
  );
}

function UploadDialog({ bucket, files, onClose }: { bucket: string; files: Named[]; onClose: () => void }) {
  const [choice, setChoice] = useState(asTheBucketSays);
  const total = files.reduce((sum, { file }) => sum + file.size, 0);
  return (
    <FormModal
      title={`Upload ${plural(files.length, "file")}`}
      submit="Upload"
      onClose={onClose}
      onSubmit={async () => {
        upload(bucket, files, writeOptions(choice));
        onClose();
      }}
    >
      <p class="muted">
        {bytes(total)} in all, to <code>{bucket}</code>. Objects of the same name are replaced; a bucket that keeps versions keeps the former ones.
      </p>
      <ul class="plain scroll">
        {files.slice(0, 6).map(({ name, file }) => (
          <li key={name} class="row">
            <span class="grow mono">{name}</span>
            <small>{bytes(file.size)}</small>
          </li>
        ))}
        {files.length > 6 ? <li class="muted">… and {files.length - 6} more</li> : null}
      </ul>
      <EncryptionChoice value={choice} onChange={setChoice} />
    </FormModal>
  );
}

function Remove({ bucket, rows, onClose, onDone }: { bucket: string; rows: Row[]; onClose: () => void; onDone: () => void }) {
  const forGood = rows.some(({ versionId }) => versionId !== undefined);
  const remove = async () => {
    const client = await s3();
    const failures: string[] = [];
    for (let at = 0; at < rows.length; at += 1000) {
      const Objects = rows.slice(at, at + 1000).map(({ key, versionId }) => ({ Key: key, VersionId: versionId }));
      const answer = await client.send(new DeleteObjectsCommand({ Bucket: bucket, Delete: { Objects, Quiet: true }, ChecksumAlgorithm: "CRC32" }));
      for (const one of answer.Errors ?? []) failures.push(`${one.Key}: ${one.Message ?? one.Code}`);
    }
    if (failures.length) throw new Error(`${plural(failures.length, "object")} not deleted. ${failures.slice(0, 3).join(" ")}`);
    toast(`${plural(rows.length, "object")} deleted.`);
    onDone();
  };
  return (
    <Confirm title={`Delete ${plural(rows.length, forGood ? "version" : "object")}?`} submit="Delete" onClose={onClose} onSubmit={remove}>
      {forGood ? (
        <p class="note warn">These versions are deleted for good. One that is under retention or a legal hold stays: the gateway refuses it.</p>
      ) : (
        <p>In a bucket that keeps versions this puts delete markers, and the objects can be restored. Without versions it is for good.</p>
      )}
      <ul class="bullets mono">
        {rows.slice(0, 8).map((one) => (
          <li key={one.key + one.versionId}>{one.key}</li>
        ))}
        {rows.length > 8 ? <li>… and {count(rows.length - 8)} more</li> : null}
      </ul>
    </Confirm>
  );
}

