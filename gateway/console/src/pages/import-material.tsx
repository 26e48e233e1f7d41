/** Imported key material: wrapped in the browser under the gateway's public key, so that it never travels in the clear. */
import { useState } from "preact/hooks";
import * as sdk from "@aws-sdk/client-kms";
import { time } from "../format";
import { kms } from "../session";
import { Badge, Button, Card, Check, Confirm, ErrorNote, Field, Text, toast } from "../ui/core";
import { parseCustomerKey } from "../ui/encryption-choice";
import type { KeyProps } from "./key";

/** Wraps 32 bytes by RSA-OAEP with SHA-256, as `RSAES_OAEP_SHA_256` wants them. */
async function wrap(material: Uint8Array, publicKey: Uint8Array): Promise<Uint8Array> {
  const key = await crypto.subtle.importKey("spki", publicKey as BufferSource, { name: "RSA-OAEP", hash: "SHA-256" }, false, ["encrypt"]);
  return new Uint8Array(await crypto.subtle.encrypt({ name: "RSA-OAEP" }, key, material as BufferSource));
}

export function ImportMaterial({ about, reload }: KeyProps) {
  const [text, setText] = useState("");
  const [expires, setExpires] = useState(false);
  const [until, setUntil] = useState(new Date(Date.now() + 365 * 86_400_000).toISOString().slice(0, 10));
  const [error, setError] = useState<unknown>();
  const [removing, setRemoving] = useState(false);
  const isThere = about.KeyState !== "PendingImport";
  const bring = async () => {
    setError(undefined);
    try {
      const material = parseCustomerKey(text);
      if (!material) throw new Error("Key material is 32 bytes, in base64 or hexadecimal.");
      const client = await kms();
      const parameters = await client.send(new sdk.GetParametersForImportCommand({ KeyId: about.KeyId, WrappingAlgorithm: "RSAES_OAEP_SHA_256", WrappingKeySpec: "RSA_4096" }));
      const EncryptedKeyMaterial = await wrap(material, parameters.PublicKey!);
      material.fill(0);
      await client.send(new sdk.ImportKeyMaterialCommand({ KeyId: about.KeyId, ImportToken: parameters.ImportToken, EncryptedKeyMaterial, ExpirationModel: expires ? "KEY_MATERIAL_EXPIRES" : "KEY_MATERIAL_DOES_NOT_EXPIRE", ValidTo: expires ? new Date(`${until}T00:00:00Z`) : undefined }));
      setText("");
      toast("The key material is imported.");
      reload();
    } catch (problem) {
      setError(problem);
    }
  };
  return (
    <Card title="Imported key material" actions={<Badge kind={isThere ? "good" : "warn"}>{isThere ? (about.ValidTo ? `until ${time(about.ValidTo)}` : "there") : "awaited"}</Badge>}>
      <div class="stack">
        <p class="muted">The material is wrapped in this browser, under a public key that the gateway made for this import. Keep a copy of it: the gateway hands it out to nobody.</p>
        {globalThis.crypto?.subtle ? null : <p class="note danger">This browser wraps keys on pages by HTTPS or from localhost alone.</p>}
        <Text label="Key material" type="password" value={text} onInput={setText} autoComplete="off" placeholder="32 bytes, base64 or hexadecimal" />
        <Check label="It expires" checked={expires} onChange={setExpires} hint="After that day the key can't be used until the same material is imported again." />
        {expires ? (
          <Field label="On">
            <input type="date" value={until} onInput={(event) => setUntil(event.currentTarget.value)} />
          </Field>
        ) : null}
        {error ? <ErrorNote error={error} /> : null}
        <div class="row">
          <Button kind="primary" disabled={!text} onClick={bring}>
            Wrap and import
          </Button>
          {isThere ? (
            <Button kind="danger" onClick={() => setRemoving(true)}>
              Delete the material
            </Button>
          ) : null}
        </div>
      </div>
      {removing ? (
        <Confirm
          title="Delete the imported material?"
          submit="Delete the material"
          onClose={() => setRemoving(false)}
          onSubmit={async () => {
            await (await kms()).send(new sdk.DeleteImportedKeyMaterialCommand({ KeyId: about.KeyId }));
            setRemoving(false);
            reload();
          }}
        >
          <p>What is under this key can't be read until the same material is imported again. Without a copy of it that is for ever.</p>
        </Confirm>
      ) : null}
    </Card>
  );
}
