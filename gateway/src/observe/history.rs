//! What happened in the last day, for whoever looks at a gateway without a Prometheus: kept in memory, and bounded.

use std::collections::VecDeque;

use parking_lot::Mutex;
use serde::Serialize;

use super::metrics::RequestTotals;

/// Between two samples of the last hour, in seconds.
pub const FINE_STEP_S: u64 = 10;
/// Between two of the last day.
pub const COARSE_STEP_S: u64 = 300;
/// Samples of an hour.
const FINE_LEN: usize = 360;
/// Samples of a day.
const COARSE_LEN: usize = 288;

/// What happened between the sample before and this one, and how it was then.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Point {
    /// When, in seconds since the Unix epoch.
    pub t: u64,
    /// Requests that ended.
    pub requests: u64,
    /// Of these, those that were refused.
    pub errors_4xx: u64,
    /// Those that failed.
    pub errors_5xx: u64,
    /// Bytes of bodies that came.
    pub bytes_in: u64,
    /// Bytes of bodies that went.
    pub bytes_out: u64,
    /// Half of the requests took no longer, in milliseconds; null: there was none.
    pub p50_ms: Option<f64>,
    /// 99 of 100 took no longer.
    pub p99_ms: Option<f64>,
    /// Objects that there were.
    pub objects: u64,
    /// Stored bytes of all that there was.
    pub stored_bytes: u64,
    /// Free bytes of the data folder's disk; null: it does not tell.
    pub disk_free: Option<u64>,
}

/// How much there was.
#[derive(Debug, Clone, Copy, Default)]
pub struct Held {
    /// Objects.
    pub objects: u64,
    /// Stored bytes.
    pub stored_bytes: u64,
    /// Free bytes of the disk.
    pub disk_free: Option<u64>,
}

/// Samples, and the totals that the next ones are counted from.
#[derive(Debug, Default)]
struct Series {
    points: VecDeque<Point>,
    since: Option<(u64, RequestTotals)>,
}

impl Series {
    fn add(&mut self, t: u64, totals: &RequestTotals, held: Held, most: usize) {
        // What came before the first sample is counted from the start, when there was nothing.
        let start = RequestTotals::default();
        let since = self.since.as_ref().map(|(_, since)| since);
        if since.is_some() || totals.requests > 0 {
            if self.points.len() == most {
                self.points.pop_front();
            }
            self.points.push_back(point(t, since.unwrap_or(&start), totals, held));
        }
        self.since = Some((t, totals.clone()));
    }
}

fn point(t: u64, since: &RequestTotals, totals: &RequestTotals, held: Held) -> Point {
    let RequestTotals { requests, errors_4xx, errors_5xx, received_len, sent_len, durations } = totals;
    let durations: Vec<(Option<u64>, u64)> = durations
        .iter()
        .enumerate()
        .map(|(at, (bound, count))| {
            let before = since.durations.get(at).map_or(0, |(_, count)| *count);
            (*bound, count.saturating_sub(before))
        })
        .collect();
    Point {
        t,
        requests: requests.saturating_sub(since.requests),
        errors_4xx: errors_4xx.saturating_sub(since.errors_4xx),
        errors_5xx: errors_5xx.saturating_sub(since.errors_5xx),
        bytes_in: received_len.saturating_sub(since.received_len),
        bytes_out: sent_len.saturating_sub(since.sent_len),
        p50_ms: quantile_ms(&durations, 0.5),
        p99_ms: quantile_ms(&durations, 0.99),
        objects: held.objects,
        stored_bytes: held.stored_bytes,
        disk_free: held.disk_free,
    }
}

/// A quantile of durations in nanoseconds, in milliseconds: between two bounds as if they were evenly spread, as Prometheus estimates it.
fn quantile_ms(durations: &[(Option<u64>, u64)], quantile: f64) -> Option<f64> {
    let all: u64 = durations.iter().map(|(_, count)| count).sum();
    if all == 0 {
        return None;
    }
    let rank = quantile * all as f64;
    let (mut below, mut lower_ns) = (0.0, 0.0);
    for (bound_ns, count) in durations {
        let count = *count as f64;
        // What is above all bounds is told as the last of them.
        let upper_ns = bound_ns.map_or(lower_ns, |bound| bound as f64);
        if count > 0.0 && below + count >= rank {
            let share = (rank - below) / count;
            return Some((lower_ns + (upper_ns - lower_ns) * share) / 1e6);
        }
        below += count;
        lower_ns = upper_ns;
    }
    Some(lower_ns / 1e6)
}

/// The last hour and the last day of this process.
#[derive(Debug)]
pub struct History(Mutex<(Series, Series, Held)>);

/// See [`History`].
pub static HISTORY: History = History::new();

impl History {
    const fn new() -> Self {
        Self(Mutex::new((
            Series { points: VecDeque::new(), since: None },
            Series { points: VecDeque::new(), since: None },
            Held { objects: 0, stored_bytes: 0, disk_free: None },
        )))
    }

    /// Takes a sample; to be called every [`FINE_STEP_S`].
    pub fn sample(&self, t: u64, totals: &RequestTotals, held: Held) {
        let (fine, coarse, last) = &mut *self.0.lock();
        *last = held;
        fine.add(t, totals, held, FINE_LEN);
        if coarse.since.as_ref().is_none_or(|(since, _)| t >= since + COARSE_STEP_S) {
            coarse.add(t, totals, held, COARSE_LEN);
        }
    }

    /// The step in seconds, and the samples of so many minutes: fine ones of the last hour, else coarse ones. The last is of what
    /// happened since the sample before it.
    pub fn read(&self, minutes: u64, now: u64, totals: &RequestTotals) -> (u64, Vec<Point>) {
        let (fine, coarse, held) = &*self.0.lock();
        let (series, step_s) = match minutes <= 60 {
            true => (fine, FINE_STEP_S),
            false => (coarse, COARSE_STEP_S),
        };
        let first = now.saturating_sub(minutes.saturating_mul(60));
        let mut points: Vec<Point> = series.points.iter().filter(|point| point.t >= first).copied().collect();
        if let Some((since, before)) = &series.since
            && *since < now
        {
            points.push(point(now, before, totals, *held));
        }
        (step_s, points)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn totals(requests: u64, fast: u64, slow: u64) -> RequestTotals {
        RequestTotals {
            requests,
            durations: vec![(Some(1_000_000), fast), (Some(2_000_000), slow), (None, 0)],
            ..RequestTotals::default()
        }
    }

    #[test]
    fn samples_are_of_what_happened_between_them_and_are_bounded() {
        let history = History::new();
        for step in 0..1000_u64 {
            history.sample(1000 + step * FINE_STEP_S, &totals(step * 3, 0, 0), Held::default());
        }
        let now = 1000 + 999 * FINE_STEP_S;
        let (step_s, points) = history.read(60, now, &totals(999 * 3, 0, 0));
        assert_eq!((step_s, points.len()), (FINE_STEP_S, FINE_LEN));
        assert!(points.iter().all(|point| point.requests == 3));
        let (step_s, points) = history.read(1440, now + 5, &totals(999 * 3 + 7, 0, 0));
        assert_eq!(step_s, COARSE_STEP_S);
        assert!(points.len() > 30 && points.len() <= COARSE_LEN + 1, "{}", points.len());
        assert_eq!(points[0].requests, 90);
        // What has not been sampled yet is told too.
        assert_eq!(points.iter().map(|point| point.requests).sum::<u64>(), 999 * 3 + 7);
        assert_eq!(history.read(1, now, &totals(999 * 3, 0, 0)).1.len(), 7);
    }

    #[test]
    fn requests_before_the_first_sample_are_in_its_point() {
        let history = History::new();
        history.sample(1000, &totals(7, 5, 2), Held::default());
        for minutes in [60, 1440] {
            let (_, points) = history.read(minutes, 1005, &totals(9, 7, 2));
            assert_eq!(points.iter().map(|point| point.requests).collect::<Vec<_>>(), [7, 2]);
            assert!(points[0].p50_ms.is_some());
        }
    }

    #[test]
    fn quantiles_are_between_their_bounds() {
        let since = totals(0, 0, 0);
        let of = |fast, slow| point(1, &since, &totals(fast + slow, fast, slow), Held::default());
        assert_eq!(of(0, 0).p50_ms, None);
        assert_eq!(of(100, 0).p50_ms, Some(0.5));
        let mixed = of(50, 50);
        assert_eq!(mixed.p50_ms, Some(1.0));
        assert!((mixed.p99_ms.unwrap() - 1.98).abs() < 1e-9);
        let above = point(
            1,
            &since,
            &RequestTotals { durations: vec![(Some(1), 0), (None, 5)], ..since.clone() },
            Held::default(),
        );
        assert_eq!(above.p99_ms, Some(1e-6));
    }
}
