//! What other gateways change: taken over by the documents that changed, or else by reading everything.

use storage::catalog::ShelfState;

use super::error::IamError;
use super::record::{self, SHELF};
use super::store::{Iam, of_catalog};

impl Iam {
    /// The shelf of the catalog on which identities are.
    pub const SHELF: &'static str = SHELF;

    /// Which state of the shelf is in memory.
    pub fn shelf_state(&self) -> ShelfState {
        self.state().shelf
    }

    /// The catalog's shelf was seen in state `seen`, while state `known` was in memory: takes over what lies between. Once, for all who
    /// find it so.
    ///
    /// # Errors
    /// Where it can't be read: what is in memory is of a former state then.
    pub async fn catch_up(&self, known: ShelfState, seen: ShelfState) -> Result<(), IamError> {
        let _turn = self.changing.lock().await;
        let current = self.shelf_state();
        // A state that is older than one that was in memory before it was asked for is that of a map that was put back.
        match current != known && current >= seen {
            true => Ok(()),
            false => self.follow().await,
        }
    }

    pub(super) async fn follow(&self) -> Result<(), IamError> {
        let state = self.state();
        let (shelf, changed) = self.catalog.documents_since(SHELF, state.shelf).await.map_err(of_catalog)?;
        let next = changed.map(|changed| record::apply(&state, shelf, changed)).transpose()?.flatten();
        match next {
            Some(next) => {
                *self.current.write() = std::sync::Arc::new(next);
                Ok(())
            }
            None => self.reload().await,
        }
    }
}
