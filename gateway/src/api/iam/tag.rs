//! Tags.
//! <https://docs.aws.amazon.com/IAM/latest/UserGuide/id_tags.html>

use super::kind::Tagged;
use super::page::Page;
use super::rules::{self, TAG_KEY, constrained, same_key};
use crate::api::query::{Answer, Parameters, Refusal, list};
use crate::api::xml::XmlWriter;
use crate::iam::{IamError, Tags};

/// The most tags of one.
const MAX_TAGS: usize = 50;

/// The tags of a request.
pub(super) fn parameter<T: Tagged>(parameters: &Parameters) -> Result<Tags, Refusal> {
    read(parameters, T::FOLDS_KEYS)
}

/// The tags of a request; with `folds_keys`, keys that differ in case are the same key.
pub(super) fn read(parameters: &Parameters, folds_keys: bool) -> Result<Tags, Refusal> {
    rules::tags(parameters, MAX_TAGS, folds_keys)
}

/// `TagKeys`.
pub(super) fn keys(parameters: &Parameters) -> Result<Vec<String>, Refusal> {
    let keys = parameters.list("TagKeys");
    if keys.len() > MAX_TAGS {
        return Err(constrained("tagKeys", "Member must have length less than or equal to 50"));
    }
    if keys.iter().any(|key| TAG_KEY.broken_by(key).is_some()) {
        let constraint = r"Member must satisfy constraint: [Member must have length less than or equal to 128, Member must have length greater than or equal to 1, Member must satisfy regular expression pattern: [\p{L}\p{Z}\p{N}_.:/=+\-@]+, Member must not be null]";
        return Err(constrained("tagKeys", constraint));
    }
    Ok(keys.into_iter().map(str::to_owned).collect())
}

/// Sets tags, in the place of those of the same keys.
pub(super) fn add(tags: &mut Tags, more: &[(String, String)], folds_keys: bool) -> Result<(), IamError> {
    for (key, value) in more {
        let same = |(former, _): &&mut (String, String)| same_key(former, key, folds_keys);
        match tags.iter_mut().find(same) {
            Some(former) => *former = (key.clone(), value.clone()),
            None => tags.push((key.clone(), value.clone())),
        }
    }
    match tags.len() <= MAX_TAGS {
        true => Ok(()),
        false => Err(IamError::LimitExceeded("The number of tags has reached the maximum limit.".to_owned())),
    }
}

/// Takes tags away; one that is not there is none the less.
pub(super) fn remove(tags: &mut Tags, keys: &[String], folds_keys: bool) {
    tags.retain(|(key, _)| !keys.iter().any(|gone| same_key(gone, key, folds_keys)));
}

/// A page of tags, in order of key.
pub(super) fn listed(page: &Page, tags: &[(String, String)]) -> Answer {
    let listed = page.cut(tags.iter().map(|tag| (tag.0.clone(), tag)));
    Answer::of(|xml| {
        write(xml, listed.rows.iter().copied());
        listed.write_end(xml);
    })
}

/// `Tags`.
pub(super) fn write<'a>(xml: &mut XmlWriter, tags: impl IntoIterator<Item = &'a (String, String)>) {
    list(xml, "Tags", tags, |xml, (key, value)| {
        xml.text("Key", key);
        xml.text("Value", value);
    });
}

/// `Tags`, where there are some.
pub(super) fn write_some(xml: &mut XmlWriter, tags: &[(String, String)]) {
    if !tags.is_empty() {
        write(xml, tags);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::iam::{ManagedPolicy, User};

    fn parsed<T: Tagged>(text: &str) -> Result<Tags, Refusal> {
        parameter::<T>(&Parameters::parse(&[text.as_bytes()]).unwrap())
    }

    fn message<T: Tagged>(text: &str) -> String {
        parsed::<T>(text).err().map(|refusal| refusal.message.into_owned()).unwrap_or_default()
    }

    #[test]
    fn keys_and_values() {
        let text = "Tags.member.1.Key=a&Tags.member.1.Value=1&Tags.member.2.Key=A&Tags.member.2.Value=";
        assert_eq!(parsed::<ManagedPolicy>(text).unwrap().len(), 2);
        assert_eq!(
            message::<User>(text),
            "Duplicate tag keys found. Please note that Tag keys are case insensitive."
        );
        let long = format!("Tags.member.1.Key={}&Tags.member.1.Value=", "k".repeat(129));
        assert_eq!(
            message::<User>(&long),
            format!(
                "1 validation error detected: Value '{}' at 'tags.1.member.key' failed to satisfy constraint: Member must have length less than or equal to 128",
                "k".repeat(129)
            )
        );
        assert!(message::<User>("Tags.member.1.Key=a").contains("'tags.1.member.value'"));
        assert!(message::<User>("Tags.member.1.Key=aws%3Ax&Tags.member.1.Value=").contains("aws:"));
        let many: String =
            (0..51).map(|n| format!("Tags.member.{n}.Key=k{n}&Tags.member.{n}.Value=&")).collect();
        assert!(message::<User>(&many).ends_with("less than or equal to 50"));
    }

    #[test]
    fn setting_and_taking_away() {
        let tag = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        let mut tags = vec![tag("a", "1"), tag("b", "2")];
        add(&mut tags, &[tag("A", "3"), tag("c", "4")], true).unwrap();
        assert_eq!(tags, [tag("A", "3"), tag("b", "2"), tag("c", "4")]);
        remove(&mut tags, &["B".to_owned(), "x".to_owned()], true);
        assert_eq!(tags, [tag("A", "3"), tag("c", "4")]);
        let more: Vec<_> = (0..49).map(|n| tag(&format!("k{n}"), "")).collect();
        assert!(add(&mut tags, &more, true).is_err());
    }
}
