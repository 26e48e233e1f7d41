//! What lies in the data folder beside what belongs there.

use std::path::Path;

use super::super::report::Report;

/// What a data folder holds. `lost+found` is the file system's own, where the folder is one's root.
const OWN: [&str; 14] = [
    "instance.json",
    "instance.json.new",
    "instance.json.copy",
    "instance.json.copy.new",
    "lock",
    "catalog",
    "blobs",
    "kms",
    "kms-mirror",
    "admin.sock",
    "lifecycle-cursor.json",
    "audit-spool",
    "log-spool",
    "lost+found",
];
/// What files and folders begin with that commands leave behind on purpose.
const OWN_PREFIXES: [&str; 4] = ["catalog.replaced-", "catalog.head.", "kms.head", "scrub-"];

/// Names foreign files in the root of the folder.
pub(super) fn check(folder: &Path, report: &mut Report) -> std::io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let name = entry?.file_name();
        let name = name.to_string_lossy();
        if !OWN.contains(&&*name) && !OWN_PREFIXES.iter().any(|prefix| name.starts_with(prefix)) {
            report.fault("foreign", folder.join(&*name).display().to_string(), "no file of a data folder");
        }
    }
    Ok(())
}
