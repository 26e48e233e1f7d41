//! What many rounds come to.

use std::time::Duration;

/// The lower quartile, the median and the upper quartile; not numbers where there are no values.
pub(crate) fn quartiles(values: &[f64]) -> [f64; 3] {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    [1, 2, 3].map(|of| values.get(values.len() * of / 4).copied().unwrap_or(f64::NAN))
}

/// The median; not a number where there are no values.
pub(crate) fn median(values: &[f64]) -> f64 {
    quartiles(values)[1]
}

/// How many times as much as we each of these costs, round by round: what the machine does beside slows both servers of a round.
pub(crate) fn ratios(ours: &[f64], other: &[f64]) -> Vec<f64> {
    ours.iter().zip(other).map(|(ours, other)| other / ours).collect()
}

/// Milliseconds that this part of latencies, which are in order, does not exceed; not a number where there are none.
pub(crate) fn quantile_ms(latencies: &[Duration], of: f64) -> f64 {
    let at = ((latencies.len() as f64 * of) as usize).min(latencies.len().saturating_sub(1));
    latencies.get(at).map_or(f64::NAN, |latency| latency.as_secs_f64() * 1000.0)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{median, quantile_ms, quartiles, ratios};

    #[test]
    fn the_last_quantile_is_the_greatest() {
        let latencies: Vec<_> = (1..=1000).map(Duration::from_millis).collect();
        let told = [0.5, 0.999, 1.0].map(|of| quantile_ms(&latencies, of).round() as u64);
        assert_eq!(told, [501, 1000, 1000]);
        assert!(quantile_ms(&[], 0.5).is_nan());
    }

    #[test]
    fn quartiles_are_values_that_were_measured() {
        assert_eq!(quartiles(&[5.0, 1.0, 4.0, 2.0, 3.0]), [2.0, 3.0, 4.0]);
        assert_eq!(quartiles(&[7.0]), [7.0; 3]);
        assert!(median(&[]).is_nan());
    }

    #[test]
    fn a_ratio_is_of_one_round() {
        assert_eq!(ratios(&[1.0, 2.0], &[5.0, 20.0]), [5.0, 10.0]);
        // A round that one of them did not come to is none.
        assert_eq!(ratios(&[1.0, 2.0], &[5.0]), [5.0]);
    }
}
