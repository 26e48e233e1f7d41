//! Object lock on the wire: configuration, retention, legal hold, headers.

use http::{HeaderMap, HeaderName};
use storage::catalog::{EventHold, Lock, Period, Retention, RetentionMode};
use storage::name::Timestamp;

use super::time::{iso8601, pacific, parse_iso8601};
use super::tree::Element;
use super::xml::{MalformedXml, XmlWriter};
use crate::api::s3::error::{Code, S3Error};
use crate::bucket::{DefaultRetention, ObjectLock};
use crate::http::header;

/// The longest period, in days: a hundred years.
const MAX_DAYS: u32 = 36_500;
const MAX_YEARS: u32 = 100;

/// The mode's name on the wire.
pub fn mode_name(mode: RetentionMode) -> &'static str {
    match mode {
        RetentionMode::Governance => "GOVERNANCE",
        RetentionMode::Compliance => "COMPLIANCE",
    }
}

fn parse_mode(name: &str) -> Option<RetentionMode> {
    [RetentionMode::Governance, RetentionMode::Compliance].into_iter().find(|mode| mode_name(*mode) == name)
}

/// Reads `ObjectLockConfiguration`.
pub fn parse_configuration(document: &[u8]) -> Result<ObjectLock, S3Error> {
    let root = Element::parse(document, "ObjectLockConfiguration")?;
    if root.only(&["ObjectLockEnabled", "Rule"])?.text_of("ObjectLockEnabled")? != Some("Enabled") {
        return Err(MalformedXml.into());
    }
    let Some(rule) = root.child("Rule")? else { return Ok(ObjectLock::default()) };
    let default = rule.required("DefaultRetention")?;
    let mode = default.text_of("Mode")?.and_then(parse_mode).ok_or(MalformedXml)?;
    let event_hold = default.child("DefaultEventHold")?.map(period).transpose()?.flatten();
    let period = period(default)?;
    if period.is_none() && event_hold.is_none() {
        return Err(MalformedXml.into());
    }
    Ok(ObjectLock { default: Some(DefaultRetention { mode, period, event_hold }) })
}

/// `Days` or `Years`, not both.
fn period(element: &Element) -> Result<Option<Period>, S3Error> {
    let days = element.number_of::<i64>("Days")?;
    let years = element.number_of::<i64>("Years")?;
    let checked = |value: i64, max: u32, name: &str| match u32::try_from(value) {
        Ok(value) if (1..=max).contains(&value) => Ok(value),
        Ok(value) if value > max => Err(S3Error::new(Code::InvalidArgument)
            .message(format!("Default retention period {} is too large", name.to_ascii_lowercase()))
            .field("ArgumentName", name)
            .field("ArgumentValue", value.to_string())),
        _ => Err(S3Error::new(Code::InvalidArgument)
            .message("Default retention period must be a positive integer value.")
            .field("ArgumentName", name)
            .field("ArgumentValue", value.to_string())),
    };
    match (days, years) {
        (None, None) => Ok(None),
        (Some(days), None) => Ok(Some(Period::Days(checked(days, MAX_DAYS, "Days")?))),
        (None, Some(years)) => Ok(Some(Period::Years(checked(years, MAX_YEARS, "Years")?))),
        (Some(_), Some(_)) => Err(MalformedXml.into()),
    }
}

/// Writes `ObjectLockConfiguration`.
pub fn write_configuration(lock: &ObjectLock) -> Vec<u8> {
    let mut xml = XmlWriter::document(384);
    xml.root("ObjectLockConfiguration");
    xml.text("ObjectLockEnabled", "Enabled");
    if let Some(default) = &lock.default {
        xml.open("Rule");
        xml.open("DefaultRetention");
        xml.text("Mode", mode_name(default.mode));
        write_period(&mut xml, default.period);
        if default.event_hold.is_some() {
            xml.open("DefaultEventHold");
            write_period(&mut xml, default.event_hold);
            xml.close("DefaultEventHold");
        }
        xml.close("DefaultRetention");
        xml.close("Rule");
    }
    xml.close("ObjectLockConfiguration");
    xml.finish()
}

fn write_period(xml: &mut XmlWriter, period: Option<Period>) {
    match period {
        None => {}
        Some(Period::Days(days)) => xml.number("Days", days.into()),
        Some(Period::Years(years)) => xml.number("Years", years.into()),
    }
}

/// What PutObjectRetention asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AskedRetention {
    mode: Option<RetentionMode>,
    until: Option<Timestamp>,
    hold: Option<bool>,
    hold_period: Option<Period>,
}

/// Reads `Retention`. An empty one takes the retention away.
pub fn parse_retention(document: &[u8]) -> Result<AskedRetention, S3Error> {
    let root = Element::parse(document, "Retention")?;
    root.only(&["Mode", "RetainUntilDate", "EventHold", "EventHoldDuration"])?;
    let mode = root.text_of("Mode")?.map(|name| parse_mode(name).ok_or(MalformedXml)).transpose()?;
    let until = root.text_of("RetainUntilDate")?;
    let until = until.map(|text| parse_iso8601(text).ok_or(MalformedXml)).transpose()?;
    let hold = match root.text_of("EventHold")? {
        None => None,
        Some("ON") => Some(true),
        Some("OFF") => Some(false),
        Some(_) => return Err(MalformedXml.into()),
    };
    let hold_period = root.child("EventHoldDuration")?.map(period).transpose()?.flatten();
    if mode.is_none() && (until.is_some() || hold == Some(true))
        || mode.is_some() && until.is_none() && hold.is_none()
    {
        return Err(MalformedXml.into());
    }
    Ok(AskedRetention { mode, until, hold, hold_period })
}

impl AskedRetention {
    /// The mode and the date that are asked for.
    pub fn asked(&self) -> (Option<RetentionMode>, Option<Timestamp>) {
        (self.mode, self.until)
    }

    /// The lock that it makes of a former one.
    pub fn apply(&self, former: &Lock, now: Timestamp) -> Result<Lock, S3Error> {
        if let Some(until) = self.until.filter(|until| *until <= now) {
            return Err(in_the_past("RetainUntilDate", until));
        }
        let mut lock = *former;
        match self.hold {
            None => lock.retention = self.mode.zip(self.until).map(|(mode, until)| Retention { mode, until }),
            Some(true) => {
                let mode = self.mode.unwrap_or(RetentionMode::Governance);
                let period =
                    self.hold_period.or(former.event_hold.map(|hold| hold.period)).ok_or(MalformedXml)?;
                lock.event_hold = Some(EventHold { mode, period });
                if let Some(until) = self.until {
                    lock.retention = Some(Retention { mode, until });
                }
            }
            Some(false) => {
                if let Some(EventHold { mode, period }) = lock.event_hold.take() {
                    let until = period.after(now).max(self.until.unwrap_or(now));
                    let until = former.retention.map_or(until, |former| until.max(former.until));
                    lock.retention = Some(Retention { mode, until });
                } else if let (Some(mode), Some(until)) = (self.mode, self.until) {
                    lock.retention = Some(Retention { mode, until });
                }
            }
        }
        Ok(lock)
    }
}

/// Writes `Retention`; `None` where there is none to be told.
pub fn write_retention(lock: &Lock) -> Option<Vec<u8>> {
    if lock.retention.is_none() && lock.event_hold.is_none() {
        return None;
    }
    let mut xml = XmlWriter::document(256);
    xml.root("Retention");
    let mode = lock.retention.map(|retention| retention.mode).or(lock.event_hold.map(|hold| hold.mode));
    xml.optional("Mode", mode.map(mode_name));
    if let Some(retention) = lock.retention {
        xml.time("RetainUntilDate", retention.until);
    }
    if let Some(hold) = lock.event_hold {
        xml.text("EventHold", "ON");
        xml.open("EventHoldDuration");
        write_period(&mut xml, Some(hold.period));
        xml.close("EventHoldDuration");
    }
    xml.close("Retention");
    Some(xml.finish())
}

/// Reads `LegalHold`: is it on?
pub fn parse_legal_hold(document: &[u8]) -> Result<bool, S3Error> {
    let root = Element::parse(document, "LegalHold")?;
    match root.only(&["Status"])?.text_of("Status")? {
        Some("ON") => Ok(true),
        Some("OFF") => Ok(false),
        _ => Err(MalformedXml.into()),
    }
}

/// Writes `LegalHold`.
pub fn write_legal_hold(on: bool) -> Vec<u8> {
    let mut xml = XmlWriter::document(128);
    xml.root("LegalHold");
    xml.text("Status", on_off(on));
    xml.close("LegalHold");
    xml.finish()
}

fn on_off(on: bool) -> &'static str {
    if on { "ON" } else { "OFF" }
}

/// The lock that a write's headers ask for over the bucket's default (`None`: the bucket has no object lock).
pub fn of_headers(headers: &HeaderMap, bucket: Option<&ObjectLock>, now: Timestamp) -> Result<Lock, S3Error> {
    let text = |name: &HeaderName| {
        headers.get(name).map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
    };
    let mode = text(&header::OBJECT_LOCK_MODE);
    let until = text(&header::OBJECT_LOCK_RETAIN_UNTIL_DATE);
    let hold = text(&header::OBJECT_LOCK_LEGAL_HOLD);
    let event_hold = text(&header::OBJECT_LOCK_EVENT_HOLD);
    let days = text(&header::OBJECT_LOCK_EVENT_HOLD_DAYS);
    let years = text(&header::OBJECT_LOCK_EVENT_HOLD_YEARS);
    if [&mode, &until, &hold, &event_hold, &days, &years].iter().all(|given| given.is_none()) {
        return Ok(bucket.map(|bucket| bucket.default_lock(now)).unwrap_or_default());
    }
    let bucket = bucket.ok_or_else(missing_configuration)?;
    let mut lock = bucket.default_lock(now);
    let named = |message: &'static str, name: &HeaderName, value: &str| {
        S3Error::invalid_argument(message, name.as_str(), value)
    };
    let mode = match mode {
        None => None,
        Some(name) => Some(
            parse_mode(&name)
                .ok_or_else(|| named("Unknown wormMode directive.", &header::OBJECT_LOCK_MODE, &name))?,
        ),
    };
    let is_held = match event_hold.as_deref() {
        None => None,
        Some("ON") => Some(true),
        Some("OFF") => Some(false),
        Some(other) => {
            let message = "Event Hold must be either of 'ON' or 'OFF'";
            return Err(named(message, &header::OBJECT_LOCK_EVENT_HOLD, other));
        }
    };
    let period = header_period(days.as_deref(), years.as_deref())?;
    match is_held {
        None if period.is_some() => {
            let message = "An event hold duration needs an event hold.";
            return Err(named(message, &header::OBJECT_LOCK_EVENT_HOLD, "null"));
        }
        None => {}
        Some(false) => lock.event_hold = None,
        Some(true) => {
            let by_default = bucket.default.and_then(|default| default.event_hold);
            let period = period.or(by_default).ok_or_else(|| {
                named("An event hold needs a duration.", &header::OBJECT_LOCK_EVENT_HOLD_DAYS, "null")
            })?;
            let mode =
                mode.or(bucket.default.map(|default| default.mode)).unwrap_or(RetentionMode::Governance);
            lock.event_hold = Some(EventHold { mode, period });
        }
    }
    match (mode, until) {
        (None, None) => {}
        // The mode is the hold's.
        (Some(_), None) if is_held == Some(true) => {}
        (Some(mode), Some(until)) => {
            let parsed = parse_iso8601(&until).ok_or_else(|| {
                named(
                    "The retain until date must be provided in ISO 8601 format",
                    &header::OBJECT_LOCK_RETAIN_UNTIL_DATE,
                    &until,
                )
            })?;
            if parsed <= now {
                return Err(in_the_past(header::OBJECT_LOCK_RETAIN_UNTIL_DATE.as_str(), parsed));
            }
            lock.retention = Some(Retention { mode, until: parsed });
        }
        (mode, _) => {
            let missing =
                if mode.is_none() { header::OBJECT_LOCK_MODE } else { header::OBJECT_LOCK_RETAIN_UNTIL_DATE };
            return Err(S3Error::new(Code::InvalidArgument)
                .message(format!(
                    "{} and {} must both be supplied",
                    header::OBJECT_LOCK_RETAIN_UNTIL_DATE,
                    header::OBJECT_LOCK_MODE
                ))
                .field("ArgumentName", missing.as_str()));
        }
    }
    match hold.as_deref() {
        None | Some("OFF") => {}
        Some("ON") => lock.legal_hold = true,
        Some(other) => {
            let message = "Legal Hold must be either of 'ON' or 'OFF'";
            return Err(named(message, &header::OBJECT_LOCK_LEGAL_HOLD, other));
        }
    }
    Ok(lock)
}

/// The period of an event hold's headers: days or years, not both.
fn header_period(days: Option<&str>, years: Option<&str>) -> Result<Option<Period>, S3Error> {
    let number = |text: &str, max: u32, name: &HeaderName| {
        let number = text.parse().ok().filter(|number| (1..=max).contains(number));
        number.ok_or_else(|| {
            let message = format!("An event hold duration must be a number from 1 to {max}.");
            S3Error::invalid_argument(message, name.as_str(), text)
        })
    };
    match (days, years) {
        (None, None) => Ok(None),
        (Some(days), None) => {
            Ok(Some(Period::Days(number(days, MAX_DAYS, &header::OBJECT_LOCK_EVENT_HOLD_DAYS)?)))
        }
        (None, Some(years)) => {
            Ok(Some(Period::Years(number(years, MAX_YEARS, &header::OBJECT_LOCK_EVENT_HOLD_YEARS)?)))
        }
        (Some(days), Some(_)) => Err(S3Error::invalid_argument(
            "An event hold duration is in days or in years, not in both.",
            header::OBJECT_LOCK_EVENT_HOLD_DAYS.as_str(),
            days,
        )),
    }
}

/// The refusal of object lock in a bucket without.
pub fn missing_configuration() -> S3Error {
    S3Error::invalid_request("Bucket is missing Object Lock Configuration")
}

fn in_the_past(name: &str, until: Timestamp) -> S3Error {
    S3Error::invalid_argument("The retain until date must be in the future!", name, pacific(until))
}

/// Tells what protects an object. `legal_hold`: `None` where it was never set.
pub fn write_headers(lock: &Lock, legal_hold: Option<bool>, headers: &mut HeaderMap) {
    let mut put = |name: HeaderName, value: &str| {
        if let Ok(value) = value.parse() {
            headers.insert(name, value);
        }
    };
    if let Some(retention) = lock.retention {
        put(header::OBJECT_LOCK_MODE, mode_name(retention.mode));
        put(header::OBJECT_LOCK_RETAIN_UNTIL_DATE, &iso8601(retention.until));
    }
    if let Some(on) = legal_hold {
        put(header::OBJECT_LOCK_LEGAL_HOLD, on_off(on));
    }
    if let Some(hold) = lock.event_hold {
        put(header::OBJECT_LOCK_EVENT_HOLD, on_off(true));
        match hold.period {
            Period::Days(days) => put(header::OBJECT_LOCK_EVENT_HOLD_DAYS, &days.to_string()),
            Period::Years(years) => put(header::OBJECT_LOCK_EVENT_HOLD_YEARS, &years.to_string()),
        }
        if lock.retention.is_none() {
            put(header::OBJECT_LOCK_MODE, mode_name(hold.mode));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use RetentionMode::{Compliance, Governance};

    const NOW: Timestamp = Timestamp(1_795_000_000_000);

    fn configuration(inner: &str) -> Result<ObjectLock, Code> {
        let document = format!(
            "<ObjectLockConfiguration><ObjectLockEnabled>Enabled</ObjectLockEnabled>{inner}</ObjectLockConfiguration>"
        );
        parse_configuration(document.as_bytes()).map_err(|error| error.code)
    }

    #[test]
    fn configurations() {
        let rule = |inner: &str| {
            configuration(&format!("<Rule><DefaultRetention>{inner}</DefaultRetention></Rule>"))
        };
        assert_eq!(configuration(""), Ok(ObjectLock::default()));
        let lock = rule("<Mode>GOVERNANCE</Mode><Days>1</Days>").unwrap();
        let default = DefaultRetention { mode: Governance, period: Some(Period::Days(1)), event_hold: None };
        assert_eq!(lock.default, Some(default));
        assert_eq!(parse_configuration(&write_configuration(&lock)).unwrap(), lock);
        let held =
            rule("<Mode>COMPLIANCE</Mode><DefaultEventHold><Years>2</Years></DefaultEventHold>").unwrap();
        assert_eq!(parse_configuration(&write_configuration(&held)).unwrap(), held);
        assert_eq!(rule("<Mode>abc</Mode><Days>1</Days>"), Err(Code::MalformedXml));
        assert_eq!(rule("<Mode>GOVERNANCE</Mode>"), Err(Code::MalformedXml));
        assert_eq!(rule("<Mode>GOVERNANCE</Mode><Days>1</Days><Years>1</Years>"), Err(Code::MalformedXml));
        assert_eq!(rule("<Mode>GOVERNANCE</Mode><Days>0</Days>"), Err(Code::InvalidArgument));
        assert_eq!(rule("<Mode>GOVERNANCE</Mode><Years>-1</Years>"), Err(Code::InvalidArgument));
        assert_eq!(rule("<Mode>GOVERNANCE</Mode><Years>101</Years>"), Err(Code::InvalidArgument));
        assert!(parse_configuration(b"<ObjectLockConfiguration/>").is_err());
    }

    #[test]
    fn retentions() {
        let asked = |inner: &str| parse_retention(format!("<Retention>{inner}</Retention>").as_bytes());
        let until = "<RetainUntilDate>2030-01-01T00:00:00.000Z</RetainUntilDate>";
        let lock =
            asked(&format!("<Mode>COMPLIANCE</Mode>{until}")).unwrap().apply(&Lock::default(), NOW).unwrap();
        assert_eq!(lock.retention.unwrap().mode, Compliance);
        let again = parse_retention(&write_retention(&lock).unwrap()).unwrap();
        assert_eq!(again.apply(&Lock::default(), NOW).unwrap(), lock);
        assert_eq!(asked("").unwrap().apply(&lock, NOW).unwrap(), Lock::default());
        assert!(asked("<Mode>COMPLIANCE</Mode>").is_err());
        assert!(asked(until).is_err());
        let past = "<Mode>GOVERNANCE</Mode><RetainUntilDate>2020-01-01T00:00:00Z</RetainUntilDate>";
        assert_eq!(asked(past).unwrap().apply(&lock, NOW).unwrap_err().code, Code::InvalidArgument);
        let on = "<Mode>GOVERNANCE</Mode><EventHold>ON</EventHold><EventHoldDuration><Days>3</Days></EventHoldDuration>";
        let held = asked(on).unwrap().apply(&Lock::default(), NOW).unwrap();
        assert_eq!(held.event_hold, Some(EventHold { mode: Governance, period: Period::Days(3) }));
        let released = asked("<EventHold>OFF</EventHold>").unwrap().apply(&held, NOW).unwrap();
        assert_eq!(released.event_hold, None);
        assert_eq!(
            released.retention,
            Some(Retention { mode: Governance, until: Period::Days(3).after(NOW) })
        );
    }

    #[test]
    fn headers_over_the_default() {
        let bucket = ObjectLock {
            default: Some(DefaultRetention {
                mode: Governance,
                period: Some(Period::Days(1)),
                event_hold: None,
            }),
        };
        let of = |pairs: &[(HeaderName, &str)], bucket: Option<&ObjectLock>| {
            let headers = pairs.iter().map(|(n, v)| (n.clone(), v.parse().unwrap())).collect();
            of_headers(&headers, bucket, NOW).map_err(|error| error.code)
        };
        assert_eq!(of(&[], None), Ok(Lock::default()));
        assert_eq!(of(&[], Some(&bucket)).unwrap().retention.unwrap().until, Period::Days(1).after(NOW));
        let mode = (header::OBJECT_LOCK_MODE, "COMPLIANCE");
        let until = (header::OBJECT_LOCK_RETAIN_UNTIL_DATE, "2030-01-01T00:00:00Z");
        let lock = of(&[mode.clone(), until.clone()], Some(&bucket)).unwrap();
        assert_eq!(lock.retention.unwrap().mode, Compliance);
        assert_eq!(of(&[mode.clone(), until.clone()], None), Err(Code::InvalidRequest));
        let (on, days) = ((header::OBJECT_LOCK_EVENT_HOLD, "ON"), (header::OBJECT_LOCK_EVENT_HOLD_DAYS, "3"));
        let held = of(&[mode.clone(), on.clone(), days.clone()], Some(&bucket)).unwrap();
        assert_eq!(held.event_hold, Some(EventHold { mode: Compliance, period: Period::Days(3) }));
        assert_eq!(of(&[on], Some(&bucket)), Err(Code::InvalidArgument));
        assert_eq!(of(&[days], Some(&bucket)), Err(Code::InvalidArgument));
        assert_eq!(of(&[mode], Some(&bucket)), Err(Code::InvalidArgument));
        assert_eq!(of(&[until], Some(&bucket)), Err(Code::InvalidArgument));
        assert!(of(&[(header::OBJECT_LOCK_LEGAL_HOLD, "ON")], Some(&bucket)).unwrap().legal_hold);
        assert_eq!(of(&[(header::OBJECT_LOCK_LEGAL_HOLD, "on")], Some(&bucket)), Err(Code::InvalidArgument));
    }
}
