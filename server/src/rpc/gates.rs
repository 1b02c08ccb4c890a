//! `GateService`.

use pinion_proto::v1::gate_service_server::GateService;
use pinion_proto::v1::{
    LeaseGateRequest, LeaseGateResponse, ListGatesRequest, ListGatesResponse, ReportGateRequest,
    ReportGateResponse,
};
use tonic::{Request, Response, Status};

use super::page::part;
use super::{Rpc, wire};

#[tonic::async_trait]
impl GateService for Rpc {
    async fn list_gates(
        &self,
        request: Request<ListGatesRequest>,
    ) -> Result<Response<ListGatesResponse>, Status> {
        let caller = self.caller(&request)?;
        let ListGatesRequest {
            consumer,
            pin_set,
            page_size,
            page_token,
        } = request.into_inner();
        let consumer = wire::optional("consumer", &consumer)?;
        let pin_set = wire::optional("pin_set", &pin_set)?;
        let part = part(page_size, &page_token, 100)?;
        let gates = self
            .controller
            .list_gates(&caller, consumer.as_ref(), pin_set.as_ref())?;
        let (page, next_page_token) = part.of(gates);
        Ok(Response::new(ListGatesResponse {
            gates: page.iter().map(wire::gate).collect(),
            next_page_token,
        }))
    }

    async fn lease_gate(
        &self,
        request: Request<LeaseGateRequest>,
    ) -> Result<Response<LeaseGateResponse>, Status> {
        let caller = self.caller(&request)?;
        let LeaseGateRequest { consumer, pin_set } = request.into_inner();
        let consumer = wire::name("consumer", &consumer)?;
        let pin_set = wire::optional("pin_set", &pin_set)?;
        let leased = self
            .controller
            .lease_gate(&caller, &consumer, pin_set.as_ref())
            .await?;
        Ok(Response::new(LeaseGateResponse {
            lease: leased.as_ref().map(wire::lease),
        }))
    }

    async fn report_gate(
        &self,
        request: Request<ReportGateRequest>,
    ) -> Result<Response<ReportGateResponse>, Status> {
        let caller = self.caller(&request)?;
        let report = wire::gate_report(request.into_inner())?;
        let taken = self.controller.report_gate(&caller, report).await?;
        Ok(Response::new(ReportGateResponse {
            gate: Some(wire::gate(&taken.standing)),
            repeated_report: taken.is_repeated,
        }))
    }
}
