//! One failure for all parts: a stable code to decide on, and the words a person needs.
//!
//! ```text
//! Failure
//!   code    what kind of failure, for ever       -> class -> exit code
//!   what    what went wrong, with its values
//!   place   where: URL, path, offset, field      (optional)
//!   remedy  what to do; the code has a default
//! ```

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// Groups failure codes by who can do something about them; each class has one exit code of the `gantry` command.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Class {
    /// A defect or an unexpected state of Gantry itself.
    Internal,
    /// The command line or an option's value.
    Usage,
    /// The source cannot be had: address, credentials, network, server.
    Source,
    /// The source was had, and its content is refused.
    Image,
    /// Content and expectation differ.
    Verification,
    /// The target cannot take the disk.
    Target,
    /// The cluster does not let the import happen, or not now.
    Cluster,
    /// Somebody asked to stop.
    Cancelled,
}

impl Class {
    /// Exit code of the `gantry` command. Fixed for ever; `docs/errors.md` lists them.
    #[must_use]
    pub const fn exit_code(self) -> u8 {
        match self {
            Self::Internal => 1,
            Self::Usage => 2,
            Self::Source => 3,
            Self::Image => 4,
            Self::Verification => 5,
            Self::Target => 6,
            Self::Cluster => 7,
            Self::Cancelled => 143,
        }
    }

    /// The class's name as printed in `docs/errors.md`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Internal => "internal",
            Self::Usage => "usage",
            Self::Source => "source",
            Self::Image => "image",
            Self::Verification => "verification",
            Self::Target => "target",
            Self::Cluster => "cluster",
            Self::Cancelled => "cancelled",
        }
    }
}

/// Declares the codes with their name, class and remedy in one table.
macro_rules! codes {
    ($($variant:ident $name:literal $class:ident $remedy:literal;)*) => {
        /// A stable failure code. `docs/errors.md` has a line for each.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum Code {
            $(#[doc = concat!("`", $name, "`. Remedy: ", $remedy)] $variant,)*
        }

        impl Code {
            /// Every code, in the order of the documentation.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The name users and scripts see.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            /// Who can do something about it, and so the exit code.
            #[must_use]
            pub const fn class(self) -> Class {
                match self { $(Self::$variant => Class::$class,)* }
            }

            /// What to do about it, when the place of failure knows nothing better.
            #[must_use]
            pub const fn remedy(self) -> &'static str {
                match self { $(Self::$variant => $remedy,)* }
            }
        }
    };
}

codes! {
    Internal "internal" Internal "report this as a defect, with the whole message";
    Usage "usage" Usage "see `gantry help`";
    SourceNotFound "source-not-found" Source "check the address or the path";
    SourceDenied "source-denied" Source "check the user name, the password or the token, and what they may read";
    SourceUnreachable "source-unreachable" Source "check the host name, the network and the proxy settings";
    SourceTls "source-tls" Source "give the server's authority with --ca-cert, or --insecure to accept any certificate";
    SourceTimeout "source-timeout" Source "check the server and the network; raise the time-out if the source is only slow";
    SourceHttp "source-http" Source "check that the address serves the image itself";
    SourcePolicy "source-policy" Source "use an address the source policy allows";
    SourceChanged "source-changed" Source "start again once the source is no longer being changed";
    SourceTruncated "source-truncated" Source "check that the upload of the image to the server was complete";
    SourceLengthUnknown "source-length-unknown" Source "give a --checksum, or accept an unknown end with --accept-unknown-length";
    SourceRead "source-read" Source "check the file and the device it is on";
    ImageMalformed "image-malformed" Image "make the image again, or check it with `qemu-img check`";
    ImageCorrupt "image-corrupt" Image "download or make the image again; its compressed data is damaged";
    ImageTruncated "image-truncated" Image "download or make the image again; its end is missing";
    ImageUnsupported "image-unsupported" Image "convert the image to raw or qcow2 first";
    ImageBackingFile "image-backing-file" Image "flatten the image with `qemu-img convert -O qcow2`";
    ImageExternalData "image-external-data" Image "flatten the image with `qemu-img convert -O qcow2`";
    ImageEncrypted "image-encrypted" Image "decrypt the image with `qemu-img convert` first";
    ImageNesting "image-nesting" Image "remove one layer of compression";
    ImageTooLarge "image-too-large" Image "check that the image is what it should be: disks of up to 64 TiB are read";
    ImageMemory "image-memory" Image "compress the image again with a window of at most 128 MiB";
    ImageUnplaced "image-unplaced" Image "give a --scratch directory, or serve the image where it can be read at random (HTTP with ranges, a local file)";
    ImageSeveral "image-several" Image "choose one with `gantry import --disk NAME`, or make an archive of one disk";
    ImageNoDisk "image-no-disk" Image "choose the member that is the disk with `gantry import --disk NAME`";
    ArchiveUnsafe "archive-unsafe" Image "make the archive again without members that leave its directory, devices or pipes";
    ChecksumList "checksum-list" Verification "check that the list is of this image, or give its digest with --checksum";
    ChecksumMismatch "checksum-mismatch" Verification "check the digest and where it was taken from; if it is right, the source is damaged";
    SourceInconsistent "source-inconsistent" Verification "the server gave different bytes for the same range; do not trust it";
    FingerprintMismatch "fingerprint-mismatch" Verification "the content is not what the fingerprint was made from";
    TargetExists "target-exists" Target "choose another path, or replace what is there with --force";
    TargetSignature "target-signature" Target "check that this is the right device; overwrite it with --force";
    TargetSymlink "target-symlink" Target "name the file it points to, or use --force";
    TargetBusy "target-busy" Target "wait for the other user of the target, or unmount it";
    TargetTooSmall "target-too-small" Target "use a larger target";
    TargetNoSpace "target-no-space" Target "free space on the target's file system and run the same command again; it resumes";
    TargetDenied "target-denied" Target "check the permissions of the target";
    TargetIo "target-io" Target "check the target's device (`dmesg`), then run the same command again";
    TargetUnsupported "target-unsupported" Target "use a regular file or a block device";
    TargetFormat "target-format" Target "name the target *.img or *.raw: the output is a raw disk";
    ClaimNotValid "claim-not-valid" Cluster "correct spec.pvc or spec.storage of the DataVolume";
    ClaimNoClass "claim-no-class" Cluster "name a storage class, or mark one as the default";
    ClaimExists "claim-exists" Cluster "use another name, or let the DataVolume adopt the claim with the annotation cdi.kubevirt.io/allowClaimAdoption";
    ClaimDeleted "claim-deleted" Cluster "wait until the claim is gone; the DataVolume then goes on by itself";
    ClaimLost "claim-lost" Cluster "delete the DataVolume and make it again; the volume behind its claim is gone";
    ClaimPending "claim-pending" Cluster "look at the events of the claim: its provisioner has not made a volume yet";
    ClaimNoConsumer "claim-no-consumer" Cluster "start a pod or a virtual machine that uses the claim, or ask for a volume at once with the annotation cdi.kubevirt.io/storage.bind.immediate.requested";
    ClaimInUse "claim-in-use" Cluster "end the pods that use the claim";
    QuotaExceeded "quota-exceeded" Cluster "raise the namespace's quota or free some of it; while an import runs it needs the disk's size twice";
    PodRefused "pod-refused" Cluster "allow the importer pod in this namespace: see what refused it";
    PodUnschedulable "pod-unschedulable" Cluster "free a node for the importer pod: see what the scheduler says";
    PodImage "pod-image" Cluster "make Gantry's image available to the node, or give spec.imagePullSecrets of the CDIConfig";
    PodConfig "pod-config" Cluster "create the Secret or ConfigMap that the DataVolume names, with the keys it needs, in its namespace";
    PodMemory "pod-memory" Cluster "raise spec.podResourceRequirements of the CDIConfig, or the namespace's limits";
    PodEvicted "pod-evicted" Cluster "nothing: the importer pod is started again and goes on where the volume is complete";
    PodFailed "pod-failed" Cluster "look at the importer pod's log; keep it with the annotation cdi.kubevirt.io/storage.pod.retainAfterCompletion";
    SourceUnserved "source-unserved" Cluster "import from http, or wait for a release that serves this source";
    ClusterUnreachable "cluster-unreachable" Cluster "check the kubeconfig, its context, the network and the API server";
    ClusterDenied "cluster-denied" Cluster "log in again, or ask whoever runs the cluster for the right that the message names";
    ClusterNotFound "cluster-not-found" Cluster "check the name and the namespace; `gantry dv -A` lists all DataVolumes";
    ClusterRefused "cluster-refused" Cluster "correct what the message names";
    Cancelled "cancelled" Cancelled "run the same command again; it resumes where the source allows";
}

impl Serialize for Code {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

impl<'de> Deserialize<'de> for Code {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = String::deserialize(deserializer)?;
        let known = Self::ALL.iter().copied().find(|code| code.name() == name);
        known.ok_or_else(|| de::Error::custom(format!("no failure has the code {name}")))
    }
}

/// A failure as a user meets it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    code: Code,
    what: String,
    place: Option<String>,
    remedy: Option<String>,
    retryable: bool,
}

impl Failure {
    /// A failure with its code and one sentence, lower case and without a full stop, naming the values involved.
    #[must_use]
    pub fn new(code: Code, what: impl Into<String>) -> Self {
        Self { code, what: what.into(), place: None, remedy: None, retryable: false }
    }

    /// Says where: URL, path, offset or field. The first place given is the most exact one and stays.
    #[must_use]
    pub fn at(mut self, place: impl Into<String>) -> Self {
        self.place.get_or_insert_with(|| place.into());
        self
    }

    /// Replaces the code's general remedy by a more exact one.
    #[must_use]
    pub fn remedy(mut self, remedy: impl Into<String>) -> Self {
        self.remedy = Some(remedy.into());
        self
    }

    /// Marks a failure that the same command may get past later without any change.
    #[must_use]
    pub const fn transient(mut self) -> Self {
        self.retryable = true;
        self
    }

    /// The stable code.
    #[must_use]
    pub const fn code(&self) -> Code {
        self.code
    }

    /// Whether trying again later, unchanged, may succeed.
    #[must_use]
    pub const fn is_transient(&self) -> bool {
        self.retryable
    }

    /// What went wrong, in one sentence.
    #[must_use]
    pub fn what(&self) -> &str {
        &self.what
    }

    /// Where it went wrong, if known.
    #[must_use]
    pub fn place(&self) -> Option<&str> {
        self.place.as_deref()
    }

    /// What to do about it.
    #[must_use]
    pub fn what_to_do(&self) -> &str {
        self.remedy.as_deref().unwrap_or_else(|| self.code.remedy())
    }

    /// The failure as the JSON object printed by `--json`.
    #[must_use]
    pub fn report(&self) -> impl Serialize + '_ {
        FailureReport {
            code: self.code.name(),
            class: self.code.class().name(),
            message: &self.what,
            place: self.place(),
            remedy: self.what_to_do(),
            retryable: self.retryable,
        }
    }
}

#[derive(Serialize)]
struct FailureReport<'a> {
    code: &'static str,
    class: &'static str,
    message: &'a str,
    place: Option<&'a str>,
    remedy: &'a str,
    retryable: bool,
}

/// `what (place)`; the code and the remedy are on lines of their own where a person reads them.
impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)?;
        match &self.place {
            Some(place) => write!(f, " ({place})"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Failure {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_has_its_own_name_and_a_remedy() {
        let names: std::collections::BTreeSet<_> = Code::ALL.iter().map(|code| code.name()).collect();
        assert_eq!(names.len(), Code::ALL.len());
        assert!(Code::ALL.iter().all(|code| !code.remedy().is_empty()));
    }

    #[test]
    fn every_code_is_in_the_documentation() {
        let page = include_str!("../../docs/errors.md");
        for code in Code::ALL {
            let line = format!("| `{}` | {} | {} |", code.name(), code.class().exit_code(), code.remedy());
            assert!(page.contains(&line), "docs/errors.md lacks the line {line}");
        }
    }

    #[test]
    fn the_most_exact_place_stays() {
        let failure = Failure::new(Code::SourceRead, "cannot read").at("offset 7").at("disk.img");
        assert_eq!(failure.to_string(), "cannot read (offset 7)");
    }
}
