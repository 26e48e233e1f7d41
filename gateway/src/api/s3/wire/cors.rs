//! `CORSConfiguration`.

use super::tree::Element;
use super::xml::{MalformedXml, XmlWriter};
use crate::api::s3::error::{Code, S3Error};
use crate::bucket::{Cors, CorsRule};

const MAX_RULES: usize = 100;
const METHODS: [&str; 5] = ["GET", "PUT", "POST", "DELETE", "HEAD"];

/// Reads the rules.
pub fn parse(document: &[u8]) -> Result<Cors, S3Error> {
    let root = Element::parse(document, "CORSConfiguration")?;
    root.only(&["CORSRule"])?;
    let rules: Vec<CorsRule> = root.children.iter().map(rule).collect::<Result<_, _>>()?;
    if rules.is_empty() || rules.len() > MAX_RULES {
        return Err(MalformedXml.into());
    }
    Ok(Cors { rules })
}

fn rule(element: &Element) -> Result<CorsRule, S3Error> {
    element.only(&[
        "ID",
        "AllowedOrigin",
        "AllowedMethod",
        "AllowedHeader",
        "ExposeHeader",
        "MaxAgeSeconds",
    ])?;
    let rule = CorsRule {
        id: element.text_of("ID")?.map(str::to_owned),
        origins: element.texts_of("AllowedOrigin"),
        methods: element.texts_of("AllowedMethod"),
        headers: element.texts_of("AllowedHeader"),
        exposed: element.texts_of("ExposeHeader"),
        max_age_s: element.number_of("MaxAgeSeconds")?,
    };
    if rule.origins.is_empty() || rule.methods.is_empty() || rule.id.as_ref().is_some_and(|id| id.len() > 255)
    {
        return Err(MalformedXml.into());
    }
    let refuse = |message: String| Err(S3Error::new(Code::InvalidRequest).message(message));
    if let Some(method) = rule.methods.iter().find(|method| !METHODS.contains(&method.as_str())) {
        return refuse(format!(
            "Found unsupported HTTP method in CORS config. Unsupported method is {method}"
        ));
    }
    for (what, values) in [("AllowedOrigin", &rule.origins), ("AllowedHeader", &rule.headers)] {
        if let Some(value) = values.iter().find(|value| value.matches('*').count() > 1) {
            return refuse(format!("{what} \"{value}\" can not have more than one wildcard."));
        }
    }
    if let Some(value) = rule.exposed.iter().find(|value| value.contains('*')) {
        return refuse(format!(
            "ExposeHeader \"{value}\" contains wildcard. We currently do not support wildcard for ExposeHeader."
        ));
    }
    Ok(rule)
}

/// Writes the rules.
pub fn write(cors: &Cors) -> Vec<u8> {
    let mut xml = XmlWriter::document(512);
    xml.root("CORSConfiguration");
    for rule in &cors.rules {
        xml.open("CORSRule");
        xml.optional("ID", rule.id.as_deref());
        for (name, values) in [
            ("AllowedMethod", &rule.methods),
            ("AllowedOrigin", &rule.origins),
            ("AllowedHeader", &rule.headers),
            ("ExposeHeader", &rule.exposed),
        ] {
            values.iter().for_each(|value| xml.text(name, value));
        }
        if let Some(age) = rule.max_age_s {
            xml.number("MaxAgeSeconds", age.into());
        }
        xml.close("CORSRule");
    }
    xml.close("CORSConfiguration");
    xml.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_come_back_and_bad_ones_do_not() {
        let parse = |inner: &str| {
            parse(format!("<CORSConfiguration><CORSRule>{inner}</CORSRule></CORSConfiguration>").as_bytes())
                .map_err(|error| error.code)
        };
        let good = "<AllowedOrigin>https://*.a</AllowedOrigin><AllowedMethod>GET</AllowedMethod>";
        let cors = parse(&format!(
            "{good}<AllowedHeader>*</AllowedHeader><MaxAgeSeconds>3</MaxAgeSeconds><ID>i</ID>"
        ))
        .unwrap();
        assert_eq!(super::parse(&write(&cors)).unwrap(), cors);
        assert_eq!(parse("<AllowedMethod>GET</AllowedMethod>"), Err(Code::MalformedXml));
        assert_eq!(
            parse(&format!("{good}<AllowedMethod>OPTIONS</AllowedMethod>")),
            Err(Code::InvalidRequest)
        );
        assert_eq!(parse(&format!("{good}<AllowedOrigin>*a*</AllowedOrigin>")), Err(Code::InvalidRequest));
        assert_eq!(parse(&format!("{good}<ExposeHeader>*</ExposeHeader>")), Err(Code::InvalidRequest));
        assert!(super::parse(b"<CORSConfiguration/>").is_err());
    }
}
