import { useState } from "preact/hooks";
import icon from "../icon.svg";
import { config, farewell, signIn, type Credentials } from "../session";
import { ErrorNote, Select, Tabs, Text } from "../ui/core";
import { handBack, logIn } from "./oidc";

const isHandedBack = handBack();

/** Credentials from an answer of STS to a call that nobody signed. */
async function unsigned(parameters: Record<string, string>): Promise<Credentials> {
  const answer = await fetch(config.value!.endpoint, { method: "POST", body: new URLSearchParams({ Version: "2011-06-15", ...parameters }) });
  const xml = new DOMParser().parseFromString(await answer.text(), "application/xml");
  const text = (name: string) => xml.getElementsByTagName(name)[0]?.textContent ?? "";
  if (!answer.ok) throw Object.assign(new Error(text("Message") || `Status ${answer.status}`), { name: text("Code") || "Refused" });
  return { accessKeyId: text("AccessKeyId"), secretAccessKey: text("SecretAccessKey"), sessionToken: text("SessionToken"), expiration: new Date(text("Expiration")) };
}

export function SignIn() {
  const { providers, ldap, endpoint, version } = config.value!;
  const tabs: [string, string][] = [["key", "Access key"]];
  if (providers.length) tabs.push(["oidc", "Single sign-on"]);
  if (ldap) tabs.push(["ldap", "LDAP"]);
  const [tab, setTab] = useState("key");
  const [error, setError] = useState<unknown>();
  const [busy, setBusy] = useState(false);
  const [id, setId] = useState("");
  const [secret, setSecret] = useState("");
  const [token, setToken] = useState("");
  const [withToken, setWithToken] = useState(false);
  const [user, setUser] = useState("");
  const [password, setPassword] = useState("");
  const [role, setRole] = useState("");
  const [provider, setProvider] = useState(0);

  if (isHandedBack) {
    return (
      <main class="signin">
        <p>You are logged in. This window can be closed.</p>
      </main>
    );
  }
  const gather = async (): Promise<Credentials> => {
    if (tab === "key") return { accessKeyId: id.trim(), secretAccessKey: secret.trim(), sessionToken: (withToken && token.trim()) || undefined };
    if (tab === "ldap") {
      return unsigned({ Action: "AssumeRoleWithLDAPIdentity", LDAPUsername: user, LDAPPassword: password, ...(role ? { RoleArn: role.trim() } : {}) });
    }
    const chosen = providers[provider]!;
    const webIdentityToken = await logIn(chosen);
    return unsigned({ Action: "AssumeRoleWithWebIdentity", WebIdentityToken: webIdentityToken, RoleArn: role.trim() || chosen.role_arn || "", RoleSessionName: "console" });
  };
  const submit = async (event: Event) => {
    event.preventDefault();
    setBusy(true);
    setError(undefined);
    try {
      await signIn(await gather());
    } catch (problem) {
      setError(problem);
      setBusy(false);
    }
  };
  return (
    <main class="signin">
      <section class="card">
        <h1 class="brand">
          <img src={icon} alt="" /> Sealgate
        </h1>
        {tabs.length > 1 ? <Tabs tabs={tabs} value={tab} onChange={setTab} /> : null}
        {farewell.value ? (
          <p class="note" role="status">
            {farewell.value}
          </p>
        ) : null}
        <form class="stack" onSubmit={submit}>
          {tab === "key" ? (
            <>
              <Text label="Access key ID" value={id} onInput={setId} required autoComplete="username" />
              <Text label="Secret access key" type="password" value={secret} onInput={setSecret} required autoComplete="current-password" />
              {withToken ? (
                <Text label="Session token" value={token} onInput={setToken} autoComplete="off" />
              ) : (
                <button type="button" class="btn ghost small" onClick={() => setWithToken(true)}>
                  I have a session token, too
                </button>
              )}
            </>
          ) : tab === "ldap" ? (
            <>
              <Text label="User name" value={user} onInput={setUser} required autoComplete="username" />
              <Text label="Password" type="password" value={password} onInput={setPassword} required autoComplete="current-password" />
              <Text label="Role ARN" value={role} onInput={setRole} hint="Leave it empty for the role that the gateway has for directory users." placeholder="arn:aws:iam::…:role/…" />
            </>
          ) : (
            <>
              <Select label="Provider" value={String(provider)} options={providers.map((one, index) => [String(index), one.name || one.issuer])} onChange={(value) => setProvider(Number(value))} />
              <Text label="Role ARN" value={role} onInput={setRole} required={!providers[provider]?.role_arn} placeholder="arn:aws:iam::…:role/…" hint="The role that you take on after the login." />
            </>
          )}
          {error ? <ErrorNote error={error} /> : null}
          <button type="submit" class="btn primary" disabled={busy}>
            {busy ? "Signing in…" : tab === "oidc" ? "Log in at the provider" : "Sign in"}
          </button>
        </form>
        <small class="muted">
          {endpoint}
          {version ? ` · ${version}` : ""}
          <br />
          Credentials stay in this tab. Closing or reloading it signs you out.
        </small>
      </section>
    </main>
  );
}
