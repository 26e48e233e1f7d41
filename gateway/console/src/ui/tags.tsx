import { useState } from "preact/hooks";
import { Button, Card } from "./core";

/** Pairs of a key and a value. */
export function TagEditor({ tags, most, onSave }: { tags: [string, string][]; most: number; onSave: (tags: [string, string][]) => Promise<unknown> }) {
  const [pairs, setPairs] = useState(tags);
  const set = (index: number, pair: [string, string]) => setPairs(pairs.map((one, at) => (at === index ? pair : one)));
  return (
    <Card title="Tags" actions={<small>At most {most}. Policies can ask for them.</small>}>
      <div class="stack">
        {pairs.length ? null : <p class="muted">No tags.</p>}
        {pairs.map(([name, value], index) => (
          <div class="row" key={index}>
            <input class="grow" aria-label={`Key of tag ${index + 1}`} placeholder="Key" value={name} onInput={(event) => set(index, [event.currentTarget.value, value])} />
            <input class="grow" aria-label={`Value of tag ${index + 1}`} placeholder="Value" value={value} onInput={(event) => set(index, [name, event.currentTarget.value])} />
            <Button icon="trash" kind="ghost" label={`Remove tag ${index + 1}`} onClick={() => setPairs(pairs.filter((_, at) => at !== index))} />
          </div>
        ))}
        <div class="row">
          <Button icon="plus" disabled={pairs.length >= most} onClick={() => setPairs([...pairs, ["", ""]])}>
            Add a tag
          </Button>
          <Button kind="primary" onClick={() => onSave(pairs.filter(([name]) => name))}>
            Save
          </Button>
        </div>
      </div>
    </Card>
  );
}
