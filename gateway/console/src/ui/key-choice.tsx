/** A KMS key, chosen from those that one may see or typed in. */
import { ListAliasesCommand, ListKeysCommand } from "@aws-sdk/client-kms";
import { kms } from "../session";
import { Field, useLoad } from "./core";

export interface NamedKey {
  id: string;
  arn: string;
  aliases: string[];
}

/** Keys and their aliases, at most 1,000. */
export async function namedKeys(): Promise<NamedKey[]> {
  const client = await kms();
  const keys: NamedKey[] = [];
  let Marker: string | undefined;
  do {
    const page = await client.send(new ListKeysCommand({ Marker, Limit: 100 }));
    for (const key of page.Keys ?? []) keys.push({ id: key.KeyId!, arn: key.KeyArn!, aliases: [] });
    Marker = page.NextMarker;
  } while (Marker && keys.length < 1000);
  const byId = new Map(keys.map((key) => [key.id, key]));
  do {
    const page = await client.send(new ListAliasesCommand({ Marker, Limit: 100 }));
    for (const alias of page.Aliases ?? []) byId.get(alias.TargetKeyId ?? "")?.aliases.push(alias.AliasName!);
    Marker = page.NextMarker;
  } while (Marker);
  return keys;
}

export function KeyChoice({ value, onChange, label = "KMS key" }: { value: string; onChange: (id: string) => void; label?: string }) {
  const keys = useLoad(namedKeys, []);
  return (
    <Field label={label} hint={keys.error ? "Keys can't be listed by you: type a key's id, ARN or alias." : "Leave it empty for the gateway's own key, aws/s3."}>
      <input value={value} onInput={(event) => onChange(event.currentTarget.value)} list="known-keys" spellcheck={false} placeholder="alias/… or a key's id" />
      <datalist id="known-keys">
        {keys.data?.map((key) => (
          <option key={key.id} value={key.aliases[0] ?? key.id}>
            {key.id}
          </option>
        ))}
      </datalist>
    </Field>
  );
}
