/** Private keys in PKCS#8: read from PEM or DER, and of which specification they are. */

/** Of the algorithm, or of the curve: the content of the object identifier in hexadecimal. */
const SPECS: Record<string, string> = {
  "2a8648ce3d030107": "ECC_NIST_P256",
  "2b81040022": "ECC_NIST_P384",
  "2b81040023": "ECC_NIST_P521",
  "2b8104000a": "ECC_SECG_P256K1",
  "2b6570": "ECC_NIST_EDWARDS25519",
  "608648016503040311": "ML_DSA_44",
  "608648016503040312": "ML_DSA_65",
  "608648016503040313": "ML_DSA_87",
};
const RSA = "2a864886f70d010101";
const EC = "2a8648ce3d0201";
/** The longest that the gateway takes has some 5000 bytes. */
export const MOST_BYTES = 65_536;

const CONVERT = "Convert it with: openssl pkcs8 -topk8 -nocrypt -in KEY -out key.pem";
const ENCRYPTED = "The file is encrypted. Write it without a passphrase: openssl pkcs8 -in KEY -out key.pem";

interface Element {
  tag: number;
  content: Uint8Array;
  /** Where the next one begins. */
  end: number;
}

const SEQUENCE = 0x30;
const INTEGER = 0x02;
const OCTETS = 0x04;
const IDENTIFIER = 0x06;

/** The element of DER at `at`; `undefined`: there is none. */
function element(der: Uint8Array, at: number): Element | undefined {
  let len = der[at + 1];
  if (len === undefined) return undefined;
  let start = at + 2;
  if (len >= 0x80) {
    const count = len & 0x7f;
    if (!count || count > 3) return undefined;
    len = 0;
    for (const byte of der.subarray(start, start + count)) len = len * 256 + byte;
    start += count;
  }
  const end = start + len;
  return end <= der.length ? { tag: der[at]!, content: der.subarray(start, end), end } : undefined;
}

/** What is in a sequence, which is the first thing there. */
function sequence(der: Uint8Array): Element[] | undefined {
  const outer = element(der, 0);
  if (outer?.tag !== SEQUENCE) return undefined;
  const found: Element[] = [];
  for (let at = 0; at < outer.content.length; at = found.at(-1)!.end) {
    const next = element(outer.content, at);
    if (!next) return undefined;
    found.push(next);
  }
  return found;
}

const hex = (bytes: Uint8Array) => Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");

function fromPem(text: string): Uint8Array {
  const blocks = [...text.matchAll(/-----BEGIN ([A-Z0-9 ]+)-----([^-]*)-----END \1-----/g)];
  const block = blocks.find(([, label]) => label === "PRIVATE KEY");
  if (block) {
    try {
      return Uint8Array.from(atob(block[2]!.replace(/\s/g, "")), (one) => one.charCodeAt(0));
    } catch {
      throw new Error("The file is damaged: between its first and last line is no base64.");
    }
  }
  const label = blocks.map(([, name]) => name!).find((name) => name.endsWith("PRIVATE KEY"));
  if (label === "ENCRYPTED PRIVATE KEY" || /Proc-Type:.*ENCRYPTED/.test(text)) throw new Error(ENCRYPTED);
  if (label === "OPENSSH PRIVATE KEY") throw new Error("This is a key of OpenSSH. Convert a copy of it with: ssh-keygen -p -m PKCS8 -f COPY");
  if (label) throw new Error(`This is a key in another form (${label}). ${CONVERT}`);
  throw new Error("There is no private key in the file. Choose one in PKCS#8, which begins with -----BEGIN PRIVATE KEY-----.");
}

/** A private key in DER and its specification. Errors say what to do. */
export function readPkcs8(file: Uint8Array): { der: Uint8Array; spec: string } {
  // DER begins with a sequence; PEM with anything but a "0".
  const bytes = file[0] === SEQUENCE ? file : fromPem(new TextDecoder("latin1").decode(file));
  const whole = element(bytes, 0);
  const parts = sequence(bytes);
  if (!whole || !parts) throw new Error("The file is no private key in PKCS#8, or only a part of one. Choose another.");
  const [version, algorithm, key] = parts;
  if (version?.tag === SEQUENCE) throw new Error(ENCRYPTED);
  if (version?.tag !== INTEGER || algorithm?.tag !== SEQUENCE || key?.tag !== OCTETS) throw new Error(`This is a key in another form than PKCS#8. ${CONVERT}`);
  return { der: bytes.slice(0, whole.end), spec: specOf(algorithm.content, key.content) };
}

/** Empty: it is none that there is a name for. */
function specOf(algorithm: Uint8Array, key: Uint8Array): string {
  const identifier = element(algorithm, 0);
  const parameters = identifier && element(algorithm, identifier.end);
  if (identifier?.tag !== IDENTIFIER) return "";
  const name = hex(identifier.content);
  if (name === EC) return parameters?.tag === IDENTIFIER ? (SPECS[hex(parameters.content)] ?? "") : "";
  if (name !== RSA) return SPECS[name] ?? "";
  const modulus = sequence(key)?.[1]?.content ?? new Uint8Array();
  const from = modulus.findIndex((byte) => byte !== 0);
  return from < 0 ? "" : `RSA_${(modulus.length - from - 1) * 8 + 32 - Math.clz32(modulus[from]!)}`;
}
