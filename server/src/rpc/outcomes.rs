//! `OutcomeService`.

use pinion_proto::v1::outcome_service_server::OutcomeService;
use pinion_proto::v1::{ReportOutcomesRequest, ReportOutcomesResponse};
use tonic::{Request, Response, Status};

use super::{Rpc, wire};
use crate::controller::{REPORTS_MAX, Refusal};

#[tonic::async_trait]
impl OutcomeService for Rpc {
    async fn report_outcomes(
        &self,
        request: Request<ReportOutcomesRequest>,
    ) -> Result<Response<ReportOutcomesResponse>, Status> {
        let caller = self.caller(&request)?;
        let request = request.into_inner();
        if request.reports.len() > REPORTS_MAX {
            let cause = format!(
                "a batch of {} reports; send 1 to {REPORTS_MAX} at a time",
                request.reports.len()
            );
            return Err(Refusal::Invalid {
                field: "reports".to_owned(),
                cause,
            }
            .into());
        }
        let taken = self
            .controller
            .report(&caller, &wire::reports(request)?)
            .await?;
        Ok(Response::new(ReportOutcomesResponse {
            accepted: taken.accepted,
            repeated: taken.repeated,
        }))
    }
}
