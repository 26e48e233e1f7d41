/** A table with a filter and columns that sort. */
import type { ComponentChildren } from "preact";
import { useMemo, useState } from "preact/hooks";
import { count } from "../format";
import { Empty } from "./core";

export interface Column<T> {
  name: string;
  cell: (row: T) => ComponentChildren;
  /** What it is sorted by; without it it is not. */
  by?: (row: T) => string | number;
  /** More classes: `num`, `opt` (left out on a phone), `act`. */
  kind?: string;
}

interface Props<T> {
  rows: T[];
  columns: Column<T>[];
  id: (row: T) => string;
  /** What the filter looks at. */
  text?: (row: T) => string;
  caption: string;
  empty?: { icon: string; title: string; children?: ComponentChildren };
  /** Rows shown at first. */
  most?: number;
}

export function Table<T>({ rows, columns, id, text, caption, empty, most = 200 }: Props<T>) {
  const [filter, setFilter] = useState("");
  const [sort, setSort] = useState<{ column: number; down: boolean } | undefined>();
  const [limit, setLimit] = useState(most);
  const shown = useMemo(() => {
    const wanted = filter.toLowerCase();
    const found = wanted && text ? rows.filter((row) => text(row).toLowerCase().includes(wanted)) : [...rows];
    const by = sort && columns[sort.column]?.by;
    if (by) {
      found.sort((a, b) => {
        const [x, y] = [by(a), by(b)];
        const order = typeof x === "number" && typeof y === "number" ? x - y : String(x).localeCompare(String(y));
        return sort.down ? -order : order;
      });
    }
    return found;
  }, [rows, filter, sort, columns]);
  if (!rows.length && empty) {
    return (
      <Empty icon={empty.icon} title={empty.title}>
        {empty.children}
      </Empty>
    );
  }
  return (
    <div class="stack">
      {text && rows.length > 8 ? <input class="search" type="search" placeholder="Filter" aria-label={`Filter ${caption}`} value={filter} onInput={(event) => setFilter(event.currentTarget.value)} /> : null}
      <div class="card flush scroll">
        <table>
          <caption class="sr">{caption}</caption>
          <thead>
            <tr>
              {columns.map((column, index) => {
                const on = sort?.column === index;
                return (
                  <th key={column.name} scope="col" class={column.kind} aria-sort={on ? (sort.down ? "descending" : "ascending") : undefined}>
                    {column.by ? (
                      <button type="button" onClick={() => setSort({ column: index, down: on ? !sort.down : false })}>
                        {column.name}
                        {on ? (sort.down ? " ↓" : " ↑") : ""}
                      </button>
                    ) : (
                      column.name || <span class="sr">Actions</span>
                    )}
                  </th>
                );
              })}
            </tr>
          </thead>
          <tbody>
            {shown.slice(0, limit).map((row) => (
              <tr key={id(row)}>
                {columns.map((column) => (
                  <td key={column.name} class={column.kind}>
                    {column.cell(row)}
                  </td>
                ))}
              </tr>
            ))}
          </tbody>
        </table>
      </div>
      {shown.length > limit ? (
        <button type="button" class="btn" onClick={() => setLimit(limit + 500)}>
          Show more of {count(shown.length)}
        </button>
      ) : null}
    </div>
  );
}
