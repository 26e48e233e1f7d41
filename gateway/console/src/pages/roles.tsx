import { useState } from "preact/hooks";
import * as sdk from "@aws-sdk/client-iam";
import { adminPost } from "../api/admin";
import { time } from "../format";
import { go, href } from "../router";
import { iam, identity } from "../session";
import { Button, Card, Confirm, Copy, ErrorNote, FormModal, Head, Load, Tabs, Text, toast, useLoad } from "../ui/core";
import { HolderPolicies, RevokeSessions, pages, pretty, strip, type Holder } from "../ui/iam";
import { PolicyEditor, faults } from "../ui/policy-editor";
import { Simulation } from "../ui/simulation";
import { Table } from "../ui/table";

export function Roles(_: { parts: string[] }) {
  const [creating, setCreating] = useState(false);
  const roles = useLoad(async () => {
    const client = await iam();
    return pages(async (Marker) => {
      const page = await client.send(new sdk.ListRolesCommand({ Marker, MaxItems: 1000 }));
      return { rows: page.Roles, IsTruncated: page.IsTruncated, Marker: page.Marker };
    });
  }, []);
  return (
    <div class="page">
      <Head title="Roles">
        <Button icon="plus" kind="primary" onClick={() => setCreating(true)}>
          Create role
        </Button>
      </Head>
      <Load of={roles}>
        {(rows) => (
          <Table
            caption="Roles"
            rows={rows}
            id={(role) => role.Arn!}
            text={(role) => role.RoleName!}
            empty={{ icon: "role", title: "No roles yet", children: <p>A role is taken on for a session: by users, and by who logs in elsewhere.</p> }}
            columns={[
              { name: "Name", by: (role) => role.RoleName!, cell: (role) => <a href={href(["role", role.RoleName!])}>{role.RoleName}</a> },
              { name: "Description", kind: "opt", cell: (role) => role.Description },
              { name: "Created", by: (role) => role.CreateDate?.getTime() ?? 0, cell: (role) => time(role.CreateDate) },
            ]}
          />
        )}
      </Load>
      {creating ? <Create onClose={() => setCreating(false)} /> : null}
    </div>
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
      <Text label="Name" value={name} onInput={setName} required pattern="[A-Za-z0-9+=,.@_\-]{1,64}" />
      <Text label="Description" value={description} onInput={setDescription} />
      <h3>Who may take it on</h3>
      <PolicyEditor kind="trust" value={trust} onInput={setTrust} />
    </FormModal>
  );
}

export function RolePage({ parts, query }: { parts: string[]; query: URLSearchParams }) {
  const name = parts[0]!;
  const tab = query.get("tab") ?? "policies";
  const holder: Holder = { kind: "role", name };
  const [removing, setRemoving] = useState(false);
  const role = useLoad(async () => (await (await iam()).send(new sdk.GetRoleCommand({ RoleName: name }))).Role!, [name]);
  const remove = async () => {
    await strip(holder);
    await (await iam()).send(new sdk.DeleteRoleCommand({ RoleName: name }));
    toast(`${name} is deleted.`);
    go(["roles"]);
  };
  return (
    <div class="page">
      <Head title={name} crumbs={<a href={href(["roles"])}>Roles</a>}>
        <Button icon="trash" kind="danger" onClick={() => setRemoving(true)}>
          Delete
        </Button>
      </Head>
      <Tabs tabs={[["policies", "Policies"], ["trust", "Trust"], ["why", "Why denied?"], ["sessions", "Sessions"]]} value={tab} onChange={(id) => go(["role", name], { tab: id })} />
      <Load of={role}>
        {(data) => (
          <div class="stack" key={tab}>
            {tab === "trust" ? (
              <Trust role={data} reload={role.reload} />
            ) : tab === "why" ? (
              <Card title={`Would ${name} be allowed?`}>
                <Simulation principal={data.Arn!} />
              </Card>
            ) : tab === "sessions" ? (
              <RevokeSessions holder={holder} revoke={() => adminPost(`roles/${encodeURIComponent(name)}/revoke-sessions`)} />
            ) : (
              <>
                <HolderPolicies holder={holder} />
                <Card>
                  <Copy value={data.Arn!} />
                </Card>
              </>
            )}
          </div>
        )}
      </Load>
      {removing ? (
        <Confirm title={`Delete ${name}?`} submit="Delete role" typed={name} onClose={() => setRemoving(false)} onSubmit={remove}>
          <p>Sessions of it may do nothing more.</p>
        </Confirm>
      ) : null}
    </div>
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
