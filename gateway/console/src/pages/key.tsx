import { Head } from "../ui/core";
export function KeyPage(_: { parts: string[]; query: URLSearchParams }) { return <div class="page"><Head title="KeyPage" /></div>; }
