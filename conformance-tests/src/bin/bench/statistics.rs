//! What many rounds come to.

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

#[cfg(test)]
mod tests {
    use super::{median, quartiles, ratios};

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
