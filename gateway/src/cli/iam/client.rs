//! Requests to IAM.
//! <https://docs.aws.amazon.com/IAM/latest/UserGuide/programming.html>

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use http::{Method, Uri};
use sha2::{Digest, Sha256};
use ureq::Agent;
use zeroize::Zeroizing;

use super::refusal::AskError;
use crate::api::s3::wire::tree::Element;
use crate::auth::sigv4::sign::{Signer, Unsigned, encoded_pairs};
use crate::cli::own_address;
use crate::config::Config;
use crate::http::client::agent;
use crate::instance;

const TIMEOUT: Duration = Duration::from_secs(30);
const VERSION: &str = "2010-05-08";
/// IAM has no regions: whatever the gateway's is, this one is taken.
const REGION: &str = "us-east-1";
const FORM: &str = "application/x-www-form-urlencoded; charset=utf-8";
/// The longest answer.
const MAX_ANSWER_LEN: u64 = 8 << 20;
/// Rows of a page, and pages of a listing.
const PAGE_LEN: &str = "500";
const MAX_PAGES: usize = 1000;

/// Asks IAM, with somebody's credentials.
pub(super) struct Client {
    agent: Agent,
    /// `http://host:port/`.
    url: String,
    host: String,
    credentials: Credentials,
    /// Is JSON printed, for programs?
    pub(super) as_json: bool,
}

struct Credentials {
    access_key_id: String,
    secret_access_key: Zeroizing<String>,
    session_token: Option<Zeroizing<String>>,
    /// Where they are from.
    place: &'static str,
}

impl Client {
    /// A client of the gateway at this URL, or else of the one of this configuration.
    pub(super) fn open(config: &Config, endpoint: Option<&str>, as_json: bool) -> anyhow::Result<Self> {
        let endpoint = endpoint
            .filter(|text| !text.is_empty())
            .map_or_else(|| own(config), |text| Ok(text.to_owned()))?;
        let uri: Uri = endpoint.parse().with_context(|| format!("--endpoint: {endpoint} is no URL"))?;
        let (Some(scheme @ ("http" | "https")), Some(host)) = (uri.scheme_str(), uri.authority()) else {
            bail!("--endpoint: {endpoint} is no URL such as https://s3.example.com:9000");
        };
        ensure!(
            matches!(uri.path(), "" | "/") && uri.query().is_none() && !host.as_str().contains('@'),
            "--endpoint: {endpoint} must be scheme, host and port alone"
        );
        let (url, host) = (format!("{scheme}://{host}/"), host.to_string());
        Ok(Self { agent: agent(TIMEOUT), url, host, credentials: Credentials::find(config)?, as_json })
    }

    /// Has an action carried out; answers its `…Result`.
    pub(super) fn ask(&self, action: &str, parameters: &[(&str, &str)]) -> Result<Element, AskError> {
        let endpoint = || self.url.trim_end_matches('/').to_owned();
        let (status, document) = self
            .send(action, parameters)
            .map_err(|source| AskError::Unreachable { endpoint: endpoint(), source: Box::new(source) })?;
        let not_iam = || AskError::NotIam { endpoint: endpoint(), status };
        if status != 200 {
            let answer = Element::parse(&document, "ErrorResponse").map_err(|_| not_iam())?;
            let error = answer.required("Error").map_err(|_| not_iam())?;
            return Err(AskError::Refused {
                action: action.to_owned(),
                code: text(error, "Code").to_owned(),
                message: text(error, "Message").to_owned(),
                credentials: self.credentials.place,
            });
        }
        let answer = Element::parse(&document, &format!("{action}Response")).map_err(|_| not_iam())?;
        let result = format!("{action}Result");
        Ok(answer.children.into_iter().find(|child| child.name == result).unwrap_or_default())
    }

    /// All rows of a listing: what is in this element, on all its pages.
    pub(super) fn all(
        &self,
        action: &str,
        parameters: &[(&str, &str)],
        element: &str,
    ) -> Result<Vec<Element>, AskError> {
        let (mut rows, mut marker) = (Vec::new(), String::new());
        for _ in 0..MAX_PAGES {
            let mut asked = parameters.to_vec();
            asked.push(("MaxItems", PAGE_LEN));
            if !marker.is_empty() {
                asked.push(("Marker", &marker));
            }
            let page = self.ask(action, &asked)?;
            marker = text(&page, "Marker").to_owned();
            let lists = page.children.into_iter().filter(|child| child.name == element);
            rows.extend(lists.flat_map(|list| list.children));
            if marker.is_empty() {
                return Ok(rows);
            }
        }
        Err(AskError::TooMany(action.to_owned()))
    }

    fn send(&self, action: &str, parameters: &[(&str, &str)]) -> Result<(u16, Vec<u8>), ureq::Error> {
        let of_api = [("Action", action), ("Version", VERSION)];
        let body = encoded_pairs(&[&of_api, parameters].concat());
        let signer = Signer {
            access_key_id: &self.credentials.access_key_id,
            secret_access_key: &self.credentials.secret_access_key,
            session_token: self.credentials.session_token.as_ref().map(|token| token.as_str()),
            region: REGION,
            service: "iam",
        };
        let headers = signer.sign(Unsigned {
            method: &Method::POST,
            path: "/",
            query: "",
            headers: &[("content-type", FORM), ("host", &self.host)],
            payload_hash: &hex::encode(Sha256::digest(&body)),
        });
        let mut request = self.agent.post(&self.url);
        for (name, value) in headers {
            request = request.header(name, value);
        }
        let mut response = request.send(&body)?;
        let document = response.body_mut().with_config().limit(MAX_ANSWER_LEN).read_to_vec()?;
        Ok((response.status().as_u16(), document))
    }
}

impl Credentials {
    /// Those of AWS's variables, or else the gateway's own root user's.
    fn find(config: &Config) -> anyhow::Result<Self> {
        let variable = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
        match (variable("AWS_ACCESS_KEY_ID"), variable("AWS_SECRET_ACCESS_KEY").map(Zeroizing::new)) {
            (Some(access_key_id), Some(secret_access_key)) => {
                let session_token = variable("AWS_SESSION_TOKEN").map(Zeroizing::new);
                let place = "AWS_ACCESS_KEY_ID";
                return Ok(Self { access_key_id, secret_access_key, session_token, place });
            }
            (None, None) => {}
            _ => bail!("set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY together, or neither"),
        }
        let root = instance::Credentials::find(config)?.with_context(|| {
            let file = config.credentials.display();
            format!("no credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (there is no {file})")
        })?;
        let place = match &root.file {
            Some(_) => "the gateway's credentials file",
            None => "SEALGATE_ROOT_ACCESS_KEY_ID",
        };
        let (access_key_id, secret_access_key) = (root.access_key_id, root.secret_access_key);
        Ok(Self { access_key_id, secret_access_key, session_token: None, place })
    }
}

/// Where the gateway of this configuration is.
fn own(config: &Config) -> anyhow::Result<String> {
    let address: SocketAddr = own_address(config);
    ensure!(address.port() != 0, "the gateway takes a free port: tell it with --endpoint");
    let scheme = if config.tls.is_some() { "https" } else { "http" };
    Ok(format!("{scheme}://{address}"))
}

/// The text of an element's child; empty where there is none.
pub(super) fn text<'a>(element: &'a Element, name: &str) -> &'a str {
    element.text_of(name).ok().flatten().unwrap_or_default()
}

/// An element's child; an empty one where there is none.
pub(super) fn child(element: Element, name: &str) -> Element {
    element.children.into_iter().find(|child| child.name == name).unwrap_or_default()
}
