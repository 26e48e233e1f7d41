/** What went wrong, in words, with what the gateway said about it. */
import { sts } from "../session";

export interface Trouble {
  code: string;
  message: string;
  requestId?: string;
  status?: number;
  /** A sealed explanation, which `DecodeAuthorizationMessage` opens. */
  sealed?: string;
}

const HINTS: Record<string, string> = {
  SignatureDoesNotMatch: "The secret access key is not that of this access key.",
  InvalidAccessKeyId: "The gateway does not know this access key.",
  InvalidClientTokenId: "The gateway does not know this access key.",
  RequestTimeTooSkewed: "The clock of this computer is more than 15 minutes off.",
  ExpiredToken: "The session has expired. Sign in again.",
};

export function trouble(error: unknown): Trouble {
  const any = error as any;
  if (any instanceof TypeError && /fetch|network/i.test(any.message)) {
    return {
      code: "Unreachable",
      message: "The gateway did not answer, or it does not allow this console's origin. Check console_endpoint and console_origins.",
    };
  }
  const code = String(any?.name && any.name !== "Error" ? any.name : (any?.Code ?? any?.code ?? "Error"));
  const headers = any?.$response?.headers ?? any?.headers ?? {};
  const hint = HINTS[code];
  return {
    code,
    message: `${any?.message ?? String(error)}${hint ? ` ${hint}` : ""}`,
    requestId: any?.$metadata?.requestId,
    status: any?.$metadata?.httpStatusCode ?? any?.status,
    sealed: headers["x-sealgate-authorization-message"],
  };
}

export const isDenied = (error: Trouble): boolean => /AccessDenied|Forbidden|NotAuthorized/i.test(error.code) || (error.status === 403 && error.code !== "SignatureDoesNotMatch");

/** Asks for AWS's explanation of a denial: which statements matched, of which policies. */
export async function explain(sealed: string): Promise<any> {
  const [{ DecodeAuthorizationMessageCommand }, client] = await Promise.all([import("@aws-sdk/client-sts"), sts()]);
  const answer = await client.send(new DecodeAuthorizationMessageCommand({ EncodedMessage: sealed }));
  return JSON.parse(answer.DecodedMessage ?? "{}");
}

/** `undefined` where nothing is configured; other errors pass on. */
export async function optional<T>(promise: Promise<T>): Promise<T | undefined> {
  try {
    return await promise;
  } catch (error) {
    const { code, status } = trouble(error);
    if (status === 404 || /^NoSuch|NotFound|DoesNotExist/.test(code)) return undefined;
    throw error;
  }
}
