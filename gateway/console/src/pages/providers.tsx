import { useState } from "preact/hooks";
import * as sdk from "@aws-sdk/client-iam";
import { tail, time } from "../format";
import { iam } from "../session";
import { Badge, Button, Confirm, FormModal, Head, Load, Text, toast, useLoad } from "../ui/core";
import { Table } from "../ui/table";

type Row = sdk.GetOpenIDConnectProviderResponse & { arn: string };

/** OpenID Connect providers, whose users may take roles on. */
export function Providers(_: { parts: string[] }) {
  const [creating, setCreating] = useState(false);
  const [removing, setRemoving] = useState("");
  const providers = useLoad(async () => {
    const client = await iam();
    const list = (await client.send(new sdk.ListOpenIDConnectProvidersCommand({}))).OpenIDConnectProviderList ?? [];
    return Promise.all(list.map(async ({ Arn }): Promise<Row> => ({ ...(await client.send(new sdk.GetOpenIDConnectProviderCommand({ OpenIDConnectProviderArn: Arn }))), arn: Arn! })));
  }, []);
  return (
    <div class="page">
      <Head title="Identity providers">
        <Button icon="plus" kind="primary" onClick={() => setCreating(true)}>
          Add provider
        </Button>
      </Head>
      <Load of={providers}>
        {(rows) => (
          <Table
            caption="Identity providers"
            rows={rows}
            id={(one) => one.arn}
            empty={{ icon: "shield", title: "No identity providers", children: <p>Users of an OpenID Connect provider can sign in here, and take on the roles that trust it.</p> }}
            columns={[
              { name: "Issuer", by: (one) => one.Url ?? "", cell: (one) => <code>{one.Url}</code> },
              { name: "Client ids", cell: (one) => one.ClientIDList?.map((id) => <Badge key={id}>{id}</Badge>) },
              { name: "Added", kind: "opt", cell: (one) => time(one.CreateDate) },
              { name: "", kind: "act", cell: (one) => <Button kind="small danger" icon="trash" label={`Remove ${one.Url}`} onClick={() => setRemoving(one.arn)} /> },
            ]}
          />
        )}
      </Load>
      {creating ? <Create onClose={() => setCreating(false)} onDone={() => { setCreating(false); providers.reload(); }} /> : null}
      {removing ? (
        <Confirm
          title="Remove this provider?"
          submit="Remove"
          onClose={() => setRemoving("")}
          onSubmit={async () => {
            await (await iam()).send(new sdk.DeleteOpenIDConnectProviderCommand({ OpenIDConnectProviderArn: removing }));
            setRemoving("");
            providers.reload();
          }}
        >
          <p>
            Nobody gets a session by a token of <code>{tail(removing)}</code> any more. Sessions that are there go on until they end.
          </p>
        </Confirm>
      ) : null}
    </div>
  );
}

function Create({ onClose, onDone }: { onClose: () => void; onDone: () => void }) {
  const [url, setUrl] = useState("");
  const [client, setClient] = useState("");
  const [thumbprint, setThumbprint] = useState("");
  const create = async () => {
    await (await iam()).send(new sdk.CreateOpenIDConnectProviderCommand({ Url: url.trim(), ClientIDList: client.split(/[\s,]+/).filter(Boolean), ThumbprintList: thumbprint ? [thumbprint.replace(/:/g, "").toLowerCase()] : undefined }));
    toast("The provider is added.");
    onDone();
  };
  return (
    <FormModal title="Add an OpenID Connect provider" submit="Add" onClose={onClose} onSubmit={create}>
      <Text label="Issuer" value={url} onInput={setUrl} required placeholder="https://login.example.com" />
      <Text label="Client ids" value={client} onInput={setClient} required placeholder="sealgate" hint="The first is the one that this console logs in with." />
      <Text label="Thumbprint" value={thumbprint} onInput={setThumbprint} placeholder="40 hexadecimal digits" hint="SHA-1 of its certificate, where no known authority signed that. Else leave it empty." />
    </FormModal>
  );
}
