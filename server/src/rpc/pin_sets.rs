//! `PinSetService`.

use pinion_core::name::PinSetName;
use pinion_core::policy::Policy;
use pinion_proto::v1 as proto;
use pinion_proto::v1::pin_set_service_server::PinSetService;
use pinion_proto::v1::{
    CreatePinSetRequest, CreatePinSetResponse, DropWantedRequest, DropWantedResponse,
    FreezePinSetRequest, FreezePinSetResponse, GetPinSetRequest, GetPinSetResponse,
    ImportPinsRequest, ImportPinsResponse, LiftBlockRequest, LiftBlockResponse, ListBlocksRequest,
    ListBlocksResponse, ListPinSetsRequest, ListPinSetsResponse, ListWantedRequest,
    ListWantedResponse, ResolvePolicyRequest, ResolvePolicyResponse, UnfreezePinSetRequest,
    UnfreezePinSetResponse, UpdatePinSetRequest, UpdatePinSetResponse,
};
use tonic::{Request, Response, Status};

use super::page::part;
use super::wire::Unreadable;
use super::{Rpc, wire};
use crate::controller::{Identity, Refusal};
use crate::snapshot::PinSetEntry;
use crate::store::records::Role;

/// Changes that the answer to an import lists.
const CHANGES_MAX: usize = 1000;

impl Rpc {
    fn told_pin_set(&self, entry: &PinSetEntry) -> proto::PinSet {
        let name = &entry.stored.record.name;
        let news = wire::PinSetNews {
            following: self.controller.following(name),
            tracking: self.controller.tracking(entry),
            now: self.controller.clock.now(),
        };
        wire::pin_set(entry, &self.controller.snapshot(), &news)
    }

    fn shown(&self, caller: &Identity, name: &PinSetName) -> Result<proto::PinSet, Refusal> {
        let snapshot = self.controller.snapshot();
        caller.require_pin_set(name)?;
        let entry = snapshot
            .pin_set(name)
            .ok_or_else(|| Refusal::no_pin_set(name))?;
        Ok(self.told_pin_set(entry))
    }
}

#[tonic::async_trait]
impl PinSetService for Rpc {
    async fn create_pin_set(
        &self,
        request: Request<CreatePinSetRequest>,
    ) -> Result<Response<CreatePinSetResponse>, Status> {
        let caller = self.caller(&request)?;
        let CreatePinSetRequest {
            name,
            ecosystem,
            policy,
            source,
            track,
        } = request.into_inner();
        let name: PinSetName = wire::name("name", &name)?;
        let ecosystem = wire::to_ecosystem(ecosystem)?;
        let policy = policy.map_or(Ok(Policy::default()), wire::to_policy)?;
        let source = source.map(wire::source).transpose()?;
        self.controller
            .create_pin_set(&caller, &name, ecosystem, (policy, source), track)
            .await?;
        Ok(Response::new(CreatePinSetResponse {
            pin_set: Some(self.shown(&caller, &name)?),
        }))
    }

    async fn get_pin_set(
        &self,
        request: Request<GetPinSetRequest>,
    ) -> Result<Response<GetPinSetResponse>, Status> {
        let caller = self.caller(&request)?;
        caller.require(&[Role::Viewer])?;
        let GetPinSetRequest {
            name,
            page_size,
            page_token,
        } = request.into_inner();
        let name: PinSetName = wire::name("name", &name)?;
        let part = part(page_size, &page_token, 1000)?;
        let pin_set = self.shown(&caller, &name)?;
        let snapshot = self.controller.snapshot();
        let entry = snapshot
            .pin_set(&name)
            .ok_or_else(|| Refusal::no_pin_set(&name))?;
        let (pins, next_page_token) = part.of(entry.baseline.iter().map(wire::from_pin));
        Ok(Response::new(GetPinSetResponse {
            pin_set: Some(pin_set),
            pins,
            next_page_token,
        }))
    }

    async fn list_pin_sets(
        &self,
        request: Request<ListPinSetsRequest>,
    ) -> Result<Response<ListPinSetsResponse>, Status> {
        let caller = self.caller(&request)?;
        caller.require(&[Role::Viewer])?;
        let ListPinSetsRequest {
            page_size,
            page_token,
        } = request.into_inner();
        let part = part(page_size, &page_token, 100)?;
        let snapshot = self.controller.snapshot();
        let visible = snapshot
            .pin_sets()
            .filter(|entry| caller.require_pin_set(&entry.stored.record.name).is_ok());
        let (pin_sets, next_page_token) = part.of(visible.map(|entry| self.told_pin_set(entry)));
        Ok(Response::new(ListPinSetsResponse {
            pin_sets,
            next_page_token,
        }))
    }

    async fn update_pin_set(
        &self,
        request: Request<UpdatePinSetRequest>,
    ) -> Result<Response<UpdatePinSetResponse>, Status> {
        let caller = self.caller(&request)?;
        let UpdatePinSetRequest {
            name,
            expected_revision,
            policy,
            source,
            clear_source,
            track,
        } = request.into_inner();
        let name: PinSetName = wire::name("name", &name)?;
        let policy = policy.map(wire::to_policy).transpose()?;
        let source = match (source, clear_source) {
            (Some(_), true) => {
                return Err(Unreadable::new("clear_source", "not together with `source`").into());
            }
            (Some(source), false) => Some(Some(wire::source(source)?)),
            (None, true) => Some(None),
            (None, false) => None,
        };
        self.controller
            .update_pin_set(&caller, &name, expected_revision, policy, source, track)
            .await?;
        Ok(Response::new(UpdatePinSetResponse {
            pin_set: Some(self.shown(&caller, &name)?),
        }))
    }

    async fn import_pins(
        &self,
        request: Request<ImportPinsRequest>,
    ) -> Result<Response<ImportPinsResponse>, Status> {
        let caller = self.caller(&request)?;
        let import = wire::import(request.into_inner())?;
        let imported = self.controller.import_pins(&caller, &import).await?;
        Ok(Response::new(ImportPinsResponse {
            pin_set: Some(self.shown(&caller, &import.name)?),
            changes: imported
                .changes
                .iter()
                .take(CHANGES_MAX)
                .map(wire::from_change)
                .collect(),
            change_count: u32::try_from(imported.changes.len()).unwrap_or(u32::MAX),
            unkept_lines: imported.unkept.iter().map(wire::unkept_line).collect(),
            superseded_rollouts: imported
                .superseded
                .iter()
                .map(ToString::to_string)
                .collect(),
            at_once_count: u32::try_from(imported.at_once).unwrap_or(u32::MAX),
            started_rollouts: imported.started.iter().map(ToString::to_string).collect(),
            waiting: imported
                .waiting
                .iter()
                .take(CHANGES_MAX)
                .map(wire::wanted)
                .collect(),
            refused: imported.refused,
        }))
    }

    async fn list_wanted(
        &self,
        request: Request<ListWantedRequest>,
    ) -> Result<Response<ListWantedResponse>, Status> {
        let caller = self.caller(&request)?;
        let ListWantedRequest {
            pin_set,
            page_size,
            page_token,
        } = request.into_inner();
        let name: PinSetName = wire::name("pin_set", &pin_set)?;
        let part = part(page_size, &page_token, 100)?;
        let queue = self.controller.queue(&caller, &name).await?;
        let (wanted, next_page_token) = part.of(queue.iter().map(wire::wanted));
        Ok(Response::new(ListWantedResponse {
            wanted,
            next_page_token,
        }))
    }

    async fn drop_wanted(
        &self,
        request: Request<DropWantedRequest>,
    ) -> Result<Response<DropWantedResponse>, Status> {
        let caller = self.caller(&request)?;
        let DropWantedRequest { pin_set, packages } = request.into_inner();
        let name: PinSetName = wire::name("pin_set", &pin_set)?;
        if packages.is_empty() || packages.len() > CHANGES_MAX {
            let cause = format!("name 1 to {CHANGES_MAX} packages");
            return Err(Unreadable::new("packages", cause).into());
        }
        let dropped = self
            .controller
            .drop_wanted(&caller, &name, &packages)
            .await?;
        let exact = dropped.iter().flat_map(|wanted| {
            let package = wanted.package.written();
            let versions = wanted.versions.iter();
            versions.map(move |(_, version)| format!("{package}=={version}"))
        });
        Ok(Response::new(DropWantedResponse {
            dropped: exact.collect(),
        }))
    }

    async fn list_blocks(
        &self,
        request: Request<ListBlocksRequest>,
    ) -> Result<Response<ListBlocksResponse>, Status> {
        let caller = self.caller(&request)?;
        caller.require(&[Role::Viewer])?;
        let ListBlocksRequest {
            pin_set,
            page_size,
            page_token,
        } = request.into_inner();
        let name: PinSetName = wire::name("pin_set", &pin_set)?;
        let part = part(page_size, &page_token, 100)?;
        self.shown(&caller, &name)?;
        let snapshot = self.controller.snapshot();
        let blocks = snapshot.blocks(&name).into_iter();
        let (blocks, next_page_token) = part.of(blocks.map(|block| {
            let missing = self.controller.lift_votes_missing(&block.record);
            wire::block(&block.record, missing)
        }));
        Ok(Response::new(ListBlocksResponse {
            blocks,
            next_page_token,
        }))
    }

    async fn lift_block(
        &self,
        request: Request<LiftBlockRequest>,
    ) -> Result<Response<LiftBlockResponse>, Status> {
        let caller = self.caller(&request)?;
        let LiftBlockRequest {
            pin_set,
            package,
            version,
            reason,
        } = request.into_inner();
        let name: PinSetName = wire::name("pin_set", &pin_set)?;
        let lift = self
            .controller
            .lift_block(&caller, &name, &package, &version, &reason)
            .await?;
        Ok(Response::new(LiftBlockResponse {
            block: Some(wire::block(&lift.block, lift.missing)),
            lifted: lift.missing == 0,
        }))
    }

    async fn freeze_pin_set(
        &self,
        request: Request<FreezePinSetRequest>,
    ) -> Result<Response<FreezePinSetResponse>, Status> {
        let caller = self.caller(&request)?;
        let FreezePinSetRequest {
            name,
            end_time,
            reason,
        } = request.into_inner();
        let name: PinSetName = wire::name("name", &name)?;
        let until = end_time
            .map(|time| wire::to_timestamp("end_time", time))
            .transpose()?;
        self.controller
            .freeze_pin_set(&caller, &name, until, &reason)
            .await?;
        Ok(Response::new(FreezePinSetResponse {
            pin_set: Some(self.shown(&caller, &name)?),
        }))
    }

    async fn unfreeze_pin_set(
        &self,
        request: Request<UnfreezePinSetRequest>,
    ) -> Result<Response<UnfreezePinSetResponse>, Status> {
        let caller = self.caller(&request)?;
        let UnfreezePinSetRequest { name, reason } = request.into_inner();
        let name: PinSetName = wire::name("name", &name)?;
        self.controller
            .unfreeze_pin_set(&caller, &name, &reason)
            .await?;
        Ok(Response::new(UnfreezePinSetResponse {
            pin_set: Some(self.shown(&caller, &name)?),
        }))
    }

    async fn resolve_policy(
        &self,
        request: Request<ResolvePolicyRequest>,
    ) -> Result<Response<ResolvePolicyResponse>, Status> {
        let caller = self.caller(&request)?;
        let resolve = wire::to_resolve(request.into_inner())?;
        let resolved = self.controller.resolve_policy(&caller, &resolve)?;
        Ok(Response::new(wire::resolved(&resolved)))
    }
}
