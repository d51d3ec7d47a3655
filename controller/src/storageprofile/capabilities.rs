//! What a storage class can do, in the words of the table of known provisioners.

/// How many may use a volume at once. The order is that of preference: what is shared can be moved from node to node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum AccessMode {
    /// Many nodes, for writing.
    Many,
    /// One node.
    Once,
    /// One pod.
    OncePod,
    /// Many nodes, for reading.
    ReadOnly,
}

impl AccessMode {
    const ALL: [Self; 4] = [Self::Many, Self::Once, Self::OncePod, Self::ReadOnly];

    /// The name in Kubernetes' API.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Many => "ReadWriteMany",
            Self::Once => "ReadWriteOnce",
            Self::OncePod => "ReadWriteOncePod",
            Self::ReadOnly => "ReadOnlyMany",
        }
    }

    /// The mode of this name.
    pub(crate) fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|mode| mode.name() == name)
    }
}

/// A device, or a file system.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum VolumeMode {
    Block,
    Filesystem,
}

impl VolumeMode {
    /// The name in Kubernetes' API.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Block => "Block",
            Self::Filesystem => "Filesystem",
        }
    }

    /// The mode that a volume's or claim's field stands for; without one it is a file system.
    pub(crate) fn of(field: Option<&str>) -> Self {
        if field == Some(Self::Block.name()) { Self::Block } else { Self::Filesystem }
    }
}

/// One way in which volumes can be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Capability {
    pub(crate) access: AccessMode,
    pub(crate) volume: VolumeMode,
}

/// How a disk is cloned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CloneStrategy {
    /// By pods that read and write it.
    Copy,
    /// By a snapshot that is restored.
    Snapshot,
    /// By the driver itself.
    CsiClone,
}

impl CloneStrategy {
    const ALL: [Self; 3] = [Self::Copy, Self::Snapshot, Self::CsiClone];

    /// The name in CDI's API.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Copy => "copy",
            Self::Snapshot => "snapshot",
            Self::CsiClone => "csi-clone",
        }
    }

    /// The strategy of this name.
    pub(crate) fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|strategy| strategy.name() == name)
    }
}

/// What the imports of a DataImportCron are kept as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SourceFormat {
    Pvc,
    Snapshot,
}

impl SourceFormat {
    /// The name in CDI's API.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Pvc => "pvc",
            Self::Snapshot => "snapshot",
        }
    }
}

/// What is known of a provisioner with certain parameters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Known {
    /// Ways to use its volumes, the preferred one first.
    pub(crate) modes: &'static [Capability],
    /// The best way to clone; by default a snapshot, where that is possible.
    pub(crate) clone: Option<CloneStrategy>,
    /// What the imports of crons are best kept as; by default claims.
    pub(crate) format: Option<SourceFormat>,
    /// The smallest volume that it makes.
    pub(crate) minimum: Option<&'static str>,
    /// Imports of crons ask for ReadWriteOnce, whatever else there is.
    pub(crate) cron_once: bool,
    /// Snapshots of crons take the VolumeSnapshotClass with this parameter.
    pub(crate) cron_snapshot: Option<(&'static str, &'static str)>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lead_back_to_what_they_name() {
        for mode in AccessMode::ALL {
            assert_eq!(AccessMode::named(mode.name()), Some(mode));
        }
        for strategy in CloneStrategy::ALL {
            assert_eq!(CloneStrategy::named(strategy.name()), Some(strategy));
        }
        assert_eq!(AccessMode::named("ReadWriteTwice"), None);
        assert_eq!(CloneStrategy::named(""), None);
    }

    #[test]
    fn a_volume_without_a_mode_is_a_file_system() {
        for (field, mode) in [
            (None, VolumeMode::Filesystem),
            (Some("Filesystem"), VolumeMode::Filesystem),
            (Some("Block"), VolumeMode::Block),
        ] {
            assert_eq!(VolumeMode::of(field), mode, "{field:?}");
        }
    }
}
