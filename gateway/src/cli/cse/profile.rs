//! Profiles of AWS's tools: `~/.aws/credentials` and `~/.aws/config`.
//! <https://docs.aws.amazon.com/sdkref/latest/guide/file-format.html>

use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};
use object_store::aws::AwsCredential;
use zeroize::Zeroizing;

use super::connection::variable;

/// The longest file that is read, in bytes.
const MAX_FILE_LEN: u64 = 1 << 20;
const DEFAULT: &str = "default";
/// What names a way to credentials that takes more than these files.
const OTHER_SOURCES: [&str; 5] =
    ["sso_session", "sso_start_url", "credential_process", "role_arn", "web_identity_token_file"];

type Section = BTreeMap<String, Zeroizing<String>>;
type Sections = BTreeMap<String, Section>;

/// The settings of one profile.
#[derive(Default)]
pub(super) struct Profile {
    name: String,
    settings: Section,
    /// Endpoints of single services, by `SERVICE.endpoint_url`.
    services: Section,
}

impl Profile {
    /// The profile of this name, or else of AWS_PROFILE or `default`. That one need not be there.
    pub(super) fn load(name: Option<String>) -> anyhow::Result<Self> {
        let file = |name: &str, usual: &str| {
            let home = || variable(&["HOME"]).map(|home| Path::new(&home).join(".aws").join(usual));
            variable(&[name]).map(PathBuf::from).or_else(home)
        };
        let credentials = sections(file("AWS_SHARED_CREDENTIALS_FILE", "credentials"))?;
        let config = sections(file("AWS_CONFIG_FILE", "config"))?;
        let named = name.or_else(|| variable(&["AWS_PROFILE", "AWS_DEFAULT_PROFILE"]));
        match Self::of(named.as_deref().unwrap_or(DEFAULT), credentials, config) {
            Some(profile) => Ok(profile),
            None => match named {
                None => Ok(Self::default()),
                Some(name) => bail!(
                    "there is no profile {name} in ~/.aws/config and ~/.aws/credentials: unset AWS_PROFILE, or name one of theirs"
                ),
            },
        }
    }

    fn of(name: &str, mut credentials: Sections, mut config: Sections) -> Option<Self> {
        let titled = config.remove(&format!("profile {name}"));
        // Other profiles need the word before their name.
        let bare = || if name == DEFAULT { config.remove(DEFAULT) } else { None };
        let found = (titled.or_else(bare), credentials.remove(name));
        if let (None, None) = found {
            return None;
        }
        let mut settings = found.0.unwrap_or_default();
        // Credentials of the file that is named after them go first.
        settings.extend(found.1.unwrap_or_default());
        let services =
            settings.get("services").and_then(|services| config.remove(&format!("services {}", **services)));
        Some(Self { name: name.to_owned(), settings, services: services.unwrap_or_default() })
    }

    /// A setting, unless it is empty.
    pub(super) fn get(&self, setting: &str) -> Option<&str> {
        self.settings.get(setting).map(|value| value.as_str()).filter(|value| !value.is_empty())
    }

    /// Where it says that a service is, such as `s3`.
    pub(super) fn endpoint(&self, service: &str) -> Option<&str> {
        let own = self.services.get(&format!("{service}.endpoint_url"));
        own.map(|value| value.as_str()).filter(|value| !value.is_empty()).or_else(|| self.get("endpoint_url"))
    }

    /// Its access key, where it has one.
    ///
    /// # Errors
    /// When it has half a key, or says that credentials come from where this program does not look.
    pub(super) fn credential(&self) -> anyhow::Result<Option<AwsCredential>> {
        let name = &self.name;
        match (self.get("aws_access_key_id"), self.get("aws_secret_access_key")) {
            (Some(key_id), Some(secret_key)) => {
                let token = self.get("aws_session_token").map(str::to_owned);
                Ok(Some(AwsCredential {
                    key_id: key_id.to_owned(),
                    secret_key: secret_key.to_owned(),
                    token,
                }))
            }
            (None, None) => match OTHER_SOURCES.iter().find(|source| self.get(source).is_some()) {
                None => Ok(None),
                Some(source) => bail!(
                    "the profile {name} takes its credentials by {source}, which is not done here: \
                     `aws configure export-credentials --profile {name} --format env` makes the variables that are taken"
                ),
            },
            (Some(_), None) => bail!("the profile {name} has aws_access_key_id and no aws_secret_access_key"),
            (None, Some(_)) => bail!("the profile {name} has aws_secret_access_key and no aws_access_key_id"),
        }
    }
}

fn sections(file: Option<PathBuf>) -> anyhow::Result<Sections> {
    let Some(file) = file else { return Ok(Sections::new()) };
    let unreadable = || format!("can't read {}", file.display());
    let opened = match std::fs::File::open(&file) {
        Err(error)
            if matches!(error.kind(), std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory) =>
        {
            return Ok(Sections::new());
        }
        opened => opened.with_context(unreadable)?,
    };
    let mut text = Zeroizing::new(String::new());
    opened.take(MAX_FILE_LEN + 1).read_to_string(&mut text).with_context(unreadable)?;
    ensure!(text.len() as u64 <= MAX_FILE_LEN, "{} is longer than a file of profiles can be", file.display());
    parse(&text).with_context(|| format!("{} is no file of profiles", file.display()))
}

/// What follows white space and `#` or `;` is a comment.
fn without_comment(value: &str) -> &str {
    let is_comment = |(at, _): &(usize, char)| value[..*at].ends_with([' ', '\t']);
    let mut marks = value.char_indices().filter(|(_, c)| matches!(c, '#' | ';'));
    marks.find(is_comment).map_or(value, |(at, _)| &value[..at]).trim()
}

/// The name of a section: `profile  "a b"` is `profile a b`.
fn title(line: &str) -> Option<String> {
    let (title, _) = line.strip_prefix('[')?.split_once(']')?;
    let words: Vec<_> = title.split_whitespace().map(|word| word.trim_matches(['"', '\''])).collect();
    (!words.is_empty()).then(|| words.join(" "))
}

/// Sections by their names. Settings that stand indented below another one are `OTHER.SETTING`.
fn parse(text: &str) -> anyhow::Result<Sections> {
    let mut sections = Sections::new();
    let (mut section, mut outer) = (None, String::new());
    for (number, line) in (1..).zip(text.lines()) {
        let is_indented = line.starts_with([' ', '\t']);
        let trimmed = line.trim();
        if trimmed.is_empty() || trimmed.starts_with(['#', ';']) {
            continue;
        }
        if trimmed.starts_with('[') && !is_indented {
            let title = title(trimmed).with_context(|| format!("line {number}: a section is [NAME]"))?;
            section = Some(sections.entry(title).or_default());
            outer.clear();
            continue;
        }
        let section = section.as_mut().with_context(|| format!("line {number}: it is in no [SECTION]"))?;
        let Some((name, value)) = trimmed.split_once('=') else {
            // The next line of a long value, of which none matters here.
            ensure!(is_indented, "line {number}: it is neither [SECTION] nor NAME = VALUE");
            continue;
        };
        let (name, value) = (name.trim().to_ascii_lowercase(), without_comment(value));
        let name = if is_indented && !outer.is_empty() { format!("{outer}.{name}") } else { name };
        if !is_indented {
            outer.clone_from(&name);
        }
        section.insert(name, Zeroizing::new(value.to_owned()));
    }
    Ok(sections)
}

#[cfg(test)]
mod tests {
    use super::*;

    const CREDENTIALS: &str = "
# of the office
[default]
aws_access_key_id = AKIADEFAULT
aws_secret_access_key=a/b+c=  ; with a comment

[other]
aws_access_key_id=AKIAOTHER
AWS_SECRET_ACCESS_KEY = s#e;c
aws_session_token = t
[half]
aws_access_key_id = AKIAHALF
";
    const CONFIG: &str = "
[default]
region = eu-west-1
[profile other]
region\t=\teu-central-1
services = mine
endpoint_url = http://every
s3 =
  max_concurrent_requests = 20
  endpoint_url = http://not-this-way
[ profile  \"of sso\" ]
sso_session = me
[half]
region = not-without-the-word
[services mine]
s3 =
  endpoint_url = http://s3
kms =
  endpoint_url =
";

    fn profile(name: &str) -> Option<Profile> {
        Profile::of(name, parse(CREDENTIALS).expect("a file"), parse(CONFIG).expect("a file"))
    }

    #[test]
    fn both_files_make_a_profile() {
        let default = profile(DEFAULT).expect("a profile");
        let credential = default.credential().expect("sound").expect("a key");
        assert_eq!((&*credential.key_id, &*credential.secret_key), ("AKIADEFAULT", "a/b+c="));
        assert_eq!((default.get("region"), default.endpoint("s3")), (Some("eu-west-1"), None));
        let other = profile("other").expect("a profile");
        let credential = other.credential().expect("sound").expect("a key");
        assert_eq!((&*credential.secret_key, credential.token.as_deref()), ("s#e;c", Some("t")));
        assert_eq!(other.get("region"), Some("eu-central-1"));
        assert_eq!((other.endpoint("s3"), other.endpoint("kms")), (Some("http://s3"), Some("http://every")));
        assert!(profile("none").is_none());
    }

    #[test]
    fn credentials_that_are_not_there_are_told_of() {
        let refused =
            |name: &str| profile(name).expect("a profile").credential().expect_err("none").to_string();
        assert!(refused("half").contains("no aws_secret_access_key"));
        assert!(refused("of sso").contains("by sso_session"));
        assert_eq!(profile("half").expect("a profile").get("region"), None);
    }

    #[test]
    fn what_is_no_file_of_profiles_is_refused_by_line() {
        for (text, told) in [
            ("[default]\nregion", "line 2: it is neither"),
            ("region = a", "line 1: it is in no"),
            ("\n[default", "line 2: a section is"),
            ("[]", "line 1: a section is"),
        ] {
            let error = parse(text).expect_err(text).to_string();
            assert!(error.starts_with(told), "{text:?}: {error}");
        }
        assert!(parse("[a]\nb = c\n  d\n").is_ok());
    }
}
