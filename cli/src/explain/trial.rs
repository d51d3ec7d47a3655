//! One DataVolume, tried from its creation to its importer pod.

use api::cdi::DataVolume;
use api::render::{FROM_STORAGE_PROFILE, Purpose, complete, needs_volumes};
use contract::{Code, Failure};
use controller::Settings;
use controller::preview::{self, Cluster, Filling, First, Made};
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod};
use k8s_openapi::api::storage::v1::StorageClass;
use kube::ResourceExt;
use serde::Serialize;
use serde_json::Value;

use super::ask::{self, Answer, CLAIM, DATA_VOLUME, Kind, POD};
use super::documents::Documents;
use super::facts::{Facts, Reader};
use super::quota::{self, Needs};
use super::report::{PrimeClaim, Report, Verdict, Word};
use super::{credentials, describe, policy};
use crate::kubernetes::Access;

/// What trials need.
pub(super) struct Trial<'a> {
    pub(super) access: &'a Access,
    pub(super) facts: &'a Facts,
    pub(super) documents: &'a Documents,
    pub(super) installation: &'a str,
}

/// A DataVolume on trial, as far as it has come.
struct Tried<'a> {
    trial: &'a Trial<'a>,
    reader: Reader<'a>,
    namespace: String,
    settings: Settings,
    cluster: Cluster,
    report: Report,
}

impl Trial<'_> {
    /// Everything about the DataVolume that `document` describes.
    ///
    /// # Errors
    /// It is none, or the cluster cannot be asked.
    pub(super) async fn of(&self, document: &Value) -> Result<Report, Failure> {
        let namespace = self.namespace(document)?;
        let mut tried = Tried {
            trial: self,
            reader: Reader::new(&self.access.client),
            settings: self.facts.settings(self.installation),
            cluster: self.facts.cluster.clone(),
            report: Report {
                namespace: namespace.clone(),
                name: document["metadata"]["name"].as_str().unwrap_or_default().to_owned(),
                notes: self.facts.notes.clone(),
                ..Report::default()
            },
            namespace,
        };
        if let Some(data_volume) = tried.admission(document).await? {
            tried.follow(&data_volume).await?;
        }
        let Tried { reader, mut report, .. } = tried;
        report.notes.extend(reader.into_notes());
        Ok(report)
    }

    /// The namespace that a document is meant for.
    fn namespace(&self, document: &Value) -> Result<String, Failure> {
        let (wanted, named) = (&self.access.namespace, document["metadata"]["namespace"].as_str());
        match named {
            Some(named) if self.access.is_named && named != wanted => {
                let what = format!("the DataVolume is of the namespace {named}, and --namespace says {wanted}");
                Err(Failure::new(Code::Usage, what).remedy(format!("give --namespace {named}, or none")))
            }
            Some(named) => Ok(named.to_owned()),
            None => Ok(wanted.clone()),
        }
    }
}

impl Tried<'_> {
    /// The DataVolume as the API server would keep it; nothing if it would not.
    async fn admission(&mut self, document: &Value) -> Result<Option<DataVolume>, Failure> {
        let answer = ask::create(self.trial.access, DATA_VOLUME, &self.namespace, document).await?;
        let (verdict, kept) = match answer {
            Answer::Accepted(kept) => (Verdict::accepted(), Some(kept)),
            Answer::Refused(failure) => (self.refused(failure), None),
            Answer::Exists => (self.again(document).await?, None),
            Answer::NotAllowed(said) => {
                self.report.refusals.push(Failure::new(Code::ClusterDenied, said.clone()));
                (Verdict::refused(said), Some(document.clone()))
            }
        };
        self.report.admission = verdict;
        let Some(kept) = kept else { return Ok(None) };
        let mut data_volume: DataVolume = serde_json::from_value(kept).map_err(|error| {
            Failure::new(Code::Usage, format!("the DataVolume {} cannot be read: {error}", self.report.name))
        })?;
        data_volume.metadata.namespace.get_or_insert_with(|| self.namespace.clone());
        data_volume.metadata.uid.get_or_insert_with(|| describe::UID.to_owned());
        // One whose name is generated has one by now.
        self.report.name = data_volume.name_any();
        Ok(Some(data_volume))
    }

    /// What would come of applying a DataVolume that is there already.
    async fn again(&mut self, document: &Value) -> Result<Verdict, Failure> {
        let name = &self.report.name;
        Ok(match ask::apply(self.trial.access, DATA_VOLUME, &self.namespace, name, document).await? {
            Answer::Refused(failure) => self.refused(failure),
            Answer::NotAllowed(said) => Verdict::unknown(said),
            Answer::Accepted(kept) => {
                let phase = kept["status"]["phase"].as_str().unwrap_or("not known").to_owned();
                self.report
                    .notes
                    .push(format!("the DataVolume is there already, in the phase {phase}: nothing is made"));
                Verdict::accepted()
            }
            Answer::Exists => Verdict::accepted(),
        })
    }

    fn refused(&mut self, failure: Failure) -> Verdict {
        let verdict = Verdict::refused(failure.what());
        self.report.refusals.push(failure);
        verdict
    }

    async fn follow(&mut self, data_volume: &DataVolume) -> Result<(), Failure> {
        self.cluster.claim = self.reader.claim(&self.namespace, &data_volume.name_any()).await?;
        self.look_for_class(data_volume).await?;
        match preview::first(data_volume, &self.cluster, &self.settings) {
            First::Makes(made) => self.make(data_volume, &made).await,
            First::Adopts => {
                self.report
                    .notes
                    .push("the claim of its name becomes the DataVolume's as it is; nothing is imported".into());
                Ok(())
            }
            First::Populated => {
                self.report.notes.push("the disk is there, or somebody else brings it; nothing is imported".into());
                Ok(())
            }
            First::Waits(failure) if failure.code() == Code::ClaimNoClass && !self.trial.facts.classes_known => {
                self.report.notes.push(format!("which class is taken is not known: {failure}"));
                Ok(())
            }
            First::Waits(failure) => {
                self.report.refusals.push(failure);
                Ok(())
            }
        }
    }

    /// Volumes matter where a class is named that is not there; a class that may not be looked at is taken to be.
    async fn look_for_class(&mut self, data_volume: &DataVolume) -> Result<(), Failure> {
        let spec = &data_volume.spec;
        let of_pvc = spec.pvc.as_ref().and_then(|claim| claim.storage_class_name.clone());
        let Some(name) = of_pvc.or_else(|| spec.storage.as_ref()?.storage_class_name.clone()) else { return Ok(()) };
        let classes: Vec<&StorageClass> = self.cluster.classes.iter().map(AsRef::as_ref).collect();
        if !needs_volumes(Some(&name), &classes) {
            return Ok(());
        }
        if self.trial.facts.classes_known {
            self.cluster.volumes = self.reader.volumes().await?;
            return Ok(());
        }
        let mut class = StorageClass::default();
        class.metadata.name = Some(name.clone());
        self.cluster.drivers.push(String::new());
        self.cluster.classes.push(std::sync::Arc::new(class));
        self.report
            .notes
            .push(format!("the class {name} is taken to exist, with a CSI driver that makes volumes at once"));
        Ok(())
    }

    async fn make(&mut self, data_volume: &DataVolume, made: &Made) -> Result<(), Failure> {
        self.report.class = made.class.as_ref().map(describe::class);
        self.report.way = Some(describe::way(made.way, made.reason));
        let (target, verdict) = self.claim(&made.claim).await?;
        let is_taken = verdict.answer != Word::Refused;
        self.report.claim = Some(describe::claim(data_volume, &target, &self.cluster, verdict));
        let filling = match preview::filling(&target, made, &self.cluster, &self.settings) {
            Ok(filling) => filling,
            Err(failure) => {
                self.report.refusals.push(failure);
                None
            }
        };
        let Some(filling) = filling else { return Ok(()) };
        self.report.start = Some(describe::start(filling.start));
        if let Some(prime) = &filling.prime {
            // One that is like it was refused already.
            let verdict =
                if is_taken { self.answer(CLAIM, prime).await?.1 } else { Verdict::unknown("the claim is refused") };
            let size = describe::size(prime.spec.as_ref());
            self.report.prime_claim =
                Some(PrimeClaim { name: describe::pattern(&prime.name_any(), &target), size, verdict });
        }
        let pod = self.pod(&filling, &target).await?;
        self.limits(made, &target, &filling, pod.as_ref()).await?;
        self.room(made, &target).await
    }

    /// The claim as the API server would keep it, or as far as it can be told without.
    async fn claim(&mut self, planned: &PersistentVolumeClaim) -> Result<(PersistentVolumeClaim, Verdict), Failure> {
        let (kept, verdict) = self.answer(CLAIM, planned).await?;
        let kept = kept.and_then(|kept| serde_json::from_value(kept).ok());
        let mut claim: PersistentVolumeClaim = kept.unwrap_or_else(|| self.completed(planned));
        claim.metadata.uid.get_or_insert_with(|| describe::UID.to_owned());
        Ok((claim, verdict))
    }

    /// The claim as the webhook completes it.
    fn completed(&self, planned: &PersistentVolumeClaim) -> PersistentVolumeClaim {
        let spec = planned.spec.clone().unwrap_or_default();
        if spec.volume_mode.as_deref() != Some(FROM_STORAGE_PROFILE) {
            return planned.clone();
        }
        let cluster = api::render::Cluster {
            classes: self.cluster.classes.iter().map(AsRef::as_ref).collect(),
            profiles: self.cluster.profiles.iter().map(AsRef::as_ref).collect(),
            volumes: self.cluster.volumes.iter().map(AsRef::as_ref).collect(),
            config: self.cluster.config.as_ref().and_then(|config| config.status.as_ref()),
        };
        let spec = complete(&spec, Purpose::default(), &cluster).unwrap_or(spec);
        PersistentVolumeClaim { spec: Some(spec), ..planned.clone() }
    }

    /// The pod as the API server would keep it.
    async fn pod(&mut self, filling: &Filling, target: &PersistentVolumeClaim) -> Result<Option<Pod>, Failure> {
        let Some(planned) = &filling.pod else { return Ok(None) };
        let (kept, verdict) = self.answer(POD, planned).await?;
        let kept: Option<Pod> = kept.and_then(|kept| serde_json::from_value(kept).ok());
        let image_known = self.trial.facts.settings.is_some();
        self.report.pod = Some(describe::pod(planned, kept.as_ref(), target, image_known, verdict));
        let (source, failure) = policy::judge(planned);
        self.report.source = source;
        self.report.refusals.extend(failure);
        let copied = filling.authorities.as_ref().map(|(_, copy)| copy.as_str());
        for reference in credentials::references(planned, copied) {
            let access = self.trial.access;
            let known = credentials::look(access, &self.namespace, &reference, self.trial.documents).await?;
            let (credential, failure) = credentials::judge(&reference, &known, &self.namespace);
            self.report.credentials.push(credential);
            self.report.refusals.extend(failure);
        }
        if let Some((original, copy)) = &filling.authorities {
            let original = format!("{}/{original}", self.trial.installation);
            self.report.notes.push(format!(
                "the ConfigMap {original} is copied for the pod, as {}",
                describe::pattern(copy, target)
            ));
        }
        Ok(Some(kept.unwrap_or_else(|| planned.clone())))
    }

    /// What quotas and limits say of everything together.
    async fn limits(
        &mut self,
        made: &Made,
        target: &PersistentVolumeClaim,
        filling: &Filling,
        pod: Option<&Pod>,
    ) -> Result<(), Failure> {
        let (quotas, ranges) = self.reader.limits(&self.namespace).await?;
        let claims: Vec<&PersistentVolumeClaim> = std::iter::once(target).chain(&filling.prime).collect();
        let mut others = vec!["datavolumes.cdi.kubevirt.io"];
        others.extend(made.source.as_ref().map(|_| "volumeimportsources.cdi.kubevirt.io"));
        let needs = Needs::of(&claims, pod, &others);
        self.report.quotas = quotas.iter().filter_map(|quota| quota::judge(quota, &needs)).collect();
        self.report.limits = quota::limits(&ranges);
        // The API server's own words come first.
        if !self.report.refusals.iter().any(|failure| failure.code() == Code::QuotaExceeded) {
            self.report.refusals.extend(quota::exceeded(&self.report.quotas));
        }
        Ok(())
    }

    async fn room(&mut self, made: &Made, target: &PersistentVolumeClaim) -> Result<(), Failure> {
        if !describe::publishes_capacity(made, &self.trial.facts.drivers) {
            return Ok(());
        }
        let Some(published) = self.reader.capacities().await? else { return Ok(()) };
        let spec = target.spec.as_ref();
        let class = spec.and_then(|spec| spec.storage_class_name.as_deref()).unwrap_or_default();
        let (capacity, failure) = describe::capacity(class, describe::size(spec), &published);
        self.report.capacity = Some(capacity);
        self.report.refusals.extend(failure);
        Ok(())
    }

    /// Asks about an object that a controller would make.
    async fn answer(&mut self, kind: Kind, object: &impl Serialize) -> Result<(Option<Value>, Verdict), Failure> {
        let mut object = serde_json::to_value(object)
            .map_err(|error| Failure::new(Code::Internal, format!("cannot make the object: {error}")))?;
        // Its owner is not there to be owned by.
        if let Some(metadata) = object["metadata"].as_object_mut() {
            metadata.remove("ownerReferences");
        }
        Ok(match ask::create(self.trial.access, kind, &self.namespace, &object).await? {
            Answer::Accepted(kept) => (Some(kept), Verdict::accepted()),
            Answer::Refused(failure) => (None, self.refused(failure)),
            Answer::Exists => {
                let name = object["metadata"]["name"].as_str().unwrap_or_default();
                (None, Verdict::unknown(format!("there is one called {name} already")))
            }
            Answer::NotAllowed(said) => (None, Verdict::unknown(said)),
        })
    }
}
