import { useState } from "preact/hooks";
import * as sdk from "@aws-sdk/client-iam";
import { time } from "../format";
import { go, href } from "../router";
import { iam } from "../session";
import { Badge, Button, Card, Confirm, Field, FormModal, Load, Text, toast, useLoad } from "../ui/core";
import { HolderList, HolderPage, NAME_PATTERN } from "../ui/holders";
import { managedPolicies } from "../ui/iam";
import { NewAccessKey } from "../ui/new-access-key";
import { Table } from "../ui/table";

export function Users(_: { parts: string[] }) {
  return (
    <HolderList
      kind="user"
      about="A user has access keys of its own, and may do what policies allow."
      list={async (Marker) => {
        const page = await (await iam()).send(new sdk.ListUsersCommand({ Marker, MaxItems: 1000 }));
        return { ...page, rows: page.Users?.map((one) => ({ name: one.UserName!, arn: one.Arn!, created: one.CreateDate })) };
      }}
      create={(close) => <Create onClose={close} />}
    />
  );
}

function Create({ onClose }: { onClose: () => void }) {
  const [name, setName] = useState("");
  const [policy, setPolicy] = useState("");
  const policies = useLoad(() => managedPolicies(), []);
  const create = async () => {
    const client = await iam();
    await client.send(new sdk.CreateUserCommand({ UserName: name }));
    if (policy) await client.send(new sdk.AttachUserPolicyCommand({ UserName: name, PolicyArn: policy }));
    toast(`${name} is created. Give it an access key to let it in.`);
    go(["user", name], { tab: "keys" });
  };
  return (
    <FormModal title="Create user" submit="Create" onClose={onClose} onSubmit={create}>
      <Text label="Name" value={name} onInput={setName} required pattern={NAME_PATTERN} />
      <Field label="Policy" hint="More can be attached later. Without any, the user may do nothing.">
        <select value={policy} onChange={(event) => setPolicy(event.currentTarget.value)}>
          <option value="">None</option>
          {policies.data?.map((one) => (
            <option key={one.Arn} value={one.Arn}>
              {one.PolicyName}
            </option>
          ))}
        </select>
      </Field>
    </FormModal>
  );
}

export function UserPage({ parts, query }: { parts: string[]; query: URLSearchParams }) {
  const name = parts[0]!;
  const remove = async () => {
    const client = await iam();
    const UserName = name;
    for (const key of (await client.send(new sdk.ListAccessKeysCommand({ UserName }))).AccessKeyMetadata ?? []) await client.send(new sdk.DeleteAccessKeyCommand({ UserName, AccessKeyId: key.AccessKeyId }));
    for (const group of (await client.send(new sdk.ListGroupsForUserCommand({ UserName }))).Groups ?? []) await client.send(new sdk.RemoveUserFromGroupCommand({ UserName, GroupName: group.GroupName }));
    await client.send(new sdk.DeleteUserCommand({ UserName }));
  };
  return (
    <HolderPage
      kind="user"
      name={name}
      query={query}
      load={async () => (await (await iam()).send(new sdk.GetUserCommand({ UserName: name }))).User!}
      arn={(user) => user.Arn!}
      tabs={[
        ["keys", "Access keys", () => <AccessKeys user={name} />],
        ["groups", "Groups", () => <Groups user={name} />],
      ]}
      warning="Its access keys stop working at once, and its policies and memberships go with it."
      remove={remove}
    />
  );
}

function AccessKeys({ user }: { user: string }) {
  const [made, setMade] = useState<sdk.AccessKey | undefined>();
  const [removing, setRemoving] = useState<string | undefined>();
  const keys = useLoad(async () => (await (await iam()).send(new sdk.ListAccessKeysCommand({ UserName: user }))).AccessKeyMetadata ?? [], []);
  const create = async () => {
    setMade((await (await iam()).send(new sdk.CreateAccessKeyCommand({ UserName: user }))).AccessKey);
    keys.reload();
  };
  const turn = async (AccessKeyId: string, Status: "Active" | "Inactive") => {
    await (await iam()).send(new sdk.UpdateAccessKeyCommand({ UserName: user, AccessKeyId, Status }));
    keys.reload();
  };
  return (
    <>
      <div class="row">
        <span class="grow muted">At most two, so that one can replace the other.</span>
        <Button icon="plus" kind="primary" onClick={create}>
          Create access key
        </Button>
      </div>
      <Load of={keys}>
        {(rows) => (
          <Table
            caption="Access keys"
            rows={rows}
            id={(key) => key.AccessKeyId!}
            empty={{ icon: "key", title: "No access keys" }}
            columns={[
              { name: "Access key ID", cell: (key) => <code>{key.AccessKeyId}</code> },
              { name: "Status", cell: (key) => <Badge kind={key.Status === "Active" ? "good" : ""}>{key.Status}</Badge> },
              { name: "Created", kind: "opt", cell: (key) => time(key.CreateDate) },
              {
                name: "",
                kind: "act",
                cell: (key) => (
                  <span class="row tight end">
                    <Button kind="small" onClick={() => turn(key.AccessKeyId!, key.Status === "Active" ? "Inactive" : "Active")}>
                      {key.Status === "Active" ? "Deactivate" : "Activate"}
                    </Button>
                    <Button kind="small danger" icon="trash" label={`Delete ${key.AccessKeyId}`} onClick={() => setRemoving(key.AccessKeyId)} />
                  </span>
                ),
              },
            ]}
          />
        )}
      </Load>
      {made ? <NewAccessKey id={made.AccessKeyId!} secret={made.SecretAccessKey!} onClose={() => setMade(undefined)} /> : null}
      {removing ? (
        <Confirm
          title="Delete this access key?"
          submit="Delete"
          onClose={() => setRemoving(undefined)}
          onSubmit={async () => {
            await (await iam()).send(new sdk.DeleteAccessKeyCommand({ UserName: user, AccessKeyId: removing }));
            setRemoving(undefined);
            keys.reload();
          }}
        >
          <p>
            Requests signed by <code>{removing}</code> are refused at once.
          </p>
        </Confirm>
      ) : null}
    </>
  );
}

function Groups({ user }: { user: string }) {
  const groups = useLoad(async () => {
    const client = await iam();
    const [mine, all] = await Promise.all([client.send(new sdk.ListGroupsForUserCommand({ UserName: user })), client.send(new sdk.ListGroupsCommand({ MaxItems: 1000 }))]);
    return { mine: mine.Groups ?? [], all: all.Groups ?? [] };
  }, []);
  const [chosen, setChosen] = useState("");
  const change = async (GroupName: string, add: boolean) => {
    const client = await iam();
    if (add) await client.send(new sdk.AddUserToGroupCommand({ UserName: user, GroupName }));
    else await client.send(new sdk.RemoveUserFromGroupCommand({ UserName: user, GroupName }));
    groups.reload();
  };
  return (
    <Card title="Groups">
      <Load of={groups}>
        {({ mine, all }) => (
          <div class="stack">
            <ul class="plain">
              {mine.length ? null : <li class="muted">In no group.</li>}
              {mine.map((group) => (
                <li class="row" key={group.GroupName}>
                  <a class="grow" href={href(["group", group.GroupName!])}>
                    {group.GroupName}
                  </a>
                  <Button kind="small" onClick={() => change(group.GroupName!, false)}>
                    Leave
                  </Button>
                </li>
              ))}
            </ul>
            <Field label="Add to">
              <select value={chosen} onChange={(event) => setChosen(event.currentTarget.value)}>
                <option value="">…</option>
                {all.filter((group) => !mine.some((one) => one.GroupName === group.GroupName)).map((group) => (
                  <option key={group.GroupName}>{group.GroupName}</option>
                ))}
              </select>
            </Field>
            <div class="row">
              <Button kind="primary" disabled={!chosen} onClick={() => change(chosen, true)}>
                Add
              </Button>
            </div>
          </div>
        )}
      </Load>
    </Card>
  );
}
