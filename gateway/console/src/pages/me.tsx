import { Head } from "../ui/core";
export function Me(_: { parts: string[]; query: URLSearchParams }) { return <div class="page"><Head title="Me" /></div>; }
