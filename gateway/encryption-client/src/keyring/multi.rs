//! Several keyrings as one.

use std::sync::Arc;

use async_trait::async_trait;

use super::Keyring;
use crate::description::Description;
use crate::envelope::WrappedKey;
use crate::error::KeyringError;
use crate::key::DataKey;
use crate::suite::ContentSuite;

/// Wraps with one keyring and opens with any: to move from one key to another.
#[derive(Debug, Clone)]
pub struct MultiKeyring {
    wrapping: Arc<dyn Keyring>,
    others: Vec<Arc<dyn Keyring>>,
}

impl MultiKeyring {
    /// Wraps with `wrapping`; opens with it and, where it can't, with `others` one after the other.
    pub fn new(wrapping: Arc<dyn Keyring>, others: Vec<Arc<dyn Keyring>>) -> Self {
        Self { wrapping, others }
    }
}

#[async_trait]
impl Keyring for MultiKeyring {
    async fn generate(
        &self,
        suite: ContentSuite,
        context: &Description,
    ) -> Result<(DataKey, WrappedKey), KeyringError> {
        self.wrapping.generate(suite, context).await
    }

    async fn wrap(
        &self,
        key: &DataKey,
        suite: ContentSuite,
        context: &Description,
    ) -> Result<WrappedKey, KeyringError> {
        self.wrapping.wrap(key, suite, context).await
    }

    async fn open(
        &self,
        wrapped: &WrappedKey,
        suite: ContentSuite,
        context: &Description,
    ) -> Result<DataKey, KeyringError> {
        let mut errors = Vec::new();
        for keyring in std::iter::once(&self.wrapping).chain(&self.others) {
            match keyring.open(wrapped, suite, context).await {
                Ok(key) => return Ok(key),
                Err(error) => errors.push(error),
            }
        }
        Err(KeyringError::None(errors))
    }
}
