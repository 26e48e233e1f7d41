/** Lifecycle rules, told in words, and CORS rules. */
import { useState } from "preact/hooks";
import * as sdk from "@aws-sdk/client-s3";
import { optional } from "../api/errors";
import { bytes, plural } from "../format";
import { s3 } from "../session";
import { Badge, Button, Card, Check, Field, FormModal, Load, Text, toastError, useLoad } from "../ui/core";
import { saved, type TabProps } from "./bucket";

/** What a rule does, as a person would say it. */
export function ruleInWords(rule: sdk.LifecycleRule): string[] {
  const days = (number: number) => plural(number, "day");
  const said: string[] = [];
  const { Expiration, NoncurrentVersionExpiration, AbortIncompleteMultipartUpload, Transitions, NoncurrentVersionTransitions } = rule;
  if (Expiration?.Days) said.push(`Objects are deleted ${days(Expiration.Days)} after they were written.`);
  if (Expiration?.Date) said.push(`Objects are deleted from ${Expiration.Date.toISOString().slice(0, 10)} on.`);
  if (Expiration?.ExpiredObjectDeleteMarker) said.push("Delete markers with no versions behind them are removed.");
  if (NoncurrentVersionExpiration?.NoncurrentDays) {
    const keep = NoncurrentVersionExpiration.NewerNoncurrentVersions;
    said.push(`Former versions are deleted ${days(NoncurrentVersionExpiration.NoncurrentDays)} after they were replaced${keep ? `; the newest ${keep} of them stay` : ""}.`);
  }
  if (AbortIncompleteMultipartUpload?.DaysAfterInitiation) said.push(`Uploads that are not finished after ${days(AbortIncompleteMultipartUpload.DaysAfterInitiation)} are aborted.`);
  for (const one of Transitions ?? []) said.push(`Objects get the class ${one.StorageClass} ${one.Days !== undefined ? `after ${days(one.Days)}` : `on ${one.Date?.toISOString().slice(0, 10)}`}.`);
  for (const one of NoncurrentVersionTransitions ?? []) said.push(`Former versions get the class ${one.StorageClass} after ${days(one.NoncurrentDays ?? 0)}.`);
  return said;
}

function scopeInWords(rule: sdk.LifecycleRule): string {
  const filter = { ...rule.Filter, ...rule.Filter?.And } as sdk.LifecycleRuleAndOperator & { Tag?: sdk.Tag };
  const said: string[] = [];
  const prefix = filter.Prefix ?? rule.Prefix;
  if (prefix) said.push(`whose names begin with "${prefix}"`);
  const tags = [...(filter.Tags ?? []), ...(filter.Tag ? [filter.Tag] : [])];
  for (const tag of tags) said.push(`tagged ${tag.Key}=${tag.Value}`);
  if (filter.ObjectSizeGreaterThan !== undefined) said.push(`larger than ${bytes(filter.ObjectSizeGreaterThan)}`);
  if (filter.ObjectSizeLessThan !== undefined) said.push(`smaller than ${bytes(filter.ObjectSizeLessThan)}`);
  return said.length ? `Of objects ${said.join(" and ")}` : "Of all objects";
}

export function Lifecycle({ Bucket }: TabProps) {
  const [adding, setAdding] = useState(false);
  const rules = useLoad(async () => (await optional((await s3()).send(new sdk.GetBucketLifecycleConfigurationCommand({ Bucket }))))?.Rules ?? [], []);
  const put = async (Rules: sdk.LifecycleRule[]) => {
    const client = await s3();
    await saved(Rules.length ? client.send(new sdk.PutBucketLifecycleConfigurationCommand({ Bucket, LifecycleConfiguration: { Rules } })) : client.send(new sdk.DeleteBucketLifecycleCommand({ Bucket })), rules);
  };
  return (
    <Load of={rules}>
      {(all) => (
        <>
          <div class="row">
            <Button icon="plus" kind="primary" onClick={() => setAdding(true)}>
              Add a rule
            </Button>
          </div>
          {all.length ? null : <p class="muted">No rules: objects stay until somebody deletes them.</p>}
          {all.map((rule, index) => (
            <Card
              key={rule.ID ?? index}
              title={rule.ID ?? `Rule ${index + 1}`}
              actions={
                <>
                  <Badge kind={rule.Status === "Enabled" ? "good" : ""}>{rule.Status}</Badge>
                  <Button kind="small" onClick={() => put(all.map((one) => (one === rule ? { ...one, Status: one.Status === "Enabled" ? "Disabled" : "Enabled" } : one)))}>
                    {rule.Status === "Enabled" ? "Disable" : "Enable"}
                  </Button>
                  <Button kind="small danger" icon="trash" label={`Delete rule ${rule.ID ?? index + 1}`} onClick={() => put(all.filter((one) => one !== rule))} />
                </>
              }
            >
              <p class="muted">{scopeInWords(rule)}:</p>
              <ul class="bullets">
                {ruleInWords(rule).map((sentence) => (
                  <li key={sentence}>{sentence}</li>
                ))}
              </ul>
            </Card>
          ))}
          {adding ? (
            <AddRule
              onClose={() => setAdding(false)}
              onSubmit={async (rule) => {
                await put([...all, rule]);
                setAdding(false);
              }}
            />
          ) : null}
        </>
      )}
    </Load>
  );
}

function AddRule({ onClose, onSubmit }: { onClose: () => void; onSubmit: (rule: sdk.LifecycleRule) => Promise<void> }) {
  const [id, setId] = useState("");
  const [prefix, setPrefix] = useState("");
  const [expire, setExpire] = useState("");
  const [former, setFormer] = useState("");
  const [keep, setKeep] = useState("");
  const [abort, setAbort] = useState("7");
  const [markers, setMarkers] = useState(false);
  const number = (text: string) => (text ? Number(text) : undefined);
  const rule: sdk.LifecycleRule = {
    ID: id || undefined,
    Status: "Enabled",
    Filter: { Prefix: prefix },
    Expiration: expire ? { Days: number(expire) } : markers ? { ExpiredObjectDeleteMarker: true } : undefined,
    NoncurrentVersionExpiration: former ? { NoncurrentDays: number(former), NewerNoncurrentVersions: number(keep) } : undefined,
    AbortIncompleteMultipartUpload: abort ? { DaysAfterInitiation: number(abort) } : undefined,
  };
  const said = ruleInWords(rule);
  return (
    <FormModal title="A lifecycle rule" onClose={onClose} onSubmit={() => onSubmit(rule)} ready={said.length > 0}>
      <div class="cols">
        <Text label="Name" value={id} onInput={setId} placeholder="expire-logs" />
        <Text label="Prefix" value={prefix} onInput={setPrefix} placeholder="all objects" />
      </div>
      <div class="cols">
        <Text label="Delete objects after days" type="number" value={expire} onInput={setExpire} />
        <Text label="Delete former versions after days" type="number" value={former} onInput={setFormer} />
        {former ? <Text label="But keep the newest" type="number" value={keep} onInput={setKeep} /> : null}
        <Text label="Abort uploads after days" type="number" value={abort} onInput={setAbort} />
      </div>
      {expire ? null : <Check label="Remove delete markers with nothing behind them" checked={markers} onChange={setMarkers} />}
      <div class="note" role="status">
        <strong>{scopeInWords(rule)}:</strong>
        <ul class="bullets">
          {said.map((sentence) => (
            <li key={sentence}>{sentence}</li>
          ))}
        </ul>
      </div>
    </FormModal>
  );
}

export function Cors({ Bucket }: TabProps) {
  const cors = useLoad(async () => (await optional((await s3()).send(new sdk.GetBucketCorsCommand({ Bucket }))))?.CORSRules ?? [], []);
  return <Load of={cors}>{(rules) => <CorsForm key={JSON.stringify(rules)} Bucket={Bucket} rules={rules} reload={cors} />}</Load>;
}

const EXAMPLE = [{ AllowedOrigins: ["https://example.com"], AllowedMethods: ["GET"], AllowedHeaders: ["*"], MaxAgeSeconds: 3600 }];

function CorsForm({ Bucket, rules, reload }: TabProps & { rules: sdk.CORSRule[]; reload: any }) {
  const [text, setText] = useState(rules.length ? JSON.stringify(rules, null, 2) : "");
  const save = async () => {
    try {
      const client = await s3();
      await saved(text.trim() ? client.send(new sdk.PutBucketCorsCommand({ Bucket, CORSConfiguration: { CORSRules: JSON.parse(text) } })) : client.send(new sdk.DeleteBucketCorsCommand({ Bucket })), reload);
    } catch (error) {
      toastError(error);
    }
  };
  return (
    <Card title="CORS">
      <div class="stack">
        <p class="muted">Which web pages may ask for objects of this bucket from a browser. This console needs no rule.</p>
        {rules.map((rule, index) => (
          <p key={index}>
            Pages of {rule.AllowedOrigins?.join(", ")} may {rule.AllowedMethods?.join(", ")}.
          </p>
        ))}
        <Field label="Rules" hint="A JSON array, as the AWS CLI has it. Empty: no rules.">
          <textarea class="tall" value={text} spellcheck={false} onInput={(event) => setText(event.currentTarget.value)} />
        </Field>
        <div class="row">
          <Button kind="primary" onClick={save}>
            Save
          </Button>
          <Button onClick={() => setText(JSON.stringify(EXAMPLE, null, 2))}>An example</Button>
        </div>
      </div>
    </Card>
  );
}
