//! The phases of a DataVolume.

/// Where a DataVolume is on its way; each is one word of `status.phase`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Phase {
    /// Nothing is decided yet.
    #[default]
    Unset,
    /// There is no PVC, or it is pending.
    Pending,
    /// The class binds at the first consumer, and there is none (direct path).
    WaitForFirstConsumer,
    /// The same on the path through a prime PVC.
    PendingPopulation,
    /// The PVC is bound, and no worker has begun.
    PvcBound,
    /// The importer pod is pending.
    ImportScheduled,
    /// The importer pod runs.
    ImportInProgress,
    /// A stage is finished, and it was not the last.
    Paused,
    /// The upload pod exists.
    UploadScheduled,
    /// The upload pod takes data.
    UploadReady,
    /// A host-assisted copy is pending.
    CloneScheduled,
    /// A host-assisted copy runs.
    CloneInProgress,
    /// The source is being snapshotted.
    SnapshotForSmartCloneInProgress,
    /// A snapshot is being restored.
    CloneFromSnapshotSourceInProgress,
    /// An older name of a clone by snapshot.
    SmartClonePvcInProgress,
    /// The CSI driver clones.
    CsiCloneInProgress,
    /// A clone is being grown (older name).
    ExpansionInProgress,
    /// A clone is being moved to its namespace (older name).
    NamespaceTransferInProgress,
    /// A clone is being grown.
    PrepClaimInProgress,
    /// The volume is being handed to its PVC.
    RebindInProgress,
    /// The volume holds what was asked for.
    Succeeded,
    /// It never will.
    Failed,
    /// The PVC's phase is not known.
    Unknown,
}

/// Each phase and its word, in the order of [`Phase`].
const WORDS: &[(Phase, &str)] = &[
    (Phase::Unset, ""),
    (Phase::Pending, "Pending"),
    (Phase::WaitForFirstConsumer, "WaitForFirstConsumer"),
    (Phase::PendingPopulation, "PendingPopulation"),
    (Phase::PvcBound, "PVCBound"),
    (Phase::ImportScheduled, "ImportScheduled"),
    (Phase::ImportInProgress, "ImportInProgress"),
    (Phase::Paused, "Paused"),
    (Phase::UploadScheduled, "UploadScheduled"),
    (Phase::UploadReady, "UploadReady"),
    (Phase::CloneScheduled, "CloneScheduled"),
    (Phase::CloneInProgress, "CloneInProgress"),
    (Phase::SnapshotForSmartCloneInProgress, "SnapshotForSmartCloneInProgress"),
    (Phase::CloneFromSnapshotSourceInProgress, "CloneFromSnapshotSourceInProgress"),
    (Phase::SmartClonePvcInProgress, "SmartClonePVCInProgress"),
    (Phase::CsiCloneInProgress, "CSICloneInProgress"),
    (Phase::ExpansionInProgress, "ExpansionInProgress"),
    (Phase::NamespaceTransferInProgress, "NamespaceTransferInProgress"),
    (Phase::PrepClaimInProgress, "PrepClaimInProgress"),
    (Phase::RebindInProgress, "RebindInProgress"),
    (Phase::Succeeded, "Succeeded"),
    (Phase::Failed, "Failed"),
    (Phase::Unknown, "Unknown"),
];

impl Phase {
    /// The word in `status.phase`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        WORDS.iter().find(|(phase, _)| *phase == self).map_or("", |(_, word)| word)
    }

    /// The phase of a word; a word that a newer version wrote is [`Phase::Unknown`].
    #[must_use]
    pub fn of(word: &str) -> Self {
        WORDS.iter().find(|(_, known)| *known == word).map_or(Self::Unknown, |(phase, _)| *phase)
    }

    /// Whether no worker was made by then.
    #[must_use]
    pub fn is_before_workers(self) -> bool {
        use Phase::{Pending, PendingPopulation, PvcBound, Unset, WaitForFirstConsumer};
        matches!(self, Unset | Pending | WaitForFirstConsumer | PendingPopulation | PvcBound)
    }

    /// Whether nothing more will happen.
    #[must_use]
    pub fn is_final(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed)
    }
}

impl std::fmt::Display for Phase {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_phase_is_read_as_it_is_written() {
        for (phase, word) in WORDS {
            assert_eq!(phase.as_str(), *word);
            assert_eq!(Phase::of(word), *phase);
        }
        // `as_str` falls back to the empty word, which must be only the first phase's own.
        assert_eq!(WORDS.iter().filter(|(_, word)| word.is_empty()).count(), 1);
        assert_eq!(WORDS.len(), Phase::Unknown as usize + 1);
    }

    #[test]
    fn a_word_of_a_newer_version_is_unknown_and_not_final() {
        assert_eq!(Phase::of("Teleporting"), Phase::Unknown);
        assert!(!Phase::of("Teleporting").is_final());
        assert!(Phase::of("Succeeded").is_final());
    }
}
