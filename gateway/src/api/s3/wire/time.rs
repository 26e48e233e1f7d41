//! Times on the wire: ISO 8601 with milliseconds in XML, RFC 7231 in headers.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use storage::name::Timestamp;

/// The end of the year 9999, the last that the forms can tell.
const LAST_SECOND: u64 = 253_402_300_799;

/// Appends `2026-11-24T03:25:16.000Z`.
pub fn write_iso8601(time: Timestamp, out: &mut Vec<u8>) {
    let (seconds, ms) = (time.unix_ms() / 1000, (time.unix_ms() % 1000) as u32);
    let seconds = seconds.min(LAST_SECOND);
    let (year, month, day) = civil((seconds / 86_400) as u32);
    let of_day = (seconds % 86_400) as u32;
    let mut text = *b"0000-00-00T00:00:00.000Z";
    for (at, value) in [
        (0, year / 100),
        (2, year % 100),
        (5, month),
        (8, day),
        (11, of_day / 3600),
        (14, of_day / 60 % 60),
        (17, of_day % 60),
        (20, ms / 10),
    ] {
        text[at] += (value / 10) as u8;
        text[at + 1] += (value % 10) as u8;
    }
    text[22] += (ms % 10) as u8;
    out.extend_from_slice(&text);
}

/// `2026-11-24T03:25:16.000Z`.
pub fn iso8601(time: Timestamp) -> String {
    let mut out = Vec::with_capacity(24);
    write_iso8601(time, &mut out);
    String::from_utf8(out).unwrap_or_default()
}

/// `Tue, 24 Nov 2026 03:25:16 GMT`.
pub fn http_date(time: Timestamp) -> String {
    let seconds = (time.unix_ms() / 1000).min(LAST_SECOND);
    httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(seconds))
}

/// Seconds since the Unix epoch of an HTTP date in any of its three forms.
pub fn parse_http_date(text: &str) -> Option<u64> {
    let time: SystemTime = httpdate::parse_http_date(text.trim()).ok()?;
    time.duration_since(UNIX_EPOCH).ok().map(|since| since.as_secs())
}

/// The time of an ISO 8601 form (`2026-11-24`, `2026-11-24T03:25:16Z`, with a fraction, or with an offset).
pub fn parse_iso8601(text: &str) -> Option<Timestamp> {
    use time::OffsetDateTime;
    use time::format_description::well_known::Iso8601;
    let text = text.trim();
    let whole = if text.contains('T') { text.to_owned() } else { format!("{text}T00:00:00Z") };
    let parsed = OffsetDateTime::parse(&whole, &Iso8601::DEFAULT).ok()?;
    u64::try_from(parsed.unix_timestamp_nanos() / 1_000_000).ok().map(Timestamp)
}

/// Year, month and day of a day counted from the Unix epoch (proleptic Gregorian calendar, by 400-year eras that begin in March).
fn civil(days: u32) -> (u32, u32, u32) {
    let shifted = days + 719_468;
    let (era, of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    (year_of_era + era * 400 + u32::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_are_exact() {
        let time = Timestamp(1_795_490_716_007);
        assert_eq!(iso8601(time), "2026-11-24T03:25:16.007Z");
        assert_eq!(http_date(time), "Tue, 24 Nov 2026 03:25:16 GMT");
        assert_eq!(parse_http_date("Tue, 24 Nov 2026 03:25:16 GMT"), Some(1_795_490_716));
        assert_eq!(parse_http_date("yesterday"), None);
        assert_eq!(iso8601(Timestamp(0)), "1970-01-01T00:00:00.000Z");
        assert_eq!(iso8601(Timestamp(951_782_400_000)), "2000-02-29T00:00:00.000Z");
    }

    proptest::proptest! {
        #[test]
        fn agrees_with_the_time_crate(seconds in 0_u64..253_402_300_800) {
            let theirs = time::OffsetDateTime::from_unix_timestamp(seconds as i64).unwrap();
            let ours = iso8601(Timestamp(seconds * 1000));
            proptest::prop_assert_eq!(
                time::OffsetDateTime::parse(&ours, &time::format_description::well_known::Rfc3339).unwrap(),
                theirs
            );
            proptest::prop_assert_eq!(parse_http_date(&http_date(Timestamp(seconds * 1000))), Some(seconds));
        }

        #[test]
        fn never_panics(ms: u64) {
            let _ = iso8601(Timestamp(ms));
            let _ = http_date(Timestamp(ms));
        }
    }
}
