/** Files that were dropped, with those in folders. */
export interface Named {
  name: string;
  file: File;
}

/** At most this many: a drop of a home folder is a mistake. */
const MOST = 20_000;

export async function collect(data: DataTransfer): Promise<Named[]> {
  // Entries have to be taken before the first wait: the browser empties the list after the event.
  const entries = [...data.items].map((item) => item.webkitGetAsEntry?.()).filter((entry) => entry !== null && entry !== undefined);
  if (!entries.length) return [...data.files].map((file) => ({ name: file.name, file }));
  const found: Named[] = [];
  for (const entry of entries) await walk(entry, "", found);
  return found;
}

async function walk(entry: FileSystemEntry, before: string, found: Named[]): Promise<void> {
  if (found.length >= MOST) throw new Error(`More than ${MOST} files: upload them in several steps, or by the AWS CLI.`);
  if (entry.isFile) {
    const file = await new Promise<File>((resolve, reject) => (entry as FileSystemFileEntry).file(resolve, reject));
    found.push({ name: before + entry.name, file });
    return;
  }
  const reader = (entry as FileSystemDirectoryEntry).createReader();
  for (;;) {
    const some = await new Promise<FileSystemEntry[]>((resolve, reject) => reader.readEntries(resolve, reject));
    if (!some.length) return;
    for (const one of some) await walk(one, `${before}${entry.name}/`, found);
  }
}
