import { Head } from "../ui/core";
export function Groups(_: { parts: string[]; query: URLSearchParams }) { return <div class="page"><Head title="Groups" /></div>; }
export function GroupPage(_: { parts: string[]; query: URLSearchParams }) { return <div class="page"><Head title="GroupPage" /></div>; }
