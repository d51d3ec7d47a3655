//! What claims become, over small clusters.

use super::*;

#[derive(Default)]
struct Bed {
    classes: Vec<StorageClass>,
    profiles: Vec<StorageProfile>,
    volumes: Vec<Volume>,
    config: Option<CdiConfigStatus>,
}

impl Bed {
    /// A class with annotations, made in that year, and its profile with those property sets.
    fn class(mut self, name: &str, year: u32, annotations: &str, sets: &str) -> Self {
        let class = format!(
            "{{metadata: {{name: {name}, creationTimestamp: '{year}-01-01T00:00:00Z', annotations: {annotations}}}, provisioner: p}}"
        );
        let profile = format!(
            "{{apiVersion: cdi.kubevirt.io/v1beta1, kind: StorageProfile, metadata: {{name: {name}}}, spec: {{}},
               status: {{claimPropertySets: {sets}}}}}"
        );
        self.classes.push(serde_saphyr::from_str(&class).unwrap());
        self.profiles.push(serde_saphyr::from_str(&profile).unwrap());
        self
    }

    fn volume(mut self, name: &str, spec: &str, phase: &str) -> Self {
        let volume = format!("{{metadata: {{name: {name}}}, spec: {spec}, status: {{phase: {phase}}}}}");
        self.volumes.push(serde_saphyr::from_str(&volume).unwrap());
        self
    }

    fn cluster(&self) -> Cluster<'_> {
        Cluster {
            classes: self.classes.iter().collect(),
            profiles: self.profiles.iter().collect(),
            volumes: self.volumes.iter().collect(),
            config: self.config.as_ref(),
        }
    }

    fn storage(&self, storage: &str, content: ContentType) -> Result<PersistentVolumeClaimSpec, Refusal> {
        let storage: StorageSpec = serde_saphyr::from_str(storage).unwrap();
        from_storage(&storage, Purpose { content, clone: false }, &self.cluster())
    }

    /// Class, volume mode, access modes and size of a disk.
    fn told(&self, storage: &str) -> String {
        match self.storage(storage, ContentType::Kubevirt) {
            Ok(claim) => told(&claim),
            Err(refusal) => refusal.to_string(),
        }
    }
}

fn told(claim: &PersistentVolumeClaimSpec) -> String {
    let size = claim.resources.as_ref().and_then(|all| all.requests.as_ref()).and_then(|all| all.get("storage"));
    format!(
        "{} {} {} {}",
        claim.storage_class_name.as_deref().unwrap_or("-"),
        claim.volume_mode.as_deref().unwrap_or("-"),
        claim.access_modes.clone().unwrap_or_default().join(","),
        size.map_or("-", |size| &size.0)
    )
}

const DEFAULT: &str = "{storageclass.kubernetes.io/is-default-class: 'true'}";
const VIRT: &str = "{storageclass.kubevirt.io/is-default-virt-class: 'true'}";
const BOTH_WAYS: &str =
    "[{accessModes: [ReadWriteMany], volumeMode: Block}, {accessModes: [ReadWriteOnce], volumeMode: Block},
                          {accessModes: [ReadWriteOnce], volumeMode: Filesystem}]";
const SIZE: &str = "resources: {requests: {storage: 1Gi}}";

#[test]
fn the_class_is_the_one_named_then_the_default_for_machines_then_the_clusters() {
    let plain = || Bed::default().class("a", 2020, "{}", BOTH_WAYS).class("b", 2021, DEFAULT, BOTH_WAYS);
    let virt = plain().class("c", 2020, VIRT, BOTH_WAYS);
    let off = plain().class("c", 2022, "{storageclass.kubevirt.io/is-default-virt-class: 'false'}", BOTH_WAYS);
    let younger = plain().class("d", 2023, DEFAULT, BOTH_WAYS).class("c", 2023, DEFAULT, BOTH_WAYS);
    for (bed, name, content, class) in [
        (&plain(), Some("a"), ContentType::Kubevirt, Some(("a", ClassChoice::Named))),
        (&plain(), Some("none"), ContentType::Kubevirt, None),
        (&plain(), Some(""), ContentType::Kubevirt, None),
        (&plain(), None, ContentType::Kubevirt, Some(("b", ClassChoice::Default))),
        (&virt, None, ContentType::Kubevirt, Some(("c", ClassChoice::DefaultForMachines))),
        (&virt, None, ContentType::Archive, Some(("b", ClassChoice::Default))),
        (&off, None, ContentType::Kubevirt, Some(("b", ClassChoice::Default))),
        (&younger, None, ContentType::Kubevirt, Some(("c", ClassChoice::Default))),
        (&Bed::default(), None, ContentType::Kubevirt, None),
    ] {
        let cluster = bed.cluster();
        let chosen = choose_class(name, content, &cluster.classes);
        let chosen = chosen.map(|(class, choice)| (class.metadata.name.as_deref().unwrap_or_default(), choice));
        assert_eq!(chosen, class, "{name:?} {content:?}");
    }
}

#[test]
fn modes_come_from_the_first_set_that_agrees() {
    let bed = Bed::default().class("a", 2020, DEFAULT, BOTH_WAYS);
    for (storage, becomes) in [
        (format!("{{{SIZE}}}"), "a Block ReadWriteMany 1Gi"),
        (format!("{{volumeMode: '', accessModes: [], {SIZE}}}"), "a Block ReadWriteMany 1Gi"),
        (format!("{{volumeMode: FromStorageProfile, {SIZE}}}"), "a Block ReadWriteMany 1Gi"),
        (format!("{{volumeMode: Filesystem, {SIZE}}}"), "a Filesystem ReadWriteOnce 1138166334"),
        (format!("{{accessModes: [ReadWriteOnce], {SIZE}}}"), "a Block ReadWriteOnce 1Gi"),
        (format!("{{accessModes: [ReadOnlyMany], {SIZE}}}"), "a Block ReadOnlyMany 1Gi"),
        (
            format!("{{accessModes: [ReadOnlyMany], volumeMode: Filesystem, {SIZE}}}"),
            "a Filesystem ReadOnlyMany 1138166334",
        ),
    ] {
        assert_eq!(bed.told(&storage), becomes, "{storage}");
    }
    let block = Bed::default().class("a", 2020, DEFAULT, "[{accessModes: [ReadWriteOnce], volumeMode: Block}]");
    assert_eq!(block.told(&format!("{{volumeMode: Filesystem, {SIZE}}}")), "a Filesystem ReadWriteOnce 1138166334");
}

#[test]
fn files_are_never_unpacked_onto_a_raw_device() {
    let bed = Bed::default().class("a", 2020, DEFAULT, BOTH_WAYS);
    let archive = bed.storage(&format!("{{{SIZE}}}"), ContentType::Archive).unwrap();
    assert_eq!(told(&archive), "a Filesystem ReadWriteOnce 1138166334");
    let block = bed.storage(&format!("{{volumeMode: Block, {SIZE}}}"), ContentType::Archive);
    assert_eq!(block, Err(Refusal::ArchiveOnBlock));
}

#[test]
fn what_can_be_had_from_nowhere_is_refused() {
    let empty = Bed::default().class("a", 2020, DEFAULT, "[]");
    let mut without_profile = Bed::default().class("a", 2020, DEFAULT, "[]");
    without_profile.profiles.clear();
    let both = format!("{{accessModes: [ReadWriteOnce], volumeMode: Block, {SIZE}}}");
    let class = || "a".to_owned();
    for (bed, storage, refusal) in [
        (&Bed::default(), format!("{{{SIZE}}}"), Some(Refusal::NoClass)),
        (&Bed::default(), format!("{{storageClassName: none, {SIZE}}}"), Some(Refusal::NoClass)),
        (&Bed::default(), both.clone(), None),
        (&empty, format!("{{{SIZE}}}"), Some(Refusal::NoAccessMode { class: class() })),
        (&empty, format!("{{volumeMode: Block, {SIZE}}}"), Some(Refusal::NoAccessMode { class: class() })),
        (&empty, format!("{{accessModes: [ReadWriteOnce], {SIZE}}}"), None),
        (&without_profile, format!("{{{SIZE}}}"), Some(Refusal::NoProfile { class: class() })),
        (&without_profile, both, None),
        (&empty, "{accessModes: [ReadWriteOnce]}".to_owned(), Some(Refusal::NoSize)),
    ] {
        assert_eq!(bed.storage(&storage, ContentType::Kubevirt).err(), refusal, "{storage}");
    }
    assert!(Refusal::NoClass.may_pass() && !Refusal::NoSize.may_pass());
    assert!(empty.told(&format!("{{{SIZE}}}")).contains("no accessMode specified in StorageProfile a"));
}

#[test]
fn a_clone_needs_no_size() {
    let bed = Bed::default().class("a", 2020, DEFAULT, BOTH_WAYS);
    let purpose = Purpose { clone: true, ..Purpose::default() };
    let claim = from_storage(&StorageSpec::default(), purpose, &bed.cluster()).unwrap();
    assert_eq!(told(&claim), "a Block ReadWriteMany -");
}

#[test]
fn where_there_is_no_such_class_a_volume_that_fits_gives_the_modes() {
    let made = |size: &str, rest: &str| format!("{{storageClassName: made, capacity: {{storage: {size}}}, {rest}}}");
    let once = "accessModes: [ReadWriteOnce]";
    let bed = Bed::default()
        .volume("big", &made("9Gi", once), "Available")
        .volume("block", &made("3Gi", "accessModes: [ReadWriteOnce, ReadOnlyMany], volumeMode: Block"), "Available")
        .volume("bound", &made("1Gi", once), "Bound")
        .volume(
            "other",
            "{storageClassName: other, accessModes: [ReadWriteMany], capacity: {storage: 1Gi}}",
            "Available",
        );
    for (storage, becomes) in [
        (
            "{storageClassName: made, resources: {requests: {storage: 1Gi}}}",
            "made Block ReadWriteOnce,ReadOnlyMany 1Gi",
        ),
        ("{storageClassName: made, resources: {requests: {storage: 4Gi}}}", "made Filesystem ReadWriteOnce 4552665334"),
        (
            "{storageClassName: made, accessModes: [ReadOnlyMany], resources: {requests: {storage: 1Gi}}}",
            "made Block ReadOnlyMany 1Gi",
        ),
        (
            "{storageClassName: made, accessModes: [ReadWriteMany], resources: {requests: {storage: 1Gi}}}",
            "made - ReadWriteMany 1138166334",
        ),
        (
            "{storageClassName: made, volumeMode: Filesystem, resources: {requests: {storage: 1Gi}}}",
            "made Filesystem ReadWriteOnce 1138166334",
        ),
        (
            "{storageClassName: made, resources: {requests: {storage: 10Gi}}}",
            "PVC spec is missing accessMode and no storageClass to choose profile",
        ),
        (
            "{resources: {requests: {storage: 1Gi}}}",
            "PVC spec is missing accessMode and no storageClass to choose profile",
        ),
    ] {
        assert_eq!(bed.told(storage), becomes, "{storage}");
    }
}

#[test]
fn volumes_are_read_only_if_the_named_class_does_not_exist() {
    let bed = Bed::default().class("a", 2020, DEFAULT, "[]");
    let classes = bed.cluster().classes;
    assert!(needs_volumes(Some("none"), &classes) && needs_volumes(Some(""), &classes));
    assert!(!needs_volumes(Some("a"), &classes) && !needs_volumes(None, &[]));
}

#[test]
fn file_systems_get_the_room_that_is_configured() {
    let mut bed = Bed::default().class("a", 2020, DEFAULT, "[{accessModes: [ReadWriteOnce], volumeMode: Filesystem}]");
    let gibi = format!("{{{SIZE}}}");
    for (overhead, size) in [
        ("{}", "1138166334"),
        ("{filesystemOverhead: {}}", "1138166334"),
        ("{filesystemOverhead: {global: '0.1'}}", "1181116007"),
        ("{filesystemOverhead: {global: '0.1', storageClass: {b: '0.5'}}}", "1181116007"),
        ("{filesystemOverhead: {global: '0.1', storageClass: {a: '0.5'}}}", "1610612736"),
        ("{filesystemOverhead: {global: '0'}}", "1Gi"),
        ("{filesystemOverhead: {global: '1'}}", "2147483648"),
    ] {
        bed.config = Some(serde_saphyr::from_str(overhead).unwrap());
        assert_eq!(bed.told(&gibi), format!("a Filesystem ReadWriteOnce {size}"), "{overhead}");
    }
    bed.config = Some(serde_saphyr::from_str("{filesystemOverhead: {global: '1.5'}}").unwrap());
    assert_eq!(bed.storage(&gibi, ContentType::Kubevirt), Err(Refusal::Overhead { text: "1.5".to_owned() }));
}

#[test]
fn sizes_are_rounded_to_whole_mebibytes_before_the_room_is_added() {
    let bed = Bed::default().class("a", 2020, DEFAULT, "[{accessModes: [ReadWriteOnce], volumeMode: Filesystem}]");
    for (size, becomes) in [("1048577", "2222982"), ("1.5Mi", "2222982"), ("+2Mi", "2222982"), ("2097152", "2222982")] {
        let storage = format!("{{resources: {{requests: {{storage: '{size}'}}}}}}");
        assert_eq!(bed.told(&storage), format!("a Filesystem ReadWriteOnce {becomes}"), "{size}");
    }
    assert!(bed.told("{resources: {requests: {storage: 1GB}}}").contains("resources.requests.storage is \"1GB\""));
}

#[test]
fn no_volume_is_smaller_than_its_class_can_make() {
    let mut bed = Bed::default().class("a", 2020, DEFAULT, BOTH_WAYS);
    bed.profiles[0].metadata.annotations =
        Some([("cdi.kubevirt.io/minimumSupportedPvcSize".to_owned(), "4Gi".to_owned())].into());
    for (storage, becomes) in [
        ("{resources: {requests: {storage: 1Gi}}}", "a Block ReadWriteMany 4294967296"),
        ("{resources: {requests: {storage: 4Gi}}}", "a Block ReadWriteMany 4Gi"),
        ("{resources: {requests: {storage: 5Gi}}}", "a Block ReadWriteMany 5Gi"),
        ("{volumeMode: Filesystem, resources: {requests: {storage: 4Gi}}}", "a Filesystem ReadWriteOnce 4552665334"),
    ] {
        assert_eq!(bed.told(storage), becomes, "{storage}");
    }
    bed.profiles[0].metadata.annotations =
        Some([("cdi.kubevirt.io/minimumSupportedPvcSize".to_owned(), "odd".to_owned())].into());
    assert!(bed.told(&format!("{{{SIZE}}}")).contains("of StorageProfile a is \"odd\""));
}

#[test]
fn a_disk_fits_into_the_volume_that_was_made_for_it() {
    for overhead in ["0", "0.055", "0.06", "0.1", "1"] {
        let overhead = Overhead::read(overhead).unwrap();
        for size in [1_u64, 1 << 20, (1 << 20) + 1, 1 << 30, (1 << 40) - 1] {
            assert!(overhead.usable(overhead.required(size)) >= size, "{overhead:?} {size}");
        }
    }
    for text in ["", ".5", "1.1", "-0.1", "0.1.2", "x", "0.0000000001"] {
        assert_eq!(Overhead::read(text), None, "{text:?}");
    }
}

#[test]
fn what_is_given_stays() {
    let bed = Bed::default().class("a", 2020, DEFAULT, BOTH_WAYS);
    let storage = "{accessModes: [ReadWriteOnce], volumeMode: Block, volumeName: v, selector: {matchLabels: {a: b}},
        resources: {requests: {storage: 1Gi}, limits: {storage: 2Gi}}, dataSourceRef: {apiGroup: g, kind: k, name: n}}";
    let given: StorageSpec = serde_saphyr::from_str(storage).unwrap();
    let claim = bed.storage(storage, ContentType::Kubevirt).unwrap();
    assert_eq!(claim, PersistentVolumeClaimSpec { storage_class_name: Some("a".to_owned()), ..as_claim(&given) });
}
