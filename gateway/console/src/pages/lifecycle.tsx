/** Lifecycle rules: told in words, made and changed by a form. */
import { useEffect, useRef, useState } from "preact/hooks";
import * as sdk from "@aws-sdk/client-s3";
import type { ComponentChildren } from "preact";
import { optional } from "../api/errors";
import { s3 } from "../session";
import { Badge, Button, Card, Check, FormModal, Load, Select, Text, useLoad } from "../ui/core";
import { TagRows } from "../ui/tags";
import { saved, type TabProps } from "./bucket";
import { CLASSES, draftOf, faultsOf, MOST_RULES, MOST_TAGS, ruleInWords, ruleOf, scopeInWords, type Change, type Draft, type FormerChange } from "./lifecycle-rule";

const FRESH: sdk.LifecycleRule = { Status: "Enabled", Filter: { Prefix: "" } };

export function Lifecycle({ Bucket }: TabProps) {
  const [editing, setEditing] = useState<sdk.LifecycleRule>();
  const read = async () => {
    const got = await optional((await s3()).send(new sdk.GetBucketLifecycleConfigurationCommand({ Bucket })));
    return { rules: got?.Rules ?? [], minimum: got?.TransitionDefaultMinimumObjectSize };
  };
  const loaded = useLoad(read, []);
  /** Changes the rules as they are now: somebody else may have changed another one meanwhile. */
  const change = async (by: (rules: sdk.LifecycleRule[]) => sdk.LifecycleRule[]) => {
    const { rules, minimum } = await read();
    const Rules = by(rules);
    const client = await s3();
    await saved(
      Rules.length
        ? client.send(new sdk.PutBucketLifecycleConfigurationCommand({ Bucket, LifecycleConfiguration: { Rules }, TransitionDefaultMinimumObjectSize: minimum }))
        : client.send(new sdk.DeleteBucketLifecycleCommand({ Bucket })),
      loaded,
    );
  };
  const replace = (id: string | undefined, by: (rule: sdk.LifecycleRule) => sdk.LifecycleRule) =>
    change((rules) => {
      if (!rules.some(({ ID }) => ID === id)) throw new Error("Somebody deleted this rule meanwhile. Reload the page, and add it again if it is needed.");
      return rules.map((rule) => (rule.ID === id ? by(rule) : rule));
    });
  return (
    <Load of={loaded}>
      {({ rules }) => (
        <>
          <div class="row">
            <Button icon="plus" kind="primary" disabled={rules.length >= MOST_RULES} onClick={() => setEditing(FRESH)}>
              Add a rule
            </Button>
          </div>
          {rules.length ? null : <p class="muted">No rules: objects stay until somebody deletes them.</p>}
          {rules.map((rule) => {
            const isOn = rule.Status === "Enabled";
            return (
              <Card
                key={rule.ID}
                title={rule.ID}
                actions={
                  <>
                    <Badge kind={isOn ? "good" : ""}>{isOn ? "on" : "off"}</Badge>
                    <Button kind="small" label={`Edit rule ${rule.ID}`} onClick={() => setEditing(rule)}>
                      Edit
                    </Button>
                    <Button kind="small" label={`Switch ${isOn ? "off" : "on"} rule ${rule.ID}`} onClick={() => replace(rule.ID, (one) => ({ ...one, Status: isOn ? "Disabled" : "Enabled" }))}>
                      Switch {isOn ? "off" : "on"}
                    </Button>
                    <Button kind="small danger" icon="trash" label={`Delete rule ${rule.ID}`} onClick={() => change((all) => all.filter(({ ID }) => ID !== rule.ID))} />
                  </>
                }
              >
                <Words rule={rule} />
              </Card>
            );
          })}
          {editing ? (
            <RuleForm
              rule={editing}
              others={rules.filter((one) => one !== editing).map(({ ID }) => ID!)}
              onClose={() => setEditing(undefined)}
              onSubmit={async (rule) => {
                await (editing === FRESH ? change((all) => [...all, rule]) : replace(editing.ID, () => rule));
                setEditing(undefined);
              }}
            />
          ) : null}
        </>
      )}
    </Load>
  );
}

function Words({ rule }: { rule: sdk.LifecycleRule }) {
  const said = ruleInWords(rule);
  return (
    <>
      <p class="muted">{scopeInWords(rule)}:</p>
      <ul class="bullets">
        {said.length ? null : <li>Nothing happens.</li>}
        {said.map((sentence) => (
          <li key={sentence}>{sentence}</li>
        ))}
      </ul>
      {rule.Status === "Enabled" ? null : <p class="muted">The rule is off: nothing of this happens.</p>}
    </>
  );
}

function Part({ legend, children }: { legend: string; children: ComponentChildren }) {
  return (
    <fieldset class="part">
      <legend>{legend}</legend>
      <div class="stack">{children}</div>
    </fieldset>
  );
}

const CHANGE: Change = { storageClass: CLASSES[0], by: "days", days: "", date: "" };
const FORMER_CHANGE: FormerChange = { storageClass: CLASSES[0], days: "", keep: "" };

/** Rows that can be added, changed and removed. */
function rowsOf<Row>(rows: Row[], put: (rows: Row[]) => void) {
  return {
    add: (row: Row) => put([...rows, row]),
    set: (index: number, part: Partial<Row>) => put(rows.map((row, at) => (at === index ? { ...row, ...part } : row))),
    remove: (index: number) => put(rows.filter((_, at) => at !== index)),
  };
}

function RuleForm({ rule, others, onClose, onSubmit }: { rule: sdk.LifecycleRule; others: string[]; onClose: () => void; onSubmit: (rule: sdk.LifecycleRule) => Promise<void> }) {
  const [draft, setDraft] = useState(() => draftOf(rule));
  const [tries, setTries] = useState(0);
  const form = useRef<HTMLDivElement>(null);
  const set = (part: Partial<Draft>) => setDraft({ ...draft, ...part });
  // What is not filled in yet is no fault before somebody wants to save.
  const faults = tries ? faultsOf(draft, others) : {};
  const made = ruleOf(draft);
  const changes = rowsOf(draft.changes, (rows) => set({ changes: rows }));
  const formerChanges = rowsOf(draft.formerChanges, (rows) => set({ formerChanges: rows }));
  useEffect(() => form.current?.querySelector<HTMLElement>("[aria-invalid=true]")?.focus(), [tries]);
  const text = (label: string, name: "id" | "prefix" | "larger" | "smaller" | "expireDays" | "expireDate" | "formerDays" | "formerKeep" | "abortDays", rest: Record<string, unknown> = {}) => (
    <Text label={label} value={draft[name]} error={faults[name]} onInput={(value) => set({ [name]: value })} {...rest} />
  );
  const number = { inputMode: "numeric" };
  const save = async () => {
    setTries(tries + 1);
    return Object.keys(faultsOf(draft, others)).length ? false : onSubmit(made);
  };
  return (
    <FormModal title={rule === FRESH ? "A lifecycle rule" : `The rule ${rule.ID}`} wide onClose={onClose} onSubmit={save}>
      <div class="stack" ref={form}>
        <div class="cols">{text("Name", "id", { placeholder: "expire-logs", hint: "Empty: the gateway makes one." })}</div>
        <Check label="The rule is on" checked={draft.isOn} onChange={(isOn) => set({ isOn })} />
        <Part legend="Which objects">
          <p class="muted">All conditions have to hold. Without one, the rule is for all objects.</p>
          <div class="cols">
            {text("Prefix", "prefix", { placeholder: "logs/" })}
            {text("Larger than", "larger", { placeholder: "128 KiB" })}
            {text("Smaller than", "smaller", { placeholder: "1 GiB" })}
          </div>
          <TagRows pairs={draft.tags} most={MOST_TAGS} error={faults["tags"]} onChange={(tags) => set({ tags })} />
        </Part>
        <Part legend="Current versions">
          <div class="cols">
            <Select
              label="Deletion"
              value={draft.expire}
              error={faults["expire"]}
              onChange={(expire) => set({ expire: expire as Draft["expire"] })}
              options={[["", "Delete none"], ["days", "Delete after days"], ["date", "Delete from a day on"], ["markers", "Remove lone delete markers"]]}
            />
            {draft.expire === "days" ? text("Days after they were written", "expireDays", number) : null}
            {draft.expire === "date" ? text("From this day on (UTC)", "expireDate", { type: "date" }) : null}
          </div>
          {draft.changes.map((one, index) => (
            <div class="cols" role="group" aria-label={`Change of class ${index + 1}`} key={index}>
              <Select label="Class" value={one.storageClass} onChange={(storageClass) => changes.set(index, { storageClass })} options={[...CLASSES]} />
              <Select label="When" value={one.by} onChange={(by) => changes.set(index, { by: by as Change["by"] })} options={[["days", "After days"], ["date", "From a day on (UTC)"]]} />
              {one.by === "days" ? (
                <Text label="Days" value={one.days} error={faults[`change${index}`]} inputMode="numeric" onInput={(days) => changes.set(index, { days })} />
              ) : (
                <Text label="Day" type="date" value={one.date} error={faults[`change${index}`]} onInput={(date) => changes.set(index, { date })} />
              )}
              <Button icon="trash" kind="danger" label={`Remove change of class ${index + 1}`} onClick={() => changes.remove(index)}>
                Remove
              </Button>
            </div>
          ))}
          <div class="row">
            <Button icon="plus" onClick={() => changes.add(CHANGE)}>
              Change their class
            </Button>
          </div>
        </Part>
        <Part legend="Former versions">
          <div class="cols">
            {text("Delete former versions after days", "formerDays", number)}
            {text("But keep the newest", "formerKeep", { ...number, hint: "How many of them, 1 to 100. Empty: none." })}
          </div>
          {draft.formerChanges.map((one, index) => (
            <div class="cols" role="group" aria-label={`Change of class of former versions ${index + 1}`} key={index}>
              <Select label="Class" value={one.storageClass} onChange={(storageClass) => formerChanges.set(index, { storageClass })} options={[...CLASSES]} />
              <Text label="Days after they were replaced" value={one.days} error={faults[`formerChange${index}`]} inputMode="numeric" onInput={(days) => formerChanges.set(index, { days })} />
              <Text label="But not the newest" value={one.keep} error={faults[`formerChangeKeep${index}`]} inputMode="numeric" onInput={(keep) => formerChanges.set(index, { keep })} />
              <Button icon="trash" kind="danger" label={`Remove change of class of former versions ${index + 1}`} onClick={() => formerChanges.remove(index)}>
                Remove
              </Button>
            </div>
          ))}
          <div class="row">
            <Button icon="plus" onClick={() => formerChanges.add(FORMER_CHANGE)}>
              Change the class of former versions
            </Button>
          </div>
        </Part>
        {draft.changes.length || draft.formerChanges.length ? (
          <p class="note">A class is a label: the bytes stay where they are. Objects of GLACIER and DEEP_ARCHIVE have to be restored before they can be read.</p>
        ) : null}
        <Part legend="Unfinished uploads">
          <div class="cols">{text("Abort uploads after days", "abortDays", { ...number, hint: "7 suits most buckets." })}</div>
        </Part>
        <div class="note" role="status">
          <Words rule={made} />
        </div>
        {Object.keys(faults).length ? (
          <div class="note danger" role="alert">
            <strong>The rule can't be saved yet</strong>
            <ul class="bullets">
              {Object.entries(faults).map(([name, words]) => (
                <li key={name}>{words}</li>
              ))}
            </ul>
          </div>
        ) : null}
      </div>
    </FormModal>
  );
}
