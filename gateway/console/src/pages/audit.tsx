import { useRef, useState } from "preact/hooks";
import { admin } from "../api/admin";
import { bytes, time } from "../format";
import { Badge, Button, Card, Field, Head, Load, Select, Text, useLoad } from "../ui/core";

interface Filter {
  from: string;
  to: string;
  principal: string;
  action: string;
  error: string;
  /** A log that was put aside; empty: the current one. */
  file: string;
}
const NONE: Filter = { from: "", to: "", principal: "", action: "", error: "", file: "" };
const PAGE = 100;

const pick = (event: any, ...names: string[]): string => {
  for (const name of names) {
    const value = name.split(".").reduce((at, part) => at?.[part], event);
    if (value !== undefined && value !== null && value !== "") return typeof value === "object" ? JSON.stringify(value) : String(value);
  }
  return "";
};

export function Audit({ query }: { parts: string[]; query: URLSearchParams }) {
  const [draft, setDraft] = useState<Filter>({ ...NONE, principal: query.get("principal") ?? "", action: query.get("action") ?? "" });
  const [filter, setFilter] = useState(draft);
  const [afters, setAfters] = useState<string[]>([]);
  const after = afters[afters.length - 1];
  const iso = (local: string) => (local ? new Date(local).toISOString() : "");
  const events = useLoad<any>(() => admin("audit", { ...filter, from: iso(filter.from), to: iso(filter.to), limit: PAGE, after }), [filter, after]);
  // The choice stays while another log is read.
  const known = useRef<{ name: string; bytes: number; modified_unix_ms: number }[]>([]);
  if (events.data?.files) known.current = events.data.files;
  const files = known.current;
  const set = (part: Partial<Filter>) => setDraft({ ...draft, ...part });
  return (
    <div class="page">
      <Head title="Audit">
        <Button icon="refresh" label="Refresh" onClick={events.reload} />
      </Head>
      <Card>
        <form
          class="stack"
          onSubmit={(event) => {
            event.preventDefault();
            setAfters([]);
            setFilter(draft);
          }}
        >
          <div class="cols">
            <Text label="Principal" value={draft.principal} onInput={(principal) => set({ principal })} placeholder="arn:aws:iam::…" />
            <Text label="Action" value={draft.action} onInput={(action) => set({ action })} placeholder="kms:Decrypt" />
            <Select label="Outcome" value={draft.error} onChange={(error) => set({ error })} options={[["", "All"], ["none", "Done"], ["AccessDenied", "Denied"], ["any", "Any error"]]} />
            {files.length > 1 ? <Select label="Log" value={draft.file} onChange={(file) => set({ file })} options={files.map((one, index): [string, string] => [index ? one.name : "", `${index ? one.name : "Current"}, ${index ? `until ${time(one.modified_unix_ms)}, ` : ""}${bytes(one.bytes)}`])} /> : null}
            <Field label="From">
              <input type="datetime-local" value={draft.from} onInput={(event) => set({ from: event.currentTarget.value })} />
            </Field>
            <Field label="To">
              <input type="datetime-local" value={draft.to} onInput={(event) => set({ to: event.currentTarget.value })} />
            </Field>
          </div>
          <div class="row">
            <button type="submit" class="btn primary">
              Search
            </button>
            <Button onClick={() => { setDraft(NONE); setFilter(NONE); setAfters([]); }}>Clear</Button>
          </div>
        </form>
      </Card>
      <Load of={events}>
        {(data) => {
          const rows: any[] = data.events ?? [];
          const next = data.next;
          return (
            <>
              {rows.length ? <Rows rows={rows} /> : <p class="muted">Nothing matches{filter.file ? ` in ${filter.file}` : ""}. Logs that were put aside under the name of the audit log are looked through one by one; compressed ones are not shown.</p>}
              <div class="row end">
                {afters.length ? <Button onClick={() => setAfters(afters.slice(0, -1))}>Newer</Button> : null}
                {next ? <Button onClick={() => setAfters([...afters, String(next)])}>Older</Button> : null}
              </div>
            </>
          );
        }}
      </Load>
    </div>
  );
}

function Rows({ rows }: { rows: any[] }) {
  const [open, setOpen] = useState<number | undefined>();
  return (
    <div class="card flush scroll">
      <table>
        <caption class="sr">Events, the newest first</caption>
        <thead>
          <tr>
            <th scope="col">Time</th>
            <th scope="col">Action</th>
            <th scope="col">Principal</th>
            <th scope="col" class="opt">
              Resource
            </th>
            <th scope="col">Outcome</th>
          </tr>
        </thead>
        <tbody>
          {rows.map((event, index) => {
            const error = pick(event, "errorCode");
            return (
              <>
                <tr key={index}>
                  <td>{time(event.eventTime)}</td>
                  <td>
                    <button type="button" class="btn ghost small" aria-expanded={open === index} onClick={() => setOpen(open === index ? undefined : index)}>
                      {`${pick(event, "eventSource").split(".")[0]}:${pick(event, "eventName")}`}
                    </button>
                  </td>
                  <td>
                    <div class="clip">{pick(event, "userIdentity.arn", "userIdentity.type")}</div>
                  </td>
                  <td class="opt">
                    <div class="clip">{event.resources?.map((one: any) => one.ARN ?? one.arn).join(", ")}</div>
                  </td>
                  <td>{error ? <Badge kind="danger">{error}</Badge> : <Badge kind="good">done</Badge>}</td>
                </tr>
                {open === index ? (
                  <tr>
                    <td colSpan={5}>
                      <pre tabIndex={0}>{JSON.stringify(event, null, 2)}</pre>
                    </td>
                  </tr>
                ) : null}
              </>
            );
          })}
        </tbody>
      </table>
    </div>
  );
}
