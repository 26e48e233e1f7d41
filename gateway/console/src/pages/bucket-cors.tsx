/** CORS rules. */
import { useState } from "preact/hooks";
import * as sdk from "@aws-sdk/client-s3";
import { optional } from "../api/errors";
import { s3 } from "../session";
import { Button, Card, Field, Load, toastError, useLoad } from "../ui/core";
import { saved, type TabProps } from "./bucket";

export function Cors({ Bucket }: TabProps) {
  const cors = useLoad(async () => (await optional((await s3()).send(new sdk.GetBucketCorsCommand({ Bucket }))))?.CORSRules ?? [], []);
  return <Load of={cors}>{(rules) => <CorsForm key={JSON.stringify(rules)} Bucket={Bucket} rules={rules} reload={cors} />}</Load>;
}

const EXAMPLE = [{ AllowedOrigins: ["https://example.com"], AllowedMethods: ["GET"], AllowedHeaders: ["*"], MaxAgeSeconds: 3600 }];

function CorsForm({ Bucket, rules, reload }: TabProps & { rules: sdk.CORSRule[]; reload: any }) {
  const [text, setText] = useState(rules.length ? JSON.stringify(rules, null, 2) : "");
  const save = async () => {
    try {
      const client = await s3();
      await saved(text.trim() ? client.send(new sdk.PutBucketCorsCommand({ Bucket, CORSConfiguration: { CORSRules: JSON.parse(text) } })) : client.send(new sdk.DeleteBucketCorsCommand({ Bucket })), reload);
    } catch (error) {
      toastError(error);
    }
  };
  return (
    <Card title="CORS">
      <div class="stack">
        <p class="muted">Which web pages may ask for objects of this bucket from a browser. This console needs no rule.</p>
        {rules.map((rule, index) => (
          <p key={index}>
            Pages of {rule.AllowedOrigins?.join(", ")} may {rule.AllowedMethods?.join(", ")}.
          </p>
        ))}
        <Field label="Rules" hint="A JSON array, as the AWS CLI has it. Empty: no rules.">
          <textarea class="tall" value={text} spellcheck={false} onInput={(event) => setText(event.currentTarget.value)} />
        </Field>
        <div class="row">
          <Button kind="primary" onClick={save}>
            Save
          </Button>
          <Button onClick={() => setText(JSON.stringify(EXAMPLE, null, 2))}>An example</Button>
        </div>
      </div>
    </Card>
  );
}
