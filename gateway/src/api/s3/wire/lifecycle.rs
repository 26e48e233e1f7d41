//! `LifecycleConfiguration`.

use super::tagging::{pair, write_tag};
use super::time::parse_iso8601;
use super::tree::Element;
use super::xml::{MalformedXml, XmlWriter};
use crate::api::s3::error::{Code, S3Error};
use crate::bucket::{Filter, Lifecycle, NoncurrentExpiration, Rule, Transition, When};

const MAX_RULES: usize = 1000;
const ID_MAX_LEN: usize = 255;
const DAY_MS: u64 = 86_400_000;
/// Classes that an object can be moved to.
const CLASSES: [&str; 6] =
    ["GLACIER", "STANDARD_IA", "ONEZONE_IA", "INTELLIGENT_TIERING", "DEEP_ARCHIVE", "GLACIER_IR"];

/// Reads the rules. A rule without an id gets one.
pub fn parse(document: &[u8]) -> Result<Lifecycle, S3Error> {
    let root = Element::parse(document, "LifecycleConfiguration")?;
    root.only(&["Rule"])?;
    if root.children.is_empty() || root.children.len() > MAX_RULES {
        return Err(MalformedXml.into());
    }
    let mut rules: Vec<Rule> = Vec::new();
    for element in &root.children {
        let rule = rule(element)?;
        if rules.iter().any(|other| other.id == rule.id) {
            return Err(invalid("Rule ID must be unique. Found same ID for more than one rule"));
        }
        rules.push(rule);
    }
    Ok(Lifecycle { rules, default_minimum: None })
}

fn invalid(message: impl Into<std::borrow::Cow<'static, str>>) -> S3Error {
    S3Error::new(Code::InvalidArgument).message(message)
}

fn rule(element: &Element) -> Result<Rule, S3Error> {
    element.only(&[
        "ID",
        "Prefix",
        "Status",
        "Filter",
        "Expiration",
        "NoncurrentVersionExpiration",
        "AbortIncompleteMultipartUpload",
        "Transition",
        "NoncurrentVersionTransition",
    ])?;
    let id = match element.text_of("ID")?.filter(|id| !id.is_empty()) {
        Some(id) if id.chars().count() > ID_MAX_LEN => {
            return Err(invalid("ID length should not exceed allowed limit of 255"));
        }
        Some(id) => id.to_owned(),
        None => drawn_id(),
    };
    let enabled = match element.text_of("Status")? {
        Some("Enabled") => true,
        Some("Disabled") => false,
        _ => return Err(MalformedXml.into()),
    };
    let filter = match (element.child("Filter")?, element.text_of("Prefix")?) {
        (Some(filter), None) => filter_of(filter)?,
        (None, Some(prefix)) => {
            Filter { prefix: Some(prefix.to_owned()), bare_prefix: true, ..Filter::default() }
        }
        _ => return Err(MalformedXml.into()),
    };
    let mut rule = Rule { id, enabled, filter, ..Rule::default() };
    if let Some(expiration) = element.child("Expiration")? {
        expiration.only(&["Days", "Date", "ExpiredObjectDeleteMarker"])?;
        rule.expired_delete_marker = match expiration.text_of("ExpiredObjectDeleteMarker")? {
            None | Some("false") => false,
            Some("true") => true,
            Some(_) => return Err(MalformedXml.into()),
        };
        rule.expiration = when(expiration, "'Days' for Expiration action must be a positive integer")?;
        if rule.expiration.is_some() == rule.expired_delete_marker {
            return Err(MalformedXml.into());
        }
        if rule.expired_delete_marker && !rule.filter.tags.is_empty() {
            return Err(S3Error::invalid_request("ExpiredObjectDeleteMarker cannot be specified with Tags."));
        }
    }
    if let Some(noncurrent) = element.child("NoncurrentVersionExpiration")? {
        noncurrent.only(&["NoncurrentDays", "NewerNoncurrentVersions"])?;
        let message = "'NoncurrentDays' for NoncurrentVersionExpiration action must be a positive integer";
        let days = positive(noncurrent, "NoncurrentDays", message)?.ok_or(MalformedXml)?;
        rule.noncurrent_expiration =
            Some(NoncurrentExpiration { days, newer_versions: newer_versions(noncurrent)? });
    }
    if let Some(abort) = element.child("AbortIncompleteMultipartUpload")? {
        let message =
            "'DaysAfterInitiation' for AbortIncompleteMultipartUpload action must be a positive integer";
        rule.abort_uploads_after_days = Some(
            positive(abort.only(&["DaysAfterInitiation"])?, "DaysAfterInitiation", message)?
                .ok_or(MalformedXml)?,
        );
        if !rule.filter.is_of_names_alone() {
            return Err(S3Error::invalid_request(
                "AbortIncompleteMultipartUpload cannot be specified with Tags or object sizes.",
            ));
        }
    }
    for transition in element.all("Transition") {
        transition.only(&["Days", "Date", "StorageClass"])?;
        let message = "'Days' in Transition action must be nonnegative";
        let when = match when(transition, message) {
            Ok(when) => when.ok_or(MalformedXml)?,
            Err(_) if transition.text_of("Days")? == Some("0") => When::Days(0),
            Err(error) => return Err(error),
        };
        rule.transitions.push(Transition { when, storage_class: class(transition)?, newer_versions: None });
    }
    for transition in element.all("NoncurrentVersionTransition") {
        transition.only(&["NoncurrentDays", "NewerNoncurrentVersions", "StorageClass"])?;
        let days = transition.number_of("NoncurrentDays")?.ok_or(MalformedXml)?;
        let newer_versions = newer_versions(transition)?;
        rule.noncurrent_transitions.push(Transition {
            when: When::Days(days),
            storage_class: class(transition)?,
            newer_versions,
        });
    }
    let acts = rule.expiration.is_some()
        || rule.expired_delete_marker
        || rule.noncurrent_expiration.is_some()
        || rule.abort_uploads_after_days.is_some()
        || !rule.transitions.is_empty()
        || !rule.noncurrent_transitions.is_empty();
    if acts {
        Ok(rule)
    } else {
        Err(S3Error::invalid_request("At least one action needs to be specified in a rule."))
    }
}

/// `Days` or `Date`.
fn when(element: &Element, message: &'static str) -> Result<Option<When>, S3Error> {
    match (positive(element, "Days", message)?, element.text_of("Date")?) {
        (Some(_), Some(_)) => Err(MalformedXml.into()),
        (Some(days), None) => Ok(Some(When::Days(days))),
        (None, None) => Ok(None),
        (None, Some(date)) => {
            let at = parse_iso8601(date).ok_or(MalformedXml)?;
            if at.unix_ms() % DAY_MS != 0 {
                return Err(S3Error::invalid_argument("'Date' must be at midnight GMT", "Date", date));
            }
            Ok(Some(When::Date(at)))
        }
    }
}

fn positive(element: &Element, name: &str, message: &'static str) -> Result<Option<u32>, S3Error> {
    match element.number_of::<i64>(name)? {
        None => Ok(None),
        Some(number) => match u32::try_from(number) {
            Ok(number) if number > 0 && i32::try_from(number).is_ok() => Ok(Some(number)),
            _ => Err(S3Error::invalid_argument(message, name, number.to_string())),
        },
    }
}

fn newer_versions(element: &Element) -> Result<Option<u32>, S3Error> {
    let message = "'NewerNoncurrentVersions' must be an integer between 1 and 100";
    match positive(element, "NewerNoncurrentVersions", message)? {
        Some(count) if count > 100 => {
            Err(S3Error::invalid_argument(message, "NewerNoncurrentVersions", count.to_string()))
        }
        count => Ok(count),
    }
}

fn class(element: &Element) -> Result<String, S3Error> {
    let class = element.text_of("StorageClass")?.filter(|class| CLASSES.contains(class));
    Ok(class.ok_or(MalformedXml)?.to_owned())
}

fn filter_of(element: &Element) -> Result<Filter, S3Error> {
    let and = element.child("And")?;
    let conditions = and.unwrap_or(element);
    if and.is_some() && element.children.len() > 1 || and.is_none() && element.children.len() > 1 {
        return Err(MalformedXml.into());
    }
    conditions.only(&["Prefix", "Tag", "ObjectSizeGreaterThan", "ObjectSizeLessThan"])?;
    let filter = Filter {
        prefix: conditions.child("Prefix")?.map(|prefix| prefix.text.clone()),
        tags: conditions.all("Tag").map(pair).collect::<Result<_, _>>()?,
        larger_than: conditions.number_of("ObjectSizeGreaterThan")?,
        smaller_than: conditions.number_of("ObjectSizeLessThan")?,
        bare_prefix: false,
        and: and.is_some(),
    };
    for (index, (name, _)) in filter.tags.iter().enumerate() {
        if filter.tags[..index].iter().any(|(other, _)| other == name) {
            return Err(S3Error::invalid_request("Duplicate Tag Keys are not allowed."));
        }
    }
    if let (Some(larger), Some(smaller)) = (filter.larger_than, filter.smaller_than)
        && larger >= smaller
    {
        return Err(S3Error::invalid_request(
            "'ObjectSizeLessThan' has to be a value greater than 'ObjectSizeGreaterThan'.",
        ));
    }
    Ok(filter)
}

fn drawn_id() -> String {
    let mut bytes = [0; 12];
    getrandom::fill(&mut bytes).expect("the operating system gives random bytes");
    hex::encode(bytes)
}

/// Writes the rules.
pub fn write(lifecycle: &Lifecycle) -> Vec<u8> {
    let mut xml = XmlWriter::document(512 * (lifecycle.rules.len() + 1));
    xml.root("LifecycleConfiguration");
    for rule in &lifecycle.rules {
        xml.open("Rule");
        xml.text("ID", &rule.id);
        write_filter(&mut xml, &rule.filter);
        xml.text("Status", if rule.enabled { "Enabled" } else { "Disabled" });
        for transition in &rule.transitions {
            xml.open("Transition");
            write_when(&mut xml, transition.when);
            xml.text("StorageClass", &transition.storage_class);
            xml.close("Transition");
        }
        if rule.expiration.is_some() || rule.expired_delete_marker {
            xml.open("Expiration");
            match rule.expiration {
                Some(when) => write_when(&mut xml, when),
                None => xml.boolean("ExpiredObjectDeleteMarker", true),
            }
            xml.close("Expiration");
        }
        for transition in &rule.noncurrent_transitions {
            xml.open("NoncurrentVersionTransition");
            if let When::Days(days) = transition.when {
                xml.number("NoncurrentDays", days.into());
            }
            write_newer(&mut xml, transition.newer_versions);
            xml.text("StorageClass", &transition.storage_class);
            xml.close("NoncurrentVersionTransition");
        }
        if let Some(noncurrent) = &rule.noncurrent_expiration {
            xml.open("NoncurrentVersionExpiration");
            xml.number("NoncurrentDays", noncurrent.days.into());
            write_newer(&mut xml, noncurrent.newer_versions);
            xml.close("NoncurrentVersionExpiration");
        }
        if let Some(days) = rule.abort_uploads_after_days {
            xml.open("AbortIncompleteMultipartUpload");
            xml.number("DaysAfterInitiation", days.into());
            xml.close("AbortIncompleteMultipartUpload");
        }
        xml.close("Rule");
    }
    xml.close("LifecycleConfiguration");
    xml.finish()
}

fn write_newer(xml: &mut XmlWriter, newer: Option<u32>) {
    if let Some(count) = newer {
        xml.number("NewerNoncurrentVersions", count.into());
    }
}

fn write_when(xml: &mut XmlWriter, when: When) {
    match when {
        When::Days(days) => xml.number("Days", days.into()),
        When::Date(date) => xml.time("Date", date),
    }
}

fn write_filter(xml: &mut XmlWriter, filter: &Filter) {
    if filter.bare_prefix {
        return xml.optional("Prefix", filter.prefix.as_deref());
    }
    xml.open("Filter");
    if filter.and {
        xml.open("And");
    }
    xml.optional("Prefix", filter.prefix.as_deref());
    filter.tags.iter().for_each(|tag| write_tag(xml, tag));
    for (name, number) in
        [("ObjectSizeGreaterThan", filter.larger_than), ("ObjectSizeLessThan", filter.smaller_than)]
    {
        if let Some(number) = number {
            xml.number(name, number);
        }
    }
    if filter.and {
        xml.close("And");
    }
    xml.close("Filter");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(inner: &str) -> Result<Lifecycle, Code> {
        let document = format!("<LifecycleConfiguration><Rule>{inner}</Rule></LifecycleConfiguration>");
        parse(document.as_bytes()).map_err(|error| error.code)
    }

    #[test]
    fn rules_come_back() {
        for inner in [
            "<ID>a</ID><Status>Enabled</Status><Prefix>p</Prefix><Expiration><Days>3</Days></Expiration>",
            "<ID>a</ID><Status>Disabled</Status><Filter/><Expiration><Date>2030-01-01T00:00:00.000Z</Date></Expiration>",
            "<ID>a</ID><Status>Enabled</Status><Filter><And><Prefix>p</Prefix><Tag><Key>k</Key><Value>v</Value></Tag>\
             <ObjectSizeGreaterThan>5</ObjectSizeGreaterThan></And></Filter><NoncurrentVersionExpiration>\
             <NoncurrentDays>2</NoncurrentDays><NewerNoncurrentVersions>3</NewerNoncurrentVersions></NoncurrentVersionExpiration>",
            "<ID>a</ID><Status>Enabled</Status><Filter><Prefix/></Filter><Expiration><ExpiredObjectDeleteMarker>true\
             </ExpiredObjectDeleteMarker></Expiration><AbortIncompleteMultipartUpload><DaysAfterInitiation>1\
             </DaysAfterInitiation></AbortIncompleteMultipartUpload>",
            "<ID>a</ID><Status>Enabled</Status><Filter><Prefix>x</Prefix></Filter><Transition><Days>0</Days>\
             <StorageClass>GLACIER</StorageClass></Transition><NoncurrentVersionTransition><NoncurrentDays>30</NoncurrentDays>\
             <StorageClass>STANDARD_IA</StorageClass></NoncurrentVersionTransition>",
        ] {
            let lifecycle = rules(inner).unwrap();
            assert_eq!(parse(&write(&lifecycle)).unwrap(), lifecycle, "{inner}");
        }
        assert!(
            !rules("<Status>Enabled</Status><Prefix/><Expiration><Days>1</Days></Expiration>").unwrap().rules
                [0]
            .id
            .is_empty()
        );
    }

    #[test]
    fn bad_rules_are_refused() {
        let head = "<ID>a</ID><Status>Enabled</Status><Filter/>";
        for (inner, code) in [
            (format!("{head}<Expiration><Days>0</Days></Expiration>"), Code::InvalidArgument),
            (
                format!("{head}<Expiration><Date>2030-01-01T01:00:00Z</Date></Expiration>"),
                Code::InvalidArgument,
            ),
            (format!("{head}<Expiration><Date>20200101</Date></Expiration>"), Code::MalformedXml),
            (format!("{head}<Expiration/>"), Code::MalformedXml),
            (head.to_owned(), Code::InvalidRequest),
            (
                "<ID>a</ID><Status>enabled</Status><Filter/><Expiration><Days>1</Days></Expiration>"
                    .to_owned(),
                Code::MalformedXml,
            ),
            (
                format!(
                    "<ID>{}</ID><Status>Enabled</Status><Filter/><Expiration><Days>1</Days></Expiration>",
                    "i".repeat(256)
                ),
                Code::InvalidArgument,
            ),
            (
                "<Status>Enabled</Status><Expiration><Days>1</Days></Expiration>".to_owned(),
                Code::MalformedXml,
            ),
            (
                format!("{head}<Transition><Days>1</Days><StorageClass>COLD</StorageClass></Transition>"),
                Code::MalformedXml,
            ),
        ] {
            assert_eq!(rules(&inner), Err(code), "{inner}");
        }
        let rule =
            "<Rule><ID>a</ID><Status>Enabled</Status><Filter/><Expiration><Days>1</Days></Expiration></Rule>";
        let twice = format!("<LifecycleConfiguration>{rule}{rule}</LifecycleConfiguration>");
        assert_eq!(parse(twice.as_bytes()).unwrap_err().code, Code::InvalidArgument);
    }
}
