//! The rules of VolumeImportSource and VolumeUploadSource, the data sources of claims that are filled without a DataVolume.

use api::cdi::{ContentType, VolumeImportSource, VolumeImportSourceSpec, VolumeUploadSource};

use super::source::Source;
use super::unchanged::is_unchanged;
use super::{Cause, LONGEST_LABEL, long_name};

/// What is wrong with a new VolumeImportSource.
#[must_use]
pub fn create(source: &VolumeImportSource) -> Vec<Cause> {
    let spec = &source.spec;
    let mut causes: Vec<_> =
        long_name(source.metadata.name.as_deref(), LONGEST_LABEL, "metadata.name").into_iter().collect();
    causes.extend(content(spec.content_type.as_deref()));
    match spec.source.as_ref().map(Source::of_import).unwrap_or_default().as_slice() {
        [] => causes.push(Cause::required("spec.source", "Missing VolumeImport source")),
        [source] => {
            causes.extend(stages(*source, spec));
            causes.extend(source.causes(spec.known_content_type().unwrap_or_default()));
            causes.extend(source.unserved());
        }
        [_, _, ..] => causes.push(Cause::invalid("spec.source", "Multiple VolumeImport sources")),
    }
    causes
}

/// What is wrong with a change to a VolumeImportSource: everything but the stages stays as it was.
#[must_use]
pub fn update(new: &VolumeImportSource, old: &VolumeImportSource) -> Vec<Cause> {
    let without_stages = |spec: &VolumeImportSourceSpec| VolumeImportSourceSpec {
        checkpoints: Vec::new(),
        final_checkpoint: None,
        ..spec.clone()
    };
    let is_next_stage = has_stages(&new.spec) && is_unchanged(&without_stages(&new.spec), &without_stages(&old.spec));
    if new.metadata.deletion_timestamp.is_some() || is_next_stage || is_unchanged(&new.spec, &old.spec) {
        return Vec::new();
    }
    vec![Cause::duplicate("spec", "Cannot update VolumeImportSource Spec")]
}

/// What is wrong with a new VolumeUploadSource, besides that nothing serves it yet.
#[must_use]
pub fn create_upload(source: &VolumeUploadSource) -> Vec<Cause> {
    let name = long_name(source.metadata.name.as_deref(), LONGEST_LABEL, "metadata.name");
    name.into_iter().chain(content(source.spec.content_type.as_deref())).collect()
}

fn content(word: Option<&str>) -> Option<Cause> {
    let message = "ContentType not one of: kubevirt, archive";
    ContentType::of(word).is_none().then(|| Cause::invalid("spec.contentType", message))
}

fn has_stages(spec: &VolumeImportSourceSpec) -> bool {
    let sources = spec.source.as_ref().map(Source::of_import).unwrap_or_default();
    !spec.checkpoints.is_empty() && sources.iter().any(|source| source.has_stages())
}

fn stages(source: Source<'_>, spec: &VolumeImportSourceSpec) -> Option<Cause> {
    let asks = !spec.checkpoints.is_empty() || spec.final_checkpoint == Some(true);
    if asks && !source.has_stages() {
        let message = format!("{} is not imported in stages, only imageio and vddk are", source.field());
        return Some(Cause::invalid("spec.checkpoints", message));
    }
    let has_target = spec.target_claim.as_ref().is_some_and(|claim| !claim.is_empty());
    let message = "Unable to do multi-stage import without specifying a target claim";
    (has_stages(spec) && !has_target).then(|| Cause::invalid("spec.targetClaim", message))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(spec: &str) -> VolumeImportSource {
        let spec = serde_saphyr::from_str(spec).unwrap();
        VolumeImportSource { spec, ..VolumeImportSource::new("vis", VolumeImportSourceSpec::default()) }
    }

    #[test]
    fn sources_of_this_release_are_accepted() {
        for spec in [
            "{source: {http: {url: 'https://a/b'}}}",
            "{source: {http: {url: 'https://a/b'}}, contentType: archive, preallocation: true}",
            "{source: {blank: {}}, contentType: kubevirt}",
            "{source: {blank: {}}, finalCheckpoint: false}",
        ] {
            assert_eq!(create(&source(spec)), [], "{spec}");
        }
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (spec, message) in [
            ("{}", "Missing VolumeImport source"),
            ("{source: {}}", "Missing VolumeImport source"),
            ("{source: {blank: {}, http: {url: 'http://a'}}}", "Multiple VolumeImport sources"),
            ("{source: {blank: {}}, contentType: odd}", "ContentType not one of: kubevirt, archive"),
            (
                "{source: {blank: {}}, contentType: archive}",
                "SourceType cannot be blank and the contentType be archive",
            ),
            ("{source: {http: {url: 'ftp://a'}}}", "spec.source Invalid source URL"),
            ("{source: {http: {url: 'http://a', secretRef: other/secret}}}", "only objects of the same namespace"),
            ("{source: {s3: {url: 'http://a/b'}}}", "spec.source.s3: this release imports from http and blank"),
            (
                "{source: {vddk: {}}, checkpoints: [{current: a, previous: ''}]}",
                "Unable to do multi-stage import without specifying a target claim",
            ),
            ("{source: {blank: {}}, checkpoints: [{current: a, previous: ''}]}", "is not imported in stages"),
        ] {
            let causes = create(&source(spec));
            assert!(causes.iter().any(|cause| cause.to_string().contains(message)), "{spec}: {causes:?}");
        }
    }

    #[test]
    fn a_name_has_at_most_63_characters() {
        let mut long = source("{source: {blank: {}}}");
        long.metadata.name = Some("a".repeat(63));
        assert_eq!(create(&long), []);
        long.metadata.name = Some("a".repeat(64));
        assert_eq!(create(&long)[0].message, "Name cannot be longer than 63 characters");
        let mut upload = VolumeUploadSource::default();
        assert_eq!(create_upload(&upload), []);
        upload.metadata.name = Some("a".repeat(64));
        upload.spec.content_type = Some("odd".to_owned());
        assert_eq!(create_upload(&upload).len(), 2);
    }

    #[test]
    fn only_stages_may_change() {
        let vddk = "{source: {vddk: {uuid: a}}, targetClaim: t, checkpoints: [{current: a, previous: ''}]}";
        let next = "{source: {vddk: {uuid: a}}, targetClaim: t, checkpoints: [{current: b, previous: a}], finalCheckpoint: true}";
        let other = "{source: {vddk: {uuid: b}}, targetClaim: t, checkpoints: [{current: b, previous: a}]}";
        let (blank, http) = ("{source: {blank: {}}}", "{source: {http: {url: 'http://a'}}}");
        for (old, new, is_allowed) in
            [(vddk, vddk, true), (vddk, next, true), (vddk, other, false), (blank, blank, true), (blank, http, false)]
        {
            let causes = update(&source(new), &source(old));
            assert_eq!(causes.is_empty(), is_allowed, "{old} -> {new}");
            assert!(is_allowed || causes[0].message == "Cannot update VolumeImportSource Spec");
        }
    }
}
