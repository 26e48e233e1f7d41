import { useState } from "preact/hooks";
import * as sdk from "@aws-sdk/client-kms";
import { time } from "../format";
import { kms } from "../session";
import { Badge, Button, Check, Confirm, Field, FormModal, Load, Text, toast, useLoad } from "../ui/core";
import { Table } from "../ui/table";
import type { KeyProps } from "./key";

const OPERATIONS: sdk.GrantOperation[] = ["Encrypt", "Decrypt", "GenerateDataKey", "GenerateDataKeyWithoutPlaintext", "ReEncryptFrom", "ReEncryptTo", "DescribeKey", "CreateGrant", "RetireGrant", "Sign", "Verify", "GetPublicKey", "GenerateMac", "VerifyMac"];

export function Grants({ about }: KeyProps) {
  const [adding, setAdding] = useState(false);
  const [revoking, setRevoking] = useState<sdk.GrantListEntry | undefined>();
  const grants = useLoad(async () => {
    const client = await kms();
    const all: sdk.GrantListEntry[] = [];
    let Marker: string | undefined;
    do {
      const page = await client.send(new sdk.ListGrantsCommand({ KeyId: about.KeyId, Marker }));
      all.push(...(page.Grants ?? []));
      Marker = page.NextMarker;
    } while (Marker && all.length < 1000);
    return all;
  }, []);
  return (
    <>
      <div class="row">
        <span class="grow muted">A grant lets somebody use this key, beside its policy, for a time.</span>
        <Button icon="plus" kind="primary" onClick={() => setAdding(true)}>
          Create grant
        </Button>
      </div>
      <Load of={grants}>
        {(rows) => (
          <Table
            caption="Grants"
            rows={rows}
            id={(one) => one.GrantId!}
            text={(one) => `${one.GranteePrincipal} ${one.Name}`}
            empty={{ icon: "key", title: "No grants" }}
            columns={[
              { name: "Grantee", by: (one) => one.GranteePrincipal ?? "", cell: (one) => <><code>{one.GranteePrincipal}</code>{one.Name ? <><br /><small>{one.Name}</small></> : null}</> },
              { name: "May", cell: (one) => <span class="row tight">{one.Operations?.map((operation) => <Badge key={operation}>{operation}</Badge>)}</span> },
              { name: "Only under", kind: "opt", cell: (one) => (one.Constraints ? <code>{JSON.stringify(one.Constraints.EncryptionContextEquals ?? one.Constraints.EncryptionContextSubset)}</code> : "any context") },
              { name: "Created", kind: "opt", cell: (one) => time(one.CreationDate) },
              { name: "", kind: "act", cell: (one) => <Button kind="small danger" onClick={() => setRevoking(one)}>Revoke</Button> },
            ]}
          />
        )}
      </Load>
      {adding ? <Create about={about} onClose={() => setAdding(false)} onDone={() => { setAdding(false); grants.reload(); }} /> : null}
      {revoking ? (
        <Confirm
          title="Revoke this grant?"
          submit="Revoke"
          onClose={() => setRevoking(undefined)}
          onSubmit={async () => {
            await (await kms()).send(new sdk.RevokeGrantCommand({ KeyId: about.KeyId, GrantId: revoking.GrantId }));
            toast("The grant is revoked.");
            setRevoking(undefined);
            grants.reload();
          }}
        >
          <p>
            <code>{revoking.GranteePrincipal}</code> can't use the key by it any more, at once.
          </p>
        </Confirm>
      ) : null}
    </>
  );
}

function Create({ about, onClose, onDone }: { about: sdk.KeyMetadata; onClose: () => void; onDone: () => void }) {
  const [who, setWho] = useState("");
  const [name, setName] = useState("");
  const [context, setContext] = useState("");
  const [operations, setOperations] = useState<sdk.GrantOperation[]>(["Decrypt"]);
  const create = async () => {
    const Constraints = context.trim() ? { EncryptionContextSubset: JSON.parse(context) as Record<string, string> } : undefined;
    await (await kms()).send(new sdk.CreateGrantCommand({ KeyId: about.KeyId, GranteePrincipal: who.trim(), Name: name || undefined, Operations: operations, Constraints }));
    toast("The grant is created.");
    onDone();
  };
  return (
    <FormModal title="Create grant" submit="Create" onClose={onClose} onSubmit={create} ready={operations.length > 0}>
      <Text label="Grantee's ARN" value={who} onInput={setWho} required placeholder="arn:aws:iam::…:user/…" />
      <Text label="Name" value={name} onInput={setName} />
      <fieldset class="cols">
        <legend class="field">
          <span class="label">May</span>
        </legend>
        {OPERATIONS.map((operation) => (
          <Check key={operation} label={operation} checked={operations.includes(operation)} onChange={(on) => setOperations(on ? [...operations, operation] : operations.filter((one) => one !== operation))} />
        ))}
      </fieldset>
      <Field label="Only where the encryption context has" hint="A JSON object of strings; empty: any context.">
        <input value={context} onInput={(event) => setContext(event.currentTarget.value)} placeholder='{"department":"finance"}' spellcheck={false} />
      </Field>
    </FormModal>
  );
}
