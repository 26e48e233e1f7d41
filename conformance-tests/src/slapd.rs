//! A directory: OpenLDAP's slapd on a free port of this host, with people and groups.

use std::fmt::Write as _;
use std::fs::File;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use tempfile::TempDir;

/// Below what everything is.
pub const BASE: &str = "dc=example,dc=com";
/// Who looks people up.
pub const LOOKUP_DN: &str = "cn=lookup,dc=example,dc=com";
/// That one's password.
pub const LOOKUP_PASSWORD: &str = "the password of lookup";
/// Names and passwords of people: `uid=NAME,ou=people` below [`BASE`].
pub const PEOPLE: [(&str, &str); 3] =
    [("ada", "countess of lovelace"), ("grace", "bugs & moths"), ("o(*)\\x", "a name to be escaped")];
/// Names of groups and who is in them: `cn=NAME,ou=groups` below [`BASE`].
pub const GROUPS: [(&str, &[&str]); 3] =
    [("engineers", &["ada", "o(*)\\x"]), ("analysts", &["ada"]), ("admirals", &["grace"])];
/// How long a start may take: the machine may be busy.
const START_TIMEOUT: Duration = Duration::from_secs(30);
/// Where distributions put it.
const PLACES: [&str; 4] =
    ["/usr/sbin/slapd", "/usr/lib/openldap/slapd", "/usr/libexec/slapd", "/usr/local/libexec/slapd"];

/// A running slapd, stopped when it is dropped.
pub struct Slapd {
    child: Child,
    port: u16,
    folder: TempDir,
}

impl Slapd {
    /// Starts one, with [`PEOPLE`] and [`GROUPS`]; they may be read by [`LOOKUP_DN`] alone.
    ///
    /// # Errors
    /// When slapd or ldapadd is not installed, or does not succeed.
    pub fn start() -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let path = |name: &str| folder.path().join(name);
        std::fs::create_dir(path("db"))?;
        std::fs::write(path("lookup-password"), LOOKUP_PASSWORD)?;
        std::fs::write(path("slapd.conf"), configuration(folder.path())?)?;
        std::fs::write(path("content.ldif"), content()?)?;
        // Profiles of AppArmor go by the program's path, and would keep it out of the folder.
        let installed = PLACES.iter().find(|place| Path::new(place).exists());
        std::fs::copy(installed.context("install slapd")?, path("slapd"))?;
        certificate(folder.path())?;
        let port = free_port()?;
        let url = format!("ldap://127.0.0.1:{port}");
        let child = Command::new(path("slapd"))
            .args(["-d", "0", "-h", &url, "-f"])
            .arg(path("slapd.conf"))
            .stdin(Stdio::null())
            .stderr(File::create(path("log"))?)
            .spawn()?;
        let mut slapd = Self { child, port, folder };
        slapd.wait()?;
        let added = Command::new("ldapadd")
            .args(["-x", "-H", &url, "-D", &format!("cn=admin,{BASE}"), "-w", "admin", "-f"])
            .arg(slapd.folder.path().join("content.ldif"))
            .output()
            .context("install ldap-utils")?;
        ensure!(added.status.success(), "{}", String::from_utf8_lossy(&added.stderr));
        Ok(slapd)
    }

    /// `ldap://127.0.0.1:PORT`; [`Slapd::start_tls_url`] has the name that its certificate is for.
    pub fn url(&self) -> String {
        format!("ldap://127.0.0.1:{}", self.port)
    }

    /// `ldap://localhost:PORT`, for StartTLS.
    pub fn start_tls_url(&self) -> String {
        format!("ldap://localhost:{}", self.port)
    }

    /// The certificate that StartTLS is to trust.
    pub fn ca_file(&self) -> PathBuf {
        self.folder.path().join("tls.crt")
    }

    /// The file of the password of [`LOOKUP_DN`].
    pub fn lookup_password_file(&self) -> PathBuf {
        self.folder.path().join("lookup-password")
    }

    /// The arguments of a gateway that uses it.
    pub fn arguments(&self) -> Vec<String> {
        let file = self.lookup_password_file().display().to_string();
        let (people, groups) = (format!("ou=people,{BASE}"), format!("ou=groups,{BASE}"));
        let settings = [
            ("--ldap-url", self.url()),
            ("--ldap-lookup-dn", LOOKUP_DN.to_owned()),
            ("--ldap-lookup-password-file", file),
            ("--ldap-user-base", people),
            ("--ldap-group-base", groups),
        ];
        settings.into_iter().flat_map(|(name, value)| [name.to_owned(), value]).collect()
    }

    /// Until it answers, or has ended.
    fn wait(&mut self) -> anyhow::Result<()> {
        let began = Instant::now();
        while TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).is_err() {
            let log = || std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
            let ended = self.child.try_wait()?;
            ensure!(ended.is_none() && began.elapsed() < START_TIMEOUT, "slapd does not start: {}", log());
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }
}

impl Drop for Slapd {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A port that was free a moment ago: slapd does not tell which it takes by itself.
fn free_port() -> anyhow::Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}

fn configuration(folder: &Path) -> anyhow::Result<String> {
    let schemas = ["/etc/ldap/schema", "/etc/openldap/schema"];
    let schemas = schemas.iter().find(|place| Path::new(place).is_dir()).context("slapd has no schemas")?;
    let folder = folder.display();
    let modules = ["/usr/lib/ldap", "/usr/lib/openldap", "/usr/lib64/openldap"];
    let module = match modules.iter().find(|place| Path::new(place).join("back_mdb.so").exists()) {
        Some(place) => format!("modulepath {place}\nmoduleload back_mdb"),
        // It is built in.
        None => String::new(),
    };
    Ok(format!(
        r#"include {schemas}/core.schema
include {schemas}/cosine.schema
include {schemas}/inetorgperson.schema
pidfile {folder}/pid
{module}
TLSCertificateFile {folder}/tls.crt
TLSCertificateKeyFile {folder}/tls.key
database mdb
suffix "{BASE}"
rootdn "cn=admin,{BASE}"
rootpw admin
directory {folder}/db
access to attrs=userPassword by anonymous auth by * none
access to * by dn.exact="{LOOKUP_DN}" read by * none
"#
    ))
}

/// Escapes a name for a DN (RFC 4514): backslashes are all that occur.
fn of_dn(name: &str) -> String {
    name.replace('\\', "\\\\")
}

fn content() -> anyhow::Result<String> {
    let mut ldif = format!(
        "dn: {BASE}\nobjectClass: dcObject\nobjectClass: organization\no: example\n\n\
         dn: {LOOKUP_DN}\nobjectClass: organizationalRole\nobjectClass: simpleSecurityObject\ncn: lookup\n\
         userPassword: {LOOKUP_PASSWORD}\n\n"
    );
    for unit in ["people", "groups"] {
        write!(ldif, "dn: ou={unit},{BASE}\nobjectClass: organizationalUnit\nou: {unit}\n\n")?;
    }
    for (name, password) in PEOPLE {
        let dn = of_dn(name);
        write!(ldif, "dn: uid={dn},ou=people,{BASE}\nobjectClass: inetOrgPerson\nuid: {name}\n")?;
        write!(ldif, "cn: {name}\nsn: {name}\nuserPassword: {password}\n\n")?;
    }
    for (name, members) in GROUPS {
        write!(ldif, "dn: cn={name},ou=groups,{BASE}\nobjectClass: groupOfNames\ncn: {name}\n")?;
        for member in members {
            writeln!(ldif, "member: uid={},ou=people,{BASE}", of_dn(member))?;
        }
        ldif.push('\n');
    }
    Ok(ldif)
}

/// A certificate for `localhost` that signs itself.
fn certificate(folder: &Path) -> anyhow::Result<()> {
    let made = Command::new("openssl")
        .args([
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:prime256v1",
            "-noenc",
            "-days",
        ])
        .args(["30", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"])
        .args(["-addext", "basicConstraints=critical,CA:FALSE", "-keyout"])
        .arg(folder.join("tls.key"))
        .arg("-out")
        .arg(folder.join("tls.crt"))
        .output()
        .context("install openssl")?;
    ensure!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    Ok(())
}
