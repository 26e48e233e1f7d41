//! Access control lists: XML, canned ones and grants in headers; ownership controls and the block of public access.

use std::sync::Arc;

use http::{HeaderMap, HeaderName};

use super::tree::Element;
use super::xml::{MalformedXml, XmlWriter};
use crate::api::s3::error::{Code, S3Error};
use crate::bucket::{Acl, Grant, Grantee, Ownership, Permission, PublicAccessBlock};
use crate::http::header;
use crate::iam::{Account, State};

/// The most grants of an ACL.
const MAX_GRANTS: usize = 100;

/// An account as a grantee.
pub fn grantee(account: &Account) -> Grantee {
    Grantee::Canonical { id: account.canonical_id.clone() }
}

/// Whom an ACL may name: whose bucket or object it is of, and everybody else who has an account.
#[derive(Clone, Copy)]
pub struct Accounts<'a> {
    /// Whose it is.
    pub owner: &'a Account,
    /// Whose bucket it is in.
    pub bucket_owner: &'a Account,
    /// All accounts.
    pub all: &'a State,
}

/// The ACL that a request's headers ask for; `None` where they ask for none.
pub fn of_headers(headers: &HeaderMap, accounts: Accounts<'_>) -> Result<Option<Acl>, S3Error> {
    let canned = headers.get(header::ACL).map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
    let canned = canned.filter(|name| !name.is_empty());
    let mut grants = Vec::new();
    for (name, permission) in [
        (header::GRANT_FULL_CONTROL, Permission::FullControl),
        (header::GRANT_READ, Permission::Read),
        (header::GRANT_WRITE, Permission::Write),
        (header::GRANT_READ_ACP, Permission::ReadAcp),
        (header::GRANT_WRITE_ACP, Permission::WriteAcp),
    ] {
        for value in headers.get_all(&name) {
            let value = String::from_utf8_lossy(value.as_bytes());
            for one in value.split(',').map(str::trim).filter(|one| !one.is_empty()) {
                grants.push(Grant { grantee: named_grantee(&name, one, accounts)?, permission });
            }
        }
    }
    match (canned, grants.is_empty()) {
        (None, true) => Ok(None),
        (None, false) => checked(grants).map(Some),
        (Some(_), false) => {
            Err(S3Error::invalid_request("Specifying both Canned ACLs and Header Grants is not allowed"))
        }
        (Some(name), true) => {
            match Acl::canned(&name, &grantee(accounts.owner), &grantee(accounts.bucket_owner)) {
                Some(acl) => Ok(Some(acl)),
                None => Err(S3Error::invalid_argument("", header::ACL.as_str(), name)),
            }
        }
    }
}

/// `id="…"`, `uri="…"` or `emailAddress="…"`, from a header of this name.
fn named_grantee(name: &HeaderName, text: &str, accounts: Accounts<'_>) -> Result<Grantee, S3Error> {
    let malformed = || S3Error::invalid_argument("Argument format not recognized", name.as_str(), text);
    let (kind, value) = text.split_once('=').ok_or_else(malformed)?;
    let value = value.trim().trim_matches('"');
    match kind.trim() {
        "id" => canonical("id", value, accounts),
        "uri" => group("uri", value),
        "emailAddress" => by_email(value, accounts),
        _ => Err(malformed()),
    }
}

/// `argument`: what the refusal of an id that nobody has calls it.
fn canonical(argument: &str, id: &str, accounts: Accounts<'_>) -> Result<Grantee, S3Error> {
    let named = [accounts.owner, accounts.bucket_owner].into_iter().find(|known| known.canonical_id == id);
    let named = named.or_else(|| accounts.all.by_canonical_id(id).map(Arc::as_ref));
    named.map(grantee).ok_or_else(|| S3Error::invalid_argument("Invalid id", argument, id))
}

fn by_email(email: &str, accounts: Accounts<'_>) -> Result<Grantee, S3Error> {
    let mut named = accounts.all.by_email(email);
    match (named.next(), named.next()) {
        (Some(account), None) => Ok(grantee(account)),
        (Some(_), Some(_)) => Err(S3Error::new(Code::AmbiguousGrantByEmailAddress).field("Email", email)),
        _ => Err(S3Error::new(Code::UnresolvableGrantByEmailAddress).field("Email", email)),
    }
}

fn group(argument: &str, uri: &str) -> Result<Grantee, S3Error> {
    let found = Grantee::GROUPS.into_iter().find(|(_, known)| *known == uri);
    found.map(|(group, _)| group).ok_or_else(|| S3Error::invalid_argument("Invalid group uri", argument, uri))
}

fn checked(grants: Vec<Grant>) -> Result<Acl, S3Error> {
    if grants.len() > MAX_GRANTS { Err(Code::MalformedAclError.into()) } else { Ok(Acl { grants }) }
}

/// Reads `AccessControlPolicy`. The form of all of it is checked before whom it names.
pub fn parse(document: &[u8], accounts: Accounts<'_>) -> Result<Acl, S3Error> {
    let malformed = |_: MalformedXml| S3Error::from(Code::MalformedAclError);
    let root = Element::parse(document, "AccessControlPolicy").map_err(malformed)?;
    root.only(&["Owner", "AccessControlList"]).map_err(malformed)?;
    let owner = root.required("Owner").and_then(|owner| owner.required("ID")).map_err(malformed)?;
    let list = root.required("AccessControlList").map_err(malformed)?;
    let named = named_grants(list).map_err(malformed)?;
    if canonical(CANONICAL_ARGUMENT, owner.text.trim(), accounts)? != grantee(accounts.owner) {
        return Err(Code::AccessDenied.into());
    }
    checked(known_grants(named, accounts)?)
}

/// Reads a list of `Grant` elements, as `TargetGrants` is one.
pub fn parse_grants(list: &Element, accounts: Accounts<'_>) -> Result<Vec<Grant>, S3Error> {
    let grants = known_grants(named_grants(list)?, accounts)?;
    if grants.len() > MAX_GRANTS { Err(MalformedXml.into()) } else { Ok(grants) }
}

fn named_grants(list: &Element) -> Result<Vec<(Named<'_>, Permission)>, MalformedXml> {
    list.children.iter().map(grant).collect()
}

fn known_grants(named: Vec<(Named<'_>, Permission)>, accounts: Accounts<'_>) -> Result<Vec<Grant>, S3Error> {
    let grants = named.into_iter().map(|(named, permission)| {
        let grantee = match named {
            Named::Id(id) => canonical(CANONICAL_ARGUMENT, id, accounts),
            Named::Uri(uri) => group("Group/URI", uri),
            Named::Email(email) => by_email(email, accounts),
        };
        Ok(Grant { grantee: grantee?, permission })
    });
    grants.collect()
}

/// What the refusal of a document calls an id that nobody has.
const CANONICAL_ARGUMENT: &str = "CanonicalUser/ID";

/// A grantee as a document names it.
enum Named<'a> {
    Id(&'a str),
    Uri(&'a str),
    Email(&'a str),
}

fn grant(element: &Element) -> Result<(Named<'_>, Permission), MalformedXml> {
    let permission = element.text_of("Permission")?.and_then(Permission::parse).ok_or(MalformedXml)?;
    let to = element.required("Grantee")?;
    let text = |name| to.text_of(name)?.ok_or(MalformedXml);
    let named = match to.kind.as_deref() {
        Some("CanonicalUser") => Named::Id(text("ID")?),
        Some("Group") => Named::Uri(text("URI")?),
        Some("AmazonCustomerByEmail") => Named::Email(text("EmailAddress")?),
        Some(_) => return Err(MalformedXml),
        None if to.child("ID")?.is_some() => Named::Id(text("ID")?),
        None => Named::Uri(text("URI")?),
    };
    Ok((named, permission))
}

/// Writes `AccessControlPolicy`.
pub fn write(acl: &Acl, owner: &Account) -> Vec<u8> {
    let mut xml = XmlWriter::document(768);
    xml.root("AccessControlPolicy");
    super::listing::write_owner(&mut xml, owner);
    xml.open("AccessControlList");
    write_grants(&acl.grants, &mut xml);
    xml.close("AccessControlList");
    xml.close("AccessControlPolicy");
    xml.finish()
}

/// Writes `Grant` elements.
pub fn write_grants(grants: &[Grant], xml: &mut XmlWriter) {
    for grant in grants {
        xml.open("Grant");
        match &grant.grantee {
            Grantee::Canonical { id } => {
                xml.open_grantee("CanonicalUser");
                xml.text("ID", id);
            }
            group => {
                xml.open_grantee("Group");
                let uri = Grantee::GROUPS.into_iter().find(|(known, _)| known == group).map(|(_, uri)| uri);
                xml.optional("URI", uri);
            }
        }
        xml.close("Grantee");
        xml.text("Permission", grant.permission.name());
        xml.close("Grant");
    }
}

/// Reads `OwnershipControls`.
pub fn parse_ownership(document: &[u8]) -> Result<Ownership, MalformedXml> {
    let root = Element::parse(document, "OwnershipControls")?;
    let rule = root.only(&["Rule"])?.required("Rule")?;
    rule.text_of("ObjectOwnership")?.and_then(Ownership::parse).ok_or(MalformedXml)
}

/// Writes `OwnershipControls`.
pub fn write_ownership(ownership: Ownership) -> Vec<u8> {
    let mut xml = XmlWriter::document(192);
    xml.root("OwnershipControls");
    xml.open("Rule");
    xml.text("ObjectOwnership", ownership.name());
    xml.close("Rule");
    xml.close("OwnershipControls");
    xml.finish()
}

/// Reads `PublicAccessBlockConfiguration`: what is not named is not blocked.
pub fn parse_public_access_block(document: &[u8]) -> Result<PublicAccessBlock, MalformedXml> {
    let root = Element::parse(document, "PublicAccessBlockConfiguration")?;
    root.only(&["BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets"])?;
    let flag = |name| match root.text_of(name)?.map(str::to_ascii_lowercase).as_deref() {
        None | Some("false") => Ok(false),
        Some("true") => Ok(true),
        Some(_) => Err(MalformedXml),
    };
    Ok(PublicAccessBlock {
        block_public_acls: flag("BlockPublicAcls")?,
        ignore_public_acls: flag("IgnorePublicAcls")?,
        block_public_policy: flag("BlockPublicPolicy")?,
        restrict_public_buckets: flag("RestrictPublicBuckets")?,
        removed: false,
    })
}

/// Writes `PublicAccessBlockConfiguration`.
pub fn write_public_access_block(block: &PublicAccessBlock) -> Vec<u8> {
    let mut xml = XmlWriter::document(384);
    xml.root("PublicAccessBlockConfiguration");
    xml.boolean("BlockPublicAcls", block.block_public_acls);
    xml.boolean("IgnorePublicAcls", block.ignore_public_acls);
    xml.boolean("BlockPublicPolicy", block.block_public_policy);
    xml.boolean("RestrictPublicBuckets", block.restrict_public_buckets);
    xml.close("PublicAccessBlockConfiguration");
    xml.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owner() -> Account {
        Account { canonical_id: "c0".to_owned(), ..Account::new(&"1".repeat(12), "root", "", 0) }
    }

    fn with<T>(ask: impl FnOnce(Accounts<'_>) -> T) -> T {
        ask(Accounts { owner: &owner(), bucket_owner: &owner(), all: &State::default() })
    }

    #[test]
    fn documents_come_back() {
        let acl = Acl {
            grants: vec![
                Grant { grantee: grantee(&owner()), permission: Permission::FullControl },
                Grant { grantee: Grantee::AllUsers, permission: Permission::Read },
            ],
        };
        assert_eq!(with(|accounts| parse(&write(&acl, &owner()), accounts)).unwrap(), acl);
        let stranger = Account { canonical_id: "c1".to_owned(), ..owner() };
        let of_a_stranger = with(|accounts| parse(&write(&acl, &stranger), accounts));
        let refused = of_a_stranger.unwrap_err();
        assert_eq!((refused.code, refused.fields[0].1.as_str()), (Code::InvalidArgument, "CanonicalUser/ID"));
        let empty = with(|accounts| parse(b"<AccessControlPolicy/>", accounts));
        assert_eq!(empty.unwrap_err().code, Code::MalformedAclError);
        assert_eq!(parse_ownership(&write_ownership(Ownership::ObjectWriter)), Ok(Ownership::ObjectWriter));
        let block = PublicAccessBlock { ignore_public_acls: true, ..PublicAccessBlock::default() };
        assert_eq!(parse_public_access_block(&write_public_access_block(&block)), Ok(block));
    }

    #[test]
    fn headers() {
        let of = |pairs: &[(http::HeaderName, &str)]| {
            let headers = pairs.iter().map(|(n, v)| (n.clone(), v.parse().unwrap())).collect();
            with(|accounts| of_headers(&headers, accounts)).map_err(|error| error.code)
        };
        assert_eq!(of(&[]), Ok(None));
        let canned = of(&[(header::ACL, "public-read-write")]).unwrap().unwrap();
        assert!(canned.is_public() && canned.grants(Permission::Write, None, false));
        assert!(!canned.grants(Permission::Write, None, true));
        assert!(canned.grants(Permission::ReadAcp, Some("c0"), true));
        assert_eq!(of(&[(header::ACL, "public")]), Err(Code::InvalidArgument));
        let granted =
            of(&[(header::GRANT_READ, "uri=\"http://acs.amazonaws.com/groups/global/AllUsers\", id=c0")]);
        assert_eq!(granted.unwrap().unwrap().grants.len(), 2);
        assert_eq!(of(&[(header::GRANT_READ, "id=\"nobody\"")]), Err(Code::InvalidArgument));
        assert_eq!(
            of(&[(header::GRANT_READ, "emailAddress=\"a@b\"")]),
            Err(Code::UnresolvableGrantByEmailAddress)
        );
        let both = [(header::ACL, "private"), (header::GRANT_READ, "id=c0")];
        assert_eq!(of(&both), Err(Code::InvalidRequest));
    }
}
