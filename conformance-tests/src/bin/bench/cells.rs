//! What `bench suite --against` measures of every server, and how many times as cheap as the best of the others ours is to be.

use super::load::{Load, Operation, Outcome};
use super::{Shape, Sse};

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;
/// Bytes that a turn of the cells by size writes, about.
const BY_SIZE: usize = 64 * MIB;

/// One thing that is measured.
pub(crate) struct Cell {
    /// What the table calls it.
    pub(crate) name: String,
    pub(crate) load: Load,
    pub(crate) unit: Unit,
    /// The ratio that is wanted, if one is.
    pub(crate) wanted: Option<f64>,
}

/// What a cost is counted in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unit {
    /// Milliseconds per operation.
    MsPerOp,
    /// Seconds per gigabyte (10⁹ bytes) of content.
    SecondsPerGb,
}

impl Unit {
    /// As the table writes it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::MsPerOp => "ms",
            Self::SecondsPerGb => "s/GB",
        }
    }

    /// A cost per operation (in seconds) that moved so many bytes, in this unit.
    pub(crate) fn of(self, seconds: f64, bytes: f64) -> f64 {
        match self {
            Self::MsPerOp => seconds * 1e3,
            Self::SecondsPerGb => seconds * 1e9 / bytes,
        }
    }

    /// The cost of a turn: the server's CPU time, or the clock's.
    pub(crate) fn cost(self, outcome: &Outcome, by_cpu: bool) -> f64 {
        let ms = if by_cpu { outcome.cpu_ms_per_op() } else { outcome.wall_ms_per_op() };
        self.of(ms / 1e3, outcome.bytes_per_op())
    }
}

/// An operation, its size, encryption, connections and how many a turn has.
fn cell(operation: Operation, (size, sse): (usize, Sse), (concurrency, count): (usize, usize)) -> Cell {
    let objects = match size {
        0..MIB => 200,
        MIB => 32,
        _ => 2,
    };
    let shape = Shape { size, sse, concurrency, count, objects, ..Shape::default() };
    let verb = if operation == Operation::Get { "GET" } else { "PUT" };
    let name = format!("{verb} {} {}, {concurrency} connections", size_name(size), sse_name(sse));
    Cell { name, load: Load { operation, shape }, unit: Unit::MsPerOp, wanted: None }
}

/// One upload at a time, 8 parts of it in flight.
fn multipart(sse: Sse) -> Cell {
    let cell = cell(Operation::Multipart, (64 * MIB, sse), (1, 4));
    let shape = Shape { parts_in_flight: 8, ..cell.load.shape };
    let name = format!("PUT 64 MiB {}, 8 parts in flight", sse_name(sse));
    Cell { name, load: Load { shape, ..cell.load }, unit: Unit::SecondsPerGb, ..cell }
}

fn get_large(sse: Sse) -> Cell {
    Cell { unit: Unit::SecondsPerGb, ..cell(Operation::Get, (64 * MIB, sse), (2, 8)) }
}

fn range() -> Cell {
    let cell = cell(Operation::Get, (64 * MIB, Sse::S3), (4, 800));
    let shape = Shape { range: 64 * KIB, ..cell.load.shape };
    let name = "GET of a 64 KiB range, 4 connections".to_owned();
    Cell { name, load: Load { shape, ..cell.load }, ..cell }
}

fn list() -> Cell {
    let shape = Shape { objects: 20_000, size: 64, concurrency: 2, count: 40, ..Shape::default() };
    let load = Load { operation: Operation::List, shape };
    Cell { name: "LIST of 1000 among 20,000".to_owned(), load, unit: Unit::MsPerOp, wanted: None }
}

/// All, in the order of the table.
pub(crate) fn all() -> Vec<Cell> {
    use Operation::{Get, Put};
    let wanted = [
        (cell(Put, (4 * KIB, Sse::S3), (16, 1500)), 5.0),
        (cell(Put, (4 * KIB, Sse::Kms), (16, 1500)), 5.0),
        (cell(Get, (4 * KIB, Sse::S3), (16, 3000)), 9.0),
        (cell(Get, (4 * KIB, Sse::Kms), (16, 3000)), 7.0),
        (cell(Put, (MIB, Sse::S3), (8, 96)), 2.5),
        (cell(Put, (MIB, Sse::Kms), (8, 96)), 4.0),
        (cell(Put, (MIB, Sse::Customer), (8, 96)), 4.0),
        (cell(Get, (MIB, Sse::S3), (8, 192)), 3.0),
        (multipart(Sse::S3), 3.0),
        (multipart(Sse::Kms), 2.5),
        (multipart(Sse::Customer), 2.5),
        (get_large(Sse::S3), 2.0),
        (get_large(Sse::Kms), 2.0),
        (range(), 10.0),
        (list(), 15.0),
    ];
    let wanted = wanted.map(|(cell, wanted)| Cell { wanted: Some(wanted), ..cell });
    let by_size = [64, 128, 256, 512, 1024, 2048, 4096, 8192].map(|kib| {
        let count = (BY_SIZE / (kib * KIB)).clamp(16, 512);
        let cell = cell(Put, (kib * KIB, Sse::Customer), (8, count));
        Cell { name: format!("by size: {}", cell.name), ..cell }
    });
    wanted.into_iter().chain(by_size).collect()
}

fn size_name(size: usize) -> String {
    if size < MIB { format!("{} KiB", size / KIB) } else { format!("{} MiB", size / MIB) }
}

fn sse_name(sse: Sse) -> &'static str {
    match sse {
        Sse::None => "plain",
        Sse::S3 => "SSE-S3",
        Sse::Kms => "SSE-KMS",
        Sse::Dsse => "DSSE-KMS",
        Sse::Customer => "SSE-C",
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::{Unit, all};

    #[test]
    fn every_cell_has_its_own_name() {
        let cells = all();
        let names: HashSet<_> = cells.iter().map(|cell| &cell.name).collect();
        assert_eq!(names.len(), cells.len());
        assert!(names.contains(&"PUT 64 MiB SSE-KMS, 8 parts in flight".to_owned()));
    }

    #[test]
    fn units() {
        assert!((Unit::MsPerOp.of(0.002, 5e8) - 2.0).abs() < 1e-9);
        assert!((Unit::SecondsPerGb.of(0.002, 5e8) - 0.004).abs() < 1e-9);
    }
}
