/** Imported key material: wrapped in the browser under the gateway's public key, so that it never travels in the clear. */
import { useRef, useState } from "preact/hooks";
import * as sdk from "@aws-sdk/client-kms";
import { MOST_BYTES, readPkcs8 } from "../api/pkcs8";
import { time } from "../format";
import { kms } from "../session";
import { Badge, Button, Card, Check, Confirm, ErrorNote, Field, Text, toast } from "../ui/core";
import { parseKey } from "../ui/encryption-choice";
import type { KeyProps } from "./key";

/** How long the material is of keys that are mere bytes. All others are pairs, whose private key comes in PKCS#8. */
const LENGTHS: Record<string, number> = { SYMMETRIC_DEFAULT: 32, HMAC_224: 28, HMAC_256: 32, HMAC_384: 48, HMAC_512: 64 };

/** RSA-OAEP with SHA-256, as `RSAES_OAEP_SHA_256` wants it. */
async function seal(bytes: Uint8Array, publicKey: Uint8Array): Promise<Uint8Array> {
  const key = await crypto.subtle.importKey("spki", publicKey as BufferSource, { name: "RSA-OAEP", hash: "SHA-256" }, false, ["encrypt"]);
  return new Uint8Array(await crypto.subtle.encrypt({ name: "RSA-OAEP" }, key, bytes as BufferSource));
}

/** Private keys are too long for RSA: an AES key is under it, and they are under that, as `RSA_AES_KEY_WRAP_SHA_256` wants it. */
async function sealPair(pkcs8: Uint8Array, publicKey: Uint8Array): Promise<Uint8Array> {
  // WebCrypto's AES-KW has no padding.
  const { aeskwp } = await import("@noble/ciphers/aes.js");
  const aesKey = crypto.getRandomValues(new Uint8Array(32));
  const [sealedKey, wrapped] = [await seal(aesKey, publicKey), aeskwp(aesKey).encrypt(pkcs8)];
  aesKey.fill(0);
  return new Uint8Array([...sealedKey, ...wrapped]);
}

/** The private key in a file, if it is of the key's specification. */
async function readPair(file: File, wanted: string): Promise<Uint8Array> {
  if (file.size > MOST_BYTES) throw new Error("The file is too large for a private key. Choose another.");
  const bytes = new Uint8Array(await file.arrayBuffer());
  const { der, spec } = readPkcs8(bytes);
  bytes.fill(0);
  if (spec !== wanted) throw new Error(`The file holds ${spec ? `a key of ${spec}` : "a key of a kind that the gateway does not know"}, and this key is of ${wanted}. Choose another file, or create another key.`);
  return der;
}

export function ImportMaterial({ about, reload }: KeyProps) {
  const [text, setText] = useState("");
  const [file, setFile] = useState<File>();
  const chooser = useRef<HTMLInputElement>(null);
  const [expires, setExpires] = useState(false);
  const [until, setUntil] = useState(new Date(Date.now() + 365 * 86_400_000).toISOString().slice(0, 10));
  const [error, setError] = useState<unknown>();
  const [removing, setRemoving] = useState(false);
  const spec = about.KeySpec!;
  const len = LENGTHS[spec];
  const isThere = about.KeyState !== "PendingImport";
  const bring = async () => {
    setError(undefined);
    try {
      const material = len ? parseKey(text, len) : await readPair(file!, spec);
      if (!material) throw new Error(`Key material of ${spec} is ${len} bytes, in base64 or hexadecimal.`);
      const client = await kms();
      const parameters = await client.send(new sdk.GetParametersForImportCommand({ KeyId: about.KeyId, WrappingAlgorithm: len ? "RSAES_OAEP_SHA_256" : "RSA_AES_KEY_WRAP_SHA_256", WrappingKeySpec: "RSA_4096" }));
      const EncryptedKeyMaterial = await (len ? seal : sealPair)(material, parameters.PublicKey!);
      material.fill(0);
      await client.send(new sdk.ImportKeyMaterialCommand({ KeyId: about.KeyId, ImportToken: parameters.ImportToken, EncryptedKeyMaterial, ExpirationModel: expires ? "KEY_MATERIAL_EXPIRES" : "KEY_MATERIAL_DOES_NOT_EXPIRE", ValidTo: expires ? new Date(`${until}T00:00:00Z`) : undefined }));
      setText("");
      setFile(undefined);
      if (chooser.current) chooser.current.value = "";
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
        {len ? (
          <Text label="Key material" type="password" value={text} onInput={setText} autoComplete="off" placeholder={`${len} bytes, base64 or hexadecimal`} />
        ) : (
          <Field label="Private key" hint={`A file in PKCS#8, PEM or DER, with a key of ${spec} and without a passphrase.`}>
            <input ref={chooser} type="file" onChange={(event) => setFile(event.currentTarget.files?.[0])} />
          </Field>
        )}
        <Check label="It expires" checked={expires} onChange={setExpires} hint="After that day the key can't be used until the same material is imported again." />
        {expires ? (
          <Field label="On">
            <input type="date" value={until} onInput={(event) => setUntil(event.currentTarget.value)} />
          </Field>
        ) : null}
        {error ? <ErrorNote error={error} /> : null}
        <div class="row">
          <Button kind="primary" disabled={!(len ? text : file)} onClick={bring}>
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
