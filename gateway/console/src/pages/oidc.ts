/**
 * Logins by OpenID Connect: authorization code with PKCE (RFC 7636) in a window of its own. Verifier, nonce and state never leave the
 * memory of this tab; the other window only hands the code back.
 */
import type { Provider } from "../session";

const CHANNEL = "sealgate-oidc";

const encode = (bytes: Uint8Array): string => btoa(String.fromCharCode(...bytes)).replace(/\+/g, "-").replace(/\//g, "_").replace(/=+$/, "");
const random = (): string => encode(crypto.getRandomValues(new Uint8Array(32)));

/** In the window that the provider sent back: hands the code over, and closes. `true`: this is such a window. */
export function handBack(): boolean {
  const query = new URLSearchParams(location.search);
  const state = query.get("state");
  if (!state || !(query.has("code") || query.has("error"))) return false;
  const channel = new BroadcastChannel(CHANNEL);
  channel.postMessage({ state, code: query.get("code"), error: query.get("error_description") ?? query.get("error") });
  channel.close();
  history.replaceState(null, "", location.pathname);
  setTimeout(() => window.close(), 100);
  return true;
}

/** The ID token of whoever logs in. */
export async function logIn(provider: Provider): Promise<string> {
  // Opened at once: a browser blocks windows that come later than the click.
  const other = window.open("about:blank", "_blank", "popup,width=520,height=680");
  try {
    return await logInBy(provider, other);
  } catch (error) {
    other?.close();
    throw error;
  }
}

async function logInBy(provider: Provider, other: Window | null): Promise<string> {
  const [verifier, state, nonce] = [random(), random(), random()];
  const found = await fetch(`${provider.issuer.replace(/\/$/, "")}/.well-known/openid-configuration`);
  if (!found.ok) throw new Error(`${provider.issuer} did not tell its configuration (status ${found.status}).`);
  const { authorization_endpoint, token_endpoint } = (await found.json()) as { authorization_endpoint: string; token_endpoint: string };
  const challenge = encode(new Uint8Array(await crypto.subtle.digest("SHA-256", new TextEncoder().encode(verifier))));
  const redirect = location.origin + location.pathname;
  const address = new URL(authorization_endpoint);
  const asked = { response_type: "code", client_id: provider.client_id, redirect_uri: redirect, scope: provider.scopes ?? "openid profile email", state, nonce, code_challenge: challenge, code_challenge_method: "S256" };
  for (const [name, value] of Object.entries(asked)) address.searchParams.set(name, value);
  if (address.protocol !== "https:" && address.protocol !== "http:") throw new Error("The provider's address is not one of the web.");
  const origins = [new URL(provider.issuer).origin, provider.token_origin];
  if (!origins.includes(new URL(token_endpoint).origin)) {
    throw new Error(`${provider.issuer} hands tokens out at ${new URL(token_endpoint).origin}, which this page may not ask: it was loaded before the gateway knew that. Load it anew, then try again.`);
  }
  if (!other) throw new Error("The browser blocked the window of the login. Allow it for this site, then try again.");
  other.location.href = address.href;
  const code = await answer(state);
  const body = new URLSearchParams({ grant_type: "authorization_code", code, redirect_uri: redirect, client_id: provider.client_id, code_verifier: verifier });
  const tokens = await fetch(token_endpoint, { method: "POST", body });
  const read = (await tokens.json()) as { id_token?: string; error?: string; error_description?: string };
  if (!tokens.ok || !read.id_token) throw new Error(read.error_description ?? read.error ?? "The provider gave no ID token.");
  const claims = JSON.parse(atob(read.id_token.split(".")[1]!.replace(/-/g, "+").replace(/_/g, "/"))) as { nonce?: string };
  if (claims.nonce !== nonce) throw new Error("The token is not of this login (its nonce differs).");
  return read.id_token;
}

function answer(state: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const channel = new BroadcastChannel(CHANNEL);
    const limit = setTimeout(() => end(() => reject(new Error("Nobody logged in within five minutes."))), 300_000);
    const end = (then: () => void) => {
      clearTimeout(limit);
      channel.close();
      then();
    };
    channel.onmessage = (event: MessageEvent<{ state: string; code?: string; error?: string }>) => {
      if (event.data?.state !== state) return;
      const { code, error } = event.data;
      end(() => (code ? resolve(code) : reject(new Error(error ?? "The provider refused the login."))));
    };
  });
}
