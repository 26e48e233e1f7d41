// What each page asks of the APIs when it is opened, as a table in Markdown.

/** Sub-resources of S3, and what the operation on them is called behind Get, Put or Delete. */
const OF_S3 = {
  abac: "BucketAbac", requestPayment: "BucketRequestPayment",
  accelerate: "BucketAccelerateConfiguration", acl: "BucketAcl", cors: "BucketCors", encryption: "BucketEncryption", "legal-hold": "ObjectLegalHold", lifecycle: "BucketLifecycleConfiguration",
  location: "BucketLocation", logging: "BucketLogging", "object-lock": "ObjectLockConfiguration", ownershipControls: "BucketOwnershipControls", policy: "BucketPolicy",
  policyStatus: "BucketPolicyStatus", publicAccessBlock: "PublicAccessBlock", retention: "ObjectRetention", versioning: "BucketVersioning",
};
const VERBS = { GET: "Get", PUT: "Put", DELETE: "Delete" };
/** Paths of the admin API. */
const OF_ADMIN = [
  [/^status$/, "GetStatus"], [/^history$/, "GetHistory"], [/^usage$/, "GetUsage"], [/^accounts$/, "ListAccounts"], [/^object\/encryption$/, "GetObjectEncryption"], [/^encryption\/summary$/, "GetEncryptionSummary"],
  [/^keys\/.+\/dependents$/, "GetKeyDependents"], [/^keys\/.+\/who-can$/, "GetKeyAccess"], [/^audit$/, "GetAuditEvents"], [/^whoami$/, "GetCaller"],
];

/** The operation that a request of the page is; `undefined`: of none of the APIs. */
function operation(request, endpoint) {
  const url = new URL(request.url());
  const method = request.method();
  if (url.origin !== endpoint || method === "OPTIONS") return undefined;
  const target = request.headers()["x-amz-target"];
  if (target) return target.split(".").pop();
  const admin = url.pathname.startsWith("/_sealgate/admin/v1/") ? url.pathname.slice("/_sealgate/admin/v1/".length) : undefined;
  if (admin !== undefined) return OF_ADMIN.find(([path]) => path.test(admin))?.[1] ?? `${method} ${admin}`;
  if (method === "POST" && url.pathname === "/") return new URLSearchParams(request.postData() ?? "").get("Action") ?? "POST /";
  const isObject = url.pathname.split("/").filter(Boolean).length > 1;
  const names = [...url.searchParams.keys()];
  const resource = names.find((name) => name in OF_S3);
  if (resource) return VERBS[method] + OF_S3[resource];
  if (names.includes("tagging")) return `${VERBS[method]}${isObject ? "Object" : "Bucket"}Tagging`;
  if (names.includes("uploads")) return "ListMultipartUploads";
  if (names.includes("versions")) return "ListObjectVersions";
  if (names.includes("list-type")) return "ListObjectsV2";
  if (method === "HEAD") return isObject ? "HeadObject" : "HeadBucket";
  if (url.pathname === "/") return "ListBuckets";
  return isObject ? `${VERBS[method]}Object` : `${VERBS[method]}Bucket`;
}

/** Listens to what a page of the browser asks. `opened` is told what is being opened: a page, and which tab of it; `table` tells what was asked. */
export function listen(page, endpoint) {
  /** By page: the requests of each time that it, or a tab of it, was opened. */
  const asked = new Map();
  let now;
  page.on("request", (request) => {
    const name = now && operation(request, endpoint);
    if (name) now.push(name);
  });
  return {
    opened(name) {
      now = name && [];
      if (name) asked.set(name, [...(asked.get(name) ?? []), now]);
    },
    table() {
      const rows = [...asked].map(([name, times]) => {
        const counts = times.map(({ length }) => length);
        const [least, most] = [Math.min(...counts), Math.max(...counts)];
        return `| ${name} | ${least === most ? most : `${least} to ${most}`} | ${[...new Set(times.flat())].join(", ")} |`;
      });
      return ["| page | requests when it, or a tab of it, is opened | of |", "| --- | --- | --- |", ...rows].join("\n");
    },
  };
}
