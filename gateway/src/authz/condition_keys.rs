//! Which condition keys there are, and which of them an action has: what values a decision sees, and what a policy may name.
//! <https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazons3.html>,
//! <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_condition-keys.html>

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use kms_core::policy::{Document, wildcard_matches};

use super::reference;

/// Keys that every action has, in lower case; what ends with `/` is followed by a name.
const GLOBAL: [&str; 52] = [
    "aws:assumedroot",
    "aws:calledvia",
    "aws:calledviafirst",
    "aws:calledvialast",
    "aws:chatbotsourcearn",
    "aws:currenttime",
    "aws:ec2instancesourceprivateipv4",
    "aws:ec2instancesourcevpc",
    "aws:epochtime",
    "aws:federatedprovider",
    "aws:multifactorauthage",
    "aws:multifactorauthpresent",
    "aws:principalaccount",
    "aws:principalarn",
    "aws:principalisawsservice",
    "aws:principalorgid",
    "aws:principalorgpaths",
    "aws:principalservicename",
    "aws:principalservicenameslist",
    "aws:principaltag/",
    "aws:principaltype",
    "aws:referer",
    "aws:requestedregion",
    "aws:requesttag/",
    "aws:resourceaccount",
    "aws:resourceorgid",
    "aws:resourceorgpaths",
    "aws:resourcetag/",
    "aws:securetransport",
    "aws:signinsessionarn",
    "aws:sourceaccount",
    "aws:sourcearn",
    "aws:sourceidentity",
    "aws:sourceip",
    "aws:sourceorgid",
    "aws:sourceorgpaths",
    "aws:sourceowner",
    "aws:sourcevpc",
    "aws:sourcevpcarn",
    "aws:sourcevpce",
    "aws:tagkeys",
    "aws:tokenissuetime",
    "aws:useragent",
    "aws:userid",
    "aws:username",
    "aws:viaawsservice",
    "aws:vpceaccount",
    "aws:vpceorgid",
    "aws:vpceorgpaths",
    "aws:vpcsourceip",
    "ec2:sourceinstancearn",
    "lambda:sourcefunctionarn",
];

/// Actions that are younger than the reference, each with one that has the same keys and resources.
const YOUNGER: [(&str, &str); 9] = [
    ("GetObjectAnnotation", "GetObjectTagging"),
    ("GetObjectVersionAnnotation", "GetObjectVersionTagging"),
    ("ListObjectAnnotations", "GetObjectTagging"),
    ("ListObjectVersionAnnotations", "GetObjectVersionTagging"),
    ("PutObjectAnnotation", "DeleteObjectTagging"),
    ("PutObjectVersionAnnotation", "DeleteObjectVersionTagging"),
    ("DeleteObjectAnnotation", "DeleteObjectTagging"),
    ("DeleteObjectVersionAnnotation", "DeleteObjectVersionTagging"),
    ("UpdateBucketMetadataAnnotationTableConfiguration", "UpdateBucketMetadataJournalTableConfiguration"),
];

/// Names of keys in lower case.
#[derive(Debug, Default)]
struct Names {
    whole: BTreeSet<String>,
    /// What is followed by the name of a tag or the like.
    beginnings: Vec<String>,
}

impl Names {
    fn of<'a>(names: impl Iterator<Item = &'a str>) -> Self {
        let mut all = Self::default();
        for name in names {
            let name = name.to_ascii_lowercase();
            match name.find(['<', '$']) {
                Some(at) => all.beginnings.push(name[..at].to_owned()),
                None if name.ends_with('/') => all.beginnings.push(name),
                None => drop(all.whole.insert(name)),
            }
        }
        all
    }

    fn contains(&self, name: &str) -> bool {
        self.whole.contains(name)
            || self
                .beginnings
                .iter()
                .any(|beginning| name.strip_prefix(beginning.as_str()).is_some_and(|rest| !rest.is_empty()))
    }
}

/// An action of S3.
#[derive(Debug)]
pub(crate) struct Action {
    keys: Names,
    /// Can a policy name a bucket as its resource?
    pub(crate) of_buckets: bool,
    /// Can a policy name an object as its resource?
    pub(crate) of_objects: bool,
}

/// By lower-case names, with `s3:`.
static ACTIONS: LazyLock<BTreeMap<String, Action>> = LazyLock::new(|| {
    let of_s3: BTreeMap<&str, reference::Action> = reference::actions()
        .filter(|action| action.service == "s3")
        .map(|action| (action.name, action))
        .collect();
    let alike = YOUNGER.iter().filter_map(|(name, like)| Some((*name, of_s3.get(like)?)));
    let all = of_s3.iter().map(|(name, action)| (*name, action)).chain(alike);
    all.map(|(name, action)| {
        let has = |kind: &str| action.resource_types.iter().any(|of| of.trim_end_matches('*') == kind);
        let of_objects = has("object") || has("accesspointobject");
        let keys = Names::of(action.condition_keys.iter().copied());
        (format!("s3:{}", name.to_ascii_lowercase()), Action { keys, of_buckets: has("bucket"), of_objects })
    })
    .collect()
});

static OF_S3: LazyLock<Names> = LazyLock::new(|| Names::of(reference::condition_keys("s3")));
static OF_ALL: LazyLock<Names> = LazyLock::new(|| Names::of(GLOBAL.into_iter()));
/// Global keys that an action has only if the reference says so.
static OF_TAGS: LazyLock<Names> = LazyLock::new(|| Names::of(["aws:requesttag/", "aws:tagkeys"].into_iter()));

/// Has an action of S3 this key (in lower case)?
pub(crate) fn applies(action: &str, key: &str) -> bool {
    let of_action =
        || ACTIONS.get(&action.to_ascii_lowercase()).is_some_and(|action| action.keys.contains(key));
    match key.starts_with("s3:") {
        // The tags of a bucket that uses them for access are keys of all that is done to it.
        true => key.starts_with("s3:buckettag/") || of_action(),
        false => !OF_TAGS.contains(key) || of_action(),
    }
}

/// Is there such a key (in lower case) that requests to S3 may have? Claims of identity providers are called by their hosts.
pub(crate) fn is_known(key: &str) -> bool {
    let of_a_provider =
        || key.split_once(':').is_some_and(|(host, claim)| host.contains('.') && !claim.is_empty());
    OF_ALL.contains(key) || OF_S3.contains(key) || of_a_provider()
}

/// The condition keys that a policy asks for and no request to a service has, as they were written: a statement that asks for one
/// never does what it seems to. Services but S3 take such policies, as AWS does.
pub(crate) fn unknown_to<'a>(service: &str, document: &'a Document) -> Vec<&'a str> {
    let of_service = Names::of(reference::condition_keys(service));
    let asked = document.statements.iter().flat_map(|statement| statement.conditions.names());
    let unknown: BTreeSet<&str> = asked
        .filter(|name| {
            let name = name.to_ascii_lowercase();
            !OF_ALL.contains(&name) && !of_service.contains(&name)
        })
        .collect();
    unknown.into_iter().collect()
}

/// The actions of S3 that a pattern of a policy speaks of, by their lower-case names.
pub(crate) fn actions_like(pattern: &str) -> impl Iterator<Item = (&'static str, &'static Action)> {
    let pattern = pattern.to_ascii_lowercase();
    ACTIONS
        .iter()
        .filter(move |(name, _)| wildcard_matches(&pattern, name))
        .map(|(name, action)| (name.as_str(), action))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_belong_to_actions() {
        assert!(applies("s3:ListBucket", "s3:prefix"));
        assert!(!applies("s3:GetObject", "s3:prefix"));
        assert!(applies("s3:GetObject", "s3:existingobjecttag/team"));
        assert!(!applies("s3:GetObject", "s3:existingobjecttag/"));
        assert!(!applies("s3:PutObject", "s3:existingobjecttag/team"));
        assert!(applies("s3:GetObjectAnnotation", "s3:existingobjecttag/team"));
        assert!(applies("s3:GetObject", "aws:sourceip") && applies("s3:GetObject", "s3:buckettag/a"));
        assert!(
            applies("s3:CreateBucket", "aws:requesttag/a") && !applies("s3:GetObject", "aws:requesttag/a")
        );
        assert!(is_known("aws:principaltag/team") && is_known("accounts.example.org:aud"));
        assert!(!is_known("aws:sourcip") && !is_known("s3:prefixes") && !is_known("prefix"));
        let document = Document::parse_resource(
            r#"{"Statement":{"Effect":"Deny","Principal":"*","Action":"kms:*","Resource":"*","Condition":{"StringEquals":
               {"kms:ViaServices":"a","kms:ViaService":"b","kms:EncryptionContext:a":"b","aws:SourceIp":"10.0.0.1"}}}}"#,
        );
        assert_eq!(unknown_to("kms", &document.unwrap()), ["kms:ViaServices"]);
        assert!(actions_like("s3:Get*").any(|(name, _)| name == "s3:getobject"));
        assert_eq!(actions_like("s3:GetObjects").count(), 0);
    }
}
