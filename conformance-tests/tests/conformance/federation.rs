//! Logins with what people have already: tokens of an OpenID Connect provider, passwords of a directory.

use std::collections::BTreeMap;

use conformance_tests::installed;
use conformance_tests::server::Server;
use conformance_tests::slapd::{BASE, GROUPS, PEOPLE, Slapd};

/// The role of logins that name none; the script makes it.
const ROLE_NAME: &str = "people";
const ACCOUNT_ID: &str = "111122223333";

#[test]
fn tokens_of_an_openid_connect_provider() {
    installed::run_client(&Server::start().unwrap(), "oidc.py", &[]).unwrap();
}

/// The directory over plain TCP on this host, and over StartTLS.
#[test]
fn passwords_of_a_directory() {
    let slapd = Slapd::start().unwrap();
    let role = format!("arn:aws:iam::{ACCOUNT_ID}:role/{ROLE_NAME}");
    let mut plain = slapd.arguments();
    plain.extend(["--account-id", ACCOUNT_ID, "--ldap-role-arn", &role].map(str::to_owned));
    let mut tls = plain.clone();
    let url = tls.iter_mut().find(|argument| **argument == slapd.url()).unwrap();
    *url = slapd.start_tls_url();
    let ca_file = slapd.ca_file();
    tls.extend(["--ldap-start-tls", "true", "--ldap-ca-file", ca_file.to_str().unwrap()].map(str::to_owned));
    let people = serde_json::to_string(&BTreeMap::from(PEOPLE)).unwrap();
    let groups = serde_json::to_string(&BTreeMap::from(GROUPS)).unwrap();
    let variables = [
        ("LDAP_BASE", BASE.to_owned()),
        ("LDAP_PEOPLE", people),
        ("LDAP_GROUPS", groups),
        ("LDAP_ROLE_NAME", ROLE_NAME.to_owned()),
    ];
    for arguments in [plain, tls] {
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        installed::run_client(&Server::start_with(&arguments).unwrap(), "ldap.py", &variables).unwrap();
    }
}
