//! Events of the audit log, newest first: what a person looks through. Programs read the file, or its webhook.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::Admin;
use super::error::AdminError;

/// Events of an answer, where it does not say how many.
const USUAL_LIMIT: u64 = 100;
/// The most events of an answer.
const MAX_LIMIT: u64 = 1000;
/// Bytes of the file that are read at once.
const READ_LEN: u64 = 256 * 1024;
/// Bytes of the file that one request looks through; the answer's `next` goes on.
const MAX_READ_LEN: u64 = 64 << 20;
/// How long it may take.
const MAX_TIME: Duration = Duration::from_secs(5);
/// The longest line that is looked at, in bytes.
const MAX_LINE_LEN: usize = 1 << 20;

/// Files that are told of at the most, and entries of their folder that are looked at for them.
const MAX_FILES: usize = 100;
const MAX_ENTRIES: usize = 10_000;
/// Within so many bytes of an audit log stands what it begins with.
const HEAD_LEN: u64 = 4096;
/// What that is.
const BEGINNING: &[u8] = b"\"ChainOpened\"";

/// A log that can be looked through.
#[derive(Debug)]
struct LogFile {
    name: String,
    path: PathBuf,
    len: u64,
    modified_unix_ms: u64,
}

/// Which events.
#[derive(Debug, Default)]
struct Filter {
    /// Seconds since the Unix epoch.
    from: Option<i64>,
    to: Option<i64>,
    /// An ARN, a user's name or an access key's id, or a part of one.
    principal: Option<String>,
    /// `GetObject`, `s3:GetObject`, or a part of one.
    action: Option<String>,
    /// A code; `any`: every refusal and failure; `none`: what went well.
    error: Option<String>,
    /// The account whose events the caller sees; `None`: all.
    account: Option<String>,
    limit: usize,
}

/// GetAuditEvents.
pub(super) async fn get(admin: &Admin<'_>) -> Result<Value, AdminError> {
    let Some(audit) = &admin.app.config.logs.audit else {
        return Err(AdminError::not_found(
            "This gateway keeps no audit log. The setting audit_log turns it on.",
        ));
    };
    if audit.path == Path::new("-") {
        return Err(AdminError::not_found(
            "The audit goes to standard output, which can't be read again. Name a file by the setting audit_log.",
        ));
    }
    let text = |name: &str| admin.query.get(name).filter(|value| !value.is_empty());
    let time = |name: &str| {
        text(name)
            .map(|value| {
                let parsed = OffsetDateTime::parse(value, &Rfc3339).map(OffsetDateTime::unix_timestamp);
                parsed.map_err(|_| {
                    let message =
                        format!("The parameter {name} must be a time such as 2026-01-31T12:00:00Z.");
                    AdminError::invalid(message)
                })
            })
            .transpose()
    };
    let lower = |name: &str| text(name).map(str::to_lowercase);
    let filter = Filter {
        from: time("from")?,
        to: time("to")?,
        principal: lower("principal"),
        action: lower("action"),
        error: text("error").map(str::to_owned),
        account: admin.only_account().map(str::to_owned),
        limit: usize::try_from(admin.number("limit")?.unwrap_or(USUAL_LIMIT).clamp(1, MAX_LIMIT))
            .unwrap_or(1),
    };
    let after = admin.number("after")?;
    let wanted = text("file").map(str::to_owned);
    if wanted.is_some() && !admin.is_main {
        return Err(AdminError::not_of_host("A log that was put aside"));
    }
    let (path, is_main) = (audit.path.clone(), admin.is_main);
    let looked = tokio::task::spawn_blocking(move || {
        let files = if is_main { files(&path)? } else { Vec::new() };
        let path = match wanted {
            None => path,
            // Nothing but what is told of is opened.
            Some(wanted) => match files.iter().find(|file| file.name == wanted) {
                Some(file) => file.path.clone(),
                None => return Ok(None),
            },
        };
        io::Result::Ok(Some((files, look(&path, after, &filter)?)))
    });
    let looked = looked.await.map_err(AdminError::failure)?.map_err(AdminError::failure)?;
    let Some((files, (events, next))) = looked else {
        return Err(AdminError::not_found(
            "There is no such audit log: the member files names those there are.",
        ));
    };
    let files = files.iter().map(|LogFile { name, len, modified_unix_ms, .. }| {
        json!({ "name": name, "bytes": len, "modified_unix_ms": modified_unix_ms })
    });
    Ok(json!({
        "events": events,
        "next": next.map(|next| next.to_string()),
        "files": files.collect::<Vec<_>>(),
    }))
}

/// The log, and those beside it that were put aside under names that begin as its own does, newest first. Compressed ones are not among
/// them: they can't be read from their end.
fn files(log: &Path) -> io::Result<Vec<LogFile>> {
    let stem = log.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let folder = log.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut found = Vec::new();
    for entry in folder.read_dir()?.take(MAX_ENTRIES) {
        let entry = entry?;
        let Ok(name) = entry.file_name().into_string() else { continue };
        // One that is renamed or deleted meanwhile is no failure.
        let Ok(metadata) = entry.metadata() else { continue };
        let is_log = || entry.path().file_name() == log.file_name() || begins_as_log(&entry.path());
        if !metadata.is_file() || !name.starts_with(&stem) || !is_log() {
            continue;
        }
        let modified = metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH);
        let modified = modified.duration_since(UNIX_EPOCH).unwrap_or_default();
        let modified_unix_ms = u64::try_from(modified.as_millis()).unwrap_or(u64::MAX);
        found.push(LogFile { name, path: entry.path(), len: metadata.len(), modified_unix_ms });
    }
    let is_current = |file: &LogFile| file.path.file_name() == log.file_name();
    found.sort_by_key(|file| std::cmp::Reverse((is_current(file), file.modified_unix_ms)));
    found.truncate(MAX_FILES);
    Ok(found)
}

fn begins_as_log(path: &Path) -> bool {
    let mut head = Vec::new();
    let read = File::open(path).and_then(|file| file.take(HEAD_LEN).read_to_end(&mut head));
    read.is_ok() && head.windows(BEGINNING.len()).any(|part| part == BEGINNING)
}

/// Looks through the file from its end, or from where a request before stopped.
fn look(path: &Path, after: Option<u64>, filter: &Filter) -> io::Result<(Vec<Value>, Option<u64>)> {
    let mut file = File::open(path)?;
    let len = file.metadata()?.len();
    // A file that was put aside meanwhile has no such place: its successor is looked through.
    let mut end = after.filter(|after| *after <= len).unwrap_or(len);
    let (first, began) = (end, Instant::now());
    let mut events = Vec::new();
    // The beginning of what was read, which is the end of a line that begins before it.
    let mut rest: Vec<u8> = Vec::new();
    while end > 0 {
        let start = end.saturating_sub(READ_LEN);
        let mut block = vec![0; usize::try_from(end - start).unwrap_or_default()];
        file.seek(SeekFrom::Start(start))?;
        file.read_exact(&mut block)?;
        block.append(&mut rest);
        let mut line_end = block.len();
        while let Some(break_at) = block[..line_end].iter().rposition(|byte| *byte == b'\n') {
            let line = &block[break_at + 1..line_end];
            if let Some(event) = event(line, filter) {
                let is_before = filter.from.zip(time_of(&event)).is_some_and(|(from, at)| at < from);
                if is_before {
                    return Ok((events, None));
                }
                events.push(event);
                if events.len() == filter.limit {
                    // The line break before this line ends the next one.
                    let next = start + break_at as u64;
                    return Ok((events, (next > 0).then_some(next)));
                }
            }
            line_end = break_at;
        }
        rest = block[..line_end].to_vec();
        if rest.len() > MAX_LINE_LEN {
            rest.clear();
        }
        end = start;
        if first - end >= MAX_READ_LEN || began.elapsed() > MAX_TIME {
            let next = end + rest.len() as u64;
            return Ok((events, (end > 0).then_some(next)));
        }
    }
    events.extend(event(&rest, filter));
    Ok((events, None))
}

/// The event of a line, if it is one that is wanted, or one of before the time that is asked for.
fn event(line: &[u8], filter: &Filter) -> Option<Value> {
    let event: Value = serde_json::from_slice(line).ok()?;
    let text = |value: &Value| value.as_str().unwrap_or_default().to_lowercase();
    if let Some(account) = &filter.account {
        let own = [&event["recipientAccountId"], &event["userIdentity"]["accountId"]];
        if !own.iter().any(|value| value.as_str() == Some(account)) {
            return None;
        }
    }
    let at = time_of(&event)?;
    if filter.from.is_some_and(|from| at < from) {
        return Some(event);
    }
    if filter.to.is_some_and(|to| at > to) {
        return None;
    }
    if let Some(principal) = &filter.principal {
        let who = &event["userIdentity"];
        let names = [&who["arn"], &who["userName"], &who["accessKeyId"], &who["principalId"]];
        if !names.iter().any(|name| text(name).contains(principal)) {
            return None;
        }
    }
    if let Some(action) = &filter.action {
        let service = text(&event["eventSource"]);
        let service = service.split('.').next().unwrap_or_default();
        if !format!("{service}:{}", text(&event["eventName"])).contains(action) {
            return None;
        }
    }
    let code = event["errorCode"].as_str();
    let fits = match filter.error.as_deref() {
        None => true,
        Some("any") => code.is_some(),
        Some("none") => code.is_none(),
        Some(wanted) => code.is_some_and(|code| code.eq_ignore_ascii_case(wanted)),
    };
    fits.then_some(event)
}

fn time_of(event: &Value) -> Option<i64> {
    OffsetDateTime::parse(event["eventTime"].as_str()?, &Rfc3339).ok().map(OffsetDateTime::unix_timestamp)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn log(count: usize) -> tempfile::NamedTempFile {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        for number in 0..count {
            let (minute, code) =
                (number / 60 % 60, if number % 3 == 0 { "\"AccessDenied\"" } else { "null" });
            let padding = "x".repeat(number % 700);
            writeln!(
                file,
                r#"{{"eventTime":"2026-01-01T00:{minute:02}:{:02}Z","eventName":"GetObject","eventSource":"s3.amazonaws.com","number":{number},
"errorCode":{code},"userIdentity":{{"arn":"arn:aws:iam::111122223333:user/u{}"}},"recipientAccountId":"11112222333{}","p":"{padding}"}}"#,
                number % 60,
                number % 2,
                number % 4,
            )
            .map(|()| ())
            .unwrap();
        }
        // A line is one line.
        let text = std::fs::read_to_string(file.path()).unwrap().replace(",\n", ",");
        std::fs::write(file.path(), text).unwrap();
        file
    }

    fn numbers(events: &[Value]) -> Vec<u64> {
        events.iter().map(|event| event["number"].as_u64().unwrap()).collect()
    }

    #[test]
    fn every_event_is_found_once_newest_first() {
        let file = log(3000);
        let filter = Filter { limit: 700, ..Filter::default() };
        let (mut found, mut after, mut pages) = (Vec::new(), None, 0);
        loop {
            let (events, next) = look(file.path(), after, &filter).unwrap();
            found.extend(numbers(&events));
            pages += 1;
            match next {
                Some(next) => after = Some(next),
                None => break,
            }
        }
        assert_eq!(found, (0..3000).rev().collect::<Vec<_>>());
        assert_eq!(pages, 5);
        // What was put aside is begun anew.
        assert_eq!(numbers(&look(file.path(), Some(u64::MAX), &filter).unwrap().0)[0], 2999);
    }

    #[test]
    fn logs_that_were_put_aside_are_found_and_nothing_else_is() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str, age_s: u64| {
            let path = folder.path().join(name);
            std::fs::write(&path, text).unwrap();
            let modified = SystemTime::now() - Duration::from_secs(age_s);
            File::options().append(true).open(&path).unwrap().set_modified(modified).unwrap();
        };
        let log = "{\"eventName\":\"ChainOpened\"}\n";
        write("audit.jsonl.2", log, 20);
        write("audit.jsonl", "{}\n", 30);
        write("audit-2026-01-01.jsonl", log, 10);
        write("audit.jsonl.head", "{\"id\":\"1\"}", 0);
        write("audit.jsonl.3.gz", "\u{1f}\u{8b}", 0);
        write("other.jsonl", log, 0);
        std::fs::create_dir(folder.path().join("audit.jsonl.d")).unwrap();
        std::os::unix::fs::symlink("/etc/passwd", folder.path().join("audit.jsonl.4")).unwrap();
        let found = files(&folder.path().join("audit.jsonl")).unwrap();
        let names: Vec<&str> = found.iter().map(|file| file.name.as_str()).collect();
        assert_eq!(names, ["audit.jsonl", "audit-2026-01-01.jsonl", "audit.jsonl.2"]);
    }

    #[test]
    fn filters() {
        let file = log(200);
        let of =
            |filter: Filter| numbers(&look(file.path(), None, &Filter { limit: 1000, ..filter }).unwrap().0);
        let text = |text: &str| Some(text.to_owned());
        assert_eq!(of(Filter { error: text("any"), ..Filter::default() }).len(), 67);
        assert_eq!(of(Filter { error: text("none"), ..Filter::default() }).len(), 133);
        assert_eq!(of(Filter { error: text("accessdenied"), ..Filter::default() }).len(), 67);
        assert_eq!(of(Filter { principal: text("user/u1"), ..Filter::default() }).len(), 100);
        assert_eq!(of(Filter { action: text("s3:getobj"), ..Filter::default() }).len(), 200);
        assert_eq!(of(Filter { action: text("kms:"), ..Filter::default() }).len(), 0);
        assert_eq!(of(Filter { account: text("111122223331"), ..Filter::default() }).len(), 50);
        let at = |minute: i64| Some(1_767_225_600 + minute * 60);
        assert_eq!(of(Filter { from: at(3), ..Filter::default() }).len(), 20);
        assert_eq!(of(Filter { from: at(1), to: at(2), ..Filter::default() }).len(), 61);
    }
}
