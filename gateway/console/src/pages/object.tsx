import { useState } from "preact/hooks";
import {
  CopyObjectCommand, DeleteObjectCommand, GetObjectLegalHoldCommand, GetObjectLockConfigurationCommand, GetObjectRetentionCommand, GetObjectTaggingCommand, HeadObjectCommand,
  ListObjectVersionsCommand, PutObjectLegalHoldCommand, PutObjectRetentionCommand, PutObjectTaggingCommand, type HeadObjectCommandOutput,
} from "@aws-sdk/client-s3";
import { optional, trouble } from "../api/errors";
import { bytes, time } from "../format";
import { go, href } from "../router";
import { s3 } from "../session";
import { Badge, Button, Card, Check, Confirm, Copy, ErrorNote, Field, Head, Load, Modal, Select, Tabs, toast, useLoad } from "../ui/core";
import { CustomerKey, customerParameters } from "../ui/encryption-choice";
import { Table } from "../ui/table";
import { TagEditor } from "../ui/tags";
import { presign, saveObject, type Target } from "./download";
import { Encryption } from "./encryption";
import { Preview } from "./preview";

const TABS: [string, string][] = [["overview", "Overview"], ["encryption", "Encryption"], ["preview", "Preview"], ["versions", "Versions"], ["tags", "Tags"], ["lock", "Retention"]];

/** Keys of SSE-C objects that were typed in, for as long as the tab is open. */
const customerKeys = new Map<string, string>();

export function ObjectPage({ parts, query }: { parts: string[]; query: URLSearchParams }) {
  const [bucket, key] = [parts[0]!, parts[1]!];
  const versionId = query.get("versionId") ?? undefined;
  const target: Target = { Bucket: bucket, Key: key, VersionId: versionId };
  const name = `${bucket}/${key}`;
  const [customerKey, setCustomerKey] = useState(customerKeys.get(name) ?? "");
  const [typed, setTyped] = useState("");
  const [dialog, setDialog] = useState("");
  const tab = query.get("tab") ?? "overview";
  const customer = customerParameters(customerKey);
  const object = useLoad(async () => (await s3()).send(new HeadObjectCommand({ ...target, ...customer, ChecksumMode: "ENABLED" })), [bucket, key, versionId, customerKey]);
  // Nobody says in a HEAD's answer why it is refused: 400 is what a missing or a wrong customer key gets.
  const needsKey = object.error && trouble(object.error).status === 400;
  const parent = key.slice(0, key.lastIndexOf("/", key.length - 2) + 1);
  const remember = () => {
    customerParameters(typed);
    customerKeys.set(name, typed);
    setCustomerKey(typed);
  };
  return (
    <div class="page">
      <Head
        title={key.slice(parent.length) || key}
        crumbs={
          <>
            <a href={href(["buckets"])}>Buckets</a>
            <span>/</span>
            <a href={href(["browse", bucket])}>{bucket}</a>
            {parent ? (
              <>
                <span>/</span>
                <a href={href(["browse", bucket], { prefix: parent })}>{parent}</a>
              </>
            ) : null}
          </>
        }
      >
        {object.data ? (
          <>
            <Button icon="download" kind="primary" onClick={() => saveObject(target, object.data!.ContentLength ?? 0, customer)}>
              Download
            </Button>
            <Button icon="share" onClick={() => setDialog("share")}>
              Share
            </Button>
          </>
        ) : null}
        <Button icon="trash" kind="danger" onClick={() => setDialog("delete")}>
          Delete
        </Button>
      </Head>
      {versionId ? (
        <div class="row">
          <Badge kind="info">version {versionId}</Badge>
          <a href={href(["object", bucket, key])}>the current one</a>
        </div>
      ) : null}
      <Tabs tabs={TABS} value={tab} onChange={(id) => go(["object", bucket, key], { versionId, tab: id })} />
      {tab === "versions" ? (
        <Versions bucket={bucket} name={key} />
      ) : needsKey ? (
        <Card title="This object needs its key">
          <form class="stack" onSubmit={(event) => { event.preventDefault(); try { remember(); } catch (error) { toast(String((error as Error).message), "danger"); } }}>
            <p>It is encrypted under a customer key (SSE-C), or the version is a delete marker. The gateway does not have the key: enter it to go on.</p>
            {customerKey ? <p class="note danger">The key that you entered is not this object's.</p> : null}
            <CustomerKey value={typed} onInput={setTyped} />
            <div class="row">
              <button class="btn primary" type="submit">
                Use this key
              </button>
            </div>
          </form>
        </Card>
      ) : (
        <Load of={object}>
          {(head) =>
            tab === "encryption" ? (
              <Encryption target={target} head={head} customerKey={customerKey} />
            ) : tab === "preview" ? (
              <Preview target={target} head={head} customer={customer} />
            ) : tab === "tags" ? (
              <Tags target={target} />
            ) : tab === "lock" ? (
              <Lock target={target} />
            ) : (
              <Facts head={head} target={target} />
            )
          }
        </Load>
      )}
      {dialog === "share" ? <Share target={target} isCustomer={customerKey !== ""} onClose={() => setDialog("")} /> : null}
      {dialog === "delete" ? <Remove target={target} onClose={() => setDialog("")} onDone={() => go(["browse", bucket], { prefix: parent })} /> : null}
    </div>
  );
}

function Facts({ head, target }: { head: HeadObjectCommandOutput; target: Target }) {
  const checksum = head.ChecksumCRC64NVME ?? head.ChecksumCRC32 ?? head.ChecksumCRC32C ?? head.ChecksumSHA256 ?? head.ChecksumSHA1;
  const rows: [string, preact.ComponentChildren][] = [
    ["Size", `${bytes(head.ContentLength)} (${(head.ContentLength ?? 0).toLocaleString("en")} bytes)`],
    ["Changed", time(head.LastModified)],
    ["Type", head.ContentType],
    ["ETag", <code>{head.ETag}</code>],
    ["Checksum", checksum ? <code>{checksum}</code> : "none"],
    ["Storage class", head.StorageClass ?? "STANDARD"],
    ["Version", head.VersionId ? <code>{head.VersionId}</code> : "not kept"],
    ["Encryption", head.SSECustomerAlgorithm ? "SSE-C" : (head.ServerSideEncryption ?? "–")],
    ["S3 URI", <Copy value={`s3://${target.Bucket}/${target.Key}`} />],
    ["ARN", <Copy value={`arn:aws:s3:::${target.Bucket}/${target.Key}`} />],
  ];
  for (const [name, value] of Object.entries(head.Metadata ?? {})) rows.push([`x-amz-meta-${name}`, value]);
  return (
    <Card title="About this object">
      <dl class="facts">
        {rows.map(([name, value]) => (
          <>
            <dt>{name}</dt>
            <dd>{value}</dd>
          </>
        ))}
      </dl>
    </Card>
  );
}

function Versions({ bucket, name }: { bucket: string; name: string }) {
  const [removing, setRemoving] = useState<Target | undefined>();
  const versions = useLoad(async () => {
    const page = await (await s3()).send(new ListObjectVersionsCommand({ Bucket: bucket, Prefix: name, MaxKeys: 1000 }));
    const all = [...(page.Versions ?? []).map((one) => ({ ...one, isMarker: false })), ...(page.DeleteMarkers ?? []).map((one) => ({ ...one, isMarker: true, Size: undefined as number | undefined }))];
    return all.filter(({ Key }) => Key === name).sort((a, b) => (b.LastModified?.getTime() ?? 0) - (a.LastModified?.getTime() ?? 0));
  }, [bucket, name]);
  const restore = async (version: string) => {
    const source = `${bucket}/${name.split("/").map(encodeURIComponent).join("/")}?versionId=${encodeURIComponent(version)}`;
    await (await s3()).send(new CopyObjectCommand({ Bucket: bucket, Key: name, CopySource: source }));
    toast("Restored: that version is the current one again.");
    versions.reload();
  };
  return (
    <>
      <Load of={versions}>
        {(rows) => (
          <Table
            caption="Versions"
            rows={rows}
            id={(one) => one.VersionId!}
            empty={{ icon: "file", title: "No versions" }}
            columns={[
              { name: "Version", cell: (one) => (one.isMarker ? <code>{one.VersionId}</code> : <a class="mono" href={href(["object", bucket, name], { versionId: one.VersionId })}>{one.VersionId}</a>) },
              { name: "", cell: (one) => (one.isMarker ? <Badge kind="warn">delete marker</Badge> : one.IsLatest ? <Badge kind="accent">current</Badge> : null) },
              { name: "Changed", cell: (one) => time(one.LastModified) },
              { name: "Size", kind: "num", cell: (one) => (one.isMarker ? "" : bytes(one.Size)) },
              {
                name: " ",
                kind: "act",
                cell: (one) => (
                  <span class="row tight end">
                    {one.isMarker || one.IsLatest ? null : (
                      <Button kind="small" onClick={() => restore(one.VersionId!)}>
                        Restore
                      </Button>
                    )}
                    <Button kind="small danger" icon="trash" label={`Delete version ${one.VersionId}`} onClick={() => setRemoving({ Bucket: bucket, Key: name, VersionId: one.VersionId })} />
                  </span>
                ),
              },
            ]}
          />
        )}
      </Load>
      {removing ? <Remove target={removing} onClose={() => setRemoving(undefined)} onDone={() => { setRemoving(undefined); versions.reload(); }} /> : null}
    </>
  );
}

interface Held {
  mode?: string;
  until?: Date;
  isHeld: boolean;
}

async function held(target: Target): Promise<Held | undefined> {
  const client = await s3();
  const optionally = async <T,>(promise: Promise<T>) => {
    try {
      return await optional(promise);
    } catch (error) {
      if (/InvalidRequest/.test(trouble(error).code)) return undefined;
      throw error;
    }
  };
  const lock = await optionally(client.send(new GetObjectLockConfigurationCommand({ Bucket: target.Bucket })));
  if (!lock) return undefined;
  const [retention, hold] = await Promise.all([optionally(client.send(new GetObjectRetentionCommand(target))), optionally(client.send(new GetObjectLegalHoldCommand(target)))]);
  return { mode: retention?.Retention?.Mode, until: retention?.Retention?.RetainUntilDate, isHeld: hold?.LegalHold?.Status === "ON" };
}

function Remove({ target, onClose, onDone }: { target: Target; onClose: () => void; onDone: () => void }) {
  const lock = useLoad(() => held(target), []);
  const [bypass, setBypass] = useState(false);
  const isKept = lock.data?.until !== undefined && lock.data.until > new Date();
  const forGood = target.VersionId !== undefined;
  const remove = async () => {
    await (await s3()).send(new DeleteObjectCommand({ ...target, BypassGovernanceRetention: bypass || undefined }));
    toast(forGood ? "The version is deleted." : "Deleted.");
    onDone();
  };
  return (
    <Confirm title={forGood ? "Delete this version for good?" : `Delete ${target.Key}?`} submit="Delete" onClose={onClose} onSubmit={remove}>
      {lock.error ? <p class="muted">Whether a lock forbids it is not shown to you.</p> : null}
      {forGood && lock.data?.isHeld ? <p class="note danger">A legal hold is on this version. It can't be deleted until the hold is taken off.</p> : null}
      {forGood && isKept ? (
        <p class="note danger">
          Retention in {lock.data!.mode} mode keeps this version until {time(lock.data!.until)}. {lock.data!.mode === "COMPLIANCE" ? "Nobody can delete it before, not even the root user." : "Only who may bypass governance retention can delete it before."}
        </p>
      ) : null}
      {forGood && isKept && lock.data!.mode === "GOVERNANCE" ? <Check label="Bypass governance retention" checked={bypass} onChange={setBypass} /> : null}
      {forGood ? <p>Its content key is forgotten with it: there is no way back.</p> : <p>In a bucket that keeps versions this puts a delete marker, and the object can be restored. Without versions it is for good.</p>}
    </Confirm>
  );
}

function Share({ target, isCustomer, onClose }: { target: Target; isCustomer: boolean; onClose: () => void }) {
  const [seconds, setSeconds] = useState("3600");
  const [address, setAddress] = useState("");
  return (
    <Modal title="Share by a link" onClose={onClose}>
      {isCustomer ? <p class="note warn">This object is under a customer key. Whoever has the link needs the key, too, and has to send it as headers.</p> : <p>Whoever has the link can read this object until it expires, with your permissions and without signing in.</p>}
      <Select label="Valid for" value={seconds} onChange={setSeconds} options={[["900", "15 minutes"], ["3600", "1 hour"], ["43200", "12 hours"], ["86400", "1 day"], ["604800", "7 days"]]} hint="A link that a session made ends with the session." />
      <div class="row">
        <Button kind="primary" onClick={async () => setAddress(await presign(target, Number(seconds)))}>
          Make the link
        </Button>
      </div>
      {address ? (
        <Field label="Link">
          <textarea readOnly value={address} onFocus={(event) => event.currentTarget.select()} />
        </Field>
      ) : null}
      {address ? <Copy value={address} label="Copy the link"><span>Copy it</span></Copy> : null}
    </Modal>
  );
}

function Tags({ target }: { target: Target }) {
  const tags = useLoad(async () => (await (await s3()).send(new GetObjectTaggingCommand(target))).TagSet ?? [], []);
  const save = async (pairs: [string, string][]) => {
    await (await s3()).send(new PutObjectTaggingCommand({ ...target, Tagging: { TagSet: pairs.map(([Key, Value]) => ({ Key, Value })) } }));
    toast("Tags are saved.");
    tags.reload();
  };
  return <Load of={tags}>{(set) => <TagEditor key={JSON.stringify(set)} tags={set.map(({ Key, Value }) => [Key!, Value!])} most={10} onSave={save} />}</Load>;
}

function Lock({ target }: { target: Target }) {
  const lock = useLoad(() => held(target), []);
  return (
    <Load of={{ ...lock, data: lock.loading ? undefined : { held: lock.data } }}>
      {({ held: now }) =>
        now ? (
          <LockForm key={JSON.stringify(now)} target={target} now={now} onDone={lock.reload} />
        ) : (
          <Card title="No object lock">
            <p>
              This bucket has no object lock, so versions can't be retained. <a href={href(["bucket", target.Bucket], { tab: "lock" })}>Turn it on</a> in the bucket's settings; it needs versions.
            </p>
          </Card>
        )
      }
    </Load>
  );
}

function LockForm({ target, now, onDone }: { target: Target; now: Held; onDone: () => void }) {
  const [mode, setMode] = useState(now.mode ?? "GOVERNANCE");
  const [until, setUntil] = useState((now.until ?? new Date(Date.now() + 30 * 86_400_000)).toISOString().slice(0, 10));
  const [bypass, setBypass] = useState(false);
  const [error, setError] = useState<unknown>();
  const attempt = async (work: () => Promise<unknown>) => {
    setError(undefined);
    try {
      await work();
      toast("Saved.");
      onDone();
    } catch (problem) {
      setError(problem);
    }
  };
  const retain = async () => (await s3()).send(new PutObjectRetentionCommand({ ...target, Retention: { Mode: mode as any, RetainUntilDate: new Date(`${until}T00:00:00Z`) }, BypassGovernanceRetention: bypass || undefined }));
  const hold = async () => (await s3()).send(new PutObjectLegalHoldCommand({ ...target, LegalHold: { Status: now.isHeld ? "OFF" : "ON" } }));
  return (
    <div class="grid">
      <Card title="Retention" actions={now.until && now.until > new Date() ? <Badge kind="warn">until {time(now.until)}</Badge> : <Badge>none</Badge>}>
        <div class="stack">
          <Select label="Mode" value={mode} onChange={setMode} options={[["GOVERNANCE", "Governance: who may bypass it can shorten it"], ["COMPLIANCE", "Compliance: nobody can shorten it"]]} />
          <Field label="Keep until" hint="Midnight, UTC.">
            <input type="date" value={until} onInput={(event) => setUntil(event.currentTarget.value)} />
          </Field>
          {now.mode === "GOVERNANCE" ? <Check label="Bypass governance retention" checked={bypass} onChange={setBypass} /> : null}
          {mode === "COMPLIANCE" ? <p class="note warn">Compliance mode can't be undone by anybody before that day.</p> : null}
          <div class="row">
            <Button kind="primary" onClick={() => attempt(retain)}>
              Retain
            </Button>
          </div>
        </div>
      </Card>
      <Card title="Legal hold" actions={<Badge kind={now.isHeld ? "warn" : ""}>{now.isHeld ? "on" : "off"}</Badge>}>
        <div class="stack">
          <p>A legal hold keeps this version, without an end, until somebody takes it off.</p>
          <div class="row">
            <Button onClick={() => attempt(hold)}>{now.isHeld ? "Take the hold off" : "Put a hold on it"}</Button>
          </div>
        </div>
      </Card>
      {error ? <ErrorNote error={error} /> : null}
    </div>
  );
}
