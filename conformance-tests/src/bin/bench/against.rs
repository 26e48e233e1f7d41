//! Several servers, side by side: in every round each has a turn, so what the machine does beside slows all of them, and ratios of a
//! round say more than figures of different hours.

use std::str::FromStr;

use anyhow::{Context, bail, ensure};
use conformance_tests::process::{self, Memory};

use super::Target;
use super::cells::{self, Cell};
use super::limits::Limits;
use super::picture::{self, Bar};
use super::statistics::{median, quartiles, ratios};
use super::suite::Plan;

/// The most memory that ours may have had, in MiB.
const MAX_PEAK_MIB: u64 = 96;
const OURS: &str = "ours";

/// A server to compare with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Other {
    name: String,
    endpoint: String,
    pid: Option<u32>,
    /// Access key id and secret; `None`: ours.
    key: Option<(String, String)>,
    /// The id of the key of SSE-KMS; `None`: the server takes its own.
    kms: Option<String>,
}

impl FromStr for Other {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> anyhow::Result<Self> {
        let (name, rest) = text.split_once('=').context("it must begin with NAME=ENDPOINT")?;
        let mut fields = rest.split(',');
        let endpoint = fields.next().unwrap_or_default().to_owned();
        ensure!(!name.is_empty() && name != OURS, "a name must not be empty or “{OURS}”");
        ensure!(endpoint.starts_with("http://"), "the endpoint must begin with http://");
        let mut other = Self { name: name.to_owned(), endpoint, pid: None, key: None, kms: None };
        for field in fields {
            match field.split_once('=') {
                Some(("pid", pid)) => other.pid = Some(pid.parse().context("pid must be a number")?),
                Some(("key", key)) => {
                    let (id, secret) = key.split_once(':').context("key must be ID:SECRET")?;
                    other.key = Some((id.to_owned(), secret.to_owned()));
                }
                Some(("kms", id)) => other.kms = Some(id.to_owned()),
                _ => bail!("{field}: only pid=PID, key=ID:SECRET and kms=KEY may follow the endpoint"),
            }
        }
        Ok(other)
    }
}

impl Other {
    fn target(&self, ours: &Target) -> Target {
        let (endpoint, kms_key_id) = (vec![self.endpoint.clone()], self.kms.clone());
        let mut target = Target { endpoint, pid: self.pid, kms_key_id, ..ours.clone() };
        if let Some((id, secret)) = self.key.clone() {
            (target.access_key_id, target.secret_access_key) = (id, secret);
        }
        target
    }
}

/// A server that takes turns; ours is the first of them.
struct Server {
    name: String,
    target: Target,
}

/// What a cell came to.
struct Row {
    cell: Cell,
    /// Costs in the cell's unit, by server and round; none of a server that can't do it.
    costs: Vec<Vec<f64>>,
    /// Bytes of content that an operation of ours moved.
    bytes: f64,
    /// The most memory that each server had from the first cell to this one, in MiB.
    peaks_mib: Vec<Option<u64>>,
}

/// How ours compares with the best of the others.
struct Verdict {
    /// Quartiles of the rounds' ratios.
    ratios: [f64; 3],
    holds: bool,
}

/// Compares, prints the tables, and writes what is wanted of files.
pub(crate) async fn run(target: &Target, plan: &Plan) -> anyhow::Result<()> {
    let mut servers = vec![Server { name: OURS.to_owned(), target: target.clone() }];
    let others = plan.against.iter();
    servers.extend(others.map(|other| Server { name: other.name.clone(), target: other.target(target) }));
    eprintln!("limits of the machine");
    let limits = Limits::measure()?;
    println!("{}", limits.table());
    let pids = || servers.iter().filter_map(|server| server.target.pid);
    let by_cpu = pids().count() == servers.len();
    for pid in pids() {
        process::forget_peak(pid);
    }
    let mut rows = Vec::new();
    for cell in cells::all() {
        if plan.wants(&cell.name) {
            rows.push(measure(cell, &servers, by_cpu).await);
        }
    }
    let mut missed = print(&rows, &servers, by_cpu.then_some(&limits));
    write_files(plan, &rows, &servers, by_cpu)?;
    missed += usize::from(!print_memory(&servers)?);
    ensure!(missed == 0, "{missed} targets were missed");
    Ok(())
}

/// One cell: each round begins with another server, and the first warms them up. A server that answers an error has none of it.
async fn measure(cell: Cell, servers: &[Server], by_cpu: bool) -> Row {
    eprint!("{}:", cell.name);
    let (mut costs, mut able, mut bytes) = (vec![Vec::new(); servers.len()], Vec::new(), f64::NAN);
    for server in servers {
        able.push(told(server, prepare(&cell, &server.target).await).is_some());
    }
    let runs = servers.first().map_or(1, |server| server.target.runs.max(1));
    for round in 0..=runs {
        for turn in 0..servers.len() {
            let at = (round + turn) % servers.len();
            if !able[at] {
                continue;
            }
            let Some(outcome) = told(&servers[at], cell.load.run_once(&servers[at].target).await) else {
                (able[at], costs[at]) = (false, Vec::new());
                continue;
            };
            if round > 0 {
                costs[at].push(cell.unit.cost(&outcome, by_cpu));
            }
            if at == 0 {
                bytes = outcome.bytes_per_op();
            }
        }
        eprint!(" {round}");
    }
    eprintln!();
    let peak = |server: &Server| Some(Memory::of(server.target.pid?).ok()?.peak_mib);
    Row { cell, costs, bytes, peaks_mib: servers.iter().map(peak).collect() }
}

async fn prepare(cell: &Cell, target: &Target) -> anyhow::Result<()> {
    cell.load.check_encryption(target).await?;
    cell.load.prepare(target).await
}

/// What it came to; of an error the first line is told.
fn told<T>(server: &Server, result: anyhow::Result<T>) -> Option<T> {
    let tell = |error: &anyhow::Error| {
        eprint!(" [{}: {}]", server.name, format!("{error:#}").lines().next().unwrap_or_default());
    };
    result.inspect_err(tell).ok()
}

impl Row {
    /// Against the server that is the best of the others in the median.
    fn verdict(&self) -> Option<Verdict> {
        let (ours, others) = self.costs.split_first()?;
        let able = others.iter().filter(|costs| !costs.is_empty());
        let best = able.min_by(|a, b| median(a).total_cmp(&median(b)))?;
        if ours.is_empty() {
            return Some(Verdict { ratios: [f64::NAN; 3], holds: self.cell.wanted.is_none() });
        }
        let ratios = quartiles(&ratios(ours, best));
        Some(Verdict { ratios, holds: self.cell.wanted.is_none_or(|wanted| ratios[1] >= wanted) })
    }

    /// The part of the limit that ours reaches: 1 could not be better.
    fn of_limit(&self, limits: &Limits) -> Option<f64> {
        let limit = self.cell.unit.of(limits.of(&self.cell.load, self.bytes)?, self.bytes);
        Some(limit / median(self.costs.first()?)).filter(|part| part.is_finite())
    }

    fn line(&self, limits: Option<&Limits>) -> String {
        let figure = |costs: &Vec<f64>| match costs.as_slice() {
            [] => " – |".to_owned(),
            costs => format!(" {} |", digits(median(costs))),
        };
        let figures: String = self.costs.iter().map(figure).collect();
        let (mut ratio, mut holds) = ("–".to_owned(), "");
        if let Some(Verdict { ratios: [lower, middle, upper], holds: held }) = self.verdict() {
            ratio = format!("{middle:.1} × ({lower:.1}–{upper:.1})");
            holds = if held { "ok" } else { "MISSED" };
        }
        let wanted = self.cell.wanted.map_or_else(|| "–".to_owned(), |wanted| format!("≥ {wanted} ×"));
        let holds = if self.cell.wanted.is_some() { holds } else { "" };
        let part = limits.and_then(|limits| self.of_limit(limits));
        let part = part.map_or_else(|| "–".to_owned(), |part| format!("{:.0} %", part * 100.0));
        let (name, unit) = (&self.cell.name, self.cell.unit.name());
        format!("| {name} | {unit} |{figures} {ratio} | {wanted} | {holds} | {part} |")
    }
}

/// With three digits that count.
fn digits(figure: f64) -> String {
    match figure {
        figure if figure >= 100.0 => format!("{figure:.0}"),
        figure if figure >= 10.0 => format!("{figure:.1}"),
        figure if figure >= 1.0 => format!("{figure:.2}"),
        figure => format!("{figure:.3}"),
    }
}

/// Prints the table; answers how many targets were missed.
fn print(rows: &[Row], servers: &[Server], limits: Option<&Limits>) -> usize {
    let time =
        if limits.is_some() { "the server's CPU time" } else { "the clock's time: a pid is not known" };
    let runs = servers.first().map_or(1, |server| server.target.runs.max(1));
    println!("Medians of {runs} rounds, {time}.\n");
    let names: String = servers.iter().map(|server| format!(" {} |", server.name)).collect();
    println!("| cell | unit |{names} the best other ÷ ours (quartiles) | wanted | | of the limit |");
    println!("| --- | --- |{} --- | --- | --- | --- |", " --- |".repeat(servers.len()));
    for row in rows {
        println!("{}", row.line(limits));
    }
    rows.iter().filter(|row| row.verdict().is_some_and(|verdict| !verdict.holds)).count()
}

/// Prints the most memory that each had since the first cell; answers whether ours had no more than it may.
fn print_memory(servers: &[Server]) -> anyhow::Result<bool> {
    let (mut told, mut holds) = (Vec::new(), true);
    for (at, server) in servers.iter().enumerate() {
        let Some(pid) = server.target.pid else { continue };
        let peak = Memory::of(pid)?.peak_mib;
        told.push(format!("{} {peak} MiB", server.name));
        if at == 0 {
            holds = peak <= MAX_PEAK_MIB;
        }
    }
    let verdict = if holds { "ok" } else { "MISSED" };
    println!("\npeak memory of the series (ours ≤ {MAX_PEAK_MIB} MiB: {verdict}): {}", told.join(", "));
    Ok(holds)
}

fn write_files(plan: &Plan, rows: &[Row], servers: &[Server], by_cpu: bool) -> anyhow::Result<()> {
    if let Some(file) = &plan.json {
        let raw: Vec<_> = rows.iter().map(|row| raw(row, servers, by_cpu)).collect();
        std::fs::write(file, serde_json::to_string_pretty(&raw)?).context("the JSON can't be written")?;
    }
    if let Some(file) = &plan.picture {
        let bars: Vec<Bar> = rows.iter().filter_map(bar).collect();
        let time = if by_cpu { "CPU time" } else { "time" };
        let picture =
            picture::bars(&format!("How many times the {time} of ours the best other needs"), &bars);
        std::fs::write(file, picture).context("the picture can't be written")?;
    }
    Ok(())
}

/// The figures of every round.
fn raw(row: &Row, servers: &[Server], by_cpu: bool) -> serde_json::Value {
    let costs = servers.iter().zip(&row.costs);
    let costs = costs.map(|(server, costs)| (server.name.clone(), costs.clone().into()));
    let costs: serde_json::Map<String, serde_json::Value> = costs.collect();
    let time = if by_cpu { "cpu" } else { "wall" };
    let peaks = servers.iter().zip(&row.peaks_mib);
    let peaks = peaks.map(|(server, peak)| (server.name.clone(), (*peak).into()));
    let peaks: serde_json::Map<String, serde_json::Value> = peaks.collect();
    let Cell { name, unit, wanted, .. } = &row.cell;
    serde_json::json!({ "cell": name, "unit": unit.name(), "time": time, "wanted": wanted, "rounds": costs, "peak_mib": peaks })
}

fn bar(row: &Row) -> Option<Bar> {
    let ratios = row.verdict()?.ratios;
    let finite = ratios.iter().all(|ratio| ratio.is_finite() && *ratio > 0.0);
    finite.then(|| Bar { name: row.cell.name.clone(), quartiles: ratios, wanted: row.cell.wanted })
}

#[cfg(test)]
mod tests {
    use super::super::cells;
    use super::{Other, Row, digits};

    #[test]
    fn an_other_server() {
        let other: Other =
            "weed=http://127.0.0.1:8333,pid=17,key=AKIA:se/c:ret=,kms=k1".parse().expect("it is right");
        assert_eq!((other.name.as_str(), other.endpoint.as_str()), ("weed", "http://127.0.0.1:8333"));
        assert_eq!(other.pid, Some(17));
        assert_eq!(other.key, Some(("AKIA".to_owned(), "se/c:ret=".to_owned())));
        assert_eq!(other.kms.as_deref(), Some("k1"));
        let plain: Other = "a=http://b:1".parse().expect("it is right");
        assert_eq!((plain.pid, plain.key), (None, None));
    }

    #[test]
    fn an_other_server_that_is_not_right() {
        for text in
            ["http://b:1", "=http://b:1", "ours=http://b:1", "a=b:1", "a=http://b,pid=x", "a=http://b,17"]
        {
            assert!(text.parse::<Other>().is_err(), "{text}");
        }
    }

    #[test]
    fn the_best_of_those_that_can() {
        let cell = cells::all().swap_remove(0);
        let wanted = cell.wanted.expect("it has one");
        let costs = vec![vec![1.0, 1.0, 1.0], Vec::new(), vec![9.0; 3], vec![wanted, wanted, wanted + 1.0]];
        let row = Row { cell, costs, bytes: 4096.0, peaks_mib: Vec::new() };
        let verdict = row.verdict().expect("there are others");
        assert!(verdict.holds);
        assert!((verdict.ratios[1] - wanted).abs() < 1e-9);
        assert!(row.line(None).contains("| 1.00 | – | 9.00 | 5.00 | 5.0 × (5.0–6.0) | ≥ 5 × | ok | – |"));
    }

    #[test]
    fn digits_that_count() {
        assert_eq!(
            ["0.123", "1.23", "12.3", "123"],
            [0.1234, 1.234, 12.34, 123.4].map(digits).each_ref().map(String::as_str)
        );
    }
}
