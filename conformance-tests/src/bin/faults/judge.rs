//! One try: damage, a start, the way out that a refusal names, and what is there then.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, ensure};
use serde::Serialize;

use super::blobs::Harmed;
use super::fault::{Fault, Kind, Pair, inflict};
use super::folder::{KILLED, Prepared, STOPPED, remove};
use super::gateway::{Gateway, Place, Started, Told, copy};
use super::random::Random;
use super::verify::{Findings, probe, verify};
use super::{scenario, write};

/// How many ways out are gone one after the other.
const WAYS_MAX: usize = 6;

/// What came of a try.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Outcome {
    /// Everything is served, and a check finds nothing.
    Harmless,
    /// The start was refused, and what it named brought everything back.
    Recovered,
    /// `sealgate check` names what is damaged, and everything else is whole.
    Named,
    /// None of these.
    Failed,
    /// It could not be tried here.
    Skipped,
}

/// A try that is done.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Verdict {
    pub(crate) number: u64,
    pub(crate) file: String,
    pub(crate) kind: String,
    pub(crate) fault: String,
    pub(crate) outcome: Outcome,
    /// What happened, in order.
    pub(crate) story: Vec<String>,
    /// What must not be.
    pub(crate) failures: Vec<String>,
}

/// What a try knows while it goes on.
pub(crate) struct Try<'p> {
    pub(crate) prepared: &'p Prepared,
    pub(crate) place: Place,
    pub(crate) random: Random,
    pub(crate) settle: Duration,
    pub(crate) story: Vec<String>,
    pub(crate) failures: Vec<String>,
    /// What commands and refusals told.
    told: String,
    was_refused: bool,
    was_rebuilt: bool,
    was_put_back: bool,
}

/// Makes a try in a folder of its own.
pub(crate) async fn judge(
    prepared: &Prepared,
    pair: Pair,
    number: u64,
    random: Random,
    folder: &Path,
    settle: Duration,
) -> Verdict {
    let (file, kind) = pair;
    let place = Place::new(folder.join("data"), prepared.root_key());
    let mut attempt = Try {
        prepared,
        place,
        random,
        settle,
        story: Vec::new(),
        failures: Vec::new(),
        told: String::new(),
        was_refused: false,
        was_rebuilt: false,
        was_put_back: false,
    };
    let done = match kind {
        Kind::FirstStart => scenario::first_start(&mut attempt).await,
        Kind::FullDisk => scenario::full_disk(&mut attempt).await,
        Kind::Backup => scenario::backup(&mut attempt).await,
        _ => attempt.damage(pair).await,
    };
    let (fault, outcome) = match done {
        Ok((fault, outcome)) => (fault, outcome),
        Err(error) => {
            attempt.failures.push(format!("{error:#}"));
            (attempt.story.first().cloned().unwrap_or_default(), Outcome::Failed)
        }
    };
    let outcome = if attempt.failures.is_empty() { outcome } else { Outcome::Failed };
    let Try { story, failures, .. } = attempt;
    Verdict { number, file: file.name(), kind: kind.name(), fault, outcome, story, failures }
}

impl Try<'_> {
    /// Tells what happened.
    pub(crate) fn tell(&mut self, text: impl Into<String>) {
        self.story.push(text.into());
    }

    /// Tells what must not be.
    fn fail(&mut self, what: &str, which: &[String]) {
        if !which.is_empty() {
            let shown: Vec<&str> = which.iter().take(3).map(String::as_str).collect();
            self.failures.push(format!("{what} ({}): {}", which.len(), shown.join("; ")));
        }
    }

    async fn damage(&mut self, pair: Pair) -> anyhow::Result<(String, Outcome)> {
        let prepared = self.prepared;
        let (mut state, mut fault) = (STOPPED, None);
        // Not every state has each kind of file.
        for _ in 0..4 {
            state = if self.random.below(2) == 0 { KILLED } else { STOPPED };
            remove(&self.place.data)?;
            copy(&prepared.state(state), &self.place.data).await?;
            fault = inflict(prepared, pair, &self.place.data, &mut self.random).await?;
            if fault.is_some() {
                break;
            }
        }
        let Some(fault) = fault else { return Ok((String::from("nothing to damage"), Outcome::Skipped)) };
        let text = format!("{} ({state})", fault.text);
        self.tell(text.clone());
        let mut harmed = prepared.blobs(state).harmed(&self.place.data);
        let Some(gateway) = self.start(&fault, state).await? else { return Ok((text, Outcome::Failed)) };
        if self.was_put_back {
            harmed = Harmed::default();
        }
        Ok((text, self.look(gateway, &fault, &harmed).await?))
    }

    /// Starts it, by the way out that a refusal names. `None`: there is none.
    async fn start(&mut self, fault: &Fault, state: &str) -> anyhow::Result<Option<Gateway>> {
        let mut gone: Vec<String> = Vec::new();
        // Both must work where a folder is lost that a command makes anew: the command, and its return.
        let may_return = fault.can_be_put_back.filter(|_| self.random.below(2) == 0);
        let mut to_return = may_return.or(fault.can_be_put_back);
        let mut is_first = true;
        for _ in 0..WAYS_MAX {
            let words = match self.place.start().await? {
                Started::Serving(gateway) => return Ok(Some(*gateway)),
                Started::Refused { code, words } => {
                    self.tell(format!("refused with {code:?}: {}", last_line(&words)));
                    ensure!(code.is_some_and(|code| code != 0), "a refusal ended with {code:?}: {words}");
                    words
                }
            };
            self.was_refused = true;
            self.told += &words;
            let named: Vec<String> = ways(&words).into_iter().filter(|way| !gone.contains(way)).collect();
            let adopts = |way: &&String| way.starts_with("adopt");
            let way = named.iter().find(|way| !adopts(way));
            let returns_first = is_first && may_return.is_some();
            is_first = false;
            match (way, to_return) {
                (_, Some(folder)) if returns_first || way.is_none() => {
                    to_return = None;
                    self.put_back(folder, state).await?;
                }
                (Some(way), _) => {
                    gone.push(way.clone());
                    self.go(way).await?;
                }
                (None, _) => match named.iter().find(adopts) {
                    Some(way) => {
                        gone.push(way.clone());
                        self.go(way).await?;
                    }
                    None => {
                        self.failures.push(format!("no way out: {}", last_line(&words)));
                        return Ok(None);
                    }
                },
            }
        }
        self.failures.push("the ways out that are named lead nowhere".to_owned());
        Ok(None)
    }

    /// Puts a folder or a file back that was elsewhere.
    async fn put_back(&mut self, folder: &str, state: &str) -> anyhow::Result<()> {
        self.tell(format!("{folder} is put back"));
        let target = self.place.data.join(folder);
        remove(&target)?;
        copy(&self.prepared.state(state).join(folder), &target).await?;
        self.was_put_back = true;
        Ok(())
    }

    /// Runs a command that was named.
    pub(crate) async fn go(&mut self, way: &str) -> anyhow::Result<Told> {
        let arguments: Vec<String> = way.split_whitespace().map(str::to_owned).collect();
        let told = self.place.run(&arguments).await?;
        self.tell(format!("`sealgate {way}` ended with {:?}: {}", told.code, last_line(&told.text)));
        self.told += &told.text;
        self.was_rebuilt |= way.starts_with("rebuild") || way.starts_with("adopt");
        Ok(told)
    }

    /// Looks at everything, waits for a sweep, looks again, and has it checked.
    async fn look(&mut self, gateway: Gateway, fault: &Fault, harmed: &Harmed) -> anyhow::Result<Outcome> {
        let ledger = &self.prepared.ledger;
        let mut findings = verify(&gateway.endpoint, ledger).await;
        tokio::time::sleep(self.settle).await;
        findings.add(verify(&gateway.endpoint, ledger).await);
        if let Err(error) = probe(&gateway.endpoint, write::PLAIN).await {
            self.failures.push(format!("it takes no writes: {error:#}"));
        }
        gateway.stop().await?;
        let checked = self.check().await?;
        let mut told = self.told.clone();
        told += &checked.text;

        // An object whose own bytes are whole may be named too, if a rebuild brings it back.
        let missing = |findings: &Findings| -> BTreeMap<String, usize> {
            let mut missing: BTreeMap<String, usize> = BTreeMap::new();
            for (name, whys) in findings.lost.iter().chain(&findings.stale) {
                *missing.entry(name.clone()).or_default() += whys.len();
            }
            for (name, whys) in &findings.unlisted {
                let count = missing.entry(name.clone()).or_default();
                *count = whys.len().max(*count);
            }
            missing
        };
        // Journals are what a rebuild reads; while the catalog is there nothing else needs them, and it lists what it knows.
        let excuses = |findings: &Findings, name: &str, was_rebuilt: bool| match was_rebuilt {
            true => harmed.objects.get(name).copied().unwrap_or_default(),
            false if findings.unlisted.contains_key(name) => 0,
            false => harmed.contents.get(name).copied().unwrap_or_default(),
        };
        let unexcused = |findings: &Findings, was_rebuilt: bool| -> Vec<String> {
            let missing = missing(findings).into_iter();
            missing
                .filter(|(name, count)| *count > excuses(findings, name, was_rebuilt))
                .map(|(name, _)| name)
                .collect()
        };
        let names = |text: &str, name: &str| {
            text.contains(name) || fault.names.iter().any(|damage| text.contains(damage))
        };
        let whole = unexcused(&findings, self.was_rebuilt);
        let mut lost_first = Vec::new();
        if !whole.is_empty() && !self.was_rebuilt && findings.wrong.is_empty() {
            let is_named = checked.code == Some(1) && whole.iter().all(|name| names(&checked.text, name));
            if is_named {
                self.tell(format!("{} objects are named by the check, and not served", whole.len()));
                lost_first = whole;
                self.go("rebuild").await?;
                let gateway = self.place.serve().await.context("after the rebuild")?;
                findings = verify(&gateway.endpoint, ledger).await;
                gateway.stop().await?;
                told += &self.told;
            }
        }
        let why = |name: &String| -> String {
            let Findings { lost, stale, unlisted, .. } = &findings;
            let why = lost.get(name).or_else(|| stale.get(name)).or_else(|| unlisted.get(name));
            why.and_then(|whys| whys.first()).cloned().unwrap_or_else(|| name.clone())
        };
        let whole: Vec<String> = unexcused(&findings, self.was_rebuilt).iter().map(why).collect();
        self.fail("wrong answers", &findings.wrong);
        self.fail("objects are lost whose own bytes are whole", &whole);
        self.fail("listings", &findings.listings);
        self.fail("keys are lost or put back", &findings.keys);
        let missing = missing(&findings);
        let untold: Vec<String> = missing.keys().filter(|name| !names(&told, name)).map(why).collect();
        self.fail("lost without a word", &untold);
        let gone: Vec<String> =
            findings.buckets.iter().filter(|name| !harmed.buckets.contains(*name)).cloned().collect();
        self.fail("buckets are lost", &gone);
        if self.was_rebuilt {
            // Identities have no blobs: they come back from a backup alone, which whoever rebuilds must be told.
            let is_told = ["user", "identit", "document", "IAM"].iter().any(|word| self.told.contains(word));
            if !is_told {
                self.fail("users are lost without a word", &findings.users);
            }
        } else {
            self.fail("users are lost", &findings.users);
            self.fail("deleted objects are there again", &findings.risen);
        }
        let could_check = matches!(checked.code, Some(0 | 1)) && !could_not_run(&checked);
        if !could_check {
            self.failures.push(format!("the check could not run: {}", last_line(&checked.text)));
        }
        let is_told = checked.code == Some(1) || told.contains("FAULT");
        let passed_over: Vec<String> = (ledger.objects.iter())
            .filter(|object| object.is_untouched() && harmed.contents.contains_key(&object.name) && !is_told)
            .map(|object| format!("{} has a damaged blob", object.name))
            .collect();
        if !self.was_refused {
            self.fail("the check finds nothing", &passed_over);
        }
        if let (Some(folder), false, false) = (fault.can_be_put_back, self.was_refused, missing.is_empty()) {
            // Whatever a check says afterwards: writes that it takes are lost when the right folder comes back.
            self.failures
                .push(format!("it starts although {folder}/ is not the one that belongs to the rest"));
        }
        let is_named = !missing.is_empty() || !lost_first.is_empty() || checked.code == Some(1);
        Ok(match (self.was_refused, is_named) {
            (true, _) => Outcome::Recovered,
            (false, true) => Outcome::Named,
            (false, false) => Outcome::Harmless,
        })
    }

    /// `sealgate check`.
    pub(crate) async fn check(&mut self) -> anyhow::Result<Told> {
        let checked = self.place.run(&["check".to_owned()]).await?;
        let count = checked.text.lines().filter(|line| line.starts_with("FAULT")).count();
        self.tell(format!(
            "the check ended with {:?}, {count} faults: {}",
            checked.code,
            last_line(&checked.text)
        ));
        Ok(checked)
    }

    /// A path beside the try's data folder.
    pub(crate) fn beside(&self, name: &str) -> PathBuf {
        self.place.data.with_file_name(name)
    }
}

/// It ended before it looked at anything: the program's own refusal stands there alone.
fn could_not_run(told: &Told) -> bool {
    told.code == Some(2) || (told.code != Some(0) && last_line(&told.text).starts_with("sealgate: "))
}

/// The last line that says something.
pub(crate) fn last_line(text: &str) -> String {
    let lines = || text.lines().map(str::trim).filter(|line| !line.is_empty());
    let own = lines().rfind(|line| line.starts_with("sealgate: "));
    // Damaged files are quoted now and then.
    let line = own.or_else(|| lines().next_back()).unwrap_or_default();
    line.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

/// The commands that a text names as `sealgate …`, without the folder that they are told of anyway.
pub(crate) fn ways(text: &str) -> Vec<String> {
    let mut ways: Vec<String> = Vec::new();
    for quoted in text.split('`').skip(1).step_by(2) {
        let Some(words) = quoted.strip_prefix("sealgate ") else { continue };
        let mut arguments = Vec::new();
        let mut words = words.split_whitespace();
        while let Some(word) = words.next() {
            match word {
                "--data" | "--root-key" => drop(words.next()),
                _ if word.starts_with("--data=") || word.starts_with("--root-key=") => {}
                _ => arguments.push(word),
            }
        }
        let first = arguments.first().copied().unwrap_or_default();
        // What reads or runs only is no way out, and what has a blank to fill in can't be run as it stands.
        let is_way = !["", "serve", "check", "start", "backup", "restore", "witness", "status"]
            .contains(&first)
            && !quoted.contains(['<', '…']);
        let way = arguments.join(" ");
        if is_way && !ways.contains(&way) {
            ways.push(way);
        }
    }
    ways
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ways_out_are_read_from_a_refusal() {
        let text = "sealgate: the catalog ends at 3: `sealgate rebuild --data /x` brings them back, or `sealgate adopt`, \
                    see `sealgate check` and `sealgate restore <file>`";
        assert_eq!(ways(text), ["rebuild", "adopt"]);
        assert!(ways("no `way` out").is_empty());
    }
}
