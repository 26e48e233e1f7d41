import { href } from "../router";
import { config, credentials, identity } from "../session";
import { time } from "../format";
import { Badge, Card, Copy, Head } from "../ui/core";
import { HolderPolicies } from "../ui/iam";
import { Simulation } from "../ui/simulation";

/** Who one is, and what one may. */
export function Me(_: { parts: string[] }) {
  const me = identity.value!;
  const user = /:user\/(?:.*\/)?([^/]+)$/.exec(me.arn)?.[1];
  const session = /:assumed-role\/([^/]+)\//.exec(me.arn)?.[1];
  const principal = session ? `arn:aws:iam::${me.account}:role/${session}` : me.arn;
  return (
    <div class="page">
      <Head title="You" />
      <Card title="Signed in as" actions={me.is_root ? <Badge kind="warn">root user</Badge> : session ? <Badge kind="info">session</Badge> : null}>
        <dl class="facts">
          <dt>ARN</dt>
          <dd>
            <Copy value={me.arn} />
          </dd>
          <dt>Account</dt>
          <dd>{me.account}</dd>
          <dt>Access key ID</dt>
          <dd>
            <code>{credentials.value!.accessKeyId}</code>
          </dd>
          {credentials.value!.expiration ? (
            <>
              <dt>Until</dt>
              <dd>{time(credentials.value!.expiration)}</dd>
            </>
          ) : null}
          <dt>Endpoint</dt>
          <dd>
            <Copy value={config.value!.endpoint} />
          </dd>
          <dt>Region</dt>
          <dd>{config.value!.region}</dd>
        </dl>
      </Card>
      {me.is_root ? (
        <Card title="What you may">
          <p>
            The root user may do everything in this account. For daily work make a <a href={href(["users"])}>user</a> with the policies that it needs.
          </p>
        </Card>
      ) : (
        <>
          <HolderPolicies holder={session ? { kind: "role", name: session } : { kind: "user", name: user ?? "" }} />
          <Card title="What you may">
            <Simulation principal={principal} />
          </Card>
        </>
      )}
    </div>
  );
}
