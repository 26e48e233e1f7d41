import { Head } from "../ui/core";
export function Simulate(_: { parts: string[]; query: URLSearchParams }) { return <div class="page"><Head title="Simulate" /></div>; }
