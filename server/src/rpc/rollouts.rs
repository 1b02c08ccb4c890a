//! `RolloutService`.

use std::collections::HashMap;
use std::pin::Pin;

use futures_util::Stream;
use pinion_core::name::{PinSetName, RolloutId};
use pinion_core::rollout::Rollout;
use pinion_proto::v1 as proto;
use pinion_proto::v1::rollout_service_server::RolloutService;
use pinion_proto::v1::{
    AbortRolloutRequest, AbortRolloutResponse, ApproveRolloutRequest, ApproveRolloutResponse,
    CreateRolloutRequest, CreateRolloutResponse, DenyRolloutRequest, DenyRolloutResponse,
    FileRolloutRequest, FileRolloutResponse, GetRolloutRequest, GetRolloutResponse,
    ListDecisionsRequest, ListDecisionsResponse, ListRolloutsRequest, ListRolloutsResponse,
    PauseRolloutRequest, PauseRolloutResponse, PromoteRolloutRequest, PromoteRolloutResponse,
    ResumeRolloutRequest, ResumeRolloutResponse, RollBackRolloutRequest, RollBackRolloutResponse,
    WatchRolloutsRequest, WatchRolloutsResponse, WithdrawApprovalRequest, WithdrawApprovalResponse,
};
use tonic::{Request, Response, Status};

use super::page::part;
use super::pins::async_stream;
use super::{Rpc, wire};
use crate::controller::{MissingApprovals, Verb};
use crate::store::records::Role;

impl Rpc {
    /// A rollout with all that is known of it.
    async fn told(&self, rollout: &Rollout) -> Result<proto::Rollout, Status> {
        let snapshot = self.controller.snapshot();
        let standing = self.controller.standing(&rollout.id);
        let last = match &standing {
            Some(_) if rollout.state.is_open() => None,
            _ => self.controller.last_decision(rollout).await?,
        };
        let filing = snapshot.filing_of(&rollout.id);
        let told = wire::rollout(
            rollout,
            standing.as_deref(),
            last.as_ref(),
            filing.map(|stored| &*stored.record),
            &self.controller.gates_of(rollout),
            snapshot.freeze(&rollout.pin_set, self.controller.clock.now()),
        );
        Ok(proto::Rollout {
            requires: self.controller.requires_in_words(rollout),
            ..told
        })
    }

    async fn act<T>(
        &self,
        request: Request<T>,
        understand: impl FnOnce(T) -> Result<(RolloutId, Verb, u64, String), Status>,
    ) -> Result<Option<proto::Rollout>, Status> {
        let caller = self.caller(&request)?;
        let (id, verb, expected_revision, reason) = understand(request.into_inner())?;
        let rollout = self
            .controller
            .act(&caller, &id, verb, expected_revision, &reason)
            .await?;
        Ok(Some(self.told(&rollout).await?))
    }
}

#[tonic::async_trait]
impl RolloutService for Rpc {
    async fn create_rollout(
        &self,
        request: Request<CreateRolloutRequest>,
    ) -> Result<Response<CreateRolloutResponse>, Status> {
        let caller = self.caller(&request)?;
        let new = wire::new_rollout(request.into_inner())?;
        caller.require(&[Role::ReleaseManager])?;
        caller.require_pin_set(&new.pin_set)?;
        self.controller.read_needs(&new).await;
        let (rollout, superseded) = self.controller.create_rollout(&caller, &new).await?;
        let told = if new.validate_only {
            wire::rollout(&rollout, None, None, None, &[], None)
        } else {
            self.told(&rollout).await?
        };
        Ok(Response::new(CreateRolloutResponse {
            rollout: Some(told),
            superseded_rollouts: superseded.iter().map(ToString::to_string).collect(),
        }))
    }

    async fn get_rollout(
        &self,
        request: Request<GetRolloutRequest>,
    ) -> Result<Response<GetRolloutResponse>, Status> {
        let caller = self.caller(&request)?;
        let id = wire::name("id", &request.into_inner().id)?;
        let rollout = self.controller.visible_rollout(&caller, &id)?;
        Ok(Response::new(GetRolloutResponse {
            rollout: Some(self.told(&rollout).await?),
        }))
    }

    async fn list_rollouts(
        &self,
        request: Request<ListRolloutsRequest>,
    ) -> Result<Response<ListRolloutsResponse>, Status> {
        let caller = self.caller(&request)?;
        let ListRolloutsRequest {
            pin_set,
            open_only,
            page_size,
            page_token,
        } = request.into_inner();
        let pin_set = wire::optional("pin_set", &pin_set)?;
        let part = part(page_size, &page_token, 100)?;
        let visible = self
            .controller
            .visible_rollouts(&caller, pin_set.as_ref(), open_only)?;
        let (page, next_page_token) = part.of(visible);
        let mut rollouts = Vec::with_capacity(page.len());
        for rollout in &page {
            rollouts.push(self.told(rollout).await?);
        }
        Ok(Response::new(ListRolloutsResponse {
            rollouts,
            next_page_token,
        }))
    }

    type WatchRolloutsStream =
        Pin<Box<dyn Stream<Item = Result<WatchRolloutsResponse, Status>> + Send>>;

    async fn watch_rollouts(
        &self,
        request: Request<WatchRolloutsRequest>,
    ) -> Result<Response<Self::WatchRolloutsStream>, Status> {
        let caller = self.caller(&request)?;
        caller.require(&[Role::Viewer])?;
        let WatchRolloutsRequest { id, pin_set } = request.into_inner();
        let id: Option<RolloutId> = wire::optional("id", &id)?;
        let pin_set: Option<PinSetName> = wire::optional("pin_set", &pin_set)?;
        if let Some(id) = &id {
            self.controller.visible_rollout(&caller, id)?;
        }
        let rpc = self.clone();
        let mut changes = self.controller.changes();
        let stream = async_stream(move |sender| async move {
            let mut sent: HashMap<RolloutId, proto::Rollout> = HashMap::new();
            loop {
                let visible = rpc
                    .controller
                    .visible_rollouts(&caller, pin_set.as_ref(), false);
                let rollouts = match visible {
                    Ok(rollouts) => rollouts,
                    Err(refusal) => {
                        // Nobody may be listening any more.
                        let _ = sender.send(Err(refusal.into())).await;
                        return;
                    }
                };
                for rollout in rollouts
                    .iter()
                    .filter(|rollout| id.as_ref().is_none_or(|id| *id == rollout.id))
                {
                    // One that had ended before anybody watched is not news, unless it was asked for by name.
                    let is_news =
                        rollout.state.is_open() || sent.contains_key(&rollout.id) || id.is_some();
                    let told = match rpc.told(rollout).await {
                        Ok(told) if is_news && sent.get(&rollout.id) != Some(&told) => told,
                        Ok(_) => continue,
                        Err(status) => {
                            // Nobody may be listening any more.
                            let _ = sender.send(Err(status)).await;
                            return;
                        }
                    };
                    sent.insert(rollout.id.clone(), told.clone());
                    if sender
                        .send(Ok(WatchRolloutsResponse {
                            rollout: Some(told),
                        }))
                        .await
                        .is_err()
                    {
                        return;
                    }
                }
                tokio::select! {
                    changed = changes.changed() => if changed.is_err() { return },
                    () = sender.closed() => return,
                }
            }
        });
        Ok(Response::new(stream))
    }

    async fn pause_rollout(
        &self,
        request: Request<PauseRolloutRequest>,
    ) -> Result<Response<PauseRolloutResponse>, Status> {
        let understand = |PauseRolloutRequest {
                              id,
                              expected_revision,
                              reason,
                          }| {
            Ok((
                wire::name("id", &id)?,
                Verb::Pause,
                expected_revision,
                reason,
            ))
        };
        Ok(Response::new(PauseRolloutResponse {
            rollout: self.act(request, understand).await?,
        }))
    }

    async fn resume_rollout(
        &self,
        request: Request<ResumeRolloutRequest>,
    ) -> Result<Response<ResumeRolloutResponse>, Status> {
        let understand = |ResumeRolloutRequest {
                              id,
                              expected_revision,
                              reason,
                          }| {
            Ok((
                wire::name("id", &id)?,
                Verb::Resume,
                expected_revision,
                reason,
            ))
        };
        Ok(Response::new(ResumeRolloutResponse {
            rollout: self.act(request, understand).await?,
        }))
    }

    async fn promote_rollout(
        &self,
        request: Request<PromoteRolloutRequest>,
    ) -> Result<Response<PromoteRolloutResponse>, Status> {
        let understand = |PromoteRolloutRequest {
                              id,
                              expected_revision,
                              reason,
                              share,
                              override_approvals,
                          }| {
            let share = if share == 0.0 {
                None
            } else {
                Some(wire::to_share("share", share)?)
            };
            Ok((
                wire::name("id", &id)?,
                Verb::Promote {
                    share,
                    approvals: match override_approvals {
                        true => MissingApprovals::Override,
                        false => MissingApprovals::Respect,
                    },
                },
                expected_revision,
                reason,
            ))
        };
        Ok(Response::new(PromoteRolloutResponse {
            rollout: self.act(request, understand).await?,
        }))
    }

    async fn roll_back_rollout(
        &self,
        request: Request<RollBackRolloutRequest>,
    ) -> Result<Response<RollBackRolloutResponse>, Status> {
        let understand = |RollBackRolloutRequest {
                              id,
                              expected_revision,
                              reason,
                          }| {
            Ok((
                wire::name("id", &id)?,
                Verb::RollBack,
                expected_revision,
                reason,
            ))
        };
        Ok(Response::new(RollBackRolloutResponse {
            rollout: self.act(request, understand).await?,
        }))
    }

    async fn abort_rollout(
        &self,
        request: Request<AbortRolloutRequest>,
    ) -> Result<Response<AbortRolloutResponse>, Status> {
        let understand = |AbortRolloutRequest {
                              id,
                              expected_revision,
                              reason,
                          }| {
            Ok((
                wire::name("id", &id)?,
                Verb::Abort,
                expected_revision,
                reason,
            ))
        };
        Ok(Response::new(AbortRolloutResponse {
            rollout: self.act(request, understand).await?,
        }))
    }

    async fn approve_rollout(
        &self,
        request: Request<ApproveRolloutRequest>,
    ) -> Result<Response<ApproveRolloutResponse>, Status> {
        let understand = |ApproveRolloutRequest {
                              id,
                              expected_revision,
                              reason,
                          }| {
            Ok((
                wire::name("id", &id)?,
                Verb::Approve,
                expected_revision,
                reason,
            ))
        };
        Ok(Response::new(ApproveRolloutResponse {
            rollout: self.act(request, understand).await?,
        }))
    }

    async fn withdraw_approval(
        &self,
        request: Request<WithdrawApprovalRequest>,
    ) -> Result<Response<WithdrawApprovalResponse>, Status> {
        let understand = |WithdrawApprovalRequest {
                              id,
                              expected_revision,
                              reason,
                          }| {
            Ok((
                wire::name("id", &id)?,
                Verb::Withdraw,
                expected_revision,
                reason,
            ))
        };
        Ok(Response::new(WithdrawApprovalResponse {
            rollout: self.act(request, understand).await?,
        }))
    }

    async fn deny_rollout(
        &self,
        request: Request<DenyRolloutRequest>,
    ) -> Result<Response<DenyRolloutResponse>, Status> {
        let understand = |DenyRolloutRequest {
                              id,
                              expected_revision,
                              reason,
                          }| {
            Ok((
                wire::name("id", &id)?,
                Verb::Deny,
                expected_revision,
                reason,
            ))
        };
        Ok(Response::new(DenyRolloutResponse {
            rollout: self.act(request, understand).await?,
        }))
    }

    async fn file_rollout(
        &self,
        request: Request<FileRolloutRequest>,
    ) -> Result<Response<FileRolloutResponse>, Status> {
        let caller = self.caller(&request)?;
        let FileRolloutRequest {
            id,
            expected_revision,
            reason,
        } = request.into_inner();
        let id = wire::name("id", &id)?;
        let rollout = self
            .controller
            .file_rollout(&caller, &id, expected_revision, &reason)
            .await?;
        Ok(Response::new(FileRolloutResponse {
            rollout: Some(self.told(&rollout).await?),
        }))
    }

    async fn list_decisions(
        &self,
        request: Request<ListDecisionsRequest>,
    ) -> Result<Response<ListDecisionsResponse>, Status> {
        let caller = self.caller(&request)?;
        let ListDecisionsRequest {
            rollout,
            page_size,
            page_token,
        } = request.into_inner();
        let id = wire::name("rollout", &rollout)?;
        let part = part(page_size, &page_token, 100)?;
        let (entries, more) = self
            .controller
            .decisions(&caller, &id, part.skip as u64, part.rows)
            .await?;
        Ok(Response::new(ListDecisionsResponse {
            decisions: entries.iter().map(wire::decision).collect(),
            next_page_token: part.token(more),
        }))
    }
}
