import { useState } from "preact/hooks";
import * as sdk from "@aws-sdk/client-iam";
import { go, href } from "../router";
import { iam } from "../session";
import { Button, Card, FormModal, Text } from "../ui/core";
import { HolderList, HolderPage, NAME_PATTERN } from "../ui/holders";

export function Groups(_: { parts: string[] }) {
  return (
    <HolderList
      kind="group"
      about="Users of a group have its policies."
      list={async (Marker) => {
        const page = await (await iam()).send(new sdk.ListGroupsCommand({ Marker, MaxItems: 1000 }));
        return { ...page, rows: page.Groups?.map((one) => ({ name: one.GroupName!, arn: one.Arn!, created: one.CreateDate })) };
      }}
      create={(close) => <Create onClose={close} />}
    />
  );
}

function Create({ onClose }: { onClose: () => void }) {
  const [name, setName] = useState("");
  const create = async () => {
    await (await iam()).send(new sdk.CreateGroupCommand({ GroupName: name }));
    go(["group", name]);
  };
  return (
    <FormModal title="Create group" submit="Create" onClose={onClose} onSubmit={create}>
      <Text label="Name" value={name} onInput={setName} required pattern={NAME_PATTERN} />
    </FormModal>
  );
}

const members = async (GroupName: string) => (await iam()).send(new sdk.GetGroupCommand({ GroupName, MaxItems: 1000 }));

export function GroupPage({ parts, query }: { parts: string[]; query: URLSearchParams }) {
  const name = parts[0]!;
  const remove = async () => {
    const client = await iam();
    for (const user of (await members(name)).Users ?? []) await client.send(new sdk.RemoveUserFromGroupCommand({ GroupName: name, UserName: user.UserName }));
    await client.send(new sdk.DeleteGroupCommand({ GroupName: name }));
  };
  return (
    <HolderPage
      kind="group"
      name={name}
      query={query}
      load={() => members(name)}
      arn={(data) => data.Group!.Arn!}
      tabs={[["users", "Users", (data, reload) => <Members group={name} users={data.Users ?? []} reload={reload} />]]}
      warning="Its users stay, without what its policies allowed."
      remove={remove}
    />
  );
}

function Members({ group, users, reload }: { group: string; users: sdk.User[]; reload: () => void }) {
  const [adding, setAdding] = useState("");
  const change = async (UserName: string, add: boolean) => {
    const client = await iam();
    if (add) await client.send(new sdk.AddUserToGroupCommand({ GroupName: group, UserName }));
    else await client.send(new sdk.RemoveUserFromGroupCommand({ GroupName: group, UserName }));
    setAdding("");
    reload();
  };
  return (
    <Card title="Users">
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
    </Card>
  );
}
