//! Names of the objects that controllers make.

use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use kube::ResourceExt;

/// Longest name of an object.
const LONGEST: usize = 253;

/// Container of an importer pod.
pub(crate) const IMPORTER_CONTAINER: &str = "importer";

/// Pod that fills the claim of this name.
pub(crate) fn importer(claim: &str) -> String {
    shortened(&format!("importer-{claim}"))
}

/// Copy of the authorities of the installation's proxy, for the importer pod of this claim.
pub(crate) fn proxy_authorities(claim: &str) -> String {
    shortened(&format!("import-proxy-cm-{claim}"))
}

/// Claim that is filled in place of `target` and then hands its volume over.
pub(crate) fn prime(target: &PersistentVolumeClaim) -> String {
    format!("prime-{}", target.uid().unwrap_or_default())
}

/// VolumeImportSource of the DataVolume with this uid.
pub(crate) fn import_source(data_volume: &str) -> String {
    format!("volume-import-source-{data_volume}")
}

/// A name that is too long loses its middle to a digest of all of it.
fn shortened(name: &str) -> String {
    if name.len() <= LONGEST {
        return name.to_owned();
    }
    // Nothing depends on its strength but two names of one namespace that differ in their middle only.
    let digest = format!("-{}-", digest(name.as_bytes()));
    let half = (LONGEST - digest.len()) / 2;
    let (begin, end) = (name.floor_char_boundary(half), name.ceil_char_boundary(name.len() - half));
    format!("{}{digest}{}", &name[..begin], &name[end..])
}

/// FNV-1a in hexadecimal digits: stable for ever. It tells apart what nobody makes look alike on purpose.
pub(crate) fn digest(of: &[u8]) -> String {
    let add = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
    format!("{:016x}", of.iter().fold(0xcbf2_9ce4_8422_2325_u64, add))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_name_keeps_its_ends_and_differs_where_its_middle_does() {
        let long = |middle: &str| format!("{}{middle}{}", "a".repeat(140), "z".repeat(110));
        let (one, other) = (importer(&long("b")), importer(&long("c")));
        assert!(one.len() <= LONGEST && one.starts_with("importer-aaa") && one.ends_with("zzz"), "{one}");
        assert_ne!(one, other);
        assert_eq!(importer("disk"), "importer-disk");
    }
}
