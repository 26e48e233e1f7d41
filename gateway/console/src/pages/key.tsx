/** One key: what it is, how it was rotated, who may use it, and what hangs on it. */
import { useState } from "preact/hooks";
import * as sdk from "@aws-sdk/client-kms";
import { admin } from "../api/admin";
import { bytes, count, plural, time } from "../format";
import { go, href } from "../router";
import { kms } from "../session";
import { Badge, Button, Card, Confirm, Copy, ErrorNote, Field, FormModal, Head, Load, Menu, Select, Tabs, Text, toast, useLoad, type Loaded } from "../ui/core";
import { PolicyEditor, faults } from "../ui/policy-editor";
import { Simulation } from "../ui/simulation";
import { Table } from "../ui/table";
import { TagEditor } from "../ui/tags";
import { Grants } from "./grants";
import { ImportMaterial } from "./import-material";
import { stateKind } from "./keys";

export interface KeyProps {
  about: sdk.KeyMetadata;
  reload: () => void;
}

export function KeyPage({ parts, query }: { parts: string[]; query: URLSearchParams }) {
  const id = parts[0]!;
  const key = useLoad(async () => (await (await kms()).send(new sdk.DescribeKeyCommand({ KeyId: id }))).KeyMetadata!, [id]);
  const aliases = useLoad(async () => (await (await kms()).send(new sdk.ListAliasesCommand({ KeyId: id }))).Aliases ?? [], [id]);
  return (
    <Load of={key}>{(about) => <Shown about={about} aliases={aliases} tab={query.get("tab") ?? "overview"} reload={key.reload} />}</Load>
  );
}

function Shown({ about, aliases, tab, reload }: KeyProps & { aliases: Loaded<sdk.AliasListEntry[]>; tab: string }) {
  const [dialog, setDialog] = useState("");
  const id = about.KeyId!;
  const state = about.KeyState;
  const isManaged = about.KeyManager === "AWS";
  const change = async (work: Promise<unknown>, words: string) => {
    await work;
    toast(words);
    reload();
  };
  const tabs: [string, string][] = [["overview", "Overview"], ["objects", "What it protects"]];
  if (about.KeySpec === "SYMMETRIC_DEFAULT") tabs.push(["rotation", "Rotation"]);
  if (about.Origin === "EXTERNAL") tabs.push(["import", "Key material"]);
  tabs.push(["policy", "Policy"], ["grants", "Grants"], ["who", "Who can"], ["aliases", "Aliases"], ["tags", "Tags"]);
  return (
    <div class="page">
      <Head title={aliases.data?.[0]?.AliasName ?? id} crumbs={<a href={href(["keys"])}>Keys</a>}>
        <Badge kind={stateKind(state)}>{state}</Badge>
        {state === "Enabled" && !isManaged ? <Button onClick={async () => change((await kms()).send(new sdk.DisableKeyCommand({ KeyId: id })), "The key is disabled.")}>Disable</Button> : null}
        {state === "Disabled" ? <Button kind="primary" onClick={async () => change((await kms()).send(new sdk.EnableKeyCommand({ KeyId: id })), "The key is enabled.")}>Enable</Button> : null}
        {state === "PendingDeletion" ? <Button kind="primary" onClick={async () => change((await kms()).send(new sdk.CancelKeyDeletionCommand({ KeyId: id })), "The key stays. It is disabled: enable it to use it.")}>Cancel the deletion</Button> : null}
        {isManaged || state === "PendingDeletion" ? null : <Menu label="More" items={[{ name: "Describe it", icon: "policy", run: () => setDialog("describe") }, { name: "Schedule deletion", icon: "trash", danger: true, run: () => setDialog("delete") }]} />}
      </Head>
      {state === "PendingDeletion" ? (
        <p class="note danger" role="status">
          <strong>This key is destroyed on {time(about.DeletionDate)}.</strong>
          <span>What it protects can't be read even now, and never again after that day.</span>
        </p>
      ) : state === "Disabled" ? (
        <p class="note warn" role="status">
          <strong>This key is disabled.</strong>
          <span>What it protects can't be read, and nothing new is written under it, until it is enabled. Objects under a bucket key may open until the gateway asks for that anew (<code>bucket_key_window_s</code>).</span>
        </p>
      ) : null}
      <Tabs tabs={tabs} value={tab} onChange={(next) => go(["key", id], { tab: next })} />
      <div class="stack" key={tab}>
        {tab === "objects" ? <Dependents about={about} reload={reload} />
          : tab === "rotation" ? <Rotation about={about} reload={reload} />
          : tab === "import" ? <ImportMaterial about={about} reload={reload} />
          : tab === "policy" ? <Policy about={about} reload={reload} />
          : tab === "grants" ? <Grants about={about} reload={reload} />
          : tab === "who" ? <WhoCan about={about} reload={reload} />
          : tab === "aliases" ? <Aliases about={about} aliases={aliases} />
          : tab === "tags" ? <Tags about={about} reload={reload} />
          : <Facts about={about} />}
      </div>
      {dialog === "delete" ? <ScheduleDeletion about={about} onClose={() => setDialog("")} onDone={() => { setDialog(""); reload(); }} /> : null}
      {dialog === "describe" ? <Describe about={about} onClose={() => setDialog("")} onDone={() => { setDialog(""); reload(); }} /> : null}
    </div>
  );
}

function Facts({ about }: { about: sdk.KeyMetadata }) {
  const algorithms = [...(about.EncryptionAlgorithms ?? []), ...(about.SigningAlgorithms ?? []), ...(about.MacAlgorithms ?? []), ...(about.KeyAgreementAlgorithms ?? [])];
  return (
    <Card title="About this key">
      <dl class="facts">
        <dt>Description</dt>
        <dd>{about.Description || "–"}</dd>
        <dt>Key id</dt>
        <dd><Copy value={about.KeyId!} /></dd>
        <dt>ARN</dt>
        <dd><Copy value={about.Arn!} /></dd>
        <dt>Kind</dt>
        <dd>{about.KeySpec}</dd>
        <dt>Use</dt>
        <dd>{about.KeyUsage}</dd>
        <dt>Algorithms</dt>
        <dd>{algorithms.join(", ")}</dd>
        <dt>Material</dt>
        <dd>{about.Origin === "EXTERNAL" ? `imported${about.ValidTo ? `, until ${time(about.ValidTo)}` : ""}` : "made by the gateway"}</dd>
        <dt>Managed by</dt>
        <dd>{about.KeyManager === "AWS" ? "the gateway" : "you"}</dd>
        <dt>Created</dt>
        <dd>{time(about.CreationDate)}</dd>
      </dl>
    </Card>
  );
}

function Describe({ about, onClose, onDone }: { about: sdk.KeyMetadata; onClose: () => void; onDone: () => void }) {
  const [text, setText] = useState(about.Description ?? "");
  const save = async () => {
    await (await kms()).send(new sdk.UpdateKeyDescriptionCommand({ KeyId: about.KeyId, Description: text }));
    onDone();
  };
  return (
    <FormModal title="Describe this key" onClose={onClose} onSubmit={save}>
      <Text label="Description" value={text} onInput={setText} />
    </FormModal>
  );
}

/** What hangs on a key, in numbers. */
function Report({ report }: { report: any }) {
  const defaults: string[] = report.default_of ?? [];
  return (
    <div class="stack">
      <p>
        <strong>
          {plural(report.objects, "object version")} in {plural(report.buckets, "bucket")}, {bytes(report.bytes)},
        </strong>{" "}
        can't be read without this key{report.uploads ? `, and ${plural(report.uploads, "upload")} under way can't be completed` : ""}.
      </p>
      {report.complete ? null : <p class="note warn">That is as far as it got: {count(report.versions_looked_at)} versions were looked at, and there are more.</p>}
      {defaults.length ? (
        <p>
          It is the default encryption of{" "}
          {defaults.map((bucket, index) => (
            <>
              {index ? ", " : ""}
              <a href={href(["bucket", bucket])}>{bucket}</a>
            </>
          ))}
          : without it nothing can be written there.
        </p>
      ) : null}
    </div>
  );
}

function Dependents({ about }: KeyProps) {
  const report = useLoad<any>(() => admin(`keys/${about.KeyId}/dependents`), []);
  return (
    <Card title="What becomes unreadable without it">
      <Load of={report}>{(data) => <Report report={data} />}</Load>
    </Card>
  );
}

function ScheduleDeletion({ about, onClose, onDone }: { about: sdk.KeyMetadata; onClose: () => void; onDone: () => void }) {
  const [days, setDays] = useState("30");
  const report = useLoad<any>(() => admin(`keys/${about.KeyId}/dependents`), []);
  const schedule = async () => {
    const answer = await (await kms()).send(new sdk.ScheduleKeyDeletionCommand({ KeyId: about.KeyId, PendingWindowInDays: Number(days) }));
    toast(`The key is destroyed on ${time(answer.DeletionDate)}, unless somebody cancels that.`);
    onDone();
  };
  return (
    <Confirm title="Schedule the deletion of this key?" submit="Schedule deletion" typed="delete" onClose={onClose} onSubmit={schedule}>
      <p class="note danger">From now on nothing under this key can be read. After the waiting time it is destroyed, and everything under it with it. To see first who needs it, disable it.</p>
      <Load of={report}>{(data) => <Report report={data} />}</Load>
      <Text label="Waiting time in days" type="number" value={days} onInput={setDays} hint="7 to 30." />
    </Confirm>
  );
}

function Rotation({ about }: KeyProps) {
  const id = about.KeyId!;
  const state = useLoad(async () => {
    const client = await kms();
    const [status, history] = await Promise.all([client.send(new sdk.GetKeyRotationStatusCommand({ KeyId: id })), client.send(new sdk.ListKeyRotationsCommand({ KeyId: id, IncludeKeyMaterial: "ALL_KEY_MATERIAL", Limit: 1000 }))]);
    return { status, rotations: history.Rotations ?? [] };
  }, []);
  const [days, setDays] = useState("365");
  const work = async (send: Promise<unknown>, words: string) => {
    await send;
    toast(words);
    state.reload();
  };
  const isImported = about.Origin === "EXTERNAL";
  return (
    <Load of={state}>
      {({ status, rotations }) => {
        const past = [...rotations].sort((a, b) => (b.RotationDate?.getTime() ?? 0) - (a.RotationDate?.getTime() ?? 0));
        return (
          <div class="grid">
            <Card title="The key's backing keys" actions={<Badge kind="accent">{plural(Math.max(1, past.length), "backing key")}</Badge>}>
              <ol class="timeline">
                {status.NextRotationDate ? (
                  <li>
                    <strong>{time(status.NextRotationDate)}</strong>
                    <br />
                    <span class="muted">the next rotation</span>
                  </li>
                ) : null}
                {past.map((one, index) => (
                  <li key={index} class={index === 0 ? "now" : ""}>
                    <strong>{time(one.RotationDate ?? about.CreationDate)}</strong> {one.RotationDate ? null : <Badge>created</Badge>} {one.RotationType ? <Badge>{one.RotationType === "ON_DEMAND" ? "on demand" : "automatic"}</Badge> : null}{" "}
                    {one.KeyMaterialState ? <Badge kind={one.KeyMaterialState === "CURRENT" ? "good" : ""}>{one.KeyMaterialState === "NON_CURRENT" ? "former" : one.KeyMaterialState.toLowerCase().replace(/_/g, " ")}</Badge> : null}
                    <br />
                    <code>{one.KeyMaterialId}</code>
                    {one.KeyMaterialDescription ? <small> {one.KeyMaterialDescription}</small> : null}
                  </li>
                ))}
                {past.some((one) => !one.RotationDate) ? null : (
                  <li class={past.length ? "" : "now"}>
                    <strong>{time(about.CreationDate)}</strong>
                    <br />
                    <span class="muted">the key was created</span>
                  </li>
                )}
              </ol>
            </Card>
            <Card title="Rotate" actions={<Badge kind={status.KeyRotationEnabled ? "good" : ""}>{status.KeyRotationEnabled ? `every ${status.RotationPeriodInDays} days` : "not by itself"}</Badge>}>
              <div class="stack">
                <p class="muted">A rotation makes a new backing key for what comes. Former ones stay, to read what is under them.</p>
                <div class="row">
                  <Button icon="refresh" kind="primary" onClick={async () => work((await kms()).send(new sdk.RotateKeyOnDemandCommand({ KeyId: id })), "The key is rotated.")}>
                    Rotate now
                  </Button>
                </div>
                {isImported ? null : (
                  <>
                    <Text label="Rotate by itself every so many days" type="number" value={days} onInput={setDays} hint="90 to 2560." />
                    <div class="row">
                      <Button onClick={async () => work((await kms()).send(new sdk.EnableKeyRotationCommand({ KeyId: id, RotationPeriodInDays: Number(days) })), "The key is rotated by itself.")}>Enable</Button>
                      {status.KeyRotationEnabled ? <Button onClick={async () => work((await kms()).send(new sdk.DisableKeyRotationCommand({ KeyId: id })), "The key is no longer rotated by itself.")}>Disable</Button> : null}
                    </div>
                  </>
                )}
              </div>
            </Card>
          </div>
        );
      }}
    </Load>
  );
}

function Policy({ about }: KeyProps) {
  const policy = useLoad(async () => ({ text: (await (await kms()).send(new sdk.GetKeyPolicyCommand({ KeyId: about.KeyId, PolicyName: "default" }))).Policy ?? "" }), []);
  return <Load of={policy}>{({ text }) => <PolicyForm key={text} about={about} text={text} reload={policy.reload} />}</Load>;
}

function PolicyForm({ about, text, reload }: KeyProps & { text: string }) {
  const [value, setValue] = useState(() => {
    try {
      return JSON.stringify(JSON.parse(text), null, 2);
    } catch {
      return text;
    }
  });
  const [error, setError] = useState<unknown>();
  const save = async () => {
    setError(undefined);
    try {
      await (await kms()).send(new sdk.PutKeyPolicyCommand({ KeyId: about.KeyId, PolicyName: "default", Policy: value }));
      toast("The policy is saved.");
      reload();
    } catch (problem) {
      setError(problem);
    }
  };
  return (
    <div class="grid">
      <Card title="Key policy">
        <div class="stack">
          <PolicyEditor kind="resource" value={value} onInput={setValue} resources="*" />
          {error ? <ErrorNote error={error} /> : null}
          <div class="row">
            <Button kind="primary" disabled={faults(value, "resource").length > 0} onClick={save}>
              Save
            </Button>
          </div>
        </div>
      </Card>
      <Card title="Why denied?">
        <div class="stack">
          <p class="muted">Asks this policy, as it stands at the left, for a caller that has no other policies.</p>
          <Simulation resourcePolicy={value} action="kms:Decrypt" resource={about.Arn!} />
        </div>
      </Card>
    </div>
  );
}

const ASKED = ["kms:Decrypt", "kms:Encrypt", "kms:GenerateDataKey", "kms:DescribeKey", "kms:PutKeyPolicy", "kms:ScheduleKeyDeletion", "kms:CreateGrant", "kms:DisableKey", "kms:Sign"];

function WhoCan({ about }: KeyProps) {
  const [action, setAction] = useState("kms:Decrypt");
  const who = useLoad<any>(() => admin(`keys/${about.KeyId}/who-can`, { action }), [action]);
  return (
    <>
      <div class="row">
        <Select label="Who may" value={action} onChange={setAction} options={ASKED} />
      </div>
      <Load of={who}>
        {(data) => (
          <Table
            caption="Who can use this key"
            rows={[...(data.principals as any[])].sort((a, b) => Number(b.allowed) - Number(a.allowed))}
            id={(one) => one.principal}
            text={(one) => `${one.principal} ${one.why}`}
            columns={[
              { name: "Principal", by: (one) => one.principal, cell: (one) => <code>{one.principal}</code> },
              { name: "May", by: (one) => Number(one.allowed), cell: (one) => <Badge kind={one.allowed ? "good" : ""}>{one.allowed ? "yes" : "no"}</Badge> },
              { name: "Why", cell: (one) => one.why },
            ]}
          />
        )}
      </Load>
    </>
  );
}

function Aliases({ about, aliases }: { about: sdk.KeyMetadata; aliases: Loaded<sdk.AliasListEntry[]> }) {
  const [name, setName] = useState("");
  const add = async () => {
    await (await kms()).send(new sdk.CreateAliasCommand({ AliasName: `alias/${name.replace(/^alias\//, "")}`, TargetKeyId: about.KeyId }));
    setName("");
    aliases.reload();
  };
  const remove = async (AliasName: string) => {
    await (await kms()).send(new sdk.DeleteAliasCommand({ AliasName }));
    aliases.reload();
  };
  return (
    <Card title="Aliases">
      <div class="stack">
        <Load of={aliases}>
          {(all) => (
            <ul class="plain">
              {all.length ? null : <li class="muted">No alias.</li>}
              {all.map((alias) => (
                <li key={alias.AliasName} class="row">
                  <code class="grow">{alias.AliasName}</code>
                  <Button kind="small danger" icon="trash" label={`Delete ${alias.AliasName}`} onClick={() => remove(alias.AliasName!)} />
                </li>
              ))}
            </ul>
          )}
        </Load>
        <Field label="One more">
          <input value={name} placeholder="finance" onInput={(event) => setName(event.currentTarget.value)} />
        </Field>
        <div class="row">
          <Button kind="primary" disabled={!name} onClick={add}>
            Add
          </Button>
        </div>
      </div>
    </Card>
  );
}

function Tags({ about }: KeyProps) {
  const tags = useLoad(async () => (await (await kms()).send(new sdk.ListResourceTagsCommand({ KeyId: about.KeyId }))).Tags ?? [], []);
  const save = async (pairs: [string, string][]) => {
    const client = await kms();
    const kept = new Set(pairs.map(([name]) => name));
    const gone = (tags.data ?? []).map(({ TagKey }) => TagKey!).filter((name) => !kept.has(name));
    if (gone.length) await client.send(new sdk.UntagResourceCommand({ KeyId: about.KeyId, TagKeys: gone }));
    if (pairs.length) await client.send(new sdk.TagResourceCommand({ KeyId: about.KeyId, Tags: pairs.map(([TagKey, TagValue]) => ({ TagKey, TagValue })) }));
    toast("Tags are saved.");
    tags.reload();
  };
  return <Load of={tags}>{(set) => <TagEditor key={JSON.stringify(set)} tags={set.map(({ TagKey, TagValue }) => [TagKey!, TagValue!])} most={50} onSave={save} />}</Load>;
}
