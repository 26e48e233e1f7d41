/** Users, groups and roles: a page that lists them and a page of one, with what is the same for all three. */
import type { ComponentChildren } from "preact";
import { useState } from "preact/hooks";
import { adminPost } from "../api/admin";
import { time } from "../format";
import { go, href } from "../router";
import { Button, Card, Confirm, Copy, Head, Load, Tabs, toast, useLoad } from "./core";
import { HolderPolicies, RevokeSessions, pages, strip, type Holder } from "./iam";
import { Simulation } from "./simulation";
import { Table } from "./table";

type Kind = Holder["kind"];

/** What a name may be, as IAM has it. */
export const NAME_PATTERN = "[A-Za-z0-9+=,.@_\\-]{1,64}";

const ICONS: Record<Kind, string> = { user: "users", group: "group", role: "role" };
const title = (kind: Kind) => `${kind[0]!.toUpperCase()}${kind.slice(1)}s`;

/** One of them, as its list shows it. */
export interface Listed {
  name: string;
  arn: string;
  created?: Date;
  description?: string;
}

interface ListProps {
  kind: Kind;
  /** Of what use they are, where there is none yet. */
  about: string;
  list: (Marker: string | undefined) => Promise<{ rows?: Listed[]; IsTruncated?: boolean; Marker?: string }>;
  create: (close: () => void) => ComponentChildren;
}

export function HolderList({ kind, about, list, create }: ListProps) {
  const [creating, setCreating] = useState(false);
  const all = useLoad(() => pages(list), []);
  const more = kind === "role" ? { name: "Description", kind: "opt", cell: (one: Listed) => one.description } : { name: "ARN", kind: "opt", cell: (one: Listed) => <code>{one.arn}</code> };
  return (
    <div class="page">
      <Head title={title(kind)}>
        <Button icon="plus" kind="primary" onClick={() => setCreating(true)}>
          Create {kind}
        </Button>
      </Head>
      <Load of={all}>
        {(rows) => (
          <Table
            caption={title(kind)}
            rows={rows}
            id={(one) => one.arn}
            text={(one) => one.name}
            empty={{ icon: ICONS[kind], title: `No ${kind}s yet`, children: <p>{about}</p> }}
            columns={[
              { name: "Name", by: (one) => one.name, cell: (one) => <a href={href([kind, one.name])}>{one.name}</a> },
              more,
              { name: "Created", by: (one) => one.created?.getTime() ?? 0, cell: (one) => time(one.created) },
            ]}
          />
        )}
      </Load>
      {creating ? create(() => setCreating(false)) : null}
    </div>
  );
}

interface PageProps<T> {
  kind: Kind;
  name: string;
  query: URLSearchParams;
  load: () => Promise<T>;
  arn: (data: T) => string;
  /** What one kind alone has: id, name and content of a tab each. */
  tabs: [string, string, (data: T, reload: () => void) => ComponentChildren][];
  /** What comes of a deletion. */
  warning: string;
  /** Deletes it, once it has no policies any more. */
  remove: () => Promise<unknown>;
}

export function HolderPage<T>({ kind, name, query, load, arn, tabs, warning, remove }: PageProps<T>) {
  const tab = query.get("tab") ?? "policies";
  const holder: Holder = { kind, name };
  const [removing, setRemoving] = useState(false);
  const one = useLoad(load, [name]);
  const acts = kind !== "group";
  const names: [string, string][] = [["policies", "Policies"], ...tabs.map(([id, words]): [string, string] => [id, words])];
  if (acts) names.push(["why", "Why denied?"], ["sessions", "Sessions"]);
  const erase = async () => {
    await strip(holder);
    await remove();
    toast(`${name} is deleted.`);
    go([`${kind}s`]);
  };
  return (
    <div class="page">
      <Head title={name} crumbs={<a href={href([`${kind}s`])}>{title(kind)}</a>}>
        <Button icon="trash" kind="danger" onClick={() => setRemoving(true)}>
          Delete
        </Button>
      </Head>
      <Tabs tabs={names} value={tab} onChange={(id) => go([kind, name], { tab: id })} />
      <Load of={one}>
        {(data) => {
          const own = tabs.find(([id]) => id === tab);
          return (
            <div class="stack" key={tab}>
              {own ? (
                own[2](data, one.reload)
              ) : acts && tab === "why" ? (
                <Card title={`Would ${name} be allowed?`}>
                  <Simulation principal={arn(data)} />
                </Card>
              ) : acts && tab === "sessions" ? (
                <RevokeSessions holder={holder} revoke={() => adminPost(`${kind}s/${encodeURIComponent(name)}/revoke-sessions`)} />
              ) : (
                <>
                  <HolderPolicies holder={holder} />
                  <Card>
                    <Copy value={arn(data)} />
                  </Card>
                </>
              )}
            </div>
          );
        }}
      </Load>
      {removing ? (
        <Confirm title={`Delete ${name}?`} submit={`Delete ${kind}`} typed={name} onClose={() => setRemoving(false)} onSubmit={erase}>
          <p>{warning}</p>
        </Confirm>
      ) : null}
    </div>
  );
}
