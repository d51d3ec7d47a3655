//! The rules of volumes that something else fills: `dataSource` and `dataSourceRef` of the claim.

use api::cdi::DataVolumeSpec;
use k8s_openapi::api::core::v1::{TypedLocalObjectReference, TypedObjectReference};

use super::Cause;

/// What a DataVolume says of its external population.
#[derive(Clone, Copy, Debug)]
pub(super) struct External<'a> {
    field: &'static str,
    data_source: Option<&'a TypedLocalObjectReference>,
    data_source_ref: Option<&'a TypedObjectReference>,
}

impl<'a> External<'a> {
    /// Of a DataVolume that names either reference.
    pub(super) fn of(spec: &'a DataVolumeSpec) -> Option<Self> {
        let of_pvc = spec.pvc.as_ref().map(|pvc| ("spec.pvc", &pvc.data_source, &pvc.data_source_ref));
        let of_storage =
            spec.storage.as_ref().map(|storage| ("spec.storage", &storage.data_source, &storage.data_source_ref));
        let (field, data_source, data_source_ref) = of_pvc.or(of_storage)?;
        let external = Self { field, data_source: data_source.as_ref(), data_source_ref: data_source_ref.as_ref() };
        (external.data_source.is_some() || external.data_source_ref.is_some()).then_some(external)
    }

    /// What is wrong with it.
    pub(super) fn causes(self, spec: &DataVolumeSpec) -> Vec<Cause> {
        let mut causes = Vec::new();
        if spec.source.is_some() || spec.source_ref.is_some() {
            let message = "External population is incompatible with Source and SourceRef";
            causes.push(Cause::invalid("spec.source", message));
        }
        if let Some(source) = self.data_source {
            let (name, kind, group) = (&source.name, &source.kind, source.api_group.as_deref());
            causes.extend(self.parts("dataSource", "DataSource", [name, kind], group));
        }
        if let Some(source) = self.data_source_ref {
            let (name, kind, group) = (&source.name, &source.kind, source.api_group.as_deref());
            causes.extend(self.parts("dataSourceRef", "DataSourceRef", [name, kind], group));
            if source.namespace.as_ref().is_some_and(|namespace| !namespace.is_empty()) {
                let message = "Invalid value: DataSourceRef namespace not supported";
                causes.push(Cause::invalid(format!("{}.dataSourceRef.namespace", self.field), message));
            }
        }
        if self.differ() {
            let message = "DataSourceRef and DataSource must match";
            causes.push(Cause::invalid(format!("{}.dataSourceRef", self.field), message));
        }
        causes
    }

    fn parts(self, field: &str, what: &str, [name, kind]: [&str; 2], group: Option<&str>) -> Vec<Cause> {
        let needed = |is_missing: bool, part: &str, why: &str| {
            let field = format!("{}.{field}.{part}", self.field);
            is_missing.then(|| Cause::required(field, format!("Required value: {what} {part}{why}")))
        };
        // Only claims can be named without a group: they are of the core group.
        let no_group = group.is_none_or(str::is_empty) && kind != "PersistentVolumeClaim";
        let why = " when kind is not 'PersistentVolumeClaim'";
        [needed(name.is_empty(), "name", ""), needed(kind.is_empty(), "kind", ""), needed(no_group, "apiGroup", why)]
            .into_iter()
            .flatten()
            .collect()
    }

    fn differ(self) -> bool {
        let (Some(old), Some(new)) = (self.data_source, self.data_source_ref) else { return false };
        let group = |group: &Option<String>| group.clone().unwrap_or_default();
        old.name != new.name || old.kind != new.kind || group(&old.api_group) != group(&new.api_group)
    }
}
