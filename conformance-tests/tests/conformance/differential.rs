//! The gateway and its own simulation of policies decide the same, whatever the policies are: what `SimulatePrincipalPolicy`
//! foretells of a request is what becomes of it.

mod policies;

use std::cell::RefCell;
use std::fmt::Display;

use anyhow::{Context, bail, ensure};
use conformance_tests::caller::{Answer, Caller, Credentials};
use conformance_tests::server::Server;
use http::Method;
use proptest::test_runner::{Config, RngSeed, TestCaseError, TestError, TestRunner};
use serde_json::json;

use policies::{Case, case, document};

/// Unless `PROPTEST_CASES` says otherwise. A case takes some 15 ms.
const CASES: u32 = 256;
const BUCKET: &str = "differential";
const USER: &str = "differ";
const GROUP: &str = "differs";
const POLICY: &str = "differential";

/// A request that is made, and simulated.
struct Asked {
    action: &'static str,
    /// The bucket's object; or its list with this prefix (`?`, `?home/`). Not for keys.
    target: &'static str,
}

const ASKED: [Asked; 9] = [
    Asked { action: "s3:GetObject", target: "home/differ/object" },
    Asked { action: "s3:GetObject", target: "red/object" },
    Asked { action: "s3:PutObject", target: "home/differ/written" },
    Asked { action: "s3:DeleteObject", target: "red/absent" },
    Asked { action: "s3:ListBucket", target: "?" },
    Asked { action: "s3:ListBucket", target: "?home/differ/" },
    Asked { action: "s3:ListBucket", target: "?red/" },
    Asked { action: "kms:Encrypt", target: "" },
    Asked { action: "kms:DescribeKey", target: "" },
];

impl Asked {
    fn prefix(&self) -> Option<&str> {
        self.target.strip_prefix('?').filter(|prefix| !prefix.is_empty())
    }

    /// What the request tells to conditions.
    fn context(&self) -> Vec<(&'static str, &'static str, &str)> {
        let always = [("aws:SourceIp", "ip", "127.0.0.1"), ("aws:SecureTransport", "boolean", "false")];
        let prefix = self.prefix().map(|prefix| ("s3:prefix", "string", prefix));
        always.into_iter().chain(prefix).collect()
    }
}

/// A gateway with the user, who is given other policies for each case.
struct Scene {
    root: Caller,
    user: Caller,
    account: String,
    boundary_arn: String,
    boundary_version: String,
    key_arn: String,
    key_policy: String,
    /// How many requests were allowed, and how many denied.
    decided: [usize; 2],
}

impl Scene {
    async fn new(server: &Server) -> anyhow::Result<Self> {
        let mut root = Caller::open(&server.endpoint, Credentials::root()).await?;
        let caller = root.sts("GetCallerIdentity", &[]).await?.success()?;
        let account = caller.field("Account").context("an account")?;
        root.s3(Method::PUT, &format!("/{BUCKET}"), "").await?.success()?;
        for key in ["home/differ/object", "red/object"] {
            root.s3(Method::PUT, &format!("/{BUCKET}/{key}"), "x").await?.success()?;
        }
        let key = root.kms("CreateKey", &json!({})).await?.success()?;
        let key: serde_json::Value = serde_json::from_slice(&key.body)?;
        let key_arn = key["KeyMetadata"]["Arn"].as_str().context("a key")?.to_owned();
        let policy = root.kms("GetKeyPolicy", &json!({"KeyId": key_arn})).await?.success()?;
        let policy: serde_json::Value = serde_json::from_slice(&policy.body)?;
        let key_policy = policy["Policy"].as_str().context("its policy")?.to_owned();

        let tag = [("Tags.member.1.Key", "team"), ("Tags.member.1.Value", "red")];
        root.iam("CreateUser", &[("UserName", USER), tag[0], tag[1]]).await?.success()?;
        let key = root.iam("CreateAccessKey", &[("UserName", USER)]).await?.success()?;
        root.iam("CreateGroup", &[("GroupName", GROUP)]).await?.success()?;
        let nothing = document(&[json!({"Effect": "Deny", "Action": "*", "Resource": "*"})]);
        let boundary = [("PolicyName", POLICY), ("PolicyDocument", &*nothing)];
        let boundary = root.iam("CreatePolicy", &boundary).await?.success()?;
        let boundary_arn = boundary.field("Arn").context("a policy")?;
        let user = Caller::open(&server.endpoint, Credentials::of_answer(&key)?).await?;
        Ok(Self {
            root,
            user,
            account,
            boundary_arn,
            boundary_version: "v1".to_owned(),
            key_arn,
            key_policy,
            decided: [0; 2],
        })
    }

    async fn iam(&mut self, action: &str, parameters: &[(&str, &str)]) -> anyhow::Result<Answer> {
        let answer = self.root.iam(action, parameters).await?;
        answer.success().with_context(|| action.to_owned())
    }

    /// As [`Scene::iam`]; what was not there may as well be removed.
    async fn iam_removes(&mut self, action: &str, parameters: &[(&str, &str)]) -> anyhow::Result<()> {
        let answer = self.root.iam(action, parameters).await?;
        match answer.code().as_str() {
            "NoSuchEntity" => Ok(()),
            _ => answer.success().map(drop).with_context(|| action.to_owned()),
        }
    }

    /// Puts the policies of a case in the place of those before it. Those of group and boundary stay where they are when a case has
    /// none: then the user is not in the group, and has no boundary.
    async fn put(&mut self, case: &Case) -> anyhow::Result<()> {
        let user = ("UserName", USER);
        let text = document(&case.user);
        self.iam("PutUserPolicy", &[user, ("PolicyName", POLICY), ("PolicyDocument", &text)]).await?;
        let member = [("GroupName", GROUP), user];
        match &case.group {
            Some(statements) => {
                let text = document(statements);
                let policy = [member[0], ("PolicyName", POLICY), ("PolicyDocument", &*text)];
                self.iam("PutGroupPolicy", &policy).await?;
                self.iam("AddUserToGroup", &member).await?;
            }
            None => self.iam_removes("RemoveUserFromGroup", &member).await?,
        }
        match &case.boundary {
            Some(statements) => {
                let (arn, text) = (self.boundary_arn.clone(), document(statements));
                let arn = ("PolicyArn", arn.as_str());
                let version = [arn, ("PolicyDocument", &*text), ("SetAsDefault", "true")];
                let version = self.iam("CreatePolicyVersion", &version).await?.field("VersionId");
                let version = version.context("a version")?;
                let before = std::mem::replace(&mut self.boundary_version, version);
                self.iam("DeletePolicyVersion", &[arn, ("VersionId", &before)]).await?;
                self.iam("PutUserPermissionsBoundary", &[user, ("PermissionsBoundary", arn.1)]).await?;
            }
            None => self.iam_removes("DeleteUserPermissionsBoundary", &[user]).await?,
        }
        let target = format!("/{BUCKET}?policy=");
        let (method, text) = match &case.bucket {
            Some(statements) => (Method::PUT, document(statements)),
            None => (Method::DELETE, String::new()),
        };
        self.root.s3(method, &target, &text).await?.success().context("the bucket policy")?;
        Ok(())
    }

    /// Does the gateway let the user do it?
    async fn lives(&mut self, asked: &Asked) -> anyhow::Result<bool> {
        let object = format!("/{BUCKET}/{}", asked.target);
        let answer = match asked.action {
            "s3:GetObject" => self.user.s3(Method::GET, &object, "").await?,
            "s3:PutObject" => self.user.s3(Method::PUT, &object, "written").await?,
            "s3:DeleteObject" => self.user.s3(Method::DELETE, &object, "").await?,
            "s3:ListBucket" => {
                let prefix = asked.prefix().map(|prefix| format!("&prefix={}", prefix.replace('/', "%2F")));
                let target = format!("/{BUCKET}?list-type=2{}", prefix.unwrap_or_default());
                self.user.s3(Method::GET, &target, "").await?
            }
            "kms:Encrypt" => {
                self.user.kms("Encrypt", &json!({"KeyId": self.key_arn, "Plaintext": "eA=="})).await?
            }
            _ => self.user.kms("DescribeKey", &json!({"KeyId": self.key_arn})).await?,
        };
        match answer.code().as_str() {
            "AccessDenied" | "AccessDeniedException" => Ok(false),
            "" if answer.status.is_success() => Ok(true),
            // Whoever is told that it is not there has been let in.
            "NoSuchKey" => Ok(true),
            _ => bail!("{}: {}", answer.status, answer.text()),
        }
    }

    /// What the simulation says of it.
    async fn simulated(&mut self, asked: &Asked, case: &Case) -> anyhow::Result<String> {
        let of_key = asked.action.starts_with("kms:");
        let resource = match asked.target {
            _ if of_key => self.key_arn.clone(),
            list if list.starts_with('?') => format!("arn:aws:s3:::{BUCKET}"),
            object => format!("arn:aws:s3:::{BUCKET}/{object}"),
        };
        let policy = match &case.bucket {
            _ if of_key => Some(self.key_policy.clone()),
            bucket => bucket.as_ref().map(|statements| document(statements)),
        };
        let user = format!("arn:aws:iam::{}:user/{USER}", self.account);
        let owner = format!("arn:aws:iam::{}:root", self.account);
        let mut parameters = vec![
            ("PolicySourceArn".to_owned(), user.as_str()),
            ("ActionNames.member.1".to_owned(), asked.action),
            ("ResourceArns.member.1".to_owned(), &resource),
            ("CallerArn".to_owned(), &user),
            ("ResourceOwner".to_owned(), &owner),
        ];
        if let Some(policy) = &policy {
            parameters.push(("ResourcePolicy".to_owned(), policy));
        }
        let context = asked.context();
        for (n, (name, kind, value)) in (1..).zip(&context) {
            let entry = format!("ContextEntries.member.{n}.ContextKey");
            parameters.push((format!("{entry}Name"), name));
            parameters.push((format!("{entry}Type"), kind));
            parameters.push((format!("{entry}Values.member.1"), value));
        }
        let parameters: Vec<_> = parameters.iter().map(|(name, value)| (name.as_str(), *value)).collect();
        let answer = self.iam("SimulatePrincipalPolicy", &parameters).await?;
        answer.field("EvalDecision").context("a decision")
    }

    async fn agrees(&mut self, case: &Case) -> anyhow::Result<()> {
        self.put(case).await?;
        for asked in &ASKED {
            let (lives, simulated) = (self.lives(asked).await?, self.simulated(asked, case).await?);
            let told = if lives { "allows" } else { "denies" };
            ensure!(
                lives == (simulated == "allowed"),
                "{} of {:?}: the gateway {told} it, the simulation says {simulated}",
                asked.action,
                asked.target,
            );
            self.decided[usize::from(!lives)] += 1;
        }
        Ok(())
    }
}

#[test]
fn the_simulation_foretells_what_the_gateway_decides() {
    let server = Server::start().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let scene = runtime.block_on(Scene::new(&server)).unwrap();
    let case = case(&scene.account);
    let scene = RefCell::new(scene);
    let mut config = Config { failure_persistence: None, ..Config::default() };
    if std::env::var_os("PROPTEST_CASES").is_none() {
        config.cases = CASES;
    }
    if config.rng_seed == RngSeed::Random {
        let mut seed = [0; 8];
        getrandom::fill(&mut seed).unwrap();
        config.rng_seed = RngSeed::Fixed(u64::from_le_bytes(seed));
    }
    let RngSeed::Fixed(seed) = config.rng_seed else { unreachable!() };
    let tried = TestRunner::new(config).run(&case, |case| {
        let agreed = runtime.block_on(scene.borrow_mut().agrees(&case));
        agreed.map_err(|error| TestCaseError::fail(format!("{error:#}")))
    });
    let repeat: &dyn Display = &format_args!("PROPTEST_RNG_SEED={seed} repeats it");
    match tried {
        Ok(()) => {}
        Err(TestError::Fail(why, case)) => panic!("{why}\nwith the policies {case:?}\n{repeat}"),
        Err(TestError::Abort(why)) => panic!("{why}; {repeat}"),
    }
    let [allowed, denied] = scene.borrow().decided;
    eprintln!("{allowed} allowed, {denied} denied; {repeat}");
    // It would prove nothing if nearly all were denied.
    let all = allowed + denied;
    assert!(allowed * 10 > all && denied * 10 > all, "{allowed} allowed of {all}; {repeat}");
}
