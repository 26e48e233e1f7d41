/** A bucket's settings, one tab for each kind. */
import { useState } from "preact/hooks";
import * as sdk from "@aws-sdk/client-s3";
import { admin, adminPut } from "../api/admin";
import { optional } from "../api/errors";
import { bytes, count, parseBytes, plural, time } from "../format";
import { go, href } from "../router";
import { s3 } from "../session";
import { Badge, Button, Card, Check, Confirm, ErrorNote, Head, Load, Select, Tabs, Text, toast, useLoad, type Loaded } from "../ui/core";
import { KeyChoice } from "../ui/key-choice";
import { PolicyEditor, faults } from "../ui/policy-editor";
import { Simulation } from "../ui/simulation";
import { Table } from "../ui/table";
import { TagEditor } from "../ui/tags";
import { More } from "./bucket-more";
import { Cors } from "./bucket-cors";
import { Lifecycle } from "./lifecycle";

const TABS: [string, string][] = [
  ["encryption", "Encryption"], ["versioning", "Versioning"], ["lock", "Object lock"], ["policy", "Policy"], ["public", "Public access"], ["owner", "Ownership & ACL"],
  ["lifecycle", "Lifecycle"], ["cors", "CORS"], ["logging", "Logging"], ["quota", "Quota"], ["tags", "Tags"], ["more", "More"], ["uploads", "Unfinished uploads"],
];

export interface TabProps {
  Bucket: string;
}

const PAGES: Record<string, (props: TabProps) => preact.ComponentChild> = {
  encryption: (props) => <Encryption {...props} />,
  versioning: (props) => <Versioning {...props} />,
  lock: (props) => <Lock {...props} />,
  policy: (props) => <Policy {...props} />,
  public: (props) => <PublicAccess {...props} />,
  owner: (props) => <Ownership {...props} />,
  lifecycle: (props) => <Lifecycle {...props} />,
  cors: (props) => <Cors {...props} />,
  logging: (props) => <Logging {...props} />,
  quota: (props) => <Quota {...props} />,
  tags: (props) => <Tags {...props} />,
  more: (props) => <More {...props} />,
  uploads: (props) => <Uploads {...props} />,
};

export function BucketSettings({ parts, query }: { parts: string[]; query: URLSearchParams }) {
  const bucket = parts[0]!;
  const tab = query.get("tab") ?? "encryption";
  return (
    <div class="page">
      <Head
        title={`Settings of ${bucket}`}
        crumbs={
          <>
            <a href={href(["buckets"])}>Buckets</a>
            <span>/</span>
            <a href={href(["browse", bucket])}>{bucket}</a>
          </>
        }
      />
      <Tabs tabs={TABS} value={tab} onChange={(id) => go(["bucket", bucket], { tab: id })} />
      <div class="stack" key={tab}>
        {(PAGES[tab] ?? PAGES["encryption"]!)({ Bucket: bucket })}
      </div>
    </div>
  );
}

/** Says that it is done, and reads again. */
export async function saved(work: Promise<unknown>, of: Loaded<unknown>, words = "Saved."): Promise<void> {
  await work;
  toast(words);
  of.reload();
}

function Encryption({ Bucket }: TabProps) {
  const rule = useLoad(async () => (await optional((await s3()).send(new sdk.GetBucketEncryptionCommand({ Bucket }))))?.ServerSideEncryptionConfiguration?.Rules?.[0] ?? {}, []);
  const summary = useLoad<any>(() => admin("encryption/summary"), []);
  const mine = (summary.data?.buckets ?? []).find((one: any) => one.bucket === Bucket);
  const modes: any[] = mine?.modes ?? [];
  return (
    <>
      <Load of={rule}>{(data) => <EncryptionForm key={JSON.stringify(data)} Bucket={Bucket} rule={data} reload={rule} />}</Load>
      <Card title="What is under which mode">
        {summary.error ? <ErrorNote error={summary.error} /> : null}
        {modes.length ? (
          <dl class="facts">
            {modes.map((held) => (
              <>
                <dt>{held.mode}</dt>
                <dd>
                  {plural(held.objects, "version")}, {bytes(held.bytes)}
                </dd>
              </>
            ))}
          </dl>
        ) : summary.data ? (
          <p class="muted">{summary.data.counting ? "It is being counted. Look again in a moment." : "Nothing."}</p>
        ) : null}
        {summary.data?.counted_at_ms ? (
          <p class="muted">
            Counted {time(summary.data.counted_at_ms)}
            {summary.data.complete ? "" : ", as far as it got"}.
          </p>
        ) : null}
      </Card>
    </>
  );
}

function EncryptionForm({ Bucket, rule, reload }: TabProps & { rule: sdk.ServerSideEncryptionRule; reload: Loaded<unknown> }) {
  const [mode, setMode] = useState<string>(rule.ApplyServerSideEncryptionByDefault?.SSEAlgorithm ?? "AES256");
  const [keyId, setKeyId] = useState(rule.ApplyServerSideEncryptionByDefault?.KMSMasterKeyID ?? "");
  const [bucketKey, setBucketKey] = useState(rule.BucketKeyEnabled ?? false);
  const save = async () => {
    const one = { ApplyServerSideEncryptionByDefault: { SSEAlgorithm: mode as sdk.ServerSideEncryption, KMSMasterKeyID: (mode !== "AES256" && keyId) || undefined }, BucketKeyEnabled: mode === "aws:kms" && bucketKey };
    await saved((await s3()).send(new sdk.PutBucketEncryptionCommand({ Bucket, ServerSideEncryptionConfiguration: { Rules: [one] } })), reload);
  };
  return (
    <Card title="Default encryption">
      <div class="stack">
        <p class="muted">New objects that say nothing of encryption get this. Those that are there keep theirs.</p>
        <Select label="Mode" value={mode} onChange={setMode} options={[["AES256", "SSE-S3: by a key of the gateway"], ["aws:kms", "SSE-KMS: by a key of your choice"], ["aws:kms:dsse", "DSSE-KMS: two layers, by a key of your choice"]]} />
        {mode !== "AES256" ? <KeyChoice value={keyId} onChange={setKeyId} /> : null}
        {mode === "aws:kms" ? <Check label="Bucket key" checked={bucketKey} onChange={setBucketKey} hint="One call of the KMS for many objects. Objects written under it are not asked for one by one." /> : null}
        <div class="row">
          <Button kind="primary" onClick={save}>
            Save
          </Button>
        </div>
      </div>
    </Card>
  );
}

function Versioning({ Bucket }: TabProps) {
  const state = useLoad(async () => (await (await s3()).send(new sdk.GetBucketVersioningCommand({ Bucket }))).Status ?? "Off", []);
  const put = async (Status: sdk.BucketVersioningStatus) => saved((await s3()).send(new sdk.PutBucketVersioningCommand({ Bucket, VersioningConfiguration: { Status } })), state);
  return (
    <Load of={state}>
      {(status) => (
        <Card title="Versioning" actions={<Badge kind={status === "Enabled" ? "good" : ""}>{status}</Badge>}>
          <div class="stack">
            <p>
              {status === "Enabled"
                ? "What is overwritten or deleted stays as a former version, until somebody or a lifecycle rule deletes it."
                : status === "Suspended"
                  ? "Former versions stay; new writes replace the version called null."
                  : "What is overwritten or deleted is gone."}
            </p>
            <div class="row">{status === "Enabled" ? <Button onClick={() => put("Suspended")}>Suspend</Button> : <Button kind="primary" onClick={() => put("Enabled")}>Enable</Button>}</div>
          </div>
        </Card>
      )}
    </Load>
  );
}

function Lock({ Bucket }: TabProps) {
  const lock = useLoad(async () => (await optional((await s3()).send(new sdk.GetObjectLockConfigurationCommand({ Bucket }))))?.ObjectLockConfiguration ?? {}, []);
  return <Load of={lock}>{(data) => <LockForm key={JSON.stringify(data)} Bucket={Bucket} lock={data} reload={lock} />}</Load>;
}

function LockForm({ Bucket, lock, reload }: TabProps & { lock: sdk.ObjectLockConfiguration; reload: Loaded<unknown> }) {
  const rule = lock.Rule?.DefaultRetention;
  const [mode, setMode] = useState<string>(rule?.Mode ?? "");
  const [days, setDays] = useState(String(rule?.Days ?? (rule?.Years ? rule.Years * 365 : 30)));
  const isOn = lock.ObjectLockEnabled === "Enabled";
  const save = async () => {
    const Rule = mode ? { DefaultRetention: { Mode: mode as sdk.ObjectLockRetentionMode, Days: Number(days) } } : undefined;
    await saved((await s3()).send(new sdk.PutObjectLockConfigurationCommand({ Bucket, ObjectLockConfiguration: { ObjectLockEnabled: "Enabled", Rule } })), reload);
  };
  return (
    <Card title="Object lock" actions={<Badge kind={isOn ? "good" : ""}>{isOn ? "on" : "off"}</Badge>}>
      <div class="stack">
        <p class="muted">Versions can be kept from deletion for a time, or by a legal hold. It needs versioning, and can't be turned off again.</p>
        <Select label="Default retention of new versions" value={mode} onChange={setMode} options={[["", "None"], ["GOVERNANCE", "Governance: who may bypass it can delete them"], ["COMPLIANCE", "Compliance: nobody can delete them"]]} />
        {mode ? <Text label="Days" type="number" value={days} onInput={setDays} /> : null}
        <div class="row">
          <Button kind="primary" onClick={save}>
            {isOn ? "Save" : "Turn object lock on"}
          </Button>
        </div>
      </div>
    </Card>
  );
}

function Policy({ Bucket }: TabProps) {
  const policy = useLoad(async () => ({ text: (await optional((await s3()).send(new sdk.GetBucketPolicyCommand({ Bucket }))))?.Policy ?? "" }), []);
  return <Load of={policy}>{({ text }) => <PolicyForm key={text} Bucket={Bucket} text={text} reload={policy} />}</Load>;
}

function PolicyForm({ Bucket, text, reload }: TabProps & { text: string; reload: Loaded<unknown> }) {
  const [value, setValue] = useState(text ? JSON.stringify(JSON.parse(text), null, 2) : "");
  const [error, setError] = useState<unknown>();
  const attempt = async (work: Promise<unknown>) => {
    setError(undefined);
    try {
      await saved(work, reload);
    } catch (problem) {
      setError(problem);
    }
  };
  const save = async () => attempt((await s3()).send(new sdk.PutBucketPolicyCommand({ Bucket, Policy: value })));
  const remove = async () => attempt((await s3()).send(new sdk.DeleteBucketPolicyCommand({ Bucket })));
  return (
    <div class="grid">
      <Card title="Bucket policy">
        <div class="stack">
          <PolicyEditor kind="resource" value={value} onInput={setValue} resources={`arn:aws:s3:::${Bucket}, arn:aws:s3:::${Bucket}/*`} />
          {error ? <ErrorNote error={error} /> : null}
          <div class="row">
            <Button kind="primary" disabled={!value.trim() || faults(value, "resource").length > 0} onClick={save}>
              Save
            </Button>
            {text ? (
              <Button kind="danger" onClick={remove}>
                Delete the policy
              </Button>
            ) : null}
          </div>
        </div>
      </Card>
      <Card title="Why denied?">
        <div class="stack">
          <p class="muted">Asks this policy, as it stands at the left, for a caller that has no other policies. Policies of users are asked on their own pages.</p>
          <Simulation resourcePolicy={value} resource={`arn:aws:s3:::${Bucket}/*`} />
        </div>
      </Card>
    </div>
  );
}

const BLOCKS: [keyof sdk.PublicAccessBlockConfiguration, string, string][] = [
  ["BlockPublicAcls", "Refuse public ACLs", "New ACLs that let everybody in are refused."],
  ["IgnorePublicAcls", "Ignore public ACLs", "Those that are there have no effect."],
  ["BlockPublicPolicy", "Refuse public policies", "New bucket policies that let everybody in are refused."],
  ["RestrictPublicBuckets", "Restrict public buckets", "A bucket with a public policy is open to its own account alone."],
];

function PublicAccess({ Bucket }: TabProps) {
  const block = useLoad(async () => (await optional((await s3()).send(new sdk.GetPublicAccessBlockCommand({ Bucket }))))?.PublicAccessBlockConfiguration ?? {}, []);
  const status = useLoad(async () => (await optional((await s3()).send(new sdk.GetBucketPolicyStatusCommand({ Bucket }))))?.PolicyStatus?.IsPublic ?? false, []);
  const set = async (now: sdk.PublicAccessBlockConfiguration, name: string, on: boolean) => saved((await s3()).send(new sdk.PutPublicAccessBlockCommand({ Bucket, PublicAccessBlockConfiguration: { ...now, [name]: on } })), block);
  return (
    <Load of={block}>
      {(now) => (
        <Card title="Block public access" actions={status.data ? <Badge kind="warn">its policy is public</Badge> : <Badge kind="good">not public</Badge>}>
          <div class="stack">
            {BLOCKS.map(([name, label, hint]) => (
              <Check key={name} label={label} hint={hint} checked={now[name] ?? false} onChange={(on) => set(now, name, on).catch((error) => toast(String(error.message), "danger"))} />
            ))}
          </div>
        </Card>
      )}
    </Load>
  );
}

function Ownership({ Bucket }: TabProps) {
  const owner = useLoad(async () => (await optional((await s3()).send(new sdk.GetBucketOwnershipControlsCommand({ Bucket }))))?.OwnershipControls?.Rules?.[0]?.ObjectOwnership ?? "ObjectWriter", []);
  const acl = useLoad(async () => (await s3()).send(new sdk.GetBucketAclCommand({ Bucket })), []);
  const put = async (value: string) => saved((await s3()).send(new sdk.PutBucketOwnershipControlsCommand({ Bucket, OwnershipControls: { Rules: [{ ObjectOwnership: value as sdk.ObjectOwnership }] } })), owner);
  const canned = async (value: string) => saved((await s3()).send(new sdk.PutBucketAclCommand({ Bucket, ACL: value as sdk.BucketCannedACL })), acl);
  return (
    <Load of={owner}>
      {(value) => (
        <>
          <Card title="Object ownership">
            <Select
              label="Who owns objects"
              value={value}
              onChange={(next) => put(next).catch((error) => toast(String(error.message), "danger"))}
              options={[["BucketOwnerEnforced", "The bucket's owner; ACLs are off"], ["BucketOwnerPreferred", "The bucket's owner, if the writer says so"], ["ObjectWriter", "Whoever writes them"]]}
            />
          </Card>
          <Card title="ACL" actions={value === "BucketOwnerEnforced" ? <Badge>off</Badge> : null}>
            <Load of={acl}>
              {(list) => (
                <div class="stack">
                  <ul class="bullets">
                    {list.Grants?.map((grant, index) => (
                      <li key={index}>
                        {grant.Grantee?.DisplayName ?? grant.Grantee?.URI ?? grant.Grantee?.ID}: {grant.Permission}
                      </li>
                    ))}
                  </ul>
                  {value === "BucketOwnerEnforced" ? (
                    <p class="muted">Policies alone say who may. That is how AWS has it for new buckets.</p>
                  ) : (
                    <Select label="Replace it by" value="" onChange={(next) => next && canned(next).catch((error) => toast(String(error.message), "danger"))} options={[["", "…"], ["private", "Private"], ["public-read", "Everybody may list it"], ["public-read-write", "Everybody may list and write"], ["authenticated-read", "Everybody with credentials may list it"]]} />
                  )}
                </div>
              )}
            </Load>
          </Card>
        </>
      )}
    </Load>
  );
}

function Logging({ Bucket }: TabProps) {
  const logging = useLoad(async () => (await (await s3()).send(new sdk.GetBucketLoggingCommand({ Bucket }))).LoggingEnabled ?? {}, []);
  return <Load of={logging}>{(data) => <LoggingForm key={JSON.stringify(data)} Bucket={Bucket} now={data as sdk.LoggingEnabled} reload={logging} />}</Load>;
}

function LoggingForm({ Bucket, now, reload }: TabProps & { now: Partial<sdk.LoggingEnabled>; reload: Loaded<unknown> }) {
  const [target, setTarget] = useState(now.TargetBucket ?? "");
  const [prefix, setPrefix] = useState(now.TargetPrefix ?? "");
  const save = async () => saved((await s3()).send(new sdk.PutBucketLoggingCommand({ Bucket, BucketLoggingStatus: target ? { LoggingEnabled: { TargetBucket: target, TargetPrefix: prefix } } : {} })), reload);
  return (
    <Card title="Server access logging" actions={<Badge kind={now.TargetBucket ? "good" : ""}>{now.TargetBucket ? "on" : "off"}</Badge>}>
      <div class="stack">
        <Text label="Bucket for logs" value={target} onInput={setTarget} hint="Its policy has to let logging.s3.amazonaws.com write. Leave it empty to log nothing." />
        <Text label="Prefix" value={prefix} onInput={setPrefix} placeholder="logs/" />
        <div class="row">
          <Button kind="primary" onClick={save}>
            Save
          </Button>
        </div>
      </div>
    </Card>
  );
}

function Quota({ Bucket }: TabProps) {
  const usage = useLoad<any>(async () => (await admin("usage")).buckets?.find((one: any) => one.name === Bucket) ?? {}, []);
  const [text, setText] = useState("");
  const wanted = parseBytes(text);
  const put = async (value: number | null) => saved(adminPut("quota", { bucket: Bucket }, { bytes: value }), usage);
  return (
    <Load of={usage}>
      {(held) => {
        const quota = held.quota_bytes as number | null;
        return (
          <Card title="Quota" actions={<Badge kind={quota ? "info" : ""}>{quota ? bytes(quota) : "none"}</Badge>}>
            <div class="stack">
              <p>
                The bucket holds {bytes(held.bytes ?? 0)} in {count(held.objects)} objects{held.versions ? ` (${plural(held.versions, "version")})` : ""}.
              </p>
              {quota ? <progress max={quota} value={held.bytes ?? 0} aria-label="Share of the quota that is used" /> : null}
              <Text label="At most" value={text} onInput={setText} placeholder="10 GiB" hint={text ? (wanted ? `${count(wanted)} bytes` : "A number and a unit: 500 MB, 10 GiB.") : "Writes beyond it are refused."} />
              <div class="row">
                <Button kind="primary" disabled={!wanted} onClick={() => put(wanted!)}>
                  Set the quota
                </Button>
                {quota ? <Button onClick={() => put(null)}>Take it away</Button> : null}
              </div>
            </div>
          </Card>
        );
      }}
    </Load>
  );
}

function Tags({ Bucket }: TabProps) {
  const tags = useLoad(async () => (await optional((await s3()).send(new sdk.GetBucketTaggingCommand({ Bucket }))))?.TagSet ?? [], []);
  const put = async (pairs: [string, string][]) => {
    const client = await s3();
    const work = pairs.length ? client.send(new sdk.PutBucketTaggingCommand({ Bucket, Tagging: { TagSet: pairs.map(([Key, Value]) => ({ Key, Value })) } })) : client.send(new sdk.DeleteBucketTaggingCommand({ Bucket }));
    await saved(work, tags);
  };
  return <Load of={tags}>{(set) => <TagEditor key={JSON.stringify(set)} tags={set.map(({ Key, Value }) => [Key!, Value!])} most={50} onSave={put} />}</Load>;
}

function Uploads({ Bucket }: TabProps) {
  const [removing, setRemoving] = useState<sdk.MultipartUpload | undefined>();
  const uploads = useLoad(async () => (await (await s3()).send(new sdk.ListMultipartUploadsCommand({ Bucket, MaxUploads: 1000 }))).Uploads ?? [], []);
  return (
    <>
      <p class="muted">Parts of these take space until the upload is completed or aborted. A lifecycle rule can abort them.</p>
      <Load of={uploads}>
        {(rows) => (
          <Table
            caption="Unfinished uploads"
            rows={rows}
            id={(one) => one.UploadId!}
            text={(one) => one.Key!}
            empty={{ icon: "upload", title: "No unfinished uploads" }}
            columns={[
              { name: "Object", by: (one) => one.Key!, cell: (one) => <div class="clip">{one.Key}</div> },
              { name: "Begun", by: (one) => one.Initiated?.getTime() ?? 0, cell: (one) => time(one.Initiated) },
              { name: "By", kind: "opt", cell: (one) => one.Initiator?.DisplayName ?? one.Initiator?.ID },
              { name: "", kind: "act", cell: (one) => <Button kind="small danger" onClick={() => setRemoving(one)}>Abort</Button> },
            ]}
          />
        )}
      </Load>
      {removing ? (
        <Confirm
          title="Abort this upload?"
          submit="Abort it"
          onClose={() => setRemoving(undefined)}
          onSubmit={async () => {
            await saved((await s3()).send(new sdk.AbortMultipartUploadCommand({ Bucket, Key: removing.Key, UploadId: removing.UploadId })), uploads, "Aborted.");
            setRemoving(undefined);
          }}
        >
          <p>
            What was sent of <code>{removing.Key}</code> is deleted. Whoever is sending it has to begin anew.
          </p>
        </Confirm>
      ) : null}
    </>
  );
}
