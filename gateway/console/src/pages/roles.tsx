import { Head } from "../ui/core";
export function Roles(_: { parts: string[]; query: URLSearchParams }) { return <div class="page"><Head title="Roles" /></div>; }
export function RolePage(_: { parts: string[]; query: URLSearchParams }) { return <div class="page"><Head title="RolePage" /></div>; }
