//! `FigureService`.

use pinion_proto::v1::figure_service_server::FigureService;
use pinion_proto::v1::{GetFiguresRequest, GetFiguresResponse};
use tonic::{Request, Response, Status};

use super::{Rpc, wire};

#[tonic::async_trait]
impl FigureService for Rpc {
    async fn get_figures(
        &self,
        request: Request<GetFiguresRequest>,
    ) -> Result<Response<GetFiguresResponse>, Status> {
        let caller = self.caller(&request)?;
        let query = wire::figures_query(request.into_inner())?;
        let delivery = self.controller.figures(&caller, &query)?;
        Ok(Response::new(wire::delivery(&delivery)))
    }
}
