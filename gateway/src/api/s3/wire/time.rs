//! Times on the wire: ISO 8601 with milliseconds in XML, RFC 7231 in headers.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use storage::name::Timestamp;

/// The end of the year 9999, the last that the forms can tell.
const LAST_SECOND: u64 = 253_402_300_799;

/// Bytes of a time in ISO 8601 with milliseconds.
pub const ISO8601_LEN: usize = 24;

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

/// The whole second of a time: what S3 tells of when an object was modified, in listings as in headers.
pub fn whole_second(time: Timestamp) -> Timestamp {
    Timestamp(time.unix_ms() / 1000 * 1000)
}

/// `Tue Nov 24 19:25:16 PST 2026`: how S3's errors show a date, in its home's time (daylight saving as since 2007).
pub fn pacific(time: Timestamp) -> String {
    const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    const HOUR: u64 = 3600;
    let standard = (time.unix_ms() / 1000).min(LAST_SECOND).saturating_sub(8 * HOUR);
    let (_, month, day) = civil((standard / 86_400) as u32);
    let hours = u64::from(day - 1) * 24 + standard % 86_400 / HOUR;
    // The month's first Sunday, as a day of it counted from nought.
    let first = standard / 86_400 - u64::from(day - 1);
    let sunday = (10 - first % 7) % 7;
    let saves = match month {
        3 => hours >= (sunday + 7) * 24 + 2,
        11 => hours < sunday * 24 + 1,
        _ => (4..=10).contains(&month),
    };
    let local = standard + if saves { HOUR } else { 0 };
    let (days, of_day) = (local / 86_400, local % 86_400);
    let (year, month, day) = civil(days as u32);
    let (hour, minute, second) = (of_day / HOUR, of_day / 60 % 60, of_day % 60);
    let zone = if saves { "PDT" } else { "PST" };
    let (name, month) = (DAYS[(days % 7) as usize], MONTHS[month as usize - 1]);
    format!("{name} {month} {day:02} {hour:02}:{minute:02}:{second:02} {zone} {year}")
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
        assert_eq!(iso8601(whole_second(time)), "2026-11-24T03:25:16.000Z");
        assert_eq!(iso8601(Timestamp(0)), "1970-01-01T00:00:00.000Z");
        assert_eq!(iso8601(Timestamp(951_782_400_000)), "2000-02-29T00:00:00.000Z");
    }

    #[test]
    fn pacific_time_knows_daylight_saving() {
        let at = |text| pacific(parse_iso8601(text).unwrap());
        assert_eq!(at("2020-01-01T00:00:00Z"), "Tue Dec 31 16:00:00 PST 2019");
        assert_eq!(at("2026-07-04T12:00:00Z"), "Sat Jul 04 05:00:00 PDT 2026");
        assert_eq!(at("2026-03-08T09:59:59Z"), "Sun Mar 08 01:59:59 PST 2026");
        assert_eq!(at("2026-03-08T10:00:00Z"), "Sun Mar 08 03:00:00 PDT 2026");
        assert_eq!(at("2026-11-01T08:59:59Z"), "Sun Nov 01 01:59:59 PDT 2026");
        assert_eq!(at("2026-11-01T09:00:00Z"), "Sun Nov 01 01:00:00 PST 2026");
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
