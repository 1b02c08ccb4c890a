//! `EnvironmentService`.

use pinion_proto::v1::environment_service_server::EnvironmentService;
use pinion_proto::v1::{
    DeleteEnvironmentRequest, DeleteEnvironmentResponse, EnrollRequest, EnrollResponse,
    GetEnvironmentRequest, GetEnvironmentResponse, UpdateEnvironmentRequest,
    UpdateEnvironmentResponse,
};
use tonic::{Request, Response, Status};

use super::{Rpc, wire};

#[tonic::async_trait]
impl EnvironmentService for Rpc {
    async fn enroll(
        &self,
        request: Request<EnrollRequest>,
    ) -> Result<Response<EnrollResponse>, Status> {
        let caller = self.caller(&request)?;
        let enrolment = wire::enrolment(request.into_inner())?;
        let (record, token) = self.controller.enroll(&caller, enrolment).await?;
        Ok(Response::new(EnrollResponse {
            environment: Some(wire::environment(&record)),
            token,
        }))
    }

    async fn get_environment(
        &self,
        request: Request<GetEnvironmentRequest>,
    ) -> Result<Response<GetEnvironmentResponse>, Status> {
        let caller = self.caller(&request)?;
        let id = wire::optional("id", &request.into_inner().id)?;
        let record = self.controller.environment(&caller, id.as_ref())?;
        Ok(Response::new(GetEnvironmentResponse {
            environment: Some(wire::environment(&record)),
        }))
    }

    async fn update_environment(
        &self,
        request: Request<UpdateEnvironmentRequest>,
    ) -> Result<Response<UpdateEnvironmentResponse>, Status> {
        let caller = self.caller(&request)?;
        let request = request.into_inner();
        let id = wire::optional("id", &request.id)?;
        let ecosystem = self.controller.ecosystem_of(&caller, id.as_ref())?;
        let change = wire::environment_change(request, ecosystem)?;
        let record = self
            .controller
            .update_environment(&caller, id.as_ref(), change)
            .await?;
        Ok(Response::new(UpdateEnvironmentResponse {
            environment: Some(wire::environment(&record)),
        }))
    }

    async fn delete_environment(
        &self,
        request: Request<DeleteEnvironmentRequest>,
    ) -> Result<Response<DeleteEnvironmentResponse>, Status> {
        let caller = self.caller(&request)?;
        let id = wire::optional("id", &request.into_inner().id)?;
        let id = self
            .controller
            .delete_environment(&caller, id.as_ref())
            .await?;
        Ok(Response::new(DeleteEnvironmentResponse {
            id: id.to_string(),
        }))
    }
}
