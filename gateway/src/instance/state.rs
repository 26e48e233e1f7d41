//! The folder of a gateway whose records and keys are in a server: its lock, its socket, how far its jobs have come, and its blobs where
//! they are on its own disk.

use std::fs::{self, DirBuilder};
use std::os::unix::fs::DirBuilderExt;

use super::{DESCRIPTION, DataFolder, FORMAT, IfAbsent, Instance, InstanceError, Part, hold, random_id};
use crate::config::Config;

impl DataFolder {
    /// Opens such a folder and holds it; made where there is none. Whose it is, it is told by [`DataFolder::belong_to`].
    pub fn open_state(config: &Config) -> Result<Self, InstanceError> {
        let path = config.data.clone();
        let io = |source| InstanceError::Io { path: path.clone(), source };
        if path.join(DESCRIPTION).exists() {
            return Err(InstanceError::Embedded(path));
        }
        DirBuilder::new().mode(0o700).recursive(true).create(&path).map_err(io)?;
        let lock = hold(&path)?;
        let instance = Instance {
            format: FORMAT,
            account_id: String::new(),
            region: config.region.clone(),
            id: String::new(),
            unfinished: false,
            doubtful: false,
            rebuilding: false,
            moving: false,
            blobs_elsewhere: false,
            check: None,
        };
        Ok(Self { path, instance, is_new: false, opened_as: IfAbsent::Create, is_state: true, lock })
    }

    /// Are its records elsewhere?
    pub fn is_state(&self) -> bool {
        self.is_state
    }

    /// From now on it is of this cluster.
    pub fn belong_to(&mut self, id: &str, account_id: &str, region: &str) {
        self.instance.id = id.to_owned();
        self.instance.account_id = account_id.to_owned();
        self.instance.region = region.to_owned();
    }

    /// The same folder once more: the lock is let go when the last of both is dropped.
    pub fn again(&self) -> Self {
        let (path, instance) = (self.path.clone(), self.instance.clone());
        let Self { is_new, opened_as, is_state, .. } = *self;
        Self { path, instance, is_new, opened_as, is_state, lock: self.lock.clone() }
    }

    /// The id that the blobs in this folder carry; a new one where there are none yet, which is written down.
    pub fn id_of_blobs(&mut self) -> Result<String, InstanceError> {
        let path = self.part(Part::Blobs);
        if let Some(found) = self.id_of(Part::Blobs)? {
            // The id alone is what a first start that was cut off leaves behind.
            let entries =
                fs::read_dir(&path).map_err(|source| InstanceError::Io { path: path.clone(), source })?;
            return match entries.count() {
                1 => Ok(found),
                _ => Err(InstanceError::UsedBlobs(path)),
            };
        }
        let is_empty =
            super::is_empty(&path).map_err(|source| InstanceError::Io { path: path.clone(), source })?;
        if !is_empty {
            return Err(InstanceError::NoId { path, id: self.instance.id.clone() });
        }
        self.instance.id = random_id();
        self.write_id(Part::Blobs)?;
        Ok(self.instance.id.clone())
    }

    /// Makes the place of blobs, of the cluster that the folder belongs to; what is there already is of that cluster or is refused.
    pub fn take_blobs(&self) -> Result<(), InstanceError> {
        let path = self.part(Part::Blobs);
        let is_empty =
            super::is_empty(&path).map_err(|source| InstanceError::Io { path: path.clone(), source })?;
        if is_empty { self.write_id(Part::Blobs) } else { self.check_blobs() }
    }

    /// Are the blobs in this folder those of the cluster that it belongs to?
    pub fn check_blobs(&self) -> Result<(), InstanceError> {
        let (path, id) = (self.part(Part::Blobs), self.instance.id.clone());
        let way_out = "give the folder that the cluster's blobs are in with --data";
        match self.id_of(Part::Blobs)? {
            Some(found) if found == id => Ok(()),
            Some(found) => Err(InstanceError::ForeignPart { path, id, found, way_out }),
            None if fs::exists(&path).unwrap_or(false) => Err(InstanceError::NoId { path, id }),
            None => Err(InstanceError::NoPart { path, id, way_out }),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::RawConfig;

    fn config(folder: &Path) -> Config {
        let mut raw = RawConfig::default();
        raw.places.data = Some(folder.join("data"));
        raw.places.metadata = Some("postgres://u@h/d".to_owned());
        raw.places.root_key = Some("root".to_owned());
        Config::load(raw, None).unwrap()
    }

    #[test]
    fn blobs_are_of_one_cluster_and_records_beside_them_are_refused() {
        let scratch = tempfile::tempdir().unwrap();
        let config = config(scratch.path());
        let mut folder = DataFolder::open_state(&config).unwrap();
        assert!(matches!(DataFolder::open_state(&config), Err(InstanceError::InUse(_))));
        let again = folder.again();
        let id = folder.id_of_blobs().unwrap();
        assert_eq!(folder.id_of_blobs().unwrap(), id);
        folder.check_blobs().unwrap();
        fs::write(folder.part(Part::Blobs).join("something"), "").unwrap();
        assert!(matches!(folder.id_of_blobs(), Err(InstanceError::UsedBlobs(_))));
        folder.belong_to("another", "000000000001", "us-east-1");
        assert!(matches!(folder.check_blobs(), Err(InstanceError::ForeignPart { .. })));
        drop(folder);
        assert!(matches!(DataFolder::open_state(&config), Err(InstanceError::InUse(_))));
        drop(again);
        assert!(matches!(DataFolder::open(&config, IfAbsent::Create), Err(InstanceError::Shared(_))));
        fs::write(config.data.join(DESCRIPTION), "{}").unwrap();
        assert!(matches!(DataFolder::open_state(&config), Err(InstanceError::Embedded(_))));
    }
}
