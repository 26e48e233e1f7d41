/** What users, groups and roles have in common: policies attached and inline, access keys. */
import { useState } from "preact/hooks";
import * as sdk from "@aws-sdk/client-iam";
import { href } from "../router";
import { iam } from "../session";
import { Badge, Button, Card, ErrorNote, Field, FormModal, Load, toast, useLoad } from "./core";
import { PolicyEditor, faults } from "./policy-editor";

export type Holder = { kind: "user" | "group" | "role"; name: string };

/** Pages of a listing, at most 10,000 rows. */
export async function pages<T>(ask: (Marker: string | undefined) => Promise<{ rows?: T[]; IsTruncated?: boolean; Marker?: string }>): Promise<T[]> {
  const all: T[] = [];
  let marker: string | undefined;
  do {
    const page = await ask(marker);
    all.push(...(page.rows ?? []));
    marker = page.IsTruncated ? page.Marker : undefined;
  } while (marker && all.length < 10_000);
  return all;
}

export async function managedPolicies(Scope: "All" | "Local" | "AWS" = "All"): Promise<sdk.Policy[]> {
  const client = await iam();
  return pages(async (Marker) => {
    const page = await client.send(new sdk.ListPoliciesCommand({ Scope, Marker, MaxItems: 1000 }));
    return { rows: page.Policies, IsTruncated: page.IsTruncated, Marker: page.Marker };
  });
}

async function attached({ kind, name }: Holder): Promise<sdk.AttachedPolicy[]> {
  const client = await iam();
  const answer =
    kind === "user" ? await client.send(new sdk.ListAttachedUserPoliciesCommand({ UserName: name }))
    : kind === "group" ? await client.send(new sdk.ListAttachedGroupPoliciesCommand({ GroupName: name }))
    : await client.send(new sdk.ListAttachedRolePoliciesCommand({ RoleName: name }));
  return answer.AttachedPolicies ?? [];
}

async function change({ kind, name }: Holder, PolicyArn: string, attach: boolean): Promise<void> {
  const client = await iam();
  if (kind === "user") await client.send(attach ? new sdk.AttachUserPolicyCommand({ UserName: name, PolicyArn }) : (new sdk.DetachUserPolicyCommand({ UserName: name, PolicyArn }) as any));
  else if (kind === "group") await client.send(attach ? new sdk.AttachGroupPolicyCommand({ GroupName: name, PolicyArn }) : (new sdk.DetachGroupPolicyCommand({ GroupName: name, PolicyArn }) as any));
  else await client.send(attach ? new sdk.AttachRolePolicyCommand({ RoleName: name, PolicyArn }) : (new sdk.DetachRolePolicyCommand({ RoleName: name, PolicyArn }) as any));
}

async function inline({ kind, name }: Holder): Promise<{ name: string; document: string }[]> {
  const client = await iam();
  const names =
    kind === "user" ? (await client.send(new sdk.ListUserPoliciesCommand({ UserName: name }))).PolicyNames
    : kind === "group" ? (await client.send(new sdk.ListGroupPoliciesCommand({ GroupName: name }))).PolicyNames
    : (await client.send(new sdk.ListRolePoliciesCommand({ RoleName: name }))).PolicyNames;
  return Promise.all(
    (names ?? []).map(async (PolicyName) => {
      const answer =
        kind === "user" ? await client.send(new sdk.GetUserPolicyCommand({ UserName: name, PolicyName }))
        : kind === "group" ? await client.send(new sdk.GetGroupPolicyCommand({ GroupName: name, PolicyName }))
        : await client.send(new sdk.GetRolePolicyCommand({ RoleName: name, PolicyName }));
      return { name: PolicyName, document: pretty(answer.PolicyDocument) };
    }),
  );
}

async function putInline({ kind, name }: Holder, PolicyName: string, PolicyDocument: string): Promise<void> {
  const client = await iam();
  if (kind === "user") await client.send(new sdk.PutUserPolicyCommand({ UserName: name, PolicyName, PolicyDocument }));
  else if (kind === "group") await client.send(new sdk.PutGroupPolicyCommand({ GroupName: name, PolicyName, PolicyDocument }));
  else await client.send(new sdk.PutRolePolicyCommand({ RoleName: name, PolicyName, PolicyDocument }));
}

async function deleteInline({ kind, name }: Holder, PolicyName: string): Promise<void> {
  const client = await iam();
  if (kind === "user") await client.send(new sdk.DeleteUserPolicyCommand({ UserName: name, PolicyName }));
  else if (kind === "group") await client.send(new sdk.DeleteGroupPolicyCommand({ GroupName: name, PolicyName }));
  else await client.send(new sdk.DeleteRolePolicyCommand({ RoleName: name, PolicyName }));
}

/** A document as IAM hands it out, URL-encoded, in a form that people read. */
export function pretty(document: string | undefined): string {
  try {
    return JSON.stringify(JSON.parse(decodeURIComponent(document ?? "")), null, 2);
  } catch {
    return document ?? "";
  }
}

/** Takes away all policies, so that their holder can be deleted. */
export async function strip(holder: Holder): Promise<void> {
  for (const one of await attached(holder)) await change(holder, one.PolicyArn!, false);
  for (const one of await inline(holder)) await deleteInline(holder, one.name);
}

export function HolderPolicies({ holder }: { holder: Holder }) {
  const list = useLoad(() => attached(holder), []);
  const own = useLoad(() => inline(holder), []);
  const [editing, setEditing] = useState<{ name: string; document: string } | undefined>();
  const [choosing, setChoosing] = useState(false);
  const remove = async (arn: string) => {
    await change(holder, arn, false);
    toast("Detached.");
    list.reload();
  };
  return (
    <div class="grid">
      <Card title="Attached policies" actions={<Button icon="plus" kind="small" onClick={() => setChoosing(true)}>Attach</Button>}>
        <Load of={list}>
          {(all) => (
            <ul class="plain">
              {all.length ? null : <li class="muted">None.</li>}
              {all.map((policy) => (
                <li class="row" key={policy.PolicyArn}>
                  <a class="grow" href={href(["policy", policy.PolicyArn!])}>
                    {policy.PolicyName}
                  </a>
                  {policy.PolicyArn!.includes(":aws:policy/") ? <Badge>AWS managed</Badge> : null}
                  <Button kind="small" onClick={() => remove(policy.PolicyArn!)}>
                    Detach
                  </Button>
                </li>
              ))}
            </ul>
          )}
        </Load>
      </Card>
      <Card title="Inline policies" actions={<Button icon="plus" kind="small" onClick={() => setEditing({ name: "", document: "" })}>Write one</Button>}>
        <Load of={own}>
          {(all) => (
            <ul class="plain">
              {all.length ? null : <li class="muted">None.</li>}
              {all.map((policy) => (
                <li class="row" key={policy.name}>
                  <span class="grow">{policy.name}</span>
                  <Button kind="small" onClick={() => setEditing(policy)}>
                    Edit
                  </Button>
                  <Button kind="small danger" icon="trash" label={`Delete ${policy.name}`} onClick={async () => { await deleteInline(holder, policy.name); own.reload(); }} />
                </li>
              ))}
            </ul>
          )}
        </Load>
      </Card>
      {choosing ? <Attach holder={holder} onClose={() => setChoosing(false)} onDone={() => { setChoosing(false); list.reload(); }} /> : null}
      {editing ? <Inline holder={holder} policy={editing} onClose={() => setEditing(undefined)} onDone={() => { setEditing(undefined); own.reload(); }} /> : null}
    </div>
  );
}

function Attach({ holder, onClose, onDone }: { holder: Holder; onClose: () => void; onDone: () => void }) {
  const policies = useLoad(() => managedPolicies(), []);
  const [arn, setArn] = useState("");
  return (
    <FormModal title="Attach a policy" submit="Attach" onClose={onClose} ready={arn !== ""} onSubmit={async () => { await change(holder, arn, true); toast("Attached."); onDone(); }}>
      <Load of={policies}>
        {(all) => (
          <Field label="Policy">
            <select value={arn} onChange={(event) => setArn(event.currentTarget.value)}>
              <option value="">…</option>
              {all.map((policy) => (
                <option key={policy.Arn} value={policy.Arn}>
                  {policy.PolicyName}
                </option>
              ))}
            </select>
          </Field>
        )}
      </Load>
    </FormModal>
  );
}

function Inline({ holder, policy, onClose, onDone }: { holder: Holder; policy: { name: string; document: string }; onClose: () => void; onDone: () => void }) {
  const [name, setName] = useState(policy.name);
  const [document, setDocument] = useState(policy.document);
  return (
    <FormModal
      wide
      title={policy.name ? `Inline policy ${policy.name}` : "An inline policy"}
      onClose={onClose}
      ready={name !== "" && document !== "" && faults(document, "identity").length === 0}
      onSubmit={async () => {
        await putInline(holder, name, document);
        toast("Saved.");
        onDone();
      }}
    >
      <Field label="Name">
        <input value={name} disabled={policy.name !== ""} onInput={(event) => setName(event.currentTarget.value)} />
      </Field>
      <PolicyEditor kind="identity" value={document} onInput={setDocument} />
    </FormModal>
  );
}

/** Ends the sessions of a user or role that began before now. */
export function RevokeSessions({ holder, revoke }: { holder: Holder; revoke: () => Promise<unknown> }) {
  const [error, setError] = useState<unknown>();
  return (
    <Card
      title="Sessions"
      actions={
        <Button
          kind="danger small"
          onClick={async () => {
            setError(undefined);
            try {
              await revoke();
              toast("Sessions that began before now may do nothing more.");
            } catch (problem) {
              setError(problem);
            }
          }}
        >
          Revoke sessions
        </Button>
      }
    >
      <p class="muted">
        An inline policy denies everything to sessions of this {holder.kind} that began before now (<code>aws:TokenIssueTime</code>). New ones are not touched.
      </p>
      {error ? <ErrorNote error={error} /> : null}
    </Card>
  );
}
