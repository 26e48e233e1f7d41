//! Gateways over what they share, each with a proxy before the database and one before the store of blobs.

use anyhow::ensure;
use bytes::Bytes;
use conformance_tests::cluster::Cluster;
use conformance_tests::proxy::Proxy;
use conformance_tests::server::{Places, Server};
use http::Method;

use super::gates::Gates;
use super::load::{BUCKET, Client};

/// Blobs of what was deleted are to go at once, and no content is to be kept in its record but the shortest.
pub(crate) const USUAL: [&str; 4] = ["--blob-retention-s", "0", "--inline-len", "2048"];

/// A gateway, and what is between it and what it works over.
pub(crate) struct Gateway {
    pub(crate) server: Server,
    pub(crate) to_map: Proxy,
    pub(crate) to_blobs: Proxy,
    places: Places,
}

/// All of it.
pub(crate) struct Stage {
    pub(crate) cluster: Cluster,
    pub(crate) gateways: Vec<Gateway>,
    pub(crate) gates: Gates,
}

impl Stage {
    /// Starts so many gateways, and makes the bucket.
    pub(crate) async fn start(count: usize) -> anyhow::Result<Self> {
        Self::over(tokio::task::block_in_place(Cluster::start)?, count).await
    }

    /// As [`Stage::start`], over this.
    pub(crate) async fn over(cluster: Cluster, count: usize) -> anyhow::Result<Self> {
        let mut gateways = Vec::new();
        for _ in 0..count {
            let to_map = Proxy::start(cluster.postgres.port()).await?;
            let to_blobs = Proxy::start(cluster.blobs.port()).await?;
            let places = cluster.places_through(&to_map, &to_blobs);
            let server = tokio::task::block_in_place(|| cluster.gateway_at(&places, &USUAL))?;
            gateways.push(Gateway { server, to_map, to_blobs, places });
        }
        let gates = Gates::of(gateways.iter().map(|gateway| gateway.server.endpoint.clone()));
        let stage = Self { cluster, gateways, gates };
        if count > 0 {
            stage.make_bucket().await?;
        }
        Ok(stage)
    }

    /// Makes the bucket that is worked in.
    pub(crate) async fn make_bucket(&self) -> anyhow::Result<()> {
        let mut client = Client::of(&self.gates);
        let target = format!("/{BUCKET}");
        let made = client.ask(&self.gates.choose(0), Method::PUT, &target, &[], Bytes::new()).await;
        ensure!(made.is_ok(), "the bucket can't be made: {made:?}");
        Ok(())
    }

    /// Starts a gateway in the place of one that has ended.
    pub(crate) fn replace(&mut self, number: usize) -> anyhow::Result<()> {
        let gateway = &mut self.gateways[number];
        gateway.server = tokio::task::block_in_place(|| self.cluster.gateway_at(&gateway.places, &USUAL))?;
        self.gates.up(number, &gateway.server.endpoint);
        Ok(())
    }
}
