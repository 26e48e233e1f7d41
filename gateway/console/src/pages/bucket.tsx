import { Head } from "../ui/core";
export function BucketSettings(_: { parts: string[]; query: URLSearchParams }) { return <div class="page"><Head title="BucketSettings" /></div>; }
