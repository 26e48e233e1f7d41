import { Head } from "../ui/core";
export function Audit(_: { parts: string[]; query: URLSearchParams }) { return <div class="page"><Head title="Audit" /></div>; }
