import { useState } from "preact/hooks";
import * as sdk from "@aws-sdk/client-iam";
import { time } from "../format";
import { go, href } from "../router";
import { iam } from "../session";
import { Button, Card, Confirm, FormModal, Head, Load, Text, toast, useLoad } from "../ui/core";
import { HolderPolicies, pages, strip, type Holder } from "../ui/iam";
import { Table } from "../ui/table";

export function Groups(_: { parts: string[] }) {
  const [creating, setCreating] = useState(false);
  const [name, setName] = useState("");
  const groups = useLoad(async () => {
    const client = await iam();
    return pages(async (Marker) => {
      const page = await client.send(new sdk.ListGroupsCommand({ Marker, MaxItems: 1000 }));
      return { rows: page.Groups, IsTruncated: page.IsTruncated, Marker: page.Marker };
    });
  }, []);
  const create = async () => {
    await (await iam()).send(new sdk.CreateGroupCommand({ GroupName: name }));
    go(["group", name]);
  };
  return (
    <div class="page">
      <Head title="Groups">
        <Button icon="plus" kind="primary" onClick={() => setCreating(true)}>
          Create group
        </Button>
      </Head>
      <Load of={groups}>
        {(rows) => (
          <Table
            caption="Groups"
            rows={rows}
            id={(group) => group.Arn!}
            text={(group) => group.GroupName!}
            empty={{ icon: "group", title: "No groups yet", children: <p>Users of a group have its policies.</p> }}
            columns={[
              { name: "Name", by: (group) => group.GroupName!, cell: (group) => <a href={href(["group", group.GroupName!])}>{group.GroupName}</a> },
              { name: "ARN", kind: "opt", cell: (group) => <code>{group.Arn}</code> },
              { name: "Created", by: (group) => group.CreateDate?.getTime() ?? 0, cell: (group) => time(group.CreateDate) },
            ]}
          />
        )}
      </Load>
      {creating ? (
        <FormModal title="Create group" submit="Create" onClose={() => setCreating(false)} onSubmit={create}>
          <Text label="Name" value={name} onInput={setName} required />
        </FormModal>
      ) : null}
    </div>
  );
}

export function GroupPage({ parts }: { parts: string[] }) {
  const name = parts[0]!;
  const holder: Holder = { kind: "group", name };
  const [removing, setRemoving] = useState(false);
  const [adding, setAdding] = useState("");
  const members = useLoad(async () => (await (await iam()).send(new sdk.GetGroupCommand({ GroupName: name, MaxItems: 1000 }))).Users ?? [], [name]);
  const change = async (UserName: string, add: boolean) => {
    const client = await iam();
    if (add) await client.send(new sdk.AddUserToGroupCommand({ GroupName: name, UserName }));
    else await client.send(new sdk.RemoveUserFromGroupCommand({ GroupName: name, UserName }));
    setAdding("");
    members.reload();
  };
  const remove = async () => {
    const client = await iam();
    for (const user of members.data ?? []) await client.send(new sdk.RemoveUserFromGroupCommand({ GroupName: name, UserName: user.UserName }));
    await strip(holder);
    await client.send(new sdk.DeleteGroupCommand({ GroupName: name }));
    toast(`${name} is deleted.`);
    go(["groups"]);
  };
  return (
    <div class="page">
      <Head title={name} crumbs={<a href={href(["groups"])}>Groups</a>}>
        <Button icon="trash" kind="danger" onClick={() => setRemoving(true)}>
          Delete
        </Button>
      </Head>
      <HolderPolicies holder={holder} />
      <Card title="Users">
        <Load of={members}>
          {(users) => (
            <div class="stack">
              <ul class="plain">
                {users.length ? null : <li class="muted">No users.</li>}
                {users.map((user) => (
                  <li class="row" key={user.Arn}>
                    <a class="grow" href={href(["user", user.UserName!])}>
                      {user.UserName}
                    </a>
                    <Button kind="small" onClick={() => change(user.UserName!, false)}>
                      Remove
                    </Button>
                  </li>
                ))}
              </ul>
              <Text label="Add a user" value={adding} onInput={setAdding} placeholder="name" />
              <div class="row">
                <Button kind="primary" disabled={!adding} onClick={() => change(adding, true)}>
                  Add
                </Button>
              </div>
            </div>
          )}
        </Load>
      </Card>
      {removing ? (
        <Confirm title={`Delete ${name}?`} submit="Delete group" typed={name} onClose={() => setRemoving(false)} onSubmit={remove}>
          <p>Its users stay, without what its policies allowed.</p>
        </Confirm>
      ) : null}
    </div>
  );
}
