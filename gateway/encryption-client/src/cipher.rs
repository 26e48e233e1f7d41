//! Objects sealed and opened by a keyring and settings. It does no input or output but what the keyring does.

use std::sync::Arc;

use crate::content::{OpeningKey, SealingKey};
use crate::description::Description;
use crate::envelope::{Envelope, INSTRUCTION_FILE_SUFFIX, Placement, Version};
use crate::error::{Error, PolicyError};
use crate::keyring::Keyring;
use crate::release::Release;
use crate::suite::{CommitmentPolicy, ContentSuite};

/// How objects are sealed, and which ones are opened. The defaults are those of AWS's clients of version 4.
#[derive(Debug, Clone)]
pub struct Settings {
    pub(crate) suite: ContentSuite,
    pub(crate) policy: CommitmentPolicy,
    pub(crate) placement: Placement,
    pub(crate) instruction_file_suffix: String,
    pub(crate) release: Release,
    pub(crate) legacy_unauthenticated_modes: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            suite: ContentSuite::Aes256GcmHkdfSha512CommitKey,
            policy: CommitmentPolicy::default(),
            placement: Placement::default(),
            instruction_file_suffix: INSTRUCTION_FILE_SUFFIX.to_owned(),
            release: Release::default(),
            legacy_unauthenticated_modes: false,
        }
    }
}

impl Settings {
    /// The defaults: V3 is written and nothing else opened; the key is in the metadata; nothing is released before it is authenticated.
    pub fn new() -> Self {
        Self::default()
    }

    /// Which suite objects are sealed with. It must be one that the commitment policy allows.
    #[must_use]
    pub fn suite(mut self, suite: ContentSuite) -> Self {
        self.suite = suite;
        self
    }

    /// Which suites are allowed.
    #[must_use]
    pub fn commitment_policy(mut self, policy: CommitmentPolicy) -> Self {
        self.policy = policy;
        self
    }

    /// Where the key goes.
    #[must_use]
    pub fn placement(mut self, placement: Placement) -> Self {
        self.placement = placement;
        self
    }

    /// What the names of instruction files end with.
    #[must_use]
    pub fn instruction_file_suffix(mut self, suffix: impl Into<String>) -> Self {
        self.instruction_file_suffix = suffix.into();
        self
    }

    /// What happens to a body until it is authenticated.
    #[must_use]
    pub fn release(mut self, release: Release) -> Self {
        self.release = release;
        self
    }

    /// Opens AES-CBC, which authenticates nothing.
    #[must_use]
    pub fn enable_legacy_unauthenticated_modes(mut self) -> Self {
        self.legacy_unauthenticated_modes = true;
        self
    }
}

/// Seals and opens objects.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
/// use s3_encryption_client::keyring::AesKeyring;
/// use s3_encryption_client::{Description, Envelope, Located, ObjectCipher, Placement, Settings};
///
/// let keyring = AesKeyring::new(&[7; 32])?;
/// let cipher = ObjectCipher::new(std::sync::Arc::new(keyring), Settings::new())?;
///
/// let (key, envelope) = cipher.seal(&Description::new()).await?;
/// let mut body = b"what nobody else may read".to_vec();
/// key.seal(&mut body)?;
/// let metadata = envelope.to_parts(Placement::Metadata)?.metadata; // goes with the body as x-amz-meta-…
///
/// let Located::Whole(envelope) = Envelope::locate(&metadata)? else { panic!("it is in an instruction file") };
/// cipher.open(&envelope, &Description::new()).await?.open(&mut body)?;
/// assert_eq!(body, b"what nobody else may read");
/// # Ok::<(), Box<dyn std::error::Error>>(()) })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct ObjectCipher {
    keyring: Arc<dyn Keyring>,
    settings: Settings,
}

impl ObjectCipher {
    /// Seals and opens by this keyring.
    ///
    /// # Errors
    /// When the settings contradict each other.
    pub fn new(keyring: Arc<dyn Keyring>, settings: Settings) -> Result<Self, Error> {
        let Settings { suite, policy, .. } = settings;
        if !suite.authenticates() {
            return Err(PolicyError::ReadOnly(suite).into());
        }
        if !policy.allows_sealing_with(suite) {
            return Err(PolicyError::Seal { policy, suite }.into());
        }
        Ok(Self { keyring, settings })
    }

    /// The settings.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// A key for one body, and the envelope that goes with it.
    ///
    /// # Errors
    /// When the keyring makes no key.
    pub async fn seal(&self, context: &Description) -> Result<(SealingKey, Envelope), Error> {
        let suite = self.settings.suite;
        let (data_key, wrapped_key) = self.keyring.generate(suite, context).await?;
        let (key, nonces, commitment) = SealingKey::new(suite, &data_key)?;
        let version = if suite.commits() { Version::V3 } else { Version::V2 };
        let envelope = Envelope { version, suite, nonces, commitment, wrapped_key, claimed_plain_len: None };
        Ok((key, envelope))
    }

    /// The key of the body that has this envelope.
    ///
    /// # Errors
    /// When settings forbid it, the keyring does not open the data key, or it is not the one that the envelope commits to.
    pub async fn open(&self, envelope: &Envelope, context: &Description) -> Result<OpeningKey, Error> {
        let suite = envelope.suite;
        if !suite.authenticates() && !self.settings.legacy_unauthenticated_modes {
            return Err(PolicyError::Unauthenticated { suite }.into());
        }
        if !self.settings.policy.allows_opening(suite) {
            return Err(PolicyError::NotCommitting { suite }.into());
        }
        let data_key = self.keyring.open(&envelope.wrapped_key, suite, context).await?;
        OpeningKey::new(suite, data_key, envelope.nonces, envelope.commitment.as_ref())
    }

    /// The same body's envelope with its data key wrapped by another keyring. The body stays as it is, and the former envelope opens it
    /// for as long as somebody has it and its key.
    ///
    /// # Errors
    /// When it does not open here, or the other keyring does not wrap.
    pub async fn rewrap(
        &self,
        envelope: &Envelope,
        context: &Description,
        to: &dyn Keyring,
        new_context: &Description,
    ) -> Result<Envelope, Error> {
        // With the commitment: a key that is not the body's is not handed on.
        self.open(envelope, context).await?;
        let data_key = self.keyring.open(&envelope.wrapped_key, envelope.suite, context).await?;
        Ok(envelope.rewrapped(to.wrap(&data_key, envelope.suite, new_context).await?))
    }
}

#[cfg(test)]
mod tests;
