/** Policies as JSON, with what is wrong said before they are sent; and a visual editor for the common case. */
import { useMemo, useState } from "preact/hooks";
import { Button, Check, Field, Select, Tabs, Text } from "./core";

const ACTIONS: Record<string, string[]> = {
  "Read objects": ["s3:GetObject", "s3:GetObjectVersion", "s3:GetObjectAttributes", "s3:GetObjectTagging"],
  "Write objects": ["s3:PutObject", "s3:AbortMultipartUpload", "s3:ListMultipartUploadParts", "s3:PutObjectTagging"],
  "Delete objects": ["s3:DeleteObject", "s3:DeleteObjectVersion"],
  "List buckets and objects": ["s3:ListAllMyBuckets", "s3:ListBucket", "s3:ListBucketVersions", "s3:GetBucketLocation"],
  "Use KMS keys": ["kms:Encrypt", "kms:Decrypt", "kms:GenerateDataKey", "kms:ReEncrypt*", "kms:DescribeKey"],
  "See KMS keys": ["kms:ListKeys", "kms:ListAliases", "kms:DescribeKey", "kms:GetKeyPolicy", "kms:GetKeyRotationStatus"],
};

/** What is wrong with a policy, in words; empty: nothing that can be seen from here. */
export function faults(text: string, kind: "identity" | "resource" | "trust"): string[] {
  let policy: any;
  try {
    policy = JSON.parse(text);
  } catch (error) {
    return [`This is not JSON: ${where(text, (error as Error).message)}`];
  }
  const found: string[] = [];
  if (policy.Version !== "2012-10-17" && policy.Version !== "2008-10-17") found.push('"Version" has to be "2012-10-17".');
  for (const name of Object.keys(policy)) if (!["Version", "Id", "Statement"].includes(name)) found.push(`A policy has no element "${name}".`);
  const statements = Array.isArray(policy.Statement) ? policy.Statement : policy.Statement ? [policy.Statement] : [];
  if (!statements.length) found.push('"Statement" is missing or empty.');
  const sids = new Set<string>();
  statements.forEach((statement: any, index: number) => {
    const here = `Statement ${index + 1}${statement?.Sid ? ` (${statement.Sid})` : ""}:`;
    if (typeof statement !== "object" || statement === null) {
      found.push(`${here} it has to be an object.`);
      return;
    }
    const known = ["Sid", "Effect", "Principal", "NotPrincipal", "Action", "NotAction", "Resource", "NotResource", "Condition"];
    for (const name of Object.keys(statement)) if (!known.includes(name)) found.push(`${here} there is no element "${name}".`);
    if (statement.Effect !== "Allow" && statement.Effect !== "Deny") found.push(`${here} "Effect" has to be "Allow" or "Deny".`);
    if (!("Action" in statement) && !("NotAction" in statement)) found.push(`${here} "Action" is missing.`);
    for (const action of [statement.Action ?? []].flat()) if (action !== "*" && !/^[a-z0-9-]+:[A-Za-z0-9*?]+$/i.test(action)) found.push(`${here} "${action}" is not SERVICE:ACTION.`);
    const hasPrincipal = "Principal" in statement || "NotPrincipal" in statement;
    if (kind === "identity" && hasPrincipal) found.push(`${here} a policy of a user, group or role has no "Principal": it is whoever it is attached to.`);
    if (kind !== "identity" && !hasPrincipal) found.push(`${here} "Principal" is missing: who is it about?`);
    if (kind !== "trust" && !("Resource" in statement) && !("NotResource" in statement)) found.push(`${here} "Resource" is missing.`);
    for (const resource of [statement.Resource ?? []].flat()) if (resource !== "*" && !String(resource).startsWith("arn:")) found.push(`${here} "${resource}" is not an ARN.`);
    if (statement.Sid) {
      if (sids.has(statement.Sid)) found.push(`${here} its Sid is there twice.`);
      sids.add(statement.Sid);
    }
  });
  return found;
}

function where(text: string, message: string): string {
  const at = /position (\d+)/.exec(message)?.[1];
  if (!at || /line \d+/.test(message)) return message;
  return `${message}, line ${text.slice(0, Number(at)).split("\n").length}`;
}

/** What a policy says, a sentence for each statement. */
export function inWords(text: string): string[] {
  try {
    const policy = JSON.parse(text);
    return [policy.Statement ?? []].flat().map((statement: any) => {
      const list = (value: unknown): string => {
        const all = [value ?? []].flat().map(String);
        return all.length > 4 ? `${all.slice(0, 3).join(", ")} and ${all.length - 3} more` : all.join(", ");
      };
      const principal = statement.Principal === undefined ? "" : typeof statement.Principal === "string" ? (statement.Principal === "*" ? "Anybody" : statement.Principal) : Object.values(statement.Principal).flat().join(", ");
      const who = principal === "*" ? "Anybody" : principal;
      const verb = statement.Effect === "Deny" ? "may never" : "may";
      const what = statement.NotAction ? `do anything but ${list(statement.NotAction)}` : [statement.Action].flat().includes("*") ? "do anything" : list(statement.Action);
      const on = statement.NotResource ? ` on anything but ${list(statement.NotResource)}` : statement.Resource === undefined ? "" : [statement.Resource].flat().includes("*") ? " on everything" : ` on ${list(statement.Resource)}`;
      const conditions = Object.entries(statement.Condition ?? {}).flatMap(([operator, pairs]) => Object.entries(pairs as object).map(([key, value]) => `${key} ${operator} ${list(value)}`));
      return `${who || "Who has it"} ${verb} ${what}${on}${conditions.length ? `, if ${conditions.join(" and ")}` : ""}.`;
    });
  } catch {
    return [];
  }
}

export function PolicyEditor({ value, onInput, kind, disabled, resources = "" }: { value: string; onInput: (text: string) => void; kind: "identity" | "resource" | "trust"; disabled?: boolean; resources?: string }) {
  const [tab, setTab] = useState("json");
  const wrong = useMemo(() => (value.trim() ? faults(value, kind) : []), [value, kind]);
  const words = useMemo(() => inWords(value), [value]);
  return (
    <div class="stack">
      {disabled ? null : <Tabs tabs={[["json", "JSON"], ["visual", "Visual"]]} value={tab} onChange={setTab} />}
      {tab === "visual" ? (
        <AddStatement
          kind={kind}
          resources={resources}
          onAdd={(statement) => {
            let policy: any = { Version: "2012-10-17", Statement: [] };
            try {
              policy = JSON.parse(value);
            } catch {
              // What is no policy yet begins anew.
            }
            onInput(JSON.stringify({ ...policy, Statement: [policy.Statement ?? []].flat().concat(statement) }, null, 2));
          }}
        />
      ) : null}
      <Field label="Policy">
        <textarea class="tall" value={value} disabled={disabled} spellcheck={false} aria-invalid={wrong.length > 0} onInput={(event) => onInput(event.currentTarget.value)} />
      </Field>
      {wrong.length ? (
        <ul class="note danger bullets" role="status">
          {wrong.slice(0, 8).map((fault) => (
            <li key={fault}>{fault}</li>
          ))}
        </ul>
      ) : words.length ? (
        <ul class="note bullets">
          {words.slice(0, 20).map((sentence, index) => (
            <li key={index}>{sentence}</li>
          ))}
        </ul>
      ) : null}
      {disabled ? null : (
        <div class="row">
          <Button
            kind="small"
            disabled={!value.trim() || value.trim()[0] !== "{"}
            onClick={() => {
              try {
                onInput(JSON.stringify(JSON.parse(value), null, 2));
              } catch {
                // What is wrong is said above.
              }
            }}
          >
            Format
          </Button>
        </div>
      )}
    </div>
  );
}

function AddStatement({ kind, resources, onAdd }: { kind: string; resources: string; onAdd: (statement: unknown) => void }) {
  const [effect, setEffect] = useState("Allow");
  const [chosen, setChosen] = useState<string[]>([]);
  const [more, setMore] = useState("");
  const [on, setOn] = useState(resources || "*");
  const [who, setWho] = useState("");
  const split = (text: string) => text.split(/[\s,]+/).filter(Boolean);
  const one = (values: string[]) => (values.length === 1 ? values[0] : values);
  const actions = [...chosen.flatMap((name) => ACTIONS[name]!), ...split(more)];
  return (
    <fieldset class="card stack">
      <legend class="sr">A statement</legend>
      <Select label="Effect" value={effect} onChange={setEffect} options={[["Allow", "Allow"], ["Deny", "Deny, whatever else allows it"]]} />
      {kind === "identity" ? null : <Text label="Principals" value={who} onInput={setWho} placeholder="* or arn:aws:iam::…:user/…" />}
      {kind === "trust" ? null : (
        <div class="cols">
          {Object.keys(ACTIONS).map((name) => (
            <Check key={name} label={name} checked={chosen.includes(name)} onChange={(isOn) => setChosen(isOn ? [...chosen, name] : chosen.filter((other) => other !== name))} />
          ))}
        </div>
      )}
      <Text label="More actions" value={more} onInput={setMore} placeholder={kind === "trust" ? "sts:AssumeRole" : "s3:PutBucketPolicy, kms:CreateGrant"} />
      {kind === "trust" ? null : <Text label="Resources" value={on} onInput={setOn} placeholder="arn:aws:s3:::my-bucket, arn:aws:s3:::my-bucket/*" />}
      <div class="row">
        <Button
          kind="primary"
          disabled={!actions.length || (kind !== "identity" && !who)}
          onClick={() =>
            onAdd({
              Effect: effect,
              ...(kind === "identity" ? {} : { Principal: who.trim() === "*" ? "*" : { AWS: one(split(who)) } }),
              Action: one(actions),
              ...(kind === "trust" ? {} : { Resource: one(split(on)) }),
            })
          }
        >
          Add this statement
        </Button>
      </div>
    </fieldset>
  );
}
