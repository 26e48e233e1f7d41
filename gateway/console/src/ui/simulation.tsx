/** Would it be allowed, and why not: asks the evaluator that decides requests. */
import { useState } from "preact/hooks";
import { SimulateCustomPolicyCommand, SimulatePrincipalPolicyCommand, type ContextEntry, type EvaluationResult } from "@aws-sdk/client-iam";
import { iam, identity } from "../session";
import { Badge, Button, ErrorNote, Field, Text } from "./core";

interface Props {
  /** Whose policies are asked; without it `caller` and `policies` are. */
  principal?: string;
  policies?: string[];
  resourcePolicy?: string;
  caller?: string;
  resource?: string;
  action?: string;
}

/** IAM wants a policy of the caller: one that says nothing stands for a caller who has none. */
const NO_POLICY = JSON.stringify({ Version: "2012-10-17", Statement: [{ Effect: "Allow", Action: "none:Nothing", Resource: "*" }] });

export function Simulation({ principal, policies, resourcePolicy, caller, resource = "*", action = "s3:GetObject" }: Props) {
  const [actions, setActions] = useState(action);
  const [on, setOn] = useState(resource);
  const [as, setAs] = useState(caller ?? `arn:aws:iam::${identity.value!.account}:user/anybody`);
  const [context, setContext] = useState("");
  const [results, setResults] = useState<EvaluationResult[] | undefined>();
  const [error, setError] = useState<unknown>();
  const ask = async () => {
    setError(undefined);
    setResults(undefined);
    try {
      const client = await iam();
      const ContextEntries = context.split("\n").filter(Boolean).map((line): ContextEntry => {
        const [name = "", ...value] = line.split("=");
        return { ContextKeyName: name.trim(), ContextKeyType: "string", ContextKeyValues: [value.join("=").trim()] };
      });
      const shared = { ActionNames: actions.split(/[\s,]+/).filter(Boolean), ResourceArns: on.split(/[\s,]+/).filter(Boolean), ContextEntries: ContextEntries.length ? ContextEntries : undefined, ResourcePolicy: resourcePolicy || undefined };
      const answer = principal
        ? await client.send(new SimulatePrincipalPolicyCommand({ ...shared, PolicySourceArn: principal, CallerArn: resourcePolicy ? principal : undefined }))
        : await client.send(new SimulateCustomPolicyCommand({ ...shared, PolicyInputList: policies?.length ? policies : [NO_POLICY], CallerArn: as.trim() || undefined }));
      setResults(answer.EvaluationResults ?? []);
    } catch (problem) {
      setError(problem);
    }
  };
  return (
    <div class="stack">
      <div class="cols">
        <Text label="Actions" value={actions} onInput={setActions} placeholder="s3:GetObject, s3:PutObject" />
        <Text label="Resources" value={on} onInput={setOn} placeholder="arn:aws:s3:::my-bucket/*" />
        {principal ? null : <Text label="Caller's ARN" value={as} onInput={setAs} placeholder="arn:aws:iam::…:user/…" hint="It need not exist." />}
      </div>
      <details>
        <summary>Condition keys</summary>
        <Field label="One a line" hint="Without them, conditions that ask for them do not hold.">
          <textarea value={context} placeholder="aws:SourceIp=192.0.2.1" onInput={(event) => setContext(event.currentTarget.value)} />
        </Field>
      </details>
      <div class="row">
        <Button kind="primary" icon="shield" onClick={ask}>
          Would it be allowed?
        </Button>
      </div>
      {error ? <ErrorNote error={error} /> : null}
      <div class="stack" role="status">
        {results?.map((result, index) => (
          <Result key={index} result={result} />
        ))}
      </div>
    </div>
  );
}

function Result({ result }: { result: EvaluationResult }) {
  const allowed = result.EvalDecision === "allowed";
  const explicit = result.EvalDecision === "explicitDeny";
  const statements = result.MatchedStatements ?? [];
  const boundary = result.PermissionsBoundaryDecisionDetail?.AllowedByPermissionsBoundary === false;
  return (
    <div class={`note ${allowed ? "good" : "danger"}`}>
      <div class="row">
        <Badge kind={allowed ? "good" : "danger"}>{allowed ? "allowed" : "denied"}</Badge>
        <code>{result.EvalActionName}</code> on <code>{result.EvalResourceName}</code>
      </div>
      <span>
        {allowed
          ? "These statements allow it:"
          : explicit
            ? "A statement denies it, which no other can outdo:"
            : boundary
              ? "The permissions boundary does not allow it."
              : "Nothing denies it, but no statement allows it either. Attach a policy that allows this action on this resource."}
      </span>
      {statements.length ? (
        <ul class="bullets">
          {statements.map((statement, index) => (
            <li key={index}>
              <code>{statement.SourcePolicyId}</code>
              {statement.SourcePolicyType ? ` (${statement.SourcePolicyType})` : ""}
              {statement.StartPosition ? `, from line ${statement.StartPosition.Line}` : ""}
            </li>
          ))}
        </ul>
      ) : null}
      {result.MissingContextValues?.length ? <small>Conditions ask for {result.MissingContextValues.join(", ")}, which you gave no value for.</small> : null}
    </div>
  );
}
