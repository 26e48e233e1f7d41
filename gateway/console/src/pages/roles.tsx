import { useState } from "preact/hooks";
import * as sdk from "@aws-sdk/client-iam";
import { go } from "../router";
import { iam, identity } from "../session";
import { Button, Card, ErrorNote, FormModal, Text, toast } from "../ui/core";
import { HolderList, HolderPage, NAME_PATTERN } from "../ui/holders";
import { pretty } from "../ui/iam";
import { PolicyEditor, faults } from "../ui/policy-editor";

export function Roles(_: { parts: string[] }) {
  return (
    <HolderList
      kind="role"
      about="A role is taken on for a session: by users, and by who logs in elsewhere."
      list={async (Marker) => {
        const page = await (await iam()).send(new sdk.ListRolesCommand({ Marker, MaxItems: 1000 }));
        return { ...page, rows: page.Roles?.map((one) => ({ name: one.RoleName!, arn: one.Arn!, created: one.CreateDate, description: one.Description })) };
      }}
      create={(close) => <Create onClose={close} />}
    />
  );
}

function Create({ onClose }: { onClose: () => void }) {
  const [name, setName] = useState("");
  const [description, setDescription] = useState("");
  const [trust, setTrust] = useState(() => JSON.stringify({ Version: "2012-10-17", Statement: [{ Effect: "Allow", Principal: { AWS: `arn:aws:iam::${identity.value!.account}:root` }, Action: "sts:AssumeRole" }] }, null, 2));
  const create = async () => {
    await (await iam()).send(new sdk.CreateRoleCommand({ RoleName: name, Description: description || undefined, AssumeRolePolicyDocument: trust }));
    toast(`${name} is created.`);
    go(["role", name]);
  };
  return (
    <FormModal wide title="Create role" submit="Create" onClose={onClose} onSubmit={create} ready={faults(trust, "trust").length === 0}>
      <Text label="Name" value={name} onInput={setName} required pattern={NAME_PATTERN} />
      <Text label="Description" value={description} onInput={setDescription} />
      <h3>Who may take it on</h3>
      <PolicyEditor kind="trust" value={trust} onInput={setTrust} />
    </FormModal>
  );
}

export function RolePage({ parts, query }: { parts: string[]; query: URLSearchParams }) {
  const name = parts[0]!;
  return (
    <HolderPage
      kind="role"
      name={name}
      query={query}
      load={async () => (await (await iam()).send(new sdk.GetRoleCommand({ RoleName: name }))).Role!}
      arn={(role) => role.Arn!}
      tabs={[["trust", "Trust", (role, reload) => <Trust role={role} reload={reload} />]]}
      warning="Sessions of it may do nothing more."
      remove={async () => (await iam()).send(new sdk.DeleteRoleCommand({ RoleName: name }))}
    />
  );
}

function Trust({ role, reload }: { role: sdk.Role; reload: () => void }) {
  const [value, setValue] = useState(pretty(role.AssumeRolePolicyDocument));
  const [error, setError] = useState<unknown>();
  const save = async () => {
    setError(undefined);
    try {
      await (await iam()).send(new sdk.UpdateAssumeRolePolicyCommand({ RoleName: role.RoleName, PolicyDocument: value }));
      toast("Saved.");
      reload();
    } catch (problem) {
      setError(problem);
    }
  };
  return (
    <Card title="Who may take this role on">
      <div class="stack">
        <PolicyEditor kind="trust" value={value} onInput={setValue} />
        {error ? <ErrorNote error={error} /> : null}
        <div class="row">
          <Button kind="primary" disabled={faults(value, "trust").length > 0} onClick={save}>
            Save
          </Button>
        </div>
      </div>
    </Card>
  );
}
