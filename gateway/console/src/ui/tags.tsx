import type { ComponentChildren } from "preact";
import { useId, useState } from "preact/hooks";
import { Button, Card } from "./core";

type Pairs = [string, string][];

/** Pairs of a key and a value, one a row, and a button for one more. */
export function TagRows({ pairs, most, error, onChange, children }: { pairs: Pairs; most: number; error?: string; onChange: (pairs: Pairs) => void; children?: ComponentChildren }) {
  const id = useId();
  const set = (index: number, pair: [string, string]) => onChange(pairs.map((one, at) => (at === index ? pair : one)));
  return (
    <>
      {pairs.map(([name, value], index) => (
        <div class="row" key={index}>
          <input class="grow" aria-label={`Key of tag ${index + 1}`} aria-invalid={error ? true : undefined} aria-describedby={error ? id : undefined} placeholder="Key" value={name} onInput={(event) => set(index, [event.currentTarget.value, value])} />
          <input class="grow" aria-label={`Value of tag ${index + 1}`} placeholder="Value" value={value} onInput={(event) => set(index, [name, event.currentTarget.value])} />
          <Button icon="trash" kind="ghost" label={`Remove tag ${index + 1}`} onClick={() => onChange(pairs.filter((_, at) => at !== index))} />
        </div>
      ))}
      {error ? (
        <span class="wrong" id={id}>
          {error}
        </span>
      ) : null}
      <div class="row">
        <Button icon="plus" disabled={pairs.length >= most} onClick={() => onChange([...pairs, ["", ""]])}>
          Add a tag
        </Button>
        {children}
      </div>
    </>
  );
}

/** The tags of something, to be saved. */
export function TagEditor({ tags, most, onSave }: { tags: Pairs; most: number; onSave: (tags: Pairs) => Promise<unknown> }) {
  const [pairs, setPairs] = useState(tags);
  return (
    <Card title="Tags" actions={<small>At most {most}. Policies can ask for them.</small>}>
      <div class="stack">
        {pairs.length ? null : <p class="muted">No tags.</p>}
        <TagRows pairs={pairs} most={most} onChange={setPairs}>
          <Button kind="primary" onClick={() => onSave(pairs.filter(([name]) => name))}>
            Save
          </Button>
        </TagRows>
      </div>
    </Card>
  );
}
