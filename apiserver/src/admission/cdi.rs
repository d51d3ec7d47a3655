//! Whether the object CDI, and the product with it, may go.

use api::cdi::Cdi;
use api::label;
use serde_json::Value;

use super::{Count, Refusal};

/// The strategy under which the product stays as long as somebody uses it.
const BLOCK_IF_USED: &str = "BlockUninstallIfWorkloadsExist";

/// The DataVolumes that keep it: those of a DataImportCron are made again, and go with it.
#[must_use]
pub fn selector() -> String {
    format!("!{}", label::DATA_IMPORT_CRON)
}

/// Whether DataVolumes have to be counted: an installation that never worked may always go.
#[must_use]
pub fn depends_on_data_volumes(cdi: &Cdi) -> bool {
    let phase = cdi.status.as_ref().and_then(|status| status.phase.as_deref()).unwrap_or_default();
    cdi.spec.uninstall_strategy.as_deref() == Some(BLOCK_IF_USED) && !["", "Error"].contains(&phase)
}

/// Fields that an operator would heed, which comes with a later release.
const UNHEEDED: [&str; 5] = ["imagePullPolicy", "infra", "customizeComponents", "certConfig", "priorityClass"];

/// What the user should know of a specification: manifests of CDI are taken as they are, and nothing is ignored in silence.
#[must_use]
pub fn warnings(spec: &Value) -> Vec<String> {
    let unheeded = UNHEEDED.iter().filter(|field| !spec[**field].is_null());
    let said = |field: &&str| {
        format!(
            "spec.{field} has no effect: this release has no operator, change the Deployments of deploy/gantry.yaml instead"
        )
    };
    let clones = (!spec["cloneStrategyOverride"].is_null())
        .then(|| "spec.cloneStrategyOverride has no effect: this release does not clone".to_owned());
    unheeded.map(said).chain(clones).collect()
}

/// Why the object stays, if DataVolumes keep it.
#[must_use]
pub fn delete(cdi: &Cdi, data_volumes: Count) -> Option<Refusal> {
    let is_used = data_volumes.seen > 0 && depends_on_data_volumes(cdi);
    is_used.then(|| {
        Refusal(format!(
            "rejecting the uninstall request, since there are still {data_volumes} DataVolumes present: delete them first, or \
             set spec.uninstallStrategy to RemoveWorkloads"
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cdi(spec: &str, phase: Option<&str>) -> Cdi {
        let mut cdi = Cdi::new("cdi", serde_saphyr::from_str(spec).unwrap());
        cdi.status = phase.map(|phase| api::cdi::CdiStatus { phase: Some(phase.to_owned()), ..Default::default() });
        cdi
    }

    const BLOCK: &str = "{uninstallStrategy: BlockUninstallIfWorkloadsExist}";

    #[test]
    fn data_volumes_keep_a_working_installation_if_it_says_so() {
        let two = Count { seen: 2, more: false };
        for (spec, phase, count, is_kept) in [
            (BLOCK, Some("Deployed"), two, true),
            (BLOCK, Some("Upgrading"), two, true),
            (BLOCK, Some("Deployed"), Count::default(), false),
            (BLOCK, Some("Error"), two, false),
            (BLOCK, Some(""), two, false),
            (BLOCK, None, two, false),
            ("{uninstallStrategy: RemoveWorkloads}", Some("Deployed"), two, false),
            ("{}", Some("Deployed"), two, false),
        ] {
            assert_eq!(delete(&cdi(spec, phase), count).is_some(), is_kept, "{spec} {phase:?} {count:?}");
        }
    }

    #[test]
    fn the_refusal_tells_how_many_there_are() {
        let told = |count| delete(&cdi(BLOCK, Some("Deployed")), count).unwrap().0;
        assert!(told(Count { seen: 2, more: false }).contains("there are still 2 DataVolumes present"));
        assert!(told(Count { seen: 500, more: true }).contains("there are still more than 500 DataVolumes present"));
    }

    #[test]
    fn data_volumes_of_crons_are_left_out_of_the_count() {
        assert_eq!(selector(), "!cdi.kubevirt.io/dataImportCron");
    }

    #[test]
    fn what_has_no_effect_is_named_and_what_has_is_not() {
        let heeded = serde_json::json!({
            "config": {}, "workload": {}, "uninstallStrategy": "RemoveWorkloads",
        });
        assert_eq!(warnings(&heeded), [""; 0]);
        assert_eq!(warnings(&Value::Null), [""; 0]);
        let unheeded = serde_json::json!({"infra": {}, "certConfig": {}, "cloneStrategyOverride": "copy"});
        let said = warnings(&unheeded);
        for (said, field) in said.iter().zip(["spec.infra", "spec.certConfig", "spec.cloneStrategyOverride"]) {
            assert!(said.starts_with(field), "{said}");
        }
        assert_eq!(said.len(), 3);
    }
}
