import { Head } from "../ui/core";
export function Users(_: { parts: string[]; query: URLSearchParams }) { return <div class="page"><Head title="Users" /></div>; }
export function UserPage(_: { parts: string[]; query: URLSearchParams }) { return <div class="page"><Head title="UserPage" /></div>; }
