import { useState } from "preact/hooks";
import * as sdk from "@aws-sdk/client-iam";
import { time } from "../format";
import { go, href } from "../router";
import { iam } from "../session";
import { Badge, Button, Card, Confirm, Copy, ErrorNote, FormModal, Head, Load, Text, toast, useLoad } from "../ui/core";
import { managedPolicies, pretty } from "../ui/iam";
import { PolicyEditor, faults } from "../ui/policy-editor";
import { Simulation } from "../ui/simulation";
import { Table } from "../ui/table";

export function Policies(_: { parts: string[] }) {
  const [creating, setCreating] = useState(false);
  const policies = useLoad(() => managedPolicies(), []);
  return (
    <div class="page">
      <Head title="Policies">
        <Button icon="plus" kind="primary" onClick={() => setCreating(true)}>
          Create policy
        </Button>
      </Head>
      <Load of={policies}>
        {(rows) => (
          <Table
            caption="Policies"
            rows={rows}
            id={(policy) => policy.Arn!}
            text={(policy) => policy.PolicyName!}
            empty={{ icon: "policy", title: "No policies" }}
            columns={[
              { name: "Name", by: (policy) => policy.PolicyName!, cell: (policy) => <a href={href(["policy", policy.Arn!])}>{policy.PolicyName}</a> },
              { name: "Made by", by: (policy) => (policy.Arn!.includes(":aws:policy/") ? "AWS" : "you"), cell: (policy) => (policy.Arn!.includes(":aws:policy/") ? <Badge>AWS managed</Badge> : <Badge kind="accent">yours</Badge>) },
              { name: "Attached", kind: "num opt", by: (policy) => policy.AttachmentCount ?? 0, cell: (policy) => policy.AttachmentCount ?? 0 },
              { name: "Changed", kind: "opt", by: (policy) => policy.UpdateDate?.getTime() ?? 0, cell: (policy) => time(policy.UpdateDate) },
            ]}
          />
        )}
      </Load>
      {creating ? <Create onClose={() => setCreating(false)} /> : null}
    </div>
  );
}

function Create({ onClose }: { onClose: () => void }) {
  const [name, setName] = useState("");
  const [text, setText] = useState("");
  const create = async () => {
    const made = await (await iam()).send(new sdk.CreatePolicyCommand({ PolicyName: name, PolicyDocument: text }));
    toast(`${name} is created.`);
    go(["policy", made.Policy!.Arn!]);
  };
  return (
    <FormModal wide title="Create policy" submit="Create" onClose={onClose} onSubmit={create} ready={text !== "" && faults(text, "identity").length === 0}>
      <Text label="Name" value={name} onInput={setName} required pattern="[A-Za-z0-9+=,.@_\-]{1,128}" />
      <PolicyEditor kind="identity" value={text} onInput={setText} />
    </FormModal>
  );
}

export function PolicyPage({ parts }: { parts: string[] }) {
  const arn = parts[0]!;
  const loaded = useLoad(async () => {
    const client = await iam();
    const policy = (await client.send(new sdk.GetPolicyCommand({ PolicyArn: arn }))).Policy!;
    const version = (await client.send(new sdk.GetPolicyVersionCommand({ PolicyArn: arn, VersionId: policy.DefaultVersionId }))).PolicyVersion!;
    const held = await client.send(new sdk.ListEntitiesForPolicyCommand({ PolicyArn: arn }));
    return { policy, text: pretty(version.Document), held };
  }, [arn]);
  return <Load of={loaded}>{(data) => <Shown key={data.text} {...data} reload={loaded.reload} />}</Load>;
}

function Shown({ policy, text, held, reload }: { policy: sdk.Policy; text: string; held: sdk.ListEntitiesForPolicyCommandOutput; reload: () => void }) {
  const [value, setValue] = useState(text);
  const [error, setError] = useState<unknown>();
  const [removing, setRemoving] = useState(false);
  const isAws = policy.Arn!.includes(":aws:policy/");
  const PolicyArn = policy.Arn!;
  const save = async () => {
    setError(undefined);
    try {
      const client = await iam();
      const versions = (await client.send(new sdk.ListPolicyVersionsCommand({ PolicyArn }))).Versions ?? [];
      // A policy has five versions at most: the oldest makes place.
      const old = versions.filter((one) => !one.IsDefaultVersion).sort((a, b) => (a.CreateDate?.getTime() ?? 0) - (b.CreateDate?.getTime() ?? 0))[0];
      if (versions.length >= 5 && old) await client.send(new sdk.DeletePolicyVersionCommand({ PolicyArn, VersionId: old.VersionId }));
      await client.send(new sdk.CreatePolicyVersionCommand({ PolicyArn, PolicyDocument: value, SetAsDefault: true }));
      toast("Saved as a new version.");
      reload();
    } catch (problem) {
      setError(problem);
    }
  };
  const remove = async () => {
    const client = await iam();
    for (const one of (await client.send(new sdk.ListPolicyVersionsCommand({ PolicyArn }))).Versions ?? []) if (!one.IsDefaultVersion) await client.send(new sdk.DeletePolicyVersionCommand({ PolicyArn, VersionId: one.VersionId }));
    await client.send(new sdk.DeletePolicyCommand({ PolicyArn }));
    toast("The policy is deleted.");
    go(["policies"]);
  };
  const holders: [string, string][] = [
    ...(held.PolicyUsers ?? []).map((one): [string, string] => ["user", one.UserName!]),
    ...(held.PolicyGroups ?? []).map((one): [string, string] => ["group", one.GroupName!]),
    ...(held.PolicyRoles ?? []).map((one): [string, string] => ["role", one.RoleName!]),
  ];
  return (
    <div class="page">
      <Head title={policy.PolicyName!} crumbs={<a href={href(["policies"])}>Policies</a>}>
        {isAws ? (
          <Badge>AWS managed</Badge>
        ) : (
          <Button icon="trash" kind="danger" onClick={() => setRemoving(true)}>
            Delete
          </Button>
        )}
      </Head>
      <div class="grid">
        <Card title={`Version ${policy.DefaultVersionId}`}>
          <div class="stack">
            <PolicyEditor kind="identity" value={value} onInput={setValue} disabled={isAws} />
            {error ? <ErrorNote error={error} /> : null}
            {isAws ? null : (
              <div class="row">
                <Button kind="primary" disabled={value === text || faults(value, "identity").length > 0} onClick={save}>
                  Save
                </Button>
              </div>
            )}
          </div>
        </Card>
        <div class="stack">
          <Card title="Who has it">
            <ul class="plain">
              {holders.length ? null : <li class="muted">Nobody.</li>}
              {holders.map(([kind, name]) => (
                <li key={kind + name} class="row">
                  <Badge>{kind}</Badge>
                  <a href={href([kind, name])}>{name}</a>
                </li>
              ))}
            </ul>
          </Card>
          <Card title="Why denied?">
            <Simulation policies={[value]} />
          </Card>
          <Card>
            <Copy value={PolicyArn} />
          </Card>
        </div>
      </div>
      {removing ? (
        <Confirm title={`Delete ${policy.PolicyName}?`} submit="Delete policy" onClose={() => setRemoving(false)} onSubmit={remove}>
          {holders.length ? <p class="note warn">It is attached to {holders.map(([, name]) => name).join(", ")}: detach it first.</p> : <p>Nobody has it.</p>}
        </Confirm>
      ) : null}
    </div>
  );
}
