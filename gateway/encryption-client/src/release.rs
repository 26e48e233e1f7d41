//! What happens to a body until it is authenticated.

use std::path::PathBuf;

/// When opened bytes are handed on. AES-GCM's tag is at the end: who hands on bytes before has not seen it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Release {
    /// Nothing before the whole body is authenticated. It is held sealed meanwhile.
    AfterAuthentication {
        /// The longest body that is held in memory, in plain bytes.
        max_memory: u64,
        /// The folder in which longer ones are held, in a file without a name, sealed. Without one they are refused.
        spool: Option<PathBuf>,
    },
    /// Each piece at once; the last one fails if the body was not authentic. Whatever was done with the others by then was done with
    /// bytes that anybody may have written.
    Delayed,
}

impl Default for Release {
    /// 64 MiB in memory, as AWS's clients have it, and longer bodies in the system's temporary folder.
    fn default() -> Self {
        Self::AfterAuthentication { max_memory: 64 << 20, spool: Some(std::env::temp_dir()) }
    }
}
