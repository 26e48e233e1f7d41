import { useState } from "preact/hooks";
import { CreateAliasCommand, CreateKeyCommand, DescribeKeyCommand, type KeyMetadata } from "@aws-sdk/client-kms";
import { time } from "../format";
import { go, href } from "../router";
import { kms } from "../session";
import { Badge, Button, Check, FormModal, Head, Load, Select, Text, toast, useLoad } from "../ui/core";
import { namedKeys, type NamedKey } from "../ui/key-choice";
import { Table } from "../ui/table";

/** Details are asked for of this many keys at a time. */
const PARALLEL = 8;

type Row = NamedKey & { about?: KeyMetadata };

export const stateKind = (state?: string): string => (state === "Enabled" ? "good" : state === "PendingDeletion" ? "danger" : "warn");

async function described(keys: NamedKey[]): Promise<Row[]> {
  const client = await kms();
  const rows: Row[] = keys.map((key) => ({ ...key }));
  const left = [...rows];
  const worker = async () => {
    for (let row = left.shift(); row; row = left.shift()) {
      try {
        row.about = (await client.send(new DescribeKeyCommand({ KeyId: row.id }))).KeyMetadata;
      } catch {
        // Who may list a key may not always see it.
      }
    }
  };
  await Promise.all(Array.from({ length: PARALLEL }, worker));
  return rows;
}

export function Keys() {
  const [creating, setCreating] = useState(false);
  const keys = useLoad(async () => described(await namedKeys()), []);
  return (
    <div class="page">
      <Head title="Keys">
        <Button icon="plus" kind="primary" onClick={() => setCreating(true)}>
          Create key
        </Button>
      </Head>
      <Load of={keys}>
        {(rows) => (
          <Table
            caption="Keys"
            rows={rows}
            id={(key) => key.id}
            text={(key) => `${key.id} ${key.aliases.join(" ")} ${key.about?.Description ?? ""}`}
            empty={{ icon: "key", title: "No keys yet", children: <p>Objects without a key of your choice are under the gateway's own.</p> }}
            columns={[
              {
                name: "Key",
                by: (key) => key.aliases[0] ?? key.id,
                cell: (key) => (
                  <>
                    <a href={href(["key", key.id])}>{key.aliases[0] ?? key.id}</a>
                    <br />
                    <small>{key.about?.Description || (key.aliases[0] ? key.id : "no alias")}</small>
                  </>
                ),
              },
              { name: "State", by: (key) => key.about?.KeyState ?? "", cell: (key) => (key.about ? <Badge kind={stateKind(key.about.KeyState)}>{key.about.KeyState}</Badge> : <Badge>not shown to you</Badge>) },
              { name: "Kind", kind: "opt", by: (key) => key.about?.KeySpec ?? "", cell: (key) => key.about?.KeySpec },
              { name: "Use", kind: "opt", by: (key) => key.about?.KeyUsage ?? "", cell: (key) => key.about?.KeyUsage },
              { name: "Managed by", kind: "opt", cell: (key) => (key.about?.KeyManager === "AWS" ? "the gateway" : "you") },
              { name: "Created", kind: "opt", by: (key) => key.about?.CreationDate?.getTime() ?? 0, cell: (key) => time(key.about?.CreationDate) },
            ]}
          />
        )}
      </Load>
      {creating ? <Create onClose={() => setCreating(false)} /> : null}
    </div>
  );
}

const KINDS: Record<string, { label: string; specs: string[]; usages: string[] }> = {
  symmetric: { label: "Symmetric: for objects, and for data keys", specs: ["SYMMETRIC_DEFAULT"], usages: ["ENCRYPT_DECRYPT"] },
  rsa: { label: "RSA key pair", specs: ["RSA_2048", "RSA_3072", "RSA_4096"], usages: ["SIGN_VERIFY", "ENCRYPT_DECRYPT"] },
  ecc: { label: "Elliptic curve key pair", specs: ["ECC_NIST_P256", "ECC_NIST_P384", "ECC_NIST_P521", "ECC_SECG_P256K1"], usages: ["SIGN_VERIFY", "KEY_AGREEMENT"] },
  edwards: { label: "Edwards curve key pair", specs: ["ECC_NIST_EDWARDS25519"], usages: ["SIGN_VERIFY"] },
  mldsa: { label: "ML-DSA key pair (post-quantum)", specs: ["ML_DSA_44", "ML_DSA_65", "ML_DSA_87"], usages: ["SIGN_VERIFY"] },
  hmac: { label: "HMAC key", specs: ["HMAC_256", "HMAC_224", "HMAC_384", "HMAC_512"], usages: ["GENERATE_VERIFY_MAC"] },
};

function Create({ onClose }: { onClose: () => void }) {
  const [kind, setKind] = useState("symmetric");
  const [spec, setSpec] = useState("SYMMETRIC_DEFAULT");
  const [usage, setUsage] = useState("ENCRYPT_DECRYPT");
  const [alias, setAlias] = useState("");
  const [description, setDescription] = useState("");
  const [external, setExternal] = useState(false);
  const choose = (next: string) => {
    setKind(next);
    setSpec(KINDS[next]!.specs[0]!);
    setUsage(KINDS[next]!.usages[0]!);
  };
  const create = async () => {
    const client = await kms();
    const made = await client.send(new CreateKeyCommand({ KeySpec: spec as any, KeyUsage: usage as any, Description: description || undefined, Origin: external ? "EXTERNAL" : undefined }));
    const id = made.KeyMetadata!.KeyId!;
    if (alias) {
      try {
        await client.send(new CreateAliasCommand({ AliasName: `alias/${alias.replace(/^alias\//, "")}`, TargetKeyId: id }));
      } catch (error) {
        toast(`The key is there, but not its alias: ${(error as Error).message}`, "danger");
      }
    }
    toast("The key is created.");
    go(["key", id], external ? { tab: "import" } : {});
  };
  const { specs, usages } = KINDS[kind]!;
  return (
    <FormModal title="Create key" submit="Create" onClose={onClose} onSubmit={create}>
      <Select label="Kind" value={kind} onChange={choose} options={Object.entries(KINDS).map(([id, { label }]) => [id, label])} />
      {specs.length > 1 ? <Select label="Specification" value={spec} onChange={setSpec} options={specs} /> : null}
      {usages.length > 1 ? <Select label="Use" value={usage} onChange={setUsage} options={usages} /> : null}
      <Text label="Alias" value={alias} onInput={setAlias} placeholder="finance" pattern="(alias\/)?[A-Za-z0-9\/_\-]{1,250}" hint="A name that can be moved to another key later." />
      <Text label="Description" value={description} onInput={setDescription} />
      <Check label="I bring the key material" checked={external} onChange={setExternal} hint="The key can be used once you imported it; it is wrapped in this browser." />
    </FormModal>
  );
}
