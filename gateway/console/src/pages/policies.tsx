import { Head } from "../ui/core";
export function Policies(_: { parts: string[]; query: URLSearchParams }) { return <div class="page"><Head title="Policies" /></div>; }
export function PolicyPage(_: { parts: string[]; query: URLSearchParams }) { return <div class="page"><Head title="PolicyPage" /></div>; }
