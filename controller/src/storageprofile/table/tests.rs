//! The table again, in the shorthand of CDI's own documentation of it: modes as `Wb` (ReadWriteMany, Block), `Of`
//! (ReadWriteOnce, Filesystem), `Xf` (ReadOnlyMany); clone `c` csi-clone, `s` snapshot, `h` copy; `s` for crons' snapshots.

use super::super::sample::entries;
use super::*;

/// Provisioner, parameters; key, modes, clone, format, smallest size.
type Line = (&'static str, &'static str, &'static str, &'static str, &'static str, &'static str, &'static str);

#[rustfmt::skip] // one line a row
const EXPECTED: &[Line] = &[
    ("csi.gantry.dev", "", "csi.gantry.dev", "Ob Of", "c", "s", ""),
    ("kubevirt.io.hostpath-provisioner", "", "kubevirt.io.hostpath-provisioner", "Of", "", "", ""),
    ("kubevirt.io.hostpath-provisioner", "overlayCSI=", "kubevirt.io.hostpath-provisioner/overlay", "Wf", "", "", ""),
    ("kubevirt.io/hostpath-provisioner", "", "kubevirt.io/hostpath-provisioner", "Of", "", "", ""),
    ("k8s.io/minikube-hostpath", "", "k8s.io/minikube-hostpath", "Of", "", "", ""),
    ("nfs.csi.k8s.io", "", "nfs.csi.k8s.io", "Wf", "", "", ""),
    ("k8s-sigs.io/nfs-subdir-external-provisioner", "", "k8s-sigs.io/nfs-subdir-external-provisioner", "Wf", "", "", ""),
    ("kubernetes.io/rbd", "", "kubernetes.io/rbd", "Wb Ob Of", "", "", ""),
    ("rbd.csi.ceph.com", "", "rbd.csi.ceph.com", "Wb Ob Of", "c", "", ""),
    ("rook-ceph.rbd.csi.ceph.com", "", "rook-ceph.rbd.csi.ceph.com", "Wb Ob Of", "c", "s", ""),
    ("openshift-storage.rbd.csi.ceph.com", "", "openshift-storage.rbd.csi.ceph.com", "Wb Ob Of", "c", "s", ""),
    ("cephfs.csi.ceph.com", "", "cephfs.csi.ceph.com", "Wf Of", "c", "", ""),
    ("rook-ceph.cephfs.csi.ceph.com", "", "rook-ceph.cephfs.csi.ceph.com", "Wf Of", "c", "", ""),
    ("openshift-storage.cephfs.csi.ceph.com", "", "openshift-storage.cephfs.csi.ceph.com", "Wf Of", "c", "", ""),
    ("linstor.csi.linbit.com", "", "linstor.csi.linbit.com", "Wb Ob Of Xb Xf", "", "", ""),
    ("csi-unity.dellemc.com", "", "csi-unity.dellemc.com", "Wb Ob Of Xb Xf", "", "", ""),
    ("csi-unity.dellemc.com", "protocol=FC", "csi-unity.dellemc.com", "Wb Ob Of Xb Xf", "", "", ""),
    ("csi-unity.dellemc.com", "protocol=NFS", "csi-unity.dellemc.com/nfs", "Wf Of Xf", "", "", ""),
    ("csi.huawei.com", "protocol=iscsi", "csi.huawei.com", "Wb Ob Of Xb Xf", "", "", ""),
    ("csi.huawei.com", "protocol=nfs", "csi.huawei.com/nfs", "Wf Of Xf", "", "", ""),
    ("csi-vxflexos.dellemc.com", "", "csi-vxflexos.dellemc.com", "Wb Ob Of Xb Xf", "c", "", ""),
    ("csi-vxflexos.dellemc.com", "csi.storage.k8s.io/fstype=nfs", "csi-vxflexos.dellemc.com/nfs", "Wf Of Xf", "", "", ""),
    ("csi-isilon.dellemc.com", "", "csi-isilon.dellemc.com", "Wf Of Xf", "c", "", ""),
    ("csi-powermax.dellemc.com", "csi.storage.k8s.io/fstype=xfs", "csi-powermax.dellemc.com", "Wb Ob Of Xb", "c", "", ""),
    ("csi-powermax.dellemc.com", "csi.storage.k8s.io/fstype=NFS", "csi-powermax.dellemc.com/nfs", "Wf Of Xf", "", "", ""),
    ("csi-powerstore.dellemc.com", "", "csi-powerstore.dellemc.com", "Wb Ob Of Xb", "h", "", ""),
    ("csi-powerstore.dellemc.com", "csi.storage.k8s.io/fstype=nfs", "csi-powerstore.dellemc.com/nfs", "Wf Of Xf", "", "", ""),
    ("kubernetes.io/storageos", "", "kubernetes.io/storageos", "Of", "", "", ""),
    ("storageos", "", "storageos", "Of", "", "", ""),
    ("directpv-min-io", "", "directpv-min-io", "Of", "", "", ""),
    ("kubernetes.io/aws-ebs", "type=io1", "kubernetes.io/aws-ebs", "Ob", "", "", ""),
    ("ebs.csi.aws.com", "", "ebs.csi.aws.com", "Ob", "", "", ""),
    ("ebs.csi.aws.com", "type=st1", "ebs.csi.aws.com", "Ob", "", "", ""),
    ("ebs.csi.aws.com", "type=io1", "ebs.csi.aws.com/io1", "Ob", "", "", "4Gi"),
    ("ebs.csi.aws.com", "type=io2", "ebs.csi.aws.com/io2", "Wb Ob Of", "", "", "4Gi"),
    ("ebs.csi.aws.com", "type=gp2", "ebs.csi.aws.com/gp", "Ob", "", "", "1Gi"),
    ("ebs.csi.aws.com", "type=gp3", "ebs.csi.aws.com/gp", "Ob", "", "", "1Gi"),
    ("efs.csi.aws.com", "", "efs.csi.aws.com", "Wf Of", "", "", ""),
    ("kubernetes.io/azure-disk", "", "kubernetes.io/azure-disk", "Ob", "", "", ""),
    ("disk.csi.azure.com", "", "disk.csi.azure.com", "Ob", "", "", ""),
    ("kubernetes.io/azure-file", "", "kubernetes.io/azure-file", "Wf", "", "", ""),
    ("file.csi.azure.com", "", "file.csi.azure.com", "Wf", "", "", ""),
    ("manila.csi.openstack.org", "", "manila.csi.openstack.org", "Wf", "", "", ""),
    ("kubernetes.io/gce-pd", "", "kubernetes.io/gce-pd", "Ob Of", "", "", ""),
    ("pd.csi.storage.gke.io", "type=pd-ssd", "pd.csi.storage.gke.io", "Ob Of", "s", "s", ""),
    ("pd.csi.storage.gke.io", "type=hyperdisk-balanced", "pd.csi.storage.gke.io/hyperdisk", "Wb Ob Of", "s", "s", "4Gi"),
    ("pd.csi.storage.gke.io", "type=hyperdisk-balanced-high-availability", "pd.csi.storage.gke.io/hyperdisk", "Wb Ob Of", "s", "s", "4Gi"),
    ("hspc.csi.hitachi.com", "", "hspc.csi.hitachi.com", "Wb Ob Of", "c", "", "1Gi"),
    ("csi.hpe.com", "", "csi.hpe.com", "Wb Ob Of", "c", "", ""),
    ("block.csi.ibm.com", "", "block.csi.ibm.com", "Wb Ob Of", "c", "", ""),
    ("blockvolume.csi.oraclecloud.com", "", "blockvolume.csi.oraclecloud.com", "Wb Ob Of", "c", "", ""),
    ("spectrumscale.csi.ibm.com", "", "spectrumscale.csi.ibm.com", "Wf Of", "c", "", ""),
    ("vpc.block.csi.ibm.io", "", "vpc.block.csi.ibm.io", "Ob Of", "h", "", ""),
    ("vpc.file.csi.ibm.io", "", "vpc.file.csi.ibm.io", "Wf Of", "s", "s", ""),
    ("vpc.file.csi.ibm.io", "profile=dp2", "vpc.file.csi.ibm.io/dp2", "Wf Of", "s", "s", "10Gi"),
    ("vpc.file.csi.ibm.io", "profile=rfs", "vpc.file.csi.ibm.io/rfs", "Wf Of", "s", "s", "1Gi"),
    ("vpc.file.csi.ibm.io", "profile=dp2 vmState=true", "vpc.file.csi.ibm.io/dp2-rwo", "Of", "s", "s", "10Gi"),
    ("vpc.file.csi.ibm.io", "profile=rfs vmState=true", "vpc.file.csi.ibm.io/rfs-rwo", "Of", "s", "s", "1Gi"),
    ("kubernetes.io/portworx-volume", "", "kubernetes.io/portworx-volume", "Wb Wf Ob Of", "", "", ""),
    ("kubernetes.io/portworx-volume", "sharedv4_mount_options=vers=3.0", "kubernetes.io/portworx-volume", "Wb Wf Ob Of", "", "", ""),
    ("kubernetes.io/portworx-volume", "sharedv4_mount_options=vers=3.0,nolock", "kubernetes.io/portworx-volume/nfs", "Wf Of", "", "", ""),
    ("pxd.portworx.com", "", "pxd.portworx.com", "Wb Wf Ob Of", "c", "", ""),
    ("pxd.portworx.com", "sharedv4_mount_options=nolock,vers=3.0", "pxd.portworx.com/nfs", "Wf Of", "c", "", ""),
    ("pxd.portworx.com", "backend=pure_block", "pxd.portworx.com/pure_block", "Wb Ob Of", "c", "", ""),
    ("pxd.portworx.com", "backend=pure_fa_file", "pxd.portworx.com/pure_fa_file", "Wf Of", "c", "", ""),
    ("pxd.portworx.com", "backend=other sharedv4_mount_options=vers=3.0,nolock", "pxd.portworx.com", "Wb Wf Ob Of", "c", "", ""),
    ("csi.trident.netapp.io", "backendType=ontap-nas-economy", "csi.trident.netapp.io/ontap-nas", "Wf Of", "s", "s", ""),
    ("csi.trident.netapp.io", "backendType=ontap-san", "csi.trident.netapp.io/ontap-san", "Wb", "s", "s", ""),
    ("csi.trident.netapp.io", "backendType=google-cloud-netapp-volumes selector=zone=a;performance=flex", "csi.trident.netapp.io/gcnv-flex", "Wf Of", "s", "s", "1Gi"),
    ("topolvm.cybozu.com", "", "topolvm.cybozu.com", "Ob Of", "h", "", ""),
    ("topolvm.io", "", "topolvm.io", "Ob Of", "h", "", ""),
    ("cinder.csi.openstack.org", "", "cinder.csi.openstack.org", "Ob Of", "", "", ""),
    ("csi.ovirt.org", "", "csi.ovirt.org", "Ob Of", "", "", ""),
    ("csi.vsphere.vmware.com", "", "csi.vsphere.vmware.com", "Ob Of", "", "", ""),
    ("csi.vsphere.vmware.com", "csi.storage.k8s.io/fstype=nfs4", "csi.vsphere.vmware.com/nfs", "Wf Ob Of", "", "", ""),
    ("infinibox-csi-driver", "storage_protocol=iscsi", "infinibox-csi-driver/iscsiorfibrechannel", "Wb Ob Of", "c", "", ""),
    ("infinibox-csi-driver", "storage_protocol=fc", "infinibox-csi-driver/iscsiorfibrechannel", "Wb Ob Of", "c", "", ""),
    ("infinibox-csi-driver", "storage_protocol=nvme", "infinibox-csi-driver/nvme", "Wb Ob Of", "c", "", ""),
    ("infinibox-csi-driver", "storage_protocol=nfs", "infinibox-csi-driver/nfs", "Wf Of", "c", "", ""),
    ("infinibox-csi-driver", "storage_protocol=nfs_treeq", "infinibox-csi-driver/nfs", "Wf Of", "c", "", ""),
    ("kubesan.gitlab.io", "", "kubesan.gitlab.io", "Wb Xb Ob Of", "c", "", ""),
    ("driver.longhorn.io", "", "driver.longhorn.io", "Ob", "", "", ""),
    ("driver.longhorn.io", "migratable=true fsType=ext4", "driver.longhorn.io/migratable", "Wb Ob", "", "", ""),
    ("driver.longhorn.io", "migratable=false nfsOptions=hard fsType=ext4", "driver.longhorn.io/nfs", "Wf Of", "", "", ""),
    ("driver.longhorn.io", "fsType=ext4", "driver.longhorn.io/fs", "Of", "", "", ""),
    ("csi.san.synology.com", "", "csi.san.synology.com/iscsi", "Wb Ob Of", "c", "", "1Gi"),
    ("csi.san.synology.com", "protocol=iscsi", "csi.san.synology.com/iscsi", "Wb Ob Of", "c", "", "1Gi"),
    ("csi.san.synology.com", "protocol=nfs", "csi.san.synology.com/nfs", "Wf Of", "c", "", "1Gi"),
    ("csi.san.synology.com", "protocol=smb", "csi.san.synology.com/smb", "Wf Of", "c", "", "1Gi"),
    ("xspc.csi.hpe.com", "", "xspc.csi.hpe.com", "", "", "", "1Gi"),
];

fn parameters(text: &str) -> BTreeMap<String, String> {
    text.split_whitespace().map(|pair| pair.split_once('=').unwrap()).map(|(a, b)| (a.into(), b.into())).collect()
}

fn modes(known: &Known) -> String {
    let letters = known.modes.iter().map(|mode| {
        let access = match mode.access {
            AccessMode::Many => 'W',
            AccessMode::Once => 'O',
            AccessMode::OncePod => 'P',
            AccessMode::ReadOnly => 'X',
        };
        format!("{access}{}", if mode.volume == VolumeMode::Block { 'b' } else { 'f' })
    });
    letters.collect::<Vec<_>>().join(" ")
}

fn clone_letter(known: &Known) -> &'static str {
    match known.clone {
        None => "",
        Some(CloneStrategy::Copy) => "h",
        Some(CloneStrategy::Snapshot) => "s",
        Some(CloneStrategy::CsiClone) => "c",
    }
}

#[test]
fn every_known_class_resolves_to_its_row() {
    for &(provisioner, given, key, expected, clone, format, minimum) in EXPECTED {
        let Found::Known(row) = find(provisioner, &parameters(given)) else { panic!("{provisioner} {given}") };
        assert_eq!(row.key(), key, "{provisioner} {given}");
        assert_eq!(modes(&row.known), expected, "{key}");
        assert_eq!(clone_letter(&row.known), clone, "{key}");
        assert_eq!(row.known.format, (format == "s").then_some(SourceFormat::Snapshot), "{key}");
        assert_eq!(row.known.minimum.unwrap_or_default(), minimum, "{key}");
    }
}

#[test]
fn every_row_is_reached_by_a_class() {
    for row in TABLE {
        assert!(EXPECTED.iter().any(|line| line.2 == row.key()), "{} is expected nowhere", row.key());
    }
}

#[test]
fn parameters_that_no_row_has_are_told_from_an_unknown_provisioner() {
    for (provisioner, given) in [
        ("csi.trident.netapp.io", ""),
        ("csi.trident.netapp.io", "backendType=google-cloud-netapp-volumes selector=performance=premium"),
        ("csi.trident.netapp.io", "backendType=solidfire-san"),
        ("infinibox-csi-driver", ""),
        ("infinibox-csi-driver", "storage_protocol=tape"),
        ("csi.san.synology.com", "protocol=ftp"),
    ] {
        assert_eq!(find(provisioner, &parameters(given)), Found::UnknownParameters, "{provisioner} {given}");
    }
    for provisioner in ["", "somebody.example", NO_PROVISIONER, "stork-snapshot"] {
        assert_eq!(find(provisioner, &BTreeMap::new()), Found::UnknownProvisioner, "{provisioner}");
    }
}

#[test]
fn only_googles_disks_have_rules_of_their_own_for_crons() {
    for row in TABLE {
        let known = &row.known;
        let google = row.provisioner == "pd.csi.storage.gke.io";
        assert_eq!(known.cron_once, google, "{}", row.key());
        assert_eq!(known.cron_snapshot.is_some(), google, "{}", row.key());
    }
}

#[test]
fn what_is_unsupported_has_no_row() {
    for provisioner in UNSUPPORTED {
        assert!(is_unsupported(provisioner));
        assert_eq!(find(provisioner, &entries(&[])), Found::UnknownProvisioner, "{provisioner}");
    }
    assert!(!is_unsupported("csi.gantry.dev"));
}
