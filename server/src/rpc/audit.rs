//! `AuditService`.

use std::pin::Pin;

use futures_util::Stream;
use pinion_proto::v1::audit_service_server::AuditService;
use pinion_proto::v1::{
    ListAuditEntriesRequest, ListAuditEntriesResponse, VerifyAuditEntriesRequest,
    VerifyAuditEntriesResponse, VerifyDecisionsRequest, VerifyDecisionsResponse,
};
use tonic::{Request, Response, Status};

use super::page::part;
use super::{Rpc, wire};
use crate::controller::AuditQuery;

#[tonic::async_trait]
impl AuditService for Rpc {
    type VerifyDecisionsStream =
        Pin<Box<dyn Stream<Item = Result<VerifyDecisionsResponse, Status>> + Send>>;

    async fn verify_decisions(
        &self,
        request: Request<VerifyDecisionsRequest>,
    ) -> Result<Response<Self::VerifyDecisionsStream>, Status> {
        let caller = self.caller(&request)?;
        let id = wire::name("rollout", &request.into_inner().rollout)?;
        let verified = self.controller.verify_decisions(&caller, &id).await?;
        let messages = wire::verified(&verified).into_iter().map(Ok);
        Ok(Response::new(Box::pin(futures_util::stream::iter(
            messages.collect::<Vec<_>>(),
        ))))
    }

    async fn list_audit_entries(
        &self,
        request: Request<ListAuditEntriesRequest>,
    ) -> Result<Response<ListAuditEntriesResponse>, Status> {
        let caller = self.caller(&request)?;
        let ListAuditEntriesRequest {
            pin_set,
            since,
            until,
            page_size,
            page_token,
        } = request.into_inner();
        let part = part(page_size, &page_token, 100)?;
        let time = |field: &str, time: Option<prost_types::Timestamp>| {
            time.map(|time| wire::to_timestamp(field, time)).transpose()
        };
        let query = AuditQuery {
            pin_set: wire::optional("pin_set", &pin_set)?,
            since: time("since", since)?,
            until: time("until", until)?,
            after: part.skip as u64,
            max: part.rows,
        };
        let (entries, last, more) = self.controller.audit_entries(&caller, &query).await?;
        Ok(Response::new(ListAuditEntriesResponse {
            entries: entries.iter().map(wire::audit_entry).collect(),
            next_page_token: match more {
                true => format!("p{last}"),
                false => String::new(),
            },
        }))
    }

    async fn verify_audit_entries(
        &self,
        request: Request<VerifyAuditEntriesRequest>,
    ) -> Result<Response<VerifyAuditEntriesResponse>, Status> {
        let caller = self.caller(&request)?;
        let checked = self.controller.verify_audit(&caller).await?;
        Ok(Response::new(wire::audit_checked(&checked)))
    }
}
