//! The webhooks: which kinds each of them judges, what it reads for that, and by which rule.

use std::sync::Arc;

use api::cdi::{Cdi, DataVolume, VolumeImportSource, VolumeUploadSource};
use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::core::DynamicObject;
use kube::core::admission::Operation;
use serde::de::DeserializeOwned;

use super::facts::{Facts, Objects, Unread};
use super::review::{Error, Request, Verdict};
use crate::admission::crd::Ours;
use crate::admission::{cdi, claim, crd, datavolume, importsource, mutate, unserved};
use api::render::{Cluster, needs_volumes};

/// The webhooks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Webhook {
    /// Checks DataVolumes.
    DataVolumeValidate,
    /// Completes DataVolumes.
    DataVolumeMutate,
    /// Checks DataImportCrons.
    DataImportCronValidate,
    /// Checks VolumeImportSources and VolumeUploadSources.
    PopulatorValidate,
    /// Checks ObjectTransfers.
    ObjectTransferValidate,
    /// Keeps the object CDI while it is needed.
    CdiValidate,
    /// Completes claims.
    ClaimMutate,
    /// Refuses objects that no controller serves.
    UnservedValidate,
    /// Keeps the definitions of our kinds while there are objects of them.
    DefinitionValidate,
}

impl Webhook {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::DataVolumeValidate,
        Self::DataVolumeMutate,
        Self::DataImportCronValidate,
        Self::PopulatorValidate,
        Self::ObjectTransferValidate,
        Self::CdiValidate,
        Self::ClaimMutate,
        Self::UnservedValidate,
        Self::DefinitionValidate,
    ];

    /// Its path.
    #[must_use]
    pub const fn path(self) -> &'static str {
        match self {
            Self::DataVolumeValidate => "/datavolume-validate",
            Self::DataVolumeMutate => "/datavolume-mutate",
            Self::DataImportCronValidate => "/dataimportcron-validate",
            Self::PopulatorValidate => "/populator-validate",
            Self::ObjectTransferValidate => "/objecttransfer-validate",
            Self::CdiValidate => "/cdi-validate",
            Self::ClaimMutate => "/pvc-mutate",
            Self::UnservedValidate => "/unserved-validate",
            Self::DefinitionValidate => "/crd-validate",
        }
    }

    /// The kinds it judges.
    #[must_use]
    pub const fn kinds(self) -> &'static [&'static str] {
        match self {
            Self::DataVolumeValidate | Self::DataVolumeMutate => &["DataVolume"],
            Self::DataImportCronValidate => &["DataImportCron"],
            Self::PopulatorValidate => &["VolumeImportSource", "VolumeUploadSource"],
            Self::ObjectTransferValidate => &["ObjectTransfer"],
            Self::CdiValidate => &["CDI"],
            Self::ClaimMutate => &["PersistentVolumeClaim"],
            Self::UnservedValidate => &unserved::KINDS,
            Self::DefinitionValidate => &["CustomResourceDefinition"],
        }
    }

    /// Judges a request. Dry runs are judged like others: nothing is changed here in either case.
    ///
    /// # Errors
    /// The request is not one for this webhook, or its object cannot be read.
    pub(super) async fn judge<F: Facts>(self, request: &Request, facts: &F) -> Result<Verdict, Error> {
        let kind = request.kind.kind.as_str();
        if !self.kinds().contains(&kind) {
            return Err(self.stray(request));
        }
        // Status and other parts of an object are not what these rules are about.
        if request.sub_resource.as_deref().is_some_and(|part| !part.is_empty()) {
            return Ok(Verdict::Allowed);
        }
        match (self, &request.operation) {
            (Self::DataVolumeValidate, Operation::Create) => data_volume(request, facts).await,
            (Self::DataVolumeValidate, Operation::Update) => {
                Ok(datavolume::update(&new::<DataVolume>(request)?, &old(request)?).into())
            }
            (Self::DataVolumeMutate, Operation::Create | Operation::Update) => {
                Ok(changed(mutate::data_volume(object(request)?)))
            }
            (Self::PopulatorValidate, Operation::Create) if kind == "VolumeImportSource" => {
                Ok(importsource::create(&new::<VolumeImportSource>(request)?).into())
            }
            (Self::PopulatorValidate, Operation::Update) if kind == "VolumeImportSource" => {
                Ok(importsource::update(&new::<VolumeImportSource>(request)?, &old(request)?).into())
            }
            (Self::PopulatorValidate, Operation::Create) => upload_source(request),
            (Self::CdiValidate, Operation::Delete) => installation(request, facts).await,
            (Self::CdiValidate, Operation::Create | Operation::Update) => Ok(Verdict::Allowed),
            (Self::ClaimMutate, Operation::Create) => claim_of(request, facts).await,
            (Self::DefinitionValidate, Operation::Delete) => definition(request, facts).await,
            (_, Operation::Create) if unserved::KINDS.contains(&kind) => Ok(Verdict::Refused(unserved::create(kind).0)),
            (_, Operation::Update) if unserved::KINDS.contains(&kind) => {
                Ok(unserved::update(kind, object(request)?, old_object(request)?).into())
            }
            (_, Operation::Delete) => Ok(Verdict::Allowed),
            _ => Err(self.stray(request)),
        }
    }

    /// What the user should know besides the verdict.
    pub(super) fn warnings(self, request: &Request) -> Vec<String> {
        match (self, &request.object) {
            (Self::CdiValidate, Some(object)) => cdi::warnings(&object.data["spec"]),
            _ => unserved::warnings(&request.kind.kind),
        }
    }

    fn stray(self, request: &Request) -> Error {
        let operation = format!("{:?}", request.operation).to_uppercase();
        Error::Stray { path: self.path(), operation, kind: request.kind.kind.clone() }
    }
}

async fn data_volume<F: Facts>(request: &Request, facts: &F) -> Result<Verdict, Error> {
    let volume: DataVolume = new(request)?;
    let observe = async {
        let namespace = request.namespace.as_deref().or(volume.metadata.namespace.as_deref()).unwrap_or_default();
        let claim = match volume.metadata.name.as_deref() {
            Some(name) => facts.claim(namespace, name).await?,
            None => None,
        };
        let adopts_claims = facts.storage()?.adopts_claims();
        Ok::<_, Unread>(datavolume::Observed { claim, adopts_claims })
    };
    Ok(match observe.await {
        Ok(observed) => datavolume::create(&volume, &observed).into(),
        Err(unread) => unread.into(),
    })
}

fn upload_source(request: &Request) -> Result<Verdict, Error> {
    let causes = importsource::create_upload(&new::<VolumeUploadSource>(request)?);
    if causes.is_empty() { Ok(Verdict::Refused(unserved::create("VolumeUploadSource").0)) } else { Ok(causes.into()) }
}

async fn installation<F: Facts>(request: &Request, facts: &F) -> Result<Verdict, Error> {
    let object: Cdi = old(request)?;
    if !cdi::depends_on_data_volumes(&object) {
        return Ok(Verdict::Allowed);
    }
    let ours = Ours {
        group: api::cdi::GROUP.to_owned(),
        version: api::cdi::VERSION.to_owned(),
        plural: "datavolumes".to_owned(),
        kind: "DataVolume".to_owned(),
    };
    Ok(match facts.count(&Objects { ours, selector: Some(cdi::selector()) }).await {
        Ok(count) => cdi::delete(&object, count).into(),
        Err(unread) => unread.into(),
    })
}

async fn definition<F: Facts>(request: &Request, facts: &F) -> Result<Verdict, Error> {
    let definition: CustomResourceDefinition = old(request)?;
    let Some(ours) = crd::guarded(&definition) else { return Ok(Verdict::Allowed) };
    Ok(match facts.count(&Objects { ours: ours.clone(), selector: None }).await {
        Ok(count) => crd::delete(&ours, count).into(),
        Err(unread) => unread.into(),
    })
}

async fn claim_of<F: Facts>(request: &Request, facts: &F) -> Result<Verdict, Error> {
    let claim: PersistentVolumeClaim = new(request)?;
    if !claim::asks(&claim) {
        return Ok(Verdict::Allowed);
    }
    let observe = async {
        let storage = facts.storage()?;
        if !storage.completes_claims() {
            return Ok(None);
        }
        let classes: Vec<_> = storage.classes.iter().map(Arc::as_ref).collect();
        let name = claim.spec.as_ref().and_then(|spec| spec.storage_class_name.as_deref());
        let volumes = if needs_volumes(name, &classes) { facts.volumes().await? } else { Vec::new() };
        Ok::<_, Unread>(Some((storage, volumes)))
    };
    let (storage, volumes) = match observe.await {
        Ok(Some(observed)) => observed,
        Ok(None) => return Ok(Verdict::Allowed),
        Err(unread) => return Ok(unread.into()),
    };
    let cluster = Cluster {
        classes: storage.classes.iter().map(Arc::as_ref).collect(),
        profiles: storage.profiles.iter().map(Arc::as_ref).collect(),
        volumes: volumes.iter().collect(),
        config: storage.config.as_ref().and_then(|config| config.status.as_ref()),
    };
    Ok(match claim::render(&claim, &cluster) {
        Ok(spec) => changed(claim::patch(&object(request)?.data, &spec)),
        Err(refusal) => refusal.into(),
    })
}

fn changed(patch: json_patch::Patch) -> Verdict {
    if patch.0.is_empty() { Verdict::Allowed } else { Verdict::Patched(patch) }
}

fn object(request: &Request) -> Result<&DynamicObject, Error> {
    request.object.as_ref().ok_or(Error::NoObject("object"))
}

fn old_object(request: &Request) -> Result<&DynamicObject, Error> {
    request.old_object.as_ref().ok_or(Error::NoObject("old object"))
}

fn new<T: DeserializeOwned>(request: &Request) -> Result<T, Error> {
    typed(request, object(request)?)
}

fn old<T: DeserializeOwned>(request: &Request) -> Result<T, Error> {
    typed(request, old_object(request)?)
}

fn typed<T: DeserializeOwned>(request: &Request, object: &DynamicObject) -> Result<T, Error> {
    let value = serde_json::to_value(object).and_then(serde_json::from_value);
    value.map_err(|source| Error::Object { kind: request.kind.kind.clone(), source })
}
