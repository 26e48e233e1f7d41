/** How objects that are written get encrypted: as the bucket says, or otherwise. */
import { useState } from "preact/hooks";
import { Button, Field, Select, Text } from "./core";
import { KeyChoice } from "./key-choice";
import type { Options } from "./transfers";

export interface Choice {
  mode: "" | "AES256" | "aws:kms" | "aws:kms:dsse" | "customer";
  keyId: string;
  context: string;
  /** Base64 of 32 bytes. It stays in this tab, and goes with requests for this object alone. */
  customerKey: string;
}

export const asTheBucketSays: Choice = { mode: "", keyId: "", context: "", customerKey: "" };

const base64 = (bytes: Uint8Array): string => btoa(String.fromCharCode(...bytes));

/** A key of so many bytes: base64 or hexadecimal. */
export function parseKey(text: string, len = 32): Uint8Array | undefined {
  const clean = text.trim();
  if (clean.length === 2 * len && /^[0-9a-f]+$/i.test(clean)) return Uint8Array.from(clean.match(/../g)!, (pair) => parseInt(pair, 16));
  try {
    const bytes = Uint8Array.from(atob(clean), (one) => one.charCodeAt(0));
    return bytes.length === len ? bytes : undefined;
  } catch {
    return undefined;
  }
}

/** What requests for an object of SSE-C carry, as the SDK names it. */
export function customerParameters(text: string): Record<string, unknown> {
  if (!text) return {};
  const key = parseKey(text);
  if (!key) throw new Error("The customer key has to be 32 bytes, in base64 or hexadecimal.");
  return { SSECustomerAlgorithm: "AES256", SSECustomerKey: key };
}

export function writeOptions(choice: Choice): Options {
  if (choice.mode === "customer") {
    if (!choice.customerKey) throw new Error("SSE-C needs a key: type one, or make one.");
    const parameters = customerParameters(choice.customerKey);
    return { parameters, partParameters: parameters };
  }
  if (!choice.mode) return { parameters: {}, partParameters: {} };
  const context = choice.context.trim();
  if (context) {
    const parsed = JSON.parse(context);
    if (typeof parsed !== "object" || Object.values(parsed).some((value) => typeof value !== "string")) throw new Error("The encryption context has to be a JSON object of strings.");
  }
  const isKms = choice.mode !== "AES256";
  const parameters = {
    ServerSideEncryption: choice.mode,
    SSEKMSKeyId: (isKms && choice.keyId) || undefined,
    SSEKMSEncryptionContext: isKms && context ? base64(new TextEncoder().encode(context)) : undefined,
  };
  return { parameters, partParameters: {} };
}

export function CustomerKey({ value, onInput, fresh }: { value: string; onInput: (value: string) => void; fresh?: boolean }) {
  const [seen, setSeen] = useState(false);
  return (
    <div class="stack small">
      <Text label="Customer key (SSE-C)" type={seen ? "text" : "password"} value={value} onInput={onInput} autoComplete="off" placeholder="32 bytes, base64 or hexadecimal" hint="Stays in this tab. The gateway does not keep it: without it the object can't be read." />
      <div class="row">
        {fresh ? (
          <Button
            kind="small"
            onClick={() => {
              onInput(base64(crypto.getRandomValues(new Uint8Array(32))));
              setSeen(true);
            }}
          >
            Make one
          </Button>
        ) : null}
        <Button kind="small" onClick={() => setSeen(!seen)}>
          {seen ? "Hide" : "Show"}
        </Button>
      </div>
    </div>
  );
}

export function EncryptionChoice({ value, onChange }: { value: Choice; onChange: (choice: Choice) => void }) {
  const set = (part: Partial<Choice>) => onChange({ ...value, ...part });
  return (
    <div class="stack">
      <Select
        label="Encryption"
        value={value.mode}
        onChange={(mode) => set({ mode: mode as Choice["mode"] })}
        options={[
          ["", "As the bucket says"],
          ["AES256", "SSE-S3"],
          ["aws:kms", "SSE-KMS"],
          ["aws:kms:dsse", "DSSE-KMS"],
          ["customer", "SSE-C: a key of yours"],
        ]}
      />
      {value.mode === "aws:kms" || value.mode === "aws:kms:dsse" ? (
        <>
          <KeyChoice value={value.keyId} onChange={(keyId) => set({ keyId })} />
          <Field label="Encryption context" hint="A JSON object of strings. It is bound to the object and logged, so put no secret in it.">
            <input value={value.context} onInput={(event) => set({ context: event.currentTarget.value })} placeholder='{"department":"finance"}' spellcheck={false} />
          </Field>
        </>
      ) : null}
      {value.mode === "customer" ? <CustomerKey fresh value={value.customerKey} onInput={(customerKey) => set({ customerKey })} /> : null}
    </div>
  );
}
