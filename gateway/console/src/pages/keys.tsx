import { Head } from "../ui/core";
export function Keys(_: { parts: string[]; query: URLSearchParams }) { return <div class="page"><Head title="Keys" /></div>; }
