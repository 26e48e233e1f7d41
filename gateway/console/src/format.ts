/** Numbers, sizes and times as people read them. */

const UNITS = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];

/** Bytes in binary units. */
export function bytes(count: number | undefined | null): string {
  if (count === undefined || count === null || Number.isNaN(count)) return "–";
  let value = count;
  let unit = 0;
  while (value >= 1024 && unit < UNITS.length - 1) {
    value /= 1024;
    unit += 1;
  }
  return `${unit === 0 ? value : value.toFixed(value < 10 ? 2 : 1)} ${UNITS[unit]}`;
}

/** Digits in groups. */
export const count = (value: number | undefined | null): string => (value ?? 0).toLocaleString("en");

/** A point in time, in the reader's own zone. */
export function time(value: Date | string | number | undefined | null): string {
  if (value === undefined || value === null || value === "") return "–";
  const date = new Date(value);
  if (Number.isNaN(date.getTime())) return String(value);
  const two = (part: number) => String(part).padStart(2, "0");
  return `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())} ${two(date.getHours())}:${two(date.getMinutes())}`;
}

/** What a size that somebody typed is in bytes: `10 GiB`, `500MB`, `1024`. */
export function parseBytes(text: string): number | undefined {
  const match = /^\s*(\d+(?:\.\d+)?)\s*([kmgtp]?)(i?)b?\s*$/i.exec(text);
  if (!match) return undefined;
  const power = "kmgtp".indexOf((match[2] ?? "").toLowerCase()) + 1;
  return Math.round(Number(match[1]) * (match[2] && !match[3] ? 1000 : 1024) ** (match[2] ? power : 0));
}

/** The last part of an ARN or a path. */
export const tail = (arn: string): string => arn.slice(Math.max(arn.lastIndexOf("/"), arn.lastIndexOf(":")) + 1);

/** `1 object`, `2 objects`. */
export const plural = (number: number, noun: string): string => `${count(number)} ${noun}${number === 1 ? "" : "s"}`;
