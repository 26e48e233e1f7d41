//! The fields of a form, and its file: read once, for the policy that judges them and for the object that is made of them.
//! <https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-HTTPPOSTForms.html>

use futures_util::{StreamExt, TryStreamExt};
use http::header::{IF_MATCH, IF_NONE_MATCH};
use http::{HeaderMap, HeaderName, HeaderValue};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use crate::api::s3::error::{Code, S3Error};
use crate::api::s3::wire::tagging;
use crate::http::body::{ByteStream, RequestBody, StreamError};
use crate::http::gate::Gate;
use crate::http::header;

/// The most bytes of the fields before the file.
const FIELDS_MAX_LEN: usize = 20 << 10;
/// The most fields.
const MAX_FIELDS: usize = 100;
/// Stands in a field for the name of the user's file.
const FILENAME: &str = "${filename}";

/// Fields that are headers of a PUT by the same name.
const HEADER_FIELDS: [HeaderName; 6] = [
    http::header::CACHE_CONTROL,
    http::header::CONTENT_TYPE,
    http::header::CONTENT_DISPOSITION,
    http::header::CONTENT_ENCODING,
    http::header::CONTENT_LANGUAGE,
    http::header::EXPIRES,
];

/// A form up to its file.
pub(super) struct Form {
    /// By lower-case names, in order; no two have the same name, and the name of the user's file stands where they ask for it.
    pub(super) fields: Vec<(String, String)>,
    pub(super) file: ByteStream,
}

impl Form {
    /// Reads the fields of a body with this boundary.
    ///
    /// # Errors
    /// `MalformedPOSTRequest`, `MaxPostPreDataLengthExceededError`; `InvalidArgument` for a field that comes twice, or no file.
    pub(super) async fn read(body: RequestBody, boundary: String) -> Result<Self, S3Error> {
        let malformed = |_| S3Error::new(Code::MalformedPostRequest);
        let too_long = || S3Error::new(Code::MaxPostPreDataLengthExceededError);
        let (gate, pieces) = Gate::before(body);
        let mut parts = multer::Multipart::new(pieces, boundary);
        let mut fields = Vec::new();
        let mut len = 0;
        while let Some(mut part) =
            gate.within(parts.next_field()).await.ok_or_else(too_long)?.map_err(malformed)?
        {
            let name = part.name().unwrap_or_default().to_ascii_lowercase();
            if name == "file" {
                let filename = part.file_name().and_then(|name| name.rsplit(['/', '\\']).next());
                let fields = expanded(fields, filename.unwrap_or_default())?;
                let mut file = part.map_err(|error| Box::new(error) as StreamError);
                // It is asked for once it is known who sends it, and that he may.
                let file = futures_util::stream::poll_fn(move |cx| {
                    gate.open();
                    file.poll_next_unpin(cx)
                });
                return Ok(Self { fields, file: file.boxed() });
            }
            let mut value = Vec::new();
            while let Some(piece) =
                gate.within(part.chunk()).await.ok_or_else(too_long)?.map_err(malformed)?
            {
                len += piece.len();
                if len > FIELDS_MAX_LEN {
                    return Err(Code::MaxPostPreDataLengthExceededError.into());
                }
                value.extend_from_slice(&piece);
            }
            len += name.len();
            if len > FIELDS_MAX_LEN || fields.len() == MAX_FIELDS {
                return Err(Code::MaxPostPreDataLengthExceededError.into());
            }
            let value = String::from_utf8(value).map_err(|_| Code::MalformedPostRequest)?;
            refuse_repeated(&fields, &name)?;
            fields.push((name, value));
        }
        Err(S3Error::new(Code::InvalidArgument)
            .message("POST requires exactly one file upload per request.")
            .field("ArgumentName", "file")
            .field("ArgumentValue", "0"))
    }

    /// The value of a field.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(field, _)| field == name).map(|(_, value)| value.as_str())
    }

    /// The headers of a PUT that comes to the same; what only signs the form is left out.
    pub(super) fn headers(&self, of_request: &HeaderMap) -> Result<HeaderMap, S3Error> {
        let mut headers = HeaderMap::new();
        for name in
            [http::header::HOST, http::header::REFERER, http::header::USER_AGENT, http::header::ORIGIN]
        {
            if let Some(value) = of_request.get(&name) {
                headers.insert(name, value.clone());
            }
        }
        for (field, given) in &self.fields {
            if header::is_signing_parameter(field) {
                continue;
            }
            let name = match HeaderName::try_from(field.as_str()) {
                Ok(_) if field == "acl" => header::ACL,
                Ok(name) if field.starts_with(header::AMZ_PREFIX) || HEADER_FIELDS.contains(&name) => name,
                Ok(name) if name == IF_MATCH || name == IF_NONE_MATCH => {
                    return Err(S3Error::not_implemented(format_args!("The field {name} of a form")));
                }
                _ => continue,
            };
            let value = match HEADER_FIELDS.contains(&name) {
                // What has no place in ISO-8859-1 becomes a space, as on AWS.
                true => given.chars().map(|letter| u8::try_from(letter).unwrap_or(b' ')).collect(),
                false => given.as_bytes().to_vec(),
            };
            let value = HeaderValue::from_bytes(&value)
                .map_err(|_| S3Error::invalid_argument("Invalid Argument", field, given))?;
            headers.insert(name, value);
        }
        if let Some(document) = self.get("tagging") {
            let tags = tagging::of_form(document.as_bytes())?;
            let encoded = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
            let pairs: Vec<String> =
                tags.iter().map(|(n, v)| format!("{}={}", encoded(n), encoded(v))).collect();
            let invalid = |_| S3Error::invalid_argument("Invalid Argument", "tagging", document);
            headers.insert(header::TAGGING, HeaderValue::from_str(&pairs.join("&")).map_err(invalid)?);
        }
        Ok(headers)
    }
}

/// Refuses a second field of one name: which of them would be judged, and which would hold?
fn refuse_repeated(fields: &[(String, String)], name: &str) -> Result<(), S3Error> {
    let meaning = |name: &str| match name {
        "acl" => header::ACL.as_str().to_owned(),
        "tagging" => header::TAGGING.as_str().to_owned(),
        name => name.to_owned(),
    };
    if fields.iter().any(|(other, _)| meaning(other) == meaning(name)) {
        let message = format!("POST must not contain the field '{name}' more than once.");
        return Err(S3Error::new(Code::InvalidArgument).message(message).field("ArgumentName", name));
    }
    Ok(())
}

/// The fields with the name of the user's file in the place of its variable; without a name it stays as it is.
fn expanded(mut fields: Vec<(String, String)>, filename: &str) -> Result<Vec<(String, String)>, S3Error> {
    if filename.is_empty() {
        return Ok(fields);
    }
    let mut room = FIELDS_MAX_LEN;
    for (_, value) in &mut fields {
        let len = value.len() + value.matches(FILENAME).count() * filename.len();
        room = room.checked_sub(len).ok_or(Code::MaxPostPreDataLengthExceededError)?;
        *value = value.replace(FILENAME, filename);
    }
    Ok(fields)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn the_name_of_the_file_is_put_into_every_field() {
        let asked = fields(&[("key", "user/${filename}"), ("x-amz-meta-name", "${filename}:${filename}")]);
        let wanted = fields(&[("key", "user/a.txt"), ("x-amz-meta-name", "a.txt:a.txt")]);
        assert_eq!(expanded(asked.clone(), "a.txt").unwrap(), wanted);
        assert_eq!(expanded(asked.clone(), "").unwrap(), asked);
        // What the name itself says is not read again.
        assert_eq!(expanded(fields(&[("key", "${filename}")]), "${filename}x").unwrap()[0].1, "${filename}x");
        let many = fields(&[("x-ignore-a", &"${filename}".repeat(1000))]);
        let refused = expanded(many, &"n".repeat(1000)).unwrap_err();
        assert_eq!(refused.code, Code::MaxPostPreDataLengthExceededError);
    }

    #[test]
    fn no_field_comes_twice() {
        let known = fields(&[("key", "a"), ("acl", "private"), ("x-amz-tagging", "a=b")]);
        for again in ["key", "acl", "x-amz-acl", "tagging", "x-amz-tagging"] {
            assert_eq!(refuse_repeated(&known, again).unwrap_err().code, Code::InvalidArgument, "{again}");
        }
        assert!(refuse_repeated(&known, "policy").is_ok());
    }
}
