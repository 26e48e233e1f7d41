import { useState } from "preact/hooks";
import { BucketVersioningStatus, CreateBucketCommand, DeleteBucketCommand, ListBucketsCommand, PutBucketEncryptionCommand, PutBucketVersioningCommand, type Bucket } from "@aws-sdk/client-s3";
import { admin } from "../api/admin";
import { bytes, count, time } from "../format";
import { go, href } from "../router";
import { config, s3 } from "../session";
import { Button, Check, Confirm, FormModal, Head, Load, Menu, Select, Text, toast, useLoad } from "../ui/core";
import { KeyChoice } from "../ui/key-choice";
import { Table } from "../ui/table";

export function Buckets() {
  const [dialog, setDialog] = useState<"create" | { remove: string } | undefined>();
  const buckets = useLoad(async () => {
    const client = await s3();
    const all: Bucket[] = [];
    let ContinuationToken: string | undefined;
    do {
      const page = await client.send(new ListBucketsCommand({ ContinuationToken, MaxBuckets: 1000 }));
      all.push(...(page.Buckets ?? []));
      ContinuationToken = page.ContinuationToken;
    } while (ContinuationToken && all.length < 10_000);
    return all;
  }, []);
  // Who may not see usage sees the list without it.
  const usage = useLoad<Map<string, any>>(() => admin("usage").then((all) => new Map((all.buckets ?? []).map((one: any) => [one.name, one]))), []);
  const held = (name?: string) => usage.data?.get(name ?? "");
  const remove = async (name: string) => {
    await (await s3()).send(new DeleteBucketCommand({ Bucket: name }));
    toast(`${name} is deleted.`);
    setDialog(undefined);
    buckets.reload();
  };
  return (
    <div class="page">
      <Head title="Buckets">
        <Button icon="plus" kind="primary" onClick={() => setDialog("create")}>
          Create bucket
        </Button>
      </Head>
      <Load of={buckets}>
        {(rows) => (
          <Table
            caption="Buckets"
            rows={rows}
            id={(bucket) => bucket.Name!}
            text={(bucket) => bucket.Name!}
            empty={{ icon: "bucket", title: "No buckets yet", children: <p>A bucket holds objects. Every byte in it is encrypted, under a key that you choose.</p> }}
            columns={[
              { name: "Name", by: (bucket) => bucket.Name!, cell: (bucket) => <a href={href(["browse", bucket.Name!])}>{bucket.Name}</a> },
              { name: "Objects", kind: "num opt", by: ({ Name }) => held(Name)?.objects ?? 0, cell: ({ Name }) => (held(Name) ? count(held(Name).objects) : "–") },
              { name: "Size", kind: "num", by: ({ Name }) => held(Name)?.bytes ?? 0, cell: ({ Name }) => (held(Name) ? bytes(held(Name).bytes) : "–") },
              { name: "Quota", kind: "num opt", cell: ({ Name }) => (held(Name)?.quota_bytes ? bytes(held(Name).quota_bytes) : "–") },
              { name: "Created", kind: "opt", by: (bucket) => bucket.CreationDate?.getTime() ?? 0, cell: (bucket) => time(bucket.CreationDate) },
              {
                name: "",
                kind: "act",
                cell: ({ Name }) => (
                  <Menu
                    label={`Actions on ${Name}`}
                    items={[
                      { name: "Settings", icon: "policy", run: () => go(["bucket", Name!]) },
                      { name: "Delete", icon: "trash", danger: true, run: () => setDialog({ remove: Name! }) },
                    ]}
                  />
                ),
              },
            ]}
          />
        )}
      </Load>
      {dialog === "create" ? (
        <Create
          onClose={() => setDialog(undefined)}
          onDone={(name) => {
            toast(`${name} is created.`);
            go(["browse", name]);
          }}
        />
      ) : dialog ? (
        <Confirm title={`Delete ${dialog.remove}?`} submit="Delete bucket" typed={dialog.remove} onClose={() => setDialog(undefined)} onSubmit={() => remove(dialog.remove)}>
          <p>Only an empty bucket can be deleted: no objects, versions or unfinished uploads. Its settings go with it, and anybody may take its name.</p>
        </Confirm>
      ) : null}
    </div>
  );
}

function Create({ onClose, onDone }: { onClose: () => void; onDone: (name: string) => void }) {
  const [name, setName] = useState("");
  const [versioning, setVersioning] = useState(false);
  const [lock, setLock] = useState(false);
  const [mode, setMode] = useState("AES256");
  const [keyId, setKeyId] = useState("");
  const [bucketKey, setBucketKey] = useState(true);
  const [region, setRegion] = useState(config.value!.region);
  const create = async () => {
    const client = await s3();
    const constraint = region === "us-east-1" ? undefined : { LocationConstraint: region as any };
    await client.send(new CreateBucketCommand({ Bucket: name, ObjectLockEnabledForBucket: lock || undefined, CreateBucketConfiguration: constraint }));
    if (versioning && !lock) await client.send(new PutBucketVersioningCommand({ Bucket: name, VersioningConfiguration: { Status: BucketVersioningStatus.Enabled } }));
    if (mode !== "AES256") {
      const rule = { ApplyServerSideEncryptionByDefault: { SSEAlgorithm: mode as any, KMSMasterKeyID: keyId || undefined }, BucketKeyEnabled: mode === "aws:kms" && bucketKey };
      await client.send(new PutBucketEncryptionCommand({ Bucket: name, ServerSideEncryptionConfiguration: { Rules: [rule] } }));
    }
    onDone(name);
  };
  return (
    <FormModal title="Create bucket" submit="Create" onClose={onClose} onSubmit={create}>
      <Text label="Name" value={name} onInput={setName} required pattern="[a-z0-9][a-z0-9.\-]{1,61}[a-z0-9]" placeholder="my-bucket" hint="3 to 63 lower-case letters, digits, hyphens and dots." />
      <Text label="Region" value={region} onInput={setRegion} hint="The gateway's own, unless tools expect another name." />
      <Check label="Keep versions" checked={versioning || lock} disabled={lock} onChange={setVersioning} hint="What is overwritten or deleted can be restored." />
      <Check label="Object lock" checked={lock} onChange={setLock} hint="Versions can be kept from deletion for a time. Can't be turned off later." />
      <Select
        label="Default encryption"
        value={mode}
        onChange={setMode}
        options={[
          ["AES256", "SSE-S3: by a key of the gateway"],
          ["aws:kms", "SSE-KMS: by a key of your choice"],
          ["aws:kms:dsse", "DSSE-KMS: two layers, by a key of your choice"],
        ]}
      />
      {mode !== "AES256" ? <KeyChoice value={keyId} onChange={setKeyId} /> : null}
      {mode === "aws:kms" ? <Check label="Bucket key" checked={bucketKey} onChange={setBucketKey} hint="One call of the KMS for many objects." /> : null}
    </FormModal>
  );
}
