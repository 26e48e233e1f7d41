/** A lifecycle rule as a form has it, what is wrong with it, and the rule as a person would say it. */
import type { LifecycleRule, LifecycleRuleAndOperator, Tag } from "@aws-sdk/client-s3";
import { bytes, parseBytes, plural } from "../format";

/** Classes that objects can be given. */
export const CLASSES = ["STANDARD_IA", "ONEZONE_IA", "INTELLIGENT_TIERING", "GLACIER_IR", "GLACIER", "DEEP_ARCHIVE"] as const;
/** What AWS wants an object to be old for these classes. */
const YOUNGEST_DAYS: Record<string, number> = { STANDARD_IA: 30, ONEZONE_IA: 30 };
const MOST_DAYS = 2_147_483_647;
export const MOST_RULES = 1000;
export const MOST_TAGS = 10;

export interface Change {
  storageClass: string;
  by: "days" | "date";
  days: string;
  date: string;
}

export interface FormerChange {
  storageClass: string;
  days: string;
  keep: string;
}

/** What stands in the fields of the form. */
export interface Draft {
  id: string;
  isOn: boolean;
  prefix: string;
  tags: [string, string][];
  larger: string;
  smaller: string;
  /** A rule deletes by days or by a date, or removes delete markers: never two of them. */
  expire: "" | "days" | "date" | "markers";
  expireDays: string;
  expireDate: string;
  formerDays: string;
  formerKeep: string;
  abortDays: string;
  changes: Change[];
  formerChanges: FormerChange[];
}

/** A field's name, and what to do about it. Of the changes of class, the names end in their index. */
export type Faults = Record<string, string>;

export const day = (date: Date | undefined): string => date?.toISOString().slice(0, 10) ?? "";
const text = (number: number | undefined): string => (number === undefined ? "" : String(number));

/** A size as it can be read back to the byte. */
function exactly(count: number | undefined): string {
  if (count === undefined) return "";
  const power = count ? ["KiB", "MiB", "GiB", "TiB"].findLastIndex((_, index) => count % 1024 ** (index + 1) === 0) : -1;
  return power < 0 ? String(count) : `${count / 1024 ** (power + 1)} ${["KiB", "MiB", "GiB", "TiB"][power]}`;
}

/** All conditions, wherever they stand. */
function conditions(rule: LifecycleRule) {
  const filter = { ...rule.Filter, ...rule.Filter?.And } as LifecycleRuleAndOperator & { Tag?: Tag };
  return { ...filter, Prefix: filter.Prefix ?? rule.Prefix ?? "", Tags: [...(filter.Tags ?? []), ...(filter.Tag ? [filter.Tag] : [])] };
}

export function draftOf(rule: LifecycleRule): Draft {
  const filter = conditions(rule);
  const { Expiration } = rule;
  return {
    id: rule.ID ?? "",
    isOn: rule.Status !== "Disabled",
    prefix: filter.Prefix,
    tags: filter.Tags.map(({ Key, Value }) => [Key!, Value!]),
    larger: exactly(filter.ObjectSizeGreaterThan),
    smaller: exactly(filter.ObjectSizeLessThan),
    expire: Expiration?.Days ? "days" : Expiration?.Date ? "date" : Expiration?.ExpiredObjectDeleteMarker ? "markers" : "",
    expireDays: text(Expiration?.Days),
    expireDate: day(Expiration?.Date),
    formerDays: text(rule.NoncurrentVersionExpiration?.NoncurrentDays),
    formerKeep: text(rule.NoncurrentVersionExpiration?.NewerNoncurrentVersions),
    abortDays: text(rule.AbortIncompleteMultipartUpload?.DaysAfterInitiation),
    changes: (rule.Transitions ?? []).map((one) => ({ storageClass: one.StorageClass!, by: one.Date ? "date" : "days", days: text(one.Days), date: day(one.Date) })),
    formerChanges: (rule.NoncurrentVersionTransitions ?? []).map((one) => ({ storageClass: one.StorageClass!, days: text(one.NoncurrentDays), keep: text(one.NewerNoncurrentVersions) })),
  };
}

/** `undefined`: it is no whole number between these. */
function whole(value: string, least: number, most = MOST_DAYS): number | undefined {
  const number = Number(value.trim());
  return /^\s*\d+\s*$/.test(value) && number >= least && number <= most ? number : undefined;
}

/** `undefined`: it is no size that a number can tell to the byte. */
function sizeOf(value: string): number | undefined {
  const size = parseBytes(value);
  return Number.isSafeInteger(size) ? size : undefined;
}

const midnight = (date: string): Date | undefined => (date ? new Date(`${date}T00:00:00Z`) : undefined);
const tagsOf = (draft: Draft) => draft.tags.filter(([name, value]) => name || value);
const isOfNamesAlone = (draft: Draft) => !tagsOf(draft).length && !draft.larger && !draft.smaller;

/** What the gateway is sent. Of what is wrong in the draft nothing is in it. */
export function ruleOf(draft: Draft): LifecycleRule {
  const tags = tagsOf(draft).map(([Key, Value]) => ({ Key, Value }));
  const sizes = { ObjectSizeGreaterThan: sizeOf(draft.larger), ObjectSizeLessThan: sizeOf(draft.smaller) };
  const hasSize = sizes.ObjectSizeGreaterThan !== undefined || sizes.ObjectSizeLessThan !== undefined;
  const both = sizes.ObjectSizeGreaterThan !== undefined && sizes.ObjectSizeLessThan !== undefined;
  // Two conditions and more stand in an `And`; one stands by itself.
  const isMany = tags.length + Number(hasSize) + Number(both) + Number(Boolean(draft.prefix)) > 1;
  const Filter = isMany ? { And: { Prefix: draft.prefix || undefined, Tags: tags.length ? tags : undefined, ...sizes } } : tags.length ? { Tag: tags[0] } : hasSize ? sizes : { Prefix: draft.prefix };
  const [expireDays, formerDays, abortDays] = [draft.expireDays, draft.formerDays, draft.abortDays].map((value) => whole(value, 1));
  const expireDate = midnight(draft.expireDate);
  const changes = draft.changes.map((one) => ({ StorageClass: one.storageClass as any, ...(one.by === "date" ? { Date: midnight(one.date) } : { Days: whole(one.days, 0) }) }));
  const formerChanges = draft.formerChanges.map((one) => ({ StorageClass: one.storageClass as any, NoncurrentDays: whole(one.days, 0), NewerNoncurrentVersions: whole(one.keep, 1, 100) }));
  return {
    ID: draft.id || undefined,
    Status: draft.isOn ? "Enabled" : "Disabled",
    Filter,
    Expiration: draft.expire === "markers" ? { ExpiredObjectDeleteMarker: true } : draft.expire === "days" && expireDays ? { Days: expireDays } : draft.expire === "date" && expireDate ? { Date: expireDate } : undefined,
    NoncurrentVersionExpiration: formerDays ? { NoncurrentDays: formerDays, NewerNoncurrentVersions: whole(draft.formerKeep, 1, 100) } : undefined,
    AbortIncompleteMultipartUpload: abortDays ? { DaysAfterInitiation: abortDays } : undefined,
    Transitions: changes.length ? changes : undefined,
    NoncurrentVersionTransitions: formerChanges.length ? formerChanges : undefined,
  };
}

/** What AWS and the gateway would refuse. `others`: names of the bucket's other rules. */
export function faultsOf(draft: Draft, others: string[]): Faults {
  const faults: Faults = {};
  /** The first thing that is wrong with a field is told. */
  const wrong = (field: string, is: unknown, words: string) => {
    if (is) faults[field] ??= words;
  };
  const days = (least: number) => `Write a whole number of days, ${least} or more.`;
  const isWrong = (value: string, least: number, most?: number) => whole(value, least, most) === undefined;
  const keep = "Write a whole number from 1 to 100, or leave it empty.";

  wrong("id", draft.id.length > 255, "A name has at most 255 characters: shorten it.");
  wrong("id", others.includes(draft.id), "Another rule has this name: choose another.");

  const tags = tagsOf(draft);
  const twice = tags.find(([name], index) => tags.findIndex(([other]) => other === name) !== index);
  wrong("tags", tags.some(([name]) => !name), "A tag needs a key: fill it in, or remove the tag.");
  wrong("tags", twice, `Two tags have the key "${twice?.[0]}": remove one of them.`);
  wrong("tags", tags.some(([name, value]) => name.length > 128 || value.length > 256), "A key has at most 128 characters, a value 256: shorten it.");

  const [larger, smaller] = [sizeOf(draft.larger), sizeOf(draft.smaller)];
  const size = "Write a size, such as 10 MiB, or leave it empty.";
  wrong("larger", draft.larger && larger === undefined, size);
  wrong("smaller", draft.smaller && !smaller, size);
  wrong("smaller", larger !== undefined && smaller !== undefined && smaller <= larger, "No object is of such a size: write one above that of “larger than”.");

  wrong("expireDays", draft.expire === "days" && isWrong(draft.expireDays, 1), days(1));
  wrong("expireDate", draft.expire === "date" && !draft.expireDate, "Choose a day.");
  wrong("expire", draft.expire === "markers" && !isOfNamesAlone(draft), "Delete markers have neither tags nor a size: take those conditions away, or make a rule of its own for delete markers.");

  wrong("formerDays", draft.formerKeep && !draft.formerDays, "Say after how many days, too.");
  wrong("formerDays", draft.formerDays && isWrong(draft.formerDays, 1), days(1));
  wrong("formerKeep", draft.formerKeep && isWrong(draft.formerKeep, 1, 100), keep);

  wrong("abortDays", draft.abortDays && isWrong(draft.abortDays, 1), days(1));
  wrong("abortDays", draft.abortDays && !isOfNamesAlone(draft), "Uploads have neither tags nor a size: take those conditions away, or make a rule of its own for uploads.");

  const isYoung = ({ storageClass, days }: FormerChange | Change) => Number(days) < (YOUNGEST_DAYS[storageClass] ?? 0);
  const young = ({ storageClass }: { storageClass: string }) => `${storageClass} is for objects of ${YOUNGEST_DAYS[storageClass]} days and more: write more days, or choose another class.`;
  const before = (all: { storageClass: string }[], index: number) => all.slice(0, index).some((one) => one.storageClass === all[index]!.storageClass);
  const again = "This class is there twice: remove one of them.";
  draft.changes.forEach((one, index) => {
    const field = `change${index}`;
    wrong(field, one.by === "days" && isWrong(one.days, 0), days(0));
    wrong(field, one.by === "date" && !one.date, "Choose a day.");
    wrong(field, one.by === "days" && isYoung(one), young(one));
    wrong(field, before(draft.changes, index), again);
  });
  draft.formerChanges.forEach((one, index) => {
    const field = `formerChange${index}`;
    wrong(field, isWrong(one.days, 0), days(0));
    wrong(field, isYoung(one), young(one));
    wrong(field, before(draft.formerChanges, index), again);
    wrong(`formerChangeKeep${index}`, one.keep && isWrong(one.keep, 1, 100), keep);
  });

  const kinds = new Set([...draft.changes.map(({ by }) => by), ...(draft.expire === "days" || draft.expire === "date" ? [draft.expire] : [])]);
  wrong("expire", kinds.size > 1, "One rule has days or dates, not both: give days everywhere, or dates everywhere, or make two rules.");
  const latest = Math.max(-1, ...draft.changes.map(({ days }) => Number(days)));
  wrong("expireDays", draft.expire === "days" && Number(draft.expireDays) <= latest, `A change of class comes after ${plural(latest, "day")}: write more days than that.`);
  const last = draft.changes.map(({ date }) => date).sort().at(-1) ?? "";
  wrong("expireDate", draft.expire === "date" && draft.expireDate <= last, `A change of class comes on ${last}: choose a later day.`);
  const latestFormer = Math.max(-1, ...draft.formerChanges.map(({ days }) => Number(days)));
  wrong("formerDays", draft.formerDays && Number(draft.formerDays) <= latestFormer, `A change of class comes after ${plural(latestFormer, "day")}: write more days than that.`);

  const acts = draft.expire || draft.formerDays || draft.formerKeep || draft.abortDays || draft.changes.length || draft.formerChanges.length;
  wrong("expire", !acts, "The rule does nothing yet: choose something here, or fill in one of the fields below.");
  return faults;
}

/** What a rule does, as a person would say it. */
export function ruleInWords(rule: LifecycleRule): string[] {
  const days = (number: number) => plural(number, "day");
  const said: string[] = [];
  const { Expiration, NoncurrentVersionExpiration, AbortIncompleteMultipartUpload, Transitions, NoncurrentVersionTransitions } = rule;
  const newest = (keep: number | undefined, how = "") => (keep ? `; the newest ${keep === 1 ? "of them stays" : `${keep} of them stay`}${how}` : "");
  for (const one of Transitions ?? []) {
    if (one.Date) said.push(`Objects get the class ${one.StorageClass} from ${day(one.Date)} on.`);
    else if (one.Days !== undefined) said.push(`Objects get the class ${one.StorageClass} ${one.Days ? `${days(one.Days)} after they were written` : "at the midnight after they were written"}.`);
  }
  if (Expiration?.Days) said.push(`Objects are deleted ${days(Expiration.Days)} after they were written.`);
  if (Expiration?.Date) said.push(`Objects are deleted from ${day(Expiration.Date)} on.`);
  if (Expiration?.ExpiredObjectDeleteMarker) said.push("Delete markers with no versions behind them are removed.");
  for (const one of NoncurrentVersionTransitions ?? []) {
    if (one.NoncurrentDays === undefined) continue;
    const when = one.NoncurrentDays ? `${days(one.NoncurrentDays)} after they were replaced` : "at the midnight after they were replaced";
    said.push(`Former versions get the class ${one.StorageClass} ${when}${newest(one.NewerNoncurrentVersions, " as they are")}.`);
  }
  if (NoncurrentVersionExpiration?.NoncurrentDays) said.push(`Former versions are deleted ${days(NoncurrentVersionExpiration.NoncurrentDays)} after they were replaced${newest(NoncurrentVersionExpiration.NewerNoncurrentVersions)}.`);
  if (AbortIncompleteMultipartUpload?.DaysAfterInitiation) said.push(`Uploads that are not finished after ${days(AbortIncompleteMultipartUpload.DaysAfterInitiation)} are aborted.`);
  return said;
}

/** Which objects a rule is for. */
export function scopeInWords(rule: LifecycleRule): string {
  const filter = conditions(rule);
  const said: string[] = [];
  if (filter.Prefix) said.push(`whose names begin with "${filter.Prefix}"`);
  for (const tag of filter.Tags) said.push(`tagged ${tag.Key}=${tag.Value}`);
  if (filter.ObjectSizeGreaterThan !== undefined) said.push(`larger than ${bytes(filter.ObjectSizeGreaterThan)}`);
  if (filter.ObjectSizeLessThan !== undefined) said.push(`smaller than ${bytes(filter.ObjectSizeLessThan)}`);
  return said.length ? `Of objects ${said.join(" and ")}` : "Of all objects";
}
