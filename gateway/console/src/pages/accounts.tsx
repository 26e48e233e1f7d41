import { useState } from "preact/hooks";
import { admin, adminPost, adminPut } from "../api/admin";
import { bytes, count, parseBytes, time } from "../format";
import { identity } from "../session";
import { Badge, Button, Card, ErrorNote, FormModal, Head, Load, Text, toast, useLoad } from "../ui/core";
import { NewAccessKey } from "../ui/new-access-key";
import { Table } from "../ui/table";

interface Account {
  id: string;
  name: string;
  email: string;
  state: "main" | "enabled" | "disabled";
  created_unix_ms: number | null;
  users: number;
}

interface Made {
  account: string;
  access_key_id: string;
  secret_access_key: string;
}

export function Accounts(_: { parts: string[] }) {
  const accounts = useLoad<Account[]>(async () => (await admin("accounts")).accounts, []);
  const usage = useLoad<any[]>(async () => (await admin("usage")).accounts ?? [], []);
  const [editing, setEditing] = useState<string | undefined>();
  const [creating, setCreating] = useState(false);
  const [made, setMade] = useState<Made | undefined>();
  const [text, setText] = useState("");
  const held = (id: string): any => usage.data?.find((one) => one.id === id);
  const put = async (value: number | null) => {
    await adminPut("quota", { account: editing }, { bytes: value });
    toast("The quota is set.");
    setEditing(undefined);
    usage.reload();
  };
  return (
    <div class="page">
      <Head title="Accounts">
        <Button icon="plus" kind="primary" onClick={() => setCreating(true)}>
          Create account
        </Button>
      </Head>
      <Card>
        <p>
          Each account has buckets, keys and users of its own. You are in account <code>{identity.value!.account}</code>.
        </p>
      </Card>
      {usage.error ? <ErrorNote error={usage.error} retry={usage.reload} /> : null}
      <Load of={accounts}>
        {(rows) => (
          <Table
            caption="Accounts"
            rows={rows}
            id={(one) => one.id}
            text={(one) => `${one.id} ${one.name} ${one.email}`}
            columns={[
              {
                name: "Account",
                by: (one) => one.id,
                cell: (one) => (
                  <>
                    <code>{one.id}</code> {one.id === identity.value!.account ? <Badge kind="accent">yours</Badge> : null} {one.state === "disabled" ? <Badge kind="warn">disabled</Badge> : null}
                  </>
                ),
              },
              { name: "Name", by: (one) => one.name, cell: (one) => <>{one.name}{one.email ? <><br /><small>{one.email}</small></> : null}</> },
              { name: "Created", kind: "opt", by: (one) => one.created_unix_ms ?? 0, cell: (one) => (one.created_unix_ms ? time(one.created_unix_ms) : "with the gateway") },
              { name: "Users", kind: "num opt", cell: (one) => count(one.users) },
              { name: "Buckets", kind: "num opt", cell: (one) => count(held(one.id)?.buckets ?? 0) },
              { name: "Objects", kind: "num opt", cell: (one) => count(held(one.id)?.objects ?? 0) },
              { name: "Bytes", kind: "num", cell: (one) => bytes(held(one.id)?.bytes ?? 0) },
              { name: "Quota", kind: "num", cell: (one) => (held(one.id)?.quota_bytes ? bytes(held(one.id).quota_bytes) : "none") },
              { name: "", kind: "act", cell: (one) => <Button kind="small" label={`Quota of ${one.id}`} onClick={() => { setText(""); setEditing(one.id); }}>Quota</Button> },
            ]}
          />
        )}
      </Load>
      {editing ? (
        <FormModal title={`Quota of ${editing}`} onClose={() => setEditing(undefined)} onSubmit={() => put(text ? (parseBytes(text) ?? null) : null)} ready={!text || parseBytes(text) !== undefined}>
          <Text label="At most" value={text} onInput={setText} placeholder="1 TiB" hint="Empty takes the quota away." />
        </FormModal>
      ) : null}
      {creating ? (
        <Create
          onClose={() => setCreating(false)}
          onDone={(fresh) => {
            setCreating(false);
            setMade(fresh);
            accounts.reload();
          }}
        />
      ) : null}
      {made ? <NewAccessKey of={`the root user of account ${made.account}`} id={made.access_key_id} secret={made.secret_access_key} onClose={() => setMade(undefined)} /> : null}
    </div>
  );
}

function Create({ onClose, onDone }: { onClose: () => void; onDone: (made: Made) => void }) {
  const [name, setName] = useState("");
  const [email, setEmail] = useState("");
  return (
    <FormModal title="Create account" submit="Create" onClose={onClose} onSubmit={async () => onDone(await adminPost("accounts", {}, { name, email }))} ready={name.trim() !== ""}>
      <p class="muted">The account gets a root user with an access key. It sees nothing of other accounts, and they see nothing of it. Only the gateway's own account makes accounts.</p>
      <Text label="Name" value={name} onInput={setName} required />
      <Text label="Email address" type="email" value={email} onInput={setEmail} hint="Of whoever is responsible; it may be empty." />
    </FormModal>
  );
}
