//! Web identity tokens (JWTs of OpenID Connect providers), as AssumeRoleWithWebIdentity takes them.
//! <https://openid.net/specs/openid-connect-core-1_0.html#IDTokenValidation>,
//! <https://docs.aws.amazon.com/IAM/latest/UserGuide/id_roles_providers_create_oidc.html>

mod cache;
mod discovery;
mod keys;
mod session;
mod token;
mod token_endpoints;

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

pub use discovery::is_issuer;
pub use session::SessionClaims;
pub use token::Token;

use crate::http::client;
use cache::Cache;
use keys::Mismatch;
use token_endpoints::TokenEndpoints;

/// How long one request to a provider may take; there are two for its keys.
const TIMEOUT: Duration = Duration::from_secs(3);
/// When it is answered that a provider's keys are not to be had, counted from when it was asked.
const FAILURE_AFTER: Duration = Duration::from_secs(6);

/// A provider that an account has registered.
#[derive(Debug, Clone, Copy)]
pub struct Provider<'p> {
    /// Its issuer, letter by letter as its tokens have it: `https://host[/path]`.
    pub url: &'p str,
    /// The audiences that its tokens may be for.
    pub client_ids: &'p [String],
}

/// Whom a token tells of, once it has been verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebIdentity {
    /// The provider's issuer.
    pub provider_url: String,
    /// Claim `sub`.
    pub subject: String,
    /// The registered client that the token was made for.
    pub audience: String,
    /// Claims by name: strings, numbers, booleans, and lists of them; others are left out. `aud` is the audience above; if that is
    /// `azp`, `oaud` holds what the token has for `aud`.
    /// <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_iam-condition-keys.html>
    pub claims: BTreeMap<String, Vec<String>>,
    /// What it says of the session that it begins.
    pub session: SessionClaims,
    /// When the token expires, in seconds since 1970; the leeway is not added.
    pub expires_unix_s: u64,
}

/// Why a token is refused: a variant for each error code of AssumeRoleWithWebIdentity that there is here, with its message. That keys are
/// not to be had is one answer, whatever the reason, and comes when it would come if nobody answered: who may make providers must not
/// learn which hosts of an inner network listen. The log has the reason.
/// <https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRoleWithWebIdentity.html#API_AssumeRoleWithWebIdentity_Errors>
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WebIdentityError {
    /// `InvalidIdentityToken`: it is no token of this provider for one of these clients.
    #[error("{0}")]
    InvalidIdentityToken(String),
    /// `ExpiredTokenException`.
    #[error("{0}")]
    ExpiredToken(String),
}

impl WebIdentityError {
    /// The account has no provider of this issuer.
    pub fn no_provider(issuer: &str) -> Self {
        Self::invalid(&format!("No OpenIDConnect provider found in your account for {issuer}"))
    }

    fn invalid(message: &str) -> Self {
        Self::InvalidIdentityToken(message.to_owned())
    }

    fn no_verification_key() -> Self {
        // Two blanks: AWS has them.
        Self::invalid(
            "Couldn't retrieve verification key from your identity provider,  please reference \
             AssumeRoleWithWebIdentity documentation for requirements",
        )
    }
}

/// Verifies tokens, and keeps the keys of their providers; one for the process.
pub struct Verifier {
    cache: Cache,
    token_endpoints: TokenEndpoints,
}

impl Default for Verifier {
    fn default() -> Self {
        Self::new()
    }
}

impl Verifier {
    /// Asks nobody yet.
    pub fn new() -> Self {
        let agent = client::agent(TIMEOUT);
        let same = agent.clone();
        Self {
            cache: Cache::new(FAILURE_AFTER, move |issuer| discovery::fetch(&agent, issuer)),
            token_endpoints: TokenEndpoints::new(move |issuer| discovery::token_endpoint(&same, issuer)),
        }
    }

    /// Where an issuer hands tokens out to whoever logs in, as far as it is known by now; asking for it makes it known. Within a runtime
    /// alone.
    pub fn token_endpoint(&self, issuer: &str) -> Option<String> {
        self.token_endpoints.of(issuer)
    }

    /// Verifies a token against the provider that [`Token::issuer`] names: issuer, audience and times first, which cost nothing, then
    /// the signature, for which the provider may have to be asked for its keys.
    ///
    /// # Errors
    /// As AWS has them; that a provider is away matters only while its keys are not known.
    pub async fn verify(
        &self,
        token: &Token<'_>,
        provider: Provider<'_>,
    ) -> Result<WebIdentity, WebIdentityError> {
        let now_unix_s = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let identity = token.check(provider, now_unix_s)?;
        let keys = self.cache.keys(provider.url, token.key_id()).await.map_err(|error| {
            tracing::warn!(issuer = provider.url, %error, "the keys of an identity provider are not to be had");
            WebIdentityError::no_verification_key()
        })?;
        keys.verify(token).map_err(|mismatch| match mismatch {
            Mismatch::NoKey => WebIdentityError::no_verification_key(),
            Mismatch::Signature => WebIdentityError::invalid("The token's signature is not its provider's"),
        })?;
        Ok(identity)
    }
}
