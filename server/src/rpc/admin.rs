//! `AdminService`.

use std::pin::Pin;

use futures_util::Stream;

use pinion_proto::v1::admin_service_server::AdminService;
use pinion_proto::v1::{
    CreateTokenRequest, CreateTokenResponse, ExportStoreRequest, ExportStoreResponse,
    GetCallerRequest, GetCallerResponse, ListTokensRequest, ListTokensResponse, RevokeTokenRequest,
    RevokeTokenResponse,
};
use tokio::io::AsyncReadExt;
use tokio::sync::mpsc::Sender;
use tonic::{Request, Response, Status};

use super::page::part;
use super::pins::async_stream;
use super::{Rpc, wire};

/// Bytes of one answer.
const CHUNK_BYTES: usize = 256 * 1024;

#[tonic::async_trait]
impl AdminService for Rpc {
    async fn create_token(
        &self,
        request: Request<CreateTokenRequest>,
    ) -> Result<Response<CreateTokenResponse>, Status> {
        let caller = self.caller(&request)?;
        let new = wire::to_token_request(request.into_inner())?;
        let (record, secret) = self.controller.create_token(&caller, new).await?;
        Ok(Response::new(CreateTokenResponse {
            token: Some(wire::token(&record, None)),
            secret,
        }))
    }

    async fn list_tokens(
        &self,
        request: Request<ListTokensRequest>,
    ) -> Result<Response<ListTokensResponse>, Status> {
        let caller = self.caller(&request)?;
        let ListTokensRequest {
            page_size,
            page_token,
        } = request.into_inner();
        let part = part(page_size, &page_token, 100)?;
        let (tokens, next_page_token) = part.of(self.controller.list_tokens(&caller)?);
        let tokens = tokens
            .iter()
            .map(|(record, last_use)| wire::token(record, *last_use))
            .collect();
        Ok(Response::new(ListTokensResponse {
            tokens,
            next_page_token,
        }))
    }

    async fn revoke_token(
        &self,
        request: Request<RevokeTokenRequest>,
    ) -> Result<Response<RevokeTokenResponse>, Status> {
        let caller = self.caller(&request)?;
        let name = wire::name("name", &request.into_inner().name)?;
        let record = self.controller.revoke_token(&caller, &name).await?;
        Ok(Response::new(RevokeTokenResponse {
            token: Some(wire::token(&record, None)),
        }))
    }

    type ExportStoreStream =
        Pin<Box<dyn Stream<Item = Result<ExportStoreResponse, Status>> + Send>>;

    async fn export_store(
        &self,
        request: Request<ExportStoreRequest>,
    ) -> Result<Response<Self::ExportStoreStream>, Status> {
        let caller = self.caller(&request)?;
        let backup = self.controller.export(&caller).await?;
        Ok(Response::new(async_stream(|sender| send(backup, sender))))
    }

    async fn get_caller(
        &self,
        request: Request<GetCallerRequest>,
    ) -> Result<Response<GetCallerResponse>, Status> {
        let caller = self.caller(&request)?;
        Ok(Response::new(GetCallerResponse {
            name: caller.actor.to_string(),
            role: wire::from_role(caller.role).into(),
            pin_set: caller
                .pin_set
                .map(|name| name.to_string())
                .unwrap_or_default(),
            server_version: env!("CARGO_PKG_VERSION").to_owned(),
        }))
    }
}

/// Sends a file until its end, or until nobody listens.
async fn send(file: std::fs::File, sender: Sender<Result<ExportStoreResponse, Status>>) {
    let mut file = tokio::fs::File::from_std(file);
    loop {
        let mut chunk = Vec::with_capacity(CHUNK_BYTES);
        let answer = match (&mut file)
            .take(CHUNK_BYTES as u64)
            .read_to_end(&mut chunk)
            .await
        {
            Ok(0) => return,
            Ok(_) => Ok(ExportStoreResponse { chunk }),
            Err(error) => {
                tracing::error!(%error, "a backup cannot be read back");
                Err(Status::internal("the backup cannot be read back"))
            }
        };
        let is_over = answer.is_err();
        if sender.send(answer).await.is_err() || is_over {
            return;
        }
    }
}
