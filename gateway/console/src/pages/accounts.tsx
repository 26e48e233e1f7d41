import { Head } from "../ui/core";
export function Accounts(_: { parts: string[]; query: URLSearchParams }) { return <div class="page"><Head title="Accounts" /></div>; }
