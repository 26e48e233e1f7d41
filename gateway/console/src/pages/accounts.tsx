import { admin, adminPut } from "../api/admin";
import { bytes, count, parseBytes } from "../format";
import { useState } from "preact/hooks";
import { identity } from "../session";
import { Badge, Button, Card, FormModal, Head, Load, Text, toast, useLoad } from "../ui/core";
import { Table } from "../ui/table";

export function Accounts(_: { parts: string[] }) {
  const usage = useLoad<any>(() => admin("usage"), []);
  const [editing, setEditing] = useState<string | undefined>();
  const [text, setText] = useState("");
  const put = async (value: number | null) => {
    await adminPut("quota", { account: editing }, { bytes: value });
    toast("The quota is set.");
    setEditing(undefined);
    usage.reload();
  };
  return (
    <div class="page">
      <Head title="Accounts" />
      <Card>
        <p>
          Each account has buckets, keys and users of its own. You are in account <code>{identity.value!.account}</code>. Accounts are made on the host: <code>sealgate account create NAME</code>.
        </p>
      </Card>
      <Load of={usage}>
        {(data) => (
          <Table
            caption="Accounts"
            rows={(data.accounts ?? []) as any[]}
            id={(one) => one.id}
            empty={{ icon: "account", title: "Nothing is held yet", children: <p>An account is listed once it has a bucket.</p> }}
            columns={[
              { name: "Account", by: (one) => one.id, cell: (one) => <><code>{one.id}</code> {(one.id) === identity.value!.account ? <Badge kind="accent">yours</Badge> : null}</> },
              { name: "Buckets", kind: "num opt", cell: (one) => count(one.buckets) },
              { name: "Objects", kind: "num", cell: (one) => count(one.objects) },
              { name: "Bytes", kind: "num", cell: (one) => bytes(one.bytes) },
              { name: "Quota", kind: "num", cell: (one) => (one.quota_bytes ? bytes(one.quota_bytes) : "none") },
              { name: "", kind: "act", cell: (one) => <Button kind="small" onClick={() => setEditing(one.id)}>Quota</Button> },
            ]}
          />
        )}
      </Load>
      {editing ? (
        <FormModal title={`Quota of ${editing}`} onClose={() => setEditing(undefined)} onSubmit={() => put(text ? (parseBytes(text) ?? null) : null)} ready={!text || parseBytes(text) !== undefined}>
          <Text label="At most" value={text} onInput={setText} placeholder="1 TiB" hint="Empty takes the quota away." />
        </FormModal>
      ) : null}
    </div>
  );
}
