//! The table of known provisioners, and which of its rows a storage class belongs to.
//!
//! A provisioner can have several rows. The first whose conditions on the class's parameters all hold is the one; its part
//! makes the key, as `csi-unity.dellemc.com/nfs`. A provisioner whose rows all have conditions, of which none hold, is known
//! with unknown parameters.

use std::collections::BTreeMap;

use super::capabilities::{AccessMode, Capability, CloneStrategy, Known, SourceFormat, VolumeMode};

/// Provisioner of classes whose volumes are made by hand.
pub(crate) const NO_PROVISIONER: &str = "kubernetes.io/no-provisioner";

/// Provisioners whose volumes are no disks, or which make none: nothing is expected of their profiles.
const UNSUPPORTED: &[&str] = &[
    "openshift-storage.noobaa.io/obc",
    "openshift-storage.ceph.rook.io/bucket",
    "rook-ceph.ceph.rook.io/bucket",
    "stork-snapshot",
    NO_PROVISIONER,
];

/// What the table says about a class.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// The row.
    Known(&'static Row),
    /// The provisioner is there, a row for these parameters is not.
    UnknownParameters,
    /// The provisioner is not there.
    UnknownProvisioner,
}

impl Found {
    /// What is known, if the class has a row.
    pub(crate) fn known(self) -> Option<&'static Known> {
        match self {
            Self::Known(row) => Some(&row.known),
            Self::UnknownParameters | Self::UnknownProvisioner => None,
        }
    }
}

/// The row for a class of this provisioner with these parameters.
pub(crate) fn find(provisioner: &str, parameters: &BTreeMap<String, String>) -> Found {
    let mut rows = TABLE.iter().filter(|row| row.provisioner == provisioner).peekable();
    if rows.peek().is_none() {
        return Found::UnknownProvisioner;
    }
    rows.find(|row| row.when.iter().all(|test| test.holds(parameters))).map_or(Found::UnknownParameters, Found::Known)
}

/// Whether nothing is expected of the profile.
pub(crate) fn is_unsupported(provisioner: &str) -> bool {
    UNSUPPORTED.contains(&provisioner)
}

/// One line of the table.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Row {
    provisioner: &'static str,
    part: &'static str,
    when: &'static [Test],
    known: Known,
}

impl Row {
    /// Provisioner and part.
    #[cfg(test)]
    pub(crate) fn key(&self) -> String {
        format!("{}{}", self.provisioner, self.part)
    }

    /// Whether it says how volumes can be used; of some provisioners only their smallest volume is known.
    pub(crate) const fn has_modes(&self) -> bool {
        !self.known.modes.is_empty()
    }

    const fn at_least(mut self, minimum: &'static str) -> Self {
        self.known.minimum = Some(minimum);
        self
    }

    const fn cron(mut self, once: bool, snapshot: (&'static str, &'static str)) -> Self {
        self.known.cron_once = once;
        self.known.cron_snapshot = Some(snapshot);
        self
    }
}

/// A condition on a class's parameters. Values are compared without regard to case; an absent one is empty.
#[derive(Debug, PartialEq, Eq)]
enum Test {
    /// The parameter has one of these values.
    Is(&'static str, &'static [&'static str]),
    /// Its value begins so.
    Begins(&'static str, &'static str),
    /// This is somewhere in it.
    Contains(&'static str, &'static str),
    /// It is a list, separated by commas or semicolons, with this item.
    Lists(&'static str, &'static str),
    /// It is there, whatever its value.
    Present(&'static str),
    /// It is there and not empty.
    Filled(&'static str),
    /// It is not there.
    Absent(&'static str),
}

impl Test {
    fn holds(&self, parameters: &BTreeMap<String, String>) -> bool {
        let value = |name: &str| parameters.get(name).map(|value| value.to_ascii_lowercase()).unwrap_or_default();
        match *self {
            Self::Is(name, values) => values.contains(&value(name).as_str()),
            Self::Begins(name, start) => value(name).starts_with(start),
            Self::Contains(name, part) => value(name).contains(part),
            Self::Lists(name, item) => value(name).split([',', ';']).any(|listed| listed.trim() == item),
            Self::Present(name) => parameters.contains_key(name),
            Self::Filled(name) => !value(name).is_empty(),
            Self::Absent(name) => !parameters.contains_key(name),
        }
    }
}

const WB: Capability = Capability { access: AccessMode::Many, volume: VolumeMode::Block };
const WF: Capability = Capability { access: AccessMode::Many, volume: VolumeMode::Filesystem };
const OB: Capability = Capability { access: AccessMode::Once, volume: VolumeMode::Block };
const OF: Capability = Capability { access: AccessMode::Once, volume: VolumeMode::Filesystem };
const XB: Capability = Capability { access: AccessMode::ReadOnly, volume: VolumeMode::Block };
const XF: Capability = Capability { access: AccessMode::ReadOnly, volume: VolumeMode::Filesystem };

/// Clone strategy and format of the imports of crons.
type Ways = (Option<CloneStrategy>, Option<SourceFormat>);
/// Nothing is known to be better than the default.
const PLAIN: Ways = (None, None);
const COPY: Ways = (Some(CloneStrategy::Copy), None);
const CSI: Ways = (Some(CloneStrategy::CsiClone), None);
const CSI_SNAP: Ways = (Some(CloneStrategy::CsiClone), Some(SourceFormat::Snapshot));
const SNAP: Ways = (Some(CloneStrategy::Snapshot), Some(SourceFormat::Snapshot));

const fn row(
    provisioner: &'static str,
    part: &'static str,
    when: &'static [Test],
    modes: &'static [Capability],
    ways: Ways,
) -> Row {
    let (clone, format) = ways;
    Row {
        provisioner,
        part,
        when,
        known: Known { modes, clone, format, minimum: None, cron_once: false, cron_snapshot: None },
    }
}

use Test::{Absent, Begins, Contains, Filled, Is, Lists, Present};

const FSTYPE: &str = "csi.storage.k8s.io/fstype";
const SHARED_V4: &str = "sharedv4_mount_options";
/// NFS 3 without locks, as Portworx' own guide for virtual machines sets it up.
const PORTWORX_NFS: &[Test] = &[Lists(SHARED_V4, "vers=3.0"), Lists(SHARED_V4, "nolock")];
const PXD_NFS: &[Test] = &[Absent("backend"), Lists(SHARED_V4, "vers=3.0"), Lists(SHARED_V4, "nolock")];
const NETAPP_VOLUMES_FLEX: &[Test] =
    &[Is("backendType", &["google-cloud-netapp-volumes"]), Lists("selector", "performance=flex")];
const HYPERDISK: &[Test] = &[Is("type", &["hyperdisk-balanced", "hyperdisk-balanced-high-availability"])];
/// Google's snapshots for many disks from one are of this type.
const GKE_IMAGES: (&str, &str) = ("snapshot-type", "images");

#[rustfmt::skip] // one line a row
const TABLE: &[Row] = &[
    //  provisioner, part                                  parameters                                  modes                 clone and format
    row("csi.gantry.dev",                    "",           &[],                                        &[OB, OF],             CSI_SNAP),

    row("kubevirt.io.hostpath-provisioner",  "/overlay",   &[Present("overlayCSI")],                   &[WF],                 PLAIN),
    row("kubevirt.io.hostpath-provisioner",  "",           &[],                                        &[OF],                 PLAIN),
    row("kubevirt.io/hostpath-provisioner",  "",           &[],                                        &[OF],                 PLAIN),
    row("k8s.io/minikube-hostpath",          "",           &[],                                        &[OF],                 PLAIN),
    row("nfs.csi.k8s.io",                    "",           &[],                                        &[WF],                 PLAIN),
    row("k8s-sigs.io/nfs-subdir-external-provisioner", "", &[],                                        &[WF],                 PLAIN),

    row("kubernetes.io/rbd",                 "",           &[],                                        &[WB, OB, OF],         PLAIN),
    row("rbd.csi.ceph.com",                  "",           &[],                                        &[WB, OB, OF],         CSI),
    row("rook-ceph.rbd.csi.ceph.com",        "",           &[],                                        &[WB, OB, OF],         CSI_SNAP),
    row("openshift-storage.rbd.csi.ceph.com", "",          &[],                                        &[WB, OB, OF],         CSI_SNAP),
    row("cephfs.csi.ceph.com",               "",           &[],                                        &[WF, OF],             CSI),
    row("rook-ceph.cephfs.csi.ceph.com",     "",           &[],                                        &[WF, OF],             CSI),
    row("openshift-storage.cephfs.csi.ceph.com", "",       &[],                                        &[WF, OF],             CSI),
    row("linstor.csi.linbit.com",            "",           &[],                                        &[WB, OB, OF, XB, XF], PLAIN),
    row("kubesan.gitlab.io",                 "",           &[],                                        &[WB, XB, OB, OF],     CSI),
    row("driver.longhorn.io",                "/migratable", &[Is("migratable", &["true"])],            &[WB, OB],             PLAIN),
    row("driver.longhorn.io",                "/nfs",       &[Filled("nfsOptions")],                    &[WF, OF],             PLAIN),
    row("driver.longhorn.io",                "/fs",        &[Filled("fsType")],                        &[OF],                 PLAIN),
    row("driver.longhorn.io",                "",           &[],                                        &[OB],                 PLAIN),
    row("topolvm.cybozu.com",                "",           &[],                                        &[OB, OF],             COPY),
    row("topolvm.io",                        "",           &[],                                        &[OB, OF],             COPY),
    row("directpv-min-io",                   "",           &[],                                        &[OF],                 PLAIN),
    row("kubernetes.io/storageos",           "",           &[],                                        &[OF],                 PLAIN),
    row("storageos",                         "",           &[],                                        &[OF],                 PLAIN),

    row("csi-unity.dellemc.com",             "/nfs",       &[Is("protocol", &["nfs"])],                &[WF, OF, XF],         PLAIN),
    row("csi-unity.dellemc.com",             "",           &[],                                        &[WB, OB, OF, XB, XF], PLAIN),
    row("csi-vxflexos.dellemc.com",          "/nfs",       &[Is(FSTYPE, &["nfs"])],                    &[WF, OF, XF],         PLAIN),
    row("csi-vxflexos.dellemc.com",          "",           &[],                                        &[WB, OB, OF, XB, XF], CSI),
    row("csi-isilon.dellemc.com",            "",           &[],                                        &[WF, OF, XF],         CSI),
    row("csi-powermax.dellemc.com",          "/nfs",       &[Is(FSTYPE, &["nfs"])],                    &[WF, OF, XF],         PLAIN),
    row("csi-powermax.dellemc.com",          "",           &[],                                        &[WB, OB, OF, XB],     CSI),
    row("csi-powerstore.dellemc.com",        "/nfs",       &[Is(FSTYPE, &["nfs"])],                    &[WF, OF, XF],         PLAIN),
    row("csi-powerstore.dellemc.com",        "",           &[],                                        &[WB, OB, OF, XB],     COPY),
    row("csi.huawei.com",                    "/nfs",       &[Is("protocol", &["nfs"])],                &[WF, OF, XF],         PLAIN),
    row("csi.huawei.com",                    "",           &[],                                        &[WB, OB, OF, XB, XF], PLAIN),
    row("hspc.csi.hitachi.com",              "",           &[],                                        &[WB, OB, OF],         CSI).at_least("1Gi"),
    row("csi.hpe.com",                       "",           &[],                                        &[WB, OB, OF],         CSI),
    row("xspc.csi.hpe.com",                  "",           &[],                                        &[],                   PLAIN).at_least("1Gi"),
    row("block.csi.ibm.com",                 "",           &[],                                        &[WB, OB, OF],         CSI),
    row("spectrumscale.csi.ibm.com",         "",           &[],                                        &[WF, OF],             CSI),
    row("infinibox-csi-driver", "/iscsiorfibrechannel",    &[Is("storage_protocol", &["iscsi", "fc"])], &[WB, OB, OF],        CSI),
    row("infinibox-csi-driver",              "/nvme",      &[Is("storage_protocol", &["nvme"])],       &[WB, OB, OF],         CSI),
    row("infinibox-csi-driver",              "/nfs",       &[Is("storage_protocol", &["nfs", "nfs_treeq"])], &[WF, OF],       CSI),
    row("csi.trident.netapp.io",             "/ontap-nas", &[Begins("backendType", "ontap-nas")],      &[WF, OF],             SNAP),
    row("csi.trident.netapp.io",             "/ontap-san", &[Begins("backendType", "ontap-san")],      &[WB],                 SNAP),
    row("csi.trident.netapp.io",             "/gcnv-flex", NETAPP_VOLUMES_FLEX,                        &[WF, OF],             SNAP).at_least("1Gi"),
    row("csi.san.synology.com",              "/iscsi",     &[Is("protocol", &["iscsi", ""])],          &[WB, OB, OF],         CSI).at_least("1Gi"),
    row("csi.san.synology.com",              "/nfs",       &[Is("protocol", &["nfs", "nfs_treeq"])],   &[WF, OF],             CSI).at_least("1Gi"),
    row("csi.san.synology.com",              "/smb",       &[Is("protocol", &["smb"])],                &[WF, OF],             CSI).at_least("1Gi"),

    row("kubernetes.io/portworx-volume",     "/nfs",       PORTWORX_NFS,                               &[WF, OF],             PLAIN),
    row("kubernetes.io/portworx-volume",     "",           &[],                                        &[WB, WF, OB, OF],     PLAIN),
    row("pxd.portworx.com",                  "/pure_block", &[Is("backend", &["pure_block"])],         &[WB, OB, OF],         CSI),
    row("pxd.portworx.com",                  "/pure_fa_file", &[Is("backend", &["pure_fa_file"])],     &[WF, OF],             CSI),
    row("pxd.portworx.com",                  "/nfs",       PXD_NFS,                                    &[WF, OF],             CSI),
    row("pxd.portworx.com",                  "",           &[],                                        &[WB, WF, OB, OF],     CSI),

    row("kubernetes.io/aws-ebs",             "",           &[],                                        &[OB],                 PLAIN),
    row("ebs.csi.aws.com",                   "/io1",       &[Is("type", &["io1"])],                    &[OB],                 PLAIN).at_least("4Gi"),
    row("ebs.csi.aws.com",                   "/io2",       &[Is("type", &["io2"])],                    &[WB, OB, OF],         PLAIN).at_least("4Gi"),
    row("ebs.csi.aws.com",                   "/gp",        &[Is("type", &["gp2", "gp3"])],             &[OB],                 PLAIN).at_least("1Gi"),
    row("ebs.csi.aws.com",                   "",           &[],                                        &[OB],                 PLAIN),
    row("efs.csi.aws.com",                   "",           &[],                                        &[WF, OF],             PLAIN),
    row("kubernetes.io/azure-disk",          "",           &[],                                        &[OB],                 PLAIN),
    row("disk.csi.azure.com",                "",           &[],                                        &[OB],                 PLAIN),
    row("kubernetes.io/azure-file",          "",           &[],                                        &[WF],                 PLAIN),
    row("file.csi.azure.com",                "",           &[],                                        &[WF],                 PLAIN),
    row("kubernetes.io/gce-pd",              "",           &[],                                        &[OB, OF],             PLAIN),
    row("pd.csi.storage.gke.io",             "/hyperdisk", HYPERDISK,                                  &[WB, OB, OF],         SNAP).at_least("4Gi").cron(true, GKE_IMAGES),
    row("pd.csi.storage.gke.io",             "",           &[],                                        &[OB, OF],             SNAP).cron(true, GKE_IMAGES),
    row("vpc.block.csi.ibm.io",              "",           &[],                                        &[OB, OF],             COPY),
    row("vpc.file.csi.ibm.io",               "/dp2-rwo",   &[Is("profile", &["dp2"]), Is("vmState", &["true"])], &[OF],       SNAP).at_least("10Gi"),
    row("vpc.file.csi.ibm.io",               "/rfs-rwo",   &[Is("profile", &["rfs"]), Is("vmState", &["true"])], &[OF],       SNAP).at_least("1Gi"),
    row("vpc.file.csi.ibm.io",               "/dp2",       &[Is("profile", &["dp2"])],                 &[WF, OF],             SNAP).at_least("10Gi"),
    row("vpc.file.csi.ibm.io",               "/rfs",       &[Is("profile", &["rfs"])],                 &[WF, OF],             SNAP).at_least("1Gi"),
    row("vpc.file.csi.ibm.io",               "",           &[],                                        &[WF, OF],             SNAP),
    row("blockvolume.csi.oraclecloud.com",   "",           &[],                                        &[WB, OB, OF],         CSI),
    row("cinder.csi.openstack.org",          "",           &[],                                        &[OB, OF],             PLAIN),
    row("manila.csi.openstack.org",          "",           &[],                                        &[WF],                 PLAIN),
    row("csi.ovirt.org",                     "",           &[],                                        &[OB, OF],             PLAIN),
    row("csi.vsphere.vmware.com",            "/nfs",       &[Contains(FSTYPE, "nfs")],                 &[WF, OB, OF],         PLAIN),
    row("csi.vsphere.vmware.com",            "",           &[],                                        &[OB, OF],             PLAIN),
];

#[cfg(test)]
mod tests;
