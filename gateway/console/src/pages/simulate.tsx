import { useState } from "preact/hooks";
import { identity } from "../session";
import { Card, Head, Text } from "../ui/core";
import { Simulation } from "../ui/simulation";

export function Simulate({ query }: { parts: string[]; query: URLSearchParams }) {
  const [principal, setPrincipal] = useState(query.get("principal") ?? (identity.value!.is_root ? "" : identity.value!.arn));
  return (
    <div class="page">
      <Head title="Why denied?" />
      <Card title="Ask the policies of a user, group or role">
        <div class="stack">
          <Text label="Principal's ARN" value={principal} onInput={setPrincipal} placeholder={`arn:aws:iam::${identity.value!.account}:user/…`} hint="The same evaluator answers that decides requests. Policies of the resource are not asked, unless the bucket's page does." />
          {principal.startsWith("arn:") ? <Simulation key={principal} principal={principal} action={query.get("action") ?? undefined} resource={query.get("resource") ?? undefined} /> : null}
        </div>
      </Card>
    </div>
  );
}
