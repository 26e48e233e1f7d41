/** The shell: who is signed in, where one can go, and the page that the address names. */
import type { ComponentType } from "preact";
import { useEffect, useState } from "preact/hooks";
import icon from "./icon.svg";
import { href, route } from "./router";
import { config, credentials, identity, loadConfig, signOut } from "./session";
import { isDark, setTheme, theme } from "./theme";
import { SignIn } from "./pages/signin";
import { Button, ErrorNote, Icon, Load, Toasts, useLoad } from "./ui/core";
import { Transfers, busyTransfers } from "./ui/transfers";
import { tail } from "./format";

const NAV: ([string, string, string] | string)[] = [
  ["overview", "Overview", "overview"],
  ["buckets", "Buckets", "bucket"],
  ["keys", "Keys", "key"],
  "Access",
  ["users", "Users", "users"],
  ["groups", "Groups", "group"],
  ["roles", "Roles", "role"],
  ["policies", "Policies", "policy"],
  ["providers", "Providers", "group"],
  ["simulate", "Why denied?", "shield"],
  "Gateway",
  ["accounts", "Accounts", "account"],
  ["audit", "Audit", "audit"],
];

type Page = ComponentType<{ parts: string[]; query: URLSearchParams }>;
const PAGES: Record<string, () => Promise<Page>> = {
  overview: () => import("./pages/overview").then((page) => page.Overview),
  buckets: () => import("./pages/buckets").then((page) => page.Buckets),
  browse: () => import("./pages/browse").then((page) => page.Browse),
  object: () => import("./pages/object").then((page) => page.ObjectPage),
  bucket: () => import("./pages/bucket").then((page) => page.BucketSettings),
  keys: () => import("./pages/keys").then((page) => page.Keys),
  key: () => import("./pages/key").then((page) => page.KeyPage),
  users: () => import("./pages/users").then((page) => page.Users),
  user: () => import("./pages/users").then((page) => page.UserPage),
  groups: () => import("./pages/groups").then((page) => page.Groups),
  group: () => import("./pages/groups").then((page) => page.GroupPage),
  roles: () => import("./pages/roles").then((page) => page.Roles),
  role: () => import("./pages/roles").then((page) => page.RolePage),
  policies: () => import("./pages/policies").then((page) => page.Policies),
  policy: () => import("./pages/policies").then((page) => page.PolicyPage),
  providers: () => import("./pages/providers").then((page) => page.Providers),
  simulate: () => import("./pages/simulate").then((page) => page.Simulate),
  accounts: () => import("./pages/accounts").then((page) => page.Accounts),
  audit: () => import("./pages/audit").then((page) => page.Audit),
  me: () => import("./pages/me").then((page) => page.Me),
};

/** Which entry of the navigation a page belongs to. */
const PARENTS: Record<string, string> = { browse: "buckets", object: "buckets", bucket: "buckets", key: "keys", user: "users", group: "groups", role: "roles", policy: "policies" };

export function App() {
  const started = useLoad(loadConfig, []);
  useEffect(() => {
    const leave = (event: BeforeUnloadEvent) => {
      if (busyTransfers.value) event.preventDefault();
    };
    addEventListener("beforeunload", leave);
    return () => removeEventListener("beforeunload", leave);
  }, []);
  if (started.error) {
    return (
      <main class="signin">
        <ErrorNote error={started.error} retry={started.reload} />
      </main>
    );
  }
  if (!config.value) return null;
  return (
    <>
      {identity.value ? <Shell /> : <SignIn />}
      <Toasts />
    </>
  );
}

function Shell() {
  const [open, setOpen] = useState(false);
  const [name = "overview", ...parts] = route.value.parts;
  const address = location.hash;
  useEffect(() => setOpen(false), [address]);
  const here = PARENTS[name] ?? name;
  return (
    <div class="shell">
      <a class="skip" href="#main" onClick={(event) => { event.preventDefault(); document.getElementById("main")?.focus(); }}>
        Skip to the content
      </a>
      <header class={`side ${open ? "open" : ""}`}>
        <div class="top">
          <a class="brand" href={href(["overview"])}>
            <img src={icon} alt="" /> Sealgate
          </a>
          <button type="button" class="btn ghost icon menu-button" aria-expanded={open} aria-label="Menu" onClick={() => setOpen(!open)}>
            <Icon name={open ? "close" : "menu"} />
          </button>
        </div>
        <nav class="nav" aria-label="Main">
          {NAV.map((entry) =>
            typeof entry === "string" ? (
              <h2 key={entry}>{entry}</h2>
            ) : (
              <a key={entry[0]} href={href([entry[0]])} aria-current={here === entry[0] ? "page" : undefined}>
                <Icon name={entry[2]} /> {entry[1]}
              </a>
            ),
          )}
        </nav>
        <Who />
      </header>
      <main class="main" id="main" tabIndex={-1}>
        <Routed key={name} name={name} parts={parts} />
      </main>
      <Transfers />
    </div>
  );
}

function Routed({ name, parts }: { name: string; parts: string[] }) {
  const page = useLoad(() => (PAGES[name] ?? PAGES["overview"]!)().then((Found) => ({ Found })), [name]);
  return <Load of={page}>{({ Found }) => <Found key={parts.join("/")} parts={parts} query={route.value.query} />}</Load>;
}

function Who() {
  const me = identity.value!;
  const expires = credentials.value?.expiration;
  return (
    <div class="who">
      <a href={href(["me"])} class="name" title={me.arn}>
        {me.is_root ? "root" : tail(me.arn)}
      </a>
      <small>
        Account {me.account}
        {expires ? ` · until ${expires.toTimeString().slice(0, 5)}` : ""}
      </small>
      <div class="row tight">
        <Button kind="small" icon={isDark() ? "sun" : "moon"} label={isDark() ? "Light theme" : "Dark theme"} onClick={() => setTheme(isDark() ? "light" : "dark")} />
        <Button kind="small grow" icon="out" onClick={() => signOut()}>
          Sign out
        </Button>
        {theme.value === "auto" ? null : (
          <Button kind="small" title="Theme as the system has it" onClick={() => setTheme("auto")}>
            Auto
          </Button>
        )}
      </div>
    </div>
  );
}
