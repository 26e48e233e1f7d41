// An OpenID Connect provider with one user, who is always logged in: authorization code with PKCE, checked as RFC 7636 has it.
import { createHash, generateKeyPairSync, randomUUID, sign } from "node:crypto";
import { createServer } from "node:http";

export const CLIENT = "console";

/** Serves until `close` is called. `asked` counts token requests that proved their verifier. */
export async function start() {
  const { publicKey, privateKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
  const codes = new Map();
  const provider = { asked: 0, issuer: "", tokens: "" };
  const encode = (value) => Buffer.from(JSON.stringify(value)).toString("base64url");
  const token = (nonce) => {
    const now = Math.floor(Date.now() / 1000);
    const text = `${encode({ alg: "RS256", kid: "1", typ: "JWT" })}.${encode({ iss: provider.issuer, sub: "ada", aud: CLIENT, iat: now, exp: now + 600, nonce })}`;
    return `${text}.${sign("RSA-SHA256", Buffer.from(text), privateKey).toString("base64url")}`;
  };
  const server = createServer((request, response) => {
    const url = new URL(request.url, provider.issuer);
    const json = (value, status = 200) => response.writeHead(status, { "content-type": "application/json", "access-control-allow-origin": "*" }).end(JSON.stringify(value));
    if (url.pathname === "/.well-known/openid-configuration") {
      const { issuer } = provider;
      json({ issuer, authorization_endpoint: `${issuer}/authorize`, token_endpoint: `${provider.tokens}/token`, jwks_uri: `${issuer}/keys`, id_token_signing_alg_values_supported: ["RS256"], response_types_supported: ["code"], subject_types_supported: ["public"] });
    } else if (url.pathname === "/keys") {
      json({ keys: [{ ...publicKey.export({ format: "jwk" }), kid: "1", use: "sig", alg: "RS256" }] });
    } else if (url.pathname === "/authorize") {
      const code = randomUUID();
      codes.set(code, Object.fromEntries(url.searchParams));
      const back = new URL(url.searchParams.get("redirect_uri"));
      back.searchParams.set("code", code);
      back.searchParams.set("state", url.searchParams.get("state"));
      response.writeHead(302, { location: back.href }).end();
    } else if (url.pathname === "/token" && request.method === "POST") {
      const pieces = [];
      request.on("data", (piece) => pieces.push(piece)).on("end", () => {
        const form = new URLSearchParams(Buffer.concat(pieces).toString());
        const known = codes.get(form.get("code"));
        codes.delete(form.get("code"));
        const proof = createHash("sha256").update(form.get("code_verifier") ?? "").digest("base64url");
        if (known?.code_challenge !== proof || known.code_challenge_method !== "S256") return json({ error: "invalid_grant" }, 400);
        provider.asked += 1;
        return json({ access_token: randomUUID(), token_type: "Bearer", id_token: token(known.nonce) });
      });
    } else json({ error: "not_found" }, 404);
  });
  await new Promise((resolve) => server.listen(Number(process.env.OIDC_PORT ?? 0), "127.0.0.1", resolve));
  provider.issuer = `http://localhost:${server.address().port}`;
  // Elsewhere than the issuer, as those of large providers are: the console has to be let there.
  provider.tokens = `http://127.0.0.1:${server.address().port}`;
  provider.close = () => server.close();
  return provider;
}
